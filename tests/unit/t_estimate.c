/* Every formula of the estimators on cases small enough to be worked out by hand: expected values are written
 * as the sums in docs/estimator.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sim/estimate.h"

/* Zones a, b. X: 4 per node, link counts 1, 2, 4. Y: 2 per node, link count 1 only, half as fast.
 * Five layers (embedding, 3 blocks, head). Bandwidths do not depend on the size unless a test says so. */
enum { X, Y, A = 0, B = 1, L = 5, SLOTS = 2 * 2 * TP_N };
static const double p1[L] = {10e6, 20e6, 20e6, 20e6, 40e6}, p2[L] = {6e6, 11e6, 11e6, 11e6, 21e6},
                    p4[L] = {3e6, 6e6, 6e6, 6e6, 11e6};
static const double a1[L] = {1e6, 4e6, 4e6, 4e6, 2e6}, a2[L] = {1e6, 3e6, 3e6, 3e6, 1e6},
                    a4[L] = {1e6, 2e6, 2e6, 2e6, 1e6};
static const double out[L] = {1e6, 2e6, 3e6, 4e6, 5e6}; /* 4, 8, 12, 16, 20 MB at F = 4, m = 1 */
static const double f1[L] = {.01, .02, .02, .02, .03}, b1[L] = {.02, .04, .04, .04, .06};
static const double f2[L] = {.005, .01, .01, .01, .015}, b2[L] = {.01, .02, .02, .02, .03};
static const double fy[L] = {.02, .04, .04, .04, .06}, by[L] = {.04, .08, .08, .08, .12};
static const double ux[L] = {.001, .002, .003, .004, .005}, uy[L] = {.01, .01, .01, .01, .01};

static struct gpu_type gpus[2];
static struct link links[SLOTS * SLOTS];
static const char *zones[] = {"a", "b"};
static double usd[4], egress[4];
static unsigned char counts[4];
static const int mbs[] = {1, 2};
static struct layer_times times[2][2 * TP_N];
static const struct profile profs[2] = {{.n_mb = 2, .mb = mbs, .times = times[X]},
                                        {.n_mb = 2, .mb = mbs, .times = times[Y]}};
static const struct profile *profiles[2] = {&profs[X], &profs[Y]};
static struct site site;
static struct model model;
static struct workload work;

static void set_link(int z, int g, int tp, int z2, int g2, int tp2, double GBps) {
    links[site_link_slot(&site, z, g, tp_index(tp), z2, g2, tp_index(tp2))] =
        (struct link){.c0 = GBps, .peak_Bps = GBps * 1e9, .known = true};
}

static struct link *the_link(int z, int g, int tp, int z2, int g2, int tp2) {
    return &links[site_link_slot(&site, z, g, tp_index(tp), z2, g2, tp_index(tp2))];
}

static int setup(void **state) {
    (void)state;
    gpus[X] = (struct gpu_type){"X", 10e9, 10e9, 4, 0};
    gpus[Y] = (struct gpu_type){"Y", 4e9, 4e9, 2, 0};
    site = (struct site){.name = "s",
                         .n_zone = 2,
                         .n_gpu = 2,
                         .zone = zones,
                         .gpu = gpus,
                         .usd_per_gpu_hour = usd,
                         .egress_usd_per_GB = egress,
                         .link = links,
                         .counts = counts};
    model = (struct model){.name = "m",
                           .n_layer = L,
                           .n_block = 3,
                           .hidden_size = 1000,
                           .sequence_length = 500,
                           .params = {p1, p2, p4, NULL},
                           .act_mem = {a1, a2, a4, NULL},
                           .act_out = out};
    work = (struct workload){.site = &site,
                             .model = &model,
                             .profile = profiles,
                             .global_batch_size = 8,
                             .element_bytes = 4,
                             .state_bytes_per_param = 24};
    memset(links, 0, sizeof links);
    memset(times, 0, sizeof times);
    for (int mi = 0; mi < 2; mi++) {
        times[X][mi * TP_N + 0] = (struct layer_times){f1, b1, ux, false, NULL, NULL};
        times[X][mi * TP_N + 1] = times[X][mi * TP_N + 2] =
            (struct layer_times){f2, b2, ux, false, NULL, NULL};
        times[Y][mi * TP_N + 0] = times[Y][mi * TP_N + 1] =
            (struct layer_times){fy, by, uy, false, NULL, NULL};
    }
    for (int i = 0; i < 4; i++) usd[i] = i % 2 == X ? 3.6 : 1.8, counts[i] = i % 2 == X ? 7 : 1;
    double price[4] = {0, .01, .02, 0}; /* a->b 1 cent, b->a 2 cents per 1e9 bytes */
    memcpy(egress, price, sizeof egress);
    for (int z = 0; z < 2; z++)
        for (int y = 0; y < 2; y++) {
            double across = z == y ? 1 : z == A ? .25 : .125; /* a->b a quarter, b->a an eighth */
            for (int tp = 1; tp <= 4; tp *= 2)
                for (int tq = 1; tq <= 4; tq *= 2)
                    set_link(z, X, tp, y, X, tq, 2 * across * (tp < tq ? tp : tq));
            for (int tp = 1; tp <= 4; tp *= 2) {
                set_link(z, X, tp, y, Y, 1, 1 * across);
                set_link(z, Y, 1, y, X, tp, .5 * across);
            }
            set_link(z, Y, 1, y, Y, 1, .8 * across);
        }
    return 0;
}

/* Plans in short: R(gpu, tp, zone, count), STAGE(first, end, R...), PLAN(m, STAGE...). */
#define R(g, t, z, n)                                                                                        \
    { .gpu = g, .tp = t, .zone = z, .count = n }
