#ifndef SAILOR_IO_SEAL_H
#define SAILOR_IO_SEAL_H
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
/* HDF5 1.10 checks its headers, but a flipped bit in a heap can still crash it. So a line of text follows the
 * end of the HDF5 data, where every reader leaves it alone: a checksum of all that precedes it. Tools that
 * rewrite the file (h5repack, h5py in mode "a") drop the line; such a file is read without this check. */

enum { SEAL_BYTES = 42 };

/** The line, with a NUL behind it, of `size` bytes. */
void seal_make(const char *bytes, size_t size, char seal[SEAL_BYTES + 1]);
/** Is the seal at the end of these bytes, if there is one, right? */
bool seal_holds(const char *bytes, size_t size);

/** Append the seal to a file that is open for reading and writing. 0, or an errno. */
int seal_file(int fd);
/** Read a file from its start to its end: is its seal, if there is one, right? -1 with *e set (EXIT_INPUT),
 * also where it cannot be read. */
int seal_check_file(int fd, const char *path, struct err *e);
#endif
