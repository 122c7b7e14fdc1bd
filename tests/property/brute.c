#include "brute.h"

#include <stdlib.h>
#include <string.h>

enum { STAGES_MAX = 16, CELLS_MAX = 32, ORDERS_MAX = 24, ZONES = 4, TYPES = 4 };

/* A placement of a stage's D replicas: one degree per GPU type, a count per (zone, type). */
struct option {
    int tp[TYPES];        /* 0 = type not used */
    int count[CELLS_MAX]; /* [zone * n_gpu + gpu], sums to D */
};

struct walk {
    const struct search_problem *p;
    int n_gpu, n_zone, n_layer;
    /* the current choices, outermost first */
    int m, D, P, cut[STAGES_MAX + 1];
    int n_option;
    struct option *option; /* options for (m, D) */
    int order;             /* index into orders */
    int n_order, orders[ORDERS_MAX][ZONES];
    const struct option *chosen[STAGES_MAX];
    int used[CELLS_MAX][TP_N]; /* replicas of each degree, all stages so far */
    /* what to do with a plan; nonzero stops the walk */
    int (*visit)(struct walk *w, void *ctx);
    void *ctx;
    struct stage stages[STAGES_MAX];
    struct replicas groups[STAGES_MAX][CELLS_MAX];
    struct pipeline pipeline;
    struct plan plan;
};

/* ---- options of a stage ------------------------------------------------------------- */

static bool degree_allowed(const struct walk *w, int g, int ti) {
    const struct workload *wl = w->p->w;
    int pin = w->p->pin ? w->p->pin->tp[g] : 0, tp = 1 << ti;
    return tp <= wl->site->gpu[g].gpus_per_node && wl->model->params[ti] && wl->model->act_mem[ti] &&
           profile_times(wl->profile[g], w->m, tp) && (!pin || pin == tp);
}

static bool zone_allowed(const struct walk *w, int z) {
    unsigned zones = w->p->pin ? w->p->pin->zones : 0;
    return !zones || (zones >> z & 1);
}

/* Degrees of the types that have replicas: every combination. */
static void add_degrees(struct walk *w, struct option *o, int g) {
    if (g == w->n_gpu) {
        w->option = realloc(w->option, sizeof *o * (size_t)(w->n_option + 1));
        w->option[w->n_option++] = *o;
        return;
    }
    bool used = false;
    for (int z = 0; z < w->n_zone; z++) used = used || o->count[z * w->n_gpu + g] > 0;
    o->tp[g] = 0;
    if (!used) {
        add_degrees(w, o, g + 1);
        return;
    }
    for (int ti = 0; ti < TP_N; ti++)
        if (degree_allowed(w, g, ti)) {
            o->tp[g] = 1 << ti;
            add_degrees(w, o, g + 1);
        }
}

/* Counts per cell: every vector with sum D. */
static void add_counts(struct walk *w, struct option *o, int cell, int left) {
    if (cell == w->n_zone * w->n_gpu) {
        if (left == 0) add_degrees(w, o, 0);
        return;
    }
    int most = zone_allowed(w, cell / w->n_gpu) ? w->p->pool[cell] : 0;
    for (int c = 0; c <= left && c <= most; c++) {
        o->count[cell] = c;
        add_counts(w, o, cell + 1, left - c);
    }
    o->count[cell] = 0;
}

/* ---- zone orders -------------------------------------------------------------------- */

static void add_orders(struct walk *w, int *order, int n, unsigned taken) {
    if (n == w->n_zone || n == ZONES) {
        memcpy(w->orders[w->n_order++], order, sizeof w->orders[0]);
        return;
    }
    for (int z = 0; z < w->n_zone; z++)
        if (!(taken >> z & 1)) {
            order[n] = z;
            add_orders(w, order, n + 1, taken | 1u << z);
        }
}

static bool before(const struct walk *w, int order, int x, int y) {
    for (int i = 0; i < w->n_zone; i++)
        if (w->orders[order][i] == x)
            return true;
        else if (w->orders[order][i] == y)
            return false;
    return false;
}

