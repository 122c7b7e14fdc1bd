/* The dynamic program: layers [l, L) are covered, the pipeline fills type k of the part's order, of which it
 * has used u times D GPUs (and `off` in a stage that type k - 1 did not suffice for). For each such state the
 * least sum of stage times is kept, with every stage within a limit on its time and on its all-reduce. The
 * limits are then tightened step by step: a larger sum against a smaller maximum. */
#include "base/oom.h"
#include "search/fill_tables.h"
#include "sim/terms.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_X = 14, STEPS_Y = 4, WORK_PER_JUDGEMENT = 40 };

static const double *prefix(struct climb *c, const double *a, const double *b) {
    double *sum = ARENA_ARRAY(c->a, double, c->L + 1);
    for (int l = 0; l < c->L; l++) sum[l + 1] = sum[l] + a[l] + (b ? b[l] : 0);
    return sum;
}

static void list_microbatches(struct climb *c, struct kinds *k) {
    for (int x = 0; x < c->n_lot; x++) {
        const struct profile *pr = c->w->profile[c->lot[x].gpu];
        for (int i = 0; i < pr->n_mb; i++) {
            int at = 0;
            while (at < k->n_mb && k->mb[at] < pr->mb[i]) at++;
            if (at < k->n_mb && k->mb[at] == pr->mb[i]) continue;
            if (c->p->pin->micro_batch_size && c->p->pin->micro_batch_size != pr->mb[i]) continue;
            memmove(k->mb + at + 1, k->mb + at, sizeof *k->mb * (size_t)(k->n_mb - at));
            k->mb[at] = pr->mb[i];
            k->n_mb++;
        }
    }
}

struct kinds *kinds_build(struct climb *c) {
    struct kinds *k = ARENA_NEW(c->a, struct kinds);
    const struct model *mo = c->w->model;
    int most = 1;
    for (int x = 0; x < c->n_lot; x++) most += c->w->profile[c->lot[x].gpu]->n_mb;
    k->mb = ARENA_ARRAY(c->a, int, most);
    list_microbatches(c, k);
    k->kind = arena_alloc(c->a, sizeof *k->kind * (size_t)(k->n_mb + 1));
    k->params = prefix(c, mo->params[0], NULL);
    for (int i = 0; i < k->n_mb; i++)
        for (int x = 0; x < c->n_lot; x++)
            for (int ti = 0; ti < TP_N; ti++) {
                struct fill_kind *q = &k->kind[i][c->lot[x].gpu][ti];
                if (q->ok || !climb_kind(c, c->lot[x].gpu, ti, k->mb[i])) continue;
                const struct layer_times *t = profile_times(c->w->profile[c->lot[x].gpu], k->mb[i], 1 << ti);
                *q = (struct fill_kind){
                    true,
                    prefix(c, passes_forward_s(t, c->p->estimator), passes_backward_s(t, c->p->estimator)),
                    prefix(c, mo->params[ti], NULL), prefix(c, mo->act_mem[ti], NULL)};
            }
    return k;
}

int kinds_at(const struct kinds *k, int m) {
    for (int i = 0; i < k->n_mb; i++)
        if (k->mb[i] == m) return i;
    return -1;
}

bool kind_fits(const struct climb *c, int mi, int gpu, int ti, int D, int M, int depth, int first, int end) {
    const struct fill_kind *q = &c->kinds->kind[mi][gpu][ti];
    const struct workload *w = c->w;
    int held = microbatches_in_flight(c->p->estimator, depth, M);
    double bytes = model_bytes(w, c->p->estimator, ti, D, first, end, q->params[end] - q->params[first],
                               q->act[end] - q->act[first], held, c->kinds->mb[mi]);
    return held_bytes(w, c->p->estimator, gpu, ti, bytes) <= w->site->gpu[gpu].memory_bytes;
}

/* ---- one (part, m, D) --------------------------------------------------------------- */

/* The best of a sweep, by what it promises; and the last. */
struct rise {
    double value, best_slowest, best_reduce, slowest, reduce;
};

static double stage_time(const struct fill *f, int k, int ti, int i, int e) {
    return f->server[at_layers(f, k, i, e)][ti].time_s;
}

static double stage_period(const struct fill *f, int k, int ti, int i, int e) {
    return f->server[at_layers(f, k, i, e)][ti].period_s;
}

