/* The strict JSON reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "formats/inputs.h"
#include "texts.h"

static void refuses_what_is_not_json(void **state) {
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"", "the text ends here"},
        {"{\"a\": 1", "expected"},
        {"{\"a\": 1} x", "text after the JSON value"},
        {"{\"a\": 1}{\"a\": 1}", "text after the JSON value"},
        {"{\"a\": NaN}", "/a: line 1, column 7: no JSON value"},
        {"{\"a\": nan}", "/a: line 1, column 7: unknown word"},
        {"{\"a\": Infinity}", "/a: "},
        {"{\"a\": -Infinity}", "no digit after '-'"},
        {"{\"a\": 1e999}", "/a: line 1, column 7: number too large"},
        {"{\"a\": 01}", "leading zero"},
        {"{\"a\": 1.}", "no digit after '.'"},
        {"{\"a\": .5}", "no JSON value"},
        {"{\"a\": +1}", "no JSON value"},
        {"{\"a\": 1e}", "exponent"},
        {"{\"a\": 0x10}", "not followed by"},
        {"{\"a\": [1, 2,]}", "/a/2: "},
        {"{\"a\": [1 2]}", "/a/0: "},
        {"{\"a\": 1,}", "no key here"},
        {"{a: 1}", "no key here"},
        {"{\"a\" 1}", "no ':'"},
        {"{'a': 1}", "no key here"},
        {"{\"a\": \"x\ny\"}", "control character"},
        {"{\"a\": \"x}", "string without end"},
        {"{\"a\": \"\\x\"}", "unknown escape"},
        {"{\"a\": \"\\u12\"}", "four hexadecimal digits"},
        {"{\"a\": \"\\u0000\"}", "NUL"},
        {"{\"a\": \"\\ud800\"}", "surrogate"},
        {"{\"a\": \"\\udc00\\ud800\"}", "surrogate"},
        {"{\"a\": \"\xff\"}", "invalid UTF-8"},
        {"{\"a\": \"\xc0\xaf\"}", "invalid UTF-8"},
        {"{\"a\": \"\xed\xa0\x80\"}", "invalid UTF-8"},
        {"\xEF\xBB\xBF{}", "byte order mark"},
        {"// comment\n{}", "no JSON value"},
        {"{\"a\": {\"b\": 1, \"b\": 2}}", "/a/b: key appears twice"},
        {"{\"b\": 1, \"\\u0062\": 2}", "/b: key appears twice"},
        {"{\"x/y\": [{\"~\": tru}]}", "/x~1y/0/~0: "},
        {"{\n  \"a\": [\n    1,\n    oops\n  ]\n}", "/a/1: line 4, column 5"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        assert_null(json_parse("FILE", bad[i].text, strlen(bad[i].text), &e));
        check_error(&e, "FILE: /", bad[i].word);
    }
}

static void accepts_what_is_json(void **state) {
    static const char *const good[] = {"{}",
                                       "[]",
                                       " [1, -2.5e-3, 0, -0.0, 1E+2] ",
                                       "\"\\u00e9\\ud83d\\ude00\\\"\"",
                                       "null",
                                       "{\"a\": {\"a\": {\"a\": [true, false, null]}}}",
                                       "\"\xf0\x9f\x98\x80\"",
                                       "1e-300"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct err e = {0};
        cJSON *tree = json_parse("FILE", good[i], strlen(good[i]), &e);
        if (!tree) fail_msg("%s", e.text);
        char *text = json_compact(good[i], &texts);
        cJSON *again = json_parse("FILE", text, strlen(text), &e);
        assert_non_null(again);
        assert_true(cJSON_Compare(tree, again, 1));
        cJSON_Delete(tree);
        cJSON_Delete(again);
    }
    assert_string_equal(json_compact("{ \"a b\\\" \" : [ 1 , 2 ] }\n", &texts), "{\"a b\\\" \":[1,2]}");
}

static void limits_depth_size_and_keys(void **state) {
    struct err e = {0};
    char deep[300], *wide = arena_alloc(&texts, 200000), *p = wide;
    (void)state;
    memset(deep, '[', 150);
    memset(deep + 150, ']', 150);
    assert_null(json_parse("FILE", deep, 300, &e));
    check_error(&e, "FILE: /0/0", "levels deep");
    assert_null(json_parse("FILE", "1", (size_t)JSON_TEXT_MAX + 1, &e));
    check_error(&e, "FILE: /", "bytes; expected at most");
    p += sprintf(p, "{");
    for (int i = 0; i < 5000; i++) p += sprintf(p, "\"key%d\": %d, ", i, i);
    sprintf(p, "\"key77\": 0}");
    assert_null(json_parse("FILE", wide, strlen(wide), &e));
    check_error(&e, "FILE: /key77", "appears twice");
}

static void names_the_nearest_key(void **state) {
    static const char *const keys[] = {"global_batch_size", "objective", "pools", NULL};
    static const struct {
        const char *text, *word;
    } bad[] = {{"{\"pool\": 1}", "/pool: unknown key \"pool\"; expected \"pools\"?"},
               {"{\"global_batchsize\": 1}", "expected \"global_batch_size\"?"},
               {"{\"Objective\": 1}", "expected \"objective\"?"},
               {"{\"zzzzzzzzzzzz\": 1}", "expected one of global_batch_size, objective, pools"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cJSON *tree = json_parse("FILE", bad[i].text, strlen(bad[i].text), &e);
        struct json_at at = json_root("FILE", tree);
        assert_int_equal(json_object(&at, keys, &e), -1);
        check_error(&e, "FILE: /", bad[i].word);
        cJSON_Delete(tree);
    }
    struct err e = {0};
    cJSON *tree = cJSON_Parse("{\"name\": 1, \"source\": {}, \"measured\": 0, \"expect\": [], \"// x\": 2, "
                              "\"//\": 3, \"pools\": 4}");
    struct json_at at = json_root("FILE", tree);
    assert_int_equal(json_object(&at, keys, &e), 0);
    cJSON_Delete(tree);
}

static void numbers_survive(void **state) {
    char buf[32];
    uint64_t x = 88172645463325252u;
    (void)state;
    assert_string_equal(json_number(buf, 0.1), "0.1");
    assert_string_equal(json_number(buf, 42338615296.0), "42338615296");
    assert_string_equal(json_number(buf, 1712574014.0187), "1712574014.0187");
    assert_string_equal(json_number(buf, 1024), "1024");
    assert_string_equal(json_number(buf, NAN), "null");
    assert_string_equal(json_number(buf, -INFINITY), "null");
    for (int i = 0; i < 100000; i++) {
        double v;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(&v, &x, sizeof v);
        if (!isfinite(v)) continue;
        assert_true(strtod(json_number(buf, v), NULL) == v);
    }
    double odd = 0.1 + 0.2 + DBL_EPSILON;
    cJSON *node = json_double(odd);
    char *text = cJSON_PrintUnformatted(node);
    assert_true(strtod(text, NULL) == odd);
    cJSON_free(text);
    cJSON_Delete(node);
    node = json_double(NAN);
    assert_true(cJSON_IsNull(node));
    cJSON_Delete(node);
}

static void texts_keep_all_digits(void **state) {
    (void)state;
    const char *text =
        "{\"a\":[0.30000000000000004,1e+300,1e-300,-0.1,64],\"b\":{\"c\":\"0.30\",\"d\":true,\"e\":null}}";
    struct err e;
    cJSON *tree = json_parse("FILE", text, strlen(text), &e);
    assert_string_equal(json_text(tree, &texts), text);
    assert_true(cJSON_IsNumber(cJSON_GetArrayItem(tree->child, 0))); /* the tree itself is as it was */
    cJSON_Delete(tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_not_json),
        cmocka_unit_test(accepts_what_is_json),
        cmocka_unit_test(limits_depth_size_and_keys),
        cmocka_unit_test(names_the_nearest_key),
        cmocka_unit_test(numbers_survive),
        cmocka_unit_test(texts_keep_all_digits),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
