#include "train/blas.h"
#include "base/arena.h"
#include "base/oom.h"
#include "train/die.h"

#include <cblas.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* The backend divides products itself, so the library's own threads are not wanted. All that libraries
 * disagree on is the name of the knob (one built on OpenMP, or without threads, needs none) ... */
extern void openblas_set_num_threads(int) __attribute__((weak));
extern void bli_thread_set_num_threads(long) __attribute__((weak));
/* ... where they keep work space ... */
extern void *blas_memory_alloc(int) __attribute__((weak));
extern void blas_memory_free(void *) __attribute__((weak));
/* ... and how to ask for their version. */
extern char *openblas_get_config(void) __attribute__((weak));
extern char *bli_info_get_version_str(void) __attribute__((weak));

static void one_thread(void) {
    if (openblas_set_num_threads) openblas_set_num_threads(1);
    if (bli_thread_set_num_threads) bli_thread_set_num_threads(1);
}

void blas_name(char *text, size_t size) {
    const char *openblas = openblas_get_config ? openblas_get_config() : NULL;
    if (bli_info_get_version_str)
        snprintf(text, size, "BLIS %s", bli_info_get_version_str());
    else
        snprintf(text, size, "%s", openblas ? openblas : "BLAS of unknown make");
}

/* ---- work space: where the system gives none, OpenBLAS asks again forever ---- */

struct watcher {
    int threads;
    atomic_bool done;
};

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A first product takes milliseconds. CPU time, because on a busy machine it may take any other time. */
static void *watch(void *own) {
    struct watcher *w = own;
    double limit_s = cpu_s() + 1 + 0.2 * w->threads;
    while (!atomic_load(&w->done)) {
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
        if (cpu_s() > limit_s && !atomic_load(&w->done))
            die("out of memory: the BLAS library finds no room for its work space; expected more address "
                "space (ulimit -v, -d) or fewer threads");
    }
    return NULL;
}

static void product(int n, const float *a, const float *b, float *c) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
}

/* OpenBLAS starts threads when it is loaded, and each keeps a work space from its start on. A late starter
 * would take what a product needs, in the middle of a step; a thread has started once it has had a share of a
 * product. */
static void first_shares(struct arena *a) {
    enum { N = 512 };
    if (!oom_limited()) return;
    float *x = arena_alloc(a, 2 * sizeof *x * N * N);
    product(N, x, x, x + N * N);
}

/* Large enough to use the work space: kernels for small products, if any, do without. */
static void first_products(int threads, struct arena *arena) {
    enum { N = 160 };
    float *x = arena_alloc(arena, sizeof *x * N * N * (size_t)(threads + 1)); /* too much for a small stack */
#pragma omp parallel num_threads(threads)
    {
#pragma omp barrier
        product(N, x, x, x + (size_t)N * N * (size_t)(omp_get_thread_num() + 1));
    }
}

/* A product that ends before the next begins would leave it its work space. */
static void first_work_spaces(int threads) {
    enum { MOST = 128 }; /* OpenBLAS has a list of fixed length */
    void *space[MOST];
    int n = threads < MOST ? threads : MOST;
    if (!blas_memory_alloc || !blas_memory_free) return;
    for (int i = 0; i < n; i++) space[i] = blas_memory_alloc(0);
    for (int i = 0; i < n; i++)
        if (space[i]) blas_memory_free(space[i]);
}

int blas_prepare(int threads, struct err *e) {
    struct watcher w = {.threads = threads};
    struct arena a = {0};
    pthread_t watcher;
    int bad = pthread_create(&watcher, NULL, watch, &w);
    if (bad) return err_set(e, EXIT_INTERNAL, "out of memory: no more threads can be started");
    first_shares(&a);
    one_thread();
    first_products(threads, &a);
    first_work_spaces(threads);
    atomic_store(&w.done, true);
    pthread_join(watcher, NULL);
    arena_free(&a);
    return 0;
}
