#ifndef SAILOR_SEARCH_GRID_H
#define SAILOR_SEARCH_GRID_H
#include "search/counts.h"
#include "search/window.h"
/* What the rest of a pipeline costs at least within several resources at once: a table over the layers and
 * one axis per (region, GPU type), in levels of a share of D GPUs. It takes as long as a thousand
 * partial plans or more, and closes windows that no single weighted sum of GPUs closes: docs/search.md,
 * rule 20. */

enum { GRID_AXES = 6, GRID_LIST = 48 };

struct grid_vector {
    unsigned char level[GRID_AXES];
};

/** Whether a price helps in a scope, once that was tried. */
struct grid_trial {
    int scope; /* -1: not tried */
    bool priced;
};

/** What the stages of a partial plan take at least: one of these. */
struct grid_list {
    int n;
    struct grid_vector v[GRID_LIST];
};

/** Of a thread; begin with a zeroed struct. */
struct grid {
    struct window_tables *t;
    bool worthwhile;                                     /* several GPU types, zones all apart */
    bool on;                                             /* built for the open window */
    const struct unit *u;                                /* of the vectors; NULL: none */
    int scope, D;                                        /* likewise */
    int n_axis, Q, cap[GRID_AXES], stride[GRID_AXES], n; /* n: cells of a layer's table */
    int n_tag;                /* regions, and stages over several, where crossing counts; else 1 */
    double weight[GRID_AXES]; /* least of a GPU, in the first surrogate */
    signed char *axis;        /* [cell] -1: not in the scope */
    int *first; /* [pattern + class + 1] vectors of a pattern; of a class that has patterns not built */
    struct grid_vector *vector;
    int n_vector, cap_vector, of_one; /* of_one: where those of the present one begin */
    struct grid_vector *digits;       /* [cell] */
    double price, budget; /* added per weighted GPU to a stage's time, and taken off again for all of them */
    bool priced;          /* a price helps */
    bool tried;
    struct grid_trial known; /* from elsewhere */
    uint64_t work;           /* additions, since grid_effort() was asked */
    double *in[2];           /* [not crossed, crossed][tag][layer][cell] */
    size_t cap_in;
    struct grid_list *path; /* [depth] */
};

/** Room for the lists of a path, in `a`. */
void grid_init(struct grid *g, struct window_tables *t, struct arena *a);
void grid_free(struct grid *g);

/** Another unit, of which this is known. */
void grid_forget(struct grid *g, struct grid_trial known);

/** What was tried last for this unit. */
struct grid_trial grid_tried(const struct grid *g);

/** The table of the open window. False: of no use here, or stopped. *sum: least sum of stage times of a
 * plan. */
bool grid_build(struct grid *g, double *sum);

/** What was built since this was asked last, in partial plans that take as long. */
uint64_t grid_effort(struct grid *g);

/** The stages of the path up to `depth`, the last of them of this pattern, over which sums of `used` weighted
 * GPUs are taken: least sum of what is in front of layer l. INFINITY: no room. */
double grid_rest(struct grid *g, int depth, int pattern, int l, double used, bool crossed);

#endif
