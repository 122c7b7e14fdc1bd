#!/usr/bin/env bash
# TAP. `sailor import`: the published artifact's files give the inputs that this project ships, byte for byte.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
artifact=../shared/reference/artifact

run "$sailor" import "$artifact"
expect 2 "import without -o"
run "$sailor" import "$tmp/none" -o "$tmp/out.d"
expect 2 "import from a directory that is not there"
[ ! -e "$tmp/out.d" ]
ok $? "writes nothing"
if [ -d "$artifact" ]; then
    run "$sailor" import "$artifact" -o "$tmp/inputs"
    expect 0 "import of the artifact"
    files=$(cd "$tmp/inputs" && find . -type f)
    [ "$(wc -l <<<"$files")" -gt 10 ]
    ok $? "gives models, profiles, sites and jobs"
    differ=$(while read -r f; do cmp -s "$tmp/inputs/$f" "inputs/$f" || echo "$f"; done <<<"$files")
    [ -z "$differ" ]
    ok $? "the same as in inputs/${differ:+: $differ differ}"
    run "$sailor" import "$artifact" -o /proc/inputs
    [ "$rc" != 0 ] && [ "$(wc -l <"$tmp/err")" = 1 ]
    ok $? "a directory that cannot be made: one line"
else
    n=$((n + 1)); echo "ok $n - import of the artifact # SKIP $artifact is not here"
fi
finish
