#include "planners/varuna.h"
#include "io/file.h"
#include "io/json.h"

#include <string.h>
#include <unistd.h>

/* ---- inputs: the peak of each layer when trained alone ---------------------------- */

static int read_row(const struct json_at *at, int n_layer, int *mb, const double **bytes, struct arena *a,
                    struct err *e) {
    static const char *const keys[] = {"micro_batch_size", "layer_bytes", NULL};
    struct json_at size = json_member(at, "micro_batch_size"), list = json_member(at, "layer_bytes");
    double *v = ARENA_ARRAY(a, double, n_layer);
    int n, i = 0;
    if (json_object(at, keys, e) || json_int(&size, 1, 65536, mb, e)) return -1;
    if (json_null(&list)) return 0;
    if (json_array(&list, n_layer, n_layer, &n, e)) return -1;
    for (const cJSON *x = list.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&list, i, x);
        if (json_positive(&here, &v[i], e)) return -1;
    }
    *bytes = v;
    return 0;
}

static int read_peaks(const struct json_at *at, const struct model *m, const char *gpu,
                      struct varuna_peaks *k, struct arena *a, struct err *e) {
    static const char *const keys[] = {"format", "model", "gpu", "tp", "peaks", NULL};
    struct json_at model = json_member(at, "model"), type = json_member(at, "gpu"),
                   tp = json_member(at, "tp"), rows = json_member(at, "peaks");
    int which, i = 0;
    if (json_object(at, keys, e) || json_format(at, "sailor-varuna/1", e)) return -1;
    if (json_name(&model, &m->name, 1, "the model planned", &which, e)) return -1;
    if (json_name(&type, &gpu, 1, "the GPU type of the file", &which, e)) return -1;
    if (json_int(&tp, 1, TP_MAX, &k->tp, e) || json_array(&rows, 1, 1000, &k->n, e)) return -1;
    int *mb = ARENA_ARRAY(a, int, k->n);
    const double **bytes = ARENA_ARRAY(a, const double *, k->n);
    for (const cJSON *x = rows.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&rows, i, x);
        if (read_row(&here, m->n_layer, &mb[i], &bytes[i], a, e)) return -1;
        if (i && mb[i] <= mb[i - 1])
            return json_fail(&here, e, "microbatch %d after %d; expected ascending ones", mb[i], mb[i - 1]);
    }
    k->mb = mb;
    k->bytes = bytes;
    return 0;
}

int varuna_load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                struct err *e) {
    struct varuna_peaks_of *x = ARENA_NEW(a, struct varuna_peaks_of);
    for (int g = 0; g < w->site->n_gpu; g++) {
        const char *gpu = w->site->gpu[g].name;
        char *path = arena_printf(a, "%s/planners/varuna/%s/%s.json", inputs, w->model->name, gpu);
        size_t size;
        if (!w->profile[g] || access(path, F_OK)) continue;
        char *text = file_read_text(path, &size, a, e);
        cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
        struct json_at at = json_root(path, tree);
        struct varuna_peaks *k = ARENA_NEW(a, struct varuna_peaks);
        int rc = tree ? read_peaks(&at, w->model, gpu, k, a, e) : -1;
        cJSON_Delete(tree);
        if (rc) return -1;
        x->gpu[g] = k;
    }
    *extra = x;
    return 0;
}

/* ---- the estimate ------------------------------------------------------------------- */

/* False if nothing is known at that degree. */
bool varuna_grid_start(struct varuna_grid *g, const struct workload *w, const struct varuna_peaks_of *x,
                       int zone, int gpu, int tp, bool corrected) {
    *g = (struct varuna_grid){
        .w = w, .peaks = x->gpu[gpu], .corrected = corrected, .zone = zone, .gpu = gpu, .tp = tp};
    g->t = corrected ? tp : w->site->gpu[gpu].gpus_per_node;
    g->ti = tp_index(g->t);
    return g->ti >= 0 && w->model->params[g->ti];
}

/* Bytes per microbatch that one GPU sends on after layer l. */
static double out_bytes(const struct varuna_grid *g, int l) {
    return (double)g->w->element_bytes * g->w->model->act_out[l] * g->m / g->t;
}

/* Peak bytes of one layer trained alone; NAN = unknown. */
double varuna_layer_peak(const struct varuna_grid *g, int l) {
    static const struct {
        const char *family;
        double embedding, block, head; /* multiples of the activations kept */
    } fit[] = {{"gpt-neo", 6, 1.9, 3}, {"", 6, 3, 2}};
    const struct model *x = g->w->model;
    const struct varuna_peaks *k = g->peaks;
    /* [Q5]: the measurement at one degree (4) serves for all */
    if (k && (!g->corrected || k->tp == g->t)) {
        for (int i = 0; i < k->n; i++)
            if (k->mb[i] == g->m && k->bytes[i]) return k->bytes[i][l];
        if (!g->corrected) return NAN;
    }
    int ti = !g->corrected && x->params[2] ? 2 : g->ti, f = 0;
    while (strncmp(x->name, fit[f].family, strlen(fit[f].family))) f++;
    double times = l == 0 ? fit[f].embedding : l <= x->n_block ? fit[f].block : fit[f].head;
    return 16 * x->params[ti][l] + times * g->w->element_bytes * x->act_mem[ti][l] * g->m;
}

