#ifndef SAILOR_CLI_WARM_H
#define SAILOR_CLI_WARM_H
#include "cli/cli.h"
/* Answers that are known from earlier: of a results file, of the rows before. They begin the search of a row,
 * and where their proof covers the row, they are its answer. */

struct warm_row {
    const struct nodes *nodes; /* [n_zone * n_gpu] of this job's site; NULL: the file does not tell */
    const int *count;          /* likewise */
    struct row_result answer;  /* plans in terms of this job's site */
    bool proven;               /* for this job: all but the pools is the same */
    const char *where;         /* "row 3", "OUT.h5: row 3" */
};

struct warm {
    int n, room;
    struct warm_row *row;
};

/** Add an answered row of `r`. */
void warm_add(struct warm *w, const struct results *r, int i, struct arena *a);

/** Add the rows of a results file (results_parse() without a job); plans that mean nothing on this job's site
 * or model are left out. `now`: what is asked now. */
void warm_add_file(struct warm *w, const char *path, const struct results *old, const struct results *now,
                   struct arena *a);

/** The plans of the nearest pools, nearest first: their number. */
int warm_seeds(const struct warm *w, const struct job *job, int row, const struct plan *const **seed,
               struct arena *a);

/** Is row `row` a part of a pool that is answered within `gap`, with plans that fit here? Then they are the
 * answer here: *out. */
bool warm_answers(const struct warm *w, const struct job *job, int row, double gap, struct row_result *out,
                  struct arena *a);

#endif
