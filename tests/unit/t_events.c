/* The estimator that simulates schedules, on the 15 measured runs: its error, and the contribution of each of
 * its terms (docs/estimator.md, "Events"). Runs in the project's root. */
#include <math.h>
#include <string.h>

#include "fig.h"
#include "sim/events.h"
#include "texts.h"

enum { RUNS = 15 };

static struct plan_entry *run;

static int setup(void **state) {
    struct err e;
    int n;
    if (texts_begin(state)) return -1;
    if (plans_load("inputs/validation/opt-350m-gh200.json", "inputs", &run, &n, &texts, &e))
        fail_msg("%s", e.text);
    assert_int_equal(n, RUNS);
    return 0;
}

struct errors {
    double mean, max, mean8, max8, memory, memory_max; /* percent; 8: over the nine runs at microbatch 8 */
};

enum { NATIVE = -1 };

/* Of events with these terms, or of ESTIMATOR_NATIVE. */
static struct errors errors_of(int terms) {
    struct errors x = {0};
    int n8 = 0;
    for (int i = 0; i < RUNS; i++) {
        struct estimate est = {.stage = NULL};
        struct err e;
        if (terms == NATIVE ? estimate_plan(run[i].workload, run[i].plan, ESTIMATOR_NATIVE, &est, &e)
                            : events_estimate(run[i].workload, run[i].plan, (unsigned)terms, &est, &e))
            fail_msg("%s", e.text);
        double time = 100 * fabs(est.iteration_time_s / run[i].measured_time_s - 1);
        double memory = 100 * fabs(est.peak_memory_bytes / run[i].measured_peak_bytes - 1);
        x.mean += time / RUNS;
        x.max = fmax(x.max, time);
        x.memory += memory / RUNS;
        x.memory_max = fmax(x.memory_max, memory);
        if (run[i].plan->micro_batch_size != 8) continue;
        n8++;
        x.mean8 += time;
        x.max8 = fmax(x.max8, time);
    }
    assert_int_equal(n8, 9);
    x.mean8 /= n8;
    return x;
}

static void it_is_as_close_as_documented(void **state) {
    (void)state;
    struct errors x = errors_of(EVENTS_ALL);
    assert_true(x.mean < 4.25 && x.mean8 < 1.45 && x.max8 < 4.35);
    assert_true(x.memory < 1.4 && x.memory_max < 3.7);
    x = errors_of(NATIVE);
    assert_true(x.mean < 4.15 && x.max < 17.5 && x.mean8 < 1.45 && x.max8 < 3.85);
    assert_true(x.memory < 1.45 && x.memory_max < 3.7);
}

static void every_term_is_worth_its_place(void **state) {
    (void)state;
    static const struct {
        const char *name;
        unsigned term;
    } terms[] = {{"staging", EVENTS_STAGING}, {"launch", EVENTS_LAUNCH}, {"rings", EVENTS_RINGS},
                 {"gather", EVENTS_GATHER},   {"hold", EVENTS_HOLD},     {"update", EVENTS_UPDATE}};
    struct errors all = errors_of(EVENTS_ALL), none = errors_of(0);
    print_message("all: %.1f %.1f, at 8: %.1f %.1f, memory %.1f %.1f\n", all.mean, all.max, all.mean8,
                  all.max8, all.memory, all.memory_max);
    print_message("none: %.1f %.1f, at 8: %.1f %.1f\n", none.mean, none.max, none.mean8, none.max8);
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        struct errors x = errors_of((int)(EVENTS_ALL & ~terms[i].term));
        print_message("without %s: %.1f %.1f, at 8: %.1f %.1f\n", terms[i].name, x.mean, x.max, x.mean8,
                      x.max8);
        assert_true(x.mean > all.mean - 0.05 && none.mean > all.mean);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_as_close_as_documented),
        cmocka_unit_test(every_term_is_worth_its_place),
    };
    return cmocka_run_group_tests(tests, setup, texts_end);
}
