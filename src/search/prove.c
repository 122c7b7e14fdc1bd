/* Steps of work units. Each step goes on with those under way and takes more that the goal does not exclude
 * yet, all of them are solved against the goal as it stood when the step began, and their answers are merged
 * in unit order. So what is done, and the answer, do not depend on how many ranks and threads share it. */
#include <math.h>
#include <string.h>

#include "base/oom.h"
#include "search/best.h"
#include "search/engine.h"

/* The next units to prove: first those not yet searched, then those left open after `attempts` attempts. */
static int next_round(struct engine *x, int *round, int most, int attempts) {
    int n = 0;
    for (int i = 0; i < x->n_unit && n < most; i++) {
        struct ranked *u = &x->unit[i];
        struct unit_result *r = u->result;
        if (u->under_way) continue;
        if (r->status == UNIT_TODO && goal_excludes(&x->goal, u->time_lb, u->cost_lb))
            r->status = UNIT_PRUNED;
        bool open = r->status == UNIT_OPEN && r->attempts == attempts &&
                    (attempts == 1 || !standing_close_enough(x, r));
        if (attempts ? open : r->status == UNIT_TODO) round[n++] = i;
    }
    return n;
}

/* How many slices a step of an attempt has, about: few at first, as they find a plan to beat. */
static int step_slices(int attempt, int step) {
    enum { FIRST = 4, AGAIN = 6, DOUBLINGS = 11 };
    int doublings = 2 * step + (attempt ? AGAIN : 0);
    return FIRST << (doublings < DOUBLINGS ? doublings : DOUBLINGS);
}

static void depart(struct engine *x, struct ranked *u) {
    struct flight *f = &x->flight;
    if (f->n == f->room) {
        f->room = f->room ? 2 * f->room : 64;
        f->x = oom_realloc(f->x, (size_t)f->room, sizeof *f->x);
        f->unit = oom_realloc(f->unit, (size_t)f->room, sizeof(struct ranked *));
    }
    u->under_way = true;
    u->so_far = -INFINITY;
    f->unit[f->n] = u;
    f->x[f->n++] = engine_attempt(x, u);
}

/* What an attempt has found so far is known to all from the next step on. */
static void take_found(struct engine *x, const struct unit_answer *answer) {
    for (int k = 0; k < answer->n_plan; k++) best_add(x->p, x->row, answer->plan[k], x->a);
}

/* Attempts that are over leave. */
static void arrive(struct engine *x) {
    struct flight *f = &x->flight;
    int n = 0;
    x->row->plans_evaluated -= f->counted;
    x->in_step = f->counted = 0;
    for (int i = 0; i < f->n; i++) {
        struct attempt *at = &f->x[i];
        if (!at->over) {
            f->counted += answer_work(&at->answer);
            f->unit[i]->so_far = at->bound;
            take_found(x, &at->answer);
            f->x[n] = *at;
            f->unit[n++] = f->unit[i];
            continue;
        }
        f->unit[i]->under_way = false;
        standing_merge(x, f->unit[i]->result, &at->answer, at->seconds, false);
        attempt_free(at);
    }
    f->n = n;
    x->row->plans_evaluated += f->counted;
}

/* Attempts go on where an earlier run left them. */
static void depart_again(struct engine *x) {
    const struct saved *s = x->resumed_at;
    for (int i = 0; i < s->n_unit; i++) {
        const struct saved_answer *one = &s->unit[i];
        struct ranked *u = ranked_of(x, one->index);
        depart(x, u);
        struct attempt *at = &x->flight.x[x->flight.n - 1];
        at->answer = one->answer;
        x->flight.counted += answer_work(&at->answer);
        u->result->lower_bound = one->bound;
        at->seconds = one->seconds;
        at->begun = one->begun;
        at->lost = one->lost;
        at->goal = (struct goal){.objective = x->p->objective, .best = one->best};
        for (int k = 0; k < at->answer.n_plan; k++) best_estimate(x->p, &at->answer.plan[k], x->a);
        at->n_left = at->answer.n_left;
        at->left = oom_malloc(sizeof *at->left * (size_t)(at->n_left + 1));
        if (at->n_left) memcpy(at->left, at->answer.left, sizeof *at->left * (size_t)at->n_left);
        at->answer.n_left = 0;
    }
    if (!s->chosen) return;
    x->goal.best = s->best;
    x->goal.n_front = s->n_front;
    x->goal.front = s->front;
}

static bool save_step(void *ctx, const struct deal_answers *r, bool stopped) {
    return state_save(ctx, r, true, stopped);
}

