# shellcheck shell=bash
# The temporary Slurm of tests/slurm-local.sh, or any Slurm on your own machine: few real cores, many virtual ones.
export SAILOR_SITE=local
SAILOR_HOME=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/../.." && pwd) # the tree of this file, wherever jobs are submitted
export SAILOR_HOME
export SAILOR_OUT=${SAILOR_OUT:-$PWD/build/out}
export SAILOR_PLACE=${SAILOR_PLACE:-local/local/cpu} # site, zone and GPU type in inputs/
export SAILOR_BACKEND=${SAILOR_BACKEND:-cpu} SAILOR_COMM=${SAILOR_COMM:-mpi}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=passive # ranks share cores: do not spin
export UCX_HANDLE_ERRORS=none                                        # MPICH over UCX: keep its crash report out of the log
