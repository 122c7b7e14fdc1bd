#include "texts.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/inputs.h"

struct arena texts;
char tmp[] = "/tmp/sailor-texts-XXXXXX";

int texts_begin(void **state) {
    (void)state;
    setenv("SAILOR_INPUTS", "inputs", 1);
    return mkdtemp(tmp) ? 0 : -1;
}

int texts_end(void **state) {
    char command[100];
    (void)state;
    arena_free(&texts);
    snprintf(command, sizeof command, "rm -rf '%s'", tmp);
    return system(command);
}

char *in_tmp(const char *name) { return arena_printf(&texts, "%s/%s", tmp, name); }

void write_text(const char *path, const char *text, size_t n) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

char *slurp(const char *path) {
    struct err e;
    size_t n;
    char *s = file_read_text(path, &n, &texts, &e);
    if (!s) fail_msg("%s", e.text);
    return s;
}

void check_error(const struct err *e, const char *file, const char *word) {
    assert_int_equal(e->code, EXIT_INPUT);
    assert_null(strchr(e->text, '\n'));
    if (strncmp(e->text, file, strlen(file)) != 0) fail_msg("does not start with %s: %s", file, e->text);
    if (!strstr(e->text, word)) fail_msg("'%s' is not in: %s", word, e->text);
}

char *with(const char *text, const char *from, const char *to) {
    const char *p = strstr(text, from);
    if (!p) fail_msg("'%s' is not in the text", from);
    return arena_printf(&texts, "%.*s%s%s", (int)(p - text), text, to, p + strlen(from));
}
