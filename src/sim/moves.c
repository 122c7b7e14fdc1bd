#include "sim/moves.h"

#include <stdlib.h>

/* GPUs of one zone and type that hold the same layers at the same degree. */
struct holding {
    int zone, gpu, first, end, ti, gpus;
};

static int holdings(const struct plan *p, struct holding *out) {
    int n = 0;
    for (int i = 0; p && i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++)
            for (int g = 0; g < p->pipeline[i].stage[k].n_group; g++) {
                const struct stage *st = &p->pipeline[i].stage[k];
                const struct replicas *r = &st->group[g];
                struct holding h = {r->zone, r->gpu,          st->first,
                                    st->end, tp_index(r->tp), r->count * replica_gpus(p, r)};
                out[n++] = h;
            }
    return n;
}

static int most_holdings(const struct plan *p) {
    int n = 0;
    for (int i = 0; p && i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++) n += p->pipeline[i].stage[k].n_group;
    return n;
}

double moves_bytes_per_param(int element_bytes, bool adam, int sharers) {
    double state = (adam ? 8 : 4) + (element_bytes < 4 ? 4 : 0);
    return element_bytes + state / sharers;
}

/* Parameters of layers [first, end) on one GPU that has them at both degrees. */
static double shared_params(const struct model *m, int first, int end, int ti, int ti2) {
    double sum = 0;
    for (int l = first; l < end; l++)
        sum += m->params[ti][l] < m->params[ti2][l] ? m->params[ti][l] : m->params[ti2][l];
    return sum;
}

struct pair {
    int old, now;
    bool same;
    double kept; /* parameters of each GPU */
};

static int better_pair(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    if (x->same != y->same) return x->same ? -1 : 1;
    if (x->kept != y->kept) return x->kept > y->kept ? -1 : 1;
    return x->now != y->now ? x->now - y->now : x->old - y->old;
}

struct moves moves_between(const struct workload *w, const struct plan *from, const struct plan *to,
                           double bytes_per_param) {
    struct arena a = {0};
    struct moves out = {0};
    struct holding *old = ARENA_ARRAY(&a, struct holding, most_holdings(from) + 1),
                                      *now = ARENA_ARRAY(&a, struct holding, most_holdings(to) + 1);
    int n_old = holdings(from, old), n_now = holdings(to, now), n = 0;
    struct pair *pair = ARENA_ARRAY(&a, struct pair, (size_t)n_old * (size_t)n_now + 1);
    for (int i = 0; i < n_now; i++) {
        const struct holding *x = &now[i];
        out.gpus += x->gpus;
        out.bytes += x->gpus * shared_params(w->model, x->first, x->end, x->ti, x->ti);
        for (int k = 0; k < n_old; k++) {
            const struct holding *y = &old[k];
            int first = x->first > y->first ? x->first : y->first, end = x->end < y->end ? x->end : y->end;
            if (x->zone != y->zone || x->gpu != y->gpu || first >= end) continue;
            bool same = x->first == y->first && x->end == y->end && x->ti == y->ti;
            pair[n++] = (struct pair){k, i, same, shared_params(w->model, first, end, x->ti, y->ti)};
        }
    }
    out.changed = out.gpus;
    qsort(pair, (size_t)n, sizeof *pair, better_pair);
    for (int i = 0; i < n; i++) {
        struct holding *x = &now[pair[i].now], *y = &old[pair[i].old];
        int both = x->gpus < y->gpus ? x->gpus : y->gpus;
        x->gpus -= both;
        y->gpus -= both;
        out.bytes -= both * pair[i].kept;
        if (pair[i].same) out.changed -= both;
    }
    out.bytes *= bytes_per_param;
    if (!out.changed) out.bytes = 0; /* exactly, without rounding */
    arena_free(&a);
    return out;
}
