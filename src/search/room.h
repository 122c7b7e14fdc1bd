#ifndef SAILOR_SEARCH_ROOM_H
#define SAILOR_SEARCH_ROOM_H
#include <stdint.h>

#include "search/counts.h"
#include "search/window.h"
/* Where zones are merged: zones differ in how fast their rings are, and each holds only so many stages. So
 * stages that all want the fastest zone raise the all-reduce that a window must allow for. */

enum { ROOM_LEVELS = 16 };

/** Of the open window: for some levels of its all-reduce, the cells of the pool in which a stage is within
 * it. */
struct room {
    bool on; /* zones are merged, and replicas have something to exchange */
    const struct window_tables *t;
    double edge[ROOM_LEVELS + 1];      /* from y_lo to y_hi */
    uint64_t (*mask)[ROOM_LEVELS + 1]; /* [class][range][level] cells of merged_from, filled when asked for */
    unsigned *filled, window;          /* [class][range] in which window */
    uint64_t *image;                   /* [merged cell] its cells of merged_from */
};

/** Room for the tables of any unit of the space, in `a`. */
void room_init(struct room *m, const struct window_tables *t, struct arena *a);

/** Begin with the open window. */
void room_begin(struct room *m);

/** The number of levels within which these stages (in any order) do not all find room, at least `known`,
 * which holds without the last one. More than ROOM_LEVELS: not in the window. */
int room_level(struct room *m, const struct choice *stage, int n, int known);

/** A hash of all that room_level() knows of a stage. */
uint64_t room_key(struct room *m, const struct choice *stage);

#endif
