#include "planners/aceso.h"

#include <string.h>

/* A list index below zero counts from the end in the original; corrected: the smallest size measured. */
static double transfer_us(double size_MiB, const double GBps[LINK_SIZES], bool corrected) {
    if (size_MiB <= 0) return 0;
    int i = (int)log2(size_MiB);
    if (i >= 1) i--;
    if (i < 0) i = corrected ? 0 : i + LINK_SIZES;
    if (i < 0 || i >= LINK_SIZES) i = i < 0 ? 0 : LINK_SIZES - 1;
    return size_MiB * 1000 / GBps[i];
}

static double kept_share(const char *op, bool corrected) {
    if (strstr(op, "softmax") || (corrected && strstr(op, "dropout"))) return 0;
    return strcmp(op, "enc-attention-dropout") ? 1 : 1.5; /* with its mask */
}

static void range_maxima(const double *level[MAX_LEVELS], const double *v, int n, struct arena *a) {
    level[0] = v;
    for (int k = 1; 1 << k <= n; k++) {
        double *up = ARENA_ARRAY(a, double, n - (1 << k) + 1);
        for (int i = 0; i + (1 << k) <= n; i++)
            up[i] = fmax(level[k - 1][i], level[k - 1][i + (1 << (k - 1))]);
        level[k] = up;
    }
}

static double range_max(const double *const level[MAX_LEVELS], int from, int to) {
    if (from >= to) return 0;
    int k = 31 - __builtin_clz((unsigned)(to - from));
    return fmax(level[k][from], level[k][to - (1 << k)]);
}

/* The index in the list of the model's i-th operator. */
static int listed(const struct aceso_ops *o, int i) {
    int len = o->block_end - o->block, in_blocks = len * o->n_block;
    return i < o->block               ? i
           : i < o->block + in_blocks ? o->block + (i - o->block) % len
                                      : i - in_blocks + len;
}

static struct aceso_table *make_table(const struct aceso_ops *o, const double *const column[COLUMNS],
                                      const int *first, int n, const double *const GBps[2], bool corrected,
                                      struct arena *a) {
    struct aceso_table *t = ARENA_NEW(a, struct aceso_table);
    double *sum[4], *end[2], *us[2][2], *reserved[2];
    for (int k = 0; k < 4; k++) sum[k] = ARENA_ARRAY(a, double, n + 1);
    for (int k = 0; k < 2; k++) {
        end[k] = ARENA_ARRAY(a, double, n);
        reserved[k] = ARENA_ARRAY(a, double, n);
        for (int net = 0; net < 2; net++) us[k][net] = ARENA_ARRAY(a, double, n);
    }
    for (int u = 0; u < n; u++) {
        for (int k = 0; k < 4; k++) sum[k][u + 1] = sum[k][u];
        for (int op = first[u]; op < first[u + 1]; op++) {
            int i = listed(o, op);
            sum[0][u + 1] += column[FORWARD][i] + column[BACKWARD][i];
            sum[1][u + 1] += column[WEIGHTS][i];
            sum[2][u + 1] += column[ACTIVATIONS][i] * kept_share(o->name[i], corrected);
            sum[3][u + 1] += strstr(o->name[i], "softmax") ? 0 : column[ACTIVATIONS][i];
            reserved[0][u] = fmax(reserved[0][u], column[FWD_RESERVED][i]);
            reserved[1][u] = fmax(reserved[1][u], column[BWD_RESERVED][i]);
        }
        end[0][u] = column[INPUT][listed(o, first[u])];
        end[1][u] = column[OUTPUT][listed(o, first[u + 1] - 1)];
        for (int k = 0; k < 4; k++) us[k / 2][k % 2][u] = transfer_us(end[k / 2][u], GBps[k % 2], corrected);
    }
    *t = (struct aceso_table){.time_us = sum[0],
                              .weights_MiB = sum[1],
                              .kept_MiB = sum[2],
                              .judged_MiB = sum[3],
                              .in_MiB = end[0],
                              .out_MiB = end[1],
                              .in_us = {us[0][0], us[0][1]},
                              .out_us = {us[1][0], us[1][1]}};
    range_maxima(t->fwd_reserved, reserved[0], n, a);
    range_maxima(t->bwd_reserved, reserved[1], n, a);
    return t;
}

static double fit_GBps(const struct link *l, double bytes) {
    return bytes / 1e9 / link_time_s(l, bytes, ESTIMATOR_SAILOR);
}

