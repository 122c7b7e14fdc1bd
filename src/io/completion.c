#include "io/completion.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

/* After the program come its commands; after a command its options, the values of an option with choices,
 * files where an option or the command takes one, and names that `list` knows. */

const char *const completion_shells[] = {"bash", "zsh", NULL};
enum { BASH, ZSH };

enum takes { TAKES_NOTHING, TAKES_VALUE, TAKES_CHOICE, TAKES_FILE, TAKES_NAME };

/* What an option takes, judged by the placeholder for its value in the help. */
static enum takes takes(const struct opt *o) {
    static const char *const files[] = {"FILE", ".h5", ".json", "DIR"};
    if (o->kind == OPT_FLAG) return TAKES_NOTHING;
    if (o->kind == OPT_CHOICE) return TAKES_CHOICE;
    if (!strcmp(o->name, "model") || !strcmp(o->name, "site") || !strcmp(o->name, "merge")) return TAKES_NAME;
    for (size_t i = 0; o->arg && i < sizeof files / sizeof *files; i++)
        if (strstr(o->arg, files[i])) return TAKES_FILE;
    return TAKES_VALUE;
}

/* Which list of names: `sailor list models`, `sailor list sites`. */
static const char *list_of(const struct opt *o) { return !strcmp(o->name, "model") ? "models" : "sites"; }

/* "models|gpus|sites [options]": the length of the words that the command takes; 0 if it takes files. */
static size_t words_of(const struct opt_command *c) {
    size_t n = strcspn(c->usage, " ");
    if (!memchr(c->usage, '|', n)) return 0;
    for (size_t i = 0; i < n; i++)
        if (!islower((unsigned char)c->usage[i]) && c->usage[i] != '|') return 0;
    return n;
}

static const char *names_of(const struct opt_command *c) {
    return !strncmp(c->usage, "JOB", 3) ? "jobs" : !strncmp(c->usage, "MODEL ", 6) ? "models" : NULL;
}

static bool has_list(const struct opt_command *const *command, int n) {
    for (int i = 0; i < n; i++)
        if (!strcmp(command[i]->name, "list")) return true;
    return false;
}

/* The program's name as that of a shell function. */
static const char *function_of(const char *program, char name[64]) {
    snprintf(name, 64, "_%s", program);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    return name;
}

static void print_words(const char *words, size_t n, FILE *out) {
    for (size_t i = 0; i < n; i++) fputc(words[i] == '|' ? ' ' : words[i], out);
}

static void print_commands(const struct opt_command *const *command, int n, FILE *out) {
    for (int i = 0; i < n; i++) fprintf(out, "%s ", command[i]->name);
    fprintf(out, "help version completion");
}

/* ---- bash ---- */

/* "plan --output"|"plan -o" */
static void bash_pattern(const struct opt_command *c, const struct opt *o, FILE *out) {
    fprintf(out, "    \"%s --%s\"", c->name, o->name);
    if (o->letter) fprintf(out, " | \"%s -%c\"", c->name, o->letter);
    fprintf(out, ") ");
}

static void bash_option(const struct opt_command *c, const struct opt *o, bool lists, FILE *out) {
    enum takes what = o->kind == OPT_GROUP ? TAKES_NOTHING : takes(o);
    if (what == TAKES_NOTHING || o->kind == OPT_MAYBE) return;
    bash_pattern(c, o, out);
    if (what == TAKES_CHOICE) {
        fprintf(out, "words=\"");
        for (int i = 0; o->choices[i]; i++) fprintf(out, "%s%s", i ? " " : "", o->choices[i]);
        fprintf(out, "\" ;;\n");
    } else if (what == TAKES_NAME && lists) {
        fprintf(out, "words=$(names %s) files=1 ;;\n", list_of(o));
    } else {
        fprintf(out, what == TAKES_VALUE ? "return ;;\n" : "files=1 ;;\n");
    }
}

static void bash_arguments(const struct opt_command *c, bool lists, FILE *out) {
    size_t n = words_of(c);
    fprintf(out, "        %s) ", c->name);
    if (n) {
        fprintf(out, "words=\"");
        print_words(c->usage, n, out);
        fprintf(out, "\"");
    } else if (names_of(c) && lists) {
        fprintf(out, "words=$(names %s) files=1", names_of(c));
    } else {
        fprintf(out, c->max_files ? "files=1" : ":");
    }
    fprintf(out, " ;;\n");
}

static void bash_options(const struct opt_command *c, FILE *out) {
    fprintf(out, "        %s) words=\"", c->name);
    for (int i = 0; i < c->n_opt; i++)
        if (c->opts[i].kind != OPT_GROUP) fprintf(out, "--%s ", c->opts[i].name);
    fprintf(out, "--help\" ;;\n");
}

