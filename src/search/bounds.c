/* Better bounds, before units are searched: of blocks of units, of units, and with merged zones. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "base/oom.h"
#include "search/block.h"
#include "search/engine.h"
#include "search/merge.h"
#include "search/relax.h"

/* ---- blocks ---- */

static int by_replicas(const void *a, const void *b) {
    const struct ranked *x = *(struct ranked *const *)a, *y = *(struct ranked *const *)b;
    return x->mb != y->mb ? x->mb - y->mb : x->D - y->D;
}

/* A block's bound holds for its units. Nothing beyond the goal was searched. */
static void take_block_bound(struct engine *x, struct ranked *const *live, const struct block *b,
                             const struct goal *goal) {
    double lb = x->p->objective == OBJECTIVE_COST ? b->lb.cost_usd : b->lb.time_s;
    if (x->p->objective != OBJECTIVE_FRONTIER) lb = fmin(lb, goal->best);
    for (int i = b->first; i < b->end; i++) {
        double *mine = ranked_bound(x, live[i]);
        *mine = fmax(*mine, lb);
        live[i]->result->lower_bound = fmax(live[i]->result->lower_bound, *mine);
        x->row->bounds.block += goal_excludes(goal, live[i]->time_lb, live[i]->cost_lb);
    }
}

/* One level of blocks. */
struct blocks {
    const struct part *part;
    const struct block_unit *unit;
    struct block *block;
    const struct goal *goal;
    const struct stopper *stop;
    double *lb; /* [n][2] */
};

static bool bound_block(void *ctx, int i) {
    struct blocks *b = ctx;
    if (stop_wanted(b->stop)) return false;
    block_bound(b->part->workspace[omp_get_thread_num()], b->part->s, b->unit, &b->block[i], b->goal);
    b->lb[2 * i] = b->block[i].lb.time_s;
    b->lb[2 * i + 1] = b->block[i].lb.cost_usd;
    return !stop_wanted(b->stop);
}

/* True: stopped. */
static bool block_round(struct engine *x, const struct part *part, struct ranked *const *live,
                        const struct block_unit *unit, struct block *block, int n, const struct goal *goal) {
    struct blocks b = {part, unit, block, goal, &x->stop, oom_calloc(2 * (size_t)n, sizeof *b.lb)};
    bool stopped = !deal_tasks(x->deal, TASK_BOUND, n, bound_block, &b, b.lb, 2 * n);
    for (int i = 0; i < n; i++) block[i].lb = (struct point){b.lb[2 * i], b.lb[2 * i + 1]};
    free(b.lb);
    for (int i = 0; i < n && !stopped; i++) take_block_bound(x, live, &block[i], goal);
    return stopped;
}

/* Bounds for blocks of units of a part, then for the pieces of those that are not good enough. */
static bool bound_blocks(struct engine *x, int part, const struct goal *goal) {
    enum { MANY = 256 };
    const struct search_problem *p = x->p;
    const struct part *of = &x->part[part];
    int n = 0;
    if (p->without & BOUND_BLOCK) return false;
    struct ranked **live = oom_calloc((size_t)x->n_unit + 1, sizeof *live);
    for (int i = 0; i < x->n_unit; i++)
        if (x->unit[i].part == part && ranked_live(&x->unit[i], goal)) live[n++] = &x->unit[i];
    if (n < MANY && !(p->with & BOUND_BLOCK)) return free(live), false;
    struct block_unit *unit = oom_calloc((size_t)n + 1, sizeof *unit);
    struct block *block = oom_calloc((size_t)n + 1, sizeof *block),
                 *next = oom_calloc((size_t)n + 1, sizeof *next);
    qsort(live, (size_t)n, sizeof *live, by_replicas);
    for (int i = 0; i < n; i++) unit[i] = (struct block_unit){live[i]->mb, live[i]->D};
    bool stopped = false;
    for (n = blocks_first(of->s, unit, n, block); n && !stopped;) {
        stopped = block_round(x, of, live, unit, block, n, goal);
        int parts = 0;
        for (int i = 0; i < n && !stopped; i++) {
            bool open = false;
            for (int k = block[i].first; k < block[i].end && !open; k++)
                open = !goal_excludes(goal, live[k]->time_lb, live[k]->cost_lb);
            if (open) parts += block_split(of->s, unit, &block[i], next + parts);
        }
        struct block *done = block;
        block = next;
        next = done;
        n = parts;
    }
    free(live);
    free(unit);
    free(block);
    free(next);
    return stopped;
}

/* ---- units ---- */

/* Bounds of units by their tables, some at a time. */
enum { UNITS_AT_ONCE = 8 };

struct unit_bounds {
    struct engine *x;
    double *lb; /* [n_unit] */
};

static bool bound_some(void *ctx, int task) {
    const struct unit_bounds *b = ctx;
    struct engine *x = b->x;
    for (int i = task * UNITS_AT_ONCE; i < (task + 1) * UNITS_AT_ONCE && i < x->n_unit; i++) {
        const struct ranked *u = &x->unit[i];
        const struct part *part = &x->part[u->part];
        if (part->merge) continue;
        if (!ranked_live(u, &x->goal)) {
            b->lb[i] = -INFINITY; /* not asked, and none is known */
            continue;
        }
        if (stop_wanted(&x->stop)) return false;
        struct point lb =
            unit_root_bound(part->workspace[omp_get_thread_num()], ranked_space(x, u), u->D, u->D, &x->goal);
        if (stop_wanted(&x->stop)) return false;
        b->lb[i] = x->p->objective == OBJECTIVE_COST ? lb.cost_usd : lb.time_s;
    }
    return true;
}

