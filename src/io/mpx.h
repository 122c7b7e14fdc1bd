#ifndef SAILOR_IO_MPX_H
#define SAILOR_IO_MPX_H
#include "base/arena.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
/* What the planner needs of MPI besides the search's own messages. The calls also work without MPI (one
 * process). */

struct mpx_comm; /* io/mpx_comm.h */

struct mpx {
    int rank, size;
    int node_ranks; /* ranks on this machine */
    int node_rank;  /* and the number of this one among them */
    int cpus;       /* CPUs that this rank may count as its own, at least 1: allowed CPUs of the machine /
                       node_ranks,       within the quota of its control group */
    const struct mpx_comm *comm; /* of all ranks; NULL without MPI */
};

/** Start MPI if a launcher (mpirun, srun) started this process as one of several; MPI_Init alone costs 50 to
 * 150 ms, so a single process does without. Only the thread that starts MPI calls it, but for the end: so
 * MPI_THREAD_SERIALIZED is asked for, and MPI_THREAD_FUNNELED accepted. -1 with *e set when the launcher's
 * MPI is not the one linked (N processes of size 1). m->rank is valid even then, so that one process alone
 * reports the error. Collective. */
int mpx_start(struct mpx *m, struct err *e);
/** The rank that an MPI launcher gave this process; 0 without one, for tasks of srun without MPI, and for
 * what a rank starts in turn. Needs no mpx_start(): so that messages about the command line come from one
 * process only, and processes of a task farm each do their work. */
int mpx_launch_rank(void);
/** How many threads this rank uses unless told: $OMP_NUM_THREADS, else m->cpus. */
int mpx_threads(const struct mpx *m);
/** MPI_Finalize if MPI runs. Collective. */
void mpx_finish(struct mpx *m);

/** mpx_finish(), then end the process at once: what stdio holds is flushed before, atexit() handlers do not
 * run. After a signal, hydra's mpirun forgets the status of a rank that stays around for long after
 * MPI_Finalize. Collective. */
void mpx_leave(struct mpx *m, int status) __attribute__((noreturn));

/** May this thread call MPI: is it on, and the thread the one that started it, or the other one not in MPI?
 */
bool mpx_may_call(void);
/** End all ranks with EXIT_INTERNAL, from any one of them, once it has said why. Returns where no MPI runs.
 * Not collective. */
void mpx_abort(void);

/** Every rank passes its own rc (0 or -1); all get the same verdict: 0, or -1 with the text of the lowest
 * failing rank in *e. To be called after any step that can fail on one rank only. Collective. */
int mpx_agree(const struct mpx *m, int rc, struct err *e);

/** Rank 0's value on every rank. Collective. */
int mpx_same_int(const struct mpx *m, int value);

/** The bytes of a file, read once by rank 0. `reader` is called by rank 0 only: it returns the bytes and
 * their number, or NULL with *e set. All ranks get the bytes, or NULL and the same *e. Collective. */
char *mpx_read(const struct mpx *m, char *(*reader)(const char *, size_t *, struct arena *, struct err *),
               const char *path, size_t *size, struct arena *a, struct err *e);

/** One line: name and version of the MPI library. Needs no mpx_start(). */
void mpx_version(char *buf, size_t size);

#endif
