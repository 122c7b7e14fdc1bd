#include "train/net.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* Elements on their way from the host to the device: how many one thread makes at a time, and how many fit in
 * n->host. */
enum { PIECE = 4096, ROOM = 16 * PIECE };

/* ---- from the host to the device ---- */

static void store(void *to, enum elem type, const double *value, size_t count) {
    float *single = to;
    bf16 *half = to;
    if (type == ELEM_F64) memcpy(to, value, count * sizeof *value);
    for (size_t i = 0; i < count && type == ELEM_F32; i++) single[i] = (float)value[i];
    for (size_t i = 0; i < count && type == ELEM_BF16; i++) half[i] = bf16_round((float)value[i]);
}

static void upload(struct net *n, void *buffer, enum elem type, size_t at, const void *from, size_t count) {
    n->backend->upload(n->backend, elem_at(buffer, at, type), from, count * elem_bytes(type));
}

/* ---- memory ---- */

static void place_layers(struct net *n) {
    for (int i = n->first; i < n->end; i++) {
        struct layer *l = &n->layer[i - n->first];
        *l = (struct layer){.kind = arch_kind(n->arch, i), .index = i};
        for (int t = 0; t < arch_tensors(l->kind); t++) {
            struct param *p = &l->param[t];
            p->tensor = &n->arch->tensor[l->kind][t];
            p->part = arch_part(p->tensor, n->tp, n->tp_rank);
            p->n = p->part.room * p->tensor->row;
            p->again = p->tensor->tied && n->first == 0;
            p->offset = p->again ? n->layer[0].param[EMBEDDING_TOKENS].offset : n->params;
            if (p->again || !p->n) continue;
            n->params += p->n;
            n->owned[n->n_owned++] = (struct owned){p->offset, p->n, p->offset, p->tensor->decay};
        }
    }
}

static struct attention attention_of(const struct net *n, int layer) {
    const struct arch *a = n->arch;
    return (struct attention){.sequences = n->micro_batch,
                              .length = a->sequence,
                              .heads = a->heads / n->tp,
                              .size = a->head_size,
                              .kv_heads = arch_grouped(a) ? arch_kv_heads(a, n->tp) : 0,
                              .window = arch_window(a, layer),
                              .unscaled = a->unscaled};
}

struct net_widths net_widths(const struct net *n) {
    const struct arch *a = n->arch;
    size_t d = (size_t)a->head_size, all = (size_t)(a->heads / n->tp) * d, ffn = (size_t)(a->ffn / n->tp);
    bool grouped = arch_grouped(a);
    return (struct net_widths){.q = grouped ? all : 3 * all,
                               .kv = grouped ? 2 * d * (size_t)arch_kv_heads(a, n->tp) : 0,
                               .attention = all,
                               .fc1 = a->activation == ACTIVATION_SWIGLU ? 2 * ffn : ffn,
                               .gated = ffn};
}

/* What a block computes before the second linear map of its feed-forward part, in three parts. */
enum { INPUT = 1, SAVED = 2, OTHERS = 4 };

static void place_block(const struct net *n, struct kept *k, unsigned parts, struct carver *c) {
    const struct arch *a = n->arch;
    size_t N = (size_t)n->tokens, H = (size_t)a->hidden, e = elem_bytes(n->backend->elem),
           acc = elem_bytes(n->backend->acc), saved, work;
    struct net_widths w = net_widths(n);
    n->backend->attention_bytes(n->backend, attention_of(n, 1), &saved, &work);
    if (parts & INPUT) k->x = carve(c, N * H, e);
    if (parts & SAVED) k->saved = carve(c, saved, 1);
    if (!(parts & OTHERS)) return;
    k->mean1 = a->rms_norm ? NULL : carve(c, N, acc);
    k->rstd1 = carve(c, N, acc);
    k->norm1 = carve(c, N * H, e);
    k->q = carve(c, N * w.q, e);
    k->kv = w.kv ? carve(c, N * w.kv, e) : NULL;
    k->attention = carve(c, N * w.attention, e);
    k->x2 = carve(c, N * H, e);
    k->mean2 = a->rms_norm ? NULL : carve(c, N, acc);
    k->rstd2 = carve(c, N, acc);
    k->norm2 = carve(c, N * H, e);
    k->fc1 = carve(c, N * w.fc1, e);
}

/* The parts that blocks keep; the others they share. */
static unsigned parts_kept(const struct net *n) {
    return n->recompute == RECOMPUTE_FULL        ? INPUT
           : n->recompute == RECOMPUTE_SELECTIVE ? INPUT | OTHERS
                                                 : INPUT | SAVED | OTHERS;
}

