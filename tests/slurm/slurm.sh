# shellcheck shell=bash
# Shell helpers of the TAP scripts that submit jobs: source it, start_slurm, submit, end with `finish`. It makes a Slurm of
# two or more virtual nodes (tests/slurm-local.sh) and the folder $work, and removes both at the end.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck disable=SC2034 # used by the scripts
sailor=${BIN:-$PWD/build}/sailor train=${BIN:-$PWD/build}/sailor-train python=${PYTHON:-python3}
export PATH=$PATH:/usr/sbin:/sbin

for name in munged slurmctld slurmd sbatch; do
    command -v "$name" >/dev/null || { echo "1..0 # SKIP $name is not installed (Debian: slurm-wlm munge)"; exit 0; }
done
if ldd "$sailor" | grep -qE 'libpmix|libmpi\.so'; then # Open MPI, or an MPICH built on PMIx
    echo "1..0 # SKIP this MPI starts through PMIx, which takes virtual nodes on one machine for one node"
    exit 0
fi
work=$(mktemp -d /tmp/sailor-slurm.XXXXXX) || exit 1 # short: the path of a socket is limited to some 100 characters
slurm=$work/slurm
top=$PWD
trap '"$top/tests/slurm-local.sh" stop "$slurm"; rm -rf "$work"' EXIT
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

start_slurm() { # nodes: 2
    local status
    tests/slurm-local.sh start "$slurm" "${1:-2}"
    status=$?
    tests/slurm-local.sh logs "$slurm" >"$work/why" 2>&1
    ok "$status" "a Slurm of ${1:-2} nodes starts" <"$work/why"
    [ "$status" = 0 ] || finish
    export SLURM_CONF=$slurm/slurm.conf SAILOR=$sailor SAILOR_TRAIN=$train SAILOR_OUT=$work/out
    # shellcheck source=/dev/null
    source jobs/env/local.sh
}

submit() { # log, sbatch options, script and its arguments -> job id
    local log=$1
    shift
    sbatch --parsable --cpus-per-task=1 --output="$log" "$@"
}
field() { scontrol show job "$1" 2>/dev/null | sed -nE "s/(^|.* )$2=([^ :]*).*/\2/p"; } # job, name
state() { field "$1" JobState; }
# shellcheck disable=SC2034
ended='COMPLETED FAILED CANCELLED TIMEOUT NODE_FAIL'
how() { echo "$(state "$1") $(field "$1" ExitCode)"; } # "COMPLETED 0"
wait_for() { # seconds, command: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@"; do [ "$SECONDS" -lt "$end" ] || return 1; sleep 0.2; done
}
state_is() { case " $2 " in *" $(state "$1") "*) return 0 ;; *) return 1 ;; esac; }
is_gone() { [ -z "$(squeue --noheader --jobs="$1" 2>/dev/null)" ]; }
refused() { # title, what the one line says, sbatch options, script and its arguments
    local title=$1 line=$2 id
    shift 2
    id=$(submit "$work/log" "$@")
    wait_for 60 state_is "$id" "$ended"
    is "$(how "$id") $(grep -c '\.sbatch: \|grid-plan: \|sailor-train: error: ' "$work/log")" "FAILED 2 1" "$title" "$work/log"
    grep -qF -- "$line" "$work/log"
    ok $? "$title: it says why" <"$work/log"
    rm -f "$work/log"
}
