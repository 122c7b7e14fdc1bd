#!/usr/bin/env bash
# TAP. jobs/search.sbatch, really submitted to a Slurm of two virtual nodes made for the test (tests/slurm-local.sh):
# a search that runs to its end; one that is cut by the signal of the time limit, requeued by itself and resumed, with the
# answer of a search that was never cut; one that is cancelled, which must stay cancelled; and one that fails.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/slurm.sh"

job() { # number of pools, much alike
    local i sep=
    echo '{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 1024, "pools": ['
    for ((i = 0; i < $1; i++)); do
        echo "$sep{\"gpus\": [{\"zone\": \"us-central1-a\", \"gpu\": \"A100-40\", \"count\": 8}," \
            "{\"zone\": \"us-central1-a\", \"gpu\": \"V100-16\", \"count\": $((24 + i))}]}"
        sep=,
    done
    echo ']}'
}
# A search's rows, without statistics of its course.
answers() {
    "$python" -c '
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({k: v for k, v in row.items() if k not in ("search_s", "plans_evaluated")}, sort_keys=True))'
}
attribute() { # file, name
    "$python" -c '
import sys
try:
    import h5py
except ImportError:
    sys.exit("no h5py")
print(h5py.File(sys.argv[1], "r").attrs[sys.argv[2]])' "$1" "$2" 2>&1
}

start_slurm
two_by_two=(--nodes=2 --ntasks-per-node=2)

# ---- the default request fits a site's nodes, as stated in its file ---------------------------------------
SBATCH_ACCOUNT=none bash -c 'source jobs/env/clariden.sh && sbatch --test-only jobs/search.sbatch inputs/fig10.json' >"$work/log" 2>&1
ok $? "sbatch takes the script as it stands, with jobs/env/clariden.sh" <"$work/log"
SBATCH_ACCOUNT=none bash -c 'source jobs/env/clariden-container.sh && sbatch --test-only jobs/search.sbatch inputs/fig10.json &&
    [ -e "$EDF_PATH/sailor.toml" ] && [ -z "${SBATCH_UENV:-}" ]' >"$work/log" 2>&1
ok $? "and with jobs/env/clariden-container.sh" <"$work/log"

# ---- to the end -------------------------------------------------------------------------------------------------
job 2 >"$work/short.json"
began=$(date +%s%N)
"$sailor" plan "$work/short.json" --json 2>"$work/why" | answers >"$work/short.want"
status=${PIPESTATUS[0]} pool_ms=$((($(date +%s%N) - began) / 2000000 + 1))
ok "$status" "the same search without Slurm" <"$work/why"
id=$(submit "$work/short.log" "${two_by_two[@]}" jobs/search.sbatch "$work/short.json" --json)
wait_for 300 state_is "$id" "$ended"
is "$(state "$id")" COMPLETED "a search on two nodes ends by itself" "$work/short.log"
[ "$(state "$id")" = COMPLETED ] || finish # nothing below could succeed
is "$(field "$id" Restarts)" 0 "it was not requeued" "$work/short.log"
is "$(attribute "$SAILOR_OUT/$id/plan.h5" ranks)" 4 "its four processes were one MPI job" "$work/short.log"
grep '^{' "$work/short.log" | answers | diff "$work/short.want" - >"$work/diff" 2>&1
ok $? "its answer is that of one process" <"$work/diff"
grep -q 'NodeList=nid\[000001-000002\]' "$SAILOR_OUT/$id/provenance.txt"
ok $? "the record names both nodes" <"$SAILOR_OUT/$id/provenance.txt"

# ---- cut, requeued, resumed -----------------------------------------------------------------------------------------
# Enough pools to keep one process busy for ten seconds: a cut then falls into the middle.
pools=$((10000 / pool_ms))
[ "$pools" -gt 2 ] || pools=2
[ "$pools" -lt 100 ] || pools=100
job "$pools" >"$work/long.json"
"$sailor" plan "$work/long.json" --json 2>"$work/why" | answers >"$work/long.want"
ok "${PIPESTATUS[0]}" "the longer search without Slurm" <"$work/why"
id=$(submit "$work/long.log" "${two_by_two[@]}" jobs/search.sbatch "$work/long.json" --json)
wait_for 60 test -e "$SAILOR_OUT/$id/plan.h5" # something is done and saved
scancel --signal=USR1 --batch "$id"            # what --signal=B:USR1@120 sends
wait_for 60 state_is "$id" "PENDING COMPLETED FAILED"
is "$(state "$id") after $(field "$id" Restarts) restart" "PENDING after 1 restart" "the signal sends it back to the queue" "$work/long.log"
grep -q 'stopped early, job .* goes back to the queue' "$work/long.log"
ok $? "because it left with status 75" <"$work/long.log"
out=$SAILOR_OUT/$id/plan.h5
is "$(attribute "$out" complete)" 0 "the file it left is not complete" "$work/long.log"
cp "$out" "$work/cut.h5"
# held for cred_expire seconds (tests/slurm-local.sh), then free to start
wait_for 300 state_is "$id" "$ended"
is "$(state "$id")" COMPLETED "it goes on and ends by itself" "$work/long.log"
grep -q "^== start 1" "$SAILOR_OUT/$id/provenance.txt"
ok $? "the second start is on record" <"$SAILOR_OUT/$id/provenance.txt"
is "$(attribute "$out" complete)" 1 "the file is complete now" "$work/long.log"
"$sailor" plan "$work/long.json" --resume "$out" --json 2>"$work/why" | answers | diff "$work/long.want" - >"$work/diff" 2>&1
ok $? "the answer is that of a search that was never cut" <"$work/diff"
# the cut file serves any number of ranks
"$sailor" plan "$work/long.json" --resume "$work/cut.h5" --json 2>"$work/why" | answers | diff "$work/long.want" - >"$work/diff" 2>&1
ok $? "the same when the cut file is resumed by one process" <"$work/diff"

# ---- cancelled: stays so --------------------------------------------------------------------------------------------
id=$(submit "$work/cancel.log" "${two_by_two[@]}" jobs/search.sbatch "$work/long.json" --json)
wait_for 60 test -e "$SAILOR_OUT/$id/plan.h5"
scancel "$id"
wait_for 60 state_is "$id" CANCELLED
wait_for 30 is_gone "$id"
is "$(state "$id") $(field "$id" Restarts)" "CANCELLED 0" "a cancelled search is not requeued" "$work/cancel.log"

# ---- wrong input: fails, once ---------------------------------------------------------------------------------------
echo '{"format": "sailor-job/1"}' >"$work/wrong.json"
id=$(submit "$work/wrong.log" "${two_by_two[@]}" jobs/search.sbatch "$work/wrong.json")
wait_for 60 state_is "$id" "$ended"
is "$(how "$id") $(field "$id" Restarts)" "FAILED 2 0" \
    "a wrong job file fails with 2 and is not requeued" "$work/wrong.log"
is "$(grep -c 'sailor: error:' "$work/wrong.log")" 1 "and says why once, not once for every rank" "$work/wrong.log"
finish
