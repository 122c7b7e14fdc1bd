#include "formats/inputs_priv.h"
#include "formats/shape.h"

#include <math.h>
#include <string.h>

/* recompute, zero and sequence_parallel of jobs and plans, context_parallel of plans, and how they change a
 * model and its profiles. */

struct plan_options inputs_own_options(const struct model *m) {
    if (!m->shape) return (struct plan_options){0};
    return (struct plan_options){.recompute = m->shape->recompute,
                                 .sequence_parallel = m->shape->sequence_parallel};
}

/* ---- reading ------------------------------------------------------------------------ */

enum option_kind { OPTION_RECOMPUTE, OPTION_SEQUENCE_PARALLEL, OPTION_ZERO };

static int read_value(const struct json_at *at, enum option_kind kind, int *v, struct err *e) {
    bool truth = false;
    if (kind == OPTION_RECOMPUTE) return json_name(at, recompute_name, RECOMPUTE_N, "a mode", v, e);
    if (kind == OPTION_ZERO) return json_int(at, 0, 1, v, e);
    int rc = json_bool(at, &truth, e);
    *v = truth;
    return rc;
}

/* With flash attention, recomputing attention alone saves nothing. */
static void choose_all(enum option_kind kind, const struct model *m, bool *chosen) {
    chosen[0] = true;
    if (kind == OPTION_ZERO || (kind == OPTION_SEQUENCE_PARALLEL && m->shape)) chosen[1] = true;
    if (kind != OPTION_RECOMPUTE) return;
    chosen[RECOMPUTE_SELECTIVE] = m->shape && m->shape->keeps_scores;
    chosen[RECOMPUTE_FULL] = true;
}

