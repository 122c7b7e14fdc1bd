#ifndef SAILOR_FORMATS_PUBLISHED_H
#define SAILOR_FORMATS_PUBLISHED_H
#include "base/arena.h"
#include "base/err.h"
/* What the published planners answered and what their estimators said (inputs/published/figures.json;
 * docs/formats.md): facts to compare our own figures with. */

struct published_walk {
    const char *figure, *planner;
    int row, oom_plans;
    double throughput_per_s, cost_usd_per_iteration, search_s; /* throughput 0: no plan */
};

struct published_estimate {
    const char *run, *estimator;
    double iteration_time_s, peak_memory_bytes; /* NAN = none published */
};

struct published {
    int n_walk, n_estimate;
    const struct published_walk *walk;
    const struct published_estimate *estimate;
};

/** Read a file of published answers. Returns 0, or -1 with *e set (EXIT_INPUT). */
int published_load(const char *path, struct published *p, struct arena *a, struct err *e);

/** The entry, or NULL. */
const struct published_walk *published_walk(const struct published *p, const char *figure, int row,
                                            const char *planner);
const struct published_estimate *published_estimate(const struct published *p, const char *run,
                                                    const char *estimator);

#endif
