#include "base/arena.h"
#include "base/oom.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    size_t used, size; /* counted from the block's start */
};

enum { ALIGN = 64, BLOCK = 1 << 18 };

void *arena_alloc(struct arena *a, size_t n) {
    if (n > SIZE_MAX - 2 * ALIGN) oom(n);
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (!a->head || a->head->size - a->head->used < n) {
        size_t size = ALIGN + (n > BLOCK ? n : BLOCK);
        struct arena_block *b = oom_aligned(ALIGN, size);
        b->next = a->head;
        b->used = ALIGN;
        b->size = size;
        a->head = b;
    }
    void *p = (char *)a->head + a->head->used;
    a->head->used += n;
    assert(a->head->used <= a->head->size);
    return memset(p, 0, n);
}

char *arena_strdup(struct arena *a, const char *s) {
    return s ? memcpy(arena_alloc(a, strlen(s) + 1), s, strlen(s) + 1) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

void arena_free(struct arena *a) {
    while (a->head) {
        struct arena_block *b = a->head;
        a->head = b->next;
        free(b);
    }
}

struct arena_mark arena_mark(const struct arena *a) {
    return (struct arena_mark){a->head, a->head ? a->head->used : 0};
}

void arena_release(struct arena *a, struct arena_mark m) {
    while (a->head != m.head) {
        struct arena_block *b = a->head;
        assert(b); /* the mark is of this arena and older than any that was released */
        a->head = b->next;
        free(b);
    }
    if (!a->head) return;
    assert(m.used <= a->head->used);
    a->head->used = m.used;
}
