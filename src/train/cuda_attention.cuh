#ifndef SAILOR_TRAIN_CUDA_ATTENTION_CUH
#define SAILOR_TRAIN_CUDA_ATTENTION_CUH
#include "train/cuda_kernels.cuh"
/* Attention in bf16 without ever storing the scores, after FlashAttention-2 (Dao 2023): a block holds a tile
 * of rows and walks over the other side tile by tile; per row, only the logarithm of the sum of its
 * probabilities is kept, and the backward pass computes them again. dK, dV and dQ have a kernel each, at the
 * price of two more products, for sums in a fixed order and no atomics.
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

/* Attention as the kernels take it. Rows of queries and of keys and values are q_row and kv_row elements
 * long, heads within them q_step and kv_step apart. */
struct heads {
    int length, heads, size;
    int group;  /* heads that share keys and values */
    int window; /* tokens that a token sees, itself among them; at most all */
    size_t q_row, q_step, kv_row, kv_step;
    float scale, scale2; /* of scores; to base 2 */
};

static __device__ inline bool sees(int query, int key, int window) {
    return (unsigned)(query - key) < (unsigned)window; /* a later key is beyond every window */
}

/* Where a head of the block's sequence begins: in q, in k and v, in out, and in what is
 * [sequences][heads][length]. */
struct place {
    size_t q, kv, out, row;
};
static __device__ inline struct place place_of(const struct heads &a, int head) {
    size_t token = (size_t)blockIdx.z * (size_t)a.length, h = (size_t)head, all = (size_t)a.heads;
    struct place x;
    x.q = token * a.q_row + h * a.q_step;
    x.kv = token * a.kv_row + h / (size_t)a.group * a.kv_step;
    x.out = (token * all + h) * (size_t)a.size;
    x.row = ((size_t)blockIdx.z * all + h) * (size_t)a.length;
    return x;
}

/* The walk over the keys and values that the rows from `first` on, before `end`, see, in tiles of C: calls
 * work(key, keys, values) with the tile that begins with `key` in shared memory. Two tiles of each take
 * turns: one is fetched while the block works on the other. k and v are where the head begins. Earlier
 * fetches are complete by then too. */
template <int D, int C, class F>
static __device__ inline void walk_keys(bfloat *keys, bfloat *values, const bfloat *k, const bfloat *v,
                                        int first, int end, const struct heads &a, F work) {
    int begin = first < a.window ? 0 : (first - a.window + 1) / C, tiles = (end + C - 1) / C;
    for (int j = begin - 1; j < tiles; j++) { /* one ahead: fetch a tile before working on the previous one */
        if (j + 1 < tiles) {
            size_t next = (size_t)(j + 1) * C * a.kv_row;
            int there = a.length - (j + 1) * C, other = (j + 1) % 2 * C * D;
            fetch<D, C>(keys + other, k + next, a.kv_row, there, a.size);
            fetch<D, C>(values + other, v + next, a.kv_row, there, a.size);
        }
        copy_end(); /* empty after the last tile, so that one group after tile j's is always open */
        if (j < begin) continue;
        copy_wait<1>();
        __syncthreads();
        work(j * C, keys + j % 2 * C * D, values + j % 2 * C * D);
        __syncthreads(); /* before the next tile but one overwrites it */
    }
}

template <int D, int WARPS, int C> static constexpr size_t flash_bytes() {
    return sizeof(bfloat) * D * (16 * WARPS + 4 * C);
}
template <int D, int WARPS, int C> static constexpr size_t flash_back_bytes() {
    return sizeof(bfloat) * D * (2 * 16 * WARPS + 4 * C) + sizeof(float) * 4 * C;
}

/* How many blocks an SM should hold at once; its registers are shared out accordingly. */
#define BLOCKS(D, WARPS) ((D) == 64 ? ((WARPS) == 8 ? 2 : 3) : ((WARPS) == 8 ? 1 : 2))

/* Blocks: (tiles of 16 WARPS rows, heads, sequences). log_sum: of the exponentials of a row's scores, to base
 * 2. The longest rows begin first. */
