#!/usr/bin/env bash
# TAP. Relatives of what users ran into: the same mistake at another place, in another file, by another command or on more ranks.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
export OMP_NUM_THREADS=1
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }
job "$tmp/job.json" throughput
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
def write(name, o): json.dump(o, open(f"{tmp}/{name}", "w"))
def plan(name, *stages, **more):
    write(name, {"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 1,
                 "pipelines": [{"stages": [{"layers": list(l), "replicas": [{"gpu": "cpu", "tp": tp, "zone": "local", "count": d}]}
                                           for l, tp, d in stages]}], **more})
plan("one.json", ((0, 6), 1, 1))
plan("pipe.json", ((0, 3), 1, 1), ((3, 6), 1, 1))
plan("data.json", ((0, 6), 1, 2))
plan("zero.json", ((0, 6), 1, 2), zero=True)
plan("recompute.json", ((0, 6), 1, 1), recompute="full")
plan("half.json", ((0, 6), 1, 1), dtype="bf16")
EOF
one=("$train" run "$tmp/one.json" --threads 1 -q)
run "$sailor" plan "$tmp/job.json" -q -o "$tmp/r.h5"
expect 0 "results"
run "$sailor" export "$tmp/r.h5" -o "$tmp/plan.json"
run "${one[@]}" --steps 2 --checkpoint "$tmp/c.h5" -o "$tmp/m.h5"
expect 0 "a checkpoint, a measurement"

# ---- 01: variables of launchers, in processes that no MPI joins ----
# answers TITLE COMMAND...: the command does its work, or says what keeps it from that
answers() {
    local title=$1
    shift
    run "$@"
    [ -s "$tmp/out" ] || { [ "$rc" != 0 ] && [ -s "$tmp/err" ]; } || { [ "$rc" = 0 ] && [ -n "$(find "$tmp" -name 'task*' -size +0)" ]; }
    ok $? "$title"
    rm -f "$tmp"/task*
}
for farm in "SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 SLURM_JOB_ID=7" "SLURM_PROCID=3 SLURM_LOCALID=3 SLURM_NTASKS=4" \
    "PMI_RANK=2" "PMIX_RANK=2 PMIX_NAMESPACE=x" "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=1" "FLUX_TASK_RANK=2 FLUX_JOB_SIZE=4" \
    "MV2_COMM_WORLD_RANK=1 MV2_COMM_WORLD_SIZE=2" "JSM_NAMESPACE_RANK=1 PALS_RANKID=1" "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2"; do
    while read -r program line; do
        [ "$program" = sailor ] && program=$sailor || program=$train
        # shellcheck disable=SC2086
        answers "$farm: ${line%% *}" env -u PMI_RANK $farm "$program" $line
    done <<EOF
sailor simulate $tmp/plan.json
sailor export $tmp/r.h5 -o $tmp/task
sailor report $tmp/r.h5
sailor plan $tmp/job.json -q -o $tmp/task
sailor site --preset A100-40 -o $tmp/task
train run $tmp/one.json --steps 1 -q -o $tmp/task
train weights $tmp/c.h5 --model gpt-tiny -o $tmp/task.safetensors
EOF
done

# ---- 02, 03: ties ----
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
def write(name, o): json.dump(o, open(f"{tmp}/{name}", "w"))
zones = ["za", "zb", "zc"]
def site(name, usd, pairs, egress=0.02):
    write(name, {"format": "sailor-site/1", "zones": zones, "gpus": [{"name": "A100-40", "memory_bytes": 42949672960, "gpus_per_node": 4}],
                 "usd_per_gpu_hour": {z: {"A100-40": u} for z, u in zip(zones, usd)},
                 "egress_usd_per_GB": {a: {b: 0 if a == b else egress for b in zones} for a in zones},
                 "links": {"pairs": [[z, "*", z, "*", "ib-ndr"] for z in zones] + pairs}})
def job(name, site, objective, count=4, **more):
    write(name, {"format": "sailor-job/1", "model": "opt-350m", "site": "./" + site, "global_batch_size": 64, "objective": objective,
                 "pools": [{"gpus": [{"zone": z, "gpu": "A100-40", "count": count} for z in zones]}], **more})
site("apart.json", (5, 2, 3), [])
site("joined.json", (5, 2, 3), [["*", "*", "*", "*", "eth-10g"]])
site("free.json", (0, 0, 0), [["*", "*", "*", "*", "eth-10g"]], egress=0)
site("dear.json", (5, 5, 5), [])
job("tie.json", "apart.json", "throughput")
job("tie-frontier.json", "apart.json", "frontier")
job("dear-job.json", "dear.json", "throughput")
job("free-job.json", "free.json", "cost")
job("free-fast.json", "free.json", "throughput")
job("free-limit.json", "free.json", "cost", max_usd_per_iteration=1)
EOF
# cheapest TITLE EXPRESSION COMMAND...: what is true of the first row
cheapest() {
    local title=$1 expression=$2
    shift 2
    run "$@"
    json "$expression" "$title"
}
zb='o[0]["plan"]["pipelines"][0]["stages"][0]["replicas"][0]["zone"] == "zb"'
for by in "" "$mpiexec -n 2" "$mpiexec -n 3"; do
    # shellcheck disable=SC2086
    cheapest "of three zones that are equally fast the cheapest${by:+ ($by)}" "$zb" $by "$sailor" plan "$tmp/tie.json" -q --json
done
cheapest "and the last point of a frontier" "${zb/plan\"/frontier\"][-1][\"plan\"} and $zb" "$sailor" plan "$tmp/tie-frontier.json" -q --json
cheapest "with --gap" "$zb" "$sailor" plan "$tmp/tie.json" -q --json --gap 0.2
cheapest "by native" "$zb" "$sailor" plan "$tmp/tie.json" -q --json --estimator native
cheapest "first of --top" "$zb" "$sailor" plan "$tmp/tie.json" -q --json --top 3
cheapest "whatif" "$zb" "$sailor" whatif "$tmp/tie.json" -q --json --add zc/A100-40:1
run "$sailor" plan "$tmp/dear-job.json" -q -o "$tmp/dear.h5"
cheapest "--warm from plans in a dearer zone" "$zb" "$sailor" plan "$tmp/tie.json" -q --json --warm "$tmp/dear.h5"
run "$sailor" plan "$tmp/tie.json" -q --time-limit 0 -o "$tmp/tie.h5"
cheapest "resumed" "$zb" "$sailor" plan --resume "$tmp/tie.h5" -q --json
run "$sailor" plan "$tmp/free-fast.json" -q --json
fastest=$("$python" -c "import json; print(json.loads(open('$tmp/out').readline())['iteration_time_s'])")
for by in "" "$mpiexec -n 2"; do
    # shellcheck disable=SC2086
    cheapest "of plans that cost nothing the fastest${by:+ ($by)}" "o[0]['iteration_time_s'] <= $fastest * 1.0001" \
        $by "$sailor" plan "$tmp/free-job.json" -q --json
done
cheapest "within a limit of cost, too" "o[0]['iteration_time_s'] <= $fastest * 1.0001" "$sailor" plan "$tmp/free-limit.json" -q --json
cheapest "whatif, too" "o[0]['iteration_time_s'] <= $fastest * 1.0001" "$sailor" whatif "$tmp/free-job.json" -q --json --add za/A100-40:-1
finish
