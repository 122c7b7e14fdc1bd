#include "search/goal.h"

/* Of the points that are not slower, the last is the cheapest. */
bool goal_front_covers(const struct goal *g, double t, double c) {
    int lo = 0, hi = g->n_front;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (g->front[mid].time_s <= t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && g->front[lo - 1].cost_usd <= c;
}

/* A point of the front covers whatever takes at least its time and costs at least as much. */
static double front_longest_useful(const struct goal *g, double usd_per_s) {
    double longest = INFINITY;
    for (int i = 0; i < g->n_front; i++) {
        const struct point *x = &g->front[i];
        if (x->cost_usd <= 0)
            longest = fmin(longest, x->time_s);
        else if (usd_per_s > 0)
            longest = fmin(longest, fmax(x->time_s, x->cost_usd / usd_per_s));
    }
    return longest;
}

double goal_longest_useful(const struct goal *g, double usd_per_s) {
    double longest = g->max_time_s;
    if (g->objective == OBJECTIVE_THROUGHPUT) longest = fmin(longest, g->best);
    if (g->objective == OBJECTIVE_COST && usd_per_s > 0) longest = fmin(longest, g->best / usd_per_s);
    if (g->objective == OBJECTIVE_FRONTIER) longest = fmin(longest, front_longest_useful(g, usd_per_s));
    return usd_per_s > 0 ? fmin(longest, g->max_usd / usd_per_s) : longest;
}

bool goal_front_insert(struct goal *g, int cap, double t, double c) {
    int keep = 0;
    for (int i = 0; i < g->n_front; i++)
        if (g->front[i].time_s < t || g->front[i].cost_usd < c) g->front[keep++] = g->front[i];
    g->n_front = keep;
    if (keep == cap) return false;
    int at = keep;
    for (; at > 0 && g->front[at - 1].time_s > t; at--) g->front[at] = g->front[at - 1];
    g->front[at] = (struct point){t, c};
    g->n_front++;
    return true;
}

bool goal_excludes(const struct goal *g, double t, double c) {
    const double down = 1 - PROOF_SLACK;
    if (!(t < INFINITY) || t * down > g->max_time_s || c * down > g->max_usd) return true;
    if (g->objective == OBJECTIVE_THROUGHPUT) return t >= g->best * down;
    if (g->objective == OBJECTIVE_COST) return c >= g->best * down;
    return goal_front_covers(g, t / down, c / down);
}

bool goal_wants(const struct goal *g, double t, double c) {
    if (1 / t < g->min_per_s || c > g->max_usd) return false; /* the limits as the user gave them */
    return !goal_excludes(g, t, c);
}
