#ifndef SAILOR_TRAIN_LINKFIT_H
#define SAILOR_TRAIN_LINKFIT_H
#include "sim/tables.h"
/* Converts measured bandwidths to the planner's form of a link. */

enum { LINKFIT_SMALLEST = 16, LINKFIT_MOST = 15 }; /* bandwidths at 2^16, 2^17, ... bytes, at most 15 */

/** The parabola through bw_Bps[n], n >= 3, each known to a relative error[n]: least squares of relative
 * residuals, weighted by the errors. If larger messages would not take longer everywhere from 64 KiB to 1
 * GiB, the range in which the planner uses the curve, there was too much noise, or there were too few sizes,
 * for a curve: the median is used as a constant. Sets all of *l. */
void linkfit(struct link *l, const double *bw_Bps, const double *error, int n);

/** How far the curve is from the bandwidths, relative to them: mean, and largest. */
void linkfit_error(const struct link *l, const double *bw_Bps, int n, double *mean, double *most);
#endif
