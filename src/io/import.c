#include "io/import.h"
#include "io/file.h"
#include "io/import_priv.h"
#include "io/inputs.h"
#include "io/json.h"
#include "io/planjson.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reading collects trees of our own formats in a list of outputs; only when all input has been read are they
 * written. */

enum { TIMES_MAX = 4096, VALIDATION_MAX = 10000, PATH_TEXT = 4096 };

/** Names become file names: nothing that could lead elsewhere. */
bool import_safe_name(const char *s) {
    if (!*s || *s == '.' || strlen(s) > 100) return false;
    for (; *s; s++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-", *s)) return false;
    return true;
}

static int check_safe(const struct json_at *at, const char *name, struct err *e) {
    return import_safe_name(name)
               ? 0
               : json_fail(at, e, "\"%.60s\" as a name; expected letters, digits, '.', '_', '+' and '-'",
                           name);
}

/* ---- facts -----------------------------------------------------------------------------------------------
 */

static int name_list(const struct json_at *at, const char *key, int max, const char **names, int *n,
                     struct import *m) {
    int i = 0;
    if (json_array(at, 1, max, n, m->e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x), inner = key ? json_member(&here, key) : here;
        if (json_string(&inner, &names[i], &m->arena, m->e) || check_safe(&inner, names[i], m->e)) return -1;
        if (name_index(names, i, names[i]) >= 0)
            return json_fail(&inner, m->e, "\"%.60s\" appears twice; expected it once", names[i]);
    }
    return 0;
}

static int read_facts(struct import *m) {
    static const char *const keys[] = {"format", "site", "models", "jobs", "validation", NULL};
    static const char *const site_keys[] = {"zones", "gpus", "usd_per_gpu_hour", NULL};
    static const char *const model_keys[] = {"published",       "num_blocks", "hidden_size",
                                             "sequence_length", "heads",      "vocabulary",
                                             "architecture",    "as_built",   NULL};
    const struct json_at *at = &m->facts;
    if (json_object(at, keys, m->e) || json_format(at, "sailor-facts/1", m->e)) return -1;
    struct json_at source = json_member(at, "source"), site = json_member(at, "site"),
                   models = json_member(at, "models");
    struct json_at zones = json_member(&site, "zones"), gpus = json_member(&site, "gpus");
    if (json_string(&source, &m->source, &m->arena, m->e) || json_object(&site, site_keys, m->e)) return -1;
    if (name_list(&zones, NULL, ZONES_MAX, m->zone, &m->n_zone, m)) return -1;
    if (name_list(&gpus, "name", GPUS_MAX, m->gpu, &m->n_gpu, m)) return -1;
    if (name_list(&models, "name", PUBLISHED_MODELS_MAX, m->model, &m->n_model, m)) return -1;
    if (name_list(&models, "published", PUBLISHED_MODELS_MAX, m->published, &m->n_model, m)) return -1;
    int i = 0;
    for (const cJSON *x = models.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&models, i, x);
        if (json_object(&here, model_keys, m->e)) return -1;
        m->model_facts[i] = x;
    }
    return 0;
}

/* ---- building trees --------------------------------------------------------------------------------------
 */

cJSON *import_new_file(const char *format, const char *name, const char *source) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "format", format);
    if (name) cJSON_AddStringToObject(o, "name", name);
    cJSON_AddStringToObject(o, "source", source);
    return o;
}

static void add_copy(cJSON *to, const char *key, const cJSON *from, const char *from_key) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(from, from_key);
    if (x) cJSON_AddItemToObject(to, key, cJSON_Duplicate(x, 1));
}

cJSON *import_reals(const double *v, int n) {
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(array, json_double(v[i]));
    return array;
}

void import_put(struct import *m, const char *path, cJSON *tree) {
    struct output *o = ARENA_NEW(&m->arena, struct output);
    o->path = path, o->tree = tree;
    *m->last = o;
    m->last = &o->next;
}

/* ---- llm_info.json: layer sizes --------------------------------------------------------------------------
 */

/** Members "0", "1", ... of an object, in numerical order whatever their order in the file. */
int import_layers(const struct json_at *at, const cJSON *node[LAYERS_MAX], int *n, struct err *e) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, e, "no object; expected one with layers as keys");
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

static int degree_key(const char *key) { return strlen(key) == 1 ? tp_index(key[0] - '0') : -1; }

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
    s->params[ti] = params, s->act_mem[ti] = act;
    if (ti == 0) s->act_out = out;
    return 0;
}

static int read_sizes(const struct json_at *at, struct import *m) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, m->e, "no object; expected one with models as keys");
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
            return json_fail(&model, m->e, "no object; expected one with degrees as keys");
        int j = 0;
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at tp = json_element(&model, j, y);
            int ti = degree_key(y->string);
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

