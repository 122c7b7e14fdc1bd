/* The emulated GPU: fibers for threads, memory, and matrix products by three loops. */
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <setjmp.h>
#include <ucontext.h>
#include <vector>

/* ---- fibers ---- */

namespace emulated {
dim3 thread, block, block_size, grid_size;
char *room;

enum state { RUNS, AT_BARRIER, AT_WARP_BARRIER, DONE };
struct copying {
    void *to;
    const void *from;
    size_t bytes;
    bool zero;
    int group;
};
struct fiber {
    ucontext_t context; /* only for the start; later, and for all later blocks, jumps: they are faster */
    jmp_buf here;
    bool begun;
    char *stack;
    dim3 index;
    state at;
    std::vector<copying> copies;
    int group;
};
enum { STACK = 128 << 10, WARP_ROOM = 64 * 32 };

static std::vector<fiber> fibers;
static fiber *current;
static ucontext_t start;
static jmp_buf scheduler;
static const std::function<void()> *kernel_of_launch;
static char given[32][WARP_ROOM]; /* by warp: values given by its lanes */

static bool backwards() { return getenv("EMULATED") && strstr(getenv("EMULATED"), "backwards"); }
static bool broken() { return getenv("EMULATED") && strstr(getenv("EMULATED"), "broken"); }
static bool late() { return getenv("EMULATED") && strstr(getenv("EMULATED"), "late"); }

static unsigned number() { return thread.x + block_size.x * (thread.y + block_size.y * thread.z); }
unsigned lane() { return number() % 32; }

static void leave(state why) {
    current->at = why;
    if (!_setjmp(current->here)) _longjmp(scheduler, 1);
}
void barrier() { leave(AT_BARRIER); }
void warp_barrier() { leave(AT_WARP_BARRIER); }

void *exchange(const void *mine, size_t bytes) {
    char *all = given[number() / 32];
    memcpy(all + 64 * lane(), mine, bytes);
    warp_barrier();
    return all;
}

static void perform(const copying &c) {
    if (c.zero)
        memset(c.to, 0, c.bytes);
    else
        memcpy(c.to, c.from, c.bytes);
}
void copy(void *to, const void *from, size_t bytes, bool zero) {
    copying c = {to, from, bytes, zero, current->group};
    if (((uintptr_t)to | (uintptr_t)from) % bytes) fprintf(stderr, "emulated: misaligned copy\n"), abort();
    if (late())
        current->copies.push_back(c);
    else
        perform(c);
}
void copy_end() { current->group++; }
void copy_wait(int latest) {
    std::vector<copying> left;
    for (const copying &c : current->copies)
        if (c.group < current->group - latest)
            perform(c);
        else
            left.push_back(c);
    current->copies = left;
}

static void begin() {
    for (;;) {
        (*kernel_of_launch)();
        leave(DONE);
    }
}

static void go(fiber &f) {
    current = &f;
    thread = f.index;
    f.at = RUNS;
    if (_setjmp(scheduler)) return;
    if (f.begun) _longjmp(f.here, 1);
    f.begun = true;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack;
    f.context.uc_stack.ss_size = STACK;
    f.context.uc_link = NULL;
    makecontext(&f.context, begin, 0);
    swapcontext(&start, &f.context);
}

/* Lets fibers at a barrier go on if all that still run have reached it. Returns whether any did. */
static bool release(unsigned first, unsigned end, state barrier) {
    bool any = false;
    for (unsigned i = first; i < end; i++)
        if (fibers[i].at != barrier && fibers[i].at != DONE) return false;
    for (unsigned i = first; i < end; i++)
        if (fibers[i].at == barrier) fibers[i].at = RUNS, any = true;
    return any;
}

static void run_block(unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        fiber &f = fibers[i];
        f.index = dim3(i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y);
        f.at = RUNS;
        f.group = 0;
        f.copies.clear();
    }
    for (unsigned warps = (n + 31) / 32;;) {
        bool any = false, back = backwards();
        for (unsigned w = 0; w < warps; w++) {
            unsigned first = (back ? warps - 1 - w : w) * 32, end = first + 32 < n ? first + 32 : n;
            do {
                for (unsigned i = first; i < end; i++) {
                    fiber &f = fibers[back ? first + end - 1 - i : i];
                    if (f.at == RUNS) go(f), any = true;
                }
            } while (release(first, end, AT_WARP_BARRIER));
        }
        if (release(0, n, AT_BARRIER)) any = true;
        bool done = true;
        for (unsigned i = 0; i < n; i++) done = done && fibers[i].at == DONE;
        if (done) return;
        if (!any) fprintf(stderr, "emulated: threads wait at different barriers\n"), abort();
    }
}

