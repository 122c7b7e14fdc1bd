#include "planners/planner.h"

#include <float.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
/* Metis: one pipeline over all GPUs of one zone, of any types, in the order of their ranks. It enumerates the
 * GPUs of each stage and the number of batches per iteration; for each such case it raises the tensor
 * parallelism of stages, one at a time, until layers can be cut so that they fit. It ranks plans by its own
 * time.
 *
 * [Q6] (throughput in iterations per ms, an order by cost that is never enabled) needs no mode: times here
 * are in seconds, and every plan uses all GPUs, so the order by cost is the order by time. */

enum {
    SLICES = 7,          /* of a layer, while the stages are filled */
    UNITS_MAX = 10,      /* stages, or bundles of the smallest ones, to permute */
    TP_LIMIT = 4,        /* largest degree */
    ATTEMPTS = 3,        /* to cut the layers so that they fit into memory */
    MOVES = 3,           /* of layers across borders, in each attempt */
    DIVISORS_MAX = 1536, /* of any int */
    DEFAULT_STATES =
        1000000 /* about as many as the published search visits in its 300 s: some 10^5 plans at 32 GPUs */
};

/* A GPU type that Metis is shown, and its ranks. */
struct metis_kind {
    int gpu, zone, gpus, per_node;
    int first, end, node; /* ranks; node of the first */
    double memory_MiB;    /* per GPU, as the planner is told */
    double inter_Bps, intra_Bps;
    int m_max; /* largest microbatch measured */
    const double *
        *before_ms; /* [m * TP_N + ti]: forward + backward before layer l, [L + 1]; NULL = not measured */
    const double *update_ms; /* [m * TP_N + ti] */
};

/* ---- the estimator ------------------------------------------------------------------ */

/* A stage, as the estimator sees it. */
struct view {
    int first, end, dp, tp, m;
    int node, last_node;         /* of its first and last rank */
    double len_ms;               /* forward and backward of a batch */
    double update_ms;            /* for the whole model */
    double inter_Bps, intra_Bps; /* lowest over its types */
};

static void see_kind(struct view *v, const struct metis_kind *k) {
    v->inter_Bps = fmin(v->inter_Bps, k->inter_Bps);
    v->intra_Bps = fmin(v->intra_Bps, k->intra_Bps);
}

/* An iteration of nb batches. */
static double iteration_ms(const struct workload *w, const struct view *v, int S, int nb, bool corrected) {
    const struct model *mo = w->model;
    const double *params = mo->params[0];
    int L = mo->n_layer;
    double longest = 0, sum = 0, update = 0, sync = 0, sending = 0;
    for (int i = 0; i < S; i++) {
        const struct view *x = &v[i], *y = x + 1;
        int embedding = x->first == 0, head = x->end == L;
        int blocks = x->end - x->first - embedding - head;
        double elements = embedding * params[0] + head * params[L - 1] + blocks * params[1];
        longest = fmax(longest, x->len_ms);
        sum += x->len_ms;
        update = fmax(update, x->update_ms * (x->end - x->first) / L);
        /* [Q9] The published "data-parallel groups" have tp members that are dp ranks apart, not dp that are
         * tp apart. If a stage spans nodes, so does one of its groups, if they have more than one member. */
        bool crosses = x->node != x->last_node && (corrected ? x->dp : x->tp) > 1;
        sync = fmax(sync, 1000 * 2.0 * (x->dp - 1) / (x->dp * (crosses ? x->inter_Bps : x->intra_Bps)) *
                              (elements * w->element_bytes / x->tp));
        if (i == S - 1) break;
        /* [Q8] elements, mistaken for bytes */
        double sent = x->end == L - 1 ? (double)x->m * mo->sequence_length * mo->vocabulary / x->tp
                                      : (double)x->m * mo->sequence_length * mo->hidden_size;
        if (corrected) sent = x->m * mo->act_out[x->end - 1] * w->element_bytes;
        bool near = x->node == y->last_node;
        sending += 1000 * sent / (near ? fmin(x->intra_Bps, y->intra_Bps) : fmin(x->inter_Bps, y->inter_Bps));
    }
    return (nb - 1) * longest + sum + update + sync + sending;
}

/* [Q7] The update in whichever profile the directory lists first (`gpu`, microbatch 2, degree 1) stands for
 * all types; [Q11] it is one number for the whole model, but summed as if it were a layer's, and doubled. If
 * that was not measured, take the first profile there is. */
static double published_update_ms(const struct workload *w, const char *gpu) {
    const struct layer_times *found = NULL;
    for (int g = 0; g < w->site->n_gpu; g++) {
        const struct profile *p = w->profile[g];
        const struct layer_times *t = profile_times(p, 2, 1);
        if (t && !strcmp(w->site->gpu[g].name, gpu)) found = t;
        for (int i = 0; p && !found && i < p->n_mb * TP_N; i++)
            if (p->times[i].fwd_s) found = &p->times[i];
    }
    double s = 0;
    for (int l = 0; found && l < w->model->n_layer; l++) s += found->update_s[l];
    return 2 * 1000 * s;
}

