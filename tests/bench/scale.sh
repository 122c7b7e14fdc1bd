#!/usr/bin/env bash
# Large pools: what the exact search answers after 1 s, 2 s and LIMIT (60) seconds, beside the planners atlas and sailor.
#   make bench-scale        or: BIN=build LIMIT=20 tests/bench/scale.sh [NAME...]
# One line per pool: iterations per second after each limit, the gap proven at the last one, its wall time and peak memory,
# and the two planners' figures under the same estimator ("-": no plan).
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_WAIT_POLICY=passive HDF5_USE_FILE_LOCKING=FALSE
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
exec "${PYTHON:-python3}" - "${BIN:-build}/sailor" "${LIMIT:-60}" "${ESTIMATOR:-sailor}" "$tmp" "$@" <<'PY'
import json, os, subprocess, sys, time

sailor, limit, estimator, tmp, *names = sys.argv[1:]
CENTRAL = ["us-central1-" + z for z in "abcf"]
ZONES = CENTRAL + ["us-west1-b"]
TYPES = ["A100-40", "V100-16", "A100-80", "GH-96", "Titan-RTX", "RTX-2080", "RTX-3090"]
OPT, NEO = ("opt-350m", 1024), ("gpt-neo-2.7b", 2048)
POOLS = {
    "opt-5z-2x256": (OPT, ZONES, TYPES[:2], 256),
    "neo-5z-2x256": (NEO, ZONES, TYPES[:2], 256),
    "neo-5z-2x32": (NEO, ZONES, TYPES[:2], 32),
    "opt-5z-a100x256": (OPT, ZONES, TYPES[:1], 256),
    "opt-5z-a100x2000": (OPT, ZONES, TYPES[:1], 2000),
    "opt-3z-2x128": (OPT, ZONES[:3], TYPES[:2], 128),
    "neo-1z-3x64": (NEO, ZONES[:1], ["A100-40", "V100-16", "GH-96"], 64),
    "opt-1z-6x64": (OPT, ZONES[:1], TYPES[:6], 64),
    "opt-1z-7x64": (OPT, ZONES[:1], TYPES, 64),
    "opt-1z-6x256": (OPT, ZONES[:1], TYPES[:6], 256),
    "opt-1z-2x10000": (OPT, ZONES[:1], TYPES[:2], 10000),
    "opt-5z-3x1000": (OPT, ZONES, ["A100-40", "V100-16", "GH-96"], 1000),
    "opt-1z-a100x1e6": (OPT, ZONES[:1], TYPES[:1], 1000000),
}

def plan(job, *options):
    """The answer, wall seconds and peak MiB."""
    start = time.monotonic()
    with open(os.path.join(tmp, "out"), "w+b") as out:
        child = subprocess.Popen([sailor, "plan", job, "--json", "-q", "--estimator", estimator, *options], stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        lines = out.read().splitlines()
    row = json.loads(lines[0]) if lines else {}
    return row, time.monotonic() - start, usage.ru_maxrss / 1024

def rate(row):
    return f"{row['throughput_per_s']:.5g}" if row.get("plan") else "-"

print(f"{'pool':18}{'1 s':>10}{'2 s':>10}{limit + ' s':>10}{'gap':>8}{'wall s':>8}{'MiB':>7}{'atlas':>10}{'sailor':>10}")
for name, ((model, batch), zones, types, count) in POOLS.items():
    if names and name not in names:
        continue
    path = os.path.join(tmp, name + ".json")
    with open(path, "w") as f:
        gpus = [{"zone": z, "gpu": g, "count": count} for g in types for z in zones]
        json.dump({"format": "sailor-job/1", "model": model, "site": "gcp", "global_batch_size": batch, "pools": [{"gpus": gpus}]}, f)
    short = [rate(plan(path, "--time-limit", s)[0]) for s in ("1", "2")]
    row, wall, mib = plan(path, "--time-limit", limit)
    others = [rate(plan(path, "--planner", p, "--time-limit", limit)[0]) for p in ("atlas", "sailor")]
    gap = f"{100 * row['gap']:.1f} %" if row.get("plan") else "-"
    print(f"{name:18}{short[0]:>10}{short[1]:>10}{rate(row):>10}{gap:>8}{wall:>8.1f}{mib:>7.0f}{others[0]:>10}{others[1]:>10}", flush=True)
PY
