#include "sim/tables.h"

const struct workload *workload_variant(const struct workload *w, const struct plan_options *o) {
    for (int i = 0; i < w->n_variant; i++)
        if (plan_options_equal(&w->variant[i].options, o)) return &w->variant[i];
    return w;
}
