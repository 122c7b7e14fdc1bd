/* Better bounds, before units are searched: of blocks of units, and of units. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "base/oom.h"
#include "search/block.h"
#include "search/engine.h"

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
bool bounds_of_blocks(struct engine *x, int part, const struct goal *goal) {
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
        if (!x->part[k].merge) stopped = bounds_of_blocks(x, k, &x->goal);
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
