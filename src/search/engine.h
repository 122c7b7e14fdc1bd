#ifndef SAILOR_SEARCH_ENGINE_H
#define SAILOR_SEARCH_ENGINE_H
#include "io/mpx_comm.h"
#include "search/attempt.h"
#include "search/problem.h"
/* What search.c and its rooms share: first what each of them may use, then room by room what it offers to
 * those below. Calls that deal tasks or exchange messages are collective. */

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
    int gear;                /* of merging.c, that comes next */
    struct attempt *merged;  /* with merged zones, to be gone on with; NULL: there is none */
    struct told {
        uint64_t nodes, plans;
    } told;         /* of it, to the row */
    bool under_way; /* an attempt at a proof, which has this bound so far: */
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

/* As many as there may be. */
enum { SLICES_ALL = INT32_MAX };

static inline const struct mb_space *ranked_space(const struct engine *x, const struct ranked *u) {
    return &x->part[u->part].s->mb[u->mb];
}

/** The bound by which units are sorted. */
static inline double *ranked_bound(const struct engine *x, struct ranked *u) {
    return x->p->objective == OBJECTIVE_COST ? &u->cost_lb : &u->time_lb;
}

/** Is it still of interest: not searched yet, and not excluded by the goal? */
static inline bool ranked_live(const struct ranked *u, const struct goal *goal) {
    return u->result->status == UNIT_TODO && !goal_excludes(goal, u->time_lb, u->cost_lb);
}

/** The unit of a result in the row's table. */
static inline struct ranked *ranked_of(const struct engine *x, int index) {
    struct ranked *u = x->unit;
    while (u->result != &x->row->unit[index]) u++;
    return u;
}

static inline uint64_t answer_work(const struct unit_answer *answer) { return answer->nodes + answer->plans; }

/* ---- engine.c: the parts of the pool ---- */

/** A space for each island; not 0 with *e set. */
int engine_build_parts(struct engine *x, struct arena *a, struct err *e);

/** Workspaces of all parts and threads, and their end. */
void engine_hire(struct engine *x, struct arena *a);
void engine_dismiss(struct engine *x);

/** Does any rank want to stop? Collective. */
bool engine_stopped(const struct engine *x);

/** Since the row was begun, earlier runs included. */
double engine_elapsed_s(const struct engine *x);

/** An attempt at a unit that has not begun. */
struct attempt engine_attempt(const struct engine *x, const struct ranked *u);

/* ---- worklist.c: the list of units ---- */

/** All units of all parts, each with a crude bound. After a stop the list is not whole. */
void worklist_fill(struct engine *x);

/** Before they are sorted: takes over what the same question without money has proven about their times. */
void worklist_recall(struct engine *x);

/** The row's table of units: fresh, or taken over from an earlier run; not 0 with *e set. */
int worklist_adopt(struct engine *x, struct err *e);

/** By their bounds, of equal ones by part, microbatch and D. */
void worklist_sort(struct engine *x);

/** The same, where what was proven about open units counts as their bound. */
void worklist_sort_open(struct engine *x);

/* ---- standing.c: what is found, and what is proven ---- */

/** The value of the best plan; INFINITY without one. */
double standing_value(const struct engine *x);

/** What plans have to beat from now on. The first to hear of a better plan is the hook. */
void standing_set_goal(struct engine *x);

/** Plans for the row. Returns the least value of them. */
double standing_take_plans(struct engine *x, int n, const struct found_plan *plan);

/** The plans of an answer and what it took, for its unit and the row. Returns the least value. */
double standing_take(struct engine *x, struct unit_result *r, const struct unit_answer *answer);

/** All that an attempt at a unit has come to. Of a probe that is not over only the plans count. */
void standing_merge(struct engine *x, struct unit_result *r, const struct unit_answer *answer, double seconds,
                    bool probe);

/** What is proven: nothing is below the best value, except in units not yet, or not fully, searched. */
void standing_set_bounds(struct engine *x);

/** Is what the last attempt left open within the gap asked for? */
bool standing_close_enough(const struct engine *x, const struct unit_result *r);

/** Tells the hook of the progress, once a second at most. `engine` is one: steps have this as a hook. */
void standing_report(void *engine);

/* ---- state.c: a proof that is interrupted ---- */

/** Has the row written to its file, if it is time. `r`: of the round that is not over, if any; `chosen`: that
 * is a step, with all its units. Not 0, on every rank, if it could not be written. Collective. */
int state_checkpoint(struct engine *x, const struct deal_answers *r, bool chosen);

/** The same at a pause in a round of the proof; after a stop the row itself says where it goes on. False: the
 * file could not be written. Collective. */
bool state_save(struct engine *x, const struct deal_answers *r, bool chosen, bool stopped);

/** Where an earlier run was, before attempt `last`. What another version has left there is begun anew. Not 0
 * with *e set. */
int state_load(struct engine *x, int last, struct err *e);

/** What an earlier run has done of this round. */
void state_recall(struct engine *x, struct deal_answers *r, bool chosen);

/** At the end: the state is in the row's memory if there is something to go on with, from a file if the proof
 * has not even begun. The attempts under way are freed. */
void state_keep(struct engine *x);

/* ---- climbs.c: plans to beat, by local search ---- */

/** Every choice of options has its share of the work; what was found before is where it begins, with what was
 * known from elsewhere, unless `again`. `whole`: what is stopped does not count, and what is done is saved.
 * False: stopped. Collective. */
bool climbs_run(struct engine *x, uint64_t work, bool again, bool whole);

/** Again from the best plans, before a step of the proof that begins with n units, if it is due. True: there
 * is another goal now. Collective. */
bool climbs_beside_proof(struct engine *x, int n);

/** After a round of bounds with merged zones, if it is due. Collective. */
void climbs_beside_bounds(struct engine *x);

/* ---- bounds.c: better bounds than the crude ones; not 0: stopped ---- */

/** Of blocks of the units of a part, and then of their pieces. Collective. */
bool bounds_of_blocks(struct engine *x, int part, const struct goal *goal);

/** Of all units still of interest where zones do not merge, by the tables of the search. Collective. */
int bounds_by_tables(struct engine *x);

/* ---- merging.c ---- */

/** Are the units of a part to be bounded with merged zones? */
bool bounds_merge_zones(const struct engine *x, int part);

/** Of all others with the zones of each region merged, with more and more effort: most units are done with a
 * table or two. Of the rest, the merged plans are laid out on the real zones. Stopped or not, what is known
 * about each unit stays. Collective. */
int bounds_by_merging(struct engine *x);

/* ---- probe.c: short searches for good plans ---- */

/** In the units, which get better bounds in between. `known`: the plan to beat is good. Not 0: stopped.
 * Collective. */
int probe_all(struct engine *x, bool known);

/** In each cell, each GPU type and each zone alone: what a user would try by hand, so that the whole is not
 * worse. Not 0 with *e set. Collective. */
int probe_parts(struct engine *x, struct err *e);

/** After the proof: the most promising units within the gap once more, with little tolerance. Only plans
 * count, and units proven to the end; if it is stopped, the answer stays as it was. Collective. */
void probe_polish(struct engine *x);

/* ---- prove.c: the proof, and what comes before it ---- */

/** All units in the list, as far as the goal asks. -1 with *e set. Collective. */
int prove_all(struct engine *x, int *stopped, struct err *e);

#endif
