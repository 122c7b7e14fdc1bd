/* Local searches that are dealt to all ranks: before the proof, and again beside it. */
#include <string.h>

#include "search/engine.h"
#include "search/ladder.h"

/* A local search changes one stage at a time, which a trainer that wants one degree for all does not take: it
 * climbs once for each degree. */
static struct ladder climb_of(struct engine *x, const struct search_problem *problem,
                              struct ladder_share share, struct arena *a) {
    struct ladder all = {0}, one;
    const struct pin *pin = problem->pin;
    if (!(runner_search_rules(pin->runnable_by, problem->w->model) & RULE_ONE_DEGREE)) {
        ladder_climb(problem, share, &x->stop, &all, a);
        return all;
    }
    share.work /= 2;
    for (int ti = 0; ti < TP_N; ti++) {
        struct pin same = *pin;
        struct search_problem p = *problem;
        bool may = true;
        p.pin = &same;
        for (int g = 0; g < problem->w->site->n_gpu; g++) {
            may = may && (!pin->tp[g] || pin->tp[g] == 1 << ti);
            same.tp[g] = 1 << ti;
        }
        if (!may) continue;
        ladder_climb(&p, share, &x->stop, &one, a);
        struct found_plan *plan = ARENA_ARRAY(a, struct found_plan, all.n_plan + one.n_plan + 1);
        if (all.n_plan) memcpy(plan, all.plan, sizeof *plan * (size_t)all.n_plan);
        if (one.n_plan) memcpy(plan + all.n_plan, one.plan, sizeof *plan * (size_t)one.n_plan);
        all = (struct ladder){all.n_plan + one.n_plan, plan, all.judged + one.judged};
    }
    return all;
}

/* Climbs that are dealt to all ranks: for each choice of options, several that share its work. */
struct climbs {
    struct engine *x;
    struct search_problem p;
    struct ladder_share share;
    bool whole; /* what is stopped does not count, and what is done is saved */
    struct deal_answers all;
};

static bool climb_task(void *ctx, int i, struct unit_answer *out, struct arena *a) {
    struct climbs *c = ctx;
    struct search_problem p = c->p;
    struct ladder_share share = c->share;
    share.k = i % share.n;
    share.draw += (uint64_t)share.k;
    if (p.w->n_variant) p.w = &p.w->variant[i / share.n];
    struct ladder l = climb_of(c->x, &p, share, a);
    bool stopped = stop_wanted(&c->x->stop);
    *out = (struct unit_answer){.status = stopped && c->whole ? UNIT_TODO : UNIT_SOLVED,
                                .plans = l.judged,
                                .n_plan = l.n_plan,
                                .plan = l.plan};
    return !stopped;
}

static bool save_climbs(void *ctx, bool stopped) {
    struct climbs *c = ctx;
    return state_save(c->x, &c->all, false, stopped);
}

/* False: stopped. */
static bool climb_all(struct engine *x, struct climbs *c, int n) {
    const struct deal_questions q = {climb_task, c->whole ? save_climbs : NULL, c};
    c->all = (struct deal_answers){n, ARENA_ARRAY(x->a, struct unit_answer, n),
                                                  ARENA_ARRAY(x->a, bool, n), ARENA_ARRAY(x->a, double, n)};
    if (c->whole) state_recall(x, &c->all, false);
    bool counts = deal_answers(x->deal, TASK_CLIMB, &q, &c->all, x->p->w, x->a) || !c->whole;
    for (int i = 0; i < n && counts; i++) {
        if (!c->all.done[i]) continue;
        x->row->plans_evaluated += c->all.answer[i].plans;
        standing_take_plans(x, c->all.answer[i].n_plan, c->all.answer[i].plan);
    }
    return counts;
}

/* How many climbs from the best plans share this much work, each with draws of its own. */
static int climbers(const struct engine *x, uint64_t work) {
    enum { EACH = 64000, EACH_WALK = 256000, MOST = 64 };
    uint64_t each = ladder_wide(x->p) ? EACH_WALK : EACH;
    uint64_t n = work / each;
    return n < 1 ? 1 : (int)(n < MOST ? n : MOST);
}

bool climbs_run(struct engine *x, uint64_t work, bool again, bool whole) {
    const struct workload *w = x->p->w;
    int n = w->n_variant ? w->n_variant : 1, known = x->row->n_plan;
    if (x->p->without & PLANS_FIRST) return false;
    const struct found_plan *plan = x->row->plan;
    if (x->p->objective == OBJECTIVE_FRONTIER) {
        known = x->row->n_frontier;
        plan = x->row->frontier;
    }
    int n_seed = again ? 0 : x->p->n_seed;
    const struct plan **seed = ARENA_ARRAY(x->a, const struct plan *, n_seed + known + 1);
    for (int i = 0; i < n_seed; i++) seed[i] = x->p->seed[i];
    for (int i = 0; i < known; i++) seed[n_seed + i] = plan[i].plan;
    struct climbs c = {.x = x, .p = *x->p, .whole = whole};
    c.p.n_seed = n_seed + known;
    c.p.seed = seed;
    c.p.warm |= again;
    c.share.n = again ? climbers(x, work / (uint64_t)n) : 1;
    c.share.work = work / (uint64_t)n / (uint64_t)c.share.n;
    c.share.draw = again ? work : 0;
    bool counts = climb_all(x, &c, n * c.share.n);
    standing_set_goal(x);
    return counts;
}

/* Where a proof takes long, what it has to beat is looked at again: whenever so much has been done since the
 * last time that the whole is four times as much. */
static bool time_to_climb(int done, int now) {
    int power = 1;
    while (power <= done) power *= 4;
    return power <= done + now;
}

static bool climb_again(struct engine *x, bool whole) {
    enum { MOST = 50000, SHARE = 64, LONG = 4000000, SHARE_LONG = 16, WARM = 4 };
    uint64_t work = ladder_work(x->p), done = x->row->plans_evaluated;
    work = (work < MOST ? work : MOST) + done / SHARE;
    if (ladder_wide(x->p) && done > LONG) work += (done - LONG) / SHARE_LONG;
    return climbs_run(x, work * WARM, true, whole);
}

/* What decides on it, and where it begins, is stored between rounds, so that a search that is resumed does
 * the same. */
bool climbs_beside_proof(struct engine *x, int n) {
    int attempts = x->flight.n;
    for (int i = 0; i < x->n_unit; i++) attempts += x->unit[i].result->attempts;
    if (attempts + n <= x->row->climbed || !time_to_climb(attempts, n) || !climb_again(x, true)) return false;
    x->row->climbed = attempts + n;
    return true;
}

void climbs_beside_bounds(struct engine *x) {
    if (time_to_climb(x->rounds++, 1)) climb_again(x, false);
}