/* Would an earlier order give exactly the same lists? Only the order of zones that share a stage matters. */
static bool order_seen(const struct walk *w) {
    bool together[ZONES][ZONES] = {{false}};
    for (int i = 0; i < w->P; i++)
        for (int x = 0; x < w->n_zone; x++)
            for (int y = 0; y < w->n_zone; y++) {
                bool in_x = false, in_y = false;
                for (int g = 0; g < w->n_gpu; g++) {
                    in_x = in_x || w->chosen[i]->count[x * w->n_gpu + g] > 0;
                    in_y = in_y || w->chosen[i]->count[y * w->n_gpu + g] > 0;
                }
                if (x != y && in_x && in_y) together[x][y] = true;
            }
    for (int k = 0; k < w->order; k++) {
        bool same = true;
        for (int x = 0; x < w->n_zone; x++)
            for (int y = 0; y < w->n_zone; y++)
                if (together[x][y] && before(w, k, x, y) != before(w, w->order, x, y)) same = false;
        if (same) return true;
    }
    return false;
}

/* ---- the walk ----------------------------------------------------------------------- */

static void make_plan(struct walk *w) {
    for (int i = 0; i < w->P; i++) {
        struct stage *s = &w->stages[i];
        *s = (struct stage){.first = w->cut[i], .end = w->cut[i + 1], .group = w->groups[i]};
        for (int k = 0; k < w->n_zone; k++)
            for (int g = 0; g < w->n_gpu; g++) {
                int z = w->orders[w->order][k], count = w->chosen[i]->count[z * w->n_gpu + g];
                if (count)
                    s->group[s->n_group++] =
                        (struct replicas){.gpu = g, .zone = z, .tp = w->chosen[i]->tp[g], .count = count};
            }
    }
    w->pipeline = (struct pipeline){.n_stage = w->P, .stage = w->stages};
    w->plan = (struct plan){.model = w->p->w->model->name,
                            .site = w->p->w->site->name,
                            .global_batch_size = w->p->w->global_batch_size,
                            .micro_batch_size = w->m,
                            .options = w->p->w->options,
                            .n_pipeline = 1,
                            .pipeline = &w->pipeline};
}

static int walk_stage(struct walk *w, int i) {
    if (i == w->P) {
        if (order_seen(w)) return 0;
        make_plan(w);
        int stage;
        unsigned rules = w->p->pin ? runner_search_rules(w->p->pin->runnable_by, w->p->w->model) : 0;
        return plan_breaks(&w->plan, w->p->w->model, rules, &stage) ? 0 : w->visit(w, w->ctx);
    }
    for (int k = 0; k < w->n_option; k++) {
        const struct option *o = &w->option[k];
        bool fits = true;
        for (int c = 0; c < w->n_zone * w->n_gpu; c++)
            if (o->count[c]) {
                w->used[c][tp_index(o->tp[c % w->n_gpu])] += o->count[c];
                struct nodes in =
                    w->p->nodes ? w->p->nodes[c]
                                : nodes_of(w->p->pool[c], w->p->w->site->gpu[c % w->n_gpu].gpus_per_node);
                fits = fits && nodes_fit(&in, w->used[c]);
            }
        w->chosen[i] = o;
        int stop = fits ? walk_stage(w, i + 1) : 0;
        for (int c = 0; c < w->n_zone * w->n_gpu; c++)
            if (o->count[c]) w->used[c][tp_index(o->tp[c % w->n_gpu])] -= o->count[c];
        if (stop) return stop;
    }
    return 0;
}

static int walk_cuts(struct walk *w, int i, int first) {
    if (first == w->n_layer) {
        w->P = i;
        if (w->p->pin && w->p->pin->stages && w->p->pin->stages != i) return 0;
        return walk_stage(w, 0);
    }
    for (int end = first + 1; end <= w->n_layer; end++) {
        w->cut[i] = first;
        w->cut[i + 1] = end;
        int stop = walk_cuts(w, i + 1, end);
        if (stop) return stop;
    }
    return 0;
}

