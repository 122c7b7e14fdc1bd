#ifndef SAILOR_SEARCH_ILP_H
#define SAILOR_SEARCH_ILP_H
#include "base/arena.h"
#include <stdbool.h>
/* Small exact integer programs: minimise c.x over integers x >= 0 with rows a.x <= b or a.x == b.
 * Coefficients of the rows are small integers (GPU counts), so the tolerances of a dense double-precision
 * simplex are safe; the integer solution is checked in integers. */

struct ilp {
    int n, m, cap; /* variables, rows, room for rows */
    double *cost;  /* [n] */
    double *a;     /* [cap][n] */
    double *b;     /* [cap] */
    bool *equal;   /* [cap] */
    bool unsure;   /* set by ilp_solve(): rounding left a case undecided (never seen) */
};

/** An empty program with room for `rows` rows; a row is added by ilp_row(), which returns its zeroed
 * coefficients. */
struct ilp *ilp_new(int n, int rows, struct arena *a);
double *ilp_row(struct ilp *p, bool equal, double b);

/** Solve into x[n]. Returns true and the least cost, or false if there is no solution. Deterministic. */
bool ilp_solve(struct ilp *p, long *x, double *cost, struct arena *scratch);

#endif
