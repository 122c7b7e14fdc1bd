/* The published files. The first byte says which kind: 0 layer sizes, 1 times, 2 one profile, 3 links, 4
 * links inside a node, 5 egress prices, 6 trace (CSV), 7 plan, 8 facts. */
#include "import/import.h"
#include "fuzz.h"

static const char facts[] = "{\"format\":\"sailor-facts/"
                            "1\",\"source\":\"x\",\"site\":{\"name\":\"s\",\"source\":\"y\",\"zones\":[\"a\","
                            "\"b\"],\"gpus\":[{\"name\":\"g\"},"
                            "{\"name\":\"h\"}]},\"models\":[{\"name\":\"m\",\"published\":\"M\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena a = {0};
    struct err e = {0};
    if (size == 0) return 0;
    enum import_kind kind = (enum import_kind)((data[0] - '0') & 0xFF);
    if ((int)kind < IMPORT_KINDS && import_try(kind, fuzz_text(data + 1, size - 1, &a), size - 1, facts, &e))
        fuzz_error(&e);
    arena_free(&a);
    return 0;
}
