/* The exact search against the brute-force walk over the whole declared plan space, on random small
 * instances: throughput, cost, frontier, each with and without limits. A failing instance is run alone by
 * `t_exact 1 SEED`. Usage: t_exact [INSTANCES [SEED [verbose]]]; SAILOR_LONG=1 in the environment: 3000
 * instances. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "search/solve.h"
#include "brute.h"
#include "shapes.h"

enum { PLANS_MAX = 80000, PLANS_VARIED = 8000, QUESTIONS = 7 };
static double limit_s = 30; /* for one question; environment: SAILOR_TEST_LIMIT_S */
static const double EPS = 1e-9;

static struct {
    long plans, points, questions, infeasible, varied, altered, limited, frontier_points, frontier_max;
    double brute_s, search_s, slowest_s;
    struct bound_counts bounds;
    long spared;
    uint64_t slowest_seed;
    long blocks;
} total;

/* A search that does not end is reported as a fault instead of hanging. */
static bool stop(void *ctx) { return now_s() > *(double *)ctx; }

static bool near(double a, double b) { return a == b || fabs(a - b) <= EPS * fmax(fabs(a), fabs(b)); }
static bool not_above(double a, double b) { return a <= b + EPS * fabs(b); }

/* What the searches without limits of one instance found: the least time, the least cost, both ends of the
 * frontier. */
static struct { double time_s, cost_usd, fastest_s, cheapest_usd; } free_optimum;

static void note_optimum(const struct search_problem *p, const struct row_result *row) {
    if (p->max_usd_per_iteration < INFINITY || p->min_iterations_per_s > 0 || !row->n_plan) return;
    if (p->objective == OBJECTIVE_THROUGHPUT) free_optimum.time_s = row->plan[0].est.iteration_time_s;
    if (p->objective == OBJECTIVE_COST) free_optimum.cost_usd = row->plan[0].est.cost_usd;
    if (p->objective != OBJECTIVE_FRONTIER) return;
    free_optimum.fastest_s = row->frontier[0].est.iteration_time_s;
    free_optimum.cheapest_usd = row->frontier[row->n_frontier - 1].est.cost_usd;
}

/* A frontier begins with the throughput optimum and ends with the cost optimum. */
static bool frontier_ends(uint64_t seed) {
    if (!free_optimum.time_s || !free_optimum.cost_usd || !free_optimum.fastest_s) return true;
    const double rounding = 1e-11;
    if (fabs(free_optimum.fastest_s - free_optimum.time_s) <= rounding * free_optimum.time_s &&
        fabs(free_optimum.cheapest_usd - free_optimum.cost_usd) <= rounding * free_optimum.cost_usd)
        return true;
    printf("# FAULT: the frontier lies between %.17g s and %.17g USD, the optima are %.17g s and %.17g USD\n"
           "#   reproduce: t_exact 1 %llu\n",
           free_optimum.fastest_s, free_optimum.cheapest_usd, free_optimum.time_s, free_optimum.cost_usd,
           (unsigned long long)seed);
    return false;
}

