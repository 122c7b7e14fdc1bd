/* Depth-first search of one window, from the last stage of the pipeline to the first. */
#include "search/tree.h"
#include "search/chain.h"
#include "search/layout.h"
#include "base/oom.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* integer programs per candidate (a quick look, within a tolerance, exact), and what one counts for in
 * effort */
enum { PROGRAMS_CUT = 60, PROGRAMS_MORE = 2000, PROGRAMS_MAX = 200000, PROGRAM_COST = 50 };

/* integer programs for a merged plan that is laid out */
enum { PROGRAMS_LAID = 200 };

struct tree_node {
    int l, pattern, depth; /* layers [l, L) are covered by `depth` stages; pattern of the first of them */
    double S, X;           /* stages whose communication is known */
    double S_hi, X_hi, act_hi, pend_hi, y_hi,
        egress_hi;          /* the same at worst, whatever counts and zone order come out */
    double comp, act, pend; /* the first stage: its gradient transfer is still open */
    double y, u, egress, usd_per_s;
    double top, sum; /* largest stage time and sum of stage times, at least */
    double lb, rank; /* iteration time at least; its value by the objective */
    int level;       /* of all-reduces in which its stages do not find room (room.h) */
    bool crossed;    /* neighbours so far lie in different regions, or may */
    uint64_t key[2];
    struct choice choice;
};

/* Were the same stages, with the same first one, reached with numbers that are no worse? If not, remembers
 * this node. */
static bool known_no_worse(struct tree *v, const struct tree_node *n) {
    uint64_t k0 =
        n->key[0] + memo_mix((uint64_t)n->l << 33 | (uint64_t)n->crossed << 32 | (uint64_t)n->pattern);
    uint64_t key[2] = {k0, n->key[1] ^ memo_mix(k0)};
    struct memo_entry best = {n->S, n->X, n->pend, n->act, n->y, n->u, n->egress, -1};
    struct memo_entry worst = {n->S_hi, n->X_hi, n->pend_hi, n->act_hi, n->y_hi, n->u, n->egress_hi, -1};
    enum memo_verdict verdict = memo_meet(v->memo, key, &best, &worst, v->proof->slack);
    if (verdict == MEMO_STOOD_FOR) proof_stand_in(v->proof);
    return verdict != MEMO_NEW;
}

static double egress_price(const struct tree *v, int cell_a, int cell_b) {
    return v->s->egress[cell_a * v->s->n_cell + cell_b];
}

/* USD per 1e9 bytes sent from each replica of a to its partner in b, whatever the counts. */
static struct span pair_egress(const struct tree *v, const struct pattern *a, const struct pattern *b) {
    double lo = INFINITY, hi = 0, from_a = 0, from_b = 0;
    for (int i = 0; i < a->n; i++) {
        double best = INFINITY;
        for (int j = 0; j < b->n; j++) {
            double x = egress_price(v, a->cell[i], b->cell[j]);
            if (x < best) best = x;
            if (x > hi) hi = x;
        }
        if (best < lo) lo = best;
        from_a += best;
    }
    for (int j = 0; j < b->n; j++) {
        double best = INFINITY;
        for (int i = 0; i < a->n; i++) {
            double x = egress_price(v, a->cell[i], b->cell[j]);
            if (x < best) best = x;
        }
        from_b += best;
    }
    double least =
        lo < INFINITY ? fmax(from_a + (v->u->D - a->n) * lo, from_b + (v->u->D - b->n) * lo) : INFINITY;
    return (struct span){least, v->s->merged_from ? least : v->u->D * hi};
}

/* The same for the closed ring of a stage over merged zones: each region is left at least once. */
static struct span merged_ring_egress(const struct tree *v, const struct pattern *p) {
    double lo = 0, any = INFINITY;
    int n = 0;
    for (int region = 0; region < v->s->n_region; region++) {
        double out = INFINITY;
        for (int i = 0; i < p->n; i++)
            for (int j = 0; j < p->n; j++) {
                if (v->s->cell[p->cell[i]].region != region) continue;
                double x = egress_price(v, p->cell[i], p->cell[j]);
                any = fmin(any, x);
                if (v->s->cell[p->cell[j]].region != region) out = fmin(out, x);
            }
        if (!(p->regions >> region & 1) || p->regions == 1u << region) continue;
        lo += out;
        n++;
    }
    if (v->u->D > n && any > 0) lo += (v->u->D - n) * any;
    return (struct span){lo, lo};
}

