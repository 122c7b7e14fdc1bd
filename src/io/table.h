#ifndef SAILOR_IO_TABLE_H
#define SAILOR_IO_TABLE_H
#include "base/arena.h"
#include <stdio.h>
/* Tables for people: cells are collected, then printed with every column as wide as its widest cell on a
 * terminal. What a terminal could take for a command is escaped. Where a line would be longer than
 * TABLE_COLUMNS, headings and the cells of columns that are aligned left are broken. */

enum { TABLE_COLUMNS = 100 };

struct table;

/** A table with these column headings, separated by '|'. A column whose heading starts with '<' is aligned
 * left, the others right. Lives in a. */
struct table *table_new(const char *headings, struct arena *a);
/** The next cell, row by row. An empty string is an empty cell. */
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Print everything. */
void table_print(const struct table *t, FILE *out);

/** A text on lines of its own, which are no longer either. Escaped as cells are. */
void table_text(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** A number with `digits` significant digits, in a; "-" for NAN; without exponent where that is readable.
 */
const char *table_number(double v, int digits, struct arena *a);

#endif
