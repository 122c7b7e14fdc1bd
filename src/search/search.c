/* A row from its first plans to its answer, or to the reason why there is none. */
#include "search/search.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/oom.h"
#include "search/best.h"
#include "search/engine.h"
#include "search/ladder.h"
#include "search/memo.h"
#include "search/why.h"

/* The search would run out of memory at some moment or another, depending on its threads. So what it is sure
 * to need is asked for before it begins, and something to work in. */
static void foresee_memory(int threads) {
    enum { ROOM_BYTES = 96 << 20 };
    struct memo *memo = memos_new(threads);
    free(oom_malloc(ROOM_BYTES));
    memos_free(memo, threads);
}

/* Where there is much to do, some plan comes first, then some bound, and then better plans. */
static bool long_climb(const struct search_problem *p) {
    enum { LONG = 100000 };
    return ladder_work(p) >= LONG && p->objective != OBJECTIVE_FRONTIER;
}

/* Stopped before the first bound: what earlier runs proved stays, else nothing is known but that plans take
 * time. */
static int nothing_proven(struct engine *x) {
    struct row_result *row = x->row;
    row->status = row->n_plan ? ROW_FEASIBLE : ROW_TODO;
    row->search_s = engine_elapsed_s(x);
    if (row->n_unit) return 1;
    row->lower_bound = 0;
    row->gap = row->n_plan ? 1 : INFINITY;
    return 1;
}

static const char *why_undecided(struct engine *x) {
    int open = 0;
    for (int i = 0; i < x->n_unit; i++) open += x->unit[i].result->status == UNIT_OPEN;
    return arena_printf(x->a,
                        "undecided: no plan was found, but %d of %d work units were not searched to the end "
                        "and may hold one",
                        open, x->n_unit);
}

static int search(struct engine *x, struct err *e) {
    enum { FIRST = 16 };
    const struct search_problem *p = x->p;
    struct row_result *row = x->row;
    struct arena *a = x->a;
    for (int i = 0; i < row->n_plan; i++) best_estimate(p, &row->plan[i], a);
    for (int i = 0; i < row->n_frontier; i++) best_estimate(p, &row->frontier[i], a);
    bool fresh = !row->n_unit && !row->n_plan && !row->n_frontier, by_parts = fresh && long_climb(p);
    uint64_t work = ladder_work(p);
    if (fresh) climbs_run(x, by_parts ? work / FIRST : work, false, false);
    if (engine_build_parts(x, a, e)) return -1;
    row->bounds.islands = x->n_part > 1 ? (uint64_t)x->n_part : 0;
    worklist_fill(x);
    if (engine_stopped(x)) return nothing_proven(x);
    worklist_recall(x);
    if (worklist_adopt(x, e)) return -1;
    if (by_parts) {
        if (!(p->warm && row->n_plan) && probe_parts(x, e)) return -1;
        climbs_run(x, work / 4, false, false);
        climbs_run(x, work - work / 4, false, false);
    }
    engine_hire(x, a);
    int stopped = 0, rc = prove_all(x, &stopped, e);
    engine_dismiss(x);
    if (rc) return -1;
    standing_set_goal(x);
    standing_set_bounds(x);
    row->status = !row->n_plan ? ROW_TODO : stopped || row->gap > 0 ? ROW_FEASIBLE : ROW_OPTIMAL;
    if (stopped) return 1;
    if (!row->n_plan && row->lower_bound < INFINITY) {
        row->reason = why_undecided(x);
        return 0;
    }
    if (!row->n_plan) {
        row->status = ROW_INFEASIBLE;
        struct space *all = x->n_part > 1 ? space_build(p, &x->stop, x->threads, a, e) : x->part[0].s;
        if (!all) return -1;
        if (engine_stopped(x)) { /* with a part of the space, or none */
            row->status = ROW_TODO;
            return 1;
        }
        row->reason = why_infeasible(p, all, x->hooks, x->world, x->threads, a);
        row->lower_bound = INFINITY;
        row->gap = 0;
        if (engine_stopped(x)) { /* the reason may be incomplete */
            row->status = ROW_TODO;
            row->reason = NULL;
            return 1;
        }
    }
    return 0;
}

int search_row(const struct search_problem *p, struct row_result *row, const struct search_hooks *hooks,
               const struct mpx_comm *world, int threads, struct arena *a, struct err *e) {
    struct engine x = {.p = p,
                       .hooks = hooks,
                       .row = row,
                       .a = a,
                       .size = 1,
                       .threads = threads,
                       .told = INFINITY,
                       .start = now_s(),
                       .earlier_s = row->search_s,
                       .last_progress = now_s(),
                       .last_checkpoint = now_s()};
    foresee_memory(threads);
    if (world) {
        x.world = world;
        MPI_Comm_rank(world->mpi, &x.rank);
        MPI_Comm_size(world->mpi, &x.size);
    }
    if (hooks) x.stop = (struct stopper){hooks->stop, hooks->ctx};
    x.deal = deal_new(world, threads, row, a);
    x.e = e;
    int rc = search(&x, e);
    deal_free(x.deal);
    state_keep(&x);
    return rc;
}
