#include "search/draft.h"
#include "sim/terms.h"

#include <string.h>

/* ---- the pool ----------------------------------------------------------------------- */

static void list_lots(struct climb *c) {
    const struct site *s = c->w->site;
    memset(c->lot_at, -1, sizeof c->lot_at);
    for (int z = 0; z < s->n_zone; z++)
        for (int g = 0; g < s->n_gpu; g++) {
            int n = c->p->pool[site_at(s, z, g)];
            double usd = s->usd_per_gpu_hour[site_at(s, z, g)] / 3600;
            if (n <= 0 || !c->w->profile[g] || (isnan(usd) && problem_has_money(c->p))) continue;
            if (c->p->pin->zones && !(c->p->pin->zones >> z & 1)) continue;
            c->lot_at[z][g] = (short)c->n_lot;
            c->lot[c->n_lot++] = (struct lot){.zone = z,
                                              .gpu = g,
                                              .gpus = n,
                                              .nodes = c->p->nodes ? c->p->nodes[site_at(s, z, g)]
                                                                   : nodes_of(n, s->gpu[g].gpus_per_node),
                                              .usd_per_s = isnan(usd) ? INFINITY : usd};
        }
}

void climb_begin(struct climb *c, const struct search_problem *p, const struct stopper *stop,
                 struct arena *a) {
    enum { KEEP = 8 };
    *c = (struct climb){.p = p,
                        .w = p->w,
                        .stop = stop,
                        .L = p->w->model->n_layer,
                        .weight = p->objective == OBJECTIVE_COST ? 0 : 1,
                        .keep = p->top_k > KEEP ? p->top_k : KEEP,
                        .lead_score = {INFINITY, INFINITY},
                        .bar = INFINITY,
                        .a = a};
    list_lots(c);
    c->lead = draft_new(c);
}

bool climb_over(struct climb *c) {
    enum { POLL = 64 };
    if (c->work >= c->work_max) return true;
    if (!c->stopped && c->work >= c->poll_at) {
        c->poll_at = c->work + POLL;
        c->stopped = stop_wanted(c->stop);
    }
    return c->stopped;
}

bool climb_kind(const struct climb *c, int gpu, int ti, int m) {
    if ((1 << ti) > c->w->site->gpu[gpu].gpus_per_node || !c->w->model->params[ti]) return false;
    if (c->p->pin->tp[gpu] && c->p->pin->tp[gpu] != 1 << ti) return false;
    return profile_times(c->w->profile[gpu], m, 1 << ti) != NULL;
}

/* ---- drafts ------------------------------------------------------------------------- */

struct draft draft_new(struct climb *c) {
    struct draft d = {.plan = {.model = c->w->model->name,
                               .site = c->w->site->name,
                               .global_batch_size = c->w->global_batch_size,
                               .options = c->w->options,
                               .n_pipeline = 1}};
    struct replicas *room = ARENA_ARRAY(c->a, struct replicas, (size_t)c->L * PARTS_MAX);
    d.pipe.stage = ARENA_ARRAY(c->a, struct stage, c->L);
    for (int i = 0; i < c->L; i++) d.pipe.stage[i].group = room + (size_t)i * PARTS_MAX;
    for (int z = 0; z < ZONES_MAX; z++) d.rank[z] = z;
    return d;
}

static void stage_copy(struct stage *to, const struct stage *from) {
    to->first = from->first;
    to->end = from->end;
    to->n_group = from->n_group;
    memcpy(to->group, from->group, sizeof *to->group * (size_t)from->n_group);
}

void draft_copy(struct draft *to, const struct draft *from) {
    to->plan.micro_batch_size = from->plan.micro_batch_size;
    to->D = from->D;
    memcpy(to->rank, from->rank, sizeof to->rank);
    to->pipe.n_stage = from->pipe.n_stage;
    for (int i = 0; i < from->pipe.n_stage; i++) stage_copy(&to->pipe.stage[i], &from->pipe.stage[i]);
}

