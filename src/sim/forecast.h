#ifndef SAILOR_SIM_FORECAST_H
#define SAILOR_SIM_FORECAST_H
#include "sim/sheet.h"
/* Time and memory of a training run on equal GPUs, from data sheets alone: no profile, no measured links.
 * Pure. Formulas: docs/estimator.md. */

/* A run as a grid of tp x cp x dp x pp GPUs, numbered in this order, whole nodes first. */
struct run_setup {
    struct transformer model;
    struct shard shard;
    int pp, dp;
    int vp;   /* parts that the layers of a stage are dealt into: interleaved 1F1B above 1 */
    int zero; /* 1: each data-parallel replica keeps its part of the optimizer's state */
    int global_batch;
};

/* Bytes on one GPU by what they are for. */
struct memory_parts {
    double parameters, gradients, optimizer, master, activations, logits, buffers;
};
double memory_total(const struct memory_parts *m);

struct forecast {
    double iteration_time_s;
    double compute_s; /* of the slowest stage, all microbatches, without waiting */
    double bubble_s;  /* waiting while the pipeline fills and empties */
    double sync_s;    /* gradients and tied embeddings, as far as nothing hides it */
    double update_s;
    int fullest_stage;
    struct memory_parts memory; /* of its GPUs, as the allocator handed it out */
};

/** Is this grid one that a framework can run? NULL, or what is wrong with it. */
const char *run_setup_fault(const struct run_setup *r);

/** Microbatches that each pipeline works through. */
int run_microbatches(const struct run_setup *r);

/** Transformer blocks of a stage. */
int run_stage_blocks(const struct run_setup *r, int stage);

/** Memory of a GPU of one stage. */
struct memory_parts run_stage_memory(const struct framework *f, const struct run_setup *r, int stage);

struct forecast run_forecast(const struct device *d, const struct framework *f, const struct run_setup *r);

#endif
