#ifndef SAILOR_BASE_CLOCK_H
#define SAILOR_BASE_CLOCK_H

/** Seconds on a monotonic clock, for measuring differences. Safe in a signal handler. */
double now_s(void);
/** The same clock to within a few milliseconds, but much cheaper: for inner loops. */
double coarse_now_s(void);
/** Processor time of this thread, and of all threads of this process. */
double thread_cpu_s(void);
double process_cpu_s(void);

enum { UTC_SIZE = 32 };
/** The current date and time in UTC, as in "2026-11-23T12:00:00Z". */
void now_utc(char text[UTC_SIZE]);
#endif
