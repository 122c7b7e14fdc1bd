#ifndef SAILOR_TRAIN_CUDA_MATMUL_CUH
#define SAILOR_TRAIN_CUDA_MATMUL_CUH
#include "train/cuda_check.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* Matrix products by cuBLASLt: c[m][n] = scale * a b (+ c) (+ bias[n]), row-major as everywhere; a is [m][k],
 * or [k][m] where transposed, b [k][n] or [n][k]. a, b and bias are T, c is C. cuBLASLt is asked once for
 * each kind of product (sizes, types, alignments) which algorithm to use; the answers are kept. */

static void check_blas(cublasStatus_t status, const char *what) {
    if (status != CUBLAS_STATUS_SUCCESS) die("CUDA: %s: %s", what, cublasLtGetStatusString(status));
}
#define CHECK_BLAS(call) check_blas(call, #call)

/* The largest power of two up to 16 that divides an address; no algorithm asks for more. */
static size_t alignment(const void *p) {
    uintptr_t at = (uintptr_t)p | 16;
    return at & (~at + 1);
}

struct matrix {
    const void *at;
    int ld;
    bool transposed;
    size_t stride; /* from one of a batch to the next */
};
struct product {
    int m, n, k;
    float scale;
    struct matrix a, b;
    int batch;       /* 0 is 1 */
    size_t stride_c; /* from one c of a batch to the next */
};

/* What tells one kind of matrix product from another; all of it is compared. */
struct matmul_kind {
    long long m, n, k, lda, ldb, ldc, stride_a, stride_b, stride_c, batch;
    int transposed_a, transposed_b, bias, wide, align_a, align_b, align_c, align_bias; /* wide: c in float */
};

struct matmul { /* how to do products of one kind */
    struct matmul_kind kind;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algorithm;
    struct matmul *next;
};

struct matmuls {
    cublasLtHandle_t blas;
    cudaStream_t stream;
    void *scratch; /* shared with the rest of the backend, whose work is in the same stream */
    size_t scratch_bytes;
    struct matmul *known; /* latest first */
};

template <class T> static cudaDataType_t type_of() { return sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_16BF; }

static cublasLtMatrixLayout_t layout(cudaDataType_t type, long long rows, long long columns, long long ld,
                                     long long batch, long long stride) {
    cublasLtMatrixLayout_t x;
    int32_t count = (int32_t)batch;
    int64_t step = stride;
    CHECK_BLAS(cublasLtMatrixLayoutCreate(&x, type, (uint64_t)rows, (uint64_t)columns, ld));
    CHECK_BLAS(cublasLtMatrixLayoutSetAttribute(x, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count));
    CHECK_BLAS(
        cublasLtMatrixLayoutSetAttribute(x, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step));
    return x;
}

static cublasLtMatmulDesc_t describe(const struct matmul_kind &x, cudaDataType_t type, const void *bias,
                                     cublasComputeType_t precision) {
    cublasLtMatmulDesc_t d;
    cublasOperation_t first = x.transposed_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                      second = x.transposed_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = x.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    CHECK_BLAS(cublasLtMatmulDescCreate(&d, precision, CUDA_R_32F));
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (!x.bias) return d;
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type));
    CHECK_BLAS(cublasLtMatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    return d;
}

