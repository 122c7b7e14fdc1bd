#include "search/ladder.h"

#include <string.h>

#include "search/fill.h"
#include "search/front.h"
#include "search/local.h"
#include "search/place.h"
#include "search/plain.h"
#include "search/repair.h"
#include "sim/terms.h"

/* (m, D) tried in a part, the most promising first, and when there is time for more */
enum { UNITS = 48, UNITS_MORE = 120, WEIGHTS = 5, STARTS = 4, FEW_JUDGED = 5000, WARM_SHARE = 4 };
enum { WORK_WALK = 60000 }; /* of a random walk (anneal.c) */

struct rungs {
    struct climb *c;
    struct draft room; /* for placing */
    double weight;     /* of time against cost in what the search is for */
    unsigned zones;    /* of the present part */
    int n_type, type[GPUS_MAX];
    /* the best of each part of the pool and of each GPU type, as starts of the local search */
    struct head {
        struct plan *plan;
        struct score score;
    } type_head[GPUS_MAX], part_head[2 * ZONES_MAX + 1];
};

/* ---- parts of the pool -------------------------------------------------------------- */

static double hop_s(const struct climb *c, const struct lot *a, const struct lot *b) {
    const double BYTES = 1.6e7;
    const struct link *l = site_link(c->w->site, a->zone, a->gpu, 1, b->zone, b->gpu, 1);
    return usable_link_time_s(l, BYTES, c->p->estimator);
}

/* Zones joined by links that are not much slower than those inside: by single linkage, of[zone] = least zone
 * of its region. */
static void find_regions(const struct climb *c, int of[ZONES_MAX]) {
    const double SLOW = 2;
    double t[ZONES_MAX][ZONES_MAX];
    for (int x = 0; x < ZONES_MAX; x++) {
        of[x] = x;
        for (int y = 0; y < ZONES_MAX; y++) t[x][y] = INFINITY;
    }
    for (int i = 0; i < c->n_lot; i++)
        for (int j = 0; j < c->n_lot; j++) {
            double *at = &t[c->lot[i].zone][c->lot[j].zone];
            *at = fmin(*at, hop_s(c, &c->lot[i], &c->lot[j]));
        }
    for (int pass = 0; pass < ZONES_MAX; pass++)
        for (int x = 0; x < ZONES_MAX; x++)
            for (int y = 0; y < ZONES_MAX; y++)
                if (of[x] != of[y] && t[x][y] < INFINITY &&
                    fmin(t[x][y], t[y][x]) <= SLOW * fmax(t[x][x], t[y][y]))
                    of[x] = of[y] = of[x] < of[y] ? of[x] : of[y];
}

static int add_part(unsigned *part, int n, unsigned zones) {
    for (int i = 0; i < n; i++)
        if (part[i] == zones) return n;
    if (zones) part[n++] = zones;
    return n;
}

/* Regions first, then everything, then each zone. */
static int list_parts(const struct climb *c, unsigned part[2 * ZONES_MAX + 1]) {
    unsigned region[ZONES_MAX] = {0}, all = 0;
    int of[ZONES_MAX], n = 0;
    find_regions(c, of);
    for (int x = 0; x < c->n_lot; x++) {
        int z = c->lot[x].zone;
        for (int y = z; of[z] != y; y = of[y]) of[z] = of[y];
        region[of[z]] |= 1u << z;
        all |= 1u << z;
    }
    for (int z = 0; z < ZONES_MAX; z++) n = add_part(part, n, region[z]);
    n = add_part(part, n, all);
    for (int z = 0; z < ZONES_MAX; z++)
        if (all >> z & 1) n = add_part(part, n, 1u << z);
    return n;
}

/* ---- one part ----------------------------------------------------------------------- */

static void take_sketch(void *ctx, const struct sketch *s) {
    const double WORSE = 1.1; /* than the lead, by the best links: then it need not be placed */
    struct rungs *r = ctx;
    double w = r->c->weight;
    double value = w == 1   ? s->time_s
                   : w == 0 ? s->time_s * s->usd_per_s
                            : pow(s->time_s, w) * pow(s->time_s * s->usd_per_s, 1 - w);
    if (value > WORSE * r->c->lead_score.main && r->c->p->objective != OBJECTIVE_FRONTIER) return;
    place_sketch(r->c, s, r->zones, &r->room);
}

