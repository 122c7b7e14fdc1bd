#include "formats/inputs_priv.h"
#include "sim/link.h"

#include <string.h>

/* Sites: zones, GPU types, prices, GPUs available, links. */

/** A site file is read into this before it becomes const. */
struct site_reader {
    struct site *s;
    const char *gpu[GPUS_MAX]; /* names */
    struct arena *arena;
    struct err *e;
};

static int read_zones(const struct json_at *at, struct site_reader *r) {
    int i = 0;
    if (json_array(at, 1, ZONES_MAX, &r->s->n_zone, r->e)) return -1;
    r->s->zone = ARENA_ARRAY(r->arena, const char *, r->s->n_zone);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_string(&here, &r->s->zone[i], r->arena, r->e)) return -1;
        if (name_index(r->s->zone, i, r->s->zone[i]) >= 0)
            return json_fail(&here, r->e, "zone \"%.60s\" appears twice; expected it once", r->s->zone[i]);
    }
    return 0;
}

static const double LEAST_MEMORY = 1e8, LEAST_CONTEXT = 1e6;

/* In GB, GiB or MiB, as people and tools write them, a number would be a GPU of a few bytes. */
static int read_bytes(const struct json_at *at, double least, double most, double *out, struct err *e) {
    if (json_real(at, 0, 1e15, out, e)) return -1;
    if (*out >= least && *out <= most) return 0;
    return json_fail(at, e, "%.12g; expected a number of bytes from %.12g to %.12g", *out, least, most);
}

static int read_gpus(const struct json_at *at, struct site_reader *r) {
    static const char *const keys[] = {"name",          "memory_bytes",  "planner_memory_bytes",
                                       "gpus_per_node", "context_bytes", NULL};
    int i = 0;
    if (json_array(at, 1, GPUS_MAX, &r->s->n_gpu, r->e)) return -1;
    struct gpu_type *g = ARENA_ARRAY(r->arena, struct gpu_type, r->s->n_gpu);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_object(&here, keys, r->e)) return -1;
        struct json_at name = json_member(&here, "name"), memory = json_member(&here, "memory_bytes");
        struct json_at told = json_member(&here, "planner_memory_bytes"),
                       node = json_member(&here, "gpus_per_node"),
                       context = json_member(&here, "context_bytes");
        if (json_string(&name, &g[i].name, r->arena, r->e)) return -1;
        if (name_index(r->gpu, i, g[i].name) >= 0)
            return json_fail(&name, r->e, "GPU type \"%.60s\" appears twice; expected it once", g[i].name);
        r->gpu[i] = g[i].name;
        if (read_bytes(&memory, LEAST_MEMORY, 1e15, &g[i].memory_bytes, r->e)) return -1;
        g[i].planner_memory_bytes = g[i].memory_bytes;
        if (told.node && read_bytes(&told, LEAST_MEMORY, 1e15, &g[i].planner_memory_bytes, r->e)) return -1;
        if (json_int(&node, 1, 1024, &g[i].gpus_per_node, r->e)) return -1;
        if (context.node && read_bytes(&context, LEAST_CONTEXT, g[i].memory_bytes, &g[i].context_bytes, r->e))
            return -1;
    }
    r->s->gpu = g;
    return 0;
}

/** A table {row: {column: number or null}}; absent cells keep their value. null: unknown (NAN). */
static int read_table(const struct json_at *at, const char *const *rows, int n_row, const char *const *cols,
                      int n_col, const char *row_what, const char *col_what, double hi, double *out,
                      struct err *e) {
    if (!at->node || json_null(at)) return 0;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, e, "not an object; expected one, with %s as keys", row_what);
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at row = json_element(at, i, x);
        if (json_key_ignored(x->string)) continue;
        int zi = name_index(rows, n_row, x->string), j = 0;
        if (zi < 0) return json_fail(&row, e, "unknown name; expected one of %s", row_what);
        if (!cJSON_IsObject(x))
            return json_fail(&row, e, "not an object; expected one, with %s as keys", col_what);
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at cell = json_element(&row, j, y);
            if (json_key_ignored(y->string)) continue;
            int ci = name_index(cols, n_col, y->string);
            if (ci < 0) return json_fail(&cell, e, "unknown name; expected one of %s", col_what);
            if (json_null(&cell)) continue;
            if (json_real(&cell, 0, hi, &out[zi * n_col + ci], e)) return -1;
        }
    }
    return 0;
}

