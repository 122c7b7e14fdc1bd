#!/usr/bin/env bash
# TAP. Intervals of estimates, `--risk` of plan and simulate, and how many measured runs lie within their intervals.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
job "$tmp/job.json" throughput
cat >"$tmp/mixed.json" <<'EOF'
{"format": "sailor-plan/1", "name": "mixed", "model": "opt-350m", "site": "gcp", "global_batch_size": 64, "micro_batch_size": 1,
 "pipelines": [{"stages": [
  {"layers": [0, 10], "replicas": [{"gpu": "A100-40", "tp": 1, "zone": "us-central1-a", "count": 2}]},
  {"layers": [10, 26], "replicas": [{"gpu": "V100-16", "tp": 1, "zone": "us-central1-a", "count": 2}]}]}]}
EOF
sheet() { # GPU type, degree: a model without a profile
    cat <<EOF
{"format": "sailor-plan/1", "name": "$1", "model": "llama-3.1-8b", "site": "gcp", "global_batch_size": 16, "micro_batch_size": 1,
 "dtype": "bf16", "pipelines": [{"stages": [{"layers": [0, 34], "replicas": [
   {"gpu": "$1", "tp": $2, "zone": "us-central1-a", "count": 1}]}]}]}
EOF
}

# intervals
run "$sailor" simulate "$tmp/mixed.json" --json
expect 0 "an estimate"
# (what the host adds is the same at both ends)
json "1.20 < o[0]['iteration_time_high_s'] / o[0]['iteration_time_s'] <= 1.207 + 1e-9 and
      1.20 < o[0]['iteration_time_s'] / o[0]['iteration_time_low_s'] <= 1.207 + 1e-9" "its interval is that of the estimator"
json "o[0]['peak_memory_low_bytes'] < o[0]['peak_memory_bytes'] < o[0]['peak_memory_high_bytes'] and 'risk' not in o[0]" "so is its peak's"
cp "$tmp/out" "$tmp/expected"
run "$sailor" simulate "$tmp/mixed.json"
has out "9 of 10 such runs take" "the table says it"
run "$sailor" simulate "$tmp/mixed.json" --estimator events --json
json "o[0]['iteration_time_low_s'] < o[0]['iteration_time_s'] < o[0]['iteration_time_high_s']" "of events"
run "$sailor" simulate "$tmp/mixed.json" --estimator metis --json
json "o[0]['iteration_time_low_s'] is None" "not of a published planner's estimator"
sheet A100-80 4 >"$tmp/known.json"
sheet A100-40 4 >"$tmp/other.json"
run "$sailor" simulate "$tmp/known.json" "$tmp/other.json" --json
json "1.2 < o[0]['iteration_time_high_s'] / o[0]['iteration_time_s'] < o[1]['iteration_time_high_s'] / o[1]['iteration_time_s'] < 1.4" \
    "layers from data sheets: wider, and wider still for a type that was not measured"

