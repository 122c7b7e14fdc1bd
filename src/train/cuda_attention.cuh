#ifndef SAILOR_TRAIN_CUDA_ATTENTION_CUH
#define SAILOR_TRAIN_CUDA_ATTENTION_CUH
#include "train/cuda_kernels.cuh"
/* Attention in bf16 without ever storing the scores, after FlashAttention-2 (Dao 2023): a block holds a tile
 * of rows and walks over the other side tile by tile; of each row's probabilities only the logarithm of their
 * sum is kept, and the backward pass computes them again. dK, dV and dQ have a kernel each, at the price of
 * two more products, for sums in a fixed order and no atomics.
 *
 * A tile is [rows][D] in shared memory, D the head size rounded up to 64 or 128 and filled with zeros. A warp
 * holds 16 of its rows; accumulators c[n][4] are as multiply_add() has them, one for each 8 columns. */

/* 16-byte piece c of row r of a tile: pieces change places within a row so that those of 8 rows that are read
 * together lie in different banks. */
template <int D> static __device__ inline bfloat *piece(bfloat *tile, int r, int c) {
    return tile + r * D + (c ^ r % 8) * 8;
}

/* Begins to fetch ROWS rows of d elements, `stride` apart, of which `there` exist. */
template <int D, int ROWS>
static __device__ inline void fetch(bfloat *tile, const bfloat *from, size_t stride, int there, int d) {
    for (int i = (int)threadIdx.x; i < ROWS * D / 8; i += (int)blockDim.x) {
        int r = i / (D / 8), c = i % (D / 8);
        bool exists = r < there && 8 * c < d;
        const bfloat *at = exists ? from + (size_t)r * stride + 8 * c : from;
        bfloat *to = piece<D>(tile, r, c);
        if (d % 8 == 0)
            copy_begin(to, at, !exists);
        else
            for (int k = 0; k < 8; k++) to[k] = exists && 8 * c + k < d ? at[k] : put<bfloat>(0);
    }
}

/* c[16][C] = a[16 rows from `row`][D] b[C][D]' */
template <int D, int C>
static __device__ inline void dot(float (&c)[C / 8][4], bfloat *a, int row, bfloat *b) {
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int n = 0; n < C / 8; n++)
        for (int i = 0; i < 4; i++) c[n][i] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t x[4], y[4];
        load_matrices(x, piece<D>(a, row + lane % 16, 2 * k + lane / 16));
#pragma unroll
        for (int n = 0; n < C / 16; n++) {
            load_matrices(y, piece<D>(b, 16 * n + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
            multiply_add(c[2 * n], x, y[0], y[1]);
            multiply_add(c[2 * n + 1], x, y[2], y[3]);
        }
    }
}

static __device__ inline uint32_t pair(float low, float high) {
    bfloat x[2] = {put<bfloat>(low), put<bfloat>(high)};
    uint32_t both;
    memcpy(&both, (const void *)x, sizeof both);
    return both;
}

/* c[16][D] += p[16][C] b[C][D]; p is rounded to bf16 */
template <int D, int C>
static __device__ inline void add_product(float (&c)[D / 8][4], const float (&p)[C / 8][4], bfloat *b) {
    int lane = (int)threadIdx.x % WARP;
#pragma unroll
    for (int k = 0; k < C / 16; k++) {
        uint32_t y[4],
            x[4] = {pair(p[2 * k][0], p[2 * k][1]), pair(p[2 * k][2], p[2 * k][3]),
                    pair(p[2 * k + 1][0], p[2 * k + 1][1]), pair(p[2 * k + 1][2], p[2 * k + 1][3])};
#pragma unroll
        for (int n = 0; n < D / 16; n++) {
            load_transposed(y, piece<D>(b, 16 * k + lane % 16, 2 * n + lane / 16));
            multiply_add(c[2 * n], x, y[0], y[1]);
            multiply_add(c[2 * n + 1], x, y[2], y[3]);
        }
    }
}

