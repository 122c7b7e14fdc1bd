#include "search/wire.h"
#include "base/oom.h"
#include "search/window.h"

#include <assert.h>
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
    memcpy(b->bytes + b->n, p, n);
    b->n += n;
}

static void put_int(struct wire *b, int x) { put(b, &x, sizeof x); }
static void put_double(struct wire *b, double x) { put(b, &x, sizeof x); }
static void put_u64(struct wire *b, uint64_t x) { put(b, &x, sizeof x); }

static void get(const struct wire *b, size_t *at, void *p, size_t n) {
    assert(*at + n <= b->n);
    memcpy(p, b->bytes + *at, n);
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
    pl->n_stage = get_int(b, at);
    pl->stage = ARENA_ARRAY(a, struct stage, pl->n_stage);
    for (int i = 0; i < pl->n_stage; i++) {
        struct stage *st = &pl->stage[i];
        st->first = get_int(b, at);
        st->end = get_int(b, at);
        st->n_group = get_int(b, at);
        st->group = ARENA_ARRAY(a, struct replicas, st->n_group);
        for (int k = 0; k < st->n_group; k++) {
            struct replicas *r = &st->group[k];
            r->gpu = get_int(b, at);
            r->zone = get_int(b, at);
            r->tp = get_int(b, at);
            r->count = get_int(b, at);
        }
    }
    return p;
}

void wire_put_answer(struct wire *b, int index, const struct unit_answer *x) {
    put_int(b, index);
    put_int(b, (int)x->status);
    put_double(b, x->lower_bound);
    put_double(b, x->gap);
    put_u64(b, x->nodes);
    put_u64(b, x->plans);
    put_u64(b, x->bounds.full);
    put_u64(b, x->bounds.grid);
    put_u64(b, x->bounds.laid);
    put_u64(b, x->bounds.chain);
    put(b, &x->proof, sizeof x->proof);
    put_double(b, x->image_lb);
    put(b, &x->tried, sizeof x->tried);
    put_int(b, x->opened);
    put_int(b, x->n_left);
    if (x->n_left) put(b, x->left, sizeof *x->left * (size_t)x->n_left);
    put_int(b, x->n_plan);
    for (int k = 0; k < x->n_plan; k++) put_plan(b, x->plan[k].plan);
}

int wire_get_answer(const struct wire *b, size_t *at, struct unit_answer *x, const struct workload *w,
                    struct arena *a) {
    int index = get_int(b, at);
    *x = (struct unit_answer){.status = (enum unit_status)get_int(b, at)};
    x->lower_bound = get_double(b, at);
    x->gap = get_double(b, at);
    x->nodes = get_u64(b, at);
    x->plans = get_u64(b, at);
    x->bounds.full = get_u64(b, at);
    x->bounds.grid = get_u64(b, at);
    x->bounds.laid = get_u64(b, at);
    x->bounds.chain = get_u64(b, at);
    get(b, at, &x->proof, sizeof x->proof);
    x->image_lb = get_double(b, at);
    get(b, at, &x->tried, sizeof x->tried);
    x->opened = get_int(b, at) != 0;
    x->n_left = get_int(b, at);
    x->left = ARENA_ARRAY(a, struct window, x->n_left + 1);
    if (x->n_left) get(b, at, x->left, sizeof *x->left * (size_t)x->n_left);
    x->n_plan = get_int(b, at);
    x->plan = ARENA_ARRAY(a, struct found_plan, x->n_plan + 1);
    for (int k = 0; k < x->n_plan; k++) x->plan[k].plan = get_plan(b, at, w, a);
    return index;
}
