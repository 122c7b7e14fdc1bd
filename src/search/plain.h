#ifndef SAILOR_SEARCH_PLAIN_H
#define SAILOR_SEARCH_PLAIN_H
#include "search/draft.h"
/* The plainest plans. */

/** Judge the pipelines of one GPU type and one degree on these zones (bit per zone), the largest filled
 * first: all microbatches, degrees, numbers of stages and of replicas, but for those that are no good even
 * without links. Not for a single objective, whose best plans fill_part() finds. */
void plain_climb(struct climb *c, unsigned zones, struct draft *room);

#endif
