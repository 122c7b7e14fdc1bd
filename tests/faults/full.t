#!/usr/bin/env bash
# TAP. Places where nothing can be written: a full disk, a read-only one, none at all, a deleted directory, a disk that fails. A
# command says so in one line, leaves with 1, and what was there stays.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
export OMP_NUM_THREADS=1
job "$tmp/job.json" throughput
cat >"$tmp/one.json" <<'EOF'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 2,
 "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}]}]}
EOF
run "$sailor" plan "$tmp/job.json" -q --threads 1 -o "$tmp/r.h5"
expect 0 "a file of results"
run "$sailor" export "$tmp/r.h5" -o "$tmp/plan.json"
expect 0 "a plan"
run "$train" run "$tmp/one.json" --steps 1 -q --checkpoint "$tmp/c.h5"
expect 0 "a checkpoint"

# each DIRECTORY NAME [WHY]: every command that writes a file, into this directory, after the words of with
with=()
each() {
    local out=$1 name=$2 why=${3:-cannot be written: }
    while read -r program line; do
        # shellcheck disable=SC2086
        case $program in
        sailor) set -- "${with[@]}" "$sailor" $line ;;
        train) set -- "${with[@]}" "$train" $line ;;
        two) set -- "$mpiexec" -n 2 "${with[@]}" "$train" $line ;;
        esac
        [ -x "$train" ] || [ "$program" = sailor ] || continue
        run "${@//OUT/$out/}"
        # profiles print what they measure as they go, and netbench warns of a busy machine
        [ "$rc" = 1 ] && [ "$(grep -c 'error: ' "$tmp/err")" = 1 ] && grep -q "error: .*: $why" "$tmp/err" &&
            [ "$(grep -vcE '^tp |: warning: ' "$tmp/err")" = 1 ]
        ok $? "$name: $program ${line%%OUT*}"
    done <<EOF
sailor plan $tmp/job.json -q --threads 1 -f -o OUTold
sailor whatif $tmp/job.json -q --threads 1 -f -o OUTold
sailor replan $tmp/job.json -q --threads 1 -f -o OUTold
sailor export $tmp/r.h5 -f -o OUTold
sailor report $tmp/r.h5 -f --html OUTold
sailor simulate $tmp/plan.json -f --trace OUTold
sailor site --preset H100-80 -f -o OUTold
sailor profile llama-3.1-8b --gpu H100-80 -f -o OUTold
train run $tmp/one.json --steps 1 -q -f -o OUTold
train run $tmp/one.json --steps 1 -q -f --checkpoint OUTold
train run $tmp/one.json --steps 1 -q -f --trace OUTold
train profile gpt-tiny --gpu cpu --repeat 1 --largest 1 -f -o OUTold
train weights $tmp/c.h5 --model gpt-tiny -f -o OUTold.safetensors
two netbench --seconds 0.01 --largest 19 -q -f -o OUTold
two profile gpt-tiny --gpu cpu --repeat 1 --largest 1 -f -o OUTold
EOF
}
each "$tmp/none/" "no such directory"
cd "$(mktemp -d "$tmp/XXXX")" && rmdir "$PWD"
run "$sailor" plan "$tmp/job.json" -q --threads 1 -o r.h5
expect 1 "a deleted directory: plan -o"
run "$train" run "$tmp/one.json" --steps 1 -q --checkpoint c.h5
expect 1 "a deleted directory: run --checkpoint"
run "$sailor" plan "$tmp/job.json" -q --threads 1 -f -o "$tmp/r.h5"
expect 0 "a deleted directory, with absolute paths"
cd "$tmp" || exit 1
for dir in "$tmp/none" /proc; do
    TMPDIR=$dir run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" -q --threads 1 -f -o "$tmp/r.h5"
    expect 0 "TMPDIR=$(basename "$dir"): plan"
    TMPDIR=$dir run "$train" run "$tmp/one.json" --steps 1 -q -f --checkpoint "$tmp/c.h5"
    expect 0 "TMPDIR=$(basename "$dir"): run"
done

