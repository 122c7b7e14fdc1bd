#ifndef SAILOR_CLI_AXIS_H
#define SAILOR_CLI_AXIS_H
#include <stdbool.h>
/* An axis of a picture: where values lie, and which of them are named. */

struct axis {
    double lo, hi;   /* values at its ends, lo < hi */
    double from, to; /* places of its ends */
    bool log;        /* ratios, not differences, take the same room: for lo > 0 */
};

enum { AXIS_TICKS_MAX = 16 };

/** An axis from lo to hi, or a little beyond if they are equal; by ratios where hi is 10 times lo or more. */
struct axis axis_between(double lo, double hi, double from, double to);
double axis_place(const struct axis *x, double value);
/** Round values on it (1, 2 or 5 times a power of ten, or multiples of such a step), ascending; their number.
 */
int axis_ticks(const struct axis *x, double tick[AXIS_TICKS_MAX]);
#endif