bool draft_add(struct draft *d, int i, int zone, int gpu, int tp, int count) {
    struct stage *st = &d->pipe.stage[i];
    int at = 0;
    for (int k = 0; k < st->n_group; k++) {
        const struct replicas *r = &st->group[k];
        if (r->gpu == gpu && r->tp != tp) return false;
        if (d->rank[r->zone] < d->rank[zone] || (r->zone == zone && r->gpu < gpu)) at = k + 1;
    }
    if (at < st->n_group && st->group[at].zone == zone && st->group[at].gpu == gpu) {
        st->group[at].count += count;
        return true;
    }
    if (st->n_group == PARTS_MAX) return false;
    memmove(st->group + at + 1, st->group + at, sizeof *st->group * (size_t)(st->n_group - at));
    st->group[at] = (struct replicas){.gpu = gpu, .zone = zone, .tp = tp, .count = count};
    st->n_group++;
    return true;
}

/* The order of zones that all lists of a plan follow: the first that the stages' orders allow. False: they
 * contradict each other. */
static bool zone_ranks(const struct plan *p, int n_zone, int *rank) {
    unsigned before[ZONES_MAX] = {0}, done = 0;
    for (int i = 0; i < p->pipeline[0].n_stage; i++) {
        const struct stage *st = &p->pipeline[0].stage[i];
        for (int a = 0; a < st->n_group; a++)
            for (int b = a + 1; b < st->n_group; b++)
                if (st->group[a].zone != st->group[b].zone)
                    before[st->group[b].zone] |= 1u << st->group[a].zone;
    }
    for (int n = 0; n < n_zone; n++) {
        int z = 0;
        while (z < n_zone && (done >> z & 1 || before[z] & ~done)) z++;
        if (z == n_zone) return false;
        rank[z] = n;
        done |= 1u << z;
    }
    return true;
}

bool draft_of_plan(struct climb *c, struct draft *d, const struct plan *p) {
    if (p->n_pipeline != 1 || p->pipeline[0].n_stage > c->L || !zone_ranks(p, c->w->site->n_zone, d->rank))
        return false;
    d->plan.micro_batch_size = p->micro_batch_size;
    d->pipe.n_stage = p->pipeline[0].n_stage;
    d->D = stage_replicas(&p->pipeline[0].stage[0]);
    for (int i = 0; i < d->pipe.n_stage; i++) {
        const struct stage *from = &p->pipeline[0].stage[i];
        struct stage *to = &d->pipe.stage[i];
        to->first = from->first;
        to->end = from->end;
        to->n_group = 0;
        if (stage_replicas(from) != d->D) return false;
        for (int k = 0; k < from->n_group; k++) {
            const struct replicas *r = &from->group[k];
            if (!draft_add(d, i, r->zone, r->gpu, r->tp, r->count)) return false;
        }
    }
    return true;
}

int draft_room(const struct climb *c, const struct draft *d, int lot, int ti) {
    const struct lot *l = &c->lot[lot];
    int used[TP_N] = {0}, least = l->nodes.room[0], above = 0; /* GPUs of degrees from 2^t on */
    for (int i = 0; i < d->pipe.n_stage; i++)
        for (int k = 0; k < d->pipe.stage[i].n_group; k++) {
            const struct replicas *r = &d->pipe.stage[i].group[k];
            if (r->zone == l->zone && r->gpu == l->gpu) used[tp_index(r->tp)] += r->count;
        }
    for (int t = TP_N - 1; t >= 0; t--) {
        above += used[t] << t;
        if (t > ti) continue;
        int free = (l->nodes.room[t] - above) >> ti;
        least = free < least ? free : least;
    }
    return least < 0 ? 0 : least;
}

/* ---- judging ------------------------------------------------------------------------ */

static bool fits_pool(const struct climb *c, const struct draft *d) {
    int used[CELLS_ALL][TP_N];
    memset(used, 0, sizeof *used * (size_t)c->n_lot);
    for (int i = 0; i < d->pipe.n_stage; i++)
        for (int k = 0; k < d->pipe.stage[i].n_group; k++) {
            const struct replicas *r = &d->pipe.stage[i].group[k];
            int lot = c->lot_at[r->zone][r->gpu];
            if (lot < 0) return false;
            used[lot][tp_index(r->tp)] += r->count;
        }
    for (int k = 0; k < c->n_lot; k++)
        if (!nodes_fit(&c->lot[k].nodes, used[k])) return false;
    return true;
}

