#ifndef SAILOR_TRAIN_CADENCE_H
#define SAILOR_TRAIN_CADENCE_H
#include "base/err.h"
#include <stdbool.h>
/* When the next checkpoint is due. Pure. */

enum cadence_kind { CADENCE_NEVER, CADENCE_STEPS, CADENCE_TIME, CADENCE_AUTO };
struct cadence {
    enum cadence_kind kind;
    int steps;
    double interval_s; /* CADENCE_TIME */
    double mtbf_s;     /* CADENCE_AUTO: mean time between failures of the whole job */
};

/** From --checkpoint-every ("100", "30s", "5m", "2h", "auto") and --mtbf (a time); NULL: not given. -1 with
 * *e set (EXIT_INPUT). */
int cadence_read(struct cadence *c, const char *every, const char *mtbf, struct err *e);

/** Is one due after `done` steps, `since_s` after the last one was begun, which took write_s from its first
 * byte to the last (negative: not known yet)? By time never while a file is still being written. */
bool cadence_due(const struct cadence *c, int done, double since_s, double write_s, bool busy);
#endif
