#include "cli/cli.h"
#include "export/export.h"
#include "formats/measured.h"
#include "formats/planjson.h"
#include "io/file.h"

#include <string.h>

static struct {
    const char *out;
    bool force;
    int row, rank, frontier, format;
} o;

static const char *const formats[] = {"plan", "megatron", "torchtitan", "flagscale", NULL};
enum { FORMAT_PLAN, FORMAT_TARGETS }; /* then enum export_target */

static const struct opt options[] = {
    OPTION_CHOICE(
        0, "format", formats, &o.format,
        "plan (the default): what sailor simulate and sailor-train read; or what another trainer starts "
        "from: Megatron-LM's arguments, a TorchTitan configuration, FlagScale's arguments with a mesh "
        "for each GPU type"),
    OPTION_TEXT('o', "output", "FILE", &o.out, "file to write; without it the plan goes to stdout"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_INT(0, "row", "R", 0, 1e9, &o.row,
               "take the plan from pool row R, counted from 0; default: the first row that has a plan"),
    OPTION_INT(0, "rank", "K", 0, 1e9, &o.rank,
               "take the plan at place K of the row's best plans (`plan --top`), counted from 0 (default 0)"),
    OPTION_INT(0, "frontier", "I", 0, 1e9, &o.frontier,
               "take point I of the row's frontier instead, counted from 0, the fastest"),
};
const struct opt_command export_command = {
    .name = "export",
    .usage = "OUT.h5|PLAN.json [options]",
    .about = "Take a plan out of a file of results, or rewrite a plan file, for the program that will train "
             "by it.",
    .details =
        "examples:\n"
        "  sailor export fig7.h5 --row 2 -o plan.json && sailor simulate plan.json\n"
        "  sailor export plan.json --format megatron -o megatron.sh\n\n"
        "A plan that a trainer cannot run is refused with the reason; docs/export.md says what each can.\n",
    OPT_COMMAND_TAKES(options, 1, 1),
};

/* Index of a row: `wanted`, or the first row with a plan if it is -1. -1 with *e set. */
static int pick_row(const struct results *r, const char *path, int wanted, struct err *e) {
    if (wanted >= r->n_row)
        return err_set(e, EXIT_INPUT, "%s: has no row %d; expected 0 to %d", path, wanted, r->n_row - 1);
    if (wanted >= 0) return wanted;
    for (int i = 0; i < r->n_row; i++)
        if (show_best(&r->row[i])) return i;
    return err_set(e, EXIT_INPUT, "%s: holds no plan", path);
}

static const struct found_plan *pick(const struct results *r, const char *path, struct err *e) {
    int i = pick_row(r, path, o.row, e);
    if (i < 0) return NULL;
    const struct row_result *row = &r->row[i];
    bool frontier = o.frontier >= 0 || (o.rank < 0 && row->n_plan == 0);
    int k = frontier ? o.frontier : o.rank, n = frontier ? row->n_frontier : row->n_plan;
    if (k < 0) k = 0;
    if (k < n) return frontier ? &row->frontier[k] : &row->plan[k];
    err_set(e, EXIT_INPUT, "%s: row %d has %d %s; there is no number %d", path, i, n,
            frontier ? "frontier points" : "plans", k);
    return NULL;
}

/* A job that names its model or site by a path means that file, wherever the plan is read. */
static void name_inputs(cJSON *plan, const char *inputs_json) {
    static const char *const keys[] = {"model", "site"};
    cJSON *all = cJSON_Parse(inputs_json);
    const cJSON *job = cJSON_GetObjectItemCaseSensitive(all, "job");
    for (int i = 0; i < 2; i++) {
        const char *as = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(job, keys[i]));
        if (as) cJSON_ReplaceItemInObjectCaseSensitive(plan, keys[i], cJSON_CreateString(as));
    }
    cJSON_Delete(all);
}

/* The plan as a file of our own, which names its inputs as the job did. */
static char *own_text(const struct plan *p, const struct job *job, const char *inputs_json, struct arena *a) {
    cJSON *json = plan_to_json(p, &job->workload);
    if (inputs_json) name_inputs(json, inputs_json);
    char *json_text = cJSON_Print(json);
    char *text = arena_printf(a, "%s\n", json_text);
    cJSON_free(json_text);
    cJSON_Delete(json);
    return text;
}

static int write_plan(const char *path, const struct plan *p, const struct job *job, const char *inputs_json,
                      struct arena *a, struct err *e) {
    const char *text;
    if (o.out && file_can_create(o.out, o.force, "-f overwrites it", e)) return -1;
    if (o.format == FORMAT_PLAN) {
        text = own_text(p, job, inputs_json, a);
    } else {
        enum export_target t = (enum export_target)(o.format - FORMAT_TARGETS);
        const char *why = export_refusal(t, job, p, a);
        if (why)
            return err_set(e, EXIT_INPUT, "%s: %s cannot run this plan: %s", path, formats[o.format], why);
        text = export_text(t, job, p, a);
    }
    return file_write(o.out, text, strlen(text), e);
}

static int export_stored(const char *path, struct arena *a, struct err *e) {
    struct results r;
    struct job whole;
    if (results_read(path, NULL, &r, a, e)) return -1;
    const struct found_plan *f = pick(&r, path, e);
    if (!f) return -1;
    const struct job *job = r.job;
    if (o.format != FORMAT_PLAN) { /* the trainers' files need the model, not only its name */
        if (job_from_json(r.inputs_json, &whole, a, e)) return -1;
        job = &whole;
    }
    return write_plan(path, f->plan, job, r.inputs_json, a, e);
}

static int export_file(const char *path, struct arena *a, struct err *e) {
    struct training t;
    if (o.row >= 0 || o.rank >= 0 || o.frontier >= 0)
        return err_set(e, EXIT_INPUT,
                       "%s: --row, --rank and --frontier choose among stored results; expected a "
                       "file written by sailor plan -o",
                       path);
    if (training_load(path, NULL, &t, a, e)) return -1;
    struct job job = {.workload = t.workload, .dtype = t.dtype, .optimizer = t.optimizer};
    return write_plan(path, t.plan, &job, NULL, a, e);
}

static int export_plan(const char **file, int n, struct arena *a, struct err *e) {
    (void)n;
    return measured_is_hdf5(file[0]) ? export_stored(file[0], a, e) : export_file(file[0], a, e);
}

int cmd_export(int argc, char **argv) {
    o.row = o.rank = o.frontier = -1;
    o.format = FORMAT_PLAN;
    return program_run(&export_command, argc, argv, export_plan);
}
