#!/usr/bin/env bash
# TAP. The parts of jobs/ that need no Slurm: the plans of the published measurements, and the commands that submit them.
# shellcheck disable=SC1091,SC2016,SC2154
. "$(dirname "$0")/tap.sh"
unset "${!SAILOR_@}" "${!SBATCH_@}"
export SBATCH_ACCOUNT=none SAILOR_OUT=$tmp/out.d
. jobs/env/clariden.sh
refused() { # title, what the one line says
    [ "$rc" = 2 ] && [ "$(wc -l <"$tmp/err")" = 1 ] && [ ! -s "$tmp/out" ] && grep -qF -- "$2" "$tmp/err"
    ok $? "$1"
}

# ---- the commands ----
run jobs/submit-validation --help
missing=$(grep -oE -- '--[a-z-]+( \||\))' jobs/submit-validation | grep -oE -- '--[a-z-]+' |
    while read -r o; do grep -qF -- "$o" "$tmp/out" || echo "$o"; done)
[ "$rc" = 0 ] && [ -z "$missing" ]
ok $? "submit-validation --help names every option${missing:+ (missing: $missing)}"
run jobs/submit-validation --dry-run
cat >"$tmp/want" <<EOT
sbatch --nodes=1 --ntasks-per-node=4 --time=10 --job-name=opt-350m-G1-D1-P1-tp4-m1 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 1 1 1 1 1
sbatch --nodes=1 --ntasks-per-node=4 --time=10 --job-name=opt-350m-G32-D1-P1-tp4-m1 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 1 32 1 1 1
sbatch --nodes=2 --ntasks-per-node=4 --time=10 --job-name=opt-350m-G32-D1-P2-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 2 32 1 2 8
sbatch --nodes=2 --ntasks-per-node=4 --time=10 --job-name=opt-350m-G32-D2-P1-tp4-m2 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 2 32 2 1 2
sbatch --nodes=4 --ntasks-per-node=4 --time=11 --job-name=opt-350m-G64-D1-P4-tp4-m1 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 4 64 1 4 1
sbatch --nodes=4 --ntasks-per-node=4 --time=11 --job-name=opt-350m-G64-D2-P2-tp4-m1 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 4 64 2 2 1
sbatch --nodes=4 --ntasks-per-node=4 --time=11 --job-name=opt-350m-G128-D4-P1-tp4-m4 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 4 128 4 1 4
sbatch --nodes=8 --ntasks-per-node=4 --time=12 --job-name=opt-350m-G512-D2-P4-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 8 512 2 4 8
sbatch --nodes=8 --ntasks-per-node=4 --time=12 --job-name=opt-350m-G512-D4-P2-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 8 512 4 2 8
sbatch --nodes=16 --ntasks-per-node=4 --time=14 --job-name=opt-350m-G1024-D16-P1-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 16 1024 16 1 8
sbatch --nodes=16 --ntasks-per-node=4 --time=14 --job-name=opt-350m-G1024-D4-P4-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 16 1024 4 4 8
sbatch --nodes=16 --ntasks-per-node=4 --time=14 --job-name=opt-350m-G1024-D8-P2-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 16 1024 8 2 8
sbatch --nodes=32 --ntasks-per-node=4 --time=18 --job-name=opt-350m-G1024-D16-P2-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 32 1024 16 2 8
sbatch --nodes=32 --ntasks-per-node=4 --time=18 --job-name=opt-350m-G1024-D32-P1-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 32 1024 32 1 8
sbatch --nodes=32 --ntasks-per-node=4 --time=18 --job-name=opt-350m-G1024-D8-P4-tp4-m8 --output=$SAILOR_OUT/validation/%x-%j.out \
jobs/validate.sbatch 32 1024 8 4 8
EOT
cmp -s "$tmp/want" "$tmp/out"
ok $? "--dry-run: the 15 published runs"
has err "build/sailor validate $SAILOR_OUT/validation/*.h5 --estimator all" "and how to compare them"
[ ! -e "$SAILOR_OUT" ]
ok $? "--dry-run makes no directory"
cp "$tmp/out" "$tmp/rows"

mkdir -p "$SAILOR_OUT/validation"
: >"$SAILOR_OUT/validation/opt-350m-G32-D1-P2-tp4-m8.h5"
run jobs/submit-validation -n
[ "$(sed 3d "$tmp/want")" = "$(cat "$tmp/out")" ]
ok $? "a run whose result is there is left out"
has err "14 jobs to submit, 1 results are there already" "and counted"

echo '2 8 1 2 1' >"$tmp/one"
run jobs/submit-validation -n --rows "$tmp/one" --model gpt-tiny --splits "6 3,3" --place local/local/cpu --tp 2 --ranks-per-node 2 \
    --backend cpu --comm mpi --results "$tmp/r r" --time 5
