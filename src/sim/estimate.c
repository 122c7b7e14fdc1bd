#include "sim/estimate.h"

#include <stdint.h>

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

/* The argument of the fits, for links measured over the usual sizes. */
static double size_log(double bytes, enum estimator est) {
    if (est == ESTIMATOR_NATIVE) bytes = within(bytes, MEASURED_MIN_BYTES, MEASURED_MAX_BYTES);
    return log2(bytes / 1e6);
}

/* The same for a link measured over other sizes; `y`: for the usual ones. */
static inline double own_log(const struct link *l, double bytes, double y, enum estimator est) {
    if (est != ESTIMATOR_NATIVE) return y;
    if (bytes < l->min_bytes) return l->min_log;
    return l->max_bytes > 0 && bytes > l->max_bytes ? l->max_log : y;
}

static inline double fit_at(const struct link *l, double y) { return l->c2 * y * y + l->c1 * y + l->c0; }

/* Its bandwidth at a size whose logarithm is known. */
static inline double bandwidth_at(const struct link *l, double bytes, double y, enum estimator est) {
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

/* The buckets of an all-reduce: full ones cost the same, the last holds the rest. If `like`, with as many
 * workers, has full ones, they are copied. */
static struct allreduce allreduce_like(const struct allreduce *like, double bytes, int k,
                                       enum estimator est) {
    double n = bytes < BUCKET_BYTES ? 0 : floor(bytes / BUCKET_BYTES), rest = bytes - n * BUCKET_BYTES;
    struct allreduce r = {.k = k, .est = est};
    if (k <= 1) return r;
    r.n_full = n;
    r.rest_bytes = rest / k;
    r.rest_GB = r.rest_bytes / 1e9;
    if (n > 0 && like->k == k && like->full_bytes > 0) {
        r.full_bytes = like->full_bytes;
        r.full_log = like->full_log;
    } else if (n > 0) {
        r.full_bytes = (double)BUCKET_BYTES / k;
        r.full_log = size_log(r.full_bytes, est);
    }
    if (n > 0) r.full_GB = r.full_bytes / 1e9;
    if (r.rest_bytes > 0) r.rest_log = size_log(r.rest_bytes, est);
    return r;
}

struct allreduce allreduce_of(double bytes, int k, enum estimator est) {
    return allreduce_like(&(struct allreduce){0}, bytes, k, est);
}

bool allreduce_usable(const struct link *l, const struct allreduce *r) {
    return (r->full_bytes <= 0 || bandwidth_at(l, r->full_bytes, r->full_log, r->est) > 0) &&
           (r->rest_bytes <= 0 || bandwidth_at(l, r->rest_bytes, r->rest_log, r->est) > 0);
}

/* `GB` is bytes / 1e9, which is the same on every link. */
static inline double moved_s(const struct link *l, double bytes, double GB, double log, enum estimator est) {
    return bytes > 0 ? GB / bandwidth_at(l, bytes, log, est) : 0;
}

/* Nothing slows down the rings of the published simulator. */
static inline double ring_slowdown(const struct link *l, enum estimator est) {
    return est == ESTIMATOR_NATIVE ? 1 + l->ring_slower : 1;
}

/* The time of each of the 2 (k - 1) steps; k is the same on every link, so callers multiply later. */
static inline double step_on(const struct link *l, const struct allreduce *r) {
    double t = r->n_full > 0 ? r->n_full * moved_s(l, r->full_bytes, r->full_GB, r->full_log, r->est) : 0;
    return (t + moved_s(l, r->rest_bytes, r->rest_GB, r->rest_log, r->est)) * ring_slowdown(l, r->est);
}

double allreduce_on(const struct link *l, const struct allreduce *r) {
    return r->k > 1 ? 2.0 * (r->k - 1) * step_on(l, r) : 0;
}

/* The largest bandwidth at the sizes from `least` to `most`, whose logarithms are known. */
static double top_GBps(const struct link *l, double least, double least_log, double most, double most_log,
                       enum estimator est) {
    double top = fmax(bandwidth_at(l, least, least_log, est), bandwidth_at(l, most, most_log, est));
    if (l->rate_Bps > 0 || !(l->c2 < 0)) return top;
    double y = -l->c1 / (2 * l->c2); /* the top of the parabola */
    bool inside = own_log(l, least, least_log, est) < y && y < own_log(l, most, most_log, est);
    return inside ? fmax(top, fit_at(l, y)) : top;
}

/* 2 (k - 1) / k grows with k, while the total size of one worker's messages stays the same. */
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
    return 2.0 * (fewest->k - 1) * t * ring_slowdown(l, most->est) * (1 - 1e-12);
}

