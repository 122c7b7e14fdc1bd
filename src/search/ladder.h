#ifndef SAILOR_SEARCH_LADDER_H
#define SAILOR_SEARCH_LADDER_H
#include "search/draft.h"
/* Good plans in no time, for the search to beat, and for its answer where time is short: the best of each
 * part of the pool (a GPU type, a zone, a region, two types, ...), of the seeds that the problem brings
 * along, and of a local search from there. What is done depends on the problem and `work` alone (plans
 * judged, not seconds), unless it is stopped. */

struct ladder {
    int n_plan; /* best first; of a frontier all that count, by time */
    struct found_plan *plan;
    uint64_t judged;
};

/** One of several climbs from the same seeds, which share the starts of the local search. */
struct ladder_share {
    uint64_t work, draw; /* plans judged; where random changes begin */
    int k, n;            /* the k-th of n */
};

void ladder_climb(const struct search_problem *p, struct ladder_share share, const struct stopper *stop,
                  struct ladder *out, struct arena *a);

/** How much work is worth while before the proof begins: it grows with the number of cells, as proofs of few
 * cells are quick. */
uint64_t ladder_work(const struct search_problem *p);

/** Has the pool so many cells that there is much to find beside what a plain local search comes to? */
bool ladder_wide(const struct search_problem *p);

#endif
