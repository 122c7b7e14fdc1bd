/* HDF5 files of the trainer: written whole, sealed, and read with suspicion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/measured.h"
#include "io/h5file.h"
#include "io/h5read.h"
#include "io/seal.h"
#include "texts.h"

static const char schema[] = "sailor-test/1";
static struct err e;
enum { N = 100000 };

/* A file with everything that can be in one. */
static void make(const char *path) {
    struct h5file f;
    static double value[N];
    for (int i = 0; i < N; i++) value[i] = i;
    assert_int_equal(h5_begin(&f, path, &e), 0);
    h5_text(&f, "schema", schema);
    h5_number(&f, "pi", 3.25);
    h5_integer(&f, "answer", 42);
    h5_group(&f, "group", "a group");
    h5_texts(&f, "group/names", "names", 2, (const char *const[]){"one", "three"});
    h5_dataset(&f, "group/whole", "s", "all at once", 1, &(hsize_t){3}, H5T_NATIVE_DOUBLE, H5T_IEEE_F64LE,
               value);
    h5_dataset(&f, "group/pieces", "s", "bit by bit", 1, &(hsize_t){N}, 0, H5T_IEEE_F64LE, NULL);
    h5_rows(&f, "group/pieces", N / 2, N / 2, H5T_NATIVE_DOUBLE, value + N / 2);
    h5_rows(&f, "group/pieces", 0, N / 2, H5T_NATIVE_DOUBLE, value);
    if (h5_finish(&f, &e)) fail_msg("%s", e.text);
}

static void what_was_written_is_read(void **state) {
    struct h5_reader r;
    double pi, v[3];
    int answer;
    (void)state;
    make(in_tmp("a.h5"));
    assert_int_equal(h5_check(in_tmp("a.h5"), &e), 0);
    assert_int_equal(h5_open(&r, in_tmp("a.h5"), schema, &e), 0);
    assert_int_equal(h5_read_number(&r, "pi", &pi, &e), 0);
    assert_true(pi == 3.25);
    assert_int_equal(h5_read_int(&r, "answer", 0, 42, &answer, &e), 0);
    assert_int_equal(answer, 42);
    assert_int_equal(h5_read_int(&r, "answer", 0, 41, &answer, &e), -1);
    check_error(&e, in_tmp("a.h5"), "/answer: attribute out of range");
    assert_string_equal(h5_read_text(&r, "schema", &texts, &e), schema);
    assert_null(h5_read_text(&r, "pi", &texts, &e));
    check_error(&e, in_tmp("a.h5"), "/pi: attribute missing or not a text");
    assert_int_equal(h5_read_number(&r, "schema", &pi, &e), -1);
    assert_int_equal(h5_read_number(&r, "none", &pi, &e), -1);
    check_error(&e, in_tmp("a.h5"), "/none: attribute missing or not a number");
    assert_int_equal(h5_read_rows(&r, "group/pieces", N, N - 3, 3, H5T_NATIVE_DOUBLE, v, &e), 0);
    assert_true(v[0] == N - 3 && v[2] == N - 1);
    assert_int_equal(h5_read_rows(&r, "group/whole", 4, 0, 3, H5T_NATIVE_DOUBLE, v, &e), -1);
    check_error(&e, in_tmp("a.h5"), "group/whole has 3 elements; expected 4");
    assert_int_equal(h5_read_rows(&r, "group/none", 4, 0, 3, H5T_NATIVE_DOUBLE, v, &e), -1);
    check_error(&e, in_tmp("a.h5"), "group/none: missing or damaged");
    h5_close(&r);
    assert_int_equal(h5_open(&r, in_tmp("a.h5"), "sailor-other/1", &e), -1);
    check_error(&e, in_tmp("a.h5"), "schema sailor-test/1; expected sailor-other/1");
}

