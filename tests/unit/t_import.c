/* The import of the published artifact. Runs in the project's root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import/import.h"
#include "formats/inputs.h"
#include "texts.h"

static int n_compared;

/* Every file below `made` is the same as below inputs/. */
static void compare_dirs(const char *made, const char *committed) {
    DIR *d = opendir(made);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.') continue;
        char *x = arena_printf(&texts, "%s/%s", made, f->d_name),
             *y = arena_printf(&texts, "%s/%s", committed, f->d_name);
        struct stat st;
        assert_int_equal(stat(x, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            compare_dirs(x, y);
        } else {
            if (strcmp(slurp(x), slurp(y)) != 0) fail_msg("%s and %s differ", x, y);
            n_compared++;
        }
    }
    closedir(d);
}

static void import_makes_the_committed_inputs(void **state) {
    static const char artifact[] = "../shared/reference/artifact";
    struct err e;
    (void)state;
    if (access(artifact, R_OK) != 0) skip();
    for (int i = 0; i < 2; i++) {
        char *out = in_tmp(i ? "again" : "made");
        if (import_run(i ? "../shared/reference/artifact/sailor" : artifact,
                       i ? NULL : "inputs/facts/gcp.json", out, &e))
            fail_msg("%s", e.text);
        n_compared = 0;
        compare_dirs(out, "inputs");
        assert_int_equal(n_compared, 28 + 9 /* planners/ */);
    }
}

static void import_takes_a_part(void **state) {
    static const char times[] = "{\"1\": {\"1\": {\"0\": [1, 2, 3], \"1\": [4, 5, 6]}, \"7\": {}}, \"2\": "
                                "{\"4\": {\"1\": [4, 5, 6], \"0\": "
                                "[1, 2, 6]}}}";
    struct err e;
    (void)state;
    mkdir(in_tmp("part"), 0777);
    assert_int_equal(import_run(in_tmp("part"), NULL, in_tmp("out"), &e), -1);
    check_error(&e, tmp, "nothing to import");
    assert_int_equal(import_run(in_tmp("nowhere"), NULL, in_tmp("out"), &e), -1);
    check_error(&e, tmp, "not a directory");
    mkdir(in_tmp("part/profiles"), 0777);
    mkdir(in_tmp("part/profiles/OPT-350"), 0777);
    mkdir(in_tmp("part/profiles/OPT-350/H100"), 0777);
    write_text(in_tmp("part/profiles/OPT-350/H100/profile.json"), times, strlen(times));
    if (import_run(in_tmp("part"), NULL, in_tmp("out"), &e)) fail_msg("%s", e.text);
    char *made = slurp(in_tmp("out/profiles/opt-350m/H100.json"));
    assert_non_null(strstr(made, "\"micro_batch_size\": 1, \"tp\": 1, \"forward_s\": [1, 4], \"backward_s\": "
                                 "[2, 5], \"update_s\": [3, 6]}"));
    assert_non_null(strstr(made, "\"micro_batch_size\": 2, \"tp\": 4, \"forward_s\": [1, 4], \"backward_s\": "
                                 "[2, 5], \"update_s\": 6}"));
    write_text(in_tmp("part/profiles/OPT-350/H100/profile.json"), "{\"1\": {\"1\": {\"0\": [1, 2]}}}", 27);
    assert_int_equal(import_run(in_tmp("part"), NULL, in_tmp("out"), &e), -1);
    check_error(&e, tmp, "profile.json: /1/1/0: an array of 2; expected 3 elements");
}

static void bad_published_files_are_refused(void **state) {
    static const struct {
        enum import_kind kind;
        const char *text, *word;
    } bad[] = {
        {IMPORT_SIZES, "{\"X\": {}}", "/X: model without an entry in the facts file"},
        {IMPORT_SIZES,
         "{\"OPT-350\": {\"2\": {\"0\": {\"params_floats\": 1, \"act_mem_floats\": 1, \"act_output_floats\": "
         "1}}}}",
         "no degree \"1\""},
        {IMPORT_SIZES, "{\"OPT-350\": {\"1\": {\"1\": {}}}}",
         "/OPT-350/1/1: not a layer; expected \"0\" to \"0\""},
        {IMPORT_TIMES, "{\"../x\": {\"A100-40\": {\"1\": {\"1\": {\"0\": [1, 2, 3]}}}}}",
         "\"../x\" as a name"},
        {IMPORT_TIMES, "{\"OPT-350\": {\"A100-40\": {\"one\": {}}}}",
         "/OPT-350/A100-40/one: not a microbatch size"},
        {IMPORT_LINKS, "{\"mars\": {}}", "/mars: unknown name"},
        {IMPORT_LINKS, "{\"us-west1-b\": {\"GH-96\": {\"3\": {}}}}",
         "/us-west1-b/GH-96/3: unknown name; expected one of the 1, 2, 4, 8"},
        {IMPORT_INTRA, "{\"GH-96\": {\"2\": [[1, 2], 3]}}", "/GH-96/2/0: an array of 2; expected 3 elements"},
        {IMPORT_EGRESS, "{\"us-west1-b\": {\"us-west1-b\": -1}}", "/us-west1-b/us-west1-b: -1;"},
        {IMPORT_TRACE, "", "line 1: expected the columns"},
        {IMPORT_TRACE, ",Timestamp,A100-40\n0,1,2", "line 1: expected a column named GPU_zone, not A100-40"},
        {IMPORT_TRACE, ",Timestamp,A100-40_mars\n0,1,2", "expected a zone of the facts file, not mars"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n", "expected at least one row"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,1,-2",
         "line 2: expected a count from 0 to 1000000, not -2"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,1", "line 2: expected a count"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,1,2,3", "line 2: expected no more fields"},
        {IMPORT_TRACE, ",Timestamp,A100-40_us-west1-b\n0,soon,2",
         "line 2: expected a time in seconds, not soon"},
        {IMPORT_PLAN,
         "{\"mbs\": 1, \"gbs\": 1, \"pipeline_list\": [{\"layers_per_stage\": [[0, 2]], \"tmp_per_stage\": "
         "[[]]}]}",
         "/pipeline_list/0/layers_per_stage/0/1: layer 2; expected 1"},
        {IMPORT_PLAN,
         "{\"mbs\": 1, \"gbs\": 1, \"pipeline_list\": [{\"layers_per_stage\": [[0]], \"tmp_per_stage\": "
         "[[[[[\"x\", 4, \"y\"]], 4]]]}]}",
         "/tmp_per_stage/0/0/0/0/0: \"x\"; expected a GPU type"},
        {IMPORT_FACTS, "{\"format\": \"sailor-facts/1\", \"modles\": []}",
         "/modles: unknown key \"modles\"; expected \"models\"?"},
    };
    (void)state;
    char *facts = slurp("inputs/facts/gcp.json");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        if (import_try(bad[i].kind, bad[i].text, strlen(bad[i].text), facts, &e) == 0)
            fail_msg("accepted: %s", bad[i].text);
        check_error(&e, "", bad[i].word);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_makes_the_committed_inputs),
        cmocka_unit_test(import_takes_a_part),
        cmocka_unit_test(bad_published_files_are_refused),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
