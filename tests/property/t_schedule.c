/* Simulated pipelines: closed bounds hold on random ones, schedules worked out by hand agree, and one takes
 * microseconds. */
#include "sim/schedule.h"
#include "random.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CASES = 100000, STAGES = 9 };
static int passed, failed;

static void check(bool good, const char *what) {
    good ? passed++ : failed++;
    if (!good) printf("not ok: %s\n", what);
}

static double uniform(struct rng *r) { return rng_unit(r); }

struct drawn {
    struct schedule s;
    struct schedule_stage stage[STAGES];
    struct schedule_hop hop[STAGES];
};

/* Transfers take from nothing to several passes; a sender is never held longer than its message is under
 * way. */
static struct schedule_message draw_message(struct rng *r, double scale) {
    struct schedule_message m = {.transit_s = scale * uniform(r)};
    m.hold_s = m.transit_s * uniform(r);
    m.receive_s = uniform(r) < 0.3 ? 0 : scale * uniform(r);
    return m;
}

static void draw(struct rng *r, struct drawn *d) {
    double scale = pow(10, -3 + 3.5 * uniform(r)), spread = uniform(r);
    d->s = (struct schedule){1 + (int)(uniform(r) * STAGES), 1 + (int)(uniform(r) * 24), d->stage, d->hop};
    if (d->s.stages > STAGES) d->s.stages = STAGES;
    for (int i = 0; i < d->s.stages; i++) {
        double size = 1 + spread * (uniform(r) - 0.5);
        d->stage[i] = (struct schedule_stage){size, size * (1 + uniform(r))};
        d->hop[i] = (struct schedule_hop){draw_message(r, scale), draw_message(r, scale)};
    }
}

/* The same by its definition: passes in the order of 1F1B, each after what it needs. */
static double by_definition(const struct schedule *s) {
    enum { MOST = 64 };
    static double f[STAGES][MOST], b[STAGES][MOST];
    int P = s->stages, M = s->microbatches, done_f[STAGES] = {0}, done_b[STAGES] = {0};
    double now[STAGES] = {0}, last = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < P; i++) {
            bool forward = done_f[i] < M && done_f[i] < done_b[i] + P - i;
            int m = forward ? done_f[i] : done_b[i];
            if (!forward && done_b[i] == M) continue;
            if (forward && i > 0 && done_f[i - 1] <= m) continue;
            if (!forward && i < P - 1 && done_b[i + 1] <= m) continue;
            double ready = forward ? (i ? f[i - 1][m] + s->hop[i - 1].activation.transit_s : 0)
                                   : (i < P - 1 ? b[i + 1][m] + s->hop[i].gradient.transit_s : 0);
            now[i] = fmax(now[i], ready) + (forward ? s->stage[i].forward_s : s->stage[i].backward_s);
            *(forward ? &f[i][done_f[i]++] : &b[i][done_b[i]++]) = now[i];
            moved = true;
        }
    }
    for (int i = 0; i < P; i++) last = fmax(last, now[i]);
    return last;
}

/* Does the log match the schedule: passes of a stage one after another, each after its inputs? */
static bool log_fits(const struct schedule *s) {
    enum { MOST = 64 };
    static double f[STAGES * MOST], b[STAGES * MOST];
    double end[STAGES], again[STAGES];
    int P = s->stages, M = s->microbatches;
    bool good = schedule_blocking_s(s, end) == schedule_blocking_log(s, again, &(struct schedule_log){f, b});
    for (int i = 0; i < P; i++) {
        const double *fi = f + i * M, *bi = b + i * M;
        good &= end[i] == again[i] && bi[M - 1] <= end[i];
        for (int m = 0; m < M; m++) {
            double began = bi[m] - s->stage[i].backward_s, slack = 1e-9 * end[i];
            good &= m == 0 || fi[m] - s->stage[i].forward_s >= fi[m - 1] - slack;
            good &= m == 0 || began >= bi[m - 1] - slack;
            good &= began >= fi[m] - slack && (m + P - i >= M || fi[m + P - i] >= bi[m] - slack);
            good &= i == 0 || fi[m] - s->stage[i].forward_s >= fi[m - M] - slack;
            good &= i == P - 1 || began >= bi[m + M] - slack;
        }
    }
    return good;
}

static void logs_fit(struct rng *r) {
    int wrong = 0;
    for (int c = 0; c < CASES / 10; c++) {
        struct drawn d;
        draw(r, &d);
        wrong += !log_fits(&d.s);
    }
    check(!wrong, "what is noted of a schedule is that schedule");
}

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* What the lower bound misses, as a share of the events. */
static void tell_gaps(double gap[CASES]) {
    qsort(gap, CASES, sizeof *gap, ascending);
    printf("# gap of the lower bound: median %.2g %%, 90th percentile %.1f %%, 99th %.1f %%, most %.1f %%\n",
           100 * gap[CASES / 2], 100 * gap[CASES / 10 * 9], 100 * gap[CASES / 100 * 99],
           100 * gap[CASES - 1]);
}

static void bounds_hold(struct rng *r) {
    static double gap[CASES];
    int below = 0, above = 0, concurrent = 0, defined = 0, equal = 0;
    double end[STAGES];
    for (int c = 0; c < CASES; c++) {
        struct drawn d;
        draw(r, &d);
        double t = schedule_blocking_s(&d.s, end), lower = schedule_lower_bound_s(&d.s);
        double beside = schedule_concurrent_s(&d.s, end), slack = 1e-9 * t;
        below += lower > t + slack;
        equal += lower > t - slack;
        gap[c] = fmax(0, 1 - lower / t);
        above += schedule_upper_bound_s(&d.s) < t - slack;
        concurrent += beside > t + slack;
        if (c % 10 == 0) defined += fabs(by_definition(&d.s) - beside) > slack;
    }
    printf("# lower bound equal in %d of %d\n", equal, CASES);
    tell_gaps(gap);
    check(!below, "the lower bound is never above the events");
    check(!above, "the upper bound is never below the events");
    check(!concurrent, "messages beside the computation never take longer");
    check(!defined, "1F1B by its definition");
}

