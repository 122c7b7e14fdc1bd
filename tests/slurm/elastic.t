#!/usr/bin/env bash
# TAP. jobs/elastic.sbatch, really submitted, on three virtual nodes of two CPU ranks: nodes are lost and gained at random
# moments (ELASTIC_EVENTS of them; ELASTIC_SEED says which and when), and the losses are those of one rank that was never
# disturbed. A short job runs from an installed tree to its end, with the signal of the time limit in between. Errors.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/slurm.sh"
[ -x "$train" ] || { echo "1..0 # SKIP sailor-train is not built: no BLAS"; exit 0; }
events=${ELASTIC_EVENTS:-10} seed=${ELASTIC_SEED:-1}
export SLURM_LOCAL_CRED_EXPIRE=10 # a requeued job waits this long
start_slurm 3
mkdir -p "$work/inputs/sites"
cp -R inputs/models inputs/planners inputs/*.json "$work/inputs/"
"$python" - "$work" <<'EOF'
import json, os, sys
at = sys.argv[1]
site = json.load(open("inputs/sites/local.json"))
site["gpus"][0]["gpus_per_node"] = 2
site["gpus"].append(dict(site["gpus"][0], name="slow"))
site["links"] = {"fits": [[0, 0, 1, 1e9]], "rows": [["local", a, n, "local", b, n, 0]
                                                    for a in ("cpu", "slow") for b in ("cpu", "slow") for n in (1, 2)]}
json.dump(site, open(at + "/inputs/sites/local.json", "w"))
os.makedirs(at + "/inputs/profiles/gpt-tiny")
for gpu, s in (("cpu", 0.01), ("slow", 0.012)):
    json.dump({"format": "sailor-profile/1", "model": "gpt-tiny", "gpu": gpu, "times": [
        {"micro_batch_size": m, "tp": 1, "forward_s": [s * m] * 6, "backward_s": [2 * s * m] * 6, "update_s": s}
        for m in (1, 2)]}, open(at + "/inputs/profiles/gpt-tiny/%s.json" % gpu, "w"))
row = {"gpus": [{"zone": "local", "gpu": "cpu", "count": 2}]}
job = {"format": "sailor-job/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 12, "pools": [row]}
json.dump(job, open(at + "/job.json", "w"))
json.dump(dict(job, model="gpt-none"), open(at + "/none.json", "w"))
json.dump({"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 12, "micro_batch_size": 6,
           "pipelines": [{"stages": [{"layers": [0, 6], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local"}]}]}]},
          open(at + "/one.json", "w"))
EOF
export SAILOR_INPUTS=$work/inputs SAILOR_RANKS_PER_NODE=2 SAILOR_LOOK_EVERY=1 SAILOR_GROW_EVERY=2 SAILOR_CHECKPOINT_EVERY=4
elastic() { # log, script and arguments -> job id; the log is there, if empty, for the tests that show it
    : >>"$1"
    sbatch --parsable --nodes=1-3 --output="$1" "${@:2}"
}
compare() { # steps.jsonl: the losses of every start against those of one rank; prints the difference
    local last
    last=$("$python" -c 'import json, sys
print(max(json.loads(l)["step"] for l in open(sys.argv[1]) if l.endswith("}\n")))' "$1")
    OMP_NUM_THREADS=2 "$train" run "$work/one.json" --steps "$last" -q --json >"$work/alone.jsonl" || return 1
    "$python" - "$1" "$work/alone.jsonl" <<'EOF'
import json, sys
lines, alone = ([json.loads(line) for line in open(f) if line.endswith("}\n")] for f in sys.argv[1:])
want = {line["step"]: line["loss"] for line in alone}
off = max(abs(line["loss"] - want[line["step"]]) / want[line["step"]] for line in lines)
print("%d steps, %d lines: at most %.1e off" % (len(want), len(lines), off))
sys.exit(not (off < 1e-4 and {line["step"] for line in lines} == set(want)))
EOF
}

rows() { if [ -e "$run/starts.jsonl" ]; then wc -l <"$run/starts.jsonl"; else echo 0; fi; }
nodes_now() { tail -n 1 "$run/starts.jsonl" 2>/dev/null | sed -nE 's/.*"nodes": ([0-9]+).*/\1/p'; }
settled() { [ "$(rows)" -gt "$1" ] && [ "$(nodes_now)" = "$2" ]; } # rows before, nodes
state_of_things() { sinfo; squeue; squeue -s; tail -n 9 "$slurm/slurmctld.log"; tail -n 9 "$work"/*.log; }
reached() { [ "$(tail -n 1 "$run/steps.jsonl" | sed -nE 's/.*"step":([0-9]+).*/\1/p')" -gt "$1" ] 2>/dev/null; }

# ---- nodes of two types: two ranks on one of them, and one on each of the others ---------------------------------------
# First: of a job that was resized many times, Slurm keeps cores of nodes that this one needs.
scontrol update nodename="nid00000[2-3]" availablefeatures=old,slow activefeatures=old,slow
id=$(SAILOR_TYPES='slow:1=slow' elastic "$work/mixed.log" --nodes=3 jobs/elastic.sbatch "$work/job.json" 1000000)
run=$SAILOR_OUT/$id
wait_for 120 settled 0 3
ok $? "it starts on nodes of two types" <"$work/mixed.log"
ranks_of() { # their types and nodes, as the plan and the file of hosts have them
    "$python" - "$run/plan.json" "$run/hosts" <<'EOF'
import collections, json, sys
plan = json.load(open(sys.argv[1]))
gpus = [g["gpu"] for p in plan["pipelines"] for s in p["stages"] for g in s["replicas"] for _ in range(g["tp"] * g.get("count", 1))]
count = collections.Counter(zip(gpus, open(sys.argv[2]).read().split()))
print(*("%s on %s: %d" % (*key, count[key]) for key in sorted(count)), sep=", ")
EOF
}
is "$(ranks_of)" "cpu on nid000001: 2, slow on nid000002: 1, slow on nid000003: 1" "every rank is on a node of its type" "$work/mixed.log"
before=$(rows)
tests/slurm-local.sh lose "$slurm" nid000002
wait_for 90 settled "$before" 2
ok $? "without one of the slow ones it goes on" < <(state_of_things)
is "$(ranks_of)" "cpu on nid000001: 2, slow on nid000003: 1" "under a plan for what is left" "$work/mixed.log"
before=$(rows)
tests/slurm-local.sh gain "$slurm" nid000002
wait_for 90 settled "$before" 3
ok $? "it takes the node back" < <(state_of_things)
wait_for 60 reached $(($(tail -n 1 "$run/starts.jsonl" | sed -nE 's/.*"first_step": ([0-9]+).*/\1/p') + 3))
scancel "$id"
wait_for 60 is_gone "$id"
said=$(compare "$run/steps.jsonl" 2>&1)
ok $? "the losses are those of one rank: $said" <<<"$said"
scontrol update nodename="nid00000[2-3]" availablefeatures= activefeatures=

# ---- nodes come and go -------------------------------------------------------------------------------------------------
id=$(elastic "$work/elastic.log" jobs/elastic.sbatch "$work/job.json" 1000000)
run=$SAILOR_OUT/$id
wait_for 120 settled 0 3
ok $? "it starts on the three nodes" <"$work/elastic.log"

declare -A up=([nid000001]=1 [nid000002]=1 [nid000003]=1) told=()
that_are() { local name; for name in "${!up[@]}"; do [ "${up[$name]}" != "$1" ] || echo "$name"; done | sort; }
is_up() { that_are 1; }
is_down() { that_are 0; }
tell() { scontrol update nodename="$1" state=down reason=lost && told[$1]=1; } # Slurm would notice after SlurmdTimeout
RANDOM=$seed
one_of() { local list=("$@"); echo "${list[$1 % ($# - 1) + 1]}"; } # number, choices
for ((event = 1; event <= events; event++)); do
    mapfile -t there < <(is_up)
    mapfile -t gone < <(is_down)
    before=$(rows) choice=$RANDOM late=$((RANDOM % 3)) what=$((RANDOM % 2)) wait_s=$((RANDOM % 4)).$((RANDOM % 10))
    sleep "$wait_s"
    [ ${#there[@]} -lt 3 ] || what=0
    [ ${#there[@]} -gt 1 ] || what=1
    if [ $what = 0 ]; then
        name=$(one_of "$choice" "${there[@]}") how=silently
        first=$(scontrol show job "$id" | sed -nE 's/.* BatchHost=([^ ]+).*/\1/p')
        tests/slurm-local.sh lose "$slurm" "$name"
        up[$name]=0
        if [ "$name" = "$first" ] || [ $((choice % 2)) = 0 ]; then
            sleep "$late"
            for lost in $(is_down); do [ -n "${told[$lost]:-}" ] || tell "$lost"; done
            how="and Slurm is told"
        fi
        what="$name is lost $how${first:+ ($([ "$name" != "$first" ] || echo 'the first one'))}"
    else
        name=$(one_of "$choice" "${gone[@]}") what="$(one_of "$choice" "${gone[@]}") comes back"
        tests/slurm-local.sh gain "$slurm" "$name"
        [ -z "${told[$name]:-}" ] || { scontrol update nodename="$name" state=resume 2>/dev/null; what+=", idle"; }
        unset "told[$name]"
        up[$name]=1
    fi
    wait_for 90 settled "$before" "$(is_up | wc -l)"
    ok $? "event $event: ${what% ()}: it goes on with $(is_up | wc -l) nodes" < <(state_of_things)
done
wait_for 60 reached $(($(tail -n 1 "$run/starts.jsonl" | sed -nE 's/.*"first_step": ([0-9]+).*/\1/p') + 3))
scancel "$id"
for name in $(is_down); do
    tests/slurm-local.sh gain "$slurm" "$name"
    scontrol update nodename="$name" state=resume 2>/dev/null
done # Slurm waits for a node to say that nothing of the job is left
wait_for 60 is_gone "$id"
is "$(state "$id")" CANCELLED "a cancelled job is not requeued" "$work/elastic.log"
said=$(compare "$run/steps.jsonl" 2>&1)
ok $? "the losses are those of one rank: $said" <<<"$said"
grep -qE '^ +published .* 11\.35$' "$run/elastic.txt" && [ "$(wc -l <"$run/elastic.txt")" = $(($(rows) + 2)) ]
ok $? "the table has every start, and the published one" <"$run/elastic.txt"
sed 's/^/# /' "$run/elastic.txt"

# ---- an installed tree; the time limit; the end ------------------------------------------------------------------------
place="$work/my tools"
make --no-print-directory -o all "PREFIX=$place" NVCC= "BIN=${BIN:-build}" install >"$work/log" 2>&1
id=$(
    unset SAILOR SAILOR_TRAIN SAILOR_HOME
    mkdir "$work/my work" && cd "$work/my work" || exit 1
    cp "$work/job.json" "my job.json"
    . "$place/share/sailor/jobs/env/local.sh"
    SAILOR_CHECKPOINT_EVERY='' elastic "$work/short.log" --gpus-per-node=2 "$place/share/sailor/jobs/elastic.sbatch" "my job.json" 24 \
        --schedule cosine
)
run=$SAILOR_OUT/$id
wait_for 60 test -s "$run/steps.jsonl"
scancel --signal=USR1 --batch "$id" # what --signal=B:USR1@120 sends
wait_for 120 state_is "$id" "$ended"
is "$(how "$id") $(field "$id" Restarts)" "COMPLETED 0 1" "the time limit sends it back to the queue; then it ends" "$work/short.log"
is "$("$python" -c 'import json, sys; print(*[json.loads(l)["step"] for l in open(sys.argv[1])])' "$run/steps.jsonl")" \
    "$(echo {1..24})" "no step is lost or repeated" "$work/short.log"
grep -q "time limit" "$run/elastic.txt" && grep -q '^== start 1.*sailor-train' "$run/provenance.txt"
ok $? "both starts are on record" <"$run/elastic.txt"

# ---- refused -----------------------------------------------------------------------------------------------------------
script=(--nodes=1 jobs/elastic.sbatch)
refused "no steps" "1 arguments; expected JOB.json STEPS" "${script[@]}" "$work/job.json"
refused "steps that are none" "STEPS many: expected" "${script[@]}" "$work/job.json" many
refused "no such job" "nowhere.json: No such file" "${script[@]}" "$work/nowhere.json" 9
refused "a plan for a job" '/format: expected "sailor-job/1"' "${script[@]}" "$work/one.json" 9
refused "an option that the script sets" "--steps: is set by this script" "${script[@]}" "$work/job.json" 9 --steps 4
refused "an option that the trainer has not" "--no-such" "${script[@]}" "$work/job.json" 9 --no-such
whole=("${script[@]}" "$work/job.json" 9)
SAILOR_LOOK_EVERY=often refused "a setting that is no number" "SAILOR_LOOK_EVERY=often: expected a number" "${whole[@]}"
SAILOR_RANKS_PER_NODE=0 refused "no ranks" "SAILOR_RANKS_PER_NODE=0: expected a count" "${whole[@]}"
SAILOR_LAUNCH="mpirun -n 2" refused "a launcher that is not told the nodes" "expected srun" "${whole[@]}"
SAILOR_TYPES=slow refused "a type without the word for its nodes" "SAILOR_TYPES: slow: expected [ZONE/]GPU[:RANKS]=WORD" "${whole[@]}"
SAILOR_PLACE=local refused "a place without GPU type" "SAILOR_PLACE=local: expected SITE/ZONE/GPU" "${whole[@]}"
id=$(submit "$work/log" "${script[@]}" "$work/none.json" 9)
wait_for 60 state_is "$id" "$ended"
is "$(how "$id") $(grep -c 'gpt-none' "$work/log")" "FAILED 2 1" "a model that is not there" "$work/log"
finish
