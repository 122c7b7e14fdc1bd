#include "io/json.h"
#include "base/names.h"
#include "base/oom.h"
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- paths and messages ----------------------------------------------------------------------------------
 */

enum { PATH_MAX_CHARS = 200 }; /* a longer path loses its middle steps; the message stays whole */

static const char *file_of(const struct json_at *at) {
    for (; at; at = at->up)
        if (at->file) return at->file;
    return "input";
}

static size_t path_add(char *out, size_t n, size_t size, const char *s) {
    for (; *s && n + 1 < size; s++) out[n++] = (unsigned char)*s < ' ' || *s == 0x7F ? '?' : *s;
    out[n] = '\0';
    return n;
}

/* JSON pointer of a position (RFC 6901: ~ and / inside a key are escaped). */
static size_t path_of(const struct json_at *at, char *out, size_t n, size_t size) {
    if (!at->up) return at->key ? path_add(out, n, size, at->key) : n;
    n = path_of(at->up, out, n, size);
    n = path_add(out, n, size, "/");
    if (!at->key) {
        char num[16];
        snprintf(num, sizeof num, "%d", at->index);
        return path_add(out, n, size, num);
    }
    for (const char *k = at->key; *k; k++) {
        char one[2] = {*k, '\0'};
        n = path_add(out, n, size, *k == '~' ? "~0" : *k == '/' ? "~1" : one);
    }
    return n;
}

static void spell(const struct json_at *at, char path[PATH_MAX_CHARS]) {
    path[0] = '\0';
    if (path_of(at, path, 0, PATH_MAX_CHARS) == 0) memcpy(path, "/", 2);
}

char *json_path(const struct json_at *at, const char **file, struct arena *a) {
    char path[PATH_MAX_CHARS] = "";
    path_of(at, path, 0, sizeof path);
    *file = arena_strdup(a, file_of(at));
    return arena_strdup(a, path);
}

char *json_where(const struct json_at *at, struct arena *a) {
    char path[PATH_MAX_CHARS];
    spell(at, path);
    return arena_printf(a, "%s: %s", file_of(at), path);
}

int json_fail(const struct json_at *at, struct err *e, const char *fmt, ...) {
    char path[PATH_MAX_CHARS], text[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *c = text; *c; c++) /* a file must not send control sequences to a terminal */
        if ((unsigned char)*c < ' ' || *c == 0x7F) *c = '?';
    spell(at, path);
    return err_set(e, EXIT_INPUT, "%.250s: %s: %s", file_of(at), path, text);
}

struct json_at json_root(const char *file, const cJSON *node) {
    return (struct json_at){.file = file, .node = node};
}

struct json_at json_part(const char *file, const char *path, const cJSON *node) {
    return (struct json_at){.file = file, .key = path, .node = node};
}

struct json_at json_member(const struct json_at *up, const char *key) {
    const cJSON *node = cJSON_IsObject(up->node) ? cJSON_GetObjectItemCaseSensitive(up->node, key) : NULL;
    return (struct json_at){.up = up, .key = key, .node = node};
}

struct json_at json_element(const struct json_at *up, int i, const cJSON *node) {
    return (struct json_at){
        .up = up, .key = cJSON_IsObject(up->node) ? node->string : NULL, .index = i, .node = node};
}

/* ---- syntax ----------------------------------------------------------------------------------------------
 */

/* A pass over the text before cJSON sees it checks depth, UTF-8 and the grammar of RFC 8259 without the
 * liberties cJSON takes. After it, cJSON can fail only for lack of memory. */
struct scan {
    const char *text, *p, *end;
    struct err *e;
};

static int scan_fail(const struct scan *s, const struct json_at *at, const char *what) {
    int line = 1;
    const char *start = s->text;
    for (const char *c = s->text; c < s->p; c++)
        if (*c == '\n') {
            line++;
            start = c + 1;
        }
    return json_fail(at, s->e, "line %d, column %d: %s", line, (int)(s->p - start) + 1, what);
}

