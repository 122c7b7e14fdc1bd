#include "sim/risk.h"
#include "sim/faster.h"

#include <assert.h>
#include <math.h>

static double below(double x) { return erfc(-x / M_SQRT2) / 2; }

/* By bisection: the distribution function is all that is needed. */
static double normal_quantile(double q) {
    double lo = -40, hi = 40;
    assert(q > 0 && q < 1);
    for (int i = 0; i < 100; i++) {
        double middle = (lo + hi) / 2;
        if (below(middle) < q)
            lo = middle;
        else
            hi = middle;
    }
    return (lo + hi) / 2;
}

double risk_deviation(double within) { return log1p(within) / normal_quantile(RISK_HIGH); }

double risk_both(double one, double other) { return sqrt(one * one + other * other); }

double risk_factor(double deviation, double q) { return exp(deviation * normal_quantile(q)); }

/* Slows every slot of the table of links by the types at its ends. */
static const struct link *slower_links(const struct site *s, const double *deviation, double q,
                                       struct arena *a) {
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    double by[GPUS_MAX][GPUS_MAX];
    for (int g = 0; g < s->n_gpu; g++)
        for (int h = 0; h < s->n_gpu; h++) by[g][h] = 1 / risk_factor(fmax(deviation[g], deviation[h]), q);
    for (size_t i = 0; i < side; i++)
        for (size_t k = 0; k < side; k++) {
            link[i * side + k] = s->link[i * side + k];
            faster_link(&link[i * side + k], by[i / TP_N % (size_t)s->n_gpu][k / TP_N % (size_t)s->n_gpu]);
        }
    return link;
}

/* What the framework adds takes longer, too. */
static const struct platform *slower_platform(const struct workload *w, const double *deviation, double q,
                                              struct arena *a) {
    if (!w->platform) return NULL;
    struct platform *p = ARENA_ARRAY(a, struct platform, w->site->n_gpu);
    for (int g = 0; g < w->site->n_gpu; g++) {
        double by = risk_factor(deviation[g], q);
        p[g] = w->platform[g];
        p[g].memory_Bps /= by;
        p[g].staging_s_per_B *= by;
        for (int ti = 0; ti < TP_N; ti++) p[g].gather_Bps[ti] /= by;
    }
    return p;
}

static void slow_down(struct workload *w, const double *deviation, double q, struct arena *a) {
    const struct profile **profile = ARENA_ARRAY(a, const struct profile *, w->site->n_gpu);
    for (int g = 0; g < w->site->n_gpu; g++)
        if (w->profile[g])
            profile[g] =
                faster_profile(w->profile[g], w->model->n_layer, 1 / risk_factor(deviation[g], q), a);
    w->profile = profile;
}

struct workload *risk_world(const struct workload *w, const double *deviation, double memory, double q,
                            struct arena *a) {
    const struct site *s = w->site;
    struct workload *variant, *then = workload_changeable(w, &variant, a);
    struct site *site = ARENA_NEW(a, struct site);
    struct link *intra = ARENA_ARRAY(a, struct link, s->n_gpu * TP_N);
    *site = *s;
    for (int g = 0; s->intra && g < s->n_gpu; g++)
        for (int ti = 0; ti < TP_N; ti++) {
            intra[g * TP_N + ti] = s->intra[g * TP_N + ti];
            faster_link(&intra[g * TP_N + ti], 1 / risk_factor(deviation[g], q));
        }
    if (s->intra) site->intra = intra;
    site->link = slower_links(s, deviation, q, a);
    then->site = site;
    then->platform = slower_platform(w, deviation, q, a);
    then->memory_margin = fmax(0, risk_factor(memory, q) - 1);
    slow_down(then, deviation, q, a);
    for (int i = 0; i < then->n_variant; i++) {
        variant[i].site = site;
        variant[i].platform = then->platform;
        variant[i].memory_margin = then->memory_margin;
        slow_down(&variant[i], deviation, q, a);
    }
    return then;
}

struct workload risk_in_world(const struct workload *w, const struct workload *world) {
    struct workload then = *w;
    then.site = world->site;
    then.profile = world->profile;
    then.platform = world->platform;
    then.n_variant = world->n_variant;
    then.variant = world->variant;
    then.memory_margin = world->memory_margin;
    return then;
}
