#ifndef SAILOR_SIM_SCHEDULE_H
#define SAILOR_SIM_SCHEDULE_H
/* One iteration of a pipeline, forward and backward passes of every microbatch played through in the order in
 * which a framework runs them (1F1B). Pure: times in, times out. docs/estimator.md, "Events". */

enum { SCHEDULE_STAGES_MAX = 512 };

/* One pass of one microbatch through all layers of a stage. */
struct schedule_stage {
    double forward_s, backward_s;
};

/* One message between stage k and stage k + 1: how long it is in transit, how long the sender is held, and
 * how long the receiver works on it after it has arrived. */
struct schedule_message {
    double transit_s, hold_s, receive_s;
};

struct schedule_hop {
    struct schedule_message activation; /* from k to k + 1 */
    struct schedule_message gradient;   /* from k + 1 to k */
};

struct schedule {
    int stages, microbatches;
    const struct schedule_stage *stage; /* [stages] */
    const struct schedule_hop *hop;     /* [stages - 1] */
};

/** When each stage has done its last backward pass, into end_s[stages]; returns the latest. Sends and
 * receives lie in the order of the computation (DeepSpeed's TrainSchedule: a forward step sends a gradient
 * back, then receives; a backward step receives a gradient, then sends the activation before), so that a
 * stage waits for what it sends and receives. */
double schedule_blocking_s(const struct schedule *s, double *end_s);

/** The same, noting when each pass was done: [stage * microbatches + microbatch] */
struct schedule_log {
    double *forward_end_s, *backward_end_s;
};
double schedule_blocking_log(const struct schedule *s, double *end_s, const struct schedule_log *log);

/** The same where messages travel beside the computation: hold_s and receive_s are not looked at, and a
 * message leaves when the pass that makes it is done. */
double schedule_concurrent_s(const struct schedule *s, double *end_s);

/** Never above schedule_blocking_s(), of any schedule; equal to it in most. */
double schedule_lower_bound_s(const struct schedule *s);

/** Never below schedule_blocking_s(): S + (M - 1) X of docs/estimator.md. */
double schedule_upper_bound_s(const struct schedule *s);

/** Interleaved 1F1B (Megatron-LM): the layers of each stage are dealt into `parts`, which pass one after the
 *  other; stage[] has the times of all parts together, and every part sends its own messages. Messages travel
 *  beside the computation; the last stage's are sent on to the first by wrap. `microbatches` must be a
 * multiple of stages. end_s[stages] as above. work: room for 2 x parts x stages x microbatches doubles. */
double schedule_interleaved_s(const struct schedule *s, int parts, const struct schedule_hop *wrap,
                              double *end_s, double *work);

/** Never above it. */
double schedule_interleaved_bound_s(const struct schedule *s, int parts, const struct schedule_hop *wrap);
#endif
