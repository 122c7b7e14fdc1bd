#ifndef SAILOR_SEARCH_ATTEMPT_H
#define SAILOR_SEARCH_ATTEMPT_H
#include "search/deal.h"
#include "search/solve.h"
/* Attempts at units, in slices that are dealt to all ranks and threads, step by step. */

/** An attempt on its way. After a step, it is the same on every rank. */
struct attempt {
    const struct space *s;
    const struct mb_space *mb;
    int D;
    struct workspace *const *workspace; /* [threads] */
    /* what it has found so far; once it is over, the answer; and the processor time of its slices */
    struct unit_answer answer;
    double seconds;
    bool begun, over;
    bool lost;        /* there are more points to beat than it has room for */
    double bound;     /* on the objective, of what is not over: from what is done and what is left */
    struct goal goal; /* of the last step, with what its own slices have found; owns its front */
    int n_left;
    struct window *left; /* owned; in the order of their bounds */
};

void attempt_free(struct attempt *x);

/** Can windows of an answer, as read from a file, be those of a unit with so many scopes? */
bool attempt_sane(const struct unit_answer *answer, int scopes);

/** A step: a slice of each attempt that begins, several of each that has windows left. */
struct step {
    struct attempt *x; /* [n] in the order in which their answers are joined */
    int n;
    int slices; /* of all attempts, about, but each has one */
    struct unit_effort effort;
    const struct goal *goal; /* all slices know it, and what their attempt has found */
};

struct step_hooks {
    void (*done)(void *ctx); /* the first thread of a rank, after each of its slices */
    /* as in deal.h, with what is done so far */
    bool (*pause)(void *ctx, const struct deal_answers *r, bool stopped);
    /* NULL, or sets what an earlier run has done already; windows and plans live in `a` */
    void (*recall)(void *ctx, struct deal_answers *r, struct arena *a);
    void *ctx;
};

/** Plans live in `a`. False: stopped; then the bounds take in what was done, and nothing else of the attempts
 * counts. What they find depends on the problem, the goals, the efforts and the numbers of slices alone.
 * Collective. */
bool attempts_step(struct deal *d, enum task_kind kind, const struct search_problem *p, struct step *t,
                   const struct step_hooks *hooks, struct arena *a);

/** Steps until all are over. Otherwise the same. */
bool attempts_all(struct deal *d, enum task_kind kind, const struct search_problem *p, struct step *t,
                  const struct step_hooks *hooks, struct arena *a);

#endif
