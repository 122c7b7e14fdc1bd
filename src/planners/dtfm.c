#include "planners/planner.h"

#include <stdlib.h>
#include <string.h>

/* DT-FM: every GPU is a replica of its own. A genetic algorithm deals the GPUs of all zones and types into P
 * groups of D, so that the all-reduces within the groups and the messages along a path through them are
 * cheap; the groups become the stages. GPUs of one type in one zone differ only by their node, so sums and
 * extrema go over classes and nodes, never over pairs of GPUs: a trial costs O(G), not O(G^3). */

enum { POPULATION = 10, TRIALS = 40, SWAPPED = 5, PATH_MAX_P = 17 };

/* What a forbidden pair is given: 1e6 in the published unit of 1/64e9 s, meant to be more than anything. */
static const double FORBIDDEN_S = 1e6 / 64e9;

struct net {
    int G, K, N;              /* GPUs, classes (zone, type), nodes */
    const int *class, *node;  /* [G] */
    const int *class_of;      /* [N] */
    const int *zone, *gpu;    /* [K] */
    const double *far, *near; /* s per byte: [K * K] from class to class, [K] within a node */
    int n_limit;
    const double *limit; /* [n_limit] all these, ascending */
};

/* ---- generator: splitmix64 -------------------------------------------------------------------------------
 */

