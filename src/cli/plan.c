#include "base/clock.h"
#include "base/text.h"
#include "cli/plan.h"
#include "export/export.h"
#include "formats/measured.h"
#include "io/mpx.h"
#include "planners/planner.h"
#include "io/file.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The only command that may run on several ranks. All ranks do the same things in the same order; whatever
 * can fail on one rank alone (reading, writing) is followed by mpx_agree(), so that all leave with the same
 * status. */

struct plan_arguments plan_arguments;
#define o plan_arguments /* as in every command */

static const char *objectives[OBJECTIVE_N + 1], *objectives_of_rows[OBJECTIVE_FRONTIER + 1];
static struct opt options[] = {
    OPTION_GROUP("a job without a file"),
    OPTION_TEXT(0, "model", "NAME", &o.line.model, "model to train, by name or file"),
    OPTION_TEXT(0, "gpus", "LIST", &o.line.gpus,
                "available GPUs, as a comma-separated list of ZONE/GPU:N, such as "
                "east/H100-80:24,west/L4-24:64; the zone may be left out if there is only one"),
    OPTION_INT(0, "batch", "B", 1, 1e8, &o.line.batch, "sequences per iteration"),
    OPTION_TEXT(0, "site", "NAME", &o.line.site,
                "site that has these zones and types, by name or file; default: nodes and links inside zones "
                "are those of data sheets"),
    OPTION_INT(0, "seq-len", "N", 1, 1e8, &o.line.sequence,
               "tokens per sequence, for models that say what they are made of; default: the model's own"),
    OPTION_CHOICE(0, "dtype", job_line_dtypes, &o.line.dtype, "element type (default fp32, as in job files)"),
    OPTION_TEXT(0, "framework", "NAME", &o.line.framework,
                "framework from inputs/frameworks.json that the plan is for: bytes kept per parameter, and "
                "layer times from data sheets (default published, as in job files)"),
    OPTION_FLAG(0, "exact-batch", &o.line.exact_batch,
                "only plans whose microbatches add up to exactly the batch, as Megatron-LM, TorchTitan and "
                "FlagScale require"),
    OPTION_CHOICE(0, "runnable-by", job_line_runners, &o.line.runner,
                  "only plans that sailor export can write for this trainer"),
    OPTION_GROUP("what to find"),
    PLAN_OPTION_OBJECTIVE,
    OPTION_CHOICE(0, "planner", NULL, &o.planner,
                  "planner: exact (the default) finds the optimum of the declared plan space, with a proof; "
                  "the published planners are listed below"),
    PLAN_OPTION_ESTIMATOR,
    OPTION_FLAG(0, "corrected", &o.corrected, "run a published planner without the defects of its code"),
    OPTION_INT(0, "states", "N", 1, 1e9, &o.states,
               "number of states that metis, aceso and dtfm evaluate (the originals stop after a given "
               "time); the default depends on the planner"),
    OPTION_INT(
        0, "top", "K", 1, 1000, &o.top,
        "keep the best plan of each of the K best combinations of microbatch size, replicas and options "
        "in every row (default 1)"),
    PLAN_OPTION_GAP,
    PLAN_OPTION_WARM,
    PLAN_OPTION_RISK,
    OPTION_GROUP("output"),
    PLAN_OPTION_OUTPUT,
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_FLAG(0, "json", &o.json, "print one JSON object per pool row instead of tables"),
    PLAN_OPTION_QUIET,
    OPTION_GROUP("running"),
    PLAN_OPTION_THREADS,
    PLAN_OPTION_TIME_LIMIT,
    OPTION_TEXT(0, "resume", "OUT.h5", &o.resume,
                "continue the search that wrote OUT.h5; a job or option that is not given is taken from it; "
                "the result goes into the same file unless -o names another"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command plan_command = {
    .usage = "JOB|--model NAME --gpus LIST --batch B [options]          (alone, or under mpirun/srun)",
    .about = "Find the best plan for every GPU pool of a job and prove it. The answer does not depend on the "
             "number of ranks or "
             "threads.",
    OPT_COMMAND("plan", options, 0, 1), /* with --resume the job is known */
};

/* The text after the options in the help. */
static const char *details(struct arena *a) {
    const char *list = "";
    for (int i = 0; planners[i]; i++)
        if (planners[i]->propose)
            list = arena_printf(a, "%s  %-10s %s\n", list, planners[i]->name, planners[i]->about);
    return arena_printf(
        a,
        "examples:\n"
        "  sailor plan fig7\n"
        "  sailor plan --model llama-3.1-8b --gpus H100-80:24,L4-24:64 --batch 512 --dtype bf16\n"
        "  mpirun -n 4 sailor plan JOB.json -o OUT.h5 --time-limit 3300     and if it stopped (status 75):\n"
        "  mpirun -n 8 sailor plan --resume OUT.h5\n"
        "\n"
        "SIGTERM, SIGINT, SIGHUP and SIGUSR1 stop the search as --time-limit does; with -o the file holds "
        "all that "
        "was proven.\n"
        "A second signal, at least one second later, ends the program at once.\n"
        "\n"
        "published planners (each proposes a list of plans; the first that fits and meets the limits under "
        "the common\n"
        "simulator is the answer, and those that did not fit are counted):\n"
        "%s  e.g. sailor plan inputs/fig8b.json --planner metis; docs/planners.md says what each considers\n"
        "\n"
        "exit status: 0 done; 1 internal failure or unwritable output; 2 bad usage or input; 3 no row has a "
        "plan;\n"
        "75 stopped early\n",
        list);
}

/* ---- stopping ---- */

static volatile sig_atomic_t stop_signal;
static volatile double first_signal_s;

/* One Ctrl-C can arrive twice (from the terminal and from mpirun): only a signal a second later means "at
 * once". */
static void on_signal(int sig) {
    int saved = errno;
    if (!stop_signal) {
        first_signal_s = now_s();
        stop_signal = sig;
    } else if (now_s() - first_signal_s >= 1) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
    errno = saved;
}

static void catch_signals(void) {
    static const int which[] = {SIGTERM, SIGINT, SIGUSR1};
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) sigaction(which[i], &act, NULL);
    struct sigaction was;
    if (!sigaction(SIGHUP, NULL, &was) && was.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &act, NULL); /* not under nohup */
}

/* ---- callbacks of the search ---- */

enum { CHECKPOINT_S = 2, PROGRESS_S = 1 };

struct session {
    struct mpx mpi;
    struct job job;
    struct results results;
    const struct plan_mode *mode;
    struct warm warm;
    struct cli_gauge gauge; /* on rank 0 */
    const char *path;       /* result file, NULL = none */
    double started_s, wall_before_s, checkpoint_s, progress_s;
    double rate_at_s, rate_plans; /* the last progress line's time and plans, for plans/s */
    int row;
};

static bool should_stop(void *ctx) {
    const struct session *s = ctx;
    return stop_signal || coarse_now_s() - s->started_s >= o.time_limit;
}

static void on_progress(void *ctx, const struct search_progress *p) {
    struct session *s = ctx;
    double now = now_s();
    if (o.quiet || now - s->progress_s < PROGRESS_S) return;
    const char *unit = s->job.objective == OBJECTIVE_COST ? "USD" : "s";
    double plans = (double)p->plans_evaluated, span = p->elapsed_s - s->rate_at_s;
    double rate = span > 0 && plans >= s->rate_plans ? (plans - s->rate_plans) / span : 0;
    s->progress_s = now;
    s->rate_at_s = p->elapsed_s;
    s->rate_plans = plans;
    fprintf(stderr, "[%6.1f s] row %d of %d  %d/%d units  %.2g plans/s", now - s->started_s, s->row,
            s->job.n_pool, p->units_done, p->n_unit, rate);
    if (isfinite(p->incumbent)) fprintf(stderr, "  best %.5g %s", p->incumbent, unit);
    if (isfinite(p->lower_bound)) fprintf(stderr, "  bound %.5g %s", p->lower_bound, unit);
    if (isfinite(p->incumbent) && isfinite(p->gap))
        fprintf(stderr, "  gap %.*f %%", p->gap < 0.1 ? 2 : 0, 100 * p->gap);
    if (isfinite(p->eta_s)) fprintf(stderr, "  eta %.0f s", p->eta_s);
    fputc('\n', stderr);
}

static int store(struct session *s, bool complete, struct err *e) {
    s->results.complete = complete;
    s->results.wall_s = s->wall_before_s + now_s() - s->started_s;
    return results_write(s->path, &s->results, e);
}

static int on_checkpoint(void *ctx, const struct row_result *row, struct err *e) {
    struct session *s = ctx;
    if (!s->path || now_s() - s->checkpoint_s < CHECKPOINT_S) return 0;
    if (row != &s->results.row[s->row]) s->results.row[s->row] = *row;
    int rc = store(s, false, e);
    s->checkpoint_s = now_s(); /* counted from the end: a slow file system must not eat the search */
    return rc;
}

/* ---- preparing ---- */

static const struct planner *planner(void) { return planners[o.planner]; }

static bool can(enum planner_can bit) { return planner()->can & bit; }

/* "metis, aceso or dtfm": the planners with this bit. */
static const char *who_can(enum planner_can bit, struct arena *a) {
    const char *text = "", *last = NULL;
    for (int i = 0; planners[i]; i++) {
        if (!(planners[i]->can & bit)) continue;
        if (last) text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", last);
        last = planners[i]->name;
    }
    return *text ? arena_printf(a, "%s or %s", text, last) : last;
}

/* Refuses options that the planner does not support. */
static int check_options(struct arena *a, struct err *e) {
    const struct {
        const char *name;
        bool given;
        enum planner_can bit;
    } need[] = {
        {"--resume", o.resume, CAN_RESUME},
        {"--top", o.top > 1, CAN_TOP},
        {"--gap", o.gap >= 0, CAN_PROVE},
        {"--risk", o.risk > 0, CAN_PROVE},
        {"--corrected", o.corrected, CAN_CORRECTED},
        {"--states", o.states, CAN_STATES},
        {"--warm", o.warm != NULL, CAN_WARM},
    };
    for (size_t i = 0; i < sizeof need / sizeof *need; i++)
        if (need[i].given && !can(need[i].bit))
            return err_set(e, EXIT_INPUT, "plan: %s: not for the planner %s; expected --planner %s",
                           need[i].name, planner()->name, who_can(need[i].bit, a));
    return 0;
}

/* Does the pool have nodes that differ in size from the usual nodes of their type? */
static bool mixed_nodes(const struct pool *p, const struct site *s) {
    for (int k = 0; k < s->n_zone * s->n_gpu && p->nodes; k++) {
        struct nodes usual = nodes_of(p->count[k], s->gpu[k % s->n_gpu].gpus_per_node);
        if (memcmp(&p->nodes[k], &usual, sizeof usual)) return true;
    }
    return false;
}

/* An option that departs from the model file, or NULL. */
static const char *chosen_option(const struct workload *w) {
    bool recompute = w->options.recompute != RECOMPUTE_NONE, sequence = w->options.sequence_parallel;
    if (!w->n_variant && !w->altered) return NULL;
    for (int v = 0; v < w->n_variant; v++) {
        recompute |= w->variant[v].options.recompute != w->options.recompute;
        sequence |= w->variant[v].options.sequence_parallel != w->options.sequence_parallel;
    }
    return recompute ? "recompute" : sequence ? "sequence_parallel" : "zero";
}

/* Checks what a job may ask of the site and the planner. */
static int check_job(const struct job *j, const char *path, struct arena *a, struct err *e) {
    const struct site *site = j->workload.site;
    for (int i = 0; i < j->n_pool; i++)
        for (int k = 0; k < site->n_zone * site->n_gpu; k++)
            if (site->available[k] >= 0 && j->pool[i].count[k] > site->available[k])
                return err_set(e, EXIT_INPUT,
                               "%s: /pools/%d: %d %s in zone %s; expected at most the %d that site %s has",
                               path, j->pool[i].index, j->pool[i].count[k], site->gpu[k % site->n_gpu].name,
                               site->zone[k / site->n_gpu], site->available[k], site->name);
    for (int i = 0; i < j->n_pool; i++)
        if (!can(CAN_NODES) && mixed_nodes(&j->pool[i], site))
            return err_set(e, EXIT_INPUT,
                           "%s: /pools/%d: node sizes other than those of site %s; the planner %s takes all "
                           "nodes of a type to be alike; expected --planner %s",
                           path, j->pool[i].index, site->name, planner()->name, who_can(CAN_NODES, a));
    const struct pin *p = &j->pin;
    bool pinned = p->micro_batch_size || p->stages || p->data_parallel || p->zones || p->runnable_by;
    for (int g = 0; g < GPUS_MAX; g++) pinned |= p->tp[g] != 0;
    if (j->objective == OBJECTIVE_FRONTIER && !can(CAN_FRONTIER))
        return err_set(e, EXIT_INPUT,
                       "%s: /objective: the planner %s has no frontier; expected throughput or cost", path,
                       planner()->name);
    const char *option = chosen_option(&j->workload);
    if (option && (!can(CAN_OPTIONS) || o.estimator != ESTIMATOR_NATIVE))
        return err_set(
            e, EXIT_INPUT,
            "%s: /%s: not supported by the %s %s; expected a job without it, or --planner %s --estimator %s",
            path, option, can(CAN_OPTIONS) ? "estimator" : "planner",
            can(CAN_OPTIONS) ? estimator_name[o.estimator] : planner()->name,
            planner_that_can(CAN_OPTIONS)->name, estimator_name[ESTIMATOR_NATIVE]);
    const char *never = p->runnable_by ? export_never(p->runnable_by, j, a) : NULL;
    if (never)
        return err_set(e, EXIT_INPUT, "%s: %s: %s; expected a job that it can run", path,
                       p->runnable_by_job ? "/runnable_by" : "/pin/runnable_by", never);
    bool pins = pinned && !can(CAN_PIN), batch = j->exact_batch && !can(CAN_EXACT_BATCH);
    if (batch && !pins && !p->runnable_by_job && j->workload.framework)
        return err_set(e, EXIT_INPUT,
                       "%s: /framework: the planner %s cannot honour exact_batch, its default; expected "
                       "\"exact_batch\": false with it",
                       path, planner()->name);
    if (pins || batch)
        return err_set(e, EXIT_INPUT, "%s: /%s: the planner %s cannot honour it; expected a job without it",
                       path,
                       !pins                ? "exact_batch"
                       : p->runnable_by_job ? "runnable_by"
                                            : "pin",
                       planner()->name);
    return 0;
}

static int differs(const char *what, const char *there, const char *here, struct err *e) {
    return err_set(e, EXIT_INPUT, "%s: was made with %s %s, this run has %s; --resume needs the same",
                   o.resume, what, there, here);
}

/* A search must be resumed with the options it was started with; time limit, ranks and threads may change. */
static int same_options(const struct results *before, const struct results *now, struct err *e) {
    char there[16], here[16];
    snprintf(there, sizeof there, "%d", before->top_k);
    snprintf(here, sizeof here, "%d", now->top_k);
    if (strcmp(before->planner, now->planner)) return differs("--planner", before->planner, now->planner, e);
    if (strcmp(before->estimator, now->estimator))
        return differs("--estimator", before->estimator, now->estimator, e);
    if (before->objective != now->objective)
        return differs("--objective", objective_name[before->objective], objective_name[now->objective], e);
    if (before->top_k != now->top_k) return differs("--top", there, here, e);
    snprintf(there, sizeof there, "%g", before->proof_gap);
    snprintf(here, sizeof here, "%g", now->proof_gap);
    if (before->proof_gap != now->proof_gap) return differs("--gap", there, here, e);
    snprintf(there, sizeof there, "%g", before->risk);
    snprintf(here, sizeof here, "%g", now->risk);
    if (before->risk != now->risk) return differs("--risk", there, here, e);
    if (!before->residuals || !now->residuals || !strcmp(before->residuals, now->residuals)) return 0;
    return err_set(e, EXIT_INPUT,
                   "%s: --risk was of another residuals.json; --resume needs the same, or the same figures",
                   o.resume);
}

static const char *join_command(int argc, char **argv, struct arena *a) {
    const char *line = "sailor";
    for (int i = 0; i < argc; i++) line = arena_printf(a, "%s %s", line, text_shell_word(argv[i], a));
    return line;
}

static void describe_run(struct session *s, int argc, char **argv, struct arena *a) {
    struct results *r = &s->results;
    char host[256] = "", date[UTC_SIZE];
    now_utc(date);
    gethostname(host, sizeof host - 1);
    *r = (struct results){.command_line = join_command(argc, argv, a),
                          .version = program_version(),
                          .host = arena_strdup(a, host),
                          .started_utc = arena_strdup(a, date),
                          .planner = planner()->name,
                          .estimator = cli_estimators(false)[o.estimator],
                          .objective = s->job.objective,
                          .ranks = s->mpi.size,
                          .threads = o.threads,
                          .top_k = o.top,
                          .proof_gap = o.gap,
                          .risk = o.risk,
                          .residuals = o.risk > 0 ? s->gauge.doubt.figures : NULL,
                          .job = &s->job,
                          .inputs_json = s->job.json,
                          .n_row = s->job.n_pool,
                          .row = ARENA_ARRAY(a, struct row_result, s->job.n_pool)};
}

static bool is_plan(const cJSON *x) {
    const char *format = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "format"));
    return format && !strncmp(format, "sailor-plan/", 12);
}

