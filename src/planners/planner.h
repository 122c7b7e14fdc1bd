#ifndef SAILOR_PLANNERS_PLANNER_H
#define SAILOR_PLANNERS_PLANNER_H
#include "search/search.h"
#include "sim/answer.h"
#include "sim/job.h"
/* Everything that answers a row of a job, behind one door: struct planner. The first is exact (exact.c), the
 * proven optimum. The others are those that the paper compares (docs/planners.md), each a plan space, an
 * estimator and a ranking over the common tables: such a planner only proposes plans, and planner_walk()
 * judges every list in the same way, by the common simulator. Each has two modes: faithful keeps the defects
 * of the published code, corrected fixes them; [Q1], [Q2], ... mark them, with an index in docs/planners.md.
 */

/** What a planner is asked. */
struct question {
    const struct workload *w;         /* with the profiles of every GPU type of the site that has one */
    const struct pool *pool;          /* a row of the job; pool->entry has the order of the file */
    enum objective objective;         /* throughput or cost */
    double max_usd_per_iteration;     /* INFINITY = no limit */
    double min_iterations_per_s;      /* 0 = no limit */
    const struct search_hooks *hooks; /* .stop is polled now and then, true = give up; may be NULL */
    /* Options; a planner's `can` says which of them it heeds. */
    bool corrected;        /* CAN_CORRECTED */
    long states;           /* CAN_STATES: states to evaluate; 0 = the planner's default */
    const void *extra;     /* what the planner's load() gave */
    const struct pin *pin; /* CAN_PIN; NULL = nothing is fixed */
    bool exact_batch;      /* CAN_EXACT_BATCH */
    int top_k;             /* CAN_TOP; 0 = 1 */
    double gap;            /* CAN_PROOF: see struct search_problem */
    int n_warm;            /* CAN_WARM: plans that answered nearly the same question, best first */
    const struct plan *const *warm;
};

/** How the answer is worked out: it must not depend on `comm` and `threads`. */
struct planner_run {
    enum estimator estimator; /* the common simulator, which judges the plans */
    int threads;
    const struct mpx_comm *comm; /* CAN_RANKS: as for search_row() */
};

/** One plan of a planner's list. */
struct proposal {
    double time_s, cost_usd; /* the planner's own estimate per iteration; NAN = it has none */
    long id;                 /* for answer.build */
    const struct plan *plan; /* NULL: answer.build makes it */
};

/** A planner's list, best first in its own ranking. Long lists leave the plans to build(). */
struct answer {
    int n;
    const struct proposal *proposal; /* [n] */
    const struct plan *(*build)(const struct answer *x, long id,
                                struct arena *a); /* NULL: every plan is there */
    const void *ctx;                              /* for build() */
    uint64_t states;                              /* plans or states that the search evaluated */
};

/** What a baseline's own estimator says about a plan. */
struct guess {
    double time_s, peak_bytes; /* NAN = it has no such model */
};

/** What a planner can do beyond finding one plan for a row; programs ask these bits, never the name. */
enum planner_can {
    CAN_PROVE = 1 << 0,       /* lower bound and gap mean something; a gap may be asked for */
    CAN_TOP = 1 << 1,         /* more than one plan of a row */
    CAN_RESUME = 1 << 2,      /* goes on from a row_result that an earlier run left unfinished */
    CAN_FRONTIER = 1 << 3,    /* objective frontier */
    CAN_PIN = 1 << 4,         /* keeps to choices that the user fixed */
    CAN_EXACT_BATCH = 1 << 5, /* keeps to batches that divide evenly */
    CAN_RANKS = 1 << 6,       /* solve() is collective over run->comm; else one rank does all the work */
    CAN_CORRECTED = 1 << 7,   /* has a corrected mode */
    CAN_STATES = 1 << 8,      /* the original ends by the clock: the number of states can be set */
    CAN_NODES = 1 << 10,      /* heeds the size of each node; else all have that of their type */
    CAN_OPTIONS = 1 << 11,    /* recompute, zero and sequence_parallel, and a choice of them */
    CAN_WARM = 1 << 12,       /* begins with plans that answered a question much like this one */
    CAN_SEED = 1 << 9, /* takes milliseconds on any pool and needs no inputs: the exact search begins with its
                          plan */
};

