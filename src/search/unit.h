#ifndef SAILOR_SEARCH_UNIT_H
#define SAILOR_SEARCH_UNIT_H
#include "search/goal.h"
#include "search/space.h"
#include "sim/terms.h"
/* The tables of one unit: all plans of one (microbatch, D). */

struct unit {
    const struct space *s;
    const struct mb_space *mb;
    int D, M;         /* of a block: the fewest replicas, and the fewest microbatches */
    int most;         /* the most replicas; more than D: only windows are opened */
    const int *depth; /* as mb->depth, for D replicas */
    double *ring;     /* [link][ring_ti][range]: all-reduce of a stage's gradients, INFINITY if impossible */
    double slowest_ring; /* that is possible, in the pool itself */
    double *self_ring;   /* [cell][ring_ti][range] where zones are merged: inside each cell of the pool */
    double *sync_min;    /* [scope][class][range]: least all-reduce of a stage */
    struct unit *real;   /* where zones are merged: the same in the pool itself */
    struct span **sync; /* [pattern] -> [range], filled by unit_sync(); lo is NAN where it is not known yet */
    int **need;         /* [pattern] -> [set], filled by unit_take() */
    struct arena *a;
};

/** Plans of a unit fall into scopes: those inside one region; those that never send activations between
 * regions, so that every stage spans the same regions and pays for it in its all-reduce; and those that do,
 * and pay for it per microbatch. */
static inline int unit_scopes(const struct space *s) { return s->n_region > 1 ? s->n_region + 2 : 1; }

static inline bool scope_is_crossing(const struct space *s, int scope) { return scope == s->n_region + 1; }

/** May a stage of this pattern occur in the scope? */
bool scope_has(const struct space *s, int scope, const struct pattern *p);

/** Microbatches per replica: M. */
int unit_microbatches(const struct space *s, const struct mb_space *mb, int D);

/** Tables of one unit (most == D), or of a block: all units of D to `most` replicas, D >= 2. In `a`. False:
 * stopped, they are not whole. */
bool unit_build(struct unit *u, const struct space *s, const struct mb_space *mb, int D, int most,
                struct arena *a);

/** Index into a table of rows over the ranges of layers. */
static inline size_t unit_at(const struct unit *u, int row, int first, int end) {
    return (size_t)row * (size_t)u->s->n_range + (size_t)u->s->range_of[first * (u->s->L + 1) + end];
}

/** Least all-reduce of a stage of this class in the scope, over all its patterns, built or not. */
static inline double unit_sync_min(const struct unit *u, int scope, int cls, int first, int end) {
    return u->sync_min[unit_at(u, scope * u->mb->n_class + cls, first, end)];
}

/** The gradient all-reduce of a pattern (of at most D cells) over [first, end): bounds over counts and zone
 * orders. Computed when it is first asked for, like all tables by pattern. */
struct span unit_sync(const struct unit *u, int pattern, int first, int end);

/** Put a stage of the pattern on top of a path of `depth` stages (rule 13): the next level of two stacks, of
 * the GPUs that each set of cells gives, need[depth][set], and of the replicas per cell and degree,
 * pack[depth][cell][ti]. False: there is no room. */
bool unit_take(const struct unit *u, int depth, int pattern, int *need, int *pack);

/** ring[range]: least all-reduce over D workers of any stage with at least that many parameters, on any
 * link. */
void unit_least_rings(const struct space *s, int D, double *ring);

/** What the slowest stage and the largest all-reduce of a plan of at most this time can take, by the outline.
 * lo > hi: there is no such plan. */
struct useful {
    struct span slowest_s;
    double sync_s; /* at most */
};
struct useful unit_useful(const struct unit *u, double max_time_s);

/** Lower bounds on time and cost of (m, D) from the outline of its microbatch; `ring` from
 * unit_least_rings(). INFINITY: no plan within the goal's limit on the time. Cost is 0 unless money counts.
 */
struct point unit_crude_bound(const struct space *s, const struct mb_space *mb, int D, const double *ring,
                              double max_time_s);

/** The time of the ring step from cell a to cell b for a stage [first, end) whose least degree is
 * 2^min_ti. */
double unit_ring(const struct unit *u, int cell_a, int cell_b, int min_ti, int first, int end);

/** Where zones are merged: the ring step inside cell `cell` of the pool itself. */
static inline double unit_self_ring(const struct unit *u, int cell, int min_ti, int first, int end) {
    return u->self_ring[unit_at(u, cell * RING_TI_N + ring_ti(min_ti), first, end)];
}

#endif