static void place_kept(const struct net *n, enum layer_kind kind, struct kept *k, struct carver *c) {
    const struct arch *a = n->arch;
    size_t N = (size_t)n->tokens, H = (size_t)a->hidden, e = elem_bytes(n->backend->elem),
           acc = elem_bytes(n->backend->acc);
    if (kind == LAYER_BLOCK) place_block(n, k, parts_kept(n), c);
    if (kind == LAYER_EMBEDDING || kind == LAYER_BLOCK) return;
    k->x = carve(c, N * H, e);
    if (kind == LAYER_NOTHING) return;
    k->mean1 = a->rms_norm ? NULL : carve(c, N, acc);
    k->rstd1 = carve(c, N, acc);
    k->norm1 = carve(c, N * H, e);
    k->logits = carve(c, N * arch_part(&a->tensor[LAYER_HEAD][HEAD_MATRIX], n->tp, 0).room, e);
}

static void share_kept(struct net *n) {
    for (int i = 0; i < n->slots; i++)
        for (int l = 0; l < n->end - n->first; l++) {
            struct kept *k = &n->slot[i].kept[l];
            void *x = k->x;
            if (n->layer[l].kind != LAYER_BLOCK) continue;
            if (n->recompute == RECOMPUTE_SELECTIVE) k->saved = n->shared.saved;
            if (n->recompute == RECOMPUTE_FULL) {
                *k = n->shared;
                k->x = x;
            }
        }
}

static void place_slots(const struct net *n, struct carver *c) {
    for (int i = 0; i < n->slots; i++) {
        struct slot *s = &n->slot[i];
        s->token = n->first == 0 ? carve(c, (size_t)n->tokens, sizeof(int)) : NULL;
        s->target = n->end == n->arch->layers ? carve(c, (size_t)n->tokens, sizeof(int)) : NULL;
        s->begin = n->apart ? carve(c, (size_t)n->tokens, sizeof(int)) : NULL;
        for (int l = 0; l < n->end - n->first; l++) place_kept(n, n->layer[l].kind, &s->kept[l], c);
    }
}

static void place_messages(struct net *n, struct carver *c) {
    size_t size = (size_t)n->tokens * (size_t)n->arch->hidden, e = elem_bytes(n->backend->elem);
    for (int i = 0; i < n->slots; i++) n->slot[i].out = n->end < n->arch->layers ? carve(c, size, e) : NULL;
    for (int i = 0; i < 2; i++) n->dy[i] = carve(c, size, e);
}

static void place_work(struct net *n, struct carver *c) {
    const struct arch *a = n->arch;
    size_t N = (size_t)n->tokens, H = (size_t)a->hidden, e = elem_bytes(n->backend->elem),
           acc = elem_bytes(n->backend->acc), saved, work;
    struct net_widths w = net_widths(n);
    bool blocks = n->first <= a->blocks && n->end > 1, head = n->end == a->layers;
    n->loss = carve(c, 64, 1); /* room for `squares`, too */
    n->squares = n->loss ? (char *)n->loss + 16 : NULL;
    n->sums = head ? carve(c, 3 * N, acc) : NULL; /* max, sums, targets */
    n->dnorm = blocks || head ? carve(c, N * H, e) : NULL;
    if (!blocks) return;
    n->backend->attention_bytes(n->backend, attention_of(n, 1), &saved, &work);
    n->dq = carve(c, N * w.q, e);
    n->dattention = carve(c, N * w.attention, e);
    n->dfc = carve(c, N * w.fc1, e);
    n->fc2_in = carve(c, N * w.gated, e);
    n->attention_work = carve(c, work, 1);
    n->dkv = w.kv ? carve(c, N * w.kv, e) : NULL;
    n->dnorm_kv = w.kv ? carve(c, N * H, e) : NULL;
    n->dgated = w.gated < w.fc1 ? carve(c, N * w.gated, e) : NULL;
    place_block(n, &n->shared, (INPUT | SAVED | OTHERS) & ~parts_kept(n), c);
    share_kept(n);
    n->turns = a->rotary ? carve(c, (size_t)a->sequence * (size_t)a->head_size, acc) : NULL;
}

/* Sizes first, then one block, then the pointers. */
#define ALLOCATE(category, call)                                                                             \
    do {                                                                                                     \
        struct carver c = {0};                                                                               \
        call;                                                                                                \
        size_t bytes_ = c.used;                                                                              \
        c = (struct carver){.base = ledger_alloc(l, category, bytes_, e)};                                   \
        if (!c.base) return -1;                                                                              \
        call;                                                                                                \
        assert(c.used == bytes_);                                                                            \
    } while (0)

