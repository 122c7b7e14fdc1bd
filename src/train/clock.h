#ifndef SAILOR_TRAIN_CLOCK_H
#define SAILOR_TRAIN_CLOCK_H
#include "formats/timeline.h"
#include "train/backend.h"
/* What a rank spends its time on. A step is a sequence of stamps in the device's own order of work; each
 * begins a phase. Seconds are added up after the step, so that nothing waits for a measurement. */

struct mark { /* from here to the next one */
    enum phase phase;
    int item;
};

struct clock {
    struct backend *backend;
    int item; /* for the next marks: the microbatch of a pass, the layer of a data sum; -1: none */
    int n, room;
    struct mark *mark; /* [room] mark i begins with stamp i, the last one ends with stamp n */
    double began_s;    /* start of the step on the host's monotonic clock */
};

/** Begin a step, in PHASE_OTHER. */
void clock_start(struct clock *c);
/** Enter a phase. Returns the previous one. */
enum phase clock_enter(struct clock *c, enum phase p);
/** End the step. Stores the seconds of each phase and returns their sum. */
double clock_stop(struct clock *c, double seconds[PHASE_N]);
/** Of the step that clock_stop() has ended: adds the seconds of each item to seconds[item]. */
void clock_items(const struct clock *c, double *seconds, int items);
void clock_free(struct clock *c);

/** Seconds of the host's monotonic clock, which all processes of a machine share. */
double clock_host_s(void);
#endif
