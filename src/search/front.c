/* The frontier is followed from point to point. */
#include "search/front.h"

#include <math.h>
#include <string.h>

#include "search/local.h"

/* Points that a local search began at, by their plans, which stay where they are. */
enum { SEEN_MAX = 20000, SEEN_SLOTS = 65536 };

struct seen {
    int n;
    const struct plan **slot; /* [SEEN_SLOTS] */
};

/* Where that plan is, or would be. */
static const struct plan **seen_at(const struct seen *seen, const struct plan *p) {
    size_t at = (size_t)((uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15u >> 48);
    while (seen->slot[at] && seen->slot[at] != p) at = (at + 1) % SEEN_SLOTS;
    return &seen->slot[at];
}

/* The next point of the frontier to go on from: that with the most room between its neighbours. -1: all were.
 */
static int widest_gap(const struct climb *c, const struct seen *seen) {
    double most = -1;
    int at = -1;
    for (int i = 0; i < c->n_kept; i++) {
        const struct estimate *before = &c->kept[i > 0 ? i - 1 : i].est,
                              *after = &c->kept[i + 1 < c->n_kept ? i + 1 : i].est;
        if (*seen_at(seen, c->kept[i].plan)) continue;
        double gap =
            log(after->iteration_time_s / before->iteration_time_s) * log(before->cost_usd / after->cost_usd);
        if (!(gap > most)) continue;
        most = gap;
        at = i;
    }
    return at;
}

/* The weight under which the frontier is level at point i. */
static double slope_at(const struct climb *c, int i) {
    if (i == 0) return 1;
    if (i + 1 == c->n_kept) return 0;
    const struct estimate *before = &c->kept[i - 1].est, *after = &c->kept[i + 1].est;
    double t = log(after->iteration_time_s / before->iteration_time_s),
           usd = log(before->cost_usd / after->cost_usd);
    return t > 0 && usd > 0 ? usd / (t + usd) : 0.5;
}

static void see(struct seen *seen, const struct plan *p) {
    *seen_at(seen, p) = p;
    seen->n++;
}

void front_follow(struct climb *c, struct draft *room, uint64_t work, int k, int n) {
    enum { KICKS_WORK = 2000 };
    struct seen seen = {.slot = ARENA_ARRAY(c->a, const struct plan *, SEEN_SLOTS)};
    uint64_t end = c->work + work;
    for (int i = 0; i < c->n_kept && seen.n < SEEN_MAX; i++)
        if (i % n != k) see(&seen, c->kept[i].plan);
    bool kicks = false;
    while (seen.n < SEEN_MAX && c->work < end && !climb_over(c)) {
        int at = widest_gap(c, &seen);
        if (at < 0) {
            if (!seen.n) break;
            kicks = true;
            seen.n = 0;
            memset(seen.slot, 0, SEEN_SLOTS * sizeof *seen.slot);
            continue;
        }
        see(&seen, c->kept[at].plan);
        c->weight = slope_at(c, at);
        c->lead_score = (struct score){INFINITY, INFINITY};
        uint64_t most = kicks && KICKS_WORK < end - c->work ? KICKS_WORK : end - c->work;
        if (draft_of_plan(c, room, c->kept[at].plan))
            local_search(c, room, most, kicks ? WANDER_KICK : WANDER_NOT);
        c->work++;
    }
}
