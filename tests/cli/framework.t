#!/usr/bin/env bash
# TAP. The framework that a job or plan names, from the job to results, exports and further searches.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

site_of "$tmp/site.json" H100-80 80
small_config "$tmp/config.json"
"$sailor" model "$tmp/config.json" -o "$tmp/qwen.json" --sequence 4096 >"$tmp/out"
# ask FILE KEYS: a job of two GPUs
ask() {
    cat >"$1" <<EOF
{"format": "sailor-job/1", "model": "./qwen.json", "site": "./site.json", "global_batch_size": 32, "dtype": "bf16", $2
 "pin": {"stages": 1, "tp": {"H100-80": 1}, "micro_batch_size": 1},
 "pools": [{"gpus": [{"zone": "a", "gpu": "H100-80", "count": 2}]}]}
EOF
}
plan() { run "$sailor" plan "$tmp/job.json" --json --quiet "$@"; }
core='"framework": "megatron-core",'
peak() { "$python" -c "import json; print('%.0f' % json.loads(open('$tmp/out').readline())['peak_memory_bytes'])"; }
time_of() { "$python" -c "import json; print(json.loads(open('$tmp/out').readline())['iteration_time_s'])"; }
same() {
    "$python" -c "
import json, sys
a, b = (json.loads(open(f).readline()) for f in sys.argv[1:])
for x in (a, b): x.pop('search_s')
sys.exit(a != b)" "$tmp/$1" "$tmp/out"
}

# ---- where nothing is known of a GPU type

