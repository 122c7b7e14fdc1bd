#include "base/names.h"
#include "base/opt.h"
#include "import/draft.h"
#include "import/tree.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Everyone names GPUs differently: "a100" (Slurm), "A100-80GB" (SkyPilot), "NVIDIA A100-SXM4-80GB" (the
 * driver). A name is split into family, memory and form factor, and compared with the names in devices.json,
 * split the same way. */

struct parts {
    char family[64];
    double GB; /* NAN: not given */
    bool pcie;
};

static const char *const maker[] = {"nvidia", "tesla", "geforce", "amd", "instinct", "quadro", "gpu"};
static const char *const memory_kind[] = {"hbm2", "hbm2e", "hbm3", "hbm3e", "sxm", "sxm2",  "sxm3",
                                          "sxm4", "sxm5",  "sxm6", "hgx",   "dgx", "nvlink"};
static const int sizes[] = {11, 12, 16, 24, 32, 40, 48, 80, 94, 96, 120, 141, 144, 180, 192};

static bool among(const char *word, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(word, list[i])) return true;
    return false;
}

/* "80gb", "80g" or "80" after the family. */
static bool is_memory(const char *word, bool first, double *GB) {
    int v = 0, n = 0;
    if (sscanf(word, "%4d%n", &v, &n) != 1 || first) return false;
    if (!strcmp(word + n, "gb") || !strcmp(word + n, "g")) return *GB = v, true;
    for (size_t i = 0; !word[n] && i < sizeof sizes / sizeof *sizes; i++)
        if (v == sizes[i]) return *GB = v, true;
    return false;
}

static struct parts take_apart(const char *name) {
    struct parts p = {.GB = NAN};
    for (const char *at = name; *at;) {
        char word[32];
        size_t n = 0;
        while (*at && !isalnum((unsigned char)*at)) at++;
        for (; isalnum((unsigned char)*at); at++)
            if (n + 1 < sizeof word) word[n++] = (char)tolower((unsigned char)*at);
        word[n] = '\0';
        if (!n || among(word, maker, sizeof maker / sizeof *maker) ||
            among(word, memory_kind, sizeof memory_kind / sizeof *memory_kind))
            continue;
        if (!strcmp(word, "pcie") || !strcmp(word, "pci")) {
            p.pcie = true;
            continue;
        }
        if (is_memory(word, !p.family[0], &p.GB)) continue;
        size_t used = strlen(p.family);
        snprintf(p.family + used, sizeof p.family - used, "%s", word);
    }
    return p;
}

static bool near(double bytes, double other) {
    return isnan(bytes) || isnan(other) || fabs(bytes / other - 1) < 0.12;
}

struct candidates {
    const struct device_entry *d[8];
    int n;
};

static bool has_form_pcie(const struct device_entry *x) {
    for (int i = 0; i < x->n_names; i++)
        if (take_apart(x->names[i]).pcie) return true;
    return false;
}

/* The devices of this family with about this much memory; if they differ in form, those of the form given,
 * else those with NVLink. */
static struct candidates find(const struct draft *d, const struct parts *p, double bytes) {
    struct candidates all = {.n = 0}, c = {.n = 0};
    for (int i = 0; i < d->n_device; i++) {
        const struct device_entry *x = &d->device[i];
        bool family = false;
        for (int k = 0; k < x->n_names; k++) family |= !strcmp(take_apart(x->names[k]).family, p->family);
        if (!family || !x->sheet || !near(bytes, x->d.memory_bytes)) continue;
        if (!isnan(p->GB) && !near(p->GB * 0x1p30, x->d.memory_bytes)) continue;
        if (all.n < 8) all.d[all.n++] = x;
    }
    for (int i = 0; i < all.n; i++)
        if (has_form_pcie(all.d[i]) == p->pcie) c.d[c.n++] = all.d[i];
    return c.n || p->pcie ? c : all;
}

