#include "cli/validate_runs.h"
#include "cli/cli.h"
#include "formats/devices.h"
#include "formats/inputs.h"
#include "formats/measured.h"
#include "formats/residuals.h"
#include "formats/runs.h"
#include "io/file.h"
#include "io/json.h"
#include "io/table.h"
#include "sim/risk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORST_SHOWN = 5 };
static const double GiB = 1024.0 * 1024 * 1024;

/* A measured run and its estimate. Errors in percent, signed. */
struct judged {
    const struct measured_run *run;
    struct forecast forecast;
    double time_error, memory_error;
    struct cli_interval interval;
};

struct judged_set {
    const char *file;
    struct judged *judged; /* [n] */
    int n;
};

struct scores {
    struct error_summary time, memory;
    struct cli_coverage coverage;
};

int validate_count_tables(const char **file, int n, struct err *e) {
    int tables = 0;
    for (int i = 0; i < n; i++) {
        struct arena scratch = {0};
        size_t size = 0;
        if (measured_is_hdf5(file[i])) continue; /* the trainer's own measurement */
        const char *text = file_read_text(file[i], &size, &scratch, e);
        tables += text && runs_is_table(text, size);
        arena_free(&scratch);
        if (!text) return -1;
    }
    return tables;
}

/* ---- estimating --------------------------------------------------------------------- */

/* The data sheets and the last entries looked up: rows of one machine are usually adjacent. */
struct sheets {
    const char *devices, *frameworks; /* texts */
    struct residuals residuals;       /* zero: unknown */
    bool doubted;
    struct device device;
    struct framework framework;
};

static int load_sheets(const char *inputs, struct sheets *s, struct arena *a, struct err *e) {
    const char *dir = inputs_dir(inputs, a, e);
    if (!dir) return -1;
    s->devices = file_read_text(arena_printf(a, "%s/devices.json", dir), NULL, a, e);
    s->frameworks =
        s->devices ? file_read_text(arena_printf(a, "%s/frameworks.json", dir), NULL, a, e) : NULL;
    const char *path = cli_doubt_path(inputs, a, e);
    struct err none;
    const char *residuals = path ? file_read_text(path, NULL, a, &none) : NULL;
    if (residuals && residuals_read(path, residuals, &s->residuals, a, e)) return -1;
    s->doubted = residuals != NULL;
    return s->frameworks ? 0 : -1;
}

static int look_up(struct sheets *s, const struct measured_run *r, const char *file, struct arena *a,
                   struct err *e) {
    const char *where = arena_printf(a, "%s:%d", file, r->line);
    if (!s->device.name || strcmp(s->device.name, r->gpu) != 0)
        if (devices_sheet("devices.json", s->devices, r->gpu, where, &s->device, a, e)) return -1;
    if (!s->framework.name || strcmp(s->framework.name, r->framework) != 0)
        if (frameworks_find("frameworks.json", s->frameworks, r->framework, where, &s->framework, a, e))
            return -1;
    if (!isnan(s->device.peak_flops[r->setup.shard.element]) ||
        r->setup.shard.element == ELEMENT_TF32) /* without TF32 units, fp32 is used */
        return 0;
    return err_set(e, EXIT_INPUT, "%s: %s has no units for %s; expected a type in which it can multiply",
                   where, r->gpu, element_name[r->setup.shard.element]);
}

static struct cli_interval interval_of(const struct sheets *s, const struct judged *j) {
    if (!s->doubted) return (struct cli_interval){NAN, NAN, NAN, NAN};
    const struct residual *r = residuals_sheet(&s->residuals, j->run->gpu);
    return cli_interval_about(j->forecast.iteration_time_s, memory_total(&j->forecast.memory),
                              risk_deviation(r->time), risk_deviation(r->memory));
}

