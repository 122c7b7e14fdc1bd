#include "import/kinds.h"
#include "formats/inputs.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Models (llm_info.json: layer sizes) and the measured times of their layers. */

enum { TIMES_MAX = 4096 };

/* ---- llm_info.json: layer sizes ---- */

/** Members "0", "1", ... of an object, in numerical order whatever their order in the file. */
int import_layers(const struct json_at *at, const cJSON *node[LAYERS_MAX], int *n, struct err *e) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, e, "not an object; expected one with layers as keys");
    int i = 0, count = cJSON_GetArraySize(at->node);
    if (count < 1 || count > LAYERS_MAX)
        return json_fail(at, e, "%d layers; expected 1 to %d", count, LAYERS_MAX);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        char *end, spelled[16];
        long l = strtol(x->string, &end, 10);
        snprintf(spelled, sizeof spelled, "%ld", l);
        if (l < 0 || l >= count || strcmp(spelled, x->string) != 0)
            return json_fail(&here, e, "not a layer; expected \"0\" to \"%d\"", count - 1);
        node[l] = x;
    }
    *n = count;
    return 0;
}

int import_degree(const char *key) { return strlen(key) == 1 ? tp_index(key[0] - '0') : -1; }

static int read_sizes_of(const struct json_at *at, int ti, struct sizes *s, struct import *m) {
    const cJSON *node[LAYERS_MAX];
    int n;
    if (import_layers(at, node, &n, m->e)) return -1;
    if (s->n_layer && n != s->n_layer)
        return json_fail(at, m->e, "%d layers; expected %d as for the other degrees", n, s->n_layer);
    s->n_layer = n;
    double *params = ARENA_ARRAY(&m->arena, double, n), *act = ARENA_ARRAY(&m->arena, double, n);
    double *out = ARENA_ARRAY(&m->arena, double, n);
    for (int l = 0; l < n; l++) {
        struct json_at here = {.up = at, .key = node[l]->string, .node = node[l]};
        struct json_at p = json_member(&here, "params_floats"), a = json_member(&here, "act_mem_floats");
        struct json_at o = json_member(&here, "act_output_floats");
        if (json_real(&p, 0, 1e15, &params[l], m->e) || json_real(&a, 0, 1e15, &act[l], m->e)) return -1;
        if (json_real(&o, 0, 1e15, &out[l], m->e)) return -1;
    }
    s->params[ti] = params;
    s->act_mem[ti] = act;
    if (ti == 0) s->act_out = out;
    return 0;
}

int import_read_sizes(const struct json_at *at, struct import *m) {
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "not an object; expected one with models as keys");
    m->n_sizes = 0;
    m->sizes = ARENA_ARRAY(&m->arena, struct sizes, cJSON_GetArraySize(at->node));
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at model = json_element(at, i, x);
        struct sizes *s = &m->sizes[m->n_sizes++];
        s->published = arena_strdup(&m->arena, x->string);
        if (name_index(m->published, m->n_model, x->string) < 0)
            return json_fail(
                &model, m->e,
                "model without an entry in the facts file; expected its sizes under /models there");
        if (!cJSON_IsObject(x))
            return json_fail(&model, m->e, "not an object; expected one with degrees as keys");
        int j = 0;
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at tp = json_element(&model, j, y);
            int ti = import_degree(y->string);
            if (ti >= 0 && read_sizes_of(&tp, ti, s, m)) return -1;
        }
        if (!s->act_out) return json_fail(&model, m->e, "no degree \"1\"; expected it");
    }
    return 0;
}

static const struct sizes *sizes_of(const struct import *m, const char *published) {
    for (int i = 0; i < m->n_sizes; i++)
        if (strcmp(m->sizes[i].published, published) == 0) return &m->sizes[i];
    return NULL;
}

