#ifndef SAILOR_SEARCH_WIRE_H
#define SAILOR_SEARCH_WIRE_H
#include "search/solve.h"
/* Answers of units as messages to other ranks: a unit's index in its round, its answer without estimates
 * (they are computed again by whoever reads it). */

struct wire {
    unsigned char *bytes;
    size_t n, cap;
};

void wire_free(struct wire *b);

/** Append an answer. */
void wire_put_answer(struct wire *b, int index, const struct unit_answer *answer);

/** Read the answer at *at, which moves on behind it. Plans live in `a`. Returns the index. */
int wire_get_answer(const struct wire *b, size_t *at, struct unit_answer *answer, const struct workload *w,
                    struct arena *a);

#endif
