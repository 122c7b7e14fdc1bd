#include "sim/events.h"
#include "sim/link.h"
#include "sim/terms.h"

#include <math.h>

/* Most constants for messages come from DeepSpeed's pipeline engine, which made the published runs: a
 * tensor-parallel rank sends its part, the receiver gathers the whole. */

struct events {
    const struct workload *w;
    const struct plan *p;
    unsigned terms;
    int m, P, M, parts;
    int groups; /* of tp GPUs in a replica that share a sequence */
    struct err *e;
};

static const struct replicas *replica_at(const struct stage *st, int j) {
    int g = 0;
    for (; j >= st->group[g].count; g++) j -= st->group[g].count;
    return &st->group[g];
}

/* Bandwidth of a fit, where it can be believed and never past the parabola's top. */
static double bandwidth_Bps(const struct link *l, double bytes) {
    if (l->rate_Bps > 0) return link_rated_Bps(l, bytes);
    if (l->c2 < 0) bytes = fmin(bytes, fmax(MEASURED_MIN_BYTES, 1e6 * exp2(-l->c1 / (2 * l->c2))));
    return bytes / link_time_s(l, bytes, ESTIMATOR_NATIVE);
}

static int find_link(const struct events *v, const struct replicas *a, const struct replicas *b,
                     const struct link **l) {
    const struct site *s = v->w->site;
    *l = site_link(s, a->zone, a->gpu, a->tp, b->zone, b->gpu, b->tp);
    if (*l) return 0;
    return err_set(v->e, EXIT_INPUT, "site %s: no link from %s in %s to %s in %s, which the plan uses",
                   s->name, s->gpu[a->gpu].name, s->zone[a->zone], s->gpu[b->gpu].name, s->zone[b->zone]);
}

/* ---- messages ----------------------------------------------------------------------- */

/* The slowest of all pairs of replicas, each direction over its own link. */
static int message(const struct events *v, const struct stage *from, const struct stage *to, double bytes,
                   struct schedule_message *out) {
    *out = (struct schedule_message){0};
    int D = stage_replicas(from), D2 = stage_replicas(to), n = D > D2 ? D : D2;
    for (int j = 0; j < n; j++) {
        const struct replicas *a = replica_at(from, j % D), *b = replica_at(to, j % D2);
        const struct link *l;
        if (find_link(v, a, b, &l)) return -1;
        double transit = bytes / bandwidth_Bps(l, bytes);
        double eager = v->w->platform[a->gpu].eager_bytes * a->tp;
        out->transit_s = fmax(out->transit_s, transit);
        if (v->terms & EVENTS_HOLD) out->hold_s = fmax(out->hold_s, transit * fmax(0, 1 - eager / bytes));
        double gather = v->terms & EVENTS_GATHER ? gather_s(v->w, b->gpu, b->tp, bytes) : 0;
        double staging = v->terms & EVENTS_STAGING ? staging_s(v->w, b->gpu, b->tp, bytes) : 0;
        out->receive_s = fmax(out->receive_s, gather + staging);
    }
    return 0;
}

/* ---- stages ------------------------------------------------------------------------- */

static struct schedule_stage stage_time(const struct events *v, const struct stage *st) {
    struct schedule_stage t = {0};
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        const struct layer_times *x = profile_times(v->w->profile[r->gpu], v->m, r->tp);
        bool launch = v->terms & EVENTS_LAUNCH;
        const double *forward_s = launch ? training_forward_s(x) : x->fwd_s;
        const double *backward_s = launch ? training_backward_s(x) : x->bwd_s;
        double forward = 0, backward = 0;
        for (int l = st->first; l < st->end; l++) {
            forward += forward_s[l];
            backward += backward_s[l];
        }
        t.forward_s = fmax(t.forward_s, forward);
        t.backward_s = fmax(t.backward_s, backward);
    }
    return t;
}