static struct metis_kind kind_of(const struct workload *w, int gpu, int zone, int gpus, struct arena *a) {
    const struct gpu_type *t = &w->site->gpu[gpu];
    const struct profile *p = w->profile[gpu];
    const struct link *inter = site_link(w->site, zone, gpu, t->gpus_per_node, zone, gpu, t->gpus_per_node);
    const struct link *intra = &w->site->intra[gpu * TP_N + tp_index(t->gpus_per_node)];
    int L = w->model->n_layer, m_max = p && p->n_mb ? p->mb[p->n_mb - 1] : 0;
    const double **before_ms = ARENA_ARRAY(a, const double *, (m_max + 1) * TP_N);
    double *update_ms = ARENA_ARRAY(a, double, (m_max + 1) * TP_N);
    for (int i = 0; m_max && i < p->n_mb * TP_N; i++) {
        const struct layer_times *x = &p->times[i];
        if (!x->fwd_s) continue;
        double *before = ARENA_ARRAY(a, double, L + 1);
        for (int l = 0; l < L; l++) before[l + 1] = before[l] + 1000 * (x->fwd_s[l] + x->bwd_s[l]);
        int slot = p->mb[i / TP_N] * TP_N + i % TP_N;
        before_ms[slot] = before;
        update_ms[slot] = 1000 * x->update_s[0];
    }
    return (struct metis_kind){.gpu = gpu,
                               .zone = zone,
                               .gpus = gpus,
                               .per_node = t->gpus_per_node,
                               .memory_MiB = t->planner_memory_bytes / (1 << 20),
                               .inter_Bps =
                                   inter ? inter->peak_Bps : DBL_MIN, /* unknown: treat as infinitely slow */
                               .intra_Bps = intra->known ? intra->peak_Bps : DBL_MIN,
                               .m_max = m_max,
                               .before_ms = before_ms,
                               .update_ms = update_ms};
}

static const double *measured(const struct metis_kind *k, int m, int ti) {
    return m <= k->m_max ? k->before_ms[m * TP_N + ti] : NULL;
}

/* Forward and backward of m sequences through layers [first, end), in the largest parts measured; INFINITY if
 * impossible. */
static double layers_ms(const struct metis_kind *k, int m, int ti, int first, int end) {
    double sum = 0;
    for (int part = m < k->m_max ? m : k->m_max; m > 0; m -= part) {
        if (part > m) part = m;
        while (part > 0 && !measured(k, part, ti)) part--;
        if (!part) return INFINITY;
        sum += measured(k, part, ti)[end] - measured(k, part, ti)[first];
    }
    return sum;
}

static double layers_MiB(const struct workload *w, int m, int ti, int first, int end, int in_flight) {
    double params = 0, act = 0;
    for (int l = first; l < end; l++) {
        params += w->model->params[ti][l];
        act += w->model->act_mem[ti][l];
    }
    return (20 * params + (double)in_flight * m * w->element_bytes * act) / (1 << 20);
}

static int estimate(const struct workload *w, const void *extra, const struct plan *p, bool corrected,
                    struct guess *out, struct arena *scratch, struct err *e) {
    (void)extra;
    (void)e;
    *out = (struct guess){NAN, NAN};
    if (p->n_pipeline > 1) return 0; /* Metis knows only one pipeline */
    const struct pipeline *line = p->pipeline;
    const struct replicas *last = NULL;
    long slots = (long)p->micro_batch_size * stage_replicas(line->stage);
    double update_ms = published_update_ms(w, "A100-80"), worst_MiB = 0;
    struct view *v = ARENA_ARRAY(scratch, struct view, line->n_stage);
    for (int i = 0, node = 0, on_node = 0 /* GPUs used */; i < line->n_stage; i++) {
        const struct stage *s = &line->stage[i];
        int dp = stage_replicas(s), m = slots > dp ? (int)(slots / dp) : 1;
        v[i] = (struct view){
            s->first, s->end, dp, s->group->tp, m, .inter_Bps = INFINITY, .intra_Bps = INFINITY};
        for (int g = 0; g < s->n_group; g++) {
            const struct replicas *r = &s->group[g];
            struct metis_kind k = kind_of(w, r->gpu, r->zone, 0, scratch);
            int ti = tp_index(r->tp);
            bool other = last && (last->gpu != r->gpu || last->zone != r->zone);
            if (on_node && (other || on_node == k.per_node)) {
                node++;
                on_node = 0;
            }
            if (g == 0) v[i].node = node;
            int end = on_node + r->count * r->tp - 1;
            v[i].last_node = node += end / k.per_node;
            on_node = end % k.per_node + 1;
            last = r;
            if (r->tp < v[i].tp) v[i].tp = r->tp;
            see_kind(&v[i], &k);
            v[i].len_ms = fmax(v[i].len_ms, layers_ms(&k, m, ti, s->first, s->end));
            if (measured(&k, p->micro_batch_size, ti))
                v[i].update_ms = fmax(v[i].update_ms, k.update_ms[p->micro_batch_size * TP_N + ti]);
            int in_flight = corrected ? line->n_stage - i : 1; /* [Q10] */
            worst_MiB = fmax(worst_MiB, 0.001 + layers_MiB(w, m, ti, s->first, s->end, in_flight));
        }
        if (!corrected) v[i].update_ms = update_ms / v[i].tp;
    }
    int nb = (int)((p->global_batch_size - 1) / slots + 1);
    double ms = iteration_ms(w, v, line->n_stage, nb, corrected);
    *out = (struct guess){ms < INFINITY ? ms / 1000 : NAN, worst_MiB * (1 << 20)};
    return 0;
}

