/* The backend for NVIDIA GPUs: matrix products by cuBLASLt (cuda_matmul.cuh), everything else by the kernels
 * of cuda_kernels.cuh and cuda_attention.cuh, queued in one stream. What is stored is float or bf16;
 * operations are templates over it. */
#include "train/cuda_attention.cuh"
#include "train/cuda_check.h"
#include "train/cuda_matmul.cuh"

#include <cub/device/device_radix_sort.cuh>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <type_traits>
extern "C" {
#include "train/cuda.h"
}

/* SCRATCH serves cuBLASLt, column sums and sorting in turn; RESERVE stays free on the device. */
enum {
    SCRATCH = 32 << 20,
    RESERVE = 256 << 20,
    UPLOADS = 8,
    UPLOAD = 256 << 10,
    CHUNKS = 256,
    FLASH_HEAD = 128
};

struct gpu {
    cudaStream_t stream;
    struct matmuls matmuls;
    void *scratch;
    /* uploads pass through pinned memory, so that nobody waits */
    char *upload; /* [UPLOADS][UPLOAD] */
    cudaEvent_t uploaded[UPLOADS];
    unsigned turn;
    cudaEvent_t *stamp; /* [stamps] */
    int stamps;
    void (*poll)(void *);
    void *poll_own;
};

static struct gpu *own(const struct backend *b) { return (struct gpu *)b->own; }

/* ---- launches ---- */

template <class... P, class... A>
static void run_with(const struct backend *b, size_t shared, const char *name, void (*kernel)(P...),
                     dim3 grid, dim3 block, A... argument) {
    CHECK_STATUS(launch(kernel, grid, block, shared, own(b)->stream, argument...), name);
}
#define RUN(b, kernel, grid, block, ...) run_with(b, 0, #kernel, kernel, grid, block, __VA_ARGS__)

static unsigned ceil_div(size_t n, size_t by) { return (unsigned)((n + by - 1) / by); }

/* If there are more elements, threads walk on. */
static dim3 packs(size_t n, int width) {
    size_t blocks = (n / (size_t)width + ROW_THREADS - 1) / ROW_THREADS;
    return dim3((unsigned)(blocks < 1 ? 1 : blocks < 1 << 16 ? blocks : 1 << 16));
}

/* Can W elements be taken at once: does W divide the size, and do all buffers begin at 16 bytes? */
template <class T> struct wide {
    enum { W = 16 / sizeof(T) };
};
template <class... P> static bool aligned(P *...p) {
    bool all = true;
    for (const void *x : {(const void *)p...}) all = all && alignment(x) >= 16; /* NULL is */
    return all;
}
/* Calls f with the number of elements to take at once, as a constant. */
template <class T, class F> static void by_width(bool is_wide, F f) {
    if (is_wide)
        f(std::integral_constant<int, wide<T>::W>());
    else
        f(std::integral_constant<int, 1>());
}
template <class T> static bool divides(size_t n) { return n % wide<T>::W == 0; }

/* ---- memory ---- */

/* Kernels, cuBLASLt's among them, are loaded when they are first launched: RESERVE is left for them, so that
 * a lack of memory is found here and not in the first step. */
static void *cuda_alloc(struct backend *b, size_t bytes) {
    void *p = NULL;
    size_t left, total;
    (void)b;
    CHECK(cudaMemGetInfo(&left, &total));
    if (bytes > left || left - bytes < RESERVE) return NULL;
    cudaError_t status = cudaMalloc(&p, bytes ? bytes : 1);
    if (status == cudaSuccess) return p;
    if (status != cudaErrorMemoryAllocation) CHECK_STATUS(status, "cudaMalloc");
    cudaGetLastError(); /* no lasting damage */
    return NULL;
}

static void wait_for(struct backend *b, cudaEvent_t event) {
    struct gpu *c = own(b);
    if (!c->poll) {
        CHECK(cudaEventSynchronize(event));
        return;
    }
    cudaError_t status;
    while ((status = cudaEventQuery(event)) == cudaErrorNotReady) {
        c->poll(c->poll_own);
        sched_yield();
    }
    CHECK_STATUS(status, "waiting for the device");
}

static void cuda_sync(struct backend *b) {
    struct gpu *c = own(b);
    if (!c->poll) {
        CHECK(cudaStreamSynchronize(c->stream));
        return;
    }
    cudaError_t status;
    while ((status = cudaStreamQuery(c->stream)) == cudaErrorNotReady) {
        c->poll(c->poll_own);
        sched_yield();
    }
    CHECK_STATUS(status, "waiting for the device");
}

static void cuda_release(struct backend *b, void *p) {
    cuda_sync(b);
    CHECK(cudaFree(p));
}

