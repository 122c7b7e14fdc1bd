#include "search/why.h"

#include <math.h>

#include "search/search.h"
#include "sim/terms.h"

static const char *no_stage(const struct space *s, struct arena *a) {
    const struct workload *w = s->p->w;
    if (!s->n_cell)
        return arena_printf(a,
                            "counts: the pool has no GPU type with a profile of %s "
                            "in an allowed zone",
                            w->model->name);
    if (!s->n_mb)
        return "counts: no profiled microbatch and tensor-parallel degree is "
               "allowed by the pins and nodes";
    for (int l = 0; l < s->L; l++) {
        double least = INFINITY;
        int gpu = -1, tp = 0, mb = 0;
        for (int k = 0; k < s->n_mb; k++) {
            const struct workload *v = s->mb[k].w;
            for (int c = 0; c < s->mb[k].n_class; c++) {
                const struct stage_class *cl = &s->mb[k].cls[c];
                if (cl->n_kind != 1) continue;
                if (s->mb[k].depth[cfe(s, c, l, l + 1)] > 0) {
                    least = -1;
                    continue;
                }
                for (int g = 0; g < w->site->n_gpu; g++) {
                    if (cl->ti[g] < 0) continue;
                    int ti = cl->ti[g];
                    double bytes =
                        model_bytes(v, s->p->estimator, ti, REPLICAS_MANY, l, l + 1, v->model->params[ti][l],
                                    v->model->act_mem[ti][l], 1, s->mb[k].m);
                    double over = held_bytes(v, s->p->estimator, g, ti, bytes) - w->site->gpu[g].memory_bytes;
                    if (over < least) {
                        least = over;
                        gpu = g;
                        tp = 1 << ti;
                        mb = s->mb[k].m;
                    }
                }
            }
        }
        if (least > 0 && gpu >= 0)
            return arena_printf(a,
                                "memory: layer %d fits no GPU of the pool; nearest "
                                "is %s (tp %d, microbatch "
                                "%d), %.2f GiB short of its %.1f GiB",
                                l, w->site->gpu[gpu].name, tp, mb, least / 1073741824.0,
                                w->site->gpu[gpu].memory_bytes / 1073741824.0);
    }
    return NULL;
}

/* What a layer adds to a GPU that holds others, too, at least: one GPU may hold all of them. */
static double layer_bytes(const struct space *s, const struct mb_space *mb, int ti, int l) {
    const struct workload *w = mb->w;
    double shared = (double)mb->m * w->element_bytes * once(w, s->p->estimator, ti, false);
    return model_bytes(w, s->p->estimator, ti, REPLICAS_MANY, 0, 0, w->model->params[ti][l],
                       w->model->act_mem[ti][l], 1, mb->m) -
           shared;
}

/* The memory of all layers, each at the degree that takes least, against that of the whole pool. */
static const char *too_large(const struct space *s, struct arena *a) {
    const struct workload *w = s->p->w;
    double need = 0, have = 0;
    for (int l = 0; l < s->L; l++) {
        double least = INFINITY;
        for (int k = 0; k < s->n_mb && s->mb[k].m == s->mb[0].m; k++) {
            const struct workload *v = s->mb[k].w;
            for (int ti = 0; ti < TP_N; ti++)
                if (v->model->params[ti]) least = fmin(least, (1 << ti) * layer_bytes(s, &s->mb[k], ti, l));
        }
        need += least;
    }
    for (int c = 0; c < s->n_cell; c++) {
        int gpu = s->cell[c].gpu;
        double beside = INFINITY;
        for (int k = 0; k < s->n_mb; k++)
            beside = fmin(beside, beside_model_bytes(s->mb[k].w, s->p->estimator, gpu, 0));
        have += s->cell[c].gpus * fmax(0, w->site->gpu[gpu].memory_bytes / (1 + w->memory_margin) - beside);
    }
    if (need <= have) return NULL;
    return arena_printf(a,
                        "memory: the layers of %s take at least %.0f GiB at "
                        "microbatch %d; the pool's GPUs "
                        "have %.0f GiB to give",
                        w->model->name, need / 1073741824.0, s->mb[0].m, have / 1073741824.0);
}

/* How far away are the limits? The job without them is searched first. */
static const char *limits(const struct search_problem *p, const struct search_hooks *hooks,
                          const struct mpx_comm *world, int threads, struct arena *a) {
    struct search_problem free_of = *p;
    struct search_hooks quiet = {.ctx = hooks ? hooks->ctx : NULL, .stop = hooks ? hooks->stop : NULL};
    struct row_result row = {0};
    struct err e;
    free_of.max_usd_per_iteration = INFINITY;
    free_of.min_iterations_per_s = 0;
    free_of.top_k = 1;
    free_of.objective = OBJECTIVE_THROUGHPUT;
    if (search_row(&free_of, &row, &quiet, world, threads, a, &e) == 0 && row.n_plan) {
        double fastest = 1 / row.plan[0].est.iteration_time_s;
        if (fastest < p->min_iterations_per_s)
            return arena_printf(a,
                                "throughput: the fastest plan does %.6g "
                                "iterations/s; the floor is %.6g",
                                fastest, p->min_iterations_per_s);
        if (p->max_usd_per_iteration < INFINITY) {
            free_of.objective = OBJECTIVE_COST;
            free_of.min_iterations_per_s = p->min_iterations_per_s;
            row = (struct row_result){0};
            if (search_row(&free_of, &row, &quiet, world, threads, a, &e) == 0 && row.n_plan)
                return arena_printf(a,
                                    "budget: the cheapest plan%s costs %.6g USD per iteration; the "
                                    "budget is %.6g",
                                    p->min_iterations_per_s > 0 ? " that meets the floor" : "",
                                    row.plan[0].est.cost_usd, p->max_usd_per_iteration);
        }
    }
    return row.n_plan ? NULL : row.reason;
}

const char *why_infeasible(const struct search_problem *p, const struct space *s,
                           const struct search_hooks *hooks, const struct mpx_comm *world, int threads,
                           struct arena *a) {
    const char *why = no_stage(s, a);
    if (!why && (p->min_iterations_per_s > 0 || p->max_usd_per_iteration < INFINITY))
        why = limits(p, hooks, world, threads, a);
    if (!why) why = too_large(s, a);
    if (why) return why;
    return "counts and memory: every layer fits some GPU alone, but no pipeline "
           "over the GPUs available holds "
           "all layers (or no link joins them)";
}
