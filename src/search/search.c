/* Steps of work units. Units are sorted by their bounds: a crude one first, then that of the search's own
 * tables. Each step goes on with those under way and takes more that the goal does not exclude yet, all of
 * them are solved against the goal as it stood when the step began, and their answers are merged in unit
 * order. So what is done, and the answer, do not depend on how many ranks and threads share a step. Short
 * probing rounds find a good plan to beat before the proof begins. */
#include "search/search.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/oom.h"
#include "io/mpx_comm.h"
#include "search/attempt.h"
#include "search/best.h"
#include "search/block.h"
#include "search/island.h"
#include "search/ladder.h"
#include "search/memo.h"
#include "search/merge.h"
#include "search/relax.h"
#include "search/solve.h"
#include "search/why.h"
#include "search/wire.h"
#include "sim/terms.h"

/* A part of the pool that is searched by itself (island.h). */
struct part {
    struct space *s;
    bool merge;                   /* its zones, for bounds */
    struct relax *relax;          /* then */
    struct workspace **workspace; /* [threads] */
};

struct ranked {
    int part, mb, D;
    double time_lb, cost_lb; /* of every plan in it */
    int relaxed;             /* attempts with merged zones */
    bool under_way;          /* an attempt at a proof, which has this bound so far: */
    double so_far;
    struct unit_result *result;
};

/* The attempts at a proof that are under way. */
struct flight {
    int attempt, step; /* of all units; since this attempt began */
    int n, room;
    struct attempt *x;
    struct ranked **unit; /* [n] */
    uint64_t counted;     /* of what they have done, in the row */
};

struct engine {
    const struct search_problem *p;
    const struct search_hooks *hooks;
    struct part *part; /* [n_part] */
    int n_part;
    struct row_result *row;
    struct ranked *unit;
    int n_unit;
    struct goal goal;
    struct memo *memo;            /* [threads] of all workspaces */
    const struct mpx_comm *world; /* NULL without MPI */
    MPI_Comm comm;
    int rank, size, threads;
    struct deal *deal;
    bool resumed, sample; /* sample: a search for plans alone, which need not look at all units */
    double start, earlier_s, last_progress, last_checkpoint;
    double checkpoint_took_s; /* the last one */
    uint64_t in_step;         /* partial plans of the tasks of this step that are done */
    int rounds;               /* of bounds with merged zones */
    double told;              /* the best value that the hook knows */
    struct flight flight;
    struct saved *resumed_at; /* NULL, or the round that an earlier run has begun */
    struct wire state;        /* what the row had of it at the last checkpoint */
    bool begun, halted;       /* the proof; and the row says where one that was stopped goes on */
    struct err *e;            /* of a checkpoint within a round */
    int failed;
    struct stopper stop;
    struct arena *a;
};

/* ---- parts of the pool -------------------------------------------------------------- */

static int build_parts(struct engine *x, struct arena *a, struct err *e) {
    struct search_problem *p;
    x->n_part = islands_of(x->p, &p, a);
    x->part = ARENA_ARRAY(a, struct part, x->n_part);
    for (int k = 0; k < x->n_part; k++)
        if (!(x->part[k].s = space_build(&p[k], &x->stop, x->threads, a, e))) return -1;
    return 0;
}

/* The search would run out of memory at some moment or another, depending on its threads. So what it is sure
 * to need is asked for before it begins, and something to work in. */
static void foresee_memory(int threads) {
    enum { ROOM_BYTES = 96 << 20 };
    struct memo *memo = memos_new(threads);
    free(oom_malloc(ROOM_BYTES));
    memos_free(memo, threads);
}

static void hire(struct engine *x, struct arena *a) {
    x->memo = memos_new(x->threads);
    for (int k = 0; k < x->n_part; k++) {
        x->part[k].workspace = ARENA_ARRAY(a, struct workspace *, x->threads);
        for (int t = 0; t < x->threads; t++)
            x->part[k].workspace[t] = workspace_new(x->part[k].s, &x->memo[t]);
    }
}

static void dismiss(struct engine *x) {
    for (int k = 0; k < x->n_part; k++)
        for (int t = 0; t < x->threads; t++) workspace_free(x->part[k].workspace[t]);
    memos_free(x->memo, x->threads);
}

static const struct mb_space *space_of(const struct engine *x, const struct ranked *u) {
    return &x->part[u->part].s->mb[u->mb];
}

/* ---- units -------------------------------------------------------------------------- */

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

static void list_units(struct engine *x) {
    x->n_unit = 0;
    for (int k = 0; k < x->n_part; k++) list_units_of(x, k);
}

/* What was proven about units that were pruned by their bounds; the others are only known to be no
 * better than the best. Both lists have one order. */