void net_place(struct net *n, const struct arch *arch, struct net_shape shape, struct backend *b,
               struct comm *comm, struct group *g, struct clock *clock, struct arena *arena) {
    *n = (struct net){.arch = arch,
                      .backend = b,
                      .comm = comm,
                      .group = g,
                      .clock = clock,
                      .tp = shape.tp,
                      .tp_rank = shape.tp_rank,
                      .first = shape.first,
                      .end = shape.end,
                      .micro_batch = shape.micro_batch,
                      .slots = shape.slots,
                      .recompute = shape.recompute,
                      .apart = shape.apart,
                      .tokens = shape.micro_batch * arch->sequence};
    n->layer = ARENA_ARRAY(arena, struct layer, n->end - n->first);
    n->slot = ARENA_ARRAY(arena, struct slot, n->slots);
    n->host = arena_alloc(arena, ROOM * (elem_bytes(b->elem) + (b->elem != b->acc ? elem_bytes(b->acc) : 0)));
    for (int i = 0; i < n->slots; i++) n->slot[i].kept = ARENA_ARRAY(arena, struct kept, n->end - n->first);
    n->owned = ARENA_ARRAY(arena, struct owned, (n->end - n->first) * (int)TENSORS_MAX);
    place_layers(n);
    n->states = n->params;
}

static void set_turns(struct net *n) {
    const struct arch *a = n->arch;
    enum elem acc = n->backend->acc;
    int half = a->head_size / 2;
    for (int i = 0; i < a->sequence; i++)
        for (int j = 0; j < half; j++) {
            double angle = i * arch_frequency(a, j);
            store(n->host, acc, (double[]){cos(angle), sin(angle)}, 2);
            upload(n, n->turns, acc, 2 * ((size_t)i * (size_t)half + (size_t)j), n->host, 2);
        }
}

int net_take(struct net *n, struct ledger *l, struct err *e) {
    const struct backend *b = n->backend;
    size_t acc = elem_bytes(b->acc), mixed = b->elem != b->acc;
    if (n->first == 0 && b->most_tokens && n->tokens > b->most_tokens)
        return err_set(
            e, EXIT_NOPLAN,
            "out of memory: a microbatch of %d tokens; the embedding's gradient takes at most %d on "
            "backend %s",
            n->tokens, b->most_tokens, b->name);
    if (!(n->weight = ledger_alloc(l, MEMORY_PARAMETERS, n->params * elem_bytes(b->elem), e))) return -1;
    if (!(n->grad = ledger_alloc(l, MEMORY_GRADIENTS, n->params * acc, e))) return -1;
    if (!(n->adam_m = ledger_alloc(l, MEMORY_OPTIMIZER, (2 + mixed) * n->states * acc, e))) return -1;
    n->adam_v = elem_at(n->adam_m, n->states, b->acc);
    n->master = mixed ? elem_at(n->adam_m, 2 * n->states, b->acc) : NULL;
    ALLOCATE(MEMORY_ACTIVATIONS, place_slots(n, &c));
    ALLOCATE(MEMORY_COMMUNICATION, place_messages(n, &c));
    ALLOCATE(MEMORY_WORKSPACE, place_work(n, &c));
    if (n->turns) set_turns(n);
    return 0;
}

int net_make(struct net *n, const struct arch *arch, struct net_shape shape, struct backend *b,
             struct comm *comm, struct group *g, struct clock *clock, struct ledger *l, struct arena *arena,
             struct err *e) {
    net_place(n, arch, shape, b, comm, g, clock, arena);
    return net_take(n, l, e);
}

/* ---- contents ---- */

void net_put_state(struct net *n, void *buffer, size_t offset, const void *host, size_t count) {
    enum elem acc = n->backend->acc;
    for (int i = 0; i < n->n_owned; i++) {
        const struct owned *o = &n->owned[i];
        size_t from = o->offset > offset ? o->offset : offset,
               end = o->offset + o->n < offset + count ? o->offset + o->n : offset + count;
        if (from < end)
            upload(n, buffer, acc, o->at + from - o->offset, elem_at(host, from - offset, acc), end - from);
    }
}