template <int D, int WARPS, int C>
__global__ void __launch_bounds__(WARPS *WARP, BLOCKS(D, WARPS))
    flash_kernel(bfloat *out, float *log_sum, const bfloat *q, const bfloat *k, const bfloat *v,
                 struct heads a) {
    enum { R = 16 * WARPS };
    bfloat *rows = (bfloat *)shared_memory(), *keys = rows + R * D, *values = keys + 2 * C * D;
    struct place at = place_of(a, (int)blockIdx.y);
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, t = lane % 4 * 2;
    int first = (int)(gridDim.x - 1 - blockIdx.x) * R, row = first + 16 * warp + lane / 4;
    int end = first + R < a.length ? first + R : a.length;
    /* finite: a row may see nothing of the first tile */
    float o[D / 8][4] = {{0}}, most[2] = {-1e30f, -1e30f}, sum[2] = {0, 0};
    fetch<D, R>(rows, q + at.q + (size_t)first * a.q_row, a.q_row, a.length - first, a.size);
    walk_keys<D, C>(keys, values, k + at.kv, v + at.kv, first, end, a, [&](int key, bfloat *kj, bfloat *vj) {
        float s[C / 8][4];
        dot<D, C>(s, rows, 16 * warp, kj);
        /* the warp's first row sees the last key, and its last row the first one */
        bool whole =
            sees(first + 16 * warp, key + C - 1, a.window) && sees(first + 16 * warp + 15, key, a.window);
        float now[2] = {most[0], most[1]}, shrink[2];
#pragma unroll
        for (int n = 0; n < C / 8; n++)
            for (int i = 0; i < 4; i++) {
                bool seen = whole || sees(row + i / 2 * 8, key + 8 * n + t + i % 2, a.window);
                s[n][i] = seen ? s[n][i] * a.scale2 : -INFINITY;
                now[i / 2] = fmaxf(now[i / 2], s[n][i]);
            }
        for (int half = 0; half < 2; half++) {
            for (int lanes = 1; lanes <= 2; lanes *= 2)
                now[half] = fmaxf(now[half], __shfl_xor_sync(0xffffffffu, now[half], lanes));
            shrink[half] = exp2f(most[half] - now[half]);
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
        if (lane % 4 == 0 && i < a.length) log_sum[at.row + (size_t)i] = most[half] + log2f(sum[half]);
        sum[half] = 1 / sum[half];
    }
    put_rows<D>(out + at.out, (size_t)a.heads * (size_t)a.size, row, a.length, a.size, o, sum);
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
    flash_dq_kernel(bfloat *dq, const bfloat *dout, const bfloat *q, const bfloat *k, const bfloat *v,
                    const float *log_sum, const float *along, struct heads a) {
    enum { R = 16 * WARPS };
    bfloat *rows = (bfloat *)shared_memory(), *go = rows + R * D, *keys = go + R * D,
           *values = keys + 2 * C * D;
    struct place at = place_of(a, (int)blockIdx.y);
    size_t out_row = (size_t)a.heads * (size_t)a.size;
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, t = lane % 4 * 2;
    int first = (int)(gridDim.x - 1 - blockIdx.x) * R, row = first + 16 * warp + lane / 4;
    int end = first + R < a.length ? first + R : a.length;
    float sum[D / 8][4] = {{0}}, log_row[2] = {0, 0}, along_row[2] = {0, 0};
    for (int half = 0; half < 2; half++)
        if (row + 8 * half < a.length) {
            log_row[half] = log_sum[at.row + (size_t)(row + 8 * half)];
            along_row[half] = along[at.row + (size_t)(row + 8 * half)];
        }
    fetch<D, R>(rows, q + at.q + (size_t)first * a.q_row, a.q_row, a.length - first, a.size);
    fetch<D, R>(go, dout + at.out + (size_t)first * out_row, out_row, a.length - first, a.size);
    walk_keys<D, C>(keys, values, k + at.kv, v + at.kv, first, end, a, [&](int key, bfloat *kj, bfloat *vj) {
        float s[C / 8][4], dp[C / 8][4];
        dot<D, C>(s, rows, 16 * warp, kj);
        dot<D, C>(dp, go, 16 * warp, vj);
#pragma unroll
        for (int n = 0; n < C / 8; n++)
            for (int i = 0; i < 4; i++) {
                bool seen = sees(row + i / 2 * 8, key + 8 * n + t + i % 2, a.window);
                float p = seen ? exp2f(s[n][i] * a.scale2 - log_row[i / 2]) : 0;
                s[n][i] = p * (dp[n][i] - along_row[i / 2]);
            }
        add_product<D, C>(sum, s, kj);
    });
    float scales[2] = {a.scale, a.scale};
    put_rows<D>(dq + at.q, a.q_row, row, a.length, a.size, sum, scales);
}

/* dk and dv of a tile of keys: dv = P' dO, dk = scale dS' Q, over the queries that see them, head by head of
 * those that share them. Rows are keys here, columns queries; blocks: (tiles of 16 WARPS rows, key/value
 * heads, sequences). */
template <int D, int WARPS, int C>
__global__ void __launch_bounds__(WARPS *WARP, BLOCKS(D, WARPS))
    flash_dkv_kernel(bfloat *dk, bfloat *dv, const bfloat *dout, const bfloat *q, const bfloat *k,
                     const bfloat *v, const float *log_sum, const float *along, struct heads a) {
    enum { R = 16 * WARPS };
    bfloat *keys = (bfloat *)shared_memory(), *values = keys + R * D, *rows = values + R * D,
           *go = rows + 2 * C * D;
    float *stats = (float *)(go + 2 * C * D); /* [2][log_sum, along][C] */
    int head = (int)blockIdx.y * a.group;
    size_t to = place_of(a, head).kv, out_row = (size_t)a.heads * (size_t)a.size;
    int warp = (int)threadIdx.x / WARP, lane = (int)threadIdx.x % WARP, t = lane % 4 * 2;
    int first = (int)blockIdx.x * R, row = first + 16 * warp + lane / 4;
    int last = first + R - 1, end = a.length - last < a.window ? a.length : last + a.window;
    int begin = first / C, tiles = (end + C - 1) / C - begin;
    float sum_k[D / 8][4] = {{0}}, sum_v[D / 8][4] = {{0}};
    fetch<D, R>(keys, k + to + (size_t)first * a.kv_row, a.kv_row, a.length - first, a.size);
    fetch<D, R>(values, v + to + (size_t)first * a.kv_row, a.kv_row, a.length - first, a.size);
    for (int j = -1; j < a.group * tiles; j++) { /* one ahead, as above */
        if (j + 1 < a.group * tiles) {
            struct place at = place_of(a, head + (j + 1) / tiles);
            size_t next = (size_t)(begin + (j + 1) % tiles) * C;
            int there = a.length - (int)next, other = (j + 1) % 2;
            fetch<D, C>(rows + other * C * D, q + at.q + next * a.q_row, a.q_row, there, a.size);
            fetch<D, C>(go + other * C * D, dout + at.out + next * out_row, out_row, there, a.size);
            for (int i = (int)threadIdx.x; i < 2 * C; i += WARPS * WARP) {
                const float *what = i < C ? log_sum : along;
                stats[2 * C * other + i] = i % C < there ? what[at.row + next + (size_t)(i % C)] : 0;
            }
        }
        copy_end();
        if (j < 0) continue;
        copy_wait<1>();
        __syncthreads();
        bfloat *qj = rows + j % 2 * C * D, *goj = go + j % 2 * C * D;
        const float *log_column = stats + 2 * C * (j % 2), *along_column = log_column + C;
        int from = (begin + j % tiles) * C;
        float p[C / 8][4], dp[C / 8][4];
        dot<D, C>(p, keys, 16 * warp, qj);
        dot<D, C>(dp, values, 16 * warp, goj);
#pragma unroll
        for (int n = 0; n < C / 8; n++)
            for (int i = 0; i < 4; i++) {
                int c = 8 * n + t + i % 2, query = from + c;
                bool seen = sees(query, row + i / 2 * 8, a.window) && query < a.length;
                p[n][i] = seen ? exp2f(p[n][i] * a.scale2 - log_column[c]) : 0;
                dp[n][i] = p[n][i] * (dp[n][i] - along_column[c]);
            }
        add_product<D, C>(sum_v, p, goj);
        add_product<D, C>(sum_k, dp, qj);
        __syncthreads();
    }
    float scales[2] = {a.scale, a.scale}, ones[2] = {1, 1};
    put_rows<D>(dk + to, a.kv_row, row, a.length, a.size, sum_k, scales);
    put_rows<D>(dv + to, a.kv_row, row, a.length, a.size, sum_v, ones);
}
#endif
