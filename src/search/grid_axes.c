/* The axes of a grid, and what stages take of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/oom.h"
#include "search/grid.h"

enum { CELLS_FINE = 2500, Q_ROUGH = 2, Q_MAX = 16, VECTORS_MAX = 60000, OF_ONE_MAX = 2000, LEVEL_MAX = 127 };

void grid_axes_init(struct grid_axes *x, const struct window_tables *t, struct arena *a) {
    int most = 0;
    for (int k = 0; k < t->s->n_mb; k++) {
        int n = t->s->mb[k].n_pattern + t->s->mb[k].n_class;
        most = n > most ? n : most;
    }
    *x = (struct grid_axes){
        .t = t,
        .axis = ARENA_ARRAY(a, signed char, t->s->n_cell),
                            .least = ARENA_ARRAY(a, double, most + 1),
                                                 .shape = ARENA_ARRAY(a, struct grid_shape, most + 1),
                                                                      .first = ARENA_ARRAY(a, int, most + 2)};
}

void grid_axes_free(struct grid_axes *x) {
    free(x->vector);
    free(x->price);
    free(x->digits);
}

/* ---- axes --------------------------------------------------------------------------- */

static bool in_scope(const struct space *s, int scope, int cell) {
    return s->n_region == 1 || scope >= s->n_region || s->cell[cell].region == scope;
}

static int level_of(const struct grid_axes *x, long gpus) { return (int)(gpus * x->Q / x->D); }

/* Before they are in their order. */
struct axis {
    long gpus;
    double worth;
    int region;
};

/* Cells of a layer's table with Q levels for D GPUs. */
static double cells_with(const struct grid_axes *x, const struct axis *of, int n, int Q) {
    double cells = 1;
    for (int a = 0; a < n; a++) cells *= (double)(of[a].gpus * Q / x->D + 1);
    return cells;
}

/* Of the same region the two that are most similar in worth become one. */
static bool join_two(const struct space *s, struct axis *of, int *n, int *axis_of) {
    int p = -1, q = -1;
    double best = INFINITY;
    for (int a = 0; a < *n; a++)
        for (int b = a + 1; b < *n; b++) {
            double apart = fabs(log(fmax(of[a].worth, 1e-9) / fmax(of[b].worth, 1e-9)));
            if (of[a].region == of[b].region && apart < best) {
                best = apart;
                p = a;
                q = b;
            }
        }
    if (p < 0) return false;
    of[p].gpus += of[q].gpus;
    of[p].worth = fmin(of[p].worth, of[q].worth);
    of[q] = of[--*n];
    for (int c = 0; c < s->n_cell; c++) {
        if (axis_of[c] == q) axis_of[c] = p;
        if (axis_of[c] == *n) axis_of[c] = q;
    }
    return true;
}

/* The longest axis last: its cells lie side by side. */
static bool set_axes(struct grid_axes *x, const struct axis *of, int n, const int *axis_of) {
    const struct space *s = x->t->s;
    int order[GRID_AXES], at[GRID_AXES];
    for (int a = 0; a < n; a++) {
        int k = a;
        for (; k > 0 && of[order[k - 1]].gpus > of[a].gpus; k--) order[k] = order[k - 1];
        order[k] = a;
    }
    x->n_axis = n;
    x->n = 1;
    for (int k = n - 1; k >= 0; k--) {
        at[order[k]] = k;
        x->gpus[k] = of[order[k]].gpus;
        x->worth[k] = of[order[k]].worth;
        x->cap[k] = level_of(x, x->gpus[k]);
        if (x->cap[k] > LEVEL_MAX) return false;
        x->stride[k] = x->n;
        x->n *= x->cap[k] + 1;
    }
    for (int c = 0; c < s->n_cell; c++) x->axis[c] = (signed char)(axis_of[c] < 0 ? -1 : at[axis_of[c]]);
    x->digits = oom_realloc(x->digits, (size_t)x->n, sizeof *x->digits);
    for (int r = 0; r < x->n; r++) {
        x->digits[r].all = 0;
        for (int a = 0; a < n; a++)
            x->digits[r].level[a] = (unsigned char)(r / x->stride[a] % (x->cap[a] + 1));
    }
    return true;
}

