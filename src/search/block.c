/* Most units of a large pool are far from the optimum, and so are their neighbours. Bounding them all
 * together takes no longer than bounding one. */
#include "search/block.h"

/* Fewer units are not worth a bound of their own. */
static int fewest(const struct space *s) { return s->p->with & BOUND_BLOCK ? 2 : 4; }

/* Replicas may differ by this factor within a block, and so may microbatches. */
static double width(const struct space *s) { return s->p->with & BOUND_BLOCK ? INFINITY : 1.5; }

static bool belongs(const struct space *s, const struct block_unit *first, const struct block_unit *u) {
    if (u->mb != first->mb || u->D > width(s) * first->D) return false;
    const struct mb_space *mb = &s->mb[u->mb];
    return unit_microbatches(s, mb, first->D) <= width(s) * unit_microbatches(s, mb, u->D);
}

int blocks_first(const struct space *s, const struct block_unit *unit, int n, struct block *out) {
    int blocks = 0;
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && unit[i].D > 1 && belongs(s, &unit[i], &unit[end]);) end++;
        if (end - i >= fewest(s)) out[blocks++] = (struct block){.first = i, .end = end};
    }
    return blocks;
}

/* Where the number of microbatches changes next to `at`, if that leaves something on both sides. */
static int cut_near(const struct space *s, const struct block_unit *unit, const struct block *b, int at) {
    const struct mb_space *mb = &s->mb[unit[b->first].mb];
    int reach = (b->end - b->first) / (4 * BLOCK_PARTS);
    for (int k = 0; k <= reach; k++)
        for (int side = -1; side <= 1; side += 2) {
            int x = at + side * k;
            if (x > b->first && x < b->end &&
                unit_microbatches(s, mb, unit[x - 1].D) != unit_microbatches(s, mb, unit[x].D))
                return x;
        }
    return at;
}

int block_split(const struct space *s, const struct block_unit *unit, const struct block *b,
                struct block *out) {
    int n = b->end - b->first, parts = n / fewest(s), from = b->first;
    if (parts > BLOCK_PARTS) parts = BLOCK_PARTS;
    if (parts < 2) return 0;
    for (int k = 0; k < parts; k++) {
        int end = k + 1 == parts ? b->end : cut_near(s, unit, b, b->first + (int)((long)n * (k + 1) / parts));
        out[k] = (struct block){.first = from, .end = end};
        from = end;
    }
    return parts;
}

void block_bound(struct workspace *w, const struct space *s, const struct block_unit *unit, struct block *b,
                 const struct goal *goal) {
    const struct block_unit *least = &unit[b->first];
    b->lb = unit_root_bound(w, &s->mb[least->mb], least->D, unit[b->end - 1].D, goal);
}
