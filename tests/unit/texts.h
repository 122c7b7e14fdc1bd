#ifndef TESTS_UNIT_TEXTS_H
#define TESTS_UNIT_TEXTS_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/err.h"
/* Texts and small files for tests of readers. Failures end the test. */

/** Holds the texts. */
extern struct arena texts;
/** The directory. */
extern char tmp[];

/** Set-up and tear-down of a group: a directory for the files, and $SAILOR_INPUTS. */
int texts_begin(void **state);
int texts_end(void **state);

/** The path of a file in that directory. */
char *in_tmp(const char *name);
void write_text(const char *path, const char *text, size_t n);
char *slurp(const char *path);
/** Checks for one line and exit code 2, starting with the file and containing the word. */
void check_error(const struct err *e, const char *file, const char *word);
/** text with its first `from` replaced */
char *with(const char *text, const char *from, const char *to);
#endif
