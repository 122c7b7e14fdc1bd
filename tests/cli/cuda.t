#!/usr/bin/env bash
# TAP. `sailor-train --backend cuda` from outside: its message without a GPU, and that it trains as the CPU does, on the tests' emulated
# GPU and on a real one if there is one. Ranks share the GPU; with one rank, NCCL too.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
emulated=${EMULATED_GPU:-build/release/tests/train/emulated.so}
plan() { # FILE BATCH STAGES [MODEL]: stages are "FIRST, END: DEGREES" separated by ';'
    "$python" - "$@" >"$1" <<'EOF'
import json, sys
stages = []
for s in sys.argv[3].split(";"):
    layers, degrees = s.split(":")
    stages.append({"layers": [int(x) for x in layers.split(",")],
                   "replicas": [{"gpu": "cpu", "tp": int(t), "zone": "local"} for t in degrees.split(",")]})
model = sys.argv[4] if len(sys.argv) > 4 else "gpt-tiny"
print(json.dumps({"format": "sailor-plan/1", "model": model, "site": "local", "global_batch_size": int(sys.argv[2]),
                  "micro_batch_size": 1, "recompute": "none" if model == "gpt-tiny" else "selective",
                  "pipelines": [{"stages": stages}]}))
EOF
}
losses() { "$python" -c "import json,sys; print([json.loads(l)['loss'] for l in open('$tmp/out')])"; }
# near TITLE: the losses of the last run are those of the reference, within the rounding of TF32
near() {
    "$python" -c "
import sys
a, b = $reference, $(losses)
sys.exit(len(a) != len(b) or max(abs(x - y) / x for x, y in zip(a, b)) > 2e-3)"
    ok $? "$1"
}
# links TITLE COMM: netbench of two ranks, between buffers of the GPU
links() {
    run "$mpiexec" -n 2 "$train" netbench --backend cuda --comm "$2" --largest 20 --seconds 0.01 -q
    [ "$rc" = 0 ] && "$python" -c "
import json, sys
site = json.load(open('$tmp/out')); s, = site['links']['//samples']
assert '; backend cuda (' in site['source'] and site['source'].endswith('), comm $2'), site['source']
assert all(len(s[k]) == 5 and min(s[k]) > 0 for k in ('bandwidth_Bps', 'all_reduce_s')), s"
    ok $? "$1"
}
plan "$tmp/one.json" 1 "0,6:1"
plan "$tmp/pipe.json" 1 "0,2:1;2,6:1"
plan "$tmp/two.json" 2 "0,6:1"
plan "$tmp/four.json" 2 "0,3:1,1;3,6:2"
plan "$tmp/llama-tiny.json" 1 "0,6:2" llama-tiny
plan "$tmp/opt-tiny.json" 1 "0,3:1;3,6:1" opt-tiny
for model in llama-tiny opt-tiny; do
    run "$mpiexec" -n 2 "$train" run "$tmp/$model.json" --steps 2 -q --json --clip 0.5
    losses >"$tmp/$model.losses"
done
run "$train" run "$tmp/one.json" --steps 2 -q --json
reference=$(losses)

run "$train" run "$tmp/one.json" --comm nccl
expect 2 "NCCL without GPUs is refused"
has err "expected --backend cuda" "and it says what is missing"
run env SAILOR_TRAIN_CUDA=/nonexistent.so "$train" run "$tmp/one.json" --backend cuda --steps 1
expect 2 "a CUDA backend that cannot be loaded"
echo 'const char *cuda_version(void); const char *cuda_version(void) { return "0.0.0"; }' >"$tmp/old.c"
${CC:-cc} -shared -fPIC -o "$tmp/old.so" "$tmp/old.c"
run env SAILOR_TRAIN_CUDA="$tmp/old.so" "$train" run "$tmp/one.json" --backend cuda
expect 2 "a CUDA backend of another version is refused"
has err "is of version 0.0.0; expected that of the program" "and it says which"
run env SAILOR_TRAIN_CUDA="$tmp/old.so" "$train" --version
has out "backends    cpu (backend cuda: $tmp/old.so: is of version 0.0.0" "--version says so, too"