/* The same for the closed ring of a stage: each zone is left once, the other steps stay inside. */
static struct span ring_egress(const struct tree *v, const struct pattern *p) {
    if (v->s->merged_from) return merged_ring_egress(v, p);
    double out_lo = 0, out_hi = 0, in_lo = INFINITY, in_hi = 0;
    unsigned seen = 0, zones = 0;
    for (int i = 0; i < p->n; i++) zones |= 1u << v->s->cell[p->cell[i]].zone;
    int n = __builtin_popcount(zones), inside = n > 1 ? v->u->D - n : v->u->D;
    for (int i = 0; i < p->n; i++) {
        int z = v->s->cell[p->cell[i]].zone;
        if (seen >> z & 1) continue;
        seen |= 1u << z;
        double self = egress_price(v, p->cell[i], p->cell[i]), best = INFINITY, worst = 0;
        in_lo = fmin(in_lo, self);
        in_hi = fmax(in_hi, self);
        for (int j = 0; j < p->n && n > 1; j++) {
            if (v->s->cell[p->cell[j]].zone == z) continue;
            double x = egress_price(v, p->cell[i], p->cell[j]);
            best = fmin(best, x);
            worst = fmax(worst, x);
        }
        if (n > 1) {
            out_lo += best;
            out_hi += worst;
        }
    }
    if (inside <= 0) return (struct span){out_lo, out_hi};
    return (struct span){out_lo + inside * in_lo, out_hi + inside * in_hi};
}

static double gigabytes(const struct tree *v, int layer) {
    return activation_bytes(v->s->p->w, layer, v->mb->m) / 1e9;
}

static int by_bound(const void *a, const void *b) {
    const struct tree_node *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    if (x->l != y->l) return x->l > y->l ? -1 : 1;
    return x->pattern - y->pattern;
}

/* Room for the stage on top of the path? Fills the next level of the stacks. */
static bool take_resources(struct tree *v, int depth, int pattern) {
    if (!unit_take(v->u, depth, pattern, v->need_stack, v->pack_stack)) return false;
    const struct pattern *p = &v->mb->pattern[pattern];
    for (int k = 0; k < v->t->n_table; k++) {
        const struct surrogate *q = &v->t->surrogate[k];
        v->surr_stack[(depth + 1) * SURROGATES_MAX + k] =
            v->surr_stack[depth * SURROGATES_MAX + k] + q->class_cost[p->cls];
    }
    return true;
}

static double cost_within(const struct tree *v, const struct tree_node *n, double time_lb) {
    return v->s->money ? time_lb * fmax(n->usd_per_s + v->t->min_usd[n->l], v->t->w.r_lo) + n->egress +
                             v->t->traffic.least[n->l]
                       : 0;
}

static double node_cost(const struct tree *v, const struct tree_node *n) { return cost_within(v, n, n->lb); }

/* Does the grid rule out everything in front of n? */
static bool grid_cuts(struct tree *v, const struct tree_node *n) {
    if (!v->grid.on) return false;
    double rest = grid_rest(&v->grid, n->depth, n->pattern, n->l, n->crossed),
           lb = window_time(v->t, fmax(n->top, v->t->w.x_lo), n->sum + fmax(0, rest), fmax(n->u, v->t->u_min),
                            fmax(n->y, v->t->w.y_lo));
    v->examined++;
    bool cut = proof_cut(v->proof, lb, cost_within(v, n, lb));
    v->bounds.grid += cut;
    return cut;
}

struct laying_out {
    struct tree *v;
    const struct tree_node *n;
    struct layout *x;
};

static bool layout_is_useless(void *ctx, double time_lb) {
    const struct laying_out *y = ctx;
    double lb = fmax(time_lb, y->n->lb);
    return proof_cut(y->v->proof, lb, cost_within(y->v, y->n, lb));
}

/* Patterns of the pool itself for all stages of n: what plans are there? */
static void resolve_layout(void *ctx, const struct choice *stage, double time_lb) {
    const struct laying_out *y = ctx;
    struct tree *v = y->v;
    int programs = PROGRAMS_LAID;
    if (layout_is_useless(ctx, time_lb)) return;
    if (!counts_resolve(v->u->real, v->goal, stage, y->n->depth, v->s->money ? y->n->egress : 0, &programs,
                        v->offer, v->ctx, &v->scratch)) {
        double lb = fmax(time_lb, y->n->lb);
        proof_leave_open(v->proof, lb, cost_within(v, y->n, lb));
    }
    uint64_t took = (uint64_t)(PROGRAMS_LAID - programs) * PROGRAM_COST;
    y->x->left -= took < y->x->left ? took : y->x->left;
}