/* One axis per cell of the scope; those most similar are joined until the table is small enough. Then the
 * finest levels for which it still is. */
static bool choose_axes(struct grid_axes *x, double most) {
    enum { AXES = 16 };
    const struct space *s = x->t->s;
    const double *worth = x->t->surrogate[0].weight;
    struct axis of[AXES];
    int axis_of[CELLS_MAX], n = 0;
    for (int c = 0; c < s->n_cell; c++) {
        axis_of[c] = -1;
        if (!in_scope(s, x->scope, c)) continue;
        if (n == AXES) return false;
        axis_of[c] = n;
        of[n++] = (struct axis){s->cell[c].gpus, worth[s->cell[c].gpu], s->cell[c].region};
    }
    while (n > GRID_AXES || cells_with(x, of, n, 1) > most)
        if (!join_two(s, of, &n, axis_of)) return false;
    if (n < 2) return false;
    for (x->Q = 1; x->Q < Q_MAX; x->Q++)
        if (cells_with(x, of, n, x->Q + 1) > (x->Q < Q_ROUGH ? most : fmin(CELLS_FINE, most))) break;
    return set_axes(x, of, n, axis_of);
}

/* ---- vectors ------------------------------------------------------------------------ */

static void add_vector(struct grid_axes *x, const int level[GRID_AXES]) {
    if (x->n_vector == x->cap_vector) {
        x->cap_vector = x->cap_vector ? 2 * x->cap_vector : 1024;
        x->vector = oom_realloc(x->vector, (size_t)x->cap_vector, sizeof *x->vector);
        x->price = oom_realloc(x->price, (size_t)x->cap_vector, sizeof *x->price);
    }
    struct grid_vector *v = &x->vector[x->n_vector++];
    v->all = 0;
    for (int a = 0; a < x->n_axis; a++) v->level[a] = (unsigned char)level[a];
}

/* The fewest and the most replicas of t GPUs that take so many levels, rounded down. */
static long fewest(const struct grid_axes *x, long t, int least, long level) {
    long j = (level * x->D + t * x->Q - 1) / (t * x->Q);
    return j > least ? j : least;
}

static long most(const struct grid_axes *x, long t, long level) {
    return ((level + 1) * x->D - 1) / (t * x->Q);
}

/* Lists all vectors of levels of a stage that has from `lo` to `hi` replicas on the axes before `axis`. */
static void split(struct grid_axes *x, const struct grid_shape *s, int axis, long lo, long hi, int *level) {
    if (x->n_vector - x->of_one > OF_ONE_MAX) return;
    if (axis == x->n_axis) {
        if (hi >= x->D) add_vector(x, level);
        return;
    }
    level[axis] = 0;
    if (!s->gpus[axis]) {
        split(x, s, axis + 1, lo, hi, level);
        return;
    }
    for (int k = 0; k <= x->cap[axis]; k++) {
        long t = s->gpus[axis], few = fewest(x, t, s->least, k), many = most(x, t, k);
        if (lo + few > x->D) return;
        if (many < few) continue;
        level[axis] = k;
        split(x, s, axis + 1, lo + few, hi + many, level);
    }
}

static bool list_vectors(struct grid_axes *x, int shape) {
    int level[GRID_AXES] = {0};
    x->of_one = x->n_vector;
    split(x, &x->shape[shape], 0, 0, 0, level);
    return x->n_vector - x->of_one <= OF_ONE_MAX && x->n_vector <= VECTORS_MAX;
}

bool grid_left_out(const struct stage_class *cl) { return cl->rest || cl->most_cells < cl->n_cell; }

static void least_gpus(struct grid_shape *shape, int axis, int gpus) {
    int *to = &shape->gpus[axis];
    if (!*to || gpus < *to) *to = gpus;
}

