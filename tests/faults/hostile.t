#!/usr/bin/env bash
# TAP. Hostile names in files: what ends a line, controls a terminal, or changes the direction of writing reaches no table,
# message, page, picture, or script that others run. And byte order marks.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
def write(name, o): json.dump(o, open(f"{tmp}/{name}", "w"))
zone = "z\ntouch " + tmp + "/made\n#\x1b[31m</script>\u202e"
other = "\u009b31m\x07east"
gpu = {"name": "A100-40", "memory_bytes": 40e9, "gpus_per_node": 4}
price = {"A100-40": 2}
write("site.json", {
    "format": "sailor-site/1", "name": "s\ntouch " + tmp + "/made\n\x1b]0;x\x07", "zones": [zone, other], "gpus": [gpu],
    "usd_per_gpu_hour": {zone: price, other: price},
    "egress_usd_per_GB": {zone: {zone: 0, other: 0.1}, other: {zone: 0.1, other: 0}},
    "links": {"pairs": [["*", "*", "*", "*", "ib-ndr"]]}})
write("job.json", {
    "format": "sailor-job/1", "name": "j\x1b[2J</title>", "model": "opt-350m", "site": "./site.json", "global_batch_size": 32,
    "objective": "frontier", "pools": [{"gpus": [{"zone": z, "gpu": "A100-40", "count": 4} for z in (zone, other)]}]})
EOF
# harmless TITLE FILE...: the last run did its work, and nothing in its files controls a terminal
harmless() {
    local title=$1 rc_was=$rc
    shift
    [ "$rc_was" = 0 ] && ! LC_ALL=C grep -qaP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]' "$@"
    ok $? "$title"
}
run "$sailor" plan "$tmp/job.json" --threads 1 -o "$tmp/p.h5"
harmless "plan" "$tmp/out" "$tmp/err"
for command in "plan --json -q" "plan -q --objective cost" "whatif -q --objective cost" "whatif --json -q --objective cost" \
    "replan -q --objective cost" "replan --json -q --objective cost"; do
    # shellcheck disable=SC2086
    run "$sailor" $command "$tmp/job.json" --threads 1
    harmless "$command" "$tmp/out" "$tmp/err"
done
for option in "" --json; do
    run "$sailor" report "$tmp/p.h5" $option
    harmless "report $option" "$tmp/out" "$tmp/err"
done
run "$sailor" report "$tmp/p.h5" --html "$tmp/p.html"
harmless "report --html" "$tmp/p.html"
! grep -qF '\x1b[31m</script>' "$tmp/p.html"
ok $? "whose tags are its own"
run "$sailor" export "$tmp/p.h5" -o "$tmp/plan.json"
for option in "" --json --explain; do
    run "$sailor" simulate "$tmp/plan.json" $option
    harmless "simulate $option" "$tmp/out" "$tmp/err"
done
run "$sailor" simulate "$tmp/plan.json" --trace "$tmp/trace.json"
harmless "simulate --trace" "$tmp/trace.json"
for format in megatron flagscale; do
    run "$sailor" export "$tmp/p.h5" --format $format --nearest -o "$tmp/$format.sh"
    harmless "export --format $format" "$tmp/$format.sh"
    # shellcheck disable=SC1090
    (. "$tmp/$format.sh") && [ ! -e "$tmp/made" ]
    ok $? "runs nothing when it is sourced"
done
run "$sailor" site -m "$tmp/site.json" --preset H100-80
harmless "site" "$tmp/out" "$tmp/err"
json_same() { "$python" -c "import json; a, b = (json.load(open(f))['zones'] for f in ('$tmp/site.json', '$tmp/out')); assert a == b"; }
json_same
ok $? "whose names are the same to a reader"
cat >"$tmp/config.json" <<'EOF'
{"model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4, "num_hidden_layers": 4, "vocab_size": 512,
 "max_position_embeddings": 256}
EOF
run "$sailor" model "$tmp/config.json" --name $'m\e[31m'
harmless "model" "$tmp/out" "$tmp/err"

