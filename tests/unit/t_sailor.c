/* The published heuristic: its answers to the published experiments, its own estimate recomputed from the
 * plan alone, the shape of everything it proposes, and its modes with and without the defects. */
#include "fig.h"

#include <math.h>
#include <string.h>

extern const struct planner sailor_planner;

/* "4 0-13 A100-40/us-central1-a/4x8 ... | 13-26 ...": the microbatch, then per stage type/zone/degree x
 * replicas. */
static const char *text_of(const struct plan *p, const struct site *s, struct arena *a) {
    const char *t = arena_printf(a, "%d", p->micro_batch_size);
    for (int i = 0; i < p->pipeline->n_stage; i++) {
        const struct stage *st = &p->pipeline->stage[i];
        t = arena_printf(a, "%s%s %d-%d", t, i ? " |" : "", st->first, st->end);
        for (int g = 0; g < st->n_group; g++)
            t = arena_printf(a, "%s %s/%s/%dx%d", t, s->gpu[st->group[g].gpu].name,
                             s->zone[st->group[g].zone], st->group[g].tp, st->group[g].count);
    }
    return t;
}

/* The original's answers, none with a plan out of memory. Its own cost is a 32-bit float. */
static const struct {
    const char *job;
    int row;
    double throughput_per_s, usd, own_throughput_per_s, own_usd;
    const char *plan;
} published[] = {
    {"fig7", 0, 0.12510655842062857, 0.2609959983179198, 0.1234977409826179, 0.2691906988620758,
     "8 0-26 A100-40/us-central1-a/4x8"},
    {"fig7", 1, 0.2722438036767293, 0.2998443919579844, 0.26613348799957476, 0.31229105591773987,
     "4 0-26 A100-40/us-central1-a/4x20"},
    {"fig7", 2, 0.4175280035696071, 0.3128155317195874, 0.4053764449687254, 0.32803529500961304,
     "8 0-26 A100-40/us-central1-a/4x32"},
    {"fig8b", 0, 0.1699596659996623, 0.6288442282547929, 0.19012507658823194, 0.5566511154174805,
     "2 0-13 A100-40/us-central1-a/1x3 V100-16/us-central1-a/4x24 | 13-26 A100-40/us-central1-a/1x27"},
    {"fig8b", 1, 0.36091447932893067, 0.7544649126225398, 0.36226889201262935, 0.7446893453598022,
     "1 0-3 V100-16/us-central1-a/4x20 | 3-6 A100-40/us-central1-a/1x20 | 6-10 A100-40/us-central1-a/1x20 | "
     "10-14 A100-40/us-central1-a/1x20 | 14-18 A100-40/us-central1-a/1x20 | 18-22 V100-16/us-central1-a/4x20 "
     "| "
     "22-26 V100-16/us-central1-a/4x20"},
    {"fig8b", 2, 0.5228979089254144, 0.8331945688463673, 0.5257456999525578, 0.8210136890411377,
     "1 0-3 V100-16/us-central1-a/4x32 | 3-6 A100-40/us-central1-a/1x32 | 6-10 A100-40/us-central1-a/1x32 | "
     "10-14 A100-40/us-central1-a/1x32 | 14-18 A100-40/us-central1-a/1x32 | 18-22 V100-16/us-central1-a/4x32 "
     "| "
     "22-26 V100-16/us-central1-a/4x32"},
    {"fig10", 0, 0.41485338821768675, 0.4411359574255297, 0.405819285354121, 0.4539809823036194,
     "8 0-26 A100-40/us-central1-f/4x8 A100-40/us-central1-c/4x8 A100-40/us-central1-b/4x8 "
     "A100-40/us-central1-a/4x8"},
    {"fig10", 1, 0.7278048951756374, 0.6680072403558266, 0.7519962794355286, 0.630064070224762,
     "4 0-13 A100-40/us-central1-f/4x20 A100-40/us-central1-c/4x17 | 13-26 A100-40/us-central1-c/4x3 "
     "A100-40/us-central1-b/4x20 A100-40/us-central1-a/4x14"},
    {"fig10", 2, 1.0197815515098447, 0.7642320412201247, 1.0607941520496817, 0.7211062908172607,
     "4 0-13 A100-40/us-central1-f/4x32 A100-40/us-central1-c/4x32 | 13-26 A100-40/us-central1-c/4x1 "
     "A100-40/us-central1-b/4x32 A100-40/us-central1-a/4x31"},
    {"fig11", 0, 0.2349903049752242, 0.2779034744820962, 0.2322209808770352, 0.2863173186779022,
     "8 0-26 A100-40/us-central1-b/4x16"},
    {"fig12", 0, 0.6628729779863942, 0.4582406117949246, 0.6640350528170794, 0.46468475461006165,
     "8 0-26 A100-40/us-central1-b/4x32 A100-40/us-central1-a/4x32"},
};
enum { PUBLISHED = sizeof published / sizeof *published };

