#include "planners/planner.h"

#include <stdlib.h>
#include <string.h>

/* The published heuristic of Sailor. For every number of stages P (layers dealt evenly), microbatch m and
 * replicas D, a recursion over the stages splits the D replicas of each among the GPU types and keeps, for
 * each remainder of the pool, only the fastest rest. Zones are grouped into regions; a stage stays within
 * one. [Q1] to [Q6] mark the defects that question.corrected fixes. */

enum {
    DEGREES = 3,
    /* 1, 2, 4 */ REGIONS_MAX = 8 /* all their subsets are tried */,
    SLOTS_MAX = ZONES_MAX * GPUS_MAX
};

/* GPUs of one type in one zone. Slots are grouped by region, within it by type, in the order of filling. */
struct sailor_slot {
    int region, kind, zone, count;
    double usd_per_s; /* of one GPU */
};

/* Consecutive equal replicas of a stage. */
struct sailor_run {
    short slot, count;
};

/* Regions in the order in which a pipeline crosses them. */
struct tour {
    int n, region[REGIONS_MAX];
    double peak_Bps; /* of its slowest link */
    int gpus, gpus_of[GPUS_MAX];
};

/* Stage i of P on one GPU type. */
struct use {
    int tp;
    double comp_s, update_s;
};

struct layers {
    int first, end;
    double params_bytes, out_bytes; /* out: of one microbatch */
};

/* The best way found to run stages i .. P-1 with what is left of the pool and budget: an entry of the
 * memo. */
struct rest {
    struct rest *chain;
    const struct tour *tour;
    int stage, place; /* in region tour->region[place] */
    long cents;
    uint16_t *left; /* GPUs in each slot of the region */
    double T_s;     /* INFINITY: impossible */
    double comp_s, comm_s, sync_s, first_s,
        straggler_s; /* sums; max; first and slowest stage with their transfers */
    double usd_per_s, egress_usd;
    const struct rest *next;
    int n_run;
    struct sailor_run *run;
};

/* A time between two slots that was computed before for a stage. */
struct sailor_known {
    long epoch;
    int stage, from, to;
    double time_s;
};

enum { BUCKETS = 1 << 12, KNOWN = 1 << 10 };
struct bucket {
    long epoch;
    struct rest *head;
};

struct sailor_search {
    const struct question *q;
    const struct workload *w;
    int K, gpu[GPUS_MAX]; /* available types, by name */
    int n_slot, n_region, n_tour, gpus;
    struct sailor_slot *slot;
    uint16_t *full;                       /* [n_slot] */
    int begin[REGIONS_MAX][GPUS_MAX + 1]; /* first slot of (region, kind) */
    struct tour *tour;
    int P, m, D, M;
    bool frugal;                          /* the first type must use the least degree that fits */
    struct layers *layers;                /* [P] */
    struct use *use;                      /* [P * K] */
    bool out[GPUS_MAX];                   /* some stage does not fit on this type */
    long epoch;                           /* the (P, m, D) of the memo and the times */
    struct bucket *bucket;                /* [BUCKETS] */
    struct sailor_known *ring, *transfer; /* [KNOWN] */
    struct arena memo;
    int n_list, list_room;
    struct proposal *list;
    uint64_t states;
    bool stopped;
    long splits; /* considered; with many types a single state can have too many */
};

/* ---- the pool ----------------------------------------------------------------------- */

/* "us-central1-a" is in "us-central1": the part before the second dash. */
static size_t region_length(const char *zone) {
    const char *dash = strchr(zone, '-');
    dash = dash ? strchr(dash + 1, '-') : NULL;
    return dash ? (size_t)(dash - zone) : strlen(zone);
}

/* USD per second of a GPU. [Q2] The published planner has its own prices. */
static double price(const struct sailor_search *x, int zone, int gpu) {
    static const struct {
        const char *gpu;
        double usd_per_hour;
    } built_in[] = {{"A100-40", 3.74}, {"V100-16", 2.8}, {"GH-96", 11.06}};
    const struct site *s = x->w->site;
    for (size_t i = 0; !x->q->corrected && i < sizeof built_in / sizeof *built_in; i++)
        if (!strcmp(built_in[i].gpu, s->gpu[gpu].name)) return built_in[i].usd_per_hour / 3600;
    return s->usd_per_gpu_hour[site_at(s, zone, gpu)] / 3600;
}

