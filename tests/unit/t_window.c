/* Windows of a unit: the first contains the best plan, its bounds hold for that plan, halves cover the whole,
 * and a window that cannot contain a plan does not open. On the first pool of the published two-type
 * experiment. */
#include "fig.h"

#include <math.h>

#include "search/search.h"
#include "search/window.h"

static struct arena a;

struct fixture {
    struct search_problem p;
    struct space *s;
    const struct mb_space *mb;
    struct found_plan best; /* best plan of the whole job */
    int D;
    struct unit unit;
    struct goal goal;
    struct window_tables t;
};

static struct fixture *fixture(void) {
    static struct fixture f;
    struct err e;
    if (f.s) return &f;
    f.p = search_problem_of(fig_job("fig8b", &a), 0);
    struct row_result row = {0};
    if (search_row(&f.p, &row, NULL, NULL, 1, &a, &e)) fail_msg("%s", e.text);
    f.best = row.plan[0];
    f.D = stage_replicas(&f.best.plan->pipeline[0].stage[0]);
    f.s = space_build(&f.p, NULL, 1, &a, &e);
    for (int k = 0; k < f.s->n_mb; k++)
        if (f.s->mb[k].m == f.best.plan->micro_batch_size) f.mb = &f.s->mb[k];
    f.goal = (struct goal){.objective = OBJECTIVE_THROUGHPUT,
                           .best = INFINITY,
                           .max_time_s = 2 * f.best.est.iteration_time_s,
                           .max_usd = INFINITY};
    unit_build(&f.unit, f.s, f.mb, f.D, f.D, &a);
    window_tables_init(&f.t, f.s, &a);
    window_begin_unit(&f.t, &f.unit, &f.goal, &a);
    return &f;
}

static double slowest_stage(const struct found_plan *f) {
    double X = 0;
    for (int i = 0; i < f->plan->pipeline[0].n_stage; i++)
        X = fmax(X, f->est.stage[i].compute_s + f->est.stage[i].comm_s);
    return X;
}

static void the_first_window_holds_the_best_plan(void **unused) {
    (void)unused;
    struct fixture *f = fixture();
    const struct estimate *est = &f->best.est;
    double X = slowest_stage(&f->best);
    assert_true(window_open(&f->t, window_first(&f->t, 0)));
    const struct window *w = &f->t.w;
    assert_true(w->x_lo <= X * (1 + 1e-9) && X <= w->x_hi * (1 + 1e-9));
    assert_true(w->y_lo <= est->sync_time_s * (1 + 1e-9) && est->sync_time_s <= w->y_hi * (1 + 1e-9));
    assert_true(0 < w->time_lb && w->time_lb <= est->iteration_time_s * (1 + 1e-9));
}

static void the_rest_costs_more_with_less_left(void **unused) {
    (void)unused;
    struct fixture *f = fixture();
    assert_true(window_open(&f->t, window_first(&f->t, 0)));
    for (int k = 0; k < f->t.n_table; k++) {
        double cap = f->t.surrogate[k].cap, last = 0;
        for (int r = 0; r <= 100; r++) {
            double rest = window_rest_sum(&f->t, k, f->s->L, cap * r / 100, false, 0);
            assert_true(rest >= last);
            last = rest;
        }
        assert_true(window_rest_sum(&f->t, k, 0, 0, false, 0) == 0);
        assert_true(window_rest_sum(&f->t, k, 0, cap * 1.01, false, 0) == INFINITY);
    }
}

static void halves_cover_the_whole(void **unused) {
    (void)unused;
    struct fixture *f = fixture();
    assert_true(window_open(&f->t, window_first(&f->t, 0)));
    struct window w = f->t.w, half[2];
    double lb = w.time_lb;
    assert_true(window_split(&f->t, &w, half));
    bool x = half[0].x_hi == half[1].x_lo && half[0].x_lo == w.x_lo && half[1].x_hi == w.x_hi;
    bool y = half[0].y_hi == half[1].y_lo && half[0].y_lo == w.y_lo && half[1].y_hi == w.y_hi;
    assert_true(x || y);
    double least = INFINITY;
    for (int k = 0; k < 2; k++)
        if (window_open(&f->t, half[k])) least = fmin(least, f->t.w.time_lb);
    assert_true(least >= lb * (1 - 1e-9));
    assert_true(least <= f->best.est.iteration_time_s * (1 + 1e-9));
}

