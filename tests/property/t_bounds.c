/* Bounds against plans. Whatever plan there is must survive a goal just above it: the windows that hold it
 * open, no bound on them is above it, and the search of each, held to the plan's own stages, comes to it. So
 * nothing needs to be enumerated, and plans may be larger than those of t_exact. They are drawn, made better
 * by swaps, and asked for in a pool of little more than they use, in windows cut in two around them; then in
 * the pool with merged zones, and in blocks of units. Usage: t_bounds [INSTANCES [SEED]]; SAILOR_LONG=1 in
 * the environment: 5000 instances. */
#include <stdlib.h>
#include <string.h>

#include "search/merge.h"
#include "search/solve.h"
#include "search/tree.h"
#include "brute.h"
#include "random.h"
#include "sim/estimate.h"

static const double JUST = 1e-9, ROUNDING = 1e-11, EDGE = 1e-12;

static struct { long plans, crossing, merged, windows, chain, sides, grid, blocks, rest, unbuilt; } total;

/* A plan, and what windows look at. */
struct held {
    const struct plan *plan;
    double time_s, cost_usd, slowest_s, sync_s, usd_per_s;
};

static const struct pipeline *pipe_of(const struct held *q) { return &q->plan->pipeline[0]; }
static int replicas_of(const struct held *q) { return stage_replicas(&pipe_of(q)->stage[0]); }

/* ---- plans --------------------------------------------------------------------------- */

static bool measure(const struct instance *in, const struct plan *p, struct held *q) {
    struct stage_estimate stage[LAYERS_MAX];
    struct estimate est = {.stage = stage};
    struct err e;
    if (estimate_plan(&in->w, p, in->estimator, &est, &e) || !est.fits) return false;
    if (!(est.iteration_time_s > 0) || !(est.iteration_time_s < INFINITY)) return false;
    *q = (struct held){p, est.iteration_time_s, est.cost_usd,
                       0, est.sync_time_s,      plan_usd_per_hour(p, &in->site) / 3600};
    for (int i = 0; i < p->pipeline[0].n_stage; i++)
        q->slowest_s = fmax(q->slowest_s, stage_period_s(&stage[i]));
    return true;
}

/* For each type a degree that it was profiled at, the least one in half of the cases; -1: there is none. */
static void draw_degrees(const struct instance *in, int m, int *degree, struct rng *r) {
    for (int g = 0; g < in->site.n_gpu; g++) {
        int ok[TP_N], n = 0;
        for (int ti = 0; ti < TP_N; ti++)
            if (1 << ti <= in->gpu[g].gpus_per_node && in->model.params[ti] &&
                profile_times(in->w.profile[g], m, 1 << ti))
                ok[n++] = ti;
        degree[g] = n ? ok[rng_chance(r, 0.5) ? 0 : rng_int(r, 0, n - 1)] : -1;
    }
}

/* A stage of D replicas in up to `spread` cells, zones in one order for all stages. */
static bool draw_stage(const struct instance *in, struct stage *st, int m, int D, int spread, const int *zone,
                       struct rng *r, struct arena *a) {
    int n_gpu = in->site.n_gpu, n_zone = in->site.n_zone, degree[GPUS_MAX],
        count[ZONES_MAX][GPUS_MAX] = {{0}};
    int n = rng_chance(r, 0.6) ? 1 : rng_int(r, 1, spread < D ? spread : D);
    draw_degrees(in, m, degree, r);
    for (int c = 0, left = D; c < n; c++) {
        int z = rng_int(r, 0, n_zone - 1), g = rng_int(r, 0, n_gpu - 1);
        int x = c == n - 1 ? left : rng_int(r, 1, left - (n - 1 - c));
        if (degree[g] < 0) return false;
        count[z][g] += x;
        left -= x;
    }
    st->group = ARENA_ARRAY(a, struct replicas, n_zone * n_gpu);
    for (int k = 0; k < n_zone; k++)
        for (int g = 0; g < n_gpu; g++)
            if (count[zone[k]][g])
                st->group[st->n_group++] = (struct replicas){
                    .gpu = g, .zone = zone[k], .tp = 1 << degree[g], .count = count[zone[k]][g]};
    return true;
}