/* Most GPUs first, later zones before earlier ones. */
static int slot_order(const void *pa, const void *pb) {
    const struct sailor_slot *a = pa, *b = pb;
    if (a->region != b->region) return a->region < b->region ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    return (a->zone < b->zone) - (a->zone > b->zone);
}

static void read_pool(struct sailor_search *x, struct arena *a) {
    const struct site *s = x->w->site;
    const int *count = x->q->pool->count;
    const char *name[REGIONS_MAX];
    for (int g = 0; g < s->n_gpu; g++) {
        int n = 0, k = x->K;
        for (int z = 0; z < s->n_zone; z++) n += count[site_at(s, z, g)];
        if (!n || !x->w->profile[g]) continue;
        for (; k > 0 && strcmp(s->gpu[x->gpu[k - 1]].name, s->gpu[g].name) > 0; k--)
            x->gpu[k] = x->gpu[k - 1];
        x->gpu[k] = g;
        x->K++;
    }
    x->slot = ARENA_ARRAY(a, struct sailor_slot, s->n_zone * x->K);
    for (int z = 0; z < s->n_zone; z++) {
        size_t n = region_length(s->zone[z]);
        int r = 0;
        while (r < x->n_region && (region_length(name[r]) != n || strncmp(name[r], s->zone[z], n))) r++;
        if (r == REGIONS_MAX) continue;
        for (int k = 0; k < x->K; k++) {
            int have = count[z * s->n_gpu + x->gpu[k]];
            if (!have) continue;
            if (r == x->n_region) name[x->n_region++] = s->zone[z];
            x->gpus += have;
            x->slot[x->n_slot++] =
                (struct sailor_slot){r, k, z, have < INT16_MAX ? have : INT16_MAX, price(x, z, x->gpu[k])};
        }
    }
    qsort(x->slot, (size_t)x->n_slot, sizeof *x->slot, slot_order);
    x->full = ARENA_ARRAY(a, uint16_t, x->n_slot);
    for (int i = 0; i < x->n_slot; i++) x->full[i] = (uint16_t)x->slot[i].count;
    for (int r = 0, i = 0; r < x->n_region; r++)
        for (int k = 0; k <= x->K; k++) {
            x->begin[r][k] = i;
            while (k < x->K && i < x->n_slot && x->slot[i].region == r && x->slot[i].kind == k) i++;
        }
}

static const struct link *slot_link(const struct sailor_search *x, int a, int tp, int b, int tp2) {
    const struct sailor_slot *p = &x->slot[a], *q = &x->slot[b];
    return site_link(x->w->site, p->zone, x->gpu[p->kind], tp, q->zone, x->gpu[q->kind], tp2);
}

/* Peak bandwidth between the first zones of two regions, for the first type that both have. */
static double region_peak_Bps(const struct sailor_search *x, int from, int to) {
    for (int k = 0; k < x->K; k++) {
        int a = x->begin[from][k], b = x->begin[to][k];
        if (a == x->begin[from][k + 1] || b == x->begin[to][k + 1]) continue;
        const struct link *l = slot_link(x, a, 1, b, 1);
        return l ? l->peak_Bps : 0;
    }
    return 0;
}

/* Lists every subset of the regions once, in the order with the fastest bottleneck link; single regions
 * first, then subsets by bottleneck, fastest first. peak[set][first] is the best over orders that begin with
 * `first`. */
