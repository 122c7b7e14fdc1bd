/* The communicator over NCCL. Each group has an NCCL communicator, whose id travels by MPI. Sums and receives
 * are queued among the backend's work, but sums that are started and waited for have their own stream. Sends
 * must not wait there either: a stage may send forwards and only then receive backwards what its neighbour
 * sends before it receives, and NCCL holds a sender until the receiver is there. So each direction between
 * two ranks has a communicator and, at the sender, a stream of its own. */
#include "train/cuda.h"
#include "base/clock.h"
#include "io/mpx_comm.h"
#include "train/cuda_check.h"

#include <cuda_runtime.h>
#include <nccl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TAG = 2,
    PATIENCE_S = 5, /* for ranks that may be waiting in NCCL for one that has failed there */
    WIRES = 24      /* a device has 32 queues; some are for the backend's stream, sums, and NCCL's own */
};

struct group {
    ncclComm_t nccl;
    struct group *next;
};

struct nccl_wire { /* with one other rank */
    int peer;
    ncclComm_t out, in;
    cudaStream_t stream; /* of what is sent */
    struct nccl_wire *next;
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
    void *probe;    /* one float, for the first message and the first sum */
    struct err why; /* code other than 0: the first failure; nothing more is made */
    struct group *groups;
    struct nccl_wire *links;
    struct done *idle;
};

static void check_nccl(ncclResult_t r, const char *what) {
    if (r != ncclSuccess) die("NCCL: %s: %s", what, ncclGetErrorString(r));
}
#define CHECK_NCCL(call) check_nccl(call, #call)

static ncclDataType_t type_of(enum elem t) {
    return t == ELEM_F64 ? ncclFloat64 : t == ELEM_F32 ? ncclFloat32 : ncclBfloat16;
}

/* ---- a peer that is gone ---- */

static void look(ncclComm_t c) {
    ncclResult_t state;
    if (!c) return;
    CHECK_NCCL(ncclCommGetAsyncError(c, &state));
    if (state != ncclSuccess && state != ncclInProgress) die("NCCL: a peer is gone: %s", ncclGetLastError(c));
}

static void poll(void *own) {
    const struct nccl *n = own;
    for (const struct group *g = n->groups; g; g = g->next) look(g->nccl);
    for (const struct nccl_wire *l = n->links; l; l = l->next) {
        look(l->out);
        look(l->in);
    }
}

/* ---- beside the backend's work: starts once the work queued so far is done, and is waited for ---- */

static void after_work(const struct nccl *x, cudaStream_t stream) {
    CHECK(cudaEventRecord(x->ready, x->stream));
    CHECK(cudaStreamWaitEvent(stream, x->ready, 0));
}

static void end_in(struct nccl *x, cudaStream_t stream, struct pending *p) {
    struct done *d = x->idle;
    if (d) {
        x->idle = d->next;
    } else {
        if (!(d = calloc(1, sizeof *d))) die("NCCL: out of memory: an event");
        CHECK(cudaEventCreateWithFlags(&d->event, cudaEventDisableTiming));
    }
    CHECK(cudaEventRecord(d->event, stream));
    p->request = d;
}

/* ---- setting up: a rank that fails goes on, so that the others learn of it from MPI ---- */

/* Whether something could be made; keeps the first failure. */
static bool made(struct nccl *x, bool good, bool memory, const char *what, const char *why) {
    int rank = 0;
    if (good) return true;
    if (x->mpi != MPI_COMM_NULL) MPI_Comm_rank(x->mpi, &rank);
    if (x->why.code) return false;
    if (memory)
        err_set(&x->why, EXIT_NOPLAN, "out of memory: %s on rank %d: %s", what, rank, why);
    else
        err_set(&x->why, EXIT_INTERNAL, "comm nccl: %s on rank %d: %s", what, rank, why);
    return false;
}

static bool made_cuda(struct nccl *x, cudaError_t r, const char *what) {
    return made(x, r == cudaSuccess, r == cudaErrorMemoryAllocation, what, cudaGetErrorString(r));
}

/* NCCL has no separate status for a full device. */
static bool made_nccl(struct nccl *x, ncclResult_t r, const char *what) {
    const char *last = r == ncclSuccess ? "" : ncclGetLastError(NULL);
    return made(x, r == ncclSuccess, strstr(last, "out of memory"), what,
                *last ? last : ncclGetErrorString(r));
}

/* The smallest `who` of all members. After a call of NCCL the others may be waiting in it for a rank that has
 * failed, which cannot tell them: it ends the job. Communicators that do not block would let all of them look
 * at MPI meanwhile, but with these NCCL starts a thread for every sum and message of every step. */