static double params_of(const struct events *v, const struct stage *st, int tp) {
    double sum = 0;
    for (int l = st->first; l < st->end; l++) sum += v->w->model->params[tp_index(tp)][l];
    return sum;
}

/* The gradients of a stage go round a ring of its replicas, once for each tp rank, and these rings share the
 * way out of a node; before and after they are copied to and from one flat buffer. */
static int sync_s(const struct events *v, const struct stage *st, double *s) {
    int D = stage_replicas(st), ranks = D * v->groups;
    *s = 0;
    if (ranks == 1) return 0;
    for (int j = 0; j < D; j++) {
        const struct replicas *a = replica_at(st, j), *b = replica_at(st, (j + 1) % D);
        const struct link *l;
        double bytes = params_of(v, st, a->tp) * v->w->element_bytes;
        double chunk = bytes * (v->terms & EVENTS_RINGS ? a->tp : 1) / ranks;
        if (find_link(v, a, b, &l)) return -1;
        double ring = 2 * (ranks - 1) * chunk / bandwidth_Bps(l, chunk) * (1 + l->ring_slower);
        *s = fmax(*s, ring + 4 * bytes / v->w->platform[a->gpu].memory_Bps);
    }
    return 0;
}

static double update_s(const struct events *v, const struct stage *st) {
    double worst = 0;
    for (int g = 0; g < st->n_group; g++) {
        const struct replicas *r = &st->group[g];
        double params = params_of(v, st, r->tp);
        double own_s = 28 * params / v->w->platform[r->gpu].memory_Bps;
        worst = fmax(worst, update_share_s(v->w, own_s, stage_replicas(st) * v->groups));
    }
    return v->terms & EVENTS_UPDATE ? worst : 0;
}

static double in_flight(const struct events *v, int index) {
    if (v->parts > 1) return parts_in_flight(v->P, index, v->parts, v->M);
    return microbatches_in_flight(ESTIMATOR_NATIVE, v->P - index, v->M);
}

/* State, activations in flight, extra memory of one block's backward pass, logits, context. With one
 * microbatch, its gradients are the accumulated ones. */
static struct events_memory memory_of(const struct events *v, const struct stage *st, int index,
                                      const struct replicas *r) {
    const struct workload *w = v->w;
    const struct model *x = w->model;
    int ti = tp_index(r->tp);
    double F = w->element_bytes, m = v->m, act = 0;
    for (int l = st->first; l < st->end; l++) act += x->act_mem[ti][l];
    if (messages_held(in_flight(v, index)) > 0) act += w->message;
    bool known = w->process_bytes > 0;
    double state = state_bytes(w, stage_replicas(st) * v->groups) - (v->M == 1 && !known ? 4 : 0);
    double params = held_params(w, ESTIMATOR_NATIVE, ti, st->first, st->end, params_of(v, st, r->tp));
    return (struct events_memory){.state = state * params +
                                           (known ? w->process_bytes : w->platform[r->gpu].context_bytes),
                                  .per_microbatch = m * F * act,
                                  .backward = m * F * once(w, ESTIMATOR_NATIVE, ti, index == v->P - 1)};
}

static double peak_bytes(const struct events_memory *m, double held) {
    return m->state + held * m->per_microbatch + m->backward;
}

static double memory_bytes(const struct events *v, const struct stage *st, int index,
                           struct stage_estimate *out, bool *fits, struct events_memory *fullest) {
    for (int g = 0; g < st->n_group; g++) {
        struct events_memory m = memory_of(v, st, index, &st->group[g]);
        double bytes = peak_bytes(&m, in_flight(v, index)) * (1 + v->w->memory_margin);
        double room = v->w->site->gpu[st->group[g].gpu].memory_bytes;
        if (bytes > room) *fits = false;
        if (bytes > out->memory_bytes) *fullest = m;
        out->memory_bytes = fmax(out->memory_bytes, bytes);
        if (g == 0 || bytes * out->tight_room_bytes > out->tight_bytes * room) {
            out->tight_bytes = bytes;
            out->tight_room_bytes = room;
        }
    }
    return out->memory_bytes;
}

