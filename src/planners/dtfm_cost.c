#include "planners/dtfm.h"

#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_P = 17 };

/* ---- assignment and path ---------------------------------------------------------------------------------
 */

/* Assigns rows to columns at the least total of cost[n * n], by shortest augmenting paths: match[row] =
 * column. */
void dtfm_least_matching(int n, const double *cost, int *match, struct arena *a) {
    struct arena_mark mark = arena_mark(a);
    double *u = ARENA_ARRAY(a, double, n + 1), *v = ARENA_ARRAY(a, double, n + 1);
    double *dist = ARENA_ARRAY(a, double, n + 1);
    int *row = ARENA_ARRAY(a, int, n + 1),
                           *via = ARENA_ARRAY(a, int, n + 1); /* per column; n: the new row's */
    bool *done = ARENA_ARRAY(a, bool, n + 1);
    for (int j = 0; j <= n; j++) row[j] = -1;
    for (int i = 0; i < n; i++) {
        int j = n;
        row[n] = i;
        for (int k = 0; k < n; k++) {
            dist[k] = INFINITY;
            done[k] = false;
        }
        while (row[j] >= 0) {
            int r = row[j], next = -1;
            double step = INFINITY;
            done[j] = true;
            for (int k = 0; k < n; k++) {
                if (done[k]) continue;
                double d = cost[(size_t)r * (size_t)n + (size_t)k] - u[r] - v[k];
                if (d < dist[k]) {
                    dist[k] = d;
                    via[k] = j;
                }
                if (dist[k] < step) {
                    step = dist[k];
                    next = k;
                }
            }
            for (int k = 0; k <= n; k++)
                if (k < n && !done[k]) {
                    dist[k] -= step;
                } else if (done[k]) {
                    u[row[k]] += step;
                    v[k] -= step;
                }
            j = next;
        }
        for (; j != n; j = via[j]) row[j] = row[via[j]];
        done[n] = false;
    }
    for (int j = 0; j < n; j++) match[row[j]] = j;
    arena_release(a, mark);
}

/* The weight of a minimum spanning tree of d[P * P]: no path is shorter. */
static double tree_weight(int P, const double *d) {
    double near[LAYERS_MAX], sum = 0;
    for (int i = 1; i < P; i++) near[i] = d[i];
    for (int n = 1; n < P; n++) {
        int k = 0;
        for (int i = 1; i < P; i++)
            if (near[i] >= 0 && (!k || near[i] < near[k])) k = i;
        sum += near[k];
        near[k] = -1;
        for (int i = 1; i < P; i++)
            if (near[i] > d[k * P + i]) near[i] = d[k * P + i];
    }
    return sum;
}

static double nearest_path(int P, const double *d, int start, int *path) {
    bool used[LAYERS_MAX] = {false};
    double sum = 0;
    used[path[0] = start] = true;
    for (int n = 1; n < P; n++) {
        int k = -1;
        for (int i = 0; i < P; i++)
            if (!used[i] && (k < 0 || d[path[n - 1] * P + i] < d[path[n - 1] * P + k])) k = i;
        sum += d[path[n - 1] * P + k];
        used[path[n] = k] = true;
    }
    return sum;
}

/* The shortest path through all P groups. Usually nearly all distances are equal, and a nearest-neighbour
 * path matches the spanning tree; else use a table over sets of groups. Past PATH_MAX_P groups that table is
 * too large: take the best nearest-neighbour path. */