static uint64_t draw(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int below(uint64_t *state, int n) { return (int)((draw(state) >> 32) * (uint64_t)n >> 32); }

/* The first k of a random permutation of v[n]. */
static void shuffle(int *v, int n, int k, uint64_t *state) {
    for (int i = 0; i < k; i++) {
        int j = i + below(state, n - i), t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}

/* ---- assignment and path ---------------------------------------------------------------------------------
 */

/* Rows to columns at the least sum of cost[n * n], by shortest augmenting paths: match[row] = column. */
static void least_matching(int n, const double *cost, int *match, struct arena *a) {
    struct arena_mark mark = arena_mark(a);
    double *u = ARENA_ARRAY(a, double, n + 1), *v = ARENA_ARRAY(a, double, n + 1);
    double *dist = ARENA_ARRAY(a, double, n + 1);
    int *row = ARENA_ARRAY(a, int, n + 1),
                           *via = ARENA_ARRAY(a, int, n + 1); /* of a column; n: that of the new row */
    bool *done = ARENA_ARRAY(a, bool, n + 1);
    for (int j = 0; j <= n; j++) row[j] = -1;
    for (int i = 0; i < n; i++) {
        int j = n;
        row[n] = i;
        for (int k = 0; k < n; k++) dist[k] = INFINITY, done[k] = false;
        while (row[j] >= 0) {
            int r = row[j], next = -1;
            double step = INFINITY;
            done[j] = true;
            for (int k = 0; k < n; k++) {
                if (done[k]) continue;
                double d = cost[(size_t)r * (size_t)n + (size_t)k] - u[r] - v[k];
                if (d < dist[k]) dist[k] = d, via[k] = j;
                if (dist[k] < step) step = dist[k], next = k;
            }
            for (int k = 0; k <= n; k++)
                if (k < n && !done[k])
                    dist[k] -= step;
                else if (done[k])
                    u[row[k]] += step, v[k] -= step;
            j = next;
        }
        for (; j != n; j = via[j]) row[j] = row[via[j]];
        done[n] = false;
    }
    for (int j = 0; j < n; j++) match[row[j]] = j;
    arena_release(a, mark);
}

/* The weight of a least spanning tree of d[P * P]: no path is shorter. */
static double tree_weight(int P, const double *d) {
    double near[LAYERS_MAX], sum = 0;
    for (int i = 1; i < P; i++) near[i] = d[i];
    for (int n = 1; n < P; n++) {
        int k = 0;
        for (int i = 1; i < P; i++)
            if (near[i] >= 0 && (!k || near[i] < near[k])) k = i;
        sum += near[k];
        near[k] = -1;
        for (int i = 1; i < P; i++)
            if (near[i] > d[k * P + i]) near[i] = d[k * P + i];
    }
    return sum;
}

static double nearest_path(int P, const double *d, int start, int *path) {
    bool used[LAYERS_MAX] = {false};
    double sum = 0;
    used[path[0] = start] = true;
    for (int n = 1; n < P; n++) {
        int k = -1;
        for (int i = 0; i < P; i++)
            if (!used[i] && (k < 0 || d[path[n - 1] * P + i] < d[path[n - 1] * P + k])) k = i;
        sum += d[path[n - 1] * P + k];
        used[path[n] = k] = true;
    }
    return sum;
}

/* The shortest path through all P groups. Nearly all distances are equal, and then the nearest neighbour is
 * as good as a spanning tree; else by sets of groups. Past PATH_MAX_P groups that table is too large: the
 * best nearest-neighbour path. */
static double shortest_path(int P, const double *d, int *path, struct arena *a) {
    int try[LAYERS_MAX];
    unsigned n_group = (unsigned)P, sets = 1u << (P <= PATH_MAX_P ? P : 0);
    double best = INFINITY;
    for (int i = 0; i < P; i++) {
        double sum = nearest_path(P, d, i, try);
        if (sum < best) best = sum, memcpy(path, try, sizeof *path * (size_t)P);
    }
    if (P > PATH_MAX_P || best <= tree_weight(P, d) * (1 + 1e-12)) return best;
    struct arena_mark mark = arena_mark(a);
    double *length = ARENA_ARRAY(a, double, sets * n_group);
    for (unsigned s = 1; s < sets; s++)
        for (unsigned ends = s; ends; ends &= ends - 1) {
            unsigned j = (unsigned)__builtin_ctz(ends), rest = s ^ 1u << j;
            double least = rest ? INFINITY : 0;
            for (unsigned r = rest; r; r &= r - 1) {
                unsigned i = (unsigned)__builtin_ctz(r);
                double x = length[rest * n_group + i] + d[i * n_group + j];
                if (x < least) least = x;
            }
            length[s * n_group + j] = least;
        }
    unsigned s = sets - 1;
    for (int n = P - 1, j = -1; n >= 0; n--) {
        int k = -1;
        double least = INFINITY;
        for (int i = 0; i < P; i++) {
            if (!(s >> i & 1)) continue;
            double x = length[s * n_group + (unsigned)i] + (j < 0 ? 0 : d[i * P + j]);
            if (x < least) least = x, k = i;
        }
        if (j < 0) best = least;
        path[n] = j = k;
        s ^= 1u << k;
    }
    arena_release(a, mark);
    return best;
}

/* ---- what a deal costs -----------------------------------------------------------------------------------
 */

struct task {
    const struct question *q;
    const struct net *net;
    int P, D, m;
    double gradient_bytes,
        message_bytes;         /* message: what goes one way over a border in an iteration, as C counts */
    int *count, *size, *mates; /* of the deal at hand: [P * K], [P], [P * N] */
    double *cross;             /* [P * P] s per byte */
    int *path;                 /* [P] */
    uint64_t random;
};

static void count_groups(struct task *t, const int *label) {
    const struct net *x = t->net;
    memset(t->count, 0, sizeof *t->count * (size_t)(t->P * x->K));
    memset(t->mates, 0, sizeof *t->mates * (size_t)(t->P * x->N));
    for (int p = 0; p < t->P; p++) t->size[p] = 0;
    for (int v = 0; v < x->G; v++) {
        int p = label[v];
        t->count[p * x->K + x->class[v]]++;
        t->mates[p * x->N + x->node[v]]++;
        t->size[p]++;
    }
}

/* Sum of s per byte from a GPU of class k to the members of group p, of which `mates` are in its node. */
static double sum_to(const struct task *t, int k, int p, int mates) {
    const struct net *x = t->net;
    double sum = mates * (x->near[k] - x->far[k * x->K + k]);
    for (int j = 0; j < x->K; j++) sum += t->count[p * x->K + j] * x->far[k * x->K + j];
    return sum;
}

/* The slowest member's messages to all others of its group. */
static double group_cost(const struct task *t, int p) {
    const struct net *x = t->net;
    double worst = 0;
    for (int n = 0; n < x->N; n++) {
        int mates = t->mates[p * x->N + n], k = x->class_of[n];
        if (mates) worst = fmax(worst, sum_to(t, k, p, mates) - x->near[k]);
    }
    return 2 * worst / t->D;
}

/* Pairs of GPUs of two groups by class, none of them dearer than a limit. */
struct flow {
    int *pairs;  /* [K * K] */
    int *within; /* [K] pairs that a class can form inside its nodes */
    int *spare;  /* [K] GPUs of q without a partner */
    bool *seen;  /* [K] */
};

/* One more GPU of class k of group p finds a partner in q, if need be by moving other pairs. */
static bool pair_up(const struct task *t, double limit, int q, int k, const struct flow *f) {
    const struct net *x = t->net;
    f->seen[k] = true;
    for (int j = 0; j < x->K; j++) {
        bool far = x->far[k * x->K + j] <= limit;
        bool near = j == k && x->near[k] <= limit && f->pairs[k * x->K + k] < f->within[k];
        if (!(far || near) || !t->count[q * x->K + j]) continue;
        if (f->spare[j]) return f->pairs[k * x->K + j]++, f->spare[j]--, true;
        for (int i = 0; i < x->K; i++)
            if (!f->seen[i] && f->pairs[i * x->K + j] && pair_up(t, limit, q, i, f))
                return f->pairs[i * x->K + j]--, f->pairs[k * x->K + j]++, true;
    }
    return false;
}

static bool all_pair_up(const struct task *t, double limit, int p, int q, const struct flow *f) {
    const struct net *x = t->net;
    memset(f->pairs, 0, sizeof *f->pairs * (size_t)(x->K * x->K));
    memcpy(f->spare, &t->count[q * x->K], sizeof *f->spare * (size_t)x->K);
    for (int k = 0; k < x->K; k++)
        for (int i = 0; i < t->count[p * x->K + k]; i++) {
            memset(f->seen, 0, sizeof *f->seen * (size_t)x->K);
            if (!pair_up(t, limit, q, k, f)) return false;
        }
    return true;
}

/* The dearest pair of the cheapest matching between two groups (s per byte), cheapest by its dearest pair. */
static double bottleneck(const struct task *t, int p, int q, struct arena *a) {
    const struct net *x = t->net;
    struct arena_mark mark = arena_mark(a);
    struct flow f = {ARENA_ARRAY(a, int, x->K * x->K),
                                 ARENA_ARRAY(a, int, x->K),
                                             ARENA_ARRAY(a, int, x->K), ARENA_ARRAY(a, bool, x->K)};
    for (int n = 0; n < x->N; n++) {
        int i = t->mates[p * x->N + n], j = t->mates[q * x->N + n];
        f.within[x->class_of[n]] += i < j ? i : j;
    }
    int lo = 0, hi = x->n_limit - 1;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (all_pair_up(t, x->limit[mid], p, q, &f))
            hi = mid;
        else
            lo = mid + 1;
    }
    arena_release(a, mark);
    return x->limit[lo];
}

/* [Q1] In the published code the bottleneck matching ends with its first step: the dearest pair of all. */
static double dearest_pair(const struct task *t, int p, int q) {
    const struct net *x = t->net;
    double worst = 0;
    for (int n = 0; n < x->N; n++) {
        int k = x->class_of[n], mates = t->mates[q * x->N + n];
        if (!t->mates[p * x->N + n]) continue;
        for (int j = 0; j < x->K; j++)
            if (t->count[q * x->K + j] > (j == k ? mates : 0)) worst = fmax(worst, x->far[k * x->K + j]);
        if (mates) worst = fmax(worst, x->near[k]);
    }
    return worst;
}

/* C, s of communication: the slowest all-reduce and both ways along the shortest path through the groups
 * (t->path). */
static double cost(struct task *t, const int *label, struct arena *a) {
    double worst = 0;
    count_groups(t, label);
    for (int p = 0; p < t->P; p++) {
        worst = fmax(worst, group_cost(t, p));
        for (int q = p + 1; q < t->P; q++)
            t->cross[p * t->P + q] = t->cross[q * t->P + p] =
                t->q->corrected ? bottleneck(t, p, q, a) : dearest_pair(t, p, q);
    }
    return worst * t->gradient_bytes + 2 * shortest_path(t->P, t->cross, t->path, a) * t->message_bytes;
}

/* ---- the genetic algorithm -------------------------------------------------------------------------------
 */

/* Groups of D again: GPUs of groups that have too many go to the first that has too few. */
static void rebalance(const struct task *t, int *label) {
    for (int p = 0; p < t->P; p++) t->size[p] = 0;
    for (int v = 0; v < t->net->G; v++) t->size[label[v]]++;
    for (int v = 0; v < t->net->G; v++) {
        int p = label[v], q = 0;
        if (t->size[p] <= t->D) continue;
        while (t->size[q] >= t->D) q++;
        label[v] = q;
        t->size[p]--;
        t->size[q]++;
    }
}

/* A move of GPU v to its best other group, or back to the group where a cycle began. */
struct move {
    int v, from, to;
    double gain, gain_home;
};

/* What v pays to its cheapest neighbour in its group. */
static double own_cost(const struct task *t, int v, int p) {
    const struct net *x = t->net;
    int k = x->class[v];
    if (t->mates[p * x->N + x->node[v]] > 1) return x->near[k];
    double least = INFINITY;
    for (int j = 0; j < x->K; j++)
        if (t->count[p * x->K + j] > (j == k)) least = fmin(least, x->far[k * x->K + j]);
    return least;
}

/* The move that group p proposes: of its free GPU with the least own cost. v = -1: it has none. */
static struct move nominate(const struct task *t, const int *label, const bool *locked, int p, int home) {
    const struct net *x = t->net;
    struct move y = {-1, p, -1, -INFINITY, -INFINITY};
    double own = 0;
    for (int v = 0; v < x->G; v++) {
        if (label[v] != p || locked[v]) continue;
        double c = own_cost(t, v, p);
        if (y.v < 0 || c < own) y.v = v, own = c;
    }
    for (int q = 0; q < t->P && y.v >= 0; q++) {
        if (q == p) continue;
        double gain = sum_to(t, x->class[y.v], q, t -> mates[q * x->N + x->node[y.v]]) / t->size[q] - own;
        if (y.to < 0 || gain > y.gain) y.gain = gain, y.to = q;
        if (q == home) y.gain_home = gain;
    }
    return y;
}

static void move_to(struct task *t, int *label, int v, int to) {
    const struct net *x = t->net;
    int from = label[v], k = x->class[v], n = x->node[v];
    t->count[from * x->K + k]--;
    t->mates[from * x->N + n]--;
    t->size[from]--;
    t->count[to * x->K + k]++;
    t->mates[to * x->N + n]++;
    t->size[to]++;
    label[v] = to;
}

/* A cycle of moves from the group with the best proposal: each group that gets a GPU passes one on. It is
 * closed where the sum of gains is best; those moved stay locked. Returns that sum, or -INFINITY if nothing
 * is free. */
static double cycle(struct task *t, int *label, bool *locked, struct move *moves) {
    const int G = t->net->G;
    struct move y = {.v = -1};
    for (int p = 0; p < t->P; p++) {
        struct move z = nominate(t, label, locked, p, -1);
        if (z.v >= 0 && (y.v < 0 || z.gain > y.gain)) y = z;
    }
    if (y.v < 0) return -INFINITY;
    int home = y.from, n = 0, close = 0;
    double sum = 0, best = -INFINITY;
    while (n < G) {
        moves[n++] = y;
        locked[y.v] = true;
        move_to(t, label, y.v, y.to);
        sum += y.gain;
        if (y.to == home) break;
        struct move z = nominate(t, label, locked, y.to, home);
        if (z.v < 0) break;
        if (sum + z.gain_home > best) best = sum + z.gain_home, close = n, moves[n] = z;
        y = z;
    }
    for (int i = n - 1; i >= 0; i--) move_to(t, label, moves[i].v, moves[i].from), locked[moves[i].v] = false;
    if (!close) return -INFINITY;
    for (int i = 0; i <= close; i++) {
        move_to(t, label, moves[i].v, i == close ? home : moves[i].to);
        locked[moves[i].v] = true;
    }
    return best;
}

/* Cycles as long as a group has free GPUs; what the best number of them gives, the last one never counted. */
static void improve(struct task *t, int *label, struct arena *a) {
    const int G = t->net->G;
    struct arena_mark mark = arena_mark(a);
    bool *locked = ARENA_ARRAY(a, bool, G);
    int *now = ARENA_ARRAY(a, int, G);
    struct move *moves = ARENA_ARRAY(a, struct move, G + 1);
    double sum = 0, best = 0;
    count_groups(t, label);
    memcpy(now, label, sizeof *now * (size_t)G);
    for (int i = 0; i < t->P - 1; i++) {
        double gain = cycle(t, now, locked, moves);
        if (gain == -INFINITY) break;
        sum += gain;
        if (sum > best) best = sum, memcpy(label, now, sizeof *now * (size_t)G);
    }
    arena_release(a, mark);
}

/* A deal: the groups one after the other, their members in order. */
struct deal {
    int *member; /* [G] */
    double cost;
};

static void label_of(const struct task *t, const int *member, int *label) {
    for (int i = 0; i < t->net->G; i++) label[member[i]] = i / t->D;
}

static void members_of(const struct task *t, const int *label, int *member) {
    for (int p = 0; p < t->P; p++) t->size[p] = 0;
    for (int v = 0; v < t->net->G; v++) member[label[v] * t->D + t->size[label[v]]++] = v;
}

/* A child has the groups of its second parent but for a few GPUs, which have those of the first. */
static void breed(struct task *t, const struct deal *first, const struct deal *second, int *label, int *other,
                  int *some, struct arena *a) {
    const int G = t->net->G;
    label_of(t, second->member, label);
    label_of(t, first->member, other);
    for (int i = 0; i < G; i++) some[i] = i;
    shuffle(some, G, G < SWAPPED ? G : SWAPPED, &t->random);
    for (int i = 0; i < SWAPPED && i < G; i++) label[some[i]] = other[some[i]];
    rebalance(t, label);
    improve(t, label, a);
}

/* The best deal after all trials. Those that a trial does not put among the first ten are worse than one of
 * them, so that they need not be remembered. */
static struct deal evolve(struct task *t, long trials, uint64_t *states, struct arena *a) {
    const int G = t->net->G;
    struct deal all[POPULATION], best;
    int *label = ARENA_ARRAY(a, int, G), *other = ARENA_ARRAY(a, int, G), *some = ARENA_ARRAY(a, int, G);
    for (int i = 0; i < POPULATION; i++) {
        all[i].member = ARENA_ARRAY(a, int, G);
        for (int v = 0; v < G; v++) all[i].member[v] = v;
        shuffle(all[i].member, G, G, &t->random);
        label_of(t, all[i].member, label);
        all[i].cost = cost(t, label, a);
    }
    for (long n = 0; n < trials && !question_stopped(t->q); n++) {
        int pair[POPULATION];
        for (int i = 0; i < POPULATION; i++) pair[i] = i;
        shuffle(pair, POPULATION, 2, &t->random);
        struct deal *x = &all[pair[0]], *y = &all[pair[1]];
        breed(t, x, y, label, other, some, a);
        double c = cost(t, label, a);
        /* [Q4] a child must not be worse than the first parent; meant was: than both */
        if (c > x->cost && !(t->q->corrected && c <= y->cost)) continue;
        struct deal *out = x->cost > y->cost ? x : y;
        members_of(t, label, out->member);
        out->cost = c;
    }
    *states += (uint64_t)trials + POPULATION;
    best = all[0];
    for (int i = 1; i < POPULATION; i++)
        if (all[i].cost < best.cost) best = all[i];
    return best;
}

/* ---- plans -----------------------------------------------------------------------------------------------
 */

static double pair_s(const struct net *x, int v, int w) {
    return x->node[v] == x->node[w] ? x->near[x->class[v]] : x->far[x->class[v] * x -> K + x -> class[w]];
}

/* Members of the next group in the order of their partners in `from`. */
static void align(const struct task *t, const int *from, int p, int q, int *to, struct arena *a) {
    const int D = t->D;
    struct arena_mark mark = arena_mark(a);
    double *c = ARENA_ARRAY(a, double, (size_t)D * (size_t)D), limit = t->cross[p * t->P + q];
    int *match = ARENA_ARRAY(a, int, D), *next = ARENA_ARRAY(a, int, D);
    size_t worst = 0;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            size_t k = (size_t)i * (size_t)D + (size_t)j;
            double s = pair_s(t->net, from[i], to[j]);
            c[k] = t->message_bytes * s;
            if (t->q->corrected && s > limit) c[k] = 1e9; /* not needed, if both ways cost the same */
            if (c[k] > c[worst]) worst = k;
        }
    if (!t->q->corrected) c[worst] = FORBIDDEN_S; /* [Q1] so that the dearest pair is taken */
    least_matching(D, c, match, a);
    for (int i = 0; i < D; i++) next[i] = to[match[i]];
    memcpy(to, next, sizeof *to * (size_t)D);
    arena_release(a, mark);
}

