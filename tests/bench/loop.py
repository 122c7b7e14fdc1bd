#!/usr/bin/env python3
"""The table of tests/bench/loop.sh: what `sailor simulate` estimates with the profile and links that were measured before a run,
beside what the run measured. All figures are medians of the rounds; errors are those of each round by itself.
    loop.py SAILOR DIRECTORY ROUNDS NAME..."""
import json
import math
import statistics
import subprocess
import sys

import h5py
import numpy as np

sailor, out, rounds, names = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]


def estimates(name, at):
    text = subprocess.run([sailor, "simulate", f"{out}/{name}.json", "--inputs", f"{at}/inputs", "--json"], stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    return json.loads(text)


def memory_bytes(plan, model, stage, threads):
    """What a rank of each degree holds: docs/trainer.md, Memory."""
    stages, m = plan["pipelines"][0]["stages"], plan["micro_batch_size"]
    S, H, A, V, L = (model[k] for k in ("sequence_length", "hidden_size", "heads", "vocabulary", "num_layers"))
    width = [sum(r.get("count", 1) for r in s["replicas"]) for s in stages]
    first, end = stages[stage]["layers"]
    slots = min(math.ceil(sum(width[stage:]) / width[stage]), math.ceil(plan["global_batch_size"] / m / width[stage]))
    most = 0
    for t in {r["tp"] for r in stages[stage]["replicas"]}:
        N, ffn = m * S, model["architecture"]["ffn_size"] / t
        blocks, head, last = min(end, L - 1) - max(first, 1), end == L, stage == len(stages) - 1
        kept = blocks * (4 * N * H + 4 * N * H / t + N * ffn + m * A * S * S / t + 4 * N) + (first == 0) * N
        kept += head * (2 * N * H + 2 * N + N * math.ceil(V / 128 / t) * 128 + N)
        sent = (2 + (0 if last else slots)) * N * H
        work = N * H + head * 3 * N + (blocks > 0) * (4 * N * H / t + 2 * N * ffn + S * S * threads)
        most = max(most, 4 * (4 * sum(model["memory"]["tp"][str(t)]["params"][first:end]) + slots * kept + sent + work))
    return most


def percent(estimate, measured):
    return 100 * (estimate / measured - 1)


def compare(name, at):
    """One round of one plan."""
    guess = estimates(name, at)
    with h5py.File(f"{at}/run.h5") as f:
        inputs, threads, ledger = json.loads(f.attrs["inputs_json"]), int(f.attrs["threads"]), f["rank/peak_total_bytes"][:]
        phase = [p.decode() for p in f["time/phase"][:]]
        time, stage = f["time/time_s"][:][f["step/warmup"][:] == 0], f["rank/stage"][:]
    plan = inputs["plan"]
    stages = guess["pipelines"][0]["stages"]
    of = {p: np.median(time[:, :, i], axis=0) for i, p in enumerate(phase)}  # by rank
    work = of["forward"] + of["backward"] + of["tensor"]
    width = [sum(r.get("count", 1) for r in s["replicas"]) for s in plan["pipelines"][0]["stages"]]
    batches = [math.ceil(plan["global_batch_size"] / plan["micro_batch_size"] / w) for w in width]
    busiest = max(range(len(stages)), key=lambda s: batches[s] * stages[s]["compute_s"])
    with open(f"{at}/inputs/models/{plan['model']}.json") as f:
        model = json.load(f)
    steps, busy = time[:, :, 0].max(axis=1), work[stage == busiest].max()
    estimate, busy_estimate = guess["iteration_time_s"], batches[busiest] * stages[busiest]["compute_s"]
    return {"estimate": estimate, "measured": np.median(steps), "error": percent(estimate, np.median(steps)),
            "spread": 100 * (np.percentile(steps, 75) - np.percentile(steps, 25)) / np.median(steps),
            "work_estimate": busy_estimate, "work": busy, "work_error": percent(busy_estimate, busy),
            "wait": of["wait"][stage == busiest].max(), "sum": of["data"].min(), "sum_estimate": guess["sync_time_s"],
            "memory_error": 100 * max(abs(memory_bytes(plan, model, s, threads) / ledger[stage == s].max() - 1)
                                      for s in range(len(stages)))}


print(f"\n{'':14}   iteration, s                          work of the busiest stage, s  it waits  gradient sums, ms  memory")
print(f"{'plan':14} estimate measured   error  spread   estimate measured   error         s  estimate measured   error")
errors = []
for name in names:
    each = [compare(name, f"{out}/{k + 1}/{name}") for k in range(rounds)]
    r = {k: statistics.median(x[k] for x in each) for k in each[0]}
    errors.append(abs(r["error"]))
    print(f"{name:14} {r['estimate']:8.4f} {r['measured']:8.4f} {r['error']:+6.1f} % {r['spread']:5.1f} %"
          f"   {r['work_estimate']:8.4f} {r['work']:8.4f} {r['work_error']:+6.1f} %  {r['wait']:8.4f}"
          f"  {1e3 * r['sum_estimate']:8.2f} {1e3 * r['sum']:8.2f}  {r['memory_error']:5.2f} %", flush=True)
print(f"\n{len(names)} plans, {rounds} rounds: error of the iteration time mean {statistics.mean(errors):.1f} %, most {max(errors):.1f} %. "
      "Spread: of a run's steps, between the quartiles")
