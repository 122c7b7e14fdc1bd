#ifndef SAILOR_TRAIN_CUDA_DEVICE_CUH
#define SAILOR_TRAIN_CUDA_DEVICE_CUH
#include <cuda_bf16.h>
#include <cuda_runtime.h>
/* src/train/cuda_device.cuh on the host. The layout of fragments is that of PTX ISA 8, mma.m16n8k16 and
 * ldmatrix. */

static inline char *shared_memory() { return emulated::room; }

template <class... P, class... A>
static inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes,
                                 cudaStream_t, A... argument) {
    if (shared_bytes > 163 << 10 || block.x * block.y * block.z > 1024 || grid.y > 65535 || grid.z > 65535)
        return cudaErrorUnknown; /* beyond sm_80 */
    emulated::run(grid, block, shared_bytes, [=] { kernel(P(argument)...); });
    return cudaSuccess;
}

static inline void copy_begin(void *shared, const void *global, bool zero) {
    emulated::copy(shared, global, 16, zero);
}
static inline void copy_end() { emulated::copy_end(); }
template <int LATEST> static inline void copy_wait() { emulated::copy_wait(LATEST); }

static inline void load_any(uint32_t m[4], const void *row, bool transposed) {
    char *all = (char *)emulated::exchange(&row, sizeof row);
    unsigned lane = emulated::lane();
    for (unsigned i = 0; i < 4; i++) {
        uint16_t two[2];
        for (unsigned k = 0; k < 2; k++) {
            unsigned r = transposed ? lane % 4 * 2 + k : lane / 4,
                     c = transposed ? lane / 4 : lane % 4 * 2 + k;
            const uint16_t *from;
            memcpy(&from, all + 64 * (8 * i + r), sizeof from);
            two[k] = from[c];
        }
        memcpy(&m[i], two, sizeof two);
    }
    emulated::warp_barrier();
}
static inline void load_matrices(uint32_t m[4], const void *row) { load_any(m, row, false); }
static inline void load_transposed(uint32_t m[4], const void *row) { load_any(m, row, true); }

static inline void multiply_add(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
    char *all = (char *)emulated::exchange(mine, sizeof mine);
    unsigned lane = emulated::lane();
    auto element = [&](unsigned of, unsigned reg, unsigned k) {
        uint32_t x;
        memcpy(&x, all + 64 * of + 4 * reg, sizeof x);
        return bf16_value(bf16{(uint16_t)(k ? x >> 16 : x)});
    };
    float x[2][16], y[2][16]; /* rows and columns of this lane */
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < 16; k++) {
            x[i][k] = element(lane / 4 * 4 + k % 8 / 2, i + k / 8 * 2, k % 2);
            y[i][k] = element((lane % 4 * 2 + i) * 4 + k % 8 / 2, 4 + k / 8, k % 2);
        }
    for (unsigned i = 0; i < 4; i++) {
        float sum = 0;
        for (unsigned k = 0; k < 16; k++) sum += x[i / 2][k] * y[i % 2][k];
        c[i] += sum;
    }
    emulated::warp_barrier();
}
#endif
