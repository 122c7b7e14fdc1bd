#include "import/config.h"
#include "base/names.h"
#include "io/json.h"

#include <string.h>

/* Every family of models has its own keys and leaves some facts to the code: which linear layers have biases,
 * whether the output matrix is the embedding, the defaults of absent keys. These are as in transformers 4.4x
 * (configuration_*.py and modeling_*.py of each family). */

struct config_reader {
    struct json_at root;
    struct config *c;
    struct arena *a;
    struct err *e;
};

enum { SIZE_MAX_OF_A_MODEL = 1000000000 };

/* A required number. */
static int figure(struct config_reader *r, const char *key, int *out) {
    struct json_at at = json_member(&r->root, key);
    return json_int(&at, 1, SIZE_MAX_OF_A_MODEL, out, r->e);
}

/* One that may be absent or null. */
static int figure_or(struct config_reader *r, const char *key, int without, int *out) {
    struct json_at at = json_member(&r->root, key);
    *out = without;
    return at.node && !json_null(&at) ? json_int(&at, 1, SIZE_MAX_OF_A_MODEL, out, r->e) : 0;
}

static int flag_or(struct config_reader *r, const char *key, bool without, bool *out) {
    struct json_at at = json_member(&r->root, key);
    *out = without;
    return at.node && !json_null(&at) ? json_bool(&at, out, r->e) : 0;
}

static int activation_or(struct config_reader *r, const char *key, const char *without) {
    struct json_at at = json_member(&r->root, key);
    r->c->words.activation = without;
    return at.node && !json_null(&at) ? json_string(&at, &r->c->words.activation, r->a, r->e) : 0;
}

static int real_or(struct config_reader *r, const char *key, double without, double *out) {
    struct json_at at = json_member(&r->root, key);
    *out = without;
    return at.node && !json_null(&at) ? json_real(&at, 0, 1e15, out, r->e) : 0;
}

/* The trainer builds only llama3; keep the name of any other kind so that it can refuse it. */
static int rope(struct config_reader *r) {
    struct shape_words *w = &r->c->words;
    struct json_at how = json_member(&r->root, "rope_scaling"), type = json_member(&how, "rope_type");
    if (real_or(r, "rope_theta", 10000, &w->rope_theta)) return -1;
    if (!how.node || json_null(&how)) return 0;
    if (!type.node) type = json_member(&how, "type"); /* its name before Llama 3.1 */
    if (json_string(&type, &w->rope_type, r->a, r->e)) return -1;
    if (!strcmp(w->rope_type, "default")) w->rope_type = NULL;
    if (!w->rope_type || strcmp(w->rope_type, "llama3")) return 0;
    const struct {
        const char *key;
        double *out;
    } figures[] = {{"factor", &w->rope_factor},
                   {"low_freq_factor", &w->rope_low},
                   {"high_freq_factor", &w->rope_high},
                   {"original_max_position_embeddings", &w->rope_original}};
    for (int i = 0; i < 4; i++) {
        struct json_at at = json_member(&how, figures[i].key);
        if (json_real(&at, 0, 1e9, figures[i].out, r->e)) return -1;
    }
    return 0;
}

/* The keys that most families share. */
static int read_common(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    return figure(r, "hidden_size", &x->hidden) || figure(r, "num_hidden_layers", &x->layers) ||
           figure(r, "num_attention_heads", &x->heads) || figure(r, "vocab_size", &x->vocabulary) ||
           figure_or(r, "max_position_embeddings", 2048, &r->c->longest);
}

static int head_size(struct config_reader *r, int without) {
    struct transformer *x = &r->c->shape;
    if (figure_or(r, "head_dim", without, &x->head_size)) return -1;
    if (x->head_size) return 0;
    struct json_at heads = json_member(&r->root, "num_attention_heads");
    if (x->hidden % x->heads)
        return json_fail(&heads, r->e, "%d heads of hidden_size %d; expected a divisor, or head_dim",
                         x->heads, x->hidden);
    x->head_size = x->hidden / x->heads;
    return 0;
}

static int read_gpt2(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    if (figure(r, "n_embd", &x->hidden) || figure(r, "n_layer", &x->layers) ||
        figure(r, "n_head", &x->heads) || figure(r, "vocab_size", &x->vocabulary) ||
        figure_or(r, "n_positions", 1024, &x->positions) || figure_or(r, "n_inner", 4 * x->hidden, &x->ffn) ||
        activation_or(r, "activation_function", "gelu_new") ||
        flag_or(r, "tie_word_embeddings", true, &x->tied) || head_size(r, 0))
        return -1;
    r->c->longest = x->positions;
    x->qkv_biases = x->out_biases = x->ffn_biases = true;
    return 0;
}

