# shellcheck shell=bash
# Clariden as in clariden.sh, with the image of jobs/sailor.toml instead of a uenv. This tree and SAILOR_OUT must lie where
# sailor.toml mounts a file system.
# shellcheck source=jobs/env/clariden.sh
source "$(dirname "${BASH_SOURCE[0]:-$0}")/clariden.sh"
unset SBATCH_UENV SBATCH_UENV_VIEW
export SAILOR_SITE=clariden-container
export EDF_PATH=$SAILOR_HOME/jobs # where srun looks for sailor.toml
export SAILOR_SRUN_OPTIONS="--mpi=pmi2 --environment=sailor" SAILOR=/usr/local/bin/sailor SAILOR_TRAIN=/usr/local/bin/sailor-train
