#ifndef SAILOR_SEARCH_CHAIN_H
#define SAILOR_SEARCH_CHAIN_H
#include "search/window.h"
/* What a pipeline costs at least if neighbours pay for the links between their GPU types: docs/search.md,
 * rule 24. Classes fall into groups: one for each type alone, and one for all that mix types. */

/** The groups of a microbatch and the transfers between them, in `a`; none where the pool has one type. */
void chain_build(const struct space *s, struct mb_space *mb, struct arena *a);

/** Room for the tables of any unit of the space, in `a`. */
void chain_init(struct window_tables *t, struct arena *a);

/** Look for weights of the GPU types with which the stages of the open window cannot cover all layers, for
 * the surrogate t->n_fixed. With `floors`, raises the least X of the window to where they can. False: they
 * never can, or t->stopped. */
bool chain_open(struct window_tables *t, bool floors);

/** The tables of the open window, by that surrogate. Returns the least sum of stage times of all layers. */
double chain_sums(struct window_tables *t);

/** Least sum of stage times in front of layer l > 0 with `used` of the surrogate gone, and what the gradient
 * of the stage there, of this class, takes more than its least; `share` of it counts, and that stage has
 * `room_s` for it. INFINITY: impossible. */
double chain_rest(const struct window_tables *t, int l, double used, int cls, double share, double room_s);

/** Transfer of the output of `layer` from a stage of class a to one of class b, at least. */
static inline double chain_transfer(const struct mb_space *mb, int layer, int a, int b) {
    return mb->to[(a * mb->n_size + mb->size_of[layer]) * mb->n_group + mb->group[b]];
}

/** Work on tables since the last call, in partial plans that take as long. */
uint64_t chain_effort(struct window_tables *t);

#endif