/* Large tensors are drawn by all threads, even where a GPU computes: one thread would take minutes. */
static void draw(struct net *n, const struct layer *l, int t, unsigned long long seed, int threads) {
    const struct param *p = &l->param[t];
    if (p->again) return;
    size_t count = p->part.rows * p->tensor->row, from = p->part.first * p->tensor->row;
    enum elem elem = n->backend->elem, acc = n->backend->acc;
    void *master = elem_at(n->host, ROOM, elem);
    for (size_t i = 0, some; i < count; i += some) {
        some = count - i < ROOM ? count - i : ROOM;
#pragma omp parallel for num_threads(threads) if (count > 1 << 22)
        for (size_t k = 0; k < some; k += PIECE) {
            double value[PIECE];
            size_t piece = some - k < PIECE ? some - k : PIECE;
            arch_init(n->arch, l->index, t, seed, from + i + k, piece, value);
            store(elem_at(n->host, k, elem), elem, value, piece);
            if (n->master) store(elem_at(master, k, acc), acc, value, piece);
        }
        upload(n, n->weight, elem, p->offset + i, n->host, some);
        if (n->master) net_put_state(n, n->master, p->offset + i, master, some);
    }
}

/* padding stays zero */
static void clear(struct net *n) {
    struct backend *b = n->backend;
    b->zero(b, n->weight, n->params * elem_bytes(b->elem));
    b->zero(b, n->adam_m, (n->master ? 3 : 2) * n->states * elem_bytes(b->acc));
    b->zero(b, n->loss, 2 * elem_bytes(b->acc));
}

void net_init(struct net *n, unsigned long long seed, int threads) {
    clear(n);
    for (int l = 0; l < n->end - n->first; l++)
        for (int t = 0; t < arch_tensors(n->layer[l].kind); t++) draw(n, &n->layer[l], t, seed, threads);
}

/* Repeats the same deviates, because drawing them takes longer than copying; a prime number of them, so that
 * the rows of a matrix differ. */
static void scatter(struct net *n, void *buffer, enum elem type, size_t at, size_t count, double mean,
                    double spread, int stream) {
    enum { PERIOD = 65521 };
    double value[PIECE];
    size_t some = count < PERIOD ? count : PERIOD;
    for (size_t i = 0; i < some; i++) {
        value[i % PIECE] = mean + spread * arch_deviate(arch_hash((size_t)stream * PERIOD + i));
        if (i % PIECE == PIECE - 1 || i + 1 == some)
            store(elem_at(n->host, i - i % PIECE, type), type, value, i % PIECE + 1);
    }
    for (size_t i = 0; i < count; i += PERIOD)
        upload(n, buffer, type, at + i, n->host, count - i < PERIOD ? count - i : PERIOD);
}

static size_t activation(const struct net *n) { return (size_t)n->tokens * (size_t)n->arch->hidden; }

enum { STREAM_INPUT = TENSORS_MAX, STREAM_GRADIENT };

void net_random(struct net *n) {
    struct backend *b = n->backend;
    struct slot *s = &n->slot[0];
    clear(n);
    b->zero(b, n->grad, n->params * elem_bytes(b->acc));
    for (int l = 0; l < n->end - n->first; l++)
        for (int t = 0; t < arch_tensors(n->layer[l].kind); t++) {
            const struct param *p = &n->layer[l].param[t];
            size_t count = p->part.rows * p->tensor->row;
            double spread = p->tensor->spread > 0 ? p->tensor->spread : 0.02;
            scatter(n, n->weight, b->elem, p->offset, count, p->tensor->start, spread, t);
            if (n->master) scatter(n, n->master, b->acc, p->offset, count, p->tensor->start, spread, t);
        }
    /* as large as inside a trained model; the smaller, the faster the gradient grows with every pass */
    if (s->kept[0].x) scatter(n, s->kept[0].x, b->elem, 0, activation(n), 0, 4, STREAM_INPUT);
    int *token = n->host;
    for (int i = 0, some; i < n->tokens; i += some) {
        some = n->tokens - i < PIECE ? n->tokens - i : PIECE;
        for (int k = 0; k < some; k++)
            token[k] = (int)(arch_hash((unsigned long long)(i + k)) % (unsigned)n->arch->vocabulary);
        if (s->token) b->upload(b, s->token + i, token, sizeof *token * (size_t)some);
        if (s->target) b->upload(b, s->target + i, token, sizeof *token * (size_t)some);
    }
}

void net_random_gradient(struct net *n, void *dy) {
    scatter(n, dy, n->backend->elem, 0, activation(n), 0, 1e-3, STREAM_GRADIENT);
}