static void put_models(struct import *m) {
    static const char *const copied[] = {"num_blocks", "hidden_size",  "sequence_length", "heads",
                                         "vocabulary", "architecture", "as_built"};
    for (int i = 0; i < m->n_model; i++) {
        const struct sizes *s = sizes_of(m, m->published[i]);
        if (!s) continue;
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(m->model_facts[i], "source");
        cJSON *o = import_new_file("sailor-model/1", m->model[i],
                            arena_printf(&m->arena, "%s; layer sizes: Planner/llm_info.json%s%s", m->source,
                                         own ? "; " : "", cJSON_IsString(own) ? own->valuestring : ""));
        cJSON_AddItemToObject(o, "num_layers", json_double(s->n_layer));
        for (size_t k = 0; k < sizeof copied / sizeof *copied; k++)
            add_copy(o, copied[k], m->model_facts[i], copied[k]);
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

/* ---- profiles --------------------------------------------------------------------------------------------
 */

struct times {
    int micro_batch, ti;
    cJSON *row;
};

static int by_micro_batch(const void *x, const void *y) {
    const struct times *a = x, *b = y;
    if (a->micro_batch != b->micro_batch) return a->micro_batch < b->micro_batch ? -1 : 1;
    return a->ti - b->ti;
}

/** layer -> [forward, backward, update] to one row of a profile file. */
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
        return json_fail(at, m->e, "no object; expected one with microbatch sizes as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at mb = json_element(at, i, x);
        char spelled[16];
        int size = (int)strtol(x->string, NULL, 10), j = 0;
        snprintf(spelled, sizeof spelled, "%d", size);
        if (strcmp(spelled, x->string) != 0 || size < 1 || size > 65536)
            return json_fail(&mb, m->e, "not a microbatch size; expected \"1\" to \"65536\"");
        if (!cJSON_IsObject(x)) return json_fail(&mb, m->e, "no object; expected one with degrees as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at tp = json_element(&mb, j, y);
            int ti = degree_key(y->string);
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

/** microbatch -> tp -> layer -> times of one (model, GPU type). */
static int read_profile(const struct json_at *at, const char *published, const char *gpu, const char *file,
                        struct import *m) {
    int known = name_index(m->published, m->n_model, published), n = 0;
    const char *model = known >= 0 ? m->model[known] : published;
    struct times *t = ARENA_ARRAY(&m->arena, struct times, TIMES_MAX);
    if (check_safe(at, model, m->e) || check_safe(at, gpu, m->e)) return -1;
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
static int read_all_times(const struct json_at *at, const char *file, struct import *m) {
    if (!cJSON_IsObject(at->node)) return json_fail(at, m->e, "no object; expected one with models as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at model = json_element(at, i, x);
        if (!cJSON_IsObject(x))
            return json_fail(&model, m->e, "no object; expected one with GPU types as keys");
        int j = 0;
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at gpu = json_element(&model, j, y);
            if (read_profile(&gpu, x->string, y->string, file, m)) return -1;
        }
    }
    return 0;
}

/* ---- the site --------------------------------------------------------------------------------------------
 */

/** [[c2, c1, c0], peak] */
static int read_fit(const struct json_at *at, struct link *l, struct err *e) {
    double c[3];
    int n, i = 0;
    if (json_array(at, 2, 2, &n, e)) return -1;
    struct json_at fit = json_element(at, 0, at->node->child),
                   peak = json_element(at, 1, at->node->child->next);
    if (json_array(&fit, 3, 3, &n, e)) return -1;
    for (const cJSON *x = fit.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&fit, i, x);
        if (json_real(&here, -1e12, 1e12, &c[i], e)) return -1;
    }
    if (json_real(&peak, 0, 1e18, &l->peak_Bps, e)) return -1;
    l->c2 = c[0], l->c1 = c[1], l->c0 = c[2], l->known = true;
    return 0;
}

/** Walks the six levels zone, gpu, n, zone, gpu, n of a bandwidth file. Cells that are known already stay. */
static int read_links(const struct json_at *at, int level, int path[6], bool equal_types_only,
                      const struct site *s, struct link *table, struct import *m) {
    static const char *const what[] = {"zones of the facts file", "GPU types of the facts file",
                                       "1, 2, 4, 8"};
    if (level == 6) {
        struct link l;
        if (read_fit(at, &l, m->e)) return -1;
        struct link *cell = &table[site_link_slot(s, path[0], path[1], path[2], path[3], path[4], path[5])];
        if (!cell->known && (!equal_types_only || path[1] == path[4])) *cell = l;
        return 0;
    }
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "no object; expected one with keys among %s", what[level % 3]);
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        path[level] = level % 3 == 0   ? name_index(m->zone, m->n_zone, x->string)
                      : level % 3 == 1 ? name_index(m->gpu, m->n_gpu, x->string)
                                       : degree_key(x->string);
        if (path[level] < 0)
            return json_fail(&here, m->e, "unknown name; expected one of the %s", what[level % 3]);
        if (read_links(&here, level + 1, path, equal_types_only, s, table, m)) return -1;
    }
    return 0;
}

static cJSON *fit_array(const struct link *l) {
    const double v[4] = {l->c2, l->c1, l->c0, l->peak_Bps};
    return import_reals(v, 4);
}

static bool same_fit(const struct link *a, const struct link *b) {
    return a->c2 == b->c2 && a->c1 == b->c1 && a->c0 == b->c0 && a->peak_Bps == b->peak_Bps;
}

/** Equal fits are written once: the published table repeats most of them. */
static cJSON *links_tree(const struct link *table, struct import *m) {
    int side = m->n_zone * m->n_gpu * TP_N, n_fit = 0;
    const struct link **fit = ARENA_ARRAY(&m->arena, const struct link *, side *side);
    cJSON *o = cJSON_CreateObject(), *fits = cJSON_AddArrayToObject(o, "fits"),
          *rows = cJSON_AddArrayToObject(o, "rows");
    for (int from = 0; from < side; from++)
        for (int to = 0; to < side; to++) {
            const struct link *l = &table[(size_t)from * (size_t)side + (size_t)to];
            int f = 0;
            if (!l->known) continue;
            while (f < n_fit && !same_fit(fit[f], l)) f++;
            if (f == n_fit) fit[n_fit++] = l, cJSON_AddItemToArray(fits, fit_array(l));
            cJSON *row = cJSON_CreateArray();
            for (int k = 0; k < 2; k++) {
                int end = k ? to : from;
                cJSON_AddItemToArray(row, cJSON_CreateString(m->zone[end / TP_N / m->n_gpu]));
                cJSON_AddItemToArray(row, cJSON_CreateString(m->gpu[end / TP_N % m->n_gpu]));
                cJSON_AddItemToArray(row, json_double(1 << end % TP_N));
            }
            cJSON_AddItemToArray(row, json_double(f));
            cJSON_AddItemToArray(rows, row);
        }
    return o;
}

static int read_intra(const struct json_at *at, cJSON **tree, struct import *m) {
    struct link table[GPUS_MAX * TP_N] = {{0}};
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "no object; expected one with GPU types as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at gpu = json_element(at, i, x);
        int g = name_index(m->gpu, m->n_gpu, x->string), j = 0;
        if (g < 0)
            return json_fail(&gpu, m->e, "unknown name; expected one of the GPU types of the facts file");
        if (!cJSON_IsObject(x)) return json_fail(&gpu, m->e, "no object; expected one with counts as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at cell = json_element(&gpu, j, y);
            int ti = degree_key(y->string);
            if (ti < 0) return json_fail(&cell, m->e, "unknown count; expected 1, 2, 4 or 8");
            if (read_fit(&cell, &table[g * TP_N + ti], m->e)) return -1;
        }
    }
    *tree = cJSON_CreateObject();
    for (int g = 0; g < m->n_gpu; g++) {
        cJSON *o = NULL;
        for (int ti = 0; ti < TP_N; ti++) {
            char key[2] = {(char)('0' + (1 << ti)), '\0'};
            if (!table[g * TP_N + ti].known) continue;
            if (!o) o = cJSON_AddObjectToObject(*tree, m->gpu[g]);
            cJSON_AddItemToObject(o, key, fit_array(&table[g * TP_N + ti]));
        }
    }
    return 0;
}

