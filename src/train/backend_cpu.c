/* The CPU backend: loops in OpenMP, matrix products by the BLAS that was linked. Rows or columns are divided
 * among threads, but never a sum, so that results do not depend on the number of threads (but see backend.h).
 *
 * Arithmetic and acc are `real`; elem is `stored`, read with get() and written with put(). Both are float
 * here. backend_cpu_bf16.c compiles this file a second time with bf16 as `stored`; the tests compile it a
 * third time with double, to compare gradients with differences. */
#include "train/backend.h"
#include "train/blas.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef BACKEND_REAL_IS_DOUBLE
typedef double real;
#define GEMM cblas_dgemm
#define SQRT sqrt
enum { REAL = ELEM_F64 };
#else
typedef float real;
#define GEMM cblas_sgemm
#define SQRT sqrtf
enum { REAL = ELEM_F32 };
#endif

#ifdef BACKEND_STORES_BF16
typedef bf16 stored;
static inline real get(stored x) { return bf16_value(x); }
static inline stored put(real x) { return bf16_round(x); }
enum { MIXED = 1, STORED = ELEM_BF16 };
#else
typedef real stored;
static inline real get(stored x) { return x; }
static inline stored put(real x) { return x; }
enum { MIXED = 0, STORED = REAL };
#endif

struct cpu {
    real *tiles;   /* [threads][3][TILE][TILE] where MIXED */
    double *stamp; /* [room] */
    int room;
};

static int threads_of(const struct backend *b) { return b->threads; }

/* ---- memory and time ---- */

