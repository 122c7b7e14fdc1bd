#ifndef SAILOR_TRAIN_FINITE_H
#define SAILOR_TRAIN_FINITE_H
#include "io/mpx.h"
#include "train/trainer.h"
/* Finds where a run went wrong if its loss or gradients are infinite or not a number. */

/** To be called after a step with such a loss or gradient, before another pass. *e says which tensor, in the
 * order in which a step computes them, is the first that is not finite in what the ranks still hold: the
 * activations of the last microbatches forward, then gradients backward, then weights. Returns -1
 * (EXIT_INTERNAL). Collective; all ranks get the same text. */
int finite_explain(struct trainer *t, const struct mpx *world, struct err *e);
#endif
