#ifndef SAILOR_TRAIN_ARCH_H
#define SAILOR_TRAIN_ARCH_H
#include "base/arena.h"
#include "base/err.h"
#include "sim/tables.h"
/* What is trained: a decoder-only transformer of the OPT / GPT family, as a list of layers with their
 * tensors. The planner's layers are the trainer's: layer 0 is the embedding, then the blocks, the last one is
 * the head (final norm, matrix and loss).
 *
 * Every tensor is a list of rows. Those that tensor parallelism splits are split by rows: rank k of tp holds
 * rows [k n, (k+1) n). A matrix that is split by its inputs is therefore stored with the inputs first. So the
 * part that a rank holds is one contiguous piece of the whole tensor at every degree. That is why replicas of
 * different degrees can add up their gradients, and why a checkpoint can be read under another plan. */

enum layer_kind { LAYER_EMBEDDING, LAYER_BLOCK, LAYER_HEAD };
enum activation { ACTIVATION_RELU, ACTIVATION_GELU };

/* The tensors of a layer, in the order in which they lie in memory. */
enum { EMBEDDING_TOKENS, EMBEDDING_POSITIONS, EMBEDDING_TENSORS };
enum {
    BLOCK_NORM1_GAIN,
    BLOCK_NORM1_BIAS,
    BLOCK_QKV, /* [heads][3][head size] outputs, [H] inputs */
    BLOCK_QKV_BIAS,
    BLOCK_OUT, /* [heads * head size] inputs, [H] outputs */
    BLOCK_OUT_BIAS,
    BLOCK_NORM2_GAIN,
    BLOCK_NORM2_BIAS,
    BLOCK_FC1, /* [ffn] outputs, [H] inputs */
    BLOCK_FC1_BIAS,
    BLOCK_FC2, /* [ffn] inputs, [H] outputs */
    BLOCK_FC2_BIAS,
    BLOCK_TENSORS
};
enum { HEAD_NORM_GAIN, HEAD_NORM_BIAS, HEAD_MATRIX, HEAD_TENSORS };
enum { TENSORS_MAX = BLOCK_TENSORS };

struct tensor {
    const char *name; /* "fc1.weight" */
    size_t rows, row; /* [rows][row] elements, whole and without padding */
    size_t pad;       /* rows are padded to a multiple of pad * tp; 1: they must divide */
    bool split;       /* by rows over the tensor-parallel ranks; otherwise every rank holds all of it */
    bool decay;       /* weight decay applies: matrices, not biases and norms */
    double start;     /* constant initial value ... */
    double spread;    /* ... plus a normal deviation of this size */
};

struct arch {
    int layers; /* blocks + 2 */
    int blocks, hidden, sequence, heads, vocabulary, ffn;
    enum activation activation;
    struct tensor tensor[3][TENSORS_MAX]; /* by kind of layer */
};

/** Make the model described by model->architecture, whose "heads" and "vocabulary" override what the planners
 * are told. -1 (EXIT_INPUT) for an unsupported family, or sizes that do not fit together. */
int arch_make(struct arch *a, const struct model *m, struct err *e);

enum layer_kind arch_kind(const struct arch *a, int layer);
int arch_tensors(enum layer_kind kind);

/** The part of a tensor that rank k of tp holds: rows [first, first + rows) of the whole one, and room for
 * more where it is padded. */
struct part {
    size_t first, rows, room;
};
struct part arch_part(const struct tensor *t, int tp, int k);

/** Parameters that one rank of tp holds of a layer, padding included. */
size_t arch_params(const struct arch *a, int layer, int tp);

/** Can every split tensor be split tp ways? -1 with *e set (EXIT_INPUT); `where` starts the message. */
int arch_check_tp(const struct arch *a, int tp, const char *where, struct err *e);

/** Initial values of elements [first, first + n) of the whole tensor, the same however it is split.
 * Thread-safe. */
void arch_init(const struct arch *a, int layer, int tensor, unsigned long long seed, size_t first, size_t n,
               double *value);

/** Floating-point operations of one layer for one sequence: block_flops(), head_flops(). */
double arch_flops(const struct arch *a, int layer);

/** 64 well mixed bits from a counter: the only source of randomness here. */
unsigned long long arch_hash(unsigned long long x);
/** A normal deviate of mean 0 and variance 1 from such bits. */
double arch_deviate(unsigned long long bits);
#endif
