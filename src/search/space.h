#ifndef SAILOR_SEARCH_SPACE_H
#define SAILOR_SEARCH_SPACE_H
#include "search/problem.h"
/* The declared plan space as tables. One `struct space` per search, one `struct mb_space` per microbatch
 * and choice of options, both const while units are solved. Vocabulary:
 * - cell: a (zone, GPU type) with GPUs in the pool
 * - kind: a (GPU type, tensor-parallel degree)
 * - class: the kinds of a stage, at most one per GPU type, wherever they lie;
 *   it decides computation and memory
 * - pattern: a class and the cells it lies on; it decides which links can occur,
 *   the counts per cell stay open
 * - region: zones joined by links that are not much slower than those inside a zone
 * - unit: all plans of one (microbatch, D), the work unit of the search */

enum {
    CELLS_MAX = ZONES_MAX * GPUS_MAX,
    SETS_MAX = CELLS_MAX + GPUS_MAX + 1,
};

struct cell {
    int zone, gpu, gpus, region;
    struct nodes nodes;
    double usd_per_s; /* of one GPU; NAN = unknown */
};

struct stage_class {
    signed char ti[GPUS_MAX]; /* per GPU type: log2(tp), or -1 if not used */
    int n_kind, min_ti;       /* smallest degree */
    int first_pattern, end_pattern;
    int n_cell, most_cells; /* cells of its types; its patterns on more than most_cells were left out */
    unsigned gpus;          /* bit per GPU type used */
    bool rest; /* stands for all classes of n_kind kinds or more, which were left out: no slower and no more
                  expensive and no larger than any of them. It has no patterns; ti are all -1 */
};

struct pattern {
    unsigned regions;               /* bit per region it touches */
    int cls, n;                     /* class; number of cells */
    const unsigned char *cell, *ti; /* [n] in cell order: zone-major, GPU order inside a zone */
    long room;                      /* replicas that its cells can hold */
    double min_usd_per_s_of_extra;  /* cheapest replica of the pattern */
    double base_usd_per_s;          /* one replica in each cell */
};

/** Bounds over every way to pair two patterns: lo <= slowest transfer <= hi (INFINITY = some pair
 * impossible). */
struct span {
    double lo, hi;
};

struct space {
    const struct search_problem *p;
    int L, n_cell, n_region;
    struct cell cell[CELLS_MAX];
    int n_mb;
    struct mb_space *mb; /* [n_mb], ascending microbatch */
    int n_set;           /* cell sets whose total GPU need is checked: all subsets when there are few cells */
    bool *in_set;        /* [set][cell] */
    long set_gpus[SETS_MAX];
    double *params;                  /* prefix sums of parameters at tp 1: [L + 1] */
    int n_range;                     /* distinct parameter counts of layer ranges, ascending */
    double *range;                   /* [n_range] parameters at tp 1 */
    int *range_of;                   /* [first][end] -> index into range */
    int n_link;                      /* distinct links between cells at n = 1 */
    const struct link **link;        /* [n_link] */
    int *link_of;                    /* [cell][cell] -> link, -1 = none */
    double *egress;                  /* [cell][cell] USD per 1e9 bytes, INFINITY where it cannot be paid */
    double most_usd_per_s;           /* of all GPUs of the pool; NAN = unknown */
    const struct space *merged_from; /* the zones of each region count as one (merge.h); NULL: they do not */
    int *image;                      /* [cell of merged_from] -> cell */
    bool money;                      /* the objective or a limit looks at money */
    const char *why_empty;           /* reason if no stage fits at all, or NULL */
    const struct stopper *stop;
    bool stopped; /* while it was being built: of no use */
};

