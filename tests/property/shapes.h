#ifndef SAILOR_TESTS_SHAPES_H
#define SAILOR_TESTS_SHAPES_H
#include "random.h"
/* Too large to enumerate, solved in a fraction of a second. */
enum { MEDIUM_SHAPES = 6 };
extern const struct shape medium_shape[MEDIUM_SHAPES];

/* Sizes of instances that brute() can walk in a fraction of a second, in turn. */
struct instance *small_instance(uint64_t seed, long plans_max, struct arena *a);
#endif
