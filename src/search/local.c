/* Each kind of move is tried at all its places; the first change for the better is taken at once. The order
 * of moves is fixed, so the way is the same everywhere. */
#include "search/local.h"

#include <string.h>

#include "search/walk.h"

bool walk_done(const struct local_walk *w) { return w->c->work >= w->until || climb_over(w->c); }

/* The trial is a copy of where we are; stage i of it. */
static struct stage *begin(struct local_walk *w, int i) {
    draft_copy(w->trial, w->d);
    return &w->trial->pipe.stage[i];
}

bool walk_settle(struct local_walk *w) {
    struct score s;
    if (!climb_judge(w->c, w->trial, &s) || !score_better(s, w->score)) return false;
    w->score = s;
    struct draft *t = w->d;
    w->d = w->trial;
    w->trial = t;
    return true;
}

/* ---- moves -------------------------------------------------------------------------- */

static bool move_cuts(struct local_walk *w) {
    static const int by[] = {1, -1, 2, -2, 4, -4};
    bool any = false;
    for (int i = 0; i + 1 < w->d->pipe.n_stage; i++)
        for (size_t k = 0; k < sizeof by / sizeof *by && !walk_done(w); k++) {
            struct stage *st = begin(w, i);
            int cut = st->end + by[k];
            if (cut <= st->first || cut >= st[1].end) continue;
            st->end = st[1].first = cut;
            any |= walk_settle(w);
        }
    /* a layer from stage i to stage j: all cuts between them move */
    for (int i = 0; i < w->d->pipe.n_stage; i++)
        for (int j = 0; j < w->d->pipe.n_stage && !walk_done(w); j++) {
            if (j - i < 2 && i - j < 2) continue;
            struct stage *st = begin(w, 0);
            int step = i < j ? -1 : 1, lo = i < j ? i : j, hi = i < j ? j : i;
            for (int k = lo; k < hi; k++) {
                st[k].end += step;
                st[k + 1].first += step;
            }
            if (st[i].end > st[i].first) any |= walk_settle(w);
        }
    return any;
}

void stage_set_degree(struct stage *st, int gpu, int tp) {
    for (int k = 0; k < st->n_group; k++)
        if (st->group[k].gpu == gpu) st->group[k].tp = tp;
}

static bool change_degrees(struct local_walk *w) {
    bool any = false;
    for (int i = 0; i < w->d->pipe.n_stage; i++)
        for (int k = 0; k < w->d->pipe.stage[i].n_group; k++)
            for (int ti = 0; ti < TP_N && !walk_done(w); ti++) {
                struct stage *st = begin(w, i);
                if (k >= st->n_group || st->group[k].tp == 1 << ti) continue;
                stage_set_degree(st, st->group[k].gpu, 1 << ti);
                any |= walk_settle_cut(w);
            }
    for (int g = 0; g < GPUS_MAX; g++) /* in all stages */
        for (int ti = 0; ti < TP_N && !walk_done(w); ti++) {
            struct stage *st = begin(w, 0);
            bool moved = false;
            for (int i = 0; i < w->d->pipe.n_stage; i++)
                for (int k = 0; k < st[i].n_group; k++) {
                    if (st[i].group[k].gpu != g || st[i].group[k].tp == 1 << ti) continue;
                    st[i].group[k].tp = 1 << ti;
                    moved = true;
                }
            if (moved) any |= walk_settle_cut(w);
        }
    return any;
}

void stage_drop(struct stage *st, int k, int n) {
    st->group[k].count -= n;
    if (st->group[k].count > 0) return;
    st->n_group--;
    memmove(st->group + k, st->group + k + 1, sizeof *st->group * (size_t)(st->n_group - k));
}

int stage_degree(const struct stage *st, int gpu) {
    for (int k = 0; k < st->n_group; k++)
        if (st->group[k].gpu == gpu) return tp_index(st->group[k].tp);
    return -1;
}

