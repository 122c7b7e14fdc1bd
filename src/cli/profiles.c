/* Where layer times come from: measured, or estimated from a data sheet. */
#include "cli/cli.h"
#include "io/json.h"

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
            const char *gpu = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "gpu"));
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
    int n = 0;
    for (int g = 0; g < w->site->n_gpu; g++)
        if (estimated_somewhere(w, used, g))
            fprintf(stderr, "%s%s", n++ ? ", " : "sailor: layer times of ", w->site->gpu[g].name);
    if (n) fprintf(stderr, " are estimated from data sheets, not measured: intervals are wider\n");
}
