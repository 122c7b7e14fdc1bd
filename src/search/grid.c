#include "search/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/oom.h"
#include "search/merge.h"

enum {
    GRID_CELLS = 8000,
    GRID_FINE = 2500,
    Q_MAX = 16,
    Q_MIN = 2,
    VECTORS_MAX = 60000,
    OF_ONE_MAX = 2000,
    LEVEL_MAX = 250,
    REGIONS_MAX = 4
};

void grid_init(struct grid *g, struct window_tables *t, struct arena *a) {
    *g = (struct grid){.t = t};
    int most = 0, L = t->s->L;
    for (int k = 0; k < t->s->n_mb; k++) {
        int n = t->s->mb[k].n_pattern + t->s->mb[k].n_class;
        most = n > most ? n : most;
    }
    unsigned types = 0;
    for (int c = 0; c < t->s->n_cell; c++) types |= 1u << t->s->cell[c].gpu;
    g->worthwhile = (types & (types - 1)) && !space_can_merge(t->s);
    g->axis = ARENA_ARRAY(a, signed char, t->s->n_cell);
    g->first = ARENA_ARRAY(a, int, most + 2);
    g->path = ARENA_ARRAY(a, struct grid_list, L + 2);
    g->digits = ARENA_ARRAY(a, struct grid_vector, GRID_CELLS);
}

void grid_free(struct grid *g) {
    free(g->vector);
    free(g->in[0]);
    free(g->in[1]);
}

void grid_forget(struct grid *g, struct grid_trial known) {
    g->on = false;
    g->u = NULL;
    g->known = known;
}

struct grid_trial grid_tried(const struct grid *g) {
    bool here = g->u && g->tried;
    return here ? (struct grid_trial){g->scope, g->priced} : g->known;
}

/* ---- axes --------------------------------------------------------------------------- */

static bool in_scope(const struct space *s, int scope, int cell) {
    return s->n_region == 1 || scope >= s->n_region || s->cell[cell].region == scope;
}

static int level_of(const struct grid *g, long gpus) { return (int)(gpus * g->Q / g->D); }

/* Cells of a layer's table with Q levels for D GPUs. */
static double cells_with(const struct grid *g, const long *gpus, int n, int Q) {
    double cells = 1;
    for (int a = 0; a < n; a++) cells *= (double)(gpus[a] * Q / g->D + 1);
    return cells;
}

/* One axis per cell of the scope; those most similar in speed are joined until the table is small enough.
 * Then the finest levels for which it still is. */
static bool choose_axes(struct grid *g) {
    const struct space *s = g->t->s;
    const double *worth = g->t->surrogate[0].weight;
    long gpus[CELLS_MAX];
    double speed[CELLS_MAX];
    int region[CELLS_MAX], of[CELLS_MAX], n = 0;
    for (int c = 0; c < s->n_cell; c++) {
        of[c] = -1;
        if (!in_scope(s, g->scope, c)) continue;
        if (n == 16) return false;
        of[c] = n;
        gpus[n] = s->cell[c].gpus;
        speed[n] = worth[s->cell[c].gpu];
        region[n++] = s->cell[c].region;
    }
    while (n > GRID_AXES || cells_with(g, gpus, n, Q_MIN) > GRID_CELLS) {
        int x = -1, y = -1;
        double best = INFINITY;
        for (int a = 0; a < n; a++)
            for (int b = a + 1; b < n; b++) {
                double apart = fabs(log(fmax(speed[a], 1e-9) / fmax(speed[b], 1e-9)));
                if (region[a] == region[b] && apart < best) {
                    best = apart;
                    x = a;
                    y = b;
                }
            }
        if (x < 0) return false;
        gpus[x] += gpus[y];
        speed[x] = fmin(speed[x], speed[y]);
        n--;
        gpus[y] = gpus[n];
        speed[y] = speed[n];
        region[y] = region[n];
        for (int c = 0; c < s->n_cell; c++) {
            if (of[c] == y) of[c] = x;
            if (of[c] == n) of[c] = y;
        }
    }
    if (n < 2) return false;
    g->Q = Q_MIN;
    while (g->Q < Q_MAX && cells_with(g, gpus, n, g->Q + 1) <= GRID_FINE) g->Q++;
    int order[GRID_AXES], at[GRID_AXES]; /* the longest axis last: its cells lie side by side */
    for (int a = 0; a < n; a++) {
        int k = a;
        for (; k > 0 && gpus[order[k - 1]] > gpus[a]; k--) order[k] = order[k - 1];
        order[k] = a;
    }
    g->n_axis = n;
    g->n = 1;
    for (int k = n - 1; k >= 0; k--) {
        at[order[k]] = k;
        g->cap[k] = level_of(g, gpus[order[k]]);
        if (g->cap[k] > LEVEL_MAX) return false;
        g->weight[k] = speed[order[k]];
        g->stride[k] = g->n;
        g->n *= g->cap[k] + 1;
    }
    for (int r = 0; r < g->n; r++)
        for (int a = 0; a < n; a++)
            g->digits[r].level[a] = (unsigned char)(r / g->stride[a] % (g->cap[a] + 1));
    for (int c = 0; c < s->n_cell; c++) g->axis[c] = (signed char)(of[c] < 0 ? -1 : at[of[c]]);
    return true;
}

