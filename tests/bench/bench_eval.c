/* Full evaluations of complete plans per second on one core: estimate_plan() on random plans of OPT-350M on
 * the gcp site, P 1..8, D 1..64, 1..3 replica groups per stage, two GPU types, five zones, microbatch 1.
 * Counts the processor time of this process, so that other load on the machine matters little. Prints a line
 * per estimator: median, minimum and maximum of the runs.
 *
 *   bench_eval [RUNS [SECONDS]]      5 runs of at least 0.5 s each, where inputs/ can be found */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/inputs.h"
#include "sim/estimate.h"

enum { N = 4096, STAGES = 8, GROUPS = 3, RUNS_MAX = 101, MICROBATCH = 1 };

static uint64_t counter;

/* splitmix64: the same plans in every run */
static int draw(int lo, int hi) {
    uint64_t x = ++counter * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return lo + (int)((x ^ x >> 31) % (uint64_t)(hi - lo + 1));
}

static struct plan *draw_plan(const struct workload *w, const int gpu[2], struct arena *a) {
    int P = draw(1, STAGES), D = draw(1, 64), L = w->model->n_layer;
    struct plan *p = ARENA_NEW(a, struct plan);
    struct pipeline *pl = ARENA_NEW(a, struct pipeline);
    *pl = (struct pipeline){P, ARENA_ARRAY(a, struct stage, P)};
    *p = (struct plan){
        .global_batch_size = 2048, .micro_batch_size = MICROBATCH, .n_pipeline = 1, .pipeline = pl};
    for (int i = 0, first = 0; i < P; i++) {
        struct stage *st = &pl->stage[i];
        int last = L - (P - 1 - i), even = first + 2 * (L - first) / (P - i);
        int end = i == P - 1 ? L : draw(first + 1, even < last ? even : last);
        *st = (struct stage){first, end, 0, ARENA_ARRAY(a, struct replicas, GROUPS)};
        first = end;
        int wanted = draw(1, GROUPS);
        for (int left = D, n; left > 0; left -= n) {
            n = st->n_group == wanted - 1 ? left : draw(1, left);
            st->group[st->n_group++] = (struct replicas){.gpu = gpu[draw(0, 1)],
                                                         .zone = draw(0, w->site->n_zone - 1),
                                                         .tp = 1 << draw(0, 2),
                                                         .count = n};
        }
    }
    return p;
}

struct bench {
    struct workload w;
    enum estimator est;
    struct plan *plan[N];
};

/* Evaluates all N plans and returns a sum that depends on every one of them. */
static double evaluate_all(struct bench *b) {
    double sum = 0;
    for (int i = 0; i < N; i++) {
        struct estimate r = {0};
        struct err e = {0};
        if (estimate_plan(&b->w, b->plan[i], b->est, &r, &e)) return -1;
        sum += r.iteration_time_s;
    }
    return sum;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void measure(struct bench *b, int runs, double seconds) {
    double rate[RUNS_MAX];
    double sum = evaluate_all(b); /* the first warms the caches */
    for (int r = 0; r < runs; r++) {
        double start = now_s(), t;
        long done = 0;
        do {
            sum += evaluate_all(b);
            done += N;
            t = now_s() - start;
        } while (t < seconds);
        rate[r] = (double)done / t;
    }
    qsort(rate, (size_t)runs, sizeof *rate, ascending);
    printf("%-7s %12.0f plans/s per core (median of %d runs; %.0f .. %.0f)\n", estimator_name[b->est],
           rate[runs / 2], runs, rate[0], rate[runs - 1]);
    if (!(sum > 0)) printf("# the sum of the times is %g\n", sum);
    fflush(stdout);
}

int main(int argc, char **argv) {
    int runs = argc > 1 ? atoi(argv[1]) : 5;
    double seconds = argc > 2 ? atof(argv[2]) : 0.5;
    static struct bench b;
    struct arena a = {0};
    struct err e = {0};
    if (runs < 1 || runs > RUNS_MAX) runs = 5;
    const char *inputs = inputs_dir(NULL, &a, &e);
    if (!inputs || workload_load("opt-350m", "gcp", inputs, &b.w, &a, &e)) {
        fprintf(stderr, "bench_eval: %s\n", e.text);
        return 1;
    }
    int gpu[2] = {-1, -1};
    for (int g = 0; g < b.w.site->n_gpu; g++) {
        if (!strcmp(b.w.site->gpu[g].name, "A100-40")) gpu[0] = g;
        if (!strcmp(b.w.site->gpu[g].name, "V100-16")) gpu[1] = g;
    }
    if (gpu[0] < 0 || gpu[1] < 0) return 1;
    for (int n = 0; n < N;) { /* skip plans that need a missing link: they end sooner */
        struct arena_mark mark = arena_mark(&a);
        struct plan *p = draw_plan(&b.w, gpu, &a);
        struct estimate r = {0};
        if (plan_check(p, &b.w, "drawn plan", &e) || estimate_plan(&b.w, p, ESTIMATOR_SAILOR, &r, &e))
            arena_release(&a, mark);
        else
            b.plan[n++] = p;
    }
    for (int est = 0; est < ESTIMATOR_N; est++) {
        b.est = est;
        measure(&b, runs, seconds);
    }
    arena_free(&a);
    return 0;
}