double allreduce_time_s(const struct link *l, double bytes, int k, enum estimator est) {
    struct allreduce r = allreduce_of(bytes, k, est);
    return allreduce_on(l, &r);
}

/* ---- one stage ---------------------------------------------------------------------- */

/* A stage's replicas in order, as runs of equal ones; wraps round. */
struct cursor {
    const struct replicas *first, *end, *at;
    int left, link_end;
};

static inline void cursor_enter(struct cursor *c, const struct site *s, const struct replicas *at) {
    c->at = at;
    c->left = at->count;
    c->link_end = site_end(s, at->zone, at->gpu, at->tp);
}

static inline struct cursor cursor_start(const struct stage *st, const struct site *s) {
    struct cursor c = {.first = st->group, .end = st->group + st->n_group};
    cursor_enter(&c, s, st->group);
    return c;
}

static inline void cursor_skip(struct cursor *c, const struct site *s, int n) {
    if ((c->left -= n) == 0) cursor_enter(c, s, c->at + 1 < c->end ? c->at + 1 : c->first);
}

/* What the stages of a plan ask for again and again. */
struct memo {
    double bytes, log; /* of the last message, and the argument of its fit, which costs more than the rest */
    struct allreduce ring; /* the last one: most stages have equally many replicas */
    double arrived_bytes;  /* of the messages whose work is known: bit GPU type * TP_N + ti of `arrived` */
    uint64_t arrived;
    double receive_s[GPUS_MAX * TP_N];
    unsigned blocks; /* bit ti: inside_block() is known */
    double inside[TP_N];
};
_Static_assert(GPUS_MAX *TP_N <= 64, "a bit for each");

struct context {
    const struct workload *w;
    enum estimator est;
    int m, P, M, parts;
    int groups; /* of tp GPUs in a replica that share a sequence */
    struct memo *memo;
    struct err *e;
};

static inline void memo_clear(struct memo *k) {
    k->bytes = k->arrived_bytes = -1;
    k->ring = (struct allreduce){0};
    k->blocks = 0;
}

static inline double sized_log(const struct context *c, double bytes) {
    if (bytes != c->memo->bytes) {
        c->memo->bytes = bytes;
        c->memo->log = size_log(bytes, c->est);
    }
    return c->memo->log;
}

static inline double receives_s(const struct context *c, const struct replicas *r, double bytes) {
    struct memo *k = c->memo;
    int at = r->gpu * TP_N + tp_index(r->tp);
    if (bytes != k->arrived_bytes) {
        k->arrived_bytes = bytes;
        k->arrived = 0;
    }
    if (!(k->arrived >> at & 1)) {
        k->receive_s[at] = receive_s(c->w, c->est, r->gpu, r->tp, bytes);
        k->arrived |= (uint64_t)1 << at;
    }
    return k->receive_s[at];
}

static inline double inside(const struct context *c, int ti) {
    struct memo *k = c->memo;
    if (!(k->blocks >> ti & 1)) {
        k->inside[ti] = inside_block(c->w, 1 << ti);
        k->blocks |= 1u << ti;
    }
    return k->inside[ti];
}

