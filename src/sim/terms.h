#ifndef SAILOR_SIM_TERMS_H
#define SAILOR_SIM_TERMS_H
#include "sim/estimate.h"
/* The terms of the formulas in docs/estimator.md, each of them here and nowhere else: estimate.c puts them
 * together for a whole plan, src/search for parts of plans. Where a quantity is not known yet, the search
 * passes the value that makes the term least, and has a lower bound. Pure. In all of them `ti` is log2(tp), P
 * the number of stages, D the replicas of a stage and M the microbatches of an iteration. */

/* ---- microbatches ------------------------------------------------------------------- */

/** M: every replica takes ceil(batch / slots) microbatches, where `slots` sequences are in work at a time. */
static inline int microbatches(int global_batch_size, long slots) {
    if (slots < 1 << 30) /* a division of half the width takes a fifth of the time */
        return (int)(((unsigned)global_batch_size + (unsigned)slots - 1) / (unsigned)slots);
    return (int)((global_batch_size + slots - 1) / slots);
}

/** Microbatches whose activations a stage holds at the same time; `depth` = P - i counts it and the stages
 * behind it. Grows with depth and with M, so that depth and M may be the least that are possible. */
static inline int microbatches_in_flight(enum estimator est, int depth, int M) {
    return est == ESTIMATOR_NATIVE && M < depth ? M : depth;
}

/** The same, of v > 1 parts that are dealt out: in microbatches that have passed all parts of the stage. The
 * first part's passes begin v - 1 rounds of the pipeline before the last part's. */
static inline double parts_in_flight(int P, int stage, int v, int M) {
    return fmin(M, P + (P - 1.0) / v - 2.0 * stage / v);
}

/* ---- messages ----------------------------------------------------------------------- */

/** The output of a layer for one microbatch, as it is sent to the next stage. */
static inline double activation_bytes(const struct workload *w, int layer, int micro_batch_size) {
    return w->model->act_out[layer] * w->element_bytes * micro_batch_size;
}

/* The gradients of a stage are all-reduced by rings of the tp ranks; the published formula divides by 4 at
 * most. */
enum { RING_TI_N = 3 };

/** The row of a ring table that a stage's least degree selects. */
static inline int ring_ti(int ti) { return ti < RING_TI_N ? ti : RING_TI_N - 1; }

/** Gradients of one ring: `params` are the stage's parameters at tp 1, `ti` that of its least degree. */
static inline double ring_bytes(const struct workload *w, double params, int ti) {
    return params * w->element_bytes / (1 << ring_ti(ti));
}

/** USD for the closed ring of a stage: usd_per_GB is the sum over its steps of the price of 1e9 bytes. */
static inline double ring_usd(const struct workload *w, double usd_per_GB, double params, int D) {
    return usd_per_GB * (params * w->element_bytes / 1e9) / D * 2 * (D - 1);
}

/** USD per 1e9 bytes from zone to zone. What has no price cannot be paid: INFINITY. */
static inline double payable_egress_usd(const struct site *s, int from_zone, int to_zone) {
    double usd = s->egress_usd_per_GB[from_zone * s->n_zone + to_zone];
    return isnan(usd) ? INFINITY : usd;
}

/** link_time_s(), INFINITY where there is no link or it does not take messages of this size. */
static inline double usable_link_time_s(const struct link *l, double bytes, enum estimator est) {
    return l && link_usable(l, bytes, est) ? link_time_s(l, bytes, est) : INFINITY;
}

/** allreduce_on(), INFINITY where there is no link or it does not take a message of this size. */
static inline double usable_allreduce_s(const struct link *l, const struct allreduce *r) {
    return l && allreduce_usable(l, r) ? allreduce_on(l, r) : INFINITY;
}

/** Does a profile leave out what the framework adds, and is that known? A trainer that was measured as a
 * whole says everything. */
static inline bool framework_adds(const struct workload *w) { return w->platform && w->process_bytes <= 0; }

/** The same for a GPU type. */
static inline bool framework_known(const struct workload *w, int gpu) {
    return framework_adds(w) && !isnan(w->platform[gpu].memory_Bps);
}

/* What a rank holds of a message; with sequence parallelism it keeps the part that it receives. */
static inline double own_bytes(const struct workload *w, int tp, double bytes) {
    return w->options.sequence_parallel ? bytes / tp : bytes;
}

/** The tp ranks of a stage gather the parts of a message of `bytes` that each of them received, and copy it.
 */
static inline double gather_s(const struct workload *w, int gpu, int tp, double bytes) {
    const struct platform *k = &w->platform[gpu];
    double copies_s = 6 * own_bytes(w, tp, bytes) / k->memory_Bps,
           link_Bps = k->gather_Bps[tp_index(tp) & (TP_N - 1)];
    bool alone = tp == 1 || w->options.sequence_parallel || !(link_Bps > 0);
    return alone ? copies_s : copies_s + (tp - 1.0) / tp * bytes / link_Bps;
}

