#ifndef SAILOR_FORMATS_INPUTS_H
#define SAILOR_FORMATS_INPUTS_H
#include "base/arena.h"
#include "base/err.h"
#include "sim/job.h"
/* Input files -> tables. Every reader is strict: wrong type, unknown key (the nearest known one is named),
 * duplicate key, number out of range, trailing text: one line "FILE: /json/path: what is wrong; expected
 * ...", code EXIT_INPUT. Formats: docs/formats.md. Everything read lives in the given arena. Not collective;
 * no MPI inside. */

/** Where inputs/ is: dir if not NULL, else $SAILOR_INPUTS, else inputs/ next to the program's tree
 * (build/../inputs, PREFIX/share/sailor/inputs). Returns a path owned by a, or NULL with *e set. */
const char *inputs_dir(const char *dir, struct arena *a, struct err *e);

/** The names in a folder of the inputs ("models", "sites", "profiles/opt-350m", "." for jobs), sorted, into
 * *names; their number, 0 if there is no such folder. */
int inputs_names(const char *inputs, const char *folder, const char ***names, struct arena *a);
/** The same of files that end in something else than .json; the names are without it. */
int inputs_names_ending(const char *inputs, const char *folder, const char *suffix, const char ***names,
                        struct arena *a);

/** Model, site and the profiles of that model (those that exist) by name or path. `element_bytes` etc. are
 * set for fp32/adam; global_batch_size is 0. Loaded once per (model, site) by callers that read many plans.
 */
int workload_load(const char *model, const char *site, const char *inputs, struct workload *w,
                  struct arena *a, struct err *e);

/** A model alone, by name or path, into w->model; the rest of *w is zero. */
int model_load(const char *model, const char *inputs, struct workload *w, struct arena *a, struct err *e);

/** A site alone, by name or path, into w->site, and its file's text; the rest of *w is zero. */
int site_load(const char *site, const char *inputs, struct workload *w, const char **text, struct arena *a,
              struct err *e);

/** The path of the site file that a name or a path means, whether or not it is there; NULL: no inputs/. */
const char *site_path(const char *site, const char *inputs, struct arena *a);

/** The path of the job called `name` in an inputs directory or its examples/; NULL if there is none. */
const char *job_named(const char *dir, const char *name, struct arena *a);

/** What a job on the command line means: a path, or the name of a job of the inputs ("fig7"). Never NULL; a
 * name that is neither is returned as it is, so that reading it gives the error. */
const char *job_path(const char *ref, const char *inputs, struct arena *a);

/** For a job that could not be read: if `ref` is not a path but an unknown name, *e says so and suggests the
 * nearest name. Otherwise *e is left alone. */
void job_name_unknown(const char *ref, const char *inputs, struct arena *a, struct err *e);

/** The same of measured runs, which are files of inputs/validation/ ("opt-350m-gh200"). */
const char *runs_path(const char *ref, const char *inputs, struct arena *a);
void runs_name_unknown(const char *ref, const char *inputs, struct arena *a, struct err *e);

/** A profile file's text for this model on a GPU type, estimated from the data sheet in devices.json;
 * `framework` NULL: the usual one; `o` NULL: the model's own options, else zero does not matter. Returns 0; 1
 * with *e set where there is no data sheet of that type, or where it has no units for `dtype`; -1 with *e set
 * for anything else. */
int profile_estimate(const struct model *m, const char *gpu, const char *dtype, const char *framework,
                     const struct plan_options *o, const char *inputs, const char **text, struct arena *a,
                     struct err *e);

/** A job file with everything it names. `text` is the content of the file `path` (so that one MPI rank can
 * read and the others parse the same bytes); NULL = read it here. Profiles: of the GPU types in its pools,
 * which must exist; with `every_profile` also those of the site's other types, where they exist (some
 * published planners look at them). */
int job_load(const char *path, const char *text, const char *inputs, bool every_profile, struct job *job,
             struct arena *a, struct err *e);

/** The same for a job that is not a file: `text` is what the file would contain, `name` its name and what
 * messages begin with. `model` and `site`, the texts of such files, stand for those that it names; NULL: they
 * are looked up. */
int job_load_text(const char *name, const char *text, const char *model, const char *site, const char *inputs,
                  bool every_profile, struct job *job, struct arena *a, struct err *e);

/** A job rebuilt from job->json alone: no file is read. */
int job_from_json(const char *text, struct job *job, struct arena *a, struct err *e);

/** Does every (zone, GPU type) that a pool row has, and every pair of zones in a row, have a price? Only
 * asked when the job has a money limit or an objective other than throughput; job_load() has asked it for the
 * file's own objective, a program that overrides the objective asks again. `where` starts the message.
 * Returns 0, or -1 with *e set. */
int job_check_prices(const struct job *job, const char *where, struct err *e);

/** One plan with the workload it belongs to and what the file says it measured. */
struct plan_entry {
    struct plan *plan;
    const struct workload *workload;             /* global batch, dtype, optimizer of this plan filled in */
    const char *where;                           /* "FILE: /plans/3" */
    double measured_time_s, measured_peak_bytes; /* NAN if absent */
};

/** A plan to be run: with the model and the site it names, and everything as one JSON text, from which the
 * other ranks and later readers get the same. A plan that is run needs no profile. */
struct training {
    struct plan *plan;
    struct workload workload;      /* profile is NULL */
    const char *dtype, *optimizer; /* "fp32", "adam" by default */
    const char *json;              /* {"plan": ..., "model": ..., "site": ...} */
};

/** Why sailor-train does not run such a plan, of what shows without its model: "/dtype: ...; expected ...",
 * in `a`; NULL if it does. */
const char *training_refusal(const struct plan *p, const char *dtype, const char *optimizer, struct arena *a);

/** A plan file that holds one plan. */
int training_load(const char *path, const char *inputs, struct training *t, struct arena *a, struct err *e);

/** The same from t->json alone: no file is read. `where` starts messages. */
int training_from_json(const char *text, const char *where, struct training *t, struct arena *a,
                       struct err *e);

/** A plan file: one plan, an array of plans, or {"plans": [...]}; or what `sailor-train run -o` measured
 * (HDF5). Every plan has passed plan_check(). */
int plans_load(const char *path, const char *inputs, struct plan_entry **entries, int *n, struct arena *a,
               struct err *e);

#endif