void run(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()> &kernel) {
    unsigned n = size.x * size.y * size.z;
    std::vector<char> shared(shared_bytes + 128);
    while (fibers.size() < n) {
        fibers.emplace_back();
        fibers.back().stack = (char *)malloc(STACK);
    }
    room = shared.data() + (128 - (uintptr_t)shared.data() % 128) % 128;
    memset(shared.data(), 0xff, shared.size()); /* NaN, as float and as bf16 */
    block_size = size;
    grid_size = grid;
    kernel_of_launch = &kernel;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                block = dim3(x, y, z);
                run_block(n);
            }
}
} // namespace emulated

/* ---- memory: a buffer ends at a page that cannot be touched ---- */

enum { PAGE = 4096 };
static size_t used;

cudaError_t cudaMalloc(void **p, size_t bytes) {
    size_t room = (bytes + 15) / 16 * 16, whole = (room + 16 + PAGE - 1) / PAGE * PAGE + PAGE;
    if (bytes > (size_t)1 << 34) return cudaErrorMemoryAllocation;
    char *at = (char *)mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return cudaErrorMemoryAllocation;
    char *start = at + whole - PAGE - room, *before = start - 16;
    memset(at, 0xff, whole - PAGE);
    mprotect(at + whole - PAGE, PAGE, PROT_NONE);
    memcpy(before, &at, sizeof at);
    memcpy(before + 8, &whole, sizeof whole);
    used += whole;
    *p = start;
    return cudaSuccess;
}
cudaError_t cudaFree(void *p) {
    char *at;
    size_t whole;
    if (!p) return cudaSuccess;
    memcpy(&at, (char *)p - 16, sizeof at);
    memcpy(&whole, (char *)p - 8, sizeof whole);
    used -= whole;
    munmap(at, whole);
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void **p, size_t bytes) {
    *p = malloc(bytes);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void *p) { return free(p), cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t *left, size_t *total) {
    *total = (size_t)1 << 34, *left = *total - used;
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind kind, cudaStream_t) {
    if (emulated::broken() && kind == cudaMemcpyDeviceToHost) return cudaErrorUnknown;
    return memcpy(to, from, n), cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *p, int value, size_t n, cudaStream_t) {
    return memset(p, value, n), cudaSuccess;
}

/* ---- device, streams, events ---- */

