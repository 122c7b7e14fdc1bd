/* Metis: its estimates of the measured runs, its published answers, and what must hold for every list. */
#include "fig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

extern const struct planner metis_planner;

enum { A100, V100, A100_80, GH }; /* the site's order */

/* Published estimates of the measured runs. */
static void test_measured_runs(void **state) {
    (void)state;
    static const struct {
        const char *run;
        double time_s, memory_GB;
        int stages;
    } gold[] = {
        {"N1_D1_M4_G1", 0.115714, 4.919, 1}, {"N1_D1_M4_G32", 2.673586, 4.919, 1},
        {"N2_D1", 0.635790, 14.168, 2},      {"N2_D2", 0.746900, 7.764, 1},
        {"N4_D1", 1.564585, 1.511, 4},       {"N4_D2", 1.526104, 2.716, 2},
        {"N4_D4", 1.049461, 13.454, 1},      {"N8_D2", 2.252902, 7.618, 4},
        {"N8_D4", 2.186643, 14.168, 2},      {"N16_D16", 1.888576, 24.832, 1},
        {"N16_D4", 2.253589, 7.618, 4},      {"N16_D8", 2.187225, 14.168, 2},
        {"N32_D16", 1.155939, 14.168, 2},    {"N32_D32", 0.965291, 24.832, 1},
        {"N32_D8", 1.215916, 7.618, 4},
    };
    struct arena a = {0};
    for (int i = 0; i < 15; i++) {
        struct guess g = fig_measured(&metis_planner, gold[i].run, false, &a);
        fig_near(g.time_s, gold[i].time_s, 0.6e-6 / gold[i].time_s, gold[i].run, i);
        fig_near(g.peak_bytes / 1e9, gold[i].memory_GB, 0.6e-3 / gold[i].memory_GB, gold[i].run, i);
        struct guess fixed = fig_measured(&metis_planner, gold[i].run, true, &a);
        if (!(fixed.time_s > 0 && fixed.time_s < g.time_s * 1.2))
            fail_msg("%s: fixed %g s", gold[i].run, fixed.time_s);
        /* [Q10] microbatches in flight: more memory with several stages */
        assert_true(gold[i].stages > 1 ? fixed.peak_bytes > 1.2 * g.peak_bytes
                                       : fixed.peak_bytes == g.peak_bytes);
    }
    arena_free(&a);
}

/* Published answers, all reproduced to the last digit; figure 12 is in test_other_order. */
static void test_published_answers(void **state) {
    (void)state;
    static const struct {
        const char *job;
        int row, oom, m;
        double own_ms, iterations_per_s;
        struct {
            int layers, gpu, count, tp;
        } stage[9];
    } gold[] = {
        {"fig7", 0, 1, 2, 6497.198738347843, 0.12061669198961007, {{26, A100, 32, 1}}},
        {"fig7", 1, 1, 2, 3331.480137353453, 0.1878435299814537, {{26, A100, 64, 1}}},
        {"fig7", 2, 1, 2, 1748.620836856257, 0.2521388924776243, {{26, A100, 128, 1}}},
        {"fig8b",
         0,
         0,
         2,
         4015.6105568720845,
         0.12383319437231018,
         {{8, A100, 16, 1}, {7, A100, 16, 1}, {4, V100, 32, 1}, {7, V100, 32, 2}}},
        {"fig8b",
         1,
         0,
         1,
         2954.649783371653,
         0.2513780785976334,
         {{11, A100, 32, 1}, {10, A100, 32, 1}, {5, V100, 32, 2}}},
        {"fig8b",
         2,
         0,
         1,
         1308.1079658876142,
         0.44147521638183823,
         {{4, A100, 32, 1},
          {4, A100, 32, 1},
          {4, A100, 32, 1},
          {4, A100, 32, 1},
          {3, V100, 32, 4},
          {2, V100, 32, 2},
          {2, V100, 32, 2},
          {3, V100, 32, 4}}},
        {"fig11",
         0,
         0,
         1,
         1626.5195489024459,
         0.38764689558433746,
         {{11, A100, 64, 1}, {10, A100, 64, 1}, {5, V100, 64, 2}}},
        {"fig12",
         0,
         0,
         1,
         1626.5195489024459,
         0.38764689558433746,
         {{11, A100, 64, 1}, {10, A100, 64, 1}, {5, V100, 64, 2}}},
    };
    struct arena a = {0};
    for (size_t i = 0; i < sizeof gold / sizeof *gold; i++) {
        struct row_result r = fig_walk(&metis_planner, gold[i].job, gold[i].row, false, &a);
        assert_int_equal(r.status, ROW_FEASIBLE);
        fig_near(1000 * r.plan->planner_time_s, gold[i].own_ms, 1e-12, gold[i].job, gold[i].row);
        fig_near(1 / r.plan->est.iteration_time_s, gold[i].iterations_per_s, 1e-12, gold[i].job, gold[i].row);
        assert_int_equal(r.oom_plans, gold[i].oom);
        assert_int_equal(r.plan->plan->micro_batch_size, gold[i].m);
        const struct pipeline *p = r.plan->plan->pipeline;
        for (int k = 0; k < p->n_stage || gold[i].stage[k].layers; k++) {
            assert_true(k < p->n_stage);
            const struct stage *s = &p->stage[k];
            assert_int_equal(s->n_group, 1);
            assert_int_equal(s->end - s->first, gold[i].stage[k].layers);
            assert_int_equal(s->group->gpu, gold[i].stage[k].gpu);
            assert_int_equal(s->group->count, gold[i].stage[k].count);
            assert_int_equal(s->group->tp, gold[i].stage[k].tp);
        }
    }
    arena_free(&a);
}

