#ifndef TESTS_NCCL_CUDA_RUNTIME_H
#define TESTS_NCCL_CUDA_RUNTIME_H
#include <stdlib.h>
#include <string.h>
/* The part of CUDA that src/train/comm_nccl.c uses, on the host: everything is done at once. */

typedef enum { cudaSuccess, cudaErrorMemoryAllocation = 2 } cudaError_t;
typedef void *cudaStream_t, *cudaEvent_t;
enum { cudaEventDisableTiming = 2, cudaStreamNonBlocking = 1 };

static inline const char *cudaGetErrorString(cudaError_t e) { return e ? "out of memory" : "no error"; }
static inline cudaError_t cudaMalloc(void **p, size_t bytes) {
    return (*p = malloc(bytes)) ? cudaSuccess : cudaErrorMemoryAllocation;
}
static inline cudaError_t cudaFree(void *p) { return free(p), cudaSuccess; }
static inline cudaError_t cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t s) {
    return (void)s, memset(p, value, n), cudaSuccess;
}
static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned f) {
    return (void)f, cudaMalloc(s, 1);
}
static inline cudaError_t cudaStreamDestroy(cudaStream_t s) { return cudaFree(s); }
static inline cudaError_t cudaStreamSynchronize(cudaStream_t s) { return (void)s, cudaSuccess; }
static inline cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned f) {
    return (void)s, (void)e, (void)f, cudaSuccess;
}
static inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned f) {
    return (void)f, cudaMalloc(e, 1);
}
static inline cudaError_t cudaEventDestroy(cudaEvent_t e) { return cudaFree(e); }
static inline cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
    return (void)e, (void)s, cudaSuccess;
}
#endif
