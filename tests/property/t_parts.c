/* A pool and its parts (each zone, each GPU type, a random half), each searched equally long, measured by the
 * number of polls for a stop, not by time. Hardly any part may be better than the whole, and none by much;
 * and a part's plan given to the search of the whole is never lost, however soon that is stopped. Usage:
 * t_parts [INSTANCES [SEED]]; SAILOR_LONG=1 in the environment: 60 instances. */
#include <stdlib.h>
#include <string.h>

#include "random.h"

enum { QUESTIONS = 40000, FEW = 20 };
static const double NEAR = 1.05;
enum { LAG_ONE_IN = 20 };
static long asked, parts, lagging;
static double worst;

static bool enough(void *ctx) {
    (void)ctx;
    return --asked < 0;
}

/* The best value known when the polls are used up. */
static double answer(const struct search_problem *p, long questions, struct row_result *row,
                     struct arena *a) {
    struct search_hooks hooks = {.stop = enough};
    struct err e = {0};
    asked = questions;
    *row = (struct row_result){0};
    if (search_row(p, row, &hooks, NULL, 1, a, &e) < 0) printf("# search_row(): %s\n", e.text);
    return row->n_plan ? problem_value(p, &row->plan[0].est) : INFINITY;
}

/* False: a given plan was lost. */
static bool check_part(const struct instance *in, const struct search_problem *p, double whole,
                       const bool *use, struct arena *a) {
    int n = in->site.n_zone * in->site.n_gpu, *pool = ARENA_ARRAY(a, int, n), here = 0, all = 0;
    struct search_problem q = *p;
    struct row_result row;
    for (int i = 0; i < n; i++) {
        pool[i] = use[i] ? in->pool[i] : 0;
        here += pool[i] > 0;
        all += in->pool[i] > 0;
    }
    if (!here || here == all) return true;
    q.pool = pool;
    double part = answer(&q, QUESTIONS, &row, a);
    parts++;
    if (!(part < INFINITY)) return true;
    worst = fmax(worst, whole / part);
    lagging += whole > NEAR * part;
    if (whole <= part) return true;
    q = *p;
    q.n_seed = 1;
    const struct plan *seed = row.plan[0].plan;
    q.seed = &seed;
    return answer(&q, FEW, &row, a) <= part * (1 + 1e-11);
}

static bool check(const struct instance *in, const struct search_problem *p, struct rng *r, struct arena *a) {
    int n_gpu = in->site.n_gpu, n_zone = in->site.n_zone, n = n_zone * n_gpu;
    bool *use = ARENA_ARRAY(a, bool, n), good = true;
    struct row_result row;
    double whole = answer(p, QUESTIONS, &row, a);
    for (int by = 0; by <= n_zone + n_gpu; by++) {
        for (int i = 0; i < n; i++)
            use[i] = by == 0        ? rng_chance(r, 0.5)
                     : by <= n_zone ? i / n_gpu == by - 1
                                    : i % n_gpu == by - n_zone - 1;
        good &= check_part(in, p, whole, use, a);
    }
    return good;
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : getenv("SAILOR_LONG") ? 60 : 8, passed = 0;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (long i = 0; i < n; i++) {
        struct arena a = {0};
        uint64_t seed = first + (uint64_t)i;
        struct rng r = {.seed = seed + 2000000};
        struct instance *in = instance_wide(seed, 12, &r, &a);
        struct search_problem p =
            instance_problem(in, in->prices_known && seed % 2 ? OBJECTIVE_COST : OBJECTIVE_THROUGHPUT);
        p.gap = 0.01;
        bool good = check(in, &p, &r, &a);
        if (!good)
            printf("# FAULT: a plan that was given is lost\n#   reproduce: t_parts 1 %llu\n",
                   (unsigned long long)seed);
        passed += good;
        arena_free(&a);
    }
    printf("# %ld parts, %ld better than the whole by more than %g, by %.4f at most\n", parts, lagging,
           NEAR - 1, worst);
    passed += lagging * LAG_ONE_IN <= parts;
    printf("%ld passed, %ld failed\n", passed, n + 1 - passed);
    return passed != n + 1;
}
