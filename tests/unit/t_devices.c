/* Peaks of devices, from the vendors' documents. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "formats/devices.h"
#include "io/json.h"
#include "texts.h"

static double promised(const char *device, const char *gpu, const char *products) {
    struct err e;
    double flops_per_s;
    if (devices_peak("devices.json", slurp("inputs/devices.json"), device, gpu, products, &flops_per_s, &e))
        fail_msg("%s", e.text);
    return flops_per_s;
}

static void peaks_are_those_of_the_device(void **state) {
    (void)state;
    assert_true(promised("NVIDIA H100 80GB HBM3", NULL, "bf16") == 989.4e12);
    assert_true(promised("NVIDIA H100 PCIe", NULL, "bf16") == 756.5e12);
    assert_true(promised("Tesla V100-SXM2-16GB", NULL, "fp16") == 125e12);
    assert_true(promised("NVIDIA H200 (0000:18:00.0)", NULL, "tf32") == 494.5e12);
    assert_true(promised(NULL, "A100-40", "tf32") == 156e12);
    assert_true(promised("a new one", "A100-40", "fp32") == 19.5e12);       /* by the plan's type */
    assert_true(promised("NVIDIA L4", "A100-40", "fp32") == 30.3e12);       /* the device knows better, ... */
    assert_true(promised("NVIDIA H100 PCIe", "H100-80", "tf32") == 378e12); /* ... before and behind it */
    assert_true(promised(NULL, "V100-16", "tf32") == 15.7e12);              /* no such cores: fp32 */
    assert_true(isnan(promised(NULL, "V100-16", "bf16")));                  /* and nothing to replace them */
    assert_true(isnan(promised("NVIDIA GeForce RTX 3090 Ti", NULL, "fp32"))); /* not the 3090 */
    assert_true(isnan(promised("Intel(R) Xeon(R)", "cpu", "fp32")));
    assert_true(isnan(promised(NULL, "A100-40", "fp8")));
}

/* The corrected FlashFlex has the same figures from data sheets. */
static void peaks_agree_with_flashflex(void **state) {
    (void)state;
    const char *text = slurp("inputs/planners/flashflex.json");
    cJSON *tree = cJSON_Parse(text);
    const cJSON *x;
    int n = 0;
    cJSON_ArrayForEach(x, cJSON_GetObjectItemCaseSensitive(tree, "gpus")) {
        const cJSON *fixed = cJSON_GetObjectItemCaseSensitive(x, "corrected_tflops");
        const char *gpu = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(x, "gpu"));
        assert_false(
            isnan(promised(NULL, gpu, "fp32"))); /* every type of the published evaluation is known */
        if (!fixed) continue;
        assert_true(promised(NULL, gpu, "fp32") == 1e12 * fixed->valuedouble);
        n++;
    }
    assert_int_equal(n, 3);
    cJSON_Delete(tree);
}

static void bad_devices_are_refused(void **state) {
    (void)state;
    static const char good[] = "{\"format\": \"sailor-devices/1\", \"devices\": [{\"names\": [\"A\"], "
                               "\"tflops\": {\"fp32\": 2}, \"source\": \"s\"}]}";
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"devices/1", "devices/2", "/format"},
        {"\"names\": [\"A\"], ", "", "/devices/0/names"},
        {"[\"A\"]", "[\"\"]", "/devices/0/names/0"},
        {"fp32", "fp23", "fp32"},
        {"\"fp32\": 2", "\"tf32\": 2", "/devices/0/tflops/fp32"},
        {": 2", ": 0", "/devices/0/tflops/fp32"},
        {": 2", ": \"2\"", "/devices/0/tflops/fp32"},
    };
    struct err e;
    double flops_per_s;
    assert_int_equal(devices_peak("d.json", good, "A", NULL, "tf32", &flops_per_s, &e), 0);
    assert_true(flops_per_s == 2e12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (struct err){0};
        if (!devices_peak("d.json", with(good, bad[i].from, bad[i].to), "A", NULL, "fp32", &flops_per_s, &e))
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, "d.json: ", bad[i].word);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peaks_are_those_of_the_device),
        cmocka_unit_test(peaks_agree_with_flashflex),
        cmocka_unit_test(bad_devices_are_refused),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
