#!/usr/bin/env bash
# TAP. The examples of every --help and of every manual page, as they stand there: run one after the other with what `make install`
# installed, in a directory that has nothing but what a user brings.
# shellcheck source-path=SCRIPTDIR/../cli source=tap.sh
. "$(dirname "$0")/../cli/tap.sh"
place="$tmp/my tools"
# what is built is installed: -o all
run make --no-print-directory -o all NVCC= "PREFIX=$place" "BIN=${BIN:-build}" install
ok "$rc" "make install"
[ "$rc" = 0 ] || finish
unset SAILOR_INPUTS
export OMP_NUM_THREADS=1 MPLCONFIGDIR=$tmp SAILOR_PYTHON=$python
pictures=1
"$python" -c 'import h5py, matplotlib' 2>/dev/null || pictures=
sailor=$place/bin/sailor train=$place/bin/sailor-train

# a scontrol, and an mpirun of two ranks whatever is asked for
mkdir "$tmp/bin" "$tmp/home"
cat >"$tmp/bin/scontrol" <<'EOF'
#!/bin/sh
for n in 1 2; do echo "NodeName=n$n Arch=x86_64 Gres=gpu:h100:8(S:0-1) State=IDLE Partitions=normal"; done
EOF
printf '#!/bin/sh\nshift 2\nexec "%s" -n 2 "$@"\n' "$(command -v "$mpiexec")" >"$tmp/bin/mpirun"
chmod +x "$tmp/bin/scontrol" "$tmp/bin/mpirun"
export PATH=$tmp/bin:$place/bin:$PATH HOME=$tmp/home

# ---- what the examples call their user's own, unless they make it themselves
stock=$tmp/stock
mkdir -p "$stock" "$HOME/.sky/catalogs/v8/gcp"
job "$stock/JOB.json" throughput
cp "$stock/JOB.json" "$stock/job.json"
sed 's/{"gpus"/{"time_s": 600, "gpus"/; s/"count": 0/"count": 2/' "$stock/JOB.json" | sed '0,/"time_s": 600/s//"time_s": 20/' \
    >"$stock/TRACE.json"
cp inputs/examples/two-zones/config.json "$stock/"
cp tests/site/allreduce-2.17.txt "$stock/allreduce.txt"
cp inputs/validation/simumax-b200.csv "$stock/runs.csv"
{
    echo InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region,AvailabilityZone
    for zone in a b; do
        echo "a3-highgpu-8g,H100,8,208,1872,88.2,30.1,us-east5,us-east5-$zone"
        echo "g2-standard-8,L4,1,8,32,0.85,0.34,us-east5,us-east5-$zone"
    done
} >"$stock/vms.csv"
cp "$stock/vms.csv" "$HOME/.sky/catalogs/v8/gcp/"
"$python" - "$stock" <<'EOF'
import json, sys
def stage(first, end):
    return {"layers": [first, end], "replicas": [{"gpu": "cpu", "tp": 1, "zone": "local", "count": 1}]}
for model in "gpt-tiny", "llama-tiny":
    plan = {"format": "sailor-plan/1", "model": model, "site": "local", "global_batch_size": 4, "micro_batch_size": 1,
            "pipelines": [{"stages": [stage(0, 3), stage(3, 6)]}]}
    json.dump(plan, open(f"{sys.argv[1]}/{model}.json", "w"))
