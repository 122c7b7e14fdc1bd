# shellcheck shell=bash
# Clariden (CSCS Alps, GH200 nodes: 4 modules of 72 cores and a GPU). Source it before sbatch; the job sources it again on
# its first node. Sources: https://docs.cscs.ch (uenv and Slurm, cray-mpich, NCCL, Clariden).
# Partitions (August 2026): normal, up to 12 hours; debug, up to 4 nodes and 90 node-minutes a job, one job running and one
# waiting; low, 24 hours, for some projects. Nodes are not shared. SBATCH_PARTITION, or sbatch --partition, chooses.
export SAILOR_SITE=clariden
SAILOR_HOME=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/../.." && pwd) # the tree of this file, wherever jobs are submitted
export SAILOR_HOME
[ -n "${SLURM_JOB_ID:-}" ] || export SBATCH_ACCOUNT="${SBATCH_ACCOUNT:?set SBATCH_ACCOUNT to your project}"
# compiler, cray-mpich, parallel HDF5, CUDA and NCCL; sbatch reads these, so that the scripts name no site
export SBATCH_UENV=${SBATCH_UENV:-prgenv-gnu/25.11:v1} SBATCH_UENV_VIEW=${SBATCH_UENV_VIEW:-default}
export SBATCH_GPUS_PER_TASK=1                                       # without this all ranks of a node use its first GPU
export SAILOR_OUT=${SAILOR_OUT:-/capstor/scratch/cscs/$USER/sailor} # files there are deleted after 30 days
export SAILOR_PLACE=${SAILOR_PLACE:-clariden/clariden/GH-96}        # site, zone and GPU type in inputs/
export SAILOR_BACKEND=${SAILOR_BACKEND:-cuda} SAILOR_COMM=${SAILOR_COMM:-nccl}
export SAILOR_MEMORY_GIB=${SAILOR_MEMORY_GIB:-88} # of each GPU, for profiles: 95.6 minus what driver and libraries take
export OMP_PLACES=cores OMP_PROC_BIND=close       # safe: srun gives each rank its own cores
export MPICH_GPU_SUPPORT_ENABLED=0                # NCCL moves GPU buffers; a GPU-aware MPI beside it can deadlock
export NCCL_NET="AWS Libfabric"                   # fail rather than fall back to TCP
export NCCL_NET_GDR_LEVEL=PHB NCCL_CROSS_NIC=1 NCCL_PROTO=^LL128
export FI_CXI_DEFAULT_CQ_SIZE=131072 FI_CXI_DEFAULT_TX_SIZE=16384 FI_CXI_DISABLE_HOST_REGISTER=1 FI_CXI_RX_MATCH_MODE=software
export FI_MR_CACHE_MONITOR=userfaultfd # the default one may hang at scale
