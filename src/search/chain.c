/* The surrogates charge each stage the fastest link that its class has to any other. Where a type is far from
 * the others, and has not enough GPUs for all layers, some stages pay more than that: the tables here know of
 * which group the neighbours of a stage are. One weighting of the types serves them, the one found to leave
 * least room for the window. */
#include "search/chain.h"

#include <math.h>

enum { ROW = LEVELS + 1, GROUPS_MAX = GPUS_MAX + 1 };

/* How a prefix of the layers is covered: the last stage, and the group of the one in front of it. */
struct chain_step {
    int first, cls, before;
};

/* ---- groups ------------------------------------------------------------------------- */

enum { KINDS = GPUS_MAX * TP_N };

/* Least transfers between two types at all degrees, whatever their cells: kind[KINDS][KINDS]. */
static void kind_transfers(const struct space *s, const struct mb_space *mb, int size, double *kind) {
    size_t q = (size_t)s->n_cell * TP_N;
    for (int k = 0; k < KINDS * KINDS; k++) kind[k] = INFINITY;
    for (size_t x = 0; x < q; x++)
        for (size_t y = 0; y < q; y++) {
            int a = s->cell[x / TP_N].gpu * TP_N + (int)(x % TP_N),
                b = s->cell[y / TP_N].gpu * TP_N + (int)(y % TP_N);
            kind[a * KINDS + b] = fmin(kind[a * KINDS + b], mb->kind_time[((size_t)size * q + x) * q + y]);
        }
}

/* Each kind of either class has a partner in the other. */
static double class_transfer(const double *kind, const struct stage_class *a, const struct stage_class *b) {
    double worst = 0, reached[GPUS_MAX];
    for (int y = 0; y < GPUS_MAX; y++) reached[y] = INFINITY;
    for (unsigned left = a->gpus; left; left &= left - 1) {
        int x = __builtin_ctz(left);
        double best = INFINITY;
        for (unsigned to = b->gpus; to; to &= to - 1) {
            int y = __builtin_ctz(to);
            double t = kind[(x * TP_N + a->ti[x]) * KINDS + y * TP_N + b->ti[y]];
            if (t < best) best = t;
            if (t < reached[y]) reached[y] = t;
        }
        if (best > worst) worst = best;
    }
    for (unsigned to = b->gpus; to; to &= to - 1)
        if (reached[__builtin_ctz(to)] > worst) worst = reached[__builtin_ctz(to)];
    return worst;
}

/* Least transfers of one size from each class to each group. Of the class that stands for the rest only the
 * least is known, wherever it sends, and whoever sends to it. */
static void build_transfers(const struct space *s, struct mb_space *mb, int size, const double *kind) {
    int layer = 0;
    while (mb->size_of[layer] != size) layer++;
    for (int a = 0; a < mb->n_class; a++) {
        double *to = mb->to + (a * mb->n_size + size) * mb->n_group, least = mb->act_min[a * s->L + layer];
        for (int g = 0; g < mb->n_group; g++) to[g] = INFINITY;
        for (int b = 0; b < mb->n_class; b++) {
            bool known = !mb->cls[a].rest && !mb->cls[b].rest;
            double t = known ? class_transfer(kind, &mb->cls[a], &mb->cls[b]) : least;
            to[mb->group[b]] = fmin(to[mb->group[b]], fmax(t, least));
        }
    }
}

/* Is there a type that sends to itself in much less time than to any other? Else the tables cost more than
 * they save. */
static bool some_type_is_far(const struct mb_space *mb) {
    const double MUCH = 2;
    int G = mb->n_group;
    for (int g = 0; g < G - 1; g++) {
        double own = INFINITY, others = INFINITY;
        for (int c = 0; c < mb->n_class; c++)
            for (int k = 0; k < G - 1 && mb->group[c] == g; k++) {
                double *best = k == g ? &own : &others;
                *best = fmin(*best, mb->to[c * mb->n_size * G + k]);
            }
        if (others > MUCH * own) return true;
    }
    return false;
}

