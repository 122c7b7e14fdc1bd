#!/usr/bin/env bash
# TAP. jobs/search.sbatch, really submitted to a Slurm of two virtual nodes made for the test (tests/slurm-local.sh):
# a search that runs to its end; one that is cut by the signal of the time limit, requeued by itself and resumed, with the
# answer of a search that was never cut; one that is cancelled, which must stay cancelled; and one that fails.
set -u
cd "$(dirname "$0")/../.." || exit 1
sailor=${BIN:-$PWD/build}/sailor
python=${PYTHON:-python3}
export PATH=$PATH:/usr/sbin:/sbin

for name in munged slurmctld slurmd sbatch; do
    command -v "$name" >/dev/null || { echo "1..0 # SKIP $name is not installed (Debian: slurm-wlm munge)"; exit 0; }
done
if ldd "$sailor" | grep -qE 'libpmix|libmpi\.so'; then # Open MPI, or an MPICH built on PMIx
    echo "1..0 # SKIP this MPI starts through PMIx, which takes virtual nodes on one machine for one node"
    exit 0
fi
work=$(mktemp -d /tmp/sailor-slurm.XXXXXX) || exit 1 # short: the path of a socket ends after some 100 characters
slurm=$work/slurm
trap 'tests/slurm-local.sh stop "$slurm"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

n=0 failed=0
ok() { # status, what; stdin: the reasons
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; tail -n 25 | sed 's/^/# /'; fi
}
is() { # got, wanted, what, log
    local status=0
    [ "$1" = "$2" ] || status=1
    ok "$status" "$3" < <(echo "got '$1', expected '$2'"; [ ! -e "${4:-}" ] || cat "$4") # no pipe: ok counts
}
finish() { echo "1..$n"; exit "$failed"; }

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
# What a search says of its rows, without the numbers that say how the search went.
answers() {
    "$python" -c '
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({k: v for k, v in row.items() if k not in ("search_s", "plans_evaluated")}, sort_keys=True))'
}
state() { scontrol show job "$1" 2>/dev/null | sed -n 's/^ *JobState=\([A-Z]*\).*/\1/p'; }
restarts() { scontrol show job "$1" 2>/dev/null | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p'; }
wait_for() { # seconds, command: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.2; done
}
# shellcheck disable=SC2317 # called through wait_for
state_is() { case " $2 " in *" $(state "$1") "*) return 0 ;; *) return 1 ;; esac; }
# shellcheck disable=SC2317
is_gone() { [ -z "$(squeue --noheader --jobs="$1" 2>/dev/null)" ]; }
submit() { # log, sbatch options and script and its arguments -> job id
    local log=$1
    shift
    sbatch --parsable --nodes=2 --ntasks-per-node=2 --cpus-per-task=1 --output="$log" "$@"
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

tests/slurm-local.sh start "$slurm" 2
status=$?
tests/slurm-local.sh logs "$slurm" >"$work/why" 2>&1
ok "$status" "a Slurm of two nodes starts" <"$work/why"
[ "$status" = 0 ] || finish
export SLURM_CONF=$slurm/slurm.conf SAILOR=$sailor SAILOR_OUT=$work/out
# shellcheck source=/dev/null
source jobs/env/local.sh

# ---- the default request fits a site's nodes, as that site's file asks for it ---------------------------------------
SBATCH_ACCOUNT=none bash -c 'source jobs/env/clariden.sh && sbatch --test-only jobs/search.sbatch inputs/fig10.json' >"$work/log" 2>&1
ok $? "sbatch takes the script as it stands, with jobs/env/clariden.sh" <"$work/log"

# ---- to the end -------------------------------------------------------------------------------------------------
job 2 >"$work/short.json"
began=$(date +%s%N)
"$sailor" plan "$work/short.json" --json 2>"$work/why" | answers >"$work/short.want"
status=${PIPESTATUS[0]} pool_ms=$((($(date +%s%N) - began) / 2000000 + 1))
ok "$status" "the same search without Slurm" <"$work/why"
id=$(submit "$work/short.log" jobs/search.sbatch "$work/short.json" --json)
wait_for 120 state_is "$id" "COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL"
is "$(state "$id")" COMPLETED "a search on two nodes ends by itself" "$work/short.log"
[ "$(state "$id")" = COMPLETED ] || finish # nothing below could succeed
is "$(restarts "$id")" 0 "it was not requeued" "$work/short.log"
is "$(attribute "$SAILOR_OUT/$id/plan.h5" ranks)" 4 "its four processes were one MPI job" "$work/short.log"
grep '^{' "$work/short.log" | answers | diff "$work/short.want" - >"$work/diff" 2>&1
ok $? "its answer is that of one process" <"$work/diff"
grep -q 'NodeList=nid\[000001-000002\]' "$SAILOR_OUT/$id/provenance.txt"
ok $? "the record names both nodes" <"$SAILOR_OUT/$id/provenance.txt"

# ---- cut, requeued, resumed -----------------------------------------------------------------------------------------
# As many pools as keep one process busy for ten seconds: a cut then falls into the middle.
pools=$((10000 / pool_ms))
[ "$pools" -gt 2 ] || pools=2
[ "$pools" -lt 100 ] || pools=100
job "$pools" >"$work/long.json"
"$sailor" plan "$work/long.json" --json 2>"$work/why" | answers >"$work/long.want"
ok "${PIPESTATUS[0]}" "the longer search without Slurm" <"$work/why"
id=$(submit "$work/long.log" jobs/search.sbatch "$work/long.json" --json)
wait_for 60 test -e "$SAILOR_OUT/$id/plan.h5" # something is done and saved
scancel --signal=USR1 --batch "$id"            # what --signal=B:USR1@120 sends
wait_for 60 state_is "$id" "PENDING COMPLETED FAILED"
is "$(state "$id") after $(restarts "$id") restart" "PENDING after 1 restart" "the signal sends it back to the queue" "$work/long.log"
grep -q 'stopped early, job .* goes back to the queue' "$work/long.log"
ok $? "because it left with status 75" <"$work/long.log"
out=$SAILOR_OUT/$id/plan.h5
is "$(attribute "$out" complete)" 0 "the file it left is not complete" "$work/long.log"
cp "$out" "$work/cut.h5"
wait_for 120 state_is "$id" "COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL"
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
id=$(submit "$work/cancel.log" jobs/search.sbatch "$work/long.json" --json)
wait_for 60 test -e "$SAILOR_OUT/$id/plan.h5"
scancel "$id"
wait_for 60 state_is "$id" CANCELLED
wait_for 30 is_gone "$id"
is "$(state "$id") $(restarts "$id")" "CANCELLED 0" "a cancelled search is not requeued" "$work/cancel.log"

# ---- wrong input: fails, once ---------------------------------------------------------------------------------------
echo '{"format": "sailor-job/1"}' >"$work/wrong.json"
id=$(submit "$work/wrong.log" jobs/search.sbatch "$work/wrong.json")
wait_for 60 state_is "$id" "COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL"
is "$(scontrol show job "$id" | sed -n 's/.*ExitCode=\([0-9]*\).*/\1/p') $(state "$id") $(restarts "$id")" "2 FAILED 0" \
    "a wrong job file fails with 2 and is not requeued" "$work/wrong.log"
is "$(grep -c 'sailor: error:' "$work/wrong.log")" 1 "and says why once, not once for every rank" "$work/wrong.log"
finish
