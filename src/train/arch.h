#ifndef SAILOR_TRAIN_ARCH_H
#define SAILOR_TRAIN_ARCH_H
#include "base/arena.h"
#include "base/err.h"
#include "sim/tables.h"
/* What is trained: a decoder-only transformer, as a list of layers with their tensors. Families differ in the
 * parts that they are made of, and a tensor that a model lacks has no rows. The planner's layers are the
 * trainer's: layer 0 is the embedding, then the blocks, the last one is the head (final norm, matrix and
 * loss). Layers between the last block and the head, which some model files have, do nothing.
 *
 * Every tensor is a list of rows. Those that tensor parallelism splits are split by rows: rank k of tp holds
 * rows [k n, (k+1) n). A matrix that is split by its inputs is therefore stored with the inputs first. So the
 * part that a rank holds is one contiguous piece of the whole tensor at every degree. That is why replicas of
 * different degrees can add up their gradients, and why a checkpoint can be read under another plan. */

enum layer_kind { LAYER_EMBEDDING, LAYER_BLOCK, LAYER_HEAD, LAYER_NOTHING, LAYER_KINDS };
enum activation { ACTIVATION_RELU, ACTIVATION_GELU, ACTIVATION_SWIGLU /* x silu(gate) */ };

/* The tensors of a layer, in the order in which they lie in memory. */
enum { EMBEDDING_TOKENS, EMBEDDING_POSITIONS, EMBEDDING_TENSORS };
enum {
    BLOCK_NORM1_GAIN,
    BLOCK_NORM1_BIAS,
    BLOCK_QKV, /* [heads][3][head size] outputs, [H] inputs; unless key/value heads are grouped */
    BLOCK_QKV_BIAS,
    BLOCK_OUT, /* [heads * head size] inputs, [H] outputs */
    BLOCK_OUT_BIAS,
    BLOCK_NORM2_GAIN,
    BLOCK_NORM2_BIAS,
    BLOCK_FC1, /* [ffn] outputs, [H] inputs; of SwiGLU [ffn][gate, x] outputs */
    BLOCK_FC1_BIAS,
    BLOCK_FC2, /* [ffn] inputs, [H] outputs */
    BLOCK_FC2_BIAS,
    BLOCK_Q, /* [heads][head size] outputs, where a key/value head serves several heads */
    BLOCK_Q_BIAS,
    BLOCK_KV, /* [key/value heads][2][head size] outputs */
    BLOCK_KV_BIAS,
    BLOCK_TENSORS
};
enum { HEAD_NORM_GAIN, HEAD_NORM_BIAS, HEAD_MATRIX, HEAD_TENSORS };
enum { TENSORS_MAX = BLOCK_TENSORS };

struct tensor {
    const char *name; /* "fc1.weight" */
    size_t rows, row; /* [rows][row] elements, whole and without padding */
    size_t pad;       /* rows are padded to a multiple of pad * tp; 1: they must divide */
    bool split;       /* by rows over the tensor-parallel ranks; otherwise every rank holds all of it */
    bool repeat;      /* a row may be held by several ranks of a replica, whose gradients add up */
    bool tied;        /* is that of the embedding; a rank that holds both layers has it once */
    bool decay;       /* weight decay applies: matrices, not biases and norms */
    double start;     /* constant initial value ... */
    double spread;    /* ... plus a normal deviation of this size */
};

/* Rotary positions: pair j of a head turns by theta^(-2j / head size) per token. Llama 3.1 and later slow
 * down what turns less than `low` times in `original` tokens by `factor`, and leave what turns more than
 * `high` times. */
struct rotary {
    double theta, factor, low, high, original; /* factor 0: as they are */
};

struct arch {
    int layers; /* blocks + 2, or more */
    int blocks, hidden, sequence, heads, vocabulary, ffn;
    int kv_heads, head_size;
    char family[16]; /* a label: what public weights are called */
    int position_first,
        position_rows; /* of the learned table, row of the first token and rows; 0: no table */
    int window;        /* tokens that a token sees, including itself; 0: all before it */
    bool window_odd;   /* the window is that of every other block, the second one first */
    bool rotary, rms_norm, unscaled, tied;
    bool qkv_biases, out_biases, ffn_biases;
    double norm_epsilon;
    struct rotary turn;
    enum activation activation;
    struct tensor tensor[LAYER_KINDS][TENSORS_MAX]; /* by kind of layer */
};

/* What a backend may lack. */
enum part_of_arch {
    PART_RMS_NORM,
    PART_ROTARY,
    PART_GATED,
    PART_GROUPED,
    PART_WINDOW,
    PART_UNSCALED,
    PART_NO_BIASES,
    PARTS
};
extern const char *const arch_part_name[PARTS];
enum { ALL_PARTS = (1 << PARTS) - 1 };

/** Make the model described by model->architecture, whose "heads" and "vocabulary" override what the planners
 * are told, and by model->shape where the file has it. -1 (EXIT_INPUT) for what is not supported, or sizes
 * that do not fit together. */
int arch_make(struct arch *a, const struct model *m, struct err *e);
/** Its first half: everything but the tensors. arch_read.c */
int arch_read(struct arch *a, const struct model *m, struct err *e);

/** A bit for each part that the model has beyond GPT's. */
unsigned arch_parts(const struct arch *a);
/** Are all of them among `has`? -1 with *e set (EXIT_INPUT): `who` lacks one. */
int arch_check_parts(const struct arch *a, unsigned has, const char *who, struct err *e);

/** Does a key/value head serve several heads? Then query and key/value are tensors of their own. */
static inline bool arch_grouped(const struct arch *a) { return a->kv_heads != a->heads; }
/** Key/value heads on one of tp ranks: at least one, which several ranks then hold. */
static inline int arch_kv_heads(const struct arch *a, int tp) {
    return a->kv_heads > tp ? a->kv_heads / tp : 1;
}
/** The window of a layer; 0: none. */
int arch_window(const struct arch *a, int layer);
/** By what angle pair j of a head turns from one token to the next. */
double arch_frequency(const struct arch *a, int j);

enum layer_kind arch_kind(const struct arch *a, int layer);
int arch_tensors(enum layer_kind kind);

/** The part of a tensor that rank k of tp holds: rows [first, first + rows) of the whole one, and room for
 * more where it is padded. */
struct part {
    size_t first, rows, room;
};
struct part arch_part(const struct tensor *t, int tp, int k);

/** Parameters that one rank of tp holds of a layer, padding included. A tied matrix counts in the embedding.
 */
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
