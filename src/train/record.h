#ifndef SAILOR_TRAIN_RECORD_H
#define SAILOR_TRAIN_RECORD_H
#include "io/mpx.h"
#include "train/measure.h"
#include <stdio.h>
/* What the ranks of a run measured, gathered on rank 0 into a struct measure, and shown to people and
 * programs. */

/** Rank 0 learns where each rank stands in the plan, what it runs on and how much memory it has held.
 * Collective. -1 with the same *e on all ranks (EXIT_INTERNAL). */
int record_ranks(struct measure *m, struct trainer *t, const struct mpx *world, struct err *e);

/* What all ranks know after a step. */
struct verdict {
    bool stop;   /* some rank was asked to stop */
    bool finite; /* the loss and all gradients */
    double loss;
};

/** Rank 0 adds a step to m. `asked`: this rank was asked to stop. Collective. -1 as above. */
int record_step(struct measure *m, struct trainer *t, const struct mpx *world, const struct step_result *r,
                bool warmup, bool asked, struct verdict *v, struct err *e);
/** The loss on held-out sequences after the step that was added last, the sum of these shares. Returned on
 * all ranks. Collective. */
double record_held_out(struct measure *m, const struct mpx *world, double share);

/* On rank 0: the last step as a JSON object or as a line for people; the whole run in two lines. */
void record_print_json(const struct measure *m, FILE *out);
void record_print_line(const struct measure *m, FILE *out);
void record_print_summary(const struct measure *m, FILE *out);
#endif
