#ifndef SAILOR_SIM_EVENTS_H
#define SAILOR_SIM_EVENTS_H
#include "sim/estimate.h"
#include "sim/schedule.h"
/* The estimate of a plan by playing its schedule through (sim/schedule.h), with transfers that block and what
 * the framework does to a message on arrival: when every pass begins and ends, and not in the form that the
 * search's bounds need. Formulas: docs/estimator.md, "Events". Pure. */

/* Terms that can be left out, to see what each of them is worth. */
enum events_term {
    EVENTS_GATHER = 1,  /* the receiver gathers a message from its tp ranks and copies it */
    EVENTS_STAGING = 2, /* and works on the host */
    EVENTS_HOLD = 4,    /* the sender is held until the network has taken its message */
    EVENTS_LAUNCH = 8,  /* launch-bound passes are faster than their profile */
    EVENTS_RINGS = 16,  /* the tp rings of a node share its links */
    EVENTS_UPDATE = 32, /* the update moves every parameter's state through memory */
    EVENTS_ALL = 63
};

/** As estimate_plan(), by events. One pipeline. -1 with *e set (EXIT_INPUT) for a plan of several, a missing
 * link, a GPU type of which w->platform knows nothing. */
int events_estimate(const struct workload *w, const struct plan *p, unsigned terms, struct estimate *out,
                    struct err *e);

/* Bytes on the fullest GPU of a stage: kept all the time; for every microbatch in flight; and while a
 * backward pass runs, on top of its microbatch's. */
struct events_memory {
    double state, per_microbatch, backward;
};

/* An iteration as it was played. */
struct events_played {
    int stages, microbatches;
    struct schedule_stage *pass;  /* [stages] how long the passes take */
    struct schedule_log log;      /* when they end */
    double *end_s;                /* [stages] when a stage has sent its last message */
    double *sync_s, *update_s;    /* [stages] */
    struct events_memory *memory; /* [stages] */
};

/** events_estimate() with all terms, and everything that happened in *played; which lives in a. out->stage
 * may point to room. */
int events_play(const struct workload *w, const struct plan *p, struct estimate *out,
                struct events_played *played, struct arena *a, struct err *e);
#endif
