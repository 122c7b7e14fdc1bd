#include "planners/planner.h"

#include <math.h>

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
    struct err none; /* it is no error to have no seed */
    if (pl->solve(pl, &quick, run, &row, a, &none) || !row.n_plan) return NULL;
    return row.plan[0].plan;
}

/* Collects the plans of the quick planners: the search starts from the best of them. It discards those that
 * break a pin or lie outside its space. */
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

static int search(const struct question *q, const struct planner_run *run, const struct row_result *known,
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
    p.known = known;
    p.warm = q->n_warm > 0;
    p.seed = p.warm ? q->warm : seed;
    if (!row->n_unit && !row->n_plan) p.n_seed = p.warm ? q->n_warm : sow(q, run, seed, a);
    return search_row(&p, row, q->hooks, run->comm, run->threads, a, e);
}

/* ---- ties: of plans equally good by the objective, the best by the other criterion ---- */

/* Breaking ties takes about as long as the proof did. Past NODES_FEW nodes of the search, only plans with the
 * microbatch and number of replicas of the plan found are considered; past NODES_MAX, none. */
enum { NODES_FEW = 100000, NODES_MAX = 10000000 };

static uint64_t nodes_searched(const struct row_result *row) {
    uint64_t n = 0;
    for (int i = 0; i < row->n_unit; i++) n += row->unit[i].nodes;
    return n;
}

/* Costs can be compared only if every price in the row is known. */
static bool priced(const struct question *q) {
    const struct site *s = q->w->site;
    for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
        if (q->pool->count[k] < 1) continue;
        if (!isfinite(s->usd_per_gpu_hour[k])) return false;
        for (int l = 0; l < s->n_zone * s->n_gpu; l++)
            if (q->pool->count[l] > 0 &&
                !isfinite(s->egress_usd_per_GB[k / s->n_gpu * s->n_zone + l / s->n_gpu]))
                return false;
    }
    return true;
}

/* The same search for the other criterion, with the optimum as a limit. Whatever it finds is no worse by the
 * objective, so the proof stands; this search needs none of its own. */
static int break_tie(const struct question *q, const struct planner_run *run, struct row_result *row,
                     struct arena *a, struct err *e) {
    bool cost = q->objective == OBJECTIVE_COST;
    struct search_hooks quiet = {.ctx = q->hooks ? q->hooks->ctx : NULL,
                                 .stop = q->hooks ? q->hooks->stop : NULL};
    struct found_plan *best = &row->plan[0], known = *best; /* to be beaten from the start */
    struct row_result tied = {.plan = &known, .n_plan = 1};
    struct question other = *q;
    other.objective = cost ? OBJECTIVE_THROUGHPUT : OBJECTIVE_COST;
    other.hooks = &quiet;
    other.gap = 1;
    const struct plan *only = best->plan;
    other.n_warm = 1;
    other.warm = &only;
    struct pin unit = q->pin ? *q->pin : (struct pin){0};
    double value = cost ? best->est.cost_usd : best->est.iteration_time_s;
    if (nodes_searched(row) > NODES_FEW && value > 0) { /* if everything is free, everything ties */
        unit.micro_batch_size = best->plan->micro_batch_size;
        unit.data_parallel = stage_replicas(&best->plan->pipeline[0].stage[0]);
        other.pin = &unit;
    }
    if (cost)
        other.max_usd_per_iteration = best->est.cost_usd;
    else
        other.min_iterations_per_s = 1 / best->est.iteration_time_s;
    bool by_time = !cost && !(q->max_usd_per_iteration < INFINITY);
    int rc = search(&other, run, by_time ? row : NULL, &tied, a, e);
    row->search_s += tied.search_s;
    row->plans_evaluated += tied.plans_evaluated;
    if (rc || !tied.n_plan) return rc < 0 ? -1 : 0; /* stopped: the plan found is as good */
    const struct found_plan *x = &tied.plan[0];
    bool better =
        cost ? x->est.iteration_time_s < best->est.iteration_time_s : x->est.cost_usd < best->est.cost_usd;
    if (!better) return 0;
    *best = *x;
    row->lower_bound = fmin(row->lower_bound, cost ? x->est.cost_usd : x->est.iteration_time_s);
    return 0;
}

static int solve(const struct planner *self, const struct question *q, const struct planner_run *run,
                 struct row_result *row, struct arena *a, struct err *e) {
    (void)self;
    int rc = search(q, run, NULL, row, a, e);
    bool one = row->status == ROW_OPTIMAL && q->top_k <= 1 && q->objective != OBJECTIVE_FRONTIER;
    if (rc || !one || nodes_searched(row) > NODES_MAX || !priced(q)) return rc;
    return break_tie(q, run, row, a, e);
}

const struct planner exact_planner = {
    .name = "exact",
    .about = "the optimum of the declared plan space, with a proof",
    .can = CAN_PROVE | CAN_TOP | CAN_RESUME | CAN_FRONTIER | CAN_PIN | CAN_EXACT_BATCH | CAN_RANKS |
           CAN_NODES | CAN_OPTIONS | CAN_WARM,
    .estimator = ESTIMATOR_NATIVE,
    .solve = solve,
};
