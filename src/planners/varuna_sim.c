#include "planners/varuna.h"

#include <stdlib.h>
#include <string.h>

/* ---- the order of work in each stage ------------------------------------------------ */

/* One forward, one backward, in lockstep: neighbours see in the next round what a stage does in this one.
 * Microbatches ascend everywhere, so counts suffice. order[stage * 2M ...]: microbatch, or its complement if
 * backward. */
static void make_order(int P, int M, bool corrected, int *order, int *n_order, struct arena *a) {
    enum { ROUNDS_MAX = 20000 }; /* as in the published code */
    int *fwd = ARENA_ARRAY(a, int, 4 * P), *bwd = fwd + P, *fwd_seen = bwd + P, *bwd_seen = fwd_seen + P;
    bool busy = true;
    for (int round = 0; busy && (corrected || round < ROUNDS_MAX); round++) {
        memcpy(fwd_seen, fwd, 2 * sizeof *fwd * (size_t)P);
        busy = false;
        for (int i = 0; i < P; i++) {
            int warm = P - 1 - i, *next = &order[i * 2 * M + n_order[i]];
            if (corrected && warm > M)
                warm = M; /* [Q8]: with fewer microbatches a stage never leaves its warm-up */
            bool backward = fwd[i] >= warm && (bwd[i] >= M - warm || (n_order[i] - warm) % 2);
            if (backward ? bwd[i] == (i == P - 1 ? fwd_seen[i] : bwd_seen[i + 1])
                         : fwd[i] == (i ? fwd_seen[i - 1] : M))
                continue;
            *next = backward ? ~bwd[i]++ : fwd[i]++;
            n_order[i]++;
            busy = true;
        }
    }
}

/* ---- the pipeline, event by event --------------------------------------------------- */

enum { START, DONE, SEND, SENT, RECEIVE }; /* computing; sending and receiving */
enum { SENDS_MAX = 4, JITTER_COMPUTE_US = 2000, JITTER_NETWORK_US = 10000 };

struct event {
    int64_t key; /* ns; noise orders events within one microsecond */
    int kind, stage, mb;
    bool backward;
};

struct queue {
    int *mb, head, end;
};

struct stage_state {
    const int *order;
    int n_order, next, sending;
    bool busy;
    struct queue ready[2], out[2]; /* forward, backward */
};

struct sim {
    int P;
    bool corrected;
    const struct varuna_stage_us *us;
    struct stage_state *stage;
    int64_t clock_us;
    struct event *event; /* pending, last first */
    int n_event, room;
    struct arena *arena; /* for growing beyond room */
    uint32_t minstd, ring[31];
    int ring_at;
};

/* The additive generator behind libc's random(), with its default seed. */
static int random_next(struct sim *s) {
    uint32_t v = s->ring[s->ring_at] += s->ring[(s->ring_at + 28) % 31];
    s->ring_at = (s->ring_at + 1) % 31;
    return (int)(v >> 1);
}

static void random_start(struct sim *s) {
    int64_t x = 1;
    for (int i = 0; i < 31; i++, x = x * 16807 % 2147483647) s->ring[i] = (uint32_t)x;
    s->ring_at = 3;
    for (int i = 0; i < 310; i++) random_next(s);
}

/* Uniform in [0, 1) from two draws of minstd, as the C++ library makes a double. */
static double uniform(struct sim *s) {
    const double range = 2147483646;
    double v[2];
    for (int i = 0; i < 2; i++) {
        s->minstd = (uint32_t)((uint64_t)s->minstd * 16807 % 2147483647);
        v[i] = s->minstd - 1;
    }
    return (v[0] + v[1] * range) / (range * range);
}

/* base plus normal noise (polar method), never below 0; for messages never below base. */
static int64_t jitter(struct sim *s, int64_t base, double sd, bool network) {
    double saved = 0;
    if (s->corrected) return base; /* [Q10]: the noise of a message outweighs the message */
    for (bool have = false;; have = !have) {
        double z = saved, x, y, r2;
        if (!have) {
            do {
                x = 2 * uniform(s) - 1;
                y = 2 * uniform(s) - 1;
                r2 = x * x + y * y;
            } while (r2 > 1 || r2 == 0);
            double scale = sqrt(-2 * log(r2) / r2);
            saved = x * scale;
            z = y * scale;
        }
        int64_t offset = (int64_t)(z * sd);
        if (base + offset >= 0 && !(network && offset < 0)) return base + offset;
    }
}

