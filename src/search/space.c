#include "search/space.h"

#include "search/chain.h"

#include <stdlib.h>
#include <string.h>

#include "search/goal.h"
#include "search/outline.h"
#include "sim/terms.h"

/* Most patterns of all classes, and the least and most of one class; CLASSES_MAX limits the kinds in a
 * class. */
enum {
    PATTERNS_MAX = 20000,
    CLASS_PATTERNS_MIN = 32,
    CLASS_PATTERNS_MAX = 1000,
    CLASSES_MAX = 400,
    PAIR_TABLE_MAX = 320
};
enum { CLASS_TABLES_BYTES = 300000000 }; /* of all microbatches */

static bool stopped(struct space *s) { return s->stopped = s->stopped || stop_wanted(s->stop); }

static bool kind_allowed(const struct search_problem *p, const struct mb_space *mb, int gpu, int ti) {
    const struct workload *w = mb->w;
    if ((1 << ti) > w->site->gpu[gpu].gpus_per_node || !w->model->params[ti]) return false;
    if (p->pin->tp[gpu] && p->pin->tp[gpu] != 1 << ti) return false;
    return profile_times(w->profile[gpu], mb->m, 1 << ti) != NULL;
}

static void build_cells(struct space *s) {
    const struct site *site = s->p->w->site;
    for (int z = 0; z < site->n_zone; z++)
        for (int g = 0; g < site->n_gpu; g++) {
            int k = site_at(site, z, g), n = s->p->pool[k];
            if (n <= 0 || !s->p->w->profile[g]) continue;
            if (s->p->pin->zones && !(s->p->pin->zones >> z & 1)) continue;
            if (s->money && isnan(site->usd_per_gpu_hour[k])) continue; /* cannot be paid */
            s->cell[s->n_cell++] =
                (struct cell){.zone = z,
                              .gpu = g,
                              .gpus = n,
                              .nodes = s->p->nodes ? s->p->nodes[k] : nodes_of(n, site->gpu[g].gpus_per_node),
                              .usd_per_s = site->usd_per_gpu_hour[k] / 3600};
        }
}

static void add_set(struct space *s, bool (*has)(const struct space *s, int cell, unsigned arg),
                    unsigned arg) {
    bool *in = s->in_set + (size_t)s->n_set * (size_t)s->n_cell;
    long gpus = 0;
    for (int c = 0; c < s->n_cell; c++) {
        in[c] = has(s, c, arg);
        if (in[c]) gpus += s->cell[c].gpus;
    }
    s->set_gpus[s->n_set] = gpus;
    s->n_set += gpus > 0;
}

static bool in_mask(const struct space *s, int cell, unsigned mask) { return (void)s, mask >> cell & 1; }
static bool is_cell(const struct space *s, int cell, unsigned which) { return (void)s, cell == (int)which; }
static bool of_type(const struct space *s, int cell, unsigned gpu) { return s->cell[cell].gpu == (int)gpu; }
static bool any_cell(const struct space *s, int cell, unsigned unused) {
    return (void)s, (void)cell, !unused;
}