void net_round(struct net *n, const struct param *p, const float *master) {
    bf16 piece[PIECE];
    for (size_t i = 0, count = p->part.rows * p->tensor->row, k; i < count; i += k) {
        for (k = 0; k < PIECE && i + k < count; k++) piece[k] = bf16_round(master[i + k]);
        n->backend->upload(n->backend, elem_at(n->weight, p->offset + i, ELEM_BF16), piece,
                           k * sizeof *piece);
    }
}

/* Checks one piece on the host. */
static bool all_finite(const void *at, enum elem type, size_t count) {
    const double *wide = at;
    const float *single = at;
    const bf16 *half = at;
    for (size_t i = 0; i < count; i++) {
        double x = type == ELEM_F64 ? wide[i] : (double)(type == ELEM_F32 ? single[i] : bf16_value(half[i]));
        if (!isfinite(x)) return false;
    }
    return true;
}

bool net_is_finite(struct net *n, const void *buffer, enum elem type, size_t count) {
    size_t most = ROOM * elem_bytes(n->backend->elem) / elem_bytes(type);
    for (size_t i = 0, some; i < count; i += some) {
        some = count - i < most ? count - i : most;
        n->backend->download(n->backend, n->host, elem_at(buffer, i, type), some * elem_bytes(type));
        if (!all_finite(n->host, type, some)) return false;
    }
    return true;
}

void net_tokens(struct net *n, struct slot *s, const int *token, const int *target) {
    size_t bytes = (size_t)n->tokens * sizeof(int);
    if (s->token && token) n->backend->upload(n->backend, s->token, token, bytes);
    if (s->target && target) n->backend->upload(n->backend, s->target, target, bytes);
}

void net_begins(struct net *n, struct slot *s, const int *begin) {
    n->backend->upload(n->backend, s->begin, begin, (size_t)n->tokens * sizeof(int));
}

/* ---- passes ---- */

/* The weights of a layer's tensor, NULL if the model lacks it. */
static void *weight(const struct net *n, const struct layer *l, int t) {
    return l->param[t].n ? elem_at(n->weight, l->param[t].offset, n->backend->elem) : NULL;
}
static void *grad(const struct net *n, const struct layer *l, int t) {
    return l->param[t].n ? elem_at(n->grad, l->param[t].offset, n->backend->acc) : NULL;
}

/* Sums an [N][H] over the ranks of the replica. */
static void replica_sum(struct net *n, void *x) {
    if (!n->group) return;
    enum phase before = clock_enter(n->clock, PHASE_TENSOR);
    n->comm->sum(n->comm, n->group, x, (size_t)n->tokens * (size_t)n->arch->hidden, n->backend->elem);
    clock_enter(n->clock, before);
}

static void embedding_forward(struct net *n, const struct layer *l, const struct slot *s, void *out) {
    struct backend *b = n->backend;
    const struct arch *a = n->arch;
    const struct part *rows = &l->param[EMBEDDING_TOKENS].part;
    /* one rank adds the positions: they are not split */
    void *positions = n->tp_rank == 0 ? weight(n, l, EMBEDDING_POSITIONS) : NULL;
    if (positions) positions = elem_at(positions, (size_t)a->position_first * (size_t)a->hidden, b->elem);
    b->embed(b, out, weight(n, l, EMBEDDING_TOKENS), n->apart ? NULL : positions, s->token, (int)rows->first,
             (int)rows->rows, n->tokens, a->sequence, a->hidden);
    if (n->apart && positions) b->place(b, out, positions, s->begin, n->tokens, a->sequence, a->hidden);
    replica_sum(n, out);
}

static void embedding_backward(struct net *n, const struct layer *l, const struct slot *s, const void *dy) {
    struct backend *b = n->backend;
    const struct arch *a = n->arch;
    const struct part *rows = &l->param[EMBEDDING_TOKENS].part;
    void *positions = grad(n, l, EMBEDDING_POSITIONS);
    if (positions) positions = elem_at(positions, (size_t)a->position_first * (size_t)a->hidden, b->acc);
    b->embed_back(b, grad(n, l, EMBEDDING_TOKENS), n->apart ? NULL : positions, dy, s->token,
                  (int)rows->first, (int)rows->rows, n->tokens, a->sequence, a->hidden);
    if (n->apart && positions) b->place_back(b, positions, dy, s->begin, n->tokens, a->sequence, a->hidden);
}

