#include "train/die.h"
#include "io/mpx.h"
#include "base/err.h"
#include "train/watch.h"

#include <mpi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void die(const char *format, ...) {
    char text[600], host[64] = "";
    int on = 0, off = 0, rank = mpx_launch_rank();
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    MPI_Initialized(&on);
    MPI_Finalized(&off);
    gethostname(host, sizeof host - 1);
    if (mpx_may_call()) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (on && !off)
        fprintf(stderr, "sailor-train: error: rank %d on %s: %s\n", rank, host, text);
    else
        fprintf(stderr, "sailor-train: error: %s\n", text);
    fflush(NULL);
    watch_end();
    mpx_abort();          /* or else the launcher notices the end */
    _exit(EXIT_INTERNAL); /* no handlers: those of a failed device might wait for it */
}
