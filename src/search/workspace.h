#ifndef SAILOR_SEARCH_WORKSPACE_H
#define SAILOR_SEARCH_WORKSPACE_H
#include "search/unit.h"
#include "sim/terms.h"
/* The state of a thread that solves a unit; shared by window.c (bounds), tree.c (depth-first search) and
 * solve.c (which window next), and by nobody else. */

enum { LEVELS = 95, SURROGATES_MAX = GPUS_MAX + 2, FRONT_MAX = 4096 };
struct window {
    int scope;
    double x_lo, x_hi, y_lo, y_hi, r_lo, r_hi; /* largest stage time, largest all-reduce, USD per s */
    double time_lb, cost_lb;
    int splits;
};

/* A weighted sum of GPU counts that every plan has to keep below `cap`. */
struct surrogate {
    double weight[GPUS_MAX], cap;
    double *class_cost; /* [class] least weight of a stage */
    /* [L + 1][LEVELS + 1] least sum of stage times that covers the first l layers within a level: in any way;
     * such that the last stage sends on to another region; such that some two of the stages lie in different
     * regions */
    double *sum, *sum_sends, *sum_crosses;
    bool price;
};

struct allowed {
    int cls;
    double weight, sync;
};

struct entry { /* numbers with which a set of stages was reached */
    double S, X, pend, act, y, u, egress;
    int next;
};

struct memo {
    struct slot {
        uint64_t key[2];
        unsigned generation; /* slots of earlier windows count as empty */
        int head;
    } * slot;
    unsigned generation;
    size_t size, used;
    struct entry *entry;
    int n_entry, cap_entry;
};

struct node {
    int l, pattern, depth; /* layers [l, L) are covered by `depth` stages; pattern of the first of them */
    double S, X;           /* stages whose communication is known */
    double S_hi, X_hi, act_hi, pend_hi, y_hi,
        egress_hi;          /* the same at worst, whatever counts and zone order come out */
    double comp, act, pend; /* the first stage: its gradient transfer is still open */
    double y, u, egress, usd_per_s;
    double lb, rank; /* iteration time at least; what the objective says of it */
    bool crossed;    /* neighbours so far lie in different regions, or may */
    uint64_t key[2];
    struct choice choice;
};

struct workspace {
    struct unit *u;
    const struct space *s;
    const struct mb_space *mb;
    struct goal goal;
    struct point front_room[FRONT_MAX];
    struct window w;
    int n_surrogate, n_table;
    struct surrogate surrogate[SURROGATES_MAX];
    int *n_allowed;          /* [first][end] */
    struct allowed *allowed; /* [first][end][class] */
    int *min_depth;          /* [layer]: least stages after it */
    double *min_usd;         /* [layer]: least USD/s of the stages in front */
    double u_min;
    struct memo memo;
    /* the path: stages from the last to the first */
    int *need_stack;        /* [depth][set] */
    int *pack_stack;        /* [depth][cell][TP_N] */
    double *surr_stack;     /* [depth][surrogate] */
    struct choice *path;    /* [depth] */
    struct node **children; /* [depth] room */
    int *child_cap;
    struct heap {
        struct window *w;
        int n, cap;
    } heap;
    uint64_t examined, batch_end, plans;
    struct unit_effort effort;
    double
        slack; /* per stage: how much worse a set of stages may be that stands for another (tolerance only) */
    bool loose;               /* slack was used */
    double open_gap;          /* frontier: how far plans left out may lie beyond it */
    bool tolerated;           /* frontier: something within the tolerance was left out */
    double open_lb;           /* least bound of what was left out for the tolerance or the limits */
    bool over, stopped, lost; /* lost: more frontier points than room */
    struct unit_answer *out;
    struct arena *a, tables, scratch;
    int plan_cap;
};

/** Time to give up? Then what the tables and bounds say from here on counts no more. */
static inline bool workspace_stopped(struct workspace *v) {
    return v->stopped = v->stopped || stop_wanted(v->s->stop);
}

/** T = (M-1)*X + S + u + y. */
static inline double time_of(const struct workspace *v, double X, double S, double u, double y) {
    return iteration_time_s(v->u->M, X, S, u, y);
}

/* window.c */

/** The weighted resources of this unit (tables in v->tables). */
void window_make_surrogates(struct workspace *v);

/** Tables and bounds of the window in v->w, which shrinks to where useful plans can be. False: it holds
 * nothing, or v->stopped. */
bool window_open(struct workspace *v, double *time_lb, double *cost_lb);

/** Least sum of stage times in front of layer l under weighting k with `used` of it gone. In the crossing
 * scope, until two neighbours lie in different regions (`crossed`), the rest has to see to it: among itself,
 * or by sending to the stage at l, whose gradient then costs `grad` more. INFINITY: impossible. */
double window_rest_sum(const struct workspace *v, int k, int l, double used, bool crossed, double grad);

/** Microbatches in flight that a stage at this depth from the end must hold. */
int window_in_flight(const struct workspace *v, int depth);

/** Give up on what has these bounds, and remember for the proof what that may cost. */
void window_leave_open(struct workspace *v, double time_lb, double cost_lb);

/** Out of the question, or too little to gain: then the bound of the proof remembers it. */
bool window_pass_over(struct workspace *v, double time_lb, double cost_lb);

/* tree.c */

/** Search the open window until done (true), or until v->batch_end, a stop, or the limits (false: v->over or
 * v->stopped). */
bool tree_search(struct workspace *v);

#endif
