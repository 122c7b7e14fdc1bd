#include "planners/planner.h"
#include "formats/inputs.h"
#include "io/json.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Galvatron: one GPU type in one zone. For every number of chunks of the batch and every number of stages, a
 * dynamic program gives each transformer layer of a stage a pair (tensor-parallel, data-parallel) under the
 * memory of a GPU. Times in ms, sizes in MiB as in its own tables, unless the name says otherwise. */

enum { DEGREES = 3 /* 1, 2, 4 */, STRATEGIES_MAX = 2 * DEGREES, CHUNK_MAX = 4, RESERVED_MiB = 1024 };

static const double MiB = 1 << 20;

/* What it measures of a model on a GPU type: from a file, or made from the common tables. */
struct costs {
    double forward_ms;                    /* one transformer layer, one sequence */
    double weights_MiB, act_MiB[DEGREES]; /* one transformer layer; act of one sequence */
    double other_MiB[3];     /* beside the transformer layers: the only, the first and the last stage */
    double overlap;          /* slow-down of computation and communication that run together */
    double overlap_of[TP_N]; /* the same by GPUs of a node; 0 = not measured */
    int n_ring;
    const double *ring_GiBps[2]; /* [strided, consecutive][n - 2]; NULL: from the link */
    struct link link[2];
};

/* ---- inputs ----------------------------------------------------------------------------------------------
 */

static int read_reals(const struct json_at *o, const char *key, int min, int max, double *out, int *n,
                      struct err *e) {
    struct json_at at = json_member(o, key);
    int i = 0;
    if (json_array(&at, min, max, n, e)) return -1;
    for (const cJSON *x = at.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&at, i, x);
        if (json_real(&here, 0, 1e9, &out[i], e)) return -1;
    }
    return 0;
}

static int read_rings(const struct json_at *root, struct costs *c, struct arena *a, struct err *e) {
    static const char *const keys[] = {"strided", "consecutive", NULL};
    struct json_at rings = json_member(root, "ring_GiBps");
    if (json_object(&rings, keys, e)) return -1;
    for (int k = 0; k < 2; k++) {
        struct json_at at = json_member(&rings, keys[k]);
        int n;
        if (json_array(&at, 1, 1 << 20, &n, e)) return -1;
        if (k && n != c->n_ring)
            return json_fail(&at, e, "%d values; expected %d as for strided", n, c->n_ring);
        double *v = ARENA_ARRAY(a, double, c->n_ring = n);
        c->ring_GiBps[k] = v;
        for (const cJSON *x = at.node->child; x; x = x->next) {
            struct json_at here = json_element(&at, (int)(v - c->ring_GiBps[k]), x);
            if (json_positive(&here, v++, e)) return -1;
        }
    }
    return 0;
}

static int read_name(const struct json_at *root, const char *key, const char *want, struct arena *a,
                     struct err *e) {
    struct json_at at = json_member(root, key);
    const char *name;
    if (json_string(&at, &name, a, e)) return -1;
    return strcmp(name, want)
               ? json_fail(&at, e, "\"%.60s\"; expected \"%.60s\", as the path says", name, want)
               : 0;
}

