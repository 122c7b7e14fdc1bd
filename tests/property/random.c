#include "random.h"
#include "sim/training.h"

#include <string.h>

/* splitmix64's finaliser over (seed, counter) */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t rng_next(struct rng *r) { return mix(mix(r->seed) + 0x9e3779b97f4a7c15u * ++r->counter); }
double rng_unit(struct rng *r) { return (double)(rng_next(r) >> 11) * 0x1p-53; }
double rng_range(struct rng *r, double lo, double hi) { return lo + (hi - lo) * rng_unit(r); }
double rng_log(struct rng *r, double lo, double hi) { return lo * exp(log(hi / lo) * rng_unit(r)); }
int rng_int(struct rng *r, int lo, int hi) { return lo + (int)(rng_next(r) % (uint64_t)(hi - lo + 1)); }
bool rng_chance(struct rng *r, double p) { return rng_unit(r) < p; }

/* --- model and profiles -------------------------------------------------------------- */

static void draw_model(struct instance *in, const struct shape *shape, struct rng *r, struct arena *a) {
    struct model *m = &in->model;
    m->name = "random";
    m->n_layer = rng_int(r, shape->layers_min, shape->layers_max);
    int norm = m->n_layer > 3 && m->n_layer % 2; /* the norm is a layer of its own */
    m->n_block = m->n_layer > 2 ? m->n_layer - 2 - norm : 0;
    m->hidden_size = 256 << rng_int(r, 0, 3);
    m->sequence_length = 256 << rng_int(r, 0, 3);
    m->heads = 8;
    m->vocabulary = 50000;
    int n = m->n_layer;
    double *out = ARENA_ARRAY(a, double, n), *p1 = ARENA_ARRAY(a, double, n), *a1 = ARENA_ARRAY(a, double, n);
    bool uniform = rng_chance(r, 0.4); /* equal blocks between embedding and head, else all layers differ */
    double block_p = rng_log(r, 1e6, 1e8), block_a = rng_log(r, 1e6, 5e7), block_o = rng_log(r, 2e5, 4e6);
    for (int l = 0; l < n; l++) {
        bool edge = l == 0 || l == n - 1;
        double s = uniform && !edge ? 1 : rng_log(r, 0.2, 4);
        p1[l] = floor(block_p * s);
        a1[l] = floor(block_a * (uniform && !edge ? 1 : rng_log(r, 0.2, 4)));
        out[l] = floor(block_o * (uniform && !edge ? 1 : rng_log(r, 0.2, 4)));
    }
    m->act_out = out;
    for (int ti = 0; ti < TP_N; ti++) {
        if (ti > 0 && !shape->plain && rng_chance(r, 0.07)) continue; /* a degree the model does not know */
        double *p = ARENA_ARRAY(a, double, n), *act = ARENA_ARRAY(a, double, n);
        double keep = rng_range(r, 0, 0.4); /* what tensor parallelism does not divide */
        for (int l = 0; l < n; l++) {
            p[l] = ti ? floor(p1[l] * (keep * 0.2 + (1 - keep * 0.2) / (1 << ti))) : p1[l];
            act[l] = ti ? floor(a1[l] * (keep + (1 - keep) / (1 << ti))) : a1[l];
        }
        m->params[ti] = p;
        m->act_mem[ti] = act;
    }
}

