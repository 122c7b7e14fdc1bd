#include "search/wire.h"
#include "base/oom.h"
#include "search/window.h"

#include <stdlib.h>
#include <string.h>

void wire_free(struct wire *b) {
    free(b->bytes);
    *b = (struct wire){0};
}

static void put(struct wire *b, const void *p, size_t n) {
    if (b->n + n > b->cap) {
        b->cap = 2 * b->cap + n + 1024;
        b->bytes = oom_realloc(b->bytes, b->cap, 1);
    }
    if (n) memcpy(b->bytes + b->n, p, n);
    b->n += n;
}

static void put_int(struct wire *b, int x) { put(b, &x, sizeof x); }
static void put_double(struct wire *b, double x) { put(b, &x, sizeof x); }
static void put_u64(struct wire *b, uint64_t x) { put(b, &x, sizeof x); }

/* Beyond the end there are zeros. */
static void get(const struct wire *b, size_t *at, void *p, size_t n) {
    if (*at > b->n || n > b->n - *at) {
        if (n) memset(p, 0, n);
        *at = WIRE_BAD;
        return;
    }
    if (n) memcpy(p, b->bytes + *at, n);
    *at += n;
}

static int get_int(const struct wire *b, size_t *at) {
    int x;
    get(b, at, &x, sizeof x);
    return x;
}

static double get_double(const struct wire *b, size_t *at) {
    double x;
    get(b, at, &x, sizeof x);
    return x;
}

static uint64_t get_u64(const struct wire *b, size_t *at) {
    uint64_t x;
    get(b, at, &x, sizeof x);
    return x;
}

/* How many things follow, of so many bytes at least. */
static int get_count(const struct wire *b, size_t *at, size_t bytes) {
    int n = get_int(b, at);
    if (*at != WIRE_BAD && n >= 0 && (size_t)n <= (b->n - *at) / bytes) return n;
    *at = WIRE_BAD;
    return 0;
}

static void put_plan(struct wire *b, const struct plan *p) {
    const struct pipeline *pl = &p->pipeline[0];
    put_int(b, p->micro_batch_size);
    put_int(b, (int)p->options.recompute);
    put_int(b, p->options.sequence_parallel);
    put_int(b, p->options.zero);
    put_int(b, pl->n_stage);
    for (int i = 0; i < pl->n_stage; i++) {
        const struct stage *st = &pl->stage[i];
        put_int(b, st->first);
        put_int(b, st->end);
        put_int(b, st->n_group);
        for (int k = 0; k < st->n_group; k++) {
            put_int(b, st->group[k].gpu);
            put_int(b, st->group[k].zone);
            put_int(b, st->group[k].tp);
            put_int(b, st->group[k].count);
        }
    }
}

/* What a plan may say; one from a file may say anything. */
enum { REPLICAS_MAX = 1000000 };

static struct plan *get_plan(const struct wire *b, size_t *at, const struct workload *w, struct arena *a) {
    struct plan *p = ARENA_NEW(a, struct plan);
    struct pipeline *pl = ARENA_NEW(a, struct pipeline);
    *p = (struct plan){.model = w->model->name,
                       .site = w->site->name,
                       .global_batch_size = w->global_batch_size,
                       .micro_batch_size = get_int(b, at),
                       .n_pipeline = 1,
                       .pipeline = pl};
    p->options.recompute = (enum recompute)get_int(b, at);
    p->options.sequence_parallel = get_int(b, at) != 0;
    p->options.zero = get_int(b, at);
    pl->n_stage = get_count(b, at, 3 * sizeof(int));
    pl->stage = ARENA_ARRAY(a, struct stage, pl->n_stage);
    for (int i = 0; i < pl->n_stage; i++) {
        struct stage *st = &pl->stage[i];
        st->first = get_int(b, at);
        st->end = get_int(b, at);
        st->n_group = get_count(b, at, 4 * sizeof(int));
        st->group = ARENA_ARRAY(a, struct replicas, st->n_group);
        for (int k = 0; k < st->n_group; k++) {
            struct replicas *r = &st->group[k];
            r->gpu = get_int(b, at);
            r->zone = get_int(b, at);
            r->tp = get_int(b, at);
            r->count = get_int(b, at);
            if (r->tp < 1 || r->tp > TP_MAX || r->count < 1 || r->count > REPLICAS_MAX) *at = WIRE_BAD;
        }
    }
    if ((unsigned)p->options.recompute >= RECOMPUTE_N || (unsigned)p->options.zero > 1) *at = WIRE_BAD;
    return p;
}

