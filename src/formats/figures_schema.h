#ifndef SAILOR_FORMATS_FIGURES_SCHEMA_H
#define SAILOR_FORMATS_FIGURES_SCHEMA_H
#include "io/h5tables.h"
/* The tables of the file that `sailor figures` writes and analysis/figures.py draws: a C struct for each, one
 * per entry, and its columns. */

extern const char figures_schema_name[]; /* "sailor-figures/1" */

enum figures_table { FIGURES_WALK, FIGURES_ESTIMATE, FIGURES_FRONTIER, FIGURES_TABLES };
extern const struct table_def figures_table_def[FIGURES_TABLES];

struct walk_rec {
    int walk, row, oom_plans, published_oom_plans, micro_batch_size, n_pipeline, n_stage, data_parallel, gpus;
    unsigned char status;
    const char *figure, *pool, *planner, *reason, *note, *plan;
    double iteration_time_s, throughput_per_s, cost_usd_per_iteration, egress_usd, planner_time_s,
        planner_cost_usd, lower_bound, gap, search_s;
    double published_throughput_per_s, published_cost_usd, published_search_s;
    uint64_t plans_evaluated;
};

struct estimate_rec {
    int estimate;
    const char *run, *estimator;
    double measured_time_s, measured_peak_bytes, iteration_time_s, peak_memory_bytes, time_error_percent,
        memory_error_percent;
    double published_time_s, published_peak_bytes;
};

struct frontier_rec {
    int point, row;
    const char *figure, *types, *plan;
    double iteration_time_s, throughput_per_s, cost_usd_per_iteration, gap, search_s;
};

#endif