static void answers_as_published(void **state) {
    (void)state;
    for (int i = 0; i < PUBLISHED; i++) {
        struct arena a = {0};
        struct row_result r = fig_walk(&sailor_planner, published[i].job, published[i].row, false, &a);
        assert_int_equal(r.status, ROW_FEASIBLE);
        assert_int_equal(r.oom_plans, 0);
        const struct site *s = fig_job(published[i].job, &a)->workload.site;
        assert_string_equal(text_of(r.plan->plan, s, &a), published[i].plan);
        fig_near(1 / r.plan->est.iteration_time_s, published[i].throughput_per_s, 1e-12, "throughput", i);
        fig_near(r.plan->est.cost_usd, published[i].usd, 1e-12, "cost", i);
        fig_near(1 / r.plan->planner_time_s, published[i].own_throughput_per_s, 1e-12, "own throughput", i);
        fig_near(r.plan->planner_cost_usd, published[i].own_usd, 1e-6, "own cost", i);
        bool over = !strcmp(published[i].job, "fig10") && published[i].row == 2;
        assert_int_equal(r.note != NULL, over); /* [Q4] 132 of 128 GPUs of a zone */
        if (over) assert_non_null(strstr(r.note, "132 GPUs of type A100-40 in zone us-central1-c"));
        arena_free(&a);
    }
}

/* ---- everything that is proposed ---- */

static double ring_s(const struct link *l, double bytes, int D) {
    double t = 0;
    for (double left = bytes; D > 1 && left > 0; left -= 5e8)
        t += 2 * (D - 1) * link_time_s(l, floor(fmin(left, 5e8) / D), ESTIMATOR_SAILOR);
    return t;
}

static const struct replicas *replica(const struct stage *s, int j) {
    const struct replicas *g = s->group;
    while (j >= g->count) j -= g++->count;
    return g;
}

/* The faithful planner's own time, from the plan, from the last stage to the first. */
static double own_time_s(const struct workload *w, const struct plan *p) {
    const struct pipeline *pl = p->pipeline;
    int D = stage_replicas(&pl->stage[0]), m = p->micro_batch_size,
        M = (w->global_batch_size + m * D - 1) / (m * D);
    double first = 0, straggler = 0, comps = 0, acts = 0, syncs = 0, update = 0;
    for (int i = pl->n_stage - 1; i >= 0; i--) {
        const struct stage *s = &pl->stage[i];
        double comp = 0, bytes = 0, act = 0;
        const struct link *slow = NULL;
        for (int l = s->first; l < s->end; l++) bytes += 4 * w->model->params[0][l];
        for (int g = 0; g < s->n_group; g++) {
            const struct replicas *r = &s->group[g];
            const struct layer_times *t = profile_times(w->profile[r->gpu], m, r->tp);
            double sum = 0;
            for (int l = s->first; l < s->end; l++) sum += t->fwd_s[l] + t->bwd_s[l];
            comp = fmax(comp, sum);
            update = fmax(update, (s->end - s->first) * t->update_s[s->first]);
            const struct link *own = site_link(w->site, r->zone, r->gpu, r->tp, r->zone, r->gpu, r->tp);
            if (g && r[-1].gpu == r->gpu) continue; /* [Q3] */
            if (!slow || own->peak_Bps < slow->peak_Bps) slow = own;
        }
        if (i < pl->n_stage - 1)
            for (int j = 0; j < D; j++) {
                const struct replicas *r = replica(s, j), *to = replica(s + 1, j);
                const struct link *l = site_link(w->site, r->zone, r->gpu, r->tp, to->zone, to->gpu, to->tp);
                act = fmax(act, link_time_s(l, w->model->act_out[s->end - 1] * 4 * m, ESTIMATOR_SAILOR));
            }
        straggler = fmax(straggler, fmax(comp + act, first + act));
        first = comp + act;
        comps += comp;
        acts += act;
        syncs = fmax(syncs, ring_s(slow, bytes, D));
    }
    return (M - 1) * straggler + 2 * acts + comps + syncs + (pl->n_stage == 1 ? update : 0);
}

