#include "search/relax.h"

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

const struct space *relax_space(const struct relax *r) { return r->merged; }

struct workspace *const *relax_workspaces(const struct relax *r) {
    return r->workspace;
}
