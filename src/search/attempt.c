/* The first slice of a unit opens its windows and searches for a while. What it leaves is dealt out to
 * several slices, each with every so many-th window in the order of their bounds, and so on, until nothing is
 * left or the effort is spent. All slices of a round know the same, and their answers are joined in a fixed
 * order. */
#include "search/attempt.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/oom.h"
#include "search/best.h"
#include "search/window.h"

/* Partial plans of the first slice, and of the others; slices of a unit in a round. */
enum { FIRST = 200000, PATIENCE = 200000, SLICES_MAX = 64 };

/* An attempt on its way. */
struct progress {
    struct goal goal; /* with what its own slices have found */
    struct window *left;
    int n_left;
    bool over, lost; /* lost: there were more points to beat than that has room for */
};

struct piece {
    int unit;
    struct unit_slice slice;
};

struct round {
    struct attempt *x;
    struct progress *at;
    struct piece *piece;
    int n_piece, units_done;
    struct unit_effort effort;
    struct unit_answer *answer; /* [n_piece] */
    struct arena *memory;       /* [n_piece] */
    bool *mine;                 /* [n_piece] */
    const struct attempt_hooks *hooks;
};

static bool solve_piece(void *ctx, int i) {
    struct round *r = ctx;
    const struct piece *piece = &r->piece[i];
    const struct attempt *x = &r->x[piece->unit];
    r->mine[i] = true;
    unit_solve(x->workspace[omp_get_thread_num()], x->mb, x->D, &r->at[piece->unit].goal, r->effort,
               &piece->slice, &r->answer[i], &r->memory[i]);
    if (r->hooks && omp_get_thread_num() == 0) r->hooks->done(r->hooks->ctx, r->units_done);
    return r->answer[i].status != UNIT_TODO;
}

static int slices_of(const struct unit_effort *effort, const struct progress *at, uint64_t examined) {
    uint64_t most = SLICES_MAX;
    if (effort->limit) {
        uint64_t left = examined < effort->limit ? effort->limit - examined : 0;
        if (left / PATIENCE < most) most = left < PATIENCE ? 1 : left / PATIENCE;
    }
    return (uint64_t)at->n_left < most ? at->n_left : (int)most;
}

