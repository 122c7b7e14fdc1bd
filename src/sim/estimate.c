#include "sim/estimate.h"

#include <stdio.h>

#include "sim/link.h"
#include "sim/terms.h"

const char *const estimator_name[ESTIMATOR_N] = {"sailor", "native"};

/* ---- links -------------------------------------------------------------------------- */

/* None of these is NAN; fmax() and fmin() would be calls. */
static inline double larger(double a, double b) { return b > a ? b : a; }
static inline double within(double x, double lo, double hi) {
    x = x > lo ? x : lo;
    return x < hi ? x : hi;
}

/* The argument of the fits, for links that were measured over the usual sizes. */
static double size_log(double bytes, enum estimator est) {
    if (est == ESTIMATOR_NATIVE) bytes = within(bytes, MEASURED_MIN_BYTES, MEASURED_MAX_BYTES);
    return log2(bytes / 1e6);
}

/* That of a link that was measured over other sizes; `y`: of the usual ones. */
static double own_log(const struct link *l, double bytes, double y, enum estimator est) {
    if (est != ESTIMATOR_NATIVE || !(l->min_bytes > 0 || l->max_bytes > 0)) return y;
    double lo = l->min_bytes > 0 ? l->min_bytes : MEASURED_MIN_BYTES,
           hi = l->max_bytes > 0 ? l->max_bytes : MEASURED_MAX_BYTES, own = within(bytes, lo, hi);
    return own != within(bytes, MEASURED_MIN_BYTES, MEASURED_MAX_BYTES) ? log2(own / 1e6) : y;
}

static double fit_at(const struct link *l, double y) { return l->c2 * y * y + l->c1 * y + l->c0; }

/* Its bandwidth at a size whose logarithm is known. */
static double bandwidth_at(const struct link *l, double bytes, double y, enum estimator est) {
    if (l->rate_Bps > 0) return link_rated_Bps(l, bytes) / 1e9;
    return fit_at(l, own_log(l, bytes, y, est));
}

static double bandwidth_GBps(const struct link *l, double bytes, enum estimator est) {
    return bandwidth_at(l, bytes, size_log(bytes, est), est);
}

double link_time_s(const struct link *l, double bytes, enum estimator est) {
    return bytes > 0 ? bytes / 1e9 / bandwidth_GBps(l, bytes, est) : 0;
}

bool link_usable(const struct link *l, double bytes, enum estimator est) {
    return bytes <= 0 || bandwidth_GBps(l, bytes, est) > 0;
}

/* One loop over the buckets of an all-reduce: full ones cost the same, the last is what is left. */
struct allreduce allreduce_of(double bytes, int k, enum estimator est) {
    double n = floor(bytes / BUCKET_BYTES), rest = bytes - n * BUCKET_BYTES;
    struct allreduce r = {.k = k, .est = est};
    if (k <= 1) return r;
    r.n_full = n;
    r.full_bytes = n > 0 ? (double)BUCKET_BYTES / k : 0;
    r.rest_bytes = rest / k;
    if (r.full_bytes > 0) r.full_log = size_log(r.full_bytes, est);
    if (r.rest_bytes > 0) r.rest_log = size_log(r.rest_bytes, est);
    return r;
}

bool allreduce_usable(const struct link *l, const struct allreduce *r) {
    return (r->full_bytes <= 0 || bandwidth_at(l, r->full_bytes, r->full_log, r->est) > 0) &&
           (r->rest_bytes <= 0 || bandwidth_at(l, r->rest_bytes, r->rest_log, r->est) > 0);
}

static double moved_s(const struct link *l, double bytes, double log, enum estimator est) {
    return bytes > 0 ? bytes / 1e9 / bandwidth_at(l, bytes, log, est) : 0;
}

double allreduce_on(const struct link *l, const struct allreduce *r) {
    if (r->k <= 1) return 0;
    double t = r->n_full > 0 ? r->n_full * moved_s(l, r->full_bytes, r->full_log, r->est) : 0;
    return 2.0 * (r->k - 1) * (t + moved_s(l, r->rest_bytes, r->rest_log, r->est));
}

/* The largest bandwidth at the sizes from `least` to `most`, whose logarithms are known. */
static double top_GBps(const struct link *l, double least, double least_log, double most, double most_log,
                       enum estimator est) {
    double top = fmax(bandwidth_at(l, least, least_log, est), bandwidth_at(l, most, most_log, est));
    if (l->rate_Bps > 0 || !(l->c2 < 0)) return top;
    double y = -l->c1 / (2 * l->c2); /* where the parabola has its top */
    bool inside = own_log(l, least, least_log, est) < y && y < own_log(l, most, most_log, est);
    return inside ? fmax(top, fit_at(l, y)) : top;
}

