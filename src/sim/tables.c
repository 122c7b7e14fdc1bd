#include "sim/tables.h"

static int effective_count(const struct site *s, int zone, int gpu, int tp) {
    int have = s->counts[site_at(s, zone, gpu)];
    for (int ti = tp_index(tp); ti >= 0; ti--)
        if (have >> ti & 1) return ti;
    return -1;
}

const struct link *site_link(const struct site *s, int zone, int gpu, int tp, int zone2, int gpu2, int tp2) {
    int ti = effective_count(s, zone, gpu, tp), ti2 = effective_count(s, zone2, gpu2, tp2);
    if (ti < 0 || ti2 < 0) return NULL;
    const struct link *l = &s->link[site_link_slot(s, zone, gpu, ti, zone2, gpu2, ti2)];
    return l->known ? l : NULL;
}

const struct workload *workload_variant(const struct workload *w, const struct plan_options *o) {
    for (int i = 0; i < w->n_variant; i++)
        if (plan_options_equal(&w->variant[i].options, o)) return &w->variant[i];
    return w;
}

const struct layer_times *profile_times(const struct profile *p, int micro_batch, int tp) {
    int ti = tp_index(tp);
    if (!p || ti < 0) return NULL;
    for (int i = 0; i < p->n_mb; i++)
        if (p->mb[i] == micro_batch) {
            const struct layer_times *t = &p->times[i * TP_N + ti];
            return t->fwd_s ? t : NULL;
        }
    return NULL;
}
