#include "search/place.h"

#include <string.h>

enum { ORDERS_MAX = 24, PERMUTED = 4 };
enum way { FIRST_FIT, BEST_FIT, EVENLY, WAYS };

/* Room for replicas besides those taken so far, and replicas of each degree taken. */
struct stock {
    const struct climb *c;
    int used[CELLS_ALL][TP_N];
};

static int room_left(const struct stock *k, int lot, int ti) {
    const struct lot *l = &k->c->lot[lot];
    int above = 0, least = 1 << 30;
    for (int t = TP_N - 1; t >= 0; t--) {
        above += k->used[lot][t] << t;
        if (t > ti) continue;
        int free = (l->nodes.room[t] - above) >> ti;
        least = free < least ? free : least;
    }
    return least < 0 ? 0 : least;
}

static bool put(struct stock *k, struct draft *d, int i, int lot, int ti, int n) {
    if (n <= 0) return true;
    k->used[lot][ti] += n;
    return draft_add(d, i, k->c->lot[lot].zone, k->c->lot[lot].gpu, 1 << ti, n);
}

/* The zone where the rest of a stage goes: the first with room; or the fullest that holds all of it, or else
 * the emptiest. */
static int pick(const struct stock *k, const int *zone, int n_zone, int gpu, int ti, int n, enum way way) {
    int best = -1, best_room = 0;
    for (int z = 0; z < n_zone; z++) {
        int lot = k->c->lot_at[zone[z]][gpu], room = lot < 0 ? 0 : room_left(k, lot, ti);
        if (!room) continue;
        if (way != BEST_FIT) return lot;
        bool holds = room >= n, held = best_room >= n;
        bool better = best < 0 || (holds ? !held || room < best_room : !held && room > best_room);
        if (!better) continue;
        best = lot;
        best_room = room;
    }
    return best;
}

static bool divide(struct stock *k, struct draft *d, int i, const int *zone, int n_zone, int gpu, int ti,
                   int n, enum way way) {
    if (way == EVENLY) {
        long all = 0;
        int give = n;
        for (int z = 0; z < n_zone; z++) {
            int lot = k->c->lot_at[zone[z]][gpu];
            if (lot >= 0) all += k->c->lot[lot].gpus;
        }
        for (int z = 0; z < n_zone && all; z++) {
            int lot = k->c->lot_at[zone[z]][gpu];
            if (lot < 0) continue;
            int mine = (int)((long)give * k->c->lot[lot].gpus / all), room = room_left(k, lot, ti);
            if (mine > room) mine = room;
            if (!put(k, d, i, lot, ti, mine)) return false;
            n -= mine;
        }
    }
    while (n > 0) {
        int lot = pick(k, zone, n_zone, gpu, ti, n, way);
        if (lot < 0) return false;
        int room = room_left(k, lot, ti), take = room < n ? room : n;
        if (!put(k, d, i, lot, ti, take)) return false;
        n -= take;
    }
    return true;
}

static void try_order(struct climb *c, const struct sketch *s, const int *zone, int n_zone, enum way way,
                      bool backwards, struct draft *d) {
    struct stock k = {.c = c};
    struct score score;
    for (int z = 0; z < ZONES_MAX; z++) d->rank[z] = ZONES_MAX;
    for (int z = 0; z < n_zone; z++) d->rank[zone[z]] = z;
    for (int z = 0, next = n_zone; z < ZONES_MAX; z++)
        if (d->rank[z] == ZONES_MAX) d->rank[z] = next++;
    d->plan.micro_batch_size = s->m;
    d->D = s->D;
    d->pipe.n_stage = s->P;
    for (int i = 0; i < s->P; i++) {
        d->pipe.stage[i].first = s->stage[i].first;
        d->pipe.stage[i].end = s->stage[i].end;
        d->pipe.stage[i].n_group = 0;
    }
    for (int x = 0; x < s->P; x++) {
        int i = backwards ? s->P - 1 - x : x;
        for (int q = 0; q < s->stage[i].n; q++)
            if (!divide(&k, d, i, zone, n_zone, s->stage[i].kind[q].gpu, s->stage[i].kind[q].ti,
                        s->stage[i].kind[q].count, way))
                return;
    }
    if (!climb_judge(c, d, &score) || c->weight == 1) return;
    c->work++; /* where money counts, the limit on the slowest stage was a coarse one */
    if (draft_cut(c, d)) climb_judge(c, d, &score);
}

/* The next permutation of the first few in lexicographic order; false: it was the last. */
static bool next_order(int *zone, int n) {
    int i = n - 2, j = n - 1;
    while (i >= 0 && zone[i] > zone[i + 1]) i--;
    if (i < 0) return false;
    while (zone[j] < zone[i]) j--;
    int t = zone[i];
    zone[i] = zone[j];
    zone[j] = t;
    for (int a = i + 1, b = n - 1; a < b; a++, b--) {
        t = zone[a];
        zone[a] = zone[b];
        zone[b] = t;
    }
    return true;
}

void place_sketch(struct climb *c, const struct sketch *s, unsigned zones, struct draft *room) {
    int zone[ZONES_MAX], n = 0, gpus[ZONES_MAX] = {0};
    for (int x = 0; x < c->n_lot; x++) gpus[c->lot[x].zone] += c->lot[x].gpus;
    for (int z = 0; z < ZONES_MAX; z++) {
        if (!(zones >> z & 1) || !gpus[z]) continue;
        int at = n++;
        for (; at > 0 && gpus[zone[at - 1]] < gpus[z]; at--) zone[at] = zone[at - 1];
        zone[at] = z;
    }
    if (n == 1) {
        try_order(c, s, zone, n, FIRST_FIT, false, room);
        return;
    }
    int head[ZONES_MAX], permuted = n < PERMUTED ? n : PERMUTED;
    for (int rotate = 0; rotate < (n > PERMUTED ? n : 1); rotate++) {
        int order[ZONES_MAX];
        for (int z = 0; z < permuted; z++) head[z] = z;
        do {
            for (int z = 0; z < n; z++) order[z] = zone[(rotate + (z < permuted ? head[z] : z)) % n];
            for (int way = 0; way < WAYS && !climb_over(c); way++)
                for (int backwards = 0; backwards < 2; backwards++)
                    try_order(c, s, order, n, (enum way)way, backwards, room);
        } while (next_order(head, permuted));
        if (n > 8) break; /* many zones: the largest in front */
    }
}
