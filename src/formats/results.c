#include "formats/results.h"
#include "base/clock.h"
#include "formats/schema.h"

#include <stdio.h>
#include <string.h>

#define TEXT(name, value) ((struct h5_attr){name, COLUMN_TEXT, value, 0})
#define REAL(name, value) ((struct h5_attr){name, COLUMN_F64, NULL, value})
#define INT(name, value) ((struct h5_attr){name, COLUMN_I32, NULL, value})

enum { ATTRIBUTES_MAX = 40 };

static bool has_turn(const struct found_plan *f, int n) {
    for (int i = 0; i < n; i++)
        for (int k = 0; f[i].est.stage && k < plan_stages(f[i].plan); k++)
            if (f[i].est.stage[k].turn_s > 0) return true;
    return false;
}

static int version_of(const struct results *r) {
    const struct workload *w = &r->job->workload;
    for (int i = 0; i < r->n_row; i++)
        if (has_turn(r->row[i].plan, r->row[i].n_plan) || has_turn(r->row[i].frontier, r->row[i].n_frontier))
            return SCHEMA_TURNS;
    return w->n_variant || w->altered || r->risk > 0 ? SCHEMA_OPTIONS : SCHEMA_PLAIN;
}

static int attributes(const struct results *r, struct h5_attr out[ATTRIBUTES_MAX], struct arena *a) {
    const struct workload *w = &r->job->workload;
    const struct model *m = w->model;
    char buf[UTC_SIZE];
    now_utc(buf);
    const char *now = arena_strdup(a, buf);
    const char *history = arena_printf(a, "%.30s %s", r->started_utc ? r->started_utc : now,
                                       r->command_line ? r->command_line : "");
    const struct h5_attr list[] = {
        TEXT("schema", schema_name),
        INT("schema_version", version_of(r)),
        TEXT("title", "plans for distributed training, found by sailor plan"),
        TEXT("source", r->version),
        TEXT("history", history),
        TEXT("Conventions", "CF-1.10"),
        {"complete", COLUMN_U8, NULL, r->complete},
        TEXT("command_line", r->command_line),
        TEXT("version", r->version),
        TEXT("host", r->host),
        INT("ranks", r->ranks),
        INT("threads", r->threads),
        TEXT("started_utc", r->started_utc),
        TEXT("written_utc", now),
        REAL("wall_s", r->wall_s),
        TEXT("planner", r->planner),
        TEXT("estimator", r->estimator),
        TEXT("objective", objective_name[r->objective]),
        INT("top_k", r->top_k),
        REAL("proof_gap", r->proof_gap),
        REAL("risk", r->risk),
        TEXT("job", r->job->name),
        TEXT("model", m->name),
        TEXT("site", w->site->name),
        TEXT("dtype", r->job->dtype),
        TEXT("optimizer", r->job->optimizer),
        INT("global_batch_size", w->global_batch_size),
        INT("sequence_length", m->sequence_length),
        INT("n_layer", m->n_layer),
        INT("element_bytes", w->element_bytes),
        REAL("state_bytes_per_param", w->state_bytes_per_param),
        REAL("train_tokens", r->job->train_tokens),
        REAL("max_usd_per_iteration", r->job->max_usd_per_iteration),
        REAL("min_iterations_per_s", r->job->min_iterations_per_s),
        TEXT("framework", w->framework ? w->framework->name : "published"),
        TEXT("residuals", r->residuals), /* the last: may be missing */
    };
    _Static_assert(sizeof list / sizeof *list <= ATTRIBUTES_MAX, "room for all attributes");
    memcpy(out, list, sizeof list);
    return (int)(sizeof list / sizeof *list) - !r->residuals;
}

static void *add(struct rows t[TABLES], enum table_id id, struct arena *a) {
    return rows_add(&t[id], &table_def[id], a);
}

