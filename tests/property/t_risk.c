/* Planning as if estimates were off: a plan's time lies between those of the least and the most doubtful
 * type, grows with the quantile, and is the estimate times a factor if all types are equally doubtful. The
 * search then finds what a walk over all plans finds. Usage: t_risk [INSTANCES [SEED]] */
#include <math.h>
#include <stdlib.h>

#include "brute.h"
#include "shapes.h"
#include "sim/risk.h"

enum { WALKED = 30, PLANS_MAX = 20000, PLANS = 20 };
static int passed, failed;

static bool near(double a, double b) { return fabs(a - b) <= 1e-9 * fmax(fabs(a), fabs(b)); }

static void check(bool good, const char *what, uint64_t seed) {
    good ? passed++ : failed++;
    if (!good) printf("# not ok: %s, seed %llu\n", what, (unsigned long long)seed);
}

static double time_s(const struct workload *w, const struct plan *p) {
    struct estimate est = {.stage = NULL};
    struct err e;
    return estimate_plan(w, p, ESTIMATOR_NATIVE, &est, &e) ? NAN : est.iteration_time_s;
}

static void plans_of(uint64_t seed) {
    static const struct shape shape = {3, 2, 3, 10, 4, 24, true};
    struct arena a = {0};
    struct rng r = {.seed = seed};
    struct instance *in = instance_random(seed, &shape, &a);
    if (seed % 3 == 0) instance_vary(in, &a);
    if (seed % 4 == 0) instance_rate_links(in, &a);
    double even[GPUS_MAX], odd[GPUS_MAX], least = INFINITY, most = 0;
    for (int g = 0; g < in->site.n_gpu; g++) {
        even[g] = 0.1;
        odd[g] = rng_range(&r, 0, 0.3);
        least = fmin(least, odd[g]);
        most = fmax(most, odd[g]);
    }
    const struct workload *all = risk_world(&in->w, even, 0, 0.95, &a),
                          *some = risk_world(&in->w, odd, 0.08, 0.95, &a),
                          *more = risk_world(&in->w, odd, 0, 0.99, &a),
                          *less = risk_world(&in->w, odd, 0, 0.05, &a),
                          *middle = risk_world(&in->w, odd, 0, 0.5, &a);
    bool good = true;
    struct err e;
    for (int i = 0; i < PLANS; i++) {
        struct plan *p = plan_random(in, false, &r, &a);
        if (p && in->w.n_variant) p->options = in->w.variant[rng_int(&r, 0, in->w.n_variant - 1)].options;
        double t = p && !plan_check(p, &in->w, "random", &e) ? time_s(&in->w, p) : NAN;
        if (isnan(t)) continue;
        good &= near(time_s(all, p), t * risk_factor(0.1, 0.95));
        good &= time_s(some, p) >= t * risk_factor(least, 0.95) * (1 - 1e-12);
        good &= time_s(some, p) <= t * risk_factor(most, 0.95) * (1 + 1e-12);
        struct estimate now = {.stage = NULL}, then = now;
        good &= !estimate_plan(&in->w, p, in->estimator, &now, &e) &&
                !estimate_plan(some, p, in->estimator, &then, &e) &&
                near(then.peak_memory_bytes, now.peak_memory_bytes * risk_factor(0.08, 0.95)) &&
                then.fits <= now.fits;
        good &= time_s(more, p) >= time_s(some, p) && time_s(less, p) <= t && near(time_s(middle, p), t);
    }
    check(good, "a plan's time in a world", seed);
    arena_free(&a);
}

static void best_of(uint64_t seed) {
    struct arena a = {0};
    struct instance *in = small_instance(seed, PLANS_MAX / 4, &a);
    if (seed % 3 == 0) instance_vary(in, &a);
    if (seed % 4 == 0) instance_rate_links(in, &a);
    struct search_problem p = instance_problem(in, OBJECTIVE_THROUGHPUT);
    struct rng r = {.seed = seed ^ 0x415c};
    struct row_result row = {0};
    struct search_hooks none = {0};
    struct brute b;
    struct err e;
    double deviation[GPUS_MAX];
    for (int g = 0; g < in->site.n_gpu; g++) deviation[g] = rng_range(&r, 0, 0.4);
    p.w = risk_world(&in->w, deviation, rng_range(&r, 0, 0.2), 0.95, &a);
    bool walked = !brute_run(&p, &b, &e), searched = !search_row(&p, &row, &none, NULL, 1, &a, &e);
    check(walked && searched, "walk and search end", seed);
    if (walked && searched) {
        const struct brute_point *want = brute_best(&b, OBJECTIVE_THROUGHPUT, INFINITY, 0);
        bool found = row.status == ROW_OPTIMAL && row.n_plan > 0;
        check(found == (want != NULL), "there is a plan", seed);
        check(!found || !want || near(row.plan[0].est.iteration_time_s, want->time_s), "the best plan", seed);
    }
    if (walked) brute_free(&b);
    arena_free(&a);
}

int main(int argc, char **argv) {
    int instances = argc > 1 ? atoi(argv[1]) : 200;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    check(near(risk_factor(risk_deviation(0.2), 0.95), 1.2), "nine of ten lie within a factor", 0);
    check(near(risk_factor(risk_deviation(0.2), 0.05), 1 / 1.2), "either way", 0);
    check(near(risk_factor(0.3, 0.5), 1), "the middle is the estimate", 0);
    check(near(risk_factor(1, 0.975), exp(1.959963984540054)), "a normal quantile", 0);
    check(near(risk_both(3, 4), 5), "two causes", 0);
    for (int i = 0; i < instances; i++) plans_of(seed + (uint64_t)i);
    for (int i = 0; i < WALKED && i < instances; i++) best_of(seed + (uint64_t)i);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
