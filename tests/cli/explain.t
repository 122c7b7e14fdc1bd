#!/usr/bin/env bash
# TAP. Why this time: `sailor simulate --explain`, and its short form in `plan` and `report`.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
cat >"$tmp/mixed.json" <<'EOF'
{"format": "sailor-plan/1", "name": "mixed", "model": "opt-350m", "site": "gcp", "global_batch_size": 64, "micro_batch_size": 1,
 "pipelines": [{"stages": [
  {"layers": [0, 10], "replicas": [{"gpu": "A100-40", "tp": 1, "zone": "us-central1-a", "count": 2}]},
  {"layers": [10, 26], "replicas": [{"gpu": "A100-40", "tp": 1, "zone": "us-central1-a", "count": 1},
                                    {"gpu": "V100-16", "tp": 1, "zone": "us-central1-a", "count": 1}]}]}]}
EOF
cat >"$tmp/llama.json" <<'EOF'
{"format": "sailor-plan/1", "name": "llama", "model": "llama-3.1-8b", "site": "gcp", "global_batch_size": 16, "micro_batch_size": 1,
 "dtype": "bf16",
 "pipelines": [{"stages": [{"layers": [0, 34], "replicas": [{"gpu": "A100-80", "tp": 4, "zone": "us-central1-a", "count": 1}]}]}]}
EOF
job "$tmp/job.json" throughput
narrow() { [ "$(awk '{ if (length($0) > m) m = length($0) } END { print m }' "$tmp/$1")" -le 100 ]; }

for by in native sailor events; do
    run "$sailor" simulate "$tmp/mixed.json" --explain --json --estimator $by
    expect 0 "--explain by $by"
    json "abs(sum(o[0]['explain'][k] for k in ('compute_s', 'transfer_s', 'bubble_s', 'sync_s', 'update_s'))
              - o[0]['iteration_time_s']) < 1e-9" "its parts make up the iteration"
    run "$sailor" simulate "$tmp/mixed.json" --explain --estimator $by
    [ $by = native ] && turns=1 || turns=0
    [ "$(grep -c '^slowest stage 1: .* ms per microbatch (turn [0-9.]*), .* % above the next; bubble [0-9.]* %$' "$tmp/out")" = "$turns" ]
    ok $? "native says the turn of the slowest stage"
    run "$sailor" simulate "$tmp/mixed.json" --explain --json --estimator $by
    json "o[0]['slowest_stage'] == 1 and 0 < o[0]['bubble_share'] < 0.1" "the slowest stage"
    json "o[0]['explain']['helps'][0]['what'] == 'layers on V100-16' and 0.07 < o[0]['explain']['helps'][0]['gain'] < 0.0910" \
        "the GPUs that all wait for help most"
    json "all(x['gain'] >= y['gain'] for x, y in zip(o[0]['explain']['helps'], o[0]['explain']['helps'][1:]))" "in order"
done
run "$sailor" simulate "$tmp/mixed.json" --explain --json
json "abs(sum(s['critical_path_s'] for s in o[0]['explain']['stages']) + o[0]['explain']['sync_s'] + o[0]['explain']['update_s']
          - o[0]['iteration_time_s']) < 1e-9" "the critical path is the iteration"
json "[r['gpu'] for r in o[0]['explain']['stages'][1]['replicas']] == ['A100-40', 'V100-16'] and
      o[0]['explain']['stages'][1]['replicas'][1]['compute_s'] == o[0]['pipelines'][0]['stages'][1]['compute_s']" \
    "the slowest replicas of a stage"
json "abs(o[0]['tokens_per_s'] * o[0]['iteration_time_s'] - 64 * 2048) < 1e-6 and o[0]['sequences_per_iteration'] == 64" "tokens"
# six operations per weight and token, 12 s^2 h of attention per block; tf32 of two A100, fp32 of a V100, as it has no tf32
json "abs(o[0]['mfu'] * o[0]['iteration_time_s'] * (3 * 156e12 + 15.7e12)
          / (64 * (24 * (6 * 2048 * 12 * 1024**2 + 12 * 2048**2 * 1024) + 6 * 2048 * 1024 * 50272)) - 1) < 1e-9" "MFU"
