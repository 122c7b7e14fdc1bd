#include "planners/planner.h"
#include "io/json.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Varuna: one GPU type in one zone, every number of stages that divides the layers, the largest microbatch
 * that its memory model lets through, and a simulation of the pipeline event by event, noise included. Quirks
 * of the published code are numbered as Q1, Q2, ...; corrected mode mends them. */

/* ---- inputs: the peak of each layer when it trains alone ---------------------------- */

struct peaks {
    int tp, n;
    const int *mb;              /* [n] */
    const double *const *bytes; /* [n][layer]; NULL = tried, not measured */
};

struct extra {
    const struct peaks *gpu[GPUS_MAX]; /* NULL: not measured, layer_peak() fits */
};

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

static int read_peaks(const struct json_at *at, const struct model *m, const char *gpu, struct peaks *k,
                      struct arena *a, struct err *e) {
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

static int load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                struct err *e) {
    struct extra *x = ARENA_NEW(a, struct extra);
    for (int g = 0; g < w->site->n_gpu; g++) {
        const char *gpu = w->site->gpu[g].name;
        char *path = arena_printf(a, "%s/planners/varuna/%s/%s.json", inputs, w->model->name, gpu);
        size_t size;
        if (!w->profile[g] || access(path, F_OK)) continue;
        char *text = file_read_text(path, &size, a, e);
        cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
        struct json_at at = json_root(path, tree);
        struct peaks *k = ARENA_NEW(a, struct peaks);
        int rc = tree ? read_peaks(&at, w->model, gpu, k, a, e) : -1;
        cJSON_Delete(tree);
        if (rc) return -1;
        x->gpu[g] = k;
    }
    *extra = x;
    return 0;
}

/* ---- the order of work in each stage ------------------------------------------------ */

/* One forward, one backward, made in lock-step: what a stage does in one round its neighbours see in the
 * next. Microbatches come in ascending order everywhere, so counts are enough. order[stage * 2M ...]:
 * microbatch, or its complement if backward. */
