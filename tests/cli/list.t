#!/usr/bin/env bash
# TAP. `sailor list`, and names that work from anywhere.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

for kind in models gpus profiles sites prices jobs; do
    run "$sailor" list "$kind"
    expect 0 "list $kind"
    lines=$(grep -c "^[^ ]" "$tmp/out") # a wide row takes several
    run "$sailor" list "$kind" --json
    json "len(o) == $lines - 1 and all(set(x) == set(o[0]) for x in o)" "and the same rows as JSON"
done
run "$sailor" list models --json
json "[x for x in o if x['model'] == 'opt-350m'][0] == {'model': 'opt-350m', 'layers': 26, 'blocks': 24, 'hidden_size': 1024, 'heads': 16,
 'sequence_length': 2048, 'vocabulary': 50272, 'parameters': 407431168, 'tensor_parallel': '1 2 4 8'}" "a model as its file has it"
run "$sailor" list prices --json
json "{'site': 'gcp', 'zone': 'us-west1-b', 'gpu': 'V100-16', 'usd_per_gpu_hour': 2.859998} in o" "a price as its file has it"
run "$sailor" list profiles
has out "opt-350m" "profiles are listed by model"
run "$sailor" list gpus --json
json "[x['site'] for x in o if x['gpu'] == 'H100-80'] == [None] and
[x['site'] for x in o if x['gpu'] == 'GH-96'] == ['clariden', 'gcp', None]" \
    "types of sites, and those that have a data sheet"
run "$sailor" list gpus --inputs tests/fuzz/inputs
expect 0 "other inputs"
has out "GiB" "have their own types"
run "$sailor" list modles
expect 2 "an unknown list"
has err "did you mean models?" "the nearest one is named"
run "$sailor" list models --inputs "$tmp/none"
expect 2 "no such directory"

here=$PWD sailor=$(realpath "$sailor")
unset SAILOR_INPUTS
for name in fig7 pinned; do
    cd "$tmp" || exit 1
    run "$sailor" plan "$name" -q --json
    cd "$here" || exit 1
    expect 0 "plan $name from another directory"
done
json "len(o) == 2 and o[0]['status'] == 'optimal'" "it is the job of that name"
run "$sailor" plan fig77
expect 2 "a job that is not there"
has err "did you mean fig7?" "the nearest one is named"
finish
