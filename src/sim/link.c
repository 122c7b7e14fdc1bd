#include "sim/link.h"
#include "sim/estimate.h"

#include <assert.h>

enum { ENDS_MAX = 6 };

/* The fit and its slope over y = log2(bytes / 1e6). */
static double fit(const struct link *l, double y) { return l->c2 * y * y + l->c1 * y + l->c0; }
static double slope(const struct link *l, double y) { return 2 * l->c2 * y + l->c1; }

static double log_size(double bytes) { return log2(bytes / 1e6); }

/* The time x / fit(x) grows where fit > slope / ln 2. */
static bool is_sound(const struct link *l, double y) {
    return fit(l, y) > 0 && fit(l, y) > slope(l, y) / M_LN2;
}

/* Appends the zeros of a y^2 + b y + c between lo and hi to the *n in y. */
static void add_roots(double a, double b, double c, double lo, double hi, double *y, int *n) {
    double root[2] = {-c / b, NAN};
    if (a != 0) {
        double d = sqrt(b * b - 4 * a * c), q = -(b + copysign(d, b)) / 2; /* no cancellation */
        root[0] = q / a;
        root[1] = c / q;
    }
    for (int i = 0; i < 2; i++) /* NAN where there is none */
        if (root[i] > lo && root[i] < hi) y[(*n)++] = root[i];
}

static void sort(double *y, int n) {
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && y[k] < y[k - 1]; k--) {
            double swap = y[k];
            y[k] = y[k - 1];
            y[k - 1] = swap;
        }
}

/* Where the fit is largest in [from, to]. */
static double top(const struct link *l, double from, double to) {
    double best = fit(l, from) > fit(l, to) ? from : to, vertex = -l->c1 / (2 * l->c2);
    return l->c2 < 0 && vertex > from && vertex < to ? vertex : best;
}

/* Where the fit has fallen to half its top, right of it; or `to`. */
static double half_way_down(const struct link *l, double from, double to) {
    double peak = top(l, from, to), half = fit(l, peak) / 2;
    if (fit(l, to) >= half) return to;
    for (int i = 0; i < 60; i++) {
        double middle = (peak + to) / 2;
        if (fit(l, middle) >= half)
            peak = middle;
        else
            to = middle;
    }
    return peak;
}

bool link_settle(struct link *l) {
    double lo = log_size(MEASURED_MIN_BYTES), hi = log_size(MEASURED_MAX_BYTES), end[ENDS_MAX] = {lo, hi};
    double from = NAN, to = NAN;
    int n = 2;
    add_roots(l->c2, l->c1, l->c0, lo, hi, end, &n);
    add_roots(l->c2, l->c1 - 2 * l->c2 / M_LN2, l->c0 - l->c1 / M_LN2, lo, hi, end, &n);
    assert(n <= ENDS_MAX);
    sort(end, n);
    for (int i = 0; i + 1 < n; i++) /* the widest stretch without a change of sign */
        if (is_sound(l, (end[i] + end[i + 1]) / 2) && !(end[i + 1] - end[i] <= to - from)) {
            from = end[i];
            to = end[i + 1];
        }
    if (isnan(from)) return false;
    to = half_way_down(l, from, to);
    l->min_bytes = from > lo ? 1e6 * exp2(from) : 0;
    l->max_bytes = to < hi ? 1e6 * exp2(to) : 0;
    l->min_log = log_size(l->min_bytes);
    l->max_log = log_size(l->max_bytes);
    return fit(l, from) > 0 && fit(l, to) > 0;
}

static double first_size(const struct link *l) {
    return log_size(l->min_bytes > 0 ? l->min_bytes : MEASURED_MIN_BYTES);
}

static double last_size(const struct link *l) {
    return log_size(l->max_bytes > 0 ? l->max_bytes : MEASURED_MAX_BYTES);
}

double link_top_Bps(const struct link *l) { return 1e9 * fit(l, top(l, first_size(l), last_size(l))); }

double link_least_Bps(const struct link *l) {
    double from = first_size(l), to = last_size(l), vertex = -l->c1 / (2 * l->c2);
    double end = fmin(fit(l, from), fit(l, to));
    return 1e9 * (l->c2 > 0 && vertex > from && vertex < to ? fmin(end, fit(l, vertex)) : end);
}
