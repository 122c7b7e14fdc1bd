#include "train/trainer.h"
#include "train/zero.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- which ranks sum gradients together ---- */

static bool same_ranks(const struct grid_span *x, const struct grid_span *y) {
    return x->n_rank == y->n_rank && !memcmp(x->rank, y->rank, sizeof(int) * (size_t)x->n_rank);
}

static int place_in(const struct grid_span *s, int rank) {
    int i = 0;
    while (s->rank[i] != rank) i++;
    return i;
}

/* Groups are made in the order of the spans, on which all ranks agree. Spans of a layer that follow each
 * other in memory become one sum; if degrees differ, they may not be adjacent on the other ranks, so they
 * stay apart. Layers stay apart because each is summed when ready; with and without overlap the sums are the
 * same ones, so they give the same bits. */
static void share(struct trainer *t, struct arena *a) {
    enum { MOST = 1 << 28 }; /* elements of one sum */
    struct grid_span *span;
    int n = grid_spans(t->grid, t->comm->rank, &span, a), layers = t->net.end - t->net.first, layer = 0;
    struct group **group = ARENA_ARRAY(a, struct group *, n + 1);
    t->shared = ARENA_ARRAY(a, struct shared, (size_t)n + t->net.params / MOST + 1);
    t->first_shared = ARENA_ARRAY(a, int, layers + 2);
    for (int i = 0; i < n; i++) {
        int here = span[i].tied ? layers : span[i].layer - t->net.first;
        const struct param *p = &t->net.layer[span[i].layer - t->net.first].param[span[i].tensor];
        struct shared s = {.counts = span[i].counts,
                           .members = span[i].n_rank,
                           .mine = place_in(&span[i], t->comm->rank),
                           .offset = p->offset + (span[i].first - p->part.first) * p->tensor->row,
                           .n = span[i].rows * p->tensor->row};
        for (int j = 0; j < i && !group[i]; j++)
            if (same_ranks(&span[i], &span[j])) group[i] = group[j];
        if (!group[i]) group[i] = t->comm->group(t->comm, span[i].rank, span[i].n_rank, a);
        s.group = group[i];
        assert(s.offset + s.n <= t->net.params);
        assert(here >= layer); /* spans come layer by layer */
        while (layer < here) t->first_shared[++layer] = t->n_shared;
        struct shared *last = t->n_shared > t->first_shared[layer] ? &t->shared[t->n_shared - 1] : NULL;
        if (last && last->group == s.group && span[i].uniform && span[i - 1].uniform &&
            last->offset + last->n == s.offset && last->n + s.n <= MOST) {
            last->n += s.n;
            continue;
        }
        for (size_t left = s.n; left; left -= s.n, s.offset += s.n) {
            s.n = left < MOST ? left : MOST;
            t->shared[t->n_shared++] = s;
        }
    }
    while (layer <= layers) t->first_shared[++layer] = t->n_shared;
}

static void start_sums(struct trainer *t, int layer) {
    enum elem acc = t->backend->acc;
    for (int i = t->first_shared[layer]; i < t->first_shared[layer + 1]; i++) {
        struct shared *s = &t->shared[i];
        void *g = elem_at(t->net.grad, s->offset, acc);
        if (!s->counts) t->backend->zero(t->backend, g, s->n * elem_bytes(acc));
        if (t->comm->sum_start)
            t->comm->sum_start(t->comm, s->group, g, s->n, acc, &s->pending);
        else
            t->comm->sum(t->comm, s->group, g, s->n, acc);
    }
}

static void wait_for_sums(struct trainer *t, int layer) {
    for (int i = t->first_shared[layer]; i < t->first_shared[layer + 1]; i++)
        t->comm->wait(t->comm, &t->shared[i].pending);
}

/* The sums of all layers, the last one first: those not under way are started, each when the one before it is
 * done. That of a tied embedding, to which the first layer and the last add, comes at the end. */
static void sum_gradients(struct trainer *t) {
    int layers = t->net.end - t->net.first;
    for (int i = layers; i >= 0; i--) {
        int layer = i ? i - 1 : layers;
        if (t->first_shared[layer] == t->first_shared[layer + 1]) continue;
        t->clock.item = i ? t->net.first + layer : 0;
        clock_enter(&t->clock, PHASE_DATA);
        if (layer == layers || layer < t->unsummed) start_sums(t, layer);
        wait_for_sums(t, layer);
    }
    t->clock.item = -1;
}

