#!/usr/bin/env bash
# TAP. `sailor plan`: objects of --json, tables, the file and its failures, stopping and resuming.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
job "$tmp/job.json" throughput
job "$tmp/cost.json" cost
job "$tmp/frontier.json" frontier
sed 's/"count": [24]/"count": 0/g' "$tmp/job.json" >"$tmp/none.json"
steady() { sed -E 's/"search_s": ?[-+.0-9eE]+/"search_s":0/g'; } # all but the seconds

run "$sailor" plan "$tmp/job.json" --json -o "$tmp/a.h5" --top 3
expect 0 "plan --json -o"
json "[x['row'] for x in o] == [0, 1, 2]" "one object per row, in order"
json "[x['status'] for x in o] == ['optimal', 'infeasible', 'optimal']" "status"
json "o[1]['throughput_per_s'] == 0 and o[1]['plan'] is None and len(o[1]['reason']) > 5" "a row without plan says why"
json "all({'row', 'status', 'plan', 'iteration_time_s', 'throughput_per_s', 'cost_usd_per_iteration', 'egress_usd',
           'peak_memory_bytes', 'lower_bound', 'gap', 'search_s', 'plans_evaluated'} <= set(x) for x in o)" "all keys of the contract"
json "all(x['gap'] == 0 and x['lower_bound'] == x['iteration_time_s'] for x in (o[0], o[2]))" "optimal means gap 0"
json "abs(o[0]['throughput_per_s'] * o[0]['iteration_time_s'] - 1) < 1e-12" "throughput is 1 / time"
json "o[0]['plan']['format'] == 'sailor-plan/1' and len(o[0]['top']) == 3" "plan and top plans"
json "abs(o[0]['train_hours'] - -(-1e9 // (32 * 2048)) * o[0]['iteration_time_s'] / 3600) < 1e-9" "hours of the whole run"
steady <"$tmp/out" >"$tmp/want"

run "$sailor" plan "$tmp/job.json" --top 3
expect 0 "plan as tables"
has out "row 1: no GPUs" "the table of a row without GPUs"
has out "training on 1e+09 tokens" "hours and USD in the table"
run "$sailor" plan "$tmp/job.json" -o "$tmp/a.h5"
expect 2 "an existing file is not overwritten"
run "$sailor" plan "$tmp/job.json" --json -o "$tmp/a.h5" -f --top 3
expect 0 "unless -f says so"
run "$sailor" plan "$tmp/job.json" --json --resume "$tmp/a.h5" --top 3
expect 0 "--resume of a complete file"
steady <"$tmp/out" | diff - "$tmp/want" >/dev/null
ok $? "prints its answer"
run "$sailor" plan "$tmp/cost.json" --json
json "all(x['lower_bound'] == x['cost_usd_per_iteration'] for x in o if x['plan'])" "objective cost: the bound is in USD"
run "$sailor" plan "$tmp/job.json" --objective cost --json
json "all(x['lower_bound'] == x['cost_usd_per_iteration'] for x in o if x['plan'])" "--objective overrides the job's"
run "$sailor" plan "$tmp/frontier.json" --json -o "$tmp/f.h5"
json "all(x['frontier'][0]['iteration_time_s'] == x['iteration_time_s'] for x in o if x['plan'])" "frontier: the fastest is the row's plan"
json "all(p['iteration_time_s'] < q['iteration_time_s'] and p['cost_usd_per_iteration'] > q['cost_usd_per_iteration']
          for x in o if x['plan'] for p, q in zip(x['frontier'], x['frontier'][1:]))" "frontier: no point dominates another"

