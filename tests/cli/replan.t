#!/usr/bin/env bash
# TAP. `sailor replan`: traces row by row, moves, and when not to move.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
# a few GPUs of one type that come and go
"$python" - "$tmp" <<'PY'
import json, sys
tmp = sys.argv[1]
job = {"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 32}
def write(name, counts, every=100, **keys):
    gpus = lambda n: [{"zone": "us-central1-a", "gpu": "A100-40", "count": n}]
    pools = [{"time_s": every * i, "gpus": gpus(n)} for i, n in enumerate(counts)]
    json.dump({**job, "pools": pools, **keys}, open(f"{tmp}/{name}.json", "w"))
counts = [8, 9, 12, 12, 8, 4, 0, 4]
write("trace", counts)
write("cost", counts, objective="cost")
write("untimed", [4, 8])
write("back", [4, 8], every=-1)
untimed = json.load(open(f"{tmp}/untimed.json"))
for p in untimed["pools"]: del p["time_s"]
json.dump(untimed, open(f"{tmp}/untimed.json", "w"))
PY
run "$sailor" replan "$tmp/trace.json" -q --json --gap 0
expect 0 "replan --json"
cp "$tmp/out" "$tmp/want"
json "[x['row'] for x in o] == list(range(8)) and [x['time_s'] for x in o] == [100 * i for i in range(8)]" \
    "every row, in order"
json "o[0]['action'] == 'start' and o[6]['action'] == 'none' and o[7]['action'] == 'start' and o[6]['plan'] is None" \
    "start, and start again"
json "o[3]['action'] == 'same' and o[3]['gpus_changed'] == 0 and o[3]['bytes_moved'] == 0 and o[3]['plan'] == o[2]['plan']" \
    "an equal pool changes nothing"
json "all(x['gpus_changed'] <= x['gpus'] and (x['bytes_moved'] > 0) >= (x['action'] == 'start') for x in o)" "GPUs and bytes"
json "o[5]['action'] == 'move' and o[5]['gain'] is None" "a plan that does not fit any more has to be left"
json "o[0]['bytes_moved'] / o[0]['gpus_changed'] > 1e8" "at the start every GPU gets its share"
"$sailor" plan "$tmp/trace.json" -q --json --gap 0 >"$tmp/cold" 2>/dev/null
"$python" - "$tmp" <<'PY'
import json, sys
a, b = ([json.loads(l) for l in open(f"{sys.argv[1]}/{n}")] for n in ("cold", "want"))
keys = "row status reason iteration_time_s cost_usd_per_iteration lower_bound gap".split()
sys.exit(any(x.get(k) != y.get(k) for x, y in zip(a, b) for k in keys) or len(a) != len(b))
PY
ok $? "the answers are those of plan"
run "$mpiexec" -n 2 "$sailor" replan "$tmp/trace.json" -q --json --gap 0 -o "$tmp/r.h5"
"$python" - "$tmp" <<'PY'
import json, sys
a, b = ([{k: v for k, v in json.loads(l).items() if k not in ("search_s", "plans_evaluated")}
         for l in open(f"{sys.argv[1]}/{n}")] for n in ("out", "want"))
sys.exit(a != b)
PY
ok $? "on two ranks too"
run "$sailor" report "$tmp/r.h5" --json
json "len(o) == 8 and o[2]['status'] == 'optimal'" "-o: a file of results"

# a gain that does not pay
run "$sailor" replan "$tmp/trace.json" -q --json --gap 0 --hysteresis 10 -o "$tmp/h.h5"
expect 0 "--hysteresis"
json "[x['action'] for x in o[:4]] == ['start', 'same', 'stay', 'stay'] and o[2]['plan'] == o[0]['plan']" \
    "the running plan stays while it fits"
json "o[2]['gain'] > 0 and o[2]['status'] == 'feasible' and
abs(1 - o[2]['lower_bound'] / o[2]['iteration_time_s'] - o[2]['gap']) < 1e-9" \
    "what it forgoes is its gap"
json "'is kept' in o[2]['note'] and o[2]['gpus_changed'] == 0" "and it says so"
json "o[5]['action'] == 'move'" "it moves where it must"
run "$sailor" report "$tmp/h.h5" --row 2
has out "the running plan is kept" "the file keeps the note"
run "$sailor" replan "$tmp/trace.json" -q --json --move-s 99
json "all(x['action'] != 'move' or x['gain'] is None for x in o)" "a move that takes as long as the pool lasts"
run "$sailor" replan "$tmp/trace.json" -q --json --move-s 99 --horizon 1e6
json "o[2]['action'] == 'move' and o[2]['gain'] > 0" "pays in the long run"
run "$sailor" replan "$tmp/cost.json" -q --json --move-s 1e6
json "all(x['action'] != 'move' or x['gain'] is None for x in o)" "objective cost: a move is paid for"
run "$sailor" replan "$tmp/untimed.json" -q --json --move-s 10
json "o[1]['action'] == 'move' and o[1]['time_s'] is None" "without times every gain is taken"
run "$sailor" replan "$tmp/trace.json" -q --gap 0
has out "start" "the table"
[ "$(grep -c us-central1-a "$tmp/out")" = 1 ]
ok $? "has the zone of all rows once"
grep -qE '^[0-9]+ moves, [0-9]+ GPUs changed, .* GB moved; ' "$tmp/out" && grep -q 'iterations from the first row to the last' "$tmp/out"
ok $? "and what it comes to"

# published traces
for f in fig7 fig8b; do
    run "$sailor" replan $f -q --json --gap 0.01
    json "[x['action'] for x in o] == ['start', 'move', 'move']" "$f"
done
# a made-up day; the first rows of it, with two types
"$python" tests/bench/day.py 12 3 >"$tmp/day.json"
run "$sailor" replan "$tmp/day.json" -q --json
expect 0 "a made-up day"
json "len(o) == 12 and all(x['gap'] <= 0.01 for x in o)" "every row within the gap"
run "$sailor" replan "$tmp/day.json" -q --json --time-limit 0
[ "$rc" = 75 ]
ok $? "stopped"

run "$sailor" replan "$tmp/back.json" -q
expect 2 "times that go back"
has err "/pools/1/time_s" "or below 0, are refused"
"$python" - "$tmp" <<'PY'
import json, sys
job = json.load(open(f"{sys.argv[1]}/trace.json"))
job["pools"][3]["time_s"] = 150
json.dump(job, open(f"{sys.argv[1]}/back.json", "w"))
PY
run "$sailor" replan "$tmp/back.json" -q
expect 2 "a row before the one in front of it"
has err "/pools/3/time_s: 150; expected at least 200" "with its place"
run "$sailor" replan "$tmp/trace.json" -q --objective frontier
expect 2 "a frontier"
run "$sailor" replan "$tmp/trace.json" -q --horizon 10
expect 2 "--horizon alone"
run "$sailor" replan "$tmp/trace.json" -q --hysteresis -1
expect 2 "--hysteresis -1"

# ---- at equal speed the cheaper, at equal price the faster ----
cat >"$tmp/tie.json" <<'EOF'
{"format": "sailor-site/1", "name": "tie", "zones": ["dear", "cheap"], "gpus": ["A100-40"],
 "usd_per_gpu_hour": {"dear": {"A100-40": 5}, "cheap": {"A100-40": 2}},
 "egress_usd_per_GB": {"dear": {"dear": 0, "cheap": 0}, "cheap": {"dear": 0, "cheap": 0}},
 "links": {"pairs": [["*", "*", "*", "*", "ib-ndr"]]}}
EOF
cat >"$tmp/tie-trace.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "./tie.json", "global_batch_size": 64, "objective": "throughput",
 "pin": {"stages": 1, "data_parallel": 1},
 "pools": [{"time_s": 0, "gpus": [{"zone": "dear", "gpu": "A100-40", "count": 4}]},
  {"time_s": 100, "gpus": [{"zone": "dear", "gpu": "A100-40", "count": 4}, {"zone": "cheap", "gpu": "A100-40", "count": 4}]},
  {"time_s": 200, "gpus": [{"zone": "dear", "gpu": "A100-40", "count": 4}, {"zone": "cheap", "gpu": "A100-40", "count": 4}]}]}
EOF
run "$sailor" replan "$tmp/tie-trace.json" -q --json
json '[x["action"] for x in o[:3]] == ["start", "move", "same"] and o[1]["gain"] == 0' "a plan as fast and cheaper is moved to"
json 'o[1]["cost_usd_per_iteration"] < 0.5 * o[0]["cost_usd_per_iteration"]' "and saves its money"
run "$sailor" replan "$tmp/tie-trace.json" -q --json --move-s 5
json 'o[1]["action"] == "stay"' "but not where the move takes time"
run "$sailor" replan "$tmp/tie-trace.json" -q --json --hysteresis 0.7
json 'o[1]["action"] == "stay"' "nor where it saves less than was asked for"
sed 's/"cheap": {"A100-40": 2}/"cheap": {"A100-40": 0}/; s/"dear": {"A100-40": 5}/"dear": {"A100-40": 0}/' "$tmp/tie.json" >"$tmp/free.json"
mv "$tmp/free.json" "$tmp/tie.json"
run "$sailor" replan "$tmp/tie-trace.json" -q --json --objective cost
json '[x["action"] for x in o[:3]] == ["start", "same", "same"]' "what costs nothing gains nothing"
finish
