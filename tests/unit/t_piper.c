/* Piper: the published estimates and plans, and the dynamic program against all plans of small cases. */
#include "lists.h"

#include <math.h>
#include <string.h>

extern const struct planner piper_planner;

/* The published program's seconds and bytes for the measured runs: six digits times the microbatches. */
static void test_measured(void **state) {
    (void)state;
    static const struct {
        const char *run;
        double time_s, bytes;
    } published[] = {
        {"N1_D1_M4_G1", 0.082512, 4919490000}, {"N1_D1_M4_G32", 2.640384, 4919490000},
        {"N2_D1", 0.516512, 20334200000},      {"N2_D2", 0.7182624, 7764190000},
        {"N4_D1", 1.5080512, 2731950000},      {"N4_D2", 1.479744, 3412640000},
        {"N4_D4", 1.0231072, 13453600000},     {"N8_D2", 2.0845888, 18765000000},
        {"N8_D4", 2.0730496, 20334200000},     {"N16_D16", 1.863936, 24832400000},
        {"N16_D4", 2.0859648, 18765000000},    {"N16_D8", 2.0742144, 20334200000},
        {"N32_D16", 1.04177408, 20334200000},  {"N32_D32", 0.94093312, 24832400000},
        {"N32_D8", 1.04574208, 18765000000},
    };
    struct arena a = {0};
    for (int i = 0; i < 15; i++) {
        struct guess g = fig_measured(&piper_planner, published[i].run, false, &a);
        fig_near(g.time_s, published[i].time_s, 1e-13, "time of run", i);
        fig_near(g.peak_bytes, published[i].bytes, 1e-13, "memory of run", i);
    }
    /* corrected: more at the edges where m > 1, less to synchronise */
    struct guess g = fig_measured(&piper_planner, "N8_D2", true, &a);
    assert_true(g.time_s > 2.0845888 && g.time_s < 2.3);
    g = fig_measured(&piper_planner, "N32_D32", true, &a);
    assert_true(g.time_s < 0.94093312 && g.time_s > 0.9);
    arena_free(&a);
}

static void test_fig7(void **state) {
    (void)state;
    static const struct {
        double bottleneck_s, throughput;
        const char *shape;
    } published[] = {
        {7.36389e-3, 0.062011804303236086, "7x8,6x8,13x16"},
        {3.08086e-3, 0.14859429934264334, "6x16,5x16,10x32,5x16"},
        {2.17443e-3, 0.11657025582436613, "4x16,3x16,3x16,13x64,3x16"},
    };
    struct arena a = {0};
    for (int i = 0; i < 3; i++) {
        struct row_result r = fig_walk(&piper_planner, "fig7", i, false, &a);
        assert_int_equal(r.n_plan, 1);
        assert_int_equal(r.oom_plans, 0);
        fig_near(r.plan->planner_time_s / 1024, published[i].bottleneck_s, 2e-6, "bottleneck", i);
        fig_near(1 / r.plan->est.iteration_time_s, published[i].throughput, 1e-9, "throughput", i);
        assert_string_equal(list_shape(r.plan->plan, &a), published[i].shape);
    }
    arena_free(&a);
}

/* ---- all plans of a small case, from the planner's description alone ---- */

struct small {
    const struct question *q;
    int L, stages, end[6], degree[6];
    double best_s; /* per sequence */
    long feasible;
};

