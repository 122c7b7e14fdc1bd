#ifndef SAILOR_IO_PROGRAM_H
#define SAILOR_IO_PROGRAM_H
#include "base/opt.h"
#include <stdio.h>
/* What the programs have in common: PROGRAM COMMAND ..., help, version, errors as one line on stderr, and
 * care that what was printed has arrived. Where a launcher started several processes, one of them speaks for
 * all about the command line, which all of them see alike. */

struct program_command {
    const struct opt_command *command;
    int (*run)(int argc, char **argv); /* argv[0] is the command; returns the exit status */
};

struct program {
    const char *name;       /* "sailor" */
    const char *head, *end; /* of the help: before the list of commands, and after it */
    const struct program_command *command;
    int n_command;
    void (*print_features)(FILE *out); /* what --version says beyond the common libraries */
};

/** The whole of main(). */
int program_main(const struct program *p, int argc, char **argv);

/** "0.1.0" or "0.1.0+gabc123", as the build found it. */
const char *program_version(void);

/** Print "PROGRAM: error: ..." in one line and return its exit status. */
int program_fail(const struct opt_command *c, const struct err *e);
/** The same for misuse, before MPI starts: from one process only. */
int program_misuse(const struct opt_command *c, const struct err *e);
/** Parse the command line. Where the command is to end (help, misuse) *status is set and false returned. */
bool program_parse(const struct opt_command *c, int argc, char **argv, const char ***files, int *n_file,
                   struct arena *a, int *status);
/** A whole command of one process: parse, do the work (-1 with *e set if it fails), report, free the arena.
 */
int program_run(const struct opt_command *c, int argc, char **argv,
                int (*work)(const char **file, int n, struct arena *a, struct err *e));
#endif
