#include "cli/cli.h"
#include "formats/planjson.h"
#include "io/table.h"
#include "planners/planner.h"

#include <math.h>
#include <string.h>

static const double GiB = 1024.0 * 1024 * 1024;

const struct found_plan *show_best(const struct row_result *row) {
    return row->n_plan ? &row->plan[0] : row->n_frontier ? &row->frontier[0] : NULL;
}

const char *show_gpus(const int *count, const struct site *s, struct arena *a) {
    const char *text = "";
    for (int k = 0; k < s->n_zone * s->n_gpu; k++)
        if (count[k] > 0)
            text = arena_printf(a, "%s%s%d %s %s", text, *text ? " + " : "", count[k],
                                s->gpu[k % s->n_gpu].name, s->zone[k / s->n_gpu]);
    return text;
}

const char *show_percent(double v, struct arena *a) { return isnan(v) ? "-" : arena_printf(a, "%.1f", v); }

/* Iterations of the whole training run, 0 where the job does not say. */
static double iterations(const struct job *job) {
    double per = (double)job->workload.global_batch_size * job->workload.model->sequence_length;
    return job->train_tokens > 0 && per > 0 ? ceil(job->train_tokens / per) : 0;
}

/* Were the rows proven, or proposed by a planner with estimates of its own? */
static bool proven(const struct results *r) {
    const struct planner *pl = planner_find(r->planner);
    return pl && pl->can & CAN_PROVE;
}

/* ---- JSON ---- */

static cJSON *point(const struct found_plan *f, const struct workload *w) {
    cJSON *o = cJSON_CreateObject();
    json_add_number(o, "iteration_time_s", f->est.iteration_time_s);
    json_add_number(o, "cost_usd_per_iteration", f->est.cost_usd);
    cJSON_AddItemToObject(o, "plan", plan_to_json(f->plan, w));
    return o;
}

void show_row_json(const struct results *r, int i, FILE *out) {
    const struct row_result *row = &r->row[i];
    const struct workload *w = &r->job->workload;
    const struct found_plan *f = show_best(row);
    cJSON *o = cJSON_CreateObject();
    json_add_number(o, "row", i);
    cJSON_AddStringToObject(o, "status", row_status_name[row->status]);
    if (row->reason) cJSON_AddStringToObject(o, "reason", row->reason);
    if (row->note) cJSON_AddStringToObject(o, "note", row->note);
    cJSON_AddItemToObject(o, "plan", f ? plan_to_json(f->plan, w) : cJSON_CreateNull());
    json_add_number(o, "iteration_time_s", f ? f->est.iteration_time_s : NAN);
    json_add_number(o, "throughput_per_s", f ? 1 / f->est.iteration_time_s : 0);
    json_add_number(o, "cost_usd_per_iteration", f ? f->est.cost_usd : NAN);
    json_add_number(o, "egress_usd", f ? f->est.egress_usd : NAN);
    json_add_number(o, "peak_memory_bytes", f ? f->est.peak_memory_bytes : NAN);
    json_add_number(o, "lower_bound", f ? row->lower_bound : NAN);
    json_add_number(o, "gap", f ? row->gap : NAN);
    json_add_number(o, "search_s", row->search_s);
    json_add_number(o, "plans_evaluated", (double)row->plans_evaluated);
    if (!proven(r)) {
        json_add_number(o, "oom_plans", row->oom_plans);
        json_add_number(o, "planner_iteration_time_s", f ? f->planner_time_s : NAN);
        json_add_number(o, "planner_cost_usd", f ? f->planner_cost_usd : NAN);
    }
    if (f && iterations(r->job) > 0) {
        json_add_number(o, "train_hours", iterations(r->job) * f->est.iteration_time_s / 3600);
        json_add_number(o, "train_usd", iterations(r->job) * f->est.cost_usd);
    }
    if (r->top_k > 1 && row->n_plan) {
        cJSON *top = cJSON_AddArrayToObject(o, "top");
        for (int k = 0; k < row->n_plan; k++) cJSON_AddItemToArray(top, point(&row->plan[k], w));
    }
    if (r->objective == OBJECTIVE_FRONTIER) {
        cJSON *frontier = cJSON_AddArrayToObject(o, "frontier");
        for (int k = 0; k < row->n_frontier; k++) cJSON_AddItemToArray(frontier, point(&row->frontier[k], w));
    }
    json_line(o, out);
}

/* ---- tables ---- */

void show_stages(const struct plan *p, const struct estimate *est, const struct site *s, FILE *out) {
    struct arena a = {0};
    struct table *t = table_new(
        p->n_pipeline > 1
            ? "pipe|stage|layers|<  GPUs|tp|<zone|replicas|compute ms|comm ms|sync ms|peak GiB|GPU GiB"
            : "stage|layers|<  GPUs|tp|<zone|replicas|compute ms|comm ms|sync ms|peak GiB|GPU GiB",
        &a);
    const struct stage_estimate *e = est->stage;
    for (int i = 0; i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++, e++) {
            const struct stage *st = &p->pipeline[i].stage[k];
            for (int g = 0; g < st->n_group; g++) {
                const struct replicas *q = &st->group[g];
                bool head = g == 0; /* figures of the stage stand beside its first kind of replica */
                if (p->n_pipeline > 1) head ? table_cell(t, "%d", i) : table_cell(t, "%s", "");
                head ? table_cell(t, "%d", k) : table_cell(t, "%s", "");
                head ? table_cell(t, "%d-%d", st->first, st->end - 1) : table_cell(t, "%s", "");
                table_cell(t, "%5d %s", q->count * q->tp, s->gpu[q->gpu].name);
                table_cell(t, "%d", q->tp);
                table_cell(t, "%s", s->zone[q->zone]);
                table_cell(t, "%d", q->count);
                double v[3] = {e->compute_s, e->comm_s, e->sync_s};
                for (int c = 0; c < 3; c++)
                    table_cell(t, "%s", head ? v[c] == 0 ? "0" : table_number(1e3 * v[c], 4, &a) : "");
                head ? table_cell(t, "%.2f", e->memory_bytes / GiB) : table_cell(t, "%s", "");
                table_cell(t, "%.0f", s->gpu[q->gpu].memory_bytes / GiB);
            }
        }
    table_print(t, out);
    arena_free(&a);
}