static void list_tours(struct sailor_search *x, struct arena *a) {
    int R = x->n_region, sets = 1 << R;
    double *peak = ARENA_ARRAY(a, double, sets * R);
    int *then = ARENA_ARRAY(a, int, sets * R);
    x->tour = ARENA_ARRAY(a, struct tour, sets);
    for (int set = 1; set < sets; set++) {
        int first = -1;
        for (int r = 0; r < R; r++) {
            int others = set & ~(1 << r);
            double *p = &peak[set * R + r];
            *p = others ? -1 : INFINITY;
            if (others == set) continue;
            for (int o = 0; o < R; o++) {
                if (!(others >> o & 1)) continue;
                double v = fmin(region_peak_Bps(x, r, o), peak[others * R + o]);
                if (v > *p) {
                    *p = v;
                    then[set * R + r] = o;
                }
            }
            if (first < 0 || *p > peak[set * R + first]) first = r;
        }
        struct tour t = {.peak_Bps = peak[set * R + first]};
        for (int left = set, r = first, o; left; r = o) {
            t.region[t.n++] = r;
            o = then[left * R + r];
            left &= ~(1 << r);
            for (int i = x->begin[r][0]; i < x->begin[r][x->K]; i++) {
                t.gpus += x->slot[i].count;
                t.gpus_of[x->slot[i].kind] += x->slot[i].count;
            }
        }
        int i = x->n_tour++;
        for (; i > 0 && x->tour[i - 1].peak_Bps < t.peak_Bps; i--) x->tour[i] = x->tour[i - 1];
        x->tour[i] = t;
    }
}

/* ---- stages alone ------------------------------------------------------------------- */

/* The degree of stage i on kind k: the highest reached by doublings that each gain 1.5 times, or the least
 * that fits. */
static bool choose_degree(const struct sailor_search *x, int k, int i, struct use *u) {
    const struct model *mo = x->w->model;
    const struct gpu_type *g = &x->w->site->gpu[x->gpu[k]];
    const struct layers *y = &x->layers[i];
    double before = 1000;
    int least = 0, fastest = 0;
    bool gains = true;
    struct use at[1 << DEGREES];
    for (int ti = 0; ti < DEGREES; ti++) {
        int tp = 1 << ti;
        const struct layer_times *t = profile_times(x->w->profile[x->gpu[k]], x->m, tp);
        if (!t || !mo->params[ti] || !mo->act_mem[ti] || tp > g->gpus_per_node) continue;
        double comp = 0, params = 0, act = 0;
        for (int l = y->first; l < y->end; l++) {
            comp += t->fwd_s[l] + t->bwd_s[l];
            params += mo->params[ti][l];
            act += mo->act_mem[ti][l];
        }
        double bytes = x->w->state_bytes_per_param * params +
                       (double)(x->P - i) * x->m * x->w->element_bytes * act + (tp == 1 ? 2e9 : 3e9);
        if (!least && bytes <= g->memory_bytes) least = tp;
        if (gains && before / comp >= 1.5) {
            fastest = tp;
            before = comp;
        } else {
            gains = false;
        }
        at[tp] = (struct use){tp, comp, (y->end - y->first) * t->update_s[y->first]};
    }
    if (!least) return false;
    *u = at[(x->frugal && k == 0) || least > fastest ? least : fastest];
    return true;
}

static void stage_tables(struct sailor_search *x) {
    const struct model *mo = x->w->model;
    for (int i = 0; i < x->P; i++) {
        struct layers *y = &x->layers[i];
        even_layers(mo->n_layer, x->P, true, i, &y->first, &y->end);
        y->params_bytes = 0;
        y->out_bytes = mo->act_out[y->end - 1] * x->w->element_bytes * x->m;
        for (int l = y->first; l < y->end; l++) y->params_bytes += mo->params[0][l] * x->w->element_bytes;
    }
    for (int k = 0; k < x->K; k++) {
        x->out[k] = false;
        for (int i = 0; i < x->P && !x->out[k]; i++)
            x->out[k] = !choose_degree(x, k, i, &x->use[i * x->K + k]);
    }
}

/* Ring all-reduce in buckets, a worker's share in whole bytes. */
static double ring_s(const struct link *l, double bytes, int D) {
    if (D == 1) return 0;
    if (!l) return INFINITY;
    double n = floor(bytes / BUCKET_BYTES),
           each = n > 0 ? link_time_s(l, BUCKET_BYTES / D, ESTIMATOR_SAILOR) : 0;
    return 2 * (D - 1) * (n * each + link_time_s(l, floor((bytes - n * BUCKET_BYTES) / D), ESTIMATOR_SAILOR));
}