static void judge(struct small *x) {
    const struct workload *w = x->q->w;
    const struct pool_entry *pool = x->q->pool->entry;
    const struct layer_times *t = profile_times(w->profile[pool->gpu], 1, 1);
    double bw = site_link(w->site, pool->zone, pool->gpu, 4, pool->zone, pool->gpu, 4)->peak_Bps, slowest = 0;
    for (int i = 0; i < x->stages; i++) {
        int first = i ? x->end[i - 1] : 0, s = 0, d = x->degree[i];
        double compute = 0, params = 0, act = 0, edges = 0;
        for (int k = i; k < x->stages; k++) s += x->degree[k];
        for (int l = first; l < x->end[i]; l++)
            compute += t->fwd_s[l] + t->bwd_s[l], params += w->model->params[0][l],
                act += w->model->act_mem[0][l];
        if (4 * act * ((s + d - 1) / d) + 20 * params > w->site->gpu[pool->gpu].memory_bytes) return;
        if (i > 0) edges += w->model->act_out[first - 1];
        if (i < x->stages - 1) edges += w->model->act_out[x->end[i] - 1];
        double sync = (x->q->corrected ? 2. : 4.) * (d - 1) * 4 * params / (d * (double)w->global_batch_size);
        slowest = fmax(slowest, (2 * 4 * edges / d + sync) / bw + compute / d);
    }
    x->feasible++;
    x->best_s = fmin(x->best_s, slowest);
}

static void all_plans(struct small *x, int left) {
    int from = x->stages ? x->end[x->stages - 1] : 0;
    if (from == x->L) {
        judge(x);
        return;
    }
    for (int end = from + 1; end <= x->L; end++)
        for (int d = 1; d <= left; d++) {
            if (x->q->w->global_batch_size % d) continue;
            if (x->q->corrected && x->stages && d != x->degree[0]) continue; /* [Q4] */
            x->end[x->stages] = end;
            x->degree[x->stages++] = d;
            all_plans(x, left - d);
            x->stages--;
        }
}

static void test_all_plans(void **state) {
    (void)state;
    struct arena a = {0};
    struct job *j = fig_job("fig7", &a);
    int none = 0, several = 0, mixed = 0;
    for (int i = 0; i < 240; i++) {
        static const int batches[] = {12, 64, 1, 5};
        struct workload w = j->workload;
        struct model model = *w.model;
        struct site site = *w.site;
        struct gpu_type *gpu = ARENA_ARRAY(&a, struct gpu_type, site.n_gpu);
        struct pool_entry entry = {j->pool->entry->zone, j->pool->entry->gpu, 1 + i % 6};
        struct pool pool = {.n_entry = 1, .entry = &entry};
        int *count = ARENA_ARRAY(&a, int, site.n_zone * site.n_gpu);
        count[entry.zone * site.n_gpu + entry.gpu] = entry.count;
        pool.count = count;
        memcpy(gpu, site.gpu, sizeof *gpu * (size_t)site.n_gpu);
        gpu[entry.gpu].memory_bytes = (0.8 + 0.35 * (i / 6 % 10)) * 1e9; /* the stages need 0.6 to 7e9 */
        model.n_layer = 5;
        site.gpu = gpu;
        w.model = &model;
        w.site = &site;
        w.global_batch_size = batches[i / 60];
        for (int corrected = 0; corrected < 2; corrected++) {
            struct question q = fig_question(&piper_planner, j, 0, corrected, &a);
            q.w = &w;
            q.pool = &pool;
            struct small x = {.q = &q, .L = 5, .best_s = INFINITY};
            /* the degrees of all stages add up to at most the batch */
            all_plans(&x, entry.count < w.global_batch_size ? entry.count : w.global_batch_size);
            struct answer got = list_of(&piper_planner, &q, true, &a);
            assert_int_equal(got.n > 0, x.feasible > 0);
            none += !got.n;
            if (!got.n) continue;
            /* it takes fewer GPUs if that is less than 1e-9 worse */
            double found_s = got.proposal->time_s / w.global_batch_size;
            assert_true(found_s >= x.best_s * (1 - 1e-12) && found_s <= x.best_s + 1e-9);
            /* and the plan is as good as it claims */
            struct guess g;
            struct err e;
            assert_int_equal(piper_planner.estimate(&w, NULL, got.proposal->plan, corrected, &g, &a, &e), 0);
            fig_near(g.time_s / w.global_batch_size, found_s, 6e-6, "plan", i);
            assert_true(g.peak_bytes <= gpu[entry.gpu].memory_bytes * (1 + 5e-6));
            const struct pipeline *pl = got.proposal->plan->pipeline;
            several += pl->n_stage > 1;
            for (int k = 1; k < pl->n_stage; k++)
                if (stage_replicas(&pl->stage[k]) != stage_replicas(pl->stage)) {
                    mixed++;
                    break;
                }
        }
    }
    assert_true(none > 0 && several > 0 && mixed > 0); /* the cases were varied enough */
    arena_free(&a);
}