static void *cuda_host_alloc(struct backend *b, size_t bytes) {
    void *p = NULL;
    (void)b;
    if (cudaMallocHost(&p, bytes) == cudaSuccess) return p;
    cudaGetLastError();
    return NULL;
}

static void cuda_host_release(struct backend *b, void *p) {
    (void)b;
    CHECK(cudaFreeHost(p));
}

static void cuda_upload(struct backend *b, void *to, const void *from_host, size_t bytes) {
    struct gpu *c = own(b);
    for (size_t at = 0, n, most = UPLOAD; at < bytes; at += n) {
        n = bytes - at < most ? bytes - at : most;
        unsigned turn = c->turn++ % UPLOADS;
        char *room = c->upload + (size_t)turn * UPLOAD;
        wait_for(b, c->uploaded[turn]);
        memcpy(room, (const char *)from_host + at, n);
        CHECK(cudaMemcpyAsync((char *)to + at, room, n, cudaMemcpyHostToDevice, c->stream));
        CHECK(cudaEventRecord(c->uploaded[turn], c->stream));
    }
}

/* A copy to memory that is not pinned holds up the host until it is done, and nobody would look for a peer
 * that is gone. */
static void cuda_download(struct backend *b, void *to_host, const void *from, size_t bytes) {
    cuda_sync(b);
    CHECK(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, own(b)->stream));
    cuda_sync(b);
}

static void cuda_zero(struct backend *b, void *p, size_t bytes) {
    CHECK(cudaMemsetAsync(p, 0, bytes, own(b)->stream));
}

static void cuda_copy(struct backend *b, void *to, const void *from, size_t bytes) {
    CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, own(b)->stream));
}

static void cuda_device_bytes(struct backend *b, size_t *used, size_t *total) {
    size_t left = 0;
    (void)b;
    CHECK(cudaMemGetInfo(&left, total));
    *used = *total - left;
}

/* ---- time ---- */

static void cuda_stamp(struct backend *b, int i) {
    struct gpu *c = own(b);
    if (i >= c->stamps) {
        int room = 2 * i + 1024;
        cudaEvent_t *more = (cudaEvent_t *)realloc(c->stamp, sizeof *more * (size_t)room);
        if (!more) return; /* the last stamps stand for the lost ones */
        c->stamp = more;
        while (c->stamps < room) CHECK(cudaEventCreate(&c->stamp[c->stamps++]));
    }
    CHECK(cudaEventRecord(c->stamp[i], c->stream));
}

static double cuda_stamp_s(struct backend *b, int i) {
    struct gpu *c = own(b);
    float ms = 0;
    if (i >= c->stamps) i = c->stamps - 1;
    wait_for(b, c->stamp[i]);
    CHECK(cudaEventElapsedTime(&ms, c->stamp[0], c->stamp[i]));
    return 1e-3 * ms;
}

/* ---- linear maps ---- */

template <class T, class C>
static void multiply(struct backend *b, const struct product &p, const void *bias, float keep, void *to,
                     int ld) {
    matmul_run<T, C>(&own(b)->matmuls, p, bias, keep, to, ld);
}

template <class T>
static void cuda_linear(struct backend *b, void *y, const void *x, const void *w, const void *bias, int n,
                        int in, int out, bool inputs_first) {
    struct product p = {n, out, in, 1, {x, in, false, 0}, {w, inputs_first ? out : in, !inputs_first, 0},
                        1, 0};
    multiply<T, T>(b, p, bias, 0, y, out);
}

/* Column sums: of dy to dbias, and of dy * norm(x) to dgain unless that is NULL. */
template <class T>
static void columns(struct backend *b, float *dbias, float *dgain, const T *dy, const T *x, const float *mean,
                    const float *rstd, int n, int h) {
    float *part = (float *)own(b)->scratch;
    int lines = dgain ? 2 : 1, room = (int)(SCRATCH / ((size_t)lines * (size_t)h * sizeof *part));
    int chunks = (int)ceil_div((size_t)n, 4 * COLUMN_ROWS);
    if (chunks > CHUNKS) chunks = CHUNKS;
    if (chunks > room) chunks = room;
    int chunk = (int)ceil_div((size_t)n, (size_t)chunks);
    chunks = (int)ceil_div((size_t)n, (size_t)chunk);
    by_width<T>(divides<T>((size_t)h) && aligned(dy, x), [&](auto width) {
        constexpr int W = decltype(width)::value;
        dim3 grid(ceil_div((size_t)h, WARP * W), (unsigned)chunks);
        dim3 block(WARP, COLUMN_ROWS);
        if (dgain)
            RUN(b, (columns_kernel<T, W, true>), grid, block, part, dy, x, mean, rstd, n, h, chunk);
        else
            RUN(b, (columns_kernel<T, W, false>), grid, block, part, dy, x, mean, rstd, n, h, chunk);
    });
    RUN(b, columns_end_kernel, dim3(ceil_div((size_t)h, WARP), (unsigned)lines), dim3(WARP, COLUMN_ROWS),
        dbias, dgain, part, chunks, h);
}