/* If the file holds plans, say so: errors about unknown keys would not help. */
static int not_a_job(const char *path, const char *text, struct err *e) {
    cJSON *tree = cJSON_Parse(text);
    const char *where = is_plan(tree)                                 ? "/format"
                        : cJSON_HasObjectItem(tree, "plans")          ? "/plans"
                        : cJSON_IsArray(tree) && is_plan(tree->child) ? "/0"
                                                                      : NULL;
    cJSON_Delete(tree);
    if (!where) return 0;
    return err_set(e, EXIT_INPUT,
                   "%s: %s: a plan; expected a job, \"sailor-job/1\" (sailor simulate estimates plans)", path,
                   where);
}

static int parse_job(const char *path, const char *text, struct job *job, struct arena *a, struct err *e) {
    o.line.objective = o.objective;
    if (job_line_given(&o.line)) return job_line_load(&o.line, o.inputs, planner()->every_profile, job, a, e);
    if (not_a_job(path, text, e)) return -1;
    return job_load(path, text, o.inputs, planner()->every_profile, job, a, e);
}

static char *read_job(const char *path, size_t *size, struct arena *a, struct err *e) {
    char *text = file_read_text(path, size, a, e);
    if (text) return text;
    if (measured_is_hdf5(path))
        err_set(e, EXIT_INPUT,
                "%s: an HDF5 file; expected a job, \"sailor-job/1\" (--warm and sailor report take results)",
                path);
    else
        job_name_unknown(path, o.inputs, a, e);
    return NULL;
}

