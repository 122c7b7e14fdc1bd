#include "import/hostlist.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 100000, NAME_MAX_BYTES = 250, DIGITS_MAX = 9 };

struct names {
    const char **v;
    int n, room;
    struct arena *a;
};

static bool put(struct names *l, const char *name) {
    if (l->n == NAMES_MAX) return false;
    if (l->n == l->room) {
        const char **more = ARENA_ARRAY(l->a, const char *, l->room = 2 * l->room + 16);
        if (l->n) memcpy(more, l->v, sizeof *more * (size_t)l->n);
        l->v = more;
    }
    l->v[l->n++] = arena_strdup(l->a, name);
    return true;
}

/* "007" -> 7, and the number of digits; -1: not a number. */
static long number(const char **at, int *digits) {
    const char *from = *at;
    long v = 0;
    while (isdigit((unsigned char)**at) && *at - from < DIGITS_MAX) v = 10 * v + (*(*at)++ - '0');
    *digits = (int)(*at - from);
    return *digits && !isdigit((unsigned char)**at) ? v : -1;
}

static bool spell(const char *head, const char *rest, struct names *l);

/* One range in brackets, "01-03" or "7". */
static bool range(const char *head, const char **at, const char *rest, struct names *l) {
    int digits, other;
    long from = number(at, &digits), to = from;
    if (from < 0) return false;
    if (**at == '-') {
        ++*at;
        to = number(at, &other);
    }
    if (to < from || to - from > NAMES_MAX) return false;
    for (long i = from; i <= to; i++)
        if (!spell(arena_printf(l->a, "%s%0*ld", head, digits, i), rest, l)) return false;
    return true;
}

/* Adds all names that start with `head` and continue as `rest` says. */
static bool spell(const char *head, const char *rest, struct names *l) {
    const char *open = strchr(rest, '['), *close = open ? strchr(open, ']') : NULL;
    if (strlen(head) > NAME_MAX_BYTES) return false;
    if (!open) return !strchr(rest, ']') && put(l, arena_printf(l->a, "%s%s", head, rest));
    if (!close) return false;
    head = arena_printf(l->a, "%s%.*s", head, (int)(open - rest), rest);
    for (const char *at = open + 1;; at++) {
        if (!range(head, &at, close + 1, l)) return false;
        if (at == close) return true;
        if (*at != ',') return false;
    }
}

int hostlist_expand(const char *list, const char ***names, struct arena *a) {
    struct names l = {.a = a};
    while (*list) {
        size_t n = 0;
        bool inside = false;
        for (; list[n] && (inside || list[n] != ','); n++)
            if (list[n] == '[' || list[n] == ']') inside = list[n] == '[';
        if (!n || !spell("", arena_printf(a, "%.*s", (int)n, list), &l)) return -1;
        list += n + (list[n] == ',');
    }
    *names = l.v;
    return l.n;
}