static bool allowed(const struct climb *c, const struct draft *d) {
    const struct pin *pin = c->p->pin;
    int m = d->plan.micro_batch_size;
    if (pin->micro_batch_size && pin->micro_batch_size != m) return false;
    if (pin->stages && pin->stages != d->pipe.n_stage) return false;
    if (pin->data_parallel && pin->data_parallel != d->D) return false;
    if (c->p->exact_batch && c->w->global_batch_size % ((long)m * d->D)) return false;
    struct plan plan = d->plan;
    struct pipeline pipe = d->pipe;
    int stage;
    plan.pipeline = &pipe;
    if (plan_breaks(&plan, c->w->model, runner_search_rules(pin->runnable_by, c->w->model), &stage))
        return false;
    for (int i = 0; i < d->pipe.n_stage; i++) {
        const struct stage *st = &d->pipe.stage[i];
        if (st->end <= st->first) return false;
        for (int k = 0; k < st->n_group; k++)
            if (!climb_kind(c, st->group[k].gpu, tp_index(st->group[k].tp), m)) return false;
    }
    return fits_pool(c, d);
}

static bool can_send(const struct climb *c, const struct stage *a, const struct stage *b, double bytes) {
    const struct site *s = c->w->site;
    for (int i = 0, j = 0, left_a = a->group[0].count, left_b = b->group[0].count;
         i < a->n_group && j < b->n_group;) {
        const struct replicas *x = &a->group[i], *y = &b->group[j];
        const struct link *l = site_link(s, x->zone, x->gpu, x->tp, y->zone, y->gpu, y->tp);
        if (!l || !link_usable(l, bytes, c->p->estimator)) return false;
        int n = left_a < left_b ? left_a : left_b;
        if (!(left_a -= n) && ++i < a->n_group) left_a = a->group[i].count;
        if (!(left_b -= n) && ++j < b->n_group) left_b = b->group[j].count;
    }
    return true;
}

static bool can_reduce(const struct climb *c, const struct stage *st, int D) {
    const struct site *s = c->w->site;
    double params = 0;
    int ti = RING_TI_N - 1;
    for (int l = st->first; l < st->end; l++) params += c->w->model->params[0][l];
    for (int k = 0; k < st->n_group; k++)
        ti = tp_index(st->group[k].tp) < ti ? tp_index(st->group[k].tp) : ti;
    struct allreduce messages = allreduce_of(ring_bytes(c->w, params, ti), D, c->p->estimator);
    for (int k = 0; k < st->n_group; k++)
        for (int next = k + (st->group[k].count == 1); next <= k + 1 && next < st->n_group; next++) {
            const struct replicas *x = &st->group[k], *y = &st->group[next];
            const struct link *l = site_link(s, x->zone, x->gpu, 1, y->zone, y->gpu, 1);
            if (!l || !allreduce_usable(l, &messages)) return false;
        }
    return true;
}

/* Is every link used at a size where its bandwidth is positive? Others are outside of the declared space. */
static bool links_usable(const struct climb *c, const struct draft *d) {
    int m = d->plan.micro_batch_size;
    for (int i = 0; i < d->pipe.n_stage; i++) {
        const struct stage *st = &d->pipe.stage[i], *next = st + 1;
        if (d->D > 1 && !can_reduce(c, st, d->D)) return false;
        if (i + 1 == d->pipe.n_stage) break;
        if (!can_send(c, st, next, activation_bytes(c->w, st->end - 1, m)) ||
            !can_send(c, next, st, activation_bytes(c->w, next->first, m)))
            return false;
    }
    return true;
}

static struct score score_of(const struct climb *c, double time_s, double usd) {
    const struct search_problem *p = c->p;
    struct score s = {time_s, usd};
    if (c->weight == 0) s = (struct score){usd, time_s};
    if (c->weight > 0 && c->weight < 1 && usd > 0) s.main = pow(time_s, c->weight) * pow(usd, 1 - c->weight);
    double over = fmax(1, time_s * p->min_iterations_per_s);
    if (p->max_usd_per_iteration < INFINITY)
        over = fmax(over, p->max_usd_per_iteration > 0 ? usd / p->max_usd_per_iteration : 1 + usd);
    if (over > 1) s.main = (s.main + time_s) * pow(over, 4) * 1e6; /* no plan yet: towards the limits first */
    return s;
}

/* Of the points that are not slower the last is the cheapest. */
bool climb_covered(const struct climb *c, double time_s, double usd) {
    int lo = 0, hi = c->n_kept;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (c->kept[mid].est.iteration_time_s <= time_s)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo > 0 && c->kept[lo - 1].est.cost_usd <= usd;
}

