#include "train/grid.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int lay_out(struct grid *g, int ranks, const char *where, struct arena *a, struct err *e) {
    const struct plan *p = g->plan;
    for (int i = 0; i < p->n_pipeline; i++)
        for (int s = 0; s < p->pipeline[i].n_stage; s++) g->cells += stage_replicas(&p->pipeline[i].stage[s]);
    g->cell = ARENA_ARRAY(a, struct grid_cell, g->cells);
    g->line = ARENA_ARRAY(a, struct grid_line, p->n_pipeline);
    int n = 0;
    long rank = 0;
    for (int i = 0; i < p->n_pipeline; i++) {
        const struct pipeline *pl = &p->pipeline[i];
        struct grid_line *l = &g->line[i];
        *l = (struct grid_line){.stages = pl->n_stage, .offset = g->width};
        l->replicas = ARENA_ARRAY(a, int, pl->n_stage);
        l->cell_at = ARENA_ARRAY(a, int, pl->n_stage);
        for (int s = 0; s < pl->n_stage; s++) {
            const struct stage *st = &pl->stage[s];
            l->cell_at[s] = n;
            for (int k = 0; k < st->n_group; k++) {
                char at[320];
                snprintf(at, sizeof at, "%.200s: /pipelines/%d/stages/%d/replicas/%d", where, i, s, k);
                if (arch_check_tp(g->arch, st->group[k].tp, at, e)) return -1;
                for (int j = 0; j < st->group[k].count; j++, rank += st->group[k].tp)
                    g->cell[n++] = (struct grid_cell){.pipeline = i,
                                                      .stage = s,
                                                      .replica = l->replicas[s]++,
                                                      .first = st->first,
                                                      .end = st->end,
                                                      .first_rank = (int)rank,
                                                      .tp = st->group[k].tp,
                                                      .gpu = st->group[k].gpu,
                                                      .zone = st->group[k].zone};
            }
            if (l->replicas[s] > l->width) l->width = l->replicas[s];
        }
        g->width += l->width;
    }
    if (ranks && rank != ranks)
        return err_set(e, EXIT_INPUT,
                       "%s: %d ranks; expected %ld, one for each GPU of the plan (mpirun -n %ld)", where,
                       ranks, rank, rank);
    g->ranks = (int)rank;
    return 0;
}

int grid_make(struct grid *g, const struct plan *p, const struct arch *a, int ranks, const char *where,
              struct arena *arena, struct err *e) {
    *g = (struct grid){.plan = p, .arch = a};
    if (lay_out(g, ranks, where, arena, e)) return -1;
    long long G = p->global_batch_size, m = p->micro_batch_size, slots = m * g->width;
    if (m * a->sequence * a->hidden > INT_MAX || m * a->sequence > INT_MAX / 4)
        return err_set(e, EXIT_INPUT,
                       "%s: /micro_batch_size: %lld; expected a smaller one: an activation has %lld elements",
                       where, m, m * a->sequence * a->hidden);
    g->microbatches = (int)((G + slots - 1) / slots);
    g->cell_of = ARENA_ARRAY(arena, int, g->ranks);
    for (int i = 0; i < g->cells; i++)
        for (int k = 0; k < g->cell[i].tp; k++) g->cell_of[g->cell[i].first_rank + k] = i;
    return 0;
}

const struct grid_cell *grid_cell_at(const struct grid *g, int pipeline, int stage, int w) {
    const struct grid_line *l = &g->line[pipeline];
    return &g->cell[l->cell_at[stage] + w % l->replicas[stage]];
}

int grid_sequences(const struct grid *g, int pipeline, int w, int *count) {
    const struct grid_line *l = &g->line[pipeline];
    long long m = g->plan->micro_batch_size, G = g->plan->global_batch_size;
    long long global = (long long)(w / l->width) * g->width + l->offset + w % l->width, first = global * m;
    long long left = G - first;
    *count = (int)(left < 0 ? 0 : left < m ? left : m);
    return (int)(first < G ? first : G);
}

/* Before the backward pass of microbatch v a stage has done the forward passes of all its microbatches before
 * v + window; the window is the number of replicas from this stage to the last one. With one D everywhere
 * that is P - s microbatches per replica: 1F1B. Nothing waits for itself: backward of v needs forward passes
 * of the next stage before v + its window only, which this stage does after backward passes before v. */
int grid_works(const struct grid *g, const struct grid_cell *c, struct grid_work *work, int *slots) {
    const struct grid_line *l = &g->line[c->pipeline];
    int D = l->replicas[c->stage], all = g->microbatches * l->width, window = 0, n = 0, next = c->replica;
    int mine = 0;
    for (int s = c->stage; s < l->stages; s++) window += l->replicas[s];
    assert(window >= D && D > c->replica);
    *slots = (window + D - 1) / D;
    if (c->replica < all) mine = (all - 1 - c->replica) / D + 1;
    if (*slots > mine) *slots = mine;
    for (int v = c->replica; v < all; v += D) {
        for (; next < all && next < v + window; next += D) {
            if (work) work[n] = (struct grid_work){false, next, next / D % *slots};
            n++;
        }
        if (work) work[n] = (struct grid_work){true, v, v / D % *slots};
        n++;
    }
    return n;
}

/* ---- who holds what ---- */