/* Rule 22: a merged plan holds no more than what can be laid out on the real zones. */
static void lay_out(struct tree *v, const struct tree_node *n, const struct choice *stage) {
    struct layout x = {.u = v->u,
                       .stage = stage,
                       .n = n->depth,
                       .update_s = fmax(n->u, v->t->u_min),
                       .sync_s = fmax(n->y, v->t->w.y_lo),
                       .left = v->layouts_max,
                       .useless = layout_is_useless,
                       .laid = resolve_layout,
                       .scratch = &v->scratch};
    struct laying_out ctx = {v, n, &x};
    x.ctx = &ctx;
    v->bounds.laid++;
    if (!layout_all(&x)) proof_leave_open(v->proof, n->lb, node_cost(v, n));
    v->examined += v->layouts_max - x.left;
    v->batch_end += v->layouts_max - x.left; /* halves of the window would repeat it all */
}

/* The path as a candidate: first stage first. */
static void leaf(struct tree *v, const struct tree_node *n) {
    struct choice stage[LAYERS_MAX];
    int P = n->depth,
        most = v->proof->tolerance > 0 ? PROGRAMS_MORE
               : v->hurried            ? PROGRAMS_CUT
                                       : PROGRAMS_MAX,
        programs = most;
    for (int i = 0; i < P; i++) stage[i] = v->path[P - 1 - i];
    if (v->s->merged_from) {
        v->examined += PROGRAM_COST;
        if (!counts_have_room(v->u, stage, P, &v->scratch)) return;
        if (v->lay_out)
            lay_out(v, n, stage);
        else
            v->bound(v->ctx, n->lb, node_cost(v, n));
        return;
    }
    if (!counts_resolve(v->u, v->goal, stage, P, v->s->money ? n->egress : 0, &programs, v->offer, v->ctx,
                        &v->scratch))
        proof_leave_open(v->proof, n->lb, node_cost(v, n));
    v->examined += (uint64_t)(most - programs) * PROGRAM_COST;
}

/* The narrowest scope that has a stage of the pattern: what is known of its all-reduces holds. */
static int scope_of(const struct tree *v, const struct pattern *p) {
    if (v->s->n_region == 1) return v->t->w.scope;
    return p->regions & (p->regions - 1) ? v->s->n_region : __builtin_ctz(p->regions);
}

/* What the stages of the path take from each side. */
static struct side_use used_by_sides(const struct tree *v, int depth) {
    struct side_use use = {{{0}}};
    for (int k = 0; k < depth; k++) {
        const struct pattern *p = &v->mb->pattern[v->path[k].pattern];
        side_take(&v->sides, side_of(&v->sides, p), p->cls, &use);
    }
    return use;
}

/* What is known, by rule 24, of a stage [i, e) of a class in front of n before any pattern is looked at. */
struct joint {
    double mine, grad, rest; /* its time, what n pays for sending to it, and the sum of the stages in front */
    double act;              /* the part of its time that is beyond its least transfer */
};

/* Of an excess over the least transfer, what is not charged yet. */
static double beyond(double excess, double charged) { return fmax(0, excess - charged); }

/* Rule 26: what a stage [i, e) of a class in front of n (NULL: none), and those in front of it, take beyond
 * its least time. */
static double sides_least(const struct tree *v, const struct tree_node *n, int i, int e, int cls,
                          const struct joint *known) {
    const struct sides *x = &v->sides;
    int of_n = n ? side_of(x, &v->mb->pattern[n->pattern]) : 0;
    double best = INFINITY;
    for (int side = 0; side < SIDES; side++) {
        if (!side_has(x, side, cls, i, e)) continue;
        bool away = n && side != of_n;
        struct side_use use = v->side_use;
        double hop = away ? beyond(side_excess(x, side, cls, e - 1), known->act) +
                                beyond(side_excess(x, of_n, v->mb->pattern[n->pattern].cls, e), known->grad)
                          : 0;
        side_take(x, side, cls, &use);
        bool crossed = n && (n->crossed || away || v->s->n_region > 2);
        best = fmin(best, hop + sides_rest(x, i, &use, side, crossed, cls));
    }
    return best;
}

