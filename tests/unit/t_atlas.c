/* Atlas, of which no answers were published: its lists against its rules, its figures against the common
 * simulator, its plans against those of the published Sailor planner (which considers more) and the exact
 * search for the same rows. */
#include "lists.h"

#include <math.h>
#include <string.h>

extern const struct planner atlas_planner;

/* One zone: the best grid of nodes is the published Sailor planner's plan. Five zones: 97 to 100 % of the
 * best plan (the exact search's). */
static void test_figures(void **state) {
    (void)state;
    static const struct {
        const char *job;
        int row;
        double least, most; /* iterations/s */
    } rows[] = {{"fig7", 0, 0.125105, 0.125115}, {"fig7", 1, 0.272235, 0.272245},
                {"fig7", 2, 0.417525, 0.417535}, {"fig10", 0, 0.4028, 0.41528},
                {"fig10", 1, 0.7208, 0.74313},   {"fig10", 2, 0.9984, 1.02932},
                {"fig12", 0, 0.66287, 0.72499}};
    struct arena a = {0};
    for (int i = 0; i < 7; i++) {
        struct row_result r = fig_walk(&atlas_planner, rows[i].job, rows[i].row, false, &a);
        assert_int_equal(r.n_plan, 1);
        assert_int_equal(r.oom_plans, 0); /* its own memory test is stricter */
        double throughput = 1 / r.plan->est.iteration_time_s;
        assert_true(r.plan->planner_time_s == r.plan->est.iteration_time_s);
        if (!(throughput >= rows[i].least && throughput <= rows[i].most))
            fail_msg("row %d: %.6f", i, throughput);
    }
    /* [Q1] cheapest by egress alone: the first plan that meets the floor; with rent, near the exact search's
     * 0.27733 */
    struct row_result r = fig_walk(&atlas_planner, "fig11", 0, false, &a);
    assert_int_equal(r.n_plan, 1);
    assert_true(r.plan->planner_cost_usd == 0 && r.plan->est.cost_usd > 0.5);
    assert_true(1 / r.plan->est.iteration_time_s >= 0.2);
    r = fig_walk(&atlas_planner, "fig11", 0, true, &a);
    assert_int_equal(r.n_plan, 1);
    assert_true(r.plan->planner_cost_usd == r.plan->est.cost_usd);
    assert_true(r.plan->est.cost_usd > 0.27732 && r.plan->est.cost_usd < 0.2779);
    arena_free(&a);
}

/* ---- every list ---- */

static int seen, several;

/* The region of a zone of this site, and how many GPUs of a type it has. */
static int region_of(const struct site *s, int zone) { return strncmp(s->zone[zone], "us-west1", 8) ? 0 : 1; }

static int gpus_of(const struct question *q, int region, int gpu) {
    int n = 0;
    for (int z = 0; z < q->w->site->n_zone; z++)
        if (region_of(q->w->site, z) == region) n += q->pool->count[z * q->w->site->n_gpu + gpu];
    return n;
}

static void see(const struct question *q, const struct answer *x) {
    const struct site *s = q->w->site;
    int L = q->w->model->n_layer;
    for (int i = 0; i < x->n; i++) {
        const struct proposal *y = &x->proposal[i];
        const struct pipeline *pl = y->plan->pipeline;
        int P = pl->n_stage, m = y->plan->micro_batch_size, gpu = q->pool->entry->gpu,
            D = stage_replicas(pl->stage);
        double before = i ? q->objective == OBJECTIVE_COST ? y[-1].cost_usd : y[-1].time_s : -INFINITY;
        struct estimate est = {0};
        struct err e;
        assert_int_equal(plan_check(y->plan, q->w, "plan", &e), 0);
        assert_int_equal(estimate_plan(q->w, y->plan, ESTIMATOR_SAILOR, &est, &e), 0);
        assert_true(y->time_s == est.iteration_time_s);
        assert_true(y->cost_usd == (q->corrected ? est.cost_usd : est.egress_usd));
        assert_true(est.fits && before <= (q->objective == OBJECTIVE_COST ? y->cost_usd : y->time_s));
        assert_true(P < L && (m == 1 || m == 2 || m == 4 || m == 8) && D < q->w->global_batch_size / m);
        int region = region_of(s, pl->stage->group->zone), moved = 0;
        assert_true(gpus_of(q, region, gpu) / 4 >= gpus_of(q, !region, gpu) / 4); /* the larger one first */
        for (int k = 0; k < P; k++) {
            const struct stage *st = &pl->stage[k];
            int here = region_of(s, st->group->zone);
            assert_int_equal(st->end - st->first, L / P + (k >= P - L % P));
            assert_int_equal(stage_replicas(st), D);
            for (int g = 0; g < st->n_group; g++) {
                assert_int_equal(st->group[g].gpu, gpu);
                assert_int_equal(st->group[g].tp, s->gpu[gpu].gpus_per_node);
                assert_int_equal(region_of(s, st->group[g].zone), here);
            }
            if (here != region) {
                /* only when the first region had no room for another stage */
                int nodes = 0;
                for (int z = 0; z < s->n_zone; z++)
                    if (region_of(s, z) == region) nodes += q->pool->count[z * s->n_gpu + gpu] / 4;
                assert_true(moved == 0 && nodes / D == k);
                moved++;
                several++;
                region = here;
            }
        }
        if (i) assert_true(plan_compare(x->proposal[i - 1].plan, y->plan));
    }
    seen += x->n;
}

