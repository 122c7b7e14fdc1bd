/* Plans: structural checks, node packing, pool check, total order, copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "sim/plan.h"

/* Site: zones a, b; types g0 (4 per node), g1 (2 per node). Model: 4 layers, degrees 1, 2, 4 (not 8).
 * Profiles: g0 at m 1 and 2, degrees 1, 2, 4; g1 at m 1, degree 1. */
static const char *zones[] = {"a", "b"};
static const struct gpu_type gpu_types[] = {{"g0", 16e9, 16e9, 4, 0}, {"g1", 8e9, 8e9, 2, 0}};
static const double ones[4] = {1, 1, 1, 1};
static const struct layer_times measured = {ones, ones, ones, false, NULL, NULL}, none = {0};
static struct layer_times times0[2 * TP_N], times1[TP_N];
static const int mb0[] = {1, 2}, mb1[] = {1};
static const struct profile prof0 = {.n_mb = 2, .mb = mb0, .times = times0},
                            prof1 = {.n_mb = 1, .mb = mb1, .times = times1};
static const struct profile *profiles[] = {&prof0, &prof1};
static const struct site site = {.name = "s", .n_zone = 2, .n_gpu = 2, .zone = zones, .gpu = gpu_types};
static const struct model model = {.name = "m",
                                   .n_layer = 4,
                                   .n_block = 2,
                                   .params = {ones, ones, ones, NULL},
                                   .act_mem = {ones, ones, ones, NULL},
                                   .act_out = ones};
static const struct workload work = {.site = &site,
                                     .model = &model,
                                     .profile = profiles,
                                     .global_batch_size = 8,
                                     .element_bytes = 4,
                                     .state_bytes_per_param = 24};

/* A valid plan of two stages, for tests to spoil. */
struct sample {
    struct replicas group[2][2];
    struct stage stage[2];
    struct pipeline pipeline;
    struct plan plan;
};

static struct sample *sample(void) {
    static struct sample s;
    for (int i = 0; i < 2; i++)
        for (int ti = 0; ti < 3; ti++) times0[i * TP_N + ti] = measured;
    times1[0] = measured;
    times1[1] = none;
    s.group[0][0] = (struct replicas){.gpu = 0, .zone = 0, .tp = 2, .count = 2};
    s.group[0][1] = (struct replicas){.gpu = 1, .zone = 1, .tp = 1, .count = 1};
    s.group[1][0] = (struct replicas){.gpu = 0, .zone = 1, .tp = 4, .count = 1};
    s.group[1][1] = (struct replicas){.gpu = 0, .zone = 1, .tp = 1, .count = 2};
    s.stage[0] = (struct stage){0, 3, 2, s.group[0]};
    s.stage[1] = (struct stage){3, 4, 2, s.group[1]};
    s.pipeline = (struct pipeline){2, s.stage};
    s.plan = (struct plan){.name = "n",
                           .model = "m",
                           .site = "s",
                           .global_batch_size = 8,
                           .micro_batch_size = 1,
                           .n_pipeline = 1,
                           .pipeline = &s.pipeline};
    return &s;
}

static void refused(struct sample *s, const char *word) {
    struct err e = {0};
    assert_int_equal(plan_check(&s->plan, &work, "WHERE", &e), -1);
    assert_int_equal(e.code, EXIT_INPUT);
    assert_int_equal(strncmp(e.text, "WHERE", 5), 0);
    assert_null(strchr(e.text, '\n'));
    if (!strstr(e.text, word)) fail_msg("'%s' is not in: %s", word, e.text);
}

