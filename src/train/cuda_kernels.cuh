#ifndef SAILOR_TRAIN_CUDA_KERNELS_CUH
#define SAILOR_TRAIN_CUDA_KERNELS_CUH
#include "train/cuda_device.cuh"
#include <math.h>
#include <string.h>
/* The kernels but for attention. T is the type of what is stored, float or bf16; sums, statistics and
 * gradients of parameters are float. A thread takes W neighbouring elements at once, 16 bytes where sizes and
 * addresses allow, else one. No sum depends on the order in which threads run. */

typedef __nv_bfloat16 bfloat;

static __device__ inline float get(float x) { return x; }
static __device__ inline float get(bfloat x) { return __bfloat162float(x); }
template <class T> static __device__ inline T put(float x);
template <> __device__ inline float put<float>(float x) { return x; }
template <> __device__ inline bfloat put<bfloat>(float x) { return __float2bfloat16_rn(x); }

/* ---- W elements at once ---- */

template <int BYTES> struct word;
template <> struct word<2> { typedef unsigned short type; };
template <> struct word<4> { typedef unsigned type; };
template <> struct word<8> { typedef uint2 type; };
template <> struct word<16> { typedef uint4 type; };

template <class T, int W> struct pack { T at[W]; };

template <int W, class T> static __device__ inline pack<T, W> load(const T *from) {
    constexpr int BYTES = sizeof(T) * W < 16 ? (int)sizeof(T) * W : 16;
    constexpr int N = (int)sizeof(T) * W / BYTES;
    typename word<BYTES>::type raw[N];
    pack<T, W> x;
    for (int i = 0; i < N; i++) raw[i] = ((const typename word<BYTES>::type *)from)[i];
    memcpy((void *)&x, raw, sizeof x);
    return x;
}

template <int W, class T> static __device__ inline void store(T *to, const pack<T, W> &x) {
    constexpr int BYTES = sizeof(T) * W < 16 ? (int)sizeof(T) * W : 16;
    constexpr int N = (int)sizeof(T) * W / BYTES;
    typename word<BYTES>::type raw[N];
    memcpy(raw, (const void *)&x, sizeof x);
    for (int i = 0; i < N; i++) ((typename word<BYTES>::type *)to)[i] = raw[i];
}

/* Loads from a tensor that a model may lack. */
template <int W, class T> static __device__ inline pack<T, W> load_or_zero(const T *from, size_t at) {
    if (from) return load<W>(from + at);
    pack<T, W> x;
    for (int k = 0; k < W; k++) x.at[k] = put<T>(0);
    return x;
}

/* Elements [i, i + W) of n for each thread in turn; n is a multiple of W. */
#define FOR_PACKS(i, n)                                                                                      \
    for (size_t i = ((size_t)blockIdx.x * blockDim.x + threadIdx.x) * W; i < (n);                            \
         i += (size_t)gridDim.x * blockDim.x * W)

/* ---- sums: every lane, or every thread of the block, gets the result ---- */

enum { WARP = 32, ROW_THREADS = 256 };

static __device__ inline float warp_sum(float x) {
    for (int o = WARP / 2; o; o /= 2) x += __shfl_xor_sync(0xffffffffu, x, o);
    return x;
}
static __device__ inline float warp_max(float x) {
    for (int o = WARP / 2; o; o /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, o));
    return x;
}

/* A block of ROW_THREADS threads in one dimension. */
template <bool MAX> static __device__ inline float block_reduce(float x) {
    __shared__ float part[ROW_THREADS / WARP];
    x = MAX ? warp_max(x) : warp_sum(x);
    __syncthreads(); /* some may still read the previous call's part */
    if (threadIdx.x % WARP == 0) part[threadIdx.x / WARP] = x;
    __syncthreads();
    float all = part[0];
    for (int i = 1; i < ROW_THREADS / WARP; i++) all = MAX ? fmaxf(all, part[i]) : all + part[i];
    return all;
}

/* ---- residual ---- */

template <class T, int W>
__global__ void residual_kernel(T *y, const T *x, const T *part, const T *bias, size_t n, int h) {
    FOR_PACKS(i, n) {
        pack<T, W> a = load<W>(x + i), b = load<W>(part + i), c = load_or_zero<W>(bias, i % (size_t)h);
        for (int k = 0; k < W; k++) a.at[k] = put<T>(get(a.at[k]) + (get(b.at[k]) + get(c.at[k])));
        store(y + i, a);
    }
}

