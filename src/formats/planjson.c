#include "formats/planjson.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---------------------------------------------------------------------------------------------
 */

static cJSON *group_to_json(const struct replicas *r, const struct site *s) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "gpu", s->gpu[r->gpu].name);
    json_add_number(o, "tp", r->tp);
    cJSON_AddStringToObject(o, "zone", s->zone[r->zone]);
    json_add_number(o, "count", r->count);
    if (r->n_vm) {
        cJSON *vms = cJSON_AddArrayToObject(o, "vms");
        for (int v = 0; v < r->n_vm; v++)
            cJSON_AddItemToArray(vms, cJSON_CreateString(s->gpu[r->vm_gpu[v]].name));
    }
    return o;
}

static cJSON *stage_to_json(const struct stage *st, const struct site *s) {
    cJSON *o = cJSON_CreateObject(), *layers = cJSON_AddArrayToObject(o, "layers");
    cJSON_AddItemToArray(layers, json_double(st->first));
    cJSON_AddItemToArray(layers, json_double(st->end));
    cJSON *replicas = cJSON_AddArrayToObject(o, "replicas");
    for (int g = 0; g < st->n_group; g++) cJSON_AddItemToArray(replicas, group_to_json(&st->group[g], s));
    return o;
}

/* Only options that a reader would not assume. */
static void options_to_json(cJSON *o, const struct plan_options *x, const struct model *m) {
    struct model_shape plain = {.recompute = RECOMPUTE_NONE};
    const struct model_shape *own = m->shape ? m->shape : &plain;
    if (x->recompute != RECOMPUTE_NONE || own->recompute != RECOMPUTE_NONE)
        cJSON_AddStringToObject(o, "recompute", recompute_name[x->recompute]);
    if (x->sequence_parallel || own->sequence_parallel)
        cJSON_AddBoolToObject(o, "sequence_parallel", x->sequence_parallel);
    if (x->zero) json_add_number(o, "zero", x->zero);
    if (context_groups(x) > 1) json_add_number(o, "context_parallel", x->context_parallel);
}

cJSON *plan_to_json(const struct plan *p, const struct workload *w) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "format", "sailor-plan/1");
    if (p->name) cJSON_AddStringToObject(o, "name", p->name);
    cJSON_AddStringToObject(o, "model", p->model);
    cJSON_AddStringToObject(o, "site", p->site);
    json_add_number(o, "global_batch_size", p->global_batch_size);
    json_add_number(o, "micro_batch_size", p->micro_batch_size);
    if (w->framework) cJSON_AddStringToObject(o, "framework", w->framework->name);
    if (w->element_bytes == 2) cJSON_AddStringToObject(o, "dtype", w->dtype ? w->dtype : "bf16");
    if (w->sgd) cJSON_AddStringToObject(o, "optimizer", "sgd");
    options_to_json(o, &p->options, w->model);
    if (plan_parts(p) > 1) json_add_number(o, "virtual_stages", p->virtual_stages);
    cJSON *pipelines = cJSON_AddArrayToObject(o, "pipelines");
    for (int i = 0; i < p->n_pipeline; i++) {
        cJSON *pl = cJSON_CreateObject(), *stages = cJSON_AddArrayToObject(pl, "stages");
        for (int k = 0; k < p->pipeline[i].n_stage; k++)
            cJSON_AddItemToArray(stages, stage_to_json(&p->pipeline[i].stage[k], w->site));
        cJSON_AddItemToArray(pipelines, pl);
    }
    return o;
}

cJSON *estimate_to_json(const struct estimate *est, const struct plan *p) {
    cJSON *o = cJSON_CreateObject();
    json_add_number(o, "iteration_time_s", est->iteration_time_s);
    json_add_number(o, "pipeline_time_s", est->pipeline_time_s);
    json_add_number(o, "sync_time_s", est->sync_time_s);
    json_add_number(o, "throughput_per_s", 1 / est->iteration_time_s);
    json_add_number(o, "compute_usd", est->compute_usd);
    json_add_number(o, "egress_usd", est->egress_usd);
    json_add_number(o, "cost_usd_per_iteration", est->cost_usd);
    cJSON_AddBoolToObject(o, "fits", est->fits);
    json_add_number(o, "peak_memory_bytes", est->peak_memory_bytes);
    if (!est->stage) return o;
    cJSON *pipelines = cJSON_AddArrayToObject(o, "pipelines");
    const struct stage_estimate *s = est->stage;
    for (int i = 0; i < p->n_pipeline; i++) {
        cJSON *pl = cJSON_CreateObject(), *stages = cJSON_AddArrayToObject(pl, "stages");
        for (int k = 0; k < p->pipeline[i].n_stage; k++, s++) {
            cJSON *st = cJSON_CreateObject();
            json_add_number(st, "compute_s", s->compute_s);
            json_add_number(st, "comm_s", s->comm_s);
            json_add_number(st, "turn_s", s->turn_s);
            json_add_number(st, "sync_s", s->sync_s);
            json_add_number(st, "memory_bytes", s->memory_bytes);
            cJSON_AddItemToArray(stages, st);
        }
        cJSON_AddItemToArray(pipelines, pl);
    }
    return o;
}

