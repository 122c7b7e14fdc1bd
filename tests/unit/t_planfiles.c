/* Files of plans. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/inputs.h"
#include "formats/planjson.h"
#include "texts.h"

static const char base_plan[] = "{\"format\": \"sailor-plan/1\", \"model\": \"opt-350m\", \"site\": \"gcp\", "
                                "\"global_batch_size\": 64, \"micro_batch_size\": 2, "
                                "\"pipelines\": [{\"stages\": [{\"layers\": [0, 13], \"replicas\": "
                                "[{\"gpu\": \"A100-40\", \"tp\": 2, \"zone\": \"us-central1-a\", "
                                "\"count\": 4}]}, {\"layers\": [13, 26], \"replicas\": [{\"gpu\": "
                                "\"V100-16\", \"tp\": 4, \"zone\": \"us-central1-b\", \"count\": "
                                "4}]}]}], \"measured\": {\"iteration_time_s\": 2.5}}";

static int load_plans(const char *text, struct plan_entry **p, int *n, struct err *e) {
    write_text(in_tmp("plan.json"), text, strlen(text));
    return plans_load(in_tmp("plan.json"), NULL, p, n, &texts, e);
}

static void plan_files_have_three_forms(void **state) {
    struct plan_entry *p;
    struct err e;
    int n;
    (void)state;
    if (load_plans(base_plan, &p, &n, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 1);
    assert_true(p->measured_time_s == 2.5 && isnan(p->measured_peak_bytes));
    assert_int_equal(p->plan->pipeline[0].n_stage, 2);
    assert_int_equal(p->plan->pipeline[0].stage[1].group[0].tp, 4);
    assert_int_equal(p->workload->global_batch_size, 64);
    assert_string_equal(p->where, arena_printf(&texts, "%s/plan.json: /", tmp));
    const char *other = with(with(base_plan, "opt-350m", "gpt-neo-2.7b"), "64,",
                             "64, \"dtype\": \"bf16\", \"optimizer\": \"sgd\",");
    other = with(with(other, "26]", "34]"), "\"count\": 4}", "\"vms\": [\"A100-40\", \"V100-16\"]}");
    if (load_plans(arena_printf(&texts, "[%s, %s]", base_plan, other), &p, &n, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 2);
    assert_int_equal(p[1].workload->element_bytes, 2);
    assert_true(p[1].workload->state_bytes_per_param == 20 && p[0].workload->state_bytes_per_param == 24);
    assert_int_equal(p[1].plan->pipeline[0].stage[0].group[0].n_vm, 2);
    assert_int_equal(p[1].plan->pipeline[0].stage[0].group[0].count, 1);
    if (load_plans(arena_printf(&texts, "{\"source\": \"x\", \"plans\": [%s]}", base_plan), &p, &n, &e))
        fail_msg("%s", e.text);
    assert_int_equal(n, 1);
    assert_string_equal(p->where, arena_printf(&texts, "%s/plan.json: /plans/0", tmp));
}

static void bad_plans_are_refused(void **state) {
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"sailor-plan/1", "sailor-job/1", "/format: \"sailor-job/1\""},
        {"\"micro_batch_size\": 2, ", "", "/micro_batch_size: missing"},
        {"\"tp\": 2", "\"tp\": 3", "/pipelines/0/stages/0/replicas/0/tp: 3; expected 1, 2, 4 or 8"},
        {"\"tp\": 2", "\"tp\": 8", "/pipelines/0/stages/0/replicas/0: tp 8; expected at most 4"},
        {"\"count\": 4", "\"count\": 0", "/pipelines/0/stages/0/replicas/0/count: 0;"},
        {"\"count\": 4", "\"vm\": 4",
         "/pipelines/0/stages/0/replicas/0/vm: unknown key \"vm\"; expected \"vms\"?"},
        {"\"count\": 4", "\"vms\": [\"x\"]",
         "/pipelines/0/stages/0/replicas/0/vms/0: \"x\"; expected a GPU type of site gcp"},
        {"[0, 13]", "[0, 12]", "/pipelines/0/stages/1/layers: [13, 26); expected to start at layer 12"},
        {"[0, 13]", "[0, 13, 14]", "/pipelines/0/stages/0/layers: an array of 3; expected 2 elements"},
        {"[13, 26]", "[13, 25]", "/pipelines/0/stages: cover layers [0, 25); expected all 26"},
        {"us-central1-b", "mars", "/pipelines/0/stages/1/replicas/0/zone: \"mars\""},
        {"A100-40", "H100", "/pipelines/0/stages/0/replicas/0/gpu: \"H100\""},
        {"\"micro_batch_size\": 2", "\"micro_batch_size\": 3",
         "no profile of opt-350m on A100-40 at microbatch 3 and tp 2"},
        {"2.5}", "-2.5}", "/measured/iteration_time_s: -2.5; expected a number > 0"},
        {"\"pipelines\"", "\"pipeline\"", "/pipeline: unknown key \"pipeline\"; expected \"pipelines\"?"},
    };
    struct plan_entry *p;
    struct err e = {0};
    int n;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (load_plans(with(base_plan, bad[i].from, bad[i].to), &p, &n, &e) == 0)
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, arena_printf(&texts, "%s/plan.json: /", tmp), bad[i].word);
        const char *text =
            arena_printf(&texts, "{\"plans\": [%s, %s]}", base_plan, with(base_plan, bad[i].from, bad[i].to));
        if (load_plans(text, &p, &n, &e) == 0) fail_msg("accepted: %s", bad[i].to);
        check_error(&e, arena_printf(&texts, "%s/plan.json: /plans/1/", tmp), "");
    }
    assert_int_equal(load_plans("3", &p, &n, &e), -1);
    check_error(&e, tmp, "not an object; expected a plan");
    assert_int_equal(load_plans("[]", &p, &n, &e), -1);
    check_error(&e, tmp, "an array of 0");
}

static void plans_survive_writing(void **state) {
    struct plan_entry *p;
    struct err e;
    int n;
    (void)state;
    if (plans_load("tests/vectors/simulate.json", NULL, &p, &n, &texts, &e)) fail_msg("%s", e.text);
    assert_int_equal(n, 400);
    for (int i = 0; i < n; i++) {
        cJSON *json = plan_to_json(p[i].plan, p[i].workload);
        char *text = cJSON_PrintUnformatted(json);
        cJSON *tree = json_parse("FILE", text, strlen(text), &e);
        struct plan *q = NULL;
        if (!tree || plan_from_json(tree, "FILE", p[i].workload->site, &q, &texts, &e))
            fail_msg("%s", e.text);
        assert_int_equal(plan_compare(p[i].plan, q), 0);
        assert_string_equal(p[i].plan->model, q->model);
        cJSON_free(text);
        cJSON_Delete(json);
        cJSON_Delete(tree);
    }
    struct stage_estimate stages[2] = {{1, 2, 3, 4, 0, 0, 9}, {5, 6, 7, 8, 0, 0, 0}};
    struct estimate est = {.iteration_time_s = 0.5,
                           .compute_usd = NAN,
                           .egress_usd = 0,
                           .cost_usd = NAN,
                           .fits = true,
                           .stage = stages};
    if (load_plans(base_plan, &p, &n, &e)) fail_msg("%s", e.text);
    cJSON *json = estimate_to_json(&est, p->plan);
    char *text = cJSON_PrintUnformatted(json);
    assert_string_equal(
        text,
        "{\"iteration_time_s\":0.5,\"pipeline_time_s\":0,\"sync_time_s\":0,\"throughput_per_s\":2,"
        "\"compute_usd\":null,\"egress_usd\":0,\"cost_usd_per_iteration\":null,\"fits\":true,"
        "\"peak_memory_bytes\":0,\"pipelines\":[{\"stages\":[{\"compute_s\":1,\"comm_s\":2,\"turn_s\":9,"
        "\"sync_s\":3,"
        "\"memory_bytes\":4},{\"compute_s\":5,\"comm_s\":6,\"turn_s\":0,\"sync_s\":7,\"memory_bytes\":8}]}]"
        "}");
    cJSON_free(text);
    cJSON_Delete(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_files_have_three_forms),
        cmocka_unit_test(bad_plans_are_refused),
        cmocka_unit_test(plans_survive_writing),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
