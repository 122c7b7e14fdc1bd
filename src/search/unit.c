/* Tables of one unit, and the bound that needs none. */
#include "search/unit.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "search/outline.h"
#include "sim/terms.h"

double unit_ring(const struct unit *u, int ca, int cb, int min_ti, int first, int end) {
    const struct space *s = u->s;
    int id = s->link_of[ca * s->n_cell + cb];
    if (id < 0) return INFINITY;
    return u->ring[unit_at(u, id * RING_TI_N + ring_ti(min_ti), first, end)];
}

/* The same with merged zones: a list may leave a region and come back, and its order inside a region is open.
 * But each region is entered from another or left for one, all but one are entered, and all but one left.
 * unit_sync_min() covers steps inside a region. */
static struct span merged_sync_span(const struct unit *u, int pattern, int first, int end) {
    const struct space *s = u->s;
    const struct pattern *p = &u->mb->pattern[pattern];
    int ti = u->mb->cls[p->cls].min_ti;
    double lo = 0, in_worst = 0, in_second = 0, out_worst = 0, out_second = 0;
    for (int region = 0; region < s->n_region && (p->regions & (p->regions - 1)); region++) {
        if (!(p->regions >> region & 1)) continue;
        double in = INFINITY, out = INFINITY;
        for (int i = 0; i < p->n; i++)
            for (int j = 0; j < p->n; j++) {
                if (s->cell[p->cell[i]].region != region || s->cell[p->cell[j]].region == region) continue;
                out = fmin(out, unit_ring(u, p->cell[i], p->cell[j], ti, first, end));
                in = fmin(in, unit_ring(u, p->cell[j], p->cell[i], ti, first, end));
            }
        lo = fmax(lo, fmin(in, out));
        in_second = fmax(in_second, fmin(in, in_worst));
        in_worst = fmax(in_worst, in);
        out_second = fmax(out_second, fmin(out, out_worst));
        out_worst = fmax(out_worst, out);
    }
    lo = fmax(lo, fmax(in_second, out_second));
    return (struct span){lo, lo};
}

/* The gradient all-reduce of a pattern over [first, end), whatever its counts and zone order: rule 12 of
 * docs/search.md. The replicas lie in list order, zone by zone, inside a zone type by type; the slowest step
 * between neighbours decides. Steps that occur in any case bound it from below: some step inside a cell when
 * there are more replicas than cells, the steps between the types of a zone, and one step into all zones but
 * the first and out of all but the last. Which zones are first and last is open, hence the second largest of
 * the least steps. From above: the slowest of all steps that may occur. */
static struct span sync_span(const struct unit *u, int pattern, int first, int end) {
    struct span r = {0, 0};
    if (u->D == 1) return r;
    if (u->s->merged_from) return merged_sync_span(u, pattern, first, end);
    const struct space *s = u->s;
    const struct pattern *p = &u->mb->pattern[pattern];
    int ti = u->mb->cls[p->cls].min_ti;
    if (p->n == 1) {
        r.lo = r.hi = unit_ring(u, p->cell[0], p->cell[0], ti, first, end);
        return r;
    }
    double self_min = INFINITY;
    for (int i = 0; i < p->n; i++) {
        double t = unit_ring(u, p->cell[i], p->cell[i], ti, first, end);
        self_min = fmin(self_min, t);
        if (u->D > p->n) r.hi = fmax(r.hi, t);
    }
    if (u->D > p->n) r.lo = self_min;
    int n_zone = 0, head[CELLS_MAX], tail[CELLS_MAX]; /* first and last cell of each zone used */
    for (int i = 0; i < p->n; i++) {
        if (i && s->cell[p->cell[i]].zone == s->cell[p->cell[i - 1]].zone) {
            double t = unit_ring(u, p->cell[i - 1], p->cell[i], ti, first, end);
            r.lo = fmax(r.lo, t);
            r.hi = fmax(r.hi, t);
            tail[n_zone - 1] = p->cell[i];
        } else {
            head[n_zone] = tail[n_zone] = p->cell[i];
            n_zone++;
        }
    }
    if (n_zone == 1) return r;
    double in_worst = 0, in_second = 0, out_worst = 0,
           out_second = 0; /* all zones but one are entered, and left */
    for (int i = 0; i < n_zone; i++) {
        double in = INFINITY, out = INFINITY;
        for (int j = 0; j < n_zone; j++) {
            if (i == j) continue;
            double o = unit_ring(u, tail[i], head[j], ti, first, end);
            out = fmin(out, o);
            r.hi = fmax(r.hi, o);
            in = fmin(in, unit_ring(u, tail[j], head[i], ti, first, end));
        }
        r.lo = fmax(r.lo, fmin(in, out)); /* each zone is entered or left */
        if (in > in_worst) {
            in_second = in_worst;
            in_worst = in;
        } else
            in_second = fmax(in_second, in);
        if (out > out_worst) {
            out_second = out_worst;
            out_worst = out;
        } else
            out_second = fmax(out_second, out);
    }
    r.lo = fmax(r.lo, fmax(in_second, out_second));
    return r;
}

