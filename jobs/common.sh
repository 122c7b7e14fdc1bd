# shellcheck shell=bash
# Functions and variables shared by the job scripts. A script sets `me`, its name, and `home`, the tree that this file lies in
# (the source tree, or PREFIX/share/sailor), and sources this file, which provides:
#   site, sailor, train, launch    the site file in jobs/env/, the two programs, the command that starts one process per rank
#   alone                          the same for a program that is one process; may be empty
#   run                            the directory of this job, $SAILOR_OUT/JOBID
#   fail TEXT                      print one line on stderr and exit with status 2
#   record PROGRAM                 append what runs where to $run/provenance.txt
#   place                          write rank, node, device and CPUs to $run/placement.txt; with NCCL, refuse ranks that
#                                  share a GPU
#   own_inputs DIR                 set cluster, zone, gpu: the parts of $SAILOR_PLACE; inputs: the source of models and sites;
#                                  own: DIR, the destination of measurements; link there what is not measured
#   profile_model MODEL [OPTIONS]  write $own/profiles/MODEL/GPU.json; needs own_inputs, like the next one
#   measure_links [OPTIONS]        write $own/sites/SITE.json
#   train_by PLAN.json MEAS.h5     train for ten iterations, of which the first three do not count; each is a line of
#                                  $run/steps.jsonl
#   watch_gpus                     write clocks, power and memory of the first node's GPUs to $run/gpus.csv once a second
fail() {
    echo "${me:?}: $*" >&2
    exit 2
}