static void post(struct sim *s, int64_t at_us, struct event x) {
    int at;
    x.key = at_us * 1000;
    for (int tries = 0;; tries++) {
        at = s->n_event;
        while (at && s->event[at - 1].key < x.key) at--;
        if (!at || s->event[at - 1].key != x.key) break;
        if (s->corrected || tries == 10) { /* no noise: first come, first served */
            while (at && s->event[at - 1].key == x.key) at--;
            break;
        }
        x.key += random_next(s) % 1000;
    }
    if (s->n_event == s->room) {
        struct event *more = ARENA_ARRAY(s->arena, struct event, s->room *= 2);
        s->event = memcpy(more, s->event, sizeof x * (size_t)s->n_event);
    }
    memmove(&s->event[at + 1], &s->event[at], sizeof x * (size_t)(s->n_event - at));
    s->event[at] = x;
    s->n_event++;
}

/* Inserts in ascending or descending order, searching from the front. */
static void insert(struct queue *q, int mb, bool descending) {
    int i = q->end++;
    for (; i > q->head && (q->mb[i - 1] < mb) == descending; i--) q->mb[i] = q->mb[i - 1];
    q->mb[i] = mb;
}

/* Starts what a stage can do now. */
static void serve(struct sim *s, int i) {
    struct stage_state *x = &s->stage[i];
    if (!x->busy && x->next < x->n_order) {
        int task = x->order[x->next];
        bool backward = task < 0;
        struct queue *q = &x->ready[backward];
        if (q->head < q->end && q->mb[q->head] == (backward ? ~task : task)) {
            x->busy = true;
            x->next++;
            post(s, s->clock_us,
                 (struct event){.kind = START, .stage = i, .mb = q->mb[q->head++], .backward = backward});
        }
    }
    for (int backward = 0; backward < 2; backward++) {
        struct queue *q = &x->out[backward];
        if (x->sending == SENDS_MAX || q->head == q->end) continue;
        x->sending++;
        post(s, s->clock_us,
             (struct event){.kind = SEND, .stage = i, .mb = q->mb[q->head++], .backward = backward});
    }
}

static void handle(struct sim *s, struct event x) {
    struct stage_state *own = &s->stage[x.stage];
    const struct varuna_stage_us *us = &s->us[x.stage];
    switch (x.kind) {
    case START: {
        int64_t took = jitter(s, (int64_t)(x.backward ? us->bwd : us->fwd), JITTER_COMPUTE_US, false);
        x.kind = DONE;
        post(s, s->corrected ? s->clock_us + took : (int64_t)((float)s->clock_us + (float)took), x);
        break;
    }
    case DONE:
        own->busy = false;
        if (!x.backward && x.stage == s->P - 1)
            insert(&own->ready[1], x.mb, false);
        else if (!x.backward || x.stage)
            own->out[x.backward].mb[own->out[x.backward].end++] = x.mb;
        break;
    case SEND: {
        int64_t at_us = s->clock_us + jitter(s, x.backward ? us[-1].send : us->send, JITTER_NETWORK_US, true);
        x.kind = SENT;
        post(s, at_us, x);
        x.kind = RECEIVE;
        x.stage += x.backward ? -1 : 1;
        post(s, at_us, x);
        break;
    }
    case SENT:
        own->sending--;
        break;
    default: /* [Q9]: gradients queue up largest first, so one that overtakes another can block its stage
              * forever */
        insert(&own->ready[x.backward], x.mb, x.backward && !s->corrected);
    }
}

/* Time of M microbatches through P stages; 0 if the pipeline gets stuck. */
int64_t varuna_simulate_us(int P, int M, const struct varuna_stage_us *us, bool corrected, struct arena *a) {
    struct sim s = {.P = P, .corrected = corrected, .us = us, .room = 16 * P, .arena = a, .minstd = 1};
    int *order = ARENA_ARRAY(a, int, 6 * P * M), *room = order + 2 * P * M, *n_order = ARENA_ARRAY(a, int, P);
    s.stage = ARENA_ARRAY(a, struct stage_state, P);
    s.event = ARENA_ARRAY(a, struct event, s.room);
    make_order(P, M, corrected, order, n_order, a);
    for (int i = 0; i < P; i++) {
        s.stage[i] = (struct stage_state){.order = &order[i * 2 * M], .n_order = n_order[i]};
        for (int k = 0; k < 2; k++, room += 2 * M) {
            s.stage[i].ready[k].mb = room;
            s.stage[i].out[k].mb = room + M;
        }
    }
    for (int mb = 0; mb < M; mb++) insert(&s.stage[0].ready[0], mb, false);
    random_start(&s);
    serve(&s, 0);
    while (s.n_event) {
        struct event x = s.event[--s.n_event];
        s.clock_us = x.key / 1000;
        handle(&s, x);
        serve(&s, x.stage);
    }
    for (int i = 0; i < P; i++)
        if (s.stage[i].next < n_order[i]) return 0;
    return s.clock_us;
}