# ---- a byte order mark: refused in JSON, with its place; skipped in tables of other programs ----
run "$sailor" validate inputs/validation/megatron-a100.csv --json
cp "$tmp/out" "$tmp/plain"
{ printf '\xef\xbb\xbf'; cat inputs/validation/megatron-a100.csv; } >"$tmp/runs.csv"
run "$sailor" validate "$tmp/runs.csv" --json
[ "$rc" = 0 ] && diff <(sed 's/"file":"[^"]*"//' "$tmp/plain") <(sed 's/"file":"[^"]*"//' "$tmp/out") >/dev/null
ok $? "validate: runs as a spreadsheet saves them"
for i in 1 2; do printf 'NodeName=n%d Gres=gpu:h100:8 Partitions=a\n\n' $i; done >"$tmp/nodes"
{ printf '\xef\xbb\xbf'; cat "$tmp/nodes"; } >"$tmp/marked"
run "$sailor" site --slurm "$tmp/nodes"
cp "$tmp/out" "$tmp/plain"
run "$sailor" site --slurm "$tmp/marked"
[ "$rc" = 0 ] && diff <(sed s./nodes./marked. "$tmp/plain") "$tmp/out" >/dev/null && grep -q '"H100-80": 16' "$tmp/out"
ok $? "site: the first node counts, too"
{ printf '\xef\xbb\xbf'; cat "$tmp/job.json"; } >"$tmp/marked.json"
run "$sailor" plan "$tmp/marked.json"
expect 2 "plan: a job with a mark"
has err "byte order mark" "is told so"

