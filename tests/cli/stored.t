#!/usr/bin/env bash
# TAP. `sailor report`, `sailor export`, and the file of results as other programs see it.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
job "$tmp/job.json" frontier
run "$sailor" plan "$tmp/job.json" -o "$tmp/a.h5" --json --top 2
expect 0 "a file to read"
cp "$tmp/out" "$tmp/want"
run "$sailor" report "$tmp/a.h5" --json
cmp -s "$tmp/out" "$tmp/want"
ok $? "report --json is what plan --json printed"
run "$sailor" report "$tmp/a.h5"
has out "job job, model opt-350m on site gcp" "report says what it is about"
run "$sailor" report "$tmp/a.h5" --row 2 --json
json "len(o) == 1 and o[0]['row'] == 2" "report --row"
run "$sailor" report "$tmp/a.h5" --row 3
expect 2 "report of a row that is not there"
run env SAILOR_INPUTS=/nonexistent "$sailor" report "$tmp/a.h5"
expect 0 "report needs no inputs"
for command in plan whatif simulate validate; do
    run "$sailor" "$command" "$tmp/a.h5"
    expect 2 "$command of a file of results"
    grep -qE 'a.h5: (an HDF5 file|a file of results); expected ' "$tmp/err"
    ok $? "it says what it is"
done

run "$sailor" export "$tmp/a.h5" -o "$tmp/p.json"
expect 0 "export"
run "$sailor" export "$tmp/a.h5" -o "$tmp/p.json"
expect 2 "export does not overwrite"
run "$sailor" export "$tmp/a.h5" -o "$tmp/p.json" -f --row 2
expect 0 "unless -f says so"
run "$sailor" simulate "$tmp/p.json" --json --job "$tmp/job.json" --row 2
expect 0 "simulate reads it"
"$python" -c 'import json,sys
want = json.loads(open(sys.argv[1]).readlines()[2]); got = json.loads(open(sys.argv[2]).read())
keys = "iteration_time_s cost_usd_per_iteration egress_usd peak_memory_bytes throughput_per_s".split()
sys.exit(any(want[k] != got[k] for k in keys))' "$tmp/want" "$tmp/out"
ok $? "and estimates exactly what was stored"
run "$sailor" export "$tmp/a.h5" --row 0 --frontier 1
cp "$tmp/out" "$tmp/f1.json"
run "$sailor" simulate "$tmp/f1.json" --json
"$python" -c 'import json,sys
want = json.loads(open(sys.argv[1]).readline())["frontier"][1]; got = json.loads(open(sys.argv[2]).read())
sys.exit(any(want[key] != got[key] for key in ("iteration_time_s", "cost_usd_per_iteration")))' "$tmp/want" "$tmp/out"
ok $? "export --frontier to stdout"
# a user's site named like one of ours, with other prices
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
site = json.load(open("inputs/sites/gcp.json"))
site["usd_per_gpu_hour"] = json.loads(json.dumps(site["usd_per_gpu_hour"]), parse_float=lambda x: 2 * float(x))
json.dump(site, open(f"{tmp}/gcp.json", "w"))
job = json.load(open(f"{tmp}/job.json"))
job["site"], job["objective"], job["pools"] = "gcp.json", "throughput", job["pools"][:1]
json.dump(job, open(f"{tmp}/own.json", "w"))
EOF
run "$sailor" plan "$tmp/own.json" -o "$tmp/own.h5" --json
cost=$(grep -o '"cost_usd_per_iteration":[^,]*' "$tmp/out")
run "$sailor" export "$tmp/own.h5" -o "$tmp/own-plan.json"
expect 0 "export of a plan for a site that the job names by its path"
run "$sailor" simulate "$tmp/own-plan.json" --json
has out "$cost" "simulate reads that site: the same cost"
run "$sailor" export "$tmp/a.h5" --rank 99
expect 2 "export of a plan that is not there"
run "$sailor" export "$tmp/a.h5" --row 1
expect 2 "export from a row without plan"
run "$sailor" export "$tmp/a.h5" -o "$tmp/no/such/p.json"
expect 1 "export into a directory that is not there"

