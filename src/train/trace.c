#include "train/trace.h"
#include "formats/timeline.h"
#include "io/file.h"
#include "io/mpx_comm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TAG = 3, ROUNDS = 100 };

void trace_take(struct trace *t, const struct clock *c, long step) {
    t->n = 0;
    t->step = step;
    t->began_s = c->began_s;
    if (c->n + 1 > t->room) {
        struct trace_mark *more = realloc(t->mark, sizeof *more * (size_t)(c->n + 1));
        if (!more) return;
        t->mark = more;
        t->room = c->n + 1;
    }
    for (int i = 0; i <= c->n; i++) {
        t->mark[i].at_s = c->backend->stamp_s(c->backend, i);
        t->mark[i].phase = i < c->n ? (int)c->mark[i].phase : PHASE_N;
        t->mark[i].item = i < c->n ? c->mark[i].item : -1;
    }
    t->n = c->n;
}

void trace_free(struct trace *t) {
    free(t->mark);
    *t = (struct trace){0};
}

/* ---- one clock for all ---- */

/* What to add to another rank's clock, which was read between two readings of this one, the closer together
 * the better. */
static double ask(MPI_Comm world, int rank, double *error_s) {
    double offset = 0, theirs;
    *error_s = INFINITY;
    for (int i = 0; i < ROUNDS; i++) {
        double sent = clock_host_s();
        MPI_Send(NULL, 0, MPI_BYTE, rank, TAG, world);
        MPI_Recv(&theirs, 1, MPI_DOUBLE, rank, TAG, world, MPI_STATUS_IGNORE);
        double back = clock_host_s();
        if ((back - sent) / 2 >= *error_s) continue;
        *error_s = (back - sent) / 2;
        offset = (sent + back) / 2 - theirs;
    }
    return offset;
}

static void answer(MPI_Comm world) {
    for (int i = 0; i < ROUNDS; i++) {
        MPI_Recv(NULL, 0, MPI_BYTE, 0, TAG, world, MPI_STATUS_IGNORE);
        double now = clock_host_s();
        MPI_Send(&now, 1, MPI_DOUBLE, 0, TAG, world);
    }
}

/* What to add to this rank's host clock to have that of rank 0, and on rank 0 how far that may be off on any
 * rank. Ranks of one machine share a clock; one on every other machine is asked for the time. */
static double clock_offset_s(const struct mpx *m, double *error_s, struct arena *a) {
    double offset_s = 0;
    *error_s = 0;
    if (!m->comm) return 0;
    MPI_Comm world = m->comm->mpi, node;
    int place, *leads = ARENA_ARRAY(a, int, m->size);
    MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, m->rank, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &place);
    int lead = m->rank != 0 && place == 0;
    MPI_Gather(&lead, 1, MPI_INT, leads, 1, MPI_INT, 0, world);
    for (int r = 1; m->rank == 0 && r < m->size; r++) {
        double theirs_s, off_s;
        if (!leads[r]) continue;
        theirs_s = ask(world, r, &off_s);
        MPI_Send(&theirs_s, 1, MPI_DOUBLE, r, TAG, world);
        *error_s = fmax(*error_s, off_s);
    }
    if (lead) {
        answer(world);
        MPI_Recv(&offset_s, 1, MPI_DOUBLE, 0, TAG, world, MPI_STATUS_IGNORE);
    }
    MPI_Bcast(&offset_s, 1, MPI_DOUBLE, 0, node);
    MPI_Comm_free(&node);
    return offset_s;
}

/* ---- the file ---- */

struct head { /* what rank 0 must know about a rank */
    double began_s, time_s;
    int n;
    char host[64];
};

struct track { /* where a rank's events go */
    struct text *out;
    int process, rank, ranks;
    double base_s;
};

static bool is_pass(int phase) { return phase == PHASE_FORWARD || phase == PHASE_BACKWARD; }
static bool is_sum(int phase) { return phase == PHASE_TENSOR || phase == PHASE_DATA; }

static long long ns(const struct track *t, const struct trace_mark *m) {
    return llround(1e9 * (t->base_s + m->at_s));
}

static struct timeline_at at(const struct track *t, bool beside, const struct trace_mark *m) {
    return (struct timeline_at){t->process, beside ? t->ranks + t->rank : t->rank, (enum phase)m->phase,
                                m->item};
}

static void put_span(const struct track *t, bool beside, const struct trace_mark *m,
                     const struct trace_mark *end) {
    struct timeline_at here = at(t, beside, m);
    timeline_span(t->out, &here, ns(t, m), ns(t, end));
}

/* A sum that was started in the backward pass is under way until it has been waited for. */
static void put_under_way(const struct track *t, const struct trace_mark *mark, int i, int end) {
    int k = i - 1;
    while (k >= 0 && !(mark[k].phase == PHASE_DATA && mark[k].item == mark[i].item)) k--;
    if (k < 0) return;
    struct timeline_at here = at(t, true, &mark[i]);
    timeline_beside(t->out, &here, 'b', t->rank, ns(t, &mark[k]));
    timeline_beside(t->out, &here, 'e', t->rank, ns(t, &mark[end]));
}

