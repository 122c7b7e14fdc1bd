#ifndef SAILOR_CLI_VALIDATE_RUNS_H
#define SAILOR_CLI_VALIDATE_RUNS_H
#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
/* `sailor validate` of tables of measured runs (formats/runs.h): estimated from data sheets, so that no
 * profile and no site is needed. */

/** How many of these files are such tables? -1 with *e set. */
int validate_count_tables(const char **file, int n, struct err *e);

/** Compare and print. -1 with *e set. */
int validate_tables(const char **file, int n, const char *inputs, bool json, struct arena *a, struct err *e);
#endif