static void nothing_opens_below_the_fastest_stage(void **unused) {
    (void)unused;
    struct fixture *f = fixture();
    struct window w = window_first(&f->t, 0);
    w.x_hi = 0.5 * w.x_lo; /* faster than the slowest layer on its fastest kind */
    assert_false(window_open(&f->t, w));
    w = window_first(&f->t, 0);
    f->goal.max_time_s = 0.5 * f->best.est.iteration_time_s;
    bool open = window_open(&f->t, w) && f->t.w.time_lb <= f->goal.max_time_s;
    f->goal.max_time_s = 2 * f->best.est.iteration_time_s;
    assert_false(open);
}

/* A free GPU of a type that a weighting does not count takes nothing from the others. */
static void a_rent_pays_for_the_type_that_counts(void **unused) {
    (void)unused;
    struct err e;
    struct search_problem p = search_problem_of(fig_job("fig8b", &a), 0);
    struct workload w = *p.w;
    struct site site = *w.site;
    int n_gpu = site.n_gpu, type[2], n = 0, pool[ZONES_MAX * GPUS_MAX] = {0};
    double usd[ZONES_MAX * GPUS_MAX] = {0}, cap = 0;
    for (int g = 0; g < n_gpu && n < 2; g++)
        for (int z = 0; z < site.n_zone && n < 2; z++)
            if (p.pool[site_at(&site, z, g)] > 0 && w.profile[g]) {
                type[n++] = g;
                break;
            }
    assert_int_equal(n, 2);
    pool[type[0]] = 4;
    usd[type[0]] = 5 * 3600;
    pool[n_gpu + type[0]] = 1; /* in the next zone, for nothing */
    pool[n_gpu + type[1]] = 4;
    usd[n_gpu + type[1]] = 2 * 3600;
    site.usd_per_gpu_hour = usd;
    w.site = &site;
    p.w = &w;
    p.pool = pool;
    p.objective = OBJECTIVE_COST;
    const struct space *s = space_build(&p, NULL, 1, &a, &e);
    struct goal goal = {
        .objective = OBJECTIVE_COST, .best = INFINITY, .max_time_s = INFINITY, .max_usd = INFINITY};
    struct unit *u = ARENA_NEW(&a, struct unit);
    struct window_tables *t = ARENA_NEW(&a, struct window_tables);
    unit_build(u, s, &s->mb[0], 1, 1, &a);
    window_tables_init(t, s, &a);
    window_begin_unit(t, u, &goal, &a);
    struct window rent = window_first(t, 0);
    rent.r_hi = 9;
    window_open(t, rent);
    for (int k = 0; k < t->n_fixed; k++)
        if (!t->surrogate[k].price && t->surrogate[k].weight[type[0]] == 0)
            cap = t->surrogate[k].cap / t->surrogate[k].weight[type[1]];
    assert_true(cap >= 4); /* 8 USD */
}

/* With a search's proof, and its optimum as a limit on time, microbatches drop out, but not the optimum's. */
static void slow_microbatches_are_left_out(void **unused) {
    (void)unused;
    struct err e;
    struct search_problem p = search_problem_of(fig_job("fig8b", &a), 0);
    struct row_result row = {0};
    if (search_row(&p, &row, NULL, NULL, 1, &a, &e)) fail_msg("%s", e.text);
    int whole = space_build(&p, NULL, 1, &a, &e)->n_mb;
    p.min_iterations_per_s = 1 / row.plan[0].est.iteration_time_s;
    p.known = &row;
    const struct space *s = space_build(&p, NULL, 1, &a, &e);
    bool kept = false;
    for (int k = 0; k < s->n_mb; k++) kept |= s->mb[k].m == row.plan[0].plan->micro_batch_size;
    assert_true(kept);
    assert_true(s->n_mb < whole);
    p.min_iterations_per_s = 0; /* no limit: nothing is too slow */
    assert_int_equal(space_build(&p, NULL, 1, &a, &e)->n_mb, whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_window_holds_the_best_plan),
        cmocka_unit_test(the_rest_costs_more_with_less_left),
        cmocka_unit_test(halves_cover_the_whole),
        cmocka_unit_test(a_rent_pays_for_the_type_that_counts),
        cmocka_unit_test(slow_microbatches_are_left_out),
        cmocka_unit_test(nothing_opens_below_the_fastest_stage),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&a);
    return failed;
}