static int no_link(const struct context *c, const struct replicas *a, const struct replicas *b) {
    const struct site *s = c->w->site;
    return err_set(
        c->e, EXIT_INPUT, "site %s: no link from %s in %s (tp %d) to %s in %s (tp %d), which the plan uses",
        s->name, s->gpu[a->gpu].name, s->zone[a->zone], a->tp, s->gpu[b->gpu].name, s->zone[b->zone], b->tp);
}

/* What a stage sends to one of its neighbours. */
struct hop {
    bool known;
    double time_s, usd_per_GB;
};

/* Slowest transfer of `bytes` from each of the D replicas of `a` to its partner in `b`, and the money for
 * all. With `back`, for stages of equally many replicas, whose pairs are the same both ways, also from `b` to
 * `a`; without a link back, that is unknown, and left to the stage that needs it. */
static int transfer(const struct context *c, const struct stage *a, int D, const struct stage *b,
                    double bytes, struct hop *out, struct hop *back) {
    const struct site *s = c->w->site;
    struct cursor x = cursor_start(a, s), y = cursor_start(b, s);
    struct hop there = {true, -INFINITY, 0}, home = {true, -INFINITY, 0};
    double log = sized_log(c, bytes), GB = bytes / 1e9;
    for (int left = D, run; left > 0; left -= run, cursor_skip(&x, s, run), cursor_skip(&y, s, run)) {
        run = x.left < y.left ? x.left : y.left;
        const struct link *l = site_link_between(s, x.link_end, y.link_end);
        if (!l) return no_link(c, x.at, y.at);
        there.time_s = larger(there.time_s, moved_s(l, bytes, GB, log, c->est));
        there.usd_per_GB += run * s->egress_usd_per_GB[x.at->zone * s->n_zone + y.at->zone];
        if (!back) continue;
        l = site_link_between(s, y.link_end, x.link_end);
        home.known &= l != NULL;
        if (l) home.time_s = larger(home.time_s, moved_s(l, bytes, GB, log, c->est));
        home.usd_per_GB += run * s->egress_usd_per_GB[y.at->zone * s->n_zone + x.at->zone];
    }
    *out = there;
    if (back) *back = home;
    return 0;
}

/* Gradient all-reduce of a stage: the slowest link between neighbours of the open ring; money of the closed
 * one. */
static int sync(const struct context *c, const struct stage *st, int D, double params, double *time_s,
                double *usd) {
    const struct site *s = c->w->site;
    int min_tp = TP_MAX;
    *time_s = 0;
    *usd = 0;
    int ranks = D * c->groups;
    if (ranks == 1) return 0;
    for (int g = 0; g < st->n_group; g++)
        if (st->group[g].tp < min_tp) min_tp = st->group[g].tp;
    double bytes = ring_bytes(c->w, params, tp_index(min_tp));
    double usd_per_GB = 0, slowest = -INFINITY;
    struct allreduce messages = allreduce_like(&c->memo->ring, bytes, ranks, c->est);
    if (messages.full_bytes > 0) c->memo->ring = messages;
    const struct replicas *p = st->group;
    int end = site_end(s, p->zone, p->gpu, 1), first_end = end;
    for (int g = 0; g < st->n_group; g++) {
        bool last = g == st->n_group - 1;
        const struct replicas *q = last ? st->group : p + 1;
        int inside = p->count * c->groups - 1; /* steps inside the run, */
        if (inside > 0) {
            const struct link *l = site_link_between(s, end, end);
            if (!l) return no_link(c, p, p);
            usd_per_GB += inside * s->egress_usd_per_GB[p->zone * s->n_zone + p->zone];
            slowest = larger(slowest, step_on(l, &messages));
        }
        int next_end = last ? first_end : site_end(s, q->zone, q->gpu, 1); /* then on to the next one */
        usd_per_GB += s->egress_usd_per_GB[p->zone * s->n_zone + q->zone];
        if (last) break; /* time: the ring is not closed */
        const struct link *l = site_link_between(s, end, next_end);
        if (!l) return no_link(c, p, q);
        slowest = larger(slowest, step_on(l, &messages));
        p = q;
        end = next_end;
    }
    *time_s = 2.0 * (ranks - 1) * slowest;
    *usd = ring_usd(c->w, usd_per_GB, params, ranks);
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
        if (!slowest || bw < worst) {
            worst = bw;
            slowest = l;
        }
    }
    double allreduce = 2.0 * (r->tp - 1) * link_time_s(slowest, bytes / r->tp, c->est), n = 0;
    for (int l = st->first; l < st->end; l++) n += l == 0 ? 1 : l <= mo->n_block - 2 ? 2 : 0;
    *time_s = 2 * n * allreduce;
    return 0;
}