/* ---- layer norm, or RMS norm where mean and bias are NULL: a warp per row, which it reads several times,
 * out of the cache ---- */

template <class T, int W>
__global__ void norm_kernel(T *y, float *mean, float *rstd, const T *x, const T *gain, const T *bias, int n,
                            int h, float epsilon) {
    int i = (int)(blockIdx.x * (ROW_THREADS / WARP) + threadIdx.x / WARP), lane = (int)threadIdx.x % WARP;
    if (i >= n) return;
    const T *from = x + (size_t)i * (size_t)h;
    T *to = y + (size_t)i * (size_t)h;
    float sum = 0, square = 0;
    for (int j = lane * W; j < h && mean; j += WARP * W) {
        pack<T, W> v = load<W>(from + j);
        for (int k = 0; k < W; k++) sum += get(v.at[k]);
    }
    float m = warp_sum(sum) / (float)h;
    for (int j = lane * W; j < h; j += WARP * W) {
        pack<T, W> v = load<W>(from + j);
        for (int k = 0; k < W; k++) square += (get(v.at[k]) - m) * (get(v.at[k]) - m);
    }
    float r = 1 / sqrtf(warp_sum(square) / (float)h + epsilon);
    for (int j = lane * W; j < h; j += WARP * W) {
        pack<T, W> v = load<W>(from + j), g = load<W>(gain + j), o = load_or_zero<W>(bias, (size_t)j);
        for (int k = 0; k < W; k++) v.at[k] = put<T>((get(v.at[k]) - m) * r * get(g.at[k]) + get(o.at[k]));
        store(to + j, v);
    }
    if (lane == 0 && mean) mean[i] = m;
    if (lane == 0) rstd[i] = r;
}

/* dx += the gradient of the row */
template <class T, int W>
__global__ void norm_back_kernel(T *dx, const T *dy, const T *x, const T *gain, const float *mean,
                                 const float *rstd, int n, int h) {
    int i = (int)(blockIdx.x * (ROW_THREADS / WARP) + threadIdx.x / WARP), lane = (int)threadIdx.x % WARP;
    if (i >= n) return;
    size_t at = (size_t)i * (size_t)h;
    float m = mean ? mean[i] : 0, r = rstd[i], sum = 0, along = 0; /* of dnorm, and of dnorm * norm */
    for (int j = lane * W; j < h; j += WARP * W) {
        pack<T, W> d = load<W>(dy + at + j), v = load<W>(x + at + j), g = load<W>(gain + j);
        for (int k = 0; k < W; k++) {
            float dn = get(d.at[k]) * get(g.at[k]);
            sum += dn;
            along += dn * ((get(v.at[k]) - m) * r);
        }
    }
    sum = mean ? warp_sum(sum) / (float)h : 0;
    along = warp_sum(along) / (float)h;
    for (int j = lane * W; j < h; j += WARP * W) {
        pack<T, W> d = load<W>(dy + at + j), v = load<W>(x + at + j), g = load<W>(gain + j),
                   to = load<W>(dx + at + j);
        for (int k = 0; k < W; k++) {
            float norm = (get(v.at[k]) - m) * r;
            to.at[k] = put<T>(get(to.at[k]) + (get(d.at[k]) * get(g.at[k]) - sum - norm * along) * r);
        }
        store(dx + at + j, to);
    }
}

/* ---- column sums of dy, and of dy * norm(x) where x is given: chunks of rows first, [chunks][1 or 2][h],
 * then the chunks. Blocks of 32 x COLUMN_ROWS threads. ---- */

enum { COLUMN_ROWS = 8 };

