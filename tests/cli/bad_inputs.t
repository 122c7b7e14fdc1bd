#!/usr/bin/env bash
# TAP. Every file of tests/bad is refused: exit 2, nothing on stdout, exactly one line on stderr, and that line names the
# file, the JSON path and what is wrong. tests/bad/cases lists them; a file that is not listed is an error.
set -u
cd "$(dirname "$0")/../.." || exit 1
sailor=${BIN:-build}/sailor
export SAILOR_INPUTS=$PWD/inputs
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0

ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); echo "not ok $n - $1"; echo "# $2"; head -n 3 "$tmp/err" | sed 's/^/# stderr: /'; }

# one case: what is run, what the message must contain
check() { # title, file named, path named, word, command...
    local title=$1 file=$2 path=$3 word=$4 rc
    shift 4
    timeout 60 "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
    rc=$?
    if [ $rc != 2 ]; then not_ok "$title" "exit status $rc, expected 2"
    elif [ -s "$tmp/out" ]; then not_ok "$title" "wrote to stdout"
    elif [ "$(wc -l <"$tmp/err")" != 1 ]; then not_ok "$title" "$(wc -l <"$tmp/err") lines on stderr, expected 1"
    elif ! grep -qF -- "$file: $path" "$tmp/err"; then not_ok "$title" "expected '$file: $path' in the message"
    elif ! grep -qF -- "$word" "$tmp/err"; then not_ok "$title" "expected '$word' in the message"
    else ok "$title"; fi
}

while IFS='|' read -r command file args named path word; do
    case $command in '#'* | '') continue ;; esac
    command=${command% } file=${file# } file=${file% } args=${args# } args=${args% } named=${named# } named=${named% }
    path=${path# } path=${path% } word=${word# }
    echo "$file" >>"$tmp/listed"
    # shellcheck disable=SC2086
    check "$command $file" "$named" "$path" "$word" "$sailor" "$command" "tests/bad/$file" $args
done <tests/bad/cases

# things that are not our files
check "plan: no such file" none.json "" "" "$sailor" plan none.json
check "plan: a directory" tests "" "a directory" "$sailor" plan tests
check "plan: a device" /dev/zero "" "a device" "$sailor" plan /dev/zero
check "simulate: no such file" none.json "" "" "$sailor" simulate none.json
truncate -s 67108865 "$tmp/large.json"
check "simulate: more than 64 MiB" large.json "" "more than" "$sailor" simulate "$tmp/large.json"
check "import: no such directory" none "" "not a directory" "$sailor" import none -o "$tmp/out-dir"
check "import: nothing there" tests/bad "" "nothing to import" "$sailor" import tests/bad -o "$tmp/out-dir"
check "import: bad facts" tests/bad/plan/array.json "/" "expected an object" \
    "$sailor" import tests --facts tests/bad/plan/array.json -o "$tmp/out-dir"

# waiting for a pipe whose other end never opens ends by itself; a slow one is waited for
mkfifo "$tmp/pipe"
for command in plan simulate validate export model; do
    check "$command: a pipe without a writer" "$tmp/pipe" "" "nobody writes" "$sailor" $command "$tmp/pipe"
done
check "run: a pipe without a writer" "$tmp/pipe" "" "nobody writes" "${BIN:-build}/sailor-train" run "$tmp/pipe"
(sleep 1; printf '{"format": '; sleep 1; printf '"sailor-job/1", "x": 1}') >"$tmp/pipe" &
check "plan: a slow pipe" "$tmp/pipe" "/" "unknown key" "$sailor" plan "$tmp/pipe"
wait

# simulate --json: the reason is also where the answer would have been
"$sailor" simulate "$tmp/none \"1\".json" --json >"$tmp/out" 2>"$tmp/err"
rc=$?
said=$("${PYTHON:-python3}" -c 'import json, sys; print(json.load(sys.stdin)["error"])' <"$tmp/out")
if [ $rc = 2 ] && [ "sailor: error: $said" = "$(cat "$tmp/err")" ]; then ok "simulate --json: the reason is an object"
else not_ok "simulate --json: the reason is an object" "$rc: $said"; fi

for f in tests/bad/plan/*.json tests/bad/simulate/*.json; do
    grep -qxF "${f#tests/bad/}" "$tmp/listed" || { : >"$tmp/err"; not_ok "$f" "not listed in tests/bad/cases"; }
done
echo "1..$n"