/* 2 (k - 1) / k grows with k, and the bytes that all messages of one worker have together are the same. */
double allreduce_least_s(const struct link *l, const struct allreduce *fewest, const struct allreduce *most) {
    double t = 0, full = most->full_bytes, rest = most->rest_bytes;
    if (full > 0) {
        double top = top_GBps(l, full, most->full_log, fewest->full_bytes, fewest->full_log, most->est);
        if (!(top > 0)) return INFINITY;
        t += fewest->n_full * fewest->full_bytes / 1e9 / top;
    }
    if (rest > 0) {
        double top = top_GBps(l, rest, most->rest_log, fewest->rest_bytes, fewest->rest_log, most->est);
        if (!(top > 0)) return INFINITY;
        t += fewest->rest_bytes / 1e9 / top;
    }
    return 2.0 * (fewest->k - 1) * t * (1 - 1e-12);
}

double allreduce_time_s(const struct link *l, double bytes, int k, enum estimator est) {
    struct allreduce r = allreduce_of(bytes, k, est);
    return allreduce_on(l, &r);
}

/* ---- one stage ---------------------------------------------------------------------- */

/* A stage's replicas in order, as runs of equal ones; wraps round. */
struct cursor {
    const struct stage *st;
    int group, left;
};

static struct cursor cursor_start(const struct stage *st) {
    return (struct cursor){st, 0, st->group[0].count};
}

static const struct replicas *cursor_at(const struct cursor *c) { return &c->st->group[c->group]; }

static void cursor_skip(struct cursor *c, int n) {
    if ((c->left -= n) > 0) return;
    c->group = (c->group + 1) % c->st->n_group;
    c->left = c->st->group[c->group].count;
}

struct context {
    const struct workload *w;
    enum estimator est;
    int m, P, M, parts;
    struct sized *last; /* the message that was asked for last: most of a plan are of one size */
    struct err *e;
};

/* A message and where the fit is evaluated for it: the logarithm costs more than the rest. */
struct sized {
    double bytes, log;
};

static struct sized sized(const struct context *c, double bytes) {
    if (bytes != c->last->bytes) *c->last = (struct sized){bytes, size_log(bytes, c->est)};
    return *c->last;
}

static int no_link(const struct context *c, const struct replicas *a, const struct replicas *b) {
    const struct site *s = c->w->site;
    return err_set(
        c->e, EXIT_INPUT, "site %s: no link from %s in %s (tp %d) to %s in %s (tp %d), which the plan uses",
        s->name, s->gpu[a->gpu].name, s->zone[a->zone], a->tp, s->gpu[b->gpu].name, s->zone[b->zone], b->tp);
}

/* Slowest transfer of `bytes` from each replica of `a` to the one it is paired with in `b`; the money of all.
 */
static int transfer(const struct context *c, const struct stage *a, const struct stage *b, double bytes,
                    double *time_s, double *usd_per_GB) {
    const struct site *s = c->w->site;
    struct cursor x = cursor_start(a), y = cursor_start(b);
    struct sized message = sized(c, bytes);
    *time_s = -INFINITY, *usd_per_GB = 0;
    for (int left = stage_replicas(a), run; left > 0;
         left -= run, cursor_skip(&x, run), cursor_skip(&y, run)) {
        run = x.left < y.left ? x.left : y.left;
        const struct replicas *p = cursor_at(&x), *q = cursor_at(&y);
        const struct link *l = site_link(s, p->zone, p->gpu, p->tp, q->zone, q->gpu, q->tp);
        if (!l) return no_link(c, p, q);
        *time_s = larger(*time_s, moved_s(l, bytes, message.log, c->est));
        *usd_per_GB += run * s->egress_usd_per_GB[p->zone * s->n_zone + q->zone];
    }
    return 0;
}

/* Gradient all-reduce of a stage: the slowest link between neighbours of the open ring; money of the closed
 * one. */