json "o[0]['explain']['limits'][0]['binds'] and 'microbatch 2' in o[0]['explain']['limits'][0]['because']" "memory binds"
cp "$tmp/out" "$tmp/all"
run "$sailor" simulate "$tmp/mixed.json" --json
"$python" - "$tmp/all" "$tmp/out" <<'EOF'
import json, sys
more, less = (json.load(open(f)) for f in sys.argv[1:])
assert all(more[k] == v for k, v in less.items())
EOF
ok $? "what was there without --explain is the same with it"
run "$sailor" simulate "$tmp/mixed.json" --explain
narrow out
ok $? "tables of at most 100 columns"
has out "microbatch 2 would not fit" "they say what binds"
has out "64 sequences, the batch" "and what the batch is made of"
grep -Eq '^V100-16 +1 +us-central1-a +1 +416.5 +100.0$' "$tmp/out"
ok $? "and which GPUs of a stage the others wait for"
run "$sailor" simulate "$tmp/mixed.json" "$tmp/mixed.json" --explain
[ "$(grep -c '^mixed$' "$tmp/out")" = 2 ]
ok $? "several plans, each under its name"
run "$sailor" simulate "$tmp/mixed.json" --explain --estimator metis
expect 2 "an estimator without stages"
has err "expected --estimator native, sailor or events" "it says which have them"
sed 's/"count": 2}/"count": 4}/g; s/"train_tokens"/"max_usd_per_iteration": 0.0552, &/' "$tmp/job.json" >"$tmp/wide.json"
run "$sailor" simulate "$tmp/mixed.json" --explain --job "$tmp/wide.json" --row 2 --json
json "o[0]['gpus_used'] == 4 and o[0]['gpus_offered'] == 8" "GPUs used of those of the row"
json "[(x['unit'], x['binds']) for x in o[0]['explain']['limits'][1:]] == [('GPUs', False), ('GPUs', False), ('USD', True)]" \
    "its GPUs do not limit the plan, its money does"

run "$sailor" simulate "$tmp/llama.json" --explain --json
json "0.2 < o[0]['mfu'] < 0.7" "MFU of a model that says what it is made of"
cp -R inputs/models inputs/sites inputs/profiles inputs/frameworks.json "$tmp" && run "$sailor" simulate "$tmp/mixed.json" --explain \
    --inputs "$tmp"
[ "$rc" = 0 ] && grep -q 'MFU unknown' "$tmp/out" && grep -q 'sailor: no MFU: .*devices.json' "$tmp/err"
ok $? "without data sheets the MFU is unknown, and it says why"

# the short form
run "$sailor" plan "$tmp/job.json" -o "$tmp/r.h5"
expect 0 "plan"
narrow out
ok $? "lines of at most 100 columns"
has out "rows side by side" "rows in one table"
[ "$(grep -c '^slowest stage\|^one stage' "$tmp/out")" = 2 ] && [ "$(grep -c 'tokens/s, .* per GPU; MFU .* of 4 GPUs$' "$tmp/out")" = 2 ]
ok $? "pace and rate of each row"
grep -q '^binding: .*all GPUs are used$' "$tmp/out"
ok $? "and what the plan is up against"
cp "$tmp/out" "$tmp/want"
run "$sailor" report "$tmp/r.h5"
sed "1,/^$/d" "$tmp/out" | diff - "$tmp/want" >"$tmp/why"
ok $? "report prints the same"
run "$sailor" report "$tmp/r.h5" --json
cp "$tmp/out" "$tmp/stored"
"$sailor" export "$tmp/r.h5" -o "$tmp/best.json" && run "$sailor" simulate "$tmp/best.json" --explain --json
"$python" - "$tmp/stored" "$tmp/out" <<'EOF'
import json, sys
stored, now = (json.loads(open(f).readline()) for f in sys.argv[1:])
for k in ("tokens_per_s", "tokens_per_s_per_gpu", "mfu", "gpus_used", "slowest_stage", "bubble_share", "sequences_per_iteration"):
    assert stored[k] == now[k], (k, stored[k], now[k])
EOF
ok $? "and simulate --explain has the same numbers"
finish
