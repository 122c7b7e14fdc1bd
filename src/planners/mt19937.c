#include "planners/mt19937.h"

#include <math.h>

void mt19937_seed(struct mt19937 *t, uint32_t seed) {
    t->word[0] = seed;
    for (uint32_t i = 1; i < 624; i++) t->word[i] = 1812433253u * (t->word[i - 1] ^ t->word[i - 1] >> 30) + i;
    t->at = 624;
}

uint32_t mt19937_next(struct mt19937 *t) {
    if (t->at == 624) {
        for (int i = 0; i < 624; i++) {
            uint32_t y = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % 624] & 0x7fffffffu);
            t->word[i] = t->word[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        t->at = 0;
    }
    uint32_t y = t->word[t->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

double mt19937_real(struct mt19937 *t) {
    double high = mt19937_next(t) >> 5, low = mt19937_next(t) >> 6;
    return (high * 0x1p26 + low) / 0x1p53;
}

int mt19937_binomial(struct mt19937 *t, int n, double p) {
    double u = mt19937_real(t), each = pow(1 - p, n);
    for (int k = 0; k < n; k++) {
        if (u <= each) return k;
        u -= each;
        each *= (n - k) * p / ((k + 1) * (1 - p));
    }
    return n;
}