static bool build_vectors(struct grid_axes *x) {
    const struct space *s = x->t->s;
    const struct mb_space *mb = x->t->mb;
    int n = 0;
    x->n_vector = 0;
    for (int p = 0; p < mb->n_pattern; p++, n++) {
        const struct pattern *q = &mb->pattern[p];
        x->first[n] = x->n_vector;
        x->shape[n] = (struct grid_shape){.least = 1};
        if (q->n > x->D || q->room < x->D || !scope_has(s, x->scope, q)) continue;
        for (int i = 0; i < q->n; i++) least_gpus(&x->shape[n], x->axis[q->cell[i]], 1 << q->ti[i]);
        if (!list_vectors(x, n)) return false;
    }
    for (int c = 0; c < mb->n_class; c++, n++) {
        const struct stage_class *cl = &mb->cls[c];
        x->first[n] = x->n_vector;
        x->shape[n] = (struct grid_shape){.least = 0};
        if (!grid_left_out(cl)) continue;
        for (int k = 0; k < s->n_cell; k++) {
            int type = s->cell[k].gpu, ti = cl->rest ? mb->least_ti[type] : cl->ti[type];
            if (ti >= 0 && cl->gpus >> type & 1 && x->axis[k] >= 0)
                least_gpus(&x->shape[n], x->axis[k], 1 << ti);
        }
        if (!list_vectors(x, n)) return false;
    }
    x->first[n] = x->n_vector;
    return true;
}

void grid_axes_choose(struct grid_axes *x, double cells) {
    x->u = x->t->u;
    x->D = x->t->u->D;
    x->scope = x->t->w.scope;
    if (!choose_axes(x, cells) || !build_vectors(x)) x->n = 0;
}

/* ---- prices ------------------------------------------------------------------------- */

/* The fewest replicas that each axis must have, the others where they are cheapest. Returns their price. */
static double cheapest(const struct grid_axes *x, const struct grid_shape *s, const struct grid_vector *v,
                       double *use) {
    long left = x->D, more[GRID_AXES] = {0};
    double price = 0;
    for (int a = 0; a < x->n_axis; a++) {
        if (!s->gpus[a]) continue;
        long few = fewest(x, s->gpus[a], s->least, v->level[a]);
        more[a] = most(x, s->gpus[a], v->level[a]) - few;
        left -= few;
        use[a] += (double)(few * s->gpus[a]);
        price += x->price_of[a] * (double)(few * s->gpus[a]);
    }
    while (left > 0) {
        int best = -1;
        for (int a = 0; a < x->n_axis; a++)
            if (more[a] > 0 && (best < 0 || x->price_of[a] * s->gpus[a] < x->price_of[best] * s->gpus[best]))
                best = a;
        if (best < 0) break; /* more than the vector has room for: not listed */
        long n = left < more[best] ? left : more[best];
        use[best] += (double)(n * s->gpus[best]);
        price += x->price_of[best] * (double)(n * s->gpus[best]);
        left -= n;
        more[best] = 0;
    }
    return price;
}

void grid_axes_price(struct grid_axes *x, const double price_of[GRID_AXES]) {
    int shapes = x->t->mb->n_pattern + x->t->mb->n_class;
    x->budget = 0;
    for (int a = 0; a < x->n_axis; a++) {
        x->price_of[a] = price_of[a];
        x->budget += price_of[a] * (double)x->gpus[a];
    }
    x->budget *= 1 + 1e-12;
    for (int p = 0; p < shapes; p++) {
        x->least[p] = INFINITY;
        for (int k = x->first[p]; k < x->first[p + 1]; k++) {
            double use[GRID_AXES] = {0};
            x->price[k] = cheapest(x, &x->shape[p], &x->vector[k], use) * (1 - 1e-12);
            x->least[p] = fmin(x->least[p], x->price[k]);
        }
    }
}

void grid_axes_use(const struct grid_axes *x, int shape, int vector, double use[GRID_AXES]) {
    cheapest(x, &x->shape[shape], &x->vector[vector], use);
}
