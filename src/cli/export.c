#include "base/names.h"
#include "cli/cli.h"
#include "export/export.h"
#include "formats/measured.h"
#include "formats/planjson.h"
#include "formats/inputs.h"
#include "base/clock.h"
#include "base/text.h"
#include "io/file.h"
#include "planners/planner.h"

#include <math.h>
#include <string.h>

static struct {
    const char *out;
    bool force, nearest;
    int row, rank, frontier, format;
} o;

static const char *const formats[] = {"plan", "megatron", "torchtitan", "flagscale", "sailor-train", NULL};
enum { FORMAT_PLAN, FORMAT_TRAIN = RUNNER_N }; /* the others are enum runner */

static const struct opt options[] = {
    OPTION_CHOICE(0, "format", formats, &o.format,
                  "plan (the default): a plan file for sailor simulate and sailor-train; or the input of "
                  "another trainer: arguments for Megatron-LM, a TorchTitan configuration, or arguments for "
                  "FlagScale with a mesh for each GPU type; sailor-train: a plan file, of a plan that "
                  "sailor-train can run"),
    OPTION_TEXT('o', "output", "FILE", &o.out, "file to write; without it the plan goes to stdout"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_INT(0, "row", "R", 0, 1e9, &o.row,
               "take the plan from pool row R, counted from 0; default: the first row that has a plan"),
    OPTION_INT(0, "rank", "K", 0, 1e9, &o.rank,
               "take plan K of the row's best plans (`plan --top`), counted from 0 (default 0)"),
    OPTION_FLAG(0, "nearest", &o.nearest,
                "if the trainer cannot run the plan, write the best plan for the same GPUs that it can run"),
    OPTION_INT(0, "frontier", "I", 0, 1e9, &o.frontier,
               "take point I of the row's frontier instead, counted from 0 (the fastest)"),
};
const struct opt_command export_command = {
    .usage = "OUT.h5|PLAN.json [options]",
    .about =
        "Extract a plan from a result file, or convert a plan file, for the program that will train by it.",
    .details =
        "examples:\n"
        "  sailor plan fig7 -o fig7.h5\n"
        "  sailor export fig7.h5 --row 2 -o plan.json && sailor simulate plan.json\n"
        "  sailor export plan.json --format megatron -o megatron.args\n"
        "\n"
        "A plan that a trainer cannot run is refused with the reason and the nearest plan that it can run;\n"
        "docs/export.md says what each trainer can run.\n",
    OPT_COMMAND("export", options, 1, 1),
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

static const struct found_plan *pick(const struct results *r, const char *path, int i, struct err *e) {
    const struct row_result *row = &r->row[i];
    bool frontier = o.frontier >= 0 || (o.rank < 0 && row->n_plan == 0);
    int k = frontier ? o.frontier : o.rank, n = frontier ? row->n_frontier : row->n_plan;
    if (k < 0) k = 0;
    if (k < n) return frontier ? &row->frontier[k] : &row->plan[k];
    err_set(e, EXIT_INPUT, "%s: row %d has %d %s; there is no number %d", path, i, n,
            frontier ? "frontier points" : "plans", k);
    return NULL;
}

/* Does the name belong to a file in inputs/? */
static bool there_is(const char *folder, const char *name, struct arena *a) {
    struct err none;
    const char *dir = inputs_dir(NULL, a, &none), **names;
    return dir && name_index(names, inputs_names(dir, folder, &names, a), name) >= 0;
}

/* The site of a job on the command line, and its model with another sequence length, may exist in no file. */
static bool only_stored(const cJSON *all, const char *key, struct arena *a) {
    const cJSON *it = cJSON_GetObjectItemCaseSensitive(all, key),
                *sequence = cJSON_GetObjectItemCaseSensitive(it, "sequence_length");
    const char *job = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(all, "name")),
               *own = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(it, "name"));
    if (!job || !own || strcmp(job, job_line_name) != 0) return false;
    if (!strcmp(key, "site")) return !strcmp(own, job_line_site) && !there_is("sites", own, a);
    const char *tail = strrchr(own, '-');
    return tail && cJSON_IsNumber(sequence) &&
           !strcmp(tail + 1, arena_printf(a, "%.0f", sequence->valuedouble)) && !there_is("models", own, a);
}

/* The plan names its model and site as the job did, so that a path stays valid wherever the plan is read.
 * What exists only in the result file goes into the plan. */