on() { # where; the environment says which GPU
    run "$train" run "$tmp/one.json" --backend cuda --steps 2 -q --json -o "$tmp/$1.h5"
    expect 0 "$1: one rank"
    near "$1: it has the losses of the CPU"
    run "$mpiexec" -n 2 "$train" run "$tmp/pipe.json" --backend cuda --comm mpi --steps 2 -q --json
    near "$1: two ranks on one GPU, a pipeline"
    links "$1: the link between two ranks on one GPU" mpi
    run "$train" profile llama-tiny --gpu cpu --backend cuda --largest 1 --repeat 1 -q
    expect 0 "$1: a profile of llama-tiny"
    local first=$reference
    for model in llama-tiny opt-tiny; do
        reference=$(cat "$tmp/$model.losses")
        run "$mpiexec" -n 2 "$train" run "$tmp/$model.json" --backend cuda --comm mpi --steps 2 -q --json --clip 0.5
        near "$1: $model on two ranks, split within layers or a pipeline, clipped and recomputed"
    done
    reference=$first
}
if [ -e "$emulated" ]; then
    SAILOR_TRAIN_CUDA=$emulated on emulated
    "$python" - "$tmp" <<'EOF'
import struct, sys
open(sys.argv[1] + "/m.bin", "wb").write(bytes(2000))
open(sys.argv[1] + "/m.idx", "wb").write(b"MMIDIDX\0\0" + struct.pack("<QBQQiqQQ", 1, 1, 1, 2, 2000, 0, 0, 1))
EOF
    SAILOR_TRAIN_CUDA=$emulated run "$train" run "$tmp/one.json" --backend cuda --data "$tmp/m.idx" --separate-documents
    expect 2 "documents are not kept apart there"
    has err "run: --separate-documents: not built for --backend cuda; expected cpu" "it says so"
    SAILOR_TRAIN_CUDA=$emulated run "$train" run "$tmp/one.json" --backend cuda --memory-limit 0.02
    expect 3 "emulated: out of memory is a result"
    EMULATED=broken SAILOR_TRAIN_CUDA=$emulated run "$train" run "$tmp/one.json" --backend cuda --steps 1
    expect 1 "emulated: a device that fails in a step is one line"
    EMULATED=broken SAILOR_TRAIN_CUDA=$emulated run "$mpiexec" -n 2 "$train" run "$tmp/pipe.json" --backend cuda --comm mpi --steps 1
    [ "$rc" != 0 ] && [ "$(grep -c 'rank 0 on .*: CUDA: cuda' "$tmp/err")" = 1 ] && [ "$(grep -ci error: "$tmp/err")" = 1 ]
    ok $? "emulated: and ends the job of two, with one line from us"
    SAILOR_TRAIN_CUDA=$emulated run "$train" run "$tmp/one.json" --backend cuda --comm nccl
    expect 2 "emulated: has no NCCL"
    SAILOR_TRAIN_CUDA=$emulated run "$train" --version
    has out "comm        mpi (nccl: not built)" "emulated: --version asks it"
else
    n=$((n + 1)); echo "ok $n - the emulated GPU # skip $emulated is not built"
fi
run "$train" run "$tmp/one.json" --backend cuda --steps 1 -q
if [ "$rc" = 0 ]; then
    on GPU
    run "$train" run "$tmp/one.json" --backend cuda --comm nccl --steps 2 -q --json
    near "GPU: one rank with NCCL"
    run "$mpiexec" -n 2 "$train" run "$tmp/pipe.json" --backend cuda --comm nccl --steps 2 -q --json
    if [ "$rc" = 2 ] && grep -q "share a GPU" "$tmp/err"; then
        n=$((n + 1)); echo "ok $n - GPU: two ranks with NCCL # skip there is one GPU"
    else
        near "GPU: two ranks with NCCL"
        links "GPU: the link between two ranks with NCCL" nccl
    fi
    run "$train" run "$tmp/two.json" --steps 2 -q --json
    reference=$(losses)
    run "$mpiexec" -n 4 "$train" run "$tmp/four.json" --backend cuda --comm mpi --steps 2 -q --json
    near "GPU: four ranks on one GPU, data, pipeline and tensor parallelism"
else
    expect 2 "without a GPU it ends"
    has err "backend cuda: no" "and says what there is not"
    n=$((n + 1)); echo "ok $n - the same on a GPU # skip $(sed 's/^.*error: //' "$tmp/err")"
fi
finish
