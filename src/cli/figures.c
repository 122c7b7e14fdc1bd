/* Repeats the published comparison: every planner of each figure under one simulator, every estimator on the
 * measured runs, and the time/cost frontier that the exact search adds. Writes one HDF5 file of flat tables
 * for analysis/figures.py to draw; the tables on stdout show published numbers beside ours. */
#include "base/clock.h"
#include "cli/cli.h"
#include "formats/figures_schema.h"
#include "formats/planjson.h"
#include "formats/published.h"
#include "io/table.h"
#include "planners/planner.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    const char *out, *inputs, *figure;
    bool force, corrected, quiet;
    int threads;
    double frontier_s;
} o;

static struct opt options[] = {
    OPTION_TEXT('o', "output", "OUT.h5", &o.out, "write the numbers to this HDF5 file; default figures.h5"),
    PROGRAM_OPTION_FORCE(&o.force),
    OPTION_TEXT(0, "figure", "NAME", &o.figure,
                "run one figure only: fig5, fig7, fig8b, fig10, fig11 or fig12"),
    OPTION_FLAG(0, "corrected", &o.corrected,
                "run the published planners and estimators without the defects of their code"),
    OPTION_REAL(0, "frontier-limit", "S", 0, 1e9, &o.frontier_s,
                "stop the search of each time/cost frontier after S seconds (default 60); 0 leaves the "
                "frontiers out"),
    OPTION_INT(0, "threads", "N", 1, 4096, &o.threads,
               "threads of the exact search; default: $OMP_NUM_THREADS, then all CPUs"),
    OPTION_FLAG('q', "quiet", &o.quiet, "print no progress lines"),
    PROGRAM_OPTION_INPUTS(&o.inputs),
};
const struct opt_command figures_command = {
    .usage = "[-o OUT.h5] [options]",
    .about = "Run the published comparison again: all planners of figures 7, 8b, 10, 11 and 12 under one "
             "simulator, all estimators on the "
             "measured runs of figures 5a and 5b.",
    .details = "examples:\n"
               "  sailor figures -o figures.h5 && sailor-plot figures figures.h5 -o figures\n"
               "  sailor figures --figure fig7 --corrected -o fig7.h5\n",
    OPT_COMMAND("figures", options, 0, 0),
};

/* The planners that the paper shows, and the exact search. */
static const struct figure {
    const char *name, *planner[12];
} figures[] = {
    {"fig7",
     {"varuna", "amp", "piper", "galvatron", "aceso", "flashflex", "metis", "dtfm", "sailor", "exact", NULL}},
    {"fig8b", {"amp", "flashflex", "metis", "sailor", "exact", NULL}},
    {"fig10", {"dtfm", "sailor", "exact", NULL}},
    {"fig11", {"galvatron", "amp", "flashflex", "metis", "dtfm", "sailor", "exact", NULL}},
    {"fig12", {"galvatron", "amp", "flashflex", "metis", "dtfm", "sailor", "exact", NULL}},
};
/* Rows whose frontier is drawn; figures 11 and 12 share a pool. */
static const struct {
    const char *figure;
    int row;
} frontiers[] = {{"fig7", 2}, {"fig8b", 0}, {"fig12", 0}};

/* ---- running ---- */

struct figures {
    struct published published;
    struct rows table[FIGURES_TABLES];
    struct arena *a;
    struct err *e;
};

static const char *plan_text(const struct plan *p, const struct workload *w, struct arena *a) {
    cJSON *json = plan_to_json(p, w);
    char *text = cJSON_PrintUnformatted(json);
    const char *out = arena_strdup(a, text ? text : "");
    cJSON_free(text);
    cJSON_Delete(json);
    return out;
}

/* Every planner is judged by the published simulator. */
static int solve(struct figures *f, const struct planner *pl, struct question *q, const char *inputs,
                 struct row_result *out) {
    struct planner_run how = {.estimator = ESTIMATOR_SAILOR, .threads = o.threads};
    *out = (struct row_result){0};
    q->gap = .01;
    q->corrected = o.corrected;
    if (pl->load && pl->load(q->w, inputs, &q->extra, f->a, f->e)) return -1;
    return pl->solve(pl, q, &how, out, f->a, f->e);
}