static int read_egress(const struct json_at *at, cJSON **tree, struct import *m) {
    double usd[ZONES_MAX][ZONES_MAX];
    for (int z = 0; z < ZONES_MAX; z++)
        for (int y = 0; y < ZONES_MAX; y++) usd[z][y] = NAN;
    if (!cJSON_IsObject(at->node)) return json_fail(at, m->e, "no object; expected one with zones as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at from = json_element(at, i, x);
        int z = name_index(m->zone, m->n_zone, x->string), j = 0;
        if (z < 0) return json_fail(&from, m->e, "unknown name; expected one of the zones of the facts file");
        if (!cJSON_IsObject(x)) return json_fail(&from, m->e, "no object; expected one with zones as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at to = json_element(&from, j, y);
            int t = name_index(m->zone, m->n_zone, y->string);
            if (t < 0)
                return json_fail(&to, m->e, "unknown name; expected one of the zones of the facts file");
            if (json_real(&to, 0, 1e6, &usd[z][t], m->e)) return -1;
        }
    }
    *tree = cJSON_CreateObject();
    for (int z = 0; z < m->n_zone; z++) {
        cJSON *o = cJSON_AddObjectToObject(*tree, m->zone[z]);
        for (int y = 0; y < m->n_zone; y++) cJSON_AddItemToObject(o, m->zone[y], json_double(usd[z][y]));
    }
    return 0;
}

/** Prices per zone: the facts give one price per GPU type, the same in all zones. */
static cJSON *prices_tree(const cJSON *usd, const struct import *m) {
    cJSON *o = cJSON_CreateObject();
    for (int z = 0; z < m->n_zone; z++) {
        cJSON *zone = cJSON_AddObjectToObject(o, m->zone[z]);
        for (int g = 0; g < m->n_gpu; g++) {
            const cJSON *x = cJSON_GetObjectItemCaseSensitive(usd, m->gpu[g]);
            cJSON_AddItemToObject(zone, m->gpu[g], json_double(cJSON_IsNumber(x) ? x->valuedouble : NAN));
        }
    }
    return o;
}

/** The site file; het, plain, intra, egress may each be missing (node NULL). */
static int put_site(const struct json_at *het, const struct json_at *plain, const struct json_at *intra,
                    const struct json_at *egress, struct import *m) {
    struct json_at facts = json_member(&m->facts, "site"), name = json_member(&facts, "name"),
                   source = json_member(&facts, "source");
    struct site s = {.n_zone = m->n_zone, .n_gpu = m->n_gpu};
    size_t side = (size_t)m->n_zone * (size_t)m->n_gpu * TP_N;
    struct link *table = ARENA_ARRAY(&m->arena, struct link, side * side);
    const char *own, *about;
    int path[6];
    cJSON *in = NULL, *out = NULL;
    if (json_string(&name, &own, &m->arena, m->e) || check_safe(&name, own, m->e)) return -1;
    if (json_string(&source, &about, &m->arena, m->e)) return -1;
    if (het->node && read_links(het, 0, path, false, &s, table, m)) return -1;
    if (plain->node && read_links(plain, 0, path, true, &s, table, m)) return -1;
    if (intra->node && read_intra(intra, &in, m)) return -1;
    if (egress->node && read_egress(egress, &out, m)) return cJSON_Delete(in), -1;
    cJSON *o = import_new_file("sailor-site/1", own, arena_printf(&m->arena, "%s; %s", m->source, about));
    add_copy(o, "zones", facts.node, "zones");
    add_copy(o, "gpus", facts.node, "gpus");
    cJSON_AddItemToObject(o, "usd_per_gpu_hour",
                          prices_tree(cJSON_GetObjectItemCaseSensitive(facts.node, "usd_per_gpu_hour"), m));
    if (out) cJSON_AddItemToObject(o, "egress_usd_per_GB", out);
    if (in) cJSON_AddItemToObject(o, "intra_node", in);
    cJSON_AddItemToObject(o, "links", links_tree(table, m));
    import_put(m, arena_printf(&m->arena, "sites/%s.json", own), o);
    return 0;
}

/* ---- traces -> jobs --------------------------------------------------------------------------------------
 */

static int trace_fail(const char *file, int line, struct err *e, const char *what, const char *found) {
    return err_set(e, EXIT_INPUT, "%.250s: line %d: %s%s%.60s", file, line, what, *found ? ", not " : "",
                   found);
}

/** One field of a comma-separated line; advances *p behind the comma, or to NULL after the last field. */
static char *next_field(char **p) {
    char *start = *p, *comma = start ? strchr(start, ',') : NULL;
    if (comma) *comma = '\0';
    *p = comma ? comma + 1 : NULL;
    return start;
}

