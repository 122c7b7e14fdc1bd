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
cheapest "the last point of a frontier" "${zb/plan\"/frontier\"][-1][\"plan\"} and $zb" "$sailor" plan "$tmp/tie-frontier.json" -q --json
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

# ---- 04, 13: links that no bytes pass, or faster than any; times that are negative ----
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
def write(name, o): json.dump(o, open(f"{tmp}/{name}", "w"))
zones = ["za", "zb"]
def world(name, fit=(0, 0, 10, 1e10), node=None, preset=None):
    links = {"fits": [fit], "rows": [[a, "A100-40", i, b, "A100-40", j, 0]
                                     for a in zones for b in zones for i in (1, 2, 4) for j in (1, 2, 4)]}
    if preset: links = {"presets": {"x": {"GBps": 10, "achieved": 0.8, "latency_us": 20, "per": "node", **preset}},
                        "pairs": [["*", "*", "*", "*", "x"]]}
    site = {"format": "sailor-site/1", "zones": zones, "gpus": [{"name": "A100-40", "memory_bytes": 42949672960, "gpus_per_node": 4}],
            "usd_per_gpu_hour": {z: {"A100-40": 3} for z in zones},
            "egress_usd_per_GB": {a: {b: 0 if a == b else 0.02 for b in zones} for a in zones}, "links": links}
    if node: site["intra_node"] = {"A100-40": {"2": node, "4": node}}
    write(name + "-site.json", site)
    write(name + "-job.json", {"format": "sailor-job/1", "model": "opt-350m", "site": f"./{name}-site.json", "global_batch_size": 64,
                               "pools": [{"gpus": [{"zone": z, "gpu": "A100-40", "count": 4} for z in zones]}]})
    write(name + "-plan.json", {
        "format": "sailor-plan/1", "model": "opt-350m", "site": f"./{name}-site.json", "global_batch_size": 64, "micro_batch_size": 2,
        "pipelines": [{"stages": [{"layers": [13 * k, 13 * k + 13],
                                    "replicas": [{"gpu": "A100-40", "tp": 2, "zone": zones[k], "count": 2}]}
                                  for k in (0, 1)]}]})
for i, fit in enumerate(([0, 0, 0, 0], [0, 0, -5, 1e10], [0, 0, 10, 0], [0, 0, 10, -1e10], [-1, 0, -1, 1e9], [0, 0, 1e9, 1e10],
                         [0, 0, 10, 1e19], [0, 0, 1e-300, 1e-291], [0, 0, 10, 1e3], [0, 0, None, 1e10])):
    world(f"fit{i}", fit=fit)
for i, node in enumerate(([0, 0, 0, 1e11], [0, 0, -3, 1e11], [0, 0, 50, 0], [0, 0, 5e10, 1e11])):
    world(f"node{i}", node=node)
for i, preset in enumerate(({"GBps": 0}, {"GBps": -5}, {"GBps": 1e9}, {"achieved": 0}, {"achieved": -1}, {"latency_us": -3},
                            {"GBps": None})):
    world(f"preset{i}", preset=preset)
world("bowl", fit=(1, 0, -3, 3e10))      # below zero inside
world("hill", fit=(-0.3, 0, 4, 4e9))     # below zero at the ends
world("falling", fit=(0, -2, 12, 3e10))
def plans(name, site, gpu, zone, degrees):
    for d in degrees:
        write(f"{name}-{d}.json", {
            "format": "sailor-plan/1", "model": "opt-350m", "site": site, "global_batch_size": d, "micro_batch_size": 1,
            "pipelines": [{"stages": [{"layers": [0, 26], "replicas": [{"gpu": gpu, "tp": 1, "zone": zone, "count": d}]}]}]})
degrees = (2, 50, 1665, 8192)
plans("A100", "gcp", "A100-40", "us-central1-a", degrees)
plans("V100", "gcp", "V100-16", "us-west1-b", degrees)
plans("GH", "clariden", "GH-96", "clariden", degrees)
for shape in ("bowl", "hill", "falling"): plans(shape, f"./{shape}-site.json", "A100-40", "za", degrees)
EOF
for path in "$tmp"/fit?-site.json "$tmp"/node?-site.json "$tmp"/preset?-site.json; do
    site=$(basename "$path" -site.json) wrong=0
    for command in "plan $tmp/$site-job.json -q" "simulate $tmp/$site-plan.json" "plan $tmp/$site-job.json -q --planner amp"; do
        # shellcheck disable=SC2086
        run "$sailor" $command
        [ "$rc" = 2 ] && grep -q "$site-site.json: /\(links\|intra_node\)/" "$tmp/err" || wrong=1
    done
    ok $wrong "$site: a link that cannot be is refused, with its place"
done
for estimator in native events; do
    for name in A100 V100 GH bowl hill falling; do
        run "$sailor" simulate "$tmp/$name"-{2,50,1665,8192}.json --estimator $estimator --json
        "$python" - "$tmp/out" <<'EOF'
import json, sys
o = [json.loads(l) for l in open(sys.argv[1])]
sync = [x["sync_time_s"] for x in o]
assert len(o) == 4 and all(x["sync_time_s"] > 0 and x["iteration_time_s"] > x["pipeline_time_s"] > 0 for x in o), sync
assert all(x["cost_usd_per_iteration"] is None or x["cost_usd_per_iteration"] > 0 for x in o)
EOF
        ok $? "$name by $estimator: every time and cost of 2 to 8192 replicas is above zero"
    done