static void keep_walk(struct figures *f, const char *figure, const struct job *j, int row,
                      const struct planner *pl, const struct row_result *r) {
    const struct published_walk *was = published_walk(&f->published, figure, row, pl->name);
    bool proven = pl->can & CAN_PROVE;
    const struct found_plan *best = show_best(r);
    const struct site *s = j->workload.site;
    struct walk_rec *w = rows_add(&f->table[FIGURES_WALK], &figures_table_def[FIGURES_WALK], f->a);
    *w = (struct walk_rec){.walk = f->table[FIGURES_WALK].n - 1,
                           .figure = figure,
                           .row = row,
                           .pool = show_gpus(j->pool[row].count, s, f->a),
                           .planner = pl->name,
                           .status = (unsigned char)r->status,
                           .reason = r->reason ? r->reason : "",
                           .note = r->note ? r->note : "",
                           .plan = "",
                           .iteration_time_s = NAN,
                           .cost_usd_per_iteration = NAN,
                           .egress_usd = NAN,
                           .planner_time_s = NAN,
                           .planner_cost_usd = NAN,
                           .lower_bound = proven ? r->lower_bound : NAN,
                           .gap = proven ? r->gap : NAN,
                           .oom_plans = r->oom_plans,
                           .search_s = r->search_s,
                           .plans_evaluated = r->plans_evaluated,
                           .published_throughput_per_s = was ? was->throughput_per_s : NAN,
                           .published_cost_usd =
                               was && was->throughput_per_s > 0 ? was->cost_usd_per_iteration : NAN,
                           .published_oom_plans = was ? was->oom_plans : -1,
                           .published_search_s = was ? was->search_s : NAN};
    if (!best) return;
    const struct plan *p = best->plan;
    int *used = ARENA_ARRAY(f->a, int, s->n_zone * s->n_gpu);
    plan_gpus(p, s, used);
    for (int k = 0; k < s->n_zone * s->n_gpu; k++) w->gpus += used[k];
    w->iteration_time_s = best->est.iteration_time_s;
    w->throughput_per_s = 1 / best->est.iteration_time_s;
    w->cost_usd_per_iteration = best->est.cost_usd;
    w->egress_usd = best->est.egress_usd;
    w->planner_time_s = best->planner_time_s;
    w->planner_cost_usd = best->planner_cost_usd;
    w->micro_batch_size = p->micro_batch_size;
    w->n_pipeline = p->n_pipeline;
    w->n_stage = p->pipeline[0].n_stage;
    w->data_parallel = stage_replicas(&p->pipeline[0].stage[0]);
    w->plan = plan_text(p, &j->workload, f->a);
}

static int run_cell(struct figures *f, const struct figure *fig, const struct job *j, int row,
                    const struct planner *pl, const char *inputs) {
    struct question q = question_of(j, row);
    struct row_result r;
    if (pl->lacks) {
        if (!o.quiet)
            fprintf(stderr, "%s row %d %s: left out: built without %s\n", fig->name, row, pl->name,
                    pl->lacks);
        return 0;
    }
    if (solve(f, pl, &q, inputs, &r)) return -1;
    keep_walk(f, fig->name, j, row, pl, &r);
    if (!o.quiet)
        fprintf(stderr, "%s row %d %s: %s in %.3g s\n", fig->name, row, pl->name, row_status_name[r.status],
                r.search_s);
    return 0;
}

static int run_figure(struct figures *f, const struct figure *fig, const char *inputs) {
    struct job j;
    if (job_load(arena_printf(f->a, "%s/%s.json", inputs, fig->name), NULL, inputs, true, &j, f->a, f->e))
        return -1;
    for (int row = 0; row < j.n_pool; row++)
        for (int k = 0; fig->planner[k]; k++) {
            const struct planner *pl = planner_find(fig->planner[k]);
            if (pl && run_cell(f, fig, &j, row, pl, inputs)) return -1;
        }
    return 0;
}

static bool over(void *ctx) { return coarse_now_s() > *(const double *)ctx; }

static int run_frontier(struct figures *f, const char *figure, int row, const char *inputs) {
    struct job j;
    double deadline_s;
    struct search_hooks hooks = {.ctx = &deadline_s, .stop = over};
    struct row_result r;
    if (job_load(arena_printf(f->a, "%s/%s.json", inputs, figure), NULL, inputs, false, &j, f->a, f->e))
        return -1;
    struct question asked = question_of(&j, row);
    asked.objective = OBJECTIVE_FRONTIER;
    asked.max_usd_per_iteration = INFINITY;
    asked.min_iterations_per_s = 0;
    asked.hooks = &hooks;
    deadline_s = now_s() + o.frontier_s;
    if (solve(f, planner_that_can(CAN_FRONTIER), &asked, inputs, &r) < 0) return -1;
    if (!o.quiet)
        fprintf(stderr, "%s row %d frontier: %d points, gap %.3g %%, %.3g s\n", figure, row, r.n_frontier,
                100 * r.gap, r.search_s);
    const struct site *s = j.workload.site;
    int *used = ARENA_ARRAY(f->a, int, s->n_zone * s->n_gpu);
    for (int k = 0; k < r.n_frontier; k++) {
        const struct found_plan *x = &r.frontier[k];
        struct frontier_rec *q =
            rows_add(&f->table[FIGURES_FRONTIER], &figures_table_def[FIGURES_FRONTIER], f->a);
        plan_gpus(x->plan, s, used);
        *q = (struct frontier_rec){.point = f->table[FIGURES_FRONTIER].n - 1,
                                   .row = row,
                                   .figure = figure,
                                   .types = show_gpus(used, s, f->a),
                                   .plan = plan_text(x->plan, &j.workload, f->a),
                                   .iteration_time_s = x->est.iteration_time_s,
                                   .throughput_per_s = 1 / x->est.iteration_time_s,
                                   .cost_usd_per_iteration = x->est.cost_usd,
                                   .gap = r.gap,
                                   .search_s = r.search_s};
    }
    return 0;
}

