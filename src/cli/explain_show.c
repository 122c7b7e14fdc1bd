#include "cli/explain.h"
#include "io/json.h"
#include "io/table.h"

#include <math.h>
#include <string.h>

/* Prints an explanation as tables or JSON. */

struct part {
    const char *key, *name;
    double s;
};
enum { PARTS = 5 };

static void parts_of(const struct breakdown *b, struct part part[PARTS]) {
    const struct part list[PARTS] = {{"compute_s", "compute, slowest stage", b->compute_s},
                                     {"transfer_s", "its transfers", b->transfer_s},
                                     {"bubble_s", "bubble", b->bubble_s},
                                     {"sync_s", "all-reduce", b->sync_s},
                                     {"update_s", "update", b->update_s}};
    memcpy(part, list, sizeof list);
}

static const struct stage_estimate *estimate_of(const struct estimate *est, const struct plan *p,
                                                int pipeline, int stage) {
    for (int i = 0; i < pipeline; i++) stage += p->pipeline[i].n_stage;
    return &est->stage[stage];
}

/* A stage's part of the critical path: in the closed form one microbatch, and of the slowest stage all. */
static double on_path_s(const struct explanation *x, const struct estimate *est, const struct plan *p,
                        int pipeline, int stage) {
    const struct stage_estimate *e = estimate_of(est, p, pipeline, stage);
    double rest_s = (est->n_microbatch - 1) * stage_period_s(e);
    return e->compute_s + e->comm_s + (stage == x->use.breakdown.slowest.stage ? rest_s : 0);
}

static void print_parts(const struct explanation *x, double total_s, FILE *out, struct arena *a) {
    struct part part[PARTS];
    struct table *t = table_new("<why this time|s|%", a);
    parts_of(&x->use.breakdown, part);
    for (int i = 0; i < PARTS; i++) {
        table_cell(t, "%s", part[i].name);
        table_cell(t, "%s", show_time_s(part[i].s, a));
        table_cell(t, "%s", show_percent(100 * part[i].s / total_s, a));
    }
    table_cell(t, "iteration");
    table_cell(t, "%s", show_time_s(total_s, a));
    table_cell(t, "100.0");
    table_print(t, out);
}

static void print_path(const struct explanation *x, const struct explain_question *q, FILE *out,
                       struct arena *a) {
    const struct plan *p = q->entry->plan;
    const struct breakdown *b = &x->use.breakdown;
    const struct pipeline *pl = &p->pipeline[b->slowest.pipeline];
    struct table *t =
        table_new("stage|layers|ms per microbatch|% of the slowest|busy %|critical path s|%", a);
    double total_s = q->est->iteration_time_s;
    for (int k = 0; k < pl->n_stage; k++) {
        double way_s = on_path_s(x, q->est, p, b->slowest.pipeline, k);
        double own_s = stage_period_s(estimate_of(q->est, p, b->slowest.pipeline, k));
        table_cell(t, "%d", k);
        table_cell(t, "%d-%d", pl->stage[k].first, pl->stage[k].end - 1);
        table_cell(t, "%s", table_number(1e3 * own_s, 4, a));
        table_cell(t, "%s", show_percent(100 * own_s / b->slowest.per_microbatch_s, a));
        table_cell(t, "%s", show_percent(100 * q->est->n_microbatch * own_s / total_s, a));
        table_cell(t, "%s", show_time_s(x->closed ? way_s : NAN, a));
        table_cell(t, "%s", show_percent(x->closed ? 100 * way_s / total_s : NAN, a));
    }
    table_print(t, out);
}

/* Events have the layers of `native`. */
static enum estimator estimator_of(const struct explain_question *q) {
    return q->by->index == ESTIMATOR_SAILOR ? ESTIMATOR_SAILOR : ESTIMATOR_NATIVE;
}

/* The replicas of the slowest stage, if there are several kinds. */
static void print_kinds(const struct explanation *x, const struct explain_question *q, FILE *out,
                        struct arena *a) {
    const struct workload *w = workload_variant(q->entry->workload, &q->entry->plan->options);
    const struct stage_at *at = &x->use.breakdown.slowest;
    const struct stage *st = &q->entry->plan->pipeline[at->pipeline].stage[at->stage];
    double slowest = 0;
    if (st->n_group == 1) return;
    struct table *t =
        table_new(arena_printf(a, "<in stage %d|tp|<zone|D|compute ms|%% of the slowest", at->stage), a);
    for (int g = 0; g < st->n_group; g++)
        slowest = fmax(slowest, replica_compute_s(w, estimator_of(q), st, &st->group[g],
                                                  q->entry->plan->micro_batch_size));
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        double own_s = replica_compute_s(w, estimator_of(q), st, r, q->entry->plan->micro_batch_size);
        table_cell(t, "%s", w->site->gpu[r->gpu].name);
        table_cell(t, "%d", r->tp);
        table_cell(t, "%s", w->site->zone[r->zone]);
        table_cell(t, "%d", r->count);
        table_cell(t, "%s", table_number(1e3 * own_s, 4, a));
        table_cell(t, "%s", show_percent(100 * own_s / slowest, a));
    }
    fputc('\n', out);
    table_print(t, out);
}

