/* The plans that the search begins with (ladder_climb), on random pools of up to 5 zones and 7 GPU types, 1
 * to 512 GPUs in each, for all objectives, with limits, pins and missing links: every one is in the space and
 * within the limits; no planner asked for a seed has a better plan; and at most one pool in twenty is clearly
 * behind what a part of it gives by the same means. Usage: t_ladder [INSTANCES [SEED]]; SAILOR_LONG=1 in the
 * environment: 200 instances. */
#include <stdlib.h>
#include <string.h>

#include "brute.h"
#include "planners/planner.h"
#include "random.h"
#include "search/ladder.h"

enum { LESS = 4 };               /* less work than in a search: there are many tests */
static const double NEAR = 1.25; /* compares heuristics at a fraction of their work: ... */
enum { LAG_ONE_IN = 20 };        /* ... and now and then a part of a pool is luckier than the whole */
static const char *fault;        /* in the current instance */
static bool lags;                /* a part of it beats it by more than NEAR */
static double worst;
static long climbs, planned;

static void check_plan(const struct search_problem *p, const struct found_plan *f, struct arena *a) {
    struct err e;
    struct estimate est = {0};
    const struct pin *pin = p->pin;
    int D = stage_replicas(&f->plan->pipeline->stage[0]), m = f->plan->micro_batch_size, stage;
    if (plan_check(f->plan, p->w, "found", &e) ||
        plan_check_pool(f->plan, p->w->site, p->pool, p->nodes, "found", &e))
        fault = arena_strdup(a, e.text);
    else if (estimate_plan(p->w, f->plan, p->estimator, &est, &e) || !est.fits)
        fault = "a plan does not fit the memory";
    else if (!brute_links_usable(p->w, f->plan, p->estimator))
        fault = "a plan uses a link without bandwidth";
    else if (1 / est.iteration_time_s < p->min_iterations_per_s)
        fault = "a plan is below the floor";
    else if (p->max_usd_per_iteration < INFINITY && !(est.cost_usd <= p->max_usd_per_iteration))
        fault = "a plan is over the budget";
    else if ((pin->stages && pin->stages != f->plan->pipeline->n_stage) ||
             (pin->data_parallel && pin->data_parallel != D) ||
             (pin->micro_batch_size && pin->micro_batch_size != m))
        fault = "a plan breaks a pin";
    else if (plan_breaks(f->plan, p->w->model, runner_search_rules(pin->runnable_by, p->w->model), &stage))
        fault = "a plan breaks a rule of its trainer";
    else if (p->exact_batch && p->w->global_batch_size % ((long)m * D))
        fault = "a plan does not divide the batch";
}

static struct ladder climb(const struct search_problem *p, struct arena *a) {
    struct ladder out;
    ladder_climb(p, (struct ladder_share){.work = ladder_work(p) / LESS, .n = 1}, NULL, &out, a);
    climbs++;
    for (int i = 0; i < out.n_plan; i++) check_plan(p, &out.plan[i], a);
    return out;
}

/* By what factor is the best rival worse than f? 1: not at all. */
static double behind(const struct search_problem *p, const struct ladder *x, const struct found_plan *f) {
    double least = INFINITY;
    for (int i = 0; i < x->n_plan; i++) {
        const struct estimate *mine = &x->plan[i].est;
        double by = problem_value(p, mine) / problem_value(p, &f->est);
        if (p->objective == OBJECTIVE_FRONTIER)
            by = fmax(mine->iteration_time_s / f->est.iteration_time_s, mine->cost_usd / f->est.cost_usd);
        least = fmin(least, isnan(by) ? 1 : by);
    }
    return fmax(least, 1);
}

static void against_part(const struct instance *in, const struct search_problem *p,
                         const struct ladder *whole, unsigned zones, unsigned types, struct arena *a) {
    int n_gpu = in->site.n_gpu, n = in->site.n_zone * n_gpu, *pool = ARENA_ARRAY(a, int, n), cells = 0;
    struct search_problem part = *p;
    for (int i = 0; i < n; i++) {
        pool[i] = zones >> i / n_gpu & types >> i % n_gpu & 1 ? in->pool[i] : 0;
        cells += pool[i] > 0;
    }
    if (!cells) return;
    part.pool = pool;
    struct ladder x = climb(&part, a);
    for (int i = 0; i < x.n_plan; i++) {
        if (p->objective != OBJECTIVE_FRONTIER && i) break;
        double by = behind(p, whole, &x.plan[i]);
        worst = fmax(worst, by);
        lags |= by > NEAR;
    }
}

