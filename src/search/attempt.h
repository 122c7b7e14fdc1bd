#ifndef SAILOR_SEARCH_ATTEMPT_H
#define SAILOR_SEARCH_ATTEMPT_H
#include "search/deal.h"
#include "search/solve.h"
/* An attempt at each of some units, in slices that are dealt to all ranks and threads. */

struct attempt {
    const struct space *s;
    const struct mb_space *mb;
    int D;
    struct workspace *const *workspace; /* [threads] */
    /* the answer, the same on every rank, and the processor time of its slices */
    struct unit_answer answer;
    double seconds;
};

struct attempt_hooks {
    void (*done)(void *ctx, int units); /* the first thread of a rank, after each of its slices */
    void *ctx;
};

/** All attempts against one goal. Plans live in `a`. False: stopped, no answer counts. The answers depend on
 * the problem, the goal and the effort alone. Collective. */
bool attempt_units(struct deal *d, enum task_kind kind, const struct search_problem *p, struct attempt *x,
                   int n, const struct goal *goal, struct unit_effort effort,
                   const struct attempt_hooks *hooks, struct arena *a);

#endif
