/* AMP: the published winners with their 32-bit times and ties, its estimator by hand, every list. */
#include "lists.h"

#include <math.h>
#include <string.h>

extern const struct planner amp_planner;

/* "13: A100-40x32 V100-16x32 | 13: V100-16x64": layers, and the replicas of each kind. */
static const char *describe(const struct site *s, const struct plan *p, struct arena *a) {
    const char *text = "";
    for (int k = 0; k < p->pipeline->n_stage; k++) {
        const struct stage *st = &p->pipeline->stage[k];
        text = arena_printf(a, "%s%s%d:", text, k ? " | " : "", st->end - st->first);
        for (int g = 0; g < st->n_group; g++)
            text = arena_printf(a, "%s %sx%d", text, s->gpu[st->group[g].gpu].name, st->group[g].count);
    }
    return text;
}

static void test_published(void **state) {
    (void)state;
    static const struct {
        const char *job;
        int row, before; /* better-ranked plans, all out of memory */
        double own_throughput, own_usd, throughput, usd;
        int tp;
        const char *zone, *plan;
    } published[] = {
        {"fig7", 0, 0, 0.15695949653258418, 0.20803017232112883, 0.11663235103444618, 0.2799592979264182, 1,
         "us-central1-a", "26: A100-40x32"},
        {"fig7", 1, 0, 0.2899628350447436, 0.2252172152067188, 0.2050006376440854, 0.3185581419293032, 1,
         "us-central1-a", "13: A100-40x32 | 13: A100-40x32"},
        {"fig7", 2, 0, 0.5252900235505491, 0.24864215688245608, 0.3237909344074449, 0.403375235577446, 1,
         "us-central1-a", "13: A100-40x64 | 13: A100-40x64"},
        {"fig8b", 0, 4, 0.26409170936805304, 0.4124284124824562, 0.13156709276492398, 0.8278584116702654, 1,
         "us-central1-a", "13: A100-40x32 V100-16x32 | 13: V100-16x64"},
        {"fig8b", 1, 3, 0.470902279477873, 0.47027358301973865, 0.20620651976334456, 1.0739374413397567, 1,
         "us-central1-a", "13: A100-40x80 V100-16x48 | 13: V100-16x128"},
        {"fig8b", 2, 0, 0.8000508149950778, 0.5445600324530098, 0.31245077555214823, 1.3943818734578983, 2,
         "us-central1-a", "26: A100-40x64 V100-16x192"},
        {"fig11", 0, 3, 0.47053238102866585, 0.4936919786782323, 0.2109268772726503, 1.1013203496202473, 1,
         "us-central1-b", "13: A100-40x128 | 13: V100-16x128"},
        {"fig12", 0, 3, 0.47053238102866585, 0.4936919786782323, 0.2109268772726503, 1.1013203496202473, 1,
         "us-central1-b", "13: A100-40x128 | 13: V100-16x128"},
    };
    struct arena a = {0};
    for (int i = 0; i < 8; i++) {
        struct job *j = fig_job(published[i].job, &a);
        struct question q = fig_question(&amp_planner, j, published[i].row, false, &a);
        struct row_result r = fig_walk(&amp_planner, published[i].job, published[i].row, false, &a);
        struct answer x = list_of(&amp_planner, &q, false, &a);
        const struct site *s = q.w->site;
        assert_int_equal(r.n_plan, 1);
        const struct plan *p = r.plan->plan;
        /* the same 32-bit number */
        fig_near(r.plan->planner_time_s, 1 / published[i].own_throughput, 1e-14, "own time", i);
        fig_near(r.plan->planner_cost_usd, published[i].own_usd, 1e-12, "own cost", i);
        fig_near(1 / r.plan->est.iteration_time_s, published[i].throughput, 1e-9, "throughput", i);
        fig_near(r.plan->est.cost_usd, published[i].usd, 1e-9, "cost", i);
        assert_string_equal(describe(s, p, &a), published[i].plan);
        assert_int_equal(p->micro_batch_size, 1);
        assert_int_equal(p->pipeline->stage->group->tp, published[i].tp);
        assert_string_equal(s->zone[p->pipeline->stage->group->zone], published[i].zone);
        int rank = 0;
        while (rank < x.n && plan_compare(x.proposal[rank].plan, p)) rank++;
        assert_int_equal(rank, published[i].before);
        for (int k = 0; k < rank; k++) { /* with one stage microbatches tie, and keep their order */
            assert_int_equal(x.proposal[k].plan->pipeline->n_stage, 1);
            assert_int_equal(x.proposal[k].plan->micro_batch_size, 1 << k);
            assert_true(x.proposal[k].time_s == x.proposal[0].time_s);
        }
    }
    arena_free(&a);
}

