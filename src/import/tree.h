#ifndef SAILOR_IMPORT_TREE_H
#define SAILOR_IMPORT_TREE_H
#include "base/names.h"
#include "io/json.h"
#include "sim/tables.h"
/* What every kind of import needs: trees of our own formats, collected in a list of outputs that is written
 * only when all input has been read; files below a folder; names. Includes nothing of the kinds. */

enum { PUBLISHED_MODELS_MAX = 64 };

/** Layer sizes of one model, from llm_info.json. */
struct sizes {
    const char *published;
    int n_layer;
    const double *params[TP_N], *act_mem[TP_N], *act_out; /* [n_layer] */
};

struct output {
    const char *path; /* below the output directory */
    cJSON *tree;
    struct output *next;
};

struct import {
    struct json_at facts;
    const char *source; /* of all published figures */
    const char *zone[ZONES_MAX], *gpu[GPUS_MAX];
    int n_zone, n_gpu;
    const char *model[PUBLISHED_MODELS_MAX], *published[PUBLISHED_MODELS_MAX]; /* our name, theirs */
    const cJSON *model_facts[PUBLISHED_MODELS_MAX];
    int n_model;
    struct sizes *sizes; /* [n_sizes]; n_sizes = -1 if there is no llm_info.json */
    int n_sizes;
    struct output *first, **last;
    struct arena arena;
    struct err *e;
};

/** Names become file names: nothing that could lead elsewhere. */
bool import_safe_name(const char *s);
/** The same of a value; -1 with *e set. */
int import_check_safe(const struct json_at *at, const char *name, struct err *e);
/** Index of a tensor-parallel degree spelled as a key, or -1. */
int import_degree(const char *key);

/** Call `one` for each element of the list `key` of the facts file, if it has one. -1 with *e set. */
int import_each(const char *dir, const char *key, struct import *m,
                int (*one)(const char *dir, const struct json_at *at, struct import *m));

/** A tree {"format", "name" (unless NULL), "source"} for import_put(). */
cJSON *import_new_file(const char *format, const char *name, const char *source);
cJSON *import_reals(const double *v, int n);
/** [c2, c1, c0, peak] */
cJSON *import_fit(const struct link *l);
/** A copy of from[from_key], if it is there, as to[key]. */
void import_copy(cJSON *to, const char *key, const cJSON *from, const char *from_key);
/** Keep a tree for the output file `path` (below the output directory). Takes the tree. */
void import_put(struct import *m, const char *path, cJSON *tree);

/** The artifact's folder holds sailor/; inside it files have the published paths. Shorter paths serve partial
 * copies. NULL: not there. */
const char *import_find_under(const char *dir, const char *rel, struct arena *a);
/** Sorted names in a directory, without hidden ones; their number (0: no such directory). */
int import_list_dir(const char *path, const char ***names, struct arena *a);
/** For qsort() of const char *. */
int import_by_name(const void *x, const void *y);
/** Tree of a file below dir (cJSON_Delete it), or NULL: not there (*missing), or *e set. */
cJSON *import_open(const char *dir, const char *rel, struct json_at *at, bool *missing, struct import *m);
/** Members "0", "1", ... of an object, in numerical order whatever their order in the file. */
int import_layers(const struct json_at *at, const cJSON *node[LAYERS_MAX], int *n, struct err *e);

/** {"fits", "rows"}: the known links of table[s->n_zone, s->n_gpu, ...] (site_link_slot()) by the names of
 * zones and GPU types. Equal fits are written once. */
cJSON *import_links(const struct link *table, const char *const *zone, int n_zone, const char *const *gpu,
                    int n_gpu, struct arena *scratch);

/** Short values and rows of numbers are on one line, others have a line per member, so that a change of one
 * figure changes one line. */
void import_write_value(struct text *t, const cJSON *node, int indent);

#endif
