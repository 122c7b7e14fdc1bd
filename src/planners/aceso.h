#ifndef SAILOR_PLANNERS_ACESO_H
#define SAILOR_PLANNERS_ACESO_H
#include "planners/planner.h"
/* Inside of the planner aceso: its inputs (aceso_input.c), what a stage costs (aceso_cost.c), the search for
 * the best stages (aceso_search.c); the list, the judge and the planner itself are in aceso.c. */

enum {
    BATCHES = 4, /* microbatches 1, 2, 4, 8: index log2 */
    STAGES_MAX = 128,
    LINK_SIZES = 11, /* transfers of 1, 2, 4, ... 1024 MiB */
    MAX_LEVELS = 14, /* of the range maxima: 2^13 operators */
    GROUP_MAX = 9,   /* states that the actions of a group lead to */
};
static const double MiB = 1 << 20;

/* ---- inputs ---- */

enum aceso_column {
    FORWARD,
    BACKWARD,
    INPUT,
    OUTPUT,
    WEIGHTS,
    ACTIVATIONS,
    FWD_RESERVED,
    BWD_RESERVED,
    COLUMNS
};

/* Operators of one GPU type as listed: those of a block once. */
struct aceso_ops {
    int n_listed, block, block_end, n_block;      /* [block, block_end) stands n_block times */
    const char **name;                            /* [n_listed] */
    const double *column[BATCHES][TP_N][COLUMNS]; /* [n_listed] us, MiB; NULL = not measured */
    const double *intra_GBps;                     /* [LINK_SIZES]; NULL = not measured */
};

struct aceso_inputs {
    const struct aceso_ops *gpu[GPUS_MAX]; /* NULL: no profile at all */
};

/** planners/aceso/MODEL/GPU.json of every GPU type of the site; where there is none, the layers of the common
 * profile stand for the operators. *extra is a struct aceso_inputs. */
int aceso_load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
               struct err *e);

/* ---- what a stage costs ---- */

/* Units are what borders lie between: operators, or layers in corrected mode. */
struct aceso_table {
    const double *time_us, *weights_MiB, *kept_MiB, *judged_MiB; /* [n + 1] sums of the units before */
    const double *in_MiB, *out_MiB, *in_us[2], *out_us[2]; /* [n] on links inside a node, between nodes */
    const double *fwd_reserved[MAX_LEVELS],
        *bwd_reserved[MAX_LEVELS]; /* [k][u]: maximum of 2^k units from u on */
    double update_us;
};

struct aceso_costs {
    int n, n_layer;                                 /* units, layers */
    const int *layer;                               /* [n_layer + 1] first unit of a layer */
    const struct aceso_table *table[BATCHES][TP_N]; /* NULL = not measured */
    const struct link *link[TP_N];                  /* between nodes, by degree */
    double memory_per_weight;                       /* bytes held per byte of weights */
    bool corrected;
};

/* Where a stage is: units [first, end), this many stages behind it, whether its neighbours are on other
 * nodes. */
struct aceso_place {
    int first, end, behind;
    bool from_node, to_node;
};

struct aceso_cost {
    double time_us, memory_MiB; /* of one microbatch; INFINITY where not measured */
};

/** The tables of one GPU type in one zone, in `a`. -1 with *e set: there is no profile or no link. */
int aceso_costs_make(const struct workload *w, const struct aceso_inputs *x, int zone, int gpu,
                     bool corrected, struct aceso_costs *c, struct arena *a, struct err *e);

/** One microbatch of 2^bi sequences (bi < 0: a size that was not measured) on a stage of degree 2^ti. */
struct aceso_cost aceso_stage_cost(const struct aceso_costs *c, const struct aceso_place *p, int bi, int ti);

/** Corrected: what the original leaves out of an iteration, gradient all-reduce and update of a stage. */
double aceso_sync_us(const struct aceso_costs *c, const struct aceso_place *p, int bi, int ti, int dp);

/** The estimate of any plan. */
int aceso_estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                   struct guess *out, struct arena *scratch, struct err *e);

/* ---- the search ---- */

struct aceso_config {
    int S, mb_log; /* mb: microbatch of all replicas together */
    uint16_t border[STAGES_MAX + 1];
    uint8_t dp[STAGES_MAX], tp[STAGES_MAX]; /* log2; a stage has 2^(dp + tp) GPUs */
};

struct aceso_state {
    struct aceso_config c;
    double time_us, peak_MiB;
    bool fits;
    struct aceso_cost stage[STAGES_MAX];
};

struct aceso_kept;

struct aceso_search {
    const struct question *q;
    const struct aceso_costs *costs;
    int gpus, per_node, max_tp; /* max_tp: log2 */
    double limit_MiB;
    long left, states;
    bool stopped;
    struct aceso_state best, seen;         /* of all trials, of this one */
    struct aceso_state (*cand)[GROUP_MAX]; /* [HOPS] */
    struct aceso_kept *pool, *explored;    /* [KEPT_MAX] */
    int n_pool, n_explored;
    uint64_t *known; /* hashes of states visited and, with the lowest bit, pooled */
    uint64_t mask;
    uint64_t n_known;
};

/** A search over `gpus` GPUs of type g, with room for `states` states of each number of stages. */
void aceso_search_init(struct aceso_search *s, const struct question *q, const struct aceso_costs *costs,
                       const struct gpu_type *g, int gpus, long states, struct arena *a);

/** The best plan of S stages that so many states show, into s->best. False: none fits. */
bool aceso_search_stages(struct aceso_search *s, int S, long states);

#endif