/* What is wrong with a plan that the search returned, whatever its value; NULL if nothing. */
static const char *plan_fault(const struct search_problem *p, const struct found_plan *f, struct arena *a) {
    struct err e = {0};
    if (!f->plan) return "plan is NULL";
    if (plan_check(f->plan, p->w, "found", &e) ||
        plan_check_pool(f->plan, p->w->site, p->pool, p->nodes, "found", &e))
        return arena_printf(a, "%s", e.text);
    if (f->plan->n_pipeline != 1) return "more than one pipeline";
    const struct pipeline *pl = &f->plan->pipeline[0];
    int D = stage_replicas(&pl->stage[0]), G = p->w->global_batch_size, m = f->plan->micro_batch_size;
    if (f->plan->global_batch_size != G) return "wrong global batch size";
    for (int i = 0; i < pl->n_stage; i++) {
        if (stage_replicas(&pl->stage[i]) != D) return "data-parallel degrees of the stages differ";
        int tp[GPUS_MAX] = {0};
        for (int g = 0; g < pl->stage[i].n_group; g++) {
            const struct replicas *r = &pl->stage[i].group[g];
            if (tp[r->gpu] && tp[r->gpu] != r->tp) return "two degrees of one GPU type in a stage";
            tp[r->gpu] = r->tp;
            if (r->n_vm) return "a VM list";
            if (p->pin->tp[r->gpu] && p->pin->tp[r->gpu] != r->tp) return "tp is not the pinned one";
            if (p->pin->zones && !(p->pin->zones >> r->zone & 1)) return "a zone that the pin excludes";
        }
    }
    if (p->pin->micro_batch_size && p->pin->micro_batch_size != m)
        return "micro_batch_size is not the pinned one";
    if (p->pin->stages && p->pin->stages != pl->n_stage) return "stages are not the pinned number";
    if (p->pin->data_parallel && p->pin->data_parallel != D) return "data_parallel is not the pinned one";
    int stage_at;
    if (plan_breaks(f->plan, p->w->model, runner_search_rules(p->pin->runnable_by, p->w->model), &stage_at))
        return "breaks a rule of its trainer";
    if (p->exact_batch && G % (m * D)) return "m*D does not divide the batch";
    if (!brute_links_usable(p->w, f->plan, p->estimator)) return "uses a link at bw <= 0";
    struct stage_estimate stage[LAYERS_MAX];
    struct estimate est = {.stage = stage};
    if (estimate_plan(p->w, f->plan, p->estimator, &est, &e)) return arena_printf(a, "%s", e.text);
    if (!est.fits || !f->est.fits) return "does not fit the memory";
    bool money = est.cost_usd == f->est.cost_usd && est.compute_usd == f->est.compute_usd;
    if (isnan(est.cost_usd)) money = isnan(f->est.cost_usd);
    if (!money || est.iteration_time_s != f->est.iteration_time_s || est.egress_usd != f->est.egress_usd ||
        est.pipeline_time_s != f->est.pipeline_time_s || est.sync_time_s != f->est.sync_time_s ||
        est.peak_memory_bytes != f->est.peak_memory_bytes || est.n_microbatch != f->est.n_microbatch)
        return "its estimate is not what estimate_plan() says";
    if (!f->est.stage) return "est.stage is not filled";
    for (int i = 0; i < pl->n_stage; i++)
        if (f->est.stage[i].compute_s != stage[i].compute_s || f->est.stage[i].comm_s != stage[i].comm_s ||
            f->est.stage[i].sync_s != stage[i].sync_s ||
            f->est.stage[i].memory_bytes != stage[i].memory_bytes)
            return "est.stage is not what estimate_plan() says";
    if (p->max_usd_per_iteration < INFINITY && !(est.cost_usd <= p->max_usd_per_iteration))
        return "over the budget";
    if (p->min_iterations_per_s > 0 && !(1 / est.iteration_time_s >= p->min_iterations_per_s))
        return "below the floor";
    return NULL;
}

/* No block that contains a plan's unit may have a bound above the plan, or be closed by a goal that the plan
 * beats. */