/* ---- a plan ------------------------------------------------------------------------- */

static int check(const struct events *v) {
    if (v->p->n_pipeline != 1)
        return err_set(v->e, EXIT_INPUT, "%d pipelines; expected one, for an estimate by events",
                       v->p->n_pipeline);
    for (int i = 0; i < v->P; i++) {
        const struct stage *st = &v->p->pipeline[0].stage[i];
        for (int g = 0; g < st->n_group; g++)
            if (!v->w->platform || isnan(v->w->platform[st->group[g].gpu].memory_Bps))
                return err_set(
                    v->e, EXIT_INPUT,
                    "GPU %s: no data sheet in devices.json; expected one, for an estimate by events",
                    v->w->site->gpu[st->group[g].gpu].name);
    }
    return 0;
}

static int exchange(const struct events *v, const struct stage *a, const struct stage *b, double elements,
                    struct schedule_hop *out) {
    double bytes = elements * v->w->element_bytes * v->m;
    return message(v, a, b, bytes, &out->activation) || message(v, b, a, bytes, &out->gradient) ? -1 : 0;
}

/* If messages travel alongside computation, the receiver's work counts as travel too. */
static void travel(struct schedule_hop *h) {
    h->activation.transit_s += h->activation.receive_s;
    h->gradient.transit_s += h->gradient.receive_s;
}

enum { PASSES_MAX = 20000000 };

/* Virtual stages: the framework interleaves parts, and messages travel alongside computation. */
static int play_parts(const struct events *v, struct schedule *s, struct schedule_hop *hop, double *end_s,
                      double *last_s) {
    const struct pipeline *pl = &v->p->pipeline[0];
    const struct stage *last = &pl->stage[v->P - 1];
    struct schedule_hop wrap;
    double passes = 2.0 * v->parts * v->P * v->M;
    if (v->M % v->P || passes > PASSES_MAX)
        return err_set(
            v->e, EXIT_INPUT,
            "virtual_stages: %d microbatches, %.0f passes; expected a multiple of the %d stages, and at "
            "most %d passes",
            v->M, passes, v->P, PASSES_MAX);
    if (exchange(v, last, &pl->stage[0], v->w->model->act_out[last->first], &wrap)) return -1;
    for (int i = 0; i < v->P - 1; i++) travel(&hop[i]);
    travel(&wrap);
    struct arena work = {0};
    *last_s = schedule_interleaved_s(s, v->parts, &wrap, end_s, ARENA_ARRAY(&work, double, (size_t)passes));
    arena_free(&work);
    return 0;
}