/* Rank 0 reads the file, all ranks parse the same bytes; `stored`, if given, replaces the file's text. */
static int load_job(struct session *s, const char *path, const char *stored, struct arena *a, struct err *e) {
    size_t size = 0;
    const char *text = stored                    ? stored
                       : job_line_given(&o.line) ? ""
                                                 : mpx_read(&s->mpi, read_job, path, &size, a, e);
    if (!text) return -1;
    int rc = stored ? job_from_json(stored, &s->job, a, e) : parse_job(path, text, &s->job, a, e);
    if (mpx_agree(&s->mpi, rc, e)) return -1;
    if (s->mode->derive) {
        const char *derived = s->mode->derive(s->mode->ctx, &s->job, text, path, a, e);
        if (mpx_agree(&s->mpi, derived ? parse_job(path, derived, &s->job, a, e) : -1, e)) return -1;
    }
    if (o.objective >= 0) {
        s->job.objective = (enum objective)o.objective;
        if (job_check_prices(&s->job, path, e)) return -1; /* the same on every rank */
    }
    if (!check_job(&s->job, path, a, e)) return 0;
    return job_line_given(&o.line) ? job_line_fail(e) : -1;
}

/* The file to be resumed, on every rank. */
struct earlier {
    struct arena arena;
    char *bytes;
    size_t size;
    struct results as_stored; /* without this run's job, of which other options make other estimates */
};

