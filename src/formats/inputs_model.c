#include "formats/inputs_priv.h"
#include "formats/shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Models and their profiles. */

/* ---- models ---- */

int inputs_degree(const struct json_at *at, int *ti, struct err *e) {
    const char *k = at->key;
    *ti = k && strlen(k) == 1 ? tp_index(k[0] - '0') : -1;
    return *ti >= 0
               ? 0
               : json_fail(at, e, "unknown tensor-parallel degree; expected \"1\", \"2\", \"4\" or \"8\"");
}

int inputs_by_degree(const struct json_at *at, int (*read)(void *, const struct json_at *, int, struct err *),
                     void *ctx, struct err *e) {
    int i = 0, ti;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, e, "not an object; expected one with the sizes per degree");
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_key_ignored(x->string)) continue;
        if (inputs_degree(&here, &ti, e) || read(ctx, &here, ti, e)) return -1;
    }
    return 0;
}

struct model_reader {
    struct model *m;
    struct arena *a;
};

static int read_sizes(void *ctx, const struct json_at *at, int ti, struct err *e) {
    static const char *const keys[] = {"params", "act_mem", NULL};
    struct model_reader *r = ctx;
    struct json_at params = json_member(at, "params"), act = json_member(at, "act_mem");
    if (json_object(at, keys, e)) return -1;
    if (!(r->m->params[ti] = json_reals(&params, r->m->n_layer, 0, 1e15, r->a, e))) return -1;
    return (r->m->act_mem[ti] = json_reals(&act, r->m->n_layer, 0, 1e15, r->a, e)) ? 0 : -1;
}

static int read_memory(const struct json_at *at, struct model *m, struct arena *a, struct err *e) {
    static const char *const keys[] = {"act_out", "tp", NULL};
    struct model_reader r = {m, a};
    if (json_object(at, keys, e)) return -1;
    struct json_at act_out = json_member(at, "act_out"), tps = json_member(at, "tp");
    if (!(m->act_out = json_reals(&act_out, m->n_layer, 0, 1e15, a, e))) return -1;
    if (inputs_by_degree(&tps, read_sizes, &r, e)) return -1;
    if (!m->params[0])
        return json_fail(&tps, e, "no degree \"1\"; expected it (gradients and egress are counted with it)");
    return 0;
}

static int number_in(const cJSON *object, const char *key, int otherwise) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(object, key);
    bool usable = cJSON_IsNumber(x) && x->valuedouble >= 1 && x->valuedouble <= 1e9;
    return usable ? (int)x->valuedouble : otherwise;
}

/* Operations per sequence, from the shape. If the file has none, from the architecture, if that agrees with
 * the sizes of the layers; else from the sizes, counting every parameter after the embedding as an element of
 * a matrix. */
static double flops_of(const struct model *m, const cJSON *architecture) {
    if (m->shape) {
        const struct transformer *x = &m->shape->transformer;
        return x->layers * block_flops(x) + head_flops(x);
    }
    double s = m->sequence_length, params = 0;
    for (int l = 1; l < m->n_layer; l++) params += m->params[0][l];
    double by_sizes = 3 * (2 * s * params + m->n_block * 4 * s * s * m->hidden_size);
    int heads = number_in(architecture, "heads", m->heads);
    const struct transformer x = {.hidden = m->hidden_size,
                                  .ffn = number_in(architecture, "ffn_size", 0),
                                  .heads = heads,
                                  .kv_heads = number_in(architecture, "kv_heads", heads),
                                  .head_size = m->hidden_size / heads,
                                  .vocabulary = number_in(architecture, "vocabulary", m->vocabulary),
                                  .sequence = m->sequence_length};
    double by_architecture = m->n_block * block_flops(&x) + head_flops(&x);
    return fabs(by_architecture - by_sizes) <= 0.02 * by_sizes ? by_architecture : by_sizes;
}

/* A model without a shape says it in words: "final norm and the embedding", or "tied". */
static bool says_tied(const cJSON *architecture) {
    const cJSON *head = cJSON_GetObjectItemCaseSensitive(architecture, "head");
    const char *words = cJSON_IsString(head) ? head->valuestring : "";
    return strstr(words, "the embedding") || (strstr(words, "tied") && !strstr(words, "untied"));
}

/* A head that is as large as the matrix counts it already. */
static void tie_head(struct model *m, const cJSON *architecture) {
    const struct transformer words = {.vocabulary = m->vocabulary, .hidden = m->hidden_size, .tied = true},
                             *x = m->shape ? &m->shape->transformer : &words;
    m->tied_head = m->shape ? x->tied : says_tied(architecture);
    for (int ti = 0; ti < TP_N && m->tied_head; ti++) {
        if (!m->params[ti]) continue;
        double matrix = fmin(tied_params(x, 1 << ti), m->params[ti][0]);
        if (m->params[ti][m->n_layer - 1] < matrix) m->tied_copy[ti] = matrix;
    }
}

