/* Depth-first search of one window, from the last stage of the pipeline to the first. */
#include "search/workspace.h"

#include <stdlib.h>
#include <string.h>

/* integer programs per candidate (a quick look, within a tolerance, exact), and what one counts for in effort
 */
enum { PROGRAMS_CUT = 60, PROGRAMS_MORE = 2000, PROGRAMS_MAX = 200000, PROGRAM_COST = 50 };

/* ---- memo: the same stages reached with worse numbers ------------------------------- */

static uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

enum { MEMO_SLOTS = 1 << 18, MEMO_ENTRIES = 1 << 20 };

static void memo_reset(struct memo *m) {
    if (!m->slot) {
        m->size = MEMO_SLOTS;
        m->cap_entry = MEMO_ENTRIES;
        m->slot = calloc(m->size, sizeof *m->slot);
        m->entry = malloc(sizeof *m->entry * (size_t)m->cap_entry); /* touched as it fills */
        if (!m->slot || !m->entry) abort();
    }
    m->generation++;
    m->used = 0;
    m->n_entry = 0;
}

/* Is a, at worst, no worse than b at best (times 1 + slack)? Both hold the same patterns, so whatever
 * completes b completes a, with the same counts. */
static bool entry_dominates(const struct entry *a, const struct entry *b, double f) {
    return a->S <= b->S * f && a->X <= b->X * f && a->pend <= b->pend * f && a->act <= b->act * f &&
           a->y <= b->y * f && a->u <= b->u * f && a->egress <= b->egress;
}

/* True: known and no better. Otherwise remembers it. The rate needs no comparing: the same patterns with the
 * same counts cost the same per second. */
static bool memo_dominated(struct workspace *v, const struct node *n) {
    struct memo *m = &v->memo;
    uint64_t k0 = n->key[0] + mix((uint64_t)n->l << 33 | (uint64_t)n->crossed << 32 | (uint64_t)n->pattern),
             k1 = n->key[1] ^ mix(k0);
    struct entry best = {n->S, n->X, n->pend, n->act, n->y, n->u, n->egress, -1};
    struct entry worst = {n->S_hi, n->X_hi, n->pend_hi, n->act_hi, n->y_hi, n->u, n->egress_hi, -1};
    bool keep = worst.S < INFINITY && worst.pend < INFINITY && worst.y < INFINITY && worst.egress < INFINITY;
    size_t at = mix(k0) & (m->size - 1);
    while (m->slot[at].generation == m->generation && (m->slot[at].key[0] != k0 || m->slot[at].key[1] != k1))
        at = (at + 1) & (m->size - 1);
    struct slot *slot = &m->slot[at];
    bool known = slot->generation == m->generation;
    for (int *link = known ? &slot->head : NULL; link && *link >= 0;) {
        struct entry *f = &m->entry[*link];
        if (entry_dominates(f, &best, 1)) return true;
        if (v->slack > 0 && entry_dominates(f, &best, 1 + v->slack)) return v->loose = true;
        if (keep && entry_dominates(&worst, f, 1))
            *link = f->next;
        else
            link = &f->next;
    }
    if (!keep || m->n_entry == m->cap_entry || m->used > m->size / 2) return false;
    if (!known) *slot = (struct slot){{k0, k1}, m->generation, -1}, m->used++;
    worst.next = slot->head;
    m->entry[m->n_entry] = worst;
    slot->head = m->n_entry++;
    return false;
}

/* ---- plans found -------------------------------------------------------------------- */

/* Insert into a front kept in ascending time and descending cost. */
static void front_insert(struct workspace *v, double t, double c) {
    struct goal *g = &v->goal;
    int keep = 0;
    for (int i = 0; i < g->n_front; i++)
        if (g->front[i].time_s < t || g->front[i].cost_usd < c) g->front[keep++] = g->front[i];
    g->n_front = keep;
    if (keep == FRONT_MAX) {
        v->lost = true;
        return;
    }
    int at = keep;
    while (at > 0 && g->front[at - 1].time_s > t) g->front[at] = g->front[at - 1], at--;
    g->front[at] = (struct point){t, c};
    g->n_front++;
}

