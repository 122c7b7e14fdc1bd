/* From patterns to plans. Which transfers occur between two mixed stages depends on how their replica
 * lists overlap: a staircase through the grid of their cells. For each zone order and staircases the
 * iteration time is fixed and the money is linear in the counts, so the cheapest counts are a small integer
 * program; if it has no solution, the combination does not exist. */
#include "search/counts.h"

#include <math.h>
#include <string.h>

#include "search/ilp.h"
#include "sim/terms.h"

struct staged {
    struct choice c;
    const struct pattern *p;
    int n, *cell, *ti; /* [n] in list order of the current zone order */
    int var;           /* first count variable, -1: one cell, count D */
    double comp, update, act, grad,
        sync;                 /* act to the next stage, grad to the one before; sync: forced ring steps */
    int n_step;               /* staircase with the stage before: 0 = any */
    unsigned char (*step)[2]; /* visited pairs (cell of the stage before, own cell) */
    int *count;               /* [n] when all counts are tried */
};

struct resolver {
    const struct unit *u;
    const struct space *s;
    const struct goal *goal;
    int P, n_var;
    int orders;
    bool few;                     /* so few counts that all are tried */
    double usd_per_s, egress_usd; /* at least */
    int (*pack)[TP_N]; /* [cell] replicas of each degree taken by the stages in front, when all are tried */
    unsigned tried;
    int *programs; /* left to solve; below 0: given up */
    struct staged *st;
    double update;
    offer_fn *offer;
    void *ctx;
    struct arena *scratch;
};

static double price(const struct resolver *r, int cell_a, int cell_b) {
    return r->s->egress[cell_a * r->s->n_cell + cell_b];
}

static double transfer(const struct resolver *r, int layer, const struct staged *a, int i,
                       const struct staged *b, int j) {
    return kind_transfer(r->s, r->u->mb, layer, a->cell[i], a->ti[i], b->cell[j], b->ti[j]);
}

static double stage_total(const struct resolver *r, int i) {
    const struct staged *x = &r->st[i];
    struct comm_share n = comm_share(r->s->p->estimator, i == 0, i == r->P - 1, r->P);
    return x->comp + n.act * x->act + n.grad * x->grad;
}

static double stage_turn(const struct resolver *r, int i) {
    if (i == 0) return 0;
    const struct staged *before = &r->st[i - 1];
    const struct mb_space *mb = r->u->mb;
    return turn_s(mb->w, r->s->p->estimator, before->act,
                  mb->arrival[before->p->cls * r->s->L + before->c.end - 1]);
}

static double time_without_sync(const struct resolver *r) {
    double X = 0, S = 0;
    for (int i = 0; i < r->P; i++) {
        double t = stage_total(r, i);
        X = fmax(X, t + stage_turn(r, i));
        S += t;
    }
    return iteration_time_s(r->u->M, X, S, r->update, 0);
}

static double forced_sync(const struct resolver *r) {
    double y = 0;
    for (int i = 0; i < r->P; i++) y = fmax(y, r->st[i].sync);
    return y;
}

/* Can the candidate no longer be useful, given the transfers known so far and the least cost of GPUs and
 * traffic? */
static bool hopeless(const struct resolver *r) {
    double T = time_without_sync(r) + forced_sync(r);
    return goal_excludes(r->goal, T, r->s->money ? T * r->usd_per_s + r->egress_usd : 0);
}

static double ring(const struct resolver *r, const struct staged *x, int a, int b) {
    return unit_ring(r->u, x->cell[a], x->cell[b], r->u->mb->cls[x->p->cls].min_ti, x->c.first, x->c.end);
}

/* Traffic of the hop between the stage that ends before `layer` and the next one, each way, per replica. */
static double hop_GB(const struct resolver *r, int layer) {
    return activation_bytes(r->s->p->w, layer - 1, r->u->mb->m) / 1e9 * r->u->M;
}

/* Traffic of each step of a stage's closed ring. */
static double ring_GB(const struct resolver *r, const struct staged *x) {
    return ring_usd(r->s->p->w, 1, r->s->params[x->c.end] - r->s->params[x->c.first], r->u->D);
}

