/* Tables against what they are of: the first window against the longest stage that can be, ranges of layers
 * against their parameters, patterns against the types of their class. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "search/memo.h"
#include "search/solve.h"
#include "search/window.h"
#include "random.h"
#include "sim/estimate.h"

/* The time of the slowest stage; 0: the plan does not fit. */
static double slowest_s(const struct instance *in, const struct plan *p) {
    struct stage_estimate stage[LAYERS_MAX];
    struct estimate est = {.stage = stage};
    struct err e;
    double slowest = 0;
    if (estimate_plan(&in->w, p, in->estimator, &est, &e) || !est.fits) return 0;
    for (int i = 0; i < p->pipeline[0].n_stage; i++) slowest = fmax(slowest, stage_period_s(&stage[i]));
    return slowest;
}

/* ---- the longest stage of all -------------------------------------------------------- */

/* Three layers, each alone on a GPU by memory, and arrivals that take longer than computing: the stage in the
 * middle takes as long as any stage can. */
static struct plan *longest_stage(struct instance *in, uint64_t seed, struct arena *a) {
    struct rng rng = {.seed = seed}, *r = &rng;
    struct workload *w = &in->w;
    double *params = ARENA_ARRAY(a, double, 3),
                                 *act = ARENA_ARRAY(a, double, 3), *out = ARENA_ARRAY(a, double, 3);
    struct platform *slow = ARENA_NEW(a, struct platform);
    for (int l = 0; l < 3; l++) {
        params[l] = 1e8;
        act[l] = 1e6;
        out[l] = 4e6;
    }
    in->model.params[0] = params;
    in->model.act_mem[0] = act;
    in->model.act_out = out;
    *slow = (struct platform){.memory_Bps = 1e12,
                              .context_bytes = 1e9,
                              .staging_s_per_B = rng_log(r, 1e-8, 1e-7),
                              .launch_bound = 1,
                              .ring_share = 1};
    w->platform = slow;
    w->process_bytes = w->message = 0;
    w->global_batch_size = 2;
    in->gpu[0].gpus_per_node = 1;
    in->gpu[0].context_bytes = 0;
    in->gpu[0].memory_bytes = 3e9 + w->state_bytes_per_param * 1.5e8;
    in->estimator = ESTIMATOR_NATIVE;
    in->pin = (struct pin){0};
    in->exact_batch = false;
    in->pool[0] = 3;
    struct plan *p = plan_new(w, w->profile[0]->mb[0], 1, 3, a);
    p->options = w->options;
    for (int i = 0; i < 3; i++) {
        struct stage *st = &p->pipeline[0].stage[i];
        st->first = i;
        st->end = i + 1;
        st->n_group = 1;
        st->group = ARENA_NEW(a, struct replicas);
        *st->group = (struct replicas){.tp = 1, .count = 1};
    }
    return p;
}

static bool longest_lies_in(uint64_t seed) {
    struct arena a = {0};
    struct shape shape = {1, 1, 3, 3, 3, 3, true};
    struct instance *in = instance_random(seed, &shape, &a);
    struct plan *p = longest_stage(in, seed, &a);
    struct search_problem sp = instance_problem(in, OBJECTIVE_THROUGHPUT);
    struct err e;
    double slowest = slowest_s(in, p);
    bool in_it = true;
    if (slowest > 0) {
        const struct space *s = space_build(&sp, NULL, 1, &a, &e);
        struct goal goal = {
            .objective = OBJECTIVE_THROUGHPUT, .best = INFINITY, .max_time_s = INFINITY, .max_usd = INFINITY};
        struct unit *u = ARENA_NEW(&a, struct unit);
        struct window_tables *t = ARENA_NEW(&a, struct window_tables);
        unit_build(u, s, &s->mb[0], 1, 1, &a);
        window_tables_init(t, s, &a);
        window_begin_unit(t, u, &goal, &a);
        in_it = slowest <= window_first(t, 0).x_hi;
        if (!in_it)
            printf("# seed %llu: a stage takes %.17g s, the first window ends at %.17g s\n",
                   (unsigned long long)seed, slowest, window_first(t, 0).x_hi);
    }
    arena_free(&a);
    return in_it;
}

static bool longest_stages(uint64_t seed, int n) {
    bool ok = true;
    for (int k = 0; k < n; k++) ok &= longest_lies_in(seed + (uint64_t)k);
    return ok;
}

/* ---- tables that are large ----------------------------------------------------------- */

