#!/usr/bin/env bash
# The closed loop on this machine, for a small model of each family: measure the layers and the links of its CPU ranks, plan
# with them, train by the plan and by some fixed ones, and compare measurements with estimates. Everything goes through the
# files that a cluster would use; they are left in build/loop/MODEL. Layers are measured again right before each run, and
# everything is done ROUNDS times, so that other load on the machine affects measurements and training alike; loop.py makes
# one table of the rounds.
#   MODELS='gpt-tiny llama-tiny opt-tiny' RANKS=2 ROUNDS=3 STEPS=12 tests/bench/loop.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${BIN:-build} ranks=${RANKS:-2} rounds=${ROUNDS:-3} steps=${STEPS:-12} python=${PYTHON:-/usr/bin/python3}
models=${MODELS:-"gpt-tiny llama-tiny opt-tiny"}
[ "$ranks" = 2 ] || { echo "loop.sh: RANKS=$ranks; the fixed plans are for 2" >&2; exit 2; }
read -ra mpirun <<<"${MPIEXEC:-mpirun}"
train() { timeout 300 "${mpirun[@]}" -n "$ranks" "$bin/sailor-train" "$@"; }

# name, microbatch, stages: first, end, and the replicas' degrees
plan() {
    local name=$1 m=$2 stages='' s r list layers
    shift 2
    for s; do
        layers=${s%%:*} list=''
        for r in $(tr ',' ' ' <<<"${s#*:}"); do list+="${list:+, }{\"gpu\": \"cpu\", \"tp\": $r, \"zone\": \"local\"}"; done
        stages+="${stages:+, }{\"layers\": [${layers/-/, }], \"replicas\": [$list]}"
    done
    echo "{\"format\": \"sailor-plan/1\", \"name\": \"$name\", \"model\": \"$model\", \"site\": \"local\"," \
         "\"global_batch_size\": 32, \"micro_batch_size\": $m, \"pipelines\": [{\"stages\": [$stages]}]}" >"$out/$name.json"
}
profile() { train profile "$model" --gpu cpu "$@" -q -o "$SAILOR_INPUTS/profiles/$model/cpu.json"; }
at() { # links are measured once a round
    here=$out/$round/$1
    export SAILOR_INPUTS=$PWD/$here/inputs
    mkdir -p "$here/inputs/profiles/$model"
    cp -R inputs/models inputs/devices.json inputs/residuals.json "$out/$round/sites" "$here/inputs/"
}
for model in $models; do
    out=build/loop/$model
    rm -rf "$out"
    mkdir -p "$out"
    plan data-2 2 0-6:1,1
    plan data-2-m8 8 0-6:1,1
    plan pipe-2 2 0-3:1 3-6:1
    plan pipe-2-early 2 0-2:1 2-6:1
    plan pipe-2-late 4 0-4:1 4-6:1
    plan tensor-2 4 0-6:2
    cat >"$out/job.json" <<EOF
{"format": "sailor-job/1", "model": "$model", "site": "local", "global_batch_size": 32,
 "pools": [{"gpus": [{"zone": "local", "gpu": "cpu", "count": $ranks}]}]}
EOF
    names=(planned data-2 data-2-m8 pipe-2 pipe-2-early pipe-2-late tensor-2)

    for round in $(seq "$rounds"); do
        mkdir -p "$out/$round/sites"
        load=$(cut -d ' ' -f 1 /proc/loadavg 2>/dev/null || echo unknown)
        echo "== $model, round $round of $rounds: links, layers, training; load $load"
        train netbench --inputs inputs --largest 26 --seconds 0.1 -q -o "$out/$round/sites/local.json"
        if [ ! -e "$out/planned.json" ]; then
            at plan
            profile --largest 8 --repeat 3
            "$bin/sailor" plan "$out/job.json" -o "$out/plan.h5" --quiet
            "$bin/sailor" export "$out/plan.h5" -o "$out/planned.json"
        fi
        for name in "${names[@]}"; do
            at "$name"
            m=$(sed -n 's/.*"micro_batch_size":[^0-9]*\([0-9]*\).*/\1/p' "$out/$name.json")
            tp=1; ! grep -q '"tp":[^0-9]*2' "$out/$name.json" || tp=2
            profile --largest "$m" --tp "$tp" --repeat 5
            train run "$out/$name.json" --steps "$steps" --warmup 2 -q -o "$here/run.h5" >"$here/run.txt"
            "$bin/sailor" validate "$here/run.h5" >"$here/validate.txt"
        done
    done
    "$python" tests/bench/loop.py "$bin/sailor" "$out" "$rounds" "${names[@]}"
done
