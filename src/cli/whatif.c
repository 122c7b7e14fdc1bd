#include "base/names.h"
#include "base/text.h"
#include "cli/plan.h"
#include "formats/job_rows.h"
#include "io/json.h"
#include "io/table.h"
#include "search/goal.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* sailor whatif: makes a job of many rows from one row, plans it like any job and prints one table. */

static struct {
    struct opt_list add;
    int row;
} w;

static struct opt options[] = {
    OPTION_GROUP("what to compare"),
    OPTION_LIST(0, "add", "ZONE/GPU:N", &w.add,
                "add a row with N more GPUs of that type (N < 0: fewer); commas separate several changes; "
                "ZONE/ is needed only if the job has the type in several zones. May be given several times. "
                "Default: the rows of the job as they are or, if there is only one, rows with one more node "
                "of each of its GPU types and zones"),
    OPTION_INT(0, "row", "R", 0, 1e9, &w.row, "the pool row that --add changes, from 0 (default 0)"),
    PLAN_OPTIONS_OF_ROWS,
};
const struct opt_command whatif_command = {
    .usage = "JOB [options]          (alone, or under mpirun/srun)",
    .about = "Plan a pool as it is, and with more GPUs or fewer: one table of speed, cost and gain. It says "
             "which of the added GPUs are worth most.",
    .details = "examples:\n"
               "  sailor whatif fig8b --add A100-40:16 --add V100-16:16 --add A100-40:8,V100-16:-24\n"
               "  sailor whatif JOB.json                    one more node of each GPU type and zone\n"
               "\n"
               "exit status: 0 done; 1 internal failure or unwritable output; 2 bad usage or input; 3 no row "
               "has a plan;\n"
               "75 stopped early\n",
    OPT_COMMAND("whatif", options, 1, 1),
};

/* ---- the rows ----------------------------------------------------------------------- */

/* Labels for the comparison. */
struct whatif {
    const char **label; /* one per row; NULL: the job's own rows */
};

static int no_such(const char *text, const char *what, const char *name, const char *const *names, int n,
                   const char *site, struct err *e) {
    const char *near = name_nearest(name, names, n);
    return err_set(e, EXIT_INPUT, "whatif: --add '%s': unknown %s \"%s\"; expected %s%s%s", text, what, name,
                   near ? "\"" : "one of site ", near ? near : site, near ? "\"?" : "");
}

/* The zone of a type if none is named: the only one where the row has it, or the row's only zone. */
static int only_zone(const struct pool *p, const struct site *s, int gpu) {
    int of_type = -1, any = -1, n_type = 0, n_any = 0;
    for (int z = 0; z < s->n_zone; z++) {
        bool here = false, listed = false;
        for (int i = 0; i < p->n_entry; i++) {
            if (p->entry[i].zone != z) continue;
            listed = true;
            here |= p->entry[i].gpu == gpu;
        }
        if (here) {
            of_type = z;
            n_type++;
        }
        if (listed) {
            any = z;
            n_any++;
        }
    }
    return n_type == 1 ? of_type : n_type == 0 && n_any == 1 ? any : -1;
}

/* One "ZONE/GPU:N" of an --add. */
static int add_one(const char *text, char *part, const struct job *job, struct pool_change *row,
                   const char **label, struct arena *a, struct err *e) {
    const struct site *s = job->workload.site;
    const struct pool *pool = &job->pool[w.row];
    char *colon = strrchr(part, ':'), *slash = strchr(part, '/');
    const char *gpus[GPUS_MAX], *type = slash ? slash + 1 : part;
    double n;
    for (int g = 0; g < s->n_gpu; g++) gpus[g] = s->gpu[g].name;
    if (!colon || (slash && slash > colon))
        return err_set(e, EXIT_INPUT, "whatif: --add '%s': expected ZONE/GPU:N or GPU:N", text);
    *colon = '\0';
    if (slash) *slash = '\0';
    if (!opt_number(colon + 1 + (colon[1] == '+'), &n) || n != floor(n) || n == 0 || fabs(n) > 1000000)
        return err_set(e, EXIT_INPUT,
                       "whatif: --add '%s': '%s': expected a whole number up to 1000000, not 0", text,
                       colon + 1);
    int g = name_index(gpus, s->n_gpu, type), z;
    if (g < 0) return no_such(text, "GPU type", type, gpus, s->n_gpu, s->name, e);
    if (slash && (z = name_index(s->zone, s->n_zone, part)) < 0)
        return no_such(text, "zone", part, s->zone, s->n_zone, s->name, e);
    if (!slash && (z = only_zone(pool, s, g)) < 0)
        return err_set(e, EXIT_INPUT,
                       "whatif: --add '%s': row %d does not say in which zone; expected ZONE/%s:%s", text,
                       w.row, type, colon + 1);
    int missing = pool_change_add(row, s, z, g, (int)n);
    if (missing)
        return err_set(
            e, EXIT_INPUT,
            "whatif: --add '%s': row %d has %d %s in zone %s; expected at most that many to be taken away",
            text, w.row, (int)-n + missing, gpus[g], s->zone[z]);
    *label = arena_printf(a, "%s%s%+d %s %s", *label, **label ? ", " : "", (int)n, gpus[g], s->zone[z]);
    return 0;
}

