#ifndef SAILOR_FORMATS_JOB_ROWS_H
#define SAILOR_FORMATS_JOB_ROWS_H
#include "formats/inputs.h"
/* Jobs made of others: the same but for their rows. */

/** A row in the making. */
struct pool_change {
    double time_s;
    int n;
    struct pool_entry *entry; /* [n] */
    int *per_node;            /* [n] GPUs of a node of that entry */
};

/** A copy of a row that was read from a file, with room for more entries. */
void pool_change_begin(struct pool_change *c, const struct pool *from, const struct site *s, struct arena *a);

/** n more GPUs (n < 0: fewer) in nodes of the type's size. 0, or where the row has fewer than that, how many
 * are missing, as a negative number. At most one new entry for each zone and type. */
int pool_change_add(struct pool_change *c, const struct site *s, int zone, int gpu, int n);

/** The text of a job file with these rows in place of its own; `text` has been read without error. NULL with
 * *e set: out of memory. */
const char *job_with_rows(const char *path, const char *text, const struct pool_change *row, int n,
                          const struct site *s, struct arena *a, struct err *e);

#endif
