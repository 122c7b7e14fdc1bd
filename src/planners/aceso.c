#include "io/json.h"
#include "planners/planner.h"
#include "io/file.h"

#include <string.h>
#include <unistd.h>

/* Aceso: one GPU type in one zone; a model is a row of operators. For every number of stages a search of its
 * own goes from plan to plan: it takes the slowest stage (or the fullest, while memory is short), tries what
 * relieves it, and follows what it finds for a few steps.
 *
 * Faithful: stages are ranges of operators; the estimator knows neither gradient all-reduce nor update, and
 * its memory holds what the allocator reserved and dropout's masks. Corrected: stages are ranges of layers
 * with one degree of data parallelism, so that a plan is what it says; all-reduce and update count; memory
 * has all states of a parameter and no dropout, which the trainer does not run. */

enum {
    BATCHES = 4, /* microbatches 1, 2, 4, 8: index log2 */
    STAGES_MAX = 128,
    LINK_SIZES = 11, /* transfers of 1, 2, 4, ... 1024 MiB */
    MAX_LEVELS = 14, /* of the range maxima: 2^13 operators */
    OPS_LISTED_MAX = 64,
    OPS_MAX = 1 << (MAX_LEVELS - 1),
};
static const double MiB = 1 << 20;

/* ---- inputs ---- */

enum column { FORWARD, BACKWARD, INPUT, OUTPUT, WEIGHTS, ACTIVATIONS, FWD_RESERVED, BWD_RESERVED, COLUMNS };

/* Operators of one GPU type as listed: those of a block once. */
struct ops {
    int n_listed, block, block_end, n_block;      /* [block, block_end) stands n_block times */
    const char **name;                            /* [n_listed] */
    const double *column[BATCHES][TP_N][COLUMNS]; /* [n_listed] us, MiB; NULL = not measured */
    const double *intra_GBps;                     /* [LINK_SIZES]; NULL = not measured */
};

struct aceso {
    const struct ops *gpu[GPUS_MAX]; /* NULL: no profile at all */
};

static int read_profile(const struct json_at *at, struct ops *o, struct arena *a, struct err *e) {
    static const char *const keys[] = {"micro_batch_size",
                                       "tp",
                                       "forward_us",
                                       "backward_us",
                                       "input_MiB",
                                       "output_MiB",
                                       "weights_MiB",
                                       "activations_MiB",
                                       "forward_reserved_MiB",
                                       "backward_reserved_MiB",
                                       NULL};
    struct json_at mb = json_member(at, "micro_batch_size"), tp = json_member(at, "tp");
    int b, t;
    if (json_object(at, keys, e) || json_int(&mb, 1, 8, &b, e) || json_int(&tp, 1, TP_MAX, &t, e)) return -1;
    if (tp_index(b) < 0 || tp_index(t) < 0)
        return json_fail(at, e, "microbatch %d, tp %d; expected 1, 2, 4 or 8", b, t);
    const double **column = o->column[tp_index(b)][tp_index(t)];
    if (*column) return json_fail(at, e, "microbatch %d at tp %d appears twice; expected it once", b, t);
    for (int c = 0; c < COLUMNS; c++) {
        struct json_at here = json_member(at, keys[2 + c]);
        if (!(column[c] = json_reals(&here, o->n_listed, 0, 1e12, a, e))) return -1;
    }
    return 0;
}

static int read_ops(const struct json_at *at, const struct workload *w, int gpu, struct ops *o,
                    struct arena *a, struct err *e) {
    static const char *const keys[] = {"format",    "model", "gpu",      "intra_node_GBps",
                                       "operators", "block", "profiles", NULL};
    struct json_at model = json_member(at, "model"), type = json_member(at, "gpu"),
                   intra = json_member(at, "intra_node_GBps"), names = json_member(at, "operators"),
                   block = json_member(at, "block"), list = json_member(at, "profiles");
    int n, i = 0, chosen;
    if (json_object(at, keys, e) || json_format(at, "sailor-aceso/1", e)) return -1;
    if (json_name(&model, &w->model->name, 1, "the model asked for", &chosen, e)) return -1;
    if (json_name(&type, &w->site->gpu[gpu].name, 1, "the name of the file", &chosen, e)) return -1;
    if (!(o->intra_GBps = json_reals(&intra, LINK_SIZES, 0, 1e12, a, e))) return -1;
    for (int k = 0; k < LINK_SIZES; k++)
        if (o->intra_GBps[k] <= 0) return json_fail(&intra, e, "a speed of 0; expected speeds above");
    if (json_array(&names, 3, OPS_LISTED_MAX, &o->n_listed, e)) return -1;
    o->name = ARENA_ARRAY(a, const char *, o->n_listed);
    for (const cJSON *x = names.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&names, i, x);
        if (json_string(&here, &o->name[i], a, e)) return -1;
    }
    if (json_array(&block, 2, 2, &n, e)) return -1;
    struct json_at from = json_element(&block, 0, block.node->child),
                   to = json_element(&block, 1, block.node->child->next);
    if (json_int(&from, 1, o->n_listed - 2, &o->block, e)) return -1;
    if (json_int(&to, o->block + 1, o->n_listed - 1, &o->block_end, e)) return -1;
    o->n_block = w->model->n_block;
    if (w->model->n_layer != o->n_block + 2 ||
        o->n_listed + (o->n_block - 1) * (o->block_end - o->block) > OPS_MAX)
        return json_fail(at, e, "does not fit a model of %d layers and %d blocks", w->model->n_layer,
                         o->n_block);
    if (json_array(&list, 1, BATCHES * TP_N, &n, e)) return -1;
    i = 0;
    for (const cJSON *x = list.node->child; x; x = x->next, i++) {
        struct json_at here = json_element(&list, i, x);
        if (read_profile(&here, o, a, e)) return -1;
    }
    return 0;
}

