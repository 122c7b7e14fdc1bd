/* Recorded tasks on other numbers of ranks, worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "search/replay.h"

static void near(double x, double want) {
    assert_true(x > want - 1e-9);
    assert_true(x < want + 1e-9);
}

/* Two exchanges after a round. */
static double messages(int steps) { return 2 * steps * REPLAY_STEP_S; }

/* Set-up of 1 s, and a round of 2, 1, 1, 3 s: on two ranks 2 | 1 1, then 3 for either. */
static void takes_whoever_is_free(void **state) {
    static const struct task_result task[] = {
        {0, TASK_EVERY, 1}, {1, TASK_PROOF, 2}, {1, TASK_PROOF, 1}, {1, TASK_PROOF, 1}, {1, TASK_PROOF, 3}};
    (void)state;
    struct replay one = replay_tasks(task, 5, 1), two = replay_tasks(task, 5, 2);
    near(one.time_s, 8);
    near(one.efficiency, 1);
    near(one.limit_s, 0);
    near(two.time_s, 1 + 5 + messages(1));
    near(two.efficiency, 8 / (2 * two.time_s));
    assert_int_equal(two.limit, REPLAY_LONG);
    assert_int_equal(two.kind, TASK_PROOF);
    near(two.limit_s, 5 - 3.5);
    const struct replay_phase *proof = &two.phase[TASK_PROOF];
    assert_int_equal(proof->tasks, 4);
    assert_int_equal(proof->rounds, 1);
    near(proof->work_s, 7);
    near(proof->longest_s, 3);
    near(proof->time_s, 5 + messages(1));
    near(two.phase[TASK_EVERY].time_s, 1);
    assert_int_equal(two.phase[TASK_CLIMB].tasks, 0);
}

/* Rounds follow each other, and what every rank does is done by all at once. */
static void says_what_limits(void **state) {
    static const struct task_result task[] = {{0, TASK_EVERY, 0.1},
                                              {1, TASK_CLIMB, 1},
                                              {2, TASK_BOUND, 0.5},
                                              {2, TASK_BOUND, 0.5},
                                              {3, TASK_EVERY, 0.2}};
    (void)state;
    struct replay x = replay_tasks(task, 5, 64);
    near(x.time_s, 0.1 + 1 + 0.5 + 0.2 + 2 * messages(6));
    assert_int_equal(x.limit, REPLAY_FEW);
    assert_int_equal(x.kind, TASK_CLIMB);
    x = replay_tasks(task, 1, 64);
    assert_int_equal(x.limit, REPLAY_EVERY);
    near(x.efficiency, 1.0 / 64);
}

/* On two nodes, every other task belongs to each: one has all the long ones. */
static void goes_round_the_nodes(void **state) {
    enum { N = 4 * REPLAY_NODE };
    struct task_result task[N];
    (void)state;
    for (int i = 0; i < N; i++) task[i] = (struct task_result){0, TASK_MERGED, i % 2 ? 1 : 3};
    struct replay x = replay_tasks(task, N, 2 * REPLAY_NODE);
    near(x.time_s, 6 + messages(7));
    assert_int_equal(x.limit, REPLAY_LONG);
    assert_int_equal(x.kind, TASK_MERGED);
    x = replay_tasks(task, 0, REPLAY_NODE);
    near(x.time_s, 0);
    near(x.efficiency, 1);
}

/* Two ranks and tasks of 2, 2, 2, 1, 1 s of a proof: after 3 s nobody begins another, and all wait until 4.
 */
static void pauses(void **state) {
    enum { N = 5 };
    static const double seconds[N] = {2, 2, 2, 1, 1};
    struct task_result task[N];
    (void)state;
    for (int i = 0; i < N; i++) task[i] = (struct task_result){0, TASK_PROOF, seconds[i]};
    struct replay x = replay_tasks(task, N, 2);
    near(x.time_s, 4 + 1 + 2 * messages(1)); /* 2 2 | 2 1, then 1 */
    assert_int_equal(x.limit, REPLAY_LONG);
    for (int i = 0; i < N; i++) task[i].kind = TASK_MERGED;
    x = replay_tasks(task, N, 2);
    near(x.time_s, 4 + messages(1)); /* 2 2 | 2 1 1 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_whoever_is_free),
        cmocka_unit_test(says_what_limits),
        cmocka_unit_test(goes_round_the_nodes),
        cmocka_unit_test(pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