static void print_helps(const struct explanation *x, FILE *out, struct arena *a) {
    enum { SHOWN = 8 };
    struct table *t = table_new("<what would help|<if|saves %", a);
    for (int i = 0; i < x->n_help && i < SHOWN; i++) {
        table_cell(t, "%s", x->help[i].what);
        table_cell(t, "%s", x->help[i].how);
        table_cell(t, "%s", arena_printf(a, "%.2f", 100 * x->help[i].gain + 0.0));
    }
    table_print(t, out);
    if (x->n_help > SHOWN) fprintf(out, "and %d more that help less\n", x->n_help - SHOWN);
}

static void print_limits(const struct explanation *x, FILE *out, struct arena *a) {
    struct table *t = table_new("<limit|used|of|<unit|<binds|<because", a);
    for (int i = 0; i < x->n_limit; i++) {
        const struct explain_limit *l = &x->limit[i];
        table_cell(t, "%s", l->what);
        table_cell(t, "%s", table_number(l->used, 4, a));
        table_cell(t, "%s", table_number(l->of, 4, a));
        table_cell(t, "%s", l->unit);
        table_cell(t, "%s", l->binds ? "yes" : "no");
        table_cell(t, "%s", l->why);
    }
    table_print(t, out);
}

void explain_print(const struct explain_question *q, FILE *out, struct arena *a) {
    struct explanation x;
    explain_find(q, &x, a);
    table_text(out, "%s", cli_use_batch(&x.use, q->entry->plan, q->est, a));
    table_text(out, "%s", cli_use_rate(&x.use, &x.peaks, a));
    table_text(out, "%s", cli_use_pace(&x.use, q->entry->plan, a));
    fputc('\n', out);
    print_parts(&x, q->est->iteration_time_s, out, a);
    fputc('\n', out);
    print_path(&x, q, out, a);
    print_kinds(&x, q, out, a);
    fputc('\n', out);
    print_helps(&x, out, a);
    fputc('\n', out);
    print_limits(&x, out, a);
    fputc('\n', out);
}

static cJSON *kinds_json(const struct explain_question *q, const struct stage *st) {
    const struct workload *w = workload_variant(q->entry->workload, &q->entry->plan->options);
    cJSON *list = cJSON_CreateArray();
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "gpu", w->site->gpu[r->gpu].name);
        json_add_number(one, "tp", r->tp);
        cJSON_AddStringToObject(one, "zone", w->site->zone[r->zone]);
        json_add_number(one, "count", r->count);
        json_add_number(one, "compute_s",
                        replica_compute_s(w, estimator_of(q), st, r, q->entry->plan->micro_batch_size));
        cJSON_AddItemToArray(list, one);
    }
    return list;
}

static cJSON *stages_json(const struct explanation *x, const struct explain_question *q) {
    const struct plan *p = q->entry->plan;
    const struct breakdown *b = &x->use.breakdown;
    cJSON *list = cJSON_CreateArray();
    for (int k = 0; k < p->pipeline[b->slowest.pipeline].n_stage; k++) {
        cJSON *one = cJSON_CreateObject();
        double way_s = on_path_s(x, q->est, p, b->slowest.pipeline, k);
        double own_s = stage_period_s(estimate_of(q->est, p, b->slowest.pipeline, k));
        json_add_number(one, "stage", k);
        json_add_number(one, "per_microbatch_s", own_s);
        json_add_number(one, "busy_share", q->est->n_microbatch * own_s / q->est->iteration_time_s);
        json_add_number(one, "critical_path_s", x->closed ? way_s : NAN);
        cJSON_AddItemToObject(one, "replicas", kinds_json(q, &p->pipeline[b->slowest.pipeline].stage[k]));
        cJSON_AddItemToArray(list, one);
    }
    return list;
}

void explain_json(const struct explain_question *q, cJSON *o, struct arena *a) {
    struct explanation x;
    struct part part[PARTS];
    explain_find(q, &x, a);
    cli_use_json(o, &x.use);
    cJSON *why = cJSON_AddObjectToObject(o, "explain");
    parts_of(&x.use.breakdown, part);
    for (int i = 0; i < PARTS; i++) json_add_number(why, part[i].key, part[i].s);
    json_add_number(why, "slowest_pipeline", x.use.breakdown.slowest.pipeline);
    cJSON_AddItemToObject(why, "stages", stages_json(&x, q));
    cJSON *helps = cJSON_AddArrayToObject(why, "helps"), *limits = cJSON_AddArrayToObject(why, "limits");
    for (int i = 0; i < x.n_help; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "what", x.help[i].what);
        cJSON_AddStringToObject(one, "if", x.help[i].how);
        json_add_number(one, "gain", x.help[i].gain);
        cJSON_AddItemToArray(helps, one);
    }
    for (int i = 0; i < x.n_limit; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "what", x.limit[i].what);
        cJSON_AddStringToObject(one, "unit", x.limit[i].unit);
        json_add_number(one, "used", x.limit[i].used);
        json_add_number(one, "of", x.limit[i].of);
        cJSON_AddBoolToObject(one, "binds", x.limit[i].binds);
        cJSON_AddStringToObject(one, "because", x.limit[i].why);
        cJSON_AddItemToArray(limits, one);
    }
}
