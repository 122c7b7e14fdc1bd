#include "import/draft.h"
#include "sim/link.h"

#include <string.h>

/* Nodes by their data sheet: memory, GPUs of a node, and what the network gives each GPU by what is achieved
 * of it. Between zones a data sheet knows nothing. */

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

static struct link by_sheets(const struct device *x, int ti, const struct device *y, int tj) {
    return flat(fmin(ldexp(network_Bps(x), ti), ldexp(network_Bps(y), tj)));
}

bool draft_is_preset(const struct draft *d, const struct draft_link *l) {
    const struct device *x = l ? sheet_of(d, d->gpu[l->gpu[0]].name) : NULL,
                        *y = l ? sheet_of(d, d->gpu[l->gpu[1]].name) : NULL;
    return x && y && l->fit.c1 == 0 && l->fit.peak_Bps == by_sheets(x, l->ti[0], y, l->ti[1]).peak_Bps;
}

/* Links by data sheet between two types in a zone, where none is known. */
static void put_links(struct draft *d, int zone, int g, int h, const struct device *x,
                      const struct device *y) {
    for (int i = 0; i < d->n_link; i++) {
        const struct draft_link *l = &d->link[i];
        if (l->zone[0] == zone && l->zone[1] == zone && l->gpu[0] == g && l->gpu[1] == h) return;
    }
    for (int a = 0; a < TP_N && 1 << a <= d->gpu[g].gpus_per_node; a++)
        for (int b = 0; b < TP_N && 1 << b <= d->gpu[h].gpus_per_node; b++) {
            const int z[2] = {zone, zone}, gpu[2] = {g, h}, ti[2] = {a, b};
            struct link l = by_sheets(x, a, y, b);
            draft_set_link(d, z, gpu, ti, &l);
        }
}

int draft_preset(struct draft *d, const char *types, struct err *e) {
    for (const char *at = types; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        const char *name = arena_printf(d->a, "%.*s", (int)strcspn(at, ","), at);
        const struct draft_alias *as = draft_alias(d, name, NAN);
        const struct device *x = as->name ? sheet_of(d, as->name) : NULL;
        if (!x)
            return err_set(e, EXIT_INPUT, "--preset %.60s: %s", name,
                           as->why ? as->why
                                   : "no data sheet of it; expected a GPU type of inputs/devices.json");
        int g = draft_gpu(d, as, x->gpus_per_node, "--preset", e);
        if (g < 0) return -1;
        for (int ti = 1; ti < TP_N; ti++)
            if (!d->intra[g][ti].known && 1 << ti <= x->gpus_per_node)
                d->intra[g][ti] = flat(ldexp(x->node_Bps * x->node_efficiency, ti - 1));
    }
    return 0;
}

static bool is_preset(struct draft *d, const char *types, const char *type) {
    for (const char *at = types; at; at = strchr(at, ',')) {
        if (*at == ',') at++;
        const char *name = arena_printf(d->a, "%.*s", (int)strcspn(at, ","), at);
        if (!strcmp(draft_alias(d, name, NAN)->name, type)) return true;
    }
    return false;
}

int draft_preset_links(struct draft *d, const char *types, struct err *e) {
    if (!d->n_zone && draft_zone(d, d->ask->zone ? d->ask->zone : "cluster", "--zone", e) < 0) return -1;
    for (int z = 0; z < d->n_zone; z++)
        for (int g = 0; g < d->n_gpu; g++)
            for (int h = 0; h < d->n_gpu; h++) {
                const struct device *x = sheet_of(d, d->gpu[g].name), *y = sheet_of(d, d->gpu[h].name);
                if (x && y && is_preset(d, types, d->gpu[g].name) && is_preset(d, types, d->gpu[h].name))
                    put_links(d, z, g, h, x, y);
            }
    draft_note(d, "links inside a zone are those of data sheets where none was measured%s",
               d->n_zone > 1 ? "; between zones none is known" : "");
    draft_source(d, "links inside zones: data sheets (inputs/devices.json)");
    return 0;
}
