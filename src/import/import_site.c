#include "import/kinds.h"

#include <math.h>
#include <string.h>

/* The site: measured bandwidths and traffic prices; the facts hold the rest. */

/** [[c2, c1, c0], peak] */
static int read_fit(const struct json_at *at, struct link *l, struct err *e) {
    double c[3];
    int n, i = 0;
    if (json_array(at, 2, 2, &n, e)) return -1;
    struct json_at fit = json_element(at, 0, at->node->child),
                   peak = json_element(at, 1, at->node->child->next);
    if (json_array(&fit, 3, 3, &n, e)) return -1;
    for (const cJSON *x = fit.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&fit, i, x);
        if (json_real(&here, -1e12, 1e12, &c[i], e)) return -1;
    }
    if (json_real(&peak, 0, 1e18, &l->peak_Bps, e)) return -1;
    l->c2 = c[0];
    l->c1 = c[1];
    l->c0 = c[2];
    l->known = true;
    return 0;
}

/** Walks the six levels zone, gpu, n, zone, gpu, n of a bandwidth file. Known cells are kept. */
static int read_links(const struct json_at *at, int level, int path[6], bool equal_types_only,
                      const struct site *s, struct link *table, struct import *m) {
    static const char *const what[] = {"zones of the facts file", "GPU types of the facts file",
                                       "1, 2, 4, 8"};
    if (level == 6) {
        struct link l;
        if (read_fit(at, &l, m->e)) return -1;
        struct link *cell = &table[site_link_slot(s, path[0], path[1], path[2], path[3], path[4], path[5])];
        if (!cell->known && (!equal_types_only || path[1] == path[4])) *cell = l;
        return 0;
    }
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "not an object; expected one with keys among %s", what[level % 3]);
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        path[level] = level % 3 == 0   ? name_index(m->zone, m->n_zone, x->string)
                      : level % 3 == 1 ? name_index(m->gpu, m->n_gpu, x->string)
                                       : import_degree(x->string);
        if (path[level] < 0)
            return json_fail(&here, m->e, "unknown name; expected one of the %s", what[level % 3]);
        if (read_links(&here, level + 1, path, equal_types_only, s, table, m)) return -1;
    }
    return 0;
}

int import_read_intra(const struct json_at *at, cJSON **tree, struct import *m) {
    struct link table[GPUS_MAX * TP_N] = {{0}};
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "not an object; expected one with GPU types as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at gpu = json_element(at, i, x);
        int g = name_index(m->gpu, m->n_gpu, x->string), j = 0;
        if (g < 0)
            return json_fail(&gpu, m->e, "unknown name; expected one of the GPU types of the facts file");
        if (!cJSON_IsObject(x))
            return json_fail(&gpu, m->e, "not an object; expected one with counts as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at cell = json_element(&gpu, j, y);
            int ti = import_degree(y->string);
            if (ti < 0) return json_fail(&cell, m->e, "unknown count; expected 1, 2, 4 or 8");
            if (read_fit(&cell, &table[g * TP_N + ti], m->e)) return -1;
        }
    }
    *tree = cJSON_CreateObject();
    for (int g = 0; g < m->n_gpu; g++) {
        cJSON *o = NULL;
        for (int ti = 0; ti < TP_N; ti++) {
            char key[2] = {(char)('0' + (1 << ti)), '\0'};
            if (!table[g * TP_N + ti].known) continue;
            if (!o) o = cJSON_AddObjectToObject(*tree, m->gpu[g]);
            cJSON_AddItemToObject(o, key, import_fit(&table[g * TP_N + ti]));
        }
    }
    return 0;
}

int import_read_egress(const struct json_at *at, cJSON **tree, struct import *m) {
    double usd[ZONES_MAX][ZONES_MAX];
    for (int z = 0; z < ZONES_MAX; z++)
        for (int y = 0; y < ZONES_MAX; y++) usd[z][y] = NAN;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, m->e, "not an object; expected one with zones as keys");
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at from = json_element(at, i, x);
        int z = name_index(m->zone, m->n_zone, x->string), j = 0;
        if (z < 0) return json_fail(&from, m->e, "unknown name; expected one of the zones of the facts file");
        if (!cJSON_IsObject(x))
            return json_fail(&from, m->e, "not an object; expected one with zones as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at to = json_element(&from, j, y);
            int t = name_index(m->zone, m->n_zone, y->string);
            if (t < 0)
                return json_fail(&to, m->e, "unknown name; expected one of the zones of the facts file");
            if (json_real(&to, 0, 1e6, &usd[z][t], m->e)) return -1;
        }
    }
    *tree = cJSON_CreateObject();
    for (int z = 0; z < m->n_zone; z++) {
        cJSON *o = cJSON_AddObjectToObject(*tree, m->zone[z]);
        for (int y = 0; y < m->n_zone; y++) cJSON_AddItemToObject(o, m->zone[y], json_double(usd[z][y]));
    }
    return 0;
}