static void skip_space(struct scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t' || *s->p == '\r')) s->p++;
}

static bool is_digit(const struct scan *s) { return s->p < s->end && *s->p >= '0' && *s->p <= '9'; }

static int scan_number(struct scan *s, const struct json_at *at) {
    const char *start = s->p;
    if (*s->p == '-') s->p++;
    if (!is_digit(s)) return scan_fail(s, at, "no digit after '-'; expected a number");
    if (*s->p == '0' && s->p + 1 < s->end && s->p[1] >= '0' && s->p[1] <= '9')
        return scan_fail(s, at, "number with a leading zero; expected none");
    while (is_digit(s)) s->p++;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!is_digit(s)) return scan_fail(s, at, "no digit after '.'; expected one");
        while (is_digit(s)) s->p++;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-')) s->p++;
        if (!is_digit(s)) return scan_fail(s, at, "no digit in the exponent; expected one");
        while (is_digit(s)) s->p++;
    }
    /* cJSON copies at most 63 characters of a number and leaves the rest as garbage */
    if (s->p - start > 60) {
        s->p = start;
        return scan_fail(s, at, "number of more than 60 characters; expected fewer");
    }
    if (!isfinite(strtod(start, NULL))) {
        s->p = start;
        return scan_fail(s, at, "number too large; expected a magnitude below 1.8e308");
    }
    return 0;
}

/* Length of the UTF-8 sequence at p, 0 if it is not valid (overlong, surrogate, above U+10FFFF, cut off). */
static int utf8_length(const unsigned char *p, const unsigned char *end) {
    if (p[0] < 0x80) return 1;
    int n = p[0] >= 0xC2 && p[0] < 0xE0   ? 2
            : p[0] >= 0xE0 && p[0] < 0xF0 ? 3
            : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                          : 0;
    if (!n || end - p < n) return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] >= 0xA0)) return 0;
    if ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] >= 0x90)) return 0;
    return n;
}

