#ifndef SAILOR_SEARCH_RELAX_H
#define SAILOR_SEARCH_RELAX_H
#include "search/solve.h"
/* Bounds of units with the zones of each region merged (merge.h). */

struct relax;
/** For the plans of `s`, which must live on, as must memo[threads]. NULL: stopped. */
struct relax *relax_new(const struct space *s, struct memo *memo, int threads);
void relax_free(struct relax *r);

/** Where attempts at units with merged zones are made (attempt.h). All their plans that meet the limits of
 * the goal are worth no less than the answer's plans, its bound where it is open, and the goal. */
const struct space *relax_space(const struct relax *r);
struct workspace *const *relax_workspaces(const struct relax *r);

#endif
