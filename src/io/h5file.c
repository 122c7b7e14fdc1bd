#include "io/h5file.h"
#include "base/oom.h"
#include "io/seal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(struct h5file *f, long long status) {
    if (status >= 0 || f->failed) return;
    int code = errno;
    f->failed = true;
    hdf5_why(f->why);
    /* HDF5 takes a paragraph to say so, or does not say it at all */
    if (code == ENOSPC || code == EDQUOT || code == EIO)
        snprintf(f->why, sizeof f->why, "%s", strerror(code));
    if (!*f->why) snprintf(f->why, sizeof f->why, "unknown reason");
}

static int only_files(const char *path, struct err *e) {
    struct stat st;
    return stat(path, &st) || S_ISREG(st.st_mode)
               ? 0
               : err_set(e, EXIT_INTERNAL, "%s: cannot be written: not a regular file", path);
}

int h5_can_create(const char *path, bool force, struct err *e) {
    return only_files(path, e) || file_can_create(path, force, "-f overwrites it", e) ? -1 : 0;
}

int h5_begin(struct h5file *f, const char *path, struct err *e) {
    *f = (struct h5file){.id = -1, .path = path};
    if (only_files(path, e) || file_begin(&f->file, path, e)) return -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = h5_access();
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V110);
    f->id = H5Fcreate(f->file.temp, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    check(f, f->id);
    H5Pclose(access);
    return 0;
}

/* HDF5 cannot close a file that it cannot flush, and crashes on it when the program ends. Redirect what it
 * still has to write to such a file into memory. */
static void divert(hid_t id) {
    void *handle;
    if (H5Fget_vfd_handle(id, H5P_DEFAULT, &handle) < 0) return;
    int fd = memfd_create("unwanted", MFD_CLOEXEC);
    if (fd >= 0) {
        dup2(fd, *(int *)handle);
        close(fd);
    }
}

int h5_finish(struct h5file *f, struct err *e) {
    if (f->id >= 0 && !f->failed) check(f, H5Fflush(f->id, H5F_SCOPE_GLOBAL));
    if (f->id >= 0 && f->failed) divert(f->id);
    if (f->id >= 0) check(f, H5Fclose(f->id));
    f->id = -1;
    int bad = f->failed ? 0 : seal_file(f->file.fd);
    if (bad) {
        f->failed = true;
        snprintf(f->why, sizeof f->why, "%s", strerror(bad));
    }
    if (!f->failed) return file_end(&f->file, e);
    file_drop(&f->file);
    return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", f->path, f->why);
}

/* ---- in memory: HDF5's own buffer is taken over when it closes the file. A copy of an open file would not
 * do: its superblock says it is open ---- */

static void *image_malloc(size_t n, H5FD_file_image_op_t op, void *own) {
    (void)op;
    (void)own;
    return malloc(n);
}

static void *image_memcpy(void *to, const void *from, size_t n, H5FD_file_image_op_t op, void *own) {
    (void)op;
    (void)own;
    return memcpy(to, from, n);
}

static void *image_realloc(void *old, size_t n, H5FD_file_image_op_t op, void *own) {
    struct h5_image *image = own;
    (void)op;
    void *p = realloc(old, n + SEAL_BYTES + 1);
    if (p) image->size = n;
    return p;
}

static herr_t image_free(void *p, H5FD_file_image_op_t op, void *own) {
    struct h5_image *image = own;
    if (op == H5FD_FILE_IMAGE_OP_FILE_CLOSE)
        image->bytes = p;
    else
        free(p);
    return 0;
}

static void *image_own(void *own) { return own; }

static herr_t image_own_free(void *own) {
    (void)own;
    return 0;
}

int h5_begin_image(struct h5file *f, const char *path, struct err *e) {
    enum { GROWTH = 1 << 20 };
    *f = (struct h5file){.id = -1, .path = path};
    H5FD_file_image_callbacks_t call = {.image_malloc = image_malloc,
                                        .image_memcpy = image_memcpy,
                                        .image_realloc = image_realloc,
                                        .image_free = image_free,
                                        .udata_copy = image_own,
                                        .udata_free = image_own_free,
                                        .udata = &f->image};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = h5_access();
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V110);
    H5Pset_fapl_core(access, GROWTH, 0);
    H5Pset_file_image_callbacks(access, &call);
    /* HDF5 would first read an existing file of that name; none can have this one */
    f->id = H5Fcreate("/dev/null/image", H5F_ACC_TRUNC, H5P_DEFAULT, access);
    check(f, f->id);
    H5Pclose(access);
    return f->failed ? err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", path, f->why) : 0;
}

