#include "base/text.h"
#include "cli/html.h"
#include "cli/limits.h"
#include "cli/scaling.h"
#include "formats/inputs.h"
#include "io/table.h"
#include "io/file.h"
#include "io/json.h"
#include "sim/sheet.h"

#include <math.h>
#include <string.h>

static struct {
    const char *inputs, *html;
    bool force;
    bool json, scaling;
    int row;
    struct limits limits;
} o;

static const struct opt options[] = {
    OPTION_INT(0, "row", "R", 0, 1e9, &o.row, "print pool row R only, counted from 0"),
    OPTION_FLAG(0, "json", &o.json, "print the JSON lines of `sailor plan --json` instead of tables"),
    OPTION_REAL(
        0, "max-usd", "X", 1e-12, 1e12, &o.limits.max_usd,
        "print only the fastest plan of a frontier that costs at most X USD per iteration, with its bound"),
    OPTION_REAL(0, "min-iterations-per-s", "Y", 1e-12, 1e12, &o.limits.min_per_s,
                "print only the cheapest plan of a frontier with at least Y iterations per second (with "
                "--max-usd: the fastest), with its bound"),
    OPTION_TEXT(0, "html", "OUT.html", &o.html,
                "write one self-contained page with pictures of plans and frontiers instead"),
    OPTION_FLAG(0, "scaling", &o.scaling,
                "print how long the search would have taken on 1 to 4,096 ranks, by replay of its recorded "
                "tasks, instead of plans"),
    PROGRAM_OPTION_FORCE(&o.force),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command report_command = {
    .usage = "OUT.h5 [options]",
    .about = "Print the results stored by `sailor plan -o`. Also shows what an interrupted search has found "
             "so far.",
    .details = "examples:\n"
               "  sailor plan fig7 -o fig7.h5 && sailor report fig7.h5 --row 2\n"
               "  sailor report FRONTIER.h5 --max-usd 0.5       made by sailor plan --objective frontier\n",
    OPT_COMMAND("report", options, 1, 1),
};

static void show_head(const char *path, const struct results *r, const char *limits, struct arena *a) {
    int done = 0;
    for (int i = 0; i < r->n_row; i++)
        done += r->row[i].status == ROW_OPTIMAL || r->row[i].status == ROW_INFEASIBLE;
    const char *head = arena_printf(a, "%s: job %s, model %s on site %s, global batch %d", path, r->job->name,
                                    r->job->workload.model->name, r->job->workload.site->name,
                                    r->job->workload.global_batch_size);
    if (r->job->workload.framework)
        head = arena_printf(a, "%s, framework %s", head, r->job->workload.framework->name);
    const char *run = arena_printf(
        a, "planner %s, estimator %s, objective %s; sailor %s on %s, %d x %d threads, %.3g s, started %s",
        r->planner, r->estimator, objective_name[r->objective], r->version, r->host, r->ranks, r->threads,
        r->wall_s, r->started_utc);
    table_text(stdout, "%s", head);
    table_text(stdout, "%s", run);
    if (r->risk > 0) printf("planned for %g %% of cases (--risk %g)\n", 100 * r->risk, r->risk);
    if (!r->complete)
        printf("INCOMPLETE: %d of %d rows proven; `sailor plan --resume %s` continues\n", done, r->n_row,
               text_printable(text_shell_word(path, a), a));
    if (limits) table_text(stdout, "%s", limits);
    putchar('\n');
}

/* Completes the model: the inputs stored in the file have what its tables leave out. */
static void complete_model(struct results *r, struct cli_gauge *g, struct arena *a) {
    struct job stored, *job = ARENA_NEW(a, struct job);
    struct model *m = ARENA_NEW(a, struct model);
    struct err none;
    if (job_from_json(r->inputs_json, &stored, a, &none)) return; /* from another version */
    *job = *r->job;
    *m = *job->workload.model;
    m->flops = stored.workload.model->flops;
    m->n_block = stored.workload.model->n_block;
    job->workload.model = m;
    r->job = job;
    g->expected = stored.workload;
    while (g->by.index < ESTIMATOR_N && strcmp(estimator_name[g->by.index], r->estimator)) g->by.index++;
    if (g->by.index < ESTIMATOR_N)
        cli_doubt_load(&g->doubt, &g->expected, r->estimator, o.inputs, a);
    else
        g->expected.profile = NULL;
}

static void show(const struct results *r, int i, struct cli_gauge *gauge) {
    if (!o.json) {
        show_row(r, i, gauge, stdout);
        return;
    }
    cJSON *row = show_row_object(r, i, gauge);
    if (o.limits.max_usd < INFINITY) json_add_number(row, "max_usd_per_iteration", o.limits.max_usd);
    if (o.limits.min_per_s > 0) json_add_number(row, "min_iterations_per_s", o.limits.min_per_s);
    json_line(row, stdout);
}

/* It is an error if none of the rows asked for has a plan within the limits. */
static int check_within(const char *path, const struct results *r, struct err *e) {
    const char *why = NULL;
    int code = EXIT_NOPLAN;
    for (int i = 0; i < r->n_row; i++) {
        if (o.row >= 0 && i != o.row) continue;
        if (r->row[i].n_plan) return 0;
        if (r->row[i].status == ROW_TODO) code = EXIT_STOPPED;
        if (!why) why = r->row[i].reason;
    }
    return err_set(e, code, "%s: no plan within the limits: %s", path, why ? why : "not searched yet");
}

static int write_html(const struct results *r, struct cli_gauge *gauge, struct arena *a, struct err *e) {
    struct text t = {0};
    html_report(r, o.row, gauge, &t, a);
    int rc = file_write(o.html, t.s, t.n, e);
    text_free(&t);
    return rc;
}

static int report(const char **file, int n, struct arena *a, struct err *e) {
    (void)n;
    struct results r, within;
    struct cli_gauge gauge = {0};
    if (file_spare(o.html, file[0], e)) return -1;
    if (o.html && file_can_create(o.html, o.force, "use -f to overwrite it", e)) return -1;
    if (results_read(file[0], NULL, &r, a, e)) return -1;
    if (o.row >= r.n_row)
        return err_set(e, EXIT_INPUT, "%s: has no row %d; expected 0 to %d", file[0], o.row, r.n_row - 1);
    bool limited = limits_given(&o.limits);
    if (o.scaling && (limited || o.html))
        return err_set(e, EXIT_INPUT, "report: --scaling: not together with %s",
                       o.html ? "--html" : "--max-usd or --min-iterations-per-s");
    if (o.scaling) return scaling_show(file[0], &r, o.row, o.json, a, e);
    complete_model(&r, &gauge, a);
    cli_peaks_load(&gauge.peaks, r.job->workload.site, r.job->workload.element_bytes, o.inputs, true);
    if (limited && limits_answer(file[0], &r, &o.limits, &within, a, e)) return -1;
    if (file_spare_read(o.html, NULL, e)) return -1;
    if (o.html) {
        int rc = write_html(limited ? &within : &r, &gauge, a, e);
        cli_estimator_free(&gauge.by);
        return rc;
    }
    if (!o.json)
        show_head(file[0], &r, limited ? limits_text(&o.limits, a) : NULL, a);
    else if (!r.complete)
        fprintf(stderr, "sailor: %s is incomplete: the search was stopped\n", text_printable(file[0], a));
    for (int i = 0; i < r.n_row; i++) {
        if (o.row >= 0 && i != o.row) continue;
        if (!o.json || r.row[i].status != ROW_TODO || show_best(&r.row[i]))
            show(limited ? &within : &r, i, &gauge);
    }
    if (!o.json && o.row < 0) show_rows(limited ? &within : &r, &gauge, stdout);
    cli_estimator_free(&gauge.by);
    return limited ? check_within(file[0], &within, e) : 0;
}

int cmd_report(int argc, char **argv) {
    o.row = -1;
    o.limits = (struct limits){.max_usd = INFINITY};
    return program_run(&report_command, argc, argv, report);
}
