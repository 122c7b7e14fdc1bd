#!/usr/bin/env python3
"""TAP. The parts of other families than GPT against PyTorch in double precision, written out in plain operations: the same weights,
handed over as a checkpoint, and the same tokens give the same gradient of every tensor and the same losses of five steps of AdamW.
    torch_families.py SAILOR-TRAIN DIRECTORY"""
import math
import struct
import sys

import h5py
import numpy as np
import torch
from torch.nn import functional as F

import torch_reference as ref
from torch_reference import check

TRAIN, DIR = sys.argv[1:3]
SCALING = {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 64}
GATED = {"activation": "silu", "norm": "rmsnorm", "positions": "rotary", "biases_added": "none", "kv_heads": 2}
TIED = {"head": "final norm and the embedding"}
FAMILIES = {
    "llama": GATED | {"rope_theta": 1000, "rope_scaling": SCALING},
    "mistral": GATED | {"window": 20, "head_size": 12},
    "qwen2": GATED | TIED | {"biases_added": "qkv only", "norm_epsilon": 1e-3},
    "opt": TIED | {"activation": "relu", "position_offset": 2},
    "gpt2": TIED | {"activation": "gelu_new"},
    "gpt_neo": TIED | {"activation": "gelu_new", "attention_scaled": False, "window": 20, "window_of_blocks": "odd",
                       "biases_added": "all but qkv"},
}


