#ifndef SAILOR_SEARCH_WIRE_H
#define SAILOR_SEARCH_WIRE_H
#include "search/solve.h"
/* Answers of units as messages to other ranks: a unit's index in its round, its answer without estimates
 * (they are computed again by whoever reads it). And what a file holds of a proof that is on its way. */

struct wire {
    unsigned char *bytes;
    size_t n, cap;
};

/** Where reading is after something did not end. What is read then is zero. */
#define WIRE_BAD SIZE_MAX

void wire_free(struct wire *b);

/** Append an answer, and how long it took. */
void wire_put_answer(struct wire *b, int index, const struct unit_answer *answer, double seconds);

/** Read the answer at *at, which moves on behind it. Plans live in `a`. Returns the index. */
int wire_get_answer(const struct wire *b, size_t *at, struct unit_answer *answer, double *seconds,
                    const struct workload *w, struct arena *a);

/** An attempt at a unit, or what a task has found. */
struct saved_answer {
    int index; /* of the unit in its row, or of the task in its round */
    struct unit_answer answer;
    double seconds;
    /* of an attempt: */
    double best;  /* value of the plan that it has to beat */
    double bound; /* of its unit before */
    bool begun, lost;
};

/** A proof that is interrupted in the middle of a round. */
struct saved {
    bool chosen;       /* the round is a step, with all its units; else it is what comes before */
    int attempt, step; /* of all units; since it began */
    double best;       /* what plans of the step have to beat */
    int n_front;
    struct point *front;
    int n_unit; /* attempts on their way, in order */
    struct saved_answer *unit;
    int n_task, n_done; /* tasks of the round, and those done */
    struct saved_answer *done;
};

void wire_put_saved(struct wire *b, const struct saved *s);

/** Of a row of n_unit units. Returns 1 if it is of another form, of another version, and -1 if it is damaged.
 * What only the units themselves can tell is not checked. */
int wire_get_saved(const struct wire *b, struct saved *s, int n_unit, const struct workload *w,
                   struct arena *a);

#endif