static void *cpu_alloc(struct backend *b, size_t bytes) {
    (void)b;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void cpu_release(struct backend *b, void *p) {
    (void)b;
    free(p);
}

static void cpu_copy(struct backend *b, void *to, const void *from, size_t bytes) {
    (void)b;
    memcpy(to, from, bytes);
}

static void cpu_zero(struct backend *b, void *p, size_t bytes) {
    (void)b;
    memset(p, 0, bytes);
}

static void cpu_device_bytes(struct backend *b, size_t *used, size_t *total) {
    (void)b;
    *used = *total = 0;
}

static void cpu_sync(struct backend *b) { (void)b; }

static void cpu_stamp(struct backend *b, int i) {
    struct cpu *c = b->own;
    struct timespec t;
    if (i >= c->room) {
        int room = 2 * i + 1024;
        double *more = realloc(c->stamp, sizeof *more * (size_t)room);
        if (!more) return; /* the last stamps stand for the lost ones */
        c->stamp = more;
        c->room = room;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    c->stamp[i] = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_stamp_s(struct backend *b, int i) {
    const struct cpu *c = b->own;
    return c->stamp[i < c->room ? i : c->room - 1] - c->stamp[0];
}

/* ---- matrix products ---- */

struct matrix {
    const stored *at;
    int ld;
    bool transposed;
};
struct product { /* scale * a b, [m][k] times [k][n] */
    int m, n, k;
    real scale;
    struct matrix a, b;
};
enum { ALL = -1 }; /* in place of a thread's number: all share the work */

static void gemm(struct product p, const void *a, int lda, const void *b, int ldb, real beta, real *to,
                 int ld) {
    GEMM(CblasRowMajor, p.a.transposed ? CblasTrans : CblasNoTrans,
         p.b.transposed ? CblasTrans : CblasNoTrans, p.m, p.n, p.k, p.scale, a, lda, b, ldb, beta, to, ld);
}

static struct matrix corner(struct matrix x, int row, int column) {
    x.at += x.transposed ? (size_t)column * (size_t)x.ld + (size_t)row
                         : (size_t)row * (size_t)x.ld + (size_t)column;
    return x;
}

#ifdef BACKEND_STORES_BF16
/* Tile by tile: stored elements become floats just before BLAS needs them, so a little room, the same for
 * every model, is enough. The sum over k stays in float and is rounded once. */
enum { TILE = 128 };

/* Copies the first rows and columns into [TILE][TILE], transposed if x is. */
static void load(real *to, struct matrix x, int rows, int columns) {
    int n = x.transposed ? columns : rows, width = x.transposed ? rows : columns;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < width; j++) to[i * TILE + j] = get(x.at[(size_t)i * (size_t)x.ld + (size_t)j]);
}

static void one_tile(real *work, struct product p, real beta, real *to, int ld) {
    real *a = work, *b = work + TILE * TILE;
    for (int from = 0, k = p.k; from < k; from += TILE, beta = 1) {
        p.k = k - from < TILE ? k - from : TILE;
        load(a, corner(p.a, 0, from), p.m, p.k);
        load(b, corner(p.b, from, 0), p.k, p.n);
        gemm(p, a, TILE, b, TILE, beta, to, ld);
    }
}

/* Adds to `sum`, or writes `to`, rounded; the other one is NULL. */
static void by_tiles(const struct backend *backend, int thread, struct product p, const stored *bias,
                     real beta, real *sum, stored *to, int ld) {
    const struct cpu *c = backend->own;
#pragma omp parallel for collapse(2) num_threads(thread == ALL ? threads_of(backend) : 1)
    for (int row = 0; row < p.m; row += TILE)
        for (int column = 0; column < p.n; column += TILE) {
            real *work = c->tiles + 3 * TILE * TILE * (thread == ALL ? omp_get_thread_num() : thread);
            real *result = work + 2 * TILE * TILE;
            size_t at = (size_t)row * (size_t)ld + (size_t)column;
            struct product t = p;
            t.m = p.m - row < TILE ? p.m - row : TILE;
            t.n = p.n - column < TILE ? p.n - column : TILE;
            t.a = corner(p.a, row, 0);
            t.b = corner(p.b, 0, column);
            if (sum) {
                one_tile(work, t, beta, sum + at, ld);
                continue;
            }
            for (int i = 0; i < t.m && bias; i++)
                for (int j = 0; j < t.n; j++) result[i * TILE + j] = get(bias[column + j]);
            one_tile(work, t, bias ? 1 : 0, result, TILE);
            for (int i = 0; i < t.m; i++)
                for (int j = 0; j < t.n; j++)
                    to[at + (size_t)i * (size_t)ld + (size_t)j] = put(result[i * TILE + j]);
        }
}

static void multiply_add(const struct backend *b, int thread, struct product p, real beta, real *to, int ld) {
    by_tiles(b, thread, p, NULL, beta, to, NULL, ld);
}

static void multiply(const struct backend *b, int thread, struct product p, const stored *bias, stored *to,
                     int ld) {
    by_tiles(b, thread, p, bias, 0, NULL, to, ld);
}

static real *new_tiles(int threads) {
    return aligned_alloc(64, sizeof(real) * 3 * TILE * TILE * (size_t)threads);
}
#else
/* Threads divide the longer side of the result, so that as little as possible is packed twice. A library that
 * has threads could do it, but waits by spinning, which on busy cores took as long as the products. Shares
 * begin where a kernel's tile does, and are too large for kernels for small products. */
enum { STEP = 16, SHARE = 64, WORK = 1 << 21 };

static int shares_of(struct product p, int thread, int threads) {
    int longer = p.m < p.n ? p.n : p.m;
    double most = fmin((double)longer / SHARE, (double)p.m * p.n * p.k / WORK);
    if (thread != ALL || most < 2) return 1;
    return most < threads ? (int)most : threads;
}

static int border(int n, int i, int shares) {
    return i == shares ? n : (int)((long long)n * i / shares / STEP * STEP);
}

static void share(struct product p, int i, int shares, const stored *bias, real beta, real *to, int ld) {
    bool rows = p.m >= p.n;
    int from = border(rows ? p.m : p.n, i, shares), n = border(rows ? p.m : p.n, i + 1, shares) - from;
    if (rows) {
        p.m = n;
        p.a = corner(p.a, from, 0);
        to += (size_t)from * (size_t)ld;
    } else {
        p.n = n;
        p.b = corner(p.b, 0, from);
        to += from;
        if (bias) bias += from;
    }
    for (int k = 0; k < p.m && bias; k++)
        memcpy(to + (size_t)k * (size_t)ld, bias, sizeof *bias * (size_t)p.n);
    gemm(p, p.a.at, p.a.ld, p.b.at, p.b.ld, bias ? 1 : beta, to, ld);
}

static void divided(const struct backend *b, int thread, struct product p, const stored *bias, real beta,
                    real *to, int ld) {
    int shares = shares_of(p, thread, threads_of(b));
    if (shares == 1) {
        share(p, 0, 1, bias, beta, to, ld);
        return;
    }
/* a team of another size would start threads, and end them */
#pragma omp parallel for num_threads(threads_of(b)) schedule(static, 1)
    for (int i = 0; i < shares; i++) share(p, i, shares, bias, beta, to, ld);
}

static void multiply_add(const struct backend *b, int thread, struct product p, real beta, real *to, int ld) {
    divided(b, thread, p, NULL, beta, to, ld);
}

static void multiply(const struct backend *b, int thread, struct product p, const stored *bias, stored *to,
                     int ld) {
    divided(b, thread, p, bias, 0, to, ld);
}

static real *new_tiles(int threads) {
    (void)threads;
    return NULL;
}
#endif

/* ---- linear maps ---- */

static void cpu_linear(struct backend *b, void *y, const void *x, const void *w, const void *bias, int n,
                       int in, int out, bool inputs_first) {
    multiply(b, ALL,
             (struct product){n, out, in, 1, {x, in, false}, {w, inputs_first ? out : in, !inputs_first}},
             bias, y, out);
}

/* dbias[h] += column sums of dy[n][h] */
static void cpu_bias_back(struct backend *b, void *dbias, const void *dy, int n, int h) {
    enum { COLUMNS = 64 };
    real *db = dbias;
    const stored *d = dy;
#pragma omp parallel for num_threads(threads_of(b))
    for (int from = 0; from < h; from += COLUMNS) {
        int to = from + COLUMNS < h ? from + COLUMNS : h;
        for (int i = 0; i < n; i++)
            for (int j = from; j < to; j++) db[j] += get(d[(size_t)i * (size_t)h + (size_t)j]);
    }
}

static void cpu_linear_back(struct backend *b, void *dx, void *dw, void *dbias, const void *dy, const void *x,
                            const void *w, int n, int in, int out, bool inputs_first) {
    struct matrix whole = {dy, out, false}, flipped = {dy, out, true};
    if (dx)
        multiply(b, ALL, (struct product){n, in, out, 1, whole, {w, inputs_first ? out : in, inputs_first}},
                 NULL, dx, in);
    if (dw && inputs_first)
        multiply_add(b, ALL, (struct product){in, out, n, 1, {x, in, true}, whole}, 1, dw, out);
    if (dw && !inputs_first)
        multiply_add(b, ALL, (struct product){out, in, n, 1, flipped, {x, in, false}}, 1, dw, in);
    if (dbias) cpu_bias_back(b, dbias, dy, n, out);
}

static void cpu_residual(struct backend *b, void *y, const void *x, const void *part, const void *bias, int n,
                         int h) {
    stored *to = y;
    const stored *p = x, *q = part, *r = bias;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * (size_t)h;
        for (size_t j = 0; j < (size_t)h && r; j++)
            to[at + j] = put(get(p[at + j]) + (get(q[at + j]) + get(r[j])));
        for (size_t j = 0; j < (size_t)h && !r; j++) to[at + j] = put(get(p[at + j]) + get(q[at + j]));
    }
}

/* ---- layer norm ---- */

static void cpu_norm(struct backend *b, void *y, void *mean, void *rstd, const void *x, const void *gain,
                     const void *bias, int n, int h, double epsilon) {
    const stored *g = gain, *o = bias;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        const stored *from = (const stored *)x + (size_t)i * (size_t)h;
        stored *to = (stored *)y + (size_t)i * (size_t)h;
        double sum = 0, square = 0;
        for (int j = 0; j < h && mean; j++) sum += get(from[j]);
        double mu = sum / h;
        for (int j = 0; j < h; j++) square += (get(from[j]) - mu) * (get(from[j]) - mu);
        real m = (real)mu, r = (real)(1 / sqrt(square / h + epsilon));
        for (int j = 0; j < h && o; j++) to[j] = put((get(from[j]) - m) * r * get(g[j]) + get(o[j]));
        for (int j = 0; j < h && !o; j++) to[j] = put((get(from[j]) - m) * r * get(g[j]));
        if (mean) ((real *)mean)[i] = m;
        ((real *)rstd)[i] = r;
    }
}

