#include "planners/planner.h"

#include <stdio.h>
#include <stdlib.h>

/* Piper: microbatches of one sequence, no tensor parallelism, a data-parallel degree for each stage. A
 * dynamic program over the last j layers finds the least bottleneck, the time per sequence of the slowest
 * stage. The published table has two more axes, GPUs k and the sum s of the degrees. Without tensor
 * parallelism a stage takes the same number of both, and the table is monotone, so X[j][k][s] = X[j][v][v], v
 * = min(k, s): one axis gives the same answers. */

/* The published program treats answers closer than this, in seconds per sequence, as equal. */
static const double SAME_S = 1e-9;

/* The model on one kind of GPU: prefix sums over layers, so that a stage is a difference. */
struct chain {
    const struct workload *w;
    double m, n; /* sequences of a microbatch; microbatches of the batch */
    bool corrected;
    double bw_Bps, memory_bytes;
    double *time_s, *act_bytes, *params; /* [layers + 1] */
};

/* Returns 0; 1 if these GPUs were not profiled; -1 with *e set if their bandwidth is unknown. */
static int chain_make(struct chain *c, const struct workload *w, const struct replicas *r, int m,
                      bool corrected, struct arena *a, struct err *e) {
    const struct site *s = w->site;
    const struct gpu_type *g = &s->gpu[r->gpu];
    const struct layer_times *t = profile_times(w->profile[r->gpu], m, r->tp);
    const struct link *l = node_link(s, r->zone, r->gpu, r->zone, r->gpu);
    int ti = tp_index(r->tp), L = w->model->n_layer;
    if (!t || !w->model->params[ti]) return 1;
    if (!l)
        return err_set(e, EXIT_INPUT,
                       "site %s: no link between nodes of %s in %s, whose bandwidth piper needs", s->name,
                       g->name, s->zone[r->zone]);
    *c = (struct chain){.w = w,
                        .m = m,
                        .n = w->global_batch_size / m,
                        .corrected = corrected,
                        .bw_Bps = l->peak_Bps,
                        .memory_bytes = g->memory_bytes};
    c->time_s = ARENA_ARRAY(a, double, L + 1);
    c->act_bytes = ARENA_ARRAY(a, double, L + 1);
    c->params = ARENA_ARRAY(a, double, L + 1);
    for (int i = 0; i < L; i++) {
        c->time_s[i + 1] = c->time_s[i] + t->fwd_s[i] + t->bwd_s[i];
        c->act_bytes[i + 1] = c->act_bytes[i] + w->element_bytes * w->model->act_mem[ti][i] * m;
        c->params[i + 1] = c->params[i] + w->model->params[ti][i];
    }
    return 0;
}

/* Memory of layers [first, end) if the degrees from this stage on add up to s: it keeps ceil(s/d)
 * microbatches. The 20 bytes per parameter are the planner's own figure. */
static double stage_bytes(const struct chain *c, int first, int end, int d, int s) {
    return (c->act_bytes[end] - c->act_bytes[first]) * ((s + d - 1) / d) +
           20 * (c->params[end] - c->params[first]);
}

/* Time per microbatch of layers [first, end) in d replicas. */
static double stage_s(const struct chain *c, int first, int end, int d) {
    const double *out = c->w->model->act_out;
    double edges = (first ? out[first - 1] : 0) + (end < c->w->model->n_layer ? out[end - 1] : 0);
    double sync = d - 1.;            /* per parameter, times 2/d per batch: a ring */
    if (c->corrected) edges *= c->m; /* [Q1] the edges of one sequence, whatever the microbatch */
    if (!c->corrected) sync *= 2;    /* [Q3] the volume of a parameter server */
    double elements = 2 * edges / d + 2 * sync * (c->params[end] - c->params[first]) / (d * c->n);
    return c->w->element_bytes * elements / c->bw_Bps + (c->time_s[end] - c->time_s[first]) / d;
}

/* ---- planner ------------------------------------------------------------------------------------------- */

struct piper_search {
    struct chain chain;
    int L, gpus;       /* the sum of degrees is at most gpus */
    const int *degree; /* [n_degree], ascending: allowed for a stage; all are multiples of the first */
    int n_degree;
    double *best; /* [(L + 1) * (gpus + 1)]: the last j layers with degrees that add up to at most s */
    uint64_t states;
};

static double *best_of(const struct piper_search *x, int j) {
    return x->best + (size_t)j * (size_t)(x->gpus + 1);
}

/* Stages grow from the shortest; both tests that stop this are monotone in the length. */
static void fill(struct piper_search *x, int j) {
    const struct chain *c = &x->chain;
    double *row = best_of(x, j);
    int first = x->L - j;
    row[0] = INFINITY;
    for (int s = x->degree[0]; s <= x->gpus; s += x->degree[0]) {
        double least = row[s - x->degree[0]];
        for (int k = 0; k < x->n_degree && x->degree[k] <= s; k++)
            for (int d = x->degree[k], i = j - 1; i >= 0; i--) {
                int end = x->L - i;
                if ((c->time_s[end] - c->time_s[first]) / d >= least) break;
                if (stage_bytes(c, first, end, d, s) > c->memory_bytes) break;
                least = fmin(least, fmax(best_of(x, i)[s - d], stage_s(c, first, end, d)));
                x->states++;
            }
        row[s] = least;
    }
}

/* The first stage of a best plan for the last j layers and at most *s GPUs, in the order of the published
 * program: shortest first, then by degree. If the best uses fewer GPUs, *s falls to that. Returns the degree;
 * *i: layers left. */
