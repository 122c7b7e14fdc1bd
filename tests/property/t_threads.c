/* The answer of the search does not depend on the number of threads: same plans, same bits.
 * Usage: t_threads [INSTANCES [SEED]] */
#include <stdlib.h>
#include <string.h>

#include "shapes.h"

static bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }

static bool same_plans(const struct found_plan *a, const struct found_plan *b, int n, const char **what) {
    for (int i = 0; i < n; i++) {
        const struct estimate *x = &a[i].est, *y = &b[i].est;
        *what = "plans differ";
        if (plan_compare(a[i].plan, b[i].plan)) return false;
        *what = "estimates differ";
        if (!same_bits(x->iteration_time_s, y->iteration_time_s) ||
            !same_bits(x->pipeline_time_s, y->pipeline_time_s) ||
            !same_bits(x->sync_time_s, y->sync_time_s) || !same_bits(x->compute_usd, y->compute_usd) ||
            !same_bits(x->egress_usd, y->egress_usd) || !same_bits(x->cost_usd, y->cost_usd) ||
            !same_bits(x->peak_memory_bytes, y->peak_memory_bytes))
            return false;
    }
    return true;
}

/* NULL if the two answers are the same. */
static const char *difference(const struct row_result *a, const struct row_result *b) {
    const char *what = NULL;
    if (a->status != b->status) return "status differs";
    if ((a->reason != NULL) != (b->reason != NULL) || (a->reason && strcmp(a->reason, b->reason)))
        return "reason differs";
    if (a->status == ROW_INFEASIBLE) return NULL;
    if (!same_bits(a->lower_bound, b->lower_bound) || !same_bits(a->gap, b->gap))
        return "lower bound or gap differs";
    if (a->n_plan != b->n_plan || a->n_frontier != b->n_frontier) return "number of plans differs";
    if (!same_plans(a->plan, b->plan, a->n_plan, &what)) return what;
    if (!same_plans(a->frontier, b->frontier, a->n_frontier, &what)) return what;
    return NULL;
}

static struct instance *draw(uint64_t seed, struct arena *a) {
    if (seed % 2) return small_instance(seed, 80000, a);
    return instance_random(seed, &medium_shape[seed / 2 % 4], a);
}

int main(int argc, char **argv) {
    int want = argc > 1                ? atoi(argv[1])
               : getenv("SAILOR_LONG") ? 400
                                       : 60,
        failed = 0, done = 0, infeasible = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    static const int threads[] = {1, 2, 2, 3};
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%d\n", want);
    for (; done < want; done++) {
        struct arena a = {0};
        uint64_t s = seed + (uint64_t)done;
        struct instance *in = draw(s, &a);
        if (s % 5 == 0) instance_vary(in, &a);
        if (s % 5 == 1) instance_cut_links(in, &a);
        struct rng r = {.seed = s ^ 0x7123};
        enum objective objective =
            in->prices_known ? (enum objective)(s / 2 % OBJECTIVE_N) : OBJECTIVE_THROUGHPUT;
        struct search_problem p = instance_problem(in, objective);
        p.top_k = rng_int(&r, 1, 4);
        struct row_result first = {0};
        const char *fault = NULL;
        for (size_t i = 0; i < sizeof threads / sizeof *threads && !fault; i++) {
            struct row_result row = {0};
            struct search_hooks hooks = {0};
            struct err e = {0};
            if (search_row(&p, &row, &hooks, NULL, threads[i], &a, &e))
                fault = arena_printf(&a, "search_row(): %s", e.text);
            else if (i == 0)
                first = row;
            else
                fault = difference(&first, &row);
            if (fault) printf("# FAULT with %d threads: %s\n", threads[i], fault);
            if (fault && i > 0 && row.n_plan && first.n_plan) {
                printf("#   %.17g s, %.17g USD and %.17g s, %.17g USD\n", first.plan[0].est.iteration_time_s,
                       first.plan[0].est.cost_usd, row.plan[0].est.iteration_time_s,
                       row.plan[0].est.cost_usd);
                plan_print(stdout, first.plan[0].plan, &in->site);
                plan_print(stdout, row.plan[0].plan, &in->site);
            }
        }
        if (fault) instance_print(stdout, in);
        infeasible += first.status == ROW_INFEASIBLE;
        printf("%s %d - instance %llu, %s\n", fault ? "not ok" : "ok", done + 1, (unsigned long long)s,
               objective_name[objective]);
        failed += fault != NULL;
        arena_free(&a);
    }
    printf("# %d instances, %d infeasible\n", done, infeasible);
    return failed || done < want;
}
