#include "formats/inputs.h"
#include "io/json.h"
#include "planners/mt19937.h"
#include "planners/planner.h"
#include "io/file.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_METIS
#include <metis.h>
#endif

/* FlashFlex cuts the complete graph of the GPUs into n balanced pipelines and those into stages, and rates
 * the plan by data sheets alone, without measured times. One plan per n; microbatch 1, no replicas within a
 * pipeline. */

enum { GPUS_LIMIT = 4096 /* the complete graph of more does not fit */ };

/* ---- its inputs: data sheets and the slowest link --------------------------------- */

struct sheet {
    double tflops, true_tflops, memory_GiB, intra_GiBps; /* tflops 0: type not listed */
};

struct flashflex_device {
    int gpu, zone, machine;
};

/** GPUs numbered machine by machine, and the constants of a question. */
struct flashflex_world {
    const struct workload *w;
    bool corrected;
    int n, n_machine, micro_batch;
    struct flashflex_device *device;
    double flops[GPUS_MAX], memory_bytes[GPUS_MAX], intra_Bps[GPUS_MAX];
    double inter_Bps;       /* one for all: the lowest of all pairs of types */
    double act_bytes;       /* one activation: microbatch x sequence x hidden size */
    int *peer, *on_machine; /* [n], [n_machine] room for dp_s(); on_machine is zero between calls */
};

/** The GPUs of one stage and its transformer blocks. */
struct team {
    const int *device;
    int n, layers;
};

struct line { /* a pipeline */
    int n;
    struct team *team;
};

static int load(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                struct err *e) {
    static const char *const keys[] = {"format", "gpus", NULL};
    static const char *const gpu_keys[] = {"gpu",       "tflops",          "corrected_tflops",
                                           "memory_GB", "intra_node_GBps", NULL};
    struct sheet *sheet = ARENA_ARRAY(a, struct sheet, GPUS_MAX);
    const char *path = arena_printf(a, "%s/planners/flashflex.json", inputs);
    size_t size;
    int n = 0, i = 0;
    char *text = file_read_text(path, &size, a, e);
    cJSON *tree = text ? json_parse(path, text, size, e) : NULL;
    if (!tree) return -1;
    struct json_at root = json_root(path, tree), list = json_member(&root, "gpus");
    int rc = json_object(&root, keys, e) || json_format(&root, "sailor-flashflex/1", e) ||
             json_array(&list, 1, 1000, &n, e);
    for (const cJSON *x = rc ? NULL : list.node->child; x && !rc; x = x->next, i++) {
        struct json_at at = json_element(&list, i, x), name = json_member(&at, "gpu"),
                       t = json_member(&at, "tflops"), fixed = json_member(&at, "corrected_tflops"),
                       m = json_member(&at, "memory_GB"), bw = json_member(&at, "intra_node_GBps");
        struct sheet s;
        const char *gpu;
        rc = json_object(&at, gpu_keys, e) || json_string(&name, &gpu, a, e) ||
             json_positive(&t, &s.tflops, e) || json_positive(&m, &s.memory_GiB, e) ||
             json_positive(&bw, &s.intra_GiBps, e);
        s.true_tflops = s.tflops;
        if (!rc && fixed.node) rc = json_positive(&fixed, &s.true_tflops, e);
        for (int g = 0; g < w->site->n_gpu && !rc; g++)
            if (!strcmp(w->site->gpu[g].name, gpu)) sheet[g] = s; /* types of other sites are skipped */
    }
    cJSON_Delete(tree);
    *extra = sheet;
    return rc ? -1 : 0;
}

/* The largest degree that a node holds: the sender count of the bandwidth tables. */
static int widest(const struct site *s, int gpu) {
    int tp = TP_MAX;
    while (tp > s->gpu[gpu].gpus_per_node) tp /= 2;
    return tp;
}