static const struct profile *draw_profile(struct instance *in, int gpu, const int *mb, int n_mb, double speed,
                                          bool plain, struct rng *r, struct arena *a) {
    int n = in->model.n_layer;
    struct profile *p = ARENA_NEW(a, struct profile);
    int *mine = ARENA_ARRAY(a, int, n_mb);
    p->model = in->model.name;
    p->gpu = in->site.gpu[gpu].name;
    for (int i = 0; i < n_mb; i++)
        if (plain || n_mb == 1 || !rng_chance(r, 0.15)) mine[p->n_mb++] = mb[i];
    p->mb = mine;
    struct layer_times *times = ARENA_ARRAY(a, struct layer_times, n_mb * TP_N);
    p->times = times;
    double *base = ARENA_ARRAY(a, double, n);
    bool uneven_update = rng_chance(r, 0.5), by_layer = rng_chance(r, 0.3), zero_layer = rng_chance(r, 0.05);
    for (int l = 0; l < n; l++) base[l] = in->model.params[0][l] / 1e7 * rng_range(r, 0.7, 1.3);
    for (int i = 0; i < p->n_mb; i++)
        for (int ti = 0; ti < TP_N; ti++) {
            if (!plain && rng_chance(r, ti ? 0.1 : 0.03)) continue; /* not measured */
            double *f = ARENA_ARRAY(a, double, n),
                                    *b = ARENA_ARRAY(a, double, n), *u = ARENA_ARRAY(a, double, n);
            double tp_gain = pow(rng_range(r, 0.5, 1.1), ti); /* sometimes a higher degree is slower */
            double update = rng_log(r, 1e-4, 2e-2);
            for (int l = 0; l < n; l++) {
                f[l] = base[l] * 4e-3 * pow(p->mb[i], rng_range(r, 0.6, 1)) / speed * tp_gain;
                b[l] = f[l] * rng_range(r, 1.5, 2.5);
                u[l] = uneven_update ? update * rng_range(r, 0.2, 3) : update;
                if (zero_layer && l == n / 2) f[l] = b[l] = 0;
            }
            times[i * TP_N + ti] = (struct layer_times){f, b, u, by_layer, NULL, NULL};
        }
    return p;
}

/* --- site
 * ---------------------------------------------------------------------------------------------------------
 */

static struct link draw_link(struct rng *r, double scale, bool may_fail) {
    struct link l = {.c2 = rng_range(r, -0.004, 0.02) * scale,
                     .c1 = rng_range(r, 0, 0.2) * scale,
                     .c0 = rng_range(r, 0.7, 1.5) * scale,
                     .known = true};
    if (may_fail && rng_chance(r, 0.5))
        l.c1 = l.c0 * rng_range(r, 0.2, 1.2); /* <= 0 for small messages */
    else if (may_fail)
        l.c2 = -l.c0 * rng_range(r, 0.01, 0.2); /* <= 0 for large ones */
    l.peak_Bps = l.c0 * 2e9;
    return l;
}

enum link_style { LINKS_EQUAL, LINKS_STRUCTURED, LINKS_SYMMETRIC, LINKS_WILD };
static const char *const link_style_name[] = {"equal", "structured", "symmetric-zones", "wild"};

static void draw_links(struct instance *in, enum link_style style, bool plain, struct rng *r,
                       struct arena *a) {
    struct site *s = &in->site;
    int nz = s->n_zone, ng = s->n_gpu;
    size_t side = (size_t)nz * (size_t)ng * TP_N;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    unsigned char *counts = ARENA_ARRAY(a, unsigned char, nz * ng);
    double fail = plain                 ? 0
                  : rng_chance(r, 0.35) ? 0.12
                                        : 0,
           missing = plain                ? 0
                     : rng_chance(r, 0.3) ? 0.08
                                          : 0;
    for (int i = 0; i < nz * ng; i++) {
        counts[i] = 1;
        for (int ti = 1; ti < TP_N; ti++)
            if (rng_chance(r, 0.6)) counts[i] |= (unsigned char)(1 << ti);
        if (!plain && rng_chance(r, 0.02)) counts[i] &= 0xe; /* the table lacks count 1 */
    }
    if (style == LINKS_SYMMETRIC)
        for (int i = ng; i < nz * ng; i++) counts[i] = counts[i % ng];
    double all = rng_log(r, 0.3, 10), zone_scale[ZONES_MAX][ZONES_MAX], gpu_scale[GPUS_MAX];
    for (int z = 0; z < nz; z++)
        for (int y = 0; y < nz; y++) zone_scale[z][y] = z == y ? rng_log(r, 0.8, 1.25) : rng_log(r, 0.1, 1.5);
    if (style == LINKS_SYMMETRIC) {
        double within = rng_log(r, 0.8, 1.25), across = rng_log(r, 0.1, 1.5);
        for (int z = 0; z < nz; z++)
            for (int y = 0; y < nz; y++) zone_scale[z][y] = z == y ? within : across;
    }
    for (int g = 0; g < ng; g++) gpu_scale[g] = rng_log(r, 0.5, 2);
    struct link one = draw_link(r, all, false);
    for (size_t from = 0; from < side; from++)
        for (size_t to = 0; to < side; to++) {
            struct link *l = &link[from * side + to];
            int tf = (int)(from % TP_N), tt = (int)(to % TP_N);
            int gf = (int)(from / TP_N) % ng, gt = (int)(to / TP_N) % ng;
            int zf = (int)(from / TP_N) / ng, zt = (int)(to / TP_N) / ng;
            if (!(counts[zf * ng + gf] >> tf & 1) || !(counts[zt * ng + gt] >> tt & 1)) continue;
            if (style == LINKS_EQUAL) {
                *l = one;
            } else if (style == LINKS_WILD) {
                *l = draw_link(r, all * rng_log(r, 0.1, 3), rng_chance(r, fail));
            } else {
                double slower = gpu_scale[gf] < gpu_scale[gt] ? gpu_scale[gf] : gpu_scale[gt];
                double scale = zone_scale[zf][zt] * slower * pow(1.6, tf < tt ? tf : tt);
                *l = one;
                l->c2 *= scale;
                l->c1 *= scale;
                l->c0 *= scale;
                if (rng_chance(r, fail)) *l = draw_link(r, all * scale, true);
            }
            if (rng_chance(r, missing)) *l = (struct link){.known = false};
        }
    if (style ==
        LINKS_SYMMETRIC) /* every pair of zones as (0,0) or (0,1); sometimes with one thing different */
        for (size_t from = 0; from < side; from++)
            for (size_t to = 0; to < side; to++) {
                size_t per_zone = (size_t)ng * TP_N, zf = from / per_zone, zt = to / per_zone;
                if (zf || zt > 1)
                    link[from * side + to] =
                        link[from % per_zone * side + to % per_zone + (zf == zt ? 0 : per_zone)];
            }
    if (style == LINKS_SYMMETRIC && rng_chance(r, 0.4)) {
        struct link *l = &link[rng_next(r) % (side * side)];
        l->c0 *= 0.7;
        l->c1 *= 0.7;
        l->c2 *= 0.7;
    }
    s->link = link;
    s->counts = counts;
    s->intra = ARENA_ARRAY(a, struct link, ng * TP_N);
}

