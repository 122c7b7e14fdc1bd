#include "base/text.h"
#include "cli/cli.h"
#include "cli/explain.h"
#include "cli/predicted.h"
#include "formats/planjson.h"
#include "io/file.h"
#include "io/table.h"

#include "sim/risk.h"

#include <math.h>
#include <string.h>

static struct {
    const char *inputs, *job, *trace;
    bool json, corrected, explain, force;
    int row, estimator;
    double risk;
} o;

static struct opt options[] = {
    OPTION_CHOICE(
        0, "estimator", NULL, &o.estimator,
        "estimator: native (the default, as in plan), sailor's own; sailor, the published simulator; events, "
        "which plays the schedule through; or that of a published planner (time and memory only)"),
    OPTION_FLAG(0, "corrected", &o.corrected,
                "use a published planner's estimator without the defects of its code"),
    OPTION_FLAG(0, "explain", &o.explain,
                "say why an iteration takes so long: where the time goes, which stage the others wait for, "
                "what would help, and which limits bind (for --estimator native, sailor and events)"),
    OPTION_REAL(0, "risk", "R", 0.5, 0.9999, &o.risk,
                "estimate the R quantile of times and memory, as plan --risk does"),
    OPTION_TEXT(0, "trace", "OUT.json", &o.trace,
                "write the predicted iteration of one plan as a timeline for Perfetto, with the memory of "
                "each stage; uses the estimator events"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_FLAG(0, "json", &o.json, "print one JSON object per plan, one per line, instead of tables"),
    OPTION_TEXT(0, "job", "JOB.json", &o.job,
                "refuse plans that do not fit into a pool of this job (GPUs per zone, whole nodes)"),
    OPTION_INT(0, "row", "K", 0, 1e9, &o.row,
               "check against pool row K of --job, counted from 0 (default 0)"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command simulate_command = {
    .usage = "FILE.json... [options]",
    .about = "Estimate time, cost and memory of given plans. A file holds one plan, an array of plans, or "
             "{\"plans\": [...]}.",
    .details = "A plan that uses more GPUs than its site (or the pool of --job) has is an error; a plan that "
               "does not fit into\n"
               "memory is estimated all the same, and the output says so (\"fits\").\n"
               "\n"
               "example:\n"
               "  sailor simulate plan.json --estimator sailor --json\n",
    OPT_COMMAND("simulate", options, 1, 1 << 20),
};

static int check_job(const struct plan_entry *x, const struct job *job, struct err *e) {
    const struct site *here = x->workload->site, *there = job->workload.site;
    if (strcmp(here->name, there->name) || here->n_zone != there->n_zone || here->n_gpu != there->n_gpu)
        return err_set(e, EXIT_INPUT, "%s: site %s; the job %s is for site %s", x->where, here->name, o.job,
                       there->name);
    return plan_check_pool(x->plan, there, job->pool[o.row].count, job->pool[o.row].nodes, x->where, e);
}

/* The plan's name, or its place: "plan.json" if it is the whole file, "plans.json: /plans/2" in a list. */
static const char *name_of(const struct plan_entry *x, struct arena *a) {
    size_t n = strlen(x->where);
    if (x->plan->name) return x->plan->name;
    return n > 3 && !strcmp(x->where + n - 3, ": /") ? arena_printf(a, "%.*s", (int)n - 3, x->where)
                                                     : x->where;
}

/* Where its layer times come from, and where nothing is added to them. */
static void sources_json(cJSON *out, const struct plan_entry *x) {
    int used[ZONES_MAX * GPUS_MAX];
    plan_gpus(x->plan, x->workload->site, used);
    cJSON_AddItemToObject(out, "profiles", cli_profiles_json(x->workload, used));
    if (o.estimator == ESTIMATOR_NATIVE)
        cJSON_AddItemToObject(out, "no_data_sheet", cli_no_sheet_json(x->workload, used));
}

/* One line for all plans of a file that share their profiles. */
static void note_estimated(const struct plan_entry *x, int n) {
    for (int k = 0; k < n; k++) {
        int used[ZONES_MAX * GPUS_MAX];
        if (k && x[k].workload->profile == x[k - 1].workload->profile) continue;
        plan_gpus(x[k].plan, x[k].workload->site, used);
        remark_plan(x[k].workload, x[k].plan, x[k].where);
        struct cli_peaks peaks;
        cli_peaks_load(&peaks, x[k].workload->site, x[k].workload->element_bytes, o.inputs, false);
        remark_times(x[k].workload, &peaks, x[k].where);
        cli_note_estimated(x[k].workload, used);
        if (o.estimator == ESTIMATOR_NATIVE) cli_note_no_sheet(x[k].workload, used);
    }
}

static const char *fits_text(const struct plan *p, const struct estimate *est, struct arena *a) {
    if (est->fits) return "yes";
    if (est->unfit_stage < 0) return "no";
    if (p->n_pipeline == 1) return arena_printf(a, "no: stage %d", est->unfit_stage);
    return arena_printf(a, "no: pipeline %d stage %d", est->unfit_pipeline, est->unfit_stage);
}

static void add_row(struct table *t, const struct plan_entry *x, const struct estimate *est,
                    struct arena *a) {
    table_cell(t, "%s", name_of(x, a));
    table_cell(t, "%s", show_time_s(est->iteration_time_s, a));
    table_cell(t, "%s", show_per_s(1 / est->iteration_time_s, a));
    table_cell(t, "%s", show_time_s(est->pipeline_time_s, a));
    table_cell(t, "%s", show_time_s(est->sync_time_s, a));
    table_cell(t, "%s", show_usd(est->cost_usd, a));
    table_cell(t, "%s", show_usd(est->egress_usd, a));
    table_cell(t, "%s", show_GiB(est->peak_memory_bytes, a));
    table_cell(t, "%s", fits_text(x->plan, est, a));
}

/* How far estimates may be off, worked out once for all plans that share their site and profiles. */
struct session {
    struct cli_estimator by;
    struct cli_doubt doubt;
    struct workload *at_risk; /* with --risk, else NULL */
    const struct site *site;
    const struct profile *const *profile;
    struct arena arena;
};

static int doubt_for(struct session *s, const struct workload *w, struct err *e) {
    if (s->site == w->site && s->profile == w->profile) return 0;
    arena_free(&s->arena);
    s->arena = (struct arena){0};
    s->site = w->site;
    s->profile = w->profile;
    cli_doubt_load(&s->doubt, w, cli_estimator_name(o.estimator), o.inputs, &s->arena);
    s->at_risk = o.risk > 0 ? cli_doubt_world(&s->doubt, w, o.risk, &s->arena, e) : NULL;
    return o.risk > 0 && !s->at_risk ? -1 : 0;
}

/* The plan, with the site and profiles of --risk. */
static struct plan_entry entry_at_risk(const struct session *s, const struct plan_entry *x,
                                       struct workload *w) {
    struct plan_entry then = *x;
    *w = s->at_risk ? risk_in_world(x->workload, s->at_risk) : *x->workload;
    then.workload = w;
    return then;
}

static void doubt_json(cJSON *out, struct session *s, const struct plan_entry *x) {
    struct cli_interval range = cli_interval_of(&s->doubt, &s->by, x->workload, x->plan);
    cli_interval_json(out, &range);
    if (o.risk <= 0) return;
    json_add_number(out, "risk", o.risk);
    json_add_number(out, "expected_iteration_time_s", cli_time_in(x->workload, &s->by, x->workload, x->plan));
}

static void show_doubt(struct session *s, const struct plan_entry *x, struct arena *a) {
    struct cli_interval range = cli_interval_of(&s->doubt, &s->by, x->workload, x->plan);
    const char *text = cli_interval_text(&range, a);
    if (o.risk > 0)
        printf("kept in %g %% of cases; the expected time is %s s\n", 100 * o.risk,
               show_time_s(cli_time_in(x->workload, &s->by, x->workload, x->plan), a));
    if (text) printf("%s\n", text);
    if (text || o.risk > 0) putchar('\n');
}

/* Estimates one plan and prints it: an object, or tables and a row of t. `alone`: it is the only plan. */
static int one_plan(const struct plan_entry *expected, const struct job *job, bool alone, struct session *s,
                    struct table *t, struct err *e) {
    struct arena a = {0};
    struct estimate est = {.stage = ARENA_ARRAY(&a, struct stage_estimate, plan_stages(expected->plan))};
    struct workload w;
    struct err why;
    int rc = plan_check_available(expected->plan, expected->workload->site, expected->where, &a, e) ||
                     (job && check_job(expected, job, e)) || doubt_for(s, expected->workload, e)
                 ? -1
                 : 0;
    const struct plan_entry x = entry_at_risk(s, expected, &w);
    struct explain_question q = {&x, &est, &s->by, job, o.row, o.inputs};
    if (!rc && cli_estimate(&s->by, x.workload, x.plan, &est, &why))
        rc = err_set(e, why.code, "%s: %s", x.where, why.text);
    if (!rc && o.trace && predicted_write(x.workload, x.plan, o.trace, &why))
        rc = err_set(e, why.code, "%s%s%s", why.code == EXIT_INPUT ? x.where : "",
                     why.code == EXIT_INPUT ? ": " : "", why.text);
    if (!rc && o.json) {
        cJSON *out = estimate_to_json(&est, x.plan);
        sources_json(out, &x);
        doubt_json(out, s, expected);
        if (o.explain) explain_json(&q, out, &a);
        json_line(out, stdout);
    } else if (!rc) {
        if (!alone && o.explain) printf("%s\n", text_printable(name_of(&x, &a), &a));
        if (alone || o.explain) show_stages(x.plan, &est, x.workload, stdout);
        if (alone || o.explain) putchar('\n');
        if (alone || o.explain) show_doubt(s, expected, &a);
        if (o.explain) explain_print(&q, stdout, &a);
        add_row(t, &x, &est, &a);
    }
    arena_free(&a);
    return rc;
}

/* The index of "events" among the choices: after the others. */
static int events_index(void) {
    int n = 0;
    while (cli_estimators(true)[n]) n++;
    return n;
}

/* Checks the options against the estimator and the file to be written. */
static int check_options(const char **file, int n_file, struct err *e) {
    if (o.estimator < 0) o.estimator = o.trace ? events_index() : ESTIMATOR_NATIVE;
    const char *name = cli_estimator_name(o.estimator);
    if (o.trace && name != cli_events)
        return err_set(e, EXIT_INPUT,
                       "simulate: --trace: not with --estimator %s; expected events, or no --estimator",
                       name);
    if (o.explain && o.estimator >= ESTIMATOR_N && name != cli_events)
        return err_set(e, EXIT_INPUT,
                       "simulate: --explain: the estimator %s gives no stages; expected --estimator native, "
                       "sailor or events",
                       name);
    if (file_spare(o.trace, o.job, e)) return -1;
    for (int i = 0; i < n_file; i++)
        if (file_spare(o.trace, file[i], e)) return -1;
    return o.trace ? file_can_create(o.trace, o.force, "use -f to overwrite it", e) : 0;
}

static int simulate_all(const char **file, int n_file, struct arena *a, struct err *e) {
    struct job job;
    struct plan_entry **part = ARENA_ARRAY(a, struct plan_entry *, n_file);
    int *n_part = ARENA_ARRAY(a, int, n_file), n = 0;
    if (check_options(file, n_file, e)) return -1;
    if (o.job) {
        if (job_load(o.job, NULL, o.inputs, false, &job, a, e)) return -1;
        if (o.row >= job.n_pool)
            return err_set(e, EXIT_INPUT, "%s: has no row %d; expected 0 to %d", o.job, o.row,
                           job.n_pool - 1);
    }
    for (int i = 0; i < n_file; i++) {
        if (plans_load(file[i], o.inputs, &part[i], &n_part[i], a, e)) return -1;
        remark_site(part[i]->workload->site);
        n += n_part[i];
        note_estimated(part[i], n_part[i]);
    }
    if (file_spare_read(o.trace, NULL, e)) return -1;
    if (o.trace && n != 1) return err_set(e, EXIT_INPUT, "simulate: --trace: %d plans; expected one", n);
    struct session s = {.by = {.index = o.estimator, .corrected = o.corrected, .inputs = o.inputs}};
    struct table *t = table_new(
        "<plan|s/iteration|iterations/s|pipeline s|sync s|USD/iteration|egress USD|peak GiB|<fits", a);
    int rc = 0;
    for (int i = 0; i < n_file && !rc; i++)
        for (int k = 0; k < n_part[i] && !rc; k++)
            rc = one_plan(&part[i][k], o.job ? &job : NULL, n == 1, &s, t, e);
    cli_estimator_free(&s.by);
    arena_free(&s.arena);
    if (!rc && !o.json && n) table_print(t, stdout);
    return rc;
}

/* With --json, print errors too as an object, for readers of one object per plan. */
static int simulate(const char **file, int n_file, struct arena *a, struct err *e) {
    if (!simulate_all(file, n_file, a, e)) return 0;
    if (!o.json || e->code != EXIT_INPUT) return -1;
    cJSON *answer = cJSON_CreateObject();
    cJSON_AddStringToObject(answer, "error", e->text);
    json_line(answer, stdout);
    return -1;
}

int cmd_simulate(int argc, char **argv) {
    static const char *choices[64]; /* cli_estimators(), then "events" */
    int n = 0;
    for (const char *const *name = cli_estimators(true); *name; name++) choices[n++] = *name;
    choices[n] = cli_events;
    options[0].choices = choices;
    o.estimator = -1;
    return program_run(&simulate_command, argc, argv, simulate);
}
