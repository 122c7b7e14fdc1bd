#!/usr/bin/env bash
# TAP. `sailor validate` of tables of measured runs: estimates from data sheets against published measurements.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

# within FILE TIME_MEAN MEMORY_MEAN MEMORY_MAX: limits on the estimate's errors, in percent
within() {
    run "$sailor" validate "inputs/validation/$1" --json
    [ "$rc" = 0 ] && [ ! -s "$tmp/err" ]
    ok $? "validate $1"
    json "all(o[-1]['time_error_mean_percent'] < $2 for _ in '1') and o[-1]['runs'] == len(o) - 1" "$1: time within $2 %"
    [ -z "${3:-}" ] || json \
        "o[-1]['memory_error_mean_percent'] < $3 and o[-1]['memory_error_max_percent'] < $4" \
        "$1: memory within $3 %, at most $4 %"
}
within megatron-a100.csv 5 5 5
within vtrain-a100.csv 7
within dgxc-h100.csv 8
within simumax-b200.csv 6 1.7 2.5
json "all(abs(sum(x['memory'].values()) / x['peak_memory_bytes'] - 1) < 1e-12 for x in o[:-1])" "the categories add up to the peak"

# another model on the machine of the OPT-350M runs, on which nothing was fitted
run "$sailor" validate gpt-neo-2.7b-gh200 --json
expect 0 "validate gpt-neo-2.7b-gh200"
json "o[-1]['runs'] == 11 and o[-1]['time_error_median_percent'] < 6.1 and o[-1]['memory_error_median_percent'] < 1.65" \
    "GPT-Neo: half of the times within 6.1 %, of the peaks within 1.65 %"

# what the pages say of both models
for of in opt-350m-gh200 gpt-neo-2.7b-gh200; do
    for by in sailor native; do
        run "$sailor" validate $of --estimator $by --json
        tail -1 "$tmp/out" >"$tmp/$of.$by"
    done
done
"$python" - "$tmp" 2>"$tmp/why" <<'EOF'
import json, sys
def row(of, by, *which):
    o = json.load(open(f"{sys.argv[1]}/{of}.{by}"))
    return " | ".join(f"{o[f'{what}_error_{x}_percent']:.1f} %" for what in ("time", "memory") for x in which) + " |"
readme, page = open("README.md").read(), open("docs/estimator.md").read()
for of in "opt-350m-gh200", "gpt-neo-2.7b-gh200":
    assert row(of, "native", "mean") + " " + row(of, "sailor", "mean") in readme, (of, "README.md")
    for by in "sailor", "native":
        assert f"| `{by}` | " + row(of, by, "mean", "median", "max") in page, (of, by, "docs/estimator.md")
EOF
ok $? "README.md and docs/estimator.md have the errors of both estimators"

# errors hardly grow over NVIDIA's measurements from 128 to 2,048 GPUs
run "$sailor" validate inputs/validation/dgxc-h100.csv --json
json "[abs(max(t) / min(t) - 1) < 0.03
    for t in [[x['iteration_time_s'] for x in o[:-1] if x['model'] == 'gpt3-175b']]] == [True]" "nor does the estimate"
cp "$tmp/out" "$tmp/alone"
run "$sailor" validate inputs/validation/dgxc-h100.csv inputs/validation/simumax-b200.csv --json
json "o[-1]['runs'] == 31 and [s['runs'] for s in o[-1]['sets']] == [22, 9]
    and o[:22] == [json.loads(l) for l in open('$tmp/alone')][:22]" "several tables, and a summary of each"
run "$sailor" validate inputs/validation/simumax-b200.csv
expect 0 "as a table"
has out "the 5 worst rows" "with the worst rows"

# runs that come with the program have names, from anywhere
cp "$tmp/out" "$tmp/by-path"
program=$(realpath "$sailor")
run env -C "$tmp" "$program" validate simumax-b200
expect 0 "by name"
cmp -s <(grep -v "\.csv" "$tmp/out") <(grep -v "\.csv" "$tmp/by-path")
ok $? "the same answer as by path"
touch "$tmp/simumax-b200"
run env -C "$tmp" "$program" validate simumax-b200
expect 2 "a file of that name goes first"
run "$sailor" validate simumax-b201
expect 2 "a name that is none"
has err "did you mean simumax-b200?" "with the nearest one"

head='gpus,global_batch,micro_batch,hidden,heads,layers,sequence,tp,dp,pp,iteration_ms'
printf '%s\n4,16,4,2048,16,24,1024,1,2,2,410.490577\n' "$head" >"$tmp/v.csv"
run "$sailor" validate "$tmp/v.csv" --json
expect 0 "vTrain's own table"
json "o[-1]['runs'] == 1 and o[-1]['time_error_max_percent'] < 10 and abs(o[0]['measured_iteration_time_s'] - 0.410490577) < 1e-12" \
    "is compared"
printf '%s\n' "$head" >"$tmp/none.csv"
run "$sailor" validate "$tmp/none.csv"
expect 2 "a table without runs"
printf '%s\n4,16,4,2048,16,24,1024,1,2,2\n' "$head" >"$tmp/short.csv"
run "$sailor" validate "$tmp/short.csv"
expect 2 "a row that ends early"
has err "short.csv:2: 10 columns" "is named by its line"
printf '%s\n4,16,4,2048,16,24,1024,1,2,2,410\000\n' "$head" >"$tmp/nul.csv"
run "$sailor" validate "$tmp/nul.csv"
expect 2 "a NUL character"
sed '2s/A100-80/A100-81/' inputs/validation/megatron-a100.csv >"$tmp/gpu.csv"
run "$sailor" validate "$tmp/gpu.csv"
expect 2 "a GPU without a data sheet"
has err "expected one of V100-16, V100-32, A100-40" "those that have one are listed"
run "$sailor" validate "$tmp/v.csv" inputs/validation/opt-350m-gh200.json
expect 2 "tables and plans together"
run "$sailor" validate "$tmp/v.csv" --estimator sailor
expect 2 "tables by an estimator that needs a profile"
# the published runs of OPT-350M by events: nine of them at a microbatch large enough to keep the GPU busy
run "$sailor" validate inputs/validation/opt-350m-gh200.json --estimator events --json
expect 0 "by events"
json "o[-1]['time_error_mean_percent'] < 5 and o[-1]['memory_error_mean_percent'] < 1.5 and o[-1]['memory_error_max_percent'] < 4" \
    "time within 5 % on average, memory within 1.5 %"
busy="[x['time_error_percent'] for x in o[:-1] if any(n in x['name'] for n in ('N16', 'N32', 'N8_', 'N2_D1'))]"
json "len($busy) == 9 and sum($busy) / 9 < 2.5 and max($busy) < 7" "nine runs at microbatch 8 within 2.5 %, at most 7 %"
"$python" -c "
import json
p = json.load(open('inputs/validation/opt-350m-gh200.json'))['plans'][3]
p['pipelines'] *= 2
json.dump(p, open('$tmp/two.json', 'w'))"
run "$sailor" simulate "$tmp/two.json" --estimator events
expect 2 "several pipelines have no estimate by events"
run "$sailor" plan fig7 --estimator events
expect 2 "nor is it an estimator of the search"
finish
