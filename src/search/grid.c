#include "search/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/oom.h"
#include "search/merge.h"

/* Cells of a layer at most, and of all tables. */
enum { GRID_CELLS = 10000, TABLES_CELLS = 4000000 };

static int tags(const struct space *s) {
    return s->n_region > 1 && s->n_region <= GRID_REGIONS ? s->n_region + 1 : 1;
}

void grid_init(struct grid *g, struct window_tables *t, struct arena *a) {
    const struct space *s = t->s;
    int L = s->L, T = tags(s), K = 0;
    unsigned types = 0;
    *g = (struct grid){.t = t};
    for (int c = 0; c < s->n_cell; c++) types |= 1u << s->cell[c].gpu;
    for (int k = 0; k < s->n_mb; k++) K = s->mb[k].n_class > K ? s->mb[k].n_class : K;
    g->worthwhile = (types & (types - 1)) && !space_can_merge(s);
    g->apart = ARENA_ARRAY(a, double, T > 1 ? T * T * K * L + 1 : 1);
    g->path = ARENA_ARRAY(a, struct grid_list, L + 2);
    g->way_of = ARENA_ARRAY(a, int, (L + 1) * (L + 1) * T + 1);
    g->least = ARENA_ARRAY(a, double, (L + 1) * (L + 1) * T * T * T);
    g->front = ARENA_ARRAY(a, double, (L + 1) * 2 * T * T);
    g->back = ARENA_ARRAY(a, double, (L + 1) * 2 * T * T);
    g->reached = ARENA_ARRAY(a, bool, (L + 1) * 2 * T * T);
    grid_axes_init(&g->x, t, a);
}

void grid_free(struct grid *g) {
    grid_axes_free(&g->x);
    free(g->way);
    free(g->in[0]);
    free(g->in[1]);
}

void grid_forget(struct grid *g) {
    g->on = false;
    g->x.u = NULL;
}

/* ---- the table ---------------------------------------------------------------------- */

static double *layer(const struct grid *g, int crossed, int last, int next, int l) {
    size_t row = ((size_t)last * (size_t)g->n_tag + (size_t)next) * (size_t)(g->t->s->L + 1) + (size_t)l;
    return g->in[crossed] + row * (size_t)g->x.n;
}

static bool *reached_at(const struct grid *g, int crossed, int last, int next, int l) {
    return &g->reached[((l * 2 + crossed) * g->n_tag + last) * g->n_tag + next];
}

/* A layer's cells to be written: nothing is known of them at first. */
static double *reach(const struct grid *g, int crossed, int last, int next, int l) {
    bool *known = reached_at(g, crossed, last, next, l);
    double *x = layer(g, crossed, last, next, l);
    for (int r = 0; r < g->x.n && !*known; r++) x[r] = INFINITY;
    *known = true;
    return x;
}

static double entry(const struct grid *g, int crossed, int last, int next, int l, size_t cell) {
    return *reached_at(g, crossed, last, next, l) ? layer(g, crossed, last, next, l)[cell] : INFINITY;
}

/* to[r] = min(to[r], x + from[r - v]) for all r that are not below v: in runs, each up to the last axis on
 * which v takes anything. */
static void relax(struct grid *g, double *restrict to, const double *restrict from,
                  const struct grid_vector *v, double x) {
    const struct grid_axes *s = &g->x;
    int last = s->n_axis - 1, at[GRID_AXES] = {0};
    while (last > 0 && !v->level[last]) last--;
    int n = (s->cap[last] + 1 - v->level[last]) * s->stride[last];
    g->work += (uint64_t)s->n;
    to += grid_cell(s, v);
    for (int row = 0;;) {
        window_relax(to + row, from + row, n, x);
        int a = last - 1;
        for (; a >= 0; a--) {
            row += s->stride[a];
            if (++at[a] <= s->cap[a] - v->level[a]) break;
            row -= at[a] * s->stride[a];
            at[a] = 0;
        }
        if (a < 0) return;
    }
}

/* A stage of this shape and vector, with what it costs. */
struct option {
    struct grid_vector v;
    double cost;
    int shape, vector;
};

/* Stages [i, e) in one place, behind a stage in one and in front of one in another: the cheapest for each
 * vector, and only if no vector below it is as cheap. */
