#include "cli/limits.h"
#include "search/goal.h"

#include <math.h>

/* Applies limits to a stored frontier. Its proof carries over: if the frontier has gap g, then for every plan
 * (t, c) in the space some point (t', c') has t' <= t / (1 - g) and c' <= c / (1 - g). So no plan of at most
 * X USD is faster than 1 - g times the fastest point of at most X / (1 - g) USD; likewise for the cheapest
 * plan above a floor. */

static bool by_cost(const struct limits *l) { return !(l->max_usd < INFINITY); }

static double time_of(const struct found_plan *f) { return f->est.iteration_time_s; }

static bool meets(const struct limits *l, const struct found_plan *f) {
    return f->est.cost_usd <= l->max_usd && 1 / time_of(f) >= l->min_per_s;
}

/* The same with `slack` in both: could this plan stand for one that meets the limits but was left out? */
static bool stands_for_some(const struct limits *l, const struct found_plan *f, double slack) {
    return f->est.cost_usd * slack <= l->max_usd && 1 / (time_of(f) * slack) >= l->min_per_s;
}

/* A lower bound on all plans in the space that meet the limits; INFINITY if none can. */
static double bound_within(const struct row_result *row, const struct limits *l) {
    double slack = 1 - row->gap, least = INFINITY;
    if (!(slack > 0)) return by_cost(l) ? 0 : row->lower_bound; /* only the row's bound is known */
    for (int k = 0; k < row->n_frontier; k++) {
        const struct found_plan *f = &row->frontier[k];
        if (!stands_for_some(l, f, slack)) continue;
        least = fmin(least, slack * (by_cost(l) ? f->est.cost_usd : time_of(f)));
    }
    return by_cost(l) ? least : fmax(least, row->lower_bound);
}

static void nothing_within(struct row_result *out, const struct row_result *row, struct arena *a) {
    const struct found_plan *fast = &row->frontier[0], *cheap = &row->frontier[row->n_frontier - 1];
    bool proven = !(out->lower_bound < INFINITY);
    out->status = proven ? ROW_INFEASIBLE : ROW_TODO;
    out->gap = proven ? 0 : INFINITY;
    out->reason = arena_printf(
        a,
        "%sno plan of the frontier is within the limits; its fastest: %s /s for %s USD, its cheapest: %s /s "
        "for %s USD",
        proven ? "" : "undecided: ", show_per_s(1 / time_of(fast), a), show_usd(fast->est.cost_usd, a),
        show_per_s(1 / time_of(cheap), a), show_usd(cheap->est.cost_usd, a));
}

static struct row_result answer(const struct row_result *row, const struct limits *l, struct arena *a) {
    struct row_result out = *row;
    if (!row->n_frontier) return out;
    out.n_frontier = out.n_plan = 0;
    out.lower_bound = bound_within(row, l);
    for (int k = 0; k < row->n_frontier; k++) { /* ascending in time, descending in cost */
        const struct found_plan *f = &row->frontier[k];
        bool slower = out.n_plan && time_of(f) > time_of(out.plan) * (1 + PROOF_SLACK);
        if (!meets(l, f) || (slower && !by_cost(l))) continue;
        out.plan = &row->frontier[k];
        out.n_plan = 1;
    }
    if (!out.n_plan) {
        nothing_within(&out, row, a);
        return out;
    }
    double value = by_cost(l) ? out.plan->est.cost_usd : time_of(out.plan);
    out.gap = value > out.lower_bound ? (value - out.lower_bound) / value : 0;
    out.status = out.gap > 0 ? ROW_FEASIBLE : ROW_OPTIMAL;
    return out;
}

bool limits_given(const struct limits *l) { return l->max_usd < INFINITY || l->min_per_s > 0; }

int limits_answer(const char *path, const struct results *r, struct limits *l, struct results *out,
                  struct arena *a, struct err *e) {
    if (r->objective != OBJECTIVE_FRONTIER)
        return err_set(e, EXIT_INPUT,
                       "%s: holds no frontier, its objective is %s; expected a file that sailor plan "
                       "--objective frontier wrote",
                       path, objective_name[r->objective]);
    /* the file has nothing beyond its job's own limits */
    l->max_usd = fmin(l->max_usd, r->job->max_usd_per_iteration);
    l->min_per_s = fmax(l->min_per_s, r->job->min_iterations_per_s);
    *out = *r;
    out->objective = by_cost(l) ? OBJECTIVE_COST : OBJECTIVE_THROUGHPUT;
    out->row = ARENA_ARRAY(a, struct row_result, r->n_row + 1);
    for (int i = 0; i < r->n_row; i++) out->row[i] = answer(&r->row[i], l, a);
    return 0;
}

const char *limits_text(const struct limits *l, struct arena *a) {
    const char *usd =
        l->max_usd < INFINITY ? arena_printf(a, "at most %.10g USD per iteration", l->max_usd) : "";
    const char *rate =
        l->min_per_s > 0 ? arena_printf(a, "at least %.10g iterations per second", l->min_per_s) : "";
    return arena_printf(a, "the %s plan with %s%s%s", by_cost(l) ? "cheapest" : "fastest", usd,
                        *usd && *rate ? " and " : "", rate);
}