static double shortest_path(int P, const double *d, int *path, struct arena *a) {
    int try[LAYERS_MAX];
    unsigned n_group = (unsigned)P, sets = 1u << (P <= PATH_MAX_P ? P : 0);
    double best = INFINITY;
    for (int i = 0; i < P; i++) {
        double sum = nearest_path(P, d, i, try);
        if (sum < best) {
            best = sum;
            memcpy(path, try, sizeof *path * (size_t)P);
        }
    }
    if (P > PATH_MAX_P || best <= tree_weight(P, d) * (1 + 1e-12)) return best;
    struct arena_mark mark = arena_mark(a);
    double *length = ARENA_ARRAY(a, double, sets * n_group);
    for (unsigned s = 1; s < sets; s++)
        for (unsigned ends = s; ends; ends &= ends - 1) {
            unsigned j = (unsigned)__builtin_ctz(ends), rest = s ^ 1u << j;
            double least = rest ? INFINITY : 0;
            for (unsigned r = rest; r; r &= r - 1) {
                unsigned i = (unsigned)__builtin_ctz(r);
                double x = length[rest * n_group + i] + d[i * n_group + j];
                if (x < least) least = x;
            }
            length[s * n_group + j] = least;
        }
    unsigned s = sets - 1;
    for (int n = P - 1, j = -1; n >= 0; n--) {
        int k = -1;
        double least = INFINITY;
        for (int i = 0; i < P; i++) {
            if (!(s >> i & 1)) continue;
            double x = length[s * n_group + (unsigned)i] + (j < 0 ? 0 : d[i * P + j]);
            if (x < least) {
                least = x;
                k = i;
            }
        }
        if (j < 0) best = least;
        path[n] = j = k;
        s ^= 1u << k;
    }
    arena_release(a, mark);
    return best;
}

/* ---- what a deal costs -----------------------------------------------------------------------------------
 */

void dtfm_count_groups(struct dtfm_task *t, const int *label) {
    const struct dtfm_net *x = t->net;
    memset(t->count, 0, sizeof *t->count * (size_t)(t->P * x->K));
    memset(t->mates, 0, sizeof *t->mates * (size_t)(t->P * x->N));
    for (int p = 0; p < t->P; p++) t->size[p] = 0;
    for (int v = 0; v < x->G; v++) {
        int p = label[v];
        t->count[p * x->K + x->class[v]]++;
        t->mates[p * x->N + x->node[v]]++;
        t->size[p]++;
    }
}

/* The sum of s per byte from a GPU of class k to the members of group p; `mates` of them are in its node. */
double dtfm_sum_to(const struct dtfm_task *t, int k, int p, int mates) {
    const struct dtfm_net *x = t->net;
    double sum = mates * (x->near[k] - x->far[k * x->K + k]);
    for (int j = 0; j < x->K; j++) sum += t->count[p * x->K + j] * x->far[k * x->K + j];
    return sum;
}

/* The slowest member's messages to all others in its group. */
static double group_cost(const struct dtfm_task *t, int p) {
    const struct dtfm_net *x = t->net;
    double worst = 0;
    for (int n = 0; n < x->N; n++) {
        int mates = t->mates[p * x->N + n], k = x->class_of[n];
        if (mates) worst = fmax(worst, dtfm_sum_to(t, k, p, mates) - x->near[k]);
    }
    return 2 * worst / t->D;
}

/* Pairs of GPUs of two groups by class, none more expensive than a limit. */
struct flow {
    int *pairs;  /* [K * K] */
    int *within; /* [K] pairs that a class can form inside its nodes */
    int *spare;  /* [K] unmatched GPUs of q */
    bool *seen;  /* [K] */
};

/* Finds a partner in q for one more GPU of class k of group p, moving other pairs if need be. */
static bool pair_up(const struct dtfm_task *t, double limit, int q, int k, const struct flow *f) {
    const struct dtfm_net *x = t->net;
    f->seen[k] = true;
    for (int j = 0; j < x->K; j++) {
        bool far = x->far[k * x->K + j] <= limit;
        bool near = j == k && x->near[k] <= limit && f->pairs[k * x->K + k] < f->within[k];
        if (!(far || near) || !t->count[q * x->K + j]) continue;
        if (f->spare[j]) return f->pairs[k * x->K + j]++, f->spare[j]--, true;
        for (int i = 0; i < x->K; i++)
            if (!f->seen[i] && f->pairs[i * x->K + j] && pair_up(t, limit, q, i, f))
                return f->pairs[i * x->K + j]--, f->pairs[k * x->K + j]++, true;
    }
    return false;
}

