#ifndef SAILOR_SEARCH_UNIT_H
#define SAILOR_SEARCH_UNIT_H
#include "search/goal.h"
#include "search/space.h"
/* Solving one unit: every plan of one (microbatch, D) that could beat what is known. */

struct unit {
    const struct space *s;
    const struct mb_space *mb;
    int D, M;
    double *ring;      /* [link][ti 0..2][range]: all-reduce of a stage's gradients, INFINITY if impossible */
    struct span *sync; /* [pattern][range]: gradient all-reduce, bounds over counts and zone orders */
    double *sync_min;  /* [scope][class][range]: least all-reduce of a stage */
    int *need;         /* [pattern][set]: GPUs of the set that a stage takes at least */
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

/** Tables of one unit, in `a`. False: stopped, they are not whole. */
bool unit_build(struct unit *u, const struct space *s, const struct mb_space *mb, int D, struct arena *a);

/** Least all-reduce of a stage of this class in the scope, over all its patterns. */
static inline double unit_sync_min(const struct unit *u, int scope, int cls, int first, int end) {
    return u->sync_min[(scope * u->mb->n_class + cls) * u->s->n_range +
                       u->s->range_of[first * (u->s->L + 1) + end]];
}

/** The gradient all-reduce of a pattern (of at most D cells) over [first, end): bounds over counts and zone
 * orders. */
static inline struct span unit_sync(const struct unit *u, int pattern, int first, int end) {
    return u
        ->sync[(size_t)pattern * (size_t)u->s->n_range + (size_t)u->s->range_of[first * (u->s->L + 1) + end]];
}

/** ring[range]: least all-reduce over D workers of any stage with at least that many parameters, on any link.
 */
void unit_least_rings(const struct space *s, int D, double *ring);

/** Lower bounds on time and cost of (m, D) from the outline of its microbatch; `ring` from
 * unit_least_rings(). INFINITY: no plan within the goal's limit on the time. Cost is 0 unless money counts.
 */
struct point unit_crude_bound(const struct space *s, const struct mb_space *mb, int D, const double *ring,
                              double max_time_s);

/** A stage of a candidate plan. */
struct choice {
    int first, end, pattern;
};

struct unit_answer {
    enum unit_status status; /* UNIT_SOLVED, UNIT_PRUNED, UNIT_OPEN; UNIT_TODO if stopped */
    double lower_bound;      /* of an open unit: on the objective, over the plans that were left out */
    double gap; /* of an open unit, for a frontier: how far, relatively, they may lie beyond it */
    uint64_t nodes, plans;
    int n_plan; /* plans that beat the goal: one, or for a frontier all that are not dominated */
    struct found_plan *plan;
};

/** What a thread needs to solve units one after the other. */
struct workspace;
struct workspace *workspace_new(const struct space *s);
void workspace_free(struct workspace *w);

/** Lower bounds on time and cost of (m, D) by the tables of the search, INFINITY if nothing can beat the
 * goal. */
struct point unit_root_bound(struct workspace *w, const struct mb_space *mb, int D, const struct goal *goal);

/** Solve. `goal` is what was known before; the answer depends on nothing else. Plans live in `a`. `effort`
 * bounds the work (partial plans looked at; 0 = to the end): a unit cut short is UNIT_OPEN. With `tolerance`
 * > 0, plans that promise less than that relative gain may be left out; the bound says so.
 */
struct unit_effort {
    uint64_t limit;   /* partial plans; 0 = no limit */
    double tolerance; /* 0 = exact */
    bool dive;        /* straight to the first plans, no proof wanted */
};
void unit_solve(struct workspace *w, const struct mb_space *mb, int D, const struct goal *goal,
                struct unit_effort effort, struct unit_answer *out, struct arena *a);

/* ---- between the search and counts.c ------------------------------------------------ */

/** The time of the ring step from cell a to cell b for this stage. */
double unit_ring(const struct unit *u, int cell_a, int cell_b, int min_ti, int first, int end);

/** Called with every plan a candidate stands for that may be wanted. */
typedef void offer_fn(void *ctx, const struct plan *p);

/** All plans of a candidate (patterns and cuts chosen, first stage first; at least `egress_usd` of traffic)
 * that the goal may want: zone orders, pairings and counts. Exact: all counts where they are few, else for
 * each combination of transfers that can occur the cheapest counts (by integer programming). *programs: in,
 * the most programs to solve; out, what is left. False if that was not enough. */
bool counts_resolve(const struct unit *u, const struct goal *goal, const struct choice *stage, int P,
                    double egress_usd, int *programs, offer_fn *offer, void *ctx, struct arena *scratch);

#endif