static void make_order(int P, int M, bool corrected, int *order, int *n_order, struct arena *a) {
    enum { ROUNDS_MAX = 20000 }; /* of the published code */
    int *fwd = ARENA_ARRAY(a, int, 4 * P), *bwd = fwd + P, *fwd_seen = bwd + P, *bwd_seen = fwd_seen + P;
    bool busy = true;
    for (int round = 0; busy && (corrected || round < ROUNDS_MAX); round++) {
        memcpy(fwd_seen, fwd, 2 * sizeof *fwd * (size_t)P);
        busy = false;
        for (int i = 0; i < P; i++) {
            int warm = P - 1 - i, *next = &order[i * 2 * M + n_order[i]];
            if (corrected && warm > M)
                warm = M; /* Q8: with fewer microbatches a stage never leaves its warm-up */
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

enum { START, DONE, SEND, SENT, RECEIVE }; /* of computing, of sending */
enum { SENDS_MAX = 4, JITTER_COMPUTE_US = 2000, JITTER_NETWORK_US = 10000 };

struct event {
    int64_t key; /* ns; two events of one microsecond differ by noise below it */
    int kind, stage, mb;
    bool backward;
};

struct queue {
    int *mb, head, end;
};

struct stage_us {
    float fwd, bwd;
    int64_t send; /* to the next stage, and back */
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
    const struct stage_us *us;
    struct stage_state *stage;
    int64_t clock_us;
    struct event *event; /* pending, last first */
    int n_event, room;
    struct arena *arena; /* when there are more than room */
    uint32_t minstd, ring[31];
    int ring_at;
};

/* The additive generator behind libc's random(), with the seed that it starts from. */
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

/* Uniform in [0, 1) from two draws of minstd, as the C++ library makes a double of them. */
static double uniform(struct sim *s) {
    const double range = 2147483646;
    double v[2];
    for (int i = 0; i < 2; i++) {
        s->minstd = (uint32_t)((uint64_t)s->minstd * 16807 % 2147483647);
        v[i] = s->minstd - 1;
    }
    return (v[0] + v[1] * range) / (range * range);
}

/* base plus normal noise (polar method), never below 0; messages are never early. */
static int64_t jitter(struct sim *s, int64_t base, double sd, bool network) {
    double saved = 0;
    if (s->corrected) return base; /* Q10: the noise of a message outweighs the message */
    for (bool have = false;; have = !have) {
        double z = saved, x, y, r2;
        if (!have) {
            do x = 2 * uniform(s) - 1, y = 2 * uniform(s) - 1, r2 = x * x + y * y;
            while (r2 > 1 || r2 == 0);
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

/* Into its place from the front: ascending, or descending. */
static void insert(struct queue *q, int mb, bool descending) {
    int i = q->end++;
    for (; i > q->head && (q->mb[i - 1] < mb) == descending; i--) q->mb[i] = q->mb[i - 1];
    q->mb[i] = mb;
}

/* What a stage can start now. */
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
    const struct stage_us *us = &s->us[x.stage];
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
    default: /* Q9: gradients queue up largest first, so one that overtakes another can block its stage for
                good */
        insert(&own->ready[x.backward], x.mb, x.backward && !s->corrected);
    }
}

/* Time of M microbatches through P stages; 0 if the pipeline gets stuck. */
static int64_t simulate_us(int P, int M, const struct stage_us *us, bool corrected, struct arena *a) {
    struct sim s = {.P = P, .corrected = corrected, .us = us, .room = 16 * P, .arena = a, .minstd = 1};
    int *order = ARENA_ARRAY(a, int, 6 * P * M), *room = order + 2 * P * M, *n_order = ARENA_ARRAY(a, int, P);
    s.stage = ARENA_ARRAY(a, struct stage_state, P);
    s.event = ARENA_ARRAY(a, struct event, s.room);
    make_order(P, M, corrected, order, n_order, a);
    for (int i = 0; i < P; i++) {
        s.stage[i] = (struct stage_state){.order = &order[i * 2 * M], .n_order = n_order[i]};
        for (int k = 0; k < 2; k++, room += 2 * M)
            s.stage[i].ready[k].mb = room, s.stage[i].out[k].mb = room + M;
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

/* ---- the estimate ------------------------------------------------------------------- */

/* P stages by D replicas, as Varuna looks at them. */
struct grid {
    const struct workload *w;
    const struct peaks *peaks; /* NULL: fitted */
    bool corrected;
    int zone, gpu, D, P, tp, m, B;
    int t, ti;        /* degree of times and sizes, log2. Q1: always a whole node, whatever the plan's is */
    const int *first; /* [P + 1] first layer of each stage; then the number of layers */
};

/* False: nothing is known at that degree. */
static bool grid_start(struct grid *g, const struct workload *w, const struct extra *x, int zone, int gpu,
                       int tp, bool corrected) {
    *g = (struct grid){
        .w = w, .peaks = x->gpu[gpu], .corrected = corrected, .zone = zone, .gpu = gpu, .tp = tp};
    g->t = corrected ? tp : w->site->gpu[gpu].gpus_per_node;
    g->ti = tp_index(g->t);
    return g->ti >= 0 && w->model->params[g->ti];
}

/* Bytes of a microbatch that one GPU sends on after layer l. */
static double out_bytes(const struct grid *g, int l) {
    return (double)g->w->element_bytes * g->w->model->act_out[l] * g->m / g->t;
}

/* Peak bytes of one layer trained alone; NAN = unknown. */
static double layer_peak(const struct grid *g, int l) {
    static const struct {
        const char *family;
        double embedding, block, head; /* multiples of the activations kept */
    } fit[] = {{"gpt-neo", 6, 1.9, 3}, {"", 6, 3, 2}};
    const struct model *x = g->w->model;
    const struct peaks *k = g->peaks;
    /* Q5: the measurement at one degree (4) is taken for all */
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
static double stage_bytes(const struct grid *g, int first, int end, int behind) {
    const struct model *x = g->w->model;
    double bytes = 0, kept = 0;
    for (int l = first; l < end; l++) {
        bytes += layer_peak(g, l) - out_bytes(g, l);
        if (g->corrected) kept += x->act_mem[g->ti][l];
    }
    bytes += out_bytes(g, end - 1);
    /* Q5: divided by the degree that it was measured at, and only one microbatch in flight */
    return g->corrected ? bytes + (double)behind * g->w->element_bytes * g->m * kept : floor(bytes / g->tp);
}

static double peak_bytes(const struct grid *g) {
    double peak = 0;
    for (int i = 0; i < g->P; i++) {
        double x = stage_bytes(g, g->first[i], g->first[i + 1], g->P - 1 - i);
        if (!(x <= peak)) peak = x;
    }
    return peak;
}

/* Bytes of gradients that the all-reduce moves. */
static double gradient_bytes(const struct grid *g) {
    const struct model *x = g->w->model;
    double most = 0;
    for (int i = 0; i < g->P; i++) {
        double sum = 0;
        /* Q7: slices of P layers rather than L/P */
        int l = g->corrected ? g->first[i] : i * g->P, end = g->corrected ? g->first[i + 1] : l + g->P;
        for (; l < end && l < x->n_layer; l++) sum += (double)g->w->element_bytes * x->params[g->ti][l];
        most = fmax(most, sum);
    }
    return most;
}

/* Seconds per iteration; 0 = the simulated pipeline got stuck, NAN = an input is missing, or too long to
 * simulate. */
static double iteration_s(const struct grid *g, struct arena *a) {
    enum { STAGES_X_MICROBATCHES_MAX = 1 << 22 };
    const struct site *s = g->w->site;
    const struct layer_times *lt = profile_times(g->w->profile[g->gpu], g->m, g->t);
    const struct link *net = site_link(s, g->zone, g->gpu, g->t, g->zone, g->gpu, g->t), *own = net;
    int node = s->gpu[g->gpu].gpus_per_node, M = (g->B / g->D + g->m - 1) / g->m;
    if (!lt || !net || (int64_t)M * g->P > STAGES_X_MICROBATCHES_MAX) return NAN;
    int per_node = node; /* stages. Q1: as if they had one GPU each, so most of them seem to share a node */
    if (g->corrected) {
        const struct link *intra = &s->intra[g->gpu * TP_N + g->ti];
        per_node = node / g->t > 0 ? node / g->t : 1;
        if (intra->known) own = intra;
    }
    struct stage_us *us = ARENA_ARRAY(a, struct stage_us, g->P);
    for (int i = 0; i < g->P; i++) {
        double fwd = 0, bwd = 0;
        for (int l = g->first[i]; l < g->first[i + 1]; l++) fwd += lt->fwd_s[l], bwd += lt->bwd_s[l];
        us[i].fwd = (float)(fwd * 1e6);
        us[i].bwd = (float)(bwd * 1e6);
        if (i == g->P - 1) break;
        /* Q6: always the same layer, not that of the cut. Q10: within a node a message takes no time but its
         * noise */
        double bytes = out_bytes(g, g->corrected ? g->first[i + 1] - 1 : g->first[g->P] / g->P);
        if (!link_usable(net, bytes, ESTIMATOR_SAILOR)) return NAN; /* the noise would be drawn for ever */
        bool near = i / per_node == (i + 1) / per_node;
        double send_s = near && !g->corrected ? 0 : link_time_s(near ? own : net, bytes, ESTIMATOR_SAILOR);
        us[i].send = (int64_t)(send_s * 1e6);
    }
    int64_t pipeline_us = simulate_us(g->P, M, us, g->corrected, a);
    int64_t sync_us = (int64_t)(plain_allreduce_s(net, gradient_bytes(g), g->D) * 1e6);
    return pipeline_us ? 1e-6 * (double)(pipeline_us + sync_us) : 0;
}

static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    (void)e;
    *out = (struct guess){NAN, NAN};
    const struct pipeline *x = p->pipeline;
    const struct replicas *r = x->stage->group;
    int *first = ARENA_ARRAY(scratch, int, x->n_stage + 1);
    for (int i = 0; i < x->n_stage; i++) { /* anything but a grid is beyond Varuna */
        const struct replicas *y = x->stage[i].group;
        if (p->n_pipeline > 1 || x->stage[i].n_group > 1 || y->gpu != r->gpu || y->zone != r->zone ||
            y->tp != r->tp || y->count != r->count)
            return 0;
        first[i + 1] = x->stage[i].end;
    }
    struct grid g;
    if (!grid_start(&g, w, extra, r->zone, r->gpu, r->tp, corrected)) return 0;
    g.D = r->count;
    g.P = x->n_stage;
    g.m = p->micro_batch_size;
    g.B = p->global_batch_size;
    g.first = first;
    *out = (struct guess){iteration_s(&g, scratch), peak_bytes(&g)};
    return 0;
}

/* ---- the search --------------------------------------------------------------------- */

/* Does the grid fit? Q2: the whole model as one stage, divided by the number of stages. */
static bool fits(const struct grid *g) {
    double bytes = g->corrected ? peak_bytes(g) : floor(stage_bytes(g, 0, g->w->model->n_layer, 0) / g->P);
    return bytes <= g->w->site->gpu[g->gpu].planner_memory_bytes;
}

/* The largest microbatch that fits, 0 if none. Q3 (a microbatch of type float once halved) has no counterpart
 * here. */
static int largest_microbatch(struct grid *g) {
    const struct profile *x = g->w->profile[g->gpu];
    if (g->corrected) {
        for (int i = x->n_mb - 1; i >= 0; i--) {
            g->m = x->mb[i];
            if ((g->m == 1 || g->m % 2 == 0) && profile_times(x, g->m, g->t) && fits(g)) return g->m;
        }
        return 0;
    }
    for (g->m = g->peaks ? g->peaks->mb[g->peaks->n - 1] : x->mb[x->n_mb - 1]; g->m && !fits(g); g->m /= 2)
        if (isnan(layer_peak(g, 0)))
            return 0; /* Q4: the published code fails where a size was not measured */
    return g->m > 1 ? g->m / 2 * 2 : g->m;
}

static double rank(const struct question *q, const struct proposal *y) {
    return q->objective == OBJECTIVE_COST ? y->cost_usd : y->time_s;
}

static int varuna_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    (void)e;
    const struct workload *w = q->w;
    const struct pool_entry *x = q->pool->entry; /* the first alone */
    *out = (struct answer){0};
    if (!q->pool->n_entry || !w->profile[x->gpu]) return 0;
    int node = w->site->gpu[x->gpu].gpus_per_node, nodes = x->count / node, L = w->model->n_layer, n = 0;
    struct proposal *list = ARENA_ARRAY(a, struct proposal, L);
    int *first = ARENA_ARRAY(a, int, L + 1);
    for (int P = 1; P <= L && P <= nodes; P++) {
        if (L % P) continue;
        struct grid g;
        if (!grid_start(&g, w, q->extra, x->zone, x->gpu, q->corrected ? node : 1, q->corrected)) return 0;
        g.P = P;
        g.D = nodes / P;
        g.B = w->global_batch_size;
        g.first = first;
        for (int i = 0; i <= P; i++) first[i] = i * (L / P);
        if (!(g.m = largest_microbatch(&g))) {
            if (q->corrected) continue;
            return 0; /* Q4: and where not even 1 fits; nothing is proposed then */
        }
        double time_s = iteration_s(&g, a);
        out->states++;
        if (!(time_s > 0)) continue;
        /* Q1: planned with nodes, handed out as GPUs of degree 1 */
        int D = q->corrected ? g.D : nodes * node / P, at = n++;
        const struct plan *p = grid_plan(w, x->zone, x->gpu, D, P, g.tp, g.m, a);
        struct proposal y = {.time_s = time_s, .cost_usd = rental_usd(w, p, time_s), .plan = p};
        for (; at && rank(q, &list[at - 1]) > rank(q, &y); at--) list[at] = list[at - 1];
        list[at] = y;
    }
    out->n = n;
    out->proposal = list;
    return 0;
}

const struct planner varuna_planner = {
    .name = "varuna",
    .about = "one GPU type and zone; stages that divide the layers, the largest microbatch, simulated event "
             "by event",
    .can = CAN_CORRECTED,
    .every_profile = true,
    .load = load,
    .solve = planner_walk,
    .propose = varuna_propose,
    .estimate = estimate,
};