static double *unknowns(int n, struct arena *a) {
    double *v = ARENA_ARRAY(a, double, n);
    for (int i = 0; i < n; i++) v[i] = NAN;
    return v;
}

/* If a fit and its peak differ by the first factor, their units differ; by the second, they are doubtful. */
static const double UNITS_OFF = 1000, DOUBTFUL = 10;
/* No link is slower than one byte a second, or a thousand times faster than any ever built. */
static const double SLOWEST_BPS = 1, FASTEST_BPS = 1e15;

static bool apart(const struct link *l, double factor) {
    double ratio = link_top_Bps(l) / l->peak_Bps;
    return !(ratio < factor && ratio > 1 / factor);
}

/** [c2, c1, c0, peak] */
static int read_fit(const struct json_at *at, struct link *l, struct site_reader *r) {
    double v[4];
    int n, i = 0;
    if (json_array(at, 4, 4, &n, r->e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_real(&here, i < 3 ? -1e12 : 0, i < 3 ? 1e12 : 1e18, &v[i], r->e)) return -1;
    }
    *l = (struct link){.c2 = v[0], .c1 = v[1], .c0 = v[2], .peak_Bps = v[3], .known = true};
    if (!link_settle(l))
        return json_fail(
            at, r->e,
            "no bandwidth above 0 between 64 KiB and 1 GiB; expected [c2, c1, c0, peak] of a link "
            "that works");
    if (!(link_least_Bps(l) >= SLOWEST_BPS && link_top_Bps(l) <= FASTEST_BPS))
        return json_fail(
            at, r->e, "a fit of %.3g to %.3g B/s; expected c2, c1, c0 in 1e9 B/s, of a link of %g to %g B/s",
            link_least_Bps(l), link_top_Bps(l), SLOWEST_BPS, FASTEST_BPS);
    if (apart(l, UNITS_OFF))
        return json_fail(at, r->e,
                         "a fit of up to %.3g B/s and a peak of %.3g B/s; expected c2, c1, c0 in 1e9 B/s and "
                         "the peak in B/s",
                         link_top_Bps(l), l->peak_Bps);
    if (apart(l, DOUBTFUL) && !r->s->note)
        r->s->note =
            arena_printf(r->arena,
                         "%s: a fit of up to %.3g B/s and a measured peak of %.3g B/s; one of them is "
                         "wrong",
                         json_where(at, r->arena), link_top_Bps(l), l->peak_Bps);
    return 0;
}

/** [zone, gpu, n, zone, gpu, n, fit] */
static int read_link_row(const struct json_at *at, struct site_reader *r, const struct link *fit, int n_fit,
                         struct link *table, unsigned char *counts) {
    static const char *const what[] = {"a zone of this site", "a GPU type of this site", "a count"};
    const struct site *s = r->s;
    int v[7], n, i = 0;
    if (json_array(at, 7, 7, &n, r->e)) return -1;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        int rc = i == 6       ? json_int(&here, 0, n_fit - 1, &v[i], r->e)
                 : i % 3 == 0 ? json_name(&here, s->zone, s->n_zone, what[0], &v[i], r->e)
                 : i % 3 == 1 ? json_name(&here, r->gpu, s->n_gpu, what[1], &v[i], r->e)
                              : json_int(&here, 1, TP_MAX, &v[i], r->e);
        if (rc) return -1;
        if (i == 6 || i % 3 != 2) continue;
        if (tp_index(v[i]) < 0) return json_fail(&here, r->e, "%d; expected 1, 2, 4 or 8", v[i]);
        v[i] = tp_index(v[i]);
    }
    struct link *l = &table[site_link_slot(s, v[0], v[1], v[2], v[3], v[4], v[5])];
    if (l->known) return json_fail(at, r->e, "the same link as an earlier row; expected it once");
    *l = fit[v[6]];
    counts[v[0] * s->n_gpu + v[1]] |= (unsigned char)(1 << v[2]);
    return 0;
}

/* One end of a pair; "*" stands for all zones, or all types. */
static int read_end(const struct json_at *at, const char *const *names, int n, const char *what, int *first,
                    int *last, struct err *e) {
    bool any = cJSON_IsString(at->node) && !strcmp(at->node->valuestring, "*");
    *first = 0;
    *last = n - 1;
    if (any) return 0;
    if (json_name(at, names, n, what, first, e)) return -1;
    *last = *first;
    return 0;
}