int aceso_costs_make(const struct workload *w, const struct aceso_inputs *x, int zone, int gpu,
                     bool corrected, struct aceso_costs *c, struct arena *a, struct err *e) {
    const struct aceso_ops *o = x->gpu[gpu];
    const struct site *s = w->site;
    const struct link *inter = site_link(s, zone, gpu, 1, zone, gpu, 1), *own = &s->intra[gpu * TP_N + 1];
    if (!o)
        return err_set(e, EXIT_INPUT, "aceso: model %s has no profile on GPU %s", w->model->name,
                       s->gpu[gpu].name);
    if (!inter)
        return err_set(e, EXIT_INPUT, "aceso: no link %s in zone %s", s->gpu[gpu].name, s->zone[zone]);
    double between[LINK_SIZES], within[LINK_SIZES];
    for (int k = 0; k < LINK_SIZES; k++) {
        between[k] = fit_GBps(inter, MiB * (1 << k));
        within[k] = o->intra_GBps ? o->intra_GBps[k]
                    : own->known  ? fit_GBps(own, MiB * (1 << k))
                                  : between[k];
    }
    const double *const GBps[2] = {within, between};
    int n_op = o->n_listed + (o->n_block - 1) * (o->block_end - o->block),
        *first = ARENA_ARRAY(a, int, n_op + 1);
    int L = w->model->n_layer, *layer = ARENA_ARRAY(a, int, L + 1);
    for (int l = 0; l <= L; l++)
        layer[l] = o->n_block == 0 ? l
                   : l == 0        ? 0
                   : l == L        ? n_op
                                   : o->block + (l - 1) * (o->block_end - o->block);
    *c = (struct aceso_costs){.n = corrected ? L : n_op,
                              .n_layer = L,
                              .corrected = corrected,
                              .memory_per_weight =
                                  corrected ? w->state_bytes_per_param / w->element_bytes : 4};
    for (int u = 0; u <= c->n; u++) first[u] = corrected ? layer[u] : u;
    for (int l = 0; corrected && l <= L; l++) layer[l] = l;
    c->layer = layer;
    for (int ti = 0; ti < TP_N; ti++) {
        c->link[ti] = site_link(s, zone, gpu, 1 << ti, zone, gpu, 1 << ti);
        for (int bi = 0; bi < BATCHES; bi++) {
            if (!o->column[bi][ti][0]) continue;
            const struct layer_times *common = profile_times(w->profile[gpu], 1 << bi, 1 << ti);
            struct aceso_table *t = make_table(o, o->column[bi][ti], first, c->n, GBps, corrected, a);
            t->update_us = common ? common->update_s[0] * 1e6 : 0;
            c->table[bi][ti] = t;
        }
    }
    return 0;
}

struct aceso_cost aceso_stage_cost(const struct aceso_costs *c, const struct aceso_place *p, int bi, int ti) {
    const struct aceso_table *t = bi >= 0 && bi < BATCHES ? c->table[bi][ti] : NULL;
    if (!t) return (struct aceso_cost){INFINITY, INFINITY};
    double weights = t->weights_MiB[p->end] - t->weights_MiB[p->first];
    double kept = t->in_MiB[p->first] + t->kept_MiB[p->end] - t->kept_MiB[p->first];
    double reserved =
        range_max(t->fwd_reserved, p->first, p->end - 1) + range_max(t->bwd_reserved, p->first, p->end - 1);
    return (struct aceso_cost){t->time_us[p->end] - t->time_us[p->first] + t->in_us[p->from_node][p->first] +
                                   t->out_us[p->to_node][p->end - 1],
                               c->memory_per_weight * weights + kept * (p->behind + 1) +
                                   (c->corrected ? 0 : fmax(reserved, weights))};
}

/* Corrected: a stage's gradient all-reduce and update, which the original omits. */
double aceso_sync_us(const struct aceso_costs *c, const struct aceso_place *p, int bi, int ti, int dp) {
    const struct aceso_table *t = c->table[bi][ti];
    if (!c->corrected || !c->link[ti]) return 0;
    double bytes = (t->weights_MiB[p->end] - t->weights_MiB[p->first]) * MiB;
    return allreduce_time_s(c->link[ti], bytes, dp, ESTIMATOR_NATIVE) * 1e6 + t->update_us;
}

/* ---- any plan ---- */

int aceso_estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                   struct guess *out, struct arena *scratch, struct err *e) {
    struct aceso_costs c;
    int zone = -1, type = -1; /* what c was set up for */
    *out = (struct guess){0, 0};
    for (int k = 0; k < p->n_pipeline; k++) {
        const struct pipeline *pipe = &p->pipeline[k];
        int mb = p->micro_batch_size * stage_replicas(pipe->stage), gpu = 0;
        double slowest = 0, sum = 0, sync = 0,
               rounds = (double)w->global_batch_size / ((double)mb * p->n_pipeline);
        for (int i = 0; i < pipe->n_stage; i++) {
            const struct stage *stage = &pipe->stage[i];
            int D = stage_replicas(stage), bi = mb % D ? -1 : tp_index(mb / D), gpus = 0;
            struct aceso_cost worst = {0, 0};
            for (int r = 0; r < stage->n_group; r++) gpus += stage->group[r].tp * stage->group[r].count;
            for (int r = 0; r < stage->n_group; r++) {
                const struct replicas *y = &stage->group[r];
                if (y->zone != zone || y->gpu != type) {
                    if (aceso_costs_make(w, extra, y->zone, y->gpu, corrected, &c, scratch, e)) return -1;
                    zone = y->zone;
                    type = y->gpu;
                }
                int per_node = w->site->gpu[y->gpu].gpus_per_node;
                struct aceso_place at = {c.layer[stage->first], c.layer[stage->end], pipe->n_stage - 1 - i,
                                         gpu > 0 && gpu % per_node == 0, (gpu + gpus) % per_node == 0};
                struct aceso_cost v = aceso_stage_cost(&c, &at, bi, tp_index(y->tp));
                worst.time_us = fmax(worst.time_us, v.time_us);
                worst.memory_MiB = fmax(worst.memory_MiB, v.memory_MiB);
                if (corrected && v.time_us < INFINITY)
                    sync = fmax(sync, aceso_sync_us(&c, &at, bi, tp_index(y->tp), D));
            }
            slowest = fmax(slowest, worst.time_us);
            sum += worst.time_us;
            gpu += gpus;
            out->peak_bytes = fmax(out->peak_bytes, worst.memory_MiB * MiB);
        }
        rounds = corrected ? ceil(rounds) : floor(rounds);
        out->time_s = fmax(out->time_s, (slowest * (rounds - 1) + sum + sync) * 1e-6);
    }
    if (!(out->peak_bytes < INFINITY))
        *out = (struct guess){NAN, NAN}; /* a microbatch or degree without a profile */
    return 0;
}
