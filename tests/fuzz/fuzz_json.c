/* Any bytes: the JSON reader. What it accepts, it accepts again without white space, as the same value. */
#include "io/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena a = {0};
    struct err e = {0};
    char *text = fuzz_text(data, size, &a);
    cJSON *tree = json_parse("FILE", text, size, &e);
    if (tree) {
        char *compact = json_compact(text, &a);
        cJSON *again = json_parse("FILE", compact, strlen(compact), &e);
        REQUIRE(again && cJSON_Compare(tree, again, 1));
        cJSON_Delete(again);
        cJSON_Delete(tree);
    } else {
        fuzz_error(&e);
    }
    arena_free(&a);
    return 0;
}
