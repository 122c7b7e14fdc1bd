#!/usr/bin/env bash
# TAP. What users ran into: overflow, closed pipes, quotas, limits of memory, task farms. Each of these once lost work, hung or was
# silent.
# shellcheck disable=SC1091,SC2154
. "$(dirname "$0")/../cli/tap.sh"
plan() { # FILE STAGES
    cat >"$1" <<EOP
{"format": "sailor-plan/1", "model": "gpt-tiny", "site": "local", "global_batch_size": 4, "micro_batch_size": 1,
 "pipelines": [{"stages": [$2]}]}
EOP
}
stage() { echo '{"layers": ['"$1"'], "replicas": [{"gpu": "cpu", "tp": '"$2"', "zone": "local"}]}'; }
plan "$tmp/one.json" "$(stage 0,6 1)"
plan "$tmp/pipe.json" "$(stage 0,3 1), $(stage 3,6 1)"
plan "$tmp/tensor.json" "$(stage 0,6 2)"
one=("$train" run "$tmp/one.json" --threads 1)
skip() { n=$((n + 1)); echo "ok $n - $1 # SKIP $2"; }

# ---- numbers that overflow ----
run "${one[@]}" --steps 2 -q --checkpoint "$tmp/c.h5"
if "$python" -c 'import h5py' 2>/dev/null; then
    # weights as in a diverging run: the loss is still finite, the gradients are not
    "$python" -c "import h5py; d = h5py.File('$tmp/c.h5', 'a')['layer2/fc1.weight/weight']; d[:] = d[:] * 1e37"
    cp "$tmp/c.h5" "$tmp/good.h5"
    for p in one pipe tensor; do
        by=(); [ $p = one ] || by=("$mpiexec" -n 2)
        run "${by[@]}" "$train" run "$tmp/$p.json" --threads 1 --steps 4 -q --resume "$tmp/c.h5" --checkpoint "$tmp/c.h5" -o "$tmp/m.h5" -f
        expect 1 "$p: a loss that is not a number ends the run"
        first='step [345]: the loss is (not a number|infinite); layer2/[a-z0-9.]+ \(gradient\) is the first tensor that is not finite'
        grep -qE "$first, in step 3 on rank" "$tmp/err"
        ok $? "$p: with the step, and the tensor that was first"
        cmp -s "$tmp/c.h5" "$tmp/good.h5"
        ok $? "$p: the checkpoint stays"
        "$python" -c "import h5py; f = h5py.File('$tmp/m.h5'); assert f.attrs['status'] == 'loss not finite' and len(f['step/loss']) > 0"
        ok $? "$p: what was measured is kept, with the reason"
    done
    run "${one[@]}" --steps 4 -q --resume "$tmp/c.h5" --checkpoint "$tmp/c.h5" --checkpoint-every 1 -o "$tmp/m.h5" -f
    [ "$rc" = 1 ] && grep -q "c.h5: not written after step 3: layer2/" "$tmp/err" && cmp -s "$tmp/c.h5" "$tmp/good.h5"
    ok $? "weights that are not finite replace no checkpoint, though the loss is still finite"
    grep -qa "checkpoint not written" "$tmp/m.h5" && "$python" -c "import h5py; assert len(h5py.File('$tmp/m.h5')['step/loss']) == 1"
    ok $? "and the step is in the measurement"
else
    skip "overflow" "$python has no h5py"
fi

# ---- a limit on the size of files ----
cp "$tmp/c.h5" "$tmp/before.h5"
# shellcheck disable=SC2016
for out in -o --checkpoint; do
    # the limit also applies to what bash writes for us: the program writes to a pipe
    run bash -c '(ulimit -f 12; exec "$@" 2>&1 >/dev/null) | cat >&2; exit $PIPESTATUS' - "${one[@]}" --steps 2 -q $out "$tmp/c.h5" -f
    expect 1 "run $out beyond the limit of files"
    has err "c.h5: cannot be written: File too large" "in one line of ours"
    cmp -s "$tmp/c.h5" "$tmp/before.h5"
    ok $? "and the file that was there stays"
done
# shellcheck disable=SC2016
run bash -c '(ulimit -f 2000; exec "$@" 2>&1 >/dev/null) | cat >&2; exit $PIPESTATUS' - \
    "${one[@]}" --steps 3 -q --checkpoint "$tmp/c.h5" --checkpoint-every 1 -o "$tmp/limit.h5" -f
[ "$rc" = 1 ] && grep -q "error: .*c.h5: cannot be written: File too large" "$tmp/err" && grep -qa "checkpoint not written" "$tmp/limit.h5"
ok $? "a checkpoint beyond the limit: what was measured is kept, with the reason"