template <class T>
static void cuda_linear_back(struct backend *b, void *dx, void *dw, void *dbias, const void *dy,
                             const void *x, const void *w, int n, int in, int out, bool inputs_first) {
    struct matrix whole = {dy, out, false, 0}, flipped = {dy, out, true, 0};
    if (dx) {
        struct product p = {n, in, out, 1, whole, {w, inputs_first ? out : in, inputs_first, 0}, 1, 0};
        multiply<T, T>(b, p, NULL, 0, dx, in);
    }
    if (dw && inputs_first) {
        struct product p = {in, out, n, 1, {x, in, true, 0}, whole, 1, 0};
        multiply<T, float>(b, p, NULL, 1, dw, out);
    }
    if (dw && !inputs_first) {
        struct product p = {out, in, n, 1, flipped, {x, in, false, 0}, 1, 0};
        multiply<T, float>(b, p, NULL, 1, dw, in);
    }
    if (dbias) columns<T>(b, (float *)dbias, NULL, (const T *)dy, NULL, NULL, NULL, n, out);
}

template <class T>
static void cuda_residual(struct backend *b, void *y, const void *x, const void *part, const void *bias,
                          int n, int h) {
    size_t all = (size_t)n * (size_t)h;
    by_width<T>(divides<T>((size_t)h) && aligned(y, x, part, bias), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (residual_kernel<T, W>), packs(all, W), ROW_THREADS, (T *)y, (const T *)x, (const T *)part,
            (const T *)bias, all, h);
    });
}

/* ---- layer norm ---- */

template <class T>
static void cuda_norm(struct backend *b, void *y, void *mean, void *rstd, const void *x, const void *gain,
                      const void *bias, int n, int h, double epsilon) {
    by_width<T>(divides<T>((size_t)h) && aligned(y, x, gain, bias), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (norm_kernel<T, W>), ceil_div((size_t)n, ROW_THREADS / WARP), ROW_THREADS, (T *)y,
            (float *)mean, (float *)rstd, (const T *)x, (const T *)gain, (const T *)bias, n, h,
            (float)epsilon);
    });
}

template <class T>
static void cuda_norm_back(struct backend *b, void *dx, void *dgain, void *dbias, const void *dy,
                           const void *x, const void *gain, const void *mean, const void *rstd, int n,
                           int h) {
    by_width<T>(divides<T>((size_t)h) && aligned(dx, dy, x, gain), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (norm_back_kernel<T, W>), ceil_div((size_t)n, ROW_THREADS / WARP), ROW_THREADS, (T *)dx,
            (const T *)dy, (const T *)x, (const T *)gain, (const float *)mean, (const float *)rstd, n, h);
    });
    columns<T>(b, (float *)dbias, (float *)dgain, (const T *)dy, (const T *)x, (const float *)mean,
               (const float *)rstd, n, h);
}

/* ---- rotary positions ---- */

template <class T>
static void cuda_rotate(struct backend *b, void *x, const void *table, int n, int length, int heads, int size,
                        int ld, int step, bool back) {
    size_t half = (size_t)size / 2, all = (size_t)n * (size_t)heads * half;
    bool whole = divides<T>(half) && divides<T>((size_t)ld) && divides<T>((size_t)step);
    by_width<T>(whole && aligned(x, table), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (rotate_kernel<T, W>), packs(all, W), ROW_THREADS, (T *)x, (const float *)table, (size_t)n,
            (size_t)length, (size_t)heads, half, (size_t)ld, (size_t)step, back ? -1.0f : 1.0f);
    });
}

/* ---- attention: in tiles for bf16; otherwise the probabilities are kept, as the published trainer does ----
 */

template <class T> static bool in_tiles(struct attention a) { return sizeof(T) == 2 && a.size <= FLASH_HEAD; }

static struct heads heads_of(struct attention a) {
    double scale = a.unscaled ? 1 : 1 / sqrt((double)a.size);
    size_t d = (size_t)a.size, all = (size_t)a.heads, kv = (size_t)a.kv_heads;
    struct heads x;
    x.length = a.length;
    x.heads = a.heads;
    x.size = a.size;
    x.group = a.kv_heads ? a.heads / a.kv_heads : 1;
    x.window = a.window && a.window < a.length ? a.window : a.length;
    x.q_step = (a.kv_heads ? 1 : 3) * d;
    x.q_row = all * x.q_step;
    x.kv_step = (a.kv_heads ? 2 : 3) * d;
    x.kv_row = (a.kv_heads ? kv : all) * x.kv_step;
    x.scale = (float)scale;
    x.scale2 = (float)(1.4426950408889634 * scale);
    return x;
}

