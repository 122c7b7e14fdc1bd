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


def percent(estimate, measured):
    return 100 * (estimate / measured - 1)


def compare(name, at):
    """One round of one plan."""
    guess = estimates(name, at)
    with h5py.File(f"{at}/run.h5") as f:
        inputs, peak = json.loads(f.attrs["inputs_json"]), f["rank/process_peak_bytes"][:].max()
        phase = [p.decode() for p in f["time/phase"][:]]
        time, stage = f["time/time_s"][:][f["step/warmup"][:] == 0], f["rank/stage"][:]
    plan = inputs["plan"]
    stages = guess["pipelines"][0]["stages"]
    of = {p: np.median(time[:, :, i], axis=0) for i, p in enumerate(phase)}  # by rank
    work = of["forward"] + of["backward"] + of["tensor"]
    width = [sum(r.get("count", 1) for r in s["replicas"]) for s in plan["pipelines"][0]["stages"]]
    batches = [math.ceil(plan["global_batch_size"] / plan["micro_batch_size"] / w) for w in width]
    busiest = max(range(len(stages)), key=lambda s: batches[s] * stages[s]["compute_s"])
    steps, busy = time[:, :, 0].max(axis=1), work[stage == busiest].max()
    estimate, busy_estimate = guess["iteration_time_s"], batches[busiest] * stages[busiest]["compute_s"]
    return {"estimate": estimate, "measured": np.median(steps), "error": percent(estimate, np.median(steps)),
            "spread": 100 * (np.percentile(steps, 75) - np.percentile(steps, 25)) / np.median(steps),
            "work_estimate": busy_estimate, "work": busy, "work_error": percent(busy_estimate, busy),
            "wait": of["wait"][stage == busiest].max(), "sum": of["data"].min(), "sum_estimate": guess["sync_time_s"],
            "memory": peak / 1e6, "memory_error": percent(guess["peak_memory_bytes"], peak)}


print(f"\n{'':14}   iteration, s                          work of the busiest stage, s  it waits  gradient sums, ms  process")
print(f"{'plan':14} estimate measured   error  spread   estimate measured   error         s  estimate measured    MB   error")
errors, memory_errors = [], []
for name in names:
    each = [compare(name, f"{out}/{k + 1}/{name}") for k in range(rounds)]
    r = {k: statistics.median(x[k] for x in each) for k in each[0]}
    errors.append(abs(r["error"]))
    memory_errors.append(abs(r["memory_error"]))
    print(f"{name:14} {r['estimate']:8.4f} {r['measured']:8.4f} {r['error']:+6.1f} % {r['spread']:5.1f} %"
          f"   {r['work_estimate']:8.4f} {r['work']:8.4f} {r['work_error']:+6.1f} %  {r['wait']:8.4f}"
          f"  {1e3 * r['sum_estimate']:8.2f} {1e3 * r['sum']:8.2f}  {r['memory']:5.1f} {r['memory_error']:+5.1f} %", flush=True)
print(f"\n{len(names)} plans, {rounds} rounds: error of the iteration time mean {statistics.mean(errors):.1f} %, most {max(errors):.1f} %. "
      f"Memory of the fullest process: error at most {max(memory_errors):.1f} %. Spread: of a run's steps, between quartiles")
