#include "formats/inputs.h"
#include "formats/results.h"
#include "formats/results_check.h"
#include "formats/schema.h"
#include "io/file.h"
#include "io/h5read.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reading: every number that is an index or a count is checked before it is used, so that no file can do
 * harm. */

struct reader {
    struct h5_reader file;
    struct arena *a;
    struct err *e;
};

static int bad(struct reader *r, const char *where, const char *what) {
    return h5_damaged(&r->file, where, what, r->e);
}

static int need_text(struct reader *r, const char *name, const char **out) {
    return (*out = h5_read_text(&r->file, name, r->a, r->e)) ? 0 : -1;
}

static int need_number(struct reader *r, const char *name, double *out) {
    return h5_read_number(&r->file, name, out, r->e);
}

/* A quantity; infinite only for a limit that is not set. */
static int need_quantity(struct reader *r, const char *name, bool limit, double *out) {
    if (need_number(r, name, out)) return -1;
    return !(*out >= 0) || (isinf(*out) && !limit) ? bad(r, name, "not a number of 0 or more") : 0;
}

static int need_int(struct reader *r, const char *name, int lo, int hi, int *out) {
    return h5_read_int(&r->file, name, lo, hi, out, r->e);
}

/* Larger values are found only in files that were tampered with. */
enum { COUNT_MAX = 1000000, MICRO_BATCH_MAX = 65536, BATCH_MAX = 100000000 };

/* Checks a count that the file states; `what` names it. */
static int need_count(struct reader *r, const char *what, int n, int least, int most) {
    char text[80];
    if (n >= least && n <= most) return 0;
    snprintf(text, sizeof text, "%d; expected %d to %d", n, least, most);
    return bad(r, what, text);
}

static int find_name(const char *name, const struct site *s, bool zone) {
    int n = zone ? s->n_zone : s->n_gpu;
    for (int i = 0; i < n; i++)
        if (!strcmp(name, zone ? s->zone[i] : s->gpu[i].name)) return i;
    return -1;
}

