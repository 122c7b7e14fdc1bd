#ifndef SAILOR_TRAIN_LINKFIT_H
#define SAILOR_TRAIN_LINKFIT_H
#include "sim/tables.h"
/* From measured bandwidths to the planner's form of a link. */

enum { LINKFIT_SMALLEST = 16, LINKFIT_MOST = 15 }; /* bandwidths are of 2^16, 2^17, ... bytes, 15 at most */

/** The parabola through bw_Bps[n], n >= 3, each known to a relative error[n]: least squares of relative
 * residuals, weighted by the errors. Where that curve does not let larger messages take longer all the way
 * from 64 KiB to 1 GiB, where the planner uses it, there was too much noise, or too few sizes, for a curve:
 * then the median as a constant. Sets all of *l. */
void linkfit(struct link *l, const double *bw_Bps, const double *error, int n);

/** How far the curve is from the bandwidths, relative to them: mean, and largest. */
void linkfit_error(const struct link *l, const double *bw_Bps, int n, double *mean, double *most);
#endif
