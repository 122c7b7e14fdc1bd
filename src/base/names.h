#ifndef SAILOR_BASE_NAMES_H
#define SAILOR_BASE_NAMES_H
#include "base/arena.h"

/** Index of `text` in names[n], or -1. */
int name_index(const char *const *names, int n, const char *text);

/** The entry of names[n] (NULLs are skipped) whose spelling is closest to `text`, for "did you mean"; NULL if
 * none is close. */
const char *name_nearest(const char *text, const char *const *names, int n);

/** "; did you mean NAME?" for the end of a message, "" where none is close. */
const char *name_hint(const char *text, const char *const *names, int n, struct arena *a);
#endif
