#ifndef SAILOR_SIM_PLAN_H
#define SAILOR_SIM_PLAN_H
#include "base/arena.h"
#include "base/err.h"
#include "sim/tables.h"
/* A plan: pipelines of stages; a stage is a contiguous range of layers held by D replicas, listed in order
 * (the order is the ring of the all-reduce and the pairing between stages: replica j communicates with
 * replica j mod D' of the next stage). */

struct replicas {
    int gpu, zone; /* indices into the site */
    int tp;        /* tensor-parallel degree: GPUs of one node used by each replica, times context_groups() */
    int count;     /* consecutive replicas of this kind, >= 1 */
    int n_vm;      /* 0, or number of entries in vm_gpu */
    const int
        *vm_gpu; /* GPU type of each VM entry ("vms" in the plan format; only estimator sailor uses it) */
};

struct stage {
    int first, end; /* layers [first, end) */
    int n_group;
    struct replicas *group; /* [n_group] */
};

struct pipeline {
    int n_stage;
    struct stage *stage; /* [n_stage] */
};

struct plan {
    const char *name, *model, *site; /* name may be NULL */
    int global_batch_size, micro_batch_size;
    struct plan_options options;
    int virtual_stages; /* parts that each stage's layers are dealt into, interleaved; 0, 1: not */
    int n_pipeline;
    struct pipeline *pipeline; /* [n_pipeline] */
};

/** A plan of this workload with n_pipeline pipelines of n_stage stages each, which are zero and the caller's
 * to fill; n_stage 0: the caller makes them, too. Owned by the arena. */
struct plan *plan_new(const struct workload *w, int micro_batch_size, int n_pipeline, int n_stage,
                      struct arena *a);

/** Its virtual stages, at least 1. */
static inline int plan_parts(const struct plan *p) { return p->virtual_stages > 1 ? p->virtual_stages : 1; }

/** GPUs of one replica. */
static inline int replica_gpus(const struct plan *p, const struct replicas *r) {
    return r->tp * context_groups(&p->options);
}

/** D of a stage: the sum of its counts. */
static inline int stage_replicas(const struct stage *s) {
    int d = 0;
    for (int g = 0; g < s->n_group; g++) d += s->group[g].count;
    return d;
}

/** Stages of all pipelines: the entries of estimate.stage. */
int plan_stages(const struct plan *p);

/** GPUs of each (zone, gpu) that the plan uses, into used[n_zone * n_gpu]. */
void plan_gpus(const struct plan *p, const struct site *s, int *used);

/** The cost per hour of its GPUs: the same to the last digit for the same number of GPUs at each price,
 * whatever their zones. NAN if a price is unknown. */
double plan_usd_per_hour(const struct plan *p, const struct site *s);

/** Structural check: layers covered once and in order, counts >= 1, degrees 1/2/4/8 within a node and
 * profiled (w->profile NULL: a plan to be run, not estimated, needs no profile), all indices valid. `where`
 * (a file name and JSON path) starts the message. Returns 0, or -1 with *e set (EXIT_INPUT). */
int plan_check(const struct plan *p, const struct workload *w, const char *where, struct err *e);

/** Some nodes, whatever their sizes: how many of their GPUs replicas of degree 2^ti can use. A replica lies
 * within one node. */
struct nodes {
    int room[TP_N];
};

/** So many GPUs in nodes of gpus_per_node; the last one may be smaller. */
struct nodes nodes_of(int gpus, int gpus_per_node);
/** *n and these together. */
void nodes_add(struct nodes *n, struct nodes more);
/** Do count[ti] replicas of degree 2^ti fit? Exact, because each degree divides the next. */
bool nodes_fit(const struct nodes *n, const int count[TP_N]);

/** Does the plan fit into pool[zone * n_gpu + gpu] GPUs, nodes respected? nodes[] likewise; NULL: of the
 * type's size each. Returns 0, or -1 with *e set (EXIT_INPUT) naming the (zone, type) that is over-used. */
int plan_check_pool(const struct plan *p, const struct site *s, const int *pool, const struct nodes *nodes,
                    const char *where, struct err *e);

/** Does the site have these GPUs? A type whose number it does not state is unlimited. */
int plan_check_available(const struct plan *p, const struct site *s, const char *where, struct arena *a,
                         struct err *e);

/** Total order on plans of one site: -1, 0, 1. Used to break ties, so that answers do not depend on how a
 *  search was divided: fewer stages, then fewer GPUs, then the fields in order. */
int plan_compare(const struct plan *a, const struct plan *b);

/** Deep copy into an arena. */
struct plan *plan_copy(const struct plan *p, struct arena *a);

#endif
