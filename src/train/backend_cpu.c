/* The CPU backend: loops in OpenMP, matrix products by the BLAS that was linked. `real` is float; the tests
 * compile this file a second time with double, to compare gradients with differences. Rows or columns are
 * divided among threads, never a sum, so that results do not depend on their number. */
#include "train/backend.h"

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

/* Libraries of matrix products bring threads of their own; the name of the knob is all they do not agree on.
 */
extern void openblas_set_num_threads(int) __attribute__((weak));
extern void bli_thread_set_num_threads(long) __attribute__((weak));

static void blas_threads(int n) {
    if (openblas_set_num_threads) openblas_set_num_threads(n);
    if (bli_thread_set_num_threads) bli_thread_set_num_threads(n);
}

struct cpu {
    int threads;
    double *stamp; /* [room] */
    int room;
};

static int threads_of(const struct backend *b) { return ((const struct cpu *)b->own)->threads; }

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

static void cpu_sync(struct backend *b) { (void)b; }

static void cpu_stamp(struct backend *b, int i) {
    struct cpu *c = b->own;
    struct timespec t;
    if (i >= c->room) {
        int room = 2 * i + 1024;
        double *more = realloc(c->stamp, sizeof *more * (size_t)room);
        if (!more) return; /* the last stamps stand for the lost ones */
        c->stamp = more, c->room = room;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    c->stamp[i] = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double cpu_stamp_s(struct backend *b, int i) {
    const struct cpu *c = b->own;
    return c->stamp[i < c->room ? i : c->room - 1] - c->stamp[0];
}

/* ---- linear maps ---- */

static void cpu_linear(struct backend *b, void *y, const void *x, const void *w, const void *bias, int n,
                       int in, int out, bool inputs_first) {
    if (bias) {
        real *to = y;
#pragma omp parallel for num_threads(threads_of(b))
        for (int i = 0; i < n; i++) memcpy(to + (size_t)i * (size_t)out, bias, sizeof(real) * (size_t)out);
    }
    GEMM(CblasRowMajor, CblasNoTrans, inputs_first ? CblasNoTrans : CblasTrans, n, out, in, 1, x, in, w,
         inputs_first ? out : in, bias ? 1 : 0, y, out);
}

static void cpu_bias_back(struct backend *b, void *dbias, const void *dy, int n, int h) {
    enum { COLUMNS = 64 };
    real *db = dbias;
    const real *d = dy;
#pragma omp parallel for num_threads(threads_of(b))
    for (int from = 0; from < h; from += COLUMNS) {
        int to = from + COLUMNS < h ? from + COLUMNS : h;
        for (int i = 0; i < n; i++)
            for (int j = from; j < to; j++) db[j] += d[(size_t)i * (size_t)h + (size_t)j];
    }
}

static void cpu_linear_back(struct backend *b, void *dx, void *dw, void *dbias, const void *dy, const void *x,
                            const void *w, int n, int in, int out, bool inputs_first) {
    if (dx)
        GEMM(CblasRowMajor, CblasNoTrans, inputs_first ? CblasTrans : CblasNoTrans, n, in, out, 1, dy, out, w,
             inputs_first ? out : in, 0, dx, in);
    if (dw && inputs_first)
        GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, n, 1, x, in, dy, out, 1, dw, out);
    if (dw && !inputs_first)
        GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, n, 1, dy, out, x, in, 1, dw, in);
    if (dbias) cpu_bias_back(b, dbias, dy, n, out);
}

static void cpu_residual(struct backend *b, void *y, const void *x, const void *part, const void *bias, int n,
                         int h) {
    real *to = y;
    const real *p = x, *q = part, *r = bias;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++)
        for (size_t j = 0, at = (size_t)i * (size_t)h; j < (size_t)h; j++)
            to[at + j] = p[at + j] + (q[at + j] + r[j]);
}

/* ---- layer norm ---- */

static void cpu_norm(struct backend *b, void *y, void *mean, void *rstd, const void *x, const void *gain,
                     const void *bias, int n, int h) {
    const real *g = gain, *o = bias;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        const real *from = (const real *)x + (size_t)i * (size_t)h;
        real *to = (real *)y + (size_t)i * (size_t)h;
        double sum = 0, square = 0;
        for (int j = 0; j < h; j++) sum += from[j];
        double mu = sum / h;
        for (int j = 0; j < h; j++) square += (from[j] - mu) * (from[j] - mu);
        real m = (real)mu, r = (real)(1 / sqrt(square / h + 1e-5));
        for (int j = 0; j < h; j++) to[j] = (from[j] - m) * r * g[j] + o[j];
        ((real *)mean)[i] = m, ((real *)rstd)[i] = r;
    }
}

