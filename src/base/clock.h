#ifndef SAILOR_BASE_CLOCK_H
#define SAILOR_BASE_CLOCK_H

/** Seconds of a clock that never goes back: for differences. Safe in a signal handler. */
double now_s(void);

enum { UTC_SIZE = 32 };
/** Date and time of day, "2026-11-23T12:00:00Z". */
void now_utc(char text[UTC_SIZE]);
#endif
