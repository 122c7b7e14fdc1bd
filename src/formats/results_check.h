#ifndef SAILOR_FORMATS_RESULTS_CHECK_H
#define SAILOR_FORMATS_RESULTS_CHECK_H
#include "formats/results.h"
#include "formats/schema.h"

/** Finds the first thing in the tables of a result file that no search can have written, whatever it means: a
 * quantity that is negative or infinite, a running number out of order, a figure that is not what it is
 * derived from. Returns "table/column" in `a`, with what is wrong in *what; NULL: nothing. */
const char *results_doubtful(struct rows t[TABLES], const char **what, struct arena *a);

/** Finds the first thing in which the names and pools of a result file differ from the inputs stored in it.
 * Returns "table/column"; NULL: they agree. */
const char *results_strange(const struct job *names, const struct job *inputs);

/** A stored plan must still pass plan_check(), and have the same estimate by that estimator, if it is one of
 * ours: else the file has changed, or the estimator has. -1 with *e set (EXIT_INPUT). */
int results_recheck(const char *path, const struct workload *w, const char *estimator,
                    const struct found_plan *f, struct err *e);
#endif
