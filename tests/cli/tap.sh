# shellcheck shell=bash
# Shell helpers of the TAP scripts: source it, run cases, end with `finish`.
#   run CMD...            keeps stdout, stderr and the exit status in $tmp/out, $tmp/err, $rc
#   expect RC TITLE       the last run exited with RC; an error is one line "sailor: error: ..." (or sailor-train) on stderr, stdout empty
#   has FILE TEXT TITLE   $tmp/FILE contains TEXT;  ok STATUS TITLE
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck disable=SC2034 # used by the scripts
sailor=${BIN:-build}/sailor train=${BIN:-build}/sailor-train mpiexec=${MPIEXEC:-mpirun} python=${PYTHON:-/usr/bin/python3}
export UCX_HANDLE_ERRORS=none OMP_WAIT_POLICY=passive
export SAILOR_INPUTS=${SAILOR_INPUTS:-$PWD/inputs}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0 failed=0 rc=0

run() { timeout -k 5 "${LIMIT:-60}" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null; rc=$?; }
ok() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        failed=1
        { echo "status $rc"; head -n 3 "$tmp/out"; head -n 3 "$tmp/err"; } 2>/dev/null | cut -c1-200 | sed 's/^/# /'
    fi
}
expect() {
    local good=1
    [ "$rc" = "$1" ] && good=0
    case $1 in 1 | 2 | 3)
        [ "$(grep -c '^sailor\(-train\)\?: error: ' "$tmp/err")" = 1 ] || good=1
        [ "$1" = 3 ] || { [ "$(wc -l <"$tmp/err")" = 1 ] && [ ! -s "$tmp/out" ]; } || good=1
        ;;
    esac
    ok $good "$2"
}
has() { grep -qF -- "$2" "$tmp/$1"; ok $? "$3"; }
json() { "$python" -c "import json,sys; o=[json.loads(l) for l in open('$tmp/out')]; sys.exit(not (o and ($1)))"; ok $? "$2"; }
finish() { echo "1..$n"; exit $failed; }

# job FILE OBJECTIVE: three small rows, the second one without a plan
job() {
    cat >"$1" <<EOF
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 32, "objective": "$2",
 "train_tokens": 1e9,
 "pools": [
  {"time_s": 10, "gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 4}]},
  {"gpus": [{"zone": "us-central1-a", "gpu": "V100-16", "count": 0}]},
  {"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 2}, {"zone": "us-central1-a", "gpu": "V100-16", "count": 2}]}
 ]}
EOF
}

# site_of FILE TYPE GIB: one zone, a, with nodes of four GPUs with that much memory
site_of() {
    cat >"$1" <<EOF
{"format": "sailor-site/1", "name": "place", "zones": ["a"],
 "gpus": [{"name": "$2", "memory_bytes": $(($3 << 30)), "gpus_per_node": 4}],
 "usd_per_gpu_hour": {"a": {"$2": 1.5}}, "egress_usd_per_GB": {"a": {"a": 0}},
 "links": {"fits": [[0, 0, 12, 1.2e10]], "rows": [["a", "$2", 1, "a", "$2", 1, 0]]}}
EOF
}
# small_config FILE: config.json of a model that sailor model takes
small_config() {
    cat >"$1" <<'EOF'
{"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
 "num_key_value_heads": 2, "vocab_size": 32000, "max_position_embeddings": 32768, "tie_word_embeddings": true}
EOF
}