static int sync(const struct context *c, const struct stage *st, double params, double *time_s, double *usd) {
    const struct site *s = c->w->site;
    int D = stage_replicas(st), min_tp = TP_MAX;
    *time_s = 0;
    *usd = 0;
    if (D == 1) return 0;
    for (int g = 0; g < st->n_group; g++)
        if (st->group[g].tp < min_tp) min_tp = st->group[g].tp;
    double bytes = ring_bytes(c->w, params, tp_index(min_tp));
    *time_s = -INFINITY;
    double usd_per_GB = 0;
    struct allreduce messages = allreduce_of(bytes, D, c->est);
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *p = &st->group[g], *next = &st->group[(g + 1) % st->n_group];
        for (int same = 1; same >= 0; same--) { /* inside the run, then over to the next one */
            const struct replicas *q = same ? p : next;
            if (same && p->count == 1) continue;
            usd_per_GB += (same ? p->count - 1 : 1) * s->egress_usd_per_GB[p->zone * s->n_zone + q->zone];
            if (!same && g == st->n_group - 1) continue; /* time: the ring is not closed */
            const struct link *l = site_link(s, p->zone, p->gpu, 1, q->zone, q->gpu, 1);
            if (!l) return no_link(c, p, q);
            *time_s = larger(*time_s, allreduce_on(l, &messages));
        }
    }
    *usd = ring_usd(c->w, usd_per_GB, params, D);
    return 0;
}

/* Layer times of a replica that the published simulator takes as spanning VMs: only its tensor-parallel
 * all-reduces, once forward and once backward (docs/estimator.md, "sailor and native"). */
static int vm_compute(const struct context *c, const struct stage *st, const struct replicas *r,
                      double *time_s) {
    const struct site *s = c->w->site;
    const struct model *mo = c->w->model;
    double bytes = (double)c->m * mo->sequence_length * mo->hidden_size * c->w->element_bytes,
           worst = INFINITY;
    const struct link *slowest = NULL;
    for (int v = 0; v < r->n_vm; v++) {
        int g = r->vm_gpu[v], n = s->gpu[g].gpus_per_node;
        const struct link *l = site_link(s, r->zone, g, n, r->zone, g, n);
        if (!l) return no_link(c, r, r);
        double bw = bandwidth_GBps(l, bytes, c->est);
        if (!slowest || bw < worst) worst = bw, slowest = l;
    }
    double allreduce = 2.0 * (r->tp - 1) * link_time_s(slowest, bytes / r->tp, c->est), n = 0;
    for (int l = st->first; l < st->end; l++) n += l == 0 ? 1 : l <= mo->n_block - 2 ? 2 : 0;
    *time_s = 2 * n * allreduce;
    return 0;
}

double replica_compute_s(const struct workload *w, const struct stage *st, const struct replicas *r,
                         int micro_batch_size) {
    const struct layer_times *t = profile_times(w->profile[r->gpu], micro_batch_size, r->tp);
    double sum = 0;
    for (int l = st->first; l < st->end; l++) sum += t->fwd_s[l] + t->bwd_s[l];
    return sum;
}

/* With the same layer times and sizes on each GPU. */
static bool same_kind(const struct replicas *a, const struct replicas *b) {
    return a->gpu == b->gpu && a->tp == b->tp && !a->n_vm && !b->n_vm;
}

static int compute(const struct context *c, const struct stage *st, double *time_s, double *update_s) {
    *time_s = -INFINITY, *update_s = -INFINITY;
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        const struct layer_times *t = profile_times(c->w->profile[r->gpu], c->m, r->tp);
        double sum = 0, update = 0;
        if (g > 0 && same_kind(&st->group[g - 1], r)) continue;
        int from = t->update_by_layer ? st->first : st->end - 1; /* one number is a stage's */
        for (int l = from; l < st->end; l++) update = update_up_to(t, st->first, l, update, c->est);
        if (r->n_vm > 1 && c->est == ESTIMATOR_SAILOR) {
            if (vm_compute(c, st, r, &sum)) return -1;
        } else {
            sum = replica_compute_s(c->w, st, r, c->m);
        }
        *time_s = larger(*time_s, sum);
        *update_s = larger(*update_s, update_share_s(c->w, update, stage_replicas(st)));
    }
    return 0;
}

/* Parameters of all its layers at tp 1. */
static double stage_params(const struct workload *w, const struct stage *st) {
    double sum = 0;
    for (int l = st->first; l < st->end; l++) sum += w->model->params[0][l];
    return sum;
}

