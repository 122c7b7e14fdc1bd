#include "planners/galvatron.h"
#include "io/json.h"
#include "io/file.h"

#include <string.h>
#include <unistd.h>

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

static int read_rings(const struct json_at *root, struct galvatron_costs *c, struct arena *a, struct err *e) {
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

static int read_costs(const struct json_at *root, const struct workload *w, int gpu,
                      struct galvatron_costs *c, struct arena *a, struct err *e) {
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

/* *extra: a table of struct galvatron_costs per GPU type of the site, NULL if it has no file. */
int galvatron_load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                   struct err *e) {
    struct galvatron_costs **all = ARENA_ARRAY(a, struct galvatron_costs *, w->site->n_gpu);
    for (int g = 0; g < w->site->n_gpu; g++) {
        const char *path =
            arena_printf(a, "%s/planners/galvatron/%s/%s.json", inputs, w->model->name, w->site->gpu[g].name);
        size_t size;
        if (access(path, F_OK)) continue;
        char *text = file_read_text(path, &size, a, e);
        cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
        if (!tree) return -1;
        struct json_at root = json_root(path, tree);
        int rc = read_costs(&root, w, g, all[g] = ARENA_NEW(a, struct galvatron_costs), a, e);
        cJSON_Delete(tree);
        if (rc) return -1;
    }
    *extra = all;
    return 0;
}

/* Forward times of all layers for one sequence, from the smallest microbatch and degree measured. */
static const double *forward_s(const struct workload *w, int gpu, int *mb) {
    const struct profile *p = w->profile[gpu];
    for (int i = 0; p && i < p->n_mb; i++)
        for (int ti = 0; ti < TP_N; ti++)
            if (p->times[i * TP_N + ti].fwd_s) return *mb = p->mb[i], p->times[i * TP_N + ti].fwd_s;
    return NULL;
}

/* Chooses the costs: measured, else (and always in corrected mode, as [Q7] files go stale) from the common
 * tables. */
int galvatron_costs(const struct workload *w, const void *extra, int zone, int gpu, bool corrected,
                    struct galvatron_costs *c, struct err *e) {
    const struct galvatron_costs *stored = extra ? ((const struct galvatron_costs *const *)extra)[gpu] : NULL;
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
    *c = (struct galvatron_costs){
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
double galvatron_ring_GiBps(const struct galvatron_costs *c, bool consecutive, int n, int gpus_per_node) {
    if (c->n_ring) return c->ring_GiBps[consecutive][(n - 2 < c->n_ring ? n - 2 : c->n_ring - 1)];
    const struct link *l = &c->link[consecutive && n <= gpus_per_node];
    double sum = 0;
    for (int i = 16; i <= 256; i *= 2) sum += i / 1024.0 / plain_allreduce_s(l, i * MiB, n);
    return sum / 5;
}

/* ---- times and memory ------------------------------------------------------------------------------------
 */

/* Backward computation and `size` of communication at the same time, each slowed down while both run. */
static double overlapped_ms(double size, double ms_per_size, double work_ms, double slow) {
    double moved = size * ms_per_size * slow, worked = work_ms * slow;
    if (moved > worked) return worked + (size - worked / (ms_per_size * slow)) * ms_per_size;
    return moved + (work_ms - moved / slow);
}

/* A block of layers: forward time, weights on a GPU, activations exchanged in its tensor-parallel group. */
struct galvatron_pace galvatron_pace(const struct galvatron_costs *c, const struct galvatron_strategy *s,
                                     int gpus_per_node, double forward_ms, double weights_MiB,
                                     double passed_MiB, bool corrected) {
    /* [Q4] the bandwidths already include the factor 2(n-1)/n; corrected: nor is 1 GiB/s 1 MiB/ms. */
    double unit = corrected ? 1000.0 / 1024 : 1;
    double dp_MiB = corrected ? weights_MiB : 2.0 * (s->dp - 1) / s->dp * weights_MiB;
    double tp_MiB = corrected ? passed_MiB : 2.0 * (s->tp - 1) / s->tp * passed_MiB;
    bool both = s->dp > 1 && s->tp > 1, dp_near = !both || !s->consecutive, tp_near = !both || s->consecutive;
    double dp_ms = s->dp > 1 ? unit / galvatron_ring_GiBps(c, dp_near, s->dp, gpus_per_node) : 0;
    double tp_ms = s->tp > 1 ? tp_MiB * unit / galvatron_ring_GiBps(c, tp_near, s->tp, gpus_per_node) : 0;
    double backward = 2 * forward_ms, compute = forward_ms + backward + tp_ms;
    double hidden =
        both && s->tp >= s->tp * s->dp / 2 ? backward / 2 : backward; /* gradients run alongside */
    double full = s->dp > 1 ? compute - hidden + overlapped_ms(dp_MiB, dp_ms, hidden, c->overlap) : compute;
    return (struct galvatron_pace){1e-3 * full, 1e-3 * compute};
}

/* MiB exchanged per sequence in a transformer layer: two fp32 all-reduces each way. */
double galvatron_passed_MiB(const struct model *m) {
    return m->sequence_length * (double)m->hidden_size * 16 / MiB;
}

/* Layers [first, end) as they will run as a stage: [Q3] with the layers at both ends and the messages between
 * stages. */
struct galvatron_pace galvatron_stage_pace(const struct workload *w, const struct galvatron_costs *c,
                                           int zone, int gpu, const struct galvatron_strategy *s,
                                           double sequences, int first, int end) {
    const struct model *m = w->model;
    int mb = 1, last = m->n_layer - 1, n_block = 0;
    const double *f = forward_s(w, gpu, &mb);
    double forward_ms = 0, weights = 0;
    for (int l = first; l < end; l++) {
        forward_ms += 1e3 * f[l] / mb * sequences / s->tp;
        weights += w->element_bytes * m->params[tp_index(s->tp)][l] / MiB;
        n_block += l > 0 && l < last;
    }
    struct galvatron_pace x = galvatron_pace(c, s, w->site->gpu[gpu].gpus_per_node, forward_ms, weights,
                                             n_block * sequences * galvatron_passed_MiB(m), true);
    double pass_s = 0;
    const struct link *l = site_link(w->site, zone, gpu, s->tp, zone, gpu, s->tp);
    if (l && first > 0)
        pass_s += link_time_s(l, w->element_bytes * m->act_out[first - 1] * sequences, ESTIMATOR_NATIVE);
    if (l && end <= last)
        pass_s += link_time_s(l, w->element_bytes * m->act_out[end - 1] * sequences, ESTIMATOR_NATIVE);
    return (struct galvatron_pace){x.full_s + pass_s, x.compute_s + pass_s};
}

/* The same for its memory: [Q5] weights, gradients and optimizer, [Q6] activations of the sequences in
 * flight, once. */
double galvatron_stage_MiB(const struct workload *w, int tp, double sequences, int first, int end) {
    double bytes = 0;
    for (int l = first; l < end; l++)
        bytes += 4.0 * w->element_bytes * w->model->params[tp_index(tp)][l] +
                 w->element_bytes * w->model->act_mem[tp_index(tp)][l] * sequences;
    return bytes / MiB + RESERVED_MiB;
}

/* Cuts `n` sequences into at most `chunks` pieces of equal size, except that the last may be smaller. */
int galvatron_pieces(int n, int chunks, int *size) {
    *size = (n + chunks - 1) / chunks;
    return (n + *size - 1) / *size;
}

/* One transformer layer of stage i of P: [Q5] only the weights of its states, [Q6] activations measured too
 * high. */
double galvatron_layer_MiB(const struct workload *w, const struct galvatron_costs *c,
                           const struct galvatron_strategy *s, int chunks, int P, int i) {
    int B = w->global_batch_size, share = B / s->dp / s->tp, n = share > 0 ? share : 1, size;
    int alive = galvatron_pieces(n, chunks, &size);
    alive = (alive < P - i ? alive : P - i) * size;
    return c->weights_MiB / s->tp +
           c->act_MiB[tp_index(s->tp)] * ((double)B / s->dp) * (alive < n ? alive : n) / n;
}

double galvatron_other_MiB(const struct galvatron_costs *c, int P, int i) {
    double own = P == 1 ? c->other_MiB[0] : i == 0 ? c->other_MiB[1] : i == P - 1 ? c->other_MiB[2] : 0;
    return own + RESERVED_MiB;
}

/* All chunks through all stages, plus the gradient all-reduces that the later stages do not hide. */
double galvatron_pipeline_s(const struct galvatron_pace *stage, int P, int chunks) {
    double slowest = 0, before = 0, exposed = 0;
    for (int i = 0; i < P; i++) {
        before += stage[i].compute_s;
        slowest = fmax(slowest, stage[i].compute_s);
        exposed = fmax(exposed, stage[i].full_s - before);
    }
    return slowest * (chunks - 1 + P) + exposed;
}

/* ---- its estimate of any plan: a grid with the degrees of the first replica ---- */

int galvatron_estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                       struct guess *out, struct arena *scratch, struct err *e) {
    const struct pipeline *pipe = &p->pipeline[0];
    const struct replicas *r = &pipe->stage[0].group[0];
    int P = pipe->n_stage, B = w->global_batch_size, each = w->model->n_block / P;
    struct galvatron_strategy s = {r->tp, stage_replicas(&pipe->stage[0]) * p->n_pipeline, true};
    struct galvatron_pace *stage = ARENA_ARRAY(scratch, struct galvatron_pace, P);
    struct galvatron_costs costs;
    *out = (struct guess){0};
    if (r->tp > 4) return err_set(e, EXIT_INPUT, "galvatron: degree %d; expected 1, 2 or 4", r->tp);
    if (galvatron_costs(w, extra, r->zone, r->gpu, corrected, &costs, e)) return -1;
    /* faithful: chunks of m sequences over all replicas, where the other planners mean m for each replica */
    int whole = corrected ? p->micro_batch_size * s.dp : p->micro_batch_size,
        chunks = (B + whole - 1) / whole;
    double sequences = (double)B / chunks / s.dp, other = 0;
    struct galvatron_pace layer =
        galvatron_pace(&costs, &s, w->site->gpu[r->gpu].gpus_per_node, costs.forward_ms * sequences / s.tp,
                       costs.weights_MiB / s.tp, sequences * galvatron_passed_MiB(w->model), false);
    for (int i = 0; i < P; i++) {
        int n = i == P - 1 ? w->model->n_block - each * i : each;
        const struct stage *k = &pipe->stage[i];
        stage[i] = (struct galvatron_pace){n * layer.full_s, n * layer.compute_s};
        other = fmax(other, galvatron_other_MiB(&costs, P, i));
        if (!corrected) continue;
        stage[i] =
            galvatron_stage_pace(w, &costs, r->zone, r->gpu, &s, p->micro_batch_size, k->first, k->end);
        double alive = (double)p->micro_batch_size * (chunks < P - i ? chunks : P - i);
        out->peak_bytes = fmax(out->peak_bytes, MiB * galvatron_stage_MiB(w, s.tp, alive, k->first, k->end));
    }
    if (!corrected) out->peak_bytes = MiB * (galvatron_layer_MiB(w, &costs, &s, chunks, P, 0) * each + other);
    out->time_s = galvatron_pipeline_s(stage, P, chunks);
    return 0;
}
