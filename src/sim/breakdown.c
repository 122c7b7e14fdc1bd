#include "sim/breakdown.h"

#include "sim/terms.h"

static double own_s(const struct stage_estimate *e) { return e->compute_s + e->comm_s; }

/* How long a pipeline works on its microbatches. */
static double span_s(const struct stage_estimate *e, int n, int M) {
    double slowest = -INFINITY, sum = 0;
    for (int k = 0; k < n; k++) {
        slowest = fmax(slowest, stage_period_s(&e[k]));
        sum += own_s(&e[k]);
    }
    return iteration_time_s(M, slowest, sum, 0, 0);
}

static void find_slowest(const struct stage_estimate *e, int n, int pipeline, struct breakdown *b) {
    b->slowest = b->next = (struct stage_at){-1, -1, -INFINITY};
    for (int k = 0; k < n; k++) {
        struct stage_at here = {pipeline, k, stage_period_s(&e[k])};
        if (here.per_microbatch_s > b->slowest.per_microbatch_s) {
            b->next = b->slowest;
            b->slowest = here;
        } else if (here.per_microbatch_s > b->next.per_microbatch_s) {
            b->next = here;
        }
    }
}

static void find_fullest(const struct plan *p, const struct estimate *est, const struct site *s,
                         struct breakdown *b) {
    const struct stage_estimate *e = est->stage;
    double fullest = -INFINITY;
    b->fullest = (struct stage_at){-1, -1, NAN};
    for (int i = 0; i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++, e++) {
            const struct stage *st = &p->pipeline[i].stage[k];
            double bytes = e->tight_bytes, room = e->tight_room_bytes;
            if (!(room > 0)) { /* from an older file: take the fullest GPU and the smallest memory */
                bytes = e->memory_bytes;
                room = INFINITY;
                for (int g = 0; g < st->n_group; g++)
                    room = fmin(room, s->gpu[st->group[g].gpu].memory_bytes);
            }
            if (!(bytes / room > fullest)) continue;
            fullest = bytes / room;
            b->fullest = (struct stage_at){i, k, NAN};
            b->needs_bytes = bytes;
            b->memory_bytes = room;
        }
}

bool breakdown_of(const struct plan *p, const struct estimate *est, const struct site *s,
                  struct breakdown *b) {
    const struct stage_estimate *e = est->stage, *at = e;
    double longest = -INFINITY;
    int M = est->n_microbatch;
    *b = (struct breakdown){.slowest = {-1, -1, NAN}};
    if (!e || isnan(e->compute_s)) return false;
    for (int i = 0; i < p->n_pipeline; e += p->pipeline[i++].n_stage) {
        double span = span_s(e, p->pipeline[i].n_stage, M);
        if (!(span > longest)) continue;
        longest = span;
        at = e;
        find_slowest(e, p->pipeline[i].n_stage, i, b);
    }
    if (b->slowest.stage < 0) return false;
    b->compute_s = M * at[b->slowest.stage].compute_s;
    b->transfer_s = M * at[b->slowest.stage].comm_s + (M - 1) * at[b->slowest.stage].turn_s;
    b->update_s = est->played ? est->update_s : fmax(0, est->pipeline_time_s - longest);
    b->sync_s = est->sync_time_s;
    double stages_s = est->played ? est->pipeline_time_s - est->update_s : longest;
    b->bubble_s = fmax(0, stages_s - b->compute_s - b->transfer_s);
    if (p->pipeline[b->slowest.pipeline].n_stage == 1)
        b->bubble_s = 0; /* without the rounding of a difference */
    find_fullest(p, est, s, b);
    return true;
}

double bubble_share(const struct breakdown *b) {
    return b->bubble_s / (b->compute_s + b->transfer_s + b->bubble_s + b->sync_s + b->update_s);
}

double slowest_excess(const struct breakdown *b) {
    return b->next.stage < 0 ? NAN : b->slowest.per_microbatch_s / b->next.per_microbatch_s - 1;
}
