#ifndef SAILOR_CLI_SCALING_H
#define SAILOR_CLI_SCALING_H
#include "cli/cli.h"
/* How the searches of a result file would scale to more ranks. */

/** Print the replay of the stored tasks of each row, or of one (row >= 0), on 1 to 4,096 ranks: tables, or
 * with `json` one object per row and number of ranks. -1 with *e set (EXIT_INPUT): none are stored. */
int scaling_show(const char *path, const struct results *r, int row, bool json, struct arena *a,
                 struct err *e);

#endif