struct options {
    double *best, *below; /* [cell] */
    struct option *at;    /* [cell] the cheapest so far, if best says so */
    int *touched, n_touched;
    struct option *keep;
    int n;
};

static void offer_vectors(struct grid *g, struct options *o, int shape, double time_s, double most) {
    for (int k = g->x.first[shape]; k < g->x.first[shape + 1]; k++) {
        double cost = time_s + g->x.price[k];
        size_t at = grid_cell(&g->x, &g->x.vector[k]);
        if (!(cost <= most && cost < o->best[at])) continue;
        if (!(o->best[at] < INFINITY)) o->touched[o->n_touched++] = (int)at;
        o->best[at] = cost;
        o->at[at] = (struct option){g->x.vector[k], cost, shape, k};
    }
    g->work += (uint64_t)(g->x.first[shape + 1] - g->x.first[shape]);
}

/* Is some vector below as cheap? One by one, or, where there are many, by a table of the least below. */
static bool useless(const struct grid *g, const struct options *o, int r, bool table) {
    const struct grid_axes *x = &g->x;
    struct grid_vector v = x->digits[r];
    if (table) {
        for (int a = 0; a < x->n_axis; a++)
            if (v.level[a] && o->below[r - x->stride[a]] <= o->best[r]) return true;
        return false;
    }
    for (int k = 0; k < o->n_touched; k++) {
        int q = o->touched[k];
        if (q != r && grid_no_more(x->digits[q], v) && o->best[q] <= o->best[r]) return true;
    }
    return false;
}

static void least_below(struct grid *g, struct options *o) {
    const struct grid_axes *x = &g->x;
    memcpy(o->below, o->best, sizeof *o->below * (size_t)x->n);
    for (int a = 0; a < x->n_axis; a++) {
        int stride = x->stride[a], block = stride * (x->cap[a] + 1);
        for (int b = 0; b < x->n; b += block)
            for (int r = b + stride; r < b + block; r += stride)
                for (int k = r; k < r + stride; k++)
                    if (o->below[k - stride] < o->below[k]) o->below[k] = o->below[k - stride];
    }
    g->work += (uint64_t)(x->n * x->n_axis);
}

static void keep_options(struct grid *g, struct options *o) {
    const struct grid_axes *x = &g->x;
    bool table = (double)o->n_touched * o->n_touched > 4.0 * x->n;
    o->n = 0;
    if (o->n_touched == 1) o->keep[o->n++] = o->at[o->touched[0]];
    if (table) least_below(g, o);
    for (int k = 0; k < o->n_touched && o->n_touched > 1; k++) {
        int r = o->touched[k];
        if (!useless(g, o, r, table)) o->keep[o->n++] = o->at[r];
    }
    for (int k = 0; k < o->n_touched; k++) o->best[o->touched[k]] = INFINITY;
    o->n_touched = 0;
}

/* Those that cost at most `most`. */
static void find_options(struct grid *g, struct options *o, int i, int e, int before, int tag, int next,
                         double most) {
    int n;
    const struct grid_way *w = grid_ways(g, i, e, tag, &n);
    for (int k = 0; k < n; k++) {
        double time_s = grid_way_s(g, &w[k], i, e, before, tag, next);
        if (time_s + g->x.least[w[k].shape] <= most) offer_vectors(g, o, w[k].shape, time_s, most);
    }
    g->work += (uint64_t)n;
    keep_options(g, o);
}

static void fill(double *x, size_t n, double value) {
    for (size_t k = 0; k < n; k++) x[k] = value;
}

/* What a stage may cost between the cheapest covers in front and behind, so that all of it is within `most`.
 */
static double allowance(const struct grid *g, int i, int e, int c, int before, int tag, int next,
                        double most) {
    bool crossed = c || (i > 0 && grid_may_cross(g, before, tag));
    return most - grid_front(g, c, before, tag, i) - grid_behind(g, crossed, tag, next, e);
}

