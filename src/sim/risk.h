#ifndef SAILOR_SIM_RISK_H
#define SAILOR_SIM_RISK_H
#include "base/arena.h"
#include "sim/plan.h"
/* How far off estimates are: the logarithm of measured / estimated is taken to be normally distributed, with
 * a deviation for each GPU type. Pure. docs/estimator.md, "How far off". */

/** The ends of the intervals that are shown, as quantiles: nine of ten measurements lie between them. */
#define RISK_LOW 0.05
#define RISK_HIGH 0.95

/** The deviation with which nine of ten lie within a factor of 1 + within, either way. */
double risk_deviation(double within);
/** The deviation of two independent causes together. */
double risk_both(double one, double other);
/** The factor from an estimate to the quantile q, in (0, 1), of what may be measured. */
double risk_factor(double deviation, double q);

/** The workload as it may turn out at quantile q: the layers of each GPU type, and what the framework adds on
 * it, take the factor of its deviation longer, links that of the larger of their ends. Lives in a. Every time
 * of the estimators is a sum, maximum and multiple of such times, so that a plan's estimate in that world is
 * the end of its interval if all is off together; with one deviation for all types it is the estimate times
 * the factor. What a GPU holds takes the factor of `memory`, where that is more than 1: no plan fits that is
 * expected not to. */
struct workload *risk_world(const struct workload *w, const double *deviation, double memory, double q,
                            struct arena *a);

/** A workload of the same model and site, in a world that risk_world() made. */
struct workload risk_in_world(const struct workload *w, const struct workload *world);
#endif