static struct plan *draw_plan(const struct instance *in, int D, struct rng *r, struct arena *a) {
    const struct profile *any = in->w.profile[rng_int(r, 0, in->site.n_gpu - 1)];
    if (!any || !any->n_mb) return NULL;
    int m = any->mb[rng_int(r, 0, any->n_mb - 1)], L = in->model.n_layer, P = rng_int(r, 1, L < 7 ? L : 7);
    int zone[ZONES_MAX], first = 0, spread = rng_chance(r, 0.5) ? 1 : 4;
    struct plan *p = plan_new(&in->w, m, 1, P, a);
    p->options = in->w.options;
    for (int z = 0; z < in->site.n_zone; z++) {
        int k = rng_int(r, 0, z);
        zone[z] = zone[k];
        zone[k] = z;
    }
    for (int i = 0; i < P; i++) {
        struct stage *st = &p->pipeline[0].stage[i];
        st->first = first;
        st->end = first = i == P - 1 ? L : rng_int(r, first + 1, L - (P - i - 1));
        if (!draw_stage(in, st, m, D, spread, zone, r, a)) return NULL;
    }
    return p;
}

/* Moves a cut by a layer, or swaps two stages. False: that would leave a stage without layers. */
static bool change(struct pipeline *pl, struct rng *r) {
    int i = rng_int(r, 1, pl->n_stage - 1), step = rng_chance(r, 0.5) ? 1 : -1;
    struct stage *st = &pl->stage[i], *other = &pl->stage[rng_int(r, 0, pl->n_stage - 1)], was = *st;
    if (rng_chance(r, 0.5)) {
        st->group = other->group;
        st->n_group = other->n_group;
        other->group = was.group;
        other->n_group = was.n_group;
        return true;
    }
    st->first += step;
    st[-1].end += step;
    return st->first < st->end && st[-1].first < st[-1].end;
}

static void settle(const struct instance *in, struct plan *p, bool cost, struct rng *r) {
    struct pipeline *pl = &p->pipeline[0];
    struct held q, best;
    bool any = measure(in, p, &best);
    for (int k = rng_chance(r, 0.5) ? 400 : rng_int(r, 0, 200); k > 0 && pl->n_stage > 1; k--) {
        struct stage before[LAYERS_MAX];
        memcpy(before, pl->stage, sizeof *before * (size_t)pl->n_stage);
        bool ok = change(pl, r) && measure(in, p, &q);
        if (ok && (!any || (cost ? q.cost_usd <= best.cost_usd : q.time_s <= best.time_s))) {
            best = q;
            any = true;
        } else
            memcpy(pl->stage, before, sizeof *before * (size_t)pl->n_stage);
    }
}

/* ---- instances ----------------------------------------------------------------------- */

/* Zones in three regions: links between them are slower, and in half of the cases those between types. */
static void spread_links(struct instance *in, struct rng *r, struct arena *a) {
    int n_gpu = in->site.n_gpu, region[ZONES_MAX];
    size_t side = (size_t)in->site.n_zone * (size_t)n_gpu * TP_N;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    double far = rng_log(r, 0.03, 0.5), types = rng_chance(r, 0.5) ? rng_log(r, 0.1, 0.6) : 1;
    for (int z = 0; z < in->site.n_zone; z++) region[z] = rng_int(r, 0, 2);
    for (size_t i = 0; i < side * side; i++) {
        int x = (int)(i / side / TP_N), y = (int)(i % side / TP_N);
        double f = (region[x / n_gpu] != region[y / n_gpu] ? far : 1) * (x % n_gpu != y % n_gpu ? types : 1);
        link[i] = in->site.link[i];
        link[i].c0 *= f;
        link[i].c1 *= f;
        link[i].c2 *= f;
        link[i].rate_Bps *= f;
    }
    in->site.link = link;
}

/* Traffic that costs about as much as GPUs, and GPUs that are free. */
static void spread_prices(struct instance *in, struct rng *r, struct arena *a) {
    int nz = in->site.n_zone, n = nz * in->site.n_gpu;
    double *egress = ARENA_ARRAY(a, double, nz * nz), *usd = ARENA_ARRAY(a, double, n);
    double f = rng_log(r, 10, 10000), flat = rng_chance(r, 0.5) ? rng_log(r, 0.01, 10) : 0;
    bool traffic = rng_chance(r, 0.6), free_gpus = rng_chance(r, 0.3);
    for (int i = 0; i < nz * nz; i++) {
        double was = in->site.egress_usd_per_GB[i];
        egress[i] = !traffic || i % (nz + 1) == 0 ? was : flat > 0 ? flat : was * f;
    }
    for (int i = 0; i < n; i++) usd[i] = free_gpus && rng_chance(r, 0.3) ? 0 : in->site.usd_per_gpu_hour[i];
    in->site.egress_usd_per_GB = egress;
    in->site.usd_per_gpu_hour = usd;
}