static double stage_reduce(const struct fill *f, int k, int ti, int i, int e) {
    return f->reduce[at_layers(f, k, i, e)][ring_ti(ti)];
}

static int greatest_depth(const struct fill *f, int k, int ti, int first, int end) {
    int lo = 0, hi = f->L; /* most fit anywhere or nowhere */
    for (int depth = hi; lo < hi; depth = lo ? (lo + hi + 1) / 2 : 1) {
        if (kind_fits(f->c, f->mi, f->part->gpu[k], ti, f->D, f->M, depth, first, end))
            lo = depth;
        else
            hi = depth - 1;
    }
    return lo;
}

bool fill_may_serve(const struct fill *f, int k, int ti, int i, int e, int depth) {
    struct server *s = &f->server[at_layers(f, k, i, e)][ti];
    if (s->period_s > f->x_hi || s->reduce_s > f->y_hi) return false;
    if (s->depth < 0) s->depth = greatest_depth(f, k, ti, i, e);
    return depth <= s->depth;
}

/* A stage [i, e) that takes what is left of type k at degree ti and goes on to the next types, each with its
 * smallest degree that is no slower, or else within the limit. Fills `s` if given. Returns the type that it
 * ends in, or -1. */
static int mix(const struct fill *f, int k, int ti, int i, int e, int used, int depth, struct sketch_stage *s,
               double *time_s, double *usd_per_s, int *off) {
    int left = f->D, n = (f->cap[k][ti] - used) >> ti;
    double slowest = stage_time(f, k, ti, i, e);
    *usd_per_s = 0;
    for (;;) {
        if (n > left) n = left;
        if (n > 0) {
            if (s) {
                s->kind[s->n].gpu = f->part->gpu[k];
                s->kind[s->n].ti = ti;
                s->kind[s->n++].count = n;
            }
            *time_s = slowest;
            *usd_per_s += (n << ti) * f->usd_per_s[k];
            left -= n;
            *off = n << ti;
        }
        if (!left) return k;
        if (++k == f->K) return -1;
        int any = -1;
        for (ti = 0; ti < TP_N; ti++) {
            if (!fill_may_serve(f, k, ti, i, e, depth)) continue;
            if (any < 0) any = ti;
            if (stage_time(f, k, ti, i, e) <= slowest) break;
        }
        if (ti == TP_N) ti = any;
        if (ti < 0) return -1;
        slowest = fmax(slowest, stage_time(f, k, ti, i, e));
        n = f->cap[k][ti] >> ti;
    }
}

static void extend(struct fill *f, int e, int k, int u) {
    int from = state(f, e, k, u);
    const struct label x = f->label[from];
    int depth = x.depth + 1, used = x.off + u * f->D;
    if (k + 1 < f->K) { /* nothing more of this type */
        struct label skip = x;
        skip.off = 0;
        reach(f, state(f, e, k + 1, 0), skip);
    }
    for (int i = e - 1; i >= 0; i--) {
        bool any = false;
        for (int ti = 0; ti < TP_N; ti++) {
            f->steps++;
            if (!fill_may_serve(f, k, ti, i, e, depth)) continue;
            any = true;
            struct label y = {.sum = x.sum,
                              .usd_per_s = x.usd_per_s,
                              .off = x.off,
                              .prev = from,
                              .depth = (short)depth,
                              .k = (signed char)k,
                              .ti = (signed char)ti,
                              .end = (short)e};
            if (used + (f->D << ti) <= f->cap[k][ti]) {
                if (u + (1 << ti) > f->U) continue;
                y.sum += stage_time(f, k, ti, i, e);
                y.usd_per_s += (f->D << ti) * f->usd_per_s[k];
                reach(f, state(f, i, k, u + (1 << ti)), y);
                continue;
            }
            double time_s = 0, usd_per_s = 0;
            int end = used + (1 << ti) <= f->cap[k][ti]
                          ? mix(f, k, ti, i, e, used, depth, NULL, &time_s, &usd_per_s, &y.off)
                          : -1;
            if (end < 0) continue;
            y.mixed = true;
            y.sum += time_s;
            y.usd_per_s += usd_per_s;
            reach(f, state(f, i, end, 0), y);
        }
        if (!any && i < e - 1) break; /* longer stages take longer */
    }
}

