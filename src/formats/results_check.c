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

/* NaN means unknown. */
static const char *quantity_of(const struct column *c, const char *record) {
    double x;
    memcpy(&x, record + c->at, sizeof x);
    if (isinf(x) && may_be_infinite(c->name)) return NULL;
    return x < 0 ? "negative; expected 0 or more" : isinf(x) ? "infinite; expected a number" : NULL;
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

static bool near(double x, double y) { return !(fabs(x - y) > 1e-9 * fabs(y)); }

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
        if (!near(plan->throughput_per_s * plan->iteration_time_s, 1)) return "plan/throughput_per_s";
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
