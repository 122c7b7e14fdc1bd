#include "formats/devices.h"
#include "formats/inputs_priv.h"
#include "formats/shape.h"
#include "io/file.h"

/* Profiles from data sheets, for models that say what they are made of. */

static const char *read_beside(const char *dir, const char *name, struct arena *a, struct err *e) {
    return file_read_text(arena_printf(a, "%s/%s", dir, name), NULL, a, e);
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
                       "layers from a data sheet (sailor model writes such files)",
                       m->name);
    const char *devices = read_beside(dir, "devices.json", a, e);
    const char *frameworks = devices ? read_beside(dir, "frameworks.json", a, e) : NULL;
    if (!frameworks) return -1;
    int rc = devices_sheet("devices.json", devices, gpu, where, &d, a, e);
    if (rc) return rc;
    if (!framework) framework = m->shape->keeps_scores ? "megatron" : "megatron-core";
    if (frameworks_find("frameworks.json", frameworks, framework, where, &f, a, e)) return -1;
    rc = shape_write_profile(&out, m, &d, &f, dtype, o, e) ? 1 : 0;
    *text = rc ? NULL : arena_strdup(a, out.s);
    text_free(&out);
    return rc;
}
