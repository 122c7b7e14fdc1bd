#include "planners/aceso.h"

/* Aceso: one GPU type in one zone; a model is a row of operators. A separate search for every number of
 * stages goes from plan to plan: it takes the slowest stage (or the fullest, while memory is short), tries
 * what relieves it, and follows each find for a few steps.
 *
 * Faithful: stages are ranges of operators; the estimator knows neither gradient all-reduce nor update, and
 * its memory holds what the allocator reserved and dropout's masks. Corrected: stages are ranges of layers
 * with one degree of data parallelism, so that a plan means what it says; all-reduce and update count; memory
 * holds all states of a parameter, and no dropout, which the trainer does not run. */

enum { LISTED_MAX = 5, DEFAULT_STATES = 10000 };

/* ---- the list ---- */

struct aceso_context {
    const struct aceso_costs *costs;
    const struct aceso_config *config; /* [n], by proposal.id */
    int zone, gpu;
};

/* Converts operators to layers: each border moves to the nearest layer's, and every stage keeps a layer. */
static const struct plan *make_plan(const struct workload *w, const struct aceso_costs *costs,
                                    const struct aceso_config *c, int zone, int gpu, struct arena *a) {
    struct plan *p = grid_plan(w, zone, gpu, 1, c->S, 1, 1 << (c->mb_log - c->dp[0]), a);
    int end = 0;
    for (int i = 0; i < c->S; i++) {
        struct stage *stage = &p->pipeline->stage[i];
        const int *at = costs->layer;
        stage->first = end;
        while (end < w->model->n_layer && 2 * c->border[i + 1] > at[end] + at[end + 1]) end++;
        if (end <= stage->first) end = stage->first + 1;
        if (end > w->model->n_layer - (c->S - 1 - i)) end = w->model->n_layer - (c->S - 1 - i);
        stage->end = end;
        stage->group->tp = 1 << c->tp[i];
        stage->group->count = 1 << c->dp[i];
    }
    return p;
}

static int aceso_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    const struct pool_entry *first = q->pool->entry; /* it looks only at the row's first type, in its zone */
    *out = (struct answer){0};
    if (!q->pool->n_entry || first->count < 1) return 0;
    const struct gpu_type *g = &q->w->site->gpu[first->gpu];
    struct aceso_costs *costs = ARENA_NEW(a, struct aceso_costs);
    if (aceso_costs_make(q->w, q->extra, first->zone, first->gpu, q->corrected, costs, a, e)) return -1;
    struct aceso_search *s = ARENA_NEW(a, struct aceso_search);
    /* The original tries up to 128 stages; a plan cannot have more stages than layers. */
    int n_S = first->count < STAGES_MAX ? first->count : STAGES_MAX;
    if (n_S > costs->n_layer) n_S = costs->n_layer;
    long each = q->states > 0 ? (q->states + n_S - 1) / n_S : DEFAULT_STATES;
    aceso_search_init(s, q, costs, g, first->count, each, a);
    struct aceso_config *config = ARENA_ARRAY(a, struct aceso_config, n_S);
    struct proposal *list = ARENA_ARRAY(a, struct proposal, LISTED_MAX + 1);
    for (int S = 1; S <= n_S && !s->stopped; S++) {
        if (!aceso_search_stages(s, S, each)) continue;
        int at = out->n < LISTED_MAX ? out->n++ : LISTED_MAX;
        config[S - 1] = s->best.c;
        for (; at > 0 && s->best.time_us * 1e-6 < list[at - 1].time_s; at--) list[at] = list[at - 1];
        list[at] = (struct proposal){.time_s = s->best.time_us * 1e-6, .id = S - 1};
    }
    for (int i = 0; i < out->n; i++) {
        list[i].plan = make_plan(q->w, costs, &config[list[i].id], first->zone, first->gpu, a);
        list[i].cost_usd = rental_usd(q->w, list[i].plan, list[i].time_s);
    }
    struct aceso_context *ctx = ARENA_NEW(a, struct aceso_context);
    *ctx = (struct aceso_context){costs, config, first->zone, first->gpu};
    out->proposal = list;
    out->ctx = ctx;
    out->states = (uint64_t)s->states;
    return 0;
}

/* ---- the simulator that judges the published plans ---- */

/* Works on the ranges of operators themselves, which the plan's layers only approximate. Sizes are for one
 * sample, times for the stage's own batch. */
static int judge(const struct question *q, const struct answer *x, const struct proposal *y,
                 const struct plan *plan, struct estimate *est, struct err *e) {
    const struct aceso_context *ctx = x->ctx;
    const struct aceso_config *c = &ctx->config[y->id];
    const struct gpu_type *g = &q->w->site->gpu[ctx->gpu];
    int node = g->gpus_per_node, P = c->S;
    const struct link *l = site_link(q->w->site, ctx->zone, ctx->gpu, node, ctx->zone, ctx->gpu, node);
    if (!l) return err_set(e, EXIT_INPUT, "aceso: no link between nodes of %s", g->name);
    struct stage_estimate *stage = est->stage;
    *est = (struct estimate){.fits = true, .unfit_pipeline = -1, .unfit_stage = -1, .stage = stage};
    double sum = 0, slowest = 0;
    for (int i = 0; i < P; i++) {
        const struct aceso_table *t = ctx->costs->table[c->mb_log - c->dp[i]][c->tp[i]],
                                 *one = ctx->costs->table[0][c->tp[i]];
        int from = c->border[i], to = c->border[i + 1], m = 1 << (c->mb_log - c->dp[i]);
        double weights = (one->weights_MiB[to] - one->weights_MiB[from]) * MiB,
               kept = one->in_MiB[from] + one->judged_MiB[to] - one->judged_MiB[from];
        struct stage_estimate v = {
            .compute_s = (t->time_us[to] - t->time_us[from]) * 1e-6,
            .comm_s = i == P - 1 ? 0 : 2 * link_time_s(l, m * one->out_MiB[to - 1] * MiB, ESTIMATOR_SAILOR),
            .sync_s = allreduce_time_s(l, weights * (1 << c->tp[i]), 1 << c->dp[i], ESTIMATOR_SAILOR),
            .memory_bytes = 5 * weights + (P - i) * m * kept * MiB + 3 * 1024 * MiB};
        sum += v.compute_s + v.comm_s;
        slowest = fmax(slowest, v.compute_s + v.comm_s);
        est->sync_time_s = fmax(est->sync_time_s, v.sync_s);
        est->peak_memory_bytes = fmax(est->peak_memory_bytes, v.memory_bytes);
        if (est->fits && v.memory_bytes > g->memory_bytes) {
            est->fits = false;
            est->unfit_pipeline = 0;
            est->unfit_stage = i;
        }
        if (stage) stage[i] = v;
    }
    int mb = 1 << c->mb_log;
    est->n_microbatch = (q->w->global_batch_size + mb - 1) / mb;
    est->pipeline_time_s = sum + (est->n_microbatch - 1) * slowest;
    est->iteration_time_s = est->pipeline_time_s + est->sync_time_s;
    est->compute_usd = est->cost_usd = rental_usd(q->w, plan, est->iteration_time_s);
    return 0;
}

const struct planner aceso_planner = {
    .about = "first GPU type of the row, in its zone; relieves bottlenecks step by step, on operators, one "
             "search per number of stages",
    .load = aceso_load,
    .judge = judge,
    PLANNER_PUBLISHED("aceso", CAN_STATES, aceso_propose, aceso_estimate),
};
