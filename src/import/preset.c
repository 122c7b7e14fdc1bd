#include "import/draft.h"
#include "sim/link.h"

#include <string.h>

/* Nodes by data sheet: memory, GPUs per node, and each GPU's network bandwidth as achieved; a data sheet says
 * nothing about links between zones. And links by the name of a kind of network. */

static const struct device *sheet_of(const struct draft *d, const char *name) {
    for (int i = 0; i < d->n_device; i++)
        for (int k = 0; d->device[i].sheet && k < d->device[i].n_names; k++)
            if (!strcmp(d->device[i].names[k], name)) return &d->device[i].d;
    return NULL;
}

static double network_Bps(const struct device *x) { return x->network_Bps * x->network_efficiency; }

static struct link flat(double Bps) {
    struct link l = {.c0 = Bps / 1e9, .peak_Bps = Bps, .known = true};
    link_settle(&l);
    return l;
}

/* The k-th entry of a comma-separated list, in the arena; NULL: there is none. */
static const char *entry(const char *list, int k, struct arena *a) {
    for (; list && k > 0; k--) {
        list = strchr(list, ',');
        if (list) list++;
    }
    return list ? arena_printf(a, "%.*s", (int)strcspn(list, ","), list) : NULL;
}

/* The definition of a link of this name, to be freed by the caller; NULL: there is none. */
static cJSON *definition(const char *links, const char *name) {
    cJSON *tree = links ? cJSON_Parse(links) : NULL, *found = NULL;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(tree, "links");
    for (const cJSON *x = list ? list->child : NULL; x && !found; x = x->next) {
        const char *own = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "name"));
        if (own && !strcmp(own, name)) found = cJSON_Duplicate(x, true);
    }
    cJSON_Delete(tree);
    return found;
}

static bool is_link(const char *links, const char *name) {
    cJSON *x = definition(links, name);
    cJSON_Delete(x);
    return x != NULL;
}

int draft_preset(struct draft *d, const char *list, const char *links, struct err *e) {
    const char *name;
    for (int k = 0; (name = entry(list, k, d->a)); k++) {
        if (is_link(links, name)) continue;
        const struct draft_alias *as = draft_alias(d, name, NAN);
        const struct device *x = as->name ? sheet_of(d, as->name) : NULL;
        if (!x)
            return err_set(e, EXIT_INPUT, "--preset %.60s: %s", name,
                           as->why
                               ? as->why
                               : "expected a GPU type of inputs/devices.json or a link of inputs/links.json");
        int g = draft_gpu(d, as, x->gpus_per_node, "--preset", e);
        if (g < 0) return -1;
        for (int ti = 1; ti < TP_N; ti++)
            if (!d->intra[g][ti].known && 1 << ti <= x->gpus_per_node)
                d->intra[g][ti] = flat(ldexp(x->node_Bps * x->node_efficiency, ti - 1));
    }
    return 0;
}

/* ---- pairs --------------------------------------------------------------------------- */

static void add_pair(struct draft *d, const char *zone, const char *gpu, const char *zone2, const char *gpu2,
                     const char *preset) {
    const char *word[] = {zone, gpu, zone2, gpu2, preset};
    cJSON *pair = cJSON_CreateArray();
    if (!d->pairs) d->pairs = cJSON_CreateArray();
    for (int i = 0; i < 5; i++) cJSON_AddItemToArray(pair, cJSON_CreateString(word[i]));
    for (const cJSON *x = d->pairs->child; x; x = x->next)
        if (cJSON_Compare(x, pair, true)) {
            cJSON_Delete(pair);
            return;
        }
    cJSON_AddItemToArray(d->pairs, pair);
}

/* Defines the data sheet's link in the file and returns its name, "sheet-H100-80". */
static const char *define(struct draft *d, const struct device *x) {
    const char *name = arena_printf(d->a, "sheet-%s", x->name);
    double achieved = fmin(x->network_efficiency, 1);
    if (!d->presets) d->presets = cJSON_CreateObject();
    if (cJSON_GetObjectItemCaseSensitive(d->presets, name)) return name;
    cJSON *o = cJSON_AddObjectToObject(d->presets, name);
    json_add_number(o, "GBps", network_Bps(x) / achieved / 1e9);
    json_add_number(o, "achieved", achieved);
    json_add_number(o, "latency_us", fmax(1e6 * x->network_s, 0.01));
    cJSON_AddStringToObject(o, "per", "gpu");
    return name;
}

