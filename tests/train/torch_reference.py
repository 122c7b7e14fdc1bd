#!/usr/bin/env python3
"""TAP. sailor-train against PyTorch's own layers in double precision: the same weights, handed over as a checkpoint, and the
same tokens, as a .bin file, give the same gradient of every tensor and the same losses over some steps of AdamW.
    torch_reference.py SAILOR-TRAIN DIRECTORY"""
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import torch
from torch.nn import functional as F

TRAIN, DIR = sys.argv[1:3]
BATCH, MICRO, STEPS, SEED, RATE, DECAY = 4, 2, 5, 11, 3e-3, 0.1
# Single precision against double: up to 1.4e-6 of a tensor's largest gradient and 6e-6 of the loss after some steps, for AdamW
# divides gradients by their own size, however small. Wrong decay, epsilon or beta show as 5e-5 and more.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 2e-5, 1e-5


def check(good, title):
    check.n += 1
    check.failed |= not good
    print(f"{'ok' if good else 'not ok'} {check.n} - {title}", flush=True)


check.n, check.failed = 0, False


# ---- the reference ----

def splitmix64(x):
    mask = (1 << 64) - 1
    x = (x + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & mask
    return x ^ x >> 31


def places(train, step, S):
    """Where the sequences of a step begin, of `train` tokens to train on: docs/trainer.md, Data."""
    return [splitmix64((splitmix64(SEED + 1) + step * BATCH + i) % 2**64) % (train - S) for i in range(BATCH)]


def batch(tokens, step, S, train=None):
    """Inputs and targets of a step."""
    first = places(train or len(tokens) - len(tokens) // 10, step, S)
    rows = torch.tensor(np.array([tokens[f:f + S + 1] for f in first], dtype=np.int64))
    return rows[:, :-1], rows[:, 1:]


class Reference(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        H, V = model["hidden_size"], model["vocabulary"]
        gelu = model["architecture"]["activation"] == "gelu"
        self.S = model["sequence_length"]
        self.tokens, self.positions = torch.nn.Embedding(V, H), torch.nn.Embedding(self.S, H)
        self.blocks = torch.nn.ModuleList(torch.nn.TransformerEncoderLayer(
            H, model["heads"], model["architecture"]["ffn_size"], dropout=0, batch_first=True, norm_first=True,
            activation=(lambda x: F.gelu(x, approximate="tanh")) if gelu else F.relu) for _ in range(model["num_blocks"]))
        self.norm, self.matrix = torch.nn.LayerNorm(H), torch.nn.Linear(H, V, bias=False)
        self.double()

    def loss(self, token, target):
        mask = torch.full((self.S, self.S), -torch.inf, dtype=torch.float64).triu(1)
        x = self.tokens(token) + self.positions(torch.arange(self.S))
        for b in self.blocks:
            x = b(x, src_mask=mask)
        return F.cross_entropy(self.matrix(self.norm(x)).flatten(0, 1), target.flatten())


def named(r, model):
    """The checkpoint's names, each with the reference's parameter and how the file's order of elements becomes its own."""
    H, A, FF = model["hidden_size"], model["heads"], model["architecture"]["ffn_size"]
    same, d = (lambda shape: lambda x: x.reshape(shape)), H // A
    turned = lambda rows: lambda x: x.reshape(rows, -1).T  # inputs first in the file
    out = {"layer0/tokens": (r.tokens.weight, same((-1, H))), "layer0/positions": (r.positions.weight, same((-1, H)))}
    for i, b in enumerate(r.blocks, 1):
        at = f"layer{i}/"
        out |= {at + "norm1.gain": (b.norm1.weight, same(H)), at + "norm1.bias": (b.norm1.bias, same(H)),
                # heads outside in the file, query, key and value outside in PyTorch
                at + "qkv.weight": (b.self_attn.in_proj_weight, lambda x: x.reshape(A, 3, d, H).swapaxes(0, 1).reshape(3 * H, H)),
                at + "qkv.bias": (b.self_attn.in_proj_bias, lambda x: x.reshape(A, 3, d).swapaxes(0, 1).reshape(3 * H)),
                at + "out.weight": (b.self_attn.out_proj.weight, turned(H)), at + "out.bias": (b.self_attn.out_proj.bias, same(H)),
                at + "norm2.gain": (b.norm2.weight, same(H)), at + "norm2.bias": (b.norm2.bias, same(H)),
                at + "fc1.weight": (b.linear1.weight, same((FF, H))), at + "fc1.bias": (b.linear1.bias, same(FF)),
                at + "fc2.weight": (b.linear2.weight, turned(FF)), at + "fc2.bias": (b.linear2.bias, same(H))}
    at = f"layer{len(r.blocks) + 1}/"
    return out | {at + "norm.gain": (r.norm.weight, same(H)), at + "norm.bias": (r.norm.bias, same(H)),
                  at + "matrix": (r.matrix.weight, same((-1, H)))}


# ---- the trainer ----

def train_rows(*args):
    data = [] if "--data" in args else ["--data", f"{DIR}/tokens.bin"]
    run = subprocess.run([TRAIN, "run", f"{DIR}/plan.json", "--inputs", f"{DIR}/inputs", *data,
                          "--seed", str(SEED), "--weight-decay", str(DECAY), "-q", "--json", "-f", *args],
                         stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def train(*args):
    return [row["loss"] for row in train_rows(*args)]


def write_inputs(activation, architecture=None):
    with open("inputs/models/gpt-tiny.json") as f:
        model = json.load(f)
    model["architecture"]["activation"] = activation
    model["architecture"] = architecture or model["architecture"]
    stage = {"layers": [0, model["num_layers"]], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}
    plan = {"format": "sailor-plan/1", "model": model["name"], "site": "local", "global_batch_size": BATCH,
            "micro_batch_size": MICRO, "pipelines": [{"stages": [stage]}]}
    os.makedirs(f"{DIR}/inputs/models", exist_ok=True)
    os.makedirs(f"{DIR}/inputs/sites", exist_ok=True)
    with open("inputs/sites/local.json") as f:
        site = json.load(f)
    for path, value in (f"inputs/models/{model['name']}", model), ("inputs/sites/local", site), ("plan", plan):
        with open(f"{DIR}/{path}.json", "w") as f:
            json.dump(value, f)
    return model


def write_tokens(random, model):
    tokens = (model["vocabulary"] * random.random(6000) ** 2).astype("<u2")
    with open(f"{DIR}/tokens.bin", "wb") as f:
        f.write(np.array([20240520, 1, len(tokens)] + [0] * 253, dtype="<i4").tobytes() + tokens.tobytes())
    return tokens


def set_weights(random, path, reference, model):
    """Weights large enough to matter, biases and gains away from 0 and 1, for both."""
    with h5py.File(path, "r+") as f:
        f.attrs["step"] = np.int64(0)
        for name, (parameter, order) in named(reference, model).items():
            w = f[name + "/weight"]
            value = random.normal(1 if name.endswith("gain") else 0, 0.1, w.shape).astype("f4")
            w[:], f[name + "/adam_m"][:], f[name + "/adam_v"][:] = value, 0, 0
            with torch.no_grad():
                parameter.copy_(torch.tensor(order(value.astype("f8"))))


def adamw_losses(named_parameters, loss_of_step):
    decay, plain = [], []
    for name, parameter in named_parameters:
        (decay if name.endswith(("weight", "tokens", "positions", "matrix")) else plain).append(parameter)
    adam = torch.optim.AdamW([{"params": decay, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0}], lr=RATE,
                             betas=(0.9, 0.95), eps=1e-8)
    for step in range(STEPS):
        adam.zero_grad()
        loss = loss_of_step(step)
        loss.backward()
        adam.step()
        yield loss.item()


def compare(activation):
    random = np.random.default_rng(5)
    model = write_inputs(activation)
    tokens, start, after = write_tokens(random, model), f"{DIR}/start.h5", f"{DIR}/after.h5"
    torch.manual_seed(1)
    r = Reference(model)
    train("--steps", "1", "--checkpoint", start)
    set_weights(random, start, r, model)

    train("--steps", "1", "--learning-rate", "0", "--resume", start, "--checkpoint", after)  # adam_m = (1 - beta1) gradient
    r.loss(*batch(tokens, 0, r.S)).backward()
    with h5py.File(after) as f:
        for name, (parameter, order) in named(r, model).items():
            want = parameter.grad.numpy()
            off = abs(order(f[name + "/adam_m"][:].astype("f8")) / 0.1 - want).max() / abs(want).max()
            check(off < GRADIENT_TOLERANCE, f"{activation}: gradient of {name} ({off:.0e})")

    got = train("--steps", str(STEPS), "--learning-rate", str(RATE), "--resume", start)
    parameters = [(name, parameter) for name, (parameter, _) in named(r, model).items()]
    for step, want in enumerate(adamw_losses(parameters, lambda s: r.loss(*batch(tokens, s, r.S)))):
        off = abs(got[step] / want - 1)
        check(off < LOSS_TOLERANCE, f"{activation}: loss of step {step + 1}: {got[step]:.7f} ({off:.0e})")


if __name__ == "__main__":
    torch.set_num_threads(2)
    compare("relu")
    compare("gelu")
    print(f"1..{check.n}")
    sys.exit(check.failed)
