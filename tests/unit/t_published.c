/* The file of published answers: its contents, and how a bad one is refused. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/published.h"

static struct arena arena;
static char path[] = "/tmp/sailor-published-XXXXXX";

static const char good[] =
    "{\"format\": \"sailor-published/1\", \"source\": \"a test\", \"//\": 1,\n"
    " \"walks\": [\n"
    "  {\"figure\": \"fig7\", \"row\": 0, \"planner\": \"amp\", \"throughput_per_s\": 0.25, "
    "\"cost_usd_per_iteration\": 1.5, \"oom_plans\": 3, \"search_s\": 12},\n"
    "  {\"figure\": \"fig7\", \"row\": 1, \"planner\": \"amp\", \"throughput_per_s\": 0, "
    "\"cost_usd_per_iteration\": 0, \"oom_plans\": 0, \"search_s\": 0.5}],\n"
    " \"estimates\": [\n"
    "  {\"run\": \"N1\", \"estimator\": \"metis\", \"iteration_time_s\": 2.5, \"peak_memory_bytes\": 1e10},\n"
    "  {\"run\": \"N1\", \"estimator\": \"dtfm\"}]}\n";

static int load(const char *text, struct published *p, struct err *e) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return published_load(path, p, &arena, e);
}

/* text with its first `from` replaced */
static char *with(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at) fail_msg("'%s' is not in the text", from);
    return arena_printf(&arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void reads_what_is_there(void **state) {
    struct published p;
    struct err e;
    (void)state;
    if (load(good, &p, &e)) fail_msg("%s", e.text);
    assert_int_equal(p.n_walk, 2);
    assert_int_equal(p.n_estimate, 2);
    const struct published_walk *w = published_walk(&p, "fig7", 0, "amp");
    assert_non_null(w);
    assert_true(w->throughput_per_s == 0.25 && w->cost_usd_per_iteration == 1.5 && w->oom_plans == 3 &&
                w->search_s == 12);
    assert_ptr_equal(published_walk(&p, "fig7", 1, "amp"), &p.walk[1]);
    assert_null(published_walk(&p, "fig7", 2, "amp"));
    assert_null(published_walk(&p, "fig8b", 0, "amp"));
    assert_null(published_walk(&p, "fig7", 0, "am"));
    const struct published_estimate *x = published_estimate(&p, "N1", "metis");
    assert_non_null(x);
    assert_true(x->iteration_time_s == 2.5 && x->peak_memory_bytes == 1e10);
    x = published_estimate(&p, "N1", "dtfm");
    assert_non_null(x);
    assert_true(isnan(x->iteration_time_s) && isnan(x->peak_memory_bytes));
    assert_null(published_estimate(&p, "N2", "metis"));
}

static void may_be_empty(void **state) {
    struct published p;
    struct err e;
    (void)state;
    if (load("{\"format\": \"sailor-published/1\", \"walks\": [], \"estimates\": []}", &p, &e))
        fail_msg("%s", e.text);
    assert_true(p.n_walk == 0 && p.n_estimate == 0);
    assert_null(published_walk(&p, "fig7", 0, "amp"));
    assert_null(published_estimate(&p, "N1", "metis"));
}

static void refuses_what_is_wrong(void **state) {
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"sailor-published/1", "sailor-published/2",
         "/format: \"sailor-published/2\"; expected \"sailor-published/1\""},
        {"\"format\": \"sailor-published/1\", ", "", "/format: missing"},
        {"\"walks\"", "\"walk\"", "/walk: unknown key"},
        {"\"walks\": [", "\"walks\": {}, \"//x\": [", "/walks: an object; expected an array"},
        {"\"estimates\": [", "\"//x\": [", "/estimates: missing"},
        {"{\"figure\": \"fig7\", \"row\": 0,", "3, {\"figure\": \"fig7\", \"row\": 0,",
         "/walks/0: 3; expected an object"},
        {"\"row\": 1", "\"row\": -1", "/walks/1/row: -1; expected"},
        {"\"row\": 1", "\"row\": 1.5", "/walks/1/row: 1.5; expected an integer"},
        {"\"figure\": \"fig7\", ", "", "/walks/0/figure: missing"},
        {"\"figure\": \"fig7\"", "\"figure\": \"\"", "/walks/0/figure: "},
        {"\"planner\": \"amp\"", "\"planner\": null", "/walks/0/planner: null; expected a string"},
        {"\"throughput_per_s\": 0.25", "\"throughput_per_s\": -0.25",
         "/walks/0/throughput_per_s: -0.25; expected a number from 0"},
        {"\"throughput_per_s\": 0.25", "\"throughput_per_s\": \"0.25\"",
         "/walks/0/throughput_per_s: \"0.25\"; expected a number"},
        {"\"cost_usd_per_iteration\": 1.5", "\"cost_usd_per_iteration\": 1e13",
         "/walks/0/cost_usd_per_iteration: 10000000000000; expected"},
        {"\"oom_plans\": 3", "\"oom_plans\": true", "/walks/0/oom_plans: true; expected"},
        {"\"search_s\": 12", "\"search\": 12", "/walks/0/search: unknown key"},
        {", \"search_s\": 0.5", "", "/walks/1/search_s: missing"},
        {"\"iteration_time_s\": 2.5", "\"iteration_time_s\": 0",
         "/estimates/0/iteration_time_s: 0; expected a number > 0"},
        {"\"peak_memory_bytes\": 1e10", "\"peak_memory_bytes\": null",
         "/estimates/0/peak_memory_bytes: null; expected"},
        {"\"run\": \"N1\", \"estimator\": \"dtfm\"", "\"estimator\": \"dtfm\"", "/estimates/1/run: missing"},
        {"\"dtfm\"}]}", "\"dtfm\"}]", "/estimates: line 8, column 1: value not followed by"},
        {"\"dtfm\"}]}", "\"dtfm\"}]} {}", "text after the JSON value"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct published p;
        struct err e = {0};
        if (!load(with(good, bad[i].from, bad[i].to), &p, &e)) fail_msg("accepted: %s", bad[i].to);
        assert_int_equal(e.code, EXIT_INPUT);
        assert_null(strchr(e.text, '\n'));
        if (strncmp(e.text, path, strlen(path)) || !strstr(e.text, bad[i].word))
            fail_msg("'%s' is not in: %s", bad[i].word, e.text);
    }
}

