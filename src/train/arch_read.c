#include "io/json.h"
#include "sim/sheet.h"
#include "train/arch.h"

#include <stdio.h>
#include <string.h>

/* Reads what a model file says about its parts; the rest is as in GPT. If the file also has the object
 * "transformer", which the planner uses, that wins for keys in both. */

static const char *const keys[] = {
    "family",       "activation",       "ffn_size", "norm",       "norm_first", "norm_epsilon",
    "positions",    "position_offset",  "heads",    "kv_heads",   "head_size",  "attention_scaled",
    "biases_added", "window",           "head",     "vocabulary", "dropout",    "rope_theta",
    "rope_scaling", "window_of_blocks", NULL};

/* Other families have parts that are not built here, and would be built without them. */
static const char *const families[] = {"gpt", "gpt2", "gpt_neo", "opt", "llama", "mistral", "qwen2"};
static const char *const activations[] = {"relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "swiglu", "silu"};
static const char *const norms[] = {"layernorm", "rmsnorm"};
static const char *const positions[] = {"learned", "rotary"};
static const char *const biases[] = {"all", "none", "qkv only", "all but qkv"};
static const char *const heads_built[] = {"final norm and a matrix of its own",
                                          "final norm and the embedding"};
static const char *const windows[] = {"all", "odd"};
#define COUNT(names) (int)(sizeof(names) / sizeof *(names))

static int one_of(const struct json_at *at, const char *key, const char *const *names, int n, int *out,
                  struct err *e) {
    struct json_at here = json_member(at, key);
    return here.node ? json_name(&here, names, n, "what is built", out, e) : 0;
}

static int number(const struct json_at *at, const char *key, int lo, int hi, int *out, struct err *e) {
    struct json_at here = json_member(at, key);
    return here.node ? json_int(&here, lo, hi, out, e) : 0;
}

static int real(const struct json_at *at, const char *key, double lo, double hi, double *out, struct err *e) {
    struct json_at here = json_member(at, key);
    return here.node ? json_real(&here, lo, hi, out, e) : 0;
}

/* This part is always built, so the key cannot be false. */
static int must_be_true(const struct json_at *at, const char *key, struct err *e) {
    struct json_at here = json_member(at, key);
    if (!here.node || cJSON_IsTrue(here.node)) return 0;
    return json_fail(&here, e, "is not supported; expected true");
}

static int read_scaling(const struct json_at *at, struct rotary *r, struct err *e) {
    static const char *const known[] = {"rope_type",
                                        "type",
                                        "factor",
                                        "low_freq_factor",
                                        "high_freq_factor",
                                        "original_max_position_embeddings",
                                        NULL};
    static const char *const types[] = {"llama3"};
    struct json_at factor = json_member(at, "factor"), low = json_member(at, "low_freq_factor"),
                   high = json_member(at, "high_freq_factor"),
                   original = json_member(at, "original_max_position_embeddings");
    int type;
    if (json_object(at, known, e) || one_of(at, "rope_type", types, 1, &type, e)) return -1;
    if (one_of(at, "type", types, 1, &type, e)) return -1;
    if (json_real(&factor, 1, 1e6, &r->factor, e) || json_real(&low, 1e-6, 1e6, &r->low, e)) return -1;
    if (json_real(&high, 1e-6, 1e6, &r->high, e) || json_real(&original, 1, 1e9, &r->original, e)) return -1;
    if (r->high > r->low) return 0;
    return json_fail(&high, e, "%g; expected more than low_freq_factor, %g", r->high, r->low);
}

static int read_attention(const struct json_at *at, struct arch *a, struct err *e) {
    struct json_at scaled = json_member(at, "attention_scaled"), scaling = json_member(at, "rope_scaling"),
                   kv = json_member(at, "kv_heads");
    int of_blocks = 0;
    bool is_scaled = true;
    if (number(at, "heads", 1, 1000000, &a->heads, e)) return -1;
    a->kv_heads = a->heads;
    if (number(at, "kv_heads", 1, a->heads, &a->kv_heads, e)) return -1;
    if (a->heads % a->kv_heads)
        return json_fail(&kv, e, "%d; expected a divisor of the %d heads", a->kv_heads, a->heads);
    if (number(at, "head_size", 1, 1000000, &a->head_size, e)) return -1;
    if (scaled.node && json_bool(&scaled, &is_scaled, e)) return -1;
    a->unscaled = !is_scaled;
    if (number(at, "window", 1, 100000000, &a->window, e)) return -1;
    if (one_of(at, "window_of_blocks", windows, COUNT(windows), &of_blocks, e)) return -1;
    a->window_odd = of_blocks;
    a->turn.theta = 10000;
    if (real(at, "rope_theta", 1, 1e12, &a->turn.theta, e)) return -1;
    return scaling.node && !json_null(&scaling) ? read_scaling(&scaling, &a->turn, e) : 0;
}

static int read_parts(const struct json_at *at, struct arch *a, struct err *e) {
    struct json_at family = json_member(at, "family"), ffn = json_member(at, "ffn_size"),
                   activation = json_member(at, "activation");
    int kind, norm = 0, where = 0, bias = 0, head = 0;
    double rate = 0;
    if (json_object(at, keys, e)) return -1;
    if (!family.node) return json_fail(&family, e, "missing; expected \"gpt\", or another family");
    if (json_name(&family, families, COUNT(families), "a family that is built", &kind, e)) return -1;
    snprintf(a->family, sizeof a->family, "%s", families[kind]);
    if (json_name(&activation, activations, COUNT(activations), "an activation that is built", &kind, e))
        return -1;
    a->activation = kind == 0 ? ACTIVATION_RELU : kind < 4 ? ACTIVATION_GELU : ACTIVATION_SWIGLU;
    if (json_int(&ffn, 1, 10000000, &a->ffn, e) || read_attention(at, a, e)) return -1;
    if (number(at, "vocabulary", 1, 1000000000, &a->vocabulary, e)) return -1;
    if (one_of(at, "norm", norms, COUNT(norms), &norm, e)) return -1;
    if (one_of(at, "positions", positions, COUNT(positions), &where, e)) return -1;
    if (one_of(at, "biases_added", biases, COUNT(biases), &bias, e)) return -1;
    if (one_of(at, "head", heads_built, COUNT(heads_built), &head, e)) return -1;
    if (must_be_true(at, "norm_first", e)) return -1;
    a->norm_epsilon = 1e-5;
    if (real(at, "norm_epsilon", 0, 1, &a->norm_epsilon, e)) return -1;
    if (number(at, "position_offset", 0, 1000000, &a->position_first, e)) return -1;
    a->rms_norm = norm;
    a->rotary = where;
    a->tied = head;
    a->qkv_biases = bias == 0 || bias == 2;
    a->out_biases = a->ffn_biases = bias == 0 || bias == 3;
    return real(at, "dropout", 0, 0, &rate, e);
}

static int refuse(const struct json_at *shape, const char *key, struct err *e) {
    struct json_at here = json_member(shape, key);
    return json_fail(&here, e, "is not supported; expected a model without it");
}

/* The planner's view of the same model. */
static int read_shape(struct arch *a, const struct model *m, const struct json_at *at, struct err *e) {
    const struct transformer *x = &m->shape->transformer;
    struct json_at shape = json_member(at, "transformer"), arch = json_member(at, "architecture"),
                   activation = json_member(&arch, "activation");
    if (x->experts) return refuse(&shape, "experts", e);
    if (x->embedding_size && x->embedding_size != a->hidden) return refuse(&shape, "embedding_size", e);
    if (x->qk_norm) return refuse(&shape, "qk_norm", e);
    if (x->one_norm) return refuse(&shape, "one_norm", e);
    if (x->no_final_norm) return refuse(&shape, "no_final_norm", e);
    if (x->head_bias) return refuse(&shape, "head_bias", e);
    if (x->gated != (a->activation == ACTIVATION_SWIGLU))
        return json_fail(&activation, e,
                         "expected \"silu\" with /transformer/gated, and another one without");
    if (x->heads != a->heads || x->kv_heads != a->kv_heads || x->ffn != a->ffn)
        return json_fail(&shape, e, "%d heads, %d kv_heads, ffn %d; expected %d, %d, %d as in /architecture",
                         x->heads, x->kv_heads, x->ffn, a->heads, a->kv_heads, a->ffn);
    a->head_size = x->head_size;
    a->rms_norm = x->rms_norm;
    a->tied = x->tied;
    a->qkv_biases = x->qkv_biases;
    a->out_biases = x->out_biases;
    a->ffn_biases = x->ffn_biases;
    if (x->positions) a->position_rows = x->positions;
    return 0;
}

static int check(struct arch *a, const struct json_at *at, struct err *e) {
    struct json_at layers = json_member(at, "num_layers"), hidden = json_member(at, "hidden_size"),
                   arch = json_member(at, "architecture"), rows = json_member(&arch, "positions");
    if (a->layers < a->blocks + 2)
        return json_fail(&layers, e, "%d layers and %d blocks; expected an embedding, the blocks and a head",
                         a->layers, a->blocks);
    if (!a->head_size && a->hidden % a->heads)
        return json_fail(&hidden, e, "%d, and %d heads; expected a multiple", a->hidden, a->heads);
    if (!a->head_size) a->head_size = a->hidden / a->heads;
    if (a->rotary && a->head_size % 2)
        return json_fail(&rows, e, "heads of size %d; expected an even one for rotary positions",
                         a->head_size);
    if (a->rotary) {
        a->position_rows = a->position_first = 0;
        return 0;
    }
    int least = a->position_first + a->sequence;
    if (!a->position_rows) a->position_rows = least;
    if (a->position_rows >= least) return 0;
    return json_fail(&rows, e, "%d positions; expected at least %d for sequences of %d", a->position_rows,
                     least, a->sequence);
}

int arch_read(struct arch *a, const struct model *m, struct err *e) {
    char name[80];
    snprintf(name, sizeof name, "model %.60s", m->name);
    struct json_at at = json_part(m->file ? m->file : name, m->place ? m->place : "", NULL),
                   parts = json_member(&at, "architecture");
    *a = (struct arch){.layers = m->n_layer,
                       .blocks = m->n_block,
                       .hidden = m->hidden_size,
                       .sequence = m->sequence_length,
                       .heads = m->heads,
                       .vocabulary = m->vocabulary};
    if (!m->architecture) return json_fail(&parts, e, "missing; expected an object that says what to build");
    cJSON *tree = json_parse(at.file, m->architecture, strlen(m->architecture), e);
    if (!tree) return -1;
    parts.node = tree;
    int rc = read_parts(&parts, a, e);
    cJSON_Delete(tree);
    if (rc || (m->shape && read_shape(a, m, &at, e))) return -1;
    return check(a, &at, e);
}