/* Options not given are taken from the file. */
static int read_earlier(struct session *s, struct earlier *f, struct err *e) {
    struct results *r = &f->as_stored;
    f->bytes = mpx_read(&s->mpi, file_read_bytes, o.resume, &f->size, &f->arena, e);
    if (!f->bytes) return -1;
    int rc = results_parse(o.resume, f->bytes, f->size, NULL, r, &f->arena, e);
    if (mpx_agree(&s->mpi, rc, e)) return -1;
    if (o.objective < 0) o.objective = (int)r->objective;
    if (o.gap < 0) o.gap = r->proof_gap;
    if (o.risk <= 0) o.risk = r->risk;
    if (!o.top) o.top = r->top_k;
    for (int i = 0; i < ESTIMATOR_N && o.estimator < 0; i++)
        if (!strcmp(estimator_name[i], r->estimator)) o.estimator = i;
    return 0;
}

static bool finished(const struct row_result *row) {
    return row->status == ROW_OPTIMAL || row->status == ROW_INFEASIBLE;
}

static int continue_earlier(struct session *s, const struct earlier *f, struct arena *a, struct err *e) {
    struct results before;
    if (same_options(&f->as_stored, &s->results, e)) return -1;
    int rc = results_parse(o.resume, f->bytes, f->size, &s->job, &before, a, e);
    if (mpx_agree(&s->mpi, rc, e)) return -1;
    s->results.row = before.row;
    for (int i = 0; i < before.n_row; i++) /* stopped before its first round: start over */
        if (!before.row[i].n_unit && !finished(&before.row[i]))
            before.row[i] = (struct row_result){.status = ROW_TODO, .search_s = before.row[i].search_s};
    s->results.started_utc = before.started_utc;
    s->results.complete = before.complete;
    s->wall_before_s = before.wall_s;
    return 0;
}

