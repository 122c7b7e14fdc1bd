#ifndef SAILOR_SEARCH_REPAIR_H
#define SAILOR_SEARCH_REPAIR_H
#include "search/draft.h"
/* Plans of another pool. */

/** Change a draft that the pool has no room for until it has: replicas go where there is room, and where
 * there is none all stages get fewer. What comes of it is judged; the draft is left as the best of it. False:
 * nothing came of it. */
bool repair(struct climb *c, struct draft *d);

#endif
