#include "train/arch.h"
#include "sim/sheet.h"

#include <assert.h>
#include <math.h>

enum { VOCABULARY_PAD = 128 }; /* Megatron's: the vocabulary is padded to a multiple of 128 tp */

const char *const arch_part_name[PARTS] = {"RMS norm",
                                           "rotary positions",
                                           "SwiGLU",
                                           "grouped key/value heads",
                                           "attention within a window",
                                           "unscaled attention",
                                           "linears without biases"};

enum layer_kind arch_kind(const struct arch *a, int layer) {
    if (layer == 0) return LAYER_EMBEDDING;
    if (layer == a->layers - 1) return LAYER_HEAD;
    return layer <= a->blocks ? LAYER_BLOCK : LAYER_NOTHING;
}

int arch_tensors(enum layer_kind kind) {
    static const int tensors[LAYER_KINDS] = {EMBEDDING_TENSORS, BLOCK_TENSORS, HEAD_TENSORS, 0};
    return tensors[kind];
}

unsigned arch_parts(const struct arch *a) {
    bool biases = a->qkv_biases && a->out_biases && a->ffn_biases;
    return (unsigned)(a->rms_norm << PART_RMS_NORM | a->rotary << PART_ROTARY |
                      (a->activation == ACTIVATION_SWIGLU) << PART_GATED | arch_grouped(a) << PART_GROUPED |
                      (a->window > 0) << PART_WINDOW | a->unscaled << PART_UNSCALED |
                      !biases << PART_NO_BIASES);
}

int arch_check_parts(const struct arch *a, unsigned has, const char *who, struct err *e) {
    unsigned lacks = arch_parts(a) & ~has;
    for (int i = 0; i < PARTS; i++)
        if (lacks >> i & 1)
            return err_set(e, EXIT_INPUT,
                           "backend %s: the model has %s, which is not supported; expected --backend cpu",
                           who, arch_part_name[i]);
    return 0;
}

int arch_window(const struct arch *a, int layer) {
    return a->window_odd && layer % 2 ? 0 : a->window; /* layer 1 is the first block */
}

double arch_frequency(const struct arch *a, int j) {
    const struct rotary *r = &a->turn;
    double f = pow(r->theta, -2.0 * j / a->head_size), turns = r->original * f / (2 * acos(-1.0));
    if (!(r->factor > 0) || turns > r->high) return f;
    if (turns < r->low) return f / r->factor;
    double smooth = (turns - r->low) / (r->high - r->low);
    return (1 - smooth) * f / r->factor + smooth * f;
}

static struct tensor matrix(const char *name, size_t rows, size_t row, size_t pad, double spread) {
    return (struct tensor){
        .name = name, .rows = rows, .row = row, .pad = pad, .split = true, .decay = true, .spread = spread};
}

static struct tensor split_bias(const char *name, size_t rows, size_t row) {
    return (struct tensor){.name = name, .rows = rows, .row = row, .pad = 1, .split = true};
}

static struct tensor vector(const char *name, size_t n, double start) {
    return (struct tensor){.name = name, .rows = n > 0, .row = n, .pad = 1, .start = start};
}

/* GPT-2's initial values: deviation 0.02, less for products that add to the residual stream, by their
 * number. */