/* Fullest GPU: state, activations of the microbatches in flight, overhead. */
static void memory(const struct context *c, const struct stage *st, int index, struct stage_estimate *out,
                   double *peak, bool *fits) {
    const struct workload *w = c->w;
    double in_flight = c->parts > 1 ? parts_in_flight(c->P, index, c->parts, c->M)
                                    : microbatches_in_flight(c->est, c->P - index, c->M);
    double params = 0, act = 0; /* of the last degree */
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        int ti = tp_index(r->tp), type = c->est == ESTIMATOR_SAILOR && r->n_vm ? r->vm_gpu[0] : r->gpu;
        if (g > 0 && same_kind(&st->group[g - 1], r)) continue;
        if (g == 0 || r->tp != st->group[g - 1].tp) {
            params = act = 0;
            for (int l = st->first; l < st->end; l++)
                params += w->model->params[ti][l], act += w->model->act_mem[ti][l];
        }
        double bytes = model_bytes(w, ti, stage_replicas(st), params, act, in_flight, c->m);
        double checked = held_bytes(w, c->est, type, ti, bytes);
        double room = w->site->gpu[type].memory_bytes;
        if (checked > room) *fits = false;
        out->memory_bytes = larger(out->memory_bytes, checked);
        if (g == 0 || checked * out->tight_room_bytes > out->tight_bytes * room)
            out->tight_bytes = checked, out->tight_room_bytes = room;
        *peak = larger(*peak, predicted_peak_bytes(w, c->est, type, ti, bytes));
    }
}

/* ---- a plan ------------------------------------------------------------------------- */

/* What a stage of several parts sends for one microbatch: every part its own, the last stage's but one on to
 * the first, whose gradients go back the same way. The layers at the ends of a part are blocks, all alike. */
static int parts_transfer(const struct context *c, const struct pipeline *pl, int i, double *comm_s,
                          double *gb_usd) {
    const struct stage *st = &pl->stage[i];
    double bytes = activation_bytes(c->w, i ? st->first : st->end - 1, c->m);
    *comm_s = 0;
    for (int forward = 0; forward < 2; forward++) {
        int end = forward ? c->P - 1 : 0, n = c->parts - (i == end);
        const struct stage *to = i == end ? &pl->stage[c->P - 1 - end] : st + (forward ? 1 : -1);
        double time_s, usd;
        if (transfer(c, st, to, bytes, &time_s, &usd)) return -1;
        *comm_s += n * time_s;
        *gb_usd += n * c->M * usd * bytes / 1e9;
    }
    return 0;
}

/* Its messages of one microbatch, in time and money. */
static int stage_transfer(const struct context *c, const struct pipeline *pl, int i, double *comm_s,
                          double *gb_usd) {
    const struct workload *w = c->w;
    const struct stage *st = &pl->stage[i];
    double act = 0, grad = 0, usd;
    if (c->parts > 1) return parts_transfer(c, pl, i, comm_s, gb_usd);
    if (i < pl->n_stage - 1) {
        double bytes = activation_bytes(w, st->end - 1, c->m);
        if (transfer(c, st, st + 1, bytes, &act, &usd)) return -1;
        *gb_usd += c->M * usd * bytes / 1e9;
    }
    if (i > 0) { /* time: the output of the stage's own first layer; money: of the layer before */
        if (transfer(c, st, st - 1, activation_bytes(w, st->first, c->m), &grad, &usd)) return -1;
        *gb_usd += c->M * usd * activation_bytes(w, st->first - 1, c->m) / 1e9;
    }
    *comm_s = stage_comm_s(c->est, i == 0, i == pl->n_stage - 1, c->P, act, grad);
    return 0;
}

static int estimate_pipeline(const struct context *c, const struct pipeline *pl, int index,
                             struct estimate *out, struct stage_estimate *stages, double *time_s,
                             double *sync_s, double *gb_usd) {
    const struct workload *w = c->w;
    double slowest = -INFINITY, comm_sum = 0, comp_sum = 0, update = 0;
    *sync_s = -INFINITY;
    for (int i = 0; i < pl->n_stage; i++) {
        const struct stage *st = &pl->stage[i];
        struct stage_estimate s = {0};
        double up, ring_usd;
        if (compute(c, st, &s.compute_s, &up) || stage_transfer(c, pl, i, &s.comm_s, gb_usd)) return -1;
        if (sync(c, st, stage_params(w, st), &s.sync_s, &ring_usd)) return -1;
        *gb_usd += ring_usd;
        bool fits = true;
        memory(c, st, i, &s, &out->peak_memory_bytes, &fits);
        if (!fits && out->fits) out->fits = false, out->unfit_pipeline = index, out->unfit_stage = i;
        slowest = larger(slowest, s.compute_s + s.comm_s);
        comp_sum += s.compute_s;
        comm_sum += s.comm_s;
        update = larger(update, up);
        *sync_s = larger(*sync_s, s.sync_s);
        if (stages) stages[i] = s;
    }
    *time_s = pipeline_time_s(c->M, slowest, comm_sum, comp_sum, update);
    if (c->parts == 1) return 0;
    *time_s = interleaved_time_s(c->M, slowest, comm_sum + comp_sum, c->parts, update);
    out->played = true;
    out->update_s = update;
    return 0;
}

