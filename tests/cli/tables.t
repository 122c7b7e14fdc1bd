#!/usr/bin/env bash
# TAP. Tables are at most 100 columns wide, whatever the names and number of zones and GPU types.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1

cat >"$tmp/wide.py" <<'EOF'
"""Lines of a file that a terminal shows wider than 100 columns, or with blanks at the end."""
import sys, unicodedata
width = lambda s: sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in s)
lines = open(sys.argv[1], encoding="utf-8").read().split("\n")
bad = [f"{width(x)}: {x}" for x in lines if width(x) > 100 or x != x.rstrip()]
print("\n".join(bad[:3]))
sys.exit(bool(bad) or len(lines) < 3)
EOF
narrow() { # title, the command
    local title=$1 wide
    shift
    run "$@"
    wide=$("$python" "$tmp/wide.py" "$tmp/out") && [ "$rc" = 0 ]
    ok $? "$title${wide:+: $wide}"
}

# the site's names made long; one with characters two columns wide
mkdir -p "$tmp/world/sites"
cp -r inputs/{profiles,models,devices.json,frameworks.json,links.json,residuals.json} "$tmp/world"
a100=A100-SXM4-40GB-of-the-older-partition-in-hall-2 v100=V100-SXM2-16GB-of-the-oldest-partition-in-hall-1
"$python" - "$tmp" "$a100" "$v100" <<'EOF'
import json, os, sys
tmp, a100, v100 = sys.argv[1:]
names = {"A100-40": a100, "V100-16": v100, "us-central1-a": "europe-north-12-availability-zone-a-東京東京東京東京",
         "us-central1-b": "europe-north-12-availability-zone-b-with-a-still-longer-name"}
def renamed(x):
    if isinstance(x, dict): return {names.get(k, k): renamed(v) for k, v in x.items()}
    if isinstance(x, list): return [renamed(v) for v in x]
    return names.get(x, x) if isinstance(x, str) else x
json.dump(renamed(json.load(open("inputs/sites/gcp.json"))), open(f"{tmp}/world/sites/gcp.json", "w"))
for old, new in list(names.items())[:2]:
    profile = renamed(json.load(open(f"inputs/profiles/opt-350m/{old}.json")))
    json.dump(profile, open(f"{tmp}/world/profiles/opt-350m/{new}.json", "w"))
zones = [names["us-central1-a"], names["us-central1-b"], "us-central1-c", "us-central1-f", "us-west1-b"]
pool = lambda n: [{"zone": z, "gpu": g, "count": n} for z in zones for g in (a100, v100)]
job = {"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 8, "train_tokens": 1e9}
json.dump({**job, "pools": [{"time_s": 100 * i, "gpus": pool(n)} for i, n in enumerate([2, 1, 2])]},
          open(f"{tmp}/many.json", "w"))
small = [{"zone": z, "gpu": g, "count": 2} for z in zones[:2] for g in (a100, v100)]
json.dump({**job, "pools": [{"gpus": small}] * 2}, open(f"{tmp}/few.json", "w"))
one = [{"gpus": [{"zone": zones[0], "gpu": a100, "count": 4}]}]
json.dump({**job, "recompute": ["none", "full"], "zero": [0, 1], "pools": one}, open(f"{tmp}/options.json", "w"))
json.dump({**job, "pools": [{"gpus": small}], "objective": "frontier"}, open(f"{tmp}/frontier.json", "w"))
EOF
in=(--inputs "$tmp/world")
for what in models gpus profiles sites prices; do narrow "list $what" "$sailor" list "$what" "${in[@]}"; done
narrow "plan" "$sailor" plan "$tmp/many.json" -q "${in[@]}" -o "$tmp/many.h5" --gap 0.2
narrow "report" "$sailor" report "$tmp/many.h5"
narrow "plan --top" "$sailor" plan "$tmp/few.json" -q "${in[@]}" --top 5 --gap 0.2
narrow "plan --top, with options" "$sailor" plan "$tmp/options.json" -q "${in[@]}" --top 5
narrow "plan of a frontier" "$sailor" plan "$tmp/frontier.json" -q "${in[@]}" --gap 0.2
narrow "plan by another planner" "$sailor" plan "$tmp/few.json" -q "${in[@]}" --planner sailor
narrow "plan --risk" "$sailor" plan "$tmp/few.json" -q "${in[@]}" --gap 0.2 --risk 0.9
narrow "whatif" "$sailor" whatif "$tmp/many.json" -q "${in[@]}" --gap 0.2 --add "us-central1-c/$a100:4,us-west1-b/$v100:-1"
narrow "whatif, each row of a job" "$sailor" whatif "$tmp/many.json" -q "${in[@]}" --gap 0.2
narrow "whatif, wide characters" "$sailor" whatif "$tmp/few.json" -q "${in[@]}" --gap 0.2 \
    --add "europe-north-12-availability-zone-a-東京東京東京東京/$a100:4"
narrow "replan" "$sailor" replan "$tmp/many.json" -q "${in[@]}" --gap 0.2
run "$sailor" export "$tmp/many.h5" -o "$tmp/plan.json"
long=$tmp/$(printf 'a-plan-with-a-long-name-%.0s' {1..6}).json
cp "$tmp/plan.json" "$long"
narrow "simulate" "$sailor" simulate "$long" "$tmp/plan.json" "${in[@]}"
narrow "simulate --explain" "$sailor" simulate "$tmp/plan.json" "${in[@]}" --explain
"$python" - "$tmp" "$long" <<'EOF'
import json, sys
plan = json.load(open(f"{sys.argv[1]}/plan.json"))
plan.update(measured={"iteration_time_s": 1.5, "peak_memory_bytes": 1e10}, name="a run whose name is long " * 8)
json.dump([plan, plan], open(sys.argv[2], "w"))
EOF
narrow "validate" "$sailor" validate "$long" "${in[@]}"
narrow "validate by all estimators" "$sailor" validate "$long" "${in[@]}" --estimator all
narrow "validate of a table of runs" "$sailor" validate inputs/validation/megatron-a100.csv
sed 's/gpt3-175b/gpt3-175b-with-a-very-long-name-of-the-model/' inputs/validation/dgxc-h100.csv >"$tmp/runs.csv"
narrow "validate of runs of a long name" "$sailor" validate "$tmp/runs.csv"

# output for programs is not wrapped
run "$sailor" list sites "${in[@]}" --json
[ "$(wc -l <"$tmp/out")" = 1 ]
ok $? "an object of JSON is one line"
finish
