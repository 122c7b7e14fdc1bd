#ifndef SAILOR_BASE_NEAREST_H
#define SAILOR_BASE_NEAREST_H

/** The entry of names[n] (NULLs are skipped) that is spelt most like `text`, for "did you mean"; NULL if none
 * is near. */
const char *nearest_name(const char *text, const char *const *names, int n);
#endif
