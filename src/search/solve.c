/* Branch and bound over one unit. T = (M-1)*X + S + u + y with X the largest stage time, S the sum of stage
 * times, u the update and y the largest all-reduce. The range of X (and of y, and of the USD rate when money
 * counts) is cut into windows; inside a window all stages are at most X_hi, so a small table gives the least
 * sum S of any rest of the pipeline within what is left of a weighted resource. A depth-first search from the
 * last stage to the first (memory depends on the stages that follow) keeps only what the bound lets live;
 * equal sets of stages reached with worse numbers die. A window that takes too long is cut in two.
 * docs/search.md has the argument. */
#include "search/workspace.h"

#include <stdlib.h>
#include <string.h>

#include "sim/terms.h"

/* partial plans looked at in a window before it is cut in two (doubled every second cut), and in one that
 * cannot be cut */
enum { NODE_BATCH = 4000, NODE_LIMIT = 40000000 };

struct workspace *workspace_new(const struct space *s) {
    struct workspace *v = calloc(1, sizeof *v);
    if (!v) abort();
    int L = s->L, K = 0;
    for (int k = 0; k < s->n_mb; k++) K = s->mb[k].n_class > K ? s->mb[k].n_class : K;
    struct arena *a = &v->tables;
    v->s = s;
    v->n_allowed = ARENA_ARRAY(a, int, (L + 1) * (L + 1));
    v->allowed = ARENA_ARRAY(a, struct allowed, (size_t)(L + 1) * (size_t)(L + 1) * (size_t)K);
    v->min_depth = ARENA_ARRAY(a, int, L + 1);
    v->min_usd = ARENA_ARRAY(a, double, L + 1);
    v->need_stack = ARENA_ARRAY(a, int, (L + 2) * s->n_set);
    v->pack_stack = ARENA_ARRAY(a, int, (L + 2) * s->n_cell * TP_N);
    v->surr_stack = ARENA_ARRAY(a, double, (L + 2) * SURROGATES_MAX);
    v->path = ARENA_ARRAY(a, struct choice, L + 1);
    v->children = ARENA_ARRAY(a, struct node *, L + 1);
    v->child_cap = ARENA_ARRAY(a, int, L + 1);
    arena_alloc(&v->scratch, 1); /* so that marks have a block to return to */
    return v;
}

void workspace_free(struct workspace *v) {
    for (int l = 0; l <= v->s->L; l++) free(v->children[l]);
    free(v->heap.w);
    free(v->memo.slot);
    free(v->memo.entry);
    arena_free(&v->tables);
    arena_free(&v->scratch);
    free(v);
}

/* No pipeline over the pool has more stages. */
static int deepest(const struct space *s, const struct mb_space *mb, int D) {
    int gpus = 0, least = TP_N;
    for (int c = 0; c < s->n_cell; c++) gpus += s->cell[c].gpus;
    for (int k = 0; k < mb->n_class; k++) least = mb->cls[k].min_ti < least ? mb->cls[k].min_ti : least;
    int P = gpus / (D << least);
    return P < 1 ? 1 : P > s->L ? s->L : P;
}

/* Tables of one unit; they live in v->tables until the mark is released. */
static void begin_unit(struct workspace *v, struct unit *u, const struct mb_space *mb, int D,
                       const struct goal *goal) {
    v->u = u;
    v->mb = mb;
    v->goal = *goal;
    v->n_surrogate = v->n_table = 0;
    memset(v->surrogate, 0, sizeof v->surrogate);
    v->examined = v->plans = 0;
    v->over = v->lost = false;
    v->stopped = !unit_build(u, v->s, mb, D, &v->tables);
    v->plan_cap = 0;
    v->heap.n = 0;
    v->open_lb = INFINITY;
    v->open_gap = 0;
    v->loose = v->tolerated = false;
    v->slack = 0;
    if (v->effort.tolerance > 0 && !v->s->money) {
        /* a plan can be stood for once per stage: half of the tolerance in all */
        v->slack = v->effort.tolerance / 2 / deepest(v->s, mb, D);
        v->effort.tolerance /= 2;
    }
    if (goal->n_front > FRONT_MAX) v->lost = true;
    v->goal.n_front = goal->n_front > FRONT_MAX ? FRONT_MAX : goal->n_front;
    if (v->goal.n_front) memcpy(v->front_room, goal->front, sizeof *goal->front * (size_t)v->goal.n_front);
    v->goal.front = v->front_room;
    v->u_min = INFINITY;
    for (int c = 0; c < mb->n_class; c++)
        for (int i = 0; i < v->s->L; i++)
            for (int e = i + 1; e <= v->s->L; e++) v->u_min = fmin(v->u_min, mb->update[cfe(v->s, c, i, e)]);
    window_make_surrogates(v);
}