# ---- the file at fault is the one that is named ----
mkdir "$tmp/world"
cp -r inputs/models inputs/profiles inputs/sites inputs/*.json "$tmp/world"
sed -i '/"nvlink3"/s/"GBps": 300/"GBps": -300/' "$tmp/world/links.json"
sed -i 's/"ffn_size": 512/"ffn_size": "many"/' "$tmp/world/models/gpt-tiny.json"
cat >"$tmp/by-link.json" <<'EOF'
{"format": "sailor-site/1", "zones": ["z"], "gpus": ["A100-40"], "links": {"pairs": [["z", "*", "z", "*", "nvlink3"]]}}
EOF
cat >"$tmp/by-link-job.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "./by-link.json", "global_batch_size": 8,
 "pools": [{"gpus": [{"zone": "z", "gpu": "A100-40", "count": 2}]}]}
EOF
cat >"$tmp/unbuilt.json" <<'EOF'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 1,
 "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}]}]}
EOF
run "$sailor" plan "$tmp/by-link-job.json" --inputs "$tmp/world"
expect 2 "a link to which links.json gives a negative rate"
has err "world/links.json: /links/0/GBps: -300; expected" "is said of links.json, not of the site"
for by in "" "$mpiexec -n 2"; do
    # shellcheck disable=SC2086
    run $by "$train" run "$tmp/unbuilt.json" --inputs "$tmp/world" --steps 1
    expect 2 "a model that cannot be built${by:+, on two ranks}"
    has err 'gpt-tiny.json: /architecture/ffn_size: "many"; expected' "is said of the model, not of the plan"
done
run "$train" profile gpt-tiny --inputs "$tmp/world" --gpu cpu -o "$tmp/none.json"
has err 'gpt-tiny.json: /architecture/ffn_size: "many"; expected' "profile, too"

# ---- a file of another kind is told which ----
run "$sailor" plan "$tmp/site.json"
expect 2 "a site where a job belongs"
has err '/format: "sailor-site/1"; expected "sailor-job/1"' "is called a site, not a job with unknown keys"
sed 's/"site": "local"/"site": ".\/job.json"/' "$tmp/unbuilt.json" >"$tmp/job-as-site.json"
run "$sailor" simulate "$tmp/job-as-site.json"
expect 2 "a job where a site belongs"
has err '/format: "sailor-job/1"; expected "sailor-site/1"' "is called a job"
run "$train" run "$tmp/p.h5" --steps 1
expect 2 "results where a plan belongs"
has err 'p.h5: an HDF5 file; expected text' "are called a file of HDF5"

# ---- files of results and measurements made by hand ----
cat >"$tmp/plan.json" <<'EOF'
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 1,
 "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}]}]}
EOF
if "$python" -c 'import h5py' 2>/dev/null; then
    run "$train" run "$tmp/plan.json" --steps 2 --warmup 1 --threads 1 -q -o "$tmp/m.h5"
    # forged FILE KEY VALUE COMMAND: a copy with this attribute is refused by the command
    forged() {
        cp "$tmp/$1" "$tmp/forged.h5"
        "$python" -c "import h5py; h5py.File('$tmp/forged.h5', 'a').attrs['$2'] = float('$3')"
        run "$sailor" "$4" "$tmp/forged.h5"
        expect 2 "$4: $2 $3"
        has err "/$2: not a number" "which is named"
    }
    for key in iteration_time_s peak_memory_bytes; do
        for value in 0 -1 inf; do forged m.h5 $key $value validate; done
    done
    for key in wall_s train_tokens min_iterations_per_s; do
        for value in nan -1 inf; do forged p.h5 $key $value report; done
    done
else
    n=$((n + 1)); echo "ok $n - forged files # SKIP $python has no h5py"
fi

# ---- an output that is an input, by another name ----
mkdir "$tmp/d"
ln -s .. "$tmp/d/up"
job "$tmp/j.json" throughput
cp "$tmp/config.json" "$tmp/c.json"
run "$sailor" plan "$tmp/j.json" --threads 1 -q -o "$tmp/r.h5"
run "$sailor" model "$tmp/config.json" -o "$tmp/llama.json"
cp inputs/models/gpt-tiny.json "$tmp/tiny.json"
head -c 4000 inputs/sites/gcp.json >"$tmp/data"
run "$train" run "$tmp/plan.json" --steps 1 --threads 1 -q --checkpoint "$tmp/ck.h5"
# spares FILE COMMAND...: refused, and the file is as it was; OUT stands for it by another path
spares() {
    local file=$1
    shift
    cp "$tmp/$file" "$tmp/before"
    run "${@/#OUT/$tmp/d/up/$file}" -f
    expect 2 "${*:2:1} writes over no $file that it reads"
    cmp -s "$tmp/before" "$tmp/$file" && grep -q "would replace" "$tmp/err"
    ok $? "and says so"
}
for command in plan whatif replan; do
    spares j.json "$sailor" $command "$tmp/j.json" -q --threads 1 -o OUT
done
spares r.h5 "$sailor" export "$tmp/r.h5" -o OUT
spares plan.json "$sailor" export "$tmp/plan.json" --format megatron -o OUT
spares r.h5 "$sailor" report "$tmp/r.h5" --html OUT
spares plan.json "$sailor" simulate "$tmp/plan.json" --trace OUT
spares j.json "$sailor" simulate "$tmp/plan.json" --job "$tmp/j.json" --trace OUT
spares config.json "$sailor" model "$tmp/config.json" -o OUT
spares llama.json "$sailor" profile "$tmp/llama.json" --gpu H100-80 -o OUT
spares nodes "$sailor" site --slurm "$tmp/nodes" -o OUT
one=("$train" run "$tmp/plan.json" --steps 1 --threads 1 -q)
for option in -o --checkpoint --trace; do
    spares plan.json "${one[@]}" $option OUT
    spares data "${one[@]}" --data "$tmp/data" $option OUT
done
for option in -o --trace; do
    spares ck.h5 "${one[@]}" --resume "$tmp/ck.h5" $option OUT
done
spares ck.h5 "$train" weights "$tmp/ck.h5" --model gpt-tiny -o OUT
spares tiny.json "$train" profile "$tmp/tiny.json" --gpu cpu -q -o OUT
# files named only by the job, the plan, the model or the data
mkdir "$tmp/in"
cp -r inputs/models inputs/sites inputs/profiles inputs/*.json "$tmp/in"
mkdir -p "$tmp/profiles/own"
sed 's/"opt-350m"/"own"/' inputs/models/opt-350m.json >"$tmp/own.json"
sed 's/"opt-350m"/"own"/' inputs/profiles/opt-350m/A100-40.json >"$tmp/profiles/own/A100-40.json"
cp inputs/models/gpt-tiny.json "$tmp/tiny2.json"
cp inputs/sites/gcp.json "$tmp/there.json"
cp inputs/sites/local.json "$tmp/here.json"
sed 's/"model": "gpt-tiny"/"model": ".\/tiny2.json"/; s/"site": "local"/"site": ".\/here.json"/' "$tmp/plan.json" >"$tmp/by-path.json"
cat >"$tmp/by-path-job.json" <<'EOF'
{"format": "sailor-job/1", "model": "./own.json", "site": "./there.json", "global_batch_size": 8, "objective": "throughput",
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 2}]}]}
EOF
for file in own.json there.json profiles/own/A100-40.json in/devices.json in/residuals.json; do
    for command in plan whatif replan; do
        spares $file "$sailor" $command "$tmp/by-path-job.json" --inputs "$tmp/in" -q --threads 1 -o OUT
    done
done
run "$sailor" plan "$tmp/j.json" -q --threads 1 -o "$tmp/r2.h5"
run "$sailor" export "$tmp/r2.h5" -o "$tmp/big.json"
for file in in/models/opt-350m.json in/sites/gcp.json in/profiles/opt-350m/A100-40.json; do
    spares $file "$sailor" simulate "$tmp/big.json" --inputs "$tmp/in" --trace OUT
done
for file in tiny2.json here.json; do
    for option in -o --checkpoint --trace; do
        spares $file "$train" run "$tmp/by-path.json" --steps 1 --threads 1 -q $option OUT
    done
    spares $file "$sailor" export "$tmp/by-path.json" --format megatron -o OUT
done
spares in/models/gpt-tiny.json "$train" profile gpt-tiny --inputs "$tmp/in" --gpu cpu -q -o OUT
ln -s in/models/gpt-tiny.json "$tmp/named.safetensors" # weights are written to files named as weights
spares named.safetensors "$train" weights "$tmp/ck.h5" --model gpt-tiny --inputs "$tmp/in" -o OUT
spares in/devices.json "$sailor" profile "$tmp/llama.json" --inputs "$tmp/in" --gpu H100-80 -o OUT
spares in/links.json "$sailor" site --preset H100-80,ib-ndr --inputs "$tmp/in" -o OUT
run "$mpiexec" -n 2 "$train" netbench --inputs "$tmp/in" --seconds 0.01 --largest 19 -q -o "$tmp/in/sites/local.json" -f
[ "$rc" = 0 ] && grep -q "links measured" "$tmp/in/sites/local.json"
ok $? "netbench, the site that it measured"
run "$sailor" site -m local --inputs "$tmp/in" --preset A100-40 -o "$tmp/in/sites/local.json" -f
[ "$rc" = 0 ] && grep -q A100-40 "$tmp/in/sites/local.json"
ok $? "site --merge, the site that it changed"
run "${one[@]}" --resume "$tmp/ck.h5" --checkpoint "$tmp/d/up/ck.h5"
expect 0 "a run that goes on replaces its checkpoint"
run "$sailor" plan "$tmp/j.json" -q --threads 1 --warm "$tmp/r.h5" -o "$tmp/r.h5" -f
expect 0 "plan --warm, its results"
run "$sailor" plan --resume "$tmp/r.h5" -q --threads 1
expect 0 "plan --resume, too"
run "$sailor" site -m "$tmp/site.json" --preset A100-40 -o "$tmp/site.json" -f
expect 0 "site --merge, its site"
finish
