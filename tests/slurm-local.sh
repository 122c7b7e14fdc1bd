#!/usr/bin/env bash
# A throw-away Slurm on this machine: munged, slurmctld and one slurmd per virtual node (4 x 72 cores and 4 made-up GPUs
# each, whatever the machine has), so that the scripts in jobs/ can really be submitted. Needs the packages slurm-wlm and munge; runs as
# root or as a plain user; nothing of an installed Slurm is touched.
#   tests/slurm-local.sh start DIR [NODES]    everything is in DIR, a short path; then: export SLURM_CONF=DIR/slurm.conf
#   tests/slurm-local.sh lose DIR NODE        kill everything that runs on a node, as if it had lost power; Slurm notices
#                                             after SlurmdTimeout, or by scontrol update
#   tests/slurm-local.sh gain DIR NODE        start it again
#   tests/slurm-local.sh stop DIR             end the daemons (by their pid files) and delete DIR
#   tests/slurm-local.sh logs DIR             the last lines of every log
set -u
usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
command=$1 dir=$2 nodes=${3:-2}
export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$dir/slurm.conf

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

configure() {
    local base=$((20000 + $$ % 10000)) p me names g
    while :; do # a controller port and one for each node, side by side
        for ((p = base; p <= base + nodes; p++)); do port_is_free "$p" || { base=$((p + 1)); continue 2; }; done
        break
    done
    me=$(id -un)
    names="nid[000001-$(printf %06d "$nodes")]"
    # cred_expire: also how long a requeued job waits before it may start again (default 120 s)
    cat >"$dir/slurm.conf" <<EOF
ClusterName=throwaway
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=$me
SlurmdUser=$me
SlurmctldPort=$base
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock,cred_expire=${SLURM_LOCAL_CRED_EXPIRE:-30}
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
MpiDefault=pmi2
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
MinJobAge=3600
NodeName=$names NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=[$((base + 1))-$((base + nodes))] \
    Sockets=4 CoresPerSocket=72 ThreadsPerCore=1 RealMemory=800000 Gres=gpu:4 State=UNKNOWN
PartitionName=normal Nodes=ALL Default=YES MaxTime=12:00:00 State=UP
EOF
    # CUDA_VISIBLE_DEVICES is the minor number of a device; without the right to make one there is a file, and no number
    for g in 0 1 2 3; do mknod "$dir/gpu$g" c 240 "$g" 2>/dev/null || : >"$dir/gpu$g"; done
    echo "NodeName=$names Name=gpu File=$dir/gpu[0-3]" >"$dir/gres.conf"
    # nothing here uses cgroups, but slurmd loads a plugin and stops if it finds no mounted hierarchy; newer ones can do
    # without, and in older ones the v1 plugin looks at nothing until it is used
    case $(slurmd -V) in
    *' 2'[0-3].*) echo 'CgroupPlugin=cgroup/v1' ;;
    *) echo 'CgroupPlugin=disabled' ;;
    esac >"$dir/cgroup.conf"
}

start() {
    local i name
    for name in munged slurmctld slurmd sbatch; do
        command -v "$name" >/dev/null || { echo "slurm-local: $name not found (Debian: slurm-wlm munge)" >&2; return 3; }
    done
    mkdir -p "$dir/state" || return 1
    chmod 755 "$dir"
    (umask 077; head -c 1024 /dev/urandom >"$dir/munge.key")
    configure
    munged --force --key-file="$dir/munge.key" --socket="$dir/munge.sock" --pid-file="$dir/munged.pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munged.seed" >"$dir/start.log" 2>&1 || return 1
    slurmctld -c >>"$dir/start.log" 2>&1 || return 1
    for ((i = 1; i <= nodes; i++)); do
        name=$(printf nid%06d "$i")
        mkdir -p "$dir/spool-$name"
        slurmd -N "$name" >>"$dir/start.log" 2>&1 || return 1
    done
    for ((i = 0; i < 120; i++)); do
        [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | sort -u | wc -l)" = "$nodes" ] && return 0
        sleep 0.5
    done
    return 1
}

lose() { # daemons have the node's log open, their children have its name
    local p pids=()
    for p in $(pgrep -u "$(id -u)"); do
        if [ -n "$(find "/proc/$p/fd" -lname "$dir/slurmd-$1.log" 2>/dev/null)" ]; then
            pids+=("$p")
        elif grep -qzx "SLURMD_NODENAME=$1" "/proc/$p/environ" 2>/dev/null; then
            ! grep -qzx "SLURM_CONF=$SLURM_CONF" "/proc/$p/environ" 2>/dev/null || pids+=("$p")
        fi
    done
    [ ${#pids[@]} = 0 ] && return 0
    kill -STOP "${pids[@]}" 2>/dev/null # all at once: otherwise whatever watches an srun would cancel its step
    kill -KILL "${pids[@]}" 2>/dev/null
}

gain() {
    local i
    rm -f "$dir/slurmd-$1.pid"
    for ((i = 0; i < 20; i++)); do # its port may not be free yet
        slurmd -N "$1" >>"$dir/start.log" 2>&1 && return 0
        sleep 0.5
    done
    return 1
}

stop() {
    local f pids=()
    for f in "$dir"/slurmd-*.pid "$dir/slurmctld.pid" "$dir/munged.pid"; do
        [ -s "$f" ] && pids+=("$(cat "$f")")
    done
    for f in "${pids[@]}"; do kill "$f" 2>/dev/null; done
    for ((i = 0; i < 40; i++)); do kill -0 "${pids[@]}" 2>/dev/null || break; sleep 0.25; done
    for f in $(pgrep -u "$(id -u)"); do # jobs that a test left, or that ran on when their node was lost
        grep -qzx "SLURM_CONF=$SLURM_CONF" "/proc/$f/environ" 2>/dev/null || continue
        if grep -qz '^SLURM_JOB_ID=' "/proc/$f/environ" || grep -qx slurmstepd "/proc/$f/comm"; then kill -KILL "$f"; fi 2>/dev/null
    done
    rm -rf "$dir"
}

case $command in
start) start ;;
lose) lose "${3:?}" ;;
gain) gain "${3:?}" ;;
stop) stop ;;
logs) tail -n 15 "$dir"/*.log ;;
*) usage ;;
esac