static struct answer ask(const struct question *q, struct arena *a) {
    struct answer x = {0};
    struct err e;
    if (sailor_planner.propose(q, &x, a, &e)) fail_msg("%s", e.text);
    return x;
}

/* By how many GPUs a plan exceeds its zones, summed over zones. */
static int over_used(const struct plan *p, const struct site *s, const int *pool, struct arena *a) {
    int *used = ARENA_ARRAY(a, int, s->n_zone * s->n_gpu), over = 0;
    plan_gpus(p, s, used);
    for (int i = 0; i < s->n_zone * s->n_gpu; i++) over += used[i] > pool[i] ? used[i] - pool[i] : 0;
    return over;
}

/* Valid plans, best first, in memory, in the pool. may_over_use: [Q4] can show, in the last stage of a
 * pipeline. */
static void check_all(const struct question *q, bool may_over_use) {
    struct arena a = {0};
    const struct workload *w = q->w;
    struct answer x = ask(q, &a);
    for (int i = 0; i < x.n; i++) {
        const struct proposal *y = &x.proposal[i];
        const struct plan *p = y->plan;
        struct estimate est = {0};
        struct err e;
        if (plan_check(p, w, "plan", &e)) fail_msg("%s", e.text);
        /* the simulator needs links between single GPUs of two zones, the planner does not: some types have
         * none */
        bool judged = !estimate_plan(w, p, ESTIMATOR_SAILOR, &est, &e);
        if (judged)
            assert_true(est.fits);
        else
            assert_true(strstr(e.text, "no link from") && strstr(e.text, "GH-96"));
        bool fits_pool = !plan_check_pool(p, w->site, q->pool->count, q->pool->nodes, "plan", &e);
        if (!fits_pool && (!may_over_use || !over_used(p, w->site, q->pool->count, &a)))
            fail_msg("%s", e.text);
        if (!fits_pool) { /* without its last stage it fits */
            struct plan cut = *p;
            struct pipeline front = {p->pipeline->n_stage - 1, p->pipeline->stage};
            cut.pipeline = &front;
            assert_int_equal(plan_check_pool(&cut, w->site, q->pool->count, q->pool->nodes, "plan", &e), 0);
        }
        const struct pipeline *pl = p->pipeline;
        int D = stage_replicas(&pl->stage[0]), L = w->model->n_layer, P = pl->n_stage;
        assert_int_equal(p->n_pipeline, 1);
        for (int k = 0; k < P; k++) {
            assert_int_equal(stage_replicas(&pl->stage[k]), D);
            assert_int_equal(pl->stage[k].end - pl->stage[k].first, L / P + (k >= P - L % P));
        }
        bool cheap = q->objective == OBJECTIVE_COST;
        if (i && cheap) assert_true(y[-1].cost_usd <= y->cost_usd);
        if (i && !cheap) assert_true(y[-1].time_s <= y->time_s);
        if (!cheap) assert_true(y->cost_usd <= q->max_usd_per_iteration);
        if (!q->corrected) fig_near(y->time_s, own_time_s(w, p), 1e-12, "own time of plan", i);
        if (cheap && !q->corrected) assert_int_equal(P, 1); /* [Q1] */
    }
    arena_free(&a);
}