static int read_costs(const struct json_at *root, const struct workload *w, int gpu, struct costs *c,
                      struct arena *a, struct err *e) {
    static const char *const keys[] = {"format",
                                       "model",
                                       "gpu",
                                       "forward_ms",
                                       "weights_MiB",
                                       "activation_MiB",
                                       "other_states_MiB",
                                       "other_activation_MiB",
                                       "overlap",
                                       "overlap_by_gpus",
                                       "ring_GiBps",
                                       NULL};
    struct json_at forward = json_member(root, "forward_ms");
    struct json_at weights = json_member(root, "weights_MiB"), overlap = json_member(root, "overlap");
    double act[3];
    int n;
    if (json_object(root, keys, e) || json_format(root, "sailor-galvatron/1", e) ||
        read_name(root, "model", w->model->name, a, e) ||
        read_name(root, "gpu", w->site->gpu[gpu].name, a, e))
        return -1;
    if (json_positive(&forward, &c->forward_ms, e) || json_positive(&weights, &c->weights_MiB, e) ||
        json_real(&overlap, 1, 100, &c->overlap, e) ||
        read_reals(root, "activation_MiB", DEGREES, DEGREES, c->act_MiB, &n, e) ||
        read_reals(root, "other_states_MiB", 3, 3, c->other_MiB, &n, e) ||
        read_reals(root, "other_activation_MiB", 3, 3, act, &n, e) ||
        read_reals(root, "overlap_by_gpus", 1, TP_N, c->overlap_of, &n, e) || read_rings(root, c, a, e))
        return -1;
    for (int i = 0; i < 3; i++) c->other_MiB[i] += act[i];
    return 0;
}

/* *extra: a table of struct costs per GPU type of the site, NULL where there is no file. */
static int load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                struct err *e) {
    struct costs **all = ARENA_ARRAY(a, struct costs *, w->site->n_gpu);
    for (int g = 0; g < w->site->n_gpu; g++) {
        const char *path =
            arena_printf(a, "%s/planners/galvatron/%s/%s.json", inputs, w->model->name, w->site->gpu[g].name);
        size_t size;
        if (access(path, F_OK)) continue;
        char *text = file_read_text(path, &size, a, e);
        cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
        if (!tree) return -1;
        struct json_at root = json_root(path, tree);
        int rc = read_costs(&root, w, g, all[g] = ARENA_NEW(a, struct costs), a, e);
        cJSON_Delete(tree);
        if (rc) return -1;
    }
    *extra = all;
    return 0;
}

/* Forward times of all layers for one sequence: from the smallest microbatch and degree measured. */
static const double *forward_s(const struct workload *w, int gpu, int *mb) {
    const struct profile *p = w->profile[gpu];
    for (int i = 0; p && i < p->n_mb; i++)
        for (int ti = 0; ti < TP_N; ti++)
            if (p->times[i * TP_N + ti].fwd_s) return *mb = p->mb[i], p->times[i * TP_N + ti].fwd_s;
    return NULL;
}

/* The costs to work with: measured, else (and always in corrected mode: [Q7] files go stale) from the common
 * tables. */
static int costs_of(const struct workload *w, const void *extra, int zone, int gpu, bool corrected,
                    struct costs *c, struct err *e) {
    const struct costs *stored = extra ? ((const struct costs *const *)extra)[gpu] : NULL;
    const struct model *m = w->model;
    const struct gpu_type *type = &w->site->gpu[gpu];
    const struct link *far = site_link(w->site, zone, gpu, 1, zone, gpu, 1),
                      *near = &w->site->intra[gpu * TP_N + 1];
    int mb = 1;
    const double *f = forward_s(w, gpu, &mb);
    if (stored && !corrected) return *c = *stored, 0;
    if (!far || !f)
        return err_set(e, EXIT_INPUT, "galvatron: %s of %s in %s; expected one",
                       far ? "no profile" : "no link", type->name, w->site->zone[zone]);
    *c = (struct costs){
        .forward_ms = 1e3 * f[1] / mb, .weights_MiB = w->element_bytes * m->params[0][1] / MiB, .overlap = 1};
    c->link[0] = *far;
    c->link[1] = near->known ? *near : *far;
    for (int ti = 0; ti < DEGREES; ti++)
        if (m->act_mem[ti]) c->act_MiB[ti] = w->element_bytes * m->act_mem[ti][1] / MiB;
    for (int ti = 0; stored && ti < TP_N && 1 << ti <= type->gpus_per_node; ti++)
        if (stored->overlap_of[ti] > 0) c->overlap = stored->overlap_of[ti];
    c->other_MiB[1] = 16 * m->params[0][0] / MiB;
    c->other_MiB[2] = 16 * m->params[0][m->n_layer - 1] / MiB;
    c->other_MiB[0] = c->other_MiB[1] + c->other_MiB[2];
    return 0;
}