/* The groups along the path as stages, equal replicas beside each other merged. */
static struct plan *plan_of(struct task *t, const struct deal *x, struct arena *a) {
    const struct workload *w = t->q->w;
    int *label = ARENA_ARRAY(a, int, t->net->G);
    struct plan *p = grid_plan(w, 0, 0, t->D, t->P, 1, t->m, a);
    label_of(t, x->member, label);
    cost(t, label, a); /* for the path */
    for (int i = 0; i < t->P; i++) {
        struct stage *s = &p->pipeline->stage[i];
        int *v = &x->member[t->path[i] * t->D];
        if (i) align(t, &x->member[t->path[i - 1] * t->D], t->path[i - 1], t->path[i], v, a);
        even_layers(w->model->n_layer, t->P, true, i, &s->first, &s->end);
        s->group = ARENA_ARRAY(a, struct replicas, t->D);
        s->n_group = 0;
        for (int j = 0; j < t->D; j++) {
            int k = t->net->class[v[j]];
            if (j && k == t->net->class[v[j - 1]])
                s->group[s->n_group - 1].count++;
            else
                s->group[s->n_group++] =
                    (struct replicas){.gpu = t->net->gpu[k], .zone = t->net->zone[k], .tp = 1, .count = 1};
        }
    }
    return p;
}

