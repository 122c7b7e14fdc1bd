#ifndef SAILOR_FORMATS_MEASURED_H
#define SAILOR_FORMATS_MEASURED_H
#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
/* The measurements of `sailor-train run` as other programs read them. */

extern const char measured_schema[]; /* "sailor-measurement/1" */

struct measured {
    const char *inputs_json;  /* {"plan": ..., "model": ..., "site": ...} */
    double iteration_time_s;  /* NAN: nothing measured */
    double peak_memory_bytes; /* of the fullest rank: on a GPU what the device holds, on a CPU the process */
};

/** Does the file begin as an HDF5 file does? */
bool measured_is_hdf5(const char *path);
/** Read one file. -1 with *e set (EXIT_INPUT) if it is damaged or of another kind. */
int measured_read(const char *path, struct measured *m, struct arena *a, struct err *e);
#endif
