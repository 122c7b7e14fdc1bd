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

/** 0 .. n - 1, the same on every machine. */
int walk_draw(struct local_walk *w, int n);

/** From where we are on, random changes, those for the worse less and less often; `best` and its score are
 * replaced by what is better. */
void walk_anneal(struct local_walk *w, uint64_t work, struct draft *best, struct score *best_score);

/* ---- changes of the trial ---- */

/** Stages i and j change places. False: that makes no difference. */
bool walk_swap(struct local_walk *w, int i, int j);

/** Stage i and the next in one, on the replicas of the first or (keep 1) the second. */
void walk_merge(struct local_walk *w, int i, int keep);

/** Stage i in two halves, the second without replicas. False: it has one layer. */
bool walk_split(struct local_walk *w, int i);

/** Bring all groups into the order of the zones' ranks. */
void draft_sort(struct draft *d);

/** Of group k of a stage n replicas less. */
void stage_drop(struct stage *st, int k, int n);

/** Its degree (log2) for a GPU type, -1: it has none. */
int stage_degree(const struct stage *st, int gpu);
void stage_set_degree(struct stage *st, int gpu, int tp);

#endif
