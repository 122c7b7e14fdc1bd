/* The small integer programs against trying every point, and cases that occur in plans: nothing to choose, no
 * solution, equal rows, ties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "search/ilp.h"

static struct arena a;

static uint64_t state;
static int draw(int lo, int hi) { /* splitmix64 */
    uint64_t x = ++state * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return lo + (int)((x ^ x >> 31) % (uint64_t)(hi - lo + 1));
}

static void nothing_to_choose(void **unused) {
    (void)unused;
    struct ilp *p = ilp_new(0, 2, &a);
    long x[1];
    double cost;
    ilp_row(p, false, 3);
    assert_true(ilp_solve(p, x, &cost, &a));
    assert_true(cost == 0);
    ilp_row(p, true, 1); /* 0 == 1 */
    assert_false(ilp_solve(p, x, &cost, &a));
}

static void no_solution(void **unused) {
    (void)unused;
    struct ilp *p = ilp_new(2, 2, &a);
    long x[3];
    double cost, *row = ilp_row(p, true, 5);
    row[0] = 2;
    row[1] = 2; /* 2 (x + y) == 5 has only fractional solutions */
    row = ilp_row(p, false, 9);
    row[0] = 1;
    p->cost[0] = 1;
    assert_false(ilp_solve(p, x, &cost, &a));
    assert_false(p->unsure);
}

static void cheapest_split(void **unused) {
    (void)unused;
    struct ilp *p = ilp_new(2, 2, &a); /* 7 replicas over two cells, the cheaper one has room for 4 */
    long x[3];
    double cost, *row = ilp_row(p, true, 7);
    row[0] = 1;
    row[1] = 1;
    row = ilp_row(p, false, 4);
    row[0] = 1;
    p->cost[0] = 1;
    p->cost[1] = 3;
    assert_true(ilp_solve(p, x, &cost, &a));
    assert_int_equal(x[0], 4);
    assert_int_equal(x[1], 3);
    assert_true(fabs(cost - 13) < 1e-9);
}

/* The least cost over x in [0, 6]^3, INFINITY if there is no solution. */
static double brute(const struct ilp *p) {
    double best = INFINITY;
    for (int code = 0; code < 7 * 7 * 7; code++) {
        int x[3] = {code % 7, code / 7 % 7, code / 49};
        double cost = 0;
        bool ok = true;
        for (int i = 0; i < p->m; i++) {
            double sum = 0;
            for (int j = 0; j < 3; j++) sum += p->a[i * 3 + j] * x[j];
            ok &= p->equal[i] ? sum == p->b[i] : sum <= p->b[i];
        }
        for (int j = 0; j < 3; j++) cost += p->cost[j] * x[j];
        if (ok && cost < best) best = cost;
    }
    return best;
}

static void random_programs(void **unused) {
    (void)unused;
    int solved = 0;
    for (state = 0; state < 400 * 1000; state += 1000) {
        struct ilp *p = ilp_new(3, 6, &a);
        long x[4];
        double cost;
        for (int j = 0; j < 3; j++) { /* x[j] <= 6 */
            ilp_row(p, false, 6)[j] = 1;
            p->cost[j] = draw(0, 9) / 7.0;
        }
        for (int i = 0; i < 3; i++) {
            double *row = ilp_row(p, draw(0, 3) == 0, draw(-4, 12));
            for (int j = 0; j < 3; j++) row[j] = draw(-2, 4);
        }
        double want = brute(p);
        bool found = ilp_solve(p, x, &cost, &a);
        assert_false(p->unsure);
        assert_int_equal(found, want < INFINITY);
        if (!found) continue;
        solved++;
        assert_true(fabs(cost - want) < 1e-9);
        double again = 0;
        for (int j = 0; j < 3; j++) again += p->cost[j] * (double)x[j];
        assert_true(fabs(again - cost) < 1e-9);
    }
    assert_true(solved > 100);
}

/* Of two that differ by little beside a third that is dear, the cheaper one. */
static void small_differences_count(void **unused) {
    (void)unused;
    struct ilp *p = ilp_new(3, 1, &a);
    long x[4];
    double cost, *row = ilp_row(p, true, 97);
    for (int j = 0; j < 3; j++) row[j] = 1;
    p->cost[0] = 100;
    p->cost[1] = 2.8e-4 + 5e-8;
    p->cost[2] = 2.8e-4;
    assert_true(ilp_solve(p, x, &cost, &a));
    assert_int_equal(x[2], 97);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_choose), cmocka_unit_test(no_solution),
        cmocka_unit_test(cheapest_split),    cmocka_unit_test(small_differences_count),
        cmocka_unit_test(random_programs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&a);
    return failed;
}
