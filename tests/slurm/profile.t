#!/usr/bin/env bash
# TAP. jobs/profile.sbatch, really submitted, with a tiny model on the four CPU ranks of a node: the planner can read the
# profile. And errors.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/slurm.sh"
[ -x "$train" ] || { echo "1..0 # SKIP sailor-train is not built: no BLAS"; exit 0; }
start_slurm
id=$(submit "$work/profile.log" jobs/profile.sbatch gpt-tiny --largest 2 --repeat 2)
wait_for 180 state_is "$id" "$ended"
is "$(how "$id")" "COMPLETED 0" "a model is profiled on a node" "$work/profile.log"
profile=$SAILOR_OUT/inputs/profiles/gpt-tiny/cpu.json
is "$("$python" -c '
import json, sys
p = json.load(open(sys.argv[1]))
print(p["model"], p["gpu"], sorted((t["tp"], t["micro_batch_size"]) for t in p["times"]))' "$profile")" \
    "gpt-tiny cpu [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2)]" "every degree of a node, every microbatch" "$work/profile.log"
is "$(cut -d' ' -f1-2 "$SAILOR_OUT/$id/placement.txt" | paste -sd,)" "rank node,0 nid000001,1 nid000001,2 nid000001,3 nid000001" \
    "the placement is on record" "$SAILOR_OUT/$id/placement.txt"
grep -q '^== start 0.*sailor-train' "$SAILOR_OUT/$id/provenance.txt"
ok $? "and so is the program" <"$SAILOR_OUT/$id/provenance.txt"

# a plan inside a node needs no links
mkdir "$SAILOR_OUT/inputs/sites"
cp inputs/sites/local.json "$SAILOR_OUT/inputs/sites/"
echo '{"format": "sailor-job/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4,
       "pools": [{"gpus": [{"zone": "local", "gpu": "cpu", "count": 4}]}]}' >"$work/job.json"
"$sailor" plan "$work/job.json" --inputs "$SAILOR_OUT/inputs" --json >"$work/plan" 2>"$work/why"
is "$? $("$python" -c 'import json, sys; print(json.loads(open(sys.argv[1]).read())["status"])' "$work/plan")" "0 optimal" \
    "the planner plans with it" "$work/why"

refused "a profile that is there" "-f overwrites it" jobs/profile.sbatch gpt-tiny --largest 1 --repeat 1
refused "no model" "expected MODEL" jobs/profile.sbatch
refused "an unknown model" "gpt-none.json: no such file" jobs/profile.sbatch gpt-none
SAILOR_PLACE=local refused "a place without GPU type" "expected SITE/ZONE/GPU" jobs/profile.sbatch gpt-tiny
SAILOR_INPUTS=$work/none refused "a missing directory" "$work/none/models: no such directory" jobs/profile.sbatch gpt-tiny
finish