/* The link between n GPUs at either end. */
static struct link link_of(const struct link_preset *p, int n) {
    double rate = p->rate_Bps * (p->per_node ? 1 : n);
    return (struct link){.latency_s = p->latency_s, .rate_Bps = rate, .peak_Bps = rate, .known = true};
}

/* A measured row wins over a pair; of several pairs, the last one counts. */
static void put_pair(const struct site *s, int z, int g, int y, int h, const struct link_preset *p,
                     const bool *measured, struct link *table, unsigned char *counts) {
    for (int a = 0; a < TP_N && 1 << a <= s->gpu[g].gpus_per_node; a++)
        for (int b = 0; b < TP_N && 1 << b <= s->gpu[h].gpus_per_node; b++) {
            size_t slot = site_link_slot(s, z, g, a, y, h, b);
            if (measured[slot]) continue;
            table[slot] = link_of(p, 1 << (a < b ? a : b));
            counts[site_at(s, z, g)] |= (unsigned char)(1 << a);
        }
}

/** [zone, gpu, zone, gpu, preset], both directions */
static int read_pair(const struct json_at *at, const struct json_at *presets, struct site_reader *r,
                     const bool *measured, struct link *table, unsigned char *counts) {
    static const char *const what[] = {"a zone of this site, or *", "a GPU type of this site, or *"};
    const struct site *s = r->s;
    struct link_preset p;
    int first[4], last[4], n, i = 0;
    const char *name;
    if (json_array(at, 5, 5, &n, r->e)) return -1;
    for (const cJSON *x = at->node->child; x && i < 4; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (read_end(&here, i % 2 ? r->gpu : s->zone, i % 2 ? s->n_gpu : s->n_zone, what[i % 2], &first[i],
                     &last[i], r->e))
            return -1;
    }
    struct json_at here = json_element(at, 4, cJSON_GetArrayItem(at->node, 4));
    if (json_string(&here, &name, r->arena, r->e)) return -1;
    struct json_at preset = json_member(presets, name);
    if (!preset.node)
        return json_fail(&here, r->e, "no preset \"%.60s\"; expected one that is defined", name);
    if (inputs_link_preset(&preset, &p, r->e)) return -1;
    for (int z = first[0]; z <= last[0]; z++)
        for (int g = first[1]; g <= last[1]; g++)
            for (int y = first[2]; y <= last[2]; y++)
                for (int h = first[3]; h <= last[3]; h++) {
                    put_pair(s, z, g, y, h, &p, measured, table, counts);
                    put_pair(s, y, h, z, g, &p, measured, table, counts);
                }
    return 0;
}

static int read_pairs(const struct json_at *at, struct site_reader *r, struct link *table, size_t n_slot,
                      unsigned char *counts) {
    struct json_at pairs = json_member(at, "pairs"), presets = json_member(at, "presets");
    int n, i = 0;
    if (presets.node && !cJSON_IsObject(presets.node))
        return json_fail(&presets, r->e, "not an object; expected one, with names of links as keys");
    if (!pairs.node) return 0;
    if (json_array(&pairs, 0, 10000, &n, r->e)) return -1;
    bool *measured = ARENA_ARRAY(r->arena, bool, n_slot);
    for (size_t k = 0; k < n_slot; k++) measured[k] = table[k].known;
    for (const cJSON *x = pairs.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&pairs, i, x);
        if (read_pair(&here, &presets, r, measured, table, counts)) return -1;
    }
    return 0;
}

static int read_links(const struct json_at *at, struct site_reader *r) {
    static const char *const keys[] = {"fits", "rows", "pairs", "presets", NULL};
    struct site *s = r->s;
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    struct link *table = ARENA_ARRAY(r->arena, struct link, side * side);
    unsigned char *counts = ARENA_ARRAY(r->arena, unsigned char, s->n_zone * s->n_gpu);
    s->link = table;
    s->counts = counts;
    if (!at->node || json_null(at)) return 0;
    if (json_object(at, keys, r->e)) return -1;
    struct json_at fits = json_member(at, "fits"), rows = json_member(at, "rows");
    bool by_name = json_member(at, "pairs").node != NULL;
    int n_fit = 0, n_row = 0, i = 0;
    if (by_name && !fits.node && !rows.node) return read_pairs(at, r, table, side * side, counts);
    if (json_array(&fits, 0, 1 << 20, &n_fit, r->e) || json_array(&rows, 0, 1 << 20, &n_row, r->e)) return -1;
    struct link *fit = ARENA_ARRAY(r->arena, struct link, n_fit);
    for (const cJSON *x = fits.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&fits, i, x);
        if (read_fit(&here, &fit[i], r)) return -1;
    }
    i = 0;
    for (const cJSON *x = rows.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&rows, i, x);
        if (read_link_row(&here, r, fit, n_fit, table, counts)) return -1;
    }
    return read_pairs(at, r, table, side * side, counts);
}