/* ---- the table as published, with axes for GPUs (k) and degrees (s) ---- */

enum { K = 40 };
static double table[27][K + 1][K + 1];

static double three_axes(const struct question *q) {
    const struct workload *w = q->w;
    const struct model *mo = w->model;
    const struct pool_entry *pool = q->pool->entry;
    const struct layer_times *t = profile_times(w->profile[pool->gpu], 1, 1);
    double bw = site_link(w->site, pool->zone, pool->gpu, 4, pool->zone, pool->gpu, 4)->peak_Bps,
           best = INFINITY;
    int L = mo->n_layer, G = pool->count, B = w->global_batch_size, S = G < B ? G : B;
    for (int j = 0; j <= L; j++)
        for (int k = 0; k <= G; k++)
            for (int s = 0; s <= S; s++) {
                double least = j ? INFINITY : 0, params = 0, act = 0, compute = 0;
                for (int i = j - 1, l = L - j; i >= 0; i--, l++) { /* layers L-j .. l are the first stage */
                    params += mo->params[0][l];
                    act += mo->act_mem[0][l];
                    compute += t->fwd_s[l] + t->bwd_s[l];
                    double edges = (j < L ? mo->act_out[L - j - 1] : 0) + (i ? mo->act_out[l] : 0);
                    for (int d = 1; d <= k && d <= s; d++) {
                        if (B % d ||
                            4 * act * ((s + d - 1) / d) + 20 * params > w->site->gpu[pool->gpu].memory_bytes)
                            continue;
                        double comm = 2 * 4 * edges / d + 4. * (d - 1) * 4 * params / (d * (double)B);
                        least = fmin(least, fmax(comm / bw + compute / d, table[i][k - d][s - d]));
                    }
                }
                if (k) least = fmin(least, table[j][k - 1][s]);
                if (s) least = fmin(least, table[j][k][s - 1]);
                table[j][k][s] = least;
            }
    for (int k = 0; k <= G; k++)
        for (int s = 0; s <= S; s++)
            if (table[L][k][s] < best - 1e-9) best = table[L][k][s];
    return best * B;
}

static void test_one_axis(void **state) {
    (void)state;
    static const int gpus[] = {3, 8, 20, 13, K, 24, 31, 32},
                     batches[] = {1024, 1024, 1024, 12, 48, 6, 30, 16};
    struct arena a = {0};
    struct job *j = fig_job("fig7", &a);
    struct gpu_type *gpu = ARENA_ARRAY(&a, struct gpu_type, j->workload.site->n_gpu);
    struct site site = *j->workload.site;
    memcpy(gpu, site.gpu, sizeof *gpu * (size_t)site.n_gpu);
    site.gpu = gpu;
    for (int i = 0; i < 16; i++) {
        struct workload w = j->workload;
        struct pool_entry entry = {j->pool->entry->zone, j->pool->entry->gpu, gpus[i / 2]};
        int *count = ARENA_ARRAY(&a, int, site.n_zone * site.n_gpu);
        struct pool pool = {.n_entry = 1, .entry = &entry, .count = count};
        struct question q = fig_question(&piper_planner, j, 0, false, &a);
        count[entry.zone * site.n_gpu + entry.gpu] = entry.count;
        gpu[entry.gpu].memory_bytes = i % 2 ? 13.3e9 : 42949672960; /* the least with a plan is near 10e9 */
        w.site = &site;
        w.global_batch_size = batches[i / 2];
        q.w = &w;
        q.pool = &pool;
        struct answer x = list_of(&piper_planner, &q, true, &a);
        double expected = three_axes(&q);
        assert_int_equal(x.n, isfinite(expected));
        if (x.n) fig_near(x.proposal->time_s, expected, 1e-12, "case", i);
    }
    arena_free(&a);
}

