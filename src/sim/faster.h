#ifndef SAILOR_SIM_FASTER_H
#define SAILOR_SIM_FASTER_H
#include "base/arena.h"
#include "sim/plan.h"
/* The world with something in it made faster, so that another estimate says what that is worth. Pure. */

/** A copy of w and of its variants (*variant, w->n_variant of them), whose profiles and site may be
 * exchanged. Lives in a. */
struct workload *workload_changeable(const struct workload *w, struct workload **variant, struct arena *a);

/** The profile with all layers taking 1 / speed of their time; lives in a. A link with `speed` times its
 * bandwidth. */
struct profile *faster_profile(const struct profile *p, int n_layer, double speed, struct arena *a);
void faster_link(struct link *l, double speed);

/** The workload with the layers of GPU type `gpu` (-1: of all types) taking 1 / speed of their time. Lives in
 * a. */
struct workload *faster_layers(const struct workload *w, int gpu, double speed, struct arena *a);

/* Links between two ends, in both directions; the places are those of site_at(). */
struct link_ends {
    int place, other;
};

/** The workload with `speed` times the bandwidth between two ends, at all numbers of GPUs. Lives in a. */
struct workload *faster_links(const struct workload *w, struct link_ends ends, double speed, struct arena *a);

/** The pairs of ends whose links a plan may use, each once, into *ends; their number. */
int plan_links(const struct plan *p, const struct site *s, struct link_ends **ends, struct arena *a);

#endif