#define STAGE(f, e, ...)                                                                                     \
    {                                                                                                        \
        f, e, sizeof((struct replicas[]){__VA_ARGS__}) / sizeof(struct replicas), (struct replicas[]) {      \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define PIPELINE(...)                                                                                        \
    {                                                                                                        \
        sizeof((struct stage[]){__VA_ARGS__}) / sizeof(struct stage), (struct stage[]) { __VA_ARGS__ }       \
    }
#define PLAN_OF(m, ...)                                                                                      \
    &(struct plan) {                                                                                         \
        .model = "m", .site = "s", .global_batch_size = work.global_batch_size, .micro_batch_size = m,       \
        .n_pipeline = sizeof((struct pipeline[]){__VA_ARGS__}) / sizeof(struct pipeline),                    \
        .pipeline = (struct pipeline[]) {                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define PLAN(m, ...) PLAN_OF(m, PIPELINE(__VA_ARGS__))

static struct stage_estimate stages[16];

static struct estimate run(const struct plan *p, enum estimator est) {
    struct err e = {0};
    struct estimate r = {.stage = stages};
    if (plan_check(p, &work, "plan", &e) || estimate_plan(&work, p, est, &r, &e)) fail_msg("%s", e.text);
    assert_ptr_equal(r.stage, stages);
    struct estimate without = {.stage = NULL}; /* the breakdown is optional and changes nothing */
    assert_int_equal(estimate_plan(&work, p, est, &without, &e), 0);
    assert_true(without.iteration_time_s == r.iteration_time_s &&
                without.pipeline_time_s == r.pipeline_time_s);
    assert_null(without.stage);
    return r;
}

static void near_at(double got, double want, int line) {
    if (!(fabs(got - want) <= 1e-13 * fmax(fabs(got), fabs(want))))
        fail_msg("line %d: %.17g; expected %.17g", line, got, want);
}
#define NEAR(got, want) near_at(got, want, __LINE__)

static void test_link(void **state) {
    (void)state;
    struct link l = {.c2 = .5, .c1 = 1, .c0 = 3, .known = true};
    NEAR(link_time_s(&l, 4e6, ESTIMATOR_SAILOR), 4e-3 / (.5 * 4 + 1 * 2 + 3)); /* y = 2 */
    NEAR(link_time_s(&l, .5e6, ESTIMATOR_SAILOR), .5e-3 / (.5 - 1 + 3));       /* y = -1 */
    assert_true(link_time_s(&l, 0, ESTIMATOR_SAILOR) == 0 && link_time_s(&l, 0, ESTIMATOR_NATIVE) == 0);
    NEAR(link_time_s(&l, 4e6, ESTIMATOR_NATIVE), 4e-3 / 7);

    struct link falling = {.c1 = 1, .c0 = 2, .known = true}; /* bw = 2 + y: 0 at 250 kB, negative below */
    NEAR(link_time_s(&falling, 125e3, ESTIMATOR_SAILOR), 125e-6 / -1);
    assert_true(isinf(link_time_s(&falling, 250e3, ESTIMATOR_SAILOR)));
    assert_false(link_usable(&falling, 250e3, ESTIMATOR_SAILOR));
    assert_false(link_usable(&falling, 125e3, ESTIMATOR_SAILOR));
    assert_true(link_usable(&falling, 251e3, ESTIMATOR_SAILOR));
    struct link small = {
        .c1 = 1, .c0 = 5, .known = true}; /* bw at 64 KiB: 5 + log2(.065536); the floor of native */
    double floor_bw = 5 + log2(65536 / 1e6);
    NEAR(link_time_s(&small, 1000, ESTIMATOR_NATIVE), 1e-6 / floor_bw);
    NEAR(link_time_s(&small, 65536, ESTIMATOR_NATIVE), 65536e-9 / floor_bw);
    assert_true(link_time_s(&small, 1000, ESTIMATOR_SAILOR) < 0);
    assert_true(link_usable(&small, 1000, ESTIMATOR_NATIVE));
    assert_false(link_usable(&small, 1000, ESTIMATOR_SAILOR));
}

static void test_allreduce(void **state) {
    (void)state;
    struct link l = {.c0 = 2, .known = true};
    for (int est = 0; est < ESTIMATOR_N; est++) {
        NEAR(allreduce_time_s(&l, 4e8, 2, est), 2 * 1 * (.2 / 2));
        NEAR(allreduce_time_s(&l, 5e8, 4, est), 2 * 3 * (.125 / 2));
        NEAR(allreduce_time_s(&l, 1.2e9, 4, est), 2 * 3 * (.125 + .125 + .05) / 2);
        NEAR(allreduce_time_s(&l, 1e9, 5, est), 2 * 4 * (.1 + .1) / 2);
        assert_true(allreduce_time_s(&l, 1e9, 1, est) == 0);
        assert_true(allreduce_time_s(&l, 1e9, 0, est) == 0);
        assert_true(allreduce_time_s(&l, 0, 4, est) == 0);
    }
    struct link q = {.c1 = 1, .c0 = 1, .known = true}; /* each bucket at the bandwidth of its own chunk */
    NEAR(allreduce_time_s(&q, 5e8 + 16e6, 2, ESTIMATOR_SAILOR), 2 * (.25 / (1 + log2(250)) + .008 / (1 + 3)));
}

static void test_one_stage(void **state) {
    (void)state;
    struct estimate r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1))), ESTIMATOR_SAILOR);
    NEAR(r.iteration_time_s, 7 * .30 + .30 + .001); /* M = 8 */
    NEAR(r.pipeline_time_s, r.iteration_time_s);
    assert_true(r.sync_time_s == 0 && r.egress_usd == 0);
    assert_int_equal(r.n_microbatch, 8);
    NEAR(r.compute_usd, 2.401 * .001);
    NEAR(r.cost_usd, 2.401 * .001);
    NEAR(stages[0].compute_s, .30);
    assert_true(stages[0].comm_s == 0 && stages[0].sync_s == 0);
    NEAR(stages[0].memory_bytes, 24 * 110e6 + 4 * 15e6 + 2e9);
    NEAR(r.peak_memory_bytes, 24 * 110e6 + 4 * 15e6 + 4.76e9 + 3e8);
    assert_true(r.fits);
    assert_int_equal(r.unfit_pipeline, -1);
    assert_int_equal(r.unfit_stage, -1);

    /* two replicas: M = 4, and an all-reduce of 440 MB, one bucket */
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 2))), ESTIMATOR_SAILOR);
    NEAR(r.pipeline_time_s, 4 * .30 + .001);
    NEAR(r.sync_time_s, 2 * .220 / 2);
    NEAR(r.iteration_time_s, r.pipeline_time_s + r.sync_time_s);
    NEAR(r.compute_usd, r.iteration_time_s * .002);

    /* the slowest replica counts; update is a maximum too; 3 replicas: M = ceil(8 / 3) */
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 2), R(Y, 1, A, 1))), ESTIMATOR_SAILOR);
    assert_int_equal(r.n_microbatch, 3);
    NEAR(r.pipeline_time_s, 3 * .60 + .01);
    NEAR(r.sync_time_s, 4 * (.440 / 3) / 1); /* X->Y at 1 GB/s is slower than X->X at 2 */
    NEAR(r.compute_usd, r.iteration_time_s * (2 * .001 + .0005));

    /* the order of the list decides which links are used: Y->X has 0.5 GB/s */
    r = run(PLAN(1, STAGE(0, 5, R(Y, 1, A, 1), R(X, 1, A, 2))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 4 * (.440 / 3) / .5);

    /* microbatch 2, G not divisible: ceil(8 / 6) */
    r = run(PLAN(2, STAGE(0, 5, R(X, 1, A, 3))), ESTIMATOR_SAILOR);
    assert_int_equal(r.n_microbatch, 2);
    NEAR(stages[0].memory_bytes, 24 * 110e6 + 2 * 4 * 15e6 + 2e9);
    /* more slots than sequences: one microbatch */
    r = run(PLAN(2, STAGE(0, 5, R(X, 1, A, 9))), ESTIMATOR_SAILOR);
    assert_int_equal(r.n_microbatch, 1);
    NEAR(r.pipeline_time_s, .30 + .001);
}

