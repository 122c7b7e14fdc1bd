/* The stages of a window as a grid sees them: their shapes, what they pay for sending to other regions, and
 * what they cost at the prices of the grid if there were GPUs without end. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/oom.h"
#include "search/grid.h"

/* ---- regions ------------------------------------------------------------------------ */

int grid_tag(const struct grid *g, unsigned regions) {
    if (g->n_tag == 1) return 0;
    return regions & (regions - 1) ? g->n_tag - 1 : __builtin_ctz(regions);
}

/* Least transfer of one size from a kind in one region to any in another. */
static double kind_apart(const struct grid *g, int size, int from, int to, int gpu, int ti) {
    const struct space *s = g->t->s;
    size_t q = (size_t)s->n_cell * TP_N;
    double best = INFINITY;
    for (int c = 0; c < s->n_cell; c++) {
        if (s->cell[c].gpu != gpu || s->cell[c].region != from) continue;
        const double *row = &g->t->mb->kind_time[((size_t)size * q + (size_t)(c * TP_N + ti)) * q];
        for (size_t y = 0; y < q; y++)
            if (s->cell[y / TP_N].region == to) best = fmin(best, row[y]);
    }
    return best;
}

/* What a stage of a class pays for sending the output of a layer from one region to another beyond act_min:
 * each replica does, so that its slowest kind counts. Where either stage lies in several regions, at least
 * one replica does. */
static double class_apart(const struct grid *g, int from, int to, int cls, int l) {
    const struct mb_space *mb = g->t->mb;
    const struct stage_class *cl = &mb->cls[cls];
    double t = 0;
    if (from == to) return 0;
    if (from == g->n_tag - 1 || to == g->n_tag - 1 || cl->rest) return mb->cross[cls * g->t->s->L + l];
    for (int k = 0; k < GPUS_MAX; k++)
        if (cl->gpus >> k & 1) t = fmax(t, kind_apart(g, mb->size_of[l], from, to, k, cl->ti[k]));
    return fmax(0, t - mb->act_min[cls * g->t->s->L + l]);
}

void grid_build_apart(struct grid *g) {
    double *x = g->apart;
    g->mb = g->t->mb;
    for (int from = 0; from < g->n_tag; from++)
        for (int to = 0; to < g->n_tag; to++)
            for (int c = 0; c < g->mb->n_class; c++)
                for (int l = 0; l < g->t->s->L; l++) *x++ = class_apart(g, from, to, c, l);
}

double grid_apart(const struct grid *g, int from, int to, int cls, int l) {
    if (g->n_tag == 1) return 0;
    return g->apart[((from * g->n_tag + to) * g->mb->n_class + cls) * g->t->s->L + l];
}

/* ---- ways --------------------------------------------------------------------------- */

static size_t range_at(const struct grid *g, int i, int e) {
    return (size_t)i * (size_t)(g->t->s->L + 1) + (size_t)e;
}

const struct grid_way *grid_ways(const struct grid *g, int i, int e, int tag, int *n) {
    const int *at = &g->way_of[range_at(g, i, e) * (size_t)g->n_tag + (size_t)tag];
    *n = at[1] - at[0];
    return g->way + at[0];
}

static void add_way(struct grid *g, int *n, int cls, int shape, double time_s) {
    if (g->x.first[shape] == g->x.first[shape + 1]) return;
    if (*n == g->cap_way) {
        g->cap_way = g->cap_way ? 2 * g->cap_way : 4096;
        g->way = oom_realloc(g->way, (size_t)g->cap_way, sizeof *g->way);
    }
    g->way[(*n)++] = (struct grid_way){cls, shape, time_s};
}

static void add_ways(struct grid *g, int *n, int i, int e, int tag) {
    const struct mb_space *mb = g->t->mb;
    bool several = g->n_tag > 1 && tag == g->n_tag - 1;
    int n_allowed;
    const struct allowed *w = window_allowed(g->t, i, e, &n_allowed);
    for (int k = 0; k < n_allowed; k++) {
        int c = w[k].cls;
        const struct stage_class *cl = &mb->cls[c];
        if (g->n_tag > 1 && !(unit_sync_min(g->x.u, tag, c, i, e) <= g->t->w.y_hi)) continue;
        for (int p = cl->first_pattern; p < cl->end_pattern; p++) {
            if (grid_tag(g, mb->pattern[p].regions) != tag) continue;
            if (several && !(unit_sync(g->x.u, p, i, e).lo <= g->t->w.y_hi)) continue;
            add_way(g, n, c, p, w[k].weight);
        }
        if (grid_left_out(cl) && tag == g->n_tag - 1) add_way(g, n, c, mb->n_pattern + c, w[k].weight);
    }
}