/* Plans to start from, on every rank. */
static int read_warm(struct session *s, struct arena *a, struct err *e) {
    struct results old;
    size_t size;
    if (!o.warm) return 0;
    char *bytes = mpx_read(&s->mpi, file_read_bytes, o.warm, &size, a, e);
    if (!bytes) return -1;
    int rc = results_parse(o.warm, bytes, size, NULL, &old, a, e);
    if (mpx_agree(&s->mpi, rc, e)) return -1;
    warm_add_file(&s->warm, o.warm, &old, &s->results, a);
    return 0;
}

/* Refuses to replace any file that was read, except the one being resumed. */
static int spare_inputs(const struct session *s, struct err *e) {
    const char *own = o.warm && s->path && file_same(s->path, o.warm) ? o.warm : o.resume;
    return mpx_agree(&s->mpi, s->mpi.rank == 0 ? file_spare_read(s->path, own, e) : 0, e);
}

static int open_output(struct session *s, const char *job_path, struct err *e) {
    s->path = o.out ? o.out : o.resume;
    if (!s->path) return 0;
    bool force = o.force || (o.resume && file_same(s->path, o.resume));
    int rc = 0;
    if (s->mpi.rank == 0)
        rc = (job_path != o.resume && file_spare(s->path, job_path, e)) ||
                     results_can_create(s->path, force, e)
                 ? -1
                 : 0;
    return mpx_agree(&s->mpi, rc, e) ? -1 : spare_inputs(s, e);
}

