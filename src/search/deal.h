#ifndef SAILOR_SEARCH_DEAL_H
#define SAILOR_SEARCH_DEAL_H
#include "io/mpx.h"
#include "search/wire.h"
#include "sim/answer.h"
/* Deals tasks to the threads of all ranks, one after the other to whoever is free, and records what each
 * took. All calls are collective. */

struct deal;

/** `world` NULL: one process without MPI. What is done goes into the list of tasks of `row`, in `a`. */
struct deal *deal_new(const struct mpx_comm *world, int threads, struct row_result *row, struct arena *a);
void deal_free(struct deal *d);

/** So much processor time went into what only one rank does, now and then: it is no work of every rank. */
void deal_aside(struct deal *d, double seconds);

/** Calls `task` for 0 .. n - 1, each once, on some rank; several threads of a rank at once. A task returns
 * false if it was stopped. Of the n_number numbers that tasks set to something below INFINITY, every rank
 * gets the least. Returns false, on every rank, if any was stopped. */
bool deal_tasks(struct deal *d, enum task_kind kind, int n, bool (*task)(void *ctx, int i), void *ctx,
                double *number, int n_number);

/** What tasks are to find out. */
struct deal_questions {
    /* Called as the tasks of deal_tasks(). An answer that is still UNIT_TODO does not count. */
    bool (*answer)(void *ctx, int i, struct unit_answer *out, struct arena *a);
    /* NULL, or called on every rank every few seconds, and after a stop, if some are not done. False: stop */
    bool (*pause)(void *ctx, bool stopped);
    void *ctx;
};

/** Tasks and their answers, which every rank gets. */
struct deal_answers {
    int n;
    struct unit_answer *answer; /* [n] */
    bool *done;                 /* [n] those set are not done again */
    double *seconds;            /* [n] of processor time */
};

/** Answers what is not done yet; plans and windows live in `a`. Returns false, on every rank, if it was
 * stopped. */
bool deal_answers(struct deal *d, enum task_kind kind, const struct deal_questions *q, struct deal_answers *r,
                  const struct workload *w, struct arena *a);

#endif