static char *next_line(char **p) {
    char *start = *p, *nl = start ? strchr(start, '\n') : NULL;
    if (nl) *nl = '\0';
    *p = nl ? nl + 1 : NULL;
    size_t n = start ? strlen(start) : 0;
    if (n && start[n - 1] == '\r') start[n - 1] = '\0';
    return start;
}

struct column {
    int zone, gpu;
};

/** Header ",Timestamp,GPU_zone,...". Returns the number of GPU columns, or -1. */
static int read_header(char *line, const char *file, struct column col[], int max, struct import *m) {
    char *p = line, *field;
    int n = 0;
    next_field(&p); /* running number */
    field = next_field(&p);
    if (!field || strcmp(field, "Timestamp") != 0)
        return trace_fail(file, 1, m->e, "expected the columns \"\", \"Timestamp\", \"GPU_zone\", ...",
                          field ? field : "");
    while ((field = next_field(&p))) {
        char *cut = strchr(field, '_');
        if (!cut || n == max) return trace_fail(file, 1, m->e, "expected a column named GPU_zone", field);
        *cut = '\0';
        col[n].gpu = name_index(m->gpu, m->n_gpu, field), col[n].zone = name_index(m->zone, m->n_zone, cut + 1);
        if (col[n].gpu < 0) return trace_fail(file, 1, m->e, "expected a GPU type of the facts file", field);
        if (col[n].zone < 0) return trace_fail(file, 1, m->e, "expected a zone of the facts file", cut + 1);
        n++;
    }
    return n ? n : trace_fail(file, 1, m->e, "expected at least one column named GPU_zone", "");
}

static cJSON *read_trace_row(char *line, int number, const char *file, const struct column *col, int n,
                             struct import *m) {
    char *p = line, *field, *end;
    next_field(&p);
    field = next_field(&p);
    double time = field ? strtod(field, &end) : NAN;
    if (!field || end == field || *end || !(time >= 0 && time < 1e18))
        return trace_fail(file, number, m->e, "expected a time in seconds", field ? field : ""), NULL;
    cJSON *row = cJSON_CreateObject();
    cJSON_AddItemToObject(row, "time_s", json_double(time));
    cJSON *gpus = cJSON_AddArrayToObject(row, "gpus");
    for (int i = 0; i < n || p; i++) {
        field = next_field(&p);
        long count = field ? strtol(field, &end, 10) : -1;
        if (i >= n || !field || end == field || *end || count < 0 || count > 1000000) {
            trace_fail(file, number, m->e,
                       i >= n ? "expected no more fields than the header has"
                              : "expected a count from 0 to 1000000",
                       field ? field : "");
            cJSON_Delete(row);
            return NULL;
        }
        cJSON *g = cJSON_CreateObject();
        cJSON_AddStringToObject(g, "zone", m->zone[col[i].zone]);
        cJSON_AddStringToObject(g, "gpu", m->gpu[col[i].gpu]);
        cJSON_AddItemToObject(g, "count", json_double((double)count));
        cJSON_AddItemToArray(gpus, g);
    }
    return row;
}

static cJSON *read_trace(const char *file, const char *text, struct import *m) {
    struct column col[ZONES_MAX * GPUS_MAX];
    char *p = arena_strdup(&m->arena, text);
    int n = read_header(next_line(&p), file, col, ZONES_MAX * GPUS_MAX, m), number = 1;
    if (n < 0) return NULL;
    cJSON *pools = cJSON_CreateArray();
    for (char *line; (line = next_line(&p));) {
        number++;
        if (!*line) continue;
        cJSON *row = read_trace_row(line, number, file, col, n, m);
        if (!row) return cJSON_Delete(pools), NULL;
        cJSON_AddItemToArray(pools, row);
    }
    if (pools->child) return pools;
    cJSON_Delete(pools);
    return trace_fail(file, number, m->e, "expected at least one row", ""), NULL;
}

/* ---- published plans -------------------------------------------------------------------------------------
 */

/** [[gpu, GPUs per node, zone], ...] and a degree. */
static int read_replica(const struct json_at *at, struct import *m, int *gpu, int *zone, int *tp, int vms[64],
                        int *n_vm) {
    int n, three, i = 0;
    if (json_array(at, 2, 2, &n, m->e)) return -1;
    struct json_at entries = json_element(at, 0, at->node->child),
                   degree = json_element(at, 1, at->node->child->next);
    if (json_array(&entries, 1, 64, n_vm, m->e) || json_int(&degree, 1, TP_MAX, tp, m->e)) return -1;
    if (tp_index(*tp) < 0) return json_fail(&degree, m->e, "%d; expected 1, 2, 4 or 8", *tp);
    for (const cJSON *x = entries.node->child; x; x = x->next, i++) {
        struct json_at vm = json_element(&entries, i, x);
        int z;
        if (json_array(&vm, 3, 3, &three, m->e)) return -1;
        struct json_at g = json_element(&vm, 0, x->child), where = json_element(&vm, 2, x->child->next->next);
        if (json_name(&g, m->gpu, m->n_gpu, "a GPU type of the facts file", &vms[i], m->e)) return -1;
        if (json_name(&where, m->zone, m->n_zone, "a zone of the facts file", &z, m->e)) return -1;
        if (i == 0) *gpu = vms[0], *zone = z;
    }
    if (*n_vm == 1) *n_vm = 0; /* one entry is the usual case: a replica within a machine */
    return 0;
}

