#include "formats/job_rows.h"
#include "formats/inputs_priv.h"

#include <string.h>

void pool_change_begin(struct pool_change *c, const struct pool *from, const struct site *s,
                       struct arena *a) {
    int room = from->n_entry + s->n_zone * s->n_gpu;
    struct pool_entry *entry = ARENA_ARRAY(a, struct pool_entry, room + 1);
    int *per_node = ARENA_ARRAY(a, int, room + 1);
    for (int i = 0; i < from->n_entry; i++) {
        entry[i] = from->entry[i];
        per_node[i] = from->per_node[i];
    }
    *c = (struct pool_change){from->time_s, from->n_entry, entry, per_node};
}

int pool_change_add(struct pool_change *c, const struct site *s, int zone, int gpu, int n) {
    int whole = s->gpu[gpu].gpus_per_node, have = 0;
    for (int i = 0; i < c->n; i++)
        if (c->entry[i].zone == zone && c->entry[i].gpu == gpu) have += c->entry[i].count;
    if (n < -have) return have + n;
    for (int i = c->n - 1; i >= 0 && n < 0; i--) { /* take from the last entries in the file first */
        if (c->entry[i].zone != zone || c->entry[i].gpu != gpu) continue;
        int taken = c->entry[i].count < -n ? c->entry[i].count : -n;
        c->entry[i].count -= taken;
        n += taken;
    }
    for (int i = 0; i < c->n && n > 0; i++) {
        if (c->entry[i].zone != zone || c->entry[i].gpu != gpu || c->per_node[i] != whole) continue;
        c->entry[i].count += n;
        n = 0;
    }
    if (n > 0) {
        c->entry[c->n] = (struct pool_entry){zone, gpu, n};
        c->per_node[c->n++] = whole;
    }
    return 0;
}

const char *job_with_rows(const char *path, const char *text, const struct pool_change *row, int n,
                          const struct site *s, struct arena *a, struct err *e) {
    cJSON *job = json_parse(path, text, strlen(text), e);
    if (!job) return NULL;
    cJSON *pools = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        cJSON *pool = cJSON_CreateObject(), *gpus = cJSON_CreateArray();
        if (!isnan(row[i].time_s)) json_add_number(pool, "time_s", row[i].time_s);
        for (int k = 0; k < row[i].n; k++) {
            const struct pool_entry *x = &row[i].entry[k];
            cJSON *entry = cJSON_CreateObject();
            cJSON_AddStringToObject(entry, "zone", s->zone[x->zone]);
            cJSON_AddStringToObject(entry, "gpu", s->gpu[x->gpu].name);
            json_add_number(entry, "count", x->count);
            if (row[i].per_node[k] != s->gpu[x->gpu].gpus_per_node)
                json_add_number(entry, "gpus_per_node", row[i].per_node[k]);
            cJSON_AddItemToArray(gpus, entry);
        }
        cJSON_AddItemToObject(pool, "gpus", gpus);
        cJSON_AddItemToArray(pools, pool);
    }
    cJSON_ReplaceItemInObjectCaseSensitive(job, "pools", pools);
    const char *out = json_text(job, a);
    cJSON_Delete(job);
    return out;
}
