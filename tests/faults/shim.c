/* For LD_PRELOAD: the n-th call of one kind fails, once, as if the machine had run out of something.
 *
 * FAIL=KIND:N says which; KIND is open, write, fsync, rename, close, truncate, mmap or malloc, and N counts
 * from 1 in each process.
 *
 * FAIL_MARK=FILE is created when the call has failed: a run with fewer calls proves nothing.
 *
 * Only calls of the program itself count, of cJSON, and, but for malloc, of HDF5, which writes its files: how
 * HDF5, MPI and the C library fare without memory is not ours to test (HDF5 reports an error of its first
 * call in an error stack that is not there yet, which is an error, and so on). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static const char *const kinds[] = {"open",  "write",    "fsync", "rename",
                                    "close", "truncate", "mmap",  "malloc"};
enum kind { OPEN, WRITE, FSYNC, RENAME, CLOSE, TRUNCATE, MMAP, MALLOC, KINDS };
static const int reason[KINDS] = {EMFILE, ENOSPC, EIO, EIO, EIO, ENOSPC, ENOMEM, ENOMEM};

static int chosen = -1, which_call;
static atomic_int calls;
static const char *mark;
static struct {
    uintptr_t from, to;
    bool hdf5;
} ours[16];
static int n_ours;

static int add_object(struct dl_phdr_info *info, size_t size, void *first) {
    const char *name = strrchr(info->dlpi_name, '/');
    bool program = *(bool *)first;
    (void)size;
    *(bool *)first = false; /* the program itself comes first */
    if (!program && (!name || (strncmp(name, "/libhdf5", 8) && strncmp(name, "/libcjson", 9)))) return 0;
    for (int i = 0; i < info->dlpi_phnum && n_ours < 16; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        ours[n_ours].from = info->dlpi_addr + p->p_vaddr;
        ours[n_ours].to = ours[n_ours].from + p->p_memsz;
        ours[n_ours].hdf5 = !program && !strncmp(name, "/libhdf5", 8);
        n_ours++;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *what = getenv("FAIL"), *colon = what ? strchr(what, ':') : NULL;
    bool first = true;
    mark = getenv("FAIL_MARK");
    if (!colon) return;
    dl_iterate_phdr(add_object, &first);
    which_call = atoi(colon + 1);
    for (int k = 0; k < KINDS; k++)
        if (strlen(kinds[k]) == (size_t)(colon - what) && !strncmp(what, kinds[k], (size_t)(colon - what)))
            chosen = k;
}

static bool is_ours(const void *caller, enum kind kind) {
    for (int i = 0; i < n_ours; i++)
        if ((uintptr_t)caller >= ours[i].from && (uintptr_t)caller < ours[i].to)
            return kind != MALLOC || !ours[i].hdf5;
    return false;
}

/* Is this the call to fail? Then sets errno. */
static bool fails(enum kind kind, const void *caller) {
    if ((int)kind != chosen || !is_ours(caller, kind)) return false;
    if (atomic_fetch_add(&calls, 1) + 1 != which_call) return false;
    if (mark) {
        long fd = syscall(SYS_openat, AT_FDCWD, mark, O_WRONLY | O_CREAT, 0666);
        if (fd >= 0) syscall(SYS_close, fd);
    }
    errno = reason[kind];
    return true;
}
#define FAILS(kind) fails(kind, __builtin_return_address(0))

/* The next function of that name. */
#define REAL(name)                                                                                           \
    static __typeof__(&name) real;                                                                           \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)

static int open_as(const char *path, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
#define MODE                                                                                                 \
    mode_t mode = 0;                                                                                         \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                     \
        va_list list;                                                                                        \
        va_start(list, flags);                                                                               \
        mode = va_arg(list, mode_t);                                                                         \
        va_end(list);                                                                                        \
    }
int open(const char *path, int flags, ...) { MODE return FAILS(OPEN) ? -1 : open_as(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return FAILS(OPEN) ? -1 : open_as(path, flags, mode); }
FILE *fopen(const char *path, const char *how) {
    REAL(fopen);
    return FAILS(OPEN) ? NULL : real(path, how);
}

ssize_t write(int fd, const void *p, size_t n) {
    REAL(write);
    return FAILS(WRITE) ? -1 : real(fd, p, n);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) {
    REAL(pwrite);
    return FAILS(WRITE) ? -1 : real(fd, p, n, at);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) {
    REAL(pwrite64);
    return FAILS(WRITE) ? -1 : real(fd, p, n, at);
}

int fsync(int fd) {
    REAL(fsync);
    return FAILS(FSYNC) ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return FAILS(FSYNC) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
    REAL(rename);
    return FAILS(RENAME) ? -1 : real(from, to);
}
int close(int fd) { /* it is closed all the same, as in the kernel */
    REAL(close);
    int rc = real(fd);
    return FAILS(CLOSE) ? -1 : rc;
}
int ftruncate(int fd, off_t n) {
    REAL(ftruncate);
    return FAILS(TRUNCATE) ? -1 : real(fd, n);
}
int ftruncate64(int fd, off64_t n) {
    REAL(ftruncate64);
    return FAILS(TRUNCATE) ? -1 : real(fd, n);
}
void *mmap(void *p, size_t n, int protection, int flags, int fd, off_t at) {
    REAL(mmap);
    return FAILS(MMAP) ? MAP_FAILED : real(p, n, protection, flags, fd, at);
}
void *mmap64(void *p, size_t n, int protection, int flags, int fd, off64_t at) {
    REAL(mmap64);
    return FAILS(MMAP) ? MAP_FAILED : real(p, n, protection, flags, fd, at);
}

/* dlsym() allocates: the C library's own names instead, or those of the sanitizer, which frees. */
#ifdef SANITIZED
#define __libc_malloc __interceptor_malloc
#define __libc_calloc __interceptor_calloc
#define __libc_realloc __interceptor_realloc
#define __libc_memalign __interceptor_memalign
#endif
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);
void *malloc(size_t n) { return FAILS(MALLOC) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return FAILS(MALLOC) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return FAILS(MALLOC) ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t align, size_t n) { return FAILS(MALLOC) ? NULL : __libc_memalign(align, n); }
int posix_memalign(void **p, size_t align, size_t n) {
    void *got = FAILS(MALLOC) ? NULL : __libc_memalign(align, n);
    if (!got) return ENOMEM;
    *p = got;
    return 0;
}
