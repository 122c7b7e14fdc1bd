# shellcheck shell=bash
# Shell helpers of the lint scripts: source it, then `gate` each rule, and end with `finish`. Every line on a rule's stdin is a
# violation.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
n=0 failed=0
gate() { # what holds; stdin: where it does not, a line each
    local found
    found=$(cat)
    n=$((n + 1))
    if [ -z "$found" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        failed=1
        printf '%s\n' "$found" | sed 's/^/# /'
    fi
}
skip() { # why
    n=$((n + 1))
    echo "ok $n # SKIP $1"
}
finish() {
    echo "1..$n"
    exit "$failed"
}
sources() { find src tests \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cc' \) | sort; }
