#include "import/kinds.h"
#include "formats/planjson.h"

#include <stdlib.h>

/* Varuna's profiles add only the memory of single layers to the common profile. It was measured at degree 4
 * and copied to the files of the other degrees. */

struct size {
    int mb;
    const cJSON *node; /* in the first layer */
};

static int by_size(const void *x, const void *y) {
    const struct size *a = x, *b = y;
    return (a->mb > b->mb) - (a->mb < b->mb);
}

/** layer -> microbatch -> {mem_required, ...}, or {} where it was not measured. */
static int read_profile(const struct json_at *at, const char *model, const char *gpu, const char *source,
                        struct import *m) {
    const cJSON *node[LAYERS_MAX];
    double bytes[LAYERS_MAX];
    int n_layer, n = 0, i = 0;
    if (import_layers(at, node, &n_layer, m->e)) return -1;
    struct json_at first = json_element(at, 0, node[0]);
    if (!cJSON_IsObject(node[0]))
        return json_fail(&first, m->e, "not an object; expected one with microbatch sizes as keys");
    struct size *size = ARENA_ARRAY(&m->arena, struct size, cJSON_GetArraySize(node[0]) + 1);
    for (const cJSON *x = node[0]->child; x; x = x->next, i++) {
        struct json_at here = json_element(&first, i, x);
        char *end;
        long mb = strtol(x->string, &end, 10);
        if (*end || mb < 1 || mb > 65536)
            return json_fail(&here, m->e, "not a microbatch size; expected \"1\" to \"65536\"");
        size[n++] = (struct size){(int)mb, x};
    }
    if (!n) return json_fail(&first, m->e, "no microbatch; expected one at least");
    qsort(size, (size_t)n, sizeof *size, by_size);
    cJSON *o = import_new_file("sailor-varuna/1", NULL, source);
    cJSON_AddStringToObject(o, "model", model);
    cJSON_AddStringToObject(o, "gpu", gpu);
    cJSON_AddItemToObject(o, "tp", json_double(4));
    cJSON *rows = cJSON_AddArrayToObject(o, "peaks");
    for (int k = 0; k < n; k++) {
        bool measured = size[k].node->child;
        for (int l = 0; l < n_layer && measured; l++) {
            struct json_at layer = {.up = at, .key = node[l]->string, .node = node[l]};
            struct json_at mb = json_member(&layer, size[k].node->string),
                           peak = json_member(&mb, "mem_required");
            if (json_positive(&peak, &bytes[l], m->e)) {
                cJSON_Delete(o);
                return -1;
            }
        }
        cJSON *row = cJSON_CreateObject();
        cJSON_AddItemToObject(row, "micro_batch_size", json_double(size[k].mb));
        cJSON_AddItemToObject(row, "layer_bytes",
                              measured ? import_reals(bytes, n_layer) : cJSON_CreateNull());
        cJSON_AddItemToArray(rows, row);
    }
    import_put(m, arena_printf(&m->arena, "planners/varuna/%s/%s.json", model, gpu), o);
    return 0;
}

int import_varuna(const char *dir, struct import *m) {
    static const char folder[] = "Planner/baselines/Varuna/profiles";
    const char *root = import_find_under(dir, folder, &m->arena), **models, **gpus;
    int n_model = root ? import_list_dir(root, &models, &m->arena) : 0;
    for (int i = 0; i < n_model; i++) {
        int known = name_index(m->published, m->n_model, models[i]);
        if (!import_safe_name(models[i])) continue;
        int n_gpu = import_list_dir(arena_printf(&m->arena, "%s/%s", root, models[i]), &gpus, &m->arena);
        for (int j = 0; j < n_gpu; j++) {
            if (!import_safe_name(gpus[j])) continue;
            const char *rel = arena_printf(&m->arena, "%s/%s/%s/profile_4.json", folder, models[i], gpus[j]);
            struct json_at at;
            bool missing;
            cJSON *tree = import_open(dir, rel, &at, &missing, m);
            if (!tree && missing) continue;
            int rc = tree ? read_profile(&at, known >= 0 ? m->model[known] : models[i], gpus[j],
                                         arena_printf(&m->arena, "%s, %s", m->source, rel), m)
                          : -1;
            cJSON_Delete(tree);
            if (rc) return -1;
        }
    }
    return 0;
}
