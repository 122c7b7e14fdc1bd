#ifndef SAILOR_CLI_CLI_H
#define SAILOR_CLI_CLI_H
#include "cli/doubt.h"
#include "cli/use.h"
#include "io/program.h"
#include "formats/results.h"
#include "sim/events.h"
#include <cjson/cJSON.h>
/* The commands of `sailor`. Each takes its own argv (argv[0] is the command) and returns the exit status. */

int cmd_plan(int argc, char **argv);
int cmd_whatif(int argc, char **argv);
int cmd_replan(int argc, char **argv);
int cmd_simulate(int argc, char **argv);
int cmd_validate(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_figures(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_profile(int argc, char **argv);
int cmd_site(int argc, char **argv);

extern const struct opt_command plan_command, whatif_command, replan_command, simulate_command,
    validate_command, export_command, report_command, import_command, figures_command, list_command,
    model_command, profile_command, site_command;

/* ---- estimators.c ---- */

/** Names of the planners that this build has, NULL-terminated, in the order of planners[]. */
const char *const *cli_planners(void);
/** Names of the estimators, NULL-terminated: first those of enum estimator, then (`baselines`) those of the
 * planners that have one of their own. */
const char *const *cli_estimators(bool baselines);

/** The estimator that plays schedules through (sim/events.h): for given plans, not for the search, so that it
 * is not among these. */
extern const char cli_events[];
/** The name of the estimator at this place of cli_estimators(true); past its end, cli_events. */
const char *cli_estimator_name(int index);

/** An estimator by its place in cli_estimators(true), with what it loaded. Zero but for the first three; free
 * with cli_estimator_free(). */
struct cli_estimator {
    int index;
    bool corrected;     /* a baseline's, without the defects of the published code */
    const char *inputs; /* --inputs, or NULL */
    const void *extra;  /* the baseline's own inputs for this model and site */
    const struct model *model;
    const struct site *site;
    struct arena arena;
};
/** As estimate_plan(); a baseline's estimator gives iteration_time_s and peak_memory_bytes alone, the rest is
 * NAN. */
int cli_estimate(struct cli_estimator *k, const struct workload *w, const struct plan *p,
                 struct estimate *out, struct err *e);
void cli_estimator_free(struct cli_estimator *k);

/** How far off an estimate is, in percent of what was measured; NAN where nothing was. */
double error_percent(double estimate, double measured);
/** Of those errors that are known; NAN if none is. */
struct error_summary {
    double mean, median, max;
};
struct error_summary error_summary(const double *error, int n, struct arena *scratch);

/* ---- remarks.c: what is not an error, but worth a line on stderr ---- */

/** Of a site: a link whose fit is far from what was measured. */
void remark_site(const struct site *s);
/** Of a job read from `path`: the same, profiles without an element type, GPUs that no link joins. */
void remark_job(const struct job *job, const char *path);
/** Of a plan alone: profiles whose element type is not known. */
void remark_plan(const struct workload *w, const struct plan *p, const char *where);
/** Of the profiles: times that no such GPU has. */
void remark_times(const struct workload *w, const struct cli_peaks *peaks, const char *where);
/** Of row i: a gap above the one asked for (of a planner that proves), a batch that does not divide. */
void remark_row(const struct row_result *row, int i, bool proven, double gap);

/* ---- jobline.c: a job on the command line, in place of a file ---- */

struct job_line {
    const char *model, *gpus, *site; /* gpus: ZONE/GPU:N,...; site NULL: nodes and links by data sheets */
    const char *framework;           /* NULL: as published */
    int batch, sequence;             /* 0: not given */
    int dtype;                       /* of fp32, bf16, fp16; -1: not given */
    int objective;                   /* enum objective; -1: not given */
    int runner;                      /* of job_line_runners; -1: not given */
    bool exact_batch;
};
extern const char *const job_line_dtypes[], *const job_line_runners[];
/** Its name in results, and that of its site by data sheets. */
extern const char job_line_name[], job_line_site[];
/** Is any of it given? */
bool job_line_given(const struct job_line *l);
/** The job that the options mean. Errors name the option. */
int job_line_load(const struct job_line *l, const char *inputs, bool every_profile, struct job *job,
                  struct arena *a, struct err *e);
/** An error in the job that the options mean: it names the option instead. Returns -1. */
int job_line_fail(struct err *e);
/** One line on stderr for each thing that was assumed because it was not given. */
void job_line_remark(const struct job_line *l, const struct job *job);

/* ---- profiles.c ---- */

/** {"GPU": "measured" or "estimated"} for the GPU types with a profile, of those with GPUs in
 *  used[n_zone * n_gpu], or of all for NULL. */
cJSON *cli_profiles_json(const struct workload *w, const int *used);
/** The same of the inputs that a results file keeps, for a plan of these options (NULL: of any). */
cJSON *cli_stored_profiles_json(const char *inputs_json, const struct plan_options *options);
/** One line on stderr that names those that are estimated, if there are any. */
void cli_note_estimated(const struct workload *w, const int *used);
/** The types without a data sheet, where --estimator native adds nothing to measured layers; the same of
 * stored inputs; and a line on stderr that names them, if there are any. */
cJSON *cli_no_sheet_json(const struct workload *w, const int *used);
cJSON *cli_stored_no_sheet_json(const char *inputs_json);
void cli_note_no_sheet(const struct workload *w, const int *used);

/* ---- show.c: results for people and for programs ---- */

/** What rows are held against. */
struct cli_gauge {
    struct cli_peaks peaks;
    struct cli_doubt doubt;
    struct workload expected; /* with profiles: without the caution of --risk; profile NULL: not known */
    struct cli_estimator by;  /* free with cli_estimator_free() */
};

/** Row i of the results as sailor plan --json has it; the caller's. */
cJSON *show_row_object(const struct results *r, int i, struct cli_gauge *gauge);
/** The same on one line. */
void show_row_json(const struct results *r, int i, struct cli_gauge *gauge, FILE *out);
/** The same as tables. */
void show_row(const struct results *r, int i, struct cli_gauge *gauge, FILE *out);
/** All rows that have a plan in one table, if there are several. */
void show_rows(const struct results *r, struct cli_gauge *gauge, FILE *out);
/** Beside which kind of replica a stage's memory stands, that of its fullest GPU: the first that has as much;
 * none has: the first. */
int show_memory_at(const struct stage *st, const struct stage_estimate *e, const struct site *s);
/** The stages of one plan as a table. */
void show_stages(const struct plan *p, const struct estimate *est, const struct workload *w, FILE *out);
/** "32 A100-40 us-central1-a + 96 V100-16 us-central1-a" of count[n_zone * n_gpu], "" for none. */
const char *show_gpus(const int *count, const struct site *s, struct arena *a);

/** For tables with a column of pools: the zone in which all GPUs of all rows are, NULL where they are in
 * several; and a text without that zone, or as it is. */
const char *show_only_zone(const struct job *job);
const char *show_without_zone(const char *text, const char *zone, struct arena *a);
/** The numbers of a plan, wherever they are printed: as many digits in one place as in another. */
const char *show_time_s(double v, struct arena *a);
const char *show_per_s(double v, struct arena *a);
const char *show_usd(double v, struct arena *a);
const char *show_GiB(double bytes, struct arena *a);
/** One decimal, "-" for NAN. */
const char *show_percent(double v, struct arena *a);
/** The best plan of a row (of its frontier: the fastest), or NULL. */
const struct found_plan *show_best(const struct row_result *row);

#endif
