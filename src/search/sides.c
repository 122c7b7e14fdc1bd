#include "search/sides.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/oom.h"

enum { CELLS = 1500 }; /* of the levels of both sides */

void sides_init(struct sides *x, struct window_tables *t, struct arena *a) {
    int K = 0;
    for (int k = 0; k < t->s->n_mb; k++) K = t->s->mb[k].n_class > K ? t->s->mb[k].n_class : K;
    *x = (struct sides){.t = t, .apart = ARENA_ARRAY(a, double, SIDES *K *t->s->L + 1)};
}

void sides_free(struct sides *x) {
    for (int k = 0; k < SIDE_TABLES; k++) free(x->table[k].sum);
}

static int side_of_cell(const struct sides *x, int cell) { return x->t->s->cell[cell].region != x->home; }

/* Least transfer of one size from a kind on this side to any on the other. */
static double kind_apart(const struct sides *x, const struct mb_space *mb, int size, int side, int gpu,
                         int ti) {
    const struct space *s = x->t->s;
    size_t q = (size_t)s->n_cell * TP_N;
    double best = INFINITY;
    for (int c = 0; c < s->n_cell; c++) {
        if (s->cell[c].gpu != gpu || side_of_cell(x, c) != side) continue;
        const double *row = &mb->kind_time[((size_t)size * q + (size_t)(c * TP_N + ti)) * q];
        for (size_t y = 0; y < q; y++)
            if (side_of_cell(x, (int)(y / TP_N)) != side) best = fmin(best, row[y]);
    }
    return best;
}

/* If neighbours lie on different sides, each replica of one has its partner on the other. */
static void build_apart(struct sides *x) {
    const struct space *s = x->t->s;
    const struct mb_space *mb = x->mb = x->t->mb;
    int L = s->L, K = mb->n_class;
    for (int size = 0; size < mb->n_size; size++)
        for (int side = 0; side < SIDES; side++) {
            double kind[GPUS_MAX][TP_N];
            for (int g = 0; g < GPUS_MAX; g++)
                for (int ti = 0; ti < TP_N; ti++) kind[g][ti] = kind_apart(x, mb, size, side, g, ti);
            for (int c = 0; c < K; c++) {
                double t = 0;
                for (int g = 0; g < GPUS_MAX; g++)
                    if (!mb->cls[c].rest && mb->cls[c].gpus >> g & 1) t = fmax(t, kind[g][mb->cls[c].ti[g]]);
                for (int l = 0; l < L; l++)
                    if (mb->size_of[l] == size)
                        x->apart[(side * K + c) * L + l] =
                            mb->cls[c].rest ? mb->cross[c * L + l] : fmax(0, t - mb->act_min[c * L + l]);
            }
        }
}

/* The region whose GPUs are fastest together: the same for all units of a microbatch, as `apart` is. */
static int largest_region(const struct sides *x) {
    const struct space *s = x->t->s;
    double weight[ZONES_MAX] = {0};
    int best = 0;
    for (int c = 0; c < s->n_cell; c++)
        weight[s->cell[c].region] += s->cell[c].gpus * x->t->mb->speed[s->cell[c].gpu];
    for (int r = 1; r < s->n_region; r++)
        if (weight[r] > weight[best]) best = r;
    return best;
}

bool side_has(const struct sides *x, int side, int cls, int first, int end) {
    const struct window_tables *t = x->t;
    for (int r = 0; r < t->s->n_region; r++)
        if ((r != x->home) == side && unit_sync_min(t->u, r, cls, first, end) <= t->w.y_hi) return true;
    return false;
}

/* May an all-reduce of the window cross regions? */
static bool stages_span(const struct window_tables *t) {
    int n;
    for (int e = 1; e <= t->s->L; e++)
        for (int i = 0; i < e && t->min_depth[e] <= t->s->L; i++) {
            const struct allowed *w = window_allowed(t, i, e, &n);
            for (int k = 0; k < n; k++)
                if (unit_sync_min(t->u, t->s->n_region, w[k].cls, i, e) <= t->w.y_hi) return true;
        }
    return false;
}

