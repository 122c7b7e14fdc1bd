#ifndef SAILOR_TESTS_BRUTE_H
#define SAILOR_TESTS_BRUTE_H
#include "search/search.h"
/* The judge of the exact search: walks every plan of the declared plan space (docs/search.md) one by one and
 * asks estimate_plan() for its numbers. Nothing is bounded, and only plans that need more GPUs than the pool
 * has are pruned. Limits and the objective are applied afterwards to the list of all plans, so one walk
 * answers many questions. */

struct brute_point {
    long id; /* number of the plan in the walk */
    double time_s, cost_usd;
};

struct brute {
    long n_plan; /* plans walked: they fit the pool */
    long n;      /* of these, in the declared space: memory fits, links exist and are usable */
    struct brute_point *point;
    long no_memory, no_link; /* why the others are not in it */
};

/** The number of plans in the space, from the walk alone (no estimates), at most `stop` + 1. */
long brute_count(const struct search_problem *p, long stop);

/** Walk and estimate all plans; objective and limits of p are ignored. -1 with *e set if a plan fails
 * plan_check() or plan_check_pool(): then the walk itself is wrong. */
int brute_run(const struct search_problem *p, struct brute *b, struct err *e);
void brute_free(struct brute *b);

/** Best point under the limits, or NULL: least time for throughput (and frontier), least cost for cost. */
const struct brute_point *brute_best(const struct brute *b, enum objective objective, double max_usd,
                                     double min_per_s);

/** Non-dominated points under the limits, ascending time and descending cost; out[b->n]. Returns their
 * number. */
long brute_frontier(const struct brute *b, double max_usd, double min_per_s, struct brute_point *out);

/** Walk again and return plan number `id`. */
struct plan *brute_plan(const struct search_problem *p, long id, struct arena *a);

/** Do all links that the plan uses exist, with bw > 0 at the size of each message? (One pipeline.) */
bool brute_links_usable(const struct workload *w, const struct plan *p, enum estimator est);

#endif