# ---- GPUs that cost nothing ----
"$python" - "$tmp" <<'EOF'
import json, sys
tmp = sys.argv[1]
for name, free in (("one", ["V100-16"]), ("all", ["V100-16", "A100-40"])):
    site = json.load(open("inputs/sites/gcp.json"))
    for zone in site["usd_per_gpu_hour"].values():
        for gpu in free:
            if gpu in zone: zone[gpu] = 0
    json.dump(site, open(f"{tmp}/free-{name}.json", "w"))
    json.dump({"format": "sailor-job/1", "model": "opt-350m", "site": f"./free-{name}.json", "global_batch_size": 32,
               "objective": "frontier", "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": g, "count": 4}
                                                            for g in ("A100-40", "V100-16")]}]},
              open(f"{tmp}/job-{name}.json", "w"))
EOF
run "$sailor" plan "$tmp/job-one.json" -q --json --gap 0 # was 4e7 plans, and not proven
json 'o[0]["status"] == "optimal" and o[0]["plans_evaluated"] < 4e6 and len(o[0]["frontier"]) == 5' "one type is free"
run "$sailor" plan "$tmp/job-all.json" -q --json --gap 0
json 'o[0]["status"] == "optimal" and o[0]["plans_evaluated"] < 1e5 and len(o[0]["frontier"]) == 1' "all is free: the fastest plan, alone"

# ---- nobody reads any more ----
"${one[@]}" --steps 3 -q --json --checkpoint "$tmp/head.h5" 2>"$tmp/err" | head -n 1 >"$tmp/out"
run "${one[@]}" --steps 1 -q --resume "$tmp/head.h5"
[ "$rc" = 0 ] && [ ! -s "$tmp/err" ]
ok $? "| head -1: all steps are done, and saved"
mkfifo "$tmp/full"
exec 8<>"$tmp/full" # never read
timeout 1 cat /dev/zero >&8
"${one[@]}" --steps 1 -q --json --checkpoint "$tmp/waits.h5" >&8 2>"$tmp/err" &
late=$!
for ((i = 0; i < 200; i++)); do [ ! -e "$tmp/waits.h5" ] || break; sleep 0.1; done
ok "$([ -e "$tmp/waits.h5" ]; echo $?)" "a reader that never reads: the step is saved before its line is printed" <"$tmp/err"
kill -0 "$late"
ok $? "which still waits"
kill -KILL "$late"
wait "$late" 2>/dev/null
exec 8<&-
for try in 1 2 3; do # the two may count as one anyway
    "${one[@]}" --steps 100000 -q --checkpoint "$tmp/twice$try.h5" >/dev/null 2>&1 &
    twice=$!
    sleep 2
    kill -TERM "$twice" && kill -TERM "$twice"
    wait "$twice"
    if [ $? != 75 ] || [ ! -s "$tmp/twice$try.h5" ]; then break; fi
done
ok "$([ -s "$tmp/twice3.h5" ]; echo $?)" "a signal that arrives twice at once counts once"
job "$tmp/job.json" throughput
"$sailor" plan "$tmp/job.json" -o "$tmp/head-plan.h5" --threads 1 2>"$tmp/err" | true
run "$sailor" report "$tmp/head-plan.h5" --json
[ "$rc" = 0 ] && ! grep -q INCOMPLETE "$tmp/out"
ok $? "plan | true: the results are saved"
# Ctrl-C in a terminal goes to all of "PROGRAM 2>&1 | tee log"
"$python" - "$tmp" "${one[@]}" <<'EOF'
import os, shlex, signal, subprocess, sys, time
tmp, argv = sys.argv[1], sys.argv[2:]
train = shlex.join(argv + ["--steps", "100000", "--checkpoint", tmp + "/tee.h5"])
p = subprocess.Popen(["bash", "-c", train + " 2>&1 | tee " + tmp + "/log >/dev/null"], start_new_session=True)
end = time.time() + 40
while time.time() < end and not (os.path.exists(tmp + "/log") and "step" in open(tmp + "/log").read()):
    time.sleep(0.1)
os.killpg(p.pid, signal.SIGINT)
while time.time() < end and not os.path.exists(tmp + "/tee.h5"):
    time.sleep(0.1)
try:
    os.killpg(p.pid, signal.SIGKILL)
except ProcessLookupError:
    pass
EOF
run "${one[@]}" --steps 1 -q --resume "$tmp/tee.h5"
expect 0 "Ctrl-C with 2>&1 | tee: the checkpoint is there"