static const char *block_fault(const struct search_problem *p, const struct found_plan *f, uint64_t seed,
                               struct arena *a) {
    struct rng r = {.seed = seed ^ 0xb10c};
    struct err e;
    int D = stage_replicas(&f->plan->pipeline[0].stage[0]), m = f->plan->micro_batch_size;
    const struct space *s = space_build(p, NULL, 1, a, &e);
    const struct mb_space *mb = NULL;
    for (int k = 0; k < s->n_mb; k++)
        if (s->mb[k].m == m && plan_options_equal(&s->mb[k].w->options, &f->plan->options)) mb = &s->mb[k];
    if (!mb) return "its microbatch is not in the space";
    double t = f->est.iteration_time_s, c = s->money ? f->est.cost_usd : 0, more = 1 + 1e-6;
    struct workspace *w = workspace_new(s, NULL);
    bool ok = true;
    for (int k = 0; k < 6 && D > 1 && ok; k++) {
        struct goal goal = {.objective = p->objective,
                            .best = INFINITY,
                            .max_time_s = goal_longest_time(p->min_iterations_per_s),
                            .max_usd = p->max_usd_per_iteration,
                            .min_per_s = p->min_iterations_per_s};
        double value = problem_value(p, &f->est);
        if (k % 2 && p->objective != OBJECTIVE_FRONTIER && value > 0) goal.best = value * more;
        int from = rng_int(&r, 2, D), to = rng_int(&r, D, 2 * D);
        struct point lb = unit_root_bound(w, mb, from, to, &goal);
        ok = not_above(lb.time_s, t) && (!s->money || not_above(lb.cost_usd, c));
        total.blocks++;
        if (!ok)
            printf("# m %d, D %d to %d: bounds %.17g s, %.17g USD; with D %d a plan takes %.17g, %.17g\n", m,
                   from, to, lb.time_s, lb.cost_usd, D, t, c);
    }
    workspace_free(w);
    return ok ? NULL : "a block is bounded above a plan of it";
}

/* What is wrong with the frontier, or NULL. *at is a point to show. */
static const char *frontier_fault(const struct brute_point *want, long n, const struct row_result *row,
                                  const struct brute_point **at) {
    for (int i = 0; i < row->n_frontier; i++) {
        const struct estimate *s = &row->frontier[i].est;
        if (i && !(s->iteration_time_s > row->frontier[i - 1].est.iteration_time_s))
            return "times of the frontier do not ascend";
        if (i && !(s->cost_usd < row->frontier[i - 1].est.cost_usd))
            return "costs of the frontier do not descend";
        bool found = false;
        for (long k = 0; k < n && !found; k++)
            found = near(s->iteration_time_s, want[k].time_s) && near(s->cost_usd, want[k].cost_usd);
        if (!found) return "a point is not on the frontier";
    }
    for (long k = 0; k < n;
         k++) { /* a point may be missing only if one equal within EPS, or better, is there */
        bool covered = false;
        for (int i = 0; i < row->n_frontier && !covered; i++)
            covered = not_above(row->frontier[i].est.iteration_time_s, want[k].time_s) &&
                      not_above(row->frontier[i].est.cost_usd, want[k].cost_usd);
        if (!covered) {
            *at = &want[k];
            return "a point is missing";
        }
    }
    return NULL;
}

static void show(const struct instance *in, const struct search_problem *p, const struct row_result *row,
                 const struct brute_point *want, uint64_t seed, const char *fault) {
    struct arena a = {0};
    printf("# FAULT: %s\n#   reproduce: t_exact 1 %llu\n", fault, (unsigned long long)seed);
    printf("#   objective %s, max_usd %.17g, min_per_s %.17g, without %u\n", objective_name[p->objective],
           p->max_usd_per_iteration, p->min_iterations_per_s, p->without);
    instance_print(stdout, in);
    printf("#   search: status %d, lower bound %.17g, gap %.17g%s%s\n", (int)row->status, row->lower_bound,
           row->gap, row->reason ? ", " : "", row->reason ? row->reason : "");
    if (row->n_plan > 0 && p->objective != OBJECTIVE_FRONTIER) {
        printf("#   found: %.17g s, %.17g USD\n", row->plan[0].est.iteration_time_s,
               row->plan[0].est.cost_usd);
        plan_print(stdout, row->plan[0].plan, &in->site);
    }
    for (int i = 0; i < row->n_frontier; i++)
        printf("#   found: %.17g s, %.17g USD\n", row->frontier[i].est.iteration_time_s,
               row->frontier[i].est.cost_usd);
    if (want) {
        printf("#   brute: %.17g s, %.17g USD (plan %ld)\n", want->time_s, want->cost_usd, want->id);
        plan_print(stdout, brute_plan(p, want->id, &a), &in->site);
    }
    arena_free(&a);
}