/* ---- the integer program ------------------------------------------------------------ */

/* Every count is 1 + variable. Adds f * (count of cell k) to a linear form over variables plus a constant. */
static void add_count(const struct staged *x, int D, int k, double f, double *row, double *constant) {
    *constant += x->var < 0 ? f * D : f;
    if (x->var >= 0) row[x->var + k] += f;
}

static void add_prefix(const struct staged *x, int D, int last, double f, double *row, double *constant) {
    for (int k = 0; k <= last; k++) add_count(x, D, k, f, row, constant);
}

/* The sum of the counts up to the end of a staircase's cells: relations between the ends of neighbouring
 * runs. */
static void add_staircase(const struct resolver *r, struct ilp *p, const struct staged *a,
                          const struct staged *b) {
    for (int t = 0; t + 1 < b->n_step; t++) {
        int i = b->step[t][0], j = b->step[t][1], di = b->step[t + 1][0] - i, dj = b->step[t + 1][1] - j;
        double c = 0, *row = ilp_row(p, di && dj, 0), sign = dj && !di ? -1 : 1;
        add_prefix(a, r->u->D, i, sign, row, &c); /* di only: end of i before end of j; dj only: after */
        add_prefix(b, r->u->D, j, -sign, row, &c);
        p->b[p->m - 1] = (di && dj ? 0 : -1) - c;
    }
}

/* Money of one hop between stages a and b: overlap lengths times prices. */
static void add_hop(const struct resolver *r, const struct staged *a, const struct staged *b, double GB,
                    double *row, double *constant) {
    int D = r->u->D;
    if (a->var < 0 || b->var < 0) {
        for (int i = 0; i < a->n; i++)
            for (int j = 0; j < b->n; j++) {
                double usd = GB * (price(r, a->cell[i], b->cell[j]) + price(r, b->cell[j], a->cell[i]));
                if (usd > 0) add_count(a->var < 0 ? b : a, D, a->var < 0 ? j : i, usd, row, constant);
            }
        return;
    }
    if (!b->n_step) { /* left open because all prices are the same */
        *constant += D * GB * (price(r, a->cell[0], b->cell[0]) + price(r, b->cell[0], a->cell[0]));
        return;
    }
    for (int t = 0; t < b->n_step; t++) {
        int i = b->step[t][0], j = b->step[t][1];
        double usd = GB * (price(r, a->cell[i], b->cell[j]) + price(r, b->cell[j], a->cell[i]));
        if (!(usd > 0)) continue;
        if (t + 1 == b->n_step)
            *constant += usd * D;
        else if (b->step[t + 1][0] > i) /* run i ends here (together with run j, if both move on) */
            add_prefix(a, D, i, usd, row, constant);
        else
            add_prefix(b, D, j, usd, row, constant);
        if (t == 0) continue;
        if (b->step[t - 1][0] < i)
            add_prefix(a, D, i - 1, -usd, row, constant);
        else
            add_prefix(b, D, j - 1, -usd, row, constant);
    }
}

static void add_capacity(const struct resolver *r, struct ilp *p) {
    for (int c = 0; c < r->s->n_cell; c++) {
        for (int ti = TP_N - 1; ti >= 0; ti--) { /* degrees >= 2^ti fill whole slots of 2^ti (nodes_fit) */
            double used = 0, *row = NULL;
            bool any = false;
            for (int i = 0; i < r->P && !any; i++)
                for (int k = 0; k < r->st[i].n; k++) any |= r->st[i].cell[k] == c && r->st[i].ti[k] == ti;
            if (!any) continue; /* the row of the next larger degree in use implies this one */
            row = ilp_row(p, false, 0);
            for (int i = 0; i < r->P; i++)
                for (int k = 0; k < r->st[i].n; k++)
                    if (r->st[i].cell[k] == c && r->st[i].ti[k] >= ti)
                        add_count(&r->st[i], r->u->D, k, 1 << r->st[i].ti[k], row, &used);
            p->b[p->m - 1] = r->s->cell[c].nodes.room[ti] - used;
        }
    }
}