static void test_sync_degree(void **state) {
    (void)state;
    /* bytes are divided by the smallest degree of the stage, links are those of count 1 */
    struct estimate r = run(PLAN(1, STAGE(0, 5, R(X, 2, A, 1), R(X, 4, A, 1))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 2 * (.440 / 2 / 2) / 2);
    NEAR(r.compute_usd, r.iteration_time_s * 6 * .001);
    r = run(PLAN(1, STAGE(0, 5, R(X, 4, A, 2))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 2 * (.440 / 4 / 2) / 2);
    /* never by more than 4 */
    gpus[X].gpus_per_node = 8;
    model.params[3] = p4;
    model.act_mem[3] = a4;
    times[X][3] = (struct layer_times){f2, b2, ux, false, NULL, NULL};
    r = run(PLAN(1, STAGE(0, 5, R(X, 8, A, 2))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 2 * (.440 / 4 / 2) / 2);
    /* in half precision half the bytes */
    work.element_bytes = 2;
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 2))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 2 * .110 / 2);
    NEAR(stages[0].memory_bytes, 24 * 110e6 + 2 * 15e6 + 2e9);
}

static void test_ring_open_and_closed(void **state) {
    (void)state;
    /* a, a, b: time by a->a and a->b; egress also by b->a */
    struct estimate r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 2), R(X, 1, B, 1))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 4 * (.440 / 3) / .5);
    NEAR(r.egress_usd, (.01 + .02) * .440 / 3 * 2 * 2);
    NEAR(r.cost_usd, r.compute_usd + r.egress_usd);
    /* b, a, a: b->a has a quarter GB/s */
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, B, 1), R(X, 1, A, 2))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 4 * (.440 / 3) / .25);
    NEAR(r.egress_usd, (.01 + .02) * .440 / 3 * 2 * 2);
    /* a, b, a: both; the closing link a->a is free */
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1), R(X, 1, B, 1), R(X, 1, A, 1))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 4 * (.440 / 3) / .25);
    NEAR(r.egress_usd, (.01 + .02) * .440 / 3 * 2 * 2);
    /* two of one kind in two groups are two of one kind */
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1), R(X, 1, A, 1))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 2 * .220 / 2);
}

