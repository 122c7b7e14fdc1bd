#ifndef SAILOR_SEARCH_GRID_H
#define SAILOR_SEARCH_GRID_H
#include "search/counts.h"
#include "search/window.h"
/* What the rest of a pipeline costs at least within several resources at once: a table over the layers and
 * one axis per (region, GPU type), in levels of a share of D GPUs, with a price of each GPU. It takes as long
 * as a thousand partial plans or more, and closes windows that no single weighted sum of GPUs closes:
 * docs/search.md, rule 20. */

enum { GRID_LIST = 48, GRID_REGIONS = 4 };

/** Levels below 128, those beyond the axes 0. */
struct grid_vector {
    union {
        unsigned char level[8];
        uint64_t all;
    };
};

/** What the stages of a partial plan take at least: one of these vectors, for one of these prices. */
struct grid_list {
    int n;
    struct grid_vector v[GRID_LIST];
    double price[GRID_LIST];
};

/** The degrees of a stage: least GPUs of a replica on each axis, 0: none there; and how many replicas it has
 * there at least. */
struct grid_shape {
    int gpus[GRID_AXES], least;
};

/** The axes of a unit's scope, and what stages take of them: of each shape (patterns, then classes that have
 * patterns not built) all vectors of levels, and the least price of each. */
struct grid_axes {
    const struct window_tables *t;
    const struct unit *u; /* NULL: none */
    int scope, D;
    int n_axis, Q, cap[GRID_AXES], stride[GRID_AXES], n; /* n: cells of a layer's table; 0: it has no use */
    long gpus[GRID_AXES];
    double worth[GRID_AXES];  /* of a GPU at least, in the first surrogate */
    signed char *axis;        /* [cell] -1: not in the scope */
    struct grid_shape *shape; /* [pattern + class] */
    int *first;               /* [pattern + class + 1] vectors of a shape */
    struct grid_vector *vector;
    double *price, *least;              /* [vector]; [pattern + class] of its vectors */
    int n_vector, cap_vector, of_one;   /* of_one: where those of the present shape begin */
    struct grid_vector *digits;         /* [cell] */
    double price_of[GRID_AXES], budget; /* prices now, and those of all GPUs */
};

/** A way to run some layers in one place: without what its neighbours make it pay. */
struct grid_way {
    int cls, shape;
    double time_s;
};

/** Of a thread. */
struct grid {
    struct window_tables *t;
    bool worthwhile; /* several GPU types, zones all apart */
    bool on;         /* built for the open window */
    struct grid_axes x;
    int n_tag; /* where a stage lies: regions, and over several, where crossing counts; else 1 */
    const struct mb_space *mb; /* of `apart` */
    double *apart;             /* [tag][tag][class][layer] what sending there takes beyond act_min */
    struct grid_way *way;
    int cap_way, *way_of; /* [first][end][tag] and the end */
    double *least;        /* [first][end][tag before][tag][tag next] of a stage at the prices of now */
    double *front, *back; /* [layer][crossed][tag before][tag next] */
    bool *reached;        /* [layer][crossed][tag of the last stage][of the next] has cells in `in` */
    uint64_t work;        /* additions, since grid_effort() was asked */
    double *in[2];        /* [not crossed, crossed][tag of the last stage][of the next][layer][cell] */
    size_t cap_in;
    struct grid_list *path; /* [depth] */
};

/** Room for the lists of a path, in `a`. */
void grid_init(struct grid *g, struct window_tables *t, struct arena *a);
void grid_free(struct grid *g);

/** Another unit. */
void grid_forget(struct grid *g);

/** The table of the open window. False: of no use here, or stopped. *sum: least sum of stage times of a
 * plan. `price`: of a GPU on each axis, in seconds, to begin with and the best that were found. */
bool grid_build(struct grid *g, double price[GRID_AXES], double *sum);

/** What was built since this was asked last, in partial plans that take as long. */
uint64_t grid_effort(struct grid *g);

/** The stages of the path up to `depth`, the last of them of this pattern: least sum of what is in front of
 * layer l, and what that stage pays for receiving its gradient from there beyond the least. INFINITY: no
 * room. */
double grid_rest(struct grid *g, int depth, int pattern, int l, bool crossed);

/* ---- grid_axes.c ---- */

void grid_axes_init(struct grid_axes *x, const struct window_tables *t, struct arena *a);
void grid_axes_free(struct grid_axes *x);

/** The axes and vectors of the open window's unit and scope, with at most `cells` cells a layer; x->n == 0:
 * of no use. */
void grid_axes_choose(struct grid_axes *x, double cells);

/** Sets the least price of each vector. */
void grid_axes_price(struct grid_axes *x, const double price_of[GRID_AXES]);

/** Adds the GPUs that a stage of this shape takes on each axis where that price is least. */
void grid_axes_use(const struct grid_axes *x, int shape, int vector, double use[GRID_AXES]);

/** May its patterns be left out, so that it has a shape of its own? */
bool grid_left_out(const struct stage_class *cl);

static inline size_t grid_cell(const struct grid_axes *x, const struct grid_vector *v) {
    size_t at = 0;
    for (int a = 0; a < x->n_axis; a++) at += (size_t)v->level[a] * (size_t)x->stride[a];
    return at;
}

/** On no axis more than b? Byte by byte: no difference borrows. */
static inline bool grid_no_more(struct grid_vector a, struct grid_vector b) {
    const uint64_t TOP = UINT64_C(0x8080808080808080);
    return (((b.all | TOP) - a.all) & TOP) == TOP;
}

/* ---- grid_ways.c: a place is a region, or several of them (the last one) ---- */

/** Where a pattern lies. */
int grid_tag(const struct grid *g, unsigned regions);

/** May some replica of one of two neighbours send to one of the other in another region? */
static inline bool grid_may_cross(const struct grid *g, int tag, int next) {
    return g->n_tag > 1 && (tag != next || tag == g->n_tag - 1);
}

/** What a stage pays for sending the output of a layer to a neighbour there, beyond its least transfer. */
void grid_build_apart(struct grid *g);
double grid_apart(const struct grid *g, int from, int to, int cls, int l);

/** The stages that the open window has in each place. */
void grid_list_ways(struct grid *g);
const struct grid_way *grid_ways(const struct grid *g, int i, int e, int tag, int *n);

/** The time of such a stage between its neighbours at least; INFINITY: too long for the window. */
double grid_way_s(const struct grid *g, const struct grid_way *w, int i, int e, int before, int tag,
                  int next);

/** The least cost of all layers, if there were GPUs without end at the prices of now; less what all GPUs of
 * the pool cost, that is a bound on the sum of stage times. Then what covers cost in front of a layer and
 * from it on, and the cheapest stage [i, e). */
double grid_cover(struct grid *g);
double grid_front(const struct grid *g, int crossed, int last, int next, int l);
double grid_behind(const struct grid *g, int crossed, int last, int next, int l);
double grid_least_cost(const struct grid *g, int i, int e, int before, int tag, int next);

#endif