/* Where queries, keys and values, or their gradients, begin in the operands. */
template <class T> struct begins { T *q, *k, *v; };
template <class T, class P> static struct begins<T> begins_of(P *q, P *kv, struct attention a) {
    T *k = kv ? (T *)kv : (T *)q + a.size;
    return {(T *)q, k, k + a.size};
} template <class T> static struct begins<T> sequence(struct begins<T> x, const struct heads &a, size_t s) {
    size_t q = s * (size_t)a.length * a.q_row, kv = s * (size_t)a.length * a.kv_row;
    return {x.q + q, x.k + kv, x.v + kv};
}

/* Gradients of keys and values that several heads share are added up in float: see multiply_shared(). */
template <class T>
static bool sums_apart(const struct heads &a) {
    return sizeof(T) == 2 && a.group > 1;
}

template <class T>
static void cuda_attention_bytes(struct backend *b, struct attention a, size_t *saved, size_t *work) {
    size_t rows = (size_t)a.sequences * (size_t)a.heads * (size_t)a.length, L = (size_t)a.length;
    size_t square = (size_t)a.heads * L * L; /* of one sequence */
    (void)b;
    *saved = rows * (in_tiles<T>(a) ? sizeof(float) : L * sizeof(T));
    *work =
        in_tiles<T>(a) ? rows * sizeof(float) : square * (sizeof(float) + (sizeof(T) == 2 ? sizeof(T) : 0));
    if (!in_tiles<T>(a) && sums_apart<T>(heads_of(a)))
        *work += sizeof(float) * (size_t)a.kv_heads * L * (size_t)a.size;
}

template <int D, int WARPS, int C>
static void flash(struct backend *b, void *out, void *saved, struct begins<const bfloat> x,
                  const struct heads &a, int sequences) {
    dim3 grid(ceil_div((size_t)a.length, 16 * WARPS), (unsigned)a.heads, (unsigned)sequences);
    run_with(b, flash_bytes<D, WARPS, C>(), "flash_kernel", flash_kernel<D, WARPS, C>, grid, WARPS * WARP,
             (bfloat *)out, (float *)saved, x.q, x.k, x.v, a);
}

template <int D, int WARPS, int C>
static void flash_back(struct backend *b, struct begins<bfloat> dx, const void *dout, const void *out,
                       const void *saved, void *work, struct begins<const bfloat> x, const struct heads &a,
                       int sequences) {
    size_t rows = (size_t)sequences * (size_t)a.length * (size_t)a.heads;
    dim3 grid(ceil_div((size_t)a.length, 16 * WARPS), (unsigned)a.heads, (unsigned)sequences), kv_grid = grid;
    kv_grid.y = (unsigned)(a.heads / a.group);
    RUN(b, flash_along_kernel, ceil_div(rows, ROW_THREADS / WARP), ROW_THREADS, (float *)work,
        (const bfloat *)dout, (const bfloat *)out, rows, a.length, a.heads, a.size);
    run_with(b, flash_back_bytes<D, WARPS, C>(), "flash_dkv_kernel", flash_dkv_kernel<D, WARPS, C>, kv_grid,
             WARPS * WARP, dx.k, dx.v, (const bfloat *)dout, x.q, x.k, x.v, (const float *)saved,
             (const float *)work, a);
    run_with(b, flash_back_bytes<D, WARPS, C>(), "flash_dq_kernel", flash_dq_kernel<D, WARPS, C>, grid,
             WARPS * WARP, dx.q, (const bfloat *)dout, x.q, x.k, x.v, (const float *)saved,
             (const float *)work, a);
}

/* One sequence: head i of every group is a batch of products. Scores and their gradients are float, in `work`
 * unless they fit where the probabilities go. */
template <class T>
static void squares(struct backend *b, T *out, T *p, void *work, struct begins<const T> x,
                    const struct heads &a) {
    int L = a.length, d = a.size, batch = a.heads / a.group, row = (int)a.q_row, kv_row = (int)a.kv_row;
    size_t square = (size_t)L * (size_t)L, group = (size_t)a.group;
    float *scores = sizeof(T) == 4 ? (float *)p : (float *)work;
    for (size_t i = 0; i < group; i++) {
        struct matrix q = {x.q + i * a.q_step, row, false, group * a.q_step},
                      k = {x.k, kv_row, true, a.kv_step};
        struct product s = {L, L, d, a.scale, q, k, batch, group * square};
        multiply<T, float>(b, s, NULL, 0, scores + i * square, L);
    }
    RUN(b, (softmax_kernel<T>), (unsigned)(a.heads * L), ROW_THREADS, p, scores, L, a.window);
    for (size_t i = 0; i < group; i++) {
        struct matrix pi = {p + i * square, L, false, group * square}, v = {x.v, kv_row, false, a.kv_step};
        struct product o = {L, d, L, 1, pi, v, batch, group * (size_t)d};
        multiply<T, T>(b, o, NULL, 0, out + i * (size_t)d, d * a.heads);
    }
}

