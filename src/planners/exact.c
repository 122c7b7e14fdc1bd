#include "planners/planner.h"

/* The exact search (search/) as a planner. */

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
    (void)self;
    return search_row(&p, row, q->hooks, run->comm, run->threads, a, e);
}

const struct planner exact_planner = {
    .name = "exact",
    .about = "the optimum of the declared plan space, with a proof",
    .can = CAN_PROVE | CAN_TOP | CAN_RESUME | CAN_FRONTIER | CAN_PIN | CAN_EXACT_BATCH | CAN_RANKS,
    .estimator = ESTIMATOR_NATIVE,
    .solve = solve,
};
