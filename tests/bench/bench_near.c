/* When was a plan within 1 % of the answer found? bench_near JOB.json ESTIMATOR: seconds of the search of row
 * 0 on two threads. */
#include "formats/inputs.h"
#include "search/search.h"

#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = 10000 };

/* Every plan that was better than the ones before. */
struct steps {
    int n;
    double at_s[STEPS_MAX], value[STEPS_MAX];
};

static void improved(void *ctx, double elapsed_s, double value) {
    struct steps *x = ctx;
    if (x->n == STEPS_MAX) x->n--;
    x->at_s[x->n] = elapsed_s;
    x->value[x->n++] = value;
}

int main(int argc, char **argv) {
    static struct steps steps;
    struct arena a = {0};
    struct job j;
    struct err e;
    struct row_result row = {0};
    struct search_hooks hooks = {.ctx = &steps, .improved = improved};
    int i = 0;
    if (argc != 3 || job_load(argv[1], NULL, NULL, false, &j, &a, &e)) return 2;
    struct search_problem p = search_problem_of(&j, 0);
    p.estimator = strcmp(argv[2], "sailor") ? ESTIMATOR_NATIVE : ESTIMATOR_SAILOR;
    p.gap = .01;
    if (search_row(&p, &row, &hooks, NULL, 2, &a, &e)) return 1;
    while (i < steps.n && steps.value[i] > 1.01 * steps.value[steps.n - 1]) i++;
    printf("%.3f\n", steps.n ? steps.at_s[i] : NAN);
    arena_free(&a);
    return 0;
}
