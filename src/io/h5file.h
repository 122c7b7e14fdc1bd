#ifndef SAILOR_IO_H5FILE_H
#define SAILOR_IO_H5FILE_H
#include "io/h5tables.h"
/* Writing of the trainer's HDF5 files, measurements and checkpoints, on the disk and piece by piece. A file
 * is written by one rank, and whole as io/file.h has it, with a checksum line behind its data (io/seal.h); it
 * is read by io/h5read.h. Calls after a failure do nothing; the first failure is what h5_finish() reports. */

struct h5_image {
    char *bytes;
    size_t size;
};

struct h5file {
    hid_t id;
    const char *path;
    struct file_temp file;
    struct h5_image image; /* instead of the file, for one in memory */
    bool failed;
    char why[200];
};

/** As file_can_create(), but refuses devices, too. */
int h5_can_create(const char *path, bool force, struct err *e);
/** Begin a file. -1 with *e set (EXIT_INTERNAL). */
int h5_begin(struct h5file *f, const char *path, struct err *e);
/** Flush, close, rename. -1 with *e set, the temporary file removed, what stood at the path untouched. */
int h5_finish(struct h5file *f, struct err *e);

/* The same in memory, to be written later without HDF5. */
/** Begin a file in memory; `path` names it in messages. -1 with *e set (EXIT_INTERNAL). */
int h5_begin_image(struct h5file *f, const char *path, struct err *e);
/** End it: its bytes, checksum line and all, from malloc. -1 with *e set. */
int h5_finish_image(struct h5file *f, char **bytes, size_t *size, struct err *e);

/** Attributes of the file's root. */
void h5_text(struct h5file *f, const char *name, const char *value);
void h5_number(struct h5file *f, const char *name, double value);
void h5_integer(struct h5file *f, const char *name, long long value);

/** A group (and those above it are there). */
void h5_group(struct h5file *f, const char *name, const char *description);
/** A dataset of n_dim dimensions with its units and description. `memory` is the type of `data`; NULL data:
 * reserved, to be written by h5_rows(); one dimension, with a checksum for each piece. */
void h5_dataset(struct h5file *f, const char *name, const char *units, const char *description, int n_dim,
                const hsize_t *dims, hid_t memory, hid_t disk, const void *data);
/** A column of texts (fixed length, as wide as the longest). */
void h5_texts(struct h5file *f, const char *name, const char *description, int n, const char *const *text);
/** Elements [first, first + n) of a dataset of one dimension. */
void h5_rows(struct h5file *f, const char *name, hsize_t first, hsize_t n, hid_t memory, const void *data);
#endif
