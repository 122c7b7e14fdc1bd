#include "import/draft.h"
#include "base/names.h"
#include "base/opt.h"
#include "import/tree.h"
#include "sim/link.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int draft_begin(struct draft *d, const struct draft_wishes *ask, const char *file, const char *devices,
                struct arena *a, struct err *e) {
    struct device_entry *list;
    *d = (struct draft){.a = a, .ask = ask, .source = ""};
    d->last_note = &d->note;
    for (int z = 0; z < ZONES_MAX; z++) {
        for (int g = 0; g < GPUS_MAX; g++) {
            d->usd[z][g] = NAN;
            d->available[z][g] = -1;
        }
        for (int y = 0; y < ZONES_MAX; y++) d->egress[z][y] = z == y ? 0 : NAN; /* free within a zone */
    }
    if (devices_all(file, devices, &list, &d->n_device, a, e)) return -1;
    d->device = list;
    return 0;
}

void draft_free(struct draft *d) {
    cJSON_Delete(d->comments);
    cJSON_Delete(d->pairs);
    cJSON_Delete(d->presets);
    d->comments = d->pairs = d->presets = NULL;
}

/* ---- notes and sources ---- */

__attribute__((format(printf, 2, 0))) static const char *print(struct draft *d, const char *fmt, va_list ap) {
    char line[700];
    vsnprintf(line, sizeof line, fmt, ap);
    return arena_strdup(d->a, line);
}

void draft_note(struct draft *d, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    struct draft_note *x = ARENA_NEW(d->a, struct draft_note);
    x->text = print(d, fmt, ap);
    va_end(ap);
    *d->last_note = x;
    d->last_note = &x->next;
}

const char *draft_count(const struct draft *d, int n, const char *what) {
    return arena_printf(d->a, "%d %s%s", n, what, n == 1 ? "" : "s");
}

void draft_source(struct draft *d, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *text = print(d, fmt, ap);
    va_end(ap);
    if (!strstr(d->source, text))
        d->source = arena_printf(d->a, "%s%s%s", d->source, *d->source ? "; " : "", text);
}

/* ---- zones, types, links ---- */

static int find_zone(const struct draft *d, const char *name) { return name_index(d->zone, d->n_zone, name); }

int draft_find_gpu(const struct draft *d, const char *name) {
    for (int g = 0; g < d->n_gpu; g++)
        if (!strcmp(d->gpu[g].name, name)) return g;
    return -1;
}

int draft_zone(struct draft *d, const char *name, const char *file, struct err *e) {
    int z = find_zone(d, name);
    if (z >= 0) return z;
    if (!import_safe_name(name))
        return err_set(e, EXIT_INPUT,
                       "%s: \"%.60s\" as the name of a zone; expected letters, digits, '.', '_', '+' and '-'",
                       file, name);
    if (d->n_zone == ZONES_MAX)
        return err_set(e, EXIT_INPUT,
                       "%s: zone \"%.60s\" is one too many; expected at most %d (--zones "
                       "chooses)",
                       file, name, ZONES_MAX);
    d->zone[d->n_zone] = arena_strdup(d->a, name);
    return d->n_zone++;
}

int draft_end_zone(struct draft *d, const char *name, const char *option, struct err *e) {
    int before = d->n_zone, z = draft_zone(d, name, option, e);
    if (before && z == before) {
        struct text known = {0};
        for (int i = 0; i < before; i++) text_add(&known, "%s%s", i ? ", " : "", d->zone[i]);
        draft_note(d, "%s: zone %s is new; the site had %s", option, name, known.s);
        text_free(&known);
    }
    return z;
}

int draft_gpu(struct draft *d, const struct draft_alias *as, int gpus_per_node, const char *file,
              struct err *e) {
    int g = draft_find_gpu(d, as->name);
    if (g >= 0) return g;
    if (d->n_gpu == GPUS_MAX)
        return err_set(e, EXIT_INPUT,
                       "%s: GPU type \"%.60s\" is one too many; expected at most %d (--gpus chooses)", file,
                       as->name, GPUS_MAX);
    if (as->remark) draft_note(d, "%s: %s", file, as->remark);
    d->gpu[d->n_gpu] = (struct draft_gpu){as->name, as->bytes, NAN, gpus_per_node};
    return d->n_gpu++;
}

static bool same_ends(const struct draft_link *l, const int zone[2], const int gpu[2], const int ti[2]) {
    for (int i = 0; i < 2; i++)
        if (l->zone[i] != zone[i] || l->gpu[i] != gpu[i] || l->ti[i] != ti[i]) return false;
    return true;
}

