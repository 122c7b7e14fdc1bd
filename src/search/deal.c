/* The tasks of a round go round the nodes in turn. Those of a node are taken by whoever of its ranks is free:
 * a counter in their common memory says which is next, and no message has to be answered by somebody who
 * works. Two counters take turns: one is set back while the other is used, after an exchange that all enter
 * only when nobody draws from it any more. */
#include "search/deal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/oom.h"
#include "io/mpx_comm.h"
#include "search/replay.h"

struct deal {
    MPI_Comm comm;
    int rank, size, threads;
    int nodes, node; /* which of the nodes is this */
    bool leads;      /* the ranks of its node */
    MPI_Win memory;  /* of the counters, unless they are one's own */
    long own[2], *counter;
    int turn;
    struct row_result *row;
    int room;
    int round;          /* of the last task that was noted */
    double mark, every; /* processor time: since when, and how much, every rank has worked by itself */
    struct arena *a;
};

/* Counters for the ranks of a node. False: they have no memory in common. */
static bool share_counters(struct deal *d, MPI_Comm node) {
    MPI_Aint bytes;
    int unit, rank;
    MPI_Comm_rank(node, &rank);
    MPI_Comm_set_errhandler(node, MPI_ERRORS_RETURN);
    int bad = MPI_Win_allocate_shared(rank ? 0 : sizeof d->own, sizeof *d->counter, MPI_INFO_NULL, node,
                                      &d->counter, &d->memory) != MPI_SUCCESS;
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, d->comm);
    if (bad) return false;
    MPI_Win_shared_query(d->memory, 0, &bytes, &unit, &d->counter);
    for (int k = 0; k < 2 && rank == 0; k++) __atomic_store_n(&d->counter[k], 0, __ATOMIC_SEQ_CST);
    MPI_Barrier(node);
    return true;
}

