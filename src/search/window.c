#include "search/window.h"

#include "search/chain.h"
#include "search/traffic.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How far, in logarithms, whole numbers that are nearly `scale` times the weights are from that; INFINITY:
 * there are none, or stages of D replicas have too many levels. */
static double rounding(const struct window_tables *v, unsigned present, const struct surrogate *q,
                       int scale) {
    const struct space *s = v->s;
    double off = 0, sum = 0;
    for (int g = 0; g < GPUS_MAX; g++)
        if (present >> g & 1)
            off = fmax(off, fabs(log(round(scale * q->weight[g]) / (scale * q->weight[g]))));
    for (int c = 0; c < s->n_cell; c++) sum += s->cell[c].gpus * round(scale * q->weight[s->cell[c].gpu]);
    return sum / v->u->D < LEVELS + 1 && off < INFINITY ? off : INFINITY;
}

/* Any weights bound. Whole ones make stages whole levels; if some are close to the given ones, they are
 * better. */
static void round_weights(const struct window_tables *v, unsigned present, struct surrogate *q) {
    const double CLOSE = 0.06;
    double best = CLOSE;
    int scale = 0;
    for (int g = 0; g < GPUS_MAX; g++)
        if (present >> g & 1 && !(q->weight[g] > 0)) return;
    for (int k = 1; k <= LEVELS; k++) {
        double off = rounding(v, present, q, k);
        if (off >= best * 0.999) continue;
        best = off;
        scale = k;
    }
    for (int g = 0; g < GPUS_MAX && scale; g++)
        q->weight[g] = present >> g & 1 ? round(scale * q->weight[g]) : 0;
    q->whole = scale > 0;
}

/* Weights between those of q and equal ones. False: there are none. */
static bool halfway(unsigned present, const struct surrogate *q, struct surrogate *out) {
    double least = INFINITY, most = 0;
    bool same = true;
    for (int g = 0; g < GPUS_MAX; g++)
        if (present >> g & 1) least = fmin(least, q->weight[g]);
    for (int g = 0; g < GPUS_MAX; g++) {
        if (!(present >> g & 1)) continue;
        out->weight[g] = round(sqrt(q->weight[g] / least));
        same &= out->weight[g] * least == q->weight[g];
        most = fmax(most, out->weight[g]);
    }
    out->whole = most > 1 && !same;
    if (!out->whole) memset(out->weight, 0, sizeof out->weight);
    return out->whole;
}

static void make_surrogates(struct window_tables *v, struct arena *a) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    int n_gpu = s->p->w->site->n_gpu, types = 0;
    unsigned present = 0;
    bool whole = !(s->p->without & BOUND_WHOLE);
    for (int c = 0; c < s->n_cell; c++) present |= 1u << s->cell[c].gpu;
    types = __builtin_popcount(present);
    struct surrogate *q = &v->surrogate[v->n_surrogate++];
    memcpy(q->weight, mb->speed, sizeof q->weight);
    if (whole) round_weights(v, present, q);
    bool between = types > 1 && q->whole && halfway(present, q, q + 1);
    v->n_surrogate += between;
    v->n_blend = v->n_surrogate;
    for (int g = 0; g < n_gpu && types > 1; g++)
        if (present >> g & 1) v->surrogate[v->n_surrogate++].weight[g] = 1;
    if (types > 1) {
        q = &v->surrogate[v->n_surrogate++];
        for (int g = 0; g < n_gpu; g++) q->weight[g] = present >> g & 1;
    }
    for (int k = 1 + between; k < v->n_surrogate; k++) v->surrogate[k].whole = whole;
    if (s->money) { /* the cheapest zone of each type, in USD per s */
        q = &v->surrogate[v->n_surrogate++];
        q->price = true;
        v->price = v->n_surrogate - 1;
        space_least_prices(s, q->weight);
    }
    v->n_fixed = v->n_surrogate;
    assert(v->n_fixed + (mb->n_group > 0) <= SURROGATES_MAX);
    if (mb->n_group) memcpy(v->surrogate[v->n_surrogate].weight, mb->speed, sizeof mb->speed);
    for (int k = 0; k < v->n_surrogate + (mb->n_group > 0); k++) {
        q = &v->surrogate[k];
        q->class_cost = ARENA_ARRAY(a, double, mb->n_class);
        size_t n = (size_t)(s->L + 1) * (LEVELS + 1);
        q->sum = ARENA_ARRAY(a, double, n);
        if (s->n_region > 1) {
            q->sum_sends = ARENA_ARRAY(a, double, n);
            q->sum_crosses = ARENA_ARRAY(a, double, n);
        }
        for (int c = 0; c < mb->n_class; c++) q->class_cost[c] = class_stage_least(mb, c, q->weight, v->u->D);
    }
}

