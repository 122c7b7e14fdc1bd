#ifndef SAILOR_SEARCH_WINDOW_H
#define SAILOR_SEARCH_WINDOW_H
#include "search/goal.h"
#include "search/unit.h"
#include "sim/terms.h"
/* Windows on the largest stage time X, the largest all-reduce y and the USD rate, and the tables that
 * bound the plans in them. */

/* surrogates: by speed, each type, all alike, between that and speed, by price, and that of the chain */
enum { LEVELS = 95, SURROGATES_MAX = GPUS_MAX + 5 };

enum { GRID_AXES = 6 }; /* of grid.h */

struct window {
    int scope;
    double x_lo, x_hi, y_lo, y_hi, r_lo, r_hi; /* largest stage time, largest all-reduce, USD per s */
    double time_lb, cost_lb;
    int splits;
    double price[GRID_AXES]; /* that bounded the window best from which it was cut, by grid.h; 0: not known */
};

/** A weighted sum of GPU counts that every plan has to keep below `cap`. */
struct surrogate {
    double weight[GPUS_MAX], cap;
    bool whole;         /* weights are whole numbers */
    double level;       /* weight of a level */
    int top;            /* the highest level within cap, <= LEVELS */
    double *class_cost; /* [class] least weight of a stage */
    /* [L + 1][LEVELS + 1], up to top: least sum of stage times that covers the first l layers within a level:
     * in any way; such that the last stage sends on to another region; such that some two of the stages lie
     * in different regions */
    double *sum, *sum_sends, *sum_crosses;
    bool price;
};

/** A class that a stage may have in the window. */
struct allowed {
    int cls;
    double weight, sync; /* its stage time and its all-reduce, at least */
    double comp;         /* computation and arrivals; 0 unless chain.on */
};

/** Tables of chain.h, [layer][group][group], of one surrogate. */
struct chain {
    bool on;       /* wanted for the next window */
    bool built;    /* for the open one */
    double *sum;   /* [level] as in struct surrogate, but for the group of the last stage and of the next */
    double *cover; /* the least weight of it that covers the first layers at all */
    double *class_cost; /* [class] */
    struct chain_step *from;
    uint64_t work; /* since chain_effort() was asked */
};

/** The open window of a unit and its tables. One per thread. */
struct window_tables {
    const struct space *s;
    const struct mb_space *mb;
    const struct unit *u;
    const struct goal *goal;
    struct window w;
    int n_surrogate, n_table; /* the first n_table have sums */
    int n_blend;              /* of them, the first, weigh all types by speed, or nearly */
    int n_fixed;              /* surrogates whose weights stay; the one after them serves the chain */
    int price;                /* the surrogate by price */
    uint64_t rents_cut;       /* windows that rule 25 closed or narrowed */
    struct surrogate surrogate[SURROGATES_MAX];
    int *n_allowed;          /* [first][end] */
    struct allowed *allowed; /* [first][end][class] */
    int *min_depth;          /* [layer]: least stages after it */
    double *min_usd;         /* [layer]: least USD/s of the stages in front */
    struct {
        double *least; /* [layer]: USD per iteration of the stages in front, at least; 0 where money does not
                          count */
        double *gpus;  /* [class]: of a stage, at least */
    } traffic;
    struct chain chain;
    double u_min;     /* least update of any stage */
    double refuted_s; /* where a window was not opened because of its bound: that; else INFINITY */
    bool stopped;     /* the search was asked to stop: from here on the tables count no more */
};

/** Room for the tables of any unit of the space, in `a`. */
void window_tables_init(struct window_tables *t, const struct space *s, struct arena *a);

/** Begin with a unit: its weighted resources, in `a`. */
void window_begin_unit(struct window_tables *t, const struct unit *u, const struct goal *goal,
                       struct arena *a);

/** Time to give up? Then t->stopped stays set until the next unit. */
static inline bool window_stopped(struct window_tables *t) {
    return t->stopped = t->stopped || stop_wanted(t->s->stop);
}

/** The window that holds all useful plans of a scope. */
struct window window_first(const struct window_tables *t, int scope);

/** Make t->w = w the open window, shrunk to where useful plans can be, with its tables and bounds. False:
 * it holds nothing, or t->stopped. */
bool window_open(struct window_tables *t, struct window w);

/** The least sum of stage times by which the open window would hold no useful plan; INFINITY: none. */
double window_closing_sum(const struct window_tables *t);

/** Of the first window of a scope that was not opened: no plan of the scope takes less time. Only where money
 * does not count. */
double window_refuted_time(const struct window_tables *t);

/** What the pool has of a weighted resource in the open window. */
double window_cap(const struct window_tables *t, const struct surrogate *q);

/** GPUs of each type in the open window's scope. */
void window_gpus(const struct window_tables *t, double gpus[GPUS_MAX]);

/** The level of each class under a weighting, LEVELS + 1: too much; and the classes in ascending order of it.
 */
void window_levels(const struct window_tables *t, const struct surrogate *q, int *level, int *order);

/** The level of what is left of a weighted resource with `used` of it gone; -1: too much is gone. */
int window_level_left(const struct window_tables *t, int k, double used);

/** to[r] = min(to[r], x + from[r]) for r < n. */
void window_relax(double *restrict to, const double *restrict from, int n, double x);

/** Is a window that was opened before so wide that it is better cut at once than searched? */
bool window_hopeless(const struct window_tables *t, const struct window *w);

/** Cut a window in two where it is widest in effect on the objective. False: too narrow for that to help. */
bool window_split(const struct window_tables *t, const struct window *w, struct window half[2]);

/** The classes that a stage [first, end) may have. */
static inline const struct allowed *window_allowed(const struct window_tables *t, int first, int end,
                                                   int *n) {
    size_t at = (size_t)first * (size_t)(t->s->L + 1) + (size_t)end;
    *n = t->n_allowed[at];
    return t->allowed + at * (size_t)t->mb->n_class;
}

/** Least sum of stage times in front of layer l under weighting k with `used` of it gone. In the crossing
 * scope, until two neighbours lie in different regions (`crossed`), the rest has to see to it: among itself,
 * or by sending to the stage at l, whose gradient then costs `grad` more. INFINITY: impossible. */
double window_rest_sum(const struct window_tables *t, int k, int l, double used, bool crossed, double grad);

/** Microbatches in flight that a stage at this depth from the end must hold. */
static inline int window_in_flight(const struct window_tables *t, int depth) {
    return microbatches_in_flight(t->s->p->estimator, depth, t->u->M);
}

/** Time of an iteration: largest stage time, sum of stage times, update, all-reduce. */
static inline double window_time(const struct window_tables *t, double X, double S, double u, double y) {
    return iteration_time_s(t->u->M, X, S, u, y);
}

#endif
