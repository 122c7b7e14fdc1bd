/* Site files from other programs' output: names of GPUs, lists of nodes, bandwidths. Runs in the project's
 * root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "import/draft.h"
#include "import/hostlist.h"
#include "sim/estimate.h"
#include "texts.h"

static struct arena arena;
static struct err e;

static void begin(struct draft *d, const struct draft_wishes *ask) {
    if (draft_begin(d, ask, "devices.json", slurp("inputs/devices.json"), &arena, &e)) fail_msg("%s", e.text);
}

static void names_of_gpus_are_ours(void **state) {
    static const struct {
        const char *said;
        double GiB;
        const char *ours; /* NULL: open */
    } names[] = {
        {"A100-80", NAN, "A100-80"},
        {"NVIDIA A100-SXM4-80GB", NAN, "A100-80"},
        {"NVIDIA A100-SXM4-40GB", NAN, "A100-40"},
        {"NVIDIA A100 80GB PCIe", NAN, "A100-PCIE-80"},
        {"a100", NAN, NULL}, /* 40 or 80 */
        {"a100", 40, "A100-40"},
        {"A100", 80, "A100-80"},
        {"a100_80gb", NAN, "A100-80"},
        {"a100-sxm4-80gb", NAN, "A100-80"},
        {"A100-80GB", NAN, "A100-80"},
        {"tesla_v100-sxm2-32gb", NAN, "V100-32"},
        {"V100", 16, "V100-16"},
        {"h100", NAN, "H100-80"},
        {"H100-SXM", 80, "H100-80"},
        {"nvidia_h100_pcie", NAN, "H100-PCIE-80"},
        {"H200", 141, "H200-141"},
        {"NVIDIA GH200 120GB", NAN, "GH-96"},
        {"gh200", NAN, NULL}, /* 96 or 144 */
        {"L4", NAN, "L4-24"},
        {"l40s", 48, "L40S-48"},
        {"rtx4090", NAN, "RTX-4090"},
        {"geforce_rtx_3090", NAN, "RTX-3090"},
        {"RTX 2080 Ti", NAN, "RTX-2080"},
        {"MI300X", 192, "MI300X-192"},
        {"a40", NAN, NULL},    /* unknown, and so is its memory */
        {"A40", 48, "A40"},    /* unknown, so it keeps its name */
        {"H100", 94, NULL},    /* the one with 94 GB has no data sheet, and no name is made up */
        {"../../x", 48, NULL}, /* not a name */
    };
    static const struct draft_wishes ask = {.level = -1};
    struct draft d;
    (void)state;
    begin(&d, &ask);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct draft_alias *as = draft_alias(&d, names[i].said, names[i].GiB * 0x1p30);
        const char *ours = names[i].ours ? names[i].ours : "nothing", *got = as->name ? as->name : "nothing";
        if (names[i].ours ? strcmp(ours, got) : as->name && strcmp(got, names[i].said))
            fail_msg("%s, %g GiB: %s, expected %s", names[i].said, names[i].GiB, got, ours);
        assert_true(as->name ? as->bytes > 0 : as->why != NULL);
    }
    draft_free(&d);
}

static void names_may_be_mapped(void **state) {
    static const struct draft_wishes ask = {.level = -1, .map = "a100=A100-40,gpu=mine", .memory = "mine=20"};
    struct draft d;
    (void)state;
    begin(&d, &ask);
    assert_string_equal(draft_alias(&d, "a100", NAN)->name, "A100-40");
    assert_string_equal(draft_alias(&d, "gpu", NAN)->name, "mine");
    assert_true(draft_alias(&d, "gpu", NAN)->bytes == 20 * 0x1p30);
    draft_free(&d);
}

