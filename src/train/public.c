#include "train/public.h"

#include <stdio.h>
#include <string.h>

enum family { GPT2, GPT_NEO, OPT, LLAMA, FAMILIES };
enum public_part {
    PART_TOKENS,
    PART_POSITIONS,
    PART_NORM,
    PART_HEAD,
    PART_NORM1,
    PART_NORM2,
    PART_Q,
    PART_K,
    PART_V,
    PART_QKV,
    PART_OUT,
    PART_GATE,
    PART_FC1,
    PART_FC2,
    PART_N
};

/* The families' names for the parts of a model, and for those of a block after its number; NULL: no such
 * part. */
static const char *const part_name[PART_N][FAMILIES] = {
    [PART_TOKENS] = {"wte", "wte", "embed_tokens", "embed_tokens"},
    [PART_POSITIONS] = {"wpe", "wpe", "embed_positions", "embed_positions"},
    [PART_NORM] = {"ln_f", "ln_f", "final_layer_norm", "norm"},
    [PART_HEAD] = {"lm_head", "lm_head", "lm_head", "lm_head"},
    [PART_NORM1] = {"ln_1", "ln_1", "self_attn_layer_norm", "input_layernorm"},
    [PART_NORM2] = {"ln_2", "ln_2", "final_layer_norm", "post_attention_layernorm"},
    [PART_Q] = {NULL, "attn.attention.q_proj", "self_attn.q_proj", "self_attn.q_proj"},
    [PART_K] = {NULL, "attn.attention.k_proj", "self_attn.k_proj", "self_attn.k_proj"},
    [PART_V] = {NULL, "attn.attention.v_proj", "self_attn.v_proj", "self_attn.v_proj"},
    [PART_QKV] = {"attn.c_attn", NULL, NULL, NULL},
    [PART_OUT] = {"attn.c_proj", "attn.attention.out_proj", "self_attn.out_proj", "self_attn.o_proj"},
    [PART_GATE] = {NULL, NULL, NULL, "mlp.gate_proj"},
    [PART_FC1] = {"mlp.c_fc", "mlp.c_fc", "fc1", "mlp.up_proj"},
    [PART_FC2] = {"mlp.c_proj", "mlp.c_proj", "fc2", "mlp.down_proj"}};
/* The prefix of all names but the head's, which some files omit; and that of a block's after it. */
static const char *const first[FAMILIES] = {"transformer.", "transformer.", "model.decoder.", "model."};
static const char *const block_name[FAMILIES] = {"h.", "h.", "layers.", "layers."};

/* The family is a label; names follow from it and the parts. */
static enum family family_of(const struct arch *a) {
    if (a->activation == ACTIVATION_SWIGLU) return LLAMA;
    if (!strcmp(a->family, "opt")) return OPT;
    return strcmp(a->family, "gpt_neo") ? GPT2 : GPT_NEO;
}

struct list {
    const struct arch *a;
    enum family family;
    struct public_tensor *out;
    int n, layer;
};

/* Adds one tensor: the bias or matrix of the part. */
static void add(struct list *l, enum public_part part, bool bias, int tensor, struct public_tensor p) {
    const struct tensor *ours = &l->a->tensor[arch_kind(l->a, l->layer)][tensor];
    bool block = arch_kind(l->a, l->layer) == LAYER_BLOCK;
    const char *start = part == PART_HEAD ? "" : first[l->family], *name = part_name[part][l->family];
    if (ours->tied) return; /* some files have it too, as a copy */
    p.layer = l->layer;
    p.tensor = tensor;
    p.dims = p.columns == 1 ? 1 : 2;
    p.absent = !ours->rows;
    if (block)
        snprintf(p.name, sizeof p.name, "%s%s%d.%s.%s", start, block_name[l->family], l->layer - 1, name,
                 bias ? "bias" : "weight");
    else
        snprintf(p.name, sizeof p.name, "%s%s.%s", start, name, bias ? "bias" : "weight");
    if (l->out) l->out[l->n] = p;
    l->n++;
}

static void add_vector(struct list *l, enum public_part part, bool bias, int tensor, int n) {
    add(l, part, bias, tensor, (struct public_tensor){.rows = (size_t)n, .columns = 1});
}

/* A linear of `out` x `in` and its bias, stored here by outputs, or by inputs if `turned`. */
static void add_linear(struct list *l, enum public_part part, int tensor, size_t out, size_t in,
                       bool turned) {
    struct public_tensor p = {.rows = out, .columns = in};
    bool conv = l->family == GPT2; /* its linears have their inputs first */
    if (conv) {
        p.rows = in;
        p.columns = out;
    }
    if (conv != turned) p.order = PUBLIC_TURNED;
    add(l, part, false, tensor, p);
    add(l, part, true, tensor + 1, (struct public_tensor){.rows = out, .columns = 1});
}

/* The same for one of several parts that are interleaved here, `group` outputs at a time. */
static void add_part(struct list *l, enum public_part part, int tensor, size_t out, size_t in, size_t group,
                     size_t k, size_t parts) {
    struct public_tensor p = {
        .rows = out, .columns = in, .order = PUBLIC_PART, .part = k, .parts = parts, .group = group};
    add(l, part, false, tensor, p);
    p.columns = 1;
    add(l, part, true, tensor + 1, p);
}

