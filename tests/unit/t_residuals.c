/* How far estimates have been off: the file, and errors in bad ones. Runs in the project's root. */
#include "formats/residuals.h"
#include "texts.h"

static const char good[] =
    "{\"format\": \"sailor-residuals/1\", \"estimators\": [{\"names\": [\"native\"], \"time_percent\": 20, "
    "\"memory_percent\": 9, \"runs\": 15}], \"sheets\": [{\"names\": [\"A\", \"B\"], \"time_percent\": 13, "
    "\"memory_percent\": 2, \"runs\": 5}], \"other_sheets\": {\"time_percent\": 26, \"memory_percent\": 4}}";

static void what_is_there_is_found(void **state) {
    (void)state;
    struct residuals r;
    struct err e;
    if (residuals_read("r.json", good, &r, &texts, &e)) fail_msg("%s", e.text);
    assert_true(residuals_estimator(&r, "native")->time == 0.2);
    assert_true(residuals_estimator(&r, "native")->memory == 0.09);
    assert_null(residuals_estimator(&r, "metis"));
    assert_true(residuals_sheet(&r, "B")->time == 0.13);
    assert_true(residuals_sheet(&r, "C")->time == 0.26);
}

/* The shipped file covers everything that the program gives intervals for. */
static void the_own_file_is_whole(void **state) {
    (void)state;
    struct residuals r;
    struct err e;
    if (residuals_read("residuals.json", slurp("inputs/residuals.json"), &r, &texts, &e))
        fail_msg("%s", e.text);
    static const char *const estimators[] = {"native", "sailor", "events"};
    for (int i = 0; i < 3; i++) assert_non_null(residuals_estimator(&r, estimators[i]));
    assert_true(residuals_sheet(&r, "A100-80") != &r.other_sheets);
}

static void bad_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *word;
    } bad[] = {
        {"residuals/1", "residuals/2", "/format"},
        {"[\"native\"]", "[]", "/estimators/0/names"},
        {"[\"native\"]", "[3]", "/estimators/0/names/0"},
        {"\"time_percent\": 20", "\"time_percent\": -1", "/estimators/0/time_percent"},
        {"\"time_percent\": 20, ", "", "/estimators/0/time_percent"},
        {"\"runs\": 5", "\"runs\": 0", "/sheets/0/runs"},
        {"\"runs\": 5", "\"runs\": 5, \"ruins\": 5", "ruins"},
        {"\"sheets\"", "\"sheds\"", "sheds"},
        {"{\"time_percent\": 26, ", "{", "/other_sheets/time_percent"},
        {"\"other_sheets\": {\"time_percent\": 26, \"memory_percent\": 4}", "\"other_sheets\": 4",
         "/other_sheets"},
        {"}}", "}", "r.json"},
    };
    struct residuals r;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (struct err){0};
        if (!residuals_read("r.json", with(good, bad[i].from, bad[i].to), &r, &texts, &e))
            fail_msg("accepted: %s", bad[i].to);
        check_error(&e, "r.json", bad[i].word);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_found),
        cmocka_unit_test(the_own_file_is_whole),
        cmocka_unit_test(bad_files_are_refused),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
