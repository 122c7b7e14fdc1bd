#!/usr/bin/env bash
# TAP. What `sailor export` writes for each trainer, from the plans in tests/export: golden files, read by what stands in for the
# trainers' own parsers here and, where a Python has megatron-core or torchtitan ($TRAINERS_PYTHON), by those. UPDATE=1 writes
# the golden files anew.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
dir=tests/export

for path in "$dir"/*.json; do
    plan=$(basename "$path" .json)
    for trainer in megatron torchtitan flagscale; do
        golden=$dir/$plan.$trainer
        run "$sailor" export "$path" --format $trainer
        if [ "$rc" = 0 ]; then
            if [ "${UPDATE:-0}" = 1 ]; then cp "$tmp/out" "$golden"; fi
            [ ! -s "$tmp/err" ] && cmp -s "$tmp/out" "$golden"
            ok $? "$plan for $trainer"
        else # which plan would be the nearest is a search's answer, and not in the file
            expect 2 "$plan is refused for $trainer, in one line"
            echo "$plan $trainer: $(sed 's/.*cannot run this plan: //; s/; nor any other.*//; s/; the nearest plan.*//' "$tmp/err")" \
                >>"$tmp/refused"
            [ ! -e "$golden" ]
            ok $? "and has no golden file"
        fi
    done
done
if [ "${UPDATE:-0}" = 1 ]; then cp "$tmp/refused" "$dir/refused.txt"; fi
diff "$dir/refused.txt" "$tmp/refused" >"$tmp/err"
ok $? "the reasons are those of refused.txt"

# a plan file for sailor-train is the plan itself, unless it has what that lacks
sed 's/llama-3.1-8b/llama-tiny/; s/16\]/3]/; s/\[16, 34/[3, 6/; s/, "sequence_parallel": true//' "$dir/options.json" >"$tmp/own.json"
run "$sailor" export "$tmp/own.json" --format sailor-train
expect 0 "a plan for sailor-train"
"$sailor" export "$tmp/own.json" | cmp -s - "$tmp/out"
ok $? "is the plan"
own_refused() { # title, change of the plan, reason
    sed "$2" "$tmp/own.json" >"$tmp/bad.json"
    run "$sailor" export "$tmp/bad.json" --format sailor-train
    expect 2 "$1"
    has err "$tmp/bad.json: sailor-train cannot run this plan: $3" "is refused with the reason"
}
own_refused "sequence parallelism" 's/"zero"/"sequence_parallel": true, "zero"/' "/sequence_parallel: not supported"
own_refused "fp16" 's/bf16/fp16/' "/dtype: \"fp16\"; expected"
own_refused "virtual stages" 's/"zero": 1/"virtual_stages": 2/' "/virtual_stages: not supported"
own_refused "another optimizer" 's/"zero": 1/"optimizer": "sgd"/' "/optimizer: \"sgd\"; expected"

