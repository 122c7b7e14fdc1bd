#ifndef SAILOR_SEARCH_FILL_TABLES_H
#define SAILOR_SEARCH_FILL_TABLES_H
#include "search/fill.h"
#include "sim/terms.h"
/* What the dynamic programs of fill.c and joint.c share: one (part, m, D). */

enum { UNITS_MAX = 128, JOINT_STATES = 2048 };

struct label {
    double sum, usd_per_s;
    int off, prev;     /* prev: the state behind, -1 = none; SENT: the empty rest of type k + 1 */
    short depth, end;  /* end: of the stage in front of which nothing is yet */
    signed char k, ti; /* k: of the part's order */
    bool mixed;
};

/* What a kind makes of some layers. */
struct server {
    double time_s, period_s; /* period: from one microbatch to the next, the stage before on the same GPUs */
    double reduce_s;
    int depth; /* from the end, at most; 0: they do not fit; -1: not looked at yet */
};

struct fill {
    struct climb *c;
    const struct kinds *k;
    const struct pool_part *part;
    int L, mi, m, D, M, K, U;
    int rows, row; /* of states: a type of the order and what is used of it, or what is used of each type */
    int units[GPUS_MAX];               /* [k] D GPUs that there are */
    struct fill_kind (*kind)[TP_N];    /* [gpu] of this microbatch */
    int cap[GPUS_MAX][TP_N];           /* [k] GPUs in whole slots of a degree */
    double usd_per_s[GPUS_MAX];        /* [k] cheapest zone */
    const struct link *link[GPUS_MAX]; /* [k] fastest inside a zone */
    double *send[GPUS_MAX][TP_N];      /* [k][ti][layer] its output to the like, at this microbatch */
    double (*reduce)[RING_TI_N];       /* [k * (L + 1) * (L + 1) + first * (L + 1) + end][ti] at this D */
    struct server (*server)[TP_N];     /* [k][first][end] */
    double x_hi, y_hi;
    struct label *label; /* [l][k][u] */
    struct sketch sketch;
    uint64_t steps;
};

/* Of layers [first, end) on type k of the order. */
static inline size_t at_layers(const struct fill *f, int k, int first, int end) {
    size_t n = (size_t)(f->L + 1);
    return ((size_t)k * n + (size_t)first) * n + (size_t)end;
}

static inline int state(const struct fill *f, int l, int k, int u) { return (l * f->rows + k) * f->row + u; }

static inline void reach(struct fill *f, int to, struct label x) {
    struct label *at = &f->label[to];
    if (x.sum < at->sum || (x.sum == at->sum && x.off < at->off)) *at = x;
}

/** Is a stage of layers [i, e) on type k at that degree within the limits, and within memory at this depth
 * from the end? */
bool fill_may_serve(const struct fill *f, int k, int ti, int i, int e, int depth);

/** The states of joint.c for this (m, D). False: too many, or of one type. */
bool joint_size(struct fill *f);

/** All labels, for stages of one type each in any order. */
void joint_run(struct fill *f);

#endif