bool scope_has(const struct space *s, int scope, const struct pattern *p) {
    if (s->n_region == 1 || scope_is_crossing(s, scope)) return true;
    if (scope == s->n_region) return (p->regions & (p->regions - 1)) != 0;
    return p->regions == 1u << scope;
}

static struct allreduce ring_messages(const struct space *s, double params, int ti, int D) {
    return allreduce_of(ring_bytes(s->p->w, params, ti), D, s->p->estimator);
}

/* ---- the least all-reduce of a class ------------------------------------------------- */

enum { SYNC_CELLS_MAX = 24 }; /* above it, the fastest step of all must do */

/* Two neighbouring replicas of a stage, in different cells or (a == b) in one, and the ring step between
 * them. */
struct step {
    double time_s;
    int a, b;
};

/* Sets of cells that steps join, for one class and scope. */
struct groups {
    int parent[CELLS_MAX];
    long room[CELLS_MAX]; /* replicas; a cell whose own step is not there yet holds one */
    unsigned gpus[CELLS_MAX], regions[CELLS_MAX]; /* bits */
};

static int root(struct groups *g, int c) {
    while (g->parent[c] != c) c = g->parent[c] = g->parent[g->parent[c]];
    return c;
}

static bool class_takes(const struct unit *u, const struct stage_class *cl, int scope, int cell) {
    const struct cell *c = &u->s->cell[cell];
    if (!(cl->gpus >> c->gpu & 1)) return false;
    return u->s->n_region == 1 || scope >= u->s->n_region || c->region == scope;
}

static long class_room(const struct unit *u, const struct stage_class *cl, int cell) {
    const struct cell *c = &u->s->cell[cell];
    int ti = cl->rest ? u->mb->least_ti[c->gpu] : cl->ti[c->gpu];
    return ti < 0 ? 0 : cell_room(c, ti);
}

/* Does the group around cell c have room for a stage of D replicas? */
static bool group_suffices(const struct unit *u, const struct stage_class *cl, int scope,
                           const struct groups *g, int c) {
    if (g->room[c] < u->D) return false;
    if (u->s->n_region > 1 && scope == u->s->n_region && !(g->regions[c] & (g->regions[c] - 1))) return false;
    return cl->rest ? __builtin_popcount(g->gpus[c]) >= cl->n_kind : g->gpus[c] == cl->gpus;
}

/* The first of the steps such that those up to it join cells that have all types of the class and room for D
 * replicas; n_step: none. `step`: ascending. Neighbours in the list of a stage's replicas lie in one cell or
 * in two that are joined. */
