#include "formats/inputs_priv.h"

#include <math.h>
#include <string.h>

/* What a profile says about memory: what the trainer it was measured with needs on this GPU type. */

struct memory_reader {
    const struct model *m;
    struct rank_memory *out;
    struct arena *a;
};

static int read_degree(void *ctx, const struct json_at *at, int ti, struct err *e) {
    static const char *const keys[] = {"act_mem", "work", NULL};
    struct memory_reader *r = ctx;
    if (json_object(at, keys, e)) return -1;
    struct json_at act = json_member(at, "act_mem"), work = json_member(at, "work");
    r->out->act_mem[ti] = json_reals(&act, r->m->n_layer, 0, 1e15, r->a, e);
    return r->out->act_mem[ti] ? json_real(&work, 0, 1e15, &r->out->work[ti], e) : -1;
}

int inputs_rank_memory(const struct json_at *at, const struct model *m, const struct rank_memory **out,
                       struct arena *a, struct err *e) {
    static const char *const keys[] = {"process_bytes", "state_bytes_per_param", "message", "tp", NULL};
    struct memory_reader r = {m, ARENA_NEW(a, struct rank_memory), a};
    if (json_object(at, keys, e)) return -1;
    struct json_at process = json_member(at, "process_bytes"),
                   state = json_member(at, "state_bytes_per_param"), message = json_member(at, "message"),
                   tps = json_member(at, "tp");
    if (json_positive(&process, &r.out->process_bytes, e) ||
        json_positive(&state, &r.out->state_bytes_per_param, e) ||
        json_real(&message, 0, 1e15, &r.out->message, e) || inputs_by_degree(&tps, read_degree, &r, e))
        return -1;
    *out = r.out;
    return 0;
}

const struct rank_memory *inputs_memory_recomputed(const struct rank_memory *r, const struct model *m,
                                                   int last_block, struct arena *a) {
    if (!r) return NULL;
    struct rank_memory *x = ARENA_NEW(a, struct rank_memory);
    *x = *r;
    for (int ti = 0; ti < TP_N; ti++) {
        if (!r->act_mem[ti]) continue;
        double *act = ARENA_ARRAY(a, double, m->n_layer), again = 0;
        memcpy(act, r->act_mem[ti], sizeof *act * (size_t)m->n_layer);
        for (int l = 1; l <= last_block; l++) {
            act[l] = fmin(act[l], m->act_out[l - 1]);
            again = fmax(again, r->act_mem[ti][l] - act[l]);
        }
        x->act_mem[ti] = act;
        x->work[ti] += again;
    }
    return x;
}

/* The larger of the two, layer by layer; either may be NULL. */
static const double *larger(const double *x, const double *y, int n, struct arena *a) {
    if (!x || !y) return x ? x : y;
    double *z = ARENA_ARRAY(a, double, n);
    for (int i = 0; i < n; i++) z[i] = fmax(x[i], y[i]);
    return z;
}

void inputs_set_memory(struct workload *w, struct arena *a) {
    struct rank_memory all = {0};
    int n_layer = w->model->n_layer, n = 0;
    for (int g = 0; g < w->site->n_gpu; g++) {
        if (!w->profile[g]) continue;
        const struct rank_memory *r = w->profile[g]->memory;
        if (!r) return;
        n++;
        all.process_bytes = fmax(all.process_bytes, r->process_bytes);
        all.state_bytes_per_param = fmax(all.state_bytes_per_param, r->state_bytes_per_param);
        all.message = fmax(all.message, r->message);
        for (int ti = 0; ti < TP_N; ti++) {
            all.act_mem[ti] = larger(all.act_mem[ti], r->act_mem[ti], n_layer, a);
            all.work[ti] = fmax(all.work[ti], r->work[ti]);
        }
    }
    if (!n) return;
    struct model *m = ARENA_NEW(a, struct model);
    *m = *w->model;
    for (int ti = 0; ti < TP_N; ti++)
        if (all.act_mem[ti] && m->params[ti]) m->act_mem[ti] = all.act_mem[ti];
    w->model = m;
    if (!w->framework) w->state_bytes_per_param += all.state_bytes_per_param - ADAM_STATE_BYTES;
    w->process_bytes = all.process_bytes;
    w->message = all.message;
    memcpy(w->again, all.work, sizeof w->again);
}