static void name_inputs(cJSON *plan, const char *inputs_json, struct arena *a) {
    static const char *const keys[] = {"model", "site"};
    cJSON *all = cJSON_Parse(inputs_json);
    const cJSON *job = cJSON_GetObjectItemCaseSensitive(all, "job");
    if (!job) job = cJSON_GetObjectItemCaseSensitive(all, "plan");
    for (int i = 0; i < 2; i++) {
        const cJSON *as = cJSON_GetObjectItemCaseSensitive(only_stored(all, keys[i], a) ? all : job, keys[i]);
        if (as) cJSON_ReplaceItemInObjectCaseSensitive(plan, keys[i], cJSON_Duplicate(as, true));
    }
    cJSON_Delete(all);
}

/* The plan as a file of our own, which names its inputs as the job did. */
static char *own_text(const struct plan *p, const struct job *job, const char *inputs_json, struct arena *a) {
    cJSON *json = plan_to_json(p, &job->workload);
    if (inputs_json) name_inputs(json, inputs_json, a);
    char *json_text = cJSON_Print(json);
    struct text t = {0};
    text_json(&t, json_text);
    char *text = arena_printf(a, "%s\n", t.s);
    text_free(&t);
    cJSON_free(json_text);
    cJSON_Delete(json);
    return text;
}

/* ---- what a trainer cannot run ---- */

static double started_s;

static bool too_long(void *ctx) {
    enum { LONGEST_S = 10 };
    (void)ctx;
    return now_s() - started_s > LONGEST_S;
}

/* A plan to be exported, and the row of a job, with profiles, from which another plan may come. */
struct source {
    const char *path, *inputs_json;
    const struct plan *plan;
    const struct job *job;      /* names and model */
    const struct job *question; /* NULL: nothing to plan with */
    int row;
    enum estimator estimator;
};

/* The best plan of the row that the trainer can run; NULL: none was found. */
static const struct found_plan *find_nearest(const struct source *s, enum runner t, struct arena *a) {
    const struct planner *exact = planner_that_can(CAN_PROVE);
    struct search_hooks hooks = {.stop = too_long};
    struct planner_run run = {.estimator = s->estimator, .threads = 1};
    struct row_result *row = ARENA_NEW(a, struct row_result);
    struct job *job = ARENA_NEW(a, struct job);
    struct err none;
    *job = *s->question;
    job->pin = (struct pin){.zones = job->pin.zones, .runnable_by = t};
    job->exact_batch = true;
    struct question q = question_of(job, s->row);
    if (q.objective == OBJECTIVE_FRONTIER) q.objective = OBJECTIVE_THROUGHPUT;
    q.hooks = &hooks;
    q.gap = 0.01;
    started_s = now_s();
    if (exact->solve(exact, &q, &run, row, a, &none) < 0) return NULL;
    return show_best(row);
}

/* "microbatch 2, 3 stages, D = 8: 4.85 s instead of 4.8 s" */
static const char *describe(const struct source *s, const struct found_plan *f, struct arena *a) {
    struct estimate was = {.stage = ARENA_ARRAY(a, struct stage_estimate, plan_stages(s->plan))};
    struct err none;
    const struct plan *p = f->plan;
    const char *than = "";
    bool cost = s->question->objective == OBJECTIVE_COST;
    if (!estimate_plan(&s->question->workload, s->plan, s->estimator, &was, &none))
        than = cost ? arena_printf(a, " instead of %s USD", show_usd(was.cost_usd, a))
                    : arena_printf(a, " instead of %s s", show_time_s(was.iteration_time_s, a));
    return arena_printf(a, "microbatch %d, %d stage%s, D = %d: %s %s%s", p->micro_batch_size,
                        p->pipeline[0].n_stage, p->pipeline[0].n_stage == 1 ? "" : "s",
                        stage_replicas(&p->pipeline[0].stage[0]),
                        cost ? show_usd(f->est.cost_usd, a) : show_time_s(f->est.iteration_time_s, a),
                        cost ? "USD" : "s", than);
}

/* The plan itself, or the nearest one if it is refused. NULL with *e set. */
static const struct plan *runnable(const struct source *s, enum runner t, struct arena *a, struct err *e) {
    const char *why = export_refusal(t, s->job, s->plan, a);
    if (!why) return s->plan;
    bool never = export_never(t, s->job, a) != NULL;
    const struct found_plan *f = never || !s->question ? NULL : find_nearest(s, t, a);
    if (f && o.nearest) {
        fprintf(stderr, "sailor: %s cannot run the plan: %s; wrote the nearest plan that it can run, %s\n",
                formats[o.format], text_printable(why, a), describe(s, f, a));
        return f->plan;
    }
    err_set(e, EXIT_INPUT, "%s: %s cannot run this plan: %s%s%s%s", s->path, formats[o.format], why,
            f ? "; the nearest plan that it can run (--nearest): " : "", f ? describe(s, f, a) : "",
            !f && s->question && !never ? "; nor any other with these GPUs" : "");
    return NULL;
}