/* Bandwidth of an all-reduce as it measures it: size / time, mean over 16 to 256 MiB. */
static double ring_GiBps(const struct costs *c, bool consecutive, int n, int gpus_per_node) {
    if (c->n_ring) return c->ring_GiBps[consecutive][(n - 2 < c->n_ring ? n - 2 : c->n_ring - 1)];
    const struct link *l = &c->link[consecutive && n <= gpus_per_node];
    double sum = 0;
    for (int i = 16; i <= 256; i *= 2) sum += i / 1024.0 / plain_allreduce_s(l, i * MiB, n);
    return sum / 5;
}

/* ---- times and memory ------------------------------------------------------------------------------------
 */

struct strategy {
    int tp, dp;
    bool consecutive; /* the GPUs of a tensor-parallel group are neighbours; else those of a data-parallel one
                       */
};

/* A stage or a layer per chunk: with the all-reduce of its gradients, and without. */
struct pace {
    double full_s, compute_s;
};

/* Backward computation and `size` of communication beside each other, each slowed down while both run. */
static double overlapped_ms(double size, double ms_per_size, double work_ms, double slow) {
    double moved = size * ms_per_size * slow, worked = work_ms * slow;
    if (moved > worked) return worked + (size - worked / (ms_per_size * slow)) * ms_per_size;
    return moved + (work_ms - moved / slow);
}

/* A block of layers: forward time, weights on a GPU, activations that a GPU passes to its tensor-parallel
 * group. */
static struct pace pace_of(const struct costs *c, const struct strategy *s, int gpus_per_node,
                           double forward_ms, double weights_MiB, double passed_MiB, bool corrected) {
    /* [Q4] the bandwidths already have the factor 2(n-1)/n; corrected also minds that 1 GiB/s is not 1
     * MiB/ms. */
    double unit = corrected ? 1000.0 / 1024 : 1;
    double dp_MiB = corrected ? weights_MiB : 2.0 * (s->dp - 1) / s->dp * weights_MiB;
    double tp_MiB = corrected ? passed_MiB : 2.0 * (s->tp - 1) / s->tp * passed_MiB;
    bool both = s->dp > 1 && s->tp > 1, dp_near = !both || !s->consecutive, tp_near = !both || s->consecutive;
    double dp_ms = s->dp > 1 ? unit / ring_GiBps(c, dp_near, s->dp, gpus_per_node) : 0;
    double tp_ms = s->tp > 1 ? tp_MiB * unit / ring_GiBps(c, tp_near, s->tp, gpus_per_node) : 0;
    double backward = 2 * forward_ms, compute = forward_ms + backward + tp_ms;
    double hidden =
        both && s->tp >= s->tp * s->dp / 2 ? backward / 2 : backward; /* beside it run the gradients */
    double full = s->dp > 1 ? compute - hidden + overlapped_ms(dp_MiB, dp_ms, hidden, c->overlap) : compute;
    return (struct pace){1e-3 * full, 1e-3 * compute};
}

/* MiB that a sequence passes in a transformer layer: two all-reduces each way of fp32. */
static double passed_MiB(const struct model *m) {
    return m->sequence_length * (double)m->hidden_size * 16 / MiB;
}

/* A stage of layers [first, end) as it will run: [Q3] with the layers at both ends and the messages between
 * stages. */
