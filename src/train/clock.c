#include "train/clock.h"

#include <stdlib.h>
#include <string.h>

const char *const phase_name[PHASE_N] = {"forward", "backward", "wait", "tensor", "data", "update", "other"};

enum phase clock_enter(struct clock *c, enum phase p) {
    enum phase before = c->n ? (enum phase)c->phase[c->n - 1] : PHASE_OTHER;
    if (c->n == c->room) {
        int room = 2 * c->room + 1024;
        unsigned char *more = realloc(c->phase, (size_t)room);
        if (!more) return before; /* the time goes to the phase before */
        c->phase = more, c->room = room;
    }
    c->backend->stamp(c->backend, c->n);
    c->phase[c->n++] = (unsigned char)p;
    return before;
}

void clock_start(struct clock *c) {
    c->n = 0;
    clock_enter(c, PHASE_OTHER);
}

double clock_stop(struct clock *c, double seconds[PHASE_N]) {
    double before = 0, now = 0;
    memset(seconds, 0, sizeof(double) * PHASE_N);
    c->backend->stamp(c->backend, c->n);
    for (int i = 1; i <= c->n; i++, before = now) {
        now = c->backend->stamp_s(c->backend, i);
        seconds[c->phase[i - 1]] += now - before;
    }
    return now;
}

void clock_free(struct clock *c) {
    free(c->phase);
    c->phase = NULL, c->n = c->room = 0;
}