static void add_plan(struct rows t[TABLES], const struct site *s, const struct found_plan *f, int row,
                     int kind, int rank, struct arena *a) {
    const struct plan *p = f->plan;
    const struct estimate *x = &f->est;
    struct plan_rec *r = add(t, TABLE_PLAN, a);
    int plan = t[TABLE_PLAN].n - 1, gpus = 0, k = 0;
    for (int i = 0; i < p->n_pipeline; i++)
        for (int j = 0; j < p->pipeline[i].n_stage; j++, k++) {
            const struct stage *st = &p->pipeline[i].stage[j];
            struct stage_rec *sr = add(t, TABLE_STAGE, a);
            int stage = t[TABLE_STAGE].n - 1, in_stage = 0;
            for (int g = 0; g < st->n_group; g++) {
                const struct replicas *q = &st->group[g];
                struct replica_rec *rr = add(t, TABLE_REPLICA, a);
                *rr = (struct replica_rec){t[TABLE_REPLICA].n - 1, stage,           plan, g, q->tp, q->count,
                                           s->gpu[q->gpu].name,    s->zone[q->zone]};
                for (int v = 0; v < q->n_vm; v++) {
                    struct vm_rec *vm = add(t, TABLE_VM, a);
                    *vm =
                        (struct vm_rec){t[TABLE_VM].n - 1, t[TABLE_REPLICA].n - 1, s->gpu[q->vm_gpu[v]].name};
                }
                in_stage += q->count * q->tp;
            }
            struct stage_estimate none = {.compute_s = NAN,
                                          .comm_s = NAN,
                                          .sync_s = NAN,
                                          .memory_bytes = NAN},
                                  e = x->stage ? x->stage[k] : none;
            *sr = (struct stage_rec){
                stage,    plan,        i,        j,        st->first,      st->end,       stage_replicas(st),
                in_stage, e.compute_s, e.comm_s, e.sync_s, e.memory_bytes, e.tight_bytes, e.tight_room_bytes,
                e.turn_s};
            gpus += in_stage;
        }
    *r = (struct plan_rec){.plan = plan,
                           .row = row,
                           .rank = rank,
                           .kind = (unsigned char)kind,
                           .n_pipeline = p->n_pipeline,
                           .n_stage = p->pipeline[0].n_stage,
                           .data_parallel = stage_replicas(&p->pipeline[0].stage[0]),
                           .micro_batch_size = p->micro_batch_size,
                           .n_microbatch = x->n_microbatch,
                           .gpus = gpus,
                           .recompute = (unsigned char)p->options.recompute,
                           .sequence_parallel = p->options.sequence_parallel,
                           .zero = (unsigned char)p->options.zero,
                           .fits = x->fits,
                           .unfit_pipeline = x->unfit_pipeline,
                           .unfit_stage = x->unfit_stage,
                           .iteration_time_s = x->iteration_time_s,
                           .pipeline_time_s = x->pipeline_time_s,
                           .sync_time_s = x->sync_time_s,
                           .throughput_per_s = 1 / x->iteration_time_s,
                           .compute_usd = x->compute_usd,
                           .egress_usd = x->egress_usd,
                           .cost_usd_per_iteration = x->cost_usd,
                           .peak_memory_bytes = x->peak_memory_bytes,
                           .planner_time_s = f->planner_time_s,
                           .planner_cost_usd = f->planner_cost_usd};
}