/* cuBLASLt counts by columns: a row-major c = a b is c' = b' a' to it, so a and b change places. */
static struct matmul *matmul_new(struct matmuls *all, const struct matmul_kind &x, cudaDataType_t type,
                                 cudaDataType_t type_c, const void *bias) {
    struct matmul *p = (struct matmul *)calloc(1, sizeof *p);
    cublasLtMatmulPreference_t wish;
    cublasLtMatmulHeuristicResult_t found;
    size_t room = all->scratch_bytes;
    int n = 0;
    if (!p) die("CUDA: matrix product: out of memory");
    p->kind = x;
    p->a = layout(type, x.transposed_b ? x.k : x.n, x.transposed_b ? x.n : x.k, x.ldb, x.batch, x.stride_b);
    p->b = layout(type, x.transposed_a ? x.m : x.k, x.transposed_a ? x.k : x.m, x.lda, x.batch, x.stride_a);
    p->c = layout(type_c, x.n, x.m, x.ldc, x.batch, x.stride_c);
    CHECK_BLAS(cublasLtMatmulPreferenceCreate(&wish));
    CHECK_BLAS(cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room,
                                                    sizeof room));
    const struct {
        cublasLtMatmulPreferenceAttributes_t what;
        uint32_t bytes;
    } align[] = {
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)x.align_b},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)x.align_a},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)x.align_c},
        /* the bias's alignment counts as d's */
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
         (uint32_t)(x.align_bias < x.align_c ? x.align_bias : x.align_c)},
    };
    for (const auto &at : align)
        CHECK_BLAS(cublasLtMatmulPreferenceSetAttribute(wish, at.what, &at.bytes, sizeof at.bytes));
    /* odd sizes may have no algorithm in TF32 */
    for (int plain = type != CUDA_R_32F; n == 0 && plain < 2; plain++) {
        if (p->desc) CHECK_BLAS(cublasLtMatmulDescDestroy(p->desc));
        p->desc = describe(x, type, bias, plain ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_FAST_TF32);
        if (cublasLtMatmulAlgoGetHeuristic(all->blas, p->desc, p->a, p->b, p->c, p->c, wish, 1, &found, &n) !=
            CUBLAS_STATUS_SUCCESS)
            n = 0;
    }
    if (n == 0) die("CUDA: no algorithm of cuBLASLt for a product of %lld x %lld x %lld", x.m, x.n, x.k);
    p->algorithm = found.algo;
    CHECK_BLAS(cublasLtMatmulPreferenceDestroy(wish));
    p->next = all->known;
    all->known = p;
    return p;
}

template <class T, class C>
static struct matmul_kind kind_of(const struct product &p, const void *bias, const void *to, int ld) {
    struct matmul_kind x;
    memset(&x, 0, sizeof x); /* padding is compared too */
    x.m = p.m;
    x.n = p.n;
    x.k = p.k;
    x.lda = p.a.ld;
    x.ldb = p.b.ld;
    x.ldc = ld;
    x.stride_a = (long long)p.a.stride;
    x.stride_b = (long long)p.b.stride;
    x.stride_c = (long long)p.stride_c;
    x.batch = p.batch ? p.batch : 1;
    x.transposed_a = p.a.transposed;
    x.transposed_b = p.b.transposed;
    x.bias = bias != NULL;
    x.wide = sizeof(C) == 4;
    x.align_a = (int)alignment(p.a.at);
    x.align_b = (int)alignment(p.b.at);
    x.align_c = (int)alignment(to);
    x.align_bias = (int)alignment(bias);
    return x;
}

/* to = p + keep * to (+ bias, unless NULL); ld: elements from one row of `to` to the next. */
template <class T, class C>
static void matmul_run(struct matmuls *all, const struct product &p, const void *bias, float keep, void *to,
                       int ld) {
    struct matmul_kind kind = kind_of<T, C>(p, bias, to, ld);
    struct matmul *how = all->known;
    while (how && memcmp(&how->kind, &kind, sizeof kind)) how = how->next;
    if (!how) how = matmul_new(all, kind, type_of<T>(), type_of<C>(), bias);
    if (bias)
        CHECK_BLAS(
            cublasLtMatmulDescSetAttribute(how->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    CHECK_BLAS(cublasLtMatmul(all->blas, how->desc, &p.scale, p.b.at, how->a, p.a.at, how->b, &keep, to,
                              how->c, to, how->c, &how->algorithm, all->scratch, all->scratch_bytes,
                              all->stream));
}

static void matmul_free(struct matmuls *all) {
    for (struct matmul *p = all->known, *next; p; p = next) {
        next = p->next;
        cublasLtMatmulDescDestroy(p->desc);
        cublasLtMatrixLayoutDestroy(p->a);
        cublasLtMatrixLayoutDestroy(p->b);
        cublasLtMatrixLayoutDestroy(p->c);
        free(p);
    }
    all->known = NULL;
    if (all->blas) cublasLtDestroy(all->blas);
}
#endif