/* Make the child that puts a stage [i, e) of this pattern in front of n (NULL: the last stage of the plan),
 * with the bounds of rule 14 of docs/search.md. The communication of n is known now: the gradient that it
 * sends to the new stage closes it, and n moves into S and X. The new stage stays open in the same way:
 * `pend` is its computation and the activation it sends to n, and its gradient counts as the least possible
 * until its own predecessor is chosen. Every number is kept twice, at best (which bounds) and at worst
 * (`_hi`, which lets the memo compare, rule 15). `rest`: the sum of the stages in front, at least. False: no
 * plan of the window goes on like this. */
static bool make_child(struct tree *v, const struct tree_node *n, int i, int e, int pattern, double rest,
                       struct tree_node *c) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    const struct pattern *p = &mb->pattern[pattern];
    enum estimator est = s->p->estimator;
    int L = s->L, cls = p->cls, depth = n ? n->depth : 0;
    *c = (struct tree_node){.l = i, .pattern = pattern, .depth = depth + 1, .choice = {i, e, pattern}};
    if (s->money) {
        c->usd_per_s =
            (n ? n->usd_per_s : 0) + p->base_usd_per_s + (v->u->D - p->n) * p->min_usd_per_s_of_extra;
        if (c->usd_per_s + v->t->min_usd[i] > v->t->w.r_hi * (1 + 1e-9)) return false;
        if (n) {
            c->egress = n->egress;
            c->egress_hi = n->egress_hi;
        }
    }
    c->comp = mb->comp[cfe(s, cls, i, e)];
    c->u = update_share_s(mb->w, mb->update[cfe(s, cls, i, e)], v->u->D);
    struct span y = unit_sync(v->u, pattern, i, e);
    c->y = fmax(y.lo, unit_sync_min(v->u, scope_of(v, p), cls, i, e));
    c->y_hi = fmax(y.hi, c->y);
    if (!(c->y <= v->t->w.y_hi)) return false;
    if (n) {
        struct span grad = space_transfer(s, mb, e, n->pattern, pattern),
                    act = space_transfer(s, mb, e - 1, pattern, n->pattern);
        if (!(grad.lo < INFINITY) || !(act.lo < INFINITY)) return false;
        unsigned regions = p->regions | mb->pattern[n->pattern].regions;
        c->crossed = n->crossed || (regions & (regions - 1));
        bool last = n->depth == 1;
        double closed = n->comp + stage_comm_s(est, false, last, n->depth + 1, n->act, grad.lo);
        double worst = n->comp + stage_comm_s(est, false, last, n->depth + 1, n->act_hi, grad.hi);
        double arrival = mb->arrival[cls * L + e - 1];
        c->X = fmax(n->X, closed + turn_s(mb->w, est, act.lo, arrival));
        c->S = n->S + closed;
        c->X_hi = fmax(n->X_hi, worst + turn_s(mb->w, est, act.hi, arrival));
        c->S_hi = n->S_hi + worst;
        c->act = act.lo;
        c->act_hi = act.hi;
        c->y = fmax(c->y, n->y);
        c->y_hi = fmax(c->y_hi, n->y_hi);
        c->u = fmax(c->u, n->u);
        c->key[0] = n->key[0];
        c->key[1] = n->key[1];
    }
    uint64_t room = v->room.on ? room_key(&v->room, &c->choice) : 0;
    c->key[0] += memo_mix(0x9e3779b97f4a7c15u * (uint64_t)(pattern + 1) ^ room);
    c->key[1] += memo_mix(0xd1b54a32d192ed03u * (uint64_t)(pattern + 1) + room);
    /* on top of comp + act comes at least the gradient or, for a first stage, its activation once more */
    struct comm_share share = comm_share(est, i == 0, !n, depth + 1);
    double open_grad = i > 0 ? share.grad * mb->grad_min[cls * L + i] : n ? (share.act - 1) * c->act : 0;
    c->pend = c->comp + c->act;
    c->pend_hi = c->comp + c->act_hi;
    double X = fmax(c->X, c->pend + open_grad + mb->turn_min[i]);
    if (X > v->t->w.x_hi) return false;
    if (i == 0 && !c->crossed && scope_is_crossing(s, v->t->w.scope))
        return false; /* belongs to another scope */
    double S = c->S + c->pend + open_grad;
    c->top = X;
    c->sum = S;
    for (int k = 0; k < v->t->n_table; k++)
        rest = fmax(rest, window_rest_sum(v->t, k, i,
                                          v->surr_stack[depth * SURROGATES_MAX + k] +
                                              v->t->surrogate[k].class_cost[cls],
                                          i == 0 || c->crossed, i > 0 ? mb->cross[cls * L + i] : 0));
    if (v->sides.on) {
        struct side_use use = v->side_use;
        int side = side_of(&v->sides, p);
        side_take(&v->sides, side, cls, &use);
        rest = fmax(rest, sides_rest(&v->sides, i, &use, side, c->crossed, cls));
    }
    c->lb =
        window_time(v->t, fmax(X, v->t->w.x_lo), S + rest, fmax(c->u, v->t->u_min), fmax(c->y, v->t->w.y_lo));
    if (v->room.on && proof_worth(v->proof, c->lb, 0) != WORTH_NOTHING) { /* rule 19 */
        v->path[depth] = c->choice;
        c->level = room_level(&v->room, v->path, depth + 1, n ? n->level : 0);
        v->bounds.full += c->level > (n ? n->level : 0);
        if (c->level > ROOM_LEVELS) return false;
        if (c->level > 0) c->y = fmax(c->y, v->room.edge[c->level - 1]);
        c->y_hi = fmax(c->y_hi, c->y);
        c->lb = window_time(v->t, fmax(X, v->t->w.x_lo), S + rest, fmax(c->u, v->t->u_min),
                            fmax(c->y, v->t->w.y_lo));
    }
    double cost = 0;
    if (s->money) {
        cost = cost_within(v, c, c->lb); /* without what this stage sends */
        if (goal_excludes(v->goal, c->lb, cost)) return false;
        if (n) {
            double gb = gigabytes(v, e - 1) * v->u->M;
            struct span there = pair_egress(v, p, &mb->pattern[n->pattern]),
                        back = pair_egress(v, &mb->pattern[n->pattern], p);
            c->egress += gb * (there.lo + back.lo);
            c->egress_hi += gb * (there.hi + back.hi);
        }
        if (v->u->D > 1) {
            double times = ring_usd(s->p->w, 1, s->params[e] - s->params[i], v->u->D);
            struct span ring = ring_egress(v, p);
            c->egress += times * ring.lo;
            c->egress_hi += times * ring.hi;
        }
        cost = node_cost(v, c);
    }
    c->rank = v->goal->objective == OBJECTIVE_COST ? cost : c->lb;
    return !proof_cut(v->proof, c->lb, cost);
}

