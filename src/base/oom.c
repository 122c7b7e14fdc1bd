#include "base/oom.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *program_name = "sailor";
static void (*end_job)(void);

void oom_prepare(const char *program, void (*end)(void)) {
    program_name = program;
    end_job = end;
}

void oom(size_t bytes) {
    static atomic_flag said = ATOMIC_FLAG_INIT;
    static _Thread_local bool here;
    if (atomic_flag_test_and_set(&said)) {
        if (here) _exit(EXIT_INTERNAL); /* ending the job took memory, too */
        for (;;) pause();               /* another thread was first, and ends the program */
    }
    here = true;
    fprintf(stderr, "%s: error: out of memory (%zu bytes)\n", program_name, bytes);
    fflush(NULL);
    if (end_job) end_job();
    _exit(EXIT_INTERNAL); /* no handlers: those of libraries might want memory */
}

bool oom_limited(void) {
    struct rlimit space, data;
    return (!getrlimit(RLIMIT_AS, &space) && space.rlim_cur != RLIM_INFINITY) ||
           (!getrlimit(RLIMIT_DATA, &data) && data.rlim_cur != RLIM_INFINITY);
}

void *oom_malloc(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) oom(n);
    return p;
}

void *oom_calloc(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) oom(size && n > SIZE_MAX / size ? SIZE_MAX : n * size);
    return p;
}

void *oom_realloc(void *p, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) oom(SIZE_MAX);
    size_t bytes = n * size;
    void *more = realloc(p, bytes ? bytes : 1);
    if (!more) oom(bytes);
    return more;
}

void *oom_aligned(size_t align, size_t n) {
    if (n > SIZE_MAX - align) oom(n);
    void *p = aligned_alloc(align, (n + align - 1) / align * align);
    if (!p) oom(n);
    return p;
}
