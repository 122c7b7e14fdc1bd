/* Names of planners and estimators for options, estimates by name, and errors of estimates. */
#include "base/stats.h"
#include "cli/cli.h"
#include "formats/inputs.h"
#include "planners/planner.h"
#include "sim/events.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 40 };

const char *const *cli_planners(void) {
    static const char *names[NAMES_MAX];
    int n = 0;
    for (int i = 0; planners[i] && n < NAMES_MAX - 1; i++) names[n++] = planners[i]->name;
    names[n] = NULL;
    return names;
}

const char *const *cli_estimators(bool baselines) {
    static const char *own[ESTIMATOR_N + 1], *all[NAMES_MAX];
    int n = 0;
    for (; n < ESTIMATOR_N; n++) own[n] = all[n] = estimator_name[n];
    for (int i = 0; planners[i] && n < NAMES_MAX - 1; i++)
        if (planners[i]->estimate) all[n++] = planners[i]->name;
    all[n] = NULL;
    return baselines ? all : own;
}

const char cli_events[] = "events";

const char *cli_estimator_name(int index) {
    const char *const *names = cli_estimators(true);
    for (int i = 0; names[i]; i++)
        if (i == index) return names[i];
    return cli_events;
}

/* Loads what a planner's estimator needs beyond the profile, once per model and site. */
static int load_extra(struct cli_estimator *k, const struct planner *pl, const struct workload *w,
                      struct err *e) {
    if (!pl->load || (k->model == w->model && k->site == w->site)) return 0;
    arena_free(&k->arena);
    k->arena = (struct arena){0};
    k->model = NULL;
    const char *inputs = inputs_dir(k->inputs, &k->arena, e);
    if (!inputs || pl->load(w, inputs, &k->extra, &k->arena, e)) return -1;
    k->model = w->model;
    k->site = w->site;
    return 0;
}

static int refuses_options(const struct workload *w, const struct plan *p, const char *name, struct err *e) {
    const char *unknown = native_option(w, p);
    if (!unknown) return 0;
    return err_set(e, EXIT_INPUT, "estimator %s: knows no %s; expected estimator %s or %s", name, unknown,
                   estimator_name[ESTIMATOR_NATIVE], cli_events);
}

int cli_estimate(struct cli_estimator *k, const struct workload *w, const struct plan *p,
                 struct estimate *out, struct err *e) {
    if (k->index < ESTIMATOR_N) return estimate_plan(w, p, (enum estimator)k->index, out, e);
    const char *name = cli_estimator_name(k->index);
    if (name == cli_events) return events_estimate(w, p, EVENTS_ALL, out, e);
    if (refuses_options(w, p, name, e)) return -1;
    const struct planner *pl = planner_find(name);
    struct guess guess = {NAN, NAN};
    struct arena scratch = {0};
    int rc =
        load_extra(k, pl, w, e) || pl->estimate(w, k->extra, p, k->corrected, &guess, &scratch, e) ? -1 : 0;
    arena_free(&scratch);
    if (rc) return -1;
    struct stage_estimate *stage = out->stage;
    double room = INFINITY; /* memory of the smallest GPU in use */
    for (int i = 0; i < p->n_pipeline; i++)
        for (int s = 0; s < p->pipeline[i].n_stage; s++)
            for (int g = 0; g < p->pipeline[i].stage[s].n_group; g++)
                room = fmin(room, w->site->gpu[p->pipeline[i].stage[s].group[g].gpu].memory_bytes);
    *out = (struct estimate){.iteration_time_s = guess.time_s,
                             .pipeline_time_s = NAN,
                             .sync_time_s = NAN,
                             .compute_usd = NAN,
                             .egress_usd = NAN,
                             .cost_usd = NAN,
                             .fits = !(guess.peak_bytes > room),
                             .peak_memory_bytes = guess.peak_bytes,
                             .unfit_pipeline = -1,
                             .unfit_stage = -1,
                             .stage = stage};
    for (int i = 0, n = plan_stages(p); stage && i < n; i++)
        stage[i] =
            (struct stage_estimate){.compute_s = NAN, .comm_s = NAN, .sync_s = NAN, .memory_bytes = NAN};
    return 0;
}

void cli_estimator_free(struct cli_estimator *k) { arena_free(&k->arena); }

double error_percent(double estimate, double measured) { return 100 * fabs(estimate - measured) / measured; }

struct error_summary error_summary(const double *error, int n, struct arena *scratch) {
    double *v = ARENA_ARRAY(scratch, double, n + 1), sum = 0;
    int known = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(error[i])) {
            v[known++] = error[i];
            sum += error[i];
        }
    if (!known) return (struct error_summary){NAN, NAN, NAN};
    double middle = median(v, known); /* sorts */
    return (struct error_summary){sum / known, middle, v[known - 1]};
}
