#ifndef SAILOR_SEARCH_SIDES_H
#define SAILOR_SEARCH_SIDES_H
#include "search/window.h"
/* The crossing scope, where no all-reduce of the window can cross regions: each stage lies in one region. A
 * table tells the largest region from the others: what each side has, its all-reduces, and what stages pay
 * for sending from one to the other. docs/search.md, rule 26. */

enum { SIDES = 2, SIDE_TABLES = 2 };

/** GPUs that stages on each side take, as a surrogate weighs them. */
struct side_use {
    double of[SIDE_TABLES][SIDES];
};

/** One surrogate's table: [layer][changed][side of the last stage][side of the next][level][level], the least
 * sum of stage times that covers the first layers; `changed`: stages on both sides are among them. */
struct side_table {
    int k, top[SIDES];
    double cap[SIDES], level, *sum;
    size_t n, room; /* cells of a table; doubles in `sum` */
};

/** Of a thread; begin with sides_init(). */
struct sides {
    struct window_tables *t;
    bool on; /* built for the open window */
    int home, n_table;
    struct side_table table[SIDE_TABLES];
    const struct mb_space *mb; /* of `apart` */
    double *apart;             /* [side][class][layer] what sending to the other side takes beyond act_min */
    uint64_t work;             /* additions, since sides_effort() was asked */
};

/** Room for what units of any microbatch need, in `a`. */
void sides_init(struct sides *x, struct window_tables *t, struct arena *a);
void sides_free(struct sides *x);

/** The tables of the open window. False: of no use here, or stopped. *sum: least sum of stage times. */
bool sides_build(struct sides *x, double *sum);

/** What was built since this was asked last, in partial plans that take as long. */
uint64_t sides_effort(struct sides *x);

/** The side of a pattern that lies in one region. */
static inline int side_of(const struct sides *x, const struct pattern *p) {
    return p->regions != 1u << x->home;
}

/** Does the window have stages of this class and these layers on that side? */
bool side_has(const struct sides *x, int side, int cls, int first, int end);

/** Adds a stage of that class. */
void side_take(const struct sides *x, int side, int cls, struct side_use *use);

/** What a stage of the class pays at least for sending the output of a layer to the other side, beyond what
 * it pays to anyone. */
static inline double side_excess(const struct sides *x, int side, int cls, int layer) {
    return x->apart[(side * x->mb->n_class + cls) * x->t->s->L + layer];
}

/** Stages take this much, the first of them, of layer l on, on this side: least sum of what is in front,
 * and what it pays for receiving its gradient from there beyond the least. `crossed`: neighbours so far lie
 * in different regions. INFINITY: there is no room. */
double sides_rest(const struct sides *x, int l, const struct side_use *use, int side, bool crossed, int cls);

#endif