static struct pace stage_pace(const struct workload *w, const struct costs *c, int zone, int gpu,
                              const struct strategy *s, double sequences, int first, int end) {
    const struct model *m = w->model;
    int mb = 1, last = m->n_layer - 1, n_block = 0;
    const double *f = forward_s(w, gpu, &mb);
    double forward_ms = 0, weights = 0;
    for (int l = first; l < end; l++) {
        forward_ms += 1e3 * f[l] / mb * sequences / s->tp;
        weights += w->element_bytes * m->params[tp_index(s->tp)][l] / MiB;
        n_block += l > 0 && l < last;
    }
    struct pace x = pace_of(c, s, w->site->gpu[gpu].gpus_per_node, forward_ms, weights,
                            n_block * sequences * passed_MiB(m), true);
    double pass_s = 0;
    const struct link *l = site_link(w->site, zone, gpu, s->tp, zone, gpu, s->tp);
    if (l && first > 0)
        pass_s += link_time_s(l, w->element_bytes * m->act_out[first - 1] * sequences, ESTIMATOR_NATIVE);
    if (l && end <= last)
        pass_s += link_time_s(l, w->element_bytes * m->act_out[end - 1] * sequences, ESTIMATOR_NATIVE);
    return (struct pace){x.full_s + pass_s, x.compute_s + pass_s};
}

/* The same for its memory: [Q5] weights, gradients and optimizer, [Q6] activations of the sequences under way
 * once. */
static double stage_MiB(const struct workload *w, int tp, double sequences, int first, int end) {
    double bytes = 0;
    for (int l = first; l < end; l++)
        bytes += 4.0 * w->element_bytes * w->model->params[tp_index(tp)][l] +
                 w->element_bytes * w->model->act_mem[tp_index(tp)][l] * sequences;
    return bytes / MiB + RESERVED_MiB;
}

/* `n` sequences cut into at most `chunks` pieces of the same size, the last one smaller. */
static int pieces(int n, int chunks, int *size) {
    *size = (n + chunks - 1) / chunks;
    return (n + *size - 1) / *size;
}

/* One transformer layer of stage i of P: [Q5] of its states only the weights, [Q6] activations measured too
 * high. */
static double layer_MiB(const struct workload *w, const struct costs *c, const struct strategy *s, int chunks,
                        int P, int i) {
    int B = w->global_batch_size, share = B / s->dp / s->tp, n = share > 0 ? share : 1, size;
    int alive = pieces(n, chunks, &size);
    alive = (alive < P - i ? alive : P - i) * size;
    return c->weights_MiB / s->tp +
           c->act_MiB[tp_index(s->tp)] * ((double)B / s->dp) * (alive < n ? alive : n) / n;
}

static double other_MiB(const struct costs *c, int P, int i) {
    double own = P == 1 ? c->other_MiB[0] : i == 0 ? c->other_MiB[1] : i == P - 1 ? c->other_MiB[2] : 0;
    return own + RESERVED_MiB;
}

/* All chunks through all stages; the all-reduces of gradients that the later stages do not hide. */
static double pipeline_s(const struct pace *stage, int P, int chunks) {
    double slowest = 0, before = 0, exposed = 0;
    for (int i = 0; i < P; i++) {
        before += stage[i].compute_s;
        slowest = fmax(slowest, stage[i].compute_s);
        exposed = fmax(exposed, stage[i].full_s - before);
    }
    return slowest * (chunks - 1 + P) + exposed;
}

/* ---- the layers of one stage -----------------------------------------------------------------------------
 */

/* A way to run the layers so far, of those with the same last strategy: none other is both faster and
 * smaller. */
struct way {
    const struct way *before; /* NULL: the first layer */
    double time_s;
    int strategy, MiB;
};

struct front {
    const struct way *way; /* [n], growing memory, falling time */
    int n;
};

static int by_memory(const void *x, const void *y) {
    const struct way *a = x, *b = y;
    if (a->MiB != b->MiB) return a->MiB < b->MiB ? -1 : 1;
    if (a->time_s != b->time_s) return a->time_s < b->time_s ? -1 : 1;
    return a->before && b->before ? a->before->strategy - b->before->strategy : 0; /* the lower index wins */
}

/* The published table over all MiB of a budget has few steps, because all layers of a stage are alike: fronts
 * of its corners give the same answer. Returns the last layer, or NULL. */
