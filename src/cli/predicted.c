#include "cli/predicted.h"
#include "formats/timeline.h"
#include "io/file.h"

#include <math.h>

enum { PASSES_MAX = 1000000 };

static long long ns(double s) { return llround(1e9 * s); }

/* One stage: the work of its slowest replica, in order. */
struct line {
    struct text *out;
    const struct events_played *x;
    int stage, rank; /* the stage's first rank, which is its track */
    long long done_ns;
    int in_flight;
};

/* Adds a span; the gap since the last one is time spent waiting for other stages. */
static void put(struct line *l, enum phase phase, int item, double from_s, double to_s) {
    struct timeline_at wait = {l->stage, l->rank, PHASE_WAIT, -1}, own = {l->stage, l->rank, phase, item};
    long long from_ns = ns(from_s) > l->done_ns ? ns(from_s) : l->done_ns; /* rounding may differ */
    timeline_span(l->out, &wait, l->done_ns, from_ns);
    timeline_span(l->out, &own, from_ns, ns(to_s));
    l->done_ns = ns(to_s);
}

static void put_memory(const struct line *l, double at_s, bool backward) {
    const struct events_memory *m = &l->x->memory[l->stage];
    timeline_memory(l->out, l->stage, ns(at_s), m->state, l->in_flight * m->per_microbatch,
                    backward ? m->backward : 0);
}

static void put_forward(struct line *l, int w) {
    double end_s = l->x->log.forward_end_s[(long)l->stage * l->x->microbatches + w];
    double from_s = end_s - l->x->pass[l->stage].forward_s;
    put(l, PHASE_FORWARD, w, from_s, end_s);
    l->in_flight++;
    put_memory(l, from_s, false);
}

static void put_backward(struct line *l, int w) {
    double end_s = l->x->log.backward_end_s[(long)l->stage * l->x->microbatches + w];
    double from_s = end_s - l->x->pass[l->stage].backward_s;
    put(l, PHASE_BACKWARD, w, from_s, end_s);
    put_memory(l, from_s, true);
    l->in_flight--;
    put_memory(l, end_s, false);
}

static void put_stage(struct line *l, double reduced_s) {
    int M = l->x->microbatches, forward = 0, backward = 0;
    const double *f = l->x->log.forward_end_s + (long)l->stage * M;
    const double *b = l->x->log.backward_end_s + (long)l->stage * M;
    put_memory(l, 0, false);
    while (backward < M) {
        if (forward < M && f[forward] <= b[backward])
            put_forward(l, forward++);
        else
            put_backward(l, backward++);
    }
    double end_s = l->x->end_s[l->stage];
    put(l, PHASE_DATA, -1, end_s, end_s + l->x->sync_s[l->stage]);
    put(l, PHASE_UPDATE, -1, reduced_s, reduced_s + l->x->update_s[l->stage]);
}

static int stage_gpus(const struct plan *p, const struct stage *st) {
    int n = 0;
    for (int g = 0; g < st->n_group; g++) n += st->group[g].count * replica_gpus(p, &st->group[g]);
    return n;
}

static void put_plan(struct text *out, const struct events_played *x, const struct plan *p, double total_s) {
    int rank = 0, ranks = 0;
    double reduced_s = 0; /* when the last gradients have been reduced */
    char name[120];
    for (int i = 0; i < x->stages; i++) {
        reduced_s = fmax(reduced_s, x->end_s[i] + x->sync_s[i]);
        ranks += stage_gpus(p, &p->pipeline[0].stage[i]);
    }
    struct timeline_about about = {program_version(), "predicted", 0, ranks, total_s, 0};
    timeline_begin(out, &about);
    for (int i = 0; i < x->stages; i++) {
        const struct stage *st = &p->pipeline[0].stage[i];
        struct line line = {.out = out, .x = x, .stage = i, .rank = rank};
        rank += stage_gpus(p, st);
        timeline_process(out, i, line.rank, 0, i, st->first, st->end);
        snprintf(name, sizeof name, "ranks %d to %d: predicted", line.rank, rank - 1);
        timeline_track(out, i, line.rank, 2 * line.rank, name);
        put_stage(&line, reduced_s);
    }
    timeline_end(out);
}

int predicted_write(const struct workload *w, const struct plan *p, const char *path, struct err *e) {
    struct arena a = {0};
    struct text out = {0};
    struct estimate est = {.stage = NULL};
    struct events_played played;
    long slots = (long)p->micro_batch_size * stage_replicas(&p->pipeline[0].stage[0]);
    long passes = 2L * p->pipeline[0].n_stage * ((p->global_batch_size + slots - 1) / slots);
    int rc = 0;
    if (passes > PASSES_MAX)
        rc = err_set(e, EXIT_INPUT, "a timeline of %ld passes; expected at most %d", passes, PASSES_MAX);
    if (!rc) rc = events_play(w, p, &est, &played, &a, e);
    if (!rc) {
        put_plan(&out, &played, p, est.iteration_time_s);
        rc = file_write(path, out.s, out.n, e);
    }
    text_free(&out);
    arena_free(&a);
    return rc;
}