/* Take n replicas of group k of stage i to another lot, as far as they have room there. */
static bool relocate(struct local_walk *w, int i, int k, int lot, int ti, int n) {
    struct stage *st = begin(w, i);
    const struct lot *l = &w->c->lot[lot];
    stage_drop(st, k, n);
    if (draft_room(w->c, w->trial, lot, ti) < n || !draft_add(w->trial, i, l->zone, l->gpu, 1 << ti, n))
        return false;
    return walk_settle_cut(w);
}

static bool move_replicas(struct local_walk *w) {
    bool any = false;
    for (int i = 0; i < w->d->pipe.n_stage; i++)
        for (int k = 0; k < w->d->pipe.stage[i].n_group; k++)
            for (int lot = 0; lot < w->c->n_lot && !walk_done(w); lot++)
                for (int ti = 0; ti < TP_N && k < w->d->pipe.stage[i].n_group; ti++) {
                    const struct stage *st = &w->d->pipe.stage[i];
                    const struct replicas *r = &st->group[k];
                    const struct lot *l = &w->c->lot[lot];
                    if (r->zone == l->zone && r->gpu == l->gpu) break;
                    int own = stage_degree(st, l->gpu), n = r->count;
                    if ((own >= 0 && own != ti) || !climb_kind(w->c, l->gpu, ti, w->d->plan.micro_batch_size))
                        continue;
                    int room = draft_room(w->c, w->d, lot, ti);
                    if (room >= n && relocate(w, i, k, lot, ti, n)) {
                        any = true;
                        break;
                    }
                    if (n > 1 && room > 0) {
                        int some = room < n ? room : n / 2;
                        if (relocate(w, i, k, lot, ti, some)) {
                            any = true;
                            break;
                        }
                    }
                }
    return any;
}

bool walk_swap(struct local_walk *w, int i, int j) {
    struct replicas keep[PARTS_MAX];
    struct stage *st = w->trial->pipe.stage;
    int n = st[i].n_group;
    if (n == st[j].n_group && !memcmp(st[i].group, st[j].group, sizeof *keep * (size_t)n)) return false;
    memcpy(keep, st[i].group, sizeof *keep * (size_t)n);
    memcpy(st[i].group, st[j].group, sizeof *keep * (size_t)st[j].n_group);
    memcpy(st[j].group, keep, sizeof *keep * (size_t)n);
    st[i].n_group = st[j].n_group;
    st[j].n_group = n;
    return true;
}

/* The places of two stages, or of two zones throughout. */
static bool swap_places(struct local_walk *w) {
    bool any = false;
    for (int i = 0; i < w->d->pipe.n_stage; i++)
        for (int j = i + 1; j < w->d->pipe.n_stage && !walk_done(w); j++) {
            begin(w, 0);
            any |= walk_swap(w, i, j) && walk_settle_cut(w);
        }
    for (int y = 0; y < ZONES_MAX; y++)
        for (int z = 0; z < ZONES_MAX && !walk_done(w); z++) {
            if (y == z) continue;
            struct stage *st = begin(w, 0);
            bool moved = false;
            for (int i = 0; i < w->d->pipe.n_stage; i++)
                for (int k = 0; k < st[i].n_group; k++) {
                    struct replicas *r = &st[i].group[k];
                    if (r->zone != y && (y > z || r->zone != z)) continue;
                    moved |= r->zone == y;
                    r->zone = r->zone == y ? z : y;
                }
            if (!moved) continue;
            if (y < z) { /* they change places, in the order too */
                int t = w->trial->rank[y];
                w->trial->rank[y] = w->trial->rank[z];
                w->trial->rank[z] = t;
                any |= walk_settle(w);
                continue;
            }
            bool ordered = true; /* all of y to z: only if no list names both */
            for (int i = 0; i < w->d->pipe.n_stage; i++)
                for (int k = 0; k + 1 < st[i].n_group; k++) {
                    const struct replicas *r = &st[i].group[k];
                    ordered &= w->trial->rank[r[0].zone] < w->trial->rank[r[1].zone] ||
                               (r[0].zone == r[1].zone && r[0].gpu < r[1].gpu);
                }
            if (ordered) any |= walk_settle(w);
        }
    return any;
}

