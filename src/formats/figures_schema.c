#include "formats/figures_schema.h"

const char figures_schema_name[] = "sailor-figures/1";

static const struct column walk_columns[] = {
    COLUMN(walk, walk, I32, "1", "running number"),
    COLUMN(walk, figure, TEXT, "1", "figure of the paper, and job file in inputs/"),
    COLUMN(walk, row, I32, "1", "pool row of the job"),
    COLUMN(walk, pool, TEXT, "1", "GPUs available"),
    COLUMN(walk, planner, TEXT, "1", "planner"),
    COLUMN_FLAGS(walk, status, "todo optimal feasible infeasible",
                 "what came of it; optimal only from exact"),
    COLUMN(walk, throughput_per_s, F64, "1/s",
           "iterations per second under the common simulator, 0 = no plan"),
    COLUMN(walk, iteration_time_s, F64, "s", "the same as time of an iteration"),
    COLUMN(walk, cost_usd_per_iteration, F64, "USD",
           "GPUs and egress of an iteration under the common simulator"),
    COLUMN(walk, egress_usd, F64, "USD", "egress alone"),
    COLUMN(walk, oom_plans, I32, "1", "plans that the planner ranked before and that do not fit into memory"),
    COLUMN(walk, planner_time_s, F64, "s", "time of an iteration as the planner itself estimates it"),
    COLUMN(walk, planner_cost_usd, F64, "USD", "cost as the planner itself estimates it"),
    COLUMN(walk, lower_bound, F64, "s or USD", "exact: no plan is better than this, by the job's objective"),
    COLUMN(walk, gap, F64, "1", "exact: (value - lower_bound) / value"),
    COLUMN(walk, search_s, F64, "s", "wall time of the search"),
    COLUMN(walk, plans_evaluated, U64, "1", "plans or states that the search looked at"),
    COLUMN(walk, micro_batch_size, I32, "1", "sequences of a microbatch"),
    COLUMN(walk, n_pipeline, I32, "1", "pipelines"),
    COLUMN(walk, n_stage, I32, "1", "stages of the first pipeline"),
    COLUMN(walk, data_parallel, I32, "1", "replicas of its first stage"),
    COLUMN(walk, gpus, I32, "1", "GPUs in use"),
    COLUMN(walk, published_throughput_per_s, F64, "1/s",
           "what the published code answers, 0 = no plan, NaN = not published"),
    COLUMN(walk, published_cost_usd, F64, "USD", "cost of that plan"),
    COLUMN(walk, published_oom_plans, I32, "1", "plans out of memory before it, -1 = not published"),
    COLUMN(walk, published_search_s, F64, "s", "its search time, on another machine"),
    COLUMN(walk, reason, TEXT, "1", "why there is no plan"),
    COLUMN(walk, note, TEXT, "1", "what is odd about the plan"),
    COLUMN(walk, plan, TEXT, "1", "the plan as JSON, sailor-plan/1"),
};

static const struct column estimate_columns[] = {
    COLUMN(estimate, estimate, I32, "1", "running number"),
    COLUMN(estimate, run, TEXT, "1", "measured run of inputs/validation/opt-350m-gh200.json"),
    COLUMN(estimate, estimator, TEXT, "1", "estimator"),
    COLUMN(estimate, measured_time_s, F64, "s", "measured time of an iteration"),
    COLUMN(estimate, measured_peak_bytes, F64, "B", "measured peak memory"),
    COLUMN(estimate, iteration_time_s, F64, "s", "estimated time"),
    COLUMN(estimate, peak_memory_bytes, F64, "B", "estimated memory, NaN = no such model"),
    COLUMN(estimate, time_error_percent, F64, "percent", "|estimated - measured| / measured"),
    COLUMN(estimate, memory_error_percent, F64, "percent", "the same of the memory"),
    COLUMN(estimate, published_time_s, F64, "s", "what the published code says"),
    COLUMN(estimate, published_peak_bytes, F64, "B", "what the published code says"),
};

static const struct column frontier_columns[] = {
    COLUMN(frontier, point, I32, "1", "running number"),
    COLUMN(frontier, figure, TEXT, "1", "figure whose pool it is about"),
    COLUMN(frontier, row, I32, "1", "pool row of the job"),
    COLUMN(frontier, iteration_time_s, F64, "s", "time of an iteration"),
    COLUMN(frontier, throughput_per_s, F64, "1/s", "iterations per second"),
    COLUMN(frontier, cost_usd_per_iteration, F64, "USD", "cost of an iteration"),
    COLUMN(frontier, types, TEXT, "1", "GPUs in use"),
    COLUMN(frontier, gap, F64, "1", "proof: no plan lies further than this, relatively, beyond the frontier"),
    COLUMN(frontier, search_s, F64, "s", "wall time of the search of this frontier"),
    COLUMN(frontier, plan, TEXT, "1", "the plan as JSON, sailor-plan/1"),
};

const struct table_def figures_table_def[FIGURES_TABLES] = {
    TABLE_DEF(walk, "planners: one entry per figure, pool row and planner"),
    TABLE_DEF(estimate, "estimators: one entry per measured run and estimator"),
    TABLE_DEF(frontier, "points of the exact time/cost frontiers"),
};