template <class T, int W, bool NORM>
__global__ void columns_kernel(float *part, const T *dy, const T *x, const float *mean, const float *rstd,
                               int n, int h, int chunk) {
    __shared__ float room[NORM ? 2 : 1][COLUMN_ROWS][WARP * W];
    int j = (int)(blockIdx.x * WARP + threadIdx.x) * W, first = (int)blockIdx.y * chunk;
    int end = first + chunk < n ? first + chunk : n;
    float bias[W] = {0}, gain[W] = {0};
    if (j < h) {
#pragma unroll 4
        for (int i = first + (int)threadIdx.y; i < end; i += COLUMN_ROWS) {
            size_t at = (size_t)i * (size_t)h + (size_t)j;
            pack<T, W> d = load<W>(dy + at);
            for (int k = 0; k < W; k++) bias[k] += get(d.at[k]);
            if constexpr (NORM) {
                pack<T, W> v = load<W>(x + at);
                float m = mean ? mean[i] : 0, r = rstd[i];
                for (int k = 0; k < W; k++) gain[k] += get(d.at[k]) * ((get(v.at[k]) - m) * r);
            }
        }
    }
    for (int k = 0; k < W; k++) {
        room[0][threadIdx.y][threadIdx.x * W + k] = bias[k];
        if constexpr (NORM) room[1][threadIdx.y][threadIdx.x * W + k] = gain[k];
    }
    __syncthreads();
    int lines = NORM ? 2 : 1, width = WARP * W, from = (int)blockIdx.x * width;
    for (int c = (int)(threadIdx.y * WARP + threadIdx.x); c < lines * width; c += WARP * COLUMN_ROWS) {
        int line = c / width, column = c % width;
        float sum = 0;
        for (int y = 0; y < COLUMN_ROWS; y++) sum += room[line][y][column];
        if (from + column < h)
            part[((size_t)blockIdx.y * lines + line) * (size_t)h + (size_t)(from + column)] = sum;
    }
}