static struct instance *draw_instance(uint64_t seed, struct rng *r, struct arena *a) {
    bool many = seed % 4 == 3; /* types: classes or patterns are left out */
    struct shape shape = {.gpu_types = many ? rng_int(r, 2, 5) : rng_int(r, 1, 3),
                          .zones = rng_int(r, 1, 4),
                          .layers_min = 2,
                          .layers_max = 10,
                          .gpus_min = 4,
                          .gpus_max = 20,
                          .plain = rng_chance(r, 0.5)};
    struct instance *in = instance_random(seed, &shape, a);
    in->pin = (struct pin){0};
    in->exact_batch = false;
    if (seed % 5 == 1) instance_rate_links(in, a);
    if (rng_chance(r, 0.7)) spread_links(in, r, a);
    if (in->estimator == ESTIMATOR_NATIVE && rng_chance(r, 0.3)) {
        in->w.options.zero = 1;
        in->w.altered = true;
        in->w.shared_bytes_per_param = rng_range(r, 1, 16);
    }
    if (rng_chance(r, 0.5)) in->w.global_batch_size = rng_int(r, 1, 12); /* the sum of the stages counts */
    if (in->prices_known) spread_prices(in, r, a);
    return in;
}

/* What the plan uses, in some instances a little more, and a few GPUs elsewhere, with that chance. False:
 * nodes do not hold it. */
static bool draw_pool(struct instance *in, const struct plan *p, double elsewhere, struct rng *r,
                      struct arena *a) {
    int n = in->site.n_zone * in->site.n_gpu, spare = rng_chance(r, 0.6) ? 0 : 2;
    struct err e;
    in->pool = ARENA_ARRAY(a, int, n);
    for (int i = 0; i < p->pipeline[0].n_stage; i++)
        for (int g = 0; g < p->pipeline[0].stage[i].n_group; g++) {
            const struct replicas *x = &p->pipeline[0].stage[i].group[g];
            in->pool[site_at(&in->site, x->zone, x->gpu)] += x->tp * x->count;
        }
    for (int i = 0; i < n; i++)
        if (in->pool[i] ? spare : rng_chance(r, elsewhere)) in->pool[i] += rng_int(r, 0, 2);
    if (!plan_check_pool(p, &in->site, in->pool, NULL, "plan", &e)) return true;
    for (int i = 0; i < n; i++) { /* whole nodes, then */
        int per = in->gpu[i % in->site.n_gpu].gpus_per_node;
        in->pool[i] = (in->pool[i] + per - 1) / per * per;
    }
    return !plan_check_pool(p, &in->site, in->pool, NULL, "plan", &e);
}

/* ---- the plan in the space ----------------------------------------------------------- */

static int cell_of(const struct space *s, const struct replicas *x) {
    const struct space *real = s->merged_from ? s->merged_from : s;
    int c = 0;
    while (real->cell[c].zone != x->zone || real->cell[c].gpu != x->gpu) c++;
    return s->merged_from ? s->image[c] : c;
}

static bool is_pattern(const struct pattern *q, const int *degree, int n_cell) {
    int n = 0;
    for (int c = 0; c < n_cell; c++) n += degree[c] >= 0;
    if (q->n != n) return false;
    for (int k = 0; k < n; k++)
        if (degree[q->cell[k]] != q->ti[k]) return false;
    return true;
}