/* The pieces of the next round; windows of a piece live in `a`. */
static void cut(struct round *r, int n, struct arena *a) {
    r->piece = ARENA_ARRAY(a, struct piece, n * SLICES_MAX + 1);
    r->n_piece = 0;
    for (int u = 0; u < n; u++) {
        const struct progress *at = &r->at[u];
        uint64_t examined = r->x[u].answer.nodes;
        if (at->over) continue;
        if (!at->left) {
            r->piece[r->n_piece++] = (struct piece){u, {.patience = FIRST}};
            continue;
        }
        int slices = slices_of(&r->effort, at, examined);
        for (int k = 0; k < slices; k++) {
            struct window *w = ARENA_ARRAY(a, struct window, at->n_left / slices + 1);
            int many = 0;
            for (int i = k; i < at->n_left; i += slices) w[many++] = at->left[i];
            r->piece[r->n_piece++] = (struct piece){u, {w, many, examined, r->x[u].answer.tried, PATIENCE}};
        }
    }
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

static void take(struct round *r, const struct search_problem *p, int i, struct unit_answer *answer,
                 struct arena *a) {
    int u = r->piece[i].unit;
    struct progress *at = &r->at[u];
    for (int k = 0; k < answer->n_plan; k++) best_estimate(p, &answer->plan[k], a);
    answer->proof.lost |= at->lost;
    unit_join(&r->x[u].answer, &at->goal, answer, a);
    at->left = oom_realloc(at->left, (size_t)(at->n_left + answer->n_left + 1), sizeof *at->left);
    if (answer->n_left)
        memcpy(at->left + at->n_left, answer->left, sizeof *at->left * (size_t)answer->n_left);
    at->n_left += answer->n_left;
}

/* Every rank learns the answers of all pieces. */
static void share(struct deal *d, struct round *r, const struct search_problem *p, const double *seconds,
                  struct arena *scratch, struct arena *a) {
    struct wire b = {0};
    for (int i = 0; i < r->n_piece; i++)
        if (r->mine[i]) wire_put_answer(&b, i, &r->answer[i]);
    deal_gather(d, &b);
    for (size_t at = 0; at < b.n;) {
        struct unit_answer one;
        int i = wire_get_answer(&b, &at, &one, p->w, scratch);
        r->answer[i] = one;
    }
    wire_free(&b);
    for (int i = 0; i < r->n_piece; i++) {
        struct progress *at = &r->at[r->piece[i].unit];
        if (i == 0 || r->piece[i].unit != r->piece[i - 1].unit) at->n_left = 0;
        take(r, p, i, &r->answer[i], a);
        r->x[r->piece[i].unit].seconds += seconds[i];
    }
}

/* Attempts with nothing left, or without effort, are over. */
static void conclude(struct round *r, const struct search_problem *p, int n) {
    for (int u = 0; u < n; u++) {
        struct progress *at = &r->at[u];
        struct attempt *x = &r->x[u];
        if (at->over) continue;
        qsort(at->left, (size_t)at->n_left, sizeof *at->left,
              p->objective == OBJECTIVE_COST ? by_cost : by_time);
        if (at->n_left && !(r->effort.limit && x->answer.nodes > r->effort.limit)) continue;
        x->answer.left = at->left;
        x->answer.n_left = at->n_left;
        unit_conclude(x->s, x->mb, x->D, &at->goal, &x->answer);
        x->answer.left = NULL;
        at->over = true;
        r->units_done++;
    }
}

static bool solve_round(struct deal *d, enum task_kind kind, struct round *r, const struct search_problem *p,
                        int n, struct arena *a) {
    struct arena scratch = {0};
    cut(r, n, &scratch);
    size_t pieces = (size_t)r->n_piece;
    double *seconds = oom_calloc(pieces, sizeof *seconds);
    r->answer = oom_calloc(pieces, sizeof *r->answer);
    r->memory = oom_calloc(pieces, sizeof *r->memory);
    r->mine = oom_calloc(pieces, sizeof *r->mine);
    bool whole = deal_tasks(d, kind, r->n_piece, solve_piece, r, seconds);
    if (whole) share(d, r, p, seconds, &scratch, a);
    if (whole) conclude(r, p, n);
    for (size_t i = 0; i < pieces; i++) arena_free(&r->memory[i]);
    free(r->mine);
    free(r->memory);
    free(r->answer);
    free(seconds);
    arena_free(&scratch);
    return whole;
}

/* With room for what the attempt finds. */
static struct goal copy_goal(const struct goal *goal) {
    struct goal copy = *goal;
    if (goal->objective != OBJECTIVE_FRONTIER) return copy;
    if (copy.n_front > GOAL_FRONT_MAX) copy.n_front = GOAL_FRONT_MAX;
    copy.front = oom_calloc(GOAL_FRONT_MAX, sizeof *copy.front);
    if (copy.n_front) memcpy(copy.front, goal->front, sizeof *copy.front * (size_t)copy.n_front);
    return copy;
}

bool attempt_units(struct deal *d, enum task_kind kind, const struct search_problem *p, struct attempt *x,
                   int n, const struct goal *goal, struct unit_effort effort,
                   const struct attempt_hooks *hooks, struct arena *a) {
    struct round r = {.x = x, .effort = effort, .hooks = hooks};
    r.at = oom_calloc((size_t)n, sizeof *r.at);
    for (int u = 0; u < n; u++) {
        x[u].answer = (struct unit_answer){0};
        x[u].seconds = 0;
        r.at[u].goal = copy_goal(goal);
        r.at[u].lost = goal->n_front > GOAL_FRONT_MAX;
    }
    bool whole = true;
    while (whole && r.units_done < n) whole = solve_round(d, kind, &r, p, n, a);
    for (int u = 0; u < n; u++) {
        free(r.at[u].left);
        if (goal->objective == OBJECTIVE_FRONTIER) free(r.at[u].goal.front);
    }
    free(r.at);
    return whole;
}
