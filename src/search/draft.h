#ifndef SAILOR_SEARCH_DRAFT_H
#define SAILOR_SEARCH_DRAFT_H
#include "search/goal.h"
#include "search/problem.h"
/* Plans in the making, for the ladder (ladder.h): drafts that are changed in place and judged by
 * estimate_plan(), the pool that they have to fit, and the best of those that were judged. */

enum { CELLS_ALL = ZONES_MAX * GPUS_MAX, PARTS_MAX = 32 };

/** A (zone, GPU type) of the pool. */
struct lot {
    int zone, gpu, gpus;
    struct nodes nodes;
    double usd_per_s; /* of one GPU; INFINITY = unknown */
};

/** A plan of the declared space, but that it may ask for more than the pool has. Each stage has room for
 * PARTS_MAX groups, in the order of the zones' ranks and inside a zone by GPU type. */
struct draft {
    struct plan plan;
    struct pipeline pipe;
    int rank[ZONES_MAX]; /* of each zone in the plan's order of zones */
    int D;
};

/** How good a plan is: less is better, `main` first. Plans beyond a limit are worse the further they are
 * beyond. */
struct score {
    double main, other;
};

struct climb {
    const struct search_problem *p;
    const struct workload *w;
    const struct stopper *stop;
    int L, n_lot;
    struct lot lot[CELLS_ALL];
    short lot_at[ZONES_MAX][GPUS_MAX]; /* -1: the pool has none */
    double weight;                     /* of time against cost in a score: 1 time alone, 0 cost alone */
    uint64_t work, work_max;           /* plans judged, or as much */
    uint64_t poll_at;                  /* where the stopper is asked again: asking takes as long as judging */
    bool stopped;
    int n_kept, keep; /* the best, one of each (microbatch, D); a frontier: all that count */
    struct found_plan *kept;
    struct draft lead; /* the best score of the present stretch, whether within the limits or not */
    struct score lead_score;
    double bar;    /* the best score so far under the present weight: what cannot beat it is not looked at */
    uint64_t draw; /* where random changes begin */
    struct kinds *kinds; /* fill.h */
    struct arena *a;
};

void climb_begin(struct climb *c, const struct search_problem *p, const struct stopper *stop,
                 struct arena *a);

/** Out of work, or stopped? */
bool climb_over(struct climb *c);

/** A draft without stages, with room for as many as the model has layers. */
struct draft draft_new(struct climb *c);
void draft_copy(struct draft *to, const struct draft *from);

/** From a plan of the declared space; false: it is not one (several pipelines, replicas in another order). */
bool draft_of_plan(struct climb *c, struct draft *d, const struct plan *p);

/** Add replicas to stage i where its order wants them. False: no room, or another degree of that type. */
bool draft_add(struct draft *d, int i, int zone, int gpu, int tp, int count);

/** Replicas of this degree that the lot has room for beside those of the draft. */
int draft_room(const struct climb *c, const struct draft *d, int lot, int ti);

/** Estimate a draft and keep it if it is good. False: it is not a plan (memory, pool, links, pins). */
bool climb_judge(struct climb *c, const struct draft *d, struct score *out);

/** Is one of the points of the frontier so far no slower and no more expensive? */
bool climb_covered(const struct climb *c, double time_s, double usd);

/** Compares scores, with a margin for rounding. */
static inline bool score_better(struct score a, struct score b) {
    if (a.main < b.main * (1 - PROOF_SLACK)) return true;
    return a.main <= b.main * (1 + PROOF_SLACK) && a.other < b.other * (1 - PROOF_SLACK);
}

/** Cut the model anew for the replicas of the draft: the slowest stage as fast as can be, links left out, and
 * all within their memory. False: they do not hold the model. */
bool draft_cut(const struct climb *c, struct draft *d);

/** Is that kind profiled at this microbatch, and does the pin allow it? */
bool climb_kind(const struct climb *c, int gpu, int ti, int m);

#endif
