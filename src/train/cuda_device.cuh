#ifndef SAILOR_TRAIN_CUDA_DEVICE_CUH
#define SAILOR_TRAIN_CUDA_DEVICE_CUH
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdint.h>
/* What the kernels need below CUDA C++: shared memory of a size set at launch, and the instructions of sm_80
 * that have no function. tests/train/emulated has the same on the host, so that everything else of the
 * backend is tested without a GPU. */

/* 128-byte aligned */
static __device__ inline char *shared_memory() {
    extern __shared__ __align__(128) char room[];
    return room;
}

template <class... P, class... A>
static inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                                 cudaStream_t stream, A... argument) {
    if (shared_bytes > 48 << 10) { /* more must be requested */
        cudaError_t bad =
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
        if (bad != cudaSuccess) return bad;
    }
    kernel<<<grid, block, shared_bytes, stream>>>(P(argument)...);
    return cudaGetLastError();
}

/* 16 bytes to shared memory, or zeros: they are there after copy_end() and copy_wait() */
static __device__ inline void copy_begin(void *shared, const void *global, bool zero) {
    asm volatile(
        "cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(shared)),
        "l"(global), "r"(zero ? 0 : 16)
        : "memory");
}
static __device__ inline void copy_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* until no more than LATEST groups of copies are under way */
template <int LATEST> static __device__ inline void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LATEST) : "memory");
}

/* Four 8 x 8 matrices of 16 bits by a warp; lane i gives the address of row i % 8 of matrix i / 8, and gets
 * elements 2 (i % 4), + 1 of row i / 4 of each. */
static __device__ inline void load_matrices(uint32_t m[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}
/* ... rows 2 (i % 4), + 1 of column i / 4 */
static __device__ inline void load_transposed(uint32_t m[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}

/* c[16][8] += a[16][16] b[16][8] by a warp. Lane i has, g = i / 4 and t = 2 (i % 4): of a rows g, g + 8, g,
 * g + 8 at columns t, t, t + 8, t + 8 (and the next one); of b column g at rows t, t + 8; of c rows g (twice)
 * and g + 8 at columns t, t + 1. */
static __device__ inline void multiply_add(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif
