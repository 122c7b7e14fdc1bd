#include "formats/devices.h"
#include "base/names.h"
#include "io/json.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { FP32, TF32, BF16, FP16, TYPES };
static const char *const type_name[TYPES + 1] = {"fp32", "tf32", "bf16", "fp16", NULL};
static const char *const file_keys[] = {"format", "devices", NULL};
static const char *const device_keys[] = {"names", "tflops", "sheet", NULL};

/* Is it the whole name, or, with a star at its end, the beginning of the whole name? */
static bool fits(const char *name, const char *whole) {
    size_t n = strlen(name);
    if (!whole) return false;
    return name[n - 1] == '*' ? !strncmp(name, whole, n - 1) : !strcmp(name, whole);
}

/* *who: 0 nothing matches, 1 the GPU type is among the names, 2 the device is. */
static int read_names(const struct json_at *list, const char *device, const char *gpu, int *who,
                      struct arena *a, struct err *e) {
    int n, i = 0;
    *who = 0;
    if (json_array(list, 1, 1000, &n, e)) return -1;
    for (const cJSON *x = list->node->child; x; x = x->next, i++) {
        struct json_at at = json_element(list, i, x);
        const char *name;
        if (json_string(&at, &name, a, e)) return -1;
        if (fits(name, gpu) && !*who) *who = 1;
        if (fits(name, device)) *who = 2;
    }
    return 0;
}

static int read_peaks(const struct json_at *at, double tflops[TYPES], struct err *e) {
    if (json_object(at, type_name, e)) return -1;
    for (int t = 0; t < TYPES; t++) {
        struct json_at one = json_member(at, type_name[t]);
        tflops[t] = NAN;
        if ((one.node || t == FP32) && json_positive(&one, &tflops[t], e)) return -1;
    }
    if (isnan(tflops[TF32])) tflops[TF32] = tflops[FP32];
    return 0;
}

int devices_peak(const char *file, const char *text, const char *device, const char *gpu,
                 const char *products, double *flops_per_s, struct err *e) {
    struct arena a = {0};
    const char *place = device ? strstr(device, " (") : NULL;
    if (place) device = arena_printf(&a, "%.*s", (int)(place - device), device);
    cJSON *tree = json_parse(file, text, strlen(text), e);
    int n, i = 0, type = 0, best = 0;
    *flops_per_s = NAN;
    if (!tree) {
        arena_free(&a);
        return -1;
    }
    while (type < TYPES && strcmp(type_name[type], products)) type++;
    struct json_at root = json_root(file, tree), list = json_member(&root, "devices");
    int rc = json_object(&root, file_keys, e) || json_format(&root, "sailor-devices/1", e) ||
             json_array(&list, 0, 1000, &n, e);
    for (const cJSON *x = rc ? NULL : list.node->child; x && !rc; x = x->next, i++) {
        struct json_at at = json_element(&list, i, x), names = json_member(&at, "names"),
                       peaks = json_member(&at, "tflops");
        double tflops[TYPES];
        int who;
        rc = json_object(&at, device_keys, e) || read_names(&names, device, gpu, &who, &a, e) ||
             read_peaks(&peaks, tflops, e);
        if (rc || who <= best || type == TYPES) continue;
        best = who;
        *flops_per_s = 1e12 * tflops[type];
    }
    cJSON_Delete(tree);
    arena_free(&a);
    return rc ? -1 : 0;
}

/* ---- data sheets -------------------------------------------------------------------- */

/* A number in an object: its key, the range it must lie in, and its unit in SI units. */
struct figure {
    const char *key;
    double lo, hi, unit;
    double *out;
};

static int read_figures(const struct json_at *at, const struct figure *f, int n, struct err *e) {
    const char *keys[24];
    for (int i = 0; i < n; i++) keys[i] = f[i].key;
    keys[n] = NULL;
    if (json_object(at, keys, e)) return -1;
    for (int i = 0; i < n; i++) {
        struct json_at one = json_member(at, f[i].key);
        if (json_real(&one, f[i].lo, f[i].hi, f[i].out, e)) return -1;
        *f[i].out *= f[i].unit;
    }
    return 0;
}