void window_tables_init(struct window_tables *v, const struct space *s, struct arena *a) {
    int L = s->L, K = 0;
    for (int k = 0; k < s->n_mb; k++) K = s->mb[k].n_class > K ? s->mb[k].n_class : K;
    *v = (struct window_tables){.s = s};
    v->n_allowed = ARENA_ARRAY(a, int, (L + 1) * (L + 1));
    v->allowed = ARENA_ARRAY(a, struct allowed, (size_t)(L + 1) * (size_t)(L + 1) * (size_t)K);
    v->min_depth = ARENA_ARRAY(a, int, L + 1);
    v->min_usd = ARENA_ARRAY(a, double, L + 1);
    v->traffic.least = ARENA_ARRAY(a, double, L + 1);
    memset(v->traffic.least, 0, sizeof(double) * (size_t)(L + 1));
    chain_init(v, a);
}

void window_begin_unit(struct window_tables *v, const struct unit *u, const struct goal *goal,
                       struct arena *a) {
    v->u = u;
    v->chain.on = v->chain.built = false;
    v->chain.work = 0;
    v->mb = u->mb;
    v->goal = goal;
    v->n_surrogate = v->n_table = 0;
    memset(v->surrogate, 0, sizeof v->surrogate);
    v->u_min = INFINITY;
    for (int c = 0; c < v->mb->n_class; c++)
        for (int i = 0; i < v->s->L; i++)
            for (int e = i + 1; e <= v->s->L; e++)
                v->u_min = fmin(v->u_min, v->mb->update[cfe(v->s, c, i, e)]);
    v->u_min = update_share_s(v->mb->w, v->u_min, u->most);
    make_surrogates(v, a);
    if (v->s->money) traffic_begin_unit(v, a);
}

double window_cap(const struct window_tables *v, const struct surrogate *q) {
    return q->price ? fmin(q->cap, v->w.r_hi) : q->cap;
}

/* GPUs of one kind, and their weight. */
struct offer {
    double weight, usd_per_s; /* weight > 0 */
    int gpus;
};

/* What weighs nothing and is free would equal everything, and leave no order. */
static int by_weight_for_money(const void *a, const void *b) {
    const struct offer *x = a, *y = b;
    double one = x->weight * y->usd_per_s, other = y->weight * x->usd_per_s;
    return (one < other) - (one > other);
}

/* The most weight that a rent pays for: whole GPUs of each kind, except that the last kind counts in
 * fractions. */
static double most_for_rent(struct offer *o, int n, double rent) {
    double weight = 0, left = rent;
    qsort(o, (size_t)n, sizeof *o, by_weight_for_money);
    for (int i = 0; i < n; i++) {
        double paid =
                   o[i].usd_per_s > 0 ? fmin(floor(rent / o[i].usd_per_s), left / o[i].usd_per_s) : o[i].gpus,
               take = fmin(o[i].gpus, paid);
        weight += o[i].weight * take;
        left -= take * o[i].usd_per_s;
    }
    return weight * (1 + 1e-9);
}

void window_gpus(const struct window_tables *v, double gpus[GPUS_MAX]) {
    const struct space *s = v->s;
    for (int g = 0; g < GPUS_MAX; g++) gpus[g] = 0;
    for (int c = 0; c < s->n_cell; c++)
        if (s->n_region == 1 || v->w.scope >= s->n_region || s->cell[c].region == v->w.scope)
            gpus[s->cell[c].gpu] += s->cell[c].gpus;
}

/* A stage of one type weighs a whole number of D. In levels of D nothing is lost by rounding it down. */
static void set_levels(const struct window_tables *v, struct surrogate *q) {
    double cap = window_cap(v, q), stages = floor(cap / v->u->D + 1e-6);
    bool whole = q->whole && stages <= LEVELS;
    q->level = whole ? v->u->D : cap / LEVELS;
    q->top = whole ? (int)stages : LEVELS;
}

