#!/usr/bin/env bash
# TAP. recompute, zero, sequence_parallel and dtype of jobs and plans, chosen by hand or by the search; limits on the whole run.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"

site() { site_of "$1" L40S-48 "$2"; } # FILE GIB
small_config "$tmp/config.json"
"$sailor" model "$tmp/config.json" -o "$tmp/flash.json" --sequence 4096 >"$tmp/out"
"$sailor" model "$tmp/config.json" -o "$tmp/scores.json" --sequence 4096 --attention scores >"$tmp/out"
site "$tmp/wide.json" 48
site "$tmp/tight.json" 12
site "$tmp/tiny.json" 7

# ask FILE MODEL SITE KEYS: a job of four GPUs
ask() {
    cat >"$1" <<EOF
{"format": "sailor-job/1", "model": "./$2.json", "site": "./$3.json", "global_batch_size": 32, "dtype": "bf16", $4
 "pools": [{"gpus": [{"zone": "a", "gpu": "L40S-48", "count": 4}]}]}
EOF
}
plan() { run "$sailor" plan "$tmp/job.json" --json --threads 1 "$@"; }
best() { "$python" -c "import json; o=json.loads(open('$tmp/out').readline()); print(repr(o['iteration_time_s'] if o['plan'] else 1e9))"; }

# ---- fixed by the job

ask "$tmp/job.json" scores wide '"recompute": "full", "zero": 1, "sequence_parallel": true, "pin": {"tp": {"L40S-48": 2}},'
plan -o "$tmp/a.h5"
expect 0 "a job that fixes its options"
json "(o[0]['plan']['recompute'], o[0]['plan']['zero'], o[0]['plan']['sequence_parallel']) == ('full', 1, True)" "the plan says them"
json "o[0]['profiles'] == {'L40S-48': 'estimated'} and o[0]['status'] == 'optimal'" "proven, with estimated layers"
cp "$tmp/out" "$tmp/planned"
run "$sailor" report "$tmp/a.h5" --json
cmp -s "$tmp/planned" "$tmp/out"
ok $? "results keep them"
run "$sailor" report "$tmp/a.h5"
has out ", recompute full, sequence parallel, zero 1" "and the report says them"
run "$sailor" export "$tmp/a.h5" -o "$tmp/plan.json"
run "$sailor" simulate "$tmp/plan.json" --json
"$python" - "$tmp" <<'EOF'
import json, sys
a, b = (json.loads(open(f"{sys.argv[1]}/{f}").readline()) for f in ("planned", "out"))
assert all(a[k] == b[k] for k in ("iteration_time_s", "cost_usd_per_iteration", "peak_memory_bytes")), (a, b)
EOF
ok $? "simulate estimates the exported plan as the search did"
json "o[0]['iteration_time_low_s'] < 0.9 * o[0]['iteration_time_s'] and o[0]['iteration_time_high_s'] > 1.1 * o[0]['iteration_time_s']" \
    "with an interval"
run "$sailor" simulate "$tmp/plan.json" --explain
expect 0 "--explain of it"
run "$sailor" simulate "$tmp/plan.json" --trace "$tmp/trace.json"
expect 0 "a trace of it, by the events"
cat >"$tmp/played.py" <<'EOF'
# Events of the same plan with each set of options: every effect must have the right sign.
import json, subprocess, sys
tmp, sailor = sys.argv[1:]
base = {"format": "sailor-plan/1", "model": tmp + "/scores.json", "site": tmp + "/wide.json", "global_batch_size": 32,
        "micro_batch_size": 1, "dtype": "bf16",
        "pipelines": [{"stages": [{"layers": layers, "replicas": [{"gpu": "L40S-48", "tp": 2, "zone": "a", "count": 2}]}
                                  for layers in ([0, 13], [13, 26])]}]}
