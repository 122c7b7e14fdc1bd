#!/usr/bin/env bash
# TAP. `sailor simulate` and `sailor validate`.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
plan() { # count, tp
    cat <<EOF
{"format": "sailor-plan/1", "name": "p$1", "model": "opt-350m", "site": "gcp", "global_batch_size": 64, "micro_batch_size": 1,
 "pipelines": [{"stages": [
  {"layers": [0, 10], "replicas": [{"gpu": "A100-40", "tp": $2, "zone": "us-central1-a", "count": $1}]},
  {"layers": [10, 26], "replicas": [{"gpu": "A100-40", "tp": $2, "zone": "us-central1-a", "count": $1}]}]}]}
EOF
}
plan 2 1 >"$tmp/p2.json"
plan 8 2 >"$tmp/p8.json"
{ echo '{"plans": ['; plan 1 1; echo ,; plan 4 1; echo ']}'; } >"$tmp/two.json"
{ echo '['; plan 1 1; echo ']'; } >"$tmp/list.json"
job "$tmp/job.json" throughput

run "$sailor" simulate "$tmp/p2.json" --json
expect 0 "one plan"
json "len(o) == 1 and {'iteration_time_s', 'pipeline_time_s', 'sync_time_s', 'throughput_per_s', 'compute_usd', 'egress_usd',
                       'cost_usd_per_iteration', 'fits', 'peak_memory_bytes', 'pipelines'} <= set(o[0])" "all keys of the contract"
json "all({'compute_s','comm_s','sync_s','memory_bytes'} <= set(s) for s in o[0]['pipelines'][0]['stages'])" "and of its stages"
cp "$tmp/out" "$tmp/p2.out"
run "$sailor" simulate "$tmp/two.json" "$tmp/p2.json" "$tmp/list.json" --json
json "len(o) == 4" "several files and forms: one object per plan"
sed -n 3p "$tmp/out" | cmp -s - "$tmp/p2.out"
ok $? "in order"
run "$sailor" simulate "$tmp/p2.json" --estimator sailor --json
! cmp -s "$tmp/out" "$tmp/p2.out"
ok $? "--estimator changes the answer"
run "$sailor" simulate "$tmp/p2.json" --estimator native --json
cmp -s "$tmp/out" "$tmp/p2.out"
ok $? "native is the default"
run "$sailor" simulate "$tmp/p2.json"
has out "stage  layers" "the table shows stages"
run "$sailor" simulate "$tmp/two.json" "$tmp/p2.json"
has out p4 "the table of several plans names them"
run "$sailor" simulate "$tmp/p2.json" --job "$tmp/job.json" --row 0
expect 0 "--job: a plan of 4 GPUs in a pool of 4"
run "$sailor" simulate "$tmp/p8.json" --job "$tmp/job.json" --row 0
expect 2 "--job: a plan of 32 GPUs in a pool of 4"
has err us-central1-a "names the zone"
run "$sailor" simulate "$tmp/p2.json" --job "$tmp/job.json" --row 7
expect 2 "--row that the job lacks"
run "$sailor" simulate "$tmp/none.json"
expect 2 "no such file"

run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator sailor --json
expect 0 "validate the 15 published runs"
json "len(o) == 16 and o[15]['runs'] == 15" "15 runs and a summary"
json "abs(o[15]['time_error_mean_percent'] - 8.9) < 0.05 and abs(o[15]['time_error_max_percent'] - 16.1) < 0.05" \
    "time error 8.9 %, at most 16.1 %"
json "abs(o[15]['memory_error_mean_percent'] - 5.9) < 0.05 and abs(o[15]['memory_error_max_percent'] - 8.8) < 0.05" \
    "memory error 5.9 %, at most 8.8 %"
run "$sailor" validate inputs/validation/opt-350m-gh200.json
has out "15 runs, estimator native" "the table ends with the summary"
run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator all --json
expect 0 "validate by all estimators at once"
json "[x['estimator'] for x in o][:3] == ['sailor', 'native', 'varuna'] and len(o) == 10 and all(x['runs'] == 15 for x in o)" \
    "one summary each"
cp "$tmp/out" "$tmp/all"
run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator metis --json
[ "$(tail -n 1 "$tmp/out")" = "$(grep '"metis"' "$tmp/all")" ]
ok $? "the same as that estimator's alone"
run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator all
[ "$(sed -nE 's/ +/ /gp' "$tmp/out" | grep '^native ')" = "native 15 4.1 1.6 17.4 1.4 1.3 3.6" ] && [ "$(wc -l <"$tmp/out")" = 11 ]
ok $? "and as a table"
mkdir -p "$tmp/few/profiles/opt-350m"
cp -R inputs/models inputs/sites "$tmp/few"
cp inputs/profiles/opt-350m/GH-96.json "$tmp/few/profiles/opt-350m/"
run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator all --inputs "$tmp/few"
[ "$rc" = 0 ] && ! grep -q '^flashflex' "$tmp/out" && grep -q '^sailor: flashflex is left out: .*planners/flashflex.json' "$tmp/err"
ok $? "an estimator without its inputs is left out, with the reason"
rm "$tmp/few/profiles/opt-350m/GH-96.json"
run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator all --inputs "$tmp/few"
expect 2 "none that can"
run "$sailor" validate "$tmp/p2.json"
expect 2 "a plan without measurements"
# a stage of two types: its memory is shown beside the type that has it, and what binds is a GPU against its own memory
cat >"$tmp/types.json" <<'EOF'
{"format": "sailor-plan/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 64, "micro_batch_size": 2,
 "pipelines": [{"stages": [{"layers": [0, 26], "replicas": [
   {"gpu": "V100-16", "tp": 4, "zone": "us-central1-a", "count": 1}, {"gpu": "A100-40", "tp": 1, "zone": "us-central1-a", "count": 1}]}]}]}
EOF
run "$sailor" simulate "$tmp/types.json" --explain --json
json "o[0]['fits'] and o[0]['peak_memory_bytes'] == o[0]['pipelines'][0]['stages'][0]['memory_bytes'] > 16 * 2**30 and
      all(x['used'] <= x['of'] for x in o[0]['explain']['limits'] if x['unit'] == 'GiB')" "a GPU of the larger type is the fullest"
run "$sailor" simulate "$tmp/types.json"
grep -qE "V100-16 .* 1079 +16\.00$" "$tmp/out" && grep -qE "A100-40 .* 31\.01 +40\.00$" "$tmp/out"
ok $? "and the table says so"
finish
