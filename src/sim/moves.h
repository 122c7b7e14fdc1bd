#ifndef SAILOR_SIM_MOVES_H
#define SAILOR_SIM_MOVES_H
#include "sim/plan.h"
/* What changes place when one plan takes over from another. Pure. */

struct moves {
    int gpus;     /* that the new plan uses */
    int changed;  /* of those, GPUs that hold other layers than before, or a shard of another degree */
    double bytes; /* that they lack: sent to them, or read from a checkpoint */
};

/** Bytes of a parameter and its optimizer state: the element, with Adam two fp32 moments, with SGD one, and
 * below fp32 an fp32 copy. Gradients are not moved. `sharers`: replicas that share the optimizer's state
 * (zero), else 1. */
double moves_bytes_per_param(int element_bytes, bool adam, int sharers);

/** From one plan to another (from NULL: from nothing). GPUs are known by zone and type alone, so those of
 * either plan are matched: first the ones that hold the same, then those that have most of what they need.
 * Which shards of a tensor-parallel group meet is taken to be the best: a shard of a higher degree lies
 * within one of a lower. */
struct moves moves_between(const struct workload *w, const struct plan *from, const struct plan *to,
                           double bytes_per_param);

#endif
