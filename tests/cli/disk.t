#!/usr/bin/env bash
# TAP. Disks that fail late: an error of fsync() or close() is an error of the program, and the earlier file stays.
# File systems without locks work. A small library of the test replaces the system calls.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1 ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-}
unset HDF5_USE_FILE_LOCKING
cat >"$tmp/disk.c" <<'EOF_C'
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static int fails(const char *what) { const char *s = getenv("DISK_FAILS"); return s && !strcmp(s, what); }
static int written(int fd) {
    struct stat st;
    return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}
int fsync(int fd) {
    if (!fails("fsync")) return (int)syscall(SYS_fsync, fd);
    errno = EIO;
    return -1;
}
int close(int fd) {
    int bad = fails("close") && written(fd), rc = (int)syscall(SYS_close, fd);
    if (!bad) return rc;
    errno = EIO;
    return -1;
}
int flock(int fd, int op) {
    (void)op;
    if (!fails("flock")) return (int)syscall(SYS_flock, fd, op);
    errno = ENOLCK;
    return -1;
}
EOF_C
if ! ${CC:-cc} -shared -fPIC -o "$tmp/disk.so" "$tmp/disk.c" 2>"$tmp/err"; then
    echo "1..0 # SKIP no shared library can be made: $(head -n 1 "$tmp/err")"
    exit 0
fi
bad() { local what=$1; shift; run env DISK_FAILS="$what" LD_PRELOAD="$tmp/disk.so" "$@"; }
# keeps WHAT FILE TITLE COMMAND...: the command fails with one line, and FILE is as it was, with nothing new beside it
keeps() {
    local what=$1 file=$2 title=$3
    shift 3
    mkdir -p "$(dirname "$file")"
    echo "as it was" >"$file"
    bad "$what" "$@"
    [ "$rc" = 1 ] && [ "$(grep -c 'error: ' "$tmp/err")" = 1 ] && grep -q "cannot be written" "$tmp/err" &&
        [ "$(cat "$file")" = "as it was" ] && [ "$(find "$(dirname "$file")" -type f | wc -l)" = 1 ]
    ok $? "$title: a failing $what is reported, the earlier file stays"
}

job "$tmp/job.json" throughput
run "$sailor" plan "$tmp/job.json" -q -o "$tmp/a.h5"
expect 0 "a file of results"
cat >"$tmp/one.json" <<'EOF'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 2,
 "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}]}]}
EOF
for what in fsync close; do
    keeps $what "$tmp/p/r.h5" "plan -o" "$sailor" plan "$tmp/job.json" -q -f -o "$tmp/p/r.h5"
    keeps $what "$tmp/e/p.json" "export -o" "$sailor" export "$tmp/a.h5" -f -o "$tmp/e/p.json"
    [ -x "$train" ] || continue
    keeps $what "$tmp/m/m.h5" "run -o" "$train" run "$tmp/one.json" --steps 1 -q -f -o "$tmp/m/m.h5"
    keeps $what "$tmp/c/c.h5" "run --checkpoint" "$train" run "$tmp/one.json" --steps 1 -q -f --checkpoint "$tmp/c/c.h5"
    keeps $what "$tmp/t/t.json" "run --trace" "$train" run "$tmp/one.json" --steps 1 -q -f --trace "$tmp/t/t.json"
    keeps $what "$tmp/n/n.json" "profile -o" "$train" profile gpt-tiny --gpu cpu --repeat 1 --largest 1 -f -o "$tmp/n/n.json"
done

bad flock "$sailor" plan "$tmp/job.json" -q -f -o "$tmp/a.h5"
expect 0 "without locks: plan -o"
bad flock "$sailor" report "$tmp/a.h5"
expect 0 "without locks: report"
if [ -x "$train" ]; then
    bad flock "$train" run "$tmp/one.json" --steps 1 -q -o "$tmp/m.h5" --checkpoint "$tmp/c.h5"
    expect 0 "without locks: run"
    bad flock "$train" run "$tmp/one.json" --steps 1 -q --resume "$tmp/c.h5"
    expect 0 "without locks: run --resume"
    # damaged files are refused before HDF5 looks at them
    "$python" - "$tmp/m.h5" "$tmp/c.h5" <<'EOF'
import sys
for path in sys.argv[1:]:
    b = bytearray(open(path, "rb").read())
    b[len(b) // 2] ^= 4
    open(path, "wb").write(b)
EOF
    run "$sailor" validate "$tmp/m.h5"
    expect 2 "a damaged measurement"
    has err "its checksum does not match" "it says why"
    run "$train" run "$tmp/one.json" --steps 1 -q --resume "$tmp/c.h5"
    expect 2 "a damaged checkpoint"
    has err "its checksum does not match" "it says why"
fi

# ---- one file under two names, and links ----
if [ -x "$train" ]; then
    (cd "$tmp" && ln -sf c.h5 alias.h5 && ln -sf later.h5 dangling.h5)
    rm -f "$tmp/c.h5" "$tmp/m.h5"
    for other in "$tmp/./c.h5" "$tmp/alias.h5"; do
        run "$train" run "$tmp/one.json" --steps 1 -q --checkpoint "$tmp/c.h5" -o "$other"
        expect 2 "the checkpoint and the measurement are one file, $(basename "$other")"
    done
    run "$train" run "$tmp/one.json" --steps 1 -q --checkpoint "$tmp/dangling.h5"
    expect 0 "a checkpoint by a link to what is not there yet"
    [ -L "$tmp/dangling.h5" ] && [ -s "$tmp/later.h5" ]
    ok $? "the link stays, its file is made"
    run "$train" run "$tmp/one.json" --steps 1 -q --resume "$tmp/later.h5" --checkpoint "$tmp/dangling.h5"
    expect 0 "a run may replace the file that it goes on from, by whatever name"
fi

# ---- no waiting for anything but a regular file ----
mkfifo "$tmp/pipe"
export LIMIT=20
for at in "$tmp/pipe" /dev/zero; do
    run "$sailor" report "$at"
    expect 2 "report $(basename "$at")"
    run "$sailor" plan "$tmp/job.json" -q --resume "$at"
    expect 2 "plan --resume $(basename "$at")"
    [ -x "$train" ] || continue
    run "$train" run "$tmp/one.json" --steps 1 -q --resume "$at"
    expect 2 "run --resume $(basename "$at")"
done
finish
