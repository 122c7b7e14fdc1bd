#ifndef SAILOR_FORMATS_INPUTS_PRIV_H
#define SAILOR_FORMATS_INPUTS_PRIV_H
#include "base/names.h"
#include "formats/inputs.h"
#include "io/json.h"
/* What the readers of input files share (inputs.c and inputs_*.c), and nobody else. */

enum { BATCH_MAX = 100000000, MICRO_BATCH_MAX = 65536, COUNT_MAX = 1000000, REPLICAS_MAX = 1000000 };

enum { DTYPES = 3 };
extern const char *const inputs_dtypes[DTYPES]; /* "fp32", "bf16", "fp16" */

/* ---- inputs.c: files, and what names mean ---- */

/** The part before the last '/', "." if there is none. */
char *inputs_dir_of(const char *path, struct arena *a);
/** File name without directory and .json. */
char *inputs_stem_of(const char *path, struct arena *a);
/** Read and parse a file. The text lives in the arena, the tree until cJSON_Delete. NULL with *e set. */
cJSON *inputs_tree(const char *path, const char **text, struct arena *a, struct err *e);

/* Where names are looked up; the directory is only asked for when a name needs it. */
struct lookup {
    const char *inputs; /* as given, may be NULL */
    const char *beside; /* directory of the file that names things, or NULL */
    const char *dir;    /* resolved */
    struct arena *arena;
    struct err *e;
};

/* A workload while it is being put together, with the texts it came from (for job->json). */
struct loaded {
    struct model *model;
    struct site *site;
    const struct profile **profile;     /* [n_gpu] */
    const char *model_text, *site_text; /* NULL if not kept */
    const char *profile_text[GPUS_MAX];
    const char *profile_dir[3]; /* where profiles of this model lie, first match wins */
};

/** The model or site that a name or a path in `at` means. -1 with *e set. */
int inputs_load_model(const struct json_at *at, struct lookup *k, struct loaded *l);
int inputs_load_site(const struct json_at *at, struct lookup *k, struct loaded *l);
/** The profile of one GPU type, GPU.DTYPE.json or GPU.json; without a file it is estimated, where the model
 * says what it is made of and the GPU has a data sheet, or stays NULL. */
int inputs_load_profile(int gpu, const char *dtype, struct lookup *k, struct loaded *l);
/** All of it, with every profile there is. */
int inputs_load_workload(const struct json_at *model, const struct json_at *site, const char *dtype,
                         struct lookup *k, struct workload *w);
/** What was loaded as a workload of fp32 and adam, without a batch. */
struct workload inputs_workload(const struct loaded *l);
/** dtype and optimizer of a job or a plan; the names may be NULL. */
int inputs_training(const struct json_at *at, const char **dtype, const char **optimizer, struct workload *w,
                    struct err *e);

/* ---- one kind of file each. `name`: what it must call itself, or NULL if any name will do; `stem`: its name
 * if it gives none ---- */

int inputs_model(const struct json_at *at, const char *name, const char *stem, struct model *m,
                 struct arena *a, struct err *e);
int inputs_profile(const struct json_at *at, const struct model *m, struct profile *p, struct arena *a,
                   struct err *e);
int inputs_site(const struct json_at *at, const char *name, const char *stem, struct site *s, struct arena *a,
                struct err *e);
/** A tensor-parallel degree as a key ("1", "2", "4", "8"). */
int inputs_degree(const struct json_at *at, int *ti, struct err *e);
#endif