static void cpu_norm_back(struct backend *b, void *dx, void *dgain, void *dbias, const void *dy,
                          const void *x, const void *gain, const void *mean, const void *rstd, int n, int h) {
    enum { COLUMNS = 64 };
    const stored *g = gain, *from = x, *d = dy;
    const real *mu = mean, *r = rstd;
    real *dg = dgain, *db = dbias;
#pragma omp parallel num_threads(threads_of(b))
    {
#pragma omp for
        for (int i = 0; i < n; i++) {
            size_t at = (size_t)i * (size_t)h;
            stored *to = (stored *)dx + at;
            double sum = 0, along = 0; /* of dnorm, and of dnorm * norm */
            real m = mu ? mu[i] : 0;
            for (int j = 0; j < h; j++) {
                real dn = get(d[at + (size_t)j]) * get(g[j]);
                sum += dn;
                along += dn * ((get(from[at + (size_t)j]) - m) * r[i]);
            }
            real s = mu ? (real)(sum / h) : 0, a = (real)(along / h);
            for (int j = 0; j < h; j++) {
                real norm = (get(from[at + (size_t)j]) - m) * r[i];
                to[j] = put(get(to[j]) + (get(d[at + (size_t)j]) * get(g[j]) - s - norm * a) * r[i]);
            }
        }
#pragma omp for
        for (int first = 0; first < h; first += COLUMNS) {
            int end = first + COLUMNS < h ? first + COLUMNS : h;
            for (int i = 0; i < n; i++) {
                size_t at = (size_t)i * (size_t)h;
                real m = mu ? mu[i] : 0;
                for (int j = first; j < end; j++)
                    dg[j] += get(d[at + (size_t)j]) * ((get(from[at + (size_t)j]) - m) * r[i]);
                for (int j = first; j < end && db; j++) db[j] += get(d[at + (size_t)j]);
            }
        }
    }
}

