#include "formats/schema.h"

const char schema_name[] = "sailor-results/1";

static const struct column row_columns[] = {
    COLUMN(row, row, I32, "1", "pool row of the job, from 0"),
    COLUMN(row, time_s, F64, "s", "time of the row in the job's availability trace, NaN if it has none"),
    COLUMN_FLAGS(row, status, "todo optimal feasible infeasible", "what the search knows about this row"),
    COLUMN(row, lower_bound, F64, NULL, "no plan of the declared space is better than this"),
    COLUMN(row, gap, F64, "1",
           "(value - lower_bound) / value; 0 = proven optimal; for a frontier the largest of its points"),
    COLUMN(row, search_s, F64, "s", "wall time of the search of this row"),
    COLUMN(row, plans_evaluated, U64, "1", "plans that were estimated"),
    COLUMN(row, oom_plans, I32, "1",
           "plans that a baseline planner proposed and the check rejected for memory"),
    COLUMN_LATER(row, climbed, I32, "1",
                 "attempts at units for which better plans have been looked for beside the proof"),
    COLUMN(row, reason, TEXT, "1", "why there is no plan, empty otherwise"),
    COLUMN(
        row, note, TEXT, "1",
        "remarks: what is wrong with a published planner's plan, the row a proof is taken from, or that the "
        "running plan was kept; else empty"),
};

static const struct column pool_columns[] = {
    COLUMN(pool, pool, I32, "1", "running number"),
    COLUMN(pool, row, I32, "1", "pool row of the job"),
    COLUMN(pool, zone, TEXT, "1", "zone"),
    COLUMN(pool, gpu, TEXT, "1", "GPU type"),
    COLUMN(pool, count, I32, "1", "GPUs of this type in this zone that the search may use"),
};

static const struct column plan_columns[] = {
    COLUMN(plan, plan, I32, "1", "number of the plan in this file, from 0"),
    COLUMN(plan, row, I32, "1", "pool row of the job that the plan answers"),
    COLUMN_FLAGS(plan, kind, "top frontier",
                 "top: best first by the objective; frontier: ascending iteration time"),
    COLUMN(plan, rank, I32, "1", "place among the plans of the same row and kind, from 0"),
    COLUMN(plan, iteration_time_s, F64, "s", "estimated time of one iteration"),
    COLUMN(plan, throughput_per_s, F64, "1/s", "estimated iterations per second"),
    COLUMN(plan, cost_usd_per_iteration, F64, "USD",
           "compute and egress of one iteration, NaN where a price is unknown"),
    COLUMN(plan, compute_usd, F64, "USD", "GPU hours of one iteration"),
    COLUMN(plan, egress_usd, F64, "USD", "traffic between zones of one iteration"),
    COLUMN(plan, peak_memory_bytes, F64, "B", "predicted peak of the fullest GPU"),
    COLUMN_FLAGS(plan, fits, "no yes", "does every replica fit into its GPU's memory"),
    COLUMN(plan, pipeline_time_s, F64, "s", "part of the iteration before the all-reduce"),
    COLUMN(plan, sync_time_s, F64, "s", "gradient all-reduce of the slowest stage"),
    COLUMN(plan, micro_batch_size, I32, "1", "sequences of one microbatch"),
    COLUMN(plan, n_microbatch, I32, "1", "microbatches of one iteration"),
    COLUMN(plan, n_pipeline, I32, "1", "pipelines"),
    COLUMN(plan, n_stage, I32, "1", "stages of the first pipeline"),
    COLUMN(plan, data_parallel, I32, "1", "replicas of the first stage of the first pipeline"),
    COLUMN(plan, gpus, I32, "1", "GPUs that the plan uses"),
    COLUMN(plan, planner_time_s, F64, "s",
           "iteration time as a baseline planner itself estimated it, NaN for exact"),
    COLUMN(plan, planner_cost_usd, F64, "USD",
           "cost as a baseline planner itself estimated it, NaN for exact"),
    COLUMN(plan, unfit_pipeline, I32, "1", "pipeline of the first stage that does not fit, -1 if all fit"),
    COLUMN(plan, unfit_stage, I32, "1", "first stage that does not fit, -1 if all fit"),
    COLUMN_FLAGS_LATER(plan, recompute, "none selective full",
                       "activations that the backward pass recomputes"),
    COLUMN_FLAGS_LATER(plan, sequence_parallel, "no yes",
                       "does tensor parallelism divide norms and residuals"),
    COLUMN_FLAGS_LATER(plan, zero, "no yes",
                       "is optimizer state sharded across the replicas of a stage (ZeRO stage 1)"),
};

static const struct column stage_columns[] = {
    COLUMN(stage, stage, I32, "1", "number of the stage in this file, from 0"),
    COLUMN(stage, plan, I32, "1", "plan that it belongs to"),
    COLUMN(stage, pipeline, I32, "1", "pipeline of the plan, from 0"),
    COLUMN(stage, position, I32, "1", "place in the pipeline, from 0"),
    COLUMN(stage, first_layer, I32, "1", "first layer"),
    COLUMN(stage, end_layer, I32, "1", "one past the last layer"),
    COLUMN(stage, replicas, I32, "1", "data-parallel replicas"),
    COLUMN(stage, gpus, I32, "1", "GPUs of all replicas"),
    COLUMN(stage, compute_s, F64, "s", "forward and backward of one microbatch, slowest replica"),
    COLUMN(stage, comm_s, F64, "s", "activations and gradients of one microbatch"),
    COLUMN(stage, sync_s, F64, "s", "gradient all-reduce"),
    COLUMN(stage, memory_bytes, F64, "B",
           "fullest GPU of the stage, in the form that is checked against its memory"),
    COLUMN_LATER(stage, tight_bytes, F64, "B", "the same of the GPU with the least to spare; 0: not known"),
    COLUMN_LATER(stage, turn_s, F64, "s", "between two microbatches, beside these, where transfers block"),
    COLUMN_LATER(stage, tight_room_bytes, F64, "B", "memory of that GPU; 0: not known"),
};

