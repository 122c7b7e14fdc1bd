#ifndef TESTS_UNIT_LISTS_H
#define TESTS_UNIT_LISTS_H
#include "fig.h"
/* Planners' lists, and what must hold for every plan on them. Failures end the test. */

/** The list for q with every plan in it checked: layers covered once and in order, degrees within nodes, no
 * replica without a microbatch, no more GPUs than the pool has: of each type in each zone, or of each type in
 * all zones together if a quirk moves them. Plans that build() makes are filled in. */
struct answer list_of(const struct planner *pl, const struct question *q, bool zones_hold, struct arena *a);

/** An arbitrary pool of A100-40 and V100-16 in the zones that have links for both, small counts, zeros among
 * them. */
struct pool *list_pool(const struct site *s, unsigned seed, struct arena *a);

/** All rows of all figures and 24 arbitrary pools with several batch sizes, faithful and corrected: see(q,
 * list). */
void list_each(const struct planner *pl, bool zones_hold,
               void (*see)(const struct question *q, const struct answer *x));

/** "7x8,6x8,13x16": layers x replicas of each stage of a plan of one pipeline. */
const char *list_shape(const struct plan *p, struct arena *a);
#endif
