#include "io/h5read.h"
#include "base/oom.h"
#include "io/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char signature[8] = "\211HDF\r\n\032\n";

static int out_of_memory(const char *path, struct err *e) {
    return err_set(e, EXIT_INTERNAL, "%s: out of memory while it was read", path);
}

int h5_damaged(const struct h5_reader *r, const char *where, const char *what, struct err *e) {
    if (hdf5_no_memory()) return out_of_memory(r->path, e);
    return err_set(e, EXIT_INPUT, "%s: /%s: %s; damaged, or not written by this version of %s", r->path,
                   where, what, r->made_by);
}

/* ---- opening ---- */

/* All that a file holds lies in it: data elsewhere has no checksum, and may be a pipe, where HDF5 would wait
 * for ever. */
static void leave_links(void) { H5Lunregister(H5L_TYPE_EXTERNAL); }

static hid_t open_dataset(hid_t at, const char *name) {
    hid_t id = H5Dopen2(at, name, H5P_DEFAULT), made = id < 0 ? -1 : H5Dget_create_plist(id);
    bool inside = made >= 0 && H5Pget_layout(made) != H5D_VIRTUAL && H5Pget_external_count(made) == 0;
    if (made >= 0) H5Pclose(made);
    if (inside || id < 0) return id;
    H5Dclose(id);
    return -1;
}

int h5_check(const char *path, struct err *e) {
    int fd = file_open_regular(path, e);
    if (fd < 0) return -1;
    int rc = seal_check_file(fd, path, e);
    close(fd);
    return rc;
}

int h5_open(struct h5_reader *r, const char *path, const char *schema, struct err *e) {
    char start[sizeof signature];
    struct stat st;
    *r = (struct h5_reader){.id = -1, .path = path, .made_by = "sailor-train"};
    int fd = file_open_regular(path, e), rc = 0;
    if (fd < 0) return -1;
    if (pread(fd, start, sizeof start, 0) != sizeof start || memcmp(start, signature, sizeof start))
        rc = err_set(e, EXIT_INPUT, "%s: not an HDF5 file; expected %s", path, schema);
    if (!fstat(fd, &st)) r->bytes = (size_t)st.st_size;
    close(fd);
    if (rc) return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    leave_links();
    hid_t access = h5_access();
    r->id = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (r->id < 0 && hdf5_no_memory()) return out_of_memory(path, e);
    if (r->id < 0)
        return err_set(e, EXIT_INPUT, "%s: not an HDF5 file, or cut short; expected %s", path, schema);
    struct arena a = {0};
    struct err none;
    const char *is = h5_read_text(r, "schema", &a, &none);
    if (!is || strcmp(is, schema))
        rc = err_set(e, EXIT_INPUT, "%s: schema %.40s; expected %s", path, is ? is : "missing", schema);
    arena_free(&a);
    if (rc) h5_close(r);
    return rc;
}

int h5_open_bytes(struct h5_reader *r, const char *path, const char *bytes, size_t size, struct err *e) {
    char why[200];
    *r = (struct h5_reader){.id = -1, .path = path, .made_by = "sailor plan", .bytes = size};
    if (size < sizeof signature || memcmp(bytes, signature, sizeof signature))
        return err_set(e, EXIT_INPUT, "%s: not an HDF5 file; expected one written by %s", path, r->made_by);
    if (!seal_holds(bytes, size))
        return err_set(e, EXIT_INPUT, "%s: damaged: its checksum does not match its content", path);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    leave_links();
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 18, 0);
    H5Pset_file_image(access, (void *)(uintptr_t)bytes, size); /* copied, not changed */
    r->id = H5Fopen("sailor", H5F_ACC_RDONLY, access);
    int rc = r->id >= 0         ? 0
             : hdf5_no_memory() ? out_of_memory(path, e)
                                : err_set(e, EXIT_INPUT, "%s: cut or damaged: HDF5: %s", path, hdf5_why(why));
    H5Pclose(access); /* only now: it clears the error */
    return rc;
}

void h5_close(struct h5_reader *r) {
    if (r->id >= 0) H5Fclose(r->id);
    r->id = -1;
    H5Eclear2(H5E_DEFAULT);
}

/* ---- attributes ---- */

/* An attribute of one element, and its type; end() closes both. */
struct attribute {
    hid_t id, type;
    bool one;
};