static void test_two_stages(void **state) {
    (void)state;
    const struct plan *p = PLAN(1, STAGE(0, 2, R(X, 1, A, 1)), STAGE(2, 5, R(X, 1, A, 1)));
    struct estimate r = run(p, ESTIMATOR_SAILOR);
    /* act_0: out[1] = 8 MB; grad_1: out[2] = 12 MB, twice in the last stage */
    NEAR(stages[0].comm_s, .004);
    NEAR(stages[1].comm_s, 2 * .006);
    NEAR(stages[0].compute_s, .09);
    NEAR(stages[1].compute_s, .21);
    NEAR(r.iteration_time_s, 7 * (.21 + .012) + (.004 + .012) + .30 + .003); /* update: layers 0 and 2 */
    NEAR(stages[0].memory_bytes, 24 * 30e6 + 2 * 4 * 5e6 + 2e9);
    NEAR(stages[1].memory_bytes, 24 * 80e6 + 1 * 4 * 10e6 + 2e9);
    NEAR(r.peak_memory_bytes, 24 * 80e6 + 4 * 10e6 + 5.06e9);
    r = run(p, ESTIMATOR_NATIVE);
    NEAR(stages[1].comm_s, .006);
    NEAR(r.iteration_time_s, 7 * (.21 + .006) + (.004 + .006) + .30 + .003);

    /* updates measured per layer add up over a stage; the published simulator takes the first layer's */
    times[X][0].update_by_layer = true;
    NEAR(run(p, ESTIMATOR_NATIVE).iteration_time_s,
         7 * (.21 + .006) + (.004 + .006) + .30 + (.003 + .004 + .005));
    NEAR(run(p, ESTIMATOR_SAILOR).iteration_time_s, 7 * (.21 + .012) + (.004 + .012) + .30 + .003);
    times[X][0].update_by_layer = false;

    /* across zones: a->b forward at .5 GB/s, b->a back at .25; money by the previous layer's output */
    r = run(PLAN(1, STAGE(0, 2, R(X, 1, A, 1)), STAGE(2, 5, R(X, 1, B, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, .008 / .5);
    NEAR(stages[1].comm_s, 2 * .012 / .25);
    NEAR(r.egress_usd, 8 * (.01 * .008 + .02 * .008)); /* out[1] both ways */

    /* degrees choose the link: 2 -> 4 is 4 GB/s here; Y has count 1 only, whatever its degree */
    r = run(PLAN(1, STAGE(0, 2, R(X, 2, A, 1)), STAGE(2, 5, R(X, 4, A, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, .008 / 4);
    NEAR(stages[1].comm_s, 2 * .012 / 4);
    r = run(PLAN(1, STAGE(0, 2, R(Y, 2, A, 1)), STAGE(2, 5, R(X, 4, A, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, .008 / .5);
    NEAR(stages[1].comm_s, 2 * .012 / 1);
    NEAR(stages[0].memory_bytes, 24 * 17e6 + 2 * 4 * 4e6 + 3e9); /* degree above 1: 3e9 */

    /* replica j pairs with j: (X, X), (X, Y); the slowest pair counts */
    r = run(PLAN(1, STAGE(0, 2, R(X, 1, A, 2)), STAGE(2, 5, R(X, 1, A, 1), R(Y, 1, A, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, .008 / 1);
    NEAR(stages[1].comm_s, 2 * .012 / .5);
    NEAR(stages[0].sync_s, 2 * (.120 / 2) / 2);
    NEAR(stages[1].sync_s, 2 * (.320 / 2) / 1);
    NEAR(r.sync_time_s, stages[1].sync_s);

    /* unequal D: replica j talks to j mod D'; M by stage 0 */
    r = run(PLAN(1, STAGE(0, 2, R(X, 1, A, 1), R(X, 1, B, 2)), STAGE(2, 5, R(X, 1, A, 1), R(X, 1, B, 1))),
            ESTIMATOR_SAILOR);
    assert_int_equal(r.n_microbatch, 3);
    NEAR(stages[0].comm_s, .008 / .25);   /* a->a, b->b, b->a */
    NEAR(stages[1].comm_s, 2 * .012 / 2); /* a->a, b->b */
    NEAR(r.egress_usd, 3 * .02 * .008 + (.01 + .02) * .120 / 3 * 4 + (.01 + .02) * .320 / 2 * 2);
}

static void test_three_stages(void **state) {
    (void)state;
    const struct plan *p =
        PLAN(1, STAGE(0, 1, R(X, 1, A, 1)), STAGE(1, 3, R(X, 1, A, 1)), STAGE(3, 5, R(X, 1, A, 1)));
    struct estimate r = run(p, ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, .002);
    NEAR(stages[1].comm_s, .006 + .004); /* act out[2], grad out[1] */
    NEAR(stages[2].comm_s, 2 * .008);
    NEAR(r.iteration_time_s, 7 * (.15 + .016) + (.002 + .010 + .016) + .30 + .004);
    NEAR(stages[0].memory_bytes, 24 * 10e6 + 3 * 4 * 1e6 + 2e9);
    NEAR(stages[1].memory_bytes, 24 * 40e6 + 2 * 4 * 8e6 + 2e9);
    NEAR(stages[2].memory_bytes, 24 * 60e6 + 1 * 4 * 6e6 + 2e9);
    r = run(p, ESTIMATOR_NATIVE);
    NEAR(r.iteration_time_s, 7 * (.15 + .008) + (.002 + .010 + .008) + .30 + .004);
    /* every boundary is paid for, both ways */
    r = run(PLAN(1, STAGE(0, 1, R(X, 1, A, 1)), STAGE(1, 3, R(X, 1, B, 1)), STAGE(3, 5, R(X, 1, A, 1))),
            ESTIMATOR_SAILOR);
    NEAR(r.egress_usd, 8 * (.01 * .004 + .02 * .004 + .02 * .012 + .01 * .012));
}

static void test_four_stages(void **state) {
    (void)state;
    const struct plan *p = PLAN(1, STAGE(0, 1, R(X, 1, A, 1)), STAGE(1, 2, R(X, 1, A, 1)),
                                STAGE(2, 3, R(X, 1, A, 1)), STAGE(3, 5, R(X, 1, A, 1)));
    struct estimate r = run(p, ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, 2 * .002); /* more than three stages: twice */
    NEAR(stages[1].comm_s, .004 + .004);
    NEAR(stages[2].comm_s, .006 + .006);
    NEAR(stages[3].comm_s, 2 * .008);
    NEAR(r.iteration_time_s, 7 * (.15 + .016) + (.004 + .008 + .012 + .016) + .30 + .004);
    r = run(p, ESTIMATOR_NATIVE);
    NEAR(stages[0].comm_s, .002);
    NEAR(stages[3].comm_s, .008);
    NEAR(r.iteration_time_s, 7 * (.15 + .008) + (.002 + .008 + .012 + .008) + .30 + .004);
    /* native: no more microbatches in flight than there are */
    work.global_batch_size = 2;
    p = PLAN(1, STAGE(0, 1, R(X, 1, A, 1)), STAGE(1, 2, R(X, 1, A, 1)), STAGE(2, 3, R(X, 1, A, 1)),
             STAGE(3, 5, R(X, 1, A, 1)));
    r = run(p, ESTIMATOR_SAILOR);
    NEAR(stages[0].memory_bytes, 24 * 10e6 + 4 * 4 * 1e6 + 2e9);
    r = run(p, ESTIMATOR_NATIVE);
    NEAR(stages[0].memory_bytes, 24 * 10e6 + 2 * 4 * 1e6 + 2e9);
    NEAR(stages[3].memory_bytes, 24 * 60e6 + 1 * 4 * 6e6 + 2e9);
}

static void test_memory_limit(void **state) {
    (void)state;
    double need = 24 * 110e6 + 4 * 15e6 + 2e9;
    const struct plan *p = PLAN(1, STAGE(0, 5, R(X, 1, A, 1)));
    gpus[X].memory_bytes = need;
    assert_true(run(p, ESTIMATOR_SAILOR).fits); /* exactly full is within */
    gpus[X].memory_bytes = need - 1;
    struct estimate r = run(p, ESTIMATOR_SAILOR);
    assert_false(r.fits);
    assert_int_equal(r.unfit_pipeline, 0);
    assert_int_equal(r.unfit_stage, 0);
    gpus[X].memory_bytes = 10e9;
    gpus[X].planner_memory_bytes = 1; /* only published planners use this one */
    assert_true(run(p, ESTIMATOR_SAILOR).fits);
    work.state_bytes_per_param = 20; /* SGD */
    r = run(p, ESTIMATOR_SAILOR);
    NEAR(stages[0].memory_bytes, 20 * 110e6 + 4 * 15e6 + 2e9);
    NEAR(r.peak_memory_bytes, 20 * 110e6 + 4 * 15e6 + 5.06e9);
    /* one small GPU in the second stage is enough */
    work.state_bytes_per_param = 24;
    r = run(PLAN(1, STAGE(0, 1, R(Y, 1, A, 2)), STAGE(1, 5, R(X, 1, A, 1), R(Y, 1, A, 1))), ESTIMATOR_SAILOR);
    assert_false(r.fits);
    assert_int_equal(r.unfit_stage, 1);
    /* each degree in a stage has its own need; the largest is reported */
    r = run(PLAN(1, STAGE(0, 5, R(X, 4, A, 1), R(X, 1, A, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].memory_bytes, need);
    r = run(PLAN(1, STAGE(0, 5, R(X, 4, A, 1), R(X, 2, A, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].memory_bytes, 24 * 60e6 + 4 * 11e6 + 3e9);
    NEAR(r.peak_memory_bytes, 24 * 60e6 + 4 * 11e6 + 5.06e9);
}

/* Virtual stages: every part sends, the first and the last stage also to each other, and the wait is divided.
 */
static void test_parts(void **state) {
    (void)state;
    model.n_block = 4;
    const struct plan *plain = PLAN(1, STAGE(0, 3, R(X, 1, A, 1)), STAGE(3, 5, R(X, 1, A, 1)));
    struct plan dealt = *plain;
    struct estimate r = run(plain, ESTIMATOR_NATIVE);
    struct stage_estimate one[2] = {stages[0], stages[1]};
    double update =
        r.pipeline_time_s -
        (r.n_microbatch - 1) * fmax(one[0].compute_s + one[0].comm_s, one[1].compute_s + one[1].comm_s) -
        one[0].compute_s - one[0].comm_s - one[1].compute_s - one[1].comm_s;
    dealt.virtual_stages = 1;
    assert_true(run(&dealt, ESTIMATOR_NATIVE).iteration_time_s == r.iteration_time_s);
    dealt.virtual_stages = 2;
    struct estimate v = run(&dealt, ESTIMATOR_NATIVE);
    double own[2];
    for (int i = 0; i < 2; i++) {
        assert_true(stages[i].compute_s == one[i].compute_s);
        NEAR(stages[i].comm_s, 3 * one[i].comm_s); /* two messages to the neighbour, one around the end */
        own[i] = stages[i].compute_s + stages[i].comm_s;
    }
    double most = fmax(own[0], own[1]), least = fmin(own[0], own[1]);
    NEAR(v.pipeline_time_s, v.n_microbatch * most + least / 2 + update);
    NEAR(v.egress_usd, 3 * r.egress_usd);
    /* 2 + 1/2 and 2 - 1/2 microbatches instead of 2 and 1 */
    double per = stages[0].memory_bytes - one[0].memory_bytes;
    NEAR(one[0].memory_bytes - 4 * per, 24 * (p1[0] + p1[1] + p1[2]) + 2e9);
    assert_true(stages[1].memory_bytes > one[1].memory_bytes);
}

/* A replica of two groups: twice the GPUs, twice the messages of half the size to pay for, a ring of all of
 * them, and the optimizer's state shared by them. Times and sizes are the tables' matter. */
static void test_context_groups(void **state) {
    (void)state;
    const struct plan *plain = PLAN(2, STAGE(0, 3, R(X, 1, A, 2)), STAGE(3, 5, R(X, 1, B, 2)));
    const struct plan *twice = PLAN(2, STAGE(0, 3, R(X, 1, A, 4)), STAGE(3, 5, R(X, 1, B, 4)));
    struct plan two = *plain;
    int used[4], of_twice[4];
    struct estimate one = run(plain, ESTIMATOR_NATIVE);
    double comm = stages[0].comm_s;
    struct estimate rings = run(twice, ESTIMATOR_NATIVE);
    two.options.context_parallel = 1;
    assert_true(run(&two, ESTIMATOR_NATIVE).iteration_time_s == one.iteration_time_s);
    two.options.context_parallel = 2;
    struct estimate r = run(&two, ESTIMATOR_NATIVE);
    plan_gpus(&two, &site, used);
    plan_gpus(twice, &site, of_twice);
    assert_memory_equal(used, of_twice, sizeof used);
    assert_int_equal(r.n_microbatch, one.n_microbatch);
    assert_true(stages[0].comm_s == comm && r.sync_time_s == rings.sync_time_s);
    assert_true(r.pipeline_time_s == one.pipeline_time_s);
    NEAR(r.egress_usd, 2 * one.egress_usd);
    NEAR(r.compute_usd / r.iteration_time_s, 2 * one.compute_usd / one.iteration_time_s);
    double before = stages[0].memory_bytes;
    work.shared_bytes_per_param = 8;
    run(&two, ESTIMATOR_NATIVE);
    NEAR(before - stages[0].memory_bytes, (8 - 8 / 4.0) * (p1[0] + p1[1] + p1[2]));
}

/* Native checks and shows memory that a site states is taken beside the model; the published simulator does
 * not know it. */
static void test_stated_context(void **state) {
    (void)state;
    const struct plan *one = PLAN(1, STAGE(0, 5, R(X, 1, A, 1))), *wide = PLAN(1, STAGE(0, 5, R(X, 2, A, 1)));
    double need = 24 * 110e6 + 4 * 15e6;
    NEAR(run(one, ESTIMATOR_NATIVE).peak_memory_bytes, need + 2e9);
    NEAR(run(wide, ESTIMATOR_NATIVE).peak_memory_bytes, 24 * 60e6 + 4 * 11e6 + 3e9);
    gpus[X].context_bytes = 5.06e9;
    NEAR(run(one, ESTIMATOR_NATIVE).peak_memory_bytes, need + 5.06e9);
    NEAR(stages[0].memory_bytes, need + 5.06e9);
    NEAR(run(wide, ESTIMATOR_NATIVE).peak_memory_bytes, 24 * 60e6 + 4 * 11e6 + 5.06e9);
    gpus[X].memory_bytes = need + 5.06e9;
    assert_true(run(one, ESTIMATOR_NATIVE).fits);
    gpus[X].memory_bytes -= 1;
    assert_false(run(one, ESTIMATOR_NATIVE).fits);
    assert_true(run(one, ESTIMATOR_SAILOR).fits);
    NEAR(stages[0].memory_bytes, need + 2e9);
    work.process_bytes = 1e9; /* the trainer's own figure wins */
    NEAR(run(one, ESTIMATOR_NATIVE).peak_memory_bytes, need + 1e9);
}

/* The GPU with the least to spare need not be the fullest. */
static void test_tight(void **state) {
    (void)state;
    gpus[Y].memory_bytes = 4.5e9;
    struct estimate r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1), R(Y, 2, A, 1))), ESTIMATOR_NATIVE);
    assert_true(stages[0].memory_bytes == r.peak_memory_bytes && stages[0].memory_bytes > 4.5e9);
    assert_true(r.fits == (stages[0].tight_bytes <= stages[0].tight_room_bytes));
    assert_true(stages[0].tight_room_bytes == 4.5e9);
}

/* Memory stated in profiles replaces the overheads; messages count if a stage follows. */
static void test_measured_memory(void **state) {
    (void)state;
    work.process_bytes = 3e7;
    work.message = 500;
    work.again[0] = 7000;
    struct estimate r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1))), ESTIMATOR_NATIVE);
    double need = 24 * 110e6 + 4 * 15e6 + 4 * 7000 + 3e7;
    NEAR(stages[0].memory_bytes, need);
    NEAR(r.peak_memory_bytes, need);
    r = run(PLAN(1, STAGE(0, 2, R(X, 1, A, 1)), STAGE(2, 5, R(X, 1, A, 1))), ESTIMATOR_NATIVE);
    double without = stages[0].memory_bytes, last = stages[1].memory_bytes;
    work.message = 0;
    r = run(PLAN(1, STAGE(0, 2, R(X, 1, A, 1)), STAGE(2, 5, R(X, 1, A, 1))), ESTIMATOR_NATIVE);
    NEAR(without - stages[0].memory_bytes, 4 * 2 * 500);
    NEAR(last, stages[1].memory_bytes);
    gpus[X].memory_bytes = need - 1;
    assert_false(run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1))), ESTIMATOR_NATIVE).fits);
    gpus[X].memory_bytes = need;
    assert_true(run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1))), ESTIMATOR_NATIVE).fits);
}