/* Turns the queries and keys in q and kv by their positions; or their gradients back. */
static void turn(struct net *n, void *q, void *kv, bool back) {
    struct backend *b = n->backend;
    struct attention a = attention_of(n, 1);
    struct net_widths w = net_widths(n);
    int L = a.length, d = a.size;
    if (!n->turns) return;
    b->rotate(b, q, n->turns, n->tokens, L, a.heads, d, (int)w.q, kv ? d : 3 * d, back);
    if (kv)
        b->rotate(b, kv, n->turns, n->tokens, L, a.kv_heads, d, (int)w.kv, 2 * d, back);
    else
        b->rotate(b, elem_at(q, (size_t)d, b->elem), n->turns, n->tokens, L, a.heads, d, (int)w.q, 3 * d,
                  back);
}

/* The indices of the query and key/value tensors, or of the one that holds both. */
static int query(const struct net *n) { return arch_grouped(n->arch) ? BLOCK_Q : BLOCK_QKV; }

static void block_attention(struct net *n, const struct layer *l, const struct slot *s, struct kept *k) {
    struct attention a = attention_of(n, l->index);
    a.begin = s->begin;
    n->backend->attention(n->backend, k->attention, k->saved, n->attention_work, k->q, k->kv, a);
}

/* All that is kept: x2 = x + out(attention(qkv(norm1(x)))), and fc1(norm2(x2)). */
static void block_begin(struct net *n, const struct layer *l, const struct slot *s, struct kept *k) {
    struct backend *b = n->backend;
    struct net_widths w = net_widths(n);
    int N = n->tokens, H = n->arch->hidden, q = query(n);
    double epsilon = n->arch->norm_epsilon;
    b->norm(b, k->norm1, k->mean1, k->rstd1, k->x, weight(n, l, BLOCK_NORM1_GAIN),
            weight(n, l, BLOCK_NORM1_BIAS), N, H, epsilon);
    b->linear(b, k->q, k->norm1, weight(n, l, q), weight(n, l, q + 1), N, H, (int)w.q, false);
    if (k->kv)
        b->linear(b, k->kv, k->norm1, weight(n, l, BLOCK_KV), weight(n, l, BLOCK_KV_BIAS), N, H, (int)w.kv,
                  false);
    turn(n, k->q, k->kv, false);
    block_attention(n, l, s, k);
    b->linear(b, k->x2, k->attention, weight(n, l, BLOCK_OUT), NULL, N, (int)w.attention, H, true);
    replica_sum(n, k->x2);
    b->residual(b, k->x2, k->x, k->x2, weight(n, l, BLOCK_OUT_BIAS), N, H);
    b->norm(b, k->norm2, k->mean2, k->rstd2, k->x2, weight(n, l, BLOCK_NORM2_GAIN),
            weight(n, l, BLOCK_NORM2_BIAS), N, H, epsilon);
    b->linear(b, k->fc1, k->norm2, weight(n, l, BLOCK_FC1), weight(n, l, BLOCK_FC1_BIAS), N, H, (int)w.fc1,
              false);
}

/* y = x2 + fc2(f(fc1(norm2(x2)))) */
static void block_forward(struct net *n, const struct layer *l, const struct slot *s, struct kept *k,
                          void *y) {
    struct backend *b = n->backend;
    struct net_widths w = net_widths(n);
    int N = n->tokens, H = n->arch->hidden;
    block_begin(n, l, s, k);
    b->activate(b, n->fc2_in, k->fc1, n->arch->activation, (size_t)N * w.gated);
    b->linear(b, y, n->fc2_in, weight(n, l, BLOCK_FC2), NULL, N, (int)w.gated, H, true);
    replica_sum(n, y);
    b->residual(b, y, k->x2, y, weight(n, l, BLOCK_FC2_BIAS), N, H);
}

/* Sets n->dnorm to the gradient of norm1's output, from those of query, key and value. */
static void projections_backward(struct net *n, const struct layer *l, const struct kept *k) {
    struct backend *b = n->backend;
    struct net_widths w = net_widths(n);
    int N = n->tokens, H = n->arch->hidden, q = query(n);
    b->linear_back(b, n->dnorm, grad(n, l, q), grad(n, l, q + 1), n->dq, k->norm1, weight(n, l, q), N, H,
                   (int)w.q, false);
    if (!k->kv) return;
    b->linear_back(b, n->dnorm_kv, grad(n, l, BLOCK_KV), grad(n, l, BLOCK_KV_BIAS), n->dkv, k->norm1,
                   weight(n, l, BLOCK_KV), N, H, (int)w.kv, false);
    b->residual(b, n->dnorm, n->dnorm_kv, n->dnorm, NULL, N, H);
}

