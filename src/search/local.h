#ifndef SAILOR_SEARCH_LOCAL_H
#define SAILOR_SEARCH_LOCAL_H
#include "search/draft.h"
/* Local search. */

/** What a local search does with the work that is left where no change is for the better: nothing, random
 * changes of the best and the way down from there, or first a walk that takes some for the worse (anneal.c).
 */
enum wandering { WANDER_NOT, WANDER_KICK, WANDER_ANNEAL };

/** Change the draft as long as a change makes it better, at most `work` judgements: cuts, degrees, where
 * replicas lie, the order of the zones, stages split and merged, D and the microbatch. On return the draft is
 * the best that was reached. Draws the same numbers everywhere. */
void local_search(struct climb *c, struct draft *d, uint64_t work, enum wandering by);

#endif