/* False: no plan of the window goes on like this. */
static bool link_stage(const struct tree *v, const struct tree_node *n, int i, int e, const struct allowed *w,
                       struct joint *out) {
    const struct mb_space *mb = v->mb;
    enum estimator est = v->s->p->estimator;
    int L = v->s->L, depth = n ? n->depth : 0, k = v->t->n_fixed;
    struct comm_share share = comm_share(est, i == 0, !n, depth + 1);
    double x_hi = v->t->w.x_hi * (1 + 1e-12), act = 0;
    *out = (struct joint){.mine = w->weight};
    if (n) {
        int next = mb->pattern[n->pattern].cls;
        double sent = chain_transfer(mb, e - 1, w->cls, next);
        act = share.act * sent;
        out->act = share.act * (sent - mb->act_min[w->cls * L + e - 1]);
        out->mine += out->act;
        out->grad = comm_share(est, false, depth == 1, depth + 1).grad * chain_transfer(mb, e, next, w->cls);
        if (n->pend + out->grad > x_hi) return false;
    }
    if (out->mine > x_hi) return false;
    if (i > 0) {
        double used = v->surr_stack[depth * SURROGATES_MAX + k] + v->t->surrogate[k].class_cost[w->cls];
        out->rest = chain_rest(v->t, i, used, w->cls, share.grad, x_hi - w->comp - act);
    }
    return out->rest < INFINITY;
}

/* Does the window have patterns of the class that were not built? */
static bool patterns_left_out(const struct tree *v, int cls) {
    const struct stage_class *cl = &v->mb->cls[cls];
    if (cl->most_cells == cl->n_cell || cl->most_cells >= v->u->D) return false;
    int n = 0;
    for (int c = 0; c < v->s->n_cell; c++) {
        bool inside =
            v->s->n_region == 1 || v->t->w.scope >= v->s->n_region || v->s->cell[c].region == v->t->w.scope;
        n += inside && cl->gpus >> v->s->cell[c].gpu & 1;
    }
    return n > cl->most_cells;
}

