#include "search/relax.h"

#include <omp.h>
#include <stdlib.h>

#include "base/oom.h"
#include "search/memo.h"
#include "search/merge.h"

struct relax {
    struct space *merged;
    int threads;
    struct workspace **workspace; /* [threads] */
    struct arena memory;
};

struct relax *relax_new(const struct space *s, struct memo *memo, int threads) {
    struct relax *r = oom_calloc(1, sizeof *r);
    r->merged = space_merge(s, &r->memory);
    if (r->merged) {
        r->threads = threads;
        r->workspace = oom_calloc((size_t)threads, sizeof(struct workspace *));
        for (int t = 0; t < threads; t++) r->workspace[t] = workspace_new(r->merged, &memo[t]);
        return r;
    }
    relax_free(r);
    return NULL;
}

void relax_free(struct relax *r) {
    if (!r) return;
    for (int t = 0; t < r->threads; t++) workspace_free(r->workspace[t]);
    free(r->workspace);
    arena_free(&r->memory);
    free(r);
}

bool relax_solve(struct relax *r, const struct relax_unit *unit, int n, int first, int step,
                 const struct goal *goal, struct unit_effort effort, struct unit_answer *answer,
                 struct arena *memory) {
    bool stopped = false;
    int mine = n > first ? (n - first + step - 1) / step : 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(r->threads)
    for (int j = 0; j < mine; j++) {
        int i = first + j * step;
        unit_solve(r->workspace[omp_get_thread_num()], &r->merged->mb[unit[i].mb], unit[i].D, goal, effort,
                   &answer[i], &memory[i]);
        if (answer[i].status == UNIT_TODO) {
#pragma omp atomic write
            stopped = true;
        }
    }
    return !stopped;
}
