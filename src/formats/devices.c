#include "formats/devices.h"
#include "io/json.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { FP32, TF32, BF16, FP16, TYPES };
static const char *const type_name[TYPES + 1] = {"fp32", "tf32", "bf16", "fp16", NULL};

/* A name is the whole one, or with a star at its end how the whole one begins. */
static bool fits(const char *name, const char *whole) {
    size_t n = strlen(name);
    if (!whole) return false;
    return name[n - 1] == '*' ? !strncmp(name, whole, n - 1) : !strcmp(name, whole);
}

/* *who: 0 nobody, 1 the GPU type is among the names, 2 the device is. */
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
    static const char *const keys[] = {"format", "devices", NULL}, *const of[] = {"names", "tflops", NULL};
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
    int rc = json_object(&root, keys, e) || json_format(&root, "sailor-devices/1", e) ||
             json_array(&list, 0, 1000, &n, e);
    for (const cJSON *x = rc ? NULL : list.node->child; x && !rc; x = x->next, i++) {
        struct json_at at = json_element(&list, i, x), names = json_member(&at, "names"),
                       peaks = json_member(&at, "tflops");
        double tflops[TYPES];
        int who;
        rc = json_object(&at, of, e) || read_names(&names, device, gpu, &who, &a, e) ||
             read_peaks(&peaks, tflops, e);
        if (rc || who <= best || type == TYPES) continue;
        best = who;
        *flops_per_s = 1e12 * tflops[type];
    }
    cJSON_Delete(tree);
    arena_free(&a);
    return rc ? -1 : 0;
}
