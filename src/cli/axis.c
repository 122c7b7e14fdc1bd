#include "cli/axis.h"

#include <math.h>

struct axis axis_between(double lo, double hi, double from, double to) {
    if (!(hi > lo && isfinite(hi))) hi = lo > 0 ? lo * 1.1 : lo + 1;
    return (struct axis){.lo = lo, .hi = hi, .from = from, .to = to, .log = lo > 0 && hi >= 10 * lo};
}

double axis_place(const struct axis *x, double value) {
    double part = x->log ? log(value / x->lo) / log(x->hi / x->lo) : (value - x->lo) / (x->hi - x->lo);
    return x->from + part * (x->to - x->from);
}

/* The n values m[i] times a power of ten that lie on the axis. */
static int decades(const struct axis *x, const int *m, int n, double tick[AXIS_TICKS_MAX]) {
    int ticks = 0;
    for (int power = (int)floor(log10(x->lo)); pow(10, power) <= x->hi; power++)
        for (int i = 0; i < n; i++) {
            double value = m[i] * pow(10, power);
            if (value < x->lo || value > x->hi) continue;
            if (ticks == AXIS_TICKS_MAX) return ticks + 1;
            tick[ticks++] = value;
        }
    return ticks;
}

/* Steps of 1, 2 or 5 times a power of ten, of which at most seven lie on it. */
static int steps(const struct axis *x, double tick[AXIS_TICKS_MAX]) {
    double least = (x->hi - x->lo) / 6, ten = pow(10, floor(log10(least))), step = ten;
    int n = 0;
    if (step < least) step = 2 * ten;
    if (step < least) step = 5 * ten;
    if (step < least) step = 10 * ten;
    for (double k = ceil(x->lo / step); k * step <= x->hi && n < AXIS_TICKS_MAX; k++) tick[n++] = k * step;
    return n;
}

int axis_ticks(const struct axis *x, double tick[AXIS_TICKS_MAX]) {
    static const int fine[] = {1, 2, 5}, coarse[] = {1};
    if (!x->log) return steps(x, tick);
    int n = decades(x, fine, 3, tick);
    if (n > 10) n = decades(x, coarse, 1, tick);
    return n <= AXIS_TICKS_MAX ? n : AXIS_TICKS_MAX;
}
