#include "io/mpx_comm.h"

static struct mpx_node here;
static MPI_Win memory = MPI_WIN_NULL; /* of the counters, unless they are one's own */
static long own[2];

/* Counters for the ranks of a node. False: they have no memory in common. */
static bool share_counters(MPI_Comm all, MPI_Comm node) {
    MPI_Aint bytes;
    int unit, rank;
    MPI_Comm_rank(node, &rank);
    MPI_Comm_set_errhandler(node, MPI_ERRORS_RETURN);
    int bad = MPI_Win_allocate_shared(rank ? 0 : sizeof own, sizeof *own, MPI_INFO_NULL, node, &here.counter,
                                      &memory) != MPI_SUCCESS;
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, all);
    if (bad) return false;
    MPI_Win_shared_query(memory, 0, &bytes, &unit, &here.counter);
    for (int k = 0; k < 2 && rank == 0; k++) __atomic_store_n(&here.counter[k], 0, __ATOMIC_SEQ_CST);
    MPI_Barrier(node);
    return true;
}

struct mpx_node *mpx_node(const struct mpx_comm *c) {
    MPI_Comm node;
    int first;
    if (here.counter) return &here;
    MPI_Comm_split_type(c->mpi, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    if (share_counters(c->mpi, node)) {
        MPI_Comm_rank(node, &first);
        int leads = first == 0;
        here.leads = leads;
        MPI_Scan(&leads, &here.node, 1, MPI_INT, MPI_SUM, c->mpi);
        here.node--;
        MPI_Bcast(&here.node, 1, MPI_INT, 0, node);
        MPI_Allreduce(&leads, &here.nodes, 1, MPI_INT, MPI_SUM, c->mpi);
    } else {
        here.counter = own;
        here.leads = true;
        MPI_Comm_rank(c->mpi, &here.node);
        MPI_Comm_size(c->mpi, &here.nodes);
    }
    MPI_Comm_free(&node);
    return &here;
}

void mpx_node_free(void) {
    if (memory != MPI_WIN_NULL) MPI_Win_free(&memory);
    here.counter = NULL;
}