static void proposes_valid_plans(void **state) {
    (void)state;
    for (int i = 0; i < PUBLISHED; i++)
        for (int corrected = 0; corrected < 2; corrected++) {
            struct arena a = {0};
            const struct job *j = fig_job(published[i].job, &a);
            struct question q = fig_question(&sailor_planner, j, published[i].row, corrected, &a);
            assert_true(ask(&q, &a).n > 0);
            check_all(&q, !corrected && !strcmp(published[i].job, "fig10"));
            arena_free(&a);
        }
}

static unsigned next_random(unsigned *x) { return (*x = *x * 1664525u + 1013904223u) >> 16; }

/* Pools of any shape: odd counts, two regions, up to three types; with and without a budget. */
static void proposes_valid_plans_for_random_pools(void **state) {
    (void)state;
    struct arena a = {0};
    const struct job *j = fig_job("fig12", &a);
    const struct site *s = j->workload.site;
    unsigned seed = 1;
    int with_plans = 0;
    for (int trial = 0; trial < 40; trial++) {
        int *count = ARENA_ARRAY(&a, int, s->n_zone * s->n_gpu);
        for (int z = 0; z < s->n_zone; z++)
            for (int k = 0; k < 3; k++)
                if (next_random(&seed) % 5 < 2)
                    count[z * s->n_gpu + (k == 2 ? 3 : k)] = (int)(next_random(&seed) % 11);
        struct pool pool = {.count = count};
        struct question q = fig_question(&sailor_planner, j, 0, trial & 1, &a);
        q.pool = &pool;
        q.objective = trial % 5 ? OBJECTIVE_THROUGHPUT : OBJECTIVE_COST;
        q.max_usd_per_iteration = trial % 3 ? INFINITY : 0.7;
        with_plans += ask(&q, &a).n > 0;
        check_all(&q, !(trial & 1));
    }
    assert_true(with_plans > 25);
    arena_free(&a);
}

/* ---- particular questions ---- */

static struct question asked(const struct job *j, int *count, struct pool *pool, bool corrected,
                             struct arena *a) {
    struct question q = fig_question(&sailor_planner, j, 0, corrected, a);
    *pool = (struct pool){.count = count};
    q.pool = pool;
    return q;
}

static void an_empty_pool_has_no_plan(void **state) {
    (void)state;
    struct arena a = {0};
    const struct job *j = fig_job("fig7", &a);
    struct pool pool;
    int none[ZONES_MAX * GPUS_MAX] = {0};
    for (int corrected = 0; corrected < 2; corrected++) {
        struct question q = asked(j, none, &pool, corrected, &a);
        struct planner_run run = {.estimator = ESTIMATOR_SAILOR};
        struct row_result r;
        struct err e;
        assert_int_equal(ask(&q, &a).n, 0);
        assert_int_equal(planner_walk(&sailor_planner, &q, &run, &r, &a, &e), 0);
        assert_int_equal(r.status, ROW_INFEASIBLE);
        assert_non_null(r.reason);
        assert_null(r.note);
    }
    arena_free(&a);
}

/* [Q5] Four V100 beside 80 A100 make the faithful plan slower than that of the A100 alone. */
static void a_second_type_does_no_harm_when_corrected(void **state) {
    (void)state;
    struct arena a = {0};
    const struct job *j = fig_job("fig7", &a);
    struct pool pool;
    int count[ZONES_MAX * GPUS_MAX] = {0};
    count[0] = 80;
    struct question q = asked(j, count, &pool, false, &a);
    double alone_s = ask(&q, &a).proposal[0].time_s;
    count[1] = 4;
    double faithful_s = ask(&q, &a).proposal[0].time_s;
    q.corrected = true;
    double corrected_s = ask(&q, &a).proposal[0].time_s;
    assert_true(faithful_s > 1.02 * alone_s);
    assert_true(corrected_s <= alone_s);
    arena_free(&a);
}