/* A job with names only, for printing and exporting. */
static int names_only_job(struct reader *r, struct rows t[TABLES], int n_row, struct job *job) {
    struct site *s = ARENA_NEW(r->a, struct site);
    struct model *m = ARENA_NEW(r->a, struct model);
    int n_zone = t[TABLE_ZONE].n, n_gpu = t[TABLE_GPU].n;
    if (n_zone < 1 || n_zone > ZONES_MAX || n_gpu < 1 || n_gpu > GPUS_MAX)
        return bad(r, "zone", "no zones or GPU types, or too many");
    const char **zone = ARENA_ARRAY(r->a, const char *, n_zone);
    struct gpu_type *gpu = ARENA_ARRAY(r->a, struct gpu_type, n_gpu);
    double *unknown = ARENA_ARRAY(r->a, double, ZONES_MAX * GPUS_MAX + ZONES_MAX * ZONES_MAX);
    for (int i = 0; i < ZONES_MAX * GPUS_MAX + ZONES_MAX * ZONES_MAX; i++) unknown[i] = NAN;
    int *available = ARENA_ARRAY(r->a, int, n_zone * n_gpu);
    for (int i = 0; i < n_zone * n_gpu; i++) available[i] = -1;
    for (int i = 0; i < n_zone; i++) zone[i] = REC(t, TABLE_ZONE, zone_rec, i)->name;
    for (int i = 0; i < n_gpu; i++) {
        const struct gpu_rec *g = REC(t, TABLE_GPU, gpu_rec, i);
        if (need_count(r, "gpu/gpus_per_node", g->gpus_per_node, 1, COUNT_MAX)) return -1;
        if (!(g->memory_bytes > 0)) return bad(r, "gpu/memory_bytes", "not a size");
        gpu[i] = (struct gpu_type){.name = g->name,
                                   .memory_bytes = g->memory_bytes,
                                   .planner_memory_bytes = g->memory_bytes,
                                   .gpus_per_node = g->gpus_per_node};
    }
    *s = (struct site){.n_zone = n_zone, .n_gpu = n_gpu, .zone = zone, .gpu = gpu, .available = available};
    s->usd_per_gpu_hour = s->egress_usd_per_GB = unknown;
    if (need_text(r, "site", &s->name) || need_text(r, "model", &m->name) ||
        need_text(r, "job", &job->name) || need_text(r, "dtype", &job->dtype) ||
        need_text(r, "optimizer", &job->optimizer) ||
        need_int(r, "global_batch_size", 1, BATCH_MAX, &job->global_batch_size) ||
        need_int(r, "sequence_length", 0, INT32_MAX, &m->sequence_length) ||
        need_int(r, "n_layer", 1, LAYERS_MAX, &m->n_layer) ||
        need_int(r, "element_bytes", 1, 8, &job->workload.element_bytes) ||
        need_number(r, "state_bytes_per_param", &job->workload.state_bytes_per_param) ||
        need_quantity(r, "train_tokens", false, &job->train_tokens) ||
        need_quantity(r, "max_usd_per_iteration", true, &job->max_usd_per_iteration) ||
        need_quantity(r, "min_iterations_per_s", false, &job->min_iterations_per_s))
        return -1;
    job->workload.site = s;
    job->workload.model = m;
    job->workload.global_batch_size = job->global_batch_size;
    job->workload.dtype = job->dtype;
    job->workload.sgd = !strcmp(job->optimizer, "sgd");
    if (H5Aexists(r->file.id, "framework") > 0) {
        struct framework *f = ARENA_NEW(r->a, struct framework); /* its name is all that is read of it */
        if (need_text(r, "framework", &f->name)) return -1;
        if (strcmp(f->name, "published") != 0) job->workload.framework = f;
    }
    struct pool *pool = ARENA_ARRAY(r->a, struct pool, n_row + 1);
    int *count = ARENA_ARRAY(r->a, int, (n_row + 1) * n_zone * n_gpu);
    for (int i = 0; i < n_row; i++)
        pool[i] = (struct pool){.time_s = REC(t, TABLE_ROW, row_rec, i)->time_s,
                                .count = count + i * n_zone * n_gpu};
    for (int i = 0; i < t[TABLE_POOL].n; i++) {
        const struct pool_rec *p = REC(t, TABLE_POOL, pool_rec, i);
        int z = find_name(p->zone, s, true), g = find_name(p->gpu, s, false);
        if (p->row < 0 || p->row >= n_row || z < 0 || g < 0) return bad(r, "pool", "refers to nothing");
        if (need_count(r, "pool/count", p->count, 0, COUNT_MAX)) return -1;
        count[(p->row * n_zone + z) * n_gpu + g] = p->count;
    }
    job->n_pool = n_row;
    job->pool = pool;
    return 0;
}

static int read_options(struct reader *r, const char *what, int recompute, int sequence_parallel, int zero,
                        struct plan_options *o) {
    if (need_count(r, what, recompute, 0, RECOMPUTE_N - 1) || need_count(r, what, sequence_parallel, 0, 1) ||
        need_count(r, what, zero, 0, 1))
        return -1;
    *o = (struct plan_options){
        .recompute = (enum recompute)recompute, .sequence_parallel = sequence_parallel != 0, .zero = zero};
    return 0;
}

/* The next records to read from the tables of stages, replicas and VMs; all three are in plan order. */
struct rows_cursor {
    int stage, replica, vm;
};

static int read_stage(struct reader *r, struct rows t[TABLES], const struct site *s, struct rows_cursor *at,
                      struct stage *st, struct stage_estimate *est) {
    const struct stage_rec *sr = REC(t, TABLE_STAGE, stage_rec, at->stage);
    int n = 0;
    while (at->replica + n < t[TABLE_REPLICA].n &&
           REC(t, TABLE_REPLICA, replica_rec, at->replica + n)->stage == at->stage)
        n++;
    if (n == 0) return bad(r, "replica", "a stage without replicas");
    *st = (struct stage){sr->first_layer, sr->end_layer, n, ARENA_ARRAY(r->a, struct replicas, n)};
    *est = (struct stage_estimate){.compute_s = sr->compute_s,
                                   .comm_s = sr->comm_s,
                                   .sync_s = sr->sync_s,
                                   .memory_bytes = sr->memory_bytes,
                                   .tight_bytes = sr->tight_bytes,
                                   .tight_room_bytes = sr->tight_room_bytes,
                                   .turn_s = sr->turn_s};
    for (int g = 0; g < n; g++) {
        const struct replica_rec *q = REC(t, TABLE_REPLICA, replica_rec, at->replica + g);
        int zone = find_name(q->zone, s, true), gpu = find_name(q->gpu, s, false), n_vm = 0;
        if (q->order != g || zone < 0 || gpu < 0 || tp_index(q->tp) < 0 || q->count < 1 ||
            q->count > COUNT_MAX)
            return bad(r, "replica", "an entry that is not a replica on this site");
        while (at->vm + n_vm < t[TABLE_VM].n &&
               REC(t, TABLE_VM, vm_rec, at->vm + n_vm)->replica == at->replica + g)
            n_vm++;
        int *vm = n_vm ? ARENA_ARRAY(r->a, int, n_vm) : NULL;
        for (int v = 0; v < n_vm; v++) {
            vm[v] = find_name(REC(t, TABLE_VM, vm_rec, at->vm + v)->gpu, s, false);
            if (vm[v] < 0) return bad(r, "vm", "an unknown GPU type");
        }
        at->vm += n_vm;
        st->group[g] = (struct replicas){
            .gpu = gpu, .zone = zone, .tp = q->tp, .count = q->count, .n_vm = n_vm, .vm_gpu = vm};
    }
    at->replica += n;
    at->stage++;
    return 0;
}

