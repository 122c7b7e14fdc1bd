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
    const struct mpx_comm *world;
    int size, threads;
    struct mpx_node alone, *node;
    long own[2]; /* counters of a process that is alone */
    struct row_result *row;
    int room;
    int round;          /* of the last task that was noted */
    double mark, every; /* processor time: since when, and how much, every rank has worked by itself */
    struct arena *a;
};

struct deal *deal_new(const struct mpx_comm *world, int threads, struct row_result *row, struct arena *a) {
    struct deal *d = oom_calloc(1, sizeof *d);
    *d = (struct deal){.world = world, .size = 1, .threads = threads, .row = row, .a = a};
    d->alone = (struct mpx_node){.nodes = 1, .leads = true, .counter = d->own};
    if (world) MPI_Comm_size(world->mpi, &d->size);
    d->node = d->size > 1 ? mpx_node(world) : &d->alone;
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
    free(d);
}

void deal_aside(struct deal *d, double seconds) { d->mark += seconds; }

static long draw(const struct mpx_node *at) {
    return __atomic_fetch_add(&at->counter[at->turn], 1, __ATOMIC_SEQ_CST) * at->nodes + at->node;
}

/* Tasks 0 .. n - 1, until none is left or the time is over, but one for each thread. took[n]: was any of
 * those of this rank stopped? An exchange between all ranks has to follow, and next_turn(). */
static void work(struct deal *d, double end, int n, bool (*task)(void *ctx, int i), void *ctx, double *took) {
    d->every += process_cpu_s() - d->mark;
#pragma omp parallel num_threads(d->threads)
    for (long i; (i = draw(d->node)) < n;) {
        double begun = thread_cpu_s();
        bool stopped = !task(ctx, (int)i);
        took[i] = thread_cpu_s() - begun;
        if (stopped) {
#pragma omp atomic write
            took[n] = 1;
        }
        if (now_s() >= end) break;
    }
}

/* Nobody draws any more. */
static void next_turn(struct deal *d) {
    if (d->node->leads) __atomic_store_n(&d->node->counter[d->node->turn], 0, __ATOMIC_SEQ_CST);
    d->node->turn ^= 1;
    d->mark = process_cpu_s();
}

bool deal_tasks(struct deal *d, enum task_kind kind, int n, bool (*task)(void *ctx, int i), void *ctx,
                double *number, int n_number) {
    int all = n + 1 + n_number;
    double *said = oom_calloc((size_t)all, sizeof *said);
    for (int i = 0; i < n_number; i++) number[i] = INFINITY;
    work(d, INFINITY, n, task, ctx, said);
    if (d->size > 1) { /* the least of all that is said: times and the stop, of one rank each, below zero */
        for (int i = 0; i <= n; i++) said[i] = -said[i];
        memcpy(said + n + 1, number, sizeof *number * (size_t)n_number);
        mpx_reduce(d->world, said, all, MPI_DOUBLE, MPI_MIN);
        for (int i = 0; i <= n; i++) said[i] = -said[i];
        memcpy(number, said + n + 1, sizeof *number * (size_t)n_number);
    }
    next_turn(d);
    record(d, kind, said, n, false);
    bool whole = said[n] == 0;
    free(said);
    return whole;
}

/* What a rank has to say: as a rule few bytes, which all say in one exchange; else in a second one. */
struct saying {
    int n, stopped;
};

static int short_bytes(int ranks) {
    enum { ALL = 1 << 16, MOST = 1 << 13, LEAST = 1 << 8 };
    int each = ALL / ranks;
    return each < LEAST ? LEAST : each < MOST ? each : MOST;
}

static void put_together(const struct deal *d, const struct wire *b, struct wire *all, const int *count) {
    MPI_Request request;
    int *at = oom_calloc((size_t)d->size, sizeof *at);
    for (int r = 1; r < d->size; r++) at[r] = at[r - 1] + count[r - 1];
    MPI_Iallgatherv(b->bytes, (int)b->n, MPI_BYTE, all->bytes, count, at, MPI_BYTE, d->world->mpi, &request);
    mpx_wait(&request);
    free(at);
}

/* What all ranks have put, by rank. Returns whether any was stopped. */
static bool gather(const struct deal *d, struct wire *b, bool stopped) {
    if (d->size == 1) return stopped;
    const int few = short_bytes(d->size);
    const size_t each = sizeof(struct saying) + (size_t)few;
    int *count = oom_calloc((size_t)d->size, sizeof *count), most = 0;
    unsigned char *said = oom_calloc((size_t)d->size + 1, each), *mine = said + each * (size_t)d->size;
    struct saying head = {(int)b->n, stopped};
    struct wire all = {0};
    MPI_Request request;
    memcpy(mine, &head, sizeof head);
    if (b->n && head.n <= few) memcpy(mine + sizeof head, b->bytes, b->n);
    MPI_Iallgather(mine, (int)each, MPI_BYTE, said, (int)each, MPI_BYTE, d->world->mpi, &request);
    mpx_wait(&request);
    for (int r = 0; r < d->size; r++) {
        memcpy(&head, said + each * (size_t)r, sizeof head);
        count[r] = head.n;
        if (head.n > most) most = head.n;
        stopped |= head.stopped;
        all.cap += (size_t)head.n;
    }
    all.bytes = oom_malloc(all.cap + 1);
    for (int r = 0; r < d->size && most <= few; r++) {
        memcpy(all.bytes + all.n, said + each * (size_t)r + sizeof head, (size_t)count[r]);
        all.n += (size_t)count[r];
    }
    if (most > few) put_together(d, b, &all, count);
    all.n = all.cap++;
    free(count);
    free(said);
    wire_free(b);
    *b = all;
    return stopped;
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

/* Every rank learns what all have found out, and how long all took, also for what does not count. Returns
 * whether any was stopped. */
static bool tell(struct deal *d, const struct leg *l, int n, double *took, struct deal_answers *r,
                 const struct workload *w, struct arena *a) {
    static const struct unit_answer none = {.status = UNIT_TODO};
    struct wire b = {0};
    for (int k = 0; k < n; k++)
        if (l->mine[k])
            wire_put_answer(&b, k, l->answer[k].status == UNIT_TODO ? &none : &l->answer[k], took[k]);
    bool stopped = gather(d, &b, took[n] > 0);
    next_turn(d);
    for (size_t at = 0; at < b.n;) {
        struct unit_answer one;
        double seconds;
        int k = wire_get_answer(&b, &at, &one, &seconds, w, a), i = l->task[k];
        took[k] = seconds;
        if (one.status == UNIT_TODO) continue;
        r->answer[i] = one;
        r->done[i] = true;
        r->seconds[i] = seconds;
    }
    wire_free(&b);
    return stopped;
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
        work(d, q->pause ? now_s() + REPLAY_PAUSE_S : INFINITY, n, answer_one, &l, took);
        whole = !tell(d, &l, n, took, r, w, a);
        record(d, kind, took, n, legs > 0);
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
