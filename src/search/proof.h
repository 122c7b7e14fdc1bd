#ifndef SAILOR_SEARCH_PROOF_H
#define SAILOR_SEARCH_PROOF_H
#include "search/goal.h"
/* What the search of a unit may leave out, and what the proof loses by it. Only proof_cut(),
 * proof_stand_in(), proof_leave_open(), proof_take_back() and proof_front_full() change a proof. */

struct proof {
    const struct goal *goal; /* what is known so far */
    double tolerance;        /* gains below this relative one are not looked for; 0 = exact */
    double
        slack; /* per stage: how much worse a set of stages may be that stands for another (tolerance only) */
    double open_lb;  /* least bound, on the objective, of what was left out; INFINITY = nothing */
    double open_gap; /* frontier: how far plans left out may lie beyond it */
    bool tolerated;  /* frontier: something within the tolerance was left out */
    bool stood_in;   /* slack was used */
    bool lost;       /* more frontier points than room: no bound at all */
};

/** Nothing left out yet. */
struct proof proof_begin(const struct goal *goal, double tolerance, double slack);

enum worth { WORTH_NOTHING, WORTH_LITTLE, WORTH_SEARCHING };

/** Plans with at least this time and cost: excluded by the goal, a gain below the tolerance, or worth
 * searching. */
enum worth proof_worth(const struct proof *q, double time_lb, double cost_lb);

/** True: not worth searching, and cut off. What is left out for the tolerance is noted in the proof. */
bool proof_cut(struct proof *q, double time_lb, double cost_lb);

/** Note that a set of stages was dropped for another that may be worse by the slack. */
void proof_stand_in(struct proof *q);

/** Give up on plans with these bounds, and note what that may cost. */
void proof_leave_open(struct proof *q, double time_lb, double cost_lb);

/** Take back what was left out since `before`: those plans are searched again. */
void proof_take_back(struct proof *q, const struct proof *before);

/** Note that a point of the frontier found no room. */
void proof_front_full(struct proof *q);

#endif
