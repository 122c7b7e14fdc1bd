#include "train/arch.h"
#include "io/json.h"
#include "sim/sheet.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { VOCABULARY_PAD = 128 }; /* Megatron's: the vocabulary is padded to a multiple of 128 tp */

enum layer_kind arch_kind(const struct arch *a, int layer) {
    return layer == 0 ? LAYER_EMBEDDING : layer == a->layers - 1 ? LAYER_HEAD : LAYER_BLOCK;
}

int arch_tensors(enum layer_kind kind) {
    return kind == LAYER_EMBEDDING ? EMBEDDING_TENSORS : kind == LAYER_BLOCK ? BLOCK_TENSORS : HEAD_TENSORS;
}

/* GPT-2's initial values: deviation 0.02, products that add to the residual stream less, by their number. */
static void list_tensors(struct arch *a) {
    size_t H = (size_t)a->hidden, S = (size_t)a->sequence, V = (size_t)a->vocabulary, F = (size_t)a->ffn;
    size_t A = (size_t)a->heads;
    double std = 0.02, residual = std / sqrt(2.0 * a->blocks);
    struct tensor *t = a->tensor[LAYER_EMBEDDING];
    t[EMBEDDING_TOKENS] = (struct tensor){"tokens", V, H, VOCABULARY_PAD, true, true, 0, std};
    t[EMBEDDING_POSITIONS] = (struct tensor){"positions", S, H, 1, false, true, 0, std};
    t = a->tensor[LAYER_BLOCK];
    t[BLOCK_NORM1_GAIN] = (struct tensor){"norm1.gain", 1, H, 1, false, false, 1, 0};
    t[BLOCK_NORM1_BIAS] = (struct tensor){"norm1.bias", 1, H, 1, false, false, 0, 0};
    t[BLOCK_QKV] = (struct tensor){"qkv.weight", A, 3 * H / A * H, 1, true, true, 0, std};
    t[BLOCK_QKV_BIAS] = (struct tensor){"qkv.bias", A, 3 * H / A, 1, true, false, 0, 0};
    t[BLOCK_OUT] = (struct tensor){"out.weight", A, H / A * H, 1, true, true, 0, residual};
    t[BLOCK_OUT_BIAS] = (struct tensor){"out.bias", 1, H, 1, false, false, 0, 0};
    t[BLOCK_NORM2_GAIN] = (struct tensor){"norm2.gain", 1, H, 1, false, false, 1, 0};
    t[BLOCK_NORM2_BIAS] = (struct tensor){"norm2.bias", 1, H, 1, false, false, 0, 0};
    t[BLOCK_FC1] = (struct tensor){"fc1.weight", F, H, 1, true, true, 0, std};
    t[BLOCK_FC1_BIAS] = (struct tensor){"fc1.bias", F, 1, 1, true, false, 0, 0};
    t[BLOCK_FC2] = (struct tensor){"fc2.weight", F, H, 1, true, true, 0, residual};
    t[BLOCK_FC2_BIAS] = (struct tensor){"fc2.bias", 1, H, 1, false, false, 0, 0};
    t = a->tensor[LAYER_HEAD];
    t[HEAD_NORM_GAIN] = (struct tensor){"norm.gain", 1, H, 1, false, false, 1, 0};
    t[HEAD_NORM_BIAS] = (struct tensor){"norm.bias", 1, H, 1, false, false, 0, 0};
    t[HEAD_MATRIX] = (struct tensor){"matrix", V, H, VOCABULARY_PAD, true, true, 0, std};
}

/* A key of the architecture must say what is built here; that it is built is no choice. */
static int must_be(const struct json_at *at, const char *key, const char *only, struct err *e) {
    struct json_at here = json_member(at, key);
    if (!here.node || (cJSON_IsString(here.node) && !strcmp(here.node->valuestring, only))) return 0;
    return json_fail(&here, e, "is not built; expected \"%s\"", only);
}

static int must_be_true(const struct json_at *at, const char *key, struct err *e) {
    struct json_at here = json_member(at, key);
    if (!here.node || cJSON_IsTrue(here.node)) return 0;
    return json_fail(&here, e, "is not built; expected true");
}

