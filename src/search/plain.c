#include "search/plain.h"
#include "search/fill.h"
#include "sim/terms.h"

struct plain {
    struct climb *c;
    struct draft *d;
    int n, lot[ZONES_MAX]; /* the largest first */
    int gpu, ti, m, P;
    double usd_per_s; /* of the cheapest GPU */
};

enum way { IN_TURN, APART, EACH_STAGE, WAYS };

/* Zone after zone; so that no stage lies in two of them; or every stage in all of them. False: no room. */
static bool occupy(struct plain *x, int D, enum way way, bool back) {
    int left[ZONES_MAX], share[ZONES_MAX];
    x->d->D = D;
    x->d->plan.micro_batch_size = x->m;
    x->d->pipe.n_stage = x->P;
    for (int z = 0; z < ZONES_MAX; z++) x->d->rank[z] = back ? ZONES_MAX - 1 - z : z;
    for (int k = 0; k < x->n; k++) {
        left[k] = x->c->lot[x->lot[k]].nodes.room[x->ti] >> x->ti;
        share[k] = way == EACH_STAGE ? left[k] / x->P : left[k];
    }
    for (int i = 0; i < x->P; i++) {
        int want = D;
        x->d->pipe.stage[i].n_group = 0;
        for (int k = 0; k < x->n && want > 0; k++) {
            const struct lot *l = &x->c->lot[x->lot[k]];
            int most = share[k] < left[k] ? share[k] : left[k], take = most < want ? most : want;
            if (take <= 0 || (way == APART && take < want)) continue;
            if (!draft_add(x->d, i, l->zone, l->gpu, 1 << x->ti, take)) return false;
            want -= take;
            left[k] -= take;
        }
        if (want) return false;
    }
    return true;
}

/* All numbers of replicas, of those with equally many microbatches the least. */
static void all_sizes(struct plain *x, int most) {
    struct climb *c = x->c;
    const double *comp = c->kinds->kind[kinds_at(c->kinds, x->m)][x->gpu][x->ti].comp;
    int G = c->w->global_batch_size;
    bool cut = false;
    for (int M = microbatches(G, x->m); M > 0 && !climb_over(c);) {
        int D = (G + x->m * M - 1) / (x->m * M), next = microbatches(G, (long)x->m * (D + 1));
        struct score s;
        if (D > most) return;
        M = microbatches(G, (long)x->m * D);
        double time_s = (M - 1) * comp[c->L] / x->P + comp[c->L],
               usd = time_s * x->usd_per_s * D * x->P * (1 << x->ti);
        M = next < M ? next : M - 1;
        if (climb_covered(c, time_s, usd)) continue;
        for (int k = 0; k < (x->n > 1 ? 2 * WAYS : 1); k++) {
            if (!occupy(x, D, (enum way)(k / 2), k & 1) || (cut && climb_judge(c, x->d, &s))) continue;
            c->work++; /* the cuts of the size before do not fit */
            cut = draft_cut(c, x->d);
            if (cut) climb_judge(c, x->d, &s);
        }
    }
}

static void all_shapes(struct plain *x) {
    const struct climb *c = x->c;
    for (int mi = 0; mi < c->kinds->n_mb; mi++)
        for (x->ti = 0; x->ti < TP_N; x->ti++) {
            int room = 0;
            if (!c->kinds->kind[mi][x->gpu][x->ti].ok) continue;
            x->m = c->kinds->mb[mi];
            for (int k = 0; k < x->n; k++) room += c->lot[x->lot[k]].nodes.room[x->ti] >> x->ti;
            for (x->P = 1; x->P <= c->L && x->P <= room; x->P++) all_sizes(x, room / x->P);
        }
}

void plain_climb(struct climb *c, unsigned zones, struct draft *room) {
    for (int gpu = 0; gpu < c->w->site->n_gpu; gpu++) {
        struct plain x = {.c = c, .d = room, .gpu = gpu, .usd_per_s = INFINITY};
        for (int k = 0; k < c->n_lot; k++) {
            const struct lot *l = &c->lot[k];
            if (l->gpu != gpu || !(zones >> l->zone & 1)) continue;
            int at = x.n++;
            for (; at > 0 && c->lot[x.lot[at - 1]].gpus < l->gpus; at--) x.lot[at] = x.lot[at - 1];
            x.lot[at] = k;
            x.usd_per_s = fmin(x.usd_per_s, l->usd_per_s);
        }
        if (x.n) all_shapes(&x);
    }
}
