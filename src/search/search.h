#ifndef SAILOR_SEARCH_SEARCH_H
#define SAILOR_SEARCH_SEARCH_H
#include "io/mpx.h"
#include "sim/answer.h"
#include "sim/job.h"
/* The exact search over the declared plan space (docs/search.md): for one pool, the best plan with a proof,
 * or the time/cost frontier. One call per pool row. The answer does not depend on the number of ranks or
 * threads. */

struct search_problem {
    const struct workload *w;
    const int *pool; /* [n_zone * n_gpu] */
    enum estimator estimator;
    enum objective objective;
    double max_usd_per_iteration; /* INFINITY = no limit */
    double min_iterations_per_s;  /* 0 = no limit */
    const struct pin *pin;
    bool exact_batch;
    int top_k;
    double gap; /* a proof within this relative gap will do where an exact one takes long; 0 = exact, however
                   long */
};

/** Row `row` of a job, whose memory it uses: the default estimator, the best plan alone, gap 0. */
struct search_problem search_problem_of(const struct job *job, int row);

/** Progress of one row, given to the callback by rank 0 (about once a second at most). */
struct search_progress {
    int units_done, n_unit;
    uint64_t plans_evaluated;
    double elapsed_s, incumbent, lower_bound, gap, eta_s; /* incumbent INFINITY and eta NAN when unknown */
};

struct search_hooks {
    void *ctx;
    void (*progress)(void *ctx, const struct search_progress *p);              /* may be NULL */
    int (*checkpoint)(void *ctx, const struct row_result *row, struct err *e); /* rank 0; may be NULL */
    void (*improved)(void *ctx, double elapsed_s,
                     double value); /* rank 0: the best plan is better; may be NULL */
    bool (*stop)(void *ctx);        /* any rank; true = stop soon (signal or time limit); may be NULL */
};

/** Search one row. Collective over `world` (NULL: one process without MPI): every rank
 * passes the same problem. `row` holds earlier units and plans when resuming (zeroed otherwise) and gets the
 * answer, on every rank; new plans live in `a`. Returns 0 when finished, 1 when stopped early (row is
 * consistent and resumable), -1 with *e set. A row that is finished without a plan is infeasible if
 * everything was searched; else it stays todo, and `reason` says how much is open. */
int search_row(const struct search_problem *p, struct row_result *row, const struct search_hooks *hooks,
               const struct mpx_comm *world, int threads, struct arena *a, struct err *e);

#endif
