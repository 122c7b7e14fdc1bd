#!/usr/bin/env bash
# Real text: gpt-tiny learns the licences that every Debian has, byte by byte, on two ranks with all defaults. The last tenth
# of the text, most of it the Mozilla licence, is held out. Everything is left in build/demo.
#   STEPS=1000 TEXTS=/usr/share/common-licenses tests/bench/demo.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${BIN:-build} steps=${STEPS:-1000} texts=${TEXTS:-/usr/share/common-licenses} python=${PYTHON:-/usr/bin/python3} out=build/demo
read -ra mpirun <<<"${MPIEXEC:-mpirun}"
mkdir -p "$out"
find "$texts" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat >"$out/licences.txt" # not the links, which are duplicates
cat >"$out/plan.json" <<EOF
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 16, "micro_batch_size": 8,
 "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local", "count": 2}]}]}]}
EOF
"${mpirun[@]}" -n 2 "$bin/sailor-train" run "$out/plan.json" --data "$out/licences.txt" --steps "$steps" --evaluate 20 \
    -o "$out/run.h5" -f 2>&1 | grep --line-buffered -vE '^step .*loss [0-9.]+  [0-9]' # only the steps with a held-out loss
"$python" analysis/loss.py "$out/run.h5" -o "$out/loss.png"
echo "picture: $out/loss.png"
