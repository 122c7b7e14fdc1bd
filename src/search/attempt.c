/* The first slice of a unit opens its windows and searches for a while. What it leaves is dealt out to
 * several slices, each with every so many-th window in the order of their bounds, and so on, until nothing is
 * left or the effort is spent. All slices of a step know the same, and their answers are joined in a fixed
 * order. */
#include "search/attempt.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/oom.h"
#include "search/best.h"
#include "search/window.h"

/* Partial plans of a slice; slices of a unit in a step. */
enum { PATIENCE = 50000, SLICES_MAX = 64 };

struct piece {
    int unit;
    struct unit_slice slice;
};

struct round {
    const struct step *t;
    struct piece *piece;
    const struct step_hooks *hooks;
    struct deal_answers *answers;
};

static bool solve_piece(void *ctx, int i, struct unit_answer *out, struct arena *a) {
    struct round *r = ctx;
    const struct piece *piece = &r->piece[i];
    const struct attempt *x = &r->t->x[piece->unit];
    if (stop_wanted(x->s->stop)) {
        *out = (struct unit_answer){.status = UNIT_TODO};
        return false;
    }
    unit_solve(x->workspace[omp_get_thread_num()], x->mb, x->D, &x->goal, r->t->effort, &piece->slice, out,
               a);
    if (r->hooks && r->hooks->done && omp_get_thread_num() == 0) r->hooks->done(r->hooks->ctx);
    return out->status != UNIT_TODO;
}

static bool pause_round(void *ctx, bool stopped) {
    struct round *r = ctx;
    return r->hooks->pause(r->hooks->ctx, r->answers, stopped);
}

static int slices_of(const struct step *t, const struct attempt *x) {
    uint64_t most = SLICES_MAX, share = (uint64_t)(t->slices / t->n) + 1, examined = x->answer.nodes,
             grown = 2 + 2 * examined / PATIENCE; /* what one finds spares the next ones work */
    if (share < most) most = share;
    if (grown < most) most = grown;
    if (t->effort.limit) {
        uint64_t left = examined < t->effort.limit ? t->effort.limit - examined : 0;
        if (left / PATIENCE < most) most = left < PATIENCE ? 1 : left / PATIENCE;
    }
    return (uint64_t)x->n_left < most ? x->n_left : (int)most;
}

/* The pieces of the step, and their windows, live in `a`. */
static int cut(struct round *r, struct arena *a) {
    const struct step *t = r->t;
    int n = 0, most = 0;
    for (int u = 0; u < t->n; u++) most += t->x[u].begun && !t->x[u].over ? slices_of(t, &t->x[u]) : 1;
    r->piece = ARENA_ARRAY(a, struct piece, most + 1);
    for (int u = 0; u < t->n; u++) {
        const struct attempt *x = &t->x[u];
        if (x->over) continue;
        if (!x->begun) {
            r->piece[n++] = (struct piece){u, {.patience = PATIENCE}};
            continue;
        }
        int slices = slices_of(t, x);
        for (int k = 0; k < slices; k++) {
            struct window *w = ARENA_ARRAY(a, struct window, x->n_left / slices + 1);
            int many = 0;
            for (int i = k; i < x->n_left; i += slices) w[many++] = x->left[i];
            r->piece[n++] = (struct piece){u, {w, many, x->answer.nodes, PATIENCE}};
        }
    }
    return n;
}

static int by_time(const void *a, const void *b) {
    const struct window *x = a, *y = b;
    const double of[] = {x->time_lb - y->time_lb, x->cost_lb - y->cost_lb, x->x_lo - y->x_lo,
                         x->y_lo - y->y_lo, x->r_lo - y->r_lo};
    for (size_t k = 0; k < sizeof of / sizeof *of; k++)
        if (of[k] < 0 || of[k] > 0) return of[k] < 0 ? -1 : 1;
    return x->scope != y->scope ? x->scope - y->scope : x->splits - y->splits;
}

static int by_cost(const void *a, const void *b) {
    const struct window *x = a, *y = b;
    if (x->cost_lb != y->cost_lb) return x->cost_lb < y->cost_lb ? -1 : 1;
    return by_time(a, b);
}

/* Room for `more` points. */
static void make_room(struct goal *g, int more) {
    int n = g->n_front + more;
    g->front = oom_realloc(g->front, (size_t)(n < GOAL_FRONT_MAX ? n : GOAL_FRONT_MAX) + 1, sizeof *g->front);
}

/* What is known elsewhere, and what the attempt itself has found. */
static void set_goal(struct attempt *x, const struct goal *known) {
    struct goal own = x->goal;
    if (x->over) return;
    x->goal = *known;
    if (known->objective != OBJECTIVE_FRONTIER) {
        if (x->begun && own.best < known->best) x->goal.best = own.best;
        return;
    }
    x->lost |= known->n_front > GOAL_FRONT_MAX;
    if (x->lost) x->goal.n_front = known->n_front < GOAL_FRONT_MAX ? known->n_front : GOAL_FRONT_MAX;
    x->goal.front = own.front;
    int n = x->goal.n_front;
    x->goal.n_front = 0;
    make_room(&x->goal, n + x->answer.n_plan);
    if (n) memcpy(x->goal.front, known->front, sizeof *known->front * (size_t)n);
    x->goal.n_front = n;
    for (int k = 0; k < x->answer.n_plan; k++) {
        const struct estimate *est = &x->answer.plan[k].est;
        if (!goal_wants(&x->goal, est->iteration_time_s, est->cost_usd)) continue;
        if (!goal_front_insert(&x->goal, GOAL_FRONT_MAX, est->iteration_time_s, est->cost_usd))
            x->lost = true;
    }
}