/* ---- what stages take --------------------------------------------------------------- */

/* A stage's degrees: least GPUs of a replica on each axis, 0: none there; and how many it has there at least.
 */
struct shape {
    int gpus[GRID_AXES], least;
};

static void add_vector(struct grid *g, const int level[GRID_AXES]) {
    if (g->n_vector == g->cap_vector) {
        g->cap_vector = g->cap_vector ? 2 * g->cap_vector : 1024;
        g->vector = oom_realloc(g->vector, (size_t)g->cap_vector, sizeof *g->vector);
    }
    struct grid_vector *v = &g->vector[g->n_vector++];
    for (int a = 0; a < GRID_AXES; a++) v->level[a] = (unsigned char)(a < g->n_axis ? level[a] : 0);
}

/* Lists all vectors of levels, rounded down, of a stage with `left` replicas on the axes from `axis` on; of
 * several with the same level on an axis only the one with the most replicas there, which leaves least for
 * the others. */
static void split(struct grid *g, const struct shape *s, int axis, int left, int *level) {
    int later = 0;
    for (int a = axis + 1; a < g->n_axis; a++) later += s->gpus[a] > 0;
    level[axis] = 0;
    if (!s->gpus[axis]) {
        if (axis + 1 < g->n_axis) split(g, s, axis + 1, left, level);
        return;
    }
    long t = s->gpus[axis];
    if (!later) {
        level[axis] = level_of(g, left * t);
        for (int a = axis + 1; a < g->n_axis; a++) level[a] = 0;
        if (left >= s->least && level[axis] <= g->cap[axis]) add_vector(g, level);
        return;
    }
    int most = left - later * s->least;
    for (long x = s->least * t * g->Q / g->D;; x++) {
        if (g->n_vector - g->of_one > OF_ONE_MAX) return;
        long j = ((x + 1) * g->D + t * g->Q - 1) / (t * g->Q) - 1;
        if (j > most) j = most;
        if (j < s->least) return;
        level[axis] = level_of(g, j * t);
        if (level[axis] > g->cap[axis]) return;
        split(g, s, axis + 1, left - (int)j, level);
        if (j == most) return;
    }
}

static bool no_more(const struct grid *g, const struct grid_vector *x, const struct grid_vector *y) {
    for (int a = 0; a < g->n_axis; a++)
        if (x->level[a] > y->level[a]) return false;
    return true;
}