static void cpu_norm_back(struct backend *b, void *dx, void *dgain, void *dbias, const void *dy,
                          const void *x, const void *gain, const void *mean, const void *rstd, int n, int h) {
    enum { COLUMNS = 64 };
    const real *g = gain, *mu = mean, *r = rstd, *from = x, *d = dy;
    real *dg = dgain, *db = dbias;
#pragma omp parallel num_threads(threads_of(b))
    {
#pragma omp for
        for (int i = 0; i < n; i++) {
            size_t at = (size_t)i * (size_t)h;
            real *to = (real *)dx + at;
            double sum = 0, along = 0; /* of dnorm, and of dnorm * norm */
            for (int j = 0; j < h; j++) {
                real dn = d[at + (size_t)j] * g[j];
                sum += dn, along += dn * ((from[at + (size_t)j] - mu[i]) * r[i]);
            }
            real s = (real)(sum / h), a = (real)(along / h);
            for (int j = 0; j < h; j++) {
                real norm = (from[at + (size_t)j] - mu[i]) * r[i];
                to[j] += (d[at + (size_t)j] * g[j] - s - norm * a) * r[i];
            }
        }
#pragma omp for
        for (int first = 0; first < h; first += COLUMNS) {
            int end = first + COLUMNS < h ? first + COLUMNS : h;
            for (int i = 0; i < n; i++)
                for (int j = first; j < end; j++) {
                    size_t at = (size_t)i * (size_t)h + (size_t)j;
                    dg[j] += d[at] * ((from[at] - mu[i]) * r[i]);
                    db[j] += d[at];
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
    float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f; /* rounded: 1.5 * 2^23 has no fraction bits */
    float f = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1;
    union {
        int32_t i;
        float f;
    } two = {.i = ((int32_t)n + 127) << 23};
    return p * two.f;
}
#endif

static void cpu_attention_bytes(struct backend *b, struct attention a, size_t *saved, size_t *work) {
    size_t square = (size_t)a.length * (size_t)a.length * sizeof(real);
    *saved = square * (size_t)a.sequences * (size_t)a.heads;
    *work = square * (size_t)threads_of(b);
}

static void softmax_rows(real *p, int length) {
    for (int i = 0; i < length; i++) {
        real *row = p + (size_t)i * (size_t)length, max = row[0], sum = 0;
        for (int j = 1; j <= i; j++) max = row[j] > max ? row[j] : max;
        for (int j = 0; j <= i; j++) row[j] = exp_real(row[j] - max);
        for (int j = 0; j <= i; j++) sum += row[j];
        real scale = 1 / sum;
        for (int j = 0; j <= i; j++) row[j] *= scale;
        memset(row + i + 1, 0, sizeof *row * (size_t)(length - 1 - i));
    }
}

/* One thread takes one head of one sequence at a time; its products are too small to be divided further. */
static void cpu_attention(struct backend *b, void *out, void *saved, void *work, const void *qkv,
                          struct attention a) {
    int L = a.length, d = a.size, ld = 3 * d * a.heads, threads = threads_of(b);
    real scale = (real)(1 / sqrt((double)d));
    (void)work;
    if (threads > 1) blas_threads(1);
#pragma omp parallel for num_threads(threads)
    for (int k = 0; k < a.sequences * a.heads; k++) {
        size_t token = (size_t)(k / a.heads) * (size_t)L, head = (size_t)(k % a.heads);
        const real *q = (const real *)qkv + token * (size_t)ld + head * 3 * (size_t)d;
        real *p = (real *)saved + (size_t)k * (size_t)L * (size_t)L;
        real *o = (real *)out + token * (size_t)(d * a.heads) + head * (size_t)d;
        GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, L, L, d, scale, q, ld, q + d, ld, 0, p, L);
        softmax_rows(p, L);
        GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, L, d, L, 1, p, L, q + 2 * d, ld, 0, o, d * a.heads);
    }
    if (threads > 1) blas_threads(threads);
}

static void cpu_attention_back(struct backend *b, void *dqkv, const void *dout, const void *out,
                               const void *saved, void *work, const void *qkv, struct attention a) {
    int L = a.length, d = a.size, ld = 3 * d * a.heads, lo = d * a.heads, threads = threads_of(b);
    real scale = (real)(1 / sqrt((double)d));
    if (threads > 1) blas_threads(1);
#pragma omp parallel for num_threads(threads)
    for (int k = 0; k < a.sequences * a.heads; k++) {
        size_t token = (size_t)(k / a.heads) * (size_t)L, head = (size_t)(k % a.heads);
        const real *q = (const real *)qkv + token * (size_t)ld + head * 3 * (size_t)d;
        const real *p = (const real *)saved + (size_t)k * (size_t)L * (size_t)L;
        const real *go = (const real *)dout + token * (size_t)lo + head * (size_t)d;
        const real *o = (const real *)out + token * (size_t)lo + head * (size_t)d;
        real *dq = (real *)dqkv + token * (size_t)ld + head * 3 * (size_t)d;
        real *ds = (real *)work + (size_t)omp_get_thread_num() * (size_t)L * (size_t)L;
        GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, L, d, L, 1, p, L, go, lo, 0, dq + 2 * d,
             ld); /* dV = P' dO */
        GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, L, L, d, 1, go, lo, q + 2 * d, ld, 0, ds,
             L);                      /* dP = dO V' */
        for (int i = 0; i < L; i++) { /* dS = P (dP - dO . O): the row's sum of P dP is dO . O */
            real *row = ds + (size_t)i * (size_t)L, along = 0;
            for (int j = 0; j < d; j++)
                along += go[(size_t)i * (size_t)lo + (size_t)j] * o[(size_t)i * (size_t)lo + (size_t)j];
            for (int j = 0; j < L; j++) row[j] = p[(size_t)i * (size_t)L + (size_t)j] * (row[j] - along);
        }
        GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, L, d, L, scale, ds, L, q + d, ld, 0, dq,
             ld); /* dQ = dS K */
        GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, L, d, L, scale, ds, L, q, ld, 0, dq + d,
             ld); /* dK = dS' Q */
    }
    if (threads > 1) blas_threads(threads);
}

