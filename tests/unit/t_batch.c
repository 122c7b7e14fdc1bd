/* The table form of the estimator against the plain one: on the published cases, on random plans of a real
 * site, and where something is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "formats/inputs.h"
#include "sim/batch.h"

enum { MANY = 20000, CHUNK = 500, STAGES = 8, GROUPS = 4, MB_MAX = 16 };

static struct arena arena;

static int forget(void **state) {
    (void)state;
    arena_free(&arena);
    return 0;
}

static uint64_t counter;

/* splitmix64: what is drawn follows from the counter alone */
static int draw(int lo, int hi) {
    uint64_t x = ++counter * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return lo + (int)((x ^ x >> 31) % (uint64_t)(hi - lo + 1));
}

static struct batch_out out_new(int n) {
    return (struct batch_out){
        .time_s = ARENA_ARRAY(&arena, double, n),
            .sync_s = ARENA_ARRAY(&arena, double, n),
                .cost_usd = ARENA_ARRAY(&arena, double, n),
                                        .egress_usd = ARENA_ARRAY(&arena, double, n),
                                                                  .peak_memory_bytes = ARENA_ARRAY(&arena, double, n),
                                                                      .fits = ARENA_ARRAY(&arena, bool, n)};
}

static struct {
    int plans, missing, unfit, unpriced, exact;
    double worst;
} seen;

static void near_at(double got, double want, const char *what, int plan) {
    if (isnan(want) && isnan(got)) return;
    double off = got == want ? 0 : fabs(got - want) / fmax(fabs(got), fabs(want));
    if (!(off <= 1e-12)) fail_msg("plan %d: %s is %.17g, plain form %.17g", plan, what, got, want);
    seen.worst = fmax(seen.worst, off);
}

/* Plan i of the batch is what estimate_plan() says it is. */
static void compare(const struct workload *w, const struct plan *p, enum estimator est,
                    const struct batch_out *o, int i) {
    struct estimate want = {0};
    struct err e = {0};
    seen.plans++;
    if (estimate_plan(w, p, est, &want, &e)) {
        seen.missing++;
        if (o->time_s[i] != INFINITY || isfinite(o->cost_usd[i]))
            fail_msg("plan %d: time %g, cost %g; expected no finite ones: %s", i, o->time_s[i],
                     o->cost_usd[i], e.text);
        return;
    }
    near_at(o->time_s[i], want.iteration_time_s, "time", i);
    near_at(o->sync_s[i], want.sync_time_s, "sync", i);
    near_at(o->cost_usd[i], want.cost_usd, "cost", i);
    near_at(o->egress_usd[i], want.egress_usd, "egress", i);
    near_at(o->peak_memory_bytes[i], want.peak_memory_bytes, "peak", i);
    assert_int_equal(o->fits[i], want.fits);
    seen.unfit += !want.fits;
    seen.unpriced += isnan(want.cost_usd);
    seen.exact += o->time_s[i] == want.iteration_time_s;
}

static void report(void) {
    print_message(
        "# %d plans: %d with a missing link, %d too large, %d without price, %d times equal to the last bit; "
        "largest difference %.1e\n",
        seen.plans, seen.missing, seen.unfit, seen.unpriced, seen.exact, seen.worst);
}