static int read_plan(struct reader *r, struct rows t[TABLES], const struct job *job, int i,
                     struct rows_cursor *at, struct found_plan *f) {
    const struct plan_rec *q = REC(t, TABLE_PLAN, plan_rec, i);
    const struct workload *w = &job->workload;
    int n_stage = 0;
    while (at->stage + n_stage < t[TABLE_STAGE].n &&
           REC(t, TABLE_STAGE, stage_rec, at->stage + n_stage)->plan == i)
        n_stage++;
    if (q->n_pipeline < 1 || q->n_pipeline > n_stage) return bad(r, "plan", "a plan without stages");
    if (need_count(r, "plan/micro_batch_size", q->micro_batch_size, 1, MICRO_BATCH_MAX) ||
        need_count(r, "plan/n_microbatch", q->n_microbatch, 1, BATCH_MAX) ||
        need_count(r, "plan/fits", q->fits, 0, 1) ||
        need_count(r, "plan/unfit_pipeline", q->unfit_pipeline, -1, q->n_pipeline - 1) ||
        need_count(r, "plan/unfit_stage", q->unfit_stage, -1, n_stage - 1))
        return -1;
    if (!(q->iteration_time_s > 0)) return bad(r, "plan/iteration_time_s", "not a time");
    struct plan *p = plan_new(w, q->micro_batch_size, q->n_pipeline, 0, r->a);
    f->plan = p;
    if (read_options(r, "plan/options", q->recompute, q->sequence_parallel, q->zero, &p->options)) return -1;
    f->est = (struct estimate){.iteration_time_s = q->iteration_time_s,
                               .pipeline_time_s = q->pipeline_time_s,
                               .sync_time_s = q->sync_time_s,
                               .compute_usd = q->compute_usd,
                               .egress_usd = q->egress_usd,
                               .cost_usd = q->cost_usd_per_iteration,
                               .fits = q->fits != 0,
                               .peak_memory_bytes = q->peak_memory_bytes,
                               .n_microbatch = q->n_microbatch,
                               .unfit_pipeline = q->unfit_pipeline,
                               .unfit_stage = q->unfit_stage,
                               .stage = ARENA_ARRAY(r->a, struct stage_estimate, n_stage)};
    f->planner_time_s = q->planner_time_s;
    f->planner_cost_usd = q->planner_cost_usd;
    struct stage *stage = ARENA_ARRAY(r->a, struct stage, n_stage);
    int pipeline = -1, layer = 0;
    for (int k = 0; k < n_stage; k++) {
        const struct stage_rec *sr = REC(t, TABLE_STAGE, stage_rec, at->stage);
        if (sr->pipeline == pipeline + 1 && sr->position == 0 &&
            (pipeline < 0 || layer == w->model->n_layer)) {
            if (++pipeline >= p->n_pipeline) return bad(r, "stage", "more pipelines than the plan has");
            p->pipeline[pipeline].stage = stage + k;
            layer = 0;
        }
        if (pipeline < 0 || sr->pipeline != pipeline || sr->position != p->pipeline[pipeline].n_stage ||
            sr->first_layer != layer || sr->end_layer <= layer || sr->end_layer > w->model->n_layer)
            return bad(r, "stage", "stages that do not follow each other");
        layer = sr->end_layer;
        p->pipeline[pipeline].n_stage++;
        if (read_stage(r, t, w->site, at, &stage[k], &f->est.stage[k])) return -1;
    }
    if (pipeline != p->n_pipeline - 1 || layer != w->model->n_layer)
        return bad(r, "stage", "a plan that does not cover all layers");
    return 0;
}