const struct draft_link *draft_find_link(const struct draft *d, const int zone[2], const int gpu[2],
                                         const int ti[2]) {
    for (int i = 0; i < d->n_link; i++)
        if (same_ends(&d->link[i], zone, gpu, ti)) return &d->link[i];
    return NULL;
}

void draft_set_link(struct draft *d, const int zone[2], const int gpu[2], const int ti[2],
                    const struct link *fit) {
    int at = 0;
    while (at < d->n_link && !same_ends(&d->link[at], zone, gpu, ti)) at++;
    if (at == d->room) {
        struct draft_link *more = ARENA_ARRAY(d->a, struct draft_link, d->room = 2 * d->room + 64);
        if (at) memcpy(more, d->link, sizeof *more * (size_t)at);
        d->link = more;
    }
    struct draft_link *l = &d->link[at];
    for (int i = 0; i < 2; i++) {
        l->zone[i] = zone[i];
        l->gpu[i] = gpu[i];
        l->ti[i] = ti[i];
    }
    l->fit = *fit;
    if (at == d->n_link) d->n_link++;
}

/* ---- lists on the command line ---- */

bool draft_listed(const char *list, const char *name) {
    size_t n = strlen(name);
    if (!list) return true;
    for (const char *at = list; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (!strncmp(at, name, n) && (at[n] == ',' || !at[n])) return true;
    }
    return false;
}

const char *draft_value(const char *list, const char *key, struct arena *a) {
    size_t n = strlen(key);
    for (const char *at = list; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        if (strncmp(at, key, n) || at[n] != '=') continue;
        return arena_printf(a, "%.*s", (int)strcspn(at + n + 1, ","), at + n + 1);
    }
    return NULL;
}

static int egress_fail(const char *text, struct err *e) {
    return err_set(e, EXIT_INPUT,
                   "--egress %.100s: expected USD per 1e9 bytes, or FROM:TO=USD,... of zones of the site",
                   text);
}

int draft_egress(struct draft *d, const char *text, struct err *e) {
    double usd;
    if (opt_number(text, &usd)) {
        if (usd < 0) return egress_fail(text, e);
        for (int z = 0; z < d->n_zone; z++)
            for (int y = 0; y < d->n_zone; y++)
                if (y != z) d->egress[z][y] = usd;
        return 0;
    }
    for (const char *at = text; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        const char *one = arena_printf(d->a, "%.*s", (int)strcspn(at, ","), at), *colon = strchr(one, ':'),
                   *equals = colon ? strchr(colon, '=') : NULL;
        if (!equals || !opt_number(equals + 1, &usd) || usd < 0) return egress_fail(text, e);
        int z = find_zone(d, arena_printf(d->a, "%.*s", (int)(colon - one), one)),
            y = find_zone(d, arena_printf(d->a, "%.*s", (int)(equals - colon - 1), colon + 1));
        if (z < 0 || y < 0) return egress_fail(text, e);
        d->egress[z][y] = usd;
    }
    return 0;
}

/* ---- a site to start from ---- */

static void take_links(struct draft *d, const struct site *s) {
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    for (size_t i = 0; i < side * side; i++) {
        if (!s->link[i].known || s->link[i].rate_Bps > 0) continue; /* links with a rate go by name */
        int from = (int)(i / side), to = (int)(i % side);
        const int zone[2] = {from / TP_N / s->n_gpu, to / TP_N / s->n_gpu},
                  gpu[2] = {from / TP_N % s->n_gpu, to / TP_N % s->n_gpu}, ti[2] = {from % TP_N, to % TP_N};
        struct draft_link *l;
        if (d->n_link == d->room) {
            struct draft_link *more = ARENA_ARRAY(d->a, struct draft_link, d->room = 2 * d->room + 64);
            if (d->n_link) memcpy(more, d->link, sizeof *more * (size_t)d->n_link);
            d->link = more;
        }
        l = &d->link[d->n_link++];
        for (int k = 0; k < 2; k++) {
            l->zone[k] = zone[k];
            l->gpu[k] = gpu[k];
            l->ti[k] = ti[k];
        }
        l->fit = s->link[i];
    }
}