/* Plans that go on from n with a stage from layer i on, on cells that no pattern was built for. */
static void leave_class_open(struct tree *v, const struct tree_node *n, int i, double time_lb) {
    double usd_per_s = (n ? n->usd_per_s : 0) + v->t->min_usd[i];
    double cost_lb =
        v->s->money ? time_lb * fmax(usd_per_s, v->t->w.r_lo) + (n ? n->egress : 0) + v->t->traffic.least[i]
                    : 0;
    if (proof_worth(v->proof, time_lb, cost_lb) != WORTH_NOTHING)
        proof_leave_open(v->proof, time_lb, cost_lb);
}

/* Does a stage [i, ..) of a class in front of n cost too much, wherever it lies? */
static bool too_expensive(struct tree *v, const struct tree_node *n, int i, int cls, double time_lb) {
    double usd_per_s =
               (n ? n->usd_per_s : 0) + v->t->surrogate[v->t->price].class_cost[cls] + v->t->min_usd[i],
           rest = time_lb * fmax(usd_per_s, v->t->w.r_lo) + (n ? n->egress : 0),
           traffic = v->t->traffic.least[i];
    if (!proof_cut(v->proof, time_lb, rest + traffic)) return false;
    v->bounds.traffic += proof_worth(v->proof, time_lb, rest) == WORTH_SEARCHING;
    return true;
}

/* All plans that put stages in front of n (NULL: of all plans of the window). For each start i of the next
 * stage and each class that may have it, a bound on the class comes first, rule 9 of docs/search.md: in the
 * crossing scope with rule 4, where a neighbour in another region is either met right here (`here`) or later.
 * What passes is tried with every pattern of the class, rules 13 and 14; patterns that were not built leave
 * the class open with its bound. The children are visited least bound first, each unless the memo knows one
 * that is no worse (rule 15). At depth 0 plans of one stage are looked at before anything else: they are
 * whole plans already. */
