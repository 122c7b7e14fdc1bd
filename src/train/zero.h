#ifndef SAILOR_TRAIN_ZERO_H
#define SAILOR_TRAIN_ZERO_H
#include "train/trainer.h"
/* ZeRO, stage 1: of what several ranks hold alike, each keeps the optimizer state of a part, updates that,
 * and gets the others' weights. Gradients are summed whole, as without: so the bits are those of a run
 * without. */

/** Deals out the optimizer state of the sums that t->shared lists; before memory is taken. Pure. */
void zero_deal(struct trainer *t, struct arena *a);
/** Weights from those who have updated them. Collective. */
void zero_spread(struct trainer *t);
#endif
