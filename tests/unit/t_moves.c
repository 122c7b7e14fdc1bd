/* What moves between two plans, counted by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/moves.h"

/* Layers of 10, 20, 30 and 40 parameters; a half each at degree 2. */
static const double whole[4] = {10, 20, 30, 40}, half[4] = {5, 10, 15, 20};
static const struct model model = {.n_layer = 4, .params = {whole, half}};
static const struct workload work = {.model = &model};

/* A plan of up to two stages, cut at `cut` (4: one stage), each of `count` replicas of one kind. */
struct sample {
    struct replicas group[2];
    struct stage stage[2];
    struct pipeline pipeline;
    struct plan plan;
};

static const struct plan *make(struct sample *s, int cut, int count, int tp, int gpu) {
    for (int i = 0; i < 2; i++) s->group[i] = (struct replicas){.gpu = gpu, .tp = tp, .count = count};
    s->stage[0] = (struct stage){0, cut, 1, &s->group[0]};
    s->stage[1] = (struct stage){cut, 4, 1, &s->group[1]};
    s->pipeline = (struct pipeline){cut == 4 ? 1 : 2, s->stage};
    s->plan = (struct plan){.n_pipeline = 1, .pipeline = &s->pipeline};
    return &s->plan;
}

static void check(const struct plan *from, const struct plan *to, int gpus, int changed, double bytes) {
    struct moves m = moves_between(&work, from, to, 12);
    assert_int_equal(m.gpus, gpus);
    assert_int_equal(m.changed, changed);
    assert_true(m.bytes == 12 * bytes);
}

static void nothing_moves_between_equal_plans(void **state) {
    struct sample a, b;
    (void)state;
    check(make(&a, 2, 3, 1, 0), make(&b, 2, 3, 1, 0), 6, 0, 0);
    check(make(&a, 2, 5, 1, 0), make(&b, 2, 3, 1, 0), 6, 0, 0); /* fewer replicas */
}

static void new_gpus_need_everything(void **state) {
    struct sample a, b;
    (void)state;
    check(NULL, make(&b, 4, 3, 1, 0), 3, 3, 3 * 100);
    check(make(&a, 4, 3, 1, 0), make(&b, 4, 5, 1, 0), 5, 2, 2 * 100); /* two replicas more */
    check(make(&a, 4, 3, 1, 0), make(&b, 4, 3, 1, 1), 3, 3, 3 * 100); /* of another type */
}

static void what_is_there_stays(void **state) {
    struct sample a, b;
    (void)state;
    /* the cut moves by a layer: layer 1 (20) goes to the 3 GPUs that have 2 and 3 */
    check(make(&a, 2, 3, 1, 0), make(&b, 1, 3, 1, 0), 6, 6, 3 * 20);
    /* from one stage to two: everything is there */
    check(make(&a, 4, 6, 1, 0), make(&b, 2, 3, 1, 0), 6, 6, 0);
    /* two stages to one: 3 of the 6 had layers 0 and 1 (30), 3 had 2 and 3 (70); 3 are used, those with most
     */
    check(make(&a, 2, 3, 1, 0), make(&b, 4, 3, 1, 0), 3, 3, 3 * 30);
    /* another degree: a whole contains the half, not the other way round */
    check(make(&a, 4, 2, 1, 0), make(&b, 4, 1, 2, 0), 2, 2, 0);
    check(make(&a, 4, 1, 2, 0), make(&b, 4, 2, 1, 0), 2, 2, 2 * 50);
}

static void state_of_a_parameter(void **state) {
    (void)state;
    assert_true(moves_bytes_per_param(4, true, 1) == 12);
    assert_true(moves_bytes_per_param(4, false, 1) == 8);
    assert_true(moves_bytes_per_param(2, true, 1) == 14);
    assert_true(moves_bytes_per_param(2, true, 4) == 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_moves_between_equal_plans),
        cmocka_unit_test(new_gpus_need_everything),
        cmocka_unit_test(what_is_there_stays),
        cmocka_unit_test(state_of_a_parameter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
