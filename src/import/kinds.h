#ifndef SAILOR_IMPORT_KINDS_H
#define SAILOR_IMPORT_KINDS_H
#include "import/tree.h"
/* The kinds of files that are imported, one file each (import_*.c). Called by import.c. */

/** One kind of output each, as far as `dir` has its files. -1 with *e set. */
int import_models(const char *dir, struct import *m);
int import_profiles(const char *dir, struct import *m);
int import_site(const char *dir, struct import *m);
int import_jobs(const char *dir, struct import *m);
int import_validation(const char *dir, struct import *m);

/* Their readers, as import_try() calls them one by one: -1 or NULL with *e set. */
int import_read_sizes(const struct json_at *at, struct import *m);
void import_put_models(struct import *m);
int import_read_times(const struct json_at *at, const char *file, struct import *m);
int import_read_profile(const struct json_at *at, const char *model, const char *gpu, const char *file,
                        struct import *m);
/** The site file; het, plain, intra, egress may each be missing (node NULL). */
int import_put_site(const struct json_at *het, const struct json_at *plain, const struct json_at *intra,
                    const struct json_at *egress, struct import *m);
int import_read_intra(const struct json_at *at, cJSON **tree, struct import *m);
int import_read_egress(const struct json_at *at, cJSON **tree, struct import *m);
/** The pools of a trace; its text is cut up. */
cJSON *import_read_trace(const char *file, const char *text, struct import *m);
cJSON *import_read_plan(const struct json_at *at, const char *name, const char *model, const char *site,
                        struct import *m);

/** The inputs of published planners, planners/PLANNER/..., as far as `dir` has them (import_*.c). */
int import_aceso(const char *dir, struct import *m);
int import_flashflex(const char *dir, struct import *m);
int import_galvatron(const char *dir, struct import *m);
int import_varuna(const char *dir, struct import *m);

#endif
