#!/usr/bin/env bash
# TAP. tests/run counts what really ran: whatever a program prints, and however it ends, a test that did not run never passes.
# shellcheck source-path=SCRIPTDIR source=lint.sh
. "$(dirname "$0")/lint.sh"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
export RESULTS=$tmp/results
counted() { # what, "passed failed skipped" wanted, body of a program
    printf '#!/bin/sh\n%s\n' "$3" >"$tmp/t_program"
    chmod +x "$tmp/t_program"
    local status=0 sums
    TEST_SECONDS=2 tests/run suite "$tmp/t_program" >"$tmp/out" 2>&1 || status=1
    read -r sums <"$RESULTS/suite.sum"
    gate "$1" < <([ "$sums" = "$2" ] || echo "counted $sums, expected $2"
        read -r _ failures _ <<<"$2"
        [ "$status" = "$((failures > 0))" ] || echo "status $status with $failures failures")
}
counted "all that was planned" "2 0 0" "printf '1..2\nok 1\nok 2\n'"
counted "one fewer than planned" "2 1 0" "printf '1..3\nok 1\nok 2\n'"
counted "one more than planned" "2 1 0" "printf '1..1\nok 1\nok 2\n'"
counted "no plan: it may have stopped half way" "1 1 0" "echo ok 1"
counted "nothing at all" "0 1 0" ":"
counted "a failure" "1 1 0" "printf '1..2\nok 1\nnot ok 2\n'"
counted "all well but for the exit status" "1 1 0" "printf '1..1\nok 1\n'; exit 3"
counted "killed by a signal" "1 1 0" "printf '1..1\nok 1\n'; kill -9 \$\$"
counted "too long" "1 1 0" "printf '1..1\nok 1\n'; sleep 60"
counted "one of two skipped" "1 0 1" "printf '1..2\nok 1\nok 2 # SKIP no GPU\n'"
counted "all skipped" "0 0 1" "echo '1..0 # SKIP no GPU'"
counted "a sum" "5 0 0" "echo 5 passed"
counted "a sum with failures" "5 2 0" "echo 5 passed, 2 failed"
counted "a sum of none" "0 1 0" "echo 0 passed"
gate "a suite without programs fails" < <(tests/run empty >/dev/null 2>&1 && echo "status 0")
gate "and so does a sum in which nothing passed" < <(tests/run --sum --line "$tmp" >/dev/null && echo "status 0")
finish
