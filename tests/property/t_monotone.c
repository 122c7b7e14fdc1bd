/* The search alone, on pools too large to enumerate: more GPUs, more zones, a larger budget or a lower floor
 * never make the answer worse; the frontier answers every budget as the budgeted search does; no random plan
 * of the space beats the answer; nothing is used more often than it exists. Usage: t_monotone [INSTANCES
 * [SEED]] */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "brute.h"
#include "shapes.h"

static const double EPS = 1e-9;

/* A search that does not end is reported as a fault instead of hanging. */
static bool stop(void *ctx) { return now_s() > *(double *)ctx; }

static struct {
    long searches, sampled, feasible_samples;
    double search_s, slowest_s;
    uint64_t slowest_seed;
} total;

static const char *fault; /* the first fault of the current instance */

static void wrong(struct arena *a, const char *what, double x, double y) {
    if (!fault) fault = arena_printf(a, "%s: %.17g, %.17g", what, x, y);
}

/* Value of the answer: INFINITY if infeasible. */
static double answer(const struct instance *in, const struct search_problem *p, struct row_result *row,
                     struct arena *a) {
    double began = now_s(), until = began + 30;
    struct search_hooks hooks = {.ctx = &until, .stop = stop};
    struct err e = {0};
    *row = (struct row_result){0};
    int rc = search_row(p, row, &hooks, NULL, 2, a, &e);
    double took = now_s() - began;
    total.searches++;
    total.search_s += took;
    if (took > total.slowest_s) total.slowest_s = took, total.slowest_seed = in->seed;
    if (rc)
        wrong(a, rc == 1 ? "not finished after 30 s" : arena_printf(a, "search_row(): %s", e.text), rc, took);
    if (rc || row->status == ROW_INFEASIBLE) return INFINITY;
    if (row->status != ROW_OPTIMAL || row->gap != 0)
        wrong(a, "not optimal: status, gap", row->status, row->gap);
    int n = p->objective == OBJECTIVE_FRONTIER ? row->n_frontier : row->n_plan;
    for (int i = 0; i < n; i++) {
        const struct found_plan *f = p->objective == OBJECTIVE_FRONTIER ? &row->frontier[i] : &row->plan[i];
        struct estimate est = {.stage = NULL};
        if (plan_check(f->plan, p->w, "found", &e) ||
            plan_check_pool(f->plan, p->w->site, p->pool, NULL, "found", &e))
            wrong(a, arena_printf(a, "%s", e.text), i, n);
        else if (estimate_plan(p->w, f->plan, p->estimator, &est, &e) || !est.fits ||
                 est.iteration_time_s != f->est.iteration_time_s)
            wrong(a, "estimate differs", est.iteration_time_s, f->est.iteration_time_s);
    }
    if (n < 1) {
        wrong(a, "feasible without a plan", n, 0);
        return INFINITY;
    }
    if (p->objective == OBJECTIVE_FRONTIER) return row->frontier[0].est.iteration_time_s;
    return p->objective == OBJECTIVE_COST ? row->plan[0].est.cost_usd : row->plan[0].est.iteration_time_s;
}

static void not_worse(struct arena *a, const char *what, double more, double less) {
    if (less == INFINITY) return; /* after no answer, nothing is worse */
    if (!(more <= less * (1 + EPS))) wrong(a, what, more, less);
}

/* ---- random plans of the declared space --------------------------------------------- */

struct sample {
    int m, D, P, cut[64], zone_order[ZONES_MAX];
    struct replicas group[64][12];
    int n_group[64];
};

/* A random degree of GPU type g; false if it has none. */
static bool degree(const struct instance *in, int m, int g, int *tp, struct rng *r) {
    int n = 0;
    for (int ti = 0; ti < TP_N; ti++)
        if (1 << ti <= in->site.gpu[g].gpus_per_node && in->model.params[ti] &&
            profile_times(in->w.profile[g], m, 1 << ti) && rng_int(r, 0, n++) == 0)
            *tp = 1 << ti;
    return n > 0;
}

/* One stage: D replicas over random cells, one degree per type, in the plan's zone order. */
static bool draw_stage(const struct instance *in, struct sample *s, int i, struct rng *r) {
    int ng = in->site.n_gpu, n = in->site.n_zone * ng, count[32] = {0}, tp[GPUS_MAX] = {0},
        only = rng_int(r, 0, n - 1);
    bool mixed = rng_chance(r, 0.5);
    for (int j = 0; j < s->D; j++) {
        int c = mixed ? rng_int(r, 0, n - 1) : only;
        while (!in->pool[c]) c = (c + 1) % n;
        count[c]++;
    }
    s->n_group[i] = 0;
    for (int k = 0; k < in->site.n_zone; k++)
        for (int g = 0; g < ng; g++) {
            int z = s->zone_order[k], c = z * ng + g;
            if (!count[c]) continue;
            if (!tp[g] && !degree(in, s->m, g, &tp[g], r)) return false;
            s->group[i][s->n_group[i]++] =
                (struct replicas){.gpu = g, .zone = z, .tp = tp[g], .count = count[c]};
        }
    return true;
}

