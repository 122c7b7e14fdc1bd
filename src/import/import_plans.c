#include "import/kinds.h"
#include "formats/inputs.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Published plans and their measurements. */

enum { VALIDATION_MAX = 10000 };

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
        if (i == 0) {
            *gpu = vms[0];
            *zone = z;
        }
    }
    if (*n_vm == 1) *n_vm = 0; /* one entry is the default: a replica within one machine */
    return 0;
}

static cJSON *read_replicas(const struct json_at *at, struct import *m) {
    int n, i = 0, gpu = 0, zone = 0, tp = 0, n_vm = 0, vms[64], before[64 + 4] = {-1};
    if (json_array(at, 1, 1000000, &n, m->e)) return NULL;
    cJSON *list = cJSON_CreateArray(), *count = NULL;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (read_replica(&here, m, &gpu, &zone, &tp, vms, &n_vm)) {
            cJSON_Delete(list);
            return NULL;
        }
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
        if (!list) {
            cJSON_Delete(o);
            return NULL;
        }
        cJSON *stage = cJSON_CreateObject();
        ends[0] = first;
        ends[1] = end;
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
        if (!pipeline) {
            cJSON_Delete(list);
            return NULL;
        }
        cJSON_AddItemToArray(list, pipeline);
    }
    return list;
}

cJSON *import_read_plan(const struct json_at *at, const char *name, const char *model, const char *site,
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
        import_check_safe(&name, own, m->e))
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
    qsort(paths, (size_t)n, sizeof *paths, import_by_name);
    cJSON *o = cJSON_CreateObject(), *plans;
    cJSON_AddStringToObject(
        o, "source",
        arena_printf(&m->arena, "%s, %s%s%s", m->source, rel, *text_about ? "; " : "", text_about));
    plans = cJSON_AddArrayToObject(o, "plans");
    for (int i = 0; i < n; i++) {
        size_t size;
        char *text = file_read_text(paths[i], &size, &m->arena, m->e);
        cJSON *tree = text ? json_parse(paths[i], text, size, m->e) : NULL;
        struct json_at here = json_root(paths[i], tree);
        const char *base = strrchr(paths[i], '/') + 1;
        char *stem = arena_printf(&m->arena, "%.*s", (int)strlen(base) - 5, base);
        cJSON *plan = tree ? import_read_plan(&here, stem, model_name, site_name, m) : NULL;
        cJSON_Delete(tree);
        if (!plan) {
            cJSON_Delete(o);
            return -1;
        }
        cJSON_AddItemToArray(plans, plan);
    }
    import_put(m, arena_printf(&m->arena, "validation/%s.json", own), o);
    return 0;
}

int import_validation(const char *dir, struct import *m) {
    return import_each(dir, "validation", m, import_plans);
}
