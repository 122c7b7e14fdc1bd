#ifndef SAILOR_SIM_JOB_H
#define SAILOR_SIM_JOB_H
#include "sim/plan.h"
#include "sim/runner.h"
/* What is asked: a model to be trained, the pools of GPUs that are offered for it, an objective and limits.
 */

enum objective { OBJECTIVE_THROUGHPUT, OBJECTIVE_COST, OBJECTIVE_FRONTIER, OBJECTIVE_N };
extern const char *const objective_name[OBJECTIVE_N];

/** Choices the user fixed; 0 = free. */
struct pin {
    int micro_batch_size, stages, data_parallel;
    int tp[GPUS_MAX];        /* per GPU type of the site */
    unsigned zones;          /* bit z set: zone z allowed; 0 = all */
    enum runner runnable_by; /* only plans that it can run */
    bool runnable_by_job;    /* said beside the pins, not among them */
};

struct pool {
    double time_s;             /* NAN if not given */
    const int *count;          /* [n_zone * n_gpu] GPUs available */
    const struct nodes *nodes; /* [n_zone * n_gpu] what they stand on; NULL: nodes of the type's size */
    int n_entry; /* the same as the file lists it, zero counts included: some planners look at the order */
    const struct pool_entry { int zone, gpu, count; } * entry; /* [n_entry] */
    const int *per_node;                                       /* [n_entry] GPUs of a node */
    int index; /* in the file: one of its pools may stand for several rows */
};

struct job {
    const char *name; /* of the file, without directory and .json, unless "name" is given */
    int global_batch_size;
    const char *dtype, *optimizer; /* "fp32", "adam" by default */
    bool exact_batch;
    double train_tokens;       /* 0 = not given */
    double max_hours, max_usd; /* of the whole run, part of the limits below; INFINITY if not given */
    struct pin pin;
    enum objective objective;
    double max_usd_per_iteration; /* INFINITY if not given */
    double min_iterations_per_s;  /* 0 if not given */
    int n_pool;
    const struct pool *pool; /* [n_pool] */
    struct workload workload;
    /* the published build that it names, if the model that this stands for is planned */
    const char *asked_for;
    const char *json; /* full inputs as JSON text: {"job":..., "model":..., "site":..., "profiles":[...]} */
};

/** Iterations of the whole training run; 0 where the job or its model does not say how long it is. */
double job_iterations(const struct job *j, const struct model *m);

#endif
