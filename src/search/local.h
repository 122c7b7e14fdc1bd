#ifndef SAILOR_SEARCH_LOCAL_H
#define SAILOR_SEARCH_LOCAL_H
#include "search/draft.h"
/* Local search. */

/** Change the draft as long as a change makes it better, at most `work` judgements: cuts, degrees, where
 * replicas lie, the order of the zones, stages split and merged, D and the microbatch. With `kicks` the rest
 * of the work goes into random changes of the best, and the way down from there. On return the draft is the
 * best that was reached. Draws the same numbers everywhere. */
void local_search(struct climb *c, struct draft *d, uint64_t work, bool kicks);

#endif
