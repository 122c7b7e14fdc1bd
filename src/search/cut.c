/* Cuts for given replicas. */
#include "search/draft.h"
#include "search/fill.h"
#include "sim/terms.h"

struct cutting {
    const struct climb *c;
    struct draft *d;
    int mi, M;
    const struct fill_kind *slow[LAYERS_MAX]; /* of each stage */
};

static bool fits(const struct cutting *k, int i, int first, int end) {
    const struct stage *st = &k->d->pipe.stage[i];
    int depth = k->d->pipe.n_stage - i, gpu = -1;
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        if (r->gpu == gpu) continue;
        gpu = r->gpu;
        if (!kind_fits(k->c, k->mi, gpu, tp_index(r->tp), k->d->D, k->M, depth, first, end)) return false;
    }
    return true;
}

/* From the last stage on as many layers as take x_s at most. */
static bool cut_at(const struct cutting *k, double x_s) {
    int end = k->c->L;
    for (int i = k->d->pipe.n_stage - 1; i >= 0; i--) {
        const double *comp = k->slow[i]->comp;
        int first = end - 1;
        while (first > i && comp[end] - comp[first - 1] <= x_s) first--;
        while (first < end && !fits(k, i, first, end)) first++;
        if (first == end || comp[end] - comp[first] > x_s || (i == 0 && first > 0)) return false;
        k->d->pipe.stage[i].first = first;
        k->d->pipe.stage[i].end = end;
        end = first;
    }
    return true;
}

bool draft_cut(const struct climb *c, struct draft *d) {
    enum { HALVINGS = 10 };
    struct cutting k = {.c = c, .d = d, .mi = kinds_at(c->kinds, d->plan.micro_batch_size)};
    double speed = 0, lo, hi = 0;
    if (k.mi < 0 || d->pipe.n_stage > c->L) return false;
    k.M = microbatches(c->w->global_batch_size, (long)d->plan.micro_batch_size * d->D);
    for (int i = 0; i < d->pipe.n_stage; i++) {
        const struct stage *st = &d->pipe.stage[i];
        for (int g = 0; g < st->n_group; g++) {
            const struct fill_kind *q = &c->kinds->kind[k.mi][st->group[g].gpu][tp_index(st->group[g].tp)];
            if (!q->ok) return false;
            if (!g || q->comp[c->L] > k.slow[i]->comp[c->L]) k.slow[i] = q;
        }
        if (!st->n_group) return false;
        speed += 1 / fmax(k.slow[i]->comp[c->L], 1e-12);
        hi = fmax(hi, k.slow[i]->comp[c->L]);
    }
    lo = 1 / speed;
    if (!cut_at(&k, hi)) return false;
    if (2 * lo < hi && cut_at(&k, 2 * lo)) hi = 2 * lo;
    for (int step = 0; step < HALVINGS; step++) {
        double x = (lo + hi) / 2;
        if (cut_at(&k, x))
            hi = x;
        else
            lo = x;
    }
    return cut_at(&k, hi);
}
