#!/usr/bin/env bash
# TAP. `sailor model` and `sailor profile`, and plans without a measured profile.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

cat >"$tmp/config.json" <<'EOF'
{"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
 "num_key_value_heads": 2, "vocab_size": 151936, "max_position_embeddings": 32768, "tie_word_embeddings": true,
 "_name_or_path": "Qwen/Qwen2.5-0.5B"}
EOF
run "$sailor" model "$tmp/config.json"
expect 0 "a config"
has out "qwen2.5-0.5b (qwen2)" "is named as the config says"
run "$sailor" model "$tmp/config.json" --json
json "o[0]['parameters'] == 494032768 and o[0]['model']['num_layers'] == 26 and o[0]['sequence_length'] == 8192" "as JSON: exact parameters"
json "o[0]['block_activations']['full'] == 8192 * 896" "what a block keeps when all is recomputed"
mkdir -p "$tmp/models"
run "$sailor" model "$tmp/config.json" -o "$tmp/models/mine.json" --sequence 1024 --json
expect 0 "-o"
json "o[0]['name'] == 'mine'" "the file names the model"
run "$sailor" model "$tmp/config.json" -o "$tmp/models/mine.json"
expect 2 "over a file"
has err "use -f" "needs -f"
sed 's/qwen2"/mamba"/' "$tmp/config.json" >"$tmp/mamba.json"
run "$sailor" model "$tmp/mamba.json"
expect 2 "a family that is not known"
has err 'unknown family "mamba"; expected one of gpt2' "those that are known are listed"

run "$sailor" profile "$tmp/models/mine.json" --gpu A100-40 --dtype bf16
expect 0 "profile"
"$python" - "$tmp/out" <<'EOF'
import json, sys
p = json.load(open(sys.argv[1]))
assert p["estimated"] and p["dtype"] == "bf16" and {t["tp"] for t in p["times"]} == {1, 2}
assert all(len(t["forward_s"]) == len(t["update_s"]) == 26 and min(t["backward_s"]) > 0 for t in p["times"])
EOF
ok $? "a profile of the degrees that divide 14 heads"
usual() { # DTYPE ATTENTION FRAMEWORK
    sed -E "s/\"attention\": \"[a-z]+\"/\"attention\": \"$2\"/" "$tmp/models/mine.json" >"$tmp/models/usual.json"
    run "$sailor" profile "$tmp/models/usual.json" --gpu A100-40 --dtype "$1"
    has out "framework $3," "$1 with $2: as $3 trains"
}
usual fp32 flash megatron-deepspeed-fp32
usual fp32 scores megatron-deepspeed-fp32
usual bf16 flash megatron-core
usual fp16 scores megatron
# what Megatron-DeepSpeed takes in fp32 was measured
echo '{"model_type": "opt", "hidden_size": 7168, "num_hidden_layers": 48, "ffn_dim": 28672, "num_attention_heads": 56,
    "max_position_embeddings": 2048, "vocab_size": 50272, "do_layer_norm_before": true, "tie_word_embeddings": false}' >"$tmp/opt-30b.json"
run "$sailor" model "$tmp/opt-30b.json" --attention scores --sequence 2048 -o "$tmp/models/opt.json"
run "$sailor" profile "$tmp/models/opt.json" --gpu GH-96
expect 0 "a profile in fp32"
"$python" - "$tmp/out" inputs/profiles/opt-30b/GH-96.json <<'EOF'
import json, sys
rows = [json.load(open(f))["times"] for f in sys.argv[1:]]
block = [{(t["micro_batch_size"], t["tp"]): t["forward_s"][9] + t["backward_s"][9] for t in r} for r in rows]
off = [abs(block[0][k] / block[1][k] - 1) for k in block[1] if k in block[0]]
assert len(off) == 15 and sum(off) / 15 < 0.05, off
EOF
ok $? "within 5 % of the measured one"
run "$sailor" profile "$tmp/models/mine.json"
expect 2 "without a GPU"
run "$sailor" profile "$tmp/models/mine.json" --gpu Z80
expect 2 "on a GPU without a data sheet"
run "$sailor" profile opt-350m --gpu H100-80
expect 2 "of a model that does not say what it is made of"
run "$sailor" profile "$tmp/models/mine.json" --gpu H100-80 --framework jax
expect 2 "in a framework that is not known"

cat >"$tmp/job.json" <<'EOF'
{"format": "sailor-job/1", "model": "./models/mine.json", "site": "gcp", "global_batch_size": 16, "dtype": "bf16",
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 4}]}]}
EOF
run "$sailor" plan "$tmp/job.json" --json -o "$tmp/out.h5"
[ "$rc" = 0 ] && [ "$(grep -c 'A100-40 are estimated from data sheets, not measured' "$tmp/err")" = 1 ]
ok $? "plan without a profile says that it estimates"
json "o[0]['status'] == 'optimal' and o[0]['profiles'] == {'A100-40': 'estimated'}" "and where layer times come from"
run "$sailor" report "$tmp/out.h5" --json
json "o[0]['profiles'] == {'A100-40': 'estimated'}" "so does the report"
run "$sailor" export "$tmp/out.h5" --row 0 -o "$tmp/plan.json"
run "$sailor" simulate "$tmp/plan.json" --json
json "o[0]['profiles'] == {'A100-40': 'estimated'}" "and simulate"
mkdir -p "$tmp/profiles/mine"
"$sailor" profile "$tmp/models/mine.json" --gpu A100-40 --dtype bf16 |
    sed 's/"estimated": true/"estimated": false/' >"$tmp/profiles/mine/A100-40.bf16.json"
run "$sailor" plan "$tmp/job.json" --json
[ "$rc" = 0 ] && { [ ! -s "$tmp/err" ] || grep -q plans/s "$tmp/err"; }
ok $? "a measured profile beside it comes first"
json "o[0]['profiles'] == {'A100-40': 'measured'}" "and is called measured"
finish