/* What the cells of the window's scope can give, for its rent. */
static void set_caps(struct window_tables *v) {
    const struct space *s = v->s;
    bool short_of_money = s->money && v->w.r_hi < s->most_usd_per_s;
    for (int k = 0; k < v->n_surrogate; k++) {
        struct surrogate *q = &v->surrogate[k];
        struct offer offer[ZONES_MAX * GPUS_MAX];
        int n = 0;
        q->cap = 0;
        for (int c = 0; c < s->n_cell; c++) {
            double weight = q->weight[s->cell[c].gpu];
            if (!(weight > 0)) continue;
            if (s->n_region == 1 || v->w.scope >= s->n_region || s->cell[c].region == v->w.scope) {
                offer[n++] = (struct offer){weight, s->cell[c].usd_per_s, s->cell[c].gpus};
                q->cap += weight * s->cell[c].gpus;
            }
        }
        if (short_of_money) q->cap = fmin(q->cap, most_for_rent(offer, n, v->w.r_hi * (1 + 1e-9)));
        set_levels(v, q);
    }
}

/* Which stages may occur in the window, their least depth, and the least cost of the layers before them. */
static bool build_allowed(struct window_tables *v) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    int L = s->L, K = mb->n_class;
    for (int l = 0; l <= L; l++) {
        v->min_depth[l] = 1 << 20;
        v->min_usd[l] = INFINITY;
    }
    v->min_depth[L] = 0;
    v->min_usd[0] = 0;
    for (int e = L; e > 0; e--) {
        if (v->min_depth[e] > L) continue;
        if (window_stopped(v)) return false;
        for (int i = 0; i < e; i++) {
            int *n = &v->n_allowed[i * (L + 1) + e];
            *n = 0;
            for (int c = 0; c < K; c++) {
                size_t x = cfe(s, c, i, e);
                if (mb->cls[c].n_kind > v->u->most ||
                    v->u->depth[x] < window_in_flight(v, v->min_depth[e] + 1))
                    continue;
                if (!space_stage_allowed(s, mb, c, i, e)) continue;
                if (mb->weight[x] + mb->turn_min[i] > v->w.x_hi ||
                    unit_sync_min(v->u, v->w.scope, c, i, e) > v->w.y_hi)
                    continue;
                if (!(mb->weight[x] < INFINITY) || !(unit_sync_min(v->u, v->w.scope, c, i, e) < INFINITY))
                    continue;
                v->allowed[((size_t)i * (size_t)(L + 1) + (size_t)e) * (size_t)K + (size_t)(*n)++] =
                    (struct allowed){c, mb->weight[x], unit_sync_min(v->u, v->w.scope, c, i, e),
                                     v->chain.on ? mb->comp[x] : 0};
            }
            if (*n && v->min_depth[e] + 1 < v->min_depth[i]) v->min_depth[i] = v->min_depth[e] + 1;
        }
    }
    if (v->min_depth[0] > L) return false;
    if (s->money) {
        const struct surrogate *q = &v->surrogate[v->price];
        for (int e = 1; e <= L; e++)
            for (int i = 0; i < e && v->min_depth[e] <= L; i++)
                for (int k = 0; k < v->n_allowed[i * (L + 1) + e]; k++) {
                    const struct allowed *w =
                        &v->allowed[((size_t)i * (size_t)(L + 1) + (size_t)e) * (size_t)K + (size_t)k];
                    v->min_usd[e] = fmin(v->min_usd[e], v->min_usd[i] + q->class_cost[w->cls]);
                }
        if (!(s->p->without & BOUND_TRAFFIC)) traffic_least(v);
    }
    return true;
}

/* The stages worth considering under one weighting, cheapest first: a more expensive one must be faster.
 * `extra`: what comes on top of each class's weight, every `stride`th number. */
static int worthwhile(const struct allowed *w, int n, const double *extra, double limit, const int *level,
                      const int *order, int K, int stride, struct allowed *out) {
    double weight[K];
    for (int c = 0; c < K; c++) weight[c] = INFINITY;
    for (int k = 0; k < n; k++) {
        double t = w[k].weight + (extra ? extra[w[k].cls * stride] : 0);
        if (t <= limit) weight[w[k].cls] = t;
    }
    double best = INFINITY;
    int m = 0;
    for (int k = 0; k < K; k++) {
        int c = order[k];
        if (weight[c] < best && level[c] <= LEVELS)
            out[m++] = (struct allowed){.cls = level[c], .weight = best = weight[c]};
    }
    return m;
}

