#include "base/text.h"
#include "export/target.h"
#include "sim/sheet.h"

#include <string.h>

static const struct {
    const char *(*refuse)(const struct job *job, const struct plan *p, struct arena *a);
    void (*write)(struct text *t, const struct job *job, const struct plan *p, struct arena *a);
} target[RUNNER_N] = {
    [RUNNER_MEGATRON] = {export_refuse_megatron, export_megatron},
    [RUNNER_TORCHTITAN] = {export_refuse_torchtitan, export_torchtitan},
    [RUNNER_FLAGSCALE] = {export_refuse_flagscale, export_flagscale},
};

/* ---- common to the trainers' files ---- */

struct stage_parts export_part(const struct model *m, const struct stage *s) {
    return stage_parts(m, s->first, s->end);
}

static const char *text_of(const cJSON *o, const char *key, const char *otherwise, struct arena *a) {
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, key));
    return s ? arena_strdup(a, s) : otherwise;
}

static double real_of(const cJSON *o, const char *key) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(x) ? x->valuedouble : 0;
}

static int number_of(const cJSON *o, const char *key, int otherwise) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(x) ? (int)x->valuedouble : otherwise;
}

struct export_architecture export_architecture(const struct model *m, struct arena *a) {
    cJSON *o = m->architecture ? cJSON_Parse(m->architecture) : NULL;
    const cJSON *scaling = cJSON_GetObjectItemCaseSensitive(o, "rope_scaling");
    int heads = number_of(o, "heads", m->heads);
    const char *activation = text_of(o, "activation", "gelu", a);
    bool gated = m->shape && m->shape->transformer.gated && !strcmp(activation, "silu");
    struct export_architecture x = {
        .family = text_of(o, "family", NULL, a),
        .activation = gated ? "swiglu" : activation,
        .norm = text_of(o, "norm", "layernorm", a),
        .positions = text_of(o, "positions", "learned", a),
        .biases = text_of(o, "biases_added", "all", a),
        .tied_head = m->tied_head,
        .ffn_size = number_of(o, "ffn_size", 4 * m->hidden_size),
        .heads = heads,
        .kv_heads = number_of(o, "kv_heads", heads),
        .vocabulary = number_of(o, "vocabulary", m->vocabulary),
        .head_size = m->shape ? m->shape->transformer.head_size : m->hidden_size / heads,
        .experts = m->shape && m->shape->transformer.experts > 1 ? m->shape->transformer.experts : 0,
        .active_experts = m->shape ? m->shape->transformer.active_experts : 0,
        .qk_norm = m->shape && m->shape->transformer.qk_norm,
        .norm_epsilon = real_of(o, "norm_epsilon"),
        .rope_theta = real_of(o, "rope_theta"),
        .scaled_rope = !strcmp(text_of(scaling, "rope_type", "", a), "llama3"),
        .rope_factor = real_of(scaling, "factor"),
    };
    cJSON_Delete(o);
    return x;
}

int export_degree(const struct stage *s) { return s->group[0].tp; }

const char *export_degrees_differ(const struct plan *p, struct arena *a) {
    int tp = export_degree(&p->pipeline[0].stage[0]);
    for (int i = 0; i < p->pipeline[0].n_stage; i++) {
        const struct stage *s = &p->pipeline[0].stage[i];
        for (int g = 0; g < s->n_group; g++)
            if (s->group[g].tp != tp)
                return arena_printf(a, "its tensor-parallel degree is %d in stage 0 and %d in stage %d", tp,
                                    s->group[g].tp, i);
    }
    return NULL;
}

static void rank_lines(struct text *t, const struct job *job, const struct plan *p, struct arena *a) {
    const struct site *site = job->workload.site;
    int rank = 0;
    for (int i = 0; i < p->pipeline[0].n_stage; i++) {
        const struct stage *s = &p->pipeline[0].stage[i];
        for (int g = 0; g < s->n_group; g++) {
            const struct replicas *r = &s->group[g];
            int gpus = r->count * r->tp;
            text_add(t, "#   %6d to %6d   stage %-3d %s, zone %s\n", rank, rank + gpus - 1, i,
                     text_printable(site->gpu[r->gpu].name, a), text_printable(site->zone[r->zone], a));
            rank += gpus;
        }
    }
}

/* A line end in a name would end the comment, and sourcing the file would run the rest. */
void export_header(struct text *t, const struct job *job, const struct plan *p, const char *usage,
                   struct arena *a) {
    const struct stage *first = &p->pipeline[0].stage[0];
    int D = stage_replicas(first), m = p->micro_batch_size, G = p->global_batch_size;
    text_add(t, "# A plan by sailor for %s on site %s.\n", text_printable(p->model, a),
             text_printable(p->site, a));
    text_add(t, "# %d microbatches x %d sequences x %d replicas = %d sequences per iteration, %d stages\n",
             G / (m * D), m, D, G, p->pipeline[0].n_stage);
    text_add(t, "#\n# Start the ranks in this order:\n");
    rank_lines(t, job, p, a);
    text_add(t, "#\n%s", usage);
}

/* ---- the door ---- */

static const char *refuse_uneven(const struct plan *p, const struct model *m, struct arena *a) {
    int stage;
    if (!plan_breaks(p, m, RULE_EVEN, &stage)) return NULL;
    if (p->n_pipeline > 1) return arena_printf(a, "it has %d pipelines", p->n_pipeline);
    int D = stage_replicas(&p->pipeline[0].stage[0]);
    for (int i = 1; i < p->pipeline[0].n_stage; i++) {
        int here = stage_replicas(&p->pipeline[0].stage[i]);
        if (here != D) return arena_printf(a, "stage 0 has %d replicas and stage %d has %d", D, i, here);
    }
    return arena_printf(a,
                        "the batch of %d sequences is not a multiple of %d replicas x microbatches of %d; "
                        "\"exact_batch\": true in the job finds plans where it is",
                        p->global_batch_size, D, p->micro_batch_size);
}

const char *export_never(enum runner t, const struct job *job, struct arena *a) {
    return t == RUNNER_TORCHTITAN ? export_torchtitan_lacks(job, a)
           : t == RUNNER_ANY      ? NULL
                                  : export_megatron_lacks(job, a);
}

const char *export_refusal(enum runner t, const struct job *job, const struct plan *p, struct arena *a) {
    if (plan_parts(p) > 1) return "it has virtual stages, which are not written";
    if (context_groups(&p->options) > 1) return "it has context parallelism, which is not written";
    const char *why = refuse_uneven(p, job->workload.model, a);
    return why ? why : target[t].refuse(job, p, a);
}

const char *export_text(enum runner t, const struct job *job, const struct plan *p, struct arena *a) {
    struct text out = {0};
    target[t].write(&out, job, p, a);
    const char *s = arena_strdup(a, out.s);
    text_free(&out);
    return s;
}
