/* What the planner needs from MPI: agreeing on an error, reading once for all, one number for all. Under
 * mpirun -n 2 (any number works). Between collective calls, no rank asserts anything alone: a rank that jumps
 * out of its test leaves the others hanging. everywhere() first makes the verdict the same on all ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "io/mpx.h"

static struct mpx m;
static struct arena arena;

/* True if ok holds on every rank. */
static bool everywhere(bool ok) {
    int mine = ok, all = ok;
    if (m.comm) MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    return all;
}

static bool is(const struct err *e, enum exit_code code, const char *text) {
    return e->code == code && !strcmp(e->text, text);
}

static void knows_its_place(void **state) {
    int rank = m.rank, sum = rank;
    (void)state;
    if (m.comm) MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    assert_true(everywhere(m.size >= 1 && m.rank >= 0 && m.rank < m.size));
    assert_int_equal(sum, m.size * (m.size - 1) / 2);
    assert_true(everywhere(mpx_launch_rank() == m.rank));
    assert_true(everywhere((m.comm != NULL) == (m.size > 1)));
    assert_true(everywhere(m.node_ranks >= 1 && m.node_ranks <= m.size && m.cpus >= 1));
}

static void agrees_that_all_is_well(void **state) {
    struct err e = {.code = EXIT_NOPLAN, .text = "untouched"};
    (void)state;
    int rc = mpx_agree(&m, 0, &e);
    assert_true(everywhere(rc == 0 && is(&e, EXIT_NOPLAN, "untouched")));
}

static void agrees_on_the_error_of_one_rank(void **state) {
    (void)state;
    for (int bad = 0; bad < m.size; bad++) {
        struct err e = {0};
        char want[64];
        snprintf(want, sizeof want, "rank %d: no such file", bad);
        int rc = m.rank == bad ? err_set(&e, EXIT_INPUT, "rank %d: no such file", m.rank) : 0;
        rc = mpx_agree(&m, rc, &e);
        assert_true(everywhere(rc == -1 && is(&e, EXIT_INPUT, want)));
    }
}

static void the_lowest_rank_speaks(void **state) {
    (void)state;
    for (int first = 0; first < m.size; first++) {
        struct err e = {0};
        char want[64];
        snprintf(want, sizeof want, "rank %d", first);
        int rc = 0;
        if (m.rank >= first)
            rc = err_set(&e, m.rank == first ? EXIT_NOPLAN : EXIT_INTERNAL, "rank %d", m.rank);
        rc = mpx_agree(&m, rc, &e);
        assert_true(everywhere(rc == -1 && is(&e, EXIT_NOPLAN, want)));
    }
}

/* Texts up to the limit arrive whole, longer ones as err_set() cuts them; none of them tears the next one. */
static void long_texts_arrive(void **state) {
    enum { LIMIT = sizeof((struct err *)0)->text - 1 };
    static const int length[] = {0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT, 2};
    static char text[3 * LIMIT + 1];
    (void)state;
    for (size_t i = 0; i < sizeof length / sizeof *length; i++) {
        struct err e = {0}, want = {0};
        memset(text, 'a' + (int)i, sizeof text);
        text[length[i]] = 0;
        err_set(&want, EXIT_INTERNAL, "%s", text);
        int rc = m.rank == m.size - 1 ? err_set(&e, EXIT_INTERNAL, "%s", text) : 0;
        rc = mpx_agree(&m, rc, &e);
        bool cut = length[i] > LIMIT;
        size_t n = strlen(e.text);
        bool ok = rc == -1 && is(&e, EXIT_INTERNAL, want.text) && n == (size_t)(cut ? LIMIT : length[i]);
        assert_true(everywhere(ok && (!cut || !strcmp(e.text + n - 3, "..."))));
    }
}

/* ---- reading ---- */

static struct {
    size_t size;
    int calls;
} source;

static char byte_at(size_t i) { return (char)(i * 2654435761u >> 13); } /* NUL bytes among them */

static char *reader(const char *path, size_t *size, struct arena *a, struct err *e) {
    source.calls++;
    if (!strcmp(path, "missing")) {
        err_set(e, EXIT_INPUT, "%s: No such file", path);
        return NULL;
    }
    char *bytes = arena_alloc(a, source.size + 1);
    for (size_t i = 0; i < source.size; i++) bytes[i] = byte_at(i);
    *size = source.size;
    return bytes;
}

static void reads_once_for_all(void **state) {
    static const size_t size[] = {0, 1, 4096, 5000003};
    (void)state;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        struct err e = {.text = "untouched"};
        size_t n = 77;
        source.size = size[i];
        source.calls = 0;
        char *bytes = mpx_read(&m, reader, "there", &n, &arena, &e);
        bool ok = bytes && n == size[i] && source.calls == (m.rank == 0);
        for (size_t k = 0; ok && k < n; k++) ok = bytes[k] == byte_at(k);
        ok = ok && bytes[n] == 0; /* texts are read this way too */
        assert_true(everywhere(ok && !strcmp(e.text, "untouched")));
    }
}

static void what_cannot_be_read_is_known_to_all(void **state) {
    struct err e = {0};
    size_t n = 0;
    (void)state;
    source.calls = 0;
    char *bytes = mpx_read(&m, reader, "missing", &n, &arena, &e);
    assert_true(everywhere(!bytes && is(&e, EXIT_INPUT, "missing: No such file")));
    assert_true(everywhere(source.calls == (m.rank == 0)));
}

static void rank_0_has_the_number(void **state) {
    (void)state;
    for (int value = -3; value < 4; value++) {
        int got = mpx_same_int(&m, m.rank == 0 ? value : 1000 + m.rank);
        assert_true(everywhere(got == value));
    }
}

static void version_fits_its_buffer(void **state) {
    char line[80], piece[8];
    (void)state;
    memset(piece, 'x', sizeof piece);
    mpx_version(line, sizeof line);
    mpx_version(piece, 4);
    assert_true(everywhere(strlen(line) > 3 && strlen(line) < sizeof line && !strchr(line, '\n')));
    assert_true(everywhere(memchr(piece, 0, 4) && piece[4] == 'x' && !strncmp(line, piece, strlen(piece))));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_its_place),
        cmocka_unit_test(agrees_that_all_is_well),
        cmocka_unit_test(agrees_on_the_error_of_one_rank),
        cmocka_unit_test(the_lowest_rank_speaks),
        cmocka_unit_test(long_texts_arrive),
        cmocka_unit_test(reads_once_for_all),
        cmocka_unit_test(what_cannot_be_read_is_known_to_all),
        cmocka_unit_test(rank_0_has_the_number),
        cmocka_unit_test(version_fits_its_buffer),
    };
    struct err e = {0};
    if (mpx_start(&m, &e)) {
        fprintf(stderr, "%s\n", e.text);
        mpx_finish(&m);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_free(&arena);
    mpx_finish(&m);
    return failed != 0;
}