static const struct way *assign(int n_layer, int S, const struct pace *pace, const int *need_MiB,
                                double change_s[STRATEGIES_MAX][STRATEGIES_MAX], int budget_MiB,
                                struct arena *a) {
    struct front front[2][STRATEGIES_MAX];
    for (int l = 0; l < n_layer; l++) {
        struct front *now = front[l & 1], *old = front[!(l & 1)];
        int room = 1;
        for (int r = 0; l && r < S; r++) room += old[r].n;
        for (int s = 0; s < S; s++) {
            struct way *x = ARENA_ARRAY(a, struct way, room);
            int n = 0, kept = 0;
            if (!l) x[n++] = (struct way){NULL, pace[s].full_s, s, need_MiB[s]};
            for (int r = 0; l && r < S; r++)
                for (int i = 0; i < old[r].n; i++) {
                    const struct way *b = &old[r].way[i];
                    x[n++] =
                        (struct way){b, b->time_s + change_s[r][s] + pace[s].full_s, s, b->MiB + need_MiB[s]};
                }
            qsort(x, (size_t)n, sizeof *x, by_memory);
            for (int i = 0; i < n && x[i].MiB <= budget_MiB; i++)
                if (!kept || x[i].time_s < x[kept - 1].time_s) x[kept++] = x[i];
            now[s] = (struct front){x, kept};
        }
    }
    const struct way *best = NULL;
    for (int s = 0; s < S; s++) {
        const struct front *f = &front[(n_layer - 1) & 1][s];
        if (f->n && (!best || f->way[f->n - 1].time_s < best->time_s)) best = &f->way[f->n - 1];
    }
    return best;
}

/* ---- search ----------------------------------------------------------------------------------------------
 */

struct setting {
    const struct question *q;
    const struct costs *costs;
    int zone, gpu, gpus, budget_MiB;
};

struct choice {
    double time_s;
    int P;
    struct strategy s;
};

static int strategies(const struct setting *x, int P, struct strategy out[STRATEGIES_MAX]) {
    int n = 0;
    for (int tp = 1; tp <= 4 && tp <= x->q->w->site->gpu[x->gpu].gpus_per_node; tp *= 2) {
        if (x->gpus % (P * tp) || !x->q->w->model->params[tp_index(tp)]) continue;
        int dp = x->gpus / (P * tp);
        for (int consecutive = 1; consecutive >= (tp == 1 || dp == 1); consecutive--)
            out[n++] = (struct strategy){tp, dp, consecutive};
    }
    return n;
}

/* Faithful: each layer has its strategy, and only the transformer layers are planned. INFINITY: does not fit.
 */
static struct choice mixed(const struct setting *x, int P, int chunks, struct pace *stage, struct arena *a) {
    const struct workload *w = x->q->w;
    int B = w->global_batch_size, each = w->model->n_block / P, n = B / (x->gpus / P), size;
    int per_node = w->site->gpu[x->gpu].gpus_per_node;
    struct strategy s[STRATEGIES_MAX];
    struct pace pace[STRATEGIES_MAX];
    double change_s[STRATEGIES_MAX][STRATEGIES_MAX] = {{0}};
    struct choice y = {INFINITY, P, {0}};
    int S = strategies(x, P, s);
    for (int k = 0; k < S; k++) {
        double sequences = (double)B / chunks / s[k].dp;
        pace[k] = pace_of(x->costs, &s[k], per_node, x->costs->forward_ms * sequences / s[k].tp,
                          x->costs->weights_MiB / s[k].tp, sequences * passed_MiB(w->model), false);
        for (int r = 0; r < S; r++) {
            bool split = s[k].tp > s[r].tp || (s[k].tp == s[r].tp && s[k].consecutive != s[r].consecutive) ||
                         (x->gpus / P == 8 && s[r].tp == 4 && s[k].tp == 2);
            if (split && s[k].tp > 1)
                change_s[r][k] = 1e-3 * (s[k].tp - 1) / s[k].tp * 2 * ((double)B / s[k].dp) /
                                 ring_GiBps(x->costs, s[k].dp == 1 || s[k].consecutive, s[k].tp, per_node);
        }
    }
    for (int i = 0; i < P; i++) {
        int need[STRATEGIES_MAX], n_layer = i == P - 1 ? w->model->n_block - each * i : each;
        for (int k = 0; k < S; k++) need[k] = (int)ceil(layer_MiB(w, x->costs, &s[k], chunks, P, i));
        int budget = x->budget_MiB - (int)ceil(other_MiB(x->costs, P, i));
        const struct way *l = assign(n_layer, S, pace, need, change_s, budget, a);
        if (!l) return y;
        stage[i] = (struct pace){0};
        for (; l; l = l->before) {
            stage[i].full_s += pace[l->strategy].full_s;
            stage[i].compute_s += pace[l->strategy].compute_s;
            if (i == 0) y.s = s[l->strategy]; /* [Q2] only the first layer's is used */
        }
    }
    y.time_s = pipeline_s(stage, P, pieces(n, chunks, &size));
    return y;
}