/* Of the work up to `end` `mine` of n shares. */
static void share_work(struct climb *c, uint64_t end, int mine, int n) {
    c->work_max =
        c->work + (end > c->work ? (end - c->work) * (uint64_t)mine / (uint64_t)(n > 0 ? n : 1) : 0);
}

/* The lead of a stretch that begins here, and the better one of two stretches. */
static struct score begin_stretch(struct climb *c) {
    struct score before = c->lead_score;
    c->lead_score = (struct score){INFINITY, INFINITY};
    return before;
}

/* Heads are compared by what the search is for, whatever the weight of the present stretch; on a frontier
 * each weight has heads of its own. */
static struct score own_score(struct rungs *r) {
    struct climb *c = r->c;
    const struct score lead = c->lead_score;
    const double weight = c->weight, bar = c->bar;
    struct score s = {INFINITY, INFINITY};
    if (c->p->objective != OBJECTIVE_FRONTIER) c->weight = r->weight;
    c->lead_score = (struct score){-1, -1}; /* to stay the lead */
    climb_judge(c, &c->lead, &s);
    c->lead_score = lead;
    c->weight = weight;
    c->bar = bar;
    return s;
}

static void note_head(struct rungs *r, struct head *h) {
    struct climb *c = r->c;
    if (!(c->lead_score.main < INFINITY)) return;
    struct score s = own_score(r);
    if (h->plan && !score_better(s, h->score)) return;
    c->lead.plan.pipeline = &c->lead.pipe;
    h->plan = plan_copy(&c->lead.plan, c->a);
    h->score = s;
}

/* Does the part, filled in this order, give a better plan than what is known? */
static bool try_types(struct rungs *r, const int *gpu, int n, bool any_order, int most) {
    struct pool_part part = {.zones = r->zones, .n_type = n, .any_order = any_order};
    struct score before = r->c->lead_score;
    memcpy(part.gpu, gpu, sizeof *gpu * (size_t)n);
    fill_part(r->c, &part, most, take_sketch, r);
    return score_better(r->c->lead_score, before);
}

/* One more type at any place in the order, as long as that helps. */
static void grow(struct rungs *r, int *best, int n, int most) {
    for (bool grown = true; grown && n < r->n_type;) {
        grown = false;
        int from[GPUS_MAX], next[GPUS_MAX];
        memcpy(from, best, sizeof from);
        for (int t = 0; t < r->n_type; t++) {
            bool has = false;
            for (int k = 0; k < n; k++) has |= from[k] == r->type[t];
            for (int at = 0; at <= n && !has && !climb_over(r->c); at++) {
                memcpy(next, from, sizeof *next * (size_t)at);
                next[at] = r->type[t];
                memcpy(next + at + 1, from + at, sizeof *next * (size_t)(n - at));
                if (!try_types(r, next, n + 1, false, most)) continue;
                memcpy(best, next, sizeof next);
                grown = true;
            }
        }
        n += grown;
    }
}

static void climb_part(struct rungs *r, unsigned zones, int most) {
    int best[GPUS_MAX] = {0}, n_best = 0;
    r->zones = zones;
    r->n_type = 0;
    for (int g = 0; g < GPUS_MAX; g++) {
        bool there = false;
        for (int x = 0; x < r->c->n_lot; x++)
            there |= r->c->lot[x].gpu == g && zones >> r->c->lot[x].zone & 1;
        if (there) r->type[r->n_type++] = g;
    }
    uint64_t end = r->c->work_max;
    bool frontier = r->c->p->objective == OBJECTIVE_FRONTIER;
    int left = r->n_type * r->n_type, pairs = left - r->n_type; /* singles and ordered pairs share the work */
    bool joint = pairs && ladder_wide(r->c->p);
    uint64_t end_all = end;
    if (joint) end -= (end - r->c->work) / 4 * 3;
    for (int t = 0; t < r->n_type; t++) {
        struct score before = begin_stretch(r->c);
        if (frontier) left = (pairs ? 2 : 1) * (r->n_type - t);
        share_work(r->c, end, 1, left--);
        try_types(r, &r->type[t], 1, false, most);
        note_head(r, &r->type_head[r->type[t]]);
        if (!score_better(r->c->lead_score, before)) {
            r->c->lead_score = before;
            continue;
        }
        best[0] = r->type[t];
        n_best = 1;
    }
    for (int t = 0; t < r->n_type; t++)
        for (int u = 0; u < r->n_type; u++) {
            int two[2] = {r->type[t], r->type[u]};
            if (t == u) continue;
            share_work(r->c, end, 1, pairs--);
            if (!try_types(r, two, 2, false, most)) continue;
            memcpy(best, two, sizeof two);
            n_best = 2;
        }
    r->c->work_max = end_all;
    if (joint) try_types(r, n_best == 2 ? best : r->type, 2, true, UNITS_MORE);
    if (n_best == 0 && r->n_type > 2) {
        best[0] = r->type[0];
        best[1] = r->type[1];
        n_best = 2;
    }
    if (r->n_type > 2) grow(r, best, n_best, most);
}