/* Constants, from the (zone, type) pairs of x->device. */
static int world_know(struct flashflex_world *x, const struct sheet *sheet, struct err *e) {
    const struct site *s = x->w->site;
    bool seen[ZONES_MAX * GPUS_MAX] = {false};
    for (int d = 0; d < x->n; d++) seen[x->device[d].zone * s->n_gpu + x->device[d].gpu] = true;
    x->inter_Bps = INFINITY;
    for (int i = 0; i < s->n_zone * s->n_gpu; i++) {
        if (!seen[i]) continue;
        int zone = i / s->n_gpu, gpu = i % s->n_gpu;
        const struct sheet *k = &sheet[gpu];
        if (!k->tflops)
            return err_set(
                e, EXIT_INPUT,
                "planners/flashflex.json: no GPU type \"%s\"; the planner flashflex needs its data sheet",
                s->gpu[gpu].name);
        x->flops[gpu] = (x->corrected ? k->true_tflops : k->tflops) * 0x1p40;
        x->memory_bytes[gpu] = k->memory_GiB * 0x1p30;
        x->intra_Bps[gpu] = k->intra_GiBps * 0x1p30;
        for (int j = 0; j < s->n_zone * s->n_gpu; j++) {
            if (!seen[j]) continue;
            int zone2 = j / s->n_gpu, gpu2 = j % s->n_gpu;
            const struct link *l = site_link(s, zone, gpu, widest(s, gpu), zone2, gpu2, widest(s, gpu2));
            if (!l)
                return err_set(e, EXIT_INPUT,
                               "site %s: no link from %s in %s to %s in %s; the planner flashflex needs it",
                               s->name, s->gpu[gpu].name, s->zone[zone], s->gpu[gpu2].name, s->zone[zone2]);
            double Bps = l->peak_Bps / 1e9 * 0x1p30; /* as published, confuses 1e9 and 2^30 */
            if (Bps < x->inter_Bps) x->inter_Bps = Bps;
        }
    }
    const struct model *m = x->w->model;
    x->act_bytes = (double)x->w->element_bytes * x->micro_batch * m->sequence_length * m->hidden_size;
    return 0;
}

static double link_Bps(const struct flashflex_world *x, int a, int b) {
    return x->device[a].machine == x->device[b].machine ? x->intra_Bps[x->device[a].gpu] : x->inter_Bps;
}

/* ---- the estimator ------------------------------------------------------------------- */

/* One microbatch through a stage, forward and backward. */
static double stage_s(const struct flashflex_world *x, const struct team *t) {
    const struct model *m = x->w->model;
    double S = m->sequence_length, H = m->hidden_size, V = m->vocabulary, worst = 0;
    double flop = 72 * x->micro_batch * S * H * H * (1 + S / (6 * H) + V / (16 * m->n_block * H));
    for (int i = 0; i < t->n; i++) {
        double sum = 0;
        for (int j = 0; j < t->n; j++)
            if (j != i) sum += x->act_bytes / (t->n * link_Bps(x, t->device[i], t->device[j]));
        if (sum > worst) worst = sum;
    }
    return t->layers * (flop / (x->flops[x->device[t->device[0]].gpu] * t->n) + 8 * worst);
}

/* From one stage to the next and back, via the best placed receiver, which passes it on to its team. */
static double border_s(const struct flashflex_world *x, const struct team *from, const struct team *to) {
    double best = INFINITY;
    for (int b = 0; b < to->n; b++) {
        double on = 0;
        for (int d = 0; d < to->n; d++)
            if (d != b) on += x->act_bytes / (to->n * link_Bps(x, to->device[b], to->device[d]));
        for (int a = 0; a < from->n; a++) {
            double s = x->act_bytes / link_Bps(x, from->device[a], to->device[b]) + on;
            if (s < best) best = s;
        }
    }
    return 2 * best;
}

/* A pipeline's columns: in column c stage i works on microbatch c - i; each column takes as long as its
 * slowest stage. At most LAYERS_MAX stages. */
static double line_s(const struct flashflex_world *x, const struct line *p, int n_micro) {
    double cost[LAYERS_MAX], slowest = 0, sum = 0;
    for (int i = 0; i < p->n; i++) {
        cost[i] = stage_s(x, &p->team[i]) + (i < p->n - 1 ? border_s(x, &p->team[i], &p->team[i + 1]) : 0);
        if (cost[i] > slowest) slowest = cost[i];
    }
    for (int c = 0; c < n_micro + p->n - 1; c++) {
        if (c == p->n - 1 && c < n_micro) { /* the columns with every stage at work */
            sum += (n_micro - c) * slowest;
            c = n_micro - 1;
            continue;
        }
        double worst = 0;
        for (int i = c < n_micro ? 0 : c - n_micro + 1; i <= c && i < p->n; i++)
            if (cost[i] > worst) worst = cost[i];
        sum += worst;
    }
    return sum;
}

static const struct team *team_of(const struct line *p, int layer) {
    const struct team *t = p->team;
    while (layer >= t->layers) layer -= t++->layers;
    return t;
}

/* Gradients, layer by layer, between the pipelines. A rank sends to all others in turn, fast within its
 * machine. */