/* 2 stages of 2 in a node; 4 stages of 2 in two nodes; 2 stages of 4, a node each. */
static void test_by_hand(void **state) {
    (void)state;
    static const struct {
        int P, D, tp, m, cuts;
        bool rings;
    } cases[] = {{2, 2, 1, 4, 0, false}, {4, 2, 1, 1, 1, false}, {2, 4, 1, 2, 1, false},
                 {1, 8, 1, 2, 0, true},  {4, 1, 2, 1, 1, false}, {2, 4, 2, 8, 1, true},
                 {1, 1, 4, 1, 0, false}};
    struct arena a = {0};
    struct err e;
    struct guess g;
    const struct job *j = fig_job("fig7", &a);
    const struct workload *w = &j->workload;
    const struct model *mo = w->model;
    const struct pool_entry *at = j->pool->entry;
    double bw = site_link(w->site, at->zone, at->gpu, 4, at->zone, at->gpu, 4)->peak_Bps;
    for (int i = 0; i < 7; i++) {
        int P = cases[i].P, D = cases[i].D, tp = cases[i].tp, m = cases[i].m;
        const struct layer_times *t = profile_times(w->profile[at->gpu], 1, tp);
        const struct layer_times *tm = profile_times(w->profile[at->gpu], m, tp);
        const struct plan *p = grid_plan(w, at->zone, at->gpu, D, P, tp, m, &a);
        double slowest = 0, sum = 0, slowest_c = 0, sum_c = 0, most = 0;
        for (int k = 0; k < P; k++) {
            double x = 0, y = 0, params = 0;
            for (int l = p->pipeline->stage[k].first; l < p->pipeline->stage[k].end; l++)
                x += m * 3 * t->fwd_s[l], y += tm->fwd_s[l] + tm->bwd_s[l],
                    params += mo->params[tp_index(tp)][l];
            slowest = fmax(slowest, x);
            sum += x;
            slowest_c = fmax(slowest_c, y);
            sum_c += y;
            most = fmax(most, params);
        }
        double cut = 4. * m * mo->act_out[1] / bw * cases[i].cuts;
        double ring = cases[i].rings ? 2. * (D - 1) / D * 4 * most / bw : 0, more = 1024. / (D * m) - 1;
        assert_int_equal(amp_planner.estimate(w, NULL, p, false, &g, &a, &e), 0);
        fig_near(g.time_s, more * slowest + cut + sum + ring, 1e-6, "case", i);
        assert_true(isnan(g.peak_bytes));
        assert_int_equal(amp_planner.estimate(w, NULL, p, true, &g, &a, &e), 0); /* [Q2] */
        fig_near(g.time_s, more * slowest_c + 2 * cut + sum_c + ring + tm->update_s[0], 1e-6,
                 "corrected case", i);
    }
    /* not a grid: no estimate */
    struct plan *p = grid_plan(w, at->zone, at->gpu, 4, 2, 1, 1, &a);
    p->pipeline->stage[1].group->count = 2;
    assert_int_equal(amp_planner.estimate(w, NULL, p, false, &g, &a, &e), 0);
    assert_true(isnan(g.time_s));
    p->pipeline->stage[1].group->count = 4;
    p->pipeline->stage[1].group->tp = 2;
    assert_int_equal(amp_planner.estimate(w, NULL, p, false, &g, &a, &e), 0);
    assert_true(isnan(g.time_s));
    arena_free(&a);
}

/* ---- every list ---- */

static int seen;

