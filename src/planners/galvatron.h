#ifndef SAILOR_PLANNERS_GALVATRON_H
#define SAILOR_PLANNERS_GALVATRON_H
#include "planners/planner.h"
/* Inside of the planner galvatron: inputs, times, memory and estimate (galvatron_cost.c), which the search
 * (galvatron.c) asks. Times in ms, sizes in MiB as in its own tables, unless the name says otherwise. */

enum { DEGREES = 3 /* 1, 2, 4 */, RESERVED_MiB = 1024 };

static const double MiB = 1 << 20;

/* What it measures of a model on a GPU type: from a file, or made from the common tables. */
struct galvatron_costs {
    double forward_ms;                    /* one transformer layer, one sequence */
    double weights_MiB, act_MiB[DEGREES]; /* one transformer layer; act of one sequence */
    double other_MiB[3];     /* beside the transformer layers: the only, the first and the last stage */
    double overlap;          /* slow-down of computation and communication that run together */
    double overlap_of[TP_N]; /* the same by GPUs of a node; 0 = not measured */
    int n_ring;
    const double *ring_GiBps[2]; /* [strided, consecutive][n - 2]; NULL: from the link */
    struct link link[2];
};

struct galvatron_strategy {
    int tp, dp;
    bool consecutive; /* the GPUs of a tensor-parallel group are neighbours; else those of a data-parallel one
                       */
};

/* A stage or a layer per chunk: with the all-reduce of its gradients, and without. */
struct galvatron_pace {
    double full_s, compute_s;
};

/** *extra: a struct galvatron_costs per GPU type of the site, NULL where there is no file. */
int galvatron_load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                   struct err *e);

/** What it works with: measured, else (and always in corrected mode) from the common tables. -1 with *e set:
 * no profile or no link. */
int galvatron_costs(const struct workload *w, const void *extra, int zone, int gpu, bool corrected,
                    struct galvatron_costs *c, struct err *e);

/** Bandwidth of an all-reduce over n GPUs as it measures it: size / time, mean over 16 to 256 MiB. */
double galvatron_ring_GiBps(const struct galvatron_costs *c, bool consecutive, int n, int gpus_per_node);

/** A block of layers: forward time, weights on a GPU, activations that a GPU passes to its tensor-parallel
 * group. */
struct galvatron_pace galvatron_pace(const struct galvatron_costs *c, const struct galvatron_strategy *s,
                                     int gpus_per_node, double forward_ms, double weights_MiB,
                                     double passed_MiB, bool corrected);

/** MiB that a sequence passes in a transformer layer. */
double galvatron_passed_MiB(const struct model *m);

/** Corrected: a stage of layers [first, end) as it will run, with the messages between stages. */
struct galvatron_pace galvatron_stage_pace(const struct workload *w, const struct galvatron_costs *c,
                                           int zone, int gpu, const struct galvatron_strategy *s,
                                           double sequences, int first, int end);

/** Corrected: its memory with `sequences` under way. */
double galvatron_stage_MiB(const struct workload *w, int tp, double sequences, int first, int end);

/** `n` sequences cut into at most `chunks` pieces of the same size, the last one smaller. */
int galvatron_pieces(int n, int chunks, int *size);

/** One transformer layer of stage i of P. */
double galvatron_layer_MiB(const struct workload *w, const struct galvatron_costs *c,
                           const struct galvatron_strategy *s, int chunks, int P, int i);

/** What a GPU of stage i of P holds beside the transformer layers. */
double galvatron_other_MiB(const struct galvatron_costs *c, int P, int i);

/** All chunks through all stages. */
double galvatron_pipeline_s(const struct galvatron_pace *stage, int P, int chunks);

/** The estimate of any plan, taken as a grid of the first stage's first replica. */
int galvatron_estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                       struct guess *out, struct arena *scratch, struct err *e);

#endif
