/* Where layer times come from: measured, or estimated from a data sheet. */
#include "cli/cli.h"
#include "base/text.h"
#include "io/json.h"
#include "sim/terms.h"

#include <string.h>

/* Does GPU type g have a profile, and does `used` count any of its GPUs (NULL: all types are used)? */
static bool in_use(const struct workload *w, const int *used, int g) {
    const struct site *s = w->site;
    if (!w->profile || !w->profile[g]) return false;
    if (!used) return true;
    for (int z = 0; z < s->n_zone; z++)
        if (used[site_at(s, z, g)]) return true;
    return false;
}

cJSON *cli_profiles_json(const struct workload *w, const int *used) {
    cJSON *o = cJSON_CreateObject();
    for (int g = 0; g < w->site->n_gpu; g++)
        if (in_use(w, used, g))
            cJSON_AddStringToObject(o, w->site->gpu[g].name,
                                    w->profile[g]->estimated ? "estimated" : "measured");
    return o;
}

/* Without a data sheet, estimates by native leave out what a framework adds to layers measured alone. */
static bool sheet_missing(const struct workload *w, const int *used, int g) {
    return in_use(w, used, g) && w->process_bytes <= 0 && !framework_known(w, g);
}

cJSON *cli_no_sheet_json(const struct workload *w, const int *used) {
    cJSON *list = cJSON_CreateArray();
    for (int g = 0; g < w->site->n_gpu; g++)
        if (sheet_missing(w, used, g)) cJSON_AddItemToArray(list, cJSON_CreateString(w->site->gpu[g].name));
    return list;
}

/* One line that names the types of which something is true, if there are any. */
static void note_types(const struct workload *w, const int *used, const char *before, const char *after,
                       bool (*of)(const struct workload *, const int *, int)) {
    struct arena scratch = {0};
    const char *names = "";
    for (int g = 0; g < w->site->n_gpu; g++)
        if (of(w, used, g))
            names = arena_printf(&scratch, "%s%s%s", names, *names ? ", " : "", w->site->gpu[g].name);
    if (*names) fprintf(stderr, "sailor: %s %s%s\n", before, text_printable(names, &scratch), after);
    arena_free(&scratch);
}

void cli_note_no_sheet(const struct workload *w, const int *used) {
    note_types(w, used, "no data sheet of", ": what a framework adds to measured layers is left out there",
               sheet_missing);
}

static const char *gpu_of(const cJSON *x) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "gpu"));
}

cJSON *cli_stored_no_sheet_json(const char *inputs_json) {
    struct err e;
    cJSON *out = cJSON_CreateArray(), *seen = cJSON_CreateObject();
    cJSON *tree = json_parse("inputs", inputs_json, strlen(inputs_json), &e);
    const cJSON *x;
    const cJSON *platform = cJSON_GetObjectItemCaseSensitive(tree, "platform");
    cJSON_ArrayForEach(x, platform) {
        if (gpu_of(x)) cJSON_AddTrueToObject(seen, gpu_of(x));
    }
    const cJSON *profiles = cJSON_GetObjectItemCaseSensitive(tree, "profiles");
    cJSON_ArrayForEach(x, (platform ? profiles : NULL)) { /* older files: not known */
        if (!gpu_of(x) || cJSON_HasObjectItem(x, "memory") || cJSON_HasObjectItem(seen, gpu_of(x))) continue;
        cJSON_AddItemToArray(out, cJSON_CreateString(gpu_of(x)));
        cJSON_AddTrueToObject(seen, gpu_of(x));
    }
    cJSON_Delete(seen);
    cJSON_Delete(tree);
    return out;
}

/* Was this stored profile made for the plan's options? */
static bool for_options(const cJSON *profile, const struct plan_options *o) {
    const char *mode = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(profile, "recompute"));
    bool sequence = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(profile, "sequence_parallel"));
    return !strcmp(mode ? mode : recompute_name[RECOMPUTE_NONE], recompute_name[o->recompute]) &&
           sequence == o->sequence_parallel;
}

cJSON *cli_stored_profiles_json(const char *inputs_json, const struct plan_options *options) {
    struct err e;
    cJSON *o = cJSON_CreateObject(), *tree = json_parse("inputs", inputs_json, strlen(inputs_json), &e);
    const cJSON *x, *list = cJSON_GetObjectItemCaseSensitive(tree, "profiles");
    for (int exact = 1; exact >= 0; exact--) /* this plan's may be made from those for other options */
        cJSON_ArrayForEach(x, list) {
            const char *gpu = gpu_of(x);
            bool estimated = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(x, "estimated"));
            if (!gpu || cJSON_HasObjectItem(o, gpu) || (exact && options && !for_options(x, options)))
                continue;
            cJSON_AddStringToObject(o, gpu, estimated ? "estimated" : "measured");
        }
    cJSON_Delete(tree);
    return o;
}

/* Is any profile of this type estimated? */
static bool estimated_somewhere(const struct workload *w, const int *used, int g) {
    if (in_use(w, used, g) && w->profile[g]->estimated) return true;
    for (int v = 0; v < w->n_variant; v++)
        if (in_use(&w->variant[v], used, g) && w->variant[v].profile[g]->estimated) return true;
    return false;
}

void cli_note_estimated(const struct workload *w, const int *used) {
    note_types(w, used, "layer times of",
               " are estimated from data sheets, not measured: intervals are wider", estimated_somewhere);
}
