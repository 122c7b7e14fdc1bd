#ifndef SAILOR_BASE_STATS_H
#define SAILOR_BASE_STATS_H
/* Order statistics of samples x[n], n at least 1. Both sort them in place, ascending. */

/** For an even n, the mean of the two middle elements. */
double median(double *x, int n);
/** The difference of elements 3n/4 and n/4 of the sorted samples, counted from 0. */
double interquartile_range(double *x, int n);
#endif