mkdir "$tmp/bin" # a stand-in that prints its arguments: the line must be read as intended
printf '%s\n' '#!/bin/sh' 'echo "$SAILOR_SPLITS $SAILOR_BACKEND" "$@"' >"$tmp/bin/sbatch"
chmod +x "$tmp/bin/sbatch"
[ "$(PATH=$tmp/bin:$PATH bash "$tmp/out")" = "6 3,3 cpu --nodes=2 --ntasks-per-node=2 --time=5 \
--job-name=gpt-tiny-G8-D1-P2-tp2-m1 --output=$tmp/r r/%x-%j.out jobs/validate.sbatch 2 8 1 2 1" ]
ok $? "other rows of another model, on another machine"

run jobs/submit-validation --no-such-option
refused "an unknown option" --no-such-option
run jobs/submit-validation -n --tp 2
refused "a run that does not fill its nodes" "= 2 ranks; expected 1 nodes x 4"
run jobs/submit-validation -n --rows "$tmp/none"
refused "rows that are not there" "$tmp/none: cannot be read"
echo '2 8 1 2' >"$tmp/one"
run jobs/submit-validation -n --rows "$tmp/one"
refused "a row that is too short" "row '2 8 1 2': expected NODES BATCH D P M"
run env -u SAILOR_SITE jobs/submit-validation -n
refused "without a site" "source jobs/env/SITE.sh"
run env -C tests "$PWD/jobs/submit-validation" -n
[ "$rc" = 0 ] && sed "3d; s|jobs/validate|$(pwd -P)/&|" "$tmp/want" | cmp -s - "$tmp/out"
ok $? "from another directory"

# ---- a plan over nodes of two types: ranks 0-3 and 9-24 on A100, 4-8 on V100 ----
two_types() { # degree of the first stage
    local zone='"zone": "us-central1-a"'
    echo '{"format": "sailor-plan/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 16, "micro_batch_size": 1,
        "pipelines": [{"stages": [
        {"layers": [0, 10], "replicas": [{"gpu": "A100-40", "tp": '"$1, $zone"', "count": 2},
                                         {"gpu": "V100-16", "tp": 1, '"$zone"', "count": 5}]},
        {"layers": [10, 26], "replicas": [{"gpu": "A100-40", "tp": 4, '"$zone"', "count": 4}]}]}]}'
}
two_types 2 >"$tmp/two.json"
run jobs/submit-mixed -n --time 30 --on 'A100-40=--constraint=a100 --cpus-per-task=16' --on us-central1-a/V100-16=--constraint=v100 \
    --on 'V100-16=-C none' "$tmp/two.json"
[ "$rc" = 0 ] && [ "$(cat "$tmp/out")" = "sbatch --job-name=two --time=30 --nodes=1 --ntasks-per-node=4 --constraint=a100 \
--cpus-per-task=16 : --nodes=1 --ntasks-per-node=4 --constraint=v100 : --nodes=1 --ntasks-per-node=1 --constraint=v100 \
: --nodes=4 --ntasks-per-node=4 --constraint=a100 --cpus-per-task=16 $(pwd -P)/jobs/validate.sbatch $tmp/two.json" ]
ok $? "submit-mixed: a component for each run of ranks on one type, none across nodes"
has err "3 GPUs of these nodes stay idle" "and what it leaves idle"
run jobs/submit-mixed -n "$tmp/two.json"
refused "submit-mixed: a type without options" "expected --on 'A100-40=--constraint=...'"
two_types 8 >"$tmp/wide.json"
run jobs/submit-mixed -n --on A100-40= --on V100-16= "$tmp/wide.json"
refused "submit-mixed: a replica larger than a node" "degree 8 on nodes of 4 GPUs"
run jobs/submit-mixed -n --on A100-40 "$tmp/two.json"
refused "submit-mixed: an option without its equals sign" "--on A100-40: expected GPU=OPTIONS"
run jobs/submit-mixed -n --site inputs/sites/local.json "$tmp/two.json"
refused "submit-mixed: a type that the site lacks" "GPU type A100-40: not in the site file; expected cpu"
run jobs/submit-mixed -n "$tmp/none.json"
refused "submit-mixed: no such plan" "none.json: No such file or directory; expected a plan"
run jobs/submit-mixed -n inputs/sites/gcp.json
refused "submit-mixed: no plan" "gcp.json: expected a plan, sailor-plan/1"
echo '{"pipelines": [' >"$tmp/half.json"
run jobs/submit-mixed -n "$tmp/half.json"
refused "submit-mixed: half a file" "half.json: no JSON"
run env -u SAILOR_SITE jobs/submit-mixed -n "$tmp/two.json"
refused "submit-mixed: without a site" "source jobs/env/SITE.sh"

# ---- the plans ----
while read -r batch replicas stages microbatch; do
    jobs/grid-plan "$batch" "$replicas" "$stages" "$microbatch" >"$tmp/plan-$batch-$replicas-$stages-$microbatch.json"