void import_put_models(struct import *m) {
    static const char *const copied[] = {"num_blocks", "hidden_size",  "sequence_length", "heads",
                                         "vocabulary", "architecture", "as_built",        "stands_for"};
    for (int i = 0; i < m->n_model; i++) {
        const struct sizes *s = sizes_of(m, m->published[i]);
        if (!s) continue;
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(m->model_facts[i], "source");
        cJSON *o =
            import_new_file("sailor-model/1", m->model[i],
                            arena_printf(&m->arena, "%s; layer sizes: Planner/llm_info.json%s%s", m->source,
                                         own ? "; " : "", cJSON_IsString(own) ? own->valuestring : ""));
        cJSON_AddItemToObject(o, "num_layers", json_double(s->n_layer));
        for (size_t k = 0; k < sizeof copied / sizeof *copied; k++)
            import_copy(o, copied[k], m->model_facts[i], copied[k]);
        cJSON *memory = cJSON_AddObjectToObject(o, "memory");
        cJSON_AddItemToObject(memory, "act_out", import_reals(s->act_out, s->n_layer));
        cJSON *tps = cJSON_AddObjectToObject(memory, "tp");
        for (int ti = 0; ti < TP_N; ti++) {
            if (!s->params[ti]) continue;
            char key[2] = {(char)('0' + (1 << ti)), '\0'};
            cJSON *tp = cJSON_AddObjectToObject(tps, key);
            cJSON_AddItemToObject(tp, "params", import_reals(s->params[ti], s->n_layer));
            cJSON_AddItemToObject(tp, "act_mem", import_reals(s->act_mem[ti], s->n_layer));
        }
        import_put(m, arena_printf(&m->arena, "models/%s.json", m->model[i]), o);
    }
}

int import_models(const char *dir, struct import *m) {
    struct json_at at;
    bool missing;
    cJSON *tree = import_open(dir, "Planner/llm_info.json", &at, &missing, m);
    if (!tree) return missing ? 0 : -1;
    int rc = import_read_sizes(&at, m);
    cJSON_Delete(tree);
    if (rc == 0) import_put_models(m);
    return rc;
}

/* ---- profiles ---- */

struct times {
    int micro_batch, ti;
    cJSON *row;
};

static int by_micro_batch(const void *x, const void *y) {
    const struct times *a = x, *b = y;
    if (a->micro_batch != b->micro_batch) return a->micro_batch < b->micro_batch ? -1 : 1;
    return a->ti - b->ti;
}

/** Turns layer -> [forward, backward, update] into one row of a profile file. */
static cJSON *read_times_row(const struct json_at *at, int micro_batch, int ti, int n_layer,
                             struct import *m) {
    const cJSON *node[LAYERS_MAX];
    double v[3][LAYERS_MAX];
    int n, three;
    bool one_update = true;
    if (import_layers(at, node, &n, m->e)) return NULL;
    if (n_layer && n != n_layer)
        return json_fail(at, m->e, "%d layers; expected %d, as the model has", n, n_layer), NULL;
    for (int l = 0; l < n; l++) {
        struct json_at layer = {.up = at, .key = node[l]->string, .node = node[l]};
        if (json_array(&layer, 3, 3, &three, m->e)) return NULL;
        int k = 0;
        for (const cJSON *x = node[l]->child; x; x = x->next, k++) {
            struct json_at here = json_element(&layer, k, x);
            if (json_real(&here, 0, 1e6, &v[k][l], m->e)) return NULL;
        }
        one_update = one_update && v[2][l] == v[2][0];
    }
    cJSON *row = cJSON_CreateObject();
    cJSON_AddItemToObject(row, "micro_batch_size", json_double(micro_batch));
    cJSON_AddItemToObject(row, "tp", json_double(1 << ti));
    cJSON_AddItemToObject(row, "forward_s", import_reals(v[0], n));
    cJSON_AddItemToObject(row, "backward_s", import_reals(v[1], n));
    cJSON_AddItemToObject(row, "update_s", one_update ? json_double(v[2][0]) : import_reals(v[2], n));
    return row;
}

static int read_times(const struct json_at *at, const struct sizes *s, struct times *t, int *n,
                      struct import *m) {
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "not an object; expected one with microbatch sizes as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at mb = json_element(at, i, x);
        char spelled[16];
        int size = (int)strtol(x->string, NULL, 10), j = 0;
        snprintf(spelled, sizeof spelled, "%d", size);
        if (strcmp(spelled, x->string) != 0 || size < 1 || size > 65536)
            return json_fail(&mb, m->e, "not a microbatch size; expected \"1\" to \"65536\"");
        if (!cJSON_IsObject(x))
            return json_fail(&mb, m->e, "not an object; expected one with degrees as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at tp = json_element(&mb, j, y);
            int ti = import_degree(y->string);
            if (ti < 0 || (m->n_sizes >= 0 && (!s || !s->params[ti])))
                continue; /* no such degree, or its sizes are unknown */
            if (*n == TIMES_MAX) return json_fail(&tp, m->e, "more than %d rows; expected fewer", TIMES_MAX);
            cJSON *row = read_times_row(&tp, size, ti, s ? s->n_layer : 0, m);
            if (!row) return -1;
            t[(*n)++] = (struct times){.micro_batch = size, .ti = ti, .row = row};
        }
    }
    return 0;
}

