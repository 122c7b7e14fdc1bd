#!/usr/bin/env bash
# On a machine where ./quickstart has run: it runs again without a network, in a path with spaces, on a dumb terminal; and what it
# installed works for a user who is not root and owns none of it. tests/fresh.sh runs this in its Debian; root can run it anywhere,
# from the top of the tree. It tests what is committed.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
[ "$(id -u)" = 0 ] || { echo "tests/fresh-again.sh: needs root, for a network of its own and another user" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
fail() {
    printf '== not ok: %s\n' "$1"
    tail -n 20 "$work/said" 2>/dev/null || true
    exit 1
}
passed() { printf '== ok: %s\n' "$1"; }

# ---- again, with nothing but what is there ----
git clone --quiet --no-hardlinks . "$work/a tree"
cat >"$work/offline" <<'EOF_OFFLINE'
#!/bin/sh
# even a machine without a network has a loopback
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x49))'
exec ./quickstart
EOF_OFFLINE
chmod 755 "$work/offline"
status=0
(cd "$work/a tree" && TERM=dumb unshare --net script -qec "$work/offline" "$work/said" >/dev/null 2>&1) || status=$?
[ "$status" = 0 ] || fail "./quickstart without network, in a path with spaces: status $status"
grep -q 'optimal' "$work/said" || fail "./quickstart without network: no answer"
[ -s "$work/a tree/build/fig8b.png" ] || fail "./quickstart without network: no picture"
passed "./quickstart without network, in a path with spaces"
! grep -q "$(printf '\033')" "$work/said" || fail "TERM=dumb: it sent the terminal commands"
passed "TERM=dumb: no commands to the terminal"

# ---- another user ----
prefix="$work/an install"
make --no-print-directory -C "$work/a tree" install PREFIX="$prefix" >"$work/said" 2>&1 || fail "make install"
rm -rf "$work/a tree"
mkdir "$work/home"
chown 65534:65534 "$work/home"
user() { # a command line, for a user without rights
    (cd "$work/home" && setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \
        env -i HOME="$work/home" TERM=dumb LC_ALL=C PATH="$prefix/bin:/usr/bin:/bin" OMP_NUM_THREADS=1 bash -c "$1") \
        >"$work/said" 2>&1 || fail "another user: $1"
}
user 'sailor plan fig8b -q --gap 0.05 -o plan.h5'
user 'sailor report plan.h5 --html plan.html && sailor export plan.h5 -o plan.json && sailor simulate plan.json --explain'
user 'sailor export plan.h5 --format flagscale --nearest -o plan.args && sailor list models'
user 'sailor-plot plan.h5 -o plan.png --timeline'
cat >"$work/home/two.json" <<'EOF_PLAN'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 1, "pipelines": [{"stages": [
  {"layers": [0, 3], "replicas": [{"gpu": "cpu", "zone": "local", "tp": 1, "count": 1}]},
  {"layers": [3, 6], "replicas": [{"gpu": "cpu", "zone": "local", "tp": 1, "count": 1}]}]}]}
EOF_PLAN
user 'mpirun -n 2 sailor-train run two.json --steps 2 --warmup 1 -o run.h5'
[ -s "$work/home/plan.png" ] || fail "another user: no picture"
passed "another user than root: plan, report, export, picture, training, from what is installed"