/* How far estimates may be off; with --risk every rank plans as if they were. */
static int take_risk(struct session *s, struct arena *a, struct err *e) {
    struct cli_gauge *g = &s->gauge;
    struct workload *w = &s->job.workload;
    const char *estimator = cli_estimators(false)[o.estimator];
    g->expected = *w;
    g->by = (struct cli_estimator){.index = o.estimator};
    if (o.risk <= 0) {
        if (s->mpi.rank == 0) cli_doubt_load(&g->doubt, w, estimator, o.inputs, a);
        return 0;
    }
    size_t size = 0;
    const char *path = cli_doubt_path(o.inputs, a, e);
    if (mpx_agree(&s->mpi, path ? 0 : -1, e)) return -1;
    const char *text = mpx_read(&s->mpi, file_read_text, path, &size, a, e);
    if (!text) return -1;
    struct workload *then = NULL;
    if (!cli_doubt_of(&g->doubt, w, estimator, path, text, a, e))
        then = cli_doubt_world(&g->doubt, w, o.risk, a, e);
    if (mpx_agree(&s->mpi, then ? 0 : -1, e)) return -1;
    *w = *then;
    return 0;
}

static void warn_crowd(const struct mpx *m) {
    int cpus = m->cpus * m->node_ranks, threads = o.threads * m->node_ranks;
    if (m->rank == 0 && threads > cpus && !o.quiet)
        fprintf(stderr, "sailor: %d threads on %d CPUs of this node: fewer would be faster (--threads)\n",
                threads, cpus);
}

/* ---- running ---- */

static void show(struct session *s, int i, struct arena *a) {
    if (s->mpi.rank) return;
    if (s->mode->show)
        s->mode->show(s->mode->ctx, &s->results, i, &s->gauge, a);
    else if (o.json)
        show_row_json(&s->results, i, &s->gauge, stdout);
    else
        show_row(&s->results, i, &s->gauge, stdout);
}

/* Loads what the planner needs beyond the job, on the ranks that solve. */
static int load_extra(const struct session *s, const void **extra, struct arena *a, struct err *e) {
    const struct planner *pl = planner();
    int rc = 0;
    if (pl->load && (can(CAN_RANKS) || s->mpi.rank == 0)) {
        const char *inputs = inputs_dir(o.inputs, a, e);
        rc = !inputs || pl->load(&s->job.workload, inputs, extra, a, e) ? -1 : 0;
    }
    return mpx_agree(&s->mpi, rc, e);
}

/* Solves row i on every rank that the planner can use. 1 on all of them = stopped early. */
static int solve_row(struct session *s, int i, const void *extra, struct arena *a, struct err *e) {
    const struct planner *pl = planner();
    struct row_result *row = &s->results.row[i];
    struct search_hooks hooks = {
        .ctx = s, .progress = on_progress, .checkpoint = s->path ? on_checkpoint : NULL, .stop = should_stop};
    struct question q = question_of(&s->job, i);
    struct planner_run run = {.estimator = (enum estimator)o.estimator, .threads = o.threads};
    q.hooks = &hooks;
    q.corrected = o.corrected;
    q.states = o.states;
    q.extra = extra;
    q.top_k = o.top;
    q.gap = o.gap;
    if (s->warm.n) q.n_warm = warm_seeds(&s->warm, &s->job, i, &q.warm, a);
    s->row = i;
    s->rate_at_s = 0;
    s->rate_plans = (double)row->plans_evaluated;
    if (can(CAN_RANKS)) {
        run.comm = s->mpi.comm;
        return pl->solve(pl, &q, &run, row, a, e);
    }
    int rc = s->mpi.rank == 0 ? pl->solve(pl, &q, &run, row, a, e) : 0;
    return mpx_agree(&s->mpi, rc < 0 ? -1 : 0, e) ? -1 : mpx_same_int(&s->mpi, rc);
}

