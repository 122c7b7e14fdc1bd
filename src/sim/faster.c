#include "sim/faster.h"

#include <string.h>

static const double *divided(const double *v, int n, double by, struct arena *a) {
    if (!v) return NULL;
    double *out = ARENA_ARRAY(a, double, n);
    for (int i = 0; i < n; i++) out[i] = v[i] / by;
    return out;
}

struct profile *faster_profile(const struct profile *p, int n_layer, double speed, struct arena *a) {
    struct profile *f = ARENA_NEW(a, struct profile);
    struct layer_times *times = ARENA_ARRAY(a, struct layer_times, p->n_mb * TP_N);
    *f = *p;
    f->times = times;
    for (int i = 0; i < p->n_mb * TP_N; i++) {
        const struct layer_times *t = &p->times[i];
        if (!t->fwd_s) continue;
        times[i] = (struct layer_times){.fwd_s = divided(t->fwd_s, n_layer, speed, a),
                                        .bwd_s = divided(t->bwd_s, n_layer, speed, a),
                                        .train_fwd_s = divided(t->train_fwd_s, n_layer, speed, a),
                                        .train_bwd_s = divided(t->train_bwd_s, n_layer, speed, a),
                                        .update_s = divided(t->update_s, n_layer, speed, a),
                                        .update_by_layer = t->update_by_layer};
    }
    return f;
}

struct workload *workload_changeable(const struct workload *w, struct workload **variant, struct arena *a) {
    struct workload *copy = ARENA_NEW(a, struct workload);
    *copy = *w;
    *variant = ARENA_ARRAY(a, struct workload, w->n_variant + 1);
    if (w->n_variant) memcpy(*variant, w->variant, sizeof **variant * (size_t)w->n_variant);
    copy->variant = *variant;
    return copy;
}

static void speed_up(struct workload *w, int gpu, double speed, struct arena *a) {
    const struct profile **profile = ARENA_ARRAY(a, const struct profile *, w->site->n_gpu);
    for (int g = 0; g < w->site->n_gpu; g++) {
        profile[g] = w->profile[g];
        if (profile[g] && (gpu < 0 || gpu == g))
            profile[g] = faster_profile(profile[g], w->model->n_layer, speed, a);
    }
    w->profile = profile;
}

struct workload *faster_layers(const struct workload *w, int gpu, double speed, struct arena *a) {
    struct workload *variant, *f = workload_changeable(w, &variant, a);
    speed_up(f, gpu, speed, a);
    for (int i = 0; i < f->n_variant; i++) speed_up(&variant[i], gpu, speed, a);
    return f;
}

void faster_link(struct link *l, double speed) {
    l->c2 *= speed;
    l->c1 *= speed;
    l->c0 *= speed;
    l->peak_Bps *= speed;
    l->rate_Bps *= speed;
    l->latency_s /= speed;
}

static void widen(const struct site *s, struct link *link, int from, int to, double speed) {
    for (int ti = 0; ti < TP_N; ti++)
        for (int tj = 0; tj < TP_N; tj++) {
            struct link *l = &link[site_link_slot(s, from / s->n_gpu, from % s->n_gpu, ti, to / s->n_gpu,
                                                  to % s->n_gpu, tj)];
            faster_link(l, speed);
        }
}

struct workload *faster_links(const struct workload *w, struct link_ends ends, double speed,
                              struct arena *a) {
    const struct site *s = w->site;
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    struct workload *variant, *f = workload_changeable(w, &variant, a);
    struct site *wide = ARENA_NEW(a, struct site);
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    memcpy(link, s->link, sizeof *link * side * side);
    widen(s, link, ends.place, ends.other, speed);
    if (ends.place != ends.other) widen(s, link, ends.other, ends.place, speed);
    *wide = *s;
    wide->link = link;
    f->site = wide;
    for (int i = 0; i < f->n_variant; i++) variant[i].site = wide;
    return f;
}

/* ---- links of a plan ---------------------------------------------------------------- */

/* Marks the pairs between these replicas; [x * places + y] with x <= y. */
static void mark(const struct site *s, const struct stage *a, const struct stage *b, bool *used) {
    int places = s->n_zone * s->n_gpu;
    for (int g = 0; g < a->n_group; g++)
        for (int h = 0; h < b->n_group; h++) {
            int x = site_at(s, a->group[g].zone, a->group[g].gpu);
            int y = site_at(s, b->group[h].zone, b->group[h].gpu);
            used[x < y ? x * places + y : y * places + x] = true;
        }
}

int plan_links(const struct plan *p, const struct site *s, struct link_ends **ends, struct arena *a) {
    int places = s->n_zone * s->n_gpu, n = 0;
    bool *used = ARENA_ARRAY(a, bool, places * places);
    for (int i = 0; i < p->n_pipeline; i++)
        for (int k = 0; k < p->pipeline[i].n_stage; k++) {
            const struct stage *st = &p->pipeline[i].stage[k];
            if (k) mark(s, st - 1, st, used);
            if (stage_replicas(st) > 1 || p->n_pipeline > 1) mark(s, st, st, used);
        }
    for (int i = 0; i < places * places; i++) n += used[i];
    *ends = ARENA_ARRAY(a, struct link_ends, n);
    n = 0;
    for (int i = 0; i < places * places; i++)
        if (used[i]) (*ends)[n++] = (struct link_ends){i / places, i % places};
    return n;
}