/* Rows `row` and row + 8 of the accumulators, times scale, to rows of d elements, `stride` apart. */
template <int D>
static __device__ inline void put_rows(bfloat *to, size_t stride, int row, int length, int d,
                                       const float (&c)[D / 8][4], const float scale[2]) {
    int t = (int)threadIdx.x % 4 * 2;
#pragma unroll
    for (int n = 0; n < D / 8; n++)
        for (int half = 0; half < 2; half++) {
            int j = 8 * n + t;
            bfloat *at = to + (size_t)(row + 8 * half) * stride + j;
            float low = c[n][2 * half] * scale[half], high = c[n][2 * half + 1] * scale[half];
            if (row + 8 * half >= length || j >= d) continue;
            if (d % 2 == 0) {
                *(uint32_t *)at = pair(low, high);
            } else {
                at[0] = put<bfloat>(low);
                if (j + 1 < d) at[1] = put<bfloat>(high);
            }
        }
}

/* Where one head of one sequence begins: in qkv, in out, and in what is [sequences][heads][length]. */
struct place {
    size_t qkv, out, row, stride, out_stride;
};
static __device__ inline struct place place_of(int length, int heads, int d) {
    size_t token = (size_t)blockIdx.z * (size_t)length, h = blockIdx.y;
    struct place x;
    x.stride = (size_t)3 * (size_t)d * (size_t)heads;
    x.out_stride = (size_t)d * (size_t)heads;
    x.qkv = token * x.stride + h * 3 * (size_t)d;
    x.out = token * x.out_stride + h * (size_t)d;
    x.row = ((size_t)blockIdx.z * (size_t)heads + h) * (size_t)length;
    return x;
}

/* The walk over the keys and values that a tile of rows sees, `tiles` tiles of C: calls work(j, keys, values)
 * with tile j in shared memory. Two tiles of each, at k and at v, take turns: one is fetched while the block
 * works on the other. `from` is where the head begins in qkv. What was being fetched before is there, too. */
template <int D, int C, class F>
static __device__ inline void walk_keys(bfloat *k, bfloat *v, const bfloat *from, size_t stride, int tiles,
                                        int length, int d, F work) {
    fetch<D, C>(k, from + d, stride, length, d);
    fetch<D, C>(v, from + 2 * d, stride, length, d);
    copy_end();
    for (int j = 0; j < tiles; j++) {
        if (j + 1 < tiles) {
            const bfloat *next = from + (size_t)(j + 1) * C * stride;
            int there = length - (j + 1) * C, other = (j + 1) % 2 * C * D;
            fetch<D, C>(k + other, next + d, stride, there, d);
            fetch<D, C>(v + other, next + 2 * d, stride, there, d);
        }
        copy_end(); /* empty after the last tile, so that one group more than that of tile j is always open */
        copy_wait<1>();
        __syncthreads();
        work(j, k + j % 2 * C * D, v + j % 2 * C * D);
        __syncthreads(); /* before the next but one overwrites it */
    }
}

template <int D, int WARPS, int C> static constexpr size_t flash_bytes() {
    return sizeof(bfloat) * D * (16 * WARPS + 4 * C);
}
template <int D, int WARPS, int C> static constexpr size_t flash_back_bytes() {
    return sizeof(bfloat) * D * (2 * 16 * WARPS + 4 * C) + sizeof(float) * 4 * C;
}

/* How many blocks an SM is to hold at once, for its registers to be shared out that way. */
#define BLOCKS(D, WARPS) ((D) == 64 ? ((WARPS) == 8 ? 2 : 3) : ((WARPS) == 8 ? 1 : 2))

/* Blocks: (tiles of 16 WARPS rows, heads, sequences). log_sum: of the exponentials of a row's scores, to base
 * 2, and so is scale. The longest rows begin first. */