done
# nccl TITLE TIME: what all_reduce_perf says, with this time for every size
nccl() {
    "$python" - "$2" >"$tmp/nccl.txt" <<'EOF'
import sys
for r in range(4): print(f"#  Rank  {r} Group  0 Pid 1 on n{r // 2} device  {r % 2} [0x07] NVIDIA A100-SXM4-40GB")
for k in range(16, 31, 2): print(2**k, 2**k // 4, "float sum -1", *[sys.argv[1], 1, 1, 0] * 2)
EOF
    run "$sailor" site --preset A100-40 --nccl-tests "$tmp/nccl.txt" --collective all_reduce --from za/A100-40 --to zb/A100-40
    expect 2 "nccl-tests: $1"
}
nccl "times of 0" 0.00
nccl "negative times" -5
nccl "times in another unit" 1e-9
nccl "times of ages" 1e30

# ---- 10: more GPUs than the site has ----
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
def write(name, o): json.dump(o, open(f"{tmp}/{name}", "w"))
for name, have in (("few", {"za": {"A100-40": 4}}), ("none", {"za": {"A100-40": 0}}), ("free", None)):
    site = json.load(open(f"{tmp}/apart.json"))
    if have is not None: site["available"] = have
    write(f"{name}-site.json", site)
    for job, counts in (("4", [4]), ("16", [16]), ("range", [[0, 16, 4]]), ("late", [4, 5])):
        write(f"{name}-{job}.json", {"format": "sailor-job/1", "model": "opt-350m", "site": f"./{name}-site.json", "global_batch_size": 64,
                                     "pools": [{"gpus": [{"zone": "za", "gpu": "A100-40", "count": c}]} for c in counts]})
EOF
run "$sailor" plan "$tmp/free-16.json" -q -o "$tmp/free.h5"
run "$sailor" export "$tmp/free.h5" -o "$tmp/free-plan.json"
sed s/free-site/few-site/ "$tmp/free-plan.json" >"$tmp/over.json"
while read -r line; do
    # shellcheck disable=SC2086
    run "$sailor" ${line//@/$tmp/}
    expect 2 "$line"
    grep -qE "A100-40 in zone za; expected (at most the|to fit into) [04]( GPUs| that)" "$tmp/err"
    ok $? "which says what there is"
done <<'EOF'
plan @few-16.json -q
plan @few-range.json -q
plan @few-late.json -q
plan @none-4.json -q
plan @few-16.json -q --planner dtfm
plan @few-16.json -q --objective frontier
plan --model opt-350m --gpus za/A100-40:16 --site @few-site.json --batch 64 -q
plan @few-16.json -q --warm @free.h5
whatif @few-4.json --add za/A100-40:4 -q
replan @few-late.json -q
simulate @over.json
simulate @over.json --estimator events
export @over.json --format megatron
export @over.json --format torchtitan
export @over.json --format sailor-train
EOF
run "$sailor" plan "$tmp/few-4.json" -q --json --warm "$tmp/free.h5"
json \
    'sum(r["count"] * r["tp"] for p in o[0]["plan"]["pipelines"] for s in p["stages"] for r in s["replicas"]) <= 4' \
    "--warm from more than there are"

# ---- 11: two names of one file, links ----
mkdir "$tmp/d"
sailor=$(realpath "$sailor") train=$(realpath "$train")
cd "$tmp" || exit 1
ln -s d dd
ln c.h5 hard.h5
cp c.h5 was.h5
while read -r first second; do
    # shellcheck disable=SC2086
    run "$train" run "./one.json" --threads 1 -q --steps 1 -f ${first//=/ } ${second//=/ }
    expect 2 "run $first $second"
    has err "the same path for two results" "which are one"
done <<EOF
--checkpoint=new.h5 -o=$tmp/new.h5
--checkpoint=d/new.h5 -o=dd/new.h5
--checkpoint=new.h5 -o=/proc/self/cwd/new.h5
--checkpoint=new.h5 --trace=./new.h5
-o=d/../new.h5 --trace=new.h5
--checkpoint=c.h5 -o=hard.h5
EOF
cmp -s c.h5 was.h5 && [ ! -e new.h5 ] && [ ! -e d/new.h5 ]
ok $? "nothing was written"
ln -s later first
ln -s first second
ln -s none/later nowhere
ln -s loop2 loop1
ln -s loop1 loop2
while read -r program line; do
    [ "$program" = sailor ] && program=$sailor || program=$train
    # shellcheck disable=SC2086
    run "$program" $line second
    [ "$rc" = 0 ] && [ -L second ] && [ -L first ] && [ -f later ] && [ -s later ]
    ok $? "${line%% *}: links to a file that is not there yet are followed"
    rm -f later
    for to in nowhere loop1; do
        # shellcheck disable=SC2086
        run "$program" $line $to
        [ "$rc" = 1 ] && [ -L $to ] && grep -q "$to: cannot be written" err
        ok $? "${line%% *}: a link that leads to $to is not replaced"
    done
done <<EOF
sailor plan $tmp/job.json -q -f -o
sailor export $tmp/r.h5 -f -o
sailor report $tmp/r.h5 -f --html
sailor simulate $tmp/plan.json -f --trace
sailor site --preset A100-40  -f -o
train run one.json --steps 1 --threads 1 -q  -f -o
train run one.json --steps 1 --threads 1 -q -f --checkpoint
train run one.json --steps 1 --threads 1 -q -f --trace
EOF
cd - >/dev/null || exit 1
finish