/* Each rank is a node of its own if it has to be. */
static void find_node(struct deal *d) {
    MPI_Comm node;
    int first;
    MPI_Comm_split_type(d->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    if (share_counters(d, node)) {
        MPI_Comm_rank(node, &first);
        int leads = first == 0;
        d->leads = leads;
        MPI_Scan(&leads, &d->node, 1, MPI_INT, MPI_SUM, d->comm);
        d->node--;
        MPI_Bcast(&d->node, 1, MPI_INT, 0, node);
        MPI_Allreduce(&leads, &d->nodes, 1, MPI_INT, MPI_SUM, d->comm);
    } else {
        d->counter = d->own;
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
                       .leads = true,
                       .memory = MPI_WIN_NULL,
                       .counter = d->own,
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

/* What takes no time worth dealing counts as if every rank did it; very small tasks are put together. A round
 * that `goes_on` is the same as that of the last call. */
static void record(struct deal *d, enum task_kind kind, const double *seconds, int n, bool goes_on) {
    const double SHORT = 10e-3, LITTLE = 1e-3;
    double sum = 0, small = 0;
    for (int i = 0; i < n; i++) sum += seconds[i];
    if (sum < SHORT) {
        d->every += sum;
        return;
    }
    goes_on = goes_on && d->row->n_task && d->row->task[d->row->n_task - 1].round == d->round;
    if (!goes_on) {
        note_every(d);
        d->round = next_round(d->row);
    }
    for (int i = 0; i < n; i++) {
        small += seconds[i];
        if (small < LITTLE && (small <= 0 || i + 1 < n)) continue;
        note(d, d->round, kind, small);
        small = 0;
    }
}

void deal_free(struct deal *d) {
    d->every += process_cpu_s() - d->mark;
    note_every(d);
    if (d->memory != MPI_WIN_NULL) MPI_Win_free(&d->memory);
    free(d);
}

void deal_aside(struct deal *d, double seconds) { d->mark += seconds; }

static long draw(const struct deal *d) {
    return __atomic_fetch_add(&d->counter[d->turn], 1, __ATOMIC_SEQ_CST) * d->nodes + d->node;
}

/* Tasks 0 .. n - 1, until none is left or the time is over, but one for each thread. took[n]: was any of them
 * stopped? */
static void deal_until(struct deal *d, double end, int n, bool (*task)(void *ctx, int i), void *ctx,
                       double *took) {
    d->every += process_cpu_s() - d->mark;
#pragma omp parallel num_threads(d->threads)
    for (long i; (i = draw(d)) < n;) {
        double begun = thread_cpu_s();
        bool stopped = !task(ctx, (int)i);
        took[i] = thread_cpu_s() - begun;
        if (stopped) {
#pragma omp atomic write
            took[n] = 1;
        }
        if (now_s() >= end) break;
    }
    if (d->size > 1) MPI_Allreduce(MPI_IN_PLACE, took, n + 1, MPI_DOUBLE, MPI_SUM, d->comm);
    if (d->leads) __atomic_store_n(&d->counter[d->turn], 0, __ATOMIC_SEQ_CST);
    d->turn ^= 1;
    d->mark = process_cpu_s();
}

bool deal_tasks(struct deal *d, enum task_kind kind, int n, bool (*task)(void *ctx, int i), void *ctx) {
    double *took = oom_calloc((size_t)n + 1, sizeof *took);
    deal_until(d, INFINITY, n, task, ctx, took);
    record(d, kind, took, n, false);
    bool whole = took[n] == 0;
    free(took);
    return whole;
}

static void gather(struct deal *d, struct wire *b) {
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

/* A part of the tasks with answers, between two pauses. */
struct leg {
    const struct deal_questions *q;
    int *task; /* [n] */
    struct unit_answer *answer;
    struct arena *memory;
    bool *mine;
};

static bool answer_one(void *ctx, int k) {
    struct leg *l = ctx;
    l->mine[k] = true;
    return l->q->answer(l->q->ctx, l->task[k], &l->answer[k], &l->memory[k]);
}

/* Every rank learns what all have found out. */
static void tell(struct deal *d, const struct leg *l, int n, const double *took, struct deal_answers *r,
                 const struct workload *w, struct arena *a) {
    struct wire b = {0};
    for (int k = 0; k < n; k++)
        if (l->mine[k] && l->answer[k].status != UNIT_TODO) wire_put_answer(&b, k, &l->answer[k]);
    gather(d, &b);
    for (size_t at = 0; at < b.n;) {
        struct unit_answer one;
        int k = wire_get_answer(&b, &at, &one, w, a), i = l->task[k];
        r->answer[i] = one;
        r->done[i] = true;
        r->seconds[i] = took[k];
    }
    wire_free(&b);
}

bool deal_answers(struct deal *d, enum task_kind kind, const struct deal_questions *q, struct deal_answers *r,
                  const struct workload *w, struct arena *a) {
    size_t most = (size_t)r->n + 1;
    struct leg l = {q, oom_calloc(most, sizeof *l.task), oom_calloc(most, sizeof *l.answer),
                    oom_calloc(most, sizeof *l.memory), oom_calloc(most, sizeof *l.mine)};
    double *took = oom_calloc(most, sizeof *took);
    bool whole = true;
    for (int legs = 0, n = 1; whole; legs++) {
        n = 0;
        for (int i = 0; i < r->n; i++)
            if (!r->done[i]) l.task[n++] = i;
        if (!n) break;
        memset(took, 0, most * sizeof *took);
        memset(l.mine, 0, most * sizeof *l.mine);
        deal_until(d, q->pause ? now_s() + REPLAY_PAUSE_S : INFINITY, n, answer_one, &l, took);
        record(d, kind, took, n, legs > 0);
        whole = took[n] == 0;
        tell(d, &l, n, took, r, w, a);
        for (int k = 0; k < n; k++) arena_free(&l.memory[k]);
        bool over = whole;
        for (int i = 0; i < r->n && over; i++) over = r->done[i];
        if (!over && q->pause) whole = q->pause(q->ctx, !whole) && whole;
    }
    free(took);
    free(l.task);
    free(l.answer);
    free(l.memory);
    free(l.mine);
    return whole;
}