static void emit(const struct resolver *r, const long *x) {
    struct arena *a = r->scratch;
    const struct workload *w = r->u->mb->w;
    struct pipeline *pl = ARENA_NEW(a, struct pipeline);
    struct plan p = {.model = w->model->name,
                     .site = w->site->name,
                     .global_batch_size = w->global_batch_size,
                     .micro_batch_size = r->u->mb->m,
                     .options = w->options,
                     .n_pipeline = 1,
                     .pipeline = pl};
    pl->n_stage = r->P;
    pl->stage = ARENA_ARRAY(a, struct stage, r->P);
    for (int i = 0; i < r->P; i++) {
        const struct staged *s = &r->st[i];
        struct stage *st = &pl->stage[i];
        *st = (struct stage){s->c.first, s->c.end, s->n, ARENA_ARRAY(a, struct replicas, s->n)};
        for (int k = 0; k < s->n; k++)
            st->group[k] = (struct replicas){.gpu = r->s->cell[s->cell[k]].gpu,
                                             .zone = r->s->cell[s->cell[k]].zone,
                                             .tp = 1 << s->ti[k],
                                             .count = s->var < 0 ? r->u->D : 1 + (int)x[s->var + k]};
    }
    r->offer(r->ctx, &p);
}

/* Rows of the program below: capacities and, for each stage, its sum, its cells and its staircase. */
static int most_rows(const struct resolver *r) {
    int n = r->s->n_cell * TP_N;
    for (int i = 0; i < r->P; i++) n += 1 + 2 * r->st[i].n + (i > 0 ? r->st[i - 1].n : 0);
    return n;
}

/* Counts for a fixed zone order, fixed staircases and a largest all-reduce: true if there are any. */
static bool solve_counts_in(const struct resolver *r, double T, double y) {
    struct ilp *p = ilp_new(r->n_var, most_rows(r), r->scratch);
    double constant = 0;
    bool known_prices = true;
    for (int c = 0; c < r->s->n_cell; c++) known_prices &= !isnan(r->s->cell[c].usd_per_s);
    for (int i = 0; i < r->P; i++) {
        struct staged *s = &r->st[i];
        for (int k = 0; k < s->n; k++) {
            double usd = r->s->cell[s->cell[k]].usd_per_s * (1 << s->ti[k]);
            add_count(s, r->u->D, k, known_prices ? T * usd : 1 << s->ti[k], p->cost, &constant);
        }
        if (r->s->money && i > 0) {
            add_hop(r, &r->st[i - 1], s, hop_GB(r, s->c.first), p->cost, &constant);
        }
        if (r->s->money && r->u->D > 1) { /* closed ring: steps inside runs, and from run to run */
            double GB = ring_GB(r, s);
            for (int k = 0; k < s->n; k++) {
                double self = GB * price(r, s->cell[k], s->cell[k]);
                if (self > 0) add_count(s, r->u->D, k, self, p->cost, &constant), constant -= self;
                constant += GB * price(r, s->cell[k], s->cell[(k + 1) % s->n]);
            }
        }
        if (s->var < 0) continue;
        double c = 0, *row = ilp_row(p, true, 0);
        add_prefix(s, r->u->D, s->n - 1, 1, row, &c);
        p->b[p->m - 1] = r->u->D - c;
        for (int k = 0; k < s->n; k++) /* a run of one has no step inside */
            if (ring(r, s, k, k) > y) {
                row = ilp_row(p, false, 0);
                row[s->var + k] = 1;
            }
        if (i > 0 && r->st[i - 1].var >= 0) add_staircase(r, p, &r->st[i - 1], s);
    }
    for (int j = 0; j < r->n_var; j++)
        if (!(p->cost[j] < INFINITY)) return false;
    if (!(constant < INFINITY)) return false;
    add_capacity(r, p);
    long x[r->n_var + 1];
    double cost;
    bool found = ilp_solve(p, x, &cost, r->scratch);
    if (p->unsure) *r->programs = -1; /* leave the candidate open */
    if (!found) return false;
    if (!r->s->money || !goal_excludes(r->goal, T, cost + constant)) emit(r, x);
    return true;
}

