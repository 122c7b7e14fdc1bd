#!/usr/bin/env bash
# TAP. The 400 reference plans (tests/vectors/simulate.json) through `sailor simulate --estimator sailor`: every number
# within 1e-9 of the published simulator's.
set -u
cd "$(dirname "$0")/../.." || exit 1
sailor=${BIN:-build}/sailor
vectors=tests/vectors/simulate.json
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

if ! "$sailor" simulate "$vectors" --estimator sailor --json >"$tmp/out" 2>"$tmp/err"; then
    echo "1..1"
    echo "not ok 1 - sailor simulate $vectors"
    head -n 5 "$tmp/err" | sed 's/^/# /'
    exit 1
fi
"${PYTHON:-python3}" tests/vectors/check_vectors.py "$vectors" "$tmp/out"
