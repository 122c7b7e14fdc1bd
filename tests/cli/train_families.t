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

# ---- recomputed values have the same bits, and are not kept ----
held() { "$python" -c "import h5py; f = h5py.File('$1')['rank']; print(int(f['peak_bytes'][:, 3].max()))"; }
plan "$tmp/pipe.json" llama-tiny "0,3:1;3,6:1"
for mode in none selective full; do
    sed 's/{"format"/{"recompute": "'$mode'", "format"/' "$tmp/pipe.json" >"$tmp/$mode.json"
    run "$mpiexec" -n 2 "$train" run "$tmp/$mode.json" --steps 2 -q --json -o "$tmp/$mode.h5"
    "$python" -c "import json; print([json.loads(line)['loss'] for line in open('$tmp/out')])" >"$tmp/$mode.losses"
done
cmp -s "$tmp/none.losses" "$tmp/selective.losses" && cmp -s "$tmp/none.losses" "$tmp/full.losses"
ok $? "the losses of what is kept"
[ "$(held "$tmp/full.h5")" -lt "$(held "$tmp/selective.h5")" ] && [ "$(held "$tmp/selective.h5")" -lt "$(held "$tmp/none.h5")" ]
ok $? "activations take $(held "$tmp/none.h5"), $(held "$tmp/selective.h5"), $(held "$tmp/full.h5") bytes"

# ---- ZeRO: the same bits, half of the optimizer state; checkpoints do not differ ----
same() {
    "$python" - "$1" "$2" <<'EOF'
import sys, h5py
x, y = (h5py.File(f) for f in sys.argv[1:])
for layer in x:
    for tensor in x[layer]:
        for what in ("weight", "adam_m", "adam_v"):
            assert (x[layer][tensor][what][:] == y[layer][tensor][what][:]).all(), (layer, tensor, what)
EOF
}
for model in llama-tiny opt-tiny; do
    for dtype in fp32 bf16; do
        plan "$tmp/pair.json" $model "0,6:1,1"
        sed -i 's/{"format"/{"dtype": "'$dtype'", "format"/' "$tmp/pair.json"
        sed 's/{"format"/{"zero": 1, "format"/; s/{"dtype"/{"zero": 1, "dtype"/' "$tmp/pair.json" >"$tmp/zero.json"
        for p in pair zero; do
            run "$mpiexec" -n 2 "$train" run "$tmp/$p.json" --steps 2 -q --json -o "$tmp/$p-m.h5" -f --checkpoint "$tmp/$p.h5" --clip 0.5
            expect 0 "$model $dtype, $p"
            "$python" -c "import json; print([json.loads(line)['loss'] for line in open('$tmp/out')])" >"$tmp/$p.losses"
        done
        cmp -s "$tmp/pair.losses" "$tmp/zero.losses" && same "$tmp/pair.h5" "$tmp/zero.h5"
        ok $? "losses and checkpoint are the same to the bit"
        run "$mpiexec" -n 2 "$train" run "$tmp/zero.json" --steps 1 -q --json --resume "$tmp/pair.h5" -f --checkpoint "$tmp/zero2.h5"
        run "$mpiexec" -n 2 "$train" run "$tmp/pair.json" --steps 1 -q --json --resume "$tmp/zero.h5" -f --checkpoint "$tmp/pair2.h5"
        same "$tmp/pair2.h5" "$tmp/zero2.h5"
        ok $? "each goes on from the other's"
    done
done
optimizer() { "$python" -c "import h5py; print(int(h5py.File('$1')['rank/peak_bytes'][:, 2].max()))"; }
[ $((2 * $(optimizer "$tmp/zero-m.h5"))) -lt $(($(optimizer "$tmp/pair-m.h5") + 1000)) ]
ok $? "the optimizer holds $(optimizer "$tmp/pair-m.h5") and $(optimizer "$tmp/zero-m.h5") bytes"

# ---- public weights ----
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny -o "$tmp/w.safetensors"
expect 0 "weights of a checkpoint"
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny -o "$tmp/w.safetensors"
expect 2 "over a file"
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny
expect 2 "without --output"
run "$train" weights "$tmp/llama-tiny.h5" -o "$tmp/x.safetensors"
expect 2 "without --model"
run "$train" weights "$tmp/llama-tiny.h5" --model opt-tiny -o "$tmp/x.safetensors"
expect 2 "as another model"
has err "activation swiglu" "it says what the checkpoint is of"
[ ! -e "$tmp/x.safetensors" ]
ok $? "and leaves no file"
for p in one pipe tensor; do
    case $p in
    one) stages="0,6:1" ;;
    pipe) stages="0,3:1;3,6:1" ;;
    *) stages="0,6:2" ;;
    esac
    plan "$tmp/$p.json" llama-tiny "$stages"
    ranks=2
    [ $p = one ] && ranks=1
    run "$mpiexec" -n $ranks "$train" run "$tmp/$p.json" --steps 1 -q --json --weights "$tmp/w.safetensors" --checkpoint "$tmp/$p.h5"
    expect 0 "they start a run: $p"
