#!/usr/bin/env bash
# Two ranks of one thread against one, on searches of 20 s or more of one core that end by themselves.
#   make bench-ranks        or: BIN=build RUNS=3 tests/bench/ranks.sh [NAME...]
# One line per search: the least wall time of RUNS (1) runs on one rank and on two, taken in turn, and the efficiency; the
# processor time of both; the efficiency on two ranks by the replay of the recorded tasks; and whether both gave the same answer.
# Only on a machine with two idle cores do the wall times mean anything; the processor times and the replay do elsewhere, too.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive HDF5_USE_FILE_LOCKING=FALSE
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
echo "# load average at the start: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null)"
exec "${PYTHON:-python3}" - "${BIN:-build}/sailor" "${MPIEXEC:-mpirun}" "${RUNS:-1}" "$tmp" "$@" <<'PY'
import json, os, subprocess, sys, time

sailor, mpiexec, runs, tmp, *names = sys.argv[1:]
SEARCHES = {  # GPUs of each type, objective, options
    "neo-3x256": (256, "throughput", ["--gap", "0.005"]),
    "neo-3x64-front": (64, "frontier", []),
    "neo-3x256-front": (256, "frontier", []),
}

def plan(ranks, job, out, options):
    """The answer without its time, wall and processor seconds."""
    start, before = time.monotonic(), os.times()
    launch = [mpiexec, "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*launch, sailor, "plan", job, "-o", out, "-f", "--json", "-q", "--estimator", "sailor", *options],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    wall, after = time.monotonic() - start, os.times()
    row = json.loads(done.stdout.splitlines()[0])
    row.pop("search_s")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return row, wall, cpu

print(f"{'search':16}{'1 rank s':>10}{'2 ranks s':>10}{'eff.':>7}{'cpu s':>8}{'cpu s':>8}{'replay':>8}  same")
for name, (count, objective, options) in SEARCHES.items():
    if names and name not in names:
        continue
    job, out = os.path.join(tmp, name + ".json"), os.path.join(tmp, name + ".h5")
    gpus = [{"zone": "us-central1-a", "gpu": g, "count": count} for g in ("A100-40", "V100-16", "GH-96")]
    with open(job, "w") as f:
        json.dump({"format": "sailor-job/1", "model": "gpt-neo-2.7b", "site": "gcp", "global_batch_size": 2048,
                   "objective": objective, "pools": [{"gpus": gpus}]}, f)
    best, answers = {}, []
    for ranks in [1, 2] * int(runs):
        row, wall, cpu = plan(ranks, job, out, options)
        answers.append(row)
        best[ranks] = min(best.get(ranks, (wall, cpu)), (wall, cpu))
    lines = subprocess.run([sailor, "report", out, "--scaling", "--json"], capture_output=True, text=True, check=True).stdout
    replay = [json.loads(line) for line in lines.splitlines()][1]["efficiency"]
    (one, cpu1), (two, cpu2) = best[1], best[2]
    same = "yes" if all(a == answers[0] for a in answers) else "NO"
    print(f"{name:16}{one:10.1f}{two:10.1f}{one / two / 2:7.2f}{cpu1:8.1f}{cpu2:8.1f}{replay:8.2f}  {same}", flush=True)
PY