/* The whole pass of a microbatch is one span, its sums are on a track beside it. */
static void put_rank(const struct track *t, const struct trace_mark *mark, int n) {
    for (int i = 0, end; i < n; i = end) {
        bool pass = is_pass(mark[i].phase);
        end = i + 1;
        for (int k = end; k < n; k++) {
            if (mark[k].phase == mark[i].phase && mark[k].item == mark[i].item)
                end = k + 1;
            else if (!pass || !is_sum(mark[k].phase))
                break;
        }
        put_span(t, false, &mark[i], &mark[end]);
        for (int k = i; pass && k < end; k++)
            if (is_sum(mark[k].phase)) put_span(t, true, &mark[k], &mark[k + 1]);
        if (mark[i].phase == PHASE_DATA) put_under_way(t, mark, i, end);
    }
}

static void put_names(const struct track *t, const struct grid *g, const char *host) {
    const struct grid_cell *c = &g->cell[g->cell_of[t->rank]];
    char name[200];
    if (c->replica == 0 && c->first_rank == t->rank)
        timeline_process(t->out, t->process, t->rank, c->pipeline, c->stage, c->first, c->end);
    snprintf(name, sizeof name, "rank %d: replica %d, %d of %d, %s", t->rank, c->replica,
             t->rank - c->first_rank, c->tp, host);
    timeline_track(t->out, t->process, t->rank, 2 * t->rank, name);
    snprintf(name, sizeof name, "rank %d: sums", t->rank);
    timeline_track(t->out, t->process, t->ranks + t->rank, 2 * t->rank + 1, name);
}

/* Rank 0 takes the ranks one at a time, so it never holds more than one. */
static void put_all(struct text *out, const struct trace *t, const struct grid *g, const struct mpx *m,
                    const struct head *head, struct arena *a) {
    double origin = INFINITY;
    for (int r = 0; r < m->size; r++) origin = fmin(origin, head[r].began_s);
    for (int r = 0; r < m->size; r++) {
        struct arena_mark before = arena_mark(a);
        const struct grid_cell *c = &g->cell[g->cell_of[r]];
        struct track track = {out, c->stage, r, m->size, head[r].began_s - origin};
        struct trace_mark *mark = t->mark;
        for (int i = 0; i < c->pipeline; i++) track.process += g->line[i].stages;
        if (r) {
            mark = ARENA_ARRAY(a, struct trace_mark, head[r].n + 1);
            MPI_Recv(mark, (head[r].n + 1) * (int)sizeof *mark, MPI_BYTE, r, TAG, m->comm->mpi,
                     MPI_STATUS_IGNORE);
        }
        put_names(&track, g, head[r].host);
        put_rank(&track, mark, head[r].n);
        arena_release(a, before);
    }
}

static int write_all(const struct trace *t, const struct grid *g, const struct mpx *m,
                     const struct head *head, double error_s, const char *path, const char *source,
                     struct arena *a, struct err *e) {
    struct text out = {0};
    double time_s = 0;
    for (int r = 0; r < m->size; r++) time_s = fmax(time_s, head[r].time_s);
    char label[40];
    snprintf(label, sizeof label, "step %ld", t->step);
    struct timeline_about about = {source, label, t->step, m->size, time_s, error_s};
    timeline_begin(&out, &about);
    put_all(&out, t, g, m, head, a);
    timeline_end(&out);
    int rc = file_write(path, out.s, out.n, e);
    text_free(&out);
    return rc;
}

int trace_write(const struct trace *t, const struct grid *g, const struct mpx *m, const char *path,
                const char *source, struct err *e) {
    struct arena a = {0};
    struct head mine = {.n = t->n}, *head = ARENA_ARRAY(&a, struct head, m->size);
    double error_s, offset_s = clock_offset_s(m, &error_s, &a);
    int rc = t->n ? 0 : err_set(e, EXIT_INTERNAL, "%s: out of memory", path);
    if (!mpx_agree(m, rc, e)) {
        mine.began_s = t->began_s + offset_s;
        mine.time_s = t->mark[t->n].at_s;
        gethostname(mine.host, sizeof mine.host - 1);
        head[0] = mine;
        if (m->comm) MPI_Gather(&mine, sizeof mine, MPI_BYTE, head, sizeof mine, MPI_BYTE, 0, m->comm->mpi);
        if (m->rank == 0)
            rc = write_all(t, g, m, head, error_s, path, source, &a, e);
        else
            MPI_Send(t->mark, (t->n + 1) * (int)sizeof *t->mark, MPI_BYTE, 0, TAG, m->comm->mpi);
        rc = mpx_agree(m, rc, e);
    } else {
        rc = -1;
    }
    arena_free(&a);
    return rc;
}