static int walk_one(const struct search_problem *p, int (*visit)(struct walk *, void *), void *ctx) {
    struct walk *w = calloc(1, sizeof *w);
    w->p = p;
    w->n_gpu = p->w->site->n_gpu;
    w->n_zone = p->w->site->n_zone;
    w->n_layer = p->w->model->n_layer;
    w->visit = visit;
    w->ctx = ctx;
    if (w->n_gpu > TYPES || w->n_zone > ZONES || w->n_layer > STAGES_MAX) abort();
    int order[ZONES] = {0}, gpus = 0, mb_max = 0, stop = 0;
    add_orders(w, order, 0, 0);
    for (int c = 0; c < w->n_zone * w->n_gpu; c++) gpus += p->pool[c];
    for (int g = 0; g < w->n_gpu; g++)
        for (int k = 0; p->w->profile[g] && k < p->w->profile[g]->n_mb; k++)
            if (p->w->profile[g]->mb[k] > mb_max) mb_max = p->w->profile[g]->mb[k];
    for (w->m = 1; w->m <= mb_max && !stop; w->m++) { /* microbatches that nobody profiled give no options */
        if (p->pin && p->pin->micro_batch_size && p->pin->micro_batch_size != w->m) continue;
        for (w->D = 1; w->D <= gpus && !stop; w->D++) {
            if (p->pin && p->pin->data_parallel && p->pin->data_parallel != w->D) continue;
            if (p->exact_batch && p->w->global_batch_size % (w->m * w->D)) continue;
            struct option o = {{0}, {0}};
            w->n_option = 0;
            add_counts(w, &o, 0, w->D);
            for (w->order = 0; w->order < w->n_order && !stop; w->order++) stop = walk_cuts(w, 0, 0);
        }
    }
    free(w->option);
    free(w);
    return stop;
}

/* Every choice of options on its own. */
static int walk_all(const struct search_problem *p, int (*visit)(struct walk *, void *), void *ctx) {
    int stop = 0;
    if (!p->w->n_variant) return walk_one(p, visit, ctx);
    for (int v = 0; v < p->w->n_variant && !stop; v++) {
        struct search_problem one = *p;
        one.w = &p->w->variant[v];
        stop = walk_one(&one, visit, ctx);
    }
    return stop;
}

/* ---- links -------------------------------------------------------------------------- */

struct kind {
    int gpu, tp, zone;
};

static struct kind *spell_out(const struct stage *s, struct arena *a) {
    struct kind *k = ARENA_ARRAY(a, struct kind, stage_replicas(s));
    int n = 0;
    for (int g = 0; g < s->n_group; g++)
        for (int c = 0; c < s->group[g].count; c++)
            k[n++] = (struct kind){s->group[g].gpu, s->group[g].tp, s->group[g].zone};
    return k;
}

static bool usable(const struct link *l, double bytes, enum estimator est) {
    if (!l) return false;
    if (bytes <= 0 || l->rate_Bps > 0) return true;
    if (est == ESTIMATOR_NATIVE) bytes = bytes < 65536 ? 65536 : bytes > 1073741824.0 ? 1073741824.0 : bytes;
    double y = log2(bytes / 1e6);
    return l->c2 * y * y + l->c1 * y + l->c0 > 0;
}

static bool links_usable(const struct workload *w, const struct plan *p, enum estimator est,
                         struct arena *a) {
    const struct site *s = w->site;
    const struct pipeline *pipe = &p->pipeline[0];
    double F = w->element_bytes, m = p->micro_batch_size;
    for (int i = 0; i < pipe->n_stage; i++) {
        const struct stage *st = &pipe->stage[i];
        const struct kind *me = spell_out(st, a);
        int D = stage_replicas(st), tp_min = 4;
        double params = 0;
        for (int l = st->first; l < st->end; l++) params += w->model->params[0][l];
        for (int j = 0; j < D; j++) tp_min = me[j].tp < tp_min ? me[j].tp : tp_min;
        for (int up = 0; up < 2; up++) { /* activations to the next stage, gradients to the one before */
            if (up ? i == 0 : i == pipe->n_stage - 1) continue;
            const struct stage *to = up ? st - 1 : st + 1;
            const struct kind *other = spell_out(to, a);
            int n = stage_replicas(to);
            double bytes = w->model->act_out[up ? st->first : st->end - 1] * F * m;
            for (int j = 0; j < D; j++) {
                const struct kind *o = &other[j % n];
                if (!usable(site_link(s, me[j].zone, me[j].gpu, me[j].tp, o->zone, o->gpu, o->tp), bytes,
                            est))
                    return false;
            }
        }
        for (int j = 0; j + 1 < D; j++) { /* the ring is open */
            const struct link *l = site_link(s, me[j].zone, me[j].gpu, 1, me[j + 1].zone, me[j + 1].gpu, 1);
            for (double left = params * F / tp_min; left > 0; left -= 5e8)
                if (!usable(l, (left < 5e8 ? left : 5e8) / D, est)) return false;
            if (!l) return false;
        }
    }
    return true;
}

