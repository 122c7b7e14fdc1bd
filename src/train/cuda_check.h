#ifndef SAILOR_TRAIN_CUDA_CHECK_H
#define SAILOR_TRAIN_CUDA_CHECK_H
#include "train/die.h"
/* What a device reports as an error ends the job: CHECK(cudaFunction(...)). Macros only, so that this header
 * compiles without CUDA's; whoever uses them includes <cuda_runtime.h>. */

#define CHECK_STATUS(status, what)                                                                           \
    do {                                                                                                     \
        cudaError_t status_ = (status);                                                                      \
        if (status_ != cudaSuccess) die("CUDA: %s: %s", what, cudaGetErrorString(status_));                  \
    } while (0)
#define CHECK(call) CHECK_STATUS(call, #call)
#endif
