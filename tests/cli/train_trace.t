#!/usr/bin/env bash
# TAP. `sailor-train run` with --trace and --overlap: the timeline is complete and in order, and sums during the backward
# pass change nothing.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
two() { run "$mpiexec" -n 2 "$train" "$@"; }
# plan FILE STAGES: "FIRST, END: DEGREES" separated by ';'; batch 6 of 2: three microbatches, with D = 2 four
plan() {
    "$python" - "$@" >"$1" <<'EOP'
import json, sys
stages = []
for s in sys.argv[2].split(";"):
    layers, degrees = s.split(":")
    stages.append({"layers": [int(x) for x in layers.split(",")],
                   "replicas": [{"gpu": "cpu", "tp": int(t), "zone": "local"} for t in degrees.split(",")]})
print(json.dumps({"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 6,
                  "micro_batch_size": 2, "pipelines": [{"stages": stages}]}))
EOP
}
plan "$tmp/pipe.json" "0,3:1;3,6:1"
plan "$tmp/data.json" "0,6:1,1"
plan "$tmp/tensor.json" "0,6:2"

cat >"$tmp/check.py" <<'EOF'
"""check.py TRACE STEPS.jsonl STEP MICROBATCHES DEGREE [causal] [data | overlap]"""
import collections, json, sys
trace, steps = json.load(open(sys.argv[1])), [json.loads(line) for line in open(sys.argv[2])]
step, microbatches, degree, say = int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6:]
about, events = trace["otherData"], trace["traceEvents"]
ranks = about["ranks"]
assert about["format"] == "sailor-trace/1" and about["step"] == step
assert about["time_s"] == next(s["iteration_time_s"] for s in steps if s["step"] == step)
spans, passes, first = collections.defaultdict(list), collections.Counter(), {}
for e in events:
    if e["ph"] == "X":
        spans[e["tid"]].append((e["ts"], e["ts"] + e["dur"]))
        if e["tid"] < ranks and e["cat"] in ("forward", "backward"):
            w = e["args"]["microbatch"]
            assert e["name"] == f"{e['cat']} {w}"
            passes[e["pid"], e["cat"], w] += 1
            first[e["pid"], e["cat"], w] = e["ts"], e["ts"] + e["dur"]
# every rank: contiguous spans, as long as its step; the slowest rank's is the step
own = []
for rank in range(ranks):
    s = sorted(spans[rank])
    assert all(a[1] <= b[0] + 1e-3 for a, b in zip(s, s[1:])), "spans overlap"
    busy = sum(b - a for a, b in s)
    own.append(s[-1][1] - s[0][0])
    assert abs(busy - own[-1]) <= 1e-3 * own[-1] + 1, "holes"
assert abs(max(own) - 1e6 * about["time_s"]) <= 1e-3 * 1e6 * about["time_s"], (own, about["time_s"])
for track in range(ranks, 2 * ranks):
    s = sorted(spans[track])
    assert all(a[1] <= b[0] + 1e-3 for a, b in zip(s, s[1:])), "sums overlap"
# every stage: each microbatch once forward and once backward, on every rank of the replica that has it
names = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
threads = {e["tid"] for e in events if e["name"] == "thread_name"}
assert set(range(ranks)) <= threads
for stage in names:
    of = [n for (pid, cat, w), n in sorted(passes.items()) if pid == stage]
    assert len(of) == 2 * microbatches and set(of) == {degree}, (stage, passes)
# a stage starts after the stage before it, by any rank's clock
if "causal" in say:
    slack = 2e6 * about["clock_error_s"] + 1
    for w in range(microbatches):
        assert first[1, "forward", w][0] >= first[0, "forward", w][1] - slack, "forward before its input"
        assert first[0, "backward", w][0] >= first[1, "backward", w][1] - slack, "backward before its gradient"
begun = {e["id"]: e["ts"] for e in events if e["ph"] == "b"}
done = {e["id"]: e["ts"] for e in events if e["ph"] == "e"}
last = max((e["ts"] + e["dur"], e["tid"]) for e in events if e.get("cat") == "backward" and e["tid"] == 0)[0]
sums = [e for e in events if e["ph"] == "X" and e["cat"] == "data" and e["tid"] in (0, ranks)]
assert begun.keys() == done.keys() and bool(begun) == ("overlap" in say)
if "data" in say:
    assert sums and all(e["tid"] == 0 and e["ts"] >= last - 1e-3 for e in sums)
