/* Axes of pictures: where values lie, and the round values that are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "cli/axis.h"

static void check_ticks(double lo, double hi, bool by_ratio, const double *want, int n) {
    struct axis x = axis_between(lo, hi, 10, 90);
    double tick[AXIS_TICKS_MAX];
    assert_true(x.log == by_ratio);
    assert_int_equal(axis_ticks(&x, tick), n);
    for (int i = 0; i < n; i++)
        if (!(fabs(tick[i] - want[i]) <= 1e-12 * fabs(want[i]))) fail_msg("%g, not %g", tick[i], want[i]);
}
#define TICKS(lo, hi, by_ratio, ...)                                                                         \
    check_ticks(lo, hi, by_ratio, (const double[]){__VA_ARGS__},                                             \
                sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

static void ticks_are_round(void **state) {
    (void)state;
    TICKS(0.2068, 0.7138, false, 0.3, 0.4, 0.5, 0.6, 0.7);
    TICKS(3, 10, false, 4, 6, 8, 10);
    TICKS(0, 1, false, 0, 0.2, 0.4, 0.6, 0.8, 1);
    TICKS(1.141, 248.4, true, 2, 5, 10, 20, 50, 100, 200);
    TICKS(1, 1e6, true, 1, 10, 100, 1e3, 1e4, 1e5, 1e6);
}

/* Whatever the ends, there are few ticks, in order and between them, and values keep theirs. */
static void ends_are_kept(void **state) {
    static const double end[] = {0, 1e-30, 1e-9, 0.3, 1, 1.0000001, 7, 1e3, 1e9, 1e30, INFINITY};
    (void)state;
    for (size_t i = 0; i < sizeof end / sizeof *end - 1; i++)
        for (size_t k = 0; k < sizeof end / sizeof *end; k++) {
            struct axis x = axis_between(end[i], end[k], 10, 90);
            double tick[AXIS_TICKS_MAX];
            int n = axis_ticks(&x, tick);
            assert_true(n >= 0 && n <= AXIS_TICKS_MAX && x.hi > x.lo);
            assert_true(fabs(axis_place(&x, x.lo) - 10) < 1e-9 && fabs(axis_place(&x, x.hi) - 90) < 1e-9);
            for (int t = 0; t < n; t++) {
                double at = axis_place(&x, tick[t]);
                assert_true(at > 10 - 1e-6 && at < 90 + 1e-6 && (!t || tick[t] > tick[t - 1]));
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ticks_are_round), cmocka_unit_test(ends_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