/* ---- the whole pool ----------------------------------------------------------------- */

static void sow(struct climb *c, struct draft *room) {
    struct score s;
    for (int i = 0; i < c->p->n_seed; i++)
        if (draft_of_plan(c, room, c->p->seed[i]) && !climb_judge(c, room, &s) && c->p->warm) repair(c, room);
}

/* From the best of every part, so that none of them is better alone. */
static void improve_heads(struct rungs *r, int n_part, uint64_t end) {
    struct head *head[GPUS_MAX + 2 * ZONES_MAX + 1];
    int n = 0;
    for (int g = 0; g < GPUS_MAX; g++)
        if (r->type_head[g].plan) head[n++] = &r->type_head[g];
    for (int i = 0; i < n_part; i++)
        if (r->part_head[i].plan) head[n++] = &r->part_head[i];
    for (int k = 0; k < n; k++) {
        begin_stretch(r->c);
        share_work(r->c, end, 1, n - k);
        if (draft_of_plan(r->c, &r->room, head[k]->plan))
            local_search(r->c, &r->room, r->c->work_max - r->c->work, WANDER_NOT);
    }
}

/* Climbs from the same seeds share the starts, or several begin at one. */
static void improve_kept(struct climb *c, struct draft *room, uint64_t work, struct ladder_share by) {
    struct found_plan start[WEIGHTS];
    int n = 0, all = c->n_kept;
    bool frontier = c->p->objective == OBJECTIVE_FRONTIER;
    bool anneal = ladder_wide(c->p);
    int most = STARTS; /* of walks, each that shares the work does one, and it wants not too few steps */
    if (anneal && by.n > 1)
        most = by.n < STARTS ? by.n : STARTS;
    else if (anneal && work < STARTS * WORK_WALK)
        most = 1 + (int)(work / WORK_WALK);
    int starts = frontier ? WEIGHTS : all < most ? all : most;
    enum wandering by_way = c->work_max <= FEW_JUDGED ? WANDER_NOT : anneal ? WANDER_ANNEAL : WANDER_KICK;
    for (int k = 0; k < starts && all; k++) {
        int at = frontier ? k * (all - 1) / (WEIGHTS - 1) : k;
        if (at >= all || (by.n < starts ? k % by.n != by.k : by.k % starts != k)) continue;
        start[n++] = c->kept[at];
    }
    for (int k = 0; k < n && !climb_over(c); k++) {
        if (frontier) c->weight = 1 - (double)k / (WEIGHTS - 1);
        c->lead_score = (struct score){INFINITY, INFINITY};
        if (draft_of_plan(c, room, start[k].plan)) local_search(c, room, work / (uint64_t)n, by_way);
    }
}

/* Of many cells there is more to try where zones join. */
static int shares_of(const struct rungs *r, unsigned zones) {
    enum { JOINED = 3 };
    return ladder_wide(r->c->p) && zones & (zones - 1) ? JOINED : 1;
}

/* All parts with their shares of the work; what they leave is for the best of them. */
static void climb_parts(struct rungs *r, const unsigned *part, int n) {
    struct climb *c = r->c;
    uint64_t end = c->work_max;
    int shares = 0;
    for (int i = 0; i < n; i++) shares += shares_of(r, part[i]);
    int best = 0;
    struct score best_score = {INFINITY, INFINITY};
    for (int i = 0; i < n; i++) {
        begin_stretch(c);
        share_work(c, end, shares_of(r, part[i]), shares);
        shares -= shares_of(r, part[i]);
        climb_part(r, part[i], UNITS);
        note_head(r, &r->part_head[i]);
        if (!score_better(c->lead_score, best_score)) continue;
        best_score = c->lead_score;
        best = i;
    }
    c->work_max = end;
    if (!n || climb_over(c)) return;
    begin_stretch(c);
    climb_part(r, part[best], UNITS_MORE);
    note_head(r, &r->part_head[best]);
}