/* ---- activation: ReLU, or GELU in GPT-2's form with tanh ---- */

#define GELU_A ((real)0.7978845608028654) /* sqrt(2 / pi) */
#define GELU_B ((real)0.044715)

static inline real tanh_real(real x) {
    real clipped = x > 20 ? 20 : x < -20 ? -20 : x;
    return 1 - 2 / (exp_real(2 * clipped) + 1);
}

static void cpu_activate(struct backend *b, void *y, const void *x, enum activation f, size_t n) {
    real *to = y;
    const real *from = x;
    if (f == ACTIVATION_RELU) {
#pragma omp parallel for num_threads(threads_of(b))
        for (size_t i = 0; i < n; i++) to[i] = from[i] > 0 ? from[i] : 0;
        return;
    }
#pragma omp parallel for num_threads(threads_of(b))
    for (size_t i = 0; i < n; i++) {
        real v = from[i];
        to[i] = (real)0.5 * v * (1 + tanh_real(GELU_A * (v + GELU_B * v * v * v)));
    }
}

static void cpu_activate_back(struct backend *b, void *dy, void *y, const void *x, enum activation f,
                              size_t n) {
    real *to = y, *d = dy;
    const real *from = x;
    if (f == ACTIVATION_RELU) {
#pragma omp parallel for num_threads(threads_of(b))
        for (size_t i = 0; i < n; i++) {
            real v = from[i];
            to[i] = v > 0 ? v : 0, d[i] = v > 0 ? d[i] : 0;
        }
        return;
    }
#pragma omp parallel for num_threads(threads_of(b))
    for (size_t i = 0; i < n; i++) {
        real v = from[i], t = tanh_real(GELU_A * (v + GELU_B * v * v * v));
        to[i] = (real)0.5 * v * (1 + t);
        d[i] *= (real)0.5 * (1 + t) + (real)0.5 * v * (1 - t * t) * GELU_A * (1 + 3 * GELU_B * v * v);
    }
}

/* ---- embedding ---- */

static void cpu_embed(struct backend *b, void *y, const void *table, const void *positions, const int *token,
                      int first, int rows, int n, int length, int h) {
    size_t H = (size_t)h;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        real *to = (real *)y + (size_t)i * H;
        int row = token[i] - first;
        if (row >= 0 && row < rows)
            memcpy(to, (const real *)table + (size_t)row * H, sizeof(real) * H);
        else
            memset(to, 0, sizeof(real) * H);
        if (!positions) continue;
        const real *at = (const real *)positions + (size_t)(i % length) * H;
        for (size_t j = 0; j < H; j++) to[j] += at[j];
    }
}

static void cpu_embed_back(struct backend *b, void *dtable, void *dpositions, const void *dy,
                           const int *token, int first, int rows, int n, int length, int h) {
    enum { COLUMNS = 64 };
    size_t H = (size_t)h;
#pragma omp parallel for num_threads(threads_of(b)) /* columns: a token may occur in many rows */
    for (int from = 0; from < h; from += COLUMNS) {
        int end = from + COLUMNS < h ? from + COLUMNS : h;
        for (int i = 0; i < n; i++) {
            const real *d = (const real *)dy + (size_t)i * H;
            real *at = (real *)dpositions + (size_t)(i % length) * H;
            for (int j = from; j < end; j++) at[j] += d[j];
            int row = token[i] - first;
            if (row < 0 || row >= rows) continue;
            real *to = (real *)dtable + (size_t)row * H;
            for (int j = from; j < end; j++) to[j] += d[j];
        }
    }
}