/** Their host works on it. */
static inline double staging_s(const struct workload *w, int gpu, int tp, double bytes) {
    return w->platform[gpu].staging_s_per_B * own_bytes(w, tp, bytes);
}

/** All that a stage does with a message that has arrived, while its GPUs wait. */
static inline double receive_s(const struct workload *w, enum estimator est, int gpu, int tp, double bytes) {
    if (est != ESTIMATOR_NATIVE || !framework_known(w, gpu)) return 0;
    return gather_s(w, gpu, tp, bytes) + staging_s(w, gpu, tp, bytes);
}

/* ---- time --------------------------------------------------------------------------- */

/** Forward and backward passes of each layer: the published simulator has them as they were profiled. */
static inline const double *passes_forward_s(const struct layer_times *t, enum estimator est) {
    return est == ESTIMATOR_NATIVE ? training_forward_s(t) : t->fwd_s;
}
static inline const double *passes_backward_s(const struct layer_times *t, enum estimator est) {
    return est == ESTIMATOR_NATIVE ? training_backward_s(t) : t->bwd_s;
}

/** How many times a stage pays for sending its activation and its gradient in one microbatch. */
struct comm_share {
    double act, grad;
};

/** The published simulator charges the last stage twice its gradient, and the first twice its activation in
 * pipelines of more than three stages. Never less for a larger P. */
static inline struct comm_share comm_share(enum estimator est, bool first, bool last, int P) {
    bool twice = est != ESTIMATOR_NATIVE;
    return (struct comm_share){.act = last                      ? 0
                                      : first && twice && P > 3 ? 2
                                                                : 1,
                               .grad = first           ? 0
                                       : last && twice ? 2
                                                       : 1};
}

/** Communication of a stage and microbatch; a transfer that does not exist takes 0 s. */
static inline double stage_comm_s(enum estimator est, bool first, bool last, int P, double act_s,
                                  double grad_s) {
    struct comm_share n = comm_share(est, first, last, P);
    return n.act * act_s + n.grad * grad_s;
}

/** What keeps two microbatches of a stage apart besides its own work, where transfers block: once it has sent
 * a gradient, the stage before works on it and only then sends the next activation. Where nothing is known of
 * the framework, nothing blocks. */
static inline double turn_s(const struct workload *w, enum estimator est, double act_s,
                            double before_receives_s) {
    return est == ESTIMATOR_NATIVE && framework_adds(w) ? act_s + before_receives_s : 0;
}

/** Update of a stage, layer by layer: of the layers [first, l] from that of [first, l). Where the profile has
 * one number, it is a stage's, whatever its layers. Where it has one per layer they add up; the published
 * simulator takes that of the first layer. */
static inline double update_up_to(const struct layer_times *t, int first, int l, double before_s,
                                  enum estimator est) {
    return t->update_by_layer && est == ESTIMATOR_NATIVE ? before_s + t->update_s[l] : t->update_s[first];
}

/** Update of one of D replicas: with zero 1 each of them updates its share of the parameters. */
static inline double update_share_s(const struct workload *w, double update_s, int D) {
    return w->options.zero ? update_s / D : update_s;
}

/** A pipeline: the largest stage time counts M - 1 times, the communication and computation of all stages
 * once. */
static inline double pipeline_time_s(int M, double slowest_s, double comm_s, double compute_s,
                                     double update_s) {
    return (M - 1) * slowest_s + comm_s + compute_s + update_s;
}

/** The same with v virtual stages: the slowest stage works all the time, and waits for a v-th of one
 * microbatch on the others. */
static inline double interleaved_time_s(int M, double slowest_s, double sum_s, int v, double update_s) {
    return M * slowest_s + (sum_s - slowest_s) / v + update_s;
}

/** An iteration of one pipeline whose stages take sum_s together. Never less for a larger argument. */
static inline double iteration_time_s(int M, double slowest_s, double sum_s, double update_s, double sync_s) {
    return pipeline_time_s(M, slowest_s, sum_s, 0, update_s) + sync_s;
}

/* ---- memory ------------------------------------------------------------------------- */

/* As published, of every GPU type: more with the buffers of tensor parallelism. */
#define PUBLISHED_BESIDE_BYTES 2.0e9
#define PUBLISHED_BESIDE_TP_BYTES 3.0e9

/** What a GPU holds beside the model: context, libraries, buffers of the framework. The trainer that was
 * profiled says it, else the site of its GPU type, else it is as published. Least at tp 1. */
