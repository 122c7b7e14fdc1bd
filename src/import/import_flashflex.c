#include "import/kinds.h"
#include "formats/planjson.h"

#include <string.h>

/* machine_amounts.json: what FlashFlex takes from data sheets -> planners/flashflex.json. */

/* fp32 figures from data sheets where the published ones are for another type or wrong, for the planner's
 * corrected mode. */
static const struct {
    const char *gpu;
    double tflops;
} corrected[] = {{"Titan-RTX", 16.3}, {"RTX-2080", 13.4}, {"RTX-3090", 35.6}};

static int put_sheets(const struct json_at *at, struct import *m) {
    static const char *const keys[] = {"tflops", "memory_GB", "intra_node_GBps"};
    struct json_at specs = json_member(at, "machine_specs");
    const char *source =
        arena_printf(&m->arena,
                     "%s, Planner/baselines/FlashFlex/src/machine_amounts.json; corrected_tflops: "
                     "fp32, the vendors' data sheets",
                     m->source);
    if (!cJSON_IsObject(specs.node))
        return json_fail(&specs, m->e, "%s; expected an object of GPU types",
                         specs.node ? "not an object" : "missing");
    cJSON *o = import_new_file("sailor-flashflex/1", NULL, source);
    cJSON *list = cJSON_AddArrayToObject(o, "gpus");
    import_put(m, "planners/flashflex.json", o);
    for (int i = 0; i < m->n_gpu; i++) {
        struct json_at spec = json_member(&specs, m->gpu[i]);
        int n, k = 0;
        if (!spec.node) continue;
        if (json_array(&spec, 3, 3, &n, m->e)) return -1;
        cJSON *gpu = cJSON_CreateObject();
        cJSON_AddItemToArray(list, gpu);
        cJSON_AddStringToObject(gpu, "gpu", m->gpu[i]);
        for (const cJSON *x = spec.node->child; x; x = x->next, k++) {
            struct json_at here = json_element(&spec, k, x);
            double v;
            if (json_positive(&here, &v, m->e)) return -1;
            cJSON_AddItemToObject(gpu, keys[k], json_double(v));
            for (size_t c = 0; k == 0 && c < sizeof corrected / sizeof *corrected; c++)
                if (!strcmp(corrected[c].gpu, m->gpu[i]))
                    cJSON_AddItemToObject(gpu, "corrected_tflops", json_double(corrected[c].tflops));
        }
    }
    return 0;
}

int import_flashflex(const char *dir, struct import *m) {
    struct json_at at;
    bool missing;
    cJSON *tree = import_open(dir, "Planner/baselines/FlashFlex/src/machine_amounts.json", &at, &missing, m);
    int rc = tree ? put_sheets(&at, m) : missing ? 0 : -1;
    cJSON_Delete(tree);
    return rc;
}
