#include "base/names.h"
#include "base/opt.h"
#include "import/draft.h"
#include "io/csv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Prices from third-party catalogs on the user's disk. Columns are found by name, because every cloud orders
 * them differently. Their prices are per instance, ours per GPU. */

enum { COLUMNS_MAX = 64, LOCATIONS_MAX = 20000 };

/* No GPU costs this much an hour: catalogs write such numbers for unknown prices (SkyPilot: 700). */
static const double PLACEHOLDER_USD = 100;

enum column { INSTANCE, GPU, COUNT, PRICE, SPOT_PRICE, REGION, ZONE, INFO, MEMORY, IS_SPOT, COLUMN_N };

struct offer {
    const char *region, *zone, *instance; /* instance: "" for the GPU without a host */
    const struct draft_alias *as;
    int count;
    double usd; /* per GPU and hour */
};

struct catalog {
    struct draft *d;
    const char *file;
    struct offer *offer;
    int n, room;
    int no_price, placeholder, parts, hostless; /* rows */
    int placeholder_line, unknown;
    double placeholder_usd;
    const char *first_unknown;
    struct err *e;
};

/* ---- rows ---- */

struct row {
    char *cell[COLUMNS_MAX];
    int column[COLUMN_N], line;
};

static const char *cell(const struct row *r, enum column c) {
    return r->column[c] < 0 ? "" : r->cell[r->column[c]];
}

static int number(const struct catalog *c, const struct row *r, enum column col, const char *what,
                  double *v) {
    const char *text = cell(r, col);
    *v = NAN;
    if (!*text || !strcasecmp(text, "nan") || opt_number(text, v)) return 0;
    return err_set(c->e, EXIT_INPUT, "%s:%d: %s: \"%.40s\"; expected a number", c->file, r->line, what, text);
}

/* {'Gpus': [{'Name': 'V100', ..., 'MemoryInfo': {'SizeInMiB': 16384}}], ...}: the memory of one GPU. */
static double info_bytes(const char *info) {
    static const char key[] = "SizeInMiB'";
    const char *at = strstr(info, key);
    if (!at) return NAN;
    double MiB = strtod(at + strlen(key) + strspn(at + strlen(key), ": "), NULL);
    return MiB >= 1 && MiB < 1e9 ? MiB * 0x1p20 : NAN;
}

static void keep(struct catalog *c, struct offer o) {
    if (c->n == c->room) {
        struct offer *more = ARENA_ARRAY(c->d->a, struct offer, c->room = 2 * c->room + 256);
        if (c->n) memcpy(more, c->offer, sizeof *more * (size_t)c->n);
        c->offer = more;
    }
    c->offer[c->n++] = o;
}

static bool wanted_type(const struct draft *d, const char *name) {
    if (d->ask->gpus) return draft_listed(d->ask->gpus, name);
    return !d->n_gpu || draft_find_gpu(d, name) >= 0;
}

/* A credible price per GPU, or NAN. */
static double believed(struct catalog *c, const struct row *r, double usd, double count) {
    if (isnan(usd) || usd <= 0) return c->no_price++, NAN;
    if (usd / count <= PLACEHOLDER_USD) return usd / count;
    if (!c->placeholder++) {
        c->placeholder_line = r->line;
        c->placeholder_usd = usd;
    }
    return NAN;
}

static void take_row(struct catalog *c, const struct row *r, const char *said, double bytes, double count,
                     double usd) {
    const struct draft_alias *as = draft_alias(c->d, said, bytes);
    if (count < 1) {
        c->parts++;
        return;
    }
    if (!as->name) {
        if (!c->unknown++) c->first_unknown = as->why;
        return;
    }
    if (!wanted_type(c->d, as->name) || count > 1024) return;
    const char *zone = cell(r, ZONE), *region = cell(r, REGION), *instance = cell(r, INSTANCE);
    usd = believed(c, r, usd, count);
    if (isnan(usd)) return;
    c->hostless += !*instance;
    keep(c, (struct offer){arena_strdup(c->d->a, region), arena_strdup(c->d->a, *zone ? zone : region),
                           arena_strdup(c->d->a, instance), as, (int)count, usd});
}

