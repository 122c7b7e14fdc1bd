#ifndef SAILOR_SEARCH_DEAL_H
#define SAILOR_SEARCH_DEAL_H
#include "io/mpx.h"
#include "search/wire.h"
#include "sim/answer.h"
/* Deals tasks to the threads of all ranks, one after the other to whoever is free, and records what each
 * took. All calls are collective. */

struct deal;

/** `world` NULL: one process without MPI. What is done goes into the list of tasks of `row`, in `a`. */
struct deal *deal_new(const struct mpx_comm *world, int threads, struct row_result *row, struct arena *a);
void deal_free(struct deal *d);

/** Calls `task` for 0 .. n - 1, each once, on some rank; several threads of a rank at once. A task returns
 * false if it was stopped. Returns false, on every rank, if any was. `seconds` (or NULL): [n] processor time
 * of each.
 */
bool deal_tasks(struct deal *d, enum task_kind kind, int n, bool (*task)(void *ctx, int i), void *ctx,
                double *seconds);

/** Concatenates what every rank has written. */
void deal_gather(struct deal *d, struct wire *b);

#endif
