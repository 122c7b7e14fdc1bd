#ifndef SAILOR_SIM_ESTIMATE_H
#define SAILOR_SIM_ESTIMATE_H
#include "sim/plan.h"
/* Time, money and memory of a plan, one loop per formula. Pure: tables in, numbers out. The formulas are in
 * docs/estimator.md, their terms in sim/terms.h. */

enum estimator {
    ESTIMATOR_SAILOR, /* the published simulator, defects included: the common yardstick */
    ESTIMATOR_NATIVE, /* without its defects, and with what the framework adds */
    ESTIMATOR_N,
    ESTIMATOR_DEFAULT = ESTIMATOR_NATIVE
};
extern const char *const estimator_name[ESTIMATOR_N];

/* Message sizes that the link fits were measured over, and the buckets that an all-reduce is cut into. */
enum { MEASURED_MIN_BYTES = 1 << 16, MEASURED_MAX_BYTES = 1 << 30, BUCKET_BYTES = 500000000 };

struct stage_estimate {
    double compute_s;    /* forward + backward of one microbatch, slowest replica */
    double comm_s;       /* activations and gradients of one microbatch */
    double sync_s;       /* gradient all-reduce */
    double memory_bytes; /* fullest GPU of the stage, in the form that `fits` uses */
    double tight_bytes,
        tight_room_bytes; /* of the GPU with the least to spare of its memory, and that; 0: not known */
    double turn_s;        /* between two microbatches, beside these, where transfers block (terms.h) */
};

/** What passes from one microbatch of a stage to the next: its own work and its turn. */
static inline double stage_period_s(const struct stage_estimate *e) {
    return e->compute_s + e->comm_s + e->turn_s;
}

struct estimate {
    double iteration_time_s, pipeline_time_s, sync_time_s;
    double compute_usd, egress_usd, cost_usd; /* per iteration; NAN where a price is unknown */
    bool fits;                                /* every replica within its GPU's memory */
    double peak_memory_bytes;                 /* fullest GPU, as `fits` has it (sailor: as fitted to GH200) */
    int n_microbatch;                         /* M */
    bool played;     /* by events, or of virtual stages: pipeline_time_s is not the sum of its stages */
    double update_s; /* if played: of the optimizer, a part of pipeline_time_s */
    int unfit_pipeline, unfit_stage; /* first stage that does not fit, -1 if fits */
    struct stage_estimate
        *stage; /* optional, given by the caller: [stages of all pipelines, in order], or NULL */
};

/** Seconds to move `bytes` over a link once: (x/1e9)/bw(x). 0 bytes: 0. ESTIMATOR_SAILOR keeps the poles and
 *  negative values of the published fit; ESTIMATOR_NATIVE evaluates the fit within the measured sizes only
 * (64 KiB to 1 GiB), and of these where it can be believed (sim/link.h): smaller and larger messages move at
 * the bandwidth of the nearest of those, so that times are positive and grow with the bytes. */
double link_time_s(const struct link *l, double bytes, enum estimator est);

/** Is bw(bytes) > 0 (or bytes 0)? Plans that use a link where it is not are outside the declared plan space.
 */
bool link_usable(const struct link *l, double bytes, enum estimator est);

/** Ring all-reduce of `bytes` over k workers on one link, in buckets of 5e8 bytes: each bucket of s bytes
 * costs 2(k-1)*time(s/k). k <= 1: 0. */
double allreduce_time_s(const struct link *l, double bytes, int k, enum estimator est);

/** The messages of an all-reduce, for asking about many links at once: taking the logarithm of the sizes
 * costs more than all the rest. */
struct allreduce {
    int k;
    enum estimator est;
    double n_full, full_bytes, full_log; /* full buckets, the message of one, where the fit is evaluated */
    double rest_bytes, rest_log;         /* the last bucket */
    double full_GB, rest_GB;             /* the two messages in 1e9 bytes */
};
struct allreduce allreduce_of(double bytes, int k, enum estimator est);

/** allreduce_time_s() of these messages. */
double allreduce_on(const struct link *l, const struct allreduce *r);

/** No more than allreduce_on() for any number of workers from that of `fewest` to that of `most`, two or
 * more, of those with which the link is usable; both of the same bytes. INFINITY: it is with none. */
double allreduce_least_s(const struct link *l, const struct allreduce *fewest, const struct allreduce *most);

/** link_usable() for every message. */
bool allreduce_usable(const struct link *l, const struct allreduce *r);

/** What a plan has that only the project's own estimators know, as a message names it; NULL: nothing. */
const char *native_option(const struct workload *w, const struct plan *p);

/** Estimate a plan that passed plan_check(). out->stage may point to room for the per-stage breakdown.
 *  Returns 0, or -1 with *e set when the plan needs a link the site does not have (EXIT_INPUT). Thread-safe.
 */
int estimate_plan(const struct workload *w, const struct plan *p, enum estimator est, struct estimate *out,
                  struct err *e);

/** Forward and backward pass of one microbatch through the layers of a stage on one kind of its replicas: as
 * their profile has it or, with ESTIMATOR_NATIVE, as training has it. */
double replica_compute_s(const struct workload *w, enum estimator est, const struct stage *st,
                         const struct replicas *r, int micro_batch_size);

/** The memory check of estimate_plan() alone: needs the model's sizes, but neither a profile nor links.
 * Degrees that the model does not know count as fitting. */
bool plan_fits(const struct workload *w, const struct plan *p, enum estimator est);

#endif
