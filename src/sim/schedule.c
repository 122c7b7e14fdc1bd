#include "sim/schedule.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

/* None of these times is NAN; fmax() would be a call. */
static inline double later(double a, double b) { return a > b ? a : b; }
static inline int larger(int a, int b) { return a > b ? a : b; }
static inline int smaller(int a, int b) { return a < b ? a : b; }

static double latest(const double *end_s, int n) {
    double last_s = 0;
    for (int i = 0; i < n; i++) last_s = later(last_s, end_s[i]);
    return last_s;
}

/* ---- one part a stage --------------------------------------------------------------- */

/* A message is under way once its sender starts it; the receiver takes it when it has arrived and the
 * receiver is ready. */
static inline void deliver(const struct schedule_message *m, double *from_s, double *to_s) {
    double arrives_s = *from_s + m->transit_s;
    *from_s += m->hold_s;
    *to_s = later(*to_s, arrives_s) + m->receive_s;
}

/* In step t stage i works forward on microbatch (t - i) / 2, or backward on (t - (2 P - 1 - i)) / 2,
 * whichever is whole: of two neighbours one goes forward while the other goes backward, and in that step they
 * exchange what the previous step made. A span holds the stages at work in one direction. */
struct schedule_span {
    int from, to; /* [from, to) */
};

static struct schedule_span going_forward(const struct schedule *s, int t) {
    int from = larger(0, t - 2 * s->microbatches + 1);
    return (struct schedule_span){from + ((from ^ t) & 1), smaller(s->stages, t + 1)};
}

static struct schedule_span going_backward(const struct schedule *s, int t) {
    int from = larger(0, 2 * s->stages - 1 - t), to = 2 * (s->microbatches + s->stages) - 1 - t;
    return (struct schedule_span){from + !((from ^ t) & 1), smaller(s->stages, to)};
}

static inline double play_blocking(const struct schedule *s, double *end_s, const struct schedule_log *log) {
    int P = s->stages, M = s->microbatches;
    assert(P >= 1 && P <= SCHEDULE_STAGES_MAX && M >= 1);
    for (int i = 0; i < P; i++) end_s[i] = 0;
    for (int t = 0, steps = 2 * (M + P - 1); t < steps; t++) {
        struct schedule_span forward = going_forward(s, t), backward = going_backward(s, t);
        for (int i = backward.from; i < smaller(backward.to, P - 1); i += 2)
            deliver(&s->hop[i].gradient, &end_s[i + 1], &end_s[i]);
        for (int i = forward.from ? forward.from : 2 * !(t & 1); i < forward.to; i += 2)
            deliver(&s->hop[i - 1].activation, &end_s[i - 1], &end_s[i]);
        for (int i = forward.from; i < forward.to; i += 2) end_s[i] += s->stage[i].forward_s;
        for (int i = backward.from; i < backward.to; i += 2) end_s[i] += s->stage[i].backward_s;
        if (!log) continue;
        for (int i = forward.from; i < forward.to; i += 2)
            log->forward_end_s[(long)i * M + (t - i) / 2] = end_s[i];
        for (int i = backward.from; i < backward.to; i += 2)
            log->backward_end_s[(long)i * M + (t - (2 * P - 1 - i)) / 2] = end_s[i];
    }
    return latest(end_s, P);
}

double schedule_blocking_s(const struct schedule *s, double *end_s) { return play_blocking(s, end_s, NULL); }

double schedule_blocking_log(const struct schedule *s, double *end_s, const struct schedule_log *log) {
    return play_blocking(s, end_s, log);
}

double schedule_concurrent_s(const struct schedule *s, double *end_s) {
    int P = s->stages, M = s->microbatches;
    double forward_end_s[SCHEDULE_STAGES_MAX], backward_end_s[SCHEDULE_STAGES_MAX];
    assert(P >= 1 && P <= SCHEDULE_STAGES_MAX && M >= 1);
    for (int i = 0; i < P; i++) end_s[i] = forward_end_s[i] = backward_end_s[i] = 0;
    for (int t = 0, steps = 2 * (M + P - 1); t < steps; t++) {
        struct schedule_span forward = going_forward(s, t), backward = going_backward(s, t);
        for (int i = backward.from; i < smaller(backward.to, P - 1); i += 2)
            end_s[i] = later(end_s[i], backward_end_s[i + 1] + s->hop[i].gradient.transit_s);
        for (int i = forward.from ? forward.from : 2 * !(t & 1); i < forward.to; i += 2)
            end_s[i] = later(end_s[i], forward_end_s[i - 1] + s->hop[i - 1].activation.transit_s);
        for (int i = forward.from; i < forward.to; i += 2)
            forward_end_s[i] = end_s[i] += s->stage[i].forward_s;
        for (int i = backward.from; i < backward.to; i += 2)
            backward_end_s[i] = end_s[i] += s->stage[i].backward_s;
    }
    return latest(end_s, P);
}

