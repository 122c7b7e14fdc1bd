#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    struct arena_block *next;
    size_t used, size; /* counted from the block's start */
};

enum { ALIGN = 64, BLOCK = 1 << 18 };

void *arena_alloc(struct arena *a, size_t n) {
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (!a->head || a->head->size - a->head->used < n) {
        size_t size = ALIGN + (n > BLOCK ? n : BLOCK);
        struct arena_block *b = aligned_alloc(ALIGN, size);
        if (!b) {
            fprintf(stderr, "sailor: error: out of memory (%zu bytes)\n", size);
            exit(1);
        }
        b->next = a->head;
        b->used = ALIGN;
        b->size = size;
        a->head = b;
    }
    void *p = (char *)a->head + a->head->used;
    a->head->used += n;
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
    for (struct arena_block *b = a->head, *next; b; b = next) next = b->next, free(b);
    a->head = NULL;
}

struct arena_mark arena_mark(const struct arena *a) {
    return (struct arena_mark){a->head, a->head ? a->head->used : 0};
}

void arena_release(struct arena *a, struct arena_mark m) {
    while (a->head != m.head) {
        struct arena_block *b = a->head;
        a->head = b->next;
        free(b);
    }
    if (a->head) a->head->used = m.used;
}