/* A value; in a job also a list of values to choose from, or "auto" for all values. */
static int read_option(const struct json_at *at, enum option_kind kind, bool lists, const struct model *m,
                       int otherwise, bool *chosen, struct err *e) {
    int v = otherwise, n, i = 0;
    if (at->node && lists && cJSON_IsString(at->node) && !strcmp(at->node->valuestring, "auto")) {
        choose_all(kind, m, chosen);
        return 0;
    }
    if (!at->node || !lists || !cJSON_IsArray(at->node)) {
        if (at->node && read_value(at, kind, &v, e)) return -1;
        chosen[v] = true;
        return 0;
    }
    if (json_array(at, 1, RECOMPUTE_N, &n, e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (read_value(&here, kind, &v, e)) return -1;
        if (chosen[v]) return json_fail(&here, e, "the same value twice; expected each once");
        chosen[v] = true;
    }
    return 0;
}

static int no_shape(const struct json_at *at, const char *what, const struct model *m, struct err *e) {
    return json_fail(at, e,
                     "model %s does not say what it is made of, and %s changes its sizes; expected a model "
                     "with \"transformer\" (sailor model writes such files)",
                     m->name, what);
}

/* A GPU has two stretches of a sequence, one from each end, so that the causal mask leaves all equal work. */
static int read_context(const struct json_at *plan, const struct model *m, int *groups, struct err *e) {
    struct json_at at = json_member(plan, "context_parallel");
    int c = 1;
    if (at.node && json_int(&at, 1, TP_MAX, &c, e)) return -1;
    if (c == 1) return 0;
    if (tp_index(c) < 0) return json_fail(&at, e, "%d; expected 1, 2, 4 or 8", c);
    if (!m->shape) return no_shape(&at, "context parallelism", m, e);
    if (m->sequence_length % (2 * c))
        return json_fail(&at, e, "%d; expected a number that divides half of the %d tokens of a sequence", c,
                         m->sequence_length);
    *groups = c;
    return 0;
}

int inputs_options(const struct json_at *at, bool lists, const struct model *m, struct option_choices *c,
                   struct err *e) {
    struct plan_options own = inputs_own_options(m);
    struct json_at recompute = json_member(at, "recompute"), zero = json_member(at, "zero"),
                   sequence = json_member(at, "sequence_parallel");
    *c = (struct option_choices){0};
    if (read_option(&recompute, OPTION_RECOMPUTE, lists, m, (int)own.recompute, c->recompute, e) ||
        read_option(&sequence, OPTION_SEQUENCE_PARALLEL, lists, m, own.sequence_parallel,
                    c->sequence_parallel, e) ||
        read_option(&zero, OPTION_ZERO, lists, m, 0, c->zero, e))
        return -1;
    if (!m->shape && c->recompute[RECOMPUTE_SELECTIVE])
        return no_shape(&recompute, "selective recomputation", m, e);
    if (!m->shape && c->sequence_parallel[1]) return no_shape(&sequence, "sequence parallelism", m, e);
    return lists ? 0 : read_context(at, m, &c->context_parallel, e);
}

/* ---- models ------------------------------------------------------------------------- */

/* Blocks are the layers from 1 on. */
static int last_block(const struct model *m) { return m->n_block < m->n_layer ? m->n_block : m->n_layer - 1; }

/* What a block keeps; a model without a shape, recomputed in full, keeps a block's input. */
static double block_kept(const struct model *m, const struct plan_options *o, int ti, int layer) {
    struct model_shape s;
    if (!m->shape)
        return o->recompute == RECOMPUTE_NONE ? m->act_mem[ti][layer]
                                              : fmin(m->act_mem[ti][layer], m->act_out[layer - 1]);
    s = *m->shape;
    s.sequence_parallel = o->sequence_parallel;
    return shape_kept(&s, o->recompute, 1 << ti);
}

/* The sizes in a model file are for the model's own options. */
static const struct model *model_with(const struct model *m, const struct plan_options *o, double again[TP_N],
                                      struct arena *a) {
    struct plan_options own = inputs_own_options(m), all = *o;
    all.recompute = RECOMPUTE_NONE;
    int groups = context_groups(o);
    if (own.recompute == o->recompute && own.sequence_parallel == o->sequence_parallel && groups == 1)
        return m;
    struct model *x = ARENA_NEW(a, struct model);
    *x = *m;
    for (int ti = 0; ti < TP_N; ti++) {
        if (!m->act_mem[ti]) continue;
        double *act = ARENA_ARRAY(a, double, m->n_layer);
        memcpy(act, m->act_mem[ti], sizeof *act * (size_t)m->n_layer);
        for (int l = 1; l <= last_block(m); l++) {
            act[l] = block_kept(m, o, ti, l);
            again[ti] = fmax(again[ti], block_kept(m, &all, ti, l) - act[l]);
        }
        for (int l = 0; l < m->n_layer; l++) act[l] /= groups;
        again[ti] /= groups;
        x->act_mem[ti] = act;
    }
    if (groups == 1) return x;
    double *out = ARENA_ARRAY(a, double, m->n_layer);
    for (int l = 0; l < m->n_layer; l++) out[l] = m->act_out[l] / groups;
    x->act_out = out;
    return x;
}

int inputs_modes(const struct option_choices *c, const struct model *m, struct options_mode **mode,
                 struct arena *a) {
    int n = 0;
    *mode = ARENA_ARRAY(a, struct options_mode, 2 * RECOMPUTE_N);
    for (int r = 0; r < RECOMPUTE_N; r++)
        for (int s = 0; s < 2; s++) {
            if (!c->recompute[r] || !c->sequence_parallel[s]) continue;
            struct options_mode *x = &(*mode)[n++];
            x->o = (struct plan_options){.recompute = (enum recompute)r,
                                         .sequence_parallel = s,
                                         .context_parallel = c->context_parallel};
            x->model = model_with(m, &x->o, x->again, a);
        }
    return n;
}

/* ---- profiles ----------------------------------------------------------------------- */

bool inputs_profile_serves(const struct profile *p, const struct plan_options *o) {
    return p->recompute == o->recompute && p->sequence_parallel == o->sequence_parallel &&
           (p->context_parallel > 1 ? p->context_parallel : 1) == context_groups(o);
}

const struct profile *inputs_profile_recomputed(const struct profile *p, const struct model *m,
                                                const struct plan_options *o, struct arena *a) {
    bool full = o->recompute == RECOMPUTE_FULL && p->recompute == RECOMPUTE_NONE;
    if (!full || p->sequence_parallel != o->sequence_parallel || context_groups(o) > 1) return NULL;
    struct profile *q = ARENA_NEW(a, struct profile);
    struct layer_times *t = ARENA_ARRAY(a, struct layer_times, (size_t)p->n_mb * TP_N);
    *q = *p;
    q->recompute = o->recompute;
    q->times = t;
    q->memory = inputs_memory_recomputed(p->memory, m, last_block(m), a);
    for (int i = 0; i < p->n_mb * TP_N; i++) {
        t[i] = p->times[i];
        if (!t[i].fwd_s) continue;
        double *backward = ARENA_ARRAY(a, double, m->n_layer);
        memcpy(backward, t[i].bwd_s, sizeof *backward * (size_t)m->n_layer);
        for (int l = 1; l <= last_block(m); l++) backward[l] += t[i].fwd_s[l];
        t[i].bwd_s = backward;
    }
    return q;
}

int inputs_no_profile_for(const struct json_at *root, const struct profile *p, const struct plan_options *o,
                          struct err *e) {
    struct json_at recompute = json_member(root, "recompute"),
                   sequence = json_member(root, "sequence_parallel");
    bool by_recompute = p->recompute != o->recompute;
    if (context_groups(o) > 1 || p->context_parallel > 1) {
        struct json_at context = json_member(root, "context_parallel");
        return json_fail(&context, e,
                         "the profile of %s on %s is for context_parallel %d; expected that of the plan, or "
                         "a GPU type and a model that can be estimated from a data sheet",
                         p->model, p->gpu, p->context_parallel > 1 ? p->context_parallel : 1);
    }
    return json_fail(by_recompute ? &recompute : &sequence, e,
                     "the profile of %s on %s was measured with recompute %s%s; expected one with \"%s\": "
                     "%s, or a GPU type and a model that can be estimated from a data sheet",
                     p->model, p->gpu, recompute_name[p->recompute],
                     p->sequence_parallel ? " and sequence_parallel" : "",
                     by_recompute ? "recompute" : "sequence_parallel",
                     by_recompute           ? recompute_name[o->recompute]
                     : o->sequence_parallel ? "true"
                                            : "false");
}

/* ---- workloads ---------------------------------------------------------------------- */

static struct workload with_options(const struct workload *w, const struct options_mode *mode, int zero,
                                    struct arena *a) {
    struct workload x = *w;
    x.options = mode->o;
    x.options.zero = zero;
    x.altered = zero || mode->model != w->model;
    x.model = mode->model;
    x.profile = mode->profile;
    x.shared_bytes_per_param = zero ? inputs_shared_bytes(w) : 0;
    memcpy(x.again, mode->again, sizeof x.again);
    inputs_set_memory(&x, a);
    return x;
}

void inputs_set_options(struct workload *w, const struct option_choices *c, const struct options_mode *mode,
                        int n_mode, struct arena *a) {
    struct workload *v = ARENA_ARRAY(a, struct workload, 2 * n_mode), base = *w;
    int n = 0;
    for (int k = 0; k < n_mode; k++)
        for (int zero = 0; zero < 2; zero++)
            if (c->zero[zero]) v[n++] = with_options(&base, &mode[k], zero, a);
    *w = v[0];
    if (n < 2) return;
    w->n_variant = n;
    w->variant = v;
}
