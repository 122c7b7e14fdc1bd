#!/usr/bin/env bash
# TAP. `sailor plan --warm` and `sailor whatif`.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
# counts of two types in two zones that come and go
"$python" - "$tmp" <<'PY'
import json, random, sys
tmp = sys.argv[1]
random.seed(7)
zones, types = ["us-central1-a", "us-central1-b"], ["A100-40", "V100-16"]
cells = [(z, g) for z in zones for g in types]
job = {"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 64}
def row(c): return {"gpus": [{"zone": z, "gpu": g, "count": n} for (z, g), n in zip(cells, c)]}
def write(name, **keys): json.dump({**job, **keys}, open(f"{tmp}/{name}.json", "w"))
first = [8, 8, 4, 4]
write("first", pools=[row(first)])
rows = [first]
for _ in range(7): rows.append([max(0, n + random.choice([-4, -1, 0, 0, 1, 4])) for n in rows[-1]])
write("later", pools=[row(c) for c in rows])
site = json.load(open("inputs/sites/gcp.json"))
site["usd_per_gpu_hour"]["us-central1-a"]["A100-40"] *= 3
site["links"]["fits"] = [[a, b, c * 0.9, p] for a, b, c, p in site["links"]["fits"]]
json.dump(site, open(f"{tmp}/site.json", "w"))
write("other", site="./site.json", objective="cost", pools=[row(c) for c in rows[:3]])
write("neo", model="gpt-neo-2.7b", pools=[row(first)])
write("none", pools=[row([0, 0, 0, 0])])
PY
# same TITLE: cold and warm answers agree, except for what depends on how they were found
same() {
    "$python" - "$tmp" <<'PY'
import json, sys
a, b = ([json.loads(l) for l in open(f"{sys.argv[1]}/{n}")] for n in ("cold", "warm"))
keys = "row pool status reason plan iteration_time_s cost_usd_per_iteration lower_bound gap".split()
bad = [(x["row"], k) for x, y in zip(a, b) for k in keys if x.get(k) != y.get(k)]
if bad: print("#", bad)
sys.exit(bool(bad) or len(a) != len(b) or not a)
PY
    ok $? "$1"
}
run "$sailor" plan "$tmp/first.json" -q --gap 0 -o "$tmp/first.h5"
expect 0 "a result to begin with"
"$sailor" plan "$tmp/later.json" -q --gap 0 --json >"$tmp/cold" 2>/dev/null
run "$sailor" plan "$tmp/later.json" -q --gap 0 --json --warm "$tmp/first.h5" -o "$tmp/later.h5"
expect 0 "plan --warm"
cp "$tmp/out" "$tmp/warm"
same "counts that come and go: the answers of a cold search"
json "'first.h5: row 0' in o[0]['note'] and o[0]['plans_evaluated'] == 0" "a row that was answered before is not searched"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/later.json" -q --gap 0 --json --warm "$tmp/first.h5"
cp "$tmp/out" "$tmp/warm"
same "on two ranks"
run "$sailor" report "$tmp/later.h5" --json
json "o[0]['note'].endswith('whose pool contains this one')" "the file says where the proof is"
run "$sailor" plan "$tmp/later.json" -q --gap 0 --json --warm "$tmp/later.h5"
cp "$tmp/out" "$tmp/warm"
same "all rows known"
json "not any(x['plans_evaluated'] for x in o if x['plan'])" "none of them is searched"
"$sailor" plan "$tmp/other.json" -q --gap 0 --json >"$tmp/cold" 2>/dev/null
run "$sailor" plan "$tmp/other.json" -q --gap 0 --json --warm "$tmp/later.h5"
cp "$tmp/out" "$tmp/warm"
same "other prices, links and objective: the answers of a cold search"
json "not any('note' in x for x in o)" "where more than counts changed, nothing counts as proven"
"$sailor" plan "$tmp/neo.json" -q --json >"$tmp/cold" 2>/dev/null
run "$sailor" plan "$tmp/neo.json" -q --json --warm "$tmp/first.h5"
cp "$tmp/out" "$tmp/warm"
same "plans of another model are left out"
run "$sailor" plan "$tmp/none.json" -q --warm "$tmp/first.h5"
expect 3 "no GPUs are no plan, warm too"
run "$sailor" plan "$tmp/first.json" -q --json --objective frontier --gap 0 -o "$tmp/front.h5"
cp "$tmp/out" "$tmp/cold"
run "$sailor" plan "$tmp/first.json" -q --json --objective frontier --gap 0 --warm "$tmp/first.h5"
cp "$tmp/out" "$tmp/warm"
same "a frontier that begins with one plan"
run "$sailor" plan "$tmp/first.json" -q --warm "$tmp/none.h5"
expect 2 "--warm: no such file"
head -c 3000 "$tmp/first.h5" >"$tmp/half.h5"
run "$sailor" plan "$tmp/first.json" -q --warm "$tmp/half.h5"
expect 2 "--warm: half a file"
run "$sailor" plan "$tmp/first.json" -q --planner amp --warm "$tmp/first.h5"
expect 2 "--warm with a planner that proves nothing"

# ---- whatif ----
adds=(--add us-central1-a/V100-16:4 --add "us-central1-b/A100-40:+4,us-central1-a/A100-40:-4")
run "$sailor" whatif "$tmp/first.json" -q --gap 0 --json "${adds[@]}"
expect 0 "whatif --add"
cp "$tmp/out" "$tmp/warm"
json "[x['row'] for x in o] == [0, 1, 2] and [x['gpus_added'] for x in o] == [0, 4, 0]" "the job's row, and one for each --add"
json "o[1]['label'] == '+4 V100-16 us-central1-a' and
o[2]['label'] == '+4 A100-40 us-central1-b, -4 A100-40 us-central1-a'" "labels"
json "abs(o[1]['gain'] - (o[0]['iteration_time_s'] / o[1]['iteration_time_s'] - 1)) < 1e-12 and o[0]['gain'] == 0" "gain"
json "abs(o[0]['usd_per_1e9_tokens'] / (o[0]['cost_usd_per_iteration'] / 131072 * 1e9) - 1) < 1e-12" "USD per 1e9 tokens"
json "o[2]['gain_per_gpu'] is None and sum(x['worth_most'] for x in o) <= 1" "no gain per GPU where none are added"
"$python" - "$tmp" <<'PY'
import json, sys
job = json.load(open(f"{sys.argv[1]}/first.json"))
a, b, c, d = (g["count"] for g in job["pools"][0]["gpus"])
job["pools"] = [{"gpus": [dict(g, count=n) for g, n in zip(job["pools"][0]["gpus"], row)]}
                for row in ((a, b, c, d), (a, b + 4, c, d), (a - 4, b, c + 4, d))]
json.dump(job, open(f"{sys.argv[1]}/by-hand.json", "w"))
PY
"$sailor" plan "$tmp/by-hand.json" -q --gap 0 --json >"$tmp/cold" 2>/dev/null
same "the answers of plan for these pools"
run "$mpiexec" -n 2 "$sailor" whatif "$tmp/first.json" -q --gap 0 --json "${adds[@]}"
cp "$tmp/out" "$tmp/warm"
same "on two ranks"
run "$sailor" whatif "$tmp/first.json" -q --gap 0 -o "$tmp/w.h5"
expect 0 "whatif alone: one node more of each"
has out "+4 A100-40 us-central1-a" "its rows are labelled"
grep -qE '^worth most: \+4 .* each$|^none of the added' "$tmp/out"
ok $? "and it says which is worth most"
run "$sailor" report "$tmp/w.h5" --json
json "len(o) == 5" "-o keeps all rows"
run "$sailor" whatif "$tmp/later.json" -q --json
json "len(o) == 8 and o[3]['label'].count('us-central1') == sum(1 for _ in o[3]['pool'])" "without --add: the rows of the job"
run "$sailor" whatif "$tmp/later.json" -q --json --row 2 --add us-central1-a/A100-40:4
json "len(o) == 2 and o[0]['pool'] != o[1]['pool']" "--row"
run "$sailor" whatif fig8b -q --json --objective cost --add A100-40:4 --gap 1
json "
abs(o[1]['gain'] - (1 - o[1]['cost_usd_per_iteration'] / o[0]['cost_usd_per_iteration'])) < 1e-12" "gain in money; the only zone is found"

# at equal gain, the cheaper
cat >"$tmp/tie.json" <<'EOF'
{"format": "sailor-site/1", "name": "tie", "zones": ["dear", "cheap"], "gpus": ["A100-40"],
 "usd_per_gpu_hour": {"dear": {"A100-40": 5}, "cheap": {"A100-40": 2}},
 "egress_usd_per_GB": {"dear": {"dear": 0, "cheap": 0}, "cheap": {"dear": 0, "cheap": 0}},
 "links": {"pairs": [["dear", "*", "dear", "*", "ib-ndr"], ["cheap", "*", "cheap", "*", "ib-ndr"]]}}
EOF
cat >"$tmp/tie-job.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "./tie.json", "global_batch_size": 64, "objective": "throughput",
 "pools": [{"gpus": [{"zone": "dear", "gpu": "A100-40", "count": 2}]}]}