static cJSON *read_replicas(const struct json_at *at, struct import *m) {
    int n, i = 0, gpu = 0, zone = 0, tp = 0, n_vm = 0, vms[64], before[64 + 4] = {-1};
    if (json_array(at, 1, 1000000, &n, m->e)) return NULL;
    cJSON *list = cJSON_CreateArray(), *count = NULL;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (read_replica(&here, m, &gpu, &zone, &tp, vms, &n_vm)) return cJSON_Delete(list), NULL;
        int now[64 + 4] = {gpu, zone, tp, n_vm};
        memcpy(now + 4, vms, sizeof *vms * (size_t)n_vm);
        if (count && memcmp(now, before, sizeof *now * (size_t)(4 + n_vm)) == 0) {
            cJSON_SetNumberHelper(count, count->valuedouble + 1);
            continue;
        }
        memcpy(before, now, sizeof now);
        cJSON *r = cJSON_CreateObject();
        cJSON_AddStringToObject(r, "gpu", m->gpu[gpu]);
        cJSON_AddItemToObject(r, "tp", json_double(tp));
        cJSON_AddStringToObject(r, "zone", m->zone[zone]);
        count = cJSON_AddNumberToObject(r, "count", 1);
        cJSON *list_vms = n_vm ? cJSON_AddArrayToObject(r, "vms") : NULL;
        for (int v = 0; v < n_vm; v++) cJSON_AddItemToArray(list_vms, cJSON_CreateString(m->gpu[vms[v]]));
        cJSON_AddItemToArray(list, r);
    }
    return list;
}

/** [first, end) of an ascending list of layers without gaps. */
static int read_range(const struct json_at *at, int *first, int *end, struct err *e) {
    int n, l, i = 0;
    if (json_array(at, 1, LAYERS_MAX, &n, e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_int(&here, 0, LAYERS_MAX - 1, &l, e)) return -1;
        if (i == 0) *first = l;
        if (l != *first + i)
            return json_fail(&here, e, "layer %d; expected %d, the one after its neighbour", l, *first + i);
    }
    *end = *first + n;
    return 0;
}

static cJSON *read_pipeline(const struct json_at *at, struct import *m) {
    struct json_at layers = json_member(at, "layers_per_stage"), replicas = json_member(at, "tmp_per_stage");
    int n, same;
    if (json_array(&layers, 1, LAYERS_MAX, &n, m->e) || json_array(&replicas, n, n, &same, m->e)) return NULL;
    cJSON *o = cJSON_CreateObject(), *stages = cJSON_AddArrayToObject(o, "stages");
    const cJSON *x = layers.node->child, *y = replicas.node->child;
    for (int i = 0; i < n; i++, x = x->next, y = y->next) {
        struct json_at range = json_element(&layers, i, x), group = json_element(&replicas, i, y);
        double ends[2];
        int first = 0, end = 0;
        cJSON *list = read_range(&range, &first, &end, m->e) ? NULL : read_replicas(&group, m);
        if (!list) return cJSON_Delete(o), NULL;
        cJSON *stage = cJSON_CreateObject();
        ends[0] = first, ends[1] = end;
        cJSON_AddItemToObject(stage, "layers", import_reals(ends, 2));
        cJSON_AddItemToObject(stage, "replicas", list);
        cJSON_AddItemToArray(stages, stage);
    }
    return o;
}

static cJSON *read_pipelines(const struct json_at *at, struct import *m) {
    int n, i = 0;
    if (json_array(at, 1, 100000, &n, m->e)) return NULL;
    cJSON *list = cJSON_CreateArray();
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        cJSON *pipeline = read_pipeline(&here, m);
        if (!pipeline) return cJSON_Delete(list), NULL;
        cJSON_AddItemToArray(list, pipeline);
    }
    return list;
}

static cJSON *read_plan(const struct json_at *at, const char *name, const char *model, const char *site,
                        struct import *m) {
    struct json_at list = json_member(at, "pipeline_list"), mbs = json_member(at, "mbs"),
                   gbs = json_member(at, "gbs");
    struct json_at real = json_member(at, "real"), mem = json_member(at, "max_mem"),
                   nodes = json_member(at, "N");
    double time = NAN, peak = NAN;
    int micro, batch, n = 0;
    if (json_int(&mbs, 1, 65536, &micro, m->e) || json_int(&gbs, 1, 100000000, &batch, m->e)) return NULL;
    if (real.node && json_positive(&real, &time, m->e)) return NULL;
    if (mem.node && json_positive(&mem, &peak, m->e)) return NULL;
    if (nodes.node && json_int(&nodes, 1, 1000000, &n, m->e)) return NULL;
    cJSON *pipelines = read_pipelines(&list, m);
    if (!pipelines) return NULL;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "format", "sailor-plan/1");
    cJSON_AddStringToObject(o, "name", name);
    cJSON_AddStringToObject(o, "model", model);
    cJSON_AddStringToObject(o, "site", site);
    cJSON_AddItemToObject(o, "global_batch_size", json_double(batch));
    cJSON_AddItemToObject(o, "micro_batch_size", json_double(micro));
    cJSON_AddItemToObject(o, "pipelines", pipelines);
    if (!real.node && !mem.node) return o;
    cJSON *measured = cJSON_AddObjectToObject(o, "measured");
    if (real.node) cJSON_AddItemToObject(measured, "iteration_time_s", json_double(time));
    if (mem.node) cJSON_AddItemToObject(measured, "peak_memory_bytes", json_double(peak));
    if (n) cJSON_AddItemToObject(measured, "nodes", json_double(n));
    return o;
}

/* ---- finding files ---------------------------------------------------------------------------------------
 */

/** The artifact's folder holds sailor/; inside it files have the paths below. Shorter paths serve partial
 * copies. */
const char *import_find_under(const char *dir, const char *rel, struct arena *a) {
    static const char *const roots[] = {"", "sailor/"};
    for (const char *tail = rel; tail; tail = strchr(tail, '/') ? strchr(tail, '/') + 1 : NULL)
        for (size_t r = 0; r < sizeof roots / sizeof *roots; r++) {
            char *path = arena_printf(a, "%s/%s%s", dir, roots[r], tail);
            if (access(path, F_OK) == 0) return path;
        }
    return NULL;
}

