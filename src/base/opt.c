#include "base/opt.h"
#include "base/names.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 100, INDENT = 28, NAMES_MAX = 64 };

/* The whole text must be a finite decimal number. */
bool opt_number(const char *text, double *value) {
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    return *text && !*end && *text != ' ' && isfinite(*value) && strpbrk(text, "xXpP") == NULL;
}

const char *opt_program(const struct opt_command *c) { return c->program ? c->program : "sailor"; }

static int misuse(const struct opt_command *c, struct err *e, const char *what, const char *name,
                  const char *hint) {
    return err_set(e, EXIT_INPUT, "%s: %s '%s'%s; see '%s %s --help'", c->name, what, name, hint ? hint : "",
                   opt_program(c), c->name);
}

static int unknown(const struct opt_command *c, const char *name, struct arena *a, struct err *e) {
    const char *names[NAMES_MAX] = {"help"};
    int n = 1;
    for (int i = 0; i < c->n_opt && n < NAMES_MAX; i++)
        if (c->opts[i].kind != OPT_GROUP) names[n++] = c->opts[i].name;
    const char *near = name_nearest(name, names, n);
    return misuse(c, e, "unknown option", arena_printf(a, "--%s", name),
                  near ? arena_printf(a, " (did you mean --%s?)", near) : NULL);
}

/* Store the argument of an option. */
static int store(const struct opt_command *c, const struct opt *o, const char *arg, struct arena *a,
                 struct err *e) {
    double v;
    switch (o->kind) {
    case OPT_MAYBE:
        *(const char **)o->value = arg;
        return 0;
    case OPT_TEXT:
        if (!*arg)
            return err_set(e, EXIT_INPUT, "%s: --%s: expected %s, not nothing", c->name, o->name, o->arg);
        *(const char **)o->value = arg;
        return 0;
    case OPT_LIST: {
        struct opt_list *list = o->value;
        if (!*arg)
            return err_set(e, EXIT_INPUT, "%s: --%s: expected %s, not nothing", c->name, o->name, o->arg);
        if (list->n == OPT_LIST_MAX)
            return err_set(e, EXIT_INPUT, "%s: --%s '%s': expected at most %d times", c->name, o->name, arg,
                           OPT_LIST_MAX);
        list->value[list->n++] = arg;
        return 0;
    }
    case OPT_INT:
        if (!opt_number(arg, &v) || v != floor(v) || v < o->min || v > o->max)
            return err_set(e, EXIT_INPUT, "%s: --%s '%s': expected a whole number from %.0f to %.0f", c->name,
                           o->name, arg, o->min, o->max);
        *(int *)o->value = (int)v;
        return 0;
    case OPT_REAL:
        if (!opt_number(arg, &v) || v < o->min || v > o->max)
            return err_set(e, EXIT_INPUT, "%s: --%s '%s': expected a number from %g to %g", c->name, o->name,
                           arg, o->min, o->max);
        *(double *)o->value = v;
        return 0;
    case OPT_CHOICE: {
        char list[300] = "";
        int n = 0;
        for (; o->choices[n]; n++) {
            if (!strcmp(arg, o->choices[n])) {
                *(int *)o->value = n;
                return 0;
            }
            size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%s", n ? ", " : "", o->choices[n]);
        }
        return err_set(e, EXIT_INPUT, "%s: --%s '%s': expected %s%s%s", c->name, o->name, arg,
                       n > 1 ? "one of " : "", list, n > 1 ? name_hint(arg, o->choices, n, a) : "");
    }
    case OPT_FLAG:
    case OPT_GROUP:
        break;
    }
    return 0;
}

static const struct opt *find_long(const struct opt_command *c, const char *name, size_t n) {
    for (const struct opt *o = c->opts; o < c->opts + c->n_opt; o++)
        if (o->kind != OPT_GROUP && strlen(o->name) == n && !strncmp(o->name, name, n)) return o;
    return NULL;
}

static const struct opt *find_short(const struct opt_command *c, char letter) {
    for (const struct opt *o = c->opts; o < c->opts + c->n_opt; o++)
        if (o->kind != OPT_GROUP && o->letter == letter) return o;
    return NULL;
}

