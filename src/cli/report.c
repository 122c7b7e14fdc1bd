#include "base/text.h"
#include "cli/cli.h"
#include "formats/inputs.h"

#include <string.h>

static struct {
    const char *inputs;
    bool json;
    int row;
} o;

static const struct opt options[] = {
    OPTION_INT(0, "row", "R", 0, 1e9, &o.row, "print pool row R only, counted from 0"),
    OPTION_FLAG(0, "json", &o.json, "print the JSON lines of `sailor plan --json` instead of tables"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command report_command = {
    .name = "report",
    .usage = "OUT.h5 [options]",
    .about = "Print the results stored by `sailor plan -o`. Also shows what an interrupted search has found "
             "so far.",
    .details = "example:\n  sailor report fig7.h5 --row 2\n",
    OPT_COMMAND_TAKES(options, 1, 1),
};

static void show_head(const char *path, const struct results *r, struct arena *a) {
    int done = 0;
    for (int i = 0; i < r->n_row; i++)
        done += r->row[i].status == ROW_OPTIMAL || r->row[i].status == ROW_INFEASIBLE;
    const char *head = arena_printf(a, "%s: job %s, model %s on site %s, global batch %d", path, r->job->name,
                                    r->job->workload.model->name, r->job->workload.site->name,
                                    r->job->workload.global_batch_size);
    const char *run = arena_printf(
        a, "planner %s, estimator %s, objective %s; sailor %s on %s, %d x %d threads, %.3g s, started %s",
        r->planner, r->estimator, objective_name[r->objective], r->version, r->host, r->ranks, r->threads,
        r->wall_s, r->started_utc);
    printf("%s\n%s\n", text_printable(head, a), text_printable(run, a));
    if (r->risk > 0) printf("planned for %g %% of cases (--risk %g)\n", 100 * r->risk, r->risk);
    if (!r->complete)
        printf("INCOMPLETE: %d of %d rows proven; `sailor plan --resume %s` continues\n", done, r->n_row,
               text_printable(text_shell_word(path, a), a));
    putchar('\n');
}

/* What the tables of the file leave out of the model, from the inputs that it keeps. */
static void complete_model(struct results *r, struct cli_gauge *g, struct arena *a) {
    struct job stored, *job = ARENA_NEW(a, struct job);
    struct model *m = ARENA_NEW(a, struct model);
    struct err none;
    if (job_from_json(r->inputs_json, &stored, a, &none)) return; /* of another version */
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

static int report(const char **file, int n, struct arena *a, struct err *e) {
    (void)n;
    struct results r;
    struct cli_gauge gauge = {0};
    if (results_read(file[0], NULL, &r, a, e)) return -1;
    if (o.row >= r.n_row)
        return err_set(e, EXIT_INPUT, "%s: has no row %d; expected 0 to %d", file[0], o.row, r.n_row - 1);
    complete_model(&r, &gauge, a);
    cli_peaks_load(&gauge.peaks, r.job->workload.site, r.job->workload.element_bytes, o.inputs);
    if (!o.json)
        show_head(file[0], &r, a);
    else if (!r.complete)
        fprintf(stderr, "sailor: %s is incomplete: the search was stopped\n", text_printable(file[0], a));
    for (int i = 0; i < r.n_row; i++) {
        if (o.row >= 0 && i != o.row) continue;
        if (!o.json)
            show_row(&r, i, &gauge, stdout);
        else if (r.row[i].status != ROW_TODO || show_best(&r.row[i]))
            show_row_json(&r, i, &gauge, stdout);
    }
    if (!o.json && o.row < 0) show_rows(&r, &gauge, stdout);
    cli_estimator_free(&gauge.by);
    return 0;
}

int cmd_report(int argc, char **argv) {
    o.row = -1;
    return program_run(&report_command, argc, argv, report);
}