/* The class and the pattern of a stage. */
static struct only_stage stage_in(const struct space *s, const struct mb_space *mb, const struct stage *st) {
    int degree[CELLS_MAX];
    signed char ti[GPUS_MAX];
    struct only_stage x = {st->first, -1, -1};
    memset(degree, -1, sizeof degree);
    memset(ti, -1, sizeof ti);
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *y = &st->group[g];
        degree[cell_of(s, y)] = ti[y->gpu] = (signed char)tp_index(y->tp);
    }
    for (int c = 0; c < mb->n_class; c++)
        if (mb->cls[c].rest ? x.cls < 0 : !memcmp(mb->cls[c].ti, ti, (size_t)s->p->w->site->n_gpu)) x.cls = c;
    for (int k = 0; k < mb->n_pattern && x.pattern < 0; k++)
        if (mb->pattern[k].cls == x.cls && is_pattern(&mb->pattern[k], degree, s->n_cell)) x.pattern = k;
    total.rest += x.cls >= 0 && mb->cls[x.cls].rest;
    total.unbuilt += x.pattern < 0;
    return x;
}

static int scope_in(const struct space *s, const struct pipeline *pl) {
    unsigned regions = 0;
    int before[64], now[64];
    bool cross = false;
    for (int i = 0; i < pl->n_stage; i++) {
        int n = 0;
        for (int g = 0; g < pl->stage[i].n_group; g++)
            for (int k = 0; k < pl->stage[i].group[g].count; k++) {
                now[n] = s->cell[cell_of(s, &pl->stage[i].group[g])].region;
                regions |= 1u << now[n++];
            }
        cross |= i && memcmp(now, before, sizeof *now * (size_t)n);
        memcpy(before, now, sizeof now);
    }
    if (s->n_region == 1) return 0;
    total.crossing += cross;
    return cross ? s->n_region + 1 : regions & (regions - 1) ? s->n_region : __builtin_ctz(regions);
}

/* ---- windows ------------------------------------------------------------------------- */

/* The search of one unit, for one plan. */
struct hunt {
    struct window_tables t;
    struct tree tree;
    struct unit unit;
    struct proof proof;
    struct goal goal;
    struct point front[2];
    const struct held *q;
    const struct instance *in;
    bool met;
};

static bool not_above(const struct hunt *h, double time_s, double cost_usd) {
    bool fast = time_s <= h->q->time_s * (1 + JUST), cheap = cost_usd <= h->q->cost_usd * (1 + JUST);
    return h->goal.objective == OBJECTIVE_FRONTIER ? fast && cheap
           : h->goal.objective == OBJECTIVE_COST   ? cheap
                                                   : fast;
}

static void offered(void *ctx, const struct plan *p) {
    struct hunt *h = ctx;
    struct held found;
    if (!h->met && measure(h->in, p, &found)) h->met = not_above(h, found.time_s, found.cost_usd);
}

static void bounded(void *ctx, double time_lb, double cost_lb) {
    struct hunt *h = ctx;
    h->met |= not_above(h, time_lb, cost_lb);
}

static struct goal goal_at(const struct search_problem *p, const struct held *q, struct point front[2]) {
    struct goal g = {.objective = p->objective,
                     .best = (p->objective == OBJECTIVE_COST ? q->cost_usd : q->time_s) * (1 + JUST),
                     .max_time_s = goal_longest_time(p->min_iterations_per_s),
                     .max_usd = p->max_usd_per_iteration,
                     .min_per_s = p->min_iterations_per_s};
    if (p->objective != OBJECTIVE_FRONTIER) return g;
    front[0] = (struct point){q->time_s * (1 - 1e-6), q->cost_usd * (1 + JUST)};
    front[1] = (struct point){q->time_s * (1 + JUST), q->cost_usd * (1 - 1e-6)};
    g.best = INFINITY;
    g.n_front = 2;
    g.front = front;
    return g;
}

/* Is a sum of stage times at least this above the plan? */
static bool above(const struct hunt *h, double sum) {
    const struct window *w = &h->t.w;
    double lb = window_time(&h->t, w->x_lo, fmax(sum, w->x_lo), h->t.u_min, w->y_lo);
    return goal_excludes(&h->goal, lb, 0) || lb > h->q->time_s * (1 + JUST);
}

static bool lies_in(const struct window *w, const struct held *q, double edge, double rent_edge) {
    return w->x_lo <= q->slowest_s * (1 + edge) && w->x_hi >= q->slowest_s * (1 - edge) &&
           w->y_lo <= q->sync_s * (1 + edge) && w->y_hi >= q->sync_s * (1 - edge) &&
           w->r_lo <= q->usd_per_s * (1 + rent_edge) && w->r_hi >= q->usd_per_s * (1 - rent_edge);
}