static struct answer ask(const struct question *q, struct arena *a) {
    struct answer x;
    struct err e;
    if (metis_planner.propose(q, &x, a, &e)) fail_msg("%s", e.text);
    return x;
}

/* The whole list of a row, by its length and the sum of its times. The values are this program's own, to
 * notice a change in any cut of layers; the published lists are unknown. */
static void test_whole_lists(void **state) {
    (void)state;
    static const struct {
        int corrected, n;
        double sum_s;
    } gold[] = {{0, 12142, 79830.93728342}, {1, 12207, 80864.99015998}};
    struct arena a = {0};
    for (int i = 0; i < 2; i++) {
        struct question q = fig_question(&metis_planner, fig_job("fig8b", &a), 0, gold[i].corrected, &a);
        struct answer x = ask(&q, &a);
        double sum_s = 0;
        for (int k = 0; k < x.n; k++) sum_s += x.proposal[k].time_s;
        fig_near(sum_s, gold[i].sum_s, 1e-9, "sum of the times", i);
        assert_int_equal(x.n, gold[i].n);
    }
    arena_free(&a);
}

/* The published answer of figure 12 came from the other order of types (there a hash set's, here the
 * pool's). */
static void test_other_order(void **state) {
    (void)state;
    struct arena a = {0};
    struct job *j = fig_job("fig12", &a);
    struct question q = fig_question(&metis_planner, j, 0, false, &a);
    const struct pool_entry *x = q.pool->entry, turned[] = {x[2], x[3], x[0], x[1]};
    assert_int_equal(q.pool->n_entry, 4);
    struct pool pool = *q.pool;
    pool.entry = turned;
    q.pool = &pool;
    struct planner_run run = {.estimator = ESTIMATOR_SAILOR};
    struct row_result r;
    struct err e;
    assert_int_equal(planner_walk(&metis_planner, &q, &run, &r, &a, &e), 0);
    assert_int_equal(r.n_plan, 1);
    fig_near(1000 * r.plan->planner_time_s, 1526.8488387364596, 1e-12, "fig12", 0);
    fig_near(1 / r.plan->est.iteration_time_s, 0.3124764793907197, 1e-12, "fig12", 0);
    fig_near(r.plan->est.cost_usd, 0.7434097525521509, 1e-12, "fig12", 0);
    assert_int_equal(r.oom_plans, 0);
    const struct pipeline *p = r.plan->plan->pipeline;
    assert_true(p->n_stage == 2 && p->stage[0].end == 7 && p->stage[0].group->gpu == V100);
    arena_free(&a);
}

/* Checks that every plan on the list is valid, within the pool, ranked, uses all GPUs of the types shown and
 * covers the batch, and that estimator and search agree where they should (corrected, one GPU type in stage
 * 0). Returns the number of plans. */
