#include "train/linksite.h"
#include "io/json.h"

static cJSON *numbers(const double *v, int n) {
    cJSON *a = cJSON_CreateArray();
    for (int i = 0; i < n; i++) cJSON_AddItemToArray(a, json_double(v[i]));
    return a;
}

static cJSON *fit_of(const struct link_samples *x) {
    return numbers((double[]){x->fit.c2, x->fit.c1, x->fit.c0, x->fit.peak_Bps}, 4);
}

/* The object at a key, made if it is missing. */
static cJSON *object_at(cJSON *parent, const char *key) {
    cJSON *x = cJSON_GetObjectItemCaseSensitive(parent, key);
    return cJSON_IsObject(x) ? x : cJSON_AddObjectToObject(parent, key);
}

/* A row of the table of links: n devices to n devices, and the index of their fit. */
static cJSON *row_of(const char *zone, const char *gpu, int n, int fit) {
    cJSON *row = cJSON_CreateArray();
    for (int side = 0; side < 2; side++) {
        cJSON_AddItemToArray(row, cJSON_CreateString(zone));
        cJSON_AddItemToArray(row, cJSON_CreateString(gpu));
        cJSON_AddItemToArray(row, json_double(n));
    }
    cJSON_AddItemToArray(row, json_double(fit));
    return row;
}

static cJSON *samples_of(const struct link_samples *x, int sizes) {
    cJSON *s = cJSON_CreateObject();
    cJSON_AddItemToObject(s, "n", json_double(x->n));
    cJSON_AddBoolToObject(s, "same_machine", x->inside);
    cJSON_AddItemToObject(s, "smallest_bytes", json_double(1 << LINK_SMALLEST));
    cJSON_AddItemToObject(s, "bandwidth_Bps", numbers(x->Bps, sizes));
    cJSON_AddItemToObject(s, "all_reduce_s", numbers(x->sum_s, sizes));
    cJSON_AddItemToObject(s, "spread", numbers(x->spread, sizes));
    cJSON_AddItemToObject(s, "fit_error", json_double(x->off));
    cJSON_AddItemToObject(s, "fit_error_most", json_double(x->most_off));
    return s;
}

/* Links are those between machines or, if there is only one machine, within it. n to n within a machine is
 * also the link among 2 n devices of a node. The measurements are kept beside them as a comment. */
static void add_links(cJSON *site, const char *zone, const char *gpu, const struct link_samples *x, int n,
                      int sizes, struct arena *a) {
    bool alone = n == 0 || x[n - 1].inside;
    cJSON *links = cJSON_CreateObject(), *inside = cJSON_CreateObject();
    cJSON *fits = cJSON_AddArrayToObject(links, "fits"), *rows = cJSON_AddArrayToObject(links, "rows");
    cJSON *seen = cJSON_AddArrayToObject(links, "//samples");
    for (int i = 0; i < n; i++) {
        if (x[i].inside && 2 * x[i].n <= TP_MAX)
            cJSON_AddItemToObject(inside, arena_printf(a, "%d", 2 * x[i].n), fit_of(&x[i]));
        if (alone || !x[i].inside) {
            cJSON_AddItemToArray(rows, row_of(zone, gpu, x[i].n, cJSON_GetArraySize(fits)));
            cJSON_AddItemToArray(fits, fit_of(&x[i]));
        }
        cJSON_AddItemToArray(seen, samples_of(&x[i], sizes));
    }
    cJSON_AddItemToObject(site, "links", links);
    if (!inside->child) { /* one rank per machine: keep what the site has */
        cJSON_Delete(inside);
        return;
    }
    cJSON *intra = object_at(site, "intra_node");
    cJSON_DeleteItemFromObjectCaseSensitive(intra, gpu);
    cJSON_AddItemToObject(intra, gpu, inside);
}

const char *linksite_text(const char *text, const char *zone, const char *gpu, const char *source,
                          const struct link_samples *x, int n, int sizes, struct arena *a) {
    cJSON *site = cJSON_Parse(text);
    cJSON_DeleteItemFromObjectCaseSensitive(site, "links");
    cJSON_DeleteItemFromObjectCaseSensitive(site, "source");
    cJSON_AddStringToObject(site, "source", source);
    add_links(site, zone, gpu, x, n, sizes, a);
    char *out = cJSON_Print(site);
    const char *copy = arena_printf(a, "%s\n", out ? out : "");
    cJSON_free(out);
    cJSON_Delete(site);
    return copy;
}
