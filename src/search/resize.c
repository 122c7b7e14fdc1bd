/* Moves of a local search that change the size of a plan. */
#include "search/repair.h"
#include "search/walk.h"
#include "sim/terms.h"

bool walk_settle_cut(struct local_walk *w) {
    int end[LAYERS_MAX];
    bool changed = false;
    if (walk_settle(w)) return true;
    struct pipeline *pipe = &w->trial->pipe;
    for (int i = 0; i < pipe->n_stage; i++) end[i] = pipe->stage[i].end;
    w->c->work++; /* it takes about as long as judging does */
    if (!draft_cut(w->c, w->trial)) return false;
    for (int i = 0; i < pipe->n_stage; i++) changed |= end[i] != pipe->stage[i].end;
    return changed && walk_settle(w);
}

/* `like`: the draft whose replicas the stages take. Fewer stages may want smaller microbatches. */
static bool try_like(struct local_walk *w, const struct draft *like, int P, int D, int m) {
    if (D < 1 || P < 1 || P > w->c->L) return false;
    for (;; m /= 2) {
        w->c->work++;
        if (!draft_refit(w->c, w->trial, like, P, D, m)) return false;
        if (P == w->d->pipe.n_stage && like == w->d) return walk_settle_cut(w);
        if (draft_cut(w->c, w->trial)) return walk_settle(w);
        if (m == 1) return false;
    }
}

static bool try_size(struct local_walk *w, int P, int D, int m) {
    const struct draft *d = w->d;
    return !(P == d->pipe.n_stage && D == d->D && m == d->plan.micro_batch_size) && try_like(w, d, P, D, m);
}

static int gpus_of(const struct draft *d) {
    int n = 0;
    for (int i = 0; i < d->pipe.n_stage; i++)
        for (int k = 0; k < d->pipe.stage[i].n_group; k++)
            n += d->pipe.stage[i].group[k].count * d->pipe.stage[i].group[k].tp;
    return n;
}

bool walk_redegree(struct local_walk *w) {
    for (int ti = 0; ti < TP_N && !walk_done(w); ti++) {
        bool changed = false;
        int before = gpus_of(w->d);
        draft_copy(w->other, w->d);
        for (int i = 0; i < w->other->pipe.n_stage; i++)
            for (int k = 0; k < w->other->pipe.stage[i].n_group; k++) {
                changed |= w->other->pipe.stage[i].group[k].tp != 1 << ti;
                w->other->pipe.stage[i].group[k].tp = 1 << ti;
            }
        if (!changed) continue;
        int P = (int)((long)w->d->pipe.n_stage * before / gpus_of(w->other));
        if (P < 1) P = 1;
        if (try_like(w, w->other, P, w->d->D, w->d->plan.micro_batch_size)) return true;
        for (int m = 1; m < w->d->plan.micro_batch_size && !walk_done(w); m *= 2)
            if (try_like(w, w->other, P, w->d->D, m)) return true;
    }
    return false;
}

bool walk_resize(struct local_walk *w) {
    bool any = false;
    int G = w->c->w->global_batch_size, m = w->d->plan.micro_batch_size, D = w->d->D,
        M = microbatches(G, (long)m * D), size[4] = {D - 1, D + 1, 0, 0};
    if (M > 1)
        size[2] = (G + m * (M - 1) - 1) / (m * (M - 1)); /* the least D of a microbatch fewer, or more */
    size[3] = (G + m * (M + 1) - 1) / (m * (M + 1));
    for (int k = 0; k < 4 && !walk_done(w); k++)
        any |= try_size(w, w->d->pipe.n_stage, size[k], w->d->plan.micro_batch_size);
    for (int x = 1; x <= 64 && !walk_done(w); x *= 2) {
        any |= try_size(w, w->d->pipe.n_stage, w->d->D, x);
        D = (int)((long)w->d->D * w->d->plan.micro_batch_size / x);
        if (!walk_done(w)) any |= try_size(w, w->d->pipe.n_stage, D, x);
    }
    return any;
}

bool walk_restage(struct local_walk *w) {
    enum { ROUNDS = 4 };
    for (int P = 1, most = 2 * w->d->pipe.n_stage + 1; P <= most && P <= w->c->L; P++) {
        int was = w->d->pipe.n_stage, m = w->d->plan.micro_batch_size, G = w->c->w->global_batch_size,
            D = (int)((long)w->d->D * was / P), M = microbatches(G, (long)m * (D > 0 ? D : 1)),
            step = 1 + M / 32;
        if (P == was) continue;
        if (P + 1 == was || P == was + 1)
            if (try_size(w, P, w->d->D, m)) return true;
        for (int k = 0; k < ROUNDS && M > 0 && !walk_done(w); k++, M -= step)
            if (try_size(w, P, (G + m * M - 1) / (m * M), m)) return true;
    }
    return false;
}

void walk_all_sizes(struct local_walk *w) {
    int m = w->d->plan.micro_batch_size, P = w->d->pipe.n_stage, G = w->c->w->global_batch_size;
    for (int M = microbatches(G, m); M > 0 && !walk_done(w);) {
        struct score s;
        int D = (G + m * M - 1) / (m * M), next = microbatches(G, (long)m * (D + 1));
        M = microbatches(G, (long)m * D);
        w->c->work++;
        if (!draft_refit(w->c, w->trial, w->d, P, D, m)) break;
        climb_judge(w->c, w->trial, &s);
        M = next < M ? next : M - 1;
    }
}