int bounds_by_tables(struct engine *x) {
    int stopped = 0;
    for (int k = 0; k < x->n_part && !stopped; k++)
        if (!x->part[k].merge) stopped = bound_blocks(x, k, &x->goal);
    if (stopped) return 1;
    struct unit_bounds b = {x, oom_calloc((size_t)x->n_unit + 1, sizeof *b.lb)};
    int tasks = (x->n_unit + UNITS_AT_ONCE - 1) / UNITS_AT_ONCE;
    stopped = !deal_tasks(x->deal, TASK_BOUND, tasks, bound_some, &b, b.lb, x->n_unit);
    for (int i = 0; i < x->n_unit && !stopped; i++) {
        struct ranked *u = &x->unit[i];
        double *mine = ranked_bound(x, u);
        if (x->part[u->part].merge) continue; /* not asked */
        *mine = fmax(*mine, b.lb[i]);
        if (u->result->status == UNIT_TODO) u->result->lower_bound = *mine;
    }
    free(b.lb);
    worklist_sort(x);
    return stopped;
}

/* ---- merged zones ---- */

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

/* The next units of a part whose bounds are not good enough after so many attempts: least bound first. */
static int next_relaxed(struct engine *x, int part, const struct goal *goal, int attempt, int *round,
                        int most) {
    int n = 0;
    worklist_sort(x);
    for (int i = 0; i < x->n_unit && n < most; i++) {
        const struct ranked *u = &x->unit[i];
        if (u->part == part && u->relaxed <= attempt && ranked_live(u, goal)) round[n++] = i;
    }
    return n;
}

/* Takes over a unit's bound with merged zones, and the real plans found there. */
static void take_relaxed(struct engine *x, struct ranked *u, const struct unit_answer *answer,
                         const struct goal *goal) {
    double *mine = ranked_bound(x, u), lb = answer->status == UNIT_OPEN ? answer->lower_bound : goal->best;
    u->relaxed++;
    lb = fmin(lb, standing_take(x, u->result, answer));
    *mine = fmax(*mine, lb);
    u->result->lower_bound = fmax(u->result->lower_bound, *mine);
    x->row->bounds.merged += goal_excludes(goal, u->time_lb, u->cost_lb);
}

/* True: stopped, and no answer of the round counts. */
static bool relax_round(struct engine *x, struct relax *r, const struct goal *goal, const int *round, int n,
                        struct unit_effort effort) {
    struct attempt *at = oom_calloc((size_t)n, sizeof *at);
    const struct space *s = relax_space(r);
    for (int i = 0; i < n; i++) {
        const struct ranked *u = &x->unit[round[i]];
        at[i] = (struct attempt){.s = s, .mb = &s->mb[u->mb], .D = u->D, .workspace = relax_workspaces(r)};
    }
    struct step t = {at, n, SLICES_ALL, effort, goal};
    bool whole = attempts_all(x->deal, TASK_MERGED, x->p, &t, NULL, x->a);
    for (int i = 0; i < n && whole; i++) take_relaxed(x, &x->unit[round[i]], &at[i].answer, goal);
    for (int i = 0; i < n; i++) attempt_free(&at[i]);
    free(at);
    return !whole;
}

/* Anything within the gap will do. */
static struct goal relaxed_goal(const struct engine *x) {
    struct goal goal = x->goal;
    goal.best *= 1 - 0.9 * x->p->gap;
    return goal;
}

/* One attempt at all units of a part that are of interest; true: stopped. */
static bool relax_part(struct engine *x, int part, int attempt) {
    enum { ROUND = 64, ROUND_LAYOUT = 8, MERGED = 3 };
    static const uint64_t limit[] = {20000, 200000, 2000000, 2000000, 20000000};
    bool lay_out = attempt >= MERGED, stopped = false;
    struct unit_effort effort = {
        .limit = limit[attempt], .lay_out = lay_out, .tolerance = lay_out ? 0.9 * x->p->gap : 0};
    if (lay_out && x->p->without & BOUND_LAYOUT) return false;
    while (!stopped) {
        struct goal goal = relaxed_goal(x);
        int round[ROUND], n = next_relaxed(x, part, &goal, attempt, round, lay_out ? ROUND_LAYOUT : ROUND);
        if (!n) return false;
        stopped = relax_round(x, x->part[part].relax, lay_out ? &x->goal : &goal, round, n, effort);
        standing_set_goal(x);
        if (!stopped) climbs_beside_bounds(x);
        standing_set_bounds(x);
        standing_report(x);
    }
    return true;
}

int bounds_by_merging(struct engine *x) {
    enum { ATTEMPTS = 5 };
    struct goal goal = relaxed_goal(x);
    for (int i = 0; i < x->n_part; i++) {
        struct part *part = &x->part[i];
        part->relax = part->merge ? relax_new(part->s, x->memo, x->threads) : NULL;
    }
    int stopped = engine_stopped(x); /* as is a rank without the tables that it needs */
    for (int i = 0; i < x->n_part && !stopped; i++)
        if (x->part[i].merge) stopped = !x->part[i].relax || bound_blocks(x, i, &goal);
    for (int k = 0; k < ATTEMPTS && !stopped; k++)
        for (int i = 0; i < x->n_part && !stopped; i++)
            if (x->part[i].merge) stopped = relax_part(x, i, k);
    for (int i = 0; i < x->n_part; i++) relax_free(x->part[i].relax);
    return stopped;
}
