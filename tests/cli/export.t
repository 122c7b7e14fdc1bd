#!/usr/bin/env bash
# TAP. `sailor export --format`: the files for other trainers, read back by their grammar.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

# plan NAME MODEL G m STAGES, where STAGES are "first:end:gpu*count*tp[+...]"
plan() {
    "$python" - "$@" >"$tmp/$1.json" <<'EOF'
import json, sys
_, name, model, G, m, *stages = sys.argv
def replicas(text):
    gpu, count, tp = text.split("*")
    return {"gpu": gpu, "zone": "us-central1-a", "tp": int(tp), "count": int(count)}
def stage(text):
    first, end, groups = text.split(":")
    return {"layers": [int(first), int(end)], "replicas": [replicas(g) for g in groups.split("+")]}
print(json.dumps({"format": "sailor-plan/1", "model": model, "site": "gcp", "dtype": "bf16", "global_batch_size": int(G),
                  "micro_batch_size": int(m), "pipelines": [{"stages": [stage(s) for s in stages]}]}))
EOF
}

# the arguments as the shell passes them on, one a line
arguments() { bash -c 'set -eu; source "$1"; printf "%s\n" "${SAILOR_ARGS[@]}"' _ "$1"; }

# Megatron Core's own reader of a layout, written down from its description: commas are cosmetic, (x)*n and x*n repeat
cat >"$tmp/layout.py" <<'EOF'
import re, sys
def stages(text):
    text = text.replace(",", "")
    for pattern in (r"\(([^)]+)\)\*(\d+)", r"(.)\*(\d+)"):
        text = re.sub(pattern, lambda m: m[1] * int(m[2]), text)
    return text.split("|")
EOF

plan mixed opt-350m 256 2 0:6:V100-16*8*2 6:14:V100-16*8*2 14:25:A100-40*8*2 25:26:A100-40*8*2
run "$sailor" export "$tmp/mixed.json" --format megatron -o "$tmp/megatron.sh"
expect 0 "export --format megatron"
arguments "$tmp/megatron.sh" >"$tmp/args"
ok $? "the file can be sourced"
"$python" - "$tmp" <<'EOF'
import sys
sys.path.insert(0, sys.argv[1])
from layout import stages
args = open(sys.argv[1] + "/args").read().split("\n")
def value(name): return args[args.index(name) + 1]
got = stages(value("--pipeline-model-parallel-layout"))
assert got == ["E" + 5 * "t", 8 * "t", 11 * "t", "L"], got
want = {"--num-layers": "24", "--hidden-size": "1024", "--ffn-hidden-size": "4096", "--num-attention-heads": "16",
        "--seq-length": "2048", "--micro-batch-size": "2", "--global-batch-size": "256", "--tensor-model-parallel-size": "2",
        "--pipeline-model-parallel-size": "4", "--position-embedding-type": "learned_absolute"}
for name, text in want.items(): assert value(name) == text, (name, value(name))
assert "--bf16" in args and "--untie-embeddings-and-output-weights" in args and "--swiglu" not in args
EOF
ok $? "degrees, batch, model and layout are the plan's"
has megatron.sh "32 to     47   stage 2   A100-40, zone us-central1-a" "it says which GPUs take which ranks"
run "$sailor" export "$tmp/mixed.json" --format flagscale
expect 2 "FlagScale needs a transformer block in every stage"
has err "flagscale cannot run this plan: stage 3 holds no transformer block" "and the reason is given"
plan hetero opt-350m 256 2 0:6:V100-16*8*4 6:14:V100-16*8*4 14:26:A100-40*8*1
run "$sailor" export "$tmp/hetero.json" --format flagscale -o "$tmp/flagscale.sh"
expect 0 "export --format flagscale, degrees and types that differ"
arguments "$tmp/flagscale.sh" | tr '\n' ' ' >"$tmp/args"
has args "--hetero-device-types V100-16 A100-40 --hetero-pipeline-layer-split 5 8 11 --hetero-process-meshes 4 1 1 8 2 1 1 1 8 1 " \
    "a mesh for each type and degree, five numbers each"
