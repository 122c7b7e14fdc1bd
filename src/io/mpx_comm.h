#ifndef SAILOR_IO_MPX_COMM_H
#define SAILOR_IO_MPX_COMM_H
#include "io/mpx.h"
#include <mpi.h>
/* The communicator behind struct mpx, for modules that send messages of their own. All others pass the
 * pointer on and do not know about MPI. */

struct mpx_comm {
    MPI_Comm mpi;
};
#endif
