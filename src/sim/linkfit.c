#include "sim/linkfit.h"
#include "base/stats.h"
#include "sim/estimate.h"

#include <math.h>
#include <string.h>

/* No link follows a parabola more closely than this: greater certainty must not let one point outweigh the
 * others. */
static const double LEAST_ERROR = 0.1;

/* The curve is its own scale, found iteratively; below this share of the median, that share is the scale. */
enum { ROUNDS = 5 };
static const double LEAST_SHARE = 0.1;

/* Least squares, with residuals in units of sigma[i]. */
static void parabola(struct link *l, const double *bytes, const double *bw_Bps, const double *sigma, int n) {
    double a[3][4] = {{0}};
    for (int i = 0; i < n; i++) {
        double y = log2(bytes[i] / 1e6), power[3] = {1, y, y * y}, weight = 1 / (sigma[i] * sigma[i]);
        for (int r = 0; r < 3; r++) {
            for (int k = 0; k < 3; k++) a[r][k] += weight * power[r] * power[k];
            a[r][3] += weight * power[r] * bw_Bps[i] / 1e9;
        }
    }
    for (int k = 0; k < 3; k++) /* Gauss-Jordan; the matrix is positive definite */
        for (int r = 0; r < 3; r++)
            for (int j = 3; r != k && j >= k; j--) a[r][j] -= a[r][k] / a[k][k] * a[k][j];
    l->c0 = a[0][3] / a[0][0];
    l->c1 = a[1][3] / a[1][1];
    l->c2 = a[2][3] / a[2][2];
}

/* The minimum of c2 y^2 + c1 y + c0 over the sizes that the planner uses. */
static double lowest(double c2, double c1, double c0) {
    double from = log2(MEASURED_MIN_BYTES / 1e6), to = log2(MEASURED_MAX_BYTES / 1e6), flat = -c1 / (2 * c2),
           least = fmin((c2 * from + c1) * from + c0, (c2 * to + c1) * to + c0);
    return flat > from && flat < to ? fmin(least, (c2 * flat + c1) * flat + c0) : least;
}

/* Bandwidth b is positive, and x / b(log2 x) rises with x: b - b' / ln 2 is positive, too. */
static bool times_rise(const struct link *l) {
    return lowest(l->c2, l->c1, l->c0) > 0 &&
           lowest(l->c2, l->c1 - 2 * l->c2 / M_LN2, l->c0 - l->c1 / M_LN2) > 0;
}

static double middle_of(const double *bw_Bps, int n) {
    double sorted[LINKFIT_MOST];
    memcpy(sorted, bw_Bps, sizeof *sorted * (size_t)n);
    return median(sorted, n) / 1e9;
}

/* Residuals are relative to the curve, which is not yet known: relative to the measurements, a point would
 * pull harder the slower it is. */
void linkfit_parabola(struct link *l, const double *bytes, const double *bw_Bps, const double *error, int n) {
    double sigma[LINKFIT_MOST], middle = middle_of(bw_Bps, n);
    *l = (struct link){.c0 = middle, .known = true};
    for (int i = 0; i < n; i++) l->peak_Bps = fmax(l->peak_Bps, bw_Bps[i]);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < n; i++) {
            double y = log2(bytes[i] / 1e6), at = (l->c2 * y + l->c1) * y + l->c0;
            sigma[i] = fmax(error[i], LEAST_ERROR) * fmax(at, LEAST_SHARE * middle);
        }
        parabola(l, bytes, bw_Bps, sigma, n);
    }
}

void linkfit(struct link *l, const double *bytes, const double *bw_Bps, const double *error, int n) {
    linkfit_parabola(l, bytes, bw_Bps, error, n);
    if (times_rise(l)) return;
    l->c2 = l->c1 = 0;
    l->c0 = middle_of(bw_Bps, n);
}

void linkfit_error(const struct link *l, const double *bytes, const double *bw_Bps, int n, double *mean,
                   double *most) {
    *mean = *most = 0;
    for (int i = 0; i < n; i++) {
        double off = fabs(bytes[i] / link_time_s(l, bytes[i], ESTIMATOR_NATIVE) / bw_Bps[i] - 1);
        *mean += off / n;
        *most = fmax(*most, off);
    }
}
