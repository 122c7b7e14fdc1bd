#!/usr/bin/env bash
# quickstart on a fresh machine: a bare Debian 12 in a directory of its own, a clone of the last commit in it,
# ./quickstart and ./quickstart check inside (chroot). Needs root, debootstrap and some 4 GB; takes as long as the continuous
# integration, and a few minutes more.
#   tests/fresh.sh               FRESH_DIR=build/fresh: where; a Debian that an earlier run left there is replaced
#                                FRESH_MIRROR=URL: the mirror of apt's sources unless told otherwise
#                                FRESH_GOALS="plan again check": the steps, in order: quickstart; tests/fresh-again.sh, that
#                                is, again without a network, in a path with spaces, on a dumb terminal, and as another
#                                user; quickstart check
# Everything is mounted in a mount namespace of its own: whatever happens, nothing stays mounted, and the machine's own mounts
# are not touched.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
stop() {
    echo "tests/fresh.sh: $1" >&2
    exit 2
}
[ "$(id -u)" = 0 ] || stop "needs root, for debootstrap, mount and chroot"
for tool in debootstrap unshare findmnt git; do
    command -v "$tool" >/dev/null || stop "$tool is not installed (Debian: debootstrap util-linux git)"
done
dir=$(readlink -m "${FRESH_DIR:-build/fresh}")
case $dir in *[[:space:]\\]*) stop "$dir: expected a path without spaces" ;; esac
case $PWD/ in "${dir%/}"/*) stop "$dir: expected a directory that may be replaced" ;; esac
mirror=${FRESH_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    grep -oE '^(deb .*|URIs: *)https?://[^ ]+/debian/?( |$)' | grep -oE 'https?://[^ ]+' | head -n 1)} || true
mirror=${mirror:-http://deb.debian.org/debian}

# ---- a namespace in which mounts and processes end with this script ----
if [ -z "${FRESH_INSIDE:-}" ]; then
    FRESH_INSIDE=1 exec unshare --mount --pid --fork --mount-proc --kill-child --propagation private "$0"
fi
mounts() { findmnt --kernel --raw --noheadings --output TARGET | awk -v d="$dir/" 'index($0 "/", d) == 1'; }
# shellcheck disable=SC2317 # called by trap
release() {
    mounts | sort -r | while read -r target; do umount "$target" || umount --lazy "$target"; done
}
trap release EXIT
trap 'exit 1' INT TERM

# ---- the Debian ----
mark=$dir/.made-by-fresh.sh
if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
    [ -e "$mark" ] || stop "$dir: is there, and not by an earlier run; expected a new directory"
    [ -z "$(mounts)" ] || stop "$dir: something is mounted there ($(mounts | head -n 1)); umount it first"
    rm -rf --one-file-system "$dir"
fi
mkdir -p "$dir"
touch "$mark"
echo "== Debian 12 from $mirror into $dir"
debootstrap --variant=minbase bookworm "$dir" "$mirror" >"$dir/debootstrap.log" 2>&1 || {
    tail -n 5 "$dir/debootstrap.log" "$dir/debootstrap/debootstrap.log" >&2 || true
    stop "debootstrap failed"
}
mount -t proc proc "$dir/proc"
mount -t sysfs -o ro sysfs "$dir/sys"
mount -t tmpfs -o mode=755 tmpfs "$dir/dev"
mknod -m 666 "$dir/dev/null" c 1 3
mknod -m 666 "$dir/dev/zero" c 1 5
mknod -m 666 "$dir/dev/full" c 1 7
mknod -m 666 "$dir/dev/random" c 1 8
mknod -m 666 "$dir/dev/urandom" c 1 9
mknod -m 666 "$dir/dev/tty" c 5 0
ln -s /proc/self/fd "$dir/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${n%:*}" "$dir/dev/${n#*:}"; done
mkdir "$dir/dev/shm" "$dir/dev/pts"
mount -t tmpfs tmpfs "$dir/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$dir/dev/pts"
ln -s pts/ptmx "$dir/dev/ptmx"
printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d" # packages must not start their daemons
chmod 755 "$dir/usr/sbin/policy-rc.d"
cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
hostname >"$dir/etc/hostname"
printf '127.0.0.1 localhost %s\n' "$(hostname)" >"$dir/etc/hosts"

# ---- what a new user does ----
git clone --quiet --no-hardlinks . "$dir/root/sailor"
echo "== $(git -C "$dir/root/sailor" log -1 --format='%h %s')"
inside() {
    chroot "$dir" env -i HOME=/root LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" bash -c 'cd ~/sailor && "$@"' bash "$@"
}
status=0
for goal in ${FRESH_GOALS:-plan again check}; do
    echo "== $goal"
    began=$SECONDS
    case $goal in
    plan) inside ./quickstart || status=$? ;;
    again) inside tests/fresh-again.sh || status=$? ;;
    check) inside ./quickstart check || status=$? ;;
    *) stop "FRESH_GOALS: expected plan, again or check, not $goal" ;;
    esac
    echo "== $goal: status $status, $((SECONDS - began)) s"
    [ "$status" = 0 ] || break
done
echo "== the Debian is left in $dir"
exit "$status"
