#include "export/target.h"

#include <string.h>

/* TorchTitan 0.3: a Python module with a function that starts from one of its model configurations and sets
 * the degrees. Its models are built in, so a model is recognized by its shape. Its configurations have slots:
 * a name that it does not know is an error there. */

static const struct flavor {
    const char *module, *config;
    int hidden, blocks;
} flavors[] = {
    {"llama3", "llama3_8b", 4096, 32},     {"llama3", "llama3_70b", 8192, 80},
    {"llama3", "llama3_405b", 16384, 126}, {"qwen3", "qwen3_0_6b", 1024, 28},
    {"qwen3", "qwen3_1_7b", 2048, 28},     {"qwen3", "qwen3_14b", 5120, 40},
    {"qwen3", "qwen3_32b", 5120, 64},
};

static const struct flavor *flavor_of(const struct model *m, const struct export_architecture *x) {
    for (size_t i = 0; x->family && i < sizeof flavors / sizeof *flavors; i++) {
        const struct flavor *f = &flavors[i];
        bool family = !strncmp(f->module, x->family, strlen(x->family));
        if (family && f->hidden == m->hidden_size && f->blocks == m->n_block) return f;
    }
    return NULL;
}

const char *export_torchtitan_lacks(const struct job *job, struct arena *a) {
    const struct model *m = job->workload.model;
    struct export_architecture x = export_architecture(m, a);
    if (job->dtype && !strcmp(job->dtype, "fp16"))
        return "its dtype is fp16, and TorchTitan has bf16 and fp32";
    if (flavor_of(m, &x)) return NULL;
    return arena_printf(a, "TorchTitan has no %s model with %d blocks of width %d",
                        x.family ? x.family : "such", m->n_block, m->hidden_size);
}

const char *export_refuse_torchtitan(const struct job *job, const struct plan *p, struct arena *a) {
    int stage;
    switch (plan_breaks(p, job->workload.model, runner_rules(RUNNER_TORCHTITAN), &stage)) {
    case RULE_ONE_DEGREE:
        return export_degrees_differ(p, a);
    case RULE_NOT_SELECTIVE:
        return "it recomputes attention alone, and TorchTitan's selective mode recomputes other operations";
    default:
        return export_torchtitan_lacks(job, a);
    }
}

static void modules(struct text *t, const struct model *m, const struct stage *s) {
    struct stage_parts part = export_part(m, s);
    const char *comma = "";
    text_add(t, "        [");
    if (part.embedding) {
        text_add(t, "\"tok_embeddings\"");
        comma = ", ";
    }
    for (int b = part.first_block; b < part.end_block; b++) {
        text_add(t, "%s\"layers.%d\"", comma, b);
        comma = ", ";
    }
    if (part.norm) {
        text_add(t, "%s\"norm\"", comma);
        comma = ", ";
    }
    if (part.output) text_add(t, "%s\"lm_head\"", comma);
    text_add(t, "],\n");
}

void export_torchtitan(struct text *t, const struct job *job, const struct plan *p, struct arena *a) {
    const struct model *m = job->workload.model;
    const struct pipeline *pl = &p->pipeline[0];
    struct export_architecture x = export_architecture(m, a);
    const struct flavor *f = flavor_of(m, &x);
    int D = stage_replicas(&pl->stage[0]);
    export_header(t, job, p,
                  "# Use: save it as sailor_plan.py where Python finds it, then on every node\n"
                  "#   torchrun ... -m torchtitan.train --module sailor_plan --config planned\n",
                  a);
    bool again = p->options.recompute == RECOMPUTE_FULL;
    if (again) text_add(t, "from torchtitan.distributed.activation_checkpoint import FullAC\n");
    text_add(t, "from torchtitan.models.%s.config_registry import %s\n\n\ndef planned():\n", f->module,
             f->config);
    text_add(t, "    config = %s()\n", f->config);
    text_add(t, "    config.training.seq_len = %d\n", m->sequence_length);
    text_add(t, "    config.training.local_batch_size = %d\n",
             pl->n_stage > 1 ? p->global_batch_size / D : p->micro_batch_size);
    text_add(t, "    config.training.global_batch_size = %d\n", p->global_batch_size);
    if (job->dtype)
        text_add(t, "    config.training.mixed_precision_param = \"%s\"\n",
                 strcmp(job->dtype, "fp32") ? "bfloat16" : "float32");
    if (pl->n_stage > 1)
        text_add(t, "    config.training.disable_cuda_graphs = True\n"); /* refused with pipelines */
    text_add(t, "    config.activation_checkpoint = %s\n", again ? "FullAC.Config()" : "None");
    text_add(t, "    parallelism = config.parallelism\n");
    /* TorchTitan divides gradients and parameters with the optimizer's state; if parameters stay whole until
     * the iteration ends, they travel as often as with zero 1. */
    text_add(t, "    parallelism.data_parallel_replicate_degree = %d\n", p->options.zero ? 1 : D);
    text_add(t, "    parallelism.data_parallel_shard_degree = %d\n", p->options.zero ? D : 1);
    if (p->options.zero) text_add(t, "    parallelism.fsdp_reshard_after_forward = \"never\"\n");
    text_add(t, "    parallelism.tensor_parallel_degree = %d\n", export_degree(&pl->stage[0]));
    text_add(t, "    parallelism.enable_sequence_parallel = %s\n",
             p->options.sequence_parallel ? "True" : "False");
    text_add(t, "    parallelism.pipeline_parallel_degree = %d\n", pl->n_stage);
    if (pl->n_stage > 1) {
        text_add(t, "    parallelism.pipeline_parallel_schedule = \"1F1B\"\n");
        text_add(t, "    parallelism.pipeline_parallel_microbatch_size = %d\n", p->micro_batch_size);
        text_add(t, "    parallelism.module_fqns_per_model_part = [\n");
        for (int i = 0; i < pl->n_stage; i++) modules(t, m, &pl->stage[i]);
        text_add(t, "    ]\n");
    }
    text_add(t, "    return config\n");
}
