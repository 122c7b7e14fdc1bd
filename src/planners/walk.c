#include "planners/planner.h"
#include "base/clock.h"

#include <string.h>

/* What became of the plans on a list. */
enum verdict { GOOD, OUT_OF_MEMORY, OVER_BUDGET, BELOW_FLOOR, BROKEN, VERDICTS };

struct walk {
    const struct planner *planner;
    const struct question *q;
    enum estimator common;
    bool cost; /* the planner was asked for cost: then the floor applies, else the budget */
    int n[VERDICTS];
};

/* Why no plan on the list will do, in words. */
static const char *why_none(const struct walk *w, const struct answer *x, struct arena *a) {
    if (!x->n) return "the planner proposes nothing";
    return arena_printf(a,
                        "none of the %d proposed plans will do: %d out of memory, %d over the budget, %d "
                        "below the floor, %d that cannot be estimated",
                        x->n, w->n[OUT_OF_MEMORY], w->n[OVER_BUDGET], w->n[BELOW_FLOOR], w->n[BROKEN]);
}

/* Estimates a proposed plan. Memory comes first: a plan that does not fit needs no profile. */
static enum verdict judge(const struct walk *w, const struct answer *x, const struct proposal *y,
                          const struct plan *p, struct estimate *est) {
    const struct planner *pl = w->planner;
    const struct question *q = w->q;
    struct err why;
    if (pl->judge && !q->corrected) {
        if (pl->judge(q, x, y, p, est, &why) || plan_check(p, q->w, pl->name, &why)) return BROKEN;
        if (!est->fits) return OUT_OF_MEMORY;
    } else {
        if (!plan_fits(q->w, p, w->common)) return OUT_OF_MEMORY;
        if (plan_check(p, q->w, pl->name, &why) || estimate_plan(q->w, p, w->common, est, &why))
            return BROKEN;
    }
    if (w->cost && 1 / est->iteration_time_s < q->min_iterations_per_s) return BELOW_FLOOR;
    if (!w->cost && est->cost_usd > q->max_usd_per_iteration) return OVER_BUDGET;
    return GOOD;
}

static void keep(const struct walk *w, const struct proposal *y, const struct plan *p,
                 const struct estimate *est, struct row_result *row, struct arena *a) {
    const struct question *q = w->q;
    size_t n = (size_t)plan_stages(p);
    struct found_plan *f = ARENA_NEW(a, struct found_plan);
    struct err why;
    *f = (struct found_plan){
        .plan = plan_copy(p, a), .est = *est, .planner_time_s = y->time_s, .planner_cost_usd = y->cost_usd};
    f->est.stage = ARENA_ARRAY(a, struct stage_estimate, n);
    memcpy(f->est.stage, est->stage, sizeof *est->stage * n);
    row->plan = f;
    row->n_plan = 1;
    row->status = ROW_FEASIBLE;
    /* Such a plan is judged like any other: the published comparison accepted them too. */
    if (plan_check_pool(p, q->w->site, q->pool->count, q->pool->nodes, w->planner->name, &why))
        row->note = arena_strdup(a, why.text);
}

/* If the plan at this place on the list is good, the row gets it. */
static bool try_plan(struct walk *w, const struct answer *x, int place, struct row_result *row,
                     struct arena *a) {
    const struct proposal *y = &x->proposal[place];
    struct arena scratch = {0};
    const struct plan *p = y->plan ? y->plan : x->build(x, y->id, &scratch);
    struct estimate est = {.stage = ARENA_ARRAY(&scratch, struct stage_estimate, plan_stages(p))};
    enum verdict v = judge(w, x, y, p, &est);
    w->n[v]++;
    if (v == GOOD) keep(w, y, p, &est, row, a);
    arena_free(&scratch);
    return v == GOOD;
}

/* 0, or 1 if told to stop. */
static int walk_list(struct walk *w, const struct answer *x, struct row_result *row, struct arena *a) {
    for (int i = 0; i < x->n; i++) {
        if (question_stopped(w->q)) return 1;
        if (try_plan(w, x, i, row, a)) break;
    }
    row->oom_plans = w->n[OUT_OF_MEMORY];
    if (row->n_plan) return 0;
    row->reason = why_none(w, x, a);
    row->lower_bound = INFINITY;
    row->gap = 0;
    return 0;
}

int planner_walk(const struct planner *self, const struct question *q, const struct planner_run *run,
                 struct row_result *row, struct arena *a, struct err *e) {
    bool cost = q->objective == OBJECTIVE_COST && (q->corrected || !self->always_throughput);
    struct walk w = {.planner = self, .q = q, .common = run->estimator, .cost = cost};
    struct arena list = {0}; /* only the plan chosen outlives it */
    struct answer x = {0};
    double start_s = now_s();
    if (self->lacks)
        return err_set(e, EXIT_INPUT, "the planner %s was built without %s; install it and build again",
                       self->name, self->lacks);
    int rc = self->propose(q, &x, &list, e);
    if (!rc && question_stopped(q)) rc = 1; /* the empty list of a search that gave up is not an answer */
    if (!rc) {
        struct row_result out = {
            .status = ROW_INFEASIBLE, .search_s = now_s() - start_s, .plans_evaluated = x.states, .gap = 1};
        rc = walk_list(&w, &x, &out, a);
        if (!rc) *row = out;
    }
    arena_free(&list);
    return rc;
}