static inline double passes_s(const struct layer_times *t, enum estimator est, const struct stage *st) {
    const double *forward = passes_forward_s(t, est), *backward = passes_backward_s(t, est);
    double sum = 0;
    for (int l = st->first; l < st->end; l++) sum += forward[l] + backward[l];
    return sum;
}

double replica_compute_s(const struct workload *w, enum estimator est, const struct stage *st,
                         const struct replicas *r, int micro_batch_size) {
    return passes_s(profile_times(w->profile[r->gpu], micro_batch_size, r->tp), est, st);
}

/* Do both have the same layer times and sizes on each GPU? */
static bool same_kind(const struct replicas *a, const struct replicas *b) {
    return a->gpu == b->gpu && a->tp == b->tp && !a->n_vm && !b->n_vm;
}

static int compute(const struct context *c, const struct stage *st, int D, double *time_s, double *update_s) {
    double slowest = -INFINITY, last = -INFINITY;
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        if (g > 0 && same_kind(&st->group[g - 1], r)) continue;
        const struct layer_times *t = profile_times(c->w->profile[r->gpu], c->m, r->tp);
        double sum = 0, update = 0;
        int from = t->update_by_layer ? st->first : st->end - 1; /* one number is for the stage */
        for (int l = from; l < st->end; l++) update = update_up_to(t, st->first, l, update, c->est);
        if (r->n_vm > 1 && c->est == ESTIMATOR_SAILOR) {
            if (vm_compute(c, st, r, &sum)) return -1;
        } else {
            sum = passes_s(t, c->est, st);
        }
        slowest = larger(slowest, sum);
        last = larger(last, update_share_s(c->w, update, D * c->groups));
    }
    *time_s = slowest;
    *update_s = last;
    return 0;
}

/* Parameters of all its layers at tp 1. */
static double stage_params(const struct workload *w, const struct stage *st) {
    double sum = 0;
    for (int l = st->first; l < st->end; l++) sum += w->model->params[0][l];
    return sum;
}

/* Fullest GPU: state, activations of the microbatches in flight, overhead. */
static void memory(const struct context *c, const struct stage *st, int D, int index,
                   struct stage_estimate *out, double *peak, bool *fits) {
    const struct workload *w = c->w;
    double in_flight = c->parts > 1 ? parts_in_flight(c->P, index, c->parts, c->M)
                                    : microbatches_in_flight(c->est, c->P - index, c->M);
    double state = state_bytes(w, D * c->groups);
    double params = 0, act = 0; /* for the last degree */
    double most = out->memory_bytes, tight = 0, tight_room = 0, top = *peak;
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        if (g > 0 && same_kind(&st->group[g - 1], r)) continue;
        int ti = tp_index(r->tp), type = c->est == ESTIMATOR_SAILOR && r->n_vm ? r->vm_gpu[0] : r->gpu;
        if (g == 0 || r->tp != st->group[g - 1].tp) {
            const double *layer_params = w->model->params[ti], *layer_act = w->model->act_mem[ti];
            params = act = 0;
            for (int l = st->first; l < st->end; l++) {
                params += layer_params[l];
                act += layer_act[l];
            }
            params = held_params(w, c->est, ti, st->first, st->end, params);
        }
        double single = once_with(w, c->est, ti, st->end == w->model->n_layer, inside(c, ti));
        double bytes = model_bytes_with(w, state, params, act, single, in_flight, c->m);
        double checked = held_bytes(w, c->est, type, ti, bytes);
        double room = w->site->gpu[type].memory_bytes;
        if (checked > room) *fits = false;
        most = larger(most, checked);
        if (g == 0 || checked * tight_room > tight * room) {
            tight = checked;
            tight_room = room;
        }
        top = larger(top, predicted_peak_bytes(w, c->est, type, ti, bytes));
    }
    out->memory_bytes = most;
    out->tight_bytes = tight;
    out->tight_room_bytes = tight_room;
    *peak = top;
}