static struct window first_window(const struct workspace *v, int scope) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    int L = s->L;
    struct window w = {.scope = scope, .y_lo = INFINITY, .r_hi = INFINITY};
    for (int c = 0; c < mb->n_class; c++) {
        for (int e = 1; e <= L; e++)
            w.y_lo = fmin(w.y_lo, unit_sync_min(v->u, scope, c, 0, e)); /* some stage holds layer 0 */
        w.x_hi = fmax(w.x_hi, mb->comp[cfe(s, c, 0, L)]);
    }
    double slowest = 0;
    size_t q = (size_t)s->n_cell * TP_N;
    for (size_t k = 0; k < (size_t)mb->n_size * q * q; k++)
        if (mb->kind_time[k] < INFINITY) slowest = fmax(slowest, mb->kind_time[k]);
    w.x_hi += 2 * slowest;
    for (int k = 0; k < s->n_link * RING_TI_N * s->n_range; k++)
        if (v->u->ring[k] < INFINITY) w.y_hi = fmax(w.y_hi, v->u->ring[k]);
    for (int l = 0; l < L; l++) w.x_lo = fmax(w.x_lo, mb->layer_min[l]);
    double top = v->goal.max_time_s; /* no use looking above the incumbent */
    if (v->goal.objective == OBJECTIVE_THROUGHPUT) top = fmin(top, v->goal.best);
    top *= 1 + 1e-9;
    if (v->u->M > 1) w.x_hi = fmin(w.x_hi, top / (v->u->M - 1));
    w.x_hi = fmin(w.x_hi, top);
    w.y_hi = fmin(w.y_hi, top);
    if (s->money) { /* zones may differ in price */
        w.r_hi = 0;
        for (int c = 0; c < s->n_cell; c++) w.r_hi += s->cell[c].usd_per_s * s->cell[c].gpus;
    }
    return w;
}

static double window_key(const struct workspace *v, const struct window *w) {
    return v->goal.objective == OBJECTIVE_COST ? w->cost_lb : w->time_lb;
}

static void heap_push(struct workspace *v, struct heap *h, struct window w) {
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 64;
        h->w = realloc(h->w, sizeof *h->w * (size_t)h->cap);
        if (!h->w) abort();
    }
    int i = h->n++;
    for (; i && window_key(v, &w) < window_key(v, &h->w[(i - 1) / 2]); i = (i - 1) / 2)
        h->w[i] = h->w[(i - 1) / 2];
    h->w[i] = w;
}

static struct window heap_pop(struct workspace *v, struct heap *h) {
    struct window top = h->w[0], last = h->w[--h->n];
    int i = 0;
    for (;;) {
        int k = 2 * i + 1;
        if (k >= h->n) break;
        if (k + 1 < h->n && window_key(v, &h->w[k + 1]) < window_key(v, &h->w[k])) k++;
        if (window_key(v, &last) <= window_key(v, &h->w[k])) break;
        h->w[i] = h->w[k];
        i = k;
    }
    h->w[i] = last;
    return top;
}

/* Cut the window where it is widest in effect on the objective. False: too narrow for that to help. */
static bool split(const struct workspace *v, const struct window *w, struct window half[2]) {
    double dx = v->u->M > 1 ? (v->u->M - 1) * (w->x_hi - w->x_lo) : 0, dy = w->y_hi - w->y_lo, dr = 0;
    if (v->s->money && w->time_lb > 0) {
        double usd = fmax(v->min_usd[v->s->L], w->r_lo);
        dr = (w->r_hi - usd) / w->r_hi * w->time_lb;
        if (v->goal.objective == OBJECTIVE_THROUGHPUT && w->r_hi * v->goal.best <= v->goal.max_usd / 2)
            dr = 0;
    }
    if (fmax(dx, fmax(dy, dr)) < 1e-3 * w->time_lb || w->splits > 40) return false;
    half[0] = half[1] = *w;
    half[0].splits = half[1].splits = w->splits + 1;
    if (dr >= dx && dr >= dy)
        half[0].r_hi = half[1].r_lo = (fmax(w->r_lo, v->min_usd[v->s->L]) + w->r_hi) / 2;
    else if (dx >= dy)
        half[0].x_hi = half[1].x_lo = (w->x_lo + w->x_hi) / 2;
    else
        half[0].y_hi = half[1].y_lo = (w->y_lo + w->y_hi) / 2;
    return true;
}

/* Bound a window and put it aside if it may hold something. */
static void consider(struct workspace *v, struct heap *h, struct window w) {
    v->w = w;
    if (!window_open(v, &w.time_lb, &w.cost_lb)) return;
    v->w.time_lb = w.time_lb;
    v->w.cost_lb = w.cost_lb;
    heap_push(v, h, v->w);
}