static int joining_step(const struct unit *u, const struct stage_class *cl, int scope,
                        const struct step *step, int n_step) {
    struct groups g;
    long room[CELLS_MAX]; /* -1: not for this class */
    for (int c = 0; c < u->s->n_cell; c++) {
        room[c] = class_takes(u, cl, scope, c) ? class_room(u, cl, c) : -1;
        g.parent[c] = c;
        g.room[c] = room[c] > 0;
        g.gpus[c] = 1u << u->s->cell[c].gpu;
        g.regions[c] = 1u << u->s->cell[c].region;
    }
    for (int k = 0; k < n_step; k++) {
        int a = step[k].a, b = step[k].b;
        if (room[a] < 0 || room[b] < 0) continue;
        int x = root(&g, a), y = root(&g, b);
        if (a == b) {
            g.room[x] += room[a] > 1 ? room[a] - 1 : 0;
        } else if (x == y) {
            continue;
        } else {
            g.parent[y] = x;
            g.room[x] += g.room[y];
            g.gpus[x] |= g.gpus[y];
            g.regions[x] |= g.regions[y];
        }
        if (group_suffices(u, cl, scope, &g, x)) return k;
    }
    return n_step;
}

/* Steps by time; they come nearly sorted. False: they were sorted. */
static bool sort_steps(struct step *step, int n) {
    bool moved = false;
    for (int k = 1; k < n; k++) {
        struct step x = step[k];
        int at = k;
        for (; at > 0 && step[at - 1].time_s > x.time_s; at--) step[at] = step[at - 1];
        step[at] = x;
        moved |= at < k;
    }
    return moved;
}

static double ring_at(const struct unit *u, int cell_a, int cell_b, int ti, int r) {
    int id = u->s->link_of[cell_a * u->s->n_cell + cell_b];
    return id < 0 ? INFINITY : u->ring[(size_t)(id * RING_TI_N + ti) * (size_t)u->s->n_range + (size_t)r];
}

/* One replica has nothing to exchange, wherever it is. */
static double alone(const struct unit *u, const struct stage_class *cl, int scope) {
    if (cl->n_kind > 1 || (u->s->n_region > 1 && scope == u->s->n_region)) return INFINITY;
    for (int c = 0; c < u->s->n_cell; c++)
        if (class_takes(u, cl, scope, c) && class_room(u, cl, c) > 0) return 0;
    return INFINITY;
}

static void build_sync_min(struct unit *u, struct arena *a) {
    const struct space *s = u->s;
    int R = s->n_range, K = u->mb->n_class, scopes = unit_scopes(s), n_step = 0;
    for (int k = 0; k < scopes * K; k++)
        for (int r = 0; r < R; r++)
            u->sync_min[(size_t)k * (size_t)R + (size_t)r] =
                u->D == 1 ? alone(u, &u->mb->cls[k % K], k / K) : INFINITY;
    if (u->D == 1) return;
    struct step *step = ARENA_ARRAY(a, struct step, (size_t)s->n_cell * (size_t)(s->n_cell + 1) / 2 + 1);
    for (int x = 0; x < s->n_cell; x++)
        for (int y = 0; y <= x; y++) step[n_step++] = (struct step){0, x, y};
    short *joins = ARENA_ARRAY(a, short, scopes * K); /* while the order of the steps stays as it is */
    for (int ti = 0; ti < RING_TI_N; ti++)
        for (int r = 0; r < R && (r % 16 || !stop_wanted(s->stop)); r++) {
            for (int k = 0; k < n_step; k++)
                step[k].time_s =
                    fmin(ring_at(u, step[k].a, step[k].b, ti, r), ring_at(u, step[k].b, step[k].a, ti, r));
            double fastest = INFINITY;
            for (int k = 0; k < n_step; k++) fastest = fmin(fastest, step[k].time_s);
            bool fresh = s->n_cell <= SYNC_CELLS_MAX && (sort_steps(step, n_step) || r == 0);
            for (int c = 0; c < K; c++) {
                const struct stage_class *cl = &u->mb->cls[c];
                if (cl->n_kind > u->most || (!cl->rest && ring_ti(cl->min_ti) != ti)) continue;
                for (int k = 0; k < scopes; k++) {
                    double *best = &u->sync_min[(size_t)(k * K + c) * (size_t)R + (size_t)r];
                    if (fresh) joins[k * K + c] = (short)joining_step(u, cl, k, step, n_step);
                    int at = joins[k * K + c];
                    double y = s->n_cell > SYNC_CELLS_MAX ? fastest
                               : at < n_step              ? step[at].time_s
                                                          : INFINITY;
                    *best = fmin(*best, y);
                }
            }
        }
}