static int first_stage(const struct piper_search *x, int j, int *s, int *i) {
    for (;; *s -= x->degree[0])
        for (*i = j - 1; *i >= 0; --*i)
            for (int k = 0; k < x->n_degree && x->degree[k] <= *s; k++) {
                int d = x->degree[k], first = x->L - j, end = x->L - *i;
                if (stage_bytes(&x->chain, first, end, d, *s) > x->chain.memory_bytes) continue;
                double value = fmax(best_of(x, *i)[*s - d], stage_s(&x->chain, first, end, d));
                if (fabs(value - best_of(x, j)[*s]) < SAME_S) return d;
            }
}

static const struct plan *trace(const struct piper_search *x, int s, int gpu, int zone, struct arena *a) {
    const struct workload *w = x->chain.w;
    struct plan *p = plan_new(w, 1, 1, x->L, a); /* at most */
    struct pipeline *pl = p->pipeline;
    pl->n_stage = 0;
    for (int j = x->L, i; j > 0; j = i) {
        struct replicas *r = ARENA_NEW(a, struct replicas);
        int d = first_stage(x, j, &s, &i);
        *r = (struct replicas){.gpu = gpu, .zone = zone, .tp = 1, .count = d};
        pl->stage[pl->n_stage++] = (struct stage){x->L - j, x->L - i, 1, r};
        s -= d;
    }
    return p;
}

/* The best plan with these degrees, if there is one. */
static bool solve(struct piper_search *x, const struct question *q, struct proposal *out, struct arena *a) {
    const struct pool_entry *pool = &q->pool->entry[0];
    for (int j = 1; j <= x->L; j++) {
        if (question_stopped(q)) return false;
        fill(x, j);
    }
    int s = 0;
    for (int k = x->degree[0]; k <= x->gpus; k += x->degree[0])
        if (best_of(x, x->L)[k] < best_of(x, x->L)[s] - SAME_S) s = k;
    if (!s) return false;
    out->time_s = best_of(x, x->L)[s] * x->chain.n;
    out->plan = trace(x, s, pool->gpu, pool->zone, a);
    out->cost_usd = rental_usd(q->w, out->plan, out->time_s);
    return true;
}

static int piper_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    struct piper_search x = {.L = q->w->model->n_layer};
    const int *degree;
    *out = (struct answer){0};
    if (!q->pool->n_entry || !q->pool->entry[0].count) return 0; /* it looks only at the first entry */
    const struct pool_entry *pool = &q->pool->entry[0];
    int rc = chain_make(&x.chain, q->w, &(struct replicas){.gpu = pool->gpu, .zone = pool->zone, .tp = 1}, 1,
                        q->corrected, a, e);
    if (rc) return rc < 0 ? -1 : 0;
    int n = divisors(q->w->global_batch_size, &degree, a), batch = q->w->global_batch_size;
    x.gpus = pool->count < batch ? pool->count : batch;
    x.best = ARENA_ARRAY(a, double, (size_t)(x.L + 1) * (size_t)(x.gpus + 1));
    struct proposal *list = ARENA_ARRAY(a, struct proposal, n);
    if (q->corrected) {
        /* [Q4] stages differ in degree, but whatever runs the plan takes the first stage's for all;
         * corrected: a list of the best plan for each degree, all stages alike */
        for (x.degree = degree, x.n_degree = 1; x.degree < degree + n; x.degree++)
            if (solve(&x, q, &list[out->n], a)) {
                list[out->n].id = out->n;
                out->n++;
            }
    } else {
        x.degree = degree;
        x.n_degree = n;
        out->n = solve(&x, q, list, a);
    }
    rank_proposals(list, out->n, false); /* whatever the objective */
    out->proposal = list;
    out->states = x.states;
    return 0;
}

/* ---- estimator ----------------------------------------------------------------------------------------- */

/* The caller of the published program reads its printed numbers. */
static double printed(double x) {
    char text[32];
    snprintf(text, sizeof text, "%.6g", x);
    return strtod(text, NULL);
}

/* Handles one pipeline; a stage of several kinds of GPUs is as slow, and as full, as its worst kind. */
static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    (void)extra;
    double slowest_s = 0, fullest = 0;
    bool fits = true;
    *out = (struct guess){NAN, NAN};
    if (p->n_pipeline > 1) return 0;
    for (int k = p->pipeline->n_stage - 1, s = 0; k >= 0; k--) {
        const struct stage *st = &p->pipeline->stage[k];
        int d = stage_replicas(st);
        s += d;
        for (int g = 0; g < st->n_group; g++) {
            struct chain c;
            int rc = chain_make(&c, w, &st->group[g], p->micro_batch_size, corrected, scratch, e);
            if (rc) return rc < 0 ? -1 : 0;
            double bytes = stage_bytes(&c, st->first, st->end, d, s);
            fits = fits && bytes <= c.memory_bytes;
            fullest = fmax(fullest, bytes);
            slowest_s = fmax(slowest_s, stage_s(&c, st->first, st->end, d));
        }
    }
    if (!fits && !corrected) return 0; /* [Q2] the program stops at a plan that does not fit */
    out->time_s = printed(slowest_s) * (w->global_batch_size / p->micro_batch_size);
    out->peak_bytes = printed(fullest);
    return 0;
}

const struct planner piper_planner = {
    .about =
        "first GPU type and zone; dynamic program over layers, with a data-parallel degree for each stage",
    PLANNER_PUBLISHED("piper", CAN_SEED, piper_propose, estimate),
};
