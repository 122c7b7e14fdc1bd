#!/usr/bin/env bash
# TAP. `sailor plan` under mpirun: one output, one status, and no hang when one rank has a reason to stop.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/tap.sh"
export OMP_NUM_THREADS=1
job "$tmp/job.json" throughput

run "$sailor" plan "$tmp/job.json" --json
grep -o '"plan".*"peak_memory_bytes"' "$tmp/out" >"$tmp/want"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" --json -o "$tmp/a.h5"
expect 0 "two ranks"
grep -o '"plan".*"peak_memory_bytes"' "$tmp/out" | diff - "$tmp/want" >/dev/null
ok $? "answer like one"
run "$sailor" report "$tmp/a.h5"
has out "2 x 1 threads" "the file knows how many they were"
run "$mpiexec" -n 2 "$sailor" report "$tmp/a.h5"
[ "$rc" = 0 ] && [ "$(grep -c "2 x 1 threads" "$tmp/out")" = 1 ]
ok $? "a command that has no use for ranks answers once"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" -o "$tmp/a.h5"
expect 2 "existing output: one line"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/none.json"
expect 2 "missing job: one line"
run "$mpiexec" -n 2 "$sailor" plan --nonsense
expect 2 "misuse: one line"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" -o "$tmp/no/such/dir.h5"
expect 1 "unwritable output: one line"
run "$mpiexec" -n 2 "$sailor" plan --help
[ "$rc" = 0 ] && [ "$(grep -c '^usage' "$tmp/out")" = 1 ]
ok $? "--help is printed once"
run "$mpiexec" -n 2 "$sailor" --version
[ "$rc" = 0 ] && [ "$(grep -c '^sailor ' "$tmp/out")" = 1 ]
ok $? "--version is printed once"
run "$mpiexec" -n 2 "$sailor" pln
expect 2 "unknown command: one line"
run "$mpiexec" -n 2 "$sailor" plan "$tmp/job.json" -o "$tmp/s.h5" --time-limit 0
[ "$rc" = 75 ] && [ "$(grep -c stopped "$tmp/err")" = 1 ]
ok $? "stopped: status 75 and one message"
run "$sailor" plan "$tmp/job.json" --resume "$tmp/s.h5" --json
grep -o '"plan".*"peak_memory_bytes"' "$tmp/out" | diff - "$tmp/want" >/dev/null
ok $? "one rank resumes what two began"
# shellcheck disable=SC2016
printf '#!/bin/sh\nunset PMI_RANK\nexport OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=$1\nshift\n"$@"\n' >"$tmp/orted"
chmod +x "$tmp/orted"
run "$tmp/orted" 0 "$sailor" plan "$tmp/job.json"
expect 2 "another MPI's launcher: four processes that each see themselves alone"
has err "linked with" "the message names the library"
run "$tmp/orted" 3 "$sailor" plan "$tmp/job.json"
[ "$rc" = 2 ] && [ ! -s "$tmp/err" ]
ok $? "and only one of them says so"
run env SLURM_JOB_ID=1 SLURM_NTASKS=8 SLURM_PROCID=0 "$sailor" plan "$tmp/job.json"
expect 0 "in a batch script, outside of srun, it runs alone"
finish
