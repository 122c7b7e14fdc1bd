/* The parts of the pool with their tables and workspaces. */
#include "search/engine.h"

#include "base/clock.h"
#include "search/island.h"
#include "search/memo.h"

int engine_build_parts(struct engine *x, struct arena *a, struct err *e) {
    struct search_problem *p;
    x->n_part = islands_of(x->p, &p, a);
    x->part = ARENA_ARRAY(a, struct part, x->n_part);
    for (int k = 0; k < x->n_part; k++)
        if (!(x->part[k].s = space_build(&p[k], &x->stop, x->threads, a, e))) return -1;
    return 0;
}

void engine_hire(struct engine *x, struct arena *a) {
    x->memo = memos_new(x->threads);
    for (int k = 0; k < x->n_part; k++) {
        x->part[k].workspace = ARENA_ARRAY(a, struct workspace *, x->threads);
        for (int t = 0; t < x->threads; t++)
            x->part[k].workspace[t] = workspace_new(x->part[k].s, &x->memo[t]);
    }
}

void engine_dismiss(struct engine *x) {
    for (int k = 0; k < x->n_part; k++)
        for (int t = 0; t < x->threads; t++) workspace_free(x->part[k].workspace[t]);
    memos_free(x->memo, x->threads);
}

bool engine_stopped(const struct engine *x) {
    int stopped = stop_wanted(&x->stop);
    if (x->size > 1) mpx_reduce(x->world, &stopped, 1, MPI_INT, MPI_MAX);
    return stopped;
}

double engine_elapsed_s(const struct engine *x) { return x->earlier_s + now_s() - x->start; }

struct attempt engine_attempt(const struct engine *x, const struct ranked *u) {
    const struct part *part = &x->part[u->part];
    return (struct attempt){.s = part->s, .mb = ranked_space(x, u), .D = u->D, .workspace = part->workspace};
}
