#include "planners/planner.h"

#include <limits.h>

/* AMP: every (microbatch, tensor, data, pipeline) degree for the pool as a whole, several GPU types in one
 * zone, filled in the order in which the row lists them. The four parts of a time and their sums are 32-bit
 * floats, as in the published program: with one stage, microbatches tie exactly, and the order of the list
 * decides. */

/* A plan as the estimator sees it, and where the row's GPUs are. */
struct amp_grid {
    const struct workload *w;
    bool corrected;
    int n_type;
    struct shown type[GPUS_MAX];
    int per_node;
    double bw; /* elements per second between nodes */
    int D, P, tp, m;
    const int *first; /* [P + 1] first layer of each stage */
};

/* The slowest peak between nodes of one type; corrected: of any two types, which may be in two zones. */
static int bandwidth(struct amp_grid *g, struct err *e) {
    const struct site *s = g->w->site;
    g->bw = INFINITY;
    for (int i = 0; i < g->n_type; i++)
        for (int k = 0; k < g->n_type; k++) {
            const struct shown *x = &g->type[i], *y = &g->type[k];
            if (i != k && !g->corrected) continue;
            const struct link *l = node_link(s, x->zone, x->gpu, y->zone, y->gpu);
            if (!l)
                return err_set(
                    e, EXIT_INPUT, "site %s: no link from %s in %s to %s in %s, whose bandwidth amp needs",
                    s->name, s->gpu[x->gpu].name, s->zone[x->zone], s->gpu[y->gpu].name, s->zone[y->zone]);
            g->bw = fmin(g->bw, l->peak_Bps / g->w->element_bytes);
        }
    return 0;
}

/* Time of a layer for a microbatch: the mean over types profiled at this degree; corrected: all must be
 * profiled, and at this microbatch. */
static double layer_s(const struct amp_grid *g, int l) {
    double sum = 0;
    int n = 0;
    for (int i = 0; i < g->n_type; i++) {
        /* [Q2] backward taken as twice forward, a microbatch of m as m times one */
        const struct layer_times *t =
            profile_times(g->w->profile[g->type[i].gpu], g->corrected ? g->m : 1, g->tp);
        if (t) {
            sum += g->corrected ? t->fwd_s[l] + t->bwd_s[l] : 3 * t->fwd_s[l] * g->m;
            n++;
        }
    }
    return n && (n == g->n_type || !g->corrected) ? sum / n : NAN;
}

static double update_s(const struct amp_grid *g) {
    double most = 0;
    for (int i = 0; i < g->n_type; i++) {
        const struct layer_times *t = profile_times(g->w->profile[g->type[i].gpu], g->m, g->tp);
        if (t) most = fmax(most, t->update_s[0]);
    }
    return most;
}

static int node_of(const struct amp_grid *g, int stage, int replica, int k) {
    return ((stage * g->D + replica) * g->tp + k) / g->per_node;
}

/* How many replicas have a GPU whose peer in the next stage is in another node. */
static int crossing(const struct amp_grid *g, int stage) {
    int n = 0;
    if (g->D * g->tp >= g->per_node) return g->D;
    for (int j = 0; j < g->D; j++) {
        bool cross = false;
        for (int k = 0; k < g->tp; k++) cross |= node_of(g, stage, j, k) != node_of(g, stage + 1, j, k);
        n += cross;
    }
    return n;
}

/* Does a data-parallel ring of the stage span nodes? [Q1] The published program looks only at the last pair
 * of a ring, from the last GPU to the first; as GPUs are numbered upwards, the answer is the same for all
 * pairs. */
static bool ring_crosses(const struct amp_grid *g, int stage) {
    for (int k = 0; k < g->tp; k++)
        if (node_of(g, stage, 0, k) != node_of(g, stage, g->D - 1, k)) return true;
    return false;
}

/* [Q3] The published list of cut volumes is shifted by a layer; a cut has the same volume wherever it is. */
static float grid_s(const struct amp_grid *g) {
    const struct model *mo = g->w->model;
    const double *params = mo->params[tp_index(g->tp)];
    double slowest = 0, all = 0, cuts = 0, sync = 0;
    for (int i = 0; i < g->P; i++) {
        double stage = 0, elements = 0;
        for (int l = g->first[i]; l < g->first[i + 1]; l++) {
            double t = layer_s(g, l);
            stage += t;
            all += t;
            elements += params[l];
        }
        slowest = fmax(slowest, stage);
        if (i + 1 < g->P) cuts += g->m * mo->act_out[g->first[i + 1] - 1] / g->bw * crossing(g, i) / g->D;
        if (ring_crosses(g, i)) sync = fmax(sync, 2. * (g->D - 1) / (g->D * g->bw) * elements);
    }
    if (g->corrected) { /* [Q2] no gradients over the cuts, no update */
        cuts *= 2;
        sync += update_s(g);
    }
    float more = (float)((double)g->w->global_batch_size / (g->D * (double)g->m) - 1);
    return more * (float)slowest + (float)cuts + (float)all + (float)sync; /* unknown layers make `all` NAN */
}

/* ---- planner ------------------------------------------------------------------------------------------- */

/* Lays out whole nodes, type by type. There are enough GPUs: no node is smaller than per_node, which tp
 * divides. */
