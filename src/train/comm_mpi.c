/* The communicator over MPI. Errors are fatal there (MPI_ERRORS_ARE_FATAL): every rank that takes part would
 * have to be told, and those that wait cannot be. */
#include "train/comm.h"
#include "base/oom.h"
#include "io/mpx_comm.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TAG = 1, PIECE = 1 << 28 }; /* MPI counts in int */

struct group {
    MPI_Comm comm;
    struct group *next;
};

struct mpi {
    MPI_Comm comm;
    MPI_Group all;
    struct group *groups; /* to be freed, latest first */
    MPI_Op bf16_sum, bf16_max;
    bool on;
};

static MPI_Datatype type_of(enum elem t) {
    return t == ELEM_F64 ? MPI_DOUBLE : t == ELEM_F32 ? MPI_FLOAT : MPI_UINT16_T; /* MPI knows no bf16 */
}

/* Each pair is added in floats and rounded: the same whichever comes first. */
static void bf16_sum(void *in, void *inout, int *n, MPI_Datatype *t) {
    const bf16 *x = in;
    bf16 *y = inout;
    (void)t;
    for (int i = 0; i < *n; i++) y[i] = bf16_round(bf16_value(x[i]) + bf16_value(y[i]));
}

static void bf16_max(void *in, void *inout, int *n, MPI_Datatype *t) {
    const bf16 *x = in;
    bf16 *y = inout;
    (void)t;
    for (int i = 0; i < *n; i++) y[i] = bf16_value(x[i]) > bf16_value(y[i]) ? x[i] : y[i];
}

static struct group *mpi_group(struct comm *c, const int *ranks, int n, struct arena *a) {
    struct mpi *m = c->own;
    struct group *g = ARENA_NEW(a, struct group);
    MPI_Group some;
    MPI_Group_incl(m->all, n, ranks, &some);
    MPI_Comm_create_group(m->comm, some, TAG, &g->comm);
    MPI_Group_free(&some);
    g->next = m->groups;
    m->groups = g;
    return g;
}

static void reduce(struct group *g, void *buffer, size_t n, enum elem t, MPI_Op op) {
    for (size_t at = 0; at < n; at += PIECE) {
        int part = n - at > PIECE ? PIECE : (int)(n - at);
        MPI_Allreduce(MPI_IN_PLACE, elem_at(buffer, at, t), part, type_of(t), op, g->comm);
    }
}

static void mpi_sum(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    const struct mpi *m = c->own;
    reduce(g, buffer, n, t, t == ELEM_BF16 ? m->bf16_sum : MPI_SUM);
}

static void mpi_max(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t) {
    const struct mpi *m = c->own;
    reduce(g, buffer, n, t, t == ELEM_BF16 ? m->bf16_max : MPI_MAX);
}

static void mpi_spread(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t, int from) {
    (void)c;
    for (size_t at = 0; at < n; at += PIECE)
        MPI_Bcast(elem_at(buffer, at, t), n - at > PIECE ? PIECE : (int)(n - at), type_of(t), from, g->comm);
}

/* Depending on the library, a request is an int or a pointer, and never zero: it fits into the pending
 * itself. */
static void keep(struct pending *p, MPI_Request request) {
    _Static_assert(sizeof request <= sizeof p->request, "a request does not fit into a pointer");
    p->request = NULL;
    memcpy(&p->request, &request, sizeof request);
}

static void mpi_sum_start(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t,
                          struct pending *p) {
    struct mpi *m = c->own;
    MPI_Request request;
    int there;
    MPI_Op op = t == ELEM_BF16 ? m->bf16_sum : MPI_SUM;
    assert(n <= INT_MAX);
    MPI_Iallreduce(MPI_IN_PLACE, buffer, (int)n, type_of(t), op, g->comm, &request);
    keep(p, request);
    /* most libraries move data only within calls: this call keeps pending sums moving */
    MPI_Iprobe(MPI_ANY_SOURCE, TAG, m->comm, &there, MPI_STATUS_IGNORE);
}

/* One activation has less than 2^31 elements: grid_make() sees to it. */
static void mpi_send(struct comm *c, const void *buffer, size_t n, enum elem t, int to, struct pending *p) {
    struct mpi *m = c->own;
    MPI_Request request;
    assert(n <= INT_MAX);
    MPI_Isend(buffer, (int)n, type_of(t), to, TAG, m->comm, &request);
    keep(p, request);
}

static void mpi_wait(struct comm *c, struct pending *p) {
    MPI_Request request;
    (void)c;
    if (!p->request) return;
    memcpy(&request, &p->request, sizeof request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    p->request = NULL;
}

static void mpi_recv(struct comm *c, void *buffer, size_t n, enum elem t, int from) {
    struct mpi *m = c->own;
    MPI_Recv(buffer, (int)n, type_of(t), from, TAG, m->comm, MPI_STATUS_IGNORE);
}

static void mpi_close(struct comm *c) {
    struct mpi *m = c->own;
    if (m && m->on) {
        for (struct group *g = m->groups; g; g = g->next) MPI_Comm_free(&g->comm);
        MPI_Op_free(&m->bf16_sum);
        MPI_Op_free(&m->bf16_max);
        MPI_Group_free(&m->all);
        MPI_Comm_free(&m->comm);
    }
    free(m);
    c->own = NULL;
}

void comm_mpi_open(struct comm *c, const struct mpx_comm *world) {
    struct mpi *m = oom_calloc(1, sizeof *m);
    *c = (struct comm){.name = "mpi", .size = 1, .own = m, .sum_start = mpi_sum_start, COMM_OPERATIONS(mpi)};
    if (!world) return;
    MPI_Comm_dup(world->mpi, &m->comm);
    MPI_Comm_group(m->comm, &m->all);
    MPI_Comm_rank(m->comm, &c->rank);
    MPI_Comm_size(m->comm, &c->size);
    MPI_Op_create(bf16_sum, 1, &m->bf16_sum);
    MPI_Op_create(bf16_max, 1, &m->bf16_max);
    m->on = true;
}