static void test_check(void **state) {
    (void)state;
    struct err e = {0};
    assert_int_equal(plan_check(&sample()->plan, &work, "WHERE", &e), 0);

    struct sample *s = sample();
    s->stage[1].first = 2;
    refused(s, "layers"); /* a layer twice */
    s = sample();
    s->stage[0].end = 2;
    refused(s, "layers"); /* a layer left out */
    s = sample();
    s->stage[0].first = 1;
    refused(s, "layers"); /* layer 0 left out */
    s = sample();
    s->stage[0].end = 4;
    s->stage[1].first = 4;
    refused(s, "layers"); /* an empty stage */
    s = sample();
    s->pipeline.n_stage = 1;
    refused(s, "layers"); /* the last layer left out */
    s = sample();
    s->stage[1].end = 5;
    refused(s, "layers"); /* a layer the model does not have */
    s = sample();
    s->stage[1].n_group = 0;
    refused(s, "replicas");
    s = sample();
    s->group[0][1].count = 0;
    refused(s, "count");
    s = sample();
    s->group[0][1].count = -3;
    refused(s, "count");
    s = sample();
    s->group[0][0].tp = 3;
    refused(s, "tp 3");
    s = sample();
    s->group[0][0].tp = 8;
    refused(s, "tp 8"); /* more than a node */
    s = sample();
    s->group[0][1].tp = 4;
    refused(s, "tp 4"); /* g1 has two per node */
    s = sample();
    s->group[0][1].tp = 2;
    refused(s, "profile"); /* g1 was not profiled at 2 */
    s = sample();
    s->plan.micro_batch_size = 2;
    refused(s, "microbatch 2"); /* g1 was not profiled at microbatch 2 */
    s = sample();
    s->plan.micro_batch_size = 0;
    refused(s, "microbatch");
    s = sample();
    s->plan.global_batch_size = 0;
    refused(s, "batch");
    s = sample();
    s->plan.n_pipeline = 0;
    refused(s, "pipeline");
    s = sample();
    s->pipeline.n_stage = 0;
    refused(s, "stages");
    int bad[] = {-1, 2};
    for (int i = 0; i < 2; i++) {
        s = sample();
        s->group[1][0].gpu = bad[i];
        refused(s, "GPU");
        s = sample();
        s->group[1][0].zone = bad[i];
        refused(s, "zone");
    }
}

/* Brute force: puts one replica after another into every node with room. */
static bool pack(int *node, int n_node, const int *size, int n) {
    if (n == 0) return true;
    for (int k = 0; k < n_node; k++)
        if (node[k] >= size[0]) {
            node[k] -= size[0];
            bool ok = pack(node, n_node, size + 1, n - 1);
            node[k] += size[0];
            if (ok) return true;
        }
    return false;
}

static bool pack_all(const int n[TP_N], int gpus, int per_node) {
    int node[32], n_node = 0, size[32], k = 0;
    for (int left = gpus; left > 0; left -= per_node) node[n_node++] = left < per_node ? left : per_node;
    for (int ti = 0; ti < TP_N;
         ti++) /* small ones first: the worst order for a greedy packer, irrelevant here */
        for (int i = 0; i < n[ti]; i++) size[k++] = 1 << ti;
    return pack(node, n_node, size, k);
}

/* Nodes of several sizes, against every way to fill them. */
static void test_packing_of_several_sizes(void **state) {
    (void)state;
    for (int code = 0; code < 8 * 8 * 8; code++) {
        int size[3] = {1 + code % 8, 1 + code / 8 % 8, 1 + code / 64};
        struct nodes in = {{0}};
        for (int k = 0; k < 3; k++) nodes_add(&in, nodes_of(size[k], size[k]));
        for (int n8 = 0; n8 <= 2; n8++)
            for (int n4 = 0; n4 <= 3; n4++)
                for (int n2 = 0; n2 <= 4; n2++)
                    for (int n1 = 0; n1 <= 3; n1++) {
                        int wanted[32], k = 0, count[TP_N] = {n1, n2, n4, n8};
                        for (int ti = 0; ti < TP_N; ti++)
                            for (int i = 0; i < count[ti]; i++) wanted[k++] = 1 << ti;
                        int total = n1 + 2 * n2 + 4 * n4 + 8 * n8, have = size[0] + size[1] + size[2];
                        int node[3] = {size[0], size[1], size[2]};
                        bool want = total <= have && pack(node, 3, wanted, k);
                        if (nodes_fit(&in, count) != want)
                            fail_msg("%d x 1, %d x 2, %d x 4, %d x 8 in nodes of %d, %d and %d", n1, n2, n4,
                                     n8, size[0], size[1], size[2]);
                    }
    }
}

static bool fits(const int count[TP_N], int gpus, int per_node) {
    struct nodes n = nodes_of(gpus, per_node);
    return nodes_fit(&n, count);
}

