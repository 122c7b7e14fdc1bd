#!/usr/bin/env python3
"""Fits the constants of GH200 and its framework anew on the published runs of one and two nodes, leaving out each of these
runs in turn, and says how far off all 15 runs are: with the constants as they ship, fitted here, and with the run itself
left out of the fit (docs/estimator.md, "How far off they are"). A run that was never fitted on is estimated by the fit on
all four. With "all", constants are fitted on all 15 runs, and on the 14 others.
    leave_out.py [SAILOR [INPUTS [all]]]"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

sailor = sys.argv[1] if len(sys.argv) > 1 else "build/sailor"
inputs = os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else "inputs")
GPU, FRAMEWORK = "GH-96", "megatron-deepspeed-fp32"
# s that the reduction of gradients took (red_grads of eth-easl/sailor@cf2c8e3)
REDUCED = {"N1_D1_M4_G1": 0.00823, "N1_D1_M4_G32": 0.00803, "N2_D2": 0.03601}

with open(f"{inputs}/validation/opt-350m-gh200.json") as f:
    PLANS = {p["name"].removeprefix("plan_config_"): p for p in json.load(f)["plans"]}
SMALL = [n for n, p in PLANS.items() if p["measured"]["nodes"] <= 2]
POOL = list(PLANS) if sys.argv[3:] == ["all"] else SMALL


def run(*args):
    text = subprocess.run([sailor, *args, "--json"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in text.splitlines()]


class World:
    """A copy of the inputs with other constants."""

    def __init__(self, root):
        self.root, self.known = root, {}
        for name in os.listdir(inputs):
            if name not in ("devices.json", "frameworks.json"):
                os.symlink(f"{inputs}/{name}", f"{root}/{name}")
        with open(f"{inputs}/devices.json") as f:
            self.devices = json.load(f)
        with open(f"{inputs}/frameworks.json") as f:
            self.frameworks = json.load(f)
        self.sheet = next(d["sheet"] for d in self.devices["devices"] if GPU in d["names"])
        self.framework = next(f for f in self.frameworks["frameworks"] if f["name"] == FRAMEWORK)
        with open(f"{root}/plans.json", "w") as f:
            json.dump({"plans": list(PLANS.values())}, f)
        with open(f"{inputs}/sites/gcp.json") as f:
            self.context = next(g for g in json.load(f)["gpus"] if g["name"] == GPU)["context_bytes"]
        self.shipped = (self.sheet["launch_bound"], self.framework["staging_s_per_GB"], self.sheet["gradient_rings"], self.context)

    def estimates(self, launch, staging, rings):
        """(time, memory without context) of each run."""
        at = (launch, staging, rings)
        if at not in self.known:
            self.sheet["launch_bound"], self.sheet["gradient_rings"] = launch, rings
            self.framework["staging_s_per_GB"] = staging
            for name, what in (("devices", self.devices), ("frameworks", self.frameworks)):
                with open(f"{self.root}/{name}.json", "w") as f:
                    json.dump(what, f)
            rows = run("validate", f"{self.root}/plans.json", "--inputs", self.root)[:-1]
            self.known[at] = {n: (r["iteration_time_s"], r["peak_memory_bytes"] - self.context) for n, r in zip(PLANS, rows)}
        return self.known[at]

    def errors(self, launch, staging, rings, context):
        """In percent, with sign."""
        return {n: (100 * (t / PLANS[n]["measured"]["iteration_time_s"] - 1),
                    100 * ((b + context) / PLANS[n]["measured"]["peak_memory_bytes"] - 1))
                for n, (t, b) in self.estimates(launch, staging, rings).items()}

    def ring_s(self):
        """The reduction on two nodes, if rings reached all of the link."""
        self.estimates(*self.shipped[:2], 1)  # writes the files
        with open(f"{self.root}/one.json", "w") as f:
            json.dump(PLANS["N2_D2"], f)
        return run("simulate", f"{self.root}/one.json", "--inputs", self.root)[0]["sync_time_s"]


def least(cost, low, high):
    """Golden section, to three digits of the range."""
    ratio = (5 ** 0.5 - 1) / 2
    while high - low > 1e-3 * max(abs(low), abs(high)):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if cost(a) < cost(b) else (a, high)
    return (low + high) / 2


def fit(world, names, ring_s):
    """Launch-bound passes and the receiver's work by the least squares of the errors in time, context by those in memory; rings by
    the reduction that was measured on two nodes, without what it takes on one. What no run is left to say is as without a term."""
    one = [REDUCED[n] for n in REDUCED if n != "N2_D2" and n in names]
    rings = min(1, ring_s / (REDUCED["N2_D2"] - (statistics.mean(one) if one else 0))) if "N2_D2" in names else 1
    piped = any(len(PLANS[n]["pipelines"][0]["stages"]) > 1 for n in names)
    launch, staging = 1.0, 0.0

    def squares(at, x):
        e = world.errors(x, staging, rings, 0) if at == 0 else world.errors(launch, x, rings, 0)
        return sum(e[n][0] ** 2 for n in names)
    for _ in range(2):
        launch = least(lambda x: squares(0, x), 0.6, 1)
        staging = least(lambda x: squares(1, x), 0, 0.2) if piped else 0
    weight = {n: 1 / PLANS[n]["measured"]["peak_memory_bytes"] ** 2 for n in names}
    short = {n: PLANS[n]["measured"]["peak_memory_bytes"] - world.estimates(launch, staging, rings)[n][1] for n in names}
    return launch, staging, rings, sum(weight[n] * short[n] for n in names) / sum(weight.values())


def words(c):
    return f"launch_bound {c[0]:.3f}, staging {c[1]:.4f} s/GB, rings {c[2]:.2f}, context {c[3] / 1e9:.2f} GB"


def summary(title, of):
    eight = [n for n in PLANS if PLANS[n]["micro_batch_size"] == 8]
    line = [title]
    for names, k in ((list(PLANS), 0), (eight, 0), (list(PLANS), 1)):
        e = [abs(of[n][k]) for n in names]
        line.append(f"{statistics.mean(e):.1f} / {max(e):.1f} %")
    print(f"{line[0]:26} time {line[1]:14} at microbatch 8 {line[2]:14} memory {line[3]}")


with tempfile.TemporaryDirectory() as root:
    world = World(root)
    ring_s = world.ring_s()
    shipped, whole = world.errors(*world.shipped), fit(world, POOL, ring_s)
    fitted = world.errors(*whole)
    print(f"as shipped: {words(world.shipped)}\nfitted on {len(POOL)}: {words(whole)}")
    left_out = {}
    for n in PLANS:
        rest = [x for x in POOL if x != n]
        c = whole if n not in POOL else fit(world, rest, ring_s)
        left_out[n] = world.errors(*c)[n]
        if n in POOL:
            print(f"without {n}: {words(c)}")
    print(f"\n{'error, %':14}  shipped: time  memory   fitted: time  memory   left out: time  memory")
    for n in PLANS:
        print(f"{n + ('*' if n in POOL else ''):14}" + "".join(f"{x[n][0]:+{w}.1f} {x[n][1]:+7.1f}" for x, w in
                                                              ((shipped, 15), (fitted, 15), (left_out, 17))))
    print("* fitted on; mean / most:")
    for title, of in (("as shipped", shipped), ("fitted here", fitted), ("the run itself left out", left_out)):
        summary(title, of)