/* For what the CPU has; the sums and minima are the same. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
void window_relax(double *restrict to, const double *restrict from, int n, double x) {
#pragma omp simd
    for (int r = 0; r < n; r++) {
        double t = x + from[r];
        to[r] = t < to[r] ? t : to[r];
    }
}

void window_levels(const struct window_tables *v, const struct surrogate *q, int *level, int *order) {
    int K = v->mb->n_class, above[LEVELS + 2] = {0};
    double exact = q->whole && q->level == v->u->D ? 1 : 1 - 1e-9;
    for (int c = 0; c < K; c++) {
        double x = q->level > 0           ? floor(q->class_cost[c] / q->level * exact)
                   : q->class_cost[c] > 0 ? LEVELS + 1
                                          : 0;
        level[c] = x > q->top ? LEVELS + 1 : (int)x;
        above[level[c]]++;
    }
    for (int r = 0, before = 0; r <= LEVELS + 1; r++) { /* ascending level, of one level in class order */
        int here = above[r];
        above[r] = before;
        before += here;
    }
    for (int c = 0; c < K; c++) order[above[level[c]]++] = c;
}

static void build_sums(struct window_tables *v, struct surrogate *q) {
    int L = v->s->L, K = v->mb->n_class;
    int level[K], order[K];
    struct allowed use[K];
    window_levels(v, q, level, order);
    for (int l = 0; l <= L; l++)
        for (int r = 0; r <= q->top; r++) {
            q->sum[l * (LEVELS + 1) + r] = l ? INFINITY : 0;
            if (q->sum_sends)
                q->sum_sends[l * (LEVELS + 1) + r] = q->sum_crosses[l * (LEVELS + 1) + r] = INFINITY;
        }
    for (int e = 1; e <= L; e++) {
        if (v->min_depth[e] > L) continue;
        if (window_stopped(v)) return;
        double *to = q->sum + e * (LEVELS + 1);
        for (int i = 0; i < e; i++) {
            int n = v->n_allowed[i * (L + 1) + e];
            if (!n) continue;
            const double *from = q->sum + i * (LEVELS + 1);
            const struct allowed *w = &v->allowed[((size_t)i * (size_t)(L + 1) + (size_t)e) * (size_t)K];
            int m = worthwhile(w, n, NULL, v->w.x_hi, level, order, K, L, use);
            for (int k = 0; k < m; k++)
                window_relax(to + use[k].cls, from, q->top + 1 - use[k].cls, use[k].weight);
            if (!scope_is_crossing(v->s, v->w.scope)) continue;
            double *sends = q->sum_sends + e * (LEVELS + 1), *crosses = q->sum_crosses + e * (LEVELS + 1);
            if (i > 0)
                for (int k = 0; k < m; k++)
                    window_relax(crosses + use[k].cls, q->sum_crosses + i * (LEVELS + 1),
                                 q->top + 1 - use[k].cls, use[k].weight);
            if (i > 0) {
                m = worthwhile(w, n, v->mb->cross + i, v->w.x_hi, level, order, K, L, use);
                for (int k = 0; k < m; k++)
                    window_relax(crosses + use[k].cls, q->sum_sends + i * (LEVELS + 1),
                                 q->top + 1 - use[k].cls, use[k].weight);
            }
            m = worthwhile(w, n, v->mb->cross + e - 1, v->w.x_hi, level, order, K, L, use);
            for (int k = 0; k < m; k++)
                window_relax(sends + use[k].cls, from, q->top + 1 - use[k].cls, use[k].weight);
        }
    }
}

int window_level_left(const struct window_tables *v, int k, double used) {
    const struct surrogate *q = &v->surrogate[k];
    double left = q->level > 0 ? (window_cap(v, q) - used) / q->level + 1e-6 : used > 0 ? -1 : LEVELS;
    return left < 0 ? -1 : left >= q->top ? q->top : (int)left;
}

/* Least sum of stage times in front of layer l under weighting k. In the crossing scope, until two neighbours
 * are in different regions (`crossed`), the rest must cross: within itself, or by sending to the stage at l,
 * whose gradient then costs `grad` more. */
double window_rest_sum(const struct window_tables *v, int k, int l, double used, bool crossed, double grad) {
    const struct surrogate *q = &v->surrogate[k];
    int level = window_level_left(v, k, used);
    if (level < 0) return INFINITY;
    int at = l * (LEVELS + 1) + level;
    if (crossed || !scope_is_crossing(v->s, v->w.scope)) return q->sum[at];
    return fmin(q->sum_crosses[at], q->sum_sends[at] + grad);
}