/* All subsets of cells when there are few, else single cells, the cells of each type, and all. */
void space_build_sets(struct space *s, struct arena *a) {
    s->n_set = 0;
    s->in_set = ARENA_ARRAY(a, bool, (size_t)SETS_MAX * (size_t)s->n_cell + 1);
    if (s->n_cell <= 6) {
        for (unsigned z = 1; z < 1u << s->n_cell; z++) add_set(s, in_mask, z);
        return;
    }
    for (int c = 0; c < s->n_cell; c++) add_set(s, is_cell, (unsigned)c);
    for (unsigned g = 0; g < GPUS_MAX; g++) add_set(s, of_type, g);
    add_set(s, any_cell, 0);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Layers repeat, so ranges have few distinct parameter counts: all-reduce tables go by those. */
static void build_ranges(struct space *s, struct arena *a) {
    int L = s->L;
    s->params = ARENA_ARRAY(a, double, L + 1);
    for (int l = 0; l < L; l++) s->params[l + 1] = s->params[l] + s->p->w->model->params[0][l];
    double *all = ARENA_ARRAY(a, double, (size_t)L * (size_t)(L + 1) / 2 + 1);
    int n = 0;
    for (int i = 0; i < L; i++)
        for (int e = i + 1; e <= L; e++) all[n++] = s->params[e] - s->params[i];
    qsort(all, (size_t)n, sizeof *all, by_value);
    for (int k = 0; k < n; k++)
        if (!s->n_range || all[k] != all[s->n_range - 1]) all[s->n_range++] = all[k];
    s->range = all;
    s->range_of = ARENA_ARRAY(a, int, (size_t)(L + 1) * (size_t)(L + 1));
    for (int i = 0; i < L; i++)
        for (int e = i + 1; e <= L; e++) {
            double x = s->params[e] - s->params[i];
            const double *at = bsearch(&x, s->range, (size_t)s->n_range, sizeof *s->range, by_value);
            s->range_of[i * (L + 1) + e] = (int)(at - s->range);
        }
}

static void build_links(struct space *s, struct arena *memory) {
    size_t pairs = (size_t)s->n_cell * (size_t)s->n_cell;
    s->link = ARENA_ARRAY(memory, const struct link *, pairs + 1);
    s->link_of = ARENA_ARRAY(memory, int, pairs + 1);
    s->egress = ARENA_ARRAY(memory, double, pairs + 1);
    for (int x = 0; x < s->n_cell; x++)
        for (int y = 0; y < s->n_cell; y++) {
            const struct cell *a = &s->cell[x], *b = &s->cell[y];
            const struct link *l = site_link(s->p->w->site, a->zone, a->gpu, 1, b->zone, b->gpu, 1);
            int k = 0;
            while (l && k < s->n_link && memcmp(s->link[k], l, sizeof *l) != 0) k++; /* whatever a link has */
            if (l && k == s->n_link) s->link[s->n_link++] = l;
            s->link_of[x * s->n_cell + y] = l ? k : -1;
            s->egress[x * s->n_cell + y] = payable_egress_usd(s->p->w->site, a->zone, b->zone);
        }
    for (int c = 0; c < s->n_cell; c++) s->most_usd_per_s += s->cell[c].usd_per_s * s->cell[c].gpus;
}

/* Single linkage over links at most SLOW times slower than inside the slower of the two zones. Any
 * partition is correct; this one keeps apart what plans should not mix. */
static void build_regions(struct space *s) {
    const struct site *site = s->p->w->site;
    const double SLOW = 2, BYTES = 1.6e7;
    double t[ZONES_MAX][ZONES_MAX];
    int of[ZONES_MAX], next = 0;
    for (int x = 0; x < ZONES_MAX; x++) {
        of[x] = x;
        for (int y = 0; y < ZONES_MAX; y++) t[x][y] = INFINITY;
    }
    for (int i = 0; i < s->n_cell; i++)
        for (int j = 0; j < s->n_cell; j++) {
            const struct cell *a = &s->cell[i], *b = &s->cell[j];
            const struct link *l = site_link(site, a->zone, a->gpu, 1, b->zone, b->gpu, 1);
            t[a->zone][b->zone] = fmin(t[a->zone][b->zone], usable_link_time_s(l, BYTES, s->p->estimator));
        }
    for (int pass = 0; pass < ZONES_MAX; pass++)
        for (int x = 0; x < ZONES_MAX; x++)
            for (int y = 0; y < ZONES_MAX; y++)
                if (of[x] != of[y] && fmin(t[x][y], t[y][x]) <= SLOW * fmax(t[x][x], t[y][y]) &&
                    t[x][y] < INFINITY)
                    of[x] = of[y] = of[x] < of[y] ? of[x] : of[y];
    int region[ZONES_MAX];
    for (int z = 0; z < ZONES_MAX; z++) region[z] = -1;
    for (int c = 0; c < s->n_cell; c++) {
        int root = of[s->cell[c].zone];
        if (region[root] < 0) region[root] = next++;
        s->cell[c].region = region[root];
    }
    s->n_region = next;
}

/* ---- one microbatch ----------------------------------------------------------------- */

/* Classes of at most `most` kinds: a digit per GPU type says its degree, or that it is not used. */
static double count_classes(const int *n_choice, int n_gpu, int most) {
    double ways[GPUS_MAX + 1] = {1}, sum = 0; /* [kinds] */
    for (int g = 0; g < n_gpu; g++)
        for (int k = most; k > 0; k--) ways[k] += ways[k - 1] * (n_choice[g] - 1);
    for (int k = 1; k <= most; k++) sum += ways[k];
    return sum;
}

/* How many kinds a class may have if the tables are to stay small enough. */
static int most_kinds(const struct space *s, const int *n_choice, int n_mb) {
    int n_gpu = s->p->w->site->n_gpu, most = n_gpu;
    double square = (double)(s->L + 1) * (s->L + 1), per_class = 3 * sizeof(double) + sizeof(int);
    double room = fmin(CLASSES_MAX, CLASS_TABLES_BYTES / (square * per_class * n_mb));
    while (most > 1 && count_classes(n_choice, n_gpu, most) > room) most--;
    return most;
}

/* The next class, digit 0 fastest; false: that was the last. If one has too many kinds, so do all that differ
 * only in the lowest digits. */
static bool next_digits(int *digit, const int *n_choice, int n_gpu, int most) {
    for (int at = 0;;) {
        for (; at < n_gpu && ++digit[at] == n_choice[at]; at++) digit[at] = 0;
        if (at == n_gpu) return false;
        int kinds = 0;
        for (int g = 0; g < n_gpu; g++) kinds += digit[g] > 0;
        if (kinds <= most) return true;
        for (at = 0; !digit[at];) at++;
        digit[at++] = 0;
    }
}

/* The outline stays valid without those left out: it charges a class its cheapest kind, which alone is no
 * slower. */
static void build_classes(const struct space *s, struct mb_space *mb, int n_mb, struct arena *a) {
    unsigned present = 0;
    int n_choice[GPUS_MAX], n_gpu = s->p->w->site->n_gpu;
    signed char choice[GPUS_MAX][TP_N + 1];
    for (int c = 0; c < s->n_cell; c++) present |= 1u << s->cell[c].gpu;
    for (int g = 0; g < n_gpu; g++) {
        n_choice[g] = 0;
        choice[g][n_choice[g]++] = -1;
        for (int ti = 0; ti < TP_N; ti++)
            if (present >> g & 1 && kind_allowed(s->p, mb, g, ti)) choice[g][n_choice[g]++] = (signed char)ti;
    }
    int most = most_kinds(s, n_choice, n_mb), digit[GPUS_MAX] = {0};
    double built = count_classes(n_choice, n_gpu, most);
    mb->cls = ARENA_ARRAY(a, struct stage_class, built + 2);
    for (int g = 0; g < n_gpu; g++) mb->least_ti[g] = n_choice[g] > 1 ? choice[g][1] : -1;
    while (next_digits(digit, n_choice, n_gpu, most)) {
        struct stage_class *c = &mb->cls[mb->n_class++];
        c->min_ti = TP_N;
        for (int g = 0; g < n_gpu; g++) {
            int ti = choice[g][digit[g]];
            c->ti[g] = (signed char)ti;
            if (ti < 0) continue;
            c->n_kind++;
            c->gpus |= 1u << g;
            if (ti < c->min_ti) c->min_ti = ti;
        }
    }
    if (built == count_classes(n_choice, n_gpu, n_gpu)) return;
    struct stage_class *rest = &mb->cls[mb->n_class++];
    *rest = (struct stage_class){
        .rest = true, .n_kind = most + 1, .n_cell = s->n_cell, .min_ti = TP_N, .gpus = present};
    memset(rest->ti, -1, sizeof rest->ti);
}

long cell_room(const struct cell *c, int ti) { return c->nodes.room[ti] >> ti; }

/* Least of weight[GPU type] * degree over the kinds of a class, or over all kinds for the class that
 * represents the rest. */
double class_replica_least(const struct mb_space *mb, int cls, const double weight[GPUS_MAX]) {
    const struct stage_class *c = &mb->cls[cls];
    double least = INFINITY;
    for (int g = 0; g < GPUS_MAX; g++) {
        int ti = c->rest ? mb->least_ti[g] : c->ti[g];
        if (c->gpus >> g & 1 && ti >= 0) least = fmin(least, weight[g] * (1 << ti));
    }
    return least;
}

double class_stage_least(const struct mb_space *mb, int cls, const double weight[GPUS_MAX], int D) {
    const struct stage_class *c = &mb->cls[cls];
    double least = class_replica_least(mb, cls, weight), base = 0;
    if (c->rest) return D * least;
    for (int g = 0; g < GPUS_MAX; g++)
        if (c->ti[g] >= 0 && c->gpus >> g & 1) base += weight[g] * (1 << c->ti[g]);
    return base + (D - c->n_kind) * least;
}

void class_stage_use(const struct mb_space *mb, int cls, const double weight[GPUS_MAX], int D, double *use) {
    const struct stage_class *c = &mb->cls[cls];
    double least = class_replica_least(mb, cls, weight);
    int others = c->rest ? D : D - c->n_kind;
    for (int g = 0; g < GPUS_MAX; g++) {
        int ti = c->rest ? mb->least_ti[g] : c->ti[g];
        if (!(c->gpus >> g & 1) || ti < 0) continue;
        if (!c->rest) use[g] += 1 << ti;
        if (weight[g] * (1 << ti) > least) continue;
        use[g] += others << ti;
        others = 0;
    }
}

/* ---- patterns ----------------------------------------------------------------------- */

/* The cells of a class, and how many of its patterns may be built. */
struct pattern_builder {
    struct space *s;
    struct mb_space *mb;
    int cls, n, limit; /* n: cells of the pattern; limit: on mb->n_pattern */
    int n_may;
    unsigned char may[CELLS_MAX];  /* cells of its types, ascending */
    unsigned below[CELLS_MAX + 1]; /* bits of the types of the first of them */
    unsigned char pick[CELLS_MAX]; /* indices into may, descending */
    struct arena *a;
};

static void add_pattern(struct pattern_builder *b) {
    struct space *s = b->s;
    struct stage_class *cl = &b->mb->cls[b->cls];
    if (b->mb->n_pattern < b->limit) {
        unsigned char *cell = ARENA_ARRAY(b->a, unsigned char, 2 * b->n), *degree = cell + b->n;
        struct pattern *p = &b->mb->pattern[b->mb->n_pattern];
        *p = (struct pattern){
            .cls = b->cls, .n = b->n, .cell = cell, .ti = degree, .min_usd_per_s_of_extra = INFINITY};
        for (int k = 0; k < b->n; k++) {
            int c = b->may[b->pick[b->n - 1 - k]], ti = cl->ti[s->cell[c].gpu];
            cell[k] = (unsigned char)c;
            degree[k] = (unsigned char)ti;
            p->regions |= 1u << s->cell[c].region;
            p->room += cell_room(&s->cell[c], ti);
            double usd = s->cell[c].usd_per_s * (1 << ti);
            p->base_usd_per_s += usd;
            p->min_usd_per_s_of_extra = fmin(p->min_usd_per_s_of_extra, usd);
        }
    }
    b->mb->n_pattern++;
}

/* All ways to pick the cells at..n-1 below `end`, in ascending order of the set as a binary number, such that
 * they have the types that are missing. */
static void pick_cells(struct pattern_builder *b, int at, int end, unsigned missing) {
    if (missing & ~b->below[end] || __builtin_popcount(missing) > b->n - at) return;
    if (at == b->n) {
        add_pattern(b);
        return;
    }
    for (int k = b->n - at - 1; k < end && b->mb->n_pattern <= b->limit; k++) {
        b->pick[at] = (unsigned char)k;
        pick_cells(b, at + 1, k, missing & ~(1u << b->s->cell[b->may[k]].gpu));
    }
}

/* Builds patterns class by class, those on few cells first. If a class has too many, those on many cells are
 * left out. */
static void build_patterns(struct space *s, struct mb_space *mb, struct arena *a) {
    mb->n_pattern = 0;
    int most = PATTERNS_MAX / mb->n_class;
    if (most > CLASS_PATTERNS_MAX) most = CLASS_PATTERNS_MAX;
    if (most < CLASS_PATTERNS_MIN) most = CLASS_PATTERNS_MIN;
    mb->pattern = ARENA_ARRAY(a, struct pattern, (size_t)most * (size_t)mb->n_class);
    for (int k = 0; k < mb->n_class && !stopped(s); k++) {
        struct stage_class *cl = &mb->cls[k];
        cl->first_pattern = cl->end_pattern = mb->n_pattern;
        if (cl->rest) continue;
        struct pattern_builder b = {.s = s, .mb = mb, .cls = k, .limit = mb->n_pattern + most, .a = a};
        for (int c = 0; c < s->n_cell; c++)
            if (cl->gpus >> s->cell[c].gpu & 1) {
                b.below[b.n_may + 1] = b.below[b.n_may] | 1u << s->cell[c].gpu;
                b.may[b.n_may++] = (unsigned char)c;
            }
        cl->n_cell = b.n_may;
        for (b.n = 1; b.n <= b.n_may && !stopped(s); b.n++) {
            pick_cells(&b, 0, b.n_may, cl->gpus);
            if (mb->n_pattern > b.limit) break;
            cl->end_pattern = mb->n_pattern;
            cl->most_cells = b.n;
        }
        mb->n_pattern = cl->end_pattern;
    }
}

/* Most microbatches in flight that fit: by the estimator's own term, so that both agree to the last bit. */
static int memory_depth(const struct mb_space *mb, enum estimator est, int gpu, int ti, int D, int first,
                        int end, double params, double act) {
    const struct workload *w = mb->w;
    double room = w->site->gpu[gpu].memory_bytes;
    int lo = 0, hi = 1 << 20;
    while (lo < hi) { /* largest d with bytes(d) <= room */
        int d = lo + (hi - lo + 1) / 2;
        double bytes = model_bytes(w, est, ti, D, first, end, params, act, d, mb->m);
        if (held_bytes(w, est, gpu, ti, bytes) > room)
            hi = d - 1;
        else
            lo = d;
    }
    return lo;
}

/* The n-th smallest of one number per GPU type. */
static double nth_smallest(const double *x, int n_gpu, int n) {
    double sorted[GPUS_MAX] = {0};
    for (int g = 0; g < n_gpu; g++) {
        int at = g;
        for (; at > 0 && sorted[at - 1] > x[g]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = x[g];
    }
    return n <= n_gpu ? sorted[n - 1] : INFINITY;
}

/* A class of n_kind kinds or more is at least as slow as the n_kind-th fastest type, each at its fastest
 * degree; it fits no more than the n_kind-th roomiest; the same for updates. */
static void build_rest_tables(struct space *s, struct mb_space *mb, int k) {
    int L = s->L, n_gpu = s->p->w->site->n_gpu, n = mb->cls[k].n_kind;
    for (int i = 0; i < L; i++)
        for (int e = i + 1; e <= L && !stopped(s); e++) {
            double comp[GPUS_MAX], update[GPUS_MAX];
            for (int g = 0; g < n_gpu; g++) comp[g] = update[g] = INFINITY;
            for (int c = 0; c < k; c++) {
                if (mb->cls[c].n_kind != 1) continue;
                size_t x = cfe(s, c, i, e);
                int g = __builtin_ctz(mb->cls[c].gpus);
                comp[g] = fmin(comp[g], mb->comp[x]);
                update[g] = fmin(update[g], mb->update[x]);
            }
            size_t x = cfe(s, k, i, e);
            mb->comp[x] = nth_smallest(comp, n_gpu, n);
            mb->update[x] = nth_smallest(update, n_gpu, n);
        }
}

static void build_rest_depths(const struct space *s, const struct mb_space *mb, int k, int *depth) {
    int L = s->L, n_gpu = s->p->w->site->n_gpu, n = mb->cls[k].n_kind;
    for (int i = 0; i < L; i++)
        for (int e = i + 1; e <= L && !stop_wanted(s->stop); e++) {
            double shallow[GPUS_MAX];
            for (int g = 0; g < n_gpu; g++) shallow[g] = INFINITY;
            for (int c = 0; c < k; c++) {
                if (mb->cls[c].n_kind != 1) continue;
                int g = __builtin_ctz(mb->cls[c].gpus);
                shallow[g] = fmin(shallow[g], -depth[cfe(s, c, i, e)]);
            }
            depth[cfe(s, k, i, e)] = (int)-nth_smallest(shallow, n_gpu, n);
        }
}

/* Of one kind: [first * (L + 1) + end]. */
static int *kind_depths(const struct space *s, const struct mb_space *mb, int gpu, int ti, int D,
                        struct arena *a) {
    int L = s->L, *depth = ARENA_ARRAY(a, int, (size_t)(L + 1) * (size_t)(L + 1));
    const struct model *mo = mb->w->model;
    for (int i = 0; i < L; i++) {
        double params = 0, act = 0;
        for (int l = i; l < L; l++) {
            params += mo->params[ti][l];
            act += mo->act_mem[ti][l];
            depth[i * (L + 1) + l + 1] = memory_depth(mb, s->p->estimator, gpu, ti, D, i, l + 1, params, act);
        }
    }
    return depth;
}

int *space_depths(const struct space *s, const struct mb_space *mb, int D, struct arena *a) {
    int L = s->L, *kind_depth[GPUS_MAX][TP_N] = {{0}};
    int *depth = ARENA_ARRAY(a, int, (size_t)mb->n_class *(size_t)(L + 1) * (size_t)(L + 1));
    for (int k = 0; k < mb->n_class && !stop_wanted(s->stop); k++) {
        bool first = true;
        for (int g = 0; g < s->p->w->site->n_gpu; g++) {
            int ti = mb->cls[k].ti[g];
            if (ti < 0) continue;
            if (!kind_depth[g][ti]) kind_depth[g][ti] = kind_depths(s, mb, g, ti, D, a);
            for (int i = 0; i < L; i++)
                for (int e = i + 1; e <= L; e++) {
                    int *at = &depth[cfe(s, k, i, e)], own = kind_depth[g][ti][i * (L + 1) + e];
                    if (first || own < *at) *at = own;
                }
            first = false;
        }
    }
    if (mb->cls[mb->n_class - 1].rest) build_rest_depths(s, mb, mb->n_class - 1, depth);
    return depth;
}

/* What a stage's neighbours send it. */
static double stage_arrivals_s(const struct space *s, const struct mb_space *mb, int k, int i, int e) {
    const double *arrival = mb->arrival + k * s->L;
    return (i > 0 ? arrival[i - 1] : 0) + (e < s->L ? arrival[e - 1] : 0);
}

static void build_class_tables(struct space *s, struct mb_space *mb, struct arena *a) {
    int L = s->L;
    size_t n = (size_t)mb->n_class * (size_t)(L + 1) * (size_t)(L + 1);
    mb->comp = ARENA_ARRAY(a, double, n);
    mb->depth = space_depths(s, mb, REPLICAS_MANY, a);
    mb->update = ARENA_ARRAY(a, double, n);
    mb->arrival = ARENA_ARRAY(a, double, (size_t)mb->n_class * (size_t)L);
    double *kind_comp[GPUS_MAX][TP_N] = {{0}};
    size_t square = (size_t)(L + 1) * (size_t)(L + 1);
    for (int k = 0; k < mb->n_class && !stopped(s); k++)
        for (int g = 0; g < s->p->w->site->n_gpu; g++) {
            int ti = mb->cls[k].ti[g];
            if (ti < 0) continue;
            const struct layer_times *t = profile_times(mb->w->profile[g], mb->m, 1 << ti);
            for (int l = 0; l < L; l++) {
                double bytes = activation_bytes(mb->w, l, mb->m), *at = &mb->arrival[k * L + l];
                *at = fmax(*at, receive_s(mb->w, s->p->estimator, g, 1 << ti, bytes));
            }
            if (!kind_comp[g][ti]) {
                const double *forward = passes_forward_s(t, s->p->estimator),
                             *backward = passes_backward_s(t, s->p->estimator);
                kind_comp[g][ti] = ARENA_ARRAY(a, double, square);
                for (int i = 0; i < L; i++) {
                    double comp = 0;
                    for (int l = i; l < L; l++) {
                        comp += forward[l] + backward[l];
                        kind_comp[g][ti][i * (L + 1) + l + 1] = comp;
                    }
                }
            }
            for (int i = 0; i < L; i++) {
                double update = 0;
                for (int e = i + 1; e <= L; e++) {
                    size_t x = cfe(s, k, i, e), y = (size_t)(i * (L + 1) + e);
                    update = update_up_to(t, i, e - 1, update, s->p->estimator);
                    mb->update[x] = fmax(mb->update[x], update);
                    mb->comp[x] = fmax(mb->comp[x], kind_comp[g][ti][y]);
                }
            }
        }
    for (int k = 0; k < mb->n_class; k++)
        for (int i = 0; i < L; i++)
            for (int e = i + 1; e <= L; e++) mb->comp[cfe(s, k, i, e)] += stage_arrivals_s(s, mb, k, i, e);
    if (mb->cls[mb->n_class - 1].rest) build_rest_tables(s, mb, mb->n_class - 1);
}

bool space_stage_allowed(const struct space *s, const struct mb_space *mb, int cls, int first, int end) {
    unsigned rules = runner_search_rules(s->p->pin->runnable_by, s->p->w->model);
    const struct stage_class *c = &mb->cls[cls];
    if (!rules) return true;
    if (rules & RULE_ONE_KIND && c->n_kind > 1) return false;
    for (int g = 0; rules & RULE_ONE_DEGREE && g < GPUS_MAX; g++)
        if (c->gpus >> g & 1 && c->ti[g] >= 0 && c->ti[g] != c->min_ti) return false;
    return rules_allow_layers(rules, s->p->w->model, first, end);
}

bool space_neighbours_allowed(const struct space *s, const struct mb_space *mb, int cls, int next) {
    if (!(runner_search_rules(s->p->pin->runnable_by, s->p->w->model) & RULE_ONE_DEGREE)) return true;
    const struct stage_class *a = &mb->cls[cls], *b = &mb->cls[next];
    return a->rest || b->rest || a->min_ti == b->min_ti;
}

static void build_transfers(const struct space *s, struct mb_space *mb, struct arena *a) {
    const struct workload *w = s->p->w;
    int L = s->L, q = s->n_cell * TP_N;
    mb->size_of = ARENA_ARRAY(a, int, L);
    mb->size_bytes = ARENA_ARRAY(a, double, L);
    for (int l = 0; l < L; l++) {
        double bytes = activation_bytes(w, l, mb->m);
        int k = 0;
        while (k < mb->n_size && mb->size_bytes[k] != bytes) k++;
        if (k == mb->n_size) mb->size_bytes[mb->n_size++] = bytes;
        mb->size_of[l] = k;
    }
    mb->kind_time = ARENA_ARRAY(a, double, (size_t)mb->n_size * (size_t)q * (size_t)q);
    for (int k = 0; k < mb->n_size; k++)
        for (int x = 0; x < q; x++)
            for (int y = 0; y < q; y++) {
                const struct cell *cx = &s->cell[x / TP_N], *cy = &s->cell[y / TP_N];
                double *t = &mb->kind_time[((size_t)k * (size_t)q + (size_t)x) * (size_t)q + (size_t)y];
                *t = INFINITY;
                if (!kind_allowed(s->p, mb, cx->gpu, x % TP_N) || !kind_allowed(s->p, mb, cy->gpu, y % TP_N))
                    continue;
                const struct link *l =
                    site_link(w->site, cx->zone, cx->gpu, 1 << x % TP_N, cy->zone, cy->gpu, 1 << y % TP_N);
                *t = usable_link_time_s(l, mb->size_bytes[k], s->p->estimator);
                if (*t < INFINITY) mb->slowest = fmax(mb->slowest, *t);
            }
}

/* Every cell of a is paired with some cell of b and the other way round; equal zone sets pair their first
 * and their last cells, whichever zone comes first. */
static struct span pair_span(const struct space *s, const struct mb_space *mb, int layer,
                             const struct pattern *a, const struct pattern *b) {
    struct span r = {0, 0};
    for (int i = 0; i < a->n; i++) {
        double best = INFINITY;
        for (int j = 0; j < b->n; j++) {
            double t = kind_transfer(s, mb, layer, a->cell[i], a->ti[i], b->cell[j], b->ti[j]);
            best = fmin(best, t);
            r.hi = fmax(r.hi, t);
        }
        r.lo = fmax(r.lo, best);
    }
    for (int j = 0; j < b->n; j++) {
        double best = INFINITY;
        for (int i = 0; i < a->n; i++)
            best = fmin(best, kind_transfer(s, mb, layer, a->cell[i], a->ti[i], b->cell[j], b->ti[j]));
        r.lo = fmax(r.lo, best);
    }
    if (s->merged_from) r.hi = r.lo; /* a bound is all that is wanted */
    if (a->n > 1 && b->n > 1 && !s->merged_from) {
        unsigned za = 0, zb = 0;
        for (int i = 0; i < a->n; i++) za |= 1u << s->cell[a->cell[i]].zone;
        for (int j = 0; j < b->n; j++) zb |= 1u << s->cell[b->cell[j]].zone;
        if (za == zb) {
            double first = INFINITY, last = INFINITY;
            for (int z = 0; z < ZONES_MAX; z++) {
                if (!(za >> z & 1)) continue;
                int fa = -1, la = -1, fb = -1, lb = -1;
                for (int i = 0; i < a->n; i++)
                    if (s->cell[a->cell[i]].zone == z) {
                        fa = fa < 0 ? i : fa;
                        la = i;
                    }
                for (int j = 0; j < b->n; j++)
                    if (s->cell[b->cell[j]].zone == z) {
                        fb = fb < 0 ? j : fb;
                        lb = j;
                    }
                first =
                    fmin(first, kind_transfer(s, mb, layer, a->cell[fa], a->ti[fa], b->cell[fb], b->ti[fb]));
                last =
                    fmin(last, kind_transfer(s, mb, layer, a->cell[la], a->ti[la], b->cell[lb], b->ti[lb]));
            }
            r.lo = fmax(r.lo, fmax(first, last));
        }
    }
    return r;
}

static void build_pairs(const struct space *s, struct mb_space *mb, struct arena *a) {
    int n = mb->n_pattern;
    if (n > PAIR_TABLE_MAX) return;
    mb->pair = ARENA_ARRAY(a, struct span, (size_t)mb->n_size * (size_t)n * (size_t)n);
    for (int k = 0; k < mb->n_size; k++) {
        int layer = 0;
        while (mb->size_of[layer] != k) layer++;
        for (int x = 0; x < n; x++)
            for (int y = 0; y < n; y++)
                mb->pair[((size_t)k * (size_t)n + (size_t)x) * (size_t)n + (size_t)y] =
                    pair_span(s, mb, layer, &mb->pattern[x], &mb->pattern[y]);
    }
}

void space_build_patterns(struct space *s, struct mb_space *mb, struct arena *a) {
    build_patterns(s, mb, a);
    mb->pair = NULL;
    if (!s->stopped) build_pairs(s, mb, a);
}

struct span space_transfer(const struct space *s, const struct mb_space *mb, int layer, int a, int b) {
    size_t n = (size_t)mb->n_pattern;
    if (mb->pair) return mb->pair[((size_t)mb->size_of[layer] * n + (size_t)a) * n + (size_t)b];
    return pair_span(s, mb, layer, &mb->pattern[a], &mb->pattern[b]);
}

/* Least transfer of a class of n_kind kinds or more: the n_kind-th fastest of the types. */
static double rest_transfer(const struct space *s, const struct mb_space *mb, int k, int l) {
    double best[GPUS_MAX];
    int L = s->L, n_gpu = s->p->w->site->n_gpu;
    for (int g = 0; g < n_gpu; g++) best[g] = INFINITY;
    for (int c = 0; c < k; c++) {
        if (mb->cls[c].n_kind != 1) continue;
        int g = __builtin_ctz(mb->cls[c].gpus);
        best[g] = fmin(best[g], mb->act_min[c * L + l]);
    }
    return nth_smallest(best, n_gpu, mb->cls[k].n_kind);
}

/* Least possible communication of a class: each of its kinds has to reach some kind somewhere. */
static void build_weights(struct space *s, struct mb_space *mb, struct arena *a) {
    int L = s->L, q = s->n_cell * TP_N;
    mb->act_min = ARENA_ARRAY(a, double, (size_t)mb->n_class * (size_t)L);
    mb->grad_min = ARENA_ARRAY(a, double, (size_t)mb->n_class * (size_t)L);
    mb->weight = ARENA_ARRAY(a, double, (size_t)mb->n_class * (size_t)(L + 1) * (size_t)(L + 1));
    mb->comm_min = INFINITY;
    for (int k = 0; k < mb->n_class && !stopped(s); k++) {
        for (int l = 0; l < L && mb->cls[k].rest; l++) mb->act_min[k * L + l] = rest_transfer(s, mb, k, l);
        for (int l = 0; l < L; l++)
            for (int g = 0; g < s->p->w->site->n_gpu; g++) {
                int ti = mb->cls[k].ti[g];
                if (ti < 0) continue;
                double best = INFINITY;
                for (int c = 0; c < s->n_cell; c++) {
                    if (s->cell[c].gpu != g) continue;
                    const double *row =
                        &mb->kind_time[((size_t)mb->size_of[l] * (size_t)q + (size_t)(c * TP_N + ti)) *
                                       (size_t)q];
                    for (int y = 0; y < q; y++) best = fmin(best, row[y]);
                }
                mb->act_min[k * L + l] = fmax(mb->act_min[k * L + l], best);
            }
        memcpy(mb->grad_min + k * L, mb->act_min + k * L, sizeof(double) * (size_t)L);
        for (int l = 0; l < L; l++) mb->comm_min = fmin(mb->comm_min, mb->act_min[k * L + l]);
        for (int i = 0; i < L; i++)
            for (int e = i + 1; e <= L; e++) {
                double act = e < L ? mb->act_min[k * L + e - 1] : 0,
                       grad = i > 0 ? mb->grad_min[k * L + i] : 0;
                double comm = stage_comm_s(s->p->estimator, i == 0, e == L, 1 + (i > 0) + (e < L), act, grad);
                mb->weight[cfe(s, k, i, e)] = mb->comp[cfe(s, k, i, e)] + comm;
            }
    }
}

/* Least turn of a stage, by where it begins, and the longest time from one microbatch of any to the next. */
static void build_turns(const struct space *s, struct mb_space *mb, struct arena *a) {
    int L = s->L;
    double arrives = 0, comp = 0;
    mb->turn_min = ARENA_ARRAY(a, double, L + 1);
    for (int i = 1; i < L; i++) {
        mb->turn_min[i] = INFINITY;
        for (int k = 0; k < mb->n_class; k++) {
            int x = k * L + i - 1;
            mb->turn_min[i] =
                fmin(mb->turn_min[i], turn_s(mb->w, s->p->estimator, mb->act_min[x], mb->arrival[x]));
            arrives = fmax(arrives, mb->arrival[x]);
        }
        if (!(mb->turn_min[i] < INFINITY)) mb->turn_min[i] = 0; /* nothing can begin here */
    }
    for (int k = 0; k < mb->n_class; k++)
        for (int i = 0; i < L; i++)
            for (int e = i + 1; e <= L; e++) comp = fmax(comp, mb->comp[cfe(s, k, i, e)]);
    double longest = comp + 2 * mb->slowest + turn_s(mb->w, s->p->estimator, mb->slowest, arrives);
    mb->longest = longest * (1 + 1e-12); /* plans add in another order */
}

static void build_crossing(const struct space *s, struct mb_space *mb, struct arena *a) {
    int q = s->n_cell * TP_N, L = s->L;
    mb->cross = ARENA_ARRAY(a, double, mb->n_class * L);
    for (int k = 0; k < mb->n_class * L; k++) {
        double best = INFINITY;
        for (int x = 0; x < q; x++) {
            const struct cell *from = &s->cell[x / TP_N];
            const struct stage_class *cl = &mb->cls[k / L];
            if (!cl->rest && cl->ti[from->gpu] != x % TP_N) continue;
            const double *row =
                &mb->kind_time[((size_t)mb->size_of[k % L] * (size_t)q + (size_t)x) * (size_t)q];
            for (int y = 0; y < q; y++)
                if (s->cell[y / TP_N].region != from->region) best = fmin(best, row[y]);
        }
        mb->cross[k] = fmax(0, best - mb->act_min[k]);
    }
}

/* The weight of one GPU of each type in surrogate constraints: the inverse of its least GPU-seconds per
 * layer. */
static void build_work(const struct space *s, struct mb_space *mb, struct arena *a) {
    int L = s->L, n_gpu = s->p->w->site->n_gpu;
    mb->layer_min = ARENA_ARRAY(a, double, L);
    for (int g = 0; g < n_gpu; g++) {
        double best = INFINITY;
        for (int k = 0; k < mb->n_class; k++)
            if (mb->cls[k].n_kind == 1 && mb->cls[k].ti[g] >= 0)
                best = fmin(best, mb->comp[cfe(s, k, 0, L)] * (1 << mb->cls[k].ti[g]));
        mb->speed[g] = best < INFINITY ? 1 / fmax(best, 1e-9) : 0; /* a model may take no time at all */
    }
    double top = 0;
    for (int g = 0; g < n_gpu; g++) top = fmax(top, mb->speed[g]);
    for (int g = 0; g < n_gpu; g++) mb->speed[g] = top > 0 ? mb->speed[g] / top : 0;
    for (int l = 0; l < L; l++) { /* in whatever stage: nothing needs to arrive */
        mb->layer_min[l] = INFINITY;
        for (int k = 0; k < mb->n_class; k++) {
            if (mb->cls[k].n_kind != 1) continue;
            double alone_s = mb->comp[cfe(s, k, l, l + 1)] - stage_arrivals_s(s, mb, k, l, l + 1);
            mb->layer_min[l] = fmin(mb->layer_min[l], alone_s * (1 - 1e-12));
        }
    }
}

void space_least_prices(const struct space *s, double usd_per_s[GPUS_MAX]) {
    for (int g = 0; g < GPUS_MAX; g++) usd_per_s[g] = INFINITY;
    for (int c = 0; c < s->n_cell; c++) {
        double *x = &usd_per_s[s->cell[c].gpu];
        *x = fmin(*x, s->cell[c].usd_per_s);
    }
    for (int g = 0; g < GPUS_MAX; g++)
        if (!(usd_per_s[g] < INFINITY)) usd_per_s[g] = 0; /* types the pool lacks */
}

static void build_microbatch(struct space *s, struct mb_space *mb, int n_mb, struct arena *a) {
    build_classes(s, mb, n_mb, a);
    if (!mb->n_class) return;
    build_class_tables(s, mb, a);
    build_transfers(s, mb, a);
    space_build_patterns(s, mb, a);
    build_weights(s, mb, a);
    build_turns(s, mb, a);
    chain_build(s, mb, a);
    build_crossing(s, mb, a);
    build_work(s, mb, a);
}

/* The outlines are what takes time here, and they are independent. */
static void build_outlines(struct space *s, int threads, struct arena *a) {
    double usd[GPUS_MAX];
    space_least_prices(s, usd);
    for (int i = 0; i < s->n_mb; i++) {
        s->mb[i].by_speed = outline_new(s->mb[i].speed, a);
        if (s->money) s->mb[i].by_price = outline_new(usd, a);
    }
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
    for (int i = 0; i < s->n_mb; i++)
        for (int price = 0; price < 2; price++) {
            struct outline *o = price ? s->mb[i].by_price : s->mb[i].by_speed;
            if (o) outline_fill(o, s, &s->mb[i]);
        }
    stopped(s);
}

/* All microbatches that any choice of options has a profile of, for types in the pool, ascending; 0 after the
 * last. */
static int next_microbatch(const struct space *s, int last) {
    const struct workload *w = s->p->w;
    int next = 0;
    for (int v = 0; v < (w->n_variant ? w->n_variant : 1); v++)
        for (int c = 0; c < s->n_cell; c++) {
            const struct profile *pr = (w->n_variant ? &w->variant[v] : w)->profile[s->cell[c].gpu];
            for (int i = 0; pr && i < pr->n_mb; i++)
                if (pr->mb[i] > last && (!next || pr->mb[i] < next)) next = pr->mb[i];
        }
    return next;
}

/* Is it already known that all plans with this microbatch take longer than the limit? */
static bool known_too_slow(const struct search_problem *p, int m, const struct plan_options *options) {
    double limit = goal_longest_time(p->min_iterations_per_s);
    bool any = false;
    for (int i = 0; p->known && i < p->known->n_unit; i++) {
        const struct unit_result *r = &p->known->unit[i];
        if (r->micro_batch_size != m || !plan_options_equal(&r->options, options)) continue;
        if (!unit_unsearched(r) || !(r->lower_bound * (1 - PROOF_SLACK) > limit)) return false;
        any = true;
    }
    return any;
}

struct space *space_build(const struct search_problem *p, const struct stopper *stop, int threads,
                          struct arena *a, struct err *e) {
    (void)e;
    struct space *s = ARENA_NEW(a, struct space);
    const struct workload *w = p->w;
    s->p = p;
    s->stop = stop;
    s->L = w->model->n_layer;
    s->money = p->objective != OBJECTIVE_THROUGHPUT || p->max_usd_per_iteration < INFINITY;
    build_cells(s);
    space_build_sets(s, a);
    build_ranges(s, a);
    build_links(s, a);
    build_regions(s);
    int n_variant = w->n_variant ? w->n_variant : 1, n_mb = 0, profiled = 0;
    for (int m = 0; (m = next_microbatch(s, m)) > 0;) n_mb += n_variant;
    s->mb = ARENA_ARRAY(a, struct mb_space, n_mb + 1);
    for (int g = 0; g < w->site->n_gpu; g++)
        if (w->profile[g]) profiled += w->profile[g]->n_mb;
    int n_table = w->n_variant ? n_mb : profiled;
    for (int next = 0; (next = next_microbatch(s, next)) > 0;) {
        if (p->pin->micro_batch_size && p->pin->micro_batch_size != next) continue;
        for (int v = 0; v < n_variant; v++) {
            struct mb_space *mb = &s->mb[s->n_mb];
            *mb = (struct mb_space){.m = next, .w = w->n_variant ? &w->variant[v] : w};
            if (!rules_allow_options(runner_rules(p->pin->runnable_by), mb->w->model, &mb->w->options))
                continue;
            if (known_too_slow(p, next, &mb->w->options)) continue;
            build_microbatch(s, mb, n_table, a);
            if (s->stopped) return s;
            if (mb->n_class) s->n_mb++;
        }
    }
    build_outlines(s, threads, a);
    return s;
}