static void descend(struct tree *v, const struct tree_node *n) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    int L = s->L, e = n ? n->l : L, depth = n ? n->depth : 0, pin_P = s->p->pin->stages, count = 0;
    if (e == 0) {
        leaf(v, n);
        return;
    }
    if (pin_P && depth == pin_P) return;
    if (v->sides.on) v->side_use = used_by_sides(v, depth);
    const struct only_stage *only = v->only ? &v->only[depth] : NULL;
    for (int i = e - 1; i >= 0; i--) {
        if (only && only->first != i) continue;
        if (pin_P && i == 0 && depth + 1 != pin_P) continue;
        int n_allowed;
        const struct allowed *w = window_allowed(v->t, i, e, &n_allowed);
        for (int k = 0; k < n_allowed; k++) {
            if (only && only->cls != w[k].cls) continue;
            if (v->u->depth[cfe(s, w[k].cls, i, e)] < window_in_flight(v->t, depth + 1)) continue;
            if (n && !space_neighbours_allowed(s, mb, w[k].cls, mb->pattern[n->pattern].cls)) continue;
            double rest = 0, here = 0; /* crossing right here, or later */
            struct joint joint = {.mine = w[k].weight};
            if (v->t->chain.built && !link_stage(v, n, i, e, &w[k], &joint)) {
                v->bounds.chain++;
                continue;
            }
            bool may_cross = n && !n->crossed && scope_is_crossing(s, v->t->w.scope);
            if (may_cross)
                here = beyond(mb->cross[mb->pattern[n->pattern].cls * L + e], joint.grad) +
                       beyond(mb->cross[w[k].cls * L + e - 1], joint.act);
            for (int q = 0; q < v->t->n_table; q++) {
                double used =
                    v->surr_stack[depth * SURROGATES_MAX + q] + v->t->surrogate[q].class_cost[w[k].cls];
                double later = window_rest_sum(v->t, q, i, used, i == 0 || (n && n->crossed),
                                               i > 0 ? mb->cross[w[k].cls * L + i] : 0);
                if (may_cross)
                    later =
                        fmin(i == 0 ? INFINITY : later, here + window_rest_sum(v->t, q, i, used, true, 0));
                rest = fmax(rest, later);
            }
            v->examined++;
            rest = fmax(rest, joint.rest);
            double surrogates = rest;
            if (v->sides.on) rest = fmax(rest, sides_least(v, n, i, e, w[k].cls, &joint));
            double S = (n ? n->S + n->pend : 0) + joint.grad + joint.mine + rest;
            double period = joint.mine + mb->turn_min[i];
            double quick = window_time(v->t, fmax(n ? n->X : 0, fmax(period, v->t->w.x_lo)), S, v->t->u_min,
                                       fmax(n ? n->y : 0, fmax(w[k].sync, v->t->w.y_lo)));
            if (s->p->objective == OBJECTIVE_THROUGHPUT ? proof_cut(v->proof, quick, 0)
                                                        : goal_excludes(v->goal, quick, 0)) {
                v->bounds.sides += rest > surrogates;
                continue;
            }
            if (s->money && too_expensive(v, n, i, w[k].cls, quick)) continue;
            for (int p = mb->cls[w[k].cls].first_pattern; p < mb->cls[w[k].cls].end_pattern; p++) {
                if (only && only->pattern != p) continue;
                if (mb->pattern[p].n > v->u->D || mb->pattern[p].room < v->u->D) continue;
                if (!scope_has(s, v->t->w.scope, &mb->pattern[p])) continue;
                v->examined++;
                struct tree_node c;
                if (!take_resources(v, depth, p) || !make_child(v, n, i, e, p, joint.rest, &c)) continue;
                if (count == v->child_cap[depth]) {
                    v->child_cap[depth] = count ? 2 * count : 64;
                    v->children[depth] = oom_realloc(v->children[depth], (size_t)v->child_cap[depth],
                                                     sizeof(struct tree_node));
                }
                v->children[depth][count++] = c;
            }
            if (patterns_left_out(v, w[k].cls)) leave_class_open(v, n, i, quick);
        }
    }
    window_stopped(v->t);
    if (v->examined > v->batch_end) v->over = true;
    struct tree_node *children = v->children[depth];
    for (int k = 0; k < count && !n; k++) { /* plans of one stage first: they are complete */
        if (children[k].l > 0 || proof_cut(v->proof, children[k].lb, node_cost(v, &children[k]))) continue;
        v->path[0] = children[k].choice;
        leaf(v, &children[k]);
    }
    if (count > 1) qsort(children, (size_t)count, sizeof *children, by_bound);
    for (int k = 0; k < count && !v->over && !v->t->stopped; k++) {
        const struct tree_node *c = &children[k];
        if (proof_cut(v->proof, c->lb, node_cost(v, c))) continue;
        if (c->l > 0 && !v->lay_out && !only && known_no_worse(v, c)) continue;
        take_resources(v, depth, c->pattern); /* known to fit: sets the stacks */
        if (grid_cuts(v, c)) continue;
        v->path[depth] = c->choice;
        descend(v, c);
    }
}

bool tree_search(struct tree *v) {
    memo_reset(v->memo);
    room_begin(&v->room);
    v->over = false;
    descend(v, NULL);
    return !v->over && !v->t->stopped;
}

void tree_init(struct tree *v, struct window_tables *w, struct proof *proof, struct memo *memo,
               struct arena *a) {
    const struct space *s = w->s;
    int L = s->L;
    *v = (struct tree){.s = s, .t = w, .proof = proof, .memo = memo};
    v->need_stack = ARENA_ARRAY(a, int, (L + 2) * s->n_set);
    v->pack_stack = ARENA_ARRAY(a, int, (L + 2) * s->n_cell * TP_N);
    v->surr_stack = ARENA_ARRAY(a, double, (L + 2) * SURROGATES_MAX);
    v->path = ARENA_ARRAY(a, struct choice, L + 1);
    v->children = ARENA_ARRAY(a, struct tree_node *, L + 1);
    v->child_cap = ARENA_ARRAY(a, int, L + 1);
    room_init(&v->room, w, a);
    grid_init(&v->grid, w, a);
    sides_init(&v->sides, w, a);
    arena_alloc(&v->scratch, 1); /* so that marks have a block to return to */
}

void tree_free(struct tree *v) {
    for (int l = 0; l <= v->s->L; l++) free(v->children[l]);
    grid_free(&v->grid);
    sides_free(&v->sides);
    arena_free(&v->scratch);
}