static void run(struct fill *f) {
    size_t n = (size_t)(f->L + 1) * (size_t)f->rows * (size_t)f->row;
    for (size_t x = 0; x < n; x++) f->label[x].sum = INFINITY;
    f->label[state(f, f->L, 0, 0)] = (struct label){.prev = -1};
    if (f->part->any_order) joint_run(f);
    for (int e = f->L; e > 0 && !f->part->any_order; e--)
        for (int k = 0; k < f->K; k++)
            for (int u = 0; u <= f->U; u++)
                if (f->label[state(f, e, k, u)].sum < INFINITY) extend(f, e, k, u);
    f->c->work += f->steps / WORK_PER_JUDGEMENT;
    f->steps %= WORK_PER_JUDGEMENT;
}

/* ---- from states to sketches -------------------------------------------------------- */

/* The pipeline that ends in this state; false: of more stages than there may be. */
static bool trace(struct fill *f, int at, double *slowest, double *reduce) {
    struct sketch *s = &f->sketch;
    const struct label *last = &f->label[at];
    int first = 0, here = at;
    s->P = last->depth;
    s->usd_per_s = last->usd_per_s;
    *slowest = *reduce = 0;
    for (int i = 0; i < s->P; i++) {
        const struct label *x = &f->label[here];
        const struct label *behind = &f->label[x->prev];
        int k = x->k, u = x->prev % f->row;
        struct sketch_stage *st = &s->stage[i];
        *st = (struct sketch_stage){.first = first, .end = x->end};
        double time_s = stage_time(f, k, x->ti, first, x->end), usd;
        int off;
        if (x->mixed) {
            mix(f, k, x->ti, first, x->end, behind->off + u * f->D, x->depth, st, &time_s, &usd, &off);
        } else {
            st->n = 1;
            st->kind[0].gpu = f->part->gpu[k];
            st->kind[0].ti = x->ti;
            st->kind[0].count = f->D;
        }
        int ti = x->ti;
        for (int q = 0; q < st->n; q++) ti = st->kind[q].ti < ti ? st->kind[q].ti : ti;
        *reduce = fmax(*reduce, stage_reduce(f, k, ti, first, x->end));
        *slowest = fmax(*slowest, time_s + stage_period(f, k, x->ti, first, x->end) -
                                      stage_time(f, k, x->ti, first, x->end));
        first = x->end;
        here = x->prev;
    }
    double sum = last->sum;
    s->time_s = (f->M - 1) * *slowest + sum + *reduce;
    return true;
}

static double promise(const struct fill *f, double time_s, double usd_per_s) {
    double w = f->c->weight;
    if (w == 1) return time_s;
    if (w == 0) return usd_per_s * time_s;
    return pow(time_s, w) * pow(usd_per_s * time_s, 1 - w);
}

/* The best end state for the present weight, by what the labels say; -1: none. */
static int best_end(const struct fill *f) {
    double best = INFINITY;
    int at = -1;
    double X = f->x_hi < INFINITY ? f->x_hi : 0;
    for (int k = 0; k < f->rows; k++)
        for (int u = 0; u < f->row; u++) {
            const struct label *x = &f->label[state(f, 0, k, u)];
            if (!(x->sum < INFINITY) || (f->c->p->pin->stages && x->depth != f->c->p->pin->stages)) continue;
            double least = fmax(X, x->sum / x->depth);
            double value = promise(f, (f->M - 1) * least + x->sum, x->usd_per_s);
            if (value < best) {
                best = value;
                at = state(f, 0, k, u);
            }
        }
    return at;
}

/* Every end state is a point between time and rent: those that the frontier does not cover yet. */
static void take_ends(struct fill *f, sketch_fn *take, void *ctx) {
    const double GAIN = 1.01; /* what is promised with the best links has to be that much better */
    double slowest, reduce;
    for (int k = 0; k < f->rows; k++)
        for (int u = 0; u < f->row && !climb_over(f->c); u++) {
            int at = state(f, 0, k, u);
            const struct label *x = &f->label[at];
            if (!(x->sum < INFINITY) || (f->c->p->pin->stages && x->depth != f->c->p->pin->stages)) continue;
            double least = GAIN * ((f->M - 1) * x->sum / x->depth + x->sum);
            if (climb_covered(f->c, least, least * x->usd_per_s)) continue;
            trace(f, at, &slowest, &reduce);
            double time_s = GAIN * f->sketch.time_s;
            if (!climb_covered(f->c, time_s, time_s * f->sketch.usd_per_s)) take(ctx, &f->sketch);
        }
}