/* ---- attention: the probabilities are kept, [sequences][heads][length][length], as the published trainer
 * does ---- */

#ifdef BACKEND_REAL_IS_DOUBLE
static inline real exp_real(real x) { return exp(x); }
#else
/* exp() of a number <= 88 within 2 units in the last place, in plain arithmetic so that loops over it are
 * vectorised. */
static inline real exp_real(real x) {
    x = x < -87 ? -87 : x;
    union {
        float f;
        uint32_t bits;
    } whole = {x * 1.44269504f + 12582912.0f}, two; /* rounded: 1.5 * 2^23 has no fraction bits */
    float n = whole.f - 12582912.0f;
    float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1;
    two.bits =
        (whole.bits + 127) << 23; /* the lowest bits are those of the integer; of a NaN any: p is NaN */
    return p * two.f;
}
#endif

/* Work space is one square of real per thread, for scores that cannot be computed where they are stored, and
 * later for their gradients; where MIXED, also a square of `stored`. Where a key/value head serves several
 * heads, its gradients are added up in real: two more matrices of a head's size. */
static void cpu_attention_bytes(struct backend *b, struct attention a, size_t *saved, size_t *work) {
    size_t square = (size_t)a.length * (size_t)a.length, sums = 2 * (size_t)a.length * (size_t)a.size;
    *saved = square * sizeof(stored) * (size_t)a.sequences * (size_t)a.heads;
    *work = square * (sizeof(real) + MIXED * sizeof(stored)) * (size_t)threads_of(b);
    if (a.kv_heads) *work += sums * sizeof(real) * (size_t)threads_of(b);
}

/* Queries, keys and values of one head of one sequence, and how far it is from row to row. */
struct head {
    const stored *q, *k, *v;
    int q_row, kv_row;
};

static struct head head_of(const void *q, const void *kv, struct attention a, int sequence, int head) {
    size_t d = (size_t)a.size, token = (size_t)sequence * (size_t)a.length, n = (size_t)head;
    int row = (kv ? 1 : 3) * a.size * a.heads, kv_row = kv ? 2 * a.size * a.kv_heads : row;
    struct head h = {
        .q = (const stored *)q + token * (size_t)row + n * (kv ? 1 : 3) * d, .q_row = row, .kv_row = kv_row};
    size_t group = kv ? (size_t)(a.heads / a.kv_heads) : 1;
    h.k = kv ? (const stored *)kv + token * (size_t)kv_row + n / group * 2 * d : h.q + d;
    h.v = h.k + d;
    return h;
}

static real scale_of(struct attention a) { return a.unscaled ? 1 : (real)(1 / sqrt((double)a.size)); }

/* p may be the scores themselves; begin is that of this sequence, or NULL */
static void softmax_rows(stored *p, real *scores, int length, int window, const int *begin) {
    for (int i = 0; i < length; i++) {
        int from = window && i >= window ? i - window + 1 : 0;
        if (begin && begin[i] > from) from = begin[i];
        real *row = scores + (size_t)i * (size_t)length, max = row[from], sum = 0;
        stored *to = p + (size_t)i * (size_t)length;
        for (int j = from + 1; j <= i; j++) max = row[j] > max ? row[j] : max;
        for (int j = from; j <= i; j++) row[j] = exp_real(row[j] - max);
        for (int j = from; j <= i; j++) sum += row[j];
        real scale = 1 / sum;
        for (int j = from; j <= i; j++) to[j] = put(row[j] * scale);
        memset(to, 0, sizeof *to * (size_t)from);
        memset(to + i + 1, 0, sizeof *to * (size_t)(length - 1 - i));
    }
}

