#ifndef SAILOR_SIM_TRAINING_H
#define SAILOR_SIM_TRAINING_H
#include "base/arena.h"
#include "sim/tables.h"
/* Layers as training has them, rather than timed alone. Pure. */

/** p with train_fwd_s and train_bwd_s where they differ from what was measured, all in `a`; p itself where
 * `launch_bound` is 1, or where a trainer was measured as a whole. A pass that takes a tenth longer per
 * sequence than at the largest microbatch of its degree is bound by launches: a layer timed alone waits for
 * its own launches, and in training the host runs ahead (docs/estimator.md, "Events"). */
const struct profile *profile_in_training(const struct profile *p, int n_layer, double launch_bound,
                                          struct arena *a);

#endif
