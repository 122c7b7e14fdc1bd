#include "sim/batch.h"

#include <string.h>

/* tests/unit/t_batch.c compares this form with that of estimate.c, so that a change there does not go
 * unnoticed here. */

enum { RING_TABLE = 512 }; /* D up to which log2 of a full bucket's message is kept */

/* Maximum by one instruction: fmax() would be a call, for the sake of NANs, which no time is. */
static inline double max2(double a, double b) { return a > b ? a : b; }

/* Running sums over layers, entry l = layers [0, l). What one replica group needs lies side by side. */
struct time_sum {
    double fwd_bwd_s;
    double update_s; /* of layer l itself, or running, see end.by_layer */
};
struct size_sum {
    double params, act_mem;
};

/* One (zone, gpu, degree). */
struct end {
    const struct time_sum *time;            /* [n_layer + 1] */
    double memory_bytes;                    /* -INFINITY where not usable */
    double usd_per_hour;                    /* of one replica: tp GPUs */
    unsigned short slot;                    /* in batch_tables.transfer; 0: no link at all */
    unsigned char zone, unusable, by_layer; /* by_layer: updates add up over the layers of a stage */
};

struct batch_tables {
    int n_layer, n_gpu, n_zone, n_slot;
    size_t n_ring;
    bool native;
    int m;
    double F, K;
    double overhead[TP_N];              /* B; the frameworks' share, in the form that `fits` uses */
    const struct end *end;              /* [(zone * n_gpu + gpu) * TP_N + ti] */
    const struct size_sum *size[TP_N];  /* [n_layer + 1]; NULL = degree not known */
    const double *params;               /* [n_layer + 1] elements at tp 1: the gradients of a stage */
    const double *message_bytes;        /* [l] output of layer l for one microbatch */
    const size_t *message;              /* [l] where the times of messages of that size begin in transfer */
    const double *transfer;             /* [message][from slot][to slot] s */
    const struct link *ring;            /* [from zone and gpu][to zone and gpu], counts 1 */
    const double *egress_usd_per_GB;    /* [from * n_zone + to] */
    const double *both_ways_usd_per_GB; /* price there + price back */
    double bucket_log[RING_TABLE];      /* [D] log2 as the bandwidth wants it, of a full bucket's message */
};

static const unsigned char tp_ti[TP_MAX + 1] = {[1] = 0, [2] = 1, [4] = 2, [8] = 3};

/* ---- tables ------------------------------------------------------------------------- */

/* The argument of the bandwidth fit; the same operations as in estimate.c, because the published fit has
 * poles, near which the last bit counts. */
static double size_log(double bytes, bool native) {
    if (native) bytes = fmin(fmax(bytes, MEASURED_MIN_BYTES), MEASURED_MAX_BYTES);
    return log2(bytes / 1e6);
}

static const struct time_sum *time_sums(const struct layer_times *t, bool by_layer, int n_layer,
                                        struct arena *a) {
    struct time_sum *sum = ARENA_ARRAY(a, struct time_sum, n_layer + 1);
    for (int l = 0; t && l < n_layer; l++) {
        if (by_layer)
            sum[l + 1].update_s = sum[l].update_s + t->update_s[l];
        else
            sum[l].update_s = t->update_s[l];
        sum[l + 1].fwd_bwd_s = sum[l].fwd_bwd_s + (t->fwd_s[l] + t->bwd_s[l]);
    }
    return sum;
}

static void build_sizes(struct batch_tables *t, const struct model *mo, struct arena *a) {
    double *params = ARENA_ARRAY(a, double, mo->n_layer + 1), *bytes = ARENA_ARRAY(a, double, mo->n_layer);
    for (int l = 0; l < mo->n_layer; l++) {
        params[l + 1] = params[l] + mo->params[0][l];
        bytes[l] = mo->act_out[l] * t->F * t->m;
    }
    t->params = params;
    t->message_bytes = bytes;
    for (int ti = 0; ti < TP_N; ti++) {
        if (!mo->params[ti] || !mo->act_mem[ti]) continue;
        struct size_sum *sum = ARENA_ARRAY(a, struct size_sum, mo->n_layer + 1);
        for (int l = 0; l < mo->n_layer; l++)
            sum[l + 1] =
                (struct size_sum){sum[l].params + mo->params[ti][l], sum[l].act_mem + mo->act_mem[ti][l]};
        t->size[ti] = sum;
        t->overhead[ti] = ti == 0 ? 2.0e9 : 3.0e9;
    }
}