void chain_build(const struct space *s, struct mb_space *mb, struct arena *a) {
    unsigned types = 0;
    for (int c = 0; c < s->n_cell; c++) types |= 1u << s->cell[c].gpu;
    if (!(types & (types - 1)) || s->p->without & BOUND_CHAIN) return;
    mb->n_group = __builtin_popcount(types) + 1;
    mb->group = ARENA_ARRAY(a, signed char, mb->n_class);
    for (int c = 0; c < mb->n_class; c++) {
        const struct stage_class *cl = &mb->cls[c];
        unsigned before = types & ((cl->gpus & -cl->gpus) - 1); /* types with lower numbers */
        bool alone = cl->n_kind == 1 && !cl->rest;
        mb->group[c] = (signed char)(alone ? __builtin_popcount(before) : mb->n_group - 1);
    }
    mb->to = ARENA_ARRAY(a, double, mb->n_class *mb->n_size *mb->n_group);
    struct arena scratch = {0};
    double *kind = ARENA_ARRAY(&scratch, double, KINDS *KINDS);
    for (int size = 0; size < mb->n_size; size++) {
        kind_transfers(s, mb, size, kind);
        build_transfers(s, mb, size, kind);
    }
    arena_free(&scratch);
    if (!some_type_is_far(mb) && !(s->p->with & BOUND_CHAIN)) mb->n_group = 0;
}

/* ---- covers ------------------------------------------------------------------------- */

void chain_init(struct window_tables *t, struct arena *a) {
    int G = 0, K = 0;
    for (int k = 0; k < t->s->n_mb; k++) {
        G = t->s->mb[k].n_group > G ? t->s->mb[k].n_group : G;
        K = t->s->mb[k].n_class > K ? t->s->mb[k].n_class : K;
    }
    int n = (t->s->L + 1) * G * G;
    t->chain = (struct chain){0};
    if (!n) return;
    t->chain.cover = ARENA_ARRAY(a, double, n);
    t->chain.sum = ARENA_ARRAY(a, double, (size_t)n *ROW);
    t->chain.from = ARENA_ARRAY(a, struct chain_step, n);
    t->chain.class_cost = ARENA_ARRAY(a, double, K);
}

/* Of what covers [0, l), the last stage of group g, in front of one of group n. In front of no stage n is 0.
 */
static size_t place(const struct window_tables *t, int l, int g, int n) {
    size_t G = (size_t)t->mb->n_group;
    return ((size_t)l * G + (size_t)g) * G + (size_t)n;
}

/* What a stage [i, e) pays for its transfers: how much of them, their sizes, and how many groups its
 * neighbours can be of; 1 also where there is no neighbour. */
struct ends {
    struct comm_share share;
    int before, after, act, grad;
};

static struct ends ends_of(const struct window_tables *t, int i, int e) {
    int L = t->s->L, G = t->mb->n_group;
    return (struct ends){.share = comm_share(t->s->p->estimator, i == 0, e == L, 1 + (i > 0) + (e < L)),
                         .before = i > 0 ? G : 1,
                         .after = e < L ? G : 1,
                         .act = t->mb->size_of[e - 1],
                         .grad = t->mb->size_of[i]};
}

static double share_of(double share, const struct mb_space *mb, int cls, int size, int group) {
    return share > 0 ? share * mb->to[(cls * mb->n_size + size) * mb->n_group + group] : 0;
}

/* No stage of the window takes longer. */
static double limit_s(double x_hi) { return x_hi * (1 + 1e-12); }

/* Puts a stage [i, e) that takes `cost` behind all covers of [0, i). Returns the largest number in `here`. */
static double put_stage(struct window_tables *t, int i, const struct ends *end, const struct allowed *w,
                        double cost, double x_hi, double *here, struct chain_step *from) {
    const double *before = t->chain.cover;
    int g = t->mb->group[w->cls];
    double worst = 0;
    for (int p = 0; p < end->before; p++) {
        double sum = cost + (i > 0 ? before[place(t, i, p, g)] : 0),
               room = limit_s(x_hi) - w->comp - share_of(end->share.grad, t->mb, w->cls, end->grad, p);
        if (room < 0) continue;
        for (int n = 0; n < end->after; n++) {
            if (sum >= here[n] || share_of(end->share.act, t->mb, w->cls, end->act, n) > room) continue;
            here[n] = sum;
            from[n] = (struct chain_step){i, w->cls, p};
        }
    }
    for (int n = 0; n < end->after; n++)
        if (here[n] > worst) worst = here[n];
    return worst;
}

/* Fills t->chain.cover: the least weight of the GPUs that cover each prefix of the layers with stages of at
 * most x_hi. Returns that of all layers. */