static void see(const struct question *q, const struct answer *x) {
    struct arena a = {0};
    struct shown type[GPUS_MAX];
    int nodes = 0, batch = q->w->global_batch_size;
    for (int i = shown_types(q->pool, q->corrected, type) - 1; i >= 0; i--) nodes += type[i].gpus / 4;
    while (nodes && batch % (4 * nodes)) nodes--; /* whole nodes, as many as divide the batch */
    assert_int_equal(x->n > 0, nodes > 0);
    for (int i = 0; i < x->n; i++) {
        const struct proposal *y = &x->proposal[i];
        const struct pipeline *pl = y->plan->pipeline;
        int D = stage_replicas(pl->stage), tp = pl->stage->group->tp, m = y->plan->micro_batch_size;
        int L = q->w->model->n_layer, P = pl->n_stage, kinds = 0;
        double before = i ? q->objective == OBJECTIVE_COST ? y[-1].cost_usd : y[-1].time_s : 0;
        double now = q->objective == OBJECTIVE_COST ? y->cost_usd : y->time_s;
        assert_true(now > 0 && before <= now);
        assert_int_equal(D * P * tp, 4 * nodes);
        assert_int_equal(batch % (D * m), 0);
        for (int k = 0; k < P; k++) {
            assert_int_equal(stage_replicas(&pl->stage[k]), D);
            assert_int_equal(pl->stage[k].end - pl->stage[k].first,
                             k < P - 1 ? L / P : L - (P - 1) * (L / P));
            for (int g = 0; g < pl->stage[k].n_group; g++) {
                assert_int_equal(pl->stage[k].group[g].tp, tp);
                kinds += pl->stage[k].group[g].gpu != pl->stage->group->gpu;
                if (!q->corrected) /* the last entry's zone, whatever is there */
                    assert_int_equal(pl->stage[k].group[g].zone, q->pool->entry[q->pool->n_entry - 1].zone);
            }
        }
        for (int k = 0; k < i; k++)
            assert_true(plan_compare(x->proposal[k].plan, y->plan)); /* no plan twice */
        /* the estimator agrees about the plan; it sees only the types that a plan uses */
        if (kinds || q->pool->n_entry == 1) {
            struct guess g;
            struct err e;
            assert_int_equal(amp_planner.estimate(q->w, NULL, y->plan, q->corrected, &g, &a, &e), 0);
            fig_near(g.time_s, y->time_s, 1e-6, "estimate of plan", i);
        }
    }
    seen += x->n;
    arena_free(&a);
}

static void test_lists(void **state) {
    (void)state;
    seen = 0;
    list_each(&amp_planner, false, see);
    assert_true(seen > 2000);
}

/* Every grid of 32 GPUs once: tp 1, 2, 4; D divides the rest; P <= 26; m divides a replica's share. */
static void test_complete(void **state) {
    (void)state;
    struct arena a = {0};
    struct question q = fig_question(&amp_planner, fig_job("fig7", &a), 0, false, &a);
    int n = 0;
    for (int tp = 1; tp <= 4; tp *= 2)
        for (int D = 1; D * tp <= 32; D *= 2)
            for (int m = 1; m <= 1024 / D; m *= 2) n += 32 / tp / D <= 26;
    struct answer x = list_of(&amp_planner, &q, true, &a);
    assert_int_equal(x.n, n);
    assert_int_equal(x.states, n);
    arena_free(&a);
}

static void test_nothing(void **state) {
    (void)state;
    struct arena a = {0};
    struct question q = fig_question(&amp_planner, fig_job("fig7", &a), 0, false, &a);
    struct pool empty = {.count = ARENA_ARRAY(&a, int, q.w->site->n_zone * q.w->site->n_gpu)};
    q.pool = &empty;
    assert_int_equal(list_of(&amp_planner, &q, true, &a).n, 0);
    empty.n_entry = 1, empty.entry = &(struct pool_entry){0, 0, 3}; /* no whole node */
    assert_int_equal(list_of(&amp_planner, &q, true, &a).n, 0);
    arena_free(&a);
}

/* Ties keep the order of ids; unknown values come last. */
static void test_rank(void **state) {
    (void)state;
    struct proposal x[] = {{.time_s = 2, .cost_usd = 1, .id = 4},
                           {.time_s = NAN, .cost_usd = 2, .id = 0},
                           {.time_s = 1, .cost_usd = NAN, .id = 3},
                           {.time_s = 2, .cost_usd = 0, .id = 1},
                           {.time_s = NAN, .cost_usd = 1, .id = 2}};
    static const long by_time[] = {3, 1, 4, 0, 2}, by_cost[] = {1, 2, 4, 0, 3};
    rank_proposals(x, 5, false);
    for (int i = 0; i < 5; i++) assert_int_equal(x[i].id, by_time[i]);
    rank_proposals(x, 5, true);
    for (int i = 0; i < 5; i++) assert_int_equal(x[i].id, by_cost[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published), cmocka_unit_test(test_by_hand), cmocka_unit_test(test_lists),
        cmocka_unit_test(test_complete),  cmocka_unit_test(test_nothing), cmocka_unit_test(test_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
