#include "planners/dtfm.h"

#include <stdlib.h>
#include <string.h>

/* DT-FM: every GPU is a replica of its own. A genetic algorithm deals the GPUs of all zones and types into P
 * groups of D, so that the all-reduces within the groups and the messages along a path through them are
 * cheap; the groups become the stages. GPUs of one type in one zone differ only in their node, so sums and
 * extrema run over classes and nodes, never over pairs of GPUs: a trial costs O(G), not O(G^3). */

enum { POPULATION = 10, TRIALS = 40, SWAPPED = 5 };

/* The cost of a forbidden pair: 1e6 in the published unit of 1/64e9 s, meant to exceed everything else. */
static const double FORBIDDEN_S = 1e6 / 64e9;

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

/* ---- the genetic algorithm -------------------------------------------------------------------------------
 */

/* Restores groups of D: GPUs of groups that are too large go to the first that is too small. */
static void rebalance(const struct dtfm_task *t, int *label) {
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

/* A move of GPU v to the best other group, or back to the group where the cycle began. */
struct move {
    int v, from, to;
    double gain, gain_home;
};

/* The cost between v and its cheapest neighbour in its group. */
static double own_cost(const struct dtfm_task *t, int v, int p) {
    const struct dtfm_net *x = t->net;
    int k = x->class[v];
    if (t->mates[p * x->N + x->node[v]] > 1) return x->near[k];
    double least = INFINITY;
    for (int j = 0; j < x->K; j++)
        if (t->count[p * x->K + j] > (j == k)) least = fmin(least, x->far[k * x->K + j]);
    return least;
}

/* The move that group p proposes: that of its free GPU with the least own cost. v = -1: it has none. */
static struct move nominate(const struct dtfm_task *t, const int *label, const bool *locked, int p,
                            int home) {
    const struct dtfm_net *x = t->net;
    struct move y = {-1, p, -1, -INFINITY, -INFINITY};
    double own = 0;
    for (int v = 0; v < x->G; v++) {
        if (label[v] != p || locked[v]) continue;
        double c = own_cost(t, v, p);
        if (y.v < 0 || c < own) {
            y.v = v;
            own = c;
        }
    }
    for (int q = 0; q < t->P && y.v >= 0; q++) {
        if (q == p) continue;
        int mates = t->mates[q * x->N + x->node[y.v]];
        double gain = dtfm_sum_to(t, x->class[y.v], q, mates) / t->size[q] - own;
        if (y.to < 0 || gain > y.gain) {
            y.gain = gain;
            y.to = q;
        }
        if (q == home) y.gain_home = gain;
    }
    return y;
}

static void move_to(struct dtfm_task *t, int *label, int v, int to) {
    const struct dtfm_net *x = t->net;
    int from = label[v], k = x->class[v], n = x->node[v];
    t->count[from * x->K + k]--;
    t->mates[from * x->N + n]--;
    t->size[from]--;
    t->count[to * x->K + k]++;
    t->mates[to * x->N + n]++;
    t->size[to]++;
    label[v] = to;
}

/* A cycle of moves, starting from the group with the best proposal: each group that gets a GPU passes one on.
 * It closes where the sum of gains is best; moved GPUs stay locked. Returns that sum, or -INFINITY if none is
 * free. */
static double cycle(struct dtfm_task *t, int *label, bool *locked, struct move *moves) {
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
        if (sum + z.gain_home > best) {
            best = sum + z.gain_home;
            close = n;
            moves[n] = z;
        }
        y = z;
    }
    for (int i = n - 1; i >= 0; i--) {
        move_to(t, label, moves[i].v, moves[i].from);
        locked[moves[i].v] = false;
    }
    if (!close) return -INFINITY;
    for (int i = 0; i <= close; i++) {
        move_to(t, label, moves[i].v, i == close ? home : moves[i].to);
        locked[moves[i].v] = true;
    }
    return best;
}

/* Runs cycles while a group has free GPUs, and keeps the number of cycles that gains most, never all of
 * them. */
static void improve(struct dtfm_task *t, int *label, struct arena *a) {
    const int G = t->net->G;
    struct arena_mark mark = arena_mark(a);
    bool *locked = ARENA_ARRAY(a, bool, G);
    int *now = ARENA_ARRAY(a, int, G);
    struct move *moves = ARENA_ARRAY(a, struct move, G + 1);
    double sum = 0, best = 0;
    dtfm_count_groups(t, label);
    memcpy(now, label, sizeof *now * (size_t)G);
    for (int i = 0; i < t->P - 1; i++) {
        double gain = cycle(t, now, locked, moves);
        if (gain == -INFINITY) break;
        sum += gain;
        if (sum > best) {
            best = sum;
            memcpy(label, now, sizeof *now * (size_t)G);
        }
    }
    arena_release(a, mark);
}

/* A deal: the groups one after another, their members in order. */
struct deal {
    int *member; /* [G] */
    double cost;
};

static void label_of(const struct dtfm_task *t, const int *member, int *label) {
    for (int i = 0; i < t->net->G; i++) label[member[i]] = i / t->D;
}

static void members_of(const struct dtfm_task *t, const int *label, int *member) {
    for (int p = 0; p < t->P; p++) t->size[p] = 0;
    for (int v = 0; v < t->net->G; v++) member[label[v] * t->D + t->size[label[v]]++] = v;
}