static void recall_step(void *ctx, struct deal_answers *r, struct arena *a) {
    (void)a;
    state_recall(ctx, r, true);
}

/* A step of the proof: those under way, and as many more units as it has slices for. 1: there is nothing left
 * to do; -1: stopped, or failed. */
static int prove_step(struct engine *x, struct unit_effort effort) {
    enum { MOST = 1 << 14, AT_LEAST = 256, WINDOWS = 1 << 20 };
    struct flight *f = &x->flight;
    bool again = x->resumed_at;
    int slices = step_slices(f->attempt, f->step), round[MOST], n = 0;
    standing_set_goal(x);
    if (again) depart_again(x);
    standing_set_bounds(x);
    if (!again || !x->resumed_at->chosen) {
        int room = slices < MOST ? slices : MOST, more = room > f->n ? room - f->n : 0, windows = 0;
        for (int i = 0; i < f->n; i++) windows += f->x[i].n_left;
        if (windows > WINDOWS) more = 0; /* all ranks hold them */
        n = next_round(x, round, more, f->attempt);
        if (n && climbs_beside_proof(x, n)) n = next_round(x, round, more, f->attempt);
        if (x->halted || x->failed) return -1;
    }
    for (int i = 0; i < n; i++) depart(x, &x->unit[round[i]]);
    if (!f->n) return 1;
    struct step t = {f->x, f->n, slices < AT_LEAST ? AT_LEAST : slices, effort, &x->goal};
    const struct step_hooks hooks = {standing_report, save_step, recall_step, x};
    if (!attempts_step(x->deal, TASK_PROOF, x->p, &t, &hooks, x->a)) return -1;
    x->resumed_at = NULL;
    arrive(x);
    f->step++;
    standing_set_goal(x);
    standing_set_bounds(x);
    standing_report(x);
    return state_checkpoint(x, NULL, false) ? -1 : 0;
}

/* Are there links between types that bounds must look at (chain.h)? */
static bool some_type_far(const struct engine *x) {
    for (int i = 0; i < x->n_unit; i++)
        if (ranked_space(x, &x->unit[i])->n_group) return true;
    return false;
}

/* Of a search that is stopped: what is proven of units under way. */
static void keep_bounds(struct engine *x) {
    double best = standing_value(x);
    if (x->p->objective == OBJECTIVE_FRONTIER) return;
    for (int i = 0; i < x->flight.n; i++) {
        struct unit_result *r = x->flight.unit[i]->result;
        r->lower_bound = fmax(r->lower_bound, fmin(x->flight.x[i].bound, best));
        x->flight.unit[i]->under_way = false;
    }
}

int prove_all(struct engine *x, int *stopped, struct err *e) {
    enum { ATTEMPTS = 3 };
    /* of each attempt at a proof, in a gap mode. Where types are far apart, the first closes few units: it is
     * to say which are worth more. */
    static const uint64_t near[ATTEMPTS] = {1000000, 20000000, 100000000},
                          far[ATTEMPTS] = {100000, 3000000, 100000000};
    const uint64_t *limit = some_type_far(x) ? far : near;
    struct flight *f = &x->flight;
    worklist_sort(x);
    standing_set_goal(x);
    standing_set_bounds(x);
    if (!x->resumed) {
        bool known = x->p->warm && x->row->n_plan; /* the plan to beat is good */
        for (int k = 0; k < x->n_part; k++) x->part[k].merge = bounds_merge_zones(x, k);
        if ((*stopped = probe_all(x, known))) { /* as if no unit had been begun: the plans stay */
            for (int i = 0; i < x->n_unit; i++) x->unit[i].result->status = UNIT_TODO;
            x->row->n_unit = 0;
            return 0;
        }
    }
    /* A frontier has many open units: a third attempt at each would take too long for what it proves. */
    int last = x->p->gap == 0 ? 1 : x->p->objective == OBJECTIVE_FRONTIER ? 2 : ATTEMPTS;
    if (state_load(x, last, e)) return -1;
    for (; f->attempt < last; f->attempt++, f->step = 0) {
        struct unit_effort effort = {.limit = x->p->gap > 0 ? limit[f->attempt] : 0,
                                     .tolerance = f->attempt ? 0.9 * x->p->gap : 0};
        int done = 0;
        standing_set_goal(x);
        if (f->attempt) worklist_sort_open(x);
        while (!done) done = prove_step(x, effort);
        if (x->failed) return -1;
        if ((*stopped = done < 0)) return keep_bounds(x), 0;
    }
    probe_polish(x);
    return 0;
}