EOF
(
    cd "$stock" || exit 1
    "$sailor" plan JOB.json --objective frontier -q -o FRONTIER.h5
    "$sailor" plan fig7 -q -o fig7.h5
    [ ! -x "$train" ] || mpirun -n 2 "$train" run "gpt-tiny.json" --steps 4 --warmup 1 -o run.h5
    [ ! -x "$train" ] || mpirun -n 2 "$train" run "llama-tiny.json" --steps 2 --warmup 1 --checkpoint c.h5
    "$sailor" export FRONTIER.h5 -o plan.json
    cp FRONTIER.h5 OUT.h5
    cp run.h5 run1.h5
    cp run.h5 run2.h5
) >"$tmp/log" 2>&1
[ -s "$stock/plan.json" ]
ok $? "a search and a run to begin with" <"$tmp/log"
# the inputs of one who has measured: links and a profile of this machine are never installed
cp -R "$place/share/sailor/inputs" "$tmp/inputs"
"$python" - "$tmp/inputs/sites/local.json" <<'EOF'
import json, sys
site = json.load(open(sys.argv[1]))
site["links"] = {"pairs": [["*", "*", "*", "*", "eth-100g"]]}
json.dump(site, open(sys.argv[1], "w"))
EOF
mkdir -p "$tmp/inputs/profiles/gpt-tiny"
cat >"$tmp/inputs/profiles/gpt-tiny/cpu.json" <<'EOF'
{"format": "sailor-profile/1", "model": "gpt-tiny", "gpu": "cpu", "times": [{"micro_batch_size": 1, "tp": 1,
 "forward_s": [0.01, 0.01, 0.01, 0.01, 0.01, 0.01], "backward_s": [0.01, 0.01, 0.01, 0.01, 0.01, 0.01], "update_s": 0.01}]}
EOF

left_out() { # why an example is not run, or nothing
    case $1 in
    "sailor figures -o figures.h5"* | "sailor-plot figures "*) echo "takes minutes" ;;
    "sailor import "*) echo "needs the published artifact" ;;
    *sailor-train* | *run*.h5*) [ -x "$train" ] || echo "sailor-train is not built: no BLAS" ;;
    *sailor-plot*) [ -n "$pictures" ] || echo "no Python with h5py and matplotlib" ;;
    esac
}
examples() { # title; stdin: commands, a line each
    local title=$1 list='' line why file made dir
    dir=$(mktemp -d "$tmp/user.XXXX")
    while IFS= read -r line; do
        why=$(left_out "$line")
        if [ -z "$why" ]; then list+=$line$'\n'; else echo "# not run: $line ($why)"; fi
    done
    made=$(grep -oE -- '(-o|2>) [^ ]+' <<<"$list" | cut -d ' ' -f 2)
    for file in "$stock"/*; do
        grep -qxF "$(basename "$file")" <<<"$made" || cp "$file" "$dir/"
    done
    if [ -e "$dir/run.h5" ]; then mkdir "$dir/runs" && cp "$dir/run.h5" "$dir/runs/"; fi
    case $title in
    sailor-train*) cp "$stock/gpt-tiny.json" "$dir/plan.json" ;;
    esac
    list=${list//\/usr\/local/"'$place'"}
    list=${list//profile gpt-tiny/profile gpt-tiny --repeat 1 --largest 1} # seconds instead of a minute
    LIMIT=600 run env -C "$dir" SAILOR_INPUTS="$tmp/inputs" bash -c "set -ex -o pipefail
$list"
    [ "$rc" = 0 ] || grep -v '^+++* ' "$tmp/err" | tail -n 2 >"$tmp/out" # with the command before it
    [ "$rc" = 0 ]
    ok $? "$title"
}
of_help() { sed -n '/^examples\?:$/,/^$/s/^  //p' | sed 's/   .*//' | grep -E '^(sailor|mpirun|mkdir)'; }

for program in sailor sailor-train; do
    [ -x "$place/bin/$program" ] || continue
    commands=$("$program" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep -vxE 'help|version|completion')
    for command in '' $commands; do
        # shellcheck disable=SC2086
        list=$("$program" $command --help | of_help)
        [ -z "$list" ] || examples "$program${command:+ $command} --help" <<<"$list"
    done
done
for page in "$place"/share/man/man1/*.1; do
    list=$(sed -n '/^\.SH EXAMPLES/,/^\.fi/p' "$page" | grep -v '^\.' | sed 's/\\-/-/g')
    [ -z "$list" ] || examples "$(basename "$page")" <<<"$list"
done
finish
