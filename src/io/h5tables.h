#ifndef SAILOR_IO_H5TABLES_H
#define SAILOR_IO_H5TABLES_H
#include "base/arena.h"
#include "io/file.h"
#include <hdf5.h>
#include <stdint.h>
/* HDF5 files made of tables: a group per table, a dataset per column with units and description, readable by
 * h5py, pandas, xarray and h5dump. A table is a C struct, one per entry, and a list of columns, by which it
 * is written here and read by io/h5read.h. A file is made in memory, sealed with a checksum line (io/seal.h)
 * and renamed into place: never half written. */

enum column_type { COLUMN_I32, COLUMN_U8, COLUMN_U64, COLUMN_F64, COLUMN_TEXT };

struct column {
    const char *name;
    enum column_type type;
    const char *units; /* NULL: that of the search's objective, s or USD */
    const char *about;
    size_t at;         /* offset in the record */
    const char *flags; /* meanings of 0, 1, 2, ..., or NULL */
    bool later;        /* older files lack it: zeros are read; of the first column: they lack the table */
};

struct table_def {
    const char *name, *about;
    const struct column *column;
    int n_column;
    size_t record; /* bytes */
};

/* A column of `struct RECORD_rec`, of the member's name; one whose values have names; and the table of
 * RECORD_columns. */
#define COLUMN(record, name, type, units, about)                                                             \
    { #name, COLUMN_##type, units, about, offsetof(struct record##_rec, name), NULL, false }
#define COLUMN_LATER(record, name, type, units, about)                                                       \
    { #name, COLUMN_##type, units, about, offsetof(struct record##_rec, name), NULL, true }
#define COLUMN_FLAGS(record, name, meanings, about)                                                          \
    { #name, COLUMN_U8, "1", about, offsetof(struct record##_rec, name), meanings, false }
#define COLUMN_FLAGS_LATER(record, name, meanings, about)                                                    \
    { #name, COLUMN_U8, "1", about, offsetof(struct record##_rec, name), meanings, true }
#define TABLE_DEF(record, about)                                                                             \
    {                                                                                                        \
#record, about, record##_columns, (int)(sizeof record##_columns / sizeof *record##_columns),         \
            sizeof(struct record##_rec)                                                                      \
    }

/* The entries of one table in memory. */
struct rows {
    int n, room;
    char *rec;
};

/** Entry i of table t as a struct TYPE. */
#define REC(t, id, type, i) (&((struct type *)(void *)(t)[id].rec)[i])

/** Bytes in a record; not for COLUMN_TEXT, which is a const char * there. */
size_t column_size(enum column_type t);
/** HDF5 type of a column in memory; not for COLUMN_TEXT. */
hid_t column_native(enum column_type t);
/** Fixed-length UTF-8, to be closed: pandas and xarray read no variable-length strings from a column. */
hid_t text_type(size_t width);
/** A property list for opening files, to be closed. Without locks: a file is written under a name that nobody
 * knows and never changed afterwards, and not every file system has locks. */
hid_t h5_access(void);
/** Why the last HDF5 call failed, in its own words. */
const char *hdf5_why(char text[200]);
/** Did it fail for lack of memory? Call this first: hdf5_why() clears the error. */
bool hdf5_no_memory(void);

/** Room for one more entry, zeroed. */
void *rows_add(struct rows *t, const struct table_def *d, struct arena *a);

struct h5_attr { /* of the file */
    const char *name;
    enum column_type type; /* TEXT: text; else number */
    const char *text;
    double number;
};

struct h5_text { /* a scalar dataset of text: may be megabytes */
    const char *name, *about, *text;
};

struct h5_tables {
    const struct h5_attr *attr;
    const struct table_def *def;
    const struct rows *rows; /* [n_table] */
    const struct h5_text *text;
    int n_attr, n_table, n_text;
    const char *objective_units; /* of columns that name none */
};

/** Write everything, as file_write() does. -1: *e set (EXIT_INTERNAL), and what stood at `path` is untouched.
 */
int h5_write_tables(const char *path, const struct h5_tables *f, struct err *e);

#endif
