#ifndef SAILOR_SEARCH_TRAFFIC_H
#define SAILOR_SEARCH_TRAFFIC_H
#include "search/window.h"
/* What the traffic between zones costs a pipeline at least: docs/search.md, rule 27. */

/** The prices and the room of the unit's zones, for all its windows, in `a`. */
void traffic_begin_unit(struct window_tables *t, struct arena *a);

/** t->traffic.least[l] = USD per iteration that the stages of [0, l) pay for their traffic, at least, in the
 * open window's scope, whose allowed stages are known. */
void traffic_least(struct window_tables *t);

#endif
