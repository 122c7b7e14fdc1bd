#ifndef SAILOR_IO_H5READ_H
#define SAILOR_IO_H5READ_H
#include "io/h5tables.h"
/* Reading of HDF5 files that may be damaged, or made by someone else: regular files only, the checksum line
 * first (io/seal.h), and every size and type that the file states is checked before it is believed. All
 * return -1 or NULL with *e set (EXIT_INPUT), in one line that names the file and what is missing. */

struct h5_reader {
    hid_t id;
    const char *path;
    const char *made_by; /* "sailor plan": ends messages about damage */
    size_t bytes;        /* of the file: nothing in it can be larger */
};

/** Is the checksum of a file, if it has one, right? Reads all of it; where several ranks read the same file,
 * one may do so for all. */
int h5_check(const char *path, struct err *e);
/** Open a file that was checked; refuses what is not HDF5 with this attribute "schema". */
int h5_open(struct h5_reader *r, const char *path, const char *schema, struct err *e);
/** Check and open a file in memory; the attribute "schema" is left to the caller. `path` names it in
 * messages; the bytes may go once it is open. */
int h5_open_bytes(struct h5_reader *r, const char *path, const char *bytes, size_t size, struct err *e);
void h5_close(struct h5_reader *r);

/** "PATH: /WHERE: WHAT; damaged, ...". */
int h5_damaged(const struct h5_reader *r, const char *where, const char *what, struct err *e);

/** Attributes of the root. */
const char *h5_read_text(const struct h5_reader *r, const char *name, struct arena *a, struct err *e);
int h5_read_number(const struct h5_reader *r, const char *name, double *value, struct err *e);
int h5_read_int(const struct h5_reader *r, const char *name, int lo, int hi, int *value, struct err *e);

/** A scalar dataset of text. */
const char *h5_read_long_text(const struct h5_reader *r, const char *name, struct arena *a, struct err *e);
/** Elements [first, first + n) of a dataset of one dimension that has `size` elements. */
int h5_read_rows(const struct h5_reader *r, const char *name, hsize_t size, hsize_t first, hsize_t n,
                 hid_t memory, void *data, struct err *e);
/** A table whose first column is the running number of its entries. */
int h5_read_table(const struct h5_reader *r, const struct table_def *d, struct rows *t, struct arena *a,
                  struct err *e);
#endif