/* Without its goal, which the receiver has. */
static void put_proof(struct wire *b, const struct proof *q) {
    put_double(b, q->tolerance);
    put_double(b, q->slack);
    put_double(b, q->open_lb);
    put_double(b, q->open_gap);
    put_int(b, q->tolerated);
    put_int(b, q->stood_in);
    put_int(b, q->lost);
}

static void get_proof(const struct wire *b, size_t *at, struct proof *q) {
    *q = (struct proof){.tolerance = get_double(b, at)};
    q->slack = get_double(b, at);
    q->open_lb = get_double(b, at);
    q->open_gap = get_double(b, at);
    q->tolerated = get_int(b, at) != 0;
    q->stood_in = get_int(b, at) != 0;
    q->lost = get_int(b, at) != 0;
}

enum { WINDOW_NUMBERS = 8 };

static void put_window(struct wire *b, const struct window *w) {
    const double v[WINDOW_NUMBERS] = {w->x_lo, w->x_hi, w->y_lo,    w->y_hi,
                                      w->r_lo, w->r_hi, w->time_lb, w->cost_lb};
    put_int(b, w->scope);
    put_int(b, w->splits);
    put(b, v, sizeof v);
    put(b, w->price, sizeof w->price);
}

static void get_window(const struct wire *b, size_t *at, struct window *w) {
    double v[WINDOW_NUMBERS];
    int scope = get_int(b, at), splits = get_int(b, at);
    get(b, at, v, sizeof v);
    *w = (struct window){scope, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], splits, {0}};
    get(b, at, w->price, sizeof w->price);
}

void wire_put_answer(struct wire *b, int index, const struct unit_answer *x, double seconds) {
    put_int(b, index);
    put_int(b, (int)x->status);
    put_double(b, x->lower_bound);
    put_double(b, x->gap);
    put_u64(b, x->nodes);
    put_u64(b, x->plans);
    put(b, &x->bounds, sizeof x->bounds);
    put_proof(b, &x->proof);
    put_double(b, x->image_lb);
    put_int(b, x->opened);
    put_int(b, x->n_left);
    for (int k = 0; k < x->n_left; k++) put_window(b, &x->left[k]);
    put_int(b, x->n_plan);
    for (int k = 0; k < x->n_plan; k++) put_plan(b, x->plan[k].plan);
    put_double(b, seconds);
}

int wire_get_answer(const struct wire *b, size_t *at, struct unit_answer *x, double *seconds,
                    const struct workload *w, struct arena *a) {
    int index = get_int(b, at);
    *x = (struct unit_answer){.status = (enum unit_status)get_int(b, at)};
    x->lower_bound = get_double(b, at);
    x->gap = get_double(b, at);
    x->nodes = get_u64(b, at);
    x->plans = get_u64(b, at);
    get(b, at, &x->bounds, sizeof x->bounds);
    get_proof(b, at, &x->proof);
    x->image_lb = get_double(b, at);
    x->opened = get_int(b, at) != 0;
    x->n_left = get_count(b, at, WINDOW_NUMBERS * sizeof(double));
    x->left = ARENA_ARRAY(a, struct window, x->n_left + 1);
    for (int k = 0; k < x->n_left; k++) get_window(b, at, &x->left[k]);
    x->n_plan = get_count(b, at, 5 * sizeof(int));
    x->room = x->n_plan + 1;
    x->plan = ARENA_ARRAY(a, struct found_plan, x->room);
    for (int k = 0; k < x->n_plan; k++) x->plan[k].plan = get_plan(b, at, w, a);
    *seconds = get_double(b, at);
    return index;
}