static bool ask(const struct instance *in, const struct search_problem *p, const struct brute *b,
                uint64_t seed, bool verbose) {
    struct arena a = {0};
    struct row_result row = {0};
    double began = now_s(), until = began + limit_s;
    struct search_hooks hooks = {.ctx = &until, .stop = stop};
    struct err e = {0};
    const char *fault = NULL;
    int rc = search_row(p, &row, &hooks, NULL, 1 + (int)(seed & 1), &a, &e);
    double took = now_s() - began;
    total.search_s += took;
    if (took > total.slowest_s) total.slowest_s = took, total.slowest_seed = seed;
    const struct brute_point *best = brute_best(b, p->objective, p->max_usd_per_iteration,
                                                p->min_iterations_per_s),
                             *at = best;
    if (rc == 1) {
        fault = arena_printf(&a, "not finished after %g s", limit_s);
    } else if (rc) {
        fault = arena_printf(&a, "search_row() returned %d: %s", rc, e.text);
    } else if (!best) {
        total.infeasible++;
        if (row.status != ROW_INFEASIBLE)
            fault = "brute finds no plan, the search does not say infeasible";
        else if (!row.reason)
            fault = "infeasible without a reason";
        else if (row.n_plan || row.n_frontier)
            fault = "infeasible with a plan";
    } else if (row.status != ROW_OPTIMAL) {
        fault = row.status == ROW_INFEASIBLE ? "brute finds a plan, the search says infeasible"
                                             : "status is not optimal";
    } else if (row.gap != 0) {
        fault = "optimal with a gap";
    } else if (p->objective == OBJECTIVE_FRONTIER) {
        struct brute_point *front = malloc(sizeof *front * (size_t)b->n);
        long n = brute_frontier(b, p->max_usd_per_iteration, p->min_iterations_per_s, front);
        total.frontier_points += n;
        if (n > total.frontier_max) total.frontier_max = n;
        for (int i = 0; i < row.n_frontier && !fault; i++) fault = plan_fault(p, &row.frontier[i], &a);
        if (!fault) fault = frontier_fault(front, n, &row, &at);
        static struct brute_point shown;
        if (fault && at) shown = *at, at = &shown;
        free(front);
    } else {
        if (row.n_plan < 1) fault = "optimal without a plan";
        for (int i = 0; i < row.n_plan && !fault; i++) fault = plan_fault(p, &row.plan[i], &a);
        bool cost = p->objective == OBJECTIVE_COST;
        double want = cost ? best->cost_usd : best->time_s;
        for (int i = 0; i < row.n_plan && !fault; i++) {
            double v = cost ? row.plan[i].est.cost_usd : row.plan[i].est.iteration_time_s;
            if (i == 0 && !near(v, want))
                fault = v > want ? "WORSE than brute force" : "better than brute force: outside the space?";
            else if (i == 0 && !not_above(row.lower_bound, v))
                fault = "lower bound above the value";
            else if (i && v < (cost ? row.plan[i - 1].est.cost_usd : row.plan[i - 1].est.iteration_time_s))
                fault = "plans are not best first";
            else if (i && plan_compare(row.plan[i].plan, row.plan[i - 1].plan) == 0)
                fault = "a plan is listed twice";
        }
        if (!fault && row.n_plan > p->top_k) fault = "more plans than asked for";
    }
    if (row.n_plan && !fault) fault = block_fault(p, &row.plan[0], seed, &a);
    if (row.n_frontier && !fault) fault = block_fault(p, &row.frontier[row.n_frontier / 2], seed, &a);
    if (verbose)
        printf("# %s%s%s: %s %.17g in %.3f s, %llu plans evaluated\n", objective_name[p->objective],
               p->max_usd_per_iteration < INFINITY ? ", budget" : "",
               p->min_iterations_per_s > 0 ? ", floor" : "", best ? "best" : "none",
               best ? (p->objective == OBJECTIVE_COST ? best->cost_usd : best->time_s) : 0, took,
               (unsigned long long)row.plans_evaluated);
    if (!fault) note_optimum(p, &row);
    total.bounds.block += row.bounds.block;
    total.bounds.laid += row.bounds.laid;
    total.bounds.merged += row.bounds.merged;
    total.bounds.full += row.bounds.full;
    total.bounds.grid += row.bounds.grid;
    total.bounds.chain += row.bounds.chain;
    total.bounds.sides += row.bounds.sides;
    total.bounds.rent += row.bounds.rent;
    total.bounds.traffic += row.bounds.traffic;
    total.bounds.islands += row.bounds.islands > 0;
    total.spared += p->without != 0;
    total.questions++;
    total.varied += p->w->n_variant > 0;
    if (row.n_plan) total.altered += workload_variant(p->w, &row.plan[0].plan->options)->altered;
    total.limited += p->max_usd_per_iteration < INFINITY || p->min_iterations_per_s > 0;
    if (fault) show(in, p, &row, at, seed, fault);
    arena_free(&a);
    return !fault;
}

