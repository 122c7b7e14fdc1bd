#!/usr/bin/env bash
# TAP. `sailor simulate --trace`: the timeline of the predicted iteration is complete, in order, as long as the iteration, and
# its memory agrees with the estimate; names are those of sailor-train's timelines.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
cat >"$tmp/check.py" <<'EOF'
"""check.py TRACE ANSWER.json MICROBATCHES: ANSWER is a line of sailor simulate --json"""
import collections, json, sys
trace, answer, M = json.load(open(sys.argv[1])), json.load(open(sys.argv[2])), int(sys.argv[3])
about, events = trace["otherData"], trace["traceEvents"]
stages = answer["pipelines"][0]["stages"]
assert about["format"] == "sailor-trace/1" and about["time_s"] == answer["iteration_time_s"]
spans, passes, memory = collections.defaultdict(list), collections.Counter(), collections.defaultdict(list)
for e in events:
    if e["ph"] == "X":
        spans[e["pid"], e["tid"]].append((e["ts"], e["ts"] + e["dur"], e["cat"]))
        if "microbatch" in e.get("args", {}):
            assert e["name"] == f"{e['cat']} {e['args']['microbatch']}"
            passes[e["pid"], e["cat"]] += 1
    if e["ph"] == "C":
        memory[e["pid"]].append((e["ts"], sum(e["args"].values())))
assert {e["pid"] for e in events if e["name"] == "process_name"} == set(range(len(stages))) == set(memory)
assert len(spans) == len(stages)
for s in spans.values():
    assert s[0][0] == 0 and all(abs(a[1] - b[0]) < 1e-3 for a, b in zip(s, s[1:])), "an overlap or a hole"
    assert s[-1][1] <= 1e6 * about["time_s"] + 2e-3
assert abs(max(s[-1][1] for s in spans.values()) - 1e6 * about["time_s"]) < 2e-3, "the iteration ends elsewhere"
for k, stage in enumerate(stages):
    assert passes[k, "forward"] == passes[k, "backward"] == M
    assert all(a[0] <= b[0] for a, b in zip(memory[k], memory[k][1:]))
    assert abs(max(v for _, v in memory[k]) - stage["memory_bytes"]) < 4, "another peak"
    assert memory[k][-1][1] == memory[k][0][1], "a microbatch stays"
assert abs(max(v for m in memory.values() for _, v in m) - answer["peak_memory_bytes"]) < 4
EOF
check() { "$python" "$tmp/check.py" "$@" 2>"$tmp/why" || { sed 's/^/# /' "$tmp/why"; false; }; }
cat >"$tmp/two.json" <<'EOF'
{"format": "sailor-plan/1", "name": "two", "model": "opt-350m", "site": "gcp", "global_batch_size": 12, "micro_batch_size": 1,
 "pipelines": [{"stages": [
  {"layers": [0, 10], "replicas": [{"gpu": "A100-40", "tp": 2, "zone": "us-central1-a", "count": 2}]},
  {"layers": [10, 26], "replicas": [{"gpu": "A100-40", "tp": 1, "zone": "us-central1-a", "count": 1},
                                    {"gpu": "V100-16", "tp": 1, "zone": "us-central1-a", "count": 1}]}]}]}
EOF
run "$sailor" simulate "$tmp/two.json" --trace "$tmp/two.trace" --json
expect 0 "a timeline"
check "$tmp/two.trace" "$tmp/out" 6
ok $? "no overlap, no hole, as long as the iteration, peak memory as estimated"
run "$sailor" simulate "$tmp/two.json" --estimator events --json
check "$tmp/two.trace" "$tmp/out" 6
ok $? "it is that of the estimator events"
cp "$tmp/two.trace" "$tmp/before"
run "$sailor" simulate "$tmp/two.json" --trace "$tmp/two.trace"
expect 2 "it stays without -f"
run "$sailor" simulate "$tmp/two.json" --trace "$tmp/two.trace" -f
cmp -s "$tmp/two.trace" "$tmp/before"
ok $? "the same bytes every time"
[ "$(find "$tmp" -name '*two.trace*' | wc -l)" = 1 ]
ok $? "no temporary file is left"

# every measured run: up to four stages, up to 32 microbatches
"$python" - "$tmp" <<'EOF'
import json, sys
for i, p in enumerate(json.load(open("inputs/validation/opt-350m-gh200.json"))["plans"]):
    json.dump(p, open(f"{sys.argv[1]}/run{i}.json", "w"))
    D = sum(r.get("count", 1) for r in p["pipelines"][0]["stages"][0]["replicas"])
    print(-(-p["global_batch_size"] // (p["micro_batch_size"] * D)), file=open(f"{sys.argv[1]}/run{i}.M", "w"))
EOF
bad=0
for i in {0..14}; do
    run "$sailor" simulate "$tmp/run$i.json" --trace "$tmp/run$i.trace" --json
    check "$tmp/run$i.trace" "$tmp/out" "$(cat "$tmp/run$i.M")" || bad=1
done
ok $bad "and so it is for the 15 measured runs"

# names, categories and processes are those of the trainer
cat >"$tmp/tiny.json" <<'EOF'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 6, "micro_batch_size": 2,
 "pipelines": [{"stages": [{"layers": [0, 3], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]},
                           {"layers": [3, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}]}]}
EOF
run "$mpiexec" -n 2 "$train" run "$tmp/tiny.json" --steps 1 -q --trace "$tmp/tiny.trace"
"$python" - "$tmp/two.trace" "$tmp/tiny.trace" <<'EOF'
import json, re, sys
def names(path):
    events = json.load(open(path))["traceEvents"]
    return ({(e["cat"], re.sub(r"\d+", "N", e["name"])) for e in events if e["ph"] == "X"},
            {(e["pid"], re.sub(r"\d+", "N", e["args"]["name"])) for e in events if e["name"] == "process_name"})
(ours, our_processes), (theirs, their_processes) = map(names, sys.argv[1:])
assert our_processes == their_processes
assert ours - theirs == {("data", "data sum")}, ours - theirs  # the trainer's is by layer
EOF
ok $? "names, categories and processes are the trainer's"

run "$sailor" simulate "$tmp/two.json" "$tmp/two.json" --trace "$tmp/x.trace"
expect 2 "two plans"
run "$sailor" simulate "$tmp/two.json" --trace "$tmp/x.trace" --estimator native
has err "--trace: not with --estimator native; expected events" "another estimator"
sed 's/"global_batch_size": 12/"global_batch_size": 90000000/' "$tmp/two.json" >"$tmp/long.json"
run "$sailor" simulate "$tmp/long.json" --trace "$tmp/x.trace"
expect 2 "more passes than anyone can look at"
has err "expected at most 1000000" "it says how many"
run "$sailor" simulate "$tmp/two.json" --trace "$tmp/no/such/x.trace"
expect 1 "a directory that is not there"
[ ! -e "$tmp/x.trace" ]
ok $? "what is refused writes nothing"
if [ -c /dev/full ]; then
    run "$sailor" simulate "$tmp/two.json" --trace /dev/full -f
    expect 1 "a full device"
fi
finish
