/* The arena, and what happens when memory is out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/oom.h"

/* Under a sanitizer too, an impossible allocation returns NULL, and the program decides what follows. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static bool is_zero(const char *p, size_t n) {
    while (n && !*p) {
        p++;
        n--;
    }
    return n == 0;
}

static void memory_is_zeroed_and_aligned(void **state) {
    struct arena a = {0};
    (void)state;
    for (size_t n = 0; n < 3000; n = n * 2 + 1) {
        char *p = arena_alloc(&a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_true(is_zero(p, n));
        memset(p, 'x', n); /* released memory is zeroed before reuse */
    }
    char *large = arena_alloc(&a, (size_t)3 << 20); /* more than a block */
    assert_true(is_zero(large, (size_t)3 << 20));
    arena_free(&a);
    assert_null(a.head);
    assert_true(is_zero(arena_alloc(&a, 100), 100));
    arena_free(&a);
    arena_free(&a);
}

static void texts_are_copied(void **state) {
    struct arena a = {0};
    char text[] = "seven";
    (void)state;
    char *copy = arena_strdup(&a, text), *made = arena_printf(&a, "%s %d", text, 7);
    text[0] = 'S';
    assert_string_equal(copy, "seven");
    assert_string_equal(made, "seven 7");
    assert_null(arena_strdup(&a, NULL));
    assert_string_equal(arena_printf(&a, "%s", ""), "");
    arena_free(&a);
}

static void release_forgets_what_came_after_the_mark(void **state) {
    struct arena a = {0};
    (void)state;
    struct arena_mark empty = arena_mark(&a);
    char *kept = arena_strdup(&a, "kept");
    struct arena_mark m = arena_mark(&a);
    char *first = arena_alloc(&a, 100);
    memset(first, 'x', 100);
    for (int i = 0; i < 100; i++) memset(arena_alloc(&a, 100000), 'x', 100000); /* many blocks */
    arena_release(&a, m);
    assert_ptr_equal(arena_alloc(&a, 100), first); /* the same place, */
    assert_true(is_zero(first, 100));              /* as new */
    assert_string_equal(kept, "kept");
    arena_release(&a, m);
    arena_release(&a, m); /* nothing since */
    assert_ptr_equal(arena_alloc(&a, 1), first);
    arena_release(&a, empty);
    assert_null(a.head);
}

/* ---- out of memory ---- */

static void from_arena(void) {
    struct arena a = {0};
    arena_alloc(&a, SIZE_MAX / 4);
}
static void from_arena_rounded(void) {
    struct arena a = {0};
    arena_alloc(&a, SIZE_MAX);
}
static void from_malloc(void) { oom_malloc(SIZE_MAX / 4); }
static void from_calloc(void) { oom_calloc(SIZE_MAX / 4, 8); } /* the product overflows size_t */
static void from_realloc(void) { oom_realloc(NULL, SIZE_MAX / 4, 8); }
static void from_aligned(void) { oom_aligned(64, SIZE_MAX / 4); }
static void from_handler(void) {
    oom_prepare("other", NULL);
    oom(42);
}
static void goodbye(void) { _exit(7); }
static void from_end_of_job(void) {
    oom_prepare("other", goodbye);
    oom(42);
}

/* Runs f in a process of its own; returns its exit status, and its stderr in `said`. */
static int run_apart(void (*f)(void), char *said, size_t size) {
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        f();
        _exit(99);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = read(ends[0], said + n, size - 1 - n)) > 0;) n += (size_t)got;
    said[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void out_of_memory_is_one_line_and_status_1(void **state) {
    void (*const ways[])(void) = {from_arena,  from_arena_rounded, from_malloc,
                                  from_calloc, from_realloc,       from_aligned};
    char said[4000];
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        assert_int_equal(run_apart(ways[i], said, sizeof said), EXIT_INTERNAL);
        assert_non_null(strstr(said, "sailor: error: out of memory ("));
        assert_non_null(strstr(said, " bytes)\n"));
    }
    assert_int_equal(run_apart(from_handler, said, sizeof said), EXIT_INTERNAL);
    assert_string_equal(said, "other: error: out of memory (42 bytes)\n");
    assert_int_equal(run_apart(from_end_of_job, said, sizeof said), 7);
    assert_string_equal(said, "other: error: out of memory (42 bytes)\n");
}

static void what_is_there_is_given(void **state) {
    (void)state;
    char *p = oom_malloc(0), *z = oom_calloc(10, 3), *l = oom_aligned(64, 65);
    assert_non_null(p);
    assert_true(is_zero(z, 30));
    assert_int_equal((uintptr_t)l % 64, 0);
    strcpy(z, "0123456789");
    z = oom_realloc(z, 1000, 10);
    assert_string_equal(z, "0123456789");
    z = oom_realloc(z, 0, 10); /* no bytes, but not NULL */
    assert_non_null(z);
    free(p);
    free(z);
    free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_aligned),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(release_forgets_what_came_after_the_mark),
        cmocka_unit_test(out_of_memory_is_one_line_and_status_1),
        cmocka_unit_test(what_is_there_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
