/* Command lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/opt.h"

static struct {
    const char *out, *log;
    int threads, mode;
    double gap;
    bool quiet, force;
} o;

static const char *const modes[] = {"slow", "fast", NULL};
static const struct opt options[] = {
    {.name = "output",
     .letter = 'o',
     .kind = OPT_TEXT,
     .arg = "FILE",
     .help = "where to write",
     .value = &o.out},
    {.name = "quiet", .letter = 'q', .kind = OPT_FLAG, .help = "say nothing", .value = &o.quiet},
    {.name = "force", .letter = 'f', .kind = OPT_FLAG, .help = "overwrite", .value = &o.force},
    {.name = "Search", .kind = OPT_GROUP},
    {.name = "threads",
     .kind = OPT_INT,
     .arg = "N",
     .help = "threads",
     .value = &o.threads,
     .min = 1,
     .max = 64},
    {.name = "gap", .letter = 'g', .kind = OPT_REAL, .arg = "X", .help = "gap", .value = &o.gap, .max = 1},
    OPTION_MAYBE("log", "FILE", &o.log, "what happened"),
    {.name = "mode", .kind = OPT_CHOICE, .help = "how", .value = &o.mode, .choices = modes},
};
static const struct opt_command command = {
    .name = "plan",
    .usage = "JOB.json [options]",
    .about = "Find a plan.",
    .details = "examples:\n  none\n",
    .opts = options,
    .n_opt = sizeof options / sizeof *options,
    .min_files = 1,
    .max_files = 2,
};

static struct arena arena;
static struct err e;
static const char **file;
static int n_file;

static enum opt_result parse(const char *first, ...) {
    char *argv[20] = {(char *)(uintptr_t) "plan"};
    int argc = 1;
    va_list ap;
    va_start(ap, first);
    for (const char *s = first; s; s = va_arg(ap, const char *)) argv[argc++] = (char *)(uintptr_t)s;
    va_end(ap);
    memset(&o, 0, sizeof o);
    o.mode = -1;
    return opt_parse(&command, argc, argv, &file, &n_file, &arena, &e);
}

static void options_may_stand_anywhere(void **state) {
    (void)state;
    assert_int_equal(parse("-q", "a.json", "--threads", "8", "--gap=0.5", "-oOUT", "b.json", NULL), OPT_OK);
    assert_int_equal(n_file, 2);
    assert_string_equal(file[0], "a.json");
    assert_string_equal(file[1], "b.json");
    assert_true(o.quiet && !o.force && o.threads == 8 && o.gap == 0.5 && o.mode == -1);
    assert_string_equal(o.out, "OUT");
    assert_int_equal(parse("-qfo", "OUT", "--mode", "fast", "a", NULL), OPT_OK); /* joined */
    assert_true(o.quiet && o.force && o.mode == 1);
    assert_string_equal(o.out, "OUT");
    assert_int_equal(parse("-q", "--", "-f", "--mode", NULL), OPT_OK); /* files from there on */
    assert_int_equal(n_file, 2);
    assert_string_equal(file[0], "-f");
    assert_false(o.force);
    assert_int_equal(parse("-", NULL), OPT_OK);
    assert_string_equal(file[0], "-");
}

static void an_argument_may_be_left_out(void **state) {
    (void)state;
    assert_int_equal(parse("a", "--log", "-q", NULL), OPT_OK);
    assert_true(o.log && !*o.log && o.quiet);
    assert_int_equal(parse("a", "--log", NULL), OPT_OK);
    assert_true(o.log && !*o.log);
    assert_int_equal(parse("--log", "L", "a", NULL), OPT_OK);
    assert_string_equal(o.log, "L");
    assert_int_equal(n_file, 1);
    assert_int_equal(parse("--log=-L", "a", NULL), OPT_OK);
    assert_string_equal(o.log, "-L");
    assert_int_equal(parse("a", NULL), OPT_OK);
    assert_null(o.log);
}

