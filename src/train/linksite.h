#ifndef SAILOR_TRAIN_LINKSITE_H
#define SAILOR_TRAIN_LINKSITE_H
#include "base/arena.h"
#include "sim/linkfit.h"
/* Measured links as the links of a site file. */

enum { LINK_SMALLEST = 16, LINK_SIZES = 15 }; /* bandwidths at 2^16, 2^17, ... bytes */

struct link_samples {          /* n ranks send to n others */
    int n, rank[2 * TP_MAX];   /* those of one side, then those of the other */
    bool inside;               /* both sides are on one machine */
    double Bps[LINK_SIZES];    /* of all n together, one way, median */
    double spread[LINK_SIZES]; /* between the quartiles, relative to the median */
    double sum_s[LINK_SIZES];  /* all-reduce over the 2 n ranks, median */
    struct link fit;
    double off, most_off; /* relative error of the fit, mean and largest */
};

/** The text of a site file `site`, with the links of x[n] (those between machines last) in place of those it
 * had, as links between ranks of this zone and GPU type; `sizes` message sizes were measured. The text is
 * owned by a. */
const char *linksite_text(const char *site, const char *zone, const char *gpu, const char *source,
                          const struct link_samples *x, int n, int sizes, struct arena *a);
#endif
