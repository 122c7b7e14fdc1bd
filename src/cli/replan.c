#include "base/text.h"
#include "cli/plan.h"
#include "io/json.h"
#include "io/table.h"
#include "search/goal.h"
#include "sim/moves.h"

#include <math.h>
#include <string.h>

/* sailor replan: the rows of a job, in order, are the GPUs available over time. */

static struct { double hysteresis, horizon_s, move_s; } p;

static struct opt options[] = {
    OPTION_GROUP("when to move"),
    OPTION_REAL(0, "hysteresis", "H", 0, 1e6, &p.hysteresis,
                "keep the running plan, where it still fits, unless another is better by more than this "
                "fraction (default 0: any gain is taken)"),
    OPTION_REAL(0, "move-s", "C", 0, 1e9, &p.move_s,
                "keep the running plan unless the move, which stops the training for C seconds, pays within "
                "the horizon"),
    OPTION_REAL(0, "horizon", "S", 0, 1e12, &p.horizon_s,
                "seconds that a pool is expected to last; default: until the next row of the trace"),
    PLAN_OPTIONS_OF_ROWS,
};
const struct opt_command replan_command = {
    .usage = "TRACE [options]          (alone, or under mpirun/srun)",
    .about = "Plan an availability trace row by row, and say what has to move. A trace is a job with many "
             "rows that say what is available over time.",
    .details = "examples:\n"
               "  sailor replan fig8b\n"
               "  sailor replan TRACE.json --hysteresis 0.05 -o OUT.h5\n"
               "  sailor replan TRACE.json --move-s 120            if a move takes two minutes\n"
               "\n"
               "exit status: 0 done; 1 internal failure or unwritable output; 2 bad usage or input; 3 no row "
               "has a plan;\n"
               "75 stopped early\n",
    OPT_COMMAND("replan", options, 1, 1),
};

enum action { NOTHING, START, SAME, STAY, MOVE };
static const char *const action_name[] = {"none", "start", "same", "stay", "move"};

struct step {
    enum action action;
    double gain; /* of the row's best plan over the one before; NAN if the latter no longer fits */
    struct moves moves;
};

struct trace {
    bool running;
    struct found_plan now; /* the running plan, if `running` */
    struct step *step;     /* [n_pool] */
    const char *zone;      /* the only zone, or NULL */
    struct table *table;
};

/* ---- what to do --------------------------------------------------------------------- */

static double gain_of(enum objective objective, const struct estimate *best, const struct estimate *now) {
    if (objective != OBJECTIVE_COST) return now->iteration_time_s / best->iteration_time_s - 1;
    return best->cost_usd == now->cost_usd ? 0 : 1 - best->cost_usd / now->cost_usd;
}

/* Is the gain above rounding and the hysteresis? By the objective or, if that is equal, by the other one. */
static bool gains(const struct results *r, const struct estimate *best, const struct estimate *now) {
    enum objective other = r->objective == OBJECTIVE_COST ? OBJECTIVE_THROUGHPUT : OBJECTIVE_COST;
    double least = fmax(p.hysteresis, PROOF_SLACK), gain = gain_of(r->objective, best, now);
    return gain > least || (fabs(gain) <= PROOF_SLACK && gain_of(other, best, now) > least);
}

/* Seconds from row i to the next, NAN if the trace does not say. */
static double lasts_s(const struct job *job, int i) {
    return i + 1 < job->n_pool ? job->pool[i + 1].time_s - job->pool[i].time_s : NAN;
}

/* While the pool lasts, does moving give more iterations, or the running plan's iterations for less money
 * including the rent during the move? If nobody knows how long the pool lasts, moving pays. */
static bool move_pays(const struct results *r, int i, const struct estimate *best,
                      const struct estimate *now) {
    double lasts = p.horizon_s > 0 ? p.horizon_s : lasts_s(r->job, i);
    if (isnan(lasts) || !(p.move_s > 0)) return true;
    double n = lasts / now->iteration_time_s;
    if (r->objective == OBJECTIVE_COST)
        return n * best->cost_usd + p.move_s * best->compute_usd / best->iteration_time_s < n * now->cost_usd;
    return (lasts - p.move_s) / best->iteration_time_s > n;
}