/* ---- bounds ------------------------------------------------------------------------- */

static double pass_s(const struct schedule_stage *k) { return k->forward_s + k->backward_s; }

/* What a microbatch costs stage k itself: its passes, and what it receives and sends on either side. */
static double own_s(const struct schedule *s, int k) {
    double own = pass_s(&s->stage[k]);
    if (k > 0) own += s->hop[k - 1].activation.receive_s + s->hop[k - 1].gradient.hold_s;
    if (k < s->stages - 1) own += s->hop[k].gradient.receive_s + s->hop[k].activation.hold_s;
    return own;
}

/* Both ways over hop k, without waiting. */
static double crossing_s(const struct schedule_hop *h) {
    return h->activation.transit_s + h->activation.receive_s + h->gradient.transit_s + h->gradient.receive_s;
}

/* From when stage k sends an activation over hop k until the gradient for it arrives, including the next
 * stage's exchange on its other side. */
static double round_trip_s(const struct schedule *s, int k) {
    double trip = crossing_s(&s->hop[k]) + pass_s(&s->stage[k + 1]);
    if (k + 1 == s->stages - 1) return trip;
    return trip + s->hop[k + 1].gradient.receive_s + s->hop[k + 1].activation.hold_s;
}

/* One microbatch through the whole pipeline and back. */
static double one_microbatch_s(const struct schedule *s) {
    double sum = 0;
    for (int k = 0; k < s->stages; k++) sum += pass_s(&s->stage[k]);
    for (int k = 0; k < s->stages - 1; k++) sum += crossing_s(&s->hop[k]);
    return sum;
}

double schedule_upper_bound_s(const struct schedule *s) {
    double period = 0;
    for (int k = 0; k < s->stages; k++) period = later(period, own_s(s, k));
    for (int k = 0; k < s->stages - 1; k++) period = later(period, round_trip_s(s, k));
    return one_microbatch_s(s) + (s->microbatches - 1) * period;
}

/* The last stage alternates forward and backward, so the one before it waits for a round trip each time. */
static double last_pair_s(const struct schedule *s) {
    int P = s->stages;
    double period = own_s(s, P - 1);
    return P > 1 ? later(period, round_trip_s(s, P - 2)) : period;
}

double schedule_lower_bound_s(const struct schedule *s) {
    int P = s->stages, M = s->microbatches;
    double whole = one_microbatch_s(s), before = 0, after = 0, bound = whole + (M - 1) * last_pair_s(s);
    for (int k = 0; k < P; k++) after += own_s(s, k);
    for (int k = 0; k < P; k++) {
        double pass = pass_s(&s->stage[k]), own = own_s(s, k);
        after -= own;
        /* the first microbatch must come, and the last one's gradient go, past everything before stage k */
        bound = later(bound, before + M * pass + (M - 1) * (own - pass));
        if (M >= P - k) bound = later(bound, whole + (M - P + k) * own + after);
        before += pass + (k < P - 1 ? crossing_s(&s->hop[k]) : 0);
    }
    return bound;
}

/* ---- several parts a stage ---------------------------------------------------------- */

/* Part and microbatch of a stage's n-th forward pass: P microbatches go through the first part, then the same
 * ones through the next; backward passes start with the last part. */
static void nth_pass(int n, int P, int parts, int *part, int *micro) {
    int group = n / (P * parts), in_group = n % (P * parts);
    *part = in_group / P;
    *micro = group * P + in_group % P;
}

struct interleaved {
    const struct schedule *s;
    const struct schedule_hop *wrap;
    int parts;
    double *forward_s, *backward_s; /* [(part * stages + stage) * microbatches + micro] ends, -1 = not yet */
};