static int add_row(const char *text, const struct job *job, struct pool_change *row, const char **label,
                   struct arena *a, struct err *e) {
    char *rest = arena_strdup(a, text), *part;
    pool_change_begin(row, &job->pool[w.row], job->workload.site, a);
    *label = "";
    while ((part = strsep(&rest, ",")))
        if (add_one(text, part, job, row, label, a, e)) return -1;
    return 0;
}

/* Adds a row with one more node for each (zone, type) of the only row. */
static int add_nodes(const struct job *job, struct pool_change *row, const char **label, struct arena *a) {
    const struct site *s = job->workload.site;
    int n = 0;
    for (int k = 0; k < s->n_zone * s->n_gpu; k++) {
        if (!job->pool[0].count[k]) continue;
        int more = s->gpu[k % s->n_gpu].gpus_per_node;
        pool_change_begin(&row[n], &job->pool[0], s, a);
        pool_change_add(&row[n], s, k / s->n_gpu, k % s->n_gpu, more);
        label[n++] = arena_printf(a, "%+d %s %s", more, s->gpu[k % s->n_gpu].name, s->zone[k / s->n_gpu]);
    }
    return n;
}

static const char *derive(void *ctx, const struct job *job, const char *text, const char *path,
                          struct arena *a, struct err *e) {
    struct whatif *x = ctx;
    const struct site *s = job->workload.site;
    if (plan_arguments.objective < 0 && job->objective == OBJECTIVE_FRONTIER)
        return err_set(e, EXIT_INPUT, "%s: /objective: a frontier has no gain; expected throughput or cost",
                       path),
               NULL;
    if (w.row >= job->n_pool)
        return err_set(e, EXIT_INPUT, "%s: has no row %d; expected 0 to %d", path, w.row, job->n_pool - 1),
               NULL;
    if (!w.add.n && job->n_pool > 1) return text;
    int n = 1, most = w.add.n ? w.add.n : s->n_zone * s->n_gpu;
    struct pool_change *row = ARENA_ARRAY(a, struct pool_change, most + 1);
    x->label = ARENA_ARRAY(a, const char *, most + 1);
    pool_change_begin(&row[0], &job->pool[w.row], s, a);
    for (int i = 0; i < w.add.n; i++, n++)
        if (add_row(w.add.value[i], job, &row[n], &x->label[n], a, e)) return NULL;
    if (!w.add.n) n += add_nodes(job, row + 1, x->label + 1, a);
    return job_with_rows(path, text, row, n, s, a, e);
}

/* ---- the table ---------------------------------------------------------------------- */

static long gpus_of(const struct results *r, int i) {
    const struct site *s = r->job->workload.site;
    long n = 0;
    for (int k = 0; k < s->n_zone * s->n_gpu; k++) n += r->job->pool[i].count[k];
    return n;
}

static long gpus_added(const struct results *r, int i) { return gpus_of(r, i) - gpus_of(r, 0); }

/* The fraction by which row i is faster or cheaper than the first; NAN if either has no plan. */
static double gain(const struct results *r, int i) {
    const struct found_plan *x = show_best(&r->row[0]), *y = show_best(&r->row[i]);
    if (!x || !y) return NAN;
    if (r->objective != OBJECTIVE_COST) return x->est.iteration_time_s / y->est.iteration_time_s - 1;
    return x->est.cost_usd == y->est.cost_usd ? 0 : 1 - y->est.cost_usd / x->est.cost_usd;
}

/* Also NAN if fewer GPUs are better or more are worse. */
static double gain_per_gpu(const struct results *r, int i) {
    long n = gpus_added(r, i);
    double each = n ? gain(r, i) / (double)n : NAN;
    return each >= 0 ? each : NAN;
}

static double usd_per_tokens(const struct results *r, const struct found_plan *f) {
    const struct workload *k = &r->job->workload;
    double tokens = (double)k->global_batch_size * k->model->sequence_length;
    return f && tokens > 0 ? f->est.cost_usd / tokens * 1e9 : NAN;
}

/* If the gain per added GPU is equal, the cheaper (or, for cost, faster) plan wins. */
static bool worth_more(const struct results *r, int i, int than) {
    const struct estimate *x = &show_best(&r->row[i])->est, *y = &show_best(&r->row[than])->est;
    double one = gain_per_gpu(r, i), other = gain_per_gpu(r, than);
    if (fabs(one - other) > PROOF_SLACK) return one > other;
    return r->objective == OBJECTIVE_COST ? x->iteration_time_s < y->iteration_time_s * (1 - PROOF_SLACK)
                                          : x->cost_usd < y->cost_usd * (1 - PROOF_SLACK);
}