/* The gradient of shared keys or values from head i of every group, added to that of the heads before it: in
 * place, or where that would round every time in `sum`. */
template <class T>
static void multiply_shared(struct backend *b, struct product p, T *to, float *sum, const struct heads &a,
                            size_t i) {
    if (!sums_apart<T>(a)) {
        p.stride_c = a.kv_step;
        multiply<T, T>(b, p, NULL, i > 0, to, (int)a.kv_row);
        return;
    }
    p.stride_c = (size_t)a.length * (size_t)a.size;
    multiply<T, float>(b, p, NULL, i > 0, sum, a.size);
    if (i + 1 == (size_t)a.group)
        RUN(b, (put_heads_kernel<T>), packs((size_t)p.batch * p.stride_c, 1), ROW_THREADS, to, sum, p.batch,
            a.length, a.size, a.kv_row, a.kv_step);
}

template <class T>
static void squares_back(struct backend *b, struct begins<T> dx, const T *dout, const T *out, const T *p,
                         void *work, struct begins<const T> x, const struct heads &a) {
    int L = a.length, d = a.size, batch = a.heads / a.group, row = (int)a.q_row, kv_row = (int)a.kv_row;
    size_t square = (size_t)L * (size_t)L, all = square * (size_t)a.heads, group = (size_t)a.group;
    float *dp = (float *)work, *sum = dp + all;
    T *ds = sizeof(T) == 4 ? (T *)work : (T *)(sum + (sums_apart<T>(a) ? (size_t)(batch * L * d) : 0));
    struct matrix k = {x.k, kv_row, false, a.kv_step}, v = {x.v, kv_row, true, a.kv_step};
    for (size_t i = 0; i < group; i++) {
        struct matrix go = {dout + i * (size_t)d, d * a.heads, false, group * (size_t)d};
        struct product to_dp = {L, L, d, 1, go, v, batch, group * square};
        struct product dv = {L, d, L, 1, {p + i * square, L, true, group * square}, go, batch, 0};
        multiply<T, float>(b, to_dp, NULL, 0, dp + i * square, L);
        multiply_shared<T>(b, dv, dx.v, sum, a, i);
    }
    RUN(b, (softmax_back_kernel<T>), (unsigned)(a.heads * L), ROW_THREADS, ds, dp, p, dout, out, L, a.heads,
        d);
    for (size_t i = 0; i < group; i++) {
        struct matrix q = {x.q + i * a.q_step, row, false, group * a.q_step},
                      ds_i = {ds + i * square, L, false, group * square}, flipped = ds_i;
        flipped.transposed = true;
        struct product dq = {L, d, L, a.scale, ds_i, k, batch, group * a.q_step};
        struct product dk = {L, d, L, a.scale, flipped, q, batch, 0};
        multiply<T, T>(b, dq, NULL, 0, dx.q + i * a.q_step, row);
        multiply_shared<T>(b, dk, dx.k, sum, a, i);
    }
}

template <class T>
static void cuda_attention(struct backend *b, void *out, void *saved, void *work, const void *q,
                           const void *kv, struct attention a) {
    struct heads h = heads_of(a);
    struct begins<const T> x = begins_of<const T>(q, kv, a);
    size_t rows = (size_t)a.length * (size_t)a.heads; /* of one sequence */
    if constexpr (sizeof(T) == 2)
        if (in_tiles<T>(a))
            return a.size <= 64 ? flash<64, 8, 64>(b, out, saved, x, h, a.sequences)
                                : flash<128, 8, 64>(b, out, saved, x, h, a.sequences);
    for (size_t s = 0; s < (size_t)a.sequences; s++)
        squares<T>(b, (T *)out + s * rows * (size_t)a.size, (T *)saved + s * rows * (size_t)a.length, work,
                   sequence(x, h, s), h);
}

