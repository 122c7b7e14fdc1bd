#include "search/traffic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Levels of the GPUs of a zone, and after them the state of a prefix whose last stage lies in several zones.
 */
enum { ROOM = 24, SPREAD = ROOM + 1, STATES };

static int descending(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x < y) - (x > y);
}

void traffic_begin_unit(struct window_tables *t, struct arena *a) {
    double one[GPUS_MAX];
    for (int g = 0; g < GPUS_MAX; g++) one[g] = 1;
    t->traffic.gpus = ARENA_ARRAY(a, double, t->mb->n_class);
    for (int c = 0; c < t->mb->n_class; c++) t->traffic.gpus[c] = class_stage_least(t->mb, c, one, t->u->D);
}

/* GPUs of the zones of the scope, the largest first, and the least price of 1e9 bytes from one to another. */
static int zones_of(const struct window_tables *t, long gpus[ZONES_MAX], double *price) {
    const struct space *s = t->s->merged_from ? t->s->merged_from : t->s;
    int scope = t->w.scope, n = 0;
    bool all = s->n_region == 1 || scope >= s->n_region;
    memset(gpus, 0, sizeof gpus[0] * ZONES_MAX);
    *price = INFINITY;
    for (int x = 0; x < s->n_cell; x++) {
        if (!all && s->cell[x].region != scope) continue;
        gpus[s->cell[x].zone] += s->cell[x].gpus;
        for (int y = 0; y < s->n_cell; y++)
            if ((all || s->cell[y].region == scope) && s->cell[x].zone != s->cell[y].zone)
                *price = fmin(*price, s->egress[x * s->n_cell + y]);
    }
    qsort(gpus, ZONES_MAX, sizeof gpus[0], descending);
    while (n < ZONES_MAX && gpus[n] > 0) n++;
    return n;
}

void traffic_least(struct window_tables *t) {
    const struct mb_space *mb = t->mb;
    int L = t->s->L, D = t->u->D;
    long zone[ZONES_MAX];
    double price, *least = t->traffic.least;
    int n_zone = zones_of(t, zone, &price);
    for (int l = 0; l <= L; l++) least[l] = 0;
    if (!(price > 0) || n_zone < 2) return;
    double state[LAYERS_MAX + 1][STATES];
    int unit = (int)ceil((double)zone[0] / D / ROOM) * D, room = (int)(zone[0] / unit);
    for (int l = 0; l <= L; l++)
        for (int k = 0; k < STATES; k++) state[l][k] = INFINITY;
    for (int e = 1; e <= L; e++) {
        for (int i = 0; i < e && t->min_depth[e] <= L; i++) {
            int n, zones = 2;
            const struct allowed *w = window_allowed(t, i, e, &n);
            double gpus = INFINITY;
            for (int k = 0; k < n; k++) gpus = fmin(gpus, t->traffic.gpus[w[k].cls]);
            if (!(gpus < INFINITY)) continue;
            double left = gpus - (double)zone[0] - (double)zone[1];
            while (left > 0 && zones < n_zone) left -= (double)zone[zones++];
            double hop = i > 0 ? activation_bytes(t->s->p->w, i - 1, mb->m) / 1e9 * t->u->M * 2 * price : 0,
                   ring = D > 1 && left <= 0
                              ? ring_usd(t->s->p->w, zones * price, t->s->params[e] - t->s->params[i], D)
                              : INFINITY;
            int need = gpus < (double)zone[0] * (1 + 1e-9) ? (int)(gpus / unit + 1e-9) : room + 1;
            double inside = i ? INFINITY : 0; /* the cheapest prefix whose last stage lies in one zone */
            for (int k = 0; k <= room && i; k++) inside = fmin(inside, state[i][k]);
            double spread = i ? state[i][SPREAD] : 0;
            if (need <= room) {
                for (int k = 0; k + need <= room && i; k++)
                    state[e][k + need] = fmin(state[e][k + need], state[i][k]);
                state[e][need] = fmin(state[e][need], fmin(inside + D * hop, spread + hop));
            }
            state[e][SPREAD] = fmin(state[e][SPREAD], fmin(inside + hop, spread) + ring);
        }
        least[e] = INFINITY;
        for (int k = 0; k < STATES; k++) least[e] = fmin(least[e], state[e][k]);
        least[e] *= 1 - 1e-12;
    }
}