/* ---- every list ---- */

static int seen;

static void see(const struct question *q, const struct answer *x) {
    seen += x->n;
    assert_true(q->corrected || x->n <= 1);
    for (int i = 0; i < x->n; i++) {
        const struct plan *p = x->proposal[i].plan;
        assert_int_equal(p->micro_batch_size, 1);
        assert_int_equal(p->n_pipeline, 1);
        if (i) assert_true(x->proposal[i - 1].time_s <= x->proposal[i].time_s);
        for (int k = 0; k < p->pipeline->n_stage; k++) {
            const struct stage *st = &p->pipeline->stage[k];
            assert_int_equal(st->n_group, 1);
            assert_int_equal(st->group->tp, 1);
            assert_int_equal(st->group->zone, q->pool->entry->zone);
            assert_int_equal(st->group->gpu, q->pool->entry->gpu);
            assert_int_equal(q->w->global_batch_size % st->group->count, 0);
            if (q->corrected) assert_int_equal(st->group->count, p->pipeline->stage->group->count);
        }
    }
}

static void test_lists(void **state) {
    (void)state;
    seen = 0;
    list_each(&piper_planner, true, see);
    assert_true(seen > 40);
}

static void test_nothing(void **state) {
    (void)state;
    struct arena a = {0};
    struct question q = fig_question(&piper_planner, fig_job("fig7", &a), 0, false, &a);
    struct pool empty = {.count = ARENA_ARRAY(&a, int, q.w->site->n_zone * q.w->site->n_gpu)};
    q.pool = &empty;
    assert_int_equal(list_of(&piper_planner, &q, true, &a).n, 0);
    empty.n_entry = 1;
    empty.entry = &(struct pool_entry){0, 0, 0};
    assert_int_equal(list_of(&piper_planner, &q, true, &a).n, 0);
    arena_free(&a);
}

/* [Q2] a plan that does not fit has an estimate only if corrected; one of two pipelines never has. */
static void test_estimate(void **state) {
    (void)state;
    struct arena a = {0};
    struct err e;
    struct guess g;
    const struct job *j = fig_job("fig7", &a);
    const struct pool_entry *x = j->pool->entry;
    const struct workload *w = &j->workload;
    struct plan *p = grid_plan(w, x->zone, x->gpu, 8, 1, 1, 8, &a);
    assert_int_equal(piper_planner.estimate(w, NULL, p, false, &g, &a, &e), 0);
    assert_true(isnan(g.time_s) && isnan(g.peak_bytes));
    assert_int_equal(piper_planner.estimate(w, NULL, p, true, &g, &a, &e), 0);
    assert_true(g.time_s > 0 && g.peak_bytes > w->site->gpu[x->gpu].memory_bytes);
    p = grid_plan(w, x->zone, x->gpu, 8, 2, 4, 1, &a);
    assert_int_equal(piper_planner.estimate(w, NULL, p, false, &g, &a, &e), 0);
    assert_true(g.time_s > 0 && g.peak_bytes > 0);
    p->n_pipeline = 2;
    p->pipeline = (struct pipeline[]){*p->pipeline, *p->pipeline};
    assert_int_equal(piper_planner.estimate(w, NULL, p, true, &g, &a, &e), 0);
    assert_true(isnan(g.time_s));
    arena_free(&a);
}

static void test_divisors(void **state) {
    (void)state;
    struct arena a = {0};
    for (int n = 1; n < 400; n++) {
        const int *d;
        int k = divisors(n, &d, &a), i = 0;
        for (int x = 1; x <= n; x++)
            if (n % x == 0) {
                assert_true(i < k);
                assert_int_equal(d[i++], x);
            }
        assert_int_equal(i, k);
    }
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measured), cmocka_unit_test(test_fig7),     cmocka_unit_test(test_all_plans),
        cmocka_unit_test(test_lists),    cmocka_unit_test(test_nothing),  cmocka_unit_test(test_estimate),
        cmocka_unit_test(test_divisors), cmocka_unit_test(test_one_axis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
