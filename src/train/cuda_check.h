#ifndef SAILOR_TRAIN_CUDA_CHECK_H
#define SAILOR_TRAIN_CUDA_CHECK_H
#include "train/die.h"
#include <cuda_runtime.h>
/* What a device says went wrong ends the job: CHECK(cudaFunction(...)). */

static inline void check(cudaError_t status, const char *what) {
    if (status != cudaSuccess) die("CUDA: %s: %s", what, cudaGetErrorString(status));
}
#define CHECK(call) check(call, #call)
#endif