bool brute_links_usable(const struct workload *w, const struct plan *p, enum estimator est) {
    struct arena a = {0};
    bool all = links_usable(w, p, est, &a);
    arena_free(&a);
    return all;
}

/* ---- questions answered by the walk ------------------------------------------------------ */

struct counting {
    long n, stop;
};

static int visit_count(struct walk *w, void *ctx) {
    (void)w;
    struct counting *c = ctx;
    return ++c->n > c->stop;
}

long brute_count(const struct search_problem *p, long stop) {
    struct counting c = {0, stop};
    walk_all(p, visit_count, &c);
    return c.n;
}

struct running {
    struct brute *b;
    long room;
    struct err *e;
};

static int visit_run(struct walk *w, void *ctx) {
    struct running *r = ctx;
    struct brute *b = r->b;
    const struct search_problem *p = w->p;
    long id = b->n_plan++;
    if (plan_check(&w->plan, p->w, "brute", r->e)) return -1;
    if (plan_check_pool(&w->plan, p->w->site, p->pool, NULL, "brute", r->e)) return -1;
    bool usable_links = brute_links_usable(p->w, &w->plan, p->estimator);
    struct estimate est = {.stage = NULL};
    struct err e = {0};
    if (estimate_plan(p->w, &w->plan, p->estimator, &est, &e)) {
        if (usable_links)
            return err_set(r->e, EXIT_INTERNAL, "no estimate, though all links are there: %s", e.text);
        b->no_link++;
        return 0;
    }
    if (!usable_links || !est.fits) {
        b->no_link += !usable_links;
        b->no_memory += usable_links;
        return 0;
    }
    if (b->n == r->room) {
        r->room = r->room ? 2 * r->room : 1024;
        b->point = realloc(b->point, sizeof *b->point * (size_t)r->room);
    }
    b->point[b->n++] = (struct brute_point){id, est.iteration_time_s, est.cost_usd};
    return 0;
}

int brute_run(const struct search_problem *p, struct brute *b, struct err *e) {
    *b = (struct brute){0};
    struct running r = {b, 0, e};
    return walk_all(p, visit_run, &r);
}

void brute_free(struct brute *b) {
    free(b->point);
    *b = (struct brute){0};
}

static bool within(const struct brute_point *q, double max_usd, double min_per_s) {
    if (max_usd < INFINITY && !(q->cost_usd <= max_usd)) return false;
    return !(min_per_s > 0) || 1 / q->time_s >= min_per_s;
}

const struct brute_point *brute_best(const struct brute *b, enum objective objective, double max_usd,
                                     double min_per_s) {
    const struct brute_point *best = NULL;
    for (long i = 0; i < b->n; i++) {
        const struct brute_point *q = &b->point[i];
        if (!within(q, max_usd, min_per_s)) continue;
        if (!best || (objective == OBJECTIVE_COST ? q->cost_usd < best->cost_usd : q->time_s < best->time_s))
            best = q;
    }
    return best;
}

static int by_time_then_cost(const void *a, const void *b) {
    const struct brute_point *x = a, *y = b;
    if (x->time_s != y->time_s) return x->time_s < y->time_s ? -1 : 1;
    if (x->cost_usd != y->cost_usd) return x->cost_usd < y->cost_usd ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

long brute_frontier(const struct brute *b, double max_usd, double min_per_s, struct brute_point *out) {
    long n = 0, kept = 0;
    for (long i = 0; i < b->n; i++)
        if (within(&b->point[i], max_usd, min_per_s)) out[n++] = b->point[i];
    if (n) qsort(out, (size_t)n, sizeof *out, by_time_then_cost);
    for (long i = 0; i < n; i++)
        if (!kept || out[i].cost_usd < out[kept - 1].cost_usd) out[kept++] = out[i];
    return kept;
}

struct picking {
    long id, n;
    struct arena *a;
    struct plan *plan;
};

static int visit_pick(struct walk *w, void *ctx) {
    struct picking *k = ctx;
    if (k->n++ < k->id) return 0;
    k->plan = plan_copy(&w->plan, k->a);
    return 1;
}

struct plan *brute_plan(const struct search_problem *p, long id, struct arena *a) {
    struct picking k = {id, 0, a, NULL};
    walk_all(p, visit_pick, &k);
    return k.plan;
}