static void recall_bounds(struct engine *x) {
    const struct row_result *known = x->p->known;
    /* units do not say of which part they are, and of a part without prices money knows none */
    if (known && x->n_part > 1 && known->n_unit != x->n_unit) return;
    for (int i = 0, k = 0; known && i < x->n_unit && k < known->n_unit; k++) {
        const struct unit_result *r = &known->unit[k];
        struct ranked *u = &x->unit[i];
        if (r->micro_batch_size != space_of(x, u)->m || r->data_parallel != u->D ||
            !plan_options_equal(&r->options, &space_of(x, u)->w->options))
            continue;
        if (unit_unsearched(r) && r->lower_bound < INFINITY) u->time_lb = fmax(u->time_lb, r->lower_bound);
        i++;
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
    if (fresh) {
        row->unit = ARENA_ARRAY(x->a, struct unit_result, x->n_unit + 1);
        row->n_unit = x->n_unit;
    }
    for (int i = 0; i < x->n_unit; i++) {
        struct ranked *u = &x->unit[i];
        struct unit_result *r = &row->unit[i];
        int m = space_of(x, u)->m;
        if (fresh)
            *r = (struct unit_result){.micro_batch_size = m,
                                      .data_parallel = u->D,
                                      .options = space_of(x, u)->w->options,
                                      .status = UNIT_TODO,
                                      .value = INFINITY,
                                      .lower_bound =
                                          x->p->objective == OBJECTIVE_COST ? u->cost_lb : u->time_lb};
        else if (r->micro_batch_size != m || r->data_parallel != u->D ||
                 !plan_options_equal(&r->options, &space_of(x, u)->w->options))
            return err_set(e, EXIT_INPUT,
                           "the file to resume lists different work units from those of this job");
        else if (r->status == UNIT_TODO)
            *(x->p->objective == OBJECTIVE_COST ? &u->cost_lb : &u->time_lb) = r->lower_bound;
        u->result = r;
    }
    return 0;
}

/* ---- merging answers ---------------------------------------------------------------- */

static double best_value(const struct engine *x) {
    return x->row->n_plan ? problem_value(x->p, &x->row->plan[0].est) : INFINITY;
}

static void report_best(struct engine *x) {
    double value = best_value(x);
    if (value >= x->told) return;
    x->told = value;
    if (x->rank == 0 && x->hooks && x->hooks->improved)
        x->hooks->improved(x->hooks->ctx, x->earlier_s + now_s() - x->start, value);
}

static void set_goal(struct engine *x) {
    report_best(x);
    x->goal = best_goal(x->p, x->row, x->a);
}

static void merge_answer(struct engine *x, struct unit_result *r, const struct unit_answer *answer,
                         double seconds, bool probe) {
    r->seconds += seconds;
    r->nodes += answer->nodes;
    r->plans_evaluated += answer->plans;
    bounds_add(&x->row->bounds, &answer->bounds);
    x->row->plans_evaluated += answer->nodes + answer->plans;
    for (int k = 0; k < answer->n_plan; k++) {
        struct found_plan f = answer->plan[k];
        best_estimate(x->p, &f, x->a);
        r->value = fmin(r->value, problem_value(x->p, &f.est));
        best_add(x->p, x->row, f, x->a);
    }
    if (probe && answer->status == UNIT_OPEN) return;
    r->status = answer->status;
    r->gap = answer->status == UNIT_OPEN ? answer->gap : 0;
    r->lower_bound = answer->status == UNIT_OPEN ? fmax(answer->lower_bound, r->lower_bound) : r->value;
    r->attempts += !probe;
}

/* ---- bounds and progress ------------------------------------------------------------ */

/* What is proven: nothing is below the best value, except in units not yet, or not fully, searched. */
static void set_bounds(struct engine *x) {
    struct row_result *row = x->row;
    double open = INFINITY, best = best_value(x);
    for (int i = 0; i < x->n_unit; i++) {
        const struct unit_result *r = x->unit[i].result;
        if (r->status != UNIT_TODO && r->status != UNIT_OPEN) continue;
        open = fmin(open, x->unit[i].under_way ? fmax(r->lower_bound, x->unit[i].so_far) : r->lower_bound);
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

/* Is what the last attempt left open within the gap asked for? */
static bool close_enough(const struct engine *x, const struct unit_result *r) {
    if (x->p->objective == OBJECTIVE_FRONTIER) return r->gap <= x->p->gap;
    return r->lower_bound >= x->goal.best * (1 - x->p->gap);
}

/* What the units that are left take if they are like those searched so far. NAN: nobody knows, as none was,
 * or as some will be searched again. */
static double remaining_s(const struct engine *x, int live) {
    double seconds = 0;
    int searched = 0;
    for (int i = 0; i < x->n_unit; i++) {
        const struct unit_result *r = x->unit[i].result;
        if (r->status == UNIT_OPEN && x->p->gap > 0 && (r->attempts < 2 || !close_enough(x, r))) return NAN;
        if (r->status == UNIT_TODO || !r->attempts) continue;
        seconds += r->seconds;
        searched++;
    }
    return searched ? seconds / searched * live / (x->threads * x->size) : NAN;
}

static void report_progress(struct engine *x) {
    if (x->rank || !x->hooks || !x->hooks->progress || now_s() - x->last_progress < 1) return;
    x->last_progress = now_s();
    int live = 0;
    for (int i = 0; i < x->n_unit; i++) {
        const struct ranked *u = &x->unit[i];
        live += u->result->status == UNIT_TODO && !goal_excludes(&x->goal, u->time_lb, u->cost_lb);
    }
    struct search_progress out = {.units_done = x->n_unit - live,
                                  .n_unit = x->n_unit,
                                  .plans_evaluated = x->row->plans_evaluated + x->in_step,
                                  .elapsed_s = x->earlier_s + x->last_progress - x->start,
                                  .lower_bound = x->row->lower_bound,
                                  .gap = x->row->gap,
                                  .incumbent = best_value(x),
                                  .eta_s = remaining_s(x, live)};
    x->hooks->progress(x->hooks->ctx, &out);
}

static bool any_rank_stopped(const struct engine *x) {
    int stopped = stop_wanted(&x->stop);
    if (x->size > 1) MPI_Allreduce(MPI_IN_PLACE, &stopped, 1, MPI_INT, MPI_MAX, x->comm);
    return stopped;
}

/* ---- a round that is interrupted ------------------------------------------------------ */

static uint64_t done_by(const struct unit_answer *answer) { return answer->nodes + answer->plans; }

static struct saved_answer saved_attempt(const struct engine *x, int i) {
    const struct attempt *at = &x->flight.x[i];
    struct saved_answer out = {.index = (int)(x->flight.unit[i]->result - x->row->unit),
                               .answer = at->answer,
                               .seconds = at->seconds,
                               .best = at->goal.best,
                               .bound = x->flight.unit[i]->result->lower_bound,
                               .begun = at->begun,
                               .lost = at->lost};
    out.answer.left = at->left;
    out.answer.n_left = at->n_left;
    return out;
}

/* The state of the proof within a round of which some tasks are done, for the row. */
static void note_state(struct engine *x, const struct deal_answers *r, bool chosen) {
    struct arena scratch = {0};
    struct saved s = {.chosen = chosen,
                      .attempt = x->flight.attempt,
                      .step = x->flight.step,
                      .best = x->goal.best,
                      .n_front = x->goal.n_front,
                      .front = x->goal.front,
                      .n_unit = x->flight.n,
                      .n_task = r ? r->n : 0};
    s.unit = ARENA_ARRAY(&scratch, struct saved_answer, s.n_unit + 1);
    s.done = ARENA_ARRAY(&scratch, struct saved_answer, s.n_task + 1);
    for (int i = 0; i < s.n_unit; i++) s.unit[i] = saved_attempt(x, i);
    for (int i = 0; i < s.n_task; i++)
        if (r->done[i])
            s.done[s.n_done++] =
                (struct saved_answer){.index = i, .answer = r->answer[i], .seconds = r->seconds[i]};
    x->state.n = 0;
    wire_put_saved(&x->state, &s);
    if (x->state.n > INT32_MAX - 8)
        x->state.n = 0; /* more than a table holds: the step begins anew */
    else
        for (int i = 0; i < s.n_done; i++) x->row->plans_evaluated += done_by(&s.done[i].answer);
    arena_free(&scratch);
    x->row->state = x->state.bytes;
    x->row->n_state = (int)x->state.n;
}

/* Counted from the end of the last one, and a small part of the time on a slow file system, too. */
static bool time_for_checkpoint(const struct engine *x) {
    return x->rank == 0 && x->hooks && x->hooks->checkpoint &&
           now_s() - x->last_checkpoint > fmax(2, 10 * x->checkpoint_took_s);
}

/* `r`: of the round that is not over, if any. */
static int checkpoint(struct engine *x, const struct deal_answers *r, bool chosen) {
    int rc = 0;
    if (time_for_checkpoint(x)) {
        double begun = process_cpu_s(), began_s = now_s();
        uint64_t done = x->row->plans_evaluated;
        note_state(x, r, chosen);
        rc = x->hooks->checkpoint(x->hooks->ctx, x->row, x->e);
        x->row->plans_evaluated = done;
        x->row->n_state = 0;
        deal_aside(x->deal, process_cpu_s() - begun);
        x->last_checkpoint = now_s();
        x->checkpoint_took_s = x->last_checkpoint - began_s;
    }
    if (x->size > 1) { /* all ranks share the verdict and its text */
        MPI_Bcast(&rc, 1, MPI_INT, 0, x->comm);
        if (rc) MPI_Bcast(x->e, sizeof *x->e, MPI_BYTE, 0, x->comm);
    }
    return x->failed = rc;
}

/* What has been found counts for the answer of a search that is stopped, but not for those who go on. */
static void take_unfinished(struct engine *x, const struct unit_answer *answer) {
    for (int k = 0; k < answer->n_plan; k++) {
        struct found_plan f = answer->plan[k];
        f.plan = plan_copy(f.plan, x->a);
        best_estimate(x->p, &f, x->a);
        if (f.est.fits) best_add(x->p, x->row, f, x->a);
    }
}

/* Within a round of the proof. False: the file could not be written. */
static bool save(struct engine *x, const struct deal_answers *r, bool chosen, bool stopped) {
    if (!stopped) {
        x->in_step = 0;
        for (int i = 0; i < r->n; i++)
            if (r->done[i]) x->in_step += done_by(&r->answer[i]);
        return !checkpoint(x, r, chosen);
    }
    note_state(x, r, chosen);
    for (int i = 0; i < r->n && chosen; i++)
        if (r->done[i]) take_unfinished(x, &r->answer[i]);
    x->halted = true;
    return true;
}

/* What an earlier run has done of this round. */
static void recall(struct engine *x, struct deal_answers *r, bool chosen) {
    const struct saved *s = x->resumed_at;
    if (!s || s->chosen != chosen) return;
    x->resumed_at = NULL;
    for (int k = 0; k < s->n_done && s->n_task == r->n; k++) {
        const struct saved_answer *one = &s->done[k];
        r->answer[one->index] = one->answer;
        r->seconds[one->index] = one->seconds;
        r->done[one->index] = true;
    }
}

/* ---- plans to beat ------------------------------------------------------------------- */

/* A local search changes one stage at a time, which a trainer that wants one degree for all does not take: it
 * climbs once for each degree. */
static struct ladder climb_of(struct engine *x, const struct search_problem *problem,
                              struct ladder_share share, struct arena *a) {
    struct ladder all = {0}, one;
    const struct pin *pin = problem->pin;
    if (!(runner_search_rules(pin->runnable_by, problem->w->model) & RULE_ONE_DEGREE)) {
        ladder_climb(problem, share, &x->stop, &all, a);
        return all;
    }
    share.work /= 2;
    for (int ti = 0; ti < TP_N; ti++) {
        struct pin same = *pin;
        struct search_problem p = *problem;
        bool may = true;
        p.pin = &same;
        for (int g = 0; g < problem->w->site->n_gpu; g++) {
            may = may && (!pin->tp[g] || pin->tp[g] == 1 << ti);
            same.tp[g] = 1 << ti;
        }
        if (!may) continue;
        ladder_climb(&p, share, &x->stop, &one, a);
        struct found_plan *plan = ARENA_ARRAY(a, struct found_plan, all.n_plan + one.n_plan + 1);
        if (all.n_plan) memcpy(plan, all.plan, sizeof *plan * (size_t)all.n_plan);
        if (one.n_plan) memcpy(plan + all.n_plan, one.plan, sizeof *plan * (size_t)one.n_plan);
        all = (struct ladder){all.n_plan + one.n_plan, plan, all.judged + one.judged};
    }
    return all;
}

/* Climbs that are dealt to all ranks: for each choice of options, several that share its work. */
struct climbs {
    struct engine *x;
    struct search_problem p;
    struct ladder_share share;
    bool whole; /* what is stopped does not count, and what is done is saved */
    struct deal_answers all;
};

static bool climb_task(void *ctx, int i, struct unit_answer *out, struct arena *a) {
    struct climbs *c = ctx;
    struct search_problem p = c->p;
    struct ladder_share share = c->share;
    share.k = i % share.n;
    share.draw += (uint64_t)share.k;
    if (p.w->n_variant) p.w = &p.w->variant[i / share.n];
    struct ladder l = climb_of(c->x, &p, share, a);
    bool stopped = stop_wanted(&c->x->stop);
    *out = (struct unit_answer){.status = stopped && c->whole ? UNIT_TODO : UNIT_SOLVED,
                                .plans = l.judged,
                                .n_plan = l.n_plan,
                                .plan = l.plan};
    return !stopped;
}

static bool save_climbs(void *ctx, bool stopped) {
    struct climbs *c = ctx;
    return save(c->x, &c->all, false, stopped);
}

static void take_climbed(struct engine *x, const struct unit_answer *found) {
    x->row->plans_evaluated += found->plans;
    for (int i = 0; i < found->n_plan; i++) {
        best_estimate(x->p, &found->plan[i], x->a);
        best_add(x->p, x->row, found->plan[i], x->a);
    }
}

/* False: stopped. */
static bool climb_all(struct engine *x, struct climbs *c, int n) {
    const struct deal_questions q = {climb_task, c->whole ? save_climbs : NULL, c};
    c->all = (struct deal_answers){n, ARENA_ARRAY(x->a, struct unit_answer, n),
                                                  ARENA_ARRAY(x->a, bool, n), ARENA_ARRAY(x->a, double, n)};
    if (c->whole) recall(x, &c->all, false);
    bool counts = deal_answers(x->deal, TASK_CLIMB, &q, &c->all, x->p->w, x->a) || !c->whole;
    for (int i = 0; i < n && counts; i++)
        if (c->all.done[i]) take_climbed(x, &c->all.answer[i]);
    return counts;
}

/* How many climbs from the best plans share this much work, each with draws of its own. On a frontier each
 * step depends on where the last one came to. */
static int climbers(const struct engine *x, uint64_t work) {
    enum { EACH = 64000, EACH_WALK = 256000, MOST = 64 };
    uint64_t each = ladder_wide(x->p) ? EACH_WALK : EACH;
    uint64_t n = x->p->objective == OBJECTIVE_FRONTIER ? 1 : work / each;
    return n < 1 ? 1 : (int)(n < MOST ? n : MOST);
}

/* Plans to beat. Every choice of options has its share of the work; what was found before is where it begins,
 * with what was known from elsewhere, unless `again`. `whole`: what is stopped does not count. */
static bool climb(struct engine *x, uint64_t work, bool again, bool whole) {
    const struct workload *w = x->p->w;
    int n = w->n_variant ? w->n_variant : 1, known = x->row->n_plan;
    if (x->p->without & PLANS_FIRST) return false;
    const struct found_plan *plan = x->row->plan;
    if (x->p->objective == OBJECTIVE_FRONTIER) {
        known = x->row->n_frontier;
        plan = x->row->frontier;
    }
    int n_seed = again ? 0 : x->p->n_seed;
    const struct plan **seed = ARENA_ARRAY(x->a, const struct plan *, n_seed + known + 1);
    for (int i = 0; i < n_seed; i++) seed[i] = x->p->seed[i];
    for (int i = 0; i < known; i++) seed[n_seed + i] = plan[i].plan;
    struct climbs c = {.x = x, .p = *x->p, .whole = whole};
    c.p.n_seed = n_seed + known;
    c.p.seed = seed;
    c.p.warm |= again;
    c.share.n = again ? climbers(x, work / (uint64_t)n) : 1;
    c.share.work = work / (uint64_t)n / (uint64_t)c.share.n;
    c.share.draw = again ? work : 0;
    bool counts = climb_all(x, &c, n * c.share.n);
    set_goal(x);
    return counts;
}

/* Where a proof takes long, what it has to beat is looked at again: whenever so much has been done since the
 * last time that the whole is four times as much. */
static bool time_to_climb(int done, int now) {
    int power = 1;
    while (power <= done) power *= 4;
    return power <= done + now;
}

static bool climb_again(struct engine *x, bool whole) {
    enum { MOST = 50000, SHARE = 64, LONG = 4000000, SHARE_LONG = 16, WARM = 4 };
    uint64_t work = ladder_work(x->p), done = x->row->plans_evaluated;
    work = (work < MOST ? work : MOST) + done / SHARE;
    if (ladder_wide(x->p) && done > LONG) work += (done - LONG) / SHARE_LONG;
    return climb(x, work * WARM, true, whole);
}

/* Before a step that begins with n units. What decides on it, and where it begins, is stored between rounds,
 * so that a search that is resumed does the same. True: there is another goal now. */
static bool climb_beside_proof(struct engine *x, int n) {
    int attempts = x->flight.n;
    for (int i = 0; i < x->n_unit; i++) attempts += x->unit[i].result->attempts;
    if (attempts + n <= x->row->climbed || !time_to_climb(attempts, n) || !climb_again(x, true)) return false;
    x->row->climbed = attempts + n;
    return true;
}

/* ---- rounds ------------------------------------------------------------------------- */

/* The next units to prove: first those not yet searched, then those left open after `attempts` attempts. */
static int next_round(struct engine *x, int *round, int most, int attempts) {
    int n = 0;
    for (int i = 0; i < x->n_unit && n < most; i++) {
        struct ranked *u = &x->unit[i];
        struct unit_result *r = u->result;
        if (u->under_way) continue;
        if (r->status == UNIT_TODO && goal_excludes(&x->goal, u->time_lb, u->cost_lb))
            r->status = UNIT_PRUNED;
        bool open =
            r->status == UNIT_OPEN && r->attempts == attempts && (attempts == 1 || !close_enough(x, r));
        if (attempts ? open : r->status == UNIT_TODO) round[n++] = i;
    }
    return n;
}

/* Sorts open units by what was proven about them: that is in the file, the bounds of their tables are not. */
static void sort_open(struct engine *x) {
    for (int i = 0; i < x->n_unit; i++) {
        struct ranked *u = &x->unit[i];
        if (u->result->status == UNIT_OPEN)
            *(x->p->objective == OBJECTIVE_COST ? &u->cost_lb : &u->time_lb) = u->result->lower_bound;
    }
    sort_units(x);
}

/* As many as there may be. */
enum { SLICES_ALL = INT32_MAX };

static struct attempt attempt_at(const struct engine *x, const struct ranked *u) {
    const struct part *part = &x->part[u->part];
    return (struct attempt){.s = part->s, .mb = space_of(x, u), .D = u->D, .workspace = part->workspace};
}

static void tell_progress(void *ctx) { report_progress(ctx); }

/* Probes. 0 done, 1 stopped: then nothing of the round is kept. */
static int run_round(struct engine *x, const int *round, int n, struct unit_effort effort) {
    struct attempt *at = oom_calloc((size_t)n, sizeof *at);
    const struct step_hooks hooks = {.done = tell_progress, .ctx = x};
    struct step t = {at, n, SLICES_ALL, effort, &x->goal};
    for (int i = 0; i < n; i++) at[i] = attempt_at(x, &x->unit[round[i]]);
    bool whole = attempts_all(x->deal, TASK_PROBE, x->p, &t, &hooks, x->a);
    for (int i = 0; i < n && whole; i++)
        merge_answer(x, x->unit[round[i]].result, &at[i].answer, at[i].seconds, true);
    for (int i = 0; i < n; i++) attempt_free(&at[i]);
    free(at);
    return !whole;
}

static double *bound_of(const struct engine *x, struct ranked *u) {
    return x->p->objective == OBJECTIVE_COST ? &u->cost_lb : &u->time_lb;
}

static int by_replicas(const void *a, const void *b) {
    const struct ranked *x = *(struct ranked *const *)a, *y = *(struct ranked *const *)b;
    return x->mb != y->mb ? x->mb - y->mb : x->D - y->D;
}

/* A block's bound holds for its units. Nothing beyond the goal was searched. */
static void take_block_bound(struct engine *x, struct ranked *const *live, const struct block *b,
                             const struct goal *goal) {
    double lb = x->p->objective == OBJECTIVE_COST ? b->lb.cost_usd : b->lb.time_s;
    if (x->p->objective != OBJECTIVE_FRONTIER) lb = fmin(lb, goal->best);
    for (int i = b->first; i < b->end; i++) {
        double *mine = bound_of(x, live[i]);
        *mine = fmax(*mine, lb);
        live[i]->result->lower_bound = fmax(live[i]->result->lower_bound, *mine);
        x->row->bounds.block += goal_excludes(goal, live[i]->time_lb, live[i]->cost_lb);
    }
}

/* One level of blocks. */
struct blocks {
    const struct part *part;
    const struct block_unit *unit;
    struct block *block;
    const struct goal *goal;
    const struct stopper *stop;
};

static bool bound_block(void *ctx, int i) {
    struct blocks *b = ctx;
    if (stop_wanted(b->stop)) return false;
    block_bound(b->part->workspace[omp_get_thread_num()], b->part->s, b->unit, &b->block[i], b->goal);
    return !stop_wanted(b->stop);
}

/* True: stopped. */
static bool block_round(struct engine *x, const struct part *part, struct ranked *const *live,
                        const struct block_unit *unit, struct block *block, int n, const struct goal *goal) {
    struct blocks b = {part, unit, block, goal, &x->stop};
    bool stopped = !deal_tasks(x->deal, TASK_BOUND, n, bound_block, &b);
    if (x->size > 1) {
        double *lb = oom_calloc(2 * (size_t)n, sizeof *lb);
        for (int i = 0; i < n; i++) {
            lb[2 * i] = block[i].lb.time_s;
            lb[2 * i + 1] = block[i].lb.cost_usd;
        }
        MPI_Allreduce(MPI_IN_PLACE, lb, 2 * n, MPI_DOUBLE, MPI_MAX, x->comm);
        for (int i = 0; i < n; i++) block[i].lb = (struct point){lb[2 * i], lb[2 * i + 1]};
        free(lb);
    }
    for (int i = 0; i < n && !stopped; i++) take_block_bound(x, live, &block[i], goal);
    return stopped;
}

/* Bounds for blocks of units of a part, then for the pieces of those that are not good enough. */
static bool bound_blocks(struct engine *x, int part, const struct goal *goal) {
    enum { MANY = 256 };
    const struct search_problem *p = x->p;
    const struct part *of = &x->part[part];
    int n = 0;
    if (p->without & BOUND_BLOCK) return false;
    struct ranked **live = oom_calloc((size_t)x->n_unit + 1, sizeof *live);
    for (int i = 0; i < x->n_unit; i++)
        if (x->unit[i].part == part && x->unit[i].result->status == UNIT_TODO &&
            !goal_excludes(goal, x->unit[i].time_lb, x->unit[i].cost_lb))
            live[n++] = &x->unit[i];
    if (n < MANY && !(p->with & BOUND_BLOCK)) return free(live), false;
    struct block_unit *unit = oom_calloc((size_t)n + 1, sizeof *unit);
    struct block *block = oom_calloc((size_t)n + 1, sizeof *block),
                 *next = oom_calloc((size_t)n + 1, sizeof *next);
    qsort(live, (size_t)n, sizeof *live, by_replicas);
    for (int i = 0; i < n; i++) unit[i] = (struct block_unit){live[i]->mb, live[i]->D};
    bool stopped = false;
    for (n = blocks_first(of->s, unit, n, block); n && !stopped;) {
        stopped = block_round(x, of, live, unit, block, n, goal);
        int parts = 0;
        for (int i = 0; i < n && !stopped; i++) {
            bool open = false;
            for (int k = block[i].first; k < block[i].end && !open; k++)
                open = !goal_excludes(goal, live[k]->time_lb, live[k]->cost_lb);
            if (open) parts += block_split(of->s, unit, &block[i], next + parts);
        }
        struct block *done = block;
        block = next;
        next = done;
        n = parts;
    }
    free(live);
    free(unit);
    free(block);
    free(next);
    return stopped;
}

/* Bounds of units by their tables, some at a time. */
enum { UNITS_AT_ONCE = 8 };

struct unit_bounds {
    struct engine *x;
    double *lb; /* [n_unit] */
};

static bool bound_some(void *ctx, int task) {
    const struct unit_bounds *b = ctx;
    struct engine *x = b->x;
    for (int i = task * UNITS_AT_ONCE; i < (task + 1) * UNITS_AT_ONCE && i < x->n_unit; i++) {
        const struct ranked *u = &x->unit[i];
        const struct part *part = &x->part[u->part];
        if (part->merge || u->result->status != UNIT_TODO || goal_excludes(&x->goal, u->time_lb, u->cost_lb))
            continue;
        if (stop_wanted(&x->stop)) return false;
        struct point lb =
            unit_root_bound(part->workspace[omp_get_thread_num()], space_of(x, u), u->D, u->D, &x->goal);
        if (stop_wanted(&x->stop)) return false;
        b->lb[i] = x->p->objective == OBJECTIVE_COST ? lb.cost_usd : lb.time_s;
    }
    return true;
}

/* Replace the crude bounds of all units still of interest by those of the tables, where zones do not merge.
 */
static int bound_units(struct engine *x) {
    int stopped = 0;
    for (int k = 0; k < x->n_part && !stopped; k++)
        if (!x->part[k].merge) stopped = bound_blocks(x, k, &x->goal);
    if (stopped) return 1;
    struct unit_bounds b = {x, oom_calloc((size_t)x->n_unit + 1, sizeof *b.lb)};
    for (int i = 0; i < x->n_unit; i++) b.lb[i] = INFINITY;
    int tasks = (x->n_unit + UNITS_AT_ONCE - 1) / UNITS_AT_ONCE;
    stopped = !deal_tasks(x->deal, TASK_BOUND, tasks, bound_some, &b);
    if (x->size > 1) MPI_Allreduce(MPI_IN_PLACE, b.lb, x->n_unit, MPI_DOUBLE, MPI_MIN, x->comm);
    for (int i = 0; i < x->n_unit && !stopped; i++) {
        struct ranked *u = &x->unit[i];
        double *mine = bound_of(x, u);
        if (x->part[u->part].merge) continue; /* not asked */
        *mine = fmax(*mine, b.lb[i]);
        if (u->result->status == UNIT_TODO) u->result->lower_bound = *mine;
    }
    free(b.lb);
    sort_units(x);
    return stopped;
}

enum { DIVE = 2000 }; /* partial plans */

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
    int stopped = run_round(x, round, n, effort);
    set_goal(x);
    return stopped;
}

/* ---- merged zones ------------------------------------------------------------------- */

/* Where units are few or have few patterns, searching them takes less time than bounding them first. A
 * frontier has many goals at once, and a bound on one of them is of no use. */
static bool zones_merge(const struct engine *x, int part) {
    const double MUCH = 400000;
    const struct search_problem *p = x->p;
    const struct space *s = x->part[part].s;
    if (p->objective == OBJECTIVE_FRONTIER || p->without & BOUND_MERGED || !space_can_merge(s)) return false;
    double patterns = 0, units = 0;
    for (int k = 0; k < s->n_mb; k++) patterns = fmax(patterns, s->mb[k].n_pattern);
    for (int i = 0; i < x->n_unit; i++) units += x->unit[i].part == part;
    return p->with & BOUND_MERGED || patterns * units >= MUCH;
}

/* The next units of a part whose bounds are not good enough after so many attempts: least bound first. */
static int next_relaxed(struct engine *x, int part, const struct goal *goal, int attempt, int *round,
                        int most) {
    int n = 0;
    sort_units(x);
    for (int i = 0; i < x->n_unit && n < most; i++) {
        const struct ranked *u = &x->unit[i];
        if (u->part == part && u->result->status == UNIT_TODO && u->relaxed <= attempt &&
            !goal_excludes(goal, u->time_lb, u->cost_lb))
            round[n++] = i;
    }
    return n;
}

/* Takes over a unit's bound with merged zones, and the real plans found there. */
static void take_relaxed(struct engine *x, struct ranked *u, const struct unit_answer *answer,
                         const struct goal *goal) {
    double *mine = bound_of(x, u), lb = answer->status == UNIT_OPEN ? answer->lower_bound : goal->best;
    u->relaxed++;
    u->result->nodes += answer->nodes;
    u->result->plans_evaluated += answer->plans;
    x->row->plans_evaluated += answer->nodes + answer->plans;
    for (int k = 0; k < answer->n_plan; k++) {
        struct found_plan f = answer->plan[k];
        best_estimate(x->p, &f, x->a);
        double value = problem_value(x->p, &f.est);
        lb = fmin(lb, value);
        u->result->value = fmin(u->result->value, value);
        best_add(x->p, x->row, f, x->a);
    }
    *mine = fmax(*mine, lb);
    u->result->lower_bound = fmax(u->result->lower_bound, *mine);
    x->row->bounds.merged += goal_excludes(goal, u->time_lb, u->cost_lb);
    bounds_add(&x->row->bounds, &answer->bounds);
}

/* True: stopped, and no answer of the round counts. */
static bool relax_round(struct engine *x, struct relax *r, const struct goal *goal, const int *round, int n,
                        struct unit_effort effort) {
    struct attempt *at = oom_calloc((size_t)n, sizeof *at);
    const struct space *s = relax_space(r);
    for (int i = 0; i < n; i++) {
        const struct ranked *u = &x->unit[round[i]];
        at[i] = (struct attempt){.s = s, .mb = &s->mb[u->mb], .D = u->D, .workspace = relax_workspaces(r)};
    }
    struct step t = {at, n, SLICES_ALL, effort, goal};
    bool whole = attempts_all(x->deal, TASK_MERGED, x->p, &t, NULL, x->a);
    for (int i = 0; i < n && whole; i++) take_relaxed(x, &x->unit[round[i]], &at[i].answer, goal);
    for (int i = 0; i < n; i++) attempt_free(&at[i]);
    free(at);
    return !whole;
}

/* Anything within the gap will do. */
static struct goal relaxed_goal(const struct engine *x) {
    struct goal goal = x->goal;
    goal.best *= 1 - 0.9 * x->p->gap;
    return goal;
}

/* One attempt at all units of a part that are of interest; true: stopped. */
static bool relax_part(struct engine *x, int part, int attempt) {
    enum { ROUND = 64, ROUND_LAYOUT = 8, MERGED = 3 };
    static const uint64_t limit[] = {20000, 200000, 2000000, 2000000, 20000000};
    bool lay_out = attempt >= MERGED, stopped = false;
    struct unit_effort effort = {
        .limit = limit[attempt], .lay_out = lay_out, .tolerance = lay_out ? 0.9 * x->p->gap : 0};
    if (lay_out && x->p->without & BOUND_LAYOUT) return false;
    while (!stopped) {
        struct goal goal = relaxed_goal(x);
        int round[ROUND], n = next_relaxed(x, part, &goal, attempt, round, lay_out ? ROUND_LAYOUT : ROUND);
        if (!n) return false;
        stopped = relax_round(x, x->part[part].relax, lay_out ? &x->goal : &goal, round, n, effort);
        set_goal(x);
        if (!stopped && time_to_climb(x->rounds++, 1)) climb_again(x, false);
        set_bounds(x);
        report_progress(x);
    }
    return true;
}

/* Bounds of all units of interest with the zones of each region merged, with more and more effort: most units
 * are done with a table or two. Of the others, the merged plans are laid out on the real zones. Stopped or
 * not, what is known about each unit stays. */
static int relax_units(struct engine *x) {
    enum { ATTEMPTS = 5 };
    struct goal goal = relaxed_goal(x);
    for (int i = 0; i < x->n_part; i++) {
        struct part *part = &x->part[i];
        part->relax = part->merge ? relax_new(part->s, x->memo, x->threads) : NULL;
    }
    int stopped = any_rank_stopped(x); /* as is a rank without the tables that it needs */
    for (int i = 0; i < x->n_part && !stopped; i++)
        if (x->part[i].merge) stopped = !x->part[i].relax || bound_blocks(x, i, &goal);
    for (int k = 0; k < ATTEMPTS && !stopped; k++)
        for (int i = 0; i < x->n_part && !stopped; i++)
            if (x->part[i].merge) stopped = relax_part(x, i, k);
    for (int i = 0; i < x->n_part; i++) relax_free(x->part[i].relax);
    return stopped;
}

/* Searches the most promising units within the gap once more, with little tolerance. Only plans count, and
 * units proven to the end; if it is stopped, the answer stays as it was. */
static void polish(struct engine *x) {
    enum { POLISHED = 4 };
    int round[POLISHED], n = 0;
    if (x->p->gap == 0 || x->p->objective == OBJECTIVE_FRONTIER) return;
    sort_open(x);
    for (int i = 0; i < x->n_unit && n < POLISHED; i++)
        if (x->unit[i].result->status == UNIT_OPEN) round[n++] = i;
    if (!n) return;
    run_round(x, round, n, (struct unit_effort){.limit = 2000000, .tolerance = 0.1 * x->p->gap});
    set_goal(x);
    set_bounds(x);
}

/* How many slices a step of an attempt has, about: few at first, as they find a plan to beat. */
static int step_slices(int step) {
    enum { FIRST = 4, DOUBLINGS = 11 };
    return FIRST << (step < DOUBLINGS ? step : DOUBLINGS);
}

static void depart(struct engine *x, struct ranked *u) {
    struct flight *f = &x->flight;
    if (f->n == f->room) {
        f->room = f->room ? 2 * f->room : 64;
        f->x = oom_realloc(f->x, (size_t)f->room, sizeof *f->x);
        f->unit = oom_realloc(f->unit, (size_t)f->room, sizeof(struct ranked *));
    }
    u->under_way = true;
    u->so_far = -INFINITY;
    f->unit[f->n] = u;
    f->x[f->n++] = attempt_at(x, u);
}

/* What an attempt has found so far is known to all from the next step on. */
static void take_found(struct engine *x, const struct unit_answer *answer) {
    for (int k = 0; k < answer->n_plan; k++) {
        const struct estimate *est = &answer->plan[k].est, *of;
        bool known = false; /* most of a frontier is */
        for (int i = 0; i < x->row->n_frontier && !known; i++) {
            of = &x->row->frontier[i].est;
            known = of->iteration_time_s <= est->iteration_time_s && of->cost_usd <= est->cost_usd;
        }
        if (!known) best_add(x->p, x->row, answer->plan[k], x->a);
    }
}

/* Attempts that are over leave. */
static void arrive(struct engine *x) {
    struct flight *f = &x->flight;
    int n = 0;
    x->row->plans_evaluated -= f->counted;
    x->in_step = f->counted = 0;
    for (int i = 0; i < f->n; i++) {
        struct attempt *at = &f->x[i];
        if (!at->over) {
            f->counted += done_by(&at->answer);
            f->unit[i]->so_far = at->bound;
            take_found(x, &at->answer);
            f->x[n] = *at;
            f->unit[n++] = f->unit[i];
            continue;
        }
        f->unit[i]->under_way = false;
        merge_answer(x, f->unit[i]->result, &at->answer, at->seconds, false);
        attempt_free(at);
    }
    f->n = n;
    x->row->plans_evaluated += f->counted;
}

/* Attempts go on where an earlier run left them. */
static void depart_again(struct engine *x) {
    const struct saved *s = x->resumed_at;
    for (int i = 0; i < s->n_unit; i++) {
        const struct saved_answer *one = &s->unit[i];
        struct ranked *u = x->unit;
        while (u->result != &x->row->unit[one->index]) u++;
        depart(x, u);
        struct attempt *at = &x->flight.x[x->flight.n - 1];
        at->answer = one->answer;
        x->flight.counted += done_by(&at->answer);
        u->result->lower_bound = one->bound;
        at->seconds = one->seconds;
        at->begun = one->begun;
        at->lost = one->lost;
        at->goal = (struct goal){.objective = x->p->objective, .best = one->best};
        for (int k = 0; k < at->answer.n_plan; k++) best_estimate(x->p, &at->answer.plan[k], x->a);
        at->n_left = at->answer.n_left;
        at->left = oom_malloc(sizeof *at->left * (size_t)(at->n_left + 1));
        if (at->n_left) memcpy(at->left, at->answer.left, sizeof *at->left * (size_t)at->n_left);
        at->answer.n_left = 0;
    }
    if (!s->chosen) return;
    x->goal.best = s->best;
    x->goal.n_front = s->n_front;
    x->goal.front = s->front;
}

static bool save_step(void *ctx, const struct deal_answers *r, bool stopped) {
    return save(ctx, r, true, stopped);
}

static void recall_step(void *ctx, struct deal_answers *r, struct arena *a) {
    (void)a;
    recall(ctx, r, true);
}

/* A step of the proof: those under way, and as many more units as it has slices for. 1: there is nothing left
 * to do; -1: stopped, or failed. */
static int prove_step(struct engine *x, struct unit_effort effort) {
    enum { MOST = 1 << 14, AT_LEAST = 256, WINDOWS = 1 << 20 };
    struct flight *f = &x->flight;
    bool again = x->resumed_at;
    int slices = step_slices(f->step), round[MOST], n = 0;
    set_goal(x);
    if (again) depart_again(x);
    set_bounds(x);
    if (!again || !x->resumed_at->chosen) {
        int room = slices < MOST ? slices : MOST, more = room > f->n ? room - f->n : 0, windows = 0;
        for (int i = 0; i < f->n; i++) windows += f->x[i].n_left;
        if (windows > WINDOWS) more = 0; /* all ranks hold them */
        n = next_round(x, round, more, f->attempt);
        if (n && climb_beside_proof(x, n)) n = next_round(x, round, more, f->attempt);
        if (x->halted || x->failed) return -1;
    }
    for (int i = 0; i < n; i++) depart(x, &x->unit[round[i]]);
    if (!f->n) return 1;
    struct step t = {f->x, f->n, slices < AT_LEAST ? AT_LEAST : slices, effort, &x->goal};
    const struct step_hooks hooks = {tell_progress, save_step, recall_step, x};
    if (!attempts_step(x->deal, TASK_PROOF, x->p, &t, &hooks, x->a)) return -1;
    x->resumed_at = NULL;
    arrive(x);
    f->step++;
    set_goal(x);
    set_bounds(x);
    report_progress(x);
    return checkpoint(x, NULL, false) ? -1 : 0;
}

/* Short searches for good plans, between which the units get better bounds. True: stopped. */
static int probe(struct engine *x, bool known) {
    const struct unit_effort dive = {.limit = DIVE, .dive = true};
    int stopped = 0;
    bool merge = false, apart = false;
    for (int k = 0; k < x->n_part; k++) *(x->part[k].merge ? &merge : &apart) = true;
    if (!known && (!merge || !x->row->n_plan)) stopped = probe_units(x, dive, true);
    if (!stopped && apart) stopped = bound_units(x);
    if (!stopped && merge) stopped = relax_units(x);
    if (!stopped && !known)
        stopped = probe_units(x, (struct unit_effort){.limit = 8000}, true) ||
                  probe_units(x, (struct unit_effort){.limit = 50000}, false);
    return stopped;
}

/* Are there links between types that bounds must look at (chain.h)? */
static bool some_type_far(const struct engine *x) {
    for (int i = 0; i < x->n_unit; i++)
        if (space_of(x, &x->unit[i])->n_group) return true;
    return false;
}

/* Of a search that is stopped: what is proven of units under way. */
static void keep_bounds(struct engine *x) {
    double best = best_value(x);
    if (x->p->objective == OBJECTIVE_FRONTIER) return;
    for (int i = 0; i < x->flight.n; i++) {
        struct unit_result *r = x->flight.unit[i]->result;
        r->lower_bound = fmax(r->lower_bound, fmin(x->flight.x[i].bound, best));
        x->flight.unit[i]->under_way = false;
    }
}

static bool sane_answer(const struct engine *x, const struct unit_answer *answer, const struct ranked *u) {
    struct err e;
    int scopes = u ? unit_scopes(x->part[u->part].s) : INT32_MAX;
    bool sane = attempt_sane(answer, scopes);
    for (int k = 0; k < answer->n_plan && sane; k++) {
        struct found_plan f = answer->plan[k];
        sane = !plan_check(f.plan, x->p->w, "", &e);
        if (sane) best_estimate(x->p, &f, x->a);
        sane = sane && f.est.fits && f.est.iteration_time_s > 0 && f.est.iteration_time_s < INFINITY;
    }
    return sane;
}

/* Where an earlier run was. What another version has left there is begun anew. */
static int load_state(struct engine *x, int last, struct err *e) {
    struct row_result *row = x->row;
    x->begun = true;
    struct saved *s = ARENA_NEW(x->a, struct saved);
    const struct wire b = {.bytes = (unsigned char *)(uintptr_t)row->state, .n = (size_t)row->n_state};
    int rc = row->n_state ? wire_get_saved(&b, s, row->n_unit, x->p->w, x->a) : 1;
    row->n_state = 0;
    if (rc > 0) return 0;
    bool sane = !rc && s->attempt < last && (s->n_unit || !s->chosen);
    for (int i = 0; i < s->n_front && sane; i++)
        sane = s->front[i].time_s > 0 && s->front[i].cost_usd >= 0 && s->front[i].time_s < INFINITY;
    for (int i = 0; i < s->n_unit && sane; i++) {
        const struct unit_result *r = &row->unit[s->unit[i].index];
        const struct ranked *u = x->unit;
        while (u->result != r) u++;
        sane = r->status == (s->attempt ? UNIT_OPEN : UNIT_TODO) && r->attempts == s->attempt &&
               s->unit[i].bound <= r->lower_bound && sane_answer(x, &s->unit[i].answer, u);
    }
    for (int i = 0; i < s->n_done && sane; i++) sane = sane_answer(x, &s->done[i].answer, NULL);
    uint64_t done = 0;
    for (int i = 0; i < s->n_done; i++) done += done_by(&s->done[i].answer);
    if (done > row->plans_evaluated) sane = false;
    row->plans_evaluated -= done; /* it will be done again, or taken over */
    if (!sane)
        return err_set(e, EXIT_INPUT, "the file to resume is damaged where it says how far a round has come");
    x->flight.attempt = s->attempt;
    x->flight.step = s->step;
    x->resumed_at = s;
    return 0;
}

static int solve_all(struct engine *x, int *stopped, struct err *e) {
    enum { ATTEMPTS = 3 };
    /* of each attempt at a proof, in a gap mode. Where types are far apart, the first closes few units: it is
     * to say which are worth more. */
    static const uint64_t near[ATTEMPTS] = {1000000, 20000000, 100000000},
                          far[ATTEMPTS] = {100000, 3000000, 100000000};
    const uint64_t *limit = some_type_far(x) ? far : near;
    struct flight *f = &x->flight;
    sort_units(x);
    set_goal(x);
    set_bounds(x);
    if (!x->resumed) {
        bool known = x->p->warm && x->row->n_plan; /* the plan to beat is good */
        for (int k = 0; k < x->n_part; k++) x->part[k].merge = zones_merge(x, k);
        if ((*stopped = probe(x, known))) { /* as if no unit had been begun: the plans stay */
            for (int i = 0; i < x->n_unit; i++) x->unit[i].result->status = UNIT_TODO;
            x->row->n_unit = 0;
            return 0;
        }
    }
    /* A frontier has many open units: a third attempt at each would take too long for what it proves. */
    int last = x->p->gap == 0 ? 1 : x->p->objective == OBJECTIVE_FRONTIER ? 2 : ATTEMPTS;
    if (load_state(x, last, e)) return -1;
    for (; f->attempt < last; f->attempt++, f->step = 0) {
        struct unit_effort effort = {.limit = x->p->gap > 0 ? limit[f->attempt] : 0,
                                     .tolerance = f->attempt ? 0.9 * x->p->gap : 0};
        int done = 0;
        set_goal(x);
        if (f->attempt) sort_open(x);
        while (!done) done = prove_step(x, effort);
        if (x->failed) return -1;
        if ((*stopped = done < 0)) return keep_bounds(x), 0;
    }
    polish(x);
    return 0;
}

/* ---- a row -------------------------------------------------------------------------- */

/* Where there is much to do, some plan comes first, then some bound, and then better plans. */
static bool long_climb(const struct search_problem *p) {
    enum { LONG = 100000 };
    return ladder_work(p) >= LONG && p->objective != OBJECTIVE_FRONTIER;
}

/* ---- parts of the pool by themselves ---- */

/* What the part's row has found, to the whole. */
static void take_over(struct engine *x, const struct row_result *row, const struct row_result *before) {
    for (int i = 0; i < row->n_plan; i++) {
        struct found_plan f = row->plan[i];
        bool old = false;
        for (int k = 0; k < before->n_plan; k++) old |= f.plan == before->plan[k].plan;
        if (old) continue;
        f.plan = plan_copy(f.plan, x->a);
        best_estimate(x->p, &f, x->a);
        best_add(x->p, x->row, f, x->a);
    }
}

/* Dives into a part of the pool, for plans that beat what is known of the whole, and a local search from
 * those. Collective, like the search itself. */
static int probe_part(struct engine *x, const int *pool, struct err *e) {
    enum { LOOK_ROUND = 20000 };
    struct arena scratch = {0};
    struct search_problem p = *x->p;
    const struct row_result before = {.plan = x->row->plan, .n_plan = x->row->n_plan};
    struct row_result row = before;
    struct engine y = *x;
    p.pool = pool;
    y.p = &p;
    y.row = &row;
    y.hooks = NULL;
    y.a = &scratch;
    y.sample = true;
    int rc = build_parts(&y, &scratch, e);
    if (!rc) list_units(&y);
    if (!rc && !any_rank_stopped(&y) && !(rc = adopt_units(&y, e))) {
        hire(&y, &scratch);
        double known;
        set_goal(&y);
        sort_units(&y);
        known = best_value(&y);
        probe_units(&y, (struct unit_effort){.limit = DIVE, .dive = true}, true);
        dismiss(&y);
        if (best_value(&y) < known) climb(&y, LOOK_ROUND, true, false);
    }
    x->row->plans_evaluated += row.plans_evaluated;
    take_over(x, &row, &before);
    arena_free(&scratch);
    set_goal(x);
    return rc;
}

/* Of the part numbered `by`: the cells one by one, then the GPU types, then the zones. 0: there is no such
 * part, or it is the whole. */
static int part_of(const struct search_problem *p, int by, int *part) {
    int n_gpu = p->w->site->n_gpu, n_zone = p->w->site->n_zone, n = n_zone * n_gpu, here = 0, all = 0;
    for (int k = 0; k < n; k++) {
        bool in = by < n ? k == by : by < n + n_gpu ? k % n_gpu == by - n : k / n_gpu == by - n - n_gpu;
        part[k] = in ? p->pool[k] : 0;
        here += part[k] > 0;
        all += p->pool[k] > 0;
    }
    return here < all && (by < n || here > 1) ? here : 0;
}

/* Each cell, each GPU type and each zone alone: what a user would try by hand, so that the whole is not
 * worse. */
static int probe_parts(struct engine *x, struct err *e) {
    const struct site *site = x->p->w->site;
    int n = site->n_zone * site->n_gpu, *part = ARENA_ARRAY(x->a, int, n);
    for (int by = 0; by < n + site->n_gpu + site->n_zone; by++) {
        if (!part_of(x->p, by, part)) continue;
        if (any_rank_stopped(x)) break;
        if (probe_part(x, part, e)) return -1;
    }
    return 0;
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

static int search(struct engine *x, struct err *e) {
    enum { FIRST = 16 };
    const struct search_problem *p = x->p;
    struct row_result *row = x->row;
    struct arena *a = x->a;
    for (int i = 0; i < row->n_plan; i++) best_estimate(p, &row->plan[i], a);
    for (int i = 0; i < row->n_frontier; i++) best_estimate(p, &row->frontier[i], a);
    bool fresh = !row->n_unit && !row->n_plan && !row->n_frontier, by_parts = fresh && long_climb(p);
    uint64_t work = ladder_work(p);
    if (fresh) climb(x, by_parts ? work / FIRST : work, false, false);
    if (build_parts(x, a, e)) return -1;
    row->bounds.islands = x->n_part > 1 ? (uint64_t)x->n_part : 0;
    list_units(x);
    if (any_rank_stopped(x)) return nothing_proven(x);
    recall_bounds(x);
    if (adopt_units(x, e)) return -1;
    if (by_parts) {
        if (!(p->warm && row->n_plan) && probe_parts(x, e)) return -1;
        climb(x, work / 4, false, false);
        climb(x, work - work / 4, false, false);
    }
    hire(x, a);
    int stopped = 0, rc = solve_all(x, &stopped, e);
    dismiss(x);
    if (rc) return -1;
    set_goal(x);
    set_bounds(x);
    row->status = !row->n_plan ? ROW_TODO : stopped || row->gap > 0 ? ROW_FEASIBLE : ROW_OPTIMAL;
    if (stopped) return 1;
    if (!row->n_plan && row->lower_bound < INFINITY) {
        row->reason = why_undecided(x);
        return 0;
    }
    if (!row->n_plan) {
        row->status = ROW_INFEASIBLE;
        struct space *all = x->n_part > 1 ? space_build(p, &x->stop, x->threads, a, e) : x->part[0].s;
        if (!all) return -1;
        if (any_rank_stopped(x)) { /* with a part of the space, or none */
            row->status = ROW_TODO;
            return 1;
        }
        row->reason = why_infeasible(p, all, x->hooks, x->world, x->threads, a);
        row->lower_bound = INFINITY;
        row->gap = 0;
        if (any_rank_stopped(x)) { /* the reason may be incomplete */
            row->status = ROW_TODO;
            row->reason = NULL;
            return 1;
        }
    }
    return 0;
}

/* In the row's memory, if there is something to go on with: from a file if the proof has not even begun. */
static void keep_state(struct engine *x) {
    struct row_result *row = x->row;
    if (x->begun && !x->halted) row->n_state = 0;
    unsigned char *bytes = ARENA_ARRAY(x->a, unsigned char, row->n_state + 1);
    if (row->n_state) memcpy(bytes, row->state, (size_t)row->n_state);
    row->state = bytes;
    wire_free(&x->state);
    for (int i = 0; i < x->flight.n; i++) attempt_free(&x->flight.x[i]);
    free(x->flight.x);
    free(x->flight.unit);
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
    foresee_memory(threads);
    if (world) {
        x.world = world;
        x.comm = world->mpi;
        MPI_Comm_rank(x.comm, &x.rank);
        MPI_Comm_size(x.comm, &x.size);
    }
    if (hooks) x.stop = (struct stopper){hooks->stop, hooks->ctx};
    x.deal = deal_new(world, threads, row, a);
    x.e = e;
    int rc = search(&x, e);
    deal_free(x.deal);
    keep_state(&x);
    return rc;
}