/* The place of the time between slots a and b for stage i; NAN if it is yet to be computed. */
static double *look_up(const struct sailor_search *x, struct sailor_known *table, int i, int a, int b) {
    struct sailor_known *y = &table[(unsigned)((i * x->n_slot + a) * x->n_slot + b) % KNOWN];
    if (y->epoch != x->epoch || y->stage != i || y->from != a || y->to != b)
        *y = (struct sailor_known){x->epoch, i, a, b, NAN};
    return &y->time_s;
}

static double own_peak_Bps(const struct sailor_search *x, int i, int a) {
    int tp = x->use[i * x->K + x->slot[a].kind].tp;
    const struct link *l = slot_link(x, a, tp, a, tp);
    return l ? l->peak_Bps : 0;
}

/* All-reduce of stage i over all replicas as if every link were that from slot a to slot b. */
static double slot_ring_s(const struct sailor_search *x, int i, int a, int b) {
    const struct use *u = &x->use[i * x->K];
    double *t = look_up(x, x->ring, i, a, b);
    if (isnan(*t))
        *t = ring_s(slot_link(x, a, u[x->slot[a].kind].tp, b, u[x->slot[b].kind].tp),
                    x->layers[i].params_bytes, x->D);
    return *t;
}

static double sync_s(const struct sailor_search *x, int i, const struct sailor_run *run, int n) {
    int slowest = -1;
    double t = 0;
    for (int r = 0; r < n; r++) {
        int a = run[r].slot, kind = x->slot[a].kind;
        if (x->q->corrected) {
            if (run[r].count > 1) t = fmax(t, slot_ring_s(x, i, a, a));
            if (r + 1 < n) t = fmax(t, slot_ring_s(x, i, a, run[r + 1].slot));
        } else if (r == 0 || x->slot[run[r - 1].slot].kind != kind) {
            /* [Q3] the first zone of each type stands for all its zones; the slowest type counts */
            if (slowest < 0 || own_peak_Bps(x, i, a) < own_peak_Bps(x, i, slowest)) slowest = a;
        }
    }
    return x->q->corrected ? t : slot_ring_s(x, i, slowest, slowest);
}

/* Money for the all-reduce between zones. [Q2] One price for all. */
static double sync_usd(const struct sailor_search *x, int i, const struct sailor_run *run, int n) {
    const struct site *s = x->w->site;
    double usd_per_GB = 0;
    unsigned zones = 0;
    int n_zone = 0;
    for (int r = 0; r < n; r++) {
        int z = x->slot[run[r].slot].zone, z2 = x->slot[run[(r + 1) % n].slot].zone;
        n_zone += !(zones >> z & 1);
        zones |= 1u << z;
        usd_per_GB += s->egress_usd_per_GB[z * s->n_zone + z2];
    }
    if (!x->q->corrected) usd_per_GB = n_zone > 1 ? 0.01 * n_zone : 0;
    return 2 * (x->D - 1) * usd_per_GB * x->layers[i].params_bytes / x->D / 1e9;
}

/* ---- splits ------------------------------------------------------------------------- */

/* Sets room[k], the replicas of stage i that each type can hold. Returns their sum. */
static int count_room(const struct sailor_search *x, int i, int region, const uint16_t *left, int *room) {
    int sum = 0, slot = x->begin[region][0];
    for (int k = 0; k < x->K; sum += room[k++]) {
        room[k] = 0;
        for (; slot < x->begin[region][k + 1]; slot++, left++)
            if (!x->out[k]) room[k] += *left / x->use[i * x->K + k].tp;
    }
    return sum;
}

/* The splits n[0] + .. + n[K-1] of D with n[k] <= room[k], in lexicographic order. */
static void spread(int *n, const int *room, int from, int K, int D) {
    for (int k = K - 1; k >= from; k--) D -= n[k] = D < room[k] ? D : room[k];
}

static bool next_split(int *n, const int *room, int K) {
    for (int k = K - 2, after = n[K - 1]; k >= 0; after += n[k--])
        if (after > 0 && n[k] < room[k]) {
            n[k]++;
            spread(n, room, k + 1, K, after - 1);
            return true;
        }
    return false;
}