/* ---- layers for stages -------------------------------------------------------------- */

/* What stays fixed during the search. */
struct metis_world {
    const struct question *q;
    int L, n_kind, gpus, S_max, m_limit;
    struct metis_kind *kind;                              /* [n_kind] in the order shown */
    double update_ms;                                     /* [Q7] */
    const double *demand_before;                          /* [L + 1] share of the work in layers before l */
    const double *slice;                                  /* [L * SLICES] share of each slice */
    const double *params_before[TP_N], *act_before[TP_N]; /* [L + 1] in MiB, per copy and per sequence */
};

/* One stage of a case. */
struct metis_part {
    int first_rank, gpus, kind, last_kind; /* kinds by place in the sequence */
    int dp, ti, m;
    double capacity;              /* share of the work that it can do */
    double memory_MiB, slack_MiB; /* over all its GPUs */
    int first, end;               /* layers */
};

/* A sequence of types, a split of its ranks into stages and a number of batches; goes through the strategies
 * for it one by one. */
struct trial {
    const struct metis_world *w;
    struct metis_kind seq[GPUS_MAX];
    int S, nb, tried; /* strategies tried so far */
    bool over, cut;   /* cut: layers were cut at least once */
    struct metis_part part[LAYERS_MAX];
};

static void trial_sequence(struct trial *t, const unsigned char *order) {
    int rank = 0, node = 0;
    for (int i = 0; i < t->w->n_kind; i++) {
        struct metis_kind *k = &t->seq[i];
        *k = t->w->kind[order[i]];
        k->first = rank;
        k->end = rank += k->gpus;
        k->node = node;
        node += k->gpus / k->per_node;
    }
}

/* GPUs of the k-th type of the sequence in a stage. */
static int part_gpus(const struct trial *t, const struct metis_part *x, int k) {
    const struct metis_kind *y = &t->seq[k];
    int from = x->first_rank > y->first ? x->first_rank : y->first, to = x->first_rank + x->gpus;
    return (to < y->end ? to : y->end) - from;
}

/* Stages of 2^size[i] GPUs. */
static void trial_stages(struct trial *t, const unsigned char *size, int S) {
    t->S = S;
    for (int i = 0, rank = 0, k = 0; i < S; i++) {
        struct metis_part *x = &t->part[i];
        *x = (struct metis_part){.first_rank = rank, .gpus = 1 << size[i]};
        while (rank >= t->seq[k].end) k++;
        x->kind = k;
        rank += x->gpus;
        while (rank > t->seq[k].end) k++;
        x->last_kind = k;
        for (int j = x->kind; j <= k; j++) /* [Q4] all GPUs are assumed to be of rank 0's type */
            x->memory_MiB += part_gpus(t, x, j) * t->seq[t->w->q->corrected ? j : 0].memory_MiB;
    }
}

static void trial_batches(struct trial *t, int nb) {
    t->nb = nb;
    t->tried = 0;
    t->over = t->cut = false;
    for (int i = 0; i < t->S; i++) {
        t->part[i].dp = t->part[i].gpus;
        t->part[i].ti = 0;
    }
}

enum verdict { HOPELESS, INVALID, VALID };

/* Are the trial's degrees possible? Sets m and the stages' capacities. */
static enum verdict judge_degrees(struct trial *t) {
    const struct metis_world *w = t->w;
    enum verdict v = VALID;
    double sum = 0;
    for (int i = 0; i < t->S; i++) { /* m and tp never fall */
        struct metis_part *x = &t->part[i];
        x->m = w->q->w->global_batch_size / x->dp / t->nb;
        if (x->m > w->m_limit || 1 << x->ti > TP_LIMIT) return HOPELESS;
        if (x->m < 1) v = INVALID;
    }
    if (v == INVALID) return v;
    for (int i = 0; i < t->S; i++) {
        struct metis_part *x = &t->part[i];
        double slowest = 0;
        if (!w->q->w->model->params[x->ti]) return INVALID;
        for (int k = x->kind; k <= x->last_kind; k++) {
            const double *before = measured(&t->seq[k], x->m, x->ti);
            if (!before || !measured(&t->seq[k], t->part[0].m, x->ti))
                return INVALID;                                    /* the plan has the m of stage 0 */
            if (part_gpus(t, x, k) % (1 << x->ti)) return INVALID; /* a replica would mix types */
            slowest = fmax(slowest, before[w->L]);
        }
        sum += x->capacity = 1 / slowest;
    }
    for (int i = 0; i < t->S; i++) t->part[i].capacity /= sum;
    return VALID;
}