static void test_packing(void **state) {
    (void)state;
    int tried = 0, fitted = 0;
    static const int per_node[] = {1, 2, 3, 4, 5, 6, 8};
    for (size_t p = 0; p < sizeof per_node / sizeof *per_node; p++)
        for (int gpus = 0; gpus <= 13; gpus++)
            for (int n8 = 0; n8 <= 2; n8++)
                for (int n4 = 0; n4 <= 3; n4++)
                    for (int n2 = 0; n2 <= 5; n2++)
                        for (int n1 = 0; n1 <= 5; n1++) {
                            int n[TP_N] = {n1, n2, n4, n8}, total = n1 + 2 * n2 + 4 * n4 + 8 * n8;
                            bool want = total <= gpus && pack_all(n, gpus, per_node[p]);
                            bool got = fits(n, gpus, per_node[p]);
                            if (got != want)
                                fail_msg(
                                    "%d x 1, %d x 2, %d x 4, %d x 8 in %d GPUs at %d a node: %d, expected %d",
                                    n1, n2, n4, n8, gpus, per_node[p], got, want);
                            tried++;
                            fitted += got;
                        }
    assert_true(tried > 30000);
    assert_true(fitted > 1000);
    /* 30 GPUs at 4 a node are 7 nodes and one of 2 */
    assert_true(fits((int[]){0, 0, 7, 0}, 30, 4));
    assert_false(fits((int[]){0, 0, 8, 0}, 30, 4));
    assert_true(fits((int[]){0, 1, 7, 0}, 30, 4));
    assert_true(fits((int[]){2, 0, 7, 0}, 30, 4));
    assert_false(fits((int[]){1, 1, 7, 0}, 30, 4));
    assert_true(fits((int[]){0, 0, 0, 0}, 0, 4));
    assert_false(fits((int[]){1, 0, 0, 0}, 0, 4));
    assert_true(fits((int[]){1000000, 0, 0, 0}, 1000000, 8)); /* no overflow at large counts */
    assert_false(fits((int[]){0, 0, 0, 125001}, 1000000, 8));
}

static void test_pool(void **state) {
    (void)state;
    struct err e = {0};
    struct sample *s = sample(); /* uses a: 4 g0; b: 1 g1, 6 g0 (one tp-4, two tp-1) */
    int used[4];
    plan_gpus(&s->plan, &site, used);
    assert_int_equal(used[0], 4);
    assert_int_equal(used[1], 0);
    assert_int_equal(used[2], 6);
    assert_int_equal(used[3], 1);
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){4, 0, 6, 1}, NULL, "W", &e), 0);
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){9, 9, 9, 9}, NULL, "W", &e), 0);
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){3, 9, 9, 9}, NULL, "W", &e), -1);
    assert_int_equal(e.code, EXIT_INPUT);
    assert_non_null(strstr(e.text, "g0"));
    assert_non_null(strstr(e.text, "zone a"));
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){4, 0, 5, 1}, NULL, "W", &e), -1);
    assert_non_null(strstr(e.text, "zone b"));
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){4, 0, 6, 0}, NULL, "W", &e), -1);
    assert_non_null(strstr(e.text, "g1"));
    /* 6 GPUs, but the second node has two: two tp-4 do not fit into 4 + 2, nor 3 tp-2 + 1 tp-4 in 8 */
    s->group[1][1].tp = 4;
    s->group[1][1].count = 1;
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){4, 0, 7, 1}, NULL, "W", &e), -1);
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){4, 0, 8, 1}, NULL, "W", &e), 0);
    /* both stages share a node, and several pipelines add up */
    s = sample();
    struct pipeline two[2] = {s->pipeline, s->pipeline};
    s->plan.n_pipeline = 2;
    s->plan.pipeline = two;
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){8, 0, 12, 2}, NULL, "W", &e), 0);
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){7, 0, 12, 2}, NULL, "W", &e), -1);
    assert_int_equal(plan_check_pool(&s->plan, &site, (int[]){8, 0, 11, 2}, NULL, "W", &e), -1);
}

enum { VARIANTS = 22 };

