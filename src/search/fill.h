#ifndef SAILOR_SEARCH_FILL_H
#define SAILOR_SEARCH_FILL_H
#include "search/draft.h"
/* Good plans for a part of the pool whose zones count as one: pipelines that fill one GPU type after the
 * other, from the last stage on. What they promise is checked by placing them on the real zones (place.h). */

/** Some zones and some GPU types of the pool. */
struct pool_part {
    unsigned zones; /* bit per zone */
    int n_type;
    int gpu[GPUS_MAX]; /* in the order in which a pipeline fills them, its last stage first */
};

/** A plan but for the zones. */
struct sketch {
    int m, D, P;
    double time_s, usd_per_s; /* with the fastest links and the lowest prices of the part */
    struct sketch_stage {
        int first, end, n;
        struct {
            int gpu, ti, count;
        } kind[GPUS_MAX];
    } * stage; /* [P], first stage first */
};

typedef void sketch_fn(void *ctx, const struct sketch *s);

/** Tables of all kinds of a pool, whatever the part. */
struct kinds;
struct kinds *kinds_build(struct climb *c);

/** Most promising (m, D) of the part first, until they can beat the lead no more or `most` were tried: all
 * sketches that look good, given to `take`. */
void fill_part(struct climb *c, const struct kinds *k, const struct pool_part *part, int most,
               sketch_fn *take, void *ctx);

#endif
