#include "planners/planner.h"

#include <string.h>

/* Atlas, as reimplemented by the authors of the published comparison: one GPU type in many zones, a node per
 * replica; stages go greedily into regions, the largest first, and a stage stays within one region. The
 * common simulator ranks the plans. */

enum { MICRO_N = 4 };
static const int micro[MICRO_N] = {1, 2, 4, 8};

struct region {
    const char *name;
    int nodes;
};

/* The row's nodes of its first GPU type. */
struct atlas_space {
    const struct question *q;
    int gpu, tp;
    int n_region, n_zone;
    struct region region[ZONES_MAX]; /* largest first */
    struct {
        int zone, nodes, region;
    } zone[ZONES_MAX]; /* by region, within one in file order */
    int stride;        /* an id is (P, index of m, D) in mixed radix: D below this */
};

/* us-central1-a belongs to us-central1. */
static bool same_region(const char *a, const char *b) {
    size_t n = strlen(a);
    return n == strlen(b) && !strncmp(a, b, n < 2 ? n : n - 2);
}

static void collect(struct atlas_space *x, const struct question *q) {
    const struct pool *pool = q->pool;
    const struct site *s = q->w->site;
    struct region found[ZONES_MAX] = {0};
    *x = (struct atlas_space){.q = q, .gpu = pool->entry[0].gpu};
    x->tp = s->gpu[x->gpu].gpus_per_node;
    for (int i = 0; i < pool->n_entry; i++) {
        int k = 0;
        if (pool->entry[i].gpu != x->gpu) continue;
        while (k < x->n_region && !same_region(found[k].name, s->zone[pool->entry[i].zone])) k++;
        if (k == x->n_region) found[x->n_region++] = (struct region){s->zone[pool->entry[i].zone], 0};
        found[k].nodes += pool->entry[i].count / x->tp;
    }
    for (int i = 0; i < x->n_region; i++) { /* insertion sort: regions of equal size stay in file order */
        int k = i;
        for (; k > 0 && x->region[k - 1].nodes < found[i].nodes; k--) x->region[k] = x->region[k - 1];
        x->region[k] = found[i];
    }
    for (int r = 0; r < x->n_region; r++)
        for (int i = 0; i < pool->n_entry; i++) {
            const struct pool_entry *y = &pool->entry[i];
            if (y->gpu != x->gpu || !same_region(x->region[r].name, s->zone[y->zone])) continue;
            x->zone[x->n_zone].zone = y->zone;
            x->zone[x->n_zone].nodes = y->count / x->tp;
            x->zone[x->n_zone++].region = r;
        }
}

/* How many stages of D replicas all regions hold. */
static int stages_held(const struct atlas_space *x, int D) {
    int n = 0;
    for (int r = 0; r < x->n_region; r++) n += x->region[r].nodes / D;
    return n;
}

/* The planner's own memory test; all stages have one degree. */
static bool fits(const struct atlas_space *x, int P, int m) {
    const struct workload *w = x->q->w;
    const struct model *mo = w->model;
    int ti = tp_index(x->tp);
    for (int i = 0; i < P; i++) {
        double params = 0, act = 0;
        int first, end;
        even_layers(mo->n_layer, P, true, i, &first, &end);
        for (int l = first; l < end; l++) {
            params += mo->params[ti][l];
            act += mo->act_mem[ti][l];
        }
        if (w->state_bytes_per_param * params + w->element_bytes * act * m * (P - i) + 5.06e9 >
            w->site->gpu[x->gpu].memory_bytes)
            return false;
    }
    return true;
}

static const struct plan *lay_out(const struct atlas_space *x, int P, int m, int D, struct arena *a) {
    const struct workload *w = x->q->w;
    struct plan *p = plan_new(w, m, 1, P, a);
    struct pipeline *pl = p->pipeline;
    int z = 0, used = 0; /* zone to take from, nodes taken from it */
    for (int i = 0, r = 0, stages = x->region[0].nodes / D; i < P; i++, stages--) {
        struct stage *st = &pl->stage[i];
        while (!stages) stages = x->region[++r].nodes / D;
        even_layers(w->model->n_layer, P, true, i, &st->first, &st->end);
        st->group = ARENA_ARRAY(a, struct replicas, x->n_zone);
        while (x->zone[z].region != r) {
            z++;
            used = 0;
        }
        for (int left = D; left > 0;) {
            int take = x->zone[z].nodes - used < left ? x->zone[z].nodes - used : left;
            if (take)
                st->group[st->n_group++] =
                    (struct replicas){.gpu = x->gpu, .zone = x->zone[z].zone, .tp = x->tp, .count = take};
            left -= take;
            used += take;
            if (left > 0) {
                z++;
                used = 0;
            }
        }
    }
    return p;
}

static const struct plan *build(const struct answer *answer, long id, struct arena *a) {
    const struct atlas_space *x = answer->ctx;
    return lay_out(x, (int)(id / x->stride / MICRO_N), micro[id / x->stride % MICRO_N], (int)(id % x->stride),
                   a);
}

static int atlas_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    const struct workload *w = q->w;
    struct atlas_space *x = ARENA_NEW(a, struct atlas_space);
    int L = w->model->n_layer, *most = ARENA_ARRAY(a, int, L); /* [P] the largest D */
    long n = 0;
    (void)e;
    *out = (struct answer){.build = build, .ctx = x};
    if (!q->pool->n_entry) return 0;
    collect(x, q);
    if (tp_index(x->tp) < 0 || !w->model->params[tp_index(x->tp)]) return 0;
    most[0] = x->region[0].nodes < w->global_batch_size ? x->region[0].nodes : w->global_batch_size;
    x->stride = most[0] + 1;
    for (int P = 1; P < L; P++) {
        most[P] = most[P - 1];
        while (most[P] > 0 && stages_held(x, most[P]) < P) most[P]--;
        n += most[P];
    }
    struct proposal *list = ARENA_ARRAY(a, struct proposal, n * MICRO_N);
    for (int P = 1; P < L; P++)
        for (int mi = 0; mi < MICRO_N && fits(x, P, micro[mi]); mi++) {
            if (!profile_times(w->profile[x->gpu], micro[mi], x->tp)) continue;
            if (question_stopped(q)) return 0;
            for (int D = 1; D <= most[P] && D < w->global_batch_size / micro[mi]; D++) {
                struct arena_mark here = arena_mark(a);
                struct estimate est = {0};
                struct err none;
                out->states++;
                int rc = estimate_plan(w, lay_out(x, P, micro[mi], D, a), ESTIMATOR_SAILOR, &est, &none);
                arena_release(a, here);
                if (rc) continue; /* no link */
                struct proposal *y = &list[out->n++];
                y->time_s = est.iteration_time_s;
                y->cost_usd = q->corrected ? est.cost_usd : est.egress_usd; /* [Q1] rent left out */
                y->id = ((long)P * MICRO_N + mi) * x->stride + D;
            }
        }
    rank_proposals(list, out->n, q->objective == OBJECTIVE_COST);
    out->proposal = list;
    return 0;
}

static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    (void)extra;
    (void)corrected;
    (void)scratch;
    struct estimate est = {0};
    if (estimate_plan(w, p, ESTIMATOR_SAILOR, &est, e)) return -1;
    *out = (struct guess){est.iteration_time_s, est.peak_memory_bytes};
    return 0;
}

const struct planner atlas_planner = {
    .about = "first GPU type in all its zones; every grid, with whole stages placed in regions, ranked by "
             "the common simulator",
    PLANNER_PUBLISHED("atlas", CAN_SEED, atlas_propose, estimate),
};
