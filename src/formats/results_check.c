#include "formats/results_check.h"

#include <math.h>
#include <string.h>

/* What may be infinite: bounds and values of items without a plan, and what published planners estimate. */
static bool may_be_infinite(const char *column) {
    static const char *const list[] = {"lower_bound", "value", "gap", "planner_time_s", "planner_cost_usd"};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(column, list[i])) return true;
    return false;
}

static const double QUANTITY_MAX = 1e30;

/* NaN means unknown. */
static const char *quantity_of(const struct column *c, const char *record) {
    double x;
    memcpy(&x, record + c->at, sizeof x);
    if (isinf(x) && may_be_infinite(c->name)) return NULL;
    return x < 0              ? "negative; expected 0 or more"
           : isinf(x)         ? "infinite; expected a number"
           : x > QUANTITY_MAX ? "too large; expected at most 1e30"
                              : NULL;
}

/* The first column of every table is the record's index. */
static const char *number_of(const struct column *c, const char *record, int i) {
    int number;
    memcpy(&number, record + c->at, sizeof number);
    return number == i ? NULL : "not in order";
}

static const char *check_columns(const struct rows *t, const struct table_def *def, const char **column) {
    for (int i = 0; i < t->n; i++)
        for (int k = 0; k < def->n_column; k++) {
            const struct column *c = &def->column[k];
            const char *record = t->rec + (size_t)i * def->record, *what = NULL;
            if (k == 0)
                what = number_of(c, record, i);
            else if (c->type == COLUMN_F64)
                what = quantity_of(c, record);
            *column = c->name;
            if (what) return what;
        }
    return NULL;
}

/* Two unknown figures are alike. */
static bool near(double x, double y) {
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) < 1e-9 * fabs(y);
}

/* Figures that repeat what other tables hold, for people who read only the file. */
static const char *check_derived(struct rows t[TABLES]) {
    int stage = 0, replica = 0;
    for (int p = 0; p < t[TABLE_PLAN].n; p++) {
        const struct plan_rec *plan = REC(t, TABLE_PLAN, plan_rec, p);
        int64_t gpus = 0, n_stage = 0, first = 0;
        for (; stage < t[TABLE_STAGE].n; stage++) {
            const struct stage_rec *s = REC(t, TABLE_STAGE, stage_rec, stage);
            int64_t replicas = 0, of_stage = 0;
            if (s->plan != p) break;
            for (; replica < t[TABLE_REPLICA].n; replica++) {
                const struct replica_rec *r = REC(t, TABLE_REPLICA, replica_rec, replica);
                if (r->stage != stage) break;
                if (r->plan != p) return "replica/plan";
                replicas += r->count;
                of_stage += (int64_t)r->count * r->tp;
            }
            if (s->replicas != replicas) return "stage/replicas";
            if (s->gpus != of_stage) return "stage/gpus";
            if (s->pipeline == 0 && n_stage++ == 0) first = replicas;
            gpus += of_stage;
        }
        if (plan->n_stage != n_stage) return "plan/n_stage";
        if (plan->data_parallel != first) return "plan/data_parallel";
        if (plan->gpus != gpus) return "plan/gpus";
        double one = plan->throughput_per_s * plan->iteration_time_s;
        if (!isnan(one) && !near(one, 1)) return "plan/throughput_per_s";
    }
    return NULL;
}

const char *results_doubtful(struct rows t[TABLES], const char **what, struct arena *a) {
    const char *column;
    for (int i = 0; i < TABLES; i++)
        if ((*what = check_columns(&t[i], &table_def[i], &column)))
            return arena_printf(a, "%s/%s", table_def[i].name, column);
    *what = "not what the other tables say";
    return check_derived(t);
}

/* ---- against the inputs that were stored beside ---- */

static bool same_names(const struct site *x, const struct site *y) {
    bool same = x->n_zone == y->n_zone && x->n_gpu == y->n_gpu;
    for (int z = 0; same && z < x->n_zone; z++) same = !strcmp(x->zone[z], y->zone[z]);
    for (int g = 0; same && g < x->n_gpu; g++) same = !strcmp(x->gpu[g].name, y->gpu[g].name);
    return same;
}

static const char *framework_of(const struct workload *w) {
    return w->framework ? w->framework->name : "published";
}

const char *results_strange(const struct job *x, const struct job *y) {
    const struct workload *v = &x->workload, *w = &y->workload;
    if (!same_names(v->site, w->site)) return "zone";
    if (v->model->n_layer != w->model->n_layer) return "n_layer";
    if (x->global_batch_size != y->global_batch_size) return "global_batch_size";
    if (strcmp(x->dtype, y->dtype)) return "dtype";
    if (strcmp(x->optimizer, y->optimizer)) return "optimizer";
    if (strcmp(framework_of(v), framework_of(w))) return "framework";
    if (v->element_bytes != w->element_bytes) return "element_bytes";
    if (v->model->sequence_length != w->model->sequence_length) return "sequence_length";
    if (x->train_tokens != y->train_tokens) return "train_tokens";
    if (x->max_usd_per_iteration != y->max_usd_per_iteration) return "max_usd_per_iteration";
    if (x->min_iterations_per_s != y->min_iterations_per_s) return "min_iterations_per_s";
    if (x->n_pool != y->n_pool) return "row";
    for (int i = 0; i < x->n_pool; i++)
        for (int k = 0; k < v->site->n_zone * v->site->n_gpu; k++)
            if (x->pool[i].count[k] != y->pool[i].count[k]) return "pool/count";
    return NULL;
}

int results_recheck(const char *path, const struct workload *w, const char *estimator,
                    const struct found_plan *f, struct err *e) {
    struct arena scratch = {0};
    struct estimate est = {.stage = ARENA_ARRAY(&scratch, struct stage_estimate, plan_stages(f->plan))};
    int which = 0, rc = 0;
    while (which < ESTIMATOR_N && strcmp(estimator, estimator_name[which])) which++;
    if (which < ESTIMATOR_N) { /* other planners have their own estimators */
        rc = plan_check(f->plan, w, path, e) || estimate_plan(w, f->plan, (enum estimator)which, &est, e) ? -1
                                                                                                          : 0;
        if (!rc &&
            (!near(est.iteration_time_s, f->est.iteration_time_s) || !near(est.cost_usd, f->est.cost_usd)))
            rc = err_set(e, EXIT_INPUT,
                         "%s: a stored plan takes %.9g s there and %.9g s now; written by another version "
                         "of the estimator, or damaged",
                         path, f->est.iteration_time_s, est.iteration_time_s);
        else if (!rc && est.fits != f->est.fits)
            rc = err_set(e, EXIT_INPUT,
                         "%s: a stored plan %s there and %s now; written by another version of the "
                         "estimator, or damaged",
                         path, f->est.fits ? "fits" : "does not fit", est.fits ? "fits" : "does not");
    }
    arena_free(&scratch);
    return rc;
}