/* Between time and cost. */
static int weights_of(const struct search_problem *p) {
    bool limits = p->max_usd_per_iteration < INFINITY || p->min_iterations_per_s > 0;
    return limits || p->objective == OBJECTIVE_FRONTIER ? WEIGHTS : 1;
}

void ladder_climb(const struct search_problem *p, struct ladder_share by, const struct stopper *stop,
                  struct ladder *out, struct arena *a) {
    struct arena scratch = {0};
    uint64_t work = by.work;
    struct climb c;
    climb_begin(&c, p, stop, &scratch);
    c.work_max = work;
    c.draw = by.draw;
    *out = (struct ladder){0};
    if (c.n_lot) {
        c.kinds = kinds_build(&c);
        struct rungs r = {.c = &c, .room = draft_new(&c), .weight = c.weight};
        unsigned part[2 * ZONES_MAX + 1];
        static const double ends_first[WEIGHTS] = {1, 0, 0.5, 0.75, 0.25};
        int n = list_parts(&c, part);
        int weights = weights_of(p);
        bool frontier = p->objective == OBJECTIVE_FRONTIER;
        sow(&c, &r.room);
        if (p->warm && c.n_kept) { /* the parts were climbed for the question before */
            weights = n = 0;
            work /= WARM_SHARE;
        }
        c.work_max = work / 4;
        for (int i = n - 1; i >= 0 && frontier; i--) plain_climb(&c, part[i], &r.room);
        for (int k = 0; k < weights && c.work < work / 2; k++) {
            int parts = frontier && k < 2 ? 3 : weights - k; /* the ends of a frontier matter most */
            uint64_t begun = c.work, share = (work / 2 - c.work) / (uint64_t)parts;
            if (weights > 1) c.weight = frontier ? ends_first[k] : 1 - (double)k / (WEIGHTS - 1);
            c.bar = INFINITY;
            c.work_max = begun + (frontier ? share / 2 : share);
            climb_parts(&r, part, n);
            if (!frontier) continue;
            improve_heads(&r, n, begun + share); /* under this weight; the next has its own */
            memset(r.type_head, 0, sizeof r.type_head);
            memset(r.part_head, 0, sizeof r.part_head);
        }
        c.weight = r.weight;
        c.work_max = work;
        if (frontier) {
            front_follow(&c, &r.room, work > c.work ? work - c.work : 0, by.k, by.n);
        } else {
            improve_heads(&r, n, work - (work - c.work) / 2);
            c.work_max = work;
            improve_kept(&c, &r.room, work > c.work ? work - c.work : 0, by);
        }
    }
    out->judged = c.work;
    out->n_plan = c.n_kept;
    out->plan = ARENA_ARRAY(a, struct found_plan, c.n_kept + 1);
    for (int i = 0; i < c.n_kept; i++) {
        out->plan[i] = c.kept[i];
        out->plan[i].plan = plan_copy(c.kept[i].plan, a);
    }
    arena_free(&scratch);
}

static int cells_of(const struct search_problem *p) {
    int n = 0;
    for (int i = 0; i < p->w->site->n_zone * p->w->site->n_gpu; i++) n += p->pool[i] > 0;
    return n;
}

bool ladder_wide(const struct search_problem *p) {
    enum { CELLS = 5 };
    return p->objective != OBJECTIVE_FRONTIER && cells_of(p) >= CELLS;
}

uint64_t ladder_work(const struct search_problem *p) {
    enum { ONE = 4000, FEW = 10000, SOME = 40000, MANY = 100000, MOST = 1500000 }; /* per cell, and in all */
    enum { PER_GPU_AND_LAYER = 256 }; /* small pools have few plans */
    uint64_t cells = (uint64_t)cells_of(p), gpus = 0, layers = (uint64_t)p->w->model->n_layer;
    for (int i = 0; i < p->w->site->n_zone * p->w->site->n_gpu; i++) gpus += (uint64_t)p->pool[i];
    uint64_t work = cells * (cells < 2 ? ONE : cells < 4 ? FEW : cells < 5 ? SOME : MANY);
    uint64_t small = gpus * layers * PER_GPU_AND_LAYER;
    if (cells < 4) work *= (uint64_t)weights_of(p);
    if (p->objective == OBJECTIVE_FRONTIER) work *= 4;
    work = work < small ? work : small;
    return work < MOST ? work : MOST;
}
