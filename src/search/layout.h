#ifndef SAILOR_SEARCH_LAYOUT_H
#define SAILOR_SEARCH_LAYOUT_H
#include "search/counts.h"
/* Where zones are merged: the stages of a merged plan, laid out on the real zones. */

struct layout {
    const struct unit *u;       /* with merged zones */
    const struct choice *stage; /* [n] of merged patterns, first stage first */
    int n;
    double update_s, sync_s; /* at least, whatever the zones */
    uint64_t left;           /* partial layouts that may still be looked at */
    /* Is a plan that takes at least this long of no use? And one for which all patterns are known, of which
     * this is the bound. */
    bool (*useless)(void *ctx, double time_lb);
    void (*laid)(void *ctx, const struct choice *stage, double time_lb);
    void *ctx;
    struct arena *scratch;
};

/** All ways to put the stages on cells of the pool whose images are those of the merged patterns. False: too
 * many, or patterns for it were not built; laid() has not seen all. */
bool layout_all(struct layout *x);

#endif
