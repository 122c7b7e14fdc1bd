#include "formats/measured.h"
#include "io/h5read.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char measured_schema[] = "sailor-measurement/1";

bool measured_is_hdf5(const char *path) {
    char magic[8] = "";
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return false; /* reading from a pipe would consume it */
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(magic, 1, sizeof magic, f) : 0;
    if (f) fclose(f);
    return n == sizeof magic && !memcmp(magic, "\211HDF\r\n\032\n", sizeof magic);
}

/* As in files of JSON; NaN: nothing was measured. */
static bool is_measured(double x) { return isnan(x) || (x >= 1e-30 && x <= 1e30); }

static int not_measured(const struct h5_reader *f, const char *name, struct err *e) {
    return h5_damaged(f, name, "not a number from 1e-30 to 1e30", e);
}

/* On a CPU, count the memory of the whole process: libraries share it with the model. */
static int read_process_peak(const struct h5_reader *f, double *bytes, struct arena *a, struct err *e) {
    int ranks;
    const char *backend = h5_read_text(f, "backend", a, e);
    if (!backend) return -1;
    if (strcmp(backend, "cpu") != 0) return 0;
    if (h5_read_int(f, "ranks", 1, 1 << 24, &ranks, e)) return -1;
    if ((size_t)ranks * sizeof(double) > f->bytes)
        return h5_damaged(f, "ranks", "more than the file has room for", e);
    double *peak = ARENA_ARRAY(a, double, ranks);
    if (h5_read_rows(f, "rank/process_peak_bytes", (hsize_t)ranks, 0, (hsize_t)ranks, H5T_NATIVE_DOUBLE, peak,
                     e))
        return -1;
    *bytes = NAN;
    for (int r = 0; r < ranks; r++) {
        if (!is_measured(peak[r])) return not_measured(f, "rank/process_peak_bytes", e);
        *bytes = fmax(*bytes, peak[r]);
    }
    return 0;
}

int measured_read(const char *path, struct measured *m, struct arena *a, struct err *e) {
    struct h5_reader f;
    if (h5_check(path, e) || h5_open(&f, path, measured_schema, e)) return -1;
    const double *of[] = {&m->iteration_time_s, &m->peak_memory_bytes};
    static const char *const name[] = {"iteration_time_s", "peak_memory_bytes"};
    int rc = 0;
    if (!(m->inputs_json = h5_read_text(&f, "inputs_json", a, e)) ||
        h5_read_number(&f, name[0], &m->iteration_time_s, e) ||
        h5_read_number(&f, name[1], &m->peak_memory_bytes, e))
        rc = -1;
    for (int i = 0; i < 2 && !rc; i++)
        if (!is_measured(*of[i])) rc = not_measured(&f, name[i], e);
    if (!rc) rc = read_process_peak(&f, &m->peak_memory_bytes, a, e);
    h5_close(&f);
    return rc;
}
