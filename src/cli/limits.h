#ifndef SAILOR_CLI_LIMITS_H
#define SAILOR_CLI_LIMITS_H
#include "cli/cli.h"
/* Limits on money and speed, looked up in a frontier that was found without them. */

struct limits {
    double max_usd;   /* per iteration; INFINITY = none */
    double min_per_s; /* iterations; 0 = none */
};

bool limits_given(const struct limits *l);

/** The rows of a frontier with the best plan within the limits and what is proven of it: the fastest within a
 * budget, without one the cheapest. The limits are tightened to those of the job itself. -1 with *e set
 * (EXIT_INPUT): not a frontier. *out shares what it can with *r. */
int limits_answer(const char *path, const struct results *r, struct limits *l, struct results *out,
                  struct arena *a, struct err *e);

/** "the fastest plan with at most 0.5 USD per iteration" */
const char *limits_text(const struct limits *l, struct arena *a);

#endif
