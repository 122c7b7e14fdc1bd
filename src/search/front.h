#ifndef SAILOR_SEARCH_FRONT_H
#define SAILOR_SEARCH_FRONT_H
#include "search/draft.h"

/** Local searches from the points of the frontier, each towards what the frontier is short of there: that
 * with the most room between its neighbours first, then round again with random changes. The k-th of n that
 * share them begins with every n-th point, and goes on with those that it finds. */
void front_follow(struct climb *c, struct draft *room, uint64_t work, int k, int n);

#endif
