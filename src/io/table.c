#include "io/table.h"
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 20, CELLS_PER_BLOCK = 256 };

struct cells {
    struct cells *next;
    const char *text[CELLS_PER_BLOCK];
};

struct table {
    struct arena *arena;
    int n_col, n_cell;
    bool left[COLUMNS_MAX];
    const char *heading[COLUMNS_MAX];
    int width[COLUMNS_MAX];
    struct cells *first, *last;
};

struct table *table_new(const char *headings, struct arena *a) {
    struct table *t = ARENA_NEW(a, struct table);
    t->arena = a;
    char *s = arena_strdup(a, headings);
    while (s && t->n_col < COLUMNS_MAX) {
        char *bar = strchr(s, '|');
        if (bar) *bar = 0;
        t->left[t->n_col] = *s == '<';
        t->heading[t->n_col] = s + (*s == '<');
        t->width[t->n_col] = text_width(t->heading[t->n_col]);
        t->n_col++;
        s = bar ? bar + 1 : NULL;
    }
    return t;
}

void table_cell(struct table *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *plain = arena_alloc(t->arena, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(plain, (size_t)n + 1, fmt, ap);
    va_end(ap);
    const char *s = text_printable(plain, t->arena);
    int width = text_width(s);
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
    if (width > t->width[col]) t->width[col] = width;
    t->n_cell++;
}

static void print_cell(const struct table *t, int col, const char *s, FILE *out) {
    int blanks = t->width[col] - text_width(s);
    bool last = col == t->n_col - 1;
    if (col) fputs("  ", out);
    if (!t->left[col]) fprintf(out, "%*s", blanks, "");
    fputs(s, out);
    if (t->left[col] && !last) fprintf(out, "%*s", blanks, ""); /* no blanks at the end of a line */
    if (last) fputc('\n', out);
}

void table_print(const struct table *t, FILE *out) {
    for (int c = 0; c < t->n_col; c++) print_cell(t, c, t->heading[c], out);
    const struct cells *block = t->first;
    for (int i = 0; i < t->n_cell; i++) {
        print_cell(t, i % t->n_col, block->text[i % CELLS_PER_BLOCK], out);
        if (i % CELLS_PER_BLOCK == CELLS_PER_BLOCK - 1) block = block->next;
    }
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