/* The pipeline of the best end state within the limits, and on a frontier of all that count. False: none. */
static bool attempt(struct fill *f, struct rise *r, sketch_fn *take, void *ctx) {
    run(f);
    int at = best_end(f);
    if (at < 0) return false;
    trace(f, at, &r->slowest, &r->reduce);
    double value = promise(f, f->sketch.time_s, f->sketch.usd_per_s);
    take(ctx, &f->sketch);
    if (f->c->p->objective == OBJECTIVE_FRONTIER) take_ends(f, take, ctx);
    if (!(value < r->value)) return true;
    r->value = value;
    r->best_slowest = r->slowest;
    r->best_reduce = r->reduce;
    return true;
}

/* Where time is all that counts the slowest stage is as fast as can be, or nearly so: down from there. */
static void tighten(struct fill *f, struct rise *r, double least_x, sketch_fn *take, void *ctx) {
    bool found = false;
    f->x_hi = f->M > 8 ? 1.3 * least_x : INFINITY;
    for (int step = 0; step < STEPS_X && !climb_over(f->c); step++) {
        if (!attempt(f, r, take, ctx)) {
            if (found) break;
            f->x_hi = step < STEPS_X - 2 ? 1.3 * f->x_hi : INFINITY;
            continue;
        }
        found = true;
        if (f->M == 1 || r->slowest <= least_x * 1.01) break;
        f->x_hi = r->slowest * (f->M > 8 ? 0.97 : 0.93);
    }
}

/* Where money counts slow plans on a few GPUs do too: from all of the pool to one stage. */
static void loosen(struct fill *f, struct rise *r, double least_x, sketch_fn *take, void *ctx) {
    double most = 0;
    for (int k = 0; k < f->K; k++)
        for (int ti = 0; ti < TP_N; ti++)
            if (f->kind[f->part->gpu[k]][ti].ok) most = fmax(most, f->kind[f->part->gpu[k]][ti].comp[f->L]);
    double step = fmax(1.03, pow(1.1 * most / least_x, 1.0 / STEPS_X));
    f->x_hi = least_x;
    for (int k = 0; k < STEPS_X && f->x_hi <= most && !climb_over(f->c); k++) {
        f->x_hi *= step;
        attempt(f, r, take, ctx);
    }
}

/* Limits on stage times; then tighter ones on all-reduces. */
static void sweep(struct fill *f, double least_x, sketch_fn *take, void *ctx) {
    struct rise r = {INFINITY, INFINITY, INFINITY, INFINITY, INFINITY};
    f->y_hi = INFINITY;
    if (f->c->weight < 1)
        loosen(f, &r, least_x, take, ctx);
    else
        tighten(f, &r, least_x, take, ctx);
    f->x_hi = r.best_slowest * (1 + 1e-9);
    f->y_hi = r.best_reduce;
    for (int step = 0; step < STEPS_Y && r.value < INFINITY && f->D > 1 && !climb_over(f->c); step++) {
        f->y_hi *= 0.85;
        f->x_hi *= 1.04;
        if (!attempt(f, &r, take, ctx)) break;
        f->y_hi = fmin(f->y_hi, r.reduce);
    }
}

/* ---- a part ------------------------------------------------------------------------- */

/* What the zones of the part have together, and the fastest of its links inside a zone. */
static void survey(struct fill *f) {
    const struct climb *c = f->c;
    const struct site *s = c->w->site;
    for (int k = 0; k < f->K; k++) {
        double best = INFINITY;
        f->usd_per_s[k] = INFINITY;
        for (int x = 0; x < c->n_lot; x++) {
            const struct lot *l = &c->lot[x];
            if (l->gpu != f->part->gpu[k] || !(f->part->zones >> l->zone & 1)) continue;
            for (int ti = 0; ti < TP_N; ti++) f->cap[k][ti] += l->nodes.room[ti];
            f->usd_per_s[k] = fmin(f->usd_per_s[k], l->usd_per_s);
            const struct link *link = site_link(s, l->zone, l->gpu, 1, l->zone, l->gpu, 1);
            double t = usable_link_time_s(link, 1.6e7, c->p->estimator);
            if (!f->link[k] || t < best) {
                best = t;
                f->link[k] = link;
                for (int ti = 0; ti < TP_N; ti++) {
                    link = site_link(s, l->zone, l->gpu, 1 << ti, l->zone, l->gpu, 1 << ti);
                    for (int a = 0; a < f->L; a++) {
                        double bytes = activation_bytes(c->w, a, f->m);
                        f->send[k][ti][a] = usable_link_time_s(link, bytes, c->p->estimator) +
                                            receive_s(c->w, c->p->estimator, f->part->gpu[k], 1 << ti, bytes);
                    }
                }
            }
        }
        if (!(f->usd_per_s[k] < INFINITY)) f->usd_per_s[k] = 0;
    }
}

