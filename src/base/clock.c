#include "base/clock.h"

#include <time.h>

static double read_s(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double now_s(void) { return read_s(CLOCK_MONOTONIC); }

double coarse_now_s(void) {
#ifdef CLOCK_MONOTONIC_COARSE
    return read_s(CLOCK_MONOTONIC_COARSE);
#else
    return now_s();
#endif
}

double thread_cpu_s(void) { return read_s(CLOCK_THREAD_CPUTIME_ID); }

double process_cpu_s(void) { return read_s(CLOCK_PROCESS_CPUTIME_ID); }

void now_utc(char text[UTC_SIZE]) {
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(text, UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
