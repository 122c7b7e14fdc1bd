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
    # every file that is read, cut off or another one: one line that names it
    cp -r "$artifact" "$tmp/broken"
    "$python" - "$sailor" "$tmp" 2>"$tmp/err" <<'EOF'
import os, shutil, subprocess, sys
sailor, tmp = sys.argv[1:]
refused = 0
def tried(path, text):
    open(path, "wb").write(text)
    shutil.rmtree(f"{tmp}/none", ignore_errors=True)
    p = subprocess.run([sailor, "import", f"{tmp}/broken", "-o", f"{tmp}/none"], capture_output=True, text=True)
    one = p.stderr.count("\n") == 1 and os.path.basename(path) in p.stderr
    assert p.returncode == 0 or p.returncode == 2 and one, (path, text[:8], p.returncode, p.stderr[:100])
    return p.returncode
for folder, _, names in sorted(os.walk(f"{tmp}/broken")):
    for name in [n for n in sorted(names) if n.endswith((".json", ".csv"))][:3]:
        path = os.path.join(folder, name)
        whole = open(path, "rb").read()
        codes = {tried(path, text) for text in (whole[: len(whole) // 2], b'"x"\n')}
        assert len(codes) == 1, path # 0 for both: a file that is not read
        refused += 2 in codes
        open(path, "wb").write(whole)
assert refused > 25, refused
EOF
    ok $? "each of its files, cut off or another one: refused in one line with its name"
    run "$sailor" import "$artifact" -o /proc/inputs
    [ "$rc" != 0 ] && [ "$(wc -l <"$tmp/err")" = 1 ]
    ok $? "a directory that cannot be made: one line"
else
    n=$((n + 1)); echo "ok $n - import of the artifact # SKIP $artifact is not here"
fi
finish
