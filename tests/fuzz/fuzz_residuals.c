/* How far estimates have been off: a file that loads has an answer for every GPU type. */
#include "formats/residuals.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena a = {0};
    struct err e = {0};
    struct residuals r;
    if (residuals_read("residuals.json", fuzz_text(data, size, &a), &r, &a, &e)) {
        fuzz_error(&e);
    } else {
        const struct residual *one = residuals_sheet(&r, "A100-80");
        REQUIRE(one->time >= 0 && one->time <= 10 && one->memory >= 0 && one->memory <= 10);
        residuals_estimator(&r, "native");
    }
    arena_free(&a);
    return 0;
}