static int write_plan(const struct source *s, struct arena *a, struct err *e) {
    const char *text;
    bool plan_file = o.format == FORMAT_PLAN || o.format == FORMAT_TRAIN;
    bool edits = plan_file && !s->inputs_json; /* from plan file to plan file */
    const char *why =
        o.format == FORMAT_TRAIN ? training_refusal(s->plan, s->job->dtype, s->job->optimizer, a) : NULL;
    if (why) return err_set(e, EXIT_INPUT, "%s: sailor-train cannot run this plan: %s", s->path, why);
    if (!edits && file_spare(o.out, s->path, e)) return -1;
    if (o.out && file_can_create(o.out, o.force, "-f overwrites it", e)) return -1;
    if (plan_file) {
        text = own_text(s->plan, s->job, s->inputs_json, a);
    } else {
        enum runner t = (enum runner)o.format;
        const struct plan *p = runnable(s, t, a, e);
        if (!p) return -1;
        text = export_text(t, s->job, p, a);
    }
    if (file_spare_read(o.out, edits ? s->path : NULL, e)) return -1;
    return file_write(o.out, text, strlen(text), e);
}

static int export_stored(const char *path, struct arena *a, struct err *e) {
    struct results r;
    struct job whole;
    if (results_read(path, NULL, &r, a, e)) return -1;
    int row = pick_row(&r, path, o.row, e);
    const struct found_plan *f = row < 0 ? NULL : pick(&r, path, row, e);
    if (!f) return -1;
    struct source s = {.path = path, .inputs_json = r.inputs_json, .plan = f->plan, .job = r.job, .row = row};
    if (o.format != FORMAT_PLAN) { /* the trainers' files need the model, not only its name */
        if (job_from_json(r.inputs_json, &whole, a, e)) return -1;
        whole.objective = r.objective;
        s.job = s.question = &whole;
        for (int i = 0; i < ESTIMATOR_N; i++)
            if (!strcmp(estimator_name[i], r.estimator)) s.estimator = (enum estimator)i;
    }
    return write_plan(&s, a, e);
}

/* The GPUs that a plan file uses, as the only row of a job; NULL if a profile is missing or there are several
 * plans. */
static const struct job *row_of_file(const char *path, struct arena *a) {
    struct plan_entry *entry;
    int n;
    struct err none;
    if (plans_load(path, NULL, &entry, &n, a, &none) || n != 1) return NULL;
    const struct site *site = entry->workload->site;
    int cells = site->n_zone * site->n_gpu, *used = ARENA_ARRAY(a, int, cells);
    plan_gpus(entry->plan, site, used);
    for (int k = 0; k < cells; k++)
        if (used[k] && !entry->workload->profile[k % site->n_gpu]) return NULL;
    struct pool *pool = ARENA_NEW(a, struct pool);
    *pool = (struct pool){.time_s = NAN, .count = used};
    struct job *job = ARENA_NEW(a, struct job);
    *job = (struct job){.global_batch_size = entry->plan->global_batch_size,
                        .max_usd_per_iteration = INFINITY,
                        .n_pool = 1,
                        .pool = pool,
                        .workload = *entry->workload};
    return job;
}

static int export_file(const char *path, struct arena *a, struct err *e) {
    struct training t;
    if (o.row >= 0 || o.rank >= 0 || o.frontier >= 0)
        return err_set(e, EXIT_INPUT,
                       "%s: --row, --rank and --frontier choose among stored results; expected a "
                       "file written by sailor plan -o",
                       path);
    if (training_load(path, NULL, &t, a, e)) return -1;
    if (o.format != FORMAT_PLAN && plan_check_available(t.plan, t.workload.site, path, a, e)) return -1;
    struct job job = {.workload = t.workload, .dtype = t.dtype, .optimizer = t.optimizer};
    struct source s = {.path = path,
                       .inputs_json = t.json,
                       .plan = t.plan,
                       .job = &job,
                       .question =
                           o.format == FORMAT_PLAN || o.format == FORMAT_TRAIN ? NULL : row_of_file(path, a),
                       .estimator = ESTIMATOR_DEFAULT};
    return write_plan(&s, a, e);
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