run "$sailor" export "$tmp/hetero.json" --format megatron
expect 2 "Megatron has one tensor-parallel degree"
has err "megatron cannot run this plan: its tensor-parallel degree is 4 in stage 0 and 1 in stage 2" "and the stage is named"
plan two_types opt-350m 256 2 0:26:V100-16*8*2+A100-40*8*2
run "$sailor" export "$tmp/two_types.json" --format flagscale
has err "stage 0 mixes two GPU types" "a stage of two types is no mesh"
plan broken opt-350m 250 2 0:26:A100-40*8*2
for format in megatron torchtitan flagscale; do
    run "$sailor" export "$tmp/broken.json" --format "$format"
    has err "the batch of 250 sequences is not a multiple of 8 replicas x microbatches of 2" "$format needs whole microbatches"
done

plan llama llama-3-8b 64 1 0:16:A100-40*2*4 16:34:A100-40*2*4 34:35:A100-40*2*4
run "$sailor" export "$tmp/llama.json" --format torchtitan -o "$tmp/sailor_plan.py"
expect 0 "export --format torchtitan"
"$python" - "$tmp" <<'EOF'
import sys, types
class Config:
    def __getattr__(self, name): self.__dict__[name] = Config(); return self.__dict__[name]
registry = types.ModuleType("registry")
registry.llama3_8b = Config
for name in ("torchtitan", "torchtitan.models", "torchtitan.models.llama3"): sys.modules[name] = types.ModuleType(name)
sys.modules["torchtitan.models.llama3.config_registry"] = registry
sys.path.insert(0, sys.argv[1])
from sailor_plan import planned
c = planned()
p = c.parallelism
assert (p.tensor_parallel_degree, p.pipeline_parallel_degree) == (4, 3)
assert (p.data_parallel_replicate_degree, p.data_parallel_shard_degree) == (2, 1)
assert (c.training.local_batch_size, c.training.global_batch_size, c.training.seq_len) == (32, 64, 8192)
assert p.pipeline_parallel_microbatch_size == 1 and p.pipeline_parallel_schedule == "1F1B"
assert (c.training.mixed_precision_param, c.activation_checkpoint) == ("bfloat16", None)
assert p.enable_sequence_parallel is False and "fsdp_reshard_after_forward" not in vars(p)
parts = p.module_fqns_per_model_part
assert parts[0] == ["tok_embeddings"] + [f"layers.{i}" for i in range(15)], parts[0]
assert parts[1] == [f"layers.{i}" for i in range(15, 32)] + ["norm"] and parts[2] == ["lm_head"], parts[1:]
EOF
ok $? "TorchTitan's configuration has the plan's degrees and modules"
sed -i 's/"dtype"/"recompute": "full", "zero": 1, "dtype"/' "$tmp/llama.json"
run "$sailor" export "$tmp/llama.json" --format torchtitan
has out 'config.activation_checkpoint = FullAC.Config()' "and its recomputation"
has out "parallelism.data_parallel_shard_degree = 2" "with zero 1 as FSDP"
sed -i 's/"bf16"/"fp16"/' "$tmp/llama.json"
run "$sailor" export "$tmp/llama.json" --format torchtitan
has err "its dtype is fp16" "fp16 is refused"
run "$sailor" export "$tmp/llama.json" --format megatron
has err "stage 1 ends between the final norm and the output matrix" "Megatron keeps norm and output together"
run "$sailor" export "$tmp/mixed.json" --format torchtitan
has err "TorchTitan has no gpt model with 24 blocks of width 1024" "a model that TorchTitan does not have"
plan llama_whole llama-3-8b 64 1 0:16:A100-40*2*4 16:35:A100-40*2*4
run "$sailor" export "$tmp/llama_whole.json" --format megatron
arguments "$tmp/out" | tr '\n' ' ' >"$tmp/args"
has args "--group-query-attention --num-query-groups 8 --swiglu --normalization RMSNorm \
--norm-epsilon 1e-05 --position-embedding-type rope --rotary-base 500000 --disable-bias-linear" \
    "a Llama's architecture in Megatron's words"