static int judge(const char *file, struct sheets *sheets, struct judged_set *set, struct arena *a,
                 struct err *e) {
    size_t size = 0;
    struct measured_run *run;
    const char *text = file_read_text(file, &size, a, e);
    if (!text) return -1;
    if (strlen(text) != size)
        return err_set(e, EXIT_INPUT, "%s: a NUL character; expected lines of comma-separated text", file);
    if (runs_read(file, text, &run, &set->n, a, e)) return -1;
    set->file = file;
    set->judged = ARENA_ARRAY(a, struct judged, set->n);
    for (int i = 0; i < set->n; i++) {
        struct judged *j = &set->judged[i];
        if (look_up(sheets, &run[i], file, a, e)) return -1;
        j->run = &run[i];
        j->forecast = run_forecast(&sheets->device, &sheets->framework, &run[i].setup);
        j->time_error = 100 * (j->forecast.iteration_time_s / run[i].time_s - 1);
        j->interval = interval_of(sheets, j);
        j->memory_error = 100 * (memory_total(&j->forecast.memory) / run[i].peak_bytes - 1);
    }
    return 0;
}

static struct scores score(const struct judged_set *set, int n_set, struct arena *a) {
    int n = 0;
    for (int i = 0; i < n_set; i++) n += set[i].n;
    double *time = ARENA_ARRAY(a, double, n), *memory = ARENA_ARRAY(a, double, n);
    struct cli_coverage covered = {0};
    n = 0;
    for (int i = 0; i < n_set; i++)
        for (int k = 0; k < set[i].n; k++) {
            const struct judged *j = &set[i].judged[k];
            cli_coverage_add(&covered, &j->interval, j->run->time_s, j->run->peak_bytes);
            time[n] = fabs(set[i].judged[k].time_error);
            memory[n++] = fabs(set[i].judged[k].memory_error);
        }
    return (struct scores){error_summary(time, n, a), error_summary(memory, n, a), covered};
}

/* ---- printing ----------------------------------------------------------------------- */

static void add_scores(cJSON *x, int runs, const struct scores *s) {
    json_add_number(x, "runs", runs);
    json_add_number(x, "time_error_mean_percent", s->time.mean);
    json_add_number(x, "time_error_median_percent", s->time.median);
    json_add_number(x, "time_error_max_percent", s->time.max);
    json_add_number(x, "memory_error_mean_percent", s->memory.mean);
    json_add_number(x, "memory_error_median_percent", s->memory.median);
    json_add_number(x, "memory_error_max_percent", s->memory.max);
    cli_coverage_json(x, &s->coverage);
}

static cJSON *memory_json(const struct memory_parts *m) {
    cJSON *x = cJSON_CreateObject();
    json_add_number(x, "parameters", m->parameters);
    json_add_number(x, "gradients", m->gradients);
    json_add_number(x, "optimizer", m->optimizer);
    json_add_number(x, "master", m->master);
    json_add_number(x, "activations", m->activations);
    json_add_number(x, "logits", m->logits);
    json_add_number(x, "buffers", m->buffers);
    return x;
}

static void show_json(const struct judged_set *set) {
    for (int i = 0; i < set->n; i++) {
        const struct judged *j = &set->judged[i];
        const struct run_setup *s = &j->run->setup;
        cJSON *x = cJSON_CreateObject();
        cJSON_AddStringToObject(x, "file", set->file);
        json_add_number(x, "line", j->run->line);
        cJSON_AddStringToObject(x, "model", j->run->model);
        cJSON_AddStringToObject(x, "gpu", j->run->gpu);
        json_add_number(x, "gpus", (double)s->shard.tp * s->shard.cp * s->pp * s->dp);
        json_add_number(x, "iteration_time_s", j->forecast.iteration_time_s);
        json_add_number(x, "measured_iteration_time_s", j->run->time_s);
        json_add_number(x, "time_error_percent", fabs(j->time_error));
        json_add_number(x, "peak_memory_bytes", memory_total(&j->forecast.memory));
        json_add_number(x, "measured_peak_memory_bytes", j->run->peak_bytes);
        json_add_number(x, "memory_error_percent", fabs(j->memory_error));
        cli_interval_json(x, &j->interval);
        cJSON_AddItemToObject(x, "memory", memory_json(&j->forecast.memory));
        json_line(x, stdout);
    }
}

static void summary_json(const struct judged_set *set, int n, struct arena *a) {
    cJSON *x = cJSON_CreateObject(), *sets = cJSON_CreateArray();
    struct scores all = score(set, n, a);
    int runs = 0;
    for (int i = 0; i < n; i++) {
        cJSON *one = cJSON_CreateObject();
        struct scores s = score(&set[i], 1, a);
        cJSON_AddStringToObject(one, "file", set[i].file);
        add_scores(one, set[i].n, &s);
        cJSON_AddItemToArray(sets, one);
        runs += set[i].n;
    }
    add_scores(x, runs, &all);
    cJSON_AddStringToObject(x, "estimator", "sheet");
    cJSON_AddItemToObject(x, "sets", sets);
    json_line(x, stdout);
}

