#ifndef SAILOR_PLANNERS_VARUNA_H
#define SAILOR_PLANNERS_VARUNA_H
#include "planners/planner.h"
/* Inside of the planner varuna: the pipeline event by event (varuna_sim.c), inputs, memory and estimate
 * (varuna_cost.c), the search (varuna.c). [Q1], [Q2], ... are quirks of the published code: docs/planners.md.
 */

/* The peak of each layer when it trains alone, on one GPU type. */
struct varuna_peaks {
    int tp, n;
    const int *mb;              /* [n] */
    const double *const *bytes; /* [n][layer]; NULL = tried, not measured */
};

struct varuna_peaks_of {
    const struct varuna_peaks *gpu[GPUS_MAX]; /* NULL: not measured, varuna_layer_peak() fits */
};

/** *extra: a struct varuna_peaks_of. */
int varuna_load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                struct err *e);

/* ---- the pipeline ---- */

struct varuna_stage_us {
    float fwd, bwd;
    int64_t send; /* to the next stage, and back */
};

/** Time of M microbatches through P stages; 0 if the pipeline gets stuck. */
int64_t varuna_simulate_us(int P, int M, const struct varuna_stage_us *us, bool corrected, struct arena *a);

/* ---- the estimate ---- */

/* P stages by D replicas, as Varuna looks at them. */
struct varuna_grid {
    const struct workload *w;
    const struct varuna_peaks *peaks; /* NULL: fitted */
    bool corrected;
    int zone, gpu, D, P, tp, m, B;
    int t, ti;        /* degree of times and sizes, log2. [Q1]: always a whole node, whatever the plan's is */
    const int *first; /* [P + 1] first layer of each stage; then the number of layers */
};

/** A grid on these GPUs; P, D, m, B and first are the caller's to set. False: nothing is known at that
 * degree. */
bool varuna_grid_start(struct varuna_grid *g, const struct workload *w, const struct varuna_peaks_of *x,
                       int zone, int gpu, int tp, bool corrected);

/** Peak bytes of one layer trained alone; NAN = unknown. */
double varuna_layer_peak(const struct varuna_grid *g, int l);

/** Peak bytes of a stage with layers [first, end) and `behind` stages after it; NAN = unknown. */
double varuna_stage_bytes(const struct varuna_grid *g, int first, int end, int behind);

/** Of the fullest stage; NAN = unknown. */
double varuna_peak_bytes(const struct varuna_grid *g);

/** Seconds per iteration; 0 = the simulated pipeline got stuck, NAN = an input is missing, or too long to
 * simulate. */
double varuna_iteration_s(const struct varuna_grid *g, struct arena *a);

/** The estimate of any plan; NAN where it is not a grid. */
int varuna_estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e);

#endif
