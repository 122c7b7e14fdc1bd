#!/usr/bin/env python3
"""TAP. Weights that sailor-train writes as safetensors mean what Hugging Face's transformers mean by them: models written out in
plain PyTorch operations with the names and shapes that those have take the file and give the trainer's loss. Back into the trainer the
file gives the checkpoint that it was made of.
    torch_weights.py SAILOR-TRAIN DIRECTORY"""
import json
import struct
import subprocess
import sys

import h5py
import numpy as np
import torch
from torch.nn import functional as F

import torch_reference as ref
from torch_reference import check

TRAIN, DIR = sys.argv[1:3]
GATED = {"activation": "silu", "ffn_size": 96, "norm": "rmsnorm", "positions": "rotary", "biases_added": "none", "kv_heads": 2}
TIED = {"head": "final norm and the embedding"}
FAMILIES = {
    "gpt2": TIED | {"activation": "gelu_new", "ffn_size": 96},
    "gpt_neo": TIED | {"activation": "gelu_new", "ffn_size": 96, "attention_scaled": False, "biases_added": "all but qkv"},
    "opt": TIED | {"activation": "relu", "ffn_size": 96, "position_offset": 2},
    "llama": GATED,
    "qwen2": GATED | TIED | {"biases_added": "qkv only"},
}