/* The norm of all gradients of the model, once they are summed: the same on every rank and, within rounding,
 * under every plan, as each element counts once. */
static double gradient_norm(struct trainer *t) {
    struct net *n = &t->net;
    struct backend *b = t->backend;
    double sum;
    b->zero(b, n->squares, sizeof sum);
    for (int i = 0; i < n->end - n->first; i++)
        for (int k = 0; k < arch_tensors(n->layer[i].kind); k++) {
            const struct param *p = &n->layer[i].param[k];
            bool mine = grid_giver(t->grid, n->first + i) == t->cell;
            if (mine && grid_gives(t->grid, n->first + i, k, n->tp_rank))
                b->squares(b, n->squares, elem_at(n->grad, p->offset, b->acc), p->n);
        }
    if (t->all) t->comm->sum(t->comm, t->all, n->squares, 1, ELEM_F64);
    b->download(b, &sum, n->squares, sizeof sum);
    return sqrt(sum);
}

/* ---- between stages: rank k of a replica of tp gets what it needs from rank k mod tp' of the other one ----
 */

static size_t message(const struct trainer *t) { return (size_t)t->net.tokens * (size_t)t->arch->hidden; }

static void wait_for(struct trainer *t, struct sends *s) {
    for (; s->n; s->n--) t->comm->wait(t->comm, &s->pending[s->n - 1]);
}

static void send_to(struct trainer *t, int stage, int w, const void *buffer, struct sends *s) {
    assert(s->n == 0); /* the buffer is free: what was sent from it before has been waited for */
    const struct grid_cell *other = grid_cell_at(t->grid, t->cell->pipeline, stage, w);
    clock_enter(&t->clock, PHASE_WAIT);
    for (int k = t->net.tp_rank; k < other->tp; k += t->cell->tp)
        t->comm->send(t->comm, buffer, message(t), t->backend->elem, other->first_rank + k,
                      &s->pending[s->n++]);
}

static void receive_from(struct trainer *t, int stage, int w, void *buffer) {
    const struct grid_cell *other = grid_cell_at(t->grid, t->cell->pipeline, stage, w);
    clock_enter(&t->clock, PHASE_WAIT);
    t->comm->recv(t->comm, buffer, message(t), t->backend->elem,
                  other->first_rank + t->net.tp_rank % other->tp);
}

/* Tells the communicator which ranks this one exchanges messages with, in either direction. */
static void introduce(struct trainer *t, struct arena *a) {
    const struct grid_cell *me = t->cell;
    bool *with = ARENA_ARRAY(a, bool, t->comm->size);
    int *peer = ARENA_ARRAY(a, int, t->comm->size), n = 0;
    if (!t->comm->connect) return;
    for (int i = 0; i < t->n_work; i++)
        for (int stage = me->stage - 1; stage <= me->stage + 1; stage += 2) {
            if (stage < 0 || stage == t->grid->line[me->pipeline].stages) continue;
            const struct grid_cell *other = grid_cell_at(t->grid, me->pipeline, stage, t->work[i].w);
            for (int k = 0; k < other->tp; k++)
                if (k % me->tp == t->net.tp_rank || t->net.tp_rank % other->tp == k)
                    with[other->first_rank + k] = true;
        }
    for (int r = 0; r < t->comm->size; r++)
        if (with[r]) peer[n++] = r;
    t->comm->connect(t->comm, peer, n);
}

/* ---- passes ---- */

static bool is_first(const struct trainer *t) { return t->net.first == 0; }
static bool is_last(const struct trainer *t) { return t->net.end == t->arch->layers; }

/* The tokens of microbatch w; places beyond the batch are empty and do not count. Returns how many tokens
 * count. */
