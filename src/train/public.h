#ifndef SAILOR_TRAIN_PUBLIC_H
#define SAILOR_TRAIN_PUBLIC_H
#include "train/arch.h"
#include "train/safetensors.h"
/* Weights under the names and in the shapes in which Hugging Face's transformers have them: what those
 * tensors are called, and where each of their elements lies in ours. Pure. */

/* How a tensor of theirs lies in one of ours, whose matrices are lists of rows (train/arch.h). */
enum public_order {
    PUBLIC_SAME,   /* the same elements one after another */
    PUBLIC_TURNED, /* rows are columns */
    PUBLIC_PART, /* [rows / group][group][columns] is part `part` of [rows / group][parts][group][columns] */
    PUBLIC_CONV  /* [columns][rows] of all parts side by side: GPT-2's queries, keys and values */
};

struct public_tensor {
    char name[96];
    int dims;
    size_t rows, columns;
    int layer, tensor; /* ours */
    bool absent;       /* the model has no such tensor, though its relatives do */
    enum public_order order;
    size_t part, parts, group;
};

/** All of them, in the order of layers; their number. NULL `out`: only counted. */
int public_tensors(const struct arch *a, struct public_tensor *out);

/** Where element (row, column) lies in our whole tensor. */
size_t public_place(const struct public_tensor *p, size_t row, size_t column);

/** The tensor of a file, whatever its names begin with. NULL with *e set (EXIT_INPUT) if it is not there or
 * has another shape; without *e where p->absent and it is not there. */
const struct st_tensor *public_find(const struct st_file *f, const struct arch *a,
                                    const struct public_tensor *p, struct err *e);
#endif
