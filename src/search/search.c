/* Rounds of work units. Units are sorted by their bounds: a crude one first, then that of the search's own
 * tables. Each round takes the next few that the goal does not exclude yet, all of them are solved against
 * the goal as it stood when the round began, and their answers are merged in unit order. So what is done, and
 * the answer, do not depend on how many ranks and threads share a round. Two short probing rounds find a good
 * plan to beat before the proof begins. */
#include "search/search.h"
#include "base/clock.h"
#include "io/mpx_comm.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "search/unit.h"
#include "sim/terms.h"

struct ranked {
    int mb, D;
    double time_lb, cost_lb; /* of every plan in it */
    struct unit_result *result;
};

struct engine {
    const struct search_problem *p;
    const struct search_hooks *hooks;
    struct space *s;
    struct row_result *row;
    struct ranked *unit;
    int n_unit;
    struct goal goal;
    const struct mpx_comm *world; /* NULL without MPI */
    MPI_Comm comm;
    int rank, size, threads;
    bool resumed;
    struct workspace **workspace; /* [threads] */
    double start, earlier_s, last_progress, last_checkpoint;
    double told; /* the best value that the hook knows */
    struct stopper stop;
    struct arena *a;
};

/* ---- units -------------------------------------------------------------------------- */

static int by_time_bound(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->time_lb != y->time_lb) return x->time_lb < y->time_lb ? -1 : 1;
    if (x->mb != y->mb) return x->mb - y->mb;
    return x->D - y->D;
}

static int by_cost_bound(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->cost_lb != y->cost_lb) return x->cost_lb < y->cost_lb ? -1 : 1;
    return by_time_bound(a, b);
}

