#!/usr/bin/env bash
# TAP. Every shell script of the project: bash reads it, and shellcheck (where it is installed) has nothing to say. What is run by its
# name may be run.
set -u
cd "$(dirname "$0")/../.." || exit 1
scripts=(quickstart .ci/run jobs/*.sbatch jobs/*.sh jobs/env/*.sh jobs/grid-plan jobs/submit-validation packaging/deb
    packaging/container/chroot tests/run tests/*.sh tests/*/*.sh)
while read -r t; do head -n 1 "$t" | grep -qE '\b(ba)?sh$' && scripts+=("$t"); done < <(find tests -name '*.t' | sort)
n=0 failed=0
ok() {
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; failed=1; sed 's/^/# /'; fi
}
for s in "${scripts[@]}"; do
    [ -e "$s" ] || continue
    out=$(bash -n "$s" 2>&1); ok $? "bash -n $s" <<<"$out"
    if command -v shellcheck >/dev/null; then
        out=$(shellcheck -x --severity=style "$s" 2>&1); ok $? "shellcheck $s" <<<"$out"
    else
        n=$((n + 1)); echo "ok $n # SKIP shellcheck is not installed: $s"
    fi
done
out=$(find tests -name '*.t' ! -perm -111; find jobs -name '*.sbatch' ! -perm -111)
[ -z "$out" ]; ok $? "tests and job scripts are executable" <<<"$out"
echo "1..$n"
exit $failed
