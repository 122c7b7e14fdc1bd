#ifndef SAILOR_TESTS_SHAPES_H
#define SAILOR_TESTS_SHAPES_H
#include "random.h"
/* Sizes of instances that brute() can walk in a fraction of a second, in turn. */
struct instance *small_instance(uint64_t seed, long plans_max, struct arena *a);
#endif