static bool solve_counts(const struct resolver *r, double T, double y) {
    if (--*r->programs < 0) return false;
    struct arena_mark mark = arena_mark(r->scratch);
    bool found = solve_counts_in(r, T, y);
    arena_release(r->scratch, mark);
    return found;
}

/* All transfers are fixed: try the possible values of the largest all-reduce, least first. */
static void resolve_sync(const struct resolver *r) {
    double base = time_without_sync(r), y = forced_sync(r);
    for (;;) {
        double T = base + y, next = INFINITY;
        if (goal_excludes(r->goal, T, r->s->money ? T * r->usd_per_s + r->egress_usd : 0)) return;
        bool found = solve_counts(r, T, y);
        if ((found && !r->s->money) || *r->programs < 0) return;
        for (int i = 0; i < r->P; i++)
            for (int k = 0; k < r->st[i].n && r->st[i].var >= 0; k++) {
                double t = ring(r, &r->st[i], k, k);
                if (t > y && t < next) next = t;
            }
        if (!(next < INFINITY)) return;
        y = next;
    }
}

/* ---- staircases --------------------------------------------------------------------- */

static void resolve_pairs(struct resolver *r, int i);

static void walk_staircase(struct resolver *r, int i, int ka, int kb, double act, double grad) {
    if (*r->programs < 0) return;
    struct staged *a = &r->st[i - 1], *b = &r->st[i];
    act = fmax(act, transfer(r, a->c.end - 1, a, ka, b, kb));
    grad = fmax(grad, transfer(r, b->c.first, b, kb, a, ka));
    if (!(act < INFINITY) || !(grad < INFINITY)) return;
    double keep_act = a->act, keep_grad = b->grad;
    a->act = act;
    b->grad = grad;
    if (!hopeless(r)) {
        int at = b->n_step++;
        b->step[at][0] = (unsigned char)ka;
        b->step[at][1] = (unsigned char)kb;
        if (ka == a->n - 1 && kb == b->n - 1) {
            resolve_pairs(r, i + 1);
        } else {
            if (ka < a->n - 1 && kb < b->n - 1) walk_staircase(r, i, ka + 1, kb + 1, act, grad);
            if (ka < a->n - 1) walk_staircase(r, i, ka + 1, kb, act, grad);
            if (kb < b->n - 1) walk_staircase(r, i, ka, kb + 1, act, grad);
        }
        b->n_step = at;
    }
    a->act = keep_act;
    b->grad = keep_grad;
}

/* Fix how stage i meets stage i - 1. */
static void resolve_pairs(struct resolver *r, int i) {
    if (i == r->P) {
        resolve_sync(r);
        return;
    }
    struct staged *a = &r->st[i - 1], *b = &r->st[i];
    double act = 0, grad = 0;
    bool same_price = true;
    for (int x = 0; x < a->n; x++)
        for (int y = 0; y < b->n; y++) {
            double f = transfer(r, a->c.end - 1, a, x, b, y), g = transfer(r, b->c.first, b, y, a, x);
            act = fmax(act, f);
            grad = fmax(grad, g);
            same_price &= price(r, a->cell[x], b->cell[y]) == price(r, a->cell[0], b->cell[0]) &&
                          price(r, b->cell[y], a->cell[x]) == price(r, b->cell[0], a->cell[0]);
        }
    b->n_step = 0;
    bool open = a->var >= 0 && b->var >= 0, priced = r->s->money && !same_price;
    if (open && (priced || a->act < act || b->grad < grad)) {
        walk_staircase(r, i, 0, 0, a->act, b->grad);
        return;
    }
    if (!(act < INFINITY) || !(grad < INFINITY)) return;
    double keep_act = a->act, keep_grad = b->grad;
    a->act = act;
    b->grad = grad;
    if (!hopeless(r)) resolve_pairs(r, i + 1);
    a->act = keep_act;
    b->grad = keep_grad;
}

