#ifndef SAILOR_IMPORT_HOSTLIST_H
#define SAILOR_IMPORT_HOSTLIST_H
#include "base/arena.h"

/** The names that a list of Slurm's stands for, "node[01-03,7],login" -> node01, node02, node03, node7,
 * login; at most 100000. Their number, or -1: not such a list. */
int hostlist_expand(const char *list, const char ***names, struct arena *a);
#endif
