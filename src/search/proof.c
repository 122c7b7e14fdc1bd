#include "search/proof.h"

#include <math.h>

struct proof proof_begin(const struct goal *goal, double tolerance, double slack) {
    return (struct proof){.goal = goal, .tolerance = tolerance, .slack = slack, .open_lb = INFINITY};
}

static double value(const struct proof *q, double time_lb, double cost_lb) {
    return q->goal->objective == OBJECTIVE_COST ? cost_lb : time_lb;
}

enum worth proof_worth(const struct proof *q, double time_lb, double cost_lb) {
    const struct goal *g = q->goal;
    if (goal_excludes(g, time_lb, cost_lb)) return WORTH_NOTHING;
    if (q->tolerance <= 0) return WORTH_SEARCHING;
    bool little;
    if (g->objective == OBJECTIVE_FRONTIER) {
        double f = 1 + q->tolerance;
        little = goal_front_covers(g, time_lb * f, cost_lb * f);
    } else {
        little = !(value(q, time_lb, cost_lb) < g->best * (1 - q->tolerance));
    }
    return little ? WORTH_LITTLE : WORTH_SEARCHING;
}

bool proof_cut(struct proof *q, double time_lb, double cost_lb) {
    enum worth worth = proof_worth(q, time_lb, cost_lb);
    if (worth == WORTH_LITTLE) {
        if (q->goal->objective == OBJECTIVE_FRONTIER)
            q->tolerated = true;
        else
            q->open_lb = fmin(q->open_lb, value(q, time_lb, cost_lb));
    }
    return worth != WORTH_SEARCHING;
}

void proof_stand_in(struct proof *q) { q->stood_in = true; }

void proof_take_back(struct proof *q, const struct proof *before) {
    q->open_lb = before->open_lb;
    q->open_gap = before->open_gap;
    q->tolerated = before->tolerated;
}

void proof_front_full(struct proof *q) { q->lost = true; }

void proof_leave_open(struct proof *q, double time_lb, double cost_lb) {
    const struct goal *g = q->goal;
    q->open_lb = fmin(q->open_lb, value(q, time_lb, cost_lb));
    if (g->objective != OBJECTIVE_FRONTIER) return;
    double gap = 1; /* how far the front must be moved to cover it */
    for (int i = 0; i < g->n_front; i++) {
        double worse = fmax(g->front[i].time_s / time_lb, g->front[i].cost_usd / cost_lb);
        gap = fmin(gap, 1 - 1 / worse);
    }
    q->open_gap = fmax(q->open_gap, gap);
}
