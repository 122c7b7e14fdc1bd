#ifndef SAILOR_FORMATS_RESULTS_CHECK_H
#define SAILOR_FORMATS_RESULTS_CHECK_H
#include "formats/schema.h"

/** Finds the first thing in the tables of a result file that no search can have written, whatever it means: a
 * quantity that is negative or infinite, a running number out of order, a figure that is not what it is
 * derived from. Returns "table/column" in `a`, with what is wrong in *what; NULL: nothing. */
const char *results_doubtful(struct rows t[TABLES], const char **what, struct arena *a);
#endif
