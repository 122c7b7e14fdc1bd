#include "formats/shape.h"

#include <math.h>
#include <string.h>

enum { MICRO_BATCH_LARGEST = 64 };

/* ---- reading ------------------------------------------------------------------------ */

int shape_read(const struct json_at *at, int sequence, struct model_shape *s, struct err *e) {
    static const char *const attention[] = {"flash", "scores"};
    *s = (struct model_shape){.transformer.sequence = sequence};
    struct transformer *x = &s->transformer;
    const struct {
        const char *key;
        int lo, hi, *out;
    } sizes[] = {{"layers", 1, LAYERS_MAX, &x->layers},
                 {"hidden", 1, 10000000, &x->hidden},
                 {"ffn", 1, 100000000, &x->ffn},
                 {"heads", 1, 1000000, &x->heads},
                 {"kv_heads", 1, 1000000, &x->kv_heads},
                 {"head_size", 1, 1000000, &x->head_size},
                 {"vocabulary", 1, 1000000000, &x->vocabulary}},
      extras[] = {{"positions", 0, 100000000, &x->positions},
                  {"embedding_size", 0, 10000000, &x->embedding_size},
                  {"experts", 0, 100000, &x->experts},
                  {"active_experts", 0, 100000, &x->active_experts}};
    const struct {
        const char *key;
        bool *out;
    } flags[] = {{"gated", &x->gated},
                 {"tied", &x->tied},
                 {"qkv_biases", &x->qkv_biases},
                 {"out_biases", &x->out_biases},
                 {"ffn_biases", &x->ffn_biases},
                 {"head_bias", &x->head_bias},
                 {"rms_norm", &x->rms_norm},
                 {"qk_norm", &x->qk_norm},
                 {"one_norm", &x->one_norm},
                 {"no_final_norm", &x->no_final_norm},
                 {"sequence_parallel", &s->sequence_parallel}};
    const char *keys[32];
    int n = 0, kept = 0, recompute = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) keys[n++] = sizes[i].key;
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) keys[n++] = extras[i].key;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) keys[n++] = flags[i].key;
    keys[n++] = "attention";
    keys[n++] = "recompute";
    keys[n] = NULL;
    if (json_object(at, keys, e)) return -1;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct json_at one = json_member(at, sizes[i].key);
        if (json_int(&one, sizes[i].lo, sizes[i].hi, sizes[i].out, e)) return -1;
    }
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        struct json_at one = json_member(at, extras[i].key);
        if (one.node && json_int(&one, extras[i].lo, extras[i].hi, extras[i].out, e)) return -1;
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct json_at one = json_member(at, flags[i].key);
        if (one.node && json_bool(&one, flags[i].out, e)) return -1;
    }
    struct json_at how = json_member(at, "attention"), again = json_member(at, "recompute");
    if (how.node && json_name(&how, attention, 2, "a kind of attention", &kept, e)) return -1;
    if (again.node && json_name(&again, recompute_name, RECOMPUTE_N, "a mode", &recompute, e)) return -1;
    s->keeps_scores = kept == 1;
    s->recompute = (enum recompute)recompute;
    return 0;
}

/* ---- sizes -------------------------------------------------------------------------- */

bool shape_takes_tp(const struct transformer *x, int tp) {
    bool heads = x->heads % tp == 0 && x->ffn % tp == 0;
    return heads && (x->kv_heads % tp == 0 || tp % x->kv_heads == 0);
}

double shape_params(const struct transformer *x) {
    return embedding_params(x, 1) + x->layers * block_params(x, 1) + head_params(x, 1);
}

double shape_active_params(const struct transformer *x) {
    if (!x->experts) return shape_params(x);
    struct transformer idle = *x;
    double one;
    idle.experts = 1;
    one = block_params(&idle, 1);
    idle.experts = 2;
    one = block_params(&idle, 1) - one - x->hidden; /* an expert, without its row in the router */
    return shape_params(x) - x->layers * (x->experts - x->active_experts) * one;
}