/* `played` may be NULL. */
static int play(const struct events *v, struct estimate *out, struct events_played *played) {
    const struct pipeline *pl = &v->p->pipeline[0];
    struct schedule_stage stage[SCHEDULE_STAGES_MAX];
    struct schedule_hop hop[SCHEDULE_STAGES_MAX];
    double end[SCHEDULE_STAGES_MAX], update = 0;
    struct schedule s = {v->P, v->M, stage, hop};
    for (int i = 0; i < v->P; i++) {
        const struct stage *st = &pl->stage[i];
        stage[i] = stage_time(v, st);
        double own_update_s = update_s(v, st);
        update = fmax(update, own_update_s);
        if (played) {
            played->pass[i] = stage[i];
            played->update_s[i] = own_update_s;
        }
        if (i == v->P - 1) break;
        if (exchange(v, st, st + 1, v->w->model->act_out[st->end - 1], &hop[i])) return -1;
    }
    double last = 0;
    if (v->parts > 1) {
        if (play_parts(v, &s, hop, end, &last)) return -1;
    } else {
        last = played ? schedule_blocking_log(&s, end, &played->log) : schedule_blocking_s(&s, end);
    }
    out->update_s = update;
    out->pipeline_time_s = last + update;
    out->iteration_time_s = 0;
    for (int i = 0; i < v->P; i++) {
        double sync;
        struct events_memory memory;
        bool fits = true;
        if (sync_s(v, &pl->stage[i], &sync)) return -1;
        struct stage_estimate own = {0};
        double bytes = memory_bytes(v, &pl->stage[i], i, &own, &fits, &memory);
        if (played) {
            played->end_s[i] = end[i];
            played->sync_s[i] = sync;
            played->memory[i] = memory;
        }
        out->iteration_time_s = fmax(out->iteration_time_s, end[i] + sync + update);
        out->peak_memory_bytes = fmax(out->peak_memory_bytes, bytes);
        if (!fits && out->fits) {
            out->fits = false;
            out->unfit_pipeline = 0;
            out->unfit_stage = i;
        }
        if (!out->stage) continue;
        double comm = i < v->P - 1 ? hop[i].activation.hold_s + hop[i].gradient.receive_s : 0;
        if (v->parts > 1)
            comm = 0; /* alongside computation */
        else if (i > 0)
            comm += hop[i - 1].activation.receive_s + hop[i - 1].gradient.hold_s;
        own.compute_s = stage[i].forward_s + stage[i].backward_s;
        own.comm_s = comm;
        own.sync_s = sync;
        out->stage[i] = own;
    }
    out->sync_time_s = out->iteration_time_s - out->pipeline_time_s;
    return 0;
}

static void make_room(struct events_played *x, int P, int M, struct arena *a) {
    double *ends = ARENA_ARRAY(a, double, 2L * P * M);
    *x = (struct events_played){
        .stages = P,
        .microbatches = M,
        .pass = ARENA_ARRAY(a, struct schedule_stage, P), .log = {ends, ends + (long)P * M},
            .end_s = ARENA_ARRAY(a, double, P),
                                 .sync_s = ARENA_ARRAY(a, double, P),
                                                       .update_s = ARENA_ARRAY(a, double, P),
                                                           .memory = ARENA_ARRAY(a, struct events_memory, P)};
}

static int estimate(const struct workload *w, const struct plan *p, unsigned terms, struct estimate *out,
                    struct events_played *played, struct arena *a, struct err *e) {
    struct stage_estimate *stages = out->stage;
    struct estimate formula = {.stage = NULL};
    w = workload_variant(w, &p->options);
    struct events v = {.w = w, .p = p, .terms = terms, .m = p->micro_batch_size, .e = e};
    v.P = p->pipeline[0].n_stage;
    v.parts = plan_parts(p);
    v.groups = context_groups(&p->options);
    if (played && v.parts > 1)
        return err_set(e, EXIT_INPUT, "virtual_stages: %d; expected none, for a timeline", v.parts);
    if (check(&v) || estimate_plan(w, p, ESTIMATOR_NATIVE, &formula, e))
        return -1; /* M, and the egress cost */
    v.M = formula.n_microbatch;
    *out = (struct estimate){.fits = true,
                             .unfit_pipeline = -1,
                             .unfit_stage = -1,
                             .n_microbatch = v.M,
                             .played = true,
                             .egress_usd = formula.egress_usd,
                             .stage = stages};
    if (played) make_room(played, v.P, v.M, a);
    if (play(&v, out, played)) return -1;
    out->compute_usd = formula.compute_usd * out->iteration_time_s / formula.iteration_time_s;
    out->cost_usd = out->compute_usd + out->egress_usd;
    return 0;
}

int events_estimate(const struct workload *w, const struct plan *p, unsigned terms, struct estimate *out,
                    struct err *e) {
    return estimate(w, p, terms, out, NULL, NULL, e);
}

int events_play(const struct workload *w, const struct plan *p, struct estimate *out,
                struct events_played *played, struct arena *a, struct err *e) {
    return estimate(w, p, EVENTS_ALL, out, played, a, e);
}
