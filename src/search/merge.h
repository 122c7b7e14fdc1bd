#ifndef SAILOR_SEARCH_MERGE_H
#define SAILOR_SEARCH_MERGE_H
#include "search/space.h"
/* The space with the zones of each region taken as one: a relaxation, for bounds alone. */

/** Are there regions of several zones? Else merging changes nothing. */
bool space_can_merge(const struct space *s);

/** Every (region, GPU type) is one cell: all its GPUs and nodes, its least price, and between two of them the
 * fastest link of any pair of members at every message size. Classes and their tables are those of `s`, which
 * must live on. A plan of `s` is worth no less than its image. NULL: stopped. */
struct space *space_merge(const struct space *s, struct arena *a);

#endif
