#ifndef SAILOR_TESTS_RANDOM_H
#define SAILOR_TESTS_RANDOM_H
#include <stdint.h>
#include <stdio.h>
#include "search/search.h"
/* Random instances of the search problem, and random plans, built in memory. Everything follows from a seed
 * through a counter-based generator, so the seed alone reproduces a failure. */

struct rng {
    uint64_t seed, counter;
};

uint64_t rng_next(struct rng *r);
double rng_unit(struct rng *r); /* [0, 1) */
double rng_range(struct rng *r, double lo, double hi);
double rng_log(struct rng *r, double lo, double hi); /* log-uniform */
int rng_int(struct rng *r, int lo, int hi);          /* lo <= x <= hi */
bool rng_chance(struct rng *r, double p);

/** How large an instance may be. */
struct shape {
    int gpu_types, zones;
    int layers_min, layers_max;
    int gpus_min, gpus_max; /* in the whole pool */
    bool plain;             /* every profile complete, every link there and usable, all prices known */
};

struct instance {
    uint64_t seed;
    struct site site;
    struct gpu_type *gpu; /* of the site, for tests that change it */
    struct model model;
    struct workload w;
    int *pool; /* [n_zone * n_gpu] */
    struct pin pin;
    bool exact_batch, prices_known;
    enum estimator estimator;
    const char *traits; /* what was drawn, in words */
};

struct instance *instance_random(uint64_t seed, const struct shape *shape, struct arena *a);

/** Of up to 5 zones and 7 GPU types, with 1 to 512 GPUs in most of their cells. */
struct instance *instance_wide(uint64_t seed, int layers_max, struct rng *r, struct arena *a);

/** Gives the instance options to choose from, up to six choices, and the native estimator. */
void instance_vary(struct instance *in, struct arena *a);

/** Every second link gets a latency and a rate instead of its fit. */
void instance_rate_links(struct instance *in, struct arena *a);

/** Every cell is on one of two shores, and no link leads across. */
void instance_cut_links(struct instance *in, struct arena *a);

/** The search problem of an instance, without limits. */
struct search_problem instance_problem(const struct instance *in, enum objective objective);

/** Any plan of the instance that passes plan_check(): several pipelines, any replica order, degrees mixed in
 * a stage, VM lists if `vms`; it may exceed the pool. NULL if the draw failed (no profiled degree). */
struct plan *plan_random(const struct instance *in, bool vms, struct rng *r, struct arena *a);

/** Multi-line description, each line starting with "# ". */
void instance_print(FILE *f, const struct instance *in);
void plan_print(FILE *f, const struct plan *p, const struct site *s);

#endif
