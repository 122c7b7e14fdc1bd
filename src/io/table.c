#include "io/table.h"
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 20, CELLS_PER_BLOCK = 256, NARROWEST_TEXT = 6 };

struct cells {
    struct cells *next;
    const char *text[CELLS_PER_BLOCK];
};

struct table {
    struct arena *arena;
    int n_col, n_cell;
    bool left[COLUMNS_MAX];
    const char *heading[COLUMNS_MAX];
    int cells[COLUMNS_MAX], width[COLUMNS_MAX]; /* widest cell, without and with the heading */
    int word[COLUMNS_MAX]; /* widest unbreakable piece: a number, a word of text or heading */
    struct cells *first, *last;
};

static int widest_word(const char *s) {
    int most = 0;
    while (*s) {
        size_t n = strcspn(s, " ");
        int width = text_columns(s, n);
        if (width > most) most = width;
        s += n + strspn(s + n, " ");
    }
    return most;
}

static void grow(struct table *t, int col, const char *s, bool whole) {
    int width = text_width(s), word = whole ? width : widest_word(s);
    if (width > t->width[col]) t->width[col] = width;
    if (word > t->word[col]) t->word[col] = word;
}

struct table *table_new(const char *headings, struct arena *a) {
    struct table *t = ARENA_NEW(a, struct table);
    t->arena = a;
    char *s = arena_strdup(a, headings);
    while (s && t->n_col < COLUMNS_MAX) {
        char *bar = strchr(s, '|');
        if (bar) *bar = 0;
        t->left[t->n_col] = *s == '<';
        t->heading[t->n_col] = text_printable(s + (*s == '<'), a);
        grow(t, t->n_col, t->heading[t->n_col], false);
        t->n_col++;
        s = bar ? bar + 1 : NULL;
    }
    return t;
}

__attribute__((format(printf, 2, 0))) static const char *formatted(struct arena *a, const char *fmt,
                                                                   va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

void table_cell(struct table *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *s = text_printable(formatted(t->arena, fmt, ap), t->arena);
    va_end(ap);
    int slot = t->n_cell % CELLS_PER_BLOCK, col = t->n_cell % t->n_col;
    if (slot == 0) {
        struct cells *block = ARENA_NEW(t->arena, struct cells);
        if (t->last)
            t->last->next = block;
        else
            t->first = block;
        t->last = block;
    }
    t->last->text[slot] = s;
    int width = text_width(s);
    if (width > t->cells[col]) t->cells[col] = width;
    grow(t, col, s, !t->left[col]);
    t->n_cell++;
}

/* ---- lines of limited width ---- */

/* How much of s goes on a line of `width` columns: all of it; else up to the end of a term of a sum or list,
 * if that is far enough; else up to a blank; else whatever there is room for. */
static size_t line_of(const char *s, int width) {
    size_t n = 0, term = 0, blank = 0;
    int column = 0;
    while (s[n]) {
        size_t next = n + text_next(s + n);
        column += text_columns(s + n, next - n);
        if (column > width) break;
        n = next;
        if (s[n] != ' ') continue;
        blank = n;
        if (strchr("+,;:", s[n - 1]) && 2 * column >= width) term = n;
    }
    if (!s[n]) {
        while (n && s[n - 1] == ' ') n--;
        return n;
    }
    if (!n) return text_next(s); /* wider than the column */
    return term ? term : blank ? blank : n;
}

/* The least width of a column: break headings first, then cells between words, then words; never numbers. */
static int least_width(const struct table *t, int col, int pass) {
    if (pass == 2 && t->left[col]) return NARROWEST_TEXT;
    return pass == 0 && t->cells[col] > t->word[col] ? t->cells[col] : t->word[col];
}

/* Finds column widths that fit in TABLE_COLUMNS, if possible, by narrowing the widest column. */
static bool narrow(const struct table *t, int width[COLUMNS_MAX], int gap) {
    int total = gap * (t->n_col - 1);
    for (int c = 0; c < t->n_col; c++) total += width[c] = t->width[c];
    for (int pass = 0; pass < 3; pass++)
        while (total > TABLE_COLUMNS) {
            int widest = -1;
            for (int c = 0; c < t->n_col; c++)
                if (width[c] > least_width(t, c, pass) && (widest < 0 || width[c] > width[widest]))
                    widest = c;
            if (widest < 0) break;
            width[widest]--;
            total--;
        }
    return total <= TABLE_COLUMNS;
}

/* Prints a row on as many lines as it takes; consumes `cell`. */
static void print_row(const struct table *t, const char *cell[COLUMNS_MAX], const int *width, int gap,
                      FILE *out) {
    for (bool more = true; more;) {
        int owed = 0; /* blanks, printed only if something follows */
        more = false;
        for (int c = 0; c < t->n_col; c++) {
            size_t n = line_of(cell[c], width[c]);
            int used = text_columns(cell[c], n);
            if (c) owed += gap;
            if (n) {
                fprintf(out, "%*s%.*s", owed + (t->left[c] ? 0 : width[c] - used), "", (int)n, cell[c]);
                owed = t->left[c] ? width[c] - used : 0;
            } else {
                owed += width[c];
            }
            cell[c] += n + strspn(cell[c] + n, " ");
            more |= *cell[c] != 0;
        }
        fputc('\n', out);
    }
}

void table_print(const struct table *t, FILE *out) {
    const char *cell[COLUMNS_MAX];
    int width[COLUMNS_MAX];
    int gap = 2;
    if (!narrow(t, width, gap)) narrow(t, width, --gap);
    memcpy(cell, t->heading, sizeof cell);
    print_row(t, cell, width, gap, out);
    const struct cells *block = t->first;
    for (int i = 0; i < t->n_cell; i++) {
        cell[i % t->n_col] = block->text[i % CELLS_PER_BLOCK];
        if (i % t->n_col == t->n_col - 1) print_row(t, cell, width, gap, out);
        if (i % CELLS_PER_BLOCK == CELLS_PER_BLOCK - 1) block = block->next;
    }
}

void table_text(FILE *out, const char *fmt, ...) {
    struct arena a = {0};
    va_list ap;
    va_start(ap, fmt);
    const char *s = text_printable(formatted(&a, fmt, ap), &a);
    va_end(ap);
    for (int indent = 0; indent == 0 || *s; indent = 4) {
        size_t n = line_of(s, TABLE_COLUMNS - indent);
        fprintf(out, "%*s%.*s\n", indent, "", (int)n, s);
        s += n + strspn(s + n, " ");
    }
    arena_free(&a);
}

const char *table_number(double v, int digits, struct arena *a) {
    if (isnan(v)) return "-";
    if (isinf(v)) return v > 0 ? "inf" : "-inf";
    double m = fabs(v);
    if (m == 0) return "0";
    if (m >= 1e9 || m < 1e-5) return arena_printf(a, "%.*e", digits - 1, v);
    int before = (int)floor(log10(m)) + 1;
    return arena_printf(a, "%.*f", before < digits ? digits - before : 0, v);
}
