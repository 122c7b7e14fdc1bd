#ifndef SAILOR_TRAIN_SAVER_H
#define SAILOR_TRAIN_SAVER_H
#include "base/err.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
/* A thread that writes a file while training goes on: bytes in memory, under a temporary name, then renamed,
 * so that a crash at any moment leaves the last whole file. It calls neither MPI nor HDF5. One file at a
 * time, and one owner: not thread-safe itself. All zero: nothing to write. */

struct saver {
    pthread_t thread;
    bool started;
    bool done; /* atomic: what the thread has to say is there */
    const char *path;
    char *bytes;
    size_t size;
    double time_s; /* of the last file that was written */
    int status;
    struct err e;
};

/** Write `size` bytes that came from malloc, which the saver releases; `path` must outlive it. Waits for an
 * earlier file. -1 with *e set (EXIT_INTERNAL) where that one failed: nothing new is written. */
int saver_start(struct saver *s, const char *path, char *bytes, size_t size, struct err *e);
/** Wait for the file. -1 with *e set (EXIT_INTERNAL) if it could not be written; what stood there is
 * untouched. */
int saver_wait(struct saver *s, struct err *e);
/** Is a file still being written? */
bool saver_busy(const struct saver *s);
#endif