/* Corrected, [Q2]: what is costed is what a plan can say, one strategy for all layers. */
static struct choice uniform(const struct setting *x, int P, int chunks, struct pace *stage) {
    const struct workload *w = x->q->w;
    struct strategy s[STRATEGIES_MAX];
    struct choice y = {INFINITY, P, {0}};
    int S = strategies(x, P, s);
    for (int k = 0; k < S; k++) {
        int m = w->global_batch_size / (chunks * s[k].dp), i = 0;
        if (!m || !profile_times(w->profile[x->gpu], m, s[k].tp)) continue;
        for (int first, end; i < P; i++) {
            even_layers(w->model->n_layer, P, false, i, &first, &end);
            if (stage_MiB(w, s[k].tp, (double)m * (chunks < P - i ? chunks : P - i), first, end) >
                x->budget_MiB)
                break;
            stage[i] = stage_pace(w, x->costs, x->zone, x->gpu, &s[k], m, first, end);
        }
        double time_s = i == P ? pipeline_s(stage, P, chunks) : INFINITY;
        if (time_s < y.time_s) y.time_s = time_s, y.s = s[k];
    }
    return y;
}

static bool size_allowed(int n) { return n == 1 || n == 2 || n == CHUNK_MAX; }

/* The cheapest number of stages for a number of chunks. */
static struct choice best_of(const struct setting *x, int chunks, struct pace *stage, uint64_t *states,
                             struct arena *a) {
    const struct workload *w = x->q->w;
    struct choice best = {.time_s = INFINITY};
    for (int P = 1; P <= w->model->n_block && P <= x->gpus; P *= 2) {
        int share = w->global_batch_size / (x->gpus / P), size = (share + chunks - 1) / chunks;
        if (x->gpus % P || chunks > share) continue;
        if (!size_allowed(size)) {
            if (x->q->corrected) continue;
            return (struct choice){.time_s = INFINITY}; /* [Q1] one P that cannot spoils the others */
        }
        if (chunks != (share + size - 1) / size) continue;
        struct arena_mark mark = arena_mark(a);
        struct choice y = x->q->corrected ? uniform(x, P, chunks, stage) : mixed(x, P, chunks, stage, a);
        arena_release(a, mark);
        ++*states;
        if (y.time_s < best.time_s) best = y;
    }
    return best;
}

static int by_time(const void *x, const void *y) {
    const struct proposal *a = x, *b = y;
    return a->time_s != b->time_s ? a->time_s < b->time_s ? -1 : 1 : a->id < b->id ? -1 : a->id > b->id;
}