/** microbatch -> tp -> layer -> times, for one (model, GPU type). */
int import_read_profile(const struct json_at *at, const char *published, const char *gpu, const char *file,
                        struct import *m) {
    int known = name_index(m->published, m->n_model, published), n = 0;
    const char *model = known >= 0 ? m->model[known] : published;
    struct times *t = ARENA_ARRAY(&m->arena, struct times, TIMES_MAX);
    if (import_check_safe(at, model, m->e) || import_check_safe(at, gpu, m->e)) return -1;
    int rc = read_times(at, sizes_of(m, published), t, &n, m);
    if (rc || n == 0) {
        for (int i = 0; i < n; i++) cJSON_Delete(t[i].row);
        return rc;
    }
    qsort(t, (size_t)n, sizeof *t, by_micro_batch);
    cJSON *o = import_new_file("sailor-profile/1", NULL, arena_printf(&m->arena, "%s, %s", m->source, file));
    cJSON_AddStringToObject(o, "model", model);
    cJSON_AddStringToObject(o, "gpu", gpu);
    cJSON *rows = cJSON_AddArrayToObject(o, "times");
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(rows, t[i].row);
    import_put(m, arena_printf(&m->arena, "profiles/%s/%s.json", model, gpu), o);
    return 0;
}

/** model -> GPU type -> ... */
int import_read_times(const struct json_at *at, const char *file, struct import *m) {
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "not an object; expected one with models as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at model = json_element(at, i, x);
        if (!cJSON_IsObject(x))
            return json_fail(&model, m->e, "not an object; expected one with GPU types as keys");
        int j = 0;
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at gpu = json_element(&model, j, y);
            if (import_read_profile(&gpu, x->string, y->string, file, m)) return -1;
        }
    }
    return 0;
}

static bool have_output(const struct import *m, const char *path) {
    for (const struct output *o = m->first; o; o = o->next)
        if (strcmp(o->path, path) == 0) return true;
    return false;
}

/** profiles/MODEL/GPU/profile.json, for pairs missing from the common file. */
static int import_single_profiles(const char *dir, struct import *m) {
    const char *root = import_find_under(dir, "Planner/sailor_planner/profiles", &m->arena), **models, **gpus;
    int n_model = root ? import_list_dir(root, &models, &m->arena) : 0;
    for (int i = 0; i < n_model; i++) {
        const char *folder = arena_printf(&m->arena, "%s/%s", root, models[i]);
        int known = name_index(m->published, m->n_model, models[i]),
            n_gpu = import_list_dir(folder, &gpus, &m->arena);
        for (int j = 0; j < n_gpu; j++) {
            const char *path = arena_printf(&m->arena, "%s/%s/profile.json", folder, gpus[j]);
            const char *to = arena_printf(&m->arena, "profiles/%s/%s.json",
                                          known >= 0 ? m->model[known] : models[i], gpus[j]);
            if (access(path, F_OK) != 0 || have_output(m, to)) continue;
            size_t size;
            char *text = file_read_text(path, &size, &m->arena, m->e);
            cJSON *tree = text ? json_parse(path, text, size, m->e) : NULL;
            if (!tree) return -1;
            struct json_at at = json_root(path, tree);
            int rc = import_read_profile(&at, models[i], gpus[j],
                                         arena_printf(&m->arena,
                                                      "Planner/sailor_planner/profiles/%s/%s/profile.json",
                                                      models[i], gpus[j]),
                                         m);
            cJSON_Delete(tree);
            if (rc) return -1;
        }
    }
    return 0;
}

int import_profiles(const char *dir, struct import *m) {
    static const char rel[] = "Planner/simulations/profiles_tmp.json";
    struct json_at at;
    bool missing;
    cJSON *tree = import_open(dir, rel, &at, &missing, m);
    if (!tree && !missing) return -1;
    int rc = tree ? import_read_times(&at, rel, m) : 0;
    cJSON_Delete(tree);
    return rc ? rc : import_single_profiles(dir, m);
}
