#!/usr/bin/env python3
"""bench_gpu's models in PyTorch, on the same device: what others reach. bench_gpu_torch.py [MODEL fp32|bf16 MICROBATCH BATCH STEPS]

The same network (head of its own, no dropout), AdamW, gradients summed over the microbatches of a batch, random tokens. bf16: parameters
in float, computed under autocast, which is how it is usually trained; scaled_dot_product_attention (FlashAttention), torch.compile, fused
AdamW. fp32 with TF32 products. FLOP are counted as bench_gpu counts them, and as llm.c does. --eager: without torch.compile; --cpu: on
the processor, and eager."""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = {  # blocks, hidden, heads, sequence, vocabulary, activation
    "gpt2-124m": (12, 768, 12, 1024, 50257, "gelu"), "gpt2-350m": (24, 1024, 16, 1024, 50257, "gelu"),
    "gpt2-774m": (36, 1280, 20, 1024, 50257, "gelu"), "gpt2-1.5b": (48, 1600, 25, 1024, 50257, "gelu"),
    "opt-350m": (24, 1024, 16, 2048, 50272, "relu"), "gpt-10m": (6, 384, 6, 256, 4096, "gelu"),
    "gpt-tiny": (4, 128, 8, 128, 512, "gelu"), "tiny": (2, 64, 4, 32, 300, "gelu")}
SUITE = [("gpt2-124m", "bf16", 64, 256, 10), ("gpt2-350m", "bf16", 32, 128, 10), ("gpt2-774m", "bf16", 16, 64, 8),
         ("gpt2-1.5b", "bf16", 16, 64, 8), ("opt-350m", "bf16", 16, 64, 8), ("opt-350m", "fp32", 8, 32, 6)]
PEAK = {"A100": 312e12, "H100": 989.4e12, "H200": 989.4e12, "GH200": 989.4e12}  # dense bf16, SXM; TF32 is half
WARMUP = 3


def attention(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    later = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool).triu(1)  # PyTorch 1
    return F.softmax((q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).masked_fill(later, -torch.inf), -1) @ v


class Block(nn.Module):
    def __init__(self, hidden, heads, activation):
        super().__init__()
        self.heads = heads
        self.activation = (lambda x: F.gelu(x, approximate="tanh")) if activation == "gelu" else F.relu
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.fc1, self.fc2 = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        n, s, h = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, s, 3, self.heads, h // self.heads).permute(2, 0, 3, 1, 4)
        y = attention(q, k, v)
        x = x + self.out(y.transpose(1, 2).reshape(n, s, h))
        return x + self.fc2(self.activation(self.fc1(self.norm2(x))))


class Model(nn.Module):
    def __init__(self, blocks, hidden, heads, sequence, vocabulary, activation):
        super().__init__()
        vocabulary = (vocabulary + 127) // 128 * 128
        self.tokens, self.positions = nn.Embedding(vocabulary, hidden), nn.Embedding(sequence, hidden)
        self.blocks = nn.ModuleList(Block(hidden, heads, activation) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(hidden), nn.Linear(hidden, vocabulary, bias=False)

    def forward(self, token, target):
        x = self.tokens(token) + self.positions.weight
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).view(-1, self.head.out_features).float(), target.view(-1))


def bench(name, dtype, micro_batch, batch, steps, device, compiled):
    blocks, hidden, heads, sequence, vocabulary, activation = SHAPES[name]
    torch.manual_seed(1)
    model = Model(*SHAPES[name]).to(device)
    parameters = sum(p.numel() for p in model.parameters())
    padded = model.head.out_features
    step = torch.compile(model) if compiled else model
    fused = {"fused": True} if device == "cuda" else {}
    adam = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1, **fused)
    token = torch.randint(vocabulary, (micro_batch, sequence), device=device)
    target = torch.randint(vocabulary, (micro_batch, sequence), device=device)
    count = (batch + micro_batch - 1) // micro_batch
    times = []
    for i in range(WARMUP + steps):
        if device == "cuda":
            torch.cuda.synchronize()
        if i == WARMUP:
            processor, first = time.process_time(), time.thread_time()
        began = time.perf_counter()
        for _ in range(count):
            with torch.autocast(device, torch.bfloat16, enabled=dtype == "bf16"):
                loss = step(token, target) / count
            loss.backward()
        adam.step()
        adam.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        if i >= WARMUP:
            times.append(time.perf_counter() - began)
    processor, first = (time.process_time() - processor) / steps, (time.thread_time() - first) / steps
    s = statistics.median(times)
    tokens = count * micro_batch * sequence
    matrices = blocks * (12 * hidden * hidden + 2 * sequence * hidden) + vocabulary * hidden  # multiply-adds per token, forward
    flops = 6 * tokens * matrices
    as_llmc = tokens * (6 * (parameters - padded * hidden) + 6 * blocks * hidden * sequence)
    gpu = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    peak = next((v for k, v in PEAK.items() if k in gpu), 0) / (1 if dtype == "bf16" else 2)
    mfu = f", mfu {100 * flops / s / peak:.1f} % (as llm.c counts: {100 * as_llmc / s / peak:.1f} %)" if peak else ""
    memory = f", peak {torch.cuda.max_memory_allocated() / 2**30:.3f} GiB" if device == "cuda" else ""
    print(f"{name} {dtype}, microbatch {micro_batch}, batch {batch}: {1e3 * s:.2f} ms ({1e3 * min(times):.2f} to {1e3 * max(times):.2f}), "
          f"{tokens / s:.0f} tokens/s, {flops / s / 1e12:.1f} TFLOP/s{mfu}{memory}, processor {1e3 * processor:.2f} ms (first thread "
          f"{1e3 * first:.2f}), {gpu if device == 'cuda' else f'{torch.get_num_threads()} threads'}, "
          f"torch {torch.__version__}{', compiled' if compiled else ''}", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("job", nargs="*", help="MODEL fp32|bf16 MICROBATCH BATCH STEPS; without: all of them")
    p.add_argument("--eager", action="store_true")
    p.add_argument("--cpu", action="store_true")
    o = p.parse_args()
    if len(o.job) not in (0, 5):
        p.error("expected MODEL fp32|bf16 MICROBATCH BATCH STEPS")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if o.cpu:
        return bench(*(o.job[:2] if o.job else ("tiny", "fp32")), *map(int, o.job[2:] or (2, 4, 3)), "cpu", False)
    for job in [(o.job[0], o.job[1], *map(int, o.job[2:]))] if o.job else SUITE:
        try:
            bench(*job, "cuda", not o.eager)
        except torch.cuda.OutOfMemoryError:
            print(f"{job[0]} {job[1]}: out of memory at microbatch {job[2]}")
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
