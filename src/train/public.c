#include "train/public.h"

#include <stdio.h>
#include <string.h>

/* What families call the parts of a block, after the number of the block. */
struct names {
    const char *first; /* what all names begin with; some files leave it out */
    const char *tokens, *positions, *block, *norm, *head;
    const char *norm1, *norm2, *q, *k, *v, *qkv, *out, *gate, *fc1, *fc2;
    bool conv; /* GPT-2's linears have their inputs first */
};
static const struct names gpt2 = {.first = "transformer.",
                                  .tokens = "wte",
                                  .positions = "wpe",
                                  .block = "h.",
                                  .norm = "ln_f",
                                  .head = "lm_head",
                                  .norm1 = "ln_1",
                                  .norm2 = "ln_2",
                                  .qkv = "attn.c_attn",
                                  .out = "attn.c_proj",
                                  .fc1 = "mlp.c_fc",
                                  .fc2 = "mlp.c_proj",
                                  .conv = true};
static const struct names gpt_neo = {.first = "transformer.",
                                     .tokens = "wte",
                                     .positions = "wpe",
                                     .block = "h.",
                                     .norm = "ln_f",
                                     .head = "lm_head",
                                     .norm1 = "ln_1",
                                     .norm2 = "ln_2",
                                     .q = "attn.attention.q_proj",
                                     .k = "attn.attention.k_proj",
                                     .v = "attn.attention.v_proj",
                                     .out = "attn.attention.out_proj",
                                     .fc1 = "mlp.c_fc",
                                     .fc2 = "mlp.c_proj"};
static const struct names opt = {.first = "model.decoder.",
                                 .tokens = "embed_tokens",
                                 .positions = "embed_positions",
                                 .block = "layers.",
                                 .norm = "final_layer_norm",
                                 .head = "lm_head",
                                 .norm1 = "self_attn_layer_norm",
                                 .norm2 = "final_layer_norm",
                                 .q = "self_attn.q_proj",
                                 .k = "self_attn.k_proj",
                                 .v = "self_attn.v_proj",
                                 .out = "self_attn.out_proj",
                                 .fc1 = "fc1",
                                 .fc2 = "fc2"};
static const struct names llama = {.first = "model.",
                                   .tokens = "embed_tokens",
                                   .positions = "embed_positions",
                                   .block = "layers.",
                                   .norm = "norm",
                                   .head = "lm_head",
                                   .norm1 = "input_layernorm",
                                   .norm2 = "post_attention_layernorm",
                                   .q = "self_attn.q_proj",
                                   .k = "self_attn.k_proj",
                                   .v = "self_attn.v_proj",
                                   .out = "self_attn.o_proj",
                                   .gate = "mlp.gate_proj",
                                   .fc1 = "mlp.up_proj",
                                   .fc2 = "mlp.down_proj"};

/* The family is a label, the parts decide: names follow from both. */
static const struct names *names_of(const struct arch *a) {
    if (a->activation == ACTIVATION_SWIGLU) return &llama;
    if (!strcmp(a->family, "opt")) return &opt;
    return strcmp(a->family, "gpt_neo") ? &gpt2 : &gpt_neo;
}

struct list {
    const struct arch *a;
    const struct names *names;
    struct public_tensor *out;
    int n, layer;
};

/* One tensor: `bias` or matrix of the part that is called so. */
static void add(struct list *l, const char *part, bool bias, int tensor, struct public_tensor p) {
    const struct tensor *ours = &l->a->tensor[arch_kind(l->a, l->layer)][tensor];
    bool block = arch_kind(l->a, l->layer) == LAYER_BLOCK, head = part == l->names->head;
    if (ours->tied) return; /* some files have it, too: the same once more */
    p.layer = l->layer;
    p.tensor = tensor;
    p.dims = p.columns == 1 ? 1 : 2;
    p.absent = !ours->rows;
    if (block)
        snprintf(p.name, sizeof p.name, "%s%s%d.%s.%s", l->names->first, l->names->block, l->layer - 1, part,
                 bias ? "bias" : "weight");
    else
        snprintf(p.name, sizeof p.name, "%s%s.%s", head ? "" : l->names->first, part,
                 bias ? "bias" : "weight");
    if (l->out) l->out[l->n] = p;
    l->n++;
}

static void add_vector(struct list *l, const char *part, bool bias, int tensor, int n) {
    add(l, part, bias, tensor, (struct public_tensor){.rows = (size_t)n, .columns = 1});
}