/* ---- search ----------------------------------------------------------------------------------------------
 */

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static struct net *net_of(const struct question *q, struct arena *a) {
    const struct pool *pool = q->pool;
    const struct site *s = q->w->site;
    struct net *x = ARENA_NEW(a, struct net);
    for (int i = 0; i < pool->n_entry; i++) {
        int per_node = s->gpu[pool->entry[i].gpu].gpus_per_node, n = pool->entry[i].count;
        if (!n) continue;
        x->K++;
        x->G += n;
        x->N += (n + per_node - 1) / per_node;
    }
    int *class = ARENA_ARRAY(a, int, x->G),
                             *node = ARENA_ARRAY(a, int, x->G), *class_of = ARENA_ARRAY(a, int, x->N);
    int *zone = ARENA_ARRAY(a, int, x->K), *gpu = ARENA_ARRAY(a, int, x->K), v = 0, k = 0, n = 0;
    double *far = ARENA_ARRAY(a, double, x->K * x->K), *near = ARENA_ARRAY(a, double, x->K);
    double *limit = ARENA_ARRAY(a, double, (x->K + 1) * x->K);
    for (int i = 0; i < pool->n_entry; i++) {
        const struct pool_entry *e = &pool->entry[i];
        int per_node = s->gpu[e->gpu].gpus_per_node;
        if (!e->count) continue;
        for (int j = 0; j < e->count; j++) {
            if (j && j % per_node == 0) n++;
            class[v] = k;
            class_of[node[v] = n] = k;
            v++;
        }
        zone[k] = e->zone;
        gpu[k++] = e->gpu;
        n++;
    }
    for (int i = 0; i < x->K; i++) {
        const struct link *inner = &s->intra[gpu[i] * TP_N + 1];
        for (int j = 0; j < x->K; j++) {
            const struct link *l = site_link(s, zone[i], gpu[i], 1, zone[j], gpu[j], 1);
            limit[x->n_limit++] = far[i * x->K + j] =
                l && l->peak_Bps > 0 ? 1 / l->peak_Bps : 1; /* none: 1 B/s */
        }
        limit[x->n_limit++] = near[i] = inner->known ? 1 / inner->peak_Bps : far[i * x->K + i];
    }
    qsort(limit, (size_t)x->n_limit, sizeof *limit, ascending);
    x->class = class;
    x->node = node;
    x->class_of = class_of;
    x->zone = zone;
    x->gpu = gpu;
    x->far = far;
    x->near = near;
    x->limit = limit;
    return x;
}

