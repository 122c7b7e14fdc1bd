#include "base/text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Decodes one UTF-8 character into *c and returns its length; 0 if it is invalid (overlong forms and
 * surrogates are). */
static size_t decode(const unsigned char *s, unsigned *c) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
    if (!n) return 0;
    *c = n == 1 ? *s : *s & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2) return 0;
        *c = *c << 6 | (s[i] & 0x3f);
    }
    bool good = *c >= least[n] && *c <= 0x10ffff && *c >> 11 != 0x1b;
    return good ? n : 0;
}

/* Includes Unicode's own line separators and its controls of writing direction, which would reorder the text
 * that follows. */
static bool is_control(unsigned c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

size_t text_control(const char *s, unsigned *c) {
    size_t n = decode((const unsigned char *)s, c);
    return n && is_control(*c) ? n : 0;
}

/* Writes the next character of s to out as it is to be printed. Returns how many bytes of s it took. */
static size_t escape_next(const char *s, char out[20], size_t *n_out) {
    unsigned c;
    size_t n = decode((const unsigned char *)s, &c);
    *n_out = n;
    if (n && !is_control(c)) {
        memcpy(out, s, n);
        return n;
    }
    if (!n) n = 1;
    *n_out = 0;
    for (size_t i = 0; i < n; i++)
        *n_out += (size_t)snprintf(out + *n_out, 5, "\\x%02x", (unsigned)(unsigned char)s[i]);
    return n;
}

size_t text_escape(const char *in, char *out, size_t size) {
    size_t length = 0, kept = 0;
    bool full = false;
    while (*in) {
        char piece[20];
        size_t n;
        in += escape_next(in, piece, &n);
        length += n;
        full |= kept + n >= size;
        if (full) continue;
        memcpy(out + kept, piece, n);
        kept += n;
    }
    if (size) out[kept] = 0;
    return length;
}

const char *text_printable(const char *in, struct arena *a) {
    size_t n = text_escape(in, NULL, 0);
    if (n == strlen(in)) return in;
    char *out = arena_alloc(a, n + 1);
    text_escape(in, out, n + 1);
    return out;
}

struct range {
    unsigned first, last;
};

static bool in_ranges(unsigned c, const struct range *r, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (c >= r[i].first && c <= r[i].last) return true;
    return false;
}

/* Unicode's blocks of combining marks and of wide characters (East Asian Width W and F), as terminals draw
 * them. */
static int columns(unsigned c) {
    static const struct range none[] = {
        {0x300, 0x36f},   {0x483, 0x489},    {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
        {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},  {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064},
        {0x20d0, 0x20ff}, {0x302a, 0x302d},  {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f},
        {0xfeff, 0xfeff}, {0xe0100, 0xe01ef}};
    static const struct range two[] = {
        {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},   {0x23e9, 0x23ec},   {0x2e80, 0x303e},
        {0x3041, 0x33ff},   {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xa960, 0xa97f},
        {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe10, 0xfe19},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},
        {0xffe0, 0xffe6},   {0x16fe0, 0x18aff}, {0x1b000, 0x1b2ff}, {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff},
        {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};
    if (in_ranges(c, none, sizeof none / sizeof *none)) return 0;
    return in_ranges(c, two, sizeof two / sizeof *two) ? 2 : 1;
}

size_t text_next(const char *s) {
    unsigned c;
    size_t n = *s ? decode((const unsigned char *)s, &c) : 0;
    return n || !*s ? n : 1;
}

int text_columns(const char *s, size_t n) {
    int width = 0;
    for (const char *end = s + n; s < end && *s;) {
        unsigned c;
        size_t length = decode((const unsigned char *)s, &c);
        width += length ? columns(c) : 1;
        s += length ? length : 1;
    }
    return width;
}

int text_width(const char *s) { return text_columns(s, strlen(s)); }

const char *text_shell_word(const char *in, struct arena *a) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=,./:@%^";
    if (*in && in[strspn(in, plain)] == 0) return in;
    size_t quotes = 0, n = 0;
    for (const char *p = in; *p; p++) quotes += *p == '\'';
    char *out = arena_alloc(a, strlen(in) + 3 * quotes + 3);
    out[n++] = '\'';
    for (const char *p = in; *p; p++) {
        if (*p == '\'') {
            memcpy(out + n, "'\\'", 3);
            n += 3;
        }
        out[n++] = *p;
    }
    out[n++] = '\'';
    out[n] = 0;
    return out;
}

const char *text_after_mark(const char *in) { return strncmp(in, "\xef\xbb\xbf", 3) ? in : in + 3; }

char *text_take_line(char **at) {
    char *line = *at;
    if (!*line) return NULL;
    size_t n = strcspn(line, "\n");
    *at = line + n + (line[n] == '\n');
    line[n] = '\0';
    return line;
}
