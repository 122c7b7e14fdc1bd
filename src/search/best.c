#include "search/best.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void best_estimate(const struct search_problem *p, struct found_plan *f, struct arena *a) {
    struct err e;
    f->planner_time_s = f->planner_cost_usd = NAN;
    f->est.stage = ARENA_ARRAY(a, struct stage_estimate, f->plan->pipeline[0].n_stage);
    estimate_plan(p->w, f->plan, p->estimator, &f->est, &e);
}

static int by_time_then_cost(const void *a, const void *b) {
    const struct found_plan *x = a, *y = b;
    if (x->est.iteration_time_s != y->est.iteration_time_s)
        return x->est.iteration_time_s < y->est.iteration_time_s ? -1 : 1;
    if (x->est.cost_usd != y->est.cost_usd) return x->est.cost_usd < y->est.cost_usd ? -1 : 1;
    return plan_compare(x->plan, y->plan);
}

/* Is some point no worse? Most plans that a search finds are known, or worse than what is. */
static bool behind_frontier(const struct row_result *row, const struct found_plan *f) {
    for (int i = 0; i < row->n_frontier; i++) {
        const struct found_plan *x = &row->frontier[i];
        if (x->est.cost_usd <= f->est.cost_usd && x->est.iteration_time_s <= f->est.iteration_time_s &&
            by_time_then_cost(x, f) <= 0)
            return true;
    }
    return false;
}

static void add_to_frontier(struct row_result *row, struct found_plan f, struct arena *a) {
    if (behind_frontier(row, &f)) return;
    int n = row->n_frontier + 1, keep = 0;
    struct found_plan *all = ARENA_ARRAY(a, struct found_plan, n);
    if (row->n_frontier) memcpy(all, row->frontier, sizeof *all * (size_t)row->n_frontier);
    all[row->n_frontier] = f;
    qsort(all, (size_t)n, sizeof *all, by_time_then_cost);
    for (int i = 0; i < n; i++) {
        const struct estimate *x = &all[i].est, *last = keep ? &all[keep - 1].est : NULL;
        if (last && !(x->cost_usd < last->cost_usd * (1 - PROOF_SLACK))) continue;
        bool same = last && x->iteration_time_s <= last->iteration_time_s * (1 + PROOF_SLACK);
        all[same ? keep - 1 : keep++] = all[i]; /* faster by rounding alone does not justify a higher cost */
    }
    row->frontier = all;
    row->n_frontier = keep;
    row->plan = all;
    row->n_plan = keep ? 1 : 0;
}

/* What decides between plans of equal value. */
static double other_value(const struct search_problem *p, const struct estimate *est) {
    double x = p->objective == OBJECTIVE_COST ? est->iteration_time_s : est->cost_usd;
    return isnan(x) ? INFINITY : x;
}

static bool better(const struct search_problem *p, const struct found_plan *a, const struct found_plan *b) {
    double va = problem_value(p, &a->est), vb = problem_value(p, &b->est);
    if (fabs(va - vb) > PROOF_SLACK * fmax(fabs(va), fabs(vb))) return va < vb;
    va = other_value(p, &a->est);
    vb = other_value(p, &b->est);
    return va != vb ? va < vb : plan_compare(a->plan, b->plan) < 0;
}

static bool same_unit(const struct plan *a, const struct plan *b) {
    return a->micro_batch_size == b->micro_batch_size && plan_options_equal(&a->options, &b->options) &&
           stage_replicas(&a->pipeline[0].stage[0]) == stage_replicas(&b->pipeline[0].stage[0]);
}

void best_add(const struct search_problem *p, struct row_result *row, struct found_plan f, struct arena *a) {
    if (p->objective == OBJECTIVE_FRONTIER) {
        add_to_frontier(row, f, a);
        return;
    }
    int n = 0, at;
    struct found_plan *all = ARENA_ARRAY(a, struct found_plan, row->n_plan + 1);
    for (int i = 0; i < row->n_plan; i++) { /* one plan of each unit */
        const struct found_plan *o = &row->plan[i];
        if (!same_unit(o->plan, f.plan))
            all[n++] = *o;
        else if (!better(p, &f, o))
            return;
    }
    for (at = n; at > 0 && better(p, &f, &all[at - 1]); at--) all[at] = all[at - 1];
    all[at] = f;
    row->plan = all;
    row->n_plan = n + 1 > p->top_k ? p->top_k : n + 1;
}

struct goal best_goal(const struct search_problem *p, const struct row_result *row, struct arena *a) {
    struct goal g = {.objective = p->objective,
                     .min_per_s = p->min_iterations_per_s,
                     .max_usd = p->max_usd_per_iteration,
                     .best = INFINITY,
                     .max_time_s = goal_longest_time(p->min_iterations_per_s)};
    if (p->objective == OBJECTIVE_FRONTIER) {
        g.front = ARENA_ARRAY(a, struct point, row->n_frontier + 1);
        for (; g.n_front < row->n_frontier; g.n_front++) {
            const struct estimate *est = &row->frontier[g.n_front].est;
            g.front[g.n_front] = (struct point){est->iteration_time_s, est->cost_usd};
        }
    } else if (row->n_plan >= p->top_k) {
        g.best = problem_value(p, &row->plan[p->top_k - 1].est);
    }
    return g;
}