# Megatron-LM: megatron/training/arguments.py, and pipeline_parallel_layer_layout.py of its core, as of 2026. FlagScale: its patch
# of the former, and pre_validate_args() in flagscale/train/arguments.py. Which names there are, what each takes, what must fit.
cat >"$tmp/megatron_reader.py" <<'EOF'
import argparse, re, subprocess, sys
def arguments(path):
    script = 'set -eu; source "$1"; printf "%s\\n" "${SAILOR_ARGS[@]}"'
    return subprocess.run(["bash", "-c", script, "_", path], capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
def parser(hetero):
    p = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("num-layers hidden-size ffn-hidden-size num-attention-heads kv-channels num-query-groups seq-length rotary-base "
                 "max-position-embeddings micro-batch-size global-batch-size tensor-model-parallel-size recompute-num-layers "
                 "pipeline-model-parallel-size num-experts moe-router-topk").split():
        p.add_argument("--" + name, type=int)
    for name in "norm-epsilon attention-dropout hidden-dropout rope-scaling-factor".split():
        p.add_argument("--" + name, type=float)
    for name in ("group-query-attention swiglu use-rope-scaling disable-bias-linear add-qkv-bias qk-layernorm bf16 fp16 "
                 "untie-embeddings-and-output-weights sequence-parallel use-distributed-optimizer").split():
        p.add_argument("--" + name, action="store_true")
    p.add_argument("--normalization", choices=["LayerNorm", "RMSNorm"])
    p.add_argument("--position-embedding-type", choices=["learned_absolute", "rope", "mrope", "yarn", "relative", "none"])
    p.add_argument("--recompute-granularity", choices=["full", "selective"])
    p.add_argument("--recompute-method", choices=["uniform", "block"])
    p.add_argument("--pipeline-model-parallel-layout")
    if hetero:
        p.add_argument("--enable-hetero", action="store_true", required=True)
        p.add_argument("--hetero-device-types", nargs="*", required=True)
        p.add_argument("--hetero-pipeline-layer-split", nargs="*", type=int, required=True)
        p.add_argument("--hetero-process-meshes", nargs="*", type=int, required=True)
    return p
def stages(text):
    text = text.replace(",", "")
    for pattern in (r"\(([^)]+)\)\*(\d+)", r"(.)\*(\d+)"):
        text = re.sub(pattern, lambda m: m[1] * int(m[2]), text)
    return text.split("|")
def check_hetero(a):
    meshes = [a.hetero_process_meshes[i:i + 5] for i in range(0, len(a.hetero_process_meshes), 5)]
    assert all(len(m) == 5 for m in meshes) and len(meshes) == len(a.hetero_device_types)
    assert sum(pp for *_, pp in meshes) == a.pipeline_model_parallel_size == len(a.hetero_pipeline_layer_split)
    assert sum(a.hetero_pipeline_layer_split) == a.num_layers and min(a.hetero_pipeline_layer_split) > 0
    assert all(cp == 1 and dp == meshes[0][3] for _, cp, _, dp, _ in meshes)
    assert a.untie_embeddings_and_output_weights or meshes[0][0] == meshes[-1][0]
def check_even(a):
    assert a.tensor_model_parallel_size > 1 or not a.sequence_parallel
    assert not a.num_experts or a.tensor_model_parallel_size == 1 or a.sequence_parallel
    assert (a.pipeline_model_parallel_size > 1) == bool(a.pipeline_model_parallel_layout)
    if a.pipeline_model_parallel_layout:
        parts = stages(a.pipeline_model_parallel_layout)
        assert len(parts) == a.pipeline_model_parallel_size
        assert re.fullmatch("Et{%d}L" % a.num_layers, "".join(parts))
def main():
    for path in sys.argv[1:]:
        print(path)
        hetero = path.endswith(".flagscale")
        given = arguments(path)
        names = [g for g in given if g.startswith("--")]
        assert len(set(names)) == len(names)
        a = parser(hetero).parse_args(given)
        assert a.num_attention_heads % (a.num_query_groups or a.num_attention_heads) == 0
        assert bool(a.num_query_groups) == a.group_query_attention
        assert a.recompute_granularity != "full" or a.recompute_method and a.recompute_num_layers
        assert not a.use_rope_scaling or a.position_embedding_type == "rope"
        (check_hetero if hetero else check_even)(a)
if __name__ == "__main__":
    main()
EOF
run "$python" "$tmp/megatron_reader.py" "$dir"/*.megatron
ok "$rc" "Megatron-LM's grammar: names, values, the layout"
run "$python" "$tmp/megatron_reader.py" "$dir"/*.flagscale
ok "$rc" "FlagScale's: meshes, their types, layers and degrees"

# TorchTitan 0.3: the names of torchtitan.config and of its trainer's configuration. They are slots there: another is an error.
cat >"$tmp/torchtitan_reader.py" <<'EOF'
import sys, types
def slots(names): return type("Config", (), {"__slots__": names.split()})
Training = slots("local_batch_size global_batch_size seq_len max_norm steps dtype mixed_precision_param mixed_precision_reduce "
                 "disable_cuda_graphs")
Parallelism = slots("data_parallel_replicate_degree data_parallel_shard_degree fsdp_reshard_after_forward tensor_parallel_degree "
                    "enable_sequence_parallel pipeline_parallel_degree module_fqns_per_model_part pipeline_parallel_schedule "
                    "pipeline_parallel_microbatch_size context_parallel_degree expert_parallel_degree")
Trainer = slots("training parallelism activation_checkpoint model_spec")
class FullAC:
    class Config: pass
blocks = {"llama3_8b": 32, "llama3_70b": 80, "llama3_405b": 126}
def flavor():
    c = Trainer()
    c.training, c.parallelism = Training(), Parallelism()
    return c
for name in ("torchtitan", "torchtitan.models", "torchtitan.models.llama3", "torchtitan.distributed"):
    sys.modules[name] = types.ModuleType(name)
registry = types.ModuleType("config_registry")
for name in blocks: setattr(registry, name, flavor)
policies = types.ModuleType("activation_checkpoint")
policies.FullAC = FullAC
sys.modules["torchtitan.models.llama3.config_registry"] = registry
sys.modules["torchtitan.distributed.activation_checkpoint"] = policies
for path in sys.argv[1:]:
    print(path)
    space = {}
    exec(compile(open(path).read(), path, "exec"), space)
    c = space["planned"]()
    t, p = c.training, c.parallelism
    replicas = p.data_parallel_replicate_degree * p.data_parallel_shard_degree
    assert t.global_batch_size % (t.local_batch_size * replicas) == 0
    assert c.activation_checkpoint is None or isinstance(c.activation_checkpoint, FullAC.Config)
    if p.pipeline_parallel_degree > 1:
        assert t.disable_cuda_graphs is True
        assert t.local_batch_size % p.pipeline_parallel_microbatch_size == 0 and p.pipeline_parallel_schedule == "1F1B"
        assert len(p.module_fqns_per_model_part) == p.pipeline_parallel_degree
        [n] = [n for name, n in blocks.items() if name in space]
        assert sum(p.module_fqns_per_model_part, []) == ["tok_embeddings", *[f"layers.{i}" for i in range(n)], "norm", "lm_head"]
EOF
run "$python" -B "$tmp/torchtitan_reader.py" "$dir"/*.torchtitan
ok "$rc" "TorchTitan's names, degrees and modules"

# ---- the trainers' own parsers, where they are installed
has_module() { "$1" -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('$2') is None)" >/dev/null 2>&1; }
theirs=$python
for candidate in python3 "${TRAINERS_PYTHON:-}"; do
    if has_module "$candidate" megatron.core || has_module "$candidate" torchtitan; then theirs=$candidate; fi
done
cat >"$tmp/core.py" <<'EOF'
"""Megatron Core: its TransformerConfig takes the arguments that it has, and with them the layout."""
import dataclasses, sys
import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from megatron_reader import arguments, parser
names = {f.name for f in dataclasses.fields(TransformerConfig)}
for path in sys.argv[1:]:
    print(path)
    given = vars(parser(False).parse_args(arguments(path)))
    known = {k: v for k, v in given.items() if k in names and v is not None}
    config = TransformerConfig(pipeline_dtype=torch.bfloat16, add_bias_linear=not given["disable_bias_linear"], **known)
    layout = config.pipeline_model_parallel_layout
    if isinstance(layout, str):
        from megatron.core.transformer.pipeline_parallel_layer_layout import PipelineParallelLayerLayout
        layout = PipelineParallelLayerLayout(layout, config.pipeline_model_parallel_size)
    if layout: layout.validate_layer_layout(config.num_layers, None)
EOF
if has_module "$theirs" megatron.core; then
    LIMIT=200 run "$theirs" -B "$tmp/core.py" "$dir"/*.megatron
    ok "$rc" "Megatron Core itself takes them, with their layouts"
else
    ok 0 "Megatron Core itself takes them # SKIP no megatron-core here"
fi
cat >"$tmp/titan.py" <<'EOF'
"""TorchTitan: its ConfigManager reads the module, and the modules that stages name are those of the model."""
import os, shutil, sys
import torch
from torchtitan.config import ConfigManager
where = os.path.dirname(sys.argv[0])
for number, file in enumerate(sys.argv[1:]):
    print(file)
    shutil.copy(file, os.path.join(where, "plan%d.py" % number))
    config = ConfigManager().parse_args(["--module", "plan%d" % number, "--config", "planned"])
    with torch.device("meta"):
        model = config.model_spec.model.build()
    names = {name for name, _ in model.named_children() if name != "layers"}
    names |= {"layers." + n for n, _ in model.layers.named_children()}
    parts = config.parallelism.module_fqns_per_model_part
    assert parts is None or sorted(sum(parts, [])) == sorted(names), sorted(names)
EOF
if has_module "$theirs" torchtitan; then
    LIMIT=200 run "$theirs" -B "$tmp/titan.py" "$dir"/*.torchtitan
    ok "$rc" "TorchTitan itself takes them, and has the modules"
else
    ok 0 "TorchTitan itself takes them # SKIP no torchtitan here"
fi
finish
