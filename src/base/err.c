#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, enum exit_code code, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof e->text) memcpy(e->text + sizeof e->text - 4, "...", 4);
    for (char *p = e->text; *p; p++) /* one line, whatever a file name or a key contained */
        if (*p == '\n' || *p == '\r') *p = ' ';
    e->code = code;
    return -1;
}