static const char *plans_text(uint64_t n, struct arena *a) {
    return n < 100000 ? arena_printf(a, "%llu", (unsigned long long)n) : arena_printf(a, "%.3g", (double)n);
}

static void show_list(const struct found_plan *f, int n, const struct site *s, FILE *out) {
    struct arena a = {0};
    struct table *t =
        table_new("#|s/iteration|iterations/s|USD/iteration|egress USD|stages|D|microbatch|GPUs|<types", &a);
    int *used = ARENA_ARRAY(&a, int, s->n_zone * s->n_gpu);
    for (int k = 0; k < n; k++) {
        const struct plan *p = f[k].plan;
        const struct estimate *e = &f[k].est;
        const char *types = "";
        int total = 0;
        plan_gpus(p, s, used);
        for (int g = 0; g < s->n_gpu; g++) {
            int gpus = 0;
            for (int z = 0; z < s->n_zone; z++) gpus += used[z * s->n_gpu + g];
            if (gpus) types = arena_printf(&a, "%s%s%d %s", types, *types ? " + " : "", gpus, s->gpu[g].name);
            total += gpus;
        }
        table_cell(t, "%d", k);
        table_cell(t, "%s", table_number(e->iteration_time_s, 5, &a));
        table_cell(t, "%s", table_number(1 / e->iteration_time_s, 5, &a));
        table_cell(t, "%s", table_number(e->cost_usd, 5, &a));
        table_cell(t, "%s", table_number(e->egress_usd, 4, &a));
        table_cell(t, "%d", p->pipeline[0].n_stage);
        table_cell(t, "%d", stage_replicas(&p->pipeline[0].stage[0]));
        table_cell(t, "%d", p->micro_batch_size);
        table_cell(t, "%d", total);
        table_cell(t, "%s", types);
    }
    table_print(t, out);
    arena_free(&a);
}

void show_row(const struct results *r, int i, FILE *out) {
    struct arena a = {0};
    const struct row_result *row = &r->row[i];
    const struct found_plan *f = show_best(row);
    const struct site *s = r->job->workload.site;
    const char *unit = r->objective == OBJECTIVE_COST ? "USD" : "s";
    const char *gpus = show_gpus(r->job->pool[i].count, s, &a);
    fprintf(out, "%srow %d: %s", i ? "\n" : "", i, *gpus ? gpus : "no GPUs");
    if (!isnan(r->job->pool[i].time_s)) fprintf(out, ", at %.15g s", r->job->pool[i].time_s);
    fputc('\n', out);
    if (!f) {
        fprintf(out, "%s%s%s\n", row->status == ROW_TODO ? "not searched yet" : row_status_name[row->status],
                row->reason ? ": " : "", row->reason ? row->reason : "");
    } else {
        const struct estimate *e = &f->est;
        fprintf(out, "microbatch %d, %d microbatches, %d stages, D = %d\n", f->plan->micro_batch_size,
                e->n_microbatch, f->plan->pipeline[0].n_stage,
                stage_replicas(&f->plan->pipeline[0].stage[0]));
        show_stages(f->plan, e, s, out);
        fprintf(out, "%s: %s s per iteration (%s /s), %s USD per iteration (egress %s), peak %.2f GiB\n",
                row_status_name[row->status], table_number(e->iteration_time_s, 6, &a),
                table_number(1 / e->iteration_time_s, 5, &a), table_number(e->cost_usd, 5, &a),
                table_number(e->egress_usd, 4, &a), e->peak_memory_bytes / GiB);
        if (proven(r))
            fprintf(out, "bound %s %s, gap %s %%, %d work units, %s plans evaluated, %.3g s\n",
                    table_number(row->lower_bound, 6, &a), unit,
                    row->gap == 0 ? "0" : table_number(100 * row->gap, 3, &a), row->n_unit,
                    plans_text(row->plans_evaluated, &a), row->search_s);
        else
            fprintf(
                out,
                "%s expected %s s and %s USD; %d plans before it out of memory; %s plans evaluated, %.3g s\n",
                r->planner, table_number(f->planner_time_s, 6, &a), table_number(f->planner_cost_usd, 5, &a),
                row->oom_plans, plans_text(row->plans_evaluated, &a), row->search_s);
        if (row->note) fprintf(out, "note: %s\n", row->note);
        if (iterations(r->job) > 0)
            fprintf(out, "training on %.4g tokens: %s iterations, %s hours, %s USD\n", r->job->train_tokens,
                    table_number(iterations(r->job), 6, &a),
                    table_number(iterations(r->job) * e->iteration_time_s / 3600, 5, &a),
                    table_number(iterations(r->job) * e->cost_usd, 6, &a));
        if (row->n_frontier) {
            fprintf(out, "frontier, from fast to cheap:\n");
            show_list(row->frontier, row->n_frontier, s, out);
        }
        if (row->n_plan > 1) {
            fprintf(out, "best plans:\n");
            show_list(row->plan, row->n_plan, s, out);
        }
    }
    fflush(out);
    arena_free(&a);
}