static void draw_prices(struct instance *in, bool symmetric, bool plain, struct rng *r, struct arena *a) {
    struct site *s = &in->site;
    int nz = s->n_zone, ng = s->n_gpu;
    double *usd = ARENA_ARRAY(a, double, nz * ng), *egress = ARENA_ARRAY(a, double, nz * nz);
    bool zone_equal = symmetric || rng_chance(r, 0.4), all_equal = rng_chance(r, 0.1),
         free_gpus = rng_chance(r, 0.3);
    bool unknown = !plain && rng_chance(r, 0.08);
    double scale = rng_log(r, 0.1, 10), one = rng_log(r, 0.5, 8);
    for (int i = 0; i < nz * ng; i++) {
        usd[i] = all_equal ? one : i >= ng && zone_equal ? usd[i % ng] : rng_log(r, 0.5, 8);
        if (free_gpus && rng_chance(r, 0.6)) usd[i] = 0;
        if (unknown && rng_chance(r, 0.5)) usd[i] = NAN, in->prices_known = false;
    }
    double across = rng_log(r, 0.001, 0.05) * scale;
    for (int z = 0; z < nz; z++)
        for (int y = 0; y < nz; y++)
            egress[z * nz + y] = z == y               ? 0
                                 : symmetric          ? across
                                 : rng_chance(r, 0.1) ? 0
                                                      : across * rng_log(r, 0.3, 3);
    if (rng_chance(r, 0.05)) /* traffic inside a zone is charged too */
        for (int z = 0; z < nz; z++) egress[z * nz + z] = across * 0.1;
    s->usd_per_gpu_hour = usd;
    s->egress_usd_per_GB = egress;
}

static void draw_pool(struct instance *in, const struct shape *shape, bool symmetric, struct rng *r,
                      struct arena *a) {
    struct site *s = &in->site;
    int n = s->n_zone * s->n_gpu, total = rng_int(r, shape->gpus_min, shape->gpus_max);
    in->pool = ARENA_ARRAY(a, int, n);
    for (int i = 0; i < total; i++) in->pool[rng_int(r, 0, n - 1)]++;
    if (symmetric)
        for (int i = s->n_gpu; i < n; i++) in->pool[i] = in->pool[i % s->n_gpu];
    if (symmetric && rng_chance(r, 0.2)) in->pool[rng_int(r, 0, n - 1)]++;
}

