#ifndef SAILOR_TRAIN_TRACE_H
#define SAILOR_TRAIN_TRACE_H
#include "base/err.h"
#include "io/mpx.h"
#include "train/clock.h"
#include "train/grid.h"
/* The timeline of one step: the marks of every rank's clock, in one file in Chrome's trace event format
 * (docs/trainer.md), which Perfetto opens. */

struct trace_mark { /* one mark of the clock, with its time */
    double at_s;    /* since the step began */
    int phase, item;
};

struct trace { /* of one rank */
    long step;
    int n, room;             /* n: marks; 0: no step yet, or out of memory */
    struct trace_mark *mark; /* [n + 1] the last one is the end */
    double began_s;          /* on this host's clock */
};

/** Keep the step that the clock has just stopped, replacing the previous one. */
void trace_take(struct trace *t, const struct clock *c, long step);

/** Write the kept step of all ranks to `path`, whole or not at all; `source` says who wrote it. Collective.
 * -1 with the same *e everywhere (EXIT_INTERNAL). */
int trace_write(const struct trace *t, const struct grid *g, const struct mpx *m, const char *path,
                const char *source, struct err *e);

void trace_free(struct trace *t);
#endif