/* ---- tables of a unit ---------------------------------------------------------------- */

/* Rings over the links of the pool, and the least all-reduce of each class. */
static void build_rings(struct unit *u, struct arena *a) {
    const struct space *s = u->s;
    size_t R = (size_t)s->n_range, n = (size_t)s->n_link * RING_TI_N * R;
    u->ring = ARENA_ARRAY(a, double, n + 1);
    for (int ti = 0; ti < RING_TI_N; ti++)
        for (size_t r = 0; r < R; r++) {
            struct allreduce messages = ring_messages(s, s->range[r], ti, u->D),
                             most = ring_messages(s, s->range[r], ti, u->most);
            for (int k = 0; k < s->n_link; k++)
                u->ring[(size_t)(k * RING_TI_N + ti) * R + r] =
                    u->most > u->D ? allreduce_least_s(s->link[k], &messages, &most)
                                   : usable_allreduce_s(s->link[k], &messages);
        }
    for (size_t k = 0; k < n; k++)
        if (u->ring[k] < INFINITY) u->slowest_ring = fmax(u->slowest_ring, u->ring[k]);
    if (u->most > u->D) u->slowest_ring = INFINITY; /* only the least of each is known */
    u->sync_min = ARENA_ARRAY(a, double, (size_t)(unit_scopes(s) * u->mb->n_class) * R);
    build_sync_min(u, a);
}

/* Between merged cells the fastest ring step of any two members; the least all-reduce of a class is that of
 * the pool. */
static void merge_rings(struct unit *u, const struct unit *real, struct arena *a) {
    const struct space *s = u->s, *from = real->s;
    size_t per = RING_TI_N * (size_t)s->n_range, n = (size_t)s->n_link * per;
    u->ring = ARENA_ARRAY(a, double, n + 1);
    for (size_t k = 0; k < n; k++) u->ring[k] = INFINITY;
    for (int x = 0; x < from->n_cell; x++)
        for (int y = 0; y < from->n_cell; y++) {
            int id = from->link_of[x * from->n_cell + y];
            if (id < 0) continue;
            double *to = u->ring + (size_t)s->link_of[s->image[x] * s->n_cell + s->image[y]] * per;
            for (size_t k = 0; k < per; k++) to[k] = fmin(to[k], real->ring[(size_t)id * per + k]);
        }
    u->self_ring = ARENA_ARRAY(a, double, (size_t)from->n_cell * per + 1);
    for (int c = 0; c < from->n_cell; c++) {
        int id = from->link_of[c * from->n_cell + c];
        for (size_t k = 0; k < per; k++)
            u->self_ring[(size_t)c * per + k] = id < 0 ? INFINITY : real->ring[(size_t)id * per + k];
    }
    u->slowest_ring = real->slowest_ring;
    u->sync_min = real->sync_min;
}

/* Makes the rows that are filled in per pattern, on demand. */
static void make_rows(struct unit *u) {
    u->sync = ARENA_ARRAY(u->a, struct span *, u->mb->n_pattern + 1);
    u->need = ARENA_ARRAY(u->a, int *, u->mb->n_pattern + 1);
}

bool unit_build(struct unit *u, const struct space *s, const struct mb_space *mb, int D, int most,
                struct arena *a) {
    assert(most == D || (most > D && D > 1));
    *u = (struct unit){.s = s, .mb = mb, .D = D, .most = most, .M = unit_microbatches(s, mb, most), .a = a};
    bool own = mb->w->shared_bytes_per_param > 0 && most == D; /* else that for unlimited D will do */
    u->depth = own ? space_depths(s, mb, D, a) : mb->depth;
    if (s->merged_from) {
        struct unit *real = u->real = ARENA_NEW(a, struct unit);
        *real = *u;
        real->s = s->merged_from;
        real->mb = &real->s->mb[mb - s->mb];
        real->real = NULL;
        build_rings(real, a);
        make_rows(real);
        merge_rings(u, real, a);
    } else {
        build_rings(u, a);
    }
    make_rows(u);
    return !stop_wanted(s->stop);
}