static void take_comments(struct draft *d, const cJSON *tree) {
    d->comments = cJSON_CreateObject();
    for (const cJSON *x = tree->child; x; x = x->next)
        if (!strncmp(x->string, "//", 2))
            cJSON_AddItemToObject(d->comments, x->string, cJSON_Duplicate(x, true));
}

int draft_from_site(struct draft *d, const struct site *s, const char *text, struct err *e) {
    cJSON *tree = json_parse("site", text, strlen(text), e);
    if (!tree) return -1;
    take_comments(d, tree);
    const cJSON *links = cJSON_GetObjectItemCaseSensitive(tree, "links");
    d->pairs = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(links, "pairs"), true);
    d->presets = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(links, "presets"), true);
    cJSON_Delete(tree);
    if (s->source) d->source = s->source;
    for (int z = 0; z < s->n_zone; z++) d->zone[d->n_zone++] = s->zone[z];
    for (int g = 0; g < s->n_gpu; g++) {
        const struct gpu_type *t = &s->gpu[g];
        double told = t->planner_memory_bytes == t->memory_bytes ? NAN : t->planner_memory_bytes;
        d->gpu[d->n_gpu++] = (struct draft_gpu){t->name, t->memory_bytes, told, t->gpus_per_node};
        for (int ti = 0; ti < TP_N; ti++) d->intra[g][ti] = s->intra[g * TP_N + ti];
    }
    for (int z = 0; z < s->n_zone; z++) {
        for (int g = 0; g < s->n_gpu; g++) {
            d->usd[z][g] = s->usd_per_gpu_hour[site_at(s, z, g)];
            d->available[z][g] = s->available[site_at(s, z, g)];
            const struct link *l = &s->link[site_link_slot(s, z, g, 0, z, g, 0)];
            d->paired[z][g] = l->known && l->rate_Bps > 0;
        }
        for (int y = 0; y < s->n_zone; y++) d->egress[z][y] = s->egress_usd_per_GB[z * s->n_zone + y];
    }
    take_links(d, s);
    return 0;
}

/* ---- the file ---- */

static void add_gpus(cJSON *o, const struct draft *d) {
    cJSON *list = cJSON_AddArrayToObject(o, "gpus");
    for (int g = 0; g < d->n_gpu; g++) {
        const struct draft_gpu *t = &d->gpu[g];
        cJSON *x = cJSON_CreateObject();
        cJSON_AddStringToObject(x, "name", t->name);
        json_add_number(x, "memory_bytes", t->memory_bytes);
        if (!isnan(t->planner_memory_bytes))
            json_add_number(x, "planner_memory_bytes", t->planner_memory_bytes);
        json_add_number(x, "gpus_per_node", t->gpus_per_node);
        cJSON_AddItemToArray(list, x);
    }
}

static void add_tables(cJSON *o, const struct draft *d) {
    cJSON *usd = cJSON_AddObjectToObject(o, "usd_per_gpu_hour"),
          *egress = cJSON_AddObjectToObject(o, "egress_usd_per_GB"), *available = NULL;
    for (int z = 0; z < d->n_zone; z++) {
        cJSON *row = cJSON_AddObjectToObject(usd, d->zone[z]),
              *out = cJSON_AddObjectToObject(egress, d->zone[z]), *here = NULL;
        for (int g = 0; g < d->n_gpu; g++) {
            json_add_number(row, d->gpu[g].name, d->usd[z][g]);
            if (d->available[z][g] < 0) continue;
            if (!available) available = cJSON_AddObjectToObject(o, "available");
            if (!here) here = cJSON_AddObjectToObject(available, d->zone[z]);
            json_add_number(here, d->gpu[g].name, d->available[z][g]);
        }
        for (int y = 0; y < d->n_zone; y++) json_add_number(out, d->zone[y], d->egress[z][y]);
    }
}

static void add_links(cJSON *o, const struct draft *d) {
    const struct site s = {.n_zone = d->n_zone, .n_gpu = d->n_gpu};
    const char *gpu[GPUS_MAX];
    size_t side = (size_t)d->n_zone * (size_t)d->n_gpu * TP_N;
    if (!d->n_link && !d->pairs) return;
    struct link *table = ARENA_ARRAY(d->a, struct link, side * side);
    for (int g = 0; g < d->n_gpu; g++) gpu[g] = d->gpu[g].name;
    for (int i = 0; i < d->n_link; i++) {
        const struct draft_link *l = &d->link[i];
        table[site_link_slot(&s, l->zone[0], l->gpu[0], l->ti[0], l->zone[1], l->gpu[1], l->ti[1])] = l->fit;
    }
    cJSON *links = import_links(table, d->zone, d->n_zone, gpu, d->n_gpu, d->a);
    if (d->pairs) cJSON_AddItemToObject(links, "pairs", cJSON_Duplicate(d->pairs, true));
    if (d->presets) cJSON_AddItemToObject(links, "presets", cJSON_Duplicate(d->presets, true));
    cJSON_AddItemToObject(o, "links", links);
}