/* Where the output matrix is the embedding, the last of several stages holds a copy of it. */
static void test_tied(void **state) {
    (void)state;
    const struct plan *one = PLAN(1, STAGE(0, 5, R(X, 1, A, 1))),
                      *two = PLAN(1, STAGE(0, 1, R(X, 1, A, 2)), STAGE(1, 5, R(X, 1, A, 2))),
                      *wide = PLAN(1, STAGE(0, 1, R(X, 2, A, 1)), STAGE(1, 5, R(X, 2, A, 1)));
    double alone = run(one, ESTIMATOR_NATIVE).peak_memory_bytes,
           time_s = run(two, ESTIMATOR_NATIVE).iteration_time_s;
    double first = stages[0].memory_bytes, last = 24 * 100e6 + 4 * 14e6 + 2e9;
    NEAR(stages[1].memory_bytes, last);
    model.tied_head = true;
    model.tied_copy[0] = 9e6;
    model.tied_copy[1] = 5e6;
    assert_true(run(two, ESTIMATOR_NATIVE).iteration_time_s == time_s && stages[0].memory_bytes == first);
    NEAR(stages[1].memory_bytes, last + 24 * 9e6);
    assert_true(run(one, ESTIMATOR_NATIVE).peak_memory_bytes == alone);
    run(wide, ESTIMATOR_NATIVE);
    NEAR(stages[1].memory_bytes, 24 * (54e6 + 5e6) + 4 * 10e6 + 3e9);
    run(two, ESTIMATOR_SAILOR);
    NEAR(stages[1].memory_bytes, last);
    work.shared_bytes_per_param = 8; /* zero 1: the replicas share the copy's state, too */
    run(two, ESTIMATOR_NATIVE);
    NEAR(stages[1].memory_bytes, last + 24 * 9e6 - (8 - 8 / 2.) * 109e6);
    work.shared_bytes_per_param = 0;
    gpus[X].memory_bytes = last + 24 * 9e6 - 1;
    assert_false(run(two, ESTIMATOR_NATIVE).fits || plan_fits(&work, two, ESTIMATOR_NATIVE));
    assert_true(run(two, ESTIMATOR_SAILOR).fits);
}

