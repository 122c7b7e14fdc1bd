#!/usr/bin/env python3
"""Training on this machine's processor beside PyTorch: tokens per second of both, in turn, with as many threads each. Then
one rank with two threads against two ranks (D = 2) with one each. A busy machine disturbs the first ratio of a row; the others
count processor time, of all threads and of the first one: that of the first is what the clock shows where none has to wait.
    train.py BIN RUNS [PYTHON-WITH-TORCH]     from the root of the repository; OMP_NUM_THREADS threads, all CPUs without"""
import json
import os
import re
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile

binaries, runs = sys.argv[1], int(sys.argv[2])
python = sys.argv[3] if len(sys.argv) > 3 else sys.executable
MPIRUN = shlex.split(os.environ.get("MPIEXEC") or "mpirun")
THREADS = int(os.environ.get("OMP_NUM_THREADS", "").split(",")[0] or len(os.sched_getaffinity(0)))
CASES = ["gpt-tiny fp32 4 16 20", "gpt-10m fp32 2 8 4", "gpt2-124m fp32 1 1 2"]  # model, type, microbatch, batch, steps


def output(*words, threads=THREADS):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads))
    return subprocess.run(words, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout


def rates(text, tokens):
    """Tokens per second, and per second of processor time of all threads and of the first one, of a program with the threads
    that it should have."""
    had = int(re.search(r"(\d+) threads", text)[1])
    if had != THREADS:
        sys.exit(f"train.py: {had} threads where {THREADS} were asked for: {text.splitlines()[0]}")
    used = re.search(r"processor ([\d.]+) ms \(first thread ([\d.]+)\)", text)
    return float(re.search(r"(\d+) tokens/s", text)[1]), 1e3 * tokens / float(used[1]), 1e3 * tokens / float(used[2])


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def against_torch(case):
    name, _, _, batch, _ = case.split()
    tokens = int(batch) * {"gpt-tiny": 128, "gpt-10m": 256, "gpt2-124m": 1024}[name]
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(rates(output(f"{binaries}/bench_train", *case.split()), tokens))
        theirs.append(rates(output(python, "tests/bench/bench_gpu_torch.py", "--cpu", *case.split()), tokens))
    ratios = [spread([o[k] / t[k] for o, t in zip(ours, theirs)], 2) for k in range(3)]
    print(f"{name:10} {spread([o[0] for o in ours], 0):26} {spread([t[0] for t in theirs], 0):26} "
          + " ".join(f"{r:20}" for r in ratios), flush=True)


def processor_s():
    """Of all programs that have ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def step_s(plan, ranks, threads):
    """The median of ten steps; processor time of one: that of a run less that of one with ten steps fewer."""
    used = []
    for count in (2, 12):
        before = processor_s()
        lines = output(*MPIRUN, "-n", str(ranks), f"{binaries}/sailor-train", "run", plan, "--steps", str(count), "--warmup", "2", "-q",
                       "--json", "--threads", str(threads), threads=threads).splitlines()
        used.append(processor_s() - before)
    steps = [json.loads(line) for line in lines if line.startswith("{")]
    return statistics.median(s["iteration_time_s"] for s in steps[2:]), (used[1] - used[0]) / 10


def ranks_against_threads(model):
    with tempfile.TemporaryDirectory() as tmp:
        site = os.path.join(tmp, "site.json")
        with open(site, "w", encoding="utf-8") as f:
            json.dump({"format": "sailor-site/1", "name": "local", "source": "made up", "zones": ["local"], "gpus": [
                {"name": "cpu", "memory_bytes": 16 * 2**30, "gpus_per_node": 2}], "links": {"fits": [], "rows": []}}, f)
        for d in (1, 2):
            replicas = [{"gpu": "cpu", "tp": 1, "zone": "local"}] * d
            with open(os.path.join(tmp, f"{d}.json"), "w", encoding="utf-8") as f:
                json.dump({"format": "sailor-plan/1", "model": model, "site": site, "global_batch_size": 32, "micro_batch_size": 4,
                           "pipelines": [{"stages": [{"layers": [0, 6], "replicas": replicas}]}]}, f)
        pairs = [(step_s(os.path.join(tmp, "1.json"), 1, 2), step_s(os.path.join(tmp, "2.json"), 2, 1)) for _ in range(runs)]
    wall, processor = ([one[k] / two[k] for one, two in pairs] for k in (0, 1))
    print(f"{model}: 2 ranks (D = 2) are {spread(wall, 2)} times as fast as 1 rank with 2 threads, by processor time "
          f"{spread(processor, 2)}", flush=True)


try:
    print("# PyTorch", output(python, "-c", "import torch; print(torch.__version__)").strip(), f"{runs} runs each, in turn,",
          THREADS, "threads, load", open("/proc/loadavg", encoding="ascii").read().split()[0])
    print(f"{'fp32':10} {'tokens/s':26} {'PyTorch':26} {'ratio by the clock':20} {'by processor time':20} by that of the first thread")
    for c in CASES:
        against_torch(c)
except subprocess.CalledProcessError:
    print(f"# no PyTorch behind {python}: nothing to compare with")
ranks_against_threads("gpt-tiny")
