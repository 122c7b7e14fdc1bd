#ifndef SAILOR_SIM_ANSWER_H
#define SAILOR_SIM_ANSWER_H
#include "sim/estimate.h"
#include <stdint.h>
/* The answer for one pool of a job: the plans found, and how much of the plan space is proven. */

struct found_plan {
    struct plan *plan;
    struct estimate est;                     /* est.stage filled */
    double planner_time_s, planner_cost_usd; /* a published planner's own estimates; NAN for exact */
};

enum unit_status { UNIT_TODO, UNIT_SOLVED, UNIT_PRUNED, UNIT_OPEN };
/* SOLVED: searched to the end; PRUNED: its bound is no better than the incumbent; OPEN: searched, not proven
 */

/** A work unit: all plans of one (microbatch, data-parallel degree, options). */
struct unit_result {
    int micro_batch_size, data_parallel;
    struct plan_options options;
    enum unit_status status;
    double lower_bound; /* on the objective, of the plans of this unit that are not excluded */
    double value;       /* best found, INFINITY if none */
    double gap;         /* open units: by what fraction its plans may be better than the best found */
    int attempts;       /* first exact, then within the requested gap */
    uint64_t nodes, plans_evaluated;
    double seconds;
};

/** Was the unit left out by its bound alone? */
static inline bool unit_unsearched(const struct unit_result *r) {
    return r->status == UNIT_PRUNED && !r->nodes && !r->attempts;
}

/** What a piece of the search's work is for. `EVERY`: what every rank does by itself, the same on all. */
enum task_kind { TASK_EVERY, TASK_CLIMB, TASK_BOUND, TASK_PROBE, TASK_MERGED, TASK_PROOF, TASK_N };

/** A piece of work that one thread of one rank did. Those of a round need what the rounds before have found,
 * and nothing of each other. */
struct task_result {
    int round;
    enum task_kind kind;
    double seconds; /* of processor time */
};

enum row_status { ROW_TODO, ROW_OPTIMAL, ROW_FEASIBLE, ROW_INFEASIBLE };
extern const char *const row_status_name[4]; /* "todo", "optimal", "feasible", "infeasible" */

/** What bounds beyond those of windows and partial plans have done for a proof; not in result files. */
struct bound_counts {
    uint64_t block;   /* units closed together with those of nearly as many replicas */
    uint64_t merged;  /* units closed with the zones of each region merged */
    uint64_t full;    /* partial plans whose all-reduce was raised because the fastest zones are full */
    uint64_t laid;    /* plans of merged zones that were laid out on the real ones */
    uint64_t grid;    /* windows and partial plans cut by a grid over the GPU types */
    uint64_t chain;   /* partial plans cut by the links between the GPU types of neighbours */
    uint64_t sides;   /* windows and partial plans cut by what each region has for plans that cross */
    uint64_t rent;    /* windows of which no rent, or only some, can be of use */
    uint64_t traffic; /* partial plans cut by what the traffic of the stages in front costs at least */
    uint64_t islands; /* parts of the pool that no link joins, searched one by one; 0: all are joined */
};

void bounds_add(struct bound_counts *to, const struct bound_counts *more);

struct row_result {
    enum row_status status;
    const char *reason; /* why infeasible; NULL otherwise */
    const char *note;   /* a warning about the plan (a published planner over-uses a zone); NULL otherwise */
    double lower_bound, gap, search_s;
    uint64_t plans_evaluated;
    int n_plan; /* best first; n_plan >= 1 unless infeasible or todo */
    struct found_plan *plan;
    int n_frontier; /* objective frontier: ascending iteration time */
    struct found_plan *frontier;
    int n_unit;
    struct unit_result *unit;
    struct bound_counts bounds;
    int oom_plans; /* published planners: plans that the walk rejected for memory */
    int n_task;    /* by rounds */
    struct task_result *task;
    int climbed; /* attempts at units for which better plans have been looked for beside the proof */
    int n_state; /* bytes: where the search goes on in the middle of a round (search/wire.h) */
    const unsigned char *state;
};

#endif