static int hex4(const struct scan *s, const char *p) {
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p + i < s->end ? p[i] : '\0';
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

static int scan_escape(struct scan *s, const struct json_at *at) {
    char c = s->p + 1 < s->end ? s->p[1] : '\0';
    if (c && strchr("\"\\/bfnrt", c)) {
        s->p += 2;
        return 0;
    }
    if (c != 'u')
        return scan_fail(
            s, at, "unknown escape in a string; expected one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
    int v = hex4(s, s->p + 2);
    if (v < 0) return scan_fail(s, at, "bad \\u escape; expected four hexadecimal digits");
    if (v == 0) return scan_fail(s, at, "\\u0000 in a string; expected text without NUL");
    if (v >= 0xD800 && v < 0xE000) {
        int low = s->p + 7 < s->end && s->p[6] == '\\' && s->p[7] == 'u' ? hex4(s, s->p + 8) : -1;
        if (v >= 0xDC00 || low < 0xDC00 || low > 0xDFFF)
            return scan_fail(s, at, "half a surrogate pair; expected both halves");
        s->p += 6;
    }
    s->p += 6;
    return 0;
}

static int scan_string(struct scan *s, const struct json_at *at) {
    const char *open = s->p++;
    while (s->p < s->end && *s->p != '"') {
        if ((unsigned char)*s->p < ' ')
            return scan_fail(s, at, "control character in a string; expected an escape (\\n, \\t)");
        if (*s->p == '\\') {
            if (scan_escape(s, at)) return -1;
            continue;
        }
        int n = utf8_length((const unsigned char *)s->p, (const unsigned char *)s->end);
        if (!n) return scan_fail(s, at, "invalid UTF-8 in a string; expected UTF-8 text");
        s->p += n;
    }
    if (s->p == s->end) {
        s->p = open;
        return scan_fail(s, at, "string without end; expected a closing '\"'");
    }
    s->p++;
    return 0;
}

static int scan_word(struct scan *s, const struct json_at *at, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return scan_fail(s, at, "unknown word; expected a JSON value (NaN and Infinity are not)");
    s->p += n;
    return 0;
}

static int scan_value(struct scan *s, const struct json_at *at, int depth);

/* The raw text of a key, for messages: escapes are kept as they are, long keys cut. */
static void key_text(char out[64], const char *open, const char *close) {
    int n = (int)(close - open) - 2;
    snprintf(out, 64, "%.*s", n < 0 ? 0 : n, open + 1);
}

static int scan_members(struct scan *s, const struct json_at *at, int depth, bool object) {
    char close = object ? '}' : ']', key[64];
    s->p++;
    skip_space(s);
    if (s->p < s->end && *s->p == close) {
        s->p++;
        return 0;
    }
    for (int i = 0;; i++) {
        struct json_at here = {.up = at, .index = i};
        skip_space(s);
        if (object) {
            const char *open = s->p;
            if (s->p == s->end || *s->p != '"')
                return scan_fail(s, at, "no key here; expected a string in double quotes");
            if (scan_string(s, at)) return -1;
            key_text(key, open, s->p);
            here.key = key;
            skip_space(s);
            if (s->p == s->end || *s->p != ':')
                return scan_fail(s, &here, "no ':' after the key; expected one");
            s->p++;
        }
        if (scan_value(s, &here, depth + 1)) return -1;
        skip_space(s);
        if (s->p < s->end && *s->p == close) {
            s->p++;
            return 0;
        }
        if (s->p == s->end || *s->p != ',')
            return scan_fail(s, &here,
                             object ? "value not followed by ',' or '}'; expected one of them"
                                    : "value not followed by ',' or ']'; expected one of them");
        s->p++;
    }
}

static int scan_value(struct scan *s, const struct json_at *at, int depth) {
    skip_space(s);
    if (s->p == s->end) return scan_fail(s, at, "the text ends here; expected a value");
    if (depth > JSON_DEPTH_MAX) return scan_fail(s, at, "more than 64 levels deep; expected fewer");
    switch (*s->p) {
    case '{':
        return scan_members(s, at, depth, true);
    case '[':
        return scan_members(s, at, depth, false);
    case '"':
        return scan_string(s, at);
    case 't':
        return scan_word(s, at, "true");
    case 'f':
        return scan_word(s, at, "false");
    case 'n':
        return scan_word(s, at, "null");
    default:
        break;
    }
    if (*s->p == '-' || is_digit(s)) return scan_number(s, at);
    return scan_fail(s, at,
                     "no JSON value here; expected an object, array, string, number, true, false or null");
}

/* ---- duplicate keys --------------------------------------------------------------------------------------
 */

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static const char *duplicate_in(const cJSON *object) {
    enum { FEW = 12 }; /* below this, comparing all pairs is faster than sorting */
    int n = cJSON_GetArraySize(object);
    if (n <= FEW) {
        for (const cJSON *x = object->child; x; x = x->next)
            for (const cJSON *y = x->next; y; y = y->next)
                if (strcmp(x->string, y->string) == 0) return y->string;
        return NULL;
    }
    const char **keys = oom_calloc((size_t)n, sizeof *keys), *found = NULL;
    int i = 0;
    for (const cJSON *x = object->child; x; x = x->next) keys[i++] = x->string;
    qsort(keys, (size_t)n, sizeof *keys, by_text);
    for (i = 1; i < n && !found; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0) found = keys[i];
    free(keys);
    return found;
}

static int check_duplicates(const struct json_at *at, struct err *e) {
    if (cJSON_IsObject(at->node)) {
        const char *key = duplicate_in(at->node);
        struct json_at here = {.up = at, .key = key};
        if (key) return json_fail(&here, e, "key appears twice; expected it once");
    }
    int i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        if (!x->child) continue;
        struct json_at here = json_element(at, i, x);
        if (check_duplicates(&here, e)) return -1;
    }
    return 0;
}

cJSON *json_parse(const char *file, const char *text, size_t size, struct err *e) {
    struct scan s = {.text = text, .p = text, .end = text + size, .e = e};
    struct json_at root = json_root(file, NULL);
    if (size > JSON_TEXT_MAX) {
        json_fail(&root, e, "%zu bytes; expected at most %d", size, JSON_TEXT_MAX);
        return NULL;
    }
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        scan_fail(&s, &root, "byte order mark; expected plain UTF-8");
        return NULL;
    }
    if (scan_value(&s, &root, 0)) return NULL;
    skip_space(&s);
    if (s.p != s.end) {
        scan_fail(&s, &root, "text after the JSON value; expected the end of the file");
        return NULL;
    }
    cJSON *node = cJSON_ParseWithLengthOpts(text, size + 1, NULL, 1);
    root.node = node;
    if (!node) {
        json_fail(&root, e, "the JSON parser gave up; expected a JSON value");
    } else if (check_duplicates(&root, e)) {
        cJSON_Delete(node);
        node = NULL;
    }
    return node;
}