/* ---- a plan ------------------------------------------------------------------------- */

/* What a stage of several parts sends per microbatch: one message per part; from the last stage all but the
 * last part's go to the first stage, whose gradients return the same way. The layers at the ends of a part
 * are blocks, all alike. */
static int parts_transfer(const struct context *c, const struct pipeline *pl, int i, double *comm_s,
                          double *gb_usd) {
    const struct stage *st = &pl->stage[i];
    double bytes = activation_bytes(c->w, i ? st->first : st->end - 1, c->m);
    *comm_s = 0;
    for (int forward = 0; forward < 2; forward++) {
        int end = forward ? c->P - 1 : 0, n = c->parts - (i == end);
        const struct stage *to = i == end ? &pl->stage[c->P - 1 - end] : st + (forward ? 1 : -1);
        struct hop hop;
        if (transfer(c, st, stage_replicas(st), to, bytes, &hop, NULL)) return -1;
        *comm_s += n * hop.time_s;
        *gb_usd += n * c->M * c->groups * hop.usd_per_GB * bytes / 1e9;
    }
    return 0;
}

/* What the slowest replica does with the output of a layer that has arrived from a neighbour. */
static double arrival_s(const struct context *c, const struct stage *st, int layer) {
    if (c->est != ESTIMATOR_NATIVE || !framework_adds(c->w)) return 0;
    double bytes = activation_bytes(c->w, layer, c->m), slowest = 0;
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        if (g > 0 && same_kind(&st->group[g - 1], r)) continue;
        slowest = larger(slowest, receives_s(c, r, bytes));
    }
    return slowest;
}

/* What links a stage to the one behind it. */
struct joint {
    struct hop back;              /* the gradient that comes back, if known */
    double act_s, back_arrival_s; /* the activation on its way, the gradient once it is there */
};

/* The stage's messages per microbatch, in time and money. *joint is that with the stage before; becomes that
 * with the next one. */
static int stage_transfer(const struct context *c, const struct pipeline *pl, int i, int D, int next_D,
                          struct joint *joint, struct stage_estimate *out, double *gb_usd) {
    const struct workload *w = c->w;
    const struct stage *st = &pl->stage[i];
    struct hop act = {0}, back = {0}, *grad = &joint->back;
    double arrivals_s = 0, back_arrival_s = 0;
    if (c->parts > 1) return parts_transfer(c, pl, i, &out->comm_s, gb_usd);
    if (i < pl->n_stage - 1) {
        double bytes = activation_bytes(w, st->end - 1, c->m);
        bool both = D == next_D && activation_bytes(w, st->end, c->m) == bytes;
        if (transfer(c, st, D, st + 1, bytes, &act, both ? &back : NULL)) return -1;
        *gb_usd += c->M * c->groups * act.usd_per_GB * bytes / 1e9;
        arrivals_s = back_arrival_s = arrival_s(c, st, st->end - 1);
    }
    if (i > 0) { /* time: the output of the stage's own first layer; money: of the layer before */
        if (!grad->known && transfer(c, st, D, st - 1, activation_bytes(w, st->first, c->m), grad, NULL))
            return -1;
        *gb_usd += c->M * c->groups * grad->usd_per_GB * activation_bytes(w, st->first - 1, c->m) / 1e9;
        arrivals_s += arrival_s(c, st, st->first - 1);
        out->turn_s = turn_s(w, c->est, joint->act_s, joint->back_arrival_s);
    }
    out->comm_s =
        arrivals_s + stage_comm_s(c->est, i == 0, i == pl->n_stage - 1, c->P, act.time_s, grad->time_s);
    *joint = (struct joint){back, act.time_s, back_arrival_s};
    return 0;
}

