#!/usr/bin/env bash
# The closed loop on this machine: measure the layers and the links of its CPU ranks, plan with them, train by the plan and
# by some fixed ones, and compare what was measured with what was estimated. Everything goes through the files that a
# cluster would use; they are left in build/loop.
#   RANKS=2 STEPS=25 tests/bench/loop.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${BIN:-build} ranks=${RANKS:-2} steps=${STEPS:-25} out=build/loop
[ "$ranks" = 2 ] || { echo "loop.sh: RANKS=$ranks; the fixed plans are for 2" >&2; exit 2; }
read -ra mpirun <<<"${MPIEXEC:-mpirun}"
train() { timeout 300 "${mpirun[@]}" -n "$ranks" "$bin/sailor-train" "$@"; }
rm -rf "$out"
mkdir -p "$out/inputs/profiles/gpt-tiny" "$out/inputs/sites"
cp -R inputs/models "$out/inputs/"
export SAILOR_INPUTS=$PWD/$out/inputs

echo "== links and layers"
train netbench --inputs inputs --seconds 0.2 -o "$out/inputs/sites/local.json"
train profile gpt-tiny --gpu cpu --largest 8 --repeat 15 -o "$out/inputs/profiles/gpt-tiny/cpu.json"

echo "== plan"
cat >"$out/job.json" <<EOF
{"format": "sailor-job/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 32,
 "pools": [{"gpus": [{"zone": "local", "gpu": "cpu", "count": $ranks}]}]}
EOF
"$bin/sailor" plan "$out/job.json" -o "$out/plan.h5" --quiet
"$bin/sailor" export "$out/plan.h5" -o "$out/planned.json"

# name, microbatch, stages: first, end, and the replicas' degrees
plan() {
    local name=$1 m=$2 stages='' s r list layers
    shift 2
    for s; do
        layers=${s%%:*} list=''
        for r in $(tr ',' ' ' <<<"${s#*:}"); do list+="${list:+, }{\"gpu\": \"cpu\", \"tp\": $r, \"zone\": \"local\"}"; done
        stages+="${stages:+, }{\"layers\": [${layers/-/, }], \"replicas\": [$list]}"
    done
    echo "{\"format\": \"sailor-plan/1\", \"name\": \"$name\", \"model\": \"gpt-tiny\", \"site\": \"local\"," \
         "\"global_batch_size\": 32, \"micro_batch_size\": $m, \"pipelines\": [{\"stages\": [$stages]}]}" >"$out/$name.json"
}
plan data-2 2 0-6:1,1
plan data-2-m8 8 0-6:1,1
plan pipe-2 2 0-3:1 3-6:1
plan pipe-2-early 2 0-2:1 2-6:1
plan pipe-2-late 4 0-4:1 4-6:1
plan tensor-2 4 0-6:2

echo "== train"
for name in planned data-2 data-2-m8 pipe-2 pipe-2-early pipe-2-late tensor-2; do
    printf '%-14s' "$name"
    train run "$out/$name.json" --steps "$steps" --warmup 5 -q -o "$out/$name.h5" | sed -n 1p
done

echo "== compare"
"$bin/sailor" validate "$out"/{planned,data-2,data-2-m8,pipe-2,pipe-2-early,pipe-2-late,tensor-2}.h5