/* Each thread takes one head of one sequence at a time. */
static void cpu_attention(struct backend *b, void *out, void *saved, void *work, const void *q,
                          const void *kv, struct attention a) {
    int L = a.length, d = a.size;
    size_t square = (size_t)L * (size_t)L;
#pragma omp parallel for num_threads(threads_of(b))
    for (int k = 0; k < a.sequences * a.heads; k++) {
        int thread = omp_get_thread_num();
        size_t token = (size_t)(k / a.heads) * (size_t)L, head = (size_t)(k % a.heads);
        struct head h = head_of(q, kv, a, k / a.heads, k % a.heads);
        stored *p = (stored *)saved + (size_t)k * square;
        stored *o = (stored *)out + token * (size_t)(d * a.heads) + head * (size_t)d;
        void *scores = MIXED ? (void *)((real *)work + (size_t)thread * square) : (void *)p;
        multiply_add(b, thread,
                     (struct product){L, L, d, scale_of(a), {h.q, h.q_row, false}, {h.k, h.kv_row, true}}, 0,
                     scores, L);
        softmax_rows(p, scores, L, a.window, a.begin ? a.begin + token : NULL);
        multiply(b, thread, (struct product){L, d, L, 1, {p, L, false}, {h.v, h.kv_row, false}}, NULL, o,
                 d * a.heads);
    }
}

/* dS = P (dP - dO . O): the row's sum of P dP is dO . O */
static void softmax_back_rows(stored *ds, const real *dp, const stored *p, const stored *go, const stored *o,
                              int L, int d, size_t lo) {
    for (int i = 0; i < L; i++) {
        size_t row = (size_t)i * (size_t)L, at = (size_t)i * lo;
        real along = 0;
        for (size_t j = 0; j < (size_t)d; j++) along += get(go[at + j]) * get(o[at + j]);
        for (size_t j = row; j < row + (size_t)L; j++) ds[j] = put(get(p[j]) * (dp[j] - along));
    }
}

static void put_rows(stored *to, size_t ld, const real *from, int rows, int columns) {
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) to[(size_t)i * ld + (size_t)j] = put(from[i * columns + j]);
}

/* Each thread takes one key/value head of one sequence at a time, with all heads that it serves. */
static void cpu_attention_back(struct backend *b, void *dq, void *dkv, const void *dout, const void *out,
                               const void *saved, void *work, const void *q, const void *kv,
                               struct attention a) {
    int L = a.length, d = a.size, lo = d * a.heads, kv_heads = kv ? a.kv_heads : a.heads;
    int group = a.heads / kv_heads;
    size_t square = (size_t)L * (size_t)L, threads = (size_t)threads_of(b), part = (size_t)L * (size_t)d;
    real *sums = (real *)((char *)work + square * (sizeof(real) + MIXED * sizeof(stored)) * threads);
#pragma omp parallel for num_threads(threads_of(b))
    for (int k = 0; k < a.sequences * a.heads / group; k++) {
        int thread = omp_get_thread_num(), sequence = k / kv_heads;
        real *dp = (real *)work + (size_t)thread * square;
        stored *ds =
            MIXED ? (stored *)((real *)work + threads * square) + (size_t)thread * square : (void *)dp;
        real *dk_sum = kv ? sums + (size_t)thread * 2 * part : NULL, *dv_sum = kv ? dk_sum + part : NULL;
        struct head g = {0};
        for (int i = 0; i < group; i++) {
            int head = k % kv_heads * group + i;
            struct head h = head_of(q, kv, a, sequence, head);
            size_t at = (size_t)sequence * (size_t)L * (size_t)lo + (size_t)head * (size_t)d;
            const stored *p =
                (const stored *)saved + ((size_t)sequence * (size_t)a.heads + (size_t)head) * square;
            const stored *go = (const stored *)dout + at, *o = (const stored *)out + at;
            g = head_of(dq, dkv, a, sequence, head);
            struct product dv = {L, d, L, 1, {p, L, true}, {go, lo, false}},            /* P' dO */
                to_dp = {L, L, d, 1, {go, lo, false}, {h.v, h.kv_row, true}},           /* dO V' */
                to_dq = {L, d, L, scale_of(a), {ds, L, false}, {h.k, h.kv_row, false}}, /* dS K */
                dk = {L, d, L, scale_of(a), {ds, L, true}, {h.q, h.q_row, false}};      /* dS' Q */
            if (kv)
                multiply_add(b, thread, dv, i > 0, dv_sum, d);
            else
                multiply(b, thread, dv, NULL, (stored *)(uintptr_t)g.v, g.kv_row);
            multiply_add(b, thread, to_dp, 0, dp, L);
            softmax_back_rows(ds, dp, p, go, o, L, d, (size_t)lo);
            multiply(b, thread, to_dq, NULL, (stored *)(uintptr_t)g.q, g.q_row);
            if (kv)
                multiply_add(b, thread, dk, i > 0, dk_sum, d);
            else
                multiply(b, thread, dk, NULL, (stored *)(uintptr_t)g.k, g.kv_row);
        }
        if (!kv) continue;
        put_rows((stored *)(uintptr_t)g.k, (size_t)g.kv_row, dk_sum, L, d);
        put_rows((stored *)(uintptr_t)g.v, (size_t)g.kv_row, dv_sum, L, d);
    }
}