/* ---- SkyPilot and gpuhunt ---- */

struct kind {
    const char *called, *const *name; /* [COLUMN_N] names of columns, NULL if absent */
    enum column needs[5];
    int n_needs;
    int (*take)(struct catalog *c, const struct row *r);
};

static int take_skypilot(struct catalog *c, const struct row *r) {
    bool spot = c->d->ask->spot;
    double count, usd;
    if (!*cell(r, GPU) || !strncasecmp(cell(r, GPU), "tpu", 3)) return 0;
    if (number(c, r, COUNT, "AcceleratorCount", &count)) return -1;
    if (number(c, r, spot ? SPOT_PRICE : PRICE, spot ? "SpotPrice" : "Price", &usd)) return -1;
    if (isnan(count) || count <= 0) return 0;
    take_row(c, r, cell(r, GPU), info_bytes(cell(r, INFO)), count, usd);
    return 0;
}

static int take_gpuhunt(struct catalog *c, const struct row *r) {
    double count, usd, GB;
    if (!*cell(r, GPU) || !strncasecmp(cell(r, GPU), "tpu", 3)) return 0;
    if (number(c, r, COUNT, "gpu_count", &count) || number(c, r, PRICE, "price", &usd) ||
        number(c, r, MEMORY, "gpu_memory", &GB))
        return -1;
    if (!strcasecmp(cell(r, IS_SPOT), "true") != c->d->ask->spot || isnan(count) || count <= 0) return 0;
    take_row(c, r, cell(r, GPU), GB >= 0.001 && GB < 1e6 ? GB * 0x1p30 : NAN, count, usd);
    return 0;
}

static const char *const skypilot_columns[COLUMN_N] = {
    [INSTANCE] = "InstanceType", [GPU] = "AcceleratorName", [COUNT] = "AcceleratorCount", [PRICE] = "Price",
    [SPOT_PRICE] = "SpotPrice",  [REGION] = "Region",       [ZONE] = "AvailabilityZone",  [INFO] = "GpuInfo"};
static const char *const gpuhunt_columns[COLUMN_N] = {
    [INSTANCE] = "instance_name", [GPU] = "gpu_name",      [COUNT] = "gpu_count", [PRICE] = "price",
    [REGION] = "location",        [MEMORY] = "gpu_memory", [IS_SPOT] = "spot"};
static const struct kind skypilot = {
    "SkyPilot", skypilot_columns, {GPU, COUNT, PRICE, REGION, INSTANCE}, 5, take_skypilot};
static const struct kind gpuhunt = {
    "gpuhunt", gpuhunt_columns, {GPU, COUNT, PRICE, REGION, INSTANCE}, 5, take_gpuhunt};

static int read_header(struct catalog *c, const struct kind *k, char *line, struct row *r, int *columns) {
    *columns = csv_split(line, r->cell, COLUMNS_MAX);
    for (int i = 0; i < COLUMN_N; i++) {
        r->column[i] = -1;
        for (int j = 0; k->name[i] && j < *columns; j++)
            if (!strcasecmp(r->cell[j], k->name[i])) r->column[i] = j; /* GpuInfo or GPUInfo */
    }
    for (int i = 0; i < k->n_needs; i++)
        if (r->column[k->needs[i]] < 0)
            return err_set(c->e, EXIT_INPUT, "%s:1: no column %s; expected the header of a catalog of %s",
                           c->file, k->name[k->needs[i]], k->called);
    if (c->d->ask->spot && k == &skypilot && r->column[SPOT_PRICE] < 0)
        return err_set(c->e, EXIT_INPUT, "%s:1: no column SpotPrice; expected one, for --spot", c->file);
    if (k == &skypilot && r->column[ZONE] < 0)
        draft_note(c->d, "%s: has no zones: its regions are used instead", c->file);
    return 0;
}

