#include "cli/cli.h"
#include "cli/explain.h"
#include "cli/use.h"
#include "base/text.h"
#include "formats/planjson.h"
#include "io/table.h"
#include "planners/planner.h"

#include <math.h>
#include <string.h>

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

const char *show_only_zone(const struct job *job) {
    const struct site *s = job->workload.site;
    int zone = -1;
    for (int i = 0; i < job->n_pool; i++)
        for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
            if (!job->pool[i].count[k]) continue;
            if (zone >= 0 && zone != k / s->n_gpu) return NULL;
            zone = k / s->n_gpu;
        }
    return zone < 0 || strchr(s->zone[zone], '|') ? NULL : s->zone[zone]; /* '|' would end the heading */
}

const char *show_without_zone(const char *text, const char *zone, struct arena *a) {
    if (!zone) return text;
    const char *word = arena_printf(a, " %s", zone), *out = "", *at;
    for (; (at = strstr(text, word)); text = at + strlen(word))
        out = arena_printf(a, "%s%.*s", out, (int)(at - text), text);
    return arena_printf(a, "%s%s", out, text);
}

const char *show_time_s(double v, struct arena *a) { return table_number(v, 6, a); }
const char *show_per_s(double v, struct arena *a) { return table_number(v, 5, a); }
const char *show_usd(double v, struct arena *a) { return table_number(v, 5, a); }

const char *show_GiB(double bytes, struct arena *a) {
    return isnan(bytes) ? "-" : arena_printf(a, "%.2f", bytes / (1024.0 * 1024 * 1024));
}

const char *show_percent(double v, struct arena *a) { return isnan(v) ? "-" : arena_printf(a, "%.1f", v); }

static double iterations(const struct job *job) { return job_iterations(job, job->workload.model); }

/* Options other than none, 0 and false, after `before`: ", recompute full, zero 1"; "" if none. */
static const char *show_options(const struct plan_options *o, const char *before, struct arena *a) {
    const char *text = "";
    if (o->recompute != RECOMPUTE_NONE)
        text = arena_printf(a, "%srecompute %s", before, recompute_name[o->recompute]);
    if (o->sequence_parallel) text = arena_printf(a, "%s%ssequence parallel", text, *text ? ", " : before);
    if (o->zero) text = arena_printf(a, "%s%szero %d", text, *text ? ", " : before, o->zero);
    if (context_groups(o) > 1)
        text = arena_printf(a, "%s%scontext parallel %d", text, *text ? ", " : before, o->context_parallel);
    return text;
}

/* Does the planner prove its rows, or only propose plans by its own estimates? */
static bool proven(const struct results *r) {
    const struct planner *pl = planner_find(r->planner);
    return pl && pl->can & CAN_PROVE;
}

/* What limits the plan; NULL: unknown. */
static const char *binding_of(const struct results *r, int i, const struct found_plan *f,
                              const struct cli_use *u, struct cli_gauge *g, struct arena *a) {
    struct plan_entry entry = {.plan = f->plan, .workload = &g->expected};
    struct explain_question q = {&entry, &f->est, &g->by, r->job, i, NULL};
    return g->expected.profile && u->staged ? explain_binding(&q, u, a) : NULL;
}

static struct cli_interval interval_of(struct cli_gauge *g, const struct found_plan *f) {
    return cli_interval_of(&g->doubt, &g->by, &g->expected, f->plan);
}

/* The time without the margin of --risk. */
static double expected_s(struct cli_gauge *g, const struct found_plan *f) {
    return g->expected.profile ? cli_time_in(&g->expected, &g->by, &g->expected, f->plan) : NAN;
}

/* ---- JSON ---- */

static cJSON *point(const struct found_plan *f, const struct workload *w) {
    cJSON *o = cJSON_CreateObject();
    json_add_number(o, "iteration_time_s", f->est.iteration_time_s);
    json_add_number(o, "cost_usd_per_iteration", f->est.cost_usd);
    cJSON_AddItemToObject(o, "plan", plan_to_json(f->plan, w));
    return o;
}

static cJSON *pool_json(const struct pool *p, const struct site *s) {
    cJSON *list = cJSON_CreateArray();
    for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
        if (p->count[k] < 1) continue;
        cJSON *x = cJSON_CreateObject();
        cJSON_AddStringToObject(x, "zone", s->zone[k / s->n_gpu]);
        cJSON_AddStringToObject(x, "gpu", s->gpu[k % s->n_gpu].name);
        json_add_number(x, "count", p->count[k]);
        cJSON_AddItemToArray(list, x);
    }
    return list;
}