static void offer(void *ctx, const struct plan *p) {
    struct workspace *v = ctx;
    struct estimate est = {0};
    struct err e;
    v->plans++;
    if (estimate_plan(v->s->p->w, p, v->s->p->estimator, &est, &e) || !est.fits) return;
    double t = est.iteration_time_s, c = v->s->money ? est.cost_usd : 0;
    if (!goal_wants(&v->goal, t, c)) return;
    struct unit_answer *out = v->out;
    if (v->goal.objective == OBJECTIVE_FRONTIER) {
        front_insert(v, t, c);
        int keep = 0; /* drop what the new plan dominates */
        for (int i = 0; i < out->n_plan; i++)
            if (out->plan[i].est.iteration_time_s < t || out->plan[i].est.cost_usd < c)
                out->plan[keep++] = out->plan[i];
        out->n_plan = keep;
    } else {
        v->goal.best = v->goal.objective == OBJECTIVE_COST ? c : t;
        out->n_plan = 0;
    }
    if (out->n_plan == v->plan_cap) {
        v->plan_cap = v->plan_cap ? 2 * v->plan_cap : 16;
        struct found_plan *more = ARENA_ARRAY(v->a, struct found_plan, v->plan_cap);
        if (out->n_plan) memcpy(more, out->plan, sizeof *more * (size_t)out->n_plan);
        out->plan = more;
    }
    out->plan[out->n_plan++] = (struct found_plan){
        .plan = plan_copy(p, v->a), .est = est, .planner_time_s = NAN, .planner_cost_usd = NAN};
}

/* ---- depth-first search ------------------------------------------------------------- */

static double egress_price(const struct workspace *v, int cell_a, int cell_b) {
    return payable_egress_usd(v->s->p->w->site, v->s->cell[cell_a].zone, v->s->cell[cell_b].zone);
}

/* USD per 1e9 bytes sent from each replica of a to its partner in b, whatever the counts. */
static struct span pair_egress(const struct workspace *v, const struct pattern *a, const struct pattern *b) {
    double lo = INFINITY, hi = 0, from_a = 0, from_b = 0;
    for (int i = 0; i < a->n; i++) {
        double best = INFINITY;
        for (int j = 0; j < b->n; j++) {
            double x = egress_price(v, a->cell[i], b->cell[j]);
            best = fmin(best, x);
            lo = fmin(lo, x);
            hi = fmax(hi, x);
        }
        from_a += best;
    }
    for (int j = 0; j < b->n; j++) {
        double best = INFINITY;
        for (int i = 0; i < a->n; i++) best = fmin(best, egress_price(v, a->cell[i], b->cell[j]));
        from_b += best;
    }
    double least =
        lo < INFINITY ? fmax(from_a + (v->u->D - a->n) * lo, from_b + (v->u->D - b->n) * lo) : INFINITY;
    return (struct span){least, v->u->D * hi};
}

/* The same for the closed ring of a stage: each zone is left once, the other steps stay inside. */
static struct span ring_egress(const struct workspace *v, const struct pattern *p) {
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
        if (n > 1) out_lo += best, out_hi += worst;
    }
    if (inside <= 0) return (struct span){out_lo, out_hi};
    return (struct span){out_lo + inside * in_lo, out_hi + inside * in_hi};
}

static double gigabytes(const struct workspace *v, int layer) {
    return activation_bytes(v->s->p->w, layer, v->mb->m) / 1e9;
}

static int by_bound(const void *a, const void *b) {
    const struct node *x = a, *y = b;
    if (x->rank != y->rank) return x->rank < y->rank ? -1 : 1;
    if (x->l != y->l) return x->l > y->l ? -1 : 1;
    return x->pattern - y->pattern;
}

/* Room for the stage on top of the path? Fills the next level of the stacks. */
static bool take_resources(struct workspace *v, int depth, int pattern) {
    const struct space *s = v->s;
    const struct pattern *p = &v->mb->pattern[pattern];
    const int *need = v->need_stack + depth * s->n_set,
              *add = v->u->need + (size_t)pattern * (size_t)s->n_set;
    int *next = v->need_stack + (depth + 1) * s->n_set;
    for (int k = 0; k < s->n_set; k++) {
        next[k] = need[k] + add[k];
        if (next[k] > s->set_gpus[k]) return false;
    }
    size_t row = (size_t)s->n_cell * TP_N;
    int *pack = v->pack_stack + (size_t)(depth + 1) * row;
    memcpy(pack, v->pack_stack + (size_t)depth * row, sizeof *pack * row);
    for (int i = 0; i < p->n; i++) {
        int *n = pack + p->cell[i] * TP_N;
        n[p->ti[i]] += p->n == 1 ? v->u->D : 1;
        if (!node_packing_fits(n, s->cell[p->cell[i]].gpus, s->cell[p->cell[i]].gpus_per_node)) return false;
    }
    for (int k = 0; k < v->n_table; k++) {
        const struct surrogate *q = &v->surrogate[k];
        v->surr_stack[(depth + 1) * SURROGATES_MAX + k] =
            v->surr_stack[depth * SURROGATES_MAX + k] + q->class_cost[p->cls];
    }
    return true;
}

static double node_cost(const struct workspace *v, const struct node *n) {
    return v->s->money ? n->lb * fmax(n->usd_per_s + v->min_usd[n->l], v->w.r_lo) + n->egress : 0;
}