static int by_path(const void *x, const void *y) { return strcmp(*(char *const *)x, *(char *const *)y); }

/** Sorted names in a directory, without hidden ones. */
int import_list_dir(const char *path, const char ***names, struct arena *a) {
    DIR *d = opendir(path);
    int n = 0, room = 64;
    if (!d) return 0;
    const char **v = ARENA_ARRAY(a, const char *, room);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        if (n == room) {
            const char **more = ARENA_ARRAY(a, const char *, 2 * room);
            memcpy(more, v, sizeof *v * (size_t)n);
            v = more, room *= 2;
        }
        v[n++] = arena_strdup(a, f->d_name);
    }
    closedir(d);
    qsort(v, (size_t)n, sizeof *v, by_path);
    *names = v;
    return n;
}

/** Tree of a file below dir, or NULL: not there (*missing), or *e set. */
cJSON *import_open(const char *dir, const char *rel, struct json_at *at, bool *missing,
                        struct import *m) {
    const char *path = import_find_under(dir, rel, &m->arena);
    size_t size;
    *missing = !path;
    *at = json_root(path, NULL);
    char *text = path ? read_text(path, &size, &m->arena, m->e) : NULL;
    cJSON *tree = text ? json_parse(path, text, size, m->e) : NULL;
    at->node = tree;
    return tree;
}

static int import_sizes(const char *dir, struct import *m) {
    struct json_at at;
    bool missing;
    cJSON *tree = import_open(dir, "Planner/llm_info.json", &at, &missing, m);
    if (!tree) return missing ? 0 : -1;
    int rc = read_sizes(&at, m);
    cJSON_Delete(tree);
    if (rc == 0) put_models(m);
    return rc;
}

static bool have_output(const struct import *m, const char *path) {
    for (const struct output *o = m->first; o; o = o->next)
        if (strcmp(o->path, path) == 0) return true;
    return false;
}

/** profiles/MODEL/GPU/profile.json, for pairs that the common file does not have. */
static int import_single_profiles(const char *dir, struct import *m) {
    const char *root = import_find_under(dir, "Planner/sailor_planner/profiles", &m->arena), **models, **gpus;
    int n_model = root ? import_list_dir(root, &models, &m->arena) : 0;
    for (int i = 0; i < n_model; i++) {
        const char *folder = arena_printf(&m->arena, "%s/%s", root, models[i]);
        int known = name_index(m->published, m->n_model, models[i]), n_gpu = import_list_dir(folder, &gpus, &m->arena);
        for (int j = 0; j < n_gpu; j++) {
            const char *path = arena_printf(&m->arena, "%s/%s/profile.json", folder, gpus[j]);
            const char *to = arena_printf(&m->arena, "profiles/%s/%s.json",
                                          known >= 0 ? m->model[known] : models[i], gpus[j]);
            if (access(path, F_OK) != 0 || have_output(m, to)) continue;
            size_t size;
            char *text = read_text(path, &size, &m->arena, m->e);
            cJSON *tree = text ? json_parse(path, text, size, m->e) : NULL;
            if (!tree) return -1;
            struct json_at at = json_root(path, tree);
            int rc =
                read_profile(&at, models[i], gpus[j],
                             arena_printf(&m->arena, "Planner/sailor_planner/profiles/%s/%s/profile.json",
                                          models[i], gpus[j]),
                             m);
            cJSON_Delete(tree);
            if (rc) return -1;
        }
    }
    return 0;
}

static int import_profiles(const char *dir, struct import *m) {
    static const char rel[] = "Planner/simulations/profiles_tmp.json";
    struct json_at at;
    bool missing;
    cJSON *tree = import_open(dir, rel, &at, &missing, m);
    if (!tree && !missing) return -1;
    int rc = tree ? read_all_times(&at, rel, m) : 0;
    cJSON_Delete(tree);
    return rc ? rc : import_single_profiles(dir, m);
}

static int import_site(const char *dir, struct import *m) {
    static const char *const rel[4] = {
        "providers/multizone_bandwidths_het.json", "providers/multizone_bandwidths.json",
        "providers/intra_node_bandwidths.json", "providers/gcp/communication_cost.json"};
    struct json_at at[4];
    cJSON *tree[4] = {NULL};
    int rc = 0;
    for (int i = 0; i < 4 && rc == 0; i++) {
        bool missing;
        tree[i] = import_open(dir, rel[i], &at[i], &missing, m);
        if (!tree[i] && !missing) rc = -1;
    }
    if (rc == 0 && (tree[0] || tree[1])) rc = put_site(&at[0], &at[1], &at[2], &at[3], m);
    for (int i = 0; i < 4; i++) cJSON_Delete(tree[i]);
    return rc;
}

static int import_job(const char *dir, const struct json_at *at, struct import *m) {
    static const char *const keys[] = {"trace",
                                       "model",
                                       "site",
                                       "global_batch_size",
                                       "objective",
                                       "max_usd_per_iteration",
                                       "min_iterations_per_s",
                                       NULL};
    struct json_at name = json_member(at, "name"), trace = json_member(at, "trace");
    const char *own, *file;
    size_t size;
    if (json_object(at, keys, m->e) || json_string(&name, &own, &m->arena, m->e) ||
        check_safe(&name, own, m->e))
        return -1;
    if (json_string(&trace, &file, &m->arena, m->e) || check_safe(&trace, file, m->e)) return -1;
    const char *rel = arena_printf(&m->arena, "Planner/simulations/configs/%s", file);
    const char *path = import_find_under(dir, rel, &m->arena);
    if (!path) return 0;
    char *text = read_text(path, &size, &m->arena, m->e);
    cJSON *pools = text ? read_trace(path, text, m) : NULL;
    if (!pools) return -1;
    const cJSON *about = cJSON_GetObjectItemCaseSensitive(at->node, "source");
    cJSON *o = import_new_file("sailor-job/1", own,
                        arena_printf(&m->arena, "%s, %s%s%s", m->source, rel, about ? "; " : "",
                                     cJSON_IsString(about) ? about->valuestring : ""));
    for (int i = 1; keys[i]; i++) add_copy(o, keys[i], at->node, keys[i]);
    cJSON_AddItemToObject(o, "pools", pools);
    import_put(m, arena_printf(&m->arena, "%s.json", own), o);
    return 0;
}