static void test_pipelines(void **state) {
    (void)state;
    /* M by stage 0 of the last pipeline (D = 1): ceil(8 / (1 * 1 * 2)) = 4; native adds the replicas up:
     * ceil(8 / 3) */
    const struct plan *p = PLAN_OF(1, PIPELINE(STAGE(0, 5, R(X, 1, A, 2))),
                                   PIPELINE(STAGE(0, 2, R(X, 2, A, 1)), STAGE(2, 5, R(Y, 1, A, 1))));
    struct estimate r = run(p, ESTIMATOR_SAILOR);
    assert_int_equal(r.n_microbatch, 4);
    double act = .008 / 1, grad = .012 / .5;
    NEAR(stages[0].compute_s, .30);
    NEAR(stages[1].compute_s, .045);
    NEAR(stages[1].comm_s, act);
    NEAR(stages[2].comm_s, 2 * grad);
    NEAR(r.pipeline_time_s, 3 * (.42 + 2 * grad) + act + 2 * grad + .465 + .01); /* the second is slower */
    /* inside the first pipeline 440 MB over 2; between pipelines, by the deeper one: 120 MB on X, 320 MB on
     * Y's link */
    NEAR(r.sync_time_s, 2 * (.440 / 2) / 2 + 2 * (.320 / 2) / .8);
    NEAR(r.iteration_time_s, r.pipeline_time_s + r.sync_time_s);
    NEAR(r.compute_usd, r.iteration_time_s * (2 * .001 + 2 * .001 + .0005));
    r = run(p, ESTIMATOR_NATIVE);
    assert_int_equal(r.n_microbatch, 3);
    /* the other way round: D of the last pipeline is 2: ceil(8 / 4) */
    p = PLAN_OF(1, PIPELINE(STAGE(0, 2, R(X, 1, A, 1)), STAGE(2, 5, R(Y, 1, A, 1))),
                PIPELINE(STAGE(0, 5, R(X, 1, A, 2))));
    r = run(p, ESTIMATOR_SAILOR);
    assert_int_equal(r.n_microbatch, 2);
    NEAR(r.sync_time_s, 2 * (.440 / 2) / 2 + 2 * (.320 / 2) / .8);
    /* not divided by the degree, buckets of 5e8: 440 MB and three pipelines */
    p = PLAN_OF(1, PIPELINE(STAGE(0, 5, R(X, 4, A, 1))), PIPELINE(STAGE(0, 5, R(X, 4, A, 1))),
                PIPELINE(STAGE(0, 5, R(X, 4, A, 1))));
    NEAR(run(p, ESTIMATOR_SAILOR).sync_time_s, 4 * (.440 / 3) / 2);
    NEAR(run(p, ESTIMATOR_NATIVE).sync_time_s, 4 * (.440 / 4 / 3) / 2);
    model.params[0] = (const double[]){100e6, 50e6, 50e6, 50e6, 50e6}; /* 1.2e9 bytes */
    NEAR(run(p, ESTIMATOR_SAILOR).sync_time_s, 4 * ((.5 + .5 + .2) / 3) / 2);
    /* memory is named by pipeline */
    gpus[Y].memory_bytes = 1e9;
    p = PLAN_OF(1, PIPELINE(STAGE(0, 5, R(X, 4, A, 1))),
                PIPELINE(STAGE(0, 2, R(X, 4, A, 1)), STAGE(2, 5, R(Y, 1, A, 1))));
    r = run(p, ESTIMATOR_SAILOR);
    assert_false(r.fits);
    assert_int_equal(r.unfit_pipeline, 1);
    assert_int_equal(r.unfit_stage, 1);
}

