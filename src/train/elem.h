#ifndef SAILOR_TRAIN_ELEM_H
#define SAILOR_TRAIN_ELEM_H
#include <stddef.h>
/* Types of the elements of a buffer. */
enum elem { ELEM_F32, ELEM_F64 };

static inline size_t elem_bytes(enum elem t) { return t == ELEM_F64 ? 8 : 4; }

/** Address of element n of a buffer. */
static inline void *elem_at(const void *buffer, size_t n, enum elem t) {
    return (char *)(size_t)buffer + n * elem_bytes(t);
}
#endif
