#include "base/err.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, enum exit_code code, const char *fmt, ...) {
    char plain[sizeof e->text];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(plain, sizeof plain, fmt, ap);
    va_end(ap);
    for (char *p = plain; *p; p++) /* keep it one line, whatever a file name or key contains */
        if (*p == '\n' || *p == '\r') *p = ' ';
    bool cut = n >= (int)sizeof plain || text_escape(plain, e->text, sizeof e->text) >= sizeof e->text;
    if (cut) {
        text_escape(plain, e->text, sizeof e->text - 3);
        strcat(e->text, "...");
    }
    e->code = code;
    return -1;
}
