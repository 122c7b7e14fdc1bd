/* A job file. A job that loads can be rebuilt from its own JSON text. */
#include "formats/inputs.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena a = {0};
    struct err e = {0};
    struct job job, again;
    if (job_load(FUZZ_INPUTS "/job.json", fuzz_text(data, size, &a), FUZZ_INPUTS, false, &job, &a, &e)) {
        fuzz_error(&e);
    } else {
        REQUIRE(job_from_json(job.json, &again, &a, &e) == 0);
        REQUIRE(strcmp(job.name, again.name) == 0 && job.n_pool == again.n_pool &&
                job.objective == again.objective);
        REQUIRE(job.workload.n_variant == again.workload.n_variant &&
                plan_options_equal(&job.workload.options, &again.workload.options));
        REQUIRE(memcmp(&job.pin, &again.pin, sizeof job.pin) == 0);
    }
    arena_free(&a);
    return 0;
}
