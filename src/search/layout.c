/* A merged plan says which types a stage has in which regions; here its zones are chosen, from the last stage
 * to the first. Stages not chosen yet count as in the merged plan. */
#include "search/layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/terms.h"

struct option {
    int pattern;
    double lb; /* of the time with it */
};

struct laying {
    struct layout *x;
    const struct unit *real;
    const struct space *s; /* of the pool itself */
    int P;
    struct choice real_stage[LAYERS_MAX];
    double act[LAYERS_MAX], grad[LAYERS_MAX]; /* of each stage: to the next, to the one before */
    double sync[LAYERS_MAX + 1];              /* [stage] of it and the later ones */
    int *need;                                /* [stages chosen][set] */
    int *pack;                                /* [stages chosen][cell][TP_N] */
};

static double time_lb(const struct laying *v, double sync) {
    double X = 0, S = 0;
    for (int i = 0; i < v->P; i++) {
        const struct choice *c = &v->x->stage[i];
        const struct mb_space *mb = v->x->u->mb;
        double comp = mb->comp[cfe(v->s, mb->pattern[c->pattern].cls, c->first, c->end)];
        double t =
            comp + stage_comm_s(v->s->p->estimator, i == 0, i == v->P - 1, v->P, v->act[i], v->grad[i]);
        double turn = 0;
        if (i > 0) {
            const struct choice *before = c - 1;
            int cls = mb->pattern[before->pattern].cls;
            turn = turn_s(mb->w, v->s->p->estimator, v->act[i - 1],
                          mb->arrival[cls * v->s->L + before->end - 1]);
        }
        X = fmax(X, t + turn);
        S += t;
    }
    return iteration_time_s(v->x->u->M, X, S, v->x->update_s, sync);
}

/* Are the pattern's cells all within the merged one's, with at least one in each? */
static bool is_image(const struct laying *v, const struct pattern *real, const struct pattern *merged) {
    bool hit[CELLS_MAX];
    int missing = merged->n;
    for (int k = 0; k < merged->n; k++) hit[k] = false;
    for (int i = 0; i < real->n; i++) {
        int at = -1;
        for (int k = 0; k < merged->n && at < 0; k++)
            if (merged->cell[k] == v->x->u->s->image[real->cell[i]]) at = k;
        if (at < 0) return false;
        missing -= !hit[at];
        hit[at] = true;
    }
    return missing == 0;
}

/* Puts stage i on this pattern: its all-reduce, and the transfers between it and the next stage. */
static bool put_stage(struct laying *v, int i, int pattern) {
    const struct choice *c = &v->x->stage[i];
    const struct mb_space *mb = v->real->mb;
    v->real_stage[i] = (struct choice){c->first, c->end, pattern};
    v->sync[i] = fmax(v->sync[i + 1], unit_sync(v->real, pattern, c->first, c->end).lo);
    if (i + 1 < v->P) {
        int next = v->real_stage[i + 1].pattern;
        v->act[i] = space_transfer(v->s, mb, c->end - 1, pattern, next).lo;
        v->grad[i + 1] = space_transfer(v->s, mb, c->end, next, pattern).lo;
        if (!(v->act[i] < INFINITY) || !(v->grad[i + 1] < INFINITY)) return false;
    }
    return v->sync[i] < INFINITY;
}

static int by_bound(const void *a, const void *b) {
    const struct option *x = a, *y = b;
    if (x->lb != y->lb) return x->lb < y->lb ? -1 : 1;
    return x->pattern - y->pattern;
}

/* Stages i, i - 1, ... 0. */
static bool lay(struct laying *v, int i) {
    struct layout *x = v->x;
    if (i < 0) {
        x->laid(x->ctx, v->real_stage, time_lb(v, v->sync[0]));
        return true;
    }
    const struct mb_space *mb = v->real->mb;
    const struct pattern *merged = &x->u->mb->pattern[x->stage[i].pattern];
    const struct stage_class *cl = &mb->cls[merged->cls];
    struct arena_mark mark = arena_mark(x->scratch);
    struct option *option = ARENA_ARRAY(x->scratch, struct option, cl->end_pattern - cl->first_pattern + 1);
    double act = i + 1 < v->P ? v->act[i] : 0, grad = i + 1 < v->P ? v->grad[i + 1] : 0;
    int n = 0, chosen = v->P - 1 - i;
    bool whole = true;
    for (int p = cl->first_pattern; p < cl->end_pattern; p++) {
        const struct pattern *q = &mb->pattern[p];
        if (q->n > v->real->D || q->room < v->real->D || !is_image(v, q, merged)) continue;
        if (x->left) x->left--;
        if (!unit_take(v->real, chosen, p, v->need, v->pack) || !put_stage(v, i, p)) continue;
        double lb = time_lb(v, v->sync[i]);
        if (!x->useless(x->ctx, lb)) option[n++] = (struct option){p, lb};
    }
    if (n > 1) qsort(option, (size_t)n, sizeof *option, by_bound);
    for (int k = 0; k < n && whole; k++) {
        if (x->useless(x->ctx, option[k].lb)) continue; /* by now */
        unit_take(v->real, chosen, option[k].pattern, v->need, v->pack);
        put_stage(v, i, option[k].pattern);
        whole = x->left > 0 && !stop_wanted(v->s->stop) && lay(v, i - 1);
    }
    if (i + 1 < v->P) {
        v->act[i] = act;
        v->grad[i + 1] = grad;
    }
    arena_release(x->scratch, mark);
    return whole;
}

bool layout_all(struct layout *x) {
    struct laying v = {.x = x, .real = x->u->real, .s = x->u->real->s, .P = x->n};
    const struct mb_space *mb = x->u->mb;
    for (int i = 0; i < x->n; i++) { /* if some patterns on many cells were not built */
        const struct pattern *p = &mb->pattern[x->stage[i].pattern];
        const struct stage_class *cl = &v.real->mb->cls[p->cls];
        if (cl->most_cells < cl->n_cell && cl->most_cells < v.real->D) return false;
    }
    struct arena_mark mark = arena_mark(x->scratch);
    v.need = ARENA_ARRAY(x->scratch, int, (x->n + 1) * v.s->n_set);
    v.pack = ARENA_ARRAY(x->scratch, int, (x->n + 1) * v.s->n_cell * TP_N);
    v.sync[x->n] = x->sync_s;
    for (int i = 0; i + 1 < x->n; i++) {
        int cut = x->stage[i].end, a = x->stage[i].pattern, b = x->stage[i + 1].pattern;
        v.act[i] = space_transfer(x->u->s, mb, cut - 1, a, b).lo;
        v.grad[i + 1] = space_transfer(x->u->s, mb, cut, b, a).lo;
    }
    bool whole = lay(&v, x->n - 1);
    arena_release(x->scratch, mark);
    return whole;
}
