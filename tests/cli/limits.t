#!/usr/bin/env bash
# TAP. `sailor report --max-usd` and `--min-iterations-per-s`: limits looked up in a stored frontier.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
job "$tmp/job.json" frontier
run "$sailor" plan "$tmp/job.json" -o "$tmp/a.h5" --json -q
expect 0 "a frontier"
cp "$tmp/out" "$tmp/front"

# ask OBJECTIVE LIMIT VALUE...: the exact search's answer with that limit in the job, in $tmp/want
ask() {
    "$python" - "$tmp" "$@" <<'PY'
import json, sys
tmp, goal, *limits = sys.argv[1:]
job = json.load(open(f"{tmp}/job.json"))
job["objective"] = goal
for key, value in zip(limits[::2], limits[1::2]): job[key] = float(value)
json.dump(job, open(f"{tmp}/limited.json", "w"))
PY
    "$sailor" plan "$tmp/limited.json" --json -q --gap 0 >"$tmp/want" 2>/dev/null
}
# same TITLE: the last report gives the value and the proof of $tmp/want (the plan may be a different, equally good one)
same() {
    "$python" - "$tmp" <<'PY'
import json, sys
tmp = sys.argv[1]
want = {r["row"]: r for r in map(json.loads, open(f"{tmp}/want"))}
got = {r["row"]: r for r in map(json.loads, open(f"{tmp}/out"))}
near = lambda x, y: x == y or abs(x - y) <= 1e-9 * abs(y)
bad = set(want) ^ set(got)
for i in set(want) & set(got):
    w, g = want[i], got[i]
    bad |= {i} if w["status"] != g["status"] else set()
    if w["plan"]: bad |= {i for k in ("iteration_time_s", "cost_usd_per_iteration", "lower_bound") if not near(g[k], w[k])}
sys.exit(bool(bad or not got))
PY
    ok $? "$1"
}
limits=$("$python" -c 'import json,sys
f = json.loads(open(sys.argv[1]).readlines()[2])["frontier"]
cost = sorted(p["cost_usd_per_iteration"] for p in f); rate = sorted(1 / p["iteration_time_s"] for p in f)
print(repr((cost[0] + cost[1]) / 2), repr(cost[-1] * 1.01), repr((rate[0] + rate[1]) / 2), repr(rate[0]), repr(cost[0]))' "$tmp/front")
read -r between above rate slow least <<<"$limits"
run "$sailor" report "$tmp/a.h5" --max-usd "$between" --json
expect 0 "--max-usd between two points"
ask throughput max_usd_per_iteration "$between"
same "is what the exact search answers with that budget"
run "$sailor" report "$tmp/a.h5" --max-usd "$above" --json
ask throughput max_usd_per_iteration "$above"
same "a budget that all plans keep: the throughput optimum, exactly"
run "$sailor" report "$tmp/a.h5" --max-usd "$least" --json
ask throughput max_usd_per_iteration "$least"
same "the cost of the cheapest point: just within"
run "$sailor" report "$tmp/a.h5" --min-iterations-per-s "$rate" --json
expect 0 "--min-iterations-per-s between two points"
ask cost min_iterations_per_s "$rate"
same "is what the exact search answers with that floor"
run "$sailor" report "$tmp/a.h5" --min-iterations-per-s "$slow" --json
ask cost min_iterations_per_s "$slow"
same "a floor that the slowest point meets: the cost optimum, exactly"
run "$sailor" report "$tmp/a.h5" --max-usd "$above" --min-iterations-per-s "$rate" --json
ask throughput max_usd_per_iteration "$above" min_iterations_per_s "$rate"
same "both"
json "all(r['max_usd_per_iteration'] == $above and r['min_iterations_per_s'] == $rate for r in o)" "--json has the limits"
run "$sailor" report "$tmp/a.h5" --max-usd "$between" --row 2
has out "the fastest plan with at most" "the table says what was asked"
has out "gap 0 %" "and what is proven"
run "$sailor" report "$tmp/a.h5" --max-usd 1e-9
expect 3 "no plan is that cheap"
has err "no plan within the limits" "one line says so"
has out "infeasible: no plan of the frontier is within the limits" "and each row"
run "$sailor" report "$tmp/a.h5" --max-usd "$least" --min-iterations-per-s 1000
expect 3 "nor that fast for that money"
run "$sailor" report "$tmp/a.h5" --max-usd 0
expect 2 "--max-usd 0"
run "$sailor" report "$tmp/a.h5" --min-iterations-per-s x
expect 2 "--min-iterations-per-s x"

# a frontier found within a budget knows nothing beyond it
"$python" - "$tmp" "$between" <<'PY'
import json, sys
tmp, limit = sys.argv[1], float(sys.argv[2])
job = json.load(open(f"{tmp}/job.json"))
job["max_usd_per_iteration"] = limit
json.dump(job, open(f"{tmp}/budget.json", "w"))
PY
run "$sailor" plan "$tmp/budget.json" -o "$tmp/b.h5" --json -q
run "$sailor" report "$tmp/b.h5" --max-usd "$above" --json
json "all(r['max_usd_per_iteration'] == $between for r in o)" "a looser limit than the job's own is the job's own"

# stopped before everything was proven
run "$sailor" plan inputs/fig8b.json --objective frontier --time-limit 1 -q -o "$tmp/s.h5" --json
[ "$rc" = 75 ]
ok $? "a frontier that is stopped"
cp "$tmp/out" "$tmp/stopped"
run "$sailor" report "$tmp/s.h5" --max-usd 0.5 --json
json "o[0]['status'] == 'feasible' and o[0]['gap'] > 0 and o[0]['lower_bound'] <= o[0]['iteration_time_s']" "its limits are open"
run "$sailor" report "$tmp/s.h5" --max-usd 1e-9
[ "$rc" = 75 ] && grep -q undecided "$tmp/err"
ok $? "what it has not found is not excluded"
run "$sailor" report "$tmp/s.h5" --json
"$python" -c 'import json,sys
a, b = (json.loads(open(f).readline())["gap"] for f in sys.argv[1:])
sys.exit(a != b)' "$tmp/stopped" "$tmp/out"
ok $? "plan and report say the same gap"

run "$sailor" plan "$tmp/job.json" --objective cost -o "$tmp/c.h5" -q
run "$sailor" report "$tmp/c.h5" --max-usd 1
expect 2 "a file without a frontier"
has err "holds no frontier" "is called that"
finish
