#ifndef SAILOR_TRAIN_ELEM_H
#define SAILOR_TRAIN_ELEM_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* Types of the elements of a buffer. */
enum elem { ELEM_F32, ELEM_F64, ELEM_BF16 };

static inline size_t elem_bytes(enum elem t) { return t == ELEM_F64 ? 8 : t == ELEM_F32 ? 4 : 2; }

/** Address of element n of a buffer. */
static inline void *elem_at(const void *buffer, size_t n, enum elem t) {
    return (char *)(size_t)buffer + n * elem_bytes(t);
}

/* The upper half of a float. A type of its own, so that nobody computes with the bits. */
typedef struct {
    uint16_t bits;
} bf16;

static inline float bf16_value(bf16 x) {
    uint32_t u = (uint32_t)x.bits << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/** Round to nearest, ties to even; too large a number becomes infinity, and a NaN stays a NaN. */
static inline bf16 bf16_round(float f) {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t nearest = (u + 0x7fff + (u >> 16 & 1)) >> 16, quiet = u >> 16 | 0x40;
    return (bf16){(uint16_t)((u & 0x7fffffff) > 0x7f800000 ? quiet : nearest)};
}
#endif