/* Layers repeat: stages of as many parameters as the one before or the one shifted by a layer are not counted
 * anew. */
static void build_reduces(struct fill *f) {
    int L = f->L;
    const double *params = f->k->params;
    for (int k = 0; k < f->K; k++)
        for (int i = 0; i < L; i++)
            for (int e = i + 1; e <= L; e++) {
                size_t at = ((size_t)k * (size_t)(L + 1) + (size_t)i) * (size_t)(L + 1) + (size_t)e;
                double n = params[e] - params[i];
                bool known = i > 0 && params[e - 1] - params[i - 1] == n;
                for (int ti = 0; ti < RING_TI_N; ti++) {
                    double *y = &f->reduce[at][ti];
                    if (f->D == 1) {
                        *y = 0;
                    } else if (known) {
                        *y = f->reduce[at - (size_t)(L + 1) - 1][ti];
                    } else {
                        struct allreduce messages =
                            allreduce_of(ring_bytes(f->c->w, n, ti), f->D, f->c->p->estimator);
                        *y = usable_allreduce_s(f->link[k], &messages);
                    }
                }
            }
}

static void list_servers(struct fill *f) {
    for (int k = 0; k < f->K; k++)
        for (int ti = 0; ti < TP_N; ti++) {
            const struct fill_kind *q = &f->kind[f->part->gpu[k]][ti];
            for (int i = 0; i < f->L; i++)
                for (int e = i + 1; e <= f->L; e++) {
                    struct server *s = &f->server[at_layers(f, k, i, e)][ti];
                    *s = (struct server){INFINITY, INFINITY, INFINITY, 0};
                    if (!q->ok) continue;
                    s->time_s = q->comp[e] - q->comp[i] + (e < f->L ? f->send[k][ti][e - 1] : 0) +
                                (i > 0 ? f->send[k][ti][i] : 0);
                    s->period_s =
                        s->time_s + turn_s(f->c->w, f->c->p->estimator, i > 0 ? f->send[k][ti][i - 1] : 0, 0);
                    s->reduce_s = stage_reduce(f, k, ti, i, e);
                    s->depth = -1;
                }
        }
}

/* Bounds of (m, D) in the part, links left out. */
struct chance {
    int mi, D, M;
    double least_x, value;
};

static int by_value(const void *a, const void *b) {
    const struct chance *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->mi != y->mi ? x->mi - y->mi : x->D - y->D;
}

/* GPU seconds and USD of a whole microbatch, on the best degree of each type: what they allow for D. */
static bool rate_chance(struct fill *f, struct chance *x) {
    double speed = 0, least_sum = INFINITY, usd = INFINITY;
    int room = 0;
    for (int k = 0; k < f->K; k++) {
        double work = INFINITY;
        int most = 0;
        for (int ti = TP_N - 1; ti >= 0; ti--) {
            const struct fill_kind *q = &f->k->kind[x->mi][f->part->gpu[k]][ti];
            if (!q->ok) continue;
            work = fmin(work, q->comp[f->L] * (1 << ti));
            least_sum = fmin(least_sum, q->comp[f->L]);
            most = f->cap[k][ti] >> ti;
        }
        room += most;
        int used = f->cap[k][0] - (f->part->any_order ? f->cap[k][0] % x->D : 0);
        if (work < INFINITY) speed += used / fmax(work, 1e-12);
        usd = fmin(usd, work * f->usd_per_s[k]);
    }
    if (room < x->D || speed == 0) return false;
    x->least_x = x->D / speed;
    double time_s = (x->M - 1) * x->least_x + fmax(least_sum, x->least_x), w = f->c->weight;
    double cost = x->M * (double)x->D * usd;
    x->value = w == 1 ? time_s : w == 0 ? cost : pow(time_s, w) * pow(fmax(cost, 1e-300), 1 - w);
    return true;
}