static double dp_s(const struct flashflex_world *x, const struct line *p, int D) {
    double H = x->w->model->hidden_size, bytes = 12 * H * H * x->w->element_bytes, sum = 0;
    for (int l = 0; l < x->w->model->n_block; l++) {
        int least = INT_MAX, most = 0;
        for (int j = 0; j < D; j++) {
            int tp = team_of(&p[j], l)->n;
            if (tp < least) least = tp;
            if (tp > most) most = tp;
        }
        for (int r = 0; r < most / least; r++) {
            double worst = 0;
            for (int j = 0; j < D; j++) {
                const struct team *t = team_of(&p[j], l);
                x->peer[j] = t->device[r / (most / t->n)];
                x->on_machine[x->device[x->peer[j]].machine]++;
            }
            for (int j = 0; j < D; j++) {
                const struct flashflex_device *d = &x->device[x->peer[j]];
                int near = x->on_machine[d->machine];
                double s = (D - near) / x->inter_Bps + (near - 1) / x->intra_Bps[d->gpu];
                if (s > worst) worst = s;
            }
            for (int j = 0; j < D; j++) x->on_machine[x->device[x->peer[j]].machine] = 0;
            sum += 2 * worst * bytes / (least * D);
        }
    }
    return sum;
}

static double time_s(const struct flashflex_world *x, const struct line *p, int D, int n_micro) {
    double slowest = 0;
    for (int j = 0; j < D; j++) {
        double s = line_s(x, &p[j], n_micro);
        if (s > slowest) slowest = s;
    }
    return slowest + dp_s(x, p, D);
}

/* One GPU of a stage of degree tp: no attention scores, one microbatch in flight. */
static double memory_bytes(const struct flashflex_world *x, int layers, int tp, bool first, bool last) {
    const struct model *m = x->w->model;
    double H = m->hidden_size, V = m->vocabulary, S = m->sequence_length;
    double params = layers * 12 * H * H / tp + (last ? H + V * H : 0) + (first ? H * (V + S) : 0);
    return 4 * x->w->element_bytes * params + layers * x->act_bytes / tp + 2 * x->act_bytes;
}

/* Estimates any plan: replicas j of all stages form a pipeline; nodes are filled in plan order. [V] As
 * published, embedding and head count as blocks. */
static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *a, struct err *e) {
    const struct site *s = w->site;
    int n = 0, D = 0, next = 0, done = 0, machine[ZONES_MAX * GPUS_MAX], room[ZONES_MAX * GPUS_MAX] = {0};
    for (int i = 0; i < p->n_pipeline; i++) {
        D += stage_replicas(p->pipeline[i].stage);
        for (int k = 0; k < p->pipeline[i].n_stage; k++)
            for (int g = 0; g < p->pipeline[i].stage[k].n_group; g++)
                n += p->pipeline[i].stage[k].group[g].tp * p->pipeline[i].stage[k].group[g].count;
    }
    struct flashflex_world x = {
        .w = w,
        .corrected = corrected,
        .n = n,
        .micro_batch = p->micro_batch_size,
        .device = ARENA_ARRAY(a, struct flashflex_device, n),
                              .peer = ARENA_ARRAY(a, int, n), .on_machine = ARENA_ARRAY(a, int, n)};
    struct line *line = ARENA_ARRAY(a, struct line, D);
    int *number = ARENA_ARRAY(a, int, n);
    out->peak_bytes = 0;
    for (int i = 0; i < p->n_pipeline; i++) {
        const struct pipeline *q = &p->pipeline[i];
        int here = stage_replicas(q->stage);
        for (int j = 0; j < here; j++)
            line[done + j] = (struct line){q->n_stage, ARENA_ARRAY(a, struct team, q->n_stage)};
        for (int k = 0; k < q->n_stage; k++) {
            const struct stage *st = &q->stage[k];
            int end = st->end, first = st->first, replicas = stage_replicas(st), j = 0;
            if (corrected) {
                first = first > 1 ? first : 1;
                end = end <= w->model->n_block ? end : w->model->n_block + 1;
            }
            struct team *team = ARENA_ARRAY(a, struct team, replicas);
            for (int g = 0; g < st->n_group; g++)
                for (int c = 0; c < st->group[g].count; c++, j++) {
                    const struct replicas *r = &st->group[g];
                    int slot = r->zone * s->n_gpu + r->gpu;
                    if (room[slot] < r->tp) {
                        machine[slot] = x.n_machine++;
                        room[slot] = s->gpu[r->gpu].gpus_per_node;
                    }
                    room[slot] -= r->tp;
                    team[j] = (struct team){number + next, r->tp, end > first ? end - first : 0};
                    for (int d = 0; d < r->tp; d++, next++) {
                        x.device[next] = (struct flashflex_device){r->gpu, r->zone, machine[slot]};
                        number[next] = next;
                    }
                }
            for (j = 0; j < here; j++) line[done + j].team[k] = team[j % replicas];
        }
        done += here;
    }
    if (world_know(&x, extra, e)) return -1;
    for (int j = 0; j < D; j++)
        for (int k = 0; k < line[j].n; k++) {
            /* [Q6] the published simulator passes the list of stages instead of that of a stage's GPUs */
            int tp = corrected ? line[j].team[k].n : line[j].n;
            double bytes = memory_bytes(&x, line[j].team[k].layers, tp, k == 0, k == line[j].n - 1);
            if (bytes > out->peak_bytes) out->peak_bytes = bytes;
        }
    int n_micro = w->global_batch_size / (p->micro_batch_size * D);
    out->time_s = time_s(&x, line, D, n_micro > 1 ? n_micro : 1);
    return 0;
}

