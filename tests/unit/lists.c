#include "lists.h"

#include <string.h>

static void check_plan(const struct question *q, const struct plan *p, bool zones_hold) {
    const struct site *s = q->w->site;
    struct err e;
    int have[ZONES_MAX * GPUS_MAX];
    assert_int_equal(p->global_batch_size, q->w->global_batch_size);
    assert_string_equal(p->model, q->w->model->name);
    assert_string_equal(p->site, s->name);
    assert_true(p->micro_batch_size >= 1 && p->n_pipeline >= 1);
    for (int i = 0; i < p->n_pipeline; i++) {
        int next = 0;
        for (int k = 0; k < p->pipeline[i].n_stage; k++) {
            const struct stage *st = &p->pipeline[i].stage[k];
            assert_int_equal(st->first, next);
            assert_true(st->end > st->first && st->n_group >= 1);
            assert_true((long)stage_replicas(st) * p->micro_batch_size <= p->global_batch_size);
            for (int g = 0; g < st->n_group; g++) {
                assert_true(st->group[g].count >= 1 && tp_index(st->group[g].tp) >= 0);
                assert_true(st->group[g].tp <= s->gpu[st->group[g].gpu].gpus_per_node);
            }
            next = st->end;
        }
        assert_int_equal(next, q->w->model->n_layer);
    }
    for (int z = 0; z < s->n_zone; z++)
        for (int g = 0; g < s->n_gpu; g++) {
            int n = q->pool->count[z * s->n_gpu + g];
            for (int k = 0; k < s->n_zone && !zones_hold; k++)
                if (k != z) n += q->pool->count[k * s->n_gpu + g];
            have[z * s->n_gpu + g] = n;
        }
    if (plan_check_pool(p, s, have, NULL, "plan", &e)) fail_msg("%s", e.text);
}

struct answer list_of(const struct planner *pl, const struct question *q, bool zones_hold, struct arena *a) {
    struct answer x;
    struct err e;
    if (pl->propose(q, &x, a, &e)) fail_msg("%s", e.text);
    struct proposal *all = ARENA_ARRAY(a, struct proposal, x.n);
    for (int i = 0; i < x.n; i++) {
        all[i] = x.proposal[i];
        if (!all[i].plan) all[i].plan = x.build(&x, all[i].id, a);
        check_plan(q, all[i].plan, zones_hold);
    }
    x.proposal = all;
    return x;
}

struct pool *list_pool(const struct site *s, unsigned seed, struct arena *a) {
    static const char *const zones[] = {"us-central1-a", "us-central1-b", "us-west1-b"};
    static const char *const gpus[] = {"A100-40", "V100-16"};
    struct pool *p = ARENA_NEW(a, struct pool);
    int *count = ARENA_ARRAY(a, int, s->n_zone * s->n_gpu);
    struct pool_entry *entry = ARENA_ARRAY(a, struct pool_entry, 6);
    unsigned x = seed * 2654435761u + 1;
    for (int i = 0; i < 6; i++) {
        int z = 0, g = 0;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        if (p->n_entry && x % 2) continue;
        while (strcmp(s->zone[z], zones[i % 3])) z++;
        while (strcmp(s->gpu[g].name, gpus[i / 3])) g++;
        count[z * s->n_gpu + g] = (int)(x >> 8) % 5 ? (int)(x >> 12) % 40 : 0;
        entry[p->n_entry++] = (struct pool_entry){z, g, count[z * s->n_gpu + g]};
    }
    if (seed % 2 && p->n_entry > 1) { /* in either order */
        struct pool_entry first = entry[0];
        entry[0] = entry[p->n_entry - 1];
        entry[p->n_entry - 1] = first;
    }
    p->time_s = NAN;
    p->count = count;
    p->entry = entry;
    return p;
}

void list_each(const struct planner *pl, bool zones_hold,
               void (*see)(const struct question *q, const struct answer *x)) {
    static const char *const names[] = {"fig7", "fig8b", "fig10", "fig11", "fig12"};
    static const int batches[] = {1024, 96, 100, 7, 1, 720};
    struct arena a = {0};
    for (int f = 0; f < 5; f++) {
        struct job *j = fig_job(names[f], &a);
        int n = j->n_pool + (f == 0 ? 24 : 0);
        for (int i = 0; i < 2 * n; i++) {
            struct question q = fig_question(pl, j, i / 2 % j->n_pool, i % 2, &a);
            struct workload w = j->workload;
            if (i / 2 >= j->n_pool) {
                q.pool = list_pool(w.site, (unsigned)i / 2, &a);
                w.global_batch_size = batches[i / 2 % 6];
                q.objective = i / 2 % 3 ? OBJECTIVE_THROUGHPUT : OBJECTIVE_COST;
                q.w = &w;
            }
            struct arena scratch = {0};
            struct answer x = list_of(pl, &q, zones_hold || q.corrected, &scratch);
            see(&q, &x);
            arena_free(&scratch);
        }
    }
    arena_free(&a);
}

const char *list_shape(const struct plan *p, struct arena *a) {
    const char *text = "";
    for (int k = 0; k < p->pipeline->n_stage; k++) {
        const struct stage *st = &p->pipeline->stage[k];
        text = arena_printf(a, "%s%s%dx%d", text, k ? "," : "", st->end - st->first, stage_replicas(st));
    }
    return text;
}
