#!/usr/bin/env bash
# TAP. The scripts of an installed tree, with a space in its path, submitted from a directory of the user's own: a search, and
# a plan over nodes of two types, run as a heterogeneous job (jobs/submit-mixed) with a node per component.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/slurm.sh"
[ -x "$train" ] || { echo "1..0 # SKIP sailor-train is not built: no BLAS"; exit 0; }
start_slurm
place="$work/my tools"
# install what is built (-o all), and what $BIN names
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

# with an option for srun, as for a container: single-process programs are steps too
export SAILOR_SRUN_OPTIONS=--mpi=pmi2
id=$(submit "$work/search.log" --nodes=2 --ntasks-per-node=1 "$jobs/search.sbatch" fig7 -q)
wait_for 120 state_is "$id" "$ended"
is "$(how "$id")" "COMPLETED 0" "a search by the installed program, of a job that is a name" "$work/search.log"
unset SAILOR_SRUN_OPTIONS
[ -s "$SAILOR_OUT/$id/plan.h5" ] && grep -q '^== start 0.* sailor [0-9]' "$SAILOR_OUT/$id/provenance.txt"
ok $? "its result and its record" <"$work/search.log"

# ---- nodes of two types ------------------------------------------------------------------------------------------------
# Stage 0 has two ranks on the second node, stage 1 four on the first one.
"$python" - "$place/share/sailor/inputs/sites" <<'EOT'
import json, os, sys
site = json.load(open(sys.argv[1] + "/local.json"))
site.update(name="two", gpus=[{"name": name, "memory_bytes": 4 << 30, "gpus_per_node": 4} for name in ("cpu", "big")])
del site["available"]
site["usd_per_gpu_hour"] = {"local": {"cpu": None, "big": None}}
json.dump(site, open("two.json", "w"))
stage = lambda first, end, gpu, count: {"layers": [first, end], "replicas": [{"gpu": gpu, "tp": 1, "zone": "local", "count": count}]}
json.dump({"format": "sailor-plan/1", "model": "gpt-tiny", "site": "./two.json", "global_batch_size": 4, "micro_batch_size": 1,
           "pipelines": [{"stages": [stage(0, 2, "cpu", 2), stage(2, 6, "big", 4)]}]}, open("two types.json", "w"))
EOT
export SBATCH_GPUS_PER_TASK=1
"$jobs/submit-mixed" --on cpu="--nodelist=nid000002 --cpus-per-task=2" --on big="--nodelist=nid000001 --cpus-per-task=1" \
    "two types.json" >"$work/submitted" 2>"$work/said"
is "$? $(cat "$work/said")" "0 submit-mixed: 2 GPUs of these nodes stay idle" "a plan over two types is submitted" "$work/said"
id=$(awk '{ print $4 }' "$work/submitted")
wait_for 120 state_is "$id+0" "$ended"
cat -- *.out >"$work/run.log" 2>&1
is "$(how "$id+0")" "COMPLETED 0" "it runs as one job" "$work/run.log"
run=$SAILOR_OUT/$id
is "$(tail -n +2 "$run/placement.txt" | cut -d' ' -f1-2 | paste -sd,)" \
    "0 nid000002,1 nid000002,2 nid000001,3 nid000001,4 nid000001,5 nid000001" "each stage on nodes of its type" "$run/placement.txt"
is "$(wc -l <"$run/steps.jsonl"), $(cd "$SAILOR_OUT/validation" && echo *.h5)" "10, two types.h5" "ten iterations and a result" \
    "$work/run.log"
finish