/* A window that holds the plan, and the halves that hold it; what is wrong, or NULL. */
static const char *hunt_down(struct hunt *h, struct window w, unsigned with) {
    struct window half[2];
    for (int k = 0; k < 8; k++) {
        double sum;
        if (!lies_in(&w, h->q, EDGE, JUST)) return "it is outside of the first window";
        h->t.chain.on = with & BOUND_CHAIN && h->t.mb->n_group;
        total.windows++;
        if (!window_open(&h->t, w)) return "a window around it does not open";
        total.chain += h->t.chain.built;
        w = h->t.w;
        if (goal_excludes(&h->goal, w.time_lb, w.cost_lb)) return "a window around it is bounded above it";
        h->tree.sides.on = h->tree.grid.on = false;
        if (with & BOUND_SIDES && sides_build(&h->tree.sides, &sum)) {
            total.sides++;
            if (above(h, sum)) return "what the regions have is bounded above it";
        }
        if (with & BOUND_GRID && grid_build(&h->tree.grid, w.price, &sum)) {
            total.grid++;
            if (above(h, sum)) return "a grid is bounded above it";
        }
        h->met = false;
        h->proof.open_lb = INFINITY;
        tree_search(&h->tree);
        double open = h->proof.open_lb;
        bool left = h->goal.objective == OBJECTIVE_COST ? not_above(h, 0, open) : not_above(h, open, 0);
        if (!h->met && !left) return "the search of a window around it does not come to it";
        if (!window_split(&h->t, &w, half)) return NULL;
        if (lies_in(&half[0], h->q, -EDGE, -JUST))
            w = half[0];
        else if (lies_in(&half[1], h->q, -EDGE, -JUST))
            w = half[1];
        else
            return NULL;
    }
    return NULL;
}

static const char *in_windows(const struct instance *in, const struct space *s, const struct mb_space *mb,
                              const struct held *q, struct memo *memo, struct rng *r, struct arena *a) {
    const struct pipeline *pl = pipe_of(q);
    struct only_stage only[LAYERS_MAX];
    struct hunt *h = ARENA_NEW(a, struct hunt);
    for (int i = 0; i < pl->n_stage; i++) {
        only[pl->n_stage - 1 - i] = stage_in(s, mb, &pl->stage[i]);
        if (only[pl->n_stage - 1 - i].cls < 0) return "a stage of it has no class";
    }
    h->q = q;
    h->in = in;
    h->goal = goal_at(s->p, q, h->front);
    h->proof = proof_begin(&h->goal, 0, 0);
    window_tables_init(&h->t, s, a);
    tree_init(&h->tree, &h->t, &h->proof, memo, a);
    unit_build(&h->unit, s, mb, replicas_of(q), replicas_of(q), a);
    window_begin_unit(&h->t, &h->unit, &h->goal, a);
    struct tree *v = &h->tree;
    v->u = &h->unit;
    v->mb = mb;
    v->goal = &h->goal;
    v->offer = offered;
    v->bound = bounded;
    v->ctx = h;
    v->only = only;
    v->batch_end = UINT64_MAX;
    grid_forget(&v->grid);
    unsigned with = rng_chance(r, 0.7) ? ~0u : (unsigned)rng_next(r);
    if (!rng_chance(r, 0.4)) with &= ~(unsigned)BOUND_GRID; /* they take most of the time */
    const char *fault = hunt_down(h, window_first(&h->t, scope_in(s, pl)), with);
    tree_free(v);
    return fault;
}

/* ---- bounds without windows ---------------------------------------------------------- */

static bool beyond(const struct space *s, struct point lb, const struct held *q) {
    return lb.time_s > q->time_s * (1 + ROUNDING) || (s->money && lb.cost_usd > q->cost_usd * (1 + ROUNDING));
}