cJSON *show_row_object(const struct results *r, int i, struct cli_gauge *gauge) {
    const struct row_result *row = &r->row[i];
    const struct workload *w = &r->job->workload;
    const struct found_plan *f = show_best(row);
    cJSON *o = cJSON_CreateObject();
    json_add_number(o, "row", i);
    cJSON_AddItemToObject(o, "pool", pool_json(&r->job->pool[i], w->site));
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
    const struct plan_options *options = f ? &f->plan->options : NULL;
    cJSON_AddItemToObject(o, "profiles",
                          w->profile ? cli_profiles_json(options ? workload_variant(w, options) : w, NULL)
                                     : cli_stored_profiles_json(r->inputs_json, options));
    if (!strcmp(r->estimator, estimator_name[ESTIMATOR_NATIVE]))
        cJSON_AddItemToObject(o, "no_data_sheet",
                              w->profile ? cli_no_sheet_json(w, NULL)
                                         : cli_stored_no_sheet_json(r->inputs_json));
    if (f) {
        struct cli_use u = cli_use_of(w, f->plan, &f->est, &gauge->peaks, r->job->pool[i].count);
        cli_use_json(o, &u);
        struct arena a = {0};
        const char *binding = binding_of(r, i, f, &u, gauge, &a);
        if (binding) cJSON_AddStringToObject(o, "binding", binding);
        arena_free(&a);
        struct cli_interval x = interval_of(gauge, f);
        cli_interval_json(o, &x);
        if (r->risk > 0) {
            json_add_number(o, "risk", r->risk);
            json_add_number(o, "expected_iteration_time_s", expected_s(gauge, f));
        }
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
    return o;
}

void show_row_json(const struct results *r, int i, struct cli_gauge *gauge, FILE *out) {
    json_line(show_row_object(r, i, gauge), out);
}

/* ---- tables ---- */

/* Blocks of a stage, from 0, with E for the embedding before and H for the head after them: "E 0-11", "12-23
 * H". */
static const char *blocks_of(const struct stage *st, const struct model *m, struct arena *a) {
    int first = st->first > 1 ? st->first - 1 : 0, end = st->end - 1 < m->n_block ? st->end - 1 : m->n_block;
    const char *text = st->first == 0 ? "E" : "";
    if (!m->n_block) return "-";
    if (first < end) {
        const char *gap = *text ? " " : "";
        text = end - first == 1 ? arena_printf(a, "%s%s%d", text, gap, first)
                                : arena_printf(a, "%s%s%d-%d", text, gap, first, end - 1);
    }
    return st->end - 1 > m->n_block ? arena_printf(a, "%s%sH", text, *text ? " " : "") : text;
}

int show_memory_at(const struct stage *st, const struct stage_estimate *e, const struct site *s) {
    for (int g = 0; g < st->n_group; g++)
        if (s->gpu[st->group[g].gpu].memory_bytes >= e->memory_bytes) return g;
    return 0;
}

void show_stages(const struct plan *p, const struct estimate *est, const struct workload *w, FILE *out) {
    struct arena a = {0};
    const struct site *s = w->site;
    const char *headings = "stage|layers|<blocks|< GPUs|tp|<zone|D|compute ms|comm|sync|GiB|of";
    struct table *t = table_new(p->n_pipeline > 1 ? arena_printf(&a, "pipe|%s", headings) : headings, &a);
    const struct stage_estimate *e = est->stage;
    for (int i = 0; i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++, e++) {
            const struct stage *st = &p->pipeline[i].stage[k];
            int fullest = show_memory_at(st, e, s);
            for (int g = 0; g < st->n_group; g++) {
                const struct replicas *q = &st->group[g];
                bool head = g == 0; /* the stage's figures go beside its first kind of replica */
                if (p->n_pipeline > 1) head ? table_cell(t, "%d", i) : table_cell(t, "%s", "");
                head ? table_cell(t, "%d", k) : table_cell(t, "%s", "");
                head ? table_cell(t, "%d-%d", st->first, st->end - 1) : table_cell(t, "%s", "");
                table_cell(t, "%s", head ? blocks_of(st, w->model, &a) : "");
                table_cell(t, "%4d %s", q->count * replica_gpus(p, q), s->gpu[q->gpu].name);
                table_cell(t, "%d", q->tp);
                table_cell(t, "%s", s->zone[q->zone]);
                table_cell(t, "%d", q->count);
                double v[3] = {e->compute_s, e->comm_s, e->sync_s};
                for (int c = 0; c < 3; c++)
                    table_cell(t, "%s", head ? v[c] == 0 ? "0" : table_number(1e3 * v[c], 4, &a) : "");
                table_cell(t, "%s", g == fullest ? show_GiB(e->memory_bytes, &a) : "");
                table_cell(t, "%s", show_GiB(s->gpu[q->gpu].memory_bytes, &a));
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
    bool plain = true;
    for (int k = 0; k < n; k++) plain &= !*show_options(&f[k].plan->options, "", &a);
    struct table *t = table_new(plain ? "#|s/iteration|iterations/s|USD|egress|P|D|m|GPUs|<types"
                                      : "#|s/iteration|iterations/s|USD|egress|P|D|m|GPUs|<types|<options",
                                &a);
    int *used = ARENA_ARRAY(&a, int, s->n_zone * s->n_gpu);
    for (int k = 0; k < n; k++) {
        const struct plan *p = f[k].plan;
        const struct estimate *e = &f[k].est;
        const char *types = "";
        int total = 0;
        plan_gpus(p, s, used);
        for (int g = 0; g < s->n_gpu; g++) {
            int gpus = 0;
            for (int z = 0; z < s->n_zone; z++) gpus += used[site_at(s, z, g)];
            if (gpus) types = arena_printf(&a, "%s%s%d %s", types, *types ? " + " : "", gpus, s->gpu[g].name);
            total += gpus;
        }
        table_cell(t, "%d", k);
        table_cell(t, "%s", show_time_s(e->iteration_time_s, &a));
        table_cell(t, "%s", show_per_s(1 / e->iteration_time_s, &a));
        table_cell(t, "%s", show_usd(e->cost_usd, &a));
        table_cell(t, "%s", show_usd(e->egress_usd, &a));
        table_cell(t, "%d", p->pipeline[0].n_stage);
        table_cell(t, "%d", stage_replicas(&p->pipeline[0].stage[0]));
        table_cell(t, "%d", p->micro_batch_size);
        table_cell(t, "%d", total);
        table_cell(t, "%s", types);
        if (!plain) table_cell(t, "%s", show_options(&p->options, "", &a));
    }
    table_print(t, out);
    arena_free(&a);
}

static void show_answer(const struct results *r, int i, struct cli_gauge *gauge, FILE *out, struct arena *a) {
    const struct row_result *row = &r->row[i];
    const struct found_plan *f = show_best(row);
    const struct estimate *e = &f->est;
    const struct plan *p = f->plan;
    bool cost = r->objective == OBJECTIVE_COST;
    struct cli_use u = cli_use_of(&r->job->workload, p, e, &gauge->peaks, r->job->pool[i].count);
    table_text(out, "microbatch %d, %d microbatch%s, %d stage%s, D = %d%s: %s", p->micro_batch_size,
               e->n_microbatch, e->n_microbatch == 1 ? "" : "es", p->pipeline[0].n_stage,
               p->pipeline[0].n_stage == 1 ? "" : "s", stage_replicas(&p->pipeline[0].stage[0]),
               show_options(&p->options, ", ", a), cli_use_batch(&u, p, e, a));
    show_stages(p, e, &r->job->workload, out);
    table_text(out, "%s: %s s per iteration (%s /s), %s USD (egress %s), peak %s GiB",
               row_status_name[row->status], show_time_s(e->iteration_time_s, a),
               show_per_s(1 / e->iteration_time_s, a), show_usd(e->cost_usd, a), show_usd(e->egress_usd, a),
               show_GiB(e->peak_memory_bytes, a));
    struct cli_interval x = interval_of(gauge, f);
    const char *interval = cli_interval_text(&x, a);
    if (r->risk > 0)
        table_text(out, "planned for %g %% of cases; the expected time is %s s", 100 * r->risk,
                   show_time_s(expected_s(gauge, f), a));
    if (interval) table_text(out, "%s", interval);
    table_text(out, "%s", cli_use_rate(&u, &gauge->peaks, a));
    table_text(out, "%s", cli_use_pace(&u, p, a));
    const char *binding = binding_of(r, i, f, &u, gauge, a);
    if (binding) table_text(out, "binding: %s", binding);
    if (proven(r))
        table_text(out, "bound %s %s, gap %s %%, %d work units, %s plans evaluated, %.3g s",
                   cost ? show_usd(row->lower_bound, a) : show_time_s(row->lower_bound, a),
                   cost ? "USD" : "s", row->gap == 0 ? "0" : table_number(100 * row->gap, 3, a), row->n_unit,
                   plans_text(row->plans_evaluated, a), row->search_s);
    else
        table_text(
            out, "%s expected %s s and %s USD; %d plans before it out of memory; %s plans evaluated, %.3g s",
            r->planner, show_time_s(f->planner_time_s, a), show_usd(f->planner_cost_usd, a), row->oom_plans,
            plans_text(row->plans_evaluated, a), row->search_s);
}

static void show_training(const struct job *job, const struct estimate *e, FILE *out, struct arena *a) {
    double n = iterations(job);
    if (n <= 0) return;
    table_text(out, "training on %.4g tokens: %s iterations, %s hours, %s USD", job->train_tokens,
               table_number(n, 6, a), table_number(n * e->iteration_time_s / 3600, 5, a),
               show_usd(n * e->cost_usd, a));
}

void show_row(const struct results *r, int i, struct cli_gauge *gauge, FILE *out) {
    struct arena a = {0};
    const struct row_result *row = &r->row[i];
    const struct found_plan *f = show_best(row);
    const struct site *s = r->job->workload.site;
    const char *gpus = show_gpus(r->job->pool[i].count, s, &a);
    const char *when =
        isnan(r->job->pool[i].time_s) ? "" : arena_printf(&a, ", at %.15g s", r->job->pool[i].time_s);
    if (i) fputc('\n', out);
    table_text(out, "row %d: %s%s", i, *gpus ? gpus : "no GPUs", when);
    if (!f) {
        const char *why = row->reason ? row->reason : "";
        table_text(out, "%s%s%s", row->status == ROW_TODO ? "not searched yet" : row_status_name[row->status],
                   *why ? ": " : "", why);
    } else {
        show_answer(r, i, gauge, out, &a);
        if (row->note) table_text(out, "note: %s", row->note);
        show_training(r->job, &f->est, out, &a);
    }
    if (f && row->n_frontier) {
        fputs("frontier, from fast to cheap:\n", out);
        show_list(row->frontier, row->n_frontier, s, out);
    }
    if (f && row->n_plan > 1) {
        fputs("best plans:\n", out);
        show_list(row->plan, row->n_plan, s, out);
    }
    fflush(out);
    arena_free(&a);
}

void show_rows(const struct results *r, struct cli_gauge *gauge, FILE *out) {
    struct arena a = {0};
    struct table *t = table_new("row|<status|GPUs|used|s/iteration|tokens/s|MFU %|USD|P|m|M|D|"
                                "bubble %|gap %",
                                &a);
    int n = 0;
    for (int i = 0; i < r->n_row; i++) {
        const struct row_result *row = &r->row[i];
        const struct found_plan *f = show_best(row);
        if (!f) continue;
        struct cli_use u =
            cli_use_of(&r->job->workload, f->plan, &f->est, &gauge->peaks, r->job->pool[i].count);
        table_cell(t, "%d", i);
        table_cell(t, "%s", row_status_name[row->status]);
        table_cell(t, "%d", u.offered);
        table_cell(t, "%d", u.gpus);
        table_cell(t, "%s", show_time_s(f->est.iteration_time_s, &a));
        table_cell(t, "%s", table_number(u.tokens_per_s, 5, &a));
        table_cell(t, "%s", show_percent(100 * u.mfu, &a));
        table_cell(t, "%s", show_usd(f->est.cost_usd, &a));
        table_cell(t, "%d", f->plan->pipeline[0].n_stage);
        table_cell(t, "%d", f->plan->micro_batch_size);
        table_cell(t, "%d", f->est.n_microbatch);
        table_cell(t, "%d", stage_replicas(&f->plan->pipeline[0].stage[0]));
        table_cell(t, "%s", show_percent(u.staged ? 100 * bubble_share(&u.breakdown) : NAN, &a));
        table_cell(t, "%s", proven(r) ? row->gap == 0 ? "0" : table_number(100 * row->gap, 3, &a) : "-");
        n++;
    }
    if (n > 1) {
        fprintf(out, "\nrows side by side:\n");
        table_print(t, out);
    }
    fflush(out);
    arena_free(&a);
}