static int kept_order(const struct climb *c, const struct found_plan *a, const struct found_plan *b) {
    double x[2] = {a->est.iteration_time_s, a->est.cost_usd},
           y[2] = {b->est.iteration_time_s, b->est.cost_usd};
    int first = c->p->objective == OBJECTIVE_COST;
    for (int k = 0; k < 2; k++) {
        double u = x[k ? !first : first], v = y[k ? !first : first];
        if (u != v && !(isnan(u) && isnan(v))) return u < v || isnan(v) ? -1 : 1;
    }
    return plan_compare(a->plan, b->plan);
}

static bool wanted(const struct climb *c, const struct found_plan *f) {
    const struct search_problem *p = c->p;
    double t = f->est.iteration_time_s, usd = f->est.cost_usd;
    if (!(t > 0) || 1 / t < p->min_iterations_per_s) return false;
    if (p->max_usd_per_iteration < INFINITY && !(usd <= p->max_usd_per_iteration)) return false;
    if (p->objective != OBJECTIVE_FRONTIER)
        return c->n_kept < c->keep || kept_order(c, f, &c->kept[c->n_kept - 1]) < 0;
    for (int i = 0; i < c->n_kept; i++)
        if (c->kept[i].est.iteration_time_s <= t && c->kept[i].est.cost_usd <= usd) return false;
    return true;
}

static bool stands_for(const struct climb *c, const struct found_plan *f, const struct found_plan *other) {
    if (c->p->objective == OBJECTIVE_FRONTIER)
        return f->est.iteration_time_s <= other->est.iteration_time_s &&
               f->est.cost_usd <= other->est.cost_usd;
    return f->plan->micro_batch_size == other->plan->micro_batch_size &&
           stage_replicas(&f->plan->pipeline[0].stage[0]) ==
               stage_replicas(&other->plan->pipeline[0].stage[0]);
}

static void keep(struct climb *c, struct found_plan f) {
    enum { POINTS_MAX = 2000 };
    int n = 0, at, most = c->p->objective == OBJECTIVE_FRONTIER ? POINTS_MAX : c->keep;
    for (int i = 0; i < c->n_kept && c->p->objective != OBJECTIVE_FRONTIER; i++)
        if (stands_for(c, &f, &c->kept[i]) && kept_order(c, &c->kept[i], &f) <= 0) return;
    for (int i = 0; i < c->n_kept; i++)
        if (!stands_for(c, &f, &c->kept[i])) c->kept[n++] = c->kept[i];
    if (n == most && (n == POINTS_MAX || kept_order(c, &f, &c->kept[n - 1]) > 0)) {
        c->n_kept = n;
        return;
    }
    if (!c->kept) c->kept = ARENA_ARRAY(c->a, struct found_plan, most + 1);
    f.plan = plan_copy(f.plan, c->a);
    for (at = n; at > 0 && kept_order(c, &f, &c->kept[at - 1]) < 0; at--) c->kept[at] = c->kept[at - 1];
    c->kept[at] = f;
    c->n_kept = n + 1 > most ? most : n + 1;
}

bool climb_judge(struct climb *c, const struct draft *d, struct score *out) {
    struct err none;
    struct found_plan f = {.planner_time_s = NAN, .planner_cost_usd = NAN};
    struct plan plan = d->plan;
    struct pipeline pipe = d->pipe;
    c->work++;
    plan.pipeline = &pipe;
    if (!allowed(c, d) || estimate_plan(c->w, &plan, c->p->estimator, &f.est, &none) || !f.est.fits)
        return false;
    double t = f.est.iteration_time_s, usd = isnan(f.est.cost_usd) ? INFINITY : f.est.cost_usd;
    if (!(t >= 0) || !(t < INFINITY) || (problem_has_money(c->p) && !(usd < INFINITY))) return false;
    *out = score_of(c, t, usd);
    f.plan = &plan;
    bool good = wanted(c, &f), leads = score_better(*out, c->lead_score);
    if (!good && !leads) return true;
    if (!links_usable(c, d)) return false;
    if (good) keep(c, f);
    c->bar = fmin(c->bar, out->main);
    if (leads) {
        draft_copy(&c->lead, d);
        c->lead_score = *out;
    }
    return true;
}