/* dy is the gradient of the block's output, and of its input when this returns. */
static void block_backward(struct net *n, const struct layer *l, const struct slot *s, struct kept *k,
                           void *dy) {
    struct backend *b = n->backend;
    if (n->recompute == RECOMPUTE_FULL) block_begin(n, l, s, k);
    if (n->recompute == RECOMPUTE_SELECTIVE) block_attention(n, l, s, k);
    struct net_widths w = net_widths(n);
    int N = n->tokens, H = n->arch->hidden, F = (int)w.gated;
    void *dgated = n->dgated ? n->dgated : n->dfc;
    /* f(fc1) was not kept. It is computed along with the derivative, and the gradient of fc2's weights needs
     * it: hence the backward pass of fc2 in two halves. */
    b->linear_back(b, dgated, NULL, NULL, dy, NULL, weight(n, l, BLOCK_FC2), N, F, H, true);
    b->activate_back(b, n->dfc, n->fc2_in, dgated, k->fc1, n->arch->activation, (size_t)N * w.gated);
    b->linear_back(b, NULL, grad(n, l, BLOCK_FC2), grad(n, l, BLOCK_FC2_BIAS), dy, n->fc2_in, NULL, N, F, H,
                   true);
    b->linear_back(b, n->dnorm, grad(n, l, BLOCK_FC1), grad(n, l, BLOCK_FC1_BIAS), n->dfc, k->norm2,
                   weight(n, l, BLOCK_FC1), N, H, (int)w.fc1, false);
    replica_sum(n, n->dnorm);
    b->norm_back(b, dy, grad(n, l, BLOCK_NORM2_GAIN), grad(n, l, BLOCK_NORM2_BIAS), n->dnorm, k->x2,
                 weight(n, l, BLOCK_NORM2_GAIN), k->mean2, k->rstd2, N, H);
    b->linear_back(b, n->dattention, grad(n, l, BLOCK_OUT), grad(n, l, BLOCK_OUT_BIAS), dy, k->attention,
                   weight(n, l, BLOCK_OUT), N, (int)w.attention, H, true);
    b->attention_back(b, n->dq, n->dkv, n->dattention, k->attention, k->saved, n->attention_work, k->q, k->kv,
                      attention_of(n, l->index));
    turn(n, n->dq, n->dkv, true);
    projections_backward(n, l, k);
    replica_sum(n, n->dnorm);
    b->norm_back(b, dy, grad(n, l, BLOCK_NORM1_GAIN), grad(n, l, BLOCK_NORM1_BIAS), n->dnorm, k->x,
                 weight(n, l, BLOCK_NORM1_GAIN), k->mean1, k->rstd1, N, H);
}

static void head_forward(struct net *n, const struct layer *l, struct kept *k) {
    struct backend *b = n->backend;
    int N = n->tokens, H = n->arch->hidden;
    b->norm(b, k->norm1, k->mean1, k->rstd1, k->x, weight(n, l, HEAD_NORM_GAIN), weight(n, l, HEAD_NORM_BIAS),
            N, H, n->arch->norm_epsilon);
    b->linear(b, k->logits, k->norm1, weight(n, l, HEAD_MATRIX), NULL, N, H,
              (int)l->param[HEAD_MATRIX].part.room, false);
}

static void head_backward(struct net *n, const struct layer *l, const struct kept *k, void *dy) {
    struct backend *b = n->backend;
    int N = n->tokens, H = n->arch->hidden;
    b->linear_back(b, n->dnorm, grad(n, l, HEAD_MATRIX), NULL, k->logits, k->norm1, weight(n, l, HEAD_MATRIX),
                   N, H, (int)l->param[HEAD_MATRIX].part.room, false);
    replica_sum(n, n->dnorm);
    b->zero(b, dy, (size_t)N * (size_t)H * elem_bytes(b->elem));
    b->norm_back(b, dy, grad(n, l, HEAD_NORM_GAIN), grad(n, l, HEAD_NORM_BIAS), n->dnorm, k->x,
                 weight(n, l, HEAD_NORM_GAIN), k->mean1, k->rstd1, N, H);
}