static int check_list(const struct question *q, bool may_overuse, struct arena *a) {
    struct answer x = ask(q, a);
    int used_first = -1, compared = 0;
    for (int i = 0; i < x.n; i++) {
        struct arena scratch = {0};
        struct err e;
        const struct proposal *y = &x.proposal[i];
        const struct plan *p = y->plan ? y->plan : x.build(&x, y->id, &scratch);
        const struct pipeline *l = p->pipeline;
        int used = 0, vms = 0, split = 0;
        if (plan_check(p, q->w, "metis", &e)) fail_msg("%d: %s", i, e.text);
        if (!may_overuse && plan_check_pool(p, q->w->site, q->pool->count, q->pool->nodes, "metis", &e))
            fail_msg("%d: %s", i, e.text);
        assert_true(isfinite(y->time_s) && y->time_s > 0 && (!i || y->time_s >= x.proposal[i - 1].time_s));
        for (int k = 0; k < l->n_stage; k++)
            for (int g = 0; g < l->stage[k].n_group; g++) {
                const struct replicas *r = &l->stage[k].group[g];
                used += r->tp * r->count;
                vms += r->n_vm;
                split += r->tp > 1 ? r->tp : 0;
                assert_true(r->tp <= 4);
            }
        assert_int_equal(vms, q->corrected ? 0 : split);
        if (used_first < 0) used_first = used;
        assert_int_equal(used, used_first);
        long D = stage_replicas(l->stage), B = q->w->global_batch_size;
        assert_true(B / (D * p->micro_batch_size) > 0);
        if (q->corrected && l->stage->n_group == 1) {
            struct guess g;
            assert_int_equal(metis_planner.estimate(q->w, NULL, p, true, &g, &scratch, &e), 0);
            fig_near(g.time_s, y->time_s, 1e-9, "estimate of plan", i);
            compared++;
        }
        arena_free(&scratch);
    }
    if (q->corrected && x.n) assert_true(compared > 0);
    return x.n;
}

static void test_lists(void **state) {
    (void)state;
    static const char *const jobs[] = {"fig7", "fig8b", "fig11", "fig12"};
    for (int i = 0; i < 4; i++)
        for (int corrected = 0; corrected < 2; corrected++) {
            struct arena a = {0};
            struct job *j = fig_job(jobs[i], &a);
            for (int row = 0; row < j->n_pool; row++) {
                struct question q = fig_question(&metis_planner, j, row, corrected, &a);
                q.states = 100000;
                assert_true(check_list(&q, false, &a) > 1000);
            }
            arena_free(&a);
        }
}

/* The pool of figure 7's site with these GPUs. */
static struct pool pool_of(const struct job *j, int n, const struct pool_entry *x, struct arena *a) {
    int types = j->workload.site->n_gpu, *count = ARENA_ARRAY(a, int, j->workload.site->n_zone * types);
    for (int i = 0; i < n; i++) count[x[i].zone * types + x[i].gpu] = x[i].count;
    return (struct pool){.time_s = NAN, .count = count, .n_entry = n, .entry = x};
}

static void test_random_pools(void **state) {
    (void)state;
    unsigned r = 1;
    int found[2] = {0};
    for (int n = 0; n < 24; n++) {
        struct arena a = {0};
        struct job *j = fig_job("fig7", &a);
        struct pool_entry x[4];
        int k = 0;
        for (int gpu = 0; gpu < 4; gpu++) {
            r = r * 1664525u + 1013904223u;
            if (r >> 31) x[k++] = (struct pool_entry){r >> 20 & 1, gpu, 1 + (int)(r >> 24 & 31)};
        }
        struct pool pool = pool_of(j, k, x, &a);
        for (int corrected = 0; corrected < 2; corrected++) {
            struct question q = fig_question(&metis_planner, j, 0, corrected, &a);
            q.pool = &pool;
            q.states = 20000;
            /* faithful: all types count as in the zone of the last one */
            found[corrected] += check_list(&q, !corrected, &a) > 0;
        }
        arena_free(&a);
    }
    assert_true(found[0] > 10 && found[1] > 10);
}

/* Splits of `left` GPUs into stages of powers of two from `least`, in any order. */
static int count_splits(int S, int least, int left) {
    int n = 0;
    if (S == 0) return left == 0;
    for (int g = least; g <= left; g *= 2) n += count_splits(S - 1, least, left - g);
    return n;
}

/* Two nodes: every split for up to 8 stages is in the list, and none is enumerated twice. */
static void test_small_pool_is_enumerated(void **state) {
    (void)state;
    struct arena a = {0};
    struct job *j = fig_job("fig7", &a);
    struct pool_entry eight = {0, A100, 8};
    struct pool pool = pool_of(j, 1, &eight, &a);
    struct question q = fig_question(&metis_planner, j, 0, false, &a);
    q.pool = &pool;
    struct answer x = ask(&q, &a);
    int expected = 0, n = 0;
    for (int S = 1; S <= 8; S++) {
        int least = 1;
        while (2 * least < 8 / S) least *= 2;
        expected += count_splits(S, least, 8);
    }
    char(*seen)[9] = calloc((size_t)x.n, sizeof *seen);
    char(*whole)[24] = calloc((size_t)x.n, sizeof *whole);
    for (int i = 0; i < x.n; i++) {
        const struct plan *p = x.build(&x, x.proposal[i].id, &a);
        char split[9] = "", all[24] = "";
        int k = 0;
        for (; k < p->pipeline->n_stage; k++) {
            const struct replicas *r = p->pipeline->stage[k].group;
            split[k] = (char)('0' + r->tp * r->count);
            all[k] = (char)('0' + r->tp);
        }
        strcpy(all + k, split);
        all[2 * k] = (char)('0' + p->micro_batch_size);
        for (int y = 0; y < i; y++) assert_string_not_equal(whole[y], all);
        strcpy(whole[i], all);
        int y = 0;
        while (y < n && strcmp(seen[y], split)) y++;
        if (y == n) strcpy(seen[n++], split);
    }
    assert_int_equal(n, expected);
    free(seen);
    free(whole);
    arena_free(&a);
}

