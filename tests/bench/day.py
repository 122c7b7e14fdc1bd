#!/usr/bin/env python3
"""A made-up day of availability as a job: nodes of two GPU types in one zone that come and go. Measured nowhere; for tests and
benches of `sailor replan`. Usage: day.py [ROWS [SEED]] > DAY.json"""
import json
import sys

TYPES = {"A100-40": (8, 48), "V100-16": (16, 96)}  # least and most GPUs; nodes of 4
DAY_S = 86400


def numbers(seed):
    """The same on every machine and version."""
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield seed >> 33


def main():
    rows, seed = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in ((1, 500), (2, 1)))
    draw = numbers(seed)
    count = {gpu: (least + most) // 8 * 4 for gpu, (least, most) in TYPES.items()}
    pools = []
    for i in range(rows):
        gpus = [{"zone": "us-central1-a", "gpu": gpu, "count": n} for gpu, n in count.items()]
        pools.append({"time_s": DAY_S * i // rows, "gpus": gpus})
        gpu = list(TYPES)[next(draw) % 2]  # one type changes, by one node or two
        least, most = TYPES[gpu]
        count[gpu] = min(most, max(least, count[gpu] + 4 * (next(draw) % 5 - 2)))
    job = {"format": "sailor-job/1", "source": f"made up by tests/bench/day.py {rows} {seed}: no real trace", "model": "opt-350m",
           "site": "gcp", "global_batch_size": 1024, "pools": pools}
    json.dump(job, sys.stdout)
    print()


main()