static int microbatches(const struct task *t) {
    return (t->q->w->global_batch_size + t->m * t->D - 1) / (t->m * t->D);
}

/* What C leaves out [Q3]: the computation of all microbatches, by the slowest GPU type. NAN: not measured. */
static double compute_s(const struct task *t) {
    const struct workload *w = t->q->w;
    double sum = 0, slowest = 0;
    for (int i = 0, first, end; i < t->P; i++) {
        double stage = 0;
        even_layers(w->model->n_layer, t->P, true, i, &first, &end);
        for (int k = 0; k < t->net->K; k++) {
            const struct layer_times *f = profile_times(w->profile[t->net->gpu[k]], t->m, 1);
            double s = 0;
            if (!f) return NAN;
            for (int l = first; l < end; l++) s += f->fwd_s[l] + f->bwd_s[l];
            stage = fmax(stage, s);
        }
        sum += stage;
        slowest = fmax(slowest, stage);
    }
    return sum + (microbatches(t) - 1) * slowest;
}

/* What goes over the net: the gradients of the largest stage, and [Q2] the retained activations of a
 * microbatch, where the output of a layer is meant; corrected for all microbatches [Q3]. */
static void set_sizes(struct task *t) {
    const struct workload *w = t->q->w;
    const struct model *m = w->model;
    for (int i = 0, first, end; i < t->P; i++) {
        double bytes = 0;
        even_layers(m->n_layer, t->P, true, i, &first, &end);
        for (int l = first; l < end; l++) bytes += (double)w->element_bytes * m->params[0][l];
        t->gradient_bytes = fmax(t->gradient_bytes, bytes);
    }
    double sequences = t->q->corrected ? (double)t->m * microbatches(t) : t->m;
    t->message_bytes = w->element_bytes * (t->q->corrected ? m->act_out[1] : m->act_mem[0][1]) * sequences;
}