# an output matrix tied to the embedding: by the model's shape or, without one, by its wording
plan tied opt-tiny 64 1 0:3:A100-40*2*1 3:6:A100-40*2*1
run "$sailor" export "$tmp/tied.json" --format megatron
expect 0 "a tied model"
! grep -q untie "$tmp/out"
ok $? "keeps embedding and output matrix together"
sed 's/"name": "gpt-tiny"/"name": "tied"/; s/final norm and a matrix of its own/final norm and the embedding/' \
    inputs/models/gpt-tiny.json >"$tmp/model.json"
mkdir -p "$tmp/profiles/tied"
cat >"$tmp/profiles/tied/A100-40.json" <<'EOF'
{"format": "sailor-profile/1", "model": "tied", "gpu": "A100-40", "times": [{"micro_batch_size": 1, "tp": 1,
 "forward_s": [1, 1, 1, 1, 1, 1], "backward_s": [1, 1, 1, 1, 1, 1], "update_s": 1}]}
EOF
plan words "$tmp/model.json" 64 1 0:6:A100-40*2*1
run "$sailor" export "$tmp/words.json" --format megatron
expect 0 "a tied model without a shape"
! grep -q untie "$tmp/out"
ok $? "is one by the words of its file"

# parts of a model beyond GPT-2's, and options of a plan, one by one
has_args() { # title, arguments wanted, one with its value a line; an argument that may not be there
    local missing
    arguments "$tmp/out" | sed ':a; N; $!ba; s/\n\([^-]\)/ \1/g' >"$tmp/args" &&
        missing=$(grep -vxF -f "$tmp/args" <<<"$2" || true) && [ -z "$missing" ] && ! grep -q -- "^$3" "$tmp/args"
    ok $? "$1${missing:+ (missing: $missing)}"
}
shape() { # model, options, format: a plan of two stages, two replicas of tp 2
    "$python" - "$tmp/shape.json" "$1" "$2" <<'EOF'
import json, sys
path, model, options = sys.argv[1:]
blocks = json.load(open(f"inputs/models/{model}.json"))["transformer"]["layers"]
def stage(first, end): return {"layers": [first, end], "replicas": [{"gpu": "A100-80", "zone": "us-central1-a", "tp": 2, "count": 2}]}
json.dump({"format": "sailor-plan/1", "model": model, "site": "gcp", "dtype": "bf16", "global_batch_size": 8,
           "micro_batch_size": 1, "pipelines": [{"stages": [stage(0, blocks // 2), stage(blocks // 2, blocks + 2)]}],
           **json.loads(options)}, open(path, "w"))
EOF
    run "$sailor" export "$tmp/shape.json" --format "$3"
}
shape llama-3.1-8b '{"recompute": "full", "sequence_parallel": true, "zero": 1}' megatron
has_args "Llama 3.1 for Megatron, with recomputation, sequence parallelism and a distributed optimizer" "--disable-bias-linear
--norm-epsilon 1e-05
--num-query-groups 8
--recompute-granularity full
--recompute-method uniform
--recompute-num-layers 1
--rope-scaling-factor 8
--rotary-base 500000
--sequence-parallel
--use-distributed-optimizer
--use-rope-scaling" --add-qkv-bias
shape llama-3.1-8b '{"recompute": "selective"}' flagscale
has_args "for FlagScale, with selective recomputation and nothing else" "--recompute-granularity selective" --sequence-parallel
shape qwen2.5-7b '{}' megatron
has_args "Qwen 2.5: biases of query, key and value alone" "--add-qkv-bias
--disable-bias-linear
--rotary-base 1000000" --use-distributed-optimizer
shape mixtral-8x7b '{"sequence_parallel": true}' megatron
has_args "Mixtral: experts" "--moe-router-topk 2
--num-experts 8
--sequence-parallel" --add-qkv-bias
for trainer in megatron flagscale; do
    shape mixtral-8x7b '{}' $trainer
    expect 2 "experts in parts without sequence parallelism, for $trainer"
    has err 'only with "sequence_parallel": true' "are refused, with the way out"
done
cat >"$tmp/moe.json" <<EOF
{"format": "sailor-job/1", "model": "mixtral-8x7b", "site": "$tmp/moe-site.json", "global_batch_size": 8, "dtype": "bf16",
 "sequence_parallel": "auto", "runnable_by": "megatron", "pin": {"stages": 4},
 "pools": [{"gpus": [{"zone": "z", "gpu": "H100-80", "count": 32}]}]}
EOF
echo '{"format": "sailor-site/1", "name": "moe-site", "zones": ["z"], "gpus": ["H100-80"],
 "links": {"pairs": [["*", "*", "*", "*", "ib-ndr"]]}}' >"$tmp/moe-site.json"
run "$sailor" plan "$tmp/moe.json" -q -o "$tmp/moe.h5" -f
ok "$rc" "a job for experts and Megatron"
run "$sailor" export "$tmp/moe.h5" --format megatron
expect 0 "finds plans that it takes"
sed -i 's/"sequence_parallel": "auto", //' "$tmp/moe.json"
run "$sailor" plan "$tmp/moe.json" -q
expect 2 "without the choice"
has err "/runnable_by: its model has experts" "there are none"

# searches restricted to what a trainer can run: it accepts each of the best plans
for trainer in megatron flagscale; do
    cat >"$tmp/by.json" <<EOF
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 256, "runnable_by": "$trainer",
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 8}, {"zone": "us-central1-a", "gpu": "V100-16", "count": 16}]}]}
EOF
    run "$sailor" plan "$tmp/by.json" -q --top 10 -o "$tmp/by.h5" -f --json
    json "o[0]['status'] == 'optimal' and len(o[0]['top']) == 10" "a search among plans for $trainer"
    refused=$(for rank in {0..9}; do "$sailor" export "$tmp/by.h5" --rank "$rank" --format "$trainer" 2>&1 >/dev/null; done)
    [ -z "$refused" ]
    ok $? "gives plans that $trainer takes${refused:+: $refused}"
