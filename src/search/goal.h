#ifndef SAILOR_SEARCH_GOAL_H
#define SAILOR_SEARCH_GOAL_H
#include "sim/job.h"
/* What plans have to beat. Pure. */

/** What a plan has to beat. Times and costs within PROOF_SLACK (relative) of each other count as equal:
 * that is far above the rounding of the sums and far below anything a user can see. */
#define PROOF_SLACK 1e-11

struct point {
    double time_s, cost_usd;
};

struct goal {
    enum objective objective;
    double max_time_s, max_usd; /* limits; INFINITY = none */
    double min_per_s;           /* the limit behind max_time_s, as given; 0 = none */
    double best;                /* throughput: time; cost: USD; INFINITY = nothing found yet */
    int n_front;                /* frontier: what is found, ascending time, descending cost */
    struct point *front;
};

/** The time that a floor on the iterations per second allows, and a little more: plans right at it are
 * decided by their throughput. INFINITY without a floor. */
static inline double goal_longest_time(double min_per_s) {
    return min_per_s > 0 ? 1 / min_per_s * (1 + 1e-12) : INFINITY;
}

/** Is a point of the front no slower and no more expensive? */
bool goal_front_covers(const struct goal *g, double time_s, double cost_usd);

/** The longest time at which a plan of this rent can still be of use. */
double goal_longest_useful(const struct goal *g, double usd_per_s);

/** Put a point into the front, which has room for `cap`, and drop the points that it dominates. False: no
 * room. */
bool goal_front_insert(struct goal *g, int cap, double time_s, double cost_usd);

/** Can no plan with at least this time and this cost be of use any more? */
bool goal_excludes(const struct goal *g, double time_s, double cost_usd);

/** Does a plan of this time and cost meet the limits and beat what is known? */
bool goal_wants(const struct goal *g, double time_s, double cost_usd);

#endif