/* 300 layers, no two alike: 45,150 ranges. */
static bool ranges_apart(void) {
    struct arena a = {0};
    struct shape shape = {1, 1, 300, 300, 8, 8, true};
    struct instance *in = instance_random(1, &shape, &a);
    struct search_problem p = instance_problem(in, OBJECTIVE_THROUGHPUT);
    struct err e;
    int L = in->model.n_layer;
    double *params = ARENA_ARRAY(&a, double, L);
    for (int l = 0; l < L; l++) params[l] = 1e6 * (1 + l * sqrt(2) / 7);
    in->model.params[0] = params;
    const struct space *s = space_build(&p, NULL, 1, &a, &e);
    bool ok = s->n_range > INT16_MAX;
    for (int i = 0; i < L; i++)
        for (int k = i + 1; k <= L && ok; k++) {
            int at = s->range_of[i * (L + 1) + k];
            ok = at >= 0 && at < s->n_range && s->range[at] == s->params[k] - s->params[i];
        }
    arena_free(&a);
    return ok;
}

static bool enough(void *asked) { return ++*(long *)asked > 100000; }

/* Eight types in each of 16 zones, the last of them in the last zone alone: the sets of cells that have all
 * types of a class are a small part of all sets. */
static bool patterns_picked(void) {
    struct arena a = {0};
    struct shape shape = {8, 16, 3, 3, 1, 1, true};
    struct instance *in = instance_random(3, &shape, &a);
    long asked = 0;
    struct stopper stop = {enough, &asked};
    for (int g = 0; g < shape.gpu_types; g++) in->gpu[g].gpus_per_node = 1;
    for (int c = 0; c < shape.gpu_types * shape.zones; c++)
        in->pool[c] = c % shape.gpu_types < shape.gpu_types - 1 || c / shape.gpu_types == shape.zones - 1;
    in->pin = (struct pin){.micro_batch_size = in->w.profile[0]->mb[0]};
    struct search_problem p = instance_problem(in, OBJECTIVE_THROUGHPUT);
    struct err e;
    const struct space *s = space_build(&p, &stop, 1, &a, &e);
    bool ok = !s->stopped && s->n_mb == 1;
    for (int c = 0; ok && c < s->mb[0].n_class; c++) {
        const struct stage_class *cl = &s->mb[0].cls[c];
        ok &= cl->n_kind > 1 || cl->end_pattern > cl->first_pattern;
    }
    for (int k = 0; ok && k < s->mb[0].n_pattern; k++) {
        unsigned gpus = 0;
        for (int i = 0; i < s->mb[0].pattern[k].n; i++)
            gpus |= 1u << s->cell[s->mb[0].pattern[k].cell[i]].gpu;
        ok &= gpus == s->mb[0].cls[s->mb[0].pattern[k].cls].gpus;
    }
    arena_free(&a);
    return ok;
}

/* Windows that are cut without being searched count as effort: no unit leaves many more than its limit. */
static bool cuts_counted(uint64_t seed) {
    enum { LIMIT = 10 };
    struct arena a = {0};
    struct shape shape = {2, 2, 4, 8, 12, 24, true};
    struct instance *in = instance_random(seed, &shape, &a);
    in->pin = (struct pin){0};
    struct search_problem p = instance_problem(in, OBJECTIVE_FRONTIER);
    struct err e;
    const struct space *s = space_build(&p, NULL, 1, &a, &e);
    struct memo *memo = memos_new(1);
    struct workspace *w = workspace_new(s, memo);
    bool ok = true;
    for (int k = 0; k < s->n_mb; k++) {
        struct goal goal = {
            .objective = p.objective, .best = INFINITY, .max_time_s = INFINITY, .max_usd = INFINITY};
        struct unit_answer out;
        struct unit_slice whole = {.patience = UINT64_MAX};
        unit_solve(w, &s->mb[k], 2, &goal, (struct unit_effort){.limit = LIMIT}, &whole, &out, &a);
        ok &= out.n_left <= LIMIT + 1 + unit_scopes(s);
    }
    workspace_free(w);
    memos_free(memo, 1);
    arena_free(&a);
    return ok;
}

int main(void) {
    bool longest = longest_stages(1, 1000), ranges = ranges_apart(), patterns = patterns_picked(),
         cuts = true;
    for (uint64_t seed = 1; seed < 40; seed++) cuts &= cuts_counted(seed);
    printf("1..4\n%s 1 - the first window holds the longest stage\n", longest ? "ok" : "not ok");
    printf("%s 2 - every range of layers finds its parameters\n", ranges ? "ok" : "not ok");
    printf("%s 3 - patterns have all types of their class, and are found at once\n",
           patterns ? "ok" : "not ok");
    printf("%s 4 - windows that are cut count against a limit\n", cuts ? "ok" : "not ok");
    return !longest || !ranges || !patterns || !cuts;
}