static double work(const struct metis_world *w, const struct metis_part *x) {
    return w->demand_before[x->end] - w->demand_before[x->first];
}

/* Deals slices to stages; owner[] ascends. */
static void deal_slices(const struct trial *t, short *owner) {
    const double *slice = t->w->slice;
    int S = t->S, n = t->w->L * SLICES, x = 0, y = n - 1;
    double left[LAYERS_MAX];
    memset(owner, -1, sizeof *owner * (size_t)n);
    for (int i = 0; i < S; i++) left[i] = t->part[i].capacity;
    for (int i = 0; i < S - 1; i++, x++) /* the slice that exceeds a stage is set aside */
        for (; x < n - SLICES - 1 && left[i] > slice[x]; x++) {
            owner[x] = (short)i;
            left[i] -= slice[x];
        }
    for (; y >= 0 && owner[y] < 0 && (y >= n - SLICES || left[S - 1] > slice[y]); y--) {
        owner[y] = (short)(S - 1);
        left[S - 1] -= slice[y];
    }
    for (x = 0, y = 0; x < n; x++) {
        if (owner[x] >= 0) continue;
        if (y < x) y = x;
        while (owner[y] < 0) y++;
        int best = x ? owner[x - 1] : 0;
        for (int i = best + 1; i <= owner[y]; i++)
            if (left[i] > left[best]) best = i;
        owner[x] = (short)best;
        left[best] -= slice[x];
    }
}

/* Gives each layer to the stage that holds most of its slices. */
static void keep_layers(struct trial *t, const short *owner) {
    int count[LAYERS_MAX] = {0};
    for (int l = 0; l < t->w->L; l++, owner += SLICES) {
        int best = 0, keeper = -1;
        for (int k = 0, run = 0; k < SLICES; k++) {
            run = k && owner[k] == owner[k - 1] ? run + 1 : 1;
            if (run > best) {
                best = run;
                keeper = owner[k];
            }
        }
        /* [Q3] a layer without a majority is lost, and those after it move up */
        if (best > SLICES / 2 || t->w->q->corrected) count[keeper]++;
    }
    for (int i = 0, l = 0; i < t->S; i++) {
        t->part[i].first = l;
        t->part[i].end = l += count[i];
    }
}

static int idlest(const struct trial *t, double *slack) {
    int best = 0;
    for (int i = 0; i < t->S; i++) {
        double s = t->part[i].capacity - work(t->w, &t->part[i]);
        if (!i || s > *slack) {
            *slack = s;
            best = i;
        }
    }
    return best;
}

/* The stage with most slack takes a layer from its busier neighbour, as long as that makes nothing worse. */
static void balance(struct trial *t) {
    double most, slack[2], now;
    for (int n = 0; n < MOVES && t->S > 1; n++) {
        int i = idlest(t, &most);
        for (int s = 0; s < 2; s++) {
            int j = s ? i + 1 : i - 1;
            slack[s] = j < 0 || j == t->S ? INFINITY : t->part[j].capacity - work(t->w, &t->part[j]);
        }
        bool after = slack[1] < slack[0];
        struct metis_part *low = &t->part[after ? i : i - 1], *high = low + 1, *from = after ? high : low;
        int border = low->end, step = after ? 1 : -1;
        if (from->end - from->first <= 1) return;
        low->end = high->first = border + step;
        idlest(t, &now);
        if (now > most) {
            low->end = high->first = border;
            return;
        }
    }
}

/* Compares memory with need and sets the slacks. True if all fit; else moves capacity to where there is room,
 * if any. */
static bool memory_suffices(struct trial *t, bool *no_room) {
    const struct metis_world *w = t->w;
    double need[LAYERS_MAX], freed = 0, room = 0;
    for (int i = 0; i < t->S; i++) {
        struct metis_part *x = &t->part[i];
        const double *params = w->params_before[x->ti], *act = w->act_before[x->ti];
        need[i] = 5 * (20 * (params[x->end] - params[x->first]) +
                       x->m * w->q->w->element_bytes * (act[x->end] - act[x->first]));
        if (x->kind != x->last_kind) need[i] *= x->dp;
        x->slack_MiB = x->memory_MiB - need[i];
        if (x->slack_MiB < 0)
            freed += x->capacity - x->capacity * 0.9 * x->memory_MiB / need[i];
        else
            room += x->capacity;
    }
    *no_room = room == 0;
    if (freed == 0) return true;
    for (int i = 0; i < t->S && !*no_room; i++) {
        struct metis_part *x = &t->part[i];
        x->capacity *= x->slack_MiB < 0 ? 0.9 * x->memory_MiB / need[i] : 1 + freed / room;
    }
    return false;
}