static bool same_plan(const struct plan *a, const struct plan *b) {
    return a->micro_batch_size == b->micro_batch_size && plan_compare(a, b) == 0;
}

/* Replaces the best plan with the running one; the proven bound stays. */
static void keep_running(struct row_result *row, const struct trace *t, enum objective objective, double gain,
                         struct arena *a) {
    double value = objective == OBJECTIVE_COST ? t->now.est.cost_usd : t->now.est.iteration_time_s;
    row->plan = ARENA_NEW(a, struct found_plan);
    row->plan[0] = t->now;
    row->n_plan = 1;
    row->gap = value > row->lower_bound ? (value - row->lower_bound) / value : 0;
    row->status = row->gap > 0 ? ROW_FEASIBLE : ROW_OPTIMAL;
    row->note = arena_printf(a, "the running plan is kept: the best one would gain %s %%",
                             table_number(100 * gain, 3, a));
}

static void answered(void *ctx, struct results *r, int i, struct arena *a) {
    struct trace *t = ctx;
    struct row_result *row = &r->row[i];
    const struct workload *w = &r->job->workload;
    const struct pool *pool = &r->job->pool[i];
    const struct found_plan *best = show_best(row);
    struct step *s = &t->step[i];
    struct err none;
    *s = (struct step){.gain = NAN};
    if (!best) {
        t->running = false;
        return;
    }
    bool fits = t->running && !plan_check_pool(t->now.plan, w->site, pool->count, pool->nodes, "", &none);
    s->action = !t->running ? START : MOVE;
    if (fits) {
        s->gain = fmax(0, gain_of(r->objective, &best->est, &t->now.est));
        if (same_plan(best->plan, t->now.plan))
            s->action = SAME;
        else if (!gains(r, &best->est, &t->now.est) || !move_pays(r, i, &best->est, &t->now.est))
            s->action = STAY;
    }
    if (s->action == STAY) keep_running(row, t, r->objective, s->gain, a);
    const struct plan *now = row->plan[0].plan;
    int sharers = now->options.zero ? stage_replicas(&now->pipeline[0].stage[0]) : 1;
    s->moves = moves_between(
        w, t->running ? t->now.plan : NULL, now,
        moves_bytes_per_param(w->element_bytes, strcmp(r->job->optimizer, "sgd") != 0, sharers));
    t->now = row->plan[0];
    t->running = true;
}

/* ---- output ------------------------------------------------------------------- */

static const char *derive(void *ctx, const struct job *job, const char *text, const char *path,
                          struct arena *a, struct err *e) {
    struct trace *t = ctx;
    if (plan_arguments.objective < 0 && job->objective == OBJECTIVE_FRONTIER)
        return err_set(e, EXIT_INPUT,
                       "%s: /objective: a frontier has no single best plan; expected throughput or cost",
                       path),
               NULL;
    if (p.horizon_s > 0 && !(p.move_s > 0))
        return err_set(e, EXIT_INPUT, "replan: --horizon: has no effect without --move-s; expected both"),
               NULL;
    for (int i = 1; i < job->n_pool; i++)
        if (job->pool[i].time_s < job->pool[i - 1].time_s)
            return err_set(e, EXIT_INPUT,
                           "%s: /pools/%d/time_s: %.15g; expected at least %.15g, that of the row before",
                           path, job->pool[i].index, job->pool[i].time_s, job->pool[i - 1].time_s),
                   NULL;
    t->step = ARENA_ARRAY(a, struct step, job->n_pool);
    t->zone = show_only_zone(job);
    t->table = table_new(
        arena_printf(a, "row|after s|<pool%s%s|<action|iterations/s|USD|gain %%|GPUs|changed|GB moved|gap %%",
                     t->zone ? " in " : "", t->zone ? t->zone : ""),
        a);
    return text;
}