static void test_vms(void **state) {
    (void)state;
    static const int xy[] = {X, Y}, xx[] = {X, X}, y[] = {Y, X};
    /* message: 1 * 500 * 1000 * 4 = 2 MB. Own links at count = GPUs per node: X (4): 8 GB/s; Y (2, table: 1):
     * .8 */
    struct replicas r2 = {.gpu = X, .tp = 2, .zone = A, .count = 1, .n_vm = 2, .vm_gpu = xx};
    double ar_x = 2 * 1 * (.001 / 8), ar_y = 2 * 1 * (.001 / .8);
    /* one all-reduce for layer 0, two for layers 1 .. blocks - 2 = 1, none after; forward and backward */
    run(PLAN(1, STAGE(0, 5, r2)), ESTIMATOR_SAILOR);
    NEAR(stages[0].compute_s, 2 * (1 + 2) * ar_x);
    r2.vm_gpu = xy; /* the slower entry counts */
    struct estimate r = run(PLAN(1, STAGE(0, 5, r2)), ESTIMATOR_SAILOR);
    NEAR(stages[0].compute_s, 2 * (1 + 2) * ar_y);
    NEAR(r.iteration_time_s, 8 * 6 * ar_y + .001);
    NEAR(stages[0].memory_bytes, 24 * 60e6 + 4 * 11e6 + 3e9);
    assert_true(r.fits);
    r2.vm_gpu = y; /* memory is that of the first entry's type: Y has 4e9 */
    assert_false(run(PLAN(1, STAGE(0, 5, r2)), ESTIMATOR_SAILOR).fits);
    r2.vm_gpu = xx;
    run(PLAN(1, STAGE(0, 1, r2), STAGE(1, 3, r2), STAGE(3, 5, r2)), ESTIMATOR_SAILOR);
    NEAR(stages[0].compute_s, 2 * 1 * ar_x);
    NEAR(stages[1].compute_s, 2 * 2 * ar_x);
    assert_true(stages[2].compute_s == 0);
    /* one entry is a replica like any other, and native never looks */
    r2.n_vm = 1;
    run(PLAN(1, STAGE(0, 5, r2)), ESTIMATOR_SAILOR);
    NEAR(stages[0].compute_s, .15);
    r2.n_vm = 2;
    run(PLAN(1, STAGE(0, 5, r2)), ESTIMATOR_NATIVE);
    NEAR(stages[0].compute_s, .15);
}

