#include "train/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum phase clock_enter(struct clock *c, enum phase p) {
    enum phase before = c->n ? c->mark[c->n - 1].phase : PHASE_OTHER;
    if (c->n == c->room) {
        int room = 2 * c->room + 1024;
        struct mark *more = realloc(c->mark, sizeof *more * (size_t)room);
        if (!more) return before; /* the time goes to the phase before */
        c->mark = more;
        c->room = room;
    }
    assert(c->n < c->room);
    c->backend->stamp(c->backend, c->n);
    c->mark[c->n++] = (struct mark){p, c->item};
    return before;
}

double clock_host_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The device has nothing to do when a step begins, so that the first stamp is taken at once. */
void clock_start(struct clock *c) {
    c->n = 0;
    c->item = -1;
    c->began_s = clock_host_s();
    clock_enter(c, PHASE_OTHER);
}

double clock_stop(struct clock *c, double seconds[PHASE_N]) {
    double before = 0, now = 0;
    memset(seconds, 0, sizeof(double) * PHASE_N);
    c->backend->stamp(c->backend, c->n);
    for (int i = 1; i <= c->n; i++, before = now) {
        now = c->backend->stamp_s(c->backend, i);
        seconds[c->mark[i - 1].phase] += now - before;
    }
    return now;
}

void clock_items(const struct clock *c, double *seconds, int items) {
    double before = 0, now = 0;
    for (int i = 1; i <= c->n; i++, before = now) {
        int item = c->mark[i - 1].item;
        now = c->backend->stamp_s(c->backend, i);
        if (item >= 0 && item < items) seconds[item] += now - before;
    }
}

void clock_free(struct clock *c) {
    free(c->mark);
    c->mark = NULL;
    c->n = c->room = 0;
}