template <class T>
static void cuda_attention_back(struct backend *b, void *dq, void *dkv, const void *dout, const void *out,
                                const void *saved, void *work, const void *q, const void *kv,
                                struct attention a) {
    struct heads h = heads_of(a);
    struct begins<const T> x = begins_of<const T>(q, kv, a);
    struct begins<T> dx = begins_of<T>(dq, dkv, a);
    size_t rows = (size_t)a.length * (size_t)a.heads;
    if constexpr (sizeof(T) == 2)
        if (in_tiles<T>(a))
            return a.size <= 64 ? flash_back<64, 4, 64>(b, dx, dout, out, saved, work, x, h, a.sequences)
                                : flash_back<128, 4, 32>(b, dx, dout, out, saved, work, x, h, a.sequences);
    for (size_t s = 0; s < (size_t)a.sequences; s++)
        squares_back<T>(b, sequence(dx, h, s), (const T *)dout + s * rows * (size_t)a.size,
                        (const T *)out + s * rows * (size_t)a.size,
                        (const T *)saved + s * rows * (size_t)a.length, work, sequence(x, h, s), h);
}

/* ---- activation ---- */

template <class T>
static void cuda_activate(struct backend *b, void *y, const void *x, enum activation f, size_t n) {
    by_width<T>(divides<T>(n) && aligned(y, x), [&](auto width) {
        constexpr int W = decltype(width)::value;
        if (f == ACTIVATION_SWIGLU)
            RUN(b, (swiglu_kernel<T, W>), packs(n, W), ROW_THREADS, (T *)y, (const T *)x, n);
        else if (f == ACTIVATION_GELU)
            RUN(b, (activate_kernel<T, W, true>), packs(n, W), ROW_THREADS, (T *)y, (const T *)x, n);
        else
            RUN(b, (activate_kernel<T, W, false>), packs(n, W), ROW_THREADS, (T *)y, (const T *)x, n);
    });
}

template <class T>
static void cuda_activate_back(struct backend *b, void *dx, void *y, const void *dy, const void *x,
                               enum activation f, size_t n) {
    by_width<T>(divides<T>(n) && aligned(dx, dy, y, x), [&](auto width) {
        constexpr int W = decltype(width)::value;
        if (f == ACTIVATION_SWIGLU)
            RUN(b, (swiglu_back_kernel<T, W>), packs(n, W), ROW_THREADS, (T *)dx, (T *)y, (const T *)dy,
                (const T *)x, n);
        else if (f == ACTIVATION_GELU)
            RUN(b, (activate_back_kernel<T, W, true>), packs(n, W), ROW_THREADS, (T *)dx, (T *)y,
                (const T *)dy, (const T *)x, n);
        else
            RUN(b, (activate_back_kernel<T, W, false>), packs(n, W), ROW_THREADS, (T *)dx, (T *)y,
                (const T *)dy, (const T *)x, n);
    });
}

/* ---- embedding ---- */

template <class T>
static void cuda_embed(struct backend *b, void *y, const void *table, const void *positions, const int *token,
                       int first, int rows, int n, int length, int h) {
    by_width<T>(divides<T>((size_t)h) && aligned(y, table, positions), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (embed_kernel<T, W>), packs((size_t)n * (size_t)h, W), ROW_THREADS, (T *)y, (const T *)table,
            (const T *)positions, token, first, rows, (size_t)n, length, h);
    });
}

/* SCRATCH holds keys, indices, both of them sorted, and what sorting itself takes; the first three are whole
 * numbers of 256 bytes. */
static size_t sorted_room(int n) { return ((size_t)n + 63) / 64 * 64; }
static size_t sorting_bytes(const struct gpu *c, int n, int bits) {
    size_t bytes = 0;
    const unsigned *key = NULL;
    const int *index = NULL;
    CHECK(cub::DeviceRadixSort::SortPairs(NULL, bytes, key, (unsigned *)NULL, index, (int *)NULL, n, 0, bits,
                                          c->stream));
    return bytes;
}
static bool can_sort(const struct gpu *c, int n) {
    return 4 * sorted_room(n) * sizeof(int) + sorting_bytes(c, n, 32) <= SCRATCH;
}
static int most_tokens(const struct gpu *c) {
    int n = 0;
    for (int more = SCRATCH / 16; more; more /= 2)
        if (can_sort(c, n + more)) n += more;
    return n;
}

