#ifndef SAILOR_TRAIN_CUDA_LOAD_H
#define SAILOR_TRAIN_CUDA_LOAD_H
#include "train/cuda.h"

/* What sailor-train-cuda.so has to offer. */
struct cuda_functions {
    /* backend_cuda_open() */
    int (*backend_open)(struct backend *b, enum elem elem, int place, struct err *e);
    /* comm_nccl_open(); NULL: not built */
    int (*comm_open)(struct comm *c, const struct mpx_comm *world, struct backend *b, struct err *e);
};

/** Its path, into path[size]: $SAILOR_TRAIN_CUDA, or next to the program. -1: this build has none. */
int cuda_find(char *path, size_t size);
/** Load it, from `path`, or for NULL where cuda_find() finds it; it stays. -1 with *e set (EXIT_INPUT), also
 * where it is of another version than the program. */
int cuda_load(const char *path, struct cuda_functions *f, struct err *e);
#endif