static void draw_pin(struct instance *in, const int *mb, int n_mb, struct rng *r) {
    struct pin *pin = &in->pin;
    switch (rng_int(r, 0, 7)) {
    case 0:
        pin->micro_batch_size = mb[rng_int(r, 0, n_mb - 1)];
        break;
    case 1:
        pin->stages = rng_int(r, 1, in->model.n_layer < 3 ? in->model.n_layer : 3);
        break;
    case 2:
        pin->data_parallel = rng_int(r, 1, 3);
        break;
    case 3:
        pin->tp[rng_int(r, 0, in->site.n_gpu - 1)] = 1 << rng_int(r, 0, 2);
        break;
    case 4:
    case 5:
    case 6:
        pin->runnable_by = (enum runner)rng_int(r, 1, RUNNER_N - 1);
        break;
    default:
        pin->zones = 1u << rng_int(r, 0, in->site.n_zone - 1);
    }
}

/* A framework that adds to what was measured. */
static void draw_platform(struct instance *in, const struct profile **profile, struct rng *r,
                          struct arena *a) {
    struct site *s = &in->site;
    struct platform *p = ARENA_ARRAY(a, struct platform, s->n_gpu);
    for (int g = 0; g < s->n_gpu; g++) {
        p[g] = (struct platform){.memory_Bps = rng_chance(r, 0.2) ? NAN : rng_log(r, 2e10, 5e12),
                                 .context_bytes = rng_log(r, 2e8, 4e9),
                                 .staging_s_per_B = rng_chance(r, 0.5) ? rng_log(r, 1e-11, 2e-9) : 0,
                                 .launch_bound = rng_chance(r, 0.5) ? rng_range(r, 0.6, 1) : 1,
                                 .ring_share = rng_chance(r, 0.5) ? rng_range(r, 0.3, 1) : 1};
        for (int ti = 0; ti < TP_N; ti++)
            p[g].gather_Bps[ti] = rng_chance(r, 0.7) ? rng_log(r, 1e9, 3e11) : 0;
        profile[g] = profile_in_training(profile[g], in->model.n_layer, p[g].launch_bound, a);
    }
    size_t side = (size_t)s->n_zone * (size_t)s->n_gpu * TP_N;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    for (size_t i = 0; i < side * side; i++) {
        link[i] = s->link[i];
        link[i].ring_slower = 1 / p[i / side / TP_N % (size_t)s->n_gpu].ring_share - 1;
    }
    s->link = link;
    in->w.platform = p;
}

struct instance *instance_random(uint64_t seed, const struct shape *shape, struct arena *a) {
    struct rng rng = {.seed = seed}, *r = &rng;
    struct instance *in = ARENA_NEW(a, struct instance);
    struct site *s = &in->site;
    in->seed = seed;
    in->prices_known = true;
    s->name = "random";
    s->n_zone = shape->zones;
    s->n_gpu = shape->gpu_types;
    int n = s->n_zone * s->n_gpu;
    const char **zone = ARENA_ARRAY(a, const char *, s->n_zone);
    struct gpu_type *gpu = ARENA_ARRAY(a, struct gpu_type, s->n_gpu);
    for (int z = 0; z < s->n_zone; z++) zone[z] = arena_printf(a, "z%d", z);
    for (int g = 0; g < s->n_gpu; g++) gpu[g].name = arena_printf(a, "g%d", g);
    s->zone = zone;
    s->gpu = in->gpu = gpu;
    int *available = ARENA_ARRAY(a, int, n);
    for (int i = 0; i < n; i++) available[i] = -1;
    s->available = available;

    draw_model(in, shape, r, a);
    struct workload *w = &in->w;
    w->site = s;
    w->model = &in->model;
    w->element_bytes = rng_chance(r, 0.7) ? 4 : 2;
    w->state_bytes_per_param = rng_chance(r, 0.8) ? 24 : 20;
    w->global_batch_size = rng_chance(r, 0.1) ? rng_int(r, 1, 4) : rng_int(r, 5, 64);
    if (rng_chance(r, 0.1)) w->global_batch_size *= 16;

    int mb[5], n_mb = 0, want = rng_int(r, 1, 3);
    for (int i = 0; i < 5 && n_mb < want; i++)
        if (rng_chance(r, 0.5)) mb[n_mb++] = (const int[]){1, 2, 3, 4, 8}[i];
    if (!n_mb) mb[n_mb++] = 1;