# standard streams that are closed are not what is opened next
(exec >&-; timeout 60 "${one[@]}" --steps 2 -q --json -f --checkpoint "$tmp/shut.h5" -o "$tmp/shut-m.h5") 2>"$tmp/err"
rc=$?
[ "$rc" = 1 ] && grep -qE "error: standard output: (Bad file descriptor|cannot be written)" "$tmp/err"
ok $? "a closed standard output is an error, and told as it is"
(exec <&- >&- 2>&-; timeout 60 "${one[@]}" --steps 2 -q -f --checkpoint "$tmp/shut.h5" -o "$tmp/shut-m.h5")
run "${one[@]}" --steps 1 -q --resume "$tmp/shut.h5"
expect 0 "without any standard stream the checkpoint is whole"
(exec <&- >&- 2>&-; timeout 60 "$sailor" plan "$tmp/job.json" -q --threads 1 -f -o "$tmp/head-plan.h5")
run "$sailor" report "$tmp/head-plan.h5"
expect 0 "and so are results"

# closing the terminal
"$python" - "$tmp" "${one[@]}" <<'EOF'
import os, pty, sys, time
tmp, argv = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv + ["--steps", "100000", "--checkpoint", tmp + "/closed.h5"])
while b"step" not in os.read(terminal, 4096):
    pass
os.close(terminal)
end = time.time() + 40
while time.time() < end and os.waitpid(pid, os.WNOHANG)[0] == 0:
    time.sleep(0.1)
EOF
run "${one[@]}" --steps 1 -q --resume "$tmp/closed.h5"
expect 0 "a closed terminal: the checkpoint is there"
nohup "${one[@]}" --steps 100000 -q --checkpoint "$tmp/nohup.h5" >/dev/null 2>&1 &
sleep 2
kill -HUP $!; sleep 1; kill -0 $! 2>/dev/null
ok $? "nohup: the run goes on"
kill -TERM $!; wait $!
[ $? = 75 ] && [ -s "$tmp/nohup.h5" ]
ok $? "until it is told to stop"

# ---- memory that ends ----
# ends TITLE: the last run ended by itself, without a crash, and gave a reason if it failed
ends() {
    [ "$rc" -lt 124 ] && { [ "$rc" = 0 ] || { [ -s "$tmp/err" ] && [ "$(grep -c "error: out of memory" "$tmp/err")" -le 1 ]; }; }
    ok $? "$1"
}
# limited TITLE KIB COMMAND...: the same within so much address space, of which a sanitizer takes terabytes
limited() {
    local title="$1 within $2 KiB of address space ends, and says why"
    shift
    case $sailor in *asan*) skip "$title" "the sanitizer takes more"; return ;; esac
    # shellcheck disable=SC2016
    run bash -c 'ulimit -v "$0" && exec "$@"' "$@"
    ends "$title"
}
for kib in 150000 250000 330000 400000; do
    limited run $kib "${one[@]}" --steps 1 -q
done
for threads in 1 2; do # OpenBLAS looked for work space in the middle of a step, for ever
    for kib in 370000 435000 495000; do
        limited "run of $threads threads" $kib "$train" run "$tmp/one.json" --threads $threads --steps 1 -q
    done
done
# shellcheck disable=SC2016
run bash -c 'ulimit -s 256 && exec "$@"' - "${one[@]}" --steps 1 -q
expect 0 "run within 256 KiB of stack"
for kib in 150000 200000; do # OpenBLAS's handler at exit waited for a thread without memory
    limited weights $kib "$train" weights "$tmp/c.h5" --model gpt-tiny -o "$tmp/w.safetensors" -f
done

title="bad input within 60000 KiB of data: status 2"
case $sailor in
*asan*) skip "$title" "the sanitizer takes more" ;;
*)
    # shellcheck disable=SC2016
    LIMIT=20 run bash -c 'ulimit -d 60000 && exec "$@"' - "$train" run "$tmp/none.json"
    expect 2 "$title"
    ;;
esac

# two threads run out at the same time, and one of them says so
cat >"$tmp/large.json" <<'EOF'
{"format": "sailor-job/1", "model": "opt-350m", "site": "gcp", "global_batch_size": 2048, "objective": "throughput",
 "pools": [{"gpus": [{"zone": "us-central1-a", "gpu": "A100-40", "count": 32}, {"zone": "us-central1-a", "gpu": "V100-16", "count": 32}]}]}
