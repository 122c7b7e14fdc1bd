#ifndef SAILOR_IO_FILE_H
#define SAILOR_IO_FILE_H
#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Files that are written whole or not at all: under a temporary name in their directory, flushed to the disk
 * and renamed, so that a name never refers to half a file. */

/** Can `path` be created? The directory must exist and be writable, and nothing may be there (unless force).
 * `hint` ends the message about an existing file. Returns 0, or -1 with *e set (EXIT_INPUT if it exists,
 * EXIT_INTERNAL if unwritable). */
int file_can_create(const char *path, bool force, const char *hint, struct err *e);

/** Refuse to write over a file that is read: does `out` lead to `in`? NULL, and names that are no files, lead
 * nowhere. Returns 0, or -1 with *e set (EXIT_INPUT). */
int file_spare(const char *out, const char *in, struct err *e);

/** The same for every file that this process has read so far, including those that only another file names,
 * except `own`, which may be replaced because the result is made from it. NULL: there is none. */
int file_spare_read(const char *out, const char *own, struct err *e);

/** Write n bytes; NULL is stdout, a device is written as it is, a symbolic link keeps pointing to its file,
 * also to one that is not there yet.
 * -1: *e set (EXIT_INTERNAL), and what stood at `path` is untouched. */
int file_write(const char *path, const char *bytes, size_t n, struct err *e);

/* The same in steps, for a library that writes the file by itself. */
struct file_temp {
    const char *path;
    char temp[4096], target[4096]; /* the name to write to, the name to replace */
    int fd;                        /* of the empty file, for reading and writing */
};
/** Make an empty file under the temporary name. -1 with *e set (EXIT_INTERNAL). `path` must outlive *f. */
int file_begin(struct file_temp *f, const char *path, struct err *e);
/** Flush, close, rename, flush the directory. -1 with *e set (EXIT_INTERNAL) and the temporary file removed
 * or, where only the directory failed, renamed. */
int file_end(struct file_temp *f, struct err *e);
/** Close and remove the temporary file. */
void file_drop(struct file_temp *f);

/** Do two paths lead to the same file, or would they if it were there? Links are followed; what they are
 * called does not matter. */
bool file_same(const char *one, const char *other);

enum { FILE_TEXT_MAX = 64 << 20, FILE_BYTES_MAX = INT32_MAX };
/** A whole file of at most FILE_TEXT_MAX bytes, a regular file or a pipe, followed by a NUL and containing
 * none; `size` may be NULL. NULL with *e set (EXIT_INPUT). */
char *file_read_text(const char *path, size_t *size, struct arena *a, struct err *e);
/** The same of a regular file of at most FILE_BYTES_MAX bytes. Pipes and devices are refused, not waited for.
 */
char *file_read_bytes(const char *path, size_t *size, struct arena *a, struct err *e);
/** A descriptor for reading a regular file of any size; for all else -1 with *e set (EXIT_INPUT). */
int file_open_regular(const char *path, struct err *e);
#endif