struct span unit_sync(const struct unit *u, int pattern, int first, int end) {
    int R = u->s->n_range, r = u->s->range_of[first * (u->s->L + 1) + end];
    struct span *row = u->sync[pattern];
    if (!row) {
        row = u->sync[pattern] = ARENA_ARRAY(u->a, struct span, R);
        for (int k = 0; k < R; k++) row[k].lo = NAN;
    }
    if (isnan(row[r].lo)) row[r] = sync_span(u, pattern, first, end);
    assert(row[r].lo <= row[r].hi);
    return row[r];
}

/* [set]: the least GPUs that a stage of the pattern takes from each set of cells. */
static const int *needs_of(const struct unit *u, int pattern) {
    if (u->need[pattern]) return u->need[pattern];
    const struct space *s = u->s;
    const struct pattern *q = &u->mb->pattern[pattern];
    int *need = u->need[pattern] = ARENA_ARRAY(u->a, int, s->n_set);
    for (int k = 0; k < s->n_set; k++) {
        const bool *in = s->in_set + (size_t)k * (size_t)s->n_cell;
        bool all = true;
        for (int i = 0; i < q->n; i++) {
            if (in[q->cell[i]]) need[k] += 1 << q->ti[i];
            all &= in[q->cell[i]];
        }
        if (all) need[k] += (u->D - q->n) * (1 << u->mb->cls[q->cls].min_ti);
    }
    return need;
}

bool unit_take(const struct unit *u, int depth, int pattern, int *need, int *pack) {
    const struct space *s = u->s;
    const struct pattern *p = &u->mb->pattern[pattern];
    const int *add = needs_of(u, pattern);
    size_t row = (size_t)s->n_cell * TP_N;
    int *next = (need += (size_t)depth * (size_t)s->n_set) + s->n_set;
    for (int k = 0; k < s->n_set; k++) {
        next[k] = need[k] + add[k];
        if (next[k] > s->set_gpus[k]) return false;
    }
    pack += (size_t)(depth + 1) * row;
    memcpy(pack, pack - row, sizeof *pack * row);
    for (int i = 0; i < p->n; i++) {
        int *n = pack + p->cell[i] * TP_N;
        n[p->ti[i]] += p->n == 1 ? u->D : 1;
        if (!nodes_fit(&s->cell[p->cell[i]].nodes, n)) return false;
    }
    return true;
}

int unit_microbatches(const struct space *s, const struct mb_space *mb, int D) {
    return microbatches(s->p->w->global_batch_size, (long)mb->m * D);
}

void unit_least_rings(const struct space *s, int D, double *ring) {
    for (int r = s->n_range - 1; r >= 0; r--) {
        double best = r + 1 < s->n_range ? ring[r + 1] : INFINITY;
        for (int ti = 0; ti < RING_TI_N && D > 1; ti++) {
            struct allreduce messages = ring_messages(s, s->range[r], ti, D);
            for (int k = 0; k < s->n_link; k++) best = fmin(best, usable_allreduce_s(s->link[k], &messages));
        }
        ring[r] = D > 1 ? best : 0;
    }
}

/* What the pool gives to one of D replicas, and the lowest place in the table of sizes for a plan's largest
 * stage: one of its at most `deepest` stages holds that part of the model. */
struct outline_share {
    double capacity, usd;
    int deepest, range;
};

static struct outline_share share_of(const struct space *s, const struct mb_space *mb, int D) {
    struct outline_share x = {0};
    const struct outline *o = mb->by_speed, *q = mb->by_price;
    double whole = s->range[s->n_range - 1];
    for (int c = 0; c < s->n_cell; c++) {
        x.capacity += s->cell[c].gpus * o->weight[s->cell[c].gpu] / D * (1 + 1e-9);
        if (q) x.usd += s->cell[c].gpus * s->cell[c].usd_per_s / D * (1 + 1e-9);
    }
    x.deepest = (int)fmin(s->L, floor(x.capacity / o->cheapest));
    while (x.deepest > 0 && s->range[x.range] * x.deepest < whole * (1 - 1e-12)) x.range++;
    return x;
}

