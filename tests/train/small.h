#ifndef TESTS_TRAIN_SMALL_H
#define TESTS_TRAIN_SMALL_H
#include "train/trainer.h"
/* A model small enough for a test, plans written as text, and runs of them. */

/** 2 blocks, H 16, 4 heads, S 8, vocabulary 300: padded differently for every degree. */
struct arch small_arch(enum activation f);

/** The same sizes with the parts of another family; the list of names ends with NULL. */
extern const char *const small_families[];
struct arch small_family(const char *name);

/** "0-2:1,2;2-4:1|0-4:1": layers:degrees of the replicas; ';' between stages, '|' between pipelines. */
struct plan *small_plan(const char *text, int batch, int micro_batch, struct arena *a);

/** Double precision, tests/train/backend_f64.c. */
int backend_f64_open(struct backend *b, int threads, struct err *e);

/** Opens small_train()'s communicator of several ranks, above a backend; NULL: MPI. */
extern int (*small_comm)(struct comm *c, const struct mpx_comm *world, struct backend *b);

/** The norm to which small_train() clips gradients; 0: no clipping. */
extern double small_clip;

struct small_run {
    int steps;
    double norm[8];    /* [steps] of the gradients, if they are clipped */
    double loss[8];    /* [steps] of all ranks together */
    double held_out;   /* after the last step */
    size_t peak_bytes; /* of the ledger */
    size_t category_bytes[MEMORY_N];
    unsigned long long weights; /* a hash of this rank's, after the last step */
};

/** `steps` steps of a plan over all ranks (NULL: this process alone), with gradient sums during the backward
 * pass or after it. 0, or -1 if the plan was refused. */
int small_train(const struct arch *arch, const struct plan *p, const struct mpx_comm *world, int ranks,
                int steps, bool overlap, int (*open)(struct backend *, int, struct err *),
                struct small_run *r);
#endif