static void leave(struct attempt *x, const struct window *w, int n) {
    x->left = oom_realloc(x->left, (size_t)(x->n_left + n + 1), sizeof *x->left);
    if (n) memcpy(x->left + x->n_left, w, sizeof *x->left * (size_t)n);
    x->n_left += n;
}

/* A slice that was not done. Where it was the first, nothing is known. */
static void put_back(struct attempt *x, const struct unit_slice *slice) {
    leave(x, slice->w, slice->n);
    if (!slice->w) x->bound = -INFINITY;
}

static void take(const struct search_problem *p, struct attempt *x, struct unit_answer *answer,
                 struct arena *a) {
    for (int k = 0; k < answer->n_plan; k++) best_estimate(p, &answer->plan[k], a);
    answer->proof.lost |= x->lost;
    if (x->goal.objective == OBJECTIVE_FRONTIER) make_room(&x->goal, answer->n_plan);
    unit_join(&x->answer, &x->goal, answer, a);
    leave(x, answer->left, answer->n_left);
}

/* As if it ended here. */
static double bound_so_far(const struct attempt *x) {
    struct unit_answer end = x->answer;
    end.left = x->left;
    end.n_left = x->n_left;
    unit_conclude(x->s, x->mb, x->D, &x->goal, &end);
    return end.lower_bound;
}

/* An attempt with nothing left, or without effort, is over. */
static void conclude(struct attempt *x, const struct search_problem *p, const struct unit_effort *effort) {
    if (x->over) return;
    qsort(x->left, (size_t)x->n_left, sizeof *x->left, p->objective == OBJECTIVE_COST ? by_cost : by_time);
    x->begun = true;
    if (x->n_left && !(effort->limit && x->answer.nodes > effort->limit)) {
        x->bound = bound_so_far(x);
        return;
    }
    x->answer.left = x->left;
    x->answer.n_left = x->n_left;
    unit_conclude(x->s, x->mb, x->D, &x->goal, &x->answer);
    x->answer.left = NULL;
    x->over = true;
}

bool attempt_sane(const struct unit_answer *answer, int scopes) {
    bool sane = answer->status <= UNIT_OPEN;
    for (int k = 0; k < answer->n_left && sane; k++) {
        const struct window *w = &answer->left[k];
        double sum = w->x_lo + w->x_hi + w->y_lo + w->y_hi + w->r_lo + w->r_hi + w->time_lb + w->cost_lb;
        sane = w->scope >= 0 && w->scope < scopes && w->splits >= 0 && !isnan(sum);
        for (int a = 0; a < GRID_AXES && sane; a++) sane = w->price[a] >= 0 && w->price[a] < INFINITY;
    }
    return sane;
}

bool attempts_step(struct deal *d, enum task_kind kind, const struct search_problem *p, struct step *t,
                   const struct step_hooks *hooks, struct arena *a) {
    struct arena scratch = {0};
    struct deal_answers answers = {0};
    struct round r = {.t = t, .hooks = hooks, .answers = &answers};
    const struct deal_questions q = {solve_piece, hooks && hooks->pause ? pause_round : NULL, &r};
    for (int u = 0; u < t->n; u++) set_goal(&t->x[u], t->goal);
    answers.n = cut(&r, &scratch);
    answers.answer = ARENA_ARRAY(&scratch, struct unit_answer, answers.n + 1);
    answers.done = ARENA_ARRAY(&scratch, bool, answers.n + 1);
    answers.seconds = ARENA_ARRAY(&scratch, double, answers.n + 1);
    if (hooks && hooks->recall) hooks->recall(hooks->ctx, &answers, &scratch);
    for (int i = 0; i < answers.n; i++)
        answers.done[i] &= attempt_sane(&answers.answer[i], unit_scopes(t->x[r.piece[i].unit].s));
    bool whole = deal_answers(d, kind, &q, &answers, p->w, &scratch);
    for (int u = 0; u < t->n; u++) t->x[u].n_left = 0;
    for (int i = 0; i < answers.n; i++) {
        struct attempt *x = &t->x[r.piece[i].unit];
        if (answers.done[i])
            take(p, x, &answers.answer[i], a);
        else
            put_back(x, &r.piece[i].slice);
        x->seconds += answers.seconds[i];
    }
    for (int u = 0; u < t->n; u++) {
        if (whole)
            conclude(&t->x[u], p, &t->effort);
        else
            t->x[u].bound = t->x[u].bound > -INFINITY ? bound_so_far(&t->x[u]) : -INFINITY;
    }
    arena_free(&scratch);
    return whole;
}

bool attempts_all(struct deal *d, enum task_kind kind, const struct search_problem *p, struct step *t,
                  const struct step_hooks *hooks, struct arena *a) {
    for (;;) {
        bool over = true;
        for (int u = 0; u < t->n && over; u++) over = t->x[u].over;
        if (over) return true;
        if (!attempts_step(d, kind, p, t, hooks, a)) return false;
    }
}

void attempt_free(struct attempt *x) {
    free(x->left);
    if (x->goal.objective == OBJECTIVE_FRONTIER) free(x->goal.front);
}