static int read_rows(struct catalog *c, const struct kind *k, const char *text) {
    char *at = arena_strdup(c->d->a, text), *line = csv_line(&at);
    struct row r = {.line = 1};
    int columns = 0;
    if (!line) return err_set(c->e, EXIT_INPUT, "%s: empty; expected a catalog of %s", c->file, k->called);
    if (read_header(c, k, line, &r, &columns)) return -1;
    while ((line = csv_line(&at))) {
        r.line++;
        if (!*line) continue;
        int n = csv_split(line, r.cell, COLUMNS_MAX);
        if (n < 0)
            return err_set(c->e, EXIT_INPUT,
                           "%s:%d: a quote stays open, or more than %d cells; expected %d, as in the header",
                           c->file, r.line, COLUMNS_MAX, columns);
        if (n != columns)
            return err_set(c->e, EXIT_INPUT, "%s:%d: %d cells; expected %d, as in the header", c->file,
                           r.line, n, columns);
        if (k->take(c, &r)) return -1;
    }
    return 0;
}

/* ---- zones ---- */

struct wish {
    const char *ours, *theirs;
};

static bool in_zone(const struct offer *o, const char *zone) {
    return !strcmp(o->zone, zone) || !strcmp(o->region, zone);
}

/* Which places in the catalog become which zones: those in --zones, else the site's zones, else all
 * places. */
static int wishes(struct catalog *c, struct wish *w, int *n) {
    struct draft *d = c->d;
    *n = 0;
    for (const char *at = d->ask->zones; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        int len = (int)strcspn(at, ","), own = (int)strcspn(at, "=,");
        if (*n == ZONES_MAX || !len)
            return err_set(c->e, EXIT_INPUT, "--zones %.100s: expected 1 to %d zones", d->ask->zones,
                           ZONES_MAX);
        w[(*n)++] = (struct wish){arena_printf(d->a, "%.*s", own, at),
                                  own < len ? arena_printf(d->a, "%.*s", len - own - 1, at + own + 1)
                                            : arena_printf(d->a, "%.*s", len, at)};
    }
    for (int z = 0; z < d->n_zone && !d->ask->zones; z++) w[(*n)++] = (struct wish){d->zone[z], d->zone[z]};
    for (int i = 0; i < c->n && !d->ask->zones && !d->n_zone; i++) {
        int k = 0;
        while (k < *n && strcmp(w[k].theirs, c->offer[i].zone) != 0) k++;
        if (k < *n) continue;
        if (*n == ZONES_MAX)
            return err_set(c->e, EXIT_INPUT,
                           "%s: more than %d zones; expected --zones with those that you have (--gpus "
                           "with the types)",
                           c->file, ZONES_MAX);
        w[(*n)++] = (struct wish){c->offer[i].zone, c->offer[i].zone};
    }
    return 0;
}

/* Checks that every place listed is in the catalog. */
static int check_wishes(const struct catalog *c, const struct wish *w, int n) {
    const char *names[64];
    int places = 0, found = 0;
    for (int k = 0; k < n; k++) {
        bool there = false;
        for (int i = 0; i < c->n && !there; i++) there = in_zone(&c->offer[i], w[k].theirs);
        found += there;
        if (there || !c->d->ask->zones) continue;
        for (int i = 0; i < c->n && places < 64; i++)
            if (name_index(names, places, c->offer[i].zone) < 0) names[places++] = c->offer[i].zone;
        return err_set(c->e, EXIT_INPUT, "--zones: %s has no price in \"%.60s\"%s", c->file, w[k].theirs,
                       name_hint(w[k].theirs, names, places, c->d->a));
    }
    if (found || !n) return 0;
    return err_set(c->e, EXIT_INPUT,
                   "%s: has no zone or region %s; expected --zones %s=ITS to say which one it is", c->file,
                   w[0].ours, w[0].ours);
}

/* ---- prices ---- */

/* The size of the nodes whose prices are used: the site's if it is offered, else the largest. */
static int node_size(const struct catalog *c, const struct wish *w, int n, const char *type, int have) {
    int most = 0;
    bool same = false;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < n; k++) {
            const struct offer *o = &c->offer[i];
            if (strcmp(o->as->name, type) || !in_zone(o, w[k].theirs)) continue;
            same |= o->count == have;
            if (o->count > most) most = o->count;
        }
    return same ? have : most;
}