static void show_json(const struct trace *t, const struct results *r, int i, struct cli_gauge *gauge) {
    const struct step *s = &t->step[i];
    cJSON *o = show_row_object(r, i, gauge);
    json_add_number(o, "time_s", r->job->pool[i].time_s);
    cJSON_AddStringToObject(o, "action", action_name[s->action]);
    json_add_number(o, "gain", s->gain);
    json_add_number(o, "gpus", s->moves.gpus);
    json_add_number(o, "gpus_changed", s->moves.changed);
    json_add_number(o, "bytes_moved", s->moves.bytes);
    json_line(o, stdout);
    fflush(stdout);
}

static const char *gigabytes(double bytes, struct arena *a) {
    return bytes == 0 ? "0" : table_number(bytes / 1e9, 4, a);
}

static void show(void *ctx, const struct results *r, int i, struct cli_gauge *gauge, struct arena *a) {
    struct trace *t = ctx;
    const struct step *s = &t->step[i];
    const struct found_plan *f = show_best(&r->row[i]);
    const char *gpus = show_gpus(r->job->pool[i].count, r->job->workload.site, a);
    if (plan_arguments.json) {
        show_json(t, r, i, gauge);
        return;
    }
    table_cell(t->table, "%d", i);
    table_cell(t->table, "%s", table_number(r->job->pool[i].time_s - r->job->pool[0].time_s, 6, a));
    table_cell(t->table, "%s", *gpus ? show_without_zone(gpus, t->zone, a) : "no GPUs");
    table_cell(t->table, "%s", action_name[s->action]);
    table_cell(t->table, "%s",
               f ? show_per_s(1 / f->est.iteration_time_s, a) : row_status_name[r->row[i].status]);
    table_cell(t->table, "%s", show_usd(f ? f->est.cost_usd : NAN, a));
    table_cell(t->table, "%s",
               isnan(s->gain) ? "-"
               : s->gain == 0 ? "0"
                              : arena_printf(a, "%+.2f", 100 * s->gain));
    table_cell(t->table, "%d", s->moves.gpus);
    table_cell(t->table, "%d", s->moves.changed);
    table_cell(t->table, "%s", gigabytes(s->moves.bytes, a));
    table_cell(t->table, "%s", f ? table_number(100 * r->row[i].gap, 3, a) : "-");
}

/* Iterations during the trace, not counting the time of the moves. */
static double iterations_done(const struct trace *t, const struct results *r) {
    double sum = 0;
    for (int i = 0; i < r->n_row; i++) {
        const struct found_plan *f = show_best(&r->row[i]);
        bool moved = t->step[i].action == MOVE || t->step[i].action == START;
        double lasts = lasts_s(r->job, i) - (moved ? p.move_s : 0);
        if (f && lasts > 0) sum += lasts / f->est.iteration_time_s;
    }
    return sum;
}

static void end(void *ctx, const struct results *r, struct cli_gauge *gauge, struct arena *a) {
    (void)gauge;
    const struct trace *t = ctx;
    int count[MOVE + 1] = {0};
    long changed = 0;
    double bytes = 0;
    if (plan_arguments.json) return;
    for (int i = 0; i < r->n_row; i++) {
        const struct step *s = &t->step[i];
        count[s->action]++;
        if (s->action != MOVE) continue;
        changed += s->moves.changed;
        bytes += s->moves.bytes;
    }
    table_print(t->table, stdout);
    table_text(stdout,
               "%d moves, %ld GPUs changed, %s GB moved; the running plan stayed the best in %d rows and was "
               "kept in %d",
               count[MOVE], changed, gigabytes(bytes, a), count[SAME], count[STAY]);
    double n = iterations_done(t, r);
    if (n > 0)
        printf("%s iterations from the first row to the last%s\n", table_number(n, 6, a),
               p.move_s > 0 ? ", less the time of the moves" : "");
}

int cmd_replan(int argc, char **argv) {
    struct trace t = {0};
    const struct plan_mode mode = {.command = &replan_command,
                                   .options = options,
                                   .chain = true,
                                   .ctx = &t,
                                   .derive = derive,
                                   .answered = answered,
                                   .show = show,
                                   .end = end};
    return plan_main(&mode, argc, argv);
}