/* The published models have the default, "attention_types": [[["global", "local"], 12]]. */
static int local_blocks(struct config_reader *r) {
    struct json_at types = json_member(&r->root, "attention_types");
    const cJSON *pattern = cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetArrayItem(types.node, 0), 0), 0),
                *second = pattern ? pattern->next : NULL;
    bool usual = cJSON_IsString(pattern) && cJSON_IsString(second) && !second->next &&
                 !strcmp(pattern->valuestring, "global") && !strcmp(second->valuestring, "local");
    r->c->words.window_of = !types.node || (usual && cJSON_GetArraySize(types.node) == 1) ? "odd" : "other";
    return figure_or(r, "window_size", 256, &r->c->words.window);
}

static int read_gpt_neo(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    if (figure(r, "hidden_size", &x->hidden) || figure(r, "num_layers", &x->layers) ||
        figure(r, "num_heads", &x->heads) || figure(r, "vocab_size", &x->vocabulary) ||
        figure_or(r, "max_position_embeddings", 2048, &x->positions) ||
        figure_or(r, "intermediate_size", 4 * x->hidden, &x->ffn) ||
        activation_or(r, "activation_function", "gelu_new") ||
        flag_or(r, "tie_word_embeddings", true, &x->tied) || head_size(r, 0))
        return -1;
    r->c->longest = x->positions;
    x->out_biases = x->ffn_biases = true;
    r->c->words.unscaled = true;
    return local_blocks(r);
}

/* The table of positions starts with two unused rows. */
static int read_opt(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    bool before, biases, removed;
    if (read_common(r) || figure(r, "ffn_dim", &x->ffn) ||
        figure_or(r, "word_embed_proj_dim", x->hidden, &x->embedding_size) ||
        flag_or(r, "do_layer_norm_before", true, &before) || flag_or(r, "enable_bias", true, &biases) ||
        flag_or(r, "_remove_final_layer_norm", false, &removed) ||
        activation_or(r, "activation_function", "relu") ||
        flag_or(r, "tie_word_embeddings", true, &x->tied) || head_size(r, 0))
        return -1;
    if (x->embedding_size == x->hidden) x->embedding_size = 0;
    x->positions = r->c->longest + 2;
    r->c->words.position_offset = 2;
    x->qkv_biases = x->out_biases = x->ffn_biases = biases;
    x->no_final_norm = !before || removed;
    return 0;
}

/* llama and its kin: rotary positions, three feed-forward matrices, grouped key and value heads. */
static int read_gated(struct config_reader *r, bool tied, int head_without) {
    struct transformer *x = &r->c->shape;
    x->gated = x->rms_norm = true;
    return read_common(r) || figure(r, "intermediate_size", &x->ffn) ||
           figure_or(r, "num_key_value_heads", x->heads, &x->kv_heads) ||
           activation_or(r, "hidden_act", "silu") || flag_or(r, "tie_word_embeddings", tied, &x->tied) ||
           real_or(r, "rms_norm_eps", 1e-6, &r->c->words.norm_epsilon) || rope(r) ||
           head_size(r, head_without);
}

static int read_llama(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    if (read_gated(r, false, 0) || flag_or(r, "attention_bias", false, &x->qkv_biases) ||
        flag_or(r, "mlp_bias", false, &x->ffn_biases))
        return -1;
    x->out_biases = x->qkv_biases;
    return 0;
}

/* An absent key means the default window, null means none. */
static int read_mistral(struct config_reader *r) {
    struct json_at window = json_member(&r->root, "sliding_window");
    if (!json_null(&window) && figure_or(r, "sliding_window", 4096, &r->c->words.window)) return -1;
    return read_gated(r, false, 0);
}

/* The window, if used, applies only to later blocks, which the trainer cannot do. */
static int read_qwen2(struct config_reader *r) {
    bool window;
    if (flag_or(r, "use_sliding_window", false, &window)) return -1;
    if (window && figure_or(r, "sliding_window", 4096, &r->c->words.window)) return -1;
    if (window) r->c->words.window_of = "later";
    r->c->shape.qkv_biases = true;
    return read_gated(r, false, 0);
}

static int read_qwen3(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    x->qk_norm = true;
    if (read_gated(r, false, 128) || flag_or(r, "attention_bias", false, &x->qkv_biases)) return -1;
    x->out_biases = x->qkv_biases;
    return 0;
}