char *json_compact(const char *text, struct arena *a) {
    char *out = arena_alloc(a, strlen(text) + 1), *w = out;
    bool in_string = false;
    for (const char *r = text; *r; r++) {
        if (in_string && *r == '\\' && r[1])
            *w++ = *r++;
        else if (*r == '"')
            in_string = !in_string;
        else if (!in_string && (*r == ' ' || *r == '\n' || *r == '\t' || *r == '\r'))
            continue;
        *w++ = *r;
    }
    *w = '\0';
    return out;
}

/* ---- getters ---------------------------------------------------------------------------------------------
 */

/* What was found, for "X; expected Y". */
static const char *found_text(const cJSON *node, char buf[80]) {
    char num[32];
    if (!node) return "missing";
    if (cJSON_IsNull(node)) return "null";
    if (cJSON_IsBool(node)) return cJSON_IsTrue(node) ? "true" : "false";
    if (cJSON_IsNumber(node))
        snprintf(buf, 80, "%s", json_number(num, node->valuedouble));
    else if (cJSON_IsString(node))
        snprintf(buf, 80, "\"%.60s\"", node->valuestring);
    else
        return cJSON_IsArray(node) ? "an array" : "an object";
    return buf;
}

static int wrong(const struct json_at *at, struct err *e, const char *expected) {
    char buf[80];
    return json_fail(at, e, "%s; expected %s", found_text(at->node, buf), expected);
}

bool json_key_ignored(const char *key) {
    return strncmp(key, "//", 2) == 0 || strcmp(key, "name") == 0 || strcmp(key, "source") == 0 ||
           strcmp(key, "measured") == 0 || strcmp(key, "expect") == 0;
}

static int count_names(const char *const known[]) {
    int n = 0;
    while (known[n]) n++;
    return n;
}

static void list_names(char *out, size_t size, const char *const *names, int n) {
    size_t k = 0;
    out[0] = '\0';
    for (int i = 0; i < n && k + 1 < size; i++) {
        int w = snprintf(out + k, size - k, "%s%s", i ? ", " : "", names[i]);
        if (w > 0) k += (size_t)w;
    }
}

int json_object(const struct json_at *at, const char *const known[], struct err *e) {
    char list[300];
    if (!cJSON_IsObject(at->node)) return wrong(at, e, "an object");
    int n = count_names(known), i = 0;
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        if (name_index(known, n, x->string) >= 0 || json_key_ignored(x->string)) continue;
        struct json_at here = json_element(at, i, x);
        const char *near = name_nearest(x->string, known, n);
        if (near) return json_fail(&here, e, "unknown key \"%.60s\"; expected \"%s\"?", x->string, near);
        list_names(list, sizeof list, known, n);
        return json_fail(&here, e, "unknown key \"%.60s\"; expected one of %s", x->string, list);
    }
    return 0;
}

int json_array(const struct json_at *at, int min, int max, int *n, struct err *e) {
    char want[64];
    if (cJSON_IsArray(at->node)) {
        *n = cJSON_GetArraySize(at->node);
        if (*n >= min && *n <= max) return 0;
        if (min == max)
            snprintf(want, sizeof want, "%d", min);
        else
            snprintf(want, sizeof want, "%d to %d", min, max);
        return json_fail(at, e, "an array of %d; expected %s elements", *n, want);
    }
    return wrong(at, e, "an array");
}