struct planner {
    const char *name;         /* "metis", as on the command line */
    const char *about;        /* one line for --help: which GPUs it looks at, how it searches */
    unsigned can;             /* bits of enum planner_can */
    enum estimator estimator; /* the common simulator that judges its plans unless told otherwise */
    bool every_profile;       /* looks at GPU types that the row has none of */
    const char *lacks;        /* the library that this build lacks for it; NULL: ready */
    /** Inputs of its own beyond the profile, from the directory `inputs` (already resolved), in `a`. NULL:
     * none needed. Returns 0, or -1 with *e set (EXIT_INPUT). */
    int (*load)(const struct workload *w, const char *inputs, const void **extra, struct arena *a,
                struct err *e);
    /** Answers a row: fills it with status, plans (which live in `a`) and what was done. 0, or 1 when
     * stopped early (row as it was, or with CAN_RESUME consistent and resumable), or -1 with *e set. Of
     * published planners: planner_walk. */
    int (*solve)(const struct planner *self, const struct question *q, const struct planner_run *run,
                 struct row_result *row, struct arena *a, struct err *e);
    /** For planner_walk(): the sorted list; everything in `a`. An empty list is an answer. Deterministic. -1
     * with *e set if the question cannot be answered (EXIT_INPUT: an input is missing). */
    int (*propose)(const struct question *q, struct answer *out, struct arena *a, struct err *e);
    /** The planner's own estimator on any valid plan; NULL: it has none. Returns 0, or -1 with *e set. */
    int (*estimate)(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e);
    /** The simulator that judges this planner's plans in the published comparison if it is not the common one
     * (Aceso): fills est as estimate_plan() does; not asked in corrected mode. NULL: the common one. */
    int (*judge)(const struct question *q, const struct answer *x, const struct proposal *p,
                 const struct plan *plan, struct estimate *est, struct err *e);
    /** Faithful mode: the published runs ask it for throughput whatever the figure's objective, so that a
     * floor on the throughput is not applied to it. */
    bool always_throughput;
};

/** All planners, NULL-terminated, the default first; the one of that name, or NULL; the first that can do all
 * of these, or NULL. */
extern const struct planner *const planners[];
const struct planner *planner_find(const char *name);
const struct planner *planner_that_can(unsigned bits);

/** Row `row` of a job as a question: no option set. */
struct question question_of(const struct job *job, int row);

/** Does the program no longer want the answer? */
bool question_stopped(const struct question *q);

/** The walk (walk.c): down the list to the first plan that fits and meets the limits under the common
 * simulator; counts what does not fit. Fills row: status feasible or infeasible (with the reason), the plan
 * with its estimates, oom_plans, plans_evaluated, search_s (the planner's search alone), note if the plan
 * does not fit into the pool. */
int planner_walk(const struct planner *self, const struct question *q, const struct planner_run *run,
                 struct row_result *row, struct arena *a, struct err *e);

/** What the published planners have in common: both modes, every profile, and the walk down their lists. Part
 * of the initializer of a struct planner; `more` are further bits of its `can`. */
#define PLANNER_PUBLISHED(of, more, proposes, estimates)                                                     \
    .name = of, .can = CAN_CORRECTED | (more), .every_profile = true, .solve = planner_walk,                 \
    .propose = proposes, .estimate = estimates

/* ---- what several planners share (common.c) ---- */

/** Ring all-reduce of ALL bytes at once: 2(n-1)*t(bytes/n); 0 for n <= 1 or no bytes. */
double plain_allreduce_s(const struct link *l, double bytes, int n);

/** Layers of stage i of P by an even split of L: the first L mod P stages (or, with `last_longer`, the last)
 * get one more. */
void even_layers(int L, int P, bool last_longer, int i, int *first, int *end);

/** A grid as a plan: P stages, even split of all layers (first stages longer), D replicas of degree tp, one
 * GPU type in one zone. In `a`. */
struct plan *grid_plan(const struct workload *w, int zone, int gpu, int D, int P, int tp, int m,
                       struct arena *a);

/** USD per hour of the GPUs of a plan / 3600 * seconds; NAN where a price is unknown. Egress not included. */
double rental_usd(const struct workload *w, const struct plan *p, double time_s);

/** What the type-by-type planners are shown of a row: per GPU type in order of first
 * appearance its GPUs and zone. `faithful`: a later entry of a type overwrites an earlier one, and all count
 * as in the zone of the last entry; corrected: each type's zone with the most GPUs. Returns their number. */
struct shown {
    int gpu, zone, gpus;
};
int shown_types(const struct pool *pool, bool corrected, struct shown out[GPUS_MAX]);

/** The link between two nodes with all their GPUs talking, as planners count it; NULL: not known. */
const struct link *node_link(const struct site *s, int zone, int gpu, int zone2, int gpu2);

/** Sort a list in place: least time (or cost) first, unknown ones last; ties keep the order of the ids. */
void rank_proposals(struct proposal *x, int n, bool by_cost);

/** All divisors of n >= 1, ascending, in `a`. Returns their number. */
int divisors(int n, const int **out, struct arena *a);

#endif