/* ---- reading ---------------------------------------------------------------------------------------------
 */

enum { GPUS_OF_A_PLAN_MAX = 10000000, VMS_MAX = 64 };

struct plan_reader {
    const struct site *site;
    const char **gpu; /* names of the site's GPU types */
    char gpu_what[100], zone_what[100];
    long gpus; /* used so far; bounded, so that sums of counts cannot overflow */
    struct arena *arena;
    struct err *e;
};

static int read_group(const struct json_at *at, struct plan_reader *r, struct replicas *g) {
    static const char *const keys[] = {"gpu", "tp", "zone", "count", "vms", NULL};
    if (json_object(at, keys, r->e)) return -1;
    struct json_at gpu = json_member(at, "gpu"), tp = json_member(at, "tp"), zone = json_member(at, "zone");
    struct json_at count = json_member(at, "count"), vms = json_member(at, "vms");
    if (json_name(&gpu, r->gpu, r->site->n_gpu, r->gpu_what, &g->gpu, r->e)) return -1;
    if (json_int(&tp, 1, TP_MAX, &g->tp, r->e)) return -1;
    if (tp_index(g->tp) < 0) return json_fail(&tp, r->e, "%d; expected 1, 2, 4 or 8", g->tp);
    if (json_name(&zone, r->site->zone, r->site->n_zone, r->zone_what, &g->zone, r->e)) return -1;
    g->count = 1;
    if (count.node && json_int(&count, 1, 1000000, &g->count, r->e)) return -1;
    r->gpus += (long)g->count * g->tp;
    if (r->gpus > GPUS_OF_A_PLAN_MAX)
        return json_fail(&count, r->e, "more than %d GPUs so far; expected fewer in a plan",
                         GPUS_OF_A_PLAN_MAX);
    if (!vms.node) return 0;
    if (json_array(&vms, 1, VMS_MAX, &g->n_vm, r->e)) return -1;
    int *vm = ARENA_ARRAY(r->arena, int, g->n_vm), i = 0;
    for (const cJSON *x = vms.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&vms, i, x);
        if (json_name(&here, r->gpu, r->site->n_gpu, r->gpu_what, &vm[i], r->e)) return -1;
    }
    g->vm_gpu = vm;
    return 0;
}

static int read_stage(const struct json_at *at, struct plan_reader *r, struct stage *s) {
    static const char *const keys[] = {"layers", "replicas", NULL};
    int n;
    if (json_object(at, keys, r->e)) return -1;
    struct json_at layers = json_member(at, "layers"), replicas = json_member(at, "replicas");
    if (json_array(&layers, 2, 2, &n, r->e)) return -1;
    struct json_at first = json_element(&layers, 0, layers.node->child);
    struct json_at end = json_element(&layers, 1, layers.node->child->next);
    if (json_int(&first, 0, LAYERS_MAX, &s->first, r->e)) return -1;
    if (json_int(&end, 0, LAYERS_MAX, &s->end, r->e)) return -1;
    if (json_array(&replicas, 1, 1000000, &s->n_group, r->e)) return -1;
    s->group = ARENA_ARRAY(r->arena, struct replicas, s->n_group);
    int i = 0;
    for (const cJSON *x = replicas.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&replicas, i, x);
        if (read_group(&here, r, &s->group[i])) return -1;
    }
    return 0;
}

