#ifndef SAILOR_TRAIN_CLOCK_H
#define SAILOR_TRAIN_CLOCK_H
#include "train/backend.h"
/* What a rank spends its time on. A step is a row of stamps in the device's own order of work, each the
 * beginning of a phase; seconds are added up after the step, so that nothing waits for the sake of measuring.
 */

enum phase {
    PHASE_FORWARD,
    PHASE_BACKWARD,
    PHASE_WAIT,   /* for other stages: receiving, and sends that have not left */
    PHASE_TENSOR, /* sums within the replica */
    PHASE_DATA,   /* sums over the replicas */
    PHASE_UPDATE,
    PHASE_OTHER, /* the rest of the step: tokens, clearing gradients */
    PHASE_N
};
extern const char *const phase_name[PHASE_N];

struct mark { /* from here to the next one */
    enum phase phase;
    int item;
};

struct clock {
    struct backend *backend;
    int item; /* of the marks to come: the microbatch of a pass, the layer of a data sum, -1: none */
    int n, room;
    struct mark *mark; /* [room] mark i begins with stamp i, the last one ends with stamp n */
    double began_s;    /* of the host's monotonic clock: when the step began */
};

/** Begin a step; what it does now is PHASE_OTHER. */
void clock_start(struct clock *c);
/** What follows is this phase. Returns the one before it. */
enum phase clock_enter(struct clock *c, enum phase p);
/** End the step: seconds per phase, and their sum. */
double clock_stop(struct clock *c, double seconds[PHASE_N]);
void clock_free(struct clock *c);

/** Seconds of the host's monotonic clock, the same one for all processes of a machine. */
double clock_host_s(void);
#endif