int inputs_model(const struct json_at *at, const char *name, const char *stem, struct model *m,
                 struct arena *a, struct err *e) {
    static const char *const keys[] = {
        "format",       "num_layers", "num_blocks", "hidden_size", "sequence_length", "heads", "vocabulary",
        "architecture", "as_built",   "memory",     "transformer", "stands_for",      NULL};
    struct json_at type = json_member(at, "model_type");
    if (type.node && !json_member(at, "format").node)
        return json_fail(&type, e,
                         "a config.json of Hugging Face; expected a file that sailor model made of it, "
                         "\"sailor-model/1\"");
    if (json_document(at, keys, "sailor-model/1", e)) return -1;
    struct json_at own = json_member(at, "name"), source = json_member(at, "source"),
                   build_of = json_member(at, "stands_for");
    m->name = arena_strdup(a, stem);
    if (own.node && json_string(&own, &m->name, a, e)) return -1;
    if (name && strcmp(name, m->name) != 0)
        return json_fail(&own, e, "\"%.60s\"; expected \"%.60s\", the name of the file", m->name, name);
    if (source.node && json_string(&source, &m->source, a, e)) return -1;
    if (build_of.node && json_string(&build_of, &m->stands_for, a, e)) return -1;
    m->place = json_path(at, &m->file, a);
    struct {
        const char *key;
        int lo, hi, *out;
    } sizes[] = {{"num_layers", 1, LAYERS_MAX, &m->n_layer},
                 {"num_blocks", 1, LAYERS_MAX, &m->n_block},
                 {"hidden_size", 1, 10000000, &m->hidden_size},
                 {"sequence_length", 1, 100000000, &m->sequence_length},
                 {"heads", 1, 1000000, &m->heads},
                 {"vocabulary", 1, 1000000000, &m->vocabulary}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct json_at here = json_member(at, sizes[i].key);
        if (json_int(&here, sizes[i].lo, sizes[i].hi, sizes[i].out, e)) return -1;
    }
    struct json_at blocks = json_member(at, "num_blocks"), memory = json_member(at, "memory");
    if (m->n_block > m->n_layer)
        return json_fail(&blocks, e, "%d; expected at most num_layers, %d", m->n_block, m->n_layer);
    for (int i = 0; i < 2; i++) { /* people and the trainer read these: the planner checks only the type */
        struct json_at free_form = json_member(at, i ? "as_built" : "architecture");
        if (free_form.node && !cJSON_IsObject(free_form.node))
            return json_fail(&free_form, e, "not an object; expected one");
    }
    const cJSON *built = cJSON_GetObjectItemCaseSensitive(at->node, "architecture");
    if (built) m->architecture = json_text(built, a);
    struct json_at shape = json_member(at, "transformer");
    if (shape.node) {
        struct model_shape *made = ARENA_NEW(a, struct model_shape);
        if (shape_read(&shape, m->sequence_length, made, e)) return -1;
        m->shape = made;
    }
    if (read_memory(&memory, m, a, e)) return -1;
    m->flops = flops_of(m, built);
    tie_head(m, built);
    return 0;
}

/* ---- profiles ---- */

/* A spread is the distance between quartiles: this many standard deviations of a normal distribution. */
static const double QUARTILES = 1.349;

struct profile_row {
    int micro_batch, ti, index;
    struct layer_times times;
    double sum_s, spread_s; /* over all layers */
};

static int by_micro_batch(const void *x, const void *y) {
    const struct profile_row *a = x, *b = y;
    if (a->micro_batch != b->micro_batch) return a->micro_batch < b->micro_batch ? -1 : 1;
    return a->ti - b->ti;
}

/* Spreads of layers add up: what slows one of them down (a clock, a neighbour) slows them all. */
static int read_spread(const struct json_at *at, int n_layer, struct profile_row *row, struct arena *a,
                       struct err *e) {
    struct json_at given[2] = {json_member(at, "forward_spread_s"), json_member(at, "backward_spread_s")};
    const double *time_s[2] = {row->times.fwd_s, row->times.bwd_s};
    for (int i = 0; i < 2; i++) {
        const double *one_s = given[i].node ? json_reals(&given[i], n_layer, 0, 1e6, a, e) : NULL;
        if (given[i].node && !one_s) return -1;
        for (int l = 0; l < n_layer; l++) {
            row->sum_s += time_s[i][l];
            row->spread_s += one_s ? one_s[l] : 0;
        }
    }
    return 0;
}