#ifdef HAVE_METIS
/* ---- cutting graphs ------------------------------------------------------------------ */

struct graph {
    idx_t n, *start, *to, *edge, *vertex;
};

enum {
    SCALE = 1024, /* of vertex weights, if METIS has 32 bits */
    FINE = 8192,  /* for cutting the best AGAIN plans once more: balance depends on how the weights round */
    AGAIN = 3
};

/** The complete graph of n GPUs. `apart`: edges over slow links are expensive, so that cuts go inside
 * machines; else those over fast links. If METIS has 64 bits, weights are FLOPS, 1e10 / bandwidth and
 * bandwidth, as published; [Q7] their products overflow in its k-way balancing, so that some parts become far
 * too heavy. With 32 bits they are TFLOPS x `scale` and GiB/s x 100, such that all sums stay below 2^30;
 * nothing overflows, and pools of several types are cut differently. */
static struct graph graph_make(const struct flashflex_world *x, const int *d, int n, bool apart, double scale,
                               struct arena *a) {
    size_t edges = (size_t)n * (size_t)(n - 1), k = 0;
    struct graph g = {n, ARENA_ARRAY(a, idx_t, n + 1),
                                     ARENA_ARRAY(a, idx_t, edges),
                                                 ARENA_ARRAY(a, idx_t, edges), ARENA_ARRAY(a, idx_t, n)};
    bool wide = sizeof(idx_t) == 8;
    double most = wide ? 0x1p53 : edges ? floor((0x1p30 - 1) / (double)edges) : 0, all = 0;
    for (int i = 0; i < n; i++) all += x->flops[x->device[d[i]].gpu] / 0x1p40;
    while (all * scale >= 0x1p30) scale /= 2;
    for (int i = 0; i < n; i++) {
        double flops = x->flops[x->device[d[i]].gpu];
        g.vertex[i] = (idx_t)rint(wide ? flops : flops / 0x1p40 * scale);
        for (int j = 0; j < n; j++)
            if (j != i) {
                double Bps = link_Bps(x, d[i], d[j]);
                g.to[k] = j;
                g.edge[k++] = (idx_t)fmin(rint(apart ? 1e10 / Bps : wide ? Bps : 100 * Bps / 0x1p30), most);
            }
        g.start[i + 1] = (idx_t)k;
    }
    return g;
}

/** Stores balanced parts of least cut in part[g->n]; some may be empty. The answer depends on the C library's
 * rand(), which METIS seeds itself at each call. */
static int graph_cut(struct graph *g, int parts, idx_t *part, struct err *e) {
    if (parts > g->n) parts = g->n;
    memset(part, 0, sizeof *part * (size_t)g->n);
    if (parts <= 1) return 0;
    idx_t constraints = 1, n = parts, cut;
    /* METIS takes SIGTERM for an error of its own, so hold it back. */
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &before);
    int rc = (parts > 8 ? METIS_PartGraphKway : METIS_PartGraphRecursive)(
        &g->n, &constraints, g->start, g->to, g->vertex, NULL, g->edge, &n, NULL, NULL, NULL, &cut, part);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == METIS_OK
               ? 0
               : err_set(e, EXIT_INTERNAL, "METIS failed (%d) on %d GPUs in %d parts", rc, (int)g->n, parts);
}