/* ---- rotary positions ---- */

static void cpu_rotate(struct backend *b, void *x, const void *table, int n, int length, int heads, int size,
                       int ld, int step, bool back) {
    int half = size / 2;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        const real *turn = (const real *)table + (size_t)(i % length) * (size_t)size;
        for (int k = 0; k < heads; k++) {
            stored *h = (stored *)x + (size_t)i * (size_t)ld + (size_t)k * (size_t)step;
            for (int j = 0; j < half; j++) {
                real c = turn[2 * j], s = back ? -turn[2 * j + 1] : turn[2 * j + 1];
                real p = get(h[j]), q = get(h[half + j]);
                h[j] = put(p * c - q * s);
                h[half + j] = put(q * c + p * s);
            }
        }
    }
}

/* ---- activation: ReLU, GELU in GPT-2's form with tanh, or SwiGLU ---- */

#define GELU_A ((real)0.7978845608028654) /* sqrt(2 / pi) */
#define GELU_B ((real)0.044715)

static inline real sigmoid_real(real x) {
    real z = -x > 80 ? 80 : -x; /* exp_real() takes no more than 88 */
    return 1 / (1 + exp_real(z));
}

/* (1 + tanh(x / 2)) / 2 is the sigmoid of x. */
static inline real gelu_gate(real v) { return sigmoid_real(2 * GELU_A * (v + GELU_B * v * v * v)); }

static void cpu_activate(struct backend *b, void *y, const void *x, enum activation f, size_t n) {
    stored *to = y;
    const stored *from = x;
    if (f == ACTIVATION_SWIGLU) {
#pragma omp parallel for simd num_threads(threads_of(b))
        for (size_t i = 0; i < n; i++) {
            real gate = get(from[2 * i]);
            to[i] = put(gate * sigmoid_real(gate) * get(from[2 * i + 1]));
        }
        return;
    }
    if (f == ACTIVATION_RELU) {
#pragma omp parallel for simd num_threads(threads_of(b))
        for (size_t i = 0; i < n; i++) {
            real v = get(from[i]);
            to[i] = put(v > 0 ? v : 0);
        }
        return;
    }
#pragma omp parallel for simd num_threads(threads_of(b))
    for (size_t i = 0; i < n; i++) {
        real v = get(from[i]);
        to[i] = put(v * gelu_gate(v));
    }
}

static void cpu_activate_back(struct backend *b, void *dx, void *y, const void *dy, const void *x,
                              enum activation f, size_t n) {
    stored *to = y, *d = dx;
    const stored *from = x, *up = dy;
    if (f == ACTIVATION_SWIGLU) {
#pragma omp parallel for simd num_threads(threads_of(b))
        for (size_t i = 0; i < n; i++) {
            real gate = get(from[2 * i]), v = get(from[2 * i + 1]), g = get(up[i]), s = sigmoid_real(gate);
            to[i] = put(gate * s * v);
            d[2 * i] = put(g * v * s * (1 + gate * (1 - s)));
            d[2 * i + 1] = put(g * gate * s);
        }
        return;
    }
    if (f == ACTIVATION_RELU) {
#pragma omp parallel for simd num_threads(threads_of(b))
        for (size_t i = 0; i < n; i++) {
            real v = get(from[i]), g = get(up[i]);
            to[i] = put(v > 0 ? v : 0);
            d[i] = put(v > 0 ? g : 0);
        }
        return;
    }
#pragma omp parallel for simd num_threads(threads_of(b))
    for (size_t i = 0; i < n; i++) {
        real v = get(from[i]), s = gelu_gate(v);
        real slope = s + v * s * (1 - s) * 2 * GELU_A * (1 + 3 * GELU_B * v * v);
        to[i] = put(v * s);
        d[i] = put(get(up[i]) * slope);
    }
}

/* ---- embedding ---- */

/* begin NULL: 0 for all */
static void cpu_place(struct backend *b, void *y, const void *positions, const int *begin, int n, int length,
                      int h) {
    size_t H = (size_t)h;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        stored *to = (stored *)y + (size_t)i * H;
        const stored *at = (const stored *)positions + (size_t)(i % length - (begin ? begin[i] : 0)) * H;
        for (size_t j = 0; j < H; j++) to[j] = put(get(to[j]) + get(at[j]));
    }
}