static int read_sheet(const struct json_at *at, struct device *d, struct err *e) {
    static const char *const keys[] = {"memory_GiB", "memory_GBps",  "cache_MB",       "gpus_per_node",
                                       "node_GBps",  "network_GBps", "achieved",       "latency_us",
                                       "context_GB", "launch_bound", "gradient_rings", "tf32_backward",
                                       NULL};
    const struct figure nominal[] = {{"memory_GiB", 0.1, 1e5, 1024.0 * 1024 * 1024, &d->memory_bytes},
                                     {"memory_GBps", 1, 1e6, 1e9, &d->memory_Bps},
                                     {"cache_MB", 0, 1e5, 1e6, &d->cache_bytes},
                                     {"node_GBps", 0.01, 1e5, 1e9, &d->node_Bps},
                                     {"network_GBps", 0.001, 1e5, 1e9, &d->network_Bps}};
    const struct figure achieved[] = {{"product", 0.01, 1, 1, &d->product_efficiency},
                                      {"attention", 0.01, 1, 1, &d->attention_efficiency},
                                      {"memory", 0.01, 1, 1, &d->memory_efficiency},
                                      {"cache_speedup", 1, 20, 1, &d->cache_speedup},
                                      {"node", 0.01, 1.5, 1, &d->node_efficiency},
                                      {"network", 0.01, 1.5, 1, &d->network_efficiency},
                                      {"hidden_collectives", 0, 1, 1, &d->hidden_collectives}};
    const struct figure latency[] = {{"launch", 0, 1e4, 1e-6, &d->launch_s},
                                     {"collective", 0, 1e6, 1e-6, &d->collective_s},
                                     {"collective_step", 0, 1e6, 1e-6, &d->collective_step_s},
                                     {"network", 0, 1e6, 1e-6, &d->network_s}};
    if (json_object(at, keys, e)) return -1;
    for (size_t i = 0; i < sizeof nominal / sizeof *nominal; i++) {
        struct json_at one = json_member(at, nominal[i].key);
        if (json_real(&one, nominal[i].lo, nominal[i].hi, nominal[i].out, e)) return -1;
        *nominal[i].out *= nominal[i].unit;
    }
    double context_GB = 2;
    const struct figure optional[] = {{"context_GB", 0, 100, 1, &context_GB},
                                      {"launch_bound", 0.1, 1, 1, &d->launch_bound},
                                      {"gradient_rings", 0.01, 1, 1, &d->ring_share},
                                      {"tf32_backward", 0.01, 1, 1, &d->tf32_backward}};
    d->launch_bound = d->ring_share = d->tf32_backward = 1;
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        struct json_at one = json_member(at, optional[i].key);
        if (one.node && json_real(&one, optional[i].lo, optional[i].hi, optional[i].out, e)) return -1;
    }
    d->context_bytes = context_GB * 1e9;
    struct json_at gpus = json_member(at, "gpus_per_node"), of = json_member(at, "achieved"),
                   us = json_member(at, "latency_us");
    return json_int(&gpus, 1, 1024, &d->gpus_per_node, e) ||
                   read_figures(&of, achieved, sizeof achieved / sizeof *achieved, e) ||
                   read_figures(&us, latency, sizeof latency / sizeof *latency, e)
               ? -1
               : 0;
}

/* Opens a file of this format and returns its list of entries. NULL with *e set. */
static cJSON *open_list(const char *file, const char *text, const char *const keys[], const char *format,
                        struct json_at *root, struct json_at *list, struct err *e) {
    cJSON *tree = json_parse(file, text, strlen(text), e);
    int n;
    if (!tree) return NULL;
    *root = json_root(file, tree);
    *list = json_member(root, keys[1]);
    if (!json_object(root, keys, e) && !json_format(root, format, e) && !json_array(list, 0, 1000, &n, e))
        return tree;
    cJSON_Delete(tree);
    return NULL;
}

