/* Stages of one type each, in any order of types: layers [l, L) are covered, with so many times D GPUs of
 * each type. */
#include "search/fill_tables.h"

bool joint_size(struct fill *f) {
    int n = 1, several = 0;
    for (int k = 0; k < f->K; k++) {
        f->units[k] = f->cap[k][0] / f->D < f->U ? f->cap[k][0] / f->D : f->U;
        several += f->units[k] > 0;
        if (n > JOINT_STATES / (f->units[k] + 1)) return false;
        n *= f->units[k] + 1;
    }
    f->rows = 1;
    f->row = n;
    return several > 1;
}

/* From all states at layer e, a stage that ends there on type k. How many were tried. */
static uint64_t extend(struct fill *f, int e, int k, int ti, int stride, const int *live, int n_live) {
    uint64_t tried = 0;
    for (int i = e - 1; i >= 0; i--) {
        bool any = false;
        double time_s = f->server[at_layers(f, k, i, e)][ti].time_s;
        for (int x = 0; x < n_live; x++) {
            const struct label *from = &f->label[state(f, e, 0, live[x])];
            int used = live[x] / stride % (f->units[k] + 1), depth = from->depth + 1;
            if (used + (1 << ti) > f->units[k] || (used + (1 << ti)) * f->D > f->cap[k][ti]) continue;
            tried++;
            if (!fill_may_serve(f, k, ti, i, e, depth)) continue;
            any = true;
            reach(f, state(f, i, 0, live[x] + (stride << ti)),
                  (struct label){.sum = from->sum + time_s,
                                 .usd_per_s = from->usd_per_s + (f->D << ti) * f->usd_per_s[k],
                                 .prev = state(f, e, 0, live[x]),
                                 .depth = (short)depth,
                                 .k = (signed char)k,
                                 .ti = (signed char)ti,
                                 .end = (short)e});
        }
        if (!any && i < e - 1) break; /* longer stages take longer */
    }
    return tried;
}

void joint_run(struct fill *f) {
    enum { PER_STEP = 4 }; /* they take less than those of fill.c */
    int live[JOINT_STATES];
    uint64_t tried = 0;
    for (int e = f->L; e > 0; e--) {
        int n = 0;
        for (int s = 0; s < f->row; s++)
            if (f->label[state(f, e, 0, s)].sum < INFINITY) live[n++] = s;
        for (int k = 0, stride = 1; k < f->K; stride *= f->units[k++] + 1)
            for (int ti = 0; ti < TP_N; ti++)
                if (f->kind[f->part->gpu[k]][ti].ok) tried += extend(f, e, k, ti, stride, live, n);
    }
    f->steps += tried / PER_STEP;
}