static bool draw_cuts(const struct instance *in, struct sample *s, struct rng *r) {
    int L = in->model.n_layer, n = 0;
    bool cut[LAYERS_MAX] = {false};
    for (int left = s->P - 1; left > 0;) {
        int l = rng_int(r, 1, L - 1);
        if (!cut[l]) cut[l] = true, left--;
    }
    for (int l = 0; l < L; l++)
        if (l == 0 || cut[l]) s->cut[n++] = l;
    s->cut[n] = L;
    return n == s->P;
}

static bool draw_sample(const struct instance *in, struct sample *s, struct rng *r) {
    int gpus = 0, L = in->model.n_layer;
    for (int c = 0; c < in->site.n_zone * in->site.n_gpu; c++) gpus += in->pool[c];
    const struct profile *p = in->w.profile[rng_int(r, 0, in->site.n_gpu - 1)];
    if (!p || !p->n_mb) return false;
    s->m = p->mb[rng_int(r, 0, p->n_mb - 1)];
    s->P = rng_int(r, 1, L < 6 ? L : 6);
    s->D = (int)rng_log(r, 1, gpus / s->P + 1);
    for (int z = 0; z < in->site.n_zone; z++) s->zone_order[z] = z;
    for (int z = in->site.n_zone - 1; z > 0; z--) {
        int y = rng_int(r, 0, z), t = s->zone_order[z];
        s->zone_order[z] = s->zone_order[y];
        s->zone_order[y] = t;
    }
    for (int i = 0; i < s->P; i++)
        if (!draw_stage(in, s, i, r)) return false;
    return draw_cuts(in, s, r);
}

/* Time and cost of a sample, false if it is not in the space. */
static bool judge(const struct instance *in, struct sample *s, struct estimate *est) {
    struct stage stage[64];
    struct pipeline pipeline = {s->P, stage};
    struct plan plan = {.model = in->model.name,
                        .site = in->site.name,
                        .global_batch_size = in->w.global_batch_size,
                        .micro_batch_size = s->m,
                        .n_pipeline = 1,
                        .pipeline = &pipeline};
    struct err e;
    for (int i = 0; i < s->P; i++)
        stage[i] = (struct stage){s->cut[i], s->cut[i + 1], s->n_group[i], s->group[i]};
    total.sampled++;
    if (in->exact_batch && in->w.global_batch_size % (s->m * s->D)) return false;
    if (plan_check(&plan, &in->w, "sample", &e) ||
        plan_check_pool(&plan, &in->site, in->pool, NULL, "sample", &e))
        return false;
    if (!brute_links_usable(&in->w, &plan, in->estimator)) return false;
    est->stage = NULL;
    if (estimate_plan(&in->w, &plan, in->estimator, est, &e) || !est->fits) return false;
    total.feasible_samples++;
    return true;
}

/* Random plans, each improved by random changes: none may beat the answers. */
static void sampling(const struct instance *in, double time, double cost, struct rng *r, struct arena *a) {
    for (int start = 0; start < 60; start++) {
        struct sample best, next;
        struct estimate b, n;
        bool money = rng_chance(r, 0.5);
        bool drawn = false;
        for (int attempt = 0; attempt < 30 && !drawn; attempt++)
            drawn = draw_sample(in, &best, r) && judge(in, &best, &b);
        if (!drawn) continue;
        for (int step = 0; step < 60; step++) {
            next = best;
            if (next.P > 1 && rng_chance(r, 0.5)) {
                int k = rng_int(r, 1, next.P - 1), to = next.cut[k] + (rng_chance(r, 0.5) ? 1 : -1);
                if (to <= next.cut[k - 1] || to >= next.cut[k + 1]) continue;
                next.cut[k] = to;
            } else if (!draw_stage(in, &next, rng_int(r, 0, next.P - 1), r)) {
                continue;
            }
            if (judge(in, &next, &n) &&
                (money ? n.cost_usd < b.cost_usd : n.iteration_time_s < b.iteration_time_s))
                best = next, b = n;
        }
        if (b.iteration_time_s < time * (1 - EPS))
            wrong(a, "a random plan is faster", b.iteration_time_s, time);
        if (b.cost_usd < cost * (1 - EPS)) wrong(a, "a random plan is cheaper", b.cost_usd, cost);
    }
}

/* ---- one instance ------------------------------------------------------------------- */