static struct attribute begin(const struct h5_reader *r, const char *name) {
    struct attribute at = {-1, -1, false};
    if (H5Aexists(r->id, name) <= 0) return at;
    at.id = H5Aopen(r->id, name, H5P_DEFAULT);
    if (at.id < 0) return at;
    at.type = H5Aget_type(at.id);
    hid_t space = H5Aget_space(at.id);
    at.one = at.type >= 0 && space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    if (space >= 0) H5Sclose(space);
    return at;
}

static void end(struct attribute at) {
    if (at.type >= 0) H5Tclose(at.type);
    if (at.id >= 0) H5Aclose(at.id);
}

const char *h5_read_text(const struct h5_reader *r, const char *name, struct arena *a, struct err *e) {
    struct attribute at = begin(r, name);
    const char *text = NULL;
    if (at.one && H5Tis_variable_str(at.type) > 0) {
        char *value = NULL;
        hid_t memory = H5Tcopy(H5T_C_S1);
        H5Tset_size(memory, H5T_VARIABLE);
        H5Tset_cset(memory, H5Tget_cset(at.type));
        if (H5Aread(at.id, memory, &value) >= 0 && value) text = arena_strdup(a, value);
        H5free_memory(value);
        H5Tclose(memory);
    }
    end(at);
    if (!text) h5_damaged(r, name, "attribute missing or not a text", e);
    return text;
}

static int read_number(const struct h5_reader *r, const char *name, hid_t memory, void *value,
                       struct err *e) {
    struct attribute at = begin(r, name);
    H5T_class_t kind = at.one ? H5Tget_class(at.type) : H5T_NO_CLASS;
    bool good = (kind == H5T_INTEGER || kind == H5T_FLOAT) && H5Aread(at.id, memory, value) >= 0;
    end(at);
    return good ? 0 : h5_damaged(r, name, "attribute missing or not a number", e);
}

int h5_read_number(const struct h5_reader *r, const char *name, double *value, struct err *e) {
    return read_number(r, name, H5T_NATIVE_DOUBLE, value, e);
}

int h5_read_int(const struct h5_reader *r, const char *name, int lo, int hi, int *value, struct err *e) {
    if (read_number(r, name, H5T_NATIVE_INT, value, e)) return -1;
    return *value < lo || *value > hi ? h5_damaged(r, name, "attribute out of range", e) : 0;
}

/* ---- datasets ---- */

const char *h5_read_long_text(const struct h5_reader *r, const char *name, struct arena *a, struct err *e) {
    hid_t id = open_dataset(r->id, name), type = id < 0 ? -1 : H5Dget_type(id),
          space = id < 0 ? -1 : H5Dget_space(id);
    char *s = NULL;
    if (type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING && !H5Tis_variable_str(type) &&
        H5Sget_simple_extent_npoints(space) == 1 && H5Tget_size(type) <= r->bytes) {
        hid_t memory = text_type(H5Tget_size(type));
        s = arena_alloc(a, H5Tget_size(type) + 1);
        if (H5Dread(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, s) < 0) s = NULL;
        H5Tclose(memory);
    }
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (id >= 0) H5Dclose(id);
    if (!s) h5_damaged(r, name, "missing or not a text", e);
    return s;
}

int h5_read_rows(const struct h5_reader *r, const char *name, hsize_t size, hsize_t first, hsize_t n,
                 hid_t memory, void *data, struct err *e) {
    hid_t id = open_dataset(r->id, name), space = id >= 0 ? H5Dget_space(id) : -1;
    hsize_t have = 0;
    bool line = space >= 0 && H5Sget_simple_extent_ndims(space) == 1 &&
                H5Sget_simple_extent_dims(space, &have, NULL) == 1;
    bool ok = line && have == size;
    if (ok && n) {
        hid_t lines = H5Screate_simple(1, &n, NULL);
        ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, &first, NULL, &n, NULL) >= 0 &&
             H5Dread(id, memory, lines, space, H5P_DEFAULT, data) >= 0;
        H5Sclose(lines);
    }
    if (space >= 0) H5Sclose(space);
    if (id >= 0) H5Dclose(id);
    if (ok) return 0;
    if (line && have != size)
        return err_set(e, EXIT_INPUT, "%s: %s has %llu elements; expected %llu", r->path, name,
                       (unsigned long long)have, (unsigned long long)size);
    return err_set(e, EXIT_INPUT, "%s: %s: missing or damaged; expected %llu numbers", r->path, name,
                   (unsigned long long)size);
}

/* ---- tables ---- */

/* A column as stored in the file. */
struct stored_column {
    hid_t id, space, type;
    hsize_t n;
    size_t width; /* bytes of an element, in memory */
};