/* Of the vectors from `from` on, keeps only those with no other one below. */
static void thin(struct grid *g, int from) {
    int keep = from;
    for (int k = from; k < g->n_vector; k++) {
        bool useless = false;
        for (int j = from; j < g->n_vector && !useless; j++)
            useless = j != k && no_more(g, &g->vector[j], &g->vector[k]) &&
                      (j < k || !no_more(g, &g->vector[k], &g->vector[j]));
        if (!useless) continue;
        g->vector[k].level[0] = 255; /* goes */
    }
    for (int k = from; k < g->n_vector; k++)
        if (g->vector[k].level[0] != 255) g->vector[keep++] = g->vector[k];
    g->n_vector = keep;
}

static bool list_vectors(struct grid *g, const struct shape *shape) {
    int level[GRID_AXES] = {0};
    g->of_one = g->n_vector;
    split(g, shape, 0, g->D, level);
    if (g->n_vector - g->of_one > OF_ONE_MAX || g->n_vector > VECTORS_MAX) return false;
    thin(g, g->of_one);
    return true;
}

static bool left_out(const struct stage_class *cl) { return cl->rest || cl->most_cells < cl->n_cell; }

static bool build_vectors(struct grid *g) {
    const struct space *s = g->t->s;
    const struct mb_space *mb = g->t->mb;
    g->n_vector = 0;
    for (int p = 0; p < mb->n_pattern; p++) {
        const struct pattern *q = &mb->pattern[p];
        struct shape shape = {.least = 1};
        g->first[p] = g->n_vector;
        if (q->n > g->D || q->room < g->D || !scope_has(s, g->scope, q)) continue;
        for (int i = 0; i < q->n; i++) {
            int *gpus = &shape.gpus[g->axis[q->cell[i]]], mine = 1 << q->ti[i];
            if (!*gpus || mine < *gpus) *gpus = mine;
        }
        if (!list_vectors(g, &shape)) return false;
    }
    for (int c = 0; c < mb->n_class; c++) {
        const struct stage_class *cl = &mb->cls[c];
        struct shape shape = {.least = 0};
        g->first[mb->n_pattern + c] = g->n_vector;
        if (!left_out(cl)) continue;
        for (int k = 0; k < s->n_cell; k++) {
            int type = s->cell[k].gpu, ti = cl->rest ? mb->least_ti[type] : cl->ti[type];
            if (ti < 0 || !(cl->gpus >> type & 1) || g->axis[k] < 0) continue;
            int *gpus = &shape.gpus[g->axis[k]];
            if (!*gpus || 1 << ti < *gpus) *gpus = 1 << ti;
        }
        if (!list_vectors(g, &shape)) return false;
    }
    g->first[mb->n_pattern + mb->n_class] = g->n_vector;
    return true;
}

/* ---- the table ---------------------------------------------------------------------- */

static size_t cell_of(const struct grid *g, const struct grid_vector *v) {
    size_t at = 0;
    for (int a = 0; a < g->n_axis; a++) at += (size_t)v->level[a] * (size_t)g->stride[a];
    return at;
}

/* to[r] = min(to[r], x + from[r - v]) for all r that are not below v. */
static void relax(struct grid *g, double *restrict to, const double *restrict from,
                  const struct grid_vector *v, double x) {
    int last = g->n_axis - 1, n = g->cap[last] + 1 - v->level[last], at[GRID_AXES] = {0};
    size_t shift = cell_of(g, v);
    g->work += g->n;
    for (;;) {
        size_t row = 0;
        for (int a = 0; a < last; a++) row += (size_t)at[a] * (size_t)g->stride[a];
        double *t = to + row + shift;
        const double *f = from + row;
#pragma omp simd
        for (int r = 0; r < n; r++) {
            double y = x + f[r];
            t[r] = y < t[r] ? y : t[r];
        }
        int a = last - 1;
        for (; a >= 0 && ++at[a] > g->cap[a] - v->level[a]; a--) at[a] = 0;
        if (a < 0) return;
    }
}

struct option {
    struct grid_vector v;
    double time;
};

