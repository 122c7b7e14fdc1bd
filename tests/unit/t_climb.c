/* Good plans before a proof begins, on a pool whose proof takes long: 256 A100-40 and 256 V100-16 in each of
 * five zones. */
#include "fig.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "search/fill.h"
#include "search/ladder.h"
#include "search/local.h"

static struct arena a;
static int types[2], n_type;

static struct search_problem wide_pool(void) {
    struct job *job = fig_job("fig11", &a);
    struct search_problem p = search_problem_of(job, 0);
    const struct site *s = job->workload.site;
    int *pool = ARENA_ARRAY(&a, int, s->n_zone * s->n_gpu);
    n_type = 0;
    for (int g = 0; g < s->n_gpu; g++) {
        if (strcmp(s->gpu[g].name, "A100-40") && strcmp(s->gpu[g].name, "V100-16")) continue;
        types[n_type++] = g;
        for (int z = 0; z < s->n_zone; z++) pool[site_at(s, z, g)] = 256;
    }
    p.pool = pool;
    p.nodes = NULL;
    p.estimator = ESTIMATOR_SAILOR;
    p.objective = OBJECTIVE_THROUGHPUT;
    p.min_iterations_per_s = 0;
    return p;
}

static struct ladder climb(const struct search_problem *p, uint64_t work) {
    struct ladder l;
    ladder_climb(p, (struct ladder_share){.work = work, .n = 1}, NULL, &l, &a);
    assert_true(l.n_plan > 0);
    return l;
}

static void some_hundred_thousand_plans_come_near_what_merged_zones_could_do(void **unused) {
    (void)unused;
    struct search_problem p = wide_pool();
    struct ladder first = climb(&p, 60000);
    struct err e;
    p.n_seed = 1; /* as the search goes on */
    p.seed = &(const struct plan *){first.plan[0].plan};
    struct ladder x = climb(&p, 240000), y = climb(&p, 240000);
    assert_int_equal(plan_check_pool(x.plan[0].plan, p.w->site, p.pool, p.nodes, "plan", &e), 0);
    assert_true(1 / x.plan[0].est.iteration_time_s > 1.5); /* 1.62 if all zones were as the best */
    assert_int_equal(x.n_plan, y.n_plan);
    for (int i = 0; i < x.n_plan; i++) assert_int_equal(plan_compare(x.plan[i].plan, y.plan[i].plan), 0);
}

static void note_least(void *ctx, const struct sketch *s) {
    double *least = ctx;
    int sum = 0, end = 0;
    for (int i = 0; i < s->P; i++) {
        assert_int_equal(s->stage[i].first, end);
        end = s->stage[i].end;
        sum = 0;
        for (int k = 0; k < s->stage[i].n; k++) sum += s->stage[i].kind[k].count;
        assert_int_equal(sum, s->D);
    }
    *least = fmin(*least, s->time_s);
}

static double promised(const struct search_problem *p, const int *order, bool any_order) {
    struct climb c;
    struct pool_part part = {.zones = 15, .n_type = 2, .gpu = {order[0], order[1]}, .any_order = any_order};
    double least = INFINITY;
    climb_begin(&c, p, NULL, &a);
    c.work_max = 10000000;
    c.kinds = kinds_build(&c);
    fill_part(&c, &part, 48, note_least, &least);
    return least;
}

static void types_in_any_order_do_more_than_one_after_the_other(void **unused) {
    (void)unused;
    struct search_problem p = wide_pool();
    const int back[] = {types[1], types[0]};
    double any = promised(&p, types, true), ordered = promised(&p, types, false),
           other = promised(&p, back, false);
    assert_true(any < fmin(ordered, other));
    fig_near(promised(&p, back, true), any, 1e-12, "the order in which the types are named", 0);
}

static double walked(const struct search_problem *p, const struct plan *from, enum wandering by,
                     uint64_t draws) {
    struct climb c;
    struct score s;
    climb_begin(&c, p, NULL, &a);
    c.work_max = UINT64_MAX;
    c.kinds = kinds_build(&c);
    c.draw = draws;
    struct draft d = draft_new(&c);
    assert_true(draft_of_plan(&c, &d, from));
    local_search(&c, &d, 30000, by);
    assert_true(climb_judge(&c, &d, &s));
    return s.main;
}

static void walks_are_the_same_for_the_same_draws_and_lose_nothing(void **unused) {
    (void)unused;
    struct search_problem p = wide_pool();
    struct ladder l = climb(&p, 3000);
    const struct plan *from = l.plan[0].plan;
    double down = walked(&p, from, WANDER_NOT, 0), best = INFINITY;
    for (uint64_t k = 0; k < 4; k++) {
        double s = walked(&p, from, WANDER_ANNEAL, k);
        assert_true(s <= down && s == walked(&p, from, WANDER_ANNEAL, k));
        best = fmin(best, s);
    }
    assert_true(best < down);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_hundred_thousand_plans_come_near_what_merged_zones_could_do),
        cmocka_unit_test(types_in_any_order_do_more_than_one_after_the_other),
        cmocka_unit_test(walks_are_the_same_for_the_same_draws_and_lose_nothing),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&a);
    return failed;
}
