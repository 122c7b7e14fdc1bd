#ifndef SAILOR_CLI_PREDICTED_H
#define SAILOR_CLI_PREDICTED_H
#include "cli/cli.h"
/* sailor simulate --trace: the iteration of a plan as events play it, as a timeline (formats/timeline.h). */

/** Write it to `path`, whole or not at all. -1 with *e set: EXIT_INPUT for a plan that cannot be played or
 * has too many passes, EXIT_INTERNAL for a file that cannot be written. */
int predicted_write(const struct workload *w, const struct plan *p, const char *path, struct err *e);
#endif