/* Peak bytes of a stage with layers [first, end) and `behind` stages after it; NAN = unknown. */
double varuna_stage_bytes(const struct varuna_grid *g, int first, int end, int behind) {
    const struct model *x = g->w->model;
    double bytes = 0, kept = 0;
    for (int l = first; l < end; l++) {
        bytes += varuna_layer_peak(g, l) - out_bytes(g, l);
        if (g->corrected) kept += x->act_mem[g->ti][l];
    }
    bytes += out_bytes(g, end - 1);
    /* [Q5]: divided by the degree at which it was measured, and with only one microbatch in flight */
    return g->corrected ? bytes + (double)behind * g->w->element_bytes * g->m * kept : floor(bytes / g->tp);
}

double varuna_peak_bytes(const struct varuna_grid *g) {
    double peak = 0;
    for (int i = 0; i < g->P; i++) {
        double x = varuna_stage_bytes(g, g->first[i], g->first[i + 1], g->P - 1 - i);
        if (!(x <= peak)) peak = x;
    }
    return peak;
}

/* Bytes of gradients that the all-reduce moves. */
static double gradient_bytes(const struct varuna_grid *g) {
    const struct model *x = g->w->model;
    double most = 0;
    for (int i = 0; i < g->P; i++) {
        double sum = 0;
        /* [Q7]: slices of P layers rather than L/P */
        int l = g->corrected ? g->first[i] : i * g->P, end = g->corrected ? g->first[i + 1] : l + g->P;
        for (; l < end && l < x->n_layer; l++) sum += (double)g->w->element_bytes * x->params[g->ti][l];
        most = fmax(most, sum);
    }
    return most;
}

/* Seconds per iteration; 0 = the simulated pipeline got stuck, NAN = an input is missing, or the simulation
 * would be too long. */
double varuna_iteration_s(const struct varuna_grid *g, struct arena *a) {
    enum { STAGES_X_MICROBATCHES_MAX = 1 << 22 };
    const struct site *s = g->w->site;
    const struct layer_times *lt = profile_times(g->w->profile[g->gpu], g->m, g->t);
    const struct link *net = site_link(s, g->zone, g->gpu, g->t, g->zone, g->gpu, g->t), *own = net;
    int node = s->gpu[g->gpu].gpus_per_node, M = (g->B / g->D + g->m - 1) / g->m;
    if (!lt || !net || (int64_t)M * g->P > STAGES_X_MICROBATCHES_MAX) return NAN;
    int per_node = node; /* stages per node. [Q1]: as if each had one GPU, so most seem to share a node */
    if (g->corrected) {
        const struct link *intra = &s->intra[g->gpu * TP_N + g->ti];
        per_node = node / g->t > 0 ? node / g->t : 1;
        if (intra->known) own = intra;
    }
    struct varuna_stage_us *us = ARENA_ARRAY(a, struct varuna_stage_us, g->P);
    for (int i = 0; i < g->P; i++) {
        double fwd = 0, bwd = 0;
        for (int l = g->first[i]; l < g->first[i + 1]; l++) {
            fwd += lt->fwd_s[l];
            bwd += lt->bwd_s[l];
        }
        us[i].fwd = (float)(fwd * 1e6);
        us[i].bwd = (float)(bwd * 1e6);
        if (i == g->P - 1) break;
        /* [Q6]: always the same layer, not the one at the cut. [Q10]: within a node a message takes no time
         * except its noise */
        double bytes = out_bytes(g, g->corrected ? g->first[i + 1] - 1 : g->first[g->P] / g->P);
        if (!link_usable(net, bytes, ESTIMATOR_SAILOR)) return NAN; /* drawing the noise would never end */
        bool near = i / per_node == (i + 1) / per_node;
        double send_s = near && !g->corrected ? 0 : link_time_s(near ? own : net, bytes, ESTIMATOR_SAILOR);
        us[i].send = (int64_t)(send_s * 1e6);
    }
    int64_t pipeline_us = varuna_simulate_us(g->P, M, us, g->corrected, a);
    int64_t sync_us = (int64_t)(plain_allreduce_s(net, gradient_bytes(g), g->D) * 1e6);
    return pipeline_us ? 1e-6 * (double)(pipeline_us + sync_us) : 0;
}

int varuna_estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    (void)e;
    *out = (struct guess){NAN, NAN};
    const struct pipeline *x = p->pipeline;
    const struct replicas *r = x->stage->group;
    int *first = ARENA_ARRAY(scratch, int, x->n_stage + 1);
    for (int i = 0; i < x->n_stage; i++) { /* Varuna knows only grids */
        const struct replicas *y = x->stage[i].group;
        if (p->n_pipeline > 1 || x->stage[i].n_group > 1 || y->gpu != r->gpu || y->zone != r->zone ||
            y->tp != r->tp || y->count != r->count)
            return 0;
        first[i + 1] = x->stage[i].end;
    }
    struct varuna_grid g;
    if (!varuna_grid_start(&g, w, extra, r->zone, r->gpu, r->tp, corrected)) return 0;
    g.D = r->count;
    g.P = x->n_stage;
    g.m = p->micro_batch_size;
    g.B = p->global_batch_size;
    g.first = first;
    *out = (struct guess){varuna_iteration_s(&g, scratch), varuna_peak_bytes(&g)};
    return 0;
}
