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
    bool any_order;    /* or in any order, each stage of one type */
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
struct fill_kind {
    bool ok;
    const double *comp, *params, *act; /* prefix sums over layers */
};

struct kinds {
    int n_mb, *mb;
    struct fill_kind (*kind)[GPUS_MAX][TP_N]; /* [n_mb] */
    const double *params;                     /* prefix sums at tp 1 */
};

struct kinds *kinds_build(struct climb *c);

/** Which microbatch is m? -1: none. */
int kinds_at(const struct kinds *k, int m);

/** Do layers [first, end) fit into the memory of that kind, with M microbatches of number mi, at this depth
 * from the end? */
bool kind_fits(const struct climb *c, int mi, int gpu, int ti, int D, int M, int depth, int first, int end);

/** Most promising (m, D) of the part first, until they can beat the lead no more or `most` were tried: all
 * sketches that look good, given to `take`. */
void fill_part(struct climb *c, const struct pool_part *part, int most, sketch_fn *take, void *ctx);

#endif