/* The same list each time; a smaller budget gives a part of it. */
static void test_reproducible(void **state) {
    (void)state;
    struct arena a = {0};
    struct question q = fig_question(&metis_planner, fig_job("fig8b", &a), 0, false, &a);
    q.states = 50000;
    struct answer x = ask(&q, &a), y = ask(&q, &a);
    assert_int_equal(x.n, y.n);
    assert_true(x.states == y.states && x.states >= 50000 && x.states < 51000);
    for (int i = 0; i < x.n; i++) {
        assert_true(x.proposal[i].time_s == y.proposal[i].time_s);
        assert_int_equal(plan_compare(x.build(&x, x.proposal[i].id, &a), y.build(&y, y.proposal[i].id, &a)),
                         0);
    }
    q.states = 5000;
    struct answer less = ask(&q, &a);
    assert_true(less.n > 0 && less.n < x.n);
    for (int i = 0, k = 0; i < less.n; i++, k++) {
        while (k < x.n && x.proposal[k].time_s != less.proposal[i].time_s) k++;
        assert_true(k < x.n);
    }
    arena_free(&a);
}

/* [Q1] 20 nodes of A100: every type is given 16, even one that has fewer. */
static void test_twenty_nodes(void **state) {
    (void)state;
    struct arena a = {0};
    struct job *j = fig_job("fig7", &a);
    struct pool_entry x[] = {{0, A100, 80}, {0, V100, 32}};
    struct pool pool = pool_of(j, 2, x, &a);
    int used[2];
    for (int corrected = 0; corrected < 2; corrected++) {
        struct question q = fig_question(&metis_planner, j, 0, corrected, &a);
        q.pool = &pool;
        q.states = 20000;
        struct answer y = ask(&q, &a);
        assert_true(y.n > 0);
        int *n = ARENA_ARRAY(&a, int, q.w->site->n_zone * q.w->site->n_gpu);
        plan_gpus(y.build(&y, y.proposal[0].id, &a), q.w->site, n);
        used[corrected] = n[A100] * 1000 + n[V100];
    }
    assert_int_equal(used[0], 64064);
    assert_int_equal(used[1], 80032);
    arena_free(&a);
}

static void test_nothing_to_plan(void **state) {
    (void)state;
    struct arena a = {0};
    struct job *j = fig_job("fig7", &a);
    struct pool_entry few[] = {{0, A100, 3}, {0, V100, 0}}; /* no whole node */
    struct pool empty = pool_of(j, 0, few, &a), crumbs = pool_of(j, 2, few, &a);
    for (int corrected = 0; corrected < 2; corrected++) {
        struct question q = fig_question(&metis_planner, j, 0, corrected, &a);
        q.pool = &empty;
        assert_int_equal(ask(&q, &a).n, 0);
        q.pool = &crumbs;
        assert_int_equal(ask(&q, &a).n, 0);
    }
    /* GPUs, but no profile for the relative times of layers */
    const struct profile **none = ARENA_ARRAY(&a, const struct profile *, j->workload.site->n_gpu);
    none[GH] = j->workload.profile[GH];
    j->workload.profile = none;
    struct pool_entry gh = {0, GH, 8};
    struct pool pool = pool_of(j, 1, &gh, &a);
    struct question q = fig_question(&metis_planner, j, 0, false, &a);
    struct answer x;
    struct err e;
    q.pool = &pool;
    assert_int_equal(metis_planner.propose(&q, &x, &a, &e), -1);
    assert_int_equal(e.code, EXIT_INPUT);
    q.corrected = true;
    assert_true(ask(&q, &a).n > 0);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured_runs),
        cmocka_unit_test(test_published_answers),
        cmocka_unit_test(test_whole_lists),
        cmocka_unit_test(test_other_order),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_random_pools),
        cmocka_unit_test(test_small_pool_is_enumerated),
        cmocka_unit_test(test_reproducible),
        cmocka_unit_test(test_twenty_nodes),
        cmocka_unit_test(test_nothing_to_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
