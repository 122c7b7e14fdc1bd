#ifndef SAILOR_BASE_STATS_H
#define SAILOR_BASE_STATS_H
/* Order statistics of samples x[n], n at least 1. Both sort them in place, ascending. */

/** Of an even number the mean of the two in the middle. */
double median(double *x, int n);
/** Between the elements n/4 and 3n/4, counted from 0. */
double interquartile_range(double *x, int n);
#endif
