#ifndef SAILOR_SEARCH_BEST_H
#define SAILOR_SEARCH_BEST_H
#include "search/goal.h"
#include "search/problem.h"
/* The plans that a row shows: the best of each of the best top_k units, or the frontier. */

/** Estimate f->plan in full, with the stages' numbers in `a`. */
void best_estimate(const struct search_problem *p, struct found_plan *f, struct arena *a);

/** Put an estimated plan where it belongs, if anywhere; values within PROOF_SLACK are ordered by the other
 * criterion, then by plan_compare(). The
 * new lists live in `a`. */
void best_add(const struct search_problem *p, struct row_result *row, struct found_plan f, struct arena *a);

/** What a plan has to beat to be added to the row; the front lives in `a`. */
struct goal best_goal(const struct search_problem *p, const struct row_result *row, struct arena *a);

#endif
