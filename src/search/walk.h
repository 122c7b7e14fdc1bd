#ifndef SAILOR_SEARCH_WALK_H
#define SAILOR_SEARCH_WALK_H
#include "search/draft.h"
/* The steps of a local search (local.h): a changed copy of where it is, judged, and taken if it is better. */

struct local_walk {
    struct climb *c;
    struct draft *d, *trial; /* where we are; the move being judged */
    struct draft *other;     /* for moves that need a third */
    struct score score;
    uint64_t until, random;
};

bool walk_done(const struct local_walk *w);

/** Is the trial better than where we are? Then go there. */
bool walk_settle(struct local_walk *w);

/** The same, and if it is not, once more with cuts that suit it. */
bool walk_settle_cut(struct local_walk *w);

/** Other numbers of replicas, other microbatches. True: something was better. */
bool walk_resize(struct local_walk *w);

/** One degree for all, with as many stages as the GPUs then suffice for. */
bool walk_redegree(struct local_walk *w);

/** Other numbers of stages, with as many GPUs as before and some more. */
bool walk_restage(struct local_walk *w);

/** The same pipeline with any number of replicas, for what the frontier keeps of them. */
void walk_all_sizes(struct local_walk *w);

#endif
