/* Random changes, those for the worse taken less and less often: where replicas change places among zones,
 * and sizes and types change together, each single step to a better plan is one to a worse one. */
#include "search/repair.h"
#include "search/walk.h"
#include "sim/terms.h"

enum { DEGREES = 3 }; /* drawn among; more than 4 are rarely good in stages of few layers */

static struct stage *stage_of(struct local_walk *w, int i) { return &w->trial->pipe.stage[i]; }

static int degree_for(struct local_walk *w, int i, int gpu) {
    int ti = stage_degree(stage_of(w, i), gpu);
    return ti < 0 ? walk_draw(w, DEGREES) : ti;
}

/* As many replicas of stage i on that lot as it has room for. How many. */
static int settle_on(struct local_walk *w, int i, int lot, int ti, int most) {
    const struct lot *l = &w->c->lot[lot];
    if (most <= 0 || !climb_kind(w->c, l->gpu, ti, w->trial->plan.micro_batch_size)) return 0;
    int room = draft_room(w->c, w->trial, lot, ti), n = room < most ? room : most;
    return n > 0 && draft_add(w->trial, i, l->zone, l->gpu, 1 << ti, n) ? n : 0;
}

/* The replicas that stage i is short of. */
static bool scatter(struct local_walk *w, int i, int left) {
    enum { TRIES = 20 };
    for (int k = 0; k < TRIES && left > 0; k++) {
        int lot = walk_draw(w, w->c->n_lot);
        left -= settle_on(w, i, lot, degree_for(w, i, w->c->lot[lot].gpu), left);
    }
    return left == 0;
}

static bool shift_cut(struct local_walk *w, int i) {
    struct stage *st = stage_of(w, i);
    int by = 1 + walk_draw(w, 2);
    if (i + 1 == w->trial->pipe.n_stage) return false;
    if (walk_draw(w, 2)) by = -by;
    st->end += by;
    st[1].first += by;
    return st->end > st->first && st[1].end > st[1].first;
}

/* A layer from stage i to stage j. */
static bool shift_layer(struct local_walk *w, int i, int j) {
    struct stage *st = stage_of(w, 0);
    int step = i < j ? -1 : 1, lo = i < j ? i : j, hi = i < j ? j : i;
    for (int k = lo; k < hi; k++) {
        st[k].end += step;
        st[k + 1].first += step;
    }
    return i != j && st[i].end > st[i].first;
}

/* Replicas of stage i to another lot; if they have no room there, in exchange for those of stage j. */
static bool exchange(struct local_walk *w, int i, int j) {
    struct stage *st = stage_of(w, i), *sj = stage_of(w, j);
    int k = walk_draw(w, st->n_group), lot = walk_draw(w, w->c->n_lot), at = 0;
    const struct replicas r = st->group[k];
    const struct lot *l = &w->c->lot[lot];
    int n = walk_draw(w, 2) ? r.count : 1 + walk_draw(w, r.count);
    if (l->zone == r.zone && l->gpu == r.gpu) return false;
    stage_drop(st, k, n);
    int ti = stage_degree(st, l->gpu);
    if (ti < 0) ti = l->gpu == r.gpu && walk_draw(w, 4) ? tp_index(r.tp) : walk_draw(w, DEGREES);
    if (draft_room(w->c, w->trial, lot, ti) >= n) return settle_on(w, i, lot, ti, n) == n;
    while (at < sj->n_group && (sj->group[at].zone != l->zone || sj->group[at].gpu != l->gpu)) at++;
    if (i == j || at == sj->n_group) return false;
    int tj = tp_index(sj->group[at].tp), m = sj->group[at].count < n ? sj->group[at].count : n;
    stage_drop(sj, at, m);
    int moved = settle_on(w, i, lot, ti, n);
    if (!moved || (moved < n && !draft_add(w->trial, i, r.zone, r.gpu, r.tp, n - moved))) return false;
    int back = stage_degree(sj, r.gpu);
    if (back < 0) back = r.gpu == l->gpu ? tj : walk_draw(w, DEGREES);
    m -= settle_on(w, j, w->c->lot_at[r.zone][r.gpu], back, m);
    return scatter(w, j, m);
}

static bool rebuild(struct local_walk *w, int i, int j) {
    stage_of(w, i)->n_group = stage_of(w, j)->n_group = 0;
    return scatter(w, i, w->trial->D) && (i == j || scatter(w, j, w->trial->D));
}