for what in report export; do
    echo '{}' >"$tmp/x.h5"
    run "$sailor" $what "$tmp/x.h5"
    expect 2 "$what: not HDF5"
    head -c 5000 "$tmp/a.h5" >"$tmp/x.h5"
    run "$sailor" $what "$tmp/x.h5"
    expect 2 "$what: half a file"
    run "$sailor" $what "$tmp"
    expect 2 "$what: a directory"
done

run h5dump -H "$tmp/a.h5"
expect 0 "h5dump reads the file"
if "$python" -c 'import h5py, numpy' 2>/dev/null; then
    cat >"$tmp/read.py" <<'EOF'
import json, sys
import h5py, numpy as np
want = [json.loads(line) for line in open(sys.argv[2])]
with h5py.File(sys.argv[1], "r") as f:
    sets = []
    f.visititems(lambda name, o: sets.append(o) if isinstance(o, h5py.Dataset) else None)
    assert len(sets) > 60
    for d in sets:
        assert isinstance(d.attrs["units"], str) and isinstance(d.attrs["description"], str), d.name
        assert d.attrs["units"] != "seconds"
    assert f.attrs["schema"] == "sailor-results/1" and f.attrs["complete"] == 1
    assert f.attrs["schema_version"] == (3 if (f["stage/turn_s"][:] > 0).any() else 1)
    for name in "command_line version host ranks threads started_utc written_utc wall_s".split():
        assert name in f.attrs, name
    inputs = json.loads(f["inputs"][()])
    assert inputs["job"]["global_batch_size"] == 32
    plan = {k: v[:] for k, v in f["plan"].items()}
    assert len({len(v) for v in plan.values()}) == 1
    top = (plan["row"] == 2) & (plan["kind"] == 0) & (plan["rank"] == 0)
    assert plan["iteration_time_s"][top][0] == want[2]["iteration_time_s"]
    assert f["plan/iteration_time_s"].dims[0][0].name == "/plan/plan"
    assert f["replica/gpu"][0].decode() in ("A100-40", "V100-16")
    assert len(f["pool/count"]) == 3 and f["row/time_s"][0] == 10 and np.isnan(f["row/time_s"][1])
EOF
    run "$python" "$tmp/read.py" "$tmp/a.h5" "$tmp/want"
    expect 0 "h5py reads it: units and descriptions everywhere, dimension scales, the same numbers"
    cp "$tmp/a.h5" "$tmp/later.h5"
    "$python" -c "import h5py; h5py.File('$tmp/later.h5', 'a').attrs['schema_version'] = 4"
    run "$sailor" report "$tmp/later.h5"
    expect 2 "a file of a later version"
    has err "version 4; this program reads sailor-results/1 version 1 to 3" "which is said"
    run "$sailor" plan fig7 -q --time-limit 0 -o "$tmp/old.h5"
    "$python" - "$tmp/old.h5" <<'EOF'
import h5py, json, sys
with h5py.File(sys.argv[1], "a") as f:
    inputs = json.loads(f["inputs"][()])
    del inputs["platform"]
    f["inputs"][()] = json.dumps(inputs, separators=(",", ":")) # shorter, as the dataset has a fixed length
EOF
    run "$sailor" plan fig7 -q --resume "$tmp/old.h5" --time-limit 0
    expect 2 "a file from before platforms were stored, with its job"
    has err "/platform is only here; --resume needs the same job, model, site and profiles (without a job, it goes on" "what to do instead"
    run "$sailor" plan -q --resume "$tmp/old.h5"
    expect 0 "and without"
else
    n=$((n + 1)); echo "ok $n - h5py # SKIP $python has no h5py"
fi
if "$python" -c 'import h5py, matplotlib' 2>/dev/null; then
    export MPLCONFIGDIR=$tmp
    run "$python" analysis/plot_plan.py "$tmp/a.h5" -o "$tmp/a.png" --timeline
    expect 0 "plot_plan.py"
    [ "$(head -c 4 "$tmp/a.png" | tail -c 3)" = PNG ]
    ok $? "writes a picture"
    run "$python" analysis/plot_plan.py "$tmp/x.h5" -o "$tmp/b.png"
    [ "$rc" = 1 ] && [ "$(wc -l <"$tmp/err")" = 1 ]
    ok $? "and refuses other files in one line"
else
    n=$((n + 1)); echo "ok $n - plot_plan.py # SKIP $python has no h5py or matplotlib"
fi
finish
