#include "fig.h"

#include <math.h>
#include <string.h>

struct job *fig_job(const char *name, struct arena *a) {
    struct err e;
    struct job *j = ARENA_NEW(a, struct job);
    if (job_load(arena_printf(a, "inputs/%s.json", name), NULL, "inputs", true, j, a, &e))
        fail_msg("%s", e.text);
    return j;
}

static const void *load_extra(const struct planner *pl, const struct workload *w, struct arena *a) {
    const void *extra = NULL;
    struct err e;
    if (pl->load && pl->load(w, "inputs", &extra, a, &e)) fail_msg("%s", e.text);
    return extra;
}

struct question fig_question(const struct planner *pl, const struct job *j, int row, bool corrected,
                             struct arena *a) {
    return (struct question){.w = &j->workload,
                             .pool = &j->pool[row],
                             .objective = j->objective,
                             .max_usd_per_iteration = j->max_usd_per_iteration,
                             .min_iterations_per_s = j->min_iterations_per_s,
                             .corrected = corrected,
                             .extra = load_extra(pl, &j->workload, a)};
}

struct row_result fig_walk(const struct planner *pl, const char *job, int row, bool corrected,
                           struct arena *a) {
    struct question q = fig_question(pl, fig_job(job, a), row, corrected, a);
    struct planner_run run = {.estimator = ESTIMATOR_SAILOR};
    struct row_result r;
    struct err e;
    if (planner_walk(pl, &q, &run, &r, a, &e)) fail_msg("%s", e.text);
    return r;
}

struct guess fig_measured(const struct planner *pl, const char *run, bool corrected, struct arena *a) {
    struct plan_entry *all;
    struct guess g;
    struct err e;
    int n, i = 0;
    if (plans_load("inputs/validation/opt-350m-gh200.json", "inputs", &all, &n, a, &e))
        fail_msg("%s", e.text);
    while (i < n && strcmp(all[i].plan->name, arena_printf(a, "plan_config_%s", run))) i++;
    if (i == n) fail_msg("no run %s", run);
    const void *extra = load_extra(pl, all[i].workload, a);
    if (pl->estimate(all[i].workload, extra, all[i].plan, corrected, &g, a, &e)) fail_msg("%s", e.text);
    return g;
}

void fig_near(double x, double y, double relative, const char *what, int i) {
    if (!(fabs(x - y) <= relative * fabs(y))) fail_msg("%s %d: %.10g, expected %.10g", what, i, x, y);
}
