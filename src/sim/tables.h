#ifndef SAILOR_SIM_TABLES_H
#define SAILOR_SIM_TABLES_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include "sim/sheet.h"
/* What is known about the world, as plain const tables: the site (zones, GPU types, links, prices), the model
 * (parameters and activations per layer) and one measured profile per GPU type. Filled by formats/inputs.c;
 * read by everyone; never changed after loading. Unknown prices are NAN. */

/* Tensor-parallel degrees are 1, 2, 4, 8: index ti = log2(tp). */
enum { TP_N = 4, TP_MAX = 8, ZONES_MAX = 16, GPUS_MAX = 16, LAYERS_MAX = 512 };

/** log2 of a tensor-parallel degree, or -1 if it is not 1, 2, 4 or 8. */
static inline int tp_index(int tp) { return tp == 1 ? 0 : tp == 2 ? 1 : tp == 4 ? 2 : tp == 8 ? 3 : -1; }

struct gpu_type {
    const char *name;
    double memory_bytes; /* what a plan is checked against (2^30-based GiB of the published simulator) */
    double planner_memory_bytes; /* what the published baseline planners are told */
    int gpus_per_node;
    double context_bytes; /* on each GPU beside the model, as measured; 0: not stated */
};

/* What a GPU type and the framework on it add to layers and links that were measured alone. */
struct platform {
    double memory_Bps;       /* bandwidth of the GPU's memory; NAN: nothing is known of this type */
    double context_bytes;    /* of context, libraries and communication on every GPU */
    double staging_s_per_B;  /* host work of the receiver of a message */
    double eager_bytes;      /* what the network takes of a message before the receiver is ready, per rank */
    double launch_bound;     /* time of passes that are bound by launches, over that of their profile */
    double gather_Bps[TP_N]; /* of the link inside a node, at best; 0: not known */
    double ring_share;       /* of the links as measured, what rings of gradients from here reach */
};

/** Bandwidth fit: bw(x) = c2*y^2 + c1*y + c0 in 1e9 B/s with y = log2(x / 1e6), x in bytes. */
struct link {
    double c2, c1, c0;
    double peak_Bps; /* largest measured sample */
    bool known;
    double min_bytes, max_bytes; /* where the fit can be believed (sim/link.h); 0: to the measured end */
    double min_log, max_log;     /* the y of these */
    double latency_s, rate_Bps;  /* rate_Bps > 0: no fit, a message takes latency_s + bytes / rate_Bps */
    double ring_slower; /* how much longer a step of a gradient ring takes than one message, relative */
};

struct site {
    const char *name, *source;
    const char *note; /* what is doubtful in its file, for a warning; NULL: nothing */
    int n_zone, n_gpu;
    const char **zone;               /* [n_zone] */
    const struct gpu_type *gpu;      /* [n_gpu]; the order is the site's GPU order of replica lists */
    const double *usd_per_gpu_hour;  /* [zone * n_gpu + gpu], NAN = unknown */
    const double *egress_usd_per_GB; /* [from * n_zone + to] per 1e9 bytes, NAN = unknown */
    const int *available;            /* [zone * n_gpu + gpu] GPUs that exist, -1 = not stated */
    const struct link *link;         /* see site_link(); as published, no fall-back applied */
    const unsigned char *counts;     /* [zone * n_gpu + gpu] bit ti set: the table has sender count 2^ti */
    const struct link *intra;        /* [gpu * TP_N + ti] inside a node, for baselines; !known where absent */
};

/** Where a site and a pool keep what they know of a GPU type in a zone: usd_per_gpu_hour, available, counts.
 */
static inline int site_at(const struct site *s, int zone, int gpu) { return zone * s->n_gpu + gpu; }

/** Slot of the link (zone, gpu, 2^ti) -> (zone2, gpu2, 2^ti2) in site.link. */
static inline size_t site_link_slot(const struct site *s, int zone, int gpu, int ti, int zone2, int gpu2,
                                    int ti2) {
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    return ((size_t)(zone * s->n_gpu + gpu) * TP_N + (size_t)ti) * side +
           (size_t)(zone2 * s->n_gpu + gpu2) * TP_N + (size_t)ti2;
}

/** One end of a link, as site_link_slot() counts them; a count the table lacks falls back to the largest
 * count below (docs/estimator.md, Links). -1: there is none. */
static inline int site_end(const struct site *s, int zone, int gpu, int tp) {
    int ti = tp_index(tp), at = site_at(s, zone, gpu);
    for (; ti >= 0; ti--)
        if (s->counts[at] >> ti & 1) return at * TP_N + ti;
    return -1;
}

/** The link between two ends, or NULL if there is none. */
static inline const struct link *site_link_between(const struct site *s, int from, int to) {
    if (from < 0 || to < 0) return NULL;
    const struct link *l = &s->link[(size_t)from * (size_t)(s->n_zone * s->n_gpu * TP_N) + (size_t)to];
    return l->known ? l : NULL;
}

/** The same of two ends in words. */
static inline const struct link *site_link(const struct site *s, int zone, int gpu, int tp, int zone2,
                                           int gpu2, int tp2) {
    return site_link_between(s, site_end(s, zone, gpu, tp), site_end(s, zone2, gpu2, tp2));
}