# the disk fails when what was written is flushed, file or directory
if [ -e "${SHIM:-}" ]; then
    shim=(env "LD_PRELOAD=$SHIM" "ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0:${ASAN_OPTIONS:-}")
    for fails in fsync:1 fsync:2; do
        mkdir "$tmp/$fails"
        echo "as it was" | tee "$tmp/$fails/old" >"$tmp/$fails/old.safetensors"
        with=("${shim[@]}" "FAIL=$fails")
        if [ $fails = fsync:2 ]; then
            each "$tmp/$fails/" "the directory cannot be flushed" "written, but its directory could not be: "
        else
            each "$tmp/$fails/" "the file cannot be flushed"
            [ "$(cat "$tmp/$fails"/*)" = $'as it was\nas it was' ] && [ "$(find "$tmp/$fails" -type f | wc -l)" = 2 ]
            ok $? "what was there is there, and nothing else"
        fi
    done
    with=()
    to=(--checkpoint "$tmp/c2.h5" --checkpoint-every 1 -o "$tmp/m2.h5")
    run "${shim[@]}" FAIL=fsync:1 "$train" run "$tmp/one.json" --steps 2 -q "${to[@]}"
    [ "$rc" = 0 ] && [ -s "$tmp/c2.h5" ] && [ -s "$tmp/m2.h5" ] &&
        [ "$(grep -c 'warning: run: .*c2.h5: cannot be written: ' "$tmp/err")" = 1 ]
    ok $? "only the last checkpoint but one cannot be written: a warning"
    rm -f "$tmp/c2.h5"
else
    n=$((n + 1)); echo "ok $n - a disk that fails # SKIP no SHIM=, which make check-faults builds"
fi

mkdir "$tmp/full"
if mount -t tmpfs -o size=1m tmpfs "$tmp/full" 2>/dev/null; then
    trap 'umount "$tmp/full"; rm -rf "$tmp"' EXIT
    run "$train" run "$tmp/one.json" --steps 2 -q --checkpoint "$tmp/c2.h5" -o "$tmp/full/m.h5"
    [ "$rc" = 0 ]
    ok $? "1 MB holds a measurement"
    run "$train" run "$tmp/one.json" --steps 3 -q --checkpoint "$tmp/full/c.h5" --checkpoint-every 1 -o "$tmp/m.h5"
    expect 1 "and no checkpoint"
    [ -z "$(find "$tmp/full" -name '*c.h5*')" ]
    ok $? "of which nothing is left"
    grep -qa "checkpoint not written" "$tmp/m.h5"
    ok $? "and what was measured is kept, with the reason"
    echo "as it was" >"$tmp/full/old"
    cp "$tmp/full/old" "$tmp/full/old.safetensors"
    dd if=/dev/zero of="$tmp/full/fill" bs=4k 2>/dev/null
    each "$tmp/full/" "a full disk"
    rm -f "$tmp/c3.h5"
    run "$train" run "$tmp/one.json" --steps 2 -q --checkpoint "$tmp/c3.h5" -o "$tmp/full/m2.h5"
    [ "$rc" = 1 ] && [ -s "$tmp/c3.h5" ]
    ok $? "a full disk of the one output: the other is written"
    for step in 1 2; do
        to=(--trace "$tmp/full/t.json" --trace-step "$step" --checkpoint "$tmp/c4.h5" -o "$tmp/m4.h5")
        run "$train" run "$tmp/one.json" --steps 2 -q "${to[@]}"
        expect 1 "a full disk of the trace of step $step of 2"
        run "$train" run "$tmp/one.json" --steps 1 -q --resume "$tmp/c4.h5"
        [ "$rc" = 0 ] && [ -s "$tmp/m4.h5" ]
        ok $? "checkpoint and measurement are written"
        rm -f "$tmp/c4.h5" "$tmp/m4.h5"
    done
    to=(--trace "$tmp/full/t.json" --checkpoint "$tmp/full/c4.h5" -o "$tmp/m4.h5")
    run "$train" run "$tmp/one.json" --steps 2 -q "${to[@]}"
    [ "$rc" = 1 ] && [ -s "$tmp/m4.h5" ] && [ "$(grep -c "error: .*c4.h5: cannot be written" "$tmp/err")" = 1 ] &&
        [ "$(grep -c "warning: run: .*t.json: cannot be written" "$tmp/err")" = 1 ] && [ "$(wc -l <"$tmp/err")" = 2 ]
    ok $? "a full disk of trace and checkpoint: the measurement is written, and both are named"
    rm "$tmp/full/fill"
    mount -o remount,ro "$tmp/full"
    each "$tmp/full/" "a read-only disk"
    [ "$(cat "$tmp/full/old" "$tmp/full/old.safetensors")" = $'as it was\nas it was' ] && [ "$(find "$tmp/full" -type f | wc -l)" = 3 ]
    ok $? "what was there is there, and nothing else"
else
    n=$((n + 1)); echo "ok $n - a full disk # SKIP needs a file system of its own (root)"
fi
finish