/* Cuts the layers. Returns the number of the attempt that fits, or 0. */
static int cut_layers(struct trial *t) {
    bool no_room = false;
    t->cut = true;
    for (int n = 1; n <= ATTEMPTS && !no_room; n++) {
        short owner[LAYERS_MAX * SLICES];
        deal_slices(t, owner);
        keep_layers(t, owner);
        balance(t);
        if (memory_suffices(t, &no_room)) return n;
    }
    return 0;
}

/* Doubles the tensor parallelism where memory is tightest or, until that is known, where there are most
 * replicas. */
static bool raise_degree(struct trial *t) {
    struct metis_part *least = NULL;
    for (int i = 0; i < t->S; i++) {
        struct metis_part *x = &t->part[i];
        if (x->dp > 1 && (!least || (t->cut ? x->slack_MiB < least->slack_MiB : x->dp > least->dp)))
            least = x;
    }
    if (!least) return false;
    least->dp /= 2;
    least->ti++;
    return true;
}

static bool whole(const struct trial *t) {
    for (int i = 0; i < t->S; i++)
        if (t->part[i].first == t->part[i].end) return false;
    return t->part[t->S - 1].end == t->w->L; /* [Q3] a plan that lost a layer cannot be judged */
}

/* Advances to the next strategy that gives a plan; false if there is none. */
static bool trial_next(struct trial *t) {
    while (!t->over) {
        if (t->tried++ && !raise_degree(t)) break;
        enum verdict v = judge_degrees(t);
        if (v == HOPELESS) break;
        int attempt = v == VALID ? cut_layers(t) : 0;
        t->over = attempt == 1;
        if (attempt && whole(t)) return true;
    }
    t->over = true;
    return false;
}

/* ---- time and form of a trial's plan ------------------------------------------------ */

/* The slowest replica of a stage 0 of several types; batches are shared by speed, largest remainders
 * first. */
static double shared_ms(const struct trial *t, const struct metis_part *x) {
    const struct metis_world *w = t->w;
    double speed[GPUS_MAX], remainder[GPUS_MAX], all = 0, slowest = 0;
    int each[GPUS_MAX], total = w->q->w->global_batch_size / t->nb, rest = total;
    for (int k = x->kind; k <= x->last_kind; k++) {
        speed[k] = 1 / measured(&t->seq[k], x->m, x->ti)[w->L];
        all += speed[k] * (part_gpus(t, x, k) >> x->ti);
    }
    for (int k = x->kind; k <= x->last_kind; k++) {
        double share = total * speed[k] / all;
        each[k] = (int)share;
        remainder[k] = share - each[k];
        rest -= each[k] * (part_gpus(t, x, k) >> x->ti);
    }
    while (rest > 0) {
        int best = x->kind;
        for (int k = best + 1; k <= x->last_kind; k++)
            if (remainder[k] > remainder[best]) best = k;
        each[best]++;
        remainder[best] = -1;
        rest -= part_gpus(t, x, best) >> x->ti;
    }
    for (int k = x->kind; k <= x->last_kind; k++)
        slowest = fmax(slowest, layers_ms(&t->seq[k], each[k], x->ti, x->first, x->end));
    return slowest;
}

static int node_of(const struct metis_kind *k, int rank) { return k->node + (rank - k->first) / k->per_node; }

static double trial_ms(const struct trial *t) {
    const struct metis_world *w = t->w;
    struct view v[LAYERS_MAX];
    for (int i = 0; i < t->S; i++) {
        const struct metis_part *x = &t->part[i];
        v[i] = (struct view){
            x->first, x->end, x->dp, 1 << x->ti, x->m, .inter_Bps = INFINITY, .intra_Bps = INFINITY};
        v[i].node = node_of(&t->seq[x->kind], x->first_rank);
        v[i].last_node = node_of(&t->seq[x->last_kind], x->first_rank + x->gpus - 1);
        for (int k = x->kind; k <= x->last_kind; k++) {
            see_kind(&v[i], &t->seq[k]);
            v[i].len_ms = fmax(v[i].len_ms, layers_ms(&t->seq[k], x->m, x->ti, x->first, x->end));
            v[i].update_ms = fmax(v[i].update_ms, t->seq[k].update_ms[t->part[0].m * TP_N + x->ti]);
        }
        if (i == 0 && x->kind != x->last_kind) v[i].len_ms = shared_ms(t, x);
        if (!w->q->corrected) v[i].update_ms = w->update_ms / v[i].tp;
    }
    return iteration_ms(w->q->w, v, t->S, t->nb, w->q->corrected);
}

