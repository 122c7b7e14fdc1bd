#include "io/h5tables.h"
#include "base/oom.h"
#include "io/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Writing. The file is made in memory (HDF5's core driver) and written with write(2): HDF5 1.10 cannot be
 * closed cleanly once a disk is full, and bytes in memory can be renamed into place, read by one rank and
 * broadcast. */

size_t column_size(enum column_type t) { return t == COLUMN_U8 ? 1 : t == COLUMN_I32 ? 4 : 8; }

hid_t column_native(enum column_type t) {
    return t == COLUMN_U8    ? H5T_NATIVE_UCHAR
           : t == COLUMN_I32 ? H5T_NATIVE_INT
           : t == COLUMN_U64 ? H5T_NATIVE_UINT64
                             : H5T_NATIVE_DOUBLE;
}

/* The type of a column in the file. */
static hid_t column_on_disk(enum column_type t) {
    return t == COLUMN_U8    ? H5T_STD_U8LE
           : t == COLUMN_I32 ? H5T_STD_I32LE
           : t == COLUMN_U64 ? H5T_STD_U64LE
                             : H5T_IEEE_F64LE;
}

hid_t text_type(size_t width) {
    hid_t t = H5Tcopy(H5T_C_S1);
    H5Tset_size(t, width);
    H5Tset_cset(t, H5T_CSET_UTF8);
    H5Tset_strpad(t, H5T_STR_NULLPAD);
    return t;
}

static herr_t deepest(unsigned n, const H5E_error2_t *err, void *text) {
    (void)n; /* walked upwards: the first entry is where the error happened */
    char *out = text;
    if (*out || !err->desc) return 0;
    const char *code = strstr(err->desc, "errno = "); /* among times, names and addresses */
    if (code)
        snprintf(out, 200, "%s", strerror(atoi(code + strlen("errno = "))));
    else
        snprintf(out, 200, "%s", err->desc);
    return 0;
}

const char *hdf5_why(char text[200]) {
    *text = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, deepest, text);
    H5Eclear2(H5E_DEFAULT);
    return *text ? text : "unknown reason";
}

static herr_t is_no_memory(unsigned n, const H5E_error2_t *err, void *found) {
    (void)n;
    *(bool *)found |= err->min_num == H5E_NOSPACE || err->min_num == H5E_CANTALLOC;
    return 0;
}

bool hdf5_no_memory(void) {
    bool found = false;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, is_no_memory, &found);
    return found;
}

hid_t h5_access(void) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7) && (!H5_VERSION_GE(1, 12, 0) || H5_VERSION_GE(1, 12, 1))
    H5Pset_file_locking(access, 0, 1);
#else
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
#endif
    return access;
}

void *rows_add(struct rows *t, const struct table_def *d, struct arena *a) {
    size_t size = d->record;
    if (t->n == t->room) {
        int room = t->room ? 2 * t->room : 64;
        char *more = arena_alloc(a, size * (size_t)room);
        if (t->n) memcpy(more, t->rec, size * (size_t)t->n);
        t->rec = more;
        t->room = room;
    }
    return t->rec + size * (size_t)t->n++;
}

/* ---- HDF5, writing ---- */

/* Writing to memory fails only if memory runs out: one flag is enough. */
struct writer {
    hid_t file, vl_text, space;
    bool failed;
    const char *objective_units;
};

static hid_t ok(struct writer *w, hid_t id) {
    if (id < 0) w->failed = true;
    return id;
}

static void attr(struct writer *w, hid_t at, const char *name, hid_t file_type, hid_t memory_type,
                 const void *value) {
    hid_t id = ok(w, H5Acreate2(at, name, file_type, w->space, H5P_DEFAULT, H5P_DEFAULT));
    if (id < 0) return;
    if (H5Awrite(id, memory_type, value) < 0) w->failed = true;
    H5Aclose(id);
}

static void attr_text(struct writer *w, hid_t at, const char *name, const char *value) {
    if (!value) value = "";
    attr(w, at, name, w->vl_text, w->vl_text, &value);
}

static void write_attribute(struct writer *w, const struct h5_attr *a) {
    if (a->type == COLUMN_TEXT) {
        attr_text(w, w->file, a->name, a->text);
    } else if (a->type == COLUMN_F64) {
        attr(w, w->file, a->name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &a->number);
    } else {
        int64_t v = (int64_t)a->number;
        attr(w, w->file, a->name, column_on_disk(a->type), H5T_NATIVE_INT64, &v);
    }
}

