#include "import/kinds.h"
#include "formats/inputs.h"
#include "formats/planjson.h"
#include "io/file.h"

#include <string.h>

/* Galvatron's measurements: a folder of three files per (model, GPU type), and the slowdown of overlap per
 * GPU type. */

enum { RING_MAX = 4096 };

static int add_real(cJSON *to, const char *key, const struct json_at *from, const char *from_key,
                    struct err *e) {
    struct json_at at = json_member(from, from_key);
    double v;
    if (json_real(&at, 0, 1e9, &v, e)) return -1;
    if (key)
        cJSON_AddItemToObject(to, key, json_double(v));
    else
        cJSON_AddItemToArray(to, json_double(v));
    return 0;
}

/* forward_ms */
static int read_compute(const struct json_at *at, cJSON *o, struct import *m) {
    return add_real(o, "forward_ms", at, "layertype_0", m->e);
}

/* weights_MiB, activation_MiB by degree, and memory outside the layers: on the only, the first, the last
 * stage */
static int read_memory(const struct json_at *at, cJSON *o, struct import *m) {
    static const char *const other[] = {"other_memory_pp_off", "other_memory_pp_on_first",
                                        "other_memory_pp_on_last"};
    static const char *const degree[] = {"1", "2", "4"};
    struct json_at layer = json_member(at, "layertype_0");
    struct json_at by_degree = json_member(&layer, "tp_activation_per_bsz_dict");
    if (add_real(o, "weights_MiB", &layer, "parameter_size", m->e)) return -1;
    cJSON *act = cJSON_AddArrayToObject(o, "activation_MiB");
    for (int i = 0; i < 3; i++)
        if (add_real(act, NULL, &by_degree, degree[i], m->e)) return -1;
    cJSON *states = cJSON_AddArrayToObject(o, "other_states_MiB");
    act = cJSON_AddArrayToObject(o, "other_activation_MiB");
    for (int i = 0; i < 3; i++) {
        struct json_at part = json_member(at, other[i]);
        if (add_real(states, NULL, &part, "model_states", m->e) ||
            add_real(act, NULL, &part, "activation", m->e))
            return -1;
    }
    return 0;
}

/* overlap, ring_GiBps for 2, 3, ... GPUs */
static int read_hardware(const struct json_at *at, cJSON *o, struct import *m) {
    static const char *const kind[] = {"strided", "consecutive"};
    if (add_real(o, "overlap", at, "overlap_coe", m->e)) return -1;
    cJSON *rings = cJSON_AddObjectToObject(o, "ring_GiBps");
    for (int k = 0; k < 2; k++) {
        cJSON *row = cJSON_AddArrayToObject(rings, kind[k]);
        for (int n = 2; n < RING_MAX; n++) {
            const char *key = arena_printf(&m->arena, "allreduce_size_%d_consec_%d", n, k);
            if (!json_member(at, key).node) break;
            if (add_real(row, NULL, at, key, m->e)) return -1;
        }
    }
    return 0;
}

/* overlap_by_gpus: for 1, 2, 4, ... GPUs in a node */
static int read_overlaps(const struct json_at *at, cJSON *o, struct import *m) {
    cJSON *row = cJSON_AddArrayToObject(o, "overlap_by_gpus");
    for (int n = 1; n <= TP_MAX; n *= 2) {
        const char *key = arena_printf(&m->arena, "%d", n);
        if (n > 1 && !json_member(at, key).node) break;
        if (add_real(row, NULL, at, key, m->e)) return -1;
    }
    return 0;
}

static cJSON *open_file(const char *path, struct json_at *at, struct import *m) {
    size_t size;
    char *text = file_read_text(path, &size, &m->arena, m->e);
    cJSON *tree = text ? json_parse(path, text, size, m->e) : NULL;
    *at = json_root(path, tree);
    return tree;
}

/* The `folder` of one (model, GPU type), at `rel` in the artifact. */
static int import_pair(const char *folder, const char *rel, const char *model, const char *gpu,
                       const struct json_at *overlaps, struct import *m) {
    static const char *const file[] = {"compute_profile", "memory_profile", "hw_prof"};
    static int (*const read[])(const struct json_at *, cJSON *, struct import *) = {read_compute, read_memory,
                                                                                    read_hardware};
    struct json_at here = json_member(overlaps, gpu);
    cJSON *o =
        import_new_file("sailor-galvatron/1", NULL,
                        arena_printf(&m->arena,
                                     "%s, Planner/baselines/Galvatron/%s/{compute_profile,memory_profile,"
                                     "hw_prof}.json and overlap_coe_dicts.json",
                                     m->source, rel));
    int rc = 0;
    cJSON_AddStringToObject(o, "model", model);
    cJSON_AddStringToObject(o, "gpu", gpu);
    for (int i = 0; i < 3 && !rc; i++) {
        struct json_at at;
        cJSON *tree = open_file(arena_printf(&m->arena, "%s/%s.json", folder, file[i]), &at, m);
        rc = tree ? read[i](&at, o, m) : -1;
        cJSON_Delete(tree);
    }
    if (!rc) rc = read_overlaps(&here, o, m);
    if (!rc)
        import_put(m, arena_printf(&m->arena, "planners/galvatron/%s/%s.json", model, gpu), o);
    else
        cJSON_Delete(o);
    return rc;
}

int import_galvatron(const char *dir, struct import *m) {
    /* other folders are called profiles too: this one is next to a file that only Galvatron has */
    const char *path =
        import_find_under(dir, "Planner/baselines/Galvatron/overlap_coe_dicts.json", &m->arena);
    if (!path) return 0;
    const char *root = arena_printf(&m->arena, "%.*sprofiles", (int)(strrchr(path, '/') + 1 - path), path);
    const char **models, **gpus;
    struct json_at overlaps;
    cJSON *tree = open_file(path, &overlaps, m);
    int n_model = import_list_dir(root, &models, &m->arena), rc = tree ? 0 : -1;
    for (int i = 0; i < n_model && !rc; i++) {
        const char *folder = arena_printf(&m->arena, "%s/%s", root, models[i]);
        int known = name_index(m->published, m->n_model, models[i]),
            n_gpu = import_list_dir(folder, &gpus, &m->arena);
        const char *model = known >= 0 ? m->model[known] : models[i];
        for (int j = 0; j < n_gpu && !rc; j++)
            if (import_safe_name(model) && import_safe_name(gpus[j]))
                rc = import_pair(arena_printf(&m->arena, "%s/%s", folder, gpus[j]),
                                 arena_printf(&m->arena, "profiles/%s/%s", models[i], gpus[j]), model,
                                 gpus[j], &overlaps, m);
    }
    cJSON_Delete(tree);
    return rc;
}