static int by_rank(const int *rank, const struct replicas *a, const struct replicas *b) {
    return rank[a->zone] != rank[b->zone] ? rank[a->zone] - rank[b->zone] : a->gpu - b->gpu;
}

void draft_sort(struct draft *d) {
    for (int i = 0; i < d->pipe.n_stage; i++) {
        struct stage *st = &d->pipe.stage[i];
        for (int k = 1; k < st->n_group; k++)
            for (int q = k; q > 0 && by_rank(d->rank, &st->group[q], &st->group[q - 1]) < 0; q--) {
                struct replicas t = st->group[q];
                st->group[q] = st->group[q - 1];
                st->group[q - 1] = t;
            }
    }
}

static bool swap_zones_in_order(struct local_walk *w) {
    bool any = false;
    unsigned used = 0;
    for (int i = 0; i < w->d->pipe.n_stage; i++)
        for (int k = 0; k < w->d->pipe.stage[i].n_group; k++) used |= 1u << w->d->pipe.stage[i].group[k].zone;
    if (!(used & (used - 1))) return false;
    for (int y = 0; y < ZONES_MAX; y++)
        for (int z = y + 1; z < ZONES_MAX && !walk_done(w); z++) {
            if (!(used >> y & used >> z & 1)) continue;
            begin(w, 0);
            int t = w->trial->rank[y];
            w->trial->rank[y] = w->trial->rank[z];
            w->trial->rank[z] = t;
            draft_sort(w->trial);
            any |= walk_settle(w);
        }
    return any;
}

void walk_merge(struct local_walk *w, int i, int keep) {
    struct stage *st = &w->trial->pipe.stage[i];
    struct stage gone = st[1 - keep], kept = st[keep];
    kept.first = st[0].first;
    kept.end = st[1].end;
    for (int k = 1; i + k + 1 < w->trial->pipe.n_stage; k++) st[k] = st[k + 1];
    st[0] = kept;
    w->trial->pipe.stage[--w->trial->pipe.n_stage] = gone; /* its room stays */
}

bool walk_split(struct local_walk *w, int i) {
    struct stage *st = &w->trial->pipe.stage[i];
    int behind = w->trial->pipe.n_stage - i;
    if (st->end - st->first < 2 || w->trial->pipe.n_stage == w->c->L) return false;
    struct stage spare = st[behind];
    w->trial->pipe.n_stage++;
    for (int k = behind; k > 1; k--) st[k] = st[k - 1];
    st[1] = spare;
    st[1].n_group = 0;
    st[1].end = st->end;
    st->end = st[1].first = (st->first + st->end + 1) / 2;
    return true;
}

/* Stage i with the one behind it, on the replicas of either; or stage i in two, on free replicas. */
static bool merge_and_split(struct local_walk *w) {
    bool any = false;
    for (int i = 0; i + 1 < w->d->pipe.n_stage; i++)
        for (int keep = 0; keep < 2 && i + 1 < w->d->pipe.n_stage && !walk_done(w); keep++) {
            begin(w, i);
            walk_merge(w, i, keep);
            any |= walk_settle_cut(w);
        }
    for (int i = 0; i < w->d->pipe.n_stage && w->d->pipe.n_stage < w->c->L; i++)
        for (int lot = 0; lot < w->c->n_lot && !walk_done(w); lot++)
            for (int ti = 0; ti < TP_N; ti++) {
                if (!climb_kind(w->c, w->c->lot[lot].gpu, ti, w->d->plan.micro_batch_size) ||
                    draft_room(w->c, w->d, lot, ti) < w->d->D)
                    continue;
                begin(w, i);
                if (walk_split(w, i) &&
                    draft_add(w->trial, i + 1, w->c->lot[lot].zone, w->c->lot[lot].gpu, 1 << ti, w->d->D))
                    any |= walk_settle_cut(w);
            }
    return any;
}