/* ---- cross entropy ---- */

static void cpu_loss_max(struct backend *b, void *max, const void *logits, int n, int rows, int room) {
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        const real *row = (const real *)logits + (size_t)i * (size_t)room;
        real most = (real)-INFINITY; /* a rank may hold nothing but padding */
        for (int j = 0; j < rows; j++) most = row[j] > most ? row[j] : most;
        ((real *)max)[i] = most;
    }
}

static void cpu_loss_sums(struct backend *b, void *sums, void *logits, const void *max, const int *target,
                          int first, int n, int rows, int room) {
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        real *row = (real *)logits + (size_t)i * (size_t)room, most = ((const real *)max)[i];
        int here = target[i] - first;
        double sum = 0;
        ((real *)sums)[n + i] = here >= 0 && here < rows ? row[here] - most : 0;
        for (int j = 0; j < rows; j++) row[j] = exp_real(row[j] - most);
        for (int j = 0; j < rows; j++) sum += row[j];
        ((real *)sums)[i] = (real)sum;
    }
}

static void cpu_loss_back(struct backend *b, void *loss, void *logits, const void *sums, const int *target,
                          int first, int n, int n_valid, int rows, int room, double weight) {
    const real *s = sums;
    double total = 0;
#pragma omp parallel for num_threads(threads_of(b))
    for (int i = 0; i < n; i++) {
        real *row = (real *)logits + (size_t)i * (size_t)room;
        int here = target[i] - first;
        if (i >= n_valid) {
            memset(row, 0, sizeof *row * (size_t)room);
            continue;
        }
        real scale = (real)weight / s[i];
        for (int j = 0; j < rows; j++) row[j] *= scale;
        if (here >= 0 && here < rows) row[here] -= (real)weight;
        memset(row + rows, 0, sizeof *row * (size_t)(room - rows));
    }
    for (int i = 0; i < n_valid; i++) total += log(s[i]) - s[n + i];
    *(real *)loss += (real)(weight * total);
}

/* ---- optimizer ---- */

static void cpu_adamw(struct backend *b, void *p, const void *g, void *m, void *v, size_t n,
                      struct adamw step) {
    real *w = p, *first = m, *second = v;
    const real *grad = g;
    real b1 = (real)step.beta1, b2 = (real)step.beta2, c1 = (real)(1 / step.correction1),
         c2 = (real)(1 / step.correction2);
    real rate = (real)step.rate, epsilon = (real)step.epsilon, keep = (real)(1 - step.rate * step.decay);
#pragma omp parallel for num_threads(threads_of(b))
    for (size_t i = 0; i < n; i++) {
        first[i] = b1 * first[i] + (1 - b1) * grad[i];
        second[i] = b2 * second[i] + (1 - b2) * grad[i] * grad[i];
        w[i] = keep * w[i] - rate * (first[i] * c1) / (SQRT(second[i] * c2) + epsilon);
    }
}

/* ---- the backend ---- */

static void cpu_close(struct backend *b) {
    struct cpu *c = b->own;
    if (c) free(c->stamp);
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
    if (!c) return err_set(e, EXIT_INTERNAL, "out of memory");
    c->threads = threads;
    blas_threads(threads);
    *b = (struct backend){.name = "cpu",
                          .elem = (enum elem)REAL,
                          .acc = (enum elem)REAL,
                          .host = true,
                          .own = c,
                          .alloc = cpu_alloc,
                          .release = cpu_release,
                          .upload = cpu_copy,
                          .download = cpu_copy,
                          .zero = cpu_zero,
                          .sync = cpu_sync,
                          .stamp = cpu_stamp,
                          .stamp_s = cpu_stamp_s,
                          .linear = cpu_linear,
                          .linear_back = cpu_linear_back,
                          .bias_back = cpu_bias_back,
                          .residual = cpu_residual,
                          .norm = cpu_norm,
                          .norm_back = cpu_norm_back,
                          .attention_bytes = cpu_attention_bytes,
                          .attention = cpu_attention,
                          .attention_back = cpu_attention_back,
                          .activate = cpu_activate,
                          .activate_back = cpu_activate_back,
                          .embed = cpu_embed,
                          .embed_back = cpu_embed_back,
                          .loss_max = cpu_loss_max,
                          .loss_sums = cpu_loss_sums,
                          .loss_back = cpu_loss_back,
                          .adamw = cpu_adamw,
                          .close = cpu_close};
    name_device(b->device, sizeof b->device);
    return 0;
}
