#ifndef SAILOR_PLANNERS_DTFM_H
#define SAILOR_PLANNERS_DTFM_H
#include "planners/planner.h"
/* Inside of the planner dtfm: what a deal of the GPUs costs (dtfm_cost.c), which the genetic algorithm
 * (dtfm.c) asks. */

/* The GPUs of a row and the times between them. */
struct dtfm_net {
    int G, K, N;              /* GPUs, classes (zone, type), nodes */
    const int *class, *node;  /* [G] */
    const int *class_of;      /* [N] */
    const int *zone, *gpu;    /* [K] */
    const double *far, *near; /* s per byte: [K * K] from class to class, [K] within a node */
    int n_limit;
    const double *limit; /* [n_limit] all these, ascending */
};

/* Groups of GPUs as stages: sizes, and room for the current deal. */
struct dtfm_task {
    const struct question *q;
    const struct dtfm_net *net;
    int P, D, m;
    double gradient_bytes,
        message_bytes;         /* message: what goes one way over a border in an iteration, as C counts */
    int *count, *size, *mates; /* of the current deal: [P * K], [P], [P * N] */
    double *cross;             /* [P * P] s per byte */
    int *path;                 /* [P] */
    uint64_t random;
};

/** The GPUs of a row, in `a`. */
struct dtfm_net *dtfm_net_of(const struct question *q, struct arena *a);

/** Bytes of t->gradient_bytes and t->message_bytes. */
void dtfm_set_sizes(struct dtfm_task *t);

/** What C leaves out: the computation of all microbatches, by the slowest GPU type. NAN: not measured. */
double dtfm_compute_s(const struct dtfm_task *t);

/** C, s of communication, of the deal that gives GPU v to group label[v]: the slowest all-reduce and both
 * ways along the shortest path through the groups, which is left in t->path. */
double dtfm_cost(struct dtfm_task *t, const int *label, struct arena *a);

/** Who is in which group: t->count, t->size and t->mates. */
void dtfm_count_groups(struct dtfm_task *t, const int *label);

/** Sum of s per byte from a GPU of class k to the members of group p, of which `mates` are in its node. */
double dtfm_sum_to(const struct dtfm_task *t, int k, int p, int mates);

/** Rows to columns at the least sum of cost[n * n]: match[row] = column. */
void dtfm_least_matching(int n, const double *cost, int *match, struct arena *a);

#endif
