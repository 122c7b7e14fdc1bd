#!/usr/bin/env bash
# TAP. jobs/netbench.sbatch, really submitted, on two nodes of four CPU ranks: links inside a node and between nodes. Then
# the whole way of docs/jobs.md: profile, netbench, plan, run by the plan, compare; and the same as one job, jobs/loop.sbatch.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/slurm.sh"
[ -x "$train" ] || { echo "1..0 # SKIP sailor-train is not built: no BLAS"; exit 0; }
start_slurm
id=$(submit "$work/netbench.log" jobs/netbench.sbatch --largest 19 --seconds 0.001)
wait_for 180 state_is "$id" "$ended"
is "$(how "$id")" "COMPLETED 0" "two nodes are measured" "$work/netbench.log"
is "$("$python" -c '
import json, sys
s = json.load(open(sys.argv[1]))
print(s["name"], sorted(s["intra_node"]["cpu"]), [(r[2], r[5]) for r in s["links"]["rows"]],
    [(x["n"], x["same_machine"]) for x in s["links"]["//samples"]])' \
    "$SAILOR_OUT/inputs/sites/local.json")" \
    "local ['2', '4'] [(1, 1), (2, 2), (4, 4)] [(1, True), (2, True), (1, False), (2, False), (4, False)]" \
    "the site has links of 2 and 4 ranks of a node, and of 1, 2 and 4 ranks between nodes" "$work/netbench.log"
refused "links that are there" "-f overwrites it" jobs/netbench.sbatch --largest 19
SAILOR_PLACE=moon/local/cpu refused "an unknown site" "sites/moon.json: no such file" jobs/netbench.sbatch
SAILOR_PLACE=local/local/abacus refused "an unknown GPU type" "--gpu abacus" jobs/netbench.sbatch -f
SAILOR_OUT=/dev/null/out refused "a missing directory" "cannot be made" jobs/netbench.sbatch

# ---- profile, plan, run, compare ---------------------------------------------------------------------------------------
id=$(submit "$work/profile.log" jobs/profile.sbatch gpt-tiny --largest 2 --repeat 1 --tp 1)
wait_for 120 state_is "$id" "$ended"
is "$(how "$id")" "COMPLETED 0" "the model is profiled" "$work/profile.log"
echo '{"format": "sailor-job/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 16,
       "pin": {"data_parallel": 8}, "pools": [{"gpus": [{"zone": "local", "gpu": "cpu", "count": 8}]}]}' >"$work/job.json"
"$sailor" plan "$work/job.json" --inputs "$SAILOR_OUT/inputs" -o "$work/plan.h5" -q >"$work/table" 2>"$work/why"
is "$?" 0 "the planner plans with both" "$work/why"
"$sailor" export "$work/plan.h5" -o "$work/best.json"
id=$(submit "$work/run.log" --nodes=2 jobs/validate.sbatch "$work/best.json")
wait_for 120 state_is "$id" "$ended"
is "$(how "$id")" "COMPLETED 0" "the plan is run on two nodes" "$work/run.log"
"$sailor" validate "$SAILOR_OUT/validation/best.h5" --inputs "$SAILOR_OUT/inputs" --json >"$work/compared" 2>"$work/why"
is "$? $("$python" -c 'import json, sys; o = json.loads(open(sys.argv[1]).readline())
print(o["iteration_time_s"] > 0, o["measured_iteration_time_s"] > 0)' "$work/compared")" \
    "0 True True" "and its estimate compared with what was measured" "$work/why"

# ---- the same in one job -----------------------------------------------------------------------------------------------
export SAILOR_PROFILE_OPTIONS="--largest 2 --repeat 1 --tp 1" SAILOR_NETBENCH_OPTIONS="--largest 19 --seconds 0.001"
id=$(submit "$work/loop.log" --nodes=2 jobs/loop.sbatch "$work/job.json" --quiet)
wait_for 240 state_is "$id" "$ended"
is "$(how "$id")" "COMPLETED 0" "the closed loop is one job" "$work/loop.log"
run=$SAILOR_OUT/$id
is "$(for f in inputs/profiles/gpt-tiny/cpu.json inputs/sites/local.json plan.h5 plan.json run.h5; do
    [ -s "$run/$f" ] || echo "no $f"
done) $(wc -l <"$run/steps.jsonl")" " 10" \
    "profile, links, plan, ten iterations and the measurement are in its directory" "$work/loop.log"
grep -q "run.h5" "$run/validate.txt"
ok $? "and so is the comparison" <"$run/validate.txt"
id=$(submit "$work/log" --nodes=2 jobs/loop.sbatch "$work/none.json")
wait_for 60 state_is "$id" "$ended"
is "$(how "$id") $(grep -c 'none.json: no such file' "$work/log")" "FAILED 2 1" "a loop without its job file" "$work/log"
finish