/* The path as a candidate: first stage first. */
static void leaf(struct workspace *v, const struct node *n) {
    struct choice stage[LAYERS_MAX];
    int P = n->depth,
        most = v->effort.tolerance > 0 ? PROGRAMS_MORE
               : v->effort.limit       ? PROGRAMS_CUT
                                       : PROGRAMS_MAX,
        programs = most;
    for (int i = 0; i < P; i++) stage[i] = v->path[P - 1 - i];
    if (!counts_resolve(v->u, &v->goal, stage, P, v->s->money ? n->egress : 0, &programs, offer, v,
                        &v->scratch))
        window_leave_open(v, n->lb, node_cost(v, n));
    v->examined += (uint64_t)(most - programs) * PROGRAM_COST;
}

/* Make the child that puts a stage [i, n->l) of this pattern in front of n (n = NULL: the last stage of the
 * plan). */
static bool make_child(struct workspace *v, const struct node *n, int i, int e, int pattern, struct node *c) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    const struct pattern *p = &mb->pattern[pattern];
    enum estimator est = s->p->estimator;
    int L = s->L, cls = p->cls, depth = n ? n->depth : 0;
    *c = (struct node){.l = i, .pattern = pattern, .depth = depth + 1, .choice = {i, e, pattern}};
    c->comp = mb->comp[cfe(s, cls, i, e)];
    c->u = mb->update[cfe(s, cls, i, e)];
    struct span y = unit_sync(v->u, pattern, i, e);
    c->y = y.lo;
    c->y_hi = y.hi;
    if (!(y.lo <= v->w.y_hi)) return false;
    if (n) {
        struct span grad = space_transfer(s, mb, e, n->pattern, pattern),
                    act = space_transfer(s, mb, e - 1, pattern, n->pattern);
        if (!(grad.lo < INFINITY) || !(act.lo < INFINITY)) return false;
        unsigned regions = p->regions | mb->pattern[n->pattern].regions;
        c->crossed = n->crossed || (regions & (regions - 1));
        bool last = n->depth == 1;
        double closed = n->comp + stage_comm_s(est, false, last, n->depth + 1, n->act, grad.lo);
        double worst = n->comp + stage_comm_s(est, false, last, n->depth + 1, n->act_hi, grad.hi);
        c->X = fmax(n->X, closed);
        c->S = n->S + closed;
        c->X_hi = fmax(n->X_hi, worst);
        c->S_hi = n->S_hi + worst;
        c->act = act.lo;
        c->act_hi = act.hi;
        c->y = fmax(c->y, n->y);
        c->y_hi = fmax(c->y_hi, n->y_hi);
        c->u = fmax(c->u, n->u);
        c->key[0] = n->key[0];
        c->key[1] = n->key[1];
    }
    c->key[0] += mix(0x9e3779b97f4a7c15u * (uint64_t)(pattern + 1));
    c->key[1] += mix(0xd1b54a32d192ed03u * (uint64_t)(pattern + 1));
    /* what comes on top of comp + act: the gradient at least, or what a first stage pays for its activation
     * again */
    struct comm_share share = comm_share(est, i == 0, !n, depth + 1);
    double open_grad = i > 0 ? share.grad * mb->grad_min[cls * L + i] : n ? (share.act - 1) * c->act : 0;
    c->pend = c->comp + c->act;
    c->pend_hi = c->comp + c->act_hi;
    double X = fmax(c->X, c->pend + open_grad);
    if (X > v->w.x_hi) return false;
    if (i == 0 && !c->crossed && scope_is_crossing(s, v->w.scope))
        return false; /* belongs to another scope */
    double S = c->S + c->pend + open_grad, rest = 0;
    for (int k = 0; k < v->n_table; k++)
        rest = fmax(
            rest, window_rest_sum(v, k, i,
                                  v->surr_stack[depth * SURROGATES_MAX + k] + v->surrogate[k].class_cost[cls],
                                  i == 0 || c->crossed, i > 0 ? mb->cross[cls * L + i] : 0));
    c->lb = time_of(v, fmax(X, v->w.x_lo), S + rest, fmax(c->u, v->u_min), fmax(c->y, v->w.y_lo));
    double cost = 0;
    if (s->money) {
        c->usd_per_s =
            (n ? n->usd_per_s : 0) + p->base_usd_per_s + (v->u->D - p->n) * p->min_usd_per_s_of_extra;
        if (c->usd_per_s + v->min_usd[i] > v->w.r_hi * (1 + 1e-9)) return false;
        if (n) {
            double gb = gigabytes(v, e - 1) * v->u->M;
            struct span there = pair_egress(v, p, &mb->pattern[n->pattern]),
                        back = pair_egress(v, &mb->pattern[n->pattern], p);
            c->egress = n->egress + gb * (there.lo + back.lo);
            c->egress_hi = n->egress_hi + gb * (there.hi + back.hi);
        }
        if (v->u->D > 1) {
            double times = ring_usd(s->p->w, 1, s->params[e] - s->params[i], v->u->D);
            struct span ring = ring_egress(v, p);
            c->egress += times * ring.lo;
            c->egress_hi += times * ring.hi;
        }
        cost = c->lb * fmax(c->usd_per_s + v->min_usd[i], v->w.r_lo) + c->egress;
    }
    c->rank = v->goal.objective == OBJECTIVE_COST ? cost : c->lb;
    return !window_pass_over(v, c->lb, cost);
}

