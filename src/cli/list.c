#include "cli/cli.h"
#include "base/names.h"
#include "formats/devices.h"
#include "formats/inputs.h"
#include "io/file.h"
#include "io/json.h"
#include "io/table.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* Lists what there is to plan with. Every list is a table of text and numbers, collected once and printed for
 * people or programs. */

static struct {
    const char *inputs;
    bool json;
} o;

static const char *const kinds[] = {"models", "gpus", "profiles", "sites", "prices", "jobs"};
enum { MODELS, GPUS, PROFILES, SITES, PRICES, JOBS, KINDS };

static const struct opt options[] = {
    OPTION_FLAG(0, "json", &o.json, "print one JSON object per line instead of a table"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command list_command = {
    .usage = "models|gpus|profiles|sites|prices|jobs [options]",
    .about = "List the models, GPU types, profiles, sites, prices and jobs to which a name can refer.",
    .details = "examples:\n"
               "  sailor list models\n"
               "  sailor list prices --json\n",
    OPT_COMMAND("list", options, 1, 1),
};

/* ---- a listing: rows of named cells, printed as a table or as JSON lines ---- */

struct listing {
    struct table *table;
    cJSON *row;
    struct arena *a;
};

static struct listing listing_new(const char *headings, struct arena *a) {
    return (struct listing){.table = table_new(headings, a), .a = a};
}

static void begin(struct listing *l) {
    if (o.json) l->row = cJSON_CreateObject();
}

static void text(struct listing *l, const char *key, const char *value) {
    if (o.json)
        cJSON_AddItemToObject(l->row, key, value ? cJSON_CreateString(value) : cJSON_CreateNull());
    else
        table_cell(l->table, "%s", value ? value : "-");
}

static void integer(struct listing *l, const char *key, int value) {
    if (o.json)
        cJSON_AddNumberToObject(l->row, key, value);
    else
        table_cell(l->table, "%d", value);
}

static void number(struct listing *l, const char *key, double value, int digits) {
    if (o.json)
        json_add_number(l->row, key, value);
    else
        table_cell(l->table, "%s", table_number(value, digits, l->a));
}

static void end(struct listing *l) {
    if (o.json) json_line(l->row, stdout);
}

static void finish(const struct listing *l) {
    if (!o.json) table_print(l->table, stdout);
}

/* n numbers as "1 2 4". */
static const char *join(const int *v, int n, struct arena *a) {
    const char *s = "";
    for (int i = 0; i < n; i++) s = arena_printf(a, "%s%s%d", s, i ? " " : "", v[i]);
    return s;
}

/* ---- the lists ---- */

static int list_models(const char *dir, struct arena *a, struct err *e) {
    struct listing l =
        listing_new("<model|layers|blocks|hidden|heads|sequence|vocabulary|params / 1e6|<tensor parallel", a);
    const char **name;
    int n = inputs_names(dir, "models", &name, a);
    for (int i = 0; i < n; i++) {
        struct workload w;
        if (model_load(name[i], dir, &w, a, e)) return -1;
        const struct model *m = w.model;
        double params = 0;
        int degree[TP_N], degrees = 0;
        for (int k = 0; k < m->n_layer && m->params[0]; k++) params += m->params[0][k];
        for (int ti = 0; ti < TP_N; ti++)
            if (m->params[ti]) degree[degrees++] = 1 << ti;
        begin(&l);
        text(&l, "model", m->name);
        integer(&l, "layers", m->n_layer);
        integer(&l, "blocks", m->n_block);
        integer(&l, "hidden_size", m->hidden_size);
        integer(&l, "heads", m->heads);
        integer(&l, "sequence_length", m->sequence_length);
        integer(&l, "vocabulary", m->vocabulary);
        number(&l, "parameters", o.json ? params : params / 1e6, 4);
        text(&l, "tensor_parallel", join(degree, degrees, a));
        end(&l);
    }
    finish(&l);
    return 0;
}

typedef int (*site_rows)(const struct site *s, struct listing *l);

/* The rows of every site. */
static int over_sites(const char *dir, struct listing *l, site_rows rows, struct arena *a, struct err *e) {
    const char **name;
    int n = inputs_names(dir, "sites", &name, a);
    for (int i = 0; i < n; i++) {
        struct workload w;
        const char *file;
        if (site_load(name[i], dir, &w, &file, a, e) || rows(w.site, l)) return -1;
    }
    return 0;
}

/* In how many zones the site has a price for this type. */
static int priced_zones(const struct site *s, int gpu) {
    int n = 0;
    for (int z = 0; z < s->n_zone; z++) n += !isnan(s->usd_per_gpu_hour[site_at(s, z, gpu)]);
    return n;
}

static void gpu_row(const char *gpu, const char *site, double memory_bytes, int per_node, int priced,
                    struct listing *l) {
    begin(l);
    text(l, "gpu", gpu);
    text(l, "site", site);
    number(l, "memory_GiB", memory_bytes / 0x1p30, 4);
    integer(l, "gpus_per_node", per_node);
    integer(l, "priced_zones", priced);
    end(l);
}

static int gpu_rows(const struct site *s, struct listing *l) {
    for (int g = 0; g < s->n_gpu; g++)
        gpu_row(s->gpu[g].name, s->name, s->gpu[g].memory_bytes, s->gpu[g].gpus_per_node, priced_zones(s, g),
                l);
    return 0;
}

/* Types with a data sheet, which any site, and a job without a site, may name. */
static int sheet_rows(const char *dir, struct listing *l, struct arena *a, struct err *e) {
    struct device_entry *known;
    int n;
    const char *path = arena_printf(a, "%s/devices.json", dir);
    if (access(path, F_OK)) return 0;
    const char *file = file_read_text(path, NULL, a, e);
    if (!file || devices_all(path, file, &known, &n, a, e)) return -1;
    for (int i = 0; i < n; i++)
        if (known[i].sheet)
            gpu_row(known[i].d.name, NULL, known[i].d.memory_bytes, known[i].d.gpus_per_node, 0, l);
    return 0;
}

static int site_row(const struct site *s, struct listing *l) {
    const char *zones = "", *gpus = "";
    for (int z = 0; z < s->n_zone; z++) zones = arena_printf(l->a, "%s%s%s", zones, z ? " " : "", s->zone[z]);
    for (int g = 0; g < s->n_gpu; g++)
        gpus = arena_printf(l->a, "%s%s%s", gpus, g ? " " : "", s->gpu[g].name);
    begin(l);
    text(l, "site", s->name);
    text(l, "zones", zones);
    text(l, "gpus", gpus);
    end(l);
    return 0;
}

static int price_rows(const struct site *s, struct listing *l) {
    for (int z = 0; z < s->n_zone; z++)
        for (int g = 0; g < s->n_gpu; g++) {
            double usd = s->usd_per_gpu_hour[site_at(s, z, g)];
            if (isnan(usd)) continue;
            begin(l);
            text(l, "site", s->name);
            text(l, "zone", s->zone[z]);
            text(l, "gpu", s->gpu[g].name);
            number(l, "usd_per_gpu_hour", usd, 4);
            end(l);
        }
    return 0;
}

static void profile_row(const struct profile *p, struct listing *l) {
    int degree[TP_N], degrees = 0;
    for (int ti = 0; ti < TP_N; ti++) {
        bool any = false;
        for (int i = 0; i < p->n_mb; i++) any |= p->times[i * TP_N + ti].fwd_s != NULL;
        if (any) degree[degrees++] = 1 << ti;
    }
    begin(l);
    text(l, "model", p->model);
    text(l, "gpu", p->gpu);
    text(l, "dtype", p->dtype);
    text(l, "micro_batch_sizes", join(p->mb, p->n_mb, l->a));
    text(l, "tensor_parallel", join(degree, degrees, l->a));
    end(l);
}

/* Profiles belong to models; the GPU types come from the sites. */
static int list_profiles(const char *dir, struct arena *a, struct err *e) {
    struct listing l = listing_new("<model|<gpu|<dtype|<microbatches|<tensor parallel", a);
    const char **model, **site;
    int models = inputs_names(dir, "models", &model, a), sites = inputs_names(dir, "sites", &site, a);
    for (int i = 0; i < models; i++) {
        const char *seen[256];
        int n_seen = 0;
        for (int j = 0; j < sites; j++) {
            struct workload w;
            if (workload_load(model[i], site[j], dir, &w, a, e)) return -1;
            for (int g = 0; g < w.site->n_gpu; g++) {
                const struct profile *p = w.profile[g];
                if (!p || n_seen == 256 || name_index(seen, n_seen, p->gpu) >= 0) continue;
                seen[n_seen++] = p->gpu;
                profile_row(p, &l);
            }
        }
    }
    finish(&l);
    return 0;
}

static int list_jobs(const char *dir, struct arena *a) {
    struct listing l = listing_new("<job", a);
    static const char *const folder[] = {".", "examples"};
    for (int f = 0; f < 2; f++) {
        const char **name;
        int n = inputs_names(dir, folder[f], &name, a);
        for (int i = 0; i < n; i++) {
            if (!job_named(dir, name[i], a)) continue;
            begin(&l);
            text(&l, "job", name[i]);
            end(&l);
        }
    }
    finish(&l);
    return 0;
}

static int list(const char **what, int n, struct arena *a, struct err *e) {
    (void)n;
    int kind = name_index(kinds, KINDS, what[0]);
    if (kind < 0) {
        return err_set(e, EXIT_INPUT, "\"%.60s\": expected models, gpus, profiles, sites, prices or jobs%s",
                       what[0], name_hint(what[0], kinds, KINDS, a));
    }
    const char *dir = inputs_dir(o.inputs, a, e);
    if (!dir) return -1;
    struct listing l = {.a = a};
    switch (kind) {
    case MODELS:
        return list_models(dir, a, e);
    case GPUS:
        l = listing_new("<gpu|<site|GiB|per node|zones with a price", a);
        if (over_sites(dir, &l, gpu_rows, a, e) || sheet_rows(dir, &l, a, e)) return -1;
        break;
    case PROFILES:
        return list_profiles(dir, a, e);
    case SITES:
        l = listing_new("<site|<zones|<gpus", a);
        if (over_sites(dir, &l, site_row, a, e)) return -1;
        break;
    case PRICES:
        l = listing_new("<site|<zone|<gpu|USD per GPU hour", a);
        if (over_sites(dir, &l, price_rows, a, e)) return -1;
        break;
    default:
        return list_jobs(dir, a);
    }
    finish(&l);
    return 0;
}

int cmd_list(int argc, char **argv) { return program_run(&list_command, argc, argv, list); }