/* ---- from a set of GPUs to a pipeline ------------------------------------------------ */

/* The stages that the GPUs of one machine may form, as degrees. */
static const signed char ways[TP_MAX + 1][3][4] = {
    [1] = {{1}},
    [2] = {{2}, {1, 1}},
    [3] = {{2, 1}, {1, 1, 1}},
    [4] = {{4}, {2, 2}, {2, 1, 1}},
    [5] = {{4, 1}, {2, 2, 1}},
    [6] = {{4, 2}, {2, 2, 2}},
    [7] = {{4, 2, 1}, {2, 2, 2, 1}},
    [8] = {{8}, {4, 4}, {4, 2, 2}},
};

/* Appends the stages of d[0..n), GPUs of one machine, split the way that would run the whole model
 * fastest. */
static void add_machine(const struct flashflex_world *x, const int *d, int n, int n_micro, struct line *p) {
    struct team best[4] = {{0}};
    double least = INFINITY;
    int L = x->w->model->n_block, n_best = 0;
    for (int k = 0; k < 3 && ways[n][k][0]; k++) {
        struct team team[4];
        struct line alone = {0, team};
        for (int at = 0, left = L; alone.n < 4 && ways[n][k][alone.n]; alone.n++) {
            int tp = ways[n][k][alone.n], layers = at + tp == n ? left : L * tp / n;
            team[alone.n] = (struct team){d + at, tp, layers};
            at += tp;
            left -= layers;
        }
        double s = ways[n][1][0] ? line_s(x, &alone, n_micro) : 0; /* only one way: no need */
        if (s < least) {
            least = s;
            n_best = alone.n;
            memcpy(best, team, sizeof best);
        }
    }
    memcpy(p->team + p->n, best, sizeof *best * (size_t)n_best);
    p->n += n_best;
}

/* The order of three groups, given the bandwidth between them (the order of fewer does not matter). Published
 * [Q2]: of the paths that start with 0 or 2 and continue from the highest number down, the slower one.
 * Corrected: the fastest path. */
static const int *order_groups(const double Bps[3][3], bool corrected) {
    static const int down[3] = {2, 1, 0}, via[3][3] = {{1, 0, 2}, {0, 1, 2}, {0, 2, 1}};
    if (!corrected) return Bps[0][2] <= Bps[0][1] ? via[2] : down;
    double s[3] = {Bps[0][1] + Bps[0][2], Bps[0][1] + Bps[1][2], Bps[0][2] + Bps[1][2]};
    return s[1] >= s[0] && s[1] >= s[2] ? via[1] : s[0] >= s[2] ? via[0] : via[2];
}

/* Deals blocks by share of memory, rounded down; the largest stages get one more each, the last ones first if
 * equal. */
static void share_layers(const struct flashflex_world *x, struct line *p) {
    int L = x->w->model->n_block, left = L;
    bool more[LAYERS_MAX] = {false};
    double all = 0;
    for (int i = 0; i < p->n; i++) all += x->memory_bytes[x->device[p->team[i].device[0]].gpu] * p->team[i].n;
    for (int i = 0; i < p->n; i++) {
        double share = x->memory_bytes[x->device[p->team[i].device[0]].gpu] * p->team[i].n / all;
        int q = 0;
        while (q < left && (q + 1.0) / L <= share) q++;
        p->team[i].layers = q;
        left -= q;
    }
    for (; left > 0; left--) {
        int to = -1;
        double most = 0;
        for (int i = 0; i < p->n; i++) {
            double m = x->memory_bytes[x->device[p->team[i].device[0]].gpu] * p->team[i].n;
            if (!more[i] && m >= most) {
                to = i;
                most = m;
            }
        }
        more[to] = true;
        p->team[to].layers++;
    }
}

static bool line_fits(const struct flashflex_world *x, const struct line *p) {
    for (int i = 0; i < p->n; i++)
        if (memory_bytes(x, p->team[i].layers, p->team[i].n, i == 0, i == p->n - 1) >
            x->memory_bytes[x->device[p->team[i].device[0]].gpu])
            return false;
    return true;
}

