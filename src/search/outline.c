#include "search/outline.h"

#include <string.h>

#include "sim/terms.h"

/* The ways to run a stage of some layers: the cheapest first, each faster than the one before. */
struct menu {
    int n;
    struct choice {
        double cost, time_s;
        int level;
    } * choice;
};

static struct menu list_choices(const struct space *s, const struct mb_space *mb, int i, int e,
                                const double *cost, const struct outline *o, struct choice *room,
                                struct arena *a) {
    int n = 0, in_flight = microbatches_in_flight(s->p->estimator, e < s->L ? 2 : 1, 1); /* M unknown */
    for (int c = 0; c < mb->n_class; c++) {
        size_t x = cfe(s, c, i, e);
        double w = mb->weight[x];
        if (!(w < INFINITY) || mb->depth[x] < in_flight) continue;
        int at = 0, end;
        while (at < n && room[at].cost < cost[c]) at++;
        if ((at && room[at - 1].time_s <= w) || (at < n && room[at].cost == cost[c] && room[at].time_s <= w))
            continue;
        for (end = at; end < n && room[end].time_s >= w;) end++; /* more expensive and no faster */
        memmove(room + at + 1, room + end, sizeof *room * (size_t)(n - end));
        n += 1 - (end - at);
        room[at] = (struct choice){cost[c], w, (int)floor(cost[c] / o->level * (1 - 1e-9))};
    }
    struct menu m = {n, ARENA_ARRAY(a, struct choice, n + 1)};
    memcpy(m.choice, room, sizeof *room * (size_t)n);
    return m;
}

struct outline *outline_new(const double weight[GPUS_MAX], struct arena *a) {
    struct outline *o = ARENA_NEW(a, struct outline);
    memcpy(o->weight, weight, sizeof o->weight);
    return o;
}

void outline_fill(struct outline *o, const struct space *s, const struct mb_space *mb) {
    const double *weight = o->weight;
    struct arena scratch = {0};
    int L = s->L;
    double *cost = ARENA_ARRAY(&scratch, double, mb->n_class), lo = 0, hi = 0, top = 0;
    o->cheapest = INFINITY;
    for (int k = 0; k < mb->n_class; k++) {
        cost[k] = class_replica_least(mb, k, weight);
        top = fmax(top, cost[k]);
        o->cheapest = fmin(o->cheapest, cost[k]);
        hi = fmax(hi, mb->comp[cfe(s, k, 0, L)]);
    }
    for (int l = 0; l < L; l++) lo = fmax(lo, mb->layer_min[l]);
    o->level = top > 0 ? 8 * top / OUTLINE_LEVELS : 1;
    hi = fmax(hi, lo) + 4 * (mb->comm_min < INFINITY ? mb->comm_min : 0);
    double start = fmax(lo, 1e-6 * hi);
    for (int k = 0; k <= OUTLINE_X; k++)
        o->step[k] = k == 0 ? lo : hi > 0 ? start * pow(hi / start, (double)k / OUTLINE_X) : 0;
    struct choice *room = ARENA_ARRAY(&scratch, struct choice, mb->n_class + 1);
    struct menu *menu = ARENA_ARRAY(&scratch, struct menu, (size_t)(L + 1) * (size_t)(L + 1));
    for (int e = 1; e <= L; e++)
        for (int i = 0; i < e && (i % 16 || !stop_wanted(s->stop)); i++)
            menu[e * (L + 1) + i] = list_choices(s, mb, i, e, cost, o, room, &scratch);
    double *sum = ARENA_ARRAY(&scratch, double, (size_t)(L + 1) * (OUTLINE_LEVELS + 1));
    for (int k = 0; k < OUTLINE_X && !stop_wanted(s->stop); k++) {
        double limit = k == OUTLINE_X - 1 ? INFINITY : o->step[k + 1], least[LAYERS_MAX + 1] = {0},
               free_sum[LAYERS_MAX + 1] = {0};
        for (int e = 1; e <= L; e++) {
            double *to = sum + e * (OUTLINE_LEVELS + 1);
            least[e] = free_sum[e] = INFINITY;
            for (int r = 0; r <= OUTLINE_LEVELS; r++) to[r] = INFINITY;
            for (int i = 0; i < e; i++) {
                const struct menu *m = &menu[e * (L + 1) + i];
                const double *from = sum + i * (OUTLINE_LEVELS + 1);
                int first = 0;
                while (first < m->n && !(m->choice[first].time_s + mb->turn_min[i] <= limit)) first++;
                if (first == m->n || !(least[i] < INFINITY)) continue;
                least[e] = fmin(least[e], least[i] + m->choice[first].cost);
                free_sum[e] = fmin(free_sum[e], free_sum[i] + m->choice[m->n - 1].time_s);
                for (int x = first; x < m->n; x++) {
                    double time_s = m->choice[x].time_s;
                    int d = m->choice[x].level;
                    if (x + 1 < m->n && m->choice[x + 1].level == d) continue; /* and faster */
                    for (int r = d; r <= OUTLINE_LEVELS; r++) {
                        double t = time_s + from[r - d];
                        to[r] = t < to[r] ? t : to[r];
                    }
                }
            }
        }
        o->least[k] = least[L];
        o->free_sum[k] = free_sum[L];
        memcpy(o->sum[k], sum + L * (OUTLINE_LEVELS + 1), sizeof o->sum[k]);
    }
    arena_free(&scratch);
}
