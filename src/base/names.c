#include "base/names.h"

#include <string.h>

enum { LETTERS_MAX = 64 };

int name_index(const char *const *names, int n, const char *text) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], text)) return i;
    return -1;
}

/* Levenshtein distance of two short words. */
static int distance(const char *a, const char *b) {
    int row[LETTERS_MAX], n = (int)strlen(b);
    if (n >= LETTERS_MAX) return LETTERS_MAX;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *name_nearest(const char *text, const char *const *names, int n) {
    const char *best = NULL;
    int best_d = LETTERS_MAX, letters = (int)strlen(text);
    for (int i = 0; i < n; i++) {
        if (!names[i]) continue;
        int d = distance(text, names[i]), longer = (int)strlen(names[i]);
        if (longer < letters) longer = letters;
        if (d < best_d && 2 * d <= longer) { /* not similar if more than half the letters are wrong */
            best_d = d;
            best = names[i];
        }
    }
    return best;
}

const char *name_hint(const char *text, const char *const *names, int n, struct arena *a) {
    const char *near = name_nearest(text, names, n);
    return near ? arena_printf(a, "; did you mean %s?", near) : "";
}