static const struct plan *trial_plan(const struct trial *t, struct arena *a) {
    const struct workload *w = t->w->q->w;
    struct plan *p = plan_new(w, t->part[0].m, 1, t->S, a);
    for (int i = 0; i < t->S; i++) {
        const struct metis_part *x = &t->part[i];
        int n = x->last_kind - x->kind + 1, tp = 1 << x->ti;
        struct replicas *r = ARENA_ARRAY(a, struct replicas, n);
        p->pipeline->stage[i] = (struct stage){x->first, x->end, n, r};
        for (int k = x->kind; k <= x->last_kind; k++, r++) {
            const struct metis_kind *y = &t->seq[k];
            *r =
                (struct replicas){.gpu = y->gpu, .zone = y->zone, .tp = tp, .count = part_gpus(t, x, k) / tp};
            if (tp == 1 || t->w->q->corrected) continue;
            int *vm = ARENA_ARRAY(a, int, tp); /* [Q5] lists every GPU as a machine */
            for (int j = 0; j < tp; j++) vm[j] = r->gpu;
            r->n_vm = tp;
            r->vm_gpu = vm;
        }
    }
    return p;
}

/* ---- the search --------------------------------------------------------------------- */

/* Where a plan on the list comes from; trial_next() leads to it again. */
struct source {
    double ms;
    const unsigned char *code; /* order of types, number of stages (2 bytes), log2 of their GPUs */
    int nb, tried;
    long order; /* in which plans were found */
};

struct finder {
    struct metis_world world;
    struct trial trial;
    struct arena *a;
    long states, budget;
    int n_divisor, divisor[DIVISORS_MAX]; /* of the batch, descending */
    unsigned char order[GPUS_MAX];
    unsigned char size[LAYERS_MAX]; /* log2 of each stage's GPUs, as enumerated */
    long n, room;
    struct source *found;
};

static void keep(struct finder *f, const unsigned char *code, double ms) {
    if (f->n == f->room) {
        struct source *old = f->found;
        f->room = f->room ? 2 * f->room : 1024;
        f->found = ARENA_ARRAY(f->a, struct source, f->room);
        if (old) memcpy(f->found, old, sizeof *old * (size_t)f->n);
    }
    f->found[f->n] = (struct source){ms, code, f->trial.nb, f->trial.tried, f->n};
    f->n++;
}

/* Tries one split of the ranks into stages. Returns true when the search is over. */
static bool try_split(struct finder *f, const unsigned char *size, int S) {
    int n_kind = f->world.n_kind;
    unsigned char *code = NULL;
    const struct question *q = f->world.q;
    trial_stages(&f->trial, size, S);
    for (int d = 0; d < f->n_divisor; d++) {
        trial_batches(&f->trial, f->divisor[d]);
        while (trial_next(&f->trial)) {
            double ms = trial_ms(&f->trial);
            if (!(ms < INFINITY)) continue;
            if (!code) {
                code = arena_alloc(f->a, (size_t)(n_kind + 2 + S));
                memcpy(code, f->order, (size_t)n_kind);
                code[n_kind] = (unsigned char)(S >> 8);
                code[n_kind + 1] = (unsigned char)S;
                memcpy(code + n_kind + 2, size, (size_t)S);
            }
            keep(f, code, ms);
        }
        f->states += f->trial.tried;
        if (f->states >= f->budget) return true;
    }
    return question_stopped(q);
}

/* Stages permuted as one: `count` of 2^size GPUs each. */
struct metis_unit {
    unsigned char size;
    short count;
};

static int unit_compare(struct metis_unit a, struct metis_unit b) {
    long x = (long)a.count << a.size, y = (long)b.count << b.size;
    return x != y ? (x > y) - (x < y) : (a.count > b.count) - (a.count < b.count);
}

/* Bundles pairs of the smallest units until they are few enough. Units ascend, before and after. Returns
 * their number. */
static int bundle(struct metis_unit *u, int n) {
    while (n > UNITS_MAX) {
        int pairs = n - UNITS_MAX, least = 1, m = 0;
        while (least < n && !unit_compare(u[least], u[0])) least++;
        if ((least + (least < n)) / 2 > pairs) pairs = (least + (least < n)) / 2;
        for (int i = 0; i < n; i++) {
            u[m] = u[i];
            if (i % 2 == 0 && i / 2 < pairs && i + 1 < least) {
                u[m].count *= 2;
                i++;
            }
            m++;
        }
        if (m == n) break;
        n = m;
        for (int j = 1; j < n; j++)
            for (int k = j; k > 0 && unit_compare(u[k - 1], u[k]) > 0; k--) {
                struct metis_unit x = u[k];
                u[k] = u[k - 1];
                u[k - 1] = x;
            }
    }
    return n;
}

/* All orders of the S stages of f->size (ascending) by prefix shifts: the first one descends; for each next
 * one, the element after the longest descending prefix, or the one after that, moves to the front (Williams,
 * "Loopless generation of multiset permutations by prefix shifts", 2009). */