enum opt_result opt_parse(const struct opt_command *c, int argc, char **argv, const char ***files,
                          int *n_file, struct arena *a, struct err *e) {
    const char **f = ARENA_ARRAY(a, const char *, argc + 1);
    int n = 0;
    bool only_files = false;
    *files = f;
    *n_file = 0;
    /* --help wins over everything, even a mistake before it */
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return OPT_HELP;
    for (int i = 1; i < argc; i++) {
        const char *s = argv[i];
        if (only_files || s[0] != '-' || !s[1]) {
            f[n++] = s;
        } else if (!strcmp(s, "--")) {
            only_files = true;
        } else if (s[1] == '-') {
            const char *name = s + 2, *equals = strchr(name, '=');
            size_t len = equals ? (size_t)(equals - name) : strlen(name);
            const struct opt *o = find_long(c, name, len);
            if (!o) return unknown(c, arena_printf(a, "%.*s", (int)len, name), a, e);
            if (o->kind == OPT_FLAG) {
                if (equals) return misuse(c, e, "takes no argument:", s, NULL);
                *(bool *)o->value = true;
            } else {
                bool bare = o->kind == OPT_MAYBE && !equals && (i + 1 == argc || argv[i + 1][0] == '-');
                const char *arg = bare ? "" : equals ? equals + 1 : argv[++i];
                if (!arg) return misuse(c, e, "missing argument of", s, NULL);
                if (store(c, o, arg, a, e)) return OPT_ERROR;
            }
        } else {
            for (const char *p = s + 1; *p; p++) {
                const struct opt *o = find_short(c, *p);
                if (!o) return misuse(c, e, "unknown option", arena_printf(a, "-%c", *p), NULL);
                if (o->kind == OPT_FLAG) {
                    *(bool *)o->value = true;
                    continue;
                }
                const char *arg = p[1] ? p + 1 : argv[++i]; /* -oFILE or -o FILE */
                if (!arg) return misuse(c, e, "missing argument of", s, NULL);
                if (store(c, o, arg, a, e)) return OPT_ERROR;
                break;
            }
        }
    }
    if (n < c->min_files)
        return err_set(e, EXIT_INPUT, "%s: missing argument; usage: %s %s %s", c->name, opt_program(c),
                       c->name, c->usage);
    if (n > c->max_files) return misuse(c, e, "unexpected argument", f[c->max_files], NULL);
    *n_file = n;
    return OPT_OK;
}

/* A growing text. */
struct out {
    struct arena *arena;
    char *s;
    int n, room;
};

/* Appends; returns the number of characters. */
__attribute__((format(printf, 2, 3))) static int add(struct out *out, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (out->n + n >= out->room) {
        out->room = 2 * (out->n + n) + 4096;
        char *more = arena_alloc(out->arena, (size_t)out->room);
        if (out->n) memcpy(more, out->s, (size_t)out->n);
        out->s = more;
    }
    va_start(ap, fmt);
    vsnprintf(out->s + out->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    out->n += n;
    return n;
}

/* Appends text wrapped at WIDTH; the first line continues at `column`, later ones start at `indent`. */
static void wrap(const char *text, int column, int indent, struct out *out) {
    bool first = true;
    while (*text) {
        int len = (int)strcspn(text, " ");
        if (!first && column + 1 + len > WIDTH) {
            add(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        column += add(out, "%s%.*s", first ? "" : " ", len, text);
        first = false;
        text += len;
        if (*text) text++;
    }
    add(out, "\n");
}

static void option_help(const struct opt *o, struct out *out) {
    if (o->kind == OPT_GROUP) {
        add(out, "\n%s:\n", o->name);
        return;
    }
    int col = o->letter ? add(out, "  -%c, --%s", o->letter, o->name) : add(out, "      --%s", o->name);
    for (int i = 0; o->kind == OPT_CHOICE && o->choices[i]; i++)
        col += add(out, "%c%s", i ? '|' : ' ', o->choices[i]);
    if (o->arg) col += add(out, o->kind == OPT_MAYBE ? " [%s]" : " %s", o->arg);
    if (col + 2 > INDENT) {
        add(out, "\n");
        col = 0;
    }
    add(out, "%*s", INDENT - col, "");
    wrap(o->help, INDENT, INDENT, out);
}

const char *opt_help(const struct opt_command *c, struct arena *a) {
    struct out out = {.arena = a};
    add(&out, "usage: %s %s %s\n\n", opt_program(c), c->name, c->usage);
    wrap(c->about, 0, 0, &out);
    if (c->n_opt && c->opts[0].kind != OPT_GROUP) add(&out, "\noptions:\n");
    for (int i = 0; i < c->n_opt; i++) option_help(&c->opts[i], &out);
    add(&out, "  -h, --help%*sshow this help\n", INDENT - 12, "");
    if (c->details) add(&out, "\n%s", c->details);
    return out.s;
}