static void add_attention(struct list *l) {
    const struct arch *a = l->a;
    size_t H = (size_t)a->hidden, d = (size_t)a->head_size, Q = (size_t)a->heads * d,
           K = (size_t)a->kv_heads * d;
    bool grouped = arch_grouped(a);
    if (l->family == GPT2) {
        struct public_tensor p = {.rows = H, .columns = 3 * Q, .order = PUBLIC_CONV, .parts = 3, .group = d};
        add(l, PART_QKV, false, BLOCK_QKV, p);
        p.rows = 3 * Q;
        p.columns = 1;
        add(l, PART_QKV, true, BLOCK_QKV_BIAS, p);
    } else {
        int kv = grouped ? BLOCK_KV : BLOCK_QKV;
        add_part(l, PART_Q, grouped ? BLOCK_Q : BLOCK_QKV, Q, H, d, 0, grouped ? 1 : 3);
        add_part(l, PART_K, kv, K, H, d, !grouped, grouped ? 2 : 3);
        add_part(l, PART_V, kv, K, H, d, 1 + !grouped, grouped ? 2 : 3);
    }
    add_linear(l, PART_OUT, BLOCK_OUT, H, Q, true);
}

static void add_block(struct list *l) {
    size_t H = (size_t)l->a->hidden, F = (size_t)l->a->ffn;
    add_vector(l, PART_NORM1, false, BLOCK_NORM1_GAIN, l->a->hidden);
    add_vector(l, PART_NORM1, true, BLOCK_NORM1_BIAS, l->a->hidden);
    add_attention(l);
    add_vector(l, PART_NORM2, false, BLOCK_NORM2_GAIN, l->a->hidden);
    add_vector(l, PART_NORM2, true, BLOCK_NORM2_BIAS, l->a->hidden);
    if (l->family == LLAMA) {
        add_part(l, PART_GATE, BLOCK_FC1, F, H, 1, 0, 2);
        add_part(l, PART_FC1, BLOCK_FC1, F, H, 1, 1, 2);
    } else {
        add_linear(l, PART_FC1, BLOCK_FC1, F, H, false);
    }
    add_linear(l, PART_FC2, BLOCK_FC2, H, F, true);
}

int public_tensors(const struct arch *a, struct public_tensor *out) {
    struct list l = {.a = a, .family = family_of(a), .out = out};
    struct public_tensor matrix = {.rows = (size_t)a->vocabulary, .columns = (size_t)a->hidden},
                         table = matrix;
    table.rows = (size_t)a->position_rows;
    add(&l, PART_TOKENS, false, EMBEDDING_TOKENS, matrix);
    add(&l, PART_POSITIONS, false, EMBEDDING_POSITIONS, table);
    for (l.layer = 1; l.layer <= a->blocks; l.layer++) add_block(&l);
    l.layer = a->layers - 1;
    add_vector(&l, PART_NORM, false, HEAD_NORM_GAIN, a->hidden);
    add_vector(&l, PART_NORM, true, HEAD_NORM_BIAS, a->hidden);
    add(&l, PART_HEAD, false, HEAD_MATRIX, matrix);
    return l.n;
}

size_t public_place(const struct public_tensor *p, size_t row, size_t column) {
    size_t inputs = p->columns;
    switch (p->order) {
    case PUBLIC_SAME:
        return row * p->columns + column;
    case PUBLIC_TURNED:
        return column * p->rows + row;
    case PUBLIC_PART:
        break;
    case PUBLIC_CONV: { /* outputs are columns, but rows of the bias */
        bool bias = p->columns == 1;
        size_t out = bias ? row : column, width = (bias ? p->rows : p->columns) / p->parts;
        inputs = bias ? 1 : p->rows;
        size_t part = out / width, head = out % width / p->group, at = out % p->group;
        return ((head * p->parts + part) * p->group + at) * inputs + (bias ? 0 : row);
    }
    }
    return (((row / p->group) * p->parts + p->part) * p->group + row % p->group) * inputs + column;
}

const struct st_tensor *public_find(const struct st_file *f, const struct arch *a,
                                    const struct public_tensor *p, struct err *e) {
    const char *start = first[family_of(a)];
    size_t skip = strncmp(p->name, start, strlen(start)) ? 0 : strlen(start);
    const struct st_tensor *t = st_find(f, p->name);
    if (!t) t = st_find(f, p->name + skip);
    if (!t && !strncmp(p->name, "model.", 6)) t = st_find(f, p->name + 6);
    *e = (struct err){0};
    if (!t && p->absent) return NULL;
    if (!t) {
        err_set(e, EXIT_INPUT, "%s: no tensor %s; expected one of %zu x %zu numbers", f->path, p->name,
                p->rows, p->columns);
    } else if (p->absent) {
        err_set(e, EXIT_INPUT, "%s: %s: the model has no such tensor; expected a file without it", t->path,
                t->name);
    } else if (t->dims != p->dims || t->shape[0] != p->rows || t->shape[1] != p->columns) {
        err_set(e, EXIT_INPUT, "%s: %s: %zu x %zu; expected %zu x %zu", t->path, t->name, t->shape[0],
                t->shape[1], p->rows, p->columns);
    } else {
        return t;
    }
    return NULL;
}