    int node_max = rng_int(r, 0, 3);
    for (int g = 0; g < s->n_gpu; g++) gpu[g].gpus_per_node = 1 << rng_int(r, 0, node_max);
    const struct profile **profile = ARENA_ARRAY(a, const struct profile *, s->n_gpu);
    for (int g = 0; g < s->n_gpu; g++) {
        double speed = rng_log(r, 0.3, 3);
        if (shape->plain || s->n_gpu == 1 || !rng_chance(r, 0.03))
            profile[g] = draw_profile(in, g, mb, n_mb, speed, shape->plain, r, a);
    }
    w->profile = profile;

    double p = 0, act = 0;
    for (int l = 0; l < in->model.n_layer; l++) p += in->model.params[0][l], act += in->model.act_mem[0][l];
    double whole = w->state_bytes_per_param * p + w->element_bytes * mb[0] * act;
    bool tight = rng_chance(r, 0.6);
    for (int g = 0; g < s->n_gpu; g++)
        gpu[g].memory_bytes = gpu[g].planner_memory_bytes =
            floor((tight ? 2.5e9 : 3e9) + whole * (tight ? rng_log(r, 0.2, 1.5) : rng_log(r, 2, 50)));

    if (rng_chance(r, 0.2)) { /* profiles with their trainer's memory */
        w->process_bytes = rng_log(r, 1e9, 2.5e9);
        w->message = in->model.act_out[0] * rng_log(r, 0.5, 50);
        for (int ti = 0; ti < TP_N; ti++) w->again[ti] = in->model.act_out[0] * rng_log(r, 1, 100);
    }

    enum link_style style = (enum link_style)rng_int(r, 0, 9);
    style = style < 1 ? LINKS_EQUAL : style < 5 ? LINKS_STRUCTURED : style < 6 ? LINKS_SYMMETRIC : LINKS_WILD;
    if (style == LINKS_SYMMETRIC && s->n_zone == 1) style = LINKS_STRUCTURED;
    bool symmetric = style == LINKS_SYMMETRIC;
    draw_links(in, style, shape->plain, r, a);
    draw_prices(in, symmetric, shape->plain, r, a);
    draw_pool(in, shape, symmetric, r, a);
    bool pinned = !shape->plain && rng_chance(r, 0.2);
    if (pinned) draw_pin(in, mb, n_mb, r);
    in->exact_batch = rng_chance(r, 0.15) || in->pin.runnable_by;
    in->estimator = rng_chance(r, 0.5) ? ESTIMATOR_SAILOR : ESTIMATOR_NATIVE;
    for (int g = 0; g < s->n_gpu; g++) /* a site with memory taken beside the model */
        if (rng_chance(r, 0.3)) gpu[g].context_bytes = rng_log(r, 2e8, 6e9);
    struct rng own = {.seed = seed ^ 0x706c6174666f726d};
    if (rng_chance(&own, 0.6)) draw_platform(in, profile, &own, a);
    in->model.tied_head = rng_chance(&own, 0.4);
    for (int ti = 0; ti < TP_N && in->model.tied_head; ti++)
        if (in->model.params[ti]) in->model.tied_copy[ti] = floor(0.9 * in->model.params[ti][0]);
    in->traits =
        arena_printf(a, "%s, links %s, memory %s%s%s%s", estimator_name[in->estimator],
                     link_style_name[style], tight ? "tight" : "wide", in->exact_batch ? ", exact_batch" : "",
                     pinned ? ", pin" : "", in->prices_known ? "" : ", null prices");
    return in;
}

/* ---- options ------------------------------------------------------------------------- */

static const struct profile *slower_profile(const struct profile *p, int n_layer, struct rng *r,
                                            struct arena *a) {
    struct profile *q = ARENA_NEW(a, struct profile);
    struct layer_times *t = ARENA_ARRAY(a, struct layer_times, p->n_mb * TP_N);
    *q = *p;
    q->times = t;
    for (int i = 0; i < p->n_mb * TP_N; i++) {
        t[i] = p->times[i];
        if (!t[i].fwd_s) continue;
        double *b = ARENA_ARRAY(a, double, n_layer), more = rng_range(r, 0, 1.2);
        for (int l = 0; l < n_layer; l++) b[l] = t[i].bwd_s[l] + more * t[i].fwd_s[l];
        t[i].bwd_s = b;
        t[i].train_fwd_s = t[i].train_bwd_s = NULL;
    }
    return q;
}

