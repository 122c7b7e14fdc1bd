/* Where layer times come from: measured, or estimated from a data sheet. */
#include "cli/cli.h"
#include "io/json.h"

#include <string.h>

/* GPU types with a profile, of those that `used` counts (NULL: of all): does the type at g belong to them? */
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

cJSON *cli_stored_profiles_json(const char *inputs_json) {
    struct err e;
    cJSON *o = cJSON_CreateObject(), *tree = json_parse("inputs", inputs_json, strlen(inputs_json), &e);
    const cJSON *x, *list = cJSON_GetObjectItemCaseSensitive(tree, "profiles");
    cJSON_ArrayForEach(x, list) {
        const char *gpu = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "gpu"));
        bool estimated = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(x, "estimated"));
        if (gpu) cJSON_AddStringToObject(o, gpu, estimated ? "estimated" : "measured");
    }
    cJSON_Delete(tree);
    return o;
}

void cli_note_estimated(const struct workload *w, const int *used) {
    int n = 0;
    for (int g = 0; g < w->site->n_gpu; g++)
        if (in_use(w, used, g) && w->profile[g]->estimated)
            fprintf(stderr, "%s%s", n++ ? ", " : "sailor: layer times of ", w->site->gpu[g].name);
    if (n) fprintf(stderr, " are estimated from data sheets, not measured: expect an error of 5 to 10 %%\n");
}