static int estimate_pipeline(const struct context *c, const struct pipeline *pl, int index,
                             struct estimate *out, struct stage_estimate *stages, double *time_s,
                             double *sync_s, double *gb_usd) {
    const struct workload *w = c->w;
    double slowest = -INFINITY, comm_sum = 0, comp_sum = 0, update = 0;
    *sync_s = -INFINITY;
    struct joint joint = {0};
    for (int i = 0, D = stage_replicas(pl->stage), next; i < pl->n_stage; i++, D = next) {
        const struct stage *st = &pl->stage[i];
        struct stage_estimate s = {0};
        double up, ring_usd;
        next = i + 1 < pl->n_stage ? stage_replicas(st + 1) : 0;
        if (compute(c, st, D, &s.compute_s, &up)) return -1;
        if (stage_transfer(c, pl, i, D, next, &joint, &s, gb_usd)) return -1;
        if (sync(c, st, D, stage_params(w, st), &s.sync_s, &ring_usd)) return -1;
        *gb_usd += ring_usd;
        bool fits = true;
        memory(c, st, D, i, &s, &out->peak_memory_bytes, &fits);
        if (!fits && out->fits) {
            out->fits = false;
            out->unfit_pipeline = index;
            out->unfit_stage = i;
        }
        slowest = larger(slowest, stage_period_s(&s));
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

const char *native_option(const struct workload *w, const struct plan *p) {
    return plan_parts(p) > 1                           ? "virtual_stages"
           : context_groups(&p->options) > 1           ? "context_parallel"
           : workload_variant(w, &p->options)->altered ? "recompute, zero and sequence_parallel"
                                                       : NULL;
}

int estimate_plan(const struct workload *w, const struct plan *p, enum estimator est, struct estimate *out,
                  struct err *e) {
    struct stage_estimate *stages = out->stage;
    w = workload_variant(w, &p->options);
    const char *unknown = native_option(w, p);
    if (unknown && est != ESTIMATOR_NATIVE)
        return err_set(e, EXIT_INPUT, "estimator %s: knows no %s; expected estimator %s", estimator_name[est],
                       unknown, estimator_name[ESTIMATOR_NATIVE]);
    struct memo memo;
    memo_clear(&memo);
    *out = (struct estimate){.fits = true, .unfit_pipeline = -1, .unfit_stage = -1, .stage = stages};
    struct context c = {.w = w,
                        .est = est,
                        .m = p->micro_batch_size,
                        .M = plan_microbatches(p, est),
                        .parts = plan_parts(p),
                        .groups = context_groups(&p->options),
                        .memo = &memo,
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
    out->compute_usd = out->iteration_time_s * plan_usd_per_hour(p, w->site) / 3600;
    out->cost_usd = out->compute_usd + out->egress_usd;
    return 0;
}

bool plan_fits(const struct workload *w, const struct plan *p, enum estimator est) {
    w = workload_variant(w, &p->options);
    struct memo memo;
    memo_clear(&memo);
    struct context c = {.w = w,
                        .est = est,
                        .m = p->micro_batch_size,
                        .M = plan_microbatches(p, est),
                        .parts = plan_parts(p),
                        .groups = context_groups(&p->options),
                        .memo = &memo};
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
            if (known) memory(&c, st, stage_replicas(st), k, &s, &peak, &fits);
        }
    }
    return fits;
}
