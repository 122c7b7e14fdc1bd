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

# within SECONDS TITLE CMD...: ended by itself, stopped, in that time
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
within 4 "7 types: --time-limit is kept while the tables are built" "$sailor" plan "$tmp/seven.json" --time-limit 2 -q
within 4 "15 cells: kept before the first plan is found" "$sailor" plan "$tmp/many.json" --time-limit 2 -q
within 4 "a million GPUs: kept while the units are listed" "$sailor" plan "$tmp/million.json" --time-limit 2 -q
# shellcheck disable=SC2016 # for the other shell
within 6 "so is a signal" timeout --preserve-status -s TERM 2 "$BASH" -c 'exec "$0" "$@"' "$sailor" plan "$tmp/seven.json" -q

# One replica in each of five zones: a pattern on five of fifteen cells, more than are searched.
pool "$tmp/spread.json" opt-350m 1024 '{"pin": {"micro_batch_size": 1, "stages": 1, "data_parallel": 5}}' \
    A100-40,V100-16,GH-96 $five 1
run "$sailor" plan "$tmp/spread.json" --gap 0 --time-limit 30 -q --json
[ "$rc" != 3 ]
ok $? "a pool is infeasible only if nothing was left out"
json "o[0]['status'] != 'infeasible'" "nor does the row say so"
finish