void net_loss(struct net *n, struct slot *s, int valid, double weight_of_token) {
    struct backend *b = n->backend;
    const struct layer *l = &n->layer[n->end - n->first - 1];
    const struct part *rows = &l->param[HEAD_MATRIX].part;
    void *logits = s->kept[n->end - n->first - 1].logits, *sums = elem_at(n->sums, (size_t)n->tokens, b->acc);
    int N = n->tokens, first = (int)rows->first, here = (int)rows->rows, room = (int)rows->room;
    b->loss_max(b, n->sums, logits, N, here, room);
    if (n->group) {
        enum phase before = clock_enter(n->clock, PHASE_TENSOR);
        n->comm->max(n->comm, n->group, n->sums, (size_t)N, b->acc);
        clock_enter(n->clock, before);
    }
    b->loss_sums(b, sums, logits, n->sums, s->target, first, N, here, room);
    if (n->group) {
        enum phase before = clock_enter(n->clock, PHASE_TENSOR);
        n->comm->sum(n->comm, n->group, sums, 2 * (size_t)N, b->acc);
        clock_enter(n->clock, before);
    }
    b->loss_back(b, n->loss, logits, sums, s->target, first, N, valid, here, room, weight_of_token);
}

/* Where layer i puts its output: the input of the next one, or what is sent. */
static void *output_of(const struct net *n, const struct slot *s, int i) {
    return i + 1 < n->end - n->first ? s->kept[i + 1].x : s->out;
}

void net_forward_layer(struct net *n, struct slot *s, int i) {
    const struct layer *l = &n->layer[i];
    if (l->kind == LAYER_EMBEDDING) embedding_forward(n, l, s, output_of(n, s, i));
    if (l->kind == LAYER_BLOCK) block_forward(n, l, s, &s->kept[i], output_of(n, s, i));
    if (l->kind == LAYER_HEAD) head_forward(n, l, &s->kept[i]);
    if (l->kind == LAYER_NOTHING)
        n->backend->copy(n->backend, output_of(n, s, i), s->kept[i].x,
                         activation(n) * elem_bytes(n->backend->elem));
}

void net_forward(struct net *n, struct slot *s) {
    for (int i = 0; i < n->end - n->first; i++) net_forward_layer(n, s, i);
}

void net_backward_layer(struct net *n, struct slot *s, int i, void *dy) {
    const struct layer *l = &n->layer[i];
    if (l->kind == LAYER_EMBEDDING) embedding_backward(n, l, s, dy);
    if (l->kind == LAYER_BLOCK) block_backward(n, l, s, &s->kept[i], dy);
    if (l->kind == LAYER_HEAD) head_backward(n, l, &s->kept[i], dy);
}

/* Elements of the flat buffers. */
struct range {
    size_t from, end;
};

static struct range range_of(const struct net *n, int i) {
    const struct layer *l = &n->layer[i];
    struct range r = {n->params, 0};
    for (int t = 0; t < arch_tensors(l->kind); t++) {
        const struct param *p = &l->param[t];
        if (p->again || !p->n) continue;
        if (p->offset < r.from) r.from = p->offset;
        if (p->offset + p->n > r.end) r.end = p->offset + p->n;
    }
    return r.from < r.end ? r : (struct range){0, 0};
}

static void update(struct net *n, struct range r, struct adam_options o, long step) {
    struct backend *b = n->backend;
    struct adamw a = {o.rate,
                      o.beta1,
                      o.beta2,
                      o.epsilon,
                      0,
                      1 - pow(o.beta1, (double)step),
                      1 - pow(o.beta2, (double)step),
                      o.shrink > 0 ? o.shrink : 1};
    b->find_bad(b, elem_at(n->loss, 1, b->acc), elem_at(n->grad, r.from, b->acc), r.end - r.from);
    for (int i = 0; i < n->n_owned; i++) {
        const struct owned *w = &n->owned[i];
        size_t from = w->offset > r.from ? w->offset : r.from;
        size_t end = w->offset + w->n < r.end ? w->offset + w->n : r.end, at = w->at + (from - w->offset);
        if (from >= end) continue;
        a.decay = w->decay ? o.decay : 0;
        b->adamw(b, elem_at(n->weight, from, b->elem), n->master ? elem_at(n->master, at, b->acc) : NULL,
                 elem_at(n->grad, from, b->acc), elem_at(n->adam_m, at, b->acc),
                 elem_at(n->adam_v, at, b->acc), end - from, a);
    }
}

void net_update(struct net *n, struct adam_options o, long step) {
    update(n, (struct range){0, n->params}, o, step);
}

void net_update_layer(struct net *n, int i, struct adam_options o, long step) {
    update(n, range_of(n, i), o, step);
}

void net_zero_layer(struct net *n, int i) {
    struct backend *b = n->backend;
    struct range r = range_of(n, i);
    b->zero(b, elem_at(n->grad, r.from, b->acc), (r.end - r.from) * elem_bytes(b->acc));
}