/* All stages [i, e) in one place. */
static void add_stages(struct grid *g, struct options *o, int i, int e, int tag, double most) {
    int T = g->n_tag, states = T > 1 ? 2 : 1, n;
    grid_ways(g, i, e, tag, &n);
    for (int before = 0; before < (i > 0 ? T : 1) && n; before++)
        for (int next = 0; next < (e < g->t->s->L ? T : 1); next++)
            for (int c = 0; c < states; c++) {
                if (!*reached_at(g, c, before, tag, i)) continue;
                double within = allowance(g, i, e, c, before, tag, next, most);
                if (!(grid_least_cost(g, i, e, before, tag, next) <= within)) continue;
                find_options(g, o, i, e, before, tag, next, within);
                bool crossed = c || (i > 0 && grid_may_cross(g, before, tag));
                double *to = o->n ? reach(g, crossed, tag, next, e) : NULL;
                for (int k = 0; k < o->n; k++)
                    relax(g, to, layer(g, c, before, tag, i), &o->keep[k].v, o->keep[k].cost);
            }
}

/* Least sum of all layers, if it is no more than `close`; else anything above that. INFINITY also if stopped.
 */
static double build_table(struct grid *g, struct options *o, double close) {
    struct window_tables *t = g->t;
    int L = t->s->L, T = g->n_tag;
    double sum = grid_cover(g), most = (close + g->x.budget) * (1 + 1e-9);
    if (sum > close) return INFINITY;
    sum = INFINITY;
    memset(g->reached, 0, sizeof *g->reached * (size_t)((L + 1) * 2 * T * T));
    for (int tag = 0; tag < T; tag++) fill(reach(g, 0, 0, tag, 0), (size_t)g->x.n, 0);
    for (int e = 1; e <= L; e++) {
        if (window_stopped(t)) return INFINITY;
        for (int i = 0; i < e; i++)
            for (int tag = 0; tag < T; tag++) add_stages(g, o, i, e, tag, most);
    }
    for (int tag = 0; tag < T; tag++) sum = fmin(sum, entry(g, T > 1, tag, 0, L, (size_t)g->x.n - 1));
    return sum - g->x.budget;
}

/* ---- prices ------------------------------------------------------------------------- */

/* What one more weighted GPU saves, by the table of the first surrogate. */
static double price_of(const struct window_tables *t) {
    const struct surrogate *q = &t->surrogate[0];
    const double *sum = q->sum + t->s->L * (LEVELS + 1);
    int lower = q->top - (q->top + 7) / 8; /* 12 of LEVELS */
    if (!(q->cap > 0) || lower == q->top || !(sum[lower] < INFINITY)) return 0;
    return fmax(0, sum[lower] - sum[q->top]) / ((q->top - lower) * q->level);
}

/* Where a cover of the first layers stands: in front of `end`, in a cell of the table. */
struct place {
    int end, tag, next, crossed;
    size_t cell;
};

/* The stage that the table has put last there; false: none. */
static bool step_back(struct grid *g, struct options *o, struct place *at, double use[GRID_AXES]) {
    const struct grid_axes *x = &g->x;
    double value = entry(g, at->crossed, at->tag, at->next, at->end, at->cell);
    for (int i = at->end - 1; i >= 0; i--)
        for (int before = 0; before < (i > 0 ? g->n_tag : 1); before++)
            for (int c = 0; c < (g->n_tag > 1 ? 2 : 1); c++) {
                if ((c || (i > 0 && grid_may_cross(g, before, at->tag))) != at->crossed) continue;
                if (!*reached_at(g, c, before, at->tag, i)) continue;
                find_options(g, o, i, at->end, before, at->tag, at->next, value);
                for (int k = 0; k < o->n; k++) {
                    const struct option *q = &o->keep[k];
                    if (!grid_no_more(q->v, x->digits[at->cell])) continue;
                    size_t cell = at->cell - grid_cell(x, &q->v);
                    if (layer(g, c, before, at->tag, i)[cell] + q->cost != value) continue;
                    grid_axes_use(x, q->shape, q->vector, use);
                    *at = (struct place){i, before, at->tag, c, cell};
                    return true;
                }
            }
    return false;
}

