#ifndef SAILOR_TRAIN_MEASURE_H
#define SAILOR_TRAIN_MEASURE_H
#include "train/trainer.h"
/* What a run measured, gathered step by step on rank 0, which alone holds it, and its HDF5 file (schema:
 * docs/trainer.md). */

struct measured_step {
    long step;
    bool warmup;
    double loss, held_out_loss;            /* NAN: not evaluated */
    double learning_rate, gradient_norm;   /* norm NAN: gradients are not clipped */
    double iteration_time_s;               /* slowest rank */
    double tokens_per_s, flops_per_s, mfu; /* mfu NAN where the device's peak is unknown */
};

struct measured_rank {
    int pipeline, stage, replica, tp, tp_rank;
    char host[64], device[128];
    double peak_bytes[MEMORY_N], peak_total_bytes;
    double process_peak_bytes; /* high-water mark of the process as the system counts it */
    double device_bytes;       /* in use on the device, as it reports, by any process; 0 on a CPU */
};

/* What a run does before its first step: MPI; plan and data; devices and communicators; memory and initial
 * weights; the checkpoint, or the weights, that it starts from. */
enum start_part { START_MPI, START_DATA, START_DEVICES, START_MODEL, START_LOAD, START_N };

struct measure {
    int ranks, steps, room;
    struct measured_step *step; /* [steps] */
    double *time_s;             /* [steps][ranks][1 + PHASE_N]: all, then by phase */
    struct measured_rank *rank; /* [ranks] */
    /* of the run */
    const char *command_line, *version, *versions, *started_utc, *inputs_json, *backend, *dtype, *comm,
        *device, *data;
    const char *status, *reason; /* "ok" and "", or why the run ended early */
    int threads;
    long long seed;
    double start_s[START_N]; /* of this rank */
    double peak_flops_per_s; /* of all ranks together, NAN: unknown */
    double tokens_per_step, flops_per_step;
};

/** Room for one more step; its times are zero. NULL when out of memory. */
struct measured_step *measure_add(struct measure *m);
/** Mean over the steps that are not warm-up; NAN if there are none. */
double measure_iteration_s(const struct measure *m);
/** Largest total of any rank. */
double measure_peak_bytes(const struct measure *m);
/** Write everything to `path`. One rank calls it. -1: *e set (EXIT_INTERNAL). */
int measure_write(const struct measure *m, const char *path, struct err *e);
void measure_free(struct measure *m);
#endif
