#ifndef SAILOR_IO_JSON_H
#define SAILOR_IO_JSON_H
#include "base/arena.h"
#include "base/err.h"
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
/* Strict JSON on top of cJSON. cJSON alone accepts what a planner must not (duplicate keys, text after the
 * value, 01, 1e999, NUL bytes); json_parse() refuses all of it, and the getters below turn a wrong
 * type, a missing key, a fraction or a number out of range into one line "FILE: /json/path: what is wrong;
 * expected ...". Every function here is thread-safe on distinct arguments; none is collective. Codes are
 * EXIT_INPUT. */

enum { JSON_TEXT_MAX = 64 << 20, JSON_DEPTH_MAX = 64 };

/** Parse text into a tree (free it with cJSON_Delete). `file` only names the source in messages. `size` does
 * not count the terminating NUL, which must be at text[size]. NULL with *e set. */
cJSON *json_parse(const char *file, const char *text, size_t size, struct err *e);

/** The same value without white space outside strings, numbers untouched (they keep every digit). The text
 * must have passed json_parse(). */
char *json_compact(const char *text, struct arena *a);

/** The location of a value: a chain of steps from the root, so that the path is only written out if there is
 * an error. Lives on the stack of the function that walks the tree. */
struct json_at {
    const char *file;         /* name of the file, or NULL: look further up */
    const struct json_at *up; /* NULL at the root */
    const char *key;          /* name of this step, or NULL: an array index; of a part, its path */
    int index;
    const cJSON *node; /* NULL if the key is missing */
};

struct json_at json_root(const char *file, const cJSON *node);
/** A root that was cut out of its file, where it stood at this path. */
struct json_at json_part(const char *file, const char *path, const cJSON *node);
/** A member (node is NULL if it is absent or if `up` is not an object). Linear in the number of members. */
struct json_at json_member(const struct json_at *up, const char *key);
/** An element or member that the caller is iterating over (i: its position). */
struct json_at json_element(const struct json_at *up, int i, const cJSON *node);

/** The file and the path apart, for json_part(); the path is "" at the root. */
char *json_path(const struct json_at *at, const char **file, struct arena *a);
/** "FILE: /path" */
char *json_where(const struct json_at *at, struct arena *a);
/** "FILE: /path: text". Returns -1. */
int json_fail(const struct json_at *at, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Keys that every file may carry: name, source, measured, expect, and those that start with "//". */
bool json_key_ignored(const char *key);
/** Check that this is an object without keys other than these (NULL-terminated list) and the ignored ones.
 * The message names the closest known key. */
int json_object(const struct json_at *at, const char *const known[], struct err *e);
/** An array of min to max elements; their number into *n. */
int json_array(const struct json_at *at, int min, int max, int *n, struct err *e);

/** Integers are checked to be integral and within [lo, hi]; doubles to be within [lo, hi]. */
int json_int(const struct json_at *at, int lo, int hi, int *out, struct err *e);
int json_real(const struct json_at *at, double lo, double hi, double *out, struct err *e);
/** An array of n numbers within [lo, hi], in `a`; NULL with *e set. */
const double *json_reals(const struct json_at *at, int n, double lo, double hi, struct arena *a,
                         struct err *e);
/** A number > 0, from 1e-30 to 1e30. */
int json_positive(const struct json_at *at, double *out, struct err *e);
int json_bool(const struct json_at *at, bool *out, struct err *e);
/** A non-empty string, copied into the arena. */
int json_string(const struct json_at *at, const char **out, struct arena *a, struct err *e);
/** One of names[n]; its index into *out. `what` says what kind of name it is ("a GPU type of site gcp"). */
int json_name(const struct json_at *at, const char *const *names, int n, const char *what, int *out,
              struct err *e);
/** Refuse a format other than this one. */
int json_format(const struct json_at *object, const char *format, struct err *e);
/** An object with these keys and this format. One of another format, or of none and with mostly unknown keys,
 * is refused as such, not for its keys. */
int json_document(const struct json_at *at, const char *const known[], const char *format, struct err *e);
/** Is this JSON null? (A missing key is not.) */
bool json_null(const struct json_at *at);

/** Shortest text that reads back as the same double; "null" for NAN and infinities. Returns buf. */
char *json_number(char buf[32], double v);
/** A number node that prints by json_number() (cJSON's own printing loses digits in some versions). */
cJSON *json_double(double v);
void json_add_number(cJSON *object, const char *key, double v);
/** The text of a value, without white space, its numbers by json_number(): they read back as they are. */
const char *json_text(const cJSON *value, struct arena *a);
/** Print a value on one line, flush (so that a pipe, too, gets each line at once), and delete the value. */
void json_line(cJSON *value, FILE *out);

/** A growing text in memory, for writing files. Zero-initialise; free with text_free(). */
struct text {
    char *s;
    size_t n, size;
};
void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** JSON as cJSON printed it, with what could steer a terminal (text_control()) as \uXXXX. */
void text_json(struct text *t, const char *printed);
/** A JSON string, quoted and escaped. */
void text_string(struct text *t, const char *s);
/** Shortest number that reads back as the same double; null for NAN and infinities. */
void text_number(struct text *t, double v);
void text_free(struct text *t);

#endif
