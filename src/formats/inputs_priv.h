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
/** A reader that was given "FILE: /path" as its file appends ": /path": one path reads better than two. */
void inputs_join_paths(const char *where, struct err *e);
char *inputs_dir_of(const char *path, struct arena *a);
/** File name without directory and .json. */
char *inputs_stem_of(const char *path, struct arena *a);
/** Read and parse a file. The text lives in the arena, the tree until cJSON_Delete. NULL with *e set. */
cJSON *inputs_tree(const char *path, const char **text, struct arena *a, struct err *e);

/** A file of the inputs directory `dir`. *text is NULL where it is not there and not needed. */
int inputs_text(const char *dir, const char *name, bool needed, const char **text, struct arena *a,
                struct err *e);

/* Where names are looked up; the directory is only asked for when a name needs it. */
struct lookup {
    const char *inputs;                 /* as given, may be NULL */
    const char *beside;                 /* directory of the file that names things, or NULL */
    const char *dir;                    /* resolved */
    const char *model_text, *site_text; /* given, not to be looked up; NULL: not */
    struct arena *arena;
    struct err *e;
};

/* A workload while it is being put together, with the texts it came from (for job->json). */
struct loaded {
    struct model *model;
    struct site *site;
    const struct profile **profile;                       /* [n_gpu] */
    struct platform *platform;                            /* [n_gpu]; NULL: not known */
    const struct framework *framework;                    /* NULL: as published */
    const char *model_text, *site_text, *frameworks_text; /* NULL if not kept */
    const char *profile_text[GPUS_MAX];
    const char *profile_dir[3]; /* where profiles of this model lie, first match wins */
};

/* A job that is being read. */
struct job_reader {
    struct job *job;
    struct loaded *l;
    const char *gpu[GPUS_MAX];
    char gpu_what[100], zone_what[100];
    struct arena *arena;
    struct err *e;
};

/** The rows of its pools (inputs_pools.c). */
int inputs_pools(const struct json_at *at, struct job_reader *r);

/** The model or site that a name or a path in `at` means. -1 with *e set. */
int inputs_load_model(const struct json_at *at, struct lookup *k, struct loaded *l);
int inputs_load_site(const struct json_at *at, struct lookup *k, struct loaded *l);
/** The model that l->model stands for, in place of it. */
int inputs_load_stand_in(struct lookup *k, struct loaded *l);
/** By what models of this kind are usually trained, until a job says it: in fp32 by Megatron-DeepSpeed, as
 * the published runs were; in 16 bit by Megatron-core, or where attention keeps its scores by Megatron-LM. */
const char *inputs_usual_framework(const struct model *m, const char *dtype);
/** The framework that a job or plan names, if any. */
int inputs_load_framework(const struct json_at *root, struct lookup *k, struct loaded *l);
/** The same of the frameworks that are stored with it, and what stores them: a member of an object, or "". */
int inputs_stored_framework(const struct json_at *stored, const struct json_at *root, struct lookup *k,
                            struct loaded *l);
const char *inputs_frameworks_member(const struct loaded *l, struct arena *a);
/** Where the profile of the model on a GPU type is; NULL: nowhere. */
const char *inputs_profile_path(int gpu, const char *dtype, const struct lookup *k, const struct loaded *l);
/** The profile of one GPU type for these options, of the job or plan `root`: GPU.DTYPE.json or GPU.json;
 * without a file, or where that was measured with others, it is estimated, if the model says what it is made
 * of and the GPU has a data sheet, or stays NULL. */
int inputs_load_profile(const struct json_at *root, int gpu, const char *dtype, const struct plan_options *o,
                        struct lookup *k, struct loaded *l);
/** Everything that a plan names, with every profile there is. */
int inputs_load_workload(const struct json_at *plan, const char *dtype, struct lookup *k, struct workload *w);
/** What was loaded as a workload of fp32 and adam, without a batch. */
struct workload inputs_workload(const struct loaded *l);
/* ---- inputs_platform.c ---- */

/** What devices.json and l->framework, or the usual one of this element type, say about the GPU types of
 * l->site, into l->platform and the links of l->site; NULL where they know none of them or the inputs lack
 * these files. -1 with *e set.
 */
