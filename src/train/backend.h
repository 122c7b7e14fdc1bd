#ifndef SAILOR_TRAIN_BACKEND_H
#define SAILOR_TRAIN_BACKEND_H
#include "base/err.h"
#include "train/arch.h"
#include "train/elem.h"
#include <stdbool.h>
/* The seam to the device that computes: memory and the operations of the model, each on whole buffers. A rank
 * has one. Calls may only queue their work, in order; sync() waits for it. Buffers are the device's own: the
 * host reads and writes them with upload() and download() only. Matrices are row-major; n rows are the tokens
 * of a microbatch.
 *
 * Every operation gives the same bits for the same arguments and threads. With another number of threads,
 * too, but for matrix products, where some kernels sum the last columns of a share in another order.
 *
 * Types: `elem` is that of parameters, activations and what travels between ranks; `acc` that of gradients,
 * optimizer state, statistics and losses. Both are single precision, or elem is bf16: then an operation
 * computes in single precision from what is stored, and rounds what it stores to nearest even. */

/* Sequences x tokens of the attention of one rank. */
struct attention {
    int sequences, length, heads, size; /* microbatch, tokens, heads on this rank, size of a head */
    int kv_heads;     /* on this rank, each for heads / kv_heads heads; 0: every head has its own */
    int window;       /* tokens that a token sees, including itself; 0: all before it */
    bool unscaled;    /* scores are not divided by the root of the head's size */
    const int *begin; /* [sequences * length] on the device: the first token of its sequence that a token
                         sees; NULL: the first one of all */
};

/* The optimizer's constants for one step, bias corrections included. */
struct adamw {
    double rate, beta1, beta2, epsilon, decay; /* decay of the weights, 0 for biases and norms */
    double correction1, correction2;           /* 1 - beta^step */
    double shrink;                             /* what gradients are multiplied with; 1: they stay */
};

struct backend {
    const char *name;
    char device[128];   /* what it runs on, for people; of GPUs also which one */
    char versions[200]; /* of the libraries and drivers it works with, "A 1.0; B 2.0"; "": it does not say */
    int threads;        /* of the host, that share each operation; 0 where the device is not the host */
    enum elem elem, acc;
    bool host;            /* buffers are plain memory of the host: a communicator may use them as they are */
    bool shared;          /* other ranks use the same device: what it holds is not this one's */
    const char *products; /* what matrices are multiplied in, a type of inputs/devices.json; NULL: no device
                             of that file */
    unsigned parts;       /* of models, that it has: a bit for each of enum part_of_arch */
    int most_tokens;      /* of a microbatch, that embed_back() takes; 0: any number */
    void *own;

    /* ---- memory: alloc() gives NULL when there is no more to give; contents are undefined ---- */
    void *(*alloc)(struct backend *b, size_t bytes);
    void (*release)(struct backend *b, void *p);
    void (*upload)(struct backend *b, void *to, const void *from_host, size_t bytes);
    void (*download)(struct backend *b, void *to_host, const void *from, size_t bytes);
    void (*zero)(struct backend *b, void *p, size_t bytes);
    void (*copy)(struct backend *b, void *to, const void *from, size_t bytes);
    /** Memory of the host that copies are fast from and to; NULL when there is no more. */
    void *(*host_alloc)(struct backend *b, size_t bytes);
    void (*host_release)(struct backend *b, void *p);
    /** What is in use on the device, by any process, as the device reports it, and how much there is; both 0
     * where the device is the host. */
    void (*device_bytes)(struct backend *b, size_t *used, size_t *total);

    /* ---- time: stamps are numbered 0, 1, 2, ... by the caller; stamp_s() waits for what was queued before
     * it ---- */
    void (*sync)(struct backend *b);
    void (*stamp)(struct backend *b, int i);
    double (*stamp_s)(struct backend *b, int i); /* seconds since stamp 0 */

    /* ---- linear maps: y[n][out] = x[n][in] W (+ bias[out]); W is [out][in], or [in][out] where inputs_first
     */
    void (*linear)(struct backend *b, void *y, const void *x, const void *w, const void *bias, int n, int in,
                   int out, bool inputs_first);
    /** dx = dy W'; dw += dy' x; dbias += column sums of dy. Each is skipped for NULL. */
    void (*linear_back)(struct backend *b, void *dx, void *dw, void *dbias, const void *dy, const void *x,
                        const void *w, int n, int in, int out, bool inputs_first);
    /** y = x + part + bias, all [n][h] but bias[h], NULL for none. y may be part. */
    void (*residual)(struct backend *b, void *y, const void *x, const void *part, const void *bias, int n,
                     int h);

