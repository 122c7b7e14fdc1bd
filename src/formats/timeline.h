#ifndef SAILOR_FORMATS_TIMELINE_H
#define SAILOR_FORMATS_TIMELINE_H
#include "io/json.h"
/* Timelines in Chrome's trace event format, "sailor-trace/1" (docs/trainer.md), which Perfetto opens: those
 * that the trainer measures and those that are predicted use the same names, categories and processes, so
 * that both can be looked at side by side. A process is a stage, counted through all pipelines. */

/* What a rank spends its time on. */
enum phase {
    PHASE_FORWARD,
    PHASE_BACKWARD,
    PHASE_WAIT,   /* for other stages: receives, and unfinished sends */
    PHASE_TENSOR, /* sums within the replica */
    PHASE_DATA,   /* sums over the replicas */
    PHASE_UPDATE,
    PHASE_OTHER, /* the rest of the step: tokens, clearing gradients */
    PHASE_N
};
extern const char *const phase_name[PHASE_N];

struct timeline_about {
    const char *source, *label; /* who wrote it; what stands beside the processes: "step 3" */
    long step;
    int ranks;
    double time_s, clock_error_s;
};
void timeline_begin(struct text *out, const struct timeline_about *about);
void timeline_end(struct text *out);

/** "pipeline 0, stage 1: layers 13 to 25"; `track` is one of its tracks. */
void timeline_process(struct text *out, int process, int track, int pipeline, int stage, int first, int end);
/** Tracks of a process stand in ascending `order`. */
void timeline_track(struct text *out, int process, int track, int order, const char *name);

/* Where an event goes, and what it is: a pass of microbatch `item`, a sum of layer `item`; -1: of none. */
struct timeline_at {
    int process, track;
    enum phase phase;
    int item;
};
/** From one moment to another; nothing if they are the same. In ns: ends and beginnings are rounded alike, so
 * that nothing overlaps. */
void timeline_span(struct text *out, const struct timeline_at *at, long long from_ns, long long to_ns);
/** The beginning ('b') or end ('e') of something that runs beside the spans; `rank` and item tell them apart.
 */
void timeline_beside(struct text *out, const struct timeline_at *at, char kind, int rank, long long ns);
/** Memory of a GPU from here on, in bytes. */
void timeline_memory(struct text *out, int process, long long ns, double state, double activations,
                     double backward);
#endif