/* Less memory, a longer backward pass. */
static struct workload recomputing(const struct workload *w, enum recompute mode, struct rng *r,
                                   struct arena *a) {
    struct workload x = *w;
    int n = w->model->n_layer;
    struct model *m = ARENA_NEW(a, struct model);
    const struct profile **profile = ARENA_ARRAY(a, const struct profile *, w->site->n_gpu);
    double keeps = rng_range(r, 0.05, 0.9);
    *m = *w->model;
    for (int ti = 0; ti < TP_N; ti++) {
        if (!m->act_mem[ti]) continue;
        double *act = ARENA_ARRAY(a, double, n), most = 0;
        for (int l = 0; l < n; l++) {
            act[l] = w->model->act_mem[ti][l] * keeps;
            most = fmax(most, w->model->act_mem[ti][l] - act[l]);
        }
        m->act_mem[ti] = act;
        x.again[ti] = w->again[ti] + (rng_chance(r, 0.8) ? most : 0);
    }
    for (int g = 0; g < w->site->n_gpu; g++)
        if (w->profile[g]) {
            double launch_bound = w->platform ? w->platform[g].launch_bound : 1;
            profile[g] = profile_in_training(slower_profile(w->profile[g], n, r, a), n, launch_bound, a);
        }
    x.model = m;
    x.profile = profile;
    x.options.recompute = mode;
    x.altered = true;
    return x;
}

/* The profiles of a choice of options may be of other microbatches: keeps some, and the largest, with which
 * the others were compared. */
static const struct profile **some_microbatches(const struct workload *w, struct rng *r, struct arena *a) {
    const struct profile **profile = ARENA_ARRAY(a, const struct profile *, w->site->n_gpu);
    uint64_t dropped = rng_next(r) & rng_next(r); /* a bit per microbatch */
    for (int g = 0; g < w->site->n_gpu; g++) {
        const struct profile *p = w->profile[g];
        if (!p) continue;
        struct profile *q = ARENA_NEW(a, struct profile);
        int *mb = ARENA_ARRAY(a, int, p->n_mb), n = 0;
        struct layer_times *t = ARENA_ARRAY(a, struct layer_times, p->n_mb * TP_N);
        for (int i = 0; i < p->n_mb; i++) {
            if (dropped >> p->mb[i] & 1 && i + 1 < p->n_mb) continue;
            memcpy(t + n * TP_N, p->times + i * TP_N, sizeof *t * TP_N);
            mb[n++] = p->mb[i];
        }
        *q = *p;
        q->n_mb = n;
        q->mb = mb;
        q->times = t;
        profile[g] = q;
    }
    return profile;
}

void instance_vary(struct instance *in, struct arena *a) {
    struct rng rng = {.seed = in->seed ^ 0x07710}, *r = &rng, own = {.seed = in->seed ^ 0x3b};
    struct workload *v = ARENA_ARRAY(a, struct workload, 2 * RECOMPUTE_N), base = in->w;
    int n = 0, zero = rng_int(r, 1, 3); /* bits: with it, without it */
    for (int mode = 0; mode < RECOMPUTE_N; mode++) {
        if (mode && !rng_chance(r, 0.6)) continue;
        struct workload x = mode ? recomputing(&base, (enum recompute)mode, r, a) : base;
        x.profile = some_microbatches(&x, &own, a);
        for (int z = 0; z < 2; z++) {
            if (!(zero >> z & 1)) continue;
            v[n] = x;
            v[n].options.zero = z;
            v[n].altered |= z;
            v[n].shared_bytes_per_param = z ? rng_range(r, 1, 16) : 0;
            n++;
        }
    }
    in->w = v[0];
    if (n > 1) {
        in->w.n_variant = n;
        in->w.variant = v;
    }
    in->estimator = ESTIMATOR_NATIVE;
    in->traits = arena_printf(a, "%s, %d choices of options", in->traits, n);
}

void instance_rate_links(struct instance *in, struct arena *a) {
    struct rng rng = {.seed = in->seed ^ 0x4a7e}, *r = &rng;
    size_t side = (size_t)in->site.n_zone * (size_t)in->site.n_gpu * TP_N;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    for (size_t i = 0; i < side * side; i++) {
        link[i] = in->site.link[i];
        if (!link[i].known || rng_chance(r, 0.5)) continue;
        double rate = 1e9 * rng_log(r, 0.1, 30);
        link[i] = (struct link){.latency_s = rng_log(r, 1e-6, 1e-2),
                                .rate_Bps = rate,
                                .peak_Bps = rate,
                                .known = true,
                                .ring_slower = in->site.link[i].ring_slower};
    }
    in->site.link = link;
    in->traits = arena_printf(a, "%s, rated links", in->traits);
}