/* Stages [i, e) that may occur in the window, by tag: least time for each vector, and only if no vector below
 * it is as fast. */
struct options {
    double *best, *below; /* [cell] */
    int *touched, n_touched;
    double *by_class; /* [class] */
    struct option *keep;
    int n;
};

static void offer_vectors(struct grid *g, struct options *o, int from, int end, double time, double least) {
    for (int k = from; k < end; k++) {
        size_t at = cell_of(g, &g->vector[k]);
        double use = 0;
        for (int a = 0; a < g->n_axis; a++) use += g->weight[a] * g->vector[k].level[a] * g->D / g->Q;
        double x = time + g->price * fmax(use * (1 - 1e-12), least);
        if (!(o->best[at] < INFINITY)) o->touched[o->n_touched++] = (int)at;
        o->best[at] = fmin(o->best[at], x);
    }
}

static void keep_options(const struct grid *g, struct options *o) {
    o->n = 0;
    memcpy(o->below, o->best, sizeof *o->below * (size_t)g->n);
    for (int a = 0; a < g->n_axis; a++)
        for (int r = 0; r < g->n; r++)
            if (g->digits[r].level[a]) o->below[r] = fmin(o->below[r], o->below[r - g->stride[a]]);
    for (int k = 0; k < o->n_touched; k++) {
        int r = o->touched[k];
        bool useless = false;
        const struct grid_vector *v = &g->digits[r];
        for (int a = 0; a < g->n_axis; a++)
            useless |= v->level[a] && o->below[r - g->stride[a]] <= o->best[r];
        if (!useless) o->keep[o->n++] = (struct option){*v, o->best[r]};
        o->best[r] = INFINITY;
    }
    o->n_touched = 0;
}

static int tag_of(const struct grid *g, unsigned regions) {
    if (g->n_tag == 1) return 0;
    return regions & (regions - 1) ? g->n_tag - 1 : __builtin_ctz(regions);
}

static void find_options(struct grid *g, struct options *o, int i, int e, int tag) {
    const struct mb_space *mb = g->t->mb;
    int n;
    const struct allowed *w = window_allowed(g->t, i, e, &n);
    for (int k = 0; k < n; k++) {
        int c = w[k].cls;
        const struct stage_class *cl = &mb->cls[c];
        double least = g->t->surrogate[0].class_cost[c];
        for (int p = cl->first_pattern; p < cl->end_pattern; p++) {
            const struct pattern *q = &mb->pattern[p];
            if (g->first[p] == g->first[p + 1] || tag_of(g, q->regions) != tag) continue;
            if (q->regions & (q->regions - 1) && unit_sync(g->u, p, i, e).lo > g->t->w.y_hi) continue;
            offer_vectors(g, o, g->first[p], g->first[p + 1], w[k].weight, least);
        }
        int at = mb->n_pattern + c;
        if (left_out(cl) && tag == g->n_tag - 1)
            offer_vectors(g, o, g->first[at], g->first[at + 1], w[k].weight, least);
    }
    keep_options(g, o);
}

static double *layer(const struct grid *g, int crossed, int tag, int l) {
    return g->in[crossed] + ((size_t)tag * (size_t)(g->t->s->L + 1) + (size_t)l) * (size_t)g->n;
}

static void fill(double *x, size_t n, double value) {
    for (size_t k = 0; k < n; k++) x[k] = value;
}

/* The least extra time that two stages pay for sending across the cut before layer l to another region. */
static double crossing(const struct grid *g, int l) {
    const struct mb_space *mb = g->t->mb;
    double send = INFINITY, receive = INFINITY;
    for (int c = 0; c < mb->n_class; c++) {
        send = fmin(send, mb->cross[c * g->t->s->L + l - 1]);
        receive = fmin(receive, mb->cross[c * g->t->s->L + l]);
    }
    return send + receive;
}

