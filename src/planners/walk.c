#include "planners/planner.h"
#include "base/clock.h"

#include <string.h>

const struct planner *planner_find(const char *name) {
    for (int i = 0; planners[i]; i++)
        if (!strcmp(planners[i]->name, name)) return planners[i];
    return NULL;
}

/* Why nothing on the list will do, for people. */
static const char *why_none(const struct answer *x, const struct row_result *row, int slow, int dear,
                            int broken, struct arena *a) {
    if (!x->n) return "the planner proposes nothing";
    return arena_printf(a,
                        "none of the %d plans proposed will do: %d out of memory, %d over the budget, %d "
                        "below the floor, %d that cannot be estimated",
                        x->n, row->oom_plans, dear, slow, broken);
}

int planner_walk(const struct planner *pl, const struct question *q, enum estimator common,
                 struct row_result *row, struct arena *a, struct err *e) {
    struct answer x = {0};
    struct arena kept = {0}; /* the list; only the plan chosen outlives it */
    int slow = 0, dear = 0, broken = 0;
    bool cost = q->objective == OBJECTIVE_COST && (q->corrected || !pl->always_throughput);
    double t0 = now_s();
    if (pl->search(q, &x, &kept, e)) {
        arena_free(&kept);
        return -1;
    }
    if (q->stop && q->stop(q->stop_ctx)) { /* an empty list of a search that gave up is no answer */
        arena_free(&kept);
        return 1;
    }
    *row = (struct row_result){.status = ROW_INFEASIBLE,
                               .search_s = now_s() - t0,
                               .plans_evaluated = x.states,
                               .lower_bound = 0,
                               .gap = 1};
    for (int i = 0; i < x.n; i++) {
        if (q->stop && q->stop(q->stop_ctx)) {
            arena_free(&kept);
            return 1;
        }
        const struct proposal *y = &x.proposal[i];
        struct arena scratch = {0};
        const struct plan *p = y->plan ? y->plan : x.build(&x, y->id, &scratch);
        struct stage_estimate *stage = ARENA_ARRAY(&scratch, struct stage_estimate, plan_stages(p));
        struct estimate est = {.stage = stage};
        struct err why;
        int rc = 0; /* memory comes first: what does not fit need not be profiled */
        if (pl->judge && !q->corrected)
            rc = pl->judge(q, &x, y, p, &est, &why);
        else if (plan_fits(q->w, p, common))
            rc = plan_check(p, q->w, pl->name, &why) || estimate_plan(q->w, p, common, &est, &why);
        else
            est.fits = false;
        bool good = false;
        if (rc)
            broken++;
        else if (!est.fits)
            row->oom_plans++;
        else if (cost && 1 / est.iteration_time_s < q->min_iterations_per_s)
            slow++;
        else if (!cost && est.cost_usd > q->max_usd_per_iteration)
            dear++;
        else
            good = true;
        if (good) {
            struct found_plan *f = row->plan = ARENA_NEW(a, struct found_plan);
            *f = (struct found_plan){.plan = plan_copy(p, a),
                                     .est = est,
                                     .planner_time_s = y->time_s,
                                     .planner_cost_usd = y->cost_usd};
            f->est.stage = ARENA_ARRAY(a, struct stage_estimate, plan_stages(p));
            memcpy(f->est.stage, stage, sizeof *stage * (size_t)plan_stages(p));
            row->n_plan = 1;
            row->status = ROW_FEASIBLE;
            /* Judged like any other: the published comparison took such plans too. */
            if (plan_check_pool(p, q->w->site, q->pool->count, pl->name, &why))
                row->note = arena_strdup(a, why.text);
        }
        arena_free(&scratch);
        if (good) break;
    }
    if (!row->n_plan)
        row->reason = why_none(&x, row, slow, dear, broken, a), row->lower_bound = INFINITY, row->gap = 0;
    arena_free(&kept);
    return 0;
}
