#ifndef SAILOR_SIM_RUNNER_H
#define SAILOR_SIM_RUNNER_H
#include "sim/plan.h"
/* Which plans other trainers can run, as rules that a plan keeps or breaks. The exporters refuse plans by
 * them, and a search for a given trainer keeps to them. Pure. */

enum runner { RUNNER_ANY, RUNNER_MEGATRON, RUNNER_TORCHTITAN, RUNNER_FLAGSCALE, RUNNER_N };
extern const char *const runner_name[RUNNER_N]; /* "any", "megatron", ... */

enum plan_rule {
    RULE_EVEN = 1,        /* one pipeline, stages of as many replicas, and the batch a multiple of a round */
    RULE_ONE_DEGREE = 2,  /* one tensor-parallel degree in the whole plan */
    RULE_ONE_KIND = 4,    /* one GPU type and degree within a stage */
    RULE_BLOCKS = 8,      /* no stage without a transformer block */
    RULE_HEAD_WHOLE = 16, /* no stage ends between the final norm and the output matrix */
    RULE_NOT_SELECTIVE = 32, /* no recomputation of attention alone */
    RULE_EXPERTS = 64,       /* a model of experts, where it is tensor-parallel, is sequence-parallel, too */
};

/** The rules of a trainer, as bits. */
unsigned runner_rules(enum runner t);
/** Those that a search for the trainer keeps to. FlagScale wants a tied model's first and last stage at one
 * degree; the search then has one degree in all stages. */
unsigned runner_search_rules(enum runner t, const struct model *m);

/** Which layers a stage [first, end) has, in the trainers' words: the embedding, transformer blocks
 * [first_block, end_block), the final norm and the output matrix. */
struct stage_parts {
    bool embedding, norm, output;
    int first_block, end_block;
};
struct stage_parts stage_parts(const struct model *m, int first, int end);

/** May all plans of the model train with these options by the rules? */
bool rules_allow_options(unsigned rules, const struct model *m, const struct plan_options *o);
/** May these layers be a stage by the rules? */
bool rules_allow_layers(unsigned rules, const struct model *m, int first, int end);

/** The first rule that a plan breaks, of those in `rules`, and the stage where it does; 0: none. */
unsigned plan_breaks(const struct plan *p, const struct model *m, unsigned rules, int *stage);

#endif
