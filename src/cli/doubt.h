#ifndef SAILOR_CLI_DOUBT_H
#define SAILOR_CLI_DOUBT_H
#include "sim/plan.h"
#include <cjson/cJSON.h>
/* How far an estimate may be off (docs/explain.md, "Intervals"): for each GPU type the residuals of the
 * estimator, those of its data sheet where its layers are estimated, and the spread of its profile. */

struct cli_doubt {
    bool known;                              /* does inputs/residuals.json speak of this estimator? */
    double time[GPUS_MAX], memory[GPUS_MAX]; /* deviations of logarithms, by GPU type */
    const struct workload *low, *high;       /* the world at the ends of the intervals */
    const char *figures;                     /* those of residuals.json, by which --resume knows them again */
};
/** w has profiles; `estimator` is a name; `text` that of residuals.json, called `file`. Worlds live in a. -1
 * with *e set for a file that is wrong. */
int cli_doubt_of(struct cli_doubt *d, const struct workload *w, const char *estimator, const char *file,
                 const char *text, struct arena *a, struct err *e);
/** The path of residuals.json, `inputs` as --inputs. NULL with *e set. */
const char *cli_doubt_path(const char *inputs, struct arena *a, struct err *e);
/** cli_doubt_of() that file. Where it is missing or wrong nothing is known, which is a line on stderr. */
void cli_doubt_load(struct cli_doubt *d, const struct workload *w, const char *estimator, const char *inputs,
                    struct arena *a);
/** w in the world at quantile q, which --risk gives. Lives in a. NULL with *e set (EXIT_INPUT) if nothing is
 * known. */
struct workload *cli_doubt_world(const struct cli_doubt *d, const struct workload *w, double q,
                                 struct arena *a, struct err *e);
/** An iteration of a plan in a world, the rest being as in w; NAN if it cannot be estimated. */
struct cli_estimator;
double cli_time_in(const struct workload *world, struct cli_estimator *k, const struct workload *w,
                   const struct plan *p);

struct cli_interval {
    double low_s, high_s, low_bytes, high_bytes; /* NAN: not known */
};
/** Of a plan; w is its workload as it is expected. */
struct cli_interval cli_interval_of(const struct cli_doubt *d, struct cli_estimator *k,
                                    const struct workload *w, const struct plan *p);
/** About an estimate whose logarithm has these deviations. */
struct cli_interval cli_interval_about(double time_s, double peak_bytes, double time, double memory);
/** Its keys of a JSON object. */
void cli_interval_json(cJSON *o, const struct cli_interval *x);
/** "9 of 10 such runs take 1.12 to 1.60 s, with a peak of 13.24 to 15.67 GiB"; NULL: not known */
const char *cli_interval_text(const struct cli_interval *x, struct arena *a);

/* How many measured runs lie within their intervals. */
struct cli_coverage {
    int times, times_within, peaks, peaks_within;
};
/** Counts a run; what is NAN, measured or known, does not count. */
void cli_coverage_add(struct cli_coverage *c, const struct cli_interval *x, double time_s, double bytes);
void cli_coverage_json(cJSON *o, const struct cli_coverage *c);
/** One line; NULL: nothing was counted. */
const char *cli_coverage_text(const struct cli_coverage *c, struct arena *a);
#endif