/** Prices per zone: the facts give one price per GPU type, the same in all zones. */
static cJSON *prices_tree(const cJSON *usd, const struct import *m) {
    cJSON *o = cJSON_CreateObject();
    for (int z = 0; z < m->n_zone; z++) {
        cJSON *zone = cJSON_AddObjectToObject(o, m->zone[z]);
        for (int g = 0; g < m->n_gpu; g++) {
            const cJSON *x = cJSON_GetObjectItemCaseSensitive(usd, m->gpu[g]);
            cJSON_AddItemToObject(zone, m->gpu[g], json_double(cJSON_IsNumber(x) ? x->valuedouble : NAN));
        }
    }
    return o;
}

/** Writes the site file; het, plain, intra and egress may each be missing (node NULL). */
int import_put_site(const struct json_at *het, const struct json_at *plain, const struct json_at *intra,
                    const struct json_at *egress, struct import *m) {
    struct json_at facts = json_member(&m->facts, "site"), name = json_member(&facts, "name"),
                   source = json_member(&facts, "source");
    struct site s = {.n_zone = m->n_zone, .n_gpu = m->n_gpu};
    size_t side = (size_t)m->n_zone * (size_t)m->n_gpu * TP_N;
    struct link *table = ARENA_ARRAY(&m->arena, struct link, side * side);
    const char *own, *about;
    int path[6];
    cJSON *in = NULL, *out = NULL;
    if (json_string(&name, &own, &m->arena, m->e) || import_check_safe(&name, own, m->e)) return -1;
    if (json_string(&source, &about, &m->arena, m->e)) return -1;
    if (het->node && read_links(het, 0, path, false, &s, table, m)) return -1;
    if (plain->node && read_links(plain, 0, path, true, &s, table, m)) return -1;
    if (intra->node && import_read_intra(intra, &in, m)) return -1;
    if (egress->node && import_read_egress(egress, &out, m)) {
        cJSON_Delete(in);
        return -1;
    }
    cJSON *o = import_new_file("sailor-site/1", own, arena_printf(&m->arena, "%s; %s", m->source, about));
    import_copy(o, "zones", facts.node, "zones");
    import_copy(o, "gpus", facts.node, "gpus");
    cJSON_AddItemToObject(o, "usd_per_gpu_hour",
                          prices_tree(cJSON_GetObjectItemCaseSensitive(facts.node, "usd_per_gpu_hour"), m));
    if (out) cJSON_AddItemToObject(o, "egress_usd_per_GB", out);
    if (in) cJSON_AddItemToObject(o, "intra_node", in);
    cJSON_AddItemToObject(o, "links", import_links(table, m->zone, m->n_zone, m->gpu, m->n_gpu, &m->arena));
    import_put(m, arena_printf(&m->arena, "sites/%s.json", own), o);
    return 0;
}

int import_site(const char *dir, struct import *m) {
    static const char *const rel[4] = {
        "providers/multizone_bandwidths_het.json", "providers/multizone_bandwidths.json",
        "providers/intra_node_bandwidths.json", "providers/gcp/communication_cost.json"};
    struct json_at at[4];
    cJSON *tree[4] = {NULL};
    int rc = 0;
    for (int i = 0; i < 4 && rc == 0; i++) {
        bool missing;
        tree[i] = import_open(dir, rel[i], &at[i], &missing, m);
        if (!tree[i] && !missing) rc = -1;
    }
    if (rc == 0 && (tree[0] || tree[1])) rc = import_put_site(&at[0], &at[1], &at[2], &at[3], m);
    for (int i = 0; i < 4; i++) cJSON_Delete(tree[i]);
    return rc;
}
