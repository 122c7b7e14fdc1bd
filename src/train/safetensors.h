#ifndef SAILOR_TRAIN_SAFETENSORS_H
#define SAILOR_TRAIN_SAFETENSORS_H
#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* Files of weights as Hugging Face's safetensors has them: eight bytes with the size of a header, the header
 * as JSON (of each tensor type, shape, and where its bytes are), then the bytes, little endian. */

enum st_type { ST_F32, ST_F16, ST_BF16, ST_F64, ST_TYPES };

struct st_tensor {
    const char *name;
    enum st_type type;
    int dims;
    const char *path; /* of its file */
    size_t shape[2];  /* of tensors of one or two dimensions; of one the second is 1 */
    const unsigned char *data;
};

struct st_file {
    const char *path;
    int n;
    struct st_tensor *tensor; /* [n] those of one or two dimensions and a type above; others are left out */
};

/** What is in such a file, which stays in memory where it is. -1 with *e set (EXIT_INPUT). Thread-safe. */
int st_parse(struct st_file *f, const char *path, const unsigned char *bytes, size_t size, struct arena *a,
             struct err *e);
/* Weights in pieces: an index says, as JSON, in which of the files beside it each tensor is. */
struct st_index {
    const char *path;
    int files;
    const char *const *file; /* [files] names, each once */
    int n;
    const struct st_place {
        const char *name;
        int file;
    } * tensor; /* [n] by name */
};

/** Parse the text of an index. A file that is not beside it is refused. -1 with *e set (EXIT_INPUT).
 * Thread-safe. */
int st_read_index(struct st_index *x, const char *path, const char *text, size_t size, struct arena *a,
                  struct err *e);
/** Of the tensors of a file, those that the index has there join `all`. */
void st_join(struct st_file *all, const struct st_file *piece, const struct st_index *x, int file,
             struct arena *a);
/** NULL if there is none of this name. */
const struct st_tensor *st_find(const struct st_file *f, const char *name);
/** Element i, row by row. */
double st_value(const struct st_tensor *t, size_t i);

/** The header of a file of these tensors one after another, ST_F32 or ST_BF16: name, type and shape are read.
 * Its size into *size. */
char *st_header(const struct st_tensor *tensor, int n, const char *made_by, size_t *size, struct arena *a);
/** The bytes of a tensor in a file. */
size_t st_bytes(const struct st_tensor *t);
/** The text of an index of these tensors; tensor i is in file[of[i]]. */
char *st_index_text(const struct st_tensor *tensor, int n, const char *const *file, const int *of,
                    size_t *size, struct arena *a);
/** Elements in the form of the file, into to[n * 4 or 2]. */
void st_put(unsigned char *to, enum st_type type, const float *value, size_t n);
#endif