/* Of the D with equal M the smallest, and those that make the most of a type: D times a few stages. */
static int list_chances(struct fill *f, struct chance *out) {
    const struct pin *pin = f->c->p->pin;
    int n = 0, G = f->c->w->global_batch_size, total = 0;
    for (int k = 0; k < f->K; k++) total += f->cap[k][0];
    for (int mi = 0; mi < f->k->n_mb; mi++) {
        int m = f->k->mb[mi], D = 1;
        while (D <= total) {
            long slots = (long)m * D;
            int M = microbatches(G, slots), next = M > 1 ? 0 : total + 1;
            if (pin->data_parallel) {
                D = pin->data_parallel;
                M = microbatches(G, (long)m * D);
            }
            struct chance x = {.mi = mi, .D = D, .M = M};
            if (M > 1) next = (G + m * (M - 1) - 1) / (m * (M - 1)); /* the least D of M - 1 microbatches */
            if ((!f->c->p->exact_batch || G % ((long)m * D) == 0) && rate_chance(f, &x)) out[n++] = x;
            if (pin->data_parallel) break;
            D = next > D ? next : D + 1;
        }
    }
    qsort(out, (size_t)n, sizeof *out, by_value);
    return n;
}

/* The tables for (m, D). False: the states are too many. */
static bool set_up(struct fill *f, const struct chance *x) {
    f->mi = x->mi;
    f->m = f->k->mb[x->mi];
    f->D = x->D;
    f->M = x->M;
    f->kind = f->k->kind[x->mi];
    memset(f->cap, 0, sizeof f->cap);
    memset(f->link, 0, sizeof f->link);
    survey(f);
    f->U = 0;
    for (int k = 0; k < f->K; k++) f->U = f->cap[k][0] / f->D > f->U ? f->cap[k][0] / f->D : f->U;
    if (f->U > UNITS_MAX) f->U = UNITS_MAX;
    f->rows = f->K;
    f->row = f->U + 1;
    if (f->part->any_order && !joint_size(f)) return false;
    build_reduces(f);
    list_servers(f);
    f->sketch.m = f->m;
    f->sketch.D = f->D;
    return true;
}

void fill_part(struct climb *c, const struct pool_part *part, int most, sketch_fn *take, void *ctx) {
    const struct kinds *kinds = c->kinds;
    struct arena scratch = {0};
    struct fill f = {.c = c, .k = kinds, .part = part, .L = c->L, .K = part->n_type};
    f.reduce = arena_alloc(&scratch, sizeof *f.reduce * (size_t)f.K * (size_t)(f.L + 1) * (size_t)(f.L + 1));
    f.server = arena_alloc(&scratch, sizeof *f.server * (size_t)f.K * (size_t)(f.L + 1) * (size_t)(f.L + 1));
    struct label *joint = NULL; /* much of it is seldom touched */
    if (part->any_order) joint = oom_calloc((size_t)(f.L + 1) * JOINT_STATES, sizeof *joint);
    f.label = joint ? joint
                    : ARENA_ARRAY(&scratch, struct label, (size_t)(f.L + 1) * (size_t)f.K * (UNITS_MAX + 1));
    f.sketch.stage = ARENA_ARRAY(&scratch, struct sketch_stage, f.L);
    for (int k = 0; k < f.K; k++)
        for (int ti = 0; ti < TP_N; ti++) f.send[k][ti] = ARENA_ARRAY(&scratch, double, f.L);
    survey(&f);
    struct chance *chance =
        ARENA_ARRAY(&scratch, struct chance, (size_t)kinds->n_mb * (size_t)(c->w->global_batch_size + 2));
    int n = list_chances(&f, chance);
    for (int i = 0, tried = 0; i < n && tried < most && !climb_over(c); i++) {
        const struct chance *x = &chance[i];
        if (x->value >= c->bar && x->value > 0) break;
        if (!set_up(&f, x)) continue;
        sweep(&f, x->least_x, take, ctx);
        tried++;
    }
    free(joint);
    arena_free(&scratch);
}