/* [Q1] For cost, the faithful planner considers only one stage (check_all), the corrected one more. */
static void cheap_plans_may_have_stages_when_corrected(void **state) {
    (void)state;
    struct arena a = {0};
    const struct job *j = fig_job("fig11", &a);
    struct pool pool;
    int count[ZONES_MAX * GPUS_MAX] = {0};
    count[1] = 24;
    struct question q = asked(j, count, &pool, true, &a);
    q.min_iterations_per_s = 0;
    struct answer x = ask(&q, &a);
    int deep = 0;
    for (int i = 0; i < x.n; i++) deep += x.proposal[i].plan->pipeline->n_stage > 1;
    assert_true(deep > 0);
    arena_free(&a);
}

/* [Q2] The corrected planner's cost of a plan without traffic is time x the site's price. */
static void prices_are_the_site_s_when_corrected(void **state) {
    (void)state;
    struct arena a = {0};
    const struct job *j = fig_job("fig8b", &a);
    for (int corrected = 0; corrected < 2; corrected++) {
        struct question q = fig_question(&sailor_planner, j, 0, corrected, &a);
        struct answer x = ask(&q, &a);
        for (int i = 0; i < x.n; i++) {
            double usd = rental_usd(&j->workload, x.proposal[i].plan, x.proposal[i].time_s);
            if (corrected)
                fig_near(x.proposal[i].cost_usd, usd, 1e-12, "cost of plan", i);
            else
                assert_true(fabs(x.proposal[i].cost_usd / usd - 1) > 1e-4);
        }
    }
    arena_free(&a);
}

/* A type without a price still gives pipelines, at an unknown cost; but none within a budget. */
static void an_unknown_price_limits_only_budgets(void **state) {
    (void)state;
    struct arena a = {0};
    const struct job *j = fig_job("fig7", &a);
    struct pool pool;
    int count[ZONES_MAX * GPUS_MAX] = {0}, deep = 0;
    count[2] = 16;
    assert_true(isnan(j->workload.site->usd_per_gpu_hour[2]));
    for (int corrected = 0; corrected < 2; corrected++, deep = 0) {
        struct question q = asked(j, count, &pool, corrected, &a);
        struct answer x = ask(&q, &a);
        for (int i = 0; i < x.n; i++) {
            deep += x.proposal[i].plan->pipeline->n_stage > 1;
            assert_true(isnan(x.proposal[i].cost_usd));
        }
        assert_true(deep > 0);
        q.max_usd_per_iteration = 100;
        assert_int_equal(ask(&q, &a).n, 0);
    }
    arena_free(&a);
}

static bool at_once(void *ctx) {
    ++*(int *)ctx;
    return true;
}

static void gives_up_when_told(void **state) {
    (void)state;
    struct arena a = {0};
    struct question q = fig_question(&sailor_planner, fig_job("fig12", &a), 0, false, &a);
    struct planner_run run = {.estimator = ESTIMATOR_SAILOR};
    struct row_result r = {.status = ROW_TODO};
    struct err e;
    int polled = 0;
    q.hooks = &(struct search_hooks){.ctx = &polled, .stop = at_once};
    assert_int_equal(planner_walk(&sailor_planner, &q, &run, &r, &a, &e), 1);
    assert_int_equal(r.status, ROW_TODO);
    assert_true(polled > 0);
    struct answer x = ask(&q, &a);
    assert_true(x.states <= 1024);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_as_published),
        cmocka_unit_test(proposes_valid_plans),
        cmocka_unit_test(proposes_valid_plans_for_random_pools),
        cmocka_unit_test(an_empty_pool_has_no_plan),
        cmocka_unit_test(a_second_type_does_no_harm_when_corrected),
        cmocka_unit_test(cheap_plans_may_have_stages_when_corrected),
        cmocka_unit_test(prices_are_the_site_s_when_corrected),
        cmocka_unit_test(an_unknown_price_limits_only_budgets),
        cmocka_unit_test(gives_up_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