static double cover(struct window_tables *t, double x_hi) {
    const struct mb_space *mb = t->mb;
    int L = t->s->L, G = mb->n_group;
    double easiest[LAYERS_MAX + 1][GROUPS_MAX], all = INFINITY; /* of each prefix, in front of a group */
    for (int g = 0; g < G; g++) easiest[0][g] = 0;
    for (int e = 1; e <= L; e++) {
        double *here = t->chain.cover + place(t, e, 0, 0), worst[GROUPS_MAX];
        struct chain_step *from = t->chain.from + place(t, e, 0, 0);
        for (int k = 0; k < G * G; k++) here[k] = INFINITY;
        for (int g = 0; g < G; g++) worst[g] = easiest[e][g] = INFINITY;
        if (t->min_depth[e] > L) continue;
        if (window_stopped(t)) return INFINITY;
        for (int i = 0; i < e; i++) {
            struct ends end = ends_of(t, i, e);
            int n;
            const struct allowed *w = window_allowed(t, i, e, &n);
            t->chain.work += (uint64_t)n;
            for (int k = 0; k < n; k++) {
                int g = mb->group[w[k].cls];
                double cost = t->chain.class_cost[w[k].cls];
                if (easiest[i][g] + cost >= worst[g] || w[k].weight > x_hi) continue;
                worst[g] = put_stage(t, i, &end, &w[k], cost, x_hi, here + g * G, from + g * G);
                t->chain.work += (uint64_t)(end.before * end.after);
            }
        }
        for (int k = 0; k < G * G; k++)
            if (here[k] < easiest[e][k % G]) easiest[e][k % G] = here[k];
    }
    for (int g = 0; g < G; g++) all = fmin(all, t->chain.cover[place(t, L, g, 0)]);
    return all;
}

/* GPUs of each type that the cheapest cover takes, at least. */
static void count_gpus(const struct window_tables *t, const double *weight, double *use) {
    int L = t->s->L, g = 0, n = 0;
    for (int k = 0; k < t->mb->n_group; k++)
        if (t->chain.cover[place(t, L, k, 0)] < t->chain.cover[place(t, L, g, 0)]) g = k;
    for (int k = 0; k < GPUS_MAX; k++) use[k] = 0;
    for (int e = L; e > 0;) {
        const struct chain_step *last = &t->chain.from[place(t, e, g, n)];
        class_stage_use(t->mb, last->cls, weight, t->u->D, use);
        n = g;
        g = last->before;
        e = last->first;
    }
}

static void use_weights(struct window_tables *t, const double *weight) {
    for (int c = 0; c < t->mb->n_class; c++)
        t->chain.class_cost[c] = class_stage_least(t->mb, c, weight, t->u->D);
}

/* Can stages of at most x_hi cover all layers, whatever the weights? Each step moves the weights towards what
 * the cheapest cover has too little of. The best go to the surrogate. */
static bool coverable(struct window_tables *t, double x_hi) {
    enum { STEPS = 6 };
    double *best = t->surrogate[t->n_fixed].weight, gpus[GPUS_MAX], share[GPUS_MAX], most = 0;
    window_gpus(t, gpus);
    bool whole = true; /* weights of the last window may lack types of this one */
    for (int g = 0; g < GPUS_MAX; g++) whole &= !(gpus[g] > 0) || best[g] > 0;
    for (int g = 0; g < GPUS_MAX; g++) share[g] = (whole ? best[g] : t->mb->speed[g]) * gpus[g];
    for (int step = 0; step < STEPS; step++) {
        double weight[GPUS_MAX] = {0}, use[GPUS_MAX], sum = 0, top = 0;
        for (int g = 0; g < GPUS_MAX; g++) sum += share[g];
        if (!(sum > 0)) return true;
        for (int g = 0; g < GPUS_MAX; g++)
            if (gpus[g] > 0) weight[g] = share[g] / sum / gpus[g];
        use_weights(t, weight);
        double need = cover(t, x_hi);
        if (t->stopped) return false;
        if (need > most) {
            most = need;
            for (int g = 0; g < GPUS_MAX; g++) best[g] = weight[g];
        }
        if (need > 1 + 1e-9) return false; /* all GPUs of the scope weigh 1 */
        count_gpus(t, weight, use);
        for (int g = 0; g < GPUS_MAX; g++)
            if (gpus[g] > 0) top = fmax(top, use[g] / gpus[g]);
        if (top <= 1) return true; /* there are enough of each type */
        for (int g = 0; g < GPUS_MAX; g++)
            if (gpus[g] > 0) share[g] *= exp(2 / (1 + 0.3 * step) * (use[g] / gpus[g] - top));
    }
    return true;
}

bool chain_open(struct window_tables *t, bool floors) {
    enum { HALVINGS = 4 };
    double lo = t->w.x_lo, hi = t->w.x_hi;
    if (!coverable(t, hi)) return false;
    for (int k = 0; floors && k < HALVINGS && t->u->M > 1 && hi - lo > 1e-3 * hi; k++) {
        double mid = (lo + hi) / 2;
        *(coverable(t, mid) ? &hi : &lo) = mid;
    }
    t->w.x_lo = lo;
    coverable(t, lo + 0.02 * (t->w.x_hi - lo)); /* the weights that plans near the floor lack most */
    struct surrogate *q = &t->surrogate[t->n_fixed];
    for (int c = 0; c < t->mb->n_class; c++)
        q->class_cost[c] = class_stage_least(t->mb, c, q->weight, t->u->D);
    return !t->stopped;
}