/* A row covered by earlier answers needs no search, unless its own search was begun: that continues. */
static bool answer_known(struct session *s, int i, struct arena *a) {
    struct row_result *row = &s->results.row[i];
    return can(CAN_WARM) && !row->n_unit && warm_answers(&s->warm, &s->job, i, o.gap, row, a);
}

/* Solves all unfinished rows. 1 = stopped early. */
static int run_rows(struct session *s, struct arena *a, struct err *e) {
    const void *extra = NULL;
    if (load_extra(s, &extra, a, e) || spare_inputs(s, e)) return -1;
    for (int i = 0; i < s->job.n_pool; i++) {
        struct row_result *row = &s->results.row[i];
        int rc = finished(row) || answer_known(s, i, a) ? 0 : solve_row(s, i, extra, a, e);
        if (rc < 0) return -1;
        if (s->mode->chain && can(CAN_WARM)) warm_add(&s->warm, &s->results, i, a);
        if (s->mode->answered && (rc == 0 || show_best(row)))
            s->mode->answered(s->mode->ctx, &s->results, i, a);
        if (rc == 0 || show_best(row)) show(s, i, a);
        if (s->mpi.rank == 0) remark_row(row, i, can(CAN_PROVE), o.gap);
        if (rc > 0) return 1;
        rc = s->mpi.rank == 0 && i + 1 < s->job.n_pool ? on_checkpoint(s, row, e) : 0;
        if (mpx_agree(&s->mpi, rc, e)) return -1;
    }
    return 0;
}

static void say_stopped(const struct session *s, struct arena *a) {
    int done = 0;
    for (int i = 0; i < s->job.n_pool; i++) done += finished(&s->results.row[i]);
    const char *by = stop_signal ? strsignal(stop_signal) : "time limit";
    fprintf(stderr, "sailor: stopped (%s) after %.1f s, %d of %d rows proven", by, now_s() - s->started_s,
            done, s->job.n_pool);
    if (!can(CAN_RESUME))
        fprintf(stderr, "; the planner %s cannot continue it\n", planner()->name);
    else if (s->path)
        fprintf(stderr, "; sailor plan --resume %s continues\n",
                text_printable(text_shell_word(s->path, a), a));
    else
        fprintf(stderr, "; without -o this cannot be continued\n");
}

/* If no row has a plan: EXIT_NOPLAN with the reason, or EXIT_STOPPED if the search gave up undecided. */
static int check_any_plan(const struct session *s, const char *job_path, struct err *e) {
    for (int i = 0; i < s->job.n_pool; i++)
        if (show_best(&s->results.row[i])) return 0;
    const char *why = s->job.n_pool && s->results.row[0].reason ? s->results.row[0].reason : "reason unknown";
    int code = EXIT_NOPLAN;
    for (int i = 0; i < s->job.n_pool; i++)
        if (s->results.row[i].status == ROW_TODO) code = EXIT_STOPPED;
    return err_set(e, code, "%s: no plan for any row: %s%s", job_path, s->job.n_pool > 1 ? "row 0: " : "",
                   why);
}

/* Options set neither on the command line nor in the file being resumed. */
static void default_options(void) {
    if (o.gap < 0) o.gap = 0.01;
    if (!o.top) o.top = 1;
    if (o.estimator < 0) o.estimator = (int)planner()->estimator;
}