static int smallest(const struct nccl *x, MPI_Comm members, int who, bool after_nccl) {
    MPI_Request all;
    int first, done = 0;
    double end_s = now_s() + PATIENCE_S;
    MPI_Iallreduce(&who, &first, 1, MPI_INT, MPI_MIN, members, &all);
    while (after_nccl && x->why.code && !done) {
        MPI_Test(&all, &done, MPI_STATUS_IGNORE);
        if (!done && now_s() > end_s) die("%s; others wait for it in NCCL", x->why.text);
        if (!done) nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
    if (!done) MPI_Wait(&all, MPI_STATUS_IGNORE);
    return first;
}

/* Is every member well? Otherwise all get the error of one that is not, preferably a cause, not a
 * consequence. */
static bool all_well(struct nccl *x, MPI_Comm members, bool after_nccl) {
    int rank, n, who, first;
    MPI_Comm_rank(members, &rank);
    MPI_Comm_size(members, &n);
    who = !x->why.code ? 2 * n : x->why.code == EXIT_INTERNAL ? n + rank : rank;
    first = smallest(x, members, who, after_nccl);
    if (first == 2 * n) return true;
    MPI_Bcast(&x->why, (int)sizeof x->why, MPI_BYTE, first % n, members);
    return false;
}

/* A communicator of NCCL in which this rank is `rank`; NULL where one of the members has failed. */
static ncclComm_t join(struct nccl *x, MPI_Comm members, int rank) {
    ncclUniqueId id;
    ncclComm_t c = NULL;
    int mine, n;
    if (!all_well(x, members, false)) return NULL;
    MPI_Comm_rank(members, &mine);
    MPI_Comm_size(members, &n);
    if (mine == 0) CHECK_NCCL(ncclGetUniqueId(&id));
    MPI_Bcast(&id, (int)sizeof id, MPI_BYTE, 0, members);
    if (!made_nccl(x, ncclCommInitRank(&c, n, id, rank), "ncclCommInitRank")) c = NULL;
    if (all_well(x, members, true)) return c;
    if (c) ncclCommAbort(c);
    return NULL;
}

static MPI_Comm members_of(const struct nccl *x, const int *ranks, int n) {
    MPI_Group some;
    MPI_Comm members;
    MPI_Group_incl(x->all, n, ranks, &some);
    MPI_Comm_create_group(x->mpi, some, TAG, &members);
    MPI_Group_free(&some);
    return members;
}

static int nccl_ready(const struct comm *c, struct err *e) {
    const struct nccl *x = c->own;
    if (!x->why.code) return 0;
    *e = x->why;
    return -1;
}

/* ---- groups ---- */

static struct group *nccl_group(struct comm *c, const int *ranks, int n, struct arena *a) {
    struct nccl *x = c->own;
    struct group *g = ARENA_NEW(a, struct group);
    MPI_Comm members = members_of(x, ranks, n);
    int rank;
    MPI_Comm_rank(members, &rank);
    if ((g->nccl = join(x, members, rank))) {
        g->next = x->groups;
        x->groups = g;
        /* memory that the first sum would need is taken now */
        if (made_nccl(x, ncclAllReduce(x->probe, x->probe, 1, ncclFloat, ncclSum, g->nccl, x->stream),
                      "the first sum"))
            x->backend->sync(x->backend);
        all_well(x, members, true);
    }
    MPI_Comm_free(&members);
    return g;
}

static void nccl_sum(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    const struct nccl *x = c->own;
    CHECK_NCCL(ncclAllReduce(buffer, buffer, n, type_of(t), ncclSum, g->nccl, x->stream));
}

static void nccl_max(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    const struct nccl *x = c->own;
    CHECK_NCCL(ncclAllReduce(buffer, buffer, n, type_of(t), ncclMax, g->nccl, x->stream));
}

static void nccl_spread(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t, int from) {
    const struct nccl *x = c->own;
    CHECK_NCCL(ncclBroadcast(buffer, buffer, n, type_of(t), from, g->nccl, x->stream));
}

/* All of them in one stream: the ranks of a group start theirs in the same order. */
static void nccl_sum_start(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t,
                           struct pending *p) {
    struct nccl *x = c->own;
    after_work(x, x->sums);
    CHECK_NCCL(ncclAllReduce(buffer, buffer, n, type_of(t), ncclSum, g->nccl, x->sums));
    end_in(x, x->sums, p);
}

/* ---- messages ---- */

/* One direction; `rank` 0 sends, 1 receives. NCCL connects two ranks at their first message, and both hosts
 * wait for it: later, in the middle of a step, two of them could wait for each other. */
static void direction(struct nccl *x, ncclComm_t *c, MPI_Comm members, int rank) {
    if (!(*c = join(x, members, rank))) return;
    if (made_nccl(x,
                  rank ? ncclRecv(x->probe, 1, ncclFloat, 0, *c, x->stream)
                       : ncclSend(x->probe, 1, ncclFloat, 1, *c, x->stream),
                  "the first message"))
        x->backend->sync(x->backend);
    all_well(x, members, true);
}

/* Peers ascend: both ranks of the first pair not yet connected, by lower and then by higher rank, are working
 * on it, so no rank waits forever. */
static void nccl_connect(struct comm *c, const int *peers, int n) {
    struct nccl *x = c->own;
    if (n > WIRES && !x->why.code)
        err_set(&x->why, EXIT_INPUT,
                "comm nccl: rank %d exchanges messages with %d others; expected at most %d, or --comm mpi",
                c->rank, n, WIRES);
    for (int i = 0; i < n; i++) {
        struct nccl_wire *l = calloc(1, sizeof *l);
        if (!l) die("NCCL: out of memory: a connection");
        bool lower = c->rank < peers[i];
        MPI_Comm members = members_of(x, (int[]){lower ? c->rank : peers[i], lower ? peers[i] : c->rank}, 2);
        l->peer = peers[i];
        l->next = x->links;
        x->links = l;
        made_cuda(x, cudaStreamCreateWithFlags(&l->stream, cudaStreamNonBlocking), "a stream");
        direction(x, lower ? &l->out : &l->in, members, !lower);
        direction(x, lower ? &l->in : &l->out, members, lower);
        MPI_Comm_free(&members);
    }
}

static struct nccl_wire *wire_to(const struct nccl *x, int peer) {
    struct nccl_wire *l = x->links;
    while (l && l->peer != peer) l = l->next;
    if (!l) die("NCCL: no connection to rank %d", peer);
    return l;
}

static void nccl_send(struct comm *c, const void *buffer, size_t n, enum elem t, int to, struct pending *p) {
    struct nccl *x = c->own;
    struct nccl_wire *w = wire_to(x, to);
    after_work(x, w->stream);
    CHECK_NCCL(ncclSend(buffer, n, type_of(t), 1, w->out, w->stream));
    end_in(x, w->stream, p);
}

/* The device waits, not the host. */
static void nccl_wait(struct comm *c, struct pending *p) {
    struct nccl *x = c->own;
    struct done *d = p->request;
    if (!d) return;
    CHECK(cudaStreamWaitEvent(x->stream, d->event, 0));
    d->next = x->idle;
    x->idle = d;
    p->request = NULL;
}

static void nccl_recv(struct comm *c, void *buffer, size_t n, enum elem t, int from) {
    const struct nccl *x = c->own;
    CHECK_NCCL(ncclRecv(buffer, n, type_of(t), 0, wire_to(x, from)->in, x->stream));
}

/* After a failure, others may never get this far: abort instead of waiting for them. */
static void leave(const struct nccl *x, ncclComm_t c) {
    if (!c) return;
    if (x->why.code)
        ncclCommAbort(c);
    else
        ncclCommDestroy(c);
}

static void nccl_close(struct comm *c) {
    struct nccl *x = c->own;
    if (!x) return;
    if (!x->why.code) x->backend->sync(x->backend);
    backend_cuda_poll(x->backend, NULL, NULL);
    for (struct nccl_wire *l = x->links, *next; l; l = next) {
        next = l->next;
        if (!x->why.code) cudaStreamSynchronize(l->stream);
        /* both ends take the two directions in the same order */
        leave(x, c->rank < l->peer ? l->out : l->in);
        leave(x, c->rank < l->peer ? l->in : l->out);
        if (l->stream) cudaStreamDestroy(l->stream);
        free(l);
    }
    for (struct group *g = x->groups; g; g = g->next) leave(x, g->nccl);
    for (struct done *d = x->idle, *next; d; d = next) {
        next = d->next;
        cudaEventDestroy(d->event);
        free(d);
    }
    if (x->sums) cudaStreamDestroy(x->sums);
    if (x->ready) cudaEventDestroy(x->ready);
    if (x->probe) cudaFree(x->probe);
    if (x->mpi != MPI_COMM_NULL) {
        MPI_Group_free(&x->all);
        MPI_Comm_free(&x->mpi);
    }
    free(x);
    c->own = NULL;
}

int comm_nccl_open(struct comm *c, const struct mpx_comm *world, struct backend *b, struct err *e) {
    struct nccl *x = calloc(1, sizeof *x);
    if (!x) die("out of memory: NCCL");
    x->backend = b;
    x->stream = backend_cuda_stream(b);
    x->mpi = MPI_COMM_NULL;
    *c = (struct comm){.name = "nccl",
                       .size = 1,
                       .own = x,
                       .connect = nccl_connect,
                       .ready = nccl_ready,
                       .sum_start = nccl_sum_start,
                       COMM_OPERATIONS(nccl)};
    if (world) { /* first of all: it is collective, and what follows may fail on one rank alone */
        MPI_Comm_dup(world->mpi, &x->mpi);
        MPI_Comm_group(x->mpi, &x->all);
        MPI_Comm_rank(x->mpi, &c->rank);
        MPI_Comm_size(x->mpi, &c->size);
    }
    /* make all connections with the group: they take memory before the ledger looks at the device */
    setenv("NCCL_RUNTIME_CONNECT", "0", 0);
    if (made_cuda(x, cudaEventCreateWithFlags(&x->ready, cudaEventDisableTiming), "an event") &&
        made_cuda(x, cudaStreamCreateWithFlags(&x->sums, cudaStreamNonBlocking), "a stream") &&
        made_cuda(x, cudaMalloc(&x->probe, sizeof(float)), "a buffer"))
        CHECK(cudaMemsetAsync(x->probe, 0, sizeof(float), x->stream));
    backend_cuda_poll(b, poll, x);
    return nccl_ready(c, e);
}
