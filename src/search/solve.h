#ifndef SAILOR_SEARCH_SOLVE_H
#define SAILOR_SEARCH_SOLVE_H
#include "search/goal.h"
#include "search/unit.h"
/* Solving one unit: every plan of one (microbatch, D) that could beat what is known. */

struct unit_answer {
    enum unit_status status; /* UNIT_SOLVED, UNIT_PRUNED, UNIT_OPEN; UNIT_TODO if stopped */
    double lower_bound;      /* of an open unit: on the objective, over the plans that were left out */
    double gap; /* of an open unit, for a frontier: how far, relatively, they may lie beyond it */
    uint64_t nodes, plans;
    struct bound_counts bounds;
    int n_plan; /* plans that beat the goal: one, or for a frontier all that are not dominated */
    struct found_plan *plan;
};

struct unit_effort {
    uint64_t limit;   /* partial plans; 0 = no limit. A unit cut short is UNIT_OPEN */
    double tolerance; /* > 0: plans that promise less than that relative gain may be left out; the bound says
                         so */
    bool lay_out; /* merged zones: look for the real plans of merged ones, instead of taking their bounds */
    bool dive;    /* straight to the first plans, no proof wanted */
};

/** What a thread needs to solve units one after the other. `memo`, which lives on, may be that of the
 * thread's other workspaces. */
struct workspace;
struct memo;
struct workspace *workspace_new(const struct space *s, struct memo *memo);
void workspace_free(struct workspace *w);

/** Lower bounds on time and cost of all plans of D to `most` replicas (one unit, or a block of them with D >=
 * 2) by the tables of the search, INFINITY if nothing can beat the goal. */
struct point unit_root_bound(struct workspace *w, const struct mb_space *mb, int D, int most,
                             const struct goal *goal);

/** Solve. `goal` is what was known before; the answer depends on nothing else. Plans live in `a`. `stop`
 * is polled. */
void unit_solve(struct workspace *w, const struct mb_space *mb, int D, const struct goal *goal,
                struct unit_effort effort, struct unit_answer *out, struct arena *a);

#endif
