#ifndef SAILOR_FORMATS_SCHEMA_H
#define SAILOR_FORMATS_SCHEMA_H
#include "io/h5tables.h"
/* The tables of a file of results (docs/results.md): every table is a C struct, one per entry, and a list of
 * columns. That list is both the writer and the reader. Only results.c, results_read.c and results_check.c
 * use it. */

extern const char schema_name[]; /* "sailor-results/1" */
/* A file has the lowest version that says all it holds, so that older programs refuse only what they would
 * misread: options of plans, and time between microbatches that is neither compute nor comm. */
enum { SCHEMA_PLAIN = 1, SCHEMA_OPTIONS, SCHEMA_TURNS };

enum table_id {
    TABLE_ROW,
    TABLE_POOL,
    TABLE_PLAN,
    TABLE_STAGE,
    TABLE_REPLICA,
    TABLE_VM,
    TABLE_UNIT,
    TABLE_TASK,
    TABLE_STATE,
    TABLE_ZONE,
    TABLE_GPU,
    TABLES
};
extern const struct table_def table_def[TABLES];

struct row_rec {
    int row, oom_plans, climbed;
    unsigned char status;
    const char *reason, *note;
    double time_s, lower_bound, gap, search_s;
    uint64_t plans_evaluated;
};

struct pool_rec {
    int pool, row, count;
    const char *zone, *gpu;
};

enum { KIND_TOP, KIND_FRONTIER }; /* of a stored plan */
struct plan_rec {
    int plan, row, rank, n_pipeline, n_stage, data_parallel, micro_batch_size, n_microbatch, gpus;
    int unfit_pipeline, unfit_stage;
    unsigned char kind, fits, recompute, sequence_parallel, zero;
    double iteration_time_s, pipeline_time_s, sync_time_s, throughput_per_s, compute_usd, egress_usd,
        cost_usd_per_iteration;
    double peak_memory_bytes, planner_time_s, planner_cost_usd;
};

struct stage_rec {
    int stage, plan, pipeline, position, first_layer, end_layer, replicas, gpus;
    double compute_s, comm_s, sync_s, memory_bytes, tight_bytes, tight_room_bytes, turn_s;
};

struct replica_rec {
    int replica, stage, plan, order, tp, count;
    const char *gpu, *zone;
};

struct vm_rec {
    int vm, replica;
    const char *gpu;
};

struct unit_rec {
    int unit, row, micro_batch_size, data_parallel;
    unsigned char status, recompute, sequence_parallel, zero;
    double lower_bound, value, gap, seconds;
    int attempts;
    uint64_t nodes, plans_evaluated;
};

struct task_rec {
    int task, row, round;
    unsigned char kind;
    double seconds;
};

struct state_rec {
    int state, row;
    uint64_t word;
};

struct zone_rec {
    int zone;
    const char *name;
};

struct gpu_rec {
    int gpu, gpus_per_node;
    const char *name;
    double memory_bytes;
};

#endif
