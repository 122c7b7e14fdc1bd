#ifndef SAILOR_SEARCH_ISLAND_H
#define SAILOR_SEARCH_ISLAND_H
#include "search/problem.h"
/* Parts of a pool that no link joins. A plan lies in one of them (docs/search.md, rule 23), so that each has
 * a space of its own, in which no stage is bounded by GPUs that it cannot be used with. */

/** The problem of each island: that of the pool, without the cells of the others. In `a`, and as long as p
 * lives. At least one. */
int islands_of(const struct search_problem *p, struct search_problem **out, struct arena *a);

#endif
