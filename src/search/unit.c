/* Tables of one unit, and the bound that needs none. */
#include "search/unit.h"

#include <string.h>

#include "sim/terms.h"

double unit_ring(const struct unit *u, int ca, int cb, int min_ti, int first, int end) {
    const struct space *s = u->s;
    int id = s->link_of[ca * s->n_cell + cb];
    if (id < 0) return INFINITY;
    return u->ring[(id * RING_TI_N + ring_ti(min_ti)) * s->n_range + s->range_of[first * (s->L + 1) + end]];
}

/* The gradient all-reduce of a pattern over [first, end), whatever its counts and zone order. */
static struct span sync_span(const struct unit *u, int pattern, int first, int end) {
    struct span r = {0, 0};
    if (u->D == 1) return r;
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
        if (in > in_worst)
            in_second = in_worst, in_worst = in;
        else
            in_second = fmax(in_second, in);
        if (out > out_worst)
            out_second = out_worst, out_worst = out;
        else
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

static double ring_time(const struct space *s, int link, double params, int ti, int D) {
    return usable_allreduce_time_s(s->link[link], ring_bytes(s->p->w, params, ti), D, s->p->estimator);
}

bool unit_build(struct unit *u, const struct space *s, const struct mb_space *mb, int D, struct arena *a) {
    *u = (struct unit){.s = s, .mb = mb, .D = D, .M = unit_microbatches(s, mb, D)};
    int L = s->L, R = s->n_range;
    u->ring = ARENA_ARRAY(a, double, s->n_link *RING_TI_N *R + 1);
    for (int k = 0; k < s->n_link; k++)
        for (int ti = 0; ti < RING_TI_N; ti++)
            for (int r = 0; r < R; r++)
                u->ring[(k * RING_TI_N + ti) * R + r] = ring_time(s, k, s->range[r], ti, u->D);
    u->sync = ARENA_ARRAY(a, struct span, (size_t)mb->n_pattern * (size_t)R);
    int n = unit_scopes(s) * mb->n_class * R;
    u->sync_min = ARENA_ARRAY(a, double, n);
    for (int k = 0; k < n; k++) u->sync_min[k] = INFINITY;
    bool *done = ARENA_ARRAY(a, bool, R);
    for (int i = 0; i < L; i++)
        for (int e = i + 1; e <= L; e++) {
            int r = s->range_of[i * (L + 1) + e];
            if (done[r]) continue;
            done[r] = true;
            if (stop_wanted(s->stop)) return false;
            for (int p = 0; p < mb->n_pattern; p++) {
                const struct pattern *q = &mb->pattern[p];
                if (q->n > u->D) continue;
                struct span y = sync_span(u, p, i, e);
                u->sync[(size_t)p * (size_t)R + (size_t)r] = y;
                for (int k = 0; k < unit_scopes(s); k++)
                    if (scope_has(s, k, q)) {
                        double *best = &u->sync_min[(k * mb->n_class + q->cls) * R + r];
                        *best = fmin(*best, y.lo);
                    }
            }
        }
    u->need = ARENA_ARRAY(a, int, (size_t)mb->n_pattern * (size_t)s->n_set);
    for (int p = 0; p < mb->n_pattern; p++) {
        const struct pattern *q = &mb->pattern[p];
        for (int k = 0; k < s->n_set; k++) {
            int *gpus = &u->need[(size_t)p * (size_t)s->n_set + (size_t)k];
            for (int i = 0; i < q->n; i++)
                if (s->set[k] >> q->cell[i] & 1) *gpus += 1 << q->ti[i];
            if (!(q->cells & ~s->set[k])) *gpus += (u->D - q->n) * (1 << mb->cls[q->cls].min_ti);
        }
    }
    return true;
}

int unit_microbatches(const struct space *s, const struct mb_space *mb, int D) {
    return microbatches(s->p->w->global_batch_size, (long)mb->m * D);
}

void unit_least_rings(const struct space *s, int D, double *ring) {
    for (int r = s->n_range - 1; r >= 0; r--) {
        double best = r + 1 < s->n_range ? ring[r + 1] : INFINITY;
        for (int k = 0; k < s->n_link && D > 1; k++)
            for (int ti = 0; ti < RING_TI_N; ti++) best = fmin(best, ring_time(s, k, s->range[r], ti, D));
        ring[r] = D > 1 ? best : 0;
    }
}

/* A plan with its largest stage time in (step[k], step[k + 1]] takes at least (M-1)*step[k] + the least
 * sum within step[k + 1], and one of its at most P stages holds 1/P of the model. */
struct point unit_crude_bound(const struct space *s, const struct mb_space *mb, int D, const double *ring,
                              double max_time_s) {
    int M = unit_microbatches(s, mb, D);
    struct point lb = {INFINITY, 0};
    const struct outline *o = mb->by_speed, *q = mb->by_price;
    double capacity = 0, usd = 0, whole = s->range[s->n_range - 1];
    for (int c = 0; c < s->n_cell; c++) {
        capacity += s->cell[c].gpus * o->weight[s->cell[c].gpu] / D * (1 + 1e-9);
        if (q) usd += s->cell[c].gpus * s->cell[c].usd_per_s / D * (1 + 1e-9);
    }
    int deepest = (int)fmin(s->L, floor(capacity / o->cheapest)), r = 0;
    if (deepest < 1) return (struct point){INFINITY, INFINITY};
    while (s->range[r] * deepest < whole * (1 - 1e-12)) r++;
    if (q) lb.cost_usd = INFINITY;
    for (int k = 0; k < OUTLINE_X; k++) {
        if (o->least[k] > capacity) continue;
        double level = capacity / o->level, X = o->step[k];
        double S = level > OUTLINE_LEVELS ? o->free_sum[k] : o->sum[k][(int)level],
               T = iteration_time_s(M, X, fmax(S, X), 0, ring[r]);
        if (T > max_time_s * (1 + PROOF_SLACK)) continue;
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