template <int D, int WARPS, int C>
__global__ void __launch_bounds__(WARPS *WARP, BLOCKS(D, WARPS))
    flash_kernel(bfloat *out, float *log_sum, const bfloat *qkv, int length, int heads, int d, float scale) {
    enum { R = 16 * WARPS };
    bfloat *q = (bfloat *)shared_memory(), *k = q + R * D, *v = k + 2 * C * D;
    struct place at = place_of(length, heads, d);
    const bfloat *from = qkv + at.qkv;
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, t = lane % 4 * 2;
    int first = (int)(gridDim.x - 1 - blockIdx.x) * R, row = first + 16 * warp + lane / 4;
    int end = first + R < length ? first + R : length, tiles = (end + C - 1) / C;
    float o[D / 8][4] = {{0}}, most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
    fetch<D, R>(q, from + (size_t)first * at.stride, at.stride, length - first, d);
    walk_keys<D, C>(k, v, from, at.stride, tiles, length, d, [&](int j, bfloat *kj, bfloat *vj) {
        float s[C / 8][4];
        dot<D, C>(s, q, 16 * warp, kj);
        /* only a tile that reaches beyond the warp's first row hides something from it */
        bool whole = (j + 1) * C <= first + 16 * warp;
        float now[2] = {most[0], most[1]}, shrink[2];
#pragma unroll
        for (int n = 0; n < C / 8; n++)
            for (int i = 0; i < 4; i++) {
                bool seen = whole || j * C + 8 * n + t + i % 2 <= row + i / 2 * 8;
                s[n][i] = seen ? s[n][i] * scale : -INFINITY;
                now[i / 2] = fmaxf(now[i / 2], s[n][i]);
            }
        for (int half = 0; half < 2; half++) {
            for (int lanes = 1; lanes <= 2; lanes *= 2)
                now[half] = fmaxf(now[half], __shfl_xor_sync(0xffffffffu, now[half], lanes));
            shrink[half] = exp2f(most[half] - now[half]); /* column 0 is seen by every row: finite */
            most[half] = now[half];
            sum[half] *= shrink[half];
        }
#pragma unroll
        for (int n = 0; n < C / 8; n++)
            for (int i = 0; i < 4; i++) {
                s[n][i] = exp2f(s[n][i] - most[i / 2]);
                sum[i / 2] += s[n][i];
            }
#pragma unroll
        for (int n = 0; n < D / 8; n++)
            for (int i = 0; i < 4; i++) o[n][i] *= shrink[i / 2];
        add_product<D, C>(o, s, vj);
    });
    for (int half = 0; half < 2; half++) {
        for (int lanes = 1; lanes <= 2; lanes *= 2)
            sum[half] += __shfl_xor_sync(0xffffffffu, sum[half], lanes);
        int i = row + 8 * half;
        if (lane % 4 == 0 && i < length) log_sum[at.row + (size_t)i] = most[half] + log2f(sum[half]);
        sum[half] = 1 / sum[half];
    }
    put_rows<D>(out + at.out, at.out_stride, row, length, d, o, sum);
}

/* along[sequences][heads][length] = dout . out; a warp each, blocks of ROW_THREADS */
static __global__ void flash_along_kernel(float *along, const bfloat *dout, const bfloat *out, size_t n,
                                          int length, int heads, int d) {
    size_t i = (size_t)blockIdx.x * (ROW_THREADS / WARP) + threadIdx.x / WARP;
    if (i >= n) return; /* n = sequences * length * heads, as in out */
    float sum = 0;
    for (int j = (int)threadIdx.x % WARP; j < d; j += WARP)
        sum += get(dout[i * (size_t)d + j]) * get(out[i * (size_t)d + j]);
    sum = warp_sum(sum);
    size_t token = i / (size_t)heads, head = i % (size_t)heads, sequence = token / (size_t)length;
    if (threadIdx.x % WARP == 0)
        along[(sequence * (size_t)heads + head) * (size_t)length + token % (size_t)length] = sum;
}

/* dq of a tile of rows: dq = scale dS K with dS = P (dO V' - along) */
template <int D, int WARPS, int C>
__global__ void __launch_bounds__(WARPS *WARP, BLOCKS(D, WARPS))
    flash_dq_kernel(bfloat *dqkv, const bfloat *dout, const bfloat *qkv, const float *log_sum,
                    const float *along, int length, int heads, int d, float scale, float scale2) {
    enum { R = 16 * WARPS };
    bfloat *q = (bfloat *)shared_memory(), *go = q + R * D, *k = go + R * D, *v = k + 2 * C * D;
    struct place at = place_of(length, heads, d);
    const bfloat *from = qkv + at.qkv;
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, t = lane % 4 * 2;
    int first = (int)(gridDim.x - 1 - blockIdx.x) * R, row = first + 16 * warp + lane / 4;
    int end = first + R < length ? first + R : length, tiles = (end + C - 1) / C;
    float dq[D / 8][4] = {{0}}, log_row[2] = {0, 0}, along_row[2] = {0, 0};
    for (int half = 0; half < 2; half++)
        if (row + 8 * half < length) {
            log_row[half] = log_sum[at.row + (size_t)(row + 8 * half)];
            along_row[half] = along[at.row + (size_t)(row + 8 * half)];
        }
    fetch<D, R>(q, from + (size_t)first * at.stride, at.stride, length - first, d);
    fetch<D, R>(go, dout + at.out + (size_t)first * at.out_stride, at.out_stride, length - first, d);
    walk_keys<D, C>(k, v, from, at.stride, tiles, length, d, [&](int j, bfloat *kj, bfloat *vj) {
        float s[C / 8][4], dp[C / 8][4];
        dot<D, C>(s, q, 16 * warp, kj);
        dot<D, C>(dp, go, 16 * warp, vj);
#pragma unroll
        for (int n = 0; n < C / 8; n++)
            for (int i = 0; i < 4; i++) {
                bool seen = j * C + 8 * n + t + i % 2 <= row + i / 2 * 8;
                float p = seen ? exp2f(s[n][i] * scale2 - log_row[i / 2]) : 0;
                s[n][i] = p * (dp[n][i] - along_row[i / 2]);
            }
        add_product<D, C>(dq, s, kj);
    });
    float scales[2] = {scale, scale};
    put_rows<D>(dqkv + at.qkv, at.stride, row, length, d, dq, scales);
}