void instance_cut_links(struct instance *in, struct arena *a) {
    struct rng r = {.seed = in->seed ^ 0x15a7d};
    size_t cells = (size_t)in->site.n_zone * (size_t)in->site.n_gpu, side = cells * TP_N;
    struct link *link = ARENA_ARRAY(a, struct link, side * side);
    uint64_t shore = rng_next(&r); /* a bit per cell */
    for (size_t i = 0; i < side * side; i++) {
        size_t x = i / side / TP_N, y = i % side / TP_N;
        if ((shore >> x % 64 & 1) == (shore >> y % 64 & 1)) link[i] = in->site.link[i];
    }
    in->site.link = link;
    in->traits = arena_printf(a, "%s, two islands", in->traits);
}

struct search_problem instance_problem(const struct instance *in, enum objective objective) {
    return (struct search_problem){.w = &in->w,
                                   .pool = in->pool,
                                   .estimator = in->estimator,
                                   .objective = objective,
                                   .max_usd_per_iteration = INFINITY,
                                   .min_iterations_per_s = 0,
                                   .pin = &in->pin,
                                   .exact_batch = in->exact_batch,
                                   .top_k = 1};
}

/* --- plans --------------------------------------------------------------------------- */

struct plan *plan_random(const struct instance *in, bool vms, struct rng *r, struct arena *a) {
    const struct workload *w = &in->w;
    const struct site *s = w->site;
    int any = rng_int(r, 0, s->n_gpu - 1);
    if (!w->profile[any] || !w->profile[any]->n_mb) return NULL;
    struct plan *p = ARENA_NEW(a, struct plan);
    p->model = w->model->name;
    p->site = s->name;
    p->global_batch_size = w->global_batch_size;
    p->micro_batch_size = w->profile[any]->mb[rng_int(r, 0, w->profile[any]->n_mb - 1)];
    int n_layer = w->model->n_layer, kinds = 0;
    struct replicas kind[GPUS_MAX * TP_N];
    for (int g = 0; g < s->n_gpu; g++)
        for (int ti = 0; ti < TP_N; ti++)
            if (1 << ti <= s->gpu[g].gpus_per_node && w->model->params[ti] &&
                profile_times(w->profile[g], p->micro_batch_size, 1 << ti))
                kind[kinds++] = (struct replicas){.gpu = g, .tp = 1 << ti};
    if (!kinds) return NULL;
    p->n_pipeline = rng_chance(r, 0.6) ? 1 : rng_int(r, 2, 3);
    p->pipeline = ARENA_ARRAY(a, struct pipeline, p->n_pipeline);
    for (int k = 0; k < p->n_pipeline; k++) {
        struct pipeline *pipe = &p->pipeline[k];
        pipe->n_stage = rng_int(r, 1, n_layer < 6 ? n_layer : 6);
        pipe->stage = ARENA_ARRAY(a, struct stage, pipe->n_stage);
        bool equal_d = rng_chance(r, 0.6);
        int d = rng_int(r, 1, 5), first = 0;
        for (int i = 0; i < pipe->n_stage; i++) {
            struct stage *st = &pipe->stage[i];
            int left = pipe->n_stage - i - 1;
            st->first = first;
            st->end = first = left ? rng_int(r, first + 1, n_layer - left) : n_layer;
            int groups = rng_int(r, 1, 3), want = equal_d ? d : rng_int(r, 1, 6);
            st->group = ARENA_ARRAY(a, struct replicas, groups);
            while (want > 0) {
                struct replicas *g = &st->group[st->n_group++];
                *g = kind[rng_int(r, 0, kinds - 1)];
                g->zone = rng_int(r, 0, s->n_zone - 1);
                g->count = st->n_group == groups ? want : rng_int(r, 1, want);
                want -= g->count;
                if (vms && rng_chance(r, 0.4)) {
                    int n_vm = g->tp, *vm = ARENA_ARRAY(a, int, n_vm);
                    for (int v = 0; v < n_vm; v++)
                        vm[v] = v == 0 || rng_chance(r, 0.7) ? g->gpu : kind[rng_int(r, 0, kinds - 1)].gpu;
                    g->n_vm = n_vm;
                    g->vm_gpu = vm;
                }
            }
        }
    }
    return p;
}

