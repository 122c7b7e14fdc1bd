#ifndef SAILOR_BASE_OPT_H
#define SAILOR_BASE_OPT_H
#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
/* Command lines. One table per command gives the parser and the --help text, so the two cannot disagree. */

enum opt_kind {
    OPT_FLAG,   /* bool *: no argument */
    OPT_TEXT,   /* const char ** */
    OPT_MAYBE,  /* const char **: "" where its argument is left out */
    OPT_LIST,   /* struct opt_list *: may be given several times */
    OPT_INT,    /* int *, within [min, max] */
    OPT_REAL,   /* double *, within [min, max] */
    OPT_CHOICE, /* int *: index into choices; unchanged if the option is not given */
    OPT_GROUP   /* heading in the help, not an option */
};

enum { OPT_LIST_MAX = 64 };

struct opt_list {
    int n;
    const char *value[OPT_LIST_MAX];
};

struct opt {
    char letter;      /* short form, or 0 */
    const char *name; /* long form; the heading of a group */
    enum opt_kind kind;
    const char *arg;  /* placeholder in the help, NULL for flags */
    const char *help; /* wrapped to the terminal's 100 columns */
    void *value;
    double min, max;
    const char *const *choices; /* NULL-terminated, for OPT_CHOICE */
};

struct opt_command {
    const char *program;    /* NULL: "sailor" */
    const char *name;       /* "plan" */
    const char *usage;      /* after "sailor plan": "JOB.json [options]" */
    const char *about;      /* one line: what it does */
    const char *details;    /* more text after the options, or NULL */
    const struct opt *opts; /* [n_opt] */
    int n_opt;
    int min_files, max_files; /* arguments that are not options */
};

/* An entry of a table of options: short form or 0, long form, where the value goes, what it is for; numbers
 * lie within [least, most]. And what a command takes: its name, its table, and how many arguments
 * that are not options. */
#define OPTION_GROUP(heading)                                                                                \
    { .kind = OPT_GROUP, .name = heading }
#define OPTION_FLAG(short_form, long_form, at, about)                                                        \
    { .kind = OPT_FLAG, .letter = short_form, .name = long_form, .value = at, .help = about }
#define OPTION_TEXT(short_form, long_form, holder, at, about)                                                \
    { .kind = OPT_TEXT, .letter = short_form, .name = long_form, .arg = holder, .value = at, .help = about }
#define OPTION_MAYBE(long_form, holder, at, about)                                                           \
    { .kind = OPT_MAYBE, .name = long_form, .arg = holder, .value = at, .help = about }
#define OPTION_LIST(short_form, long_form, holder, at, about)                                                \
    { .kind = OPT_LIST, .letter = short_form, .name = long_form, .arg = holder, .value = at, .help = about }
#define OPTION_NUMBER(of_kind, short_form, long_form, holder, least, most, at, about)                        \
    {                                                                                                        \
        .kind = of_kind, .letter = short_form, .name = long_form, .arg = holder, .min = least, .max = most,  \
        .value = at, .help = about                                                                           \
    }
#define OPTION_INT(...) OPTION_NUMBER(OPT_INT, __VA_ARGS__)
#define OPTION_REAL(...) OPTION_NUMBER(OPT_REAL, __VA_ARGS__)
#define OPTION_CHOICE(short_form, long_form, of, at, about)                                                  \
    { .kind = OPT_CHOICE, .letter = short_form, .name = long_form, .choices = of, .value = at, .help = about }
#define OPT_COMMAND(of, options, least, most)                                                                \
    .name = of, .opts = options, .n_opt = sizeof options / sizeof *(options), .min_files = least,            \
    .max_files = most

/** The program that a command belongs to. */
const char *opt_program(const struct opt_command *c);

enum opt_result { OPT_OK = 0, OPT_ERROR = -1, OPT_HELP = 1 };

/** Parse argv[1..] (argv[0] is the name of the command). Options may appear anywhere, "--" ends them, long
 * options may be written --name=value, and short flags may be combined. The other *n_file arguments are
 * stored in files, allocated in a. OPT_HELP: --help was given. OPT_ERROR: *e says in one line what is wrong
 * (EXIT_INPUT). */
enum opt_result opt_parse(const struct opt_command *c, int argc, char **argv, const char ***files,
                          int *n_file, struct arena *a, struct err *e);

/** The help of a command, owned by a. */
const char *opt_help(const struct opt_command *c, struct arena *a);

/** Parse a finite decimal number that is the whole of `text`. */
bool opt_number(const char *text, double *value);

#endif