static int run_estimators(struct figures *f, const char *inputs) {
    const char *const *names = cli_estimators(true);
    struct plan_entry *run;
    int n;
    if (plans_load(arena_printf(f->a, "%s/validation/opt-350m-gh200.json", inputs), inputs, &run, &n, f->a,
                   f->e))
        return -1;
    for (int k = 0; names[k]; k++) {
        struct cli_estimator by = {.index = k, .corrected = o.corrected, .inputs = inputs};
        for (int i = 0; i < n; i++) {
            struct estimate est = {0};
            const char *name = run[i].plan->name ? run[i].plan->name : run[i].where;
            if (cli_estimate(&by, run[i].workload, run[i].plan, &est, f->e))
                return cli_estimator_free(&by), -1;
            const struct published_estimate *was = published_estimate(&f->published, name, names[k]);
            struct estimate_rec *x =
                rows_add(&f->table[FIGURES_ESTIMATE], &figures_table_def[FIGURES_ESTIMATE], f->a);
            *x = (struct estimate_rec){
                .estimate = f->table[FIGURES_ESTIMATE].n - 1,
                .run = name,
                .estimator = names[k],
                .measured_time_s = run[i].measured_time_s,
                .measured_peak_bytes = run[i].measured_peak_bytes,
                .iteration_time_s = est.iteration_time_s,
                .peak_memory_bytes = est.peak_memory_bytes,
                .time_error_percent = error_percent(est.iteration_time_s, run[i].measured_time_s),
                .memory_error_percent = error_percent(est.peak_memory_bytes, run[i].measured_peak_bytes),
                .published_time_s = was ? was->iteration_time_s : NAN,
                .published_peak_bytes = was ? was->peak_memory_bytes : NAN};
        }
        cli_estimator_free(&by);
    }
    return 0;
}

/* ---- showing and storing ---- */

static void show_walks(const struct figures *f) {
    struct table *t = table_new("<figure|row|<planner|iterations/s|published|USD/"
                                "iteration|published|OOM|published|search s|published|gap %|<note",
                                f->a);
    for (int i = 0; i < f->table[FIGURES_WALK].n; i++) {
        const struct walk_rec *w = REC(f->table, FIGURES_WALK, walk_rec, i);
        table_cell(t, "%s", w->figure);
        table_cell(t, "%d", w->row);
        table_cell(t, "%s", w->planner);
        table_cell(t, "%s",
                   w->throughput_per_s > 0 ? arena_printf(f->a, "%.5f", w->throughput_per_s) : "no plan");
        table_cell(t, "%s",
                   isnan(w->published_throughput_per_s)
                       ? "-"
                       : arena_printf(f->a, "%.5f", w->published_throughput_per_s));
        table_cell(t, "%s",
                   isnan(w->cost_usd_per_iteration) ? "-"
                                                    : arena_printf(f->a, "%.4f", w->cost_usd_per_iteration));
        table_cell(t, "%s",
                   isnan(w->published_cost_usd) ? "-" : arena_printf(f->a, "%.4f", w->published_cost_usd));
        table_cell(t, "%d", w->oom_plans);
        table_cell(t, "%s",
                   w->published_oom_plans < 0 ? "-" : arena_printf(f->a, "%d", w->published_oom_plans));
        table_cell(t, "%s", table_number(w->search_s, 3, f->a));
        table_cell(t, "%s", table_number(w->published_search_s, 3, f->a));
        table_cell(t, "%s", isnan(w->gap) ? "" : w->gap == 0 ? "0" : table_number(100 * w->gap, 2, f->a));
        table_cell(t, "%s", w->note);
    }
    if (f->table[FIGURES_WALK].n) table_print(t, stdout);
}

