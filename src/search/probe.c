/* Short searches for a good plan to beat before the proof begins, in the whole pool and in parts of it. */
#include <stdlib.h>

#include "base/oom.h"
#include "search/best.h"
#include "search/engine.h"

/* Probes. 0 done, 1 stopped: then nothing of the round is kept. */
static int run_round(struct engine *x, const int *round, int n, struct unit_effort effort) {
    struct attempt *at = oom_calloc((size_t)n, sizeof *at);
    const struct step_hooks hooks = {.done = standing_report, .ctx = x};
    struct step t = {at, n, SLICES_ALL, effort, &x->goal};
    for (int i = 0; i < n; i++) at[i] = engine_attempt(x, &x->unit[round[i]]);
    bool whole = attempts_all(x->deal, TASK_PROBE, x->p, &t, &hooks, x->a);
    for (int i = 0; i < n && whole; i++)
        standing_merge(x, x->unit[round[i]].result, &at[i].answer, at[i].seconds, true);
    for (int i = 0; i < n; i++) attempt_free(&at[i]);
    free(at);
    return !whole;
}

enum { DIVE = 2000 }; /* partial plans */

/* A little work on a few units, spread over microbatches and sizes of D: only their plans count. */
static int probe_units(struct engine *x, struct unit_effort effort, bool spread) {
    enum { PROBE = 64 };
    int round[PROBE], n = 0;
    unsigned tried[64] = {0};
    for (int i = 0; i < x->n_unit && n < (spread ? PROBE : 8); i++) {
        const struct ranked *u = &x->unit[i];
        int bucket = 31 - __builtin_clz((unsigned)u->D);
        if (!ranked_live(u, &x->goal)) continue;
        bool even = u->D == 1 << bucket; /* these divide most batches */
        if (spread && (u->mb >= 64 || (!even && tried[u->mb] >> bucket & 1))) continue;
        if (spread && !even) tried[u->mb] |= 1u << bucket;
        round[n++] = i;
    }
    if (!n) return 0;
    int stopped = run_round(x, round, n, effort);
    standing_set_goal(x);
    return stopped;
}

int probe_all(struct engine *x, bool known) {
    const struct unit_effort dive = {.limit = DIVE, .dive = true};
    int stopped = 0;
    bool merge = false, apart = false;
    for (int k = 0; k < x->n_part; k++) *(x->part[k].merge ? &merge : &apart) = true;
    if (!known && (!merge || !x->row->n_plan)) stopped = probe_units(x, dive, true);
    if (!stopped && apart) stopped = bounds_by_tables(x);
    if (!stopped && merge) stopped = bounds_by_merging(x);
    if (!stopped && !known)
        stopped = probe_units(x, (struct unit_effort){.limit = 8000}, true) ||
                  probe_units(x, (struct unit_effort){.limit = 50000}, false);
    return stopped;
}

/* ---- parts of the pool by themselves ---- */

/* What the part's row has found, to the whole. */
static void take_over(struct engine *x, const struct row_result *row, const struct row_result *before) {
    for (int i = 0; i < row->n_plan; i++) {
        struct found_plan f = row->plan[i];
        bool old = false;
        for (int k = 0; k < before->n_plan; k++) old |= f.plan == before->plan[k].plan;
        if (old) continue;
        f.plan = plan_copy(f.plan, x->a);
        best_estimate(x->p, &f, x->a);
        best_add(x->p, x->row, f, x->a);
    }
}

/* Dives into a part of the pool, for plans that beat what is known of the whole, and a local search from
 * those. Collective, like the search itself. */
static int probe_part(struct engine *x, const int *pool, struct err *e) {
    enum { LOOK_ROUND = 20000 };
    struct arena scratch = {0};
    struct search_problem p = *x->p;
    const struct row_result before = {.plan = x->row->plan, .n_plan = x->row->n_plan};
    struct row_result row = before;
    struct engine y = *x;
    p.pool = pool;
    y.p = &p;
    y.row = &row;
    y.hooks = NULL;
    y.a = &scratch;
    y.sample = true;
    int rc = engine_build_parts(&y, &scratch, e);
    if (!rc) worklist_fill(&y);
    if (!rc && !engine_stopped(&y) && !(rc = worklist_adopt(&y, e))) {
        engine_hire(&y, &scratch);
        double known;
        standing_set_goal(&y);
        worklist_sort(&y);
        known = standing_value(&y);
        probe_units(&y, (struct unit_effort){.limit = DIVE, .dive = true}, true);
        engine_dismiss(&y);
        if (standing_value(&y) < known) climbs_run(&y, LOOK_ROUND, true, false);
    }
    x->row->plans_evaluated += row.plans_evaluated;
    take_over(x, &row, &before);
    arena_free(&scratch);
    standing_set_goal(x);
    return rc;
}

/* Of the part numbered `by`: the cells one by one, then the GPU types, then the zones. 0: there is no such
 * part, or it is the whole. */
static int part_of(const struct search_problem *p, int by, int *part) {
    int n_gpu = p->w->site->n_gpu, n_zone = p->w->site->n_zone, n = n_zone * n_gpu, here = 0, all = 0;
    for (int k = 0; k < n; k++) {
        bool in = by < n ? k == by : by < n + n_gpu ? k % n_gpu == by - n : k / n_gpu == by - n - n_gpu;
        part[k] = in ? p->pool[k] : 0;
        here += part[k] > 0;
        all += p->pool[k] > 0;
    }
    return here < all && (by < n || here > 1) ? here : 0;
}

int probe_parts(struct engine *x, struct err *e) {
    const struct site *site = x->p->w->site;
    int n = site->n_zone * site->n_gpu, *part = ARENA_ARRAY(x->a, int, n);
    for (int by = 0; by < n + site->n_gpu + site->n_zone; by++) {
        if (!part_of(x->p, by, part)) continue;
        if (engine_stopped(x)) break;
        if (probe_part(x, part, e)) return -1;
    }
    return 0;
}

/* ---- after the proof ---- */

void probe_polish(struct engine *x) {
    enum { POLISHED = 4 };
    int round[POLISHED], n = 0;
    if (x->p->gap == 0 || x->p->objective == OBJECTIVE_FRONTIER) return;
    worklist_sort_open(x);
    for (int i = 0; i < x->n_unit && n < POLISHED; i++)
        if (x->unit[i].result->status == UNIT_OPEN) round[n++] = i;
    if (!n) return;
    run_round(x, round, n, (struct unit_effort){.limit = 2000000, .tolerance = 0.1 * x->p->gap});
    standing_set_goal(x);
    standing_set_bounds(x);
}
