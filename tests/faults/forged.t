#!/usr/bin/env bash
# TAP. HDF5 files made by hand: tables that are not those of the inputs stored beside them, values that no program writes, and
# data outside of the file, at a pipe. They are refused in one line, and nothing waits for a pipe.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
export OMP_NUM_THREADS=1
if ! "$python" -c 'import h5py' 2>/dev/null || ! [ -x "$train" ]; then
    echo "1..0 # SKIP needs h5py, and sailor-train"
    exit 0
fi
job "$tmp/job.json" throughput
cat >"$tmp/plan.json" <<'EOF'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 1,
 "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}]}]}
EOF
run "$sailor" plan "$tmp/job.json" --threads 1 -q -o "$tmp/r.h5"
expect 0 "results"
run "$train" run "$tmp/plan.json" --steps 2 --warmup 1 --threads 1 -q --checkpoint "$tmp/c.h5" -o "$tmp/m.h5"
expect 0 "a checkpoint and a measurement"
mkfifo "$tmp/pipe"
"$python" - "$tmp" <<'EOF'
import h5py, os, shutil, sys
os.chdir(sys.argv[1])
def copy(to, of, edit):
    shutil.copy(of, to)
    with h5py.File(to, "a") as f: edit(f)
def put(key, value):
    def edit(f): f[key][0] = value
    return edit
def attribute(key, value):
    def edit(f): f.attrs[key] = value
    return edit
def link(f, key):
    del f[key]
    f[key] = h5py.ExternalLink("pipe", "/" + key)
def raw(f, key):
    shape, kind = f[key].shape, f[key].dtype
    del f[key]
    f.create_dataset(key, shape, kind, external=[("pipe", 0, h5py.h5f.UNLIMITED)])
def virtual(f, key):
    layout = h5py.VirtualLayout(f[key].shape, f[key].dtype)
    layout[:] = h5py.VirtualSource("pipe", key, f[key].shape)
    del f[key]
    f.create_virtual_dataset(key, layout)
def faster(f):
    for key in ("plan/iteration_time_s", "row/lower_bound"): f[key][0] /= 2
    f["plan/throughput_per_s"][0] *= 2
for key, value in (("plan/micro_batch_size", 7), ("plan/peak_memory_bytes", 1e308), ("plan/cost_usd_per_iteration", 1e308),
                   ("pool/count", 7)):
    copy(f"x-{os.path.basename(key)}.h5", "r.h5", put(key, value))
for key, value in (("framework", "other"), ("dtype", "bf16"), ("optimizer", "none"), ("global_batch_size", 7), ("sequence_length", 7),
                   ("element_bytes", 2), ("n_layer", 7), ("train_tokens", 1e30), ("max_usd_per_iteration", 1.0)):
    copy(f"x-{key}.h5", "r.h5", attribute(key, value))
copy("faster.h5", "r.h5", faster)
copy("bytes.h5", "r.h5", put("row/note", b"z\xfcrich"))
for name, value in (("minus", -1), ("little", 5e-324), ("much", 1e308), ("infinite", float("inf"))):
    copy(f"y-{name}.h5", "m.h5", put("rank/process_peak_bytes", value))
with h5py.File("c.h5") as f: weights = f"layer0/{next(iter(f['layer0']))}/weight"
copy("z.h5", "c.h5", put(weights[:-len("weight")] + "adam_v", -1))
for how in (link, raw, virtual):
    copy(f"{how.__name__}-r.h5", "r.h5", lambda f: how(f, "row/gap"))
    copy(f"{how.__name__}-m.h5", "m.h5", lambda f: how(f, "rank/process_peak_bytes"))
    copy(f"{how.__name__}-s.h5", "m.h5", lambda f: how(f, "step/loss"))
    copy(f"{how.__name__}-c.h5", "c.h5", lambda f: how(f, weights))
EOF
for file in "$tmp"/x-*.h5; do
    for command in report "report --json" "report --row 0" export "export --row 0 --format megatron"; do
        # shellcheck disable=SC2086
        run "$sailor" $command "$file"
        expect 2 "$command: $(basename "${file#*x-}" .h5) is not what the inputs say"
    done
done
for by in "" "$mpiexec -n 2"; do
    # shellcheck disable=SC2086
    run $by "$sailor" plan "$tmp/job.json" --threads 1 -q --resume "$tmp/x-micro_batch_size.h5"
    expect 2 "plan --resume${by:+, on two ranks}"
done
bytes=$(printf 'z\xfcrich.h5')
cp "$tmp/bytes.h5" "$tmp/$bytes"
for command in "report --json" "report --row 0" "report --html $tmp/r.html" "export"; do
    # shellcheck disable=SC2086
    run "$sailor" $command "$tmp/$bytes"
    case $command in *html*) page=$tmp/r.html ;; *) page=$tmp/out ;; esac
    [ "$rc" = 0 ] && [ -s "$page" ] && iconv -f UTF-8 -t UTF-8 "$page" "$tmp/err" >/dev/null
    ok $? "$command: bytes that are not UTF-8, in a file and in its name, leave as UTF-8"
done
run "$sailor" report "$tmp/bytes.h5" --json
json "o[0]['row'] == 0" "and as JSON"
first() { head -n 1 "$1" | grep -oE '"(iteration_time_s|lower_bound|status)": ?[^,]*'; }
run "$sailor" plan "$tmp/job.json" --threads 1 -q --json
cp "$tmp/out" "$tmp/right"
run "$sailor" plan "$tmp/job.json" --threads 1 -q --json --warm "$tmp/faster.h5"
[ "$rc" = 0 ] && [ -n "$(first "$tmp/right")" ] && [ "$(first "$tmp/out")" = "$(first "$tmp/right")" ]
ok $? "plan --warm believes no time that the estimator does not give"
for file in "$tmp"/y-*.h5; do
    run "$sailor" validate "$file"
    expect 2 "validate: a process with $(basename "${file#*y-}" .h5) bytes"
done
for by in "" "$mpiexec -n 1"; do
    # shellcheck disable=SC2086
    run $by "$train" run "$tmp/plan.json" --steps 1 -q --resume "$tmp/z.h5"
    expect 2 "run --resume: a mean of squares that is negative${by:+, started by mpirun}"
    has err "element 0 is negative" "which is named"
done
for how in link raw virtual; do
    while read -r program line; do
        case $program in
        sailor) set -- "$sailor" ;;
        train) set -- "$train" ;;
        two) set -- "$mpiexec" -n 2 "$sailor" ;;
        plot) set -- analysis/sailor-plot ;;
        esac
        # shellcheck disable=SC2086
        run "$@" ${line//@/$tmp/$how-}
        { [ "$rc" = 2 ] || [ "$program $rc" = "plot 1" ]; } && [ "$(grep -c 'error: ' "$tmp/err")" = 1 ] && ! grep -q Traceback "$tmp/err"
        ok $? "data elsewhere ($how): $program ${line%% @*}"
    done <<EOF
sailor report @r.h5
sailor plan $tmp/job.json -q --resume @r.h5
sailor plan $tmp/job.json -q --warm @r.h5
two plan $tmp/job.json -q --resume @r.h5
sailor export @r.h5
sailor validate @m.h5
train run $tmp/plan.json --steps 1 -q --resume @c.h5
train weights @c.h5 --model gpt-tiny -o $tmp/k.safetensors
plot @r.h5 -o $tmp/r.png
plot frontier @r.h5 -o $tmp/r.png
plot search @r.h5 -o $tmp/r.png
plot timeline @r.h5 -o $tmp/r.png
plot loss @s.h5 -o $tmp/r.png
EOF
done
finish