/* If a row has errors in time and memory, the larger counts. */
static double worse_error(const struct judged *j) {
    return fmax(isnan(j->time_error) ? -1 : fabs(j->time_error),
                isnan(j->memory_error) ? -1 : fabs(j->memory_error));
}

static int by_error(const void *x, const void *y) {
    const struct judged *a = *(const struct judged *const *)x, *b = *(const struct judged *const *)y;
    double d = worse_error(b) - worse_error(a);
    return d > 0 ? 1 : d < 0 ? -1 : a->run->line - b->run->line;
}

static const char *signed_percent(double v, struct arena *a) {
    return isnan(v) ? "-" : arena_printf(a, "%+.1f", v);
}

static void show_worst(const struct judged_set *set, struct arena *a) {
    const struct judged **order = ARENA_ARRAY(a, const struct judged *, set->n);
    struct table *t =
        table_new("line|<model|<GPU|tp|pp|dp|cp|vp|micro batch|batch|measured s|estimate s|error "
                  "%|measured GiB|estimate GiB|error %",
                  a);
    for (int i = 0; i < set->n; i++) order[i] = &set->judged[i];
    qsort(order, (size_t)set->n, sizeof *order, by_error);
    for (int i = 0; i < set->n && i < WORST_SHOWN; i++) {
        const struct judged *j = order[i];
        const struct run_setup *s = &j->run->setup;
        const int degree[] = {s->shard.tp,          s->pp,          s->dp, s->shard.cp, s->vp,
                              s->shard.micro_batch, s->global_batch};
        table_cell(t, "%d", j->run->line);
        table_cell(t, "%s", j->run->model);
        table_cell(t, "%s", j->run->gpu);
        for (int k = 0; k < 7; k++) table_cell(t, "%d", degree[k]);
        table_cell(t, "%s", table_number(j->run->time_s, 4, a));
        table_cell(t, "%s", table_number(j->forecast.iteration_time_s, 4, a));
        table_cell(t, "%s", signed_percent(j->time_error, a));
        table_cell(t, "%s", table_number(j->run->peak_bytes / GiB, 4, a));
        table_cell(t, "%s", table_number(memory_total(&j->forecast.memory) / GiB, 4, a));
        table_cell(t, "%s", signed_percent(j->memory_error, a));
    }
    table_print(t, stdout);
}

static void show_set(const struct judged_set *set, struct arena *a) {
    struct scores s = score(set, 1, a);
    if (set->n > WORST_SHOWN)
        table_text(stdout, "%s, the %d worst rows:", set->file, WORST_SHOWN);
    else
        table_text(stdout, "%s:", set->file);
    show_worst(set, a);
    putchar('\n');
    table_text(stdout,
               "%d run%s, estimated from data sheets: time error mean %s %%, median %s %%, max %s %%; memory "
               "error mean %s %%, median %s %%, max %s %%",
               set->n, set->n == 1 ? "" : "s", show_percent(s.time.mean, a), show_percent(s.time.median, a),
               show_percent(s.time.max, a), show_percent(s.memory.mean, a), show_percent(s.memory.median, a),
               show_percent(s.memory.max, a));
    const char *covered = cli_coverage_text(&s.coverage, a);
    printf("%s%s\n", covered ? covered : "", covered ? "\n" : "");
}

int validate_tables(const char **file, int n, const char *inputs, bool json, struct arena *a, struct err *e) {
    struct judged_set *set = ARENA_ARRAY(a, struct judged_set, n);
    struct sheets sheets = {0};
    if (load_sheets(inputs, &sheets, a, e)) return -1;
    for (int i = 0; i < n; i++)
        if (judge(file[i], &sheets, &set[i], a, e)) return -1;
    for (int i = 0; i < n; i++) {
        if (json)
            show_json(&set[i]);
        else
            show_set(&set[i], a);
    }
    if (json) summary_json(set, n, a);
    return 0;
}
