#!/usr/bin/env bash
# TAP. A job on the command line: it equals the job file that one would write, and errors name the option.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

plan() { run "$sailor" plan -q --json "$@"; }
cat >"$tmp/job.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 64, "objective": "cost",
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 8}, {"zone": "us-central1-b", "gpu": "V100-16", "count": 8}]}]}
EOF
same() { "$python" -c "
import json, sys
a, b = [json.loads(open(f).readline()) for f in sys.argv[1:]]
for x in a, b: del x['search_s']
sys.exit(a != b)" "$@"; }
plan "$tmp/job.json"
cp "$tmp/out" "$tmp/file"
plan --model opt-350m --site gcp --gpus us-central1-a/A100-40:8,us-central1-b/V100-16:8 --batch 64 --objective cost -o "$tmp/out.h5"
expect 0 "a job on the command line"
same "$tmp/out" "$tmp/file"
ok $? "has the plan of the same job as a file"
run "$sailor" report "$tmp/out.h5" --json
same "$tmp/out" "$tmp/file"
ok $? "is stored with its inputs"
plan --resume "$tmp/out.h5"
expect 0 "and can be resumed"
plan --site clariden --model opt-350m --gpus GH-96:8 --batch 64
expect 0 "the zone of a site with one may be left out"
if [ -n "$mpiexec" ]; then
    run "$mpiexec" -n 2 "$sailor" plan -q --json --model opt-350m --site clariden --gpus GH-96:8 --batch 64
    [ "$rc" = 0 ] && json "len(o) == 1 and o[0]['status'] == 'optimal'" "two ranks have the same job"
fi

plan --model llama-3.1-8b --gpus here/H100:8,there/L4-24:8 --batch 32 --dtype bf16
expect 0 "without a site: data sheets"
has err "zones have no links between them" "which is said"
json "o[0]['plan']['site'] == 'data-sheets' and o[0]['plan']['dtype'] == 'bf16' and len({r['zone'] for p in o[0]['plan']['pipelines']
 for s in p['stages'] for r in s['replicas']}) == 1" "no plan spans two zones"
plan --model llama-3.1-8b --gpus H100-80:8 --batch 32 --dtype bf16
json "o[0]['status'] == 'optimal' and o[0]['cost_usd_per_iteration'] is None" "nothing has a price"
cp "$tmp/out" "$tmp/long"
plan --model llama-3.1-8b --gpus H100-80:8 --batch 32 --dtype bf16 --seq-len 2048
json "o[0]['plan']['model'] == 'llama-3.1-8b-2048' and o[0]['iteration_time_s'] <
 json.loads(open('$tmp/long').readline())['iteration_time_s'] / 3" "--seq-len: shorter sequences take less"
run "$sailor" plan -q --model llama-3.1-8b --gpus H100-80:8 --batch 32 --dtype bf16 --seq-len 2048 -o "$tmp/short.h5"
grep -aoq '"model":{[^}]*"name":"llama-3.1-8b-2048".*"architecture":{[^}]*"rope_theta":500000' "$tmp/short.h5"
ok $? "the model keeps what its file tells the trainer"
plan --model llama-3.1-8b --gpus H100-80:8 --batch 32 --dtype bf16 --seq-len 8192
same "$tmp/out" "$tmp/long"
ok $? "--seq-len of the model itself changes nothing"
plan --model opt-350m --site gcp --gpus us-central1-a/A100-40:4 --batch 16 --seq-len 2048
expect 0 "of a model that does not say what it is made of as well"

# a published build stands for the model as it was released, of which no profile is needed
plan --model llama-3-8b --gpus zone/H100-80:24,zone/L4-24:64 --batch 512
expect 0 "a published build on GPUs without its profile"
has err "llama-3-8b, a published build, has no profile for this: meta-llama-3-8b, which it stands for, is planned" \
    "a line says what is planned"