done < <(sed 's/.*validate.sbatch [0-9]* //' "$tmp/rows")
"$sailor" simulate "$tmp"/plan-*.json --estimator sailor --json >"$tmp/ours" 2>"$tmp/err"
"$sailor" simulate inputs/validation/opt-350m-gh200.json --estimator sailor --json >"$tmp/published" 2>>"$tmp/err"
"$python" - "$tmp" <<'EOT'
import glob, json, sys
at = sys.argv[1]
def shape(p):
    return (p["global_batch_size"], p["micro_batch_size"],
            tuple((tuple(s["layers"]), *[(r["gpu"], r["tp"], r["count"]) for r in s["replicas"]]) for s in p["pipelines"][0]["stages"]))
ours = [shape(json.load(open(f))) for f in glob.glob(at + "/plan-*.json")]
theirs = [shape(p) for p in json.load(open("inputs/validation/opt-350m-gh200.json"))["plans"]]
times = [sorted((x["iteration_time_s"], x["peak_memory_bytes"]) for x in map(json.loads, open(at + "/" + f)))
         for f in ("ours", "published")]
sys.exit(not (len(ours) == 15 and sorted(ours) == sorted(theirs) and times[0] == times[1]))
EOT
ok $? "the rows are the 15 published plans, and site clariden has the links they were published with"

# ---- elastic: where ranks go, and the table ----
cat >"$tmp/elastic.py" <<'EOT'
import os, random, sys
sys.dont_write_bytecode = True
sys.path.insert(0, "jobs")
import elastic_parts as e
big, small = ("z", "big", 8), ("z", "small", 4)
for seed in range(300):  # all that fits is placed, each replica within a node of its type
    draw = random.Random(seed)
    nodes = {"n%d" % i: draw.choice([big, small]) for i in range(draw.randrange(1, 6))}
    replicas = []
    for zone, gpu, left in nodes.values():
        while left and draw.random() < 0.9:
            replicas.append((zone, gpu, draw.choice([d for d in (1, 2, 4, 8) if d <= left])))
            left -= replicas[-1][2]
    draw.shuffle(replicas)
    hosts = e.hosts_of(replicas, list(nodes), list(nodes.values()))
    assert hosts is not None and len(hosts) == sum(r[2] for r in replicas), (seed, replicas)
    assert all(hosts.count(n) <= kind[2] for n, kind in nodes.items()), (seed, replicas)
    at = 0
    for zone, gpu, degree in replicas:
        assert len(set(hosts[at:at + degree])) == 1 and nodes[hosts[at]][:2] == (zone, gpu), (seed, replicas)
        at += degree
eight, four = ("z", "big", 8), ("z", "big", 4)
assert e.hosts_of([eight, ("z", "big", 1)], ["a"], [big]) is None and e.hosts_of([four, four], ["a"], [small]) is None
assert e.hosts_of([four, four], ["a", "b"], [four, four]) == ["a"] * 4 + ["b"] * 4
os.environ["SAILOR_TYPES"] = "small:4=v100 far/big=east"
types = e.Types(*big)
found = [types.of(*x) for x in (("", ""), ("(null)", "gpu:v100:4(S:0-1)"), ("ib,east", "gpu:a100:8"), ("v1000", "gpu:8"))]
assert found == [big, small, ("far", "big", 8), big], found
lines = e.table([{"start": 1, "how": "start", "nodes": 2, "ranks": 8, "first_step": 1, "redone": 0, "total_s": 1.234}]).splitlines()
assert len(lines) == 3 and lines[1].split() == ["1", "start", "2", "8", "1", "0", "1.23"] and lines[2].split()[-1] == "11.35", lines
published = [v for k, v in e.PUBLISHED.items() if k.endswith("_s") and k != "total_s"]
assert abs(sum(published) - 11.35) < 1e-9
EOT
run "$python" "$tmp/elastic.py"
[ "$rc" = 0 ]
ok $? "elastic: ranks find room wherever there is any; the table has the published parts"

run jobs/grid-plan 32 1 2
refused "grid-plan: too few numbers" "BATCH D P M"
run jobs/grid-plan 32 1 two 8
refused "grid-plan: no number" "'two'"
run jobs/grid-plan 32 1 0 8
refused "grid-plan: no stages" "'0'"
run jobs/grid-plan 32 1 3 8
refused "grid-plan: stages without a split" "expected a list for 3 stages"
SAILOR_TP=3 run jobs/grid-plan 32 1 2 8
refused "grid-plan: a degree that is none" "SAILOR_TP=3"
SAILOR_PLACE=gcp/us-central1-a run jobs/grid-plan 32 1 2 8
refused "grid-plan: a place without GPU type" "expected SITE/ZONE/GPU"
run "$sailor" plan inputs/examples/clariden.json --json
expect 0 "the example for Clariden is planned"
finish