/* A child has the groups of its second parent, except for a few GPUs, which have those of the first. */
static void breed(struct dtfm_task *t, const struct deal *first, const struct deal *second, int *label,
                  int *other, int *some, struct arena *a) {
    const int G = t->net->G;
    label_of(t, second->member, label);
    label_of(t, first->member, other);
    for (int i = 0; i < G; i++) some[i] = i;
    shuffle(some, G, G < SWAPPED ? G : SWAPPED, &t->random);
    for (int i = 0; i < SWAPPED && i < G; i++) label[some[i]] = other[some[i]];
    rebalance(t, label);
    improve(t, label, a);
}

/* The best deal after all trials. A deal that does not make the first ten is worse than one of them, so it
 * need not be kept. */
static struct deal evolve(struct dtfm_task *t, long trials, uint64_t *states, struct arena *a) {
    const int G = t->net->G;
    struct deal all[POPULATION], best;
    int *label = ARENA_ARRAY(a, int, G), *other = ARENA_ARRAY(a, int, G), *some = ARENA_ARRAY(a, int, G);
    for (int i = 0; i < POPULATION; i++) {
        all[i].member = ARENA_ARRAY(a, int, G);
        for (int v = 0; v < G; v++) all[i].member[v] = v;
        shuffle(all[i].member, G, G, &t->random);
        label_of(t, all[i].member, label);
        all[i].cost = dtfm_cost(t, label, a);
    }
    for (long n = 0; n < trials && !question_stopped(t->q); n++) {
        int pair[POPULATION];
        for (int i = 0; i < POPULATION; i++) pair[i] = i;
        shuffle(pair, POPULATION, 2, &t->random);
        struct deal *x = &all[pair[0]], *y = &all[pair[1]];
        breed(t, x, y, label, other, some, a);
        double c = dtfm_cost(t, label, a);
        /* [Q4] a child must not be worse than the first parent; it was meant to be compared with both */
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

static double pair_s(const struct dtfm_net *x, int v, int w) {
    int k = x->class[v], l = x->class[w];
    return x->node[v] == x->node[w] ? x->near[k] : x->far[k * x->K + l];
}

/* Orders the members of the next group like their partners in `from`. */
static void align(const struct dtfm_task *t, const int *from, int p, int q, int *to, struct arena *a) {
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
            if (t->q->corrected && s > limit) c[k] = 1e9; /* not needed if both ways cost the same */
            if (c[k] > c[worst]) worst = k;
        }
    if (!t->q->corrected) c[worst] = FORBIDDEN_S; /* [Q1] so that the most expensive pair is taken */
    dtfm_least_matching(D, c, match, a);
    for (int i = 0; i < D; i++) next[i] = to[match[i]];
    memcpy(to, next, sizeof *to * (size_t)D);
    arena_release(a, mark);
}

/* Turns the groups along the path into stages, merging adjacent equal replicas. */
static struct plan *plan_of(struct dtfm_task *t, const struct deal *x, struct arena *a) {
    const struct workload *w = t->q->w;
    int *label = ARENA_ARRAY(a, int, t->net->G);
    struct plan *p = grid_plan(w, 0, 0, t->D, t->P, 1, t->m, a);
    label_of(t, x->member, label);
    dtfm_cost(t, label, a); /* for the path */
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

/* By C, then in the order found. */
static int by_cost(const void *x, const void *y) {
    const struct proposal *a = x, *b = y;
    return a->time_s != b->time_s ? a->time_s < b->time_s ? -1 : 1 : a->id < b->id ? -1 : a->id > b->id;
}

static int dtfm_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    static const int microbatch[] = {1, 2, 4, 8};
    const struct workload *w = q->w;
    const struct dtfm_net *x = dtfm_net_of(q, a);
    int most = w->model->n_layer < x->G ? w->model->n_layer : x->G;
    struct proposal *list = ARENA_ARRAY(a, struct proposal, 4 * LAYERS_MAX);
    (void)e;
    *out = (struct answer){.proposal = list};
    for (int P = 2; P < most; P++)
        for (int i = 0; i < 4 && most % P == 0 && x->G % P == 0; i++) {
            struct dtfm_task t = {q, x, .P = P, .D = x->G / P, .m = microbatch[i]};
            t.random = (uint64_t)P << 32 | (uint64_t)t.m; /* [Q5] the published runs are not seeded */
            if (t.D > w->global_batch_size / t.m) continue;
            double plus_s = q->corrected ? dtfm_compute_s(&t) : 0;
            if (isnan(plus_s)) continue;
            struct arena own = {0};
            t.count = ARENA_ARRAY(&own, int, P * x->K);
            t.size = ARENA_ARRAY(&own, int, P);
            t.mates = ARENA_ARRAY(&own, int, P * x->N);
            t.path = ARENA_ARRAY(&own, int, P);
            t.cross = ARENA_ARRAY(&own, double, P * P);
            dtfm_set_sizes(&t);
            struct deal best = evolve(&t, q->states ? q->states : TRIALS, &out->states, &own);
            struct plan *p = plan_of(&t, &best, &own);
            list[out->n] = (struct proposal){best.cost + plus_s, NAN, out->n, plan_copy(p, a)};
            out->n++;
            arena_free(&own);
        }
    qsort(list, (size_t)out->n, sizeof *list, by_cost);
    for (int i = 0; i < out->n; i++) /* C is not the time of an iteration; in corrected mode it is */
        if (q->corrected)
            list[i].cost_usd = rental_usd(w, list[i].plan, list[i].time_s);
        else
            list[i].time_s = NAN;
    return 0;
}

const struct planner dtfm_planner = {
    .about = "all zones and GPU types, one GPU per replica; a genetic algorithm on communication alone",
    PLANNER_PUBLISHED("dtfm", CAN_STATES, dtfm_propose, NULL),
};
