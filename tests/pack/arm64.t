#!/usr/bin/env bash
# TAP. The planner for 64-bit Arm (Grace), cross compiled: its libraries are unpacked from Debian's packages into their own
# directory, and nothing is installed. Under qemu it gives this machine's plans, to the last digit, and passes unit tests.
# build/aarch64 is kept for the next run.
# shellcheck source-path=SCRIPTDIR/../cli source=tap.sh
. "$(dirname "$0")/../cli/tap.sh"
for tool in aarch64-linux-gnu-gcc qemu-aarch64 apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "1..0 # SKIP $tool is not installed (Debian: gcc-aarch64-linux-gnu qemu-user)"; exit 0; }
done
out=$PWD/build/aarch64
root=$out/root lib=usr/lib/aarch64-linux-gnu
case $out in *[[:space:]]*) echo "1..0 # SKIP the compiler's --sysroot takes no path with a space"; exit 0 ;; esac

# ---- libraries, through a separate apt that knows nothing about this machine ----
fetch() {
    mkdir -p "$out/apt/lists/partial" "$out/apt/archives/partial" && : >"$out/apt/status" || return 1
    cat >"$out/apt/conf" <<EOT
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Debug::NoLocking "true";
Dir::State "$out/apt";
Dir::State::status "$out/apt/status";
Dir::State::Lists "$out/apt/lists";
Dir::Cache "$out/apt";
EOT
    export APT_CONFIG=$out/apt/conf
    apt-get update && apt-get install -y --download-only libmpich-dev libhdf5-mpich-dev libcjson-dev libcmocka-dev libmetis-dev
}
unpack() {
    local deb link
    rm -rf "$root" && mkdir -p "$root" || return 1
    for deb in "$out"/apt/archives/{lib,zlib,linux-libc}*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --exclude=./usr/share || return 1
    done
    # links from / are meant to start at $root
    find "$root" -type l -lname '/*' | while read -r link; do
        ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$root$(readlink "$link")")" "$link"
    done
    touch "$out/root.complete"
}
if [ ! -e "$out/root.complete" ]; then
    (fetch) >"$tmp/log" 2>&1 || { echo "1..0 # SKIP the libraries cannot be downloaded: $(tail -n 1 "$tmp/log")"; exit 0; }
    unpack >"$tmp/out" 2>"$tmp/err"
    rc=$?
    ok "$rc" "the libraries are unpacked"
    [ "$rc" = 0 ] || finish
    rm -rf "$out/apt"
fi

# ---- the planner and its unit tests ----
cat >"$out/mpicc" <<EOT
#!/bin/sh
exec aarch64-linux-gnu-gcc --sysroot=$root -I$root/usr/include/aarch64-linux-gnu/mpich "\$@" -lmpich -Wl,-rpath-link,$root/$lib
EOT
chmod +x "$out/mpicc"
programs=("$out/build/sailor")
# from each layer, those that take an emulator seconds and do not limit the address space, which it needs
for t in arena breakdown devices estimate goal h5file import opt plan published residuals sheet site text; do
    programs+=("$out/build/tests/unit/t_$t")
done
LIMIT=280 run env -u CPPFLAGS PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$root/$lib/pkgconfig" \
    make -j2 --no-print-directory "B=$out/build" "BIN=$out/build" "CC=$out/mpicc" "OPT=-O1 -ffp-contract=off -DNDEBUG" \
    METIS_LIBS=-lmetis BLAS_LIBS= NVCC= "${programs[@]}"
ok "$rc" "it is cross compiled"
[ "$rc" = 0 ] || finish
arm=(qemu-aarch64 -L "$root")
export HWLOC_PLUGINS_PATH=/nonexistent

answers() { # of a search, without statistics of its course
    "$python" -c '
import json, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({k: v for k, v in row.items() if k not in ("search_s", "plans_evaluated")}))'
}
for job in fig7 fig8b; do
    LIMIT=200 run "${arm[@]}" "$out/build/sailor" plan "$job" --json
    answers <"$tmp/out" >"$tmp/arm"
    run "$sailor" plan "$job" --json
    answers <"$tmp/out" >"$tmp/here"
    [ -s "$tmp/here" ] && cmp "$tmp/arm" "$tmp/here" >"$tmp/err" 2>&1
    ok $? "the plans of $job, and their digits, are those of this machine"
done
for program in "${programs[@]:1}"; do
    CMOCKA_MESSAGE_OUTPUT=TAP run "${arm[@]}" "$program"
    [ "$rc" = 0 ] && ! grep -E '^not ok' "$tmp/out" | grep -v '# SKIP' >"$tmp/err" # cmocka says both
    ok $? "$(basename "$program") under qemu"
done
finish
