#!/usr/bin/env bash
# TAP. `sailor-train` with models of other families than GPT: profiles, runs by several plans, checkpoints from one plan to another.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
# plan FILE MODEL STAGES: "FIRST, END: DEGREES" separated by ';'
plan() {
    "$python" - "$@" >"$1" <<'EOF'
import json, sys
stages = []
for s in sys.argv[3].split(";"):
    layers, degrees = s.split(":")
    stages.append({"layers": [int(x) for x in layers.split(",")],
                   "replicas": [{"gpu": "cpu", "tp": int(t), "zone": "local"} for t in degrees.split(",")]})
print(json.dumps({"format": "sailor-plan/1", "model": sys.argv[2], "site": "local", "global_batch_size": 4,
                  "micro_batch_size": 2, "pipelines": [{"stages": stages}]}))
EOF
}
for model in llama-tiny opt-tiny; do
    run "$mpiexec" -n 2 "$train" profile $model --gpu cpu --largest 2 --repeat 1 -q
    expect 0 "profile $model"
    "$python" -c "
import json
times = json.load(open('$tmp/out'))['times']
assert {(t['micro_batch_size'], t['tp']) for t in times} == {(1, 1), (2, 1), (1, 2), (2, 2)}"
    ok $? "by microbatch and degree"
    plan "$tmp/one.json" $model "0,6:1"
    plan "$tmp/pipe.json" $model "0,3:1;3,6:1"
    plan "$tmp/tensor.json" $model "0,6:2"
    run "$train" run "$tmp/one.json" --steps 4 -q --json
    expect 0 "$model on one rank"
    cp "$tmp/out" "$tmp/all"
    run "$mpiexec" -n 2 "$train" run "$tmp/pipe.json" --steps 2 -q --json --checkpoint "$tmp/$model.h5"
    cp "$tmp/out" "$tmp/first"
    run "$mpiexec" -n 2 "$train" run "$tmp/tensor.json" --steps 2 -q --json --resume "$tmp/$model.h5"
    "$python" - "$tmp/all" "$tmp/first" "$tmp/out" <<'EOF'
import json, sys
one, *two = [[json.loads(line)["loss"] for line in open(f)] for f in sys.argv[1:]]
two = two[0] + two[1]
assert len(one) == len(two) == 4 and max(abs(a / b - 1) for a, b in zip(one, two)) < 1e-5, (one, two)
assert one[-1] < one[0]
EOF
    ok $? "two steps as a pipeline, two more split within layers: the losses of one rank"
done
run "$python" -c "import h5py; f = h5py.File('$tmp/opt-tiny.h5'); print(list(f['layer5']), list(f['layer0']))"
has out "['norm.bias', 'norm.gain'] ['positions', 'tokens']" "a tied matrix is stored once"
plan "$tmp/one.json" gpt-tiny "0,6:1"
run "$train" run "$tmp/one.json" --steps 1 -q --resume "$tmp/opt-tiny.h5"
expect 2 "the checkpoint of another model"
has err "positions 130 after 2" "both are described"
plan "$tmp/eight.json" llama-tiny "0,6:8"
sed -i 's/llama-tiny/qwen2.5-7b/; s/\[0, 6\]/[0, 30]/' "$tmp/eight.json"
run "$train" run "$tmp/eight.json"
expect 2 "a degree that divides neither heads nor key/value heads"
finish
