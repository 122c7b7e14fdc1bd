/* Where the time of an iteration goes, and what would be worth speeding up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sim/breakdown.h"
#include "sim/faster.h"
#include "sim/sheet.h"

/* Two types in one zone, links of 1e9 B/s, four layers of 0.1 s a pass on X and half as fast on Y. */
enum { X, Y, L = 4, SLOTS = 2 * TP_N };
static const double sizes[L] = {1e6, 1e6, 1e6, 1e6}, ms100[L] = {.1, .1, .1, .1}, ms200[L] = {.2, .2, .2, .2},
                    update[L] = {.01, .01, .01, .01};
static const int mbs[] = {1};
static const struct layer_times on_x[TP_N] = {{ms100, ms100, update, true, NULL, NULL}},
                                on_y[TP_N] = {{ms200, ms200, update, true, NULL, NULL}};
static const struct profile profile_x = {.n_mb = 1, .mb = mbs, .times = on_x},
                            profile_y = {.n_mb = 1, .mb = mbs, .times = on_y};
static const struct profile *profiles[] = {&profile_x, &profile_y};
static const struct gpu_type gpus[] = {{"X", 10e9, 10e9, 4, 0}, {"Y", 3e9, 3e9, 4, 0}};
static const char *zones[] = {"a"};
static const double usd[] = {1, 1}, egress[] = {0};
static struct link links[SLOTS * SLOTS];
static const unsigned char counts[] = {1, 1};
static const struct site site = {.name = "s",
                                 .n_zone = 1,
                                 .n_gpu = 2,
                                 .zone = zones,
                                 .gpu = gpus,
                                 .usd_per_gpu_hour = usd,
                                 .egress_usd_per_GB = egress,
                                 .link = links,
                                 .counts = counts};
static const struct model model = {.name = "m",
                                   .n_layer = L,
                                   .n_block = 2,
                                   .hidden_size = 1,
                                   .sequence_length = 1,
                                   .params = {sizes},
                                   .act_mem = {sizes},
                                   .act_out = sizes};
static const struct workload work = {
    .site = &site, .model = &model, .profile = profiles, .element_bytes = 4, .state_bytes_per_param = 24};

static struct replicas on_stage[2][1] = {{{.gpu = X, .tp = 1, .count = 2}},
                                         {{.gpu = Y, .tp = 1, .count = 2}}};
static struct stage stages[] = {{0, 2, 1, on_stage[0]}, {2, 4, 1, on_stage[1]}};
static struct pipeline pipeline = {2, stages};
static const struct plan plan = {.model = "m",
                                 .site = "s",
                                 .global_batch_size = 16,
                                 .micro_batch_size = 1,
                                 .n_pipeline = 1,
                                 .pipeline = &pipeline};

static int setup(void **state) {
    (void)state;
    for (int g = 0; g < 2; g++)
        for (int h = 0; h < 2; h++)
            links[site_link_slot(&site, 0, g, 0, 0, h, 0)] =
                (struct link){.c0 = 1, .peak_Bps = 1e9, .known = true};
    return 0;
}

static struct estimate estimate(const struct workload *w, struct stage_estimate *room) {
    struct estimate est = {.stage = room};
    struct err e;
    if (estimate_plan(w, &plan, ESTIMATOR_NATIVE, &est, &e)) fail_msg("%s", e.text);
    return est;
}

#define NEAR(x, want) assert_true(fabs((x) - (want)) <= 1e-12 * fabs(want))

