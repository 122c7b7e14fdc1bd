#include "planners/galvatron.h"

#include <stdlib.h>
#include <string.h>

/* Galvatron: one GPU type in one zone. For every number of chunks of the batch and every number of stages, a
 * dynamic program gives each transformer layer of a stage a (tensor-parallel, data-parallel) pair within a
 * GPU's memory. */

enum { STRATEGIES_MAX = 2 * DEGREES, CHUNK_MAX = 4 };

/* ---- the layers of one stage -----------------------------------------------------------------------------
 */

/* A way to run the layers so far; none with the same last strategy is both faster and smaller. */
struct way {
    const struct way *before; /* NULL: the first layer */
    double time_s;
    int strategy, MiB;
};

struct front {
    const struct way *way; /* [n], growing memory, falling time */
    int n;
};

static int by_memory(const void *x, const void *y) {
    const struct way *a = x, *b = y;
    if (a->MiB != b->MiB) return a->MiB < b->MiB ? -1 : 1;
    if (a->time_s != b->time_s) return a->time_s < b->time_s ? -1 : 1;
    return a->before && b->before ? a->before->strategy - b->before->strategy : 0; /* the lower index wins */
}

/* The published table over all MiB of a budget has few steps, as all layers of a stage are alike: the front
 * of its corners gives the same answer. Returns the last layer, or NULL. */
static const struct way *assign(int n_layer, int S, const struct galvatron_pace *pace, const int *need_MiB,
                                double change_s[STRATEGIES_MAX][STRATEGIES_MAX], int budget_MiB,
                                struct arena *a) {
    struct front front[2][STRATEGIES_MAX];
    for (int l = 0; l < n_layer; l++) {
        struct front *now = front[l & 1], *old = front[!(l & 1)];
        int room = 1;
        for (int r = 0; l && r < S; r++) room += old[r].n;
        for (int s = 0; s < S; s++) {
            struct way *x = ARENA_ARRAY(a, struct way, room);
            int n = 0, kept = 0;
            if (!l) x[n++] = (struct way){NULL, pace[s].full_s, s, need_MiB[s]};
            for (int r = 0; l && r < S; r++)
                for (int i = 0; i < old[r].n; i++) {
                    const struct way *b = &old[r].way[i];
                    x[n++] =
                        (struct way){b, b->time_s + change_s[r][s] + pace[s].full_s, s, b->MiB + need_MiB[s]};
                }
            qsort(x, (size_t)n, sizeof *x, by_memory);
            for (int i = 0; i < n && x[i].MiB <= budget_MiB; i++)
                if (!kept || x[i].time_s < x[kept - 1].time_s) x[kept++] = x[i];
            now[s] = (struct front){x, kept};
        }
    }
    const struct way *best = NULL;
    for (int s = 0; s < S; s++) {
        const struct front *f = &front[(n_layer - 1) & 1][s];
        if (f->n && (!best || f->way[f->n - 1].time_s < best->time_s)) best = &f->way[f->n - 1];
    }
    return best;
}

/* ---- search ----------------------------------------------------------------------------------------------
 */

struct setting {
    const struct question *q;
    const struct galvatron_costs *costs;
    int zone, gpu, gpus, budget_MiB;
};

struct galvatron_choice {
    double time_s;
    int P;
    struct galvatron_strategy s;
};

static int strategies(const struct setting *x, int P, struct galvatron_strategy out[STRATEGIES_MAX]) {
    int n = 0;
    for (int tp = 1; tp <= 4 && tp <= x->q->w->site->gpu[x->gpu].gpus_per_node; tp *= 2) {
        if (x->gpus % (P * tp) || !x->q->w->model->params[tp_index(tp)]) continue;
        int dp = x->gpus / (P * tp);
        for (int consecutive = 1; consecutive >= (tp == 1 || dp == 1); consecutive--)
            out[n++] = (struct galvatron_strategy){tp, dp, consecutive};
    }
    return n;
}

/* Faithful: each layer has its own strategy, and only transformer layers are planned. INFINITY: does not
 * fit. */
static struct galvatron_choice mixed(const struct setting *x, int P, int chunks, struct galvatron_pace *stage,
                                     struct arena *a) {
    const struct workload *w = x->q->w;
    int B = w->global_batch_size, each = w->model->n_block / P, n = B / (x->gpus / P), size;
    int per_node = w->site->gpu[x->gpu].gpus_per_node;
    struct galvatron_strategy s[STRATEGIES_MAX];
    struct galvatron_pace pace[STRATEGIES_MAX];
    double change_s[STRATEGIES_MAX][STRATEGIES_MAX] = {{0}};
    struct galvatron_choice y = {INFINITY, P, {0}};
    int S = strategies(x, P, s);
    for (int k = 0; k < S; k++) {
        double sequences = (double)B / chunks / s[k].dp;
        pace[k] = galvatron_pace(x->costs, &s[k], per_node, x->costs->forward_ms * sequences / s[k].tp,
                                 x->costs->weights_MiB / s[k].tp, sequences * galvatron_passed_MiB(w->model),
                                 false);
        for (int r = 0; r < S; r++) {
            bool split = s[k].tp > s[r].tp || (s[k].tp == s[r].tp && s[k].consecutive != s[r].consecutive) ||
                         (x->gpus / P == 8 && s[r].tp == 4 && s[k].tp == 2);
            if (split && s[k].tp > 1)
                change_s[r][k] =
                    1e-3 * (s[k].tp - 1) / s[k].tp * 2 * ((double)B / s[k].dp) /
                    galvatron_ring_GiBps(x->costs, s[k].dp == 1 || s[k].consecutive, s[k].tp, per_node);
        }
    }
    for (int i = 0; i < P; i++) {
        int need[STRATEGIES_MAX], n_layer = i == P - 1 ? w->model->n_block - each * i : each;
        for (int k = 0; k < S; k++)
            need[k] = (int)ceil(galvatron_layer_MiB(w, x->costs, &s[k], chunks, P, i));
        int budget = x->budget_MiB - (int)ceil(galvatron_other_MiB(x->costs, P, i));
        const struct way *l = assign(n_layer, S, pace, need, change_s, budget, a);
        if (!l) return y;
        stage[i] = (struct galvatron_pace){0};
        for (; l; l = l->before) {
            stage[i].full_s += pace[l->strategy].full_s;
            stage[i].compute_s += pace[l->strategy].compute_s;
            if (i == 0) y.s = s[l->strategy]; /* [Q2] only the first layer's is used */
        }
    }
    y.time_s = galvatron_pipeline_s(stage, P, galvatron_pieces(n, chunks, &size));
    return y;
}