EOF
run "$sailor" whatif "$tmp/tie-job.json" -q --json --add dear/A100-40:2 --add cheap/A100-40:4 --add dear/A100-40:4
json "sum(x['worth_most'] for x in o) == 1" "one is worth most"
run "$sailor" whatif "$tmp/tie-job.json" -q --json --add dear/A100-40:-2,dear/A100-40:4 --add dear/A100-40:-2,cheap/A100-40:4
json "o[1]['gain_per_gpu'] == o[2]['gain_per_gpu'] > 0 and o[2]['worth_most'] and not o[1]['worth_most']" "the cheaper of two equal gains"

# refused OPTIONS WORD TITLE
refused() {
    # shellcheck disable=SC2086
    run "$sailor" whatif "$tmp/first.json" -q $1
    expect 2 "$3"
    has err "$2" "it says so"
}
refused "--add A100-40:4" "does not say in which zone" "a zone is needed"
refused "--add us-central1-a/A100-41:4" 'expected "A100-40"?' "an unknown type"
refused "--add us-central9-a/A100-40:4" "unknown zone" "an unknown zone"
refused "--add A100-40" "expected ZONE/GPU:N" "no number"
refused "--add us-central1-a/A100-40:0" "not 0" "0"
refused "--add us-central1-a/A100-40:1.5" "a whole number" "a fraction"
refused "--add us-central1-a/A100-40:-9" "has 8 A100-40 in zone us-central1-a" "more taken away than there are"
refused "--add us-central1-a/RTX-2080:4 --objective cost" "no price" "no price"
refused "--row 1" "has no row 1" "no such row"
refused "--objective frontier" "expected one of throughput, cost" "a frontier"
finish