static void cpu_place_back(struct backend *b, void *dpositions, const void *dy, const int *begin, int n,
                           int length, int h) {
    enum { COLUMNS = 64 };
    size_t H = (size_t)h;
#pragma omp parallel for num_threads(threads_of(b)) /* columns: a place may occur in many rows */
    for (int from = 0; from < h; from += COLUMNS) {
        int end = from + COLUMNS < h ? from + COLUMNS : h;
        for (int i = 0; i < n; i++) {
            const stored *d = (const stored *)dy + (size_t)i * H;
            real *at = (real *)dpositions + (size_t)(i % length - (begin ? begin[i] : 0)) * H;
            for (int j = from; j < end; j++) at[j] += get(d[j]);
        }
    }
}

static void cpu_embed(struct backend *b, void *y, const void *table, const void *positions, const int *token,
                      int first, int rows, int n, int length, int h) {
    size_t H = (size_t)h;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        stored *to = (stored *)y + (size_t)i * H;
        int row = token[i] - first;
        if (row >= 0 && row < rows)
            memcpy(to, (const stored *)table + (size_t)row * H, sizeof *to * H);
        else
            memset(to, 0, sizeof *to * H);
    }
    if (positions) cpu_place(b, y, positions, NULL, n, length, h);
}

static void cpu_embed_back(struct backend *b, void *dtable, void *dpositions, const void *dy,
                           const int *token, int first, int rows, int n, int length, int h) {
    enum { COLUMNS = 64 };
    size_t H = (size_t)h;
#pragma omp parallel for num_threads(threads_of(b)) /* columns: a token may occur in many rows */
    for (int from = 0; from < h; from += COLUMNS) {
        int end = from + COLUMNS < h ? from + COLUMNS : h;
        for (int i = 0; i < n; i++) {
            const stored *d = (const stored *)dy + (size_t)i * H;
            int row = token[i] - first;
            if (row < 0 || row >= rows) continue;
            real *to = (real *)dtable + (size_t)row * H;
            for (int j = from; j < end; j++) to[j] += get(d[j]);
        }
    }
    if (dpositions) cpu_place_back(b, dpositions, dy, NULL, n, length, h);
}

/* ---- cross entropy ---- */

static void cpu_loss_max(struct backend *b, void *max, const void *logits, int n, int rows, int room) {
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        const stored *row = (const stored *)logits + (size_t)i * (size_t)room;
        real most = (real)-INFINITY; /* a rank may hold nothing but padding */
        for (int j = 0; j < rows; j++) most = get(row[j]) > most ? get(row[j]) : most;
        ((real *)max)[i] = most;
    }
}

static void cpu_loss_sums(struct backend *b, void *sums, void *logits, const void *max, const int *target,
                          int first, int n, int rows, int room) {
    enum { COLUMNS = 64 };
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        stored *row = (stored *)logits + (size_t)i * (size_t)room;
        real most = ((const real *)max)[i], part[COLUMNS];
        int here = target[i] - first;
        double sum = 0;
        ((real *)sums)[n + i] = here >= 0 && here < rows ? get(row[here]) - most : 0;
        /* the sum is of what is not yet rounded */
        for (int from = 0; from < rows; from += COLUMNS, row += COLUMNS) {
            int m = rows - from < COLUMNS ? rows - from : COLUMNS;
            for (int j = 0; j < m; j++) part[j] = exp_real(get(row[j]) - most);
            for (int j = 0; j < m; j++) sum += part[j];
            for (int j = 0; j < m; j++) row[j] = put(part[j]);
        }
        ((real *)sums)[i] = (real)sum;
    }
}

static void cpu_loss_back(struct backend *b, void *loss, void *logits, const void *sums, const int *target,
                          int first, int n, int n_valid, int rows, int room, double weight) {
    const real *s = sums;
    double total = 0;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        stored *row = (stored *)logits + (size_t)i * (size_t)room;
        int here = target[i] - first;
        if (i >= n_valid) {
            memset(row, 0, sizeof *row * (size_t)room);
            continue;
        }
        real scale = (real)weight / s[i];
        real of_target = here >= 0 && here < rows ? get(row[here]) * scale - (real)weight : 0;
        for (int j = 0; j < rows; j++) row[j] = put(get(row[j]) * scale);
        if (here >= 0 && here < rows) row[here] = put(of_target);
        memset(row + rows, 0, sizeof *row * (size_t)(room - rows));
    }
    for (int i = 0; i < n_valid; i++) total += log(s[i]) - s[n + i];
    *(real *)loss += (real)(weight * total);
}

/* ---- optimizer ---- */