plans = [dict(base, **o) for o in ({}, {"recompute": "full"}, {"recompute": "selective"}, {"sequence_parallel": True}, {"zero": 1})]
json.dump(plans, open(tmp + "/plans.json", "w"))
out = subprocess.run([sailor, "simulate", tmp + "/plans.json", "--estimator", "events", "--json"], capture_output=True, text=True)
assert out.returncode == 0, out.stderr
plain, full, selective, sequence, zero = map(json.loads, out.stdout.splitlines())
seconds, peak = "iteration_time_s", "peak_memory_bytes"
assert full[seconds] > selective[seconds] > plain[seconds] > zero[seconds], [x[seconds] for x in (full, selective, plain, zero)]
assert sequence[seconds] != plain[seconds]
assert all(x[peak] < plain[peak] for x in (full, selective, sequence, zero)), [x[peak] for x in (plain, full, selective, sequence, zero)]
model = json.load(open(tmp + "/scores.json"))
params, shape = model["memory"]["tp"]["2"]["params"], model["transformer"]
assert shape["tied"]
params[-1] += shape["vocabulary"] // 2 * shape["hidden"]  # the last stage's copy of the embedding
stage = [[s["memory_bytes"] for s in x["pipelines"][0]["stages"]] for x in (plain, zero)]
for i, (first, end) in enumerate(((0, 13), (13, 26))):  # moments and master weights, half of them elsewhere
    saved = sum(params[first:end]) * 12 / 2
    assert abs(stage[0][i] - stage[1][i] - saved) < 4, (stage, saved)
EOF
"$python" "$tmp/played.py" "$tmp" "$sailor"
ok $? "the events know what each option is worth"
for format in megatron flagscale; do
    run "$sailor" export "$tmp/plan.json" --format $format
    has out "    --recompute-granularity full" "$format: recomputation"
    has out "    --sequence-parallel" "$format: sequence parallelism"
    has out "    --use-distributed-optimizer" "$format: zero 1"
done
for which in "estimator sailor" "estimator amp"; do
    # shellcheck disable=SC2086
    run "$sailor" simulate "$tmp/plan.json" --$which
    [ "$rc" = 2 ]
    ok $? "--$which refuses the plan"
    has err "knows no recompute, zero and sequence_parallel" "and says why"
done
for which in "planner amp" "planner sailor" "estimator sailor"; do
    # shellcheck disable=SC2086
    run "$sailor" plan "$tmp/job.json" --$which
    expect 2 "--$which refuses the job"
    has err "job.json: /recompute: not supported by the" "and says why"
done
if [ -x "$train" ]; then
    run "$train" run "$tmp/plan.json"
    expect 2 "the trainer refuses the plan"
    has err "/sequence_parallel: not supported" "and says why"
else
    n=$((n + 2)); echo "ok $((n - 1)) - the trainer # SKIP not built"; echo "ok $n - the trainer # SKIP not built"
fi

# ---- virtual stages of a plan

cat >"$tmp/parts.py" <<'EOF'
# The effect of interleaving in both estimators that know it: less waiting, more messages, more in flight.
import json, subprocess, sys
tmp, sailor = sys.argv[1:]
def plan(v, batch, cut=(0, 13, 26)):
    return {"format": "sailor-plan/1", "model": tmp + "/flash.json", "site": tmp + "/wide.json", "global_batch_size": batch,
            "micro_batch_size": 1, "dtype": "bf16", "virtual_stages": v,
            "pipelines": [{"stages": [{"layers": list(x), "replicas": [{"gpu": "L40S-48", "tp": 1, "zone": "a", "count": 1}]}
                                      for x in zip(cut, cut[1:])]}]}
def ask(what, *more):
    json.dump(what, open(tmp + "/parts.json", "w"))
    return subprocess.run([sailor, "simulate", tmp + "/parts.json", *more], capture_output=True, text=True)
for name in "native", "events":
    out = ask([plan(v, 2) for v in (1, 3, 6)], "--estimator", name, "--json")
    assert out.returncode == 0, out.stderr
    one, three, six = map(json.loads, out.stdout.splitlines())
    if name == "events":
        assert one["iteration_time_s"] > three["iteration_time_s"], (one, three)
    stage = one["pipelines"][0]["stages"], three["pipelines"][0]["stages"]
    if name == "native":
        own = [[s["compute_s"] + s["comm_s"] for s in x] for x in stage]
        turn = max(own + s["turn_s"] for own, s in zip(own[0], stage[0]))
        update = one["pipeline_time_s"] - turn - sum(own[0])  # of two microbatches
        assert abs(three["pipeline_time_s"] - 2 * max(own[1]) - min(own[1]) / 3 - update) < 1e-12, (three, update)
        assert all(b["comm_s"] > 3 * a["comm_s"] and b["turn_s"] == 0 for a, b in zip(*stage)), stage