/* Least time of a plan whose slowest stage takes step[k] to step[k + 1]; INFINITY: there is none. */
static double outline_time(const struct outline *o, const struct outline_share *x, int M, int k,
                           double ring) {
    if (o->least[k] > x->capacity) return INFINITY;
    double level = x->capacity / o->level, X = o->step[k];
    double S = level > OUTLINE_LEVELS ? o->free_sum[k] : o->sum[k][(int)level];
    return iteration_time_s(M, X, fmax(S, X), 0, ring);
}

struct useful unit_useful(const struct unit *u, double max_time_s) {
    const struct space *s = u->s;
    const struct outline *o = u->mb->by_speed;
    struct outline_share x = share_of(s, u->mb, u->D);
    struct useful out = {{INFINITY, -INFINITY}, -INFINITY};
    double ring = u->D > 1 ? INFINITY : 0, top = max_time_s * (1 + PROOF_SLACK);
    if (x.deepest < 1) return out;
    for (int k = 0; k < s->n_link * RING_TI_N && u->D > 1; k++)
        for (int r = x.range; r < s->n_range; r++)
            ring = fmin(ring, u->ring[(size_t)k * (size_t)s->n_range + (size_t)r]);
    for (int k = 0; k < OUTLINE_X; k++) {
        double rest = outline_time(o, &x, u->M, k, 0); /* but for the all-reduce */
        if (!(rest < INFINITY) || rest + ring > top) continue;
        out.slowest_s.lo = fmin(out.slowest_s.lo, o->step[k] * (1 - 1e-12));
        out.slowest_s.hi = k + 1 < OUTLINE_X ? o->step[k + 1] * (1 + 1e-12) : INFINITY;
        out.sync_s = fmax(out.sync_s, top - rest);
    }
    return out;
}

/* A plan with its largest stage time in (step[k], step[k + 1]] takes at least (M-1)*step[k] + the least
 * sum within step[k + 1], and one of its at most P stages holds 1/P of the model. */
struct point unit_crude_bound(const struct space *s, const struct mb_space *mb, int D, const double *ring,
                              double max_time_s) {
    int M = unit_microbatches(s, mb, D);
    struct point lb = {INFINITY, 0};
    const struct outline *o = mb->by_speed, *q = mb->by_price;
    struct outline_share x = share_of(s, mb, D);
    double usd = x.usd;
    if (x.deepest < 1) return (struct point){INFINITY, INFINITY};
    int r = x.range;
    if (q) lb.cost_usd = INFINITY;
    for (int k = 0; k < OUTLINE_X; k++) {
        double X = o->step[k], T = outline_time(o, &x, M, k, ring[r]);
        if (!(T < INFINITY) || T > max_time_s * (1 + PROOF_SLACK)) continue;
        lb.time_s = fmin(lb.time_s, T);
        if (!q) continue;
        double last = INFINITY; /* cheaper plans have larger sums: walk up the rate */
        for (int d = 0; d <= OUTLINE_LEVELS && q->level * d <= usd; d++) {
            if (!(q->sum[k][d] < last)) continue;
            last = q->sum[k][d];
            double t = fmax(T, iteration_time_s(M, X, fmax(last, X), 0, ring[r]));
            if (t <= max_time_s * (1 + PROOF_SLACK))
                lb.cost_usd = fmin(lb.cost_usd, t * fmax(q->level * d, q->least[k]) * D);
        }
        double t = fmax(T, iteration_time_s(M, X, fmax(q->free_sum[k], X), 0, ring[r]));
        if (usd > q->level * OUTLINE_LEVELS && t <= max_time_s * (1 + PROOF_SLACK))
            lb.cost_usd = fmin(lb.cost_usd, t * fmax(q->level * OUTLINE_LEVELS, q->least[k]) * D);
    }
    return lb;
}
