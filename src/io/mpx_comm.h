#ifndef SAILOR_IO_MPX_COMM_H
#define SAILOR_IO_MPX_COMM_H
#include "io/mpx.h"
#include <mpi.h>
/* The communicator behind struct mpx, for modules that send messages of their own. All others pass the
 * pointer on and do not know about MPI. */

struct mpx_comm {
    MPI_Comm mpi;
};

/** MPI_Wait() for what may take long, such as an exchange with ranks that are still at work (begun as
 * MPI_I...()): after a moment the CPU is left to those who have use for it. */
void mpx_wait(MPI_Request *request);

/** MPI_Allreduce() in place that waits so. */
void mpx_reduce(const struct mpx_comm *c, void *buf, int n, MPI_Datatype type, MPI_Op op);

/** MPI_Bcast() from a rank that waits so. */
void mpx_tell(const struct mpx_comm *c, int from, void *buf, int n, MPI_Datatype type);

/** A machine, and counters that its ranks have in common; without common memory, a rank is one by itself. */
struct mpx_node {
    int nodes, node; /* of so many, which one */
    bool leads;      /* this rank is the first of its node */
    int turn;        /* which counter is in use */
    long *counter;   /* [2] both 0 at first */
};

/** That of this rank, made by the first call. Collective. */
struct mpx_node *mpx_node(const struct mpx_comm *c);

/** Before MPI_Finalize(), if there may be one. Collective. */
void mpx_node_free(void);
#endif