class Family:
    """Weights by the names of the checkpoint, in its shapes, and what they compute."""

    def __init__(self, model, weights):
        self.model, self.a, self.w = model, model["architecture"], weights
        self.A, self.H, self.S = model["heads"], model["hidden_size"], model["sequence_length"]
        self.K = self.a.get("kv_heads", self.A)
        self.d = self.a.get("head_size", self.H // self.A)
        self.ffn = self.a["ffn_size"]
        self.rms = self.a.get("norm") == "rmsnorm"
        self.begin = None  # [batch, S] where the document of each token begins, where documents are apart

    def norm(self, x, at):
        eps = self.a.get("norm_epsilon", 1e-5)
        if self.rms:
            return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * self.w[at + ".gain"]
        return F.layer_norm(x, (self.H,), self.w[at + ".gain"], self.w[at + ".bias"], eps)

    def linear(self, x, at, out):
        y = x @ self.w[at + ".weight"].reshape(out, -1).T
        return y + self.w[at + ".bias"].reshape(out) if at + ".bias" in self.w else y

    def back(self, x, at, rows):
        """Of matrices that the file has inputs first."""
        y = x @ self.w[at + ".weight"].reshape(rows, -1)
        return y + self.w[at + ".bias"] if at + ".bias" in self.w else y

    def frequencies(self):
        f = self.a.get("rope_theta", 10000) ** (-torch.arange(0, self.d, 2, dtype=torch.float64) / self.d)
        s = self.a.get("rope_scaling")
        if not s:
            return f
        old, low, high, factor = (s[k] for k in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor", "factor"))
        length = 2 * math.pi / f
        smooth = (old / length - low) / (high - low)
        between = (1 - smooth) * f / factor + smooth * f
        return torch.where(length < old / high, f, torch.where(length > old / low, f / factor, between))

    def rotate(self, x):  # [batch, heads, S, d]
        angle = torch.outer(torch.arange(self.S, dtype=torch.float64), self.frequencies())
        cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
        half = torch.cat([-x[..., self.d // 2:], x[..., :self.d // 2]], -1)
        return x * cos + half * sin

    def attention(self, x, at, layer):
        B, A, K, S, d = len(x), self.A, self.K, self.S, self.d
        if K == A:
            q, k, v = self.linear(x, at + "qkv", 3 * A * d).reshape(B, S, A, 3, d).permute(3, 0, 2, 1, 4)
        else:
            q = self.linear(x, at + "q", A * d).reshape(B, S, A, d).transpose(1, 2)
            k, v = self.linear(x, at + "kv", 2 * K * d).reshape(B, S, K, 2, d).permute(3, 0, 2, 1, 4)
        if self.a.get("positions") == "rotary":
            q, k = self.rotate(q), self.rotate(k)
        k, v = k.repeat_interleave(A // K, 1), v.repeat_interleave(A // K, 1)
        far = torch.arange(S)[:, None] - torch.arange(S)[None, :]
        hidden = (far < 0)[None, None]
        if self.begin is not None:
            hidden = hidden | (torch.arange(S)[None, None, None, :] < self.begin[:, None, :, None])
        if "window" in self.a and not (self.a.get("window_of_blocks") == "odd" and layer % 2):
            hidden = hidden | (far >= self.a["window"])
        scores = q @ k.transpose(-1, -2) * (1 if self.a.get("attention_scaled") is False else d ** -0.5)
        p = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        return self.back((p @ v).transpose(1, 2).reshape(B, S, A * d), at + "out", A * d)

    def feed_forward(self, x, at):
        if self.a["activation"] == "silu":
            gate, up = self.linear(x, at + "fc1", 2 * self.ffn).reshape(*x.shape[:-1], self.ffn, 2).unbind(-1)
            y = F.silu(gate) * up
        else:
            y = self.linear(x, at + "fc1", self.ffn)
            y = F.relu(y) if self.a["activation"] == "relu" else F.gelu(y, approximate="tanh")
        return self.back(y, at + "fc2", self.ffn)

    def loss(self, token, target):
        table = self.w["layer0/tokens"].reshape(-1, self.H)
        x = table[token]
        if "layer0/positions" in self.w:
            first = self.a.get("position_offset", 0)
            place = torch.arange(self.S) - (0 if self.begin is None else self.begin)
            x = x + self.w["layer0/positions"].reshape(-1, self.H)[first + place]
        last = self.model["num_layers"] - 1
        for layer in range(1, last):
            at = f"layer{layer}/"
            x = x + self.attention(self.norm(x, at + "norm1"), at, layer)
            x = x + self.feed_forward(self.norm(x, at + "norm2"), at)
        matrix = self.w.get(f"layer{last}/matrix", table).reshape(-1, self.H)
        return F.cross_entropy((self.norm(x, f"layer{last}/norm") @ matrix.T).flatten(0, 1), target.flatten())


def set_weights(random, path, spread):
    weights = {}
    with h5py.File(path, "r+") as f:
        f.attrs["step"] = np.int64(0)
        for layer in f:
            for tensor in f[layer]:
                w = f[layer][tensor]
                value = random.normal(1 if tensor.endswith("gain") else 0, spread, w["weight"].shape).astype("f4")
                w["weight"][:], w["adam_m"][:], w["adam_v"][:] = value, 0, 0
                weights[f"{layer}/{tensor}"] = torch.tensor(value.astype("f8"), requires_grad=True)
    return weights


def compare(name, parts):
    spread = 0.05 if parts.get("attention_scaled") is False else 0.1  # large scores make single precision itself the error
    random = np.random.default_rng(5)
    model = ref.write_inputs("gelu", {"family": name, "ffn_size": 96} | parts)
    tokens, start, after = ref.write_tokens(random, model), f"{DIR}/start.h5", f"{DIR}/after.h5"
    ref.train("--steps", "1", "--checkpoint", start)
    weights = set_weights(random, start, spread)
    r = Family(model, weights)

    ref.train("--steps", "1", "--learning-rate", "0", "--resume", start, "--checkpoint", after)  # adam_m = (1 - beta1) gradient
    r.loss(*ref.batch(tokens, 0, r.S)).backward()
    with h5py.File(after) as f:
        for key, weight in weights.items():
            want = weight.grad.numpy()
            off = abs(f[key + "/adam_m"][:].astype("f8") / 0.1 - want).max() / abs(want).max()
            check(off < ref.GRADIENT_TOLERANCE, f"{name}: gradient of {key} ({off:.0e})")

    got = ref.train("--steps", str(ref.STEPS), "--learning-rate", str(ref.RATE), "--resume", start)
    for step, (loss, want) in enumerate(zip(got, ref.adamw_losses(weights.items(), lambda s: r.loss(*ref.batch(tokens, s, r.S))))):
        off = abs(loss / want - 1)
        check(off < ref.LOSS_TOLERANCE, f"{name}: loss of step {step + 1}: {loss:.7f} ({off:.0e})")


def write_documents(random, tokens):
    """The same tokens as a dataset of Megatron's, of documents of 1 to 39 tokens. Where they begin, and how many tokens are
    trained on."""
    sizes = []
    while sum(sizes) < len(tokens):
        sizes.append(min(int(random.integers(1, 40)), len(tokens) - sum(sizes)))
    n, starts = len(sizes), np.cumsum([0] + sizes)
    with open(f"{DIR}/documents.bin", "wb") as f:
        f.write(tokens.astype("<u2").tobytes())
    with open(f"{DIR}/documents.idx", "wb") as f:
        f.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, n, n + 1) + np.array(sizes, "<i4").tobytes()
                + (2 * starts[:-1]).astype("<i8").tobytes() + np.arange(n + 1, dtype="<i8").tobytes())
    return starts, next(int(s) for s in starts if s >= len(tokens) - len(tokens) // 10)


def apart(name, parts):
    """Sequences of several documents, none of which sees another one."""
    random = np.random.default_rng(9)
    model = ref.write_inputs("gelu", {"family": name, "ffn_size": 96} | parts)
    starts, known = write_documents(random, ref.write_tokens(random, model))
    tokens, start, after = np.fromfile(f"{DIR}/documents.bin", "<u2"), f"{DIR}/start.h5", f"{DIR}/after.h5"
    data = ("--data", f"{DIR}/documents.idx", "--separate-documents")
    ref.train("--steps", "1", "--checkpoint", start, *data)
    weights = set_weights(random, start, 0.05 if parts.get("attention_scaled") is False else 0.1)
    r = Family(model, weights)

    def loss(step):
        first = ref.places(known, step, r.S)
        begin = [[max(int(starts[np.searchsorted(starts, p + i, "right") - 1]) - p, 0) for i in range(r.S)] for p in first]
        r.begin = torch.tensor(begin)
        return r.loss(*ref.batch(tokens, step, r.S, known))

    ref.train("--steps", "1", "--learning-rate", "0", "--resume", start, "--checkpoint", after, *data)
    loss(0).backward()
    with h5py.File(after) as f:
        for key, weight in weights.items():
            want = weight.grad.numpy()
            off = abs(f[key + "/adam_m"][:].astype("f8") / 0.1 - want).max() / abs(want).max()
            check(off < ref.GRADIENT_TOLERANCE, f"{name}, documents apart: gradient of {key} ({off:.0e})")
    got = ref.train("--steps", str(ref.STEPS), "--learning-rate", str(ref.RATE), "--resume", start, *data)
    for step, (value, want) in enumerate(zip(got, ref.adamw_losses(weights.items(), loss))):
        off = abs(value / want - 1)
        check(off < ref.LOSS_TOLERANCE, f"{name}, documents apart: loss of step {step + 1}: {value:.7f} ({off:.0e})")


def clipped():
    """Gradients of a norm above the limit, at a rate that rises and falls."""
    random = np.random.default_rng(7)
    model = ref.write_inputs("gelu", {"family": "gpt", "activation": "gelu", "ffn_size": 96})
    tokens, start = ref.write_tokens(random, model), f"{DIR}/start.h5"
    ref.train("--steps", "1", "--checkpoint", start)
    weights = set_weights(random, start, 0.1)
    r = Family(model, weights)
    rows = ref.train_rows("--steps", "5", "--learning-rate", "0.01", "--resume", start, "--clip", "0.5", "--schedule", "cosine",
                          "--rate-warmup", "2", "--rate-end", "0.05")
    plain = [w for n, w in weights.items() if not n.endswith(("weight", "tokens", "positions", "matrix"))]
    decay = [w for n, w in weights.items() if n.endswith(("weight", "tokens", "positions", "matrix"))]
    adam = torch.optim.AdamW([{"params": decay, "weight_decay": ref.DECAY}, {"params": plain, "weight_decay": 0}], lr=0.01,
                             betas=(0.9, 0.95), eps=1e-8)
    for step, row in enumerate(rows):
        rate = 0.01 * ((step + 1) / 2 if step < 2 else 0.05 + 0.475 * (1 + math.cos(math.pi * (step - 1) / 3)))
        for group in adam.param_groups:
            group["lr"] = rate
        adam.zero_grad()
        loss = r.loss(*ref.batch(tokens, step, r.S))
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), 0.5).item()
        adam.step()
        good = abs(row["loss"] / loss.item() - 1) < ref.LOSS_TOLERANCE and abs(row["learning_rate"] / rate - 1) < 1e-12
        check(good and norm > 0.5 and abs(row["gradient_norm"] / norm - 1) < 1e-4,
              f"clipped, a cosine: step {step + 1}: loss {row['loss']:.7f}, norm {row['gradient_norm']:.4f}, rate {rate:.2g}")


torch.set_num_threads(2)
for family, its_parts in FAMILIES.items():
    compare(family, its_parts)
for family in ("llama", "gpt2", "gpt_neo"):
    apart(family, FAMILIES[family])
clipped()
print(f"1..{check.n}")
sys.exit(check.failed)
