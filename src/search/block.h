#ifndef SAILOR_SEARCH_BLOCK_H
#define SAILOR_SEARCH_BLOCK_H
#include "search/solve.h"
/* Bounds for many units at once: those of one microbatch that have nearly the same number of replicas. */

struct block_unit {
    int mb, D;
};

struct block {
    int first, end;  /* of the units listed by microbatch, then by D */
    struct point lb; /* of all their plans, as unit_root_bound() */
};

/** Cut a list of n units into blocks to begin with; `out` has room for n. Units that are best looked at alone
 * are in none. Returns how many. */
int blocks_first(const struct space *s, const struct block_unit *unit, int n, struct block *out);

/** Cut a block into smaller ones, `out` has room for BLOCK_PARTS. Returns how many, 0: too small for that. */
enum { BLOCK_PARTS = 4 };
int block_split(const struct space *s, const struct block_unit *unit, const struct block *b,
                struct block *out);

/** Bound a block, unless a stop was wanted: then the bound does not count. */
void block_bound(struct workspace *w, const struct space *s, const struct block_unit *unit, struct block *b,
                 const struct goal *goal);

#endif