/* The GPUs that the cheapest cover of the table takes. */
static bool table_use(struct grid *g, struct options *o, double use[GRID_AXES]) {
    int crossed = g->n_tag > 1, L = g->t->s->L;
    struct place at = {.end = L, .crossed = crossed, .cell = (size_t)g->x.n - 1};
    for (int tag = 1; tag < g->n_tag; tag++)
        if (entry(g, crossed, tag, 0, L, at.cell) < entry(g, crossed, at.tag, 0, L, at.cell)) at.tag = tag;
    while (at.end > 0)
        if (!step_back(g, o, &at, use)) return false;
    return true;
}

/* A step along the subgradient: the price of what a cheapest cover takes too much of goes up, that of what it
 * leaves goes down, as far as would raise the sum by `missing` if the cover stayed the same (Polyak). False:
 * it takes just what there is. */
static bool move_prices(const struct grid *g, const double use[GRID_AXES], double missing,
                        double price_of[GRID_AXES]) {
    const struct grid_axes *x = &g->x;
    double over[GRID_AXES] = {0}, norm = 0;
    for (int a = 0; a < x->n_axis; a++) {
        over[a] = use[a] - (double)x->gpus[a];
        if (over[a] > 0 || price_of[a] > 0) norm += over[a] * over[a];
    }
    for (int a = 0; a < x->n_axis && norm > 0; a++)
        price_of[a] = fmax(0, price_of[a] + missing / norm * over[a]);
    return norm > 0;
}

/* Looks for prices that close the window. `best_of`: where to begin, and the best that were found. */
static double find_prices(struct grid *g, struct options *o, double best_of[GRID_AXES]) {
    enum { TABLES = 8, PATIENCE = 3, LOOK = 4 };
    const double LEAST_STEP = 0.05, ENOUGH = 0.1;
    double of[GRID_AXES], first = 0, best = -INFINITY, step = 1.5, close = window_closing_sum(g->t);
    memcpy(of, best_of, sizeof of);
    for (int k = 0, idle = 0; k < TABLES; k++) {
        double use[GRID_AXES] = {0};
        grid_axes_price(&g->x, of);
        double sum = build_table(g, o, close);
        if (sum > close || g->t->stopped) {
            memcpy(best_of, of, sizeof of);
            return sum;
        }
        if (k == 0) first = sum;
        if (k == LOOK && best - first < ENOUGH * (close - first)) break; /* too far */
        if (sum > best) {
            if (sum > best + 1e-3 * close) idle = 0;
            best = sum;
            memcpy(best_of, of, sizeof of);
        }
        if (!(close < INFINITY) || !table_use(g, o, use)) break;
        if (++idle > PATIENCE) { /* from the best again, in smaller steps */
            step /= 2;
            idle = 0;
            if (step < LEAST_STEP) break;
            memcpy(of, best_of, sizeof of);
        } else if (!move_prices(g, use, step * fmax(close - sum, 0.01 * close), of))
            break;
    }
    return best;
}

/* ---- of a window -------------------------------------------------------------------- */

uint64_t grid_effort(struct grid *g) {
    const uint64_t OF_A_PARTIAL_PLAN = 600;
    uint64_t n = g->work / OF_A_PARTIAL_PLAN;
    g->work = 0;
    return n;
}

static void *alloc_cells(const struct grid *g, size_t size) { return oom_malloc(size * (size_t)g->x.n); }

static struct options new_options(const struct grid *g) {
    struct options o = {.best = alloc_cells(g, sizeof *o.best),
                        .below = alloc_cells(g, sizeof *o.below),
                        .at = alloc_cells(g, sizeof *o.at),
                        .touched = alloc_cells(g, sizeof *o.touched),
                        .keep = alloc_cells(g, sizeof *o.keep)};
    fill(o.best, (size_t)g->x.n, INFINITY);
    return o;
}

static void free_options(struct options *o) {
    free(o->best);
    free(o->below);
    free(o->at);
    free(o->touched);
    free(o->keep);
}