static void set_levels(const struct sides *x, struct side_table *f) {
    const struct space *s = x->t->s;
    const struct surrogate *q = &x->t->surrogate[f->k];
    f->cap[0] = f->cap[1] = 0;
    for (int c = 0; c < s->n_cell; c++)
        f->cap[side_of_cell(x, c)] += s->cell[c].gpus * q->weight[s->cell[c].gpu];
    f->level = q->level;
    for (;; f->level *= 2) {
        double n = 1, top[SIDES];
        for (int side = 0; side < SIDES; side++) {
            top[side] = f->level > 0 ? floor(f->cap[side] / f->level + 1e-6) : 0;
            n *= top[side] + 1;
        }
        if (n > CELLS) continue;
        for (int side = 0; side < SIDES; side++) f->top[side] = (int)top[side];
        f->n = (size_t)n;
        return;
    }
}

/* What covers the layers before l. */
static double *at(const struct side_table *f, int l, int changed, int last, int next) {
    return f->sum +
           ((((size_t)l * 2 + (size_t)changed) * SIDES + (size_t)last) * SIDES + (size_t)next) * f->n;
}

static void relax(struct sides *x, const struct side_table *f, double *to, const double *from, int side,
                  int level, double time_s) {
    int row = f->top[1] + 1;
    x->work += f->n;
    if (side == 0) {
        window_relax(to + level * row, from, (f->top[0] + 1 - level) * row, time_s);
        return;
    }
    for (int r = 0; r <= f->top[0]; r++)
        window_relax(to + r * row + level, from + r * row, row - level, time_s);
}

struct way {
    int level;
    double time_s;
};

/* Ways to run [i, e) on one side, behind a stage on side p and in front of one on side n: the cheapest first,
 * each faster than the one before. */
static int list_ways(const struct sides *x, const struct side_table *f, int i, int e, int side, int p, int n,
                     const bool *has, const int *level, const int *order, struct way *out) {
    const struct window_tables *t = x->t;
    int n_allowed, K = t->mb->n_class, m = 0;
    const struct allowed *w = window_allowed(t, i, e, &n_allowed);
    double weight[K], best = t->w.x_hi * (1 + 1e-12);
    for (int c = 0; c < K; c++) weight[c] = INFINITY;
    for (int k = 0; k < n_allowed; k++) {
        int c = w[k].cls;
        if (has[k])
            weight[c] = w[k].weight + (i > 0 && p != side ? side_excess(x, side, c, i) : 0) +
                        (e < t->s->L && n != side ? side_excess(x, side, c, e - 1) : 0);
    }
    for (int k = 0; k < K; k++) {
        int c = order[k];
        if (level[c] > f->top[side] || !(weight[c] < best)) continue;
        best = weight[c];
        out[m++] = (struct way){level[c], best};
    }
    return m;
}

/* All stages [i, e) on one side. */
static void add_stages(struct sides *x, const struct side_table *f, int i, int e, int side, const int *level,
                       const int *order, const double *zero) {
    int n_allowed, L = x->t->s->L, K = x->t->mb->n_class;
    const struct allowed *w = window_allowed(x->t, i, e, &n_allowed);
    bool has[K], any = false;
    struct way way[K];
    for (int k = 0; k < n_allowed; k++) any |= has[k] = side_has(x, side, w[k].cls, i, e);
    if (!any) return;
    for (int p = 0; p < (i > 0 ? SIDES : 1); p++)
        for (int n = 0; n < (e < L ? SIDES : 1); n++) {
            int m = list_ways(x, f, i, e, side, p, n, has, level, order, way);
            for (int before = 0; before < (i > 0 ? 2 : 1); before++) {
                const double *from = i > 0 ? at(f, i, before, p, side) : zero;
                double *to = at(f, e, before || (i > 0 && p != side), side, n);
                if (!(from[f->n - 1] < INFINITY)) continue; /* nor less room */
                for (int k = 0; k < m; k++) relax(x, f, to, from, side, way[k].level, way[k].time_s);
            }
        }
}

static void by_level(const int *level, int K, int *order) {
    for (int c = 0; c < K; c++) {
        int k = c;
        for (; k > 0 && level[order[k - 1]] > level[c]; k--) order[k] = order[k - 1];
        order[k] = c;
    }
}

