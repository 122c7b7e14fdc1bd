/* Branch and bound over one unit. T = (M-1)*X + S + u + y with X the largest stage time, S the sum of
 * stage times, u the update and y the largest all-reduce. The range of X (and of y, and of the USD rate when
 * money counts) is cut into windows; inside a window all stages are at most X_hi, so a small table gives the
 * least sum S of any rest of the pipeline within what is left of a weighted resource. A depth-first search
 * from the last stage to the first (memory depends on the stages that follow) keeps only what the bound lets
 * live; equal sets of stages reached with worse numbers die. A window that takes too long is cut in two.
 * docs/search.md has the argument. */
#include "search/solve.h"
#include "base/oom.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/chain.h"
#include "search/tree.h"

/* partial plans looked at in a window before it is cut in two (doubled every second cut; no two ranks share
 * a window, so there is a most), and in one that cannot be cut */
enum { NODE_BATCH = 4000, BATCH_MOST = 256000, NODE_LIMIT = 40000000 };

/* Partial plans of a unit after which a grid is worth while. */
enum { GRID_AFTER = 200000 };

/* And after which the links between types are looked at, and how much longer each window is searched then:
 * its tables take that long. */
enum { CHAIN_AFTER = 20000, CHAIN_PATIENCE = 16 };

/* And after which the regions are told apart in the crossing scope. */
enum { SIDES_AFTER = 4000 };

struct heap {
    struct window *w;
    int n, cap;
};

struct workspace {
    const struct space *s;
    const struct mb_space *mb;
    struct unit unit;
    struct goal goal; /* as it improves */
    struct point front_room[GOAL_FRONT_MAX];
    struct proof proof;
    struct window_tables window;
    struct tree tree;
    struct heap heap;
    struct unit_effort effort;
    struct unit_answer *out;
    uint64_t plans;
    double image_lb;         /* merged zones: the least bound of what is left */
    struct arena *a, tables; /* of the answer; of this thread */
};

struct workspace *workspace_new(const struct space *s, struct memo *memo) {
    struct workspace *v = oom_calloc(1, sizeof *v);
    v->s = s;
    window_tables_init(&v->window, s, &v->tables);
    tree_init(&v->tree, &v->window, &v->proof, memo, &v->tables);
    return v;
}

void workspace_free(struct workspace *v) {
    free(v->heap.w);
    tree_free(&v->tree);
    arena_free(&v->tables);
    free(v);
}

/* Keeps a plan of time t and cost c that the goal wants. */
static void keep_plan(struct unit_answer *out, struct goal *goal, struct proof *proof, double t, double c,
                      const struct found_plan *f, struct arena *a) {
    if (goal->objective == OBJECTIVE_FRONTIER) {
        if (!goal_front_insert(goal, GOAL_FRONT_MAX, t, c)) proof_front_full(proof);
        int keep = 0; /* drop what the new plan dominates */
        for (int i = 0; i < out->n_plan; i++)
            if (out->plan[i].est.iteration_time_s < t || out->plan[i].est.cost_usd < c)
                out->plan[keep++] = out->plan[i];
        out->n_plan = keep;
    } else {
        goal->best = goal->objective == OBJECTIVE_COST ? c : t;
        out->n_plan = 0;
    }
    if (out->n_plan == out->room) {
        out->room = out->room ? 2 * out->room : 16;
        struct found_plan *more = ARENA_ARRAY(a, struct found_plan, out->room);
        if (out->n_plan) memcpy(more, out->plan, sizeof *more * (size_t)out->n_plan);
        out->plan = more;
    }
    out->plan[out->n_plan] = *f;
    out->plan[out->n_plan++].plan = plan_copy(f->plan, a);
}

