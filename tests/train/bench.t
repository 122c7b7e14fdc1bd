#!/usr/bin/env bash
# TAP. The program that measures a GPU, with the CPU in its place.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
export OMP_NUM_THREADS=1
bench=${BIN:-build}/bench_train
for dtype in fp32 bf16; do
    run "$bench" tiny "$dtype" 2 4 3
    ok "$rc" "tiny in $dtype"
    has out "tiny $dtype, microbatch 2, batch 4: " "what was run"
    "$python" - "$tmp/out" <<'EOF'
import re, sys
text = open(sys.argv[1]).read()
ms, tokens = (float(x) for x in re.search(r": ([\d.]+) ms .*?, (\d+) tokens/s", text).groups())
rows = re.findall(r"microbatch +(\d+), ms: embedding ([\d. +]+), block ([\d. +]+), head ([\d. +]+)\n", text)
sys.exit(not (abs(tokens * ms / 1e3 / (4 * 32) - 1) < 0.01 and [r[0] for r in rows] == ["1", "2"] and "optimizer" in text))
EOF
    ok $? "tokens per second are those of the step, and every layer has its times"
done
run "$bench" tiny
ok $((rc != 2)) "wrong usage"
finish