/* The ends, and into slot_end the one that each slot stands for; slot 0 is the one without links. */
static void build_ends(struct batch_tables *t, const struct workload *w, int *slot_end, struct arena *a) {
    const struct site *s = w->site;
    struct end *ends = ARENA_ARRAY(a, struct end, s->n_zone * s->n_gpu * TP_N);
    const struct time_sum *none = time_sums(NULL, false, t->n_layer, a);
    t->end = ends;
    t->n_slot = 1;
    for (int ti = 0; ti < TP_N; ti++)
        for (int gpu = 0; gpu < s->n_gpu; gpu++) {
            const struct layer_times *times = profile_times(w->profile[gpu], t->m, 1 << ti);
            bool usable = times && t->size[ti] && 1 << ti <= s->gpu[gpu].gpus_per_node;
            bool by_layer = usable && t->native && times->update_by_layer;
            const struct time_sum *sums = usable ? time_sums(times, by_layer, t->n_layer, a) : none;
            for (int zone = 0; zone < s->n_zone; zone++) {
                int place = zone * s->n_gpu + gpu, i = place * TP_N + ti;
                struct end *e = &ends[i];
                *e = (struct end){.time = sums,
                                  .memory_bytes = usable ? s->gpu[gpu].memory_bytes : -INFINITY,
                                  .usd_per_hour = (1 << ti) * s->usd_per_gpu_hour[place],
                                  .zone = (unsigned char)zone,
                                  .unusable = !usable,
                                  .by_layer = by_layer};
                /* a slot only for those that can be at the end of a link: the table stays within the caches
                 */
                if (usable && s->counts[place])
                    slot_end[t->n_slot] = i, e->slot = (unsigned short)t->n_slot++;
            }
        }
    for (int ti = 0; ti < TP_N; ti++)
        if (!t->size[ti])
            t->size[ti] = ARENA_ARRAY(a, struct size_sum, t->n_layer + 1); /* only to be read safely */
}

static void build_transfers(struct batch_tables *t, const struct workload *w, enum estimator est,
                            const int *slot_end, struct arena *a) {
    const struct site *s = w->site;
    size_t n = (size_t)t->n_slot, n_size = 0;
    size_t *message = ARENA_ARRAY(a, size_t, t->n_layer);
    double *sizes = ARENA_ARRAY(a, double, t->n_layer);
    for (int l = 0; l < t->n_layer; l++) {
        size_t k = 0;
        while (k < n_size && sizes[k] != t->message_bytes[l]) k++;
        if (k == n_size) sizes[n_size++] = t->message_bytes[l];
        message[l] = k * n * n;
    }
    double *transfer = ARENA_ARRAY(a, double, n_size * n * n);
    for (size_t k = 0; k < n_size; k++)
        for (size_t x = 0; x < n; x++)
            for (size_t y = 0; y < n; y++) {
                const struct link *l = NULL;
                if (x && y) {
                    int from = slot_end[x], to = slot_end[y];
                    l = site_link(s, from / TP_N / s->n_gpu, from / TP_N % s->n_gpu, 1 << from % TP_N,
                                  to / TP_N / s->n_gpu, to / TP_N % s->n_gpu, 1 << to % TP_N);
                }
                transfer[(k * n + x) * n + y] = l ? link_time_s(l, sizes[k], est) : INFINITY;
            }
    t->message = message;
    t->transfer = transfer;
}

static void build_rings(struct batch_tables *t, const struct site *s, struct arena *a) {
    int n = s->n_zone * s->n_gpu;
    struct link *ring = ARENA_ARRAY(a, struct link, n * n);
    t->ring = ring;
    t->n_ring = (size_t)n;
    for (int x = 0; x < n; x++)
        for (int y = 0; y < n; y++) {
            const struct link *l = site_link(s, x / s->n_gpu, x % s->n_gpu, 1, y / s->n_gpu, y % s->n_gpu, 1);
            if (l) ring[x * n + y] = *l;
        }
    for (int k = 1; k < RING_TABLE; k++) t->bucket_log[k] = size_log((double)BUCKET_BYTES / k, t->native);
}