/* dbias += part[.][0], unless it is NULL, dgain += part[.][1] (NULL: one line only) */
static __global__ void columns_end_kernel(float *dbias, float *dgain, const float *part, int chunks, int h) {
    __shared__ float room[COLUMN_ROWS][WARP];
    int j = (int)(blockIdx.x * WARP + threadIdx.x), lines = dgain ? 2 : 1, line = (int)blockIdx.y;
    float sum = 0;
    if (j < h) {
#pragma unroll 4
        for (int c = (int)threadIdx.y; c < chunks; c += COLUMN_ROWS)
            sum += part[((size_t)c * lines + line) * (size_t)h + (size_t)j];
    }
    room[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    float *to = line ? dgain : dbias;
    if (threadIdx.y || j >= h || !to) return;
    for (int y = 1; y < COLUMN_ROWS; y++) sum += room[y][threadIdx.x];
    to[j] += sum;
}

/* ---- rotary positions, in place: elements j and j + half of n rows of heads turn by the angle of table
 * [length][half][2]; sign -1 turns back ---- */

template <class T, int W>
__global__ void rotate_kernel(T *x, const float *table, size_t n, size_t length, size_t heads, size_t half,
                              size_t ld, size_t step, float sign) {
    FOR_PACKS(i, n * heads * half) {
        size_t j = i % half, head = i / half % heads, row = i / half / heads;
        T *low = x + row * ld + head * step + j, *high = low + half;
        pack<float, 2 *W> turn = load<2 * W>(table + 2 * (row % length * half + j));
        pack<T, W> p = load<W>(low), q = load<W>(high);
        for (int k = 0; k < W; k++) {
            float c = turn.at[2 * k], s = sign * turn.at[2 * k + 1], a = get(p.at[k]), b = get(q.at[k]);
            p.at[k] = put<T>(a * c - b * s);
            q.at[k] = put<T>(b * c + a * s);
        }
        store(low, p);
        store(high, q);
    }
}

/* ---- activation: ReLU, or GELU in GPT-2's form with tanh ---- */

static __device__ inline float gelu_tanh(float v) {
    return tanhf(0.7978845608028654f * (v + 0.044715f * v * v * v)); /* sqrt(2 / pi) */
}

template <class T, int W, bool GELU> __global__ void activate_kernel(T *y, const T *x, size_t n) {
    FOR_PACKS(i, n) {
        pack<T, W> a = load<W>(x + i);
        for (int k = 0; k < W; k++) {
            float v = get(a.at[k]);
            a.at[k] = put<T>(GELU ? 0.5f * v * (1 + gelu_tanh(v)) : fmaxf(v, 0));
        }
        store(y + i, a);
    }
}

template <class T, int W, bool GELU>
__global__ void activate_back_kernel(T *dx, T *y, const T *dy, const T *x, size_t n) {
    FOR_PACKS(i, n) {
        pack<T, W> a = load<W>(x + i), d = load<W>(dy + i);
        for (int k = 0; k < W; k++) {
            float v = get(a.at[k]), slope = v > 0;
            if constexpr (GELU) {
                float t = gelu_tanh(v);
                slope = 0.5f * (1 + t) +
                        0.5f * v * (1 - t * t) * 0.7978845608028654f * (1 + 3 * 0.044715f * v * v);
                a.at[k] = put<T>(0.5f * v * (1 + t));
            } else {
                a.at[k] = put<T>(fmaxf(v, 0));
            }
            d.at[k] = put<T>(get(d.at[k]) * slope);
        }
        store(y + i, a);
        store(dx + i, d);
    }
}

/* SwiGLU of x [n][gate, x]: y = x gate sigmoid(gate) */

static __device__ inline float sigmoid(float v) { return 1 / (1 + expf(-v)); }

template <class T, int W> __global__ void swiglu_kernel(T *y, const T *x, size_t n) {
    FOR_PACKS(i, n) {
        pack<T, 2 *W> a = load<2 * W>(x + 2 * i);
        pack<T, W> to;
        for (int k = 0; k < W; k++) {
            float gate = get(a.at[2 * k]);
            to.at[k] = put<T>(gate * sigmoid(gate) * get(a.at[2 * k + 1]));
        }
        store(y + i, to);
    }
}

template <class T, int W> __global__ void swiglu_back_kernel(T *dx, T *y, const T *dy, const T *x, size_t n) {
    FOR_PACKS(i, n) {
        pack<T, 2 *W> a = load<2 * W>(x + 2 * i);
        pack<T, W> d = load<W>(dy + i), to;
        for (int k = 0; k < W; k++) {
            float gate = get(a.at[2 * k]), v = get(a.at[2 * k + 1]), g = get(d.at[k]), s = sigmoid(gate);
            to.at[k] = put<T>(gate * s * v);
            a.at[2 * k] = put<T>(g * v * s * (1 + gate * (1 - s)));
            a.at[2 * k + 1] = put<T>(g * gate * s);
        }
        store(y + i, to);
        store(dx + 2 * i, a);
    }
}

/* ---- embedding ---- */

template <class T, int W>
__global__ void embed_kernel(T *y, const T *table, const T *positions, const int *token, int first, int rows,
                             size_t n, int length, int h) {
    FOR_PACKS(at, n * (size_t)h) {
        size_t i = at / (size_t)h, j = at % (size_t)h;
        int row = token[i] - first;
        pack<T, W> v;
        for (int k = 0; k < W; k++) v.at[k] = put<T>(0);
        if (row >= 0 && row < rows) v = load<W>(table + (size_t)row * (size_t)h + j);
        if (positions) {
            pack<T, W> p = load<W>(positions + i % (size_t)length * (size_t)h + j);
            for (int k = 0; k < W; k++) v.at[k] = put<T>(get(v.at[k]) + get(p.at[k]));
        }
        store(y + at, v);
    }
}

/* dpositions += the sum of dy[n] over sequences of `length` elements each */
template <class T, int W>
__global__ void positions_back_kernel(float *dpositions, const T *dy, size_t n, size_t length) {
    FOR_PACKS(at, length) {
        pack<float, W> sum = load<W>(dpositions + at);
        for (size_t i = at; i < n; i += length) {
            pack<T, W> d = load<W>(dy + i);
            for (int k = 0; k < W; k++) sum.at[k] += get(d.at[k]);
        }
        store(dpositions + at, sum);
    }
}

/* The row of the table for token i, `rows` if not on this rank; to be sorted together with i. */
static __global__ void table_rows_kernel(unsigned *key, int *index, const int *token, int first, int rows,
                                         int n) {
    enum { W = 1 };
    FOR_PACKS(i, (size_t)n) {
        int row = token[i] - first;
        key[i] = (unsigned)(row >= 0 && row < rows ? row : rows);
        index[i] = (int)i;
    }
}

/* dtable += dy, row by row of the table: the warp at the first of several equal keys adds up all of them, in
 * the order of the tokens. Blocks of 32 x 4 threads. */
template <class T, int W>
__global__ void table_back_kernel(float *dtable, const T *dy, const unsigned *key, const int *index, int rows,
                                  int n, int h) {
    int at = (int)(blockIdx.x * 4 + threadIdx.y), j = (int)(blockIdx.y * WARP + threadIdx.x) * W;
    if (at >= n || j >= h) return;
    unsigned row = key[at];
    if (row == (unsigned)rows || (at > 0 && key[at - 1] == row)) return;
    int low = at + 1, high = n; /* the first other key is in [low, high] */
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (key[middle] == row)
            low = middle + 1;
        else
            high = middle;
    }
    float *to = dtable + (size_t)row * (size_t)h + (size_t)j;
    pack<float, W> sum = load<W>(to);
#pragma unroll 4
    for (int i = at; i < low; i++) {
        pack<T, W> d = load<W>(dy + (size_t)index[i] * (size_t)h + (size_t)j);
        for (int k = 0; k < W; k++) sum.at[k] += get(d.at[k]);
    }
    store(to, sum);
}

