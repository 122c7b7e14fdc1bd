#ifndef SAILOR_SEARCH_COUNTS_H
#define SAILOR_SEARCH_COUNTS_H
#include "search/goal.h"
#include "search/unit.h"
/* From patterns to plans. */

/** A stage of a candidate plan. */
struct choice {
    int first, end, pattern;
};

/** Called with every plan a candidate stands for that may be wanted. */
typedef void offer_fn(void *ctx, const struct plan *p);

/** All plans of a candidate (patterns and cuts chosen, first stage first; at least `egress_usd` of
 * traffic) that the goal may want: zone orders, pairings and counts. Exact: all counts where they are few,
 * else for each combination of transfers that can occur the cheapest counts (by integer programming).
 * *programs: in, the most programs to solve; out, what is left. False if that was not enough. */
bool counts_resolve(const struct unit *u, const struct goal *goal, const struct choice *stage, int P,
                    double egress_usd, int *programs, offer_fn *offer, void *ctx, struct arena *scratch);

/** Is there room for a candidate in the cells, whatever the pairing? */
bool counts_have_room(const struct unit *u, const struct choice *stage, int P, struct arena *scratch);

#endif