static bool all_pair_up(const struct dtfm_task *t, double limit, int p, int q, const struct flow *f) {
    const struct dtfm_net *x = t->net;
    memset(f->pairs, 0, sizeof *f->pairs * (size_t)(x->K * x->K));
    memcpy(f->spare, &t->count[q * x->K], sizeof *f->spare * (size_t)x->K);
    for (int k = 0; k < x->K; k++)
        for (int i = 0; i < t->count[p * x->K + k]; i++) {
            memset(f->seen, 0, sizeof *f->seen * (size_t)x->K);
            if (!pair_up(t, limit, q, k, f)) return false;
        }
    return true;
}

/* The most expensive pair of the best matching between two groups (s per byte): the matching whose most
 * expensive pair is cheapest. */
static double bottleneck(const struct dtfm_task *t, int p, int q, struct arena *a) {
    const struct dtfm_net *x = t->net;
    struct arena_mark mark = arena_mark(a);
    struct flow f = {ARENA_ARRAY(a, int, x->K * x->K),
                                 ARENA_ARRAY(a, int, x->K),
                                             ARENA_ARRAY(a, int, x->K), ARENA_ARRAY(a, bool, x->K)};
    for (int n = 0; n < x->N; n++) {
        int i = t->mates[p * x->N + n], j = t->mates[q * x->N + n];
        f.within[x->class_of[n]] += i < j ? i : j;
    }
    int lo = 0, hi = x->n_limit - 1;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (all_pair_up(t, x->limit[mid], p, q, &f))
            hi = mid;
        else
            lo = mid + 1;
    }
    arena_release(a, mark);
    return x->limit[lo];
}

/* [Q1] The published bottleneck matching stops at its first step: the most expensive pair of all. */
static double costliest_pair(const struct dtfm_task *t, int p, int q) {
    const struct dtfm_net *x = t->net;
    double worst = 0;
    for (int n = 0; n < x->N; n++) {
        int k = x->class_of[n], mates = t->mates[q * x->N + n];
        if (!t->mates[p * x->N + n]) continue;
        for (int j = 0; j < x->K; j++)
            if (t->count[q * x->K + j] > (j == k ? mates : 0)) worst = fmax(worst, x->far[k * x->K + j]);
        if (mates) worst = fmax(worst, x->near[k]);
    }
    return worst;
}

/* C, seconds of communication: the slowest all-reduce, and both ways along the shortest path through the
 * groups (t->path). */
double dtfm_cost(struct dtfm_task *t, const int *label, struct arena *a) {
    double worst = 0;
    dtfm_count_groups(t, label);
    for (int p = 0; p < t->P; p++) {
        worst = fmax(worst, group_cost(t, p));
        for (int q = p + 1; q < t->P; q++)
            t->cross[p * t->P + q] = t->cross[q * t->P + p] =
                t->q->corrected ? bottleneck(t, p, q, a) : costliest_pair(t, p, q);
    }
    return worst * t->gradient_bytes + 2 * shortest_path(t->P, t->cross, t->path, a) * t->message_bytes;
}

/* ---- setting up ---- */

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

