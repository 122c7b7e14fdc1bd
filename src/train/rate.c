#include "train/rate.h"

#include <math.h>
#include <stddef.h>

const char *const rate_shapes[] = {"constant", "linear", "cosine", "wsd", NULL};

double rate_at(const struct rate *r, long step) {
    long first = r->shape == RATE_WSD ? r->total - r->decay : r->warmup;
    if (step <= r->warmup) return r->peak * (double)step / (double)r->warmup;
    if (r->shape == RATE_CONSTANT || step <= first) return r->peak;
    if (step >= r->total) return r->peak * r->end;
    double x = (double)(step - first) / (double)(r->total - first);
    double left = r->shape == RATE_COSINE ? 0.5 * (1 + cos(acos(-1.0) * x)) : 1 - x;
    return r->peak * (r->end + (1 - r->end) * left);
}

int rate_check(const struct rate *r, struct err *e) {
    if (r->shape == RATE_CONSTANT) return 0;
    if (r->warmup >= r->total)
        return err_set(e, EXIT_INPUT,
                       "run: --rate-warmup %ld; expected less than the %ld steps of --rate-steps", r->warmup,
                       r->total);
    if (r->shape == RATE_WSD && r->warmup + r->decay > r->total)
        return err_set(
            e, EXIT_INPUT,
            "run: --rate-decay %ld; expected at most %ld, the steps of --rate-steps after the warm-up",
            r->decay, r->total - r->warmup);
    return 0;
}