static void one_instance(struct instance *in, struct rng *r, struct arena *a) {
    struct row_result row;
    int cells = in->site.n_zone * in->site.n_gpu, *full = in->pool;
    in->pin = (struct pin){0};
    struct search_problem time_p = instance_problem(in, OBJECTIVE_THROUGHPUT),
                          cost_p = instance_problem(in, OBJECTIVE_COST);
    double time = answer(in, &time_p, &row, a), cost = answer(in, &cost_p, &row, a);

    /* fewer GPUs in some cells */
    int *less = ARENA_ARRAY(a, int, cells);
    for (int step = 0; step < 2; step++) {
        for (int c = 0; c < cells; c++) less[c] = full[c] - (rng_chance(r, 0.6) ? rng_int(r, 0, full[c]) : 0);
        time_p.pool = cost_p.pool = less;
        not_worse(a, "more GPUs, more time", time, answer(in, &time_p, &row, a));
        not_worse(a, "more GPUs, more cost", cost, answer(in, &cost_p, &row, a));
    }
    time_p.pool = cost_p.pool = full;

    if (in->site.n_zone > 1) { /* one zone of them */
        struct pin pin = {.zones = 1u << rng_int(r, 0, in->site.n_zone - 1)};
        time_p.pin = cost_p.pin = &pin;
        not_worse(a, "more zones, more time", time, answer(in, &time_p, &row, a));
        not_worse(a, "more zones, more cost", cost, answer(in, &cost_p, &row, a));
        time_p.pin = cost_p.pin = &in->pin;
    }

    struct search_problem all_p = instance_problem(in, OBJECTIVE_FRONTIER);
    struct row_result all;
    double first = answer(in, &all_p, &all, a);
    if (first != time && !(fabs(first - time) <= EPS * time))
        wrong(a, "the frontier starts elsewhere", first, time);
    if (!all.n_frontier || time == INFINITY) return;
    double last = all.frontier[all.n_frontier - 1].est.cost_usd;
    if (!(fabs(last - cost) <= EPS * fabs(cost))) wrong(a, "the frontier ends elsewhere", last, cost);

    /* budgets and floors, ascending, against each other and against the frontier */
    double hi_cost = all.frontier[0].est.cost_usd,
           hi_time = all.frontier[all.n_frontier - 1].est.iteration_time_s;
    double before_t = INFINITY, before_c = INFINITY;
    for (int k = 0; k < 3; k++) {
        double budget = cost * 0.99 + (hi_cost * 1.01 - cost * 0.99) * (k + rng_unit(r)) / 3;
        double limit = time * 0.99 + (hi_time * 1.01 - time * 0.99) * (k + rng_unit(r)) / 3;
        double want_t = INFINITY, want_c = INFINITY;
        for (int i = all.n_frontier - 1; i >= 0; i--)
            if (all.frontier[i].est.cost_usd <= budget) want_t = all.frontier[i].est.iteration_time_s;
        for (int i = 0; i < all.n_frontier; i++)
            if (1 / all.frontier[i].est.iteration_time_s >= 1 / limit) want_c = all.frontier[i].est.cost_usd;
        time_p.max_usd_per_iteration = budget;
        cost_p.min_iterations_per_s = 1 / limit;
        double t = answer(in, &time_p, &row, a), c = answer(in, &cost_p, &row, a);
        if (t != want_t && !(fabs(t - want_t) <= EPS * want_t))
            wrong(a, "with a budget: search, frontier", t, want_t);
        if (c != want_c && !(fabs(c - want_c) <= EPS * fabs(want_c)))
            wrong(a, "with a floor: search, frontier", c, want_c);
        not_worse(a, "larger budget, more time", t, before_t);
        not_worse(a, "lower floor, more cost", c, before_c);
        before_t = t;
        before_c = c;
    }
    sampling(in, time, cost, r, a);
}

int main(int argc, char **argv) {
    int want = argc > 1 ? atoi(argv[1]) : getenv("SAILOR_LONG") ? 300 : 36, failed = 0, done = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", want);
    for (; done < want; done++) {
        struct arena a = {0};
        uint64_t s = seed + (uint64_t)done;
        struct instance *in = NULL;
        for (uint64_t attempt = 0; !in || !in->prices_known; attempt++)
            in = instance_random(s * 1000 + attempt, &medium_shape[s % MEDIUM_SHAPES], &a);
        struct rng r = {.seed = s ^ 0x30303};
        fault = NULL;
        one_instance(in, &r, &a);
        if (fault) {
            printf("# FAULT: %s\n#   reproduce: t_monotone 1 %llu\n", fault, (unsigned long long)s);
            instance_print(stdout, in);
        }
        printf("%s %d - instance %llu\n", fault ? "not ok" : "ok", done + 1, (unsigned long long)s);
        failed += fault != NULL;
        arena_free(&a);
    }
    printf("# %d instances, %ld searches in %.1f s, slowest %.2f s (instance seed %llu); %ld random plans, "
           "%ld of them in the space\n",
           done, total.searches, total.search_s, total.slowest_s, (unsigned long long)total.slowest_seed,
           total.sampled, total.feasible_samples);
    return failed || done < want;
}