static void build_prices(struct batch_tables *t, const struct site *s, struct arena *a) {
    int n = s->n_zone;
    double *one = ARENA_ARRAY(a, double, n * n), *both = ARENA_ARRAY(a, double, n * n);
    for (int x = 0; x < n; x++)
        for (int y = 0; y < n; y++) {
            one[x * n + y] = s->egress_usd_per_GB[x * n + y];
            both[x * n + y] = one[x * n + y] + s->egress_usd_per_GB[y * n + x];
        }
    t->egress_usd_per_GB = one;
    t->both_ways_usd_per_GB = both;
}

struct batch_tables *batch_tables_build(const struct workload *w, enum estimator est, int micro_batch_size,
                                        struct arena *a) {
    struct batch_tables *t = ARENA_NEW(a, struct batch_tables);
    int slot_end[ZONES_MAX * GPUS_MAX * TP_N + 1];
    t->n_layer = w->model->n_layer;
    t->n_gpu = w->site->n_gpu;
    t->n_zone = w->site->n_zone;
    t->native = est == ESTIMATOR_NATIVE;
    t->m = micro_batch_size;
    t->F = w->element_bytes;
    t->K = w->state_bytes_per_param;
    build_sizes(t, w->model, a);
    build_ends(t, w, slot_end, a);
    build_transfers(t, w, est, slot_end, a);
    build_rings(t, w->site, a);
    build_prices(t, w->site, a);
    return t;
}

/* ---- batches ------------------------------------------------------------------------ */

struct plan_batch *batch_new(int plans, int stages, int groups, int micro_batch_size, struct arena *a) {
    struct plan_batch *b = ARENA_NEW(a, struct plan_batch);
    *b = (struct plan_batch){
        .micro_batch_size = micro_batch_size,
        .global_batch_size = ARENA_ARRAY(a, int, plans),
            .stage_at = ARENA_ARRAY(a, int, plans + 1),
                .first_layer = ARENA_ARRAY(a, int, stages),
                    .group_at = ARENA_ARRAY(a, int, stages + 1),
                        .gpu = ARENA_ARRAY(a, unsigned char, groups),
                            .zone = ARENA_ARRAY(a, unsigned char, groups),
                                                .tp = ARENA_ARRAY(a, unsigned char, groups),
                                                                  .count = ARENA_ARRAY(a, int, groups),
                                                                                       .plan_cap = plans,
                                                                                       .stage_cap = stages,
                                                                                       .group_cap = groups};
    return b;
}

void batch_clear(struct plan_batch *b) { b->n_plan = 0; }

enum batch_add batch_add_plan(struct plan_batch *b, const struct plan *p) {
    if (p->n_pipeline != 1 || p->micro_batch_size != b->micro_batch_size) return BATCH_OTHER_FORM;
    const struct pipeline *pl = &p->pipeline[0];
    int D = stage_replicas(&pl->stage[0]), stage = b->stage_at[b->n_plan], group = b->group_at[stage],
        n_group = 0;
    for (int i = 0; i < pl->n_stage; i++) {
        const struct stage *st = &pl->stage[i];
        if (stage_replicas(st) != D) return BATCH_OTHER_FORM;
        for (int g = 0; g < st->n_group; g++)
            if (st->group[g].n_vm) return BATCH_OTHER_FORM;
        n_group += st->n_group;
    }
    if (b->n_plan == b->plan_cap || stage + pl->n_stage > b->stage_cap || group + n_group > b->group_cap)
        return BATCH_FULL;
    for (int i = 0; i < pl->n_stage; i++) {
        const struct stage *st = &pl->stage[i];
        b->first_layer[stage] = st->first;
        for (int g = 0; g < st->n_group; g++, group++) {
            b->gpu[group] = (unsigned char)st->group[g].gpu;
            b->zone[group] = (unsigned char)st->group[g].zone;
            b->tp[group] = (unsigned char)st->group[g].tp;
            b->count[group] = st->group[g].count;
        }
        b->group_at[++stage] = group;
    }
    b->global_batch_size[b->n_plan++] = p->global_batch_size;
    b->stage_at[b->n_plan] = stage;
    return BATCH_ADDED;
}

/* ---- estimates ---------------------------------------------------------------------- */

/* Place of a group: the index of its (zone, gpu). */
static inline size_t place_of(const struct batch_tables *t, const struct plan_batch *b, int g) {
    return (size_t)b->zone[g] * (size_t)t->n_gpu + b->gpu[g];
}