struct model {
    const char *name, *source;
    const char *file, *place; /* where it is described, and the JSON path there; NULL: nowhere */
    int n_layer;              /* planner layers: embedding, blocks, norm/head */
    int n_block;              /* transformer blocks */
    int hidden_size, sequence_length, heads, vocabulary;
    const double *params[TP_N];      /* [ti][n_layer] elements on one GPU; NULL = degree not known */
    const double *act_mem[TP_N];     /* [ti][n_layer] elements kept per sequence; NULL like params */
    const double *act_out;           /* [n_layer] output elements per sequence at tp = 1 */
    bool tied_head;                  /* the output matrix is the embedding */
    double tied_copy[TP_N];          /* [ti] elements of it that a last stage holds beside params */
    const struct model_shape *shape; /* NULL if the file does not say */
    double flops;             /* operations that a sequence takes, forward and backward; 0: not known */
    const char *architecture; /* JSON object as the file has it, NULL if it has none: for the trainer */
    const char *stands_for;   /* of a published build: the model that it was built for; NULL: none */
};

/* What a trainer holds on each of its GPUs, as the trainer that was profiled says it. Sizes are in elements
 * per sequence. */
struct rank_memory {
    double process_bytes; /* beside what grows with model and microbatch: libraries, driver, context */
    double state_bytes_per_param; /* with Adam */
    double message;               /* what goes to the next stage, for each microbatch in flight */
    const double *act_mem[TP_N];  /* [n_layer] kept of each microbatch in flight; NULL: not measured */
    double work[TP_N];            /* of one microbatch, once */
};

/** Seconds of each layer for one microbatch. */
struct layer_times {
    const double *fwd_s, *bwd_s, *update_s;  /* [n_layer]; all NULL = not measured */
    bool update_by_layer;                    /* measured layer by layer; false: one number, that of a stage */
    const double *train_fwd_s, *train_bwd_s; /* what of them training takes (sim/training.h); NULL: all */
};

struct profile {
    const char *model, *gpu, *source;
    bool estimated;           /* from a data sheet, not measured */
    const char *dtype;        /* in which it was measured, NULL if not stated */
    enum recompute recompute; /* what its backward passes work out again */
    bool sequence_parallel;   /* its tensor parallelism also divides norms and residuals */
    int context_parallel;     /* GPUs, times tp, that share each sequence; 0: one has all of it */
    double spread;            /* relative deviation of repeated measurements; 0 if not stated */
    int n_mb;
    const int *mb;                    /* [n_mb] microbatches, ascending */
    const struct layer_times *times;  /* [mi * TP_N + ti] */
    const struct rank_memory *memory; /* NULL: not stated */
};

/** The measured times for (microbatch, tp), or NULL. p may be NULL. */
static inline const struct layer_times *profile_times(const struct profile *p, int micro_batch, int tp) {
    int ti = tp_index(tp);
    if (!p || ti < 0) return NULL;
    for (int i = 0; i < p->n_mb; i++)
        if (p->mb[i] == micro_batch) {
            const struct layer_times *t = &p->times[i * TP_N + ti];
            return t->fwd_s ? t : NULL;
        }
    return NULL;
}

/** Forward and backward passes as training has them, where that is known. */
static inline const double *training_forward_s(const struct layer_times *t) {
    return t->train_fwd_s ? t->train_fwd_s : t->fwd_s;
}
static inline const double *training_backward_s(const struct layer_times *t) {
    return t->train_bwd_s ? t->train_bwd_s : t->bwd_s;
}

/** How a plan trains: choices that change layer times and sizes, not the form of an estimate. */
struct plan_options {
    enum recompute recompute;
    bool sequence_parallel; /* tensor parallelism also divides norms and residuals */
    int zero;               /* 1: the replicas of a stage share the optimizer's state */
    int context_parallel; /* groups of tp GPUs of a replica that share each sequence; 0: one has all of it */
};

/** Groups of tp GPUs of one replica. */
static inline int context_groups(const struct plan_options *o) {
    return o->context_parallel > 1 ? o->context_parallel : 1;
}

static inline bool plan_options_equal(const struct plan_options *a, const struct plan_options *b) {
    return a->recompute == b->recompute && a->sequence_parallel == b->sequence_parallel &&
           a->zero == b->zero && context_groups(a) == context_groups(b);
}

struct framework;

/** A model to be trained on a site: what every estimate needs. Where a plan's options may be chosen there is
 * a variant for each choice: the same workload with the model's sizes and the profiles of these options. */
struct workload {
    const struct site *site;
    const struct model *model;
    const struct profile *const *profile; /* [site->n_gpu]; NULL = this GPU type was not profiled */
    const struct platform *platform;      /* [site->n_gpu]; NULL: nothing is known, or profiles say it all */
    int global_batch_size;
    int element_bytes;            /* F: 4 fp32, 2 bf16/fp16 */
    double state_bytes_per_param; /* K: 24 Adam, 20 SGD, or as profiles say (docs/estimator.md, Memory) */
    bool sgd;
    const char *dtype;                 /* "fp32", "bf16", "fp16"; NULL: as element_bytes says, 2 being bf16 */
    const struct framework *framework; /* sim/sheet.h; NULL: as published */
    struct plan_options options;
    bool altered;                  /* by options: not the model as its file describes it, all state kept */
    double shared_bytes_per_param; /* of K, what the replicas of a stage share: 0 without zero */
    double again[TP_N];   /* elements per sequence that are there once: what recomputation fills once more */
    double process_bytes; /* of every GPU beside the model, where profiles say so; 0: not stated */
    double message; /* elements per sequence of each microbatch in flight that goes on to another stage */
    double memory_margin; /* how much more than estimated a GPU may hold, relative: of --risk, else 0 */
    int n_variant;        /* 0: nothing to choose, this is the only one */
    const struct workload *variant; /* [n_variant] without variants of their own; the first equals this */
};

/** Of these options: a variant of w, or w itself. */
const struct workload *workload_variant(const struct workload *w, const struct plan_options *o);

#endif
