/* Islands of a pool: the GPU types of the published site that some link joins. */
#include "fig.h"

#include <string.h>

#include "search/island.h"

static struct arena a;

static struct search_problem all_types(void) {
    struct job *job = fig_job("fig8b", &a);
    struct search_problem p = search_problem_of(job, 0);
    struct workload *w = ARENA_NEW(&a, struct workload);
    int n = job->workload.site->n_zone * job->workload.site->n_gpu, *pool = ARENA_ARRAY(&a, int, n);
    const struct profile **profile = ARENA_ARRAY(&a, const struct profile *, n), *some = NULL;
    *w = job->workload;
    for (int g = 0; g < w->site->n_gpu && !some; g++) some = w->profile[g];
    for (int g = 0; g < w->site->n_gpu; g++) {
        profile[g] = some;
        pool[g] = 4; /* of the first zone */
    }
    w->profile = profile;
    p.w = w;
    p.pool = pool;
    return p;
}

static int gpu(const struct search_problem *p, const char *name) {
    for (int g = 0; g < p->w->site->n_gpu; g++)
        if (strcmp(p->w->site->gpu[g].name, name) == 0) return g;
    fail_msg("no %s", name);
    return -1;
}

static void types_that_no_link_joins_are_apart(void **unused) {
    (void)unused;
    struct search_problem p = all_types(), *part;
    int n_gpu = p.w->site->n_gpu, n = islands_of(&p, &part, &a);
    assert_int_equal(n, 3);
    for (int k = 0; k < n_gpu; k++) {
        int where = -1;
        for (int i = 0; i < n; i++) {
            if (!part[i].pool[k]) continue;
            assert_int_equal(where, -1);
            assert_int_equal(part[i].pool[k], p.pool[k]);
            where = i;
        }
        assert_true(where >= 0);
        assert_int_equal(part[where].pool[k], 4);
    }
    for (int i = 0; i < n; i++) {
        bool a100 = part[i].pool[gpu(&p, "A100-40")] > 0;
        assert_int_equal(a100, part[i].pool[gpu(&p, "V100-16")] > 0);
        assert_int_equal(a100, part[i].pool[gpu(&p, "GH-96")] > 0);
        assert_int_equal(part[i].pool[gpu(&p, "Titan-RTX")] > 0, part[i].pool[gpu(&p, "RTX-2080")] > 0);
    }
}

static void what_joins_two_types_may_lie_between_them(void **unused) {
    (void)unused;
    struct search_problem p = all_types(), *part;
    int *pool = ARENA_ARRAY(&a, int, p.w->site->n_zone * p.w->site->n_gpu);
    pool[gpu(&p, "A100-40")] = pool[gpu(&p, "GH-96")] = 1;
    p.pool = pool;
    assert_int_equal(islands_of(&p, &part, &a), 1);
    assert_ptr_equal(part->pool, pool);
}

static void without_the_rule_all_is_one(void **unused) {
    (void)unused;
    struct search_problem p = all_types(), *part;
    p.without = BOUND_ISLAND;
    assert_int_equal(islands_of(&p, &part, &a), 1);
    assert_ptr_equal(part->pool, p.pool);
}

static void what_cannot_be_used_is_no_island(void **unused) {
    (void)unused;
    struct search_problem p = all_types(), *part;
    struct workload w = *p.w;
    struct pin pin = *p.pin;
    const struct profile *profile[GPUS_MAX];
    memcpy(profile, w.profile, sizeof *profile * (size_t)w.site->n_gpu);
    profile[gpu(&p, "A100-80")] = NULL;
    w.profile = profile;
    p.w = &w;
    assert_int_equal(islands_of(&p, &part, &a), 2);
    pin.zones = 1u << (p.w->site->n_zone - 1); /* where there is nothing */
    p.pin = &pin;
    assert_int_equal(islands_of(&p, &part, &a), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_that_no_link_joins_are_apart),
        cmocka_unit_test(what_joins_two_types_may_lie_between_them),
        cmocka_unit_test(without_the_rule_all_is_one),
        cmocka_unit_test(what_cannot_be_used_is_no_island),
    };
    int failed = cmocka_run_group_tests_name("islands", tests, NULL, NULL);
    arena_free(&a);
    return failed;
}
