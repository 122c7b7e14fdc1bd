#ifndef SAILOR_FORMATS_RESULTS_H
#define SAILOR_FORMATS_RESULTS_H
#include "formats/inputs.h"
#include "sim/answer.h"
/* The result of a search and its HDF5 file (schema: docs/results.md). The same file is the checkpoint: a file
 * with complete = 0 holds every finished work unit and the plans found so far, and --resume continues from
 * it. Files are written under a temporary name in the same directory and renamed, so that a reader never sees
 * half a file. */

struct results {
    bool complete;
    const char *command_line, *version, *host, *started_utc, *planner, *estimator;
    enum objective objective;
    int ranks, threads, top_k;
    double proof_gap;      /* what the run was asked to prove at least (--gap) */
    double risk;           /* of `plan --risk`: the quantile at which times were estimated; 0: as expected */
    const char *residuals; /* what `risk` made of times and memory; NULL: no risk, or an older file */
    double wall_s;         /* summed over resumed runs */
    const struct job *job;
    const char *inputs_json; /* job->json of the run that wrote the file */
    int n_row;
    struct row_result *row; /* [job->n_pool] */
};

/** Can `path` be created? Checks, before any search, that the directory exists and is writable and that
 * nothing is there (unless force). Returns 0, or -1 with *e set (EXIT_INPUT if it exists, EXIT_INTERNAL if
 * unwritable). */
int results_can_create(const char *path, bool force, struct err *e);

/** Write everything to `path` (temporary file, flush, rename). Called by one rank. -1: *e set
 * (EXIT_INTERNAL), and what stood at `path` before is untouched. */
int results_write(const char *path, const struct results *r, struct err *e);

/** Read a file written by results_write(), complete or not. Never trusts what it reads: a file that is cut,
 * damaged or not ours gives -1 with one line in *e (EXIT_INPUT). With `job` the plans refer to it: the stored
 * inputs must be the same (else the line names the first that differs), every plan must pass plan_check() and
 * be estimated as it was when the file was written. Without, r->job is a job of names only (site, zones, GPU
 * types, model, pools; no links, no profiles): enough to print and to export plans, whatever later versions
 * do to the input formats. job_from_json(r->inputs_json) gives the whole job. */
int results_read(const char *path, const struct job *job, struct results *r, struct arena *a, struct err *e);

/** The same from the bytes of the file (file_read_bytes()), so that one MPI rank can read and the others
 * parse. */
int results_parse(const char *path, const char *bytes, size_t size, const struct job *job, struct results *r,
                  struct arena *a, struct err *e);

#endif