/* ---- few counts: all of them -------------------------------------------------------- */

enum { FEW_MAX = 100000, FEW_PER_STAIRCASE = 100, FEW_PER_PROGRAM = 128 };

/* Ways to share D replicas among n cells, at least one in each. */
static double shares(int D, int n) {
    double x = 1;
    for (int k = 1; k < n; k++) x = x * (D - k) / k;
    return x;
}

/* Staircases through a grid of a x b cells (Delannoy numbers). */
static double staircases(int a, int b) {
    double row[b];
    for (int j = 0; j < b; j++) row[j] = 1;
    for (int i = 1; i < a; i++)
        for (double j = 1, corner = 1; j < b; j++) {
            double above = row[(int)j];
            row[(int)j] += row[(int)j - 1] + corner;
            corner = above;
        }
    return row[b - 1];
}

/* An integer program costs as much as trying some hundred counts. */
static bool counts_are_few(const struct resolver *r) {
    double all = 1, programs = 1;
    for (int i = 0; i < r->P; i++) {
        int n = r->st[i].p->n;
        all *= shares(r->u->D, n);
        if (i > 0 && n > 1 && r->st[i - 1].p->n > 1) programs *= staircases(r->st[i - 1].p->n, n);
    }
    return all <= FEW_MAX && all <= FEW_PER_STAIRCASE * programs;
}

/* Transfers and traffic between stage i and the one before it, both with their counts. False: no such
 * link. */
static bool meet(struct resolver *r, int i, double *egress) {
    struct staged *a = &r->st[i - 1], *b = &r->st[i];
    double GB = hop_GB(r, b->c.first);
    for (int ka = 0, kb = 0, left_a = a->count[0], left_b = b->count[0]; ka < a->n && kb < b->n;) {
        int n = left_a < left_b ? left_a : left_b;
        a->act = fmax(a->act, transfer(r, a->c.end - 1, a, ka, b, kb));
        b->grad = fmax(b->grad, transfer(r, b->c.first, b, kb, a, ka));
        if (r->s->money)
            *egress += n * GB * (price(r, a->cell[ka], b->cell[kb]) + price(r, b->cell[kb], a->cell[ka]));
        if (!(left_a -= n) && ++ka < a->n) left_a = a->count[ka];
        if (!(left_b -= n) && ++kb < b->n) left_b = b->count[kb];
    }
    return a->act < INFINITY && b->grad < INFINITY;
}

/* The all-reduce of stage i with its counts: time beyond what the order forces, and traffic. */
static void close_ring(struct resolver *r, int i, double *egress) {
    struct staged *x = &r->st[i];
    int D = r->u->D;
    if (D == 1) return;
    double GB = ring_GB(r, x);
    for (int k = 0; k < x->n; k++) {
        if (x->count[k] > 1) x->sync = fmax(x->sync, ring(r, x, k, k));
        if (r->s->money)
            *egress += GB * ((x->count[k] - 1) * price(r, x->cell[k], x->cell[k]) +
                             price(r, x->cell[k], x->cell[(k + 1) % x->n]));
    }
}

static void try_stage(struct resolver *r, int i, double egress);

/* Counts of stage i from cell k on, `left` replicas to place. */
static void try_counts(struct resolver *r, int i, int k, int left, double egress) {
    struct staged *x = &r->st[i];
    if (*r->programs < 0) return;
    if (k < x->n) {
        const struct cell *c = &r->s->cell[x->cell[k]];
        int *taken = &r->pack[x->cell[k]][x->ti[k]], first = k == x->n - 1 ? left : 1, before = *taken;
        for (int n = first; n <= left - (x->n - 1 - k); n++) {
            x->count[k] = n;
            *taken = before + n;
            if (!nodes_fit(&c->nodes, r->pack[x->cell[k]])) break;
            try_counts(r, i, k + 1, left - n, egress);
        }
        *taken = before;
        return;
    }
    if (++r->tried % FEW_PER_PROGRAM == 0) --*r->programs;
    double sync = x->sync, grad = x->grad, act = i > 0 ? r->st[i - 1].act : 0;
    bool linked = i == 0 || meet(r, i, &egress);
    close_ring(r, i, &egress);
    if (linked && x->sync < INFINITY && !hopeless(r)) try_stage(r, i + 1, egress);
    x->sync = sync;
    x->grad = grad;
    if (i > 0) r->st[i - 1].act = act;
}

