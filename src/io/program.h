#ifndef SAILOR_IO_PROGRAM_H
#define SAILOR_IO_PROGRAM_H
#include "base/opt.h"
#include <stdio.h>
/* What the programs have in common: PROGRAM COMMAND ..., help, version, errors as one line on stderr, and a
 * check that all output was written. If a launcher started several processes, only one of them reports
 * problems with the command line, which is the same for all. */

/** Options that read the same wherever they appear (base/opt.h). */
#define PROGRAM_OPTION_INPUTS(at)                                                                            \
    OPTION_TEXT(0, "inputs", "DIR", at,                                                                      \
                "directory of the inputs (models/, profiles/, sites/); default: $SAILOR_INPUTS, then the "   \
                "one next to the program")
#define PROGRAM_OPTION_FORCE(at) OPTION_FLAG('f', "force", at, "overwrite an existing file")

struct program_command {
    const struct opt_command *command;
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns the exit status */
};

struct program {
    const char *name;       /* "sailor" */
    const char *head, *end; /* of the help: before the list of commands, and after it */
    const struct program_command *command;
    int n_command;
    void (*print_features)(FILE *out); /* what --version prints besides the common libraries */
};

/** Part of the initializer: a table of commands. */
#define PROGRAM_COMMANDS(table) .command = table, .n_command = sizeof table / sizeof *(table)

/** The whole of main(). */
int program_main(const struct program *p, int argc, char **argv);

/** "0.1.0" or "0.1.0+gabc123", as determined by the build. */
const char *program_version(void);

/** Print "PROGRAM: error: ..." on one line and return the exit status of the error. */
int program_fail(const struct opt_command *c, const struct err *e);
/** The same for misuse, before MPI starts: only one process prints. */
int program_misuse(const struct opt_command *c, const struct err *e);
/** Parse the command line. If the command must end here (help, misuse), set *status and return false. */
bool program_parse(const struct opt_command *c, int argc, char **argv, const char ***files, int *n_file,
                   struct arena *a, int *status);
/** A complete command of one process: parse, do the work (-1 with *e set if it fails), report, free the
 * arena.
 */
int program_run(const struct opt_command *c, int argc, char **argv,
                int (*work)(const char **file, int n, struct arena *a, struct err *e));
#endif
