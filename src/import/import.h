#ifndef SAILOR_IMPORT_IMPORT_H
#define SAILOR_IMPORT_IMPORT_H
#include "base/err.h"
#include <stddef.h>
/* The published artifact's files -> the project's own input files (both described in docs/formats.md). What
 * the artifact keeps in its code rather than in files (memory, prices, names, the limits of the figures)
 * comes from a facts file. */

/** Convert what is found under `dir`: the artifact's folder, its sailor/ folder, or any part of it with the
 * same file names (a directory of one's own profiles in that format). `facts`: path, or NULL for
 * facts/gcp.json of the inputs in use. Writes models/, profiles/, sites/, validation/ and jobs under `out`,
 * made if need be; files there with these names are replaced. Nothing is written unless everything could be
 * read. The output is the same bytes each time. Returns 0, or -1 with *e set. */
int import_run(const char *dir, const char *facts, const char *out, struct err *e);

enum import_kind {
    IMPORT_SIZES,
    IMPORT_TIMES,
    IMPORT_PROFILE,
    IMPORT_LINKS,
    IMPORT_INTRA,
    IMPORT_EGRESS,
    IMPORT_TRACE,
    IMPORT_PLAN,
    IMPORT_FACTS,
    IMPORT_KINDS
};

/** Read one file of a kind from memory and drop the result (text[size] is NUL): what the fuzz targets call.
 * `facts` is the text of a facts file. Returns 0, or -1 with *e set. */
int import_try(enum import_kind kind, const char *text, size_t size, const char *facts, struct err *e);

#endif
