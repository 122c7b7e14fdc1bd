#include "base/clock.h"

#include <time.h>

double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void now_utc(char text[UTC_SIZE]) {
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(text, UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