static void refuses_a_missing_file(void **state) {
    struct published p;
    struct err e = {0};
    (void)state;
    assert_int_equal(published_load("/nonexistent/figures.json", &p, &arena, &e), -1);
    assert_int_equal(e.code, EXIT_INPUT);
    assert_non_null(strstr(e.text, "/nonexistent/figures.json: "));
}

/* The shipped file: every row of every figure, no entry twice, plans that cost something. */
static void the_shipped_file_is_whole(void **state) {
    static const struct {
        const char *figure;
        int rows, planners;
    } figure[] = {{"fig7", 3, 9}, {"fig8b", 3, 4}, {"fig10", 3, 2}, {"fig11", 1, 6}, {"fig12", 1, 6}};
    struct published p;
    struct err e;
    int n = 0;
    (void)state;
    if (published_load("inputs/published/figures.json", &p, &arena, &e)) fail_msg("%s", e.text);
    for (size_t i = 0; i < sizeof figure / sizeof *figure; i++) {
        n += figure[i].rows * figure[i].planners;
        for (int row = 0; row < figure[i].rows; row++) {
            int here = 0;
            for (int k = 0; k < p.n_walk; k++)
                here += p.walk[k].row == row && !strcmp(p.walk[k].figure, figure[i].figure);
            assert_int_equal(here, figure[i].planners);
            assert_non_null(published_walk(&p, figure[i].figure, row, "sailor"));
        }
    }
    assert_int_equal(p.n_walk, n);
    for (int k = 0; k < p.n_walk; k++) {
        const struct published_walk *w = &p.walk[k];
        assert_ptr_equal(published_walk(&p, w->figure, w->row, w->planner), w);
        assert_true((w->throughput_per_s > 0) == (w->cost_usd_per_iteration > 0) && w->search_s > 0);
    }
    assert_true(fabs(published_walk(&p, "fig8b", 0, "sailor")->throughput_per_s - 0.16996) < 1e-5);
    assert_int_equal(published_walk(&p, "fig8b", 0, "amp")->oom_plans, 4);
    assert_true(published_walk(&p, "fig12", 0, "dtfm")->throughput_per_s == 0);
    for (int k = 0; k < p.n_estimate; k++) {
        const struct published_estimate *x = &p.estimate[k];
        assert_ptr_equal(published_estimate(&p, x->run, x->estimator), x);
        assert_true(x->iteration_time_s > 0 && x->peak_memory_bytes > 0);
    }
    assert_int_equal(p.n_estimate, 5 * 15 + 14);
}

static int set_up(void **state) {
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state) {
    (void)state;
    arena_free(&arena);
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_there),       cmocka_unit_test(may_be_empty),
        cmocka_unit_test(refuses_what_is_wrong),     cmocka_unit_test(refuses_a_missing_file),
        cmocka_unit_test(the_shipped_file_is_whole),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