/* Corrected, [Q2]: costs only what a plan can express, one strategy for all layers. */
static struct galvatron_choice uniform(const struct setting *x, int P, int chunks,
                                       struct galvatron_pace *stage) {
    const struct workload *w = x->q->w;
    struct galvatron_strategy s[STRATEGIES_MAX];
    struct galvatron_choice y = {INFINITY, P, {0}};
    int S = strategies(x, P, s);
    for (int k = 0; k < S; k++) {
        int m = w->global_batch_size / (chunks * s[k].dp), i = 0;
        if (!m || !profile_times(w->profile[x->gpu], m, s[k].tp)) continue;
        for (int first, end; i < P; i++) {
            even_layers(w->model->n_layer, P, false, i, &first, &end);
            if (galvatron_stage_MiB(w, s[k].tp, (double)m * (chunks < P - i ? chunks : P - i), first, end) >
                x->budget_MiB)
                break;
            stage[i] = galvatron_stage_pace(w, x->costs, x->zone, x->gpu, &s[k], m, first, end);
        }
        double time_s = i == P ? galvatron_pipeline_s(stage, P, chunks) : INFINITY;
        if (time_s < y.time_s) {
            y.time_s = time_s;
            y.s = s[k];
        }
    }
    return y;
}

static bool size_allowed(int n) { return n == 1 || n == 2 || n == CHUNK_MAX; }

/* The cheapest number of stages for a number of chunks. */
static struct galvatron_choice best_of(const struct setting *x, int chunks, struct galvatron_pace *stage,
                                       uint64_t *states, struct arena *a) {
    const struct workload *w = x->q->w;
    struct galvatron_choice best = {.time_s = INFINITY};
    for (int P = 1; P <= w->model->n_block && P <= x->gpus; P *= 2) {
        int share = w->global_batch_size / (x->gpus / P), size = (share + chunks - 1) / chunks;
        if (x->gpus % P || chunks > share) continue;
        if (!size_allowed(size)) {
            if (x->q->corrected) continue;
            return (struct galvatron_choice){.time_s =
                                                 INFINITY}; /* [Q1] one impossible P spoils the others */
        }
        if (chunks != (share + size - 1) / size) continue;
        struct arena_mark mark = arena_mark(a);
        struct galvatron_choice y =
            x->q->corrected ? uniform(x, P, chunks, stage) : mixed(x, P, chunks, stage, a);
        arena_release(a, mark);
        ++*states;
        if (y.time_s < best.time_s) best = y;
    }
    return best;
}

static int by_time(const void *x, const void *y) {
    const struct proposal *a = x, *b = y;
    return a->time_s != b->time_s ? a->time_s < b->time_s ? -1 : 1 : a->id < b->id ? -1 : a->id > b->id;
}

/* Sorts by time: all plans use the same GPUs, so that is also the order by cost. */
static int galvatron_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    const struct workload *w = q->w;
    const struct pool_entry *pool = q->pool->entry; /* it is shown only the first entry */
    *out = (struct answer){0};
    if (!q->pool->n_entry) return 0;
    int per_node = w->site->gpu[pool->gpu].gpus_per_node, gpus = pool->count / per_node * per_node;
    while (gpus && w->global_batch_size % gpus) gpus -= per_node;
    if (!gpus) return 0;
    struct galvatron_costs costs;
    if (galvatron_costs(w, q->extra, pool->zone, pool->gpu, q->corrected, &costs, e)) return -1;
    int limit = (int)(w->site->gpu[pool->gpu].planner_memory_bytes / MiB);
    if (limit / 1024 > 20) limit -= (int)(0.2 * limit);
    struct setting x = {q, &costs, pool->zone, pool->gpu, gpus, limit};
    struct proposal *list = ARENA_ARRAY(a, struct proposal, w->global_batch_size);
    struct galvatron_pace *stage = ARENA_ARRAY(a, struct galvatron_pace, w->model->n_block + 1);
    for (int chunks = 1; chunks < w->global_batch_size; chunks++) {
        struct galvatron_choice y = best_of(&x, chunks, stage, &out->states, a);
        if (isinf(y.time_s)) continue;
        const struct plan *p =
            grid_plan(w, x.zone, x.gpu, y.s.dp, y.P, y.s.tp, w->global_batch_size / (chunks * y.s.dp), a);
        list[out->n++] = (struct proposal){y.time_s, rental_usd(w, p, y.time_s), chunks, p};
    }
    qsort(list, (size_t)out->n, sizeof *list, by_time);
    out->proposal = list;
    return 0;
}

const struct planner galvatron_planner = {
    .about = "first GPU type and zone; tensor- and data-parallel degrees by dynamic programming over layers",
    .load = galvatron_load,
    PLANNER_PUBLISHED("galvatron", 0, galvatron_propose, galvatron_estimate),
};