const double *json_reals(const struct json_at *at, int n, double lo, double hi, struct arena *a,
                         struct err *e) {
    int have, i = 0;
    if (json_array(at, n, n, &have, e)) return NULL;
    double *v = ARENA_ARRAY(a, double, n);
    for (const cJSON *x = at->node->child; x; x = x->next, i++) {
        struct json_at here = json_element(at, i, x);
        if (json_real(&here, lo, hi, &v[i], e)) return NULL;
    }
    return v;
}

int json_int(const struct json_at *at, int lo, int hi, int *out, struct err *e) {
    char want[64];
    double v = cJSON_IsNumber(at->node) ? at->node->valuedouble : NAN;
    if (v >= lo && v <= hi && v == floor(v)) {
        *out = (int)v;
        return 0;
    }
    snprintf(want, sizeof want, "an integer from %d to %d", lo, hi);
    return wrong(at, e, want);
}

int json_real(const struct json_at *at, double lo, double hi, double *out, struct err *e) {
    char want[100], a[32], b[32];
    double v = cJSON_IsNumber(at->node) ? at->node->valuedouble : NAN;
    if (v >= lo && v <= hi) {
        *out = v;
        return 0;
    }
    if (hi > 1e300 && lo < -1e300) return wrong(at, e, "a number");
    if (hi > 1e300)
        snprintf(want, sizeof want, "a number >= %s", json_number(a, lo));
    else
        snprintf(want, sizeof want, "a number from %s to %s", json_number(a, lo), json_number(b, hi));
    return wrong(at, e, want);
}

int json_positive(const struct json_at *at, double *out, struct err *e) {
    if (!cJSON_IsNumber(at->node) || !(at->node->valuedouble > 0)) return wrong(at, e, "a number > 0");
    /* beyond, products and quotients of a few of them would be infinite */
    if (at->node->valuedouble < 1e-30 || at->node->valuedouble > 1e30)
        return wrong(at, e, "a number from 1e-30 to 1e30");
    *out = at->node->valuedouble;
    return 0;
}

int json_bool(const struct json_at *at, bool *out, struct err *e) {
    if (!cJSON_IsBool(at->node)) return wrong(at, e, "true or false");
    *out = cJSON_IsTrue(at->node);
    return 0;
}

int json_string(const struct json_at *at, const char **out, struct arena *a, struct err *e) {
    if (!cJSON_IsString(at->node) || !at->node->valuestring[0])
        return wrong(at, e, "a string that is not empty");
    *out = arena_strdup(a, at->node->valuestring);
    return 0;
}

int json_name(const struct json_at *at, const char *const *names, int n, const char *what, int *out,
              struct err *e) {
    char list[260], want[400];
    if (cJSON_IsString(at->node) && (*out = name_index(names, n, at->node->valuestring)) >= 0) return 0;
    list_names(list, sizeof list, names, n);
    snprintf(want, sizeof want, "%s (%s)", what, list);
    return wrong(at, e, want);
}

int json_format(const struct json_at *object, const char *format, struct err *e) {
    struct json_at at = json_member(object, "format");
    char want[64];
    if (cJSON_IsString(at.node) && strcmp(at.node->valuestring, format) == 0) return 0;
    snprintf(want, sizeof want, "\"%s\"", format);
    return wrong(&at, e, want);
}

/* A file of another kind, of which the first unknown key would say too little. */
static bool mostly_unknown(const struct json_at *at, const char *const known[]) {
    int n = count_names(known), unknown = 0, ours = 0;
    if (!cJSON_IsObject(at->node)) return false;
    for (const cJSON *x = at->node->child; x; x = x->next) {
        if (json_key_ignored(x->string)) continue;
        bool is_ours = name_index(known, n, x->string) >= 0;
        ours += is_ours;
        unknown += !is_ours;
    }
    return unknown > ours;
}

