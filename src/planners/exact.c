#include "planners/planner.h"

/* The exact search (search/) as a planner. */

enum { SEEDS_MAX = 16 };

static const struct plan *ask(const struct planner *pl, const struct question *q, enum objective objective,
                              const struct planner_run *run, struct arena *a) {
    struct question quick = {.w = q->w,
                             .pool = q->pool,
                             .objective = objective,
                             .max_usd_per_iteration = q->max_usd_per_iteration,
                             .min_iterations_per_s = q->min_iterations_per_s,
                             .hooks = q->hooks};
    struct row_result row = {0};
    struct err none; /* no seed is no error */
    if (pl->solve(pl, &quick, run, &row, a, &none) || !row.n_plan) return NULL;
    return row.plan[0].plan;
}

/* What the quick planners say: the search begins with the best of it. Plans that break a pin or lie outside
 * of its space are sorted out there. */
static int sow(const struct question *q, const struct planner_run *run, const struct plan **seed,
               struct arena *a) {
    int n = 0;
    for (int i = 0; planners[i]; i++)
        for (int k = OBJECTIVE_THROUGHPUT; k <= OBJECTIVE_COST && n < SEEDS_MAX; k++) {
            bool asked = q->objective == OBJECTIVE_FRONTIER || q->objective == (enum objective)k;
            if (!asked || !(planners[i]->can & CAN_SEED)) continue;
            const struct plan *p = ask(planners[i], q, (enum objective)k, run, a);
            if (p) seed[n++] = p;
        }
    return n;
}

static int solve(const struct planner *self, const struct question *q, const struct planner_run *run,
                 struct row_result *row, struct arena *a, struct err *e) {
    static const struct pin free_of_pins;
    struct search_problem p = {.w = q->w,
                               .pool = q->pool->count,
                               .nodes = q->pool->nodes,
                               .estimator = run->estimator,
                               .objective = q->objective,
                               .max_usd_per_iteration = q->max_usd_per_iteration,
                               .min_iterations_per_s = q->min_iterations_per_s,
                               .pin = q->pin ? q->pin : &free_of_pins,
                               .exact_batch = q->exact_batch,
                               .top_k = q->top_k ? q->top_k : 1,
                               .gap = q->gap};
    const struct plan *seed[SEEDS_MAX];
    (void)self;
    if (!row->n_unit) p.n_seed = sow(q, run, seed, a);
    p.seed = seed;
    return search_row(&p, row, q->hooks, run->comm, run->threads, a, e);
}

const struct planner exact_planner = {
    .name = "exact",
    .about = "the optimum of the declared plan space, with a proof",
    .can = CAN_PROVE | CAN_TOP | CAN_RESUME | CAN_FRONTIER | CAN_PIN | CAN_EXACT_BATCH | CAN_RANKS,
    .estimator = ESTIMATOR_NATIVE,
    .solve = solve,
};