run "$sailor" plan "$tmp/none.json" -o "$tmp/none.h5"
expect 3 "no row has a plan"
run "$sailor" report "$tmp/none.h5"
expect 0 "the file of a search without plans can be read"
run "$sailor" plan "$tmp/job.json" -o "$tmp/no/such/dir.h5"
expect 1 "the directory does not exist"
run "$sailor" plan "$tmp/job.json" -o "$tmp"
expect 1 "the output is a directory"
run bash -c 'ulimit -f 8; exec "$0" plan "$1" -o "$2" -f --json' "$sailor" "$tmp/job.json" "$tmp/a.h5"
[ "$rc" = 1 ] && [ "$(wc -l <"$tmp/err")" = 1 ]
ok $? "no room for the file: one line, status 1"
run "$sailor" report "$tmp/a.h5"
expect 0 "and the old file is untouched"
[ "$(find "$tmp" -name '*a.h5*' | wc -l)" = 1 ]
ok $? "and no temporary file is left"
run "$sailor" plan "$tmp/job.json" -o /dev/full --json
[ "$rc" = 1 ] && grep -q 'No space left' "$tmp/err"
ok $? "a full device"

# options that a planner does not support are refused, naming the planners that do
refused() { # option and value, planner, expected
    # shellcheck disable=SC2086 # an option with its value
    run "$sailor" plan "$tmp/job.json" --planner "$2" $1
    [ "$rc" = 2 ] && grep -qF -- "not for the planner $2; expected --planner $3" "$tmp/err"
    ok $? "$1 with --planner $2"
}
refused "--states 9" exact "aceso, metis or dtfm"
refused "--states 9" amp "aceso, metis or dtfm"
refused "--top 2" metis exact
refused "--gap 0" amp exact
refused "--resume x.h5" sailor exact
refused --corrected exact "varuna, piper, "
run "$sailor" plan "$tmp/frontier.json" --planner amp
expect 2 "a frontier of a published planner"
sed 's/"objective"/"exact_batch": true, &/' "$tmp/job.json" >"$tmp/even.json"
run "$sailor" plan "$tmp/even.json" --planner amp
has err "/exact_batch: the planner amp cannot honour it" "exact_batch, of a published planner"
sed 's/"count": 4}/"count": 4, "gpus_per_node": 2}/' "$tmp/job.json" >"$tmp/nodes.json"
run "$sailor" plan "$tmp/nodes.json" -q --planner amp
has err "/pools/0: node sizes other than those of site gcp" "nodes of another size, of a published planner"
run "$sailor" plan "$tmp/job.json" --planner amp --time-limit 0 -o "$tmp/amp.h5"
[ "$rc" = 75 ] && grep -q 'the planner amp cannot continue it' "$tmp/err"
ok $? "a published planner that was stopped starts anew"

# stopping and resuming
run "$sailor" plan "$tmp/job.json" --top 3 --time-limit 0 -o "$tmp/s.h5" --json
[ "$rc" = 75 ]
ok $? "--time-limit 0: status 75"
has err "--resume $tmp/s.h5" "the message says how to go on"
run "$sailor" report "$tmp/s.h5"
has out INCOMPLETE "report says that the file is incomplete"
run "$sailor" plan "$tmp/job.json" --top 2 --resume "$tmp/s.h5"
expect 2 "--resume with another --top"
has err "--top 3" "names the option"
run "$sailor" plan "$tmp/job.json" --top 3 --estimator sailor --resume "$tmp/s.h5"
has err "--estimator native" "--resume with another estimator names it"
sed 's/"global_batch_size": 32/"global_batch_size": 128/' "$tmp/job.json" >"$tmp/other.json"
run "$sailor" plan "$tmp/other.json" --top 3 --resume "$tmp/s.h5"
expect 2 "--resume with another job"
has err "/job/global_batch_size is 32 there and 128 here" "names the difference"
run "$sailor" plan "$tmp/job.json" --top 3 --json --resume "$tmp/s.h5" --threads 2
expect 0 "--resume goes on, with other threads"
steady <"$tmp/out" | "$python" -c 'import json,sys
want=[json.loads(l) for l in open(sys.argv[1])]; got=[json.loads(l) for l in sys.stdin]
for x in want+got: x.pop("plans_evaluated")
sys.exit(want != got)' "$tmp/want"
ok $? "to the same answer"
run "$sailor" report "$tmp/s.h5" --json
json "len(o) == 3" "and the file is complete"

