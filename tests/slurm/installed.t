#!/usr/bin/env bash
# TAP. The scripts of an installed tree, with a space in its path, submitted from a directory of the user's own.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/slurm.sh"
[ -x "$train" ] || { echo "1..0 # SKIP sailor-train is not built, for want of a BLAS"; exit 0; }
start_slurm
place="$work/my tools"
# what is built is installed: -o all, and what $BIN names
make --no-print-directory -o all "PREFIX=$place" NVCC= "BIN=${BIN:-build}" install >"$work/log" 2>&1
ok $? "make install" <"$work/log"
[ -e "$place/share/sailor/jobs" ] || finish
unset SAILOR SAILOR_TRAIN SAILOR_HOME SAILOR_INPUTS
mkdir "$work/my work"
cd "$work/my work" || exit 1
jobs=$place/share/sailor/jobs
# a site file of the user's own
printf '%s\n' "source '$jobs/env/local.sh'" "export SAILOR_SITE='$work/my work/own.sh'" >own.sh
. ./own.sh
is "$SAILOR_HOME" "$place/share/sailor" "the site file names its tree"

id=$(submit "$work/search.log" --nodes=2 --ntasks-per-node=1 "$jobs/search.sbatch" fig7 -q)
wait_for 120 state_is "$id" "$ended"
is "$(how "$id")" "COMPLETED 0" "a search by the installed program, of a job that is a name" "$work/search.log"
[ -s "$SAILOR_OUT/$id/plan.h5" ]
ok $? "its result" <"$work/search.log"

finish
