#include "sim/runner.h"

const char *const runner_name[RUNNER_N] = {"any", "megatron", "torchtitan", "flagscale"};

unsigned runner_rules(enum runner t) {
    switch (t) {
    case RUNNER_MEGATRON:
        return RULE_EVEN | RULE_ONE_DEGREE | RULE_HEAD_WHOLE | RULE_EXPERTS;
    case RUNNER_TORCHTITAN:
        return RULE_EVEN | RULE_ONE_DEGREE | RULE_NOT_SELECTIVE;
    case RUNNER_FLAGSCALE:
        return RULE_EVEN | RULE_ONE_KIND | RULE_BLOCKS | RULE_EXPERTS;
    default:
        return 0;
    }
}

unsigned runner_search_rules(enum runner t, const struct model *m) {
    return runner_rules(t) | (m->tied_head && t == RUNNER_FLAGSCALE ? RULE_ONE_DEGREE : 0u);
}

struct stage_parts stage_parts(const struct model *m, int first, int end) {
    int head = m->n_block + 1, last = m->n_layer - 1;
    struct stage_parts part = {.embedding = first == 0, .output = end > last};
    /* a final norm that is its own layer comes right after the blocks */
    part.norm = first <= head && end > head;
    part.first_block = (first > 1 ? first : 1) - 1;
    part.end_block = (end < head ? end : head) - 1;
    if (part.end_block < part.first_block) part.end_block = part.first_block;
    return part;
}

bool rules_allow_layers(unsigned rules, const struct model *m, int first, int end) {
    struct stage_parts part = stage_parts(m, first, end);
    if (rules & RULE_BLOCKS && part.end_block == part.first_block) return false;
    return !(rules & RULE_HEAD_WHOLE) || part.output || !part.norm;
}

static bool has_experts(const struct model *m) { return m->shape && m->shape->transformer.experts > 1; }

/* Without tensor parallelism, sequence parallelism changes nothing: it can be required of all plans for a
 * model with experts, and none is lost. */
bool rules_allow_options(unsigned rules, const struct model *m, const struct plan_options *o) {
    if (rules & RULE_EXPERTS && has_experts(m) && !o->sequence_parallel) return false;
    return !(rules & RULE_NOT_SELECTIVE) || o->recompute != RECOMPUTE_SELECTIVE;
}

static bool uneven(const struct plan *p, int *stage) {
    const struct pipeline *pl = &p->pipeline[0];
    int D = stage_replicas(&pl->stage[0]);
    for (int i = 1; i < pl->n_stage; i++)
        if (stage_replicas(&pl->stage[i]) != D) return *stage = i, true;
    return p->n_pipeline > 1 || p->global_batch_size % ((long)D * p->micro_batch_size) != 0;
}

static unsigned stage_breaks(const struct plan *p, const struct model *m, unsigned rules, int i) {
    const struct stage *s = &p->pipeline[0].stage[i];
    int tp = p->pipeline[0].stage[0].group[0].tp;
    bool parted = rules & RULE_EXPERTS && has_experts(m) && !p->options.sequence_parallel;
    for (int g = 0; g < s->n_group; g++) {
        if (parted && s->group[g].tp > 1) return RULE_EXPERTS;
        if (rules & RULE_ONE_DEGREE && s->group[g].tp != tp) return RULE_ONE_DEGREE;
        bool other = s->group[g].gpu != s->group[0].gpu || s->group[g].tp != s->group[0].tp;
        if (rules & RULE_ONE_KIND && other) return RULE_ONE_KIND;
    }
    if (!rules_allow_layers(rules & RULE_BLOCKS, m, s->first, s->end)) return RULE_BLOCKS;
    return rules_allow_layers(rules & RULE_HEAD_WHOLE, m, s->first, s->end) ? 0 : RULE_HEAD_WHOLE;
}

unsigned plan_breaks(const struct plan *p, const struct model *m, unsigned rules, int *stage) {
    unsigned broken = 0;
    *stage = 0;
    if (rules & RULE_EVEN && uneven(p, stage)) return RULE_EVEN;
    if (!rules_allow_options(rules & RULE_NOT_SELECTIVE, m, &p->options)) return RULE_NOT_SELECTIVE;
    for (int i = 0; i < p->pipeline[0].n_stage && !broken; i++)
        broken = stage_breaks(p, m, rules, *stage = i);
    return broken;
}
