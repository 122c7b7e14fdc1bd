/* Common to all harnesses. They run in the project's root and look up names in tests/fuzz/inputs. */
#ifndef SAILOR_TESTS_FUZZ_H
#define SAILOR_TESTS_FUZZ_H
#include "base/arena.h"
#include "base/err.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_INPUTS "tests/fuzz/inputs"

/* Not assert(): these hold in every build. */
#define REQUIRE(cond)                                                                                        \
    do {                                                                                                     \
        if (!(cond)) abort();                                                                                \
    } while (0)

/** The bytes as text, followed by a NUL. */
static inline char *fuzz_text(const uint8_t *data, size_t size, struct arena *a) {
    char *s = arena_alloc(a, size + 1);
    if (size) memcpy(s, data, size);
    return s;
}

/** A failure left one line of text and the code for bad input. */
static inline void fuzz_error(const struct err *e) {
    REQUIRE(e->code == EXIT_INPUT && e->text[0] && !strchr(e->text, '\n') &&
            strlen(e->text) < sizeof e->text);
}

#endif