/* All-reduce between pipelines: by the pipeline with the most stages. */
static int inter_pipeline_sync(const struct context *c, const struct plan *p, double *time_s) {
    const struct pipeline *deepest = &p->pipeline[0];
    *time_s = 0;
    if (p->n_pipeline == 1) return 0;
    *time_s = -INFINITY;
    for (int i = 1; i < p->n_pipeline; i++)
        if (p->pipeline[i].n_stage > deepest->n_stage) deepest = &p->pipeline[i];
    for (int k = 0; k < deepest->n_stage; k++) {
        const struct stage *st = &deepest->stage[k];
        for (int g = 0; g < st->n_group; g++) {
            const struct replicas *r = &st->group[g];
            const struct link *l = site_link(c->w->site, r->zone, r->gpu, 1, r->zone, r->gpu, 1);
            if (!l) return no_link(c, r, r);
            double bytes =
                stage_params(c->w, st) * c->w->element_bytes / (c->est == ESTIMATOR_NATIVE ? r->tp : 1);
            *time_s = fmax(*time_s, allreduce_time_s(l, bytes, p->n_pipeline, c->est));
        }
    }
    return 0;
}

static int plan_microbatches(const struct plan *p, enum estimator est) {
    long slots = (long)stage_replicas(&p->pipeline[p->n_pipeline - 1].stage[0]) * p->n_pipeline;
    if (est == ESTIMATOR_NATIVE) {
        slots = 0;
        for (int i = 0; i < p->n_pipeline; i++) slots += stage_replicas(&p->pipeline[i].stage[0]);
    }
    slots *= p->micro_batch_size;
    return microbatches(p->global_batch_size, slots);
}

int estimate_plan(const struct workload *w, const struct plan *p, enum estimator est, struct estimate *out,
                  struct err *e) {
    struct stage_estimate *stages = out->stage;
    w = workload_variant(w, &p->options);
    if (w->altered && est != ESTIMATOR_NATIVE)
        return err_set(e, EXIT_INPUT,
                       "estimator %s: knows no recompute, zero and sequence_parallel; expected estimator %s",
                       estimator_name[est], estimator_name[ESTIMATOR_NATIVE]);
    if (plan_parts(p) > 1 && est != ESTIMATOR_NATIVE)
        return err_set(e, EXIT_INPUT, "estimator %s: knows no virtual_stages; expected estimator %s",
                       estimator_name[est], estimator_name[ESTIMATOR_NATIVE]);
    struct sized last = {-1, 0};
    *out = (struct estimate){.fits = true, .unfit_pipeline = -1, .unfit_stage = -1, .stage = stages};
    struct context c = {.w = w,
                        .est = est,
                        .m = p->micro_batch_size,
                        .M = plan_microbatches(p, est),
                        .parts = plan_parts(p),
                        .last = &last,
                        .e = e};
    out->n_microbatch = c.M;
    double pipe = -INFINITY, sync_s = -INFINITY, inter;
    for (int i = 0; i < p->n_pipeline; i++) {
        double t, y;
        c.P = p->pipeline[i].n_stage;
        if (estimate_pipeline(&c, &p->pipeline[i], i, out, stages, &t, &y, &out->egress_usd)) return -1;
        if (stages) stages += c.P;
        pipe = fmax(pipe, t);
        sync_s = fmax(sync_s, y);
    }
    if (inter_pipeline_sync(&c, p, &inter)) return -1;
    out->pipeline_time_s = pipe;
    out->sync_time_s = sync_s + inter;
    out->iteration_time_s = pipe + sync_s + inter;
    int used[ZONES_MAX * GPUS_MAX];
    plan_gpus(p, w->site, used);
    out->compute_usd = out->iteration_time_s * rent_usd_per_hour(w->site, used) / 3600;
    out->cost_usd = out->compute_usd + out->egress_usd;
    return 0;
}

bool plan_fits(const struct workload *w, const struct plan *p, enum estimator est) {
    w = workload_variant(w, &p->options);
    struct context c = {
        .w = w, .est = est, .m = p->micro_batch_size, .M = plan_microbatches(p, est), .parts = plan_parts(p)};
    bool fits = true;
    double peak = 0;
    for (int i = 0; i < p->n_pipeline; i++) {
        c.P = p->pipeline[i].n_stage;
        for (int k = 0; k < c.P; k++) {
            const struct stage *st = &p->pipeline[i].stage[k];
            bool known = true;
            for (int g = 0; g < st->n_group; g++)
                known &= w->model->params[tp_index(st->group[g].tp)] != NULL;
            struct stage_estimate s = {0};
            if (known) memory(&c, st, k, &s, &peak, &fits);
        }
    }
    return fits;
}