/* The axes and regions of the open window. */
static bool choose(struct grid *g) {
    struct window_tables *t = g->t;
    const struct space *s = t->s;
    if (g->x.u == t->u && g->x.scope == t->w.scope) return g->x.n > 0;
    bool crossing = scope_is_crossing(s, t->w.scope) && s->n_region > 1;
    if (crossing && s->n_region > GRID_REGIONS) return false;
    g->n_tag = crossing ? s->n_region + 1 : 1;
    grid_axes_choose(&g->x, fmin(GRID_CELLS, TABLES_CELLS / (g->n_tag * g->n_tag * (s->L + 1.0))));
    if (!g->x.n) return false;
    if (g->n_tag > 1 && g->mb != t->mb) grid_build_apart(g);
    size_t need = (size_t)(g->n_tag * g->n_tag * (s->L + 1)) * (size_t)g->x.n;
    if (need > g->cap_in) {
        for (int k = 0; k < 2; k++) {
            free(g->in[k]);
            g->in[k] = oom_malloc(sizeof(double) * need);
        }
        g->cap_in = need;
    }
    return true;
}

bool grid_build(struct grid *g, double price[GRID_AXES], double *sum) {
    struct window_tables *t = g->t;
    g->on = false;
    if (!choose(g)) return false;
    struct options o = new_options(g);
    double known = 0;
    for (int a = 0; a < g->x.n_axis; a++) known = fmax(known, price[a]);
    for (int a = 0; a < g->x.n_axis && !(known > 0); a++) price[a] = 2 * price_of(t) * g->x.worth[a];
    grid_list_ways(g);
    *sum = find_prices(g, &o, price);
    if (*sum < INFINITY && !t->stopped) { /* the table that is left is that of the best prices */
        grid_axes_price(&g->x, price);
        build_table(g, &o, window_closing_sum(t));
    }
    free_options(&o);
    g->path[0] = (struct grid_list){.n = 1};
    return g->on = !t->stopped;
}

/* ---- partial plans ------------------------------------------------------------------ */

static bool add(const struct grid *g, struct grid_vector x, struct grid_vector y, struct grid_vector *sum) {
    struct grid_vector left = g->x.digits[g->x.n - 1]; /* all there is */
    left.all -= x.all;
    sum->all = x.all + y.all;
    return grid_no_more(y, left);
}

/* Puts a vector into a list, dropping those that others make useless. If the list is full, two are replaced
 * by what they have in common. */
static void put(const struct grid *g, struct grid_list *list, struct grid_vector v, double price) {
    for (;;) {
        int n = 0;
        for (int k = 0; k < list->n; k++)
            if (grid_no_more(list->v[k], v) && list->price[k] <= price) return;
        for (int k = 0; k < list->n; k++) {
            if (grid_no_more(v, list->v[k]) && price <= list->price[k]) continue;
            list->v[n] = list->v[k];
            list->price[n++] = list->price[k];
        }
        list->n = n;
        if (n < GRID_LIST) break;
        list->n--;
        price = fmin(price, list->price[list->n]);
        for (int a = 0; a < g->x.n_axis; a++)
            if (list->v[list->n].level[a] < v.level[a]) v.level[a] = list->v[list->n].level[a];
    }
    list->v[list->n] = v;
    list->price[list->n++] = price;
}

double grid_rest(struct grid *g, int depth, int pattern, int l, bool crossed) {
    const struct grid_list *before = &g->path[depth - 1];
    struct grid_list *now = &g->path[depth];
    const struct grid_axes *x = &g->x;
    now->n = 0;
    for (int k = x->first[pattern]; k < x->first[pattern + 1]; k++)
        for (int j = 0; j < before->n; j++) {
            struct grid_vector v;
            if (add(g, before->v[j], x->vector[k], &v)) put(g, now, v, before->price[j] + x->price[k]);
        }
    double best = INFINITY;
    int tag = grid_tag(g, g->t->mb->pattern[pattern].regions), cls = g->t->mb->pattern[pattern].cls;
    for (int p = 0; p < (l > 0 ? g->n_tag : 1); p++) {
        bool free = g->n_tag == 1 || crossed || (l > 0 && grid_may_cross(g, p, tag));
        double more = l > 0 ? grid_apart(g, tag, p, cls, l) : 0;
        for (int k = 0; k < now->n; k++) {
            size_t at = (size_t)(x->n - 1) - grid_cell(x, &now->v[k]);
            double rest = free ? entry(g, 0, p, tag, l, at) : INFINITY;
            if (g->n_tag > 1) rest = fmin(rest, entry(g, 1, p, tag, l, at));
            best = fmin(best, now->price[k] + rest + more);
        }
    }
    return best - x->budget;
}