static double *end_of(const struct interleaved *v, double *ends, int part, int stage, int micro) {
    return &ends[((long)part * v->s->stages + stage) * v->s->microbatches + micro];
}

/* When a forward pass's input arrives; -1 = not yet known. */
static double forward_ready_s(const struct interleaved *v, int part, int stage, int micro) {
    if (stage == 0 && part == 0) return 0;
    int P = v->s->stages;
    bool wraps = stage == 0;
    double end = *end_of(v, v->forward_s, wraps ? part - 1 : part, wraps ? P - 1 : stage - 1, micro);
    const struct schedule_hop *h = wraps ? v->wrap : &v->s->hop[stage - 1];
    return end < 0 ? -1 : end + h->activation.transit_s;
}

static double backward_ready_s(const struct interleaved *v, int part, int stage, int micro) {
    int P = v->s->stages;
    bool wraps = stage == P - 1;
    if (wraps && part == v->parts - 1) return *end_of(v, v->forward_s, part, stage, micro);
    double end = *end_of(v, v->backward_s, wraps ? part + 1 : part, wraps ? 0 : stage + 1, micro);
    const struct schedule_hop *h = wraps ? v->wrap : &v->s->hop[stage];
    return end < 0 ? -1 : end + h->gradient.transit_s;
}

/* A stage's position in its list of passes. */
struct progress {
    int forward, backward; /* passes done */
    double now_s;
};

/* Does the next pass of a stage if its input is there: warm-up forward passes first, then alternating. */
static bool advance(const struct interleaved *v, int stage, struct progress *at) {
    int P = v->s->stages, M = v->s->microbatches, total = M * v->parts, part, micro;
    int warm_up = smaller(total, 2 * (P - stage - 1) + (v->parts - 1) * P);
    bool forward = at->forward < total && at->forward <= at->backward + warm_up;
    if (!forward && at->backward == total) return false;
    nth_pass(forward ? at->forward : at->backward, P, v->parts, &part, &micro);
    if (!forward) part = v->parts - 1 - part;
    double ready = forward ? forward_ready_s(v, part, stage, micro) : backward_ready_s(v, part, stage, micro);
    if (ready < 0) return false;
    const struct schedule_stage *k = &v->s->stage[stage];
    at->now_s = later(at->now_s, ready) + (forward ? k->forward_s : k->backward_s) / v->parts;
    *end_of(v, forward ? v->forward_s : v->backward_s, part, stage, micro) = at->now_s;
    if (forward)
        at->forward++;
    else
        at->backward++;
    return true;
}

double schedule_interleaved_s(const struct schedule *s, int parts, const struct schedule_hop *wrap,
                              double *end_s, double *work) {
    int P = s->stages;
    long n = (long)parts * P * s->microbatches;
    struct progress at[SCHEDULE_STAGES_MAX];
    struct interleaved v = {s, wrap, parts, work, work + n};
    assert(P >= 2 && P <= SCHEDULE_STAGES_MAX && s->microbatches % P == 0);
    for (long i = 0; i < 2 * n; i++) work[i] = -1;
    for (int i = 0; i < P; i++) at[i] = (struct progress){0};
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < P; i++)
            while (advance(&v, i, &at[i])) moved = true;
    }
    for (int i = 0; i < P; i++) {
        assert(at[i].backward == s->microbatches * parts);
        end_s[i] = at[i].now_s;
    }
    return latest(end_s, P);
}

static double both_ways_s(const struct schedule_hop *h) {
    return h->activation.transit_s + h->gradient.transit_s;
}

double schedule_interleaved_bound_s(const struct schedule *s, int parts, const struct schedule_hop *wrap) {
    int P = s->stages, M = s->microbatches;
    double whole = (parts - 1) * both_ways_s(wrap), before = 0, bound;
    for (int k = 0; k < P; k++)
        whole += pass_s(&s->stage[k]) + (k < P - 1 ? parts * both_ways_s(&s->hop[k]) : 0);
    bound = whole;
    for (int k = 0; k < P; k++) { /* through the first part of the stages before, and again at the end */
        bound = later(bound, before + M * pass_s(&s->stage[k]));
        if (k < P - 1) before += pass_s(&s->stage[k]) / parts + both_ways_s(&s->hop[k]);
    }
    return bound;
}
