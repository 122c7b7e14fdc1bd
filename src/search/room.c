#include "search/room.h"

#include "search/memo.h"

enum { CELLS_OF_MASK = 64 };

void room_init(struct room *m, const struct window_tables *t, struct arena *a) {
    const struct space *s = t->s;
    *m = (struct room){.t = t};
    if (s->p->without & BOUND_FULL || !s->merged_from || s->merged_from->n_cell > CELLS_OF_MASK) return;
    int K = 0;
    for (int k = 0; k < s->n_mb; k++) K = s->mb[k].n_class > K ? s->mb[k].n_class : K;
    m->mask = arena_alloc(a, sizeof *m->mask * (size_t)K * (size_t)s->n_range);
    m->filled = ARENA_ARRAY(a, unsigned, (size_t)K * (size_t)s->n_range);
    m->image = ARENA_ARRAY(a, uint64_t, s->n_cell);
    for (int c = 0; c < s->merged_from->n_cell; c++) m->image[s->image[c]] |= (uint64_t)1 << c;
}

void room_begin(struct room *m) {
    const struct window *w = &m->t->w;
    m->on = m->mask && m->t->u->D > 1 && w->y_hi < INFINITY;
    m->window++;
    for (int k = 0; k <= ROOM_LEVELS; k++)
        m->edge[k] = k == ROOM_LEVELS ? w->y_hi : w->y_lo + (w->y_hi - w->y_lo) * k / ROOM_LEVELS;
}

/* Cells in which two replicas of the stage may lie, by level. */
static const uint64_t *masks(struct room *m, const struct choice *c) {
    const struct unit *u = m->t->u;
    const struct space *s = m->t->s;
    int cls = u->mb->pattern[c->pattern].cls, R = s->n_range;
    int at = cls * R + s->range_of[c->first * (s->L + 1) + c->end];
    uint64_t *mask = m->mask[at];
    if (m->filled[at] == m->window) return mask;
    m->filled[at] = m->window;
    const struct stage_class *cl = &u->mb->cls[cls];
    for (int k = 0; k <= ROOM_LEVELS; k++) mask[k] = 0;
    for (int x = 0; x < s->merged_from->n_cell; x++) {
        if (!(cl->gpus >> s->merged_from->cell[x].gpu & 1)) continue;
        double t = unit_self_ring(u, x, cl->min_ti, c->first, c->end);
        for (int k = ROOM_LEVELS; k >= 0 && t <= m->edge[k]; k--) mask[k] |= (uint64_t)1 << x;
    }
    return mask;
}

/* The cells that hold a stage except for one replica in each other cell, and the least number of GPUs it
 * takes from them. */
static uint64_t home(struct room *m, const struct choice *c, int level, long *need) {
    const struct unit *u = m->t->u;
    const struct pattern *p = &u->mb->pattern[c->pattern];
    uint64_t may = 0, fast = masks(m, c)[level];
    for (int i = 0; i < p->n; i++) may |= m->image[p->cell[i]];
    long inside = u->D - __builtin_popcountll(may & ~fast);
    *need = inside > 0 ? inside << u->mb->cls[p->cls].min_ti : 0;
    return may & fast;
}

static long gpus_of(const struct room *m, uint64_t cells) {
    long sum = 0;
    for (; cells; cells &= cells - 1) sum += m->t->s->merged_from->cell[__builtin_ctzll(cells)].gpus;
    return sum;
}

/* For the home of every stage: do the stages whose homes lie in it need no more than it has? With
 * `last_only`, checks only homes that contain the last stage's: the others are known to suffice. */
static bool fits(struct room *m, const struct choice *stage, int n, int level, bool last_only) {
    uint64_t in[LAYERS_MAX];
    long need[LAYERS_MAX];
    for (int i = 0; i < n; i++) in[i] = home(m, &stage[i], level, &need[i]);
    for (int i = 0; i < n; i++) {
        if (last_only && in[n - 1] & ~in[i]) continue;
        bool seen = false;
        for (int k = 0; k < i && !seen; k++) seen = in[k] == in[i];
        if (seen) continue;
        long sum = 0;
        for (int k = 0; k < n; k++)
            if (!(in[k] & ~in[i])) sum += need[k];
        if (sum > gpus_of(m, in[i])) return false;
    }
    return true;
}

int room_level(struct room *m, const struct choice *stage, int n, int known) {
    int level = known;
    while (level <= ROOM_LEVELS && !fits(m, stage, n, level, level == known)) level++;
    return level;
}

uint64_t room_key(struct room *m, const struct choice *c) {
    const uint64_t *mask = masks(m, c);
    uint64_t key = 0;
    for (int k = 0; k <= ROOM_LEVELS; k++) key = memo_mix(key ^ mask[k]);
    return key;
}