/* A plan from the leaves: keep it if it is wanted. */
static void offer(void *ctx, const struct plan *p) {
    struct workspace *v = ctx;
    struct plan *plan = (struct plan *)(uintptr_t)p;
    struct found_plan f = {.plan = plan, .planner_time_s = NAN, .planner_cost_usd = NAN};
    struct err e;
    v->plans++;
    if (estimate_plan(v->unit.mb->w, p, v->s->p->estimator, &f.est, &e) || !f.est.fits) return;
    double t = f.est.iteration_time_s, c = v->s->money ? f.est.cost_usd : 0;
    if (goal_wants(&v->goal, t, c)) keep_plan(v->out, &v->goal, &v->proof, t, c, &f, v->a);
}

/* Merged zones: plans with these bounds may exist. What is no better need not be looked at; a front is not
 * moved by what may not exist. */
static void bound(void *ctx, double time_lb, double cost_lb) {
    struct workspace *v = ctx;
    double value = v->goal.objective == OBJECTIVE_COST ? cost_lb : time_lb;
    v->image_lb = fmin(v->image_lb, value);
    if (v->goal.objective == OBJECTIVE_FRONTIER)
        proof_front_full(&v->proof);
    else
        v->goal.best = fmin(v->goal.best, value);
}

/* No pipeline over the pool has more stages. */
static int deepest(const struct space *s, const struct mb_space *mb, int D) {
    int gpus = 0, least = TP_N;
    for (int c = 0; c < s->n_cell; c++) gpus += s->cell[c].gpus;
    for (int k = 0; k < mb->n_class; k++) least = mb->cls[k].min_ti < least ? mb->cls[k].min_ti : least;
    int P = gpus / (D << least);
    return P < 1 ? 1 : P > s->L ? s->L : P;
}

/* Copies the front into its own room. False: there is not enough. */
static bool copy_goal(struct workspace *v, const struct goal *goal) {
    v->goal = *goal;
    v->goal.n_front = goal->n_front > GOAL_FRONT_MAX ? GOAL_FRONT_MAX : goal->n_front;
    if (v->goal.n_front) memcpy(v->front_room, goal->front, sizeof *goal->front * (size_t)v->goal.n_front);
    v->goal.front = v->front_room;
    return goal->n_front <= GOAL_FRONT_MAX;
}

/* Tables of one unit; they live in v->tables until the mark is released. */
static void begin_unit(struct workspace *v, const struct mb_space *mb, int D, int most,
                       const struct goal *goal, struct unit_effort effort) {
    v->mb = mb;
    v->effort = effort;
    v->plans = 0;
    v->image_lb = INFINITY;
    v->heap.n = 0;
    double tolerance = effort.tolerance, slack = 0;
    if (tolerance > 0 && !v->s->money && !effort.lay_out) {
        /* a plan can be stood for once per stage: half of the tolerance in all */
        slack = tolerance / 2 / deepest(v->s, mb, D);
        tolerance /= 2;
    }
    v->proof = proof_begin(&v->goal, tolerance, slack);
    if (!copy_goal(v, goal)) proof_front_full(&v->proof);
    bool whole = unit_build(&v->unit, v->s, mb, D, most, &v->tables);
    window_begin_unit(&v->window, &v->unit, &v->goal, &v->tables);
    v->window.stopped = !whole;
    struct tree *t = &v->tree;
    t->u = &v->unit;
    t->mb = mb;
    t->goal = &v->goal;
    t->offer = offer;
    t->bound = bound;
    t->ctx = v;
    t->hurried = effort.limit > 0;
    t->lay_out = effort.lay_out;
    t->layouts_max = effort.limit / 2;
    t->examined = 0;
    v->window.rents_cut = 0;
    t->bounds = (struct bound_counts){0};
    grid_forget(&t->grid);
    t->sides.on = false;
    t->over = false;
}

static double window_key(const struct workspace *v, const struct window *w) {
    return v->goal.objective == OBJECTIVE_COST ? w->cost_lb : w->time_lb;
}

