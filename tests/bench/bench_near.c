/* When was a plan within 1 % of the answer there? bench_near JOB.json ESTIMATOR: seconds of the search of row 0 on two threads. */
#include "search/search.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    struct arena a = {0};
    struct job j;
    struct err e;
    struct row_result row = {0};
    if (argc != 3 || job_load(argv[1], NULL, NULL, false, &j, &a, &e)) return 2;
    struct search_problem p = {.w = &j.workload,
                               .pool = j.pool[0].count,
                               .estimator = strcmp(argv[2], "sailor") ? ESTIMATOR_NATIVE : ESTIMATOR_SAILOR,
                               .objective = j.objective,
                               .max_usd_per_iteration = j.max_usd_per_iteration,
                               .min_iterations_per_s = j.min_iterations_per_s,
                               .pin = &j.pin,
                               .top_k = 1,
                               .gap = .01};
    if (search_row(&p, &row, NULL, NULL, 2, &a, &e)) return 1;
    printf("%.3f\n", row.near_s);
    arena_free(&a);
    return 0;
}
