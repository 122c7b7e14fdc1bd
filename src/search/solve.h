#ifndef SAILOR_SEARCH_SOLVE_H
#define SAILOR_SEARCH_SOLVE_H
#include "search/proof.h"
#include "search/window.h"
/* Solving one unit: every plan of one (microbatch, D) that could beat what is known. */

struct unit_answer {
    enum unit_status status; /* UNIT_SOLVED, UNIT_PRUNED, UNIT_OPEN; UNIT_TODO if stopped */
    double lower_bound;      /* of an open unit: on the objective, over the plans that were left out */
    double gap; /* of an open unit, for a frontier: how far, relatively, they may lie beyond it */
    uint64_t nodes, plans;
    struct bound_counts bounds;
    int n_plan; /* plans that beat the goal: one, or for a frontier all that are not dominated */
    int room;   /* for plans in the list */
    struct found_plan *plan;
    /* Of a slice of an attempt, for unit_conclude(): */
    bool opened;         /* it had something to search */
    struct proof proof;  /* without its goal */
    double image_lb;     /* merged zones: the least bound of what is left */
    int n_left;          /* windows that it did not get to */
    struct window *left; /* [n_left] */
};

enum { GOAL_FRONT_MAX = 4096 }; /* points of a frontier that a unit has to beat */

struct unit_effort {
    uint64_t limit;   /* partial plans; 0 = no limit. A unit cut short is UNIT_OPEN */
    double tolerance; /* > 0: plans that promise less than that relative gain may be left out; the bound says
                         so */
    bool lay_out; /* merged zones: look for the real plans of merged ones, instead of taking their bounds */
    uint64_t grid_after; /* partial plans of a unit after which a grid is worth while; 0: as usual */
    bool dive;           /* straight to the first plans, no proof wanted */
};

/** Where a slice of an attempt begins: with the first windows of the unit (w NULL), or with those that
 * another has left. */
struct unit_slice {
    const struct window *w;
    int n;
    uint64_t examined; /* partial plans of the attempt so far */
    uint64_t patience; /* those of this slice, but that a window is not left in the middle */
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

/** A slice of an attempt at a unit, against `goal`. Unless it was stopped (UNIT_TODO), the attempt goes on
 * with the windows that it left, or is over; then the answers of all slices, joined, are concluded. The
 * answer depends on nothing else. Plans and windows live in `a`. `stop` is polled. */
void unit_solve(struct workspace *w, const struct mb_space *mb, int D, const struct goal *goal,
                struct unit_effort effort, const struct unit_slice *slice, struct unit_answer *out,
                struct arena *a);

/** Adds the answer of a slice, whose plans are estimated, to that of the slices before, and its plans to
 * what they have to beat, with room for GOAL_FRONT_MAX points. What it left is the caller's. Plans are
 * copied to `a`. */
void unit_join(struct unit_answer *sum, struct goal *goal, const struct unit_answer *slice, struct arena *a);

/** The answer of an attempt from the sum of its slices; windows that are left stay open. */
void unit_conclude(const struct space *s, const struct mb_space *mb, int D, const struct goal *goal,
                   struct unit_answer *sum);

#endif