# a profile with the spread of its measurements
mkdir "$tmp/in" && cp -R inputs/models inputs/sites inputs/profiles inputs/*.json "$tmp/in"
spread() { # of the passes, relative
    "$python" - "$1" "$tmp/in/profiles/opt-350m/V100-16.json" <<'EOF'
import json, sys
p = json.load(open("inputs/profiles/opt-350m/V100-16.json"))
for t in p["times"]:
    for k in "forward", "backward":
        t[k + "_spread_s"] = [float(sys.argv[1]) * x for x in t[k + "_s"]]
json.dump(p, open(sys.argv[2], "w"))
EOF
}
spread 0.2698
run "$sailor" simulate "$tmp/mixed.json" --json --inputs "$tmp/in"
json "1.4 < o[0]['iteration_time_high_s'] / o[0]['iteration_time_s'] < 1.5" "a spread of 0.2 joins 0.124 of the estimator"
spread '-1'
run "$sailor" simulate "$tmp/mixed.json" --inputs "$tmp/in"
expect 2 "a negative spread"
has err "/times/0/forward_spread_s/0" "it says where"
spread 0.2698

# --risk
run "$sailor" simulate "$tmp/mixed.json" --json --risk 0.95
json "o[0]['iteration_time_s'] == o[0]['iteration_time_high_s'] and o[0]['risk'] == 0.95 and
      o[0]['expected_iteration_time_s'] == json.load(open('$tmp/expected'))['iteration_time_s']" "--risk 0.95 is the end of the interval"
json "abs(o[0]['peak_memory_bytes'] / o[0]['peak_memory_high_bytes'] - 1) < 1e-12 and o[0]['fits'] and
      o[0]['peak_memory_bytes'] / json.load(open('$tmp/expected'))['peak_memory_bytes'] > 1.027" "so is the peak"
run "$sailor" simulate "$tmp/mixed.json" --json --risk 0.5
json "abs(o[0]['iteration_time_s'] / o[0]['expected_iteration_time_s'] - 1) < 1e-12" "--risk 0.5 is what is expected"
run "$sailor" simulate "$tmp/mixed.json" --risk 0.4
expect 2 "less than that is no caution"
run "$sailor" simulate "$tmp/mixed.json" --risk 0.9 --estimator metis
has err "--risk: it is not known how far off this estimator is" "--risk of an estimator of which nothing is known"
run "$sailor" plan "$tmp/job.json" --risk 0.95 --json -o "$tmp/r.h5"
expect 0 "plan --risk"
json "all(abs(x['peak_memory_bytes'] / x['peak_memory_high_bytes'] - 1) < 1e-12 for x in o if x['plan'])" "their peaks are ends, too"
json "all(x['iteration_time_s'] == x['iteration_time_high_s'] == x['lower_bound'] and x['risk'] == 0.95 for x in o if x['plan'])" \
    "plans are ranked by the ends of their intervals"
sed -E 's/"search_s": ?[-+.0-9eE]+/"search_s":0/g' "$tmp/out" >"$tmp/want"
"$sailor" export "$tmp/r.h5" -o "$tmp/best.json" && run "$sailor" simulate "$tmp/best.json" --risk 0.95 --json
json "o[0]['iteration_time_s'] == json.loads(open('$tmp/want').readline())['iteration_time_s']" "simulate --risk says the same"
run "$sailor" report "$tmp/r.h5" --json
sed -E 's/"search_s": ?[-+.0-9eE]+/"search_s":0/g' "$tmp/out" | diff - "$tmp/want" >"$tmp/why"
ok $? "and report"
run "$sailor" report "$tmp/r.h5"
has out "planned for 95 % of cases" "in tables, too"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" --risk 0.95 --json -q
sed -E 's/"search_s": ?[-+.0-9eE]+/"search_s":0/g; s/"plans_evaluated": ?[0-9]+/"plans_evaluated":0/g' "$tmp/out" >"$tmp/two"
sed -E 's/"plans_evaluated": ?[0-9]+/"plans_evaluated":0/g' "$tmp/want" | diff - "$tmp/two" >"$tmp/why"
ok $? "two ranks have the same answer"
run "$sailor" plan "$tmp/job.json" --risk 0.95 --time-limit 0 -o "$tmp/s.h5"
run "$sailor" plan "$tmp/job.json" --risk 0.9 --resume "$tmp/s.h5"
has err "--risk 0.95" "--resume with another risk names it"
run "$sailor" plan --resume "$tmp/s.h5" --json
json "[x['iteration_time_s'] for x in o] == [json.loads(l)['iteration_time_s'] for l in open('$tmp/want')]" "--resume alone keeps it"
# 2.13 s are met on average, but not in 95 % of cases
sed 's/"train_tokens"/"min_iterations_per_s": 0.45, &/' "$tmp/job.json" >"$tmp/limit.json"
run "$sailor" plan "$tmp/limit.json" --json
json "o[0]['status'] == 'optimal'" "a limit that is expected to be kept"
run "$sailor" plan "$tmp/limit.json" --json --risk 0.95
expect 3 "--risk holds plans to limits by the ends of their intervals"
# the chosen options are uncertain as well
cat >"$tmp/options.json" <<'EOF'
{"format": "sailor-job/1", "model": "llama-3.1-8b", "site": "gcp", "global_batch_size": 32, "dtype": "bf16", "zero": [0, 1],
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-80", "count": 16}]}]}
EOF
run "$sailor" plan "$tmp/options.json" --risk 0.95 --json -o "$tmp/options.h5"
json "o[0]['plan']['zero'] == 1 and o[0]['iteration_time_s'] == o[0]['iteration_time_high_s'] > 1.2 * o[0]['expected_iteration_time_s']" \
    "--risk of a plan whose options were chosen"
cp "$tmp/out" "$tmp/chosen"
"$sailor" export "$tmp/options.h5" -o "$tmp/zero.json" && run "$sailor" simulate "$tmp/zero.json" --risk 0.95 --json --explain
json "o[0]['iteration_time_s'] == json.load(open('$tmp/chosen'))['iteration_time_s'] and
      0.05 < o[0]['explain']['helps'][0]['gain'] < 0.0910" "and simulate says the same, and what would help"
run "$sailor" plan "$tmp/job.json" --planner metis --risk 0.95
expect 2 "--risk of a published planner"
# if one type is far more uncertain, caution moves work away from it
run "$sailor" plan "$tmp/job.json" --json --inputs "$tmp/in"
cp "$tmp/out" "$tmp/plain"
spread 0.8
run "$sailor" plan "$tmp/job.json" --json --inputs "$tmp/in" --risk 0.99
"$python" - "$tmp/plain" "$tmp/out" <<'EOF'
import json, sys
def share(path): # of the layers, on V100
    stages = [json.loads(l) for l in open(path)][2]["plan"]["pipelines"][0]["stages"]
    return sum(s["layers"][1] - s["layers"][0] for s in stages for r in s["replicas"] if r["gpu"] == "V100-16")
assert share(sys.argv[2]) < share(sys.argv[1]), (share(sys.argv[2]), share(sys.argv[1]))
EOF
ok $? "a doubtful type gets fewer layers"
# other residuals are another question: neither a search nor its answers go on
run "$sailor" plan "$tmp/job.json" --inputs "$tmp/in" --risk 0.95 --json -q -o "$tmp/before.h5"
run "$sailor" plan "$tmp/job.json" --inputs "$tmp/in" --risk 0.95 --json -q --warm "$tmp/before.h5"
json "all(x['plans_evaluated'] == 0 for x in o)" "--warm of the same question has its answers"
sed -i -E 's/"time_percent": ([0-9])/"time_percent": 1\1/' "$tmp/in/residuals.json"
run "$sailor" plan "$tmp/job.json" --inputs "$tmp/in" --risk 0.95 --json -q
cp "$tmp/out" "$tmp/after"
run "$sailor" plan "$tmp/job.json" --inputs "$tmp/in" --risk 0.95 --json -q --warm "$tmp/before.h5"
json "[x['iteration_time_s'] for x in o] == [json.loads(l)['iteration_time_s'] for l in open('$tmp/after')]" \
    "but not with other residuals"
for by in "" "$mpiexec -n 2"; do
    # shellcheck disable=SC2086
    run $by "$sailor" plan --inputs "$tmp/in" -q --resume "$tmp/before.h5"
    expect 2 "--resume with other residuals${by:+, on two ranks}"
    has err "--risk was of another residuals.json" "says so"
done
run "$sailor" plan --inputs "$tmp/in" -q --resume "$tmp/before.h5" --risk 0.9
has err "--risk 0.95" "another --risk is named, though its plans have other times"
rm "$tmp/in/residuals.json"
run "$sailor" simulate "$tmp/mixed.json" --json --inputs "$tmp/in"
[ "$rc" = 0 ] && grep -q 'sailor: no intervals: .*residuals.json' "$tmp/err"
ok $? "without the file there are no intervals, which is said"
run "$sailor" plan "$tmp/job.json" --inputs "$tmp/in" --risk 0.95
expect 2 "and no --risk"

# coverage
for by in native sailor events; do
    run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator $by --json
    json "o[15]['interval_level'] == 0.9 and 0.9 <= o[15]['time_coverage'] <= 1 and 0.9 <= o[15]['memory_coverage'] <= 1 and
          sum(x['iteration_time_low_s'] <= x['measured_iteration_time_s'] <= x['iteration_time_high_s'] for x in o[:15])
          == round(15 * o[15]['time_coverage'])" \
        "$by: nine of ten measured runs lie within their intervals"
done
run "$sailor" validate inputs/validation/opt-350m-gh200.json
has out "14 of 15 times, 14 of 15 peaks lie within their intervals" "the table says how many"
run "$sailor" validate inputs/validation/*.csv --json
json "0.8 < o[-1]['time_coverage'] <= 1 and len(o[-1]['sets']) == 4 and all('time_coverage' in s for s in o[-1]['sets'])" \
    "of runs from data sheets"
"$python" - "$tmp/out" docs/explain.md <<'EOF' 2>"$tmp/why"
import json, sys
files = {"Megatron-LM, A100": "megatron-a100", "SimuMax, B200": "simumax-b200", "DGX H100": "dgxc-h100",
         "vTrain, 64 to 512 A100": "vtrain-a100"}
rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in open(sys.argv[2]) if line.startswith("| ")]
def share(cell): # "29 of 36"
    return int(cell.split()[0]) / int(cell.split()[2]) if cell else None
shown = {files[row[0]]: (share(row[1]), share(row[2])) for row in rows if row[0] in files}
sets = [json.loads(line) for line in open(sys.argv[1])][-1]["sets"]
found = {s["file"].split("/")[-1][:-4]: (s["time_coverage"], s["memory_coverage"]) for s in sets}
assert shown == found, (shown, found)
assert all(memory is None or memory >= 0.9 for _, memory in found.values()), found
EOF
ok $? "docs/explain.md has the same figures"
run "$sailor" validate gpt-neo-2.7b-gh200
want=$(sed -n 's/^| GPT-Neo 2.7B on GH200, .* | \(.* of .*\) | \(.* of .*\) |$/\1 times, \2 peaks/p' docs/explain.md)
has out "$want lie within" "also of GPT-Neo"
finish