static bool try_orders(struct finder *f, int S) {
    struct metis_unit u[LAYERS_MAX], x;
    unsigned char size[LAYERS_MAX];
    for (int i = 0; i < S; i++) u[i] = (struct metis_unit){f->size[i], 1};
    int n = bundle(u, S), prefix = n - 1; /* length of the descending prefix, initially without the last */
    for (int i = 0; i < n / 2; i++) {
        x = u[i];
        u[i] = u[n - 1 - i];
        u[n - 1 - i] = x;
    }
    for (;;) {
        for (int i = 0, k = 0; i < n; i++)
            for (int c = 0; c < u[i].count; c++) size[k++] = u[i].size;
        if (try_split(f, size, S)) return true;
        if (prefix == n - 1 && unit_compare(u[n - 1], u[0]) >= 0) return false;
        int from = prefix + 1 < n && unit_compare(u[prefix + 1], u[prefix - 1]) <= 0 ? prefix + 1 : prefix;
        x = u[from];
        memmove(u + 1, u, sizeof *u * (size_t)from);
        u[0] = x;
        prefix = unit_compare(u[0], u[1]) < 0 ? 1 : prefix + 1;
    }
}

/* Tries GPUs for stages i.. of S: powers of two that ascend from 2^least and sum to `left`. */
static bool try_sizes(struct finder *f, int S, int i, int least, int left) {
    if (left % (1 << least)) return false;
    if (i == S) return left == 0 && try_orders(f, S);
    for (int z = least; (long)(S - i) << z <= left; z++) {
        if (i == S - 1 && 1 << z != left) continue;
        f->size[i] = (unsigned char)z;
        if (try_sizes(f, S, i + 1, z, left - (1 << z))) return true;
    }
    return false;
}

static bool next_order(unsigned char *x, int n) {
    int i = n - 1, j = n - 1;
    while (i > 0 && x[i - 1] >= x[i]) i--;
    if (i <= 0) return false;
    while (x[j] <= x[i - 1]) j--;
    unsigned char y = x[i - 1];
    x[i - 1] = x[j];
    x[j] = y;
    for (j = n - 1; i < j; i++, j--) {
        y = x[i];
        x[i] = x[j];
        x[j] = y;
    }
    return true;
}

static int by_time(const void *a, const void *b) {
    const struct source *x = a, *y = b;
    return x->ms != y->ms ? (x->ms > y->ms) - (x->ms < y->ms) : (x->order > y->order) - (x->order < y->order);
}

static const struct plan *build(const struct answer *x, long id, struct arena *a) {
    const struct finder *f = x->ctx;
    const struct source *s = &f->found[id];
    const unsigned char *stages = s->code + f->world.n_kind;
    struct trial *t = ARENA_NEW(a, struct trial);
    t->w = &f->world;
    trial_sequence(t, s->code);
    trial_stages(t, stages + 2, stages[0] << 8 | stages[1]);
    trial_batches(t, s->nb);
    while (t->tried < s->tried && trial_next(t)) {
    }
    return trial_plan(t, a);
}

/* Lists the GPU types that Metis is shown, in whole nodes. */
static int list_kinds(const struct question *q, struct metis_kind *kind, struct arena *a) {
    struct shown shown[GPUS_MAX];
    int n_shown = shown_types(q->pool, q->corrected, shown), n = 0;
    bool twenty = false; /* [Q1] with exactly 20 A100 nodes, all types are given 16 */
    for (int i = 0; i < n_shown; i++) {
        const struct gpu_type *t = &q->w->site->gpu[shown[i].gpu];
        if (!strcmp(t->name, "A100-40") && shown[i].gpus / t->gpus_per_node == 20) twenty = !q->corrected;
    }
    for (int i = 0; i < n_shown; i++) {
        int gpu = shown[i].gpu, per_node = q->w->site->gpu[gpu].gpus_per_node;
        int nodes = twenty ? 16 : shown[i].gpus / per_node;
        if (nodes && q->w->profile[gpu]) kind[n++] = kind_of(q->w, gpu, shown[i].zone, nodes * per_node, a);
    }
    return n;
}

/* Does the planner look at this type's profile? The published one looks at these two, whatever the pool. */
static bool looks_at(const struct metis_world *w, int gpu) {
    const char *name = w->q->w->site->gpu[gpu].name;
    if (!w->q->corrected) return !strcmp(name, "A100-40") || !strcmp(name, "V100-16");
    for (int i = 0; i < w->n_kind; i++)
        if (w->kind[i].gpu == gpu) return true;
    return false;
}

static const double *prefix_sums(const double *x, int n, double factor, struct arena *a) {
    double *before = ARENA_ARRAY(a, double, n + 1);
    for (int i = 0; x && i < n; i++) before[i + 1] = before[i] + factor * x[i];
    return before;
}