static void lists_of_nodes_are_spelled_out(void **state) {
    static const struct {
        const char *list, *names; /* NULL: not a list */
    } lists[] = {
        {"a", "a "},
        {"a,b", "a b "},
        {"n[1-3]", "n1 n2 n3 "},
        {"n[08-11,7],m", "n08 n09 n10 n11 n7 m "},
        {"r[1-2]n[1-2]x", "r1n1x r1n2x r2n1x r2n2x "},
        {"n[1-2,4]-ib", "n1-ib n2-ib n4-ib "},
        {"n[1", NULL},
        {"n[]", NULL},
        {"n[2-1]", NULL},
        {"n[1-]", NULL},
        {"n]", NULL},
        {"a,,b", NULL},
        {"n[1-9999999999]", NULL},
        {"n[0-999][0-999]", NULL}, /* a million */
    };
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const char **name, *all = "";
        int n = hostlist_expand(lists[i].list, &name, &arena);
        for (int k = 0; k < n; k++) all = arena_printf(&arena, "%s%s ", all, name[k]);
        if (lists[i].names ? n < 0 || strcmp(all, lists[i].names) != 0 : n >= 0)
            fail_msg("%s: %d, %s", lists[i].list, n, all);
    }
}

/* The output of all_reduce_perf on `hosts` nodes with k GPUs, whose ring moves `Bps` at all sizes. */
static const char *all_reduce(int hosts, int k, double Bps) {
    int ranks = hosts * k;
    char *text = arena_strdup(&arena, "# Collective test starting: all_reduce_perf\n");
    for (int r = 0; r < ranks; r++)
        text = arena_printf(&arena,
                            "%s#  Rank %2d Group  0 Pid 1 on n%d device  0 [0x04] NVIDIA H100 80GB HBM3\n",
                            text, r, r / k);
    for (double size = 65536; size <= 1 << 30; size *= 4) {
        double us = 1e6 * size * 2 * (ranks - 1) / ranks / Bps;
        text = arena_printf(&arena, "%s %.0f 1 float sum -1 %.6e 1 1 N/A %.6e 1 1 N/A\n", text, size, us, us);
    }
    return text;
}

static double at(const struct draft *d, int a, int b) {
    static const int zero[2] = {0, 0};
    const struct draft_link *l = draft_find_link(d, zero, zero, (const int[]){a, b});
    return l ? 1e8 / link_time_s(&l->fit, 1e8, ESTIMATOR_NATIVE) : NAN;
}

static bool equal(double x, double y) { return fabs(x / y - 1) < 1e-4; }

static void bandwidths_become_links(void **state) {
    static const struct draft_wishes ask = {.level = -1, .from = "z/H100-80"};
    struct draft d;
    (void)state;
    begin(&d, &ask);
    assert_int_equal(draft_nccl_tests(&d, "eight", all_reduce(2, 8, 80e9), &e), 0);
    assert_true(equal(at(&d, 3, 3), 80e9));
    assert_true(equal(at(&d, 0, 0), 10e9) && equal(at(&d, 2, 2), 40e9)); /* shares */
    assert_true(equal(at(&d, 1, 3), 20e9) && equal(at(&d, 3, 1), 20e9)); /* for the end with fewer GPUs */
    assert_int_equal(draft_nccl_tests(&d, "one", all_reduce(4, 1, 25e9), &e), 0);
    assert_true(equal(at(&d, 0, 0), 25e9) && equal(at(&d, 0, 3), 25e9)); /* measured: better than a share */
    assert_true(equal(at(&d, 1, 1), 20e9) && equal(at(&d, 3, 3), 80e9));
    assert_int_equal(draft_nccl_tests(&d, "node", all_reduce(1, 8, 300e9), &e), 0);
    assert_true(equal(d.intra[0][3].c0, 1200)); /* four GPUs to the other four */
    draft_free(&d);
}

static void links_do_not_depend_on_the_order(void **state) {
    static const struct draft_wishes ask = {.level = -1, .from = "z/H100-80"};
    struct draft d[2];
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        begin(&d[turn], &ask);
        for (int i = 0; i < 2; i++)
            assert_int_equal(draft_nccl_tests(&d[turn], "x",
                                              i == turn ? all_reduce(2, 8, 80e9) : all_reduce(4, 1, 25e9),
                                              &e),
                             0);
    }
    for (int a = 0; a < TP_N; a++)
        for (int b = 0; b < TP_N; b++) assert_true(equal(at(&d[0], a, b), at(&d[1], a, b)));
    for (int turn = 0; turn < 2; turn++) draft_free(&d[turn]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_gpus_are_ours),           cmocka_unit_test(names_may_be_mapped),
        cmocka_unit_test(lists_of_nodes_are_spelled_out),   cmocka_unit_test(bandwidths_become_links),
        cmocka_unit_test(links_do_not_depend_on_the_order),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return failed;
}