static void put_price(struct catalog *c, const struct wish *w, int z, int g, int size) {
    struct draft *d = c->d;
    const struct offer *best = NULL;
    int differ = 0;
    for (int i = 0; i < c->n; i++) {
        const struct offer *o = &c->offer[i];
        if (o->count != size || strcmp(o->as->name, d->gpu[g].name) || !in_zone(o, w->theirs)) continue;
        differ += best && o->usd != best->usd;
        if (!best || o->usd < best->usd) best = o;
    }
    if (!best) return;
    d->usd[z][g] = best->usd;
    if (differ)
        draft_note(d, "%s: %s in %s: the cheapest of several offers with %d GPUs, %s", c->file,
                   d->gpu[g].name, d->zone[z], size, *best->instance ? best->instance : "the GPU alone");
}

static int put_type(struct catalog *c, const struct wish *w, int n, const struct draft_alias *as) {
    struct draft *d = c->d;
    int known = draft_find_gpu(d, as->name), have = known < 0 ? 0 : d->gpu[known].gpus_per_node,
        size = node_size(c, w, n, as->name, have);
    if (!size) return 0;
    int g = draft_gpu(d, as, size, c->file, c->e);
    if (g < 0) return -1;
    if (size != d->gpu[g].gpus_per_node)
        draft_note(
            d, "%s: no offer has %d %s like the nodes of this site; the price is that of an offer with %d",
            c->file, d->gpu[g].gpus_per_node, as->name, size);
    for (int k = 0; k < n; k++) {
        int z = draft_zone(d, w[k].ours, c->file, c->e);
        if (z < 0) return -1;
        put_price(c, &w[k], z, g, size);
    }
    return 0;
}

static void say_traps(const struct catalog *c) {
    struct draft *d = c->d;
    const char *what = d->ask->spot ? "spot price" : "price";
    if (c->no_price)
        draft_note(d, "%s: %s without a %s left out", c->file, draft_count(d, c->no_price, "row"), what);
    if (c->placeholder)
        draft_note(d, "%s: %s with a placeholder for a %s left out (line %d: %g USD)", c->file,
                   draft_count(d, c->placeholder, "row"), what, c->placeholder_line, c->placeholder_usd);
    if (c->parts)
        draft_note(d, "%s: %s with a fraction of a GPU left out", c->file, draft_count(d, c->parts, "row"));
    if (c->hostless)
        draft_note(d, "%s: %s with a GPU but no instance: the price does not include the host", c->file,
                   draft_count(d, c->hostless, "row"));
    if (c->unknown)
        draft_note(d, "%s: %s left out: %s", c->file, draft_count(d, c->unknown, "row"), c->first_unknown);
}

static int take_catalog(struct draft *d, const struct kind *k, const char *file, const char *text,
                        struct err *e) {
    struct catalog c = {.d = d, .file = file, .e = e};
    struct wish w[ZONES_MAX];
    int n = 0;
    if (read_rows(&c, k, text)) return -1;
    say_traps(&c);
    if (!c.n)
        return err_set(e, EXIT_INPUT, "%s: no %s of %s; expected a catalog that has one", file,
                       d->ask->spot ? "spot price" : "price",
                       d->ask->gpus ? d->ask->gpus
                       : d->n_gpu   ? "a GPU type of the site"
                                    : "a GPU");
    if (wishes(&c, w, &n) || check_wishes(&c, w, n)) return -1;
    for (int i = 0; i < c.n; i++) {
        int before = 0;
        while (strcmp(c.offer[before].as->name, c.offer[i].as->name) != 0) before++;
        if (before == i && put_type(&c, w, n, c.offer[i].as)) return -1;
    }
    draft_source(d, "prices: catalog of %s, %s (%s)", k->called, d->ask->spot ? "spot" : "on demand", file);
    return 0;
}

int draft_skypilot(struct draft *d, const char *file, const char *text, struct err *e) {
    return take_catalog(d, &skypilot, file, text, e);
}

int draft_gpuhunt(struct draft *d, const char *file, const char *text, struct err *e) {
    return take_catalog(d, &gpuhunt, file, text, e);
}
