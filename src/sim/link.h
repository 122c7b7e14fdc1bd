#ifndef SAILOR_SIM_LINK_H
#define SAILOR_SIM_LINK_H
#include "sim/tables.h"

/** Find the sizes at which a fit can be believed: bandwidths are positive, times grow with the bytes, and the
 * bandwidth does not fall below half of its top. min_bytes and max_bytes are set where that is not all of the
 * measured sizes. false: there are none. */
bool link_settle(struct link *l);
/** Bandwidth of a link that has a rate and a latency instead of a fit, at any size. */
static inline double link_rated_Bps(const struct link *l, double bytes) {
    return bytes / (l->latency_s + bytes / l->rate_Bps);
}
/** The largest and the least bandwidth of the fit at those sizes. */
double link_top_Bps(const struct link *l);
double link_least_Bps(const struct link *l);
#endif