static void error_cells(struct table *t, const double *v, int n, struct arena *a) {
    struct error_summary x = error_summary(v, n, a);
    double cell[3] = {x.mean, x.median, x.max};
    for (int i = 0; i < 3; i++) table_cell(t, "%s", show_percent(cell[i], a));
}

static void show_estimates(const struct figures *f) {
    struct table *t = table_new("<estimator|runs|time error mean %|median|max|published mean|memory error "
                                "mean %|median|max|published mean",
                                f->a);
    int n = f->table[FIGURES_ESTIMATE].n;
    double *v = ARENA_ARRAY(f->a, double, n), *was = ARENA_ARRAY(f->a, double, n);
    for (int i = 0; i < n;) {
        const struct estimate_rec *first = REC(f->table, FIGURES_ESTIMATE, estimate_rec, i);
        int end = i;
        while (end < n &&
               !strcmp(REC(f->table, FIGURES_ESTIMATE, estimate_rec, end)->estimator, first->estimator))
            end++;
        table_cell(t, "%s", first->estimator);
        table_cell(t, "%d", end - i);
        for (int memory = 0; memory < 2; memory++) {
            for (int q = i; q < end; q++) {
                const struct estimate_rec *x = REC(f->table, FIGURES_ESTIMATE, estimate_rec, q);
                v[q] = memory ? x->memory_error_percent : x->time_error_percent;
                was[q] = memory ? error_percent(x->published_peak_bytes, x->measured_peak_bytes)
                                : error_percent(x->published_time_s, x->measured_time_s);
            }
            error_cells(t, v + i, end - i, f->a);
            table_cell(t, "%s", show_percent(error_summary(was + i, end - i, f->a).mean, f->a));
        }
        i = end;
    }
    if (n) {
        putchar('\n');
        table_print(t, stdout);
    }
}

static int store(const struct figures *f, double wall_s) {
    char host[256] = "", date[UTC_SIZE];
    now_utc(date);
    gethostname(host, sizeof host - 1);
    const struct h5_attr attr[] = {
        {"schema", COLUMN_TEXT, figures_schema_name, 0},
        {"title", COLUMN_TEXT,
         "the published comparison of planners and estimators, run again by sailor figures", 0},
        {"version", COLUMN_TEXT, program_version(), 0},
        {"host", COLUMN_TEXT, host, 0},
        {"written_utc", COLUMN_TEXT, date, 0},
        {"mode", COLUMN_TEXT, o.corrected ? "corrected" : "faithful", 0},
        {"estimator", COLUMN_TEXT, estimator_name[ESTIMATOR_SAILOR], 0},
        {"threads", COLUMN_I32, NULL, o.threads},
        {"wall_s", COLUMN_F64, NULL, wall_s},
    };
    struct h5_tables file = {.attr = attr,
                             .n_attr = sizeof attr / sizeof *attr,
                             .def = figures_table_def,
                             .rows = f->table,
                             .n_table = FIGURES_TABLES,
                             .objective_units = "s"};
    return h5_write_tables(o.out, &file, f->e);
}

static int run(const char **file, int n, struct arena *a, struct err *e) {
    (void)file;
    (void)n;
    struct figures f = {.a = a, .e = e};
    double from_s = now_s();
    bool any = false;
    if (!o.threads) o.threads = omp_get_max_threads();
    const char *inputs = inputs_dir(o.inputs, a, e);
    if (!inputs || file_can_create(o.out, o.force, "-f overwrites it", e)) return -1;
    if (published_load(arena_printf(a, "%s/published/figures.json", inputs), &f.published, a, e)) return -1;
    if (file_spare_read(o.out, NULL, e)) return -1;
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        if (!o.figure || !strcmp(o.figure, figures[i].name)) {
            any = true;
            if (run_figure(&f, &figures[i], inputs)) return -1;
        }
    for (size_t i = 0; i < sizeof frontiers / sizeof *frontiers && o.frontier_s > 0; i++)
        if ((!o.figure || !strcmp(o.figure, frontiers[i].figure)) &&
            run_frontier(&f, frontiers[i].figure, frontiers[i].row, inputs))
            return -1;
    if (!o.figure || !strcmp(o.figure, "fig5")) {
        any = true;
        if (run_estimators(&f, inputs)) return -1;
    }
    if (!any)
        return err_set(e, EXIT_INPUT,
                       "figures: --figure '%s': expected fig5, fig7, fig8b, fig10, fig11 or fig12", o.figure);
    if (file_spare_read(o.out, NULL, e)) return -1;
    show_walks(&f);
    show_estimates(&f);
    return store(&f, now_s() - from_s);
}

int cmd_figures(int argc, char **argv) {
    o.out = "figures.h5";
    o.frontier_s = 60;
    o.threads = 0;
    return program_run(&figures_command, argc, argv, run);
}