int h5_finish_image(struct h5file *f, char **bytes, size_t *size, struct err *e) {
    if (f->id >= 0) check(f, H5Fclose(f->id));
    f->id = -1;
    *bytes = f->image.bytes;
    *size = f->image.size + SEAL_BYTES;
    if (!f->failed && *bytes) {
        seal_make(*bytes, f->image.size, *bytes + f->image.size);
        return 0;
    }
    free(*bytes);
    *bytes = NULL;
    return err_set(e, EXIT_INTERNAL, "%s: cannot be written: %s", f->path,
                   *f->why ? f->why : "out of memory");
}

static void attribute(struct h5file *f, hid_t at, const char *name, hid_t disk, hid_t memory,
                      const void *value) {
    hid_t space = H5Screate(H5S_SCALAR), id = H5Acreate2(at, name, disk, space, H5P_DEFAULT, H5P_DEFAULT);
    check(f, id);
    if (id >= 0) {
        check(f, H5Awrite(id, memory, value));
        H5Aclose(id);
    }
    H5Sclose(space);
}

static void text_attribute(struct h5file *f, hid_t at, const char *name, const char *value) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    attribute(f, at, name, type, type, &value);
    H5Tclose(type);
}

void h5_text(struct h5file *f, const char *name, const char *value) {
    if (!f->failed) text_attribute(f, f->id, name, value);
}

void h5_number(struct h5file *f, const char *name, double value) {
    if (!f->failed) attribute(f, f->id, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

void h5_integer(struct h5file *f, const char *name, long long value) {
    if (!f->failed) attribute(f, f->id, name, H5T_STD_I64LE, H5T_NATIVE_LLONG, &value);
}

void h5_group(struct h5file *f, const char *name, const char *description) {
    if (f->failed) return;
    hid_t id = H5Gcreate2(f->id, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    check(f, id);
    if (id < 0) return;
    text_attribute(f, id, "description", description);
    H5Gclose(id);
}

void h5_dataset(struct h5file *f, const char *name, const char *units, const char *description, int n_dim,
                const hsize_t *dims, hid_t memory, hid_t disk, const void *data) {
    if (f->failed) return;
    hid_t space = H5Screate_simple(n_dim, dims, NULL), create = H5Pcreate(H5P_DATASET_CREATE);
    if (!data && *dims) { /* what is written in pieces has a checksum for each */
        hsize_t piece = *dims < 65536 ? *dims : 65536;
        H5Pset_fill_time(create, H5D_FILL_TIME_NEVER);
        H5Pset_chunk(create, 1, &piece);
        H5Pset_fletcher32(create);
    }
    hid_t id = H5Dcreate2(f->id, name, disk, space, H5P_DEFAULT, create, H5P_DEFAULT);
    check(f, id);
    if (id >= 0) {
        if (data) check(f, H5Dwrite(id, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data));
        text_attribute(f, id, "units", units);
        text_attribute(f, id, "description", description);
        check(f, H5Dclose(id));
    }
    H5Pclose(create);
    H5Sclose(space);
}

void h5_texts(struct h5file *f, const char *name, const char *description, int n, const char *const *text) {
    size_t width = 1;
    for (int i = 0; i < n; i++) width = strlen(text[i]) > width ? strlen(text[i]) : width;
    char *all = oom_calloc((size_t)n + 1, width);
    for (int i = 0; i < n; i++) memcpy(all + (size_t)i * width, text[i], strlen(text[i]));
    hid_t type = text_type(width);
    h5_dataset(f, name, "1", description, 1, &(hsize_t){(hsize_t)n}, type, type, all);
    H5Tclose(type);
    free(all);
}

void h5_rows(struct h5file *f, const char *name, hsize_t first, hsize_t n, hid_t memory, const void *data) {
    if (f->failed || !n) return;
    hid_t id = H5Dopen2(f->id, name, H5P_DEFAULT);
    check(f, id);
    if (id < 0) return;
    hid_t disk = H5Dget_space(id), mem = H5Screate_simple(1, &n, NULL);
    check(f, H5Sselect_hyperslab(disk, H5S_SELECT_SET, &first, NULL, &n, NULL));
    if (!f->failed) check(f, H5Dwrite(id, memory, mem, disk, H5P_DEFAULT, data));
    H5Sclose(mem);
    H5Sclose(disk);
    check(f, H5Dclose(id));
}