/* Can the pool cover all layers with stages of at most this time and this all-reduce, by each of the first
 * n weightings alone? */
static bool coverable(struct window_tables *v, double x_hi, double y_hi, int n) {
    int L = v->s->L, K = v->mb->n_class;
    bool cross = scope_is_crossing(v->s, v->w.scope);
    for (int q = 0; q < n; q++) {
        const struct surrogate *s = &v->surrogate[q];
        double least[LAYERS_MAX + 1], sends[LAYERS_MAX + 1],
            crosses[LAYERS_MAX + 1]; /* as the sums of struct surrogate */
        least[0] = 0;
        sends[0] = crosses[0] = INFINITY;
        for (int e = 1; e <= L; e++) {
            if (window_stopped(v)) return false;
            least[e] = sends[e] = crosses[e] = INFINITY;
            for (int i = 0; i < e && v->min_depth[e] <= L; i++) {
                const struct allowed *w = &v->allowed[((size_t)i * (size_t)(L + 1) + (size_t)e) * (size_t)K];
                for (int k = 0; k < v->n_allowed[i * (L + 1) + e]; k++)
                    if (w[k].weight + v->mb->turn_min[i] <= x_hi && w[k].sync <= y_hi) {
                        double cost = s->class_cost[w[k].cls], t = least[i] + cost;
                        least[e] = t < least[e] ? t : least[e];
                        if (!cross) continue;
                        if (w[k].weight + v->mb->cross[w[k].cls * L + e - 1] <= x_hi)
                            sends[e] = fmin(sends[e], t);
                        crosses[e] = fmin(crosses[e], crosses[i] + cost);
                        if (w[k].weight + v->mb->cross[w[k].cls * L + i] <= x_hi)
                            crosses[e] = fmin(crosses[e], sends[i] + cost);
                    }
            }
        }
        if ((cross ? crosses[L] : least[L]) > window_cap(v, s) * (1 + 1e-9)) return false;
    }
    return true;
}

/* Raises the lower ends of the window to what can be covered at all. */
static void raise_floors(struct window_tables *v) {
    double lo = v->w.x_lo, hi = v->w.x_hi;
    if (v->u->M > 1)
        for (int k = 0; k < 8 && (v->u->M - 1) * (hi - lo) > 1e-3 * (v->u->M - 1) * hi; k++) {
            double mid = (lo + hi) / 2;
            *(coverable(v, mid, v->w.y_hi, 1) ? &hi : &lo) = mid;
        }
    v->w.x_lo = lo;
    lo = v->w.y_lo;
    hi = v->w.y_hi;
    for (int k = 0; k < 6 && hi - lo > 1e-3 * hi; k++) {
        double mid = (lo + hi) / 2;
        *(coverable(v, v->w.x_hi, mid, 1) ? &hi : &lo) = mid;
    }
    v->w.y_lo = lo;
}

/* Beyond the longest useful time nothing was looked at. */
double window_refuted_time(const struct window_tables *v) {
    return fmin(v->refuted_s, goal_longest_useful(v->goal, 0) * (1 + 1e-9));
}

/* As goal_longest_useful(), for plans that pay for the least traffic too. */
static double longest_useful(const struct window_tables *v, double usd_per_s) {
    const struct goal *g = v->goal;
    double longest = goal_longest_useful(g, usd_per_s),
           usd = g->objective == OBJECTIVE_COST ? fmin(g->best, g->max_usd) : g->max_usd;
    return usd_per_s > 0 ? fmin(longest, (usd - v->traffic.least[v->s->L]) / usd_per_s) : longest;
}

double window_closing_sum(const struct window_tables *v) {
    double usd = fmax(v->s->money ? v->min_usd[v->s->L] : 0, v->w.r_lo);
    return longest_useful(v, usd) - window_time(v, v->w.x_lo, 0, v->u_min, v->w.y_lo);
}

/* The bounds of the window where the stage times add up to at least S. False: it holds nothing. */
static bool take_bound(struct window_tables *v, double S, double usd_per_s) {
    v->w.time_lb = window_time(v, v->w.x_lo, fmax(S, v->w.x_lo), v->u_min, v->w.y_lo);
    v->w.cost_lb = v->s->money ? v->w.time_lb * usd_per_s + v->traffic.least[v->s->L] : 0;
    if (!(S < INFINITY)) return false;
    if (!goal_excludes(v->goal, v->w.time_lb, v->w.cost_lb)) return true;
    v->refuted_s = v->w.time_lb;
    return false;
}