const char *cudaGetErrorString(cudaError_t e) { return e == cudaSuccess ? "no error" : "emulated error"; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaGetDeviceCount(int *n) { return *n = 1, cudaSuccess; }
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int) {
    snprintf(p->name, sizeof p->name, "emulated GPU");
    p->major = 8;
    p->minor = 0;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetPCIBusId(char *s, int size, int) {
    return snprintf(s, (size_t)size, "0000:00:00.0"), cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned) { return *s = NULL, cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamQuery(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t *e) { return *e = (double *)calloc(1, sizeof **e), cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) { return cudaEventCreate(e); }
cudaError_t cudaEventDestroy(cudaEvent_t e) { return free(e), cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return *e = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec, cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) {
    return *ms = (float)(1e3 * (*to - *from)), cudaSuccess;
}

/* ---- cuBLASLt ---- */

const char *cublasLtGetStatusString(cublasStatus_t) { return "emulated error"; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t *h) { return *h = new int, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t h) {
    delete h;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t, cudaDataType_t) {
    return *d = new emulated_matmul{CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, NULL},
           CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d) {
    delete d;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, int what, const void *value, size_t n) {
    if (what == CUBLASLT_MATMUL_DESC_TRANSA) memcpy(&d->a, value, n);
    if (what == CUBLASLT_MATMUL_DESC_TRANSB) memcpy(&d->b, value, n);
    if (what == CUBLASLT_MATMUL_DESC_EPILOGUE) memcpy(&d->epilogue, value, n);
    if (what == CUBLASLT_MATMUL_DESC_BIAS_POINTER) memcpy(&d->bias, value, n);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType_t type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
    return *l = new emulated_layout{type, rows, columns, ld, 0, 1}, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l) {
    delete l;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l, int what, const void *value,
                                                size_t n) {
    if (what == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) memcpy(&l->batch, value, n);
    if (what == CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET) memcpy(&l->stride, value, n);
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p) {
    return *p = new int, CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p) {
    delete p;
    return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t, int, const void *, size_t) {
    return CUBLAS_STATUS_SUCCESS;
}

/* The library's own checks: matching sizes, and leading dimensions that hold a column. */
static bool fits(cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                 cublasLtMatrixLayout_t c) {
    uint64_t m = d->a == CUBLAS_OP_N ? a->rows : a->columns, k = d->a == CUBLAS_OP_N ? a->columns : a->rows;
    uint64_t k2 = d->b == CUBLAS_OP_N ? b->rows : b->columns, n = d->b == CUBLAS_OP_N ? b->columns : b->rows;
    return m == c->rows && n == c->columns && k == k2 && a->ld >= (int64_t)a->rows &&
           b->ld >= (int64_t)b->rows && c->ld >= (int64_t)c->rows && a->type == b->type &&
           a->batch == b->batch && b->batch == c->batch;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t, int,
                                              cublasLtMatmulHeuristicResult_t *found, int *n) {
    found->algo.any = 1;
    return *n = fits(d, a, b, c), CUBLAS_STATUS_SUCCESS;
}

static float value(const void *p, cudaDataType_t type, int64_t i) {
    return type == CUDA_R_32F ? ((const float *)p)[i] : __bfloat162float(((const __nv_bfloat16 *)p)[i]);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb,
                              const void *beta, const void *c, cublasLtMatrixLayout_t lc, void *d,
                              cublasLtMatrixLayout_t ld, const cublasLtMatmulAlgo_t *, void *, size_t,
                              cudaStream_t) {
    int64_t m = (int64_t)lc->rows, n = (int64_t)lc->columns;
    int64_t k = (int64_t)(desc->a == CUBLAS_OP_N ? la->columns : la->rows);
    float scale = *(const float *)alpha, keep = *(const float *)beta;
    if (!fits(desc, la, lb, lc)) return CUBLAS_STATUS_INVALID_VALUE;
    for (int64_t x = 0; x < lc->batch; x++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < m; i++) {
                double sum = 0;
                for (int64_t l = 0; l < k; l++)
                    sum += (double)value(a, la->type,
                                         x * la->stride +
                                             (desc->a == CUBLAS_OP_N ? i + l * la->ld : l + i * la->ld)) *
                           value(b, lb->type,
                                 x * lb->stride + (desc->b == CUBLAS_OP_N ? l + j * lb->ld : j + l * lb->ld));
                float result = scale * (float)sum;
                if (keep != 0) result += keep * value(c, lc->type, x * lc->stride + i + j * lc->ld);
                if (desc->epilogue == CUBLASLT_EPILOGUE_BIAS) result += value(desc->bias, la->type, i);
                if (ld->type == CUDA_R_32F)
                    ((float *)d)[x * ld->stride + i + j * ld->ld] = result;
                else
                    ((__nv_bfloat16 *)d)[x * ld->stride + i + j * ld->ld] = __float2bfloat16_rn(result);
            }
    return CUBLAS_STATUS_SUCCESS;
}
