#ifndef SAILOR_SEARCH_PROBLEM_H
#define SAILOR_SEARCH_PROBLEM_H
#include "sim/answer.h"
#include "sim/job.h"
/* What the search is asked, and what it tells while it works. */

/* Bounds that tests can turn on and off, to see that they change no answer. */
enum search_bound {
    BOUND_MERGED = 1,
    BOUND_FULL = 2,
    BOUND_GRID = 4,
    BOUND_BLOCK = 8,
    BOUND_LAYOUT = 16,
    BOUND_ISLAND = 32,
    BOUND_CHAIN = 64,
    BOUND_RENT = 128,
    BOUND_WHOLE = 256,
    BOUND_SIDES = 512,
    BOUND_TRAFFIC = 1024,
    PLANS_FIRST =
        2048 /* climbs: without them, a bound that is too high cannot hide behind a plan known early */
};

struct search_problem {
    const struct workload *w;
    const int *pool;           /* [n_zone * n_gpu] */
    const struct nodes *nodes; /* [n_zone * n_gpu] what they stand on; NULL: nodes of the type's size */
    enum estimator estimator;
    enum objective objective;
    double max_usd_per_iteration; /* INFINITY = no limit */
    double min_iterations_per_s;  /* 0 = no limit */
    const struct pin *pin;
    bool exact_batch;
    int top_k;
    int n_seed; /* plans known from elsewhere, to be beaten; those outside of the space do not count */
    const struct plan *const *seed;
    bool warm; /* the seeds answered nearly the same question: made to fit, and little else is looked for */
    const struct row_result *known; /* NULL, or the same question without money: what it proved about the
                                       times of its units holds here */
    double gap; /* a proof within this relative gap will do where an exact one takes long; 0 = exact, however
                   long */
    unsigned with, without; /* bits of enum search_bound: wherever they apply, or nowhere */
};

/** Row `row` of a job, whose memory it uses: the default estimator, the best plan alone, gap 0. */
struct search_problem search_problem_of(const struct job *job, int row);

/** Does the objective or a limit look at money? */
static inline bool problem_has_money(const struct search_problem *p) {
    return p->objective != OBJECTIVE_THROUGHPUT || p->max_usd_per_iteration < INFINITY;
}

/** The number that is minimised (a frontier: the first of its two). */
static inline double problem_value(const struct search_problem *p, const struct estimate *est) {
    return p->objective == OBJECTIVE_COST ? est->cost_usd : est->iteration_time_s;
}

/** Progress of one row, given to the callback by rank 0 (about once a second at most). */
struct search_progress {
    int units_done, n_unit;
    uint64_t plans_evaluated;
    double elapsed_s, incumbent, lower_bound, gap, eta_s; /* incumbent INFINITY and eta NAN when unknown */
};

/** Each may be NULL. */
struct search_hooks {
    void *ctx;
    void (*progress)(void *ctx, const struct search_progress *p);              /* rank 0 */
    int (*checkpoint)(void *ctx, const struct row_result *row, struct err *e); /* rank 0 */
    void (*improved)(void *ctx, double elapsed_s, double value); /* rank 0: the best plan is better */
    bool (*stop)(void *ctx); /* any rank and thread; true = stop soon (signal or time limit) */
};

/** Does the caller no longer want the answer (a signal, the time limit)? Asked now and then; wanted NULL:
 * never. */
struct stopper {
    bool (*wanted)(void *ctx);
    void *ctx;
};

static inline bool stop_wanted(const struct stopper *s) { return s && s->wanted && s->wanted(s->ctx); }

#endif
