#!/usr/bin/env bash
# TAP. The answer of `sailor plan` does not depend on the number of MPI ranks or threads: the --json output is the same
# byte for byte, except for the seconds it took, and so is what `sailor report --json` reads from the file.
set -u
cd "$(dirname "$0")/../.." || exit 1
sailor=${BIN:-build}/sailor
mpiexec=${MPIEXEC:-mpirun}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export UCX_HANDLE_ERRORS=none OMP_WAIT_POLICY=passive

job() { # objective, batch, limits, GPUs: in one zone; of two types; over two zones -> $tmp/OBJECTIVE.json
    local a='"zone": "us-central1-a", "gpu": "A100-40"' v='"zone": "us-central1-a", "gpu": "V100-16"'
    local w='"zone": "us-west1-b", "gpu": "A100-40"'
    cat >"$tmp/$1.json" <<EOF
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": $2, "objective": "$1", $3
 "pools": [{"gpus": [{$a, "count": $4}]},
           {"gpus": [{$a, "count": $5}, {$v, "count": $6}]},
           {"gpus": [{$a, "count": $7}, {$w, "count": $8}]}]}
EOF
}
job throughput 1024 '"max_usd_per_iteration": 0.9,' 6 32 96 3 4 # 32 + 96: the first pool of figure 8b
job cost 1024 '"min_iterations_per_s": 0.02,' 6 32 96 3 4
job frontier 96 '' 4 2 2 2 1

n=0 failed=0
ok() { # status, what; $tmp/why holds the reasons
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        failed=1
        head -n 10 "$tmp/why" | cut -c1-300 | sed 's/^/# /'
    fi
}
steady() { sed -E 's/"search_s": *[-+.0-9eE]+/"search_s":0/g' "$1"; }
plan() { # ranks, threads, objective -> $tmp/out, and from the file $tmp/stored
    rm -f "$tmp/plan.h5"
    timeout -k 5 60 "$mpiexec" -n "$1" "$sailor" plan "$tmp/$3.json" --threads "$2" --top 3 --json -o "$tmp/plan.h5" \
        </dev/null >"$tmp/raw" 2>"$tmp/why" || return 1
    timeout -k 5 60 "$sailor" report "$tmp/plan.h5" --json </dev/null >"$tmp/report" 2>"$tmp/why" || return 1
    steady "$tmp/raw" >"$tmp/out"
    steady "$tmp/report" >"$tmp/stored"
}

echo "1..33"
for objective in throughput cost frontier; do
    plan 1 1 "$objective"
    ok $? "$objective: one rank, one thread"
    cp "$tmp/out" "$tmp/want"
    cp "$tmp/stored" "$tmp/want.stored"
    diff "$tmp/want" "$tmp/want.stored" >"$tmp/why"
    ok $? "$objective: report tells what plan told"
    rows=$(grep -c '"status": *"optimal"' "$tmp/want") || true
    echo "$rows rows are optimal; expected 3" >"$tmp/why"
    [ "$rows" = 3 ]
    ok $? "$objective: every row is optimal"
    for how in "1 2" "2 1" "2 2" "3 1"; do
        read -r ranks threads <<<"$how"
        same=1 stored=1
        if plan "$ranks" "$threads" "$objective"; then
            diff "$tmp/want" "$tmp/out" >"$tmp/why" && same=0
            diff "$tmp/want.stored" "$tmp/stored" >"$tmp/why.stored" && stored=0
        fi
        ok $same "$objective: the same from $ranks ranks with $threads threads each"
        [ $stored = 0 ] || cp "$tmp/why.stored" "$tmp/why" 2>/dev/null
        ok $stored "$objective: and in the file"
    done
done
exit $failed