/* All counts of the stages from i on; `egress`: USD of the stages in front. */
static void try_stage(struct resolver *r, int i, double egress) {
    if (i < r->P) {
        try_counts(r, i, 0, r->u->D, egress);
        return;
    }
    double T = time_without_sync(r) + forced_sync(r), usd_per_s = 0;
    long x[r->n_var + 1];
    for (int k = 0; k < r->P; k++)
        for (int j = 0; j < r->st[k].n; j++) {
            usd_per_s += r->s->cell[r->st[k].cell[j]].usd_per_s * (1 << r->st[k].ti[j]) * r->st[k].count[j];
            if (r->st[k].var >= 0) x[r->st[k].var + j] = r->st[k].count[j] - 1;
        }
    if (goal_excludes(r->goal, T, r->s->money ? T * usd_per_s + egress : 0)) return;
    struct arena_mark mark = arena_mark(r->scratch);
    emit(r, x);
    arena_release(r->scratch, mark);
}

/* ---- zone orders -------------------------------------------------------------------- */

static void resolve_order(struct resolver *r, const int *rank) {
    for (int i = 0; i < r->P; i++) {
        struct staged *x = &r->st[i];
        x->n = 0;
        /* stable insertion by the zone's rank; GPU order stays inside a zone */
        for (int k = 0; k < x->p->n; k++) {
            int at = x->n++, mine = rank[r->s->cell[x->p->cell[k]].zone];
            for (; at > 0 && rank[r->s->cell[x->cell[at - 1]].zone] > mine; at--) {
                x->cell[at] = x->cell[at - 1];
                x->ti[at] = x->ti[at - 1];
            }
            x->cell[at] = x->p->cell[k];
            x->ti[at] = x->p->ti[k];
        }
        x->sync = 0;
        x->act = x->grad = 0;
        if (r->u->D == 1) continue;
        for (int k = 0; k + 1 < x->n; k++) x->sync = fmax(x->sync, ring(r, x, k, k + 1));
        if (x->n == 1) x->sync = ring(r, x, 0, 0);
        if (!(x->sync < INFINITY)) return;
    }
    for (int i = 1; i < r->P; i++) { /* first meets first and last meets last in any case */
        struct staged *a = &r->st[i - 1], *b = &r->st[i];
        a->act =
            fmax(transfer(r, a->c.end - 1, a, 0, b, 0), transfer(r, a->c.end - 1, a, a->n - 1, b, b->n - 1));
        b->grad =
            fmax(transfer(r, b->c.first, b, 0, a, 0), transfer(r, b->c.first, b, b->n - 1, a, a->n - 1));
        if (!(a->act < INFINITY) || !(b->grad < INFINITY)) return;
    }
    if (hopeless(r)) return;
    if (r->few)
        try_stage(r, 0, 0);
    else
        resolve_pairs(r, 1);
}

static void permute(struct resolver *r, int *zone, int n, int at, int *rank) {
    if (at == n) {
        for (int k = 0; k < n; k++) rank[zone[k]] = k;
        if (++r->orders % 32 == 0) --*r->programs; /* orders are cheap, but there may be many */
        resolve_order(r, rank);
        return;
    }
    for (int k = at; k < n && *r->programs >= 0; k++) {
        int t = zone[at];
        zone[at] = zone[k];
        zone[k] = t;
        permute(r, zone, n, at + 1, rank);
        zone[k] = zone[at];
        zone[at] = t;
    }
}

