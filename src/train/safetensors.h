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
    size_t shape[2]; /* of tensors of one or two dimensions; of one the second is 1 */
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
/** NULL if there is none of this name. */
const struct st_tensor *st_find(const struct st_file *f, const char *name);
/** Element i, row by row. */
double st_value(const struct st_tensor *t, size_t i);

/** The header of a file of these tensors one after another, ST_F32 or ST_BF16: name, type and shape are read.
 * Its size into *size. */
char *st_header(const struct st_tensor *tensor, int n, const char *made_by, size_t *size, struct arena *a);
/** Elements in the form of the file, into to[n * 4 or 2]. */
void st_put(unsigned char *to, enum st_type type, const float *value, size_t n);
#endif
