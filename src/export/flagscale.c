#include "base/text.h"
#include "export/target.h"

#include <string.h>

/* FlagScale: Megatron-LM with meshes of processes. A mesh is a run of stages with five numbers (tensor,
 * context, expert, data and pipeline degree) and a device type; meshes may differ in degree and type, but not
 * in the number of replicas. */

const char *export_refuse_flagscale(const struct job *job, const struct plan *p, struct arena *a) {
    int i;
    switch (plan_breaks(p, job->workload.model, runner_rules(RUNNER_FLAGSCALE), &i)) {
    case RULE_ONE_KIND: {
        const struct stage *s = &p->pipeline[0].stage[i];
        bool types = false;
        for (int g = 1; g < s->n_group; g++) types |= s->group[g].gpu != s->group[0].gpu;
        return arena_printf(a, "stage %d mixes two %s, and a mesh of FlagScale has one", i,
                            types ? "GPU types" : "tensor-parallel degrees");
    }
    case RULE_BLOCKS:
        return arena_printf(a, "stage %d holds no transformer block", i);
    case RULE_EXPERTS:
        return export_experts_in_parts(a);
    default:
        break;
    }
    const struct pipeline *pl = &p->pipeline[0];
    int first = export_degree(&pl->stage[0]), last = export_degree(&pl->stage[pl->n_stage - 1]);
    if (first == last || !export_architecture(job->workload.model, a).tied_head) return NULL;
    return arena_printf(a,
                        "the output matrix is the embedding, and FlagScale wants both at one degree; "
                        "they have %d and %d",
                        first, last);
}

/* Does stage i begin a mesh? */
static bool begins_mesh(const struct pipeline *pl, int i) {
    if (i == 0) return true;
    const struct replicas *before = &pl->stage[i - 1].group[0], *here = &pl->stage[i].group[0];
    return before->tp != here->tp || before->gpu != here->gpu;
}

static void meshes(struct text *t, const struct pipeline *pl) {
    text_add(t, "    --hetero-process-meshes");
    for (int i = 0; i < pl->n_stage; i++) {
        if (!begins_mesh(pl, i)) continue;
        int end = i + 1;
        while (end < pl->n_stage && !begins_mesh(pl, end)) end++;
        text_add(t, " %d 1 1 %d %d", export_degree(&pl->stage[i]), stage_replicas(&pl->stage[i]), end - i);
    }
    text_add(t, "\n");
}

void export_flagscale(struct text *t, const struct job *job, const struct plan *p, struct arena *a) {
    const struct pipeline *pl = &p->pipeline[0];
    const struct workload *w = &job->workload;
    export_megatron_start(
        t, job, p,
        "# Use: source this file, then on every node, with the type of its GPUs:\n"
        "#   export CUDA_DEVICE_MAX_CONNECTIONS=1 # Megatron wants it where ranks are tensor-parallel\n"
        "#   torchrun ... train_gpt.py \"${SAILOR_ARGS[@]}\" "
        "--hetero-current-device-type TYPE ...\n",
        a);
    text_add(t, "    --enable-hetero\n    --hetero-device-types");
    for (int i = 0; i < pl->n_stage; i++)
        if (begins_mesh(pl, i))
            text_add(t, " %s",
                     text_shell_word(text_printable(w->site->gpu[pl->stage[i].group[0].gpu].name, a), a));
    text_add(t, "\n    --hetero-pipeline-layer-split");
    for (int i = 0; i < pl->n_stage; i++) {
        struct stage_parts part = export_part(w->model, &pl->stage[i]);
        text_add(t, " %d", part.end_block - part.first_block);
    }
    text_add(t, "\n");
    meshes(t, pl);
    text_add(t, ")\n");
}