static int load_tokens(struct trainer *t, struct slot *s, int w, bool held_out) {
    int S = t->arch->sequence, count, first = grid_sequences(t->grid, t->cell->pipeline, w, &count);
    unsigned long long q = (unsigned long long)first;
    if (!is_first(t) && !is_last(t) && !t->begin) return 0;
    if (!held_out) q += (unsigned long long)t->step * (unsigned long long)t->grid->plan->global_batch_size;
    clock_enter(&t->clock, PHASE_OTHER);
    for (int i = 0; i < t->net.tokens; i++) t->token[i] = t->target[i] = -1;
    for (int i = 0; i < count; i++)
        data_sequence(t->data, held_out, q + (unsigned long long)i, t->token + i * S, t->target + i * S);
    net_tokens(&t->net, s, t->token, t->target);
    if (!t->begin) return count * S;
    memset(t->begin, 0, sizeof *t->begin * (size_t)t->net.tokens);
    for (int i = 0; i < count; i++)
        data_begins(t->data, held_out, q + (unsigned long long)i, t->begin + i * S);
    net_begins(&t->net, s, t->begin);
    return count * S;
}

static void forward(struct trainer *t, struct grid_work x, bool held_out) {
    struct slot *s = &t->net.slot[x.slot];
    double G = t->grid->plan->global_batch_size, S = t->arch->sequence;
    t->clock.item = x.w;
    int valid = load_tokens(t, s, x.w, held_out);
    if (!is_first(t)) receive_from(t, t->cell->stage - 1, x.w, s->kept[0].x);
    if (!is_last(t)) {
        clock_enter(&t->clock, PHASE_WAIT);
        wait_for(t, &t->out[x.slot]); /* returns at once, except when only forward passes are done */
    }
    clock_enter(&t->clock, PHASE_FORWARD);
    net_forward(&t->net, s);
    if (is_last(t))
        net_loss(&t->net, s, valid, 1 / (G * S));
    else
        send_to(t, t->cell->stage + 1, x.w, s->out, &t->out[x.slot]);
}

/* `last`: this is the last backward pass of the step, after which gradients are final. */
static void backward(struct trainer *t, struct grid_work x, int turn, bool last) {
    struct sends *sent = &t->dy[turn];
    void *dy = t->net.dy[turn];
    t->clock.item = x.w;
    clock_enter(&t->clock, PHASE_WAIT);
    wait_for(t, sent);
    if (!is_last(t)) receive_from(t, t->cell->stage + 1, x.w, dy);
    clock_enter(&t->clock, PHASE_BACKWARD);
    for (int i = t->net.end - t->net.first - 1; i >= 0; i--) {
        net_backward_layer(&t->net, &t->net.slot[x.slot], i, dy);
        if (!last || !t->options.overlap || t->first_shared[i] == t->first_shared[i + 1]) continue;
        t->clock.item = t->net.first + i;
        clock_enter(&t->clock, PHASE_DATA);
        start_sums(t, i);
        t->unsummed = i;
        t->clock.item = x.w;
        clock_enter(&t->clock, PHASE_BACKWARD);
    }
    if (!is_first(t)) send_to(t, t->cell->stage - 1, x.w, dy, sent);
}

static void finish_sends(struct trainer *t) {
    t->clock.item = -1;
    clock_enter(&t->clock, PHASE_WAIT);
    for (int i = 0; i < t->net.slots; i++) wait_for(t, &t->out[i]);
    for (int i = 0; i < 2; i++) wait_for(t, &t->dy[i]);
}

/* Takes this rank's share of the loss and sets it back to zero. All ranks of a replica know it; the first one
 * counts. *finite: so were its gradients. */
static double take_loss(struct trainer *t, bool *finite) {
    struct backend *b = t->backend;
    double wide[2];
    float single[2];
    b->download(b, b->acc == ELEM_F64 ? (void *)wide : single, t->net.loss, 2 * elem_bytes(b->acc));
    for (int i = 0; i < 2 && b->acc != ELEM_F64; i++) wide[i] = (double)single[i];
    b->zero(b, t->net.loss, 2 * elem_bytes(b->acc));
    *finite = wide[1] == 0;
    return is_last(t) && t->net.tp_rank == 0 ? wide[0] : 0;
}