run "$sailor" plan "$tmp/job.json" --top 3 --time-limit 0 -o "$tmp/own.h5" --objective cost --gap 0.5
[ "$rc" = 75 ] && grep -q "sailor plan --resume $tmp/own.h5 continues" "$tmp/err"
ok $? "a stopped search says how to go on, without a job"
run "$sailor" plan --resume "$tmp/own.h5" --json
[ "$rc" = 0 ] && ! grep -q 'resume' "$tmp/err"
ok $? "--resume alone: the job and the options are in the file"
json "all(x['lower_bound'] <= x['cost_usd_per_iteration'] and len(x['top']) == 3 for x in o if x['plan'])" \
    "objective and --top are those of the file"
run "$sailor" plan --resume "$tmp/own.h5" --gap 0.1
expect 2 "an option that is given has to be the same"
run "$sailor" plan --resume
expect 2 "--resume without a file"

"$sailor" plan inputs/fig10.json --objective frontier -o "$tmp/k.h5" >/dev/null 2>"$tmp/err" &
pid=$!
sleep 1.5
kill -USR1 $pid
wait $pid
rc=$?
: >"$tmp/out"
[ "$rc" = 75 ]
ok $? "SIGUSR1: status 75"
run "$sailor" report "$tmp/k.h5"
expect 0 "and a file that can be read"

run "$sailor" plan "$tmp/job.json" --resume "$tmp/none.json"
expect 2 "--resume of something else"
head -c 3000 "$tmp/a.h5" >"$tmp/cut.h5"
run "$sailor" plan "$tmp/job.json" --resume "$tmp/cut.h5"
expect 2 "--resume of half a file"
# ties: among equally good plans, the one that is better by the other criterion
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
site = json.load(open("inputs/sites/gcp.json"))
job = json.load(open(f"{tmp}/job.json"))
near, far = site["zones"][:2]
links = [r for r in site["links"]["rows"] if r[0] == r[3] == near]
links += [[far if x == near else x for x in r] for r in links]
prices = {z: dict(site["usd_per_gpu_hour"][near]) for z in site["zones"]}
prices[near]["A100-40"], prices[far]["A100-40"] = 5, 2
job["pools"] = [{"gpus": [{"zone": z, "gpu": "A100-40", "count": 4} for z in (near, far)]}]
twins = dict(site, links={"fits": site["links"]["fits"], "rows": links})
free = dict(twins, usd_per_gpu_hour={z: {g: 0 for g in p} for z, p in prices.items()})
priced = dict(twins, usd_per_gpu_hour=prices)
for name, s, objective in ("twins", priced, "throughput"), ("free", free, "cost"), ("fast", free, "throughput"):
    json.dump(s, open(f"{tmp}/{name}-site.json", "w"))
    json.dump(dict(job, site=f"./{name}-site.json", objective=objective), open(f"{tmp}/{name}.json", "w"))
EOF
run "$sailor" plan "$tmp/twins.json" --json -q -o "$tmp/twins.h5"
far=$("$python" -c 'import json; print(json.load(open("inputs/sites/gcp.json"))["zones"][1])')
json "o[0]['gap'] == 0 and {r['zone'] for s in o[0]['plan']['pipelines'][0]['stages'] for r in s['replicas']} == {'$far'}" \
    "two zones that are equally fast: the cheaper one"
steady <"$tmp/out" >"$tmp/twins.want"
run "$sailor" report "$tmp/twins.h5" --json
steady <"$tmp/out" | cmp -s - "$tmp/twins.want"
ok $? "and report tells the same"
run "$sailor" plan "$tmp/fast.json" --json -q
fastest=$("$python" -c "import json; print(json.load(open('$tmp/out'))['iteration_time_s'])")
run "$sailor" plan "$tmp/free.json" --json -q
json "o[0]['cost_usd_per_iteration'] == 0 and o[0]['iteration_time_s'] == $fastest" "where everything costs nothing, the fastest"