template <class T>
static void cuda_embed_back(struct backend *b, void *dtable, void *dpositions, const void *dy,
                            const int *token, int first, int rows, int n, int length, int h) {
    struct gpu *c = own(b);
    size_t size = (size_t)length * (size_t)h, used = sorted_room(n);
    by_width<T>(divides<T>((size_t)h) && aligned(dy, dpositions), [&](auto width) {
        constexpr int W = decltype(width)::value;
        if (dpositions)
            RUN(b, (positions_back_kernel<T, W>), packs(size, W), ROW_THREADS, (float *)dpositions,
                (const T *)dy, (size_t)n * (size_t)h, size);
    });
    unsigned *key = (unsigned *)c->scratch, *sorted = key + used;
    int *index = (int *)(sorted + used), *order = index + used, bits = 1;
    void *room = order + used;
    while (rows >> bits) bits++;
    size_t temporary = sorting_bytes(c, n, bits);
    RUN(b, table_rows_kernel, packs((size_t)n, 1), ROW_THREADS, key, index, token, first, rows, n);
    CHECK(cub::DeviceRadixSort::SortPairs(room, temporary, key, sorted, index, order, n, 0, bits, c->stream));
    by_width<T>(divides<T>((size_t)h) && aligned(dy, dtable), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (table_back_kernel<T, W>), dim3(ceil_div((size_t)n, 4), ceil_div((size_t)h, WARP * W)),
            dim3(WARP, 4), (float *)dtable, (const T *)dy, sorted, order, rows, n, h);
    });
}

/* ---- cross entropy ---- */

template <class T>
static void cuda_loss_max(struct backend *b, void *max, const void *logits, int n, int rows, int room) {
    by_width<T>(divides<T>((size_t)room) && aligned(logits), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (loss_max_kernel<T, W>), (unsigned)n, ROW_THREADS, (float *)max, (const T *)logits, rows,
            room);
    });
}

template <class T>
static void cuda_loss_sums(struct backend *b, void *sums, void *logits, const void *max, const int *target,
                           int first, int n, int rows, int room) {
    by_width<T>(divides<T>((size_t)room) && aligned(logits), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (loss_sums_kernel<T, W>), (unsigned)n, ROW_THREADS, (float *)sums, (T *)logits,
            (const float *)max, target, first, n, rows, room);
    });
}

template <class T>
static void cuda_loss_back(struct backend *b, void *loss, void *logits, const void *sums, const int *target,
                           int first, int n, int n_valid, int rows, int room, double weight) {
    by_width<T>(divides<T>((size_t)room) && aligned(logits), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (loss_back_kernel<T, W>), (unsigned)n, ROW_THREADS, (T *)logits, (const float *)sums, target,
            first, n_valid, rows, room, (float)weight);
    });
    RUN(b, loss_kernel, 1, ROW_THREADS, (float *)loss, (const float *)sums, n, n_valid, weight);
}

/* ---- optimizer ---- */

template <class T>
static void cuda_adamw(struct backend *b, void *p, void *master, const void *g, void *m, void *v, size_t n,
                       struct adamw step) {
    struct adamw_numbers a = {(float)step.rate,
                              (float)step.beta1,
                              (float)step.beta2,
                              (float)step.epsilon,
                              (float)(1 - step.rate * step.decay),
                              (float)(1 / step.correction1),
                              (float)(1 / step.correction2),
                              (float)step.shrink};
    float *w = (float *)(sizeof(T) == 4 ? p : master);
    by_width<T>(divides<T>(n) && aligned(p, w, g, m, v), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (adamw_kernel<T, W>), packs(n, W), ROW_THREADS, (T *)p, w, (const float *)g, (float *)m,
            (float *)v, n, a);
    });
}

static void cuda_find_bad(struct backend *b, void *bad, const void *x, size_t n) {
    by_width<float>(divides<float>(n) && aligned(x), [&](auto width) {
        constexpr int W = decltype(width)::value;
        RUN(b, (find_bad_kernel<W>), packs(n, W), ROW_THREADS, (float *)bad, (const float *)x, n);
    });
}

static void cuda_squares(struct backend *b, void *sum, const void *x, size_t n) {
    enum { PARTS = 256 };
    unsigned parts = ceil_div(n, ROW_THREADS);
    double *part = (double *)own(b)->scratch;
    if (parts > PARTS) parts = PARTS;
    RUN(b, squares_kernel, parts, ROW_THREADS, part, (const float *)x, n);
    RUN(b, squares_end_kernel, 1, 1, (double *)sum, part, (int)parts);
}

/* ---- the backend ---- */

static void cuda_close(struct backend *b) {
    struct gpu *c = own(b);
    if (!c) return;
    cuda_sync(b);
    matmul_free(&c->matmuls);
    for (int i = 0; i < c->stamps; i++) cudaEventDestroy(c->stamp[i]);
    for (int i = 0; i < UPLOADS; i++) cudaEventDestroy(c->uploaded[i]);
    cudaFreeHost(c->upload);
    cudaFree(c->scratch);
    cudaStreamDestroy(c->stream);
    free(c->stamp);
    free(c);
    b->own = NULL;
}

