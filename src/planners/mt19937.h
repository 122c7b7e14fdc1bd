#ifndef SAILOR_PLANNERS_MT19937_H
#define SAILOR_PLANNERS_MT19937_H
#include <stdint.h>
/* The Mersenne twister of published planners that draw from it, and the numbers they make of it. */

struct mt19937 {
    uint32_t word[624];
    int at;
};

void mt19937_seed(struct mt19937 *t, uint32_t seed);
uint32_t mt19937_next(struct mt19937 *t);

/** 53 bits, [0, 1): two words. */
double mt19937_real(struct mt19937 *t);

/** Successes of n trials of probability p <= 1/2, by inversion of one real (for n p up to 30). */
int mt19937_binomial(struct mt19937 *t, int n, double p);

#endif