static void list_tensors(struct arch *a) {
    size_t H = (size_t)a->hidden, V = (size_t)a->vocabulary, F = (size_t)a->ffn;
    size_t A = (size_t)a->heads, K = (size_t)a->kv_heads, D = (size_t)a->head_size;
    size_t gate = a->activation == ACTIVATION_SWIGLU ? 2 : 1;
    size_t norm_bias = !a->rms_norm, q_bias = a->qkv_biases, out_bias = a->out_biases, f_bias = a->ffn_biases;
    size_t packed = !arch_grouped(a), apart = !packed;
    double std = 0.02, residual = std / sqrt(2.0 * a->blocks);
    struct tensor *t = a->tensor[LAYER_EMBEDDING];
    t[EMBEDDING_TOKENS] = matrix("tokens", V, H, VOCABULARY_PAD, std);
    t[EMBEDDING_POSITIONS] = matrix("positions", (size_t)a->position_rows, H, 1, std);
    t[EMBEDDING_POSITIONS].split = false;
    t = a->tensor[LAYER_BLOCK];
    t[BLOCK_NORM1_GAIN] = vector("norm1.gain", H, 1);
    t[BLOCK_NORM1_BIAS] = vector("norm1.bias", norm_bias * H, 0);
    t[BLOCK_QKV] = matrix("qkv.weight", packed * A, 3 * D * H, 1, std);
    t[BLOCK_QKV_BIAS] = split_bias("qkv.bias", packed * q_bias * A, 3 * D);
    t[BLOCK_OUT] = matrix("out.weight", A, D * H, 1, residual);
    t[BLOCK_OUT_BIAS] = vector("out.bias", out_bias * H, 0);
    t[BLOCK_NORM2_GAIN] = vector("norm2.gain", H, 1);
    t[BLOCK_NORM2_BIAS] = vector("norm2.bias", norm_bias * H, 0);
    t[BLOCK_FC1] = matrix("fc1.weight", F, gate * H, 1, std);
    t[BLOCK_FC1_BIAS] = split_bias("fc1.bias", f_bias * F, gate);
    t[BLOCK_FC2] = matrix("fc2.weight", F, H, 1, residual);
    t[BLOCK_FC2_BIAS] = vector("fc2.bias", f_bias * H, 0);
    t[BLOCK_Q] = matrix("q.weight", apart * A, D * H, 1, std);
    t[BLOCK_Q_BIAS] = split_bias("q.bias", apart * q_bias * A, D);
    t[BLOCK_KV] = matrix("kv.weight", apart * K, 2 * D * H, 1, std);
    t[BLOCK_KV_BIAS] = split_bias("kv.bias", apart * q_bias * K, 2 * D);
    t[BLOCK_KV].repeat = t[BLOCK_KV_BIAS].repeat = true;
    t = a->tensor[LAYER_HEAD];
    t[HEAD_NORM_GAIN] = vector("norm.gain", H, 1);
    t[HEAD_NORM_BIAS] = vector("norm.bias", norm_bias * H, 0);
    t[HEAD_MATRIX] = matrix("matrix", V, H, VOCABULARY_PAD, std);
    t[HEAD_MATRIX].tied = a->tied;
}

int arch_make(struct arch *a, const struct model *m, struct err *e) {
    if (arch_read(a, m, e)) return -1;
    list_tensors(a);
    return 0;
}

struct part arch_part(const struct tensor *t, int tp, int k) {
    if (!t->split) return (struct part){0, t->rows, t->rows};
    if (t->repeat && t->rows && t->rows < (size_t)tp)
        return (struct part){(size_t)k * t->rows / (size_t)tp, 1, 1};
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
        if (!a->tensor[kind][i].tied)
            n += arch_part(&a->tensor[kind][i], tp, 0).room * a->tensor[kind][i].row;
    return n;
}

int arch_check_tp(const struct arch *a, int tp, const char *where, struct err *e) {
    bool kv = a->kv_heads % tp == 0 || tp % a->kv_heads == 0;
    if (a->heads % tp == 0 && a->ffn % tp == 0 && kv) return 0;
    if (!kv)
        return err_set(e, EXIT_INPUT,
                       "%s: tp %d; expected a divisor or a multiple of the model's %d key/value heads", where,
                       tp, a->kv_heads);
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
    if (t->tied) {
        layer = 0;
        tensor = EMBEDDING_TOKENS;
    }
    /* GPT's tensors keep the numbers from before there were others */
    enum { FIRST = BLOCK_FC2_BIAS + 1, OTHERS = 1 << 20 };
    int number = tensor < FIRST ? layer * FIRST + tensor : OTHERS + layer * TENSORS_MAX + tensor;
    unsigned long long stream = arch_hash(seed ^ arch_hash((unsigned long long)number));
    for (size_t i = 0; i < n; i++)
        value[i] = t->start + (t->spread > 0 ? t->spread * arch_deviate(arch_hash(stream + first + i)) : 0);
}

double arch_flops(const struct arch *a, int layer) {
    const struct transformer x = {.hidden = a->hidden,
                                  .ffn = a->ffn,
                                  .heads = a->heads,
                                  .kv_heads = a->kv_heads,
                                  .head_size = a->head_size,
                                  .vocabulary = a->vocabulary,
                                  .sequence = a->sequence,
                                  .gated = a->activation == ACTIVATION_SWIGLU};
    switch (arch_kind(a, layer)) {
    case LAYER_BLOCK:
        return block_flops(&x);
    case LAYER_HEAD:
        return head_flops(&x);
    default:
        return 0;
    }
}