/* Rent by rent, in levels of the surrogate of price: a plan of this rent takes at least the time that the
 * level's stages take, and costs at least that times its rent. Narrows the rents to those that may be of use;
 * false: none is. S: the least sum of stage times, whatever the rent; usd: the least rent. */
static bool narrow_rent(struct window_tables *v, double S, double usd) {
    const double EDGE = 1e-6; /* of a level; more than the rounding of the sums */
    const struct surrogate *q = &v->surrogate[v->price];
    const double *sum = (scope_is_crossing(v->s, v->w.scope) ? q->sum_crosses : q->sum) +
                        (size_t)v->s->L * (LEVELS + 1),
                 level = window_cap(v, q) / LEVELS;
    int first = -1, last = -1;
    double cost = INFINITY, time_s = INFINITY;
    for (int k = 0; k <= LEVELS && level > 0; k++) {
        double rent = fmax(usd, (k - EDGE) * level), t, c;
        if (!(sum[k] < INFINITY) || (k < LEVELS && (k + 1) * level < usd)) continue;
        t = window_time(v, v->w.x_lo, fmax(fmax(S, sum[k]), v->w.x_lo), v->u_min, v->w.y_lo);
        c = t * rent + v->traffic.least[v->s->L];
        if (goal_excludes(v->goal, t, c)) continue;
        if (first < 0) first = k;
        last = k;
        time_s = t;
        cost = fmin(cost, c);
    }
    if (!(level > 0)) return true;
    v->rents_cut += first != 0 || last != LEVELS;
    if (first < 0) return false;
    v->w.time_lb = fmax(v->w.time_lb, time_s);
    v->w.cost_lb = fmax(v->w.cost_lb, cost);
    v->w.r_lo = fmax(v->w.r_lo, (first - EDGE) * level);
    if (last < LEVELS) v->w.r_hi = fmin(v->w.r_hi, (last + 1) * level);
    return true;
}

bool window_open(struct window_tables *v, struct window w) {
    v->refuted_s = INFINITY;
    if (w.x_lo > w.x_hi || w.y_lo > w.y_hi) return false;
    assert(w.x_lo >= 0 && w.y_lo >= 0 && w.r_lo >= 0);
    v->w = w;
    v->n_surrogate = v->n_fixed + v->chain.on;
    set_caps(v);
    bool cheaper = true; /* than before: what can be had for the rent is less */
    for (int pass = 0;; pass++) {
        v->n_table = 0;
        v->chain.built = false;
        if (!build_allowed(v) || !coverable(v, v->w.x_hi, v->w.y_hi, v->n_fixed)) return false;
        if (cheaper) raise_floors(v);
        if (v->chain.on) {
            if (!chain_open(v, cheaper)) return false;
            set_caps(v);
        }
        double S = 0, usd = fmax(v->s->money ? v->min_usd[v->s->L] : 0, v->w.r_lo);
        for (int k = 0; k < v->n_surrogate; k++) {
            build_sums(v, &v->surrogate[k]);
            if (v->stopped) return false;
            v->n_table++;
            S = fmax(S, window_rest_sum(v, k, v->s->L, 0, false, INFINITY));
            if (!take_bound(v, S, usd)) return false;
        }
        if (v->chain.on && !take_bound(v, fmax(S, chain_sums(v)), usd)) return false;
        if (v->stopped) return false;
        double r_hi = v->w.r_hi;
        bool narrow = v->s->money && !(v->s->p->without & BOUND_RENT);
        if (narrow && !narrow_rent(v, S, usd)) return false;
        usd = fmax(usd, v->w.r_lo);
        v->w.r_lo = fmin(usd, v->w.r_hi);
        cheaper = v->w.r_hi < 0.7 * fmin(r_hi, v->s->most_usd_per_s);
        if (cheaper) set_caps(v);
        double slack = fmax(0, longest_useful(v, usd) * (1 + 1e-9) - v->w.time_lb);
        double x_hi = v->u->M > 1 ? fmin(v->w.x_hi, v->w.x_lo + slack / (v->u->M - 1)) : v->w.x_hi;
        double y_hi = fmin(v->w.y_hi, v->w.y_lo + slack);
        bool again = cheaper || x_hi - v->w.x_lo < 0.7 * (v->w.x_hi - v->w.x_lo) ||
                     y_hi - v->w.y_lo < 0.7 * (v->w.y_hi - v->w.y_lo);
        assert(v->w.x_lo <= v->w.x_hi && v->w.y_lo <= v->w.y_hi && v->w.r_lo <= v->w.r_hi);
        if (!again || pass == 6) return true;
        v->w.x_hi = x_hi;
        v->w.y_hi = y_hi;
    }
}

