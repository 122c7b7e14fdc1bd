#ifndef SAILOR_IO_COMPLETION_H
#define SAILOR_IO_COMPLETION_H
#include "base/opt.h"
#include <stdio.h>
/* Completion of command lines, from the same tables of options that parse them. */

extern const char *const completion_shells[]; /* NULL-terminated: bash, zsh */

/** The script for a shell (index into completion_shells) that completes `program` with these commands. */
void completion_write(int shell, const char *program, const struct opt_command *const *command, int n,
                      FILE *out);
#endif