static int read_entry(const struct json_at *at, struct device_entry *x, struct arena *a, struct err *e) {
    struct json_at names = json_member(at, "names"), peaks = json_member(at, "tflops"),
                   sheet = json_member(at, "sheet"), source = json_member(&sheet, "source");
    int i = 0;
    if (json_object(at, device_keys, e) || json_array(&names, 1, 1000, &x->n_names, e)) return -1;
    x->names = ARENA_ARRAY(a, const char *, x->n_names);
    for (const cJSON *y = names.node->child; y; y = y->next, i++) {
        struct json_at name = json_element(&names, i, y);
        if (json_string(&name, &x->names[i], a, e)) return -1;
    }
    x->d.name = x->names[0];
    x->sheet = sheet.node != NULL;
    if (read_peaks(&peaks, x->d.peak_flops, e)) return -1;
    for (int t = 0; t < TYPES; t++) x->d.peak_flops[t] *= 1e12;
    return x->sheet && (read_sheet(&sheet, &x->d, e) || json_string(&source, &x->d.source, a, e)) ? -1 : 0;
}

int devices_all(const char *file, const char *text, struct device_entry **entries, int *n, struct arena *a,
                struct err *e) {
    struct json_at root, list;
    cJSON *tree = open_list(file, text, file_keys, "sailor-devices/1", &root, &list, e);
    int rc = tree ? json_array(&list, 0, 1000, n, e) : -1, i = 0;
    *entries = rc ? NULL : ARENA_ARRAY(a, struct device_entry, *n + 1);
    for (const cJSON *x = rc ? NULL : list.node->child; x && !rc; x = x->next, i++) {
        struct json_at at = json_element(&list, i, x);
        rc = read_entry(&at, &(*entries)[i], a, e);
    }
    cJSON_Delete(tree);
    return rc ? -1 : 0;
}

/* Lists the GPU types that have a sheet, "A100-40, A100-80, ...", and guesses which one `gpu` means. */
static int no_sheet(const char *file, const struct device_entry *list, int n, const char *gpu,
                    const char *where, struct arena *a, struct err *e) {
    const char *names = "", **known = ARENA_ARRAY(a, const char *, n + 1);
    int n_known = 0;
    for (int i = 0; i < n; i++) {
        if (!list[i].sheet) continue;
        known[n_known++] = list[i].d.name;
        names = arena_printf(a, "%s%s%s", names, *names ? ", " : "", list[i].d.name);
    }
    err_set(e, EXIT_INPUT, "%s: no data sheet for GPU \"%.60s\" in %s; expected one of %s%s", where, gpu,
            file, names, name_hint(gpu, known, n_known, a));
    return 1;
}

static bool is_called(const struct device_entry *x, const char *gpu) {
    for (int i = 0; i < x->n_names; i++)
        if (fits(x->names[i], gpu)) return true;
    return false;
}

int devices_find(const char *file, const struct device_entry *list, int n, const char *gpu, const char *where,
                 struct device *d, struct arena *a, struct err *e) {
    int i = 0;
    while (i < n && !is_called(&list[i], gpu)) i++;
    if (i == n || !list[i].sheet) return no_sheet(file, list, n, gpu, where, a, e);
    *d = list[i].d;
    d->name = arena_strdup(a, gpu);
    return 0;
}

int devices_sheet(const char *file, const char *text, const char *gpu, const char *where, struct device *d,
                  struct arena *a, struct err *e) {
    struct device_entry *list;
    int n;
    if (devices_all(file, text, &list, &n, a, e)) return -1;
    return devices_find(file, list, n, gpu, where, d, a, e);
}

/* ---- frameworks --------------------------------------------------------------------- */

static const char *const frameworks_keys[] = {"format", "frameworks", NULL};