    /* ---- layer norm over h; mean and rstd [n] in acc. RMS norm has neither mean nor bias: both NULL ---- */
    void (*norm)(struct backend *b, void *y, void *mean, void *rstd, const void *x, const void *gain,
                 const void *bias, int n, int h, double epsilon);
    /** dx += ..., dgain += ..., dbias += ... */
    void (*norm_back)(struct backend *b, void *dx, void *dgain, void *dbias, const void *dy, const void *x,
                      const void *gain, const void *mean, const void *rstd, int n, int h);

    /* ---- rotary positions, in place: elements j and j + size / 2 of each of `heads` heads of x, which begin
     * at x + row * ld + head * step, turn by the angle of the row's place in its sequence. table
     * [length][size / 2][2] in acc holds cosines and sines. back: the gradient, which turns the other way.
     * ---- */
    void (*rotate)(struct backend *b, void *x, const void *table, int n, int length, int heads, int size,
                   int ld, int step, bool back);

    /* ---- causal attention, out [sequences * length][heads][size]. kv NULL: q is [sequences *
     * length][heads][3][size], query, key and value; otherwise q [sequences * length][heads][size] and kv
     * [sequences * length][kv_heads][2][size] ---- */
    /** Bytes kept from forward to backward, and bytes of work space. */
    void (*attention_bytes)(struct backend *b, struct attention a, size_t *saved, size_t *work);
    void (*attention)(struct backend *b, void *out, void *saved, void *work, const void *q, const void *kv,
                      struct attention a);
    void (*attention_back)(struct backend *b, void *dq, void *dkv, const void *dout, const void *out,
                           const void *saved, void *work, const void *q, const void *kv, struct attention a);

    /* ---- activation function, elementwise; of SwiGLU x is [n][gate, x] ---- */
    void (*activate)(struct backend *b, void *y, const void *x, enum activation f, size_t n);
    /** dx = dy f'(x), dx may be dy except of SwiGLU; y = f(x) once more, so that forward need not keep it. */
    void (*activate_back)(struct backend *b, void *dx, void *y, const void *dy, const void *x,
                          enum activation f, size_t n);

    /* ---- embedding: rows [first, first + rows) of the table are here, other tokens give zeros (-1 always);
     * positions, dpositions NULL: not added ---- */
    void (*embed)(struct backend *b, void *y, const void *table, const void *positions, const int *token,
                  int first, int rows, int n, int length, int h);
    void (*embed_back)(struct backend *b, void *dtable, void *dpositions, const void *dy, const int *token,
                       int first, int rows, int n, int length, int h);

    /* ---- positions that count from begin[n], each a place in its sequence: y[n][h] += positions[place -
     * begin], and back; both NULL where attention knows no `begin` ---- */
    void (*place)(struct backend *b, void *y, const void *positions, const int *begin, int n, int length,
                  int h);
    void (*place_back)(struct backend *b, void *dpositions, const void *dy, const int *begin, int n,
                       int length, int h);

    /* ---- cross entropy over a vocabulary of which columns [first, first + rows) are here, the first `rows`
     * of `room` columns of logits [n][room]; the others are padding. Between the calls the ranks take the
     * largest max and the sum of sums over all parts. ---- */
    void (*loss_max)(struct backend *b, void *max, const void *logits, int n, int rows, int room);
    /** logits = exp(logits - max); sums[0..n) their sums, sums[n..2n) logit - max of the target, 0 if it is
     * not here. */
    void (*loss_sums)(struct backend *b, void *sums, void *logits, const void *max, const int *target,
                      int first, int n, int rows, int room);
    /** *loss += weight * sum of the losses of the first n_valid rows; logits become weight * gradient, 0 in
     * the other rows and in padding. */
    void (*loss_back)(struct backend *b, void *loss, void *logits, const void *sums, const int *target,
                      int first, int n, int n_valid, int rows, int room, double weight);

    /* ---- optimizer, n elements: p in elem; master, g, m, v in acc ---- */
    /** master NULL where elem is acc; otherwise the weights in full, which are updated, and p becomes their
     * rounding to nearest even. */
    void (*adamw)(struct backend *b, void *p, void *master, const void *g, void *m, void *v, size_t n,
                  struct adamw step);

    /** *bad = 1 if any of n elements of x is infinite or not a number, else left alone; both in acc. */
    void (*find_bad)(struct backend *b, void *bad, const void *x, size_t n);

    /** *sum, a double, += the sum of the squares of n elements of x in acc. */
    void (*squares)(struct backend *b, void *sum, const void *x, size_t n);

    void (*close)(struct backend *b);
};

/** CPU: OpenMP with `threads` threads and the BLAS that was linked, in single precision. -1 with *e set. */
int backend_cpu_open(struct backend *b, int threads, struct err *e);
/** The same with elem bf16. */
int backend_cpu_bf16_open(struct backend *b, int threads, struct err *e);
#endif
