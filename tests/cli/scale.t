#!/usr/bin/env bash
# TAP. `sailor plan` on large pools: a limit is a limit, and a pool is not called infeasible while anything is unproven.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1

# pool FILE MODEL BATCH EXTRA TYPES ZONES COUNT: that many GPUs of every type in every zone
pool() {
    "$python" - "$@" <<'PY'
import json, sys
path, model, batch, extra, types, zones, count = sys.argv[1:]
gpus = [{"zone": z, "gpu": g, "count": int(count)} for g in types.split(",") for z in zones.split(",")]
job = {"format": "sailor-job/1", "model": model, "site": "gcp", "global_batch_size": int(batch), "pools": [{"gpus": gpus}]}
json.dump({**job, **json.loads(extra)}, open(path, "w"))
PY
}
seven=A100-40,V100-16,A100-80,GH-96,Titan-RTX,RTX-2080,RTX-3090
us="us-central1"
five=$us-a,$us-b,$us-c,$us-f,us-west1-b

# within SECONDS TITLE CMD...: it stopped by itself within that time
within() {
    local most=$1 title=$2 began ended
    shift 2
    began=$(date +%s%N)
    run "$@"
    ended=$(date +%s%N)
    [ "$rc" = 75 ] && [ $(((ended - began) / 1000000)) -le $((most * 1000)) ]
    ok $? "$title"
}
pool "$tmp/seven.json" opt-350m 1024 '{}' $seven $us-a 64
pool "$tmp/many.json" opt-350m 1024 '{}' A100-40,V100-16,GH-96 $five 1000
pool "$tmp/million.json" opt-350m 1024 '{}' A100-40 $us-a 1000000
within 4 "7 types: --time-limit is kept while the tables are built" "$sailor" plan "$tmp/seven.json" --time-limit 2 -q --json
json "o[0]['plan'] is not None" "and a plan was found by then"
within 4 "15 cells: kept before the first plan is found" "$sailor" plan "$tmp/many.json" --time-limit 2 -q
within 4 "a million GPUs: kept while the units are listed" "$sailor" plan "$tmp/million.json" --time-limit 2 -q
# shellcheck disable=SC2016 # for the other shell
within 6 "so is a signal" timeout --preserve-status -s TERM 2 "$BASH" -c 'exec "$0" "$@"' "$sailor" plan "$tmp/seven.json" -q

# Whatever lines of progress there is time for. `--gap 0` has one attempt at each unit, others several.
pool "$tmp/three.json" gpt-neo-2.7b 2048 '{}' A100-40,V100-16,GH-96 $us-a 64
for gap in 0 0.01; do
    run "$sailor" plan "$tmp/three.json" --gap $gap --time-limit 4
    "$python" - "$tmp/err" <<'PY'
import re, sys
lines = [x for x in open(sys.argv[1]) if " units  " in x]
units = [tuple(map(int, re.search(r"(\d+)/(\d+) units", x).groups())) for x in lines]
etas = [float(x) for x in re.findall(r"eta (\S+) s", "".join(lines))]
print(f"# {len(lines)} lines, the last with {units[-1:]} units; {len(etas)} with an ETA")
true = all(done <= total for done, total in units) and units == sorted(units) and len({t for _, t in units}) == 1
sys.exit(not true or min(etas, default=0) < 0)
PY
    ok $? "progress with --gap $gap: units done grow and are never more than there are, the ETA is not negative"
done

# One replica in each of five zones: a pattern on five of fifteen cells, more than the search covers.
pool "$tmp/spread.json" opt-350m 1024 '{"pin": {"micro_batch_size": 1, "stages": 1, "data_parallel": 5}}' \
    A100-40,V100-16,GH-96 $five 1
run "$sailor" plan "$tmp/spread.json" --gap 0 --time-limit 30 -q --json
[ "$rc" != 3 ]
ok $? "a pool is infeasible only if nothing was left out"
json "o[0]['status'] != 'infeasible'" "nor does the row say so"

# Two zones of equal GPUs without a link between them: their price decides or, if they are free, the time.
twins() {
    "$python" - "$@" <<'PY'
import json, sys
path, site, objective, dear, cheap = sys.argv[1:]
zones, gpu = ["za", "zb"], "A100-40"
rows = [[z, gpu, a, z, gpu, b, 0] for z in zones for a in (1, 2, 4) for b in (1, 2, 4)]
json.dump({"format": "sailor-site/1", "name": "twins", "zones": zones,
           "gpus": [{"name": gpu, "memory_bytes": 42949672960, "gpus_per_node": 4}],
           "usd_per_gpu_hour": {"za": {gpu: float(dear)}, "zb": {gpu: float(cheap)}},
           "egress_usd_per_GB": {z: {y: 0 for y in zones} for z in zones},
           "links": {"fits": [[0, 0, 10, 10000000000.0]], "rows": rows}}, open(site, "w"))
json.dump({"format": "sailor-job/1", "model": "opt-350m", "site": site, "global_batch_size": 256, "objective": objective,
           "pools": [{"gpus": [{"zone": z, "gpu": gpu, "count": 8} for z in zones]}]}, open(path, "w"))
PY
}
twins "$tmp/twins.json" "$tmp/twins-site.json" throughput 5 2
run "$sailor" plan "$tmp/twins.json" -q --json
json "o[0]['plan']['pipelines'][0]['stages'][0]['replicas'][0]['zone'] == 'zb'" "of plans as fast the cheapest"
fastest=$("$python" -c "import json; print(json.loads(open('$tmp/out').readline())['iteration_time_s'])")
twins "$tmp/free.json" "$tmp/free-site.json" cost 0 0
run "$sailor" plan "$tmp/free.json" -q --json
json "o[0]['status'] == 'optimal' and abs(o[0]['iteration_time_s'] - $fastest) < 1e-9 * $fastest" "of plans that cost nothing the fastest"
finish