static int import_jobs(const char *dir, struct import *m) {
    struct json_at jobs = json_member(&m->facts, "jobs");
    int n, i = 0;
    if (!jobs.node) return 0;
    if (json_array(&jobs, 0, 1000, &n, m->e)) return -1;
    for (const cJSON *x = jobs.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&jobs, i, x);
        if (import_job(dir, &here, m)) return -1;
    }
    return 0;
}

/** plan_config_*.json below a folder and its subfolders, sorted by path. */
static void find_plans(const char *folder, int depth, const char **paths, int *n, struct arena *a) {
    const char **names;
    int count = import_list_dir(folder, &names, a);
    for (int i = 0; i < count; i++) {
        char *path = arena_printf(a, "%s/%s", folder, names[i]);
        size_t len = strlen(names[i]);
        struct stat st;
        if (stat(path, &st)) continue;
        if (S_ISDIR(st.st_mode) && depth < 4)
            find_plans(path, depth + 1, paths, n, a);
        else if (strncmp(names[i], "plan_config_", 12) == 0 && strcmp(names[i] + len - 5, ".json") == 0 &&
                 *n < VALIDATION_MAX)
            paths[(*n)++] = path;
    }
}

static int import_plans(const char *dir, const struct json_at *at, struct import *m) {
    static const char *const keys[] = {"folder", "model", "site", NULL};
    struct json_at name = json_member(at, "name"), folder = json_member(at, "folder"),
                   model = json_member(at, "model");
    struct json_at site = json_member(at, "site"), about = json_member(at, "source");
    const char *own, *rel, *model_name, *site_name, *text_about = "";
    if (json_object(at, keys, m->e) || json_string(&name, &own, &m->arena, m->e) ||
        check_safe(&name, own, m->e))
        return -1;
    if (json_string(&folder, &rel, &m->arena, m->e) || json_string(&model, &model_name, &m->arena, m->e))
        return -1;
    if (json_string(&site, &site_name, &m->arena, m->e)) return -1;
    if (about.node && json_string(&about, &text_about, &m->arena, m->e)) return -1;
    const char *root = import_find_under(dir, rel, &m->arena),
               **paths = ARENA_ARRAY(&m->arena, const char *, VALIDATION_MAX);
    int n = 0;
    if (!root) return 0;
    find_plans(root, 0, paths, &n, &m->arena);
    if (n == 0) return 0;
    qsort(paths, (size_t)n, sizeof *paths, by_path);
    cJSON *o = cJSON_CreateObject(), *plans;
    cJSON_AddStringToObject(
        o, "source",
        arena_printf(&m->arena, "%s, %s%s%s", m->source, rel, *text_about ? "; " : "", text_about));
    plans = cJSON_AddArrayToObject(o, "plans");
    for (int i = 0; i < n; i++) {
        size_t size;
        char *text = read_text(paths[i], &size, &m->arena, m->e);
        cJSON *tree = text ? json_parse(paths[i], text, size, m->e) : NULL;
        struct json_at here = json_root(paths[i], tree);
        const char *base = strrchr(paths[i], '/') + 1;
        char *stem = arena_printf(&m->arena, "%.*s", (int)strlen(base) - 5, base);
        cJSON *plan = tree ? read_plan(&here, stem, model_name, site_name, m) : NULL;
        cJSON_Delete(tree);
        if (!plan) return cJSON_Delete(o), -1;
        cJSON_AddItemToArray(plans, plan);
    }
    import_put(m, arena_printf(&m->arena, "validation/%s.json", own), o);
    return 0;
}

static int import_validation(const char *dir, struct import *m) {
    struct json_at list = json_member(&m->facts, "validation");
    int n, i = 0;
    if (!list.node) return 0;
    if (json_array(&list, 0, 1000, &n, m->e)) return -1;
    for (const cJSON *x = list.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&list, i, x);
        if (import_plans(dir, &here, m)) return -1;
    }
    return 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------
 */

static bool all_numbers(const cJSON *array) {
    for (const cJSON *x = array->child; x; x = x->next)
        if (!cJSON_IsNumber(x) && !cJSON_IsRaw(x)) return false;
    return true;
}

/** One line: {"a": 1, "b": [1, 2]}. */
static void write_line(struct text *t, const cJSON *node) {
    if (cJSON_IsRaw(node))
        text_add(t, "%s", node->valuestring);
    else if (cJSON_IsNumber(node))
        text_number(t, node->valuedouble);
    else if (cJSON_IsString(node))
        text_string(t, node->valuestring);
    else if (cJSON_IsBool(node))
        text_add(t, cJSON_IsTrue(node) ? "true" : "false");
    else if (cJSON_IsNull(node))
        text_add(t, "null");
    else {
        bool object = cJSON_IsObject(node);
        text_add(t, object ? "{" : "[");
        for (const cJSON *x = node->child; x; x = x->next) {
            if (x != node->child) text_add(t, ", ");
            if (object) text_string(t, x->string), text_add(t, ": ");
            write_line(t, x);
        }
        text_add(t, object ? "}" : "]");
    }
}

/** On one line what is short or a row of numbers; else one line per member. So a change of one figure is a
 * change of one line. */