# a range of counts
cat >"$tmp/range.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 32, "pools": [{"gpus": [
 {"zone": "us-central1-a", "gpu": "A100-40", "count": [0, 4, 2]}, {"zone": "us-central1-b", "gpu": "A100-40", "count": [0, 1, 1]}]}]}
EOF
run "$sailor" plan "$tmp/range.json" --json -q -o "$tmp/range.h5"
json "[sum(g['count'] for g in x['pool']) for x in o] == [0, 1, 2, 3, 4, 5]" "a range of counts: a row for each"
json "[x['status'] for x in o] == ['infeasible'] + 5 * ['optimal']" "each of them answered"
steady <"$tmp/out" >"$tmp/range.want"
run "$sailor" report "$tmp/range.h5" --json
steady <"$tmp/out" | cmp -s - "$tmp/range.want"
ok $? "report has the same rows"
run "$sailor" report "$tmp/range.h5"
has out "row 3: 2 A100-40 us-central1-a + 1 A100-40 us-central1-b" "and their counts in the headings"

# files of another kind, and GPUs that do not exist
run "$sailor" export "$tmp/a.h5" -o "$tmp/plan.json"
run "$sailor" plan "$tmp/plan.json"
[ "$rc" = 2 ] && grep -q '/format: a plan; expected a job' "$tmp/err"
ok $? "a plan in place of a job is called a plan"
{ echo '['; cat "$tmp/plan.json"; echo ']'; } >"$tmp/plans.json"
run "$sailor" plan "$tmp/plans.json"
has err "/0: a plan; expected a job" "a list of plans, too"
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
site = json.load(open("inputs/sites/gcp.json"))
job = json.load(open(f"{tmp}/job.json"))
gpus = job["pools"][0]["gpus"][0]
def write(name, site, job):
    json.dump(site, open(f"{tmp}/{name}-site.json", "w"))
    json.dump(dict(job, site=f"./{name}-site.json"), open(f"{tmp}/{name}.json", "w"))
pools = lambda *n: [{"gpus": [{"zone": z, "gpu": "A100-40", "count": k} for z, k in row]} for row in n]
job["pools"] = pools([(gpus["zone"], 4)])
for have in 3, 4:
    write(f"have{have}", dict(site, available={gpus["zone"]: {"A100-40": have}}), job)
job["pools"] = pools([(gpus["zone"], 3)])
job["global_batch_size"] = 32
job["pin"] = {"data_parallel": 3, "micro_batch_size": 1}
write("odd", site, job)
del job["pin"]
write("half", site, dict(job, dtype="bf16"))
job["pools"] = pools([(z, 1) for z in site["zones"][:2]])
within = [r for r in site["links"]["rows"] if r[0] == r[3]]
write("apart", dict(site, links={"fits": site["links"]["fits"], "rows": within}), job)
job["pools"] = pools([(gpus["zone"], 2)])
write("egress", {k: v for k, v in site.items() if k != "egress_usd_per_GB"}, job)
lone = [r for r in site["links"]["rows"] if (r[0], r[1]) != (r[3], r[4])]
write("lone", dict(site, links={"fits": site["links"]["fits"], "rows": lone}), job)
for row in site["links"]["rows"]: # ESC [ 2 J in a zone's name
    for i in 0, 3: row[i] = row[i].replace(gpus["zone"], "z\x1b[2J")
text = json.dumps(site).replace(gpus["zone"], "z\\u001b[2J")
job["pools"] = pools([("z\x1b[2J", 2)])
write("escape", json.loads(text), job)
EOF
run "$sailor" plan "$tmp/have3.json"
[ "$rc" = 2 ] && grep -qF '/pools/0: 4 A100-40 in zone' "$tmp/err" && grep -qF 'at most the 3 that site' "$tmp/err"
ok $? "a pool of more GPUs than the site has is refused"
run "$sailor" plan "$tmp/have4.json" -o "$tmp/have4.h5"
"$sailor" export "$tmp/have4.h5" -o "$tmp/have4-plan.json" && run "$sailor" simulate "$tmp/have4-plan.json"
expect 0 "and what plan takes, simulate takes"

