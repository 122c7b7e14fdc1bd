#include "formats/measured.h"
#include "io/h5read.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char measured_schema[] = "sailor-measurement/1";

bool measured_is_hdf5(const char *path) {
    char magic[8] = "";
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return false; /* what is read from a pipe is gone */
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(magic, 1, sizeof magic, f) : 0;
    if (f) fclose(f);
    return n == sizeof magic && !memcmp(magic, "\211HDF\r\n\032\n", sizeof magic);
}

int measured_read(const char *path, struct measured *m, struct arena *a, struct err *e) {
    struct h5_reader f;
    if (h5_check(path, e) || h5_open(&f, path, measured_schema, e)) return -1;
    int rc = 0;
    if (!(m->inputs_json = h5_read_text(&f, "inputs_json", a, e)) ||
        h5_read_number(&f, "iteration_time_s", &m->iteration_time_s, e) ||
        h5_read_number(&f, "peak_memory_bytes", &m->peak_memory_bytes, e))
        rc = -1;
    h5_close(&f);
    return rc;
}
