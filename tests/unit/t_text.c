/* Printing other people's text: escapes, widths, shell words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "io/table.h"

static void test_escape(void **state) {
    (void)state;
    struct arena a = {0};
    const char *plain = "us-central1-a zürich 東京 \xf0\x9f\x98\x80";
    assert_ptr_equal(text_printable(plain, &a), plain);
    assert_string_equal(text_printable("a\x1b[2Jb", &a), "a\\x1b[2Jb");
    assert_string_equal(text_printable("\t\n\x7f", &a), "\\x09\\x0a\\x7f");
    assert_string_equal(text_printable("\xc2\x9b"
                                       "31m",
                                       &a),
                        "\\xc2\\x9b31m"); /* CSI as one character */
    assert_string_equal(text_printable("a\xe2\x80\xae"
                                       "b\xe2\x81\xa6\xe2\x80\xa8",
                                       &a),
                        "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6\\xe2\\x80\\xa8"); /* right to left; a line's end */
    assert_string_equal(text_printable("z\xfcrich", &a), "z\\xfcrich");
    assert_string_equal(text_printable("\xc0\xaf", &a), "\\xc0\\xaf");          /* overlong */
    assert_string_equal(text_printable("\xed\xa0\x80", &a), "\\xed\\xa0\\x80"); /* a surrogate */
    assert_string_equal(text_printable("\xe6\x9d", &a), "\\xe6\\x9d");          /* cut */
    arena_free(&a);
}

static void test_cut(void **state) {
    (void)state;
    char out[8];
    assert_int_equal(text_escape("abc\x1b\x1b", out, sizeof out), 11);
    assert_string_equal(out, "abc\\x1b");
    assert_int_equal(text_escape("abcdef東", out, sizeof out), 9);
    assert_string_equal(out, "abcdef");
}

static void test_width(void **state) {
    (void)state;
    assert_int_equal(text_width(""), 0);
    assert_int_equal(text_width("zürich-1"), 8);
    assert_int_equal(text_width("東京-a"), 6);
    assert_int_equal(text_width("e\xcc\x81"), 1); /* e and a combining acute */
    assert_int_equal(text_width("\xf0\x9f\x98\x80"), 2);
    assert_int_equal(text_width("ไทย-กรุง"), 7); /* a vowel below */
    assert_int_equal(text_width("ខ្មែរ"), 4);
    assert_int_equal(text_width("\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab"),
                     2); /* one syllable of three letters */
    assert_int_equal(text_width("⭐⚡✅"), 6);
    assert_int_equal(text_width("①Ⅷ･"), 3);
    assert_int_equal(text_width("\xff"), 1);
    assert_int_equal(text_columns("東京-a", 3), 2);
    assert_int_equal(text_columns("ab", 9), 2);
    assert_int_equal(text_next("東京"), 3);
    assert_int_equal(text_next("\xff"
                               "a"),
                     1);
    assert_int_equal(text_next(""), 0);
}

static void test_words(void **state) {
    (void)state;
    struct arena a = {0};
    assert_string_equal(text_shell_word("out/a-1.h5", &a), "out/a-1.h5");
    assert_string_equal(text_shell_word("my runs/a.h5", &a), "'my runs/a.h5'");
    assert_string_equal(text_shell_word("it's", &a), "'it'\\''s'");
    assert_string_equal(text_shell_word("", &a), "''");
    arena_free(&a);
}

static void test_error(void **state) {
    (void)state;
    struct err e;
    char many[700];
    err_set(&e, EXIT_INPUT, "model \x1b]0;x\a%s", "a\nb");
    assert_string_equal(e.text, "model \\x1b]0;x\\x07a b");
    memset(many, 27, sizeof many - 1);
    many[sizeof many - 1] = 0;
    err_set(&e, EXIT_INPUT, "%s", many);
    assert_true(strlen(e.text) < sizeof e.text);
    assert_string_equal(e.text + strlen(e.text) - 3, "...");
}

static void test_table(void **state) {
    (void)state;
    struct arena a = {0};
    struct table *t = table_new("<zone|n", &a);
    char text[200] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    assert_non_null(f);
    table_cell(t, "%s", "東京");
    table_cell(t, "%d", 1);
    table_cell(t, "%s", "zü\x1b");
    table_cell(t, "%d", 22);
    table_print(t, f);
    fclose(f);
    assert_string_equal(text, "zone     n\n東京     1\nzü\\x1b  22\n");
    arena_free(&a);
}

/* Every line once, with or without an end of line after the last one; empty lines count. */
static void lines_are_taken_one_by_one(void **state) {
    (void)state;
    char whole[] = "a\n\nb c\n", part[] = "\nx", *at = whole;
    assert_string_equal(text_take_line(&at), "a");
    assert_string_equal(text_take_line(&at), "");
    assert_string_equal(text_take_line(&at), "b c");
    assert_null(text_take_line(&at));
    assert_null(text_take_line(&at));
    at = part;
    assert_string_equal(text_take_line(&at), "");
    assert_string_equal(text_take_line(&at), "x");
    assert_null(text_take_line(&at));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_width),  cmocka_unit_test(lines_are_taken_one_by_one),
        cmocka_unit_test(test_words),  cmocka_unit_test(test_error),
        cmocka_unit_test(test_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