int inputs_platform(struct loaded *l, const char *dtype, struct lookup *k);
/** Profiles as training has them, where p is not NULL. */
void inputs_in_training(const struct platform *p, const struct profile **profile, int n_gpu, int n_layer,
                        struct arena *a);
/** As a job stores it, and back; *p is NULL where there is nothing at `at`. */
const char *inputs_platform_text(const struct platform *p, const struct site *s, struct arena *a);
int inputs_platform_stored(const struct json_at *at, struct site *s, struct platform **p, struct arena *a,
                           struct err *e);

/* ---- inputs_options.c ---- */

/* What a job may choose from, or what a plan says. */
struct option_choices {
    bool recompute[RECOMPUTE_N], sequence_parallel[2], zero[2];
    int context_parallel; /* of a plan; 0: none */
};
/** recompute, zero and sequence_parallel of a job (`lists`: also several values each) or a plan; what it does
 * not say is the model's own. */
int inputs_options(const struct json_at *at, bool lists, const struct model *m, struct option_choices *c,
                   struct err *e);
/** Those that the sizes in the model's file are meant for. */
struct plan_options inputs_own_options(const struct model *m);

/* A choice of what changes layer times and sizes: all options but zero. */
struct options_mode {
    struct plan_options o;
    const struct model *model;
    double again[TP_N];             /* as in struct workload */
    const struct profile **profile; /* [n_gpu], the caller's to fill */
};
/** All modes that are to choose from, models filled in; their number. */
int inputs_modes(const struct option_choices *c, const struct model *m, struct options_mode **mode,
                 struct arena *a);
/** Is the profile one with these options, zero apart? */
bool inputs_profile_serves(const struct profile *p, const struct plan_options *o);
/** A profile without recomputation as one with: another forward pass of the blocks. NULL: what is asked is
 * not full recomputation, or changes more than that. */
const struct profile *inputs_profile_recomputed(const struct profile *p, const struct model *m,
                                                const struct plan_options *o, struct arena *a);
/* ---- inputs_memory.c ---- */

/* K with Adam where nothing else is known: docs/estimator.md, Memory. */
#define ADAM_STATE_BYTES 24
/** The memory of a profile. */
int inputs_rank_memory(const struct json_at *at, const struct model *m, const struct rank_memory **out,
                       struct arena *a, struct err *e);
/** The same with full recomputation of the blocks 1 .. last_block. NULL for NULL. */
const struct rank_memory *inputs_memory_recomputed(const struct rank_memory *r, const struct model *m,
                                                   int last_block, struct arena *a);
/** Take the memory of a workload from its profiles, if all that it has say something of it. */
void inputs_set_memory(struct workload *w, struct arena *a);

/* ---- inputs_options.c, again ---- */

int inputs_no_profile_for(const struct json_at *root, const struct profile *p, const struct plan_options *o,
                          struct err *e);
/** The workload, or where there is a choice its variants. */
void inputs_set_options(struct workload *w, const struct option_choices *c, const struct options_mode *mode,
                        int n_mode, struct arena *a);

/** What zero shards of a parameter's state: the optimizer's moments and the master weights. */
double inputs_shared_bytes(const struct workload *w);
/** dtype and optimizer of a job or a plan whose framework *w has already; the names may be NULL. */
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
/* A link by its name: a message takes latency_s and its bytes at rate_Bps; that of each of the GPUs that send
 * at once, or of the card that they share. */
struct link_preset {
    double rate_Bps, latency_s;
    bool per_node;
};
int inputs_link_preset(const struct json_at *at, struct link_preset *p, struct err *e);
/** The tree of a site with what it leaves to inputs/links.json and the data sheets of devices.json, and its
 * text, which then needs no other file. Takes `tree`; NULL with *e set. */
cJSON *inputs_fill_site(const char *path, cJSON *tree, struct lookup *k, const char **text);
/** A tensor-parallel degree as a key ("1", "2", "4", "8"). */
int inputs_degree(const struct json_at *at, int *ti, struct err *e);
/** What an object says of each degree: read(ctx, member, ti, e) for each; -1 ends it with *e set. */
int inputs_by_degree(const struct json_at *at, int (*read)(void *, const struct json_at *, int, struct err *),
                     void *ctx, struct err *e);
#endif
