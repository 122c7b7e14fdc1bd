/* Where a search goes on in the middle of a round: bytes of a result file, behind those that tell their form.
 * What is read is written and read again as the same. */
#include "fuzz.h"
#include "search/window.h"
#include "search/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { UNITS = 40, FORM = 8 };
    static const struct model model = {.name = "m"};
    static const struct site site = {.name = "s"};
    static const struct workload w = {.model = &model, .site = &site, .global_batch_size = 64};
    struct arena a = {0};
    struct saved s = {0}, again;
    struct wire b = {0}, in = {0};
    wire_put_saved(&b, &s);
    in.n = FORM + size;
    in.bytes = arena_alloc(&a, in.n + 1);
    memcpy(in.bytes, b.bytes, FORM);
    if (size) memcpy(in.bytes + FORM, data, size);
    b.n = 0;
    if (wire_get_saved(&in, &s, UNITS, &w, &a) == 0) {
        wire_put_saved(&b, &s);
        REQUIRE(wire_get_saved(&b, &again, UNITS, &w, &a) == 0);
        REQUIRE(s.n_unit == again.n_unit && s.n_done == again.n_done && s.n_front == again.n_front);
    }
    wire_free(&b);
    arena_free(&a);
    return 0;
}