static void test_lists(void **state) {
    (void)state;
    seen = several = 0;
    list_each(&atlas_planner, true, see);
    assert_true(seen > 10000 && several > 100);
}

/* One zone of 8 nodes of several memory sizes: every P, every m up to the first that does not fit, every D
 * with room. */
static void test_complete(void **state) {
    (void)state;
    struct arena a = {0};
    struct question q = fig_question(&atlas_planner, fig_job("fig7", &a), 0, false, &a);
    const struct model *mo = q.w->model;
    struct workload w = *q.w;
    struct site site = *w.site;
    struct gpu_type *gpu = ARENA_ARRAY(&a, struct gpu_type, site.n_gpu);
    memcpy(gpu, site.gpu, sizeof *gpu * (size_t)site.n_gpu);
    site.gpu = gpu;
    w.site = &site;
    q.w = &w;
    int last = 0, changes = 0;
    for (double memory = 6e9; memory < 50e9; memory += 0.5e9) {
        int n = 0;
        gpu[q.pool->entry->gpu].memory_bytes = memory;
        for (int P = 1; P < 26; P++)
            for (int m = 1; m <= 8; m *= 2) {
                bool fits = true;
                for (int i = 0, l = 0; i < P; i++) {
                    double bytes = 5.06e9;
                    for (int end = l + 26 / P + (i >= P - 26 % P); l < end; l++)
                        bytes += 24 * mo->params[2][l] + 4 * mo->act_mem[2][l] * m * (P - i);
                    fits = fits && bytes <= memory;
                }
                if (!fits) break;
                for (int D = 1; D * P <= 8; D++) n++;
            }
        assert_int_equal(list_of(&atlas_planner, &q, true, &a).n, n);
        changes += n != last;
        last = n;
    }
    assert_true(changes > 10);
    arena_free(&a);
}

static void test_nothing(void **state) {
    (void)state;
    struct arena a = {0};
    struct question q = fig_question(&atlas_planner, fig_job("fig7", &a), 0, false, &a);
    struct pool empty = {.count = ARENA_ARRAY(&a, int, q.w->site->n_zone * q.w->site->n_gpu)};
    q.pool = &empty;
    assert_int_equal(list_of(&atlas_planner, &q, true, &a).n, 0);
    empty.n_entry = 1, empty.entry = &(struct pool_entry){0, 0, 3}; /* no whole node */
    assert_int_equal(list_of(&atlas_planner, &q, true, &a).n, 0);
    arena_free(&a);
}

/* Its estimator is the common simulator: time and peak of two of the measured runs (a plan in the
 * form of the validation files). */
static void test_measured(void **state) {
    (void)state;
    struct arena a = {0};
    struct guess g = fig_measured(&atlas_planner, "N32_D32", false, &a);
    fig_near(g.time_s, 0.9640, 1e-4, "time", 0);
    fig_near(g.peak_bytes, 30.31e9, 2e-4, "memory", 0);
    g = fig_measured(&atlas_planner, "N4_D1", true, &a);
    fig_near(g.time_s, 1.5712, 1e-4, "time", 1);
    fig_near(g.peak_bytes, 7.88e9, 1e-3, "memory", 1);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures), cmocka_unit_test(test_lists),    cmocka_unit_test(test_complete),
        cmocka_unit_test(test_nothing), cmocka_unit_test(test_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
