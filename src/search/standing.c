/* Where the search stands: what plans have to beat, what is proven of the row, and what is told of it. */
#include <math.h>

#include "base/clock.h"
#include "search/best.h"
#include "search/engine.h"

double standing_value(const struct engine *x) {
    return x->row->n_plan ? problem_value(x->p, &x->row->plan[0].est) : INFINITY;
}

static void report_best(struct engine *x) {
    double value = standing_value(x);
    if (value >= x->told) return;
    x->told = value;
    if (x->rank == 0 && x->hooks && x->hooks->improved)
        x->hooks->improved(x->hooks->ctx, engine_elapsed_s(x), value);
}

void standing_set_goal(struct engine *x) {
    report_best(x);
    x->goal = best_goal(x->p, x->row, x->a);
}

double standing_take_plans(struct engine *x, int n, const struct found_plan *plan) {
    double least = INFINITY;
    for (int k = 0; k < n; k++) {
        struct found_plan f = plan[k];
        best_estimate(x->p, &f, x->a);
        least = fmin(least, problem_value(x->p, &f.est));
        best_add(x->p, x->row, f, x->a);
    }
    return least;
}

double standing_take(struct engine *x, struct unit_result *r, const struct unit_answer *answer) {
    double least = standing_take_plans(x, answer->n_plan, answer->plan);
    r->value = fmin(r->value, least);
    r->nodes += answer->nodes;
    r->plans_evaluated += answer->plans;
    x->row->plans_evaluated += answer_work(answer);
    bounds_add(&x->row->bounds, &answer->bounds);
    return least;
}

void standing_merge(struct engine *x, struct unit_result *r, const struct unit_answer *answer, double seconds,
                    bool probe) {
    standing_take(x, r, answer);
    r->seconds += seconds;
    if (probe && answer->status == UNIT_OPEN) return;
    r->status = answer->status;
    r->gap = answer->status == UNIT_OPEN ? answer->gap : 0;
    r->lower_bound = answer->status == UNIT_OPEN ? fmax(answer->lower_bound, r->lower_bound) : r->value;
    r->attempts += !probe;
}

void standing_set_bounds(struct engine *x) {
    struct row_result *row = x->row;
    double open = INFINITY, best = standing_value(x);
    for (int i = 0; i < x->n_unit; i++) {
        const struct unit_result *r = x->unit[i].result;
        if (r->status != UNIT_TODO && r->status != UNIT_OPEN) continue;
        open = fmin(open, x->unit[i].under_way ? fmax(r->lower_bound, x->unit[i].so_far) : r->lower_bound);
    }
    row->lower_bound = fmin(best, open);
    row->gap = !row->n_plan ? INFINITY : best > row->lower_bound ? (best - row->lower_bound) / best : 0;
    if (x->p->objective == OBJECTIVE_FRONTIER && row->n_plan) {
        row->gap = 0;
        for (int i = 0; i < x->n_unit; i++) {
            const struct unit_result *r = x->unit[i].result;
            if (r->status == UNIT_OPEN) row->gap = fmax(row->gap, r->gap);
            if (ranked_live(&x->unit[i], &x->goal)) row->gap = 1; /* nothing is known of it yet */
        }
    }
    row->search_s = engine_elapsed_s(x);
}

bool standing_close_enough(const struct engine *x, const struct unit_result *r) {
    if (x->p->objective == OBJECTIVE_FRONTIER) return r->gap <= x->p->gap;
    return r->lower_bound >= x->goal.best * (1 - x->p->gap);
}

/* What the units that are left take if they are like those searched so far. NAN: nobody knows, as none was,
 * or as some will be searched again. */
static double remaining_s(const struct engine *x, int live) {
    double seconds = 0;
    int searched = 0;
    for (int i = 0; i < x->n_unit; i++) {
        const struct unit_result *r = x->unit[i].result;
        if (r->status == UNIT_OPEN && x->p->gap > 0 && (r->attempts < 2 || !standing_close_enough(x, r)))
            return NAN;
        if (r->status == UNIT_TODO || !r->attempts) continue;
        seconds += r->seconds;
        searched++;
    }
    return searched ? seconds / searched * live / (x->threads * x->size) : NAN;
}

void standing_report(void *engine) {
    struct engine *x = engine;
    if (x->rank || !x->hooks || !x->hooks->progress || now_s() - x->last_progress < 1) return;
    x->last_progress = now_s();
    int live = 0;
    for (int i = 0; i < x->n_unit; i++) live += ranked_live(&x->unit[i], &x->goal);
    struct search_progress out = {.units_done = x->n_unit - live,
                                  .n_unit = x->n_unit,
                                  .plans_evaluated = x->row->plans_evaluated + x->in_step,
                                  .elapsed_s = x->earlier_s + x->last_progress - x->start,
                                  .lower_bound = x->row->lower_bound,
                                  .gap = x->row->gap,
                                  .incumbent = standing_value(x),
                                  .eta_s = remaining_s(x, live)};
    x->hooks->progress(x->hooks->ctx, &out);
}
