# shellcheck shell=bash
# Clariden (CSCS Alps, GH200 nodes: 4 x 72 cores). Source it before sbatch; the job sources it again on its first node.
# Facts: https://docs.cscs.ch (uenv and Slurm, cray-mpich, Clariden). The planner uses the CPUs only.
export SAILOR_SITE=clariden
[ -n "${SLURM_JOB_ID:-}" ] || export SBATCH_ACCOUNT="${SBATCH_ACCOUNT:?set SBATCH_ACCOUNT to your project}"
# compiler, cray-mpich and parallel HDF5; sbatch reads these two, so that the script names no site
export SBATCH_UENV=${SBATCH_UENV:-prgenv-gnu/25.11:v1} SBATCH_UENV_VIEW=${SBATCH_UENV_VIEW:-default}
export SAILOR_OUT=${SAILOR_OUT:-/capstor/scratch/cscs/$USER/sailor} # files there are deleted after 30 days
export OMP_PLACES=cores OMP_PROC_BIND=close                         # safe: srun gives each rank its own cores
export MPICH_GPU_SUPPORT_ENABLED=0                                  # no GPU buffers: do not look for GPUs
export FI_MR_CACHE_MONITOR=userfaultfd                              # cray-mpich: the default one may hang at scale
