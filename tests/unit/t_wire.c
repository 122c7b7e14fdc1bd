/* A proof on its way, as bytes: what goes in comes out, and no damage does harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "search/window.h"
#include "search/wire.h"

enum { UNITS = 3, TASKS = 5 };
static const struct model model = {.name = "m"};
static const struct site site = {.name = "s"};
static const struct workload w = {.model = &model, .site = &site, .global_batch_size = 64};
static struct arena arena;

static struct unit_answer an_answer(int k) {
    static struct window left[2] = {{1, 0.1, 0.2, 0, INFINITY, 0, INFINITY, 3.5, 0, 4, {0.25, 0.5}},
                                    {0, 0.2, 0.3, 0, 1, 0, 1, 3.75, 0.5, 5, {0}}};
    static struct replicas group[] = {{.gpu = 1, .zone = 0, .tp = 2, .count = 3}};
    static struct stage stage[] = {{0, 4, 1, group}, {4, 9, 1, group}};
    static struct pipeline pipeline = {2, stage};
    static struct plan plan = {
        .global_batch_size = 64, .micro_batch_size = 2, .n_pipeline = 1, .pipeline = &pipeline};
    static struct found_plan found = {.plan = &plan};
    return (struct unit_answer){.status = UNIT_OPEN,
                                .lower_bound = 3 + k,
                                .nodes = 100,
                                .plans = 7,
                                .n_left = k < 2 ? k : 2,
                                .left = left,
                                .n_plan = k & 1,
                                .plan = &found};
}

static struct saved make_saved(void) {
    static struct point front[] = {{1, 2}, {2, 1}};
    static struct saved_answer unit[2], done[3];
    for (int i = 0; i < 2; i++)
        unit[i] = (struct saved_answer){.index = 2 - i,
                                        .answer = an_answer(i + 1),
                                        .seconds = 0.5,
                                        .best = 9 + i,
                                        .begun = true,
                                        .lost = i};
    for (int i = 0; i < 3; i++) done[i] = (struct saved_answer){.index = 2 * i, .answer = an_answer(i)};
    return (struct saved){true, 1, 6, 8.5, 2, front, 2, unit, TASKS, 3, done};
}

static void same(const struct saved_answer *x, const struct saved_answer *y) {
    assert_int_equal(x->index, y->index);
    assert_true(x->seconds == y->seconds && x->best == y->best && x->begun == y->begun && x->lost == y->lost);
    assert_true(x->answer.lower_bound == y->answer.lower_bound);
    assert_int_equal(x->answer.nodes, y->answer.nodes);
    assert_int_equal(x->answer.n_left, y->answer.n_left);
    for (int k = 0; k < x->answer.n_left; k++)
        assert_memory_equal(&x->answer.left[k], &y->answer.left[k], sizeof *x->answer.left);
    assert_int_equal(x->answer.n_plan, y->answer.n_plan);
    if (x->answer.n_plan) assert_int_equal(0, plan_compare(x->answer.plan->plan, y->answer.plan->plan));
}

static void comes_back(void **state) {
    struct saved s = make_saved(), t;
    struct wire b = {0};
    (void)state;
    wire_put_saved(&b, &s);
    assert_int_equal(b.n % 8, 0);
    assert_int_equal(wire_get_saved(&b, &t, UNITS, &w, &arena), 0);
    assert_true(t.chosen && t.attempt == 1 && t.step == 6 && t.best == 8.5 && t.n_task == TASKS);
    assert_int_equal(t.n_front, 2);
    assert_memory_equal(t.front, s.front, 2 * sizeof *s.front);
    assert_int_equal(t.n_unit, 2);
    for (int i = 0; i < 2; i++) same(&s.unit[i], &t.unit[i]);
    assert_int_equal(t.n_done, 3);
    for (int i = 0; i < 3; i++) same(&s.done[i], &t.done[i]);
    assert_int_equal(wire_get_saved(&b, &t, 2, &w, &arena), -1); /* there is no unit 2 */
    b.bytes[0] ^= 1;
    assert_int_equal(wire_get_saved(&b, &t, UNITS, &w, &arena), 1);
    wire_free(&b);
}

/* Cut anywhere, it is refused; with any byte changed it is, or can at least be read. */
static void takes_damage(void **state) {
    struct saved s = make_saved(), t;
    struct wire b = {0};
    (void)state;
    wire_put_saved(&b, &s);
    for (size_t n = 8; n + 8 < b.n; n++) {
        struct wire cut = {.bytes = b.bytes, .n = n};
        assert_int_equal(wire_get_saved(&cut, &t, UNITS, &w, &arena), -1);
    }
    for (size_t i = 8; i < b.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            b.bytes[i] ^= (unsigned char)(1 << bit);
            assert_true(wire_get_saved(&b, &t, UNITS, &w, &arena) <= 0);
            b.bytes[i] ^= (unsigned char)(1 << bit);
        }
    s.done[2].index = 0; /* twice */
    b.n = 0;
    wire_put_saved(&b, &s);
    assert_int_equal(wire_get_saved(&b, &t, UNITS, &w, &arena), -1);
    wire_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(takes_damage),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    return failed;
}