/* "optimal" means that the best plan's value is known and equal to the bound. */
static bool is_proven(const struct row_result *row, enum objective objective) {
    for (int i = 0; i < row->n_plan + row->n_frontier; i++) {
        const struct estimate *x = i < row->n_plan ? &row->plan[i].est : &row->frontier[i - row->n_plan].est;
        if (!isfinite(x->iteration_time_s)) return false;
    }
    if (row->gap != 0) return false;
    if (objective == OBJECTIVE_FRONTIER || !row->n_plan) return true;
    const struct estimate *best = &row->plan[0].est;
    double value = objective == OBJECTIVE_COST ? best->cost_usd : best->iteration_time_s;
    return fabs(value - row->lower_bound) <= 1e-9 * fabs(value);
}

static int read_rows(struct reader *r, struct rows t[TABLES], const struct job *job, struct results *out) {
    int n = out->n_row;
    struct rows_cursor at = {0};
    out->row = ARENA_ARRAY(r->a, struct row_result, n + 1);
    for (int i = 0; i < n; i++) {
        const struct row_rec *q = REC(t, TABLE_ROW, row_rec, i);
        if (q->status > ROW_INFEASIBLE) return bad(r, "row/status", "unknown status");
        bool answered = q->status == ROW_OPTIMAL || q->status == ROW_FEASIBLE;
        if (answered && !isfinite(q->lower_bound)) return bad(r, "row/lower_bound", "not a bound");
        if (answered && !(q->gap >= 0)) return bad(r, "row/gap", "not a gap");
        if (isnan(q->search_s)) return bad(r, "row/search_s", "not a time");
        if (need_count(r, "row/oom_plans", q->oom_plans, 0, INT32_MAX - 1)) return -1;
        if (need_count(r, "row/climbed", q->climbed, 0, INT32_MAX - 1)) return -1;
        out->row[i] = (struct row_result){.status = (enum row_status)q->status,
                                          .reason = *q->reason ? q->reason : NULL,
                                          .note = *q->note ? q->note : NULL,
                                          .lower_bound = q->lower_bound,
                                          .gap = q->gap,
                                          .search_s = q->search_s,
                                          .plans_evaluated = q->plans_evaluated,
                                          .oom_plans = q->oom_plans,
                                          .climbed = q->climbed};
    }
    for (int pass = 0; pass < 2; pass++) { /* count, then fill */
        for (int i = 0; i < t[TABLE_PLAN].n; i++) {
            const struct plan_rec *q = REC(t, TABLE_PLAN, plan_rec, i);
            if (q->row < 0 || q->row >= n || q->kind > KIND_FRONTIER)
                return bad(r, "plan", "refers to no row");
            struct row_result *row = &out->row[q->row];
            int *count = q->kind == KIND_TOP ? &row->n_plan : &row->n_frontier;
            if (pass == 0) {
                if (q->rank != *count) return bad(r, "plan/rank", "not in order");
                ++*count;
            } else {
                struct found_plan *f = q->kind == KIND_TOP ? row->plan : row->frontier;
                if (read_plan(r, t, job, i, &at, &f[q->rank])) return -1;
            }
        }
        for (int i = 0; pass == 0 && i < n; i++) {
            struct row_result *row = &out->row[i];
            if (row->n_plan) row->plan = ARENA_ARRAY(r->a, struct found_plan, row->n_plan);
            if (row->n_frontier) row->frontier = ARENA_ARRAY(r->a, struct found_plan, row->n_frontier);
        }
    }
    if (at.stage != t[TABLE_STAGE].n || at.replica != t[TABLE_REPLICA].n || at.vm != t[TABLE_VM].n)
        return bad(r, "stage", "stages that belong to no plan");
    for (int i = 0; i < n; i++) {
        enum row_status s = out->row[i].status;
        if ((s == ROW_OPTIMAL || s == ROW_FEASIBLE) && out->row[i].n_plan + out->row[i].n_frontier < 1)
            return bad(r, "row/status", "a row with a plan that the file lacks");
        if (s == ROW_OPTIMAL && !is_proven(&out->row[i], out->objective))
            return bad(r, "row/status", "a proof that the numbers next to it contradict");
    }
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < t[TABLE_UNIT].n; i++) {
            const struct unit_rec *q = REC(t, TABLE_UNIT, unit_rec, i);
            if (q->row < 0 || q->row >= n || q->status > UNIT_OPEN) return bad(r, "unit", "refers to no row");
            if (need_count(r, "unit/micro_batch_size", q->micro_batch_size, 1, MICRO_BATCH_MAX) ||
                need_count(r, "unit/data_parallel", q->data_parallel, 1, BATCH_MAX) ||
                need_count(r, "unit/attempts", q->attempts, 0, COUNT_MAX))
                return -1;
            if (isnan(q->lower_bound) || isnan(q->value) || !(q->gap >= 0))
                return bad(r, "unit", "an impossible bound, value or gap");
            struct plan_options o;
            if (read_options(r, "unit/options", q->recompute, q->sequence_parallel, q->zero, &o)) return -1;
            struct row_result *row = &out->row[q->row];
            if (pass == 0) {
                row->n_unit++;
                continue;
            }
            if (!row->unit) {
                row->unit = ARENA_ARRAY(r->a, struct unit_result, row->n_unit);
                row->n_unit = 0;
            }
            row->unit[row->n_unit++] = (struct unit_result){.micro_batch_size = q->micro_batch_size,
                                                            .data_parallel = q->data_parallel,
                                                            .options = o,
                                                            .status = (enum unit_status)q->status,
                                                            .lower_bound = q->lower_bound,
                                                            .value = q->value,
                                                            .gap = q->gap,
                                                            .attempts = q->attempts,
                                                            .nodes = q->nodes,
                                                            .plans_evaluated = q->plans_evaluated,
                                                            .seconds = q->seconds};
        }
    return 0;
}