static void descend(struct workspace *v, const struct node *n) {
    const struct space *s = v->s;
    const struct mb_space *mb = v->mb;
    int L = s->L, e = n ? n->l : L, depth = n ? n->depth : 0, K = mb->n_class, pin_P = s->p->pin->stages,
        count = 0;
    if (e == 0) {
        leaf(v, n);
        return;
    }
    if (pin_P && depth == pin_P) return;
    for (int i = e - 1; i >= 0; i--) {
        if (pin_P && i == 0 && depth + 1 != pin_P) continue;
        const struct allowed *w = &v->allowed[((size_t)i * (size_t)(L + 1) + (size_t)e) * (size_t)K];
        for (int k = 0; k < v->n_allowed[i * (L + 1) + e]; k++) {
            if (mb->depth[cfe(s, w[k].cls, i, e)] < window_in_flight(v, depth + 1)) continue;
            double rest = 0, here = 0; /* crossing right here, or later */
            bool may_cross = n && !n->crossed && scope_is_crossing(s, v->w.scope);
            if (may_cross)
                here = mb->cross[mb->pattern[n->pattern].cls * L + e] + mb->cross[w[k].cls * L + e - 1];
            for (int q = 0; q < v->n_table; q++) {
                double used =
                    v->surr_stack[depth * SURROGATES_MAX + q] + v->surrogate[q].class_cost[w[k].cls];
                double later = window_rest_sum(v, q, i, used, i == 0 || (n && n->crossed),
                                               i > 0 ? mb->cross[w[k].cls * L + i] : 0);
                if (may_cross)
                    later = fmin(i == 0 ? INFINITY : later, here + window_rest_sum(v, q, i, used, true, 0));
                rest = fmax(rest, later);
            }
            v->examined++;
            double S = (n ? n->S + n->pend : 0) + w[k].weight + rest;
            double quick = time_of(v, fmax(n ? n->X : 0, fmax(w[k].weight, v->w.x_lo)), S, v->u_min,
                                   fmax(n ? n->y : 0, v->w.y_lo));
            if (s->p->objective == OBJECTIVE_THROUGHPUT ? window_pass_over(v, quick, 0)
                                                        : goal_excludes(&v->goal, quick, 0))
                continue;
            for (int p = mb->cls[w[k].cls].first_pattern; p < mb->cls[w[k].cls].end_pattern; p++) {
                if (mb->pattern[p].n > v->u->D || !scope_has(s, v->w.scope, &mb->pattern[p])) continue;
                v->examined++;
                struct node c;
                if (!take_resources(v, depth, p) || !make_child(v, n, i, e, p, &c)) continue;
                if (count == v->child_cap[depth]) {
                    v->child_cap[depth] = count ? 2 * count : 64;
                    v->children[depth] =
                        realloc(v->children[depth], sizeof(struct node) * (size_t)v->child_cap[depth]);
                    if (!v->children[depth]) abort();
                }
                v->children[depth][count++] = c;
            }
        }
    }
    workspace_stopped(v);
    if (v->examined > v->batch_end) v->over = true;
    struct node *children = v->children[depth];
    for (int k = 0; k < count && !n; k++) { /* plans of one stage first: whole plans at the price of a look */
        if (children[k].l > 0 || window_pass_over(v, children[k].lb, node_cost(v, &children[k]))) continue;
        v->path[0] = children[k].choice;
        leaf(v, &children[k]);
    }
    if (count > 1) qsort(children, (size_t)count, sizeof *children, by_bound);
    for (int k = 0; k < count && !v->over && !v->stopped; k++) {
        const struct node *c = &children[k];
        if (window_pass_over(v, c->lb, node_cost(v, c))) continue;
        if (c->l > 0 && memo_dominated(v, c)) continue;
        take_resources(v, depth, c->pattern); /* known to fit: sets the stacks */
        v->path[depth] = c->choice;
        descend(v, c);
    }
}

bool tree_search(struct workspace *v) {
    memo_reset(&v->memo);
    v->over = false;
    descend(v, NULL);
    return !v->over && !v->stopped;
}