static void add_intra(cJSON *o, const struct draft *d) {
    cJSON *all = NULL;
    for (int g = 0; g < d->n_gpu; g++) {
        cJSON *own = NULL;
        for (int ti = 0; ti < TP_N; ti++) {
            const char key[2] = {(char)('0' + (1 << ti)), '\0'};
            if (!d->intra[g][ti].known) continue;
            if (!all) all = cJSON_AddObjectToObject(o, "intra_node");
            if (!own) own = cJSON_AddObjectToObject(all, d->gpu[g].name);
            cJSON_AddItemToObject(own, key, import_fit(&d->intra[g][ti]));
        }
    }
}

int draft_text(const struct draft *d, const char *name, struct text *t, struct err *e) {
    if (!d->n_gpu || !d->n_zone)
        return err_set(e, EXIT_INPUT,
                       "no %s is known; expected a source that names some: --slurm, --nccl-topology, "
                       "--skypilot, --gpuhunt, --preset, or --merge",
                       d->n_gpu ? "zone" : "GPU type");
    cJSON *o = import_new_file("sailor-site/1", name, *d->source ? d->source : "no source"),
          *zones = cJSON_AddArrayToObject(o, "zones");
    for (int z = 0; z < d->n_zone; z++) cJSON_AddItemToArray(zones, cJSON_CreateString(d->zone[z]));
    add_gpus(o, d);
    add_tables(o, d);
    add_intra(o, d);
    add_links(o, d);
    for (const cJSON *x = d->comments ? d->comments->child : NULL; x; x = x->next)
        cJSON_AddItemToObject(o, x->string, cJSON_Duplicate(x, true));
    import_write_value(t, o, 0);
    text_add(t, "\n");
    cJSON_Delete(o);
    return 0;
}

/* ---- what is missing ---- */

/* "H100-80 in a, L4-24 in b, and 3 more" */
static const char *add_name(const char *list, int n, const struct draft *d, int z, int g) {
    if (n >= 4) return list;
    return arena_printf(d->a, "%s%s%s in %s", list, n ? ", " : "", d->gpu[g].name, d->zone[z]);
}

static const char *end_list(const char *list, int n, struct arena *a) {
    return n > 4 ? arena_printf(a, "%s and %d more", list, n - 4) : list;
}

/* A (zone, type) that nothing mentions is not a gap: a site need not have every type in every zone. */
static bool mentioned(const struct draft *d, int z, int g) {
    if (d->available[z][g] > 0 || !isnan(d->usd[z][g])) return true;
    for (int i = 0; i < d->n_link; i++)
        for (int k = 0; k < 2; k++)
            if (d->link[i].zone[k] == z && d->link[i].gpu[k] == g) return true;
    return false;
}

static bool linked(const struct draft *d, int z, int g) {
    if (d->paired[z][g]) return true;
    for (int i = 0; i < d->n_link; i++) {
        const struct draft_link *l = &d->link[i];
        if (l->zone[0] == z && l->gpu[0] == g && l->zone[1] == z && l->gpu[1] == g) return true;
    }
    return false;
}

void draft_note_gaps(struct draft *d) {
    const char *no_price = "", *no_link = "";
    int prices = 0, links = 0;
    for (int z = 0; z < d->n_zone; z++)
        for (int g = 0; g < d->n_gpu; g++) {
            if (!mentioned(d, z, g)) continue;
            if (isnan(d->usd[z][g])) no_price = add_name(no_price, prices++, d, z, g);
            if (!linked(d, z, g)) no_link = add_name(no_link, links++, d, z, g);
        }
    if (prices)
        draft_note(d, "no price is known for %s: null (--skypilot or --gpuhunt read catalogs)",
                   end_list(no_price, prices, d->a));
    if (links)
        draft_note(
            d,
            "no link is known from %s%s to itself: no data or pipeline parallelism there (--nccl-tests "
            "or sailor-train netbench measure links, --preset takes a data sheet's)",
            end_list(no_link, links, d->a), links > 1 ? ", each" : "");
}
