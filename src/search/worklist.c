/* All units of a row, sorted by their bounds: a crude one first, then that of the search's own tables. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "search/engine.h"

static int by_time_bound(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->time_lb != y->time_lb) return x->time_lb < y->time_lb ? -1 : 1;
    if (x->part != y->part) return x->part - y->part;
    if (x->mb != y->mb) return x->mb - y->mb;
    return x->D - y->D;
}

static int by_cost_bound(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->cost_lb != y->cost_lb) return x->cost_lb < y->cost_lb ? -1 : 1;
    return by_time_bound(a, b);
}

void worklist_sort(struct engine *x) {
    qsort(x->unit, (size_t)x->n_unit, sizeof *x->unit,
          x->p->objective == OBJECTIVE_COST ? by_cost_bound : by_time_bound);
}

/* What was proven is in the file, the bounds of tables are not. */
void worklist_sort_open(struct engine *x) {
    for (int i = 0; i < x->n_unit; i++) {
        struct ranked *u = &x->unit[i];
        if (u->result->status == UNIT_OPEN) *ranked_bound(x, u) = u->result->lower_bound;
    }
    worklist_sort(x);
}

/* No stage has more replicas. */
static int most_replicas(const struct space *s, const struct mb_space *mb) {
    int n = 0;
    for (int c = 0; c < s->n_cell; c++) {
        int least = TP_N;
        for (int q = 0; q < mb->n_class; q++) {
            int ti = mb->cls[q].ti[s->cell[c].gpu];
            if (ti >= 0 && ti < least) least = ti;
        }
        if (least < TP_N) n += s->cell[c].gpus >> least;
    }
    return n;
}

/* `sample`: of the D with equally many microbatches only the least. */
static bool in_question(const struct search_problem *p, int m, int D, bool sample) {
    int G = p->w->global_batch_size;
    if (p->pin->data_parallel)
        return p->pin->data_parallel == D && (!p->exact_batch || G % ((long)m * D) == 0);
    if (sample && D > 1 && microbatches(G, (long)m * D) == microbatches(G, (long)m * (D - 1))) return false;
    return !p->exact_batch || G % ((long)m * D) == 0;
}

/* Of a part, after those of the parts before: by microbatch, then by D. */
static void list_units_of(struct engine *x, int part) {
    const struct search_problem *p = x->p;
    const struct space *s = x->part[part].s;
    int most[s->n_mb + 1], next[s->n_mb + 1], n = x->n_unit, deepest = 0;
    for (int k = 0; k < s->n_mb; k++) {
        next[k] = n;
        most[k] = most_replicas(s, &s->mb[k]);
        for (int D = 1; D <= most[k]; D++) n += in_question(p, s->mb[k].m, D, x->sample);
        if (most[k] > deepest) deepest = most[k];
    }
    struct ranked *all = ARENA_ARRAY(x->a, struct ranked, n + 1);
    if (x->n_unit) memcpy(all, x->unit, sizeof *all * (size_t)x->n_unit);
    x->unit = all;
    x->n_unit = n;
    double *ring = ARENA_ARRAY(x->a, double, s->n_range);
    for (int D = 1; D <= deepest && !stop_wanted(&x->stop); D++) {
        bool rings = false;
        for (int k = 0; k < s->n_mb; k++) {
            if (D > most[k] || !in_question(p, s->mb[k].m, D, x->sample)) continue;
            if (!rings) unit_least_rings(s, D, ring);
            rings = true;
            struct point lb =
                unit_crude_bound(s, &s->mb[k], D, ring, goal_longest_time(p->min_iterations_per_s));
            x->unit[next[k]++] =
                (struct ranked){.part = part, .mb = k, .D = D, .time_lb = lb.time_s, .cost_lb = lb.cost_usd};
        }
    }
}

void worklist_fill(struct engine *x) {
    x->n_unit = 0;
    for (int k = 0; k < x->n_part; k++) list_units_of(x, k);
}

/* The units that were not pruned by their bounds are only known to be no better than the best. */
void worklist_recall(struct engine *x) {
    const struct row_result *known = x->p->known;
    /* units do not say of which part they are, and of a part without prices money knows none */
    if (known && x->n_part > 1 && known->n_unit != x->n_unit) return;
    for (int i = 0, k = 0; known && i < x->n_unit && k < known->n_unit; k++) {
        const struct unit_result *r = &known->unit[k];
        struct ranked *u = &x->unit[i];
        if (r->micro_batch_size != ranked_space(x, u)->m || r->data_parallel != u->D ||
            !plan_options_equal(&r->options, &ranked_space(x, u)->w->options))
            continue;
        if (unit_unsearched(r) && r->lower_bound < INFINITY) u->time_lb = fmax(u->time_lb, r->lower_bound);
        i++;
    }
}

int worklist_adopt(struct engine *x, struct err *e) {
    struct row_result *row = x->row;
    if (row->n_unit && row->n_unit != x->n_unit)
        return err_set(e, EXIT_INPUT, "the file to resume has %d work units; this job has %d", row->n_unit,
                       x->n_unit);
    bool fresh = !row->n_unit;
    x->resumed = !fresh;
    if (fresh) {
        row->unit = ARENA_ARRAY(x->a, struct unit_result, x->n_unit + 1);
        row->n_unit = x->n_unit;
    }
    for (int i = 0; i < x->n_unit; i++) {
        struct ranked *u = &x->unit[i];
        struct unit_result *r = &row->unit[i];
        int m = ranked_space(x, u)->m;
        if (fresh)
            *r = (struct unit_result){.micro_batch_size = m,
                                      .data_parallel = u->D,
                                      .options = ranked_space(x, u)->w->options,
                                      .status = UNIT_TODO,
                                      .value = INFINITY,
                                      .lower_bound = *ranked_bound(x, u)};
        else if (r->micro_batch_size != m || r->data_parallel != u->D ||
                 !plan_options_equal(&r->options, &ranked_space(x, u)->w->options))
            return err_set(e, EXIT_INPUT,
                           "the file to resume lists different work units from those of this job");
        else if (r->status == UNIT_TODO)
            *ranked_bound(x, u) = r->lower_bound;
        u->result = r;
    }
    return 0;
}
