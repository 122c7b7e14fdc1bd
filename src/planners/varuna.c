#include "planners/varuna.h"

/* Varuna: one GPU type in one zone, every number of stages that divides the layers, the largest microbatch
 * that its memory model allows, and a simulation of the pipeline event by event, including noise. [Q1], [Q2],
 * ... mark quirks of the published code; corrected mode fixes them. */

/* Does the grid fit? [Q2]: checks the whole model as one stage, divided by the number of stages. */
static bool fits(const struct varuna_grid *g) {
    double bytes =
        g->corrected ? varuna_peak_bytes(g) : floor(varuna_stage_bytes(g, 0, g->w->model->n_layer, 0) / g->P);
    return bytes <= g->w->site->gpu[g->gpu].planner_memory_bytes;
}

/* The largest microbatch that fits, 0 if none. [Q3] (a microbatch that becomes a float when halved) has no
 * counterpart here. */
static int largest_microbatch(struct varuna_grid *g) {
    const struct profile *x = g->w->profile[g->gpu];
    if (g->corrected) {
        for (int i = x->n_mb - 1; i >= 0; i--) {
            g->m = x->mb[i];
            if ((g->m == 1 || g->m % 2 == 0) && profile_times(x, g->m, g->t) && fits(g)) return g->m;
        }
        return 0;
    }
    for (g->m = g->peaks ? g->peaks->mb[g->peaks->n - 1] : x->mb[x->n_mb - 1]; g->m && !fits(g); g->m /= 2)
        if (isnan(varuna_layer_peak(g, 0)))
            return 0; /* [Q4]: the published code fails if a size was not measured */
    return g->m > 1 ? g->m / 2 * 2 : g->m;
}

static double rank(const struct question *q, const struct proposal *y) {
    return q->objective == OBJECTIVE_COST ? y->cost_usd : y->time_s;
}

static int varuna_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    (void)e;
    const struct workload *w = q->w;
    const struct pool_entry *x = q->pool->entry; /* only the first */
    *out = (struct answer){0};
    if (!q->pool->n_entry || !w->profile[x->gpu]) return 0;
    int node = w->site->gpu[x->gpu].gpus_per_node, nodes = x->count / node, L = w->model->n_layer, n = 0;
    struct proposal *list = ARENA_ARRAY(a, struct proposal, L);
    int *first = ARENA_ARRAY(a, int, L + 1);
    for (int P = 1; P <= L && P <= nodes; P++) {
        if (L % P) continue;
        struct varuna_grid g;
        if (!varuna_grid_start(&g, w, q->extra, x->zone, x->gpu, q->corrected ? node : 1, q->corrected))
            return 0;
        g.P = P;
        g.D = nodes / P;
        g.B = w->global_batch_size;
        g.first = first;
        for (int i = 0; i <= P; i++) first[i] = i * (L / P);
        if (!(g.m = largest_microbatch(&g))) {
            if (q->corrected) continue;
            return 0; /* [Q4]: or if not even 1 fits; then propose nothing */
        }
        double time_s = varuna_iteration_s(&g, a);
        out->states++;
        if (!(time_s > 0)) continue;
        /* [Q1]: planned with nodes, handed out as GPUs of degree 1 */
        int D = q->corrected ? g.D : nodes * node / P, at = n++;
        const struct plan *p = grid_plan(w, x->zone, x->gpu, D, P, g.tp, g.m, a);
        struct proposal y = {.time_s = time_s, .cost_usd = rental_usd(w, p, time_s), .plan = p};
        for (; at && rank(q, &list[at - 1]) > rank(q, &y); at--) list[at] = list[at - 1];
        list[at] = y;
    }
    out->n = n;
    out->proposal = list;
    return 0;
}

const struct planner varuna_planner = {
    .about = "one GPU type and zone; stages that divide the layers, the largest microbatch, simulated event "
             "by event",
    .load = varuna_load,
    PLANNER_PUBLISHED("varuna", 0, varuna_propose, varuna_estimate),
};