static int read_pipeline(const struct json_at *at, struct plan_reader *r, struct pipeline *p) {
    static const char *const keys[] = {"stages", NULL};
    if (json_object(at, keys, r->e)) return -1;
    struct json_at stages = json_member(at, "stages");
    if (json_array(&stages, 1, LAYERS_MAX, &p->n_stage, r->e)) return -1;
    p->stage = ARENA_ARRAY(r->arena, struct stage, p->n_stage);
    int i = 0;
    for (const cJSON *x = stages.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&stages, i, x);
        if (read_stage(&here, r, &p->stage[i])) return -1;
    }
    return 0;
}

static int read_options(const struct json_at *at, struct plan_options *o, struct err *e) {
    struct json_at recompute = json_member(at, "recompute"), zero = json_member(at, "zero"),
                   sequence = json_member(at, "sequence_parallel"),
                   context = json_member(at, "context_parallel");
    int mode = RECOMPUTE_NONE;
    if (recompute.node && json_name(&recompute, recompute_name, RECOMPUTE_N, "a mode", &mode, e)) return -1;
    if (zero.node && json_int(&zero, 0, 1, &o->zero, e)) return -1;
    if (sequence.node && json_bool(&sequence, &o->sequence_parallel, e)) return -1;
    if (context.node && json_int(&context, 1, TP_MAX, &o->context_parallel, e)) return -1;
    if (o->context_parallel == 1) o->context_parallel = 0;
    if (context_groups(o) > 1 && tp_index(o->context_parallel) < 0)
        return json_fail(&context, e, "%d; expected 1, 2, 4 or 8", o->context_parallel);
    o->recompute = (enum recompute)mode;
    return 0;
}

/* A model or site: its name or path, or the name in the object given here. */
static int read_named(const struct json_at *at, const char **name, struct arena *a, struct err *e) {
    struct json_at own = json_member(at, "name");
    return json_string(cJSON_IsObject(at->node) ? &own : at, name, a, e);
}

int plan_read(const struct json_at *at, const struct site *site, struct plan **plan, struct arena *a,
              struct err *e) {
    static const char *const keys[] = {"format",
                                       "model",
                                       "site",
                                       "global_batch_size",
                                       "micro_batch_size",
                                       "framework",
                                       "dtype",
                                       "optimizer",
                                       "recompute",
                                       "zero",
                                       "sequence_parallel",
                                       "virtual_stages",
                                       "context_parallel",
                                       "pipelines",
                                       NULL};
    const char *gpu[GPUS_MAX];
    struct plan_reader r = {.site = site, .gpu = gpu, .arena = a, .e = e};
    for (int g = 0; g < site->n_gpu; g++) gpu[g] = site->gpu[g].name;
    snprintf(r.gpu_what, sizeof r.gpu_what, "a GPU type of site %.60s", site->name);
    snprintf(r.zone_what, sizeof r.zone_what, "a zone of site %.60s", site->name);

    if (json_object(at, keys, e) || json_format(at, "sailor-plan/1", e)) return -1;
    struct plan *p = ARENA_NEW(a, struct plan);
    struct json_at name = json_member(at, "name"), model = json_member(at, "model"),
                   where = json_member(at, "site");
    struct json_at batch = json_member(at, "global_batch_size"), micro = json_member(at, "micro_batch_size");
    struct json_at pipelines = json_member(at, "pipelines"), parts = json_member(at, "virtual_stages");
    if (cJSON_IsString(name.node)) p->name = arena_strdup(a, name.node->valuestring);
    if (read_named(&model, &p->model, a, e) || read_named(&where, &p->site, a, e)) return -1;
    if (json_int(&batch, 1, 100000000, &p->global_batch_size, e)) return -1;
    if (json_int(&micro, 1, 1000000, &p->micro_batch_size, e)) return -1;
    if (json_array(&pipelines, 1, 1000000, &p->n_pipeline, e)) return -1;
    if (read_options(at, &p->options, e)) return -1;
    if (parts.node && json_int(&parts, 1, LAYERS_MAX, &p->virtual_stages, e)) return -1;
    p->pipeline = ARENA_ARRAY(a, struct pipeline, p->n_pipeline);
    int i = 0;
    for (const cJSON *x = pipelines.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&pipelines, i, x);
        if (read_pipeline(&here, &r, &p->pipeline[i])) return -1;
    }
    *plan = p;
    return 0;
}

int plan_from_json(const cJSON *node, const char *where, const struct site *site, struct plan **plan,
                   struct arena *a, struct err *e) {
    struct json_at at = json_root(where, node);
    return plan_read(&at, site, plan, a, e);
}