static void heap_push(struct workspace *v, struct heap *h, struct window w) {
    if (h->n == h->cap) {
        h->cap = h->cap ? 2 * h->cap : 64;
        h->w = oom_realloc(h->w, (size_t)h->cap, sizeof *h->w);
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

/* Bound a window and put it aside if it may hold something. */
static void consider(struct workspace *v, struct window w) {
    if (!window_open(&v->window, w)) return;
    struct window open = v->window.w; /* what was known of a window holds for its halves */
    open.time_lb = fmax(open.time_lb, w.time_lb);
    open.cost_lb = fmax(open.cost_lb, w.cost_lb);
    heap_push(v, &v->heap, open);
}

/* Partial plans that a window may take before it is cut in two, or given up. */
static uint64_t window_patience(const struct workspace *v, const struct window *w, bool can_split) {
    int doublings = w->splits < 12 ? w->splits / 2 : 6;
    uint64_t examined = v->tree.examined, alone = v->effort.limit ? NODE_LIMIT : UINT64_MAX - examined,
             batch = (uint64_t)NODE_BATCH << doublings;
    if (v->window.chain.built) batch *= CHAIN_PATIENCE;
    if (batch > BATCH_MOST) batch = BATCH_MOST;
    uint64_t end = examined + (can_split ? batch : alone);
    return v->effort.limit && v->effort.limit < end ? v->effort.limit : end;
}

/* The stage times add up to this at least. True: that closes the window. */
static bool raise_bound(struct workspace *v, struct window *w, double sum) {
    double x = fmax(v->window.w.x_lo, w->x_lo), y = fmax(v->window.w.y_lo, w->y_lo),
           lb = window_time(&v->window, x, fmax(sum, x), v->window.u_min, y);
    if (!(lb > w->time_lb)) return false;
    double usd = v->s->money ? fmax(v->window.min_usd[v->s->L], w->r_lo) : 0; /* that every plan pays */
    w->time_lb = lb;
    w->cost_lb = fmax(w->cost_lb, usd * lb * (1 - 1e-12));
    return proof_cut(&v->proof, w->time_lb, w->cost_lb);
}

/* The last gear: where a unit has taken long, a grid over regions and GPU types bounds the window, and then
 * the partial plans in it. */
static bool grid_closes(struct workspace *v, struct window *w) {
    struct grid *g = &v->tree.grid;
    const struct search_problem *p = v->s->p;
    uint64_t usual = v->effort.grid_after ? v->effort.grid_after : GRID_AFTER,
             after = p->with & BOUND_GRID ? 0 : usual;
    double sum;
    g->on = false;
    if (v->effort.dive || p->without & BOUND_GRID || v->tree.examined < after) return false;
    if (!g->worthwhile && !(p->with & BOUND_GRID)) return false;
    bool built = grid_build(g, w->price, &sum);
    v->tree.examined += grid_effort(g);
    if (!built) return v->window.stopped;
    bool cut = raise_bound(v, w, sum);
    v->tree.bounds.grid += cut;
    return cut;
}

/* The gear before: in the crossing scope, what each region has. */
static bool sides_close(struct workspace *v, struct window *w) {
    struct sides *x = &v->tree.sides;
    const struct search_problem *p = v->s->p;
    double sum;
    x->on = false;
    if (v->effort.dive || p->without & BOUND_SIDES) return false;
    if (v->tree.examined < SIDES_AFTER && !(p->with & BOUND_SIDES)) return false;
    bool built = sides_build(x, &sum);
    v->tree.examined += sides_effort(x);
    bool cut = built && raise_bound(v, w, sum);
    v->tree.bounds.sides += cut;
    return cut || v->window.stopped;
}

/* And that: the links between types. */
static bool wants_chain(const struct workspace *v) {
    const struct search_problem *p = v->s->p;
    if (v->effort.dive || !v->mb->n_group) return false;
    return p->with & BOUND_CHAIN || v->tree.examined >= CHAIN_AFTER;
}

/* Search a window that was bounded before; what takes too long comes back in halves. */
static void search_window(struct workspace *v, struct window w) {
    struct window wide = w, half[2];
    if (!v->effort.dive && window_hopeless(&v->window, &w) && window_split(&v->window, &w, half)) {
        v->window.chain.on = false;
        v->tree.examined++; /* so that limits see it */
        consider(v, half[0]);
        consider(v, half[1]);
        return;
    }
    if (v->proof.slack > 0) { /* room for the stages that stand for those of this window */
        double f = pow(1 + v->proof.slack, deepest(v->s, v->mb, v->unit.D));
        wide.x_hi *= f;
        wide.y_hi *= f;
    }
    v->window.chain.on = wants_chain(v);
    bool holds = window_open(&v->window, wide);
    v->tree.examined += chain_effort(&v->window);
    if (!holds) return;
    const struct window *open = &v->window.w;
    w.x_lo = open->x_lo;
    w.x_hi = fmin(w.x_hi, open->x_hi);
    w.y_lo = open->y_lo;
    w.y_hi = fmin(w.y_hi, open->y_hi);
    w.r_lo = open->r_lo;
    w.r_hi = open->r_hi;
    w.time_lb = fmax(w.time_lb, open->time_lb);
    w.cost_lb = fmax(w.cost_lb, open->cost_lb);
    if (proof_cut(&v->proof, w.time_lb, w.cost_lb)) return;
    if (sides_close(v, &w) || grid_closes(v, &w)) return;
    bool can_split = window_split(&v->window, &w, half);
    v->tree.batch_end = window_patience(v, &w, can_split);
    struct proof before = v->proof;
    if (tree_search(&v->tree) || v->window.stopped) return;
    if (!can_split || v->effort.dive) { /* give up on the proof, keep the bound */
        proof_leave_open(&v->proof, w.time_lb, w.cost_lb);
        return;
    }
    proof_take_back(&v->proof, &before);
    consider(v, half[0]);
    consider(v, half[1]);
}

void unit_conclude(const struct space *s, const struct mb_space *mb, int D, const struct goal *goal,
                   struct unit_answer *out) {
    struct proof *q = &out->proof;
    q->goal = goal;
    for (int k = 0; k < out->n_left; k++)
        if (!goal_excludes(goal, out->left[k].time_lb, out->left[k].cost_lb))
            proof_leave_open(q, out->left[k].time_lb, out->left[k].cost_lb);
    out->n_left = 0;
    out->status = out->opened ? UNIT_SOLVED : UNIT_PRUNED;
    out->lower_bound = INFINITY;
    double open_lb = q->open_lb, best = goal->best * (1 - PROOF_SLACK);
    if (goal->objective == OBJECTIVE_FRONTIER) best = INFINITY;
    if (out->image_lb < INFINITY) {
        open_lb = fmin(open_lb, out->image_lb);
        best = INFINITY;
    }
    if (q->stood_in) open_lb = fmin(open_lb, goal->best) * (1 - q->slack * deepest(s, mb, D));
    if (open_lb < best) {
        out->status = UNIT_OPEN;
        out->lower_bound = open_lb;
    }
    if (goal->objective == OBJECTIVE_FRONTIER) {
        out->gap = fmax(q->open_gap, q->tolerated ? q->tolerance : 0);
        if (out->status == UNIT_SOLVED && q->tolerated) {
            out->status = UNIT_OPEN;
            out->lower_bound = 0;
        }
    }
    if (q->lost) { /* plans were left out: no bound beyond the unit's own */
        out->status = UNIT_OPEN;
        out->lower_bound = -INFINITY;
        out->gap = 1;
    }
}

void unit_join(struct unit_answer *sum, struct goal *goal, const struct unit_answer *slice, struct arena *a) {
    struct proof *q = &sum->proof;
    const struct proof *r = &slice->proof;
    if (!sum->opened) {
        sum->image_lb = INFINITY;
        *q = proof_begin(goal, r->tolerance, r->slack);
    }
    q->open_lb = fmin(q->open_lb, r->open_lb);
    q->open_gap = fmax(q->open_gap, r->open_gap);
    q->tolerated |= r->tolerated;
    q->stood_in |= r->stood_in;
    q->lost |= r->lost;
    sum->opened |= slice->opened;
    sum->image_lb = fmin(sum->image_lb, slice->image_lb);
    sum->nodes += slice->nodes;
    sum->plans += slice->plans;
    bounds_add(&sum->bounds, &slice->bounds);
    if (goal->objective != OBJECTIVE_FRONTIER) goal->best = fmin(goal->best, slice->image_lb);
    for (int k = 0; k < slice->n_plan; k++) {
        const struct found_plan *f = &slice->plan[k];
        double t = f->est.iteration_time_s, c = f->est.cost_usd;
        if (goal_wants(goal, t, isnan(c) ? 0 : c)) keep_plan(sum, goal, q, t, c, f, a);
    }
}

/* What is not searched when it ends is left. */
static void run(struct workspace *v, const struct unit_slice *slice) {
    struct heap *h = &v->heap;
    struct unit_answer *out = v->out;
    if (slice->w)
        for (int k = 0; k < slice->n; k++) heap_push(v, h, slice->w[k]);
    else
        for (int k = 0; k < unit_scopes(v->s) && !v->window.stopped; k++)
            consider(v, window_first(&v->window, k));
    out->opened = h->n > 0;
    while (h->n && !window_stopped(&v->window)) {
        uint64_t examined = v->tree.examined;
        if (v->effort.limit && examined > v->effort.limit) break; /* enough */
        if (examined - slice->examined >= slice->patience) break;
        struct window w = heap_pop(v, h);
        if (!proof_cut(&v->proof, w.time_lb, w.cost_lb)) search_window(v, w);
    }
    out->n_left = h->n;
    out->left = ARENA_ARRAY(v->a, struct window, h->n + 1);
    if (h->n) memcpy(out->left, h->w, sizeof *h->w * (size_t)h->n);
}

struct point unit_root_bound(struct workspace *v, const struct mb_space *mb, int D, int most,
                             const struct goal *goal) {
    struct arena_mark mark = arena_mark(&v->tables);
    struct point lb = {INFINITY, INFINITY};
    begin_unit(v, mb, D, most, goal, (struct unit_effort){0});
    for (int k = 0; k < unit_scopes(v->s) && !v->window.stopped; k++) {
        if (!window_open(&v->window, window_first(&v->window, k))) {
            if (!v->s->money) lb.time_s = fmin(lb.time_s, window_refuted_time(&v->window));
            continue;
        }
        lb.time_s = fmin(lb.time_s, v->window.w.time_lb);
        lb.cost_usd = fmin(lb.cost_usd, v->window.w.cost_lb);
    }
    arena_release(&v->tables, mark);
    return lb;
}

void unit_solve(struct workspace *v, const struct mb_space *mb, int D, const struct goal *goal,
                struct unit_effort effort, const struct unit_slice *slice, struct unit_answer *out,
                struct arena *a) {
    struct arena_mark mark = arena_mark(&v->tables);
    *out = (struct unit_answer){.status = UNIT_SOLVED, .lower_bound = INFINITY};
    v->out = out;
    v->a = a;
    begin_unit(v, mb, D, D, goal, effort);
    v->tree.examined = slice->examined;
    run(v, slice);
    if (v->window.stopped) out->status = UNIT_TODO;
    out->nodes = v->tree.examined - slice->examined;
    out->plans = v->plans;
    out->bounds = v->tree.bounds;
    out->bounds.rent = v->window.rents_cut;
    out->proof = v->proof;
    out->proof.goal = NULL;
    out->image_lb = v->image_lb;
    arena_release(&v->tables, mark);
}