/* --- text
 * ---------------------------------------------------------------------------------------------------------
 */

void instance_print(FILE *f, const struct instance *in) {
    const struct workload *w = &in->w;
    const struct site *s = w->site;
    fprintf(f, "# instance seed %llu: %d types, %d zones, %d layers; %s\n", (unsigned long long)in->seed,
            s->n_gpu, s->n_zone, w->model->n_layer, in->traits);
    fprintf(f, "#   G %d, F %d, K %g\n", w->global_batch_size, w->element_bytes, w->state_bytes_per_param);
    if (in->pin.micro_batch_size || in->pin.stages || in->pin.data_parallel || in->pin.zones)
        fprintf(f, "#   pin m %d, P %d, D %d, zones %#x\n", in->pin.micro_batch_size, in->pin.stages,
                in->pin.data_parallel, in->pin.zones);
    for (int g = 0; g < s->n_gpu; g++) {
        fprintf(f, "#   %s: %.4g GB, %d per node, pool", s->gpu[g].name, s->gpu[g].memory_bytes / 1e9,
                s->gpu[g].gpus_per_node);
        for (int z = 0; z < s->n_zone; z++)
            fprintf(f, " %s %d (%.4g USD/h)", s->zone[z], in->pool[z * s->n_gpu + g],
                    s->usd_per_gpu_hour[z * s->n_gpu + g]);
        if (in->pin.tp[g]) fprintf(f, ", pin tp %d", in->pin.tp[g]);
        fprintf(f, "\n");
        const struct profile *p = w->profile[g];
        for (int i = 0; p && i < p->n_mb; i++)
            for (int ti = 0; ti < TP_N && 1 << ti <= s->gpu[g].gpus_per_node; ti++) {
                const struct layer_times *t = profile_times(p, p->mb[i], 1 << ti);
                if (!t) continue;
                fprintf(f, "#     m %d tp %d, f+b ms:", p->mb[i], 1 << ti);
                for (int l = 0; l < w->model->n_layer; l++)
                    fprintf(f, " %.4g", 1e3 * (t->fwd_s[l] + t->bwd_s[l]));
                fprintf(f, "\n");
            }
    }
    fprintf(f, "#   params");
    for (int l = 0; l < w->model->n_layer; l++) fprintf(f, " %.3g", w->model->params[0][l]);
    fprintf(f, "; act_out");
    for (int l = 0; l < w->model->n_layer; l++) fprintf(f, " %.3g", w->model->act_out[l]);
    fprintf(f, "\n");
}

void plan_print(FILE *f, const struct plan *p, const struct site *s) {
    if (!p) {
        fprintf(f, "#   no plan\n");
        return;
    }
    fprintf(f, "#   G %d m %d\n", p->global_batch_size, p->micro_batch_size);
    for (int k = 0; k < p->n_pipeline; k++)
        for (int i = 0; i < p->pipeline[k].n_stage; i++) {
            const struct stage *st = &p->pipeline[k].stage[i];
            fprintf(f, "#   pipeline %d stage %d [%d, %d):", k, i, st->first, st->end);
            for (int g = 0; g < st->n_group; g++) {
                const struct replicas *x = &st->group[g];
                fprintf(f, " %d x %s/tp%d/%s", x->count, s->gpu[x->gpu].name, x->tp, s->zone[x->zone]);
                for (int v = 0; v < x->n_vm; v++)
                    fprintf(f, "%s%s%s", v ? "," : "(", s->gpu[x->vm_gpu[v]].name,
                            v == x->n_vm - 1 ? ")" : "");
            }
            fprintf(f, "\n");
        }
}

struct instance *instance_wide(uint64_t seed, int layers_max, struct rng *r, struct arena *a) {
    struct shape shape = {.gpu_types = rng_int(r, 1, 7),
                          .zones = rng_int(r, 1, 5),
                          .layers_min = 3,
                          .layers_max = layers_max,
                          .gpus_min = 1,
                          .gpus_max = 1,
                          .plain = rng_chance(r, 0.5)};
    struct instance *in = instance_random(seed, &shape, a);
    for (int i = 0; i < shape.zones * shape.gpu_types; i++)
        in->pool[i] = rng_chance(r, 0.25) ? 0 : (int)rng_log(r, 1, 512);
    return in;
}
