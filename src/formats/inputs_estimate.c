#include "formats/devices.h"
#include "formats/inputs_priv.h"
#include "formats/shape.h"
#include "io/file.h"

#include <string.h>

/* Profiles from data sheets, for models that say what they are made of. */

static const char frameworks_file[] = "frameworks.json";

const char *inputs_usual_framework(const struct model *m, const char *dtype) {
    if (!strcmp(dtype, inputs_dtypes[0])) return "megatron-deepspeed-fp32";
    return m->shape && !m->shape->keeps_scores ? "megatron-core" : "megatron";
}

int profile_estimate(const struct model *m, const char *gpu, const char *dtype, const char *framework,
                     const struct plan_options *o, const char *inputs, const char **text, struct arena *a,
                     struct err *e) {
    struct device d;
    struct framework f;
    struct text out = {0};
    const char *dir = inputs_dir(inputs, a, e), *where = arena_printf(a, "model %s", m->name);
    if (!dir) return -1;
    if (!m->shape)
        return err_set(e, EXIT_INPUT,
                       "model %s: /transformer: missing; expected what the model is made of, to estimate its "
                       "layers from a data sheet (sailor model writes such files)%s%s",
                       m->name, m->stands_for ? "; it stands for " : "", m->stands_for ? m->stands_for : "");
    const char *devices, *frameworks;
    if (inputs_text(dir, "devices.json", true, &devices, a, e) ||
        inputs_text(dir, frameworks_file, true, &frameworks, a, e))
        return -1;
    int rc = devices_sheet("devices.json", devices, gpu, where, &d, a, e);
    if (rc) return rc;
    const char *name = framework ? framework : inputs_usual_framework(m, dtype);
    if (frameworks_find(frameworks_file, frameworks, name, where, &f, a, e)) return -1;
    if (!framework) f.flash_attention = !m->shape->keeps_scores;
    rc = shape_write_profile(&out, m, &d, &f, dtype, o, e) ? 1 : 0;
    *text = rc ? NULL : arena_strdup(a, out.s);
    text_free(&out);
    return rc;
}

/* ---- the framework that a job or plan names ---- */

static int find_framework(const struct json_at *at, const char *name, const char *text, struct lookup *k,
                          struct loaded *l) {
    struct framework *f = ARENA_NEW(k->arena, struct framework);
    l->framework = f;
    l->frameworks_text = text;
    return frameworks_find(frameworks_file, text, name, json_where(at, k->arena), f, k->arena, k->e);
}

/* Its name, NULL where none is needed. */
static int framework_name(const struct json_at *at, const char **name, struct lookup *k) {
    *name = NULL;
    if (at->node && json_string(at, name, k->arena, k->e)) return -1;
    if (*name && !strcmp(*name, "published")) *name = NULL;
    return 0;
}

int inputs_load_framework(const struct json_at *root, struct lookup *k, struct loaded *l) {
    struct json_at at = json_member(root, "framework");
    const char *name;
    if (framework_name(&at, &name, k)) return -1;
    if (!name) return 0;
    const char *dir = inputs_dir(k->inputs, k->arena, k->e), *text;
    if (!dir || inputs_text(dir, frameworks_file, true, &text, k->arena, k->e)) return -1;
    return find_framework(&at, name, text, k, l);
}

int inputs_stored_framework(const struct json_at *stored, const struct json_at *root, struct lookup *k,
                            struct loaded *l) {
    struct json_at at = json_member(root, "framework"), all = json_member(stored, "frameworks");
    const char *name;
    if (framework_name(&at, &name, k)) return -1;
    if (!name) return 0;
    if (!all.node) return json_fail(&all, k->e, "missing; expected the frameworks, because one is named");
    return find_framework(&at, name, json_text(all.node, k->arena), k, l);
}

const char *inputs_frameworks_member(const struct loaded *l, struct arena *a) {
    return l->framework ? arena_printf(a, ",\"frameworks\":%s", json_compact(l->frameworks_text, a)) : "";
}