json "o[0]['plan']['model'] == 'meta-llama-3-8b' and o[0]['profiles'] == {'H100-80': 'estimated', 'L4-24': 'estimated'}" "from data sheets"
cp "$tmp/out" "$tmp/stands"
plan --model meta-llama-3-8b --gpus zone/H100-80:24,zone/L4-24:64 --batch 512
same "$tmp/out" "$tmp/stands"
ok $? "as by its own name"
run "$sailor" plan -q --model llama-3-8b --gpus H100-80:16 --batch 64 --dtype bf16 -o "$tmp/stands.h5"
run "$sailor" export "$tmp/stands.h5" -o "$tmp/stands.json"
expect 0 "export of such a plan"
run "$sailor" simulate "$tmp/stands.json" --json
[ "$rc" = 0 ] && grep -q '"model":.*"meta-llama-3-8b"' "$tmp/stands.json"
ok $? "is of the model that was planned"
cat >"$tmp/digits.json" <<'EOF'
{"format": "sailor-job/1", "model": "llama-3-8b", "site": "gcp", "global_batch_size": 64,
 "min_iterations_per_s": 0.00030000000000000003,
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-80", "count": 16}]}]}
EOF
run "$sailor" plan "$tmp/digits.json" -q -o "$tmp/digits.h5"
run "$sailor" report "$tmp/digits.h5" --json
[ "$rc" = 0 ] && "$python" -c "
import h5py, json
f = h5py.File('$tmp/digits.h5')
job = json.loads(f['inputs'][()])['job']
assert job['model'] == 'meta-llama-3-8b'
assert job['min_iterations_per_s'] == f.attrs['min_iterations_per_s'] == 3 * 0.0001"
ok $? "a limit of 17 digits is kept in the file"
for more in "" ,us-central1-a/A100-80:4; do
    plan --model llama-3-8b --site gcp --gpus "us-central1-a/GH-96:64$more" --batch 64
    [ "$more" ] && name=meta-llama-3-8b times=estimated || name=llama-3-8b times=measured
    json "o[0]['plan']['model'] == '$name' and o[0]['profiles']['GH-96'] == '$times'" "64 GH-96$more: $name"
done
plan --model llama-3-8b --gpus H100-80:8 --batch 32 --dtype bf16 --seq-len 4096
json "o[0]['plan']['model'] == 'meta-llama-3-8b-4096'" "with another length as well"
has err "llama-3-8b, a published build, has no profile for this: meta-llama-3-8b-4096" "which a line says"
sed 's/"name": "llama-3-8b"/"name": "short"/; s/"sequence_length": 8192/"sequence_length": 2048/' inputs/models/llama-3-8b.json \
    >"$tmp/short.json"
plan --model "$tmp/short.json" --site gcp --gpus us-central1-a/GH-96:64 --batch 64 --seq-len 8192
json "o[0]['plan']['model'] == 'meta-llama-3-8b'" "or with that of the model that it stands for"

# without --site, and with another length, site and model have no files: an exported plan contains them
args=(--model llama-3.1-8b --gpus H100-80:8 --batch 64 --dtype bf16 --seq-len 4096)
run "$sailor" plan "${args[@]}" -q --json -o "$tmp/own.h5"
cp "$tmp/out" "$tmp/planned"
run "$sailor" export "$tmp/own.h5" -o "$tmp/own.json"
expect 0 "export of a plan whose site has no file"
run "$sailor" simulate "$tmp/own.json" --json
"$python" - "$tmp" <<'EOF'
import json, sys
a, b = (json.load(open(f"{sys.argv[1]}/{n}")) for n in ("planned", "out"))
keys = "iteration_time_s iteration_time_low_s iteration_time_high_s peak_memory_high_bytes".split()
sys.exit(any(a[k] is None or a[k] != b[k] for k in keys))
EOF
ok $? "simulate says the same of it, interval included"
run "$sailor" export "$tmp/own.json"
cmp -s "$tmp/out" "$tmp/own.json"
ok $? "and export again writes the same"
run "$sailor" export "$tmp/own.json" --format megatron --nearest
has out "--seq-length 4096" "for a trainer, too"
sed 's/"zones"/"zoens"/' "$tmp/own.json" >"$tmp/bad.json"
run "$sailor" simulate "$tmp/bad.json"
expect 2 "a mistake in such a site"
has err 'bad.json: /site/zoens: unknown key "zoens"' "is shown at its place"
run "$sailor" plan --model opt-350m --site gcp --gpus us-central1-a/A100-40:4 --batch 64 -q -o "$tmp/named.h5"
run "$sailor" export "$tmp/named.h5"
grep -q '"site":.*"gcp"' "$tmp/out" && grep -q '"model":.*"opt-350m"' "$tmp/out"
ok $? "those that have files are named"

plan --model llama-3-8b --gpus zone/H100-80:24,zone/L4-24:64 --batch 512 --exact-batch
p="o[0]['plan']['pipelines'][0]['stages'][0]['replicas']"
json "512 % (o[0]['plan']['micro_batch_size'] * sum(r.get('count', 1) for r in $p)) == 0" "--exact-batch: a batch that divides"
! grep -q "is not a multiple" "$tmp/err"
ok $? "and nothing to be said of it"

bad() { # title, part of the message, options
    local title=$1 says=$2
    shift 2
    run "$sailor" plan -q "$@"
    expect 2 "$title"
    has err "sailor: error: $says" "it names the option"
}
base=(--model opt-350m --site gcp --batch 64)
bad "no GPUs" "plan: --gpus is missing" "${base[@]}"
bad "no model" "plan: --model is missing" --gpus H100-80:8 --batch 2
bad "no batch" "plan: --batch is missing" --model opt-350m --gpus A100-40:8
bad "a file, too" "plan: fig7 and a job on the command line" fig7 "${base[@]}"
bad "an unknown model" '--model: no "opt-351m"' --model opt-351m --gpus H100-80:8 --batch 2
bad "a name that Hugging Face has" '--model: no file "meta-llama/Meta-Llama-3-8B"; expected the path of a file, or a name;' \
    --model meta-llama/Meta-Llama-3-8B --gpus H100-80:8 --batch 2
has err "did you mean meta-llama-3-8b?" "the nearest name is suggested"
bad "an unknown site" '--site: no "gpc"' --model opt-350m --site gpc --gpus a/A100-40:8 --batch 2
bad "an unknown zone" '--gpus, entry 2, zone: "mars"' "${base[@]}" --gpus us-central1-a/A100-40:8,mars/A100-40:8
bad "an unknown type" '--gpus, entry 1, gpu: "A100"' "${base[@]}" --gpus us-central1-a/A100:8
bad "twice" '--gpus, entry 2: zone "us-central1-a" and GPU "A100-40" appear twice' "${base[@]}" \
    --gpus us-central1-a/A100-40:8,us-central1-a/A100-40:4
bad "no count" '--gpus "us-central1-a/A100-40": expected ZONE/GPU:N' "${base[@]}" --gpus us-central1-a/A100-40
bad "half a GPU" '--gpus "us-central1-a/A100-40:1.5"' "${base[@]}" --gpus us-central1-a/A100-40:1.5
bad "an empty entry" '--gpus ""' "${base[@]}" --gpus us-central1-a/A100-40:8,
bad "no zone of several" '--gpus A100-40:8: no zone' "${base[@]}" --gpus A100-40:8
bad "no data sheet" '--gpus Z80: no data sheet for GPU "Z80"' --model llama-3.1-8b --gpus Z80:8 --batch 2
bad "two data sheets" '--gpus A100: "A100" may be A100-40 or A100-80;' --model llama-3.1-8b --gpus A100:8 --batch 2
bad "no profile" "--gpus: model opt-350m has no profile on GPU H100-80" --model opt-350m --gpus H100-80:8 --batch 2
sed '/"stands_for"/d' "${SAILOR_INPUTS:-inputs}/models/llama-3-8b.json" >"$tmp/llama-3-8b.json"
bad "nor a shape" "--gpus: model llama-3-8b has no profile on GPU H100-80" --model "$tmp/llama-3-8b.json" --gpus H100-80:8 --batch 2
has err "did you mean " "a model that can be estimated is named"
sed 's/"meta-llama-3-8b"/"meta-lama-3-8b"/' "${SAILOR_INPUTS:-inputs}/models/llama-3-8b.json" >"$tmp/llama-3-8b.json"
bad "a model that stands for none" "$tmp/llama-3-8b.json: /stands_for: no \"meta-lama-3-8b\"" --model "$tmp/llama-3-8b.json" \
    --gpus H100-80:8 --batch 2
bad "more than the site has" "--gpus: 99 A100-80 in zone cluster; expected at most the 8 that site slurm has" --model llama-3.1-8b \
    --site tests/site/slurm.json --gpus A100-80:99 --batch 64
bad "a batch that a published planner does not make exact" "--exact-batch: the planner amp cannot honour it" "${base[@]}" \
    --gpus us-central1-a/A100-40:8 --exact-batch --planner amp
bad "no price" "--gpus: site data-sheets has no price" --model llama-3.1-8b --gpus H100-80:8 --batch 2 --objective cost
bad "an element type for a file" "plan: fig7 and a job on the command line" fig7 --dtype bf16
bad "an exact batch for a file" "plan: fig7 and a job on the command line" fig7 --exact-batch
bad "a trainer for a file" "plan: fig7 and a job on the command line" fig7 --runnable-by megatron
bad "a trainer without the model" "--runnable-by: TorchTitan has no gpt model" "${base[@]}" --gpus us-central1-a/A100-40:8 \
    --runnable-by torchtitan
bad "an unknown trainer" "plan: --runnable-by 'megatrn': expected one of megatron" "${base[@]}" \
    --gpus us-central1-a/A100-40:8 --runnable-by megatrn
bad "another length" '--seq-len 77: model opt-350m has sequences of 2048' "${base[@]}" --gpus us-central1-a/A100-40:8 --seq-len 77
run "$sailor" plan "${base[@]}" --gpus us-central1-a/A100-40:8,us-central1-a/V100-16:8 --runnable-by megatron -q \
    -o "$tmp/by.h5"
expect 0 "--runnable-by"
run "$sailor" export "$tmp/by.h5" --format megatron
expect 0 "finds a plan that the trainer takes"
finish
