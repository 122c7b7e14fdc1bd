#include "sim/training.h"

/* `most` are the same passes at the largest microbatch. */
static const double *launched(const double *pass_s, int micro_batch, const double *most_s, int largest,
                              int n_layer, double launch_bound, struct arena *a) {
    double *out = ARENA_ARRAY(a, double, n_layer);
    for (int l = 0; l < n_layer; l++) {
        double bound = most_s[l] * micro_batch / largest;
        out[l] = pass_s[l] <= 1.1 * bound ? pass_s[l] : fmax(bound, pass_s[l] * launch_bound);
    }
    return out;
}

const struct profile *profile_in_training(const struct profile *p, int n_layer, double launch_bound,
                                          struct arena *a) {
    if (!p || p->memory || !(launch_bound < 1)) return p;
    struct profile *q = ARENA_NEW(a, struct profile);
    struct layer_times *times = ARENA_ARRAY(a, struct layer_times, p->n_mb * TP_N);
    *q = *p;
    q->times = times;
    for (int i = 0; i < p->n_mb; i++)
        for (int ti = 0; ti < TP_N; ti++) {
            struct layer_times *t = &times[i * TP_N + ti];
            const struct layer_times *most = NULL;
            int largest = p->n_mb - 1;
            *t = p->times[i * TP_N + ti];
            if (!t->fwd_s) continue;
            while (!(most = &p->times[largest * TP_N + ti])->fwd_s) largest--;
            t->train_fwd_s =
                launched(t->fwd_s, p->mb[i], most->fwd_s, p->mb[largest], n_layer, launch_bound, a);
            t->train_bwd_s =
                launched(t->bwd_s, p->mb[i], most->bwd_s, p->mb[largest], n_layer, launch_bound, a);
        }
    return q;
}