static void write_value(struct text *t, const cJSON *node, int indent) {
    enum { WIDTH = 110 };
    size_t start = t->n;
    write_line(t, node);
    if (!cJSON_IsObject(node) && !cJSON_IsArray(node)) return;
    if (node->child && indent == 0)
        t->n = start; /* the file itself: always one line per member */
    else if (t->n - start + (size_t)indent <= WIDTH || !node->child ||
             (cJSON_IsArray(node) && all_numbers(node)))
        return;
    t->n = start;
    bool object = cJSON_IsObject(node);
    text_add(t, object ? "{\n" : "[\n");
    for (const cJSON *x = node->child; x; x = x->next) {
        text_add(t, "%*s", indent + 2, "");
        if (object) text_string(t, x->string), text_add(t, ": ");
        write_value(t, x, indent + 2);
        text_add(t, x->next ? ",\n" : "\n");
    }
    text_add(t, "%*s%s", indent, "", object ? "}" : "]");
}

static int make_dirs(const char *path, struct err *e) {
    char part[PATH_TEXT];
    size_t n = strlen(path);
    if (n >= sizeof part) return err_set(e, EXIT_INPUT, "%.200s...: path too long", path);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0777) && errno != EEXIST)
            return err_set(e, EXIT_INTERNAL, "%s: %s", part, strerror(errno));
    }
    return 0;
}

static int write_outputs(const char *out, struct import *m) {
    for (const struct output *o = m->first; o; o = o->next) {
        struct text t = {0};
        char *path = arena_printf(&m->arena, "%s/%s", out, o->path), *folder = arena_strdup(&m->arena, path);
        *strrchr(folder, '/') = '\0';
        if (make_dirs(folder, m->e)) return -1;
        write_value(&t, o->tree, 0);
        text_add(&t, "\n");
        int rc = file_write(path, t.s, t.n, m->e);
        text_free(&t);
        if (rc) return -1;
    }
    return 0;
}

/* ---- the whole -------------------------------------------------------------------------------------------
 */

static void import_free(struct import *m) {
    for (struct output *o = m->first; o; o = o->next) cJSON_Delete(o->tree);
    arena_free(&m->arena);
}

static int import_all(const char *dir, const char *out, struct import *m) {
    if (import_sizes(dir, m) || import_profiles(dir, m) || import_site(dir, m)) return -1;
    if (import_jobs(dir, m) || import_validation(dir, m)) return -1;
    if (import_aceso(dir, m) || import_flashflex(dir, m) || import_galvatron(dir, m) || import_varuna(dir, m)) return -1;
    if (!m->first)
        return err_set(m->e, EXIT_INPUT,
                       "%.250s: nothing to import; expected files such as Planner/llm_info.json, "
                       "Planner/simulations/profiles_tmp.json, providers/multizone_bandwidths_het.json",
                       dir);
    return write_outputs(out, m);
}

int import_run(const char *dir, const char *facts, const char *out, struct err *e) {
    struct import m = {.n_sizes = -1, .e = e};
    struct stat st;
    size_t size;
    m.last = &m.first;
    if (stat(dir, &st) || !S_ISDIR(st.st_mode))
        return err_set(e, EXIT_INPUT, "%.250s: no directory; expected one", dir);
    if (!facts) {
        const char *inputs = inputs_dir(NULL, &m.arena, e);
        if (!inputs) return arena_free(&m.arena), -1;
        facts = arena_printf(&m.arena, "%s/facts/gcp.json", inputs);
    }
    char *text = read_text(facts, &size, &m.arena, e);
    cJSON *tree = text ? json_parse(facts, text, size, e) : NULL;
    m.facts = json_root(facts, tree);
    int rc = tree && read_facts(&m) == 0 ? import_all(dir, out, &m) : -1;
    cJSON_Delete(tree);
    import_free(&m);
    return rc;
}

static int try_one(enum import_kind kind, const char *text, size_t size, struct import *m) {
    static const char file[] = "input";
    struct json_at none = json_root(file, NULL);
    cJSON *out = NULL, *tree = kind == IMPORT_TRACE ? NULL : json_parse(file, text, size, m->e);
    struct json_at at = json_root(file, tree);
    int rc = -1;
    if (kind == IMPORT_TRACE)
        rc = (out = read_trace(file, text, m)) ? 0 : -1;
    else if (!tree)
        return -1;
    else if (kind == IMPORT_SIZES)
        rc = read_sizes(&at, m);
    else if (kind == IMPORT_TIMES)
        rc = read_all_times(&at, file, m);
    else if (kind == IMPORT_PROFILE)
        rc = read_profile(&at, "model", "gpu", file, m);
    else if (kind == IMPORT_LINKS)
        rc = put_site(&at, &none, &none, &none, m);
    else if (kind == IMPORT_INTRA)
        rc = read_intra(&at, &out, m);
    else if (kind == IMPORT_EGRESS)
        rc = read_egress(&at, &out, m);
    else if (kind == IMPORT_PLAN)
        rc = (out = read_plan(&at, "plan", "model", "site", m)) ? 0 : -1;
    if (kind == IMPORT_SIZES && rc == 0) put_models(m);
    cJSON_Delete(out);
    cJSON_Delete(tree);
    return rc;
}

int import_try(enum import_kind kind, const char *text, size_t size, const char *facts, struct err *e) {
    struct import m = {.n_sizes = -1, .e = e};
    m.last = &m.first;
    const char *facts_text = kind == IMPORT_FACTS ? text : facts;
    cJSON *tree = json_parse("facts", facts_text, kind == IMPORT_FACTS ? size : strlen(facts), e);
    m.facts = json_root("facts", tree);
    int rc = tree && read_facts(&m) == 0 ? kind == IMPORT_FACTS ? 0 : try_one(kind, text, size, &m) : -1;
    for (const struct output *o = m.first; o && rc == 0; o = o->next) {
        struct text t = {0};
        write_value(&t, o->tree, 0);
        text_free(&t);
    }
    cJSON_Delete(tree);
    import_free(&m);
    return rc;
}