static void test_parts(void **state) {
    (void)state;
    struct stage_estimate room[2];
    struct estimate est = estimate(&work, room);
    struct breakdown b;
    assert_true(breakdown_of(&plan, &est, &site, &b));
    assert_int_equal(b.slowest.stage, 1);
    assert_int_equal(b.next.stage, 0);
    NEAR(b.slowest.per_microbatch_s, .8 + .004); /* four passes of 0.2 s, 4 MB of gradients */
    NEAR(b.next.per_microbatch_s, .4 + .004);
    NEAR(slowest_excess(&b), .804 / .404 - 1);
    NEAR(b.compute_s, 8 * .8);
    NEAR(b.transfer_s, 8 * .004);
    NEAR(b.bubble_s, .404);
    NEAR(b.update_s, .02);
    NEAR(b.sync_s, 2 * 1 * .004); /* 8 MB in a ring of two */
    NEAR(b.compute_s + b.transfer_s + b.bubble_s + b.update_s + b.sync_s, est.iteration_time_s);
    NEAR(bubble_share(&b), .404 / est.iteration_time_s);
    assert_int_equal(b.fullest.stage, 1); /* it keeps less, but has less memory */
    NEAR(b.memory_bytes, 3e9);
    NEAR(b.needs_bytes, est.stage[1].memory_bytes);
}

/* A simulated estimate keeps its waiting time. */
static void test_played(void **state) {
    (void)state;
    struct stage_estimate room[2];
    struct estimate est = estimate(&work, room);
    struct breakdown b;
    est.played = true;
    est.update_s = .02;
    est.pipeline_time_s += 1;
    assert_true(breakdown_of(&plan, &est, &site, &b));
    NEAR(b.bubble_s, 1.404);
    NEAR(b.update_s, .02);
}

static void test_no_stages(void **state) {
    (void)state;
    struct stage_estimate room[2] = {{.compute_s = NAN, .comm_s = NAN, .sync_s = NAN, .memory_bytes = NAN},
                                     {.compute_s = NAN, .comm_s = NAN, .sync_s = NAN, .memory_bytes = NAN}};
    struct estimate est = {.iteration_time_s = 1, .stage = NULL};
    struct breakdown b;
    assert_false(breakdown_of(&plan, &est, &site, &b));
    est.stage = room;
    assert_false(breakdown_of(&plan, &est, &site, &b));
}

static void test_faster(void **state) {
    (void)state;
    struct arena a = {0};
    struct stage_estimate room[2];
    double before = estimate(&work, room).iteration_time_s;
    double y = estimate(faster_layers(&work, Y, 2, &a), room).iteration_time_s;
    NEAR(y, 7 * .404 + 2 * .404 + .02 + .008); /* now both take 0.1 s a pass, and X the longer update */
    double all = estimate(faster_layers(&work, -1, 2, &a), room).iteration_time_s;
    NEAR(all, 7 * .404 + .404 + .204 + .01 + .008);
    struct link_ends *ends;
    assert_int_equal(plan_links(&plan, &site, &ends, &a), 3);
    assert_true(ends[0].place == X && ends[0].other == X && ends[1].place == X && ends[1].other == Y);
    double between = estimate(faster_links(&work, ends[1], 2, &a), room).iteration_time_s;
    NEAR(before - between, 8 * .002 + .002);
    double within = estimate(faster_links(&work, ends[0], 2, &a), room).iteration_time_s;
    NEAR(within, before); /* the other stage's all-reduce takes as long as before */
    assert_true(links[site_link_slot(&site, 0, X, 0, 0, Y, 0)].c0 == 1);
    arena_free(&a);
}

static void test_flops(void **state) {
    (void)state;
    struct transformer x = {
        .hidden = 8, .ffn = 32, .heads = 4, .kv_heads = 2, .head_size = 2, .vocabulary = 100, .sequence = 16};
    assert_true(block_flops(&x) == 3 * (2 * 16 * (8 * 24 + 2 * 8 * 32) + 4 * 16 * 16 * 8));
    assert_true(head_flops(&x) == 3 * 2 * 16 * 8 * 100);
    x.gated = true;
    x.experts = 4;
    x.active_experts = 2;
    assert_true(block_flops(&x) == 3 * (2 * 16 * (8 * 24 + 2 * 3 * 8 * 32) + 4 * 16 * 16 * 8));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),  cmocka_unit_test(test_played), cmocka_unit_test(test_no_stages),
        cmocka_unit_test(test_faster), cmocka_unit_test(test_flops),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
