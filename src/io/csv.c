#include "io/csv.h"

#include <string.h>

char *csv_line(char **at) {
    char *line = *at;
    if (!*line) return NULL;
    char *end = strchr(line, '\n');
    *at = end ? end + 1 : line + strlen(line);
    if (end) *end = '\0';
    size_t n = strlen(line);
    if (n && line[n - 1] == '\r') line[n - 1] = '\0';
    return line;
}

int csv_split(char *line, char **cell, int max) {
    int n = 0;
    for (char *in = line;; in++) {
        if (n == max) return -1;
        char *out = cell[n++] = in;
        if (*in == '"') {
            for (in++; *in && !(*in == '"' && in[1] != '"'); in++) {
                if (*in == '"') in++;
                *out++ = *in;
            }
            if (*in++ != '"') return -1;
        } else {
            while (*in && *in != ',') in++;
            out = in;
        }
        char end = *in;
        *out = '\0';
        if (end == '\0') return n;
        if (end != ',') return -1;
    }
}
