/* The tasks of a round go round the nodes in turn. Those of a node are taken by whoever of its ranks is free:
 * a counter in their common memory says which is next, and no message has to be answered by somebody who
 * works. It is never set back: each thread takes one number too many from every round, so that all know where
 * the next round begins. */
#include "search/deal.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/oom.h"
#include "io/mpx_comm.h"

struct deal {
    MPI_Comm comm;
    int rank, size, threads;
    int nodes, node, node_threads; /* which of the nodes is this, and how many threads take its tasks */
    MPI_Win memory;                /* of the counter, unless it is one's own */
    long own, *counter;
    long first; /* the counter where the round begins */
    struct row_result *row;
    int room;
    double mark, every; /* processor time: since when, and how much, every rank has worked by itself */
    struct arena *a;
};

/* A counter for the ranks of a node. False: they have no memory in common. */
static bool share_counter(struct deal *d, MPI_Comm node) {
    MPI_Aint bytes;
    int unit, rank;
    MPI_Comm_rank(node, &rank);
    MPI_Comm_set_errhandler(node, MPI_ERRORS_RETURN);
    int bad = MPI_Win_allocate_shared(rank ? 0 : sizeof *d->counter, sizeof *d->counter, MPI_INFO_NULL, node,
                                      &d->counter, &d->memory) != MPI_SUCCESS;
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, d->comm);
    if (bad) return false;
    MPI_Win_shared_query(d->memory, 0, &bytes, &unit, &d->counter);
    if (rank == 0) __atomic_store_n(d->counter, 0, __ATOMIC_SEQ_CST);
    MPI_Barrier(node);
    return true;
}

/* Each rank is a node of its own if it has to be. */
static void find_node(struct deal *d) {
    MPI_Comm node;
    int first;
    MPI_Comm_split_type(d->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    if (share_counter(d, node)) {
        MPI_Comm_rank(node, &first);
        MPI_Allreduce(MPI_IN_PLACE, &d->node_threads, 1, MPI_INT, MPI_SUM, node);
        int leads = first == 0;
        MPI_Scan(&leads, &d->node, 1, MPI_INT, MPI_SUM, d->comm);
        d->node--;
        MPI_Bcast(&d->node, 1, MPI_INT, 0, node);
        MPI_Allreduce(&leads, &d->nodes, 1, MPI_INT, MPI_SUM, d->comm);
    } else {
        d->counter = &d->own;
        d->memory = MPI_WIN_NULL;
        d->node = d->rank;
        d->nodes = d->size;
    }
    MPI_Comm_free(&node);
}

struct deal *deal_new(const struct mpx_comm *world, int threads, struct row_result *row, struct arena *a) {
    struct deal *d = oom_calloc(1, sizeof *d);
    *d = (struct deal){.size = 1,
                       .threads = threads,
                       .nodes = 1,
                       .node_threads = threads,
                       .memory = MPI_WIN_NULL,
                       .counter = &d->own,
                       .row = row,
                       .a = a};
    if (world) {
        d->comm = world->mpi;
        MPI_Comm_rank(d->comm, &d->rank);
        MPI_Comm_size(d->comm, &d->size);
        if (d->size > 1) find_node(d);
    }
    d->mark = process_cpu_s();
    return d;
}

static void note(struct deal *d, int round, enum task_kind kind, double seconds) {
    struct row_result *row = d->row;
    if (row->n_task >= d->room) {
        d->room = row->n_task < 16 ? 32 : 2 * row->n_task;
        struct task_result *more = ARENA_ARRAY(d->a, struct task_result, d->room);
        if (row->n_task) memcpy(more, row->task, sizeof *more * (size_t)row->n_task);
        row->task = more;
    }
    row->task[row->n_task++] = (struct task_result){round, kind, seconds};
}

static int next_round(const struct row_result *row) {
    return row->n_task ? row->task[row->n_task - 1].round + 1 : 0;
}

static void note_every(struct deal *d) {
    const double LITTLE = 1e-3;
    if (d->every < LITTLE) return;
    note(d, next_round(d->row), TASK_EVERY, d->every);
    d->every = 0;
}

/* What takes no time worth dealing counts as if every rank did it; very small tasks are put together. */
static void record(struct deal *d, enum task_kind kind, const double *seconds, int n) {
    const double SHORT = 10e-3, LITTLE = 1e-3;
    double sum = 0, small = 0;
    for (int i = 0; i < n; i++) sum += seconds[i];
    if (sum < SHORT) {
        d->every += sum;
        return;
    }
    note_every(d);
    int round = next_round(d->row);
    for (int i = 0; i < n; i++) {
        small += seconds[i];
        if (small < LITTLE && i + 1 < n) continue;
        note(d, round, kind, small);
        small = 0;
    }
}

void deal_free(struct deal *d) {
    d->every += process_cpu_s() - d->mark;
    note_every(d);
    if (d->memory != MPI_WIN_NULL) MPI_Win_free(&d->memory);
    free(d);
}

static long draw(struct deal *d) {
    long at = __atomic_fetch_add(d->counter, 1, __ATOMIC_SEQ_CST) - d->first;
    return at * d->nodes + d->node;
}

bool deal_tasks(struct deal *d, enum task_kind kind, int n, bool (*task)(void *ctx, int i), void *ctx,
                double *seconds) {
    double *took = oom_calloc((size_t)n + 1, sizeof *took), *stopped = &took[n];
    int team = 1;
    d->every += process_cpu_s() - d->mark;
#pragma omp parallel num_threads(d->threads)
    {
#pragma omp single nowait
        team = omp_get_num_threads();
        for (long i; (i = draw(d)) < n;) {
            double begun = thread_cpu_s();
            if (!task(ctx, (int)i)) {
#pragma omp atomic write
                *stopped = 1;
            }
            took[i] = thread_cpu_s() - begun;
        }
    }
    /* every thread has drawn one number too many, and OpenMP may have given fewer than were asked for */
    __atomic_fetch_add(d->counter, d->threads - team, __ATOMIC_SEQ_CST);
    d->first += (n - d->node + d->nodes - 1) / d->nodes + d->node_threads;
    if (d->size > 1) MPI_Allreduce(MPI_IN_PLACE, took, n + 1, MPI_DOUBLE, MPI_SUM, d->comm);
    d->mark = process_cpu_s();
    record(d, kind, took, n);
    if (seconds) memcpy(seconds, took, sizeof *took * (size_t)n);
    bool whole = *stopped == 0;
    free(took);
    return whole;
}

void deal_gather(struct deal *d, struct wire *b) {
    if (d->size == 1) return;
    int *count = oom_calloc((size_t)d->size * 2, sizeof *count), *at = count + d->size, n = (int)b->n,
        sum = 0;
    MPI_Allgather(&n, 1, MPI_INT, count, 1, MPI_INT, d->comm);
    for (int r = 0; r < d->size; r++) {
        at[r] = sum;
        sum += count[r];
    }
    struct wire all = {.bytes = oom_malloc((size_t)sum + 1), .n = (size_t)sum, .cap = (size_t)sum + 1};
    MPI_Allgatherv(b->bytes, n, MPI_BYTE, all.bytes, count, at, MPI_BYTE, d->comm);
    free(count);
    wire_free(b);
    *b = all;
}