mkdir -p "$tmp/in"
cp -R inputs/* "$tmp/in"
sed -i 's/"A100-40", "NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"/"A100-39"/' "$tmp/in/devices.json"
cat >"$tmp/old.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 32, "pin": {"micro_batch_size": 2},
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 4}, {"zone": "us-central1-a", "gpu": "V100-16", "count": 4}]}]}
EOF
left_out() { grep -c "^sailor: no data sheet of A100-40: what a framework adds to measured layers is left out there$" "$tmp/err"; }
run "$sailor" plan "$tmp/old.json" --inputs "$tmp/in" --json --quiet -o "$tmp/old.h5"
[ "$rc" = 0 ] && [ "$(left_out)" = 1 ]
ok $? "a type without a data sheet is named"
json "o[0]['no_data_sheet'] == ['A100-40']" "and listed"
run "$sailor" report "$tmp/old.h5" --json
json "o[0]['no_data_sheet'] == ['A100-40']" "in a report, too"
run "$sailor" export "$tmp/old.h5" -o "$tmp/old-plan.json"
run "$sailor" simulate "$tmp/old-plan.json" --inputs "$tmp/in" --json
json "(o[0]['no_data_sheet'] == ['A100-40']) == ('A100-40' in o[0]['profiles']) == ($(left_out) == 1)" "and where a plan uses it"
run "$sailor" simulate "$tmp/old-plan.json" --inputs "$tmp/in" --json --estimator sailor
json "'no_data_sheet' not in o[0] and $(left_out) == 0" "not by an estimator that adds nothing anywhere"
run "$sailor" plan "$tmp/old.json" --json --quiet
json "o[0]['no_data_sheet'] == [] and $(left_out) == 0" "nor where there is one"

# ---- what it keeps per parameter

parameters=$("$python" -c "import json; print(round(sum(json.load(open('$tmp/qwen.json'))['memory']['tp']['1']['params'])))")
# two replicas; with zero they share the optimizer's state and the master weights
while read -r name optimizer zero whole shared; do
    ask "$tmp/job.json" "\"optimizer\": \"$optimizer\", \"zero\": $zero,"
    plan
    usual=$(peak)
    ask "$tmp/job.json" "\"framework\": \"$name\", \"optimizer\": \"$optimizer\", \"zero\": $zero,"
    plan
    before=24 part=12 kept=$((whole + shared))
    [ "$optimizer" = sgd ] && before=20 part=8
    [ "$zero" = 1 ] && before=$((before - part / 2)) kept=$((whole + shared / 2))
    [ $(($(peak) - usual)) = $(((kept - before) * parameters)) ]
    ok $? "$name, $optimizer, zero $zero: $kept bytes per parameter"
done <<'EOF'
megatron-core adam 0 6 12
megatron-core adam 1 6 12
megatron-core sgd 0 6 8
megatron-core sgd 1 6 8
megatron-deepspeed adam 0 4 12
sailor-train adam 0 8 8
EOF
ask "$tmp/job.json" ''
plan
cp "$tmp/out" "$tmp/usual"
ask "$tmp/job.json" '"framework": "published",'
plan
same usual
ok $? "\"published\" is the default"

# ---- where it goes

ask "$tmp/job.json" "$core"
plan -o "$tmp/a.h5"
json "o[0]['plan']['framework'] == 'megatron-core'" "the plan says it"
cp "$tmp/out" "$tmp/planned"
run "$sailor" report "$tmp/a.h5" --json
cmp -s "$tmp/planned" "$tmp/out"
ok $? "results keep it"
run "$sailor" report "$tmp/a.h5"
tr -s ' \n' ' ' <"$tmp/out" | grep -qF "framework megatron-core"
ok $? "the report says it"
run "$sailor" report "$tmp/a.h5" --html "$tmp/a.html"
grep -qF "framework megatron-core" "$tmp/a.html"
ok $? "so does the page"
if [ -n "$mpiexec" ]; then
    run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" --json --quiet
    same planned
    ok $? "two ranks know it"
fi
rm "$tmp/job.json" # what was stored is enough
run "$sailor" plan --resume "$tmp/a.h5" --json --quiet
cmp -s "$tmp/planned" "$tmp/out"
ok $? "a resumed search has it from the results"
run "$sailor" export "$tmp/a.h5" -o "$tmp/plan.json"
run "$sailor" simulate "$tmp/plan.json" --json
json "o[0]['peak_memory_bytes'] == json.loads(open('$tmp/planned').readline())['peak_memory_bytes']" \
    "simulate estimates the exported plan as the search did"
run "$sailor" simulate "$tmp/plan.json" --estimator events --json
expect 0 "events takes it"
run "$sailor" export "$tmp/plan.json"
has out '"megatron-core"' "from plan file to plan file it stays"
run "$sailor" export "$tmp/plan.json" --format megatron
expect 0 "other formats take such a plan"
ask "$tmp/job.json" "$core"
run "$sailor" plan "$tmp/job.json" --json --quiet --warm "$tmp/a.h5"
json "o[0]['plan'] == json.loads(open('$tmp/planned').readline())['plan']" "plan --warm"
run "$sailor" whatif "$tmp/job.json" --add H100-80:2 --json
json "len(o) > 1 and all(r['plan']['framework'] == 'megatron-core' for r in o if r.get('plan'))" "whatif"
run "$sailor" replan "$tmp/job.json" --json
expect 0 "replan"
run "$sailor" plan --model "$tmp/qwen.json" --site "$tmp/site.json" --gpus a/H100-80:2 --batch 32 --dtype bf16 \
    --framework megatron-core --json -q
json "o[0]['plan']['framework'] == 'megatron-core'" "on the command line"

# without a profile, layers take the time of its kernels
ask "$tmp/job.json" '"framework": "megatron",'
plan
old=$(time_of)
ask "$tmp/job.json" "$core"
plan
[ "$old" != "$(time_of)" ]
ok $? "estimated layer times are those of the framework"

sed -i 's/"global_batch_size": 32/"global_batch_size": 33/' "$tmp/job.json"
replicas="o[0]['plan']['pipelines'][0]['stages'][0]['replicas'][0]['count']"
plan
json "$replicas == 1" "batches that do not divide are left out, as its trainer would"
sed -i 's/"dtype"/"exact_batch": false, "dtype"/' "$tmp/job.json"
plan
json "$replicas == 2" "unless the job says otherwise"

# the trainer runs such a plan
cat >"$tmp/tiny.json" <<'EOF'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 2, "micro_batch_size": 1,
 "framework": "sailor-train",
 "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local", "count": 1}]}]}]}
EOF
run "$train" run "$tmp/tiny.json" --steps 1 --warmup 0 -o "$tmp/tiny.h5" --json
expect 0 "sailor-train runs it"

# ---- what is wrong

bad() {
    ask "$tmp/bad.json" "$1"
    run "$sailor" plan "$tmp/bad.json"
    expect 2 "$2"
    has err "$3" "is refused"
}
bad '"framework": "megatron-cor",' "an unknown framework" 'bad.json: /framework: no framework "megatron-cor"'
has err "expected one of megatron-deepspeed, " "the others are listed"
has err "did you mean megatron-core?" "with the nearest name"
bad '"framework": 3,' "a number" "bad.json: /framework: 3; expected a string"
ask "$tmp/bad.json" "$core"
sed -i 's/bf16/fp32/' "$tmp/bad.json"
run "$sailor" plan "$tmp/bad.json"
expect 2 "parameters of 2 bytes in fp32"
has err "bad.json: /framework: megatron-core keeps 2 bytes per parameter" "are refused"
sed 's/megatron-core/megatron-cor/' "$tmp/plan.json" >"$tmp/bad.json"
run "$sailor" simulate "$tmp/bad.json"
expect 2 "an unknown framework of a plan"
run "$train" run "$tmp/bad.json"
expect 2 "is one for the trainer, too"
run "$sailor" plan --model "$tmp/qwen.json" --gpus H100-80:2 --batch 32 --framework megatro
expect 2 "or on the command line"
has err "error: --framework: no framework" "where it is an error of the option"
ask "$tmp/bad.json" "$core"
sed -i '/"pin"/d' "$tmp/bad.json"
run "$sailor" plan "$tmp/bad.json" --planner varuna
expect 2 "a published planner"
has err "/framework: the planner varuna cannot honour exact_batch" "is told why"
finish