/* From the tables for layers before l by tag of the last stage, makes those by tag of the next stage. */
static void join_tags(struct grid *g, int l) {
    if (g->n_tag == 1) return;
    double charge = crossing(g, l), *any = oom_malloc(sizeof *any * (size_t)g->n * (size_t)g->n_tag);
    for (int tag = 0; tag < g->n_tag; tag++) {
        double *best = any + (size_t)tag * (size_t)g->n;
        fill(best, (size_t)g->n, INFINITY);
        for (int from = 0; from < g->n_tag; from++) {
            bool several = tag == g->n_tag - 1 || from == g->n_tag - 1;
            if (from == tag && !several) continue;
            const double *not = layer(g, 0, from, l), *yes = layer(g, 1, from, l);
            double x = several ? 0 : charge;
            for (int r = 0; r < g->n; r++) best[r] = fmin(best[r], x + fmin(not [r], yes[r]));
        }
    }
    for (int tag = 0; tag < g->n_tag; tag++) {
        double *yes = layer(g, 1, tag, l), *best = any + (size_t)tag * (size_t)g->n;
        for (int r = 0; r < g->n; r++) yes[r] = fmin(yes[r], best[r]);
    }
    free(any);
}

/* Least sum of all layers; INFINITY also if stopped. */
static double build_table(struct grid *g, struct window_tables *t, struct options *o) {
    int L = t->s->L;
    double sum = INFINITY;
    for (int tag = 0; tag < g->n_tag; tag++) {
        fill(layer(g, 0, tag, 0), (size_t)g->n, 0);
        if (g->n_tag > 1) fill(layer(g, 1, tag, 0), (size_t)g->n, INFINITY);
    }
    for (int e = 1; e <= L; e++) {
        if (window_stopped(t)) return INFINITY;
        for (int tag = 0; tag < g->n_tag; tag++) {
            fill(layer(g, 0, tag, e), (size_t)g->n, INFINITY);
            if (g->n_tag > 1) fill(layer(g, 1, tag, e), (size_t)g->n, INFINITY);
            if (t->min_depth[e] > L) continue;
            for (int i = 0; i < e; i++) {
                find_options(g, o, i, e, tag);
                for (int k = 0; k < o->n; k++)
                    for (int crossed = 0; crossed < (g->n_tag > 1 ? 2 : 1); crossed++)
                        relax(g, layer(g, crossed, tag, e), layer(g, crossed, tag, i), &o->keep[k].v,
                              o->keep[k].time);
            }
        }
        if (e == L)
            for (int tag = 0; tag < g->n_tag; tag++)
                sum = fmin(sum, layer(g, g->n_tag > 1, tag, L)[g->n - 1]);
        else
            join_tags(g, e);
    }
    return sum - g->price * g->budget;
}

/* What one more weighted GPU saves, by the table of the first surrogate. */
static double price_of(const struct window_tables *t) {
    const struct surrogate *q = &t->surrogate[0];
    const double *sum = q->sum + t->s->L * (LEVELS + 1);
    int lower = q->top - (q->top + 7) / 8; /* 12 of LEVELS */
    if (!(q->cap > 0) || lower == q->top || !(sum[lower] < INFINITY)) return 0;
    return fmax(0, sum[lower] - sum[q->top]) / ((q->top - lower) * q->level);
}

uint64_t grid_effort(struct grid *g) {
    const uint64_t OF_A_PARTIAL_PLAN = 300;
    uint64_t n = g->work / OF_A_PARTIAL_PLAN;
    g->work = 0;
    return n;
}