static int read_intra(const struct json_at *at, struct site_reader *r) {
    struct link *table = ARENA_ARRAY(r->arena, struct link, r->s->n_gpu * TP_N);
    r->s->intra = table;
    if (!at->node || json_null(at)) return 0;
    if (!cJSON_IsObject(at->node))
        return json_fail(at, r->e, "not an object; expected one, with GPU types as keys");
    int i = 0, ti;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at gpu = json_element(at, i, x);
        if (json_key_ignored(x->string)) continue;
        int g = name_index(r->gpu, r->s->n_gpu, x->string), j = 0;
        if (g < 0) return json_fail(&gpu, r->e, "unknown name; expected a GPU type of this site");
        if (!cJSON_IsObject(x))
            return json_fail(&gpu, r->e, "not an object; expected one, with counts as keys");
        for (const cJSON *y = x->child; y; y = y->next, j++) {
            struct json_at cell = json_element(&gpu, j, y);
            if (json_key_ignored(y->string)) continue;
            if (inputs_degree(&cell, &ti, r->e) || read_fit(&cell, &table[g * TP_N + ti], r)) return -1;
        }
    }
    return 0;
}

/** GPUs that exist, {zone: {gpu: n}}; -1 where not stated. */
static int read_available(const struct json_at *at, struct site_reader *r) {
    struct site *s = r->s;
    int cells = s->n_zone * s->n_gpu, *n = ARENA_ARRAY(r->arena, int, cells);
    double *v = unknowns(cells, r->arena);
    if (read_table(at, s->zone, s->n_zone, r->gpu, s->n_gpu, "the zones", "the GPU types", COUNT_MAX, v,
                   r->e))
        return -1;
    for (int i = 0; i < cells; i++) {
        n[i] = isnan(v[i]) ? -1 : (int)v[i];
        if (!isnan(v[i]) && v[i] != floor(v[i]))
            return json_fail(at, r->e, "%g GPUs; expected integers", v[i]);
    }
    s->available = n;
    return 0;
}

int inputs_site(const struct json_at *at, const char *name, const char *stem, struct site *s, struct arena *a,
                struct err *e) {
    static const char *const keys[] = {
        "format", "zones",      "gpus", "usd_per_gpu_hour", "egress_usd_per_GB", "available",
        "links",  "intra_node", NULL};
    struct site_reader r = {.s = s, .arena = a, .e = e};
    if (json_document(at, keys, "sailor-site/1", e)) return -1;
    struct json_at own = json_member(at, "name"), source = json_member(at, "source"),
                   zones = json_member(at, "zones");
    struct json_at gpus = json_member(at, "gpus"), usd = json_member(at, "usd_per_gpu_hour");
    struct json_at egress = json_member(at, "egress_usd_per_GB"), available = json_member(at, "available");
    struct json_at links = json_member(at, "links"), intra = json_member(at, "intra_node");
    s->name = arena_strdup(a, stem);
    if (own.node && json_string(&own, &s->name, a, e)) return -1;
    if (name && strcmp(name, s->name) != 0)
        return json_fail(&own, e, "\"%.60s\"; expected \"%.60s\", the name of the file", s->name, name);
    if (source.node && json_string(&source, &s->source, a, e)) return -1;
    if (read_zones(&zones, &r) || read_gpus(&gpus, &r)) return -1;
    double *price = unknowns(s->n_zone * s->n_gpu, a), *out = unknowns(s->n_zone * s->n_zone, a);
    if (read_table(&usd, s->zone, s->n_zone, r.gpu, s->n_gpu, "the zones", "the GPU types", 1e6, price, e))
        return -1;
    if (read_table(&egress, s->zone, s->n_zone, s->zone, s->n_zone, "the zones", "the zones", 1e6, out, e))
        return -1;
    s->usd_per_gpu_hour = price;
    s->egress_usd_per_GB = out;
    return read_available(&available, &r) || read_links(&links, &r) || read_intra(&intra, &r) ? -1 : 0;
}
