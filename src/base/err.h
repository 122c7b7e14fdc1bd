#ifndef SAILOR_BASE_ERR_H
#define SAILOR_BASE_ERR_H
/* Errors are values: a function that fails returns -1 (or NULL) and leaves one line of text in *e. Nothing
 * below main() prints or exits, except base/oom.h. */

enum exit_code {
    EXIT_OK = 0,
    EXIT_INTERNAL = 1, /* internal failure, or the operating system said no (disk full, unwritable) */
    EXIT_INPUT = 2,    /* bad usage or bad input */
    EXIT_NOPLAN = 3,   /* no row of the job has a plan */
    EXIT_STOPPED = 75, /* stopped early; with -o a file that --resume continues */
};

struct err {
    enum exit_code code;
    char text[600];
};

/** Record an error and return -1, so that callers write `return err_set(e, EXIT_INPUT, "%s: ...", path)`.
 *  e is never NULL. Text that does not fit ends in "...". Thread-safe on distinct e. */
int err_set(struct err *e, enum exit_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
