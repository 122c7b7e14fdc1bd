/* A search that starts from the answers to an earlier question (struct search_problem: warm) against one that
 * starts from nothing, on random pools: GPUs come and go, prices and links change, a type or a zone
 * disappears. Status, value, bound and every point of a frontier are the same. Usage: t_warm [INSTANCES
 * [SEED]]; SAILOR_LONG=1 in the environment: 1500 instances. */
#include <stdlib.h>
#include <string.h>

#include "shapes.h"

static const double ROUNDING = 1e-11; /* relative */
static long questions, moved, unfit;

static bool near(double a, double b) { return a == b || fabs(a - b) <= ROUNDING * fmax(fabs(a), fabs(b)); }

static struct row_result solve(const struct search_problem *p, struct arena *a) {
    struct row_result row = {0};
    struct err e;
    if (search_row(p, &row, NULL, NULL, 1, a, &e)) {
        printf("# search_row: %s\n", e.text);
        exit(1);
    }
    return row;
}

/* What may change from one question to the next. */
static void change(struct instance *in, struct rng *r, struct arena *a) {
    int n = in->site.n_zone * in->site.n_gpu;
    switch (rng_int(r, 0, 6)) {
    case 0: { /* a type or a zone disappears */
        bool zone = rng_chance(r, 0.5);
        int k = rng_int(r, 0, (zone ? in->site.n_zone : in->site.n_gpu) - 1);
        for (int c = 0; c < n; c++)
            if ((zone ? c / in->site.n_gpu : c % in->site.n_gpu) == k) in->pool[c] = 0;
        break;
    }
    case 1: { /* prices */
        double *usd = ARENA_ARRAY(a, double, n);
        for (int c = 0; c < n; c++) usd[c] = in->site.usd_per_gpu_hour[c] * rng_range(r, 0.5, 2);
        in->site.usd_per_gpu_hour = usd;
        break;
    }
    case 2: { /* links */
        size_t side = (size_t)n * TP_N;
        struct link *link = ARENA_ARRAY(a, struct link, side *side);
        for (size_t k = 0; k < side * side; k++) {
            double f = rng_range(r, 0.5, 2);
            link[k] = in->site.link[k];
            link[k].c0 *= f, link[k].c1 *= f, link[k].c2 *= f, link[k].peak_Bps *= f;
        }
        in->site.link = link;
        break;
    }
    default: /* some GPUs more or fewer */
        for (int c = 0; c < n; c++) {
            int by = rng_int(r, -2, 2);
            if (in->pool[c] + by >= 0) in->pool[c] += by;
        }
    }
}

static const char *differs(const struct search_problem *p, const struct row_result *cold,
                           const struct row_result *warm) {
    if (cold->status != warm->status) return "status";
    if (!cold->n_plan) return NULL;
    if (!near(problem_value(p, &cold->plan[0].est), problem_value(p, &warm->plan[0].est))) return "value";
    if (!near(cold->lower_bound, warm->lower_bound)) return "bound";
    if (cold->n_frontier != warm->n_frontier) return "points of the frontier";
    for (int i = 0; i < cold->n_frontier; i++)
        if (!near(cold->frontier[i].est.iteration_time_s, warm->frontier[i].est.iteration_time_s) ||
            !near(cold->frontier[i].est.cost_usd, warm->frontier[i].est.cost_usd))
            return "a point of the frontier";
    return NULL;
}

static bool one_instance(uint64_t seed) {
    struct arena a = {0};
    struct rng r = {.seed = seed ^ 0xbeef};
    struct instance *in = small_instance(seed, 20000, &a);
    enum objective goal = (enum objective)(in->prices_known ? rng_int(&r, 0, 2) : 0);
    struct search_problem p = instance_problem(in, goal);
    struct row_result last = solve(&p, &a);
    bool good = true;
    for (int step = 0; step < 3 && good; step++) {
        const struct plan *seeds[1000];
        struct err none;
        int n = 0;
        for (int i = 0; i < last.n_plan && n < 1000; i++) seeds[n++] = last.plan[i].plan;
        for (int i = 0; i < last.n_frontier && n < 1000; i++) seeds[n++] = last.frontier[i].plan;
        change(in, &r, &a);
        struct search_problem cold = instance_problem(in, goal), warm = cold;
        warm.warm = n > 0;
        warm.n_seed = n;
        warm.seed = seeds;
        for (int i = 0; i < n; i++)
            unfit += plan_check_pool(seeds[i], &in->site, in->pool, NULL, "", &none) != 0;
        struct row_result x = solve(&cold, &a), y = solve(&warm, &a);
        const char *fault = differs(&cold, &x, &y);
        questions++;
        moved += x.n_plan && last.n_plan && plan_compare(x.plan[0].plan, last.plan[0].plan) != 0;
        if (fault) {
            printf("# FAULT: another %s, objective %s, step %d\n#   reproduce: t_warm 1 %llu\n", fault,
                   objective_name[goal], step, (unsigned long long)seed);
            instance_print(stdout, in);
            good = false;
        }
        last = x;
    }
    arena_free(&a);
    return good;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : getenv("SAILOR_LONG") ? 1500 : 150, failed = 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        bool good = one_instance(seed + (uint64_t)i);
        failed += !good;
        printf("%sok %d - instance %llu\n", good ? "" : "not ", i + 1,
               (unsigned long long)seed + (uint64_t)i);
    }
    printf("# %ld questions, %ld with another plan than before; %ld seeds that did not fit\n", questions,
           moved, unfit);
    return failed > 0;
}
