#!/usr/bin/env bash
# TAP. The kernels under compute-sanitizer: no access out of bounds, no race in shared memory.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
export LIMIT=900 GPU_ONLY=1
program=${T_CUDA:-build/release/tests/train/t_cuda}
sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
"$program" >"$tmp/out" 2>&1
skip=$(sed -n 's/^ok .*# skip //p' "$tmp/out")
[ -n "$sanitizer" ] || skip="no compute-sanitizer on this machine"
for tool in memcheck racecheck; do
    if [ -n "$skip" ]; then
        n=$((n + 1)); echo "ok $n - $tool # skip $skip"
    else
        run "$sanitizer" --tool "$tool" --error-exitcode 9 "$program"
        ok "$rc" "$tool finds nothing"
    fi
done
finish