void grid_list_ways(struct grid *g) {
    int n = 0, L = g->t->s->L;
    for (int i = 0; i < L; i++)
        for (int e = 0; e <= L; e++)
            for (int tag = 0; tag < g->n_tag; tag++) {
                g->way_of[range_at(g, i, e) * (size_t)g->n_tag + (size_t)tag] = n;
                if (e > i && g->t->min_depth[e] <= L) add_ways(g, &n, i, e, tag);
            }
    g->way_of[(size_t)(L * (L + 1) * g->n_tag)] = n;
}

double grid_way_s(const struct grid *g, const struct grid_way *w, int i, int e, int before, int tag,
                  int next) {
    double time_s = w->time_s + (i > 0 ? grid_apart(g, tag, before, w->cls, i) : 0) +
                    (e < g->t->s->L ? grid_apart(g, tag, next, w->cls, e - 1) : 0);
    return time_s <= g->t->w.x_hi * (1 + 1e-12) ? time_s : INFINITY;
}

/* ---- covers without end ------------------------------------------------------------- */

static double *least_at(const struct grid *g, int i, int e, int before, int tag, int next) {
    size_t T = (size_t)g->n_tag;
    return &g->least[((range_at(g, i, e) * T + (size_t)before) * T + (size_t)tag) * T + (size_t)next];
}

double grid_least_cost(const struct grid *g, int i, int e, int before, int tag, int next) {
    return *least_at(g, i, e, before, tag, next);
}

/* The cheapest way to run [i, e) at the prices of now. */
static void find_least(struct grid *g, int i, int e, int before, int tag, int next) {
    double *to = least_at(g, i, e, before, tag, next);
    int n;
    const struct grid_way *w = grid_ways(g, i, e, tag, &n);
    *to = INFINITY;
    for (int k = 0; k < n; k++) {
        double cost = grid_way_s(g, &w[k], i, e, before, tag, next) + g->x.least[w[k].shape];
        if (cost < *to) *to = cost;
    }
    g->work += (uint64_t)n;
}

static double *front_at(const struct grid *g, int crossed, int last, int next, int l) {
    return &g->front[((l * 2 + crossed) * g->n_tag + last) * g->n_tag + next];
}

static double *back_at(const struct grid *g, int crossed, int last, int next, int l) {
    return &g->back[((l * 2 + crossed) * g->n_tag + last) * g->n_tag + next];
}

double grid_front(const struct grid *g, int crossed, int last, int next, int l) {
    return *front_at(g, crossed, last, next, l);
}

double grid_behind(const struct grid *g, int crossed, int last, int next, int l) {
    if (l < g->t->s->L) return *back_at(g, crossed, last, next, l);
    return crossed || g->n_tag == 1 ? 0 : INFINITY;
}

/* Where a stage [i, e) and its neighbours may lie. */
#define EACH_PLACE(g, i, e, before, tag, next)                                                               \
    for (int before = 0; before < ((i) > 0 ? (g)->n_tag : 1); before++)                                      \
        for (int tag = 0; tag < (g)->n_tag; tag++)                                                           \
            for (int next = 0; next < ((e) < (g)->t->s->L ? (g)->n_tag : 1); next++)

static void build_front(struct grid *g) {
    int L = g->t->s->L, T = g->n_tag;
    for (int k = 0; k < (L + 1) * 2 * T * T; k++) g->front[k] = g->back[k] = INFINITY;
    for (int tag = 0; tag < T; tag++) *front_at(g, 0, 0, tag, 0) = 0;
    for (int e = 1; e <= L; e++)
        for (int i = 0; i < e; i++) EACH_PLACE(g, i, e, before, tag, next) {
                int n;
                grid_ways(g, i, e, tag, &n);
                if (!n) continue;
                find_least(g, i, e, before, tag, next);
                double cost = *least_at(g, i, e, before, tag, next);
                for (int c = 0; c < 2; c++) {
                    bool crossed = c || (i > 0 && grid_may_cross(g, before, tag));
                    double *to = front_at(g, crossed, tag, next, e),
                           sum = *front_at(g, c, before, tag, i) + cost;
                    if (sum < *to) *to = sum;
                }
            }
}

static void build_back(struct grid *g) {
    int L = g->t->s->L;
    for (int i = L - 1; i >= 0; i--)
        for (int e = i + 1; e <= L; e++) EACH_PLACE(g, i, e, before, tag, next) {
                int n;
                grid_ways(g, i, e, tag, &n);
                if (!n) continue;
                double cost = *least_at(g, i, e, before, tag, next);
                for (int c = 0; c < 2; c++) {
                    bool crossed = c || (i > 0 && grid_may_cross(g, before, tag));
                    double sum = cost + grid_behind(g, crossed, tag, next, e),
                           *to = back_at(g, c, before, tag, i);
                    if (sum < *to) *to = sum;
                }
            }
}

double grid_cover(struct grid *g) {
    double least = INFINITY;
    build_front(g);
    build_back(g);
    for (int tag = 0; tag < g->n_tag; tag++) least = fmin(least, *back_at(g, 0, 0, tag, 0));
    return least - g->x.budget;
}