/* Within a gap, the value and the bound must enclose brute force's answer. */
static bool ask_bound(const struct search_problem *p, const struct brute *b, uint64_t seed) {
    struct arena a = {0};
    struct row_result row = {0};
    struct err e = {0};
    const struct brute_point *best =
        brute_best(b, p->objective, p->max_usd_per_iteration, p->min_iterations_per_s);
    bool cost = p->objective == OBJECTIVE_COST, ok = true;
    if (p->objective == OBJECTIVE_FRONTIER || !best) return true;
    double began = now_s(), want = cost ? best->cost_usd : best->time_s;
    if (search_row(p, &row, NULL, NULL, 1 + (int)(seed & 1), &a, &e)) ok = false;
    total.search_s += now_s() - began;
    if (row.n_plan < 1 || !not_above(row.lower_bound, want)) ok = false;
    double found = row.n_plan ? problem_value(p, &row.plan[0].est) : INFINITY;
    if (!not_above(want, found) || !not_above(found * (1 - p->gap), row.lower_bound)) ok = false;
    total.questions++;
    if (!ok)
        printf("# FAULT: within %g: brute %.17g, found %.17g, bound %.17g, without %u (seed %llu)\n", p->gap,
               want, found, row.lower_bound, p->without, (unsigned long long)seed);
    arena_free(&a);
    return ok;
}

/* Draws a limit on cost (with `time`, on time): exactly a frontier point's, between two, or out of reach. */
static double draw_limit(const struct brute_point *front, long n, bool time, struct rng *r) {
    long i = rng_int(r, 0, (int)n - 1), k = rng_int(r, 0, (int)n - 1);
    double x = time ? front[i].time_s : front[i].cost_usd, y = time ? front[k].time_s : front[k].cost_usd;
    double least = time ? front[0].time_s : front[n - 1].cost_usd;
    switch (rng_int(r, 0, 7)) {
    case 0:
        return least * 0.999;
    case 1:
        return least * 1.5;
    case 2:
    case 3:
        return x;
    default:
        return x + (y - x) * rng_unit(r);
    }
}

/* In every third instance, nodes of a type have several sizes. */
static const struct nodes *draw_nodes(const struct instance *in, struct arena *a) {
    struct rng r = {.seed = in->seed ^ 0x0dd};
    int n = in->site.n_zone * in->site.n_gpu;
    if (!rng_chance(&r, 1.0 / 3)) return NULL;
    struct nodes *nodes = ARENA_ARRAY(a, struct nodes, n);
    for (int c = 0; c < n; c++)
        for (int left = in->pool[c], size; left > 0; left -= size) {
            size = rng_int(&r, 1, in->gpu[c % in->site.n_gpu].gpus_per_node);
            if (size > left) size = left;
            nodes_add(&nodes[c], nodes_of(size, size));
        }
    return nodes;
}