/* A little more than the floor allows: plans right at it are decided by their throughput. */
static double longest_time(const struct search_problem *p) {
    return p->min_iterations_per_s > 0 ? 1 / p->min_iterations_per_s * (1 + 1e-12) : INFINITY;
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

static bool in_question(const struct search_problem *p, int m, int D) {
    if (p->pin->data_parallel && p->pin->data_parallel != D) return false;
    return !p->exact_batch || p->w->global_batch_size % ((long)m * D) == 0;
}

/* By microbatch, then by D. */
static void list_units(struct engine *x) {
    const struct search_problem *p = x->p;
    const struct space *s = x->s;
    int most[s->n_mb + 1], next[s->n_mb + 1], n = 0, deepest = 0;
    for (int k = 0; k < s->n_mb; k++) {
        next[k] = n;
        most[k] = most_replicas(s, &s->mb[k]);
        for (int D = 1; D <= most[k]; D++) n += in_question(p, s->mb[k].m, D);
        if (most[k] > deepest) deepest = most[k];
    }
    x->unit = ARENA_ARRAY(x->a, struct ranked, n + 1);
    x->n_unit = n;
    double *ring = ARENA_ARRAY(x->a, double, s->n_range);
    for (int D = 1; D <= deepest && !stop_wanted(&x->stop); D++) {
        unit_least_rings(s, D, ring);
        for (int k = 0; k < s->n_mb; k++) {
            if (D > most[k] || !in_question(p, s->mb[k].m, D)) continue;
            struct point lb = unit_crude_bound(s, &s->mb[k], D, ring, longest_time(p));
            x->unit[next[k]++] =
                (struct ranked){.mb = k, .D = D, .time_lb = lb.time_s, .cost_lb = lb.cost_usd};
        }
    }
}

static void sort_units(struct engine *x) {
    qsort(x->unit, (size_t)x->n_unit, sizeof *x->unit,
          x->p->objective == OBJECTIVE_COST ? by_cost_bound : by_time_bound);
}

/* The row's unit table: fresh, or taken over from an earlier run. */
static int adopt_units(struct engine *x, struct err *e) {
    struct row_result *row = x->row;
    if (row->n_unit && row->n_unit != x->n_unit)
        return err_set(e, EXIT_INPUT, "the file to resume has %d work units; this job has %d", row->n_unit,
                       x->n_unit);
    bool fresh = !row->n_unit;
    x->resumed = !fresh;
    if (fresh) row->unit = ARENA_ARRAY(x->a, struct unit_result, x->n_unit + 1), row->n_unit = x->n_unit;
    for (int i = 0; i < x->n_unit; i++) {
        struct ranked *u = &x->unit[i];
        struct unit_result *r = &row->unit[i];
        int m = x->s->mb[u->mb].m;
        if (fresh)
            *r = (struct unit_result){.micro_batch_size = m,
                                      .data_parallel = u->D,
                                      .status = UNIT_TODO,
                                      .value = INFINITY,
                                      .lower_bound =
                                          x->p->objective == OBJECTIVE_COST ? u->cost_lb : u->time_lb};
        else if (r->micro_batch_size != m || r->data_parallel != u->D)
            return err_set(e, EXIT_INPUT, "the file to resume lists other work units than this job");
        else if (r->status == UNIT_TODO)
            *(x->p->objective == OBJECTIVE_COST ? &u->cost_lb : &u->time_lb) = r->lower_bound;
        u->result = r;
    }
    return 0;
}

/* ---- plans as integers, for other ranks --------------------------------------------- */

struct ints {
    int *v;
    int n, cap;
};

static void put(struct ints *b, int x) {
    if (b->n == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 1024;
        b->v = realloc(b->v, sizeof *b->v * (size_t)b->cap);
        if (!b->v) abort();
    }
    b->v[b->n++] = x;
}

static void put_double(struct ints *b, double d) {
    int v[2];
    memcpy(v, &d, sizeof d);
    put(b, v[0]);
    put(b, v[1]);
}

static double get_double(const int **v) {
    double d;
    memcpy(&d, *v, sizeof d);
    *v += 2;
    return d;
}

static void put_plan(struct ints *b, const struct plan *p) {
    const struct pipeline *pl = &p->pipeline[0];
    put(b, p->micro_batch_size);
    put(b, pl->n_stage);
    for (int i = 0; i < pl->n_stage; i++) {
        const struct stage *st = &pl->stage[i];
        put(b, st->first);
        put(b, st->end);
        put(b, st->n_group);
        for (int k = 0; k < st->n_group; k++)
            put(b, st->group[k].gpu), put(b, st->group[k].zone), put(b, st->group[k].tp),
                put(b, st->group[k].count);
    }
}

static struct plan *get_plan(const int **v, const struct workload *w, struct arena *a) {
    struct plan *p = ARENA_NEW(a, struct plan);
    *p = (struct plan){.model = w->model->name,
                       .site = w->site->name,
                       .global_batch_size = w->global_batch_size,
                       .n_pipeline = 1,
                       .pipeline = ARENA_NEW(a, struct pipeline)};
    p->micro_batch_size = *(*v)++;
    p->pipeline->n_stage = *(*v)++;
    p->pipeline->stage = ARENA_ARRAY(a, struct stage, p->pipeline->n_stage);
    for (int i = 0; i < p->pipeline->n_stage; i++) {
        struct stage *st = &p->pipeline->stage[i];
        st->first = *(*v)++;
        st->end = *(*v)++;
        st->n_group = *(*v)++;
        st->group = ARENA_ARRAY(a, struct replicas, st->n_group);
        for (int k = 0; k < st->n_group; k++) {
            struct replicas *r = &st->group[k];
            r->gpu = *(*v)++;
            r->zone = *(*v)++;
            r->tp = *(*v)++;
            r->count = *(*v)++;
        }
    }
    return p;
}

/* ---- merging answers ---------------------------------------------------------------- */

static double value_of(const struct engine *x, const struct found_plan *f) {
    return x->p->objective == OBJECTIVE_COST ? f->est.cost_usd : f->est.iteration_time_s;
}

static void report_best(struct engine *x) {
    double value = x->row->n_plan ? value_of(x, &x->row->plan[0]) : INFINITY;
    if (value >= x->told) return;
    x->told = value;
    if (x->rank == 0 && x->hooks && x->hooks->improved)
        x->hooks->improved(x->hooks->ctx, x->earlier_s + now_s() - x->start, value);
}

static void set_goal(struct engine *x) {
    const struct search_problem *p = x->p;
    struct goal *g = &x->goal;
    report_best(x);
    *g = (struct goal){.objective = p->objective,
                       .min_per_s = p->min_iterations_per_s,
                       .max_usd = p->max_usd_per_iteration,
                       .best = INFINITY,
                       .max_time_s = longest_time(p)};
    if (p->objective == OBJECTIVE_FRONTIER) {
        g->front = ARENA_ARRAY(x->a, struct point, x->row->n_frontier + 1);
        for (g->n_front = 0; g->n_front < x->row->n_frontier; g->n_front++)
            g->front[g->n_front] = (struct point){x->row->frontier[g->n_front].est.iteration_time_s,
                                                  x->row->frontier[g->n_front].est.cost_usd};
    } else if (x->row->n_plan >= p->top_k) {
        g->best = value_of(x, &x->row->plan[p->top_k - 1]);
    }
}

static int by_time_then_cost(const void *a, const void *b) {
    const struct found_plan *x = a, *y = b;
    if (x->est.iteration_time_s != y->est.iteration_time_s)
        return x->est.iteration_time_s < y->est.iteration_time_s ? -1 : 1;
    if (x->est.cost_usd != y->est.cost_usd) return x->est.cost_usd < y->est.cost_usd ? -1 : 1;
    return plan_compare(x->plan, y->plan);
}

static bool better(const struct engine *x, const struct found_plan *a, const struct found_plan *b) {
    double va = value_of(x, a), vb = value_of(x, b);
    return va != vb ? va < vb : plan_compare(a->plan, b->plan) < 0;
}

static void add_plan(struct engine *x, struct found_plan f) {
    struct row_result *row = x->row;
    if (x->p->objective == OBJECTIVE_FRONTIER) {
        struct found_plan *all = ARENA_ARRAY(x->a, struct found_plan, row->n_frontier + 1);
        if (row->n_frontier) memcpy(all, row->frontier, sizeof *all * (size_t)row->n_frontier);
        all[row->n_frontier] = f;
        int n = row->n_frontier + 1, keep = 0;
        qsort(all, (size_t)n, sizeof *all, by_time_then_cost);
        for (int i = 0; i < n; i++)
            if (!keep || all[i].est.cost_usd < all[keep - 1].est.cost_usd * (1 - PROOF_SLACK))
                all[keep++] = all[i];
        row->frontier = all;
        row->n_frontier = keep;
        row->plan = all;
        row->n_plan = keep ? 1 : 0;
        return;
    }
    int D = stage_replicas(&f.plan->pipeline[0].stage[0]), n = 0, at;
    struct found_plan *all = ARENA_ARRAY(x->a, struct found_plan, row->n_plan + 1);
    for (int i = 0; i < row->n_plan; i++) { /* one plan of each unit */
        const struct found_plan *o = &row->plan[i];
        bool same_unit = o->plan->micro_batch_size == f.plan->micro_batch_size &&
                         stage_replicas(&o->plan->pipeline[0].stage[0]) == D;
        if (!same_unit)
            all[n++] = *o;
        else if (!better(x, &f, o))
            return;
    }
    for (at = n; at > 0 && better(x, &f, &all[at - 1]); at--) all[at] = all[at - 1];
    all[at] = f;
    row->plan = all;
    row->n_plan = n + 1 > x->p->top_k ? x->p->top_k : n + 1;
}

static void finish_plan(struct engine *x, struct found_plan *f) {
    struct err e;
    f->planner_time_s = f->planner_cost_usd = NAN;
    f->est.stage = ARENA_ARRAY(x->a, struct stage_estimate, f->plan->pipeline[0].n_stage);
    estimate_plan(x->p->w, f->plan, x->p->estimator, &f->est, &e);
}

/* Every rank learns the answers of all units of a round, in unit order. */
static void merge_round(struct engine *x, const int *round, int n, const struct unit_answer *answer,
                        const double *seconds, bool probe) {
    struct ints mine = {0}, all = {0};
    for (int i = x->rank; i < n; i += x->size) {
        const struct unit_answer *w = &answer[i];
        put(&mine, i), put(&mine, (int)w->status), put_double(&mine, w->lower_bound),
            put_double(&mine, w->gap), put_double(&mine, seconds[i]);
        put_double(&mine, (double)w->nodes);
        put_double(&mine, (double)w->plans);
        put(&mine, w->n_plan);
        for (int k = 0; k < w->n_plan; k++) put_plan(&mine, w->plan[k].plan);
    }
    if (x->size > 1) {
        int *count = calloc((size_t)x->size * 2, sizeof *count), *at = count + x->size;
        if (!count) abort();
        MPI_Allgather(&mine.n, 1, MPI_INT, count, 1, MPI_INT, x->comm);
        for (int r = 0; r < x->size; r++) at[r] = all.n, all.n += count[r];
        all.v = malloc(sizeof *all.v * (size_t)(all.n + 1));
        if (!all.v) abort();
        MPI_Allgatherv(mine.v, mine.n, MPI_INT, all.v, count, at, MPI_INT, x->comm);
        free(count);
        free(mine.v);
    } else {
        all = mine;
    }
    const int **where = calloc((size_t)n + 1, sizeof *where);
    if (!where) abort();
    for (const int *v = all.v, *end = all.v + all.n; v < end;) { /* find each unit's part */
        where[*v] = v;
        const int *q = v + 12;
        for (int k = *q++; k > 0; k--) {
            q++;
            for (int P = *q++; P > 0; P--) q += 3 + 4 * q[2];
        }
        v = q;
    }
    for (int i = 0; i < n; i++) {
        struct unit_result *r = x->unit[round[i]].result;
        const int *v = where[i] + 1;
        enum unit_status status = (enum unit_status) * v++;
        double lb = get_double(&v), gap = get_double(&v), unit_lb = r->lower_bound;
        r->seconds += get_double(&v);
        uint64_t nodes = (uint64_t)get_double(&v), plans = (uint64_t)get_double(&v);
        r->nodes += nodes;
        r->plans_evaluated += plans;
        x->row->plans_evaluated += nodes + plans;
        for (int k = *v++; k > 0; k--) {
            struct found_plan f = {.plan = get_plan(&v, x->p->w, x->a)};
            finish_plan(x, &f);
            r->value = fmin(r->value, value_of(x, &f));
            add_plan(x, f);
        }
        if (probe && status == UNIT_OPEN) continue;
        r->status = status;
        r->gap = status == UNIT_OPEN ? gap : 0;
        r->lower_bound = status == UNIT_OPEN ? fmax(lb, unit_lb) : r->value;
        r->attempts += !probe;
    }
    free(where);
    free(all.v);
}

/* ---- bounds and progress ------------------------------------------------------------ */

/* What is proven: nothing below the best value, but for units not yet or not fully searched. */
static void set_bounds(struct engine *x) {
    struct row_result *row = x->row;
    double open = INFINITY, best = row->n_plan ? value_of(x, &row->plan[0]) : INFINITY;
    for (int i = 0; i < x->n_unit; i++) {
        const struct unit_result *r = x->unit[i].result;
        if (r->status == UNIT_TODO || r->status == UNIT_OPEN) open = fmin(open, r->lower_bound);
    }
    row->lower_bound = fmin(best, open);
    row->gap = !row->n_plan ? INFINITY : best > row->lower_bound ? (best - row->lower_bound) / best : 0;
    if (x->p->objective == OBJECTIVE_FRONTIER && row->n_plan) {
        row->gap = 0;
        for (int i = 0; i < x->n_unit; i++) {
            const struct unit_result *r = x->unit[i].result;
            bool live =
                r->status == UNIT_TODO && !goal_excludes(&x->goal, x->unit[i].time_lb, x->unit[i].cost_lb);
            if (r->status == UNIT_OPEN) row->gap = fmax(row->gap, r->gap);
            if (live) row->gap = 1; /* nothing is known of it yet */
        }
    }
    row->search_s = x->earlier_s + now_s() - x->start;
}

static void report_progress(struct engine *x, int running_done) {
    if (x->rank || !x->hooks || !x->hooks->progress || now_s() - x->last_progress < 1) return;
    x->last_progress = now_s();
    int done = running_done, live = 0;
    for (int i = 0; i < x->n_unit; i++) {
        const struct ranked *u = &x->unit[i];
        if (u->result->status != UNIT_TODO)
            done++;
        else if (!goal_excludes(&x->goal, u->time_lb, u->cost_lb))
            live++;
    }
    live -= running_done;
    double elapsed = x->earlier_s + x->last_progress - x->start;
    struct search_progress out = {.units_done = done,
                                  .n_unit = done + live,
                                  .plans_evaluated = x->row->plans_evaluated,
                                  .elapsed_s = elapsed,
                                  .lower_bound = x->row->lower_bound,
                                  .gap = x->row->gap,
                                  .incumbent = x->row->n_plan ? value_of(x, &x->row->plan[0]) : INFINITY,
                                  .eta_s = done ? elapsed / done * live : NAN};
    x->hooks->progress(x->hooks->ctx, &out);
}

/* ---- rounds ------------------------------------------------------------------------- */

/* Is what the last attempt left open within the gap that will do? */
static bool close_enough(const struct engine *x, const struct unit_result *r) {
    if (x->p->objective == OBJECTIVE_FRONTIER) return r->gap <= x->p->gap;
    return r->lower_bound >= x->goal.best * (1 - x->p->gap);
}

/* The next units to prove: first those not yet searched, then those that so many attempts left open. */
static int next_round(struct engine *x, int *round, int most, int attempts) {
    int n = 0;
    for (int i = 0; i < x->n_unit && n < most; i++) {
        struct ranked *u = &x->unit[i];
        struct unit_result *r = u->result;
        if (r->status == UNIT_TODO && goal_excludes(&x->goal, u->time_lb, u->cost_lb))
            r->status = UNIT_PRUNED;
        bool open =
            r->status == UNIT_OPEN && r->attempts == attempts && (attempts == 1 || !close_enough(x, r));
        if (attempts ? open : r->status == UNIT_TODO) round[n++] = i;
    }
    return n;
}

/* Units left open come in the order of what was proven of them: that is in the file, the bounds of their
 * tables are not. */
static void sort_open(struct engine *x) {
    for (int i = 0; i < x->n_unit; i++) {
        struct ranked *u = &x->unit[i];
        if (u->result->status == UNIT_OPEN)
            *(x->p->objective == OBJECTIVE_COST ? &u->cost_lb : &u->time_lb) = u->result->lower_bound;
    }
    sort_units(x);
}

/* Small rounds first: they find a plan to beat. How far this is follows from the units, so that a resumed
 * search goes on with the same rounds. */
static int round_size(const struct engine *x, int most) {
    int tried = 0, size = 4;
    for (int i = 0; i < x->n_unit; i++) tried += x->unit[i].result->attempts > 0;
    for (int sum = size; sum <= tried && size < most; sum += size) size *= 2;
    return size;
}

/* 0 done, 1 stopped. Nothing of a stopped round is kept: the state is always that after a whole round. */
static int run_round(struct engine *x, const int *round, int n, struct unit_effort effort, bool probe) {
    struct unit_answer *answer = calloc((size_t)n, sizeof *answer);
    double *seconds = calloc((size_t)n, sizeof *seconds);
    struct arena *memory = calloc((size_t)n, sizeof *memory);
    if (!answer || !seconds || !memory) abort();
    int done = 0, mine = 0;
    for (int i = x->rank; i < n; i += x->size) mine++;
#pragma omp parallel for schedule(dynamic, 1) num_threads(x->threads)
    for (int j = 0; j < mine; j++) {
        int i = x->rank + j * x->size;
        const struct ranked *r = &x->unit[round[i]];
        double t = now_s();
        unit_solve(x->workspace[omp_get_thread_num()], &x->s->mb[r->mb], r->D, &x->goal, effort, &answer[i],
                   &memory[i]);
        seconds[i] = now_s() - t;
#pragma omp critical(sailor_progress)
        {
            done++;
            if (omp_get_thread_num() == 0) report_progress(x, done);
        }
    }
    int stopped = 0;
    for (int i = x->rank; i < n; i += x->size) stopped |= answer[i].status == UNIT_TODO;
    if (x->size > 1) MPI_Allreduce(MPI_IN_PLACE, &stopped, 1, MPI_INT, MPI_MAX, x->comm);
    if (!stopped) merge_round(x, round, n, answer, seconds, probe);
    for (int i = 0; i < n; i++) arena_free(&memory[i]);
    free(memory);
    free(seconds);
    free(answer);
    return stopped;
}

/* Replace the crude bounds of all units still of interest by those of the tables. */
static int bound_units(struct engine *x) {
    double *lb = calloc((size_t)x->n_unit + 1, sizeof *lb);
    if (!lb) abort();
    int stopped = 0;
#pragma omp parallel for schedule(dynamic, 8) num_threads(x->threads)
    for (int i = 0; i < x->n_unit; i++) {
        const struct ranked *u = &x->unit[i];
        lb[i] = INFINITY;
        if (x->s->mb[u->mb].truncated) { /* the tables know only the patterns that were built */
            lb[i] = -INFINITY;
            continue;
        }
        if (stopped || i % x->size != x->rank || u->result->status != UNIT_TODO ||
            goal_excludes(&x->goal, u->time_lb, u->cost_lb))
            continue;
        struct point b =
            unit_root_bound(x->workspace[omp_get_thread_num()], &x->s->mb[u->mb], u->D, &x->goal);
        if (stop_wanted(&x->stop)) {
#pragma omp atomic write
            stopped = 1;
            continue;
        }
        lb[i] = x->p->objective == OBJECTIVE_COST ? b.cost_usd : b.time_s;
    }
    if (x->size > 1) {
        MPI_Allreduce(MPI_IN_PLACE, &stopped, 1, MPI_INT, MPI_MAX, x->comm);
        MPI_Allreduce(MPI_IN_PLACE, lb, x->n_unit, MPI_DOUBLE, MPI_MIN, x->comm);
    }
    for (int i = 0; i < x->n_unit && !stopped; i++) {
        struct ranked *u = &x->unit[i];
        double *mine = x->p->objective == OBJECTIVE_COST ? &u->cost_lb : &u->time_lb;
        *mine = fmax(*mine, lb[i]);
        if (u->result->status == UNIT_TODO) u->result->lower_bound = *mine;
    }
    free(lb);
    sort_units(x);
    return stopped;
}

/* A little work on a few units, spread over microbatches and sizes of D: only their plans count. */
static int probe_units(struct engine *x, struct unit_effort effort, bool spread) {
    enum { PROBE = 64 };
    int round[PROBE], n = 0;
    unsigned tried[64] = {0};
    for (int i = 0; i < x->n_unit && n < (spread ? PROBE : 8); i++) {
        const struct ranked *u = &x->unit[i];
        int bucket = 31 - __builtin_clz((unsigned)u->D);
        if (u->result->status != UNIT_TODO || goal_excludes(&x->goal, u->time_lb, u->cost_lb)) continue;
        bool even = u->D == 1 << bucket; /* these divide most batches */
        if (spread && (u->mb >= 64 || (!even && tried[u->mb] >> bucket & 1))) continue;
        if (spread && !even) tried[u->mb] |= 1u << bucket;
        round[n++] = i;
    }
    if (!n) return 0;
    int stopped = run_round(x, round, n, effort, true);
    set_goal(x);
    return stopped;
}

static int checkpoint(struct engine *x, struct err *e) {
    int rc = 0;
    if (x->rank == 0 && x->hooks && x->hooks->checkpoint && now_s() - x->last_checkpoint > 2) {
        rc = x->hooks->checkpoint(x->hooks->ctx, x->row, e);
        x->last_checkpoint = now_s();
    }
    if (x->size > 1) { /* all ranks share the verdict and its text */
        MPI_Bcast(&rc, 1, MPI_INT, 0, x->comm);
        if (rc) MPI_Bcast(e, sizeof *e, MPI_BYTE, 0, x->comm);
    }
    return rc;
}

/* ---- why there is no plan ----------------------------------------------------------- */

static const char *why_no_stage(const struct engine *x) {
    const struct space *s = x->s;
    const struct workload *w = x->p->w;
    if (!s->n_cell)
        return arena_printf(x->a, "counts: the pool has no GPU type with a profile of %s in an allowed zone",
                            w->model->name);
    if (!s->n_mb)
        return "counts: no profiled microbatch and tensor-parallel degree is allowed by the pins and nodes";
    for (int l = 0; l < s->L; l++) {
        double least = INFINITY;
        int gpu = -1, tp = 0, mb = 0;
        for (int k = 0; k < s->n_mb; k++)
            for (int c = 0; c < s->mb[k].n_class; c++) {
                const struct stage_class *cl = &s->mb[k].cls[c];
                if (cl->n_kind != 1) continue;
                if (s->mb[k].depth[cfe(s, c, l, l + 1)] > 0) {
                    least = -1;
                    continue;
                }
                for (int g = 0; g < w->site->n_gpu; g++) {
                    if (cl->ti[g] < 0) continue;
                    int ti = cl->ti[g];
                    double bytes =
                        model_bytes(w, w->model->params[ti][l], w->model->act_mem[ti][l], 1, s->mb[k].m);
                    double over = bytes + framework_bytes(ti) - w->site->gpu[g].memory_bytes;
                    if (over < least) least = over, gpu = g, tp = 1 << ti, mb = s->mb[k].m;
                }
            }
        if (least > 0 && gpu >= 0)
            return arena_printf(x->a,
                                "memory: layer %d fits no GPU of the pool; nearest is %s (tp %d, microbatch "
                                "%d), %.2f GiB short of its %.1f GiB",
                                l, w->site->gpu[gpu].name, tp, mb, least / 1073741824.0,
                                w->site->gpu[gpu].memory_bytes / 1073741824.0);
    }
    return NULL;
}

/* The memory of all layers, each on the degree that takes least, against all the pool has. */
static const char *why_too_large(const struct engine *x) {
    const struct space *s = x->s;
    const struct workload *w = x->p->w;
    double need = 0, have = 0;
    for (int l = 0; l < s->L; l++) {
        double least = INFINITY;
        for (int ti = 0; ti < TP_N; ti++)
            if (w->model->params[ti])
                least = fmin(least, (1 << ti) * model_bytes(w, w->model->params[ti][l],
                                                            w->model->act_mem[ti][l], 1, s->mb[0].m));
        need += least;
    }
    for (int c = 0; c < s->n_cell; c++)
        have += s->cell[c].gpus * (w->site->gpu[s->cell[c].gpu].memory_bytes - FRAMEWORK_BYTES);
    if (need <= have) return NULL;
    return arena_printf(x->a,
                        "memory: the layers of %s take at least %.0f GiB at microbatch %d; the pool's GPUs "
                        "have %.0f GiB to give",
                        w->model->name, need / 1073741824.0, s->mb[0].m, have / 1073741824.0);
}

static const char *why_infeasible(struct engine *x) {
    const struct search_problem *p = x->p;
    const char *why = why_no_stage(x);
    if (why) return why;
    if (p->min_iterations_per_s > 0 ||
        p->max_usd_per_iteration < INFINITY) { /* how far away are the limits? */
        struct search_problem free_of = *p;
        struct search_hooks quiet = {.ctx = x->hooks ? x->hooks->ctx : NULL,
                                     .stop = x->hooks ? x->hooks->stop : NULL};
        struct row_result row = {0};
        struct err e;
        free_of.max_usd_per_iteration = INFINITY;
        free_of.min_iterations_per_s = 0;
        free_of.top_k = 1;
        free_of.objective = OBJECTIVE_THROUGHPUT;
        if (search_row(&free_of, &row, &quiet, x->world, x->threads, x->a, &e) == 0 && row.n_plan) {
            double fastest = 1 / row.plan[0].est.iteration_time_s;
            if (fastest < p->min_iterations_per_s)
                return arena_printf(x->a,
                                    "throughput: the fastest plan does %.6g iterations/s; the floor is %.6g",
                                    fastest, p->min_iterations_per_s);
            if (p->max_usd_per_iteration < INFINITY) {
                free_of.objective = OBJECTIVE_COST;
                free_of.min_iterations_per_s = p->min_iterations_per_s;
                row = (struct row_result){0};
                if (search_row(&free_of, &row, &quiet, x->world, x->threads, x->a, &e) == 0 && row.n_plan)
                    return arena_printf(
                        x->a, "budget: the cheapest plan%s costs %.6g USD per iteration; the budget is %.6g",
                        p->min_iterations_per_s > 0 ? " that meets the floor" : "", row.plan[0].est.cost_usd,
                        p->max_usd_per_iteration);
            }
        }
        if (!row.n_plan && row.reason) return row.reason;
    }
    if ((why = why_too_large(x))) return why;
    return "counts and memory: every layer fits some GPU alone, but no pipeline over the GPUs at hand holds "
           "all layers (or no link joins them)";
}

static int solve_all(struct engine *x, int *stopped, struct err *e) {
    enum { ROUND = 16, ROUND_AGAIN = 4, ATTEMPTS = 3 };
    static const uint64_t limit[ATTEMPTS] = {1000000, 20000000,
                                             100000000}; /* of each attempt at a proof, in a gap mode */
    int round[ROUND], n;
    sort_units(x);
    set_goal(x);
    set_bounds(x);
    if (!x->resumed) {
        *stopped = probe_units(x, (struct unit_effort){.limit = 2000, .dive = true}, true);
        if (!*stopped) {
            *stopped = bound_units(x) || probe_units(x, (struct unit_effort){.limit = 8000}, true) ||
                       probe_units(x, (struct unit_effort){.limit = 50000}, false);
        }
        if (*stopped) { /* as if no unit had been begun: the plans stay */
            for (int i = 0; i < x->n_unit; i++) x->unit[i].result->status = UNIT_TODO;
            x->row->n_unit = 0;
            return 0;
        }
    }
    /* A frontier has many open units: a third attempt at each would take too long for what it proves. */
    int last = x->p->gap == 0 ? 1 : x->p->objective == OBJECTIVE_FRONTIER ? 2 : ATTEMPTS;
    for (int attempts = 0; attempts < last; attempts++) {
        struct unit_effort effort = {.limit = x->p->gap > 0 ? limit[attempts] : 0,
                                     .tolerance = attempts ? 0.9 * x->p->gap : 0};
        set_goal(x);
        if (attempts) sort_open(x);
        for (;;) {
            set_goal(x);
            set_bounds(x);
            if (!(n = next_round(x, round, attempts ? ROUND_AGAIN : round_size(x, ROUND), attempts))) break;
            if ((*stopped = run_round(x, round, n, effort, false))) return 0;
            set_bounds(x);
            report_progress(x, 0);
            if (checkpoint(x, e)) return -1;
        }
    }
    return 0;
}

struct search_problem search_problem_of(const struct job *job, int row) {
    return (struct search_problem){.w = &job->workload,
                                   .pool = job->pool[row].count,
                                   .estimator = ESTIMATOR_DEFAULT,
                                   .objective = job->objective,
                                   .max_usd_per_iteration = job->max_usd_per_iteration,
                                   .min_iterations_per_s = job->min_iterations_per_s,
                                   .pin = &job->pin,
                                   .exact_batch = job->exact_batch,
                                   .top_k = 1};
}

/* ---- a row -------------------------------------------------------------------------- */

/* The tables of a search that is stopped while they are built are of no use to anyone. */
static bool any_rank_stopped(const struct engine *x) {
    int stopped = stop_wanted(&x->stop);
    if (x->size > 1) MPI_Allreduce(MPI_IN_PLACE, &stopped, 1, MPI_INT, MPI_MAX, x->comm);
    return stopped;
}

/* Stopped before the first bound: what earlier runs proved stays, else nothing is known but that plans take
 * time. */
static int nothing_proven(struct engine *x) {
    struct row_result *row = x->row;
    row->status = row->n_plan ? ROW_FEASIBLE : ROW_TODO;
    row->search_s = x->earlier_s + now_s() - x->start;
    if (row->n_unit) return 1;
    row->lower_bound = 0;
    row->gap = row->n_plan ? 1 : INFINITY;
    return 1;
}

static const char *why_undecided(struct engine *x) {
    int open = 0;
    for (int i = 0; i < x->n_unit; i++) open += x->unit[i].result->status == UNIT_OPEN;
    return arena_printf(x->a,
                        "undecided: no plan was found, but %d of %d work units were not searched to the end "
                        "and may hold one",
                        open, x->n_unit);
}

int search_row(const struct search_problem *p, struct row_result *row, const struct search_hooks *hooks,
               const struct mpx_comm *world, int threads, struct arena *a, struct err *e) {
    struct engine x = {.p = p,
                       .hooks = hooks,
                       .row = row,
                       .a = a,
                       .size = 1,
                       .threads = threads,
                       .told = INFINITY,
                       .start = now_s(),
                       .earlier_s = row->search_s,
                       .last_progress = now_s(),
                       .last_checkpoint = now_s()};
    if (world) {
        x.world = world;
        x.comm = world->mpi;
        MPI_Comm_rank(x.comm, &x.rank);
        MPI_Comm_size(x.comm, &x.size);
    }
    if (hooks) x.stop = (struct stopper){hooks->stop, hooks->ctx};
    for (int i = 0; i < row->n_plan; i++) finish_plan(&x, &row->plan[i]);
    for (int i = 0; i < row->n_frontier; i++) finish_plan(&x, &row->frontier[i]);
    if (!(x.s = space_build(p, &x.stop, a, e))) return -1;
    list_units(&x);
    if (any_rank_stopped(&x)) return nothing_proven(&x);
    if (adopt_units(&x, e)) return -1;
    x.workspace = ARENA_ARRAY(a, struct workspace *, threads);
    for (int t = 0; t < threads; t++) x.workspace[t] = workspace_new(x.s);
    int stopped = 0, rc = solve_all(&x, &stopped, e);
    for (int t = 0; t < threads; t++) workspace_free(x.workspace[t]);
    if (rc) return -1;
    set_goal(&x);
    set_bounds(&x);
    row->status = !row->n_plan ? ROW_TODO : stopped || row->gap > 0 ? ROW_FEASIBLE : ROW_OPTIMAL;
    if (stopped) return 1;
    if (!row->n_plan && row->lower_bound < INFINITY) {
        row->reason = why_undecided(&x);
        return 0;
    }
    if (!row->n_plan) {
        row->status = ROW_INFEASIBLE;
        row->reason = why_infeasible(&x);
        row->lower_bound = INFINITY;
        row->gap = 0;
        if (stop_wanted(&x.stop)) { /* the reason may be half found */
            row->status = ROW_TODO;
            row->reason = NULL;
            return 1;
        }
    }
    return 0;
}
