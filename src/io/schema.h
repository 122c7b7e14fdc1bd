#ifndef SAILOR_IO_SCHEMA_H
#define SAILOR_IO_SCHEMA_H
#include "base/arena.h"
#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>
/* The tables of a file of results (docs/results.md): every table is a C struct, one per entry, and a list of
 * columns. That list is both the writer and the reader. Only for results.c and results_read.c. */

extern const char schema_name[]; /* "sailor-results/1" */
enum { SCHEMA_VERSION = 1 };

enum column_type { COLUMN_I32, COLUMN_U8, COLUMN_U64, COLUMN_F64, COLUMN_TEXT };

struct column {
    const char *name;
    enum column_type type;
    const char *units; /* NULL: that of the search's objective, s or USD */
    const char *about;
    size_t at;         /* offset in the record */
    const char *flags; /* meanings of 0, 1, 2, ..., or NULL */
};

struct table_def {
    const char *name, *about;
    const struct column *column;
    int n_column;
    size_t record; /* bytes */
};

enum table_id {
    TABLE_ROW,
    TABLE_POOL,
    TABLE_PLAN,
    TABLE_STAGE,
    TABLE_REPLICA,
    TABLE_VM,
    TABLE_UNIT,
    TABLE_ZONE,
    TABLE_GPU,
    TABLES
};
extern const struct table_def table_def[TABLES];

struct row_rec {
    int row, oom_plans;
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
    unsigned char kind, fits;
    double iteration_time_s, pipeline_time_s, sync_time_s, throughput_per_s, compute_usd, egress_usd,
        cost_usd_per_iteration;
    double peak_memory_bytes, planner_time_s, planner_cost_usd;
};

struct stage_rec {
    int stage, plan, pipeline, position, first_layer, end_layer, replicas, gpus;
    double compute_s, comm_s, sync_s, memory_bytes;
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
    unsigned char status;
    double lower_bound, value, gap, seconds;
    int attempts;
    uint64_t nodes, plans_evaluated;
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

/* The entries of one table in memory. */
struct rows {
    int n, room;
    char *rec;
};

/** Entry i of table t as a struct TYPE. */
#define REC(t, id, type, i) (&((struct type *)(void *)(t)[id].rec)[i])

/** Bytes in a record; not for COLUMN_TEXT, which is a const char * there. */
size_t column_size(enum column_type t);
/** HDF5 types of a column in memory and in the file; not for COLUMN_TEXT. */
hid_t column_native(enum column_type t);
hid_t column_on_disk(enum column_type t);
/** Fixed-length UTF-8, to be closed: pandas and xarray read no variable-length strings from a column. */
hid_t text_type(size_t width);
/** Why the last HDF5 call failed, in its own words. */
const char *hdf5_why(char text[200]);

/** The checksum line after the HDF5 data. */
enum { SEAL_BYTES = 42 };
void seal_make(const char *bytes, size_t size, char seal[SEAL_BYTES + 1]);
/** Is the seal, if there is one, right? */
int seal_holds(const char *bytes, size_t size);

#endif
