/* The communicator over NCCL. Groups have a communicator of NCCL each, whose id is told by MPI. Sums and
 * receptions are queued among the backend's work, but for sums that are started and waited for: those have a
 * stream of their own. What is sent does not wait there either: a stage may send forwards and only
 * then receive backwards what its neighbour sends before it receives, and NCCL holds a sender until the
 * receiver is there. So each direction between two ranks has a communicator, and at the sender a stream, of
 * its own. */
#include "train/cuda.h"

#include <cuda_runtime.h>
#include <mpi.h>
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG = 2 };

struct group {
    ncclComm_t nccl;
    struct group *next;
};

struct wire { /* with one other rank */
    int peer;
    ncclComm_t out, in;
    cudaStream_t stream; /* of what is sent */
    struct wire *next;
};

struct done { /* an event, kept for the next message or sum */
    cudaEvent_t event;
    struct done *next;
};

struct nccl {
    MPI_Comm mpi;
    MPI_Group all;
    struct backend *backend;
    cudaStream_t stream, sums; /* the backend's; that of sums beside its work */
    cudaEvent_t ready;
    struct group *groups;
    struct wire *links;
    struct done *idle;
};

static void fail(const char *what, const char *why) {
    fprintf(stderr, "sailor-train: error: NCCL: %s: %s\n", what, why);
    exit(EXIT_INTERNAL); /* MPI's guard ends the job */
}
static void check(ncclResult_t r, const char *what) {
    if (r != ncclSuccess) fail(what, ncclGetErrorString(r));
}
static void check_cuda(cudaError_t r, const char *what) {
    if (r != cudaSuccess) fail(what, cudaGetErrorString(r));
}
#define CHECK(call) check(call, #call)
#define CHECK_CUDA(call) check_cuda(call, #call)

static ncclDataType_t type_of(enum elem t) {
    return t == ELEM_F64 ? ncclFloat64 : t == ELEM_F32 ? ncclFloat32 : ncclBfloat16;
}

/* ---- a peer that is gone ---- */

static void look(ncclComm_t c) {
    ncclResult_t state;
    if (!c) return;
    CHECK(ncclCommGetAsyncError(c, &state));
    if (state != ncclSuccess && state != ncclInProgress) fail("a peer is gone", ncclGetLastError(c));
}

static void poll(void *own) {
    const struct nccl *n = own;
    for (const struct group *g = n->groups; g; g = g->next) look(g->nccl);
    for (const struct wire *l = n->links; l; l = l->next) look(l->out), look(l->in);
}

/* ---- what goes on beside the backend's work: it begins when that has come so far, and is waited for ---- */

static void after_work(const struct nccl *x, cudaStream_t stream) {
    CHECK_CUDA(cudaEventRecord(x->ready, x->stream));
    CHECK_CUDA(cudaStreamWaitEvent(stream, x->ready, 0));
}

static void end_in(struct nccl *x, cudaStream_t stream, struct pending *p) {
    struct done *d = x->idle;
    if (d) {
        x->idle = d->next;
    } else {
        if (!(d = calloc(1, sizeof *d))) fail("event", "out of memory");
        CHECK_CUDA(cudaEventCreateWithFlags(&d->event, cudaEventDisableTiming));
    }
    CHECK_CUDA(cudaEventRecord(d->event, stream));
    p->request = d;
}

/* ---- groups ---- */

static struct group *nccl_group(struct comm *c, const int *ranks, int n, struct arena *a) {
    struct nccl *x = c->own;
    struct group *g = ARENA_NEW(a, struct group);
    MPI_Group some;
    MPI_Comm members;
    ncclUniqueId id;
    int rank;
    MPI_Group_incl(x->all, n, ranks, &some);
    MPI_Comm_create_group(x->mpi, some, TAG, &members);
    MPI_Comm_rank(members, &rank);
    if (rank == 0) CHECK(ncclGetUniqueId(&id));
    MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, members);
    CHECK(ncclCommInitRank(&g->nccl, n, id, rank));
    MPI_Comm_free(&members);
    MPI_Group_free(&some);
    g->next = x->groups;
    x->groups = g;
    return g;
}

static void nccl_sum(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    const struct nccl *x = c->own;
    CHECK(ncclAllReduce(buffer, buffer, n, type_of(t), ncclSum, g->nccl, x->stream));
}

static void nccl_max(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    const struct nccl *x = c->own;
    CHECK(ncclAllReduce(buffer, buffer, n, type_of(t), ncclMax, g->nccl, x->stream));
}

/* All of them in one stream: the ranks of a group start theirs in the same order. */
static void nccl_sum_start(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t,
                           struct pending *p) {
    struct nccl *x = c->own;
    after_work(x, x->sums);
    CHECK(ncclAllReduce(buffer, buffer, n, type_of(t), ncclSum, g->nccl, x->sums));
    end_in(x, x->sums, p);
}

/* ---- messages ---- */

