/* What plans have to beat: limits, the best value, a frontier; and what a proof records when something is
 * left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "search/goal.h"
#include "search/proof.h"

static struct goal goal(enum objective objective, double best) {
    return (struct goal){.objective = objective, .best = best, .max_time_s = INFINITY, .max_usd = INFINITY};
}

static void value_decides(void **unused) {
    (void)unused;
    struct goal t = goal(OBJECTIVE_THROUGHPUT, 2), c = goal(OBJECTIVE_COST, 2);
    assert_false(goal_excludes(&t, 1.9, 99));
    assert_true(goal_excludes(&t, 2, 0));
    assert_true(goal_excludes(&t, 2 * (1 - PROOF_SLACK / 2), 0)); /* equal, but for rounding */
    assert_false(goal_excludes(&c, 99, 1.9));
    assert_true(goal_excludes(&c, 0, 2));
    assert_true(goal_excludes(&c, INFINITY, 0));
}

static void limits_hold(void **unused) {
    (void)unused;
    struct goal g = goal(OBJECTIVE_THROUGHPUT, INFINITY);
    g.max_usd = 3;
    g.min_per_s = 0.5;
    g.max_time_s = goal_longest_time(g.min_per_s);
    assert_true(goal_wants(&g, 2, 3));
    assert_false(goal_wants(&g, 2.1, 3));
    assert_false(goal_wants(&g, 2, 3.0000001));
    assert_true(goal_excludes(&g, 2.1, 0));
    assert_true(goal_excludes(&g, 1, 3.1));
    assert_true(goal_longest_time(0) == INFINITY);
}

static void longest_useful_time(void **unused) {
    (void)unused;
    struct point room[3] = {{2, 6}, {3, 3}, {5, 1}};
    struct goal f = goal(OBJECTIVE_FRONTIER, INFINITY), t = goal(OBJECTIVE_THROUGHPUT, 2),
                c = goal(OBJECTIVE_COST, 2);
    f.front = room;
    assert_true(goal_longest_useful(&t, 0) == 2 && goal_longest_useful(&t, 9) == 2);
    assert_true(goal_longest_useful(&c, 0) == INFINITY && goal_longest_useful(&c, 0.5) == 4);
    assert_true(goal_longest_useful(&f, 1) == INFINITY);
    f.n_front = 3;
    assert_true(goal_longest_useful(&f, 0) == INFINITY); /* may cost less than any point */
    assert_true(goal_longest_useful(&f, 0.1) == 10);
    assert_true(goal_longest_useful(&f, 1) == 3);
    assert_true(goal_longest_useful(&f, 100) == 2);
    for (double usd = 0.01; usd < 50; usd *= 1.3) { /* just beyond it, everything is covered */
        double beyond = goal_longest_useful(&f, usd) * (1 + 1e-9);
        assert_true(goal_excludes(&f, beyond, usd * beyond));
        assert_false(goal_excludes(&f, beyond * 0.999, usd * beyond * 0.999));
    }
    room[2].cost_usd = 0;
    assert_true(goal_longest_useful(&f, 0) == 5);
    c.max_usd = t.max_usd = 1;
    assert_true(goal_longest_useful(&t, 2) == 0.5 && goal_longest_useful(&c, 4) == 0.25);
    t.max_time_s = 0.1;
    assert_true(goal_longest_useful(&t, 2) == 0.1);
}

static void front_keeps_what_nothing_dominates(void **unused) {
    (void)unused;
    struct point room[3];
    struct goal g = goal(OBJECTIVE_FRONTIER, INFINITY);
    g.front = room;
    assert_true(goal_front_insert(&g, 3, 2, 5));
    assert_true(goal_front_insert(&g, 3, 4, 1));
    assert_true(goal_front_insert(&g, 3, 3, 3));
    assert_int_equal(g.n_front, 3);
    assert_true(room[0].time_s == 2 && room[1].time_s == 3 && room[2].time_s == 4);
    assert_false(goal_front_insert(&g, 3, 2.5, 4)); /* no room */
    assert_true(goal_front_covers(&g, 3.5, 3));
    assert_false(goal_front_covers(&g, 3.5, 2.9));
    assert_false(goal_front_covers(&g, 1, 9));
    assert_true(goal_front_insert(&g, 3, 1, 1)); /* dominates all */
    assert_int_equal(g.n_front, 1);
    assert_true(goal_excludes(&g, 1, 1));
    assert_false(goal_excludes(&g, 0.9, 2));
}

static void a_proof_notes_what_it_gives_up(void **unused) {
    (void)unused;
    struct goal g = goal(OBJECTIVE_THROUGHPUT, 100);
    struct proof q = proof_begin(&g, 0.1, 0);
    assert_int_equal(proof_worth(&q, 101, 0), WORTH_NOTHING);
    assert_int_equal(proof_worth(&q, 95, 0), WORTH_LITTLE);
    assert_int_equal(proof_worth(&q, 80, 0), WORTH_SEARCHING);
    assert_true(q.open_lb == INFINITY); /* looking changes nothing */
    assert_true(proof_cut(&q, 101, 0));
    assert_true(q.open_lb == INFINITY);
    assert_true(proof_cut(&q, 95, 0));
    assert_true(q.open_lb == 95);
    assert_false(proof_cut(&q, 80, 0));
    assert_true(q.open_lb == 95);
    proof_leave_open(&q, 70, 0);
    assert_true(q.open_lb == 70);
}

static void a_frontier_says_how_far_beyond(void **unused) {
    (void)unused;
    struct point room[2] = {{2, 10}, {4, 5}};
    struct goal g = goal(OBJECTIVE_FRONTIER, INFINITY);
    g.front = room;
    g.n_front = 2;
    struct proof q = proof_begin(&g, 0.05, 0);
    assert_true(proof_cut(&q, 4.1, 5.1));
    assert_false(q.tolerated);
    assert_true(proof_cut(&q, 3.9, 4.9));
    assert_true(q.tolerated);
    proof_leave_open(&q, 3.2, 5); /* (4, 5) is 1.25 times as slow */
    assert_true(fabs(q.open_gap - 0.2) < 1e-12);
    proof_front_full(&q);
    assert_true(q.lost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(value_decides),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(longest_useful_time),
        cmocka_unit_test(front_keeps_what_nothing_dominates),
        cmocka_unit_test(a_proof_notes_what_it_gives_up),
        cmocka_unit_test(a_frontier_says_how_far_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