static struct framework kept_by(const struct model_shape *s) {
    return (struct framework){.flash_attention = !s->keeps_scores};
}

static struct shard shard_of(const struct model_shape *s, enum recompute recompute, int tp) {
    return (struct shard){.tp = tp,
                          .cp = 1,
                          .sequence_parallel = s->sequence_parallel && tp > 1,
                          .recompute = recompute,
                          .element = ELEMENT_BF16,
                          .micro_batch = 1,
                          .gpus_per_node = TP_MAX};
}

double shape_kept(const struct model_shape *s, enum recompute recompute, int tp) {
    struct framework f = kept_by(s);
    struct shard shard = shard_of(s, recompute, tp);
    return block_kept_bytes(&f, &s->transformer, &shard) / 2;
}

/* What the final norm, the output matrix and the loss keep: their inputs, and the logits twice, as they are
 * and in fp32, which counts as two 16-bit elements. */
static double head_kept(const struct transformer *x, int tp) {
    return x->sequence * (2.0 * x->hidden + 3 * ceil((double)x->vocabulary / tp));
}

/* ---- model files -------------------------------------------------------------------- */

static void add_numbers(struct text *t, double first, double middle, int n_middle, double last) {
    text_add(t, "[");
    text_number(t, first);
    for (int i = 0; i < n_middle; i++) {
        text_add(t, ", ");
        text_number(t, middle);
    }
    text_add(t, ", ");
    text_number(t, last);
    text_add(t, "]");
}

static void add_shape(struct text *t, const struct model_shape *s) {
    const struct transformer *x = &s->transformer;
    const struct {
        const char *key;
        int value;
    } more[] = {{"positions", x->positions},
                {"embedding_size", x->embedding_size},
                {"experts", x->experts},
                {"active_experts", x->active_experts}},
      flags[] = {{"gated", x->gated},
                 {"tied", x->tied},
                 {"qkv_biases", x->qkv_biases},
                 {"out_biases", x->out_biases},
                 {"ffn_biases", x->ffn_biases},
                 {"head_bias", x->head_bias},
                 {"rms_norm", x->rms_norm},
                 {"qk_norm", x->qk_norm},
                 {"one_norm", x->one_norm},
                 {"no_final_norm", x->no_final_norm},
                 {"sequence_parallel", s->sequence_parallel}};
    text_add(t, "  \"transformer\": {\n    \"layers\": %d, \"hidden\": %d, \"ffn\": %d, \"heads\": %d, ",
             x->layers, x->hidden, x->ffn, x->heads);
    text_add(t, "\"kv_heads\": %d, \"head_size\": %d, \"vocabulary\": %d", x->kv_heads, x->head_size,
             x->vocabulary);
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (more[i].value) text_add(t, ", \"%s\": %d", more[i].key, more[i].value);
    text_add(t, ",\n    ");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (flags[i].value) text_add(t, "\"%s\": true, ", flags[i].key);
    text_add(t, "\"attention\": \"%s\", \"recompute\": \"%s\"\n  },\n", s->keeps_scores ? "scores" : "flash",
             recompute_name[s->recompute]);
}

static void add_degree(struct text *t, const struct model_shape *s, int tp) {
    const struct transformer *x = &s->transformer;
    text_add(t, "      \"%d\": {\n        \"params\": ", tp);
    add_numbers(t, embedding_params(x, tp), block_params(x, tp), x->layers, head_params(x, tp));
    text_add(t, ",\n        \"act_mem\": ");
    add_numbers(t, x->sequence, shape_kept(s, s->recompute, tp), x->layers, head_kept(x, tp));
    text_add(t, "\n      }");
}

static void add_word(struct text *t, const char *key, double value) {
    text_add(t, ", \"%s\": ", key);
    text_number(t, value);
}

static const char *biases_of(const struct transformer *x) {
    bool others = x->out_biases && x->ffn_biases;
    if (x->qkv_biases) return others ? "all" : "qkv only";
    return others ? "all but qkv" : "none";
}