static void misuse_is_one_line(void **state) {
    static const struct {
        const char *arg[4], *says;
    } bad[] = {
        {{"a", "--thread", "1"},
         "plan: unknown option '--thread' (did you mean --threads?); see 'sailor plan --help'"},
        {{"a", "--zzz"}, "plan: unknown option '--zzz'; see 'sailor plan --help'"},
        {{"a", "--Search"}, "unknown option '--Search'"}, /* a heading is not an option */
        {{"a", "-x"}, "unknown option '-x'"},
        {{"a", "--threads"}, "missing argument of '--threads'"},
        {{"a", "-o"}, "missing argument of '-o'"},
        {{"a", "-o", ""}, "--output: expected FILE, not nothing"},
        {{"a", "--quiet=1"}, "takes no argument: '--quiet=1'"},
        {{"a", "--threads", "0"}, "--threads '0': expected a whole number from 1 to 64"},
        {{"a", "--threads", "65"}, "expected a whole number"},
        {{"a", "--threads", "1.5"}, "expected a whole number"},
        {{"a", "--threads", "1x"}, "expected a whole number"},
        {{"a", "--threads", ""}, "expected a whole number"},
        {{"a", "--gap", "nan"}, "--gap 'nan': expected a number from 0 to 1"},
        {{"a", "--gap", "0x1"}, "expected a number"},
        {{"a", "--mode", "quick"}, "--mode 'quick': expected one of slow, fast"},
        {{"-q"}, "plan: missing argument; usage: sailor plan JOB.json [options]"},
        {{"a", "b", "c"}, "unexpected argument 'c'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const *arg = bad[i].arg;
        assert_int_equal(parse(arg[0], arg[1], arg[2], arg[3], NULL), OPT_ERROR);
        assert_int_equal(e.code, EXIT_INPUT);
        if (!strstr(e.text, bad[i].says)) fail_msg("\"%s\"\nexpected \"%s\"", e.text, bad[i].says);
    }
}

static void help_wins(void **state) {
    (void)state;
    assert_int_equal(parse("--zzz", "--help", NULL), OPT_HELP);
    assert_int_equal(parse("a", "b", "c", "-h", NULL), OPT_HELP);
    assert_int_equal(parse("--", "-h", NULL), OPT_OK); /* a file of that name */
}

static void help_names_every_option(void **state) {
    (void)state;
    const char *text = opt_help(&command, &arena);
    assert_non_null(strstr(text, "usage: sailor plan JOB.json [options]\n"));
    assert_non_null(strstr(text, "\noptions:\n"));
    assert_non_null(strstr(text, "\nSearch:\n"));
    assert_non_null(strstr(text, "  -o, --output FILE"));
    assert_non_null(strstr(text, "      --log [FILE]"));
    assert_non_null(strstr(text, "      --mode slow|fast"));
    assert_non_null(strstr(text, "examples:\n  none\n"));
    for (const char *line = text; *line; line += *line == '\n') {
        size_t n = strcspn(line, "\n");
        assert_true(n <= 100 && (n == 0 || line[n - 1] != ' '));
        line += n;
    }
}

static void numbers_are_decimal_and_whole(void **state) {
    static const char *const bad[] = {"", " 1", "1 ", "1,5", "inf", "nan", "0x1p3", "1e999", "--1"};
    (void)state;
    assert_int_equal(parse("a", "-g", "5e-1", NULL), OPT_OK);
    assert_true(o.gap == 0.5);
    assert_int_equal(parse("a", "-g", "0", NULL), OPT_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse("a", "-g", bad[i], NULL), OPT_ERROR);
}

static int drop(void **state) {
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere), cmocka_unit_test(an_argument_may_be_left_out),
        cmocka_unit_test(misuse_is_one_line),         cmocka_unit_test(help_wins),
        cmocka_unit_test(help_names_every_option),    cmocka_unit_test(numbers_are_decimal_and_whole),
    };
    return cmocka_run_group_tests(tests, NULL, drop);
}
