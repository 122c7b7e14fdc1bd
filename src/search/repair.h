#ifndef SAILOR_SEARCH_REPAIR_H
#define SAILOR_SEARCH_REPAIR_H
#include "search/draft.h"
/* Plans of another pool, or of other sizes. */

/** Change a draft that the pool has no room for until it has: replicas go where there is room, and where
 * there is none all stages get fewer. What comes of it is judged; the draft is left as the best of it. False:
 * nothing came of it. */
bool repair(struct climb *c, struct draft *d);

/** To `to` the draft `from` with P stages, D replicas and microbatches of m: each stage on the GPUs of the
 * one that was there, as far as there is room, then on more of the same types, then on any. The cuts are good
 * only if P is as before; draft_cut() makes others. False: the pool has no room. */
bool draft_refit(struct climb *c, struct draft *to, const struct draft *from, int P, int D, int m);

#endif