for v, batch, cut, says in ((5, 2, (0, 13, 26), "/virtual_stages: 5; expected a divisor of the 12 blocks of stage 0"),
                            (2, 3, (0, 13, 26), "/virtual_stages: 2, with 3 microbatches; expected a multiple of the 2 stages"),
                            (2, 2, (0, 26), "/virtual_stages: 2 with one stage; expected one pipeline of several"),
                            (0, 2, (0, 13, 26), "/virtual_stages: 0; expected an integer from 1")):
    out = ask(plan(v, batch, cut))
    assert out.returncode == 2 and says in out.stderr and out.stderr.count("\n") == 1, (says, out.stderr)
for name in "sailor", "amp":
    out = ask(plan(2, 2), "--estimator", name)
    assert out.returncode == 2 and "knows no virtual_stages" in out.stderr, out.stderr
out = ask(plan(2, 2), "--trace", tmp + "/parts.trace")
assert out.returncode == 2 and "virtual_stages: 2; expected none, for a timeline" in out.stderr, out.stderr
EOF
"$python" "$tmp/parts.py" "$tmp" "$sailor"
ok $? "virtual stages: what they are worth, and what they need"
run "$sailor" export "$tmp/parts.json" -o "$tmp/again.json"
grep -q '"virtual_stages":.*2' "$tmp/again.json"
ok $? "an exported plan keeps them"
for format in megatron torchtitan; do
    run "$sailor" export "$tmp/parts.json" --format $format
    has err "it has virtual stages, which are not written" "$format: refused"
done
if [ -x "$train" ]; then
    run "$train" run "$tmp/parts.json"
    has err "/virtual_stages: not supported" "the trainer refuses them"
else
    n=$((n + 1)); echo "ok $n - the trainer # SKIP not built"
fi

# ---- context parallelism of a plan

cat >"$tmp/context.py" <<'EOF'
# Two groups of a GPU that share each sequence: half the work and half the activations each, and keys and values on the way.
import json, subprocess, sys
tmp, sailor = sys.argv[1:]
def plan(c, model="flash", tp=1, **more):
    return dict({"format": "sailor-plan/1", "model": tmp + f"/{model}.json", "site": tmp + "/wide.json", "global_batch_size": 8,
                 "micro_batch_size": 8, "dtype": "bf16", "context_parallel": c,
                 "pipelines": [{"stages": [{"layers": [0, 26], "replicas": [{"gpu": "L40S-48", "tp": tp, "zone": "a", "count": 1}]}]}]},
                **more)
def ask(what, *more):
    json.dump(what, open(tmp + "/context.json", "w"))
    return subprocess.run([sailor, "simulate", tmp + "/context.json", *more], capture_output=True, text=True)
for name in "native", "events":
    out = ask([plan(c) for c in (1, 2, 4)] + [plan(2, zero=1), plan(2, recompute="full")], "--estimator", name, "--json")
    assert out.returncode == 0, out.stderr
    one, two, four, shared, again = map(json.loads, out.stdout.splitlines())
    stage = [x["pipelines"][0]["stages"][0] for x in (one, two, four, shared, again)]
    assert 0.45 < stage[1]["compute_s"] / stage[0]["compute_s"] < 0.65 and stage[2]["compute_s"] < stage[1]["compute_s"], stage
    assert stage[0]["sync_s"] == 0 < stage[1]["sync_s"] < stage[2]["sync_s"], stage
    kept = [x["memory_bytes"] for x in stage]
    assert kept[0] > kept[1] > kept[2] and kept[3] < kept[1] > kept[4], kept
    if name == "native":
        assert abs((kept[0] - kept[1]) / (kept[1] - kept[2]) - 2) < 1e-9, kept
        assert abs(two["compute_usd"] / two["iteration_time_s"] / one["compute_usd"] * one["iteration_time_s"] - 2) < 1e-9