/* Is there room at all, whatever the order and the pairing? If so, what is the least rate? */
static bool has_room(struct resolver *r) {
    struct arena_mark mark = arena_mark(r->scratch);
    double usd_per_s = 0;
    struct ilp *p = ilp_new(r->n_var, r->s->n_cell * TP_N + r->P, r->scratch);
    for (int i = 0; i < r->P; i++) {
        struct staged *x = &r->st[i];
        x->n = x->p->n;
        for (int k = 0; k < x->n; k++) {
            x->cell[k] = x->p->cell[k];
            x->ti[k] = x->p->ti[k];
            if (r->s->money)
                add_count(x, r->u->D, k, r->s->cell[x->cell[k]].usd_per_s * (1 << x->ti[k]), p->cost,
                          &usd_per_s);
        }
        if (x->var < 0) continue;
        double c = 0, *row = ilp_row(p, true, 0);
        add_prefix(x, r->u->D, x->n - 1, 1, row, &c);
        p->b[p->m - 1] = r->u->D - c;
    }
    add_capacity(r, p);
    long x[r->n_var + 1];
    double cost;
    bool room = ilp_solve(p, x, &cost, r->scratch);
    if (room) r->usd_per_s = usd_per_s + cost;
    room |= p->unsure;
    arena_release(r->scratch, mark);
    return room;
}

/* Sets up the stages of a candidate; returns the zones of those that lie in several. */
static unsigned begin_stages(struct resolver *r, const struct choice *stage) {
    const struct unit *u = r->u;
    unsigned zones = 0;
    r->st = ARENA_ARRAY(r->scratch, struct staged, r->P);
    for (int i = 0; i < r->P; i++) {
        struct staged *x = &r->st[i];
        x->c = stage[i];
        x->p = &u->mb->pattern[stage[i].pattern];
        x->cell = ARENA_ARRAY(r->scratch, int, 3 * x->p->n);
        x->ti = x->cell + x->p->n;
        x->count = x->ti + x->p->n;
        if (i > 0) x->step = arena_alloc(r->scratch, sizeof *x->step * (size_t)(x->p->n + r->st[i - 1].p->n));
        x->comp = u->mb->comp[cfe(u->s, x->p->cls, x->c.first, x->c.end)];
        double update = u->mb->update[cfe(u->s, x->p->cls, x->c.first, x->c.end)];
        r->update = fmax(r->update, update_share_s(u->mb->w, update, u->D));
        x->var = x->p->n > 1 ? r->n_var : -1;
        unsigned mine = 0;
        for (int k = 0; k < x->p->n; k++) mine |= 1u << u->s->cell[x->p->cell[k]].zone;
        if (x->p->n > 1) r->n_var += x->p->n;
        if (mine & (mine - 1)) zones |= mine;
    }
    return zones;
}

bool counts_have_room(const struct unit *u, const struct choice *stage, int P, struct arena *scratch) {
    struct resolver r = {.u = u, .s = u->s, .P = P, .scratch = scratch};
    struct arena_mark mark = arena_mark(scratch);
    begin_stages(&r, stage);
    bool room = has_room(&r);
    arena_release(scratch, mark);
    return room;
}

bool counts_resolve(const struct unit *u, const struct goal *goal, const struct choice *stage, int P,
                    double egress_usd, int *programs, offer_fn *offer, void *ctx, struct arena *scratch) {
    struct resolver r = {.u = u, .s = u->s, .goal = goal, .P = P, .egress_usd = egress_usd};
    r.programs = programs;
    r.offer = offer;
    r.ctx = ctx;
    r.scratch = scratch;
    struct arena_mark mark = arena_mark(scratch);
    unsigned zones = begin_stages(&r, stage);
    int zone[ZONES_MAX], rank[ZONES_MAX] = {0}, n = 0;
    for (int z = 0; z < ZONES_MAX; z++)
        if (zones >> z & 1) zone[n++] = z;
    --*programs;
    r.few = counts_are_few(&r);
    r.pack = arena_alloc(scratch, sizeof *r.pack * (size_t)u->s->n_cell);
    if (has_room(&r)) permute(&r, zone, n, 0, rank);
    arena_release(scratch, mark);
    return *programs >= 0;
}
