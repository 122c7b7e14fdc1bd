#ifndef EMULATED_CUDA_RUNTIME_H
#define EMULATED_CUDA_RUNTIME_H
/* The part of CUDA's runtime that the backend uses, on the host: one GPU whose memory is the host's and whose
 * streams work at once. Threads of a block are fibers that take turns at barriers and shuffles; $EMULATED
 * chooses which goes first and when asynchronous copies arrive: code that lacks a barrier gives different
 * numbers in one of the orders. */
#include <functional>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

namespace emulated {
extern dim3 thread, block, block_size, grid_size; /* of the running fiber */
extern char *room;                                /* shared memory of the launch */
void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &kernel);
void barrier();      /* of the block */
void warp_barrier(); /* of the warp */
unsigned lane();
/* The values given by all lanes of the warp, readable by all until the next exchange. */
void *exchange(const void *mine, size_t bytes); /* [32][64 bytes] */
/* Asynchronous copies of this thread. */
void copy(void *to, const void *from, size_t bytes, bool zero);
void copy_end();
void copy_wait(int latest);
} // namespace emulated

#define threadIdx emulated::thread
#define blockIdx emulated::block
#define blockDim emulated::block_size
#define gridDim emulated::grid_size
static inline void __syncthreads() { emulated::barrier(); }
static inline float __shfl_xor_sync(unsigned, float x, int with) {
    char *all = (char *)emulated::exchange(&x, sizeof x);
    memcpy(&x, all + 64 * ((int)emulated::lane() ^ with), sizeof x);
    emulated::warp_barrier();
    return x;
}

/* ---- the host's side ---- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorNotReady = 600,
    cudaErrorUnknown = 999
};
typedef struct emulated_stream *cudaStream_t;
typedef double *cudaEvent_t;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
struct cudaDeviceProp {
    char name[256];
    int major, minor;
};
const char *cudaGetErrorString(cudaError_t);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int *);
cudaError_t cudaSetDevice(int);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *, int);
cudaError_t cudaDeviceGetPCIBusId(char *, int size, int);
cudaError_t cudaMalloc(void **, size_t);
cudaError_t cudaFree(void *);
cudaError_t cudaMallocHost(void **, size_t);
cudaError_t cudaFreeHost(void *);
cudaError_t cudaMemGetInfo(size_t *, size_t *);
cudaError_t cudaMemcpyAsync(void *, const void *, size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t cudaMemsetAsync(void *, int, size_t, cudaStream_t);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *, unsigned);
cudaError_t cudaStreamDestroy(cudaStream_t);
cudaError_t cudaStreamSynchronize(cudaStream_t);
cudaError_t cudaStreamQuery(cudaStream_t);
cudaError_t cudaEventCreate(cudaEvent_t *);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *, unsigned);
cudaError_t cudaEventDestroy(cudaEvent_t);
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t);
cudaError_t cudaEventQuery(cudaEvent_t);
cudaError_t cudaEventSynchronize(cudaEvent_t);
cudaError_t cudaEventElapsedTime(float *, cudaEvent_t, cudaEvent_t);
#endif