static inline const struct end *end_of(const struct batch_tables *t, const struct plan_batch *b, int g) {
    return &t->end[place_of(t, b, g) * TP_N + tp_ti[b->tp[g]]];
}

/* A plan, as far as it has been looked at. */
struct tally {
    double peak_bytes, usd_per_hour, egress_usd, update_s;
    double ring_factor, bucket_GB, bucket_log; /* of the all-reduces: depend on D only */
    int D;
    bool fits, unusable;
};

/* Compute time of a stage; memory, and money per hour, into the tally. *min_tp: capped as the all-reduce
 * wants it. */
static inline double stage_compute(const struct batch_tables *t, const struct plan_batch *b, int stage,
                                   int end, double in_flight, struct tally *y, int *min_tp) {
    int first = b->first_layer[stage], least = 4;
    double compute = 0, act_bytes = in_flight * t->m * t->F;
    for (int g = b->group_at[stage]; g < b->group_at[stage + 1]; g++) {
        const struct end *e = end_of(t, b, g);
        const struct size_sum *size = t->size[tp_ti[b->tp[g]]];
        compute = max2(compute, e->time[end].fwd_bwd_s - e->time[first].fwd_bwd_s);
        double update_s = e->time[first].update_s;
        if (e->by_layer) update_s = e->time[end].update_s - update_s;
        y->update_s = max2(y->update_s, update_s);
        double bytes = t->K * (size[end].params - size[first].params) +
                       act_bytes * (size[end].act_mem - size[first].act_mem);
        y->fits &= !(bytes + t->overhead[tp_ti[b->tp[g]]] > e->memory_bytes);
        y->peak_bytes = max2(y->peak_bytes, bytes + 4.76e9 + 3.0e8);
        y->usd_per_hour += b->count[g] * e->usd_per_hour;
        y->unusable |= e->unusable;
        if (b->tp[g] < least) least = b->tp[g];
    }
    *min_tp = least;
    return compute;
}

/* One stage's all-reduce, as far as it is the same on every link: n full buckets and a rest. */
struct reduction {
    double n, bucket_GB, bucket_log, rest_GB, rest_log;
};

static inline double reduction_time(const struct link *l, const struct reduction *r) {
    if (!l->known) return INFINITY;
    double time = 0;
    if (r->n > 0) {
        double v = r->bucket_log;
        time = r->n * (r->bucket_GB / (l->c2 * v * v + l->c1 * v + l->c0));
    }
    if (r->rest_GB > 0) {
        double v = r->rest_log;
        time += r->rest_GB / (l->c2 * v * v + l->c1 * v + l->c0);
    }
    return time;
}

/* Gradient all-reduce of a stage: the logarithm of a message is taken once per stage, not once per link. */
static inline double stage_sync(const struct batch_tables *t, const struct plan_batch *b, int stage, int end,
                                int min_tp, struct tally *y) {
    double params_bytes = (t->params[end] - t->params[b->first_layer[stage]]) * t->F,
           bytes = params_bytes / min_tp;
    struct reduction r = {
        .n = floor(bytes / BUCKET_BYTES), .bucket_GB = y->bucket_GB, .bucket_log = y->bucket_log};
    double rest = (bytes - r.n * BUCKET_BYTES) / y->D, worst = -INFINITY, usd_per_GB = 0;
    r.rest_GB = rest / 1e9;
    if (rest > 0) r.rest_log = size_log(rest, t->native);
    int from = b->group_at[stage], to = b->group_at[stage + 1];
    size_t first = place_of(t, b, from), at = first;
    for (int g = from; g < to; g++) {
        const struct link *row = &t->ring[at * t->n_ring];
        const double *price = &t->egress_usd_per_GB[b->zone[g] * t->n_zone];
        if (b->count[g] > 1) { /* among the group's own replicas */
            worst = max2(worst, reduction_time(&row[at], &r));
            usd_per_GB += (b->count[g] - 1) * price[b->zone[g]];
        }
        if (g + 1 < to) { /* over to the next group */
            at = place_of(t, b, g + 1);
            worst = max2(worst, reduction_time(&row[at], &r));
            usd_per_GB += price[b->zone[g + 1]];
        } else { /* money: the ring is closed */
            usd_per_GB += price[b->zone[from]];
        }
    }
    y->egress_usd += usd_per_GB * (params_bytes / 1e9) * y->ring_factor / y->D;
    return y->ring_factor * worst;
}