template <class T> static void operations(struct backend *b) {
    b->linear = cuda_linear<T>;
    b->linear_back = cuda_linear_back<T>;
    b->residual = cuda_residual<T>;
    b->norm = cuda_norm<T>;
    b->norm_back = cuda_norm_back<T>;
    b->rotate = cuda_rotate<T>;
    b->attention_bytes = cuda_attention_bytes<T>;
    b->attention = cuda_attention<T>;
    b->attention_back = cuda_attention_back<T>;
    b->activate = cuda_activate<T>;
    b->activate_back = cuda_activate_back<T>;
    b->embed = cuda_embed<T>;
    b->embed_back = cuda_embed_back<T>;
    b->loss_max = cuda_loss_max<T>;
    b->loss_sums = cuda_loss_sums<T>;
    b->loss_back = cuda_loss_back<T>;
    b->adamw = cuda_adamw<T>;
}

static void services(struct backend *b) {
    b->alloc = cuda_alloc;
    b->release = cuda_release;
    b->upload = cuda_upload;
    b->download = cuda_download;
    b->host_alloc = cuda_host_alloc;
    b->host_release = cuda_host_release;
    b->device_bytes = cuda_device_bytes;
    b->zero = cuda_zero;
    b->copy = cuda_copy;
    b->sync = cuda_sync;
    b->stamp = cuda_stamp;
    b->stamp_s = cuda_stamp_s;
    b->find_bad = cuda_find_bad;
    b->squares = cuda_squares;
    b->close = cuda_close;
}

int backend_cuda_open(struct backend *b, enum elem elem, int place, struct err *e) {
    int devices = 0;
    cudaDeviceProp device;
    char bus[32] = "";
    /* a stream that waits for a peer must not hold up others in the same queue: use as many queues as
     * possible, whatever the environment says */
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
    cudaError_t status = cudaGetDeviceCount(&devices);
    if (status == cudaErrorInsufficientDriver)
        return err_set(e, EXIT_INPUT,
                       "backend cuda: no CUDA driver on this machine, or one that is too old (%s)",
                       cudaGetErrorString(status));
    if (status == cudaErrorNoDevice || (status == cudaSuccess && devices == 0))
        return err_set(e, EXIT_INPUT, "backend cuda: no CUDA device on this machine");
    if (status == cudaSuccess) status = cudaSetDevice(place % devices);
    if (status == cudaSuccess) status = cudaGetDeviceProperties(&device, place % devices);
    if (status == cudaSuccess) status = cudaDeviceGetPCIBusId(bus, sizeof bus, place % devices);
    if (status != cudaSuccess)
        return err_set(e, EXIT_INTERNAL, "backend cuda: GPU %d: %s", place, cudaGetErrorString(status));
    if (device.major < 8)
        return err_set(e, EXIT_INPUT, "backend cuda: %s has compute capability %d.%d; expected 8.0 or more",
                       device.name, device.major, device.minor);
    struct gpu *c = (struct gpu *)calloc(1, sizeof *c);
    if (!c) return err_set(e, EXIT_INTERNAL, "out of memory");
    *b = {};
    b->name = "cuda";
    b->elem = elem;
    b->acc = ELEM_F32;
    b->parts = ALL_PARTS;
    b->own = c;
    b->products = elem == ELEM_BF16 ? "bf16" : "tf32";
    snprintf(b->device, sizeof b->device, "%.80s (%s)", device.name, bus);
    services(b);
    if (elem == ELEM_BF16)
        operations<bfloat>(b);
    else
        operations<float>(b);
    status = cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking);
    if (status == cudaSuccess) status = cudaMalloc(&c->scratch, SCRATCH);
    if (status == cudaSuccess) status = cudaMallocHost((void **)&c->upload, UPLOADS * UPLOAD);
    for (int i = 0; i < UPLOADS && status == cudaSuccess; i++)
        status = cudaEventCreateWithFlags(&c->uploaded[i], cudaEventDisableTiming);
    if (status == cudaSuccess && cublasLtCreate(&c->matmuls.blas) != CUBLAS_STATUS_SUCCESS)
        status = cudaErrorUnknown;
    c->matmuls.stream = c->stream;
    c->matmuls.scratch = c->scratch;
    c->matmuls.scratch_bytes = SCRATCH;
    if (status == cudaSuccess) {
        b->most_tokens = most_tokens(c);
        return 0;
    }
    return err_set(e, status == cudaErrorMemoryAllocation ? EXIT_NOPLAN : EXIT_INTERNAL,
                   "backend cuda: %s: %s", b->device, cudaGetErrorString(status));
}

void *backend_cuda_stream(const struct backend *b) { return own(b)->stream; }

void backend_cuda_poll(struct backend *b, void (*poll)(void *), void *poll_own) {
    own(b)->poll = poll;
    own(b)->poll_own = poll_own;
}
