#include "io/program.h"
#include "base/names.h"
#include "base/oom.h"
#include "io/completion.h"
#include "io/cpus.h"
#include "io/mpx.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifndef SAILOR_VERSION
#define SAILOR_VERSION "unknown"
#endif

enum { COMMANDS_MAX = 16 };

const char *program_version(void) { return SAILOR_VERSION; }

static int fail(const char *program, const struct err *e) {
    fflush(stdout);
    fprintf(stderr, "%s: error: %s\n", program, e->text);
    return e->code;
}

static int misuse(const char *program, const struct err *e) {
    return mpx_launch_rank() == 0 ? fail(program, e) : (int)e->code;
}

int program_fail(const struct opt_command *c, const struct err *e) { return fail(opt_program(c), e); }
int program_misuse(const struct opt_command *c, const struct err *e) { return misuse(opt_program(c), e); }

/* Set while a command is run only for its table of options: it completes the table and calls
 * program_parse(). */
static const struct opt_command **asked;

bool program_parse(const struct opt_command *c, int argc, char **argv, const char ***files, int *n_file,
                   struct arena *a, int *status) {
    struct err e;
    if (asked) {
        *asked = c;
        *status = EXIT_OK;
        return false;
    }
    enum opt_result parsed = opt_parse(c, argc, argv, files, n_file, a, &e);
    *status = EXIT_OK;
    if (parsed == OPT_HELP && mpx_launch_rank() == 0) fputs(opt_help(c, a), stdout);
    if (parsed == OPT_ERROR) *status = program_misuse(c, &e);
    return parsed == OPT_OK;
}

int program_run(const struct opt_command *c, int argc, char **argv,
                int (*work)(const char **, int, struct arena *, struct err *)) {
    struct arena a = {0};
    struct err e;
    const char **file;
    int n, status;
    /* under a launcher, only the first process prints */
    if (program_parse(c, argc, argv, &file, &n, &a, &status) && mpx_launch_rank() == 0 &&
        work(file, n, &a, &e))
        status = program_fail(c, &e);
    arena_free(&a);
    return status;
}

/* A command and the first sentence of its description, in lines of at most 100 columns. */
static void print_about(const char *name, const char *about, int n) {
    enum { COLUMNS = 100, INDENT = 14 };
    int column = printf("  %-12s", name);
    for (int i = 0, word; i < n; i += word + 1) {
        word = (int)strcspn(about + i, " ");
        if (i + word > n) word = n - i;
        if (column > INDENT && column + 1 + word > COLUMNS) column = printf("\n%*s", INDENT, "") - 1;
        column += printf("%s%.*s", column > INDENT ? " " : "", word, about + i);
    }
    putchar('\n');
}

static void print_help(const struct program *p) {
    fputs(p->head, stdout);
    for (int i = 0; i < p->n_command; i++) {
        const char *about = p->command[i].command->about, *stop = strstr(about, ". ");
        int n = stop ? (int)(stop - about) : (int)strlen(about);
        print_about(p->command[i].command->name, about, n && about[n - 1] == '.' ? n - 1 : n);
    }
    printf("  help        Show this text, or with a COMMAND the help of that command\n"
           "  version     Show version and build features (also --version)\n"
           "  completion  Print a script that completes command lines, for bash or zsh\n\n%s",
           p->end);
}

static void print_version(const struct program *p) {
    unsigned major = 0, minor = 0, release = 0;
    char mpi[120];
    H5get_libversion(&major, &minor, &release);
    mpx_version(mpi, sizeof mpi);
    printf("%s %s\n", p->name, program_version());
#ifdef __clang__
    printf("compiler    clang %s\n", __clang_version__);
#else
    printf("compiler    gcc %s\n", __VERSION__);
#endif
#ifdef _OPENMP
    printf("OpenMP      %d\n", _OPENMP);
#else
    printf("OpenMP      none\n");
#endif
    printf("MPI         %s\n", mpi);
#ifdef H5_HAVE_PARALLEL
    printf("HDF5        %u.%u.%u (parallel build)\n", major, minor, release);
#else
    printf("HDF5        %u.%u.%u\n", major, minor, release);
#endif
    printf("cJSON       %s\n", cJSON_Version());
    p->print_features(stdout);
}

static int unknown(const struct program *p, const char *name) {
    const char *names[COMMANDS_MAX + 3] = {"help", "version", "completion"};
    int n = 3;
    struct err e;
    for (int i = 0; i < p->n_command && i < COMMANDS_MAX; i++) names[n++] = p->command[i].command->name;
    const char *near = name_nearest(name, names, n);
    err_set(&e, EXIT_INPUT, "unknown command '%s'%s%s%s; see '%s --help'", name,
            near ? " (did you mean " : "", near ? near : "", near ? "?)" : "", p->name);
    return misuse(p->name, &e);
}

static int print_completion_help(const struct program *p) {
    if (mpx_launch_rank() == 0)
        printf(
            "usage: %s completion bash|zsh\n\n"
            "Print a script that completes command lines: commands, options and their values. make install\n"
            "installs it; without that:\n\n"
            "  source <(%s completion bash)\n",
            p->name, p->name);
    return EXIT_OK;
}