/* ---- the way ------------------------------------------------------------------------ */

/* What costs little and changes much comes first, the rest only where that leads nowhere. */
static void descend(struct local_walk *w) {
    static bool (*const move[])(struct local_walk * w) = {
        move_cuts,           walk_resize,     change_degrees, move_replicas, swap_places,
        swap_zones_in_order, merge_and_split, walk_redegree,  walk_restage,
    };
    for (size_t k = 0; k < sizeof move / sizeof *move && !walk_done(w);) k = move[k](w) && k ? 0 : k + 1;
}

int walk_draw(struct local_walk *w, int n) {
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    return (int)((w->random >> 33) % (uint64_t)n);
}

/* A random change of a random stage in w->trial; false: not possible there. */
static bool disturb(struct local_walk *w) {
    int P = w->d->pipe.n_stage, i = walk_draw(w, P), lot = walk_draw(w, w->c->n_lot),
        by = 1 + walk_draw(w, 3);
    struct stage *st = begin(w, i);
    switch (walk_draw(w, 3)) {
    case 0: /* a cut */
        if (i + 1 == P) return false;
        st->end = st[1].first = walk_draw(w, 2) ? st->end + by : st->end - by;
        return st->end > st->first && st[1].end > st[1].first;
    case 1: { /* some replicas to another lot */
        int k = walk_draw(w, st->n_group), n = 1 + walk_draw(w, st->group[k].count), own;
        const struct lot *l = &w->c->lot[lot];
        stage_drop(st, k, n);
        own = stage_degree(st, l->gpu);
        return draft_add(w->trial, i, l->zone, l->gpu, own < 0 ? 1 << walk_draw(w, TP_N) : 1 << own, n);
    }
    default: { /* a degree */
        int k = walk_draw(w, st->n_group);
        stage_set_degree(st, st->group[k].gpu, 1 << walk_draw(w, TP_N));
        return true;
    }
    }
}

/* Two changes, for better or worse. */
static void kick(struct local_walk *w) {
    for (int changed = 0, tries = 0; changed < 2 && tries < 60; tries++) {
        struct score s;
        if (!disturb(w) || !climb_judge(w->c, w->trial, &s) || s.main > 1.3 * w->score.main) continue;
        struct draft *t = w->d;
        w->d = w->trial;
        w->trial = t;
        w->score = s;
        changed++;
    }
}

void local_search(struct climb *c, struct draft *d, uint64_t work, enum wandering by) {
    struct draft a = draft_new(c), b = draft_new(c), other = draft_new(c);
    struct local_walk w = {
        .c = c, .d = &a, .trial = &b, .other = &other, .until = c->work + work, .random = 1 + c->draw};
    struct score best;
    draft_copy(&a, d);
    if (!climb_judge(c, &a, &w.score)) return;
    if (c->p->objective == OBJECTIVE_FRONTIER) walk_all_sizes(&w);
    descend(&w);
    draft_copy(d, w.d);
    best = w.score;
    if (by == WANDER_ANNEAL && w.until > c->work) {
        walk_anneal(&w, (w.until - c->work) / 16 * 15, d, &best);
        draft_copy(w.d, d);
        w.score = best;
        descend(&w);
    }
    while (by != WANDER_NOT && !walk_done(&w)) {
        c->work++; /* so that it ends, whatever the kicks do */
        kick(&w);
        descend(&w);
        if (score_better(w.score, best)) {
            best = w.score;
            draft_copy(d, w.d);
        } else {
            w.score = best;
            draft_copy(w.d, d);
        }
    }
}