static void test_missing_link(void **state) {
    (void)state;
    struct err e = {0};
    struct estimate r = {.stage = NULL};
    the_link(A, X, 1, A, Y, 1)->known = false;
    const struct plan *p = PLAN(1, STAGE(0, 2, R(X, 1, A, 1)), STAGE(2, 5, R(Y, 1, A, 1)));
    for (int est = 0; est < ESTIMATOR_N; est++) {
        assert_int_equal(estimate_plan(&work, p, est, &r, &e), -1);
        assert_int_equal(e.code, EXIT_INPUT);
        assert_non_null(strstr(e.text, "link"));
        assert_null(strchr(e.text, '\n'));
    }
    /* only that direction is missing: a ring Y, X uses the other, but a pipeline uses both */
    run(PLAN(1, STAGE(0, 5, R(Y, 1, A, 1), R(X, 1, A, 1))), ESTIMATOR_SAILOR);
    p = PLAN(1, STAGE(0, 5, R(X, 1, A, 1), R(Y, 1, A, 1)));
    assert_int_equal(estimate_plan(&work, p, ESTIMATOR_SAILOR, &r, &e), -1);
    p = PLAN(1, STAGE(0, 2, R(Y, 1, A, 1)), STAGE(2, 5, R(X, 1, A, 1)));
    assert_int_equal(estimate_plan(&work, p, ESTIMATOR_SAILOR, &r, &e), -1);
    /* a count the table lacks falls to the one below; nothing below: no link */
    counts[A * 2 + X] = 2 | 4;
    p = PLAN(1, STAGE(0, 5, R(X, 2, A, 2)));
    assert_int_equal(estimate_plan(&work, p, ESTIMATOR_SAILOR, &r, &e), -1); /* the ring asks for count 1 */
    counts[A * 2 + X] = 1 | 4;
    run(PLAN(1, STAGE(0, 2, R(X, 2, A, 1)), STAGE(2, 5, R(X, 4, A, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, .008 / 2); /* 2 -> 1 */
}

static void test_unknown_price(void **state) {
    (void)state;
    usd[A * 2 + Y] = NAN;
    struct estimate r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1), R(Y, 1, A, 1))), ESTIMATOR_SAILOR);
    assert_true(isnan(r.compute_usd) && isnan(r.cost_usd));
    assert_true(r.egress_usd == 0 && r.iteration_time_s > 0);
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1))), ESTIMATOR_SAILOR);
    NEAR(r.cost_usd, 2.401 * .001);
    egress[A * 2 + B] = NAN;
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 1), R(X, 1, B, 1))), ESTIMATOR_SAILOR);
    assert_true(isnan(r.egress_usd) && isnan(r.cost_usd) && !isnan(r.compute_usd));
}

static void test_negative_bandwidth(void **state) {
    (void)state;
    /* a fit below zero at this size: the published simulator continues with a negative time */
    *the_link(A, X, 1, A, X, 1) = (struct link){.c0 = -4, .known = true};
    struct estimate r =
        run(PLAN(1, STAGE(0, 2, R(X, 1, A, 1)), STAGE(2, 5, R(X, 1, A, 1))), ESTIMATOR_SAILOR);
    NEAR(stages[0].comm_s, -.002);
    NEAR(stages[1].comm_s, -2 * .003);
    NEAR(r.iteration_time_s, 7 * (.21 - .006) + (-.002 - .006) + .30 + .003);
    r = run(PLAN(1, STAGE(0, 5, R(X, 1, A, 2))), ESTIMATOR_SAILOR);
    NEAR(r.sync_time_s, 2 * .220 / -4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_link, setup),
        cmocka_unit_test_setup(test_allreduce, setup),
        cmocka_unit_test_setup(test_one_stage, setup),
        cmocka_unit_test_setup(test_sync_degree, setup),
        cmocka_unit_test_setup(test_ring_open_and_closed, setup),
        cmocka_unit_test_setup(test_two_stages, setup),
        cmocka_unit_test_setup(test_three_stages, setup),
        cmocka_unit_test_setup(test_four_stages, setup),
        cmocka_unit_test_setup(test_memory_limit, setup),
        cmocka_unit_test_setup(test_parts, setup),
        cmocka_unit_test_setup(test_context_groups, setup),
        cmocka_unit_test_setup(test_stated_context, setup),
        cmocka_unit_test_setup(test_tight, setup),
        cmocka_unit_test_setup(test_measured_memory, setup),
        cmocka_unit_test_setup(test_tied, setup),
        cmocka_unit_test_setup(test_pipelines, setup),
        cmocka_unit_test_setup(test_vms, setup),
        cmocka_unit_test_setup(test_missing_link, setup),
        cmocka_unit_test_setup(test_unknown_price, setup),
        cmocka_unit_test_setup(test_negative_bandwidth, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
