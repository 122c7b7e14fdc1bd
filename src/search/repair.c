#include "search/repair.h"

/* Stage i of `to` with D replicas: those of `from` as far as there is room, then more of the same cell, of
 * the same GPU types in its zones and elsewhere, then any. */

static int at_most(int a, int b) { return a < b ? a : b; }

static int keep_groups(struct climb *c, struct draft *to, const struct stage *from, int i, int left) {
    for (int k = 0; k < from->n_group && left > 0; k++) {
        const struct replicas *r = &from->group[k];
        int lot = c->lot_at[r->zone][r->gpu], n = at_most(r->count, left);
        if (lot < 0) continue;
        n = at_most(n, draft_room(c, to, lot, tp_index(r->tp)));
        if (n > 0 && draft_add(to, i, r->zone, r->gpu, r->tp, n)) left -= n;
    }
    return left;
}

enum near { SAME_LOT, SAME_ZONE, SAME_TYPE, ANY_TYPE, NEARS };

static enum near nearness(const struct stage *from, const struct lot *l, int ti) {
    enum near near = ANY_TYPE;
    bool zone = false;
    for (int k = 0; k < from->n_group; k++) {
        const struct replicas *r = &from->group[k];
        zone |= r->zone == l->zone;
        if (r->gpu != l->gpu || r->tp != 1 << ti) continue;
        if (r->zone == l->zone) return SAME_LOT;
        near = SAME_TYPE;
    }
    return near == SAME_TYPE && zone ? SAME_ZONE : near;
}

/* More replicas on lots as near as that to those that `from` has, at its degree for their type if it has one.
 */
static int add_groups(struct climb *c, struct draft *to, const struct stage *from, int i, int left,
                      enum near near) {
    for (int lot = 0; lot < c->n_lot; lot++)
        for (int ti = 0; ti < TP_N && left > 0; ti++) {
            const struct lot *l = &c->lot[lot];
            enum near is = nearness(from, l, ti);
            if ((is != near && near != ANY_TYPE) || !climb_kind(c, l->gpu, ti, to->plan.micro_batch_size))
                continue;
            int n = at_most(left, draft_room(c, to, lot, ti));
            if (n > 0 && draft_add(to, i, l->zone, l->gpu, 1 << ti, n)) left -= n;
        }
    return left;
}

bool draft_refit(struct climb *c, struct draft *to, const struct draft *from, int P, int D, int m) {
    int left[LAYERS_MAX];
    const struct stage *like[LAYERS_MAX];
    draft_copy(to, from);
    to->D = D;
    to->plan.micro_batch_size = m;
    to->pipe.n_stage = P;
    for (int i = 0; i < P; i++) {
        like[i] = &from->pipe.stage[i * from->pipe.n_stage / P];
        to->pipe.stage[i].n_group = 0;
    }
    for (int i = 0; i < P; i++) left[i] = keep_groups(c, to, like[i], i, D);
    for (int near = 0; near < NEARS; near++)
        for (int i = 0; i < P; i++)
            if (left[i]) left[i] = add_groups(c, to, like[i], i, left[i], (enum near)near);
    for (int i = 0; i < P; i++)
        if (left[i]) return false;
    return true;
}

bool repair(struct climb *c, struct draft *d) {
    enum {
        SIZES = 12
    }; /* that are tried from the largest that fits on: fewer replicas can mean fewer rounds */
    struct draft trial = draft_new(c), best = draft_new(c);
    struct score score, best_score = {INFINITY, INFINITY};
    int tried = 0;
    for (int D = d->D; D > 0 && tried < SIZES && !climb_over(c); D -= tried ? 1 : 1 + D / 64) {
        c->work++;
        if (!draft_refit(c, &trial, d, d->pipe.n_stage, D, d->plan.micro_batch_size) ||
            !climb_judge(c, &trial, &score))
            continue;
        tried++;
        if (!score_better(score, best_score)) continue;
        best_score = score;
        draft_copy(&best, &trial);
    }
    if (tried) draft_copy(d, &best);
    return tried > 0;
}