site=${SAILOR_SITE:-}
[ -n "$site" ] || fail "SAILOR_SITE is not set; source jobs/env/SITE.sh before sbatch"
case $site in
*/*) site_file=$site ;; # one's own, anywhere
*) site_file=${home:?}/jobs/env/$site.sh ;;
esac
[ -e "$site_file" ] || fail "SAILOR_SITE=$site: expected a file $site_file"
# shellcheck source=/dev/null
source "$site_file"
program() { # as built in this tree, as installed with it, or wherever PATH has it
    local at
    for at in "$home/build/$1" "$home/../../bin/$1"; do
        [ ! -x "$at" ] || { echo "$at"; return; }
    done
    echo "$1"
}
# shellcheck disable=SC2034 # used by the scripts
sailor=${SAILOR:-$(program sailor)} train=${SAILOR_TRAIN:-$(program sailor-train)}
# If a rank dies, the step must end: the others would wait for it forever.
read -ra launch <<<"${SAILOR_LAUNCH:-srun --kill-on-bad-exit=1 --cpu-bind=cores}"
read -ra more <<<"${SAILOR_SRUN_OPTIONS:-}"
launch+=("${more[@]}")
alone=() # before a program that is one process: nothing, or srun where it must have these options, as in a container
[ ${#more[@]} = 0 ] || alone=(srun --nodes=1 --ntasks=1 --ntasks-per-node=1 "${more[@]}")
cpus=${SLURM_CPUS_PER_TASK:-1}
if [ "${SLURM_HET_SIZE:-1}" -gt 1 ]; then # a job of several components: one step over all, with as many CPUs as each has
    [ -n "${SAILOR_LAUNCH:-}" ] || launch+=("--het-group=0-$((SLURM_HET_SIZE - 1))")
    cpus=$(for ((i = 0; i < SLURM_HET_SIZE; i++)); do
        of=SLURM_CPUS_PER_TASK_HET_GROUP_$i
        echo "${!of:-1}"
    done | sort -n | head -n 1)
fi
run=${SAILOR_OUT:?}/$SLURM_JOB_ID
mkdir -p "$run" 2>/dev/null || fail "$run: cannot be made; expected SAILOR_OUT to name a directory that all nodes can write to"
ulimit -c 0
export SRUN_CPUS_PER_TASK=$cpus # some Slurm versions do not pass -c on to srun
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$SRUN_CPUS_PER_TASK}

record() {
    local version
    version=$("${alone[@]}" "$1" --version)
    {
        echo "== start ${SLURM_RESTART_COUNT:-0}, $(date -u +%FT%TZ), $(head -n 1 <<<"$version")"
        tail -n +2 <<<"$version"
        if git -C "$home" rev-parse HEAD; then git -C "$home" status --short --untracked-files=no; fi 2>/dev/null
        scontrol show job "$SLURM_JOB_ID"
        env | grep -E '^(CUDA|FI|GOMP|HDF5|LOADEDMODULES|MPICH|NCCL|OMP|PMI|SAILOR|SLURM|UCX|UENV)' | sort
        if command -v nvidia-smi >/dev/null; then
            nvidia-smi --query-gpu=index,uuid,name,driver_version,power.limit,clocks.max.sm --format=csv || true
        fi
    } >>"$run/provenance.txt"
}

# Name GPUs by their UUID where nvidia-smi tells it: when Slurm hides the devices of other ranks, every rank calls its
# own GPU 0.
# shellcheck disable=SC2016 # for the ranks' shells
where='
device=${CUDA_VISIBLE_DEVICES:-none}
uuid=$(nvidia-smi --id="$device" --query-gpu=uuid --format=csv,noheader 2>/dev/null) && device=$uuid
echo $SLURM_PROCID $SLURMD_NODENAME $device $(sed -n "s/^Cpus_allowed_list:.//p" /proc/self/status)'
place() {
    local shared
    "${launch[@]}" bash -c "$where" | sort -n | sed '1i rank node device cpus' >"$run/placement.txt"
    [ "${SAILOR_COMM:?}" = nccl ] || return 0 # MPI also works with several ranks on a GPU
    shared=$(tail -n +2 "$run/placement.txt" | awk '{ print $2, $3 }' | sort | uniq -d | head -n 1)
    [ -z "$shared" ] || fail "several ranks on node ${shared% *} have the same device, ${shared#* } ($run/placement.txt);" \
        "expected one each: sbatch --gpus-per-task=1"
}

# shellcheck disable=SC2034 # used by the scripts
own_inputs() {
    local more part
    IFS=/ read -r cluster zone gpu more <<<"${SAILOR_PLACE:?}"
    { [ -n "$gpu" ] && [ -z "$more" ]; } || fail "SAILOR_PLACE=$SAILOR_PLACE: expected SITE/ZONE/GPU"
    inputs=${SAILOR_INPUTS:-$home/inputs} own=$1
    [ -d "$inputs/models" ] || fail "$inputs/models: no such directory; expected SAILOR_INPUTS to name one with models/"
    mkdir -p "$own" 2>/dev/null || fail "$own: cannot be made; expected a directory that can be written to"
    for part in models planners; do
        [ ! -d "$inputs/$part" ] || [ -e "$own/$part" ] || ln -sfn "$(realpath "$inputs/$part")" "$own/$part"
    done
}

profile_model() {
    local model=$1
    shift
    mkdir -p "$own/profiles/$model"
    "${launch[@]}" "$train" profile "$model" --gpu "$gpu" --inputs "$inputs" --backend "$SAILOR_BACKEND" --comm "$SAILOR_COMM" \
        ${SAILOR_MEMORY_GIB:+--memory-limit "$SAILOR_MEMORY_GIB"} -o "$own/profiles/$model/$gpu.json" "$@"
}
measure_links() {
    mkdir -p "$own/sites"
    "${launch[@]}" "$train" netbench --site "$cluster" --zone "$zone" --gpu "$gpu" --inputs "$inputs" \
        --backend "$SAILOR_BACKEND" --comm "$SAILOR_COMM" -o "$own/sites/$cluster.json" "$@"
}
train_by() {
    "${launch[@]}" "$train" run "$1" --backend "$SAILOR_BACKEND" --comm "$SAILOR_COMM" --steps 10 --warmup 3 --json -o "$2" -f \
        >"$run/steps.jsonl"
}

watch_gpus() {
    command -v nvidia-smi >/dev/null || return 0
    nvidia-smi --query-gpu=timestamp,index,clocks.sm,clocks.mem,power.draw,temperature.gpu,memory.used --format=csv --loop=1 \
        >"$run/gpus.csv" 2>&1 &
    # shellcheck disable=SC2064 # expand $! now: this process, not a later one
    trap "kill $! 2>/dev/null || true" EXIT
}