static void test_published_cases(void **state) {
    (void)state;
    struct plan_entry *entries;
    int n = 0;
    struct err e = {0};
    if (plans_load("tests/vectors/simulate.json", "inputs", &entries, &n, &arena, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 400);
    memset(&seen, 0, sizeof seen);
    for (int est = 0; est < ESTIMATOR_N; est++)
        for (int i = 0; i < n; i++) {
            struct arena_mark mark = arena_mark(&arena);
            int m = entries[i].plan->micro_batch_size;
            const struct batch_tables *t = batch_tables_build(entries[i].workload, est, m, &arena);
            struct plan_batch *b = batch_new(1, 64, 1024, m, &arena);
            struct batch_out o = out_new(1);
            assert_int_equal(batch_add_plan(b, entries[i].plan), BATCH_ADDED);
            batch_estimate(t, b, &o);
            compare(entries[i].workload, entries[i].plan, est, &o, 0);
            arena_release(&arena, mark);
        }
    report();
    assert_int_equal(seen.plans, 800);
    assert_int_equal(seen.missing, 0);
}

/* ---- random plans ------------------------------------------------------------------- */

static int all_microbatches(const struct workload *w, int m[MB_MAX]) {
    int n = 0;
    for (int g = 0; g < w->site->n_gpu; g++)
        for (int i = 0; w->profile[g] && i < w->profile[g]->n_mb; i++) {
            int k = 0, mb = w->profile[g]->mb[i];
            while (k < n && m[k] != mb) k++;
            if (k == n && n < MB_MAX) m[n++] = mb;
        }
    return n;
}

static unsigned types_named(const struct workload *w, const char *a, const char *b) {
    unsigned mask = 0;
    for (int g = 0; g < w->site->n_gpu; g++)
        if (!strcmp(w->site->gpu[g].name, a) || !strcmp(w->site->gpu[g].name, b)) mask |= 1u << g;
    return mask;
}

/* May a replica of 2^ti GPUs of this type be in a plan at microbatch m? */
static bool usable(const struct workload *w, int gpu, int m, int ti) {
    return 1 << ti <= w->site->gpu[gpu].gpus_per_node && w->model->params[ti] &&
           profile_times(w->profile[gpu], m, 1 << ti);
}

static struct replicas draw_replicas(const struct workload *w, int m, int count, unsigned types, int home) {
    for (;;) {
        int gpu = draw(0, w->site->n_gpu - 1), ti = draw(0, TP_N - 1);
        int zone = home >= 0 ? home : draw(0, w->site->n_zone - 1);
        if (types >> gpu & 1 && usable(w, gpu, m, ti))
            return (struct replicas){.gpu = gpu, .zone = zone, .tp = 1 << ti, .count = count};
    }
}

/* Some of the types that can be used at microbatch m: those that have links to others, and now and then any.
 */
static unsigned draw_types(const struct workload *w, int m) {
    unsigned all = 0, some = 0;
    for (int g = 0; g < w->site->n_gpu; g++)
        for (int ti = 0; ti < TP_N; ti++)
            if (usable(w, g, m, ti)) all |= 1u << g;
    unsigned linked = all & types_named(w, "A100-40", "V100-16"), from = linked && draw(0, 9) ? linked : all;
    while (!some) some = from & (unsigned)draw(1, (1 << w->site->n_gpu) - 1);
    return some;
}

/* P 1..8, D 1..64, up to GROUPS groups in a stage, of the GPU types in the mask. */
static struct plan *draw_plan(const struct workload *w, int m, unsigned types) {
    int P = draw(1, STAGES), D = 1 << draw(0, 6), L = w->model->n_layer;
    int home = draw(0, 1) ? draw(0, w->site->n_zone - 1) : -1; /* many types have links within a zone only */
    if (draw(0, 1)) D = draw(1, 64);
    struct plan *p = ARENA_NEW(&arena, struct plan);
    struct pipeline *pl = ARENA_NEW(&arena, struct pipeline);
    *pl = (struct pipeline){P, ARENA_ARRAY(&arena, struct stage, P)};
    *p = (struct plan){
        .global_batch_size = draw(1, 4096), .micro_batch_size = m, .n_pipeline = 1, .pipeline = pl};
    for (int i = 0, first = 0; i < P; i++) {
        struct stage *st = &pl->stage[i];
        int last = L - (P - 1 - i); /* leaves a layer for each that follows */
        int even = first + 2 * (L - first) / (P - i);
        int end = i == P - 1 ? L : draw(first + 1, even < last ? even : last);
        *st = (struct stage){first, end, 0, ARENA_ARRAY(&arena, struct replicas, GROUPS)};
        first = end;
        int wanted = draw(1, GROUPS);
        for (int left = D, n; left > 0; left -= n) {
            n = st->n_group == wanted - 1 ? left : draw(1, left);
            st->group[st->n_group++] = draw_replicas(w, m, n, types, home);
        }
    }
    return p;
}

static struct workload opt350m(const char *site) {
    struct workload w;
    struct err e = {0};
    if (workload_load("opt-350m", site, "inputs", &w, &arena, &e)) fail_msg("%s", e.text);
    return w;
}

static void test_random_plans(void **state) {
    (void)state;
    struct workload w = opt350m("gcp");
    int m[MB_MAX], n_m = all_microbatches(&w, m), finite = 0;
    assert_true(n_m > 1);
    /* prices that tell every direction apart, and cost within a zone: the published ones do not */
    struct site priced = *w.site;
    double *price = ARENA_ARRAY(&arena, double, priced.n_zone * priced.n_zone);
    for (int z = 0; z < priced.n_zone * priced.n_zone; z++) price[z] = draw(1, 1000) * 1e-4;
    priced.egress_usd_per_GB = price;
    w.site = &priced;
    const struct batch_tables *t[ESTIMATOR_N][MB_MAX];
    for (int est = 0; est < ESTIMATOR_N; est++)
        for (int k = 0; k < n_m; k++) t[est][k] = batch_tables_build(&w, est, m[k], &arena);
    counter = 0;
    memset(&seen, 0, sizeof seen);
    for (int done = 0, k = 0; done < MANY; k = (k + 1) % n_m) {
        struct arena_mark mark = arena_mark(&arena);
        struct plan_batch *b = batch_new(CHUNK, CHUNK * STAGES, CHUNK * STAGES * GROUPS, m[k], &arena);
        const struct plan *p[CHUNK];
        struct batch_out o = out_new(CHUNK);
        unsigned types = 0;
        for (int i = 0; i < CHUNK && done < MANY; i++, done++) {
            if (i % 20 == 0) types = draw_types(&w, m[k]);
            p[i] = draw_plan(&w, m[k], types);
            assert_int_equal(batch_add_plan(b, p[i]), BATCH_ADDED);
            if (i % 100 == 0) {
                struct err e = {0};
                if (plan_check(p[i], &w, "drawn plan", &e)) fail_msg("%s", e.text);
            }
        }
        for (int est = 0; est < ESTIMATOR_N; est++) {
            batch_estimate(t[est][k], b, &o);
            for (int i = 0; i < b->n_plan; i++) {
                compare(&w, p[i], est, &o, i);
                finite += isfinite(o.time_s[i]);
            }
        }
        arena_release(&arena, mark);
    }
    report();
    assert_int_equal(seen.plans, 2 * MANY);
    assert_true(finite > MANY / 2 && seen.unfit > MANY / 20 && seen.unfit < 2 * MANY - MANY / 20);
    assert_true(seen.unpriced > MANY / 100 && seen.missing > MANY / 100);
}

/* ---- a small world ------------------------------------------------------------------ */

/* Two types, X and Y, in one zone; Y only at tp 1 and with no link to X. Sizes are picked so that a test may
 * change one figure and know what follows. */
enum { L = 4, SIDE = 2 * TP_N };
static double params[L];
static const double act_mem[L] = {1e6, 2e6, 2e6, 3e6};
static double act_out[L] = {1e6, 1e6, 1e6, 5e6};
static const double fwd[L] = {.1, .2, .2, .3}, bwd[L] = {.2, .4, .4, .6}, up[L] = {.01, .02, .03, .04};
static struct link links[SIDE * SIDE];
static double usd[2] = {1, 2}, egress[1] = {0};
static struct site site;
static struct model model;
static struct workload small;

static int small_world(void **state) {
    (void)state;
    static const struct gpu_type gpus[2] = {{"X", 30e9, 30e9, 4}, {"Y", 30e9, 30e9, 4}};
    static const char *zones[] = {"a"};
    static const unsigned char counts[2] = {7, 1};
    static const int one[] = {1};
    static const struct layer_times x[TP_N] = {{fwd, bwd, up, true}, {fwd, bwd, up, false}},
                                    y[TP_N] = {{fwd, bwd, up, false}};
    static const struct profile profs[2] = {{.n_mb = 1, .mb = one, .times = x},
                                            {.n_mb = 1, .mb = one, .times = y}};
    static const struct profile *const profiles[2] = {&profs[0], &profs[1]};
    site = (struct site){.name = "s",
                         .n_zone = 1,
                         .n_gpu = 2,
                         .zone = zones,
                         .gpu = gpus,
                         .usd_per_gpu_hour = usd,
                         .egress_usd_per_GB = egress,
                         .link = links,
                         .counts = counts};
    model = (struct model){.name = "m", .n_layer = L, .n_block = 2, .act_out = act_out};
    model.params[0] = model.params[1] = params;
    model.act_mem[0] = model.act_mem[1] = act_mem;
    small = (struct workload){&site, &model, profiles, 16, 4, 20};
    memset(links, 0, sizeof links);
    for (int ti = 0; ti < 3; ti++)
        for (int ti2 = 0; ti2 < 3; ti2++)
            links[site_link_slot(&site, 0, 0, ti, 0, 0, ti2)] = (struct link){.1, .2, 3 + ti, 5e9, true};
    links[site_link_slot(&site, 0, 1, 0, 0, 1, 0)] = (struct link){.1, .2, 1, 5e9, true};
    usd[0] = 1;
    usd[1] = 2;
    egress[0] = 0;
    act_out[0] = act_out[1] = act_out[2] = 1e6;
    for (int l = 0; l < L; l++) params[l] = (double[L]){1e8, 2e8, 2e8, 3e8}[l];
    memset(&seen, 0, sizeof seen);
    return 0;
}

#define R(gpu_, tp_, count_)                                                                                 \
    { .gpu = (gpu_), .zone = 0, .tp = (tp_), .count = (count_) }
#define STAGE(first_, end_, ...)                                                                             \
    {                                                                                                        \
        (first_), (end_), sizeof((struct replicas[]){__VA_ARGS__}) / sizeof(struct replicas),                \
            (struct replicas[]) {                                                                            \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define PLAN(...)                                                                                            \
    (&(struct plan){.global_batch_size = 16,                                                                 \
                    .micro_batch_size = 1,                                                                   \
                    .n_pipeline = 1,                                                                         \
                    .pipeline =                                                                              \
                        (struct pipeline[]){{sizeof((struct stage[]){__VA_ARGS__}) / sizeof(struct stage),   \
                                             (struct stage[]){__VA_ARGS__}}}})

/* Both forms, both estimators; returns what the table form said under the published one. */
static struct batch_out both(const struct plan *p) {
    struct batch_out o = {0};
    for (int est = ESTIMATOR_N - 1; est >= 0; est--) {
        const struct batch_tables *t = batch_tables_build(&small, est, 1, &arena);
        struct plan_batch *b = batch_new(1, 8, 8, 1, &arena);
        o = out_new(1);
        assert_int_equal(batch_add_plan(b, p), BATCH_ADDED);
        batch_estimate(t, b, &o);
        compare(&small, p, est, &o, 0);
    }
    return o;
}

static void test_missing(void **state) {
    (void)state;
    struct plan *p = PLAN(STAGE(0, 2, R(0, 1, 2)), STAGE(2, L, R(1, 1, 2)));
    both(p);
    p->global_batch_size = 1; /* one microbatch: 0 * INFINITY must not come out */
    both(p);
    assert_int_equal(seen.missing, 4);
    struct batch_out o = both(PLAN(STAGE(0, L, R(0, 1, 2), R(1, 1, 2)))); /* only in the ring */
    assert_true(o.sync_s[0] == INFINITY);
    memset(params, 0, sizeof params); /* nothing to send, and still no link */
    o = both(PLAN(STAGE(0, L, R(0, 1, 2), R(1, 1, 2))));
    assert_true(o.sync_s[0] == INFINITY);
    o = both(PLAN(STAGE(0, L, R(0, 1, 2)))); /* a ring of 0 bytes takes no time */
    assert_true(o.sync_s[0] == 0);
    for (int l = 0; l < L - 1; l++) act_out[l] = 0; /* the same between stages */
    both(PLAN(STAGE(0, 2, R(0, 1, 1)), STAGE(2, L, R(1, 1, 1))));
    assert_int_equal(seen.missing, 10);
    both(PLAN(STAGE(0, 2, R(0, 1, 1)), STAGE(2, L, R(0, 2, 1)))); /* a message of 0 bytes takes no time */
    both(PLAN(STAGE(0, L, R(1, 1, 1))));                          /* alone: needs no link */
    assert_int_equal(seen.missing, 10);
}

static void test_unusable(void **state) {
    (void)state;
    /* no profile of Y at tp 2, none of X at tp 4: the plain form must not be asked at all */
    const struct plan *bad[] = {PLAN(STAGE(0, L, R(1, 2, 1))),
                                PLAN(STAGE(0, 1, R(0, 1, 2)), STAGE(1, L, R(0, 4, 2))),
                                PLAN(STAGE(0, L, R(0, 8, 3)))};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct plan_batch *b = batch_new(1, 8, 8, 1, &arena);
        struct batch_out o = out_new(1);
        assert_int_equal(batch_add_plan(b, bad[i]), BATCH_ADDED);
        batch_estimate(batch_tables_build(&small, ESTIMATOR_SAILOR, 1, &arena), b, &o);
        assert_true(o.time_s[0] == INFINITY);
        assert_false(o.fits[0]);
    }
    /* a microbatch that nobody measured */
    struct plan_batch *b = batch_new(1, 8, 8, 3, &arena);
    struct batch_out o = out_new(1);
    struct plan *p = PLAN(STAGE(0, L, R(0, 1, 1)));
    p->micro_batch_size = 3;
    assert_int_equal(batch_add_plan(b, p), BATCH_ADDED);
    batch_estimate(batch_tables_build(&small, ESTIMATOR_SAILOR, 3, &arena), b, &o);
    assert_true(o.time_s[0] == INFINITY);
}

static void test_prices(void **state) {
    (void)state;
    usd[1] = NAN;
    struct batch_out o = both(PLAN(STAGE(0, L, R(1, 1, 2))));
    assert_true(isnan(o.cost_usd[0]) && o.egress_usd[0] == 0 && isfinite(o.time_s[0]));
    o = both(PLAN(STAGE(0, L, R(0, 1, 2))));
    assert_true(o.cost_usd[0] > 0);
    egress[0] = NAN;
    o = both(PLAN(STAGE(0, L, R(0, 1, 2))));
    assert_true(isnan(o.cost_usd[0]) && isnan(o.egress_usd[0]));
    o = both(PLAN(STAGE(0, L, R(0, 1, 1)))); /* sends nothing */
    assert_true(o.cost_usd[0] > 0);
    o = both(PLAN(STAGE(0, 1, R(0, 1, 1)), STAGE(1, L, R(0, 2, 1))));
    assert_true(isnan(o.cost_usd[0]));
    assert_int_equal(seen.missing, 0);
}

static void test_large_D(void **state) {
    (void)state;
    /* beyond the kept logarithms; several buckets of the all-reduce, an exact number of them too */
    static const int D[] = {2, 3, 511, 512, 513, 5000};
    for (size_t i = 0; i < sizeof D / sizeof *D; i++) {
        both(PLAN(STAGE(0, L, R(0, 1, D[i]))));
        both(PLAN(STAGE(0, 2, R(0, 2, D[i])), STAGE(2, L, R(0, 1, D[i] - 1), R(0, 2, 1))));
        both(PLAN(STAGE(0, 3, R(0, 1, D[i])), STAGE(3, L, R(0, 1, D[i])))); /* 2e9 B: four buckets */
    }
    /* nothing left after the last full bucket: the fit, here 0 at 1 MB, must not be asked */
    links[site_link_slot(&site, 0, 0, 0, 0, 0, 0)].c0 = 0;
    assert_true(isfinite(both(PLAN(STAGE(0, 3, R(0, 1, 2)), STAGE(3, L, R(0, 1, 2)))).time_s[0]));
    assert_int_equal(seen.missing, 0);
}

static void test_memory_edge(void **state) {
    (void)state;
    /* exactly full is not too full: sums of whole numbers are the same in both forms to the last bit */
    struct gpu_type gpus[2] = {{"X", 0, 0, 4}, {"Y", 0, 0, 4}};
    site.gpu = gpus;
    gpus[0].memory_bytes = 20 * 8e8 + 1 * 1 * 4 * 8e6 + 2e9;
    assert_true(both(PLAN(STAGE(0, L, R(0, 1, 1)))).fits[0]);
    gpus[0].memory_bytes -= 1;
    assert_false(both(PLAN(STAGE(0, L, R(0, 1, 1)))).fits[0]);
}

static void test_add(void **state) {
    (void)state;
    struct plan_batch *b = batch_new(3, 4, 5, 1, &arena);
    struct plan *p = PLAN(STAGE(0, 2, R(0, 1, 3)), STAGE(2, L, R(0, 1, 2), R(0, 2, 1))), q = *p;
    struct pipeline two[2] = {p->pipeline[0], p->pipeline[0]};
    static const int vm[] = {0};
    q.n_pipeline = 2;
    q.pipeline = two;
    assert_int_equal(batch_add_plan(b, &q), BATCH_OTHER_FORM);
    q = *p;
    q.micro_batch_size = 2;
    assert_int_equal(batch_add_plan(b, &q), BATCH_OTHER_FORM);
    assert_int_equal(batch_add_plan(b, PLAN(STAGE(0, 2, R(0, 1, 3)), STAGE(2, L, R(0, 1, 2)))),
                     BATCH_OTHER_FORM);
    p->pipeline[0].stage[1].group[1].n_vm = 1;
    p->pipeline[0].stage[1].group[1].vm_gpu = vm;
    assert_int_equal(batch_add_plan(b, p), BATCH_OTHER_FORM);
    p->pipeline[0].stage[1].group[1].n_vm = 0;
    assert_int_equal(b->n_plan, 0);

    assert_int_equal(batch_add_plan(b, p), BATCH_ADDED);
    assert_int_equal(batch_add_plan(b, p), BATCH_FULL); /* groups: 6 of 5 */
    assert_int_equal(batch_add_plan(b, PLAN(STAGE(0, 2, R(0, 1, 3)), STAGE(2, L, R(0, 1, 3)))), BATCH_ADDED);
    assert_int_equal(batch_add_plan(b, PLAN(STAGE(0, L, R(0, 1, 3)))), BATCH_FULL); /* stages: 5 of 4 */
    static const int stage_at[] = {0, 2, 4}, group_at[] = {0, 1, 3, 4, 5}, first[] = {0, 2, 0, 2},
                     count[] = {3, 2, 1, 3, 3};
    assert_int_equal(b->n_plan, 2);
    assert_memory_equal(b->stage_at, stage_at, sizeof stage_at);
    assert_memory_equal(b->group_at, group_at, sizeof group_at);
    assert_memory_equal(b->first_layer, first, sizeof first);
    assert_memory_equal(b->count, count, sizeof count);

    batch_clear(b);
    for (int i = 0; i < 3; i++)
        assert_int_equal(batch_add_plan(b, PLAN(STAGE(0, L, R(0, 1, 1)))), BATCH_ADDED);
    assert_int_equal(batch_add_plan(b, PLAN(STAGE(0, L, R(0, 1, 1)))), BATCH_FULL); /* plans */
}

/* Many threads on the same tables and batch, each into its own arrays, say the same to the last bit. */
static void test_threads(void **state) {
    (void)state;
    enum { N = 300, THREADS = 4 };
    struct workload w = opt350m("gcp");
    struct plan_batch *b = batch_new(N, N * STAGES, N * STAGES * GROUPS, 1, &arena);
    unsigned types = types_named(&w, "A100-40", "V100-16");
    counter = 7;
    while (b->n_plan < N) batch_add_plan(b, draw_plan(&w, 1, types));
    const struct batch_tables *t = batch_tables_build(&w, ESTIMATOR_NATIVE, 1, &arena);
    struct batch_out o[THREADS];
    for (int i = 0; i < THREADS; i++) o[i] = out_new(N);
#pragma omp parallel for num_threads(THREADS) schedule(static, 1)
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < 20; k++) batch_estimate(t, b, &o[i]);
    for (int i = 1; i < THREADS; i++) {
        assert_memory_equal(o[i].time_s, o[0].time_s, N * sizeof(double));
        assert_memory_equal(o[i].cost_usd, o[0].cost_usd, N * sizeof(double));
        assert_memory_equal(o[i].fits, o[0].fits, N * sizeof(bool));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_published_cases, forget),
        cmocka_unit_test_teardown(test_random_plans, forget),
        cmocka_unit_test_setup_teardown(test_missing, small_world, forget),
        cmocka_unit_test_setup_teardown(test_unusable, small_world, forget),
        cmocka_unit_test_setup_teardown(test_prices, small_world, forget),
        cmocka_unit_test_setup_teardown(test_large_D, small_world, forget),
        cmocka_unit_test_setup_teardown(test_memory_edge, small_world, forget),
        cmocka_unit_test_setup_teardown(test_add, small_world, forget),
        cmocka_unit_test_teardown(test_threads, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
