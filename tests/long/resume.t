#!/usr/bin/env bash
# TAP. A search of at least 20 s (job "resume": the frontier of a pool of A100, V100 and GH200) is killed (SIGKILL) 20 times at
# random moments, alternately alone and under mpirun -n 2, and resumed by the other: the answer is that of a search that was
# never interrupted. Then the same with SIGTERM and SIGUSR1. SEED=N draws other moments; JOB_GPUS="A V G BATCH" sets another pool.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
KILLS=${KILLS:-20} LEAST_S=${LEAST_S:-20}
RANDOM=${SEED:-20}
unset OMP_NUM_THREADS
pids=
trap 'kill -9 $pids 2>/dev/null; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

now() { date +%s.%N; }
calc() { awk "BEGIN { printf(\"%.3f\", ($1)) }"; }
holds() { awk "BEGIN { exit !($1) }"; }
tree() { # a process and its descendants: mpirun gives each rank a session of its own
    local child
    for child in $(ps -o pid= --ppid "$1"); do tree "$child"; done
    echo "$1"
}
start() { # ranks, file: begin or go on -> $pid, its output in $tmp/out, $tmp/err
    local how=(-o "$2") by=()
    [ ! -e "$2" ] || how=(--resume "$2")
    [ "$1" = 1 ] || by=("$mpiexec" -n "$1")
    "${by[@]}" "$sailor" plan "$tmp/job.json" "${how[@]}" --json --quiet --threads 1 </dev/null >"$tmp/out" 2>"$tmp/err" &
    pid=$! pids=$! began=$(now)
}
sleep_while_running() { # seconds; 1 = the search ended before
    local end
    end=$(calc "$(now) + $1")
    while holds "$(now) < $end"; do
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    kill -0 "$pid" 2>/dev/null
}
ended() { # -> $rc
    local end=$((SECONDS + 200))
    while kill -0 "$pid" 2>/dev/null; do
        [ "$SECONDS" -lt "$end" ] || destroy
        sleep 0.2
    done
    wait "$pid"
    rc=$? pids=
}
destroy() {
    pids=$(tree "$pid")
    # shellcheck disable=SC2086 # a list
    kill -9 $pids 2>/dev/null # some go with the others
    wait "$pid" 2>/dev/null
    local p
    for p in $pids; do # an orphan may stay as a zombie, but must not run
        while ps -o stat= -p "$p" 2>/dev/null | grep -qv '^Z'; do sleep 0.05; done
    done
    pids=
}
steady() { sed -E 's/"search_s": *[-+.0-9eE]+/"search_s":0/g' "$1"; }
same() { # title: the last search ended well, with the answer of the first
    [ "$rc" = 0 ] && steady "$tmp/out" >"$tmp/got" && cmp -s "$tmp/want" "$tmp/got"
    ok $? "$1"
    [ "$rc" = 0 ] && ! cmp -s "$tmp/want" "$tmp/got" && "$python" - "$tmp/want" "$tmp/got" <<'EOF'
import json, sys
want, got = (json.load(open(name)) for name in sys.argv[1:])
for key in want:
    if want[key] != got.get(key):
        print("# %s: %.70s, uninterrupted %.70s" % (key, got.get(key), want[key]))
EOF
    return 0
}

# The smallest of these pools that takes long enough on this machine.
for gpus in "${JOB_GPUS:-512 1536 0 256}" "64 64 64 1024" "128 128 128 1024" "256 256 256 1024" "512 512 512 1024" \
    "256 256 256 4096" "512 512 512 4096"; do
    read -r a100 v100 gh200 batch <<<"$gpus"
    cat >"$tmp/job.json" <<EOF
{"format": "sailor-job/1", "name": "resume", "model": "opt-350m", "site": "gcp", "global_batch_size": $batch,
 "objective": "frontier", "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": $a100},
                                              {"zone": "us-central1-a", "gpu": "V100-16", "count": $v100},
                                              {"zone": "us-central1-a", "gpu": "GH-96", "count": $gh200}]}]}
EOF
    start 1 "$tmp/whole.h5"
    ended
    whole_s=$(calc "$(now) - $began")
    holds "$whole_s >= $LEAST_S" && break
    [ "$rc" = 0 ] || break
    rm -f "$tmp/whole.h5"