/* What the search has done, row by row and round by round. */
static int read_tasks(struct reader *r, struct rows t[TABLES], struct results *out) {
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < t[TABLE_TASK].n; i++) {
            const struct task_rec *q = REC(t, TABLE_TASK, task_rec, i);
            if (q->row < 0 || q->row >= out->n_row) return bad(r, "task", "refers to no row");
            if (q->kind >= TASK_N) return bad(r, "task/kind", "unknown kind");
            if (!(q->seconds >= 0 && isfinite(q->seconds))) return bad(r, "task/seconds", "not a time");
            struct row_result *row = &out->row[q->row];
            int before = row->task ? row->task[row->n_task - 1].round : 0;
            if (q->round < before) return bad(r, "task/round", "not in order");
            if (need_count(r, "task/round", q->round, 0, COUNT_MAX)) return -1;
            if (pass == 0) {
                row->n_task++;
                continue;
            }
            if (!row->task) {
                row->task = ARENA_ARRAY(r->a, struct task_result, row->n_task);
                row->n_task = 0;
            }
            row->task[row->n_task++] = (struct task_result){q->round, (enum task_kind)q->kind, q->seconds};
        }
    return 0;
}

/* Where searches go on; what it says is for them to read. */
static int read_state(struct reader *r, struct rows t[TABLES], struct results *out) {
    int n = t[TABLE_STATE].n;
    uint64_t *word = ARENA_ARRAY(r->a, uint64_t, n + 1);
    for (int i = 0; i < n; i++) {
        const struct state_rec *q = REC(t, TABLE_STATE, state_rec, i);
        if (q->row < 0 || q->row >= out->n_row) return bad(r, "state", "refers to no row");
        struct row_result *row = &out->row[q->row];
        if (!row->n_state) row->state = (const unsigned char *)&word[i];
        if (row->state + row->n_state != (const unsigned char *)&word[i])
            return bad(r, "state/row", "not in order");
        if (row->n_state > INT32_MAX - (int)sizeof *word) return bad(r, "state", "too long");
        row->n_state += (int)sizeof *word;
        word[i] = q->word;
    }
    return 0;
}

/* ---- the same inputs? ---- */

