#ifndef SAILOR_SEARCH_RELAX_H
#define SAILOR_SEARCH_RELAX_H
#include "search/solve.h"
/* Bounds of units with the zones of each region merged (merge.h). */

struct relax_unit {
    int mb, D;
    double lower_bound; /* on the objective */
    uint64_t nodes;
    struct bound_counts bounds;
};

struct relax;
/** For the plans of `s`, which must live on. NULL: stopped. */
struct relax *relax_new(const struct space *s, int threads);
void relax_free(struct relax *r);

/** Bound the units first, first + step, ... of n: all their plans that meet the limits of the goal are worth
 * no less, or no less than `goal`. The answer depends on the problem, the goal and the limit alone. False:
 * stopped, no bound counts. */
bool relax_bound(struct relax *r, struct relax_unit *unit, int n, int first, int step,
                 const struct goal *goal, uint64_t limit);

#endif
