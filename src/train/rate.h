#ifndef SAILOR_TRAIN_RATE_H
#define SAILOR_TRAIN_RATE_H
#include "base/err.h"
/* The learning rate of each step: it rises linearly to its peak, and falls to `end` times that. Pure. */

enum rate_shape { RATE_CONSTANT, RATE_LINEAR, RATE_COSINE, RATE_WSD };
/** NULL-terminated: "constant", "linear", "cosine", "wsd" (warm-up, stable, decay). */
extern const char *const rate_shapes[];

struct rate {
    enum rate_shape shape;
    double peak, end;
    long warmup; /* steps on which it rises */
    long total;  /* the step on which it arrives at end * peak; afterwards it stays there */
    long decay;  /* of WSD: steps on which it falls, the last ones */
};

/** The rate of a step, from 1. */
double rate_at(const struct rate *r, long step);
/** Do the lengths fit into each other? -1 with *e set (EXIT_INPUT). */
int rate_check(const struct rate *r, struct err *e);
#endif