static bool asks_for_help(const char *word) { return !strcmp(word, "--help") || !strcmp(word, "-h"); }

/* A table may be on its command's stack, so copy it; its options stay where they are. */
static int print_completion(const struct program *p, int argc, char **argv) {
    struct opt_command copy[COMMANDS_MAX];
    const struct opt_command *list[COMMANDS_MAX], *one = NULL;
    struct err e;
    int shell = 0, n = 0;
    if (argc == 3 && asks_for_help(argv[2])) return print_completion_help(p);
    while (argc == 3 && completion_shells[shell] && strcmp(completion_shells[shell], argv[2]) != 0) shell++;
    if (argc != 3 || !completion_shells[shell]) {
        err_set(&e, EXIT_INPUT, "completion: expected bash or zsh; see '%s completion --help'", p->name);
        return misuse(p->name, &e);
    }
    for (; n < p->n_command && n < COMMANDS_MAX; n++) {
        char name[32];
        snprintf(name, sizeof name, "%s", p->command[n].command->name);
        asked = &one;
        p->command[n].run(1, (char *[]){name, NULL});
        asked = NULL;
        copy[n] = *(one ? one : p->command[n].command);
        list[n] = &copy[n];
    }
    if (mpx_launch_rank() == 0) completion_write(shell, p->name, list, n, stdout);
    return EXIT_OK;
}

static int dispatch(const struct program *p, int argc, char **argv) {
    struct err e;
    if (argc < 2) {
        err_set(&e, EXIT_INPUT, "expected a command; see '%s --help'", p->name);
        return misuse(p->name, &e);
    }
    const char *name = argv[1];
    bool help = !strcmp(name, "help") || asks_for_help(name);
    bool version = !strcmp(name, "version") || !strcmp(name, "--version") || !strcmp(name, "-V");
    if (help && argc > 2 && !strcmp(argv[2], "completion")) return print_completion_help(p);
    bool own = help && argc > 2 && (!strcmp(argv[2], "help") || !strcmp(argv[2], "version"));
    if (version || own || (help && argc == 2)) {
        if (mpx_launch_rank() == 0) version ? print_version(p) : print_help(p);
        return EXIT_OK;
    }
    if (!strcmp(name, "completion")) return print_completion(p, argc, argv);
    if (help) name = argv[2];
    for (const struct program_command *c = p->command; c < p->command + p->n_command; c++)
        if (!strcmp(name, c->command->name))
            return help ? c->run(2, (char *[]){argv[2], "--help", NULL}) : c->run(argc - 1, argv + 1);
    return unknown(p, name);
}

/* Waiting threads spin, which is fast while each has a CPU. Under a quota, a thread that others wait for may
 * be throttled while they spin away the rest of the quota, so there they should sleep. The OpenMP library
 * reads the choice before main(), hence the second start. */
static void wait_without_spinning(char **argv) {
    cpu_set_t set;
    cpus_allowed(&set);
    if (getenv("OMP_WAIT_POLICY") || cpus_quota().cpus >= CPU_COUNT(&set)) return;
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv("/proc/self/exe", argv); /* returns only if it fails: then they spin */
}

/* glibc sets 64 MB of addresses aside for each thread that allocates. Where they are limited, whether
 * something large still finds room would depend on which threads were quick. */
static void share_addresses(void) {
#ifdef __GLIBC__
    if (oom_limited()) mallopt(M_ARENA_MAX, 1);
#endif
}

/* If the reader has gone (PROGRAM | head), only printing stops: files are still saved, and nobody is left to
 * tell. */
static bool reader_is_gone(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

/* When loaded, UCX takes SIGHUP for its debugger, even under nohup. So note how SIGHUP was set before
 * libraries are loaded. A closed standard stream would become the next file or socket that is opened, and
 * what is printed would go there: make it one that cannot be used. */
static bool hangup_ignored;
static void begin(void) {
    struct sigaction was;
    hangup_ignored = !sigaction(SIGHUP, NULL, &was) && was.sa_handler == SIG_IGN;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) = begin;

int program_main(const struct program *p, int argc, char **argv) {
    oom_prepare(p->name, mpx_abort);
    H5dont_atexit(); /* all files are closed by then; it would crash on one that could not be */
    cJSON_InitHooks(
        &(cJSON_Hooks){oom_malloc, free}); /* left alone, cJSON silently omits what it has no memory for */
    signal(SIGHUP, hangup_ignored ? SIG_IGN : SIG_DFL);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error like a full disk, not a crash */
    signal(SIGPIPE, SIG_IGN); /* and so is a pipe without a reader */
    wait_without_spinning(argv);
    share_addresses();
    int status = dispatch(p, argc, argv);
    errno = 0; /* that of an earlier line is not known any more */
    if ((fflush(stdout) || ferror(stdout)) && !reader_is_gone()) { /* a full disk behind a redirection */
        fprintf(stderr, "%s: error: standard output: %s\n", p->name,
                errno ? strerror(errno) : "cannot be written");
        if (status == EXIT_OK) status = EXIT_INTERNAL;
    }
    return status;
}