static int set_up(struct metis_world *w, const struct question *q, struct arena *a, struct err *e) {
    const struct model *mo = q->w->model;
    const struct layer_times *times = NULL;
    int L = mo->n_layer;
    *w = (struct metis_world){
        .q = q, .L = L, .m_limit = INT_MAX, .kind = ARENA_ARRAY(a, struct metis_kind, GPUS_MAX)};
    w->n_kind = list_kinds(q, w->kind, a);
    for (int i = 0; i < w->n_kind; i++) w->gpus += w->kind[i].gpus;
    w->S_max = w->gpus < mo->n_block ? w->gpus : mo->n_block;
    if (!w->n_kind) return 0;
    for (int g = 0; g < q->w->site->n_gpu; g++) {
        const struct profile *p = q->w->profile[g];
        if (!p || !looks_at(w, g)) continue;
        int m = 0;
        for (int i = 0; i < p->n_mb; i++)
            if (p->times[i * TP_N].fwd_s) m = p->mb[i];
        if (m < w->m_limit) w->m_limit = m;
        if (!times) times = profile_times(p, 1, 1); /* layers' shares of the work are as on the first type */
    }
    if (!times)
        return err_set(e, EXIT_INPUT, "metis: no profile of %s at microbatch 1, degree 1; expected one of %s",
                       mo->name, q->corrected ? "a GPU type of the pool" : "A100-40 or V100-16");
    double *demand = ARENA_ARRAY(a, double, L), *slice = ARENA_ARRAY(a, double, L * SLICES), sum = 0;
    for (int l = 0; l < L; l++) sum += times->fwd_s[l] + times->bwd_s[l];
    for (int l = 0; l < L; l++) demand[l] = (times->fwd_s[l] + times->bwd_s[l]) / sum;
    for (int i = 0; i < L * SLICES; i++) slice[i] = demand[i / SLICES] / SLICES;
    w->slice = slice;
    w->demand_before = prefix_sums(demand, L, 1, a);
    for (int ti = 0; ti < TP_N; ti++) {
        w->params_before[ti] = prefix_sums(mo->params[ti], L, 1.0 / (1 << 20), a);
        w->act_before[ti] = prefix_sums(mo->act_mem[ti], L, 1.0 / (1 << 20), a);
    }
    w->update_ms = published_update_ms(q->w, "A100-40");
    return 0;
}

/* Tries all splits for one order of the types. Returns true when the search is over. */
static bool try_sequence(struct finder *f, bool first) {
    const struct metis_world *w = &f->world;
    trial_sequence(&f->trial, f->order);
    /* [Q2] Later sequences than the first start with splits into two stages. */
    for (int S = first || w->q->corrected ? 1 : 2; S <= w->S_max; S++) {
        int least = 0; /* start at half of an equal share */
        while (2L << least < w->gpus / S) least++;
        if (try_sizes(f, S, 0, least, w->gpus)) return true;
    }
    return false;
}

static int metis_propose(const struct question *q, struct answer *out, struct arena *a, struct err *e) {
    struct finder *f = ARENA_NEW(a, struct finder);
    *out = (struct answer){.build = build, .ctx = f};
    if (set_up(&f->world, q, a, e)) return -1;
    f->a = a;
    f->budget = q->states ? q->states : DEFAULT_STATES;
    f->trial.w = &f->world;
    int n_kind = f->world.n_kind, B = q->w->global_batch_size;
    for (int i = 1; i <= B / i; i++) f->n_divisor += B % i ? 0 : i == B / i ? 1 : 2;
    for (int i = 1, k = 0; i <= B / i; i++)
        if (B % i == 0) {
            f->divisor[k] = B / i;
            f->divisor[f->n_divisor - 1 - k++] = i;
        }
    for (int i = 0; i < n_kind; i++) f->order[i] = (unsigned char)i;
    for (bool first = true; n_kind && !try_sequence(f, first) && next_order(f->order, n_kind);
         first = false) {
    }
    double usd_per_ms = 0;
    for (int i = 0; i < n_kind; i++) {
        const struct metis_kind *k = &f->world.kind[i];
        usd_per_ms += k->gpus * q->w->site->usd_per_gpu_hour[k->zone * q->w->site->n_gpu + k->gpu] / 3.6e6;
    }
    if (f->n) qsort(f->found, (size_t)f->n, sizeof *f->found, by_time);
    struct proposal *x = ARENA_ARRAY(a, struct proposal, f->n);
    for (long i = 0; i < f->n; i++)
        x[i] = (struct proposal){
            .time_s = f->found[i].ms / 1000, .cost_usd = f->found[i].ms * usd_per_ms, .id = i};
    out->n = (int)f->n;
    out->proposal = x;
    out->states = (uint64_t)f->states;
    return 0;
}

const struct planner metis_planner = {
    .about = "all GPU types of one zone; enumerates splits of the ranks into stages, with layers by speed "
             "and memory",
    PLANNER_PUBLISHED("metis", CAN_STATES, metis_propose, estimate),
};
