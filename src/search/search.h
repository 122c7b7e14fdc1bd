#ifndef SAILOR_SEARCH_SEARCH_H
#define SAILOR_SEARCH_SEARCH_H
#include "io/mpx.h"
#include "search/problem.h"
/* The exact search over the declared plan space (docs/search.md): for one pool, the best plan with a
 * proof, or the time/cost frontier. One call per pool row. The answer does not depend on the number of ranks
 * or threads. */

/** Search one row. Collective over `world` (NULL: one process without MPI): every rank passes the same
 * problem. `row` holds earlier units and plans when resuming (zeroed otherwise) and gets the answer, on every
 * rank; new plans live in `a`. Returns 0 when finished, 1 when stopped early (row is consistent and
 * resumable), -1 with *e set. A row that is finished without a plan is infeasible if everything was searched;
 * else it stays todo, and `reason` says how much is open. */
int search_row(const struct search_problem *p, struct row_result *row, const struct search_hooks *hooks,
               const struct mpx_comm *world, int threads, struct arena *a, struct err *e);

#endif
