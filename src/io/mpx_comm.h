#ifndef SAILOR_IO_MPX_COMM_H
#define SAILOR_IO_MPX_COMM_H
#include "io/mpx.h"
#include <mpi.h>
/* The communicator behind struct mpx, for those who send messages of their own. Everyone else passes the
 * pointer on and knows no MPI. */

struct mpx_comm {
    MPI_Comm mpi;
};
#endif