static int read_profile_row(const struct json_at *at, int n_layer, struct profile_row *row, struct arena *a,
                            struct err *e) {
    static const char *const keys[] = {"micro_batch_size",
                                       "tp",
                                       "forward_s",
                                       "backward_s",
                                       "update_s",
                                       "forward_spread_s",
                                       "backward_spread_s",
                                       "update_spread_s",
                                       NULL};
    if (json_object(at, keys, e)) return -1;
    struct json_at mb = json_member(at, "micro_batch_size"), tp = json_member(at, "tp");
    struct json_at fwd = json_member(at, "forward_s"), bwd = json_member(at, "backward_s"),
                   upd = json_member(at, "update_s");
    int degree;
    if (json_int(&mb, 1, MICRO_BATCH_MAX, &row->micro_batch, e) || json_int(&tp, 1, TP_MAX, &degree, e))
        return -1;
    if ((row->ti = tp_index(degree)) < 0) return json_fail(&tp, e, "%d; expected 1, 2, 4 or 8", degree);
    if (!(row->times.fwd_s = json_reals(&fwd, n_layer, 0, 1e6, a, e))) return -1;
    if (!(row->times.bwd_s = json_reals(&bwd, n_layer, 0, 1e6, a, e))) return -1;
    if (read_spread(at, n_layer, row, a, e)) return -1;
    row->times.update_by_layer = cJSON_IsArray(upd.node);
    if (row->times.update_by_layer)
        return (row->times.update_s = json_reals(&upd, n_layer, 0, 1e6, a, e)) ? 0 : -1;
    double one, *all = ARENA_ARRAY(a, double, n_layer);
    if (json_real(&upd, 0, 1e6, &one, e)) return -1;
    for (int l = 0; l < n_layer; l++) all[l] = one;
    row->times.update_s = all;
    return 0;
}

int inputs_profile(const struct json_at *at, const struct model *m, struct profile *p, struct arena *a,
                   struct err *e) {
    static const char *const keys[] = {
        "format",           "model",     "gpu",    "dtype", "recompute", "sequence_parallel",
        "context_parallel", "estimated", "memory", "times", NULL};
    int n, i = 0, dtype;
    double sum_s = 0, spread_s = 0;
    if (json_document(at, keys, "sailor-profile/1", e)) return -1;
    struct json_at model = json_member(at, "model"), gpu = json_member(at, "gpu"),
                   times = json_member(at, "times");
    struct json_at source = json_member(at, "source"), in = json_member(at, "dtype"),
                   guess = json_member(at, "estimated");
    struct json_at again = json_member(at, "recompute"), sequence = json_member(at, "sequence_parallel"),
                   context = json_member(at, "context_parallel"), memory = json_member(at, "memory");
    struct plan_options own = inputs_own_options(m);
    int mode = (int)own.recompute;
    p->sequence_parallel = own.sequence_parallel;
    if (again.node && json_name(&again, recompute_name, RECOMPUTE_N, "a mode", &mode, e)) return -1;
    if (sequence.node && json_bool(&sequence, &p->sequence_parallel, e)) return -1;
    if (context.node && json_int(&context, 1, TP_MAX, &p->context_parallel, e)) return -1;
    p->recompute = (enum recompute)mode;
    if (guess.node && json_bool(&guess, &p->estimated, e)) return -1;
    if (in.node && json_name(&in, inputs_dtypes, DTYPES, "an element type", &dtype, e)) return -1;
    if (in.node) p->dtype = inputs_dtypes[dtype];
    if (json_string(&model, &p->model, a, e) || json_string(&gpu, &p->gpu, a, e)) return -1;
    if (source.node && json_string(&source, &p->source, a, e)) return -1;
    if (strcmp(p->model, m->name) != 0)
        return json_fail(&model, e, "\"%.60s\"; expected \"%.60s\", the model it was looked up for", p->model,
                         m->name);
    if (memory.node && inputs_rank_memory(&memory, m, &p->memory, a, e)) return -1;
    if (json_array(&times, 1, 10000, &n, e)) return -1;
    struct profile_row *row = ARENA_ARRAY(a, struct profile_row, n);
    for (const cJSON *x = times.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&times, i, x);
        row[i].index = i;
        if (read_profile_row(&here, m->n_layer, &row[i], a, e)) return -1;
    }
    qsort(row, (size_t)n, sizeof *row, by_micro_batch);
    int *mb = ARENA_ARRAY(a, int, n);
    struct layer_times *t = ARENA_ARRAY(a, struct layer_times, (size_t)n * TP_N);
    for (i = 0; i < n; i++) {
        if (i && by_micro_batch(&row[i - 1], &row[i]) == 0) {
            struct json_at twice = {
                .up = &times, .index = row[i].index > row[i - 1].index ? row[i].index : row[i - 1].index};
            return json_fail(&twice, e, "microbatch %d at tp %d appears twice; expected it once",
                             row[i].micro_batch, 1 << row[i].ti);
        }
        if (!i || row[i - 1].micro_batch != row[i].micro_batch) mb[p->n_mb++] = row[i].micro_batch;
        t[(p->n_mb - 1) * TP_N + row[i].ti] = row[i].times;
        sum_s += row[i].sum_s;
        spread_s += row[i].spread_s;
    }
    p->mb = mb;
    p->times = t;
    p->spread = sum_s > 0 ? spread_s / sum_s / QUARTILES : 0;
    return 0;
}