int json_document(const struct json_at *at, const char *const known[], const char *format, struct err *e) {
    const char *other = cJSON_GetStringValue(json_member(at, "format").node);
    bool another = other ? !strncmp(other, "sailor-", 7) : mostly_unknown(at, known);
    if (another && json_format(at, format, e)) return -1;
    return json_object(at, known, e) || json_format(at, format, e) ? -1 : 0;
}

bool json_null(const struct json_at *at) { return cJSON_IsNull(at->node); }

/* ---- writing ---------------------------------------------------------------------------------------------
 */

char *json_number(char buf[32], double v) {
    if (!isfinite(v)) return memcpy(buf, "null", 5);
    /* any 15 digits survive conversion to double and back, so the first precision that reads back is the
     * shortest */
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, v);
        if (strtod(buf, NULL) == v) break;
    }
    return buf;
}

cJSON *json_double(double v) {
    char buf[32];
    if (!isfinite(v)) return cJSON_CreateNull();
    cJSON *node = cJSON_CreateRaw(json_number(buf, v));
    if (node) node->valuedouble = v;
    return node;
}

void json_add_number(cJSON *object, const char *key, double v) {
    cJSON_AddItemToObject(object, key, json_double(v));
}

static void text_room(struct text *t, size_t more) {
    if (t->n + more < t->size) return;
    size_t size = t->size ? t->size : 4096;
    while (size <= t->n + more) size *= 2;
    t->s = oom_realloc(t->s, size, 1);
    t->size = size;
}

void text_add(struct text *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    text_room(t, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(t->s + t->n, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->n += (size_t)n;
}

void text_string(struct text *t, const char *s) {
    text_add(t, "\"");
    while (*s) {
        unsigned code;
        size_t n = text_control(s, &code);
        if (*s == '"' || *s == '\\')
            text_add(t, "\\%c", *s);
        else if (*s == '\n')
            text_add(t, "\\n");
        else if (*s == '\t')
            text_add(t, "\\t");
        else if (n)
            text_add(t, "\\u%04x", code);
        else
            text_add(t, "%.*s", (int)text_next(s), s);
        s += n ? n : text_next(s);
    }
    text_add(t, "\"");
}

void text_free(struct text *t) {
    free(t->s);
    *t = (struct text){0};
}

void text_json(struct text *t, const char *printed) {
    const char *plain = printed;
    for (size_t n; *printed; printed += n ? n : text_next(printed)) {
        unsigned code;
        n = text_control(printed, &code);
        if (!n || code < ' ') continue; /* white space between values */
        text_add(t, "%.*s\\u%04x", (int)(printed - plain), plain, code);
        plain = printed + n;
    }
    text_add(t, "%s", plain);
}

/* Numbers become their own texts. */
static void fix_numbers(cJSON *node) {
    char buf[32];
    if (cJSON_IsNumber(node)) {
        size_t n = strlen(json_number(buf, node->valuedouble)) + 1;
        if (!(node->valuestring = cJSON_malloc(n))) oom(n);
        memcpy(node->valuestring, buf, n);
        node->type = (node->type & ~0xff) | cJSON_Raw;
    }
    for (cJSON *x = node->child; x; x = x->next) fix_numbers(x);
}

const char *json_text(const cJSON *value, struct arena *a) {
    cJSON *copy = cJSON_Duplicate(value, 1);
    fix_numbers(copy);
    char *text = cJSON_PrintUnformatted(copy);
    const char *kept = arena_strdup(a, text);
    cJSON_free(text);
    cJSON_Delete(copy);
    return kept;
}

void json_line(cJSON *value, FILE *out) {
    struct text t = {0};
    char *text = cJSON_PrintUnformatted(value);
    text_json(&t, text ? text : "null");
    fprintf(out, "%s\n", t.s);
    fflush(out);
    text_free(&t);
    cJSON_free(text);
    cJSON_Delete(value);
}

void text_number(struct text *t, double v) {
    char num[32];
    text_add(t, "%s", json_number(num, v));
}
