/* Bounds with the zones of each region merged: windows that are gone on with as long as they are of use,
 * least bound first; then the merged plans are laid out on the real zones. */
#include <math.h>
#include <stdlib.h>

#include "base/oom.h"
#include "search/engine.h"
#include "search/merge.h"
#include "search/relax.h"

/* Where units are few or have few patterns, searching them takes less time than bounding them first. A
 * frontier has many goals at once, and a bound on one of them is of no use. */
bool bounds_merge_zones(const struct engine *x, int part) {
    const double MUCH = 400000;
    const struct search_problem *p = x->p;
    const struct space *s = x->part[part].s;
    if (p->objective == OBJECTIVE_FRONTIER || p->without & BOUND_MERGED || !space_can_merge(s)) return false;
    double patterns = 0, units = 0;
    for (int k = 0; k < s->n_mb; k++) patterns = fmax(patterns, s->mb[k].n_pattern);
    for (int i = 0; i < x->n_unit; i++) units += x->unit[i].part == part;
    return p->with & BOUND_MERGED || patterns * units >= MUCH;
}

/* Attempts at a unit: each goes on with the windows of the one before until it has looked at so many partial
 * plans; those that lay out begin anew. */
static const struct gear {
    uint64_t until;
    bool grid, lay_out;
    int units; /* at a time */
} gears[] = {
    {20000, false, false, 64},  {200000, false, false, 64}, {2000000, true, false, 16},
    {4000000, true, false, 16}, {8000000, true, false, 16}, {16000000, true, false, 16},
    {2000000, true, true, 8},   {20000000, true, true, 8},
};

enum { GEARS = sizeof gears / sizeof *gears, LAYING_OUT = 6, UNITS_MOST = 64 };

/* Anything within the gap will do. */
static struct goal relaxed_goal(const struct engine *x) {
    struct goal goal = x->goal;
    goal.best *= 1 - 0.9 * x->p->gap;
    return goal;
}

static struct unit_effort effort_of(const struct engine *x, const struct gear *g) {
    return (struct unit_effort){.limit = g->lay_out ? g->until : gears[LAYING_OUT - 1].until,
                                .grid_after = g->grid ? 4000 : 0,
                                .lay_out = g->lay_out,
                                .tolerance = g->lay_out ? 0.9 * x->p->gap : 0};
}

/* The next units of a part whose bounds are not good enough after the gears below: least bound first. */
static int next_units(struct engine *x, int part, const struct goal *goal, int gear, int *round) {
    int n = 0;
    worklist_sort(x);
    for (int i = 0; i < x->n_unit && n < gears[gear].units; i++) {
        const struct ranked *u = &x->unit[i];
        if (u->part == part && u->gear <= gear && ranked_live(u, goal)) round[n++] = i;
    }
    return n;
}

static void forget_attempt(struct ranked *u) {
    if (u->merged) attempt_free(u->merged);
    free(u->merged);
    u->merged = NULL;
    u->told = (struct told){0, 0};
}

/* What an attempt has come to, and the real plans found there. Goes on later, unless it is over. */
static void take_attempt(struct engine *x, struct ranked *u, struct attempt *at, int gear,
                         const struct goal *goal) {
    struct unit_answer more = at->answer;
    double *mine = ranked_bound(x, u), lb = at->bound;
    if (at->over) lb = at->answer.status == UNIT_OPEN ? at->answer.lower_bound : goal->best;
    more.nodes -= u->told.nodes; /* the row knows of these */
    more.plans -= u->told.plans;
    if (!at->over) more.bounds = (struct bound_counts){0};
    lb = fmin(lb, standing_take(x, u->result, &more));
    *mine = fmax(*mine, lb);
    u->result->lower_bound = fmax(u->result->lower_bound, *mine);
    x->row->bounds.merged += goal_excludes(goal, u->time_lb, u->cost_lb);
    u->told = (struct told){at->answer.nodes, at->answer.plans};
    u->gear = !at->over ? gear + 1 : gear < LAYING_OUT ? LAYING_OUT : gear + 1;
    if (at->over) forget_attempt(u);
}

/* Steps until each attempt is over, or has looked at so many partial plans. False: stopped. */
static bool run_attempts(struct engine *x, struct attempt *const *at, int n, const struct gear *g,
                         const struct goal *goal) {
    struct attempt *now = oom_calloc((size_t)n, sizeof *now);
    struct step t = {now, 0, g->grid && !g->lay_out ? n : SLICES_ALL, effort_of(x, g), goal};
    int *of = oom_calloc((size_t)n, sizeof *of);
    bool whole = true;
    while (whole) {
        t.n = 0;
        for (int i = 0; i < n; i++) {
            if (at[i]->over || (!g->lay_out && at[i]->begun && at[i]->answer.nodes >= g->until)) continue;
            now[t.n] = *at[i];
            of[t.n++] = i;
        }
        if (!t.n) break;
        whole = attempts_step(x->deal, TASK_MERGED, x->p, &t, NULL, x->a);
        for (int k = 0; k < t.n; k++) *at[of[k]] = now[k];
    }
    free(now);
    free(of);
    return whole;
}

/* True: stopped, and no answer of the round counts. */
static bool relax_round(struct engine *x, struct relax *r, const struct goal *goal, const int *round, int n,
                        int gear) {
    const struct space *s = relax_space(r);
    struct attempt *at[UNITS_MOST];
    for (int i = 0; i < n; i++) {
        struct ranked *u = &x->unit[round[i]];
        if (gears[gear].lay_out) forget_attempt(u);
        if (!u->merged) {
            u->merged = oom_malloc(sizeof *u->merged);
            *u->merged =
                (struct attempt){.s = s, .mb = &s->mb[u->mb], .D = u->D, .workspace = relax_workspaces(r)};
        }
        at[i] = u->merged;
    }
    bool whole = run_attempts(x, at, n, &gears[gear], goal);
    for (int i = 0; i < n && whole; i++) take_attempt(x, &x->unit[round[i]], at[i], gear, goal);
    return !whole;
}

/* All units of a part that are of interest; true: stopped. */
static bool relax_part(struct engine *x, int part, int gear) {
    bool stopped = false;
    if (gears[gear].lay_out && x->p->without & BOUND_LAYOUT) return false;
    while (!stopped) {
        struct goal goal = relaxed_goal(x);
        int round[UNITS_MOST], n = next_units(x, part, &goal, gear, round);
        if (!n) return false;
        stopped = relax_round(x, x->part[part].relax, gears[gear].lay_out ? &x->goal : &goal, round, n, gear);
        standing_set_goal(x);
        if (!stopped) climbs_beside_bounds(x);
        standing_set_bounds(x);
        standing_report(x);
    }
    return true;
}

int bounds_by_merging(struct engine *x) {
    struct goal goal = relaxed_goal(x);
    for (int i = 0; i < x->n_part; i++) {
        struct part *part = &x->part[i];
        part->relax = part->merge ? relax_new(part->s, x->memo, x->threads) : NULL;
    }
    int stopped = engine_stopped(x); /* as is a rank without the tables that it needs */
    for (int i = 0; i < x->n_part && !stopped; i++)
        if (x->part[i].merge) stopped = !x->part[i].relax || bounds_of_blocks(x, i, &goal);
    for (int k = 0; k < GEARS && !stopped; k++)
        for (int i = 0; i < x->n_part && !stopped; i++)
            if (x->part[i].merge) stopped = relax_part(x, i, k);
    for (int i = 0; i < x->n_unit; i++) forget_attempt(&x->unit[i]);
    for (int i = 0; i < x->n_part; i++) relax_free(x->part[i].relax);
    return stopped;
}