/* What is wrong with it, or NULL. */
static const char *look_at(struct stored_column *s, const struct h5_reader *r, const struct column *c) {
    H5T_class_t want = c->type == COLUMN_TEXT ? H5T_STRING : c->type == COLUMN_F64 ? H5T_FLOAT : H5T_INTEGER;
    if (s->id < 0) return "column missing";
    if (s->space < 0 || s->type < 0 || H5Sget_simple_extent_ndims(s->space) != 1 ||
        H5Tget_class(s->type) != want || (want == H5T_STRING && H5Tis_variable_str(s->type) != 0))
        return "column of another type";
    H5Sget_simple_extent_dims(s->space, &s->n, NULL);
    size_t width = H5Tget_size(s->type);
    s->width = want == H5T_STRING ? width : column_size(c->type);
    return width == 0 || s->n > r->bytes / width || s->n > INT32_MAX / 2 ? "column longer than the file"
                                                                         : NULL;
}

/* All elements, to be freed by the caller; NULL if HDF5 fails. */
static char *read_elements(const struct stored_column *s, const struct column *c) {
    char *buf = oom_calloc((size_t)s->n + 1, s->width);
    hid_t text = c->type == COLUMN_TEXT ? text_type(s->width) : -1;
    if (text >= 0) H5Tset_cset(text, H5Tget_cset(s->type));
    bool ok = !s->n || H5Dread(s->id, text >= 0 ? text : column_native(c->type), H5S_ALL, H5S_ALL,
                               H5P_DEFAULT, buf) >= 0;
    if (text >= 0) H5Tclose(text);
    if (ok) return buf;
    free(buf);
    return NULL;
}

static void put_elements(const char *buf, size_t width, const struct table_def *d, const struct column *c,
                         struct rows *t, struct arena *a) {
    for (int i = 0; i < t->n; i++) {
        char *to = t->rec + d->record * (size_t)i + c->at;
        const char *from = buf + width * (size_t)i;
        if (c->type != COLUMN_TEXT) {
            memcpy(to, from, width);
            continue;
        }
        char *s = arena_alloc(a, width + 1);
        memcpy(s, from, width);
        *(const char **)to = s;
    }
}

static int read_column(const struct h5_reader *r, hid_t group, const struct table_def *d,
                       const struct column *c, struct rows *t, bool first, struct arena *a, struct err *e) {
    if (c->later && H5Lexists(group, c->name, H5P_DEFAULT) <= 0) return 0;
    struct stored_column s = {.id = open_dataset(group, c->name), .space = -1, .type = -1};
    if (s.id >= 0) s.space = H5Dget_space(s.id);
    if (s.id >= 0) s.type = H5Dget_type(s.id);
    const char *wrong = look_at(&s, r, c);
    if (!wrong && !first && s.n != (hsize_t)t->n) wrong = "columns of different lengths";
    if (!wrong && first) {
        t->n = t->room = (int)s.n;
        t->rec = arena_alloc(a, d->record * (size_t)s.n + 1);
    }
    char *buf = wrong ? NULL : read_elements(&s, c);
    if (!wrong && !buf) wrong = "unreadable column";
    if (!wrong) put_elements(buf, s.width, d, c, t, a);
    free(buf);
    if (s.type >= 0) H5Tclose(s.type);
    if (s.space >= 0) H5Sclose(s.space);
    if (s.id >= 0) H5Dclose(s.id);
    if (!wrong) return 0;
    char where[100];
    snprintf(where, sizeof where, "%s/%s", d->name, c->name);
    return h5_damaged(r, where, wrong, e);
}

int h5_read_table(const struct h5_reader *r, const struct table_def *d, struct rows *t, struct arena *a,
                  struct err *e) {
    if (d->column[0].later && H5Lexists(r->id, d->name, H5P_DEFAULT) <= 0) return 0;
    hid_t group = H5Gopen2(r->id, d->name, H5P_DEFAULT);
    if (group < 0) return h5_damaged(r, d->name, "table missing", e);
    int rc = 0;
    for (int i = 0; !rc && i < d->n_column; i++)
        rc = read_column(r, group, d, &d->column[i], t, i == 0, a, e);
    H5Gclose(group);
    for (int i = 0; !rc && i < t->n; i++)
        if (*(int *)(void *)(t->rec + d->record * (size_t)i) != i)
            rc = h5_damaged(r, d->name, "not numbered 0, 1, 2, ...", e);
    return rc;
}