static void cpu_adamw(struct backend *b, void *p, void *master, const void *g, void *m, void *v, size_t n,
                      struct adamw step) {
    real *w = MIXED ? master : p, *first = m, *second = v;
    stored *rounded = p;
    const real *at = g;
    real shrink = (real)step.shrink, b1 = (real)step.beta1, b2 = (real)step.beta2,
         c1 = (real)(1 / step.correction1), c2 = (real)(1 / step.correction2);
    real rate = (real)step.rate, epsilon = (real)step.epsilon, keep = (real)(1 - step.rate * step.decay);
#pragma omp parallel for num_threads(threads_of(b))
    for (size_t i = 0; i < n; i++) {
        real grad = shrink * at[i];
        first[i] = b1 * first[i] + (1 - b1) * grad;
        second[i] = b2 * second[i] + (1 - b2) * grad * grad;
        w[i] = keep * w[i] - rate * (first[i] * c1) / (SQRT(second[i] * c2) + epsilon);
        if (MIXED) rounded[i] = put(w[i]);
    }
}

static void cpu_find_bad(struct backend *b, void *bad, const void *x, size_t n) {
    const real *at = x;
    int found = 0;
#pragma omp parallel for num_threads(threads_of(b)) reduction(| : found)
    for (size_t i = 0; i < n; i++) found |= !(at[i] - at[i] == 0); /* isfinite(), but vectorised */
    if (found) *(real *)bad = 1;
}

/* In pieces whose number does not depend on the threads, and in the order of the pieces. */
static void cpu_squares(struct backend *b, void *sum, const void *x, size_t n) {
    enum { PIECES = 64, LANES = 8 };
    double part[PIECES] = {0};
#pragma omp parallel for num_threads(threads_of(b))
    for (int k = 0; k < PIECES; k++) {
        size_t from = n * (size_t)k / PIECES, end = n * (size_t)(k + 1) / PIECES, i = from;
        double lane[LANES] = {0};
        const real *at = x;
        for (; i + LANES <= end; i += LANES)
            for (size_t j = 0; j < LANES; j++) lane[j] += (double)at[i + j] * (double)at[i + j];
        for (; i < end; i++) lane[0] += (double)at[i] * (double)at[i];
        for (int j = 0; j < LANES; j++) part[k] += lane[j];
    }
    for (int k = 0; k < PIECES; k++) *(double *)sum += part[k];
}

/* ---- the backend ---- */

static void cpu_close(struct backend *b) {
    struct cpu *c = b->own;
    if (c) {
        free(c->stamp);
        free(c->tiles);
    }
    free(c);
    b->own = NULL;
}

static void name_device(char *name, size_t size) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    snprintf(name, size, "CPU");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(name, size, "%s", colon[1] ? colon + 2 : "CPU");
        break;
    }
    if (f) fclose(f);
}

int backend_cpu_open(struct backend *b, int threads, struct err *e) {
    struct cpu *c = calloc(1, sizeof *c);
    if (c) c->tiles = new_tiles(threads);
    if (!c || (MIXED && !c->tiles)) {
        free(c);
        return err_set(e, EXIT_INTERNAL, "out of memory: backend cpu");
    }
    if (blas_prepare(threads, e)) {
        free(c->tiles);
        free(c);
        return -1;
    }
    *b = (struct backend){.name = "cpu",
                          .threads = threads,
                          .elem = (enum elem)STORED,
                          .acc = (enum elem)REAL,
                          .host = true,
                          .parts = ALL_PARTS,
                          .own = c,
                          .alloc = cpu_alloc,
                          .release = cpu_release,
                          .upload = cpu_copy,
                          .download = cpu_copy,
                          .zero = cpu_zero,
                          .copy = cpu_copy,
                          .host_alloc = cpu_alloc,
                          .host_release = cpu_release,
                          .device_bytes = cpu_device_bytes,
                          .sync = cpu_sync,
                          .stamp = cpu_stamp,
                          .stamp_s = cpu_stamp_s,
                          .linear = cpu_linear,
                          .linear_back = cpu_linear_back,
                          .residual = cpu_residual,
                          .norm = cpu_norm,
                          .norm_back = cpu_norm_back,
                          .rotate = cpu_rotate,
                          .attention_bytes = cpu_attention_bytes,
                          .attention = cpu_attention,
                          .attention_back = cpu_attention_back,
                          .activate = cpu_activate,
                          .activate_back = cpu_activate_back,
                          .embed = cpu_embed,
                          .embed_back = cpu_embed_back,
                          .place = cpu_place,
                          .place_back = cpu_place_back,
                          .loss_max = cpu_loss_max,
                          .loss_sums = cpu_loss_sums,
                          .loss_back = cpu_loss_back,
                          .adamw = cpu_adamw,
                          .find_bad = cpu_find_bad,
                          .squares = cpu_squares,
                          .close = cpu_close};
    name_device(b->device, sizeof b->device);
    blas_name(b->versions, sizeof b->versions);
    return 0;
}