/* Of another number of microbatches the least D, with as many stages, one more or fewer, or as many GPUs. */
static bool resize(struct local_walk *w) {
    int G = w->c->w->global_batch_size, m = w->d->plan.micro_batch_size, P = w->d->pipe.n_stage, D = w->d->D;
    int M = microbatches(G, (long)m * D), by = 1 + walk_draw(w, 2);
    switch (walk_draw(w, 4)) {
    case 0:
        m = walk_draw(w, 2) ? 2 * m : m / 2;
        break;
    case 1:
        M = walk_draw(w, 2) ? 2 * M : M / 2;
        break;
    default:
        M = walk_draw(w, 2) ? M + by : M - by;
    }
    if (m < 1 || M < 1) return false;
    int next = (G + m * M - 1) / (m * M), like = (int)(((long)P * D + next / 2) / next);
    int stages[] = {P, P + 1, P - 1, like, like};
    P = stages[walk_draw(w, 5)];
    if (P < 1 || P > w->c->L) return false;
    return draft_refit(w->c, w->trial, w->d, P, next, m) &&
           (P == w->d->pipe.n_stage || draft_cut(w->c, w->trial));
}

static bool merge_or_split(struct local_walk *w, int i) {
    if (walk_draw(w, 2)) {
        if (i + 1 == w->d->pipe.n_stage) return false;
        walk_merge(w, i, walk_draw(w, 2));
        return true;
    }
    return walk_split(w, i) && scatter(w, i + 1, w->trial->D);
}

static bool swap_ranks(struct local_walk *w) {
    int y = w->c->lot[walk_draw(w, w->c->n_lot)].zone, z = w->c->lot[walk_draw(w, w->c->n_lot)].zone;
    int t = w->trial->rank[y];
    w->trial->rank[y] = w->trial->rank[z];
    w->trial->rank[z] = t;
    draft_sort(w->trial);
    return y != z;
}

static bool set_some_degree(struct local_walk *w, int i) {
    struct stage *st = stage_of(w, i);
    stage_set_degree(st, st->group[walk_draw(w, st->n_group)].gpu, 1 << walk_draw(w, DEGREES));
    return true;
}

/* A change in w->trial; false: not possible there. Half of those that change stages get cuts that suit them.
 */
static bool change(struct local_walk *w) {
    enum {
        CUT,
        CUT_AGAIN,
        LAYER,
        RANKS,
        EXCHANGE,
        SWAP,
        DEGREE,
        REBUILD,
        REBUILD_TWO,
        SIZE,
        STAGES,
        CHANGES
    };
    int P = w->d->pipe.n_stage, i = walk_draw(w, P), j = walk_draw(w, P), what = walk_draw(w, CHANGES);
    bool ok = false;
    draft_copy(w->trial, w->d);
    switch (what) {
    case CUT:
    case CUT_AGAIN:
        ok = shift_cut(w, i);
        break;
    case LAYER:
        ok = shift_layer(w, i, j);
        break;
    case RANKS:
        ok = swap_ranks(w);
        break;
    case EXCHANGE:
        ok = exchange(w, i, j);
        break;
    case SWAP:
        ok = walk_swap(w, i, j);
        break;
    case DEGREE:
        ok = set_some_degree(w, i);
        break;
    case REBUILD:
        ok = rebuild(w, i, i);
        break;
    case REBUILD_TWO:
        ok = rebuild(w, i, j);
        break;
    case SIZE:
        ok = resize(w);
        break;
    default:
        ok = merge_or_split(w, i);
    }
    return ok && (what <= RANKS || walk_draw(w, 2) || draft_cut(w->c, w->trial));
}

/* Exponentially distributed, with mean 1 / ln 2, near enough and without a library that may round in its own
 * way: the number of leading zeros of a random number, and for its digits a straight line. */
static double draw_patience(struct local_walk *w) {
    double u = (walk_draw(w, 1 << 30) + 1.0) / (1 << 30), n = 0;
    for (; u < 0.5; u *= 2) n++;
    return n + 2 * (1 - u);
}

void walk_anneal(struct local_walk *w, uint64_t work, struct draft *best, struct score *best_score) {
    const double WARM = 0.03; /* what a change may cost at first, as a share of the score */
    enum { HALVINGS = 7 };
    uint64_t begun = w->c->work, end = begun + work;
    if (end > w->until) end = w->until;
    while (w->c->work < end && !walk_done(w)) {
        struct score s;
        w->c->work++; /* so that it ends, whatever the changes do */
        double age = (double)(w->c->work - begun) * HALVINGS / (double)(end - begun), warm = WARM;
        for (; age >= 1; age--) warm /= 2;
        warm *= 1 - age / 2;
        if (!change(w) || !climb_judge(w->c, w->trial, &s)) continue;
        if (s.main > w->score.main * (1 + warm * draw_patience(w))) continue;
        struct draft *t = w->d;
        w->d = w->trial;
        w->trial = t;
        w->score = s;
        if (!score_better(s, *best_score)) continue;
        *best_score = s;
        draft_copy(best, w->d);
    }
}