done
sed 's/"runnable_by".*/"exact_batch": true,/' "$tmp/by.json" >"$tmp/free.json"
run "$sailor" plan "$tmp/free.json" -q --json
free=$("$python" -c 'import json,sys; print(json.loads(open(sys.argv[1]).readline())["iteration_time_s"])' "$tmp/out")
run "$sailor" report "$tmp/by.h5" --json
json "o[0]['iteration_time_s'] >= $free" "no faster than without the restriction"

# a refused plan: the nearest is named, and written if asked for
run "$sailor" plan fig8b --estimator sailor -q -o "$tmp/mixed.h5"
run "$sailor" export "$tmp/mixed.h5" --row 2 --format megatron
expect 2 "a stored plan of two degrees"
has err "; the nearest plan that it can run (--nearest): microbatch " "the nearest plan is named"
has err " instead of 1.70605" "with what it costs"
run "$sailor" export "$tmp/mixed.h5" --row 2 --format megatron --nearest -o "$tmp/nearest.sh"
expect 0 "--nearest writes it"
arguments "$tmp/nearest.sh" | grep -q -- --pipeline-model-parallel-layout
ok $? "as a file that can be sourced"
has err "wrote the nearest plan that it can run" "and says so"
run "$sailor" export "$tmp/hetero.json" --format megatron --nearest
expect 0 "of a plan file: with the GPUs that it uses"
run "$sailor" export "$tmp/hetero.json" --format torchtitan --nearest
expect 2 "but not of a model that the trainer does not have"

job "$tmp/job.json" throughput
run "$sailor" plan "$tmp/job.json" -o "$tmp/a.h5"
run "$sailor" export "$tmp/a.h5" --format plan -o "$tmp/p.json"
expect 0 "export --format plan of stored results"
run "$sailor" export "$tmp/p.json" --format plan
expect 0 "a plan file is read as well"
run "$sailor" export "$tmp/p.json" --row 1
expect 2 "which has no rows to choose from"
run "$sailor" export "$tmp/a.h5" --format megatron -o "$tmp/none/x.sh"
expect 1 "a directory that is not there"
run "$sailor" export "$tmp/a.h5" --format nemo
expect 2 "an unknown format"
finish
