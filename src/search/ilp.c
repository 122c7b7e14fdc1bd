/* Branch and bound on a dense two-phase simplex with Bland's rule (no cycling). The programs have a few
 * dozen variables and rows, and their linear relaxations are nearly always integral. */
#include "search/ilp.h"

#include <math.h>
#include <string.h>

/* Of entries of rows, which are of small whole numbers; and of reduced costs, of which the largest is 1. */
static const double EPS = 1e-9, COST_EPS = 1e-13;

struct ilp *ilp_new(int n, int rows, struct arena *a) {
    struct ilp *p = ARENA_NEW(a, struct ilp);
    *p = (struct ilp){
        .n = n,
        .cap = rows,
        .cost = ARENA_ARRAY(a, double, n + 1),
                            .a = ARENA_ARRAY(a, double, (size_t)rows * (size_t)n + 1),
                                              .b = ARENA_ARRAY(a, double, rows + 1),
                                                               .equal = ARENA_ARRAY(a, bool, rows + 1)};
    return p;
}

double *ilp_row(struct ilp *p, bool equal, double b) {
    p->b[p->m] = b;
    p->equal[p->m] = equal;
    return p->a + (size_t)p->m++ * (size_t)p->n;
}

/* A linear program in tableau form: rows [m+1][w], last column the right side, last row the reduced costs. */
struct tableau {
    int m, w;
    double *t;
    int *basis;
};

static void pivot(struct tableau *T, int row, int col) {
    int w = T->w;
    double *p = T->t + (size_t)row * (size_t)w, f = 1 / p[col];
    for (int j = 0; j < w; j++) p[j] *= f;
    for (int i = 0; i <= T->m; i++) {
        double *q = T->t + (size_t)i * (size_t)w, g = q[col];
        if (i == row || g == 0) continue;
        for (int j = 0; j < w; j++) q[j] -= g * p[j];
    }
    T->basis[row] = col;
}

/* Minimise over columns [0, cols). Bounded by construction (counts). */
static void optimise(struct tableau *T, int cols, double cost_eps) {
    const double *z = T->t + (size_t)T->m * (size_t)T->w;
    for (;;) {
        int col = 0, row = -1;
        while (col < cols && z[col] > -cost_eps) col++;
        if (col == cols) return;
        double best = 0;
        for (int i = 0; i < T->m; i++) {
            double a = T->t[(size_t)i * (size_t)T->w + (size_t)col];
            if (a <= EPS) continue;
            double r = T->t[(size_t)i * (size_t)T->w + (size_t)T->w - 1] / a;
            if (row < 0 || r < best - EPS || (r < best + EPS && T->basis[i] < T->basis[row])) {
                best = r;
                row = i;
            }
        }
        if (row < 0) return; /* unbounded: cannot be, costs are not negative */
        pivot(T, row, col);
    }
}