/* A flipped bit or a missing byte is noticed before HDF5 looks at the file. */
static void damage_is_seen_before_hdf5_looks(void **state) {
    (void)state;
    const char *good = in_tmp("good.h5"), *bad = in_tmp("bad.h5");
    struct arena a = {0};
    size_t n;
    make(good);
    char *bytes = file_read_bytes(good, &n, &a, &e);
    assert_true(seal_holds(bytes, n));
    for (size_t at = 0; at + SEAL_BYTES < n; at += 1 + n / 50) {
        bytes[at] ^= (char)(1 << at % 8);
        write_text(bad, bytes, n);
        assert_int_equal(h5_check(bad, &e), -1);
        check_error(&e, bad, "damaged: its checksum does not match its content");
        assert_false(seal_holds(bytes, n));
        bytes[at] ^= (char)(1 << at % 8);
    }
    memmove(bytes + 4096, bytes + 4104, n - 4104); /* the seal is there, something before it is not */
    write_text(bad, bytes, n - 8);
    assert_int_equal(h5_check(bad, &e), -1);
    arena_free(&a);
}

static void without_a_seal_it_is_not_checked(void **state) {
    struct h5_reader r;
    struct stat st;
    (void)state;
    make(in_tmp("open.h5"));
    assert_int_equal(stat(in_tmp("open.h5"), &st), 0);
    assert_int_equal(truncate(in_tmp("open.h5"), st.st_size - SEAL_BYTES), 0);
    assert_int_equal(h5_check(in_tmp("open.h5"), &e), 0);
    assert_int_equal(h5_open(&r, in_tmp("open.h5"), schema, &e), 0);
    h5_close(&r);
    assert_int_equal(truncate(in_tmp("open.h5"), st.st_size / 2), 0);
    assert_int_equal(h5_check(in_tmp("open.h5"), &e), 0);
    assert_int_equal(h5_open(&r, in_tmp("open.h5"), schema, &e), -1);
    check_error(&e, in_tmp("open.h5"), "cut short");
}

static void only_regular_files_are_read(void **state) {
    struct h5_reader r;
    struct measured m;
    (void)state;
    assert_int_equal(mkfifo(in_tmp("pipe.h5"), 0600), 0); /* nobody will ever write to it */
    write_text(in_tmp("text.h5"), "{}", 2);
    const char *bad[][2] = {{in_tmp("pipe.h5"), "a pipe"},
                            {"/dev/zero", "a device"},
                            {tmp, "a directory"},
                            {in_tmp("none.h5"), "No such file"},
                            {in_tmp("text.h5"), "not an HDF5 file"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(h5_open(&r, bad[i][0], schema, &e), -1);
        check_error(&e, bad[i][0], bad[i][1]);
        assert_int_equal(measured_read(bad[i][0], &m, &texts, &e), -1);
        check_error(&e, bad[i][0], bad[i][1]);
    }
    assert_int_equal(h5_can_create("/dev/null", true, &e), -1);
    assert_int_equal(e.code, EXIT_INTERNAL);
}

/* The first failure is reported; the earlier file stays. */
static void a_failure_leaves_the_earlier_file(void **state) {
    struct h5file f;
    (void)state;
    write_text(in_tmp("old.h5"), "old", 3);
    assert_int_equal(h5_begin(&f, in_tmp("old.h5"), &e), 0);
    h5_text(&f, "schema", schema);
    h5_rows(&f, "not/there", 0, 1, H5T_NATIVE_DOUBLE, &(double){1});
    h5_number(&f, "later", 1);
    assert_int_equal(h5_finish(&f, &e), -1);
    assert_int_equal(e.code, EXIT_INTERNAL);
    assert_null(strchr(e.text, '\n'));
    assert_non_null(strstr(e.text, "old.h5: cannot be written: "));
    assert_string_equal(slurp(in_tmp("old.h5")), "old");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(damage_is_seen_before_hdf5_looks),
        cmocka_unit_test(without_a_seal_it_is_not_checked),
        cmocka_unit_test(only_regular_files_are_read),
        cmocka_unit_test(a_failure_leaves_the_earlier_file),
    };
    return cmocka_run_group_tests(tests, texts_begin, texts_end);
}