/* Cuts d[0..n) into groups and orders them, and d with them; the groups end at end[0..*some). */
static int group(const struct flashflex_world *x, int *d, int n, int groups, int end[3], int *some,
                 struct arena *a, struct err *e) {
    static const int as_is[3] = {0, 1, 2};
    struct graph g = graph_make(x, d, n, false, SCALE, a);
    idx_t *part = ARENA_ARRAY(a, idx_t, n);
    int *old = ARENA_ARRAY(a, int, n), size[3] = {0}, number[3], k = 0;
    double Bps[3][3] = {{0}};
    if (graph_cut(&g, groups, part, e)) return -1;
    for (int i = 0; i < n; i++) {
        size[part[i]]++;
        old[i] = d[i];
    }
    *some = 0;
    for (int i = 0; i < 3; i++) {
        number[i] = *some;
        *some += size[i] > 0; /* skip empty ones */
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (part[i] != part[j]) Bps[number[part[i]]][number[part[j]]] += rint(link_Bps(x, d[i], d[j]));
    const int *order = *some == 3 ? order_groups(Bps, x->corrected) : as_is;
    for (int i = 0; i < *some; end[i++] = k)
        for (int j = 0; j < n; j++)
            if (number[part[j]] == order[i]) d[k++] = old[j];
    return 0;
}

static int *hash_slot(int *table, unsigned mask, int key) {
    unsigned hash = (unsigned)key - 1;
    for (unsigned i = hash & mask;; i = (i * 5 + 1 + (hash >>= 5)) & mask)
        for (unsigned k = i; k <= (i + 9 <= mask ? i + 9 : i); k++)
            if (!table[k] || table[k] == key) return &table[k];
}

/* [Q5] The GPUs of a group are counted per machine in the order of a hash set, but dealt in their own order:
 * with unequal counts a "machine" can get GPUs of two. This is that order: open addressing by machine mod
 * table size, runs of ten slots, growth at 3/5 to more than four times the number. Fills count[], returns the
 * number of machines. */
static int count_hashed(const struct flashflex_world *x, const int *d, int n, int *count, struct arena *a) {
    unsigned mask = 7, some = 0;
    int *table = ARENA_ARRAY(a, int, mask + 1), *old; /* machine + 1; 0 = free */
    for (int i = 0; i < n; i++) {
        int *slot = hash_slot(table, mask, x->device[d[i]].machine + 1);
        if (*slot) continue;
        *slot = x->device[d[i]].machine + 1;
        if (++some * 5 < mask * 3) continue;
        unsigned old_mask = mask;
        while (mask + 1 <= some * 4) mask = 2 * mask + 1;
        old = table;
        table = ARENA_ARRAY(a, int, mask + 1);
        for (unsigned k = 0; k <= old_mask; k++)
            if (old[k]) *hash_slot(table, mask, old[k]) = old[k];
    }
    int m = 0;
    for (unsigned k = 0; k <= mask; k++)
        if (table[k]) {
            for (int i = count[m] = 0; i < n; i++) count[m] += x->device[d[i]].machine == table[k] - 1;
            m++;
        }
    return m;
}

/* Corrected: in the order of the GPUs. */
static int count_runs(const struct flashflex_world *x, const int *d, int n, int *count) {
    int m = 0;
    for (int i = 0; i < n; i++) {
        if (i == 0 || x->device[d[i]].machine != x->device[d[i - 1]].machine) count[m++] = 0;
        count[m - 1]++;
    }
    return m;
}

/* The pipeline of d[0..n), which stays in use and is put in order. */
static int line_make(const struct flashflex_world *x, int *d, int n, int groups, int n_micro, struct line *p,
                     struct arena *a, struct err *e) {
    *p = (struct line){0, ARENA_ARRAY(a, struct team, n)};
    struct arena_mark mark = arena_mark(a);
    int end[3] = {n}, some = 1, *count = ARENA_ARRAY(a, int, n);
    int rc = groups > 1 && n > 1 ? group(x, d, n, groups, end, &some, a, e) : 0;
    for (int g = 0, at = 0; g < some && !rc; g++) {
        int machines = x->corrected ? count_runs(x, d + at, end[g] - at, count)
                                    : count_hashed(x, d + at, end[g] - at, count, a);
        for (int k = 0; k < machines; at += count[k++])
            for (int i = 0; i < count[k]; i += TP_MAX) /* nodes of more than eight GPUs count as several */
                add_machine(x, d + at + i, count[k] - i < TP_MAX ? count[k] - i : TP_MAX, n_micro, p);
    }
    arena_release(a, mark);
    if (!rc && p->n <= LAYERS_MAX) share_layers(x, p);
    return rc;
}

/* ---- the search ---------------------------------------------------------------------- */

struct candidate {
    int n, *groups; /* pipelines; groups in each */
    struct line *line;
    double time_s;
};

/* What the search passes to build(). */
struct found {
    struct flashflex_world x;
    struct candidate *candidate; /* [G / 5], the id is the index */
};

/* The GPUs shown to the planner: whole nodes, type by type. */
static void show(const struct question *q, struct flashflex_world *x, struct arena *a) {
    struct shown shown[GPUS_MAX];
    int n_type = shown_types(q->pool, q->corrected, shown), n = 0;
    for (int i = 0; i < n_type; i++) n += shown[i].gpus;
    x->device = ARENA_ARRAY(a, struct flashflex_device, n);
    for (int i = 0; i < n_type; i++) {
        int per_node = q->w->site->gpu[shown[i].gpu].gpus_per_node;
        for (int node = 0; node < shown[i].gpus / per_node; node++, x->n_machine++)
            for (int k = 0; k < per_node; k++)
                x->device[x->n++] = (struct flashflex_device){shown[i].gpu, shown[i].zone, x->n_machine};
    }
    x->peer = ARENA_ARRAY(a, int, n);
    x->on_machine = ARENA_ARRAY(a, int, n);
}

/* Counting machines may give a stage of two types, which no plan here can express. */
static bool one_type(const struct flashflex_world *x, const struct team *t) {
    for (int i = 1; i < t->n; i++)
        if (x->device[t->device[i]].gpu != x->device[t->device[0]].gpu) return false;
    return true;
}

enum verdict { GOOD, DROPPED, BROKEN }; /* BROKEN: the published program ends without an answer */

/* The plan of c->n pipelines. */
static int candidate_make(const struct flashflex_world *x, struct graph *g, struct candidate *c,
                          enum verdict *v, struct arena *a, struct err *e) {
    const struct model *m = x->w->model;
    int n_micro = x->w->global_batch_size / c->n, *d = ARENA_ARRAY(a, int, x->n),
                                                                   *end = ARENA_ARRAY(a, int, c->n + 1);
    idx_t *part = ARENA_ARRAY(a, idx_t, x->n);
    *v = BROKEN;
    if (graph_cut(g, c->n, part, e)) return -1;
    for (int i = 0; i < x->n; i++) end[part[i] + 1]++;
    for (int j = 0; j < c->n; j++) {
        if (!end[j + 1]) return 0; /* [Q1] the program asserts that no part is empty */
        end[j + 1] += end[j];
    }
    for (int i = 0; i < x->n; i++) d[end[part[i]]++] = i; /* now end[j] is the end of part j */
    c->line = ARENA_ARRAY(a, struct line, c->n);
    bool fits = true, dropped = false;
    for (int j = 0; j < c->n; j++) {
        struct line *p = &c->line[j];
        int first = j ? end[j - 1] : 0;
        if (line_make(x, d + first, end[j] - first, c->groups[j], n_micro, p, a, e)) return -1;
        if (p->n > m->n_layer) {
            dropped = true;
            continue;
        }
        fits = fits && line_fits(x, p);
        for (int i = 0; i < p->n; i++) /* embedding and head are layers too */
            dropped = dropped ||
                      p->team[i].layers + (i == 0) + (i == p->n - 1 ? m->n_layer - m->n_block - 1 : 0) == 0 ||
                      !one_type(x, &p->team[i]);
    }
    if (!fits) return 0; /* [Q3] the published program carries on with something that is not a pipeline */
    *v = dropped ? DROPPED : GOOD;
    if (!dropped) c->time_s = time_s(x, c->line, c->n, n_micro);
    return 0;
}

static const struct plan *build(const struct answer *answer, long id, struct arena *a) {
    const struct found *f = answer->ctx;
    const struct workload *w = f->x.w;
    const struct candidate *c = &f->candidate[id];
    struct plan *p = plan_new(w, 1, c->n, 0, a);
    for (int j = 0; j < c->n; j++) {
        const struct line *l = &c->line[j];
        p->pipeline[j] = (struct pipeline){l->n, ARENA_ARRAY(a, struct stage, l->n)};
        for (int i = 0, layer = 0; i < l->n; i++) {
            const struct team *t = &l->team[i];
            const struct flashflex_device *d = &f->x.device[t->device[0]];
            struct replicas *r = ARENA_NEW(a, struct replicas);
            *r = (struct replicas){.gpu = d->gpu, .zone = d->zone, .tp = t->n, .count = 1};
            if (t->n > 1 && !f->x.corrected) { /* [Q4] one VM per GPU */
                int *gpu = ARENA_ARRAY(a, int, t->n);
                for (int k = 0; k < t->n; k++) gpu[k] = d->gpu;
                r->n_vm = t->n;
                r->vm_gpu = gpu;
            }
            int last = i == l->n - 1 ? w->model->n_layer : layer + t->layers + (i == 0);
            p->pipeline[j].stage[i] = (struct stage){layer, last, 1, r};
            layer = last;
        }
    }
    return p;
}

static int by_time(const void *x, const void *y) {
    const struct proposal *a = x, *b = y;
    return a->time_s < b->time_s ? -1 : a->time_s > b->time_s ? 1 : a->id < b->id ? -1 : a->id > b->id;
}

/* Cuts the best plans again with finer weights, and keeps the better of each two. */
static int cut_again(struct found *f, const int *all, struct proposal *list, int n, struct arena *a,
                     struct err *e) {
    const struct flashflex_world *x = &f->x;
    struct graph g = graph_make(x, all, x->n, true, FINE, a);
    for (int i = 0; i < n; i++) {
        struct candidate *old = &f->candidate[list[i].id], fine = {.n = old->n, .groups = old->groups};
        enum verdict v;
        if (candidate_make(x, &g, &fine, &v, a, e)) return -1;
        if (v != GOOD || fine.time_s >= old->time_s) continue;
        list[i].cost_usd *= fine.time_s / old->time_s;
        list[i].time_s = fine.time_s;
        *old = fine;
    }
    return 0;
}

/* Sorts by time for either objective: all plans use all GPUs, so the fastest is the cheapest. */
static int flashflex_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    struct found *f = ARENA_NEW(a, struct found);
    struct flashflex_world *x = &f->x;
    struct mt19937 random;
    *x = (struct flashflex_world){.w = q->w, .corrected = q->corrected, .micro_batch = 1};
    *out = (struct answer){.build = build, .ctx = f};
    show(q, x, a);
    if (x->n < 5) return 0;
    if (x->n > GPUS_LIMIT)
        return err_set(e, EXIT_INPUT, "%d GPUs in a row; the planner flashflex takes at most %d", x->n,
                       GPUS_LIMIT);
    if (world_know(x, q->extra, e)) return -1;
    double usd_per_s = 0;
    for (int i = 0; i < x->n; i++)
        usd_per_s +=
            q->w->site->usd_per_gpu_hour[x->device[i].zone * q->w->site->n_gpu + x->device[i].gpu] / 3600;
    int most = x->n / 5, *all = ARENA_ARRAY(a, int, x->n);
    f->candidate = ARENA_ARRAY(a, struct candidate, most);
    struct proposal *list = ARENA_ARRAY(a, struct proposal, most);
    for (int i = 0; i < x->n; i++) all[i] = i;
    struct graph g = graph_make(x, all, x->n, true, SCALE, a);
    mt19937_seed(&random, 40404);
    mt19937_binomial(&random, 2, 0.2); /* spent before the loop */
    int n_list = 0;
    for (int n = 1; n <= most && n <= q->w->global_batch_size; n++) {
        struct candidate *c = &f->candidate[n - 1];
        enum verdict v;
        c->n = n;
        c->groups = ARENA_ARRAY(a, int, n);
        for (int j = 0; j < n; j++) c->groups[j] = 1 + mt19937_binomial(&random, 2, 0.2);
        if (question_stopped(q)) break;
        if (candidate_make(x, &g, c, &v, a, e)) return -1;
        out->states++;
        if (v == BROKEN && !q->corrected) return 0;
        if (v == GOOD) list[n_list++] = (struct proposal){c->time_s, c->time_s * usd_per_s, n - 1, NULL};
    }
    qsort(list, (size_t)n_list, sizeof *list, by_time);
    if (sizeof(idx_t) == 4 && x->device[0].gpu != x->device[x->n - 1].gpu) {
        if (cut_again(f, all, list, n_list < AGAIN ? n_list : AGAIN, a, e)) return -1;
        qsort(list, (size_t)n_list, sizeof *list, by_time);
    }
    out->n = n_list;
    out->proposal = list;
    return 0;
}
#define LACKS NULL
#else
#define flashflex_propose NULL
#define LACKS "METIS (Debian: libmetis-dev)"
#endif

const struct planner flashflex_planner = {
    .about = "mixed GPU types in one zone; graph partitioning, data-sheet figures, one GPU per machine in a "
             "pipeline",
    .lacks = LACKS,
    .always_throughput = true,
    .load = load,
    PLANNER_PUBLISHED("flashflex", 0, flashflex_propose, estimate),
};