EOF
# always STATUS TITLE LIMIT COMMAND...: the command ends with this status, five times of five
always() {
    local want=$1 title="$2 within ulimit $3: status $1, always" seen=""
    case $sailor in *asan*) skip "$title" "the sanitizer takes more"; return ;; esac
    for _ in 1 2 3 4 5; do
        # shellcheck disable=SC2016
        run bash -c 'ulimit $0 && exec "$@"' "${@:3}"
        seen="$seen $rc"
        [ "$rc" = 0 ] || grep -q "error: out of memory" "$tmp/err" || seen="$seen silent"
    done
    [ "$seen" = " $want $want $want $want $want" ]
    ok $? "$title"
}
large=("$sailor" plan "$tmp/large.json" -q --threads)
while read -r status limit threads by; do
    # shellcheck disable=SC2086
    always "$status" "plan of $threads threads${by:+ ($by)}" "$limit" $by "${large[@]}" "$threads"
done <<EOF
1 -v100000 1
1 -v200000 1
1 -v200000 2
1 -v260000 2
1 -d200000 2
0 -v400000 1
0 -v500000 2
0 -d500000 2
1 -v200000 1 $mpiexec -n 2
1 -v200000 2 $mpiexec -n 2
0 -v600000 2 $mpiexec -n 2
EOF
always 1 frontier -v200000 "${large[@]}" 2 --objective frontier
always 1 whatif -v200000 "$sailor" whatif "$tmp/large.json" -q --threads 2 --add us-central1-a/A100-40:8
# two ranks that fork() once held up while OpenBLAS's threads looked for memory
for kib in 110000 150000 250000; do
    title="run on two ranks within $kib KiB of data ends, and says why"
    case $sailor in *asan*) skip "$title" "the sanitizer takes more"; continue ;; esac
    # shellcheck disable=SC2016
    run bash -c 'ulimit -d "$0" && exec "$@"' $kib "$mpiexec" -n 2 "$train" run "$tmp/pipe.json" --steps 1 -q
    [ "$rc" != 0 ] && [ "$rc" -lt 124 ] && [ -s "$tmp/err" ] &&
        { ! grep -q "the BLAS library finds no room" "$tmp/err" || { [ "$rc" = 1 ] && ! grep -q "died" "$tmp/err"; }; }
    ok $? "$title"
done

# ---- threads ----
threads() { "$python" -c "import h5py; print(h5py.File('$tmp/t.h5').attrs['threads'])"; }
if "$python" -c 'import h5py' 2>/dev/null; then
    OMP_NUM_THREADS=1 run "$train" run "$tmp/one.json" --steps 1 -q -o "$tmp/t.h5" -f
    [ "$(threads)" = 1 ]
    ok $? "OMP_NUM_THREADS is the default of run, too"
    for group in /sys/fs/cgroup/cpu/sailor-test.$$ /sys/fs/cgroup/sailor-test.$$; do
        mkdir "$group" 2>/dev/null || continue
        { [ -e "$group/cpu.max" ] && echo 30000 100000 >"$group/cpu.max"; } 2>/dev/null && break
        { [ -e "$group/cpu.cfs_quota_us" ] && echo 30000 >"$group/cpu.cfs_quota_us"; } 2>/dev/null && break
        rmdir "$group"
    done
    if [ -d "$group" ]; then
        # shellcheck disable=SC2016
        run env -u OMP_NUM_THREADS bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" \
            "$train" run "$tmp/one.json" --steps 1 -q -o "$tmp/t.h5" -f
        rmdir "$group"
        [ "$rc" = 0 ] && [ "$(threads)" = 1 ]
        ok $? "a quota of 0.3 CPU makes one thread"
    else
        skip "a quota of 0.3 CPU makes one thread" "needs a control group of its own (root)"
    fi
fi

# ---- tasks of a farm are not an MPI job ----
task=(env -u PMI_RANK SLURM_JOB_ID=7 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4)
for rank in 0 2; do
    run "${task[@]}" SLURM_PROCID=$rank "$sailor" simulate "$tmp/one.json" --json
    [ -s "$tmp/out" ] || [ -s "$tmp/err" ]
    ok $? "Slurm task $rank without MPI: its answer, or why there is none"
done
run "${task[@]}" SLURM_PROCID=2 "$sailor" plan "$tmp/job.json" --json
[ "$rc" = 0 ] && [ -s "$tmp/out" ]
ok $? "plan, too"
# shellcheck disable=SC2016
run "$mpiexec" -n 2 sh -c '"$0" report "$1"; exit $?' "$sailor" "$tmp/head-plan.h5"
[ "$rc" = 0 ] && [ "$(grep -c '2 x 1 threads\|1 thread' "$tmp/out")" = 2 ]
ok $? "what a rank starts in turn answers for itself"
finish
