#ifndef SAILOR_SEARCH_WHY_H
#define SAILOR_SEARCH_WHY_H
#include "io/mpx.h"
#include "search/space.h"
/* Why there is no plan. */

/** Which limit, layer or number of GPUs stands in the way: one line, in `a` or a constant. Searches again
 * without the limits, hence collective like search_row(), and half done if a stop was wanted. */
const char *why_infeasible(const struct search_problem *p, const struct space *s,
                           const struct search_hooks *hooks, const struct mpx_comm *world, int threads,
                           struct arena *a);

#endif