/* Sorted by time: all plans have the same GPUs, so that is the order of their cost, too. */
static int galvatron_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    const struct workload *w = q->w;
    const struct pool_entry *pool = q->pool->entry; /* the first one is all that it is shown */
    *out = (struct answer){0};
    if (!q->pool->n_entry) return 0;
    int per_node = w->site->gpu[pool->gpu].gpus_per_node, gpus = pool->count / per_node * per_node;
    while (gpus && w->global_batch_size % gpus) gpus -= per_node;
    if (!gpus) return 0;
    struct costs costs;
    if (costs_of(w, q->extra, pool->zone, pool->gpu, q->corrected, &costs, e)) return -1;
    int limit = (int)(w->site->gpu[pool->gpu].planner_memory_bytes / MiB);
    if (limit / 1024 > 20) limit -= (int)(0.2 * limit);
    struct setting x = {q, &costs, pool->zone, pool->gpu, gpus, limit};
    struct proposal *list = ARENA_ARRAY(a, struct proposal, w->global_batch_size);
    struct pace *stage = ARENA_ARRAY(a, struct pace, w->model->n_block + 1);
    for (int chunks = 1; chunks < w->global_batch_size; chunks++) {
        struct choice y = best_of(&x, chunks, stage, &out->states, a);
        if (isinf(y.time_s)) continue;
        const struct plan *p =
            grid_plan(w, x.zone, x.gpu, y.s.dp, y.P, y.s.tp, w->global_batch_size / (chunks * y.s.dp), a);
        list[out->n++] = (struct proposal){y.time_s, rental_usd(w, p, y.time_s), chunks, p};
    }
    qsort(list, (size_t)out->n, sizeof *list, by_time);
    out->proposal = list;
    return 0;
}

/* ---- its estimate of any plan: taken as a grid of the first stage's first replica --- */

static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    const struct pipeline *pipe = &p->pipeline[0];
    const struct replicas *r = &pipe->stage[0].group[0];
    int P = pipe->n_stage, B = w->global_batch_size, each = w->model->n_block / P;
    struct strategy s = {r->tp, stage_replicas(&pipe->stage[0]) * p->n_pipeline, true};
    struct pace *stage = ARENA_ARRAY(scratch, struct pace, P);
    struct costs costs;
    *out = (struct guess){0};
    if (r->tp > 4) return err_set(e, EXIT_INPUT, "galvatron: degree %d; expected 1, 2 or 4", r->tp);
    if (costs_of(w, extra, r->zone, r->gpu, corrected, &costs, e)) return -1;
    /* faithful: chunks of m sequences over all replicas, where the other planners mean m for each */
    int whole = corrected ? p->micro_batch_size * s.dp : p->micro_batch_size,
        chunks = (B + whole - 1) / whole;
    double sequences = (double)B / chunks / s.dp, other = 0;
    struct pace layer =
        pace_of(&costs, &s, w->site->gpu[r->gpu].gpus_per_node, costs.forward_ms * sequences / s.tp,
                costs.weights_MiB / s.tp, sequences * passed_MiB(w->model), false);
    for (int i = 0; i < P; i++) {
        int n = i == P - 1 ? w->model->n_block - each * i : each;
        const struct stage *k = &pipe->stage[i];
        stage[i] = (struct pace){n * layer.full_s, n * layer.compute_s};
        other = fmax(other, other_MiB(&costs, P, i));
        if (!corrected) continue;
        stage[i] = stage_pace(w, &costs, r->zone, r->gpu, &s, p->micro_batch_size, k->first, k->end);
        double alive = (double)p->micro_batch_size * (chunks < P - i ? chunks : P - i);
        out->peak_bytes = fmax(out->peak_bytes, MiB * stage_MiB(w, s.tp, alive, k->first, k->end));
    }
    if (!corrected) out->peak_bytes = MiB * (layer_MiB(w, &costs, &s, chunks, P, 0) * each + other);
    out->time_s = pipeline_s(stage, P, chunks);
    return 0;
}

const struct planner galvatron_planner = {
    .name = "galvatron",
    .about =
        "the first GPU type and zone; tensor- and data-parallel degrees by dynamic programming over layers",
    .can = CAN_CORRECTED,
    .every_profile = true,
    .load = load,
    .solve = planner_walk,
    .propose = galvatron_propose,
    .estimate = estimate,
};