done
[ "$rc" = 0 ] && holds "$whole_s >= $LEAST_S"
ok $? "a search of at least $LEAST_S s"
echo "# frontier of $a100 A100, $v100 V100 and $gh200 GH200, one process with one thread: $whole_s s"
steady "$tmp/out" >"$tmp/want"
[ "$rc" = 0 ] || finish

# ---- SIGKILL ----
kills=0 early=0 searches=0 broken=0 advanced=0 back=0 lost=0 most_lost=0 turn=0 plans=0 alone=0
title="killed and resumed: the same answer"
SECONDS=0
while [ "$kills" -lt "$KILLS" ] && [ "$SECONDS" -lt 600 ]; do
    turn=$((turn + 1)) ranks=$((turn % 2 + 1)) after=
    if [ ! -e "$tmp/k.h5" ]; then searches=$((searches + 1)) plans=0; fi
    draw=$RANDOM # here: a subshell would draw the same number again and again
    start "$ranks" "$tmp/k.h5"
    if ! sleep_while_running "$(calc "1 + ($whole_s / 2 - 1) * $draw / 32768")"; then
        ended
        same "$title (search $searches)"
        rm -f "$tmp/k.h5"
        continue
    fi
    destroy
    killed=$(now)
    if [ ! -e "$tmp/k.h5" ]; then # before its first checkpoint: the next one starts afresh
        early=$((early + 1)) searches=$((searches - 1))
        continue
    fi
    kills=$((kills + 1)) alone=$((alone + (ranks == 1)))
    run "$sailor" report "$tmp/k.h5" --json
    after=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["plans_evaluated"])' "$tmp/out" 2>/dev/null)
    if [ "$rc" != 0 ] || [ -z "$after" ]; then
        broken=$((broken + 1))
        sed 's/^/# /' "$tmp/err"
        rm -f "$tmp/k.h5"
        continue
    fi
    if [ "$after" -gt "$plans" ]; then advanced=$((advanced + 1)); fi
    if [ "$after" -lt "$plans" ]; then back=$((back + 1)); fi
    plans=$after
    since=$(stat -c %.9Y "$tmp/k.h5")
    gone=$(calc "$killed - ($since > $began ? $since : $began)")
    lost=$(calc "$lost + $gone") most_lost=$(calc "$gone > $most_lost ? $gone : $most_lost")
done
[ "$kills" = "$KILLS" ]
ok $? "$KILLS searches were killed"
[ "$broken" = 0 ]
ok $? "and the file could be read each time"
[ "$back" = 0 ]
ok $? "what it held never became less"
holds "$advanced >= $kills / 3"
ok $? "and often more"
holds "$lost / $kills <= ($whole_s > 20 ? $whole_s : 20) / 5"
ok $? "little work was lost"
echo "# $kills kills ($alone of one process, $((kills - alone)) of two), $early more before the first checkpoint, $searches searches;" \
    "$advanced times the file had advanced; work lost per kill: mean $(calc "$lost / $kills") s, most $most_lost s"
if [ -e "$tmp/k.h5" ]; then
    run "$sailor" report "$tmp/k.h5"
    has out INCOMPLETE "report says that the file is incomplete"
    start 2 "$tmp/k.h5"
    ended
    same "$title (search $searches)"
    run "$sailor" report "$tmp/k.h5" --json
    same "report tells the same"
fi

# ---- SIGTERM and SIGUSR1 ----
start 1 "$tmp/s.h5"
sleep_while_running "$(calc "$whole_s / 4")" && kill -TERM "$pid"
ended
[ "$rc" = 75 ] && grep -q -- "--resume $tmp/s.h5" "$tmp/err"
ok $? "SIGTERM: status 75"
run "$sailor" report "$tmp/s.h5"
has out INCOMPLETE "the file is incomplete"
start 2 "$tmp/s.h5"
# Only one rank gets the signal, as from its own node; mpirun would pass it on, but MPICH's then sometimes loses the status.
sleep_while_running "$(calc "$whole_s / 8")" && kill -USR1 "$(tree "$pid" | head -n 1)"
ended
[ "$rc" = 75 ] && [ "$(grep -c -- "--resume $tmp/s.h5" "$tmp/err")" = 1 ]
ok $? "resumed by two ranks, SIGUSR1 to one of them: status 75, one message"
start 1 "$tmp/s.h5"
ended
same "resumed by one: the same answer"
find "$tmp" -name '*.h5*' ! -name '*.h5' | sed 's/^/# left behind: /'
finish