/* As PyTorch's clip_grad_norm_() does it. */
static void update(struct trainer *t, struct step_result *r) {
    struct adam_options a = t->options.adam;
    double clip = t->options.clip;
    r->gradient_norm = NAN;
    if (clip > 0) {
        clock_enter(&t->clock, PHASE_DATA);
        r->gradient_norm = gradient_norm(t);
        if (r->gradient_norm > clip) a.shrink = clip / (r->gradient_norm + 1e-6);
    }
    if (t->options.rate.peak > 0) a.rate = rate_at(&t->options.rate, t->step);
    r->rate = a.rate;
    clock_enter(&t->clock, PHASE_UPDATE);
    net_update(&t->net, a, t->step);
    if (!t->grid->plan->options.zero) return;
    clock_enter(&t->clock, PHASE_DATA);
    zero_spread(t);
}

void trainer_step(struct trainer *t, struct step_result *r) {
    int turn = 0;
    clock_start(&t->clock);
    t->unsummed = t->net.end - t->net.first;
    t->backend->zero(t->backend, t->net.grad, t->net.params * elem_bytes(t->backend->acc));
    for (int i = 0; i < t->n_work; i++) {
        if (t->work[i].backward) {
            backward(t, t->work[i], turn, i == t->n_work - 1);
            turn ^= 1;
        } else {
            forward(t, t->work[i], false);
        }
    }
    finish_sends(t);
    sum_gradients(t);
    t->step++;
    update(t, r);
    r->time_s = clock_stop(&t->clock, r->phase_s);
    r->loss = take_loss(t, &r->finite);
}

double trainer_evaluate(struct trainer *t) {
    double seconds[PHASE_N];
    bool finite;
    clock_start(&t->clock);
    for (int i = 0; i < t->n_work; i++)
        if (!t->work[i].backward) forward(t, t->work[i], true);
    finish_sends(t);
    clock_stop(&t->clock, seconds);
    return take_loss(t, &finite);
}

int trainer_make(struct trainer *t, const struct grid *g, const struct data *d, struct backend *b,
                 struct comm *c, struct train_options o, struct arena *a, struct err *e) {
    const struct grid_cell *cell = &g->cell[g->cell_of[c->rank]];
    struct net_shape shape = {.first = cell->first,
                              .end = cell->end,
                              .tp = cell->tp,
                              .tp_rank = c->rank - cell->first_rank,
                              .micro_batch = g->plan->micro_batch_size,
                              .recompute = g->plan->options.recompute,
                              .apart = d->border != NULL};
    struct group *replica = NULL;
    *t = (struct trainer){.arch = g->arch,
                          .grid = g,
                          .cell = cell,
                          .data = d,
                          .backend = b,
                          .comm = c,
                          .options = o,
                          .clock = {.backend = b}};
    t->n_work = grid_works(g, cell, NULL, &shape.slots);
    t->work = ARENA_ARRAY(a, struct grid_work, t->n_work);
    grid_works(g, cell, t->work, &shape.slots);
    if (cell->tp > 1) {
        int rank[TP_MAX];
        for (int k = 0; k < cell->tp; k++) rank[k] = cell->first_rank + k;
        replica = c->group(c, rank, cell->tp, a);
    }
    net_place(&t->net, g->arch, shape, b, c, replica, &t->clock, a);
    share(t, a);
    if (g->plan->options.zero) zero_deal(t, a);
    if (o.clip > 0 && c->size > 1) {
        int *rank = ARENA_ARRAY(a, int, c->size);
        for (int k = 0; k < c->size; k++) rank[k] = k;
        t->all = c->group(c, rank, c->size, a);
    }
    introduce(t, a);
    /* communicators have their device memory by now, so it counts */
    ledger_open(&t->ledger, b, o.memory_limit_bytes);
    if (c->ready && c->ready(c, e)) return -1;
    if (net_take(&t->net, &t->ledger, e)) return -1;
    t->out = ARENA_ARRAY(a, struct sends, shape.slots);
    t->token = ARENA_ARRAY(a, int, t->net.tokens);
    t->target = ARENA_ARRAY(a, int, t->net.tokens);
    t->begin = d->border ? ARENA_ARRAY(a, int, t->net.tokens) : NULL;
    net_init(&t->net, o.seed, o.threads > 0 ? o.threads : 1);
    return 0;
}

void trainer_free(struct trainer *t) {
    ledger_close(&t->ledger);
    clock_free(&t->clock);
}
