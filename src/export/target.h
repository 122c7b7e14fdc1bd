#ifndef SAILOR_EXPORT_TARGET_H
#define SAILOR_EXPORT_TARGET_H
#include "export/export.h"
#include "io/json.h"
/* What the exports have in common, and one pair of functions for each trainer. For export.c and its kinds. */

/** The layers of a stage in the trainers' words. */
struct stage_parts export_part(const struct model *m, const struct stage *s);

/** The architecture as the model file describes it; what it leaves out is GPT-2's. */
struct export_architecture {
    const char *family; /* NULL: the file has no description */
    const char *activation, *norm, *positions, *biases;
    bool tied_head, qk_norm, scaled_rope; /* Llama 3's scaling */
    int ffn_size, heads, kv_heads, vocabulary, head_size, experts, active_experts;
    double norm_epsilon, rope_theta, rope_factor; /* 0: not said */
};
struct export_architecture export_architecture(const struct model *m, struct arena *a);

/** Half a sentence if the tensor-parallel degree changes within the plan, else NULL. */
const char *export_degrees_differ(const struct plan *p, struct arena *a);

/** The degree of the first replica of a stage. */
int export_degree(const struct stage *s);

/** Comment lines: what the file is, and which GPUs take which ranks. All three trainers number their ranks in
 * the same way: tensor-parallel rank first, then data-parallel, then pipeline stage. */
void export_header(struct text *t, const struct job *job, const struct plan *p, const char *usage,
                   struct arena *a);

/** One kind of file each: why not (half a sentence, or NULL), for a plan that is even (RULE_EVEN), and the
 * text. */
const char *export_refuse_megatron(const struct job *job, const struct plan *p, struct arena *a);
void export_megatron(struct text *t, const struct job *job, const struct plan *p, struct arena *a);
const char *export_refuse_torchtitan(const struct job *job, const struct plan *p, struct arena *a);
void export_torchtitan(struct text *t, const struct job *job, const struct plan *p, struct arena *a);
const char *export_refuse_flagscale(const struct job *job, const struct plan *p, struct arena *a);
void export_flagscale(struct text *t, const struct job *job, const struct plan *p, struct arena *a);

/** Half a sentence for RULE_EXPERTS. */
const char *export_experts_in_parts(struct arena *a);
/** Why Megatron-LM and FlagScale train no plan of the job, or NULL. */
const char *export_megatron_lacks(const struct job *job, struct arena *a);
/** Why TorchTitan trains no such model at all, or NULL. */
const char *export_torchtitan_lacks(const struct job *job, struct arena *a);

/** The start of the file for Megatron-LM and FlagScale: the header, and the arguments that both take (model,
 * batch, element type, degrees of the first stage), a line each. */
void export_megatron_start(struct text *t, const struct job *job, const struct plan *p, const char *usage,
                           struct arena *a);

#endif