/* Puts n[k] replicas of each type into its zones in order; gives runs, and what is left. [Q4] In the last
 * stage only one exhausted zone is skipped per replica; after two of them it goes where nothing is left. */
static int place(const struct sailor_search *x, int i, int region, const int *n, uint16_t *left,
                 struct sailor_run *run) {
    int n_run = 0, base = x->begin[region][0];
    bool sloppy = i == x->P - 1 && !x->q->corrected;
    for (int k = 0; k < x->K; k++) {
        int tp = x->use[i * x->K + k].tp, s = x->begin[region][k];
        for (int todo = n[k], take; todo > 0; todo -= take) {
            for (bool skip = true; skip && left[s - base] < tp; skip = !sloppy) s++;
            take = left[s - base] / tp;
            if (take > todo) take = todo;
            if (take)
                left[s - base] = (uint16_t)(left[s - base] - take * tp);
            else
                take = 1;
            run[n_run++] = (struct sailor_run){(short)s, (short)take};
        }
    }
    return n_run;
}

/* Activations from one stage to the next: the slowest pair of replicas, and the price of all. */
static double transfer_s(const struct sailor_search *x, int i, const struct sailor_run *a,
                         const struct sailor_run *b, double *usd_per_GB) {
    const struct site *s = x->w->site;
    const struct use *u = &x->use[i * x->K], *v = u + x->K;
    double worst = -INFINITY;
    *usd_per_GB = 0;
    for (int todo = x->D, at = a->count, bt = b->count, n; todo > 0; todo -= n) {
        n = at < bt ? at : bt;
        const struct sailor_slot *p = &x->slot[a->slot], *q = &x->slot[b->slot];
        double *t = look_up(x, x->transfer, i, a->slot, b->slot);
        if (isnan(*t)) {
            const struct link *l = slot_link(x, a->slot, u[p->kind].tp, b->slot, v[q->kind].tp);
            *t = l ? link_time_s(l, x->layers[i].out_bytes, ESTIMATOR_SAILOR) : INFINITY;
        }
        if (*t > worst) worst = *t;
        *usd_per_GB += n * s->egress_usd_per_GB[p->zone * s->n_zone + q->zone];
        if (todo > n && !(at -= n)) at = (++a)->count;
        if (todo > n && !(bt -= n)) bt = (++b)->count;
    }
    return worst;
}

/* ---- the recursion ------------------------------------------------------------------ */

static long to_cents(double usd) { return isinf(usd) ? -1 : lround(100 * usd); }

