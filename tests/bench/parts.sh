#!/usr/bin/env bash
# Random pools of up to 5 zones x 7 types, 1 to 512 GPUs each, with all objectives and some limits: is any part of a pool (each zone, each
# type, two random halves), or any published planner in the same space, better after LIMIT (2) seconds than the whole pool is?
#   BIN=build LIMIT=2 tests/bench/parts.sh [POOLS [SEED]]
# One line per pool: the value, its gap, and by how much the best part and the best planner are better (0 %: none is; a
# planner that takes 20 times LIMIT has no plan). KNOWN=FILE keeps the answers of parts and planners for the next run.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_WAIT_POLICY=passive HDF5_USE_FILE_LOCKING=FALSE
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
exec "${PYTHON:-python3}" - "${BIN:-build}/sailor" "${LIMIT:-2}" "$tmp" "${KNOWN:-}" "${1:-20}" "${2:-1}" <<'PY'
import json, math, os, random, subprocess, sys

sailor, limit, tmp, known_file, pools, first = sys.argv[1:]
ZONES = ["us-central1-" + z for z in "abcf"] + ["us-west1-b"]
TYPES = {"opt-350m": ["A100-40", "V100-16", "A100-80", "GH-96", "Titan-RTX", "RTX-2080", "RTX-3090"],
         "gpt-neo-2.7b": ["A100-40", "V100-16", "A100-80", "GH-96"]}
USED = TYPES["opt-350m"]
PLANNERS = ["varuna", "piper", "amp", "galvatron", "metis", "flashflex", "dtfm", "atlas", "sailor"]
USD_PER_HOUR = {"A100-80": 5, "Titan-RTX": 1, "RTX-2080": 0.6, "RTX-3090": 1.2}  # made up: the site has none
NONE = 1e-6  # what counts as better
known = json.load(open(known_file)) if known_file and os.path.exists(known_file) else {}

site = os.path.join(tmp, "site.json")
with open("inputs/sites/gcp.json") as f:
    gcp = json.load(f)
for prices in gcp["usd_per_gpu_hour"].values():
    prices.update({g: usd for g, usd in USD_PER_HOUR.items() if prices[g] is None})
fit = {tuple(x[:6]): x[6] for x in gcp["links"]["rows"]}
for z in ZONES:  # pairs without a link get that of two A100-40
    for y in ZONES:
        for g in USED:
            for h in USED:
                for n in (1, 2, 4):
                    for k in (1, 2, 4):
                        like = (z, "A100-40", n, y, "A100-40", k)
                        if (z, g, n, y, h, k) not in fit and like in fit:
                            gcp["links"]["rows"].append([z, g, n, y, h, k, fit[like]])
with open(site, "w") as f:
    json.dump(gcp, f)

def run(job, *options):
    path = os.path.join(tmp, "job.json")
    with open(path, "w") as f:
        json.dump(job, f)
    command = [sailor, "plan", path, "--json", "-q", "--threads", "1", *options]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20 * float(limit))
    except subprocess.TimeoutExpired:
        return [], math.inf, None
    lines = done.stdout.splitlines()
    row = json.loads(lines[0]) if lines else {}
    if not row.get("plan"):
        return [], math.inf, None
    points = [[x["iteration_time_s"], x["cost_usd_per_iteration"]] for x in row.get("frontier") or [row]]
    return points, row.get("gap"), row["plan"]

def in_space(plan):
    """As docs/search.md declares it, where a planner may leave it."""
    stages = plan["pipelines"][0]["stages"]
    before = {}
    if len(plan["pipelines"]) > 1 or len({sum(r["count"] for r in s["replicas"]) for s in stages}) > 1:
        return False
    for s in stages:
        zones = [r["zone"] for r in s["replicas"]]
        once = [z for i, z in enumerate(zones) if i == 0 or zones[i - 1] != z]
        if len({(r["gpu"], r["tp"]) for r in s["replicas"]}) > len({r["gpu"] for r in s["replicas"]}) or len(once) > len(set(once)):
            return False
        for i, z in enumerate(once):
            before.setdefault(z, set()).update(once[:i])
    while before:
        free = [z for z, b in before.items() if not b & before.keys()]
        if not free:
            return False
        del before[free[0]]
    return True