static int ask_planners(const struct instance *in, const struct search_problem *p, unsigned can,
                        const struct plan **out, struct arena *a) {
    int n_gpu = in->site.n_gpu, n = 0, entries = 0;
    struct pool_entry *entry = ARENA_ARRAY(a, struct pool_entry, in->site.n_zone * n_gpu);
    for (int g = 0; g < n_gpu; g++)
        for (int z = 0; z < in->site.n_zone; z++)
            if (in->pool[z * n_gpu + g])
                entry[entries++] = (struct pool_entry){z, g, in->pool[z * n_gpu + g]};
    struct pool pool = {.time_s = NAN, .count = in->pool, .n_entry = entries, .entry = entry};
    struct planner_run run = {.estimator = p->estimator, .threads = 1};
    for (int i = 0; planners[i]; i++) {
        struct question q = {.w = p->w,
                             .pool = &pool,
                             .objective = p->objective,
                             .max_usd_per_iteration = p->max_usd_per_iteration,
                             .min_iterations_per_s = p->min_iterations_per_s};
        struct row_result row = {0};
        struct err e;
        if (!(planners[i]->can & can) || planners[i]->load || planners[i]->can & CAN_PROVE) continue;
        if (!planners[i]->solve(planners[i], &q, &run, &row, a, &e) && row.n_plan)
            out[n++] = row.plan[0].plan;
    }
    return n;
}

/* Checks the planners' plans that are in the space: those that the ladder takes as seeds when it may do
 * nothing else. */
static void against_planners(const struct instance *in, const struct search_problem *p,
                             const struct ladder *whole, struct arena *a) {
    const struct plan *plan[16];
    int n = ask_planners(in, p, CAN_SEED, plan, a);
    for (int i = 0; i < n; i++) {
        struct search_problem one = *p;
        struct ladder x;
        one.n_seed = 1;
        one.seed = &plan[i];
        ladder_climb(&one, (struct ladder_share){.n = 1}, NULL, &x, a);
        planned += x.n_plan > 0;
        if (x.n_plan && behind(p, whole, &x.plan[0]) > 1) fault = "a planner has a better plan";
    }
}

static void check(const struct instance *in, struct search_problem *p, struct arena *a) {
    const struct plan *seed[16];
    p->n_seed = p->objective == OBJECTIVE_FRONTIER ? 0 : ask_planners(in, p, CAN_SEED, seed, a);
    p->seed = seed;
    struct ladder whole = climb(p, a);
    for (int z = 0; z < in->site.n_zone; z++) against_part(in, p, &whole, 1u << z, ~0u, a);
    for (int g = 0; g < in->site.n_gpu; g++) against_part(in, p, &whole, ~0u, 1u << g, a);
    if (p->objective != OBJECTIVE_FRONTIER) against_planners(in, p, &whole, a);
}

/* Adds a limit between the best value and what that costs. */
static void add_limits(struct search_problem *p, struct rng *r, struct arena *a) {
    struct ladder free_of = climb(p, a);
    if (!free_of.n_plan || p->objective == OBJECTIVE_FRONTIER) return;
    const struct estimate *est = &free_of.plan[0].est;
    if (p->objective == OBJECTIVE_COST)
        p->min_iterations_per_s = rng_range(r, 0.8, 2) / est->iteration_time_s;
    else if (!isnan(est->cost_usd))
        p->max_usd_per_iteration = rng_range(r, 0.3, 1.2) * est->cost_usd;
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : getenv("SAILOR_LONG") ? 200 : 4, passed = 0, lagging = 0;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (long i = 0; i < n; i++) {
        struct arena a = {0};
        struct rng r = {.seed = first + (uint64_t)i + 1000000};
        struct instance *in = instance_wide(first + (uint64_t)i, 16, &r, &a);
        fault = NULL;
        lags = false;
        for (int k = 0; k < OBJECTIVE_N && !fault; k++) {
            if (k != OBJECTIVE_THROUGHPUT && !in->prices_known) continue;
            struct search_problem p = instance_problem(in, (enum objective)k);
            if (rng_chance(&r, 0.4)) add_limits(&p, &r, &a);
            check(in, &p, &a);
        }
        if (fault) {
            printf("# FAULT: %s\n#   reproduce: t_ladder 1 %llu\n", fault,
                   (unsigned long long)(first + (uint64_t)i));
            instance_print(stdout, in);
        }
        passed += !fault;
        lagging += lags;
        arena_free(&a);
    }
    printf("# %ld climbs, %ld plans of planners in the space; a part of a pool is better by %.4f at most\n",
           climbs, planned, worst);
    printf("# %ld of %ld pools are behind a part of theirs by more than %g\n", lagging, n, NEAR);
    passed += lagging * LAG_ONE_IN <= n;
    printf("%ld passed, %ld failed\n", passed, n + 1 - passed);
    return passed != n + 1;
}