/* The entry for this state; *fresh if it is new. Like the published memo, it rounds the budget to cents. */
static struct rest *recall(struct sailor_search *x, int i, const struct tour *t, int at, const uint16_t *left,
                           long cents, bool *fresh) {
    int n = x->begin[t->region[at]][x->K] - x->begin[t->region[at]][0];
    uint64_t h = (uint64_t)i * 31 + (uint64_t)at + (uint64_t)(t - x->tour) * 977 + (uint64_t)cents * 65537;
    for (int s = 0; s < n; s++) {
        h = (h ^ left[s]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    struct bucket *b = &x->bucket[h % BUCKETS];
    if (b->epoch != x->epoch) *b = (struct bucket){x->epoch, NULL};
    for (struct rest *y = b->head; y; y = y->chain)
        if (y->stage == i && y->place == at && y->tour == t && y->cents == cents &&
            !memcmp(y->left, left, sizeof *left * (size_t)n)) {
            *fresh = false;
            return y;
        }
    struct rest *y = arena_alloc(&x->memo, sizeof *y + (sizeof *y->run + sizeof *y->left) * (size_t)n);
    y->chain = b->head;
    y->tour = t;
    y->stage = i;
    y->place = at;
    y->cents = cents;
    y->T_s = INFINITY;
    y->run = (struct sailor_run *)(y + 1);
    y->left = (uint16_t *)(y->run + n);
    memcpy(y->left, left, sizeof *left * (size_t)n);
    b->head = y;
    *fresh = true;
    return y;
}

static bool affordable(double usd, double budget_usd) { return isinf(budget_usd) || usd <= budget_usd; }

static const struct rest *solve(struct sailor_search *x, int i, const struct tour *t, int at,
                                const uint16_t *left, double budget_usd);

/* Joins a stage to the best rest after it, if the budget allows one. */
static bool merge(struct sailor_search *x, const struct rest *own, const struct sailor_run *run,
                  const uint16_t *left, double budget_usd, struct rest *out) {
    int i = own->stage;
    double keep = own->T_s * own->usd_per_s + own->egress_usd; /* budget to keep for this stage */
    while (affordable(keep, budget_usd)) {
        double others = isinf(budget_usd) ? budget_usd : budget_usd - keep;
        const struct rest *r = solve(x, i + 1, own->tour, own->place, left, others);
        if (!r) return false;
        double usd_per_GB, act_s = transfer_s(x, i, run, r->run, &usd_per_GB);
        *out = *own;
        out->next = r;
        out->comp_s += r->comp_s;
        out->comm_s = 2 * act_s + r->comm_s;
        out->sync_s = fmax(own->sync_s, r->sync_s);
        out->first_s = own->comp_s + act_s;
        out->straggler_s = fmax(fmax(out->first_s, r->first_s + act_s), r->straggler_s);
        out->T_s = (x->M - 1) * out->straggler_s + out->comm_s + out->comp_s + out->sync_s;
        out->usd_per_s += r->usd_per_s;
        out->egress_usd = r->egress_usd + 2 * x->M * usd_per_GB * x->layers[i].out_bytes / 1e9;
        if (x->q->corrected)
            out->egress_usd += own->egress_usd; /* [Q6] only the last stage pays for its all-reduce */
        if (affordable(out->T_s * out->usd_per_s + out->egress_usd, budget_usd)) return true;
        /* The rest is so slow that this stage costs more than assumed: try again with less for the rest. */
        double more = out->T_s * own->usd_per_s + own->egress_usd;
        if (out->straggler_s > r->straggler_s || !(more > keep)) return false;
        keep = more;
    }
    return false;
}

/* Tries one way to run a stage, and keeps it in *best if better. *alone_s: its time alone in the split
 * before. */
static void try_split(struct sailor_search *x, struct rest *best, const int *n, double budget_usd,
                      double *alone_s) {
    struct sailor_run run[SLOTS_MAX];
    uint16_t left[SLOTS_MAX];
    int i = best->stage, region = best->tour->region[best->place];
    memcpy(left, best->left, sizeof *left * (size_t)(x->begin[region][x->K] - x->begin[region][0]));
    struct rest own = *best, whole;
    own.n_run = place(x, i, region, n, left, run);
    own.comp_s = own.comm_s = own.usd_per_s = 0;
    own.next = NULL;
    double update_s = 0;
    for (int r = 0; r < own.n_run; r++) {
        const struct sailor_slot *s = &x->slot[run[r].slot];
        const struct use *u = &x->use[i * x->K + s->kind];
        own.comp_s = fmax(own.comp_s, u->comp_s);
        update_s = fmax(update_s, u->update_s);
        own.usd_per_s += run[r].count * u->tp * s->usd_per_s;
    }
    own.sync_s = sync_s(x, i, run, own.n_run);
    own.egress_usd = sync_usd(x, i, run, own.n_run);
    own.first_s = own.straggler_s = own.comp_s;
    own.T_s = x->M * own.comp_s + own.sync_s + (x->P == 1 ? update_s : 0);
    if (own.T_s == *alone_s) return;
    *alone_s = own.T_s;
    if (i < x->P - 1) {
        if (!merge(x, &own, run, left, budget_usd, &whole)) return;
    } else {
        if (!affordable(own.T_s * own.usd_per_s + own.egress_usd, budget_usd)) return;
        whole = own;
    }
    if (!(whole.T_s < best->T_s)) return;
    *best = whole;
    memcpy(best->run, run, sizeof *run * (size_t)own.n_run);
}

static const struct rest *solve(struct sailor_search *x, int i, const struct tour *t, int at,
                                const uint16_t *left, double budget_usd) {
    int room[GPUS_MAX], n[GPUS_MAX];
    while (count_room(x, i, t->region[at], left, room) < x->D) {
        if (++at == t->n) return NULL;
        left = &x->full[x->begin[t->region[at]][0]];
    }
    if (x->q->corrected && !isinf(budget_usd)) { /* first without the limit: if that fits, far fewer states */
        const struct rest *r = solve(x, i, t, at, left, INFINITY);
        if (!r || affordable(r->T_s * r->usd_per_s + r->egress_usd, budget_usd)) return r;
    }
    bool fresh;
    struct rest *best = recall(x, i, t, at, left, to_cents(budget_usd), &fresh);
    if (!fresh) return best->T_s < INFINITY ? best : NULL;
    x->states++;
    double alone_s = NAN;
    unsigned types = 0, types_before = 0;
    spread(n, room, 0, x->K, x->D);
    do {
        types_before = types;
        types = 0;
        for (int k = 0; k < x->K; k++) types |= (unsigned)(n[k] > 0) << k;
        if (!x->stopped && ++x->splits % 1024 == 0) x->stopped = question_stopped(x->q);
        if (x->stopped) return NULL;
        /* faithful: a stage's own time depends on the types used, not on how many of each */
        if (x->q->corrected || types != types_before) try_split(x, best, n, budget_usd, &alone_s);
    } while (next_split(n, room, x->K));
    return best->T_s < INFINITY ? best : NULL;
}

/* ---- the list ----------------------------------------------------------------------- */

static const struct plan *make_plan(const struct sailor_search *x, const struct rest *r, struct arena *a) {
    struct plan *p = plan_new(x->w, x->m, 1, x->P, a);
    for (struct stage *s = p->pipeline->stage; r; r = r->next, s++) {
        const struct layers *y = &x->layers[r->stage];
        *s = (struct stage){y->first, y->end, r->n_run, ARENA_ARRAY(a, struct replicas, r->n_run)};
        for (int g = 0; g < r->n_run; g++) {
            const struct sailor_slot *t = &x->slot[r->run[g].slot];
            s->group[g] = (struct replicas){.gpu = x->gpu[t->kind],
                                            .zone = t->zone,
                                            .tp = x->use[r->stage * x->K + t->kind].tp,
                                            .count = r->run[g].count};
        }
    }
    return p;
}

/* The best of all tours for this P, m and D. */
static const struct rest *solve_tours(struct sailor_search *x) {
    const struct rest *best = NULL;
    int least = 0, of[GPUS_MAX] = {0}; /* fewest GPUs of one pipeline: of any types, and of each type alone */
    for (int i = 0; i < x->P; i++) {
        int fewest = TP_MAX;
        for (int k = 0; k < x->K; k++) {
            int tp = x->out[k] ? TP_MAX : x->use[i * x->K + k].tp;
            of[k] += tp;
            fewest = tp < fewest ? tp : fewest;
        }
        least += fewest;
    }
    x->epoch++;
    for (const struct tour *t = x->tour; t < x->tour + x->n_tour; t++) {
        bool fills = false; /* some type alone can hold a pipeline */
        for (int k = 0; k < x->K; k++) fills |= !x->out[k] && t->gpus_of[k] >= of[k];
        if (!fills || (long)least * x->D > t->gpus) continue;
        const struct rest *r =
            solve(x, 0, t, 0, &x->full[x->begin[t->region[0]][0]],
                  x->q->objective == OBJECTIVE_COST ? INFINITY : x->q->max_usd_per_iteration);
        if (r && (!best || r->T_s < best->T_s)) best = r;
    }
    return best;
}

static void propose(struct sailor_search *x, const struct rest *r, struct arena *a) {
    if (x->n_list == x->list_room) {
        struct proposal *more = ARENA_ARRAY(a, struct proposal, x->list_room = 2 * x->list_room + 64);
        if (x->n_list) memcpy(more, x->list, sizeof *more * (size_t)x->n_list);
        x->list = more;
    }
    double usd = r->T_s * r->usd_per_s + r->egress_usd;
    struct proposal *y = &x->list[x->n_list];
    *y = (struct proposal){.time_s = r->T_s, .cost_usd = usd, .id = x->n_list++, .plan = make_plan(x, r, a)};
}

static int by_time(const void *pa, const void *pb) {
    const struct proposal *a = pa, *b = pb;
    return a->time_s != b->time_s ? (a->time_s < b->time_s ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

static int by_cost(const void *pa, const void *pb) {
    const struct proposal *a = pa, *b = pb;
    return a->cost_usd != b->cost_usd ? (a->cost_usd < b->cost_usd ? -1 : 1) : by_time(pa, pb);
}

/* The D at which the number of microbatches changes, ascending. */
static int replica_counts(const struct sailor_search *x, int *d) {
    int n = 0, B = x->w->global_batch_size;
    d[n++] = 1;
    for (int D = 2, M = (B + x->m - 1) / x->m; D < x->gpus && M > 1; D++) {
        int fewer = (B + x->m * D - 1) / (x->m * D);
        if (fewer != M) {
            d[n++] = D;
            M = fewer;
        }
    }
    return n;
}

/* The next larger microbatch that any type was measured with. */
static int next_micro_batch(const struct sailor_search *x, int after) {
    int best = 0;
    for (int k = 0; k < x->K; k++) {
        const struct profile *p = x->w->profile[x->gpu[k]];
        for (int i = 0; i < p->n_mb; i++)
            if (p->mb[i] > after && (!best || p->mb[i] < best)) best = p->mb[i];
    }
    return best;
}

static int sailor_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    (void)e;
    struct sailor_search x = {.q = q, .w = q->w};
    bool cheap = q->objective == OBJECTIVE_COST;
    int L = q->w->model->n_layer, *d = ARENA_ARRAY(a, int, q->w->global_batch_size + 2);
    read_pool(&x, a);
    list_tours(&x, a);
    x.layers = ARENA_ARRAY(a, struct layers, L);
    x.use = ARENA_ARRAY(a, struct use, L * x.K);
    x.bucket = ARENA_ARRAY(a, struct bucket, BUCKETS);
    x.ring = ARENA_ARRAY(a, struct sailor_known, KNOWN);
    x.transfer = ARENA_ARRAY(a, struct sailor_known, KNOWN);
    arena_alloc(&x.memo, 1); /* so that one block stays */
    const struct arena_mark empty = arena_mark(&x.memo);
    /* [Q1] For cost, the published planner rejects plans of several stages. [Q5] With several types the first
     * must always be frugal, so that more GPUs can make a plan slower; corrected: try it both ways. */
    int deepest = cheap && !q->corrected ? 1 : L, ways = x.K > 1 && q->corrected ? 2 : 1;
    for (x.P = 1; x.P <= deepest; x.P++)
        for (x.m = 0; (x.m = next_micro_batch(&x, x.m));)
            for (int way = 0; way < ways; way++) {
                x.frugal = x.K > 1 && way == 0;
                stage_tables(&x);
                int n = replica_counts(&x, d);
                double best = INFINITY;
                for (int i = 0; i < n && !x.stopped;
                     i++) { /* up for cost, down for time, until there is no gain */
                    x.D = d[cheap ? i : n - 1 - i];
                    x.M = (q->w->global_batch_size + x.m * x.D - 1) / (x.m * x.D);
                    arena_release(&x.memo, empty);
                    const struct rest *r = solve_tours(&x);
                    if (!r) continue;
                    propose(&x, r, a);
                    double value = cheap ? x.list[x.n_list - 1].cost_usd : r->T_s;
                    if (!(value < best)) break;
                    if (!cheap || 1 / r->T_s >= q->min_iterations_per_s) best = value;
                }
            }
    if (x.n_list) qsort(x.list, (size_t)x.n_list, sizeof *x.list, cheap ? by_cost : by_time);
    *out = (struct answer){.n = x.n_list, .proposal = x.list, .states = x.states};
    arena_free(&x.memo);
    return 0;
}

const struct planner sailor_planner = {
    .about =
        "the published heuristic: all zones and types, even stages, a recursion over them with memoization",
    PLANNER_PUBLISHED("sailor", 0, sailor_propose, NULL),
};