struct mb_space {
    int m;
    const struct workload *w; /* of its options: the problem's own, or a variant of it */
    int n_class, n_pattern;
    struct stage_class *cls;
    struct pattern *pattern;
    signed char least_ti[GPUS_MAX]; /* smallest degree allowed, -1 = none */
    double *comp; /* [class][first][end]: forward + backward of a microbatch and what arrives, slowest kind */
    double *update; /* [class][first][end] */
    int *depth;     /* [class][first][end]: most microbatches in flight that fit every kind; 0 = none. For as
                       many replicas as help */
    double *act_min,
        *grad_min;      /* [class][layer]: least possible transfer of the layer's output forward / backward */
    double *weight;     /* [class][first][end]: comp + least possible communication */
    int n_size;         /* distinct message sizes */
    int *size_of;       /* [layer] -> distinct size index */
    double *size_bytes; /* [n_size] */
    double *kind_time;  /* [size][cell*TP_N+ti][cell*TP_N+ti]: transfer time, INFINITY if impossible */
    struct span *pair;  /* [size][pattern][pattern] sender, receiver; NULL when too many patterns */
    double *arrival;    /* [class][layer]: what the slowest kind does with the output of a layer */
    double *turn_min;   /* [layer] least turn_s() of a stage that begins with it */
    double longest;     /* that a stage can take from one microbatch to the next */
    double *layer_min;  /* [L] least seconds of a layer */
    struct outline *by_speed, *by_price; /* outline.h; by_price only when money counts */
    double comm_min;                     /* least transfer of any layer's output */
    double slowest;                      /* transfer that is possible */
    int n_group;        /* of classes, by GPU types (chain.h); 0: there is no need to tell them apart */
    signed char *group; /* [class] */
    double *to;         /* [class][size][group]: least transfer to a stage of the group */
    double *cross;      /* [class][layer]: what sending to another region costs more than act_min, at least */
    double speed[GPUS_MAX]; /* relative worth of one GPU of each type at this microbatch */
};

/** Replicas of degree 2^ti that a cell can hold: a replica lies within one node. */
long cell_room(const struct cell *c, int ti);

/** Least weight of one replica of the class. */
double class_replica_least(const struct mb_space *mb, int cls, const double weight[GPUS_MAX]);
/** Least weight of a stage of D replicas of the class: one of each kind, the others of the cheapest one. */
double class_stage_least(const struct mb_space *mb, int cls, const double weight[GPUS_MAX], int D);

/** Adds the GPUs of each type that such a stage takes. */
void class_stage_use(const struct mb_space *mb, int cls, const double weight[GPUS_MAX], int D, double *use);

/** Index into the [class][first][end] tables. */
static inline size_t cfe(const struct space *s, int c, int first, int end) {
    return ((size_t)c * (size_t)(s->L + 1) + (size_t)first) * (size_t)(s->L + 1) + (size_t)end;
}

/** Do the rules of the trainer that the job names allow a stage of this class with these layers? Of the class
 * that stands for the rest it is enough that one of them might be allowed. */
bool space_stage_allowed(const struct space *s, const struct mb_space *mb, int cls, int first, int end);
/** And this class in front of that one? */
bool space_neighbours_allowed(const struct space *s, const struct mb_space *mb, int cls, int next);

/** Build all tables. Returns NULL with *e set if the problem is malformed (EXIT_INPUT). Everything in `a`.
 * `stop` is asked now and then, here and while units are solved; it may be NULL, and stays the caller's.
 * The tables are the same for any number of threads. */
struct space *space_build(const struct search_problem *p, const struct stopper *stop, int threads,
                          struct arena *a, struct err *e);

/** mb->depth for D replicas, in `a`. */
int *space_depths(const struct space *s, const struct mb_space *mb, int D, struct arena *a);

/** The cell sets of a space whose cells are known; the patterns of a microbatch whose classes and transfers
 * are, and the pairs of patterns. Everything in `a`. */
void space_build_sets(struct space *s, struct arena *a);
void space_build_patterns(struct space *s, struct mb_space *mb, struct arena *a);

/** Slowest transfer of the output of `layer` from pattern a to pattern b: bounds over all pairings. */
struct span space_transfer(const struct space *s, const struct mb_space *mb, int layer, int a, int b);

/** Price of one GPU of each type in its cheapest zone; 0 for types the pool lacks. */
void space_least_prices(const struct space *s, double usd_per_s[GPUS_MAX]);

/** Transfer time between two cells at given degrees. */
static inline double kind_transfer(const struct space *s, const struct mb_space *mb, int layer, int ca,
                                   int ta, int cb, int tb) {
    int q = s->n_cell * TP_N;
    return mb->kind_time[((size_t)mb->size_of[layer] * (size_t)q + (size_t)(ca * TP_N + ta)) * (size_t)q +
                         (size_t)(cb * TP_N + tb)];
}

#endif