bool grid_build(struct grid *g, double *sum) {
    struct window_tables *t = g->t;
    const struct space *s = t->s;
    g->on = false;
    if (g->u != t->u || g->scope != t->w.scope) {
        g->u = t->u;
        g->scope = t->w.scope;
        g->D = t->u->D;
        g->tried = g->known.scope == g->scope;
        g->priced = g->tried && g->known.priced;
        g->n = 0;
        g->n_tag = scope_is_crossing(s, g->scope) && s->n_region > 1 ? s->n_region + 1 : 1;
        if (s->n_region > REGIONS_MAX || !choose_axes(g) || !build_vectors(g)) g->n = 0;
    }
    if (!g->n) return false;
    size_t need = (size_t)g->n_tag * (size_t)(s->L + 1) * (size_t)g->n;
    if (need > g->cap_in) {
        for (int k = 0; k < 2; k++) {
            free(g->in[k]);
            g->in[k] = oom_malloc(sizeof(double) * need);
        }
        g->cap_in = need;
    }
    struct options o = {.best = oom_malloc(sizeof(double) * (size_t)g->n),
                        .below = oom_malloc(sizeof(double) * (size_t)g->n),
                        .touched = oom_malloc(sizeof(int) * (size_t)g->n),
                        .keep = oom_malloc(sizeof(struct option) * (size_t)g->n)};
    fill(o.best, (size_t)g->n, INFINITY);
    double price = price_of(t);
    g->budget = t->surrogate[0].cap;
    g->price = g->tried && !g->priced ? 0 : price;
    *sum = build_table(g, t, &o);
    if (!g->tried && price > 0 && !t->stopped) { /* with and without */
        double priced = *sum;
        g->price = 0;
        *sum = build_table(g, t, &o);
        g->tried = true;
        g->priced = priced > *sum;
        if (g->priced) {
            g->price = price;
            *sum = build_table(g, t, &o);
        }
    }
    free(o.best);
    free(o.below);
    free(o.touched);
    free(o.keep);
    g->path[0].n = 1;
    memset(&g->path[0].v[0], 0, sizeof g->path[0].v[0]);
    return g->on = !t->stopped;
}

/* ---- partial plans ------------------------------------------------------------------ */

static bool add(const struct grid *g, const struct grid_vector *x, const struct grid_vector *y,
                struct grid_vector *sum) {
    for (int a = 0; a < GRID_AXES; a++) sum->level[a] = 0;
    for (int a = 0; a < g->n_axis; a++) {
        int level = x->level[a] + y->level[a];
        if (level > g->cap[a]) return false;
        sum->level[a] = (unsigned char)level;
    }
    return true;
}

/* Puts a vector into a list, dropping those that others make useless. If the list is full, two are replaced
 * by what they have in common. */
static void put(const struct grid *g, struct grid_list *list, struct grid_vector v) {
    for (;;) {
        int n = 0;
        for (int k = 0; k < list->n; k++)
            if (no_more(g, &list->v[k], &v)) return;
        for (int k = 0; k < list->n; k++)
            if (!no_more(g, &v, &list->v[k])) list->v[n++] = list->v[k];
        list->n = n;
        if (n < GRID_LIST) break;
        struct grid_vector *other = &list->v[--list->n];
        for (int a = 0; a < g->n_axis; a++)
            if (other->level[a] < v.level[a]) v.level[a] = other->level[a];
    }
    list->v[list->n++] = v;
}

double grid_rest(struct grid *g, int depth, int pattern, int l, double used, bool crossed) {
    const struct grid_list *before = &g->path[depth - 1];
    struct grid_list *now = &g->path[depth];
    now->n = 0;
    for (int k = g->first[pattern]; k < g->first[pattern + 1]; k++)
        for (int j = 0; j < before->n; j++) {
            struct grid_vector v;
            if (add(g, &before->v[j], &g->vector[k], &v)) put(g, now, v);
        }
    double best = INFINITY;
    int tag = tag_of(g, g->t->mb->pattern[pattern].regions);
    for (int k = 0; k < now->n; k++) {
        size_t at = (size_t)(g->n - 1) - cell_of(g, &now->v[k]);
        if (g->n_tag == 1 || crossed) best = fmin(best, layer(g, 0, tag, l)[at]);
        if (g->n_tag > 1) best = fmin(best, layer(g, 1, tag, l)[at]);
    }
    return best + g->price * (used - g->budget);
}