# remarks
remarks() { # file, lines on stderr, pattern
    run "$sailor" plan "$tmp/$1.json" -q
    [ "$rc" = 0 ] && [ "$(wc -l <"$tmp/err")" = "$2" ] && { [ "$2" = 0 ] || grep -q "$3" "$tmp/err"; }
    ok $? "$1: $2 remarks"
}
remarks job 0
remarks odd 1 'row 0: the batch of 32 is not a multiple of the 3 sequences of a round'
remarks half 1 'the profile of opt-350m on A100-40 has no "dtype": its times are taken to be measured in bf16'
remarks apart 1 'has no link between A100-40 in .* and A100-40 in .*: no plan uses both'
remarks lone 1 'A100-40@.* has no link to itself: no data or pipeline parallelism there'
remarks egress 1 'has no egress price from zone .* to .*, without which no cost is known'
cat >"$tmp/gaps.py" <<'EOF'
"""Rows whose gap is above the one asked for: each of them has its line, and no other."""
import json, re, sys
rows, lines, gap = [json.loads(l) for l in open(sys.argv[1])], open(sys.argv[2]).read(), float(sys.argv[3])
said = re.findall(r"row (\d+): a better plan may exist: the gap is (.*) %, above the (.*) % asked for", lines)
assert {int(r) for r, _, _ in said} == {x["row"] for x in rows if x.get("plan") and x["gap"] > gap}, (said, [x["gap"] for x in rows])
assert all(g == "%.3g" % (100 * x["gap"]) and float(asked) == 100 * gap for r, g, asked in said for x in rows if x["row"] == int(r))
print(len(said))
EOF
gaps() { "$python" "$tmp/gaps.py" "$tmp/out" "$tmp/err" "$1" >"$tmp/lines"; }
run "$sailor" plan fig10 --estimator sailor --gap 0.001 -q --json # finished: its proof was given up at a limit of effort, not of time
gaps 0.001 && [ "$rc" = 0 ]
ok $? "a gap above the one asked for is worth a line, a smaller one is not, and the search is done: status 0"
if [ "$(cat "$tmp/lines")" = 0 ]; then
    n=$((n + 1)); echo "ok $n - there is such a row # SKIP all rows of fig10 are proven within 0.1 %"
fi
"$python" - "$tmp" <<'EOF'
import json, sys
zones = json.load(open("inputs/sites/gcp.json"))["zones"][:5]
pool = {"gpus": [{"zone": z, "gpu": g, "count": 8} for z in zones for g in ("A100-40", "V100-16")]}
json.dump({"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 64, "pools": [pool]},
          open(f"{sys.argv[1]}/wide.json", "w"))
EOF
for command in plan whatif replan; do
    by=(--time-limit 3); [ $command = whatif ] && by+=(--add us-west1-b/V100-16:-1)
    run "$sailor" $command "$tmp/wide.json" --gap 0 -q --json "${by[@]}"
    gaps 0 && { [ "$rc" = 75 ] || [ "$(cat "$tmp/lines")" = 0 ]; }
    ok $? "$command: where time ended the search, too, with status 75"
done
run "$sailor" whatif "$tmp/odd.json" -q --estimator sailor
has err "row 0: the batch of 32 is not a multiple of the 3 sequences of a round" "and whatif says of a batch what plan says"
run "$sailor" plan "$tmp/escape.json"
[ "$rc" = 0 ] && ! grep -q $'\x1b' "$tmp/out" && grep -qF 'z\x1b[2J' "$tmp/out"
ok $? "control characters of a name do not reach the terminal"
finish