struct window window_first(const struct window_tables *v, int scope) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    int L = s->L;
    struct window w = {.scope = scope, .y_lo = INFINITY, .r_hi = INFINITY};
    for (int c = 0; c < mb->n_class; c++) {
        for (int e = 1; e <= L; e++)
            w.y_lo = fmin(w.y_lo, unit_sync_min(v->u, scope, c, 0, e)); /* some stage holds layer 0 */
    }
    w.x_hi = mb->longest;
    w.y_hi = v->u->slowest_ring;
    for (int l = 0; l < L; l++) w.x_lo = fmax(w.x_lo, mb->layer_min[l]);
    double top = goal_longest_useful(v->goal, 0) * (1 + 1e-9); /* no use looking above the incumbent */
    if (v->u->M > 1) w.x_hi = fmin(w.x_hi, top / (v->u->M - 1));
    w.x_hi = fmin(w.x_hi, top);
    w.y_hi = fmin(w.y_hi, top);
    struct useful useful = unit_useful(v->u, top);
    w.x_lo = fmax(w.x_lo, useful.slowest_s.lo);
    w.x_hi = fmin(w.x_hi, useful.slowest_s.hi);
    w.y_hi = fmin(w.y_hi, useful.sync_s);
    if (s->money) w.r_hi = s->most_usd_per_s; /* zones may differ in price */
    return w;
}

/* The least rent of a GPU that is not free. Merged zones have the price of the cheapest, windows that of the
 * real zone. */
static double least_rent(const struct space *s) {
    const struct space *real = s->merged_from ? s->merged_from : s;
    double usd = INFINITY;
    for (int c = 0; c < real->n_cell; c++)
        if (real->cell[c].usd_per_s > 0) usd = fmin(usd, real->cell[c].usd_per_s);
    return usd;
}

/* How much of the time of an iteration the width of a window leaves open. */
struct width {
    double x, y, rent;
};

static struct width width_of(const struct window_tables *v, const struct window *w) {
    struct width d = {v->u->M > 1 ? (v->u->M - 1) * (w->x_hi - w->x_lo) : 0, w->y_hi - w->y_lo, 0};
    if (!v->s->money || !(w->time_lb > 0) || !(w->r_hi > 0)) return d;
    if (v->goal->objective != OBJECTIVE_THROUGHPUT || w->r_hi * v->goal->best > v->goal->max_usd / 2)
        d.rent = (w->r_hi - w->r_lo) / w->r_hi * w->time_lb;
    return d;
}

bool window_hopeless(const struct window_tables *v, const struct window *w) {
    const double TOO_WIDE = 0.15;
    struct width d = width_of(v, w);
    return fmax(d.x, fmax(d.y, d.rent)) > TOO_WIDE * w->time_lb;
}

bool window_split(const struct window_tables *v, const struct window *w, struct window half[2]) {
    struct width d = width_of(v, w);
    double dx = d.x, dy = d.y, dr = d.rent, usd = v->s->money ? w->r_lo : 0;
    if (fmax(dx, fmax(dy, dr)) < 1e-3 * w->time_lb || w->splits > 40) return false;
    half[0] = half[1] = *w;
    half[0].splits = half[1].splits = w->splits + 1;
    if (dr >= dx && dr >= dy && usd <= 0) { /* plans that cost nothing, and those that cost at least this */
        half[0].r_hi = 0;
        half[1].r_lo = fmin(least_rent(v->s), w->r_hi);
    } else if (dr >= dx && dr >= dy)
        half[0].r_hi = half[1].r_lo = (usd + w->r_hi) / 2;
    else if (dx >= dy)
        half[0].x_hi = half[1].x_lo = (w->x_lo + w->x_hi) / 2;
    else
        half[0].y_hi = half[1].y_lo = (w->y_lo + w->y_hi) / 2;
    return true;
}