/* ---- cross entropy: a block per row ---- */

template <class T, int W> __global__ void loss_max_kernel(float *max, const T *logits, int rows, int room) {
    const T *row = logits + (size_t)blockIdx.x * (size_t)room;
    float most = -INFINITY; /* a rank may hold nothing but padding */
    for (int j = (int)threadIdx.x * W; j < rows; j += ROW_THREADS * W) {
        pack<T, W> v = load<W>(row + j);
        for (int k = 0; k < W; k++)
            if (j + k < rows) most = fmaxf(most, get(v.at[k]));
    }
    most = block_reduce<true>(most);
    if (threadIdx.x == 0) max[blockIdx.x] = most;
}

template <class T, int W>
__global__ void loss_sums_kernel(float *sums, T *logits, const float *max, const int *target, int first,
                                 int n, int rows, int room) {
    T *row = logits + (size_t)blockIdx.x * (size_t)room;
    float most = max[blockIdx.x], sum = 0, of_target = 0;
    int here = target[blockIdx.x] - first;
    if (here >= 0 && here < rows) of_target = get(row[here]) - most;
    __syncthreads(); /* before it is overwritten */
    for (int j = (int)threadIdx.x * W; j < rows; j += ROW_THREADS * W) {
        pack<T, W> v = load<W>(row + j);
        for (int k = 0; k < W; k++) {
            float e = expf(get(v.at[k]) - most);
            if (j + k < rows) sum += e;
            v.at[k] = put<T>(e);
        }
        store(row + j, v);
    }
    sum = block_reduce<false>(sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
        sums[(size_t)n + blockIdx.x] = of_target;
    }
}

template <class T, int W>
__global__ void loss_back_kernel(T *logits, const float *sums, const int *target, int first, int n_valid,
                                 int rows, int room, float weight) {
    int i = (int)blockIdx.x, here = target[i] - first;
    T *row = logits + (size_t)i * (size_t)room;
    float scale = i < n_valid ? weight / sums[i] : 0;
    for (int j = (int)threadIdx.x * W; j < room; j += ROW_THREADS * W) {
        pack<T, W> v = load<W>(row + j);
        for (int k = 0; k < W; k++) {
            bool counts = i < n_valid && j + k < rows; /* padding may hold NaN */
            float d = counts ? get(v.at[k]) * scale : 0;
            v.at[k] = put<T>(counts && j + k == here ? d - weight : d);
        }
        store(row + j, v);
    }
}

/* *loss += weight * the losses of all rows that count; one block */
static __global__ void loss_kernel(float *loss, const float *sums, int n, int n_valid, double weight) {
    __shared__ double part[ROW_THREADS];
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n_valid; i += ROW_THREADS)
        sum += (double)logf(sums[i]) - (double)sums[(size_t)n + (size_t)i];
    part[threadIdx.x] = sum;
    for (int half = ROW_THREADS / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    }
    if (threadIdx.x == 0) *loss += (float)(weight * part[0]);
}

/* ---- optimizer ---- */

struct adamw_numbers {
    float rate, beta1, beta2, epsilon, keep, scale1, scale2, shrink;
};