static int plan(struct session *s, int argc, char **argv, const char *job_path, struct earlier *earlier,
                struct arena *a, struct err *e) {
    struct mpx *m = &s->mpi;
    if (o.resume && read_earlier(s, earlier, e)) return -1;
    default_options();
    if (load_job(s, job_path ? job_path : o.resume, job_path ? NULL : earlier->as_stored.inputs_json, a, e))
        return -1;
    if (!job_path) job_path = o.resume;
    if (m->rank == 0) {
        if (job_line_given(&o.line)) job_line_remark(&o.line, &s->job);
        remark_job(&s->job, job_path);
        cli_note_estimated(&s->job.workload, NULL);
        if (o.estimator == ESTIMATOR_NATIVE) cli_note_no_sheet(&s->job.workload, NULL);
        cli_peaks_load(&s->gauge.peaks, s->job.workload.site, s->job.workload.element_bytes, o.inputs, true);
        remark_times(&s->job.workload, &s->gauge.peaks, job_path);
    }
    if (take_risk(s, a, e)) return -1;
    if (!o.threads) o.threads = mpx_threads(m);
    o.threads = mpx_same_int(m, o.threads);
    warn_crowd(m);
    describe_run(s, argc, argv, a);
    if (read_warm(s, a, e)) return -1;
    if (o.resume && continue_earlier(s, earlier, a, e)) return -1;
    bool answered = s->results.complete, rewrite = !answered || (o.out && strcmp(o.out, o.resume));
    if (rewrite && open_output(s, job_path, e)) return -1;
    catch_signals();
    int rc = 0;
    if (answered)
        for (int i = 0; i < s->job.n_pool; i++) show(s, i, a);
    else
        rc = run_rows(s, a, e);
    if (rc < 0) return -1;
    if (m->rank == 0 && !o.json && !s->mode->end) show_rows(&s->results, &s->gauge, stdout);
    if (s->path && rewrite && mpx_agree(m, m->rank == 0 ? store(s, rc == 0, e) : 0, e)) return -1;
    if (m->rank == 0 && s->mode->end) s->mode->end(s->mode->ctx, &s->results, &s->gauge, a);
    if (rc == 0) /* only rank 0 is sure to have the rows */
        return mpx_agree(m, m->rank == 0 ? check_any_plan(s, job_path, e) : 0, e);
    if (m->rank == 0) say_stopped(s, a);
    e->code = EXIT_STOPPED;
    return 1;
}

int plan_main(const struct plan_mode *mode, int argc, char **argv) {
    struct arena a = {0};
    struct err e = {0};
    struct earlier earlier = {0};
    struct session s = {.mode = mode, .started_s = now_s(), .progress_s = now_s(), .checkpoint_s = now_s()};
    const char **file;
    int n, status;
    for (int i = 0; i < OBJECTIVE_N; i++) objectives[i] = objective_name[i];
    /* a frontier has no best plan, so its rows cannot be compared */
    for (int i = 0; i < OBJECTIVE_FRONTIER; i++) objectives_of_rows[i] = objective_name[i];
    struct opt_command command = *mode->command;
    for (int i = 0; i < command.n_opt; i++) {
        if (!strcmp(mode->options[i].name, "objective"))
            mode->options[i].choices = mode->derive ? objectives_of_rows : objectives;
        if (!strcmp(mode->options[i].name, "estimator")) mode->options[i].choices = cli_estimators(false);
        if (!strcmp(mode->options[i].name, "planner")) mode->options[i].choices = cli_planners();
    }
    if (!command.details) command.details = details(&a);
    o.objective = o.estimator = o.line.dtype = o.line.runner = -1;
    o.time_limit = INFINITY;
    o.gap = -1;
    if (!program_parse(&command, argc, argv, &file, &n, &a, &status)) return arena_free(&a), status;
    if (check_options(&a, &e)) return arena_free(&a), program_misuse(&command, &e);
    bool line = job_line_given(&o.line);
    if (line && n) {
        err_set(&e, EXIT_INPUT, "plan: %.200s and a job on the command line; expected one of the two",
                file[0]);
        return arena_free(&a), program_misuse(&command, &e);
    }
    if (!n && !o.resume && !line) {
        err_set(&e, EXIT_INPUT, "plan: missing argument; usage: sailor plan %s", plan_command.usage);
        return arena_free(&a), program_misuse(&command, &e);
    }
    int rc = mpx_start(&s.mpi, &e);
    const char *job = line ? job_line_name : n ? job_path(file[0], o.inputs, &a) : NULL;
    if (!rc) rc = plan(&s, argc, argv, job, &earlier, &a, &e);
    arena_free(&earlier.arena);
    cli_estimator_free(&s.gauge.by);
    if (rc) status = e.code;
    if (rc < 0 && s.mpi.rank == 0) program_fail(&command, &e);
    /* Under srun --kill-on-bad-exit, the first rank to leave with 75 takes down the others: nothing may come
     * after this. */
    fflush(stdout);
    if (status == EXIT_STOPPED && s.mpi.comm) mpx_leave(&s.mpi, status);
    mpx_finish(&s.mpi);
    arena_free(&a);
    return status;
}

int cmd_plan(int argc, char **argv) {
    const struct plan_mode mode = {.command = &plan_command, .options = options};
    return plan_main(&mode, argc, argv);
}