static bool holds(const struct grid_cell *c, int layer) { return c->first <= layer && layer < c->end; }

const struct grid_cell *grid_giver(const struct grid *g, int layer) {
    for (int i = 0; i < g->cells; i++)
        if (holds(&g->cell[i], layer)) return &g->cell[i];
    assert(!"the stages of a pipeline cover all layers");
    return NULL;
}

/* A tied matrix is that of the embedding. */
bool grid_gives(const struct grid *g, int layer, int tensor, int k) {
    const struct tensor *t = &g->arch->tensor[arch_kind(g->arch, layer)][tensor];
    int tp = grid_giver(g, layer)->tp;
    struct part part = arch_part(t, tp, k);
    if (t->tied || !part.rows || (!t->split && k)) return false;
    return !t->repeat || !k || part.first != arch_part(t, tp, k - 1).first;
}

static int by_size(const void *x, const void *y) {
    size_t a = *(const size_t *)x, b = *(const size_t *)y;
    return (a > b) - (a < b);
}

/* The spans of one tensor that this rank holds. */
static void tensor_spans(const struct grid *g, int rank, const int *holder, int holders,
                         struct grid_span whole, struct grid_span *out, int *n, struct arena *arena) {
    const struct tensor *t = &g->arch->tensor[arch_kind(g->arch, whole.layer)][whole.tensor];
    const struct grid_cell *me = &g->cell[g->cell_of[rank]];
    int tp_max = 1, tp_min = TP_MAX, cuts = 0;
    for (int h = 0; h < holders; h++) {
        int tp = g->cell[holder[h]].tp;
        tp_max = tp > tp_max ? tp : tp_max;
        tp_min = tp < tp_min ? tp : tp_min;
    }
    size_t cut[TP_N * (TP_MAX + 1) + 2];
    cut[cuts++] = 0;
    cut[cuts++] = t->rows;
    for (int tp = tp_min; t->split && tp <= tp_max; tp *= 2)
        for (int k = 0; k < tp; k++) cut[cuts++] = arch_part(t, tp, k).first;
    assert((size_t)cuts <= sizeof cut / sizeof *cut);
    qsort(cut, (size_t)cuts, sizeof *cut, by_size);
    struct part mine = arch_part(t, me->tp, rank - me->first_rank);
    for (int i = 0; i + 1 < cuts; i++) {
        if (cut[i] == cut[i + 1] || cut[i] < mine.first || cut[i] >= mine.first + mine.rows) continue;
        struct grid_span s = whole;
        int *list = ARENA_ARRAY(arena, int, holders * tp_max);
        s.first = cut[i];
        s.rows = cut[i + 1] - cut[i];
        s.uniform = tp_min == tp_max;
        s.counts = true;
        s.rank = list;
        for (int h = 0; h < holders; h++) {
            const struct grid_cell *c = &g->cell[holder[h]];
            for (int k = 0; k < c->tp; k++) {
                struct part p = arch_part(t, c->tp, k);
                bool has = cut[i] >= p.first && cut[i] < p.first + p.rows;
                /* of copies, each rank adds up with the ranks of its own number where degrees are the same;
                 * otherwise all take part and one of each replica counts */
                if (!t->split && tp_min == tp_max) has = k == rank - me->first_rank;
                if (has) list[s.n_rank++] = c->first_rank + k;
            }
        }
        if (!t->split && tp_min != tp_max) s.counts = rank == me->first_rank;
        if (s.n_rank > 1) out[(*n)++] = s;
    }
}

int grid_spans(const struct grid *g, int rank, struct grid_span **span, struct arena *arena) {
    const struct grid_cell *me = &g->cell[g->cell_of[rank]];
    const struct arch *a = g->arch;
    int *holder = ARENA_ARRAY(arena, int, g->cells), n = 0, last = a->layers - 1;
    *span = ARENA_ARRAY(arena, struct grid_span,
                        (size_t)(me->end - me->first) * TENSORS_MAX * (size_t)(2 * TP_MAX));
    for (int layer = me->first; layer < me->end; layer++) {
        int holders = 0;
        for (int i = 0; i < g->cells; i++)
            if (holds(&g->cell[i], layer)) holder[holders++] = i;
        for (int t = 0; t < arch_tensors(arch_kind(a, layer)); t++) {
            bool tied = a->tied && (layer ? layer == last && t == HEAD_MATRIX : t == EMBEDDING_TOKENS);
            if (!tied)
                tensor_spans(g, rank, holder, holders, (struct grid_span){.layer = layer, .tensor = t}, *span,
                             &n, arena);
        }
    }
    /* Last, after all layers: ranks that hold the one layer would otherwise come to these sums earlier than
     * those that hold the other. */
    if (a->tied && (me->first == 0 || me->end > last)) {
        struct grid_span whole = {.layer = last, .tensor = HEAD_MATRIX, .tied = true};
        int holders = 0;
        if (me->first == 0) {
            whole.layer = 0;
            whole.tensor = EMBEDDING_TOKENS;
        }
        for (int i = 0; i < g->cells; i++)
            if (holds(&g->cell[i], 0) || holds(&g->cell[i], last)) holder[holders++] = i;
        tensor_spans(g, rank, holder, holders, whole, *span, &n, arena);
    }
    return n;
}