def draw(seed):
    r = random.Random(seed)
    model = r.choice(sorted(TYPES))
    zones = r.sample(ZONES, r.randint(1, 5))
    types = r.sample(TYPES[model], r.randint(1, len(TYPES[model])))
    gpus = [{"zone": z, "gpu": g, "count": round(math.exp(r.uniform(0, math.log(512))))} for z in zones for g in types if r.random() < 0.8]
    job = {"format": "sailor-job/1", "model": model, "site": site, "global_batch_size": r.choice([256, 1024, 2048]),
           "objective": r.choice(["throughput", "throughput", "cost", "frontier"]), "pools": [{"gpus": gpus}]}
    estimator, limited, by, halves = r.choice(["sailor", "native"]), r.random() < 0.4, r.uniform(0.4, 1.2), r.getrandbits(64)
    return job, estimator, limited, by, halves

def parts_of(gpus, halves):
    for key in ("zone", "gpu"):
        names = sorted({x[key] for x in gpus})
        for name in names if len(names) > 1 else []:
            yield name, [x for x in gpus if x[key] == name]
    for k in range(2):
        some = [x for i, x in enumerate(gpus) if halves >> (k * 32 + i % 32) & 1]
        if 0 < len(some) < len(gpus):
            yield f"half {k}", some

def better_by(objective, points, than):
    """By which share the best of the points is better than all it is compared with."""
    most = 0
    for t, c in points:
        if objective == "frontier":
            least = min((max(u / t, d / c) for u, d in than), default=math.inf)
        else:
            at = objective == "cost"
            least = min((x[at] / [t, c][at] for x in than), default=math.inf)
        most = max(most, least - 1)
    return most

behind = beaten = asked = 0
for seed in range(int(first), int(first) + int(pools)):
    job, estimator, limited, by, halves = draw(seed)
    gpus, objective = job["pools"][0]["gpus"], job["objective"]
    if not gpus:
        continue
    key = f"{seed}"
    memo = known.setdefault(key, {})
    if limited and objective != "frontier":
        free = memo["free"] if "free" in memo else run(job, "--estimator", estimator, "--time-limit", limit)[0]
        memo["free"] = free
        if free and objective == "throughput":
            job["max_usd_per_iteration"] = by * free[0][1]
        elif free:
            job["min_iterations_per_s"] = 1 / (2 * by * free[0][0])
    options = ["--estimator", estimator, "--time-limit", limit]
    whole, gap, _ = run(job, *options)
    zones, types = ({x[key] for x in gpus} for key in ("zone", "gpu"))
    line = f"{seed:5} {objective:10} {estimator:6} {len(zones)}z {len(types)}t {'limit' if limited else '     '} "
    line += f"{min((x[objective == 'cost'] for x in whole), default=math.inf):10.5g} gap {gap:7.4f}"
    worst, who = 0, ""
    if not (whole and gap == 0):
        for name, some in parts_of(gpus, halves):
            at = "part " + name
            if at not in memo:
                memo[at] = run(dict(job, pools=[{"gpus": some}]), *options)[0]
            asked += 1
            by_part = better_by(objective, memo[at], whole)
            behind += by_part > NONE
            if by_part > worst:
                worst, who = by_part, at
        for name in PLANNERS if objective != "frontier" else []:
            if name not in memo:
                points, _, plan = run(job, *options, "--planner", name)
                memo[name] = points if plan and in_space(plan) else []
            by_planner = better_by(objective, memo[name], whole)
            beaten += by_planner > NONE
            if by_planner > worst:
                worst, who = by_planner, name
    print(f"{line}  {100 * worst:7.3f} % {who}", flush=True)
    if known_file:
        with open(known_file, "w") as f:
            json.dump(known, f)
print(f"{asked} parts, {behind} better than the whole; {beaten} plans of planners better")
PY
