#include "search/island.h"

#include <string.h>

#include "sim/tables.h"

/* May a replica of cell x have one of cell y beside it in its stage, or next to it in the pipeline? */
static bool linked(const struct site *s, int x, int y) {
    for (int k = 0; k < TP_N * TP_N; k++)
        if (site_link(s, x / s->n_gpu, x % s->n_gpu, 1 << k / TP_N, y / s->n_gpu, y % s->n_gpu,
                      1 << k % TP_N))
            return true;
    return false;
}

static bool counts(const struct search_problem *p, int cell) {
    int n_gpu = p->w->site->n_gpu;
    bool pinned_out = p->pin->zones && !(p->pin->zones >> (cell / n_gpu) & 1);
    return p->pool[cell] > 0 && p->w->profile[cell % n_gpu] && !pinned_out;
}

int islands_of(const struct search_problem *p, struct search_problem **out, struct arena *a) {
    const struct site *s = p->w->site;
    int n = s->n_zone * s->n_gpu, *of = ARENA_ARRAY(a, int, n), islands = 0;
    for (int k = 0; k < n; k++) of[k] = counts(p, k) ? k : -1;
    for (int x = 0; x < n && !(p->without & BOUND_ISLAND); x++)
        for (int y = x + 1; y < n && of[x] >= 0; y++) {
            if (of[y] < 0 || of[x] == of[y] || !(linked(s, x, y) || linked(s, y, x))) continue;
            int from = of[x] > of[y] ? of[x] : of[y], to = of[x] + of[y] - from;
            for (int k = 0; k < n; k++)
                if (of[k] == from) of[k] = to;
        }
    for (int k = 0; k < n; k++) islands += of[k] == k;
    if (islands < 2 || p->without & BOUND_ISLAND) {
        *out = ARENA_NEW(a, struct search_problem);
        **out = *p;
        return 1;
    }
    *out = ARENA_ARRAY(a, struct search_problem, islands);
    islands = 0;
    for (int root = 0; root < n; root++) {
        if (of[root] != root) continue;
        int *pool = ARENA_ARRAY(a, int, n);
        for (int k = 0; k < n; k++) pool[k] = of[k] == root ? p->pool[k] : 0;
        (*out)[islands] = *p;
        (*out)[islands++].pool = pool;
    }
    return islands;
}