/* dk and dv of a tile of keys: dv = P' dO, dk = scale dS' Q. Rows are keys here, columns queries. */
template <int D, int WARPS, int C>
__global__ void __launch_bounds__(WARPS *WARP, BLOCKS(D, WARPS))
    flash_dkv_kernel(bfloat *dqkv, const bfloat *dout, const bfloat *qkv, const float *log_sum,
                     const float *along, int length, int heads, int d, float scale, float scale2) {
    enum { R = 16 * WARPS };
    bfloat *k = (bfloat *)shared_memory(), *v = k + R * D, *q = v + R * D, *go = q + 2 * C * D;
    float *stats = (float *)(go + 2 * C * D); /* [2][log_sum, along][C] */
    struct place at = place_of(length, heads, d);
    const bfloat *from = qkv + at.qkv;
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, t = lane % 4 * 2;
    int first = (int)blockIdx.x * R, row = first + 16 * warp + lane / 4;
    int begin = first / C, tiles = (length + C - 1) / C;
    float dk[D / 8][4] = {{0}}, dv[D / 8][4] = {{0}};
    fetch<D, R>(k, from + (size_t)first * at.stride + d, at.stride, length - first, d);
    fetch<D, R>(v, from + (size_t)first * at.stride + 2 * d, at.stride, length - first, d);
    for (int j = begin - 1; j < tiles; j++) { /* one ahead: fetches a tile before it works on the last one */
        if (j + 1 < tiles) {
            int there = length - (j + 1) * C, other = (j + 1) % 2;
            size_t next = (size_t)(j + 1) * C;
            fetch<D, C>(q + other * C * D, from + next * at.stride, at.stride, there, d);
            fetch<D, C>(go + other * C * D, dout + at.out + next * at.out_stride, at.out_stride, there, d);
            for (int i = (int)threadIdx.x; i < 2 * C; i += WARPS * WARP) {
                const float *what = i < C ? log_sum : along;
                stats[2 * C * other + i] = i % C < there ? what[at.row + next + (size_t)(i % C)] : 0;
            }
        }
        copy_end();
        if (j < begin) continue;
        copy_wait<1>();
        __syncthreads();
        bfloat *qj = q + j % 2 * C * D, *goj = go + j % 2 * C * D;
        const float *log_column = stats + 2 * C * (j % 2), *along_column = log_column + C;
        float p[C / 8][4], dp[C / 8][4];
        dot<D, C>(p, k, 16 * warp, qj);
        dot<D, C>(dp, v, 16 * warp, goj);
#pragma unroll
        for (int n = 0; n < C / 8; n++)
            for (int i = 0; i < 4; i++) {
                int c = 8 * n + t + i % 2, query = j * C + c;
                bool seen = row + i / 2 * 8 <= query && query < length;
                p[n][i] = seen ? exp2f(p[n][i] * scale2 - log_column[c]) : 0;
                dp[n][i] = p[n][i] * (dp[n][i] - along_column[c]);
            }
        add_product<D, C>(dv, p, goj);
        add_product<D, C>(dk, dp, qj);
        __syncthreads();
    }
    float scales[2] = {scale, scale}, ones[2] = {1, 1};
    put_rows<D>(dqkv + at.qkv + d, at.stride, row, length, d, dk, scales);
    put_rows<D>(dqkv + at.qkv + 2 * d, at.stride, row, length, d, dv, ones);
}
#endif