/* Returns the least sum of all layers. */
static double build_table(struct sides *x, struct side_table *f) {
    struct window_tables *t = x->t;
    const struct surrogate *q = &t->surrogate[f->k];
    int L = t->s->L, K = t->mb->n_class, level[K], order[K];
    set_levels(x, f);
    size_t need = ((size_t)L + 1) * 2 * SIDES * SIDES * f->n + f->n;
    if (need > f->room) {
        free(f->sum);
        f->sum = oom_malloc(sizeof *f->sum * need);
        f->room = need;
    }
    for (size_t k = 0; k < need; k++) f->sum[k] = INFINITY;
    double *zero = f->sum + need - f->n;
    for (size_t k = 0; k < f->n; k++) zero[k] = 0;
    double exact = q->whole && fmod(f->level, t->u->D) == 0 ? 1 : 1 - 1e-9;
    for (int c = 0; c < K; c++) {
        double least = f->level > 0 ? floor(q->class_cost[c] / f->level * exact) : 0;
        level[c] = least > CELLS ? CELLS : (int)least;
    }
    by_level(level, K, order);
    for (int e = 1; e <= L; e++) {
        if (t->min_depth[e] > L) continue;
        if (window_stopped(t)) return INFINITY;
        for (int i = 0; i < e; i++)
            for (int side = 0; side < SIDES; side++) add_stages(x, f, i, e, side, level, order, zero);
    }
    double least = INFINITY;
    for (int side = 0; side < SIDES; side++) {
        least = fmin(least, at(f, L, 1, side, 0)[f->n - 1]);
        if (side == 1 && t->s->n_region > 2) least = fmin(least, at(f, L, 0, 1, 0)[f->n - 1]);
    }
    return least;
}

bool sides_build(struct sides *x, double *sum) {
    struct window_tables *t = x->t;
    x->on = false;
    if (!scope_is_crossing(t->s, t->w.scope) || t->s->n_region < 2 || stages_span(t)) return false;
    x->home = largest_region(x);
    if (x->mb != t->mb) build_apart(x);
    x->n_table = t->n_blend < SIDE_TABLES ? t->n_blend : SIDE_TABLES;
    *sum = 0;
    for (int k = 0; k < x->n_table; k++) {
        x->table[k].k = k;
        *sum = fmax(*sum, build_table(x, &x->table[k]));
    }
    return x->on = !t->stopped;
}

uint64_t sides_effort(struct sides *x) {
    const uint64_t OF_A_PARTIAL_PLAN = 300;
    uint64_t n = x->work / OF_A_PARTIAL_PLAN;
    x->work = 0;
    return n;
}

void side_take(const struct sides *x, int side, int cls, struct side_use *use) {
    for (int k = 0; k < x->n_table; k++) use->of[k][side] += x->t->surrogate[x->table[k].k].class_cost[cls];
}

static double rest_of(const struct sides *x, const struct side_table *f, int l, const double *used, int side,
                      bool crossed, double excess) {
    size_t cell = 0;
    for (int k = 0; k < SIDES; k++) {
        double left = f->level > 0 ? (f->cap[k] - used[k]) / f->level + 1e-6 : used[k] > 0 ? -1 : 0;
        if (left < 0) return INFINITY;
        cell = cell * (size_t)(f->top[k] + 1) + (size_t)(left < f->top[k] ? (int)left : f->top[k]);
    }
    double best = INFINITY;
    for (int p = 0; p < SIDES && l > 0; p++) {
        bool may_stay = crossed || p != side || (side == 1 && x->t->s->n_region > 2);
        double rest = at(f, l, 1, p, side)[cell];
        if (may_stay) rest = fmin(rest, at(f, l, 0, p, side)[cell]);
        best = fmin(best, rest + (p != side ? excess : 0));
    }
    return l > 0 ? best : crossed ? 0 : INFINITY;
}

double sides_rest(const struct sides *x, int l, const struct side_use *use, int side, bool crossed, int cls) {
    double excess = l > 0 ? side_excess(x, side, cls, l) : 0, rest = 0;
    for (int k = 0; k < x->n_table; k++)
        rest = fmax(rest, rest_of(x, &x->table[k], l, use->of[k], side, crossed, excess));
    return rest;
}
