#ifndef SAILOR_FORMATS_RESIDUALS_H
#define SAILOR_FORMATS_RESIDUALS_H
#include "base/arena.h"
#include "base/err.h"
/* How far off estimates have been: inputs/residuals.json (docs/formats.md). `text` is the file, `file` its
 * name in messages. Not collective. */

/* Nine of ten measured runs lie within a factor of 1 + this of their estimate, either way. */
struct residual {
    double time, memory;
};

struct residuals {
    int n_estimator, n_sheet;
    const struct named_residual *estimator, *sheet;
    struct residual other_sheets; /* of GPU types that are not among them */
};
int residuals_read(const char *file, const char *text, struct residuals *r, struct arena *a, struct err *e);

/** Of an estimator with measured profiles; NULL: not known. */
const struct residual *residuals_estimator(const struct residuals *r, const char *name);
/** Of what is worked out from the data sheet of a GPU type. */
const struct residual *residuals_sheet(const struct residuals *r, const char *gpu);
#endif