/* A linear of `out` x `in` and its bias, which is stored here by outputs, or by inputs where `turned`. */
static void add_linear(struct list *l, const char *part, int tensor, size_t out, size_t in, bool turned) {
    struct public_tensor p = {.rows = out, .columns = in};
    if (l->names->conv) p.rows = in, p.columns = out;
    if (l->names->conv != turned) p.order = PUBLIC_TURNED;
    add(l, part, false, tensor, p);
    add(l, part, true, tensor + 1, (struct public_tensor){.rows = out, .columns = 1});
}

/* The same of one of several parts that take turns here, `group` outputs at a time. */
static void add_part(struct list *l, const char *part, int tensor, size_t out, size_t in, size_t group,
                     size_t k, size_t parts) {
    struct public_tensor p = {
        .rows = out, .columns = in, .order = PUBLIC_PART, .part = k, .parts = parts, .group = group};
    add(l, part, false, tensor, p);
    p.columns = 1;
    add(l, part, true, tensor + 1, p);
}

static void add_attention(struct list *l) {
    const struct arch *a = l->a;
    const struct names *n = l->names;
    size_t H = (size_t)a->hidden, d = (size_t)a->head_size, Q = (size_t)a->heads * d,
           K = (size_t)a->kv_heads * d;
    bool grouped = arch_grouped(a);
    if (n->qkv) {
        struct public_tensor p = {.rows = H, .columns = 3 * Q, .order = PUBLIC_CONV, .parts = 3, .group = d};
        add(l, n->qkv, false, BLOCK_QKV, p);
        p.rows = 3 * Q;
        p.columns = 1;
        add(l, n->qkv, true, BLOCK_QKV_BIAS, p);
    } else {
        int kv = grouped ? BLOCK_KV : BLOCK_QKV;
        add_part(l, n->q, grouped ? BLOCK_Q : BLOCK_QKV, Q, H, d, 0, grouped ? 1 : 3);
        add_part(l, n->k, kv, K, H, d, !grouped, grouped ? 2 : 3);
        add_part(l, n->v, kv, K, H, d, 1 + !grouped, grouped ? 2 : 3);
    }
    add_linear(l, n->out, BLOCK_OUT, H, Q, true);
}

static void add_block(struct list *l) {
    const struct names *n = l->names;
    size_t H = (size_t)l->a->hidden, F = (size_t)l->a->ffn;
    add_vector(l, n->norm1, false, BLOCK_NORM1_GAIN, l->a->hidden);
    add_vector(l, n->norm1, true, BLOCK_NORM1_BIAS, l->a->hidden);
    add_attention(l);
    add_vector(l, n->norm2, false, BLOCK_NORM2_GAIN, l->a->hidden);
    add_vector(l, n->norm2, true, BLOCK_NORM2_BIAS, l->a->hidden);
    if (n->gate) {
        add_part(l, n->gate, BLOCK_FC1, F, H, 1, 0, 2);
        add_part(l, n->fc1, BLOCK_FC1, F, H, 1, 1, 2);
    } else {
        add_linear(l, n->fc1, BLOCK_FC1, F, H, false);
    }
    add_linear(l, n->fc2, BLOCK_FC2, H, F, true);
}

int public_tensors(const struct arch *a, struct public_tensor *out) {
    struct list l = {.a = a, .names = names_of(a), .out = out};
    struct public_tensor matrix = {.rows = (size_t)a->vocabulary, .columns = (size_t)a->hidden},
                         table = matrix;
    table.rows = (size_t)a->position_rows;
    add(&l, l.names->tokens, false, EMBEDDING_TOKENS, matrix);
    add(&l, l.names->positions, false, EMBEDDING_POSITIONS, table);
    for (l.layer = 1; l.layer <= a->blocks; l.layer++) add_block(&l);
    l.layer = a->layers - 1;
    add_vector(&l, l.names->norm, false, HEAD_NORM_GAIN, a->hidden);
    add_vector(&l, l.names->norm, true, HEAD_NORM_BIAS, a->hidden);
    add(&l, l.names->head, false, HEAD_MATRIX, matrix);
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
    case PUBLIC_CONV: { /* outputs are columns, of the bias rows */
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
    const char *first = names_of(a)->first;
    size_t skip = strncmp(p->name, first, strlen(first)) ? 0 : strlen(first);
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
