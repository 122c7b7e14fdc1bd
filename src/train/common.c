#include "io/mpx_comm.h"
#include "base/oom.h"
#include "train/cmd.h"
#include "io/program.h"
#include "train/cuda_load.h"
#include "train/watch.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const train_backends[] = {"cpu", "cuda", NULL};
const char *const train_comms[] = {"mpi", "nccl", NULL};
const char *const train_dtypes[] = {"fp32", "bf16", NULL};

enum elem train_elem(int dtype) { return dtype ? ELEM_BF16 : ELEM_F32; }

/* The lowest rank with which another one shares a device, or -1. */
static int sharing(const struct mpx *m, struct backend *b) {
    enum { NAME = 192 };
    char mine[NAME] = "", host[64] = "";
    int found = -1;
    if (!m->comm || b->host) return -1;
    char *all = oom_calloc((size_t)m->size, NAME);
    gethostname(host, sizeof host - 1);
    snprintf(mine, sizeof mine, "%s %.120s", host, b->device);
    MPI_Allgather(mine, NAME, MPI_BYTE, all, NAME, MPI_BYTE, m->comm->mpi);
    for (int i = m->size - 1; i >= 0; i--)
        for (int k = 0; k < m->size; k++)
            if (i != k && !strcmp(all + i * NAME, all + k * NAME)) {
                found = i;
                b->shared |= i == m->rank;
            }
    free(all);
    return found;
}

int train_open(const struct mpx *m, struct train_choice o, struct backend *b, struct comm *c, struct err *e) {
    struct cuda_functions cuda = {0};
    bool gpu = o.backend == BACKEND_CUDA;
    int rc = 0;
    if (o.comm == COMM_NCCL && !gpu)
        return err_set(e, EXIT_INPUT, "--comm nccl: with backend %s; expected --backend cuda",
                       train_backends[o.backend]);
    if (gpu)
        rc = cuda_load(NULL, &cuda, e) || cuda.backend_open(b, o.elem, m->node_rank, e) ? -1 : 0;
    else
        rc = (o.elem == ELEM_BF16 ? backend_cpu_bf16_open
                                  : backend_cpu_open)(b, o.threads ? o.threads : mpx_threads(m), e);
    if (mpx_agree(m, rc, e)) return -1;
    int shared = sharing(m, b);
    if (o.comm == COMM_NCCL && !cuda.comm_open)
        return err_set(e, EXIT_INPUT, "--comm nccl: not in this build; expected mpi");
    if (o.comm == COMM_NCCL && shared >= 0)
        return err_set(e, EXIT_INPUT,
                       "--comm nccl: rank %d and another one share a GPU; expected one GPU per rank, or mpi",
                       shared);
    if (o.comm == COMM_NCCL || (o.comm == COMM_DEFAULT && cuda.comm_open && shared < 0 && m->size > 1))
        return mpx_agree(m, cuda.comm_open(c, m->comm, b, e), e) ? c->close(c), b->close(b), -1 : 0;
    comm_mpi_open(c, m->comm);
    if (!b->host) comm_stage(c, b);
    return 0;
}

int train_command(const struct opt_command *c, struct mpx *m,
                  int (*work)(void *ctx, struct arena *a, struct err *e), void *ctx, struct arena *a) {
    struct err e;
    int status = EXIT_OK;
    watch_begin();
    if (mpx_start(m, &e) || work(ctx, a, &e)) {
        status = e.code;
        if (m->rank == 0) program_fail(c, &e);
    }
    arena_free(a);
    watch_end();
    mpx_finish(m);
    return status;
}