static void first_difference(const cJSON *x, const cJSON *y, char path[400]) {
    size_t used = strlen(path);
    if (cJSON_IsObject(x) && cJSON_IsObject(y)) {
        for (const cJSON *m = x->child; m; m = m->next) {
            const cJSON *o = cJSON_GetObjectItemCaseSensitive(y, m->string);
            if (cJSON_Compare(m, o, 1)) continue;
            snprintf(path + used, 400 - used, "/%.100s", m->string);
            if (o) first_difference(m, o, path);
            return;
        }
        for (const cJSON *m = y->child; m; m = m->next)
            if (!cJSON_GetObjectItemCaseSensitive(x, m->string))
                snprintf(path + used, 400 - used, "/%.100s", m->string);
    } else if (cJSON_IsArray(x) && cJSON_IsArray(y)) {
        int i = 0;
        const cJSON *m = x->child, *o = y->child;
        while (m && o && cJSON_Compare(m, o, 1)) {
            m = m->next;
            o = o->next;
            i++;
        }
        snprintf(path + used, 400 - used, "/%d", i);
        if (m && o) first_difference(m, o, path);
    }
}

/* "/job/pin is 4 there and 8 here" for short values, "/job/pin differs" for others. */
static const char *describe(const cJSON *x, const cJSON *y, const char *path, char text[600]) {
    for (const char *p = path; *p && x && y;) {
        const char *end = strchrnul(++p, '/');
        char key[110];
        snprintf(key, sizeof key, "%.*s", (int)(end - p), p);
        x = cJSON_IsArray(x) ? cJSON_GetArrayItem(x, atoi(key)) : cJSON_GetObjectItemCaseSensitive(x, key);
        y = cJSON_IsArray(y) ? cJSON_GetArrayItem(y, atoi(key)) : cJSON_GetObjectItemCaseSensitive(y, key);
        p = end;
    }
    char *there = x ? cJSON_PrintUnformatted(x) : NULL, *here = y ? cJSON_PrintUnformatted(y) : NULL;
    if (!x != !y)
        snprintf(text, 600, "%s is only %s", path, x ? "there" : "here");
    else if (there && here && strlen(there) < 60 && strlen(here) < 60)
        snprintf(text, 600, "%s is %s there and %s here", path, there, here);
    else
        snprintf(text, 600, "%s differs", *path ? path : "/");
    cJSON_free(there);
    cJSON_free(here);
    return text;
}

static int same_inputs(struct reader *r, const char *stored, const char *now) {
    char path[400] = "", text[600];
    if (!strcmp(stored, now)) return 0;
    cJSON *x = cJSON_Parse(stored), *y = cJSON_Parse(now);
    int rc = x && y ? 0 : bad(r, "inputs", "no JSON text");
    cJSON_DeleteItemFromObjectCaseSensitive(x, "name"); /* the job's file may have been renamed */
    cJSON_DeleteItemFromObjectCaseSensitive(y, "name");
    if (!rc && !cJSON_Compare(x, y, 1)) {
        first_difference(x, y, path);
        rc = err_set(
            r->e, EXIT_INPUT,
            "%s: was made from different inputs: %s; --resume needs the same job, model, site and profiles "
            "(without a job, it goes on with those of the file)",
            r->file.path, describe(x, y, path, text));
    }
    cJSON_Delete(x);
    cJSON_Delete(y);
    return rc;
}

/* ---- reading ---- */

static int read_attributes(struct reader *r, struct results *out) {
    const char *objective;
    int complete;
    if (need_int(r, "complete", 0, 1, &complete) || need_text(r, "command_line", &out->command_line) ||
        need_text(r, "version", &out->version) || need_text(r, "host", &out->host) ||
        need_text(r, "started_utc", &out->started_utc) || need_text(r, "planner", &out->planner) ||
        need_text(r, "estimator", &out->estimator) || need_text(r, "objective", &objective) ||
        need_int(r, "ranks", 1, COUNT_MAX, &out->ranks) ||
        need_int(r, "threads", 1, COUNT_MAX, &out->threads) ||
        need_int(r, "top_k", 1, COUNT_MAX, &out->top_k) || need_number(r, "proof_gap", &out->proof_gap) ||
        need_quantity(r, "wall_s", false, &out->wall_s))
        return -1;
    out->complete = complete != 0;
    if (H5Aexists(r->file.id, "risk") > 0 && need_number(r, "risk", &out->risk)) return -1;
    if (!(out->risk >= 0 && out->risk < 1)) return bad(r, "risk", "not a probability");
    if (H5Aexists(r->file.id, "residuals") > 0 && need_text(r, "residuals", &out->residuals)) return -1;
    int o = 0;
    while (o < OBJECTIVE_N && strcmp(objective, objective_name[o])) o++;
    if (o == OBJECTIVE_N) return bad(r, "objective", "unknown objective");
    out->objective = (enum objective)o;
    return (out->inputs_json = h5_read_long_text(&r->file, "inputs", r->a, r->e)) ? 0 : -1;
}