/* Plans that all differ. */
static void variant(struct sample *s, int v) {
    *s = *sample();
    s->stage[0].group = s->group[0];
    s->stage[1].group = s->group[1];
    s->pipeline.stage = s->stage;
    s->plan.pipeline = &s->pipeline;
    static const int vms[] = {0, 1};
    switch (v) {
    case 1:
        s->plan.micro_batch_size = 2;
        break;
    case 2:
        s->stage[0].end = s->stage[1].first = 2;
        break;
    case 3:
        s->group[0][0].zone = 1;
        break;
    case 4:
        s->group[0][0].gpu = 1;
        break;
    case 5:
        s->group[0][0].tp = 1;
        break;
    case 6:
        s->group[0][0].count = 3;
        break;
    case 7:
        s->group[1][1].zone = 0;
        break;
    case 8:
        s->group[1][1].gpu = 1;
        break;
    case 9:
        s->group[1][1].tp = 2;
        break;
    case 10:
        s->group[1][1].count = 1;
        break;
    case 11:
        s->pipeline.n_stage = 1;
        break;
    case 12:
        s->stage[0].n_group = 1;
        break;
    case 13:
        s->group[0][0].n_vm = 2, s->group[0][0].vm_gpu = vms;
        break;
    case 14:
        s->group[0][0].n_vm = 2, s->group[0][0].vm_gpu = vms + 1;
        s->group[0][0].n_vm = 1;
        break;
    case 15:
        s->plan.global_batch_size = 16;
        break;
    case 16:
        s->stage[0].end = s->stage[1].first = 1;
        break;
    case 17:
        s->group[0][1].gpu = 0;
        break;
    case 18:
        s->group[1][0].zone = 0;
        break;
    case 19:
        s->stage[1].n_group = 1;
        break;
    case 20:
        s->group[0][0].n_vm = 1, s->group[0][0].vm_gpu = vms;
        break;
    case 21:
        s->group[1][0].tp = 2, s->group[1][0].count = 2;
        break;
    default:
        break;
    }
}

static void test_order(void **state) {
    (void)state;
    static struct sample v[VARIANTS];
    for (int i = 0; i < VARIANTS; i++) variant(&v[i], i);
    for (int i = 0; i < VARIANTS; i++) {
        v[i].plan.name = NULL; /* names do not count */
        for (int k = 0; k < VARIANTS; k++) {
            int c = plan_compare(&v[i].plan, &v[k].plan);
            if ((c == 0) != (i == k)) fail_msg("variants %d and %d compare %d", i, k, c);
            assert_true(c >= -1 && c <= 1);
            assert_int_equal(c, -plan_compare(&v[k].plan, &v[i].plan));
            for (int j = 0; j < VARIANTS; j++)
                if (c < 0 && plan_compare(&v[k].plan, &v[j].plan) < 0)
                    assert_int_equal(plan_compare(&v[i].plan, &v[j].plan), -1);
        }
    }
    /* fewer stages first, then fewer GPUs */
    assert_int_equal(plan_compare(&v[11].plan, &v[0].plan), -1);
    assert_int_equal(plan_compare(&v[10].plan, &v[0].plan), -1);
    assert_int_equal(plan_compare(&v[6].plan, &v[0].plan), 1);
}

static void test_copy(void **state) {
    (void)state;
    struct arena a = {0};
    static struct sample s;
    for (int v = 0; v < VARIANTS; v++) {
        variant(&s, v);
        struct plan *q = plan_copy(&s.plan, &a);
        assert_int_equal(plan_compare(q, &s.plan), 0);
        assert_string_equal(q->name, "n");
        assert_string_equal(q->model, "m");
        assert_string_equal(q->site, "s");
        assert_ptr_not_equal(q->pipeline, s.plan.pipeline);
        struct plan before = *q;
        memset(&s, 0x5a, sizeof s); /* the copy shares nothing */
        variant(&s, v);
        assert_int_equal(plan_compare(&before, &s.plan), 0);
    }
    arena_free(&a);
}

static void test_replicas(void **state) {
    (void)state;
    struct sample *s = sample();
    assert_int_equal(stage_replicas(&s->stage[0]), 3);
    s->group[0][0].count = 250;
    assert_int_equal(stage_replicas(&s->stage[0]), 251);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_packing_of_several_sizes),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_replicas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
