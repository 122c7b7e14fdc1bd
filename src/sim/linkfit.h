#ifndef SAILOR_SIM_LINKFIT_H
#define SAILOR_SIM_LINKFIT_H
#include "sim/tables.h"
/* Converts measured bandwidths to the planner's form of a link. */

enum { LINKFIT_MOST = 64 }; /* bandwidths of one link */

/** The parabola through bw_Bps[n], 3 <= n <= LINKFIT_MOST, of messages of bytes[n], each known to a relative
 * error[n]: least squares of relative residuals, weighted by the errors. If larger messages would not take
 * longer everywhere from 64 KiB to 1 GiB, the range in which the planner uses the curve, there was too much
 * noise, or there were too few sizes, for a curve: the median is used as a constant. Sets all of *l. */
void linkfit(struct link *l, const double *bytes, const double *bw_Bps, const double *error, int n);

/** The same parabola, whatever it does: where larger messages do not take longer is for link_settle() to
 * find. */
void linkfit_parabola(struct link *l, const double *bytes, const double *bw_Bps, const double *error, int n);

/** How far the curve is from the bandwidths, relative to them: mean, and largest. */
void linkfit_error(const struct link *l, const double *bytes, const double *bw_Bps, int n, double *mean,
                   double *most);
#endif