/* Compares whole names first, then beginnings of names. */
static const struct device_entry *device_called(const struct draft *d, const char *name) {
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < d->n_device; i++)
            for (int k = 0; k < d->device[i].n_names; k++) {
                const char *own = d->device[i].names[k];
                size_t n = strlen(own) - 1;
                if (pass ? own[n] == '*' && !strncmp(own, name, n) : !strcmp(own, name)) return &d->device[i];
            }
    return NULL;
}

static const char *nearest(const struct draft *d, const char *said) {
    const char **names = ARENA_ARRAY(d->a, const char *, d->n_device + 1);
    for (int i = 0; i < d->n_device; i++) names[i] = d->device[i].d.name;
    return name_nearest(said, names, d->n_device);
}

/* A type without a data sheet keeps its name. */
static void keep_name(struct draft *d, struct draft_alias *x, const char *name) {
    const char *near_name = nearest(d, name), *given = draft_value(d->ask->memory, name, d->a);
    const char *hint = near_name ? arena_printf(d->a, "did you mean %s? ", near_name) : "";
    double GiB;
    x->bytes = given && opt_number(given, &GiB) && GiB >= 0.1 && GiB < 1e6 ? GiB * 0x1p30 : x->said_bytes;
    if (isnan(x->bytes) || !import_safe_name(name)) {
        x->why = arena_printf(d->a,
                              "no data sheet for GPU \"%.60s\", and its memory is unknown; %s--map "
                              "%.60s=TYPE says which type it is, --memory %.60s=GiB how much memory it has",
                              name, hint, x->said, name);
        return;
    }
    x->name = name;
    x->remark =
        arena_printf(d->a, "no data sheet for GPU \"%.60s\": its name is kept; %s--map %.60s=TYPE renames it",
                     name, hint, x->said);
}

static void settle(struct draft *d, struct draft_alias *x) {
    const char *mapped = draft_value(d->ask->map, x->said, d->a);
    const struct device_entry *exact = device_called(d, mapped ? mapped : x->said);
    struct parts p = take_apart(x->said);
    int have = draft_find_gpu(d, mapped ? mapped : x->said);
    if (have >= 0) {
        x->name = d->gpu[have].name;
        x->bytes = d->gpu[have].memory_bytes;
    } else if (exact && exact->sheet) {
        x->name = exact->d.name;
        x->bytes = exact->d.memory_bytes;
    } else if (mapped) {
        keep_name(d, x, mapped);
    } else {
        struct candidates c = find(d, &p, x->said_bytes);
        if (c.n == 1) {
            x->name = c.d[0]->d.name;
            x->bytes = c.d[0]->d.memory_bytes;
            x->remark = arena_printf(d->a, "\"%.60s\" is taken to be %s (--map %.60s=TYPE changes this)",
                                     x->said, x->name, x->said);
        } else if (c.n > 1) {
            const char *list = "";
            for (int i = 0; i < c.n; i++)
                list = arena_printf(d->a, "%s%s%s", list, i ? " or " : "", c.d[i]->d.name);
            x->why = arena_printf(d->a, "\"%.60s\" may be %s; --map %.60s=TYPE says which", x->said, list,
                                  x->said);
        } else {
            keep_name(d, x, x->said);
        }
    }
}

const struct draft_alias *draft_alias(struct draft *d, const char *said, double memory_bytes) {
    for (struct draft_alias *x = d->alias; x; x = x->next)
        if (!strcmp(x->said, said) &&
            (x->said_bytes == memory_bytes || (isnan(memory_bytes) && isnan(x->said_bytes))))
            return x;
    struct draft_alias *x = ARENA_NEW(d->a, struct draft_alias);
    *x = (struct draft_alias){
        .said = arena_strdup(d->a, said), .said_bytes = memory_bytes, .bytes = NAN, .next = d->alias};
    settle(d, x);
    d->alias = x;
    return x;
}