if "overlap" in say: # of rank 0, for one
    of = [k for k in begun if k.startswith("0.")]
    assert of and all(begun[k] < last < done[k] for k in of), (begun, done, last)
EOF
check() { "$python" "$tmp/check.py" "$@" 2>"$tmp/why" || { sed 's/^/# /' "$tmp/why"; false; }; }

two run "$tmp/pipe.json" --steps 3 -q --json --trace "$tmp/pipe.trace"
expect 0 "a timeline of the last step"
check "$tmp/pipe.trace" "$tmp/out" 3 3 1 causal
ok $? "a pipeline: no overlap, no hole, every microbatch once each way, in order between the stages"
two run "$tmp/pipe.json" --steps 3 -q --trace "$tmp/pipe.trace"
expect 2 "it stays without -f"
two run "$tmp/pipe.json" --steps 3 -q --json --evaluate 1 --trace "$tmp/pipe.trace" --trace-step 2 -f
expect 0 "of another step, with an evaluation after it"
check "$tmp/pipe.trace" "$tmp/out" 2 3 1 causal
ok $? "and that one it is"
two run "$tmp/tensor.json" --steps 1 -q --json --trace "$tmp/tensor.trace"
check "$tmp/tensor.trace" "$tmp/out" 1 3 2
ok $? "a replica of two: passes whole, their sums beside them"
# of each microbatch: two sums per block forward and two backward, embedding, head, maxima and sums of the loss
[ "$(grep -c '"tid":2,"cat":"tensor"' "$tmp/tensor.trace")" = $((3 * (4 * 4 + 4))) ]
ok $? "all sums are there"
run "$train" run "$tmp/pipe.json" --trace-step 2
expect 2 "--trace-step alone"
two run "$tmp/pipe.json" --steps 3 -q --trace "$tmp/x.trace" --trace-step 4
expect 2 "a step that is not done"
has err "expected a step of this run, 1 to 3" "it says which are"
two run "$tmp/pipe.json" --steps 1 -q --trace "$tmp/no/such/x.trace"
expect 1 "a directory that is not there, found before training"

# A rank whose clock is an hour off, on what it takes for another machine: with MPICH, if time namespaces are allowed.
# shellcheck disable=SC2016
shift_clock='[ "${PMI_RANK:-0}" = 0 ] && exec "$@"; exec unshare -T --monotonic 3600 "$@"'
if unshare -T --monotonic 3600 true 2>/dev/null && "$train" --version | grep -q 'MPI  .*MPICH'; then
    export MPIR_CVAR_NOLOCAL=1
    run "$mpiexec" -n 2 sh -c "$shift_clock" sh "$train" run "$tmp/pipe.json" --steps 1 -q --json --threads 1 \
        --trace "$tmp/shifted.trace"
    unset MPIR_CVAR_NOLOCAL
    check "$tmp/shifted.trace" "$tmp/out" 1 3 1 causal &&
        "$python" -c "import json; e = json.load(open('$tmp/shifted.trace'))['otherData']['clock_error_s']; assert 0 < e < 0.1"
    ok $? "two machines an hour apart are on one clock"
else
    n=$((n + 1))
    echo "ok $n # SKIP two machines an hour apart: needs time namespaces (root) and MPICH"
fi

# ---- overlap ----
losses() { "$python" -c "import json; print([json.loads(l)['loss'] for l in open('$tmp/out')])"; }
two run "$tmp/data.json" --steps 3 -q --json --trace "$tmp/after.trace"
after=$(losses)
check "$tmp/after.trace" "$tmp/out" 3 4 1 data
ok $? "data parallel: no sum before the last backward pass is done"
two run "$tmp/data.json" --steps 3 -q --json --overlap --trace "$tmp/beside.trace"
expect 0 "gradient sums beside the backward pass"
[ "$after" = "$(losses)" ]
ok $? "the same losses, bit for bit"
check "$tmp/beside.trace" "$tmp/out" 3 4 1 overlap
ok $? "they are under way before it ends"
finish