static void unit_run(struct workspace *v) {
    struct unit_answer *out = v->out;
    struct heap *h = &v->heap;
    for (int k = 0; k < unit_scopes(v->s) && !v->stopped; k++) consider(v, h, first_window(v, k));
    out->status = h->n ? UNIT_SOLVED : UNIT_PRUNED;
    while (h->n && !workspace_stopped(v)) {
        struct window w = heap_pop(v, h), half[2];
        if (window_pass_over(v, w.time_lb, w.cost_lb)) continue;
        if (v->effort.limit && v->examined > v->effort.limit) { /* enough: keep the bound */
            window_leave_open(v, w.time_lb, w.cost_lb);
            break;
        }
        v->w = w;
        if (v->slack > 0) { /* room for the stages that stand for those of this window */
            double f = pow(1 + v->slack, deepest(v->s, v->mb, v->u->D));
            v->w.x_hi *= f;
            v->w.y_hi *= f;
        }
        if (!window_open(v, &w.time_lb, &w.cost_lb)) continue;
        w.x_lo = v->w.x_lo;
        w.x_hi = fmin(w.x_hi, v->w.x_hi);
        w.y_lo = v->w.y_lo;
        w.y_hi = fmin(w.y_hi, v->w.y_hi);
        if (window_pass_over(v, w.time_lb, w.cost_lb)) continue;
        bool can_split = split(v, &w, half);
        int patience = w.splits < 12 ? w.splits / 2 : 6;
        uint64_t alone =
            v->effort.limit ? NODE_LIMIT : UINT64_MAX - v->examined; /* a window that cannot be cut */
        v->batch_end = v->examined + (can_split ? (uint64_t)NODE_BATCH << patience : alone);
        if (v->effort.limit && v->effort.limit < v->batch_end) v->batch_end = v->effort.limit;
        if (tree_search(v) || v->stopped) continue;
        if (!can_split || v->effort.dive) { /* give up on the proof, keep the bound */
            window_leave_open(v, w.time_lb, w.cost_lb);
            continue;
        }
        consider(v, h, half[0]);
        consider(v, h, half[1]);
    }
    while (h->n) { /* cut short: the rest stays open */
        struct window w = heap_pop(v, h);
        if (!goal_excludes(&v->goal, w.time_lb, w.cost_lb)) window_leave_open(v, w.time_lb, w.cost_lb);
    }
    double best = v->goal.objective == OBJECTIVE_FRONTIER ? INFINITY : v->goal.best * (1 - PROOF_SLACK);
    if (v->loose)
        v->open_lb = fmin(v->open_lb, v->goal.best) * (1 - v->slack * deepest(v->s, v->mb, v->u->D));
    if (v->open_lb < best) out->status = UNIT_OPEN, out->lower_bound = v->open_lb;
    if (v->goal.objective == OBJECTIVE_FRONTIER) {
        out->gap = fmax(v->open_gap, v->tolerated ? v->effort.tolerance : 0);
        if (out->status == UNIT_SOLVED && v->tolerated) out->status = UNIT_OPEN, out->lower_bound = 0;
    }
    if (v->stopped) out->status = UNIT_TODO;
}

struct point unit_root_bound(struct workspace *v, const struct mb_space *mb, int D, const struct goal *goal) {
    struct arena_mark mark = arena_mark(&v->tables);
    struct unit u;
    struct point lb = {INFINITY, INFINITY};
    v->effort = (struct unit_effort){0};
    begin_unit(v, &u, mb, D, goal);
    for (int k = 0; k < unit_scopes(v->s) && !v->stopped; k++) {
        struct point b;
        v->w = first_window(v, k);
        if (!window_open(v, &b.time_s, &b.cost_usd)) continue;
        lb.time_s = fmin(lb.time_s, b.time_s);
        lb.cost_usd = fmin(lb.cost_usd, b.cost_usd);
    }
    arena_release(&v->tables, mark);
    return lb;
}

void unit_solve(struct workspace *v, const struct mb_space *mb, int D, const struct goal *goal,
                struct unit_effort effort, struct unit_answer *out, struct arena *a) {
    struct arena_mark mark = arena_mark(&v->tables);
    struct unit u;
    *out = (struct unit_answer){.status = UNIT_PRUNED, .lower_bound = INFINITY};
    v->out = out;
    v->a = a;
    v->effort = effort;
    begin_unit(v, &u, mb, D, goal);
    unit_run(v);
    if (mb->truncated || v->lost) { /* plans were left out: no bound beyond the unit's own */
        out->status = out->status == UNIT_TODO ? UNIT_TODO : UNIT_OPEN;
        out->lower_bound = -INFINITY;
        out->gap = 1;
    }
    out->nodes = v->examined;
    out->plans = v->plans;
    arena_release(&v->tables, mark);
}
