#ifndef SAILOR_SEARCH_RELAX_H
#define SAILOR_SEARCH_RELAX_H
#include "search/solve.h"
/* Bounds of units with the zones of each region merged (merge.h). */

struct relax_unit {
    int mb, D;
};

struct relax;
/** For the plans of `s`, which must live on, as must memo[threads]. NULL: stopped. */
struct relax *relax_new(const struct space *s, struct memo *memo, int threads);
void relax_free(struct relax *r);

/** Search the units first, first + step, ... of n with merged zones, like unit_solve(). All their plans that
 * meet the limits of the goal are worth no less than the answer's plans, its bound where it is open, and
 * `goal`. The answer depends on the problem, the goal and the effort alone. Plans, which only effort.lay_out
 * finds, live in memory[unit]. False: stopped, no answer counts. */
bool relax_solve(struct relax *r, const struct relax_unit *unit, int n, int first, int step,
                 const struct goal *goal, struct unit_effort effort, struct unit_answer *answer,
                 struct arena *memory);

#endif