static bool one_instance(uint64_t seed, bool verbose) {
    struct arena a = {0};
    bool varied = seed % 3 == 0; /* with options to choose from */
    struct instance *in = small_instance(seed, varied ? PLANS_VARIED : PLANS_MAX, &a);
    if (varied) instance_vary(in, &a);
    if (seed % 5 == 1) instance_rate_links(in, &a);
    if (seed % 5 == 2) instance_cut_links(in, &a);
    const struct nodes *nodes = draw_nodes(in, &a);
    struct search_problem p = instance_problem(in, OBJECTIVE_THROUGHPUT);
    p.nodes = nodes;
    struct brute b;
    struct err e = {0};
    double began = now_s();
    if (brute_run(&p, &b, &e)) {
        printf("# brute force itself failed: %s\n", e.text);
        instance_print(stdout, in);
        return false;
    }
    total.brute_s += now_s() - began;
    total.plans += b.n_plan;
    total.points += b.n;
    if (verbose) {
        instance_print(stdout, in);
        printf("# %ld plans, %ld in the space; %ld without memory, %ld without link\n", b.n_plan, b.n,
               b.no_memory, b.no_link);
    }
    struct rng r = {.seed = seed ^ 0x5eed}, rules = {.seed = seed ^ 0x901e5};
    struct brute_point *front = malloc(sizeof *front * (size_t)(b.n + 1));
    long n = in->prices_known ? brute_frontier(&b, INFINITY, 0, front) : 0;
    bool ok = true;
    memset(&free_optimum, 0, sizeof free_optimum);
    for (int q = 0; q < QUESTIONS; q++) {
        struct search_problem p2 = instance_problem(in, OBJECTIVE_THROUGHPUT);
        p2.nodes = nodes;
        p2.top_k = rng_chance(&r, 0.3) ? rng_int(&r, 2, 5) : 1;
        double budget = n ? draw_limit(front, n, false, &r) : INFINITY;
        double floor = n ? 1 / draw_limit(front, n, true, &r) : 0;
        if (q > 0 && !in->prices_known) break; /* without prices only throughput can be asked for */
        if (q >= 3 && !n) break;               /* no plan at all: no limits to draw */
        if (q == 1 || q == 4) p2.objective = OBJECTIVE_COST;
        if (q == 2 || q == 5) p2.objective = OBJECTIVE_FRONTIER;
        if (q == 6) p2.objective = (enum objective)rng_int(&r, 0, 1);
        if (q == 3 || q == 6 || (q == 5 && rng_chance(&r, 0.7))) p2.max_usd_per_iteration = budget;
        if (q == 4 || q == 6 || (q == 5 && rng_chance(&r, 0.5))) p2.min_iterations_per_s = floor;
        p2.with =
            BOUND_MERGED | BOUND_FULL | BOUND_GRID | BOUND_BLOCK | BOUND_LAYOUT | BOUND_CHAIN | BOUND_SIDES;
        if (rng_chance(&rules, 0.5))
            p2.without = rng_chance(&rules, 0.4) ? PLANS_FIRST : (unsigned)rng_int(&rules, 1, 4095);
        if (!ask(in, &p2, &b, seed, verbose)) ok = false;
        p2.gap = rng_range(&rules, 0.001, 0.3);
        if (!ask_bound(&p2, &b, seed)) ok = false;
    }
    if (!frontier_ends(seed)) ok = false;
    free(front);
    brute_free(&b);
    arena_free(&a);
    return ok;
}

/* Tests the judge: numbers of plans that can be counted by hand. */
static long count_simple(int zones, int types, int layers, const int *pool, int per_node, int degrees) {
    struct arena a = {0};
    struct shape shape = {types, zones, layers, layers, 1, 1, true};
    struct instance *in = instance_random(1, &shape, &a);
    for (int i = 0; i < zones * types; i++) in->pool[i] = pool[i];
    for (int g = 0; g < types; g++) in->gpu[g].gpus_per_node = per_node;
    for (int ti = 0; ti < TP_N; ti++)
        if (!(degrees >> ti & 1)) in->model.params[ti] = NULL;
    in->pin = (struct pin){0};
    in->pin.micro_batch_size = in->w.profile[0]->mb[0];
    in->exact_batch = false;
    struct search_problem p = instance_problem(in, OBJECTIVE_THROUGHPUT);
    long n = brute_count(&p, 1000000);
    arena_free(&a);
    return n;
}