/* Without operator profiles a layer of the common profile is an operator. */
static const struct ops *layers_as_ops(const struct workload *w, int gpu, struct arena *a) {
    const struct model *m = w->model;
    struct ops *o = ARENA_NEW(a, struct ops);
    *o = (struct ops){.n_listed = m->n_layer,
                      .block = 1,
                      .block_end = 1,
                      .n_block = 0,
                      .name = ARENA_ARRAY(a, const char *, m->n_layer)};
    for (int l = 0; l < m->n_layer; l++) o->name[l] = "layer";
    for (int bi = 0; bi < BATCHES; bi++)
        for (int ti = 0; ti < TP_N; ti++) {
            const struct layer_times *t = profile_times(w->profile[gpu], 1 << bi, 1 << ti);
            if (!t || !m->params[ti] || !m->act_mem[ti]) continue;
            double *column[COLUMNS], unit = w->element_bytes / MiB;
            for (int c = 0; c < COLUMNS; c++)
                o->column[bi][ti][c] = column[c] = ARENA_ARRAY(a, double, m->n_layer);
            for (int l = 0; l < m->n_layer; l++) {
                column[FORWARD][l] = t->fwd_s[l] * 1e6;
                column[BACKWARD][l] = t->bwd_s[l] * 1e6;
                column[WEIGHTS][l] = m->params[ti][l] * unit;
                column[ACTIVATIONS][l] = m->act_mem[ti][l] * unit * (1 << bi);
                if (l) column[INPUT][l] = column[OUTPUT][l - 1] = m->act_out[l - 1] * unit * (1 << bi);
            }
        }
    return o;
}

static int load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                struct err *e) {
    struct aceso *x = ARENA_NEW(a, struct aceso);
    for (int g = 0; g < w->site->n_gpu; g++) {
        const char *path =
            arena_printf(a, "%s/planners/aceso/%s/%s.json", inputs, w->model->name, w->site->gpu[g].name);
        if (access(path, F_OK)) {
            if (w->profile[g]) x->gpu[g] = layers_as_ops(w, g, a);
            continue;
        }
        size_t size;
        struct ops *o = ARENA_NEW(a, struct ops);
        char *text = file_read_text(path, &size, a, e);
        cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
        struct json_at root = json_root(path, tree);
        int rc = tree ? read_ops(&root, w, g, o, a, e) : -1;
        cJSON_Delete(tree);
        if (rc) return -1;
        x->gpu[g] = o;
    }
    *extra = x;
    return 0;
}

/* ---- what a stage costs ---- */

/* Units are what borders lie between: operators, or layers in corrected mode. */
struct table {
    const double *time_us, *weights_MiB, *kept_MiB, *judged_MiB; /* [n + 1] sums of the units before */
    const double *in_MiB, *out_MiB, *in_us[2], *out_us[2]; /* [n] on links inside a node, between nodes */
    const double *fwd_reserved[MAX_LEVELS],
        *bwd_reserved[MAX_LEVELS]; /* [k][u]: maximum of 2^k units from u on */
    double update_us;
};

struct costs {
    int n, n_layer;                           /* units, layers */
    const int *layer;                         /* [n_layer + 1] first unit of a layer */
    const struct table *table[BATCHES][TP_N]; /* NULL = not measured */
    const struct link *link[TP_N];            /* between nodes, by degree */
    double memory_per_weight;                 /* bytes held per byte of weights */
    bool corrected;
};

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

/* The operator listed that stands at place i of the model. */
static int listed(const struct ops *o, int i) {
    int len = o->block_end - o->block, in_blocks = len * o->n_block;
    return i < o->block               ? i
           : i < o->block + in_blocks ? o->block + (i - o->block) % len
                                      : i - in_blocks + len;
}

