#!/usr/bin/env bash
# TAP. jobs/validate.sbatch and jobs/submit-validation, really submitted, with a tiny model on eight CPU ranks: two rows,
# their results and the comparison; a killed rank; the time limit; and errors. A replica is one rank: sums over four ranks,
# at every block, take seconds a step on two busy cores.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/slurm.sh"
[ -x "$train" ] || { echo "1..0 # SKIP sailor-train is not built: no BLAS"; exit 0; }
start_slurm
export SAILOR_MODEL=gpt-tiny SAILOR_SPLITS="6 3,3" SAILOR_TP=1
results=$SAILOR_OUT/validation
for job in 'validate.sbatch 1 32 1 1 1' 'profile.sbatch opt-350m' netbench.sbatch; do
    SBATCH_ACCOUNT=none bash -c "source jobs/env/clariden.sh && sbatch --test-only jobs/$job" >"$work/log" 2>&1
    ok $? "sbatch takes ${job%% *} as it stands, with jobs/env/clariden.sh" <"$work/log"
done

# ---- two rows: eight ranks as two replicas, and as two stages --------------------------------------------------------
printf '2 8 8 1 1\n2 8 4 2 1\n' >"$work/rows"
SBATCH_GPUS_PER_TASK=1 jobs/submit-validation --rows "$work/rows" >"$work/submitted" 2>"$work/said"
is "$? $(grep -c '^Submitted batch job' "$work/submitted")" "0 2" "submit-validation submits two jobs" "$work/said"
read -r one two < <(awk '{ print $4 }' "$work/submitted" | paste -sd' ')
wait_for 120 state_is "$one" "$ended"
wait_for 120 state_is "$two" "$ended"
cat "$results"/*.out >"$work/logs" 2>&1
is "$(how "$one"), $(how "$two")" "COMPLETED 0, COMPLETED 0" "both end by themselves" "$work/logs"
is "$(cd "$results" && echo *.h5)" "gpt-tiny-G8-D4-P2-tp1-m1.h5 gpt-tiny-G8-D8-P1-tp1-m1.h5" \
    "each left its result under its name" "$work/logs"
run=$SAILOR_OUT/$one
is "$(wc -l <"$run/steps.jsonl")" 10 "ten iterations" "$work/logs"
SAILOR_PLACE=local/local/cpu jobs/grid-plan 8 8 1 1 | cmp - "$run/plan.json" >"$work/why" 2>&1
ok $? "the plan is kept" <"$work/why"
is "$(tail -n +2 "$run/placement.txt" | cut -d' ' -f1-2 | paste -sd' ')" \
    "$(for r in {0..7}; do echo "$r nid00000$((1 + r / 4))"; done | paste -sd' ')" \
    "the placement names every rank and its node" "$run/placement.txt"
devices='0 1 2 3 0 1 2 3'
[ -c "$slurm/gpu0" ] || devices='none none none none none none none none' # only root can make devices (slurm-local.sh)
is "$(tail -n +2 "$run/placement.txt" | cut -d' ' -f3 | paste -sd' ')" "$devices" "each rank has a GPU of its own" "$run/placement.txt"
for what in '^== start 0.*sailor-train' '^MPI ' 'NodeList=nid\[000001-000002\]' '^SAILOR_BACKEND=cpu'; do
    grep -q "$what" "$run/provenance.txt" || echo "not there: $what"
done >"$work/why"
[ ! -s "$work/why" ]
ok $? "the record holds version, nodes and environment" <"$work/why"

# ---- compared by the command that the job printed ---------------------------------------------------------------------
command=$(grep -o "[^ ]* validate $results/\*.h5 --estimator all" "$work/said")
[ -n "$command" ]
ok $? "submit-validation says how to compare" <"$work/said"
mkdir -p "$work/inputs/sites"
cp -R inputs/models inputs/planners "$work/inputs/"
# a profile and links to estimate with: their numbers do not matter here
"$python" - "$work/inputs" <<'EOT'
import json, os, sys
at = sys.argv[1]
site = json.load(open("inputs/sites/local.json"))
site["links"] = {"fits": [[0, 0, 1, 1e9]], "rows": [["local", "cpu", n, "local", "cpu", n, 0] for n in [1]]}
json.dump(site, open(at + "/sites/local.json", "w"))
os.makedirs(at + "/profiles/gpt-tiny")
json.dump({"format": "sailor-profile/1", "model": "gpt-tiny", "gpu": "cpu", "times": [
    {"micro_batch_size": m, "tp": 1, "forward_s": [0.01] * 6, "backward_s": [0.02] * 6, "update_s": 0.01} for m in (1, 2)]},
    open(at + "/profiles/gpt-tiny/cpu.json", "w"))
EOT
SAILOR_INPUTS=$work/inputs bash -c "$command --json" >"$work/compared" 2>"$work/why"
is "$? $("$python" -c 'import json, sys; o = [json.loads(l) for l in open(sys.argv[1])]
print(len(o) > 5 and all(x["runs"] == 2 for x in o) and o[0]["time_error_mean_percent"] > 0)' "$work/compared")" \
    "0 True" "it reads both results, for every estimator that knows such devices" "$work/why"

# ---- existing results are not measured again ---------------------------------------------------------------------------
jobs/submit-validation --rows "$work/rows" >"$work/submitted" 2>"$work/said"
is "$? $(cat "$work/submitted")" "0 " "nothing is submitted twice" "$work/said"
grep -q '^0 jobs, 2 results are there already' "$work/said"
ok $? "and it says so" <"$work/said"
refused "a result that is there is not replaced" "exists already" --nodes=2 jobs/validate.sbatch 2 8 8 1 1

# ---- a rank dies; the time limit comes ---------------------------------------------------------------------------------
jobs/grid-plan 128 4 2 1 >"$work/long.json"
begin() { # log -> id, once it has done a step
    id=$(submit "$1" --nodes=2 jobs/validate.sbatch "$work/long.json")
    wait_for 120 grep -q '^{' "$SAILOR_OUT/$id/steps.jsonl" 2>/dev/null
}
begin "$work/killed.log"
victim='' rank=''
for p in $(pgrep -f "^$train run $SAILOR_OUT/$id/plan.json"); do # a rank, not the process that watches over it
    [ "$(ps -o comm= -p "$(ps -o ppid= -p "$p" | tr -d ' ')")" = sailor-train ] || victim=$p
done
[ -n "$victim" ] && rank=$(tr '\0' '\n' <"/proc/$victim/environ" | sed -n 's/^SLURM_PROCID=//p') && kill -KILL "$victim"
began=$SECONDS
wait_for 60 state_is "$id" "$ended"
is "$(state "$id"), $((SECONDS - began < 40))" "FAILED, 1" \
    "a rank that is killed ends the job, which does not wait for the others" "$work/killed.log"
# Slurm says so; the program too, if Slurm does not end everything before it can
grep -qE "srun: error: nid00000[12]: task ${rank:-none}: Killed" "$work/killed.log"
ok $? "the log says which one" <"$work/killed.log"
begin "$work/limit.log"
scancel --signal=USR1 "$id" # what --signal=USR1@60 sends
wait_for 60 state_is "$id" "$ended"
is "$(how "$id")" "FAILED 75" "the signal of the time limit ends it after a step" "$work/limit.log"
grep -q 'stopped before its end' "$work/limit.log"
ok $? "and the log says so" <"$work/limit.log"
is "$(cd "$results" && echo *.h5)" "gpt-tiny-G8-D4-P2-tp1-m1.h5 gpt-tiny-G8-D8-P1-tp1-m1.h5" "neither left a result" "$work/limit.log"

# ---- refused before anything runs ------------------------------------------------------------------------------------
refused "a row of other nodes" "1 nodes; this job has 2" --nodes=2 jobs/validate.sbatch 1 8 8 1 2
refused "a row of other ranks" "D x P x tp = 4 ranks; expected 8" --nodes=2 jobs/validate.sbatch 2 8 4 1 1
refused "a row that is no row" "expected BATCH D P M" --nodes=2 jobs/validate.sbatch 2 4 2 one 1
refused "a row that is too short" "expected NODES BATCH D P M, or PLAN.json" --nodes=2 jobs/validate.sbatch 2 4 2 1
refused "no such plan" "none.json: no such file" --nodes=2 jobs/validate.sbatch "$work/none.json"
: >"$work/file"
SAILOR_OUT=$work/file/out refused "no directory for the run" "cannot be made" --nodes=2 jobs/validate.sbatch 2 16 8 1 1
SAILOR_RESULTS=$work/file/results refused "no directory for results" "cannot be made" --nodes=2 jobs/validate.sbatch 2 16 8 1 1
SAILOR_SITE=nowhere refused "an unknown site" "/jobs/env/nowhere.sh" --nodes=2 jobs/validate.sbatch 2 16 8 1 1
here=$PWD
cd "$work" && SAILOR_HOME='' refused "no site file was sourced, in another directory" "jobs/common.sh: no such file" --nodes=2 \
    "$here/jobs/validate.sbatch" 2 8 4 2 1
cd "$here" || exit 1
SAILOR_BACKEND=cuda SAILOR_COMM=nccl refused "GPUs that are shared" "have the same device" --nodes=2 jobs/validate.sbatch 2 16 8 1 1
finish