done
"$python" - "$tmp" <<'EOF'
import sys, h5py
files = [h5py.File(f"{sys.argv[1]}/{p}.h5") for p in ("one", "pipe", "tensor")]
off = max(abs(f[l][t]["weight"][:] - files[0][l][t]["weight"][:]).max() for f in files for l in files[0] for t in files[0][l])
assert off < 3e-3, off  # AdamW moves every weight by the rate, 1e-3, at most twice that apart where a gradient is nearly 0
EOF
ok $? "from the same weights, whichever rank reads them"
run "$train" run "$tmp/one.json" --weights "$tmp/w.safetensors" --resume "$tmp/one.h5"
expect 2 "--weights and --resume"
plan "$tmp/opt.json" opt-tiny "0,6:1"
run "$train" run "$tmp/opt.json" --steps 1 -q --weights "$tmp/w.safetensors"
expect 2 "weights of another family"
has err "w.safetensors: no tensor model.decoder.embed_tokens.weight; expected one of 512 x 128 numbers" "it says what is missing"
for damage in header length cut shape; do
    "$python" - "$tmp/w.safetensors" "$tmp/bad.safetensors" $damage <<'EOF'
import sys
b = bytearray(open(sys.argv[1], "rb").read())
if sys.argv[3] == "header": b[8] = ord("[")
if sys.argv[3] == "length": b[7] = 255
if sys.argv[3] == "cut": b = b[:-100]
if sys.argv[3] == "shape": b = b.replace(b'[512,128]', b'[128,512]', 1)
open(sys.argv[2], "wb").write(b)
EOF
    run "$train" run "$tmp/one.json" --steps 1 -q --weights "$tmp/bad.safetensors"
    [ "$rc" = 2 ] && [ "$(wc -l <"$tmp/err")" = 1 ]
    ok $? "a damaged file: $damage: $(cut -c 1-150 "$tmp/err" | sed "s#$tmp/##")"
done
run "$train" run "$tmp/one.json" --steps 1 -q --weights "$tmp"
expect 2 "a directory"

# ---- the same in pieces ----
mkdir "$tmp/pieces"
index=$tmp/pieces/model.safetensors.index.json
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny -o "$index" --piece-gb 0.001
expect 0 "weights in pieces"
"$python" - "$tmp/w.safetensors" "$index" <<'EOF'
import json, os, struct, sys
def read(path):
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    head = json.loads(b[8:8 + n])
    head.pop("__metadata__")
    return {k: (v["dtype"], v["shape"], b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in head.items()}
whole, index, at = read(sys.argv[1]), json.load(open(sys.argv[2])), os.path.dirname(sys.argv[2])
names = sorted(set(index["weight_map"].values()))
assert len(names) > 2 and names == ["model-%05d-of-%05d.safetensors" % (i + 1, len(names)) for i in range(len(names))], names
assert sorted(os.listdir(at)) == sorted(names + [os.path.basename(sys.argv[2])])
together = {}
for name in names:
    piece = read(os.path.join(at, name))
    assert all(index["weight_map"][k] == name for k in piece)
    assert len(piece) == 1 or sum(len(v[2]) for v in piece.values()) <= 1e6
    together.update(piece)
assert together == whole and index["metadata"]["total_size"] == sum(len(v[2]) for v in whole.values())
EOF
ok $? "an index, and files of at most that size; together they hold the same bytes"
run "$train" run "$tmp/one.json" --steps 1 -q --weights "$tmp/w.safetensors" --checkpoint "$tmp/whole.h5"
run "$train" run "$tmp/one.json" --steps 1 -q --weights "$index" --checkpoint "$tmp/pieces.h5"
expect 0 "a run starts from them"
for name in whole pieces; do "$train" weights "$tmp/$name.h5" --model llama-tiny -o "$tmp/$name.st"; done
cmp "$tmp/whole.st" "$tmp/pieces.st"
ok $? "with the bits of one file"
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny -o "$index" --piece-gb 0.001
expect 2 "over pieces"
rm "$index"
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny -o "$index" --piece-gb 0.001
expect 2 "over pieces without an index"
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny -o "$tmp/other.json"
expect 2 "an index of another name"
run "$train" weights "$tmp/llama-tiny.h5" --model llama-tiny -o "$index" --piece-gb 0.001 -f
expect 0 "but with -f"
damaged() { # title, what the one line says, an edit of x, the index
    "$python" -c "import json, sys; x = json.load(open('$index')); m = x['weight_map']
$3
json.dump(x, open('$tmp/pieces/bad.index.json', 'w'))"
    run "$train" run "$tmp/one.json" --steps 1 -q --weights "$tmp/pieces/bad.index.json"
    expect 2 "an index $1"
    has err "$2" "it says so"
}
damaged "that names a file elsewhere" "expected the name of a file beside this one" "m[min(m)] = '../w.safetensors'"
damaged "that names no file" "none.safetensors: No such file" "m[min(m)] = 'none.safetensors'"
damaged "without one of the tensors" "bad.index.json: no tensor lm_head.weight" "del m['lm_head.weight']"
damaged "that has one in the wrong file" "bad.index.json: no tensor" "m['lm_head.weight'] = m['model.embed_tokens.weight']"
damaged "without tensors" "/weight_map: no tensors" "x['weight_map'] = {}"
pieces=("$tmp"/pieces/*)
two=${pieces[2]##*/}
head -c 1000 "$tmp/pieces/$two" >"$tmp/cut" && cp "$tmp/cut" "$tmp/pieces/$two"
run "$train" run "$tmp/one.json" --steps 1 -q --weights "$index"
expect 2 "a piece that was cut"
has err "$two: " "it says which"

plan "$tmp/eight.json" llama-tiny "0,6:8"
sed -i 's/llama-tiny/qwen2.5-7b/; s/\[0, 6\]/[0, 30]/' "$tmp/eight.json"
run "$train" run "$tmp/eight.json"
expect 2 "a degree that divides neither heads nor key/value heads"
finish