/* ---- a proof on its way --------------------------------------------------------------- */

/* Another number wherever one of these forms changes, or the way in which a step deals windows to its tasks.
 */
static const uint64_t FORM =
    UINT64_C(0x7361696c6f720004) + (sizeof(struct bound_counts) << 8) + (WINDOW_NUMBERS << 16);

static void put_saved(struct wire *b, const struct saved_answer *x) {
    wire_put_answer(b, x->index, &x->answer, x->seconds);
    put_double(b, x->best);
    put_double(b, x->bound);
    put_int(b, x->begun);
    put_int(b, x->lost);
}

static struct saved_answer get_saved(const struct wire *b, size_t *at, const struct workload *w,
                                     struct arena *a) {
    struct saved_answer x;
    x.index = wire_get_answer(b, at, &x.answer, &x.seconds, w, a);
    x.best = get_double(b, at);
    x.bound = get_double(b, at);
    x.begun = get_int(b, at) != 0;
    x.lost = get_int(b, at) != 0;
    return x;
}

void wire_put_saved(struct wire *b, const struct saved *s) {
    const uint64_t none = 0;
    put_u64(b, FORM);
    put_int(b, s->chosen);
    put_int(b, s->attempt);
    put_int(b, s->step);
    put_double(b, s->best);
    put_int(b, s->n_front);
    put(b, s->front, sizeof *s->front * (size_t)s->n_front);
    put_int(b, s->n_unit);
    for (int i = 0; i < s->n_unit; i++) put_saved(b, &s->unit[i]);
    put_int(b, s->n_task);
    put_int(b, s->n_done);
    for (int i = 0; i < s->n_done; i++) put_saved(b, &s->done[i]);
    put(b, &none, (8 - b->n % 8) % 8); /* whole words */
}

/* Answers in ascending order if they are those of tasks, in any of units; each once. */
static bool get_all_saved(const struct wire *b, size_t *at, int most, int *n, struct saved_answer **out,
                          const struct workload *w, struct arena *a) {
    *n = get_count(b, at, 20 * sizeof(int));
    *out = ARENA_ARRAY(a, struct saved_answer, *n + 1);
    bool *seen = oom_calloc((size_t)most + 1, sizeof *seen), sane = true;
    for (int i = 0; i < *n && sane; i++) {
        struct saved_answer *x = &(*out)[i];
        *x = get_saved(b, at, w, a);
        sane = *at != WIRE_BAD && x->index >= 0 && x->index < most && !seen[x->index];
        if (sane) seen[x->index] = true;
    }
    free(seen);
    return sane;
}

int wire_get_saved(const struct wire *b, struct saved *s, int n_unit, const struct workload *w,
                   struct arena *a) {
    enum { TASKS_MAX = 1 << 24 };
    size_t at = 0;
    *s = (struct saved){0};
    if (get_u64(b, &at) != FORM) return 1;
    s->chosen = get_int(b, &at) != 0;
    s->attempt = get_int(b, &at);
    s->step = get_int(b, &at);
    s->best = get_double(b, &at);
    s->n_front = get_count(b, &at, sizeof *s->front);
    s->front = ARENA_ARRAY(a, struct point, s->n_front + 1);
    get(b, &at, s->front, sizeof *s->front * (size_t)s->n_front);
    if (!get_all_saved(b, &at, n_unit, &s->n_unit, &s->unit, w, a)) return -1;
    s->n_task = get_int(b, &at);
    if (s->n_task < 0 || s->n_task > TASKS_MAX) return -1;
    if (!get_all_saved(b, &at, s->n_task, &s->n_done, &s->done, w, a)) return -1;
    return at <= b->n && b->n - at < 8 && s->attempt >= 0 && s->step >= 0 ? 0 : -1;
}