static int read_gemma(struct config_reader *r) { return read_gated(r, true, 256); }

/* Attention and the feed-forward part share one norm. */
static int read_phi(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    bool normed;
    if (read_common(r) || figure(r, "intermediate_size", &x->ffn) ||
        figure_or(r, "num_key_value_heads", x->heads, &x->kv_heads) ||
        activation_or(r, "hidden_act", "gelu_new") || flag_or(r, "tie_word_embeddings", false, &x->tied) ||
        flag_or(r, "qk_layernorm", false, &normed) || head_size(r, 0))
        return -1;
    struct json_at at = json_member(&r->root, "qk_layernorm");
    if (normed) return json_fail(&at, r->e, "true; expected false, as in phi-1, 1.5 and 2");
    x->qkv_biases = x->out_biases = x->ffn_biases = x->head_bias = x->one_norm = true;
    return 0;
}

static int read_mixtral(struct config_reader *r) {
    struct transformer *x = &r->c->shape;
    return read_gated(r, false, 0) || figure_or(r, "num_local_experts", 8, &x->experts) ||
           figure_or(r, "num_experts_per_tok", 2, &x->active_experts);
}

static const struct family {
    const char *name;
    int (*read)(struct config_reader *r);
} families[] = {{"gpt2", read_gpt2},      {"gpt_neo", read_gpt_neo}, {"opt", read_opt},
                {"llama", read_llama},    {"mistral", read_mistral}, {"qwen2", read_qwen2},
                {"qwen3", read_qwen3},    {"gemma", read_gemma},     {"phi", read_phi},
                {"mixtral", read_mixtral}};
enum { FAMILY_N = sizeof families / sizeof *families };

static int check(const struct config_reader *r) {
    const struct transformer *x = &r->c->shape;
    struct json_at kv = json_member(&r->root, "num_key_value_heads"),
                   layers = json_member(&r->root, "num_hidden_layers"),
                   active = json_member(&r->root, "num_experts_per_tok");
    if (x->layers > 500) return json_fail(&layers, r->e, "%d layers; expected at most 500", x->layers);
    if (x->heads % x->kv_heads)
        return json_fail(&kv, r->e, "%d; expected a divisor of the %d heads", x->kv_heads, x->heads);
    if (x->active_experts > x->experts)
        return json_fail(&active, r->e, "%d; expected at most the %d experts", x->active_experts, x->experts);
    return 0;
}

static int read_name(struct config_reader *r) {
    struct json_at at = json_member(&r->root, "_name_or_path");
    if (!at.node || !cJSON_IsString(at.node) || !*at.node->valuestring) return 0;
    const char *path = at.node->valuestring, *slash = strrchr(path, '/');
    r->c->name = arena_strdup(r->a, slash ? slash + 1 : path);
    return 0;
}

static int read_config(struct config_reader *r) {
    struct json_at type = json_member(&r->root, "model_type");
    const char *names = "";
    if (!cJSON_IsObject(r->root.node))
        return json_fail(&r->root, r->e, "not an object; expected a config.json");
    struct json_at format = json_member(&r->root, "format");
    if (cJSON_IsString(format.node) && !type.node)
        return json_fail(&format, r->e, "\"%.60s\"; expected a config.json of Hugging Face",
                         format.node->valuestring);
    for (int i = 0; i < FAMILY_N; i++)
        names = arena_printf(r->a, "%s%s%s", names, i ? ", " : "", families[i].name);
    if (json_string(&type, &r->c->words.family, r->a, r->e)) return -1;
    for (int i = 0; i < FAMILY_N; i++) {
        if (strcmp(families[i].name, r->c->words.family) != 0) continue;
        return read_name(r) || families[i].read(r) ? -1 : 0;
    }
    return json_fail(&type, r->e,
                     "unknown family \"%.40s\"; expected one of %s. For another one, write a model file by "
                     "hand: its widths, heads, biases and what is tied (docs/formats.md)",
                     r->c->words.family, names);
}

int config_read(const char *file, const char *text, struct config *c, struct arena *a, struct err *e) {
    cJSON *tree = json_parse(file, text, strlen(text), e);
    if (!tree) return -1;
    *c = (struct config){0};
    struct config_reader r = {.root = json_root(file, tree), .c = c, .a = a, .e = e};
    int rc = read_config(&r);
    if (!rc && !c->shape.kv_heads) c->shape.kv_heads = c->shape.heads;
    if (!rc) rc = check(&r);
    cJSON_Delete(tree);
    return rc ? -1 : 0;
}