static inline double beside_model_bytes(const struct workload *w, enum estimator est, int gpu, int ti) {
    double stated = w->site->gpu[gpu].context_bytes;
    if (w->process_bytes > 0) return w->process_bytes;
    if (est == ESTIMATOR_NATIVE && framework_known(w, gpu)) return w->platform[gpu].context_bytes;
    if (est == ESTIMATOR_NATIVE && stated > 0) return stated;
    return ti == 0 ? PUBLISHED_BESIDE_BYTES : PUBLISHED_BESIDE_TP_BYTES;
}

/** All that a GPU with `bytes` of the model holds, as it is checked against its memory. */
static inline double held_bytes(const struct workload *w, enum estimator est, int gpu, int ti, double bytes) {
    return (bytes + beside_model_bytes(w, est, gpu, ti)) * (1 + w->memory_margin);
}

/** Its peak: what is checked. The published simulator has another figure for it, fitted to GH200, where no
 * profile says what there is. */
static inline double predicted_peak_bytes(const struct workload *w, enum estimator est, int gpu, int ti,
                                          double bytes) {
    if (est == ESTIMATOR_NATIVE || w->process_bytes > 0) return held_bytes(w, est, gpu, ti, bytes);
    return (bytes + 4.76e9 + 3.0e8) * (1 + w->memory_margin);
}

/** Microbatches of which a stage holds the output until it is sent: in the last stage only one is in flight.
 * Never less for a larger in_flight. */
static inline double messages_held(double in_flight) { return in_flight > 1 ? in_flight : 0; }

/* D where it is not known: more replicas than any stage has. */
enum { REPLICAS_MANY = 1 << 30 };

/** K: what each of D replicas keeps per parameter. Never more for a larger D. */
static inline double state_bytes(const struct workload *w, int D) {
    return w->state_bytes_per_param - w->shared_bytes_per_param + w->shared_bytes_per_param / D;
}

/** Elements per sequence that a block's backward pass has beside what it keeps: gradients inside the block,
 * those of attention scores if it keeps any. */
static inline double inside_block(const struct workload *w, int tp) {
    const struct model *x = w->model;
    double s = x->sequence_length,
           own = s / context_groups(&w->options); /* tokens: of keys, and of queries */
    bool scores = !x->shape || x->shape->keeps_scores;
    return (scores ? 3 * own * s * x->heads / tp : 0) +
           5 * own * x->hidden_size / (w->options.sequence_parallel ? tp : 1);
}

/** Logits per sequence on each GPU of the last stage. */
static inline double logits(const struct workload *w, int tp) {
    return (double)w->model->sequence_length / context_groups(&w->options) * w->model->vocabulary / tp;
}

/** Elements per sequence that are there once, whatever is in flight; `inside` is inside_block(). A trainer's
 * own measurement includes what a block's backward pass needs, and the logits. */
static inline double once_with(const struct workload *w, enum estimator est, int ti, bool last,
                               double inside) {
    bool counted = est == ESTIMATOR_NATIVE && framework_adds(w);
    return w->again[ti] + (counted ? inside + (last ? logits(w, 1 << ti) : 0) : 0);
}
static inline double once(const struct workload *w, enum estimator est, int ti, bool last) {
    return once_with(w, est, ti, last, inside_block(w, 1 << ti));
}

/** Parameters on each GPU of the stage of layers [first, end): theirs, `params`, and in the last of several
 * stages its copy of an embedding that is the output matrix, too. The published simulator has no such model.
 */
static inline double held_params(const struct workload *w, enum estimator est, int ti, int first, int end,
                                 double params) {
    bool copy = est == ESTIMATOR_NATIVE && first > 0 && end == w->model->n_layer;
    return copy ? params + w->model->tied_copy[ti] : params;
}

/** State and activations on each GPU that keeps state_bytes() per parameter: `params` is
 * held_params(), `act` the sum of model.act_mem[ti] over its layers, `single` once(). */
static inline double model_bytes_with(const struct workload *w, double state, double params, double act,
                                      double single, double in_flight, int micro_batch_size) {
    return state * params + in_flight * micro_batch_size * w->element_bytes * act +
           (double)micro_batch_size * w->element_bytes * single +
           messages_held(in_flight) * micro_batch_size * w->element_bytes * w->message;
}

/** The same of one of D replicas of the stage of layers [first, end), whose sums are `params` and `act`. */
static inline double model_bytes(const struct workload *w, enum estimator est, int ti, int D, int first,
                                 int end, double params, double act, double in_flight, int micro_batch_size) {
    return model_bytes_with(w, state_bytes(w, D), held_params(w, est, ti, first, end, params), act,
                            once(w, est, ti, end == w->model->n_layer), in_flight, micro_batch_size);
}

#endif