/* Leaves out what is as in GPT-2. */
static void add_words(struct text *t, const struct shape_words *w, const struct transformer *x) {
    if (w->norm_epsilon > 0) add_word(t, "norm_epsilon", w->norm_epsilon);
    if (x->head_size * x->heads != x->hidden) add_word(t, "head_size", x->head_size);
    if (w->position_offset) add_word(t, "position_offset", w->position_offset);
    if (w->unscaled) text_add(t, ", \"attention_scaled\": false");
    if (w->window) add_word(t, "window", w->window);
    if (w->window && w->window_of) text_add(t, ", \"window_of_blocks\": \"%s\"", w->window_of);
    if (w->rope_theta > 0) add_word(t, "rope_theta", w->rope_theta);
    if (!w->rope_type) return;
    text_add(t, ",\n    \"rope_scaling\": {\"rope_type\": ");
    text_string(t, w->rope_type);
    if (!strcmp(w->rope_type, "llama3")) {
        add_word(t, "factor", w->rope_factor);
        add_word(t, "low_freq_factor", w->rope_low);
        add_word(t, "high_freq_factor", w->rope_high);
        add_word(t, "original_max_position_embeddings", w->rope_original);
    }
    text_add(t, "}");
}

void shape_write_model(struct text *t, const char *name, const struct shape_words *words, const char *source,
                       const struct model_shape *s) {
    const struct transformer *x = &s->transformer;
    double out = (double)x->sequence * x->hidden;
    text_add(t, "{\n  \"format\": \"sailor-model/1\",\n  \"name\": ");
    text_string(t, name);
    text_add(t, ",\n  \"source\": ");
    text_string(t, source);
    text_add(t, ",\n  \"num_layers\": %d,\n  \"num_blocks\": %d,\n  \"hidden_size\": %d,\n", x->layers + 2,
             x->layers, x->hidden);
    text_add(t, "  \"sequence_length\": %d,\n  \"heads\": %d,\n  \"vocabulary\": %d,\n", x->sequence,
             x->heads, x->vocabulary);
    add_shape(t, s);
    text_add(t, "  \"architecture\": {\n    \"family\": ");
    text_string(t, words->family);
    text_add(t, ", \"activation\": ");
    text_string(t, words->activation);
    text_add(t, ", \"ffn_size\": %d, \"norm\": \"%s\", \"positions\": \"%s\", \"biases_added\": \"%s\", ",
             x->ffn, x->rms_norm ? "rmsnorm" : "layernorm", x->positions ? "learned" : "rotary",
             biases_of(x));
    text_add(t, "\"kv_heads\": %d, \"head\": \"%s\"", x->kv_heads,
             x->tied ? "final norm and the embedding" : "final norm and a matrix of its own");
    add_words(t, words, x);
    text_add(t, "\n  },\n");
    text_add(t, "  \"memory\": {\n    \"act_out\": ");
    add_numbers(t, out, out, x->layers, out);
    text_add(t, ",\n    \"tp\": {\n");
    for (int tp = 1; tp <= TP_MAX; tp *= 2) {
        if (!shape_takes_tp(x, tp)) continue;
        if (tp > 1) text_add(t, ",\n");
        add_degree(t, s, tp);
    }
    text_add(t, "\n    }\n  }\n}\n");
}

/* ---- profiles ----------------------------------------------------------------------- */

/* The units that multiply this dtype; -1 if the GPU has none. */
static int element_of(const struct device *d, const char *dtype) {
    if (!strcmp(dtype, "fp32")) return isnan(d->peak_flops[ELEMENT_TF32]) ? ELEMENT_FP32 : ELEMENT_TF32;
    enum element t = !strcmp(dtype, "bf16") ? ELEMENT_BF16 : ELEMENT_FP16;
    return isnan(d->peak_flops[t]) ? -1 : (int)t;
}

/* The layers of a model file are the embedding, the blocks and the head; anything between the last block and
 * the head costs nothing. */