/* Is the type on the list? */
static bool is_preset(struct draft *d, const char *list, const char *links, const char *type) {
    const char *name;
    for (int k = 0; (name = entry(list, k, d->a)); k++)
        if (!is_link(links, name) && !strcmp(draft_alias(d, name, NAN)->name, type)) return true;
    return false;
}

/* Between two types, the slower network counts. */
static void put_sheets(struct draft *d, const char *list, const char *links) {
    for (int g = 0; g < d->n_gpu; g++)
        for (int h = g; h < d->n_gpu; h++) {
            const struct device *x = sheet_of(d, d->gpu[g].name), *y = sheet_of(d, d->gpu[h].name);
            bool both = x && y && is_preset(d, list, links, d->gpu[g].name) &&
                        is_preset(d, list, links, d->gpu[h].name);
            for (int z = 0; z < d->n_zone && both; z++) {
                add_pair(d, d->zone[z], d->gpu[g].name, d->zone[z], d->gpu[h].name,
                         define(d, network_Bps(x) < network_Bps(y) ? x : y));
                if (g == h) d->paired[z][g] = true;
            }
        }
}

static bool has_zone(const struct draft *d, const char *name) {
    for (int z = 0; z < d->n_zone; z++)
        if (!strcmp(d->zone[z], name)) return true;
    return false;
}

/* ZONE/GPU, or a zone with all its types; "*" for NULL. */
static int read_end(struct draft *d, const char *text, const char *option, const char **zone,
                    const char **gpu, struct err *e) {
    const char *slash = text ? strchr(text, '/') : NULL;
    *zone = *gpu = "*";
    if (!text) return 0;
    if (!slash && !has_zone(d, text))
        return err_set(e, EXIT_INPUT, "%s %s: expected a zone of the site or ZONE/GPU, the end of a link",
                       option, text);
    if (!slash) return *zone = text, 0;
    *zone = arena_printf(d->a, "%.*s", (int)(slash - text), text);
    *gpu = slash + 1;
    if (draft_end_zone(d, *zone, option, e) < 0) return -1;
    return draft_find_gpu(d, *gpu) >= 0
               ? 0
               : err_set(e, EXIT_INPUT, "%s %s: no such GPU type in the site", option, text);
}

static bool meets(const char *pattern, const char *name) {
    return !strcmp(pattern, "*") || !strcmp(pattern, name);
}

static int put_named(struct draft *d, const char *name, const char *links, struct err *e) {
    const char *zone[2], *gpu[2], *to = d->ask->to ? d->ask->to : d->ask->from;
    if (read_end(d, d->ask->from, "--from", &zone[0], &gpu[0], e) ||
        read_end(d, to, "--to", &zone[1], &gpu[1], e))
        return -1;
    add_pair(d, zone[0], gpu[0], zone[1], gpu[1], name);
    if (!d->presets) d->presets = cJSON_CreateObject();
    if (!cJSON_GetObjectItemCaseSensitive(d->presets, name))
        cJSON_AddItemToObject(d->presets, name, definition(links, name));
    for (int z = 0; z < d->n_zone; z++)
        for (int g = 0; g < d->n_gpu; g++)
            d->paired[z][g] |= meets(zone[0], d->zone[z]) && meets(zone[1], d->zone[z]) &&
                               meets(gpu[0], d->gpu[g].name) && meets(gpu[1], d->gpu[g].name);
    draft_source(d, "links %s: inputs/links.json", name);
    return 0;
}

int draft_preset_links(struct draft *d, const char *list, const char *links, struct err *e) {
    const char *name;
    bool sheets = false, everywhere = false;
    if (!d->n_zone && draft_zone(d, d->ask->zone ? d->ask->zone : "cluster", "--zone", e) < 0) return -1;
    for (int k = 0; (name = entry(list, k, d->a)); k++) {
        bool link = is_link(links, name);
        sheets |= !link;
        everywhere |= link && !d->ask->from;
    }
    if (sheets && !everywhere) {
        put_sheets(d, list, links);
        draft_note(d, "links inside a zone are those of data sheets where none was measured%s",
                   d->n_zone > 1 ? "; they have none between zones" : "");
        draft_source(d, "links inside zones: data sheets (inputs/devices.json)");
    }
    for (int k = 0; (name = entry(list, k, d->a)); k++)
        if (is_link(links, name) && put_named(d, name, links, e)) return -1;
    return 0;
}