/* Both directions between a stage and the next, in one walk along the replicas: with equal D the pairs are
 * the same. *act: the slowest output of the stage's last layer; *grad: the slowest gradient of the next one's
 * first layer. */
static inline void stage_transfers(const struct batch_tables *t, const struct plan_batch *b, int stage, int M,
                                   double *act, double *grad, struct tally *y) {
    int next_first = b->first_layer[stage + 1], g = b->group_at[stage], h = b->group_at[stage + 1];
    const double *there = &t->transfer[t->message[next_first - 1]],
                 *back = &t->transfer[t->message[next_first]];
    size_t n = (size_t)t->n_slot;
    double usd_per_GB = 0, a = -INFINITY, c = -INFINITY;
    const struct end *p = end_of(t, b, g), *q = end_of(t, b, h);
    for (int p_left = b->count[g], q_left = b->count[h], left = y->D;;) {
        int run = p_left < q_left ? p_left : q_left;
        a = max2(a, there[p->slot * n + q->slot]);
        c = max2(c, back[q->slot * n + p->slot]);
        usd_per_GB += run * t->both_ways_usd_per_GB[p->zone * t->n_zone + q->zone];
        left -= run;
        p_left -= run;
        q_left -= run;
        if (left <= 0) break;
        if (!p_left) p = end_of(t, b, ++g), p_left = b->count[g];
        if (!q_left) q = end_of(t, b, ++h), q_left = b->count[h];
    }
    *act = a, *grad = c;
    y->egress_usd += M * usd_per_GB * t->message_bytes[next_first - 1] / 1e9;
}

static void estimate_one(const struct batch_tables *t, const struct plan_batch *b, int plan,
                         const struct batch_out *out) {
    int from = b->stage_at[plan], to = b->stage_at[plan + 1], P = to - from, D = 0;
    for (int g = b->group_at[from]; g < b->group_at[from + 1]; g++) D += b->count[g];
    long slots = (long)D * t->m;
    int M = (int)((b->global_batch_size[plan] + slots - 1) / slots);
    double bucket = (double)BUCKET_BYTES / D;
    struct tally y = {.ring_factor = 2.0 * (D - 1),
                      .bucket_GB = bucket / 1e9,
                      .bucket_log = D < RING_TABLE ? t->bucket_log[D] : size_log(bucket, t->native),
                      .D = D,
                      .fits = true};
    double slowest = -INFINITY, comp_sum = 0, comm_sum = 0, sync_s = D > 1 ? -INFINITY : 0, grad = 0;
    for (int k = 0; k < P; k++) {
        int stage = from + k, end = k < P - 1 ? b->first_layer[stage + 1] : t->n_layer, min_tp,
            in_flight = P - k;
        if (t->native && M < in_flight) in_flight = M;
        double compute = stage_compute(t, b, stage, end, in_flight, &y, &min_tp), act = 0, next_grad = 0,
               comm = 0;
        if (k < P - 1) stage_transfers(t, b, stage, M, &act, &next_grad, &y);
        if (D > 1) sync_s = max2(sync_s, stage_sync(t, b, stage, end, min_tp, &y));
        if (t->native)
            comm = act + grad; /* 0 where there is no neighbour */
        else if (k == P - 1)
            comm = 2 * grad;
        else if (k == 0)
            comm = P <= 3 ? act : 2 * act;
        else
            comm = act + grad;
        slowest = max2(slowest, compute + comm);
        comp_sum += compute;
        comm_sum += comm;
        grad = next_grad;
    }
    double time_s = (M - 1) * slowest + comm_sum + comp_sum + y.update_s + sync_s;
    /* not left to the sum above: with one microbatch it has 0 * INFINITY in it */
    if (y.unusable || slowest == INFINITY) time_s = INFINITY;
    out->time_s[plan] = time_s;
    out->sync_s[plan] = sync_s;
    out->egress_usd[plan] = y.egress_usd;
    out->cost_usd[plan] = time_s * y.usd_per_hour / 3600 + y.egress_usd;
    out->peak_memory_bytes[plan] = y.peak_bytes;
    out->fits[plan] = y.fits;
}

void batch_estimate(const struct batch_tables *t, const struct plan_batch *b, const struct batch_out *out) {
    for (int p = 0; p < b->n_plan; p++) estimate_one(t, b, p, out);
}