/* By C, then as found. */
static int by_cost(const void *x, const void *y) {
    const struct proposal *a = x, *b = y;
    return a->time_s != b->time_s ? a->time_s < b->time_s ? -1 : 1 : a->id < b->id ? -1 : a->id > b->id;
}

static int dtfm_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    static const int microbatch[] = {1, 2, 4, 8};
    const struct workload *w = q->w;
    const struct net *x = net_of(q, a);
    int most = w->model->n_layer < x->G ? w->model->n_layer : x->G;
    struct proposal *list = ARENA_ARRAY(a, struct proposal, 4 * LAYERS_MAX);
    (void)e;
    *out = (struct answer){.proposal = list};
    for (int P = 2; P < most; P++)
        for (int i = 0; i < 4 && most % P == 0 && x->G % P == 0; i++) {
            struct task t = {q, x, .P = P, .D = x->G / P, .m = microbatch[i]};
            t.random = (uint64_t)P << 32 | (uint64_t)t.m; /* [Q5] the published runs are not seeded */
            if (t.D > w->global_batch_size / t.m) continue;
            double plus_s = q->corrected ? compute_s(&t) : 0;
            if (isnan(plus_s)) continue;
            struct arena own = {0};
            t.count = ARENA_ARRAY(&own, int, P * x->K);
            t.size = ARENA_ARRAY(&own, int, P);
            t.mates = ARENA_ARRAY(&own, int, P * x->N);
            t.path = ARENA_ARRAY(&own, int, P);
            t.cross = ARENA_ARRAY(&own, double, P * P);
            set_sizes(&t);
            struct deal best = evolve(&t, q->states ? q->states : TRIALS, &out->states, &own);
            struct plan *p = plan_of(&t, &best, &own);
            list[out->n] = (struct proposal){best.cost + plus_s, NAN, out->n, plan_copy(p, a)};
            out->n++;
            arena_free(&own);
        }
    qsort(list, (size_t)out->n, sizeof *list, by_cost);
    for (int i = 0; i < out->n; i++) /* C is no time of an iteration; corrected it is */
        if (q->corrected)
            list[i].cost_usd = rental_usd(w, list[i].plan, list[i].time_s);
        else
            list[i].time_s = NAN;
    return 0;
}

const struct planner dtfm_planner = {
    .name = "dtfm",
    .about = "all zones and GPU types, one GPU per replica; a genetic algorithm over the communication alone",
    .can = CAN_CORRECTED | CAN_STATES,
    .every_profile = true,
    .solve = planner_walk,
    .propose = dtfm_propose,
};