out = ask(plan(2, tp=2), "--explain")
assert "4 GPUs" in out.stdout and "4 L40S-48   2" in out.stdout, out.stdout
for what, says in ((plan(3), "/context_parallel: 3; expected 1, 2, 4 or 8"), (plan(0), "/context_parallel: 0; expected an integer from 1"),
                   (plan(8, tp=2), "tp 2 with context_parallel 8; expected at most 4 GPUs together, of a L40S-48 node"),
                   (plan(2, model="few"), "context parallelism changes its sizes"),
                   (plan(8, model="short"), "/context_parallel: 8; expected a number that divides half of the 8 tokens")):
    if "few" in what["model"]:
        json.dump({k: v for k, v in json.load(open(tmp + "/flash.json")).items() if k not in ("transformer", "act_mem_of")},
                  open(tmp + "/few.json", "w"))
    if "short" in what["model"]:
        json.dump(dict(json.load(open(tmp + "/flash.json")), sequence_length=8), open(tmp + "/short.json", "w"))
    out = ask(what)
    assert out.returncode == 2 and says in out.stderr and out.stderr.count("\n") == 1, (says, out.stderr)
for name in "sailor", "amp":
    out = ask(plan(2), "--estimator", name)
    assert out.returncode == 2 and "knows no context_parallel" in out.stderr, out.stderr
ask(plan(2))
EOF
"$python" "$tmp/context.py" "$tmp" "$sailor"
ok $? "context parallelism: what it changes, and what it needs"
run "$sailor" export "$tmp/context.json" -o "$tmp/again.json" -f
grep -q '"context_parallel":.*2' "$tmp/again.json"
ok $? "an exported plan keeps it"
run "$sailor" export "$tmp/context.json" --format megatron
has err "it has context parallelism, which is not written" "megatron: refused"
run "$sailor" export "$tmp/context.json" --format sailor-train
has err "sailor-train cannot run this plan: /context_parallel: not supported" "sailor-train: refused"
ask "$tmp/job.json" flash wide '"context_parallel": 2,'
plan
has err "/context_parallel: unknown key" "a job does not choose it"
if [ -x "$train" ]; then
    run "$train" run "$tmp/context.json"
    has err "/context_parallel: not supported" "the trainer refuses it"
else
    n=$((n + 1)); echo "ok $n - the trainer # SKIP not built"
fi

# ---- their effects

# values FILE KEYS: the plan of one stage on two GPUs, tp 1
values() {
    cat >"$1" <<EOF
{"format": "sailor-plan/1", "model": "./scores.json", "site": "./wide.json", "global_batch_size": 32, "micro_batch_size": 1,
 "dtype": "bf16", $2 "pipelines": [{"stages": [{"layers": [0, 26], "replicas": [{"gpu": "L40S-48", "tp": 1, "zone": "a", "count": 2}]}]}]}
EOF
}
for mode in none selective full; do values "$tmp/$mode.json" "\"recompute\": \"$mode\","; done
values "$tmp/zero.json" '"zero": 1,'
values "$tmp/plain.json" ''
run "$sailor" simulate "$tmp"/{plain,none,selective,full,zero}.json --json
expect 0 "simulate reads them"
"$python" - "$tmp" <<'EOF'
import json, sys
plain, none, selective, full, zero = (json.loads(x) for x in open(sys.argv[1] + "/out"))
model = json.load(open(sys.argv[1] + "/scores.json"))
def stage(x): return x["pipelines"][0]["stages"][0]
assert plain == none
assert stage(none)["memory_bytes"] > stage(selective)["memory_bytes"] > stage(full)["memory_bytes"]
assert stage(none)["compute_s"] < stage(selective)["compute_s"] < stage(full)["compute_s"] < 4 / 3 * stage(none)["compute_s"]
assert stage(zero)["compute_s"] == stage(none)["compute_s"] and zero["sync_time_s"] == none["sync_time_s"]
params = sum(model["memory"]["tp"]["1"]["params"])
saved = stage(none)["memory_bytes"] - stage(zero)["memory_bytes"]
assert abs(saved - 12 * params / 2) < 1, (saved, params)     # Adam's two moments and the master weights, between two replicas
assert zero["iteration_time_s"] < none["iteration_time_s"]   # each updates its half
h, s = model["hidden_size"], model["sequence_length"]
kept = stage(none)["memory_bytes"] - stage(full)["memory_bytes"]
block = model["memory"]["tp"]["1"]["act_mem"][1]
assert abs(kept - 2 * (24 * (block - s * h) - (block - s * h))) < 1, kept  # one block is there a second time
EOF
ok $? "memory and time of each"
cat >"$tmp/measured.json" <<'EOF'
{"format": "sailor-plan/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 32, "micro_batch_size": 1,
 "pipelines": [{"stages": [{"layers": [0, 26], "replicas": [{"gpu": "A100-40", "tp": 1, "zone": "us-central1-a", "count": 2}]}]}]}