static bool judge_counts(void) {
    static const struct {
        int zones, types, layers, pool[4], per_node, degrees;
        long plans;
    } cases[] = {
        {1, 1, 1, {1}, 1, 1, 1},
        {1, 1, 4, {4}, 1, 1, 14},       /* D 1: 1+3+3+1; D 2: 1+3 with P 1, 2; D 3, 4: 1 each */
        {1, 1, 1, {4}, 4, 7, 7},        /* tp 1: D 1..4; tp 2: D 1, 2; tp 4: D 1 */
        {1, 1, 1, {6}, 4, 4, 1},        /* a node of 4 and one of 2: one tp-4 */
        {2, 1, 1, {1, 1}, 1, 1, 4},     /* D 1: a zone each; D 2: two orders */
        {2, 1, 2, {1, 1}, 1, 1, 6},     /* and two pipelines of two stages */
        {1, 2, 1, {1, 1}, 1, 1, 3},     /* D 1: two; D 2: one, in the site's order */
        {3, 1, 1, {1, 1, 1}, 1, 1, 15}, /* D 1: 3; D 2: 3 pairs x 2 orders; D 3: 6 orders */
        {1, 2, 1, {2, 2}, 2, 3, 15},    /* D 1: 4; D 2: a alone 1, b alone 1, one of each 4; D 3: (1,2): 2,
                                           (2,1): 2; D 4: 1 */
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        long n = count_simple(cases[i].zones, cases[i].types, cases[i].layers, cases[i].pool,
                              cases[i].per_node, cases[i].degrees);
        if (n == cases[i].plans) continue;
        printf("# case %zu: %ld plans; expected %ld\n", i, n, cases[i].plans);
        ok = false;
    }
    return ok;
}

int main(int argc, char **argv) {
    int want = argc > 1 ? atoi(argv[1]) : getenv("SAILOR_LONG") ? 3000 : 300, failed = 0, done = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    bool verbose = argc > 3;
    if (getenv("SAILOR_TEST_LIMIT_S")) limit_s = atof(getenv("SAILOR_TEST_LIMIT_S"));
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", want + 1);
    bool counts = judge_counts();
    printf("%s 1 - brute force walks as many plans as counted by hand\n", counts ? "ok" : "not ok");
    failed += !counts;
    for (; done < want; done++) {
        uint64_t s = seed + (uint64_t)done;
        bool ok = one_instance(s, verbose);
        printf("%s %d - instance %llu\n", ok ? "ok" : "not ok", done + 2, (unsigned long long)s);
        failed += !ok;
    }
    printf("# %d instances, %ld questions (%ld with limits, %ld infeasible); brute: %ld plans, %ld in the "
           "space, %.1f s\n",
           done, total.questions, total.limited, total.infeasible, total.plans, total.points, total.brute_s);
    printf("# %ld questions with a choice of options, %ld answers that use them\n", total.varied,
           total.altered);
    printf("# frontier points: %ld, at most %ld; search %.1f s, slowest %.2f s (seed %llu)\n",
           total.frontier_points, total.frontier_max, total.search_s, total.slowest_s,
           (unsigned long long)total.slowest_seed);
    printf(
        "# %ld questions without a rule; %llu units closed in blocks (%ld bounds of blocks compared), "
        "%llu with "
        "merged zones, %llu partial plans with full zones, %llu cut by grids, %llu by links between types, "
        "%llu by what each region has, %llu windows narrowed by rent, %llu partial plans cut by traffic, "
        "%llu laid out, %llu pools of several islands\n",
        total.spared, (unsigned long long)total.bounds.block, total.blocks,
        (unsigned long long)total.bounds.merged, (unsigned long long)total.bounds.full,
        (unsigned long long)total.bounds.grid, (unsigned long long)total.bounds.chain,
        (unsigned long long)total.bounds.sides, (unsigned long long)total.bounds.rent,
        (unsigned long long)total.bounds.traffic, (unsigned long long)total.bounds.laid,
        (unsigned long long)total.bounds.islands);
    return failed || done < want;
}
