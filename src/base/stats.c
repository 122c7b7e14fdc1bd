#include "base/stats.h"

#include <stdlib.h>

static int by_value(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void sort(double *x, int n) { qsort(x, (size_t)n, sizeof *x, by_value); }

double median(double *x, int n) {
    sort(x, n);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

double interquartile_range(double *x, int n) {
    sort(x, n);
    return x[3 * n / 4] - x[n / 4];
}