EOF
sed 's/"micro/"recompute": "full", "micro/' "$tmp/measured.json" >"$tmp/again.json"
run "$sailor" simulate "$tmp/measured.json" "$tmp/again.json" --json
"$python" - "$tmp/out" inputs/profiles/opt-350m/A100-40.json <<'EOF'
import json, sys
plain, full = (json.loads(x)["pipelines"][0]["stages"][0] for x in open(sys.argv[1]))
row, = (t for t in json.load(open(sys.argv[2]))["times"] if (t["micro_batch_size"], t["tp"]) == (1, 1))
more = sum(row["forward_s"][1:25])
assert abs(full["compute_s"] - plain["compute_s"] - more) < 1e-12 and full["memory_bytes"] < plain["memory_bytes"]
EOF
ok $? "a measured profile is recomputed by one more forward pass of its blocks"
sed 's/"micro/"recompute": "selective", "micro/' "$tmp/measured.json" >"$tmp/again.json"
run "$sailor" simulate "$tmp/again.json"
expect 2 "selective recomputation of a model that does not say what it is made of"
has err "again.json: /recompute: model opt-350m does not say" "is refused"
sed 's/"micro/"sequence_parallel": true, "micro/' "$tmp/measured.json" >"$tmp/again.json"
run "$sailor" simulate "$tmp/again.json"
expect 2 "sequence parallelism of such a model, too"
sed 's/"micro/"dtype": "fp16", "micro/' "$tmp/measured.json" >"$tmp/half.json"
run "$sailor" simulate "$tmp/half.json"
has err 'has no "dtype": its times are taken to be measured in fp16' "a profile of an unknown dtype is not used silently"
run "$sailor" export "$tmp/half.json"
has out '"fp16"' "fp16 stays fp16"

# a measured profile of a model with a shape: full from its times, sequence parallelism from the sheet
mkdir -p "$tmp/profiles/flash"
"$sailor" profile "$tmp/flash.json" --gpu L40S-48 --dtype bf16 | sed '/"estimated":/d' >"$tmp/profiles/flash/L40S-48.bf16.json"
ask "$tmp/job.json" flash wide '"recompute": "full",'
plan
json "o[0]['profiles'] == {'L40S-48': 'measured'}" "full recomputation keeps a measured profile"
ask "$tmp/job.json" flash wide '"sequence_parallel": true,'
plan
json "o[0]['profiles'] == {'L40S-48': 'estimated'}" "sequence parallelism does not, and the answer says so"

# measured at one microbatch, estimated with other options at all of them
mkdir -p "$tmp/profiles/llama-3.1-8b"
cp inputs/models/llama-3.1-8b.json inputs/examples/three-types/site.json "$tmp"
"$sailor" profile llama-3.1-8b --gpu H100-80 --dtype bf16 >"$tmp/out"
"$python" - "$tmp/out" "$tmp/profiles/llama-3.1-8b/H100-80.bf16.json" <<'EOF'
import json, sys
profile = json.load(open(sys.argv[1]))
profile.pop("estimated")
profile["times"] = [t for t in profile["times"] if t["micro_batch_size"] == 1]
json.dump(profile, open(sys.argv[2], "w"))
EOF
cat >"$tmp/job.json" <<'EOF'
{"format": "sailor-job/1", "model": "./llama-3.1-8b.json", "site": "./site.json", "global_batch_size": 512, "dtype": "bf16",
 "recompute": ["none", "selective"], "pin": {"micro_batch_size": 4},
 "pools": [{"gpus": [{"zone": "here", "gpu": "H100-80", "count": 16}]}]}
EOF
plan
expect 0 "a microbatch that only one choice of options has a profile of"
json "(o[0]['plan']['micro_batch_size'], o[0]['plan']['recompute']) == (4, 'selective')" "is planned with that choice"
rm -r "$tmp/profiles"

# ---- chosen by the search

