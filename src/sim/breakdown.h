#ifndef SAILOR_SIM_BREAKDOWN_H
#define SAILOR_SIM_BREAKDOWN_H
#include "sim/estimate.h"
/* Where the time of an iteration goes: the numbers of an estimate taken apart, with no formulas besides those
 * of the estimators. Pure. */

/* One stage of a plan. */
struct stage_at {
    int pipeline, stage; /* -1: none */
    double per_microbatch_s;
};

struct breakdown {
    struct stage_at slowest, next; /* of the slowest pipeline, by compute and transfers of a microbatch */
    /* The slowest stage's microbatches, and what comes on top: waiting while the pipeline fills and empties,
     * the part of the all-reduce that comes after it, the update. Together the iteration time. */
    double compute_s, transfer_s, bubble_s, sync_s, update_s;
    struct stage_at fullest; /* its GPUs have the least room left, relative to their memory */
    double needs_bytes, memory_bytes;
};

/** Of a plan and its estimate, est->stage filled. False where the estimator gives no stages (those of the
 * published planners). */
bool breakdown_of(const struct plan *p, const struct estimate *est, const struct site *s,
                  struct breakdown *out);

/** The part of the iteration in which the slowest stage waits. */
double bubble_share(const struct breakdown *b);

/** How much longer the slowest stage takes than the next one, relative to that; NAN: there is no other. */
double slowest_excess(const struct breakdown *b);
#endif
