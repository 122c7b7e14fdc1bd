#!/usr/bin/env python3
"""TAP. sailor-train against Hugging Face's transformers itself: of a small random model that it saves, `sailor model` takes the
configuration and --weights the weights. Logits, losses, the gradient of every tensor and five steps of AdamW agree.
    torch_transformers.py SAILOR-TRAIN DIRECTORY SAILOR"""
import json
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers as hf  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import torch_reference as ref  # noqa: E402
from torch_reference import check  # noqa: E402
from torch_weights import read  # noqa: E402

TRAIN, DIR, SAILOR = sys.argv[1:4]
S, H, V = 32, 64, 500
SIZES = {"vocab_size": V, "hidden_size": H, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": S}
GATED = SIZES | {"intermediate_size": 96, "num_key_value_heads": 2}
SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
CONFIGS = {
    "gpt2": hf.GPT2Config(vocab_size=V, n_positions=S, n_embd=H, n_layer=2, n_head=4, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
    # a token for padding would have no gradient as an input
    "opt": hf.OPTConfig(ffn_dim=96, word_embed_proj_dim=H, dropout=0, pad_token_id=None, **SIZES),
    "gpt_neo": hf.GPTNeoConfig(vocab_size=V, hidden_size=H, intermediate_size=96, num_layers=2, num_heads=4, max_position_embeddings=S,
                               attention_types=[[["global", "local"], 1]], window_size=20),
    "llama": hf.LlamaConfig(rope_theta=1000, rope_scaling=SCALING, **GATED),
    "mistral": hf.MistralConfig(sliding_window=20, head_dim=12, **GATED),
    "qwen2": hf.Qwen2Config(tie_word_embeddings=True, rms_norm_eps=1e-3, **GATED),
}


def make(name, config):
    """The reference in double precision, from weights that single precision holds; the trainer gets its files."""
    at = f"{DIR}/{name}"
    model = hf.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    spread = 0.05 if name == "gpt_neo" else 0.1  # its scores are not scaled
    with torch.no_grad():
        for key, p in model.named_parameters():
            gain = p.dim() == 1 and key.endswith("weight")
            p.copy_((torch.randn(p.shape) * spread + gain).float())
    model.save_pretrained(at)
    subprocess.run([SAILOR, "model", f"{at}/config.json", "-o", f"{DIR}/inputs/models/{name}.json"], check=True,
                   stdout=subprocess.DEVNULL)
    return model.eval()


def write_plan(name, layers, batch):
    stage = {"layers": [0, layers], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}
    with open(f"{DIR}/plan.json", "w") as f:
        json.dump({"format": "sailor-plan/1", "model": name, "site": "local", "global_batch_size": batch,
                   "micro_batch_size": min(batch, ref.MICRO), "pipelines": [{"stages": [stage]}]}, f)


def gradients(name, *args):
    """Of one step, by transformers' names: AdamW's first mean, (1 - beta1) gradient, put in the place of the weights."""
    checkpoint = f"{DIR}/after.h5"
    loss = ref.train("--steps", "1", "--learning-rate", "0", "--checkpoint", checkpoint, *args)[0]
    with h5py.File(checkpoint, "r+") as f:
        for layer in f:
            for tensor in f[layer].values():
                tensor["weight"][:] = tensor["adam_m"][:]
    subprocess.run([TRAIN, "weights", checkpoint, "--model", f"{DIR}/inputs/models/{name}.json", "-o", f"{DIR}/g.safetensors", "-f"],
                   check=True)
    return loss, {key: g / 0.1 for key, g in read(f"{DIR}/g.safetensors")[0].items()}


def loss_of(model, token, target):
    return F.cross_entropy(model(token).logits.flatten(0, 1), target.flatten())


def compare_logits(name, model, tokens, weights):
    """Of one sequence, whose final activations h (more elements than tokens) span all that the gradient of the output matrix,
    (p - target)' h / S, can say: p, and so the logits but for a constant of each token. Where the matrix is tied, of all words
    that the sequence does not have."""
    write_plan(name, 4, 1)
    _, got = gradients(name, *weights)
    token, target = (x[:1] for x in ref.batch(tokens, 0, S))
    h = []
    head = model.get_output_embeddings()
    hook = head.register_forward_hook(lambda module, taken, made: h.append(taken[0][0].detach()))
    want = model(token).logits[0].detach().log_softmax(-1)
    hook.remove()
    key = next((k for k in got if "lm_head" in k), None) or next(k for k in got if k.endswith(("wte.weight", "embed_tokens.weight")))
    p = (torch.linalg.pinv(h[0].T) @ (got[key].T * S)) + F.one_hot(target[0], V)
    likely = want > -7  # of others the difference says less
    likely[:, token[0]] = False
    off = abs(p.clamp(min=1e-30).log() - want)[likely].max().item()
    check(likely.sum() > S * V / 4 and off < 1e-3, f"{name}: logits of {S} tokens ({off:.0e})")


def compare(name, config):
    torch.manual_seed(2)  # with 1, an element of opt at the kink of ReLU goes the other way in single precision
    model = make(name, config)
    weights = ("--weights", f"{DIR}/{name}/model.safetensors")
    tokens = ref.write_tokens(np.random.default_rng(5), {"vocabulary": V})
    compare_logits(name, model, tokens, weights)

    write_plan(name, 4, ref.BATCH)
    loss, got = gradients(name, *weights)
    want = loss_of(model, *ref.batch(tokens, 0, S))
    want.backward()
    off = abs(loss / want.item() - 1)
    check(off < 1e-6, f"{name}: loss {loss:.7f} ({off:.0e})")
    named = dict(model.named_parameters())
    prefix = "" if got.keys() == named.keys() else os.path.commonprefix(list(named))
    same = {k.removeprefix(prefix) for k in got} == {k.removeprefix(prefix) for k in named}
    check(same, f"{name}: {len(named)} tensors, of the same names")
    for key, p in named.items():
        g = got[key if key in got else key.removeprefix(prefix)]
        off = (abs(g - p.grad).max() / max(abs(p.grad).max(), 1e-3)).item()  # that of a key's bias is 0 without rotation
        check(g.shape == p.shape and off < ref.GRADIENT_TOLERANCE, f"{name}: gradient of {key} ({off:.0e})")

    got = ref.train("--steps", str(ref.STEPS), "--learning-rate", str(ref.RATE), *weights)
    decayed = [(f"{key}{'.weight' if p.dim() > 1 else '.plain'}", p) for key, p in named.items()]
    for step, want in enumerate(ref.adamw_losses(decayed, lambda s: loss_of(model, *ref.batch(tokens, s, S)))):
        off = abs(got[step] / want - 1)
        check(off < ref.LOSS_TOLERANCE, f"{name}: loss of step {step + 1} of AdamW: {got[step]:.7f} ({off:.0e})")


torch.set_num_threads(2)
torch.set_default_dtype(torch.float64)
ref.write_inputs("gelu")
for family, its_config in CONFIGS.items():
    compare(family, its_config)
print(f"1..{check.n}")
sys.exit(check.failed)