/* One direction; `rank` 0 sends, 1 receives. The lower rank of the two makes up the id. */
static ncclComm_t direction(const struct nccl *x, int peer, bool lower, int rank) {
    ncclUniqueId id;
    ncclComm_t c;
    if (lower) {
        CHECK(ncclGetUniqueId(&id));
        MPI_Send(&id, sizeof id, MPI_BYTE, peer, TAG, x->mpi);
    } else {
        MPI_Recv(&id, sizeof id, MPI_BYTE, peer, TAG, x->mpi, MPI_STATUS_IGNORE);
    }
    CHECK(ncclCommInitRank(&c, 2, id, rank));
    return c;
}

/* Peers ascend: of all pairs that are not yet connected, the first by lower and then by higher rank has both
 * its ranks at it, so nobody waits for ever. */
static void nccl_connect(struct comm *c, const int *peers, int n) {
    struct nccl *x = c->own;
    for (int i = 0; i < n; i++) {
        struct wire *l = calloc(1, sizeof *l);
        if (!l) fail("connect", "out of memory");
        bool lower = c->rank < peers[i];
        l->peer = peers[i];
        if (lower) l->out = direction(x, l->peer, lower, 0);
        l->in = direction(x, l->peer, lower, 1);
        if (!lower) l->out = direction(x, l->peer, lower, 0);
        CHECK_CUDA(cudaStreamCreateWithFlags(&l->stream, cudaStreamNonBlocking));
        l->next = x->links;
        x->links = l;
    }
}

static struct wire *wire_to(const struct nccl *x, int peer) {
    struct wire *l = x->links;
    while (l && l->peer != peer) l = l->next;
    if (!l) fail("message", "to a rank that is not connected");
    return l;
}

static void nccl_send(struct comm *c, const void *buffer, size_t n, enum elem t, int to, struct pending *p) {
    struct nccl *x = c->own;
    struct wire *w = wire_to(x, to);
    after_work(x, w->stream);
    CHECK(ncclSend(buffer, n, type_of(t), 1, w->out, w->stream));
    end_in(x, w->stream, p);
}

/* The device waits, not the host. */
static void nccl_wait(struct comm *c, struct pending *p) {
    struct nccl *x = c->own;
    struct done *d = p->request;
    if (!d) return;
    CHECK_CUDA(cudaStreamWaitEvent(x->stream, d->event, 0));
    d->next = x->idle;
    x->idle = d;
    p->request = NULL;
}

static void nccl_recv(struct comm *c, void *buffer, size_t n, enum elem t, int from) {
    const struct nccl *x = c->own;
    CHECK(ncclRecv(buffer, n, type_of(t), 0, wire_to(x, from)->in, x->stream));
}

static void nccl_close(struct comm *c) {
    struct nccl *x = c->own;
    if (!x) return;
    x->backend->sync(x->backend);
    backend_cuda_poll(x->backend, NULL, NULL);
    for (struct wire *l = x->links, *next; l; l = next) {
        next = l->next;
        cudaStreamSynchronize(l->stream);
        /* both ends take the two directions in the same order */
        ncclCommDestroy(c->rank < l->peer ? l->out : l->in);
        ncclCommDestroy(c->rank < l->peer ? l->in : l->out);
        cudaStreamDestroy(l->stream);
        free(l);
    }
    for (struct group *g = x->groups; g; g = g->next) ncclCommDestroy(g->nccl);
    for (struct done *d = x->idle, *next; d; d = next) {
        next = d->next;
        cudaEventDestroy(d->event);
        free(d);
    }
    cudaStreamDestroy(x->sums);
    cudaEventDestroy(x->ready);
    if (x->mpi != MPI_COMM_NULL) {
        MPI_Group_free(&x->all);
        MPI_Comm_free(&x->mpi);
    }
    free(x);
    c->own = NULL;
}

int comm_nccl_open(struct comm *c, void *mpi_comm, struct backend *b, struct err *e) {
    struct nccl *x = calloc(1, sizeof *x);
    if (!x) return err_set(e, EXIT_INTERNAL, "out of memory");
    x->backend = b, x->stream = backend_cuda_stream(b), x->mpi = MPI_COMM_NULL;
    *c = (struct comm){.name = "nccl",
                       .size = 1,
                       .own = x,
                       .group = nccl_group,
                       .connect = nccl_connect,
                       .sum = nccl_sum,
                       .max = nccl_max,
                       .sum_start = nccl_sum_start,
                       .send = nccl_send,
                       .recv = nccl_recv,
                       .wait = nccl_wait,
                       .close = nccl_close};
    if (cudaEventCreateWithFlags(&x->ready, cudaEventDisableTiming) != cudaSuccess ||
        cudaStreamCreateWithFlags(&x->sums, cudaStreamNonBlocking) != cudaSuccess)
        return err_set(e, EXIT_INTERNAL, "comm nccl: %s", cudaGetErrorString(cudaGetLastError()));
    backend_cuda_poll(b, poll, x);
    if (!mpi_comm) return 0;
    MPI_Comm_dup(*(MPI_Comm *)mpi_comm, &x->mpi);
    MPI_Comm_group(x->mpi, &x->all);
    MPI_Comm_rank(x->mpi, &c->rank);
    MPI_Comm_size(x->mpi, &c->size);
    return 0;
}