struct dtfm_net *dtfm_net_of(const struct question *q, struct arena *a) {
    const struct pool *pool = q->pool;
    const struct site *s = q->w->site;
    struct dtfm_net *x = ARENA_NEW(a, struct dtfm_net);
    for (int i = 0; i < pool->n_entry; i++) {
        int per_node = s->gpu[pool->entry[i].gpu].gpus_per_node, n = pool->entry[i].count;
        if (!n) continue;
        x->K++;
        x->G += n;
        x->N += (n + per_node - 1) / per_node;
    }
    int *class = ARENA_ARRAY(a, int, x->G),
                             *node = ARENA_ARRAY(a, int, x->G), *class_of = ARENA_ARRAY(a, int, x->N);
    int *zone = ARENA_ARRAY(a, int, x->K), *gpu = ARENA_ARRAY(a, int, x->K), v = 0, k = 0, n = 0;
    double *far = ARENA_ARRAY(a, double, x->K * x->K), *near = ARENA_ARRAY(a, double, x->K);
    double *limit = ARENA_ARRAY(a, double, (x->K + 1) * x->K);
    for (int i = 0; i < pool->n_entry; i++) {
        const struct pool_entry *e = &pool->entry[i];
        int per_node = s->gpu[e->gpu].gpus_per_node;
        if (!e->count) continue;
        for (int j = 0; j < e->count; j++) {
            if (j && j % per_node == 0) n++;
            class[v] = k;
            class_of[node[v] = n] = k;
            v++;
        }
        zone[k] = e->zone;
        gpu[k++] = e->gpu;
        n++;
    }
    for (int i = 0; i < x->K; i++) {
        const struct link *inner = &s->intra[gpu[i] * TP_N + 1];
        for (int j = 0; j < x->K; j++) {
            const struct link *l = site_link(s, zone[i], gpu[i], 1, zone[j], gpu[j], 1);
            limit[x->n_limit++] = far[i * x->K + j] =
                l && l->peak_Bps > 0 ? 1 / l->peak_Bps : 1; /* none: 1 B/s */
        }
        limit[x->n_limit++] = near[i] = inner->known ? 1 / inner->peak_Bps : far[i * x->K + i];
    }
    qsort(limit, (size_t)x->n_limit, sizeof *limit, ascending);
    x->class = class;
    x->node = node;
    x->class_of = class_of;
    x->zone = zone;
    x->gpu = gpu;
    x->far = far;
    x->near = near;
    x->limit = limit;
    return x;
}

static int microbatches(const struct dtfm_task *t) {
    return (t->q->w->global_batch_size + t->m * t->D - 1) / (t->m * t->D);
}

/* What C omits [Q3]: the computation of all microbatches on the slowest GPU type. NAN: not measured. */
double dtfm_compute_s(const struct dtfm_task *t) {
    const struct workload *w = t->q->w;
    double sum = 0, slowest = 0;
    for (int i = 0, first, end; i < t->P; i++) {
        double stage = 0;
        even_layers(w->model->n_layer, t->P, true, i, &first, &end);
        for (int k = 0; k < t->net->K; k++) {
            const struct layer_times *f = profile_times(w->profile[t->net->gpu[k]], t->m, 1);
            double s = 0;
            if (!f) return NAN;
            for (int l = first; l < end; l++) s += f->fwd_s[l] + f->bwd_s[l];
            stage = fmax(stage, s);
        }
        sum += stage;
        slowest = fmax(slowest, stage);
    }
    return sum + (microbatches(t) - 1) * slowest;
}

/* Sets the bytes sent: the gradients of the largest stage, and [Q2] a microbatch's retained activations
 * instead of a layer's output; corrected: the output, for all microbatches [Q3]. */
void dtfm_set_sizes(struct dtfm_task *t) {
    const struct workload *w = t->q->w;
    const struct model *m = w->model;
    for (int i = 0, first, end; i < t->P; i++) {
        double bytes = 0;
        even_layers(m->n_layer, t->P, true, i, &first, &end);
        for (int l = first; l < end; l++) bytes += (double)w->element_bytes * m->params[0][l];
        t->gradient_bytes = fmax(t->gradient_bytes, bytes);
    }
    double sequences = t->q->corrected ? (double)t->m * microbatches(t) : t->m;
    t->message_bytes = w->element_bytes * (t->q->corrected ? m->act_out[1] : m->act_mem[0][1]) * sequences;
}
