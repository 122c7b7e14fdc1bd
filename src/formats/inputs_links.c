#include "formats/devices.h"
#include "formats/inputs_priv.h"

#include <string.h>

/* What a site file may leave to others: links named as in inputs/links.json, GPU types by their data
 * sheets. */

static const char *const per_names[] = {"gpu", "node"};

int inputs_link_preset(const struct json_at *at, struct link_preset *p, struct err *e) {
    static const char *const keys[] = {"GBps", "achieved", "latency_us", "per", NULL};
    struct json_at rate = json_member(at, "GBps"), of = json_member(at, "achieved"),
                   latency = json_member(at, "latency_us"), per = json_member(at, "per");
    double GBps = 0, achieved = 0, us = 0;
    int who = 0;
    if (json_object(at, keys, e) || json_real(&rate, 1e-3, 1e5, &GBps, e) ||
        json_real(&of, 0.01, 1, &achieved, e) || json_real(&latency, 0.01, 1e6, &us, e) ||
        json_name(&per, per_names, 2, "whose rate it is", &who, e))
        return -1;
    *p = (struct link_preset){.rate_Bps = 1e9 * GBps * achieved, .latency_s = us / 1e6, .per_node = who == 1};
    return 0;
}

/* ---- filling in ---------------------------------------------------------------------- */

/* The tree of a site, and the files that fill it in, read when needed. */
struct site_filler {
    struct lookup *k;
    const char *dir, *path; /* the last of links */
    struct device_entry *devices;
    int n_device;
    cJSON *links;
    bool changed;
};

static int find_dir(struct site_filler *f) {
    if (!f->dir) f->dir = f->k->dir ? f->k->dir : inputs_dir(f->k->inputs, f->k->arena, f->k->e);
    return f->dir ? 0 : -1;
}

static int read_devices(struct site_filler *f) {
    if (f->devices) return 0;
    if (find_dir(f)) return -1;
    const char *text;
    if (inputs_text(f->dir, "devices.json", true, &text, f->k->arena, f->k->e)) return -1;
    return devices_all("devices.json", text, &f->devices, &f->n_device, f->k->arena, f->k->e);
}

/* Fills in a GPU type that lacks its memory or the size of its nodes. */
static int fill_gpu(const struct json_at *at, cJSON *gpu, struct site_filler *f) {
    struct err none;
    struct device d;
    bool memory = cJSON_HasObjectItem(gpu, "memory_bytes"), node = cJSON_HasObjectItem(gpu, "gpus_per_node");
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(gpu, "name"));
    if (!cJSON_IsObject(gpu) || !name || (memory && node)) return 0; /* the reader reports errors */
    if (read_devices(f)) return -1;
    if (devices_find("devices.json", f->devices, f->n_device, name, "site", &d, f->k->arena, &none)) {
        struct json_at here = json_member(at, memory ? "gpus_per_node" : "memory_bytes");
        return json_fail(&here, f->k->e,
                         "missing; expected it, because devices.json has no data sheet for \"%.60s\"", name);
    }
    if (!memory) json_add_number(gpu, "memory_bytes", d.memory_bytes);
    if (!node) json_add_number(gpu, "gpus_per_node", d.gpus_per_node);
    f->changed = true;
    return 0;
}

static int fill_gpus(const struct json_at *root, cJSON *tree, struct site_filler *f) {
    cJSON *list = cJSON_GetObjectItemCaseSensitive(tree, "gpus");
    struct json_at gpus = json_member(root, "gpus");
    for (int i = 0, n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0; i < n; i++) {
        cJSON *x = cJSON_GetArrayItem(list, i);
        if (cJSON_IsString(x)) {
            cJSON *object = cJSON_CreateObject();
            cJSON_AddStringToObject(object, "name", x->valuestring);
            cJSON_ReplaceItemInArray(list, i, object);
            x = object;
        }
        struct json_at here = json_element(&gpus, i, x);
        if (fill_gpu(&here, x, f)) return -1;
    }
    return 0;
}

static int read_links(struct site_filler *f) {
    static const char *const keys[] = {"format", "links", NULL};
    int n;
    if (f->links) return 0;
    if (find_dir(f)) return -1;
    const char *path = arena_printf(f->k->arena, "%s/links.json", f->dir);
    if (!(f->links = inputs_tree(path, NULL, f->k->arena, f->k->e))) return -1;
    f->path = path;
    struct json_at root = json_root(path, f->links), list = json_member(&root, "links");
    if (json_object(&root, keys, f->k->e) || json_format(&root, "sailor-links/1", f->k->e)) return -1;
    return json_array(&list, 1, 1000, &n, f->k->e);
}

static int unknown_link(const struct json_at *at, const char *name, const struct site_filler *f) {
    const char *list = "";
    const cJSON *x;
    cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(f->links, "links")) {
        const char *known = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "name"));
        if (known) list = arena_printf(f->k->arena, "%s%s%s", list, *list ? ", " : "", known);
    }
    return json_fail(at, f->k->e, "no link \"%.60s\" in links.json; expected one of %.200s", name, list);
}

/* Adds the definition of a link that the site names but does not define. */
static int fill_link(const struct json_at *at, const char *name, cJSON *presets, struct site_filler *f) {
    struct link_preset p;
    const cJSON *x;
    int i = 0;
    if (cJSON_GetObjectItemCaseSensitive(presets, name)) return 0;
    if (read_links(f)) return -1;
    struct json_at root = json_root(f->path, f->links), list = json_member(&root, "links");
    for (x = list.node->child; x; x = x->next, i++) {
        const char *known = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "name"));
        struct json_at here = json_element(&list, i, x);
        if (!known || strcmp(known, name)) continue;
        if (inputs_link_preset(&here, &p, f->k->e)) return -1; /* else the site would be blamed */
        cJSON_AddItemToObject(presets, name, cJSON_Duplicate(x, true));
        f->changed = true;
        return 0;
    }
    return unknown_link(at, name, f);
}

static int fill_links(const struct json_at *root, cJSON *tree, struct site_filler *f) {
    cJSON *links = cJSON_GetObjectItemCaseSensitive(tree, "links"),
          *pairs = cJSON_GetObjectItemCaseSensitive(links, "pairs"),
          *presets = cJSON_GetObjectItemCaseSensitive(links, "presets");
    struct json_at at = json_member(root, "links"), list = json_member(&at, "pairs");
    if (!cJSON_IsArray(pairs) || (presets && !cJSON_IsObject(presets))) return 0;
    if (!presets) presets = cJSON_AddObjectToObject(links, "presets");
    int i = 0;
    for (const cJSON *x = pairs->child; x; x = x->next, i++) {
        struct json_at row = json_element(&list, i, x);
        const cJSON *name = cJSON_GetArrayItem(x, 4);
        struct json_at here = json_element(&row, 4, name);
        if (cJSON_IsString(name) && fill_link(&here, name->valuestring, presets, f)) return -1;
    }
    return 0;
}

cJSON *inputs_fill_site(const char *path, cJSON *tree, struct lookup *k, const char **text) {
    struct site_filler f = {.k = k};
    struct json_at root = json_root(path, tree);
    int rc = fill_gpus(&root, tree, &f) || fill_links(&root, tree, &f) ? -1 : 0;
    cJSON_Delete(f.links);
    if (!rc && !f.changed) return tree;
    if (!rc) *text = json_text(tree, k->arena);
    cJSON_Delete(tree);
    return rc ? NULL : json_parse(path, *text, strlen(*text), k->e);
}
