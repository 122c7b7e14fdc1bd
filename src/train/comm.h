#ifndef SAILOR_TRAIN_COMM_H
#define SAILOR_TRAIN_COMM_H
#include "base/arena.h"
#include "base/err.h"
#include "train/backend.h"
/* The seam between ranks: sums over groups of ranks, and messages from one to another, on buffers of the
 * backend. Ranks are those of the training job, 0 to size - 1. A failure of the transport ends the job,
 * because the peers cannot be told. */

struct group; /* some ranks, this one among them */

/* A message or a sum in progress; its buffer must not be touched before wait(). Zero: none. */
struct pending {
    void *request;
};

struct mpx_comm; /* io/mpx_comm.h: the ranks of MPI */

struct comm {
    const char *name;
    int rank, size;
    void *own;

    /** The group of these ranks, ascending, at least two, this one among them. Collective over them; every
     * rank creates its groups in an order that agrees with that of the others. The group lives in a until
     * close(). */
    struct group *(*group)(struct comm *c, const int *ranks, int n, struct arena *a);
    /** The ranks with which this one exchanges messages, ascending; once, before the first message.
     * Collective. NULL: not needed. */
    void (*connect)(struct comm *c, const int *peers, int n);
    /** Whether group() and connect() could make all they were asked for; they go on where they cannot, so
     * that no other rank waits for this one, and end the job if one does all the same. -1 with *e set
     * (EXIT_NOPLAN: out of memory), possibly that of another rank of theirs; the ranks have to agree on it,
     * and then can only close(). NULL: nothing can fail. */
    int (*ready)(const struct comm *c, struct err *e);
    /** Element by element over the group, in place; the same bits on every rank. Collective over the group.
     */
    void (*sum)(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t);
    void (*max)(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t);
    /** From member `from` of the group, counted from 0, to all others. Collective over the group. */
    void (*spread)(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t, int from);
    /** A sum() that returns at once, of less than 2^31 elements: the same bits for the same n, whatever else
     * is in progress. The ranks of a group start their sums in the same order. NULL where there is only
     * sum().
     */
    void (*sum_start)(struct comm *c, struct group *g, void *buffer, size_t n, enum elem t,
                      struct pending *p);
    /** Messages between two ranks arrive in the order in which they were sent. send() returns at once. */
    void (*send)(struct comm *c, const void *buffer, size_t n, enum elem t, int to, struct pending *p);
    void (*recv)(struct comm *c, void *buffer, size_t n, enum elem t, int from);
    /** Wait until the message has left its buffer, or the sum is complete; return at once if none is in
     * progress. A rank may wait for its own in any order. */
    void (*wait)(struct comm *c, struct pending *p);

    void (*close)(struct comm *c);
};

/** The operations that every library has, by what its functions begin with: part of an initializer. */
#define COMM_OPERATIONS(of)                                                                                  \
    .group = of##_group, .sum = of##_sum, .max = of##_max, .spread = of##_spread, .send = of##_send,         \
    .recv = of##_recv, .wait = of##_wait, .close = of##_close

/** Over MPI; world NULL: a single rank without MPI. Buffers must be memory of the host. The communicator is
 * duplicated: collective over it. */
void comm_mpi_open(struct comm *c, const struct mpx_comm *world);

/** Turns a communicator for memory of the host into one for buffers of b, which outlives it. */
void comm_stage(struct comm *c, struct backend *b);
#endif
