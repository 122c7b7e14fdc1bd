#!/usr/bin/env bash
# TAP. A call of NCCL that fails on one rank, while its peer waits there for it and cannot be told: the job ends. On a substitute.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
export LIMIT=30
run "$mpiexec" -n 2 "$T_NCCL" none
[ "$rc" = 0 ] && [ "$(grep -o "all is made" "$tmp/out" | wc -l)" = 2 ] # in one line or two
ok $? "all is made"
while read -r call what; do
    run "$mpiexec" -n 2 "$T_NCCL" "$call"
    [ "$rc" = 1 ] && [ "$(grep -c "^sailor-train: error: " "$tmp/err")" = 1 ] &&
        grep -q "error: rank 1 on .*: comm nccl: $what on rank 1: unhandled system error; others wait for it in NCCL" "$tmp/err"
    ok $? "$what fails on rank 1: status 1, one line, and no rank is left behind"
done <<EOF
init ncclCommInitRank
sum the first sum
send the first message
EOF
finish