/* What is printed of a plan is computed with the inputs beside it, which must be its own. */
static int agree_with_inputs(struct reader *r, const struct results *out) {
    struct job stored;
    struct err none;
    if (job_from_json(out->inputs_json, &stored, r->a, &none)) return 0; /* from another version */
    const char *where = results_strange(out->job, &stored);
    if (where) return bad(r, where, "not what the stored inputs say");
    for (int i = 0; i < out->n_row; i++) {
        const struct row_result *q = &out->row[i];
        for (int k = 0; k < q->n_plan + q->n_frontier; k++) {
            const struct found_plan *f = k < q->n_plan ? &q->plan[k] : &q->frontier[k - q->n_plan];
            if (plan_check(f->plan, &stored.workload, r->file.path, r->e)) return -1;
        }
    }
    return 0;
}

static int read_file(struct reader *r, const struct job *job, struct results *out) {
    struct rows t[TABLES] = {{0}};
    struct err none;
    const char *schema = h5_read_text(&r->file, "schema", r->a, &none);
    int version;
    if (!schema || strncmp(schema, "sailor-results/", 15))
        return err_set(r->e, EXIT_INPUT,
                       "%s: an HDF5 file of %s%.40s; expected one that sailor plan wrote, %s", r->file.path,
                       schema ? "schema " : "no schema", schema ? schema : "", schema_name);
    if (need_int(r, "schema_version", 0, INT32_MAX, &version)) return -1;
    if (strcmp(schema, schema_name) || version < SCHEMA_PLAIN || version > SCHEMA_TURNS)
        return err_set(r->e, EXIT_INPUT,
                       "%s: schema %.40s version %d; this program reads %s version %d to %d", r->file.path,
                       schema, version, schema_name, SCHEMA_PLAIN, SCHEMA_TURNS);
    if (read_attributes(r, out)) return -1;
    for (int i = 0; i < TABLES; i++)
        if (h5_read_table(&r->file, &table_def[i], &t[i], r->a, r->e)) return -1;
    out->n_row = t[TABLE_ROW].n;
    if (job) {
        if (same_inputs(r, out->inputs_json, job->json)) return -1;
        if (job->n_pool != out->n_row) return bad(r, "row", "not as many pool rows as the job");
        out->job = job;
    } else {
        struct job *names = ARENA_NEW(r->a, struct job);
        if (names_only_job(r, t, out->n_row, names)) return -1;
        names->objective = out->objective;
        names->json = out->inputs_json;
        out->job = names;
    }
    if (read_rows(r, t, out->job, out) || read_tasks(r, t, out) || read_state(r, t, out)) return -1;
    const char *what, *where = results_doubtful(t, &what, r->a);
    if (where) return bad(r, where, what);
    if (!job) return agree_with_inputs(r, out);
    const struct workload *w = &job->workload;
    const char *path = r->file.path;
    for (int i = 0; i < out->n_row; i++) {
        const struct row_result *q = &out->row[i];
        for (int k = 0; k < q->n_plan; k++)
            if (results_recheck(path, w, out->estimator, &q->plan[k], r->e)) return -1;
        for (int k = 0; k < q->n_frontier; k++)
            if (results_recheck(path, w, out->estimator, &q->frontier[k], r->e)) return -1;
    }
    return 0;
}

int results_parse(const char *path, const char *bytes, size_t size, const struct job *job, struct results *r,
                  struct arena *a, struct err *e) {
    struct reader in = {.a = a, .e = e};
    *r = (struct results){0};
    if (h5_open_bytes(&in.file, path, bytes, size, e)) return -1;
    int rc = read_file(&in, job, r);
    h5_close(&in.file);
    return rc;
}

int results_read(const char *path, const struct job *job, struct results *r, struct arena *a, struct err *e) {
    struct arena bytes_arena = {0};
    size_t size = 0;
    char *bytes = file_read_bytes(path, &size, &bytes_arena, e);
    int rc = bytes ? results_parse(path, bytes, size, job, r, a, e) : -1;
    arena_free(&bytes_arena);
    return rc;
}