/* Virtual stages: the bound holds, and with free messages more parts mean less waiting. */
static void interleaved_bounds_hold(struct rng *r) {
    static double work[2 * 4 * STAGES * STAGES * 4];
    int below = 0, equal = 0, late = 0;
    double end[STAGES];
    for (int c = 0; c < CASES; c++) {
        struct drawn d;
        do draw(r, &d);
        while (d.s.stages < 2);
        struct schedule_hop wrap = {draw_message(r, d.hop[0].activation.transit_s),
                                    draw_message(r, d.hop[0].gradient.transit_s)};
        int parts = rng_int(r, 1, 4);
        d.s.microbatches = d.s.stages * rng_int(r, 1, 4);
        double t = schedule_interleaved_s(&d.s, parts, &wrap, end, work), slack = 1e-9 * t;
        double lower = schedule_interleaved_bound_s(&d.s, parts, &wrap);
        below += lower > t + slack;
        equal += lower > t - slack;
        for (int i = 0; i < d.s.stages; i++) late += end[i] > t;
        if (parts == 1) late += fabs(t - schedule_interleaved_s(&d.s, 1, d.hop, end, work)) > slack;
    }
    printf("# bound of virtual stages equal in %d of %d\n", equal, CASES);
    check(!below, "the bound of virtual stages is never above their events");
    check(!late, "no stage ends after the last, and one part is never sent round");
}

/* Two stages of two parts, two microbatches, worked out by hand: F and B of (microbatch, part).
 * stage 0: F00 1, F10 2, F01 3.6, F11 4.6, B01 9.35, B11 12.35, B00 14.35, B10 16.8
 * stage 1: F00 2.5, F10 3.5, F01 5.1, B01 7.1, F11 8.1, B11 10.1, B00 12.1, B10 14.55 */
static void parts_by_hand(void) {
    struct schedule_stage stage[2] = {{2, 4}, {2, 4}};
    struct schedule_hop hop = {{.5, 0, 0}, {.25, 0, 0}}, wrap = {{.1, 0, 0}, {.2, 0, 0}};
    struct schedule s = {2, 2, stage, &hop};
    double end[2], work[16];
    check(fabs(schedule_interleaved_s(&s, 2, &wrap, end, work) - 16.8) < 1e-12, "two parts by hand");
    check(fabs(end[0] - 16.8) < 1e-12 && fabs(end[1] - 14.55) < 1e-12, "and when each stage ends");
    check(fabs(schedule_interleaved_bound_s(&s, 2, &wrap) - (3 + .75 + 12)) < 1e-12,
          "its bound: a part of stage 0 and both ways over the hop, then stage 1 all the time");
}

static void known_ones_agree(void) {
    struct schedule_stage even[8];
    struct schedule_hop none[8] = {0};
    double end[8], work[2 * 4 * 8 * 32];
    for (int i = 0; i < 8; i++) even[i] = (struct schedule_stage){1, 2};
    struct schedule s = {8, 32, even, none};
    check(schedule_blocking_s(&s, end) == 3 * (32 + 7), "equal stages: M + P - 1 slots");
    check(schedule_lower_bound_s(&s) == 3 * (32 + 7), "and the bound is that");
    check(end[7] == 3 * 32 + 7 && end[0] == 3 * 39, "the last stage ends P - 1 backward passes before");
    check(fabs(schedule_interleaved_s(&s, 4, none, end, work) - 3 * (32 + 7 / 4.0)) < 1e-9,
          "four parts: a quarter of the wait");
    check(fabs(schedule_interleaved_s(&s, 1, none, end, work) - 3 * (32 + 7)) < 1e-9, "one part: 1F1B");
    s.stages = 1;
    check(schedule_blocking_s(&s, end) == 96, "one stage");
    s.stages = 2;
    s.microbatches = 1;
    none[0] = (struct schedule_hop){{4, 3, 2}, {8, 7, 5}};
    check(schedule_blocking_s(&s, end) == 1 + 4 + 2 + 1 + 2 + 8 + 5 + 2,
          "one microbatch: everything in turn");
}

static void it_is_fast(struct rng *r) {
    struct drawn d;
    double end[STAGES], sum = 0;
    do draw(r, &d);
    while (d.s.stages < 8);
    d.s.stages = 8;
    d.s.microbatches = 128;
    int n = 20000;
    clock_t start = clock();
    for (int i = 0; i < n; i++) {
        d.stage[i & 7].forward_s += 1e-9;
        sum += schedule_blocking_s(&d.s, end);
    }
    double s = (double)(clock() - start) / CLOCKS_PER_SEC;
    printf("# %.3g schedules of 8 stages and 128 microbatches per second%s\n", n / s, sum > 0 ? "" : " ");
    check(s < 5, "twenty thousand within five seconds"); /* even under the sanitizers */
}

int main(void) {
    struct rng r = {20261128, 0};
    known_ones_agree();
    parts_by_hand();
    bounds_hold(&r);
    interleaved_bounds_hold(&r);
    logs_fit(&r);
    it_is_fast(&r);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
