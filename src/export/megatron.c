#include "export/target.h"

#include <string.h>

/* Megatron-LM (Megatron Core 0.12 and later, which have --pipeline-model-parallel-layout). The layout names
 * the layers of each stage: E the embedding, t a transformer layer, L the final norm, output and loss; `|`
 * ends a stage and *N repeats a layer. */

const char *export_experts_in_parts(struct arena *a) {
    return arena_strdup(
        a, "its model has experts, and Megatron divides such a model among tensor-parallel ranks "
           "only with \"sequence_parallel\": true");
}

/* Asked before a job is planned: at least one of its choices must work. */
const char *export_megatron_lacks(const struct job *job, struct arena *a) {
    const struct workload *w = &job->workload;
    bool allowed = rules_allow_options(RULE_EXPERTS, w->model, &w->options);
    for (int i = 0; i < w->n_variant; i++)
        allowed |= rules_allow_options(RULE_EXPERTS, w->model, &w->variant[i].options);
    return allowed ? NULL : export_experts_in_parts(a);
}

const char *export_refuse_megatron(const struct job *job, const struct plan *p, struct arena *a) {
    int stage;
    switch (plan_breaks(p, job->workload.model, runner_rules(RUNNER_MEGATRON), &stage)) {
    case RULE_ONE_DEGREE:
        return export_degrees_differ(p, a);
    case RULE_HEAD_WHOLE:
        return arena_printf(a,
                            "stage %d ends between the final norm and the output matrix, which Megatron "
                            "keeps together",
                            stage);
    case RULE_EXPERTS:
        return export_experts_in_parts(a);
    default:
        return NULL;
    }
}

static void layout(struct text *t, const struct model *m, const struct pipeline *pl) {
    for (int i = 0; i < pl->n_stage; i++) {
        struct stage_parts part = export_part(m, &pl->stage[i]);
        int n = part.end_block - part.first_block;
        if (i) text_add(t, "|");
        if (part.embedding) text_add(t, "E");
        if (n > 1) text_add(t, "t*%d", n);
        if (n == 1) text_add(t, "t");
        if (part.output) text_add(t, "%sL", n > 1 ? "," : "");
    }
}

static void architecture_lines(struct text *t, const struct export_architecture *x) {
    if (x->kv_heads != x->heads)
        text_add(t, "    --group-query-attention\n    --num-query-groups %d\n", x->kv_heads);
    if (!strcmp(x->activation, "swiglu")) text_add(t, "    --swiglu\n");
    if (!strcmp(x->activation, "relu"))
        text_add(t, "    # ReLU in the model; these arguments have GELU, which takes as long\n");
    if (!strcmp(x->norm, "rmsnorm")) text_add(t, "    --normalization RMSNorm\n");
    if (x->norm_epsilon > 0) text_add(t, "    --norm-epsilon %.9g\n", x->norm_epsilon);
    if (x->qk_norm) text_add(t, "    --qk-layernorm\n");
    bool rotary = !strcmp(x->positions, "rotary");
    text_add(t, "    --position-embedding-type %s\n", rotary ? "rope" : "learned_absolute");
    if (rotary && x->rope_theta > 0) text_add(t, "    --rotary-base %.0f\n", x->rope_theta);
    if (rotary && x->scaled_rope)
        text_add(t, "    --use-rope-scaling\n    --rope-scaling-factor %.9g\n", x->rope_factor);
    if (!strcmp(x->biases, "none") || !strcmp(x->biases, "qkv only"))
        text_add(t, "    --disable-bias-linear\n");
    if (!strcmp(x->biases, "qkv only")) text_add(t, "    --add-qkv-bias\n");
    if (x->experts)
        text_add(t, "    --num-experts %d\n    --moe-router-topk %d\n", x->experts, x->active_experts);
    if (!x->tied_head) text_add(t, "    --untie-embeddings-and-output-weights\n");
}

static bool has_tensor_parallelism(const struct pipeline *pl) {
    for (int i = 0; i < pl->n_stage; i++)
        for (int g = 0; g < pl->stage[i].n_group; g++)
            if (pl->stage[i].group[g].tp > 1) return true;
    return false;
}

/* Megatron refuses --sequence-parallel at degree 1, where it changes nothing. */
static void option_lines(struct text *t, const struct plan *p) {
    if (p->options.recompute == RECOMPUTE_FULL)
        text_add(t, "    --recompute-granularity full\n    --recompute-method uniform\n"
                    "    --recompute-num-layers 1\n");
    if (p->options.recompute == RECOMPUTE_SELECTIVE) text_add(t, "    --recompute-granularity selective\n");
    if (p->options.sequence_parallel && has_tensor_parallelism(&p->pipeline[0]))
        text_add(t, "    --sequence-parallel\n");
    if (p->options.zero) text_add(t, "    --use-distributed-optimizer\n");
}

void export_megatron_start(struct text *t, const struct job *job, const struct plan *p, const char *usage,
                           struct arena *a) {
    const struct model *m = job->workload.model;
    struct export_architecture x = export_architecture(m, a);
    export_header(t, job, p, usage, a);
    text_add(t, "SAILOR_ARGS=(\n");
    text_add(t, "    --num-layers %d\n    --hidden-size %d\n    --ffn-hidden-size %d\n", m->n_block,
             m->hidden_size, x.ffn_size);
    text_add(t, "    --num-attention-heads %d\n", x.heads);
    if (x.head_size * x.heads != m->hidden_size) text_add(t, "    --kv-channels %d\n", x.head_size);
    architecture_lines(t, &x);
    text_add(t, "    --attention-dropout 0\n    --hidden-dropout 0\n");
    text_add(t, "    --seq-length %d\n    --max-position-embeddings %d\n", m->sequence_length,
             m->sequence_length);
    text_add(t, "    --micro-batch-size %d\n    --global-batch-size %d\n", p->micro_batch_size,
             p->global_batch_size);
    if (job->dtype && strcmp(job->dtype, "fp32")) text_add(t, "    --%s\n", job->dtype);
    option_lines(t, p);
    text_add(t, "    --tensor-model-parallel-size %d\n    --pipeline-model-parallel-size %d\n",
             export_degree(&p->pipeline[0].stage[0]), p->pipeline[0].n_stage);
}

void export_megatron(struct text *t, const struct job *job, const struct plan *p, struct arena *a) {
    const struct pipeline *pl = &p->pipeline[0];
    export_megatron_start(
        t, job, p,
        "# Use: source this file, then on every node, with its tokenizer and data arguments:\n"
        "#   export CUDA_DEVICE_MAX_CONNECTIONS=1 # Megatron wants it where ranks are tensor-parallel\n"
        "#   torchrun ... pretrain_gpt.py \"${SAILOR_ARGS[@]}\" "
        "--tokenizer-type ... --data-path ...\n",
        a);
    if (pl->n_stage > 1) {
        text_add(t, "    --pipeline-model-parallel-layout '");
        layout(t, job->workload.model, pl);
        text_add(t, "'\n");
    }
    text_add(t, ")\n");
}