/* The row with the highest gain per added GPU, -1 if none gains anything. */
static int worth_most(const struct results *r) {
    int best = -1;
    for (int i = 1; i < r->n_row; i++)
        if (gpus_added(r, i) > 0 && gain(r, i) > PROOF_SLACK && (best < 0 || worth_more(r, i, best)))
            best = i;
    return best;
}

static const char *label_of(const struct whatif *x, const struct results *r, int i, struct arena *a) {
    if (x->label && i) return x->label[i];
    const char *gpus = show_gpus(r->job->pool[i].count, r->job->workload.site, a);
    return *gpus ? gpus : "no GPUs";
}

static bool looked_at(const struct results *r, int i) {
    return r->row[i].status != ROW_TODO || show_best(&r->row[i]);
}

static void end_json(const struct whatif *x, const struct results *r, struct cli_gauge *gauge,
                     struct arena *a) {
    int most = worth_most(r);
    for (int i = 0; i < r->n_row; i++) {
        const struct found_plan *f = show_best(&r->row[i]);
        if (!looked_at(r, i)) continue;
        cJSON *o = show_row_object(r, i, gauge);
        cJSON_AddStringToObject(o, "label", label_of(x, r, i, a));
        json_add_number(o, "gpus_added", (double)gpus_added(r, i));
        json_add_number(o, "usd_per_1e9_tokens", usd_per_tokens(r, f));
        json_add_number(o, "gain", gain(r, i));
        json_add_number(o, "gain_per_gpu", gain_per_gpu(r, i));
        cJSON_AddBoolToObject(o, "worth_most", i == most);
        json_line(o, stdout);
    }
}

static const char *percent(double v, int digits, struct arena *a) {
    return !isfinite(v) ? "-" : v == 0 ? "0" : arena_printf(a, "%+.*f", digits, 100 * v);
}

static void end(void *ctx, const struct results *r, struct cli_gauge *gauge, struct arena *a) {
    const struct whatif *x = ctx;
    if (plan_arguments.json) {
        end_json(x, r, gauge, a);
        return;
    }
    const char *zone = show_only_zone(r->job);
    struct table *t = table_new(
        arena_printf(a, "row|<pool%s%s|GPUs|used|iterations/s|USD|USD/1e9 tokens|gain %%|%% per GPU|gap %%",
                     zone ? " in " : "", zone ? zone : ""),
        a);
    for (int i = 0; i < r->n_row; i++) {
        const struct found_plan *f = show_best(&r->row[i]);
        if (!looked_at(r, i)) continue;
        table_cell(t, "%d", i);
        table_cell(t, "%s", show_without_zone(label_of(x, r, i, a), zone, a));
        table_cell(t, "%ld", gpus_of(r, i));
        table_cell(t, "%s",
                   f ? arena_printf(a, "%d",
                                    cli_use_of(&r->job->workload, f->plan, &f->est, &gauge->peaks, NULL).gpus)
                     : "-");
        table_cell(t, "%s",
                   f ? show_per_s(1 / f->est.iteration_time_s, a) : row_status_name[r->row[i].status]);
        table_cell(t, "%s", show_usd(f ? f->est.cost_usd : NAN, a));
        table_cell(t, "%s", show_usd(usd_per_tokens(r, f), a));
        table_cell(t, "%s", percent(gain(r, i), 2, a));
        table_cell(t, "%s", percent(gain_per_gpu(r, i), 3, a));
        table_cell(t, "%s", f ? table_number(100 * r->row[i].gap, 3, a) : "-");
    }
    table_print(t, stdout);
    int most = worth_most(r);
    if (most >= 0)
        table_text(stdout, "worth most: %s: %s %% %s for %ld GPUs, %s %% each", label_of(x, r, most, a),
                   percent(gain(r, most), 2, a), r->objective == OBJECTIVE_COST ? "cheaper" : "faster",
                   gpus_added(r, most), percent(gain_per_gpu(r, most), 3, a));
    else if (r->n_row > 1)
        printf("none of the added GPUs is worth anything\n");
}

/* Everything is printed at the end. */
static void no_show(void *ctx, const struct results *r, int i, struct cli_gauge *gauge, struct arena *a) {
    (void)ctx;
    (void)r;
    (void)i;
    (void)gauge;
    (void)a;
}

int cmd_whatif(int argc, char **argv) {
    struct whatif x = {0};
    const struct plan_mode mode = {.command = &whatif_command,
                                   .options = options,
                                   .chain = true,
                                   .ctx = &x,
                                   .derive = derive,
                                   .show = no_show,
                                   .end = end};
    return plan_main(&mode, argc, argv);
}
