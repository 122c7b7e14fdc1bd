#!/usr/bin/env bash
# TAP. A failure under mpirun -n 2 is reported once: one line on stderr, the same status on all ranks, no rank left hanging.
# The full disk is a small tmpfs of the test's own, which takes root.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
export LIMIT=30
job "$tmp/job.json" throughput
two() { run "$mpiexec" -n 2 "$sailor" plan "$@"; }

# Every rank exits with the status reported: each records its own.
# shellcheck disable=SC2016 # for the ranks' shell
each() { # status, plan arguments...
    local want=$1
    shift
    rm -f "$tmp"/rank.*
    run "$mpiexec" -n 2 sh -c '"$@"; rc=$?; echo "$rc" >"$0.$$"; exit "$rc"' "$tmp/rank" "$sailor" plan "$@"
    [ "$(cat "$tmp"/rank.* | sort | uniq -c | tr -s ' ')" = " 2 $want" ]
}

# ---- the job ----
echo '{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp"' >"$tmp/cut.json"
sed 's/"count": 4/"count": -4/' "$tmp/job.json" >"$tmp/count.json"
sed 's/opt-350m/no-such-model/' "$tmp/job.json" >"$tmp/model.json"
for bad in cut count model; do
    two "$tmp/$bad.json"
    expect 2 "a wrong job ($bad): one line"
    has err "$tmp/$bad.json: /" "it names the file and the place"
done
each 2 "$tmp/cut.json"
ok $? "both ranks leave with 2"
two "$tmp"
expect 2 "the job is a directory"
two "$tmp/job.json" --inputs "$tmp/nowhere"
expect 2 "no inputs there"
two "$tmp/job.json" --threads 0
expect 2 "no threads"
two "$tmp/job.json" --planner nobody
expect 2 "no such planner"
two "$tmp/job.json" --resume "$tmp/none.h5"
expect 2 "nothing to resume"
two "$tmp/job.json" --resume "$tmp/job.json"
expect 2 "resuming what is no file of results"
each 2 "$tmp/job.json" --resume "$tmp/job.json"
ok $? "both ranks leave with 2"

# ---- the output ----
two "$tmp/job.json" -o "$tmp/no/such/dir.h5"
expect 1 "no such directory"
each 1 "$tmp/job.json" -o "$tmp/no/such/dir.h5"
ok $? "both ranks leave with 1"
two "$tmp/job.json" -o "$tmp"
expect 1 "the output is a directory"
two "$tmp/job.json" -o /proc/plan.h5
expect 1 "nothing can be written there"
[ ! -s "$tmp/out" ]
ok $? "this is known before the search, not after"
two "$tmp/job.json" -o /dev/full --quiet
[ "$rc" = 1 ] && [ "$(wc -l <"$tmp/err")" = 1 ] && grep -q 'No space left' "$tmp/err"
ok $? "a full device: one line, status 1"
two "$tmp/job.json" -o "$tmp/a.h5" --quiet
expect 0 "where it can be written, it is"
two "$tmp/job.json" -o "$tmp/a.h5" --quiet
expect 2 "an old file stays"

# ---- full disk ----
mkdir "$tmp/disk"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=64k tmpfs "$tmp/disk" 2>/dev/null; then
    trap 'umount "$tmp/disk"; rm -rf "$tmp"' EXIT
    head -c 5000 /dev/urandom >"$tmp/disk/old.h5"
    cp "$tmp/disk/old.h5" "$tmp/old"
    dd if=/dev/zero of="$tmp/disk/filler" bs=4k 2>/dev/null
    for ranks in 1 2; do
        run "$mpiexec" -n "$ranks" "$sailor" plan "$tmp/job.json" -o "$tmp/disk/old.h5" -f --json --quiet
        [ "$rc" = 1 ] && [ "$(wc -l <"$tmp/err")" = 1 ] && grep -q "^sailor: error: $tmp/disk/old.h5: .*No space left" "$tmp/err"
        ok $? "full disk, $ranks ranks: one line, status 1"
        cmp -s "$tmp/disk/old.h5" "$tmp/old"
        ok $? "the old file is untouched"
        [ "$(find "$tmp/disk" -type f | wc -l)" = 2 ]
        ok $? "and nothing is left beside it"
    done
    each 1 "$tmp/job.json" -o "$tmp/disk/old.h5" -f --json --quiet
    ok $? "both ranks leave with 1"
    # a search stopped by a full disk: the file is still good, and the search continues where there is room
    rm "$tmp/disk/filler" "$tmp/disk/old.h5"
    mount -o remount,size=1m "$tmp/disk"
    two "$tmp/job.json" -o "$tmp/disk/s.h5" --time-limit 0 --quiet
    dd if=/dev/zero of="$tmp/disk/filler" bs=4k 2>/dev/null
    two "$tmp/job.json" --resume "$tmp/disk/s.h5" --json --quiet
    [ "$rc" = 1 ] && [ "$(wc -l <"$tmp/err")" = 1 ] && grep -q 'No space left' "$tmp/err"
    ok $? "resumed on a full disk: one line, status 1"
    two "$tmp/job.json" --resume "$tmp/disk/s.h5" -o "$tmp/b.h5" --json --quiet
    expect 0 "and once more, to a disk with room"
else
    n=$((n + 1))
    echo "ok $n # SKIP a full disk: needs root and a tmpfs"
fi
finish
