#include "planners/planner.h"

#include <stdlib.h>
#include <string.h>

struct question question_of(const struct job *job, int row) {
    return (struct question){.w = &job->workload,
                             .pool = &job->pool[row],
                             .objective = job->objective,
                             .max_usd_per_iteration = job->max_usd_per_iteration,
                             .min_iterations_per_s = job->min_iterations_per_s,
                             .pin = &job->pin,
                             .exact_batch = job->exact_batch};
}

bool question_stopped(const struct question *q) {
    return q->hooks && q->hooks->stop && q->hooks->stop(q->hooks->ctx);
}

double plain_allreduce_s(const struct link *l, double bytes, int n) {
    return n <= 1 || bytes == 0 ? 0 : 2 * (n - 1) * link_time_s(l, bytes / n, ESTIMATOR_SAILOR);
}

void even_layers(int L, int P, bool last_longer, int i, int *first, int *end) {
    int each = L / P, more = L % P, plain = last_longer ? P - more : more; /* where the length changes */
    int size_before = last_longer ? each : each + 1, size_after = last_longer ? each + 1 : each;
    *first = i <= plain ? i * size_before : plain * size_before + (i - plain) * size_after;
    *end = *first + (i < plain ? size_before : size_after);
}

struct plan *grid_plan(const struct workload *w, int zone, int gpu, int D, int P, int tp, int m,
                       struct arena *a) {
    struct plan *p = plan_new(w, m, 1, P, a);
    for (int i = 0; i < P; i++) {
        struct stage *s = &p->pipeline->stage[i];
        even_layers(w->model->n_layer, P, false, i, &s->first, &s->end);
        s->n_group = 1;
        s->group = ARENA_NEW(a, struct replicas);
        *s->group = (struct replicas){.gpu = gpu, .zone = zone, .tp = tp, .count = D};
    }
    return p;
}

double rental_usd(const struct workload *w, const struct plan *p, double time_s) {
    double usd_per_s = 0;
    for (int i = 0; i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++)
            for (int g = 0; g < p->pipeline[i].stage[k].n_group; g++) {
                const struct replicas *r = &p->pipeline[i].stage[k].group[g];
                usd_per_s +=
                    w->site->usd_per_gpu_hour[r->zone * w->site->n_gpu + r->gpu] / 3600 * r->tp * r->count;
            }
    return usd_per_s * time_s;
}

int shown_types(const struct pool *pool, bool corrected, struct shown out[GPUS_MAX]) {
    int n = 0;
    for (int i = 0; i < pool->n_entry; i++) {
        const struct pool_entry *x = &pool->entry[i];
        int k = 0;
        while (k < n && out[k].gpu != x->gpu) k++;
        if (k == n) {
            out[n++] = (struct shown){x->gpu, x->zone, x->count};
        } else if (!corrected || x->count > out[k].gpus) {
            out[k].gpus = x->count;
            out[k].zone = x->zone;
        }
    }
    if (!corrected && pool->n_entry)
        for (int k = 0; k < n; k++) out[k].zone = pool->entry[pool->n_entry - 1].zone;
    return n;
}

/* Links are known for 1, 2, 4 and 8 GPUs on a side. */
static int talking(const struct gpu_type *g) {
    int n = TP_MAX;
    while (n > g->gpus_per_node) n /= 2;
    return n;
}

const struct link *node_link(const struct site *s, int zone, int gpu, int zone2, int gpu2) {
    return site_link(s, zone, gpu, talking(&s->gpu[gpu]), zone2, gpu2, talking(&s->gpu[gpu2]));
}

/* NAN sorts last, so that the order is total. */
static int compare(double x, double y) {
    if (isnan(x) || isnan(y)) return !!isnan(x) - !!isnan(y);
    return (x > y) - (x < y);
}

static int by_time(const void *a, const void *b) {
    const struct proposal *x = a, *y = b;
    int c = compare(x->time_s, y->time_s);
    return c ? c : (x->id > y->id) - (x->id < y->id);
}

static int by_usd(const void *a, const void *b) {
    const struct proposal *x = a, *y = b;
    int c = compare(x->cost_usd, y->cost_usd);
    return c ? c : (x->id > y->id) - (x->id < y->id);
}

void rank_proposals(struct proposal *x, int n, bool by_cost) {
    if (n > 1) qsort(x, (size_t)n, sizeof *x, by_cost ? by_usd : by_time);
}

int divisors(int n, const int **out, struct arena *a) {
    int half = 0, k = 0;
    for (int d = 1; d <= n / d; d++) half += n % d == 0;
    int *v = ARENA_ARRAY(a, int, 2 * half);
    for (int d = 1; d <= n / d; d++)
        if (n % d == 0) v[k++] = d;
    for (int i = half - 1; i >= 0; i--)
        if (v[i] != n / v[i]) v[k++] = n / v[i];
    *out = v;
    return k;
}
