#ifndef SAILOR_FORMATS_RUNS_H
#define SAILOR_FORMATS_RUNS_H
#include "base/arena.h"
#include "base/err.h"
#include "sim/forecast.h"
#include <stdbool.h>
#include <stddef.h>
/* Tables of measured training runs, CSV with a header (docs/formats.md): one run per line with the shape of
 * the model, the GPU, the framework, the degrees, and what was measured. Also vTrain's own table, whose
 * columns say less. Not collective. */

struct measured_run {
    int line; /* in the file, the header being line 1 */
    const char *model, *gpu, *framework;
    struct run_setup setup;
    double time_s, peak_bytes; /* NAN where nothing was measured */
};

/** Is this text such a table, by its first line? */
bool runs_is_table(const char *text, size_t size);

/** Every row, in order. -1 with *e set (EXIT_INPUT): "FILE:LINE: column: what is wrong; expected ...". */
int runs_read(const char *file, const char *text, struct measured_run **runs, int *n, struct arena *a,
              struct err *e);
#endif