static int read_arch(const struct json_at *at, struct arch *a, struct err *e) {
    static const char *const keys[] = {
        "family",       "activation", "ffn_size", "norm",       "norm_first", "positions", "attention_scaled",
        "biases_added", "heads",      "head",     "vocabulary", "dropout",    "kv_heads",  NULL};
    static const char *const activations[] = {"relu", "gelu"};
    struct json_at family = json_member(at, "family"), activation = json_member(at, "activation"),
                   ffn = json_member(at, "ffn_size"), heads = json_member(at, "heads"),
                   vocabulary = json_member(at, "vocabulary"), dropout = json_member(at, "dropout"),
                   kv = json_member(at, "kv_heads");
    int kind;
    double rate = 0;
    if (json_object(at, keys, e)) return -1;
    if (must_be(at, "family", "gpt", e)) return -1;
    if (!family.node) return json_fail(&family, e, "missing; expected \"gpt\"");
    if (json_name(&activation, activations, 2, "an activation that is built", &kind, e)) return -1;
    a->activation = kind ? ACTIVATION_GELU : ACTIVATION_RELU;
    if (json_int(&ffn, 1, 10000000, &a->ffn, e)) return -1;
    if (heads.node && json_int(&heads, 1, 1000000, &a->heads, e)) return -1;
    if (vocabulary.node && json_int(&vocabulary, 1, 1000000000, &a->vocabulary, e)) return -1;
    if (kv.node && json_int(&kv, a->heads, a->heads, &a->heads, e)) return -1;
    if (must_be(at, "norm", "layernorm", e) || must_be(at, "positions", "learned", e)) return -1;
    if (must_be(at, "biases_added", "all", e) || must_be(at, "head", "final norm and a matrix of its own", e))
        return -1;
    if (must_be_true(at, "norm_first", e) || must_be_true(at, "attention_scaled", e)) return -1;
    return dropout.node ? json_real(&dropout, 0, 0, &rate, e) : 0;
}

int arch_make(struct arch *a, const struct model *m, struct err *e) {
    char where[160];
    snprintf(where, sizeof where, "model %.60s: architecture", m->name);
    *a = (struct arch){.layers = m->n_layer,
                       .blocks = m->n_block,
                       .hidden = m->hidden_size,
                       .sequence = m->sequence_length,
                       .heads = m->heads,
                       .vocabulary = m->vocabulary};
    if (!m->architecture)
        return err_set(e, EXIT_INPUT,
                       "model %s: /architecture: missing; expected an object that says what to build",
                       m->name);
    cJSON *tree = json_parse(where, m->architecture, strlen(m->architecture), e);
    if (!tree) return -1;
    struct json_at root = json_root(where, tree);
    int rc = read_arch(&root, a, e);
    cJSON_Delete(tree);
    if (rc) return -1;
    if (a->layers != a->blocks + 2)
        return err_set(e, EXIT_INPUT,
                       "model %s: %d layers and %d blocks; expected an embedding, the blocks and a head",
                       m->name, a->layers, a->blocks);
    if (a->hidden % a->heads)
        return err_set(e, EXIT_INPUT, "model %s: hidden_size %d and %d heads; expected a multiple", m->name,
                       a->hidden, a->heads);
    list_tensors(a);
    return 0;
}

struct part arch_part(const struct tensor *t, int tp, int k) {
    if (!t->split) return (struct part){0, t->rows, t->rows};
    size_t step = t->pad * (size_t)tp, room = (t->rows + step - 1) / step * t->pad;
    if (t->pad == 1) room = t->rows / (size_t)tp; /* divides: arch_check_tp() */
    size_t first = room * (size_t)k < t->rows ? room * (size_t)k : t->rows;
    size_t rows = t->rows - first < room ? t->rows - first : room;
    assert(t->pad > 1 || room * (size_t)tp == t->rows);
    return (struct part){first, rows, room};
}

size_t arch_params(const struct arch *a, int layer, int tp) {
    enum layer_kind kind = arch_kind(a, layer);
    size_t n = 0;
    for (int i = 0; i < arch_tensors(kind); i++)
        n += arch_part(&a->tensor[kind][i], tp, 0).room * a->tensor[kind][i].row;
    return n;
}

int arch_check_tp(const struct arch *a, int tp, const char *where, struct err *e) {
    if (a->heads % tp == 0 && a->ffn % tp == 0) return 0;
    return err_set(e, EXIT_INPUT, "%s: tp %d; expected a divisor of the model's %d heads and ffn size %d",
                   where, tp, a->heads, a->ffn);
}

unsigned long long arch_hash(unsigned long long x) { /* splitmix64 */
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* The sum of four uniform numbers of 16 bits each is near enough to a normal deviate, and cheap. */
double arch_deviate(unsigned long long bits) {
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += (double)((bits >> (16 * i)) & 0xffff) + 0.5;
    return (sum / 65536 - 2) * sqrt(3.0);
}

void arch_init(const struct arch *a, int layer, int tensor, unsigned long long seed, size_t first, size_t n,
               double *value) {
    const struct tensor *t = &a->tensor[arch_kind(a, layer)][tensor];
    unsigned long long stream =
        arch_hash(seed ^ arch_hash((unsigned long long)(layer * TENSORS_MAX + tensor)));
    for (size_t i = 0; i < n; i++)
        value[i] = t->start + (t->spread > 0 ? t->spread * arch_deviate(arch_hash(stream + first + i)) : 0);
}

double arch_flops(const struct arch *a, int layer) {
    const struct transformer x = {.hidden = a->hidden,
                                  .ffn = a->ffn,
                                  .heads = a->heads,
                                  .kv_heads = a->heads,
                                  .head_size = a->hidden / a->heads,
                                  .vocabulary = a->vocabulary,
                                  .sequence = a->sequence};
    switch (arch_kind(a, layer)) {
    case LAYER_EMBEDDING:
        return 0;
    case LAYER_BLOCK:
        return block_flops(&x);
    case LAYER_HEAD:
        break;
    }
    return head_flops(&x);
}