static int read_framework(const struct json_at *at, struct framework *f, struct arena *a, struct err *e) {
    static const char *const keys[] = {"name",
                                       "flash_attention",
                                       "sheds_gradients",
                                       "hides_transfers",
                                       "launches",
                                       "softmax_multiple",
                                       "lone_head",
                                       "pass_norm",
                                       "bytes",
                                       "kept",
                                       "iteration_ms",
                                       "reserved",
                                       "staging_s_per_GB",
                                       "eager_KiB",
                                       NULL};
    const struct figure launches[] = {{"forward", 0, 1e4, 1, &f->block_launches},
                                      {"backward", 0, 1e4, 1, &f->backward_launches},
                                      {"collective", 0, 1e3, 1, &f->collective_launches},
                                      {"unfused_softmax", 0, 1e4, 1, &f->softmax_launches}};
    const struct figure bytes[] = {{"whole", 0, 1e4, 1, &f->whole_bytes},
                                   {"split", 0, 1e4, 1, &f->split_bytes},
                                   {"score", 0, 1e4, 1, &f->score_bytes},
                                   {"update", 0, 1e4, 1, &f->update_bytes},
                                   {"reduced", 0, 16, 1, &f->reduced_bytes}};
    const struct figure kept[] = {{"parameters", 0, 64, 1, &f->parameter_bytes},
                                  {"gradients", 0, 64, 1, &f->gradient_bytes},
                                  {"optimizer", 0, 64, 1, &f->optimizer_bytes},
                                  {"master", 0, 64, 1, &f->master_bytes}};
    const struct figure own[] = {{"lone_head", 1, 10, 1, &f->lone_head},
                                 {"pass_norm", 1, 100, 1, &f->pass_norm},
                                 {"iteration_ms", 0, 1e4, 1e-3, &f->iteration_s},
                                 {"reserved", 1, 3, 1, &f->reserved_factor}};
    struct json_at source = json_member(at, "source"), multiple = json_member(at, "softmax_multiple");
    struct {
        const char *key;
        bool *out;
    } flags[] = {{"flash_attention", &f->flash_attention},
                 {"sheds_gradients", &f->sheds_gradients},
                 {"hides_transfers", &f->hides_transfers}};
    if (json_object(at, keys, e)) return -1;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct json_at one = json_member(at, flags[i].key);
        if (json_bool(&one, flags[i].out, e)) return -1;
    }
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        struct json_at one = json_member(at, own[i].key);
        if (json_real(&one, own[i].lo, own[i].hi, own[i].out, e)) return -1;
        *own[i].out *= own[i].unit;
    }
    const struct figure optional[] = {{"staging_s_per_GB", 0, 100, 1e-9, &f->staging_s_per_B},
                                      {"eager_KiB", 0, 1e9, 1024, &f->eager_bytes}};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        struct json_at one = json_member(at, optional[i].key);
        if (one.node && json_real(&one, optional[i].lo, optional[i].hi, optional[i].out, e)) return -1;
        *optional[i].out *= optional[i].unit;
    }
    struct json_at in[] = {json_member(at, "launches"), json_member(at, "bytes"), json_member(at, "kept")};
    return json_int(&multiple, 0, 1024, &f->softmax_multiple, e) ||
                   read_figures(&in[0], launches, sizeof launches / sizeof *launches, e) ||
                   read_figures(&in[1], bytes, sizeof bytes / sizeof *bytes, e) ||
                   read_figures(&in[2], kept, sizeof kept / sizeof *kept, e) ||
                   json_string(&source, &f->source, a, e)
               ? -1
               : 0;
}

int frameworks_find(const char *file, const char *text, const char *name, const char *where,
                    struct framework *f, struct arena *a, struct err *e) {
    struct json_at root, list;
    cJSON *tree = open_list(file, text, frameworks_keys, "sailor-frameworks/1", &root, &list, e);
    int rc = tree ? 0 : -1, n = tree ? cJSON_GetArraySize(list.node) : 0, i = 0;
    const char **names = ARENA_ARRAY(a, const char *, n + 1), *said = "";
    bool found = false;
    for (const cJSON *x = tree ? list.node->child : NULL; x && !rc; x = x->next, i++) {
        struct json_at at = json_element(&list, i, x), own = json_member(&at, "name");
        struct framework one = {0};
        rc = json_string(&own, &one.name, a, e) || read_framework(&at, &one, a, e);
        if (rc) break;
        names[i] = one.name;
        said = arena_printf(a, "%s%s%s", said, i ? ", " : "", one.name);
        if (strcmp(one.name, name) != 0) continue;
        *f = one;
        found = true;
    }
    cJSON_Delete(tree);
    if (rc || found) return rc ? -1 : 0;
    return err_set(e, EXIT_INPUT, "%s: no framework \"%.60s\" in %s; expected one of %s%s", where, name, file,
                   said, name_hint(name, names, n, a));
}