static const struct column replica_columns[] = {
    COLUMN(replica, replica, I32, "1", "number of the entry in this file, from 0"),
    COLUMN(replica, stage, I32, "1", "stage that it belongs to"),
    COLUMN(replica, plan, I32, "1", "plan that it belongs to"),
    COLUMN(replica, order, I32, "1", "place in the stage's list (ring order), from 0"),
    COLUMN(replica, gpu, TEXT, "1", "GPU type"),
    COLUMN(replica, zone, TEXT, "1", "zone"),
    COLUMN(replica, tp, I32, "1", "tensor-parallel degree: GPUs of one replica"),
    COLUMN(replica, count, I32, "1", "consecutive replicas of this kind"),
};

static const struct column vm_columns[] = {
    COLUMN(vm, vm, I32, "1", "running number"),
    COLUMN(vm, replica, I32, "1", "replica entry that lists this VM"),
    COLUMN(vm, gpu, TEXT, "1", "GPU type of the VM"),
};

static const struct column unit_columns[] = {
    COLUMN(unit, unit, I32, "1", "number of the work unit in this file, from 0"),
    COLUMN(unit, row, I32, "1", "pool row that it belongs to"),
    COLUMN(unit, micro_batch_size, I32, "1", "microbatch size of all its plans"),
    COLUMN(unit, data_parallel, I32, "1", "replicas of every stage of all its plans"),
    COLUMN_FLAGS(
        unit, status, "todo solved pruned open",
        "todo; solved: searched to the end; pruned: its bound is no better than the best plan; open: "
        "searched, not proven"),
    COLUMN(unit, lower_bound, F64, NULL, "bound on its plans"),
    COLUMN(unit, value, F64, NULL, "best plan found in it, infinity if none"),
    COLUMN(unit, gap, F64, "1",
           "open units: how much better its plans may be, relatively, than what was found"),
    COLUMN(unit, attempts, I32, "1", "times it was searched for a proof"),
    COLUMN(unit, nodes, U64, "1", "search nodes"),
    COLUMN(unit, plans_evaluated, U64, "1", "plans that were estimated"),
    COLUMN(unit, seconds, F64, "s", "time spent on it"),
    COLUMN_FLAGS_LATER(unit, recompute, "none selective full", "of all its plans"),
    COLUMN_FLAGS_LATER(unit, sequence_parallel, "no yes", "of all its plans"),
    COLUMN_FLAGS_LATER(unit, zero, "no yes", "of all its plans"),
};

static const struct column task_columns[] = {
    COLUMN_LATER(task, task, I32, "1", "running number"),
    COLUMN_LATER(task, row, I32, "1", "pool row that it belongs to"),
    COLUMN_LATER(task, round, I32, "1", "it needs what the rounds before have found, and nothing of its own"),
    COLUMN_FLAGS_LATER(task, kind, "every climb bound probe merged proof",
                       "every: done by each rank for itself; climb: local search for plans; bound: bounds of "
                       "units; probe: short searches for plans; merged: bounds with merged zones; proof"),
    COLUMN_LATER(task, seconds, F64, "s", "processor time"),
};

static const struct column state_columns[] = {
    COLUMN_LATER(state, state, I32, "1", "running number"),
    COLUMN_LATER(state, row, I32, "1", "pool row that it belongs to"),
    COLUMN_LATER(state, word, U64, "1",
                 "where sailor plan --resume goes on in the middle of a round; its form changes with the "
                 "program"),
};

static const struct column zone_columns[] = {
    COLUMN(zone, zone, I32, "1", "zone of the site, from 0"),
    COLUMN(zone, name, TEXT, "1", "its name"),
};

static const struct column gpu_columns[] = {
    COLUMN(gpu, gpu, I32, "1", "GPU type of the site, from 0"),
    COLUMN(gpu, name, TEXT, "1", "its name"),
    COLUMN(gpu, memory_bytes, F64, "B", "memory of one GPU"),
    COLUMN(gpu, gpus_per_node, I32, "1", "GPUs of one node"),
};

const struct table_def table_def[TABLES] = {
    TABLE_DEF(row, "one entry per pool row of the job"),
    TABLE_DEF(pool, "GPUs available, row by row"),
    TABLE_DEF(plan, "plans found, with their estimates"),
    TABLE_DEF(stage, "stages of the plans"),
    TABLE_DEF(replica, "replicas of the stages, in ring order"),
    TABLE_DEF(vm, "VM entries of replicas (published simulator only)"),
    TABLE_DEF(unit, "work units of the search: all plans of one (microbatch, data-parallel degree, options)"),
    TABLE_DEF(task, "pieces of the search's work, of which any rank could do any"),
    TABLE_DEF(state, "the round that a search is in, if it is not over"),
    TABLE_DEF(zone, "zones of the site"),
    TABLE_DEF(gpu, "GPU types of the site"),
};