static void add_times(struct text *t, const char *key, const struct model *m, double first_s, double block_s,
                      double last_s) {
    text_add(t, "      \"%s\": [", key);
    for (int l = 0; l < m->n_layer; l++) {
        text_add(t, l ? ", " : "");
        text_number(t, l == 0 ? first_s : l <= m->n_block ? block_s : l == m->n_layer - 1 ? last_s : 0);
    }
    text_add(t, "]");
}

static void add_row(struct text *t, const struct model *m, const struct model_shape *shape,
                    const struct device *d, const struct framework *f, enum element element, int micro_batch,
                    int tp) {
    const struct transformer *x = &shape->transformer;
    struct shard s = shard_of(shape, shape->recompute, tp);
    struct pass forward[3], backward[3];
    double fw[3], bw[3], per_param_s = f->update_bytes / (d->memory_efficiency * d->memory_Bps);
    if (shape->context_parallel > 1) s.cp = shape->context_parallel;
    s.element = element;
    s.micro_batch = micro_batch;
    s.gpus_per_node = d->gpus_per_node;
    embedding_time(d, f, x, &s, &forward[0], &backward[0]);
    block_time(d, f, x, &s, &forward[1], &backward[1]);
    head_time(d, f, x, &s, &forward[2], &backward[2]);
    for (int i = 0; i < 3; i++) {
        fw[i] = pass_time_s(&forward[i], f);
        bw[i] = pass_time_s(&backward[i], f);
    }
    text_add(t, "    {\n      \"micro_batch_size\": %d,\n      \"tp\": %d,\n", micro_batch, tp);
    add_times(t, "forward_s", m, fw[0], fw[1], fw[2]);
    text_add(t, ",\n");
    add_times(t, "backward_s", m, bw[0], bw[1], bw[2]);
    text_add(t, ",\n");
    add_times(t, "update_s", m, per_param_s * embedding_params(x, tp), per_param_s * block_params(x, tp),
              per_param_s * head_params(x, tp));
    text_add(t, "\n    }");
}

int shape_write_profile(struct text *t, const struct model *m, const struct device *d,
                        const struct framework *f, const char *dtype, const struct plan_options *o,
                        struct err *e) {
    int element = element_of(d, dtype), rows = 0;
    struct model_shape shape = *m->shape;
    if (o) {
        shape.recompute = o->recompute;
        shape.sequence_parallel = o->sequence_parallel;
        shape.context_parallel = o->context_parallel;
    }
    if (element < 0)
        return err_set(e, EXIT_INPUT, "GPU %s has no units for %s; expected a type in which it can multiply",
                       d->name, dtype);
    text_add(t, "{\n  \"format\": \"sailor-profile/1\",\n  \"source\": ");
    text_add(t, "\"estimated from the data sheet, framework %s, products in %s; not measured\",\n", f->name,
             element_name[element]);
    text_add(t, "  \"model\": ");
    text_string(t, m->name);
    text_add(t, ",\n  \"gpu\": ");
    text_string(t, d->name);
    text_add(t, ",\n  \"dtype\": \"%s\",\n", dtype);
    if (shape.recompute != m->shape->recompute)
        text_add(t, "  \"recompute\": \"%s\",\n", recompute_name[shape.recompute]);
    if (shape.sequence_parallel != m->shape->sequence_parallel)
        text_add(t, "  \"sequence_parallel\": %s,\n", shape.sequence_parallel ? "true" : "false");
    if (shape.context_parallel > 1) text_add(t, "  \"context_parallel\": %d,\n", shape.context_parallel);
    text_add(t, "  \"estimated\": true,\n  \"times\": [\n");
    for (int mb = 1; mb <= MICRO_BATCH_LARGEST; mb *= 2)
        for (int ti = 0; ti < TP_N && 1 << ti <= d->gpus_per_node; ti++) {
            if (!m->params[ti] || !shape_takes_tp(&m->shape->transformer, 1 << ti)) continue;
            text_add(t, rows++ ? ",\n" : "");
            add_row(t, m, &shape, d, f, (enum element)element, mb, 1 << ti);
        }
    text_add(t, "\n  ]\n}\n");
    return 0;
}
