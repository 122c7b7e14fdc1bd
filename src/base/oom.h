#ifndef SAILOR_BASE_OOM_H
#define SAILOR_BASE_OOM_H
#include <stdbool.h>
#include <stddef.h>
/* Allocations that succeed or end the program: one line on stderr, "PROGRAM: error: out of memory (N bytes)",
 * and status EXIT_INTERNAL. There is nothing sensible left to do, so no caller checks what an allocation
 * returns, and the arena does the same. Thread-safe. free() releases what these functions return. */

#ifdef __cplusplus
extern "C" {
#endif

/** The name that the line begins with, and what ends the job after it is printed: other ranks may wait for
 * this one. `end` may be NULL, or return; the process then ends by itself. Call before any thread starts. */
void oom_prepare(const char *program, void (*end)(void));

/** To be called where an allocation of this many bytes has failed. */
void oom(size_t bytes) __attribute__((noreturn));

/** Is there a limit on this process's addresses or data (ulimit -v, -d)? */
bool oom_limited(void);

/** n bytes, not initialised. Never NULL. */
void *oom_malloc(size_t n);
/** n zeroed elements of `size` bytes. Never NULL. */
void *oom_calloc(size_t n, size_t size);
/** p, from any of these or NULL, with room for n elements of `size` bytes. Never NULL. */
void *oom_realloc(void *p, size_t n, size_t size);
/** n bytes at a multiple of `align`, a power of two; not initialised. Never NULL. */
void *oom_aligned(size_t align, size_t n);

#ifdef __cplusplus
}
#endif
#endif
