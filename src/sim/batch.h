#ifndef SAILOR_SIM_BATCH_H
#define SAILOR_SIM_BATCH_H
#include "base/arena.h"
#include "sim/estimate.h"
/* The estimator in table form, for judging many plans: everything that does not depend on the plan is
 * computed once per (workload, estimator, microbatch), and the plans lie in flat arrays. It says the same as
 * estimate_plan(), which stays the form to read: times, money and memory differ by the order of sums only
 * (within 1e-12), `fits` not at all. Plans of this form have one pipeline, the same D in all stages and no VM
 * lists. */

struct batch_tables; /* read-only once built: any number of threads may use one at the same time */

/** Tables for plans of microbatch m of a workload. w->global_batch_size is not looked at: each plan has its
 * own. Owned by the arena; keeps no pointer into w. Never NULL; a GPU type and degree that is not profiled at
 * m is known to be unusable. Size: 8 B * (distinct layer outputs, e.g. 1..3) * (usable (zone, type, degree) +
 * 1)^2, and small things. */
struct batch_tables *batch_tables_build(const struct workload *w, enum estimator est, int micro_batch_size,
                                        struct arena *a);

/** n_plan plans. Plan p holds the stages stage_at[p] .. stage_at[p+1]-1 in order, stage i the replica groups
 *  group_at[i] .. group_at[i+1]-1 in ring order; it ends where the next stage of its plan begins, the last
 * one at the last layer. The plans must be such that plan_check() would pass, but for the profile (see
 * batch_estimate). The arrays may be filled by hand (then the *_cap fields do not matter) or by
 * batch_add_plan(). */
struct plan_batch {
    int n_plan, micro_batch_size;
    int *global_batch_size;         /* [n_plan] sequences */
    int *stage_at;                  /* [n_plan + 1], starts with 0 */
    int *first_layer;               /* [stages] */
    int *group_at;                  /* [stages + 1], starts with 0 */
    unsigned char *gpu, *zone, *tp; /* [groups] indices into the site; tp 1, 2, 4 or 8 */
    int *count;                     /* [groups] consecutive replicas, >= 1; sums to D in every stage */
    int plan_cap, stage_cap, group_cap;
};

/** What is known of each plan afterwards. The caller owns the arrays, [n_plan] each. */
struct batch_out {
    double *time_s;            /* estimate.iteration_time_s; INFINITY if a link or a profile is missing */
    double *sync_s;            /* estimate.sync_time_s; INFINITY if a link of a ring is missing */
    double *cost_usd;          /* NAN where a price is unknown; not finite where time_s is INFINITY */
    double *egress_usd;        /* NAN where a price is unknown */
    double *peak_memory_bytes; /* estimate.peak_memory_bytes; without meaning if a profile is missing */
    bool *fits;                /* false if a profile is missing */
};

/** An empty batch with room for that much, owned by the arena. */
struct plan_batch *batch_new(int plans, int stages, int groups, int micro_batch_size, struct arena *a);

/** No plans again. */
void batch_clear(struct plan_batch *b);

enum batch_add { BATCH_ADDED, BATCH_FULL, BATCH_OTHER_FORM };
/** Append a plan that passed plan_check(). BATCH_OTHER_FORM: it has several pipelines, unequal D, a VM list
 * or another microbatch; estimate_plan() can judge it. The batch is unchanged unless BATCH_ADDED. */
enum batch_add batch_add_plan(struct plan_batch *b, const struct plan *p);

/** Estimate all plans of b. The tables must have been built for b's microbatch. Pure and thread-safe:
 * allocates nothing, writes only into the arrays of out. */
void batch_estimate(const struct batch_tables *t, const struct plan_batch *b, const struct batch_out *out);

#endif