static const char *in_blocks(const struct space *s, const struct mb_space *mb, const struct held *q,
                             struct memo *memo, struct rng *r, struct arena *a) {
    int D = replicas_of(q);
    double *ring = ARENA_ARRAY(a, double, s->n_range);
    unit_least_rings(s, D, ring);
    if (beyond(s, unit_crude_bound(s, mb, D, ring, goal_longest_time(s->p->min_iterations_per_s)), q))
        return "the crude bound of its unit is above it";
    struct workspace *w = workspace_new(s, memo);
    struct point front[2];
    const char *fault = NULL;
    for (int k = 0; k < 2 && D > 1 && !fault; k++) {
        struct goal goal = goal_at(s->p, q, front);
        if (!k) goal.best = INFINITY;
        goal.n_front = 0;
        total.blocks++;
        if (beyond(s, unit_root_bound(w, mb, rng_int(r, 2, D), rng_int(r, D, 2 * D), &goal), q))
            fault = "a block is bounded above it";
    }
    workspace_free(w);
    return fault;
}

/* ---- all of it ----------------------------------------------------------------------- */

static const char *bounded_above(struct instance *in, struct held *q, bool cost, struct memo *memo,
                                 struct rng *r, struct arena *a) {
    struct search_problem p = instance_problem(in, OBJECTIVE_THROUGHPUT);
    struct err e;
    if (q->cost_usd > 0) { /* and known */
        if (cost) p.objective = rng_chance(r, 0.5) ? OBJECTIVE_COST : OBJECTIVE_FRONTIER;
        if (rng_chance(r, 0.3)) p.max_usd_per_iteration = q->cost_usd;
    }
    if (rng_chance(r, 0.2)) p.min_iterations_per_s = 1 / q->time_s;
    p.with = BOUND_CHAIN | BOUND_GRID | BOUND_SIDES;
    const struct space *s = space_build(&p, NULL, 1, a, &e);
    const struct mb_space *mb = NULL;
    for (int i = 0; i < s->n_mb; i++)
        if (s->mb[i].m == q->plan->micro_batch_size) mb = &s->mb[i];
    if (!mb) return "its microbatch is not in the space";
    if (!s->money) q->usd_per_s = 0;
    total.plans++;
    const char *fault = in_blocks(s, mb, q, memo, r, a);
    if (!fault) fault = in_windows(in, s, mb, q, memo, r, a);
    if (fault || !space_can_merge(s)) return fault;
    const struct space *merged = space_merge(s, a);
    total.merged++;
    fault = in_windows(in, merged, &merged->mb[mb - s->mb], q, memo, r, a);
    return fault ? arena_printf(a, "merged zones: %s", fault) : NULL;
}

static bool one_instance(uint64_t seed, struct memo *memo) {
    struct rng rng = {.seed = seed ^ 0xa0d17}, *r = &rng;
    struct arena a = {0};
    struct instance *in = draw_instance(seed, r, &a);
    bool ok = true;
    for (int k = 0; k < 6; k++) {
        struct arena b = {0};
        bool cost = in->prices_known && rng_chance(r, 0.5);
        struct plan *p = draw_plan(in, seed % 3 == 2 ? rng_int(r, 2, 24) : rng_int(r, 1, 6), r, &b);
        struct held q;
        if (p) settle(in, p, cost, r);
        if (p && measure(in, p, &q) && brute_links_usable(&in->w, p, in->estimator) &&
            draw_pool(in, p, seed % 4 == 3 ? 0.9 : 0.2, r, &b)) {
            const char *fault = bounded_above(in, &q, cost, memo, r, &b);
            if (fault) {
                printf("# FAULT: plan %d of %.17g s, %.17g USD: %s\n#   reproduce: t_bounds 1 %llu\n", k,
                       q.time_s, q.cost_usd, fault, (unsigned long long)seed);
                instance_print(stdout, in);
                plan_print(stdout, p, &in->site);
                ok = false;
            }
        }
        arena_free(&b);
    }
    arena_free(&a);
    return ok;
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : getenv("SAILOR_LONG") ? 5000 : 300, failed = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct memo *memo = memos_new(1);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (long i = 0; i < n; i++) failed += !one_instance(seed + (uint64_t)i, memo);
    memos_free(memo, 1);
    printf(
        "# %ld plans, %ld across regions; %ld with merged zones; %ld windows: %ld with links between types, "
        "%ld "
        "with sides, %ld with grids; %ld blocks; %ld stages of the class for the rest, %ld of patterns not "
        "built\n",
        total.plans, total.crossing, total.merged, total.windows, total.chain, total.sides, total.grid,
        total.blocks, total.rest, total.unbuilt);
    printf("%ld passed, %ld failed\n", n - failed, failed);
    return failed > 0;
}
