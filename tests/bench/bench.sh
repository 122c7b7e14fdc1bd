#!/usr/bin/env bash
# Whole-process measurements: plans every row of the published experiments in a process of its own, including start-up
# and reading of the inputs, RUNS times (5) on at most two cores; then the estimator alone, on one core.
#   make bench        or: BIN=build RUNS=9 tests/bench/bench.sh [JOB.json...]
# One line per row: median, minimum and maximum of the wall time, the largest peak memory of any run, and when the first
# plan within 1 % of the answer was found (seconds of the search, without start-up and reading, of one more run). Each round runs all
# rows once, so that a busy spell of the machine is spread over them. Lines with # are not data.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${BIN:-build} runs=${RUNS:-5} python=${PYTHON:-python3}
estimator=${ESTIMATOR:-sailor} limit=${LIMIT:-900} # seconds; a row that takes longer is stopped there and shown with the gap it had reached
[ $# -gt 0 ] || set -- inputs/fig7.json inputs/fig8b.json inputs/fig10.json inputs/fig11.json inputs/fig12.json
cores=$(nproc); [ "$cores" -lt 2 ] || cores=2
pin=()
if command -v taskset >/dev/null; then
    pin=(taskset --cpu-list "$(taskset --cpu-list --pid $$ | sed 's/.*: //' | tr ',' '\n' |
        awk -F- '{ for (c = $1; c <= ($2 == "" ? $1 : $2); c++) print c }' | head -n "$cores" | paste -sd,)")
fi
export OMP_NUM_THREADS=$cores OMP_WAIT_POLICY=passive
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

echo "# $("$bin/sailor" --version | head -n 1); $(date -u +%FT%TZ); $(uname -sm);" \
    "$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo 2>/dev/null)"
echo "# $cores cores of $(nproc), $runs runs, estimator $estimator; load average at the start: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null)"
"${pin[@]}" "$python" - "$bin/sailor" "$bin/bench_near" "$runs" "$limit" "$estimator" "$tmp" "$@" <<'PY'
import copy, json, os, statistics, subprocess, sys, time

sailor, near, runs, limit, estimator, tmp, *jobs = sys.argv[1:]
cases = []  # one per row: [name, job file, wall seconds, peak KiB, last answer]
for path in jobs:
    if not os.path.exists(path):
        print(f"# {path} is not there")
        continue
    with open(path) as f:
        job = json.load(f)
    for i, row in enumerate(job["pools"]):
        one = dict(copy.deepcopy(job), pools=[row])
        name = os.path.splitext(os.path.basename(path))[0]
        one_path = os.path.join(tmp, f"{name}-{i}.json")
        with open(one_path, "w") as f:
            json.dump(one, f)
        cases.append([f"{name}[{i}]", one_path, [], [], None])

def measure(command, out):
    """Wall seconds and peak KiB of one process, from fork to wait."""
    with open(out, "wb") as stdout, open(out + ".err", "wb") as stderr:
        start = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return time.monotonic() - start, usage.ru_maxrss, child.returncode

failed = 0
for _ in range(int(runs)):
    for case in cases:
        out = case[1] + ".out"
        wall, rss, status = measure([sailor, "plan", case[1], "--json", "--estimator", estimator, "--time-limit", limit], out)
        print(f"{case[0]}: {wall:.3f} s", file=sys.stderr)
        with open(out) as f:
            text = f.read().strip()
        if status not in (0, 3, 75):
            failed += 1
            with open(out + ".err") as f:
                print(f"# {case[0]}: exit status {status}: {f.read().strip()[-300:]}")
            continue
        case[2].append(wall)
        case[3].append(rss)
        case[4] = json.loads(text.splitlines()[-1]) if text else {"status": "no plan"}

columns = "row", "median[s]", "min[s]", "max[s]", "peak[MiB]", "1%[s]", "search[s]", "plans", "status", "gap"
print("%-10s %10s %9s %9s %10s %8s %10s %12s %10s %9s" % columns)
def cell(answer, key, form):
    value = answer.get(key)
    return form % value if isinstance(value, (int, float)) else "-"
for name, path, wall, rss, answer in cases:
    if wall:
        within = subprocess.run([near, path, estimator], capture_output=True, text=True).stdout.strip() if os.path.exists(near) else "-"
        print("%-10s %10.3f %9.3f %9.3f %10.1f %8s %10s %12s %10s %9s" % (
            name, statistics.median(wall), min(wall), max(wall), max(rss) / 1024, within, cell(answer, "search_s", "%.3f"),
            cell(answer, "plans_evaluated", "%d"), answer.get("status", "-"), cell(answer, "gap", "%.2g")))
sys.exit(1 if failed else 0)
PY

# full evaluations of complete plans per second on one core
if [ -x "$bin/bench_eval" ]; then
    OMP_NUM_THREADS=1 "$bin/bench_eval" "$runs"
else
    echo "# bench_eval is not built: no figure for the estimator alone"
fi