static struct table *make_table(const struct ops *o, const double *const column[COLUMNS], const int *first,
                                int n, const double *const GBps[2], bool corrected, struct arena *a) {
    struct table *t = ARENA_NEW(a, struct table);
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
        end[0][u] = column[INPUT][listed(o, first[u])],
        end[1][u] = column[OUTPUT][listed(o, first[u + 1] - 1)];
        for (int k = 0; k < 4; k++) us[k / 2][k % 2][u] = transfer_us(end[k / 2][u], GBps[k % 2], corrected);
    }
    *t = (struct table){.time_us = sum[0],
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

static int make_costs(const struct workload *w, const struct aceso *x, int zone, int gpu, bool corrected,
                      struct costs *c, struct arena *a, struct err *e) {
    const struct ops *o = x->gpu[gpu];
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
    *c = (struct costs){.n = corrected ? L : n_op,
                        .n_layer = L,
                        .corrected = corrected,
                        .memory_per_weight = corrected ? w->state_bytes_per_param / w->element_bytes : 4};
    for (int u = 0; u <= c->n; u++) first[u] = corrected ? layer[u] : u;
    for (int l = 0; corrected && l <= L; l++) layer[l] = l;
    c->layer = layer;
    for (int ti = 0; ti < TP_N; ti++) {
        c->link[ti] = site_link(s, zone, gpu, 1 << ti, zone, gpu, 1 << ti);
        for (int bi = 0; bi < BATCHES; bi++) {
            if (!o->column[bi][ti][0]) continue;
            const struct layer_times *common = profile_times(w->profile[gpu], 1 << bi, 1 << ti);
            struct table *t = make_table(o, o->column[bi][ti], first, c->n, GBps, corrected, a);
            t->update_us = common ? common->update_s[0] * 1e6 : 0;
            c->table[bi][ti] = t;
        }
    }
    return 0;
}

/* Where a stage is: units [first, end), this many stages behind it, whether its neighbours are on other
 * nodes. */
struct place {
    int first, end, behind;
    bool from_node, to_node;
};

struct cost {
    double time_us, memory_MiB; /* of one microbatch; INFINITY where not measured */
};

static struct cost stage_cost(const struct costs *c, const struct place *p, int bi, int ti) {
    const struct table *t = bi >= 0 && bi < BATCHES ? c->table[bi][ti] : NULL;
    if (!t) return (struct cost){INFINITY, INFINITY};
    double weights = t->weights_MiB[p->end] - t->weights_MiB[p->first];
    double kept = t->in_MiB[p->first] + t->kept_MiB[p->end] - t->kept_MiB[p->first];
    double reserved =
        range_max(t->fwd_reserved, p->first, p->end - 1) + range_max(t->bwd_reserved, p->first, p->end - 1);
    return (struct cost){t->time_us[p->end] - t->time_us[p->first] + t->in_us[p->from_node][p->first] +
                             t->out_us[p->to_node][p->end - 1],
                         c->memory_per_weight * weights + kept * (p->behind + 1) +
                             (c->corrected ? 0 : fmax(reserved, weights))};
}

/* Corrected: what the original leaves out of an iteration, gradient all-reduce and update of a stage. */
static double sync_us(const struct costs *c, const struct place *p, int bi, int ti, int dp) {
    const struct table *t = c->table[bi][ti];
    if (!c->corrected || !c->link[ti]) return 0;
    double bytes = (t->weights_MiB[p->end] - t->weights_MiB[p->first]) * MiB;
    return allreduce_time_s(c->link[ti], bytes, dp, ESTIMATOR_NATIVE) * 1e6 + t->update_us;
}

/* ---- the search ---- */

enum {
    HOPS = 7,
    TRIALS = 100,
    OPENED_MAX = 5,
    MOVES = 5,
    LISTED_MAX = 5,
    KEPT_MAX = 4096,
    GROUP_MAX = 9,
    DEFAULT_STATES = 10000
};

struct config {
    int S, mb_log; /* mb: microbatch of all replicas together */
    uint16_t border[STAGES_MAX + 1];
    uint8_t dp[STAGES_MAX], tp[STAGES_MAX]; /* log2; a stage has 2^(dp + tp) GPUs */
};

struct state {
    struct config c;
    double time_us, peak_MiB;
    bool fits;
    struct cost stage[STAGES_MAX];
};

struct kept {
    struct config c;
    double time_us;
    int opened;
};

struct search {
    const struct question *q;
    const struct costs *costs;
    int gpus, per_node, max_tp; /* max_tp: log2 */
    double limit_MiB;
    long left, states;
    bool stopped;
    struct state best, seen;         /* of all trials, of this one */
    struct state (*cand)[GROUP_MAX]; /* [HOPS] */
    struct kept *pool, *explored;    /* [KEPT_MAX] */
    int n_pool, n_explored;
    uint64_t *known; /* hashes of states visited and, with the lowest bit, pooled */
    uint64_t mask;
    uint64_t n_known;
};

static int gpus_log(const struct config *c, int i) { return c->dp[i] + c->tp[i]; }

static struct place place_of(const struct search *s, const struct config *c, int i, int gpu) {
    return (struct place){c->border[i], c->border[i + 1], c->S - 1 - i, gpu > 0 && gpu % s->per_node == 0,
                          (gpu + (1 << gpus_log(c, i))) % s->per_node == 0};
}

static int first_gpu(const struct config *c, int i) {
    int gpu = 0;
    for (int k = 0; k < i; k++) gpu += 1 << gpus_log(c, k);
    return gpu;
}

static double rounds(const struct search *s, const struct config *c) {
    int mb = 1 << c->mb_log, B = s->q->w->global_batch_size;
    return s->costs->corrected ? (B + mb - 1) / mb : B / mb;
}

static void evaluate(struct search *s, struct state *x) {
    const struct config *c = &x->c;
    double slowest = 0, sum = 0, sync = 0;
    /* Corrected: one dp; and no stage of the head alone, whose logits the common simulator sends backwards.
     */
    bool sound = !s->costs->corrected || c->border[c->S - 1] < s->costs->n - 1;
    x->peak_MiB = 0;
    for (int i = 0, gpu = 0; i < c->S; gpu += 1 << gpus_log(c, i), i++) {
        struct place p = place_of(s, c, i, gpu);
        int bi = c->mb_log - c->dp[i];
        struct cost v = x->stage[i] = stage_cost(s->costs, &p, bi, c->tp[i]);
        slowest = fmax(slowest, v.time_us);
        sum += v.time_us;
        x->peak_MiB = fmax(x->peak_MiB, v.memory_MiB);
        if (s->costs->corrected && v.time_us < INFINITY)
            sync = fmax(sync, sync_us(s->costs, &p, bi, c->tp[i], 1 << c->dp[i]));
        sound = sound && (!s->costs->corrected || c->dp[i] == c->dp[0]);
    }
    x->time_us = sum < INFINITY ? slowest * (rounds(s, c) - 1) + sum + sync : INFINITY;
    x->fits = x->peak_MiB < s->limit_MiB && sound;
    s->states++;
    s->left--;
}

/* What fits before what does not; then time, or memory. */
static bool better(const struct state *x, const struct state *y) {
    if (x->fits != y->fits) return x->fits;
    return x->fits ? x->time_us < y->time_us : x->peak_MiB < y->peak_MiB;
}

static uint64_t hash_of(const struct config *c) {
    uint64_t h = 0x9e3779b97f4a7c15u + (uint64_t)c->mb_log;
    for (int i = 0; i < c->S; i++) {
        h ^= (uint64_t)c->border[i] << 16 | (uint64_t)c->dp[i] << 8 | c->tp[i];
        h *= 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (h & ~(uint64_t)1) + 2;
}

/* Was it there? Puts it there. A full table forgets: some states are then looked at twice. */
static bool known(struct search *s, uint64_t h, bool put) {
    uint64_t i = h >> 1 & s->mask;
    while (s->known[i] && s->known[i] != h) i = (i + 1) & s->mask;
    if (s->known[i] == h) return true;
    if (put && s->n_known < s->mask - s->mask / 4) s->known[i] = h, s->n_known++;
    return false;
}

static bool visited(struct search *s, const struct config *c, bool put) { return known(s, hash_of(c), put); }

static void keep(struct kept *list, int *n, const struct state *x) {
    if (*n < KEPT_MAX) list[(*n)++] = (struct kept){.c = x->c, .time_us = x->time_us};
}

static bool short_of_memory(const struct search *s, const struct state *x) {
    return !(x->peak_MiB < s->limit_MiB);
}

static int bottleneck(const struct search *s, const struct state *x, const bool *tried) {
    bool oom = short_of_memory(s, x);
    int b = -1;
    for (int i = 0; i < x->c.S; i++) {
        if (tried && tried[i]) continue;
        if (b < 0 || (oom ? x->stage[i].memory_MiB > x->stage[b].memory_MiB
                          : x->stage[i].time_us > x->stage[b].time_us))
            b = i;
    }
    return b;
}

/* The time that the stage's work would take on its GPUs at tp 1, transfers included: GPUs * us. */
static double ideal_us(const struct search *s, const struct config *c, int i) {
    struct place p = place_of(s, c, i, first_gpu(c, i));
    double us = stage_cost(s->costs, &p, c->mb_log, 0).time_us;
    return us < INFINITY ? us : 0;
}

/* ---- actions: each makes a new state of x, not evaluated yet, or says that it is not possible ---- */

enum action { MOVE_OPS, MORE_DP, MORE_TP, LESS_DP, LESS_TP, MORE_MB, LESS_MB, ACTIONS };
static const struct {
    signed char time, memory, comm; /* what it does to them */
} effect[ACTIONS] = {
    [MOVE_OPS] = {-1, -1, 0}, [MORE_DP] = {-1, -1, 1}, [MORE_TP] = {-1, -1, 1}, [LESS_DP] = {1, 1, -1},
    [LESS_TP] = {1, 1, -1},   [MORE_MB] = {-1, 1, 0},  [LESS_MB] = {1, -1, 0}};

/* The stage that has the most room for other stages' work. */
static int partner_of(const struct search *s, const struct state *x, int b) {
    bool oom = short_of_memory(s, x);
    double n = rounds(s, &x->c) - 1, sum = 0, worst = 0, most = -INFINITY;
    int best = -1;
    for (int i = 0; i < x->c.S; i++) sum += x->stage[i].time_us, worst = fmax(worst, x->stage[i].time_us);
    for (int i = 0; i < x->c.S; i++) {
        const struct cost *v = &x->stage[i];
        if (i == b) continue;
        double own = v->time_us * n + sum, gap = worst * n + sum - own,
               room = (s->limit_MiB / v->memory_MiB - 1) * own;
        double idle = room > gap ? gap : (room + gap) / 2;
        double score = oom ? -v->memory_MiB : idle * ideal_us(s, &x->c, i) / v->time_us;
        if (score > most) most = score, best = i;
    }
    return best;
}

/* Passes work from stage to stage, from b on towards `to`, until each stage but the last is below the goal.
 */
static bool pass_on(const struct search *s, struct config *c, int b, int to, bool oom, double goal) {
    int step = to > b ? 1 : -1;
    for (int i = b;; i += step) {
        struct place p = place_of(s, c, i, first_gpu(c, i));
        for (;; step > 0 ? p.end-- : p.first++) {
            if (p.first == p.end) return false;
            struct cost v = stage_cost(s->costs, &p, c->mb_log - c->dp[i], c->tp[i]);
            if ((oom ? v.memory_MiB : v.time_us) < goal) break;
            if (i == to) return false;
        }
        c->border[i] = (uint16_t)p.first;
        c->border[i + 1] = (uint16_t)p.end;
        if (i == to) return true;
    }
}

static bool move_ops(struct search *s, const struct state *x, int b, double share, struct state *out) {
    *out = *x;
    for (int k = 0; k < MOVES; k++) {
        bool oom = short_of_memory(s, out);
        int to = partner_of(s, out, b);
        struct state next;
        if (to < 0) return k > 0;
        double worst = out->stage[b].time_us,
               goal = oom ? s->limit_MiB : worst - share * (worst - out->stage[to].time_us);
        next.c = out->c;
        if (!pass_on(s, &next.c, b, to, oom, goal)) return k > 0;
        evaluate(s, &next);
        *out = next;
        b = bottleneck(s, out, NULL);
    }
    return true;
}

static bool change(struct config *c, int i, int dp, int tp, const struct search *s) {
    int d = c->dp[i] + dp, t = c->tp[i] + tp, bi = c->mb_log - d;
    if (d < 0 || t < 0 || t > s->max_tp || d + t > 3 || bi < 0 || bi >= BATCHES || !s->costs->table[bi][t])
        return false;
    c->dp[i] = (uint8_t)d;
    c->tp[i] = (uint8_t)t;
    return true;
}

/* All GPUs used, and no node shared out across a stage's border the wrong way: every node ends where a stage
 * ends. */
static bool placed_well(const struct search *s, const struct config *c) {
    int gpu = 0;
    for (int i = 0; i < c->S; i++) {
        int n = 1 << gpus_log(c, i);
        if (gpu / s->per_node != (gpu + n - 1) / s->per_node) return false;
        gpu += n;
    }
    return gpu == s->gpus;
}

/* Doubles or halves a stage in one dimension; the GPUs come from, or go to, the stages that are fastest after
 * it. */
static bool resize(const struct search *s, const struct state *x, int b, int dp, int tp, struct state *out) {
    struct config *c = &out->c;
    bool changed[STAGES_MAX] = {false};
    *c = x->c;
    int sign = dp + tp, before = 1 << gpus_log(c, b);
    if (!change(c, b, dp, tp, s)) return false;
    changed[b] = true;
    for (int open = sign > 0 ? before : before / 2; open > 0;) {
        struct config best;
        double least = INFINITY;
        int which = -1, moved = 0;
        for (int i = 0; i < c->S; i++)
            for (int dim = 0; dim < 2; dim++) {
                struct config y = *c;
                int n = 1 << gpus_log(c, i), delta = sign > 0 ? n / 2 : n;
                if (changed[i] || delta < 1 || delta > open ||
                    !change(&y, i, dim ? 0 : -sign, dim ? -sign : 0, s))
                    continue;
                struct place p = place_of(s, &y, i, first_gpu(&y, i));
                double us = stage_cost(s->costs, &p, y.mb_log - y.dp[i], y.tp[i]).time_us;
                if (us < least) least = us, best = y, which = i, moved = delta;
            }
        if (which < 0) return false;
        *c = best, changed[which] = true, open -= moved;
    }
    return placed_well(s, c);
}

/* Gives stage i the degrees that take least, its GPUs unchanged (dp < 0: any dp). INFINITY: there are none.
 */
static double pick_degrees(const struct search *s, struct config *c, int i, int dp, bool oom) {
    int n = gpus_log(c, i), gpu = first_gpu(c, i), chosen = -1;
    double least = INFINITY;
    for (int d = dp < 0 ? 0 : dp; d <= (dp < 0 ? n : dp) && d <= n; d++) {
        if (n - d > s->max_tp) continue;
        struct place p = place_of(s, c, i, gpu);
        struct cost v = stage_cost(s->costs, &p, c->mb_log - d, n - d);
        double score = v.time_us * (1 << n) + (oom ? 10 * v.memory_MiB : 0);
        if (score < least) least = score, chosen = d;
    }
    if (chosen >= 0) c->dp[i] = (uint8_t)chosen, c->tp[i] = (uint8_t)(n - chosen);
    return least;
}

static bool change_batch(const struct search *s, const struct state *x, int by, struct state *out) {
    struct config *c = &out->c;
    bool oom = short_of_memory(s, x);
    double least = INFINITY;
    int dp_end = s->costs->corrected ? BATCHES : 1;
    struct config best = *c = x->c;
    best.mb_log += by;
    if (best.mb_log < 0 || best.mb_log >= BATCHES || 1 << best.mb_log > s->q->w->global_batch_size)
        return false;
    for (int dp = 0; dp < dp_end; dp++) { /* corrected: one dp for all stages */
        struct config y = best;
        double sum = 0;
        for (int i = 0; i < y.S; i++) sum += pick_degrees(s, &y, i, s->costs->corrected ? dp : -1, oom);
        if (sum < least) least = sum, *c = y;
    }
    return least < INFINITY;
}

/* The states that an action leads to, evaluated. */
static int act(struct search *s, const struct state *x, int b, enum action what, struct state *out) {
    static const double share[] = {0.4, 0.2, 0}; /* of the way to the partner's time */
    int n = 0;
    if (what == MOVE_OPS) {
        for (int k = 0; k < (short_of_memory(s, x) ? 1 : 3); k++) n += move_ops(s, x, b, share[k], &out[n]);
        return n;
    }
    int sign = what == MORE_DP || what == MORE_TP || what == MORE_MB ? 1 : -1;
    bool dp = what == MORE_DP || what == LESS_DP, tp = what == MORE_TP || what == LESS_TP;
    bool done = dp || tp ? resize(s, x, b, dp ? sign : 0, tp ? sign : 0, out) : change_batch(s, x, sign, out);
    if (done) evaluate(s, out);
    return done;
}

/* ---- which actions in which order ---- */

struct policy {
    int n, len[5];
    enum action action[5][ACTIONS];
};

static void add_group(struct policy *p, unsigned *left, unsigned want) {
    want &= *left;
    if (!want) return;
    for (int k = 0; k < ACTIONS; k++)
        if (want >> k & 1) p->action[p->n][p->len[p->n]++] = (enum action)k;
    p->n++;
    *left &= ~want;
}

/* While memory is short: what relieves it. Else first what lowers that in which the bottleneck has the larger
 * share of all stages: work, or what is lost on top of it. */
static struct policy policy_of(const struct search *s, const struct state *x, int b) {
    struct policy p = {0};
    unsigned left = (1u << ACTIONS) - 1, less_time = 0, less_comm = 0, less_memory = 0, more_time = 0,
             more_comm = 0;
    double work = 0, loss = 0, own_work = 0, own_loss = 0;
    for (int k = 0; k < ACTIONS; k++) {
        less_time |= (unsigned)(effect[k].time < 0) << k;
        more_time |= (unsigned)(effect[k].time > 0) << k;
        less_comm |= (unsigned)(effect[k].comm < 0) << k;
        more_comm |= (unsigned)(effect[k].comm > 0) << k;
        less_memory |= (unsigned)(effect[k].memory < 0) << k;
    }
    if (short_of_memory(s, x)) return add_group(&p, &left, less_memory), p;
    const struct table *t = s->costs->table[x->c.mb_log][0];
    for (int i = 0; i < x->c.S; i++) {
        double ideal =
            t ? (t->time_us[x->c.border[i + 1]] - t->time_us[x->c.border[i]]) / (1 << gpus_log(&x->c, i)) : 0;
        double lost = x->stage[i].time_us - ideal;
        work += ideal;
        loss += lost;
        if (i == b) own_work = ideal, own_loss = lost;
    }
    bool work_first = own_work * loss >= own_loss * work;
    bool much_work = own_work * x->c.S > work, much_loss = own_loss * x->c.S > loss;
    for (int k = 0; k < 2; k++)
        if ((k == 0) == work_first) {
            add_group(&p, &left, much_loss ? less_time & ~more_comm : less_time);
            add_group(&p, &left, less_time);
        } else {
            add_group(&p, &left, much_work ? less_comm & ~more_time : less_comm);
            add_group(&p, &left, less_comm);
        }
    add_group(&p, &left, left);
    return p;
}

/* ---- the walk from state to state ---- */

static void note(struct search *s, const struct state *x) {
    if (better(x, &s->seen)) s->seen = *x;
    if (!(x->time_us <= 1.2 * s->best.time_us) && s->best.fits) return;
    if (x->time_us < INFINITY && !visited(s, &x->c, false) && !known(s, hash_of(&x->c) | 1, true))
        keep(s->pool, &s->n_pool, x);
}

/* True: s->seen is faster than the best. */
static bool expand(struct search *s, const struct state *x, int hop, bool *tried) {
    if (hop == HOPS || s->left <= 0) return false;
    if ((s->states & 255) == 0 && question_stopped(s->q)) s->stopped = true, s->left = 0;
    if (!visited(s, &x->c, true)) keep(s->explored, &s->n_explored, x);
    int b = bottleneck(s, x, tried);
    if (b < 0) return false;
    if (tried) tried[b] = true;
    struct policy p = policy_of(s, x, b);
    for (int g = 0; g < p.n; g++) {
        struct state *cand = s->cand[hop];
        int n = 0, order[GROUP_MAX], m = 0;
        for (int k = 0; k < p.len[g] && s->left > 0; k++) n += act(s, x, b, p.action[g][k], &cand[n]);
        for (int k = 0; k < n; k++) {
            if (visited(s, &cand[k].c, false)) continue;
            note(s, &cand[k]);
            int at = m++;
            for (; at > 0 && cand[k].time_us < cand[order[at - 1]].time_us; at--) order[at] = order[at - 1];
            order[at] = k;
        }
        if (s->seen.fits && better(&s->seen, &s->best)) return true;
        for (int k = 0; k < m; k++)
            if (!visited(s, &cand[order[k]].c, false) && expand(s, &cand[order[k]], hop + 1, NULL))
                return true;
    }
    return false;
}

/* The next state to start from: the best that was put aside, else one that was looked at before. */
static bool next_start(struct search *s, struct state *x) {
    int best = -1;
    for (;;) {
        best = -1;
        for (int i = 0; i < s->n_pool; i++)
            if (best < 0 || s->pool[i].time_us < s->pool[best].time_us) best = i;
        if (best < 0) break;
        x->c = s->pool[best].c;
        s->pool[best] = s->pool[--s->n_pool];
        if (visited(s, &x->c, false)) continue;
        evaluate(s, x);
        return true;
    }
    for (int i = 0; i < s->n_explored; i++) {
        const struct kept *k = &s->explored[i], *b = best < 0 ? NULL : &s->explored[best];
        if (k->opened < OPENED_MAX &&
            (!b || k->opened < b->opened || (k->opened == b->opened && k->time_us < b->time_us)))
            best = i;
    }
    if (best < 0) return false;
    s->explored[best].opened++;
    x->c = s->explored[best].c;
    evaluate(s, x);
    return true;
}

/* One GPU per stage, then passes that double what can be doubled, as tp. Nodes of one GPU: from the back, as
 * dp. */
static bool start_state(struct search *s, int S, struct state *x) {
    struct config *c = &x->c;
    int total = S, units = s->costs->n, largest = s->per_node == 1 ? 3 : s->max_tp;
    memset(c, 0, sizeof *c);
    c->S = S;
    for (int i = 0; i <= S; i++) c->border[i] = (uint16_t)(i < S ? i * (units / S) : units);
    int log_n[STAGES_MAX] = {0};
    for (bool more = true; more && total < s->gpus;) {
        more = false;
        for (int k = 0; k < S; k++) {
            int i = s->per_node == 1 ? S - 1 - k : k;
            if (total >= s->gpus || log_n[i] >= largest || 1 << log_n[i] > s->gpus - total) continue;
            total += 1 << log_n[i];
            log_n[i]++;
            more = true;
        }
    }
    for (int i = 0; i < S; i++) {
        c->tp[i] = (uint8_t)(log_n[i] < s->max_tp ? log_n[i] : s->max_tp),
        c->dp[i] = (uint8_t)(log_n[i] - c->tp[i]);
        if (c->mb_log < c->dp[i]) c->mb_log = c->dp[i]; /* a sample per replica */
    }
    return 1 << c->mb_log <= s->q->w->global_batch_size;
}

/* The best plan of S stages into s->best; false: none fits. */
static bool search_stages(struct search *s, int S, long states) {
    struct state now;
    s->n_pool = s->n_explored = 0;
    s->left = states;
    s->n_known = 0;
    memset(s->known, 0, sizeof *s->known * (s->mask + 1));
    if (!start_state(s, S, &now)) return false;
    evaluate(s, &now);
    s->best = now;
    for (int trial = 0; trial < TRIALS && s->left > 0; trial++) {
        bool tried[STAGES_MAX] = {false};
        s->seen = now;
        for (int k = 0; k < S && s->left > 0; k++)
            if (expand(s, &now, 0, tried)) break;
        if (better(&s->seen, &s->best))
            s->best = now = s->seen;
        else if (!next_start(s, &now))
            break;
    }
    return s->best.fits;
}

/* ---- the list ---- */

struct context {
    const struct costs *costs;
    const struct config *config; /* [n], by proposal.id */
    int zone, gpu;
};

/* In layers: the borders go to the nearest layer's, and every stage keeps a layer. */
static const struct plan *make_plan(const struct search *s, const struct config *c, int zone, int gpu,
                                    struct arena *a) {
    const struct workload *w = s->q->w;
    struct plan *p = grid_plan(w, zone, gpu, 1, c->S, 1, 1 << (c->mb_log - c->dp[0]), a);
    int end = 0;
    for (int i = 0; i < c->S; i++) {
        struct stage *stage = &p->pipeline->stage[i];
        const int *at = s->costs->layer;
        stage->first = end;
        while (end < w->model->n_layer && 2 * c->border[i + 1] > at[end] + at[end + 1]) end++;
        if (end <= stage->first) end = stage->first + 1;
        if (end > w->model->n_layer - (c->S - 1 - i)) end = w->model->n_layer - (c->S - 1 - i);
        stage->end = end;
        stage->group->tp = 1 << c->tp[i];
        stage->group->count = 1 << c->dp[i];
    }
    return p;
}

static int aceso_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    const struct pool_entry *first =
        q->pool->entry; /* it only looks at the first type of the row, in its zone */
    *out = (struct answer){0};
    if (!q->pool->n_entry || first->count < 1) return 0;
    const struct gpu_type *g = &q->w->site->gpu[first->gpu];
    struct costs *costs = ARENA_NEW(a, struct costs);
    if (make_costs(q->w, q->extra, first->zone, first->gpu, q->corrected, costs, a, e)) return -1;
    struct search *s = ARENA_NEW(a, struct search);
    *s = (struct search){.q = q,
                         .costs = costs,
                         .gpus = first->count,
                         .per_node = g->gpus_per_node,
                         .limit_MiB = g->planner_memory_bytes / MiB,
                         .cand = arena_alloc(a, sizeof *s->cand * HOPS),
                         .pool = ARENA_ARRAY(a, struct kept, KEPT_MAX),
                                             .explored = ARENA_ARRAY(a, struct kept, KEPT_MAX)};
    for (int ti = 0; ti < TP_N && 1 << ti <= g->gpus_per_node; ti++)
        if (costs->table[0][ti]) s->max_tp = ti;
    /* The original goes on to 128 stages; a plan has a layer for each, so those beyond could not be said. */
    int n_S = first->count < STAGES_MAX ? first->count : STAGES_MAX;
    if (n_S > costs->n_layer) n_S = costs->n_layer;
    long each = q->states > 0 ? (q->states + n_S - 1) / n_S : DEFAULT_STATES;
    for (s->mask = 1023; (long)s->mask < 4 * each && s->mask < (1 << 22) - 1;) s->mask = 2 * s->mask + 1;
    s->known = ARENA_ARRAY(a, uint64_t, s->mask + 1);
    struct config *config = ARENA_ARRAY(a, struct config, n_S);
    struct proposal *list = ARENA_ARRAY(a, struct proposal, LISTED_MAX + 1);
    for (int S = 1; S <= n_S && !s->stopped; S++) {
        if (!search_stages(s, S, each)) continue;
        int at = out->n < LISTED_MAX ? out->n++ : LISTED_MAX;
        config[S - 1] = s->best.c;
        for (; at > 0 && s->best.time_us * 1e-6 < list[at - 1].time_s; at--) list[at] = list[at - 1];
        list[at] = (struct proposal){.time_s = s->best.time_us * 1e-6, .id = S - 1};
    }
    for (int i = 0; i < out->n; i++) {
        list[i].plan = make_plan(s, &config[list[i].id], first->zone, first->gpu, a);
        list[i].cost_usd = rental_usd(q->w, list[i].plan, list[i].time_s);
    }
    struct context *ctx = ARENA_NEW(a, struct context);
    *ctx = (struct context){costs, config, first->zone, first->gpu};
    out->proposal = list;
    out->ctx = ctx;
    out->states = (uint64_t)s->states;
    return 0;
}

/* ---- the estimator on any plan, and the simulator that judges the published ones ---- */

static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    struct costs c;
    int zone = -1, type = -1; /* that c is for */
    *out = (struct guess){0, 0};
    for (int k = 0; k < p->n_pipeline; k++) {
        const struct pipeline *pipe = &p->pipeline[k];
        int mb = p->micro_batch_size * stage_replicas(pipe->stage), gpu = 0;
        double slowest = 0, sum = 0, sync = 0,
               rounds = (double)w->global_batch_size / ((double)mb * p->n_pipeline);
        for (int i = 0; i < pipe->n_stage; i++) {
            const struct stage *stage = &pipe->stage[i];
            int D = stage_replicas(stage), bi = mb % D ? -1 : tp_index(mb / D), gpus = 0;
            struct cost worst = {0, 0};
            for (int r = 0; r < stage->n_group; r++) gpus += stage->group[r].tp * stage->group[r].count;
            for (int r = 0; r < stage->n_group; r++) {
                const struct replicas *y = &stage->group[r];
                if (y->zone != zone || y->gpu != type) {
                    if (make_costs(w, extra, y->zone, y->gpu, corrected, &c, scratch, e)) return -1;
                    zone = y->zone;
                    type = y->gpu;
                }
                int per_node = w->site->gpu[y->gpu].gpus_per_node;
                struct place at = {c.layer[stage->first], c.layer[stage->end], pipe->n_stage - 1 - i,
                                   gpu > 0 && gpu % per_node == 0, (gpu + gpus) % per_node == 0};
                struct cost v = stage_cost(&c, &at, bi, tp_index(y->tp));
                worst.time_us = fmax(worst.time_us, v.time_us),
                worst.memory_MiB = fmax(worst.memory_MiB, v.memory_MiB);
                if (corrected && v.time_us < INFINITY)
                    sync = fmax(sync, sync_us(&c, &at, bi, tp_index(y->tp), D));
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
        *out = (struct guess){NAN, NAN}; /* a microbatch or degree without profile */
    return 0;
}

/* On the ranges of operators themselves, which the layers of the plan only approximate. Sizes are those of
 * one sample, times those of the stage's own batch. */
static int judge(const struct question *q, const struct answer *x, const struct proposal *y,
                 const struct plan *plan, struct estimate *est, struct err *e) {
    const struct context *ctx = x->ctx;
    const struct config *c = &ctx->config[y->id];
    const struct gpu_type *g = &q->w->site->gpu[ctx->gpu];
    int node = g->gpus_per_node, P = c->S;
    const struct link *l = site_link(q->w->site, ctx->zone, ctx->gpu, node, ctx->zone, ctx->gpu, node);
    if (!l) return err_set(e, EXIT_INPUT, "aceso: no link between nodes of %s", g->name);
    struct stage_estimate *stage = est->stage;
    *est = (struct estimate){.fits = true, .unfit_pipeline = -1, .unfit_stage = -1, .stage = stage};
    double sum = 0, slowest = 0;
    for (int i = 0; i < P; i++) {
        const struct table *t = ctx->costs->table[c->mb_log - c->dp[i]][c->tp[i]],
                           *one = ctx->costs->table[0][c->tp[i]];
        int from = c->border[i], to = c->border[i + 1], m = 1 << (c->mb_log - c->dp[i]);
        double weights = (one->weights_MiB[to] - one->weights_MiB[from]) * MiB,
               kept = one->in_MiB[from] + one->judged_MiB[to] - one->judged_MiB[from];
        struct stage_estimate v = {
            .compute_s = (t->time_us[to] - t->time_us[from]) * 1e-6,
            .comm_s = i == P - 1 ? 0 : 2 * link_time_s(l, m * one->out_MiB[to - 1] * MiB, ESTIMATOR_SAILOR),
            .sync_s = allreduce_time_s(l, weights * (1 << c->tp[i]), 1 << c->dp[i], ESTIMATOR_SAILOR),
            .memory_bytes = 5 * weights + (P - i) * m * kept * MiB + 3 * 1024 * MiB};
        sum += v.compute_s + v.comm_s;
        slowest = fmax(slowest, v.compute_s + v.comm_s);
        est->sync_time_s = fmax(est->sync_time_s, v.sync_s);
        est->peak_memory_bytes = fmax(est->peak_memory_bytes, v.memory_bytes);
        if (est->fits && v.memory_bytes > g->memory_bytes)
            est->fits = false, est->unfit_pipeline = 0, est->unfit_stage = i;
        if (stage) stage[i] = v;
    }
    int mb = 1 << c->mb_log;
    est->n_microbatch = (q->w->global_batch_size + mb - 1) / mb;
    est->pipeline_time_s = sum + (est->n_microbatch - 1) * slowest;
    est->iteration_time_s = est->pipeline_time_s + est->sync_time_s;
    est->compute_usd = est->cost_usd = rental_usd(q->w, plan, est->iteration_time_s);
    return 0;
}

const struct planner aceso_planner = {
    .name = "aceso",
    .about = "first GPU type of the row, in its zone: bottlenecks relieved step by step, on operators, a "
             "search per "
             "number of stages",
    .can = CAN_CORRECTED | CAN_STATES,
    .every_profile = true,
    .load = load,
    .solve = planner_walk,
    .propose = aceso_propose,
    .estimate = estimate,
    .judge = judge,
};
