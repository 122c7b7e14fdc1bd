/* Files: read whole, written whole or not at all, and where links lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "texts.h"

static struct err e;

static void put(const char *name, const char *text) { write_text(in_tmp(name), text, strlen(text)); }

static void link_to(const char *to, const char *name) {
    unlink(in_tmp(name));
    assert_int_equal(symlink(to, in_tmp(name)), 0);
}

/* No temporary name is left behind. */
static void only(const char *name, const char *text) {
    char command[200];
    assert_string_equal(slurp(in_tmp(name)), text);
    snprintf(command, sizeof command, "test -z \"$(find '%s' -name '*.%ld')\"", tmp, (long)getpid());
    assert_int_equal(system(command), 0);
}

static void bytes_come_from_regular_files_only(void **state) {
    size_t n;
    (void)state;
    write_text(in_tmp("bytes"), "a\0b", 3);
    char *bytes = file_read_bytes(in_tmp("bytes"), &n, &texts, &e);
    assert_int_equal(n, 3);
    assert_memory_equal(bytes, "a\0b", 4); /* followed by a NUL */
    put("empty", "");
    assert_non_null(file_read_bytes(in_tmp("empty"), &n, &texts, &e));
    assert_int_equal(n, 0);
    assert_int_equal(mkfifo(in_tmp("pipe"), 0600), 0); /* nobody will ever write to it */
    const char *bad[][2] = {{in_tmp("pipe"), "a pipe"},
                            {tmp, "a directory"},
                            {"/dev/zero", "a device"},
                            {in_tmp("none"), "No such file"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_null(file_read_bytes(bad[i][0], &n, &texts, &e));
        check_error(&e, bad[i][0], bad[i][1]);
        assert_int_equal(file_open_regular(bad[i][0], &e), -1);
        check_error(&e, bad[i][0], bad[i][1]);
    }
    int fd = file_open_regular(in_tmp("bytes"), &e);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(truncate(in_tmp("empty"), (off_t)FILE_BYTES_MAX + 1), 0);
    assert_null(file_read_bytes(in_tmp("empty"), &n, &texts, &e)); /* not after reading it to its end */
    check_error(&e, in_tmp("empty"), "more than 2147483647 bytes");
}

static void a_text_has_no_nul(void **state) {
    size_t n;
    (void)state;
    write_text(in_tmp("nul"), "{}\n {\0}", 7);
    assert_null(file_read_text(in_tmp("nul"), &n, &texts, &e));
    check_error(&e, in_tmp("nul"), "line 2, column 3: a NUL byte; expected text");
    write_text(in_tmp("nul"), "{}\0", 3); /* even at its end */
    assert_null(file_read_text(in_tmp("nul"), NULL, &texts, &e));
    assert_string_equal(file_read_text("inputs/devices.json", &n, &texts, &e), slurp("inputs/devices.json"));
    assert_int_equal(n, strlen(slurp("inputs/devices.json")));
}

static void a_file_is_replaced_or_left_alone(void **state) {
    struct file_temp f;
    (void)state;
    assert_int_equal(file_write(in_tmp("w"), "first", 5, &e), 0);
    only("w", "first");
    assert_int_equal(file_write(in_tmp("w"), "second", 6, &e), 0);
    only("w", "second");
    assert_int_equal(file_begin(&f, in_tmp("w"), &e), 0);
    assert_int_equal(write(f.fd, "half", 4), 4);
    file_drop(&f);
    only("w", "second");
    assert_int_equal(file_begin(&f, in_tmp("w"), &e), 0);
    close(f.fd); /* now neither the flush nor the close can work */
    assert_int_equal(file_end(&f, &e), -1);
    assert_int_equal(e.code, EXIT_INTERNAL);
    assert_non_null(strstr(e.text, "w: cannot be written: "));
    only("w", "second");
    assert_int_equal(file_write(in_tmp("no/dir"), "x", 1, &e), -1);
    assert_int_equal(e.code, EXIT_INTERNAL);
    assert_int_equal(file_write("/dev/full", "x", 1, &e), -1);
    assert_non_null(strstr(e.text, "No space left"));
}

static void what_stands_there_is_kept_unless_forced(void **state) {
    (void)state;
    put("there", "x");
    assert_int_equal(file_can_create(in_tmp("new"), false, "-f overwrites it", &e), 0);
    assert_int_equal(access(in_tmp("new"), F_OK), -1);
    assert_int_equal(file_can_create(in_tmp("there"), false, "-f overwrites it", &e), -1);
    check_error(&e, in_tmp("there"), "exists; -f overwrites it");
    assert_int_equal(file_can_create(in_tmp("there"), true, "", &e), 0);
    assert_int_equal(file_can_create("/dev/null", false, "", &e), 0);
    assert_int_equal(file_can_create(tmp, true, "", &e), -1);
    assert_int_equal(e.code, EXIT_INTERNAL);
    assert_int_equal(file_can_create(in_tmp("no/dir"), false, "", &e), -1);
    only("there", "x");
}

static bool is_link(const char *name) {
    struct stat st;
    return !lstat(in_tmp(name), &st) && S_ISLNK(st.st_mode);
}

static void links_are_followed_also_to_what_is_not_there_yet(void **state) {
    (void)state;
    put("target", "old");
    link_to("target", "one");
    link_to(in_tmp("one"), "two");
    assert_int_equal(file_write(in_tmp("two"), "new", 3, &e), 0);
    assert_true(is_link("one") && is_link("two"));
    only("target", "new");
    assert_int_equal(mkdir(in_tmp("sub"), 0700), 0);
    link_to("sub/later", "dangling");
    link_to("dangling", "far");
    assert_int_equal(file_can_create(in_tmp("far"), false, "", &e), 0);
    assert_int_equal(file_write(in_tmp("far"), "made", 4, &e), 0);
    assert_true(is_link("far") && is_link("dangling"));
    only("sub/later", "made");
    link_to("circle", "circle");
    assert_int_equal(file_write(in_tmp("circle"), "x", 1, &e), -1);
    assert_int_equal(e.code, EXIT_INTERNAL);
    assert_true(is_link("circle"));
}

static void names_of_one_file_are_the_same(void **state) {
    (void)state;
    put("a", "");
    put("b", "");
    assert_int_equal(link(in_tmp("a"), in_tmp("hard")), 0);
    link_to("a", "soft");
    link_to("nowhere", "dangling2");
    const char *same[][2] = {{"a", "a"},    {"a", "./a"},       {"a", "hard"},
                             {"soft", "a"}, {"none", "./none"}, {"dangling2", "nowhere"}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        assert_true(file_same(in_tmp(same[i][0]), in_tmp(same[i][1])));
        assert_true(file_same(in_tmp(same[i][1]), in_tmp(same[i][0])));
    }
    const char *other[][2] = {{"a", "b"}, {"a", "none"}, {"none", "none2"}, {"dangling2", "none"}};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(file_same(in_tmp(other[i][0]), in_tmp(other[i][1])));
    assert_true(file_same("no-dir/x", "no-dir/x"));
    assert_false(file_same("no-dir/x", "x"));
    assert_true(file_same("not-there.h5", "./not-there.h5"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_come_from_regular_files_only),
        cmocka_unit_test(a_text_has_no_nul),
        cmocka_unit_test(a_file_is_replaced_or_left_alone),
        cmocka_unit_test(what_stands_there_is_kept_unless_forced),
        cmocka_unit_test(links_are_followed_also_to_what_is_not_there_yet),
        cmocka_unit_test(names_of_one_file_are_the_same),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