/* Linear relaxation with x in [lo, hi]. False: infeasible. */
static bool relax(const struct ilp *p, const long *lo, const long *hi, double *x, double *cost,
                  struct arena *scratch) {
    int n = p->n, m = p->m, bounds = 0;
    for (int j = 0; j < n; j++) bounds += hi[j] >= 0;
    int rows = m + bounds, slack = n, artificial = n + rows, w = n + 2 * rows + 1;
    struct tableau T = {
        rows, w,
        ARENA_ARRAY(scratch, double, (size_t)(rows + 1) * (size_t)w), ARENA_ARRAY(scratch, int, rows + 1)};
    int r = 0;
    for (int i = 0; i < m; i++, r++) {
        double *row = T.t + (size_t)r * (size_t)w, b = p->b[i];
        for (int j = 0; j < n; j++) {
            row[j] = p->a[(size_t)i * (size_t)n + (size_t)j];
            b -= row[j] * (double)lo[j];
        }
        if (!p->equal[i]) row[slack + r] = 1;
        row[w - 1] = b;
    }
    for (int j = 0; j < n; j++)
        if (hi[j] >= 0) {
            double *row = T.t + (size_t)r * (size_t)w;
            if (hi[j] < lo[j]) return false;
            row[j] = 1;
            row[slack + r] = 1;
            row[w - 1] = (double)(hi[j] - lo[j]);
            r++;
        }
    double *z = T.t + (size_t)rows * (size_t)w;
    for (int i = 0; i < rows; i++) { /* an artificial variable where the slack cannot start the basis */
        double *row = T.t + (size_t)i * (size_t)w;
        if (row[w - 1] < 0)
            for (int j = 0; j < w; j++) row[j] = -row[j];
        if (row[slack + i] == 1) {
            T.basis[i] = slack + i;
            continue;
        }
        row[artificial + i] = 1;
        T.basis[i] = artificial + i;
        for (int j = 0; j < w; j++)
            if (j < artificial || j == w - 1) z[j] -= row[j];
    }
    optimise(&T, artificial, EPS);
    if (z[w - 1] < -1e-7) return false;
    for (int i = 0; i < rows; i++) /* drive artificials out, or they stay at zero on empty rows */
        if (T.basis[i] >= artificial)
            for (int j = 0; j < artificial; j++)
                if (fabs(T.t[(size_t)i * (size_t)w + (size_t)j]) > 1e-7) {
                    pivot(&T, i, j);
                    break;
                }
    memset(z, 0, sizeof *z * (size_t)w);
    double top = 0; /* costs may be tiny: tolerances are relative to the largest */
    for (int j = 0; j < n; j++) top = fmax(top, fabs(p->cost[j]));
    for (int j = 0; j < n; j++) z[j] = top > 0 ? p->cost[j] / top : 0;
    for (int i = 0; i < rows; i++)
        if (T.basis[i] < n && z[T.basis[i]] != 0) {
            double f = z[T.basis[i]];
            for (int j = 0; j < w; j++) z[j] -= f * T.t[(size_t)i * (size_t)w + (size_t)j];
        }
    optimise(&T, artificial, EPS);
    optimise(&T, artificial, COST_EPS); /* the last digits, from what is nearly the optimum */
    for (int j = 0; j < n; j++) x[j] = (double)lo[j];
    for (int i = 0; i < rows; i++)
        if (T.basis[i] < n) x[T.basis[i]] += T.t[(size_t)i * (size_t)w + (size_t)w - 1];
    *cost = 0;
    for (int j = 0; j < n; j++) *cost += p->cost[j] * x[j];
    return true;
}

static bool satisfied(const struct ilp *p, const long *x) {
    for (int i = 0; i < p->m; i++) {
        double sum = 0;
        for (int j = 0; j < p->n; j++) sum += p->a[(size_t)i * (size_t)p->n + (size_t)j] * (double)x[j];
        if (p->equal[i] ? sum != p->b[i] : sum > p->b[i]) return false;
    }
    return true;
}

static void branch(struct ilp *p, long *lo, long *hi, long *best, double *best_cost, struct arena *scratch) {
    double x[p->n + 1], cost;
    if (!relax(p, lo, hi, x, &cost, scratch) || cost >= *best_cost - 1e-12 * fabs(*best_cost)) return;
    int split = -1;
    double worst = 1e-6;
    long rounded[p->n + 1];
    for (int j = 0; j < p->n; j++) {
        double f = fabs(x[j] - nearbyint(x[j]));
        rounded[j] = (long)nearbyint(x[j]);
        if (f > worst) {
            worst = f;
            split = j;
        }
    }
    if (split < 0) {
        if (!satisfied(p, rounded)) {
            p->unsure = true;
            return;
        }
        memcpy(best, rounded, sizeof *best * (size_t)p->n);
        *best_cost = cost;
        return;
    }
    long keep_lo = lo[split], keep_hi = hi[split], down = (long)floor(x[split]);
    hi[split] = down;
    branch(p, lo, hi, best, best_cost, scratch);
    hi[split] = keep_hi;
    lo[split] = down + 1;
    branch(p, lo, hi, best, best_cost, scratch);
    lo[split] = keep_lo;
}

bool ilp_solve(struct ilp *p, long *x, double *cost, struct arena *scratch) {
    long lo[p->n + 1], hi[p->n + 1];
    for (int j = 0; j < p->n; j++) {
        lo[j] = 0;
        hi[j] = -1;
    }
    *cost = INFINITY;
    if (p->n == 0) { /* nothing to choose */
        *cost = 0;
        for (int i = 0; i < p->m; i++)
            if (p->equal[i] ? p->b[i] != 0 : p->b[i] < 0) return false;
        return true;
    }
    branch(p, lo, hi, x, cost, scratch);
    return *cost < INFINITY;
}
