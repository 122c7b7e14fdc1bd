#ifndef SAILOR_CLI_PLAN_H
#define SAILOR_CLI_PLAN_H
#include "cli/warm.h"
/* What the commands that plan the rows of a job have in common: plan itself, and those that ask it for rows
 * of their own or tell something else of the answers. */

/** Where their options go. */
struct plan_arguments {
    const char *out, *resume, *warm, *inputs;
    bool force, json, quiet, corrected;
    int objective, planner, estimator, top, threads, states;
    double time_limit, gap, risk;
    struct job_line line; /* of plan alone */
};
extern struct plan_arguments plan_arguments;

/* Options that read the same in each of them. */
#define PLAN_OPTION_OBJECTIVE                                                                                \
    OPTION_CHOICE(0, "objective", NULL, &plan_arguments.objective,                                           \
                  "what to optimize, instead of the job's objective; frontier finds every trade-off "        \
                  "between time and cost in one search")
/* The same, of the commands that compare the best plans of rows. */
#define PLAN_OPTION_ROWS_OBJECTIVE                                                                           \
    OPTION_CHOICE(0, "objective", NULL, &plan_arguments.objective,                                           \
                  "what to optimize, instead of the job's objective")
#define PLAN_OPTION_ROWS_ESTIMATOR                                                                           \
    OPTION_CHOICE(0, "estimator", NULL, &plan_arguments.estimator,                                           \
                  "what estimates plans: native (the default), sailor's own estimator, or sailor, the "      \
                  "published simulator")
#define PLAN_OPTION_ROWS_OUTPUT                                                                              \
    OPTION_TEXT(                                                                                             \
        'o', "output", "OUT.h5", &plan_arguments.out,                                                        \
        "write results, proofs and inputs to this HDF5 file, as plan does; --warm can start from it")
#define PLAN_OPTION_ESTIMATOR                                                                                \
    OPTION_CHOICE(0, "estimator", NULL, &plan_arguments.estimator,                                           \
                  "what estimates plans: native, sailor's own estimator (the default for exact), or "        \
                  "sailor, the published simulator (the default for the published planners)")
#define PLAN_OPTION_GAP                                                                                      \
    OPTION_REAL(0, "gap", "G", 0, 1, &plan_arguments.gap,                                                    \
                "where an exact proof takes long, accept a proof within this relative gap (default 0.01); "  \
                "0 insists on an exact proof")
#define PLAN_OPTION_WARM                                                                                     \
    OPTION_TEXT(0, "warm", "OUT.h5", &plan_arguments.warm,                                                   \
                "start from the plans of an earlier result; counts, prices or links may have changed since")
#define PLAN_OPTION_RISK                                                                                     \
    OPTION_REAL(0, "risk", "R", 0.5, 0.9999, &plan_arguments.risk,                                           \
                "plan with the R quantile of times and memory instead of their expected values, judging by " \
                "how far off estimates have been; 0.95 is the upper end of the intervals shown")
#define PLAN_OPTION_OUTPUT                                                                                   \
    OPTION_TEXT('o', "output", "OUT.h5", &plan_arguments.out,                                                \
                "write results, proofs and inputs to this HDF5 file, from which --resume continues")
#define PLAN_OPTION_QUIET OPTION_FLAG('q', "quiet", &plan_arguments.quiet, "print no progress lines")
#define PLAN_OPTION_THREADS                                                                                  \
    OPTION_INT(0, "threads", "N", 1, 4096, &plan_arguments.threads,                                          \
               "threads per rank; default: $OMP_NUM_THREADS, then the CPUs of the node divided among its "   \
               "ranks")
#define PLAN_OPTION_TIME_LIMIT                                                                               \
    OPTION_REAL(0, "time-limit", "S", 0, 1e9, &plan_arguments.time_limit,                                    \
                "stop after S seconds with the best plans so far (exit status 75)")

/* All that commands take which compare the best plans of rows. */
#define PLAN_OPTIONS_OF_ROWS                                                                                 \
    PLAN_OPTION_ROWS_OBJECTIVE, PLAN_OPTION_ROWS_ESTIMATOR, PLAN_OPTION_GAP, PLAN_OPTION_RISK,               \
        PLAN_OPTION_WARM, OPTION_GROUP("output"), PLAN_OPTION_ROWS_OUTPUT,                                   \
        PROGRAM_OPTION_FORCE(&plan_arguments.force),                                                         \
        OPTION_FLAG(0, "json", &plan_arguments.json, "print one JSON object per row instead of the table"),  \
        PLAN_OPTION_QUIET, OPTION_GROUP("running"), PLAN_OPTION_THREADS, PLAN_OPTION_TIME_LIMIT,             \
        PROGRAM_OPTION_INPUTS(&plan_arguments.inputs)

/** How a command differs from plan. Functions may be NULL; all ranks call them in the same order. */
struct plan_mode {
    const struct opt_command *command;
    struct opt *options; /* its table, whose choices are filled in */
    bool chain;          /* a row begins with the answers of the rows before it */
    void *ctx;
    /** The job to be planned, as the text of a job file, from the one that was named. NULL with *e set. */
    const char *(*derive)(void *ctx, const struct job *job, const char *text, const char *path,
                          struct arena *a, struct err *e);
    /** Row i is answered: it may be changed before it is shown and stored. */
    void (*answered)(void *ctx, struct results *r, int i, struct arena *a);
    /** Rank 0: row i, in place of plan's output; and what comes after the last. */
    void (*show)(void *ctx, const struct results *r, int i, struct cli_gauge *gauge, struct arena *a);
    void (*end)(void *ctx, const struct results *r, struct cli_gauge *gauge, struct arena *a);
};

/** The whole command. */
int plan_main(const struct plan_mode *mode, int argc, char **argv);

#endif