for place in wide tight tiny; do
    ask "$tmp/job.json" scores $place '"recompute": "auto", "zero": "auto", "sequence_parallel": "auto",'
    plan --gap 0 -o "$tmp/$place.h5"
    cp "$tmp/out" "$tmp/$place.out"
    chosen=$(best)
    : >"$tmp/each"
    for r in none selective full; do for z in 0 1; do for s in false true; do
        ask "$tmp/job.json" scores $place "\"recompute\": \"$r\", \"zero\": $z, \"sequence_parallel\": $s,"
        plan --gap 0
        best >>"$tmp/each"
    done; done; done
    "$python" -c "import sys; each = [float(x) for x in open('$tmp/each')]; sys.exit(min(each) != float('$chosen') or len(each) != 12)"
    ok $? "$place: the choice is the best of all twelve"
done
cp "$tmp/tight.out" "$tmp/out"
json "o[0]['status'] == 'optimal' and o[0]['plan'].get('zero') == 1" "where memory binds the state is shared"
cp "$tmp/tiny.out" "$tmp/out"
json "o[0]['plan']['recompute'] == 'full'" "and where it binds more all is recomputed"
ask "$tmp/job.json" scores tight '"recompute": ["none", "full"], "zero": [1, 0],'
plan --gap 0 --top 4
json "len(o[0]['top']) == 4 and len({json.dumps(t['plan']) for t in o[0]['top']}) == 4" "--top lists plans of several choices"
cp "$tmp/out" "$tmp/alone"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" --json --threads 1 --gap 0 --top 4
"$python" - "$tmp" <<'EOF'
import json, sys
a, b = (json.loads(open(f"{sys.argv[1]}/{f}").readline()) for f in ("alone", "out"))
for x in (a, b): x.pop("search_s")
assert a == b
EOF
ok $? "the same on two ranks"
plan --gap 0 --top 4 -o "$tmp/part.h5" --time-limit 0
[ "$rc" = 75 ]
ok $? "stopped at once"
run "$sailor" plan --resume "$tmp/part.h5" --json --threads 1 -q
expect 0 "and continued"
"$python" - "$tmp" <<'EOF'
import json, sys
a, b = (json.loads(open(f"{sys.argv[1]}/{f}").readline()) for f in ("alone", "out"))
assert a["plan"] == b["plan"] and a["lower_bound"] == b["lower_bound"] and a["status"] == b["status"]
EOF
ok $? "to the same answer"
plan --gap 0 --risk 0.95
bound=$("$python" -c "import json; print(json.load(open('$tmp/alone'))['lower_bound'])")
json "o[0]['status'] == 'optimal' and o[0]['lower_bound'] > 1.1 * $bound" \
    "--risk holds for every choice"
ask "$tmp/job.json" scores tight '"recompute": "auto", "zero": "auto", "objective": "frontier",'
plan
json "o[0]['frontier'] and o[0]['status'] in ('optimal', 'feasible')" "a frontier over all choices"
ask "$tmp/job.json" flash wide '"recompute": "auto", "sequence_parallel": "auto", "zero": "auto",'
plan
expect 0 "auto leaves out what changes nothing: flash attention keeps no scores"

# ---- the whole run

ask "$tmp/job.json" flash wide '"train_tokens": 1e8, "max_hours": 1000, "max_usd": 1000, "objective": "cost",'
plan
expect 0 "limits that are not in the way"
json "o[0]['train_hours'] < 1000 and o[0]['train_usd'] < 1000" "the run's hours and USD are reported"
cp "$tmp/out" "$tmp/free"
ask "$tmp/job.json" flash wide '"train_tokens": 1e8,'
plan
hours=$("$python" -c "import json; print(json.load(open('$tmp/out'))['train_hours'] * 1.001)")
usd=$("$python" -c "import json; print(json.load(open('$tmp/free'))['train_usd'])")
ask "$tmp/job.json" flash wide "\"train_tokens\": 1e8, \"max_hours\": $hours, \"objective\": \"cost\","
plan
json "o[0]['train_hours'] <= $hours and o[0]['train_usd'] >= $usd" "max_hours asks for a faster plan, which costs no less"
ask "$tmp/job.json" flash wide "\"train_tokens\": 1e8, \"max_usd\": $("$python" -c "print($usd / 2)"),"
run "$sailor" plan "$tmp/job.json" --threads 1
expect 3 "less USD than the cheapest plan needs"
has err "budget: the cheapest plan" "is the reason"
finish