def read(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    header.pop("__metadata__")
    out = {}
    for name, t in header.items():
        first, end = t["data_offsets"]
        if t["dtype"] == "F32":
            x = np.frombuffer(data[first:end], "<f4")
        else:
            x = (np.frombuffer(data[first:end], "<u2").astype("<u4") << 16).view("<f4")
        out[name] = torch.tensor(x.reshape(t["shape"]).astype("f8"))
    return out, {t["dtype"] for t in header.values()}


def write(path, tensors, dtype):
    """As another program might: another order, half precision, a tensor that nobody needs."""
    header, data = {}, b""
    for name, x in [*reversed(tensors.items()), ("buffers.mask", torch.ones(2, 2, 2))]:
        b = x.numpy().astype(dtype).tobytes()
        header[name] = {"dtype": {"<f2": "F16", "<f4": "F32"}[dtype], "shape": list(x.shape),
                        "data_offsets": [len(data), len(data) + len(b)]}
        data += b
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def forward(family, w, model, token):
    """transformers' modeling_*.py of the family, as plain operations."""
    A, H, S, eps = model["heads"], model["hidden_size"], model["sequence_length"], 1e-5
    K, d = model["architecture"].get("kv_heads", A), H // A
    conv = family == "gpt2"
    prefix = {"opt": "model.decoder.", "llama": "model.", "qwen2": "model."}.get(family, "transformer.")

    def linear(x, name):
        m = w[prefix + name + ".weight"]
        y = x @ m if conv else x @ m.T
        return y + w[prefix + name + ".bias"] if prefix + name + ".bias" in w else y

    def norm(x, name):
        gain = w[prefix + name + ".weight"]
        if family in ("llama", "qwen2"):
            return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * gain
        return F.layer_norm(x, (H,), gain, w[prefix + name + ".bias"], eps)

    def heads(x, n):
        return x.reshape(len(x), S, n, d).transpose(1, 2)

    def rotary(x):
        f = 10000 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        angle = torch.outer(torch.arange(S, dtype=torch.float64), f)
        cos, sin = torch.cat([angle, angle], -1).cos(), torch.cat([angle, angle], -1).sin()
        return x * cos + torch.cat([-x[..., d // 2:], x[..., :d // 2]], -1) * sin

    def attend(q, k, v, scale):
        s = q @ k.transpose(-1, -2) * scale + torch.full((S, S), -torch.inf, dtype=torch.float64).triu(1)
        return (s.softmax(-1) @ v).transpose(1, 2).reshape(len(q), S, H)

    if family in ("gpt2", "gpt_neo"):
        x = w[prefix + "wte.weight"][token] + w[prefix + "wpe.weight"][:S]
        table, last = w[prefix + "wte.weight"], "ln_f"
    else:
        table, last = w[prefix + "embed_tokens.weight"], "final_layer_norm" if family == "opt" else "norm"
        x = table[token]
        if family == "opt":
            x = x + w[prefix + "embed_positions.weight"][2:2 + S]
    for i in range(model["num_blocks"]):
        if family == "gpt2":
            q, k, v = linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").split(H, -1)
            x = x + linear(attend(heads(q, A), heads(k, A), heads(v, A), d ** -0.5), f"h.{i}.attn.c_proj")
            x = x + linear(F.gelu(linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"), approximate="tanh"), f"h.{i}.mlp.c_proj")
        elif family == "gpt_neo":
            y = norm(x, f"h.{i}.ln_1")
            q, k, v = (heads(linear(y, f"h.{i}.attn.attention.{p}_proj"), A) for p in "qkv")
            x = x + linear(attend(q, k, v, 1), f"h.{i}.attn.attention.out_proj")
            x = x + linear(F.gelu(linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"), approximate="tanh"), f"h.{i}.mlp.c_proj")
        elif family == "opt":
            y = norm(x, f"layers.{i}.self_attn_layer_norm")
            q, k, v = (heads(linear(y, f"layers.{i}.self_attn.{p}_proj"), A) for p in "qkv")
            x = x + linear(attend(q, k, v, d ** -0.5), f"layers.{i}.self_attn.out_proj")
            x = x + linear(F.relu(linear(norm(x, f"layers.{i}.final_layer_norm"), f"layers.{i}.fc1")), f"layers.{i}.fc2")
        else:
            y, at = norm(x, f"layers.{i}.input_layernorm"), f"layers.{i}.self_attn."
            q, k, v = heads(linear(y, at + "q_proj"), A), heads(linear(y, at + "k_proj"), K), heads(linear(y, at + "v_proj"), K)
            k, v = rotary(k).repeat_interleave(A // K, 1), v.repeat_interleave(A // K, 1)
            x = x + linear(attend(rotary(q), k, v, d ** -0.5), at + "o_proj")
            y, at = norm(x, f"layers.{i}.post_attention_layernorm"), f"layers.{i}.mlp."
            x = x + linear(F.silu(linear(y, at + "gate_proj")) * linear(y, at + "up_proj"), at + "down_proj")
    return norm(x, last) @ w.get("lm_head.weight", table).T


def weights(path):
    with h5py.File(path) as f:
        return {f"{layer}/{tensor}": f[layer][tensor]["weight"][:] for layer in f for tensor in f[layer]}


def export(model, start, *args):
    subprocess.run([TRAIN, "weights", start, "--model", f"{DIR}/inputs/models/{model['name']}.json", "-o", f"{DIR}/w.safetensors", "-f",
                    *args], check=True)
    return read(f"{DIR}/w.safetensors")


def compare(family, architecture):
    random = np.random.default_rng(3)
    model = ref.write_inputs("gelu", {"family": family} | architecture)
    tokens, start = ref.write_tokens(random, model), f"{DIR}/start.h5"
    ref.train("--steps", "1", "--learning-rate", "0.1", "--checkpoint", start)
    w, types = export(model, start)
    token, target = ref.batch(tokens, 0, model["sequence_length"])
    want = F.cross_entropy(forward(family, w, model, token).flatten(0, 1), target.flatten()).item()
    got = ref.train("--steps", "1", "--learning-rate", "0", "--weights", f"{DIR}/w.safetensors", "--checkpoint", f"{DIR}/again.h5")[0]
    check(types == {"F32"} and abs(got / want - 1) < 1e-5, f"{family}: the loss of the file's weights ({got:.6f}, {want:.6f})")
    first, again = weights(start), weights(f"{DIR}/again.h5")
    check(first.keys() == again.keys() and all((first[k] == again[k]).all() for k in first), f"{family}: in and out, to the bit")

    write(f"{DIR}/half.safetensors", {k.removeprefix("transformer."): x for k, x in w.items()}, "<f2")
    half = {k: torch.tensor(x.numpy().astype("<f2").astype("f8")) for k, x in w.items()}
    want = F.cross_entropy(forward(family, half, model, token).flatten(0, 1), target.flatten()).item()
    got = ref.train("--steps", "1", "--learning-rate", "0", "--weights", f"{DIR}/half.safetensors")[0]
    check(abs(got / want - 1) < 1e-5, f"{family}: of another program's file in half precision ({got:.6f}, {want:.6f})")
    short, types = export(model, start, "--dtype", "bf16")
    near = all(abs(short[k] - w[k]).max() <= 2 ** -8 * abs(w[k]).max() for k in w)
    check(types == {"BF16"} and short.keys() == w.keys() and near, f"{family}: out in bf16")


if __name__ == "__main__":
    torch.set_num_threads(2)
    for name, parts in FAMILIES.items():
        compare(name, parts)
    print(f"1..{check.n}")
    sys.exit(check.failed)
