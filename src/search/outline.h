#ifndef SAILOR_SEARCH_OUTLINE_H
#define SAILOR_SEARCH_OUTLINE_H
#include "search/space.h"
/* The outline of a microbatch: what rule 2 of docs/search.md bounds every D with at once. Resources count per
 * replica: a stage of D replicas takes at least D times its cheapest kind, so D divides out, and the pool of
 * a unit is the pool divided by D. For each of OUTLINE_X limits on the slowest stage, a table over levels of
 * the weighted resource says what sum of stage times covers the model at least; needs are rounded down, so
 * that the table errs on the low side only. All cells lie in one pot, and a stage is charged its least
 * possible transfers. */

enum { OUTLINE_X = 28, OUTLINE_LEVELS = 255 };

struct outline {
    double weight[GPUS_MAX];                   /* of one GPU */
    double step[OUTLINE_X + 1];                /* limits on the largest stage time, ascending */
    double level;                              /* resources of one level */
    double cheapest;                           /* least resources of a stage */
    double least[OUTLINE_X];                   /* least resources that cover the model within step[k + 1] */
    double free_sum[OUTLINE_X];                /* least sum of stage times within step[k + 1] */
    double sum[OUTLINE_X][OUTLINE_LEVELS + 1]; /* the same, within so many levels */
};

/** Weights alone, in `a`. */
struct outline *outline_new(const double weight[GPUS_MAX], struct arena *a);

/** The tables, once those of `mb` are built; several may be filled at once. It ends early, the tables half
 * done, when s->stop says so. */
void outline_fill(struct outline *o, const struct space *s, const struct mb_space *mb);

#endif
