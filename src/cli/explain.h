#ifndef SAILOR_CLI_EXPLAIN_H
#define SAILOR_CLI_EXPLAIN_H
#include "cli/cli.h"
#include "formats/inputs.h"
/* sailor simulate --explain: why an iteration takes so long, what limits the plan, and what would help. */

struct explain_question {
    const struct plan_entry *entry;
    const struct estimate *est; /* est->stage filled */
    struct cli_estimator *by;
    const struct job *job; /* NULL: none given */
    int row;
    const char *inputs; /* --inputs, or NULL */
};

/* What would take less time if `what` were faster. */
struct explain_help {
    const char *what, *how; /* "layers on A100-40", "10 % faster" */
    double gain;            /* part of the time (of the time per token) that is saved */
};

struct explain_limit {
    const char *what, *unit;
    double used, of;
    bool binds;
    const char *why;
};

struct explanation {
    struct cli_peaks peaks;
    struct cli_use use;
    bool closed; /* the pipeline's time is that of its slowest stage and a round through all */
    int n_help, n_limit;
    struct explain_help *help; /* by gain, the largest first */
    struct explain_limit *limit;
};

/** What there is to say; of an estimate that has stages. */
void explain_find(const struct explain_question *q, struct explanation *x, struct arena *a);

/** In a line, what the plan is up against: memory, limits of the job, GPUs that are all used. */
const char *explain_binding(const struct explain_question *q, const struct cli_use *use, struct arena *a);

/** As tables. */
void explain_print(const struct explain_question *q, FILE *out, struct arena *a);
/** The same as the member "explain" of o, and the figures of cli_use_json() beside it. */
void explain_json(const struct explain_question *q, cJSON *o, struct arena *a);
#endif
