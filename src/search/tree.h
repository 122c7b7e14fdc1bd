#ifndef SAILOR_SEARCH_TREE_H
#define SAILOR_SEARCH_TREE_H
#include "search/counts.h"
#include "search/grid.h"
#include "search/memo.h"
#include "search/proof.h"
#include "search/room.h"
#include "search/sides.h"
#include "search/window.h"
#include "sim/answer.h"
/* Depth-first search of one window, from the last stage of the pipeline to the first. */

struct tree_node; /* a partial plan: its last few stages */

/** A stage of the only plans that are to be found; pattern -1: it was not built. */
struct only_stage {
    int first, cls, pattern;
};

/** What a thread needs to search windows one after the other. */
struct tree {
    const struct space *s;
    struct window_tables *t;   /* with the window open */
    const struct mb_space *mb; /* of the unit */
    const struct unit *u;
    const struct goal *goal; /* offer() may improve it */
    struct proof *proof;
    offer_fn *offer; /* called with every plan that may be wanted */
    /* instead of offer() where zones are merged: called with bounds on plans that only the real zones can
     * rule out; may improve the goal too */
    void (*bound)(void *ctx, double time_lb, double cost_lb);
    bool lay_out;         /* instead of bound(): merged plans are laid out on the real zones (layout.h) */
    uint64_t layouts_max; /* partial layouts of one before it is left open */
    void *ctx;            /* of both */
    bool hurried;         /* candidates get few integer programs before they are left open */
    uint64_t examined;    /* partial plans so far, in all windows */
    uint64_t batch_end;   /* where to give up */
    struct bound_counts bounds;
    bool over; /* the last window was given up at batch_end */
    /* for tests: stages from the last to the first, found whatever else is no worse; NULL: all plans */
    const struct only_stage *only;

    struct memo *memo;
    struct room room;
    struct grid grid;
    struct sides sides;
    /* the path: stages from the last to the first */
    struct side_use side_use;    /* of the node whose children are being made */
    int *need_stack;             /* [depth][set] GPUs that are certainly taken */
    int *pack_stack;             /* [depth][cell][TP_N] replicas that certainly lie in the cell */
    double *surr_stack;          /* [depth][surrogate] */
    struct choice *path;         /* [depth] */
    struct tree_node **children; /* [depth] room */
    int *child_cap;
    struct arena scratch;
};

void tree_init(struct tree *v, struct window_tables *t, struct proof *proof, struct memo *memo,
               struct arena *a);
void tree_free(struct tree *v);

/** Search the open window until done (true), or until v->batch_end or a stop (false: v->over or
 * v->stopped). */
bool tree_search(struct tree *v);

#endif