static struct pipeline *lay_out(const struct amp_grid *g, struct arena *a) {
    struct pipeline *pl = ARENA_NEW(a, struct pipeline);
    *pl = (struct pipeline){g->P, ARENA_ARRAY(a, struct stage, g->P)};
    for (int i = 0, type = -1, room = 0; i < g->P; i++) {
        struct stage *st = &pl->stage[i];
        *st = (struct stage){g->first[i], g->first[i + 1], 0, ARENA_ARRAY(a, struct replicas, g->n_type)};
        for (int left = g->D, take; left > 0; left -= take, room -= take) {
            while (!room) {
                int per_node = g->w->site->gpu[g->type[++type].gpu].gpus_per_node;
                room = g->type[type].gpus / per_node * (per_node / g->tp);
            }
            take = left < room ? left : room;
            st->group[st->n_group++] = (struct replicas){
                .gpu = g->type[type].gpu, .zone = g->type[type].zone, .tp = g->tp, .count = take};
        }
    }
    return pl;
}

/* Collects the types with a whole node. Returns the number of GPUs to use: whole nodes, as many as divide the
 * batch. */
static int collect(struct amp_grid *g, const struct pool *pool) {
    struct shown all[GPUS_MAX];
    int n = shown_types(pool, g->corrected, all), nodes = 0;
    for (int i = 0; i < n; i++) {
        int per_node = g->w->site->gpu[all[i].gpu].gpus_per_node;
        if (all[i].gpus < per_node) continue;
        nodes += all[i].gpus / per_node;
        g->type[g->n_type++] = all[i];
        if (per_node < g->per_node) g->per_node = per_node;
    }
    if (nodes > g->w->global_batch_size / g->per_node) nodes = g->w->global_batch_size / g->per_node;
    while (nodes && g->w->global_batch_size % (nodes * g->per_node)) nodes--;
    return nodes * g->per_node;
}

static int amp_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    struct amp_grid g = {.w = q->w, .corrected = q->corrected, .per_node = INT_MAX};
    int L = q->w->model->n_layer, first[LAYERS_MAX + 1], batch = q->w->global_batch_size;
    *out = (struct answer){0};
    int gpus = collect(&g, q->pool);
    g.first = first;
    if (!gpus) return 0;
    if (bandwidth(&g, e)) return -1;
    const int *degree, *micro;
    int n_degree = divisors(gpus, &degree, a), n_micro = divisors(batch, &micro, a);
    struct proposal *list = ARENA_ARRAY(a, struct proposal, TP_N * n_degree * n_micro);
    for (int ti = 0; ti < TP_N; ti++)
        for (int k = 0; k < n_degree; k++) {
            g.tp = 1 << ti;
            g.D = degree[k];
            g.P = gpus / g.tp / g.D;
            if (g.per_node % g.tp || gpus / g.tp % g.D || g.P > L || !q->w->model->params[ti]) continue;
            if (question_stopped(q)) return 0;
            for (int i = 0; i < g.P; i++) first[i] = i * (L / g.P);
            first[g.P] = L;                       /* the last stage takes the rest */
            struct pipeline *pl = lay_out(&g, a); /* plans of one grid differ only in their microbatch */
            for (int mi = 0; mi < n_micro; mi++) {
                if (batch / g.D % micro[mi]) continue;
                g.m = micro[mi];
                out->states++;
                double time_s = grid_s(&g);
                if (isnan(time_s)) continue; /* no type is profiled */
                struct plan *p = ARENA_NEW(a, struct plan);
                *p = (struct plan){.model = q->w->model->name,
                                   .site = q->w->site->name,
                                   .global_batch_size = batch,
                                   .micro_batch_size = g.m,
                                   .n_pipeline = 1,
                                   .pipeline = pl};
                list[out->n++] =
                    (struct proposal){.time_s = time_s,
                                      .cost_usd = rental_usd(q->w, p, time_s),
                                      .plan = p,
                                      .id = ((long)mi * TP_N + ti) * n_degree + k}; /* decides ties */
            }
        }
    rank_proposals(list, out->n, q->objective == OBJECTIVE_COST);
    out->proposal = list;
    return 0;
}

/* ---- estimator ----------------------------------------------------------------------------------------- */

/* Estimates only grids: one pipeline, one pair of degrees. */
static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    (void)extra;
    (void)scratch;
    const struct pipeline *pl = p->pipeline;
    int first[LAYERS_MAX + 1] = {0};
    struct amp_grid g = {.w = w,
                         .corrected = corrected,
                         .per_node = INT_MAX,
                         .P = pl->n_stage,
                         .m = p->micro_batch_size,
                         .tp = pl->stage->group->tp,
                         .D = stage_replicas(pl->stage),
                         .first = first};
    *out = (struct guess){NAN, NAN};
    if (p->n_pipeline > 1) return 0;
    for (int i = 0; i < g.P; i++) {
        const struct stage *st = &pl->stage[i];
        first[i + 1] = st->end;
        if (stage_replicas(st) != g.D) return 0;
        for (int k = 0; k < st->n_group; k++) {
            const struct replicas *r = &st->group[k];
            int t = 0, per_node = w->site->gpu[r->gpu].gpus_per_node;
            if (r->tp != g.tp) return 0;
            while (t < g.n_type && g.type[t].gpu != r->gpu) t++;
            if (t == g.n_type) g.type[g.n_type++] = (struct shown){.gpu = r->gpu, .zone = r->zone};
            if (per_node < g.per_node) g.per_node = per_node;
        }
    }
    if (bandwidth(&g, e)) return -1;
    out->time_s = grid_s(&g);
    return 0;
}

const struct planner amp_planner = {
    .about = "all GPU types as if in one zone; every grid of tensor, data and pipeline degrees and "
             "microbatch size",
    PLANNER_PUBLISHED("amp", CAN_SEED, amp_propose, estimate),
};