/* ---- sums --------------------------------------------------------------------------- */

/* Stages [i, e) behind those of group p that cover [0, i), and in front of one of group n. Of each group the
 * cheapest first: a more expensive one must be faster. */
static void add_stages(struct window_tables *t, int i, int e, int p, int n, const struct ends *end,
                       const struct allowed *const *use, int m, const int *level) {
    static const double none[ROW];
    const struct mb_space *mb = t->mb;
    double best[GROUPS_MAX];
    for (int g = 0; g < mb->n_group; g++) best[g] = limit_s(t->w.x_hi);
    for (int k = 0; k < m; k++) {
        int c = use[k]->cls, g = mb->group[c], r = level[c];
        if (use[k]->comp >= best[g]) continue;
        double time_s = use[k]->comp + share_of(end->share.act, mb, c, end->act, n) +
                        share_of(end->share.grad, mb, c, end->grad, p);
        if (time_s >= best[g]) continue;
        best[g] = time_s;
        if (i > 0 && !(t->chain.cover[place(t, i, p, g)] < INFINITY)) continue;
        window_relax(t->chain.sum + place(t, e, g, n) * ROW + r,
                     i > 0 ? t->chain.sum + place(t, i, p, g) * ROW : none, ROW - r, time_s);
        t->chain.work += ROW / 2;
    }
    t->chain.work += (uint64_t)m;
}

double chain_sums(struct window_tables *t) {
    const struct surrogate *q = &t->surrogate[t->n_fixed];
    int L = t->s->L, G = t->mb->n_group, K = t->mb->n_class, level[K], order[K], at[K];
    const struct allowed *use[K];
    use_weights(t, q->weight);
    if (cover(t, t->w.x_hi) > window_cap(t, q) * (1 + 1e-9)) return INFINITY;
    window_levels(t, q, level, order);
    for (int k = 0; k < K; k++) at[order[k]] = k;
    for (size_t k = 0; k < place(t, L + 1, 0, 0) * ROW; k++) t->chain.sum[k] = INFINITY;
    for (int e = 1; e <= L; e++) {
        if (t->min_depth[e] > L) continue;
        if (window_stopped(t)) return INFINITY;
        for (int i = 0; i < e; i++) {
            struct ends end = ends_of(t, i, e);
            int n, m = 0;
            const struct allowed *w = window_allowed(t, i, e, &n);
            if (!n) continue;
            for (int k = 0; k < K; k++) use[k] = NULL;
            for (int k = 0; k < n; k++)
                if (level[w[k].cls] <= LEVELS) use[at[w[k].cls]] = &w[k];
            for (int k = 0; k < K; k++)
                if (use[k]) use[m++] = use[k];
            for (int p = 0; p < end.before; p++)
                for (int k = 0; k < end.after; k++) add_stages(t, i, e, p, k, &end, use, m, level);
        }
    }
    double least = INFINITY;
    for (int g = 0; g < G; g++) least = fmin(least, t->chain.sum[place(t, L, g, 0) * ROW + LEVELS]);
    t->chain.built = !t->stopped;
    return least;
}

double chain_rest(const struct window_tables *t, int l, double used, int cls, double share, double room_s) {
    const struct mb_space *mb = t->mb;
    int level = window_level_left(t, t->n_fixed, used), g = mb->group[cls];
    double best = INFINITY, least = share * mb->grad_min[cls * t->s->L + l],
           full = window_cap(t, &t->surrogate[t->n_fixed]) * (1 + 1e-9);
    if (level < 0) return INFINITY;
    for (int p = 0; p < mb->n_group; p++) {
        double grad = share_of(share, mb, cls, mb->size_of[l], p);
        size_t at = place(t, l, p, g);
        if (grad > room_s || used + t->chain.cover[at] > full) continue;
        best = fmin(best, t->chain.sum[at * ROW + (size_t)level] + (share > 0 ? grad - least : 0));
    }
    return best;
}

uint64_t chain_effort(struct window_tables *t) {
    const uint64_t OF_A_PARTIAL_PLAN = 50;
    uint64_t n = t->chain.work / OF_A_PARTIAL_PLAN;
    t->chain.work = 0;
    return n;
}