/* master is p itself where T is float */
template <class T, int W>
__global__ void adamw_kernel(T *p, float *master, const float *g, float *m, float *v, size_t n,
                             struct adamw_numbers a) {
    FOR_PACKS(i, n) {
        pack<float, W> w = load<W>(master + i), grad = load<W>(g + i), first = load<W>(m + i),
                       second = load<W>(v + i);
        pack<T, W> rounded;
        for (int k = 0; k < W; k++) {
            grad.at[k] *= a.shrink;
            first.at[k] = a.beta1 * first.at[k] + (1 - a.beta1) * grad.at[k];
            second.at[k] = a.beta2 * second.at[k] + (1 - a.beta2) * grad.at[k] * grad.at[k];
            w.at[k] = a.keep * w.at[k] -
                      a.rate * (first.at[k] * a.scale1) / (sqrtf(second.at[k] * a.scale2) + a.epsilon);
            rounded.at[k] = put<T>(w.at[k]);
        }
        store(m + i, first);
        store(v + i, second);
        store(p + i, rounded);
        if (sizeof(T) != sizeof(float)) store(master + i, w);
    }
}

/* All threads that find something write the same value. */
template <int W> __global__ void find_bad_kernel(float *bad, const float *x, size_t n) {
    bool found = false;
    FOR_PACKS(i, n) {
        pack<float, W> v = load<W>(x + i);
        for (int k = 0; k < W; k++) found = found || !(v.at[k] - v.at[k] == 0); /* infinity and NaN */
    }
    if (found) *bad = 1;
}

/* part[block] = the sum of the squares of its elements; then, with one block, *sum += those parts */
static __global__ void squares_kernel(double *part, const float *x, size_t n) {
    __shared__ double room[ROW_THREADS];
    double sum = 0;
    for (size_t i = (size_t)blockIdx.x * ROW_THREADS + threadIdx.x; i < n;
         i += (size_t)gridDim.x * ROW_THREADS)
        sum += (double)x[i] * (double)x[i];
    room[threadIdx.x] = sum;
    for (int half = ROW_THREADS / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
    }
    if (threadIdx.x == 0) part[blockIdx.x] = room[0];
}

static __global__ void squares_end_kernel(double *sum, const double *part, int parts) {
    for (int i = 0; i < parts; i++) *sum += part[i];
}

/* ---- attention with the probabilities kept: softmax and its gradient, a block per row; row blockIdx.x %
 * length of a square sees `window` columns, itself the last one ---- */

template <class T> __global__ void softmax_kernel(T *p, const float *scores, int length, int window) {
    size_t at = (size_t)blockIdx.x * (size_t)length;
    int i = (int)(blockIdx.x % (unsigned)length), from = i < window ? 0 : i - window + 1;
    float most = -INFINITY, sum = 0;
    for (int j = from + (int)threadIdx.x; j <= i; j += ROW_THREADS) most = fmaxf(most, scores[at + j]);
    most = block_reduce<true>(most);
    for (int j = from + (int)threadIdx.x; j <= i; j += ROW_THREADS) sum += expf(scores[at + j] - most);
    float scale = 1 / block_reduce<false>(sum);
    for (int j = (int)threadIdx.x; j < length; j += ROW_THREADS)
        p[at + j] = put<T>(from <= j && j <= i ? expf(scores[at + j] - most) * scale : 0);
}

/* ds = p (dp - dout . out): the row's sum of p dp is dout . out. ds may be dp. out is [length][heads][size]
 */
template <class T>
__global__ void softmax_back_kernel(T *ds, const float *dp, const T *p, const T *dout, const T *out,
                                    int length, int heads, int size) {
    size_t at = (size_t)blockIdx.x * (size_t)length, i = blockIdx.x % (unsigned)length,
           head = blockIdx.x / (unsigned)length;
    size_t row = (i * (size_t)heads + head) * (size_t)size;
    float along = 0;
    for (int j = (int)threadIdx.x; j < size; j += ROW_THREADS)
        along += get(dout[row + j]) * get(out[row + j]);
    along = block_reduce<false>(along);
    for (int j = (int)threadIdx.x; j < length; j += ROW_THREADS)
        ds[at + j] = put<T>(j <= (int)i ? get(p[at + j]) * (dp[at + j] - along) : 0); /* p is 0 before */
}

/* to: `heads` heads, `step` apart, of [length] rows of `row` elements, from [heads][length][size] */
template <class T>
__global__ void put_heads_kernel(T *to, const float *from, int heads, int length, int size, size_t row,
                                 size_t step) {
    enum { W = 1 };
    size_t L = (size_t)length, d = (size_t)size;
    FOR_PACKS(i, (size_t)heads * L * d)
    to[i / d % L * row + i / d / L * step + i % d] = put<T>(from[i]);
}
#endif