/* Results to flat tables. */
static void flatten(const struct results *r, struct rows t[TABLES], struct arena *a) {
    const struct site *s = r->job->workload.site;
    for (int i = 0; i < r->n_row; i++) {
        const struct row_result *q = &r->row[i];
        struct row_rec *rr = add(t, TABLE_ROW, a);
        *rr = (struct row_rec){.row = i,
                               .status = (unsigned char)q->status,
                               .reason = q->reason ? q->reason : "",
                               .note = q->note ? q->note : "",
                               .time_s = r->job->pool[i].time_s,
                               .lower_bound = q->lower_bound,
                               .gap = q->gap,
                               .search_s = q->search_s,
                               .plans_evaluated = q->plans_evaluated,
                               .oom_plans = q->oom_plans,
                               .climbed = q->climbed};
        for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
            if (r->job->pool[i].count[k] < 1) continue;
            struct pool_rec *p = add(t, TABLE_POOL, a);
            *p = (struct pool_rec){t[TABLE_POOL].n - 1, i, r->job->pool[i].count[k], s->zone[k / s->n_gpu],
                                   s->gpu[k % s->n_gpu].name};
        }
        for (int k = 0; k < q->n_plan; k++) add_plan(t, s, &q->plan[k], i, KIND_TOP, k, a);
        for (int k = 0; k < q->n_frontier; k++) add_plan(t, s, &q->frontier[k], i, KIND_FRONTIER, k, a);
        for (int k = 0; k < q->n_unit; k++) {
            const struct unit_result *u = &q->unit[k];
            struct unit_rec *ur = add(t, TABLE_UNIT, a);
            *ur = (struct unit_rec){.unit = t[TABLE_UNIT].n - 1,
                                    .row = i,
                                    .micro_batch_size = u->micro_batch_size,
                                    .data_parallel = u->data_parallel,
                                    .status = (unsigned char)u->status,
                                    .recompute = (unsigned char)u->options.recompute,
                                    .sequence_parallel = u->options.sequence_parallel,
                                    .zero = (unsigned char)u->options.zero,
                                    .lower_bound = u->lower_bound,
                                    .value = u->value,
                                    .gap = u->gap,
                                    .attempts = u->attempts,
                                    .seconds = u->seconds,
                                    .nodes = u->nodes,
                                    .plans_evaluated = u->plans_evaluated};
        }
    }
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->row[i].n_task; k++) {
            const struct task_result *q = &r->row[i].task[k];
            struct task_rec *tr = add(t, TABLE_TASK, a);
            *tr = (struct task_rec){t[TABLE_TASK].n - 1, i, q->round, (unsigned char)q->kind, q->seconds};
        }
    for (int i = 0; i < r->n_row; i++)
        for (int k = 0; k < r->row[i].n_state / (int)sizeof(uint64_t); k++) {
            struct state_rec *sr = add(t, TABLE_STATE, a);
            sr->state = t[TABLE_STATE].n - 1;
            sr->row = i;
            memcpy(&sr->word, r->row[i].state + (size_t)k * sizeof sr->word, sizeof sr->word);
        }
    for (int z = 0; z < s->n_zone; z++)
        *(struct zone_rec *)add(t, TABLE_ZONE, a) = (struct zone_rec){z, s->zone[z]};
    for (int g = 0; g < s->n_gpu; g++)
        *(struct gpu_rec *)add(t, TABLE_GPU, a) =
            (struct gpu_rec){g, s->gpu[g].gpus_per_node, s->gpu[g].name, s->gpu[g].memory_bytes};
}

int results_can_create(const char *path, bool force, struct err *e) {
    return file_can_create(path, force, "-f overwrites it, --resume continues it", e);
}

int results_write(const char *path, const struct results *r, struct err *e) {
    struct arena a = {0};
    struct rows t[TABLES] = {{0}};
    struct h5_attr attr[ATTRIBUTES_MAX];
    struct h5_text inputs = {"inputs",
                             "everything the search was given, as JSON text: job, model, site, profiles",
                             r->inputs_json ? r->inputs_json : ""};
    flatten(r, t, &a);
    struct h5_tables f = {.attr = attr,
                          .n_attr = attributes(r, attr, &a),
                          .def = table_def,
                          .rows = t,
                          .n_table = TABLES,
                          .text = &inputs,
                          .n_text = 1,
                          .objective_units = r->objective == OBJECTIVE_COST ? "USD" : "s"};
    int rc = h5_write_tables(path, &f, e);
    arena_free(&a);
    return rc;
}