static void write_bash(const char *program, const struct opt_command *const *command, int n, FILE *out) {
    char f[64];
    bool lists = has_list(command, n);
    function_of(program, f);
    fprintf(out,
            "# bash completion for %s, as of `%s completion bash`\n"
            "%s() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} "
            "command=${COMP_WORDS[1]}\n"
            "    local words='' files='' word IFS=$' \\t\\n'\n"
            "    COMPREPLY=()\n",
            program, program, f);
    if (lists)
        fprintf(out,
                "    names() { \"${COMP_WORDS[0]}\" list \"$1\" --json 2>/dev/null | cut -d '\"' -f 4; }\n");
    fprintf(out, "    if [ \"$cur\" = = ]; then cur=''; fi # --option=value is three words\n"
                 "    if [ \"$option\" = = ]; then option=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
                 "    if ((COMP_CWORD == 1)); then\n"
                 "        words=\"");
    print_commands(command, n, out);
    fprintf(out, "\"\n    elif [ \"$command\" = help ]; then\n        words=\"");
    for (int i = 0; i < n; i++) fprintf(out, "%s%s", i ? " " : "", command[i]->name);
    fprintf(out, "\"\n    elif [ \"$command\" = completion ]; then\n        words=\"bash zsh\"\n"
                 "    else\n    case \"$command $option\" in\n");
    for (int i = 0; i < n; i++)
        for (int k = 0; k < command[i]->n_opt; k++) bash_option(command[i], &command[i]->opts[k], lists, out);
    fprintf(out, "    *)\n        case $cur in\n        -*) case $command in\n");
    for (int i = 0; i < n; i++) bash_options(command[i], out);
    fprintf(out, "        esac ;;\n        *) case $command in\n");
    for (int i = 0; i < n; i++) bash_arguments(command[i], lists, out);
    fprintf(out,
            "        esac ;;\n        esac ;;\n    esac\n    fi\n"
            "    while read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -W \"$words\" -- \"$cur\")\n"
            "    if [ -n \"$files\" ]; then\n"
            "        compopt -o filenames 2>/dev/null\n"
            "        while read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen -f -- \"$cur\")\n"
            "    fi\n"
            "}\n"
            "complete -F %s %s\n",
            f, program);
}

/* ---- zsh ---- */

/* The first clause of a help text, quoted for a specification in single quotes. */
static void zsh_text(const char *text, FILE *out) {
    size_t n = strcspn(text, ";.");
    if (text[n] == '.' && text[n + 1] && text[n + 1] != ' ') n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\'')
            fprintf(out, "'\\''");
        else if (strchr("[]:\\", text[i]))
            fprintf(out, "\\%c", text[i]);
        else
            fputc(text[i], out);
    }
}

static void zsh_option(const struct opt *o, const char *f, bool lists, FILE *out) {
    if (o->kind == OPT_GROUP) return;
    enum takes what = takes(o);
    if (o->letter)
        fprintf(out, "        '(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter, o->name);
    else
        fprintf(out, "        '--%s[", o->name);
    zsh_text(o->help, out);
    fprintf(out, "]");
    const char *more = o->kind == OPT_MAYBE ? "::" : ":";
    if (what == TAKES_CHOICE) {
        fprintf(out, ":%s:(", o->name);
        for (int i = 0; o->choices[i]; i++) fprintf(out, "%s%s", i ? " " : "", o->choices[i]);
        fprintf(out, ")");
    } else if (what == TAKES_NAME && lists) {
        fprintf(out, ":%s:%s_names %s", o->name, f, list_of(o));
    } else if (what != TAKES_NOTHING) {
        fprintf(out, "%s%s:%s", more, o->name, what == TAKES_FILE || what == TAKES_NAME ? "_files" : " ");
    }
    fprintf(out, "' \\\n");
}

static void zsh_arguments(const struct opt_command *c, const char *f, bool lists, FILE *out) {
    size_t n = words_of(c);
    if (n) {
        fprintf(out, "        '1:what:(");
        print_words(c->usage, n, out);
        fprintf(out, ")'");
    } else if (names_of(c) && lists) {
        fprintf(out, "        '*:%s:%s_names %s'", names_of(c), f, names_of(c));
    } else {
        fprintf(out, c->max_files ? "        '*:file:_files'" : "        '--help[show this help]'");
    }
    fprintf(out, "\n");
}

static void write_zsh(const char *program, const struct opt_command *const *command, int n, FILE *out) {
    char f[64];
    bool lists = has_list(command, n);
    function_of(program, f);
    fprintf(out, "#compdef %s\n# zsh completion for %s, as of `%s completion zsh`\n", program, program,
            program);
    if (lists)
        fprintf(out,
                "%s_names() {\n"
                "    local -a names\n"
                "    names=(${(f)\"$(%s list $1 --json 2>/dev/null | cut -d '\"' -f 4)\"})\n"
                "    compadd -a names\n"
                "    _files\n"
                "}\n",
                f, program);
    fprintf(out, "%s() {\n    local -a commands\n    commands=(\n", f);
    for (int i = 0; i < n; i++) {
        fprintf(out, "        '%s:", command[i]->name);
        zsh_text(command[i]->about, out);
        fprintf(out, "'\n");
    }
    fprintf(
        out,
        "        'help:show help, also for a command'\n        'version:show version and build features'\n"
        "        'completion:print a script that completes command lines'\n    )\n"
        "    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
        "    local command=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $command in\n");
    for (int i = 0; i < n; i++) {
        fprintf(out, "    %s)\n        _arguments \\\n", command[i]->name);
        for (int k = 0; k < command[i]->n_opt; k++) zsh_option(&command[i]->opts[k], f, lists, out);
        zsh_arguments(command[i], f, lists, out);
        fprintf(out, "        ;;\n");
    }
    fprintf(out,
            "    help) _describe command commands ;;\n    completion) compadd bash zsh ;;\n    esac\n}\n"
            "if [ \"$funcstack[1]\" = _%s ]; then # the name of the file\n    %s \"$@\"\n"
            "else # read with source\n    compdef %s %s\nfi\n",
            program, f, f, program);
}

void completion_write(int shell, const char *program, const struct opt_command *const *command, int n,
                      FILE *out) {
    if (shell == BASH)
        write_bash(program, command, n, out);
    else
        write_zsh(program, command, n, out);
}