static hid_t write_column(struct writer *w, hid_t group, const struct column *c, const struct rows *t,
                          size_t record) {
    size_t width = column_size(c->type);
    hid_t file_type = column_on_disk(c->type), memory_type = column_native(c->type);
    if (c->type == COLUMN_TEXT) {
        width = 1;
        for (int i = 0; i < t->n; i++) {
            size_t n = strlen(*(const char **)(t->rec + record * (size_t)i + c->at));
            if (n > width) width = n;
        }
        file_type = memory_type = text_type(width);
    }
    char *buf = oom_calloc((size_t)t->n + 1, width);
    for (int i = 0; i < t->n; i++) {
        const char *from = t->rec + record * (size_t)i + c->at;
        if (c->type == COLUMN_TEXT)
            memcpy(buf + width * (size_t)i, *(const char *const *)from, strlen(*(const char *const *)from));
        else
            memcpy(buf + width * (size_t)i, from, width);
    }
    hsize_t n = (hsize_t)t->n;
    hid_t space = H5Screate_simple(1, &n, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    hid_t id = ok(w, H5Dcreate2(group, c->name, file_type, space, H5P_DEFAULT, create, H5P_DEFAULT));
    if (id >= 0) {
        if (n && H5Dwrite(id, memory_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buf) < 0) w->failed = true;
        attr_text(w, id, "units", c->units ? c->units : w->objective_units);
        attr_text(w, id, "description", c->about);
        if (c->flags) { /* CF conventions for enumerations */
            unsigned char value[16];
            hsize_t k = 1;
            for (const char *p = c->flags; *p; p++) k += *p == ' ';
            for (unsigned i = 0; i < k; i++) value[i] = (unsigned char)i;
            hid_t s = H5Screate_simple(1, &k, NULL);
            hid_t at = ok(w, H5Acreate2(id, "flag_values", H5T_STD_U8LE, s, H5P_DEFAULT, H5P_DEFAULT));
            if (at >= 0) {
                H5Awrite(at, H5T_NATIVE_UCHAR, value);
                H5Aclose(at);
            }
            H5Sclose(s);
            attr_text(w, id, "flag_meanings", c->flags);
        }
    }
    free(buf);
    H5Pclose(create);
    H5Sclose(space);
    if (c->type == COLUMN_TEXT) H5Tclose(file_type);
    return id;
}

/* The first column is the dimension scale of the others (netCDF, xarray). Written by hand: H5DSattach_scale()
 * rewrites the scale's list for every column, and nothing else needs libhdf5_hl. */
static void attach_scale(struct writer *w, const hid_t *column, const struct table_def *d) {
    struct back {
        hobj_ref_t dataset;
        unsigned dimension;
    } back[32];
    hobj_ref_t scale;
    hid_t name = H5Tcopy(H5T_C_S1), vl = H5Tvlen_create(H5T_STD_REF_OBJ);
    hsize_t one = 1, others = (hsize_t)d->n_column - 1;
    hid_t line = H5Screate_simple(1, &one, NULL), list = H5Screate_simple(1, &others, NULL);
    H5Tset_size(name, sizeof "DIMENSION_SCALE");
    attr(w, column[0], "CLASS", name, name, "DIMENSION_SCALE");
    H5Tset_size(name, strlen(d->name) + 1);
    attr(w, column[0], "NAME", name, name, d->name);
    if (H5Rcreate(&scale, column[0], ".", H5R_OBJECT, -1) < 0) w->failed = true;
    for (int i = 1; i < d->n_column; i++) {
        hvl_t v = {1, &scale};
        hid_t at = ok(w, H5Acreate2(column[i], "DIMENSION_LIST", vl, line, H5P_DEFAULT, H5P_DEFAULT));
        if (at >= 0) {
            if (H5Awrite(at, vl, &v) < 0) w->failed = true;
            H5Aclose(at);
        }
        if (H5Rcreate(&back[i - 1].dataset, column[i], ".", H5R_OBJECT, -1) < 0) w->failed = true;
        back[i - 1].dimension = 0;
    }
    hid_t pair = H5Tcreate(H5T_COMPOUND, sizeof(struct back));
    H5Tinsert(pair, "dataset", offsetof(struct back, dataset), H5T_STD_REF_OBJ);
    H5Tinsert(pair, "dimension", offsetof(struct back, dimension), H5T_NATIVE_UINT);
    hid_t at = ok(w, H5Acreate2(column[0], "REFERENCE_LIST", pair, list, H5P_DEFAULT, H5P_DEFAULT));
    if (at >= 0) {
        if (H5Awrite(at, pair, back) < 0) w->failed = true;
        H5Aclose(at);
    }
    H5Tclose(pair);
    H5Tclose(vl);
    H5Tclose(name);
    H5Sclose(line);
    H5Sclose(list);
}

static void write_table(struct writer *w, const struct table_def *d, const struct rows *t) {
    hid_t column[32], create = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    hid_t group = ok(w, H5Gcreate2(w->file, d->name, H5P_DEFAULT, create, H5P_DEFAULT));
    H5Pclose(create);
    if (group < 0) return;
    attr_text(w, group, "description", d->about);
    for (int i = 0; i < d->n_column; i++) column[i] = write_column(w, group, &d->column[i], t, d->record);
    if (!w->failed) attach_scale(w, column, d);
    for (int i = 0; i < d->n_column; i++)
        if (column[i] >= 0) H5Dclose(column[i]);
    H5Gclose(group);
}

/* A scalar dataset, not an attribute, so that h5dump -A stays readable. */
static void write_text(struct writer *w, const struct h5_text *t) {
    hid_t type = text_type(*t->text ? strlen(t->text) : 1);
    hid_t id = ok(w, H5Dcreate2(w->file, t->name, type, w->space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    if (id >= 0) {
        if (H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, t->text) < 0) w->failed = true;
        attr_text(w, id, "units", "1");
        attr_text(w, id, "description", t->about);
        H5Dclose(id);
    }
    H5Tclose(type);
}

/* Where the core driver keeps the file. H5Fget_file_image() would be the simple way, but in 1.10 it clears a
 * flag in its copy of the superblock and leaves the checksum as it was, so that no one can open the copy.
 * Instead the driver lets us own its memory: we keep what it would free once the file is complete and
 * closed. */
struct image {
    char *bytes;
    size_t size, room;
};

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *ctx) {
    (void)op;
    ((struct image *)ctx)->room = size;
    return oom_calloc(1, size);
}

static void *image_realloc(void *old, size_t size, H5FD_file_image_op_t op, void *ctx) {
    struct image *im = ctx;
    char *p = oom_realloc(old, size, 1);
    (void)op;
    if (size > im->room)
        memset(p + im->room, 0, size - im->room); /* gaps in a file are zeros, not whatever was in memory */
    im->room = size;
    return p;
}

static herr_t image_free(void *bytes, H5FD_file_image_op_t op, void *ctx) {
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        ((struct image *)ctx)->bytes = bytes;
    else
        free(bytes);
    return 0;
}

static void *same_ctx(void *ctx) { return ctx; }
static herr_t keep_ctx(void *ctx) { return (void)ctx, 0; }

/* The superblock (version 2) has the end of the file at byte 28. */
static size_t end_of_file(const struct image *im) {
    uint64_t end = 0;
    if (!im->bytes || im->room < 48 || im->bytes[8] != 2) return 0;
    for (int i = 0; i < 8; i++) end |= (uint64_t)(unsigned char)im->bytes[28 + i] << (8 * i);
    return end <= im->room ? (size_t)end : 0;
}

/* The whole file in memory; free() the bytes. They are NULL if HDF5 failed, and why[] says why. */
static struct image build_image(const struct h5_tables *f, char why[200]) {
    struct writer w = {.objective_units = f->objective_units};
    struct image im = {0};
    H5FD_file_image_callbacks_t own = {image_malloc, NULL, image_realloc, image_free, same_ctx,
                                       keep_ctx,     &im};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_fapl_core(access, 1 << 18, 0);
    H5Pset_file_image_callbacks(access, &own);
    H5Pset_libver_bounds(access, H5F_LIBVER_V18,
                         H5F_LIBVER_V18); /* checksums on metadata; readable since 1.8 */
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    w.vl_text = H5Tcopy(H5T_C_S1);
    H5Tset_size(w.vl_text, H5T_VARIABLE);
    H5Tset_cset(w.vl_text, H5T_CSET_UTF8);
    w.space = H5Screate(H5S_SCALAR);
    w.file = ok(&w, H5Fcreate("sailor", H5F_ACC_TRUNC, create, access));
    if (w.file >= 0) {
        for (int i = 0; i < f->n_attr; i++) write_attribute(&w, &f->attr[i]);
        for (int i = 0; i < f->n_table; i++) write_table(&w, &f->def[i], &f->rows[i]);
        for (int i = 0; i < f->n_text; i++) write_text(&w, &f->text[i]);
        if (H5Fclose(w.file) < 0) w.failed = true;
    }
    if (w.failed) hdf5_why(why);
    im.size = w.failed ? 0 : end_of_file(&im);
    if (im.size) {
        im.bytes = oom_realloc(im.bytes, im.size + SEAL_BYTES + 1, 1);
        seal_make(im.bytes, im.size, im.bytes + im.size);
        im.size += SEAL_BYTES;
    } else {
        free(im.bytes);
        im.bytes = NULL;
    }
    H5Sclose(w.space);
    H5Tclose(w.vl_text);
    H5Pclose(create);
    H5Pclose(access);
    return im;
}

/* ---- files ---- */

int h5_write_tables(const char *path, const struct h5_tables *f, struct err *e) {
    char why[200] = "";
    struct image im = build_image(f, why);
    if (!im.bytes) return err_set(e, EXIT_INTERNAL, "%s: cannot be written: HDF5: %s", path, why);
    int rc = file_write(path, im.bytes, im.size, e);
    free(im.bytes);
    return rc;
}
