#include "cli/cli.h"
#include "cli/validate_runs.h"
#include "formats/planjson.h"
#include "io/table.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *inputs;
    bool json, corrected;
    int estimator;
} o;

static struct opt options[] = {
    OPTION_CHOICE(0, "estimator", NULL, &o.estimator,
                  "estimator: native (the default), sailor's own; sailor, the published simulator; events, "
                  "which plays the schedule through; that of a published planner; or all, which compares all "
                  "but events in one table"),
    OPTION_FLAG(0, "corrected", &o.corrected,
                "use a published planner's estimator without the defects of its code"),
    OPTION_FLAG(0, "json", &o.json,
                "print one JSON object per run and a final one with the summary (with --estimator all: only "
                "the summaries)"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command validate_command = {
    .usage = "FILE... [options]",
    .about =
        "Compare estimates with measured runs. A file is one that sailor-train run -o wrote, one with plans "
        "that have \"measured\": {\"iteration_time_s\", \"peak_memory_bytes\"} (either may be missing), or a "
        "table of runs (.csv), which are estimated from data sheets and need neither a profile nor a site.",
    .details = "examples:\n"
               "  sailor validate opt-350m-gh200 --estimator sailor      runs that come with the program\n"
               "  sailor validate runs/*.h5 --estimator all\n"
               "  sailor validate runs.csv\n",
    OPT_COMMAND("validate", options, 1, 1 << 20),
};

/* Errors in percent of the measured value; NAN if not measured. */
struct compared_run {
    const struct plan_entry *entry;
    struct estimate est;
    double time_error, memory_error;
    struct cli_interval interval;
};

static int run_all(const char *path, struct plan_entry *entry, int n, struct compared_run *run,
                   struct cli_estimator *k, struct arena *a, struct err *e) {
    struct cli_doubt doubt;
    for (int i = 0; i < n; i++) {
        const struct plan_entry *x = &entry[i];
        struct err why;
        if (isnan(x->measured_time_s) && isnan(x->measured_peak_bytes))
            return err_set(e, EXIT_INPUT,
                           "%s: nothing measured; expected \"measured\": {\"iteration_time_s\": ..., "
                           "\"peak_memory_bytes\": ...}",
                           x->where);
        run[i].entry = x;
        if (cli_estimate(k, x->workload, x->plan, &run[i].est, &why))
            return err_set(e, why.code, "%s: %s", x->where ? x->where : path, why.text);
        if (!i || x->workload->site != entry[i - 1].workload->site ||
            x->workload->profile != entry[i - 1].workload->profile)
            cli_doubt_load(&doubt, x->workload, cli_estimator_name(k->index), o.inputs, a);
        run[i].interval = cli_interval_of(&doubt, k, x->workload, x->plan);
        run[i].time_error = error_percent(run[i].est.iteration_time_s, x->measured_time_s);
        run[i].memory_error = error_percent(run[i].est.peak_memory_bytes, x->measured_peak_bytes);
    }
    return 0;
}

static void runs_json(const struct compared_run *run, int n) {
    for (int i = 0; i < n; i++) {
        const struct compared_run *r = &run[i];
        cJSON *x = cJSON_CreateObject();
        if (r->entry->plan->name) cJSON_AddStringToObject(x, "name", r->entry->plan->name);
        cJSON_AddStringToObject(x, "where", r->entry->where);
        json_add_number(x, "iteration_time_s", r->est.iteration_time_s);
        json_add_number(x, "measured_iteration_time_s", r->entry->measured_time_s);
        json_add_number(x, "time_error_percent", r->time_error);
        json_add_number(x, "peak_memory_bytes", r->est.peak_memory_bytes);
        json_add_number(x, "measured_peak_memory_bytes", r->entry->measured_peak_bytes);
        json_add_number(x, "memory_error_percent", r->memory_error);
        cli_interval_json(x, &r->interval);
        json_line(x, stdout);
    }
}

static struct cli_coverage coverage_of(const struct compared_run *run, int n) {
    struct cli_coverage c = {0};
    for (int i = 0; i < n; i++)
        cli_coverage_add(&c, &run[i].interval, run[i].entry->measured_time_s,
                         run[i].entry->measured_peak_bytes);
    return c;
}

static void summary_json(const char *estimator, int n, struct error_summary t, struct error_summary m,
                         const struct cli_coverage *c) {
    cJSON *x = cJSON_CreateObject();
    json_add_number(x, "runs", n);
    cJSON_AddStringToObject(x, "estimator", estimator);
    json_add_number(x, "time_error_mean_percent", t.mean);
    json_add_number(x, "time_error_median_percent", t.median);
    json_add_number(x, "time_error_max_percent", t.max);
    json_add_number(x, "memory_error_mean_percent", m.mean);
    json_add_number(x, "memory_error_median_percent", m.median);
    json_add_number(x, "memory_error_max_percent", m.max);
    cli_coverage_json(x, c);
    json_line(x, stdout);
}

static void show_table(const struct compared_run *run, int n, struct error_summary t, struct error_summary m,
                       struct arena *a) {
    struct table *table =
        table_new("<run|measured s|estimate s|error %|measured GiB|estimate GiB|error %", a);
    for (int i = 0; i < n; i++) {
        const struct compared_run *r = &run[i];
        table_cell(table, "%s", r->entry->plan->name ? r->entry->plan->name : r->entry->where);
        table_cell(table, "%s", show_time_s(r->entry->measured_time_s, a));
        table_cell(table, "%s", show_time_s(r->est.iteration_time_s, a));
        table_cell(table, "%s", show_percent(r->time_error, a));
        table_cell(table, "%s", show_GiB(r->entry->measured_peak_bytes, a));
        table_cell(table, "%s", show_GiB(r->est.peak_memory_bytes, a));
        table_cell(table, "%s", show_percent(r->memory_error, a));
    }
    table_print(table, stdout);
    putchar('\n');
    table_text(stdout,
               "%d run%s, estimator %s: time error mean %s %%, median %s %%, max %s %%; memory error mean %s "
               "%%, median %s %%, "
               "max %s %%",
               n, n == 1 ? "" : "s", cli_estimator_name(o.estimator), show_percent(t.mean, a),
               show_percent(t.median, a), show_percent(t.max, a), show_percent(m.mean, a),
               show_percent(m.median, a), show_percent(m.max, a));
    struct cli_coverage c = coverage_of(run, n);
    const char *covered = cli_coverage_text(&c, a);
    if (covered) printf("%s\n", covered);
}

static void add_summary(struct table *table, const char *estimator, int n, struct error_summary t,
                        struct error_summary m, struct arena *a) {
    const double value[] = {t.mean, t.median, t.max, m.mean, m.median, m.max};
    table_cell(table, "%s", estimator);
    table_cell(table, "%d", n);
    for (int i = 0; i < 6; i++) table_cell(table, "%s", show_percent(value[i], a));
}

static int validate(const char **file, int n_file, struct arena *a, struct err *e) {
    for (int i = 0; i < n_file; i++) file[i] = runs_path(file[i], o.inputs, a);
    struct plan_entry **part = ARENA_ARRAY(a, struct plan_entry *, n_file);
    int *n_part = ARENA_ARRAY(a, int, n_file), n = 0;
    int tables = validate_count_tables(file, n_file, e);
    if (tables < 0) {
        int i = 0;
        while (i < n_file && !access(file[i], F_OK)) i++;
        if (i < n_file) runs_name_unknown(file[i], o.inputs, a, e);
        return -1;
    }
    if (tables) {
        if (tables < n_file || o.estimator != ESTIMATOR_NATIVE)
            return err_set(e, EXIT_INPUT,
                           "tables of runs are estimated from data sheets; expected no plans with them and "
                           "no --estimator");
        return validate_tables(file, n_file, o.inputs, o.json, a, e);
    }
    for (int i = 0; i < n_file; i++) {
        if (plans_load(file[i], o.inputs, &part[i], &n_part[i], a, e)) return -1;
        n += n_part[i];
    }
    struct compared_run *run = ARENA_ARRAY(a, struct compared_run, n);
    double *time = ARENA_ARRAY(a, double, n), *memory = ARENA_ARRAY(a, double, n);
    const char *const *names = cli_estimators(true), *left_out = "";
    int n_name = 0;
    while (names[n_name]) n_name++;
    bool all = o.estimator == n_name; /* the choice after the last one */
    struct table *errors =
        table_new("<estimator|runs|time error mean %|median|max|memory error mean %|median|max", a);
    int able = 0;
    for (int x = all ? 0 : o.estimator, end = all ? n_name : x + 1; x < end; x++) {
        struct cli_estimator k = {.index = x, .corrected = o.corrected, .inputs = o.inputs};
        int rc = 0;
        for (int i = 0, at = 0; i < n_file && !rc; at += n_part[i++])
            rc = run_all(file[i], part[i], n_part[i], run + at, &k, a, e);
        cli_estimator_free(&k);
        if (rc && !all) return -1;
        if (rc) { /* some know only the published models and GPUs */
            left_out =
                arena_printf(a, "%ssailor: %s is left out: %s\n", left_out, cli_estimator_name(x), e->text);
            continue;
        }
        able++;
        for (int i = 0; i < n; i++) {
            time[i] = run[i].time_error;
            memory[i] = run[i].memory_error;
        }
        struct error_summary t = error_summary(time, n, a), m = error_summary(memory, n, a);
        if (o.json && !all) runs_json(run, n);
        struct cli_coverage c = coverage_of(run, n);
        if (o.json)
            summary_json(cli_estimator_name(x), n, t, m, &c);
        else if (all)
            add_summary(errors, cli_estimator_name(x), n, t, m, a);
        else
            show_table(run, n, t, m, a);
    }
    if (!able) return -1;
    fputs(left_out, stderr);
    if (all && !o.json) table_print(errors, stdout);
    return 0;
}

int cmd_validate(int argc, char **argv) {
    static const char *choices[64]; /* cli_estimators(), "all", cli_events */
    int n = 0;
    for (const char *const *name = cli_estimators(true); *name; name++) choices[n++] = *name;
    choices[n++] = "all";
    choices[n] = cli_events;
    options[0].choices = choices;
    o.estimator = ESTIMATOR_NATIVE;
    return program_run(&validate_command, argc, argv, validate);
}
